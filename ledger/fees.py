"""Fees of banks and processors: how much of them can come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from ledger import documents
from ledger.books import HOUSE, Books, Source
from ledger.errors import OverApplication, Refused
from ledger.money import to_minor, to_text
from ledger.money_accounts import MoneyAccount
from ledger.positions import available


def require_part_of(fee: Decimal | None, amount: Decimal, what: str) -> None:
    """Raise Refused for a fee beyond the amount that it is kept of."""
    if fee is not None and fee > amount:
        raise Refused("fee", fee, f"expected at most the {what}'s amount, {amount}")


def require_charged_of_account(books: Books, account: MoneyAccount, amount: int, on: date) -> None:
    """Raise OverApplication for more than fees of whatever documents took of an account by a day and did not come back."""
    books.flush()
    # what was charged by itself is found at once; else what documents of customers were charged counts, too
    for house in (True, False):
        left = _left_of_account(books, account, on, house=house)
        if amount <= left:
            return
    _refuse("amount", amount, left, account.currency, f"what fees took of account {account.account} by {on}")


def _left_of_account(books: Books, account: MoneyAccount, on: date, *, house: bool) -> int:
    rows = books.connection.execute(
        text(
            "select e.occurred_on, sum(case when p.debit_account = a.account_id then p.amount else -p.amount end)::bigint as net"
            " from account a join posting p on p.customer_id = a.customer_id and a.account_id in (p.debit_account, p.credit_account)"
            " join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id"
            " where a.role = 'processing_fees' and a.entity = :entity and a.currency = :currency and a.subject = :subject"
            + (f" and a.customer_id = {HOUSE}" if house else "")
            + " group by 1"
        ),
        {"entity": account.entity, "currency": account.currency, "subject": account.subject},
    )
    return max(available({row.occurred_on: row.net for row in rows}, on), 0)


def require_charged_of_dispute(books: Books, source: Source, doc: documents.Dispute) -> None:
    """Raise OverApplication for a `fee_refund` beyond the fees of disputes of that money, or of the opening that it names."""
    if doc.fee_refund is None:
        return
    books.flush()
    rows = books.connection.execute(
        text(
            "select ref, dated_on, body::json as body from document where customer_id = :customer_id and type = 'dispute'"
            " and body::json ->> :named = :ref"
        ),
        {"customer_id": source.customer.customer_id, "named": doc.money[0], "ref": doc.money[1]},
    ).all()
    left = _left_of_disputes(rows, doc, source.currency)
    what = f"{doc.money[0]} {doc.money[1]}" if doc.opening is None else f"dispute {doc.opening}"
    amount = to_minor(doc.fee_refund, source.currency, "fee_refund")
    if amount > left:
        _refuse("fee_refund", amount, left, source.currency, f"what fees were charged of {what} by {doc.date}")


def _left_of_disputes(rows: Sequence[Any], doc: documents.Dispute, currency: str) -> int:
    whole: Counter[date] = Counter({doc.date: _minor(doc.fee, currency)})
    own: Counter[date] = Counter(whole)
    for row in rows:
        charged, back = (_minor(row.body.get(name), currency) for name in ("fee", "fee_refund"))
        whole[row.dated_on] += charged - back
        opening = row.ref if row.body["status"] == "opened" else row.body.get("opening")
        if opening in (None, doc.opening):
            # what names no opening may be of any
            own[row.dated_on] += charged - (back if opening else 0)
    of = (whole,) if doc.opening is None else (whole, own)
    return max(min(available(net, doc.date) for net in of), 0)


def _minor(amount: Any, currency: str) -> int:
    return 0 if amount is None else to_minor(documents.decimal_of(amount), currency)


def _refuse(field: str, amount: int, left: int, currency: str, what: str) -> None:
    raise OverApplication(
        field,
        f"{to_text(amount, currency)} {currency}",
        f"expected at most {to_text(left, currency)}, {what} and did not come back",
    )
