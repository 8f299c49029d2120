"""Credits of no line of an invoice: a line of its own of a credit note lowers revenue of a product at once, with its taxes.

Such as goodwill. It settles what is due of the invoice that the note is of; of no invoice, or beyond that, it is the customer's money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import text

from ledger.amounts.money import to_minor
from ledger.approval.approve import approve
from ledger.cash import uses
from ledger.documents import models
from ledger.errors import Refused
from ledger.invoices.forms import CUSTOMER
from ledger.invoices.taxes import Rounding, Tax, default_codes, find_codes, given_taxes, line_taxes, tax_subject
from ledger.journal.books import Books
from ledger.journal.movements import Movement, Source


@dataclass(frozen=True, slots=True)
class CreditLine:
    """A credit as it is posted: by its place in the note, net of its taxes."""

    line: str
    product: str
    net: int
    taxes: tuple[Tax, ...]

    @property
    def gross(self) -> int:
        """With its taxes."""
        return self.net + sum(tax.tax for tax in self.taxes)


def note_subject(ref: str) -> str:
    """The subject of the revenue that a note's own lines lower."""
    return f"credit_note:{ref}"


def read(books: Books, source: Source, asked: Sequence[tuple[int, models.CreditNoteLine]]) -> list[CreditLine]:
    """A note's own lines, each with its place. Raises UnknownReference for a product or a tax code there is none of."""
    rounding = Rounding(books.parties.entity(source.entity).tax_rounding == "invoice")
    found = []
    for index, line in asked:
        try:
            found.append(_read(books, source, line, str(index + 1), rounding))
        except Refused as refusal:
            raise refusal.within(f"lines.{index}") from None
    return found


def _read(books: Books, source: Source, line: models.CreditNoteLine, place: str, rounding: Rounding) -> CreditLine:
    assert line.product is not None, "a line of its own names its product"
    books.parties.require_product(line.product)
    amount = to_minor(line.amount, source.currency)
    status = source.customer.tax_status
    if line.taxes is not None:
        codes = find_codes(books, [tax.code for tax in line.taxes], "taxes")
        net, taxes = given_taxes(amount, codes, line.taxes, status, source.currency, rounding)
    else:
        named = default_codes(books, source.customer) if line.tax_codes is None else line.tax_codes
        net, taxes = line_taxes(amount, find_codes(books, named), status, source.currency, rounding)
    return CreditLine(place, line.product, net, tuple(taxes))


def taken(note: str, lines: Sequence[CreditLine]) -> list[tuple[str, int, str, str]]:
    """(rule, amount, subject, product) of what the lines take out of revenue and taxes."""
    found = []
    for line in lines:
        found.append(("credit.revenue", line.net, note_subject(note), line.product))
        found += [("credit.tax", tax.tax, tax_subject(tax.code), "") for tax in line.taxes]
    return found


def bases(lines: Sequence[CreditLine]) -> list[Movement]:
    """What the lines take off the taxable base."""
    return [
        Movement("credit.tax_base", tax.base, tax_subject(tax.code), tax_subject(tax.code))
        for line in lines
        for tax in line.taxes
    ]


def record(books: Books, source: Source, invoice: str | None, lines: Sequence[CreditLine]) -> None:
    """Gather a note's own lines and what they take back of taxes."""
    customer_id = source.customer.customer_id
    for line in lines:
        books.add_row(
            "credit_line", customer_id=customer_id, document_id=source.document_id, line=line.line, entity=source.entity,
            currency=source.currency, invoice=invoice, product=line.product, amount_minor=line.net,
        )  # fmt: skip
        for position, tax in enumerate(line.taxes, 1):
            books.add_row(
                "line_tax", customer_id=customer_id, document_id=source.document_id, invoice_id=source.document_id, line=line.line,
                position=position, tax_code=tax.code, treatment=tax.treatment, included=tax.included, base_minor=-tax.base,
                tax_minor=-tax.tax, computed_minor=None if tax.computed is None else -tax.computed, undoes=0,
            )  # fmt: skip


def given(books: Books, source: Source, note: int) -> list[CreditLine]:
    """A note's own lines as they were posted."""
    place = {"customer_id": source.customer.customer_id, "note": note}
    taxes: dict[str, list[Tax]] = {}
    for row in books.connection.execute(
        text(
            "select line, tax_code, treatment, included, -base_minor as base, -tax_minor as tax from line_tax"
            " where customer_id = :customer_id and document_id = :note and invoice_id = :note and undoes = 0 order by line, position"
        ),
        place,
    ):
        taxes.setdefault(row.line, []).append(Tax(row.tax_code, row.treatment, row.base, row.tax, row.included))
    rows = books.connection.execute(
        text(
            "select line, product, amount_minor from credit_line where customer_id = :customer_id and document_id = :note"
            " order by length(line), line"
        ),
        place,
    )
    return [CreditLine(row.line, row.product, row.amount_minor, tuple(taxes.get(row.line, ()))) for row in rows]


def again(note: str, lines: Sequence[CreditLine], there: int, due_of: str) -> list[Movement]:
    """What a note's own lines had taken is there again: the last of it off the customer's balance, so much is there, the rest is due."""
    due = sum(line.gross for line in lines) - there
    found = []
    for rule, amount, subject, product in taken(note, lines):
        part = min(amount, due)
        due -= part
        event = rule.replace("credit.", "credit_void.")
        found += [
            Movement(event, part, due_of, subject, product),
            Movement(f"{event}_from_balance", amount - part, CUSTOMER, subject, product),
        ]
    of_bases = [replace(movement, rule="credit_void.tax_base") for movement in bases(lines)]
    return [*found, *of_bases]


def record_again(books: Books, source: Source, note: int, lines: Sequence[CreditLine]) -> None:
    """Gather that taxes of a note's own lines are owed again."""
    for line in lines:
        for position, tax in enumerate(line.taxes, 1):
            books.add_row(
                "line_tax", customer_id=source.customer.customer_id, document_id=source.document_id, invoice_id=note, line=line.line,
                position=position, tax_code=tax.code, treatment=tax.treatment, included=tax.included, base_minor=tax.base,
                tax_minor=tax.tax, undoes=note,
            )  # fmt: skip


def post_note(books: Books, doc: models.CreditNote, document_id: int) -> int:
    """Take a credit note of no invoice in: all of it is the customer's money."""
    assert doc.customer is not None, "checked by the document's form"
    assert doc.entity is not None, "checked by the document's form"
    assert doc.currency is not None, "checked by the document's form"
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.date, doc.fx_rate)
    lines = read(books, source, list(enumerate(doc.lines)))
    total = sum(line.gross for line in lines)
    approve(books, source, doc, total)
    movements = [
        Movement(f"{rule}_to_balance", amount, subject, CUSTOMER, product)
        for rule, amount, subject, product in taken(doc.id, lines)
    ]
    record(books, source, None, lines)
    books.post(source, doc.date, [*movements, *bases(lines)])
    uses.bring(books, source, total, doc.date)
    return source.customer.customer_id
