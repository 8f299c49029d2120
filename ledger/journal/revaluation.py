"""Month-end revaluation: open money and claims in other currencies at the closing rate, reversed on the next day.

Cash, receivables, customers' balances, unidentified receipts, taxes owed and withheld, and disputed funds are monetary; contract
liabilities and assets are not (ASC 830-10-45-18).
Only functional amounts move, so what is owed in its own currency stays as it is.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.chart import MONETARY
from ledger.accounts.house import HOUSE
from ledger.amounts.dates import month_end, month_text
from ledger.database import locks
from ledger.documents import parse
from ledger.errors import ClosedPeriod, UnknownReference
from ledger.journal import currencies, periods
from ledger.journal.books import Books
from ledger.journal.entry_rows import Entry, Posting
from ledger.journal.movements import AccountKey, Source


@dataclass(frozen=True, slots=True)
class Revaluation:
    """What a revaluation posted: entries, their reversals counted too, and what was gained by currency.

    Gains and losses are in minor units of the entity's currency.
    """

    entity: str
    month: date
    entries: int
    gained: dict[str, int]


def revalue(connection: Connection, entity: str, month: date, posted_by: str) -> Revaluation:
    """Revalue an entity's monetary items at a month's end, in the caller's transaction; a second run posts nothing.

    Raises ClosedPeriod for a closed month, UnknownReference where a rate is missing.
    """
    if entity not in periods.entities(connection):
        raise UnknownReference("entity", entity, "expected the id of an entity posted before")
    locks.hold_books(connection)
    closed = periods.closed_through(connection, entity)
    day = month_end(month)
    if closed is not None and day <= closed:
        raise ClosedPeriod("month", month_text(month), f"the books of {entity} are closed through {closed}")
    books = Books(connection, posted_by)
    functional = books.parties.entity(entity).currency
    document_id = books.number("document_number")
    gained: dict[str, int] = defaultdict(int)
    postings: dict[str, list[Posting]] = defaultdict(list)
    keys: dict[str, dict[int, AccountKey]] = defaultdict(dict)
    for row in _open_items(connection, entity, functional, day):
        books.parties.learn_customers([row.customer])
        rate = books.rate(row.currency, functional, day)
        correction = currencies.convert(row.net, row.currency, functional, rate) - row.functional
        if not correction:
            continue
        key = AccountKey(entity, row.role, row.currency, row.subject)
        posting = books.exchange(row.customer_id, "revalue", key, row.account_id, correction)
        postings[row.customer].append(posting)
        result = posting.credit_account if correction > 0 else posting.debit_account
        role = "fx_gain" if correction > 0 else "fx_loss"
        keys[row.customer] |= {
            row.account_id: key,
            result: AccountKey(entity, role, row.currency, f"currency:{row.currency}"),
        }
        gained[row.currency] += correction
    for customer, moved in postings.items():
        source = Source(document_id, books.parties.customer(customer), entity, functional)
        entry = Entry(source.customer.customer_id, document_id, day, day, tuple(moved))
        number = books.add_entry(entry)
        books.reverse(source, number, entry, keys[customer], day + timedelta(days=1))
    if postings:
        _keep_document(books, document_id, entity, day)
    books.flush()
    return Revaluation(entity, month, books.entries_written, dict(gained))


def _open_items(connection: Connection, entity: str, functional: str, day: date) -> list[Any]:
    """Monetary accounts in other currencies with what they hold by a day, in both currencies."""
    return list(
        connection.execute(
            text(
                "select c.ref as customer, a.customer_id, a.account_id, a.role, a.currency, a.subject,"
                " sum(s.net)::bigint as net, sum(s.functional)::bigint as functional "
                "from account a join customer c using (customer_id) "
                "join lateral ("
                "  select amount as net, functional_amount as functional from posting"
                "  where customer_id = a.customer_id and debit_account = a.account_id and effective_on <= :day"
                "  union all select -amount, -functional_amount from posting"
                "  where customer_id = a.customer_id and credit_account = a.account_id and effective_on <= :day"
                ") s on true "
                "where a.entity = :entity and a.currency <> :functional and a.role = any(:roles) "
                "group by 1, 2, 3, 4, 5, 6 having sum(s.net) <> 0 or sum(s.functional) <> 0 order by 2, 3"
            ),
            {"entity": entity, "functional": functional, "roles": list(MONETARY), "day": day},
        )
    )


def _keep_document(books: Books, document_id: int, entity: str, day: date) -> None:
    """Keep the run itself as the document its entries come from."""
    month = month_text(day)
    before = books.connection.scalar(
        text("select count(*) from document_key where type = 'revaluation' and ref like :place || '/%'"),
        {"place": f"{entity}/{month}"},
    )
    fields = {"type": "revaluation", "id": f"{entity}/{month}/{(before or 0) + 1}", "entity": entity, "month": month}
    body = json.dumps(fields)
    books.add_document(HOUSE, document_id, "revaluation", fields["id"], day, body, parse.content_hash(fields))
