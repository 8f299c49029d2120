"""Credit notes: a line bills less, and so falls the price of what it was billed for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from ledger.amounts.money import to_decimal, to_minor, to_text
from ledger.approval.approve import approve
from ledger.corrections import credit_lines, refunds_explained
from ledger.corrections.credits import Credit, finish
from ledger.corrections.refunds_explained import Explained
from ledger.corrections.voids import counted
from ledger.documents import models
from ledger.errors import OverApplication, Refused, UnknownReference
from ledger.invoices import lowering, remaining
from ledger.invoices.forms import BETWEEN
from ledger.invoices.lines_left import LineLeft
from ledger.invoices.lowering import TaxPart
from ledger.invoices.remaining import BilledInvoice
from ledger.journal.books import Books
from ledger.obligations import Correction, Decided, Obligations
from ledger.wallets.session import Wallets, all_or_nothing

# What a note takes back of a line: as it asks, the line, the amount without taxes, and those.
_Part = tuple[models.CreditNoteLine, LineLeft, int, list[TaxPart]]


def post_credit_note(wallets: Wallets, doc: models.CreditNote, document_id: int, obligations: Obligations) -> int:
    """Take a part of an invoice back, line by line, with its taxes in proportion.

    A line with a period of its own ends what was promised over that period. Raises OverApplication beyond what is left of a line.
    """
    if doc.invoice is None:
        return credit_lines.post_note(wallets.books, doc, document_id)
    invoice = remaining.find(wallets, document_id, doc.invoice)
    kinds = {line.line: line for line in invoice.lines}
    asked = [(index, item) for index, item in enumerate(doc.lines) if item.line is not None]
    for index, item in asked:
        assert item.line is not None, "only lines of the invoice are asked"
        if item.line not in kinds:
            raise UnknownReference(f"lines.{index}.line", item.line, f"expected a line of invoice {doc.invoice}")
    of_none = [(index, item) for index, item in enumerate(doc.lines) if item.line is None]
    if not any(kinds[item.line or ""].kind == BETWEEN for _, item in asked):
        _credit(wallets, invoice, doc, asked, obligations, of_none)
        return invoice.source.customer.customer_id
    with all_or_nothing(wallets):
        gross: dict[str, int] = {}
        for part in remaining.parts(wallets, document_id, invoice):
            own = {line.line for line in part.lines}
            of_part = [(index, item) for index, item in asked if item.line in own]
            if of_part:
                gross |= _credit(wallets, part, doc, of_part, obligations)
        wallets.books.flush()
        # where it is collected, another entity's line falls by all of that, its taxes included
        of_whole = [(index, _between(item, gross, invoice)) for index, item in asked]
        _credit(wallets, invoice, doc, of_whole, obligations, of_none)
    return invoice.source.customer.customer_id


def _between(asked: models.CreditNoteLine, gross: Mapping[str, int], invoice: BilledInvoice) -> models.CreditNoteLine:
    if asked.line is None or asked.line not in gross:
        return asked
    amount = to_decimal(gross[asked.line], invoice.source.currency)
    return models.CreditNoteLine.model_construct(line=asked.line, amount=amount)


def _credit(
    wallets: Wallets,
    invoice: BilledInvoice,
    doc: models.CreditNote,
    asked_lines: Sequence[tuple[int, models.CreditNoteLine]],
    obligations: Obligations,
    own_lines: Sequence[tuple[int, models.CreditNoteLine]] = (),
) -> dict[str, int]:
    """Post what a credit note takes back of an invoice, or of a part of one, and what lines of its own credit; with taxes, by line."""
    books, source = wallets.books, invoice.source
    on = counted(invoice, doc.date)
    day = books.days.open_day(source, on)
    own = credit_lines.read(books, source, own_lines)
    refunds = refunds_explained.later_refunds(books, invoice, on)
    whole = refunds_explained.restored(invoice, refunds)
    parts = _read_lines(books, invoice, {line.line: line for line in whole.lines}, asked_lines)
    due = remaining.due(books, invoice, day)
    credited = {line.line: net + sum(part.amount for part in taxes) for _, line, net, taxes in parts}
    if invoice.master is None:
        approve(books, source, doc, sum(credited.values()) + sum(line.gross for line in own), invoice.invoice_id)
    explained = refunds_explained.explained(whole, credited, refunds, max(sum(credited.values()) - due, 0))
    decided = obligations.decide(wallets, source.customer.customer_id, source.document_id, [
        *refunds_explained.corrections(explained, invoice, source.document_id, doc.id),
        *(
            Correction(source.document_id, doc.id, "credit", invoice.invoice_id, line.line, subject, part, on, asked.start, asked.end,
                       doc.rebill)
            for asked, line, net, _ in parts if lowering.is_of_terms(line) for subject, part in lowering.by_obligation(line, net)
        ),
    ])  # fmt: skip
    _require_left(books, invoice, credited, explained)
    _require_promised(decided, parts, [index for index, _ in asked_lines])
    refunds_explained.put_back(books, invoice, explained)
    credit = Credit(wallets, invoice, day, due, on)
    credit.rebill = doc.rebill
    _take_lines(credit, parts, decided)
    credit.own_from = len(credit.movements)
    for rule, amount, subject, product in credit_lines.taken(doc.id, own):
        credit.add(rule, amount, subject, product)
    credit.movements += credit_lines.bases(own)
    credit_lines.record(books, source, invoice.ref, own)
    finish(wallets, credit, on, [(line, net) for _, line, net, _ in parts])
    refunds_explained.post(books, invoice, explained)
    decided.keep()
    return credited


def _read_lines(
    books: Books,
    invoice: BilledInvoice,
    by_id: Mapping[str, LineLeft],
    asked_lines: Sequence[tuple[int, models.CreditNoteLine]],
) -> list[_Part]:
    """What a note takes back of lines, as they are stated. Raises Refused, or OverApplication beyond what is left of one."""
    source = invoice.source
    parts: list[_Part] = []
    for index, asked in asked_lines:
        field = f"lines.{index}"
        line = by_id[asked.line or ""]
        if line.first < 0:
            raise Refused(f"{field}.line", asked.line, "expected a line that charges something; this one credits")
        if asked.start is not None and line.kind != "service":
            raise Refused(f"{field}.start", asked.start, f"expected none on a line of kind {line.kind}")
        amount = to_minor(asked.amount, source.currency, f"{field}.amount")
        stated = line.net + sum(tax.tax for tax in line.taxes if tax.included)
        if amount > stated:
            raise OverApplication(
                f"{field}.amount",
                f"{asked.amount} {source.currency}",
                f"expected at most {to_text(stated, source.currency)}, what is left of the line"
                + remaining.taken_by(books, invoice, line.line),
            )
        taxes = lowering.tax_parts(line, amount, stated)
        if asked.taxes is not None:
            taxes = _given_parts(line, asked.taxes, source.currency, field, whole=amount == stated)
        net = amount - sum(part.amount for part in taxes if part.tax.included)
        parts.append((asked, line, net, taxes))
    return parts


def _take_lines(credit: Credit, parts: Sequence[_Part], decided: Decided) -> None:
    """Take back what a note credits of lines, with their taxes."""
    books, invoice = credit.books, credit.invoice
    source = invoice.source
    for asked, line, net, taxes in parts:
        if lowering.is_of_terms(line):
            credit.take_back(line, net, decided, "credit")
        else:
            credit.lower(line, net, "credit")
        credit.untax(taxes)
        more = {"starts_on": asked.start, "ends_on": asked.end, "rebill": credit.rebill}
        lowering.record(books, source, invoice, line, "credit", net, credit.covered[line.line], **more)
        lowering.record_taxes(books, source, invoice, line, taxes)


def _given_parts(
    line: LineLeft, given: Sequence[models.TaxGiven], currency: str, field: str, *, whole: bool
) -> list[TaxPart]:
    """What a note says that it takes of a line's taxes. Raises where a tax is not the line's, or is beyond what is left of it.

    With all that is left of the line goes all that is left of its taxes.
    """
    by_code = {tax.code: (place, tax) for place, tax in enumerate(given)}
    parts = []
    for tax in line.taxes:
        place, by = by_code.pop(
            tax.code,
            (len(given), models.TaxGiven.model_construct(code=tax.code, base=Decimal(0), amount=Decimal(0))),
        )
        found = []
        for name, stated, left in (("base", by.base, tax.base), ("amount", by.amount, tax.tax)):
            minor = to_minor(stated, currency, f"{field}.taxes.{place}.{name}")
            if minor > left or (whole and minor != left):
                most = "" if whole else "at most "
                raise OverApplication(
                    f"{field}.taxes.{place}.{name}", f"{stated} {currency}",
                    f"expected {most}{to_text(left, currency)}, what is left of {tax.code} on line {line.line}",
                )  # fmt: skip
            found.append(minor)
        parts.append(TaxPart(tax, found[0], found[1]))
    for code, (place, _) in by_code.items():
        borne = ", ".join(tax.code for tax in line.taxes) or "none"
        raise Refused(f"{field}.taxes.{place}.code", code, f"expected a tax that line {line.line} bears: {borne}")
    return parts


def _require_promised(decided: Decided, parts: Sequence[_Part], places: Sequence[int]) -> None:
    """Raise Refused where a line's period is wholly outside of what was ever promised: nothing of it can end."""
    for index, (asked, line, _, _) in zip(places, parts, strict=True):
        if asked.start is None or asked.end is None:
            continue
        terms = [decided.term(subject) for subject, _ in lowering.by_obligation(line, line.net)]
        known = [term for term in terms if term is not None]
        if (
            len(known) < len(terms)
            or not known
            or any(asked.start <= last and first <= asked.end for first, last in known)
        ):
            continue
        first, last = min(first for first, _ in known), max(last for _, last in known)
        raise Refused(
            f"lines.{index}.start", asked.start,
            f"expected a period of what line {line.line} is for, {first} to {last}; without one it is a lower price",
        )  # fmt: skip


def _require_left(
    books: Books, invoice: BilledInvoice, credited: Mapping[str, int], explained: Sequence[Explained]
) -> None:
    """Raise OverApplication where a line would be credited beyond what is left of it, and of refunds that the credit explains."""
    for line in invoice.lines:
        back = sum(item.gross for item in explained if item.line.line == line.line)
        amount = credited.get(line.line, 0)
        if amount and amount > line.gross + back:
            currency = invoice.source.currency
            raise OverApplication(
                "lines", f"{to_text(amount, currency)} {currency}",
                f"expected at most {to_text(line.gross + back, currency)}, what is left of line {line.line}"
                + remaining.taken_by(books, invoice, line.line),
            )  # fmt: skip
