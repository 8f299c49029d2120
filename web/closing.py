"""The month-end checklist: what an entity's month still waits for before it closes. Everything tried is taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy import Connection, Engine, text

from ledger import money_accounts, periods, revaluation
from ledger.dates import month_end, month_start, month_text
from ledger.errors import Refused
from ledger.reports import Filters
from ledger.verify import verify
from revrec import below_zero, standing
from revrec.recognition import recognize
from revrec.watches import HELD

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
    recognised, watched = _recognised(engine, entity, month, by)
    return [
        recognised,
        _tried(
            engine,
            "money in other currencies is revalued",
            lambda connection: revaluation.revalue(connection, entity, month, by).entries,
        ),
        _verified(engine),
        *watched,
    ]


def _recognised(engine: Engine, entity: str, month: date, by: str) -> tuple[Item, list[Item]]:
    """Whether revenue is recognised; and what to look at in the books as they will stand once it is."""
    watched: list[Item] = []

    def run(connection: Connection) -> int:
        entries = recognize(connection, month, by).entries and _entries_of(connection, entity)
        watched.extend(_watched(connection, entity, month_end(month), month_end(month)))
        return entries

    recognised = _tried(engine, "revenue is recognised", run)
    if not watched:  # nothing can be recognised: the books as they stand
        with engine.connect() as connection:
            watched.extend(_watched(connection, entity, month_end(month), None))
    return recognised, watched


def _entries_of(connection: Connection, entity: str) -> int:
    """How many entries of an entity the run posted that was tried just now."""
    found = connection.scalar(
        text(
            "select count(distinct (e.customer_id, e.entry_id)) from entry e join posting p using (customer_id, entry_id)"
            " join account a on a.customer_id = p.customer_id and a.account_id = p.debit_account"
            " where e.document_id = (select max(document_id) from document where type = 'recognition') and a.entity = :entity"
        ),
        {"entity": entity},
    )
    return int(found or 0)


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
    failed = [check for check in verify(engine, held=HELD) if check.differing]
    return Item("the books verify", not failed, "; ".join(check.sentence for check in failed))


def _watched(connection: Connection, entity: str, last: date, recognised: date | None) -> list[Item]:
    """What is left standing of what has ended by a month's end, what of its revenue is below zero without a cause, and money that is not there."""
    filters = Filters(entity=entity, as_of=last)
    left = standing.find(connection, filters, recognised=recognised)
    below = below_zero.find(connection, replace(filters, since=month_start(last)))
    overdrawn = money_accounts.told(connection, filters)
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
        Item(
            "no account of money is below zero", not overdrawn,
            "; ".join(overdrawn[:_NAMED]) + (" and more" if len(overdrawn) > _NAMED else ""), True, "money-accounts",
        ),
    ]  # fmt: skip
