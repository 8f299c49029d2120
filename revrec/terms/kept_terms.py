"""What must hold of the terms kept of obligations.

The latest edition of each is what its documents make of it. All of them are folded anew, party by party; what differs is named. Terms
that an upgrade left to the next recognition are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, text

from ledger.errors import Refused
from ledger.journal.books import Books
from ledger.proof.verify import Held
from revrec.terms.changes.folded import TooLittle
from revrec.terms.editions import differing
from revrec.terms.history import read
from revrec.terms.versions import Party

# A party has terms to be held to its documents where any of its obligations was changed, or any bill of them corrected.
_CHANGED = """
    with changed as (
        select customer_id, subject from obligation_terms
        union select customer_id, subject from line_change where subject like 'obligation:%' and not own_obligation
        union select x.customer_id, 'obligation:' || o.ref
        from (select customer_id, contract from contract_modification union select customer_id, contract from variable_estimate
              union select customer_id, contract from credit_grant where contract is not null and price_minor > 0) x
        join contract t on t.customer_id = x.customer_id and t.ref = x.contract
        join obligation o on o.customer_id = t.customer_id and o.contract_id = t.contract_id
        except select customer_id, subject from terms_to_fold
    )"""
_PARTIES = f"""{_CHANGED}
    select o.customer_id, c.ref as customer, o.entity, o.currency, o.package, array_agg(o.subject order by o.subject) as subjects
    from changed join performance_obligation o using (customer_id, subject) join customer c using (customer_id)
    group by 1, 2, 3, 4, 5 order by 1, 5"""


def different(connection: Connection) -> Iterator[str]:
    """The obligations whose latest terms are not what their documents make of them."""
    books = Books(connection, "", reading=True)
    rows: list[Any] = list(connection.execute(text(_PARTIES)))
    for row in rows:
        party = Party(row.customer_id, row.customer, row.entity, row.currency, row.package)
        history = read(books, party, row.subjects)
        try:
            folded = history.folded()
        except (Refused, TooLittle) as error:
            yield f"{', '.join(row.subjects)}: {error}"
            continue
        for subject, _ in differing(books, history, folded, exactly=False):
            yield subject


TERMS = Held(
    "the terms of every obligation are what its documents make of them",
    "obligations",
    f"{_CHANGED} select count(*) from changed",
    different,
)
