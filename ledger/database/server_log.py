"""What the embedded server's log says of why it ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# What a log says where a server ends.
FULL = "No space left on device"
FATAL = ("PANIC:", "FATAL:")


def reason(log: Path, place: int = 0) -> str:
    """Why a server ended, of its log from a place on.

    That a disk is full, else the last thing that was fatal, else the last line.
    """
    if not log.is_file():
        return "nothing"
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - 64 * 1024, place))
        return line_of(file.read().decode(errors="replace").splitlines())


def line_of(lines: Sequence[str]) -> str:
    """The line that says why: of a full disk, of what was fatal, of an error; else the last."""
    lines = [line.strip() for line in lines if line.strip()]
    for words in ((FULL,), FATAL, ("error:", "ERROR:")):
        for line in reversed(lines):
            if any(word in line for word in words):
                return line
    return lines[-1] if lines else ""
