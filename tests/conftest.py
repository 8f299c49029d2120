"""One PostgreSQL for the whole run, in a temporary folder; a fresh database for each test, copied from a template."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, Phase, settings
from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.pool import NullPool

from ledger.database import connect, embedded
from tests.serving import MakeApp, applications
from web.access import limits
from web.cli import main

settings.register_profile(
    "tickmark",
    deadline=None,
    # A history of documents takes minutes to shrink; the tests print it whole instead.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    derandomize="TICKMARK_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("tickmark")

_names = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes; `make slow` runs it, `make test` does not")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.option.markexpr:
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="make slow runs it"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = os.environ.get("TICKMARK_SEED", "1")
    terminalreporter.write_line(f"histories of test_relations.py are told from TICKMARK_SEED={told}")


def _in_memory() -> Path | None:
    """A file system in memory, where there is one with room: each database is six hundred small files."""
    place = Path("/dev/shm")  # noqa: S108 - what is made there is its owner's alone
    roomy = place.is_dir() and os.access(place, os.W_OK) and shutil.disk_usage(place).free > 4 * 1024**3
    return place if roomy else None


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a database with this release's schema and nothing in it."""
    os.environ.pop("TICKMARK_DATABASE_URL", None)
    # A space, because users have folders with spaces.
    folder = Path(tempfile.mkdtemp(prefix="tickmark test ", dir=_in_memory()))
    url = embedded.start(folder)
    connect.upgrade(url)
    # A thousand databases are made and dropped, and none has to outlive its test: waiting for the disk is most of what they take.
    # (What the product's own server is set to, test_database asks of another.)
    owner = create_engine(make_url(url).set(database="postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.exec_driver_sql("alter system set fsync = off")
        connection.exec_driver_sql("alter system set full_page_writes = off")
        connection.exec_driver_sql("alter system set synchronous_commit = off")
        connection.exec_driver_sql("alter system set autovacuum = off")
        connection.exec_driver_sql("alter system set max_wal_size = '512MB'")
        connection.exec_driver_sql("select pg_reload_conf()")
    yield url
    embedded.stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


# Files whose tests are about the database's own guards, which nothing else in the suite changes.
_OF_GUARDS = {
    "test_damage",
    "test_every_column",
    "test_guards",
    "test_verify",
    "test_upgrades",
    "test_privileges",
    "test_backup",
    "test_database",
}


def _is_of_guards(request: pytest.FixtureRequest) -> bool:
    return request.module.__name__.rpartition(".")[2] in _OF_GUARDS


@pytest.fixture(autouse=True)
def _guards_asked_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each verification lists the guards of the whole database, a quarter of its time on books of a few documents: asked where it matters."""
    if not _is_of_guards(request):
        monkeypatch.setattr("ledger.database.guards.differing", lambda _connection: iter(()))


class Databases:
    """Fresh databases, each made while the test before it runs, and dropped beside those that follow: both mostly wait for files."""

    def __init__(self, server: str) -> None:
        self._server = make_url(server)
        admin = self._server.set(database="postgres")
        self._admin = create_engine(admin, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._beside = ThreadPoolExecutor(1)
        self._next = self._beside.submit(self._make)

    def take(self) -> str:
        """The name of a fresh one."""
        made, self._next = self._next.result(), self._beside.submit(self._make)
        return made

    def url(self, name: str) -> str:
        return self._server.set(database=name).render_as_string(hide_password=False)

    def drop(self, name: str) -> None:
        self._beside.submit(self._run, f"drop database {name} with (force)")

    def end(self) -> None:
        self._beside.shutdown()

    def _make(self) -> str:
        name = f"test_{next(_names)}"
        self._run(f"create database {name} template {embedded.DATABASE} strategy file_copy")
        return name

    def _run(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.exec_driver_sql(statement)


@pytest.fixture(scope="session")
def databases(server: str) -> Iterator[Databases]:
    made = Databases(server)
    yield made
    made.end()


@pytest.fixture
def _kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands of a test use one engine for a database, as a server does: a connection that is new knows no table yet.

    And its schema is asked for once, but where that is what a test is about: a connection a command is a tenth of what it takes.
    """
    made: dict[str, Engine] = {}
    engine_of = connect.connect_engine
    if not _is_of_guards(request):
        monkeypatch.setattr(connect, "require_current", cache(connect.require_current))

    def kept(url: str, *, as_owner: bool = False) -> Engine:
        if as_owner:
            return engine_of(url, as_owner=True)
        if url not in made:
            made[url] = engine_of(url)
            monkeypatch.setattr(made[url], "dispose", lambda: None, raising=False)
        return made[url]

    monkeypatch.setattr(connect, "connect_engine", kept)
    yield
    for engine in made.values():
        Engine.dispose(engine)


@pytest.fixture
def url(databases: Databases, _kept: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A fresh database, and the environment pointing at it."""
    name = databases.take()
    fresh = databases.url(name)
    monkeypatch.setenv("TICKMARK_DATABASE_URL", fresh)
    monkeypatch.setenv("TICKMARK_USER", "tester")
    yield fresh
    databases.drop(name)


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks at all of it asks more often than may be."""
    monkeypatch.setattr(limits.limiter, "enabled", False)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """The application's engine on the fresh database."""
    made = connect.connect_engine(url)
    yield made
    made.dispose()


@pytest.fixture
def make_books_app(engine: Engine) -> Iterator[MakeApp]:
    """Makes applications on the fresh database."""
    with applications(engine) as make:
        yield make


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as opened:
        yield opened


@pytest.fixture
def owner(url: str) -> Iterator[Connection]:
    """A connection of the superuser, who owns the tables."""
    made = connect.connect_engine(url, as_owner=True)
    with made.connect() as opened:
        yield opened
    made.dispose()


@dataclass(frozen=True)
class Cli:
    """The command line, run in this process."""

    run: Callable[..., Result]

    def ok(self, *arguments: str, stdin: bytes | str | None = None) -> str:
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refused(self, *arguments: str, stdin: bytes | str | None = None) -> str:
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 1, result.output
        return result.stderr

    def post(self, *documents: dict[str, Any]) -> str:
        return self.ok("post", "-", stdin=lines(documents))

    def refuse(self, *documents: dict[str, Any]) -> str:
        return self.refused("post", "-", stdin=lines(documents))

    def report(self, name: str, *options: str) -> list[dict[str, Any]]:
        return json.loads(self.ok("report", name, "--format", "json", *options))

    def now(self) -> str:
        """A moment after all that was posted and before all that will be."""
        time.sleep(0.01)
        moment = datetime.now(UTC).isoformat()
        time.sleep(0.01)
        return moment

    def summary(self, *options: str) -> dict[str, dict[str, str]]:
        months: dict[str, dict[str, str]] = {}
        for row in self.report("summary", *options):
            months.setdefault(row["month"], {})[row["account"]] = row["amount"]
        return months

    def totals(self, *options: str) -> dict[str, Decimal]:
        """What all months come to together, where that is anything."""
        found: dict[str, Decimal] = {}
        for moved in self.summary(*options).values():
            for role, amount in moved.items():
                found[role] = found.get(role, Decimal(0)) + Decimal(amount)
        return {role: amount for role, amount in sorted(found.items()) if amount}


def lines(documents: Any) -> str:
    return "".join(json.dumps(document) + "\n" for document in documents)


@pytest.fixture
def cli(url: str) -> Cli:
    def run(*arguments: str, stdin: bytes | str | None = None) -> Result:
        return CliRunner().invoke(main, list(arguments), input=stdin, catch_exceptions=False)

    return Cli(run)
