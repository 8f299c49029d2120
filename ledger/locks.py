"""Who waits for whom.

Posting takes the books' lock shared; closing a month, recognising and expiring take it alone, so that they see
every entry that was under way and none arrives behind their back. Within a customer, posters wait for each other
on the customer's row; who moves money holds the rows of all with whom something of it lies. Locks end with the transaction.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, text

# The database's own check takes it too: migrations/versions/0001_books.sql.
BOOKS_LOCK = 71606
# Shared by whoever writes a row that is logged, and never taken alone: migrations/versions/0048_row_log.sql.
_ROW_LOG_LOCK = 71612
_DELIVERIES_LOCK = 71607
_SEALS_LOCK = 71608
_EXPORTS_LOCK = 71609
_SENDING_LOCK = 71610
_JOBS_LOCK = 71611


def share_books(connection: Connection) -> None:
    """Post beside other posters; wait while somebody closes a month or recognises."""
    connection.execute(text("select pg_advisory_xact_lock_shared(:number)"), {"number": BOOKS_LOCK})


def hold_books(connection: Connection) -> None:
    """Have the books alone: wait for posters, and let new ones wait."""
    connection.execute(text("select pg_advisory_xact_lock(:number)"), {"number": BOOKS_LOCK})


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
    """Send exports alone; whether nobody else does: one who sends waits for another system, for minutes at times."""
    return bool(connection.scalar(text("select pg_try_advisory_xact_lock(:number)"), {"number": _SENDING_LOCK}))


def hold_job(connection: Connection, number: int) -> None:
    """Be who runs a job, until the transaction ends."""
    connection.execute(text("select pg_advisory_xact_lock(:jobs, :number)"), _job(number))


def nobody_holds_job(connection: Connection, number: int) -> bool:
    """Whether nobody runs a job; if so, nobody begins to until the transaction ends."""
    return bool(connection.scalar(text("select pg_try_advisory_xact_lock(:jobs, :number)"), _job(number)))


def _job(number: int) -> dict[str, int]:
    return {"jobs": _JOBS_LOCK, "number": number % 2**31}


def posters(connection: Connection) -> set[str]:
    """The transactions that post or log rows by now, this one's aside: whoever took a number of either is among them, or is done."""
    rows = connection.execute(
        text(
            "select virtualtransaction from pg_locks where locktype = 'advisory' and objsubid = 1 and classid = 0"
            " and objid = any(:numbers) and granted and pid <> pg_backend_pid()"
            " and database = (select oid from pg_database where datname = current_database())"
        ),
        {"numbers": [BOOKS_LOCK, _ROW_LOG_LOCK]},
    )
    return set(rows.scalars())
