"""Usage read in a process of its own, a batch ahead of posting.

Threads of one interpreter would wait for each other. The process is this module run as a program. It takes batches of lines and gives
back their rows in the marshal form: numbers, texts and tuples, between two processes of one interpreter, and never kept. Where it can't
be had, batches are read here.
"""

from __future__ import annotations

import marshal
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

from ledger.usage import read_lines
from ledger.usage.read_lines import Row

# Numbers of lines in their file, and the lines.
Lines = tuple[list[int], list[bytes]]
Rows = list[Row | None]

# What a call to a process that is not there any more raises.
_GONE = (OSError, EOFError, ValueError, TypeError)


_LENGTH = struct.Struct(">q")


def _send(stream: IO[bytes], value: Any) -> None:
    content = marshal.dumps(value)
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def _received(stream: IO[bytes]) -> Any:
    """What was sent. Raises EOFError where the other side ended."""
    length = stream.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        raise EOFError
    (count,) = _LENGTH.unpack(length)
    content = stream.read(count)
    if len(content) < count:
        raise EOFError
    return marshal.loads(content)  # noqa: S302 - sent by this module


class _Reader:
    """The other process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ledger.usage.reader_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None, "piped"
        assert self._process.stdout is not None, "piped"
        self._to, self._from = self._process.stdin, self._process.stdout

    def ask(self, lines: list[bytes]) -> None:
        """Hand lines over; again only once their rows were taken."""
        _send(self._to, lines)

    def rows(self) -> Rows:
        """The rows of the lines handed over."""
        found: Rows = _received(self._from)
        return found

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._from.close()
        with suppress(OSError):  # what it had not taken
            self._to.close()


def read_ahead(batches: Iterator[Lines]) -> Iterator[tuple[Lines, Rows]]:
    """Batches with their rows.

    From the third on, each is read while the one before it is posted.
    """
    batch, following = next(batches, None), next(batches, None)
    reader = None
    rows = None
    try:
        while batch is not None:
            if rows is None:
                rows = read_lines.read(batch[1])
            asked = False
            if reader is not None and following is not None:
                try:
                    reader.ask(following[1])
                    asked = True
                except _GONE:
                    reader.stop()
                    reader = None
            elif following is not None:
                reader = _started()  # while this batch is posted
            yield batch, rows
            rows = None
            if asked and reader is not None:
                try:
                    rows = reader.rows()
                except _GONE:
                    reader.stop()
                    reader = None
            batch, following = following, next(batches, None)
    finally:
        if reader is not None:
            reader.stop()


def _started() -> _Reader | None:
    try:
        return _Reader()
    except OSError:
        return None


def _serve() -> None:
    """Read what comes in until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that posts decides what becomes of it
    while True:
        try:
            lines = _received(sys.stdin.buffer)
        except EOFError:
            return
        _send(sys.stdout.buffer, read_lines.read(lines))


if __name__ == "__main__":
    _serve()
