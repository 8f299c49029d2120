"""What must always hold of obligations and costs, beside what the ledger asks."""

from __future__ import annotations

from ledger.proof.invariants.question import SIDES, Question, negative_balances

QUESTIONS = (
    Question(
        "no capitalised cost is amortised or impaired beyond what it cost, on any day",
        "costs",
        "select count(*) from contract_cost",
        SIDES + negative_balances("contract_costs", "cost", "cost"),
    ),
    Question(
        "no obligation earned more than its price: agreed or billed, less what was credited or given up",
        "obligations",
        "select count(*) from performance_obligation",
        # What lowered a price counts once a recognition run has come after it, as far as revenue was recognised before: until
        # then revenue is ahead of it, which the next run puts right.
        SIDES
        + """, runs as (
               -- what is of a month that was closed then counts in the first open one
               select d.document_id, e.entity, ((d.body::json ->> 'through') || '-01')::date + interval '1 month' as before,
                      (select case p.action when 'closed' then p.month + interval '1 month' else p.month end from period_event p
                       where p.entity = e.entity and p.at <= d.posted_at order by p.period_event_id desc limit 1) as first_open
               from document d cross join entity e where d.type = 'recognition'
           ), earned as (
               select customer_id, subject, sum(-net) as amount, max(effective_on) as recognised_on
               from sides where subject like 'obligation:%' and role = 'revenue' group by 1, 2
           ), versions as (
               select customer_id, subject, edition, version, max(price_minor) as price, min(edition_by) as edition_by,
                      min(from_day) as from_day
               from obligation_terms group by 1, 2, 3, 4
           ), editions as (
               select customer_id, subject, edition, min(min(edition_by)) over (
                          partition by customer_id, subject order by edition rows between 1 following and unbounded following) as by
               from versions group by 1, 2, 3
           ), replaced as (
               select v.*, lead(from_day) over (partition by customer_id, subject, edition order by version) as until, n.by
               from versions v join editions n using (customer_id, subject, edition)
           ), reachable as (
               select r.customer_id, r.subject, max(r.price) as most, min(r.price) as least
               from replaced r join performance_obligation o using (customer_id, subject) left join earned e using (customer_id, subject)
               where (r.by is null or not exists (select from runs where entity = o.entity and document_id > r.by
                                                  and before > greatest(e.recognised_on, r.from_day, first_open)))
                 and (r.until is null or not exists (select from runs where entity = o.entity
                                                     and document_id >= coalesce(r.by, r.edition_by)
                                                     and before > greatest(e.recognised_on, r.until, first_open)))
               group by 1, 2
           ), priced as (
               select o.subject, o.currency, e.amount, greatest(r.most, o.price_minor, case when r.subject is not null and x.first
                          then o.first_price_minor end) as most, least(r.least, o.price_minor, case when r.subject is not null
                          and x.first then o.first_price_minor end) as least
               from performance_obligation o join earned e using (customer_id, subject)
               left join reachable r using (customer_id, subject)
               left join (select customer_id, subject, min(edition_by) as by from versions group by 1, 2) f using (customer_id, subject)
               cross join lateral (
                   -- before its terms were first changed it stood at its first price
                   select not exists (select from runs where entity = o.entity and document_id > f.by
                                      and before > greatest(e.recognised_on, first_open)) as first
               ) x
               where o.price_minor is not null
           )
           select format('%s: <%s|%s> of <%s|%s>', subject, amount, currency, most, currency) from priced
           where amount > greatest(most, 0) or amount < least(least, 0)""",
    ),
)
