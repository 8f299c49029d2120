"""Roll-forwards: opening balance, what moved it, closing balance; and what is not billed.

They can be grouped by entity, customer, contract and product, and add up by month, quarter or year; amounts are in the
entity's currency, or in the transaction's where asked. Each ties to the general ledger.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.chart import CONTRACT_LIABILITIES
from ledger.reports.report import Column, Filters, Report
from revrec.reports.flows import ASSET_FLOWS, LIABILITY_FLOWS, flow_of
from revrec.reports.rows import TITLES, columns_of, facts_of, grouped, key_of, period_sql, totals_of


def _roll_forward(
    connection: Connection, filters: Filters, roles: Sequence[str], flows: Mapping[str, tuple[str, ...]], sign: int
) -> list[dict[str, Any]]:
    """Opening balance, each flow, closing balance; by period and group."""
    group = grouped(filters)
    facts, parameters = facts_of(replace(filters, since=None), *roles)
    rows = connection.execute(
        text(
            f"select {period_sql(filters)} as period, {', '.join(group)}, currency, rule, sum(net)::bigint as net,"
            f" bool_or(cast(:since_ as date) is not null and effective_on < :since_) as before"
            f" from ({facts}) f group by {', '.join(group)}, currency, rule, period,"
            f" (cast(:since_ as date) is not null and effective_on < :since_)"
        ),
        parameters | {"since_": filters.since},
    ).all()
    opening: Counter[tuple[str, ...]] = Counter()
    moved: dict[tuple[str, ...], dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for row in rows:
        key = key_of(row, group)
        if row.before:
            opening[key] += sign * row.net
        else:
            moved[key][row.period][flow_of(row.rule, flows)] += sign * row.net
    periods = sorted({period for by_period in moved.values() for period in by_period})
    found = []
    for key in sorted({*moved, *opening}):
        balance = opening[key]
        for period in periods:
            flow = moved[key].get(period, Counter())
            closing = balance + sum(flow.values())
            if balance or flow:
                place = dict(zip((*group, "currency"), key, strict=True))
                found.append(
                    {"period": period, **place, "opening": balance, **{name: flow[name] for name in (*flows, "other")},
                     "closing": closing}
                )  # fmt: skip
            balance = closing
    return sorted(found, key=lambda line: (line["period"], *(line[name] for name in group), line["currency"]))


def deferred_roll_forward(connection: Connection, filters: Filters) -> Report:
    """Contract liabilities (deferred revenue and prepaid credits), rolled forward.

    Opening, billed, recognised, credited, other, closing. The closing balance is that of the two accounts in the trial balance.
    """
    rows = _roll_forward(connection, filters, CONTRACT_LIABILITIES, LIABILITY_FLOWS, -1)
    columns = columns_of(
        filters, *(Column(name, name.capitalize(), "amount") for name in ("opening", "billed", "recognised", "credited", "other", "closing"))
    )  # fmt: skip
    return Report("deferred-rollforward", "Deferred revenue roll-forward", columns, tuple(rows))


def asset_roll_forward(connection: Connection, filters: Filters) -> Report:
    """Contract assets (earned, not billed): opening, earned, billed, credited, other, closing."""
    rows = _roll_forward(connection, filters, ("unbilled_receivable",), ASSET_FLOWS, 1)
    columns = columns_of(
        filters, *(Column(name, name.capitalize(), "amount") for name in ("opening", "earned", "billed", "credited", "other", "closing"))
    )  # fmt: skip
    return Report("asset-rollforward", "Contract asset roll-forward", columns, tuple(rows))


def unbilled(connection: Connection, filters: Filters) -> Report:
    """What is earned and not billed, thing by thing, or by what is to be kept apart; since when."""
    facts, parameters = facts_of(replace(filters, since=None), "unbilled_receivable")
    titles = TITLES | {"subject": "For"}
    names = grouped(filters) if filters.group else tuple(titles)
    places = ", ".join(str(number) for number in range(1, len(names) + 2))
    rows = connection.execute(
        text(
            f"select {', '.join(names)}, currency, sum(net)::bigint as amount,"
            f" max(effective_on) filter (where net > 0) as earned_on from ({facts}) f "
            f"group by {places} having sum(net) <> 0 order by {places}"
        ),
        parameters,
    )
    found = tuple(dict(row._mapping) for row in rows)
    columns = (
        *(Column(name, titles[name]) for name in names),
        Column("currency", "Currency"),
        Column("earned_on", "Last earned", "date"),
        Column("amount", "Unbilled", "amount"),
    )
    return Report("unbilled", "Earned and not billed", columns, found, totals_of(found, "amount"))
