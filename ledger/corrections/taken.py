"""What a document took of lines and taxes, what of it came back since, and what comes back now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from sqlalchemy import text

from ledger.amounts.money import allocate, share
from ledger.cash import uses
from ledger.cash.uses import Piece
from ledger.invoices import lowering
from ledger.invoices.forms import BETWEEN
from ledger.journal.books import Books
from ledger.journal.movements import Source, Undoing

# By whose rules what gave money back is undone.
EVENTS = {"refund": "refund_reversal", "dispute": "reinstated"}


@dataclass(frozen=True, slots=True)
class Undone:
    """What is undone: a refund or a lost dispute of a payment, of an amount; `points` are what of it was undone before, and is now.

    `openings` are of a dispute what its cash left by. Where the document that undoes it brings money, it is the one that `brings` it:
    its own lies where what went back had lain, with whomever. 0 where it brings none.
    """

    document_id: int
    kind: str
    money_id: int
    amount: int
    points: tuple[int, int]
    openings: Undoing | None = None
    brings: int = 0

    @property
    def lies(self) -> int:
        """Whose money lies where what went back had lain."""
        return self.brings or self.money_id

    @property
    def event(self) -> str:
        """By whose rules it is undone."""
        return EVENTS[self.kind]

    @property
    def undoing(self) -> Undoing:
        """That what it moved is undone."""
        return Undoing((self.document_id,), self.amount, self.points)

    @property
    def now(self) -> int:
        """What of it is undone now."""
        return self.points[1] - self.points[0]

    @property
    def left(self) -> int:
        """What of it was not undone before."""
        return self.amount - self.points[0]

    def part(self, left: int) -> int:
        """What of something is undone now of which so much was not undone before: no more than that, and in the end all of it."""
        return share(left, self.now, self.left) if self.left else 0


@dataclass(frozen=True, slots=True)
class TakenLine:
    """What it took of a line, net of tax, and still has: `whole`; so much is `back` already."""

    invoice_id: int
    invoice: str
    entity: str
    currency: str
    rate: Fraction | None
    collector: str | None
    master: str | None
    line: str
    kind: str
    product: str | None
    subject: str
    whole: int
    rebill: bool
    back: int = 0
    now: int = 0

    @property
    def of_terms(self) -> bool:
        """Whether it bills an obligation, whose terms say what of it is given."""
        return self.subject.startswith("obligation:") and self.kind not in lowering.PLAIN_KINDS


# What gives back to a line what a document took of it.
_UNDOING = "('credit_note', 'invoice', 'refund_reversal', 'dispute', 'recovery', 'payment_reversal', 'beside')"


def taken_lines(books: Books, customer_id: int, document_id: int) -> list[TakenLine]:
    """What a document took of lines, net of tax, less what a credit note explained of it, or came back before."""
    return [line for line in _lines(books, customer_id, document_id) if line.whole > 0]


def brought_lines(books: Books, customer_id: int, document_id: int, by: int) -> list[TakenLine]:
    """The lines of which a document took something that another brought back, with what of each it did: its `now`."""
    return [line for line in _lines(books, customer_id, document_id, by) if line.now > 0]


def _lines(books: Books, customer_id: int, document_id: int, by: int = 0) -> list[TakenLine]:
    rows = books.connection.execute(
        text(
            "select x.invoice_id, i.ref, i.entity, i.currency, i.rate, (select m.entity from invoice m where m.customer_id = i.customer_id"
            "  and m.ref = i.master) as collector, i.master, x.line, l.kind, max(x.product) as product, x.subject,"
            " sum(x.amount_minor)::bigint as whole, bool_or(x.rebill) as rebill,"
            " -coalesce(sum(x.amount_minor) filter (where x.undoes = :document_id and d.type in ('dispute', 'recovery', 'payment_reversal', 'beside')), 0)::bigint as back,"
            " -coalesce(sum(x.amount_minor) filter (where x.undoes = :document_id and x.document_id = :by), 0)::bigint as now"
            " from line_change x"
            " join invoice_line l using (customer_id, invoice_id, line) join invoice i using (customer_id, invoice_id)"
            " join document d on d.customer_id in (x.customer_id, 0) and d.document_id = x.document_id where x.customer_id = :customer_id"
            f" and ((x.document_id = :document_id and x.undoes = 0) or (x.undoes = :document_id and d.type in {_UNDOING}))"
            " group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 11 order by 1, 8, 11"
        ),
        {"customer_id": customer_id, "document_id": document_id, "by": by},
    )
    return [
        TakenLine(
            row.invoice_id, row.ref, row.entity, row.currency, None if row.rate is None else Fraction(row.rate), row.collector,
            row.master, row.line, row.kind, row.product, row.subject, row.whole, row.rebill, row.back, row.now,
        )
        for row in rows
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class TakenTax:
    """What it took of a line's tax, and still has."""

    line: str
    position: int
    code: str
    treatment: str
    included: bool
    base: int
    tax: int
    now: int = 0


def undone_now(
    of: Undone,
    lines: Sequence[TakenLine],
    taxes: Mapping[int, Sequence[TakenTax]],
    totals: Mapping[int, int] | None = None,
) -> tuple[list[TakenLine], dict[int, list[TakenTax]]]:
    """What of each line and tax comes back now, so that of each invoice it is what is in `totals`, else what of all it took does.

    Of an invoice's part that another entity keeps each line comes to what the line does that stands for it.
    """
    found: list[TakenLine] = []
    found_taxes: dict[int, list[TakenTax]] = {}
    standing: dict[tuple[str, str], int] = {}
    for invoice_id in sorted({line.invoice_id for line in lines}, key=lambda number: _is_part(lines, number)):
        own = [line for line in lines if line.invoice_id == invoice_id]
        of_taxes = taxes.get(invoice_id, ())
        groups: list[tuple[int | None, list[TakenLine], list[TakenTax]]] = []
        if own[0].master is not None and any((own[0].master, line.line) in standing for line in own):
            groups += [
                (standing.get((own[0].master, name)), [line for line in own if line.line == name], [tax for tax in of_taxes if tax.line == name])
                for name in dict.fromkeys(line.line for line in own)
            ]  # fmt: skip
        else:
            groups.append(((totals or {}).get(invoice_id), own, list(of_taxes)))
        for total, of_lines, its_taxes in groups:
            wholes = [*(line.whole for line in of_lines), *(tax.tax for tax in its_taxes)]
            most = sum(wholes)
            asked = of.part(most) if total is None else min(total, most)
            parts = allocate(asked, wholes) if most > 0 else [0] * len(wholes)
            now = [replace(line, now=part) for line, part in zip(of_lines, parts, strict=False)]
            found += now
            found_taxes.setdefault(invoice_id, []).extend(
                replace(tax, now=part) for tax, part in zip(its_taxes, parts[len(of_lines) :], strict=True)
            )
            for line in now:
                if line.kind == BETWEEN:
                    standing[line.invoice, line.line] = standing.get((line.invoice, line.line), 0) + line.now
    return found, found_taxes


def _is_part(lines: Sequence[TakenLine], invoice_id: int) -> tuple[bool, int]:
    """An order in which what another entity keeps of an invoice comes after it."""
    return any(line.master is not None for line in lines if line.invoice_id == invoice_id), invoice_id


def taken_taxes(books: Books, customer_id: int, document_id: int) -> dict[int, list[TakenTax]]:
    """What a document took of lines' taxes, by invoice, less what a credit note explained of it, or came back before."""
    return _taxes(
        books, customer_id, document_id,
        f"(t.document_id = :document_id and t.undoes = 0) or (t.undoes = :document_id and d.type in {_UNDOING})",
    )  # fmt: skip


def brought_taxes(books: Books, customer_id: int, document_id: int, by: int) -> dict[int, list[TakenTax]]:
    """What of lines' taxes that a document took another brought back, by invoice."""
    brought = _taxes(books, customer_id, document_id, "t.undoes = :document_id and t.document_id = :by", by)
    return {
        invoice_id: [replace(tax, base=-tax.base, tax=-tax.tax) for tax in taxes]
        for invoice_id, taxes in brought.items()
    }


def _taxes(books: Books, customer_id: int, document_id: int, where: str, by: int = 0) -> dict[int, list[TakenTax]]:
    rows = books.connection.execute(
        text(
            "select t.invoice_id, t.line, t.position, t.tax_code, t.treatment, t.included, -sum(t.base_minor)::bigint as base,"
            " -sum(t.tax_minor)::bigint as tax from line_tax t join document d on d.customer_id in (t.customer_id, 0) and d.document_id = t.document_id"
            " where t.customer_id = :customer_id"
            f" and ({where})"
            " group by 1, 2, 3, 4, 5, 6 order by 1, 2, 3"
        ),
        {"customer_id": customer_id, "document_id": document_id, "by": by},
    )
    found: dict[int, list[TakenTax]] = {}
    for row in rows:
        found.setdefault(row.invoice_id, []).append(TakenTax(*row[1:]))
    return found


def back_before(books: Books, source: Source, undoes: int) -> list[Piece]:
    """Where what came back before, of what a document gave back, was put."""
    rows = books.connection.execute(
        text(
            "select money_id, invoice_id, origin_id, entity, currency, sum(amount_minor)::bigint as amount,"
            " sum(paid_minor)::bigint as paid, paid_currency, min(on_day) as since from money_use"
            " where customer_id = :customer_id and undoes = :undoes group by 1, 2, 3, 4, 5, 8 order by invoice_id = 0, min(use_id)"
        ),
        {"customer_id": source.customer.customer_id, "undoes": undoes},
    )
    return [Piece(*row) for row in rows]


def not_back(given: Sequence[Piece], back: Sequence[Piece], *, brings: bool) -> list[Piece]:
    """What was given back, without what came back before: onto the invoice, or as what it left; by the documents that `bring` it, theirs."""
    found = list(given)
    for came in back:
        left = came
        # as it was given back first, then what was of an invoice and is what that left
        for as_it_was in (True, False):
            for place, piece in enumerate(found):
                if not brings and piece.money_id != came.money_id:
                    continue
                where = (piece.invoice_id, piece.origin_id) if as_it_was else (uses.BALANCE, piece.invoice_id)
                if where != (left.invoice_id, left.origin_id) or piece.currency != left.currency:
                    continue
                paid, amount = min(piece.paid, left.paid), min(piece.amount, left.amount)
                found[place] = replace(piece, amount=piece.amount - amount, paid=piece.paid - paid)
                left = replace(left, amount=left.amount - amount, paid=left.paid - paid)
    return [piece for piece in found if piece.amount or piece.paid]
