"""What a transaction gathers and writes in bulk: documents, entries, accounts and rows of facts."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, NestedTransaction, text

from ledger.database import binary_copy
from ledger.database.binary_copy import chunks, moment_microseconds, packed_bytes
from ledger.database.schema.tables import TABLES
from ledger.journal import entry_rows
from ledger.journal.entry_rows import Entry, Plain

# The facts that say that something happened to an obligation: to its terms, or to what bills of it.
_TOUCHING = ("line_change", "obligation_terms")

_DOCUMENT_KEY_TAIL = struct.Struct(">iqiq")
_DOCUMENT_HEAD = struct.Struct(">hiqiq")
_DOCUMENT_TAIL = struct.Struct(">iq")
_DATED = struct.Struct(">ii")
_COUNTED = struct.Struct(">ii")
_UNDATED = struct.pack(">i", -1)
_FOUR_COLUMNS = struct.pack(">h", 4)


def _write_documents(connection: Connection, keys: Sequence[bytes], rows: Sequence[bytes]) -> None:
    if rows:
        binary_copy.copy_packed(connection, "document_key", "type, ref, customer_id, document_id", chunks(keys))
        columns = "customer_id, document_id, type, ref, dated_on, body, hash, posted_at, posted_by, entry_count"
        binary_copy.copy_packed(connection, "document", columns, chunks(rows))


@dataclass(frozen=True, slots=True)
class Plainly:
    """Documents and entries that were gathered, and nothing else: the books need not see them written."""

    document_keys: list[bytes]
    documents: list[bytes]
    entries: list[Entry | Plain]
    posted_at: datetime
    posted_by: str

    def write(self, connection: Connection) -> None:
        """Write them; the connection is this call's alone meanwhile."""
        _write_documents(connection, self.document_keys, self.documents)
        entry_rows.write(connection, self.entries, self.posted_at, self.posted_by)


# What is gathered to be written: documents in two parts, entries, accounts, and rows of facts by table.
_Gathered = tuple[
    list[bytes], list[bytes], list[Entry | Plain], list[tuple[object, ...]], dict[str, list[dict[str, Any]]]
]


@dataclass(slots=True)
class _Mark:
    """How much was gathered before a document began, and the savepoint from before anything of its own was written."""

    documents: int
    entries: int
    accounts: int
    rows: dict[str, int]
    late: int
    written: tuple[int, int] = (0, 0)
    savepoint: NestedTransaction | None = None


class Writer:
    """What is gathered under one transaction, and written through COPY.

    A document that may be refused is begun first; what was gathered or written of it is then taken back whole.
    """

    def __init__(self, connection: Connection, posted_by: str) -> None:
        self.connection = connection
        self.posted_by = posted_by
        self.posted_at: datetime = connection.scalar(text("select now()"))
        self.late_documents = 0
        self.entries_written = 0
        self.postings_written = 0
        # of customers, the obligations that something happened to and that is gathered
        self.touching: dict[int, set[str]] = {}
        self._entries: list[Entry | Plain] = []
        self._entry_counts: Counter[int] = Counter()  # of documents that are not gathered yet
        self._new_accounts: list[tuple[object, ...]] = []
        # documents as rows of the two tables that keep them
        self._document_keys: list[bytes] = []
        self._documents: list[bytes] = []
        self._posted = _DOCUMENT_TAIL.pack(8, moment_microseconds(self.posted_at)) + packed_bytes(posted_by.encode())
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._unwritten_facts: dict[tuple[str, str], object] = {}
        self._spare_numbers: dict[str, list[int]] = {}
        self._mark: _Mark | None = None

    def number(self, sequence: str, at_least: int = 1) -> int:
        """The next number of a sequence, fetched a block at a time."""
        spare = self._spare_numbers.setdefault(sequence, [])
        if not spare:
            spare.extend(reversed(entry_rows.numbers(self.connection, sequence, at_least)))
        return spare.pop()

    def add_entry(self, entry: Entry) -> int:
        """Write an entry whose postings are decided already, after what was gathered before it; returns its number."""
        self.flush()
        (number,) = entry_rows.write(self.connection, [entry], self.posted_at, self.posted_by)
        self.count_entries(entry.document_id, 1)
        self.entries_written += 1
        self.postings_written += len(entry.postings)
        return number

    def add_plain(self, entry: Plain) -> None:
        """Gather an entry whose accounts are known; `see` says later what it moved."""
        self._entries.append(entry)
        self._entry_counts[entry[1]] += 1

    def _gather(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._entry_counts[entry.document_id] += 1

    def count_entries(self, document_id: int, count: int) -> None:
        """Count entries of a document that were written without the books, before it is gathered itself."""
        self._entry_counts[document_id] += count

    def add_received(
        self, customer_id: int, document_id: int, type_: str, ref: str, day: int | None, body: bytes, hash_: bytes
    ) -> None:
        """Gather a document as its line came in; `day` counts from 2000-01-01."""
        name = packed_bytes(type_.encode()) + packed_bytes(ref.encode())
        self._document_keys.append(_FOUR_COLUMNS + name + _DOCUMENT_KEY_TAIL.pack(8, customer_id, 8, document_id))
        dated = _UNDATED if day is None else _DATED.pack(4, day)
        self._documents.append(
            _DOCUMENT_HEAD.pack(10, 8, customer_id, 8, document_id)
            + name
            + dated
            + packed_bytes(body)
            + packed_bytes(hash_)
            + self._posted
            + _COUNTED.pack(4, self._entry_counts.pop(document_id, 0))
        )

    def add_row(self, table: str, **values: object) -> None:
        """Gather a row of facts for one of the sub-ledgers' tables."""
        if table in _TOUCHING:
            self.touching.setdefault(cast("int", values["customer_id"]), set()).add(cast("str", values["subject"]))
        self._rows.setdefault(table, []).append(values)

    def remember(self, kind: str, ref: str, fact: object) -> None:
        """Keep in view what a sub-ledger gathered, until it is written and can be read back."""
        self._unwritten_facts[kind, ref] = fact

    def recall(self, kind: str, ref: str) -> Any:
        """What was remembered since the last flush, or None."""
        return self._unwritten_facts.get((kind, ref))

    def remembered_of(self, kind: str) -> dict[str, object]:
        """What is remembered of a kind, by its ids."""
        return {ref: fact for (of, ref), fact in self._unwritten_facts.items() if of == kind}

    def take_plain(self) -> Plainly | None:
        """What was gathered where it is documents and entries alone, to be written by itself; None, and kept, otherwise."""
        if self._rows or self._new_accounts:
            return None
        taken = Plainly(self._document_keys, self._documents, self._entries, self.posted_at, self.posted_by)
        self._gathered_is_written()
        return taken

    # Documents that may be refused -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a document that may be refused: `undo` then leaves nothing of it."""
        self._mark = _Mark(
            len(self._documents),
            len(self._entries),
            len(self._new_accounts),
            {table: len(rows) for table, rows in self._rows.items()},
            self.late_documents,
        )

    @property
    def begun(self) -> bool:
        """Whether a document is under way that can be undone."""
        return self._mark is not None

    def end(self) -> None:
        """What was begun is accepted."""
        mark, self._mark = self._mark, None
        if mark is not None and mark.savepoint is not None:
            mark.savepoint.commit()

    def undo(self) -> bool:
        """Take back whatever was gathered or written since `begin`; returns whether anything was."""
        mark, self._mark = self._mark, None
        assert mark is not None, "begin before undoing"
        self.late_documents = mark.late
        if mark.savepoint is not None:
            mark.savepoint.rollback()
            self.entries_written, self.postings_written = mark.written
        elif not self._gathered_since(mark):
            return False
        self._take_from(mark)
        self._entry_counts.clear()
        self._write_gathered()
        self.forget()
        return True

    def secure(self) -> None:
        """Before something of a document is written: write what came before it, and note how to come back there."""
        mark = self._mark
        if mark is None or mark.savepoint is not None:
            return
        own = self._take_from(mark)
        self._write_gathered()
        mark.written = self.entries_written, self.postings_written
        mark.savepoint = self.connection.begin_nested()
        (self._document_keys, self._documents, self._entries, self._new_accounts, self._rows) = own
        self._write_gathered()
        mark.documents = mark.entries = mark.accounts = 0
        mark.rows = {}

    def _take_from(self, mark: _Mark) -> _Gathered:
        """Part what was gathered since from what was gathered before, which stays."""
        taken = (
            self._document_keys[mark.documents :],
            self._documents[mark.documents :],
            self._entries[mark.entries :],
            self._new_accounts[mark.accounts :],
            {table: rows[mark.rows.get(table, 0) :] for table, rows in self._rows.items()},
        )
        del self._document_keys[mark.documents :], self._documents[mark.documents :]
        del self._entries[mark.entries :], self._new_accounts[mark.accounts :]
        self._rows = {table: rows[: mark.rows[table]] for table, rows in self._rows.items() if mark.rows.get(table)}
        return taken

    def _gathered_since(self, mark: _Mark) -> bool:
        return (
            len(self._documents) > mark.documents
            or len(self._entries) > mark.entries
            or len(self._new_accounts) > mark.accounts
            or any(len(rows) > mark.rows.get(table, 0) for table, rows in self._rows.items())
        )

    # Writing -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what was gathered; the transaction stays open."""
        mark = self._mark
        if mark is not None and mark.savepoint is None:
            if self._gathered_since(mark):
                self.secure()
                return
            mark.documents = mark.entries = mark.accounts = 0
            mark.rows = {}
        self._write_gathered()

    def _write_gathered(self) -> None:
        connection = self.connection
        _write_documents(connection, self._document_keys, self._documents)
        for table in TABLES:  # what is referred to comes first
            if self._rows.get(table.name):
                connection.execute(table.insert(), self._rows[table.name])
        if self._new_accounts:
            binary_copy.copy_rows(
                connection,
                "account",
                ("customer_id", "account_id", "entity", "role", "currency", "subject", "product"),
                ("int8", "int8", "text", "text", "text", "text", "text"),
                self._new_accounts,
            )
        entry_rows.write(connection, self._entries, self.posted_at, self.posted_by)
        self._gathered_is_written()

    def _gathered_is_written(self) -> None:
        self.entries_written += len(self._entries)
        self.postings_written += sum(len(e.postings) if isinstance(e, Entry) else 1 for e in self._entries)
        self._document_keys = []
        self._documents = []
        self._rows = {}
        self._unwritten_facts = {}
        self._new_accounts = []
        self._entries = []

    def forget(self) -> None:
        """Let go of what was learnt, to bound memory in a long run; call after `flush`."""
        assert not self._entries, "flush before forgetting"
        self.touching = {}
