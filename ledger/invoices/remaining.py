"""What an invoice still bills: the ground of voids, credits, refunds and write-offs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

from sqlalchemy import text

from ledger.amounts.money import to_text
from ledger.errors import Refused, UnknownReference
from ledger.invoices.forms import BETWEEN, invoice_subject
from ledger.invoices.lines_left import LineLeft, correct, read_lines, read_parts
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.movements import AccountKey, Source
from ledger.wallets.session import Wallets


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
    lines: list[LineLeft]

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
    lines = read_lines(connection, place)
    if any(line.subject.startswith("contract:") for line in lines.values()):
        read_parts(books, place, lines)
    if corrected:
        correct(connection, place, lines)
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
