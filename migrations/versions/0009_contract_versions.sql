-- Versions of obligations, progress towards them, and obligations that a modification adds.

alter table obligation alter column ends_on drop not null;
comment on column obligation.ends_on is 'The last day counted; none where progress says how much is given.';
alter table obligation add column quantity numeric check (quantity > 0);
alter table obligation add column added_on date;
comment on column obligation.added_on is 'When a modification added it; the contract''s signing otherwise.';
create index obligation_ref on obligation (ref);

create table obligation_version (
    customer_id bigint not null,
    subject text not null,
    version integer not null,
    document_id bigint not null,
    from_day date not null,
    treatment text not null check (treatment in ('prospective', 'catch_up', 'cancelled')),
    reason text not null,
    price_minor bigint not null,
    base_minor bigint not null,
    pattern text not null,
    starts_on date not null,
    ends_on date,
    quantity numeric,
    done_before numeric not null default 0,
    primary key (customer_id, subject, version)
);
comment on table obligation_version is
    'What a modification made of an obligation, from a day on; earlier days keep the version before.';
comment on column obligation_version.base_minor is
    'What was earned before that day and stays so: the rest of the price is earned by this version''s schedule.';
comment on column obligation_version.done_before is 'Progress before that day, where only what comes after it counts.';

create table contract_modification (
    customer_id bigint not null,
    document_id bigint not null,
    ref text not null,
    contract text not null,
    effective_on date not null,
    primary key (customer_id, document_id)
);

create table progress (
    customer_id bigint not null,
    document_id bigint not null,
    subject text not null,
    effective_on date not null,
    quantity numeric check (quantity > 0),
    percent numeric check (percent >= 0 and percent <= 100),
    primary key (customer_id, document_id),
    check ((quantity is null) <> (percent is null))
);
comment on column progress.quantity is 'Delivered by this document.';
comment on column progress.percent is 'Complete by that day, in all.';
create index progress_subject on progress (customer_id, subject, effective_on);

do $$
declare
    name text;
begin
    foreach name in array array['obligation_version', 'contract_modification', 'progress'] loop
        execute format('create trigger never_changed before update or delete on %I '
                       'for each row execute function refuse_change()', name);
        execute format('create trigger never_emptied before truncate on %I '
                       'for each statement execute function refuse_change()', name);
    end loop;
end $$;

drop view performance_obligation;
create view performance_obligation as
    select o.customer_id, 'obligation:' || o.ref as subject, c.entity, c.currency, o.product, o.pattern, o.starts_on,
           -- without a last day it goes on until progress says it is done
           case when v.subject is null then coalesce(o.ends_on, date '2199-12-31')
                else greatest(coalesce(o.ends_on, v.ends_on, date '2199-12-31'), v.ends_on) end as ends_on,
           o.quantity, o.price_minor as first_price_minor, coalesce(v.price_minor, o.price_minor) as price_minor,
           v.subject is not null as modified, coalesce(o.added_on, c.signed_on) as known_on,
           o.deferred_account, o.unbilled_account, o.revenue_account, c.ref as contract, null::text as invoice
    from obligation o
    join contract c using (customer_id, contract_id)
    left join (
        select customer_id, subject, (array_agg(price_minor order by version desc))[1] as price_minor,
               max(coalesce(ends_on, date '2199-12-31')) as ends_on
        from obligation_version group by customer_id, subject
    ) v on v.customer_id = o.customer_id and v.subject = 'obligation:' || o.ref
    union all
    select l.customer_id, l.subject, i.entity, i.currency, l.product, l.pattern, l.starts_on, l.ends_on,
           null::numeric, null::bigint, null::bigint, false, i.issued_on,
           l.deferred_account, l.unbilled_account, l.revenue_account, null::text, i.ref
    from invoice_line l
    join invoice i using (customer_id, invoice_id)
    where l.own_obligation
    union all
    select x.customer_id, x.subject, i.entity, i.currency, x.product, 'daily', x.starts_on, x.ends_on,
           null::numeric, null::bigint, null::bigint, false, d.dated_on,
           x.deferred_account, x.unbilled_account, x.revenue_account, null::text, i.ref
    from line_change x
    join invoice i using (customer_id, invoice_id)
    join document d on d.customer_id = x.customer_id and d.document_id = x.document_id
    where x.own_obligation;
comment on view performance_obligation is
    'Every obligation with its whole term and its price as it stands now. A null price means: what was billed to its '
    'accounts.';
