"""What the disclosures are made of: the sides of postings with whose, of which contract and of which product they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ledger.reports import PERIODS, Column, Filters, narrowed, sides

TITLES = {"entity": "Entity", "customer": "Customer", "contract": "Contract", "product": "Product"}


def facts_of(filters: Filters, *roles: str) -> tuple[str, dict[str, object]]:
    """SQL for the filtered sides on roles, with what groups them: customer, contract, product, and the amount asked for."""
    source, parameters = sides(replace(filters, product=None), *roles)
    amount, currency = ("amount", "x.currency") if filters.transaction else ("functional_amount", "e.currency")
    narrowed = ""
    for name in ("product", "contract"):
        value = getattr(filters, name)
        if value is not None:
            narrowed += f" and coalesce({name}, '') = :{name}_"
            parameters[f"{name}_"] = value
    return (
        f"select * from (select x.customer_id, x.entity, x.role, x.subject, x.effective_on, x.entry_id, x.rule, x.sign,"
        f" x.sign * x.{amount} as net, {currency} as currency, c.ref as customer, coalesce(o.contract, g.contract) as contract,"
        f" coalesce(o.package, t.package, t.ref) as package, o.known_on as booked_on,"
        f" x.product as account_product, coalesce(nullif(x.product, ''), o.product, case when x.subject like 'usage:%' then substr(x.subject, 7) end) as product"
        f" from ({source}) x join customer c using (customer_id) join entity e on e.entity = x.entity"
        f" left join performance_obligation o on o.customer_id = x.customer_id and o.subject = x.subject"
        f" left join credit_grant g on g.customer_id = x.customer_id and x.subject = 'grant:' || g.ref"
        f" left join contract t on t.customer_id = g.customer_id and t.ref = g.contract"
        f") facts where true{narrowed}"
    ), parameters


def posted_since(filters: Filters) -> tuple[str, dict[str, object]]:
    """SQL for the facts posted after `:signed_at`, each with its document `d`: to follow a `select` of `f` and `d`."""
    facts, parameters = facts_of(filters)
    return (
        f"from ({facts}) f join entry n on n.customer_id = f.customer_id and n.entry_id = f.entry_id "
        f"join document d on d.document_id = n.document_id and d.customer_id in (n.customer_id, 0) "
        f"where n.posted_at > :signed_at"
    ), parameters


def grouped(filters: Filters) -> tuple[str, ...]:
    """What rows are kept apart by: entity always, then what was asked for."""
    return ("entity", *(name for name in TITLES if name in filters.group and name != "entity"))


def columns_of(filters: Filters, *more: Column, period: bool = True) -> tuple[Column, ...]:
    """What says what a row is about, before its amounts."""
    first = (Column("period", filters.period.capitalize()),) if period else ()
    return (*first, *(Column(name, TITLES[name]) for name in grouped(filters)), Column("currency", "Currency"), *more)


def period_sql(filters: Filters) -> str:
    """SQL for the period a day is in."""
    return f"to_char(effective_on, '{PERIODS[filters.period]}')"


def key_of(row: Any, group: Sequence[str]) -> tuple[str, ...]:
    """What a row is kept apart by, and its currency."""
    return (*(getattr(row, name) or "" for name in group), row.currency)


def totals_of(rows: Sequence[Mapping[str, Any]], *names: str) -> tuple[dict[str, Any], ...]:
    """A line of totals for each currency."""
    totals: dict[str, Counter[str]] = {}
    for row in rows:
        totals.setdefault(row["currency"], Counter()).update({name: row[name] or 0 for name in names})
    return tuple({"entity": "Total", "currency": currency, **sums} for currency, sums in sorted(totals.items()))


def of_contracts(filters: Filters, on: str) -> tuple[str, dict[str, object]]:
    """Which contracts a report of their terms covers, by a day of each."""
    return narrowed(
        filters, since=on, as_of=on, known_at="d.posted_at", entity="t.entity", customer="c.ref", contract="t.ref", currency="t.currency",
        product="o.product",
    )  # fmt: skip
