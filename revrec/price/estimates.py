"""Variable consideration: estimated, constrained, estimated again.

As more is known (606-10-32-5 to 32-14, 32-42 to 32-45). An estimate is of one component of a contract's price (a bonus, a penalty, a
rebate). What the constraint lets in is part of the price: it is allocated to the obligations as the price was, or to the one it is about
(32-40). A new estimate changes the price from its day on: what was given already earns its part at once, the rest follows the schedules.
"""

from __future__ import annotations

from itertools import pairwise

from sqlalchemy import Connection, text

from ledger.amounts.money import to_text, within_limit
from ledger.errors import Refused
from ledger.journal.books import Books
from ledger.reports.report import Column, Filters, Report, narrowed
from ledger.wallets.session import Wallets
from revrec.documents.variable_amounts import Estimate
from revrec.terms.happened import estimated, expected
from revrec.terms.plans import Plan
from revrec.terms.versions import Agreed, find_contract


def post_estimate(wallets: Wallets, doc: Estimate, document_id: int) -> int:
    """Take an estimate in. Nothing is posted by it: the next recognition runs by the new price.

    Raises UnknownReference for an unknown contract or obligation, Refused for one dated before its contract, or that would take a
    price below zero.
    """
    books = wallets.books
    contract = find_contract(books, doc.contract)
    if doc.date < contract.signed_on:
        raise Refused("date", doc.date, f"expected {contract.signed_on}, when the contract was signed, or later")
    _check_kind(books, contract, doc)
    event = estimated(doc, document_id, contract.currency)
    expected_minor = within_limit(expected(doc, contract.currency), contract.currency, "scenarios")
    if doc.refund and expected_minor > 0:
        raise Refused("scenarios", to_text(expected_minor, contract.currency), "expected zero or less for a refund")
    plan = Plan.of(books, contract.party, document_id, event)
    _check_prices(plan, document_id, event.included, contract.currency)
    books.add_row(
        "variable_estimate",
        customer_id=contract.customer_id,
        document_id=document_id,
        ref=doc.id,
        contract=doc.contract,
        component=doc.component,
        effective_on=doc.date,
        method=doc.method if doc.scenarios is not None else "amount",
        expected_minor=expected_minor,
        included_minor=event.included,
        before_minor=0,
        obligations=doc.obligations,
        refund=doc.refund,
        reason=doc.reason,
    )
    plan.keep()
    return contract.customer_id


def _check_kind(books: Books, contract: Agreed, doc: Estimate) -> None:
    """Raise Refused where a component was a refund before and is none now.

    Or the other way round.
    """
    refund: bool | None = books.connection.scalar(
        text("select refund from variable_estimate where customer_id = :customer_id and contract = :contract"
             " and component = :component limit 1"),
        {"customer_id": contract.customer_id, "contract": contract.ref, "component": doc.component},
    )  # fmt: skip
    if refund is not None and refund != doc.refund:
        kind = "a refund" if refund else "no refund"
        raise Refused("refund", str(doc.refund).lower(), f"expected {kind}, as {doc.component} was estimated before")


def _check_prices(plan: Plan, document_id: int, included: int, currency: str) -> None:
    """Raise Refused where an estimate lowers a price too far.

    Below zero, or in the end below what of it is written off, or given back, as earned. What was given up was not kept: a price below it
    would be owed to a customer who has not paid it.
    """
    for subject, versions in plan.folded.versions.items():
        gone = sum(item.amount for item in plan.folded.beside if item.subject == subject)
        for before, version in pairwise(versions):
            if version.document_id != document_id or version.terms.curve.pattern == "usage" or version.change >= 0:
                continue
            below = min(version.terms.price, versions[-1].terms.price - max(gone, 0))
            if below < 0:
                lost = f" less {to_text(gone, currency)} that was written off of it or given back" if gone > 0 else ""
                raise Refused(
                    "amount", to_text(included, currency),
                    f"expected no more taken off {subject.removeprefix('obligation:')} than its price, "
                    f"{to_text(min(before.terms.price, versions[-1].terms.price - version.change), currency)}{lost}",
                )  # fmt: skip


def estimates(connection: Connection, filters: Filters) -> Report:
    """Every estimate of variable consideration: what was expected and let in.

    What that changed, and why.
    """
    clause, parameters = narrowed(
        filters, since="v.effective_on", as_of="v.effective_on", known_at="d.posted_at", entity="t.entity", customer="c.ref",
        contract="t.ref", currency="t.currency",
    )  # fmt: skip
    rows = connection.execute(
        text(
            "select v.effective_on, v.ref as estimate, c.ref as customer, v.contract, t.entity, v.component, array_to_string(v.obligations, ', ') as obligations, v.method,"
            " t.currency, v.refund, v.expected_minor as expected, v.included_minor as included,"
            " v.expected_minor - v.included_minor as constrained, v.included_minor - lag(v.included_minor, 1, cast(0 as bigint)) over (partition by v.customer_id, v.contract, v.component order by v.effective_on, v.document_id) as change, v.reason "
            "from variable_estimate v join contract t on t.customer_id = v.customer_id and t.ref = v.contract "
            "join customer c on c.customer_id = v.customer_id "
            "join document d on d.customer_id = v.customer_id and d.document_id = v.document_id "
            f"where {clause} order by v.effective_on, v.document_id"
        ),
        parameters,
    )
    columns = (
        Column("effective_on", "From", "date"), Column("estimate", "Estimate"), Column("customer", "Customer"),
        Column("contract", "Contract"), Column("component", "Component"), Column("obligations", "Of"), Column("method", "Method"),
        Column("currency", "Currency"), Column("expected", "Expected", "amount"), Column("constrained", "Held back", "amount"),
        Column("included", "In the price", "amount"), Column("change", "Change", "amount"), Column("reason", "Why"),
    )  # fmt: skip
    return Report("estimates", "Variable consideration", columns, tuple(dict(row._mapping) for row in rows))
