"""A long file posted in runs: each a transaction of its own, with how far the file is beside it, so that it can be taken up again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import IO

from sqlalchemy import Connection, Engine, text

from ledger.errors import Refused
from ledger.intake import DocumentType, Outcome, Report
from web.posting import How, Posted, post_part, sentence

# So many lines a run: few enough that nobody waits long for what they hold, many enough that a commit costs little of it.
RUN = 20_000


@dataclass(frozen=True, slots=True)
class _Reached:
    """How far a file is: of so many lines, and bytes, there is nothing left to post."""

    lines: int = 0
    bytes: int = 0
    finished: bool = False


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
    told. Raises Refused where the same file is posted in runs by somebody else, too.
    """
    start = stream.tell()
    hash_ = hashlib.file_digest(stream, "sha256").digest()  # type: ignore[arg-type] # a file that is open to be read
    reached = _begin(engine, hash_, posted_by)
    before = reached.lines
    outcome = Outcome()
    while not reached.finished:
        stream.seek(start + reached.bytes)
        first = reached.lines + 1
        ended = _Ended(hash_, reached, stream, start, kept=not outcome.refused)
        of_run, kept = post_part(
            engine, stream, types, posted_by, report, how, progress, first_line=first, most=RUN, beside=ended.keep
        )
        outcome = _with(outcome, of_run, kept=kept)
        if not kept:
            return Posted(outcome, _stopped(reached, of_run, first))
        assert ended.reached is not None, "kept with what was posted"
        reached = ended.reached
    told = sentence(outcome, kept=True, dry_run=False)
    if before:
        told = f"the first {before:,} lines were posted before; {told}"
    return Posted(outcome, f"{told}, {reached.lines - before:,} lines in runs of {RUN:,}")


class _Ended:
    """Keeps how far a file is, in the transaction of the run that got it there, unless something of it was refused by then."""

    def __init__(self, hash_: bytes, before: _Reached, stream: IO[bytes], start: int, *, kept: bool) -> None:
        self._hash = hash_
        self._before = before
        self._stream = stream
        self._start = start
        self._kept = kept
        self.reached: _Reached | None = None

    def keep(self, connection: Connection, lines: int, outcome: Outcome) -> None:
        """Keep it. Raises Refused where somebody else got further meanwhile."""
        reached = _Reached(self._before.lines + lines, self._stream.tell() - self._start, finished=lines < RUN)
        if outcome.refused or not self._kept:
            self.reached = reached
            return
        moved = connection.execute(
            text(
                "update posted_file set lines = :lines, bytes = :bytes, finished = :finished, posted_at = now()"
                " where hash = :hash and lines = :before and not finished"
            ),
            {
                "hash": self._hash, "before": self._before.lines, "lines": reached.lines, "bytes": reached.bytes,
                "finished": reached.finished,
            },
        )  # fmt: skip
        if moved.rowcount != 1:
            raise Refused(
                "--in-runs", "twice", "expected nobody else to post this file at the same time; this run was not posted"
            )
        self.reached = reached


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
        f"lines 1 to {reached.lines:,} are posted, none from line {first:,} on"
        if reached.lines
        else "nothing was posted"
    )
    return f"{of_run.refused:,} {verb} refused: {stands}"
