"""Payments that came back, and so were none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from sqlalchemy import text

from ledger.amounts.dates import LAST_DAY
from ledger.amounts.money import share, to_minor, to_text
from ledger.cash import payers, uses
from ledger.cash.money_accounts import cash_named
from ledger.cash.uses import Piece
from ledger.documents import models
from ledger.errors import Refused
from ledger.invoices.forms import CUSTOMER, Receivable
from ledger.journal.books import Books
from ledger.journal.currencies import clearing_subject
from ledger.journal.movements import Movement, Source, Undoing
from ledger.payments.applied import applied, unapply
from ledger.payments.between_customers import pass_back, pass_on, passed_for
from ledger.payments.payments import PaymentFound, money_subject, read_payment
from ledger.payments.settlements import Settlement, find_invoice, invoice_of, settle
from ledger.payments.withholding import reopened
from ledger.wallets.session import Wallets


def post_payment_reversal(wallets: Wallets, doc: models.PaymentReversal, document_id: int) -> int:
    """A payment came back (a return, a bounced cheque, a failed charge): it is no payment, and what it settled is due again.

    So did a receipt that turned out to be the customer's. Told by days: what was done with the money on later days is undone on them.
    Raises Refused where something of it went back already, or is disputed.
    """
    found, source = find_whole(wallets.books, doc, document_id)
    take_back(wallets.books, doc, found, source)
    return source.customer.customer_id


def find_whole(books: Books, doc: models.PaymentReversal, document_id: int) -> tuple[PaymentFound, Source]:
    """The money that came back, and whose. Raises Refused where something of it went back already, or is disputed."""
    field, ref = doc.money
    found = read_payment(books, ref, field)
    body, amount = found.body, found.amount
    source = books.source(document_id, found.customer, found.entity, found.currency, doc.date, brings_in=False)
    paid_on = date.fromisoformat(body["date"])
    if doc.date < paid_on:
        raise Refused("date", doc.date, f"expected {paid_on}, when {field} {ref} came in, or later")
    payers.with_others(books, source, found.document_id)  # are locked before it is asked what is left
    left = payers.left_of(books, source, found.document_id, money_subject(field, ref), doc.date)
    if left < amount:
        raise Refused(
            field, ref,
            f"expected one whose money is all there: of its {to_text(amount, source.currency)}, {to_text(left, source.currency)} is left"
            + _gone(books, source, field, ref, found.document_id),
        )  # fmt: skip
    return found, source


def take_back(books: Books, doc: models.PaymentReversal, found: PaymentFound, source: Source) -> None:
    """Undo, day by day, what was done with money that came back, and let it go as it came in."""
    body = found.body
    rail = cash_named(body)
    fee = 0 if doc.fee is None else to_minor(doc.fee, source.currency, "fee")
    beside = books.connection.scalar(
        text("select document_id from document_key where type = 'beside' and ref = :ref"),
        {"ref": money_subject(*doc.money)},
    )
    for other in payers.with_others(books, source, found.document_id):
        _bring_home(books, source, other, found.document_id, doc.date)
        theirs = books.beside(source, other, doc.date)
        _reopen_withheld(books, theirs, beside or 0, doc.date)
    for on, pieces in uses.steps_of(books, source, found.document_id, doc.date):
        _undo(books, source, pieces, on)
    _return(books, source, found.document_id, rail, doc.date)
    _reopen_withheld(books, source, found.document_id, doc.date)
    books.post(source, doc.date, [Movement("payment.fee", fee, rail, rail)])


def _reopen_withheld(books: Books, source: Source, document_id: int, on: date) -> None:
    """Make due again what a payment's document settled by withheld tax; what its invoices left of it with the customer settles them."""
    movements = reopened(books, source.customer.customer_id, document_id)
    books.post(source, on, movements)
    for movement in movements:
        invoice = find_invoice(books, source, movement.debit.removeprefix("invoice:"))
        of_invoice = replace(source, currency=invoice.currency)

        def there(day: date, of: Source = of_invoice, origin: int = invoice.invoice_id) -> list[Piece]:
            return [piece for piece in uses.on_balance(books, of, day) if piece.origin_id == origin]

        pieces = uses.standing_first(there, movement.amount, on, last=True)
        amount = sum(piece.amount for piece in pieces)
        if amount:
            settle(
                books, of_invoice, Settlement(invoice, on, books.days.open_day(of_invoice, on), amount, amount), pieces
            )


def _return(books: Books, source: Source, money_id: int, rail: str, on: date) -> None:
    """Let money that lies on the balance again go back as it came in."""
    pieces = uses.of_money(books, source, money_id, LAST_DAY)
    same = sum(piece.amount for piece in pieces if piece.currency == source.currency)
    worth = _received(books, source, money_id, same)
    books.post(
        source,
        on,
        # what others paid, and what of theirs is on the balance, stays what it is
        [Movement("payment.reversed", same, CUSTOMER, rail, functional=worth, worth=worth)],
        Undoing((money_id,), 1, (0, 1)),
    )
    for piece in pieces:
        if piece.currency != source.currency:
            # its exchange never was: the gain or loss of it is taken back
            through = clearing_subject(source.currency, piece.currency, undone=True)
            books.post(source, on, [
                Movement("payment.reversed_exchanged", piece.amount, CUSTOMER, through, currency=piece.currency),
                Movement("payment.reversed_paid", piece.paid, through, rail, functional=_received(books, source, money_id, piece.paid)),
            ], Undoing((money_id,), 1, (0, 1)))  # fmt: skip
    uses.give_back(books, source, pieces, on)


def _received(books: Books, source: Source, money_id: int, amount: int) -> int:
    """What an amount of a payment, or of a receipt that became the customer's, counted for when it came in."""
    row = books.connection.execute(
        text(
            "select coalesce(sum(p.amount), 0)::bigint as amount, coalesce(sum(p.functional_amount), 0)::bigint as functional from entry e"
            " join document d on d.customer_id in (e.customer_id, 0) and d.document_id = e.document_id join posting p on p.customer_id = e.customer_id and p.entry_id = e.entry_id"
            " join rule r on r.number = p.rule and case d.type when 'payment' then r.code = 'payment.received'"
            "  when 'recovery' then r.code like 'recovery.%' and r.debit = 'cash' else r.code = 'customer.balance_in' end"
            " where e.customer_id = :customer_id and e.document_id = :money_id"
        ),
        {"customer_id": source.customer.customer_id, "money_id": money_id},
    ).one()
    return share(row.functional, amount, row.amount) if row.amount else amount


def _gone(books: Books, source: Source, field: str, ref: str, money_id: int) -> str:
    """Which documents gave something of a payment back, dispute it or won that, as words to follow what is left of it."""
    rows = books.connection.execute(
        text(
            "select x.type, x.ref, x.body::json ->> 'amount' as amount, coalesce(x.body::json ->> 'status', '') as status from ("
            " select d.* from document d where d.customer_id = :customer_id and d.type = any(:types) and d.body::json ->> :field = :ref"
            # what gave it back of others by another name
            " union select d.* from money_use u join document d using (customer_id, document_id)"
            "  where u.money_id = :money_id and d.type = any(:types)) x order by x.dated_on, x.document_id"
        ),
        {
            "customer_id": source.customer.customer_id, "field": field, "ref": ref, "money_id": money_id,
            "types": ["refund", "dispute", "payment_reversal"],
        },
    )  # fmt: skip
    told = [" ".join(filter(None, (row.type, row.ref, row.status, row.amount))) for row in rows]
    return f"; see {', '.join(told)}" if told else ""


def _bring_home(books: Books, source: Source, other: str, money_id: int, since: date) -> None:
    """Undo what was done with money at another customer, day by day, and let what came there on each go back."""
    theirs = books.beside(source, other, since)
    for on, moved in uses.steps_of(books, theirs, money_id, since):
        pieces = moved
        came = sum(piece.paid for piece in pieces)
        if came < 0:
            lying = Piece(money_id, uses.BALANCE, 0, source.entity, source.currency, -came, -came, source.currency, on)
            pieces = [*moved, *pass_on(books, source, theirs, on, [lying], passed_for(books, theirs, money_id, -came))]
        back = _undo(books, theirs, _by_place(pieces), on)
        for piece in uses.first_paid(back, came) if came > 0 else ():
            pass_back(books, theirs, source, on, [_as_it_came(books, theirs, piece, on)])


def _by_place(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces of one document's money, those at one place as one."""
    found: dict[tuple[int, int, str], Piece] = {}
    for piece in pieces:
        place = piece.invoice_id, piece.origin_id, piece.currency
        known = found.get(place)
        found[place] = (
            piece if known is None else replace(known, amount=known.amount + piece.amount, paid=known.paid + piece.paid)
        )
    return list(found.values())


def _as_it_came(books: Books, source: Source, piece: Piece, on: date) -> Piece:
    """Exchange money on the balance back into the currency in which it came in."""
    if piece.currency == piece.paid_currency:
        return piece
    through = clearing_subject(piece.paid_currency, piece.currency, undone=True)
    books.post(source, on, [
        Movement("payment.reversed_exchanged", piece.amount, CUSTOMER, through, currency=piece.currency),
        Movement(
            "payment.put_back", piece.paid, through, CUSTOMER, currency=piece.paid_currency,
            functional=passed_for(books, replace(source, currency=piece.paid_currency), piece.money_id, piece.paid),
        ),
    ])  # fmt: skip
    uses.add(books, source, piece, on, -1)
    there = replace(piece, currency=piece.paid_currency, amount=piece.paid)
    uses.add(books, source, there, on)
    return there


def _undo(books: Books, source: Source, pieces: Sequence[Piece], on: date) -> list[Piece]:
    """Undo what was done on a day with money that did not come: what was put onto invoices comes off, what came off goes back.

    Returns what is on the balance again and was not there before.
    """
    # what was put onto invoices on the day came off the balance, some of it as what an invoice had left there
    came = [
        replace(piece, amount=-piece.amount, paid=-piece.paid)
        for piece in pieces
        if piece.invoice_id == uses.BALANCE and piece.amount < 0
    ]
    back = [piece for piece in pieces if piece.invoice_id == uses.BALANCE and piece.amount > 0]
    of_invoices = [piece for piece in pieces if piece.invoice_id != uses.BALANCE]
    for piece in of_invoices:
        if piece.amount <= 0:
            continue
        invoice = invoice_of(books, source, piece.invoice_id)
        for item in applied(books, source, [piece], on):
            left = item.amount
            for place, there in enumerate(came):
                part = min(left, there.amount) if there.currency == item.currency else 0
                if part:
                    of_origin = replace(item.part(part), origin_id=there.origin_id)
                    unapply(books, source, invoice, [of_origin], on)
                    came[place] = there.part(there.amount - part)
                    left -= part
            back += unapply(books, source, invoice, [item.part(left)] if left else [], on)
    for piece in of_invoices:
        if piece.amount < 0:
            _put_again(books, source, replace(piece, amount=-piece.amount, paid=-piece.paid), back, on)
    return [piece for piece in back if piece.amount or piece.paid]


def _put_again(books: Books, source: Source, gone: Piece, there: list[Piece], on: date) -> None:
    """Put money onto an invoice again that it left on a day: from where it lies then, which is `there` and becomes less.

    What the invoice left on the balance comes first, then what was taken off it, or moved from it to another.
    """
    invoice = invoice_of(books, source, gone.invoice_id)
    left = gone
    for place in sorted(range(len(there)), key=lambda place: there[place].origin_id != gone.invoice_id):
        lying = there[place]
        if lying.currency == left.currency:
            put = left.part(min(left.amount, lying.amount))
            own = replace(lying, amount=put.amount, paid=put.paid)
        else:
            own = lying.part_paid(min(left.paid, lying.paid))
            put = left.part_paid(own.paid)
        if not own.amount or not put.amount:
            continue
        _settle_again(books, source, invoice, put.amount, own, on)
        there[place] = replace(lying, amount=lying.amount - own.amount, paid=lying.paid - own.paid)
        left = replace(left, amount=left.amount - put.amount, paid=left.paid - put.paid)
        if not left.amount:
            return
    _settle_again(
        books, source, invoice, left.amount, replace(left, invoice_id=uses.BALANCE, origin_id=gone.invoice_id), on
    )


def _settle_again(books: Books, source: Source, invoice: Receivable, amount: int, own: Piece, on: date) -> None:
    settle(books, replace(source, currency=own.currency), Settlement(invoice, on, on, amount, own.amount), [own])
