"""Credit notes taken back: what they credited is billed again, made up as it was, and their invoices are due again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import text

from ledger import billed, credits_back, documents, undoing, usage_lines, uses
from ledger.books import Books, Movement, Source
from ledger.errors import Refused, UnknownReference
from ledger.grants import Funding
from ledger.obligations import Correction, Obligations, earned_ahead
from ledger.payments import Settlement, find_invoice, settle
from ledger.positions import balance
from ledger.receivables import BETWEEN, entity_subject, invoice_subject
from ledger.taxes import tax_subject
from ledger.undoing import TakenLine, TakenTax, Undone
from ledger.wallets import Wallets, all_or_nothing


def post_credit_note_void(
    wallets: Wallets, doc: documents.CreditNoteVoid, document_id: int, obligations: Obligations
) -> int:
    """Take a credit note back. What it left with the customer and is there still settles the invoice again; the rest is due.

    Raises Refused where that was done already, or its invoice was taken back since.
    """
    books = wallets.books
    note = _find(books, doc)
    with all_or_nothing(wallets):
        _void(wallets, note, doc, document_id, obligations)
    return int(note.customer_id)


def _find(books: Books, doc: documents.CreditNoteVoid) -> Any:
    """The credit note with its invoice. Raises UnknownReference, or Refused for one that can't be taken back."""
    books.flush()
    row: Any = books.connection.execute(
        text(
            "select d.customer_id, d.document_id, d.dated_on, c.ref as customer, exists (select from credit_line l"
            "  where l.customer_id = d.customer_id and l.document_id = d.document_id) as own, i.ref as invoice, i.invoice_id, i.entity, i.currency,"
            " (select v.ref from document v where v.customer_id = d.customer_id and v.type = 'credit_note_void'"
            "  and v.body::json ->> 'credit_note' = d.ref) as voided_by,"
            " (select v.type || ' ' || v.ref from document v where v.customer_id = d.customer_id"
            "  and (v.type, v.body::json ->> 'invoice') = ('invoice_void', i.ref) or (v.type, v.body::json ->> 'supersedes') = ('invoice', i.ref)"
            "  limit 1) as taken_back_by"
            " from document_key k join document d on d.customer_id = k.customer_id and d.document_id = k.document_id"
            " join customer c on c.customer_id = d.customer_id"
            " left join invoice i on i.customer_id = d.customer_id and i.ref = d.body::json ->> 'invoice'"
            " where k.type = 'credit_note' and k.ref = :ref"
        ),
        {"ref": doc.credit_note},
    ).first()
    if row is None:
        raise UnknownReference("credit_note", doc.credit_note, "expected the id of a credit note posted before")
    if doc.date < row.dated_on:
        raise Refused("date", doc.date, f"expected {row.dated_on}, when {doc.credit_note} was given, or later")
    if row.own:
        raise Refused(
            "credit_note",
            doc.credit_note,
            "expected one of lines of an invoice alone: bill what its own lines credit instead",
        )
    if row.voided_by is not None:
        raise Refused(
            "credit_note", doc.credit_note, f"expected one that was not taken back already: {row.voided_by} did"
        )
    if row.taken_back_by is not None:
        raise Refused(
            "credit_note", doc.credit_note, f"expected one of an invoice that stands: {row.taken_back_by} took {row.invoice} back"
        )  # fmt: skip
    return row


def _void(
    wallets: Wallets, note: Any, doc: documents.CreditNoteVoid, document_id: int, obligations: Obligations
) -> None:
    books, customer_id = wallets.books, note.customer_id
    lines = undoing.taken_lines(books, customer_id, note.document_id)
    for line in lines:
        if line.kind == "shortfall" or (line.kind == "prepaid" and line.rebill):
            what = "of no shortfall" if line.kind == "shortfall" else "that does not say `rebill` of prepaid credits"
            raise Refused(
                "credit_note", doc.credit_note, f"expected one {what}: bill line {line.line} of {line.invoice} again instead"
            )  # fmt: skip
    billed.stand_together(books, customer_id, list(dict.fromkeys(line.invoice for line in lines)))
    of = Undone(note.document_id, "credit", 0, 1, (0, 1))
    lines, taxes = undoing.undone_now(of, lines, undoing.taken_taxes(books, customer_id, note.document_id))
    decided = obligations.decide(wallets, customer_id, document_id, [
        Correction(document_id, doc.id, "credit", line.invoice_id, line.line, line.subject, line.whole, doc.date, undoes=note.document_id)
        for line in lines if line.of_terms
    ])  # fmt: skip
    by_invoice: defaultdict[int, list[TakenLine]] = defaultdict(list)
    for line in lines:
        by_invoice[line.invoice_id].append(line)
    for invoice_id, own in by_invoice.items():
        invoice = billed.find_any(wallets, document_id, own[0].invoice)
        bill = _Bill(wallets, invoice.source, note.document_id, max(doc.date, invoice.recorded_on), own[0].invoice)
        bill.again(own, taxes.get(invoice_id, ()))
        if own[0].collector is not None:
            claim = sum(
                movement.amount for movement in bill.movements if movement.debit == invoice_subject(bill.invoice)
            )
            claimed = Movement(
                "between.claimed", claim, entity_subject(own[0].collector), invoice_subject(bill.invoice)
            )
            bill.movements.append(claimed)
        books.post(invoice.source, bill.on, bill.movements)
        undoing.record(books, invoice.source, of, own, {invoice_id: taxes.get(invoice_id, [])})
    source = books.source(document_id, note.customer, note.entity, note.currency, doc.date, brings_in=False)
    _settle_again(books, source, note, doc.date)
    undoing.settle(wallets, source, lines, doc.date)
    decided.keep()


@dataclass(slots=True)
class _Bill:
    """An invoice whose lines are billed again, as far as a note credited them."""

    wallets: Wallets
    source: Source
    note: int
    on: date
    invoice: str
    movements: list[Movement] = field(default_factory=list)

    def _add(self, what: str, amount: int, subject: str, product: str = "") -> None:
        self.movements.append(Movement(f"credit_void.{what}", amount, invoice_subject(self.invoice), subject, product))

    def again(self, lines: Sequence[TakenLine], taxes: Sequence[TakenTax]) -> None:
        """Bill lines again, with their taxes."""
        for line in lines:
            if line.of_terms:
                self._position(line, earned_ahead(self.wallets.books, self.source, line.subject, self._day))
            elif line.kind == BETWEEN:
                self._add("between", line.whole, line.subject)
            elif line.kind == "prepaid":
                self._credits(line)
            elif line.kind == "usage" and line.rebill:
                _, asset = usage_lines.overage_accounts(self.source, line.product or "")
                held = balance(self.wallets.books.history(self.source.customer.customer_id, asset), self._day)
                self._position(line, max(held, 0))
            elif line.kind == "usage":
                self._add("usage", line.whole, line.subject)
            else:
                self._add("opening", line.whole, line.subject)
        for tax in taxes:
            subject = tax_subject(tax.code)
            self._add("tax", tax.tax, subject)
            self.movements.append(Movement("credit_void.tax_base", tax.base, subject, subject))

    @property
    def _day(self) -> date:
        return self.wallets.books.open_day(self.source, self.on)

    def _position(self, line: TakenLine, ahead: int) -> None:
        unbilled = min(line.whole, ahead)
        self._add("unbilled", unbilled, line.subject)
        self._add("deferred", line.whole - unbilled, line.subject)

    def _credits(self, line: TakenLine) -> None:
        """Bill prepaid credits again: unused ones can be used again, the price of used ones is what it was."""
        grant = self.wallets.grant(self.source.customer.customer_id, line.subject.removeprefix("grant:"))
        back = credits_back.raise_again(self.wallets, self.source, grant, self.note, self._day, line.line)
        for product, part in back.by_product:
            self._add("used", part, line.subject, product)
        unbilled = line.whole - back.unused - back.broken - back.used
        self._add("credits", back.unused + back.broken, line.subject)
        self._add("unbilled", unbilled, line.subject)
        self.movements.append(Movement("expire.prepaid", back.broken, line.subject, line.subject))
        grant.fundings.append(Funding(self._day, line.whole, self.on))


def _settle_again(books: Books, source: Source, note: Any, on: date) -> None:
    """Put what a note left with the customer, as far as it is there still, onto its invoice again."""
    invoice = find_invoice(books, source, note.invoice)
    left = uses.left_by(books, source, note.document_id)
    there = [piece for piece in uses.on_balance(books, source, on) if piece.origin_id == note.invoice_id]
    pieces = uses.first(there[::-1], left)
    amount = sum(piece.amount for piece in pieces)
    if amount:
        settle(books, source, Settlement(invoice, on, on, amount, amount), pieces)
