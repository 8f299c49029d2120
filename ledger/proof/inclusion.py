"""Proofs that an entry is under a seal.

Anybody who has the seal can check one: docs/check_proof.py does, without this code.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Connection, text

from ledger.errors import Refused, UnknownReference
from ledger.proof import seals

_DATES_FROM = "date '2000-01-01'"


def prove(connection: Connection, entry_id: int) -> dict[str, Any]:
    """What proves that an entry is sealed.

    Its columns and postings, the path of hashes to its block's root, and the blocks from there to the last one. Amounts are in minor
    units. Raises UnknownReference for no entry, Refused for one that is not sealed yet.
    """
    entry: Any = connection.execute(
        text(
            f"select customer_id, entry_id, document_id, (extract(epoch from posted_at) * 1000000)::bigint as posted_at, reverses,"
            f" effective_on - {_DATES_FROM} as effective_on, occurred_on - {_DATES_FROM} as occurred_on, posted_by"
            " from entry where entry_id = :entry"
        ),
        {"entry": entry_id},
    ).first()
    if entry is None:
        raise UnknownReference("entry", entry_id, "expected the number of an entry in the books")
    block = seals.block_of(connection, entry_id)
    if block is None:
        raise Refused("entry", entry_id, "expected an entry that is sealed: `tickmark seal` seals what is posted")
    postings = connection.execute(
        text(
            "select line, rule, debit_account, credit_account, amount, functional_amount from posting"
            " where customer_id = :customer and entry_id = :entry order by line"
        ),
        {"customer": entry.customer_id, "entry": entry_id},
    )
    leaves = seals.leaves_of(connection, block)
    place: int = connection.scalar(
        text("select count(*) from entry where entry_id between :first and :entry"),
        {"first": block.first_entry, "entry": entry_id},
    )
    return {
        "entry": dict(entry._mapping),
        "postings": [dict(row._mapping) for row in postings],
        "path": [[side, digest.hex()] for side, digest in path(leaves, place - 1)],
        "blocks": [one.as_json() for one in seals.blocks_from(connection, block.seal_id)],
    }


def path(leaves: bytes, place: int) -> list[tuple[str, bytes]]:
    """The hashes that lead from a leaf to the root: each with the side on which it stands."""
    level = leaves
    found: list[tuple[str, bytes]] = []
    while len(level) > 32:
        whole = len(level) - len(level) % 64
        beside = place ^ 1
        if 32 * beside < len(level):
            found.append(("left" if beside < place else "right", level[32 * beside : 32 * beside + 32]))
        nodes = [hashlib.sha256(b"\1" + level[start : start + 64]).digest() for start in range(0, whole, 64)]
        level = b"".join(nodes) + level[whole:]
        place //= 2
    return found
