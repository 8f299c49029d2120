"""Of money in books of an older schema: where it lies, by what each document posted, in the order in which they came.

Documents of those times did not say whose money they took: where none is named, it is the oldest, or what was put there last.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import sqlalchemy as sa

_BALANCE = 0


def tell(connection: sa.Connection) -> None:
    """Write where the money of every customer lies."""
    customers = connection.execute(
        sa.text(
            "select customer_id from account where role = 'customer_balance'"
            " union select customer_id from line_change where kind = 'recovery'"
            " union select p.customer_id from posting p join rule r on r.number = p.rule where r.code = 'manual' order by 1"
        )
    ).scalars()
    for customer_id in list(customers):
        rows = _Replay(connection, customer_id).rows()
        if rows:
            connection.execute(_INSERT, rows)


_INSERT = sa.text(
    "insert into money_use values (:customer_id, nextval('money_use_number'), :document_id, :money_id, :invoice_id, :origin_id,"
    " :entity, :currency, :on_day, :amount_minor, :paid_minor, :paid_currency)"
)

# What each document moved of customers' balances and of receivables, with what it says.
_MOVED = sa.text(
    """
    select e.entry_id, e.document_id, e.occurred_on, d.type, d.ref, d.body, r.code, p.amount, a.entity, a.currency,
           a.role as debit, a.subject as debit_subject, b.role as credit, b.subject as credit_subject
    from entry e join document d on d.document_id = e.document_id and d.customer_id in (e.customer_id, 0)
    join posting p on p.customer_id = e.customer_id and p.entry_id = e.entry_id
    join rule r on r.number = p.rule
    join account a on a.customer_id = p.customer_id and a.account_id = p.debit_account
    join account b on b.customer_id = p.customer_id and b.account_id = p.credit_account
    where e.customer_id = :customer_id and p.amount > 0
      and ('customer_balance' in (a.role, b.role) or (r.code = 'manual' and 'accounts_receivable' in (a.role, b.role))
           or r.code like 'payment.%')
    order by e.entry_id, p.line"""
)
# What documents gave back of invoices, or took of what was given back, gross.
_CHANGED = sa.text(
    """
    select x.document_id, x.undoes, x.invoice_id, i.entity, i.currency, x.kind, sum(x.amount)::bigint as amount from (
        select customer_id, document_id, undoes, invoice_id, kind, amount_minor as amount from line_change
        where customer_id = :customer_id and kind in ('refund', 'dispute', 'recovery', 'credit', 'void', 'return')
        union all
        select t.customer_id, t.document_id, t.undoes, t.invoice_id,
               case d.type when 'credit_note' then case when t.undoes = 0 then 'credit' else 'refund' end
                           when 'invoice_void' then 'void' else d.type end, -t.tax_minor
        from line_tax t join document d using (customer_id, document_id)
        where t.customer_id = :customer_id and t.document_id <> t.invoice_id) x
    join invoice i using (customer_id, invoice_id)
    where i.master is null group by 1, 2, 3, 4, 5, 6 order by 1, 3"""
)


@dataclass
class _Piece:
    money: int
    invoice: int
    origin: int
    entity: str
    currency: str
    paid_currency: str
    amount: int = 0
    paid: int = 0


@dataclass
class _Replay:
    """The documents of a customer, one after another, and where that leaves its money."""

    connection: sa.Connection
    customer_id: int
    pieces: dict[tuple[int, int, int, str], _Piece] = field(default_factory=dict)
    found: list[dict[str, Any]] = field(default_factory=list)
    invoices: dict[str, int] = field(default_factory=dict)
    documents: dict[int, Any] = field(default_factory=dict)
    payments: dict[str, int] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        place = {"customer_id": self.customer_id}
        moved: dict[int, list[Any]] = defaultdict(list)
        for row in self.connection.execute(_MOVED, place):
            moved[row.document_id].append(row)
        changed: dict[int, list[Any]] = defaultdict(list)
        for row in self.connection.execute(_CHANGED, place):
            changed[row.document_id].append(row)
        names = sa.text("select ref, invoice_id from invoice where customer_id = :customer_id")
        self.invoices = {row.ref: row.invoice_id for row in self.connection.execute(names, place)}
        known = sa.text(
            "select document_id, type, ref, body, dated_on from document where customer_id = :customer_id"
            " and type in ('payment', 'refund', 'dispute', 'recovery')"
        )
        self.documents = {row.document_id: row for row in self.connection.execute(known, place)}
        self.payments = {row.ref: row.document_id for row in self.documents.values() if row.type == "payment"}
        for number in sorted({*moved, *changed}):
            self._document(number, moved[number], changed[number])
        return self.found

    def _document(self, number: int, moved: Sequence[Any], changed: Sequence[Any]) -> None:
        kind = moved[0].type if moved else self.documents[number].type if number in self.documents else ""
        on = moved[0].occurred_on if moved else self.documents[number].dated_on if number in self.documents else None
        if kind in ("payment", "application"):
            self._put(number, moved)
        elif kind == "manual_entry":
            for row in moved:
                self._manual(number, row)
        elif kind == "recovery":
            for row in changed:
                if row.kind == "recovery" and row.amount:
                    self._bring(number, number, row.invoice_id, 0, row.entity, row.currency, -row.amount, on)
        elif kind in ("refund", "dispute"):
            self._back(number, kind, moved, changed, on)
        elif kind == "consideration_payable":
            for row in moved:
                self._bring(number, number, _BALANCE, 0, row.entity, row.currency, row.amount, on)
        else:
            self._left(number, moved, changed, on)

    def _put(self, number: int, moved: Sequence[Any]) -> None:
        by_entry: dict[int, list[Any]] = defaultdict(list)
        for row in moved:
            by_entry[row.entry_id].append(row)
        for rows in by_entry.values():
            codes = {row.code: row for row in rows}
            on = rows[0].occurred_on
            for row in rows:
                if row.code == "payment.received":
                    self._bring(number, number, _BALANCE, 0, row.entity, row.currency, row.amount, on)
                elif row.code == "payment.unapplied":
                    invoice = self._invoice(row.debit_subject)
                    for piece, amount in self._some(row.amount, invoice, row.entity, row.currency, last=True):
                        self._move(number, piece, amount, _BALANCE, 0, row.currency, amount, on)
                elif row.code == "payment.applied":
                    self._apply(number, row.amount, row.entity, row.currency, self._invoice(row.credit_subject),
                                row.currency, row.amount, on)  # fmt: skip
            if "payment.exchanged" in codes:
                paid, to = codes["payment.exchanged"], codes["payment.applied_exchanged"]
                self._apply(number, paid.amount, paid.entity, paid.currency, self._invoice(to.credit_subject),
                            to.currency, to.amount, on)  # fmt: skip

    def _apply(
        self, number: int, paid: int, entity: str, currency: str, invoice: int, into: str, amount: int, on: date
    ) -> None:
        own = [piece for piece in self._lying(_BALANCE, entity, currency) if piece.money == number]
        reached = 0
        for piece, part in self._some(paid, _BALANCE, entity, currency, first=own):
            there = amount * (reached + part) // paid - amount * reached // paid
            reached += part
            self._move(number, piece, part, invoice, 0, into, there, on)

    def _manual(self, number: int, row: Any) -> None:
        taken, given = (
            self._place(role, subject)
            for role, subject in ((row.debit, row.debit_subject), (row.credit, row.credit_subject))
        )
        left = row.amount
        if taken is not None:
            for piece, amount in self._some(row.amount, taken, row.entity, row.currency, last=taken != _BALANCE):
                left -= amount
                if given is None:
                    self._add(number, piece, -amount, -_part(piece.paid, amount, piece.amount), row.occurred_on)
                else:
                    self._move(number, piece, amount, given, 0, row.currency, amount, row.occurred_on)
        if given is not None:
            self._bring(number, number, given, 0, row.entity, row.currency, left, row.occurred_on)

    def _back(self, number: int, kind: str, moved: Sequence[Any], changed: Sequence[Any], on: date | None) -> None:
        money = self.payments[json.loads(self.documents[number].body)["payment"]]
        off = sum(row.amount for row in moved if row.code in ("refund.balance", "dispute.balance"))
        for row in moved[:1] if off else ():
            own = [piece for piece in self._lying(_BALANCE, row.entity, row.currency) if piece.money == money]
            for piece, amount in self._some(off, _BALANCE, row.entity, row.currency, first=own):
                self._add(number, piece, -amount, -_part(piece.paid, amount, piece.amount), on)
        for row in changed:
            if row.kind == kind and not row.undoes:
                own = [p for p in self._lying(row.invoice_id, row.entity, row.currency) if p.money == money]
                for piece, amount in self._some(row.amount, row.invoice_id, row.entity, row.currency, first=own):
                    self._add(number, piece, -amount, -_part(piece.paid, amount, piece.amount), on)

    def _left(self, number: int, moved: Sequence[Any], changed: Sequence[Any], on: date | None) -> None:
        explained = [row for row in changed if row.undoes and row.kind == "refund"]
        for row in explained:  # what a refund gave back of lines turned out to be what the note left
            money = self.payments[json.loads(self.documents[row.undoes].body)["payment"]]
            day = self.documents[row.undoes].dated_on
            self._bring(number, money, row.invoice_id, 0, row.entity, row.currency, -row.amount, day)
        net: dict[tuple[str, str], int] = defaultdict(int)
        for row in moved:
            if row.code.endswith("_to_balance") or row.code == "between.returned":
                net[row.entity, row.currency] += row.amount if row.credit == "customer_balance" else -row.amount
        for (entity, currency), amount in net.items():
            left = amount
            bills = dict.fromkeys(row.invoice_id for row in changed if (row.entity, row.currency) == (entity, currency))
            for invoice in bills:
                for piece, part in self._some(left, invoice, entity, currency, last=True):
                    left -= part
                    self._move(number, piece, part, _BALANCE, invoice, currency, part, on)
            self._bring(number, number, _BALANCE, next(iter(bills), 0), entity, currency, left, on)
        for row in explained:
            money = self.payments[json.loads(self.documents[row.undoes].body)["payment"]]
            own = [p for p in self._lying(_BALANCE, row.entity, row.currency) if p.money == money]
            for piece, amount in self._some(-row.amount, _BALANCE, row.entity, row.currency, first=own):
                self._add(
                    number,
                    piece,
                    -amount,
                    -_part(piece.paid, amount, piece.amount),
                    self.documents[row.undoes].dated_on,
                )

    # Pieces -----------------------------------------------------------------------------------------------------

    def _invoice(self, subject: str) -> int:
        return self.invoices[subject.removeprefix("invoice:")]

    def _place(self, role: str, subject: str) -> int | None:
        if role == "customer_balance":
            return _BALANCE
        return self._invoice(subject) if role == "accounts_receivable" and subject.startswith("invoice:") else None

    def _lying(self, invoice: int, entity: str, currency: str) -> list[_Piece]:
        return [
            piece for piece in self.pieces.values()
            if piece.amount > 0 and (piece.invoice, piece.entity, piece.currency) == (invoice, entity, currency)
        ]  # fmt: skip

    def _some(
        self, amount: int, invoice: int, entity: str, currency: str, *, last: bool = False, first: Sequence[_Piece] = ()
    ) -> list[tuple[_Piece, int]]:
        lying = self._lying(invoice, entity, currency)
        rest = [piece for piece in (lying[::-1] if last else lying) if piece not in first]
        found = []
        for piece in [*first, *rest]:
            part = min(piece.amount, amount)
            if part > 0:
                found.append((piece, part))
                amount -= part
        return found

    def _bring(
        self,
        number: int,
        money: int,
        invoice: int,
        origin: int,
        entity: str,
        currency: str,
        amount: int,
        on: date | None,
    ) -> None:
        paid, paid_currency = amount, currency
        row = self.documents.get(money)
        if row is not None and row.type == "payment":
            paid_currency = json.loads(row.body)["currency"]
            paid = amount if paid_currency == currency else self._paid(money, invoice, amount)
        self._add(number, _Piece(money, invoice, origin, entity, currency, paid_currency), amount, paid, on)

    def _paid(self, money: int, invoice: int, amount: int) -> int:
        of = [row for row in self.found if row["money_id"] == money and row["invoice_id"] == invoice]
        there = sum(row["amount_minor"] for row in of if row["amount_minor"] > 0)
        return (
            _part(sum(row["paid_minor"] for row in of if row["amount_minor"] > 0), amount, there) if there else amount
        )

    def _move(
        self,
        number: int,
        piece: _Piece,
        amount: int,
        invoice: int,
        origin: int,
        currency: str,
        there: int,
        on: date | None,
    ) -> None:
        paid = _part(piece.paid, amount, piece.amount)
        self._add(number, piece, -amount, -paid, on)
        to = _Piece(piece.money, invoice, origin, piece.entity, currency, piece.paid_currency)
        self._add(number, to, there, paid, on)

    def _add(self, number: int, piece: _Piece, amount: int, paid: int, on: date | None) -> None:
        if not amount and not paid:
            return
        key = (piece.money, piece.invoice, piece.origin, piece.currency)
        kept = self.pieces.setdefault(key, _Piece(*key[:3], piece.entity, piece.currency, piece.paid_currency))
        kept.amount += amount
        kept.paid += paid
        self.found.append({
            "customer_id": self.customer_id, "document_id": number, "money_id": piece.money, "invoice_id": piece.invoice,
            "origin_id": piece.origin, "entity": piece.entity, "currency": piece.currency, "on_day": on,
            "amount_minor": amount, "paid_minor": paid, "paid_currency": piece.paid_currency,
        })  # fmt: skip


def _part(total: int, part: int, whole: int) -> int:
    return (2 * total * part + whole) // (2 * whole) if whole else 0
