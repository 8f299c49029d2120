-- Contracts: what was agreed, what changed it, what each obligation's terms are since, and what its price stands on.

-- What was signed with a customer, and its price.
create table contract (
    customer_id bigint not null,
    contract_id bigint not null,
    ref text not null,
    entity text not null references entity,
    currency text not null,
    signed_on date not null,
    price_minor bigint not null,
    receivable text not null default 'issued' check (receivable in ('issued', 'unconditional')),
    package text,
    combined_because text,
    primary key (customer_id, contract_id)
);
comment on column contract.receivable is
    'When what is invoiced becomes a receivable: on the invoice''s date, or once it is due (606-10-45-4).';
comment on column contract.package is
    'The first of the contracts it was signed together with: they are accounted for as one (606-10-25-9).';

-- What is promised in a contract, and how it is earned: over days, or by progress.
create table obligation (
    customer_id bigint not null,
    contract_id bigint not null,
    ref text not null,
    product text not null references product,
    price_minor bigint not null,
    ssp_minor bigint,
    pattern text not null,
    starts_on date not null,
    ends_on date check (ends_on >= starts_on),
    deferred_account bigint not null,
    unbilled_account bigint not null,
    revenue_account bigint not null,
    quantity numeric check (quantity > 0),
    added_on date,
    document_id bigint not null,
    treatment text,
    reason text,
    renews text,
    primary key (customer_id, contract_id, ref),
    -- Not only that none stands without its contract: the planner knows by it that each has one, and joins them as many.
    constraint obligation_contract foreign key (customer_id, contract_id) references contract
);
comment on column obligation.price_minor is 'Its share of the transaction price, allocated when the contract was signed.';
comment on column obligation.ends_on is 'The last day counted; none where progress says how much is given.';
comment on column obligation.added_on is 'When a modification added it; the contract''s signing otherwise.';
comment on column obligation.document_id is 'The contract, or the modification, renewal or termination that added it.';
comment on column obligation.treatment is 'How one that was added later counts: for itself, or with what remained.';
comment on column obligation.renews is 'The obligation whose term it renews.';
create index obligation_ref on obligation (ref);
-- What ended lately is looked at first.
create index obligation_ended on obligation (ends_on);

-- A document that changed what was agreed, from a day on.
create table contract_modification (
    customer_id bigint not null,
    document_id bigint not null,
    ref text not null,
    contract text not null,
    effective_on date not null,
    primary key (customer_id, document_id)
);

-- Terms --------------------------------------------------------------------------------------------------------

-- In editions: each document that changes any has all of the obligation's terms written anew, folded from its documents in the order
-- of their dates. The latest edition counts; the others say what was known before.
create table obligation_terms (
    customer_id bigint not null,
    subject text not null,
    edition integer not null,
    version integer not null,
    segment integer not null,
    document_id bigint not null,
    edition_by bigint not null,
    from_day date not null,
    treatment text not null,
    reason text not null,
    price_minor bigint not null,
    change_minor bigint not null,
    refund_minor bigint not null,
    pattern text not null,
    starts_on date not null,
    ends_on date,
    quantity numeric,
    counts_from date not null,
    base_minor bigint not null,
    reaches_minor bigint not null,
    begins numeric not null,
    ends numeric,
    primary key (customer_id, subject, edition, version, segment)
);
comment on table obligation_terms is
    'What an obligation is from a day on, by edition and version, a row for each part of its price that is earned by itself.';
comment on column obligation_terms.document_id is 'What changed the terms: the contract, a modification, a credit note, ...';
comment on column obligation_terms.edition_by is 'The document with which these terms became known.';
comment on column obligation_terms.price_minor is 'All of its price by this version.';
comment on column obligation_terms.change_minor is 'By how much this version changed the price.';
-- Less what was given back: so it stands again where a bill comes back, or money for one that was written off.
comment on column obligation_terms.refund_minor is 'What of its bills is expected to be given back and was not yet: refund liability.';
comment on column obligation_terms.counts_from is 'From which day on the segment is the one that is earned.';
comment on column obligation_terms.base_minor is 'What is earned before the segment is.';
comment on column obligation_terms.reaches_minor is 'What is earned once the segment is.';
comment on column obligation_terms.begins is 'How many parts of the pattern (days, months, progress) have passed when the segment begins.';
comment on column obligation_terms.ends is 'How many have when it is earned; all of them by default.';
create index obligation_terms_ended on obligation_terms (from_day);

create table terms_to_fold (
    customer_id bigint not null,
    subject text not null,
    primary key (customer_id, subject)
);
comment on table terms_to_fold is 'Obligations whose terms the next recognition folds anew: those of books of an older schema.';

create view obligation_version as
    select customer_id, subject, version, document_id, from_day, treatment, reason, price_minor, base_minor, pattern, starts_on, ends_on,
           quantity, case when pattern = 'progress' then begins else 0 end as done_before, refund_minor, edition_by
    from obligation_terms t
    where segment = 1 and version > 1
      and edition = (select max(edition) from obligation_terms l where l.customer_id = t.customer_id and l.subject = t.subject);
comment on view obligation_version is
    'What changed an obligation, from a day on, by the latest edition of its terms; earlier days keep the version before.';

-- Service that only an invoice tells of is earned in the invoice's month, or in its own where the entity says so.
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

-- Progress -----------------------------------------------------------------------------------------------------

-- What was delivered of an obligation that time does not earn.
create table progress (
    customer_id bigint not null,
    document_id bigint not null,
    subject text not null,
    effective_on date not null,
    quantity numeric check (quantity > 0),
    percent numeric check (percent >= 0 and percent <= 100),
    milestone text,
    primary key (customer_id, document_id),
    check ((quantity is null) <> (percent is null))
);
comment on column progress.quantity is 'Delivered by this document.';
comment on column progress.percent is 'Complete by that day, in all.';
comment on column progress.milestone is 'The milestone that was reached, which is worth this quantity.';
create index progress_subject on progress (customer_id, subject, effective_on);

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

-- Prices -------------------------------------------------------------------------------------------------------

-- A catalogue, dated, with ranges (606-10-32-32 to 32-34).
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

-- Variable consideration, estimated and estimated again (606-10-32-5 to 32-14).
create table variable_estimate (
    customer_id bigint not null,
    document_id bigint not null,
    ref text not null,
    contract text not null,
    component text not null,
    effective_on date not null,
    method text not null check (method in ('expected_value', 'most_likely', 'amount')),
    expected_minor bigint not null,
    included_minor bigint not null,
    before_minor bigint not null,
    obligations text[],
    reason text,
    refund boolean not null default false,
    primary key (customer_id, document_id),
    check (abs(included_minor) <= abs(expected_minor) and sign(included_minor) * sign(expected_minor) >= 0)
);
comment on table variable_estimate is
    'What a component of a contract''s price is expected to be, and how much of that the constraint lets in, from a day on.';
comment on column variable_estimate.before_minor is 'What the estimate before it had let in.';
comment on column variable_estimate.refund is 'It is expected to be given back of what is billed.';
create index variable_estimate_contract on variable_estimate (customer_id, contract, component);

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

-- Costs of contracts (ASC 340-40): capitalised, amortised over the benefit period, impaired --------------------

create table contract_cost (
    customer_id bigint not null,
    document_id bigint not null,
    ref text not null,
    contract text not null,
    entity text not null references entity,
    currency text not null,
    amount_minor bigint not null check (amount_minor > 0),
    capitalised_on date not null,
    pattern text not null check (pattern in ('daily', 'monthly', 'monthly_prorated')),
    starts_on date not null,
    ends_on date not null check (ends_on >= starts_on),
    kind text not null default 'obtain' check (kind in ('obtain', 'fulfil')),
    primary key (customer_id, document_id)
);
comment on table contract_cost is 'A cost capitalised with a contract, and the period that benefits from it.';
comment on column contract_cost.kind is 'To obtain the contract (340-40-25-1) or to fulfil it (25-5).';
create index contract_cost_contract on contract_cost (customer_id, contract);

create table cost_impairment (
    customer_id bigint not null,
    document_id bigint not null,
    cost_id bigint not null,
    impaired_on date not null,
    amount_minor bigint not null check (amount_minor > 0),
    primary key (customer_id, document_id)
);
comment on table cost_impairment is 'What of a cost will not be recovered, from a day on; the rest is amortised over what remains.';

-- What is kept -------------------------------------------------------------------------------------------------

select pg_temp.never_changed('contract', 'obligation', 'contract_modification', 'obligation_terms', 'progress', 'milestone',
                             'stand_alone_price', 'variable_estimate', 'financing', 'financed_payment', 'contract_cost',
                             'cost_impairment');
select keep_row_log(name)
from unnest(array['contract', 'obligation', 'contract_modification', 'obligation_terms', 'progress', 'milestone',
                  'stand_alone_price', 'variable_estimate', 'financing', 'financed_payment', 'contract_cost',
                  'cost_impairment']) name;
