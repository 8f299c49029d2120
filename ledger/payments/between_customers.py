"""Money of one customer that becomes another's: out of the one's balance, into the other's, over a clearing account.

Accounts of a posting are of one customer, so each side posts its own; both count the money at one rate, so that between them
nothing is left in either currency. What goes back counts for what it did when it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from fractions import Fraction

from sqlalchemy import text

from ledger.amounts.money import share
from ledger.cash import payers, uses
from ledger.cash.uses import Piece
from ledger.invoices.forms import CUSTOMER
from ledger.journal.books import Books
from ledger.journal.movements import CLAIMED, MONEY_ACCOUNT, OWED, Movement, Source


def rate_of(books: Books, source: Source, on: date) -> Fraction | None:
    """The exchange rate at which money of a source passes on a day: its own, or that day's; None in the entity's currency."""
    functional = books.parties.entity(source.entity).currency
    if source.currency == functional:
        return None
    return books.rate(source.currency, functional, on) if source.rate is None else source.rate


def pass_on(
    books: Books, giver: Source, taker: Source, on: date, pieces: Sequence[Piece], worth: int | None = None
) -> list[Piece]:
    """Move money from one customer's balance to another's, in one currency; returns it as it lies there.

    What there is of it is for the caller to check before. One of the two sources is beside the other. It counts for its `worth` in
    the entity's currency, else for what the day's rate says.
    """
    amount = sum(piece.amount for piece in pieces)
    rate = rate_of(books, giver, on) if worth is None else None
    books.post(giver, on, [Movement("customer.balance_out", amount, CUSTOMER, OWED, rate=rate, functional=worth)])
    receive(books, taker, on, amount, rate, worth)
    found = [replace(piece, origin_id=0, since=on) for piece in pieces]
    for piece, passed in zip(pieces, found, strict=True):
        uses.add(books, giver, piece, on, -1)
        uses.add(books, taker, passed, on)
    return found


def receive(
    books: Books, source: Source, on: date, amount: int, rate: Fraction | None, worth: int | None = None
) -> None:
    """Take what left elsewhere onto the balance of the source's customer, at the rate at which it left."""
    books.post(source, on, [Movement("customer.balance_in", amount, CLAIMED, CUSTOMER, rate=rate, functional=worth)])


def pass_back(books: Books, giver: Source, taker: Source, on: date, pieces: Sequence[Piece]) -> list[Piece]:
    """Move money back from the customer's balance to which it had passed: each piece counts for what it did when it came there."""
    return [
        passed
        for piece in pieces
        for passed in pass_on(books, giver, taker, on, [piece], passed_for(books, giver, piece.money_id, piece.paid))
    ]


def passed_for(books: Books, source: Source, money_id: int, paid: int) -> int | None:
    """What so much of a document's money counted for when it came to the source's customer; None where it didn't pass, or needs no rate."""
    if books.parties.entity(source.entity).currency == source.currency:
        return None
    books.flush()
    rows = books.connection.execute(
        text(
            "select u.amount, u.paid, p.amount as whole, p.functional from (select document_id, sum(amount_minor)::bigint as amount,"
            "  sum(paid_minor)::bigint as paid from money_use where customer_id = :customer_id and money_id = :money_id"
            "  and invoice_id = 0 and origin_id = 0 and amount_minor > 0 and currency = :currency group by 1) u"
            " join lateral (select sum(p.amount)::bigint as amount, sum(p.functional_amount)::bigint as functional from entry e"
            "  join posting p using (customer_id, entry_id) join rule r on r.number = p.rule and r.code = 'customer.balance_in'"
            "  join account a on a.customer_id = p.customer_id and a.account_id = p.credit_account and a.currency = :currency"
            "  where e.customer_id = :customer_id and e.document_id = u.document_id) p on p.amount > 0"
        ),
        {"customer_id": source.customer.customer_id, "money_id": money_id, "currency": source.currency},
    ).all()
    whole = sum(row.paid for row in rows)
    return share(sum(share(row.functional, row.amount, row.whole) for row in rows), paid, whole) if whole else None


def received_for(books: Books, source: Source, money_id: int, amount: int) -> int | None:
    """What an amount of a document's money counted for when it came in; None where the books don't say, or it needs no rate."""
    if books.parties.entity(source.entity).currency == source.currency:
        return None
    books.flush()
    row = books.connection.execute(
        text(
            "select coalesce(sum(p.amount), 0)::bigint as amount, coalesce(sum(p.functional_amount), 0)::bigint as functional from entry e"
            " join posting p using (customer_id, entry_id) join rule r on r.number = p.rule"
            " join account a on a.customer_id = p.customer_id and a.account_id = p.debit_account"
            " where e.customer_id = :customer_id and e.document_id = :money_id and a.currency = :currency"
            " and (r.code = 'customer.balance_in' or (a.role = 'cash' and r.credit not in ('customer_clearing', 'cash')))"
        ),
        {"customer_id": source.customer.customer_id, "money_id": money_id, "currency": source.currency},
    ).one()
    return share(row.functional, amount, row.amount) if row.amount else None


def pass_cash(
    books: Books,
    giver: Source,
    taker: Source,
    on: date,
    amount: int,
    subject: str,
    worth: int | None = None,
    back: int | None = None,
    *,
    apart: bool = False,
) -> None:
    """Let cash, or funds that are disputed, of one customer be another's: who paid, and who was billed.

    It counts for its `worth`, else for what the day's rate says; where it comes `back`, the taker counts it for what it had let it go
    for. Where it is kept `apart`, what else the giver has stays what it is. An account that is one for all customers holds both already.
    """
    if not amount or (
        subject.startswith(MONEY_ACCOUNT) and giver.currency != books.parties.entity(giver.entity).currency
    ):
        return
    what = "cash" if subject.startswith((MONEY_ACCOUNT, "rail:")) else "disputed"
    rate = rate_of(books, giver, on) if worth is None else None
    left = worth if apart else None
    books.post(
        giver, on, [Movement(f"customer.{what}_out", amount, CLAIMED, subject, rate=rate, functional=worth, worth=left)]
    )
    books.post(
        taker, on, [Movement(f"customer.{what}_in", amount, subject, OWED, rate=rate, functional=worth, worth=back)]
    )


def with_cash_of_payers(
    books: Books,
    source: Source,
    pieces: Sequence[Piece],
    on: date,
    subject: str,
    back: int | None = None,
    *,
    returns: bool = False,
) -> None:
    """Let cash that goes out of a customer's balance, or `returns`, be of those who paid what lies there, in its own currency.

    What returns is theirs for what it came in; where the books don't say, all of it counts for `back`.
    """
    brought_by = {
        money_id: payer.customer
        for money_id, payer in payers.payers(books, pieces).items()
        if payer.customer_id != source.customer.customer_id
    }
    whole = sum(piece.amount for piece in pieces)
    for piece in pieces:
        if piece.money_id not in brought_by or piece.paid_currency != source.currency:
            continue
        payer = books.beside(source, brought_by[piece.money_id], on)
        worth = received_for(books, payer, piece.money_id, piece.paid)
        if not returns:
            pass_cash(books, payer, source, on, piece.amount, subject, worth)
            continue
        if worth is None and back is not None:
            worth = share(back, piece.amount, whole)
        pass_cash(books, source, payer, on, piece.amount, subject, worth, apart=True)
