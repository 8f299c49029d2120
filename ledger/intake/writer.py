"""Writing what usage in bulk posted, beside what is decided next."""

from __future__ import annotations

import sys
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from sqlalchemy import Connection

from ledger.journal.writer import Plainly

_TURN_SECONDS = 0.0005


class Writer:
    """Writes what usage in bulk posted while the next batch is decided.

    That takes nothing from the database. Whoever needs the connection calls `wait` before. What went wrong is raised there.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._ready: Plainly | None = None
        self._interval = sys.getswitchinterval()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()  # waits: the connection is nobody else's until then
        sys.setswitchinterval(self._interval)

    def keep(self, plainly: Plainly) -> None:
        """Take what `start` is to write."""
        if plainly.documents:
            self._ready = plainly

    def start(self) -> None:
        """Write what was kept, beside what the caller does next."""
        if self._ready is not None:
            # the thread mostly waits for the server: what it does between is little, and should not wait long
            sys.setswitchinterval(_TURN_SECONDS)
            self._writing = self._thread.submit(self._ready.write, self._connection)
            self._ready = None

    def wait(self) -> None:
        """Return once all is written."""
        self.start()
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()
