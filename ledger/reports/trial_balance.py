"""Balances of general-ledger accounts: trial balance and monthly summary.

Sealed entries are added up by day as they are sealed (ledger/proof/seals.py); what is not sealed yet is read from the journal. So a
trial balance costs the same at a thousand postings and at ten million.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.chart import ROLES
from ledger.proof import seals
from ledger.reports.report import Column, Filters, Report, narrowed, sides


def _rows(connection: Connection, filters: Filters, query: Callable[[str], str]) -> Sequence[Any]:
    """The rows of a query over movements.

    Entity, role, product, effective_on, and net in functional currency. What was known at a moment, and what one customer moved, is not
    added up: there the postings answer.
    """
    if filters.customer is not None or filters.known_at is not None:
        source, parameters = sides(filters)
        movements = f"select entity, role, product, effective_on, sign * functional_amount as net from ({source}) x"
        return connection.execute(text(query(movements)), parameters).all()
    where, narrow = narrowed(
        Filters(as_of=filters.as_of, entity=filters.entity, product=filters.product, currency=filters.currency, since=filters.since),
        as_of="effective_on", since="effective_on", entity="entity", product="product", currency="currency",
    )  # fmt: skip

    def ask(sealed: int) -> Sequence[Any]:
        source, parameters = sides(filters, after=sealed)
        movements = (
            "select entity, role, product, effective_on, functional_debit - functional_credit as net from daily_total"
            f" where {where} union all"
            f" select entity, role, product, effective_on, sign * functional_amount from ({source}) x"
        )
        return connection.execute(text(query(movements)), parameters | narrow).all()

    return seals.consistently(connection, ask)


def gl_account_sql(row: str) -> tuple[str, str, str]:
    """The general-ledger account of a row, as its entity calls it: (code, name, joins).

    Of a row with an entity, role and product. The joins add the role as `r`.
    """
    joins = (
        f"join role r on r.name = {row}.role "
        f"left join gl_account g on g.entity = {row}.entity and g.role = {row}.role and g.product = '' "
        f"left join gl_account gp on gp.entity = {row}.entity and gp.role = {row}.role and gp.product = {row}.product"
        f" and {row}.product <> ''"
    )
    return "coalesce(gp.code, g.code, r.code)", "coalesce(gp.name, g.name, r.title)", joins


class GlAccounts:
    """The general-ledger accounts as entities call them.

    Of a role and product, else of the role, else as the chart does.
    """

    def __init__(self, connection: Connection) -> None:
        rows = connection.execute(text("select entity, role, product, code, name from gl_account"))
        self._own = {(row.entity, row.role, row.product): (str(row.code), str(row.name)) for row in rows}

    def of(self, entity: str, role: str, product: str = "") -> tuple[str, str]:
        """(code, name) of an account."""
        own = self._own.get((entity, role, product)) or self._own.get((entity, role, ""))
        return own or (ROLES[role].code, ROLES[role].title)

    def is_own(self, entity: str, role: str, product: str = "") -> bool:
        """Whether the entity gave it a code of its own."""
        return not {(entity, role, product), (entity, role, "")}.isdisjoint(self._own)


_CODE, _TITLE, _GL_JOINS = gl_account_sql("n")


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """A general-ledger account's balance.

    Debit less credit, in minor units of the functional currency.
    """

    entity: str
    code: str
    title: str
    role: str
    currency: str
    net: int


def account_balances(connection: Connection, filters: Filters) -> list[AccountBalance]:
    """Every general-ledger account with a balance or movement, by code.

    Memorandum accounts only if asked for.
    """
    rows = _rows(
        connection,
        filters,
        lambda movements: (
            f"select n.entity, {_CODE} as code, {_TITLE} as title, n.role, e.currency, sum(n.net)::bigint as net from ("
            f"  select entity, role, product, sum(net) as net from ({movements}) x group by 1, 2, 3"
            f") n join entity e using (entity) {_GL_JOINS} "
            "group by 1, 2, 3, 4, 5 order by n.entity, code, title"
        ),
    )
    return [AccountBalance(*row) for row in rows if filters.memorandum or not ROLES[row.role].memorandum]


def held_by_currency(connection: Connection, filters: Filters, role: str) -> dict[str, int]:
    """What the accounts of a role hold in each currency of theirs.

    Debits less credits, in minor units. Read from what is added up, as a trial balance is, but for one customer or as known at a moment.
    """
    if filters.customer is not None or filters.known_at is not None:
        source, parameters = sides(filters, role)
        rows = connection.execute(
            text(f"select currency, sum(sign * amount)::bigint as net from ({source}) x group by 1"), parameters
        ).all()
        return {row.currency: row.net for row in rows if row.net}
    where, narrow = narrowed(
        Filters(as_of=filters.as_of, entity=filters.entity, currency=filters.currency, since=filters.since),
        as_of="effective_on", since="effective_on", entity="entity", currency="currency",
    )  # fmt: skip

    def ask(sealed: int) -> Sequence[Any]:
        source, parameters = sides(filters, role, after=sealed)
        return connection.execute(
            text(
                "select currency, sum(net)::bigint as net from ("
                f"select currency, debit - credit as net from daily_total where role = :role and {where}"
                f" union all select currency, sign * amount from ({source}) x) moved group by 1"
            ),
            parameters | narrow | {"role": role},
        ).all()

    return {row.currency: row.net for row in seals.consistently(connection, ask) if row.net}


def trial_balance(connection: Connection, filters: Filters) -> Report:
    """Every account's balance in the entity's functional currency.

    Debits and credits side by side.
    """
    balances = account_balances(connection, filters)
    rows = []
    totals: dict[tuple[str, str], list[int]] = {}
    for balance in balances:
        debit, credit = max(balance.net, 0), max(-balance.net, 0)
        rows.append(
            {
                "entity": balance.entity, "code": balance.code, "account": balance.title, "role": balance.role,
                "currency": balance.currency, "debit": debit, "credit": credit,
            }
        )  # fmt: skip
        total = totals.setdefault((balance.entity, balance.currency), [0, 0])
        total[0] += debit
        total[1] += credit
    columns = (
        Column("entity", "Entity"),
        Column("code", "Code"),
        Column("account", "Account"),
        Column("role", "Role"),
        Column("currency", "Currency"),
        Column("debit", "Debit", "amount"),
        Column("credit", "Credit", "amount"),
    )
    total_rows = tuple(
        {"entity": entity, "account": "Total", "currency": currency, "debit": debit, "credit": credit}
        for (entity, currency), (debit, credit) in totals.items()
    )
    return Report("trial-balance", "Trial balance", columns, tuple(rows), total_rows)


def summary(connection: Connection, filters: Filters) -> Report:
    """Each role's movement per month in functional currency.

    An increase on its normal side is positive.
    """
    rows = _rows(
        connection,
        filters,
        lambda movements: (
            "select to_char(effective_on, 'YYYY-MM') as month, x.role, e.currency, sum(net)::bigint as net"
            f" from ({movements}) x join entity e using (entity) group by 1, 2, 3 having sum(net) <> 0 order by 1, 2, 3"
        ),
    )
    columns = (
        Column("month", "Month"),
        Column("account", "Account"),
        Column("currency", "Currency"),
        Column("amount", "Movement", "amount"),
    )
    found = tuple(
        {"month": row.month, "account": row.role, "currency": row.currency, "amount": ROLES[row.role].sign * row.net}
        for row in rows
        if filters.memorandum or not ROLES[row.role].memorandum
    )
    return Report("summary", "Monthly summary", columns, found)
