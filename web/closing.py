"""The month-end checklist: what an entity's month still waits for before it closes. Everything tried is taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, Engine

from ledger import periods, revaluation
from ledger.dates import month_text
from ledger.errors import Refused
from ledger.verify import verify
from revrec.recognition import recognize


@dataclass(frozen=True, slots=True)
class Item:
    """A step of the month end: whether it is done, and what is missing where it is not."""

    name: str
    done: bool
    detail: str


def checklist(engine: Engine, entity: str, month: date, by: str) -> list[Item]:
    """What closing a month waits for: recognition, revaluation, books that verify. Posts nothing.

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
