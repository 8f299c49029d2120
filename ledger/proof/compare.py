"""What is sealed, held against what is there.

Blocks, their chain, and which rows are not those that were sealed.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, text

from ledger.errors import Refused, shortened
from ledger.proof.blocks import LEAF, LEAF_BYTES, Block, covered, hash_of_json, merkle_root
from ledger.proof.seals import NOTHING_BEFORE, kept

_NUMBER, _HASH = re.compile("[1-9][0-9]{0,17}"), re.compile("[0-9a-f]{64}")


def read_kept(name: str, content: bytes) -> dict[str, Any]:
    """A seal as it was exported to a file of that name. Raises Refused for what is none."""
    expected = "expected a seal that `tickmark seal --export` wrote"
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refused("head", name, f"{expected}: {shortened(str(error))}") from None
    if not isinstance(found, dict):
        raise Refused("head", name, expected)
    number, hash_ = found.get("seal_id"), found.get("hash")
    if not (
        isinstance(number, str) and _NUMBER.fullmatch(number) and isinstance(hash_, str) and _HASH.fullmatch(hash_)
    ):
        raise Refused("head", name, expected)
    with suppress(ValueError, TypeError):
        if hash_of_json(found) == hash_:
            return found
    raise Refused("head", name, f"{expected}: its hash is not that of what it says, so that it was changed since")


def differences(connection: Connection, kept_elsewhere: Mapping[str, Any] | None = None) -> Iterator[str]:
    """What differs from what was sealed, a text for what does not hold.

    Recomputed from entries, documents, accounts and blocks. `kept_elsewhere` is a block as it was exported: what came before it can't
    have been rewritten since.
    """
    previous, expected, next_entry = NOTHING_BEFORE, 1, 1
    after = {"document": 0, "account": 0, "row_log": 0}
    for block, hash_ in list(kept(connection)):
        if block.seal_id != expected or block.first_entry != next_entry:
            yield f"seal {block.seal_id} does not follow seal {expected - 1}: a block is missing"
        if block.hash != hash_:
            yield f"seal {block.seal_id}: its hash is not that of its content"
        if block.previous != previous:
            yield f"seal {block.seal_id}: the block before it is not the one it was chained to"
        yield from _differing(connection, block, after)
        previous, expected, next_entry = hash_, block.seal_id + 1, block.last_entry + 1
    if kept_elsewhere is not None:
        yield from _against(connection, kept_elsewhere)


_PLURAL = {"entry": "entries", "document": "documents", "account": "accounts", "row_log": "rows"}


def _differing(connection: Connection, block: Block, after: dict[str, int]) -> Iterator[str]:
    """What differs of the rows that a block covers.

    `after` is how far documents, accounts and rows of those before it go.
    """
    for table, first, last, count, root in (
        ("entry", block.first_entry, block.last_entry, block.entries, block.root),
        ("document", after["document"] + 1, block.last_document, block.documents, block.documents_root),
        ("account", after["account"] + 1, block.last_account, block.accounts, block.accounts_root),
        ("row_log", after["row_log"] + 1, block.last_row, block.rows, block.rows_root),
    ):
        if last is None:  # an older release's covers entries only
            continue
        after[table] = last
        found = covered(connection, table, first, last)
        if found.root == root and found.count == count:
            if block.rows_root is not None:
                yield from _leaves_differing(connection, block.seal_id, table, found.leaves)
            continue
        how = f"are {found.count}, sealed were {count}" if found.count != count else "are not those that were sealed"
        yield f"seal {block.seal_id}: {_PLURAL[table]} {first} to {last} {how}"
        if root is not None:
            yield from _named(connection, block.seal_id, table, (first, last), root)


def _leaves_differing(connection: Connection, seal_id: int, table: str, leaves: bytes) -> Iterator[str]:
    """That the leaves kept of a block are not those of the rows that were sealed.

    They would name the wrong ones.
    """
    name = _PLURAL[table]
    kept_leaves = connection.scalar(text(f"select {name} from seal_leaves where seal_id = :seal"), {"seal": seal_id})
    if kept_leaves is None or bytes(kept_leaves) != leaves:
        yield f"seal {seal_id}: the leaves kept of its {name} are not those that were sealed"


# How a row is told beside its number.
_LABEL = {"entry": "''", "document": "format(' (%s %s)', type, ref)", "account": "format(' (%s %s)', role, subject)",
          "row_log": "format(' (%s %s)', table_name, key)"}  # fmt: skip


def _named(connection: Connection, seal_id: int, table: str, span: tuple[int, int], root: bytes) -> Iterator[str]:
    """Which rows are not those that were sealed, by the leaves that were kept.

    Where these are those of the root.
    """
    leaves: bytes | None = connection.scalar(
        text(f"select {_PLURAL[table]} from seal_leaves where seal_id = :seal"), {"seal": seal_id}
    )
    if leaves is None:
        return
    leaves = bytes(leaves)
    if merkle_root(leaves) != root:
        yield f"seal {seal_id}: the leaves kept of its {_PLURAL[table]} are not those that were sealed"
        return
    sealed = [leaves[start : start + LEAF_BYTES] for start in range(0, len(leaves), LEAF_BYTES)]
    there = connection.execute(
        text(
            f"select {LEAF[table]} as leaf, {table}_id as number, {_LABEL[table]} as label"
            f" from {table} where {table}_id between :first and :last order by {table}_id"
        ),
        {"first": span[0], "last": span[1]},
    ).all()
    known = set(sealed)
    now: dict[bytes, int] = {}
    for row in there:
        leaf = bytes(row.leaf)
        if leaf not in known:
            yield f"{table} {row.number}{row.label} is not as it was sealed"
        elif leaf in now:
            yield f"{_PLURAL[table]} {now[leaf]} and {row.number}{row.label} have one hash: one of them was sealed"
        now[leaf] = row.number
    # a row that was changed stands where one is missing; where there are more of these, so many are gone
    before, gone = span[0] - 1, 0
    between = [row.number for row in there if bytes(row.leaf) not in known]
    for expected in [*sealed, None]:
        number = span[1] + 1 if expected is None else now.get(expected)
        if number is None:
            gone += 1
            continue
        missing = gone - (bisect_left(between, number) - bisect_right(between, before))
        if missing > 0:
            yield f"{_PLURAL[table]} between {before} and {number} are gone: {missing}"
        before, gone = number, 0


def _against(connection: Connection, kept_elsewhere: Mapping[str, Any]) -> Iterator[str]:
    """What differs from a block that was kept elsewhere."""
    number, wanted = int(kept_elsewhere["seal_id"]), str(kept_elsewhere["hash"])
    found = next(iter(kept(connection, f"where seal_id = {number}")), None)
    if found is None:
        last = connection.scalar(text("select coalesce(max(seal_id), 0) from seal"))
        yield f"seal {number} was kept elsewhere, and these books end with seal {last}: they are older, or were cut off"
    elif found[1].hex() != wanted:
        yield f"seal {number} is not the one that was kept elsewhere: what is sealed up to it was rewritten"
