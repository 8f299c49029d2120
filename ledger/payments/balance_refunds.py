"""Refunds of a customer's balance: paid out whatever brought the money there, the oldest first, each piece of its own money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import text

from ledger.amounts.money import to_minor, to_text
from ledger.approval.approve import approve
from ledger.cash import payers, uses
from ledger.cash.money_accounts import cash_named, cash_of
from ledger.cash.uses import Piece
from ledger.documents import models
from ledger.errors import OverApplication
from ledger.invoices.forms import CUSTOMER
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.movements import AccountKey, Movement, Undoing
from ledger.payments.between_customers import with_cash_of_payers
from ledger.wallets.session import Wallets


def post_balance_refund(wallets: Wallets, doc: models.Refund, document_id: int) -> int:
    """Pay out of a customer's balance. Raises OverApplication beyond what stands there from the day on and is not disputed."""
    books = wallets.books
    assert doc.customer is not None, "it says whose balance"
    assert doc.entity is not None, "which of them"
    assert doc.currency is not None, "and in what"
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.date, brings_in=False)
    amount = to_minor(doc.amount, doc.currency)
    day = books.days.open_day(source, doc.date)
    key = AccountKey(source.entity, "customer_balance", source.currency, CUSTOMER)
    stands = max(available(books.history(source.customer.customer_id, key), day), 0)

    def there(on: date) -> Sequence[Piece]:
        return payers.not_disputed(books, uses.on_balance(books, source, on), on)

    pieces = uses.standing_first(there, amount, doc.date)
    most = min(stands, sum(piece.amount for piece in pieces))
    if amount > most:
        raise OverApplication(
            "amount",
            f"{to_text(amount, doc.currency)} {doc.currency}",
            f"expected at most {to_text(most, doc.currency)}, what {doc.customer} has unapplied, and not disputed, on {day}",
        )
    approve(books, source, doc, amount, money={piece.money_id for piece in pieces})
    cash = cash_of(books, doc.entity, doc.currency, doc.account, doc.rail)
    fee = 0 if doc.fee is None else to_minor(doc.fee, doc.currency, "fee")
    with_cash_of_payers(books, source, pieces, doc.date, cash)
    books.post(
        source, doc.date, [Movement("payment.fee", fee, cash, cash), Movement("refund.balance", amount, CUSTOMER, cash)]
    )
    uses.give_back(books, source, pieces, doc.date)
    return source.customer.customer_id


def undo_balance_refund(books: Books, document_id: int, refund: Any, on: date) -> int:
    """A refund of a balance failed: what it took of it is there again, for what it counted for, and whose money it was."""
    body = refund.body
    source = books.source(document_id, body["customer"], body["entity"], body["currency"], on, brings_in=False)
    customer_id = source.customer.customer_id
    amount = to_minor(models.decimal_of(body["amount"]), source.currency)
    worth = books.connection.scalar(
        text(
            "select sum(p.functional_amount)::bigint from entry e join posting p using (customer_id, entry_id)"
            " join rule r on r.number = p.rule and r.code = 'refund.balance'"
            " where e.customer_id = :customer_id and e.document_id = :refund"
        ),
        {"customer_id": customer_id, "refund": refund.document_id},
    )
    cash = cash_named(body)
    # cash comes back at what it left for, and to where it lay: of an account of money, from the house
    let_go = None
    if source.currency != books.parties.entity(source.entity).currency:
        gone = books.left_by(customer_id, source.entity, source.currency, (refund.document_id,)).get(cash)
        let_go = None if gone is None else gone.functional
    back = Movement("refund_reversal.balance", amount, cash, CUSTOMER, functional=worth, worth=let_go)
    books.post(source, on, [back], Undoing((refund.document_id,), amount, (0, amount)))
    rows = books.connection.execute(
        text(
            "select money_id, invoice_id, origin_id, entity, currency, -sum(amount_minor)::bigint as amount,"
            " -sum(paid_minor)::bigint as paid, paid_currency, min(on_day) as since from money_use"
            " where customer_id = :customer_id and document_id = :refund group by 1, 2, 3, 4, 5, 8 order by min(use_id)"
        ),
        {"customer_id": customer_id, "refund": refund.document_id},
    ).all()
    pieces = [replace(Piece(*row), since=on) for row in rows]
    for piece in pieces:
        uses.add(books, source, piece, on, undoes=refund.document_id)
    with_cash_of_payers(books, source, pieces, on, cash, let_go, returns=True)
    return customer_id
