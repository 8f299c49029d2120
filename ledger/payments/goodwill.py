"""Balances given to customers as goodwill: they pay invoices as the customer's own money does."""

from __future__ import annotations

from sqlalchemy import text

from ledger.amounts.money import share, to_minor, to_text
from ledger.approval.approve import approve
from ledger.cash import uses
from ledger.cash.uses import Piece
from ledger.documents import models
from ledger.errors import OverApplication, UnknownReference
from ledger.invoices.forms import CUSTOMER
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.movements import AccountKey, Movement, Source
from ledger.wallets.session import Wallets


def credit_subject(credit: str) -> str:
    """The subject of what a credit lowers revenue by."""
    return f"credit:{credit}"


def post_customer_credit(wallets: Wallets, doc: models.CustomerCredit, document_id: int) -> int:
    """Give a customer a balance, or take one back as far as it is unused. Raises OverApplication beyond that."""
    books = wallets.books
    gives = doc.takes_back is None
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.date, brings_in=gives)
    amount = to_minor(doc.amount, doc.currency)
    if doc.takes_back is None:
        approve(books, source, doc, amount)
        books.post(source, doc.date, [Movement("balance.given", amount, credit_subject(doc.id), CUSTOMER)])
        uses.bring(books, source, amount, doc.date)
        return source.customer.customer_id
    pieces = _unused(books, source, doc, amount)
    worth = _given_for(books, source, doc.takes_back, amount)
    movement = Movement("balance.taken_back", amount, CUSTOMER, credit_subject(doc.takes_back), functional=worth)
    books.post(source, doc.date, [movement])
    uses.give_back(books, source, pieces, doc.date)
    return source.customer.customer_id


def _unused(books: Books, source: Source, doc: models.CustomerCredit, amount: int) -> list[Piece]:
    """So much of a credit as is on the balance, of its own money. Raises OverApplication beyond that."""
    customer_id = source.customer.customer_id
    day = books.days.open_day(source, doc.date)
    place = (source.entity, source.currency)
    credit = AccountKey(place[0], "promotional_credits", place[1], credit_subject(str(doc.takes_back)))
    if not books.has_account(customer_id, credit):
        raise UnknownReference(
            "takes_back",
            doc.takes_back,
            f"expected the id of a customer_credit of {doc.customer} in {doc.currency} posted before",
        )
    balance = AccountKey(place[0], "customer_balance", place[1], CUSTOMER)
    books.flush()
    given = books.connection.scalar(
        text("select document_id from document_key where type = 'customer_credit' and ref = :ref"),
        {"ref": doc.takes_back},
    )
    own = [piece for piece in uses.on_balance(books, source, doc.date) if piece.money_id == given]
    left = (available(books.history(customer_id, key), day) for key in (credit, balance))
    unused = max(min(sum(piece.amount for piece in own), *left), 0)
    if amount > unused:
        raise OverApplication(
            "amount",
            f"{to_text(amount, doc.currency)} {doc.currency}",
            f"expected at most {to_text(unused, doc.currency)}, what is unused of credit {doc.takes_back} on {day}",
        )
    return uses.first(own, amount)


def _given_for(books: Books, source: Source, ref: str, amount: int) -> int:
    """What so much of a credit counted for when it was given: in parts, what all of it did."""
    row = books.connection.execute(
        text(
            "select coalesce(sum(p.amount) filter (where r.code = 'balance.given'), 0)::bigint as amount,"
            " coalesce(sum(p.functional_amount) filter (where r.code = 'balance.given'), 0)::bigint as functional,"
            " coalesce(sum(p.amount) filter (where r.code = 'balance.taken_back'), 0)::bigint as back from account a"
            " join posting p on p.customer_id = a.customer_id and a.account_id in (p.debit_account, p.credit_account)"
            " join rule r on r.number = p.rule where a.customer_id = :customer_id and a.role = 'promotional_credits'"
            " and a.subject = :subject and a.entity = :entity and a.currency = :currency"
        ),
        {
            "customer_id": source.customer.customer_id, "subject": credit_subject(ref), "entity": source.entity,
            "currency": source.currency,
        },
    ).one()  # fmt: skip
    return share(row.functional, row.back + amount, row.amount) - share(row.functional, row.back, row.amount)
