"""One net position a contract: where one of its obligations is billed ahead and another earned ahead, they settle (606-10-45-1).

What each would be by itself is told by its bills and its terms; what it shows is that, less what others of the contract take of it, in the
order of their ids. So the same is shown however often, and whenever, recognition runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

from ledger.books import Books, Movement, Source

# By which rule an amount goes from an account of one role (its debit) to another obligation's (its credit).
_BETWEEN = {
    ("deferred", "unbilled"): "position.settled",
    ("unbilled", "deferred"): "position.unsettled",
    ("deferred", "deferred"): "position.liability",
    ("unbilled", "unbilled"): "position.asset",
}
_WITHIN = {("deferred", "unbilled"): "recognise.settled", ("unbilled", "deferred"): "recognise.unsettled"}


def shown(positions: Sequence[int]) -> list[int]:
    """What obligations of one contract show of their positions: all on the side on which the contract is.

    Above zero is billed ahead, below it earned ahead. What is on the other side is taken from the first of the others on.
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


@dataclass(slots=True)
class _Member:
    """An obligation through the months: what recognition found of it, and what is posted here on top."""

    row: Any = None
    recognised: int = 0
    deferred: int = 0
    unbilled: int = 0


def net(books: Books, document_id: int, rows: Sequence[Any]) -> None:
    """Post what each obligation of contracts is to show at each month's end and does not, with the revenue that is due of it.

    `rows` are their obligations by month: posted balances to date, the position of each by itself, and what is earned.
    """
    books.learn_customers({row.customer for row in rows})
    for (customer, _), of in groupby(rows, lambda row: (row.customer, row.package)):
        contract = list(of)
        source = Source(document_id, books.customer(customer), contract[0].entity, contract[0].currency)
        members = {subject: _Member() for subject in sorted({row.subject for row in contract})}
        for _, month in groupby(contract, lambda row: row.month):
            in_month = list(month)
            for row in in_month:
                members[row.subject].row = row
            _net_month(books, source, members, max(row.dated_on for row in in_month))


def _net_month(books: Books, source: Source, members: dict[str, _Member], on: date) -> None:
    there = {subject: member for subject, member in members.items() if member.row is not None}
    movements: list[Movement] = []
    debits: list[tuple[str, str, int]] = []
    credits_: list[tuple[str, str, int]] = []
    targets = shown([member.row.position for member in there.values()])
    for (subject, member), target in zip(there.items(), targets, strict=True):
        row = member.row
        revenue = row.earned - row.recognised - member.recognised
        deferred = max(target, 0) - row.deferred - member.deferred
        unbilled = max(-target, 0) - row.unbilled - member.unbilled
        from_deferred = max(min(-deferred, max(revenue, 0)), min(revenue, 0))
        from_unbilled = revenue - from_deferred
        movements += _recognised(subject, row.product, from_deferred, from_unbilled)
        member.recognised += revenue
        member.deferred += deferred
        member.unbilled += unbilled
        left = {"deferred": deferred + from_deferred, "unbilled": unbilled - from_unbilled}
        debits += [(subject, "deferred", -left["deferred"]), (subject, "unbilled", left["unbilled"])]
        credits_ += [(subject, "deferred", left["deferred"]), (subject, "unbilled", -left["unbilled"])]
    movements += _matched([d for d in debits if d[2] > 0], [c for c in credits_ if c[2] > 0])
    books.post(source, on, movements)


def _recognised(subject: str, product: str, from_deferred: int, from_unbilled: int) -> list[Movement]:
    found = []
    for amount, forward, back in (
        (from_deferred, "recognise.deferred", "recognise.less_deferred"),
        (from_unbilled, "recognise.unbilled", "recognise.less_unbilled"),
    ):
        found.append(Movement(forward if amount > 0 else back, abs(amount), subject, subject, product))
    return found


def _matched(debits: Sequence[tuple[str, str, int]], credits_: Sequence[tuple[str, str, int]]) -> list[Movement]:
    """Debits against credits of the same sum: an obligation's own first, then those of others."""
    owed: list[list[Any]] = [list(item) for item in debits]
    due: list[list[Any]] = [list(item) for item in credits_]
    movements = []
    for own in (True, False):
        for debit in owed:
            for credit in due:
                if (debit[0] == credit[0]) is not own or not debit[2] or not credit[2]:
                    continue
                part = min(debit[2], credit[2])
                rules = _WITHIN if own else _BETWEEN
                movements.append(Movement(rules[debit[1], credit[1]], part, debit[0], credit[0]))
                debit[2] -= part
                credit[2] -= part
    assert not any(item[2] for item in (*owed, *due)), "what one obligation gives, another takes"
    return movements
