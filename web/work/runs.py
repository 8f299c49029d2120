"""A long file posted in runs: each a transaction of its own, with how far the file is beside it, so that it can be taken up again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import IO, TYPE_CHECKING, cast

from sqlalchemy import Connection, Engine, text

from ledger.errors import Refused
from ledger.intake.batches import Outcome, Report
from ledger.intake.kinds import DocumentType
from web.work.post_file import How, Posted, post_part, sentence, whole_lines

if TYPE_CHECKING:
    from hashlib import _Hash

# So many lines a run: few enough that nobody waits long for what they hold, many enough that a commit costs little of it.
RUN = 20_000
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class _Reached:
    """How far a file is: of so many lines, and bytes, there is nothing left to post."""

    lines: int = 0
    bytes: int = 0
    finished: bool = False


@dataclass(frozen=True, slots=True)
class _End:
    """Where a run ends, and the SHA-256 of the file up to there."""

    reached: _Reached
    digest: bytes


class _Hashed:
    """A stream that hashes what is read of it, on from a hash of what is before; who seeks goes back to where it began."""

    def __init__(self, stream: IO[bytes], before: _Hash) -> None:
        self._stream = stream
        self._before = before
        self.hash = before.copy()

    def readline(self, most: int = -1) -> bytes:
        """The next line, or so many bytes of it."""
        line = self._stream.readline(most)
        self.hash.update(line)
        return line

    def tell(self) -> int:
        """Where the stream is."""
        return self._stream.tell()

    def seek(self, place: int) -> int:
        """Back to where it began."""
        self.hash = self._before.copy()
        return self._stream.seek(place)


def post_in_runs(
    engine: Engine,
    stream: IO[bytes],
    types: Mapping[str, DocumentType],
    posted_by: str,
    report: Report,
    how: How,
    progress: Callable[[int], None],
) -> Posted:
    """Post a seekable stream of JSON Lines from where a file with the same content is by now: all of a run or nothing, and on.

    It stops at a run that has something refused, unless it is to keep going: what was posted before that stays. Taken up again, it
    begins at the first run that had something refused, as what that lacked may be there by then: so all that is refused is
    told. Raises Refused where the same file is posted in runs by somebody else, too, and where it is changed meanwhile: of what is
    not the file as it was at the start nothing is kept.
    """
    start = stream.tell()
    whole = hashlib.file_digest(stream, "sha256").digest()  # type: ignore[arg-type] # a file that is open to be read
    reached = _begin(engine, whole, posted_by)
    before = reached.lines
    outcome = Outcome()
    hash_, ends = _planned(stream, start, reached, whole)
    for end in ends:
        stream.seek(start + reached.bytes)
        first = reached.lines + 1
        read = _Hashed(stream, hash_)
        ended = _Ended(whole, reached, read, end, kept=not outcome.refused)
        of_run, kept = post_part(
            engine, cast("IO[bytes]", read), types, posted_by, report, how, progress, first_line=first, most=RUN, beside=ended.keep
        )  # fmt: skip
        outcome = _with(outcome, of_run, kept=kept)
        if not kept:
            ended.require_unchanged()
            return Posted(outcome, _stopped(reached, of_run, first))
        reached, hash_ = end.reached, read.hash
    told = sentence(outcome, kept=True, dry_run=False)
    if before:
        told = f"the first {before:,} lines were posted before; {told}"
    return Posted(outcome, f"{told}, {reached.lines - before:,} lines in runs of {RUN:,}")


def _planned(stream: IO[bytes], start: int, reached: _Reached, whole: bytes) -> tuple[_Hash, list[_End]]:
    """The hash of what is posted of a file, and where each run ends that is left of it. Raises Refused where it is another by now."""
    hash_ = hashlib.sha256()
    ends: list[_End] = []
    if reached.finished:
        return hash_, ends
    stream.seek(start)
    left = reached.bytes
    while left and (chunk := stream.read(min(left, _CHUNK))):
        hash_.update(chunk)
        left -= len(chunk)
    read = _Hashed(stream, hash_)
    while not reached.finished:
        lines = sum(1 for _ in islice(whole_lines(cast("IO[bytes]", read)), RUN))
        place = stream.tell()
        finished = lines < RUN or not stream.read(1)
        stream.seek(place)
        reached = _Reached(reached.lines + lines, place - start, finished)
        ends.append(_End(reached, read.hash.digest()))
    if ends[-1].digest != whole:
        raise _changed(0, 0)
    return hash_, ends


class _Ended:
    """Keeps how far a file is, in the transaction of the run that got it there, unless something of it was refused by then."""

    def __init__(self, whole: bytes, before: _Reached, read: _Hashed, end: _End, *, kept: bool) -> None:
        self._whole = whole
        self._before = before
        self._read = read
        self._end = end
        self._kept = kept

    def require_unchanged(self) -> None:
        """Raise Refused where what was read is not what the file had there at the start, or where it is to end it goes on."""
        if self._read.hash.digest() != self._end.digest or (self._end.reached.finished and self._read.readline(1)):
            raise _changed(self._before.lines + 1, self._end.reached.lines)

    def keep(self, connection: Connection, _lines: int, outcome: Outcome) -> None:
        """Keep it. Raises Refused where the file was changed, or somebody else got further meanwhile."""
        self.require_unchanged()
        if outcome.refused or not self._kept:
            return
        reached = self._end.reached
        moved = connection.execute(
            text(
                "update posted_file set lines = :lines, bytes = :bytes, finished = :finished, posted_at = now()"
                " where hash = :hash and lines = :before and not finished"
            ),
            {
                "hash": self._whole, "before": self._before.lines, "lines": reached.lines, "bytes": reached.bytes,
                "finished": reached.finished,
            },
        )  # fmt: skip
        if moved.rowcount != 1:
            raise Refused(
                "--in-runs", "twice", "expected nobody else to post this file at the same time; this run was not posted"
            )


def _changed(first: int, last: int) -> Refused:
    """A file that is not what it was when its posting began, by the lines that were to be posted; none of them where it is seen before."""
    what = f"lines {first:,} to {last:,} as they were at the start; nothing from line {first:,} on was posted"
    expected = what if first else "it as it was at the start; nothing was posted"
    return Refused("--in-runs", "a file that was changed while it was posted", f"expected {expected}: post it again")


def _begin(engine: Engine, hash_: bytes, posted_by: str) -> _Reached:
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into posted_file (hash, lines, bytes, finished, posted_by) values (:hash, 0, 0, false, :by)"
                " on conflict do nothing"
            ),
            {"hash": hash_, "by": posted_by},
        )
        row = connection.execute(
            text("select lines, bytes, finished from posted_file where hash = :hash"), {"hash": hash_}
        ).one()
    return _Reached(row.lines, row.bytes, row.finished)


def _with(whole: Outcome, of_run: Outcome, *, kept: bool) -> Outcome:
    """What became of runs together; of one that was not kept, what was refused."""
    if not kept:
        return replace(whole, refused=whole.refused + of_run.refused)
    return Outcome(
        whole.posted + of_run.posted,
        whole.repeated + of_run.repeated,
        whole.refused + of_run.refused,
        whole.late + of_run.late,
        whole.entries + of_run.entries,
        whole.postings + of_run.postings,
    )


def _stopped(reached: _Reached, of_run: Outcome, first: int) -> str:
    verb = "documents" if of_run.refused > 1 else "document"
    stands = (
        f"lines 1 to {reached.lines:,} are posted, and this posted none from line {first:,} on"
        if reached.lines
        else "nothing was posted"
    )
    return f"{of_run.refused:,} {verb} refused: {stands}"
