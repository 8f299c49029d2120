"""Which usage each usage line of invoices bills.

One allotment, read from an invoice down and from usage up. A line that names a period bills what was used in it, any other what is not
billed yet; what was used first comes first.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, text

from ledger.amounts.money import share, to_minor


@dataclass(frozen=True, slots=True)
class UsageLine:
    """A usage line of an invoice.

    `amount` is the usage it bills, before its discount, in minor units. `taken_back` says that its invoice was voided, or replaced: it
    bills nothing any more, and shows what it billed.
    """

    invoice_id: int
    invoice: str
    line: str
    currency: str
    issued_on: date
    amount: int
    starts_on: date | None = None
    ends_on: date | None = None
    taken_back: bool = False


@dataclass(frozen=True, slots=True)
class Used:
    """Usage beyond all grants, in minor units.

    0 where it is a fraction of one, below 0 where it takes usage back.
    """

    document_id: int
    ref: str
    used_on: date
    amount: int


@dataclass(frozen=True, slots=True)
class Billed:
    """A part of a usage document on a line that bills it."""

    line: UsageLine
    used: Used
    amount: int

    @property
    def currency(self) -> str:
        """The currency of its amount."""
        return self.line.currency


def allot(lines: Sequence[UsageLine], used: Sequence[Used]) -> list[Billed]:
    """What of which usage each line bills. Lines come in the order of their invoices, usage in the order of its days.

    What an invoice that was taken back had billed is there for the next again.
    """
    usage = _Usage(used)
    found: list[Billed] = []
    for _, own in groupby(lines, key=lambda line: line.invoice_id):
        of_invoice = list(own)
        before = usage.mark()
        for line in of_invoice:
            found += usage.take(line)
        if of_invoice[0].taken_back:
            usage.back_to(before)
    return found


class _Usage:
    """What of usage is not billed yet, while it is allotted line by line."""

    def __init__(self, used: Sequence[Used]) -> None:
        self.used = used
        self.days = [one.used_on for one in used]
        self.left = [max(one.amount, 0) for one in used]
        self.waiting = [one.amount <= 0 for one in used]
        self.lowering = [place for place, one in enumerate(used) if one.amount < 0]
        self.first = 0  # where the first that is not billed whole may stand
        self.done: list[tuple[int, int, bool]] = []  # what was changed, to be undone

    def mark(self) -> tuple[int, int]:
        """How it stands, for `back_to`."""
        return len(self.done), self.first

    def back_to(self, mark: tuple[int, int]) -> None:
        """Undo what was taken since a mark."""
        count, self.first = mark
        while len(self.done) > count:
            place, self.left[place], self.waiting[place] = self.done.pop()

    def _bill(self, line: UsageLine, place: int, amount: int) -> Billed:
        self.done.append((place, self.left[place], self.waiting[place]))
        self.left[place] -= max(amount, 0)
        self.waiting[place] = False
        return Billed(line, self.used[place], amount)

    def take(self, line: UsageLine) -> list[Billed]:
        """The usage that a line bills, as far as its amount goes."""
        if line.starts_on is None or line.ends_on is None:
            low, high, lowered_by = self.first, len(self.used), line.issued_on
        else:
            low, high = bisect_left(self.days, line.starts_on), bisect_right(self.days, line.ends_on)
            lowered_by = line.ends_on
        found, rest = [], line.amount
        for place in self.lowering:  # usage that was taken back lowers the line, which bills so much more of the other
            if low <= place < high and self.waiting[place] and self.days[place] <= lowered_by:
                rest -= self.used[place].amount
                found.append(self._bill(line, place, self.used[place].amount))
        place = low
        while place < high and rest > 0:
            if part := min(self.left[place], rest):
                found.append(self._bill(line, place, part))
                rest -= part
            place += not self.left[place]
        if found:
            found += self._fractions(line, low, high, place)
        while self.first < len(self.used) and not self.left[self.first] and not self.waiting[self.first]:
            self.first += 1
        return sorted(found, key=lambda billed: (billed.used.used_on, billed.used.document_id))

    def _fractions(self, line: UsageLine, low: int, high: int, reached: int) -> list[Billed]:
        """Let fractions of a minor unit count with the usage that completed one.

        Those after it count until the invoice's day.
        """
        places = []
        for place in range(low, high):
            if self.waiting[place] and self.used[place].amount == 0:
                if place >= reached and line.starts_on is None and self.days[place] > line.issued_on:
                    break
                places.append(place)
            elif self.left[place] and place >= reached:
                break
        return [self._bill(line, place, 0) for place in places]


def usage_billed(connection: Connection, customer_id: int, entity: str, currency: str, product: str) -> list[Billed]:
    """Which usage of a product each usage line of a customer's invoices bills.

    By invoice and line, then by day.
    """
    place: dict[str, Any] = {
        "customer_id": customer_id, "entity": entity, "currency": currency, "product": product, "subject": f"usage:{product}",
    }  # fmt: skip
    lines = [_line(row, currency) for row in connection.execute(text(_LINES), place)]
    return allot(lines, [Used(*row) for row in connection.execute(text(_USED), place)]) if lines else []


def billed_by_invoice(connection: Connection, customer_id: int, invoice_id: int) -> list[Billed]:
    """The usage that an invoice bills, with what of each is on which of its lines."""
    meters = connection.execute(
        text(
            "select distinct i.entity, i.currency, l.product from invoice i join invoice_line l using (customer_id, invoice_id) "
            "where i.customer_id = :customer_id and i.invoice_id = :invoice_id and l.kind = 'usage' order by l.product"
        ),
        {"customer_id": customer_id, "invoice_id": invoice_id},
    ).all()
    return [
        billed
        for meter in meters
        for billed in usage_billed(connection, customer_id, *meter)
        if billed.line.invoice_id == invoice_id
    ]


def bills_of_usage(connection: Connection, customer_id: int, document_id: int) -> list[Billed]:
    """The lines of invoices that bill a usage document, with what of it is on each."""
    meter = connection.execute(
        text(
            "select body::jsonb ->> 'entity', body::jsonb ->> 'currency', body::jsonb ->> 'product' from document"
            " where customer_id = :customer_id and document_id = :document_id and type = 'usage'"
        ),
        {"customer_id": customer_id, "document_id": document_id},
    ).first()
    if meter is None:
        return []
    return [
        billed for billed in usage_billed(connection, customer_id, *meter) if billed.used.document_id == document_id
    ]


def _line(row: Any, currency: str) -> UsageLine:
    """A line with the usage it bills.

    What it charges without tax, what it discounts, less what may be billed anew.
    """
    amount = row.amount_minor
    if row.discount is not None:
        charged = to_minor(Decimal(row.amount), currency)
        discount = to_minor(Decimal(row.discount), currency)
        # a tax that the amount includes is in its discount too
        amount += round(discount * row.amount_minor / charged) if charged else discount
    if row.rebilled:
        amount -= share(amount, row.rebilled, row.amount_minor)
    start, end = (None if day is None else date.fromisoformat(day) for day in (row.starts, row.ends))
    return UsageLine(row.invoice_id, row.ref, row.line, currency, row.issued_on, amount, start, end, row.taken_back)


_LINES = """
    select i.invoice_id, i.ref, l.line, i.issued_on, l.amount_minor, x.v ->> 'amount' as amount,
           x.v ->> 'discount' as discount, x.v ->> 'start' as starts, x.v ->> 'end' as ends,
           coalesce((select sum(c.amount_minor) from line_change c
                     join document n on n.customer_id = c.customer_id and n.document_id = c.document_id
                     where c.customer_id = l.customer_id and c.invoice_id = l.invoice_id and c.line = l.line
                       and n.type = 'credit_note' and n.body::jsonb ->> 'rebill' = 'true'), 0)::bigint as rebilled,
           exists (select from document v where v.customer_id = i.customer_id and v.type = 'invoice_void'
                   and v.body::jsonb ->> 'invoice' in (i.ref, i.master))
           or exists (select from invoice s where s.customer_id = i.customer_id and s.supersedes in (i.ref, i.master))
           as taken_back
    from invoice_line l
    join invoice i using (customer_id, invoice_id)
    join document d on d.customer_id = i.customer_id and d.document_id = i.invoice_id
    cross join lateral (select v, n as position
                        from jsonb_array_elements(d.body::jsonb -> 'lines') with ordinality as j(v, n)
                        where v ->> 'id' = l.line) x
    where l.customer_id = :customer_id and l.kind = 'usage' and l.subject = :subject
      and i.entity = :entity and i.currency = :currency
    order by i.issued_on, i.invoice_id, x.position
"""

# What usage earned beyond all grants; what has no entry at all is a fraction of a minor unit.
_USED = """
    with earned as (
        select e.document_id, sum(x.amount)::bigint as amount
        from account a
        cross join lateral (
            select p.entry_id, p.amount from posting p where p.customer_id = a.customer_id and p.credit_account = a.account_id
            union all
            select p.entry_id, -p.amount from posting p where p.customer_id = a.customer_id and p.debit_account = a.account_id
        ) x
        join entry e on e.customer_id = a.customer_id and e.entry_id = x.entry_id and e.reverses is null
        where a.customer_id = :customer_id and a.role = 'revenue' and a.subject = :subject and a.entity = :entity
          and a.currency = :currency
        group by e.document_id
    )
    select d.document_id, d.ref, d.dated_on, u.amount
    from (
        select document_id, amount from earned where amount <> 0
        union all
        select d.document_id, 0 from document d
        where d.customer_id = :customer_id and d.type = 'usage'
          and not exists (select from entry e where e.customer_id = d.customer_id and e.document_id = d.document_id)
          and d.body::jsonb ->> 'product' = :product and d.body::jsonb ->> 'entity' = :entity
          and d.body::jsonb ->> 'currency' = :currency
    ) u
    join document d on d.customer_id = :customer_id and d.document_id = u.document_id and d.type = 'usage'
    where not exists (select from superseded_usage s where s.customer_id = d.customer_id and s.document_id = d.document_id)
    order by d.dated_on, d.document_id
"""
