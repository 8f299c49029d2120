-- Corrections of invoices: voids, credit notes, refunds, disputes and write-offs, line by line.

create table line_change (
    customer_id bigint not null,
    document_id bigint not null,
    invoice_id bigint not null,
    line text not null,
    kind text not null check (kind in ('void', 'credit', 'refund', 'dispute', 'write_off')),
    amount_minor bigint not null check (amount_minor > 0),
    product text references product,
    subject text not null,
    own_obligation boolean not null default false,
    starts_on date,
    ends_on date,
    deferred_account bigint,
    unbilled_account bigint,
    revenue_account bigint,
    primary key (customer_id, document_id, invoice_id, line)
);
comment on table line_change is 'By how much, net of tax, a later document lowers a line of an invoice.';
comment on column line_change.own_obligation is
    'A credit for a period of its own is a negative obligation over that period.';
create index line_change_invoice on line_change (customer_id, invoice_id);
create trigger never_changed before update or delete on line_change for each row execute function refuse_change();
create trigger never_emptied before truncate on line_change for each statement execute function refuse_change();

create or replace view performance_obligation as
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
    where l.own_obligation
    union all
    select x.customer_id, x.subject, i.entity, i.currency, x.product, 'daily',
           x.starts_on, x.ends_on, null::bigint, d.dated_on,
           x.deferred_account, x.unbilled_account, x.revenue_account, null::text, i.ref
    from line_change x
    join invoice i using (customer_id, invoice_id)
    join document d on d.customer_id = x.customer_id and d.document_id = x.document_id
    where x.own_obligation;
