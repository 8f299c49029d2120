"""The journal: entries and their postings, hashed and written in bulk; never changed once written.

A posting is one row: debit account, credit account, amount. An entry is what one document did on one date.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice

from sqlalchemy import Connection, text

from ledger.amounts.dates import days
from ledger.database import binary_copy, locks
from ledger.database.binary_copy import moment_microseconds
from ledger.errors import Refused, UnknownReference

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


# An entry of one posting, on the day it happened, in its entity's currency, as a bare tuple, of which there may be many:
# customer, document, day (since 2000-01-01), rule, debit account, credit account, amount.
Plain = tuple[int, int, int, int, int, int, int]


def entry_hash(entry: Entry, entry_id: int, posted_at_microseconds: int, posted_by: str) -> bytes:
    """SHA-256 over every column of an entry and of its postings, in big-endian binary.

    Every field but `posted_by` has a fixed length, and the number of postings says where that ends, so no two entries have one form.
    The form is what PostgreSQL's int8send, int4send and int2send make (dates as days since 2000-01-01, moments as
    microseconds), so that the database can compute the same hash: see `ENTRY_HASH_SQL`.
    """
    head = _HEAD.pack(
        entry.customer_id,
        entry_id,
        entry.document_id,
        posted_at_microseconds,
        entry.reverses or 0,
        days(entry.effective_on),
        days(entry.occurred_on),
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


def numbers(connection: Connection, sequence: str, count: int) -> Sequence[int]:
    """The next `count` numbers of a sequence, in order: a range, unless others took some in between."""
    first, gaps = connection.execute(
        text(
            "select min(n), case when max(n) - min(n) + 1 > count(*) then array_agg(n) end"
            " from (select nextval(cast(:sequence as regclass)) as n from generate_series(1, :count)) taken"
        ),
        {"sequence": sequence, "count": count},
    ).one()
    return gaps or range(first, first + count)


# Rows of the two tables, whole, as ledger/database/binary_copy.py says.
_CHUNK_ROWS = 4_000
_BATCH = 25_000  # entries a COPY brings: many enough for the database's checks to be planned for many
_ENTRY_ROW = struct.Struct(">hiqiqiqiqiqiiiiii")
_FIRST_ENTRY_ROW = struct.Struct(">hiqiqiqiqiiiiiii")  # one that reverses none
_HASH_LENGTH = struct.pack(">i", hashlib.sha256().digest_size)
_POSTING_ROW = struct.Struct(">hiqiqiqiqiqiqiiihih")


def _packed(
    entries: Sequence[Entry | Plain], ids: Sequence[int], moment: int, posted_by: str
) -> tuple[list[bytes], list[bytes]]:
    """Entries and their postings as rows of the two tables, in chunks, each entry with its hash."""
    author = posted_by.encode()
    after = binary_copy.packed_bytes(author) + _HASH_LENGTH
    pack, pack_first, pack_posting = _ENTRY_ROW.pack, _FIRST_ENTRY_ROW.pack, _POSTING_ROW.pack
    # what the hash of an entry with one posting is over: `entry_hash` in one piece
    pack_plain = struct.Struct(f"{_HEAD.format}{len(author)}s{_POSTING.format.removeprefix('>')}").pack
    sha256 = hashlib.sha256
    entry_chunks, posting_chunks = [], []
    for start in range(0, len(entries), _CHUNK_ROWS):
        heads: list[bytes] = []
        lines: list[bytes] = []
        for e, entry_id in zip(entries[start : start + _CHUNK_ROWS], ids[start : start + _CHUNK_ROWS], strict=True):
            if not isinstance(e, Entry):
                customer_id, document_id, day, rule, debit, credit, amount = e
                content = pack_plain(
                    customer_id, entry_id, document_id, moment, 0, day, day, 1, author, 1, rule, debit, credit, amount, amount
                )  # fmt: skip
                head = pack_first(10, 8, customer_id, 8, entry_id, 8, document_id, 8, moment, -1, 4, day, 4, day, 4, 1)
                heads.append(head + after + sha256(content).digest())
                lines.append(pack_posting(
                    9, 8, customer_id, 8, entry_id, 8, debit, 8, credit, 8, amount, 8, amount, 4, day, 2, 1, 2, rule,
                ))  # fmt: skip
                continue
            effective, occurred = days(e.effective_on), days(e.occurred_on)
            count = len(e.postings)
            if e.reverses is None:
                head = pack_first(
                    10, 8, e.customer_id, 8, entry_id, 8, e.document_id, 8, moment, -1, 4, effective, 4, occurred, 4, count
                )  # fmt: skip
            else:
                head = pack(
                    10, 8, e.customer_id, 8, entry_id, 8, e.document_id, 8, moment, 8, e.reverses, 4, effective, 4, occurred,
                    4, count,
                )  # fmt: skip
            heads.append(head + after + entry_hash(e, entry_id, moment, posted_by))
            for line, p in enumerate(e.postings, 1):
                lines.append(pack_posting(
                    9, 8, e.customer_id, 8, entry_id, 8, p.debit_account, 8, p.credit_account, 8, p.amount,
                    8, p.functional_amount, 4, effective, 2, line, 2, p.rule,
                ))  # fmt: skip
        entry_chunks.append(b"".join(heads))
        posting_chunks.append(b"".join(lines))
    return entry_chunks, posting_chunks


def write(
    connection: Connection, entries: Sequence[Entry | Plain], posted_at: datetime, posted_by: str
) -> Sequence[int]:
    """Write entries with their postings in two COPYs; returns their numbers in the order given.

    The caller has the books' lock (locks.share_books), as a sealer goes by it. The database checks the accounts, the entry's
    completeness and that its month is open.
    """
    if not entries:
        return []
    ids = numbers(connection, "entry_number", len(entries))
    _write_packed(connection, *_packed(entries, ids, moment_microseconds(posted_at), posted_by))
    return ids


def write_many(connection: Connection, entries: Iterable[Entry], posted_at: datetime, posted_by: str) -> int:
    """Write any number of entries, a batch at a time in bounded memory; returns how many. Checked as `write` does.

    A batch is made ready while the database takes and checks the one before. Raises what the database refuses; the transaction
    is then the caller's to roll back.
    """
    locks.share_books(connection)
    moment = moment_microseconds(posted_at)
    coming = iter(entries)
    written = 0
    ready: tuple[list[bytes], list[bytes]] | None = None
    with ThreadPoolExecutor(1) as beside:
        while True:
            batch = list(islice(coming, _BATCH))
            ids = numbers(connection, "entry_number", len(batch)) if batch else ()
            sending = None if ready is None else beside.submit(_write_packed, connection, *ready)
            ready = _packed(batch, ids, moment, posted_by) if batch else None
            if sending is not None:
                sending.result()
            if ready is None:
                return written
            written += len(batch)


def _write_packed(connection: Connection, entry_rows: Sequence[bytes], posting_rows: Sequence[bytes]) -> None:
    binary_copy.copy_packed(
        connection,
        "entry",
        "customer_id, entry_id, document_id, posted_at, reverses, effective_on, occurred_on, posting_count, posted_by, hash",
        entry_rows,
    )
    binary_copy.copy_packed(
        connection,
        "posting",
        "customer_id, entry_id, debit_account, credit_account, amount, functional_amount, effective_on, line, rule",
        posting_rows,
    )


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
