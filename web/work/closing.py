"""Closing a month: the checklist of what it still waits for, which is run and held to. Everything tried is taken back.

What is not done is refused by name; a month may be closed all the same with a reason, which is kept with what was undone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy import Connection, Engine, text

from ledger.amounts.dates import month_end, month_start, month_text
from ledger.cash import money_accounts
from ledger.database import locks
from ledger.errors import Problem, ProblemList, Refused
from ledger.journal import periods, revaluation
from ledger.proof.verify import verify
from ledger.reports.report import Column, Filters, Report
from revrec.earn.recognition import recognize
from revrec.reports import below_zero, standing
from revrec.watches import HELD

_NAMED = 3  # of what is warned of, in a line


@dataclass(frozen=True, slots=True)
class Item:
    """A step of the month end: whether it is done, and what is missing where it is not.

    What is only a `warning` keeps nothing from closing; `report` shows it. `todo` is what does it, or says more.
    """

    name: str
    done: bool
    detail: str
    warning: bool = False
    report: str = ""
    todo: str = ""

    @property
    def told(self) -> str:
        """The step with what is missing."""
        return f"{self.name}: {self.detail}" if self.detail else self.name

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
    verified = _verified(engine)
    with engine.connect() as connection:
        return _items(connection, entity, month, by, verified)


def close(
    engine: Engine, entities: Sequence[str], month: date, by: str, *, anyway: bool = False, reason: str = ""
) -> Mapping[str, list[str]]:
    """Close a month of entities, of all or none, where nothing of the checklist is undone; returns by entity what was, all the same.

    Raises ProblemList naming what is undone, unless it is to be closed `anyway` with a reason, which is kept with it; Refused where
    the month can't be closed.
    """
    if anyway and not reason.strip():
        raise Refused("reason", "missing", "expected why it is closed with something undone")
    with engine.connect() as connection:  # what can't be closed needs no checks
        for entity in entities:
            periods.require_closable(connection, entity, month)
    verified = _verified(engine)
    with engine.begin() as connection:
        locks.hold_books(connection)  # nothing comes in between what is checked and the close
        undone = {
            entity: [item for item in _items(connection, entity, month, by, verified) if item.waits]
            for entity in entities
        }
        if any(undone.values()) and not anyway:
            raise ProblemList(
                [
                    Problem("month", month_text(month), f"expected for {entity} that {item.told} ({item.todo})")
                    for entity, items in undone.items()
                    for item in items
                ]
            )
        told = {entity: [item.told for item in items] for entity, items in undone.items()}
        for entity in entities:
            periods.close(connection, entity, month, by, reason.strip(), told[entity])
    return told


def history(connection: Connection, entities: Sequence[str]) -> Report:
    """Months closed and opened again: when, by whom, why, and what was undone then."""
    columns = (
        Column("entity", "Entity"), Column("month", "Month"), Column("action", "What"), Column("at", "When"), Column("by", "Who"),
        Column("reason", "Why"), Column("undone", "Undone"),
    )  # fmt: skip
    rows = tuple(
        {
            "entity": entity, "month": month_text(event.month), "action": event.action, "at": event.at.isoformat(timespec="seconds"),
            "by": event.by, "reason": event.reason, "undone": "; ".join(event.undone),
        }
        for entity in entities for event in periods.events(connection, entity)
    )  # fmt: skip
    return Report("periods", "Periods", columns, rows, empty="No month was closed yet.")


def _items(connection: Connection, entity: str, month: date, by: str, verified: Item) -> list[Item]:
    recognised, watched = _recognised(connection, entity, month, by)
    return [
        recognised,
        _tried(
            connection,
            "money in other currencies is revalued",
            f"tickmark revalue {month_text(month)}",
            lambda tried: revaluation.revalue(tried, entity, month, by).entries,
        ),
        verified,
        *watched,
    ]


def _recognised(connection: Connection, entity: str, month: date, by: str) -> tuple[Item, list[Item]]:
    """Whether revenue is recognised; and what to look at in the books as they will stand once it is."""
    watched: list[Item] = []

    def run(tried: Connection) -> int:
        entries = recognize(tried, month, by).entries and _entries_of(tried, entity)
        watched.extend(_watched(tried, entity, month_end(month), month_end(month)))
        return entries

    recognised = _tried(connection, "revenue is recognised", f"tickmark recognize --through {month_text(month)}", run)
    if not watched:  # nothing can be recognised: the books as they stand
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


def _tried(connection: Connection, name: str, todo: str, run: Callable[[Connection], int]) -> Item:
    """A step is done where running it would post nothing."""
    with connection.begin_nested() as savepoint:
        try:
            entries = run(connection)
        except Refused as refusal:
            return Item(name, False, str(refusal), todo=todo)
        finally:
            savepoint.rollback()
    return Item(name, entries == 0, f"entries due: {entries:,}" if entries else "", todo=todo)


def _verified(engine: Engine) -> Item:
    failed = [check for check in verify(engine, held=HELD) if check.differing]
    told = "; ".join(check.sentence for check in failed)
    return Item("the books verify", not failed, told, todo="tickmark verify")


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
