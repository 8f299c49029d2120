-- A catalogue of stand-alone selling prices, dated, with ranges (606-10-32-32 to 32-34).

create table stand_alone_price (
    document_id bigint primary key,
    ref text not null,
    product text not null references product,
    currency text not null,
    from_day date not null,
    price numeric not null check (price > 0),
    low numeric check (low > 0 and low <= price),
    high numeric check (high >= price),
    check ((low is null) = (high is null))
);
comment on table stand_alone_price is 'What a unit of a product is sold for on its own, from a day on; the range it is observed in.';
create index stand_alone_price_product on stand_alone_price (product, currency, from_day);
create trigger never_changed before update or delete on stand_alone_price for each row execute function refuse_change();
create trigger never_emptied before truncate on stand_alone_price for each statement execute function refuse_change();
