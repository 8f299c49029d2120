"""Credit notes taken back: what they credited is billed again, made up as it was, and their invoices are due again.

What lines of a note's own had credited is revenue again; what they made the customer's is taken back while it is unapplied.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from sqlalchemy import text

from ledger.amounts.money import to_text
from ledger.cash import left_on_balance, uses
from ledger.corrections import credit_lines, undone_postings
from ledger.corrections.taken import TakenLine, TakenTax, Undone, taken_lines, taken_taxes, undone_now
from ledger.corrections.undone_values import posted_by, worth_as
from ledger.documents import models
from ledger.errors import OverApplication, Refused, UnknownReference
from ledger.invoices import remaining
from ledger.invoices.forms import BETWEEN, CUSTOMER, entity_subject, invoice_subject
from ledger.invoices.taxes import tax_subject
from ledger.journal.books import Books
from ledger.journal.by_date import balance
from ledger.journal.movements import Movement, Source
from ledger.obligations import Correction, Obligations, earned_ahead
from ledger.payments.settlements import Settlement, find_invoice, settle
from ledger.usage import commitments, shortfall_bills, usage_lines
from ledger.wallets import credits_back
from ledger.wallets.grants import Funding, Grant, bill_grant
from ledger.wallets.session import Wallets, all_or_nothing


def post_credit_note_void(
    wallets: Wallets, doc: models.CreditNoteVoid, document_id: int, obligations: Obligations
) -> int:
    """Take a credit note back. What it left with the customer and is there still settles the invoice again; the rest is due.

    Raises Refused where that was done already, or its invoice was taken back since.
    """
    books = wallets.books
    note = _find(books, doc)
    with all_or_nothing(wallets):
        _void(wallets, note, doc, document_id, obligations)
    return int(note.customer_id)


def _find(books: Books, doc: models.CreditNoteVoid) -> Any:
    """The credit note with its invoice. Raises UnknownReference, or Refused for one that can't be taken back."""
    books.flush()
    row: Any = books.connection.execute(
        text(
            "select d.customer_id, d.document_id, d.ref, d.dated_on, c.ref as customer, i.ref as invoice, i.invoice_id,"
            " coalesce(i.entity, d.body::json ->> 'entity') as entity, coalesce(i.currency, d.body::json ->> 'currency') as currency,"
            " (select v.ref from document v where v.customer_id = d.customer_id and v.type = 'credit_note_void'"
            "  and v.body::json ->> 'credit_note' = d.ref) as voided_by,"
            " (select v.type || ' ' || v.ref from document v where v.customer_id = d.customer_id"
            "  and (v.type = 'invoice_void' and v.body::json ->> 'invoice' = i.ref or v.type = 'invoice' and v.body::json ->> 'supersedes' = i.ref)"
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
    if row.voided_by is not None:
        raise Refused(
            "credit_note", doc.credit_note, f"expected one that was not taken back already: {row.voided_by} did"
        )
    if row.taken_back_by is not None:
        raise Refused(
            "credit_note", doc.credit_note, f"expected one of an invoice that stands: {row.taken_back_by} took {row.invoice} back"
        )  # fmt: skip
    return row


def _void(wallets: Wallets, note: Any, doc: models.CreditNoteVoid, document_id: int, obligations: Obligations) -> None:
    books, customer_id = wallets.books, note.customer_id
    lines = taken_lines(books, customer_id, note.document_id)
    remaining.stand_together(books, customer_id, list(dict.fromkeys(line.invoice for line in lines)))
    of = Undone(note.document_id, "credit", 0, 1, (0, 1))
    taken = taken_taxes(books, customer_id, note.document_id)
    lines, taxes = undone_now(of, lines, taken)
    decided = obligations.decide(wallets, customer_id, document_id, [
        Correction(document_id, doc.id, "credit", line.invoice_id, line.line, line.subject, line.whole, doc.date, undoes=note.document_id)
        for line in lines if line.of_terms
    ])  # fmt: skip
    by_invoice: defaultdict[int, list[TakenLine]] = defaultdict(list)
    for line in lines:
        by_invoice[line.invoice_id].append(line)
    for invoice_id, own in by_invoice.items():
        invoice = remaining.find_any(wallets, document_id, own[0].invoice)
        bill = _Bill(wallets, invoice.source, note, max(doc.date, invoice.recorded_on), own[0].invoice)
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
        bill.settle()
        undone_postings.record(books, invoice.source, of, own, {invoice_id: taxes.get(invoice_id, [])})
    source = books.source(document_id, note.customer, note.entity, note.currency, doc.date, brings_in=False)
    of_invoice = [line.whole for line in by_invoice.get(note.invoice_id, ())]
    credited = sum(of_invoice) + sum(tax.tax for tax in taken.get(note.invoice_id, ()))
    brought = _own_lines_again(wallets, source, note, doc.date, credited)
    if note.invoice is not None:
        _settle_again(books, source, note, doc.date, brought)
    undone_postings.settle(wallets, source, lines, doc.date)
    decided.keep()


@dataclass(slots=True)
class _Bill:
    """An invoice whose lines are billed again, as far as a note credited them."""

    wallets: Wallets
    source: Source
    note: Any
    on: date
    invoice: str
    movements: list[Movement] = field(default_factory=list)
    billed: Counter[str] = field(default_factory=Counter)
    met: list[Grant] = field(default_factory=list)

    def _add(self, what: str, amount: int, subject: str, product: str = "") -> None:
        self.movements.append(Movement(f"credit_void.{what}", amount, invoice_subject(self.invoice), subject, product))

    def again(self, lines: Sequence[TakenLine], taxes: Sequence[TakenTax]) -> None:
        """Bill lines again, with their taxes."""
        for line in lines:
            if line.of_terms:
                self._position(line, earned_ahead(self.wallets.books, self.source, line.subject, self._day))
            elif line.kind == BETWEEN:
                self._add("between", line.whole, line.subject)
            elif line.kind == "shortfall":
                self._shortfall(line)
            elif line.kind == "prepaid" and line.rebill:
                self._credits_of_bill(line)
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
        return self.wallets.books.days.open_day(self.source, self.on)

    def _position(self, line: TakenLine, ahead: int) -> None:
        unbilled = min(line.whole, ahead)
        self._add("unbilled", unbilled, line.subject)
        self._add("deferred", line.whole - unbilled, line.subject)

    def _credits(self, line: TakenLine) -> None:
        """Bill prepaid credits again: unused ones can be used again, the price of used ones is what it was."""
        grant = self.wallets.grant(self.source.customer.customer_id, line.subject.removeprefix("grant:"))
        back = credits_back.raise_again(self.wallets, self.source, grant, self.note.document_id, self._day, line.line)
        for product, part in back.by_product:
            self._add("used", part, line.subject, product)
        unbilled = line.whole - back.unused - back.broken - back.used
        self._add("credits", back.unused + back.broken, line.subject)
        self._add("unbilled", unbilled, line.subject)
        self.movements.append(Movement("break.again", back.broken, line.subject, line.subject))
        grant.fundings.append(Funding(self._day, line.whole, self.on))

    def _credits_of_bill(self, line: TakenLine) -> None:
        """Bill prepaid credits again that were to be billed again: as a bill of them does. Raises Refused where one did since."""
        grant = self._grant(line)
        books, source = self.wallets.books, self.source
        subject, before = invoice_subject(self.invoice), self.billed[grant.subject]
        try:
            moved = bill_grant(books, source, grant, self._day, line.whole, before, subject)
        except OverApplication as over:
            raise self._billed_since(line) from over
        self._add_moved(moved)
        self.billed[grant.subject] += line.whole
        credits_back.bill_again(self.wallets, source, grant, line.whole, self._day, line.line)
        grant.fundings.append(Funding(self._day, line.whole, self.on))

    def _shortfall(self, line: TakenLine) -> None:
        """Bill a shortfall again: what it covered of usage is revenue of that; one that was to be billed again covers as a bill does."""
        if line.rebill:
            self._shortfall_of_bill(line)
            return
        if line.subject.startswith("usage:"):
            self._add("covered", line.whole, line.subject, line.subject.removeprefix("usage:"))
            return
        # what use had earned of it is of no product
        earned = min(line.whole, self._earned_with_use(line.subject) - self.billed[line.subject])
        self.billed[line.subject] += earned
        self._add("shortfall", earned, line.subject)
        self._add("shortfall", line.whole - earned, line.subject, line.product or "")

    def _earned_with_use(self, subject: str) -> int:
        found = self.wallets.books.connection.scalar(
            text(
                "select coalesce(sum(p.amount), 0)::bigint from entry e join posting p using (customer_id, entry_id)"
                " join rule r on r.number = p.rule join account a on a.customer_id = p.customer_id and a.account_id = p.debit_account"
                " where e.customer_id = :customer_id and e.document_id = :note and a.subject = :subject and a.product = ''"
                " and r.code in ('credit.shortfall', 'credit.shortfall_to_balance') and e.reverses is null"
            ),
            {"customer_id": self.note.customer_id, "note": self.note.document_id, "subject": subject},
        )
        return int(found or 0)

    def _shortfall_of_bill(self, line: TakenLine) -> None:
        grant = self._grant(line)
        subject, before = invoice_subject(self.invoice), self.billed[grant.subject]
        try:
            moved = shortfall_bills.bill_shortfall(
                self.wallets.books, self.source, grant, self._day, line.whole, before, subject, line.product or ""
            )
        except OverApplication as over:
            raise self._billed_since(line) from over
        self._add_moved(moved)
        self.billed[grant.subject] += line.whole
        grant.expired_face += min(line.whole, max(grant.left, 0))
        self.wallets.touch(grant)
        self.met.append(grant)

    def _grant(self, line: TakenLine) -> Grant:
        return self.wallets.grant(self.source.customer.customer_id, line.subject.removeprefix("grant:"))

    def _billed_since(self, line: TakenLine) -> Refused:
        return Refused(
            "credit_note", self.note.ref, f"expected one of which nothing was billed again: line {line.line} of {line.invoice} was, or is used"
        )  # fmt: skip

    def _add_moved(self, moved: Sequence[Movement]) -> None:
        """Move what a bill would, by the rules of a note taken back."""
        self.movements += [replace(movement, rule=_AS_BILLED.get(movement.rule, movement.rule)) for movement in moved]

    def settle(self) -> None:
        """Let commitments whose shortfall is billed again settle with what usage bills are ahead of."""
        for grant in self.met:
            commitments.settle(self.wallets, self.source, grant, self._day)


# What a bill moves that is made again for a note, and by which rule.
_AS_BILLED = {
    "invoice.prepaid_drawn": "credit_void.unbilled", "invoice.prepaid": "credit_void.credits",
    "invoice.shortfall_earned": "credit_void.unbilled", "invoice.shortfall": "credit_void.shortfall",
    "invoice.shortfall_used": "credit_void.unbilled",
}  # fmt: skip


def _own_lines_again(wallets: Wallets, source: Source, note: Any, on: date, credited: int) -> int:
    """What a note's own lines took out of revenue is there again: off what they made the customer's, the rest is due of the invoice.

    Returns what they had made the customer's. `credited` is what the note took of lines of its invoice, which settled first.
    Raises Refused where the note is of no invoice and what it brought is not there any more.
    """
    books = wallets.books
    lines = credit_lines.given(books, source, note.document_id)
    gross = sum(line.gross for line in lines)
    if not gross:
        return 0
    party, subject, brought = source, CUSTOMER, gross
    if note.invoice is not None:
        invoice = remaining.find_any(wallets, source.document_id, note.invoice)
        party, subject, on = invoice.source, invoice_subject(note.invoice), max(on, invoice.recorded_on)
        brought -= max(_settled(books, note) - credited, 0)
    lying = [piece for piece in uses.on_balance(books, party, on) if piece.money_id == note.document_id]
    pieces = uses.first(lying, brought)
    there = sum(piece.amount for piece in pieces)
    if note.invoice is None and there < gross:
        raise Refused(
            "credit_note", note.ref,
            f"expected one of which {to_text(gross, note.currency)} {note.currency} are the customer's still on {on}, found"
            f" {to_text(there, note.currency)}: take off again what was applied of it, or put back what was refunded",
        )  # fmt: skip
    posted = posted_by(books, note.customer_id, note.document_id)
    movements = []
    for movement in credit_lines.again(note.ref, lines, there, subject):
        # what leaves the balance counts for what it counted for when it came there
        came = movement.rule.replace("credit_void.", "credit.").replace("_from_balance", "_to_balance")
        worth = (
            posted.get((came, movement.credit, party.entity, party.currency)) if movement.debit == CUSTOMER else None
        )
        movements.append(worth_as(movement, worth))
    books.post(party, on, movements)
    uses.give_back(books, party, pieces, on)
    credit_lines.record_again(books, party, note.document_id, lines)
    return brought


def _settled(books: Books, note: Any) -> int:
    """What a note settled of its invoice."""
    found = books.connection.scalar(
        text(
            "select coalesce(sum(p.amount), 0)::bigint from entry e join posting p using (customer_id, entry_id)"
            " join rule r on r.number = p.rule join invoice i on i.customer_id = e.customer_id and i.invoice_id = :invoice_id"
            " where e.customer_id = :customer_id and e.document_id = :note and p.credit_account = i.receivable_account"
            " and r.code like 'credit.%' and e.reverses is null"
        ),
        {"customer_id": note.customer_id, "note": note.document_id, "invoice_id": note.invoice_id},
    )
    return int(found or 0)


def _settle_again(books: Books, source: Source, note: Any, on: date, brought: int) -> None:
    """Put what a note left with the customer, but for what its own lines brought, onto its invoice again, as far as it is there still."""
    invoice = find_invoice(books, source, note.invoice)
    left = left_on_balance.left_by(books, source, note.document_id) - brought
    there = [piece for piece in uses.on_balance(books, source, on) if piece.origin_id == note.invoice_id]
    pieces = uses.first(there[::-1], left)
    amount = sum(piece.amount for piece in pieces)
    if amount:
        settle(books, source, Settlement(invoice, on, on, amount, amount), pieces)
