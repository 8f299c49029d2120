"""Money that comes in after all for what a write-off gave up, in reverse order: bad debt first, then what is to come.

A recovery that comes back (a cheque that bounced) is the same, of less: what was recovered last is given up again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import text

from ledger.amounts.money import to_minor
from ledger.cash import payers, uses
from ledger.cash.fees import require_part_of
from ledger.cash.money_accounts import cash_named, cash_of
from ledger.corrections.held_money import require_at_most, require_not_before
from ledger.corrections.recoveries.changes import Change, reached_of
from ledger.corrections.recoveries.postings import recover
from ledger.corrections.taken import Undone
from ledger.corrections.taken_again import CameBack, take_again
from ledger.corrections.undoing import undo
from ledger.documents import models
from ledger.errors import Refused, UnknownReference
from ledger.journal.books import Books
from ledger.journal.movements import Movement, Source
from ledger.obligations import Obligations
from ledger.payments import reversals
from ledger.payments.between_customers import rate_of
from ledger.payments.payments import money_subject
from ledger.wallets.session import Wallets, all_or_nothing


def post_recovery(wallets: Wallets, doc: models.Recovery, document_id: int, obligations: Obligations) -> int:
    """Take in money for what had been written off: first bad debt is less by it, then what was given up is to come again.

    Its tax is owed again in proportion. What is more is of what recoveries before brought and was paid back since, or lost in a dispute.
    """
    books = wallets.books
    row = _find(books, doc.write_off, doc.date)
    source = books.source(document_id, row.customer, row.entity, row.currency, doc.date)
    amount = to_minor(doc.amount, row.currency)
    reached = reached_of(books, row)
    left = max(reached.left(doc.date), 0)
    gone = _gone(books, source, doc)
    most = left + sum(item.amount - item.points[0] for item in gone)
    require_at_most(amount, most, row.currency, f"what of write-off {doc.write_off} is not recovered")
    rail = cash_of(books, row.entity, row.currency, doc.account, doc.rail)
    require_part_of(doc.fee, doc.amount, "recovery")
    fee = 0 if doc.fee is None else to_minor(doc.fee, row.currency, "fee")
    fees = [Movement("payment.fee", fee, rail, rail)]
    first = min(amount, left)
    if first:
        recover(wallets, source, row, Change(doc.id, doc.date, first, rail, reached, doc.date), obligations)
        uses.bring(books, source, first, doc.date, row.invoice_id)
    books.post(source, doc.date, fees)
    rest = amount - first
    again: list[Undone] = []
    for item in gone:
        before, _ = item.points
        part = min(rest, item.amount - before)
        if part:
            again.append(replace(item, points=(before, before + part)))
            rest -= part
    if again:
        undo(wallets, source, doc.id, again, doc.date, rail, obligations)
    return source.customer.customer_id


def _gone(books: Books, source: Source, doc: models.Recovery) -> list[Undone]:
    """What was paid back of recoveries of a write-off, or lost, by a day and did not come back, the first first."""
    rows = books.connection.execute(
        text(
            "select d.document_id, d.type, r.document_id as money_id, d.body::json ->> 'amount' as amount from document r"
            " join document d on d.customer_id = r.customer_id and d.type in ('refund', 'dispute') and d.body::json ->> 'recovery' = r.ref"
            "  and coalesce(d.body::json ->> 'status', 'lost') = 'lost'"
            " where r.customer_id = :customer_id and r.type = 'recovery' and r.body::json ->> 'write_off' = :write_off and d.dated_on <= :on"
            " order by d.dated_on, d.document_id"
        ),
        {"customer_id": source.customer.customer_id, "write_off": doc.write_off, "on": doc.date},
    )
    found = []
    for row in rows:
        amount = to_minor(models.decimal_of(row.amount), source.currency)
        before = payers.undone_of(books, source, row.document_id, row.money_id)
        if before < amount:
            found.append(
                Undone(row.document_id, row.type, row.money_id, amount, (before, before), brings=source.document_id)
            )
    return found


def post_payment_reversal(
    wallets: Wallets, doc: models.PaymentReversal, document_id: int, obligations: Obligations
) -> int:
    """A payment came back, or a recovery: what was written off is so again, as far as the money lies where it was recovered.

    So is what it brought back of refunds and lost disputes.

    Where it was put elsewhere since, it is undone as a payment's. Raises Refused where something of it went back already, is disputed,
    or prepaid credits that came back with it were used.
    """
    if doc.recovery is None:
        return reversals.post_payment_reversal(wallets, doc, document_id)
    books = wallets.books
    found, source = reversals.find_whole(books, doc, document_id)
    row = _find(books, found.body["write_off"], doc.date)
    lying = [
        piece
        for piece in uses.of_money(books, source, found.document_id, doc.date)
        if piece.invoice_id == row.invoice_id
    ]
    reached = reached_of(books, row)
    # what of it had been paid back of others was no bad debt: it is due again
    amount = min(sum(piece.amount for piece in lying), reached.of(found.document_id))
    own = uses.first(lying, amount)
    came = CameBack(doc.id, doc.date, found.document_id, money_subject(*doc.money), cash_named(found.body), own)
    with all_or_nothing(wallets):
        # what was written off is told by its own day, so that this does not change it
        take_again(wallets, source, came, obligations)
        if amount:
            came_on = date.fromisoformat(found.body["date"])
            change = Change(
                doc.id, doc.date, -amount, cash_named(found.body), reached, came_on, found.document_id,
                rate_of(books, source, came_on),
                books.brought_cash(source.customer.customer_id, found.document_id, cash_named(found.body), undone=False),
            )  # fmt: skip
            recover(wallets, source, row, change, obligations)
            uses.give_back(books, source, own, doc.date)
        reversals.take_back(books, doc, found, source)
    return source.customer.customer_id


def _find(books: Books, write_off: str, on: date) -> Any:
    """The write-off a recovery of a day is of, with its invoice. Raises UnknownReference, or Refused for what can't be recovered so."""
    books.flush()
    row: Any = books.connection.execute(
        text(
            "select d.customer_id, d.document_id, d.ref as write_off, d.dated_on, c.ref as customer, i.entity, i.currency, i.ref as invoice,"
            " i.invoice_id, exists (select from invoice p where p.customer_id = i.customer_id and p.master = i.ref)"
            " as over_entities from document_key k "
            "join document d on d.customer_id = k.customer_id and d.document_id = k.document_id "
            "join customer c on c.customer_id = d.customer_id "
            "join document_key ik on ik.type = 'invoice' and ik.ref = d.body::json ->> 'invoice' "
            "join invoice i on i.customer_id = ik.customer_id and i.invoice_id = ik.document_id "
            "where k.type = 'write_off' and k.ref = :ref"
        ),
        {"ref": write_off},
    ).first()
    if row is None:
        raise UnknownReference("write_off", write_off, "expected the id of a write-off posted before")
    require_not_before(on, row.dated_on, f"when {write_off} was written off")
    if row.over_entities:
        raise Refused("write_off", write_off, "expected one of a single entity: each enters its share by manual entry")
    return row
