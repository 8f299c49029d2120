"""The database's own guards, held to what this release's migrations make.

Tables, columns, constraints, triggers, functions, rights. `made.txt` beside this module lists them (ledger/database/catalog.py) as they
are in a database that was just made (`make made`). Whoever owns the database can drop a trigger, switch it off, give a login rights or
put another function in a guard's place: verifying names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from ledger.database.catalog import PLAIN, listed
from ledger.database.citus import is_distributed
from ledger.database.connect import schema_expected
from ledger.database.reference_data import reference_rows

_MADE = Path(__file__).with_name("made.txt")

SENTENCE = "the database's tables, triggers, functions, rights, chart and rulebook are those that this release makes"
COUNTED = (
    "select count(*) from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S')"
)


def _reference() -> dict[str, str]:
    """What this release writes into a database it made.

    Its schema's number, the chart and the rulebook.
    """
    roles, rules = reference_rows()
    return {
        "schema": schema_expected(),
        **{f"role {row['name']} of the chart": " | ".join(str(value) for value in row.values()) for row in roles},
        **{f"rule {row['number']} of the rulebook": " | ".join(str(value) for value in row.values()) for row in rules},
    }


def _reference_found(connection: Connection) -> dict[str, str]:
    found = {"schema": str(connection.scalar(text("select string_agg(version_num, ', ') from alembic_version")))}
    for table, of, columns in (
        ("role", "chart", "name, kind, side, subject, code, title"),
        ("rule", "rulebook", "number, code, debit, credit, why, citation"),
    ):
        for row in connection.execute(text(f"select {columns} from {table}")):
            found[f"{table} {row[0]} of the {of}"] = " | ".join(str(value) for value in row)
    return found


@cache
def made() -> dict[str, str]:
    """The objects that this release's migrations make."""
    lines = _MADE.read_text(encoding="utf-8").splitlines()
    return dict(line.split(" = ", 1) for line in lines)


def differing(connection: Connection) -> Iterator[str]:
    """What the database lacks, has beside, or has otherwise than this release makes it."""
    if is_distributed(connection):  # which leaves none of it as it is on one machine: docs/scaling.md
        return
    expected, found = made() | _reference(), listed(connection) | _reference_found(connection)
    # a server on which the roles could not be made has none of their rights
    without = {role for role in ("tickmark_app", "tickmark_auditor") if f"role {role}" not in found}
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) == expected.get(name):
            continue
        if name not in found and name.startswith(
            tuple(f"{what} {role}{end}" for role in without for what, end in (("role", ""), ("rights of", " on ")))
        ):
            continue
        if name.startswith("view ") and name in found and _printed(connection, expected.get(name)) == found[name]:
            continue
        if name not in found:
            yield f"{name} is missing"
        elif name not in expected:
            yield f"{name} is not of this release: {found[name]}"
        else:
            yield f"{name} is {found[name] or 'nothing'}, expected {expected[name] or 'nothing'}"


def _printed(connection: Connection, definition: str | None) -> str | None:
    """A view's definition as this server writes it; None where no view can be made.

    Releases of PostgreSQL differ in the brackets and in the names of tables that they write.
    """
    if definition is None:
        return None
    there = connection.begin_nested()
    try:
        connection.execute(text(f"create temp view as_made as {definition}".replace(":", r"\:")))
        printed = f"select {PLAIN.format('pg_get_viewdef(cast(:name as regclass))')}"
        return str(connection.scalar(text(printed), {"name": "as_made"})).strip()
    except DBAPIError:  # on a stand-by server, or for who may not
        return None
    finally:
        there.rollback()


def write_made(connection: Connection) -> None:
    """Write the list anew, from a database that migrations have just made: `make made`."""
    found = listed(connection)
    _MADE.write_text("".join(f"{name} = {found[name]}\n" for name in sorted(found)), encoding="utf-8")
