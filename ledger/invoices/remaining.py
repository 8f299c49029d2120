"""What an invoice still bills, line by line, and what lowering it moves: the ground of voids, credits and write-offs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection, text

from ledger.amounts.money import share, to_text
from ledger.errors import Refused, UnknownReference
from ledger.invoices.forms import BETWEEN, invoice_subject
from ledger.invoices.taxes import tax_subject
from ledger.journal.books import Books
from ledger.journal.by_date import available, balance
from ledger.journal.line_changes import add_change
from ledger.journal.movements import AccountKey, Movement, Source
from ledger.obligations import obligation_sides
from ledger.usage.usage_lines import NET_USAGE, overage_accounts
from ledger.wallets.grants import NET_GRANT, grant_accounts
from ledger.wallets.session import Wallets

# Lines that stand for no contract liability or asset of their own.
PLAIN_KINDS = ("opening", "shortfall", "between")


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
class Line:
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


@dataclass(slots=True)
class BilledInvoice:
    """An invoice found by its id, its customer locked, with its exchange rate and what is left of its lines."""

    source: Source
    invoice_id: int
    ref: str
    issued_on: date
    recorded_on: date
    rate: Fraction | None
    master: str | None
    collector: str | None  # the entity of its master
    lines: list[Line]

    @property
    def gross(self) -> int:
        """What is left of it, with taxes."""
        return sum(line.gross for line in self.lines)

    def receivable(self) -> AccountKey:
        """Its receivable account."""
        return AccountKey(self.source.entity, "accounts_receivable", self.source.currency, invoice_subject(self.ref))


def find(
    wallets: Wallets, document_id: int, ref: str, field_name: str = "invoice", *, corrected: bool = True
) -> BilledInvoice:
    """An invoice by its id, for a document that names no customer.

    Raises UnknownReference, or Refused for another entity's part of an invoice, which changes with the whole.
    """
    found = find_any(wallets, document_id, ref, field_name, corrected=corrected)
    if found.master is not None:
        raise Refused(field_name, ref, f"expected {found.master}, the invoice it is a part of")
    return found


def find_any(
    wallets: Wallets, document_id: int, ref: str, field_name: str = "invoice", *, corrected: bool = True
) -> BilledInvoice:
    """An invoice or an entity's part of one, by its id. Raises UnknownReference.

    What was gathered is written first, so that everything about the invoice can be read. Where `corrected`, what lines below zero take
    back of its lines is told there, with their taxes, and not of such lines of its own.
    """
    books = wallets.books
    books.flush()
    connection = books.connection
    row: Any = connection.execute(
        text(
            "select i.invoice_id, i.customer_id, c.ref as customer, i.entity, i.currency, i.issued_on,"
            " coalesce(i.recorded_on, i.issued_on) as recorded_on, i.rate, i.master,"
            " (select m.entity from invoice m where m.customer_id = i.customer_id and m.ref = i.master) as collector "
            "from document_key k join invoice i on i.customer_id = k.customer_id and i.invoice_id = k.document_id "
            "join customer c on c.customer_id = i.customer_id where k.type = 'invoice' and k.ref = :ref"
        ),
        {"ref": ref},
    ).first()
    if row is None:
        raise UnknownReference(field_name, ref, "expected the id of an invoice posted before")
    source = books.source(document_id, row.customer, row.entity, row.currency, row.issued_on, row.rate)
    place = {"customer_id": row.customer_id, "invoice_id": row.invoice_id}
    lines = _read_lines(connection, place)
    if any(line.subject.startswith("contract:") for line in lines.values()):
        _read_parts(books, place, lines)
    if corrected:
        _correct(connection, place, lines)
    if row.master is not None or any(line.kind == BETWEEN for line in lines.values()):
        stand_together(books, row.customer_id, [ref])
    return BilledInvoice(
        source,
        row.invoice_id,
        ref,
        row.issued_on,
        row.recorded_on,
        source.rate,
        row.master,
        row.collector,
        list(lines.values()),
    )


def _read_lines(connection: Connection, place: dict[str, int]) -> dict[str, Line]:
    """What is left of an invoice's lines and their taxes."""
    lines = {
        line.line: Line(line.line, line.kind, line.subject, line.product, line.net, first=line.first)
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


def _correct(connection: Connection, place: Mapping[str, int], lines: Mapping[str, Line]) -> None:
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


def _move_tax(code: str, base: int, amount: int, line: Line, own: Line | None) -> None:
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


def taken_later(books: Books, invoice: BilledInvoice, on: date) -> Counter[str]:
    """What documents of days after one took of an invoice's lines, gross, by line."""
    if all(line.net == line.first for line in invoice.lines):
        return Counter()
    rows = books.connection.execute(
        text(
            "select line, sum(amount)::bigint from ("
            " select document_id, line, amount_minor as amount from line_change"
            "  where customer_id = :customer_id and invoice_id = :invoice_id union all"
            " select document_id, line, -tax_minor from line_tax"
            "  where customer_id = :customer_id and invoice_id = :invoice_id and document_id <> invoice_id) x "
            "join document d on d.customer_id in (:customer_id, 0) and d.document_id = x.document_id and d.dated_on > :on group by 1"
        ),
        {"customer_id": invoice.source.customer.customer_id, "invoice_id": invoice.invoice_id, "on": on},
    )
    return Counter(dict(map(tuple, rows)))


def stand_together(books: Books, customer_id: int, refs: Sequence[str]) -> None:
    """Let the document under way count from the first day that is open in all entities that invoices are of."""
    entities = books.connection.scalars(
        text(
            "with whole as (select distinct coalesce(master, ref) as ref from invoice"
            "  where customer_id = :customer_id and ref = any(:refs)) "
            "select distinct p.entity from whole join invoice p"
            " on p.customer_id = :customer_id and (p.master = whole.ref or p.ref = whole.ref) "
            "where exists (select from invoice o where o.customer_id = :customer_id and o.master = whole.ref)"
        ),
        {"customer_id": customer_id, "refs": list(refs)},
    )
    books.days.together(list(entities))


def _read_parts(books: Books, place: dict[str, int], lines: dict[str, Line]) -> None:
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


def taken_by(books: Books, invoice: BilledInvoice, line: str) -> str:
    """What took something of a line since it was billed, as words to follow what is left of it."""
    rows = books.connection.execute(
        text(
            "select coalesce(case d.type when 'beside' then split_part(d.ref, ':', 1) else d.type end, 'invoice') as type,"
            " coalesce(case d.type when 'beside' then substr(d.ref, strpos(d.ref, ':') + 1) else d.ref end, n.ref) as ref,"
            " sum(x.amount_minor)::bigint as amount"
            " from line_change x left join document d on d.customer_id in (x.customer_id, 0) and d.document_id = x.document_id"
            " left join invoice n on n.customer_id = x.customer_id and n.invoice_id = x.document_id"
            " where x.customer_id = :customer_id and x.invoice_id = :invoice_id and x.line = :line"
            " group by x.document_id, 1, 2 having sum(x.amount_minor) <> 0 order by x.document_id"
        ),
        {"customer_id": invoice.source.customer.customer_id, "invoice_id": invoice.invoice_id, "line": line},
    ).all()
    told = [
        f"{row.type} {row.ref} {'took' if row.amount > 0 else 'gave back'} {to_text(abs(row.amount), invoice.source.currency)}"
        for row in rows
    ]
    return f": {', '.join(told)}" if told else ""


def parts(wallets: Wallets, document_id: int, invoice: BilledInvoice, *, corrected: bool = True) -> list[BilledInvoice]:
    """The parts of an invoice that other entities keep, which it collects."""
    refs = wallets.books.connection.scalars(
        text("select ref from invoice where customer_id = :customer_id and master = :ref order by invoice_id"),
        {"customer_id": invoice.source.customer.customer_id, "ref": invoice.ref},
    )
    return [find_any(wallets, document_id, ref, corrected=corrected) for ref in list(refs)]


def due(books: Books, invoice: BilledInvoice, day: date) -> int:
    """What is due of an invoice on a day and on every later one."""
    return max(available(books.history(invoice.source.customer.customer_id, invoice.receivable()), day), 0)


@dataclass(frozen=True, slots=True)
class Voided:
    """Which document took an invoice back whole, and on which day."""

    document_id: int
    by: str
    on: date


def voided(books: Books, source: Source, ref: str) -> Voided | None:
    """What took an invoice of the source's customer back whole, with the parts that other entities keep of it; None where it stands."""
    books.flush()
    row = books.connection.execute(
        text(
            "select d.document_id, d.type || ' ' || d.ref as by, coalesce(d.dated_on, n.issued_on) as on_day from invoice i"
            " join line_change x on x.customer_id = i.customer_id and x.invoice_id = i.invoice_id and x.kind = 'void'"
            " join document d on d.customer_id = x.customer_id and d.document_id = x.document_id and d.type in ('invoice_void', 'invoice')"
            " left join invoice n on n.customer_id = x.customer_id and n.invoice_id = x.document_id"
            " where i.customer_id = :customer_id and :ref in (i.ref, i.master) and x.document_id <> :document_id order by x.document_id limit 1"
        ),
        {"customer_id": source.customer.customer_id, "ref": ref, "document_id": source.document_id},
    ).first()
    return None if row is None else Voided(*row)


def sides(source: Source, line: Line) -> tuple[tuple[AccountKey, AccountKey], tuple[str, str]]:
    """The contract liability and asset a line is about, and the rules that let them settle each other."""
    kind, _, ref = line.subject.partition(":")
    if kind == "grant":
        return grant_accounts(source, ref), NET_GRANT
    if kind == "usage":
        return overage_accounts(source, ref), NET_USAGE
    return obligation_sides(source, line.subject)


def net_sides(books: Books, source: Source, lines: Sequence[Line], day: date) -> None:
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


def held(books: Books, source: Source, line: Line, day: date) -> int:
    """The contract liability that stands for a line at the end of a day."""
    if line.kind in PLAIN_KINDS:
        return 0
    (liability, _), _ = sides(source, line)
    return max(balance(books.history(source.customer.customer_id, liability), day), 0)


def is_of_terms(line: Line) -> bool:
    """Whether a line bills obligations, whose terms say what of them is given."""
    return line.subject.startswith(("obligation:", "contract:")) and line.kind not in PLAIN_KINDS


def by_obligation(line: Line, amount: int) -> list[tuple[str, int]]:
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
    line: Line,
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


def tax_parts(line: Line, part: int, whole: int) -> list[TaxPart]:
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
    line: Line,
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
