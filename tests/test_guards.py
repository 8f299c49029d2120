"""The database's own guards: whatever a superuser does to what holds, or to what a name stands for, the verification names it.

Each case is statements, the name that has to be told, and what undoes what is not of the database alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from ledger.database import guards
from ledger.database.connect import connect_engine, upgrade
from ledger.proof.verify import verify
from revrec.watches import HELD
from tests.conftest import Cli
from tests.samples import invoice, parties, service

_EVIL = "create schema evil"
_NE = (
    "create function evil.ne(numeric, integer) returns boolean language sql immutable as 'select false'",
    "create operator public.<> (leftarg = numeric, rightarg = integer, function = evil.ne)",
)
_TO_CHAR = "create function public.to_char(date, text) returns text language sql immutable as $$select '1999-01'$$"
_RELOAD = "select pg_reload_conf()"

CASES: dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    "the application a member of the owner": (
        ("grant postgres to tickmark_app",), "membership of tickmark_app in postgres", ("revoke postgres from tickmark_app",)),
    "the application a member of who writes everything": (
        ("grant pg_write_all_data to tickmark_app",), "membership of tickmark_app in pg_write_all_data",
        ("revoke pg_write_all_data from tickmark_app",)),
    "a login of the application a member of the owner": (
        ("create role evil_login login in role tickmark_app", "grant postgres to evil_login"), "membership of evil_login in postgres",
        ("drop role evil_login",)),
    "a login of the application a superuser": (
        ("create role evil_login login superuser in role tickmark_app",), "login evil_login is not of this release: superuser",
        ("drop role evil_login",)),
    "an auditor that makes roles": (
        ("alter role tickmark_auditor createrole",), "role tickmark_auditor is makes roles", ("alter role tickmark_auditor nocreaterole",)),
    "the application may make objects": (
        ("grant create on schema public to tickmark_app",), "rights of tickmark_app on schema public is create, usage", ()),
    "everybody may make objects": (("grant create on schema public to public",), "rights of everybody on schema public", ()),
    "another's table": (
        ("create role evil_login login", "alter table fx_rate owner to evil_login"), "owner of fx_rate is not of this release: evil_login",
        ("reassign owned by evil_login to postgres", "drop role evil_login")),
    "the application's table": (
        ("alter table fx_rate owner to tickmark_app",), "owner of fx_rate is not of this release: tickmark_app", ()),
    "the application may switch triggers off": (
        ("grant set on parameter session_replication_role to tickmark_app",), "rights of tickmark_app on setting session_replication_role",
        ("revoke set on parameter session_replication_role from tickmark_app",)),
    "a function that everybody may run": (
        ("grant execute on function keep_row_log(text) to public",), "function keep_row_log(name text) is", ()),
    "a function that the application may run": (
        ("grant execute on function keep_row_log(text) to tickmark_app",), "rights of tickmark_app on function keep_row_log", ()),
    "all triggers off": (
        ("alter system set session_replication_role = replica", _RELOAD), "setting session_replication_role",
        ("alter system reset session_replication_role", _RELOAD)),
    "another search path for everybody": (
        (_EVIL, "alter system set search_path = evil, public", _RELOAD), "setting search_path",
        ("alter system reset search_path", _RELOAD)),
    "an operator": ((_EVIL, *_NE), "operator public.<>(numeric,integer) is not of this release", ()),
    "an operator that is an extension's": (
        (_EVIL, *_NE, "alter extension plpgsql add operator public.<> (numeric, integer)"), "operator public.<>(numeric,integer)", ()),
    "an operator beside PostgreSQL's own": (
        ("set allow_system_table_mods = on", _EVIL, _NE[0], "create operator pg_catalog.<> (leftarg = numeric, rightarg = integer, function = evil.ne)"),
        "operator pg_catalog.<>(numeric,integer)", ()),
    "a cast": (
        ("create function public.yes(integer) returns date language sql immutable as $$select '2026-01-01'::date$$",
         "create cast (integer as date) with function public.yes(integer) as implicit"), "cast (integer AS pg_catalog.date) is not of this release", ()),
    "what a row of a table says as text": (
        (_EVIL, "create function evil.t(public.fx_rate) returns text language sql immutable as $$select '(EUR,USD,2026-01-01,1.10)'$$",
         "create cast (public.fx_rate as text) with function evil.t(public.fx_rate)"), "cast (public.fx_rate AS pg_catalog.text) is not of this release", ()),
    "a table of the standard's that stands for one of the books": (
        ("alter table information_schema.sql_parts set schema pg_catalog", "alter table pg_catalog.sql_parts rename to fx_rate"),
        "table pg_catalog.fx_rate is not of this release", ()),
    "a table of PostgreSQL's own that stands for one of the books": (
        ("set allow_system_table_mods = on", "alter view pg_catalog.pg_seclabels rename to fx_rate"), "view pg_catalog.fx_rate is not of this release", ()),
    "a function of the standard's among PostgreSQL's own": (
        ("alter function information_schema._pg_char_max_length(oid, integer) set schema pg_catalog",), "function pg_catalog._pg_char_max_length", ()),
    "a function of the standard's among the books'": (
        ("alter function information_schema._pg_char_max_length(oid, integer) set schema public",), "function _pg_char_max_length", ()),
    "settings that can't be seen": (
        ("set allow_system_table_mods = on", """do $$begin
            execute 'create or replace view pg_catalog.pg_settings as '
                 || regexp_replace(pg_get_viewdef('pg_settings'::regclass), '(a\\.)?reset_val', '\\1boot_val as reset_val');
        end$$"""),
        "view pg_catalog.pg_settings is ", ()),
    "roles that can't be seen": (
        ("set allow_system_table_mods = on", """do $$begin
            execute 'create or replace view pg_catalog.pg_roles as '
                 || regexp_replace(pg_get_viewdef('pg_roles'::regclass), '(pg_authid\\.)?rolsuper', 'false as rolsuper');
        end$$"""), "view pg_catalog.pg_roles is ", ()),
    "the application's schema": (
        ("alter schema public owner to tickmark_app",), "owner of schema public is not of this release: tickmark_app", ()),
    "a login of the application's database": (
        ("create role evil_login login in role tickmark_app", "alter database {database} owner to evil_login"),
        "owner of the database is not of this release: evil_login", ("alter database {database} owner to postgres", "drop role evil_login")),
    "a login of the application a member of the database's owner": (
        ("create role evil_owner", "create role evil_login login in role tickmark_app, evil_owner", "alter database {database} owner to evil_owner"),
        "membership of evil_login in evil_owner", ("alter database {database} owner to postgres", "drop role evil_login", "drop role evil_owner")),
    "a function that somebody may run": (
        ("create role evil_login login", "grant execute on function keep_row_log(text) to evil_login"), "rights of evil_login on function keep_row_log",
        ("drop owned by evil_login", "drop role evil_login")),
    "an aggregate": (("create aggregate public.sum(date) (sfunc = date_larger, stype = date)",), "function sum(date) is not of this release", ()),
    "an aggregate of PostgreSQL's by another function": (
        ("set allow_system_table_mods = on", _EVIL,
         "create function evil.add(numeric, numeric) returns numeric language plpgsql as $$begin return $1 + 2 * $2; end$$",
         "create or replace aggregate pg_catalog.sum(numeric) (sfunc = evil.add, stype = numeric)"),
        "aggregate sum(numeric) is not of this release", ()),
    "a setting of a function of PostgreSQL's": (
        ("set allow_system_table_mods = on", "alter function pg_catalog.date(timestamptz) set timezone = 'Pacific/Kiritimati'"),
        "function pg_catalog.date(timestamp with time zone) is not of this release: with TimeZone=Pacific/Kiritimati", ()),
    "a trigger that is called as a role is": (
        (_EVIL, "create function evil.f() returns trigger language plpgsql as $$begin new.role := 'admin'; return new; end$$",
         'create trigger "of tickmark_auditor" before insert on api_key for each row execute function evil.f()'),
        "trigger of tickmark_auditor on api_key is not of this release", ()),
    "a table that stands for Citus'": (
        ("create table public.pg_dist_partition as select 'public.posting'::regclass as logicalrelid",), "table pg_dist_partition", ()),
    "a type": (("create domain public.money_of_ours as numeric",), "type public.money_of_ours", ()),
    "a table among PostgreSQL's own": (
        ("set allow_system_table_mods = on", "create view pg_catalog.entity as select * from public.entity"), "view pg_catalog.entity", ()),
    "a function among PostgreSQL's own": (
        ("set allow_system_table_mods = on", _TO_CHAR.replace("public.", "pg_catalog.")), "function pg_catalog.to_char(date, text)", ()),
    "a function that is an extension's": (
        (_TO_CHAR, "alter extension plpgsql add function public.to_char(date, text)"), "function to_char(date, text) is not of this release", ()),
    "a function that answers nothing": (
        ("alter function half_even(numeric) strict",), "function half_even(amount numeric) is sql i strict", ()),
    "a function that is not asked again": (("alter function customers_on(date, bigint) immutable",), "function customers_on", ()),
    "a function that is let through": (("alter function half_even(numeric) leakproof",), "function half_even", ()),
    "a function of another path": (("alter function half_even(numeric) set search_path = evil",), "function half_even", ()),
    "a function as its owner": (("alter function half_even(numeric) security definer",), "function half_even", ()),
    "a function of another default": (
        ("drop function customers_on(date, bigint) cascade",
         "create function customers_on(on_day date, before bigint default 0) returns bigint language sql as 'select 1'"), "function customers_on", ()),
    "what runs when something is made": (
        (_EVIL, "create function evil.et() returns event_trigger language plpgsql as 'begin end'",
         "create event trigger et on ddl_command_start execute function evil.et()"), "event trigger et", ()),
    "rows of a child": ((_EVIL, "create table evil.child () inherits (public.approval_by_rule)"), "evil.child inherits from approval_by_rule", ()),
    "names in another order": (
        (_EVIL, "create collation evil.ci (provider = libc, locale = 'C')",
         "alter table gl_account alter column code type text collate evil.ci"), "column gl_account.code is text not null collate evil.ci", ()),
    "numbers that come again": (("alter sequence period_event_period_event_id_seq cycle",), "sequence period_event_period_event_id_seq", ()),
    "a view as who asks": (("alter view journal_line set (security_invoker = true)",), "options of view journal_line", ()),
}  # fmt: skip


@pytest.fixture
def superuser(url: str) -> Iterator[Connection]:
    """The superuser, each statement for itself."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection


def _run(connection: Connection, statements: tuple[str, ...]) -> None:
    database = connection.scalar(text("select current_database()"))
    for statement in statements:
        connection.exec_driver_sql(statement.replace("{database}", str(database)).replace("%", "%%"))
    if _RELOAD in statements:
        time.sleep(0.3)


def _differing(engine: Engine) -> list[str]:
    """What a connection that is new is told."""
    engine.dispose()
    with engine.connect() as connection:
        return list(guards.differing(connection))


def test_nothing_differs_from_what_migrations_made(engine: Engine) -> None:
    assert _differing(engine) == []


@pytest.mark.parametrize("case", CASES)
def test_what_changes_a_guard_is_named(superuser: Connection, engine: Engine, case: str) -> None:
    statements, named, undone = CASES[case]
    try:
        _run(superuser, statements)
        told = _differing(engine)
    finally:
        _run(superuser, undone)
    assert [difference for difference in told if named in difference], told


@pytest.mark.parametrize("function", ["log_fx_rate", "log_grant_balance", "check_postings", "refuse_change"])
def test_what_guards_do_nobody_has_done_to_a_table_of_their_own(superuser: Connection, function: str) -> None:
    """A login of the application could have rows logged that are in no table of the books: they would never verify again."""
    superuser.exec_driver_sql("set role tickmark_app")
    superuser.exec_driver_sql("create temp table mine (like public.fx_rate)")
    with pytest.raises(ProgrammingError, match="permission denied for function"):
        superuser.exec_driver_sql(
            f"create trigger mine after insert on mine referencing new table as added for each statement execute function public.{function}()"
        )


def test_who_upgraded_before_keeps_what_guards_do_from_everybody(superuser: Connection, url: str) -> None:
    superuser.exec_driver_sql("grant execute on function log_fx_rate() to public")
    assert upgrade(url)
    assert not superuser.scalar(text("select has_function_privilege('public', 'log_fx_rate()', 'execute')"))
    assert not upgrade(url)


def _redefine(connection: Connection, part: str, other: str) -> None:
    definition = str(connection.scalar(text("select pg_get_viewdef('performance_obligation')")))
    assert part in definition
    connection.exec_driver_sql(f"create or replace view performance_obligation as {definition.replace(part, other)}")


def test_a_view_whose_brackets_moved_is_named(superuser: Connection, engine: Engine) -> None:
    _redefine(
        superuser,
        "GREATEST(COALESCE(o.ends_on, v.ends_on, '2199-12-31'::date), v.ends_on)",
        "GREATEST(COALESCE(o.ends_on), v.ends_on, '2199-12-31'::date, v.ends_on)",
    )
    assert [told for told in _differing(engine) if told.startswith("view performance_obligation is ")]


def test_a_view_that_another_release_of_postgresql_writes_otherwise_does_not_differ(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL 15 names the only table of a query with each column, later ones don't; and one may write a bracket more."""
    name = "view obligation_version"
    made = guards.made()
    written = made[name].replace("SELECT customer_id,", "SELECT (t.customer_id) AS customer_id,")
    assert written != made[name]
    monkeypatch.setattr(guards, "made", lambda: made | {name: written})
    assert _differing(engine) == []
    monkeypatch.setattr(guards, "made", lambda: made | {name: written.replace("subject", "1 as subject", 1)})
    assert [told for told in _differing(engine) if told.startswith(name)]


def test_no_other_schema_stands_for_the_books(cli: Cli, url: str, superuser: Connection) -> None:
    """Connections find the books' own schema whatever the server, the database and the login are set to."""
    cli.post(*parties(), invoice("I", "2026-01-01", service("365.00", "2026-01-01", "2026-12-31")))
    cli.ok("seal")
    before = cli.report("trial-balance")
    assert before
    name = superuser.scalar(text("select current_database()"))
    undone = ("alter role tickmark_app reset search_path", "alter role postgres reset search_path")
    try:
        _run(superuser, (
            _EVIL, "create view evil.daily_total as select * from public.daily_total where false",
            "create view evil.posting as select * from public.posting where false", "grant usage on schema evil to public",
            "grant select on all tables in schema evil to public", f"alter database {name} set search_path = evil, public",
            "alter role postgres set search_path = evil, public", "alter role tickmark_app set search_path = evil, public",
        ))  # fmt: skip
        engine = connect_engine(url)
        with engine.connect() as connection:
            assert connection.scalar(text("select count(*) from posting")) > 0
            assert connection.scalar(text("select count(*) from daily_total")) > 0
            assert [told for told in guards.differing(connection) if told.startswith("setting search_path")]
        engine.dispose()
    finally:
        _run(superuser, undone)
    assert cli.report("trial-balance") == before


@pytest.mark.parametrize(
    "setting",
    [
        "datestyle = 'SQL, DMY'",
        "standard_conforming_strings = off",
        "bytea_output = 'escape'",
        "intervalstyle = 'iso_8601'",
    ],
)
def test_however_the_database_writes_values_all_is_verified(
    cli: Cli, url: str, superuser: Connection, setting: str
) -> None:
    cli.post(*parties(), invoice("I", "2026-01-01", service("12.00", "2026-01-01", "2026-01-31")))
    cli.ok("recognize", "--through", "2026-01")
    cli.ok("seal")
    name = superuser.scalar(text("select current_database()"))
    _run(superuser, (f"alter database {name} set {setting}",))
    engine = connect_engine(url)
    assert [check.sentence for check in verify(engine, held=HELD) if check.differing] == []
    engine.dispose()
