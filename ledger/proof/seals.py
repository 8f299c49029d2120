"""Seals: entries in blocks, each with a Merkle root and the hash of the one before.

Sealing stands beside posting and never in its way: it takes the numbers handed out so far, waits until whoever took one has
committed it or given it up, and seals those; posters that come later are not waited for, nor do they wait. So an entry that commits
late under a lower number is in its block. With each block the totals of its entries are added to `daily_total`, which trial
balances are read from.

What a block's hash covers says ledger/proof/blocks.py. The leaves are kept beside a block (`seal_leaves`): where a root does not fit,
they say which rows are not those that were sealed (ledger/proof/compare.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, text

from ledger.database import locks
from ledger.proof.blocks import Block, Covered, covered
from ledger.proof.settled_numbers import PATIENCE_SECONDS, Numbers, settled_numbers

BLOCK = 1 << 16  # entry numbers a block spans at most
NOTHING_BEFORE = bytes(32)

Answer = TypeVar("Answer")


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
    """Seal every entry whose number was handed out by now.

    Each block in a transaction of its own. Waits for posters that are under way, `patience` seconds at most: raises Busy then, with
    nothing sealed.
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
    """What a question answers that reads sealed totals, and the entries after them.

    Those above the number it is given. Asked again where a block was sealed in between: its entries may have been counted twice.
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


def _next(connection: Connection, table: str, after: int, until: int) -> Covered:
    """The rows that come next after a number, as many as a block spans.

    Numbers that were never used are passed over.
    """
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
