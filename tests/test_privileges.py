"""Whom the database lets do what: the application adds and rewrites nothing, an auditor reads, and neither is the owner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ledger.database import connect
from ledger.database.connect import connect_engine
from ledger.database.schema.tables import metadata
from tests.conftest import Cli
from tests.samples import invoice, parties, service, usage
from web.commands.shell import NOT_ALLOWED

# What is no history: balances that verify recomputes, and what stands beside the books.
_MAY_UPDATE = {
    "grant_balance", "usage_meter", "closed_books", "customer", "invoice_counter", "daily_total", "open_receivable", "export_login", "api_key",
    "api_request", "request_count", "export_job", "personal_fields", "posted_file",
}  # fmt: skip
_MAY_DELETE = {"open_receivable", "api_request", "request_count", "page_session", "terms_to_fold"}
_SECRET = {"api_key", "api_request", "request_count", "export_login", "export_job", "page_session"}
TABLES = sorted(metadata.tables)


@pytest.fixture
def logins(url: str, owner: Connection) -> Iterator[dict[str, str]]:
    """Logins that are members of one role each, as an administrator makes them."""
    made = {}
    for name, role in (("t_app", "tickmark_app"), ("t_auditor", "tickmark_auditor")):
        owner.execute(text(f"drop role if exists {name}"))
        owner.execute(text(f"create role {name} login password 'theirs' in role {role}"))
        made[name] = make_url(url).set(username=name, password="theirs").render_as_string(hide_password=False)  # noqa: S106
    owner.commit()
    yield made
    for name in made:
        owner.rollback()
        owner.execute(text(f"drop role {name}"))
    owner.commit()


def _refused(engine: Engine, statement: str) -> bool:
    with engine.connect() as connection:
        try:
            connection.execute(text(statement))
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != NOT_ALLOWED:
                raise
            return True
        return False


def test_the_application_rewrites_nothing(cli: Cli, logins: dict[str, str]) -> None:
    cli.post(*parties())
    engine = connect_engine(logins["t_app"])
    assert not [table for table in TABLES if _refused(engine, f"select * from {table} limit 1")]
    assert {table for table in TABLES if not _refused(engine, f"delete from {table} where false")} == _MAY_DELETE
    assert [table for table in TABLES if not _refused(engine, f"truncate {table}")] == []
    updatable = {
        table for table in TABLES
        if not _refused(engine, f"update {table} set {next(iter(metadata.tables[table].columns)).name} = default where false")
    }  # fmt: skip
    assert updatable == _MAY_UPDATE
    for statement in (
        "drop table posting", "alter table posting disable trigger all", "set session_replication_role = replica", "create table x (y int)",
        "alter table entry owner to t_app", "grant tickmark_app to t_auditor", "create role x", "alter role t_app superuser",
    ):  # fmt: skip
        assert _refused(engine, statement), statement
    engine.dispose()


def test_an_auditor_reads_all_but_secrets_and_changes_nothing(cli: Cli, logins: dict[str, str]) -> None:
    cli.post(*parties())
    engine = connect_engine(logins["t_auditor"])
    assert {table for table in TABLES if _refused(engine, f"select * from {table} limit 1")} == _SECRET
    for table in TABLES:
        column = next(iter(metadata.tables[table].columns)).name
        for statement in (f"delete from {table} where false", f"truncate {table}", f"update {table} set {column} = default where false",
                          f"insert into {table} default values"):  # fmt: skip
            assert _refused(engine, statement), statement
    assert _refused(engine, "select nextval('entry_number')")
    assert _refused(engine, "set session_replication_role = replica")
    engine.dispose()


def test_an_auditor_verifies_traces_and_reports(
    cli: Cli, logins: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cli.post(
        *parties(),
        invoice("I", "2026-01-01", service("365.00", "2026-01-01", "2026-12-31")),
        usage("u1", "5.00", "2026-01-05"),
    )
    cli.ok("recognize", "--through", "2026-01")
    cli.ok("seal")
    cli.post(usage("u2", "5.00", "2026-01-06"))
    monkeypatch.setenv("TICKMARK_DATABASE_URL", logins["t_auditor"])
    assert "checks hold" in cli.ok("verify")
    # nor does it need to write what it adds up for a while, as where it may not or the server is a stand-by
    with monkeypatch.context() as patch:
        patch.setenv("PGOPTIONS", "-c default_transaction_read_only=on")
        assert "checks hold" in cli.ok("verify")
    assert cli.report("trial-balance")
    assert "invoice I" in cli.ok("trace", "invoice:I")
    cli.ok("seal", "--prove", "1")
    cli.ok("export", "workbook", "--output", str(tmp_path / "books.xlsx"))
    for command in (
        ("seal",),
        ("recognize", "--through", "2026-02"),
        ("close", "2026-01"),
        ("erase", "globex", "--reason", "x"),
    ):
        assert "this login may not do that" in cli.refused(*command), command
    assert "this login may not do that" in cli.refuse({"type": "product", "id": "x", "name": "X"})


def test_the_application_works_with_its_own_login(
    cli: Cli, logins: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKMARK_DATABASE_URL", logins["t_app"])
    cli.post(*parties(), invoice("I", "2026-01-01", service("365.00", "2026-01-01", "2026-12-31")))
    cli.ok("recognize", "--through", "2026-01")
    cli.ok("close", "2026-01")
    assert "checks hold" in cli.ok("verify")


def test_what_the_owner_changes_by_mistake_is_refused_too(cli: Cli, url: str) -> None:
    cli.post(*parties(), invoice("I", "2026-01-01", service("365.00", "2026-01-01", "2026-12-31")))
    cli.ok("seal")
    cli.ok("verify")
    engine = create_engine(url, poolclass=NullPool)
    for table in ("entry", "posting", "document", "account", "seal", "verification"):
        for statement in (f"delete from {table}", f"truncate {table} cascade"):
            with engine.connect() as connection, pytest.raises(DBAPIError, match=r"never changed|append-only|refused"):
                connection.execute(text(statement))


def test_a_role_that_cannot_be_made_keeps_nothing_from_the_other(
    cli: Cli, url: str, owner: Connection, logins: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where an administrator made the application's role by hand, before there were auditors."""
    made = connect._made
    monkeypatch.setattr(
        connect, "_made", lambda connection, role: role != connect.AUDITOR_ROLE and made(connection, role)
    )
    owner.execute(text("revoke all on verification from tickmark_app"))
    owner.commit()
    engine = connect_engine(logins["t_app"])
    assert _refused(engine, "select * from verification")
    connect.upgrade(url, again=True)
    assert not _refused(engine, "select * from verification")
    engine.dispose()


def test_no_temporary_table_stands_for_one_of_the_books(cli: Cli, logins: dict[str, str]) -> None:
    """What runs as the owner writes to the owner's tables, also for a session that has others of their names."""
    cli.post(*parties())
    engine = connect_engine(logins["t_app"])
    with engine.begin() as connection:
        for statement in (
            "create temp table row_log (like public.row_log)",
            "create temp table ran_as (who text)",
            "create function pg_temp.evil() returns trigger language plpgsql as"
            " $$begin insert into pg_temp.ran_as values (current_user); return null; end$$",
            "create trigger t before insert on pg_temp.row_log for each row execute function pg_temp.evil()",
            "grant all on pg_temp.row_log, pg_temp.ran_as to public",
            "insert into public.product (product, name) values ('p2', 'P2')",
        ):
            connection.execute(text(statement))
        assert connection.execute(text("select who from pg_temp.ran_as")).all() == []
        assert (
            connection.scalar(text("select count(*) from public.row_log where table_name = 'product' and key = 'p2'"))
            == 1
        )
    engine.dispose()


def test_every_function_that_guards_says_where_it_looks_names_up(owner: Connection, cli: Cli) -> None:
    """What runs as its owner, and every trigger: a migration that makes one has to say it."""
    assert cli
    functions = owner.scalars(
        text(
            "select p.oid::regprocedure::text from pg_proc p where pronamespace = 'public'::regnamespace"
            " and (p.prosecdef or p.prorettype = 'trigger'::regtype)"
            " and not coalesce('search_path=pg_catalog, public, pg_temp' = any(p.proconfig), false)"
        )
    ).all()
    assert functions == []
    owner.execute(text("create table later (n integer primary key)"))
    owner.execute(text("select keep_row_log('later')"))
    said = owner.scalar(text("select array_to_string(proconfig, ' ') from pg_proc where proname = 'log_later'"))
    assert "search_path=pg_catalog, public, pg_temp" in said
