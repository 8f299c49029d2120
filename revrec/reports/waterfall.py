"""The revenue waterfall: booked when, and recognised in which months."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection, text

from ledger.amounts.dates import month_end, month_start
from ledger.amounts.money import exponent
from ledger.journal.currencies import as_decimal, require_rate
from ledger.reports.report import PERIODS, Column, Filters, Report, last_day, sides
from revrec.reports.rows import TITLES, facts_of
from revrec.terms.schedules import SEGMENT_SQL, earned_sql, parts_sql, share_sql, term_sql

_PASSED, _WHOLE = parts_sql("x.term_pattern", "x.term_starts_on", "x.term_ends_on", "g.month_end")
_OWN_PASSED, _OWN_WHOLE = parts_sql("p.pattern", "p.starts_on", "p.ends_on", "m.month_end")
_OWN_BEFORE, _ = parts_sql("p.pattern", "p.starts_on", "p.ends_on", "m.before_end")
REVENUE_ROLES = ("revenue", "breakage_revenue", "promotional_credits")

# What an amount still to be earned counts for: what is billed ahead at what it was billed for, the rest at the day's rate. In
# the transaction's own currency there are no rates.
_RATES = """left join jsonb_to_recordset(cast(:rates as jsonb)) as rate (entity text, currency text, functional text, value numeric)
            on rate.entity = o.entity and rate.currency = o.currency"""


def _counted(row: str, amount: str) -> str:
    ahead = f"greatest({row}.held, 0)"
    return (
        f"case when {row}.rate is null then {amount}"
        f" when {amount} between 1 and {ahead} then round({row}.held_functional::numeric * {amount} / {row}.held)"
        f" else case when {ahead} > 0 and {amount} > 0 then {row}.held_functional else 0 end"
        f"  + round(({amount} - case when {amount} > 0 then {ahead} else 0 end) * {row}.rate) end"
    )


# Each obligation as it stands on the report's day: billed and recognised. Filled in by `_standing`.
_STOOD = """
    with moved as (
        select customer_id, subject,
               sum(-sign * amount) filter (where role in ('deferred_revenue', 'refund_liability')) as deferred,
               sum(-sign * functional_amount) filter (where role in ('deferred_revenue', 'refund_liability')) as held_functional,
               sum(sign * amount) filter (where role = 'unbilled_receivable') as unbilled,
               sum(-sign * amount) filter (where role = 'revenue') as recognised
        from ({source}) x group by 1, 2
    ), stood as (
        select o.*, coalesce(m.deferred, 0)::bigint as held, coalesce(m.held_functional, 0)::bigint as held_functional,
               rate.value as rate, coalesce(rate.functional, o.currency) as shown_in,
               coalesce(m.recognised, 0)::bigint as recognised,
               (coalesce(m.deferred, 0) - coalesce(m.unbilled, 0) + coalesce(m.recognised, 0))::bigint as billed
        from performance_obligation o
        left join moved m on m.customer_id = o.customer_id and m.subject = o.subject
        {rates}
        where o.known_on <= :through {narrowed}
    )"""

# What each still has to earn, month by month from the report's own on, where what is overdue counts too: its price (billed by
# then, or agreed) by its schedule, less what is recognised. Most were never modified: their terms are one, and each month's part is what is earned by its end less what
# was by the month's before. The terms of the others are looked up month by month.
_SHOWN = (
    "customer_id, subject, entity, product, known_on, contract, invoice, starts_on, ends_on, shown_in, month, amount"
)
_SCHEDULED = f"""{_STOOD}, alike as materialized (
        {{alike}}
    ), calendar as materialized (
        select m.month::date as month, (m.month + interval '1 month - 1 day')::date as month_end, m.month::date - 1 as before_end
        from generate_series(
            :first_month::timestamp,
            greatest((select max(date_trunc('month', ends_on)) from alike), :first_month::timestamp), interval '1 month'
        ) m (month)
    ), plain as (
        select p.*, coalesce(p.first_price_minor, p.billed) as price,
               {_OWN_WHOLE} as whole
        from alike p where not p.modified
        offset 0  -- each is worked out once a row, not wherever it is named below
    ), plain_parts as (
        select p.*, m.month, {_OWN_PASSED} as passed, {_OWN_BEFORE} as passed_before
        from plain p join calendar m on m.month <= greatest(p.ends_on, cast(:first_month as date))
        where p.recognised <> p.price
        offset 0
    ), plain_earned as (
        select s.*, {share_sql("s.price", "s.passed", "s.whole")} as earned,
               case when s.month = cast(:first_month as date) then s.recognised
                    else {share_sql("s.price", "s.passed_before", "s.whole")} end as before
        from plain_parts s
        offset 0
    ), numbered as (
        select *, row_number() over () as place from alike where modified
    ), grid as (
        select p.*, m.month, m.month_end
        from numbered p join calendar m on m.month <= greatest(p.ends_on, cast(:first_month as date))
    ), parts as (
        select g.*, x.*, {_PASSED} as passed_of, {_WHOLE} as whole_of,
               coalesce(x.agreed, g.billed) as price
        from grid g {{terms}}
        offset 0
    ), segments as (
        select *, {SEGMENT_SQL} from parts where term_pattern <> 'progress'
        offset 0
    ), earned as (
        select s.*, {earned_sql("s", "s.price")} as earned from segments s
        offset 0
    ), steps as (
        select *, lag(earned, 1, recognised) over (partition by place order by month) as before from earned
        offset 0
    ), together as (
        select {_SHOWN.replace(", amount", "")}, earned, before, recognised, rate, held, held_functional, alike from plain_earned
        union all
        select {_SHOWN.replace(", amount", "")}, earned, before, recognised, rate, held, held_functional, alike from steps
    ), coming as (
        select {_SHOWN.replace("amount", "")}
               ({_counted("s", "(s.earned - s.recognised)")} - {_counted("s", "(s.before - s.recognised)")})::bigint * s.alike as amount
        from together s
    )
    {{select}}
""".replace(":first_month::timestamp", "cast(:first_month as timestamp)")

# What tells an obligation from others, beside its terms and where it stands.
_NAMES = {
    "customer_id": "bigint", "subject": "text", "entity": "text", "product": "text", "known_on": "date", "contract": "text",
    "invoice": "text",
}  # fmt: skip
_PRICE = "coalesce(first_price_minor, billed)"


def _alike(by: Sequence[str] | None) -> str:
    """Obligations to be worked out, those that are alike as one.

    They differ in nothing that is asked for; with how many they are. What is sold to many at the same price for the same term is most of
    a million obligations. Those that were modified, or that are told apart (`by` is None), stay themselves.
    """
    each = "select s.*, 1 as alike from stood s where s.pattern <> 'progress'"
    if by is None:
        return each
    names = ", ".join(name if name in by else f"cast(null as {kind}) as {name}" for name, kind in _NAMES.items())
    terms = "pattern, starts_on, ends_on, quantity, modified, held, held_functional, rate, shown_in, recognised"
    alone = f"{', '.join(_NAMES)}, {terms}, first_price_minor, billed"
    return (
        f"select {alone}, 1 as alike from stood where pattern <> 'progress' and modified union all"
        f" select {names}, {terms}, {_PRICE} as first_price_minor, {_PRICE} as billed, count(*) as alike"
        f" from stood where pattern <> 'progress' and not modified group by {', '.join([*by, terms, _PRICE])}"
    )


# What is left of those that progress earns: what progress will be made, and when, nobody knows before it is reported.
_BY_PROGRESS = f"""{_STOOD}, on_day as (
        select p.*, cast(:through as date) as month_end from stood p where p.pattern = 'progress' or p.modified
    ), left_to_earn as (
        select g.*, (coalesce(x.agreed, g.billed) - g.recognised)::bigint as left_over
        from on_day g {{terms}} where x.term_pattern = 'progress'
    ), open as (
        select l.*, ({_counted("l", "l.left_over")})::bigint as amount from left_to_earn l
    )
    {{select}}
"""

# What is promised is known from the document that added it, be it a contract or an invoice.
_KNOWN = """exists (
    select from document d where d.customer_id = o.customer_id and d.document_id = o.known_by and d.posted_at <= :known_at)"""

# What a bill of a closed month brought to the first open one stands in the books from there on.
_COUNTED = """not exists (
    select from entry late where late.customer_id = o.customer_id and late.document_id = o.known_by
    and late.effective_on > :through and late.occurred_on <= :through)"""


def scheduled(
    connection: Connection, filters: Filters, through: date, select: str, by: Sequence[str] | None = None
) -> Sequence[Any]:
    """What obligations still have to earn on a day, month by month.

    In transaction currency, unless the entity's is asked for. The first month is the day's own: what of it, or of months before, is not
    recognised yet is scheduled there. By the terms agreed by that day; what progress will be made nobody knows before it is reported.
    `select` reads `coming`: an obligation's row with `month` and the `amount`, `shown_in` its currency. `by` names the columns it tells
    obligations apart by, of `_NAMES`, where it adds up the others: they are then worked out together.
    """
    source, narrowed, known, parameters = _standing(connection, filters, through)
    # The planner expects as many sums as rows, and would sort them all.
    connection.execute(text("set local work_mem = '64MB'"))
    found = connection.execute(
        text(
            _SCHEDULED.format(
                source=source,
                narrowed=narrowed,
                rates=_RATES,
                terms=term_sql("g", known, ":through"),
                select=select,
                alike=_alike(by),
            )
        ),
        parameters | {"first_month": month_start(through)},
    ).all()
    connection.execute(text("set local work_mem to default"))
    return found


def left_by_progress(connection: Connection, filters: Filters, through: date, select: str) -> Sequence[Any]:
    """What of obligations is left on a day for progress to earn. `select` reads `open`: a row with the `amount`, `shown_in`."""
    source, narrowed, known, parameters = _standing(connection, filters, through)
    return connection.execute(
        text(
            _BY_PROGRESS.format(
                source=source, narrowed=narrowed, rates=_RATES, terms=term_sql("g", known, ":through"), select=select
            )
        ),
        parameters,
    ).all()


def _rates(connection: Connection, filters: Filters, through: date) -> str:
    """The day's rates of what is promised in other currencies than the entity's.

    As JSON; none unless that is asked for. In minor units of the one for one of the other. Raises UnknownReference where the books hold
    none.
    """
    if filters.transaction is not False:
        return "[]"
    pairs = connection.execute(
        text(
            "select distinct o.entity, o.currency, e.currency as functional from performance_obligation o "
            "join entity e using (entity) where o.currency <> e.currency"
        )
    ).all()
    found = []
    for pair in pairs:
        rate = require_rate(connection, pair.currency, pair.functional, through, filters.known_at)
        rate *= Fraction(10) ** (exponent(pair.functional) - exponent(pair.currency))
        found.append({**pair._mapping, "value": str(as_decimal(rate))})
    return json.dumps(found)


def _standing(connection: Connection, filters: Filters, through: date) -> tuple[str, str, str, dict[str, object]]:
    """What narrows obligations to those as of a day, as SQL.

    (sides, conditions on obligations, condition on documents of terms, parameters).
    """
    # The liability's accounts are not kept by product; the obligation is.
    source, parameters = sides(
        replace(filters, since=None, product=None),
        "deferred_revenue",
        "refund_liability",
        "unbilled_receivable",
        "revenue",
    )
    parameters["rates"] = _rates(connection, filters, through)
    if filters.product:
        parameters["product"] = filters.product
    if filters.contract:
        parameters["contract"] = filters.contract
    narrowed = f" and {_COUNTED}"
    for clause, name in (
        ("o.entity = :entity", "entity"),
        ("o.currency = :currency", "currency"),
        ("o.product = :product", "product"),
        ("o.contract = :contract", "contract"),
        ("o.customer_id = (select customer_id from customer where ref = :customer)", "customer"),
    ):
        narrowed += f" and {clause}" if name in parameters else ""
    known = "d.dated_on <= :through"
    if filters.known_at is not None:
        known += " and d.posted_at <= :known_at"
        narrowed += f" and {_KNOWN}"
    return source, narrowed, known, parameters | {"through": through}


def waterfall(connection: Connection, filters: Filters) -> Report:
    """Revenue by the period it was booked in and the one it is recognised in.

    Posted and still scheduled. An obligation is booked when it is billed or agreed; usage and expiry when they happen. `as_of` is the
    last day counted as recognised (else the latest in the books, to its month's end); amounts are in transaction currency unless the
    entity's is asked for. Prepaid credits have no schedule: they are earned when used.
    """
    through = filters.as_of or month_end(last_day(connection, filters))
    group = tuple(name for name in TITLES if name in filters.group)
    form = PERIODS[filters.period]
    facts, parameters = facts_of(replace(filters, transaction=filters.transaction is not False), *REVENUE_ROLES)
    places = ", ".join(str(number) for number in range(1, len(group) + 4))
    recognised = connection.execute(
        text(
            f"select to_char(coalesce(booked_on, effective_on), '{form}') as booked, to_char(effective_on, '{form}') as month,"
            f" {''.join(f'{name}, ' for name in group)}currency, 'recognised' as status, -sum(net)::bigint as amount "
            f"from ({facts}) f group by {places}"
        ),
        parameters,
    )
    names = {"customer": "(select ref from customer k where k.customer_id = days.customer_id) as customer"}
    by = ("known_on", *("customer_id" if name == "customer" else name for name in group))
    # by day and month first: their names are made of the few sums, not of millions of rows
    coming = scheduled(
        connection, filters, through,
        f"select to_char(known_on, '{form}') as booked, to_char(month, '{form}') as month,"
        f" {''.join(f'{names.get(name, name)}, ' for name in group)}shown_in as currency, 'scheduled' as status,"
        f" sum(amount)::bigint as amount from (select {', '.join(by)}, month, shown_in, sum(amount) as amount from coming"
        f" group by {', '.join(by)}, month, shown_in) days group by {places}",
        by,
    )  # fmt: skip
    rows = [dict(row._mapping) for row in (*recognised, *coming) if row.amount]
    rows.sort(
        key=lambda row: (
            row["currency"],
            row["booked"],
            row["month"],
            row["status"],
            *(row[name] or "" for name in group),
        )
    )
    columns = (
        Column("booked", "Booked in"), Column("month", "Recognised in"), *(Column(name, TITLES[name]) for name in group),
        Column("status", "Status"), Column("currency", "Currency"), Column("amount", "Amount", "amount"),
    )  # fmt: skip
    found = tuple(rows)
    return Report("revenue-waterfall", "Revenue waterfall", columns, found, _totals(found), (f"as of {through}",))


def _totals(rows: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    totals: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row["currency"], row["status"])
        totals[key] = totals.get(key, 0) + row["amount"]
    return tuple(
        {"booked": "Total", "status": status, "currency": currency, "amount": amount}
        for (currency, status), amount in sorted(totals.items())
    )


def by_month(report: Report) -> list[tuple[str, int, int]]:
    """(month, recognised, scheduled) over all cohorts, for a chart."""
    months: dict[str, list[int]] = {}
    for row in report.rows:
        months.setdefault(row["month"], [0, 0])[row["status"] == "scheduled"] += row["amount"]
    return [(month, recognised, scheduled) for month, (recognised, scheduled) in sorted(months.items())]
