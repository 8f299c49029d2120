"""Books that could be spread over machines: keys start with the customer, statements stay with one, and the way there is valid."""

from __future__ import annotations

import io
import re
from typing import Any

from sqlalchemy import Connection, Engine, event, text

from ledger.database import citus
from ledger.database.schema.tables import metadata
from revrec.kinds import TYPES
from tests.conftest import Cli, lines
from tests.samples import (
    application,
    billed_usage,
    contract,
    grant,
    invoice,
    obligation,
    parties,
    payment,
    prepaid,
    usage,
)
from web.work.post_file import post_file

# The rows that are written with every document; `document_key` and `external_key` are found by an id before its customer is known.
JOURNAL = (
    "document",
    "account",
    "entry",
    "posting",
    "credit_grant",
    "grant_balance",
    "usage_meter",
    "invoice",
    "invoice_line",
)
_TABLE = re.compile(r"\b(?:from|join|into|update|copy)\s+([a-z_]+)\b")


def test_every_key_of_the_journal_starts_with_the_customer(connection: Connection) -> None:
    """By the database's own catalog: primary keys and unique indexes, which Citus could not hold otherwise."""
    keys = connection.execute(
        text(
            "select r.relname, i.indexrelid::regclass::text as name, a.attname as first from pg_index i"
            " join pg_class r on r.oid = i.indrelid join pg_attribute a on a.attrelid = r.oid and a.attnum = i.indkey[0]"
            " where i.indisunique and r.relnamespace = 'public'::regnamespace".replace("::", r"\:\:")
        )
    ).all()
    spread = set(citus.by_customer())
    assert spread >= set(JOURNAL)
    of_spread = [key for key in keys if key.relname in spread]
    assert {key.relname for key in of_spread} == spread
    assert [(key.name, key.first) for key in of_spread if key.first != "customer_id"] == []


def test_every_table_is_spread_or_shared_and_none_twice() -> None:
    tables = [
        *citus.by_customer(),
        *citus.shared(),
        "document_key",
        "external_key",
        *citus.KEPT_HERE,
    ]
    assert sorted(tables) == sorted(metadata.tables)
    # what a spread table refers to is shared, or beside it by the same customer
    for name in citus.by_customer():
        for key in metadata.tables[name].foreign_key_constraints:
            referred = key.referred_table.name
            assert referred in citus.shared() or "customer_id" in key.column_keys


def _statements_of(engine: Engine, documents: list[dict[str, Any]]) -> list[str]:
    """Every statement that posting documents sends, COPY and the database's own functions included."""
    sent: list[str] = []

    def remember(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", remember)

    stream = io.BytesIO(lines(documents).encode())
    post_file(
        engine, stream, TYPES, "tester", lambda problem, _raw: (_ for _ in ()).throw(AssertionError(str(problem)))
    )
    event.remove(engine, "before_cursor_execute", remember)
    return sent


def test_no_hot_statement_crosses_customers(cli: Cli, engine: Engine, connection: Connection) -> None:
    """What posting asks of spread tables names the customer: each table of a join by its own, or it is written with it."""
    cli.post(*parties())
    sent = _statements_of(
        engine,
        [
            grant("G"),
            contract("K", "2026-01-01", obligation("o", "365.00", "2026-01-01", "2026-12-31")),
            invoice("I", "2026-01-01", prepaid("100.00")),
            usage("u1", "60.00", "2026-01-10"),
            usage("u2", "60.00", "2026-01-11"),
            invoice("J", "2026-02-01", billed_usage("20.00")),
            payment("P", "50.00", "2026-01-15", ("I", "40.00")),
            application("A", "10.00", "2026-01-16", "I"),
        ],
    )
    sent += _statements_of(engine, [usage("u3", "1.00", "2026-01-12")])
    functions = connection.execute(
        text("select prosrc from pg_proc where proname in ('draw_plainly', 'check_postings')")
    ).scalars()
    sent += [statement for source in functions for statement in source.split(";")]
    assert len(sent) > 50
    spread = set(citus.by_customer())
    crossing = []
    for statement in sent:
        asked = [name for name in _TABLE.findall(statement.lower()) if name in spread]
        if asked and statement.count("customer_id") + statement.count("using (customer_id") < len(asked):
            crossing.append(statement)
    assert crossing == []


def test_without_citus_it_is_refused_and_nothing_is_changed(cli: Cli) -> None:
    refused = cli.refused("db", "distribute")
    assert "no extension citus" in refused
    assert "expected a coordinator with Citus" in refused
    assert "select create_distributed_table('document', 'customer_id'" in cli.ok("db", "distribute", "--show")


def test_the_statements_run_and_leave_keys_and_triggers_as_they_were(cli: Cli, owner: Connection) -> None:
    """Against functions of Citus's names that only take note: what is dropped for distributing comes back, in the right order."""
    cli.post(*parties(), grant("G"))
    for statement in (
        "create table noted (place serial, name text, by_column text, beside text)",
        "create function create_reference_table(name regclass) returns void language sql as"
        " 'insert into noted (name) values (name::text)'",
        "create function create_distributed_table(name regclass, by_column text, colocate_with text default 'default')"
        " returns void language sql as 'insert into noted (name, by_column, beside) values (name::text, by_column, colocate_with)'",
    ):
        owner.exec_driver_sql(statement)
    keys = owner.exec_driver_sql(citus._FOREIGN_KEYS).all()
    triggers = owner.exec_driver_sql(citus._TRIGGERS).all()
    for statement in citus.statements(owner):
        owner.exec_driver_sql(statement)
    noted = owner.exec_driver_sql("select name, by_column, beside from noted order by place").all()
    assert [name for name, column, _ in noted if column is None] == list(citus.shared())
    first, *others = [row for row in noted if row[1] == "customer_id"]
    assert [first[0], *(name for name, _, _ in others)] == list(citus.by_customer())
    assert {beside for _, _, beside in others} == {first[0]}
    assert noted[-2:] == [("document_key", "ref", "none"), ("external_key", "external_id", "none")]
    assert owner.exec_driver_sql(citus._FOREIGN_KEYS).all() == keys
    after = owner.exec_driver_sql(citus._TRIGGERS).all()
    assert [row for row in triggers if row[1] not in citus._NOT_ON_SHARDS] == after
    owner.rollback()
