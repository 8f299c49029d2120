"""A file of documents as one transaction, retried where PostgreSQL asks for it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import IO

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from ledger.errors import ClosedPeriod, Problem, Refused
from ledger.intake.batches import Outcome, Report
from ledger.intake.kinds import DocumentType
from ledger.intake.posting import post_lines
from ledger.parties.within import Within
from web.serving.patience import patiently

# Another transaction was in the way, or posted the same document first: the same work again will succeed.
_PASSING = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.UniqueViolation,
)
_LINE_BYTES_READ = 1_100_000
_REFUSALS_IN_MEMORY = 1_000_000


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a file, and the sentence that says so."""

    outcome: Outcome
    sentence: str


def _passing(error: BaseException) -> bool:
    return isinstance(error.orig if isinstance(error, DBAPIError) else error, _PASSING)


def attempts() -> Retrying:
    """What tries again what another transaction was in the way of."""
    return Retrying(
        retry=retry_if_exception(_passing),
        stop=stop_after_attempt(8),
        wait=wait_random_exponential(0.05, 2),
        reraise=True,
    )


def whole_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Lines of a stream, none read further than one can be long: a file without line ends stays out of memory."""
    while line := stream.readline(_LINE_BYTES_READ):
        rest = line
        while rest and not rest.endswith(b"\n"):  # of an oversized line
            rest = stream.readline(_LINE_BYTES_READ)
        yield line


@dataclass(frozen=True, slots=True)
class How:
    """How a file is posted: past refusals, for show only, without documents dated in closed months.

    `within` are the entities it may be of, where these are not all; `check` looks at what was posted before it is kept, and raises Refused
    where that may not be.
    """

    keep_going: bool = False
    dry_run: bool = False
    refuse_late: bool = False
    within: Within | None = None
    check: Callable[[Connection], None] | None = None


def post_file(
    engine: Engine,
    stream: IO[bytes],
    types: Mapping[str, DocumentType],
    posted_by: str,
    report: Report,
    how: How = How(),
    progress: Callable[[int], None] = lambda _count: None,
) -> Posted:
    """Post a seekable stream of JSON Lines: all of it or nothing, unless it is to keep going.

    Raises Refused for what the database itself would not take; then nothing was posted.
    """
    outcome, kept = post_part(engine, stream, types, posted_by, report, how, progress)
    return Posted(outcome, sentence(outcome, kept=kept, dry_run=how.dry_run))


def post_part(
    engine: Engine,
    stream: IO[bytes],
    types: Mapping[str, DocumentType],
    posted_by: str,
    report: Report,
    how: How,
    progress: Callable[[int], None],
    *,
    first_line: int = 1,
    most: int | None = None,
    beside: Callable[[Connection, int, Outcome], None] = lambda _connection, _lines, _outcome: None,
) -> tuple[Outcome, bool]:
    """Post what comes of a seekable stream, at `most` so many lines of it; returns what became of it, and whether it was kept.

    `beside` keeps what is to be kept with it, told of how many lines it was and what became of them. Raises Refused for what the
    database itself would not take.
    """
    start = stream.tell()
    with SpooledTemporaryFile(max_size=_REFUSALS_IN_MEMORY) as refusals:
        told = _Told(report, refusals)

        def once(books: Engine) -> tuple[Outcome, bool]:
            stream.seek(start)
            told.begin()
            lines = _Counted(islice(whole_lines(stream), most))
            return _post_once(books, lines, types, posted_by, told, how, progress, first_line, beside)

        try:
            for attempt in attempts():
                with attempt:
                    outcome, kept = patiently(engine, once)
        except (psycopg.Error, DBAPIError) as error:
            refused = _refused_by_database(
                error, "nothing" if first_line == 1 else f"nothing from line {first_line:,} on"
            )
            told.tell()
            raise refused from error
        told.tell()
    return outcome, kept


class _Counted:
    """Lines, and how many there were of them."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self.count += 1
            yield line


class _Told:
    """What an attempt refuses, told once nothing is tried again: another attempt may refuse other lines, or none."""

    def __init__(self, report: Report, kept: IO[bytes]) -> None:
        self._report = report
        self._kept = kept  # all of a long file may be refused

    def begin(self) -> None:
        """Begin another attempt: what the one before refused does not hold any more."""
        self._kept.seek(0)
        self._kept.truncate()

    def __call__(self, problem: Problem, raw: bytes) -> None:
        pickle.dump((problem, raw), self._kept)

    def tell(self) -> None:
        """Tell what the last attempt refused."""
        self._kept.seek(0)
        with suppress(EOFError):
            while True:
                self._report(*pickle.load(self._kept))  # noqa: S301 - written above


def _post_once(
    engine: Engine,
    lines: _Counted,
    types: Mapping[str, DocumentType],
    posted_by: str,
    report: Report,
    how: How,
    progress: Callable[[int], None],
    first_line: int,
    beside: Callable[[Connection, int, Outcome], None],
) -> tuple[Outcome, bool]:
    with engine.connect() as connection:
        outcome = post_lines(
            connection,
            lines,
            types,
            posted_by,
            report,
            progress,
            refuse_late=how.refuse_late,
            first_line=first_line,
            within=how.within,
        )
        kept = not how.dry_run and (how.keep_going or not outcome.refused)
        if kept and how.check is not None:
            how.check(connection)
        if kept:
            beside(connection, lines.count, outcome)
            connection.commit()
        else:
            connection.rollback()
    return outcome, kept


def _refused_by_database(error: psycopg.Error | DBAPIError, what: str) -> Refused:
    """A check of the database itself as a refusal; anything else goes up as it is."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    assert isinstance(cause, psycopg.Error), "psycopg is the only driver"
    message = (cause.diag.message_primary or str(cause)).strip()
    if cause.sqlstate == "TM004":
        return ClosedPeriod("", "", message)
    if cause.sqlstate and (cause.sqlstate.startswith("TM") or cause.sqlstate.startswith("23")):
        return Refused("", "", f"the database refused it, {what} was posted: {message}")
    raise error


def sentence(outcome: Outcome, *, kept: bool, dry_run: bool) -> str:
    """What became of a file, in words."""
    repeated = f", {outcome.repeated:,} posted before" if outcome.repeated else ""
    late = f", {outcome.late:,} entries moved out of closed months" if outcome.late else ""
    entries = f"{outcome.entries:,} entries"
    if dry_run and not outcome.refused:
        return f"would post {outcome.posted:,} documents as {entries}{repeated}{late}; nothing was posted"
    if not kept:
        verb = "documents" if outcome.refused > 1 else "document"
        return f"{outcome.refused:,} {verb} refused; nothing was posted"
    refused = f", {outcome.refused:,} refused" if outcome.refused else ""
    return f"posted {outcome.posted:,} documents as {entries}{repeated}{late}{refused}"
