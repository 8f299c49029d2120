"""Who waits for whom.

Posting takes the books' lock shared; closing a month, recognising and expiring take it alone, so that they see
every entry that was under way and none arrives behind their back. They wait beside the line and not in it: who stands in line
for a lock lets nobody in behind, and one long file would stop all. Within a customer, posters wait for each other
on the customer's row; who moves money holds the rows of all with whom something of it lies. Locks end with the transaction.

Of a server's requests only a few wait for long at once (in the `places` of the connection, an execution option), so that they never
have all its threads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from ledger.database.places import Places
from ledger.errors import Busy

_log = logging.getLogger("tickmark.locks")

# The database's own check takes it too: migrations/books/journal.sql.
BOOKS_LOCK = 71606
# Shared by whoever writes a row that is logged, and never taken alone: migrations/books/history.sql.
_ROW_LOG_LOCK = 71612
_DELIVERIES_LOCK = 71607
_SEALS_LOCK = 71608
_EXPORTS_LOCK = 71609
_SENDING_LOCK = 71610
_JOBS_LOCK = 71611


def share_books(connection: Connection) -> None:
    """Post beside other posters; wait while somebody closes a month or recognises."""
    connection.execute(text("select pg_advisory_xact_lock_shared(:number)"), {"number": BOOKS_LOCK})


def waiting(connection: Connection) -> AbstractContextManager[None]:
    """Wait for others in one of the connection's places, if it has only a few. Raises Busy."""
    places: Places | None = connection.get_execution_options().get("places")
    return nullcontext() if places is None else places.one()


# Who was seen at work for so long is not waited for in line: seconds.
_LONG = 20.0
# How long is stood in line, at first and at most, by how much longer each time, and so many times as long beside it before.
_IN_LINE = (0.1, 5.0)
_LONGER = 3
_BESIDE = 10
# After so long it is said who is waited for, and again each time it was twice as long.
_SAID = 2.0


def hold_books(connection: Connection) -> None:
    """Have the books alone, once nobody else works on them.

    New posters come first, as long as somebody posts a long file. Who does is waited for beside the line, so that others go on; it is
    said who that is. Of shorter work there is always more: for moments it waits in line, a tenth of the time at most. Raises Busy after
    the connection's `patience` (an execution option, in seconds).
    """
    if not _try_books(connection, in_line=0):
        with waiting(connection):
            _wait_for_books(connection)


def _wait_for_books(connection: Connection) -> None:
    patience = connection.get_execution_options().get("patience")
    began = time.monotonic()
    seen: dict[str, float] = {}
    in_line, beside, say = _IN_LINE[0], 0.0, _SAID
    while not _try_books(connection, in_line=0):
        now = time.monotonic()
        there = posters(connection, BOOKS_LOCK)
        seen = {who: seen.get(who, now) for who in there}
        if all(now - since < _LONG for since in seen.values()) and now >= beside:
            if _try_books(connection, in_line):
                return
            in_line = min(_LONGER * in_line, _IN_LINE[1])
            beside = time.monotonic() + _BESIDE * in_line
        waited = time.monotonic() - began
        if patience is not None and waited > patience:
            raise Busy(
                "books",
                "busy",
                f"expected nobody else at work on them: {_holders(connection)}; nothing was done, try again later",
            )
        if waited > say:
            _log.warning("waiting for who works on the books, for %.0f s by now: %s", waited, _holders(connection))
            say = 2 * waited
        time.sleep(min(0.02 + waited / _BESIDE, 0.25))


def _try_books(connection: Connection, in_line: float) -> bool:
    """Whether the books can be had alone, now or within so many seconds.

    In these nobody begins to post.
    """
    if not in_line:
        return bool(connection.scalar(text("select pg_try_advisory_xact_lock(:number)"), {"number": BOOKS_LOCK}))
    before = connection.scalar(text("show lock_timeout"))
    limit = text("select set_config('lock_timeout', :limit, true)")
    try:
        with connection.begin_nested():
            connection.execute(limit, {"limit": f"{round(in_line * 1000)}ms"})
            connection.execute(text("select pg_advisory_xact_lock(:number)"), {"number": BOOKS_LOCK})
            connection.execute(limit, {"limit": before})
    except OperationalError as error:
        if isinstance(error.orig, psycopg.errors.LockNotAvailable):
            return False
        raise
    return True


def _holders(connection: Connection) -> str:
    """Who works on the books by now."""
    rows = connection.execute(
        text(
            "select a.pid, a.usename, a.application_name from pg_locks l join pg_stat_activity a using (pid)"
            " where l.locktype = 'advisory' and l.objsubid = 1 and l.classid = 0 and l.objid = :number and l.granted"
            "  and l.pid <> pg_backend_pid() and l.database = (select oid from pg_database where datname = current_database())"
            " order by a.pid limit 3"
        ),
        {"number": BOOKS_LOCK},
    )
    said = [f"process {pid} of {login}" + (f" ({program})" if program else "") for pid, login, program in rows]
    return ", ".join(said) or "nobody by now"


def hold_customers(connection: Connection, refs: Iterable[str]) -> None:
    """Post to these customers alone. Always in the order of their numbers, so that two posters of a batch can't deadlock.

    The house comes last: who moves money in another currency finds out that it needs it when it holds the customer.
    """
    connection.execute(
        text("select from customer where ref = any(:refs) order by customer_id = 0, customer_id for no key update"),
        {"refs": list(refs)},
    )


def hold_deliveries(connection: Connection) -> None:
    """Deliver alone, so that a webhook is not told twice by two who deliver at once."""
    connection.execute(text("select pg_advisory_xact_lock(:number)"), {"number": _DELIVERIES_LOCK})


def hold_seals(connection: Connection) -> None:
    """Seal alone: each block is chained to the one before."""
    connection.execute(text("select pg_advisory_xact_lock(:number)"), {"number": _SEALS_LOCK})


def hold_exports(connection: Connection) -> None:
    """Export alone what is to go out once."""
    connection.execute(text("select pg_advisory_xact_lock(:number)"), {"number": _EXPORTS_LOCK})


def hold_sending(connection: Connection) -> bool:
    """Send exports alone; returns whether nobody else does.

    One who sends waits for another system, for minutes at times.
    """
    return bool(connection.scalar(text("select pg_try_advisory_xact_lock(:number)"), {"number": _SENDING_LOCK}))


def hold_job(connection: Connection, number: int) -> None:
    """Be who runs a job, until the transaction ends."""
    connection.execute(text("select pg_advisory_xact_lock(:jobs, :number)"), _job(number))


def nobody_holds_job(connection: Connection, number: int) -> bool:
    """Whether nobody runs a job; if so, nobody begins to until the transaction ends."""
    return bool(connection.scalar(text("select pg_try_advisory_xact_lock(:jobs, :number)"), _job(number)))


def _job(number: int) -> dict[str, int]:
    return {"jobs": _JOBS_LOCK, "number": number % 2**31}


def posters(connection: Connection, *numbers: int) -> set[str]:
    """The transactions that post or log rows by now, this one's aside.

    Whoever took a number of either is among them, or is done. Of `numbers`, those that hold one of these locks.
    """
    rows = connection.execute(
        text(
            "select virtualtransaction from pg_locks where locktype = 'advisory' and objsubid = 1 and classid = 0"
            " and objid = any(:numbers) and granted and pid <> pg_backend_pid()"
            " and database = (select oid from pg_database where datname = current_database())"
        ),
        {"numbers": list(numbers) or [BOOKS_LOCK, _ROW_LOG_LOCK]},
    )
    return set(rows.scalars())
