"""Refunds that a credit note explains: what was given back of lines turns out to be what the note left on the customer's balance.

A credit note that comes into the books after a refund of a later day gives the same books as one that came before: as much of the
refund as the note leaves to the customer is taken from the balance, on the refund's day, and what had been given back of lines is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from sqlalchemy import text

from ledger.amounts.money import allocate, share
from ledger.cash import changing_places, uses
from ledger.invoices import lowering
from ledger.invoices.forms import BETWEEN
from ledger.invoices.lines_left import LineLeft, LineTax
from ledger.invoices.lowering import TaxPart
from ledger.invoices.remaining import BilledInvoice
from ledger.invoices.taxes import tax_subject
from ledger.journal.books import Books
from ledger.journal.movements import AccountKey, Movement
from ledger.obligations import Correction, earned_ahead
from ledger.usage import usage_taken

_CUSTOMER = "customer"


@dataclass(slots=True)
class Refunded:
    """What a refund gave back of an invoice's lines, net of tax, with the taxes of each."""

    document_id: int
    ref: str
    on: date
    net: Counter[str] = field(default_factory=Counter)
    taxes: dict[str, list[LineTax]] = field(default_factory=dict)

    def gross(self, line: str) -> int:
        """What it gave back of a line, with taxes."""
        return self.net[line] + sum(tax.tax for tax in self.taxes.get(line, ()))


def later_refunds(books: Books, invoice: BilledInvoice, on: date) -> list[Refunded]:
    """Refunds of an invoice's lines of a day or later, as far as they are not explained yet; the first in order of their days.

    None of an invoice over several entities: what each of them gave back stays a concession of its own.
    """
    if invoice.master is not None or any(line.kind == BETWEEN for line in invoice.lines):
        return []
    place = {"customer_id": invoice.source.customer.customer_id, "invoice_id": invoice.invoice_id, "on": on}
    found: dict[int, Refunded] = {}
    rows = books.connection.execute(
        text(
            "select coalesce(nullif(x.undoes, 0), x.document_id) as document_id, x.line, sum(x.amount_minor)::bigint as net "
            "from line_change x where x.customer_id = :customer_id and x.invoice_id = :invoice_id and x.kind = 'refund' group by 1, 2"
        ),
        place,
    )
    by_document: dict[int, Counter[str]] = {}
    for row in rows:
        by_document.setdefault(row.document_id, Counter())[row.line] += row.net
    dated = books.connection.execute(
        text(
            "select document_id, ref, dated_on from document where customer_id in (:customer_id, 0) and document_id = any(:documents)"
            " and dated_on >= :on order by dated_on, document_id"
        ),
        place | {"documents": list(by_document)},
    )
    for row in dated:
        found[row.document_id] = Refunded(row.document_id, row.ref, row.dated_on, by_document[row.document_id])
    taxes = books.connection.execute(
        text(
            "select coalesce(nullif(t.undoes, 0), t.document_id) as document_id, t.line, t.tax_code, t.position, t.treatment, t.included,"
            " -sum(t.base_minor)::bigint as base, -sum(t.tax_minor)::bigint as tax from line_tax t "
            "where t.customer_id = :customer_id and t.invoice_id = :invoice_id"
            " and coalesce(nullif(t.undoes, 0), t.document_id) = any(:refunds) group by 1, 2, 3, 4, 5, 6 order by 1, 2, 4"
        ),
        place | {"refunds": list(found)},
    )
    for row in taxes:
        tax = LineTax(row.tax_code, row.position, row.treatment, row.included, row.base, row.tax, 0, 0)
        found[row.document_id].taxes.setdefault(row.line, []).append(tax)
    return [item for item in found.values() if any(amount > 0 for amount in item.net.values())]


def restored(invoice: BilledInvoice, refunds: Sequence[Refunded]) -> BilledInvoice:
    """An invoice as it would be if refunds had given nothing back of it."""
    lines = []
    for line in invoice.lines:
        net = line.net + sum(refund.net[line.line] for refund in refunds)
        taxes = {tax.position: replace(tax) for tax in line.taxes}
        for refund in refunds:
            for tax in refund.taxes.get(line.line, ()):
                known = taxes.setdefault(tax.position, replace(tax, base=0, tax=0))
                known.base += tax.base
                known.tax += tax.tax
        lines.append(replace(line, net=net, taxes=[taxes[position] for position in sorted(taxes)]))
    return replace(invoice, lines=lines)


@dataclass(frozen=True, slots=True)
class Explained:
    """What of a refund's amount of a line a credit note explains, net of tax, with its taxes."""

    refund: Refunded
    line: LineLeft
    net: int
    taxes: list[TaxPart]

    @property
    def gross(self) -> int:
        """With its taxes."""
        return self.net + sum(part.amount for part in self.taxes)


def explained(
    invoice: BilledInvoice, credited: dict[str, int], refunds: Sequence[Refunded], to_balance: int
) -> list[Explained]:
    """What of refunds is taken from the balance instead, of what a credit note leaves there.

    `credited` is what it credits of lines, gross; `invoice` is as it was before the refunds.
    """
    # what was refunded of prepaid credits took these away: it stays so
    left = {
        line.line: line.gross - credited.get(line.line, 0)
        for line in invoice.lines
        if line.net >= 0 and line.kind != "prepaid"
    }
    by_ref = {line.line: line for line in invoice.lines}
    found = []
    for refund in refunds:
        given = {line: refund.gross(line) for line in left}
        taken = min(to_balance, sum(given.values()))
        to_balance -= taken
        of_lines = _taken_of(taken, given, left)
        for line, before in given.items():
            back = of_lines[line]
            left[line] -= before - back
            if back > 0:
                taxes = [
                    TaxPart(tax, share(tax.base, back, before), share(tax.tax, back, before))
                    for tax in refund.taxes.get(line, ())
                ]
                found.append(Explained(refund, by_ref[line], back - sum(part.amount for part in taxes), taxes))
    return found


def _taken_of(taken: int, given: dict[str, int], left: dict[str, int]) -> dict[str, int]:
    """Which lines what is taken of a refund is of: what is more than is left of one first, then so that the rest is spread by that."""
    spread = lowering.shares(sum(given.values()) - taken, list(left.values()))
    rest = dict(zip(left, spread, strict=True))
    wanted = {line: max(before - rest[line], 0) for line, before in given.items()}
    if sum(wanted.values()) == taken:
        return wanted
    # a line would bear more of the refund than it did: what it bore stays, and no more is taken of the others than there is
    found = {}
    still = taken
    for line, before in given.items():
        found[line] = min(max(before - left[line], 0), wanted[line], still)
        still -= found[line]
    more = allocate(still, [wanted[line] - found[line] for line in given]) if still else [0] * len(given)
    return {line: found[line] + part for line, part in zip(given, more, strict=True)}


def corrections(of: Sequence[Explained], invoice: BilledInvoice, document_id: int, by: str) -> list[Correction]:
    """What is undone of refunds of obligations: from their days on, as if it never had been."""
    return [
        Correction(document_id, by, "refund", invoice.invoice_id, item.line.line, subject, part, item.refund.on,
                   undoes=item.refund.document_id)
        for item in of if lowering.is_of_terms(item.line) for subject, part in lowering.by_obligation(item.line, item.net)
    ]  # fmt: skip


def put_back(books: Books, invoice: BilledInvoice, of: Sequence[Explained]) -> None:
    """Gather that the money of what is explained of refunds lies on the invoice again, of which it was given back."""
    for refund, gross in _by_refund(of):
        for piece in uses.given_back_of(books, invoice.source, refund.document_id, invoice.invoice_id, gross):
            uses.add(books, invoice.source, piece, refund.on)


def _by_refund(of: Sequence[Explained]) -> list[tuple[Refunded, int]]:
    found: dict[int, tuple[Refunded, int]] = {}
    for item in of:
        _, before = found.get(item.refund.document_id, (item.refund, 0))
        found[item.refund.document_id] = item.refund, before + item.gross
    return list(found.values())


def _take_off_balance(books: Books, invoice: BilledInvoice, of: Sequence[Explained]) -> None:
    source = invoice.source
    for refund, gross in _by_refund(of):
        for piece in uses.given_back_of(books, source, refund.document_id, invoice.invoice_id, gross):
            own = uses.of_money(books, source, piece.money_id, refund.on)
            left = piece.paid
            for item in changing_places.off_balance(books, source, own, refund.on, invoice.invoice_id):
                part = item.part_paid(min(left, item.piece.paid))
                changing_places.give_back_freed(books, source, [part], refund.on)
                left -= part.piece.paid


def post(books: Books, invoice: BilledInvoice, of: Sequence[Explained]) -> None:
    """Take what is explained of refunds from the customer's balance, on their days, instead of what it was given back of."""
    _take_off_balance(books, invoice, of)
    source = invoice.source
    for item in of:
        line, movements = item.line, []
        if lowering.is_of_terms(line):
            # what of it had been shown beside revenue goes back there by what is decided now
            day = books.days.open_day(source, item.refund.on)
            for subject, amount in lowering.by_obligation(line, item.net):
                unbilled = min(amount, earned_ahead(books, source, subject, day))
                movements += [
                    Movement("refund.explained_unbilled", unbilled, _CUSTOMER, subject),
                    Movement("refund.explained_deferred", amount - unbilled, _CUSTOMER, subject),
                ]
        else:
            # of usage, what was billed ahead of use had left the liability
            shown = books.history(
                source.customer.customer_id, AccountKey(source.entity, "refunds", source.currency, line.subject)
            )
            earned = min(item.net, max(sum(shown.values()), 0))
            movements += [
                Movement("refund.explained_earned", earned, _CUSTOMER, line.subject, rate=invoice.rate),
                Movement("refund.explained_deferred", item.net - earned, _CUSTOMER, line.subject),
            ]
        for part in item.taxes:
            subject = tax_subject(part.tax.code)
            movements += [
                Movement("refund.explained_tax", part.amount, _CUSTOMER, subject),
                Movement("refund.explained_base", part.base, subject, subject),
            ]
        books.post(source, item.refund.on, movements)
        undoes = item.refund.document_id
        lowering.record(books, source, invoice, line, "refund", -item.net, undoes=undoes)
        lowering.record_taxes(books, source, invoice, line, item.taxes, undoes=undoes)
        # of the refund's day, too: what had been settled there is told anew
        day = books.days.open_day(source, item.refund.on) - timedelta(days=1)
        if line.kind == "usage" and line.product is not None:
            usage_taken.settle(books, source, line.product)
        if lowering.is_of_terms(line) or line.kind == "usage":
            lowering.net_sides(books, source, [line], day)
