"""The journal: entries and their postings, hashed and written in bulk; never changed once written.

A posting is one row: debit account, credit account, amount. An entry is what one document did on one date.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from ledger.errors import Refused, UnknownReference

if TYPE_CHECKING:
    import psycopg

_EPOCH = date(2000, 1, 1)
_EPOCH_MOMENT_ORDINAL = 946_684_800_000_000  # 2000-01-01 UTC in microseconds since 1970: PostgreSQL's day zero

_HEAD = struct.Struct(">qqqqqiii")
_POSTING = struct.Struct(">hhqqqq")


@dataclass(frozen=True, slots=True)
class Posting:
    """One debit and one credit of the same amount, by a numbered rule.

    `amount` is in minor units of the accounts' currency, `functional_amount` in the entity's; both are 0 or more.
    """

    rule: int
    debit_account: int
    credit_account: int
    amount: int
    functional_amount: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What one document did to one customer's accounts on one date."""

    customer_id: int
    document_id: int
    effective_on: date
    occurred_on: date
    postings: tuple[Posting, ...]
    reverses: int | None = None

    def __post_init__(self) -> None:
        assert self.postings, "an entry has postings"


def moment_microseconds(moment: datetime) -> int:
    """A timestamp as PostgreSQL sends it in binary: microseconds since 2000-01-01 UTC."""
    whole = int(moment.timestamp())
    return whole * 1_000_000 + moment.microsecond - _EPOCH_MOMENT_ORDINAL


def entry_hash(entry: Entry, entry_id: int, posted_at_microseconds: int, posted_by: str) -> bytes:
    """SHA-256 over every column of an entry and of its postings, in big-endian binary.

    The form is what PostgreSQL's int8send, int4send and int2send make (dates as days since 2000-01-01, moments as
    microseconds), so that the database can compute the same hash: see `ENTRY_HASH_SQL`.
    """
    head = _HEAD.pack(
        entry.customer_id,
        entry_id,
        entry.document_id,
        posted_at_microseconds,
        entry.reverses or 0,
        (entry.effective_on - _EPOCH).days,
        (entry.occurred_on - _EPOCH).days,
        len(entry.postings),
    )
    body = b"".join(
        _POSTING.pack(line, p.rule, p.debit_account, p.credit_account, p.amount, p.functional_amount)
        for line, p in enumerate(entry.postings, 1)
    )
    return hashlib.sha256(head + posted_by.encode() + body).digest()


# The same hash in SQL, over an entry's columns `e` and its postings' bytes in line order.
HEAD_BYTES_SQL = """int8send(e.customer_id) || int8send(e.entry_id) || int8send(e.document_id)
    || timestamptz_send(e.posted_at) || int8send(coalesce(e.reverses, 0))
    || date_send(e.effective_on) || date_send(e.occurred_on) || int4send(e.posting_count)
    || convert_to(e.posted_by, 'UTF8')"""
POSTING_BYTES_SQL = """int2send(p.line) || int2send(p.rule) || int8send(p.debit_account)
    || int8send(p.credit_account) || int8send(p.amount) || int8send(p.functional_amount)"""
ENTRY_HASH_SQL = f"sha256({HEAD_BYTES_SQL} || string_agg({POSTING_BYTES_SQL}, ''::bytea order by p.line))"


def driver_cursor(connection: Connection) -> psycopg.Cursor[tuple[object, ...]]:
    """The psycopg cursor under a SQLAlchemy connection, in the same transaction: for COPY."""
    raw = connection.connection.driver_connection
    assert raw is not None, "the connection is open"
    cursor: psycopg.Cursor[tuple[object, ...]] = raw.cursor()
    return cursor


def copy_rows(
    connection: Connection, table: str, columns: Sequence[str], types: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Write rows through binary COPY, the fastest way PostgreSQL takes them from a client."""
    with (
        driver_cursor(connection) as cursor,
        cursor.copy(f"copy {table} ({', '.join(columns)}) from stdin (format binary)") as copy,
    ):
        copy.set_types(types)
        write = copy.write_row
        for row in rows:
            write(row)


def numbers(connection: Connection, sequence: str, count: int) -> list[int]:
    """The next `count` numbers of a sequence."""
    taken = connection.execute(
        text("select nextval(cast(:sequence as regclass)) from generate_series(1, :count)"),
        {"sequence": sequence, "count": count},
    )
    return [int(number) for number in taken.scalars()]


def write(connection: Connection, entries: Sequence[Entry], posted_at: datetime, posted_by: str) -> list[int]:
    """Write entries with their postings in two COPYs; returns their numbers in the order given.

    The database checks the accounts, the entry's completeness and that its month is open.
    """
    if not entries:
        return []
    ids = numbers(connection, "entry_number", len(entries))
    moment = moment_microseconds(posted_at)
    copy_rows(
        connection,
        "entry",
        (
            "customer_id", "entry_id", "document_id", "posted_at", "reverses", "effective_on", "occurred_on",
            "posting_count", "posted_by", "hash",
        ),
        ("int8", "int8", "int8", "timestamptz", "int8", "date", "date", "int4", "text", "bytea"),
        (
            (
                e.customer_id, entry_id, e.document_id, posted_at, e.reverses, e.effective_on, e.occurred_on,
                len(e.postings), posted_by, entry_hash(e, entry_id, moment, posted_by),
            )
            for e, entry_id in zip(entries, ids, strict=True)
        ),
    )  # fmt: skip
    copy_rows(
        connection,
        "posting",
        (
            "customer_id", "entry_id", "debit_account", "credit_account", "amount", "functional_amount",
            "effective_on", "line", "rule",
        ),
        ("int8", "int8", "int8", "int8", "int8", "int8", "date", "int2", "int2"),
        (
            (
                e.customer_id, entry_id, p.debit_account, p.credit_account, p.amount, p.functional_amount,
                e.effective_on, line, p.rule,
            )
            for e, entry_id in zip(entries, ids, strict=True)
            for line, p in enumerate(e.postings, 1)
        ),
    )  # fmt: skip
    return ids


def read(connection: Connection, entry_id: int) -> Entry:
    """An entry as it was written. Raises UnknownReference for a number that no entry has."""
    head = connection.execute(
        text(
            "select customer_id, document_id, effective_on, occurred_on, reverses from entry where entry_id = :entry_id"
        ),
        {"entry_id": entry_id},
    ).first()
    if head is None:
        raise UnknownReference("entry", entry_id, "expected the number of an entry in the books")
    rows = connection.execute(
        text(
            "select rule, debit_account, credit_account, amount, functional_amount from posting "
            "where customer_id = :customer_id and entry_id = :entry_id order by line"
        ),
        {"customer_id": head.customer_id, "entry_id": entry_id},
    )
    postings = tuple(Posting(*row) for row in rows)
    return Entry(head.customer_id, head.document_id, head.effective_on, head.occurred_on, postings, head.reverses)


def reversal(entry: Entry, entry_id: int, document_id: int, effective_on: date, occurred_on: date) -> Entry:
    """The entry that takes back another: the same postings with debit and credit exchanged.

    Raises Refused for an entry that is itself a reversal: post the document again instead.
    """
    if entry.reverses is not None:
        raise Refused("entry", entry_id, "expected an entry that is not itself a reversal")
    postings = tuple(
        Posting(p.rule, p.credit_account, p.debit_account, p.amount, p.functional_amount) for p in entry.postings
    )
    return Entry(entry.customer_id, document_id, effective_on, occurred_on, postings, reverses=entry_id)
