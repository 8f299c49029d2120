"""What recoveries are of bad debt, each at the rate at which it came in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from typing import NamedTuple

from sqlalchemy import text

from ledger.amounts.money import share
from ledger.journal.books import Books
from ledger.journal.movements import Source
from ledger.payments.between_customers import rate_of


class Recovered(NamedTuple):
    """What a recovery is of bad debt, and what that counts for: below zero where one came back.

    `of_others` is how much of other recoveries is of something else then, which came in at other rates.
    """

    bad_debt: int
    counts: int
    of_others: int = 0

    def less(self, other: Recovered) -> Recovered:
        """What it is more of than another, without what is of others."""
        return Recovered(self.bad_debt - other.bad_debt, self.counts - other.counts)


def counted_for(
    books: Books, source: Source, parts: Sequence[tuple[date, int, int, int]]
) -> dict[date, list[Recovered]]:
    """What recoveries of a bill, and such that came back, are of bad debt, by their days: in order, each at the rate it came in at.

    A part is its day, its document, its amount and what of that is bad debt. What is of neither is left out.
    """
    books.flush()
    rows = books.connection.execute(
        text(
            "select d.document_id, coalesce(r.dated_on, d.dated_on) as came_on, r.document_id as came_back from document d"
            " left join document r on r.customer_id = d.customer_id and r.type = 'recovery' and r.ref = d.body::json ->> 'recovery'"
            " where d.customer_id = :customer_id and d.document_id = any(:documents) and (d.type = 'recovery' or r.type is not null)"
        ),
        {"customer_id": source.customer.customer_id, "documents": sorted({document for _, document, _, _ in parts})},
    )
    of = {row.document_id: (row.came_on, row.came_back) for row in rows} | books.recovers
    found: dict[date, list[Recovered]] = {}
    standing: dict[int, RecoveredPiece] = {}
    for on, document, amount, bad_debt in sorted(parts):
        if document not in of:
            continue
        came_on, came_back = of[document]
        rate = rate_of(books, source, came_on)
        moved = bad_debt_of(standing, document, came_back, amount, bad_debt, rate)
        counts = sum(
            (1 if part > 0 else -1) * books.at_rate(replace(source, rate=at), source.currency, on, abs(part))
            for at, part in moved.items()
        )
        others = sum(abs(part) for at, part in moved.items() if at != rate)
        found.setdefault(on, []).append(Recovered(bad_debt, counts, others))
    return found


@dataclass(slots=True)
class RecoveredPiece:
    """What a recovery brought of a bill, and what of that is bad debt."""

    amount: int
    bad_debt: int
    rate: Fraction | None


def bad_debt_of(
    standing: dict[int, RecoveredPiece],
    document_id: int,
    came_back: int | None,
    amount: int,
    bad_debt: int,
    rate: Fraction | None,
) -> Counter[Fraction | None]:
    """What a recovery is of bad debt, or one that came back, by rate: one after another, in order."""
    if came_back and came_back in standing:
        return _comes_back(standing, came_back, -amount, -bad_debt)
    if not came_back:
        standing[document_id] = RecoveredPiece(amount, bad_debt, rate)
    return Counter({rate: bad_debt})


def _comes_back(standing: dict[int, RecoveredPiece], of: int, amount: int, bad_debt: int) -> Counter[Fraction | None]:
    """Take out what a recovery brought that comes back: what later ones brought is bad debt in its place, each at its own rate."""
    own = standing[of]
    moved: Counter[Fraction | None] = Counter()
    gone = own.bad_debt if amount >= own.amount else share(own.bad_debt, amount, own.amount)
    own.amount -= amount
    own.bad_debt -= gone
    moved[own.rate] -= gone
    instead = gone - bad_debt
    for piece in list(standing.values())[:: 1 if instead > 0 else -1]:
        part = min(max(piece.amount - piece.bad_debt, 0), instead) if instead > 0 else max(-piece.bad_debt, instead)
        if piece is own or not part:
            continue
        piece.bad_debt += part
        moved[piece.rate] += part
        instead -= part
    moved[own.rate] += instead
    return moved
