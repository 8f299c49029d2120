-- Proof: seals over blocks of entries and what these stand on, what sealed entries add up to, and what verifications found.

-- A block covers entries, the documents that posted them, the accounts they move and the log of rows: no change of any goes unnoticed.
create table seal (
    seal_id bigint primary key check (seal_id > 0),
    first_entry bigint not null,
    last_entry bigint not null check (last_entry >= first_entry - 1),
    entries integer not null check (entries >= 0),
    postings bigint not null check (postings >= entries),
    totals text not null,
    root bytea not null check (length(root) = 32),
    previous bytea not null check (length(previous) = 32),
    hash bytea not null unique check (length(hash) = 32),
    sealed_at timestamptz not null,
    sealed_by text not null,
    last_document bigint,
    documents integer check (documents >= 0),
    documents_root bytea check (length(documents_root) = 32),
    last_account bigint,
    accounts integer check (accounts >= 0),
    accounts_root bytea check (length(accounts_root) = 32),
    last_row bigint,
    rows bigint check (rows >= 0),
    rows_root bytea check (length(rows_root) = 32),
    constraint seal_covers check (num_nonnulls(last_document, documents, documents_root, last_account, accounts, accounts_root) in (0, 6)),
    constraint seal_covers_rows check (num_nonnulls(last_row, rows, rows_root) in (0, 3))
);
comment on table seal is
    'A block of entries: their number, totals and Merkle root, and the hash of the block before. ledger/seals.py says how.';
comment on column seal.totals is
    'Per entity, role and currency, what its postings debit and credit in minor units: JSON, as it was hashed.';
comment on column seal.last_document is 'The last document number it covers, from the one after that of the block before; none of a block of an older release.';
comment on column seal.last_row is 'The last number of the log of rows it covers, from the one after that of the block before; none of a block of an older release.';

-- The leaves of each block, so that verifying says which rows are not those that were sealed, and not only that some are not.
create table seal_leaves (
    seal_id bigint primary key references seal,
    entries bytea not null,
    documents bytea not null,
    accounts bytea not null,
    rows bytea
);
comment on table seal_leaves is 'SHA-256 of each row a block covers, one after the other; they lead to the roots in `seal`. None of what an older release sealed.';
-- hashes are not made smaller by trying to
alter table seal_leaves alter entries set storage external, alter documents set storage external, alter accounts set storage external,
    alter rows set storage external;

create table verification (
    verification_id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    by text not null,
    checks integer not null check (checks > 0),
    differing integer not null check (differing between 0 and checks),
    last_entry bigint not null,
    head bytea check (length(head) = 32)
);
comment on table verification is 'That the books were verified, when, by whom, up to which entry, under which seal, and how many checks differed.';

-- Totals of what is sealed -------------------------------------------------------------------------------------

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

select pg_temp.never_changed('seal', 'seal_leaves', 'verification');
select keep_row_log('verification');
