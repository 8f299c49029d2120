"""Money of one customer that becomes another's: out of the one's balance, into the other's, over a clearing account.

Accounts of a posting are of one customer, so each side posts its own; both count the money at one rate, so that between them
nothing is left in either currency.
"""

from __future__ import annotations

from datetime import date
from fractions import Fraction

from ledger.books import CLAIMED, OWED, Books, Movement, Source
from ledger.receivables import CUSTOMER


def rate_of(books: Books, source: Source, on: date) -> Fraction | None:
    """The exchange rate at which money of a source passes on a day: its own, or that day's; None in the entity's currency."""
    functional = books.entity(source.entity).currency
    if source.currency == functional:
        return None
    return books.rate(source.currency, functional, on) if source.rate is None else source.rate


def pass_on(books: Books, source: Source, customer: str, on: date, amount: int) -> None:
    """Move money of the source's customer to another's balance. What there is of it is for the caller to check before."""
    rate = rate_of(books, source, on)
    books.post(source, on, [Movement("customer.balance_out", amount, CUSTOMER, OWED, rate=rate)])
    receive(books, books.beside(source, customer, on), on, amount, rate)


def receive(books: Books, source: Source, on: date, amount: int, rate: Fraction | None) -> None:
    """Take what left elsewhere onto the balance of the source's customer, at the rate at which it left."""
    books.post(source, on, [Movement("customer.balance_in", amount, CLAIMED, CUSTOMER, rate=rate)])
