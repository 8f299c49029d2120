"""Seals: entries in blocks, each block with the Merkle root of its entries and the hash of the block before.

Sealing stands beside posting and never in its way: it takes the numbers handed out so far, waits until whoever took one has
committed it or given it up, and seals those; posters that come later are not waited for, nor do they wait. So an entry that commits
late under a lower number is in its block. With each block the totals of its entries are added to `daily_total`, which trial
balances are read from.

A leaf of the tree is an entry's hash (ledger/journal/entry_rows.py: it covers every column of the entry and of its postings). A node is
SHA-256 of a byte 1 and its two children; a node left over on a level moves up as it is. What entries stand on is covered by trees of
their own: the documents that posted them, the accounts they move, and the log of all other rows that were written
(ledger/proof/row_log.py), each leaf over all columns of a row. A block's hash is SHA-256
over its fields in `Block.content`, each behind its length as four bytes. The leaves are kept beside it (`seal_leaves`): where a root
does not fit, they say which rows are not those that were sealed (ledger/proof/compare.py).
"""

from __future__ import annotations

import hashlib
import json
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, text

from ledger.database import locks
from ledger.errors import Busy

BLOCK = 1 << 16  # entry numbers a block spans at most
LEAF_BYTES = hashlib.sha256().digest_size
NOTHING_BEFORE = bytes(32)
PATIENCE_SECONDS = 600.0
_POLL_SECONDS = 0.02

Answer = TypeVar("Answer")


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
        """Their hash, so that a proof shows nobody what other entities have; an older release's blocks say them."""
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
    """The root over hashes of 32 bytes, one after the other; SHA-256 of nothing where there are none."""
    sha256 = hashlib.sha256
    if not leaves:
        return sha256(b"").digest()
    level = leaves
    while len(level) > 32:
        whole = len(level) - len(level) % 64
        nodes = [sha256(b"\1" + level[start : start + 64]).digest() for start in range(0, whole, 64)]
        level = b"".join(nodes) + level[whole:]
    return level


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a run sealed, and the last block there is now."""

    blocks: int
    entries: int
    head: Block | None

    @property
    def sentence(self) -> str:
        """What was sealed, and the last seal, in words."""
        last = "nothing is" if self.head is None else f"seal {self.head.seal_id} is {self.head.hash.hex()}"
        return f"entries sealed: {self.entries:,} in blocks: {self.blocks:,}; {last}"


def seal(engine: Engine, by: str, patience: float = PATIENCE_SECONDS) -> Sealed:
    """Seal every entry whose number was handed out by now, each block in a transaction of its own.

    Waits for posters that are under way, `patience` seconds at most: raises Busy then, with nothing sealed.
    """
    with engine.connect() as connection:
        until = settled_numbers(connection, patience)
        blocks = entries = 0
        while True:
            with connection.begin():
                locks.hold_seals(connection)
                made = _seal_next(connection, until, by)
            if made is None:
                break
            blocks += 1
            entries += made.entries
        if blocks:
            connection.execute(text("select summarize_ranges()"))
            connection.commit()
        return Sealed(blocks, entries, head(connection))


def settled_number(connection: Connection, patience: float = PATIENCE_SECONDS) -> int:
    """The last entry number handed out, once no poster is under way that may have taken one up to it.

    Ends the connection's transaction. Raises Busy where posters take longer than `patience` seconds.
    """
    return settled_numbers(connection, patience).entry


@dataclass(frozen=True, slots=True)
class Numbers:
    """The last numbers of entries, documents, accounts and logged rows that were handed out."""

    entry: int
    document: int
    account: int
    row_log: int


def settled_numbers(connection: Connection, patience: float = PATIENCE_SECONDS) -> Numbers:
    """The last numbers handed out, once no poster is under way that may have taken one up to them.

    Ends the connection's transaction. Raises Busy where posters take longer than `patience` seconds.
    """
    last = "coalesce(pg_sequence_last_value('{}_number'), 0)"
    until = Numbers(
        *connection.execute(text(f"select {', '.join(last.format(name) for name in Numbers.__slots__)}")).one()
    )
    posters = locks.posters(connection)
    connection.commit()
    deadline = time.monotonic() + patience
    while posters:
        if time.monotonic() > deadline:
            raise Busy(
                "books", f"{len(posters)} still posting", f"expected them to be done within {patience:g} seconds"
            )
        time.sleep(_POLL_SECONDS)
        posters &= locks.posters(connection)
        connection.commit()
    return until


def head(connection: Connection) -> Block | None:
    """The last block, or None where nothing is sealed."""
    return next((block for block, _ in kept(connection, "order by seal_id desc limit 1")), None)


def block_of(connection: Connection, entry_id: int) -> Block | None:
    """The block that an entry is in, or None where it is not sealed yet."""
    which = f"where {entry_id:d} between first_entry and last_entry"
    return next((block for block, _ in kept(connection, which)), None)


def blocks_from(connection: Connection, seal_id: int) -> list[Block]:
    """The blocks from one on, up to the last."""
    return [block for block, _ in kept(connection, f"where seal_id >= {seal_id:d} order by seal_id")]


def leaves_of(connection: Connection, block: Block) -> bytes:
    """The hashes of a block's entries, one after the other."""
    return covered(connection, "entry", block.first_entry, block.last_entry).leaves


def last_sealed(connection: Connection) -> int:
    """The last entry number that is sealed, 0 where none is."""
    return int(connection.scalar(text("select coalesce(max(last_entry), 0) from seal")) or 0)


def consistently(connection: Connection, ask: Callable[[int], Answer]) -> Answer:
    """What a question answers that reads sealed totals, and beside them the entries above the number it is given.

    Asked again where a block was sealed in between: its entries may have been counted twice.
    """
    while True:
        sealed = last_sealed(connection)
        if sealed:  # few entries are left, whatever the planner thinks of a number it does not know
            connection.execute(text("set local enable_seqscan = off"))
        answer = ask(sealed)
        connection.execute(text("set local enable_seqscan to default"))
        if last_sealed(connection) == sealed:
            return answer


def kept(connection: Connection, which: str = "order by seal_id") -> Iterator[tuple[Block, bytes]]:
    """Blocks as they are kept, each with the hash that is kept with it."""
    rows = connection.execute(text(f"select {', '.join(Block.__slots__)}, hash from seal {which}"))
    for row in rows:
        fields: dict[str, Any] = dict(row._mapping)
        hash_ = bytes(fields.pop("hash"))
        yield Block(**fields), hash_


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


def _next(connection: Connection, table: str, after: int, until: int) -> Covered:
    """The rows that come next after a number, as many numbers of them as a block spans; numbers that were never used are passed over."""
    last = after
    while last < until:
        first, last = last + 1, min(last + BLOCK, until)
        found = covered(connection, table, first, last)
        if found.leaves:
            return found
    return Covered(max(last, after), b"")


# Each pair of accounts and day once, then its two accounts: a busy wallet's thousand draw-downs look up two.
_TOTALS = text(
    """
    with pairs as materialized (
        select customer_id, debit_account, credit_account, effective_on, sum(amount) as amount,
               sum(functional_amount) as functional, count(*) as postings
        from posting where entry_id between :first and :last
        group by customer_id, debit_account, credit_account, effective_on
    ), sides as (
        select a.entity, a.role, a.product, a.currency, s.effective_on, sum(s.debit) as debit, sum(s.credit) as credit,
               sum(s.functional_debit) as functional_debit, sum(s.functional_credit) as functional_credit
        from (select customer_id, debit_account as account_id, effective_on, amount as debit, 0 as credit,
                     functional as functional_debit, 0 as functional_credit from pairs
              union all
              select customer_id, credit_account, effective_on, 0, amount, 0, functional from pairs) s
        join account a using (customer_id, account_id)
        group by a.entity, a.role, a.product, a.currency, s.effective_on
    ), kept as (
        insert into daily_total as t (entity, role, product, currency, effective_on,
                                      debit, credit, functional_debit, functional_credit)
        select * from sides order by 1, 2, 3, 4, 5
        on conflict (entity, role, product, currency, effective_on) do update
        set debit = t.debit + excluded.debit, credit = t.credit + excluded.credit,
            functional_debit = t.functional_debit + excluded.functional_debit,
            functional_credit = t.functional_credit + excluded.functional_credit
    ), due as (
        insert into open_receivable as t (customer_id, account_id, amount)
        select customer_id, account_id, sum(net)
        from (select customer_id, debit_account as account_id, amount as net from pairs
              union all select customer_id, credit_account, -amount from pairs) s
        join account a using (customer_id, account_id)
        where a.role = 'accounts_receivable'
        group by customer_id, account_id order by customer_id, account_id
        on conflict (customer_id, account_id) do update set amount = t.amount + excluded.amount
    )
    select (select sum(postings)::bigint from pairs) as postings, entity, role, currency, sum(debit)::text as debit,
           sum(credit)::text as credit
    from sides group by entity, role, currency order by entity, role, currency
    """
)


def _seal_next(connection: Connection, until: Numbers, by: str) -> Block | None:
    """Seal the next block up to some numbers; None where nothing is left to seal."""
    before = head(connection)
    after_entry = before.last_entry if before else 0
    entries = _next(connection, "entry", after_entry, until.entry)
    documents = _next(connection, "document", (before.last_document if before else 0) or 0, until.document)
    accounts = _next(connection, "account", (before.last_account if before else 0) or 0, until.account)
    rows = _next(connection, "row_log", (before.last_row if before else 0) or 0, until.row_log)
    # before anything is posted the books have a row of their own, of what is nobody's
    if not (entries.leaves or documents.leaves or accounts.leaves or (before and rows.leaves)):
        return None
    # numbers that never became entries make no block of their own
    first, last = after_entry + 1, entries.last if entries.leaves else after_entry
    totals: Any = connection.execute(_TOTALS, {"first": first, "last": last}).all()
    connection.execute(text("delete from open_receivable where amount = 0"))
    block = Block(
        before.seal_id + 1 if before else 1,
        first,
        last,
        entries.count,
        totals[0].postings if totals else 0,
        json.dumps([list(row[1:]) for row in totals], separators=(",", ":")),
        entries.root,
        before.hash if before else NOTHING_BEFORE,
        connection.scalar(text("select clock_timestamp()")),
        by,
        *(documents.last, documents.count, documents.root),
        *(accounts.last, accounts.count, accounts.root),
        *(rows.last, rows.count, rows.root),
    )
    names = (*Block.__slots__, "hash")
    connection.execute(
        text(f"insert into seal ({', '.join(names)}) values ({', '.join(f':{name}' for name in names)})"),
        {name: getattr(block, name) for name in names},
    )
    connection.execute(
        text(
            "insert into seal_leaves (seal_id, entries, documents, accounts, rows)"
            " values (:seal, :entries, :documents, :accounts, :rows)"
        ),
        {
            "seal": block.seal_id,
            "entries": entries.leaves,
            "documents": documents.leaves,
            "accounts": accounts.leaves,
            "rows": rows.leaves,
        },
    )
    return block
