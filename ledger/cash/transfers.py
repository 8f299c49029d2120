"""Money that moves between an entity's own accounts, and what banks and processors charge: of no customer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy import text

from ledger.accounts.house import HOUSE, HOUSE_REF
from ledger.amounts.money import share, to_minor
from ledger.cash.fees import require_charged_of_account
from ledger.cash.money_accounts import MoneyAccount, find_of
from ledger.documents import models
from ledger.errors import ConflictingDocument, InvalidDocument, Refused, UnknownReference
from ledger.journal.books import Books
from ledger.journal.currencies import clearing_subject
from ledger.journal.movements import Movement
from ledger.wallets.session import Wallets


def post_transfer(wallets: Wallets, doc: models.Transfer, document_id: int) -> int:
    """Move money between two accounts; between currencies at what arrived, and what rates leave over is realised."""
    books = wallets.books
    left = find_of(books, doc.from_account, doc.entity, field="from_account")
    arrived = find_of(books, doc.to_account, doc.entity, field="to_account")
    amount, received = _amounts(doc, left, arrived)
    charged = _charged(books, doc, left)
    _move(books, document_id, doc.date, (left, amount), (arrived, received))
    if charged is not None:
        _fee(books, document_id, doc.date, *charged, returned=False)
    return HOUSE


def _amounts(doc: models.Transfer, left: MoneyAccount, arrived: MoneyAccount) -> tuple[int, int]:
    """What leaves the one account, and what arrives in the other."""
    amount = to_minor(doc.amount, left.currency)
    if left.currency == arrived.currency:
        if doc.received is not None:
            raise InvalidDocument("received", doc.received, f"expected none: both accounts are in {left.currency}")
        return amount, amount
    if doc.received is None:
        raise InvalidDocument("received", "missing", f"expected what arrived in {arrived.currency}")
    return amount, to_minor(doc.received, arrived.currency, "received")


def _charged(books: Books, doc: models.Transfer, left: MoneyAccount) -> tuple[MoneyAccount, int] | None:
    if doc.fee is None:
        return None
    account = left if doc.fee_account is None else find_of(books, doc.fee_account, doc.entity, field="fee_account")
    return account, to_minor(doc.fee, account.currency, "fee")


def _move(
    books: Books, document_id: int, on: date, left: tuple[MoneyAccount, int], arrived: tuple[MoneyAccount, int]
) -> None:
    (from_, amount), (to, received) = left, arrived
    source = books.source(document_id, HOUSE_REF, from_.entity, from_.currency, on, brings_in=False)
    if from_.currency == to.currency:
        movements = [Movement("transfer.moved", amount, to.subject, from_.subject)]
    else:
        through = clearing_subject(from_.currency, to.currency)
        movements = [
            Movement("transfer.exchanged", amount, through, from_.subject),
            Movement("transfer.received", received, to.subject, through, currency=to.currency),
        ]
    books.post(source, on, movements)


def _fee(
    books: Books,
    document_id: int,
    on: date,
    account: MoneyAccount,
    amount: int,
    *,
    returned: bool,
    counted: int | None = None,
) -> None:
    source = books.source(document_id, HOUSE_REF, account.entity, account.currency, on, brings_in=returned)
    rule = "fee.returned" if returned else "fee.charged"
    books.post(source, on, [Movement(rule, amount, account.subject, account.subject, functional=counted)])


def post_fee(wallets: Wallets, doc: models.Fee, document_id: int) -> int:
    """Expense what an account was charged, or take back what came back of it. Raises OverApplication for more than it was charged."""
    account = find_of(wallets.books, doc.account, doc.entity)
    amount = to_minor(doc.amount, account.currency)
    if doc.returned:
        require_charged_of_account(wallets.books, account, amount, doc.date)
    _fee(wallets.books, document_id, doc.date, account, amount, returned=doc.returned)
    return HOUSE


def post_transfer_reversal(wallets: Wallets, doc: models.TransferReversal, document_id: int) -> int:
    """Move back what a transfer moved. Raises ConflictingDocument where it came back before."""
    books = wallets.books
    books.flush()
    transfer = _find(books, doc.transfer)
    if doc.date < transfer.date:
        raise Refused("date", doc.date, f"expected {transfer.date}, when transfer {doc.transfer} was made, or later")
    before = books.connection.scalar(
        text(
            "select ref from document where customer_id = :house and type = 'transfer_reversal'"
            " and body::json ->> 'transfer' = :transfer"
        ),
        {"house": HOUSE, "transfer": doc.transfer},
    )
    if before is not None:
        raise ConflictingDocument(
            "transfer", doc.transfer, f"was reversed by {before} already, expected one that stands"
        )
    if doc.fee_returned and transfer.fee is None:
        raise Refused("fee_returned", "true", f"expected a transfer that had a fee: {doc.transfer} had none")
    left = find_of(books, transfer.from_account, transfer.entity)
    arrived = find_of(books, transfer.to_account, transfer.entity)
    amount, received = _amounts(transfer, left, arrived)
    charged = _charged(books, transfer, left) if doc.fee_returned else None
    if charged is not None:
        require_charged_of_account(books, *charged, doc.date, "fee_returned")
    counted = _counted(books, doc.transfer)
    _move_back(books, document_id, doc.date, (left, amount), (arrived, received), counted)
    if charged is not None:
        _fee(books, document_id, doc.date, *charged, returned=True, counted=counted.get("fee.charged"))
    return HOUSE


def _move_back(
    books: Books,
    document_id: int,
    on: date,
    left: tuple[MoneyAccount, int],
    arrived: tuple[MoneyAccount, int],
    counted: Mapping[str, int],
) -> None:
    """Move back what was moved, for what it counted for then: what rates left over of it is taken back."""
    (from_, amount), (to, received) = left, arrived
    source = books.source(document_id, HOUSE_REF, to.entity, to.currency, on, brings_in=False)
    if from_.currency == to.currency:
        moved = Movement("transfer.moved", amount, from_.subject, to.subject, functional=counted["transfer.moved"])
        books.post(source, on, [moved])
        return
    through = clearing_subject(from_.currency, to.currency, undone=True)
    books.post(source, on, [
        Movement("transfer.exchanged", received, through, to.subject, functional=counted["transfer.received"]),
        Movement("transfer.received", amount, from_.subject, through, currency=from_.currency,
                 functional=counted["transfer.exchanged"]),
    ])  # fmt: skip


def _counted(books: Books, transfer: str) -> dict[str, int]:
    """What each posting of a transfer counts for by now in the entity's currency, by its rule."""
    rows = books.connection.execute(
        text(
            "select r.code, p.amount, p.functional_amount as functional, (select coalesce(sum(case when q.debit_account = p.debit_account"
            "   then q.functional_amount else -q.functional_amount end), 0)::bigint from posting q join entry x using (customer_id, entry_id)"
            "  where q.customer_id = p.customer_id and q.rule = p.rule and x.occurred_on = e.occurred_on and q.amount = 0"
            "  and p.debit_account in (q.debit_account, q.credit_account) and p.credit_account in (q.debit_account, q.credit_account)) as more,"
            " (select sum(q.amount)::bigint from posting q join entry x using (customer_id, entry_id)"
            "  where q.customer_id = p.customer_id and q.rule = p.rule and x.occurred_on = e.occurred_on"
            "  and (q.debit_account, q.credit_account) = (p.debit_account, p.credit_account)) as whole"
            " from document_key k join entry e on e.customer_id = k.customer_id and e.document_id = k.document_id"
            " join posting p on p.customer_id = e.customer_id and p.entry_id = e.entry_id join rule r on r.number = p.rule"
            " where k.type = 'transfer' and k.ref = :ref and p.amount > 0"
        ),
        {"ref": transfer},
    )
    # what came late made it count for more or less, on its day: together with what else moved so then
    return {row.code: row.functional + share(row.more, row.amount, row.whole) for row in rows}


def _find(books: Books, ref: str) -> models.Transfer:
    row: Any = books.connection.execute(
        text(
            "select d.body from document_key k join document d using (customer_id, document_id)"
            " where k.type = 'transfer' and k.ref = :ref"
        ),
        {"ref": ref},
    ).first()
    if row is None:
        raise UnknownReference("transfer", ref, "expected the id of a transfer posted before")
    return models.Transfer.model_validate(json.loads(row.body))
