-- The books: reference data, documents as received, sub-ledger accounts, the journal and the sub-ledgers' facts.
-- Every table of the journal has a primary key that starts with the customer: a customer's rows live together.

create sequence customer_number;
create sequence document_number;
create sequence account_number;
create sequence entry_number;

-- Reference data -----------------------------------------------------------------------------------------------

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
    debit text not null references role,
    credit text not null references role,
    why text not null,
    citation text not null
);
comment on table rule is 'The rulebook; written from ledger/rulebook.py by each upgrade.';

create table customer (
    customer_id bigint primary key,
    ref text not null unique,
    name text not null,
    country text,
    tax_id text,
    overage text not null default 'bill' check (overage in ('bill', 'refuse'))
);
comment on table customer is
    'Who is billed. Customer 0 is the house: documents and entries that concern no customer.';
insert into customer (customer_id, ref, name) values (0, '~house', 'House');

create table entity (
    entity text primary key,
    name text not null,
    currency text not null,
    country text,
    time_zone text not null
);

create table product (
    product text primary key,
    name text not null
);

create table gl_account (
    entity text not null references entity,
    role text not null references role,
    product text not null default '',
    code text not null,
    name text not null,
    primary key (entity, role, product)
);
comment on table gl_account is 'A user''s own account codes, laid over the defaults of `role`.';

-- Documents ----------------------------------------------------------------------------------------------------

create table document_key (
    type text not null,
    ref text not null,
    customer_id bigint not null,
    document_id bigint not null,
    primary key (type, ref)
);
comment on table document_key is 'Which document an id stands for. The only index of the books that is not by customer.';

create table document (
    customer_id bigint not null,
    document_id bigint not null,
    type text not null,
    ref text not null,
    dated_on date,
    body text not null,
    hash bytea not null check (octet_length(hash) = 32),
    posted_at timestamptz not null,
    posted_by text not null,
    primary key (customer_id, document_id)
);
comment on column document.body is 'The document as it was received, to the byte.';
comment on column document.hash is 'SHA-256 over its canonical form: the same content whatever the order of its fields.';

-- The journal --------------------------------------------------------------------------------------------------

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
create index account_role on account (role, entity);

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

create table period_event (
    period_event_id bigint generated always as identity primary key,
    entity text not null references entity,
    month date not null,
    action text not null check (action in ('closed', 'reopened')),
    at timestamptz not null default now(),
    by text not null,
    reason text not null default ''
);

-- Wallets ------------------------------------------------------------------------------------------------------

create table credit_grant (
    customer_id bigint not null,
    grant_id bigint not null,
    ref text not null,
    entity text not null references entity,
    currency text not null,
    kind text not null check (kind in ('prepaid', 'promotional')),
    face_minor bigint not null check (face_minor > 0),
    price_minor bigint not null check (price_minor >= 0),
    effective_on date not null,
    expires_on date check (expires_on >= effective_on),
    products text[],
    priority integer,
    primary key (customer_id, grant_id)
);
comment on column credit_grant.face_minor is 'What it pays for, in the currency''s minor unit.';
comment on column credit_grant.price_minor is 'What the customer pays for it; more or less than its face value.';

create table grant_balance (
    customer_id bigint not null,
    grant_id bigint not null,
    face_minor bigint not null,
    drawn_face_minor bigint not null default 0 check (drawn_face_minor >= 0),
    expired_face_minor bigint not null default 0 check (expired_face_minor >= 0),
    drawn_minor bigint not null default 0 check (drawn_minor >= 0),
    broken_minor bigint not null default 0 check (broken_minor >= 0),
    primary key (customer_id, grant_id),
    constraint grant_not_overdrawn check (drawn_face_minor + expired_face_minor <= face_minor)
);
comment on table grant_balance is
    'The only balances kept beside the postings: where an overdraft must be refused under concurrency. '
    '`tickmark verify` recomputes them.';

create table usage_meter (
    customer_id bigint not null,
    entity text not null references entity,
    product text not null references product,
    currency text not null,
    rated numeric not null,
    posted_minor bigint not null,
    primary key (customer_id, entity, product, currency)
);
comment on table usage_meter is
    'Usage rated so far, exactly, and what of it is posted: sub-cent usage adds up here. `tickmark verify` recomputes it.';

-- Receivables --------------------------------------------------------------------------------------------------

create table invoice (
    customer_id bigint not null,
    invoice_id bigint not null,
    ref text not null,
    entity text not null references entity,
    currency text not null,
    issued_on date not null,
    due_on date not null,
    total_minor bigint not null,
    receivable_account bigint not null,
    primary key (customer_id, invoice_id)
);
create index invoice_receivable on invoice (receivable_account);

create table invoice_line (
    customer_id bigint not null,
    invoice_id bigint not null,
    line text not null,
    kind text not null check (kind in ('service', 'one_time', 'prepaid', 'usage')),
    amount_minor bigint not null check (amount_minor > 0),
    product text references product,
    subject text not null,
    own_obligation boolean not null default false,
    pattern text,
    starts_on date,
    ends_on date,
    deferred_account bigint,
    unbilled_account bigint,
    revenue_account bigint,
    primary key (customer_id, invoice_id, line)
);
comment on column invoice_line.own_obligation is
    'The line made an obligation for itself, with this pattern and term; its price is what was billed to its accounts.';
create index invoice_line_obligation on invoice_line (subject) where own_obligation;

-- Contracts ----------------------------------------------------------------------------------------------------

create table contract (
    customer_id bigint not null,
    contract_id bigint not null,
    ref text not null,
    entity text not null references entity,
    currency text not null,
    signed_on date not null,
    price_minor bigint not null,
    primary key (customer_id, contract_id)
);

create table obligation (
    customer_id bigint not null,
    contract_id bigint not null,
    ref text not null,
    product text not null references product,
    price_minor bigint not null,
    ssp_minor bigint,
    pattern text not null,
    starts_on date not null,
    ends_on date not null check (ends_on >= starts_on),
    deferred_account bigint not null,
    unbilled_account bigint not null,
    revenue_account bigint not null,
    primary key (customer_id, contract_id, ref)
);
comment on column obligation.price_minor is 'Its share of the transaction price, allocated when the contract was signed.';

create view performance_obligation as
    select o.customer_id, 'obligation:' || o.ref as subject, c.entity, c.currency, o.product, o.pattern,
           o.starts_on, o.ends_on, o.price_minor, c.signed_on as known_on,
           o.deferred_account, o.unbilled_account, o.revenue_account, c.ref as contract, null::text as invoice
    from obligation o
    join contract c using (customer_id, contract_id)
    union all
    select l.customer_id, l.subject, i.entity, i.currency, l.product, l.pattern,
           l.starts_on, l.ends_on, null::bigint, i.issued_on,
           l.deferred_account, l.unbilled_account, l.revenue_account, null::text, i.ref
    from invoice_line l
    join invoice i using (customer_id, invoice_id)
    where l.own_obligation;
comment on view performance_obligation is
    'Every obligation with its term. A null price means: what was billed to its accounts.';

-- What the database itself refuses ------------------------------------------------------------------------------

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% of % refused: posted history is never changed; post a correcting document instead',
        lower(tg_op), tg_table_name using errcode = 'TM001';
end $$;

do $$
declare
    name text;
begin
    foreach name in array array['document_key', 'document', 'account', 'entry', 'posting', 'credit_grant', 'invoice',
                                'invoice_line', 'contract', 'obligation', 'period_event'] loop
        execute format('create trigger never_changed before update or delete on %I '
                       'for each row execute function refuse_change()', name);
        execute format('create trigger never_emptied before truncate on %I '
                       'for each statement execute function refuse_change()', name);
    end loop;
end $$;

-- One check per statement over the rows it brought: cheaper by far than three foreign keys and a row trigger.
create function check_postings() returns trigger language plpgsql as $$
declare
    wrong record;
begin
    -- Whoever closes a month waits for posters and posters for whoever closes (ledger/locks.py names the number).
    perform pg_advisory_xact_lock_shared(71606);

    select n.customer_id, n.entry_id, n.line into wrong
    from arrived n
    left join account d on d.customer_id = n.customer_id and d.account_id = n.debit_account
    left join account c on c.customer_id = n.customer_id and c.account_id = n.credit_account
    where d.account_id is null or c.account_id is null or d.entity <> c.entity or d.currency <> c.currency
    limit 1;
    if found then
        raise exception 'posting % of entry % refused: its two accounts must exist and be of one customer, '
            'entity and currency', wrong.line, wrong.entry_id using errcode = 'TM002';
    end if;

    select g.entry_id into wrong
    from (select customer_id, entry_id, count(*) as postings, max(line) as last, min(line) as first,
                 min(effective_on) as earliest, max(effective_on) as latest
          from arrived group by customer_id, entry_id) g
    left join entry e using (customer_id, entry_id)
    where e.entry_id is null or e.posting_count <> g.postings or g.first <> 1 or g.last <> g.postings
       or e.effective_on <> g.earliest or e.effective_on <> g.latest
    limit 1;
    if found then
        raise exception 'postings of entry % refused: all postings of an entry arrive together, numbered from 1, '
            'on its date, and nothing is added later', wrong.entry_id using errcode = 'TM003';
    end if;

    select c.entity, c.closed_through into wrong
    from closed_books c
    where exists (
        select from arrived n
        join account a on a.customer_id = n.customer_id and a.account_id = n.debit_account
        where n.effective_on <= c.closed_through and a.entity = c.entity)
    limit 1;
    if found then
        raise exception 'entry refused: the books of % are closed through %', wrong.entity, wrong.closed_through
            using errcode = 'TM004';
    end if;
    return null;
end $$;

create trigger checked after insert on posting
    referencing new table as arrived
    for each statement execute function check_postings();
