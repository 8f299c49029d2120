"""The month-end checklist: what an entity's month still waits for before it closes. Everything tried is taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy import Connection, Engine

from ledger import periods, revaluation
from ledger.dates import month_end, month_start, month_text
from ledger.errors import Refused
from ledger.reports import Filters
from ledger.verify import verify
from revrec import below_zero, standing
from revrec.recognition import recognize

_NAMED = 3  # of what is warned of, in a line


@dataclass(frozen=True, slots=True)
class Item:
    """A step of the month end: whether it is done, and what is missing where it is not.

    What is only a `warning` keeps nothing from closing; `report` shows it.
    """

    name: str
    done: bool
    detail: str
    warning: bool = False
    report: str = ""

    @property
    def waits(self) -> bool:
        """Whether closing should wait for it."""
        return not self.done and not self.warning


def checklist(engine: Engine, entity: str, month: date, by: str) -> list[Item]:
    """What closing a month waits for: recognition, revaluation, books that verify; and what it warns of. Posts nothing.

    Raises UnknownReference for an unknown entity.
    """
    with engine.connect() as connection:
        periods.currency(connection, entity)
        closed = periods.closed_through(connection, entity)
    if closed is not None and month <= closed:
        return [Item(f"{month_text(month)} is open", False, f"the books of {entity} are closed through {closed}")]
    return [
        _tried(engine, "revenue is recognised", lambda connection: recognize(connection, month, by).entries),
        _tried(
            engine,
            "money in other currencies is revalued",
            lambda connection: revaluation.revalue(connection, entity, month, by).entries,
        ),
        _verified(engine),
        *_watched(engine, entity, month, by),
    ]


def _tried(engine: Engine, name: str, run: Callable[[Connection], int]) -> Item:
    """A step is done where running it would post nothing."""
    with engine.connect() as connection, connection.begin() as transaction:
        try:
            entries = run(connection)
        except Refused as refusal:
            return Item(name, False, str(refusal))
        finally:
            transaction.rollback()
    return Item(name, entries == 0, f"entries due: {entries:,}" if entries else "")


def _verified(engine: Engine) -> Item:
    failed = [check for check in verify(engine) if check.differing]
    return Item("the books verify", not failed, "; ".join(check.sentence for check in failed))


def _watched(engine: Engine, entity: str, month: date, by: str) -> list[Item]:
    """What to look at before a month closes, as the books will stand once its revenue is recognised."""
    last = month_end(month)
    with engine.connect() as connection, connection.begin() as transaction:
        try:
            recognize(connection, month, by)
        except Refused:  # what keeps it from being recognised is said by its own step
            transaction.rollback()
            return _looked_at(engine, entity, last, None)
        try:
            return _looked(connection, entity, last, last)
        finally:
            transaction.rollback()


def _looked_at(engine: Engine, entity: str, last: date, recognised: date | None) -> list[Item]:
    with engine.connect() as connection:
        return _looked(connection, entity, last, recognised)


def _looked(connection: Connection, entity: str, last: date, recognised: date | None) -> list[Item]:
    filters = Filters(entity=entity, as_of=last)
    left = standing.find(connection, filters, recognised=recognised)
    below = below_zero.find(connection, replace(filters, since=month_start(last)))
    return [
        Item(
            "nothing is left standing of what has ended", not left,
            f"{len(left):,}, the oldest for {(last - left[0].ended_on).days:,} days" if left else "", True, "standing",
        ),
        Item(
            "no revenue is below zero without a cause", not below,
            "; ".join(f"{row['subject']} of {row['customer']}" for row in below[:_NAMED]) + (" and more" if len(below) > _NAMED else ""),
            True, "below-zero",
        ),
    ]  # fmt: skip
