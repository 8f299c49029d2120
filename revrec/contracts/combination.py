"""Contracts negotiated together, accounted for as one (606-10-25-9, IFRS 15.17).

The contract that says so joins the one before: the prices of both, and of all that were combined with it, are allocated
anew to all their obligations by stand-alone prices, as if one document had promised them. Each keeps its document and its
bills; their positions are shown net, as one contract's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text

from ledger.amounts.money import allocate, to_minor
from ledger.errors import InvalidDocument, Refused
from ledger.journal.books import Books
from revrec.documents.contracts import Contract
from revrec.stand_alone_prices import Catalogue
from revrec.terms.changes.folded import Version
from revrec.terms.events import Combined
from revrec.terms.history import read
from revrec.terms.plans import Plan
from revrec.terms.versions import Agreed, Standing, all_standing, find_contract

_BECAUSE = {
    "one_objective": "negotiated as a package with one objective (606-10-25-9(a))",
    "interdependent_price": "what one costs depends on the other (606-10-25-9(b))",
    "one_obligation": "what both promise is one obligation (606-10-25-9(c))",
}


@dataclass(frozen=True, slots=True)
class Package:
    """What a contract's obligations are priced at.

    And what those of contracts before become, where it is combined with any.
    """

    shares: list[int]
    package: str | None = None
    plan: Plan | None = None

    def keep(self, books: Books) -> None:
        """Gather the new prices of the contracts before: they count from the start."""
        if self.plan is not None:
            books.flush()
            self.plan.keep()


def combine(books: Books, doc: Contract, document_id: int, shares: Sequence[int]) -> Package:
    """Allocate the prices of combined contracts to the obligations of all.

    Raises Refused for a contract of another party or one that changed before, InvalidDocument where a stand-alone price is
    missing.
    """
    if doc.combined_with is None:
        return Package(list(shares))
    if doc.financing is not None:
        raise InvalidDocument("financing", str(doc.financing.rate), "expected none on a combined contract")
    assert doc.combined_because is not None, "checked by the document"
    first = find_contract(books, doc.combined_with, field="combined_with")
    if (first.customer, first.entity, first.currency) != (doc.customer, doc.entity, doc.currency):
        raise Refused(
            "combined_with", doc.combined_with,
            f"expected a contract of {doc.customer} with {doc.entity} in {doc.currency}, found one of {first.customer} "
            f"with {first.entity} in {first.currency}",
        )  # fmt: skip
    if doc.signed_on < first.signed_on:
        raise Refused("signed_on", doc.signed_on, f"expected {first.signed_on}, when {first.ref} was signed, or later")
    others = _package(books, first)
    history = read(books, first.party, [])
    folded, alone = history.folded(), {promise.subject: promise.ssp for promise in history.promises}
    before = [
        _as_signed(doc, other, standing, folded.versions[standing.subject], alone[standing.subject], catalogue)
        for other, catalogue in ((other, Catalogue(books, other.currency, other.signed_on)) for other in others)
        for standing in all_standing(books.connection, other)
        # what was added since is no part of what was signed
        if standing.pattern != "usage" and standing.subject in alone
    ]
    own = [_own_price(index, doc) for index in range(len(doc.obligations))]
    total = sum(price for *_, price in before) + sum(shares)
    weights = [ssp for _, _, ssp, _ in before] + own
    parts = (
        allocate(total, weights) if any(weights) else [0] * len(weights)
    )  # of usage alone there is no price to share
    prices = {subject: (since, part) for (subject, since, *_), part in zip(before, parts, strict=False)}
    reason = f"combined with {doc.id}, signed {doc.signed_on}: {_BECAUSE[doc.combined_because]}"
    plan = Plan.of(books, first.party, document_id, Combined(doc.signed_on, document_id, doc.id, prices, reason))
    return Package(parts[len(before) :], first.package, plan)


def _as_signed(
    doc: Contract, other: Agreed, standing: Standing, versions: Sequence[Version], ssp: int | None, catalogue: Catalogue
) -> tuple[str, date, int, int]:
    """An obligation of a contract before, as it was signed.

    Its subject, since when, its stand-alone price, its price. Raises Refused where it changed since, InvalidDocument where no stand-alone
    price of it is known.
    """
    # what happens to it later lies on top, whichever came in first
    signed = [versions[0], *(version for version in versions[1:] if version.treatment == "combined")]
    if any(version not in signed and version.from_day < doc.signed_on for version in versions):
        raise Refused(
            "combined_with", doc.combined_with, f"expected contracts as they were signed: {standing.ref} has "
            "changed since; modify it instead (606-10-25-12 and 25-13)"
        )  # fmt: skip
    known = None if ssp is not None else catalogue.find(standing.product, standing.quantity)
    ssp = ssp if known is None else known.price
    if ssp is None:
        raise InvalidDocument(
            "combined_with", doc.combined_with, f"expected stand-alone prices to allocate by: {standing.ref} has "
            f"none, nor has the catalogue for {standing.product}"
        )  # fmt: skip
    starts_on = versions[0].terms.curve.starts_on
    return standing.subject, min(other.signed_on, starts_on), ssp, signed[-1].terms.price


def _own_price(index: int, doc: Contract) -> int:
    item = doc.obligations[index]
    if item.pattern == "usage":
        return 0
    if item.ssp is None:
        raise InvalidDocument(
            f"obligations.{index}.ssp", "missing",
            f"expected a stand-alone price to allocate its price and that of {doc.combined_with} by, here or in the "
            f"catalogue for {item.product}",
        )  # fmt: skip
    return to_minor(item.ssp, doc.currency, f"obligations.{index}.ssp")


def _package(books: Books, first: Agreed) -> list[Agreed]:
    """All contracts that are accounted for as one with a contract, it included."""
    refs = books.connection.scalars(
        text(
            "select ref from contract where customer_id = :customer_id and (ref = :package or package = :package) "
            "order by contract_id"
        ),
        {"customer_id": first.customer_id, "package": first.package},
    )
    return [find_contract(books, ref) for ref in list(refs)]
