"""Voids: an invoice is taken back whole, and billed anew where another supersedes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from sqlalchemy import text

from ledger.amounts.money import to_text
from ledger.cash import left_on_balance
from ledger.corrections.credits import CUSTOMER, Credit, charged, explain_refunds, finish
from ledger.documents import models
from ledger.errors import Refused
from ledger.invoices import coupons, forms, lowering, post, remaining
from ledger.invoices.forms import BETWEEN, entity_subject, invoice_subject
from ledger.invoices.lines_below_zero import Prorated, prorated_by
from ledger.invoices.lines_left import LineLeft
from ledger.invoices.remaining import BilledInvoice
from ledger.invoices.taxes import tax_subject
from ledger.journal.books import Books
from ledger.journal.by_date import available, balance
from ledger.journal.line_changes import add_change
from ledger.journal.movements import AccountKey, Movement
from ledger.obligations import Correction, Decided, Obligations
from ledger.usage import usage_taken
from ledger.wallets.session import Wallets, all_or_nothing


def post_void(wallets: Wallets, doc: models.InvoiceVoid, document_id: int, obligations: Obligations) -> int:
    """Take a whole invoice back. Raises Refused where money was applied to it, or nothing is left of it."""
    invoice = remaining.find(wallets, document_id, doc.invoice, corrected=False)
    if not any(line.kind == BETWEEN for line in invoice.lines):
        _void(wallets, invoice, doc.id, doc.date, "invoice", obligations)
        return invoice.source.customer.customer_id
    with all_or_nothing(wallets):
        return void(wallets, document_id, doc.id, doc.invoice, doc.date, "invoice", obligations)


def post_invoice(wallets: Wallets, doc: models.Invoice, document_id: int, obligations: Obligations) -> int:
    """Take an invoice in; one that supersedes another voids that one first, on its own date.

    Both stay in the books and trace to what they bill. Raises Refused where the other can't be voided.
    """
    if doc.supersedes is None:
        customer_id = post.post_invoice(wallets, doc, document_id, obligations)
        explain_refunds(wallets, doc, document_id, customer_id, obligations)
        return customer_id
    terms = forms.look_up(wallets.books, doc)
    superseded = remaining.find(wallets, document_id, doc.supersedes, "supersedes")
    require_replaceable(superseded, doc)
    with all_or_nothing(wallets):
        void_superseded(wallets, document_id, superseded, doc, obligations)
        customer_id = post.post_invoice(wallets, doc, document_id, obligations, terms)
        explain_refunds(wallets, doc, document_id, customer_id, obligations)
        return customer_id


def require_replaceable(invoice: BilledInvoice, doc: models.Invoice) -> None:
    """Raise Refused where an invoice supersedes one of another party."""
    if (invoice.source.customer.ref, invoice.source.entity) != (doc.customer, doc.entity):
        raise Refused("supersedes", invoice.ref, f"expected an invoice of {doc.customer} with {doc.entity}")


def void_superseded(
    wallets: Wallets, document_id: int, superseded: BilledInvoice, doc: models.Invoice, obligations: Obligations
) -> None:
    """Take back the invoice another supersedes, unless a document did already. Raises Refused where another superseded it."""
    place = {"customer_id": superseded.source.customer.customer_id, "ref": superseded.ref}
    connection = wallets.books.connection
    by = connection.scalar(
        text("select ref from invoice where customer_id = :customer_id and supersedes = :ref"), place
    )
    if by is not None:
        raise Refused("supersedes", superseded.ref, f"expected an invoice that none supersedes yet: {by} does")
    voided = connection.scalar(
        text(
            "select ref from document where customer_id = :customer_id and type = 'invoice_void' "
            "and body::json ->> 'invoice' = :ref"
        ),
        place,
    )
    if voided is None:
        void(wallets, document_id, doc.id, superseded.ref, doc.issued_on, "supersedes", obligations)


def void(wallets: Wallets, document_id: int, by: str, ref: str, on: date, field: str, obligations: Obligations) -> int:
    """Take an invoice back whole by a document, the parts other entities keep of it too; returns whose it is."""
    invoice = remaining.find(wallets, document_id, ref, field, corrected=False)
    _require_standing(wallets.books, invoice, field)
    for part in remaining.parts(wallets, document_id, invoice, corrected=False):
        _void(wallets, part, by, on, field, obligations)
    _void(wallets, invoice, by, on, field, obligations)
    return invoice.source.customer.customer_id


def _void(wallets: Wallets, invoice: BilledInvoice, by: str, on: date, field: str, obligations: Obligations) -> None:
    books, source = wallets.books, invoice.source
    on = counted(invoice, on)
    day = books.days.open_day(source, on)
    customer_id = source.customer.customer_id
    again = prorated_by(books, customer_id, invoice.invoice_id)
    invoice = _before_own_proration(invoice, again)
    due = _due_of_voidable(books, invoice, on, day, field)
    below = max(-invoice.gross, 0)
    # what lines credited is billed again first, so that the rest is credited whole
    credits_ = [line for line in invoice.lines if line.net < 0]
    decided = obligations.decide(wallets, customer_id, source.document_id, [
        *(
            Correction(source.document_id, by, "proration", part.invoice_id, part.line, part.subject, part.amount, on,
                       undoes=invoice.invoice_id)
            for part in again
        ),
        *(
            Correction(source.document_id, by, "void", invoice.invoice_id, line.line, subject, part, on)
            for line in (*charged(invoice.lines), *credits_) if line.first and lowering.is_of_terms(line) and _own(line, again)
            for subject, part in lowering.by_obligation(line, line.net)
        ),
    ])  # fmt: skip
    for line in credits_:
        _bill_again(books, invoice, line, on, day)
    for part in again:
        add_change(
            books, source, part.invoice_id, part.line, "proration", -part.amount, part.product, part.subject,
            {"undoes": invoice.invoice_id},
        )  # fmt: skip
    open_amount = 0 if invoice.master else due
    credit = Credit(wallets, invoice, day, open_amount - sum(line.gross for line in credits_), on)
    _void_lines(credit, charged(invoice.lines), decided)
    _void_free(wallets, invoice, on)
    coupons.take_back(books, source, invoice.invoice_id, day)
    to = invoice_subject(invoice.ref)
    if invoice.collector is not None:
        credit.movements.append(Movement("between.claimed", below, entity_subject(invoice.collector), to))
    else:
        credit.movements.append(Movement("invoice.from_balance", below, CUSTOMER, to))
        left_on_balance.take_back(books, source, invoice.invoice_id, below, on)
    finish(wallets, credit, on, [(line, line.net) for line in charged(invoice.lines)])
    decided.keep()


def _due_of_voidable(books: Books, invoice: BilledInvoice, on: date, day: date, field: str) -> int:
    """What is due of an invoice that can be voided. Raises Refused where nothing is left of it, or others took of it."""
    left, currency = invoice.gross, invoice.source.currency
    _require_standing(books, invoice, field)
    if not any(line.net for line in invoice.lines) and any(line.first for line in invoice.lines):
        raise Refused(
            field,
            invoice.ref,
            "is credited in full already, or all that it billed went back: expected one of which something is left",
        )
    by_others = _prorated_by_others(books, invoice)
    if by_others:
        raise Refused(
            field, invoice.ref,
            f"expected an invoice whose lines no other invoice prorates, {by_others} does: credit what is left instead",
        )  # fmt: skip
    # of a part, nothing is due here: the entity that collects it says whether it is paid
    due = left if invoice.master else remaining.due(books, invoice, day)
    below = max(-left, 0)
    if below and not invoice.master:
        _require_unapplied(books, invoice, below, on, field)
    elif due != left:
        raise Refused(
            field,
            invoice.ref,
            f"expected no money applied to it; {to_text(due, currency)} of {to_text(left, currency)} "
            f"{currency} is due on {day}: credit it instead",
        )
    return due


def void_again(wallets: Wallets, document_id: int, ref: str, void: int, on: date, decided: Decided) -> None:
    """Take back what came back of a voided invoice, and of its parts, since: the void takes that, too."""
    invoice = remaining.find(wallets, document_id, ref, corrected=False)
    for part in (*remaining.parts(wallets, document_id, invoice, corrected=False), invoice):
        _void_rest(wallets, part, void, on, decided)


def _void_rest(wallets: Wallets, invoice: BilledInvoice, void: int, on: date, decided: Decided) -> None:
    """Take back what is left of an invoice's lines: none of its money lies there."""
    on = counted(invoice, on)
    day = wallets.books.days.open_day(invoice.source, on)
    lines = [line for line in charged(invoice.lines) if line.gross]
    due = 0 if invoice.master else remaining.due(wallets.books, invoice, day)
    credit = Credit(wallets, invoice, day, min(due, sum(line.gross for line in lines)), on)
    _void_lines(credit, lines, decided, void)
    finish(wallets, credit, on, [(line, line.net) for line in lines])


def _void_lines(credit: Credit, lines: Sequence[LineLeft], decided: Decided, void: int = 0) -> None:
    """Take back all that lines bill, with their taxes; or all that came back of them since a `void`."""
    books, invoice = credit.books, credit.invoice
    for line in lines:
        if lowering.is_of_terms(line):
            credit.take_back(line, line.net, decided, "void")
        else:
            credit.lower(line, line.net, "void")
        parts = lowering.tax_parts(line, 1, 1)
        credit.untax(parts)
        lowering.record(books, invoice.source, invoice, line, "void", line.net)
        lowering.record_taxes(books, invoice.source, invoice, line, parts, goes_with=void)


def _require_standing(books: Books, invoice: BilledInvoice, field: str) -> None:
    """Raise Refused where an invoice was taken back whole before."""
    voided = remaining.voided(books, invoice.source, invoice.ref)
    if voided is not None:
        raise Refused(field, invoice.ref, f"is voided already: {voided.by} took it back on {voided.on}")


def _prorated_by_others(books: Books, invoice: BilledInvoice) -> str:
    """The ids of other invoices whose lines below zero are of this one's; empty where there are none."""
    found: str | None = books.connection.scalar(
        text(
            "select string_agg(ref, ', ' order by ref) from (select n.ref from line_change x join invoice n"
            " on n.customer_id = x.customer_id and n.invoice_id = coalesce(nullif(x.undoes, 0), x.document_id) "
            "where x.customer_id = :customer_id and x.invoice_id = :invoice_id and x.kind = 'proration' and n.invoice_id <> :invoice_id "
            "group by n.ref having sum(x.amount_minor) <> 0) y"
        ),
        {"customer_id": invoice.source.customer.customer_id, "invoice_id": invoice.invoice_id},
    )
    return found or ""


def _require_unapplied(books: Books, invoice: BilledInvoice, below: int, on: date, field: str) -> None:
    """Raise Refused where what an invoice below zero made the customer's money was used since: what took it is named."""
    source = invoice.source
    key = AccountKey(source.entity, "customer_balance", source.currency, CUSTOMER)
    own = sum(piece.amount for piece in left_on_balance.left_there(books, source, invoice.invoice_id, on))
    left = max(min(own, available(books.history(source.customer.customer_id, key), books.days.open_day(source, on))), 0)
    if left >= below:
        return
    currency = source.currency
    told = ", ".join(
        f"{took.document} took {to_text(took.amount, currency)} on {took.on}"
        for took in left_on_balance.taken_of(books, source, invoice.invoice_id)
    )
    raise Refused(
        field, invoice.ref,
        f"expected the {to_text(below, currency)} {currency} that it made {source.customer.ref}'s money to be unapplied on {on};"
        f" {to_text(left, currency)} is{f': {told}' if told else ''}",
    )  # fmt: skip


def _void_free(wallets: Wallets, invoice: BilledInvoice, on: date) -> None:
    """Note that lines which billed nothing are taken back; what usage they gave for nothing is to be billed."""
    books, source = wallets.books, invoice.source
    for line in invoice.lines:
        if line.first:
            continue
        day = {"starts_on": on, "ends_on": on}
        add_change(books, source, invoice.invoice_id, line.line, "void", 0, line.product, line.subject, day)
        if line.kind == "usage" and line.product is not None:
            usage_taken.settle_taken(wallets, source, line.product, lowers=False)


def _before_own_proration(invoice: BilledInvoice, again: Sequence[Prorated]) -> BilledInvoice:
    """An invoice with its lines as they were before lines of the same one credited them: both are taken back."""
    back = Counter({part.line: part.amount for part in again if part.invoice_id == invoice.invoice_id})
    lines = [replace(line, net=line.net + back[line.line]) if back[line.line] else line for line in invoice.lines]
    return replace(invoice, lines=lines)


def _own(line: LineLeft, again: Sequence[Prorated]) -> bool:
    """Whether a line bills what it is about, and does not correct what another bills."""
    return line.net >= 0 or all(part.subject != line.subject for part in again)


def _bill_again(books: Books, invoice: BilledInvoice, line: LineLeft, on: date, day: date) -> None:
    """Take back what a negative line of an invoice credited, with its taxes."""
    source = invoice.source
    to = invoice_subject(invoice.ref)
    if line.kind == BETWEEN:
        books.post(source, on, [Movement("invoice.between", -line.net, to, line.subject)])
        lowering.record(books, source, invoice, line, "void", line.net)
        return
    (_, unbilled), _ = lowering.sides(source, line)
    earned = balance(books.history(source.customer.customer_id, unbilled), day)
    movements = forms.bill_obligation(-line.net, earned, to, line.subject)
    parts = lowering.tax_parts(line, 1, 1)
    for part in parts:
        subject = tax_subject(part.tax.code)
        movements.append(Movement("invoice.tax", -part.amount, to, subject))
        movements.append(Movement("invoice.tax_base", -part.base, subject, subject))
    books.post(source, on, movements)
    lowering.net_sides(books, source, [line], day)
    lowering.record(books, source, invoice, line, "void", line.net)
    lowering.record_taxes(books, source, invoice, line, parts)


def counted(invoice: BilledInvoice, on: date) -> date:
    """The day a correction counts for: not before the receivable does. Raises Refused for one dated before its invoice."""
    if on < invoice.issued_on:
        raise Refused("date", on, f"expected {invoice.issued_on}, when invoice {invoice.ref} was issued, or later")
    return max(on, invoice.recorded_on)
