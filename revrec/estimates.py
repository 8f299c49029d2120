"""Variable consideration: estimated, constrained, estimated again as more is known (606-10-32-5 to 32-14, 32-42 to 32-45).

An estimate is of one component of a contract's price (a bonus, a penalty, a rebate). What the constraint lets in is part of
the price: it is allocated to the obligations as the price was, or to the one it is about (32-40). A new estimate changes
the price from its day on: what was given already earns its part at once, the rest follows the schedules.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection, text

from ledger.errors import InvalidDocument, Refused, UnknownReference
from ledger.money import allocate, exponent, to_minor, to_text, within_limit
from ledger.reports import Column, Filters, Report, narrowed
from ledger.wallets import Wallets
from revrec.documents import Estimate
from revrec.modifications import Standing, add_price, require_later, standing_of


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
    books.flush()
    contract: Any = books.connection.execute(
        text(
            "select k.customer_id, k.document_id, c.ref as customer, t.entity, t.currency, t.signed_on,"
            " (select v.included_minor from variable_estimate v where v.customer_id = t.customer_id and v.contract = t.ref"
            "  and v.component = :component order by v.document_id desc limit 1) as before_minor,"
            " (select max(v.effective_on) from variable_estimate v where v.customer_id = t.customer_id and v.contract = t.ref"
            "  and v.component = :component) as estimated_on "
            "from document_key k join contract t on t.customer_id = k.customer_id and t.contract_id = k.document_id "
            "join customer c on c.customer_id = k.customer_id where k.type = 'contract' and k.ref = :ref"
        ),
        {"ref": doc.contract, "component": doc.component},
    ).first()
    if contract is None:
        raise UnknownReference("contract", doc.contract, "expected the id of a contract posted before")
    earliest = max(contract.signed_on, contract.estimated_on or contract.signed_on)
    if doc.date < earliest:
        raise Refused(
            "date", doc.date, f"expected {earliest}, when the contract was signed or this last estimated, or later"
        )
    source = books.source(document_id, contract.customer, contract.entity, contract.currency, doc.date)
    estimate = within_limit(expected(doc, contract.currency), contract.currency, "scenarios")
    included, before = _included(doc, estimate, contract.currency), contract.before_minor or 0
    obligations = _obligations(books.connection, contract, doc)
    weights = [weight for _, weight in obligations]
    changes: list[tuple[Standing, int]] = []
    for (ref, _), now, then in zip(obligations, _spread(included, weights), _spread(before, weights), strict=True):
        standing = standing_of(books, contract.customer_id, contract.document_id, ref)
        assert standing is not None, "found just before"
        if now != then:
            require_later(doc.date, standing)
            if standing.price + now - then < 0:
                raise Refused(
                    "amount", to_text(included, contract.currency), f"expected no more taken off {ref} than its price, "
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
        reason=doc.reason,
    )
    for standing, change in changes:
        add_price(books, source, doc.date, standing, change, f"{doc.component} estimated anew: {doc.reason or doc.id}")
    return int(contract.customer_id)


def going_on(connection: Connection, customer_id: int, contract_id: int) -> Sequence[Any]:
    """A contract's obligations that are not cancelled, with prices of their own: id, stand-alone price, price."""
    rows = connection.execute(
        text(
            "select o.ref, o.ssp_minor, coalesce(v.price_minor, o.price_minor) as price, v.treatment from obligation o "
            "left join lateral (select price_minor, treatment from obligation_version v where v.customer_id = o.customer_id"
            " and v.subject = 'obligation:' || o.ref order by version desc limit 1) v on true "
            "where o.customer_id = :customer_id and o.contract_id = :contract_id and o.pattern <> 'usage' order by o.ref"
        ),
        {"customer_id": customer_id, "contract_id": contract_id},
    ).all()
    return [row for row in rows if row.treatment != "cancelled"]


def _obligations(connection: Connection, contract: Any, doc: Estimate) -> list[tuple[str, int]]:
    """What a component is allocated to: each obligation that goes on, or of those it is about, with its weight."""
    standing = going_on(connection, contract.customer_id, contract.document_id)
    if doc.obligations is not None:
        known = {row.ref: row for row in standing}
        for index, ref in enumerate(doc.obligations):
            if ref not in known:
                raise UnknownReference(
                    f"obligations.{index}", ref, f"expected an obligation of {doc.contract} that goes on"
                )
        standing = [known[ref] for ref in dict.fromkeys(doc.obligations)]
        if len(standing) == 1:
            return [(standing[0].ref, 1)]
    by_ssp = all(row.ssp_minor is not None for row in standing)
    weighted = [(row.ref, row.ssp_minor if by_ssp else row.price) for row in standing]
    if not any(weight for _, weight in weighted):
        raise Refused(
            "contract", doc.contract, "expected obligations with prices to allocate to, or the one it is about"
        )
    return weighted


def _spread(amount: int, weights: Sequence[int]) -> list[int]:
    """An amount over weights, summing exactly; below zero as above."""
    parts = allocate(abs(amount), weights)
    return parts if amount >= 0 else [-part for part in parts]


def estimates(connection: Connection, filters: Filters) -> Report:
    """Every estimate of variable consideration: what was expected, what was let in, what that changed, and why."""
    clause, parameters = narrowed(
        filters, since="v.effective_on", as_of="v.effective_on", known_at="d.posted_at", entity="t.entity", customer="c.ref",
        contract="t.ref", currency="t.currency",
    )  # fmt: skip
    rows = connection.execute(
        text(
            "select v.effective_on, v.ref as estimate, c.ref as customer, v.contract, t.entity, v.component, array_to_string(v.obligations, ', ') as obligations, v.method,"
            " t.currency, v.expected_minor as expected, v.included_minor as included,"
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
