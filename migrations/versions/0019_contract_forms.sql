-- Contracts combined, renewed and terminated; milestones; financing; what is expected back.

-- Which document added an obligation, how it counts and why: the contract's own, or one that changed it.
alter table obligation add column document_id bigint;
alter table obligation add column treatment text;
alter table obligation add column reason text;
alter table obligation add column renews text;
alter table obligation disable trigger never_changed;
update obligation o set document_id = coalesce(
    (select min(m.document_id) from contract_modification m
     join contract c on c.customer_id = m.customer_id and c.ref = m.contract
     join document d on d.customer_id = m.customer_id and d.document_id = m.document_id
     where m.customer_id = o.customer_id and c.contract_id = o.contract_id and m.effective_on = o.added_on
       and d.body::jsonb -> 'obligations' @> jsonb_build_array(jsonb_build_object('id', o.ref))), o.contract_id);
alter table obligation enable trigger never_changed;
alter table obligation alter column document_id set not null;
comment on column obligation.document_id is 'The contract, or the modification, renewal or termination that added it.';
comment on column obligation.treatment is 'How one that was added later counts: for itself, or with what remained.';
comment on column obligation.renews is 'The obligation whose term it renews.';

-- Not only that none stands without its contract: the planner knows by it that each has one, and joins them as many.
alter table obligation add constraint obligation_contract foreign key (customer_id, contract_id) references contract;

alter table contract add column package text;
alter table contract add column combined_because text;
comment on column contract.package is
    'The first of the contracts it was signed together with: they are accounted for as one (606-10-25-9).';

alter table obligation_version add column refund_minor bigint not null default 0;
comment on column obligation_version.refund_minor is 'What of its bills is expected to be given back: refund liability.';
alter table obligation_version drop constraint obligation_version_treatment_check;
alter table obligation_version add constraint obligation_version_treatment_check
    check (treatment in ('prospective', 'catch_up', 'cancelled', 'terminated', 'price', 'combined'));

alter table contract_cost add column kind text not null default 'obtain' check (kind in ('obtain', 'fulfil'));
comment on column contract_cost.kind is 'To obtain the contract (340-40-25-1) or to fulfil it (25-5).';

alter table variable_estimate add column refund boolean not null default false;
comment on column variable_estimate.refund is 'It is expected to be given back of what is billed.';

-- A customer's wallets ask for these; usage is most of a customer's documents.
create index document_manual on document (customer_id) where type = 'manual_entry';

create table milestone (
    customer_id bigint not null,
    document_id bigint not null,
    subject text not null,
    milestone text not null,
    amount_minor bigint not null check (amount_minor > 0),
    primary key (customer_id, document_id, subject, milestone)
);
comment on table milestone is 'The milestones of an obligation and what each is worth, as a contract or a modification agreed them.';
create index milestone_subject on milestone (customer_id, subject);
alter table progress add column milestone text;
comment on column progress.milestone is 'The milestone that was reached, which is worth this quantity.';

create table financing (
    customer_id bigint not null,
    document_id bigint not null,
    subject text not null,
    rate numeric not null check (rate > 0),
    compounding text not null check (compounding in ('annual', 'monthly')),
    promised_minor bigint not null,
    primary key (customer_id, subject)
);
comment on table financing is
    'The discount rate of an obligation whose payments finance one side (606-10-32-15); what was promised for it.';

create table financed_payment (
    customer_id bigint not null,
    subject text not null,
    position integer not null,
    paid_on date not null,
    amount_minor bigint not null,
    primary key (customer_id, subject, position)
);
comment on table financed_payment is 'What is to be paid for an obligation, and when, as agreed: interest is counted by it.';

do $$
declare
    name text;
begin
    foreach name in array array['milestone', 'financing', 'financed_payment'] loop
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
           o.deferred_account, o.unbilled_account, o.revenue_account, c.ref as contract, null::text as invoice,
           coalesce(c.package, c.ref) as package, o.document_id as known_by
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
           l.deferred_account, l.unbilled_account, l.revenue_account, null::text, i.ref, null::text, i.invoice_id
    from invoice_line l
    join invoice i using (customer_id, invoice_id)
    where l.own_obligation
    union all
    select x.customer_id, x.subject, i.entity, i.currency, x.product, 'daily', x.starts_on, x.ends_on,
           null::numeric, null::bigint, null::bigint, false, d.dated_on,
           x.deferred_account, x.unbilled_account, x.revenue_account, null::text, i.ref, null::text, x.document_id
    from line_change x
    join invoice i using (customer_id, invoice_id)
    join document d on d.customer_id = x.customer_id and d.document_id = x.document_id
    where x.own_obligation;
comment on view performance_obligation is
    'Every obligation with its whole term and its price as it stands now. A null price means: what was billed to its '
    'accounts.';
