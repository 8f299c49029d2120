"""Room for a few at once.

Who comes while all of them have been at it for long is told to come again, and keeps no thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ledger.errors import Busy

# Whoever has been at it for so long keeps others from waiting for the place: seconds.
LONG_SECONDS = 2.0


class Places:
    """So many places for what is called so; shared by threads."""

    def __init__(self, count: int, what: str) -> None:
        self._count = count
        self._what = what
        self._taken: dict[object, float] = {}
        self._changed = threading.Condition()

    @property
    def are_long_taken(self) -> bool:
        """Whether all are taken, each for long."""
        with self._changed:
            return self._left() <= 0

    def _left(self) -> float:
        """How long who comes may wait; none at all where there is no use in it."""
        if len(self._taken) < self._count:
            return LONG_SECONDS
        return max(self._taken.values()) + LONG_SECONDS - time.monotonic()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Have a place; wait for one as long as somebody has one for a short time only. Raises Busy."""
        mine = object()
        with self._changed:
            while len(self._taken) >= self._count:
                left = self._left()
                if left <= 0:
                    raise Busy("", "", f"expected no more than {self._count} at once to {self._what}: try again later")
                self._changed.wait(left)
            self._taken[mine] = time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                del self._taken[mine]
                self._changed.notify()
