"""Plain draws: usage that one paid grant covers, posted by one statement (migrations/versions/0022_plain_draws.sql).

Most usage is plain: it is of its entity's currency and of an open month, its customer has one grant to draw on, paid for at face
value and billed before, with enough left for all of it, and no alert watches the wallet. For such usage nothing has to be
planned, and a round trip is most of what it costs. The database decides what is plain while it holds the customer; the rest goes the
long way (ledger/usage.py), which would post the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeGuard

from sqlalchemy import Connection

from ledger import documents
from ledger.money import exponent
from ledger.rulebook import RULES
from ledger.wallets import FUNDING_RULES

STATEMENT = (
    "select draw_plainly(%(customers)s::text[], %(entities)s::text[], %(currencies)s::text[], %(products)s::text[],"
    " %(days)s::date[], %(quantities)s::numeric[], %(prices)s::numeric[], %(refs)s::text[], %(bodies)s::text[],"
    " %(hashes)s::bytea[], %(minor_units)s::jsonb, %(author)s::text, %(draw_rule)s::smallint, %(funding_rules)s::smallint[])"
)

Drawn = tuple[documents.Usage, str, bytes]


def could_be_plain(doc: documents.Document | None) -> TypeGuard[documents.Usage]:
    """Whether a document is usage of its own, that takes no other's place."""
    return isinstance(doc, documents.Usage) and doc.supersedes is None


def parameters(usage: Sequence[Drawn], author: str) -> dict[str, object]:
    """What the statement takes: usage, each with its line of JSON and its content's hash."""
    docs = [doc for doc, _, _ in usage]
    return {
        "customers": [doc.customer for doc in docs],
        "entities": [doc.entity for doc in docs],
        "currencies": [doc.currency for doc in docs],
        "products": [doc.product for doc in docs],
        "days": [doc.date for doc in docs],
        "quantities": [doc.quantity for doc in docs],
        "prices": [doc.unit_price for doc in docs],
        "refs": [doc.id for doc in docs],
        "bodies": [body for _, body, _ in usage],
        "hashes": [content for _, _, content in usage],
        "minor_units": json.dumps({currency: 10 ** exponent(currency) for currency in {doc.currency for doc in docs}}),
        "author": author,
        "draw_rule": RULES["draw.prepaid"].number,
        "funding_rules": [RULES[code].number for code in FUNDING_RULES],
    }


def draw(connection: Connection, usage: Sequence[Drawn], author: str) -> dict[int, bool]:
    """Post what is plain of usage: its places in what was given, from 0, and whether each made an entry or came to no cent yet.

    Of a customer all is posted or nothing: either every draw is plain or none is.
    """
    (places,) = connection.exec_driver_sql(STATEMENT, parameters(usage, author)).one()
    return {abs(place) - 1: place > 0 for place in places}
