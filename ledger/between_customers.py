"""Money of one customer that becomes another's: out of the one's balance, into the other's, over a clearing account.

Accounts of a posting are of one customer, so each side posts its own; both count the money at one rate, so that between them
nothing is left in either currency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from fractions import Fraction

from ledger import uses
from ledger.books import CLAIMED, OWED, Books, Movement, Source
from ledger.receivables import CUSTOMER
from ledger.uses import Piece


def rate_of(books: Books, source: Source, on: date) -> Fraction | None:
    """The exchange rate at which money of a source passes on a day: its own, or that day's; None in the entity's currency."""
    functional = books.entity(source.entity).currency
    if source.currency == functional:
        return None
    return books.rate(source.currency, functional, on) if source.rate is None else source.rate


def pass_on(books: Books, giver: Source, taker: Source, on: date, pieces: Sequence[Piece]) -> list[Piece]:
    """Move money from one customer's balance to another's, in one currency; returns it as it lies there.

    What there is of it is for the caller to check before. One of the two sources is beside the other.
    """
    amount = sum(piece.amount for piece in pieces)
    rate = rate_of(books, giver, on)
    books.post(giver, on, [Movement("customer.balance_out", amount, CUSTOMER, OWED, rate=rate)])
    receive(books, taker, on, amount, rate)
    found = [replace(piece, origin_id=0, since=on) for piece in pieces]
    for piece, passed in zip(pieces, found, strict=True):
        uses.add(books, giver, piece, on, -1)
        uses.add(books, taker, passed, on)
    return found


def receive(books: Books, source: Source, on: date, amount: int, rate: Fraction | None) -> None:
    """Take what left elsewhere onto the balance of the source's customer, at the rate at which it left."""
    books.post(source, on, [Movement("customer.balance_in", amount, CLAIMED, CUSTOMER, rate=rate)])
