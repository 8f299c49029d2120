"""Which threads answer which request: what changes the books, what reads them, and what asks nothing of them have their own.

So whoever waits to post keeps nobody from reading, a long report nobody from posting, and neither keeps `/health` from saying that the server lives.
"""

from __future__ import annotations

from typing import Any

from waitress.task import ThreadedTaskDispatcher

_OTHERS = 2
_READS = ("GET", "HEAD", "OPTIONS")


class Hands:
    """The threads of a server: so many for either kind of request, and a few for the rest."""

    def __init__(self, threads: int) -> None:
        self._writing, self._reading, self._others = (ThreadedTaskDispatcher() for _ in range(3))
        for hands, count in ((self._writing, threads), (self._reading, threads), (self._others, _OTHERS)):
            hands.set_thread_count(count)

    def add_task(self, task: Any) -> None:
        """Have a request answered: the first of a connection's."""
        self._of(task.requests[0]).add_task(task)

    def _of(self, request: Any) -> ThreadedTaskDispatcher:
        if request.error or request.path == "/health" or request.path.startswith("/static/"):
            return self._others
        return self._reading if request.command.upper() in _READS else self._writing

    def shutdown(self) -> None:
        """Finish what is under way, and begin nothing more."""
        for hands in (self._writing, self._reading, self._others):
            hands.shutdown()
