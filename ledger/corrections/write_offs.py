"""Write-offs: what of an invoice will not come."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from ledger.amounts.money import to_minor
from ledger.approval.approve import approve
from ledger.corrections.credits import charged, lowered_by
from ledger.corrections.giving_back import given_by_lines, net_invoices, part_by_invoice, split_by_line, usage_given
from ledger.corrections.held_money import (
    Payment,
    Planned,
    billed_for,
    plan_by_invoice,
    require_at_most,
    require_not_before,
)
from ledger.documents import models
from ledger.errors import Refused
from ledger.invoices import lowering, remaining
from ledger.invoices.forms import BETWEEN, entity_subject, invoice_subject
from ledger.invoices.remaining import BilledInvoice
from ledger.invoices.taxes import tax_subject
from ledger.journal.movements import Movement
from ledger.obligations import Decided, Obligations, Taking
from ledger.wallets.session import Wallets


def within_reach(wallets: Wallets, payment: Payment, amount: int, on: date) -> list[Planned]:
    """What of an amount the invoices that a payment settled can bear."""
    reach = 0
    for held, piece in payment.settled:
        if reach >= amount:
            break
        invoice = billed_for(wallets, payment, held, piece, on)
        reach += piece.part(min(piece.amount, invoice.gross)).paid
    return plan_by_invoice(wallets, payment, payment.settled, min(amount, reach), on)


def post_write_off(wallets: Wallets, doc: models.WriteOff, document_id: int, obligations: Obligations) -> int:
    """Give up what is due of an invoice, or a part: of what it covers first what is to come, the rest is bad debt."""
    invoice = remaining.find(wallets, document_id, doc.invoice)
    books, source = wallets.books, invoice.source
    require_not_before(doc.date, invoice.recorded_on, f"when invoice {doc.invoice} counts from")
    day = books.days.open_day(source, doc.date)
    due = remaining.due(books, invoice, day)
    amount = due if doc.amount is None else to_minor(doc.amount, source.currency)
    if due == 0:
        raise Refused("invoice", doc.invoice, f"expected something due of it on {day}")
    require_at_most(amount, due, source.currency, f"what is due of invoice {doc.invoice} on {day}")
    approve(books, source, doc, amount, invoice.invoice_id)
    by_line = split_by_line(books, invoice, amount, doc.date)
    others = part_by_invoice(wallets, document_id, invoice, by_line)
    of = [(invoice, by_line), *others]
    decided = given_by_lines(wallets, document_id, doc.id, doc.date, "write_off", of, obligations)
    _write_off(wallets, invoice, by_line, doc.date, decided)
    for part, of_part in others:
        assert part.collector is not None, "a part has an entity that collects it"
        claim = entity_subject(part.collector)
        reopened = Movement("between.reopened", sum(of_part.values()), invoice_subject(part.ref), claim)
        books.post(part.source, doc.date, [reopened])
        _write_off(wallets, part, of_part, doc.date, decided)
    decided.keep()
    return source.customer.customer_id


def _write_off(
    wallets: Wallets, invoice: BilledInvoice, by_line: Mapping[str, int], on: date, decided: Decided
) -> None:
    """Give up gross amounts of an invoice's lines."""
    books, source = wallets.books, invoice.source
    day = books.days.open_day(source, on)
    to = invoice_subject(invoice.ref)
    movements: list[Movement] = []
    taking = Taking(books, source, day)
    for line in charged(invoice.lines):
        gross = by_line[line.line]
        if line.kind == BETWEEN:
            movements.append(Movement("write_off.between", gross, line.subject, to))
            lowering.record(books, source, invoice, line, "write_off", gross)
            continue
        net, taxes = lowered_by(gross, line)
        if lowering.is_of_terms(line):
            for subject, _ in lowering.by_obligation(line, net):
                share_ = decided.share(invoice.invoice_id, line.line, subject)
                held, rest, release = taking.out_of(subject, share_.expected + share_.rest, share_.expected)
                movements += [
                    *release,
                    Movement("write_off.deferred", held, subject, to),
                    Movement("write_off.unbilled", rest, subject, to),
                    Movement("write_off.bad_debt", share_.earned, subject, to),
                ]
        else:
            movements += usage_given(wallets, invoice, line, net, on, "write_off", to, taking.released)
        movements += [
            *(Movement("write_off.tax", part.amount, tax_subject(part.tax.code), to) for part in taxes),
            *lowering.base_movements(taxes),
        ]
        lowering.record(books, source, invoice, line, "write_off", net)
        lowering.record_taxes(books, source, invoice, line, taxes)
    books.post(source, on, movements)
    net_invoices(wallets, [invoice], day)
