"""What was written off, what of it was recovered, and what a document makes of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from typing import Any

from sqlalchemy import text

from ledger.journal.books import Books
from ledger.journal.movements import Came, Movement, Source, Undoing


@dataclass(frozen=True, slots=True)
class Reached:
    """What was written off, gross, and what recoveries brought of it, by day and document, in their order: less where one came back."""

    written: int
    in_order: Sequence[tuple[date, int, int]]

    @property
    def recovered(self) -> int:
        """What stands of all recoveries."""
        return sum(amount for _, _, amount in self.in_order)

    def of(self, document_id: int) -> int:
        """What a recovery brought."""
        return sum(amount for _, document, amount in self.in_order if document == document_id)

    def left(self, on: date) -> int:
        """What can be recovered on a day so that it is never more than was written off, then or later, however short."""
        most = sum(amount for day, _, amount in self.in_order if day <= on)
        reached = most
        for day, _, amount in self.in_order:
            if day > on:
                reached += amount
                most = max(most, reached)
        return self.written - most


@dataclass(frozen=True, slots=True)
class Change:
    """What a document makes of what was recovered of a write-off: more of it, or less (below zero) where the recovery `of` came back."""

    by: str
    on: date
    amount: int
    rail: str
    reached: Reached
    came_on: date
    of: int = 0
    rate: Fraction | None = None
    came: Came | None = None

    def moved(self, what: str, amount: int, subject: str) -> Movement:
        """What that moves between cash and what was written off, at the rate at which it came in."""
        if amount >= 0:
            return Movement(f"recovery.{what}", amount, self.rail, subject, rate=self.rate)
        return Movement(f"recovery.{what}_returned", -amount, subject, self.rail, rate=self.rate)

    def post(self, books: Books, source: Source, movements: Sequence[Movement]) -> None:
        """Post what the document itself moves: cash of a recovery that came back goes at what it came for."""
        if self.came is None:
            books.post(source, self.on, movements)
        else:
            books.post(source, self.on, [self._as_it_came(item) for item in movements], Undoing((self.of,), 1, (0, 1)))

    def _as_it_came(self, movement: Movement) -> Movement:
        assert self.came is not None, "asked of what came"
        counts = self.came.going(movement.amount) if movement.credit == self.rail else None
        return movement if counts is None else replace(movement, rate=None, functional=counts, worth=counts)


def reached_of(books: Books, row: Any) -> Reached:
    """What was written off, gross, and what stands of its recoveries in the books."""
    place = {"customer_id": row.customer_id, "document_id": row.document_id}
    written = books.connection.scalar(
        text(
            "select coalesce(sum(p.amount), 0)::bigint from entry e join posting p using (customer_id, entry_id) "
            "join rule r on r.number = p.rule where e.customer_id = :customer_id and e.document_id = :document_id "
            "and r.credit = 'accounts_receivable'"
        ),
        place,
    )
    rows = books.connection.execute(
        text(
            # some are of so little that all of it is tax
            "with of as (select d.document_id from document d where d.customer_id = :customer_id and (d.type = 'recovery'"
            "   and d.body::json ->> 'write_off' = :write_off or d.type = 'payment_reversal' and d.body::json ->> 'recovery' in (select r.ref"
            "    from document r where r.customer_id = :customer_id and r.type = 'recovery' and r.body::json ->> 'write_off' = :write_off))) "
            "select d.document_id, d.dated_on, sum(x.amount)::bigint as amount from ("
            " select document_id, -amount_minor as amount from line_change where customer_id = :customer_id and kind = 'recovery'"
            "  and undoes = :document_id union all"
            " select t.document_id, t.tax_minor from line_tax t join of using (document_id) where t.customer_id = :customer_id"
            "  and (t.undoes = 0 or t.undoes in (select document_id from of))"
            ") x join document d on d.customer_id = :customer_id and d.document_id = x.document_id group by 1, 2 order by 2, 1"
        ),
        place | {"write_off": row.write_off},
    ).all()
    return Reached(int(written or 0), [(row.dated_on, row.document_id, row.amount) for row in rows])
