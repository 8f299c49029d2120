"""What lowering a line moves: by obligation and by tax, and what settles after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from ledger.amounts.money import share
from ledger.invoices.lines_left import LineLeft, LineTax
from ledger.invoices.remaining import BilledInvoice
from ledger.invoices.taxes import tax_subject
from ledger.journal.books import Books
from ledger.journal.line_changes import add_change
from ledger.journal.movements import AccountKey, Movement, Source
from ledger.obligations import obligation_sides
from ledger.usage.usage_lines import NET_USAGE, overage_accounts
from ledger.wallets.grants import NET_GRANT, grant_accounts

# Lines that stand for no contract liability or asset of their own.
PLAIN_KINDS = ("opening", "shortfall", "between")


def sides(source: Source, line: LineLeft) -> tuple[tuple[AccountKey, AccountKey], tuple[str, str]]:
    """The contract liability and asset a line is about, and the rules that let them settle each other."""
    kind, _, ref = line.subject.partition(":")
    if kind == "grant":
        return grant_accounts(source, ref), NET_GRANT
    if kind == "usage":
        return overage_accounts(source, ref), NET_USAGE
    return obligation_sides(source, line.subject)


def net_sides(books: Books, source: Source, lines: Sequence[LineLeft], day: date) -> None:
    """Let liability and asset of what lines are about settle each other on the days after one that lowered them."""
    for line in lines:
        if line.kind in PLAIN_KINDS:
            continue
        if line.parts:
            for subject, _, _ in line.parts:
                books.net(source, *obligation_sides(source, subject), day)
            continue
        keys, rules = sides(source, line)
        # a void of credits that draw on a later day leaves them an asset on its own day, beside what is billed of them
        books.net(source, keys, rules, day - timedelta(days=1) if line.kind == "prepaid" else day)


def is_of_terms(line: LineLeft) -> bool:
    """Whether a line bills obligations, whose terms say what of them is given."""
    return line.subject.startswith(("obligation:", "contract:")) and line.kind not in PLAIN_KINDS


def by_obligation(line: LineLeft, amount: int) -> list[tuple[str, int]]:
    """What of an amount of a line is of which obligation: of one that bills a contract as the bill is, as far as it is left.

    So it does not matter what else was taken off before. What takes off all takes what is left of each part.
    """
    if not line.parts:
        return [(line.subject, amount)]
    left = [part for _, part, _ in line.parts]
    if amount >= sum(left):
        found = shares(amount, left)
    else:
        found = shares(amount, [first for _, _, first in line.parts])
        over = sum(max(part - there, 0) for part, there in zip(found, left, strict=True))
        found = [min(part, there) for part, there in zip(found, left, strict=True)]
        for place, there in enumerate(left):
            more = min(over, there - found[place])
            found[place] += more
            over -= more
    return [(subject, part) for (subject, _, _), part in zip(line.parts, found, strict=True) if part]


def shares(amount: int, left: Sequence[int]) -> list[int]:
    """An amount split by what is left of each, cumulatively rounded, summing exactly."""
    whole = sum(left)
    found, reached, before = [], 0, 0
    for there in left:
        reached += there
        now = share(amount, reached, whole) if whole else 0
        found.append(now - before)
        before = now
    return found


def record(
    books: Books,
    source: Source,
    invoice: BilledInvoice,
    line: LineLeft,
    kind: str,
    amount: int,
    elsewhere: Sequence[tuple[str, int]] = (),
    **more: object,
) -> None:
    """Gather that a document lowers a line by an amount net of tax, and what of it lowers what is `elsewhere` than the line's."""
    amount -= sum(part for _, part in elsewhere)
    for place, (subject, part) in enumerate([*by_obligation(line, amount), *elsewhere]):
        if part:
            of = {"part": place, **more}
            add_change(books, source, invoice.invoice_id, line.line, kind, part, line.product, subject, of)


@dataclass(frozen=True, slots=True)
class TaxPart:
    """The part of a line's tax that goes with a part of its amount."""

    tax: LineTax
    base: int
    amount: int


def tax_parts(line: LineLeft, part: int, whole: int) -> list[TaxPart]:
    """Each tax of a line that goes with a part of its amount; all that is left of it where that is everything.

    In proportion to what the line was at first, whatever was taken back of it before: in any order it is the same.
    """
    if not whole:
        return []
    if part == whole:
        return [TaxPart(tax, tax.base, tax.tax) for tax in line.taxes]
    # what a part is of: the net amount, what is stated (with the taxes it includes), or all with taxes
    included = [tax for tax in line.taxes if tax.included]
    beside = whole - line.net
    borne = [] if beside == 0 else included if beside == sum(tax.tax for tax in included) else line.taxes
    first = line.first + sum(tax.first_tax for tax in borne)
    return [
        TaxPart(tax, _within(tax.first_base, tax.base, part, first), _within(tax.first_tax, tax.tax, part, first))
        for tax in line.taxes
    ]


def _within(first: int, left: int, part: int, whole: int) -> int:
    """A part of what there was at first, but no more than is left of it."""
    found = share(first, part, whole) if whole > 0 else left
    return min(found, left) if left >= 0 else max(found, left)


def record_taxes(
    books: Books,
    source: Source,
    invoice: BilledInvoice,
    line: LineLeft,
    parts: Sequence[TaxPart],
    undoes: int = 0,
    goes_with: int = 0,
) -> None:
    """Gather that a document takes back a part of a line's taxes; or that of one that it undoes, they are borne again.

    What it takes back with what another did `goes_with` that.
    """
    sign = 1 if undoes else -1
    for part in parts:
        books.add_row(
            "line_tax",
            customer_id=source.customer.customer_id,
            document_id=source.document_id,
            line=line.line,
            position=part.tax.position,
            invoice_id=invoice.invoice_id,
            tax_code=part.tax.code,
            treatment=part.tax.treatment,
            included=part.tax.included,
            base_minor=sign * part.base,
            tax_minor=sign * part.amount,
            undoes=undoes or goes_with,
        )


def base_movements(parts: Sequence[TaxPart]) -> list[Movement]:
    """What leaves the taxable base."""
    return [
        Movement("credit.tax_base", part.base, tax_subject(part.tax.code), tax_subject(part.tax.code)) for part in parts
    ]
