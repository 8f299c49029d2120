"""Variable consideration: estimated, constrained, estimated again as more is known (606-10-32-5 to 32-14, 32-42 to 32-45).

An estimate is of one component of a contract's price (a bonus, a penalty, a rebate). What the constraint lets in is part of
the price: it is allocated to the obligations as the price was, or to the one it is about (32-40). A new estimate changes
the price from its day on: what was given already earns its part at once, the rest follows the schedules.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from sqlalchemy import Connection, text

from ledger.errors import InvalidDocument, Refused
from ledger.money import exponent, to_minor, to_text, within_limit
from ledger.reports import Column, Filters, Report, narrowed
from ledger.wallets import Wallets
from revrec.documents import Estimate
from revrec.versions import Standing, add_price, find_contract, require_later, sharing, spread


def expected(doc: Estimate, currency: str) -> int:
    """What a component is expected to be, in minor units: by the method the document names (32-8)."""
    if doc.scenarios is None:
        assert doc.amount is not None, "an estimate has scenarios or an amount"
        return to_minor(doc.amount, currency)
    amounts = [to_minor(item.amount, currency, f"scenarios.{index}.amount") for index, item in enumerate(doc.scenarios)]
    if doc.method == "most_likely":
        likeliest = max(item.probability for item in doc.scenarios)
        found = {amount for amount, item in zip(amounts, doc.scenarios, strict=True) if item.probability == likeliest}
        if len(found) > 1:
            raise InvalidDocument(
                "scenarios", f"{len(found)} of {likeliest}", "expected one amount that is the most likely"
            )
        return found.pop()
    weighted = sum((Fraction(item.amount) * Fraction(item.probability) for item in doc.scenarios), Fraction(0))
    minor: int = round(weighted * 10 ** exponent(currency))  # ties to even, as everywhere
    return minor


def _included(doc: Estimate, estimate: int, currency: str) -> int:
    """What of the estimate is part of the price: all of it, or what is constrained to (32-11)."""
    if doc.constraint is None:
        return estimate
    most = to_minor(doc.constraint, currency, "constraint")
    if abs(most) > abs(estimate) or most * estimate < 0:
        raise Refused(
            "constraint",
            doc.constraint,
            f"expected an amount between 0 and the estimate, {to_text(estimate, currency)}",
        )
    return most


def post_estimate(wallets: Wallets, doc: Estimate, document_id: int) -> int:
    """Take an estimate in. Nothing is posted by it: the next recognition runs by the new price.

    Raises UnknownReference for an unknown contract or obligation, Refused for one dated before what it changes, or that
    would take a price below zero.
    """
    books = wallets.books
    contract = find_contract(books, doc.contract)
    last: Any = books.connection.execute(
        text(
            "select included_minor, refund, effective_on from variable_estimate where customer_id = :customer_id"
            " and contract = :contract and component = :component order by document_id desc limit 1"
        ),
        {"customer_id": contract.customer_id, "contract": contract.ref, "component": doc.component},
    ).first()
    earliest = contract.signed_on if last is None else max(contract.signed_on, last.effective_on)
    if doc.date < earliest:
        raise Refused(
            "date", doc.date, f"expected {earliest}, when the contract was signed or this last estimated, or later"
        )
    if last is not None and last.refund != doc.refund:
        kind = "a refund" if last.refund else "no refund"
        raise Refused("refund", str(doc.refund).lower(), f"expected {kind}, as {doc.component} was estimated before")
    source = contract.source(books, document_id, doc.date)
    estimate = within_limit(expected(doc, contract.currency), contract.currency, "scenarios")
    if doc.refund and estimate > 0:
        raise Refused("scenarios", to_text(estimate, contract.currency), "expected zero or less for a refund")
    included, before = _included(doc, estimate, contract.currency), 0 if last is None else last.included_minor
    weighted = sharing(books.connection, contract, doc.obligations, rebate=doc.refund)
    weights = [weight for _, weight in weighted]
    changes: list[tuple[Standing, int]] = []
    for (standing, _), now, then in zip(weighted, spread(included, weights), spread(before, weights), strict=True):
        if now != then:
            require_later(doc.date, standing)
            if standing.price + now - then < 0 and standing.pattern != "usage":
                raise Refused(
                    "amount", to_text(included, contract.currency), f"expected no more taken off {standing.ref} than its price, "
                    f"{to_text(standing.price, contract.currency)}"
                )  # fmt: skip
            changes.append((standing, now - then))
    books.add_row(
        "variable_estimate",
        customer_id=contract.customer_id,
        document_id=document_id,
        ref=doc.id,
        contract=doc.contract,
        component=doc.component,
        effective_on=doc.date,
        method=doc.method if doc.scenarios is not None else "amount",
        expected_minor=estimate,
        included_minor=included,
        before_minor=before,
        obligations=doc.obligations,
        refund=doc.refund,
        reason=doc.reason,
    )
    for standing, change in changes:
        reason = f"{doc.component} estimated anew: {doc.reason or doc.id}"
        add_price(books, source, doc.date, standing, change, reason, refund=-change if doc.refund else 0)
    return contract.customer_id


def estimates(connection: Connection, filters: Filters) -> Report:
    """Every estimate of variable consideration: what was expected, what was let in, what that changed, and why."""
    clause, parameters = narrowed(
        filters, since="v.effective_on", as_of="v.effective_on", known_at="d.posted_at", entity="t.entity", customer="c.ref",
        contract="t.ref", currency="t.currency",
    )  # fmt: skip
    rows = connection.execute(
        text(
            "select v.effective_on, v.ref as estimate, c.ref as customer, v.contract, t.entity, v.component, array_to_string(v.obligations, ', ') as obligations, v.method,"
            " t.currency, v.refund, v.expected_minor as expected, v.included_minor as included,"
            " v.expected_minor - v.included_minor as constrained, v.included_minor - v.before_minor as change, v.reason "
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
