"""Financial statements.

What an entity earned in a period, and what it holds and owes on a day. Nothing is posted at a year's end: the results of earlier fiscal
years are shown as retained earnings, so that the books stay as they were and a late entry into last year is in this year's retained
earnings at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.chart import ROLES
from ledger.amounts.dates import month_start
from ledger.reports.report import Column, Filters, Report, last_day
from ledger.reports.trial_balance import AccountBalance, account_balances

# The sections of a statement and the kinds of accounts in them, in order.
_INCOME = {"revenue": "Revenue", "income": "Other income", "expense": "Expenses"}
_BALANCE = {"asset": "Assets", "liability": "Liabilities", "equity": "Equity"}
RETAINED = "Retained earnings"
RESULT = "Result of the year"


def year_start(day: date, first_month: int) -> date:
    """The first day of the fiscal year that a day falls in."""
    first = month_start(day).replace(month=first_month)
    return first if first <= day else first.replace(year=first.year - 1)


def _years(connection: Connection, filters: Filters) -> tuple[date, dict[str, date]]:
    """The last day counted, and each entity's first day of the fiscal year it falls in."""
    until = filters.as_of or last_day(connection, filters)
    rows = connection.execute(
        text("select entity, fiscal_year_start from entity where cast(:entity as text) is null or entity = :entity"),
        {"entity": filters.entity},
    )
    return until, {row.entity: year_start(until, row.fiscal_year_start) for row in rows}


def _result(balances: Iterable[AccountBalance]) -> Counter[tuple[str, str]]:
    """What income accounts come to, by entity and currency: profits are positive."""
    found: Counter[tuple[str, str]] = Counter()
    for balance in balances:
        if ROLES[balance.role].kind in _INCOME:
            found[balance.entity, balance.currency] -= balance.net
    return found


def income_statement(connection: Connection, filters: Filters) -> Report:
    """What each entity earned: in the period asked for, and in its fiscal year so far.

    Without a first day the period is the month of the last one. Contra revenue is below zero.
    """
    until, years = _years(connection, filters)
    since = filters.since or month_start(until)
    rows: list[dict[str, Any]] = []
    totals: list[dict[str, Any]] = []
    for entity, first in sorted(years.items()):
        of_entity = replace(filters, entity=entity, as_of=until, memorandum=False)
        in_period = _by_account(connection, replace(of_entity, since=since))
        in_year = _by_account(connection, replace(of_entity, since=first))
        of_result: Counter[str] = Counter()
        for kind, section in _INCOME.items():
            sums: Counter[str] = Counter()
            for key in sorted(in_year | in_period, key=lambda balance: balance[:3]):
                if ROLES[key[2]].kind != kind:
                    continue
                amounts = {
                    name: -found.get(key, 0) * (-1 if kind == "expense" else 1)
                    for name, found in (("period", in_period), ("year", in_year))
                }
                rows.append(
                    {"entity": entity, "section": section, "code": key[0], "account": key[1], "currency": key[3], **amounts,
                     "role": key[2], "since": since, "year_start": first, "until": until}
                )  # fmt: skip
                sums.update(amounts)
            if sums or kind == "revenue":
                currency = _currency(connection, entity)
                rows.append({"entity": entity, "section": section, "account": f"{section}, total", "currency": currency,
                             "period": sums["period"], "year": sums["year"]})  # fmt: skip
            for name in ("period", "year"):
                of_result[name] += sums[name] * (-1 if kind == "expense" else 1)
        totals.append({"entity": entity, "account": "Result", "currency": _currency(connection, entity),
                       "period": of_result["period"], "year": of_result["year"]})  # fmt: skip
    columns = (
        Column("entity", "Entity"),
        Column("section", "Section"),
        Column("code", "Code"),
        Column("account", "Account"),
        Column("currency", "Currency"),
        Column("period", "Period", "amount"),
        Column("year", "Year to date", "amount"),
    )
    years_shown = ", ".join(f"{entity} from {first}" for entity, first in sorted(years.items()))
    notes = (f"period {since} to {until}", f"year to date: {years_shown}")
    return Report("income-statement", "Income statement", columns, tuple(rows), tuple(totals), notes, sums=False)


# An account as statements show it: code, title, role, currency.
_Account = tuple[str, str, str, str]


def _by_account(connection: Connection, filters: Filters) -> dict[_Account, int]:
    return {
        (balance.code, balance.title, balance.role, balance.currency): balance.net
        for balance in account_balances(connection, filters)
        if ROLES[balance.role].kind in _INCOME
    }


def _currency(connection: Connection, entity: str) -> str:
    return str(connection.scalar(text("select currency from entity where entity = :entity"), {"entity": entity}))


def _lines_of(kind: str, balances: Sequence[AccountBalance], until: date) -> list[dict[str, Any]]:
    """The accounts of a kind that hold anything, each by its normal side."""
    sign = 1 if kind == "asset" else -1
    return [
        {
            "code": balance.code,
            "account": balance.title,
            "amount": sign * balance.net,
            "role": balance.role,
            "until": until,
        }
        for balance in balances
        if ROLES[balance.role].kind == kind and balance.net
    ]


_BALANCE_COLUMNS = (
    Column("entity", "Entity"),
    Column("section", "Section"),
    Column("code", "Code"),
    Column("account", "Account"),
    Column("currency", "Currency"),
    Column("amount", "Amount", "amount"),
)


def balance_sheet(connection: Connection, filters: Filters) -> Report:
    """What each entity holds, owes and has earned on a day.

    The results of earlier fiscal years are retained earnings.
    """
    until, years = _years(connection, filters)
    rows: list[dict[str, Any]] = []
    totals: list[dict[str, Any]] = []
    for entity, first in sorted(years.items()):
        of_entity = replace(filters, entity=entity, since=None, as_of=until, memorandum=False)
        balances = account_balances(connection, of_entity)
        earlier = _result(account_balances(connection, replace(of_entity, as_of=first - timedelta(days=1))))
        all_years = _result(balances)
        currency = _currency(connection, entity)
        place = {"entity": entity, "currency": currency}
        sums: Counter[str] = Counter()
        for kind, section in _BALANCE.items():
            own = _lines_of(kind, balances, until)
            if kind == "equity":
                retained = earlier[entity, currency]
                own += [
                    {"account": RETAINED, "amount": retained, "until": first - timedelta(days=1)},
                    {
                        "account": RESULT,
                        "amount": all_years[entity, currency] - retained,
                        "since": first,
                        "until": until,
                    },
                ]
            rows += [place | {"section": section} | row for row in own]
            sums[section] = sum(row["amount"] for row in own if isinstance(row["amount"], int))
            rows.append(place | {"section": section, "account": f"{section}, total", "amount": sums[section]})
        totals.append(place | {"account": "Liabilities and equity", "amount": sums["Liabilities"] + sums["Equity"]})
    years_shown = ", ".join(f"{entity} from {first}" for entity, first in sorted(years.items()))
    return Report(
        "balance-sheet",
        "Balance sheet",
        _BALANCE_COLUMNS,
        tuple(rows),
        tuple(totals),
        (f"as of {until}", f"fiscal years: {years_shown}"),
        sums=False,
    )
