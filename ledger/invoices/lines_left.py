"""What is left of an invoice's lines and their taxes, after what documents and lines below zero took back of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from ledger.amounts.money import share
from ledger.journal.books import Books


@dataclass(slots=True)
class LineTax:
    """What a line still bears of a tax, and what it bore at first."""

    code: str
    position: int
    treatment: str
    included: bool
    base: int
    tax: int
    first_base: int
    first_tax: int


@dataclass(slots=True)
class LineLeft:
    """A line of an invoice with what is left of it after voids, credits and refunds. Amounts in minor units."""

    line: str
    kind: str
    subject: str
    product: str | None
    net: int
    taxes: list[LineTax] = field(default_factory=list)
    first: int = 0  # what it billed at first
    # of one that bills a contract as a whole: of each obligation's part what is left, and what it was at first
    parts: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def gross(self) -> int:
        """With its taxes."""
        return self.net + sum(tax.tax for tax in self.taxes)


def read_lines(connection: Connection, place: dict[str, int]) -> dict[str, LineLeft]:
    """What is left of an invoice's lines and their taxes."""
    lines = {
        line.line: LineLeft(line.line, line.kind, line.subject, line.product, line.net, first=line.first)
        for line in connection.execute(
            text(
                "select l.line, l.kind, l.subject, coalesce(l.product, (select o.product from performance_obligation o"
                "  where o.customer_id = l.customer_id and o.subject = l.subject)) as product,"
                " l.amount_minor - coalesce(x.amount, 0)::bigint as net, l.amount_minor as first "
                "from invoice_line l left join (select line, sum(amount_minor) as amount from line_change"
                "  where customer_id = :customer_id and invoice_id = :invoice_id group by line) x using (line) "
                "where l.customer_id = :customer_id and l.invoice_id = :invoice_id order by l.line"
            ),
            place,
        )
    }
    taxes = connection.execute(
        text(
            "select line, tax_code, position, min(treatment) as treatment, bool_or(included) as included,"
            " sum(base_minor)::bigint as base, sum(tax_minor)::bigint as tax,"
            " coalesce(sum(base_minor) filter (where document_id = invoice_id), 0)::bigint as first_base,"
            " coalesce(sum(tax_minor) filter (where document_id = invoice_id), 0)::bigint as first_tax from line_tax "
            "where customer_id = :customer_id and invoice_id = :invoice_id group by 1, 2, 3 order by 1, 3"
        ),
        place,
    )
    for tax in taxes:
        lines[tax.line].taxes.append(LineTax(*tax[1:]))
    return lines


_CORRECTED = """
    select distinct coalesce(nullif(undoes, 0), document_id) as by from line_change
    where customer_id = :customer_id and invoice_id = :invoice_id and kind = 'proration'"""
_TAKEN = """
    select x.subject, coalesce(nullif(x.undoes, 0), x.document_id) as by, x.invoice_id, x.line, sum(x.amount_minor)::bigint as amount
    from line_change x where x.customer_id = :customer_id and x.kind = 'proration'
      and (x.document_id = any(:by) or x.undoes = any(:by))
    group by 1, 2, 3, 4 having sum(x.amount_minor) > 0 order by 2, 1, min(x.part), 3, 4"""
_CORRECTING = """
    select l.line, -l.amount_minor as amount, t.tax_code, t.base_minor, t.tax_minor from invoice_line l
    left join line_tax t on t.customer_id = l.customer_id and t.invoice_id = l.invoice_id and t.document_id = l.invoice_id and t.line = l.line
    where l.customer_id = :customer_id and l.invoice_id = :by and l.subject = :subject and l.amount_minor < 0 order by l.line, t.position"""


def correct(connection: Connection, place: Mapping[str, int], lines: Mapping[str, LineLeft]) -> None:
    """Tell what lines below zero, of this invoice or of others, take back of lines where it is taken: of the lines' taxes, too."""
    correcting = list(connection.scalars(text(_CORRECTED), place))
    if not correcting:
        return
    groups: dict[tuple[int, str], list[Any]] = {}
    for row in connection.execute(text(_TAKEN), {"customer_id": place["customer_id"], "by": correcting}):
        groups.setdefault((row.by, row.subject), []).append(row)
    for (by, subject), taken in groups.items():
        taking: dict[str, int] = {}
        taxes: dict[str, list[Any]] = {}
        for row in connection.execute(
            text(_CORRECTING), {"customer_id": place["customer_id"], "by": by, "subject": subject}
        ):
            taking[row.line] = row.amount
            taxes.setdefault(row.line, []).extend([row] if row.tax_code is not None else [])
        for ref, line, reached, part in _pairs(taking, taken):
            if line.invoice_id != place["invoice_id"]:
                continue
            own = lines[ref] if by == place["invoice_id"] else None
            if own is not None:
                own.net += part
            for tax in taxes[ref]:
                base, amount = (
                    share(minor, reached + part, taking[ref]) - share(minor, reached, taking[ref])
                    for minor in (tax.base_minor, tax.tax_minor)
                )
                _move_tax(tax.tax_code, base, amount, lines[line.line], own)


def _pairs(taking: Mapping[str, int], taken: Sequence[Any]) -> Iterator[tuple[str, Any, int, int]]:
    """(the line below zero, what it takes of, how much of it was before, how much): each in turn."""
    refs = iter(taking)
    ref, reached = next(refs, ""), 0
    for row in taken:
        left = row.amount
        while left and ref:
            part = min(left, taking[ref] - reached)
            if part:
                yield ref, row, reached, part
            left, reached = left - part, reached + part
            if reached == taking[ref]:
                ref, reached = next(refs, ""), 0


def _move_tax(code: str, base: int, amount: int, line: LineLeft, own: LineLeft | None) -> None:
    """Take what is given back of a tax off the line it is of, and off the line that gave it back where that is of the same invoice."""
    borne = next((tax for tax in line.taxes if tax.code == code), None)
    if borne is None:
        return
    borne.base += base
    borne.tax += amount
    for tax in own.taxes if own is not None else ():
        if tax.code == code:
            tax.base -= base
            tax.tax -= amount


def read_parts(books: Books, place: dict[str, int], lines: dict[str, LineLeft]) -> None:
    """Tell of lines that bill a contract as a whole what is left of each obligation's part."""
    rows = books.connection.execute(
        text(
            "select p.line, p.subject, p.amount_minor - coalesce((select sum(x.amount_minor) from line_change x where"
            " x.customer_id = p.customer_id and x.invoice_id = p.invoice_id and x.line = p.line and x.subject = p.subject), 0)::bigint"
            " as left_minor, p.amount_minor from invoice_line_part p where p.customer_id = :customer_id and p.invoice_id = :invoice_id order by 1, 2"
        ),
        place,
    )
    for row in rows:
        lines[row.line].parts.append((row.subject, row.left_minor, row.amount_minor))
