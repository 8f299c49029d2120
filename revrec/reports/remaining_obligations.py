"""Remaining performance obligations: what is promised and not given, by when it is revenue."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from ledger.reports.report import Column, Filters, Report, last_day
from revrec.reports.promised import SHORT_GRANTS, promised
from revrec.reports.rows import columns_of, facts_of, grouped, key_of, totals_of
from revrec.reports.waterfall import left_by_progress, scheduled

_HORIZONS = (
    ("within_12", "Within 12 months", 12),
    ("within_24", "13\N{EN DASH}24 months", 24),
    ("later", "Later", None),
)


# Whether what an obligation is of was to last a year or less: its contract as signed, or a line's own term.
_TERMS = """left join (
    select t.customer_id, t.ref as contract,
           max(coalesce(o.ends_on, date '2199-12-31')) < min(o.starts_on) + interval '1 year' as short
    from contract t join obligation o using (customer_id, contract_id) where o.added_on is null group by 1, 2
) signed using (customer_id, contract)"""
_SHORT = "coalesce(signed.short, ends_on < starts_on + interval '1 year')"


def _horizon(day: date, until: date) -> str:
    """Which horizon a day is in, by whole months after another."""
    months = (day.year - until.year) * 12 + day.month - until.month
    return next(key for key, _, most in _HORIZONS if most is None or months <= most)


def _promised_by_grants(
    connection: Connection, filters: Filters, until: date, found: dict[tuple[str, ...], Counter[str]]
) -> dict[tuple[str, ...], Counter[str]]:
    """Count in what credits and commitments promise.

    Returns what of each figure stands in no account, for it is not billed.
    """
    group = grouped(filters)
    shown = replace(filters, since=None, as_of=until, transaction=filters.transaction is not False)
    facts, parameters = facts_of(shown, "customer_credits")
    for row in connection.execute(
        text(
            f"select {', '.join(group)}, currency, -sum(net)::bigint as amount, -coalesce(sum(net) filter (where s.subject is not null), 0)::bigint as short"
            f" from ({facts}) f left join ({SHORT_GRANTS}) s using (subject) group by {', '.join(group)}, currency"
        ),
        parameters,
    ):
        found[key_of(row, group)].update({"as_used": row.amount, "short": row.short})
    ahead: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for one in promised(connection, filters, until):
        places = {"entity": one.entity, "customer": one.customer, "contract": one.contract}
        key = (*(places.get(name, "") for name in group), one.currency)
        ahead[key]["as_used"] += one.ordered
        if one.committed:
            assert one.expires_on is not None, "a commitment has a last day"
            ahead[key][_horizon(one.expires_on, until)] += one.committed
        found[key]["short"] += (one.ordered + one.committed) * one.short
    for key, amounts in ahead.items():
        found[key].update(amounts)
    return ahead


def _count_scheduled(
    connection: Connection, filters: Filters, until: date, found: dict[tuple[str, ...], Counter[str]]
) -> None:
    """Count in what schedules will earn, by horizon."""
    group = grouped(filters)
    names = {"customer": "(select ref from customer k where k.customer_id = coming.customer_id)"}
    fields = ", ".join(f"{names.get(name, name)} as {name}" for name in group)
    short = f"coalesce(sum(amount) filter (where {_SHORT}), 0)::bigint as short"
    places = ", ".join(str(number) for number in range(1, len(group) + 3))
    for row in scheduled(
        connection, filters, until,
        f"select {fields}, shown_in as currency, month, sum(amount)::bigint as amount, {short} from coming {_TERMS} group by {places}",
    ):  # fmt: skip
        found[key_of(row, group)].update({_horizon(row.month, until): row.amount, "short": row.short})


def _count_by_progress(
    connection: Connection, filters: Filters, until: date, found: dict[tuple[str, ...], Counter[str]]
) -> None:
    """Count in what progress will earn, whenever that is."""
    group = grouped(filters)
    places = ", ".join(str(number) for number in range(1, len(group) + 2))
    by_progress = ", ".join(
        "(select ref from customer k where k.customer_id = open.customer_id) as customer"
        if name == "customer"
        else name
        for name in group
    )
    for row in left_by_progress(
        connection, filters, until,
        f"select {by_progress}, shown_in as currency, sum(amount)::bigint as amount from open group by {places}",
    ):  # fmt: skip
        found[key_of(row, group)]["by_progress"] += row.amount


def remaining_obligations(connection: Connection, filters: Filters) -> Report:
    """What is promised and not yet given, by when it will be revenue.

    606-10-50-13, IFRS 15.120. In transaction currency, unless the entity's is asked for: then what is billed counts as it was billed, the
    rest at the day's rate. `short` is of contracts expected to last a year or less when signed, which 606-10-50-14 lets one leave out.
    Scheduled revenue by horizon, and what is committed and not used by its last day; prepaid credits, billed or ordered, as they will be
    used, and what progress will earn, have no date.
    """
    until = filters.as_of or last_day(connection, filters)
    group = grouped(filters)
    found: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    _count_scheduled(connection, filters, until, found)
    ahead = _promised_by_grants(connection, filters, until, found)
    _count_by_progress(connection, filters, until, found)
    keys = [key for key, *_ in _HORIZONS] + ["as_used", "by_progress"]
    rows: list[dict[str, Any]] = [
        dict(zip((*group, "currency"), place, strict=True))
        | {key: amounts[key] for key in (*keys, "short")}
        | {"total": sum(amounts[key] for key in keys), "ahead": ahead.get(place, {})}
        for place, amounts in sorted(found.items())
        if any(amounts.values())
    ]
    columns = columns_of(
        filters, *(Column(key, title, "amount") for key, title, _ in _HORIZONS), Column("as_used", "As credits are used", "amount"),
        Column("by_progress", "By progress", "amount"), Column("total", "Total", "amount"),
        Column("short", "Of it: a year or less", "amount"), period=False,
    )  # fmt: skip
    return Report(
        "remaining-obligations",
        "Remaining performance obligations",
        columns,
        tuple(rows),
        totals_of(rows, *keys, "total", "short"),
        (f"as of {until}",),
    )
