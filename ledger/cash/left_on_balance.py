"""Money that documents left on the customer's balance, and what took it since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import text

from ledger.cash.uses import BALANCE, Piece, bring, first, give_back, move, on_balance, on_invoice, standing_first
from ledger.journal.books import Books
from ledger.journal.movements import Source


def leave(books: Books, source: Source, invoice_id: int, amount: int, on: date) -> Piece | None:
    """Gather that a document leaves an amount of what lies on an invoice with the customer: what was put there last.

    Returns what no document brought that is known here: that it brings itself.
    """
    short = amount - leave_of(books, source, invoice_id, amount, on)
    return bring(books, source, short, on, origin_id=invoice_id) if short else None


def leave_of(books: Books, source: Source, invoice_id: int, amount: int, on: date) -> int:
    """Gather that a document leaves an amount of what lies on an invoice with the customer, as far as it is there; how much that is."""
    if not amount:
        return 0
    pieces = standing_first(lambda day: on_invoice(books, source, invoice_id, day), amount, on, last=True)
    move(books, source, pieces, on, BALANCE, invoice_id)
    return sum(piece.amount for piece in pieces)


def left_there(books: Books, source: Source, document_id: int, on: date) -> list[Piece]:
    """What is on the balance on a day of what a document left there: what it brought itself, and what invoices left by it.

    Of an invoice with what credits of it left since.
    """
    origins = {document_id, *_origins(books, source, document_id)}
    lying = on_balance(books, source, on)
    own = [piece for piece in lying if piece.money_id == document_id]
    return own + [piece for piece in lying if piece.money_id != document_id and piece.origin_id in origins]


def _origins(books: Books, source: Source, document_id: int) -> set[int]:
    """The invoices of whose money a document left something on the balance."""
    books.flush()
    found = books.connection.scalars(
        text(
            "select distinct origin_id from money_use where customer_id = :customer_id and document_id = :document_id"
            " and invoice_id = 0 and origin_id <> 0 and amount_minor > 0"
        ),
        {"customer_id": source.customer.customer_id, "document_id": document_id},
    )
    return set(found)


@dataclass(frozen=True, slots=True)
class Took:
    """That a document took an amount off the balance on a day."""

    document: str
    on: date
    amount: int


def taken_of(books: Books, source: Source, document_id: int, most: int = 3) -> list[Took]:
    """The last documents that took something off the balance of what a document left there."""
    rows = books.connection.execute(
        text(
            "select d.type, d.ref, u.on_day, -sum(u.amount_minor)::bigint as amount from money_use u"
            " join document d using (customer_id, document_id) where u.customer_id = :customer_id and u.invoice_id = 0"
            " and u.entity = :entity and u.currency = :currency and (u.money_id = :document_id or u.origin_id = any(:origins))"
            " group by 1, 2, 3 having sum(u.amount_minor) < 0 order by 3 desc, 2 limit :most"
        ),
        {
            "customer_id": source.customer.customer_id, "document_id": document_id, "entity": source.entity,
            "currency": source.currency, "origins": [document_id, *_origins(books, source, document_id)], "most": most,
        },
    )  # fmt: skip
    return [Took(f"{row.type} {row.ref}", row.on_day, row.amount) for row in rows]


def take_back(books: Books, source: Source, document_id: int, amount: int, on: date) -> None:
    """Gather that what a document left on the balance lies again where that came from; what it brought itself, or credits of it, is gone."""
    for piece in first(left_there(books, source, document_id, on), amount):
        if document_id in {piece.money_id, piece.origin_id}:
            give_back(books, source, [piece], on)
        else:
            move(books, source, [piece], on, piece.origin_id)


def left_by(books: Books, source: Source, document_id: int) -> int:
    """What a document left on the customer's balance of what lay on invoices, in the source's currency."""
    found = books.connection.scalar(
        text(
            "select coalesce(sum(amount_minor), 0)::bigint from money_use where customer_id = :customer_id"
            " and document_id = :document_id and invoice_id = 0 and origin_id <> 0 and amount_minor > 0"
            " and entity = :entity and currency = :currency"
        ),
        {
            "customer_id": source.customer.customer_id, "document_id": document_id, "entity": source.entity,
            "currency": source.currency,
        },
    )  # fmt: skip
    return int(found or 0)
