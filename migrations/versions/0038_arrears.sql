-- Service that only an invoice tells of is earned in the invoice's month, or in its own where the entity says so.

drop view performance_obligation;
create view performance_obligation as
    with latest as (
        select customer_id, subject, (array_agg(price_minor order by edition desc, version desc))[1] as price_minor,
               max(coalesce(ends_on, date '2199-12-31')) as ends_on
        from obligation_terms group by customer_id, subject
    )
    select o.customer_id, 'obligation:' || o.ref as subject, c.entity, c.currency, o.product, o.pattern, o.starts_on,
           -- without a last day it goes on until progress says it is done
           case when v.subject is null then coalesce(o.ends_on, date '2199-12-31')
                else greatest(coalesce(o.ends_on, v.ends_on, date '2199-12-31'), v.ends_on) end as ends_on,
           o.quantity, o.price_minor as first_price_minor, coalesce(v.price_minor, o.price_minor) as price_minor,
           v.subject is not null as modified, coalesce(o.added_on, c.signed_on) as known_on,
           o.deferred_account, o.unbilled_account, o.revenue_account, c.ref as contract, null::text as invoice,
           coalesce(c.package, c.ref) as package, o.document_id as known_by,
           coalesce(o.added_on, c.signed_on) as counts_from
    from obligation o
    join contract c using (customer_id, contract_id)
    left join latest v on v.customer_id = o.customer_id and v.subject = 'obligation:' || o.ref
    union all
    select l.customer_id, l.subject, i.entity, i.currency, l.product, l.pattern, l.starts_on, greatest(l.ends_on, v.ends_on),
           null::numeric, l.amount_minor, coalesce(v.price_minor, l.amount_minor), v.subject is not null, i.issued_on,
           l.deferred_account, l.unbilled_account, l.revenue_account, null::text, i.ref, null::text, i.invoice_id,
           case when e.arrears = 'when_given' then least(i.issued_on, l.starts_on) else i.issued_on end
    from invoice_line l
    join invoice i using (customer_id, invoice_id)
    join entity e on e.entity = i.entity
    left join latest v on v.customer_id = l.customer_id and v.subject = l.subject
    where l.own_obligation
    union all
    -- credit notes for a period of books of an older schema
    select x.customer_id, x.subject, i.entity, i.currency, x.product, 'daily', x.starts_on, x.ends_on,
           null::numeric, null::bigint, null::bigint, false, d.dated_on,
           x.deferred_account, x.unbilled_account, x.revenue_account, null::text, i.ref, null::text, x.document_id, d.dated_on
    from line_change x
    join invoice i using (customer_id, invoice_id)
    join document d on d.customer_id = x.customer_id and d.document_id = x.document_id
    where x.own_obligation;
comment on view performance_obligation is
    'Every obligation with its whole term, its price as it was first promised and as it stands now. A null price means: what was '
    'billed to its accounts.';
