"""Money that came in from nobody knows whom, until it is known, or goes back."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.house import HOUSE, HOUSE_REF
from ledger.amounts.money import to_minor, to_text
from ledger.cash import uses
from ledger.cash.money_accounts import cash_of
from ledger.documents import models
from ledger.errors import OverApplication, Refused, UnknownReference
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.movements import OWED, AccountKey, Movement, Source
from ledger.payments.between_customers import pass_cash, rate_of, receive
from ledger.reports.report import Column, Filters, Report, sides
from ledger.wallets.session import Wallets


@dataclass(frozen=True, slots=True)
class _Receipt:
    """A receipt found by its id; `rate` is the exchange rate it came in at."""

    source: Source
    doc: models.UnidentifiedReceipt
    rate: Fraction | None
    cash: str

    @property
    def subject(self) -> str:
        return receipt_subject(self.doc.id)


def receipt_subject(receipt: str) -> str:
    """The subject of a receipt's account."""
    return f"receipt:{receipt}"


def post_unidentified_receipt(wallets: Wallets, doc: models.UnidentifiedReceipt, document_id: int) -> int:
    """Take money in that is owed to whoever paid it."""
    books = wallets.books
    source = books.source(document_id, HOUSE_REF, doc.entity, doc.currency, doc.date, doc.fx_rate)
    amount = to_minor(doc.amount, doc.currency)
    cash = cash_of(books, doc.entity, doc.currency, doc.account, doc.rail)
    books.post(source, doc.date, [Movement("receipt.unidentified", amount, cash, receipt_subject(doc.id))])
    return HOUSE


def post_receipt_identified(wallets: Wallets, doc: models.ReceiptIdentified, document_id: int) -> int:
    """Make a receipt a customer's money, at the exchange rate it came in at."""
    books = wallets.books
    receipt = _find(books, document_id, doc.receipt)
    theirs = replace(receipt.source, customer=books.parties.customer(doc.customer))
    amount = _take(books, receipt, doc.date, doc.amount)
    known = Movement("receipt.identified", amount, receipt.subject, OWED, rate=receipt.rate)
    books.post(receipt.source, doc.date, [known])
    if (
        receipt.rate is not None
    ):  # cash of a rail that came in with the house is the customer's, with the money it is of
        worth = books.at_rate(replace(receipt.source, rate=receipt.rate), receipt.source.currency, doc.date, amount)
        pass_cash(books, receipt.source, theirs, doc.date, amount, receipt.cash, worth, apart=True)
    receive(books, theirs, doc.date, amount, receipt.rate)
    uses.bring(books, theirs, amount, doc.date)
    return HOUSE


def post_receipt_returned(wallets: Wallets, doc: models.ReceiptReturned, document_id: int) -> int:
    """Send a receipt back, from the account it came into or another."""
    books = wallets.books
    receipt = _find(books, document_id, doc.receipt)
    cash = cash_of(books, receipt.source.entity, receipt.source.currency, doc.account, receipt.cash)
    amount = _take(books, receipt, doc.date, doc.amount)
    books.post(
        receipt.source, doc.date, [Movement("receipt.returned", amount, receipt.subject, cash, rate=receipt.rate)]
    )
    return HOUSE


def _take(books: Books, receipt: _Receipt, on: date, wanted: Any) -> int:
    """How much of a receipt is taken on a day: as much as is asked for, or all that is left. Raises OverApplication beyond that."""
    source, doc = receipt.source, receipt.doc
    if on < doc.date:
        raise Refused("date", on, f"expected {doc.date}, when receipt {doc.id} came in, or later")
    key = AccountKey(source.entity, "unidentified_receipts", source.currency, receipt.subject)
    left = max(available(books.history(HOUSE, key), books.days.open_day(source, on)), 0)
    if wanted is None and not left:
        raise Refused(
            "receipt", doc.id, "expected one of which something is left: all of it was identified, or sent back"
        )
    amount = left if wanted is None else to_minor(wanted, source.currency)
    if amount > left:
        raise OverApplication(
            "amount",
            f"{to_text(amount, source.currency)} {source.currency}",
            f"expected at most {to_text(left, source.currency)}, what is left of receipt {doc.id}",
        )
    return amount


def _find(books: Books, document_id: int, ref: str) -> _Receipt:
    books.flush()
    row: Any = books.connection.execute(
        text(
            "select d.body from document_key k join document d using (customer_id, document_id)"
            " where k.type = 'unidentified_receipt' and k.ref = :ref"
        ),
        {"ref": ref},
    ).first()
    if row is None:
        raise UnknownReference("receipt", ref, "expected the id of an unidentified_receipt posted before")
    doc = models.UnidentifiedReceipt.model_validate(json.loads(row.body))
    came = books.source(document_id, HOUSE_REF, doc.entity, doc.currency, doc.date, doc.fx_rate)
    cash = cash_of(books, doc.entity, doc.currency, doc.account, doc.rail)
    return _Receipt(replace(came, rate=None), doc, rate_of(books, came, doc.date), cash)


def unidentified(connection: Connection, filters: Filters) -> Report:
    """Receipts of which a part is nobody's yet."""
    source, parameters = sides(filters, "unidentified_receipts")
    rows = connection.execute(
        text(
            "select x.entity, d.ref as receipt, d.dated_on as date, x.currency, d.body::json ->> 'text' as text,"
            " coalesce(sum(x.amount) filter (where x.sign < 0), 0)::bigint as came, sum(-x.sign * x.amount)::bigint as left_over"
            f" from ({source}) x join document_key k on k.type = 'unidentified_receipt' and x.subject = 'receipt:' || k.ref"
            " join document d on d.customer_id = k.customer_id and d.document_id = k.document_id"
            " group by 1, 2, 3, 4, 5 having sum(x.sign * x.amount) <> 0 order by 3, 2"
        ),
        parameters,
    )
    columns = (
        Column("entity", "Entity"), Column("receipt", "Receipt"), Column("date", "Date", "date"), Column("text", "Text"),
        Column("currency", "Currency"), Column("came", "Came in", "amount"), Column("left_over", "Left", "amount"),
    )  # fmt: skip
    found = tuple(dict(row._mapping) for row in rows)
    return Report(
        "unidentified-receipts",
        "Unidentified receipts",
        columns,
        found,
        empty="Nothing to show: all money is somebody's.",
    )
