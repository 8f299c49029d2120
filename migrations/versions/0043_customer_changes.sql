-- What a customer is on a day: what its document says, and over it what `customer_change` documents say from their day on.

alter table customer add column terms integer check (terms between 0 and 3650);
alter table customer add column parent text check (parent <> ref);
comment on column customer.terms is 'Net days: an invoice that does not say when it is due is due so many days after its date.';
comment on column customer.parent is 'The customer it belongs to, whose money may pay its invoices.';

create index document_customer_change on document (customer_id, dated_on) where type = 'customer_change';

-- A customer as it is on a day, by the documents before one of them, or all. Of one day, what arrived later holds; null takes away.
create function customer_on(of customer, on_day date, before bigint default null) returns setof customer
language sql stable rows 1 as $$
    select h.* from (
        select jsonb_object_agg(f.key, f.value order by d.dated_on, d.document_id) as said
        from document d cross join lateral jsonb_each(d.body::jsonb) f
        where d.customer_id = of.customer_id and d.type = 'customer_change' and d.dated_on <= on_day
          and (before is null or d.document_id < before)
    ) changes cross join lateral jsonb_populate_record(of, coalesce(changes.said, '{}')) h
$$;

-- All customers as they are on a day, by the documents before one of them, or all.
create function customers_on(on_day date, before bigint default null) returns setof customer language sql stable as $$
    select c.* from customer c where not exists (
        select from document d where d.customer_id = c.customer_id and d.type = 'customer_change' and d.dated_on <= on_day)
    union all
    select h.* from (select distinct customer_id from document where type = 'customer_change' and dated_on <= on_day) changed
    join customer c using (customer_id) cross join lateral customer_on(c, on_day, before) h
$$;
