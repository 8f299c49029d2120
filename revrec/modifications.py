"""Contract modifications: what an obligation becomes from a day on; every version before stays.

A modification is separate, prospective or a catch-up (606-10-25-12 and 25-13), obligation by obligation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from math import lcm

from ledger.books import Books, Source
from ledger.errors import Refused, UnknownReference
from ledger.money import allocate, to_minor, to_text, within_limit
from ledger.receivables import obligation_subject
from ledger.wallets import Wallets
from revrec.catalogue import Catalogue
from revrec.contracts import Counted, NewObligation, add_obligation, new_obligation, refuse_overlaps, stand_alone_price
from revrec.documents import ContractModification, ModifiedObligation
from revrec.progress import add_milestones, done, measured, require_reached
from revrec.recognition import price_and_earned
from revrec.versions import (
    Agreed,
    Standing,
    add_change,
    add_version,
    find_contract,
    going_on,
    require_later,
    standing_of,
)


@dataclass(frozen=True, slots=True)
class _Change:
    """What a modification makes of an obligation, and why it counts so: what of its terms is new, by column."""

    standing: Standing
    treatment: str
    reason: str
    terms: dict[str, object]
    milestones: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Plan:
    """What a modification does, decided before anything of it is gathered."""

    changes: list[_Change] = field(default_factory=list)
    added: list[tuple[NewObligation, int, Counted]] = field(default_factory=list)


def post_modification(wallets: Wallets, doc: ContractModification, document_id: int) -> int:
    """Take a modification in. Nothing is posted by it: the next recognition runs by the new terms."""
    books = wallets.books
    contract = find_contract(books, doc.contract, doc.date)
    source = contract.source(books, document_id, doc.date)
    plan = _planned(books, source, contract, doc)
    add_change(books, contract, document_id, doc.id, doc.date)
    for new, price, counted in plan.added:
        add_obligation(books, source, contract.contract_id, new, price, counted)
        books.remember("receivable", obligation_subject(new.item.id), contract.receivable)
    for change in plan.changes:
        add_version(books, source, doc.date, change.standing, change.treatment, change.reason, **change.terms)
        add_milestones(books, source, change.standing.subject, change.milestones)
    return contract.customer_id


def _planned(books: Books, source: Source, contract: Agreed, doc: ContractModification) -> _Plan:
    plan = _Plan()
    catalogue = Catalogue(books, source.currency, doc.date)
    named = {*(item.id for item in doc.obligations), *doc.cancel}
    refuse_overlaps(list(enumerate(doc.obligations)))
    # what is sold below or above its stand-alone price, with that price
    apart: list[tuple[NewObligation, int, int]] = []
    for index, given in enumerate(doc.obligations):
        item = measured(given, own_price=True)
        standing = standing_of(books, contract, item.id)
        price = 0 if item.price is None else to_minor(item.price, source.currency, f"obligations.{index}.price")
        within_limit(price, source.currency, f"obligations.{index}.price")
        if standing is not None:
            plan.changes.append(_changed(books, source, doc, index, item, standing, price))
            continue
        new = new_obligation(books, source, f"obligations.{index}", item)
        treatment = item.treatment or doc.treatment
        if treatment != "auto":
            plan.added.append((new, price, Counted(doc.date, treatment, "as the document says")))
            continue
        counted, ssp = _decide_added(item, index, price, source, catalogue, doc)
        if ssp is None:
            plan.added.append((new, price, counted))
        else:
            apart.append((new, price, ssp))
    for ref in doc.cancel:
        standing = standing_of(books, contract, ref)
        if standing is None:
            raise UnknownReference("cancel", ref, f"expected the id of an obligation of contract {doc.contract}")
        plan.changes.append(_cancelled(books, source, doc, standing))
    if apart:
        _pool(books, source, contract, doc, plan, apart, named)
    return plan


def _decide_added(
    item: ModifiedObligation, index: int, price: int, source: Source, catalogue: Catalogue, doc: ContractModification
) -> tuple[Counted, int | None]:
    """How a new obligation counts where the document leaves it open; with its stand-alone price where it is not sold at it."""
    known = None if item.pattern == "usage" else stand_alone_price(item, index, source.currency, catalogue)
    if known is None:
        why = "usage is billed as it is used" if item.pattern == "usage" else "no stand-alone price of it is known"
        return Counted(doc.date, "separate", f"distinct, and taken at the price agreed: {why} (606-10-25-12)"), None
    low, high = known.range or (known.price, known.price)
    if low <= price <= high:
        at = to_text(known.price, source.currency)
        return Counted(
            doc.date, "separate", f"distinct, and sold at its stand-alone price, {at} {source.currency} (606-10-25-12)"
        ), None
    return Counted(doc.date, "prospective", ""), known.price


def _pool(
    books: Books,
    source: Source,
    contract: Agreed,
    doc: ContractModification,
    plan: _Plan,
    apart: Sequence[tuple[NewObligation, int, int]],
    named: set[str],
) -> None:
    """Share what is left of the contract's price, and the new prices, by stand-alone prices over all that remains (25-13(a)).

    Of what the modification changes itself the document gives the price. Where a stand-alone price of what remains is not
    known, the new obligations are taken at the prices agreed, and that says so.
    """
    # what goes on, with its price, what is earned of it, and what the rest is worth alone
    left: list[tuple[Standing, int, int, Fraction]] = []
    unknown: list[str] = []
    for standing in going_on(books.connection, contract):
        if standing.ref in named or (standing.pattern == "progress" and standing.quantity is None):
            continue
        price, earned = price_and_earned(books.connection, source.customer.customer_id, standing.subject, doc.date)
        if price <= earned:
            continue
        if standing.ssp is None:
            unknown.append(standing.ref)
            continue
        require_later(doc.date, standing)
        left.append((standing, price, earned, Fraction(standing.ssp * (price - earned), price)))
    if unknown or not left:
        why = (
            f"no stand-alone price is known of {', '.join(unknown)}"
            if unknown
            else "nothing else of the contract remains"
        )
        for new, price, ssp in apart:
            alone = to_text(ssp, source.currency)
            plan.added.append(
                (new, price, Counted(doc.date, "prospective", f"distinct, not at its stand-alone price of {alone} "
                                     f"{source.currency}; taken at the price agreed: {why} (606-10-25-13(a))"))
            )  # fmt: skip
        return
    pool = sum(price - earned for _, price, earned, _ in left) + sum(price for _, price, _ in apart)
    worths = [worth for *_, worth in left] + [Fraction(ssp) for *_, ssp in apart]
    scale = lcm(*(worth.denominator for worth in worths))
    shares = allocate(pool, [int(worth * scale) for worth in worths])
    reason = (
        f"not sold at stand-alone prices: {to_text(pool, source.currency)} {source.currency}, what is left of the price and the "
        f"new, is shared by stand-alone prices over what remains (606-10-25-13(a))"
    )
    for (standing, price, earned, _), part in zip(left, shares, strict=False):
        # what was credited of the price so far goes on being taken off it
        agreed = earned + part + standing.price - price
        starts_on = standing.starts_on if standing.pattern == "progress" else max(doc.date, standing.starts_on)
        terms = {
            "price_minor": agreed, "base_minor": earned, "starts_on": starts_on,
            "done_before": done(books, source, standing, doc.date - timedelta(days=1)),
        }  # fmt: skip
        plan.changes.append(_Change(standing, "prospective", reason, terms))
    for (new, _, _), part in zip(apart, shares[len(left) :], strict=True):
        plan.added.append((new, part, Counted(doc.date, "prospective", reason)))


def _changed(
    books: Books,
    source: Source,
    doc: ContractModification,
    index: int,
    item: ModifiedObligation,
    standing: Standing,
    price: int,
) -> _Change:
    """What a changed obligation becomes. Raises Refused where it can't be that."""
    field_ = f"obligations.{index}"
    if item.product != standing.product:
        raise Refused(f"{field_}.product", item.product, f"expected {standing.product}, which {item.id} is of")
    treatment = item.treatment or doc.treatment
    if treatment == "separate":
        raise Refused(
            "treatment" if item.treatment is None else f"{field_}.treatment",
            treatment,
            f"expected only new obligations; {item.id} is one of the contract already",
        )
    require_later(doc.date, standing)
    if standing.ended:
        raise Refused(
            f"{field_}.id",
            item.id,
            "expected an obligation that goes on; it is cancelled: promise it anew, by another id",
        )
    milestones = require_reached(books, source, standing, item, index)
    counted, reason = _decide(item) if treatment == "auto" else (str(treatment), "as the document says")
    terms: dict[str, object] = {
        "price_minor": price, "base_minor": 0, "pattern": item.pattern, "starts_on": item.start, "ends_on": item.end,
        "quantity": item.quantity, "done_before": 0,
    }  # fmt: skip
    if counted == "prospective":
        _, earned = price_and_earned(books.connection, source.customer.customer_id, standing.subject, doc.date)
        if item.end is not None and item.end < doc.date:
            raise Refused(f"{field_}.end", item.end, f"expected {doc.date}, from when the change counts, or later")
        if abs(price) < abs(earned):
            raise Refused(
                f"{field_}.price",
                str(item.price),
                f"expected at least {to_text(earned, source.currency)}, what is earned of it before {doc.date}",
            )
        # What is earned before stays: by time, the rest is earned from the day on; by progress, with what comes after.
        terms["base_minor"] = earned
        terms["done_before"] = done(books, source, standing, doc.date - timedelta(days=1))
        if item.pattern != "progress":
            terms["starts_on"] = max(doc.date, item.start)
    if item.pattern == "point_in_time":
        terms["starts_on"] = terms["ends_on"] = item.start
    return _Change(standing, counted, reason, terms, milestones)


def _decide(item: ModifiedObligation) -> tuple[str, str]:
    """How a change of an obligation counts where the document leaves it open, and the reason in a sentence."""
    if item.pattern == "progress" and item.quantity is None:
        return "catch_up", (
            "what remains is not distinct from what was given: progress is measured on the whole (606-10-25-13(b))"
        )
    return "prospective", (
        "what remains is distinct from what was given: the rest of the price is earned over it (606-10-25-13(a))"
    )


def _cancelled(books: Books, source: Source, doc: ContractModification, standing: Standing) -> _Change:
    require_later(doc.date, standing)
    if standing.ended:
        raise Refused("cancel", standing.ref, "expected an obligation that is not cancelled yet")
    _, earned = price_and_earned(books.connection, source.customer.customer_id, standing.subject, doc.date)
    reason = f"ends before {doc.date}: nothing more is promised"
    return _Change(standing, "cancelled", reason, cancelled_terms(earned))


def cancelled_terms(earned: int) -> dict[str, object]:
    """What an obligation is once nothing more of it is promised: what is earned of it stays."""
    return {"price_minor": earned, "base_minor": earned, "done_before": 0}
