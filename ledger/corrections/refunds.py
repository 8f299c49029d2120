"""Refunds, and refunds that failed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from ledger.amounts.money import to_minor, to_text
from ledger.approval.approve import approve
from ledger.cash.money_accounts import cash_of
from ledger.corrections.giving_back import decide_lines, leave_invoices
from ledger.corrections.held_money import (
    Payment,
    find_payment,
    leave_balances,
    plan_by_invoice,
    require_at_most,
    require_not_before,
    stand_together,
    with_what_stays,
    without_lines,
)
from ledger.corrections.taken import Undone
from ledger.corrections.undoing import undo
from ledger.documents import models
from ledger.errors import Refused, UnknownReference
from ledger.journal.movements import Movement
from ledger.obligations import Obligations
from ledger.payments.balance_refunds import post_balance_refund, undo_balance_refund
from ledger.wallets.session import Wallets


def post_refund(wallets: Wallets, doc: models.Refund, document_id: int, obligations: Obligations) -> int:
    """Pay money back: for the invoice named; else from the customer's balance, then for what the payment settled.

    What the payment settled of other customers goes back of their balances and invoices, as it would had they paid it. One that
    names no money pays out of the customer's balance.
    """
    if doc.customer is not None:
        return post_balance_refund(wallets, doc, document_id)
    payment = find_payment(wallets, document_id, doc.money, doc.date)
    books, source = wallets.books, payment.source
    amount = to_minor(doc.amount, source.currency)
    require_not_before(doc.date, payment.paid_on, f"when {payment.name} came in")
    require_at_most(amount, payment.left, source.currency, f"what is left of {payment.name} on {doc.date}")
    payment = with_what_stays(wallets, payment, amount, doc.date)
    approve(books, source, doc, amount, money=(payment.document_id,))
    origin = None if doc.invoice is None else _settled_by(payment, doc.invoice)
    freed = leave_balances(books, payment, amount, doc.date, origin, given=True)
    left = amount - sum(item.piece.paid for _, item in freed)
    settled = [
        (held, piece) for held, piece in without_lines(payment.settled, freed) if origin in (None, piece.invoice_id)
    ]
    if left:
        stand_together(books, settled)
    plan = plan_by_invoice(wallets, payment, settled, left, doc.date)
    going = decide_lines(wallets, payment, doc.id, doc.date, "refund", freed, plan, obligations)
    fee = 0 if doc.fee is None else to_minor(doc.fee, source.currency, "fee")
    cash = cash_of(books, source.entity, source.currency, doc.account, payment.cash)
    fees = [Movement("payment.fee", fee, cash, cash)]
    leave_invoices(wallets, payment, doc.date, "refund", cash, going, fees)
    return source.customer.customer_id


def _settled_by(payment: Payment, ref: str) -> int:
    """The number of an invoice of which a payment settles something, or settled what is on its customer's balance."""
    for held in payment.held:
        for piece in held.pieces:
            for number in (piece.invoice_id, piece.origin_id):
                if held.invoices.get(number) == ref:
                    return number
    settled = ", ".join(
        f"{to_text(piece.amount, piece.currency)} of {held.invoices[piece.invoice_id]}"
        for held, piece in payment.settled
    )
    raise Refused(
        "invoice", ref,
        f"expected an invoice of which {payment.name} settles something that did not go back: it settles {settled or 'nothing'}",
    )  # fmt: skip


def post_refund_reversal(
    wallets: Wallets, doc: models.RefundReversal, document_id: int, obligations: Obligations
) -> int:
    """A refund failed: what it took comes back, and the money lies where it was. Raises Refused where that was said already."""
    books = wallets.books
    books.flush()
    row: Any = books.connection.execute(
        text(
            "select d.customer_id, d.document_id, d.dated_on, d.body::json as body, (select r.ref from document r"
            "  where r.customer_id = d.customer_id and r.type = 'refund_reversal' and r.body::json ->> 'refund' = d.ref) as reversed_by"
            " from document_key k join document d on d.customer_id = k.customer_id and d.document_id = k.document_id"
            " where k.type = 'refund' and k.ref = :ref"
        ),
        {"ref": doc.refund},
    ).first()
    if row is None:
        raise UnknownReference("refund", doc.refund, "expected the id of a refund posted before")
    require_not_before(doc.date, row.dated_on, f"when {doc.refund} was paid")
    if row.reversed_by is not None:
        raise Refused("refund", doc.refund, f"expected one that did not fail already: {row.reversed_by} says it did")
    if row.body.get("customer"):
        return undo_balance_refund(books, document_id, row, doc.date)
    again = books.connection.scalar(
        text(
            "select min(r.ref) from money_use u join document r on r.document_id = u.money_id and r.type = 'recovery'"
            " where u.undoes = :document_id group by u.money_id having sum(u.paid_minor) > 0 limit 1"
        ),
        {"document_id": row.document_id},
    )
    if again is not None:
        raise Refused("refund", doc.refund, f"expected one of which nothing was recovered again: recovery {again} did")
    money = next((field_, row.body[field_]) for field_ in ("payment", "recovery", "receipt") if row.body.get(field_))
    payment = find_payment(wallets, document_id, money, doc.date)
    amount = to_minor(models.decimal_of(row.body["amount"]), payment.source.currency)
    cash = cash_of(books, payment.source.entity, payment.source.currency, row.body.get("account"), payment.cash)
    of = Undone(row.document_id, "refund", payment.document_id, amount, (0, amount))
    undo(wallets, payment.source, doc.id, [of], doc.date, cash, obligations)
    return payment.source.customer.customer_id
