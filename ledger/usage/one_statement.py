"""Plain draws: usage that one paid grant covers, posted by one statement (migrations/books/usage.sql).

Most usage is plain: it is of its entity's currency and of an open month, its customer has one grant to draw on, paid for at face
value and billed before, with enough left for all of it, and no alert watches the wallet. For such usage nothing has to be
planned, and round trips are most of what it costs. The database decides what is plain while it holds the customer (`draw_plainly`,
in migrations); the rest goes the long way (`covering` in ledger/usage/draw.py), which would post the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeGuard

from sqlalchemy import Connection

from ledger.accounts.rulebook import RULES
from ledger.amounts.money import exponent
from ledger.documents import models
from ledger.letters import expected_of_id
from ledger.wallets.fundings import FUNDING_RULES

STATEMENT = (
    "select draw_plainly(%(customer)s::text, %(entity)s::text, %(currency)s::text, %(product)s::text, %(minor_units)s::numeric,"
    " %(refs)s::text[], %(days)s::date[], %(quantities)s::numeric[], %(prices)s::numeric[], %(bodies)s::text[],"
    f" %(hashes)s::bytea[], %(author)s::text, {RULES['draw.prepaid'].number}::smallint,"
    f" array[{', '.join(str(RULES[code].number) for code in FUNDING_RULES)}]::smallint[])"
)


class Wallet(NamedTuple):
    """Whose usage of what, in which books."""

    customer: str
    entity: str
    currency: str
    product: str


def wallet_of(doc: models.Usage) -> Wallet:
    """The wallet usage draws on."""
    return Wallet(doc.customer, doc.entity, doc.currency, doc.product)


def could_be_plain(docs: Sequence[models.Document | None]) -> TypeGuard[Sequence[models.Usage]]:
    """Whether documents are usage of one wallet, priced per unit.

    Each with an id of its own alone and none in another's place.
    """
    usage = [doc for doc in docs if isinstance(doc, models.Usage) and _is_plain(doc)]
    return len(usage) == len(docs) == len({doc.id for doc in usage}) and len({wallet_of(doc) for doc in usage}) == 1


def _is_plain(doc: models.Usage) -> bool:
    of_nothing_else = doc.supersedes is None and doc.amount is None and doc.reference is None and not doc.external
    return of_nothing_else and expected_of_id(doc.id) is None


def parameters(
    usage: Sequence[models.Usage], bodies: Sequence[str], hashes: Sequence[bytes], author: str
) -> dict[str, object]:
    """What the statement takes.

    Usage of one wallet, each with its line of JSON and its content's hash.
    """
    return wallet_of(usage[0])._asdict() | {
        "minor_units": 10 ** exponent(usage[0].currency),
        "refs": [doc.id for doc in usage],
        "days": [doc.date for doc in usage],
        "quantities": [doc.quantity for doc in usage],
        "prices": [doc.unit_price for doc in usage],
        "bodies": list(bodies),
        "hashes": list(hashes),
        "author": author,
    }


def draw(
    connection: Connection,
    usage: Sequence[models.Usage],
    bodies: Sequence[str],
    hashes: Sequence[bytes],
    author: str,
) -> int | None:
    """Post usage of one wallet where all of it is plain.

    Returns how many entries it made, or None with nothing posted.
    """
    made: int | None = connection.exec_driver_sql(STATEMENT, parameters(usage, bodies, hashes, author)).scalar()
    return made
