"""Recognition in another currency than the entity's, where each amount is two.

What a movement counts for there depends on which account it leaves: what was billed ahead is earned at the rate it was billed at, what
is earned ahead at the month's. So a bill that comes late, or a change, has the months that it touches told anew, as they would
have been told with it: their entries are taken back and posted again. The same is shown whenever recognition ran.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from itertools import groupby
from typing import Any

from sqlalchemy import text

from ledger.accounts.rulebook import RECOGNISING
from ledger.amounts.money import share
from ledger.journal import entry_rows
from ledger.journal.books import Books
from ledger.journal.movements import AccountKey, Movement, Source
from revrec.earn import net_positions

# What recognition posted from a month on and stands, of accounts: (customer, account, month). Each movement debits one of a contract.
_STANDING = """
    select p.customer_id, p.entry_id, p.effective_on, p.rule, p.debit_account, p.credit_account, p.amount
    from unnest(cast(:customers as bigint[]), cast(:accounts as bigint[]), cast(:since as date[])) w (customer_id, account_id, since)
    join posting p on p.customer_id = w.customer_id and p.debit_account = w.account_id
    join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id
    where p.rule = any(:rules) and p.amount > 0 and p.effective_on >= w.since and e.reverses is null
      and not exists (select from entry r where r.customer_id = e.customer_id and r.reverses = e.entry_id)
    order by p.entry_id"""
_RECOGNISED = """
    select date_trunc('month', effective_on)::date, sum(case when credit_account = any(:accounts) then functional_amount
                                                             else -functional_amount end)::bigint
    from posting where customer_id = :customer_id and (credit_account = any(:accounts) or debit_account = any(:accounts)) group by 1"""
# A movement: the day, rule and accounts.
Moved = tuple[date, int, int, int]
_AHEAD = ("recognise.deferred", "recognise.less_deferred")
_ROLES = ("deferred_revenue", "unbilled_receivable", "revenue")


@dataclass(slots=True)
class _Posted:
    """What recognition posted of one contract from a month on and stands."""

    keys: dict[int, AccountKey]
    entries: defaultdict[date, list[int]] = field(default_factory=lambda: defaultdict(list))
    told: defaultdict[date, Counter[Moved]] = field(default_factory=lambda: defaultdict(Counter))
    moved: defaultdict[tuple[str, str], Counter[date]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, row: Any) -> None:
        """Take a movement in."""
        month = row.effective_on.replace(day=1)
        if row.entry_id not in self.entries[month]:
            self.entries[month].append(row.entry_id)
        self.told[month][row.effective_on, row.rule, row.debit_account, row.credit_account] += row.amount
        for account, sign in ((row.debit_account, -1), (row.credit_account, 1)):
            key = self.keys[account]
            self.moved[key.role, key.subject][month] += sign * row.amount

    def through(self, role: str, subject: str, month: date) -> int:
        """The net change of an account by recognition, through a month."""
        return sum(net for day, net in self.moved[role, subject].items() if day <= month)


def recognise(books: Books, document_id: int, rows: Sequence[Any]) -> None:
    """Post what is due of obligations by month.

    `rows` are those of contracts of which something is, with their balances to date.
    """
    books.parties.learn_customers({row.customer for row in rows})
    books.learn_accounts({row.customer_id for row in rows})
    contracts = [list(of) for _, of in groupby(rows, lambda row: (row.customer_id, row.unit))]
    posted = _read(books, contracts)
    for contract in contracts:
        first = contract[0]
        source = Source(document_id, books.parties.customer(first.customer), first.entity, first.currency)
        _Contract(books, source, contract, posted[first.customer_id, first.unit]).tell()


def _read(books: Books, contracts: Sequence[Sequence[Any]]) -> dict[tuple[int, str], _Posted]:
    """What recognition posted of contracts from their first months on."""
    found: dict[tuple[int, str], _Posted] = {}
    owner: dict[tuple[int, int], _Posted] = {}
    asked: list[tuple[int, int, date]] = []
    by_subject: dict[tuple[int, str, str, str], list[tuple[int, AccountKey]]] = defaultdict(list)
    for customer_id in {contract[0].customer_id for contract in contracts}:
        for account, key in books.keys(customer_id).items():
            if key.role in _ROLES:
                by_subject[customer_id, key.entity, key.currency, key.subject].append((account, key))
    for contract in contracts:
        first = contract[0]
        keys = {
            account: key
            for subject in {row.subject for row in contract}
            for account, key in by_subject[first.customer_id, first.entity, first.currency, subject]
        }
        posted = found[first.customer_id, first.unit] = _Posted(keys)
        owner |= {(first.customer_id, account): posted for account in keys}
        asked += [(first.customer_id, account, max(first.month, first.first_open)) for account in keys]
    rows = books.connection.execute(
        text(_STANDING),
        {
            "customers": [customer_id for customer_id, *_ in asked],
            "accounts": [account for _, account, _ in asked],
            "since": [since for *_, since in asked],
            "rules": list(RECOGNISING),
        },
    )
    for row in rows if asked else ():
        owner[row.customer_id, row.debit_account].add(row)
    return found


class _Contract:
    """One contract's months, told in their order."""

    def __init__(self, books: Books, source: Source, rows: Sequence[Any], posted: _Posted) -> None:
        self.books = books
        self.source = source
        self.rows = rows
        self.posted = posted
        self.members = {subject: net_positions.Member() for subject in sorted({row.subject for row in rows})}
        self.formula: set[date] = set()  # the months told by the schedule's own formula
        self.late = len(self.members) > 1
        self.recognised = {row.month: row.recognised_functional for row in rows}  # in the entity's currency
        self.counted = 0  # what this run made of that more
        self.stale = False  # whether it made more of it than was counted
        self.earned: dict[date, int] = {}  # before each month, in the contract's currency

    def tell(self) -> None:
        """Each month as it is to be: what differs is taken back, the last first, and posted again."""
        months = {month: list(of) for month, of in groupby(self.rows, lambda row: row.month)}
        told: dict[date, list[tuple[date, list[Movement]]]] = {}
        for month, in_month in months.items():
            for row in in_month:
                self.members[row.subject].row = row
            member = self.members[in_month[0].subject]
            before = member.revenue
            to_be = self._month(in_month, month)
            # what was earned before: by months that were told before, and what documents and closed months have
            self.earned[month] = (
                in_month[0].recognised - self.posted.through("revenue", in_month[0].subject, month) + before
            )
            self.late |= any(row.late_before for row in in_month)
            self.late |= any(m.rule not in _AHEAD for _, movements in to_be for m in movements)
            # what the schedule's formula says of a month is less what it said of those before
            if self._moves(to_be) != self.posted.told[month] or (told and not self.late):
                told[month] = to_be
                self.formula |= set() if self.late or not in_month[0].formula else {month}
        self.stale = any([self._take_back(month) for month in sorted(told, reverse=True)])  # noqa: C419 - all of them
        for month, to_be in told.items():
            for on, movements in to_be:
                self.books.post(self.source, on, self._valued(movements, months[month][0]))

    def _month(self, in_month: Sequence[Any], month: date) -> list[tuple[date, list[Movement]]]:
        """What moves in a month, by day.

        Each obligation on its own, together what passes between them.
        """
        there = {subject: member for subject, member in self.members.items() if member.row is not None}
        targets = net_positions.shown([member.row.position for member in there.values()])
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
        movements = net_positions.movements(steps)
        dates = {row.subject: row.dated_on for row in in_month}
        last = max(dates.values())
        if any(m.debit != m.credit or m.debit not in dates for m in movements):
            return [(last, movements)] if movements else []
        return [(dates[subject], own) for subject in there if (own := [m for m in movements if m.debit == subject])]

    def _moves(self, told: Sequence[tuple[date, Sequence[Movement]]]) -> Counter[Moved]:
        found: Counter[Moved] = Counter()
        for on, movements in told:
            effective_on = self.books.days.open_day(self.source, on)
            for movement in movements:
                way = self.books.way(self.source, movement)
                found[effective_on, way.rule, way.debit, way.credit] += movement.amount
        return found

    def _take_back(self, month: date) -> bool:
        """Take back what recognition posted of a month; whether there was anything."""
        keys = self.books.keys(self.source.customer.customer_id)
        for number in reversed(self.posted.entries[month]):
            self.books.reverse(self.source, number, entry_rows.read(self.books.connection, number), keys)
        return bool(self.posted.entries[month])

    def _read_recognised(self) -> None:
        """What is recognised through each month, in the entity's currency, as it stands now."""
        self.books.flush()
        accounts = [account for account, key in self.posted.keys.items() if key.role == "revenue"]
        rows = self.books.connection.execute(
            text(_RECOGNISED), {"customer_id": self.source.customer.customer_id, "accounts": accounts}
        )
        by_month = dict(map(tuple, rows))
        self.recognised = {
            month: sum(amount for day, amount in by_month.items() if day <= month) for month in self.recognised
        }

    def _valued(self, movements: Sequence[Movement], row: Any) -> list[Movement]:
        """Movements with what they count for where that is decided.

        Revenue of what is billed ahead follows the schedule's own formula, from what was billed at the invoices' rate; all other is
        left to what the accounts hold.
        """
        if row.month not in self.formula or not self._of_one_rate(row):
            self.stale = True
            return list(movements)
        (movement,) = movements
        step = share(row.billed_functional, row.passed, row.whole) - self._before(row.month)
        # a correction in the other direction than the amount's is left to the accounts' averages
        if step * (1 if movement.rule == "recognise.deferred" else -1) <= 0:
            self.stale = True
            return [movement]
        self.counted += step
        return [replace(movement, functional=abs(step))]

    def _before(self, month: date) -> int:
        """What is recognised before a month is told, in the entity's currency."""
        if self.stale:
            self._read_recognised()
            self.stale, self.counted = False, 0
        return int(self.recognised[month]) + self.counted

    def _of_one_rate(self, row: Any) -> bool:
        """Whether all that is billed counts at one rate.

        What was recognised before counts for as much of it as its amount is: else bills had other rates.
        """
        if not row.billed:
            return False
        before = self._before(row.month)
        exact = Fraction(int(row.billed_functional) * self.earned[row.month], row.billed)
        return bool(abs(before - exact) <= abs(Fraction(int(row.billed_functional), row.billed)) + 1)
