"""Contract balances: receivables, assets and liabilities at both ends of a period."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.chart import CONTRACT_LIABILITIES
from ledger.reports.report import Column, Filters, Report, last_day
from revrec.reports.flows import rules_of
from revrec.reports.rows import columns_of, facts_of, grouped, key_of


def _first_day(filters: Filters, until: date) -> date:
    return filters.since or date(until.year, 1, 1)


# What is no contract's asset or liability is shown for itself: under which name, with which sign.
_ALONE = {"accounts_receivable": ("receivables", 1), "refund_liability": ("refunds", -1)}


def contract_balances(connection: Connection, filters: Filters) -> Report:
    """Receivables, contract assets and liabilities at both ends of a period.

    606-10-50-8, IFRS 15.116. And the revenue of the period that was in the opening liability. The assets and liabilities of a contract,
    or of contracts accounted for as one, are shown net (606-10-45-1); `netted` is what that takes off both, so that balances and it tie
    to the ledger, which keeps them by obligation. What is expected back is no contract liability, and is shown apart. Without a first day
    the period is the calendar year.
    """
    until = filters.as_of or last_day(connection, filters)
    since = _first_day(filters, until)
    group = grouped(filters)
    facts, parameters = facts_of(
        replace(filters, since=None, as_of=until), "accounts_receivable", "unbilled_receivable", "refund_liability",
        *CONTRACT_LIABILITIES,
    )  # fmt: skip
    rows = connection.execute(
        text(
            f"select customer_id, subject, {', '.join(dict.fromkeys((*group, 'package')))}, currency, role,"
            f" coalesce(sum(net) filter (where effective_on < :since_), 0)::bigint as opening, sum(net)::bigint as closing,"
            f" coalesce(sum(net) filter (where effective_on >= :since_ and rule = any(:recognising)), 0)::bigint as recognised "
            f"from ({facts}) f group by customer_id, subject, {', '.join(dict.fromkeys((*group, 'package')))}, currency, role"
        ),
        parameters
        | {
            "since_": since,
            "recognising": rules_of("liability", "recognised"),
        },
    ).all()
    found = _netted(rows, group)
    lines = [
        line
        for key in sorted(found)
        for line in _balance_lines(
            dict(zip((*group, "currency"), key, strict=True)) | {"since": since, "until": until}, found[key]
        )
    ]
    columns = columns_of(
        filters, Column("balance", "Balance"), Column("opening", "Opening", "amount"), Column("change", "Change", "amount"),
        Column("closing", "Closing", "amount"), period=False,
    )  # fmt: skip
    return Report("contract-balances", "Contract balances", columns, tuple(lines), notes=(f"{since} to {until}",))


def _netted(rows: Iterable[Any], group: Sequence[str]) -> dict[tuple[str, ...], Counter[str]]:
    """Balances by group, those of each contract netted.

    And what of its opening liability was recognised.
    """
    found: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    # by contract: its position at the start and the end, and both sides of it as the ledger has them
    contracts: dict[tuple[tuple[str, ...], int, str], Counter[str]] = defaultdict(Counter)
    liabilities: dict[tuple[tuple[str, ...], int, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        key = key_of(row, group)
        if row.role in _ALONE:
            name, sign = _ALONE[row.role]
            found[key].update({f"{name}_opening": sign * row.opening, f"{name}_closing": sign * row.closing})
            continue
        contract = contracts[key, row.customer_id, row.package or row.subject]
        for moment in ("opening", "closing"):
            contract[moment] -= getattr(row, moment)
            contract[f"gross_{moment}"] += abs(getattr(row, moment))
        if row.role in CONTRACT_LIABILITIES:
            liabilities[key, row.customer_id, row.subject].update(
                {"opening": -row.opening, "recognised": row.recognised}
            )
    for (key, _, _), position in contracts.items():
        for moment in ("opening", "closing"):
            net = position[moment]
            found[key][f"liabilities_{moment}" if net > 0 else f"assets_{moment}"] += abs(net)
            found[key][f"netted_{moment}"] += (position[f"gross_{moment}"] - abs(net)) // 2
    for (key, _, _), liability in liabilities.items():
        found[key]["released"] += max(min(liability["opening"], liability["recognised"]), 0)
    return found


def _balance_lines(place: dict[str, Any], amounts: Counter[str]) -> list[dict[str, Any]]:
    """The lines of a group: each balance at both ends.

    Refund liabilities where there are any, and what was released.
    """
    lines = []
    for name, title in (
        ("receivables", "Receivables"), ("assets", "Contract assets"), ("liabilities", "Contract liabilities"),
        ("netted", "Netted within contracts"), ("refunds", "Refund liabilities"),
    ):  # fmt: skip
        opening, closing = amounts[f"{name}_opening"], amounts[f"{name}_closing"]
        if name != "refunds" or opening or closing:
            lines.append(
                place | {"balance": title, "opening": opening, "change": closing - opening, "closing": closing}
            )
    lines.append(place | {"balance": "Revenue that was in the opening liability", "change": amounts["released"]})
    return lines
