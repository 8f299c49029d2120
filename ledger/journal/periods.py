"""Months close in order; closed books take no entry, and what comes late goes into the first open month."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, text

from ledger.amounts.dates import FIRST_DAY, month_end, month_start, month_text
from ledger.database import locks
from ledger.errors import ClosedPeriod, Refused, UnknownReference


def closed_through(connection: Connection, entity: str) -> date | None:
    """The last day of an entity's last closed month, or None where none is closed."""
    found: date | None = connection.scalar(
        text("select closed_through from closed_books where entity = :entity"), {"entity": entity}
    )
    return found


def first_open_day(connection: Connection, entity: str) -> date:
    """The first day that takes entries."""
    closed = closed_through(connection, entity)
    return FIRST_DAY if closed is None else closed + timedelta(days=1)


def ever_reopened(connection: Connection) -> bool:
    """Whether a month of any entity was opened again."""
    return bool(connection.scalar(text("select exists (select from period_event where action = 'reopened')")))


def moved_to(connection: Connection, customer_id: int) -> dict[str, date]:
    """By entity, the last day to which something of a customer was moved out of a month that is open now.

    It came while that was closed, and it was opened again; or it counts with what was of another entity, whose month is closed.
    """
    rows = connection.execute(text(_MOVED), {"customer_id": customer_id})
    return {row.entity: row.last for row in rows}


_MOVED = """
    with open as materialized (
        select e.entity, coalesce(b.closed_through + 1, '-infinity') as since from entity e left join closed_books b using (entity)
        where exists (select from period_event p where p.entity = e.entity and p.action = 'reopened')
           or exists (select from invoice i where i.customer_id = :customer_id and i.master is not null)
    )
    select o.entity, max(e.effective_on) as last
    from open o
    join account a on a.customer_id = :customer_id and a.entity = o.entity
    join posting p on p.customer_id = :customer_id and p.debit_account = a.account_id
    join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id
    where e.effective_on > e.occurred_on and e.effective_on > o.since
    group by 1"""


def entities(connection: Connection) -> list[str]:
    """All entities' ids, in order."""
    return list(connection.execute(text("select entity from entity order by entity")).scalars())


def only_entity(connection: Connection) -> str:
    """The books' entity where there is one. Raises Refused where there are several, or none."""
    found = entities(connection)
    if len(found) != 1:
        shown = ", ".join(found) or "none"
        raise Refused("entity", "missing", f"expected one of the entities in the books ({shown})")
    return found[0]


def currency(connection: Connection, entity: str) -> str:
    """An entity's functional currency. Raises UnknownReference."""
    found: str | None = connection.scalar(
        text("select currency from entity where entity = :entity"), {"entity": entity}
    )
    if found is None:
        raise UnknownReference("entity", entity, "expected the id of an entity posted before")
    return found


def time_zone(connection: Connection, entity: str) -> str | None:
    """Where an entity's days begin, or None for one that is not in the books."""
    found: str | None = connection.scalar(
        text("select time_zone from entity where entity = :entity"), {"entity": entity}
    )
    return found


def require_closable(connection: Connection, entity: str, month: date) -> None:
    """Raise ClosedPeriod for a month that is closed already, Refused where an earlier one with entries is still open."""
    _require_entity(connection, entity)
    closed = closed_through(connection, entity)
    if closed is not None and month <= closed:
        raise ClosedPeriod("month", month_text(month), f"the books of {entity} are closed through {closed} already")
    open_before = _first_entry_between(connection, entity, closed or FIRST_DAY, month)
    if open_before is not None:
        raise Refused(
            "month",
            month_text(month),
            f"expected {month_text(open_before)} first: it has entries of {entity} and is open",
        )


def close(
    connection: Connection, entity: str, month: date, by: str, reason: str = "", undone: Sequence[str] = ()
) -> None:
    """Close a month: nothing posts into it, or before it, any more. What is `undone` then is kept, with the reason.

    Raises ClosedPeriod where it is closed already, Refused where an earlier month with entries is still open.
    """
    locks.hold_books(connection)
    require_closable(connection, entity, month)
    _record(connection, entity, month, month_end(month), action="closed", by=by, reason=reason, undone=undone)


def events(connection: Connection, entity: str) -> Sequence[Any]:
    """When and by whom months of an entity were closed and opened again, why, and what was undone; in that order."""
    return connection.execute(
        text(
            "select month, action, at, by, reason, undone from period_event where entity = :entity order by period_event_id"
        ),
        {"entity": entity},
    ).all()


def reopen(connection: Connection, entity: str, month: date, by: str, reason: str) -> None:
    """Open the last closed month again, on the record. Raises Refused for another month, or without a reason."""
    _require_entity(connection, entity)
    if not reason.strip():
        raise Refused("reason", "missing", "expected why the month is opened again")
    locks.hold_books(connection)
    closed = closed_through(connection, entity)
    if closed is None or month_start(closed) != month:
        last = "none is closed" if closed is None else f"the last closed one, {month_text(closed)}"
        raise Refused("month", month_text(month), f"expected {last}")
    _record(connection, entity, month, month - timedelta(days=1), action="reopened", by=by, reason=reason)


def _require_entity(connection: Connection, entity: str) -> None:
    if entity not in entities(connection):
        raise UnknownReference("entity", entity, "expected the id of an entity posted before")


def _first_entry_between(connection: Connection, entity: str, after: date, before: date) -> date | None:
    found: date | None = connection.scalar(
        text(
            "select min(p.effective_on) from posting p "
            "join account a on a.customer_id = p.customer_id and a.account_id = p.debit_account "
            "where a.entity = :entity and p.effective_on > :after and p.effective_on < :before"
        ),
        {"entity": entity, "after": after, "before": before},
    )
    return found


def _record(
    connection: Connection,
    entity: str,
    month: date,
    closed: date,
    *,
    action: str,
    by: str,
    reason: str,
    undone: Sequence[str] = (),
) -> None:
    connection.execute(
        text(
            "insert into closed_books (entity, closed_through) values (:entity, :closed) "
            "on conflict (entity) do update set closed_through = excluded.closed_through"
        ),
        {"entity": entity, "closed": closed},
    )
    # Moment and number are taken now that the books are ours alone: what others posted while we waited for them came before.
    connection.execute(
        text(
            "insert into period_event (entity, month, action, by, reason, undone, at, last_entry) values (:entity, :month, :action,"
            " :by, :reason, :undone, clock_timestamp(), coalesce(pg_sequence_last_value('entry_number'), 0))"
        ),
        {"entity": entity, "month": month, "action": action, "by": by, "reason": reason, "undone": list(undone)},
    )
