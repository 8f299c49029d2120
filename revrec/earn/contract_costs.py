"""Costs to obtain and to fulfil a contract (ASC 340-40, IFRS 15.91-104).

Capitalised, amortised over what benefits, impaired. A commission is an expense when it is earned by whoever sold; its document takes it
out of that expense into an asset. Each recognition run posts what is due of it: amortised to date by its schedule - amortised to date as
posted. Once everything a contract promised is cancelled, what is left of its costs is impaired on that day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, text

from ledger.amounts.dates import month_end, month_start, months_between
from ledger.amounts.money import share, to_minor, to_text
from ledger.errors import OverApplication, Refused, UnknownReference
from ledger.journal.books import Books
from ledger.journal.movements import Movement, Source
from ledger.reports.report import Column, Filters, Report, sides
from ledger.wallets.session import Wallets
from revrec.documents.costs import ContractCost, ContractCostImpairment
from revrec.terms.schedules import Term, parts
from revrec.terms.versions import find_contract


@dataclass(frozen=True, slots=True)
class Cost:
    """A capitalised cost, with what of it was impaired when; None is all that was left."""

    amount: int
    term: Term
    impairments: tuple[tuple[date, int | None], ...] = ()


def stand(cost: Cost, on: date) -> tuple[int, int]:
    """(amortised, impaired) of a cost by the end of a day, in minor units.

    After an impairment, what is left is amortised over what remains of the term.
    """
    amortised, left, impaired, before = 0, cost.amount, 0, 0

    def by(day: date) -> int:
        passed, whole = _whole_parts(cost.term, day)
        if whole <= before:
            return amortised + left
        return amortised + share(left, max(passed - before, 0), whole - before)

    for day, amount in cost.impairments:
        if day > on:
            break
        amortised = by(day - timedelta(days=1))
        carried = cost.amount - amortised - impaired
        lost = carried if amount is None else min(amount, carried)
        impaired += lost
        left = carried - lost
        before = _whole_parts(cost.term, day - timedelta(days=1))[0]
    return by(on), impaired


def _whole_parts(term: Term, on: date) -> tuple[int, int]:
    """Parts passed by a day, of all the term's: also before it begins."""
    _, whole = parts(term, term.ends_on)
    return (0, whole) if on < term.starts_on else parts(term, on)


# The rules by which a cost becomes an asset and an expense again.
_FAMILIES = {"obtain": "cost", "fulfil": "fulfilment"}


def cost_subject(ref: str) -> str:
    """The subject of a cost's accounts."""
    return f"cost:{ref}"


def post_contract_cost(wallets: Wallets, doc: ContractCost, document_id: int) -> int:
    """Capitalise a cost of a contract. Raises UnknownReference for an unknown contract."""
    books = wallets.books
    contract = find_contract(books, doc.contract)
    currency = doc.currency or contract.currency
    source = books.source(document_id, contract.customer, contract.entity, currency, doc.date)
    amount = to_minor(doc.amount, currency)
    books.add_row(
        "contract_cost",
        customer_id=contract.customer_id,
        document_id=document_id,
        ref=doc.id,
        contract=doc.contract,
        entity=contract.entity,
        currency=currency,
        kind=doc.kind,
        amount_minor=amount,
        capitalised_on=doc.date,
        pattern=doc.pattern,
        starts_on=doc.start or doc.date,
        ends_on=doc.end,
    )
    subject = cost_subject(doc.id)
    books.post(source, doc.date, [Movement(f"{_FAMILIES[doc.kind]}.capitalised", amount, subject, subject)])
    return contract.customer_id


def post_impairment(wallets: Wallets, doc: ContractCostImpairment, document_id: int) -> int:
    """Impair a cost, or a part of it. Raises OverApplication beyond what is left of it on the day before."""
    books = wallets.books
    books.flush()
    row: Any = books.connection.execute(
        text(f"{_COSTS} where k.ref = :ref"),
        {"ref": doc.cost},
    ).first()
    if row is None:
        raise UnknownReference("cost", doc.cost, "expected the id of a contract_cost posted before")
    if doc.date < row.capitalised_on:
        raise Refused("date", doc.date, f"expected {row.capitalised_on}, when it was capitalised, or later")
    source = books.source(document_id, row.customer, row.entity, row.currency, doc.date)
    cost = _cost(row, _impairments(books.connection, [row.document_id]).get(row.document_id, ()))
    if cost.impairments and doc.date < cost.impairments[-1][0]:
        raise Refused("date", doc.date, f"expected {cost.impairments[-1][0]}, of the impairment before, or later")
    amortised, impaired = stand(cost, doc.date - timedelta(days=1))
    _, impaired = stand(cost, doc.date)
    left = cost.amount - amortised - impaired
    amount = left if doc.amount is None else to_minor(doc.amount, row.currency)
    if not 0 < amount <= left:
        raise OverApplication(
            "amount", doc.amount or "all", f"expected at most {to_text(left, row.currency)}, what is left of {doc.cost}"
        )
    books.add_row(
        "cost_impairment",
        customer_id=row.customer_id,
        document_id=document_id,
        cost_id=row.document_id,
        impaired_on=doc.date,
        amount_minor=amount,
    )
    subject = cost_subject(doc.cost)
    books.post(source, doc.date, [Movement("cost.impaired", amount, subject, subject)])
    return int(row.customer_id)


_COSTS = """
    select k.*, c.ref as customer,
           (select max(case v.treatment when 'terminated' then v.ends_on + 1 else v.from_day end)
            from obligation o join contract t using (customer_id, contract_id)
            cross join lateral (select treatment, from_day, ends_on from obligation_version v where v.customer_id = o.customer_id
                                and v.subject = 'obligation:' || o.ref order by version desc limit 1) v
            where o.customer_id = k.customer_id and t.ref = k.contract
              and not exists (select from obligation p left join lateral (
                  select treatment from obligation_version w where w.customer_id = p.customer_id
                  and w.subject = 'obligation:' || p.ref order by version desc limit 1) w on true
                  where p.customer_id = o.customer_id and p.contract_id = o.contract_id and p.treatment is distinct from 'penalty'
                    and (w.treatment is null or w.treatment not in ('cancelled', 'terminated')))) as churned_on
    from contract_cost k join customer c using (customer_id)"""


def _cost(row: Any, impairments: Sequence[tuple[date, int]]) -> Cost:
    """A cost's row with its impairments in order, the contract's end among them."""
    found: list[tuple[date, int | None]] = list(impairments)
    if row.churned_on is not None:
        found.append((max(row.churned_on, row.capitalised_on), None))
    found.sort(key=lambda item: item[0])
    return Cost(row.amount_minor, Term(row.pattern, row.starts_on, row.ends_on), tuple(found))


def _impairments(connection: Connection, costs: Sequence[int]) -> dict[int, list[tuple[date, int]]]:
    """Impairments by cost, in order."""
    rows = connection.execute(
        text(
            "select cost_id, impaired_on, amount_minor from cost_impairment where cost_id = any(:costs) "
            "order by impaired_on, document_id"
        ),
        {"costs": list(costs)},
    )
    found: dict[int, list[tuple[date, int]]] = {}
    for row in rows:
        found.setdefault(row.cost_id, []).append((row.impaired_on, row.amount_minor))
    return found


def amortise(books: Books, document_id: int, through: date) -> None:
    """Post what is due of every cost by a day.

    Amortisation month by month, and impairment where a contract ended.
    """
    rows = books.connection.execute(
        text(f"{_COSTS} where k.starts_on <= :through or k.capitalised_on <= :through order by c.ref, k.ref"),
        {"through": through},
    ).all()
    if not rows:
        return
    books.parties.learn_customers(row.customer for row in rows)
    impairments = _impairments(books.connection, [row.document_id for row in rows])
    posted = _posted(books.connection)
    for row in rows:
        cost = _cost(row, impairments.get(row.document_id, ()))
        _amortise(books, document_id, row, cost, posted.get((row.customer_id, cost_subject(row.ref)), ()), through)


# What is posted of a cost, signed: day, rule, amount.
_Posted = Sequence[tuple[date, str, int]]


def _amortise(books: Books, document_id: int, row: Any, cost: Cost, posted: _Posted, through: date) -> None:
    source = Source(document_id, books.parties.customer(row.customer), row.entity, row.currency)
    subject = cost_subject(row.ref)
    first_open = books.days.first_open_day(row.entity)
    begins = max(month_start(min(row.starts_on, row.capitalised_on)), month_start(first_open))
    if begins > through:
        return
    done = lost = 0  # by this run
    for month in months_between(begins, month_start(through)):
        last = month_end(month)
        amortised, impaired = stand(cost, last)
        if last < row.capitalised_on:
            continue  # nothing leaves an asset before it is one
        step = amortised - done - _sum(posted, "cost.amortised", last)
        fall = impaired - lost - _sum(posted, "cost.impaired", last)
        if step:
            family = _FAMILIES[row.kind]
            rule = f"{family}.amortised" if step > 0 else f"{family}.amortised_less"
            on = max(first_open, row.capitalised_on, min(last, max(row.ends_on, month)))
            books.post(source, on, [Movement(rule, abs(step), subject, subject)])
        if fall:
            rule = "cost.impaired" if fall > 0 else "cost.impaired_less"
            on = min(max(row.churned_on or last, first_open, row.capitalised_on), last)
            books.post(source, on, [Movement(rule, abs(fall), subject, subject)])
        done += step
        lost += fall


def _sum(posted: _Posted, rule: str, through: date) -> int:
    return sum(amount for day, code, amount in posted if code.startswith(rule) and day <= through)


def _posted(connection: Connection) -> dict[tuple[int, str], list[tuple[date, str, int]]]:
    """What is posted of every cost, by customer and subject."""
    rows = connection.execute(
        text(
            "select a.customer_id, a.subject, p.effective_on, replace(r.code, 'fulfilment.', 'cost.') as code,"
            " sum(case when r.code like '%\\_less' then -p.amount else p.amount end)::bigint as amount "
            "from account a join posting p on p.customer_id = a.customer_id and a.account_id in (p.debit_account, p.credit_account) "
            "join rule r on r.number = p.rule where a.role = 'contract_costs' and (r.code like 'cost.%' or r.code like 'fulfilment.%') group by 1, 2, 3, 4"
        )
    )
    found: dict[tuple[int, str], list[tuple[date, str, int]]] = {}
    for row in rows:
        found.setdefault((row.customer_id, row.subject), []).append((row.effective_on, row.code, row.amount))
    return found


def contract_costs(connection: Connection, filters: Filters) -> Report:
    """Each capitalised cost: what was amortised and impaired, and what it is carried at."""
    source, parameters = sides(filters, "contract_costs")
    rows = connection.execute(
        text(
            f"select c.ref as customer, k.contract, substr(x.subject, 6) as cost, k.kind, x.entity, x.currency, k.starts_on, k.ends_on,"
            f" coalesce(sum(x.sign * x.amount) filter (where r.code like '%.capitalised'), 0)::bigint as capitalised,"
            f" -coalesce(sum(x.sign * x.amount) filter (where r.code like '%.amortised%'), 0)::bigint as amortised,"
            f" -coalesce(sum(x.sign * x.amount) filter (where r.code like '%.impaired%'), 0)::bigint as impaired,"
            f" sum(x.sign * x.amount)::bigint as carried "
            f"from ({source}) x join rule r on r.number = x.rule join customer c using (customer_id) "
            f"join contract_cost k on k.customer_id = x.customer_id and x.subject = 'cost:' || k.ref "
            f"where cast(:contract as text) is null or k.contract = :contract group by 1, 2, 3, 4, 5, 6, 7, 8 order by 1, 2, 3"
        ),
        parameters | {"contract": filters.contract},
    )
    columns = (
        Column("customer", "Customer"), Column("contract", "Contract"), Column("cost", "Cost"), Column("kind", "To"), Column("entity", "Entity"),
        Column("starts_on", "From", "date"), Column("ends_on", "To", "date"), Column("currency", "Currency"),
        Column("capitalised", "Capitalised", "amount"), Column("amortised", "Amortised", "amount"),
        Column("impaired", "Impaired", "amount"), Column("carried", "Carried at", "amount"),
    )  # fmt: skip
    found = tuple(dict(row._mapping) for row in rows)
    names = ("capitalised", "amortised", "impaired", "carried")
    totals = tuple(
        {"customer": "Total", "currency": currency, **{name: sum(row[name] for row in found if row["currency"] == currency) for name in names}}
        for currency in sorted({row["currency"] for row in found})
    )  # fmt: skip
    return Report("contract-costs", "Costs to obtain and fulfil contracts", columns, found, totals)
