"""Exports in the background: asked for, written by a thread of the server, fetched as a file for a day.

Whoever runs a job holds a lock of the database; a job that says it runs, and whose lock nobody holds, was cut off with its server.
"""

from __future__ import annotations

import json
import logging
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text

from adapters.out.export import BOOKS, TARGETS, How, export_file, export_new
from ledger.database import locks
from ledger.errors import Problem, ProblemList, Refused, UnknownReference
from ledger.letters import as_kept
from ledger.reports.report import Filters, check_filters

MAPPING_BYTES_MAX = 1_000_000
_KEPT = "1 day"
_log = logging.getLogger("tickmark.jobs")
_UNDER_WAY = "job_id = :job and state in ('waiting', 'running')"
_STOPPED = "the server that wrote it stopped; ask for it again"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an export is asked to be: `new` keeps it, and takes only what did not go out before."""

    target: str
    entity: str
    mapping: str = ""
    detail: str | None = None
    since: date | None = None
    as_of: date | None = None
    new: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """An export under way, and what became of it."""

    job_id: int
    target: str
    entity: str
    state: str
    done: int
    said: str
    file: str | None
    at: str
    by: str

    def as_json(self) -> dict[str, Any]:
        """As the API gives it."""
        return {
            "job": self.job_id, "target": self.target, "entity": self.entity, "state": self.state, "done": self.done, "said": self.said,
            "file": self.file, "at": self.at, "by": self.by,
        }  # fmt: skip


class Jobs:
    """A server's own hands: one export at a time, so that requests are answered meanwhile."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._hands = ThreadPoolExecutor(max_workers=1, thread_name_prefix="export")
        self._waiting: set[int] = set()

    def ask(self, asked: Asked, by: str) -> int:
        """Ask for an export; its number. Raises Refused for what can be seen to be wrong before it is begun."""
        _require(asked)
        with self._engine.begin() as connection:
            check_filters(connection, Filters(entity=asked.entity))
            connection.execute(
                text(
                    f"update export_job set content = null where content is not null and ended_at < now() - interval '{_KEPT}'"
                )
            )
            number = connection.scalar(
                text(
                    "insert into export_job (target, entity, asked, by) values (:target, :entity, :asked, :by) returning job_id"
                ),
                {"target": asked.target, "entity": asked.entity, "asked": json.dumps(_plain(asked)), "by": by},
            )
        assert number is not None, "returned by the insert"
        self._waiting.add(int(number))
        self._hands.submit(self._run, int(number), asked, by).add_done_callback(_told)
        return int(number)

    def wait(self) -> None:
        """Until all that was asked for is done."""
        self._hands.submit(lambda: None).result()

    def close(self) -> None:
        """Finish what is under way, and begin nothing more: what waits is said to have failed."""
        self._hands.shutdown(cancel_futures=True)
        for number in self._waiting:
            self._fail(number, _STOPPED)

    def _run(self, number: int, asked: Asked, by: str) -> None:
        self._waiting.discard(number)
        with self._engine.connect() as holder, tempfile.TemporaryDirectory() as folder:
            locks.hold_job(holder, number)
            self._note(number, "state = 'running'", {})
            try:
                path, summary = self._write(number, asked, by, Path(folder))
                self._note(
                    number,
                    "state = 'done', ended_at = now(), said = :said, file = :file, content = :content",
                    {"said": summary, "file": path.name, "content": path.read_bytes()},
                )
            except ProblemList as several:
                self._fail(number, "; ".join(str(problem) for problem in several.problems))
            except Refused as refused:
                self._fail(number, str(refused))
            except Exception:  # noqa: BLE001 - whatever it is, the job is said to have failed
                _log.exception("job %s failed", number)
                self._fail(number, "the server failed; its log says why")

    def _write(self, number: int, asked: Asked, by: str, folder: Path) -> tuple[Path, str]:
        mapping = None
        if asked.mapping:
            file = folder / "mapping.toml"
            file.write_text(asked.mapping, encoding="utf-8")
            mapping = str(file)
        how = How(mapping, asked.detail, lambda count: self._note(number, "done = :done", {"done": count}))  # type: ignore[arg-type] # one of them
        filters = Filters(since=asked.since, as_of=asked.as_of, entity=asked.entity)
        books = BOOKS.get(asked.target)
        name = books.place if books else TARGETS[asked.target].file
        with self._engine.connect() as connection:
            if asked.new:
                exported = export_new(connection, asked.target, filters, str(folder / name), how, by)
            else:
                exported = export_file(connection, asked.target, filters, str(folder / name), how)
        path = _zipped(exported.path) if exported.path.is_dir() else exported.path
        return path, f"{exported.summary}; ties to the trial balance"

    def _fail(self, number: int, said: str) -> None:
        self._note(number, "state = 'failed', ended_at = now(), said = :said", {"said": as_kept(said)})

    def _note(self, number: int, change: str, values: Mapping[str, object]) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                text(f"update export_job set {change} where {_UNDER_WAY}"),
                {**values, "job": number},
            )


def _told(done: Future[None]) -> None:
    """Say in the log what kept a job from saying itself how it ended."""
    if not done.cancelled() and (error := done.exception()) is not None:
        _log.error("a job could not say how it ended", exc_info=error)


def _require(asked: Asked) -> None:
    problems = []
    known = [*TARGETS, *BOOKS]
    if asked.target not in known:
        problems.append(Problem("target", asked.target, f"expected one of {', '.join(known)}"))
    elif asked.target in BOOKS and (asked.mapping or asked.detail or asked.new):
        problems.append(
            Problem("target", asked.target, "expected without mapping, detail and new: it shows the books as they are")
        )
    if len(asked.mapping.encode()) > MAPPING_BYTES_MAX:
        problems.append(Problem("mapping", "a long file", f"expected at most {MAPPING_BYTES_MAX:,} bytes"))
    if problems:
        raise ProblemList(problems)


def _plain(asked: Asked) -> dict[str, Any]:
    return {
        "detail": asked.detail, "since": asked.since and asked.since.isoformat(), "as_of": asked.as_of and asked.as_of.isoformat(),
        "new": asked.new, "mapping": asked.mapping,
    }  # fmt: skip


def _zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{folder.name}/{file.name}")
    return path


def find(engine: Engine, number: int, sees: Callable[[str], bool] = lambda _entity: True) -> Job:
    """A job, of an entity that who asks `sees`. Raises UnknownReference. One whose server is gone is said to have failed."""
    with engine.begin() as connection:
        row = _row(connection, number)
        if not sees(row.entity):
            raise _unknown(number)
        if _begun(connection, number) and locks.nobody_holds_job(connection, number):
            connection.execute(
                # what ended since it was looked at has ended
                text(f"update export_job set state = 'failed', ended_at = now(), said = :said where {_UNDER_WAY}"),
                {"job": number, "said": _STOPPED},
            )
            row = _row(connection, number)
    return Job(row.job_id, row.target, row.entity, row.state, row.done, row.said, row.file, row.at.isoformat(), row.by)


def _row(connection: Connection, number: int) -> Any:
    row = connection.execute(
        text("select job_id, target, entity, state, done, said, file, at, by from export_job where job_id = :job"),
        {"job": number},
    ).first()
    if row is None:
        raise _unknown(number)
    return row


def _unknown(number: int) -> UnknownReference:
    return UnknownReference("job", number, "expected the number of an export that was asked for")


def _begun(connection: Connection, number: int) -> bool:
    """Whether somebody has to be at a job: it runs, or it has waited for an hour."""
    return bool(
        connection.scalar(
            text(
                "select state = 'running' or (state = 'waiting' and at < now() - interval '1 hour') from export_job where job_id = :job"
            ),
            {"job": number},
        )
    )


def content(engine: Engine, number: int) -> tuple[str, bytes]:
    """A job's file: its name and what is in it. Raises UnknownReference where there is none, or none any more."""
    with engine.connect() as connection:
        row = connection.execute(
            text("select file, content from export_job where job_id = :job"), {"job": number}
        ).first()
    if row is None or row.content is None:
        raise UnknownReference("job", number, "expected an export that was written in the last day")
    return row.file, bytes(row.content)
