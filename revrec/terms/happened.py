"""What documents did to contracts, as events.

Modifications, renewals, terminations, estimates, and what is payable to customers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ledger.amounts.money import exponent, to_minor, to_text, within_limit
from ledger.documents import parse
from ledger.errors import InvalidDocument, Refused
from ledger.journal.books import Books
from ledger.obligations import obligation_subject
from revrec.documents.contract_changes import (
    ContractModification,
    ContractRenewal,
    ContractTermination,
    ModifiedObligation,
)
from revrec.documents.contracts import measured
from revrec.documents.variable_amounts import ConsiderationPayable, Estimate
from revrec.stand_alone_prices import Catalogue, stand_alone_price
from revrec.terms.events import Added, Changed, Estimated, Event, Modified, Promise, Taken, Terminated
from revrec.terms.terms import Curve


def exact(value: Fraction | int) -> Decimal:
    """A number of parts as the database keeps it: days, months, or progress as it was reported."""
    return Decimal(value.numerator) / Decimal(value.denominator)


def curve_of(item: Any) -> Curve:
    """Along what an obligation as a document gives it is earned."""
    ends_on = item.start if item.pattern == "point_in_time" else item.end
    return Curve(item.pattern, item.start, ends_on, item.quantity)


def read(books: Books, currency: str, row: Any, added: Sequence[tuple[Promise, str | None]]) -> Event:
    """A document in the books as the event it is.

    `added` are the obligations it added, and which each renews.
    """
    fields = json.loads(row.body)
    kind = row.type
    promised = {promise.ref: promise for promise, _ in added}
    if kind == "contract_modification":
        return modified(books, currency, parse.check(ContractModification, fields), row.document_id, promised)
    if kind == "contract_renewal":
        doc = parse.check(ContractRenewal, fields)
        return renewed(doc, row.document_id, currency, [(promise, renews or "") for promise, renews in added])
    if kind == "contract_termination":
        leaving = parse.check(ContractTermination, fields)
        return terminated(leaving, row.document_id, added[0][0] if added else None)
    if kind == "estimate":
        return estimated(parse.check(Estimate, fields), row.document_id, currency)
    assert kind == "consideration_payable", f"{kind} changes contracts"
    return payable(parse.check(ConsiderationPayable, fields), row.document_id, currency)


# Modifications ------------------------------------------------------------------------------------------------------


def modified(
    books: Books, currency: str, doc: ContractModification, document_id: int, promised: Mapping[str, Promise]
) -> Modified:
    """A modification; `promised` are the obligations it adds, all others it changes."""
    catalogue = Catalogue(books, currency, doc.date, document_id)  # as it was decided, whatever came in since
    changed: list[Changed] = []
    added: list[Added] = []
    for index, given in enumerate(doc.obligations):
        item = measured(given, own_price=True)
        if item.id in promised:
            added.append(_added(item, index, doc, promised[item.id], currency, catalogue))
        else:
            changed.append(_changed(item, index, doc, currency))
    cancelled = tuple(obligation_subject(ref) for ref in doc.cancel)
    return Modified(doc.date, document_id, doc.id, doc.contract, tuple(changed), tuple(added), cancelled)


def price_of(item: ModifiedObligation, index: int, currency: str) -> int:
    """The price a modification gives an obligation, in minor units."""
    field = f"obligations.{index}.price"
    return 0 if item.price is None else within_limit(to_minor(item.price, currency, field), currency, field)


def _changed(item: ModifiedObligation, index: int, doc: ContractModification, currency: str) -> Changed:
    treatment: str = item.treatment or doc.treatment
    reason = "as the document says"
    if treatment == "auto":
        treatment, reason = _decide(item)
    ssp = None if item.ssp is None else to_minor(item.ssp, currency, f"obligations.{index}.ssp")
    price = price_of(item, index, currency)
    counted: Any = treatment
    return Changed(obligation_subject(item.id), curve_of(item), price, ssp, counted, reason)


def _decide(item: ModifiedObligation) -> tuple[str, str]:
    """How a change of an obligation counts, where the document leaves it open.

    With the reason in a sentence.
    """
    if item.pattern == "progress" and item.quantity is None:
        return "catch_up", (
            "what remains is not distinct from what was given: progress is measured on the whole (606-10-25-13(b))"
        )
    return "prospective", (
        "what remains is distinct from what was given: the rest of the price is earned over it (606-10-25-13(a))"
    )


def _added(
    item: ModifiedObligation,
    index: int,
    doc: ContractModification,
    promise: Promise,
    currency: str,
    catalogue: Catalogue,
) -> Added:
    """How a new obligation counts; with its stand-alone price where it is not sold at it."""
    price = price_of(item, index, currency)
    treatment = item.treatment or doc.treatment
    if treatment == "separate":
        return Added(replace(promise, price=price, treatment=treatment, reason="as the document says"))
    known = None if item.pattern == "usage" else stand_alone_price(item, index, currency, catalogue)
    if treatment != "auto":
        counted = replace(promise, price=price, treatment=treatment, reason="as the document says")
        return Added(counted, None if known is None or treatment == "catch_up" else known.price)
    if known is None:
        why = "usage is billed as it is used" if item.pattern == "usage" else "no stand-alone price of it is known"
        reason = f"distinct, and taken at the price agreed: {why} (606-10-25-12)"
        return Added(replace(promise, price=price, treatment="separate", reason=reason))
    low, high = known.range or (known.price, known.price)
    at = f"{to_text(known.price, currency)} {currency}"
    if low <= price <= high:
        reason = f"distinct, and sold at its stand-alone price, {at} (606-10-25-12)"
        return Added(replace(promise, price=price, treatment="separate", reason=reason))
    reason = f"distinct, not at its stand-alone price of {at}"
    return Added(replace(promise, price=price, treatment="prospective", reason=reason), known.price)


# Renewals and terminations ------------------------------------------------------------------------------------------


def renewed(doc: ContractRenewal, document_id: int, currency: str, promised: Sequence[tuple[Promise, str]]) -> Modified:
    """A renewal: obligations that stand for themselves.

    At the prices of those they renew unless others are given.
    """
    by_ref = {item.id: item for item in doc.obligations}
    added = []
    for promise, renews in promised:
        item = by_ref[promise.ref]
        reason = f"renews {renews} for a term of its own: what was promised before stays (606-10-25-12)"
        price = None if item.price is None else to_minor(item.price, currency, "price")
        new = replace(promise, price=promise.price if price is None else price, treatment="separate", reason=reason)
        added.append(Added(new, renews=obligation_subject(renews) if price is None else None))
    return Modified(doc.date, document_id, doc.id, doc.contract, added=tuple(added))


def terminated(doc: ContractTermination, document_id: int, penalty: Promise | None) -> Terminated:
    """The end of a contract: the day before its date by default is the last day of service."""
    return Terminated(doc.date, document_id, doc.id, doc.contract, last_day(doc), doc.reason, penalty)


def last_day(doc: ContractTermination) -> date:
    """The last day of service of a contract that is terminated."""
    return date.fromordinal(doc.date.toordinal() - 1) if doc.ends is None else doc.ends


# Variable consideration ---------------------------------------------------------------------------------------------


def expected(doc: Estimate, currency: str) -> int:
    """What a component is expected to be, in minor units.

    By the method the document names (32-8).
    """
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


def included(doc: Estimate, estimate: int, currency: str) -> int:
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


def estimated(doc: Estimate, document_id: int, currency: str) -> Estimated:
    """An estimate: what of its component is in the price from its day on."""
    amount = included(doc, expected(doc, currency), currency)
    subjects = None if doc.obligations is None else tuple(dict.fromkeys(map(obligation_subject, doc.obligations)))
    reason = f"{doc.component} estimated anew: {doc.reason or doc.id}"
    return Estimated(doc.date, document_id, doc.id, doc.contract, doc.component, amount, subjects, doc.refund, reason)


def payable(doc: ConsiderationPayable, document_id: int, currency: str) -> Taken:
    """What is paid or payable to a customer: it lowers the price."""
    subjects = None if doc.obligations is None else tuple(dict.fromkeys(map(obligation_subject, doc.obligations)))
    reason = f"paid or payable to the customer: {doc.reason}"
    return Taken(doc.date, document_id, doc.id, doc.contract, to_minor(doc.amount, currency), subjects, reason)
