-- The journal: chart and rulebook, sub-ledger accounts, entries and their postings, and the months that are closed.
-- Every table of the journal has a primary key that starts with the customer: a customer's rows live together.

create sequence account_number;
create sequence entry_number;

-- Chart, rulebook and rates ------------------------------------------------------------------------------------

create table role (
    name text primary key,
    kind text not null,
    side text not null check (side in ('debit', 'credit')),
    subject text not null,
    code text not null,
    title text not null
);
comment on table role is 'What a general-ledger account is for; written from ledger/chart.py by each upgrade.';

create table rule (
    number smallint primary key,
    code text not null unique,
    debit text references role,
    credit text references role,
    why text not null,
    citation text not null
);
comment on table rule is 'The rulebook; written from ledger/rulebook.py by each upgrade.';
comment on column rule.debit is 'The role it debits; none on manual entries, which name their own accounts.';

create table gl_account (
    entity text not null references entity,
    role text not null references role,
    product text not null default '',
    code text not null,
    name text not null,
    primary key (entity, role, product)
);
comment on table gl_account is 'A user''s own account codes, laid over the defaults of `role`.';

create table fx_rate (
    base text not null,
    quote text not null,
    date date not null,
    rate numeric not null check (rate > 0),
    primary key (base, quote, date),
    check (base <> quote)
);
comment on table fx_rate is 'Units of quote for one of base, from the day on until there is a later one.';

-- Accounts, entries, postings ----------------------------------------------------------------------------------

create table account (
    customer_id bigint not null,
    account_id bigint not null,
    entity text not null references entity,
    role text not null references role,
    currency text not null,
    subject text not null,
    product text not null default '',
    primary key (customer_id, account_id),
    constraint account_identity unique (customer_id, entity, role, currency, subject, product)
);
comment on table account is 'A sub-ledger account per thing: the subject is what it is about, such as invoice:INV-1.';
-- A customer's accounts of a role by index, whatever the planner thinks of how many there are: while there are few it finds all of an
-- entity's by their role, for each obligation that recognition asks about; with many of both that is all of one times all of the other.
create index account_role on account (role, entity, customer_id);

-- What a document posted at once, on one date: it has as many postings as it says.
create table entry (
    customer_id bigint not null,
    entry_id bigint not null,
    document_id bigint not null,
    posted_at timestamptz not null,
    reverses bigint,
    effective_on date not null,
    occurred_on date not null,
    posting_count integer not null check (posting_count > 0),
    posted_by text not null,
    hash bytea not null check (octet_length(hash) = 32),
    primary key (customer_id, entry_id)
);
comment on column entry.effective_on is 'The date it counts for: always in a month that was open.';
comment on column entry.occurred_on is 'The document''s own date, kept where the month was closed already.';
comment on column entry.hash is 'SHA-256 over the entry and its postings; ledger/journal.py gives the canonical form.';
create index entry_document on entry (document_id);
create unique index entry_reversed_once on entry (customer_id, reverses) where reverses is not null;

create table posting (
    customer_id bigint not null,
    entry_id bigint not null,
    debit_account bigint not null,
    credit_account bigint not null,
    amount bigint not null check (amount >= 0),
    functional_amount bigint not null check (functional_amount >= 0),
    effective_on date not null,
    line smallint not null,
    rule smallint not null,
    primary key (customer_id, entry_id, line),
    check (amount > 0 or functional_amount > 0),
    check (debit_account <> credit_account)
);
comment on table posting is
    'One row: debit account, credit account, amount in minor units. It balances by construction.';
create index posting_debit on posting (debit_account);
create index posting_credit on posting (credit_account);

-- By their numbers, a block or the unsealed at a time: numbers ascend as rows do, so ranges of pages are enough.
create index account_range on account using brin (account_id) with (pages_per_range = 32, autosummarize = on);
create index entry_range on entry using brin (entry_id) with (pages_per_range = 16, autosummarize = on);
create index posting_range on posting using brin (entry_id) with (pages_per_range = 32, autosummarize = on);

create function summarize_ranges() returns void language sql security definer set search_path = pg_catalog, public, pg_temp as $$
    select brin_summarize_new_values('public.entry_range'), brin_summarize_new_values('public.posting_range'),
           brin_summarize_new_values('public.document_range'), brin_summarize_new_values('public.account_range'),
           brin_summarize_new_values('public.row_log_range');
$$;
comment on function summarize_ranges() is 'Bring the indexes by entry number up to date; the application may ask for it.';

create view journal_line as
    select p.customer_id, p.entry_id, p.line, s.side, p.effective_on, e.occurred_on, e.posted_at, e.posted_by,
           e.document_id, e.reverses, r.code as rule, a.entity, a.role, a.currency, a.subject, a.product,
           a.account_id, p.amount, p.functional_amount
    from posting p
    join entry e using (customer_id, entry_id)
    join rule r on r.number = p.rule
    cross join lateral (values ('debit', p.debit_account), ('credit', p.credit_account)) s (side, account_id)
    join account a on a.customer_id = p.customer_id and a.account_id = s.account_id;
comment on view journal_line is 'Each posting as accountants read it: a debit line and a credit line.';

-- Periods ------------------------------------------------------------------------------------------------------

create table closed_books (
    entity text primary key references entity,
    closed_through date not null check (extract(day from closed_through + 1) = 1)
);
comment on table closed_books is 'The last day of the last closed month: nothing posts on or before it.';

-- Each time a month was closed or opened again. What was there by then is told by entries' numbers, not by clocks, which may be set back.
create table period_event (
    period_event_id bigint generated always as identity primary key,
    entity text not null references entity,
    month date not null,
    action text not null check (action in ('closed', 'reopened')),
    at timestamptz not null default now(),
    by text not null,
    reason text not null default '',
    last_entry bigint,
    undone text[] not null default '{}'
);
comment on column period_event.last_entry is 'The last entry number taken by then; none of what an older release closed or opened.';
comment on column period_event.undone is
    'What of the checklist was not done when the month was closed all the same; `reason` says why.';

-- What the database itself refuses -----------------------------------------------------------------------------

-- One check per statement over the rows it brought: cheaper by far than three foreign keys and a row trigger. Each pair of accounts is
-- looked at once, and by keys where little arrives.
--
-- A batch is small beside the tables it is checked against, and the planner, which thinks of all of a table at once, read all
-- accounts for each batch: half of the time of posting at 150,000 accounts, and more with each customer. So few rows are checked
-- by keys alone, with plans that are kept; many are planned for as many as they are. Both run the same two queries.
do $outer$
declare
    accounts constant text := $query$
        select n.entry_id, c.account_id, b.entity, b.closed_through
        from (select customer_id, debit_account, credit_account, min(effective_on) as earliest, min(entry_id) as entry_id
              from arrived group by customer_id, debit_account, credit_account
              order by customer_id, debit_account, credit_account) n
        left join account d on d.customer_id = n.customer_id and d.account_id = n.debit_account
        left join account c on c.customer_id = n.customer_id and c.account_id = n.credit_account
            and c.entity = d.entity and c.currency = d.currency
        left join closed_books b on b.entity = d.entity and b.closed_through >= n.earliest
        where c.account_id is null or b.entity is not null
        limit 1$query$;
    entries constant text := $query$
        select g.entry_id, null::bigint as account_id, null::text as entity, null::date as closed_through
        from (select customer_id, entry_id, count(*) as postings, max(line) as last, min(line) as first,
                     min(effective_on) as earliest, max(effective_on) as latest
              from arrived group by customer_id, entry_id) g
        left join entry e using (customer_id, entry_id)
        where e.entry_id is null or e.posting_count <> g.postings or g.first <> 1 or g.last <> g.postings
           or e.effective_on <> g.earliest or e.effective_on <> g.latest
        limit 1$query$;
begin
    execute format($function$
create function check_postings() returns trigger language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set work_mem = '64MB' set search_path = pg_catalog, public, pg_temp as $$
declare
    wrong record;
    many constant boolean := (select count(*) from (select from arrived limit 20001) n) > 20000;
begin
    -- Whoever closes a month waits for posters and posters for whoever closes (ledger/locks.py names the number).
    perform pg_advisory_xact_lock_shared(71606);

    if many then
        set local enable_hashjoin = on;
        set local enable_mergejoin = on;
        execute %1$L into wrong;
    else
        %1$s into wrong;
    end if;
    if wrong.entry_id is not null and wrong.account_id is null then
        raise exception 'a posting of entry %% refused: its two accounts must exist and be of one customer, '
            'entity and currency', wrong.entry_id using errcode = 'TM002';
    elsif wrong.entry_id is not null then
        raise exception 'entry %% refused: the books of %% are closed through %%', wrong.entry_id, wrong.entity,
            wrong.closed_through using errcode = 'TM004';
    end if;

    if many then
        execute %2$L into wrong;
    else
        %2$s into wrong;
    end if;
    if wrong.entry_id is not null then
        raise exception 'postings of entry %% refused: all postings of an entry arrive together, numbered from 1, '
            'on its date, and nothing is added later', wrong.entry_id using errcode = 'TM003';
    end if;
    return null;
end $$$function$, accounts, entries);
end $outer$;

create trigger checked after insert on posting
    referencing new table as arrived
    for each statement execute function check_postings();

-- Entries are sealed with their postings, and chart and rulebook compared with this release's: the log has no need of them.
select pg_temp.never_changed('account', 'entry', 'posting', 'fx_rate', 'period_event');
select keep_row_log(name) from unnest(array['account', 'gl_account', 'fx_rate', 'closed_books', 'period_event']) name;
