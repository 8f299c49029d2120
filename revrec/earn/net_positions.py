"""One net position a contract (606-10-45-1).

Where one of its obligations is billed ahead and another earned ahead, they settle. What each would be by itself is told by its bills and
its terms; what it shows is that, less what others of the contract take of it, in the order of their ids. So the same is shown however
often, and whenever, recognition runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ledger.journal.books import Books
from ledger.journal.movements import Movement, Source

# By which rule an amount goes from an account of one role (its debit) to another obligation's (its credit).
_BETWEEN = {
    ("deferred", "unbilled"): "position.settled",
    ("unbilled", "deferred"): "position.unsettled",
    ("deferred", "deferred"): "position.liability",
    ("unbilled", "unbilled"): "position.asset",
}
_WITHIN = {("deferred", "unbilled"): "recognise.settled", ("unbilled", "deferred"): "recognise.unsettled"}


def shown(positions: Sequence[int]) -> list[int]:
    """What obligations of one contract show of their positions.

    All on the side on which the contract is. Above zero is billed ahead, below it earned ahead. What is on the other side is taken from
    the first of the others on.
    """
    side = 1 if sum(positions) >= 0 else -1
    other = -sum(min(position * side, 0) for position in positions)
    found = []
    for position in positions:
        there = max(position * side, 0)
        taken = min(there, other)
        other -= taken
        found.append((there - taken) * side)
    return found


@dataclass(frozen=True, slots=True)
class Step:
    """How an obligation's part of its contract's position changes in a month.

    By how much more of it is to be recognised, deferred and unbilled.
    """

    subject: str
    product: str
    revenue: int
    deferred: int
    unbilled: int


@dataclass(slots=True)
class Member:
    """An obligation through the months.

    What recognition found of it, and how far the months before took it.
    """

    row: Any = None
    revenue: int = 0
    deferred: int = 0
    unbilled: int = 0

    def step(self, revenue: int, deferred: int, unbilled: int, subject: str) -> Step:
        """What a month adds to what is posted, where all through it is so much."""
        found = Step(
            subject, self.row.product, revenue - self.revenue, deferred - self.deferred, unbilled - self.unbilled
        )
        self.revenue, self.deferred, self.unbilled = revenue, deferred, unbilled
        return found


def net(books: Books, document_id: int, rows: Sequence[Any]) -> None:
    """Post what obligations are to show at each month's end and do not.

    With the revenue that is due of them. `rows` are their obligations by month: posted balances to date, the position of each by itself,
    and what is earned.
    """
    books.parties.learn_customers({row.customer for row in rows})
    books.learn_accounts({row.customer_id for row in rows})
    for (customer, _), of in groupby(rows, lambda row: (row.customer, row.unit)):
        contract = list(of)
        source = Source(document_id, books.parties.customer(customer), contract[0].entity, contract[0].currency)
        members = {subject: Member() for subject in sorted({row.subject for row in contract})}
        for _, month in groupby(contract, lambda row: row.month):
            in_month = list(month)
            for row in in_month:
                members[row.subject].row = row
            books.post(source, max(row.dated_on for row in in_month), movements(_steps(members)))


def _steps(members: dict[str, Member]) -> list[Step]:
    there = {subject: member for subject, member in members.items() if member.row is not None}
    targets = shown([member.row.position for member in there.values()])
    return [
        member.step(
            member.row.earned - member.row.recognised,
            max(target, 0) - member.row.deferred,
            max(-target, 0) - member.row.unbilled,
            subject,
        )
        for (subject, member), target in zip(there.items(), targets, strict=True)
    ]


def movements(steps: Sequence[Step]) -> list[Movement]:
    """What takes a contract's obligations to where they are to be.

    Each out of its own first, then what one is billed ahead and another earns.
    """
    found: list[Movement] = []
    debits: list[list[Any]] = []
    credits_: list[list[Any]] = []
    earned: dict[str, list[Any]] = {}
    for step in steps:
        from_deferred = max(min(-step.deferred, max(step.revenue, 0)), min(step.revenue, 0))
        earned[step.subject] = [step.product, from_deferred, step.revenue - from_deferred]
        deferred, unbilled = step.deferred + from_deferred, step.unbilled - earned[step.subject][2]
        debits += [[step.subject, "deferred", -deferred], [step.subject, "unbilled", unbilled]]
        credits_ += [[step.subject, "deferred", deferred], [step.subject, "unbilled", -unbilled]]
    debits, credits_ = [d for d in debits if d[2] > 0], [c for c in credits_ if c[2] > 0]
    found += _matched(debits, credits_, own=True)
    found += _earned_of_another(debits, credits_, earned)
    found += _matched(debits, credits_, own=False)
    assert not any(item[2] for item in (*debits, *credits_)), "what one obligation gives, another takes"
    recognised = []
    for subject, (product, from_deferred, from_unbilled) in earned.items():
        recognised += _recognised(subject, product, from_deferred, from_unbilled)
    return recognised + found


def _recognised(subject: str, product: str, from_deferred: int, from_unbilled: int) -> list[Movement]:
    moved = (
        (from_deferred, "recognise.deferred", "recognise.less_deferred"),
        (from_unbilled, "recognise.unbilled", "recognise.less_unbilled"),
    )
    return [
        Movement(forward if amount > 0 else back, abs(amount), subject, subject, product)
        for amount, forward, back in moved
        if amount
    ]


def _earned_of_another(
    debits: Sequence[list[Any]], credits_: Sequence[list[Any]], earned: dict[str, list[Any]]
) -> list[Movement]:
    """What is earned of one obligation while another is billed ahead.

    It is earned of that liability, and never was an asset.
    """
    found = []
    for debit in debits:
        for credit in credits_:
            subject, other = credit[0], debit[0]
            if (debit[1], credit[1]) == ("deferred", "unbilled"):
                part = min(debit[2], credit[2], max(earned[subject][2], 0))
                rule, sides, sign = "position.earned", (other, subject), 1
            elif (debit[1], credit[1]) == ("unbilled", "deferred"):
                subject, other = debit[0], credit[0]
                part = min(debit[2], credit[2], max(-earned[subject][2], 0))
                rule, sides, sign = "position.less_earned", (subject, other), -1
            else:
                continue
            if part:
                earned[subject][2] -= sign * part
                debit[2] -= part
                credit[2] -= part
                found.append(Movement(rule, part, *sides, earned[subject][0]))
    return found


def _matched(debits: Sequence[list[Any]], credits_: Sequence[list[Any]], *, own: bool) -> list[Movement]:
    """Debits against credits: an obligation's own, or those of others."""
    found = []
    rules = _WITHIN if own else _BETWEEN
    for debit in debits:
        for credit in credits_:
            part = min(debit[2], credit[2])
            if (debit[0] == credit[0]) is own and part:
                found.append(Movement(rules[debit[1], credit[1]], part, debit[0], credit[0]))
                debit[2] -= part
                credit[2] -= part
    return found
