"""Whose money lies where, by rows that documents write: how much of what came in is on which invoice, or on the balance.

Money is named by the document that brought it: a payment, a recovery, a manual entry, a document that owes it. Where it lies it
has that place's currency; beside it stands what it is of the money that came in. A document takes it from one place and puts it
onto another, or gives it back, each a row; what stands of a piece on a day is the least its rows leave of it from that day on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import text

from ledger.amounts.dates import LAST_DAY
from ledger.amounts.money import share
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.movements import Source

# The place of money that lies on no invoice: the customer's balance.
BALANCE = 0
_NUMBERS = 64  # so many are fetched at once


@dataclass(frozen=True, slots=True)
class Piece:
    """Money of one document at one place: `amount` in the place's currency, `paid` what it is of the money that came in.

    `origin_id` is the invoice that left it on the balance, by a credit note or the like; 0 where none did.
    """

    money_id: int
    invoice_id: int
    origin_id: int
    entity: str
    currency: str
    amount: int
    paid: int
    paid_currency: str
    since: date
    order: int = 0  # the number of the row that put it there

    def part(self, amount: int) -> Piece:
        """So much of it, in the place's currency."""
        return replace(self, amount=amount, paid=share(self.paid, amount, self.amount))

    def part_paid(self, paid: int) -> Piece:
        """So much of it, of the money that came in."""
        return replace(self, amount=share(self.amount, paid, self.paid), paid=paid)


def add(books: Books, source: Source, piece: Piece, on: date, sign: int = 1, undoes: int = 0) -> None:
    """Gather that a document puts money at a place, or with a sign of -1 takes it from there; `undoes` what gave it back."""
    if not piece.amount and not piece.paid:
        return
    books.add_row(
        "money_use",
        customer_id=source.customer.customer_id,
        use_id=books.number("money_use_number", at_least=_NUMBERS),
        document_id=source.document_id,
        money_id=piece.money_id,
        invoice_id=piece.invoice_id,
        origin_id=piece.origin_id,
        entity=piece.entity,
        currency=piece.currency,
        on_day=on,
        amount_minor=sign * piece.amount,
        paid_minor=sign * piece.paid,
        paid_currency=piece.paid_currency,
        undoes=undoes,
    )


def bring(books: Books, source: Source, amount: int, on: date, invoice_id: int = BALANCE, origin_id: int = 0) -> Piece:
    """Gather that the source's document brings money, and where it lies."""
    piece = Piece(
        source.document_id, invoice_id, origin_id, source.entity, source.currency, amount, amount, source.currency, on
    )
    add(books, source, piece, on)
    return piece


def move(books: Books, source: Source, pieces: Iterable[Piece], on: date, invoice_id: int, origin_id: int = 0) -> None:
    """Gather that a document takes money from where it lies and puts it onto an invoice, or the balance, in the same currency."""
    for piece in pieces:
        add(books, source, piece, on, -1)
        add(books, source, replace(piece, invoice_id=invoice_id, origin_id=origin_id), on)


def exchange(
    books: Books, source: Source, pieces: Sequence[Piece], on: date, invoice_id: int, currency: str, amount: int
) -> None:
    """Gather that a document puts money onto an invoice of another currency, where it comes to an amount altogether."""
    whole = sum(piece.amount for piece in pieces)
    reached = before = 0
    for piece in pieces:
        reached += piece.amount
        now = share(amount, reached, whole)
        add(books, source, piece, on, -1)
        there = replace(piece, invoice_id=invoice_id, origin_id=0, currency=currency, amount=now - before)
        add(books, source, there, on)
        before = now


def give_back(books: Books, source: Source, pieces: Iterable[Piece], on: date) -> None:
    """Gather that a document gives money back."""
    for piece in pieces:
        add(books, source, piece, on, -1)


def first(pieces: Sequence[Piece], amount: int) -> list[Piece]:
    """Of pieces, in their order, so much as comes to an amount in their places' currency; less where there is less."""
    found = []
    for piece in pieces:
        part = min(piece.amount, amount)
        if part > 0:
            found.append(piece.part(part))
            amount -= part
    return found


def first_paid(pieces: Sequence[Piece], paid: int) -> list[Piece]:
    """Of pieces, in their order, so much as comes to an amount of the money that came in; less where there is less."""
    found = []
    for piece in pieces:
        part = min(piece.paid, paid)
        if part > 0:
            found.append(piece.part_paid(part))
            paid -= part
    return found


def on_balance(books: Books, source: Source, on: date) -> list[Piece]:
    """What lies on the customer's balance in the source's currency on a day and stays there, the oldest money first."""
    return _standing(
        books, source, "invoice_id = 0 and entity = :entity and currency = :currency", on,
        entity=source.entity, currency=source.currency,
    )  # fmt: skip


def on_invoice(books: Books, source: Source, invoice_id: int, on: date) -> list[Piece]:
    """What lies on an invoice on a day and stays there, in the order in which it was put there."""
    return _standing(books, source, "invoice_id = :invoice_id", on, invoice_id=invoice_id)


def of_money(books: Books, source: Source, money_id: int, on: date) -> list[Piece]:
    """Where the money of a document lies on a day and stays, in the order in which it was put there."""
    return _standing(books, source, "money_id = :money_id", on, money_id=money_id)


def _standing(books: Books, source: Source, where: str, on: date, **parameters: Any) -> list[Piece]:
    books.flush()
    rows = books.connection.execute(
        text(
            "select u.money_id, u.invoice_id, u.origin_id, u.entity, u.currency, u.paid_currency, min(u.on_day) as since, min(u.use_id) as first,"
            " array_agg(u.on_day) as days, array_agg(u.amount_minor) as amounts, array_agg(u.paid_minor) as paid"
            f" from money_use u where u.customer_id = :customer_id and {where}"
            " group by 1, 2, 3, 4, 5, 6 having sum(u.amount_minor) > 0 or sum(u.paid_minor) > 0 order by min(u.use_id)"
        ),
        {"customer_id": source.customer.customer_id, **parameters},
    ).all()
    found = []
    for row in rows:
        amount = available(_by_day(row.days, row.amounts), on)
        paid = available(_by_day(row.days, row.paid), on)
        if amount > 0 or paid > 0:
            where_ = (row.money_id, row.invoice_id, row.origin_id, row.entity, row.currency)
            found.append(Piece(*where_, amount, paid, row.paid_currency, row.since, row.first))
    return sorted(found, key=lambda piece: piece.since)


def _by_day(days: Sequence[date], amounts: Sequence[int]) -> dict[date, int]:
    net: dict[date, int] = {}
    for day, amount in zip(days, amounts, strict=True):
        net[day] = net.get(day, 0) + amount
    return net


def standing_first(
    pieces: Callable[[date], Sequence[Piece]], amount: int, on: date, *, last: bool = False
) -> list[Piece]:
    """So much as comes to an amount of what stands somewhere on a day, or where its days leave less, of what stands there now."""
    for day in (on, LAST_DAY):
        found = pieces(day)
        taken = first(found[::-1] if last else found, amount)
        if sum(piece.amount for piece in taken) == amount:
            return taken
    return taken


def given_back_of(books: Books, source: Source, document_id: int, invoice_id: int, amount: int) -> list[Piece]:
    """What a document gave back of what lay on an invoice, so much as comes to an amount, as it lay there before."""
    books.flush()
    rows = books.connection.execute(
        text(
            "select money_id, invoice_id, 0 as origin_id, entity, currency, -sum(amount_minor)::bigint as amount,"
            " -sum(paid_minor)::bigint as paid, paid_currency, min(on_day) as since from money_use"
            " where customer_id = :customer_id and document_id = :document_id and invoice_id = :invoice_id and money_id <> document_id"
            " and amount_minor <= 0 and paid_minor <= 0"
            " group by 1, 2, 3, 4, 5, 8 having sum(amount_minor) < 0 order by min(use_id)"
        ),
        {"customer_id": source.customer.customer_id, "document_id": document_id, "invoice_id": invoice_id},
    )
    return first([Piece(*row) for row in rows], amount)


def with_later(pieces: Sequence[Piece], now: Sequence[Piece]) -> list[Piece]:
    """Pieces of a day, with what lies on invoices now beyond what lay there then: of each place as one."""
    found = list(pieces)
    for piece in now:
        if piece.invoice_id == BALANCE:
            continue
        places = [place for place, known in enumerate(found) if known.invoice_id == piece.invoice_id]
        more = piece.paid - sum(found[place].paid for place in places)
        if more <= 0:
            continue
        rest = piece.part_paid(more)
        if places:
            known = found[places[0]]
            found[places[0]] = replace(known, amount=known.amount + rest.amount, paid=known.paid + rest.paid)
        else:
            found.append(rest)
    return found


def steps_of(books: Books, source: Source, money_id: int, on: date) -> list[tuple[date, list[Piece]]]:
    """Where a document's money lies on a day, and what each later day moves of it: what leaves a place is below zero."""
    books.flush()
    rows = books.connection.execute(
        text(
            "select greatest(on_day, :on) as day, invoice_id, origin_id, entity, currency, sum(amount_minor)::bigint as amount,"
            " sum(paid_minor)::bigint as paid, paid_currency from money_use where customer_id = :customer_id and money_id = :money_id"
            " group by 1, 2, 3, 4, 5, 8 order by 1, min(use_id)"
        ),
        {"customer_id": source.customer.customer_id, "money_id": money_id, "on": on},
    )
    found: dict[date, list[Piece]] = {}
    for row in rows:
        of = found.setdefault(row.day, [])
        if row.amount or row.paid:
            where_ = (money_id, row.invoice_id, row.origin_id, row.entity, row.currency)
            of.append(Piece(*where_, row.amount, row.paid, row.paid_currency, row.day))
    return list(found.items())
