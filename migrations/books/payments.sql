-- Payments: where an entity's own money lies, and whose money lies on which invoice, or on the customer's balance.

create table money_account (
    account text primary key,
    entity text not null references entity,
    name text not null,
    kind text not null check (kind in ('bank', 'processor', 'reserve', 'other')),
    currency text not null,
    overdraft boolean not null default false
);
comment on table money_account is
    'An account of money. Its cash has the subject account:ID, and that as its product where it has a code of its own in gl_account.';
comment on column money_account.overdraft is 'Whether it may be below zero.';

create sequence money_use_number;

create table money_use (
    customer_id bigint not null,
    use_id bigint not null,
    document_id bigint not null,
    money_id bigint not null,
    invoice_id bigint not null,
    origin_id bigint not null,
    entity text not null references entity,
    currency text not null,
    on_day date not null,
    amount_minor bigint not null,
    paid_minor bigint not null,
    paid_currency text not null,
    undoes bigint not null default 0,
    primary key (customer_id, use_id)
);
comment on table money_use is 'That a document puts money at a place, or takes it from there (below 0).';
comment on column money_use.money_id is 'The document that brought the money: a payment, a recovery, ...';
comment on column money_use.invoice_id is 'The invoice it lies on; 0 for the customer''s balance.';
comment on column money_use.origin_id is 'On the balance: the invoice that left it there; 0 where none did.';
comment on column money_use.amount_minor is 'In the currency of the place.';
comment on column money_use.paid_minor is 'What it is of the money that came in, in `paid_currency`.';
comment on column money_use.undoes is 'The document that had given it back; 0 where none had.';
create index money_use_place on money_use (customer_id, invoice_id);
-- money may lie with others than who paid, and a document beside another moves it: these are asked for without a customer, too
create index money_use_money on money_use (money_id, customer_id);
create index money_use_document on money_use (document_id, customer_id);

select pg_temp.never_changed('money_account', 'money_use');
select keep_row_log(name) from unnest(array['money_account', 'money_use']) name;
