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
        old = connection.scalar(text("select hash from seal where seal_id = 1"))
    cli.ok("seal", "--export", str(tmp_path / "seal.json"))
    cli.ok("seal", "--prove", "1", "--output", str(tmp_path / "proof.json"))
    with engine.begin() as connection:
        rows = connection.execute(text("select seal_id, hash, documents, accounts from seal order by seal_id")).all()
        documents = connection.scalar(text("select count(*) from document"))
        assert rows[0].hash == old
        assert rows[0].documents is None
        assert sum(row.documents for row in rows[1:]) == documents
    reminders = cli.report("dunning", "--as-of", "2026-02-15", "--customer", "initech")
    assert [(row["contact"], row["due"]) for row in reminders] == [("ap@initech.example", "1080.00")]
    cli.post(usage("new", "1.00", "2026-04-10", customer="initech", entity="de", currency="EUR", product="seats"))
    cli.ok("recognize", "--through", "2026-04")
    cli.ok("seal")
    assert "checks hold" in cli.ok("verify", "--head", str(tmp_path / "seal.json"))
