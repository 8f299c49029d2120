"""The steps that recognition has to post, by obligation and month, as SQL."""

from __future__ import annotations

from revrec.terms.schedules import SEGMENT_SQL, earned_sql, parts_sql, share_sql, term_sql

_PASSED, _WHOLE = parts_sql("x.term_pattern", "x.term_starts_on", "x.term_ends_on", "g.month_end")
_QUICK_PASSED, _QUICK_WHOLE = parts_sql("t.pattern", "t.starts_on", "t.ends_on", "cast(:through as date)")

# The accounts of an obligation `t`, and what moved of them. What is expected back is kept apart from deferred revenue, and is billed
# and not earned as that is. What was given up or back of what was earned stands beside revenue: it took a bill away, no revenue.
_ACCOUNTS = """(
                values (t.deferred_account, 'deferred'), (t.unbilled_account, 'unbilled'), (t.revenue_account, 'revenue')
                union all
                select account_id, 'deferred' from account
                where t.expects_back and customer_id = t.customer_id and entity = t.entity and currency = t.currency
                  and subject = t.subject and role = 'refund_liability'
            ) a (account_id, part)"""
_MOVEMENTS = """(
                select p.effective_on, p.rule, p.amount as net, p.functional_amount as functional, a.part from posting p
                where p.customer_id = t.customer_id and p.credit_account = a.account_id
                union all
                select p.effective_on, p.rule, -p.amount, -p.functional_amount, a.part from posting p
                where p.customer_id = t.customer_id and p.debit_account = a.account_id
            ) s"""
_SUMS = """coalesce(sum(s.net) filter (where s.part = 'deferred'), 0)::bigint as deferred,
               coalesce(-sum(s.net) filter (where s.part = 'unbilled'), 0)::bigint as unbilled,
               coalesce(sum(s.net) filter (where s.part = 'revenue'), 0)::bigint as recognised"""

# The month's end, or the term's where that is sooner, but not before what was billed in the month, or what made the price what it is.
# After the run's last month only what invoices settle is posted, on their day; in other currencies, where the day is a rate, as later.
_DATE = """case when AFTERWARDS then greatest(coalesce(g.last_moved_on, g.recognised_on), g.first_open)
    when x.term_ends_on between g.month and g.month_end
    then greatest(x.term_ends_on, coalesce(g.last_moved_on, x.term_ends_on), g.first_open, least(g.counts_from, g.month_end), (
        select max(ov.from_day) from obligation_terms ov where g.modified and ov.customer_id = g.customer_id and ov.subject = g.subject
        and ov.from_day between g.month and g.month_end)) else g.month_end end"""

# What recognition has to post, by obligation and month. The contract position of an obligation is what was billed
# less what was earned: above zero it is deferred revenue, below it an unbilled receivable, never both.
#   totals     of obligations whose only month in the run is its last, all that moved of their accounts: where none of it
#              belongs to another month, one row says what all the steps below would find (`quick`)
#   moved      the net change of its accounts by month; closed months count in the first open one
#   grid       the months of its term, those in which something moved, and those of its versions
#   standing   its accounts at each month's end as posted: deferred, unbilled, recognised
#   gap        what the schedule has earned by then and is not recognised; nothing more after the run's last month
#   due        what they should be: earned, and the position that leaves
#   step       the change each month needs, beyond the change of the months before it
#   mixed      contracts of which one obligation is billed ahead and another earned ahead: `net_positions` tells what they show
_NEEDED = f"""
    with promised as (
        select o.*, b.first_open,
               (o.customer_id, o.subject) in (select customer_id, subject from account where role = 'refund_liability') as expects_back,
               coalesce((o.customer_id, o.package) in (
                   select t.customer_id, coalesce(t.package, t.ref) from contract t join obligation b using (customer_id, contract_id)
                   group by 1, 2 having count(*) > 1), false) as grouped
        from performance_obligation o
        left join closed_books c using (entity)
        cross join lateral (
            select greatest(coalesce(c.closed_through + 1, date '1970-01-01'), date '1970-01-01') as first_open
        ) b
        -- in words by which the planner expects many: it joins all that follows by that
        where coalesce((select e.currency from entity e where e.entity = o.entity) CURRENCIES o.currency, false)
          and (o.counts_from <= :through or o.starts_on <= :through
               -- money that comes before all that may bear interest, which moves its accounts
               or (o.customer_id, o.subject) in (select customer_id, subject from financed_payment where paid_on <= :through)
               -- what a later run netted with others of its contract stands in their months, too
               or o.contract is not null and exists (
                   select from posting p where p.customer_id = o.customer_id and p.rule = any(:netting)
                   and p.debit_account in (o.deferred_account, o.unbilled_account, o.revenue_account))
               or o.contract is not null and exists (
                   select from posting p where p.customer_id = o.customer_id and p.rule = any(:netting)
                   and p.credit_account in (o.deferred_account, o.unbilled_account, o.revenue_account)))
          and (c.closed_through is null or c.closed_through < :through)
    ), terms as (
        select p.*, ONE_MONTH and not p.modified and not p.grouped and p.pattern <> 'progress' and p.counts_from <= :through
                   and p.starts_on <= :through
                   and greatest(p.starts_on, p.first_open) >= date_trunc('month', cast(:through as date)) as one_month
        from promised p
    ), totals as (
        select t.*, v.*, t.one_month and coalesce(v.last_moved_on <= :through and greatest(v.first_moved_on, t.first_open)
                                                      >= date_trunc('month', cast(:through as date)), true) as quick
        from terms t
        cross join lateral (
            select max(s.effective_on) as last_moved_on, min(s.effective_on) as first_moved_on, {_SUMS}
            from {_ACCOUNTS} cross join lateral {_MOVEMENTS}
            where t.one_month
        ) v
    ), moved as (
        select t.customer_id, t.subject, t.revenue_account,
               greatest(date_trunc('month', s.effective_on)::date, t.first_open) as month,
               max(s.effective_on) filter (where s.rule <> all(:recognising) and s.rule <> all(:exchange)) as last_moved_on, max(s.effective_on) as recognised_on,
               {_SUMS},
               coalesce(-sum(s.net) filter (where s.rule = any(:netting)), 0)::bigint as netted,
               sum(s.functional) filter (where s.rule <> all(:exchange)) as billed_functional,
               sum(s.functional) filter (where s.part = 'revenue') as recognised_functional,
               -- what recognition itself posted of open months it may tell anew
               bool_or(s.part = 'unbilled' and s.rule <> all(:exchange)
                   and (s.rule <> all(:recognising) or s.effective_on < t.first_open)) as billed_late,
               bool_or(s.rule = any(:by_documents) and s.effective_on >= t.first_open) as told_by_documents,
               coalesce(sum(s.net) filter (where s.part = 'unbilled' and s.rule = any(:earning_ahead)), 0) <> 0
                   or coalesce(sum(s.net) filter (where s.part = 'unbilled' and s.rule = any(:recognising)
                                                  and s.rule <> all(:earning_ahead)), 0) <> 0 as told_late
        from (select * from totals where not quick) t
        cross join lateral {_ACCOUNTS}
        cross join lateral {_MOVEMENTS}
        group by 1, 2, 3, 4
    ), months as (
        select t.customer_id, t.revenue_account, m.month::date as month
        from (select * from totals where not quick) t
        cross join lateral generate_series(
            greatest(date_trunc('month', t.starts_on)::date, t.first_open)::timestamp,
            -- progress may be reported after the term it was promised for; and what was promised once all of it was given counts then
            case when t.pattern = 'progress' then :through
                 else least(greatest(date_trunc('month', greatest(t.ends_on, t.counts_from))::date, t.first_open), :through) end::timestamp,
            interval '1 month') m (month)
        union
        select customer_id, revenue_account, month from moved
        union
        -- a price that changes when all is given is earned, or taken back, in that month
        select t.customer_id, t.revenue_account, greatest(date_trunc('month', ov.from_day)::date, t.first_open)
        from totals t join obligation_terms ov using (customer_id, subject)
        where not t.quick and t.modified and ov.from_day <= :through
    ), grid as (
        select t.*, m.month, (m.month + interval '1 month - 1 day')::date as month_end, v.last_moved_on, v.recognised_on, v.told_by_documents,
               sum(coalesce(v.deferred, 0)) over through_month as deferred,
               sum(coalesce(v.unbilled, 0)) over through_month as unbilled,
               sum(coalesce(v.recognised, 0)) over through_month as recognised,
               sum(coalesce(v.netted, 0)) over through_month as netted,
               sum(coalesce(v.billed_functional, 0)) over through_month as billed_functional,
               sum(coalesce(v.recognised_functional, 0)) over through_month as recognised_functional,
               bool_or(coalesce(v.billed_late, false)) over through_month as billed_late,
               coalesce(bool_or(coalesce(v.told_late, false)) over (
                   through_month rows between unbounded preceding and 1 preceding), false) as late_before
        from terms t
        join months m using (customer_id, revenue_account)
        left join moved v using (customer_id, revenue_account, month)
        window through_month as (partition by t.customer_id, t.revenue_account order by m.month)
    ), standing as (
        select g.*, x.*, (g.deferred - g.unbilled + g.recognised + g.netted)::bigint as billed, {_PASSED} as passed_of,
               {_WHOLE} as whole_of, {_DATE} as dated_on
        from grid g {term_sql("g")}
        offset 0  -- each is worked out once a row, not wherever it is named below
    ), gap as (
        select s.*, case when month <= :through
                    then {earned_sql("s", "s.price")} - recognised end as needed_now,
               count(*) filter (where month <= :through) over (
                   partition by customer_id, revenue_account order by month) as run_months
        from (select standing.*, {SEGMENT_SQL}, case when agreed is null then billed when counts_from <= month_end then agreed else 0 end as price
              from standing offset 0) s
    ), due as (
        select g.*, recognised + coalesce(max(needed_now) over (
                   partition by customer_id, revenue_account, run_months), 0) as earned
        from gap g
    ), mixed as (
        select customer_id, package from due where grouped group by 1, 2
        having bool_or(netted <> 0) or (bool_or(billed > earned) and bool_or(billed < earned))
    ), step as (
        select d.*, earned - recognised - lag(earned - recognised, 1, 0::numeric) over by_month as revenue_step,
               greatest(billed - earned, 0) - deferred
                   - lag(greatest(billed - earned, 0) - deferred, 1, 0::numeric) over by_month as deferred_step
        from due d
        where not d.grouped or (d.customer_id, d.package) not in (select customer_id, package from mixed)
        window by_month as (partition by customer_id, revenue_account order by month)
    ), split as (
        select *, greatest(least(-deferred_step, greatest(revenue_step, 0)), least(revenue_step, 0)) as from_deferred
        from step
        where revenue_step <> 0 or deferred_step <> 0
    ), quick_earned as (
        select p.*, {share_sql("p.price", "p.passed", "p.whole")} as earned
        from (
            select b.*, coalesce(b.first_price_minor, b.billed) as price
            from (
                select t.*, t.deferred - t.unbilled + t.recognised as billed, {_QUICK_PASSED} as passed, {_QUICK_WHOLE} as whole
                from totals t where t.quick
                offset 0
            ) b
            offset 0
        ) p
        offset 0
    ), quick_split as (
        select *, greatest(least(-deferred_step, greatest(revenue_step, 0)), least(revenue_step, 0)) as from_deferred
        from (
            select q.*, q.earned - q.recognised as revenue_step, greatest(q.billed - q.earned, 0) - q.deferred as deferred_step
            from quick_earned q
        ) q
        where revenue_step <> 0 or deferred_step <> 0
    )
    select customer_id, subject, month, dated_on, deferred_account, unbilled_account, revenue_account,
           from_deferred::bigint as from_deferred, (revenue_step - from_deferred)::bigint as from_unbilled,
           (-deferred_step - from_deferred)::bigint as settled, entity, currency, product
    from split
    union all
    select customer_id, subject, date_trunc('month', cast(:through as date))::date,
           case when ends_on between date_trunc('month', cast(:through as date)) and :through
                then greatest(ends_on, coalesce(last_moved_on, ends_on), first_open, counts_from) else :through end,
           deferred_account, unbilled_account, revenue_account, from_deferred, revenue_step - from_deferred,
           -deferred_step - from_deferred, entity, currency, product
    from quick_split
"""


# Contracts of which at some month's end one obligation is billed ahead and another is earned ahead: what each is by then. And what
# is in another currency than the entity's, and of which anything is to be posted.
_BY_MONTH = """
    select d.customer_id, c.ref as customer, d.entity, d.currency, coalesce(case when d.grouped then d.package end, d.subject) as unit,
           d.subject, d.product, d.month, d.dated_on, d.first_open,
           d.deferred::bigint as deferred, d.unbilled::bigint as unbilled, d.recognised::bigint as recognised,
           (d.billed - d.earned)::bigint as position, d.earned::bigint as earned"""
_DUE = _NEEDED[: _NEEDED.index("    ), step as (")]
_STEPS = _NEEDED[len(_DUE) : _NEEDED.index("    select customer_id, subject, month, dated_on, deferred_account")]
SELECT = _NEEDED[len(_DUE) + len(_STEPS) :]
MIXED = f"""{_BY_MONTH}
    from due d join mixed using (customer_id, package) join customer c on c.customer_id = d.customer_id"""
# Only from the first month on in which anything is not as it is to be: what came before was told by the same documents.
_FOREIGN = f"""{_DUE}), units as (
        select d.*, coalesce(case when d.grouped then d.package end, d.subject) as unit, m.package is not null as is_mixed
        from due d left join mixed m on d.grouped and m.customer_id = d.customer_id and m.package = d.package
    ), due_now as (
        select customer_id, unit, min(month) as since from units
        where is_mixed or netted <> 0 or earned <> recognised or greatest(billed - earned, 0) <> deferred
              or greatest(earned - billed, 0) <> unbilled or told_by_documents
        group by 1, 2
    )
    {_BY_MONTH}, d.billed::bigint as billed, d.passed, d.whole, d.billed_late or first_value(d.late_before) over (
               partition by d.customer_id, d.revenue_account order by d.month) as late_before,
           d.billed_functional::bigint as billed_functional, d.recognised_functional::bigint as recognised_functional,
           d.price = d.billed and d.base = 0 and d.begins = 0 and coalesce(d.ends, d.whole_of) = d.whole_of and d.term_pattern <> 'progress' as formula
    from units d join due_now n on n.customer_id = d.customer_id and n.unit = d.unit and d.month >= n.since
    join customer c on c.customer_id = d.customer_id
    order by 1, n.unit, d.month, d.subject"""


# Obligations in their entity's currency, where each amount is one; and in others, where it has two.
def _of(needed: str, *, currencies: str, one_month: str, afterwards: str) -> str:
    return needed.replace("CURRENCIES", currencies).replace("ONE_MONTH", one_month).replace("AFTERWARDS", afterwards)


NEEDED_HOME = _of(_DUE + _STEPS, currencies="=", one_month="true", afterwards="g.month > :through")
NEEDED_FOREIGN = _of(_FOREIGN, currencies="<>", one_month="false", afterwards="false")
