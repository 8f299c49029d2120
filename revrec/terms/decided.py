"""What the ledger asks of terms: how corrections of bills are made up, and what of a bill is of which obligation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from ledger.amounts.money import allocate
from ledger.errors import Refused, UnknownReference
from ledger.journal.books import Books
from ledger.journal.movements import Source
from ledger.obligations import Correction, Obligations, Shares
from ledger.wallets.session import Wallets
from revrec.terms.beside_revenue import settle_beside
from revrec.terms.changes.folded import Folded, Split
from revrec.terms.editions import keep, touched
from revrec.terms.history import History, event_of, parties_of, read
from revrec.terms.plans import refold
from revrec.terms.schedules import PERIODIC
from revrec.terms.versions import find_contract


@dataclass(slots=True)
class Decided:
    """How corrections of bills are made up, by the terms of what they bill."""

    books: Books
    document_id: int
    histories: list[tuple[History, Folded]]

    def share(self, invoice_id: int, line: str, subject: str, *, of: int | None = None, undoing: int = 0) -> Shares:
        """How a line's amount is made up: of the document's own correction, of what it undoes of another, or of one in the books."""
        bill = (invoice_id, line, subject)
        for _, folded in self.histories:
            split: Split | None = (
                folded.undone.get((self.document_id if of is None else of, undoing, bill))
                if undoing
                else folded.splits.get((self.document_id if of is None else of, bill))
            )
            if split is not None:
                return Shares(split.expected, split.earned, split.rest)
        return Shares(0, 0, 0)

    def term(self, subject: str) -> tuple[date, date] | None:
        """The first and last day on which what a bill is for was ever promised; None where it is not earned over days."""
        curves = [version.terms.curve for _, folded in self.histories for version in folded.versions.get(subject, [])]
        if not curves or any(curve.pattern not in PERIODIC for curve in curves):
            return None
        return min(curve.starts_on for curve in curves), max(curve.last_day for curve in curves)

    def keep(self) -> None:
        """Keep the terms that come of them, and post what is decided differently of others: after their own movements."""
        for history, decided in self.histories:
            folded = decided
            if history.under_way:
                history.tell_days()
                folded = history.folded()
            keep(self.books, history, folded, self.document_id)
            source = history.party.source(self.books, self.document_id)
            settle_beside(self.books, source, history, folded)


def decide(wallets: Wallets, customer_id: int, document_id: int, corrections: Sequence[Correction]) -> Decided:
    """How corrections of bills are made up: asked before anything of them is gathered."""
    books = wallets.books
    books.flush()
    for item in corrections:
        books.decided.setdefault(item.document_id, (item.ref, item.on))
    histories = []
    for party, subjects in parties_of(books, customer_id, [item.subject for item in corrections]).items():
        history = read(books, party, subjects)
        known = set(history.subjects)
        history.events += [event_of(item) for item in corrections if item.subject in known]
        histories.append((history, history.folded()))
    return Decided(books, document_id, histories)


def billed_later(wallets: Wallets, customer_id: int, document_id: int, subjects: Iterable[str]) -> None:
    """Fold anew what a bill was posted of, where something happened to it already: what the bill covers may change that."""
    books = wallets.books
    of = [subject for subject in subjects if subject in touched(books, customer_id)]
    if of:
        books.flush()
        for party, found in parties_of(books, customer_id, of).items():
            refold(books, party, found, document_id)


def of_contract(wallets: Wallets, source: Source, contract: str, on: date, amount: int) -> list[tuple[str, int]]:
    """What of an amount billed of a whole contract on a day is of which obligation: by the prices allocated to them by then.

    Raises UnknownReference for a contract of another party, Refused for one without prices.
    """
    agreed = find_contract(wallets.books, contract)
    if (agreed.customer, agreed.entity, agreed.currency) != (source.customer.ref, source.entity, source.currency):
        raise UnknownReference(
            "contract",
            contract,
            f"expected a contract of {source.customer.ref} with {source.entity} in {source.currency}",
        )
    history = read(wallets.books, agreed.party, [])
    folded = history.folded()
    known = [
        (versions[0].subject, max(folded.terms(versions[0].subject, on).price, 0))
        for versions in folded.versions.values()
        if versions[0].from_day <= on and history.contract_of(versions[0].subject) == contract
    ]
    weights = [price for _, price in known]
    if not any(weights):
        raise Refused(
            "contract", contract, f"expected one with obligations that have prices on {on}: bill what was used as usage"
        )
    parts = allocate(amount, weights)
    return [(subject, part) for (subject, _), part in zip(known, parts, strict=True) if part]


OBLIGATIONS = Obligations(decide, billed_later, of_contract)
