"""The history of what was promised, folded into terms and kept as their next edition.

A contract (with those it is accounted for as one with), or an invoice line that made an obligation for itself, is folded whole whenever a
document changes any of it, whatever its date; what is decided differently by that of documents in the books already is posted as
the difference, on their days or the first open one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from ledger.journal.books import Books
from revrec.terms.beside_revenue import settle_beside
from revrec.terms.changes.folded import Folded, Version
from revrec.terms.editions import keep
from revrec.terms.events import Event
from revrec.terms.history import History, parties_of, read
from revrec.terms.versions import Party


def refold(books: Books, party: Party, subjects: Sequence[str], document_id: int) -> None:
    """Fold contracts, or lines, anew, and keep what that makes of them: a fact of theirs came in."""
    Plan.of(books, party, document_id, subjects=subjects).keep()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a document makes of contracts: folded before anything of it is gathered, kept after all of it is."""

    books: Books
    history: History
    folded: Folded
    document_id: int

    @classmethod
    def of(cls, books: Books, party: Party, document_id: int, *events: Event, subjects: Sequence[str] = ()) -> Plan:
        """Fold contracts, or lines, with what a document brings. Raises Refused, or TooLittle, where it can't be."""
        history = read(books, party, subjects)
        history.events += events
        return cls(books, history, history.folded(document_id), document_id)

    def taken(self) -> list[tuple[Version, int]]:
        """The versions that are the document's own, each with how much it takes off its obligation's price."""
        return [
            (version, -version.change)
            for versions in self.folded.versions.values()
            for version in versions
            if version.document_id == self.document_id and version.change < 0
        ]

    def keep(self) -> None:
        """Gather the terms that come of it, and post what is decided differently of documents in the books."""
        keep(self.books, self.history, self.folded, self.document_id)
        source = self.history.party.source(self.books, self.document_id)
        settle_beside(self.books, source, self.history, self.folded)


def fold_old(books: Books, document_id: int) -> None:
    """Fold what books of an older schema have changed of obligations, once, as documents do from then on."""
    waiting = books.connection.execute(text("select customer_id, subject from terms_to_fold order by 1, 2")).all()
    if not waiting:
        return
    by_customer: dict[int, list[str]] = defaultdict(list)
    for row in waiting:
        by_customer[row.customer_id].append(row.subject)
    for customer_id, subjects in by_customer.items():
        for party, of in parties_of(books, customer_id, subjects).items():
            refold(books, party, of, document_id)
    books.flush()
    books.connection.execute(text("delete from terms_to_fold"))
