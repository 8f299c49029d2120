"""How long a request waits for the database: then it is told so.

For a lock it waits a second, and once more for a minute, in one of a few places: so that those who wait for somebody at work for long
never have all threads. What reads has a minute a statement, what writes has longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import psycopg
from flask import g, has_request_context, request
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

from ledger.database.places import Places

LOCK_SECONDS = 60
# Of a lock, at first, and where all places to wait in are taken for long.
_FIRST_SECONDS = 1.0
_FULL_SECONDS = 0.1
# Of a statement: of what reads, and of what writes or was given longer.
READ_SECONDS = 60
LONG_SECONDS = 900
# How many requests wait for long at once: fewer than there are threads for them.
WAITING_MAX = 4
_READS = ("GET", "HEAD", "OPTIONS")

_Made = TypeVar("_Made")


def of_requests(engine: Engine, lock_seconds: float) -> Engine:
    """The engine with which requests are answered; its pool is the same."""
    places = Places(WAITING_MAX, "wait for who works on the books")
    limited = engine.execution_options(patience=lock_seconds, places=places)

    @event.listens_for(limited, "begin")
    def _limit(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection), "psycopg is the only driver"
        if driver.autocommit:  # every statement is a transaction of its own
            return
        first = _FULL_SECONDS if places.are_long_taken else min(_FIRST_SECONDS, lock_seconds)
        lock = connection.get_execution_options().get("lock_seconds", first)
        driver.execute(
            f"set local lock_timeout = {round(lock * 1000)};"
            f" set local statement_timeout = {round(_statement_seconds() * 1000)}",
            prepare=False,
        )

    return limited


def patiently(engine: Engine, transaction: Callable[[Engine], _Made]) -> _Made:
    """What a transaction makes: where somebody is in its way for long, it is done again with patience, in one of the places.

    Only an engine of requests has places. Raises Busy where all are taken.
    """
    options = engine.get_execution_options()
    places: Places | None = options.get("places")
    try:
        return transaction(engine)
    except (DBAPIError, psycopg.Error) as error:
        if places is None or not isinstance(_cause(error), psycopg.errors.LockNotAvailable):
            raise
    with places.one():
        return transaction(engine.execution_options(lock_seconds=options["patience"]))


def give_long() -> None:
    """Give this request's statements the time of those that write: what it does is done by few at once."""
    g.takes_long = True


def _statement_seconds() -> float:
    long = not has_request_context() or g.get("takes_long", False) or request.method not in _READS
    return LONG_SECONDS if long else READ_SECONDS


def _cause(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def told(error: BaseException | None) -> str | None:
    """Why a request gave up, in a sentence, where that is what an error comes from; None for any other."""
    while error is not None:
        cause = _cause(error)
        if isinstance(cause, psycopg.errors.LockNotAvailable):
            return "Somebody else works on what this would change: nothing was done, try again later."
        if isinstance(cause, psycopg.errors.QueryCanceled):
            return f"This takes longer than the {_statement_seconds():g} seconds that there are for it: ask for less of it."
        error = error.__cause__ or error.__context__
    return None
