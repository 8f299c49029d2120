"""What each recovery of a write-off is of which line, in the order of their dates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any

from sqlalchemy import text

from ledger.amounts.money import allocate
from ledger.cash.money_accounts import cash_named
from ledger.corrections.recoveries.changes import Change
from ledger.invoices import lowering
from ledger.journal.books import Books
from ledger.journal.movements import Movement, Source
from ledger.obligations import Correction, Decided, Obligations
from ledger.payments.between_customers import rate_of
from ledger.usage import usage_taken
from ledger.wallets import credits_back
from ledger.wallets.session import Wallets


@dataclass(frozen=True, slots=True)
class WrittenOff:
    """What a write-off took of a line, net of tax."""

    invoice_id: int
    line: str
    product: str | None
    subject: str
    of_terms: bool
    is_usage: bool
    whole: int


def written_off(books: Books, customer_id: int, document_id: int) -> list[WrittenOff]:
    """What a write-off took of each line of its invoice."""
    rows = books.connection.execute(
        text(
            "select x.invoice_id, x.line, max(x.product) as product, x.subject,"
            " x.subject like 'obligation:%' and bool_and(l.kind <> all(:plain)) as of_terms,"
            " bool_and(l.kind = 'usage') as is_usage, sum(x.amount_minor)::bigint as whole "
            "from line_change x join invoice_line l using (customer_id, invoice_id, line) where x.customer_id = :customer_id"
            " and x.document_id = :document_id and x.kind = 'write_off' group by 1, 2, 4 order by 1, 2"
        ),
        {"customer_id": customer_id, "document_id": document_id, "plain": list(lowering.PLAIN_KINDS)},
    )
    return [WrittenOff(*row) for row in rows]


@dataclass(slots=True)
class Recovery:
    """What a recovery of a write-off brought in net of tax: by line as it stands in the books, and as all of them make it.

    Below zero where one came back.
    """

    document_id: int
    on: date
    rail: str
    amount: int
    stands: list[int] = field(default_factory=list)
    rate: Fraction | None = None
    came_back: int | None = None
    parts: list[int] = field(default_factory=list)
    rows: int = 0

    def instead(self, what: str, amounts: Mapping[Fraction | None, int], subject: str) -> list[Movement]:
        """What moves where that much more came in at each rate, and less at others, than stood in the books."""
        return [
            Movement(f"recovery.{what}", amount, self.rail, subject, rate=rate)
            if amount > 0
            else Movement(f"recovery.{what}_returned", -amount, subject, self.rail, rate=rate)
            for rate, amount in amounts.items()
            if amount
        ]

    def moved(self, more: str, less: str, amount: int, subject: str) -> list[Movement]:
        """What moves where more of it, or less, is of something than stood in the books: at the rate at which it came in."""
        return [
            Movement(f"recovery.{more}", max(amount, 0), self.rail, subject, rate=self.rate),
            Movement(f"recovery.{less}", max(-amount, 0), subject, self.rail, rate=self.rate),
        ]


def recoveries_of(books: Books, source: Source, write_off: Any, lines: Sequence[WrittenOff]) -> list[Recovery]:
    """The recoveries of a write-off that are in the books, in the order of their dates."""
    rows = books.connection.execute(
        text(
            # one that came back has the cash of the recovery that did
            "select x.document_id, d.dated_on, coalesce(r.dated_on, d.dated_on) as came_on, coalesce(r.body, d.body)::json ->> 'rail' as rail,"
            " coalesce(r.body, d.body)::json ->> 'account' as account, r.document_id as came_back, x.invoice_id, x.line, x.subject,"
            " -sum(x.amount_minor)::bigint as amount, max(x.part) as last from line_change x"
            " join document d using (customer_id, document_id)"
            " left join document r on r.customer_id = d.customer_id and r.type = 'recovery' and r.ref = d.body::json ->> 'recovery'"
            " where x.customer_id = :customer_id and x.kind = 'recovery' and x.undoes = :document_id"
            " group by 1, 2, 3, 4, 5, 6, 7, 8, 9 order by d.dated_on, x.document_id"
        ),
        {"customer_id": write_off.customer_id, "document_id": write_off.document_id},
    ).all()
    places = {(line.invoice_id, line.line, line.subject): place for place, line in enumerate(lines)}
    found: dict[int, Recovery] = {}
    for row in rows:
        rail = cash_named({"account": row.account, "rail": row.rail})
        item = found.get(row.document_id)
        if item is None:
            item = found[row.document_id] = Recovery(
                row.document_id,
                row.dated_on,
                rail,
                0,
                [0] * len(lines),
                rate_of(books, source, row.came_on),
                row.came_back,
            )
        item.stands[places[row.invoice_id, row.line, row.subject]] += row.amount
        item.amount += row.amount
        item.rows = max(item.rows, row.last + 1)
    return list(found.values())


def split_over_lines(
    wallets: Wallets,
    source: Source,
    change: Change,
    write_off: Any,
    lines: Sequence[WrittenOff],
    recoveries: list[Recovery],
    obligations: Obligations,
) -> list[int]:
    """Say what of each recovery is of which line, in the order of their dates: bad debt first, then what was to come.

    Returns what of each line is bad debt.
    """
    document_id = source.document_id
    recoveries.sort(key=lambda item: (item.on, item.document_id))
    asked = obligations.decide(wallets, write_off.customer_id, document_id, [
        Correction(document_id, change.by, "recovery", line.invoice_id, line.line, line.subject, 0, change.on, undoes=write_off.document_id)
        for line in lines if line.of_terms
    ])  # fmt: skip
    lost = _lost(wallets.books, source, asked, write_off, lines, recoveries)
    whole = [list(lost), [line.whole - bad for line, bad in zip(lines, lost, strict=True)]]
    left = [list(most) for most in whole]
    for item in recoveries:
        item.parts = [0] * len(lines)
        amount = -item.amount
        for most, first in zip(left[::-1], whole[::-1], strict=True) if amount > 0 else ():
            # what came back is of what was recovered last
            reached = [all_ - rest for all_, rest in zip(first, most, strict=True)]
            now = min(amount, sum(reached))
            amount -= now
            for place, part in enumerate(allocate(now, reached) if now else []):
                item.parts[place] -= part
                most[place] += part
        amount = item.amount
        for most in left if amount > 0 else ():
            now = min(amount, sum(most))
            amount -= now
            # as each line's is of all of it
            for place, part in enumerate(allocate(now, most) if now else []):
                item.parts[place] += part
                most[place] -= part
        assert amount <= 0, "no more is recovered than was written off, on any day"
    return lost


def _lost(
    books: Books,
    source: Source,
    asked: Decided,
    write_off: Any,
    lines: Sequence[WrittenOff],
    recoveries: Sequence[Recovery],
) -> list[int]:
    """What of each line that was written off is bad debt: what was given, or used, by then."""
    customer_id, number = write_off.customer_id, write_off.document_id
    unused = credits_back.taken_with(books, customer_id, number)
    on = books.connection.scalar(
        text("select dated_on from document where customer_id = :customer_id and document_id = :document_id"),
        {"customer_id": customer_id, "document_id": number},
    )
    used: dict[str, int] = {}
    lost = []
    for line in lines:
        bill = (line.invoice_id, line.line, line.subject)
        if line.of_terms:
            bad = asked.share(*bill, of=number).earned
            bad += sum(asked.share(*bill, of=item.document_id, undoing=number).earned for item in recoveries)
        elif line.is_usage:
            assert line.product is not None, "a usage line names its product"
            if line.product not in used:
                used[line.product] = usage_taken.lost_on(books, source, line.product, on)
            bad = used[line.product]
        else:
            bad = line.whole - unused.get(line.line, 0)
        lost.append(max(min(bad, line.whole), 0))
        if line.is_usage and line.product is not None:
            used[line.product] -= lost[-1]
    return lost
