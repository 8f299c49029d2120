-- Parties: the entities that keep books, whom they bill, and what for.

create sequence customer_number;

-- Who keeps books: a company, with its currency and its ways of counting.
create table entity (
    entity text primary key,
    name text not null,
    currency text not null,
    country text,
    time_zone text not null,
    tax_rounding text not null default 'line' check (tax_rounding in ('line', 'invoice')),
    invoice_prefix text,
    fiscal_year_start smallint not null default 1 check (fiscal_year_start between 1 and 12),
    bills_within integer not null default 60 check (bills_within between 0 and 3650),
    arrears text not null default 'when_billed' check (arrears in ('when_billed', 'when_given')),
    amount_tolerance integer not null default 0 check (amount_tolerance >= 0)
);
comment on column entity.invoice_prefix is 'Before the numbers of its invoices, where it numbers them.';
comment on column entity.fiscal_year_start is 'The month its fiscal years begin in; results of earlier years are retained earnings.';
comment on column entity.bills_within is 'Days after which usage that is not billed will not be: what is left of it stands for nothing.';
comment on column entity.arrears is
    'In which month service counts that only an invoice tells of, once it is given: the invoice''s, or its own.';
comment on column entity.amount_tolerance is
    'By how much a line''s amount may differ from its quantity x unit price, in the smallest units of its currency.';

create table customer (
    customer_id bigint primary key,
    ref text not null unique,
    name text not null,
    country text,
    tax_id text,
    overage text not null default 'bill' check (overage in ('bill', 'refuse')),
    tax_status text not null default 'taxable' check (tax_status in ('taxable', 'exempt', 'reverse_charge')),
    tax_codes text[],
    terms integer check (terms between 0 and 3650),
    parent text check (parent <> ref)
);
comment on table customer is
    'Who is billed. Customer 0 is the house: documents and entries that concern no customer.';
comment on column customer.tax_codes is 'Charged on lines that name none; null: those of its country.';
comment on column customer.terms is 'Net days: an invoice that does not say when it is due is due so many days after its date.';
comment on column customer.parent is 'The customer it belongs to, whose money may pay its invoices.';
insert into customer (customer_id, ref, name) values (0, '~house', 'House');

-- What is sold, or metered.
create table product (
    product text primary key,
    name text not null
);

select keep_row_log(name) from unnest(array['entity', 'customer', 'product']) name;
