"""Books that an older schema's release made: they come to this release, verify, say the same, and go on.

Each dump in tests/upgrades was written with `pg_dump --no-owner --rows-per-insert=500`, and what its reports say beside it, by the last
release of the schema that it is named after: `0053` has a row in every table and every kind of document; `0053-of-0027` and `0053-of-0029`
are books of the demo's and of an initech that those schemas' releases began, with what these could not say yet.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from ledger.database.connect import schema_expected
from tests.conftest import Cli
from tests.samples import contract, credit_note, invoice, obligation, parties, payment, service, usage

UPGRADES = Path(__file__).parent / "upgrades"
DUMPS = [path.name.partition(".")[0] for path in sorted(UPGRADES.glob("*.sql.gz"))]


@pytest.fixture
def empty(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty database, and the environment pointing at it."""
    name = f"{make_url(url).database}_older"
    admin = create_engine(make_url(url).set(database="postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"create database {name}")
    made = make_url(url).set(database=name).render_as_string(hide_password=False)
    monkeypatch.setenv("TICKMARK_DATABASE_URL", made)
    yield made
    with admin.connect() as connection:
        connection.exec_driver_sql(f"drop database {name} with (force)")


def _load(url: str, dump: str) -> str:
    """Make the books of a dump; their schema."""
    script = gzip.decompress((UPGRADES / f"{dump}.sql.gz").read_bytes()).decode()
    with psycopg.connect(
        make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    ) as connection:
        connection.execute("".join(line for line in script.splitlines(keepends=True) if not line.startswith("\\")))
    return dump.partition("-")[0]


_APPROVED = ("refund", "credit_note", "write_off", "manual_entry")


def _told(cli: Cli, dump: str) -> tuple[dict[str, object], dict[str, object]]:
    """What reports say, and what they said."""
    said = json.loads(gzip.decompress((UPGRADES / f"{dump}.reports.json.gz").read_bytes()))
    told = {asked: cli.report(*asked.split()) for asked in said}
    # what gives a customer something for nothing needs approval since
    told["approvals"] = [row for row in told["approvals"] if row["document"].split()[0] in _APPROVED]
    return told, said


def _seals(url: str) -> list[tuple[bytes, int | None]]:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        rows = connection.execute(text("select hash, documents from seal order by seal_id")).all()
    return [(row.hash, row.documents) for row in rows]


def _upgraded(cli: Cli, url: str, dump: str) -> None:
    """Books of a dump, brought to this release: they verify and say what they said."""
    schema = _load(url, dump)
    if schema != schema_expected():
        assert f"database = schema {schema}: expected schema {schema_expected()}; run" in cli.refused("verify")
    # what may run triggers' functions is told anew, as it was not before
    assert cli.ok("db", "upgrade") == "the database is upgraded\n"
    assert cli.ok("db", "upgrade") == "the database is up to date\n"
    assert "checks hold" in cli.ok("verify")
    told, said = _told(cli, dump)
    assert len(said) > 20
    assert told == said


@pytest.mark.parametrize("dump", [dump for dump in DUMPS if "-of-" not in dump])
def test_books_of_an_older_schema_go_on(cli: Cli, empty: str, dump: str, tmp_path: Path) -> None:
    """Books of every kind of document: what is in them is corrected and paid as if it had been posted by this release."""
    _upgraded(cli, empty, dump)
    sealed = _seals(empty)
    cli.ok("seal", "--export", str(tmp_path / "seal.json"))
    cli.ok("seal", "--prove", "1", "--output", str(tmp_path / "proof.json"))
    assert _seals(empty)[: len(sealed)] == sealed
    cash = cli.totals("--entity", "us")["cash"]
    cli.post(
        usage("new", "1.00", "2026-07-10"),
        # of invoice I, 465.00 and its tax, 200.00 were paid
        payment("NP", "50.00", "2026-07-11", ("I", "50.00")),
        credit_note("NC", "2026-07-12", "12.00", invoice="I", line="2"),
        {"type": "invoice_void", "id": "NV", "invoice": "SI", "date": "2026-07-13", "reason": "billed twice"},
        {"type": "contract_termination", "id": "NT", "contract": "S", "date": "2026-07-14", "reason": "left"},
        contract("N", "2026-07-01", obligation("N-1", "12.00", "2026-07-01", "2026-07-31")),
        invoice("NI", "2026-07-01", service("31.00", "2026-07-01", "2026-07-31")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-07")
    assert cli.totals("--entity", "us")["cash"] - cash == 50
    assert cli.post(usage("new", "1.00", "2026-07-10")).startswith("-: posted 0 documents")
    cli.ok("close", "2026-01", "--entity", "us", "--anyway", "--reason", "it goes on")
    cli.ok("seal")
    assert "checks hold" in cli.ok("verify", "--head", str(tmp_path / "seal.json"))


@pytest.mark.parametrize("dump", [dump for dump in DUMPS if "-of-" in dump])
def test_books_that_came_a_long_way_go_on(cli: Cli, empty: str, dump: str, tmp_path: Path) -> None:
    """What releases of long ago could not say of their documents, seals and closings stays unsaid, and is told from here on."""
    _upgraded(cli, empty, dump)
    began = dump.partition("-of-")[2]
    sealed = _seals(empty)
    assert (sealed[0][1] is None) == (began < "0029")
    # what the customer still owes: 5,000.00 and 19 % tax and 1,200.00, less 5,950.00 paid, less what was credited
    reminders = cli.report("dunning", "--as-of", "2026-02-15", "--customer", "initech")
    due = {"0027": "1080.00", "0029": "1200.00"}[began]
    assert [(row["contact"], row["due"]) for row in reminders] == [("ap@initech.example", due)]
    cli.ok("seal", "--export", str(tmp_path / "seal.json"))
    cli.ok("seal", "--prove", "1", "--output", str(tmp_path / "proof.json"))
    # what was sealed stays under its seal; what that could not cover is under the next
    assert _seals(empty)[: len(sealed)] == sealed
    with create_engine(empty, poolclass=NullPool).connect() as connection:
        documents = connection.scalar(text("select count(*) from document"))
    assert sum(covered or 0 for _, covered in _seals(empty)) == documents
    cli.post(usage("new", "1.00", "2026-04-10", customer="initech", entity="de", currency="EUR", product="seats"))
    cli.ok("recognize", "--through", "2026-04")
    cli.ok("seal")
    if began == "0027":  # the other closed it itself
        cli.ok("close", "2026-01", "--entity", "de")
    cli.ok("close", "2026-02", "--entity", "de")
    with create_engine(empty, poolclass=NullPool).connect() as connection:
        counted = connection.execute(text("select entry_count from document where ref = 'new'")).scalar_one()
        closings = text("select last_entry from period_event order by period_event_id")
        closed = connection.execute(closings).scalars().all()
    assert (counted, closed[0], closed[-1] is None) == (1, None, False)
    assert "checks hold" in cli.ok("verify", "--head", str(tmp_path / "seal.json"))


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (
            "0044",
            "expected schema 0053 or newer: run `tickmark db upgrade` of commit 324c450 first, the last version that upgrades"
            " books this old",
        ),
        ("9999", f"expected schema {schema_expected()} or older: use the release that made it, or a newer one"),
    ],
)
def test_books_of_a_schema_that_is_not_upgraded_are_refused_whole(
    cli: Cli, url: str, empty: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, schema: str, expected: str
) -> None:
    """By what begins to work with them, by upgrading, and before a backup of them is restored."""
    monkeypatch.setenv("TICKMARK_DATABASE_URL", url)
    cli.post(*parties())
    folder = tmp_path / "backup"
    cli.ok("backup", str(folder))
    owner = create_engine(url, poolclass=NullPool)
    with owner.begin() as connection:
        connection.execute(text("update alembic_version set version_num = :schema"), {"schema": schema})
    for command in (("report", "summary"), ("verify",), ("db", "upgrade")):
        assert f"refused: database = schema {schema}: {expected}\n" == cli.refused(*command)
    with owner.connect() as connection:
        assert connection.scalar(text("select version_num from alembic_version")) == schema

    about = json.loads((folder / "about.json").read_text())
    (folder / "about.json").write_text(json.dumps(about | {"schema": schema}))
    monkeypatch.setenv("TICKMARK_DATABASE_URL", empty)
    assert f"about.json = schema {schema}: {expected}\n" in cli.refused("restore", str(folder))
    with create_engine(empty, poolclass=NullPool).connect() as connection:
        assert (
            connection.scalar(text("select count(*) from pg_class where relnamespace = 'public'\\:\\:regnamespace"))
            == 0
        )


def test_books_are_made_whole_or_not_at_all(cli: Cli, empty: str) -> None:
    """What stops the last file of the first migration undoes the others, and it is begun again."""
    tables = text("select relname from pg_class where relnamespace = 'public'\\:\\:regnamespace and relkind = 'r'")
    owner = create_engine(empty, poolclass=NullPool)
    with owner.begin() as connection:
        connection.execute(text("create table request_count (n integer)"))
    with pytest.raises(psycopg.errors.DuplicateTable):
        cli.ok("db", "upgrade")
    with owner.begin() as connection:
        assert set(connection.scalars(tables)) <= {"request_count", "alembic_version"}
        connection.execute(text("drop table request_count"))
    assert cli.ok("db", "upgrade") == "the database is upgraded\n"
    assert "checks hold" in cli.ok("verify")
