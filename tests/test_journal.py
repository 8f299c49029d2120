"""The journal: what the database itself refuses, hashes that SQL and Python agree on, reversals."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from ledger.errors import Refused, UnknownReference
from ledger.journal import entry_rows
from tests.conftest import Cli
from tests.samples import grant, invoice, parties, prepaid, promotion, service, usage

PROTECTED = (
    "entry", "posting", "document", "document_key", "account", "credit_grant", "invoice", "invoice_line", "contract",
    "obligation", "period_event", "external_key", "document_reference",
)  # fmt: skip


def _books(cli: Cli) -> None:
    cli.post(
        *parties(),
        grant("G"),
        promotion("P", "5.00"),
        invoice("I", "2026-01-01", prepaid("100.00"), service("365.00", "2026-01-01", "2026-12-31", line="2")),
        usage("u1", "40.00", "2026-01-10", reference="batch 1", external={"meter": "e1"}),
    )


def _state(error: DBAPIError) -> str | None:
    assert isinstance(error.orig, psycopg.Error)
    return error.orig.sqlstate


@pytest.mark.parametrize("table", PROTECTED)
@pytest.mark.parametrize("change", ["update {0} set {1} = {1}", "delete from {0}", "truncate {0} cascade"])
def test_history_is_never_changed(cli: Cli, owner: Connection, connection: Connection, table: str, change: str) -> None:
    _books(cli)
    cli.post(
        {
            "type": "contract",
            "id": "c",
            "customer": "globex",
            "entity": "us",
            "currency": "USD",
            "signed_on": "2026-01-01",
            "obligations": [
                {"id": "c/o", "product": "seats", "price": "1.00", "start": "2026-01-01", "end": "2026-01-31"}
            ],
        }
    )
    cli.ok("close", "2025-12")
    column = owner.scalar(
        text(
            "select column_name from information_schema.columns where table_name = :table and is_identity = 'NO' limit 1"
        ),
        {"table": table},
    )
    statement = change.format(table, column)
    # the application's role has no privilege ...
    with pytest.raises(DBAPIError) as refused:
        connection.execute(text(statement))
    assert _state(refused.value) == "42501", statement
    # ... and the owner of the tables meets the triggers
    with pytest.raises(DBAPIError) as refused:
        owner.execute(text(statement))
    assert _state(refused.value) == "TM001", statement


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        # an amount of nothing, or below it
        ("insert into posting select customer_id, entry_id, debit_account, credit_account, 0, 0, effective_on, 9, rule"
         " from posting limit 1", "23514"),
        ("insert into posting select customer_id, entry_id, debit_account, credit_account, -1, 1, effective_on, 9, rule"
         " from posting limit 1", "23514"),
        # one account on both sides
        ("insert into posting select customer_id, entry_id, debit_account, debit_account, 1, 1, effective_on, 9, rule"
         " from posting limit 1", "23514"),
        # accounts of nobody, or of another customer
        ("insert into posting select customer_id, entry_id, debit_account, 987654, 1, 1, effective_on, 9, rule"
         " from posting limit 1", "TM002"),
        ("insert into posting select customer_id + 1, entry_id, debit_account, credit_account, 1, 1, effective_on, 9,"
         " rule from posting limit 1", "TM002"),
        # a posting added to an entry that stands
        ("insert into posting select customer_id, entry_id, debit_account, credit_account, 1, 1, effective_on,"
         " max(line) over () + 1, rule from posting limit 1", "TM003"),
        # a posting of no entry, or of another date
        ("insert into posting select customer_id, 987654, debit_account, credit_account, 1, 1, effective_on, 1, rule"
         " from posting limit 1", "TM003"),
        # an entry whose postings are fewer than it says
        ("with e as (insert into entry select customer_id, 987654, document_id, now(), null, effective_on, occurred_on,"
         " 2, 'x', hash from entry limit 1 returning *) insert into posting select p.customer_id, 987654, debit_account,"
         " credit_account, 1, 1, e.effective_on, 1, rule from posting p join e using (customer_id) limit 1", "TM003"),
        # an entry reversed twice
        ("insert into entry select customer_id, 987654 + n, document_id, now(), entry_id, effective_on, occurred_on, 1,"
         " 'x', hash from (select * from entry limit 1) e cross join generate_series(1, 2) n", "23505"),
        # an overdrawn grant
        ("update grant_balance set drawn_face_minor = face_minor + 1", "23514"),
    ],
)  # fmt: skip
def test_the_database_refuses_what_can_not_be(cli: Cli, connection: Connection, statement: str, state: str) -> None:
    _books(cli)
    with pytest.raises(DBAPIError) as refused:
        connection.execute(text(statement))
    assert _state(refused.value) == state


def test_the_application_acts_in_a_role_that_owns_nothing(connection: Connection) -> None:
    assert connection.scalar(text("select current_user")) == "tickmark_app"
    owned = text("select count(*) from pg_class where relowner = 'tickmark_app'::regrole")
    assert connection.scalar(text(str(owned).replace(":", r"\:"))) == 0


def test_sql_hashes_entries_as_python_does(cli: Cli, owner: Connection) -> None:
    _books(cli)
    cli.ok("recognize", "--through", "2026-03")
    rows = owner.execute(
        text(
            f"select e.entry_id, e.posted_at, e.posted_by, e.hash, {entry_rows.ENTRY_HASH_SQL} as by_sql "
            "from entry e join posting p using (customer_id, entry_id) group by e.customer_id, e.entry_id"
        )
    ).all()
    assert len(rows) > 5
    for row in rows:
        entry = entry_rows.read(owner, row.entry_id)
        by_python = entry_rows.entry_hash(
            entry, row.entry_id, entry_rows.moment_microseconds(row.posted_at), row.posted_by
        )
        assert bytes(row.hash) == bytes(row.by_sql) == by_python


def test_every_column_is_in_the_hash() -> None:
    posting = entry_rows.Posting(111, 1, 2, 5, 5)
    entry = entry_rows.Entry(1, 2, date(2026, 1, 1), date(2026, 1, 1), (posting,))
    base = entry_rows.entry_hash(entry, 7, 1000, "x")
    others = [
        entry_rows.entry_hash(entry, 8, 1000, "x"),
        entry_rows.entry_hash(entry, 7, 1001, "x"),
        entry_rows.entry_hash(entry, 7, 1000, "y"),
        *(
            entry_rows.entry_hash(entry_rows.Entry(*changed), 7, 1000, "x")
            for changed in (
                (2, 2, date(2026, 1, 1), date(2026, 1, 1), (posting,)),
                (1, 3, date(2026, 1, 1), date(2026, 1, 1), (posting,)),
                (1, 2, date(2026, 1, 2), date(2026, 1, 1), (posting,)),
                (1, 2, date(2026, 1, 1), date(2026, 1, 2), (posting,)),
                (1, 2, date(2026, 1, 1), date(2026, 1, 1), (posting, posting)),
                (1, 2, date(2026, 1, 1), date(2026, 1, 1), (posting,), 6),
                *(
                    (1, 2, date(2026, 1, 1), date(2026, 1, 1), (entry_rows.Posting(*values),))
                    for values in (
                        (112, 1, 2, 5, 5),
                        (111, 3, 2, 5, 5),
                        (111, 1, 3, 5, 5),
                        (111, 1, 2, 6, 5),
                        (111, 1, 2, 5, 6),
                    )
                ),
            )
        ),
    ]
    assert len({base, *others}) == len(others) + 1


def test_a_moment_is_postgresqls_microseconds() -> None:
    # PostgreSQL counts from 2000-01-01
    assert entry_rows.moment_microseconds(datetime(2000, 1, 1, tzinfo=UTC)) == 0
    assert entry_rows.moment_microseconds(datetime(2000, 1, 2, 0, 0, 0, 7, tzinfo=UTC)) == 86_400_000_007
    assert entry_rows.moment_microseconds(datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


def test_a_reversal_takes_an_entry_back_once(cli: Cli, connection: Connection, owner: Connection) -> None:
    _books(cli)
    entry_id = connection.scalar(text("select max(entry_id) from entry"))
    entry = entry_rows.read(connection, entry_id)
    taken_back = entry_rows.reversal(entry, entry_id, entry.document_id, date(2026, 2, 1), date(2026, 1, 31))
    (reversal_id,) = entry_rows.write(connection, [taken_back], datetime.now(UTC), "tester")
    connection.commit()
    assert entry_rows.read(connection, reversal_id) == taken_back
    assert taken_back.reverses == entry_id
    assert [p.debit_account for p in taken_back.postings] == [p.credit_account for p in entry.postings]
    with pytest.raises(Refused, match="not itself a reversal"):
        entry_rows.reversal(taken_back, reversal_id, entry.document_id, date(2026, 2, 1), date(2026, 2, 1))
    with pytest.raises(psycopg.errors.UniqueViolation, match="entry_reversed_once"):
        entry_rows.write(connection, [taken_back], datetime.now(UTC), "tester")
    # of usage that had drawn 35 prepaid and 5 promotional, nothing is left over both months
    summary = cli.summary()
    assert summary["2026-02"] == {
        "customer_credits": "35.00", "promotional_credits": "-5.00", "revenue": "-40.00",
    }  # fmt: skip


def test_an_entry_that_is_not_there(connection: Connection) -> None:
    with pytest.raises(UnknownReference, match="987654"):
        entry_rows.read(connection, 987654)


def test_each_posting_is_two_lines(cli: Cli, owner: Connection) -> None:
    _books(cli)
    sides = {
        row.side: row.total
        for row in owner.execute(text("select side, sum(amount) as total from journal_line group by side"))
    }
    postings = owner.scalar(text("select sum(amount) from posting"))
    assert sides == {"debit": postings, "credit": postings}


# More postings than the database checks by keys alone: the same questions by other plans.
MANY = 10_100


def _many(connection: Connection) -> list[entry_rows.Entry]:
    """Entries of two postings each on the accounts of one that is there."""
    entry = entry_rows.read(connection, connection.scalar(text("select max(entry_id) from entry")) or 0)
    return [replace(entry, postings=entry.postings[:1] * 2) for _ in range(MANY)]


def test_many_entries_are_written_a_batch_at_a_time(
    cli: Cli, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    _books(cli)
    before = connection.scalar(text("select count(*) from entry")) or 0
    many = _many(connection)
    monkeypatch.setattr(entry_rows, "_BATCH", MANY // 3)
    assert entry_rows.write_many(connection, iter(many), datetime.now(UTC), "tester") == MANY
    assert entry_rows.write_many(connection, [], datetime.now(UTC), "tester") == 0
    connection.commit()
    assert connection.scalar(text("select count(*) from entry")) == before + MANY
    rows = connection.execute(text("select entry_id, posted_at from entry order by entry_id desc limit 3")).all()
    for entry_id, posted_at in rows:
        assert entry_rows.read(connection, entry_id) == many[0]
        kept = connection.scalar(text("select hash from entry where entry_id = :entry_id"), {"entry_id": entry_id})
        moment = entry_rows.moment_microseconds(posted_at)
        assert kept == entry_rows.entry_hash(many[0], entry_id, moment, "tester")


@pytest.mark.parametrize(
    ("wrong", "state"),
    [
        ({"debit_account": 987654}, "TM002"),
        ({"customer_id": 987654}, "TM002"),
        ({"effective_on": date(2026, 1, 9)}, "TM004"),
    ],
    ids=["no account", "another customer", "a closed month"],
)
def test_one_wrong_posting_among_many_is_refused_with_all(
    cli: Cli, connection: Connection, wrong: dict[str, Any], state: str
) -> None:
    _books(cli)
    cli.ok("recognize", "--through", "2026-01")
    cli.ok("close", "2026-01")
    before = connection.scalar(text("select count(*) from entry"))
    many = [replace(entry, effective_on=date(2026, 2, 1)) for entry in _many(connection)]
    of_entry = {name: value for name, value in wrong.items() if name in entry_rows.Entry.__slots__}
    of_posting = {name: value for name, value in wrong.items() if name not in of_entry}
    bad = many[MANY // 2]
    many[MANY // 2] = replace(bad, postings=(bad.postings[0], replace(bad.postings[1], **of_posting)), **of_entry)
    with pytest.raises(psycopg.Error) as refused:
        entry_rows.write_many(connection, many, datetime.now(UTC), "tester")
    assert refused.value.sqlstate == state
    connection.rollback()
    assert connection.scalar(text("select count(*) from entry")) == before


def test_a_posting_missing_among_many_is_refused(
    cli: Cli, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    _books(cli)
    written: list[tuple[Any, ...]] = []
    monkeypatch.setattr(entry_rows, "_write_packed", lambda *given: written.append(given))
    entry_rows.write_many(connection, _many(connection), datetime.now(UTC), "tester")
    monkeypatch.undo()
    (_, entries, postings) = written[0]
    row = entry_rows._POSTING_ROW.size
    with pytest.raises(psycopg.Error) as refused:
        entry_rows._write_packed(connection, entries, [postings[0][:-row], *postings[1:]])
    assert refused.value.sqlstate == "TM003"
