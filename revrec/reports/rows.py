"""What the disclosures are made of: sides of postings with what they are of.

Whose, of which contract and of which product.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ledger.reports.report import PERIODS, Column, Filters, narrowed, sides

TITLES = {"entity": "Entity", "customer": "Customer", "contract": "Contract", "product": "Product"}


# Contra revenue has no product of its own. A promotion's is the product whose revenue the same posting earned.
_CONTRA_PRODUCT = """case when x.role = 'promotional_credits' then (
    select p.product from account p where p.customer_id = x.customer_id and p.account_id = x.other_account and p.role = 'revenue') end"""

# What is given back of credits is of the products they were used for, in proportion: of as many sides as there are products.
_USED_FOR = """
    select y.customer_id, y.account_id, y.entity, y.role, y.currency, y.subject, coalesce(u.product, y.product) as product, y.effective_on,
           y.entry_id, coalesce(round(y.amount * u.until / u.whole) - round(y.amount * u.before / u.whole), y.amount)::bigint as amount,
           coalesce(round(y.functional_amount * u.until / u.whole) - round(y.functional_amount * u.before / u.whole),
                    y.functional_amount)::bigint as functional_amount,
           y.sign, y.rule, y.other_account, y.product as account_product
    from ({source}) y left join lateral (
        select g.product, g.earned, sum(g.earned) over (order by g.product) as until,
               sum(g.earned) over (order by g.product) - g.earned as before, sum(g.earned) over () as whole
        from (select a.product, sum(case when q.credit_account = a.account_id then q.amount else -q.amount end) as earned
              from account a join posting q on q.customer_id = a.customer_id and a.account_id in (q.credit_account, q.debit_account)
              where y.role in ('refunds', 'disputes') and y.product = '' and y.subject like 'grant:%' and a.customer_id = y.customer_id and a.role = 'revenue' and a.subject = y.subject and a.currency = y.currency
                and a.product <> '' and q.effective_on <= y.effective_on group by a.product) g
        where g.earned > 0
    ) u on true
"""
_GIVEN_BACK = ("refunds", "disputes")


def facts_of(filters: Filters, *roles: str) -> tuple[str, dict[str, object]]:
    """SQL for the filtered sides on roles, with what groups them.

    Customer, contract, product, and the amount asked for.
    """
    source, parameters = sides(replace(filters, product=None), *roles)
    own = "x.product"
    if not roles or set(roles) & set(_GIVEN_BACK):
        source, own = _USED_FOR.format(source=source), "x.account_product"
    amount, currency = ("amount", "x.currency") if filters.transaction else ("functional_amount", "e.currency")
    narrowed = ""
    for name in ("product", "contract"):
        value = getattr(filters, name)
        if value is not None:
            narrowed += f" and coalesce({name}, '') = :{name}_"
            parameters[f"{name}_"] = value
    return (
        f"select * from (select x.customer_id, x.entity, x.role, x.subject, x.effective_on, x.entry_id, x.rule, x.sign,"
        f" x.sign * x.{amount} as net, {currency} as currency, x.currency as account_currency, c.ref as customer, coalesce(o.contract, g.contract) as contract,"
        f" coalesce(o.package, t.package, t.ref) as package, o.known_on as booked_on,"
        f" {own} as account_product, coalesce(nullif(x.product, ''), o.product, case when x.subject like 'usage:%' then substr(x.subject, 7) end,"
        f" {_CONTRA_PRODUCT}) as product"
        f" from ({source}) x join customer c using (customer_id) join entity e on e.entity = x.entity"
        f" left join performance_obligation o on o.customer_id = x.customer_id and o.subject = x.subject"
        f" left join credit_grant g on g.customer_id = x.customer_id and x.subject = 'grant:' || g.ref"
        f" left join contract t on t.customer_id = g.customer_id and t.ref = g.contract"
        f") facts where true{narrowed}"
    ), parameters


def posted_since(filters: Filters) -> tuple[str, dict[str, object]]:
    """SQL for the facts posted after `:signed_at`, each with its document `d`.

    To follow a `select` of `f` and `d`.
    """
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
