"""The frame of reports: filters, columns, and the sides of postings they add up.

Every figure is a sum over postings. `Filters.as_of` is what was effective by a day, `known_at` what was posted by a
moment: two questions, and each report answers both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from dateutil.relativedelta import relativedelta
from sqlalchemy import Connection, text

from ledger.amounts.dates import FIRST_DAY, LAST_DAY, month_end
from ledger.amounts.money import to_text
from ledger.errors import Refused


def period_of(day: date, period: str) -> str:
    """The period a day is in, as `PERIODS` names it in SQL: 2026-01, 2026-Q1, 2026."""
    return {"month": f"{day:%Y-%m}", "quarter": f"{day:%Y}-Q{(day.month + 2) // 3}", "year": f"{day:%Y}"}[period]


def period_start(period: str) -> date:
    """The first day of a period: of 2026-01, 2026-Q1 or 2026."""
    year, _, part = period.partition("-")
    return date(int(year), 3 * int(part[1]) - 2 if part.startswith("Q") else int(part or 1), 1)


def period_end(period: str) -> date:
    """The last day of a period: of 2026-01, 2026-Q1 or 2026."""
    first = period_start(period)
    months = 12 if "-" not in period else 3 if "Q" in period else 1
    return month_end(first + relativedelta(months=months - 1))


@dataclass(frozen=True, slots=True)
class Filters:
    """What a report is narrowed to. `since` and `as_of` are days, both counted; `known_at` a moment."""

    since: date | None = None
    as_of: date | None = None
    known_at: datetime | None = None
    entity: str | None = None
    customer: str | None = None
    product: str | None = None
    currency: str | None = None
    memorandum: bool = False
    # for the disclosures: what is added up, over which stretches of time, in which currency
    contract: str | None = None
    group: tuple[str, ...] = ()
    period: str = "month"
    transaction: bool | None = (
        None  # in the currency of transactions, or the entity's; None as the report does by itself
    )

    def __post_init__(self) -> None:
        """Raises Refused for days that no books reach."""
        for name, day in (("from", self.since), ("as_of", self.as_of)):
            if day is not None and not FIRST_DAY <= day <= LAST_DAY:
                raise Refused(name, str(day), f"expected a day from {FIRST_DAY} to {LAST_DAY}")


GROUPS = ("entity", "customer", "contract", "product")
PERIODS = {"month": "YYYY-MM", "quarter": 'YYYY"-Q"Q', "year": "YYYY"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a report: its key in JSON, its heading, and whether it holds amounts or text."""

    key: str
    title: str
    kind: str = "text"  # text, amount, date, number


@dataclass(frozen=True, slots=True)
class Report:
    """A report as rows of plain values.

    Amounts are integers in minor units of the row's `currency`.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[dict[str, Any], ...]
    totals: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    empty: str = "Nothing to show: no postings match."  # what is said where there are no rows
    sums: bool = True  # totals are the sums of the rows; not where rows hold subtotals or balances

    def json_rows(self) -> list[dict[str, Any]]:
        """Rows as JSON gives them: amounts as decimal strings, dates ISO."""
        return [self.json_row(row) for row in self.rows]

    def json_row(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row as JSON gives it."""
        plain: dict[str, Any] = {}
        for column in self.columns:
            value = row.get(column.key)
            if column.kind == "amount" and value is not None:
                value = to_text(value, row["currency"])
            elif isinstance(value, date):
                value = value.isoformat()
            plain[column.key] = value
        return plain


# Each posting once, as two signed sides, narrowed by the filters. `net` is debit less credit in functional currency.
_SIDES = """
    select a.customer_id, a.account_id, a.entity, a.role, a.currency, a.subject, a.product, s.effective_on, s.entry_id,
           s.amount, s.functional_amount, s.sign, s.rule, s.other_account
    from (
        select p.customer_id, p.debit_account as account_id, p.effective_on, p.amount, p.functional_amount, 1 as sign,
               p.entry_id, p.rule, p.credit_account as other_account
        from posting p
        union all
        select p.customer_id, p.credit_account, p.effective_on, p.amount, p.functional_amount, -1, p.entry_id,
               p.rule, p.debit_account
        from posting p
    ) s
    join account a on a.customer_id = s.customer_id and a.account_id = s.account_id
"""


def sides(
    filters: Filters, *roles: str, after: int | None = None, through: int | None = None
) -> tuple[str, dict[str, object]]:
    """SQL for the filtered sides of postings, with its parameters.

    See `_SIDES`; on the given roles, or all. `after` leaves out entries up to that number, `through` those beyond.
    """
    clauses = []
    parameters: dict[str, object] = {}
    for clause, name, value in (
        ("s.effective_on >= :since", "since", filters.since),
        ("s.effective_on <= :as_of", "as_of", filters.as_of),
        (
            "(select e.posted_at from entry e where e.entry_id = s.entry_id and e.customer_id = s.customer_id) <= :known_at",
            "known_at",
            filters.known_at,
        ),
        ("a.entity = :entity", "entity", filters.entity),
        ("a.currency = :currency", "currency", filters.currency),
        ("a.product = :product", "product", filters.product),
        ("a.customer_id = (select customer_id from customer where ref = :customer)", "customer", filters.customer),
        ("a.role = any(:roles)", "roles", list(roles) or None),
        ("s.entry_id > :after", "after", after),
        ("s.entry_id <= :through", "through", through),
    ):
        if value is not None:
            clauses.append(clause)
            parameters[name] = value
    where = f" where {' and '.join(clauses)}" if clauses else ""
    return _SIDES + where, parameters


_COMPARED = {"since": ">=", "as_of": "<=", "known_at": "<="}


def narrowed(filters: Filters, **columns: str) -> tuple[str, dict[str, object]]:
    """SQL for the filters that are given, with its parameters.

    Each on the column named for it; `true` where none is.
    """
    given = {name: getattr(filters, name) for name in columns if getattr(filters, name) is not None}
    clauses = [f"{columns[name]} {_COMPARED.get(name, '=')} :{name}" for name in given]
    return " and ".join(clauses) or "true", given


def check_filters(connection: Connection, filters: Filters) -> None:
    """Raise Refused for a filter that names nothing in the books.

    Of the entity where one is asked for, rather than show an empty report.
    """
    for name, value, query in (
        ("entity", filters.entity, "select count(*) from entity where entity = :value"),
        ("customer", filters.customer, "select count(*) from customer where ref = :value"),
        ("product", filters.product, "select count(*) from product where product = :value"),
        (
            "contract",
            filters.contract,
            "select count(*) from contract where ref = :value and entity = coalesce(cast(:entity as text), entity)",
        ),
    ):
        if value is not None and not connection.scalar(text(query), {"value": value, "entity": filters.entity}):
            raise Refused(name, value, f"expected the id of {'an' if name == 'entity' else 'a'} {name} in the books")
    if filters.since and filters.as_of and filters.since > filters.as_of:
        raise Refused("from", filters.since, f"expected {filters.as_of} or earlier")


def last_day(connection: Connection, filters: Filters) -> date:
    """The latest day any posting counts for; today where there is none.

    Of an entity where one is asked for, as known at a moment.
    """
    query = "select max(e.effective_on) from entry e where cast(:known_at as timestamptz) is null or e.posted_at <= :known_at"
    if filters.entity is not None:
        query = _LAST_OF_ENTITY if filters.known_at is None else _LAST_OF_ENTITY_KNOWN
    found: date | None = connection.scalar(text(query), {"known_at": filters.known_at, "entity": filters.entity})
    return found or datetime.now(UTC).date()


# Of an entity's postings: what is sealed by the totals that are kept of it, so that only the rest is read.
_LAST_OF_ENTITY = """
    select max(day) from (
        select max(effective_on) as day from daily_total where entity = :entity
        union all
        select max(p.effective_on) from posting p join account a on a.customer_id = p.customer_id and a.account_id = p.debit_account
        where p.entry_id > (select coalesce(max(last_entry), 0) from seal) and a.entity = :entity
    ) of_both
"""
_LAST_OF_ENTITY_KNOWN = """
    select max(e.effective_on) from entry e where e.posted_at <= :known_at and exists (
        select from posting p join account a on a.customer_id = p.customer_id and a.account_id = p.debit_account
        where p.customer_id = e.customer_id and p.entry_id = e.entry_id and a.entity = :entity
    )
"""
