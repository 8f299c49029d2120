"""Verification: what must always hold, recomputed from nothing but the tables.

Most of it is asked in SQL (ledger/proof/invariants/). What documents say and what is sealed is read and hashed here, beside it, on a
connection of its own: both see the books as of one moment, whoever posts meanwhile, and memory stays bounded.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from functools import cache, partial
from typing import Any, Literal

import orjson
import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from ledger.database import binary_copy, guards
from ledger.documents import parse
from ledger.errors import Refused
from ledger.proof import compare, row_log
from ledger.proof.invariants.question import MOVEMENT, MOVEMENT_SQL, Question, told
from ledger.proof.invariants.questions import QUESTIONS

DIFFERENCES_MAX = 50
_DOCUMENTS = "every document says what it said when it came in: its content has the hash that was kept with it, and usage is of the day that it says"
_SEALED = "what is sealed is what was sealed: no entry, document, account or row of the log added, changed or missing, and no block"
_ROWS = 5_000
_POLL_SECONDS = 0.2
# For sorts and sums of many rows; what takes more goes to the server's disk.
_WORK_MEMORY = "128MB"

Name = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Check:
    """What was checked, over how many things, how many differ, and the first of these by name."""

    sentence: str
    count: int
    what: str
    differing: int
    differences: tuple[str, ...]

    @property
    def more(self) -> int:
        """How many things differ beyond those that are named."""
        return self.differing - len(self.differences)


@dataclass(frozen=True, slots=True)
class Held:
    """What must hold by what rooms above this one know.

    `counted` counts what is checked, `differing` names what differs.
    """

    sentence: str
    what: str
    counted: str
    differing: Callable[[Connection], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Watch:
    """What is looked at beside what must hold.

    `told` says in a sentence each what is worth a look; `report` shows it.
    """

    sentence: str
    report: str
    told: Callable[[Connection], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Warned:
    """What was looked at, and what was found: a warning, never a failure."""

    watch: Watch
    told: tuple[str, ...]

    @property
    def named(self) -> tuple[str, ...]:
        """The first of what was found."""
        return self.told[:DIFFERENCES_MAX]


@dataclass(frozen=True, slots=True)
class _Work:
    """A check to be made.

    How to count what it is of, how to find what differs, and what came of it.
    """

    sentence: str
    what: str
    counted: str
    differing: Callable[[Connection], Iterator[str]]
    needs: Literal["movement", "hashing", "neither"]  # each kind on a connection of its own, what needs neither on both
    check: Future[Check] = field(default_factory=Future)

    def do(self, connection: Connection, name: Name | None) -> None:
        """Make the check; `name` is told all that differs, with the sentence of its check."""
        first: list[str] = []
        differing = 0
        try:
            for difference in self.differing(connection):
                differing += 1
                if len(first) < DIFFERENCES_MAX:
                    first.append(difference)
                if name is not None:
                    name(self.sentence, difference)
            count = connection.scalar(text(self.counted))
        except Exception as error:  # noqa: BLE001 - raised where it is asked for
            self.check.set_exception(error)
        else:
            self.check.set_result(Check(self.sentence, int(count or 0), self.what, differing, tuple(first)))


def each(
    engine: Engine,
    kept_elsewhere: Mapping[str, Any] | None = None,
    name: Name | None = None,
    done: Callable[[], None] | None = None,
    held: Iterable[Held | Question] = (),
) -> Iterator[Check]:
    """Make every check, two at a time, and give them in the order of `sentences`.

    `done` is told of each as it is made. What is `held` by rooms above this one comes last.

    `kept_elsewhere` is a seal as it was exported, which what is sealed has to lead to. `name` is told everything that differs, by
    the sentence of its check; a check names the first `DIFFERENCES_MAX` of it. Posts nothing, and keeps nobody from
    posting.
    """
    movement = cache(_movement)  # once on the connection of those who ask
    works = [
        *(_asked(question, movement) for question in QUESTIONS),
        *_hashed(kept_elsewhere),
        *(
            _asked(item, movement)
            if isinstance(item, Question)
            else _Work(item.sentence, item.what, item.counted, item.differing, "hashing")
            for item in held
        ),
    ]
    of_either = deque(work for work in works if work.needs == "neither")
    of_each = tuple(deque(work for work in works if work.needs == needs) for needs in ("movement", "hashing"))
    for work in works:
        if done is not None:
            work.check.add_done_callback(lambda _: done())
    with _as_of_one_moment(engine) as connections, ThreadPoolExecutor(len(connections)) as lanes:
        running = [
            lanes.submit(_do_all, connection, (own, of_either), name)
            for connection, own in zip(connections, of_each, strict=True)
        ]
        try:
            for work in works:
                yield work.check.result()
        except BaseException:  # nobody waits for the others any more
            for waiting in (*of_each, of_either):
                waiting.clear()
            while wait(running, _POLL_SECONDS).not_done:  # more than once: one may just be about to ask
                for connection in connections:
                    binary_copy.driver_connection(connection).cancel_safe()
            raise


def _asked(question: Question, movement: Callable[[Connection], str]) -> _Work:
    """The check that a question's statement makes."""
    needs: Literal["movement", "neither"] = "movement" if MOVEMENT in question.differing else "neither"
    return _Work(question.sentence, question.what, question.counted, partial(_ask, question, movement), needs)


def _hashed(kept_elsewhere: Mapping[str, Any] | None) -> list[_Work]:
    """The checks that read and hash what is in the books."""
    return [
        _Work(_DOCUMENTS, "documents", "select count(*) from document", _documents_differing, "hashing"),
        _Work(
            _sealed(kept_elsewhere), "seals", "select count(*) from seal",
            partial(compare.differences, kept_elsewhere=kept_elsewhere), "hashing",
        ),
        _Work(row_log.SENTENCE, "rows", row_log.COUNTED, row_log.differing, "hashing"),
        _Work(guards.SENTENCE, "objects", guards.COUNTED, guards.differing, "hashing"),
    ]  # fmt: skip


def _do_all(connection: Connection, queues: tuple[deque[_Work], ...], name: Name | None) -> None:
    """Make the checks that wait, queue by queue, until none is left.

    This connection's own, then those of either.
    """
    for waiting in queues:
        with suppress(IndexError):
            while True:
                waiting.popleft().do(connection, name)


def verify(
    engine: Engine, kept_elsewhere: Mapping[str, Any] | None = None, held: Iterable[Held | Question] = ()
) -> list[Check]:
    """All checks, as `each` makes them."""
    return list(each(engine, kept_elsewhere, held=held))


def warned(engine: Engine, watches: Iterable[Watch]) -> list[Warned]:
    """Look at what is watched, as of one moment; rooms above this one say what."""
    with engine.execution_options(isolation_level="REPEATABLE READ").connect() as connection:
        connection.exec_driver_sql(f"set local work_mem = '{_WORK_MEMORY}'")
        return [Warned(watch, tuple(watch.told(connection))) for watch in watches]


@contextmanager
def _as_of_one_moment(engine: Engine) -> Iterator[tuple[Connection, Connection]]:
    """Two connections that see the books as they are now, whatever is posted meanwhile."""
    steady = engine.execution_options(isolation_level="REPEATABLE READ")
    with steady.connect() as first, steady.connect() as second:
        moment = first.scalar(text("select pg_export_snapshot()"))
        second.exec_driver_sql(f"set transaction snapshot '{moment}'")
        for connection in (first, second):
            connection.exec_driver_sql(f"set local work_mem = '{_WORK_MEMORY}'")
            # All rows of a table are joined to all of another by several columns, of which PostgreSQL expects too few to fit.
            connection.exec_driver_sql("set local enable_nestloop = off")
        yield first, second


def _movement(connection: Connection) -> str:
    """Add up what each account took and gave; returns what a question reads it from."""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(f"create temp table {MOVEMENT} on commit drop as {MOVEMENT_SQL}")
            connection.exec_driver_sql(f"analyze {MOVEMENT}")
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in _NO_TABLES:
            raise
        return f"({MOVEMENT_SQL})"  # each question adds it up itself
    return MOVEMENT


# insufficient_privilege, and read_only_sql_transaction, as on a stand-by server
_NO_TABLES = ("42501", "25006")


def _ask(question: Question, movement: Callable[[Connection], str], connection: Connection) -> Iterator[str]:
    """What differs by a question's statement. One that what is in the tables keeps from being answered is a difference too."""
    sql = question.differing
    if MOVEMENT in sql:
        sql = sql.replace(MOVEMENT, movement(connection))
    try:
        # streamed without a cursor of the server's, for which it would not work in parallel
        with connection.begin_nested(), binary_copy.driver_cursor(connection) as cursor:
            for (difference,) in cursor.stream(sql.encode()):
                yield told(difference)
    except psycopg.DataError as error:  # such as JSON that is none
        yield f"can't be answered: {str(error).splitlines()[0]}"


def _documents_differing(connection: Connection) -> Iterator[str]:
    """Documents whose content does not have the hash that was kept with them.

    And usage of another day than it says.
    """
    cursor = binary_copy.driver_connection(connection).cursor("documents", binary=True)
    with cursor:
        cursor.itersize = _ROWS
        cursor.execute("select type, ref, hash, body, dated_on from document")
        for type_, ref, kept, body, day in cursor:
            said = _said(body, kept)
            if said is None or (type_ == "usage" and not _is_day(said.get("date"), day)):
                yield f"{type_} {ref}"


def _said(body: str, kept: bytes) -> dict[str, Any] | None:
    """What a document says, where that has the hash that was kept with it."""
    # the same bytes as parse.canonical makes of most documents, ten times as fast
    with suppress(ValueError, TypeError):
        said: dict[str, Any] = orjson.loads(body)
        if hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest() == kept:
            return said
    try:
        said = parse.read_line(body)
        return said if parse.content_hash(said) == kept else None
    except Refused:
        return None


def _is_day(said: object, day: date | None) -> bool:
    with suppress(ValueError, TypeError):
        return date.fromisoformat(str(said)) == day
    return False


def _sealed(kept_elsewhere: Mapping[str, Any] | None) -> str:
    return _SEALED if kept_elsewhere is None else f"{_SEALED}; and it leads to the seal that was kept elsewhere"


def sentences() -> list[str]:
    """What each check holds, in the order in which they are made."""
    return [*(question.sentence for question in QUESTIONS), _DOCUMENTS, _SEALED, row_log.SENTENCE, guards.SENTENCE]


CHECKS = len(QUESTIONS) + 4


def record(connection: Connection, checks: list[Check], by: str) -> None:
    """Keep that the books were verified, and with what result."""
    connection.execute(
        text(
            "insert into verification (by, checks, differing, last_entry, head) select :by, :checks, :differing,"
            " coalesce((select max(entry_id) from entry), 0), (select hash from seal order by seal_id desc limit 1)"
        ),
        {"by": by, "checks": len(checks), "differing": sum(1 for check in checks if check.differing)},
    )


def clean(checks: list[Check]) -> bool:
    """Whether nothing differs."""
    return not any(check.differing for check in checks)
