"""Measuring in pairs: the work and its limit in turn, in one run on one server, medians, ratios.

Machines are shared and noisy: a figure of seconds says little, how it stands to a limit measured beside it says most.
"""

from __future__ import annotations

import gc
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.pool import NullPool

from ledger.database import connect, embedded


@dataclass(frozen=True, slots=True)
class Result:
    """One figure: the work's `value`, the `limit` it is held against, their `ratio`, and what the ratio should be."""

    name: str
    value: float
    limit: float | None
    ratio: float | None
    unit: str
    n: int
    target: str

    def line(self) -> str:
        """As a line of JSON."""
        return json.dumps({key: value for key, value in asdict(self).items() if key != "target"})


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to measure: rows, and how many pairs."""

    quick: bool

    def rows(self, full: int, part: int = 10) -> int:
        """So many rows, a tenth of them, or another part, where it is to be quick."""
        return full // part if self.quick else full

    @property
    def pairs(self) -> int:
        """How many pairs the medians are of."""
        return 3 if self.quick else 5


def seconds(work: Callable[[], object]) -> float:
    """How long a piece of work takes, garbage collected before."""
    gc.collect()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turn(scale: Scale, work: Callable[[], float], limit: Callable[[], float]) -> tuple[float, float, float]:
    """(median of the work, median of its limit, median of limit / work of each pair), in seconds; after one pair unmeasured."""
    work(), limit()
    pairs = [(work(), limit()) for _ in range(scale.pairs)]
    return (
        statistics.median(one for one, _ in pairs),
        statistics.median(other for _, other in pairs),
        statistics.median(other / one for one, other in pairs),
    )


class Server:
    """A PostgreSQL of its own, with fsync on, in a temporary folder; a database for each measurement."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._template = embedded.start(folder)
        connect.upgrade(self._template)
        self._made = 0

    def fresh(self) -> str:
        """The URL of a new database with the schema and nothing in it."""
        self._made += 1
        name = f"bench_{self._made}"
        url = make_url(self._template)
        admin = create_engine(url.set(database="postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql(f"create database {name} template {url.database}")
        return url.set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Drop a database that is done with."""
        name = make_url(url).database
        admin = create_engine(make_url(url).set(database="postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql(f"drop database {name} with (force)")

    def stop(self) -> None:
        """Stop it and remove its files."""
        embedded.stop(self._folder)
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def server() -> Iterator[Server]:
    """A server for one run."""
    made = Server(Path(tempfile.mkdtemp(prefix="tickmark-bench-")))
    try:
        yield made
    finally:
        made.stop()


@contextmanager
def unchecked(url: str) -> Iterator[Connection]:
    """A connection of the owner on which no trigger fires: the limit writes the same rows with no check."""
    engine: Engine = connect.connect_engine(url, as_owner=True)
    with engine.connect() as connection:
        connection.exec_driver_sql("set session_replication_role = replica")
        yield connection
    engine.dispose()


def vacuum(connection: Connection, tables: str = "") -> None:
    """Commit, and let PostgreSQL clean up and look at its tables anew."""
    raw: Any = connection.connection.driver_connection
    raw.commit()
    raw.autocommit = True
    raw.execute(f"vacuum analyze {tables}")
    raw.autocommit = False


def table(results: list[Result]) -> str:
    """The results for people."""
    rows = [("", "value", "limit", "ratio", "target", "of")]
    rows += [
        (
            r.name,
            f"{r.value:,.3g} {r.unit}",
            "" if r.limit is None else f"{r.limit:,.3g} {r.unit}",
            "" if r.ratio is None else f"{r.ratio:.2f}",
            r.target,
            f"{r.n:,}",
        )
        for r in results
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def tell(text: str) -> None:
    """Say what is going on, beside the results."""
    sys.stderr.write(f"{text}\n")
