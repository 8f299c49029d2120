"""Reaching the database, with its schema and its roles.

Yours by TICKMARK_DATABASE_URL, else the embedded one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from ledger.database import embedded
from ledger.database.reference_data import reference_data_current, write_reference_data
from ledger.errors import Refused

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection

APPLICATION_ROLE = "tickmark_app"
AUDITOR_ROLE = "tickmark_auditor"

# What the application may do beyond reading and adding: balances, and the row locks taken on customers.
_UPDATABLE = (
    "grant_balance",
    "usage_meter",
    "closed_books",
    "customer",
    "invoice_counter",
    "daily_total",
    "open_receivable",
    "export_login",
    "api_key",
    "api_request",
    "request_count",
    "export_job",
    "personal_fields",
    "posted_file",
)


# What brought books of all schemas before the first that is still upgraded to it, last.
_UPGRADES_OLDER = "commit 324c450"

# What an auditor has no need of: keys, sessions, tokens, and what requests with keys were answered, or how many there were.
_SECRET = ("api_key", "api_request", "request_count", "export_login", "export_job", "page_session")


class NotUpgraded(Refused):
    """The database holds no books yet, or books of another release."""


def url() -> str:
    """The database's URL in SQLAlchemy's form.

    Starts the embedded server when none is configured.
    """
    given = os.environ.get("TICKMARK_DATABASE_URL")
    if not given:
        return embedded.start(embedded.data_folder())
    parsed = make_url(given)
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise Refused("TICKMARK_DATABASE_URL", parsed.render_as_string(), "expected a postgresql:// URL")
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def _application_name() -> str:
    """What the database calls this process where its URL names none.

    The command, and what it is to do.
    """
    return " ".join([Path(sys.argv[0]).name, *(word for word in sys.argv[1:2] if word.isalpha())])


def connect_engine(database_url: str, *, as_owner: bool = False) -> Engine:
    """An engine whose connections act as the application's role.

    That owns nothing and can't change history; an auditor's act as theirs. `as_owner` keeps the login role, for migrations. Connections
    use UTC and write dates as the standard does, find the books' own schema alone, and none is shared by threads.
    """
    engine = create_engine(
        database_url,
        hide_parameters=True,
        connect_args={"fallback_application_name": _application_name()},
        **({"poolclass": NullPool} if as_owner else {"pool_size": 10}),
    )  # a statement that fails is logged without what it said

    @event.listens_for(engine, "connect")
    def _prepare(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        # whatever the server, the database or the login is set to: no other schema's object stands for one of the books (ledger/database/catalog.py)
        cursor.execute(
            "set search_path = public, pg_temp; set time zone 'UTC'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres';"
            " set bytea_output = 'hex'; set standard_conforming_strings = on"
        )
        for role in () if as_owner else (APPLICATION_ROLE, AUDITOR_ROLE):
            cursor.execute(
                "select from pg_roles where rolname = %s and pg_has_role(current_user, oid, 'member')", (role,)
            )
            if cursor.fetchone() is not None:
                cursor.execute(f"set role {role}")
                break
        cursor.close()
        connection.commit()

    return engine


# PostgreSQL's classes of errors that are none of what was asked: of a connection, of what it has room for, of who runs it, of the system.
_FAILURES = ("08", "53", "57P", "58")


def failure(error: BaseException | None) -> str | None:
    """Why the database can't be used, in a sentence, where that is what an error comes from.

    None for any other.
    """
    while error is not None:
        if isinstance(error, PoolTimeout):
            return "all its connections are in use"
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError) and (
            cause.sqlstate is None or cause.sqlstate.startswith(_FAILURES)
        ):
            said = (cause.diag.message_primary or str(cause)).strip()
            return " ".join(said.split()) or "it does not answer"
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def opened() -> Iterator[Engine]:
    """The configured database, its schema brought up to date when it is the embedded one.

    Raises NotUpgraded where a database of the user's own waits for `tickmark db upgrade`.
    """
    database_url = url()
    if os.environ.get("TICKMARK_DATABASE_URL"):
        require_current(database_url)
    else:
        upgrade(database_url)
    engine = connect_engine(database_url)
    try:
        yield engine
    finally:
        engine.dispose()


@cache
def _schemas() -> tuple[str, ...]:
    """The schemas whose books this release upgrades, and its own: the numbers of its migrations."""
    return tuple(sorted(path.name.split("_")[0] for path in (_migrations_folder() / "versions").glob("[0-9]*.py")))


def schema_expected() -> str:
    """The schema of this release: the number of its last migration."""
    return _schemas()[-1]


def _migrations_folder() -> Path:
    spec = find_spec("migrations")
    assert spec is not None, "the migrations are part of the package"
    assert spec.origin is not None, "the migrations are a package with an __init__"
    return Path(spec.origin).parent


def _revision(connection: Connection) -> str | None:
    if connection.scalar(text("select to_regclass('public.alembic_version')")) is None:
        return None
    found: str | None = connection.scalar(text("select version_num from alembic_version"))
    return found


def require_known(schema: str | None, of: str = "database") -> None:
    """Raise NotUpgraded where books are of a schema that this release does not upgrade: of one too old, or not of its own."""
    if schema is None or schema in _schemas():
        return
    if schema < _schemas()[0]:
        expected = f"expected schema {_schemas()[0]} or newer: run `tickmark db upgrade` of {_UPGRADES_OLDER} first, the last version that upgrades books this old"
    else:
        expected = f"expected schema {schema_expected()} or older: use the release that made it, or a newer one"
    raise NotUpgraded(of, f"schema {schema}", expected)


def require_current(database_url: str) -> None:
    """Raise NotUpgraded unless the database's schema is this release's."""
    engine = connect_engine(database_url, as_owner=True)
    with engine.connect() as connection:
        require_schema(connection)


def require_schema(connection: Connection) -> str:
    """The schema of a database. Raises NotUpgraded unless it is this release's."""
    found = _revision(connection)
    require_known(found)
    if found is None or found != schema_expected():
        expected = f"expected schema {schema_expected()}; run `tickmark db upgrade`"
        raise NotUpgraded("database", f"schema {found}" if found else "no Tickmark schema", expected)
    return found


def upgrade(database_url: str, *, again: bool = False) -> bool:
    """Bring a database to this release.

    Create it (embedded), migrate, write rulebook and chart, set privileges. Safe to call at any time and from several processes at once.
    Returns whether anything was migrated; `again` does all of it even where nothing is to be migrated, as after a restore.
    Raises NotUpgraded for books of a schema that this release does not upgrade.
    """
    if not os.environ.get("TICKMARK_DATABASE_URL"):
        create_database(database_url)
    engine = connect_engine(database_url, as_owner=True)
    with engine.connect() as connection:
        found = _revision(connection)
        require_known(found)
        if (
            not again
            and found == schema_expected()
            and reference_data_current(connection)
            and not connection.scalar(text(_OPEN_TRIGGERS))
        ):
            return False
        connection.execute(text("select pg_advisory_lock(71605)"))
        try:
            connection.commit()
            _migrate(connection)
            write_reference_data(connection)
            _set_privileges(connection)
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("select pg_advisory_unlock(71605)"))
            connection.commit()
    return True


def may_write(connection: Connection) -> bool:
    """Whether who is connected may add to the books: an auditor may not."""
    return bool(connection.scalar(text("select has_table_privilege('verification', 'insert')")))


def create_database(database_url: str) -> None:
    """Create the database a URL names, on its server's `postgres` database, unless it is there."""
    target = make_url(database_url)
    assert target.database is not None, "a database URL names its database"
    engine = create_engine(
        target.set(database="postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True
    )
    with engine.connect() as connection:
        there = text("select from pg_database where datname = :name")
        if connection.execute(there, {"name": target.database}).first() is not None:
            return
        try:
            connection.exec_driver_sql(f'create database "{target.database}"')
        except Exception as error:  # another process was first
            if not isinstance(
                getattr(error, "orig", None), psycopg.errors.UniqueViolation | psycopg.errors.DuplicateDatabase
            ):
                raise


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    # Alembic's options go through ConfigParser, where a % must be doubled.
    config.set_main_option("script_location", str(_migrations_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


_OPEN_TRIGGERS = """
    select oid::regprocedure::text from pg_proc where pronamespace = 'public'::regnamespace and prorettype = 'trigger'::regtype
       and has_function_privilege('public', oid, 'execute')"""


def _set_privileges(connection: Connection) -> None:
    """Make the roles of the application and of auditors, who own nothing.

    The application reads, adds, and updates balances; an auditor reads all but secrets.
    """
    # what migrations keep from everybody, also where it was restored from a backup, which knows no rights
    _grant(connection, "revoke execute on function keep_row_log(text) from public")
    # who may attach what a trigger does to a table of their own can have it log rows that are in none of the books'
    for function in connection.scalars(text(_OPEN_TRIGGERS)).all():
        _grant(connection, f"revoke execute on function {function} from public")
    # one that can't be made does not keep the other from what it needs; where none can, the triggers still refuse (SECURITY.md)
    if _made(connection, APPLICATION_ROLE):
        if not connection.scalar(text("select pg_has_role(current_user, :name, 'member')"), {"name": APPLICATION_ROLE}):
            connection.exec_driver_sql(f"grant {APPLICATION_ROLE} to current_user")
        _grant(
            connection,
            f"grant usage on schema public to {APPLICATION_ROLE}",
            f"grant select, insert on all tables in schema public to {APPLICATION_ROLE}",
            f"revoke insert on role, rule, alembic_version, row_log from {APPLICATION_ROLE}",
            f"grant update on {', '.join(_UPDATABLE)} to {APPLICATION_ROLE}",
            "grant delete on open_receivable, api_request, request_count, page_session, terms_to_fold"
            f" to {APPLICATION_ROLE}",
            f"grant usage on all sequences in schema public to {APPLICATION_ROLE}",
        )
    if _made(connection, AUDITOR_ROLE):
        _grant(
            connection,
            f"grant usage on schema public to {AUDITOR_ROLE}",
            f"grant select on all tables in schema public to {AUDITOR_ROLE}",
            f"grant select on all sequences in schema public to {AUDITOR_ROLE}",
            f"revoke select on {', '.join(_SECRET)} from {AUDITOR_ROLE}",
        )


def _grant(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


def _made(connection: Connection, role: str) -> bool:
    """Whether a role is there, or could be made."""
    if connection.scalar(text("select count(*) from pg_roles where rolname = :name"), {"name": role}):
        return True
    if not connection.scalar(text("select rolcreaterole or rolsuper from pg_roles where rolname = current_user")):
        return False
    connection.exec_driver_sql(f"create role {role} nologin")
    return True
