"""Money on invoices that can leave the balance, as it changes places with other money there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy import text

from ledger.cash.uses import BALANCE, Piece, add, move, on_balance
from ledger.journal.books import Books
from ledger.journal.movements import Source


@dataclass(frozen=True, slots=True)
class Freed:
    """Money that can leave the balance: as it lies there, or what changes places with it: `lying` on an invoice, `other` here."""

    piece: Piece
    lying: Piece | None = None
    other: Piece | None = None

    def part_paid(self, paid: int) -> Freed:
        """So much of it, of the money that came in."""
        piece = self.piece.part_paid(paid)
        if self.lying is None or self.other is None:
            return Freed(piece)
        lying = replace(self.lying, amount=piece.amount, paid=paid)
        return Freed(piece, lying, self.other.part(piece.amount))


def off_balance(
    books: Books, source: Source, own: Sequence[Piece], on: date, origin: int | None = None, *, given: bool = False
) -> list[Freed]:
    """What of a document's money can leave the balance: what lies there, then what others' does that it can change places with.

    Money of others that an invoice left changes places with money that lies on that invoice; what no money that came in brought, with
    any. Where `given`, what of that lowered no line, such as goodwill, goes out as it is instead, and nothing of the document's own for it.
    `own` is where the money lies; of an `origin` only what that invoice left.
    """
    found = [Freed(piece) for piece in own if piece.invoice_id == BALANCE and origin in (None, piece.origin_id)]
    on_invoices = [piece for piece in own if piece.invoice_id != BALANCE and origin in (None, piece.invoice_id)]
    if not on_invoices:
        return found
    mine = {piece.money_id for piece in own}
    apart: list[Piece] = []
    for currency in dict.fromkeys(piece.currency for piece in on_invoices):
        others = [
            piece for piece in on_balance(books, replace(source, currency=currency), on) if piece.money_id not in mine
        ]
        of_lines, free = _brought_by_no_payment(books, source, others) if origin is None else (set[int](), set[int]())
        any_place = of_lines if given else of_lines | free
        for place, lying in enumerate(on_invoices):
            left = lying
            for index, other in enumerate(others):
                if lying.currency == currency and (other.origin_id == lying.invoice_id or other.money_id in any_place):
                    most = min(left.amount, other.amount)
                    if most > 0:
                        found.append(
                            Freed(replace(left.part(most), invoice_id=BALANCE), left.part(most), other.part(most))
                        )
                        left = replace(left, amount=left.amount - most, paid=left.paid - left.part(most).paid)
                        others[index] = replace(
                            other, amount=other.amount - most, paid=other.paid - other.part(most).paid
                        )
            on_invoices[place] = left
        if given and currency == source.currency:
            apart = [
                piece for piece in others if piece.money_id in free and piece.amount and piece.paid_currency == currency
            ]
    return [*found, *(Freed(piece) for piece in apart)]


def _brought_by_no_payment(books: Books, source: Source, pieces: Sequence[Piece]) -> tuple[set[int], set[int]]:
    """(what invoices and notes brought that lowered lines of invoices, what else no money that came in brought)."""
    rows = books.connection.execute(
        text(
            "select d.document_id, (select u.origin_id from money_use u where u.customer_id = d.customer_id and u.money_id = d.document_id"
            "  and u.document_id = d.document_id order by u.use_id limit 1) as origin_id from document d"
            " where d.customer_id = :customer_id and d.document_id = any(:documents) and d.type not in ('payment', 'recovery', 'receipt_identified')"
        ),
        {"customer_id": source.customer.customer_id, "documents": [piece.money_id for piece in pieces]},
    ).all()
    return {row.document_id for row in rows if row.origin_id}, {row.document_id for row in rows if not row.origin_id}


def give_back_freed(books: Books, source: Source, freed: Iterable[Freed], on: date) -> None:
    """Gather that a document gives money back off the balance, and what changes places for it."""
    for item in freed:
        if item.lying is None or item.other is None:
            add(books, source, item.piece, on, -1)
            continue
        add(books, source, item.lying, on, -1)
        move(books, source, [item.other], on, item.lying.invoice_id)


def without(pieces: Sequence[Piece], freed: Iterable[Freed]) -> list[Piece]:
    """What lies on invoices, less what changes places with money on the balance."""
    taken = {item.lying.invoice_id: item.lying for item in freed if item.lying is not None}
    for item in freed:
        if item.lying is not None and item.lying is not taken[item.lying.invoice_id]:
            of = taken[item.lying.invoice_id]
            taken[of.invoice_id] = replace(of, amount=of.amount + item.lying.amount, paid=of.paid + item.lying.paid)
    found = []
    for piece in pieces:
        gone = taken.pop(piece.invoice_id, None)
        rest = piece if gone is None else replace(piece, amount=piece.amount - gone.amount, paid=piece.paid - gone.paid)
        if rest.paid:
            found.append(rest)
    return found
