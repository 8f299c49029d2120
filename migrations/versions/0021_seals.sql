-- Seals: entries in blocks that no change goes unnoticed in, and what they add up to by day.

create table seal (
    seal_id bigint primary key check (seal_id > 0),
    first_entry bigint not null,
    last_entry bigint not null check (last_entry >= first_entry),
    entries integer not null check (entries > 0),
    postings bigint not null check (postings >= entries),
    totals text not null,
    root bytea not null check (length(root) = 32),
    previous bytea not null check (length(previous) = 32),
    hash bytea not null unique check (length(hash) = 32),
    sealed_at timestamptz not null,
    sealed_by text not null
);
comment on table seal is
    'A block of entries: their number, totals and Merkle root, and the hash of the block before. ledger/seals.py says how.';
comment on column seal.totals is
    'Per entity, role and currency, what its postings debit and credit in minor units: JSON, as it was hashed.';
create trigger never_changed before update or delete on seal for each row execute function refuse_change();
create trigger never_emptied before truncate on seal for each statement execute function refuse_change();

-- What trial balances are read from, whatever the number of postings: sealed entries here, the rest from the journal.
create table daily_total (
    entity text not null references entity,
    role text not null references role,
    product text not null,
    currency text not null,
    effective_on date not null,
    debit numeric not null,
    credit numeric not null,
    functional_debit numeric not null,
    functional_credit numeric not null,
    primary key (entity, role, product, currency, effective_on)
);
comment on table daily_total is
    'What sealed entries post to each ledger account on a day, in minor units. `tickmark verify` recomputes it.';

-- What receivables are aged from: a few are open, however many were settled.
create table open_receivable (
    customer_id bigint not null,
    account_id bigint not null,
    amount numeric not null,
    primary key (customer_id, account_id)
);
comment on table open_receivable is
    'Sealed receivables that are not settled, in minor units of their currency. `tickmark verify` recomputes it.';

-- Entries by their numbers, a block or the unsealed at a time: numbers ascend as rows do, so ranges of pages are enough.
create index entry_range on entry using brin (entry_id) with (pages_per_range = 16, autosummarize = on);
create index posting_range on posting using brin (entry_id) with (pages_per_range = 32, autosummarize = on);

create function summarize_ranges() returns void language sql security definer set search_path = pg_catalog, public as $$
    select brin_summarize_new_values('public.entry_range'), brin_summarize_new_values('public.posting_range');
$$;
comment on function summarize_ranges() is 'Bring the indexes by entry number up to date; the application may ask for it.';
