"""Receivables by age: what is due of each invoice, by days past its due date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, text

from ledger.proof import seals
from ledger.reports.report import Column, Filters, Report, last_day, narrowed, sides

AGING_BUCKETS = (
    ("current", "Current", None, 0),
    ("days_1_30", "1\N{EN DASH}30", 1, 30),
    ("days_31_60", "31\N{EN DASH}60", 31, 60),
    ("days_61_90", "61\N{EN DASH}90", 61, 90),
    ("over_90", "Over 90", 91, None),
)


def bucket(days_overdue: int) -> str:
    """The aging bucket of an invoice so many days past its due date (0 or less: current)."""
    for key, _, _, most in AGING_BUCKETS:
        if most is None or days_overdue <= most:
            return key
    raise AssertionError("the last bucket has no end")


_DUE = """
    select c.ref as customer, coalesce(i.ref, a.subject) as invoice, a.entity, a.currency,
           coalesce(i.issued_on, manual.first_on) as issued_on, coalesce(i.due_on, manual.first_on) as due_on, due.due
    from ({due}) due
    join account a using (customer_id, account_id)
    join customer c using (customer_id)
    left join invoice i on i.customer_id = due.customer_id and i.receivable_account = due.account_id
    -- what manual entries post to receivables without an invoice is due on their day
    left join lateral (
        select min(p.effective_on) as first_on from posting p
        where i.ref is null and p.customer_id = due.customer_id
          and (p.debit_account = due.account_id or p.credit_account = due.account_id)
    ) manual on true
    where {where}
    order by 1, 6, 2
"""


def _due(connection: Connection, filters: Filters) -> Sequence[Any]:
    """What is due of each receivable that is not settled.

    Sealed receivables are kept (ledger/proof/seals.py); a moment, a customer and a day before the last are asked of the postings.
    """
    summed = "select customer_id, account_id, sum(net)::bigint as due from ({}) x group by 1, 2 having sum(net) <> 0"

    def of_postings() -> Sequence[Any]:
        source, parameters = sides(filters, "accounts_receivable")
        due = summed.format(f"select customer_id, account_id, sign * amount as net from ({source}) y")
        return connection.execute(text(_DUE.format(due=due, where="true")), parameters).all()

    def of_sealed(sealed: int) -> Sequence[Any]:
        latest = connection.scalar(text("select max(effective_on) from daily_total where role = 'accounts_receivable'"))
        if filters.as_of is not None and latest is not None and filters.as_of < latest:
            return of_postings()
        where, narrow = narrowed(
            replace(filters, as_of=None), entity="a.entity", product="a.product", currency="a.currency"
        )
        source, parameters = sides(filters, "accounts_receivable", after=sealed)
        due = summed.format(
            "select customer_id, account_id, amount as net from open_receivable"
            f" union all select customer_id, account_id, sign * amount from ({source}) y"
        )
        return connection.execute(text(_DUE.format(due=due, where=where)), parameters | narrow).all()

    if filters.since is not None or filters.known_at is not None or filters.customer is not None:
        return of_postings()
    return seals.consistently(connection, of_sealed)


def ar_aging(connection: Connection, filters: Filters) -> Report:
    """What is due of each invoice on a day, by days past its due date.

    The day is `as_of`, else the latest in the books.
    """
    as_of = filters.as_of or last_day(connection, filters)
    rows = _due(connection, filters)
    found = []
    totals: dict[str, dict[str, Any]] = {}
    for row in rows:
        days = (as_of - row.due_on).days
        line: dict[str, Any] = {
            "customer": row.customer, "invoice": row.invoice, "currency": row.currency, "issued_on": row.issued_on,
            "due_on": row.due_on, "days_overdue": max(days, 0), "due": row.due,
        }  # fmt: skip
        line |= {key: row.due if key == bucket(days) else 0 for key, *_ in AGING_BUCKETS}
        found.append(line)
        total = totals.setdefault(row.currency, {"customer": "Total", "currency": row.currency})
        for key in ("due", *(key for key, *_ in AGING_BUCKETS)):
            total[key] = total.get(key, 0) + line[key]
    columns = (
        Column("customer", "Customer"),
        Column("invoice", "Invoice"),
        Column("currency", "Currency"),
        Column("issued_on", "Issued", "date"),
        Column("due_on", "Due on", "date"),
        Column("days_overdue", "Days overdue", "number"),
        *(Column(key, title, "amount") for key, title, *_ in AGING_BUCKETS),
        Column("due", "Due", "amount"),
    )
    notes = (f"as of {as_of}",)
    return Report("ar-aging", "Receivables by age", columns, tuple(found), tuple(totals.values()), notes)
