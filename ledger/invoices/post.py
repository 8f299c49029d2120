"""Invoices posted: numbered, recorded when they are unconditional, each line billed to what it is for."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import text

from ledger.amounts.money import share, within_limit
from ledger.approval.approve import Below, approve_invoice
from ledger.documents import models
from ledger.errors import Refused
from ledger.invoices import coupons
from ledger.invoices.forms import CUSTOMER, BilledLine, Billing, InvoiceTerms, Receivable, look_up
from ledger.invoices.lines import add_line, bill_line, net_lines
from ledger.invoices.lines_below_zero import correct_lines, leave_below, prorated
from ledger.invoices.taxes import Rounding, spread
from ledger.journal import currencies
from ledger.journal.books import Books
from ledger.journal.movements import AccountKey, Movement
from ledger.obligations import Obligations
from ledger.wallets import credits_back
from ledger.wallets.grants import Funding
from ledger.wallets.session import Wallets


def post_invoice(
    wallets: Wallets,
    doc: models.Invoice,
    document_id: int,
    obligations: Obligations,
    terms: InvoiceTerms | None = None,
    master: str | None = None,
) -> int:
    """Take a finalised invoice in: every line is billed to what it is for.

    One with a `master` is an entity's part of that invoice. Lines below zero correct what others bill, this invoice's own among them.
    """
    books = wallets.books
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.issued_on, doc.fx_rate)
    terms = terms or look_up(books, doc)
    doc = spread(doc)
    # a late invoice counts from the first open day on
    day = books.days.open_day(source, terms.recorded_on)
    billing = Billing(wallets, books.locked(source, terms.recorded_on), doc, day, terms, master, obligations)
    discounts = coupons.uses(doc, terms.coupons)
    lines, movements = _bill_lines(billing)
    total = sum(line.net + sum(tax.tax for tax in line.taxes) for line in lines)
    within_limit(total, doc.currency, "lines")
    if master is None:
        _approve_below(billing, lines, total)
    # Everything is decided; from here on nothing is refused.
    _record(billing, lines, total)
    coupons.record(books, billing.source, discounts, day)
    books.post(billing.source, terms.recorded_on, movements)
    for line in doc.lines:
        net_lines(billing, line)
    correct_lines(billing, obligations)
    below = Movement("invoice.to_balance", max(-total, 0), billing.subject, CUSTOMER)
    books.post(billing.source, terms.recorded_on, [below])
    if below.amount and billing.master is None:
        leave_below(billing, below.amount)
    of = [line.subject for line in lines if line.line.obligation is not None and line.net > 0]
    of += [subject for parts in billing.parts.values() for subject, _ in parts]
    obligations.billed(wallets, source.customer.customer_id, document_id, of)
    # it is found by its document, which is written after what it posts
    known = Receivable(
        source.customer.ref, doc.id, doc.entity, doc.currency, terms.recorded_on, document_id, billing.source.rate
    )
    books.remember("invoice", doc.id, known)
    return source.customer.customer_id


def _bill_lines(billing: Billing) -> tuple[list[BilledLine], list[Movement]]:
    """An invoice's lines as they are posted, and what they move. Raises Refused, naming the line."""
    movements: list[Movement] = []
    lines: list[BilledLine] = []
    rounding = Rounding(billing.wallets.books.parties.entity(billing.doc.entity).tax_rounding == "invoice")
    for index, line in enumerate(billing.doc.lines):
        try:
            billed, moved = bill_line(billing, line, rounding)
        except Refused as refusal:
            raise refusal.within(f"lines.{index}") from None
        lines.append(billed)
        movements += moved
    return lines, movements


def _approve_below(billing: Billing, lines: list[BilledLine], total: int) -> None:
    """Require what lines below zero need of approval: what they take of other invoices' lines, of this one, and leave to the customer."""
    gross = {billed.line.id: billed.net + sum(tax.tax for tax in billed.taxes) for billed in lines if billed.net < 0}
    if not gross and billing.doc.approved_by is None:
        return
    books, source = billing.wallets.books, billing.source

    def below() -> Below:
        of_others: Counter[int] = Counter()
        before: Counter[tuple[int, str]] = Counter()
        for line, subject, amount in billing.below:
            for part in prorated(books, source.customer.customer_id, subject, amount, source.document_id, before):
                before[part.invoice_id, part.line] += part.amount
                of_others[part.invoice_id] += share(-gross[line.id], part.amount, amount)
        taken = of_others.total()
        return Below(of_others, -sum(gross.values()) - taken, max(-total - taken, 0))

    approve_invoice(books, source, billing.doc, below)


def _record(billing: Billing, lines: list[BilledLine], total: int) -> None:
    """Gather an invoice's facts, and note on grants what it bills of them."""
    wallets, source, doc = billing.wallets, billing.source, billing.doc
    books, customer_id = wallets.books, source.customer.customer_id
    for billed in lines:
        if billed.line.grant is not None:
            grant = wallets.grant(customer_id, billed.line.grant)
            if billed.line.kind == "shortfall":
                grant.expired_face += min(billed.net, max(grant.left, 0))
                wallets.touch(grant)
            else:
                credits_back.bill_again(wallets, source, grant, billed.net, billing.day, billed.line.id)
                grant.fundings.append(Funding(billing.day, billed.net, billing.terms.recorded_on))
        add_line(books, source, doc, billed)
        for subject, amount in billing.parts.get(billed.line.id, ()):
            books.add_row(
                "invoice_line_part", customer_id=customer_id, invoice_id=source.document_id, line=billed.line.id, subject=subject,
                amount_minor=amount,
            )  # fmt: skip
    receivable = AccountKey(doc.entity, "accounts_receivable", doc.currency, billing.subject)
    books.add_row(
        "invoice",
        customer_id=customer_id,
        invoice_id=source.document_id,
        ref=doc.id,
        entity=doc.entity,
        currency=doc.currency,
        issued_on=doc.issued_on,
        due_on=billing.terms.due_on,
        total_minor=total,
        receivable_account=books.account(customer_id, receivable),
        supersedes=doc.supersedes,
        rate=None if source.rate is None else currencies.as_decimal(source.rate),
        number=None if billing.master else _next_number(books, doc.entity),
        master=billing.master,
        recorded_on=None if billing.terms.recorded_on == doc.issued_on else billing.terms.recorded_on,
    )


def _next_number(books: Books, entity: str) -> int | None:
    """The next invoice number of an entity that numbers its invoices, taken in this transaction."""
    if books.parties.entity(entity).invoice_prefix is None:
        return None
    number: int = books.connection.scalar(
        text(
            "insert into invoice_counter (entity, last_number) values (:entity, 1) on conflict (entity) do update "
            "set last_number = invoice_counter.last_number + 1 returning last_number"
        ),
        {"entity": entity},
    )
    return number
