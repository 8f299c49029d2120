"""Payments: money taken in, put onto invoices at once or later, and moved between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import text

from ledger.amounts.money import to_minor, to_text
from ledger.cash import payers, uses
from ledger.cash.fees import require_part_of
from ledger.cash.money_accounts import cash_of
from ledger.cash.uses import Piece
from ledger.documents import models
from ledger.errors import OverApplication, Refused, UnknownReference, WrongParty
from ledger.invoices.forms import CUSTOMER
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.movements import AccountKey, Movement, Source
from ledger.payments.applied import Applied, applied, unapply
from ledger.payments.between_customers import pass_back
from ledger.payments.settlements import Settlement, find_invoice, settle, settlement_of
from ledger.wallets.session import Wallets


def post_payment(wallets: Wallets, doc: models.Payment, document_id: int) -> int:
    """Take money in, and settle the invoices it names; the rest stays the customer's."""
    books = wallets.books
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.date, doc.fx_rate)
    if doc.payer is not None:
        _require_payer(books, doc)
    amount = to_minor(doc.amount, doc.currency)
    fee = 0 if doc.fee is None else to_minor(doc.fee, doc.currency, "fee")
    require_part_of(doc.fee, doc.amount, "payment")
    settlements: list[Settlement] = []
    for index, item in enumerate(doc.applications):
        try:
            settlements.append(settlement_of(books, source, item, doc.date))
        except Refused as refusal:
            raise refusal.within(f"applications.{index}") from None
    applied = sum(settlement.paid for settlement in settlements)
    if applied > amount:
        raise OverApplication(
            "applications",
            f"{to_text(applied, doc.currency)} {doc.currency}",
            f"expected at most the payment's amount, {to_text(amount, doc.currency)}",
        )
    rail = cash_of(books, doc.entity, doc.currency, doc.account, doc.rail)
    movements = [Movement("payment.received", amount, rail, CUSTOMER), Movement("payment.fee", fee, rail, rail)]
    books.post(source, doc.date, movements)
    piece = uses.bring(books, source, amount, doc.date)
    for settlement in settlements:
        settle(books, source, settlement, [piece.part(settlement.paid)])
    return source.customer.customer_id


def _require_payer(books: Books, doc: models.Payment) -> None:
    if doc.payer == doc.customer:
        raise Refused("payer", doc.payer, "expected another customer than `customer`, or none")
    try:
        books.parties.customer(str(doc.payer))
    except UnknownReference as unknown:
        raise unknown.renamed("payer") from None


def post_application(wallets: Wallets, doc: models.Application, document_id: int) -> int:
    """Put money the customer has unapplied onto an invoice, or move what was applied to another one there.

    Raises OverApplication beyond that money, beyond what was applied, or beyond what is due.
    """
    books = wallets.books
    # money that is there already: what it counts for needs no rate
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.date, brings_in=False)
    customer_id = source.customer.customer_id
    settlement = settlement_of(books, source, doc, doc.date)
    money_id = None if doc.payment is None else find_payment(books, source, doc.payment).document_id
    of = "" if doc.payment is None else f" of payment {doc.payment}"
    if doc.from_invoice is not None:
        left = find_invoice(books, source, doc.from_invoice, "from_invoice", paid_on=doc.date)
        if left.ref == settlement.invoice.ref:
            raise Refused("from_invoice", doc.from_invoice, "expected another invoice than `invoice`")
        on = max(settlement.on, left.recorded_on)
        theirs = source
        if left.customer != doc.customer:
            theirs = books.beside(source, left.customer, on)
        own = payers.of_customer(books, theirs, left.invoice_id, on, customer_id)
        lying = [piece for piece in own if money_id in (None, piece.money_id)]
        there = [item for item in applied(books, theirs, lying[::-1], on) if item.currency == source.currency]
        day = books.days.open_day(source, on)
        most = sum(item.amount for item in there)
        _require_enough(settlement.paid, most, doc, f"what{of} was applied to invoice {left.ref} by {day}")
        back = unapply(books, theirs, left, _first(there, settlement.paid), on)
        if theirs is not source:
            back = pass_back(books, theirs, source, on, back)
        settle(books, source, replace(settlement, on=on, day=day), back)
        return customer_id
    key = AccountKey(source.entity, "customer_balance", source.currency, CUSTOMER)
    unapplied = max(available(books.history(customer_id, key), settlement.day), 0)
    _require_enough(settlement.paid, unapplied, doc, f"what {doc.customer} has unapplied on {settlement.day}")

    def on_balance(day: date) -> list[Piece]:
        return [piece for piece in uses.on_balance(books, source, day) if money_id in (None, piece.money_id)]

    pieces = uses.standing_first(on_balance, settlement.paid, settlement.on)
    most = sum(piece.amount for piece in pieces)
    _require_enough(settlement.paid, most, doc, f"what{of} {doc.customer} has unapplied on {settlement.day}")
    settle(books, source, settlement, pieces)
    return customer_id


def _first(of: Sequence[Applied], amount: int) -> list[Applied]:
    found = []
    for item in of:
        part = min(item.amount, amount)
        if part > 0:
            found.append(item.part(part))
            amount -= part
    return found


def _require_enough(amount: int, most: int, doc: models.Application, what: str) -> None:
    if amount > most:
        raise OverApplication(
            "amount",
            f"{to_text(amount, doc.currency)} {doc.currency}",
            f"expected at most {to_text(max(most, 0), doc.currency)}, {what}",
        )


@dataclass(frozen=True, slots=True)
class PaymentFound:
    """A payment in the books: its document, whose it is, how much it brought, and what it says."""

    document_id: int
    customer: str
    entity: str
    currency: str
    amount: int
    body: Mapping[str, Any]


# The types of the documents that bring money, by the field that names one; a receipt's cash is of what it came in as.
BRINGING = {"payment": "payment", "recovery": "recovery", "receipt": "receipt_identified"}


def money_subject(field: str, ref: str) -> str:
    """The subject of what is disputed of the money that a document brought."""
    return f"{BRINGING[field]}:{ref}"


def read_payment(books: Books, ref: str, field: str = "payment") -> PaymentFound:
    """A payment, a recovery or an identified receipt by its id. Raises UnknownReference."""
    books.flush()
    row: Any = books.connection.execute(
        text(
            "select d.document_id, c.ref as customer, u.entity, u.paid_currency as currency, u.paid_minor as amount,"
            " d.body::jsonb || coalesce(r.body::jsonb - 'date', '{}') as body from document_key k "
            "join document d on d.customer_id = k.customer_id and d.document_id = k.document_id "
            # a recovery may bring what had been paid back of others, with whomever that lay
            "join money_use u on u.money_id = d.document_id and u.amount_minor > 0 and (u.document_id = d.document_id or k.type = 'recovery') "
            "join customer c on c.customer_id = case k.type when 'recovery' then d.customer_id else u.customer_id end "
            "left join document_key rk on rk.type = 'unidentified_receipt' and rk.ref = d.body::json ->> 'receipt' "
            "left join document r on r.customer_id = rk.customer_id and r.document_id = rk.document_id "
            "where k.type = :type and k.ref = :ref order by u.use_id limit 1"
        ),
        {"type": BRINGING[field], "ref": ref},
    ).first()
    if row is None:
        raise UnknownReference(field, ref, f"expected the id of a {BRINGING[field]} posted before")
    amount = row.amount
    if field == "recovery":
        amount = to_minor(models.decimal_of(row.body["amount"]), row.currency)
    return PaymentFound(row.document_id, row.customer, row.entity, row.currency, amount, row.body)


def find_payment(books: Books, source: Source, ref: str) -> PaymentFound:
    """A payment of the source's customer and entity. Raises UnknownReference, or WrongParty where it is not theirs."""
    found = read_payment(books, ref)
    if found.customer != source.customer.ref:
        raise WrongParty(
            "payment",
            ref,
            f"is a payment of {found.customer}, expected one of {source.customer.ref}, or none: then it is of all that is on its balance",
        )
    if found.entity != source.entity:
        raise WrongParty("payment", ref, f"is of entity {found.entity}, expected one of entity {source.entity}")
    return found
