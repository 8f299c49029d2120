"""Money on invoices as it was put there, and taken off again as it was."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import text

from ledger.amounts.money import share
from ledger.cash import uses
from ledger.cash.uses import Piece
from ledger.invoices.forms import CUSTOMER, Receivable, invoice_subject
from ledger.journal.books import Books
from ledger.journal.currencies import clearing_subject
from ledger.journal.movements import Movement, Source
from ledger.payments.settlements import receivable_key


@dataclass(frozen=True, slots=True)
class Applied:
    """Money on an invoice, and what it was on the balance it came from: there it goes back, as what its `origin` left.

    `document_id` is what put it there, 0 where none did.
    """

    piece: Piece
    currency: str
    amount: int
    origin_id: int
    document_id: int = 0

    def part(self, amount: int) -> Applied:
        """So much of it, as it was on the balance."""
        return replace(self, piece=self.piece.part(share(self.piece.amount, amount, self.amount)), amount=amount)

    def on_invoice(self, amount: int) -> Applied:
        """So much of it, as it lies on the invoice."""
        return replace(self, piece=self.piece.part(amount), amount=share(self.amount, amount, self.piece.amount))


def applied(
    books: Books, source: Source, pieces: Sequence[Piece], on: date, first: Collection[int] = ()
) -> list[Applied]:
    """What money on invoices was on the balance that it came from: what was put there last by a day, or by a document, comes first."""
    if not pieces:
        return []
    lying = _put(books, source, [piece.invoice_id for piece in pieces], on)
    found = []
    for piece in pieces:
        left = piece
        last = lying.get((piece.money_id, piece.invoice_id), [])[::-1]
        for item in sorted(last, key=lambda item: item.document_id not in first):
            part = min(item.piece.amount, left.amount)
            if part <= 0 and not (item.piece.amount == 0 and item.piece.paid and left.paid):
                continue
            own = item if part == item.piece.amount else item.on_invoice(part)
            of = replace(piece, amount=part, paid=left.paid if part == left.amount else min(own.piece.paid, left.paid))
            as_paid = own.currency == piece.paid_currency
            found.append(replace(own, piece=of, amount=of.paid if as_paid else own.amount))
            left = replace(left, amount=left.amount - part, paid=left.paid - of.paid)
        if left.amount or left.paid:
            found.append(Applied(left, left.paid_currency, left.paid, 0))
    return found


def _put(books: Books, source: Source, invoices: Sequence[int], on: date) -> _Laid:
    """What lies on invoices by a day as it was put there, by its money: a document takes it off the balance, then puts it there."""
    books.flush()
    rows = books.connection.execute(
        text(
            "select u.* from money_use u where u.customer_id = :customer_id and u.on_day <= :on and exists (select from money_use i"
            "  where i.customer_id = u.customer_id and i.document_id = u.document_id and i.money_id = u.money_id and i.invoice_id = any(:invoices))"
            " order by u.on_day, u.use_id"
        ),
        {"customer_id": source.customer.customer_id, "invoices": list(invoices), "on": on},
    )
    return _laid(rows.all())


# What lies on an invoice of a document's money, what was put there last being the last.
_Laid = dict[tuple[int, int], list[Applied]]


def _laid(rows: Sequence[Any]) -> _Laid:
    """What lies on invoices as it was put there, by rows in their order."""
    found: _Laid = {}
    gone: _Laid = {}
    for place, row in enumerate(rows):
        if row.invoice_id == uses.BALANCE:
            continue
        before = rows[place - 1] if place else None
        after = rows[place + 1] if place + 1 < len(rows) else None
        key = row.money_id, row.invoice_id
        if row.amount_minor < 0 or row.paid_minor < 0:
            to = (after.currency, after.origin_id) if after is not None and _of_one(row, after) else None
            taken = _take_last(found.get(key, []), -row.amount_minor, to)
            if to is None:
                gone.setdefault(key, []).extend(reversed(taken))
            continue
        piece = Piece(
            *key, 0, row.entity, row.currency, row.amount_minor, row.paid_minor, row.paid_currency, row.on_day
        )
        own = found.setdefault(key, [])
        if before is not None and _of_one(row, before):
            own.append(Applied(piece, before.currency, -before.amount_minor, before.origin_id, row.document_id))
            continue
        # what went back, and came back
        again = _take_last(gone.get(key, []), row.amount_minor)
        own.extend(reversed(again))
        rest = piece.part(piece.amount - sum(item.piece.amount for item in again))
        if rest.amount or (piece.paid and not piece.amount):
            own.append(Applied(rest, rest.paid_currency, rest.paid, 0, row.document_id))
    return found


def _of_one(row: Any, other: Any) -> bool:
    """Whether another row is what a row takes from the balance, or puts there."""
    return (
        (row.document_id, row.money_id, uses.BALANCE) == (other.document_id, other.money_id, other.invoice_id)
        and (row.amount_minor > 0 or row.paid_minor > 0) == (other.amount_minor < 0 or other.paid_minor < 0)
    )  # fmt: skip


def _take_last(lying: list[Applied], amount: int, to: tuple[str, int] | None = None) -> list[Applied]:
    """Take an amount off what lies on an invoice, the last first: what goes `to` where it came from before others."""
    taken = []
    last = lying[::-1]
    for item in sorted(last, key=lambda item: (item.currency, item.origin_id) != to):
        part = min(item.piece.amount, amount)
        if part <= 0:
            continue
        place = next(index for index in range(len(lying) - 1, -1, -1) if lying[index] is item)
        own = item if part == item.piece.amount else item.on_invoice(part)
        left = replace(item.piece, amount=item.piece.amount - part, paid=item.piece.paid - own.piece.paid)
        lying[place : place + 1] = [replace(item, piece=left, amount=item.amount - own.amount)] if left.amount else []
        taken.append(own)
        amount -= part
    return taken


def unapply(books: Books, source: Source, invoice: Receivable, of: Sequence[Applied], on: date) -> list[Piece]:
    """Take money off an invoice and put it back onto the customer's balance as it was there; returns it as it lies there.

    What it counts for is what it counted for when it was applied, and its exchange difference is taken back.
    """
    subject = invoice_subject(invoice.ref)
    found = []
    for item in of:
        piece = item.piece
        if item.currency == invoice.currency:
            worth = _money_of(books, source.customer.customer_id, invoice, item)
            movements = [
                Movement(
                    "payment.unapplied", piece.amount, subject, CUSTOMER, currency=invoice.currency, functional=worth
                )
            ]
        else:
            through = clearing_subject(item.currency, invoice.currency, undone=True)
            worth = _exchanged_of(books, source.customer.customer_id, invoice, item)
            movements = [
                Movement("payment.unapplied_exchanged", piece.amount, subject, through, currency=invoice.currency, rate=invoice.rate),
                Movement("payment.put_back", item.amount, through, CUSTOMER, currency=item.currency, functional=worth),
            ]  # fmt: skip
        books.post(source, on, movements)
        uses.add(books, source, piece, on, -1)
        back = replace(
            piece, invoice_id=uses.BALANCE, origin_id=item.origin_id, currency=item.currency, amount=item.amount
        )
        uses.add(books, source, back, on)
        found.append(back)
    return found


def _counted(books: Books, customer_id: int, rule: str, item: Applied, invoice: Receivable) -> tuple[int, int]:
    """(amount, what it counts for) of what a document put onto an invoice by a rule, with what else went so on its day."""
    row = books.connection.execute(
        text(
            "with put as (select p.rule, p.debit_account, p.credit_account, e.occurred_on from entry e join posting p using (customer_id, entry_id)"
            "  join rule r on r.number = p.rule and r.code = :rule where e.customer_id = :customer_id and e.document_id = :document_id and p.amount > 0"
            "  and exists (select from posting a where a.customer_id = e.customer_id and a.entry_id = e.entry_id and a.credit_account = :account)"
            "  limit 1)"
            " select coalesce(sum(q.amount), 0)::bigint as amount, coalesce(sum(case when q.debit_account = put.debit_account"
            "  then q.functional_amount else -q.functional_amount end), 0)::bigint as functional"
            " from put join posting q on q.customer_id = :customer_id and q.rule = put.rule and q.debit_account in (put.debit_account, put.credit_account)"
            " and q.credit_account in (put.debit_account, put.credit_account)"
            " join entry x on x.customer_id = q.customer_id and x.entry_id = q.entry_id and x.occurred_on = put.occurred_on"
        ),
        {
            "customer_id": customer_id,
            "rule": rule,
            "document_id": item.document_id,
            "account": books.account(customer_id, receivable_key(invoice)),
        },
    ).one()
    return row.amount, row.functional


def _money_of(books: Books, customer_id: int, invoice: Receivable, item: Applied) -> int:
    """What money that stands applied to an invoice in its own currency counts for in the entity's: it goes back as it came."""
    books.flush()
    amount = item.piece.amount
    whole, functional = _counted(books, customer_id, "payment.applied", item, invoice)
    if whole > 0:
        return share(functional, amount, whole)
    row = books.connection.execute(
        text(
            "select coalesce(sum(sign * p.amount), 0)::bigint as amount, coalesce(sum(sign * p.functional_amount), 0)::bigint"
            " as functional from posting p join rule r on r.number = p.rule cross join lateral (select case"
            "  when (r.code = 'payment.applied') = (p.credit_account = :account) then 1 else -1 end as sign) s "
            "where p.customer_id = :customer_id and :account in (p.debit_account, p.credit_account) "
            "and r.code in ('payment.applied', 'payment.unapplied')"
        ),
        {"customer_id": customer_id, "account": books.account(customer_id, receivable_key(invoice))},
    ).one()
    # what a manual entry put there counts for what the invoice does
    return share(row.functional, amount, row.amount) if row.amount > 0 else amount


def _exchanged_of(books: Books, customer_id: int, invoice: Receivable, item: Applied) -> int:
    """What money of another currency that stands applied to an invoice counted for in the entity's when it was exchanged."""
    books.flush()
    whole, functional = _counted(books, customer_id, "payment.exchanged", item, invoice)
    return share(functional, item.amount, whole) if whole > 0 else item.amount
