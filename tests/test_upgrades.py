"""Books that an older schema's release made: they migrate, verify, say the same, and go on.

Each dump in tests/upgrades was written by that release's own demo and documents, with pg_dump; its trial balance, by that release.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from tests.conftest import Cli
from tests.samples import usage

DUMPS = sorted((Path(__file__).parent / "upgrades").glob("*.sql.gz"))
# What the customer of each still owes: 5,000.00 and 19 % tax and 1,200.00, less 5,950.00 paid, less what was credited.
DUE = {"0027": "1080.00", "0029": "1200.00"}


@pytest.fixture
def older(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
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


@pytest.mark.parametrize("dump", DUMPS, ids=[path.name.partition(".")[0] for path in DUMPS])
def test_books_of_an_older_release_go_on(cli: Cli, older: str, dump: Path, tmp_path: Path) -> None:
    script = "".join(
        line
        for line in gzip.decompress(dump.read_bytes()).decode().splitlines(keepends=True)
        if not line.startswith("\\")
    )
    engine = create_engine(older, poolclass=NullPool)
    with engine.begin() as connection:
        connection.connection.cursor().execute(script)
    schema = dump.name.partition(".")[0]
    assert f"database = schema {schema}: expected schema" in cli.refused("verify")
    assert cli.ok("db", "upgrade") == "the database is upgraded\n"
    assert "checks hold" in cli.ok("verify")
    assert cli.report("trial-balance") == json.loads((dump.parent / f"{schema}.trial-balance.json").read_text())
    # what the older release sealed stays under its seal; what it could not cover is under the next
    with engine.begin() as connection:
        old = connection.execute(text("select hash from seal order by seal_id")).scalars().all()
    cli.ok("seal", "--export", str(tmp_path / "seal.json"))
    cli.ok("seal", "--prove", "1", "--output", str(tmp_path / "proof.json"))
    with engine.begin() as connection:
        rows = connection.execute(text("select seal_id, hash, documents, accounts from seal order by seal_id")).all()
        documents = connection.scalar(text("select count(*) from document"))
        assert [row.hash for row in rows[: len(old)]] == old
        assert (rows[0].documents is None) == (schema < "0029")
        assert sum(row.documents or 0 for row in rows) == documents
    reminders = cli.report("dunning", "--as-of", "2026-02-15", "--customer", "initech")
    assert [(row["contact"], row["due"]) for row in reminders] == [("ap@initech.example", DUE[schema])]
    cli.post(usage("new", "1.00", "2026-04-10", customer="initech", entity="de", currency="EUR", product="seats"))
    cli.ok("recognize", "--through", "2026-04")
    cli.ok("seal")
    # what those releases could not say of their documents and closings is told from here on
    if schema == "0027":  # the other closed it itself
        cli.ok("close", "2026-01", "--entity", "de")
    cli.ok("close", "2026-02", "--entity", "de")
    with engine.begin() as connection:
        counted = connection.execute(text("select entry_count from document where ref = 'new'")).scalar_one()
        closed = (
            connection.execute(text("select last_entry from period_event order by period_event_id")).scalars().all()
        )
    assert (counted, closed[0], closed[-1] is None) == (1, None, False)
    assert "checks hold" in cli.ok("verify", "--head", str(tmp_path / "seal.json"))
