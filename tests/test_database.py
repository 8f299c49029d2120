"""The database: schema and migrations agree, the embedded server starts anywhere, commands find what is configured."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from ledger.accounts import chart, rulebook
from ledger.database.schema.tables import metadata
from tests.conftest import Cli, lines
from tests.samples import parties, usage


def test_the_tables_declared_are_the_tables_migrated(owner: Connection) -> None:
    differences = compare_metadata(MigrationContext.configure(owner), metadata)
    # comments are written in the migration alone
    assert [
        found for found in differences if "comment" not in str(found[0] if isinstance(found, tuple) else found[0][0])
    ] == []


def test_the_rulebook_and_the_chart_are_in_the_database(owner: Connection) -> None:
    codes = owner.execute(text("select number, code from rule order by number")).all()
    assert [tuple(row) for row in codes] == sorted((rule.number, rule.code) for rule in rulebook.RULES.values())
    assert owner.scalar(text("select count(*) from role")) == len(chart.ROLES)


def test_every_key_of_the_journal_starts_with_the_customer(owner: Connection) -> None:
    keys = owner.execute(
        text(
            "select c.relname, i.indexrelid::regclass::text, a.attname from pg_index i"
            " join pg_class c on c.oid = i.indrelid"
            " join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]"
            " where i.indisunique and c.relname in ('entry', 'posting', 'account', 'document', 'credit_grant',"
            " 'grant_balance', 'usage_meter', 'invoice', 'invoice_line', 'contract', 'obligation')".replace(
                "::", r"\:\:"
            )
        )
    ).all()
    assert len(keys) >= 12
    assert {row.attname for row in keys} == {"customer_id"}


def test_a_database_of_the_users_own_waits_for_its_upgrade(
    server: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.pool import NullPool

    admin = create_engine(make_url(server).set(database="postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql("drop database if exists own with (force)")
        connection.exec_driver_sql("create database own")
    own = make_url(server).set(database="own", drivername="postgresql").render_as_string(hide_password=False)
    monkeypatch.setenv("TICKMARK_DATABASE_URL", own)
    message = cli.refused("report", "summary")
    assert "database = no Tickmark schema: expected schema 0053; run `tickmark db upgrade`" in message
    assert cli.ok("db", "upgrade") == "the database is upgraded\n"
    assert cli.ok("db", "upgrade") == "the database is up to date\n"
    assert cli.report("summary") == []


def test_another_database_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKMARK_DATABASE_URL", "mysql://x:secret@localhost/y")
    message = cli.refused("report", "summary")
    assert "expected a postgresql:// URL" in message
    assert "secret" not in message


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="a folder with spaces "))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def _tickmark(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "TICKMARK_DATABASE_URL"}
    environment["TICKMARK_DATA"] = str(folder / "books of mine")
    return subprocess.run(
        [sys.executable, "-c", "from web.cli import main; main()", *arguments],
        check=False, capture_output=True, text=True, input=stdin, env=environment, timeout=120,
    )  # fmt: skip


def test_the_embedded_server_in_a_folder_with_spaces(folder: Path) -> None:
    posted = _tickmark(folder, "post", "-", stdin=lines([*parties(), usage("u", "1.00", "2026-01-05")]))
    assert posted.stdout == "-: posted 5 documents as 1 entries\n", posted.stderr
    assert posted.stderr == ""
    # the server stopped with the command, and the books are there for the next
    assert not (folder / "books of mine" / "postmaster.pid").exists()
    shown = _tickmark(folder, "report", "summary", "--format", "csv")
    assert shown.stdout.splitlines()[1:] == ["2026-01,revenue,USD,1.00", "2026-01,unbilled_receivable,USD,1.00"]


def test_the_embedded_servers_settings_are_durable_ones(folder: Path) -> None:
    """Fewer checkpoints, because each makes every page's next change a whole page; and nothing less than PostgreSQL's own safety."""
    wanted = {
        "max_wal_size": "4GB", "checkpoint_timeout": "15min", "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
    }  # fmt: skip
    ask = f"""
import json, sys, time
from pathlib import Path
from sqlalchemy import create_engine
from ledger.database import embedded
url = embedded.start(Path(sys.argv[1]))
with create_engine(url.replace("/tickmark", "/postgres"), isolation_level="AUTOCOMMIT").connect() as connection:
    for _ in range(50):  # the server reads its settings again when it gets to it
        found = {{name: connection.exec_driver_sql(f"show {{name}}").scalar_one() for name in {list(wanted)}}}
        if found["max_wal_size"] == "4GB":
            break
        time.sleep(0.1)
print(json.dumps(found))
embedded.stop(Path(sys.argv[1]))
"""
    for _ in range(2):  # made anew, and started again
        ran = subprocess.run(
            [sys.executable, "-c", ask, str(folder / "books of mine")],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert json.loads(ran.stdout) == wanted, ran.stderr
    configuration = (folder / "books of mine" / "postgresql.conf").read_text()
    assert configuration.count("tickmark.conf") == 1


def test_a_folder_that_can_not_be_a_server_is_refused_in_words(folder: Path) -> None:
    (folder / "books of mine").write_text("a file")
    refused = _tickmark(folder, "report", "summary")
    assert refused.returncode == 1
    assert refused.stderr.startswith("refused: TICKMARK_DATA = ")
    assert "expected PostgreSQL to start there: " in refused.stderr
    assert "Traceback" not in refused.stderr


def test_two_commands_at_once_share_the_embedded_server(folder: Path) -> None:
    _tickmark(folder, "post", "-", stdin=lines(parties()))
    environment = {key: value for key, value in os.environ.items() if key != "TICKMARK_DATABASE_URL"}
    environment["TICKMARK_DATA"] = str(folder / "books of mine")
    running = [
        subprocess.Popen(
            [sys.executable, "-c", "from web.cli import main; main()", "post", "-"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )
        for _ in range(3)
    ]  # fmt: skip
    for number, process in enumerate(running):
        out, err = process.communicate(lines([usage(f"u{number}", "1.00", "2026-01-05")]), timeout=120)
        assert (process.returncode, out) == (0, "-: posted 1 documents as 1 entries\n"), err
    shown = _tickmark(folder, "report", "summary", "--format", "csv")
    assert "2026-01,revenue,USD,3.00" in shown.stdout
