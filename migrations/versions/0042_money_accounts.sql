-- Where an entity's money lies: with a bank, a processor or another, each in one currency. Cash is about one of them, or about a rail.

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
create trigger never_changed before update or delete on money_account for each row execute function refuse_change();
create trigger never_emptied before truncate on money_account for each statement execute function refuse_change();
