"""Backups: what is restored is what was backed up, and anything else is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from ledger.database import embedded
from ledger.database.connect import connect_engine
from tests.conftest import Cli
from tests.samples import grant, invoice, parties, payment, prepaid, service, usage


@pytest.fixture
def elsewhere(url: str) -> Iterator[str]:
    """An empty database on the same server, as a new server's."""
    name = f"{make_url(url).database}_restored"
    admin = create_engine(make_url(url).set(database="postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"create database {name}")
    yield make_url(url).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"drop database {name} with (force)")


def _books(cli: Cli) -> None:
    entity, customer, *rest = parties()
    cli.post(
        entity, customer | {"contacts": {"billing": "jane@globex.example"}}, *rest, grant("G"),
        invoice("I", "2026-01-01", prepaid("100.00"), service("365.00", "2026-01-01", "2026-12-31", line="2")), usage("u1", "40.00", "2026-01-10"),
        payment("P", "65.00", "2026-01-15", ("I", "65.00")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")


_HISTORY = ("document", "entry", "posting", "account", "seal", "personal_fields", "customer", "rule")


def _rows(url: str) -> dict[str, list[str]]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        return {name: sorted(connection.scalars(text(f"select t::text from {name} t")).all()) for name in _HISTORY}


def test_what_is_restored_is_what_was_backed_up(
    cli: Cli, url: str, elsewhere: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _books(cli)
    folder = tmp_path / "a backup"
    told = cli.ok("backup", str(folder))
    assert "seal 1 is " in told
    assert sorted(path.name for path in folder.iterdir()) == ["about.json", "books.dump", "seal.json"]
    cli.post(usage("u2", "1.00", "2026-02-10"))  # what comes after is not in it
    monkeypatch.setenv("TICKMARK_DATABASE_URL", elsewhere)
    told = cli.ok("restore", str(folder))
    assert "checks hold, and the books lead to seal 1" in told
    before, after = _rows(url), _rows(elsewhere)
    assert after["seal"] == before["seal"]
    for name in _HISTORY:
        assert set(after[name]) <= set(before[name])
    assert len(before["entry"]) == len(after["entry"]) + 1
    # the restored books go on, with the privileges they had
    cli.post(usage("u3", "1.00", "2026-02-11"))
    assert "checks hold" in cli.ok("verify", "--head", str(folder / "seal.json"))
    engine = connect_engine(elsewhere)
    with engine.connect() as connection, pytest.raises(Exception, match="permission denied"):
        connection.execute(text("update posting set amount = 1"))
    engine.dispose()


def test_books_are_restored_into_a_new_server(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on another machine: a server of its own, which has nothing yet, not even roles."""
    _books(cli)
    cli.ok("backup", str(tmp_path / "backup"))
    before = cli.report("trial-balance")
    folder = tmp_path / "another server"
    monkeypatch.delenv("TICKMARK_DATABASE_URL")
    monkeypatch.setenv("TICKMARK_DATA", str(folder))
    try:
        assert "checks hold, and the books lead to seal 1" in cli.ok("restore", str(tmp_path / "backup"))
        assert cli.report("trial-balance") == before
        kept = json.loads((tmp_path / "backup" / "seal.json").read_text())
        assert f"seal 1 is {kept['hash']}" in cli.ok("seal")
        engine = connect_engine(embedded.start(folder))
        with engine.connect() as connection, pytest.raises(Exception, match="permission denied"):
            connection.execute(text("update posting set amount = 1"))
        engine.dispose()
    finally:
        embedded.stop(folder)


def test_a_backup_that_was_changed_is_refused(
    cli: Cli, elsewhere: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _books(cli)
    folder = tmp_path / "backup"
    cli.ok("backup", str(folder))
    assert "expected a folder that is not there yet" in cli.refused("backup", str(folder))
    monkeypatch.setenv("TICKMARK_DATABASE_URL", elsewhere)
    whole = (folder / "books.dump").read_bytes()
    for content in (whole[:-100], b"", whole.replace(b"globex", b"glebex") + b" "):
        (folder / "books.dump").write_bytes(content)
        assert "it was changed or cut off" in cli.refused("restore", str(folder))
    (folder / "books.dump").write_bytes(whole)
    (folder / "about.json").unlink()
    assert "expected a backup that `tickmark backup` wrote" in cli.refused("restore", str(folder))
    engine = create_engine(elsewhere, poolclass=NullPool)
    with engine.connect() as connection:  # nothing half done
        assert (
            connection.scalar(text("select count(*) from information_schema.tables where table_schema = 'public'")) == 0
        )


def test_a_backup_without_its_seal_says_so_and_with_another_is_refused(
    cli: Cli, elsewhere: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _books(cli)
    folder = tmp_path / "backup"
    cli.ok("seal", "--export", str(tmp_path / "first.json"))
    cli.post(usage("u2", "1.00", "2026-02-10"))
    cli.ok("backup", str(folder))
    monkeypatch.setenv("TICKMARK_DATABASE_URL", elsewhere)
    seal = (folder / "seal.json").read_text()
    (folder / "seal.json").write_text(seal.replace('"sealed_by": "tester"', '"sealed_by": "nobody"'))
    assert "its hash is not that of what it says" in cli.refused("restore", str(folder))
    shutil.copy(tmp_path / "first.json", folder / "seal.json")  # one of these books, of before
    assert "expected the seal that the backup was written with" in cli.refused("restore", str(folder))
    (folder / "seal.json").unlink()
    assert "no seal.json was with them, so that nothing says what they lead to" in cli.ok("restore", str(folder))


def test_a_backup_of_books_that_were_changed_before_is_named(
    cli: Cli, owner: Connection, elsewhere: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _books(cli)
    cli.ok("backup", str(tmp_path / "good"))
    owner.execute(text("set session_replication_role = replica"))
    owner.execute(text("update entry set posted_by = 'nobody' where entry_id = 2"))
    owner.commit()
    cli.ok("backup", str(tmp_path / "bad"))
    shutil.copy(tmp_path / "good" / "seal.json", tmp_path / "bad" / "seal.json")
    monkeypatch.setenv("TICKMARK_DATABASE_URL", elsewhere)
    assert "entry 2" in cli.refused("restore", str(tmp_path / "bad"))


def test_an_older_backup_is_named_by_the_seal_kept_elsewhere(
    cli: Cli, elsewhere: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _books(cli)
    cli.ok("backup", str(tmp_path / "old"))
    cli.post(usage("u2", "1.00", "2026-02-10"))
    cli.ok("seal", "--export", str(tmp_path / "head.json"))
    monkeypatch.setenv("TICKMARK_DATABASE_URL", elsewhere)
    cli.ok("restore", str(tmp_path / "old"))
    assert "these books end with seal 1: they are older, or were cut off" in cli.refused(
        "verify", "--head", str(tmp_path / "head.json")
    )


def test_books_are_not_restored_over_others(cli: Cli, tmp_path: Path) -> None:
    _books(cli)
    cli.ok("backup", str(tmp_path / "b"))
    assert "expected an empty one" in cli.refused("restore", str(tmp_path / "b"))
    assert json.loads((tmp_path / "b" / "about.json").read_text())["by"] == "tester"
