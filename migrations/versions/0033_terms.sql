-- Terms of obligations in editions: each document that changes any has all of the obligation's terms written anew, folded from its
-- documents in the order of their dates. The latest edition counts; the others say what was known before.

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
comment on column obligation_terms.refund_minor is 'What of its bills is expected to be given back: refund liability.';
comment on column obligation_terms.counts_from is 'From which day on the segment is the one that is earned.';
comment on column obligation_terms.base_minor is 'What is earned before the segment is.';
comment on column obligation_terms.reaches_minor is 'What is earned once the segment is.';
comment on column obligation_terms.begins is 'How many parts of the pattern (days, months, progress) have passed when the segment begins.';
comment on column obligation_terms.ends is 'How many have when it is earned; all of them by default.';

insert into obligation_terms
select customer_id, subject, 0, version, 1, document_id, document_id, from_day, treatment, reason, price_minor, 0, refund_minor,
       pattern, starts_on, ends_on, quantity, from_day, base_minor, price_minor,
       case when pattern = 'progress' then done_before else 0 end, null
from obligation_version;

create table terms_to_fold (
    customer_id bigint not null,
    subject text not null,
    primary key (customer_id, subject)
);
comment on table terms_to_fold is 'Obligations whose terms the next recognition folds anew: those of books of an older schema.';
insert into terms_to_fold
select distinct customer_id, subject from obligation_version
union
select distinct x.customer_id, x.subject from line_change x where x.subject like 'obligation:%' and not x.own_obligation;

drop view performance_obligation;
drop table obligation_version;

create view obligation_version as
    select customer_id, subject, version, document_id, from_day, treatment, reason, price_minor, base_minor, pattern, starts_on, ends_on,
           quantity, case when pattern = 'progress' then begins else 0 end as done_before, refund_minor, edition_by
    from obligation_terms t
    where segment = 1 and version > 1
      and edition = (select max(edition) from obligation_terms l where l.customer_id = t.customer_id and l.subject = t.subject);
comment on view obligation_version is
    'What changed an obligation, from a day on, by the latest edition of its terms; earlier days keep the version before.';

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
           coalesce(c.package, c.ref) as package, o.document_id as known_by
    from obligation o
    join contract c using (customer_id, contract_id)
    left join latest v on v.customer_id = o.customer_id and v.subject = 'obligation:' || o.ref
    union all
    select l.customer_id, l.subject, i.entity, i.currency, l.product, l.pattern, l.starts_on, greatest(l.ends_on, v.ends_on),
           null::numeric, l.amount_minor, coalesce(v.price_minor, l.amount_minor), v.subject is not null, i.issued_on,
           l.deferred_account, l.unbilled_account, l.revenue_account, null::text, i.ref, null::text, i.invoice_id
    from invoice_line l
    join invoice i using (customer_id, invoice_id)
    left join latest v on v.customer_id = l.customer_id and v.subject = l.subject
    where l.own_obligation
    union all
    -- credit notes for a period of books of an older schema
    select x.customer_id, x.subject, i.entity, i.currency, x.product, 'daily', x.starts_on, x.ends_on,
           null::numeric, null::bigint, null::bigint, false, d.dated_on,
           x.deferred_account, x.unbilled_account, x.revenue_account, null::text, i.ref, null::text, x.document_id
    from line_change x
    join invoice i using (customer_id, invoice_id)
    join document d on d.customer_id = x.customer_id and d.document_id = x.document_id
    where x.own_obligation;
comment on view performance_obligation is
    'Every obligation with its whole term, its price as it was first promised and as it stands now. A null price means: what was '
    'billed to its accounts.';

create trigger never_changed before update or delete on obligation_terms for each row execute function refuse_change();
create trigger never_emptied before truncate on obligation_terms for each statement execute function refuse_change();

alter table line_change drop constraint line_change_kind_check;
alter table line_change add constraint line_change_kind_check
    check (kind in ('void', 'credit', 'refund', 'dispute', 'write_off', 'return', 'proration', 'recovery'));
alter table line_change add column rebill boolean not null default false;
alter table line_change add column undoes bigint not null default 0;
alter table line_change add column part integer not null default 0;
alter table line_change drop constraint line_change_pkey;
alter table line_change add primary key (customer_id, document_id, invoice_id, line, kind, undoes, part);
comment on column line_change.part is 'Which of several lines of the document it is by.';
comment on column line_change.undoes is 'The document whose correction this takes back; 0 where it is one itself.';
comment on column line_change.rebill is 'Only the bill is taken back: the price stays.';
comment on column line_change.own_obligation is
    'In books of an older schema, a credit for a period of its own was a negative obligation over that period.';
create index line_change_subject on line_change (customer_id, subject);
create index invoice_line_subject on invoice_line (customer_id, subject);

alter table line_tax add column undoes bigint not null default 0;
alter table line_tax drop constraint line_tax_pkey;
alter table line_tax add primary key (customer_id, document_id, invoice_id, line, position, undoes);
comment on column line_tax.undoes is 'The document whose taking back of the tax this takes back; 0 where it undoes none.';
