"""Returns of grants: unused credits are taken back, and what was paid for them is credited."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import text

from ledger.amounts.money import share, to_minor, to_text
from ledger.corrections.credits import Credit, finish
from ledger.documents import models
from ledger.errors import OverApplication, Refused
from ledger.invoices import lowering, remaining
from ledger.journal.books import Books
from ledger.journal.movements import Movement
from ledger.wallets import credits_back
from ledger.wallets.draw_plans import share_of_order
from ledger.wallets.expiry import expired_by
from ledger.wallets.grants import Grant
from ledger.wallets.session import Wallets, record_move


def post_grant_return(wallets: Wallets, doc: models.GrantReturn, document_id: int) -> int:
    """Take unused credits back, and credit what was paid for them on the invoices that billed them, taxes included.

    Raises OverApplication beyond what is left of the credits, Refused for credits nobody paid for.
    """
    books = wallets.books
    customer = books.parties.customer(doc.customer)
    books.flush()
    wallets.flush()
    grant = wallets.grant(customer.customer_id, doc.grant)
    source = books.source(document_id, doc.customer, grant.entity, grant.currency, doc.date, brings_in=False)
    if grant.paid is not grant:
        raise Refused("grant", doc.grant, f"expected credits that were paid for, found a {grant.kind} grant")
    if doc.date < grant.effective_on:
        raise Refused("date", doc.date, f"expected {grant.effective_on}, when the credits begin, or later")
    expired_by(wallets, source, grant, doc.date)
    face = grant.left if doc.amount is None else to_minor(doc.amount, grant.currency)
    if face == 0 or face > grant.left:
        left = to_text(grant.left, grant.currency)
        over = f": it expired on {grant.expires_on}" if grant.expired_face else ""
        raise OverApplication(
            "amount", doc.amount or "all", f"expected at most {left}, what is left of {doc.grant}{over}"
        )
    money = share(grant.unused_worth, face, grant.left) if grant.proportional else share_of_order(grant, face)
    billing = _invoices_of(books, customer.customer_id, grant)
    remaining.stand_together(books, customer.customer_id, billing)
    day = books.days.open_day(source, doc.date)
    taken = credits_back.split(books, source, grant, money, day)
    credited = taken.unused + taken.broken
    grant.moved_face += face
    grant.moved += money
    grant.broken -= taken.broken
    wallets.touch(grant)
    record_move(wallets, source, grant, "returned", doc.date, face, money)
    movements = [Movement("break.returned", taken.broken, grant.subject, grant.subject)]
    if grant.kept_in_memorandum:
        movements.append(Movement("grant.moved_credits", face, grant.subject, grant.subject))
    books.post(source, doc.date, movements)
    _credit_return(wallets, grant, billing, credited, document_id, doc.date)
    return customer.customer_id


def _credit_return(
    wallets: Wallets, grant: Grant, billing: Sequence[str], credited: int, document_id: int, on: date
) -> None:
    """Credit what was paid for returned credits on the invoices that billed them, the last first."""
    books = wallets.books
    day = books.days.counting_day(grant.entity, grant.customer_id, on)
    for ref in billing:
        if credited == 0:
            break
        invoice = remaining.find_any(wallets, document_id, ref)
        line = next(line for line in invoice.lines if line.subject == grant.subject)
        net = min(credited, line.net)
        if net == 0:
            continue
        credit = Credit(wallets, invoice, day, remaining.due(books, invoice, day))
        credit.lower(line, net, "return")
        parts = lowering.tax_parts(line, net, line.net)
        credit.untax(parts)
        lowering.record(books, invoice.source, invoice, line, "return", net)
        lowering.record_taxes(books, invoice.source, invoice, line, parts)
        finish(wallets, credit, on, [(line, net)])
        if invoice.master is not None:
            gross = net + sum(part.amount for part in parts)
            _return_between(wallets, document_id, invoice.master, line.line, gross, on)
        credited -= net


def _return_between(wallets: Wallets, document_id: int, master: str, line_ref: str, gross: int, on: date) -> None:
    """What another entity credits of its part leaves what the one that collects owes it, and bills for it."""
    invoice = remaining.find(wallets, document_id, master)
    books, source = wallets.books, invoice.source
    day = books.days.open_day(source, on)
    line = next(line for line in invoice.lines if line.line == line_ref)
    credit = Credit(wallets, invoice, day, remaining.due(books, invoice, day))
    credit.lower(line, gross, "return")
    lowering.record(books, source, invoice, line, "return", gross)
    finish(wallets, credit, on, [(line, gross)])


def _invoices_of(books: Books, customer_id: int, grant: Grant) -> list[str]:
    """The invoices that billed a grant, the last first."""
    rows = books.connection.scalars(
        text(
            "select i.ref from invoice_line l join invoice i using (customer_id, invoice_id) "
            "where l.customer_id = :customer_id and l.subject = :subject group by i.issued_on, i.ref "
            "order by i.issued_on desc, i.ref desc"
        ),
        {"customer_id": customer_id, "subject": grant.subject},
    )
    return list(rows)
