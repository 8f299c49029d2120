"""The last numbers handed out, once nobody is posting who may have taken one of them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, text

from ledger.database import locks
from ledger.errors import Busy

PATIENCE_SECONDS = 600.0
_POLL_SECONDS = 0.02


def settled_number(connection: Connection, patience: float = PATIENCE_SECONDS) -> int:
    """The last entry number handed out, once nobody may still post up to it.

    No poster is under way that may have taken one. Ends the connection's transaction. Raises Busy where posters take longer than
    `patience` seconds.
    """
    return settled_numbers(connection, patience).entry


@dataclass(frozen=True, slots=True)
class Numbers:
    """The last numbers of entries, documents, accounts and logged rows that were handed out."""

    entry: int
    document: int
    account: int
    row_log: int


def settled_numbers(connection: Connection, patience: float = PATIENCE_SECONDS) -> Numbers:
    """The last numbers handed out, once nobody may still post up to them.

    No poster is under way that may have taken one. Ends the connection's transaction. Raises Busy where posters take longer than
    `patience` seconds.
    """
    last = "coalesce(pg_sequence_last_value('{}_number'), 0)"
    until = Numbers(
        *connection.execute(text(f"select {', '.join(last.format(name) for name in Numbers.__slots__)}")).one()
    )
    posters = locks.posters(connection)
    connection.commit()
    deadline = time.monotonic() + patience
    while posters:
        if time.monotonic() > deadline:
            raise Busy(
                "books", f"{len(posters)} still posting", f"expected them to be done within {patience:g} seconds"
            )
        time.sleep(_POLL_SECONDS)
        posters &= locks.posters(connection)
        connection.commit()
    return until
