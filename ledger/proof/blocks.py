"""A sealed block, what its hash covers, and the trees of the rows it seals.

A leaf of the tree is an entry's hash (ledger/journal/entry_rows.py: it covers every column of the entry and of its postings). A node is
SHA-256 of a byte 1 and its two children; a node left over on a level moves up as it is. What entries stand on is covered by trees of
their own: the documents that posted them, the accounts they move, and the log of all other rows that were written
(ledger/proof/row_log.py), each leaf over all columns of a row. A block's hash is SHA-256 over its fields in `Block.content`, each
behind its length as four bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, text

LEAF_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class Block:
    """A sealed block. `first_entry` to `last_entry` are the numbers it spans; some may never have become entries."""

    seal_id: int
    first_entry: int
    last_entry: int
    entries: int
    postings: int
    totals: str
    root: bytes
    previous: bytes
    sealed_at: datetime
    sealed_by: str
    # none of a block that an older release sealed
    last_document: int | None = None
    documents: int | None = None
    documents_root: bytes | None = None
    last_account: int | None = None
    accounts: int | None = None
    accounts_root: bytes | None = None
    last_row: int | None = None
    rows: int | None = None
    rows_root: bytes | None = None

    @property
    def content(self) -> tuple[bytes, ...]:
        """What its hash covers."""
        numbers = (self.seal_id, self.first_entry, self.last_entry, self.entries, self.postings)
        sealed_at = self.sealed_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return (
            *(str(number).encode() for number in numbers),
            self._said_of_totals, self.root, self.previous, sealed_at.encode(), self.sealed_by.encode(), *self._covered,
        )  # fmt: skip

    @property
    def _said_of_totals(self) -> bytes:
        """What is hashed of the totals: their hash.

        So that a proof shows nobody what other entities have; an older release's blocks say them.
        """
        return self.totals.encode() if self.rows_root is None else hashlib.sha256(self.totals.encode()).digest()

    @property
    def _covered(self) -> tuple[bytes, ...]:
        if self.documents_root is None or self.accounts_root is None:
            return ()
        rows: tuple[bytes, ...] = ()
        if self.rows_root is not None:
            rows = (str(self.last_row).encode(), str(self.rows).encode(), self.rows_root)
        return (
            str(self.last_document).encode(), str(self.documents).encode(), self.documents_root,
            str(self.last_account).encode(), str(self.accounts).encode(), self.accounts_root, *rows,
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """The block as JSON: hashes in hexadecimal, and its content in the order its hash covers it."""
        content = self.content
        names = [
            "totals_root" if name == "totals" and self.rows_root is not None else name
            for name in Block.__slots__[: len(content)]
        ]
        shown = (
            part.hex() if name.endswith("root") or name == "previous" else part.decode()
            for name, part in zip(names, content, strict=True)
        )
        return dict(zip(names, shown, strict=True)) | {"hash": self.hash.hex()}

    @property
    def hash(self) -> bytes:
        """SHA-256 over its content, each field behind its length."""
        return hashlib.sha256(b"".join(struct.pack(">I", len(part)) + part for part in self.content)).digest()


def hash_of_json(block: Mapping[str, Any]) -> str:
    """The hash of a block as JSON, of what it says itself. Raises ValueError where that is no block."""
    content = b""
    for name, field in block.items():
        if name != "hash":
            hashed = name.endswith("root") or name == "previous"
            part = bytes.fromhex(field) if hashed else str(field).encode()
            content += struct.pack(">I", len(part)) + part
    return hashlib.sha256(content).hexdigest()


def merkle_root(leaves: bytes) -> bytes:
    """The root over hashes of 32 bytes, one after the other.

    SHA-256 of nothing where there are none.
    """
    sha256 = hashlib.sha256
    if not leaves:
        return sha256(b"").digest()
    level = leaves
    while len(level) > 32:
        whole = len(level) - len(level) % 64
        nodes = [sha256(b"\1" + level[start : start + 64]).digest() for start in range(0, whole, 64)]
        level = b"".join(nodes) + level[whole:]
    return level


def _prefixed(column: str) -> str:
    """SQL for a text behind its length."""
    return f"int4send(octet_length({column})) || convert_to({column}, 'UTF8')"


# What stands for a row: every column of it, a text behind its length.
DOCUMENT_LEAF = (
    "sha256(int8send(customer_id) || int8send(document_id) || timestamptz_send(posted_at)"
    " || case when dated_on is null then '\\x00'::bytea else '\\x01'::bytea || date_send(dated_on) end"
    f" || {_prefixed('type')} || {_prefixed('ref')} || {_prefixed('posted_by')} || hash || sha256(convert_to(body, 'UTF8'))"
    " || case when entry_count is null then ''::bytea else int4send(entry_count) end)"  # none of an older release's
)
ACCOUNT_LEAF = (
    "sha256(int8send(customer_id) || int8send(account_id) || "
    + " || ".join(_prefixed(name) for name in ("entity", "role", "currency", "subject", "product"))
    + ")"
)
ROW_LOG_LEAF = (
    f"sha256(int8send(row_log_id) || {_prefixed('table_name')} || {_prefixed('key')} || hash || int2send(change))"
)
# What stands for a row of each table that a block covers: a leaf of its tree.
LEAF = {"entry": "hash", "document": DOCUMENT_LEAF, "account": ACCOUNT_LEAF, "row_log": ROW_LOG_LEAF}
_LEAVES = {
    table: text(
        f"select coalesce(string_agg({leaf}, ''::bytea order by {table}_id), ''::bytea)"
        f" from {table} where {table}_id between :first and :last"
    )
    for table, leaf in LEAF.items()
}


@dataclass(frozen=True, slots=True)
class Covered:
    """The rows of a table up to a number: their leaves, one after the other."""

    last: int
    leaves: bytes

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.leaves) // LEAF_BYTES

    @property
    def root(self) -> bytes:
        """The root of their tree, worked out anew."""
        return merkle_root(self.leaves)


def covered(connection: Connection, table: str, first: int, last: int) -> Covered:
    """The rows of a table that a block covers, by their numbers."""
    return Covered(last, bytes(connection.execute(_LEAVES[table], {"first": first, "last": last}).scalar_one()))
