"""Recognition of obligations in another currency than their entity's, where each amount is two.

What a movement counts for there depends on which account it leaves: what was billed ahead is earned at the rate it was billed at, what
is earned ahead at the month's. So a bill that comes late, or a change, has the months that it touches told anew, as they would
have been told with it: their entries are taken back and posted again. The same is shown whenever recognition ran.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import groupby
from typing import Any

from sqlalchemy import text

from ledger import journal
from ledger.books import AccountKey, Books, Movement, Source
from ledger.money import share
from ledger.rulebook import RECOGNISING
from revrec import positions

# What recognition posted of a contract in open months and stands: entries, and all that it moved (reversals too) by account and day.
_ENTRIES = """
    select distinct e.entry_id from posting p join entry e using (customer_id, entry_id)
    where p.customer_id = :customer_id and p.debit_account = any(:accounts) and p.rule = any(:rules)
      and p.amount > 0 and e.effective_on >= :first_open and e.reverses is null
      and not exists (select from entry r where r.customer_id = e.customer_id and r.reverses = e.entry_id)
    order by 1"""
_MOVED = """
    select a.role, a.subject, s.month, sum(s.net)::bigint as net from (
        select debit_account as account_id, date_trunc('month', effective_on)::date as month, -amount as net from posting
        where customer_id = :customer_id and debit_account = any(:accounts) and rule = any(:rules) and effective_on >= :first_open
        union all
        select credit_account, date_trunc('month', effective_on)::date, amount from posting
        where customer_id = :customer_id and credit_account = any(:accounts) and rule = any(:rules) and effective_on >= :first_open
    ) s join account a on a.customer_id = :customer_id and a.account_id = s.account_id
    group by 1, 2, 3"""
_RECOGNISED = """
    select date_trunc('month', effective_on)::date, sum(case when credit_account = any(:accounts) then functional_amount
                                                             else -functional_amount end)::bigint
    from posting where customer_id = :customer_id and (credit_account = any(:accounts) or debit_account = any(:accounts)) group by 1"""
_AHEAD = ("recognise.deferred", "recognise.less_deferred")
_ROLES = ("deferred_revenue", "unbilled_receivable", "revenue")


@dataclass(slots=True)
class _Posted:
    """What recognition posted of one contract: its entries by month, and what its accounts moved by them through a month."""

    entries: dict[date, list[tuple[int, journal.Entry]]] = field(default_factory=lambda: defaultdict(list))
    moved: dict[tuple[str, str], dict[date, int]] = field(default_factory=lambda: defaultdict(dict))
    keys: dict[int, AccountKey] = field(default_factory=dict)

    def through(self, role: str, subject: str, month: date) -> int:
        """The net change of an account by recognition, through a month."""
        return sum(net for day, net in self.moved[role, subject].items() if day <= month)

    def told(self, month: date) -> dict[tuple[date, int, int, int], int]:
        """What stands of a month: by day, rule and accounts."""
        found: Counter[tuple[date, int, int, int]] = Counter()
        for _, entry in self.entries[month]:
            for p in entry.postings:
                if p.amount and p.rule in RECOGNISING:
                    found[entry.effective_on, p.rule, p.debit_account, p.credit_account] += p.amount
        return dict(found)


def recognise(books: Books, document_id: int, rows: Sequence[Any]) -> None:
    """Post what is due of obligations by month; `rows` are those of contracts of which something is, with their balances to date."""
    books.learn_customers({row.customer for row in rows})
    for (customer, _), of in groupby(rows, lambda row: (row.customer, row.unit)):
        contract = list(of)
        source = Source(document_id, books.customer(customer), contract[0].entity, contract[0].currency)
        _Contract(books, source, contract).tell()


class _Contract:
    """One contract's months, told in their order."""

    def __init__(self, books: Books, source: Source, rows: Sequence[Any]) -> None:
        self.books = books
        self.source = source
        self.rows = rows
        self.posted = self._read()
        self.members = {subject: positions.Member() for subject in sorted({row.subject for row in rows})}
        self.formula: set[date] = set()  # the months told by the schedule's own formula
        self.late = any(row.billed_late for row in rows) or len(self.members) > 1
        self.recognised: dict[date, int] = {}  # in the entity's currency, through each month
        self.counted = 0  # what this run made of that more

    def _read(self) -> _Posted:
        connection, customer_id = self.books.connection, self.source.customer.customer_id
        posted = _Posted()
        subjects = {row.subject for row in self.rows}
        posted.keys = {
            account: key
            for account, key in self.books.keys(customer_id).items()
            if key.subject in subjects
            and key.role in _ROLES
            and key[:3:2] == (self.source.entity, self.source.currency)
        }
        asked = {
            "customer_id": customer_id, "accounts": list(posted.keys), "rules": list(RECOGNISING), "first_open": self.rows[0].first_open,
        }  # fmt: skip
        for number in connection.scalars(text(_ENTRIES), asked).all():
            entry = journal.read(connection, number)
            posted.entries[entry.effective_on.replace(day=1)].append((number, entry))
        for role, subject, month, net in connection.execute(text(_MOVED), asked):
            known = posted.moved[role, subject]
            known[month] = known.get(month, 0) + net
        return posted

    def tell(self) -> None:
        """Each month as it is to be: what differs is taken back, the last first, and posted again."""
        months = {month: list(of) for month, of in groupby(self.rows, lambda row: row.month)}
        told: dict[date, list[tuple[date, list[Movement]]]] = {}
        for month, in_month in months.items():
            for row in in_month:
                self.members[row.subject].row = row
            to_be = self._month(in_month, month)
            self.late |= any(m.rule not in _AHEAD for _, movements in to_be for m in movements)
            # what the schedule's formula says of a month is less what it said of those before
            if self._moves(to_be) != self.posted.told(month) or (told and not self.late):
                told[month] = to_be
                self.formula |= set() if self.late or not in_month[0].formula else {month}
        for month in sorted(told, reverse=True):
            self._take_back(month)
        if self.formula:
            self._read_recognised(list(months))
        for month, to_be in told.items():
            for on, movements in to_be:
                self.books.post(self.source, on, self._valued(movements, months[month][0]))

    def _month(self, in_month: Sequence[Any], month: date) -> list[tuple[date, list[Movement]]]:
        """What moves in a month, by day: each obligation on its own, together what passes between them."""
        there = {subject: member for subject, member in self.members.items() if member.row is not None}
        targets = positions.shown([member.row.position for member in there.values()])
        steps = []
        for (subject, member), target in zip(there.items(), targets, strict=True):
            row, through = member.row, self.posted.through
            # what its accounts would hold had recognition posted nothing of the open months
            recognised = row.recognised - through("revenue", subject, month)
            deferred = row.deferred - through("deferred_revenue", subject, month)
            unbilled = row.unbilled + through("unbilled_receivable", subject, month)
            steps.append(
                member.step(row.earned - recognised, max(target, 0) - deferred, max(-target, 0) - unbilled, subject)
            )
        movements = positions.movements(steps)
        dates = {row.subject: row.dated_on for row in in_month}
        last = max(dates.values())
        if any(m.debit != m.credit or m.debit not in dates for m in movements):
            return [(last, movements)] if movements else []
        return [(dates[subject], own) for subject in there if (own := [m for m in movements if m.debit == subject])]

    def _moves(self, told: Sequence[tuple[date, Sequence[Movement]]]) -> Mapping[tuple[date, int, int, int], int]:
        found: Counter[tuple[date, int, int, int]] = Counter()
        for on, movements in told:
            effective_on = self.books.open_day(self.source.entity, on)
            for movement in movements:
                way = self.books.way(self.source, movement)
                found[effective_on, way.rule, way.debit, way.credit] += movement.amount
        return dict(found)

    def _take_back(self, month: date) -> None:
        """Take back what recognition posted of a month."""
        keys = self.books.keys(self.source.customer.customer_id)
        for number, entry in reversed(self.posted.entries[month]):
            self.books.reverse(self.source, number, entry, keys)

    def _read_recognised(self, months: Sequence[date]) -> None:
        """What is recognised through each month, in the entity's currency, once months were taken back."""
        self.books.flush()
        accounts = [account for account, key in self.posted.keys.items() if key.role == "revenue"]
        rows = self.books.connection.execute(
            text(_RECOGNISED), {"customer_id": self.source.customer.customer_id, "accounts": accounts}
        )
        by_month = dict(map(tuple, rows))
        self.recognised = {month: sum(amount for day, amount in by_month.items() if day <= month) for month in months}

    def _valued(self, movements: Sequence[Movement], row: Any) -> list[Movement]:
        """Movements with what they count for where that is decided.

        Revenue of what is billed ahead follows the schedule's own formula, from what was billed at the invoices' rates; all other is
        left to what the accounts hold.
        """
        if row.month not in self.formula:
            return list(movements)
        (movement,) = movements
        step = share(row.billed_functional, row.passed, row.whole) - self.recognised[row.month] - self.counted
        # a correction in the other direction than the amount's is left to the accounts' averages
        if step * (1 if movement.rule == "recognise.deferred" else -1) <= 0:
            return [movement]
        self.counted += step
        return [replace(movement, functional=abs(step))]
