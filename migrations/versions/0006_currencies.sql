-- Exchange rates, and the one each invoice is locked at.

create table fx_rate (
    base text not null,
    quote text not null,
    date date not null,
    rate numeric not null check (rate > 0),
    primary key (base, quote, date),
    check (base <> quote)
);
comment on table fx_rate is 'Units of quote for one of base, from the day on until there is a later one.';
create trigger never_changed before update or delete on fx_rate for each row execute function refuse_change();
create trigger never_emptied before truncate on fx_rate for each statement execute function refuse_change();

alter table invoice add column rate numeric check (rate > 0);
comment on column invoice.rate is
    'Units of the entity''s currency for one of the invoice''s, where they differ: locked when it was issued.';
