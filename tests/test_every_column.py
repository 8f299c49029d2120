"""Each column of each table changed once, a row deleted, all rows deleted, behind the triggers: the verification names something.

Made from the database's catalog, so that a table or a column that is added is in it by itself. Books with something in every table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from ledger.database import guards
from ledger.proof import compare, row_log, seals, verify
from ledger.proof.invariants.question import MOVEMENT_SQL, Question
from ledger.proof.invariants.questions import QUESTIONS
from revrec.watches import HELD
from tests import test_damage
from tests.conftest import Cli
from tests.samples import contract, invoice, obligation, usage
from tests.shelves import Place
from tests.test_kinds import KINDS, _day, _history

# Tables that nothing is told from, and what they are.
NOTHING_IS_TOLD_FROM = {
    "api_request": "an answer that is kept for a day, for who asks again",
    "page_session": "who is signed in, for hours",
    "request_count": "how often somebody asked in a minute",
    "terms_to_fold": "work that the next command does",
}
# Rows of a table that are held otherwise than its others.
KINDS_OF_ROWS = {
    "document": ("type = 'usage' and entry_count > 0", "type <> 'usage' and entry_count > 0", "entry_count = 0")
}
# What documents do not bring: keys, exports and what was sent of them.
BESIDE = """
    insert into api_key (name, role, hash, created_by, expires_on) values ('key', 'viewer', sha256('key'), 'tester', '2027-01-01');
    insert into export_run (target, entity, detail, mapping, through_entry, entries, totals, file, by)
        values ('json', 'k0-us', 'month', '{}', 1, 1, '[]', 'a.json', 'tester');
    insert into export_part select 'json', 'k0-us', '2026-01-01', 0, export_id from export_run;
    insert into export_item select export_id, 1, 'journal', '1', '{}' from export_run;
    insert into export_attempt select export_id, 1, 1, 'company', 'request', now(), 'tester' from export_run;
    insert into export_answer select export_id, 1, 1, 'made', '7', '', now() from export_run;
    insert into export_login (target, entity, company, api, accounts, client, sealed, by)
        values ('xero', 'k0-us', 'c', 'a', 'a', 'c', 's', 'tester');
    insert into export_job (target, entity, asked, by) values ('json', 'k0-us', '{}', 'tester');
    insert into wallet_alert_event (customer_id, document_id, crossed, left_minor, at)
        select customer_id, document_id, 'below', 1, now() from wallet_alert limit 1;
    insert into wallet_alert_delivery (customer_id, document_id, event_id) select customer_id, document_id, event_id from wallet_alert_event;
    insert into api_request (key_id, idempotency_key, content) select key_id, 'x', sha256('x') from api_key;
    insert into posted_file (hash, lines, bytes, finished, posted_by) values (sha256('file'), 1, 10, true, 'tester');
    insert into page_session (hash, key_id, ends_at) select sha256('x'), key_id, now() from api_key;
    insert into request_count values ('key 1', 1, now());
    insert into terms_to_fold select customer_id, subject from obligation_terms limit 1;
"""


@pytest.fixture(params=["sealed", "not sealed"])
def books(request: pytest.FixtureRequest, cli: Cli, engine: Engine, owner: Connection) -> Connection:
    """Books with a row in each table, sealed, or but for the first rows not; the owner's connection, with triggers and foreign keys off."""
    test_damage.books(cli)
    cli.ok("seal")
    sealed_now = request.param == "sealed"
    if not sealed_now:  # nor does who closes a month
        sealed_by_closing = request.getfixturevalue("monkeypatch")
        sealed_by_closing.setattr(seals, "seal", lambda *_arguments, **_more: seals.Sealed(0, 0, None))
    cli.post(
        contract("D", "2026-01-01", obligation("D/o", "60.00", "2026-01-01", "2026-12-31"), draw_order=["prepaid", "promotional"],
                 financing={"rate": "0.10", "payments": [{"date": "2027-01-31", "amount": "60.00"}]}),
        contract("S", "2026-01-01", {"id": "S/p", "product": "seats", "start": "2026-01-01", "pattern": "milestones",
                                     "milestones": [{"id": "all", "amount": "10.00"}]}, obligation("S/q", "6.00", "2026-01-01", "2026-12-31")),
        invoice("SI", "2026-01-01", {"id": "1", "kind": "service", "amount": "8.00", "contract": "S"}),
        usage("u5", "9.00", "2026-01-12"),
    )  # fmt: skip
    cli.post({**usage("u5b", "2.00", "2026-01-12"), "supersedes": "u5"})
    fall = {name: value for name, value in usage("u6", "1.00", "2026-01-13").items() if name != "unit_price"}
    cli.post(fall | {"amount": "-3.00"})
    cli.post({"type": "fx_rate", "id": "gbp", "date": "2026-01-01", "base": "GBP", "quote": "USD", "rate": "1.25"})
    for number, name in enumerate(KINDS):
        history, place = _history(name), Place(engine, f"k{number}-")
        assert place.post([*history.masters, *history.in_order(_day)]) == {}
    cli.ok("recognize", "--through", "2026-06")
    for number in range(3):
        cli.ok("close", "2025-12", "--entity", f"k{number}-us")
    cli.ok("verify")
    owner.exec_driver_sql(BESIDE)
    owner.commit()
    if sealed_now:
        cli.ok("seal")
    assert "checks hold" in cli.ok("verify")
    if sealed_now:
        cli.ok("seal")
    owner.execute(text("set session_replication_role = replica"))
    for table, name in owner.execute(text(_CHECKS)).all():  # whoever owns the books can drop them
        owner.execute(text(f"alter table {table} drop constraint {name}"))
    for table, column in owner.execute(text(_IDENTITIES)).all():
        owner.execute(text(f"alter table {table} alter {column} drop identity"))
    return owner


_CHECKS = """select conrelid::regclass, conname from pg_constraint
             where contype = 'c' and connamespace = 'public'::regnamespace""".replace(":", "\\:")
_IDENTITIES = """select attrelid::regclass, attname from pg_attribute where attidentity <> ''
                 and attrelid in (select oid from pg_class where relnamespace = 'public'::regnamespace)""".replace(
    ":", "\\:"
)
_COLUMNS = """select c.relname, a.attname, format_type(a.atttypid, a.atttypmod) as type, a.attgenerated <> '' as generated
              from pg_class c join pg_attribute a on a.attrelid = c.oid
              where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
              order by c.relname, a.attnum""".replace(":", "\\:")
# Other values for a value, by its type: the first that the database takes.
OTHER = {
    "text": ("coalesce({0}, '') || 'x'",),
    "bigint": ("coalesce({0}, 0) + 1000003", "coalesce({0}, 0) + 1"),
    "integer": ("coalesce({0}, 0) + 7", "coalesce({0}, 0) + 1"),
    "smallint": ("coalesce({0}, 0) + 7", "coalesce({0}, 0) + 1"),
    "numeric": ("coalesce({0}, 0) + 1",),
    "date": ("coalesce({0}, '2026-01-01') + 40",),
    "timestamp with time zone": ("coalesce({0}, now()) + interval '1 second'",),
    "boolean": ("not coalesce({0}, false)",),
    "bytea": ("sha256(coalesce({0}, ''))",),
    "text[]": ("array_append(coalesce({0}, '{{}}'), 'x')",),
    "character varying(32)": ("{0} || 'x'",),
}


def _damages(connection: Connection) -> Iterator[tuple[str, str, list[str]]]:
    """(table, what is done, statements that do it, of which the first that can be is meant)."""
    columns: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind, generated in connection.execute(text(_COLUMNS)):
        columns.setdefault(table, [])
        if not generated:
            columns[table].append((column, kind))
    for table, found in columns.items():
        for kind_of_row in KINDS_OF_ROWS.get(table, ("true",)):
            one = f"ctid = (select max(ctid) from {table} where {kind_of_row})"
            for column, kind in found:
                changes = [
                    f'update {table} set "{column}" = {other.format(f"{table}.{column}")}' for other in OTHER[kind]
                ]
                yield table, f"{column} changed where {kind_of_row}", [f"{change} where {one}" for change in changes]
            yield table, f"a row deleted where {kind_of_row}", [f"delete from {table} where {one}"]
        yield table, "all rows deleted", [f"delete from {table}"]


def _checks(head: dict[str, str]) -> list[Callable[[Connection], Iterator[str]]]:
    """What the verification asks, but for the database's own guards: what sees most comes first."""
    added_up = f"({MOVEMENT_SQL})"
    return [
        row_log.differing, partial(compare.differences, kept_elsewhere=head), verify._documents_differing, _chart_and_rulebook,
        *(
            partial(verify._ask, item, lambda _: added_up) if isinstance(item, Question) else item.differing
            for item in (*QUESTIONS, *HELD)
        ),
    ]  # fmt: skip


def _chart_and_rulebook(connection: Connection) -> Iterator[str]:
    """Of the database's own guards, what stands in tables: checks were dropped so that every column can be changed."""
    return (told for told in guards.differing(connection) if told.startswith(("schema", "role ", "rule ")))


def test_every_change_of_every_column_is_named(books: Connection) -> None:
    unnoticed, untold, empty = [], [], []
    last = books.execute(text("select seal_id, hash from seal order by seal_id desc limit 1")).one()
    checks = _checks({"seal_id": str(last.seal_id), "hash": bytes(last.hash).hex()})
    for table, what, statements in list(_damages(books)):
        if table in NOTHING_IS_TOLD_FROM:
            continue
        done = False
        outer = books.begin_nested()
        for statement in statements:
            inner = books.begin_nested()
            try:
                done = books.execute(text(statement)).rowcount > 0
            except DBAPIError as error:
                inner.rollback()
                untold.append(f"{table} {what}: {error.orig}".splitlines()[0])
                continue
            inner.commit()
            if not done:
                empty.append(table)
            break
        if done and not any(list(check(books)) for check in checks):
            unnoticed.append(f"{table} {what}")
        outer.rollback()
    told = "\n".join([*unnoticed, *(f"{table} is empty" for table in sorted(set(empty))), *untold])
    assert told == ""
