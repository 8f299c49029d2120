"""Usage as its documents come in, and what supersedes usage posted before."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from ledger.accounts.rulebook import BY_NUMBER
from ledger.documents import models
from ledger.errors import ConflictingDocument, UnknownReference, WrongParty
from ledger.journal import entry_rows
from ledger.journal.books import Books
from ledger.journal.entry_rows import Entry
from ledger.journal.movements import AccountKey, Source
from ledger.usage import given_back
from ledger.usage.draw import rate_and_draw
from ledger.usage.given_back import Piece
from ledger.usage.usage_lines import NET_USAGE, is_taken, overage_accounts
from ledger.usage.usage_taken import settle
from ledger.wallets.grants import NET_GRANT, grant_accounts
from ledger.wallets.session import Wallets, all_or_nothing


def post_usage(wallets: Wallets, doc: models.Usage, document_id: int) -> int:
    """Draw usage on the customer's grants; bill later what none covers. What falls gives back what was drawn last.

    Fractions of a minor unit add up by customer, product and currency: posted now = round(all rated so far) -
    posted before. Raises Overdrawn where the customer's terms refuse overage, OverApplication where more would fall than
    was rated.
    """
    books = wallets.books
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.date)
    books.parties.require_product(doc.product)
    if doc.supersedes is not None:
        return _replace(wallets, source, doc)
    return rate_and_draw(wallets, source, doc)


@dataclass(frozen=True, slots=True)
class _Posted:
    """A usage document in the books: what it metered, and its entries.

    With the accounts they touch; none of what fell.
    """

    product: str
    rated: Decimal
    entries: tuple[tuple[int, Entry], ...]
    keys: dict[int, AccountKey]


def _find(books: Books, source: Source, ref: str) -> _Posted:
    """The usage a document supersedes. Raises where it is unknown, another party's, or superseded already."""
    books.flush()
    row: Any = books.connection.execute(
        text(
            "select d.customer_id, d.document_id, d.body from document_key k join document d"
            " on d.customer_id = k.customer_id and d.document_id = k.document_id where k.type = 'usage' and k.ref = :ref"
        ),
        {"ref": ref},
    ).first()
    if row is None:
        raise UnknownReference("supersedes", ref, "expected the id of usage posted before")
    body = json.loads(row.body)
    if (body["customer"], body["entity"], body["currency"]) != (source.customer.ref, source.entity, source.currency):
        raise WrongParty("supersedes", ref, "expected usage of the same customer, entity and currency")
    by = books.connection.scalar(
        text(
            "select d.ref from superseded_usage s join document d on d.customer_id = s.customer_id"
            " and d.document_id = s.superseded_by where s.customer_id = :customer_id and s.document_id = :document_id"
        ),
        {"customer_id": row.customer_id, "document_id": row.document_id},
    )
    if by is not None:
        raise ConflictingDocument("supersedes", ref, f"usage {by} supersedes it already")
    numbers = books.connection.scalars(
        text("select entry_id from entry where customer_id = :customer_id and document_id = :document_id"
             " and reverses is null order by entry_id"),
        {"customer_id": row.customer_id, "document_id": row.document_id},
    )  # fmt: skip
    read = ((number, entry_rows.read(books.connection, number)) for number in numbers)
    # entries that only correct what others count for are not its own
    entries = tuple((number, entry) for number, entry in read if any(p.amount for p in entry.postings))
    touched = {
        account for _, entry in entries for p in entry.postings for account in (p.debit_account, p.credit_account)
    }
    keys = books.connection.execute(
        text("select account_id, entity, role, currency, subject, product from account"
             " where customer_id = :customer_id and account_id = any(:accounts)"),
        {"customer_id": row.customer_id, "accounts": list(touched)},
    )  # fmt: skip
    rated = models.rated_body(body)
    books.add_row(
        "superseded_usage",
        customer_id=row.customer_id,
        document_id=row.document_id,
        superseded_by=source.document_id,
    )
    fell = given_back.is_fall(books, row.customer_id, row.document_id)
    return _Posted(body["product"], rated, () if fell else entries, {key[0]: AccountKey(*key[1:]) for key in keys})


def _replace(wallets: Wallets, source: Source, doc: models.Usage) -> int:
    """Take back what earlier usage posted, and draw afresh.

    It gives back to the very grants that usage drew on. What came later is left as it was. Nothing is changed where the new version is
    refused.
    """
    assert doc.supersedes is not None, "checked by the caller"
    with all_or_nothing(wallets):
        old = _find(wallets.books, source, doc.supersedes)
        _take_back(wallets, source, old)
        return rate_and_draw(wallets, source, doc)


def _take_back(wallets: Wallets, source: Source, old: _Posted) -> None:
    books = wallets.books
    customer_id = source.customer.customer_id
    meter = wallets.meter(customer_id, source.entity, old.product, source.currency)
    subjects: dict[str, date] = {}
    for number, entry in old.entries:
        drawn = [(p.rule, p.amount, old.keys[p.credit_account].subject) for p in entry.postings]
        left = given_back.pieces_of(wallets, source, [(number, drawn)])
        if sum(piece.face for piece in left) < given_back.drawn_by(wallets, source, drawn) or any(
            _priced_anew(wallets, source, piece) for piece in left
        ):
            # usage that fell gave back a part of it, or it earns otherwise by now: what is left is given back
            meter.posted -= sum(piece.face for piece in left)
            given_back.return_pieces(wallets, source, old.product, entry.occurred_on, left)
            continue
        books.reverse(source, number, entry, old.keys)
        day = books.days.open_day(source, entry.effective_on)
        for p in entry.postings:
            subject = old.keys[p.credit_account].subject
            subjects[subject] = min(day, subjects.get(subject, day))
            code = BY_NUMBER[p.rule].code
            if code in _FACE_RULES:
                meter.posted -= p.amount
            if subject.startswith("grant:"):
                grant = wallets.grant(customer_id, subject.removeprefix("grant:"))
                meter.posted -= grant.give_back(code, p.amount)
                wallets.touch(grant)
    meter.rated -= old.rated
    meter.changed = True
    for subject, day in subjects.items():
        kind, _, ref = subject.partition(":")
        before = day - timedelta(days=1)
        if kind == "grant" and wallets.grant(customer_id, ref).fundings:
            books.net(source, grant_accounts(source, ref), NET_GRANT, before)
        elif kind == "usage":
            if is_taken(wallets, source, ref):
                settle(books, source, ref)
            books.net(source, overage_accounts(source, ref), NET_USAGE, before)


def _priced_anew(wallets: Wallets, source: Source, piece: Piece) -> bool:
    """Whether what credits earn may have changed since they were drawn.

    They share an order's price, or a part of it left.
    """
    if not piece.subject.startswith("grant:"):
        return False
    paid = wallets.grant(source.customer.customer_id, piece.subject.removeprefix("grant:")).paid
    return paid is not None and bool(paid.bonuses or paid.moved)


# Usage that no grant covered: what it posts is what was rated.
_FACE_RULES = ("usage.overage", "usage.billed_ahead")
