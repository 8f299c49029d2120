"""Entries as people and other programs read them: with their lines, their document, who posted them and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from ledger.amounts.money import to_text
from ledger.errors import UnknownReference

ENTRIES_MAX = 200
_NUMBER_DIGITS_MAX = 18


def is_number(written: str) -> bool:
    """Whether what somebody wrote is a number as the books hand them out: ASCII digits, no more than the database keeps."""
    return written.isascii() and written.isdigit() and len(written) <= _NUMBER_DIGITS_MAX


@dataclass(frozen=True, slots=True)
class JournalLine:
    """A debit or credit of an entry, as accountants read it. Amounts are in minor units, each of its currency."""

    side: str
    entity: str
    role: str
    subject: str
    product: str
    currency: str
    amount: int
    functional_amount: int
    functional_currency: str
    rule: str
    number: int

    @property
    def foreign(self) -> bool:
        """Whether it is in another currency than its entity's."""
        return self.currency != self.functional_currency


@dataclass(frozen=True, slots=True)
class EntryFacts:
    """An entry with its lines and where it comes from."""

    entry_id: int
    customer: str
    document: str
    effective_on: date
    occurred_on: date
    posted_at: datetime
    posted_by: str
    hash: str
    reverses: int | None
    reversed_by: int | None
    lines: tuple[JournalLine, ...]

    def amounts(self) -> str:
        """What it moves, in a few words: '312.40 USD draw.prepaid'."""
        debits: dict[tuple[str, str], int] = {}
        for line in self.lines:
            if line.side == "debit":
                # an exchange difference moves nothing in its own currency
                currency, amount = line.currency, line.amount
                if amount == 0:
                    currency, amount = line.functional_currency, line.functional_amount
                debits[currency, line.rule] = debits.get((currency, line.rule), 0) + amount
        return ", ".join(
            f"{to_text(amount, currency)} {currency} {rule}" for (currency, rule), amount in debits.items()
        )


def entry_json(entry: EntryFacts) -> dict[str, Any]:
    """An entry as JSON: amounts as decimal strings with their currency."""
    return {
        "entry": entry.entry_id,
        "customer": entry.customer,
        "document": entry.document,
        "effective_on": entry.effective_on.isoformat(),
        "occurred_on": entry.occurred_on.isoformat(),
        "posted_at": entry.posted_at.isoformat(),
        "posted_by": entry.posted_by,
        "hash": entry.hash,
        "reverses": entry.reverses,
        "reversed_by": entry.reversed_by,
        "lines": [
            {
                "side": line.side, "entity": line.entity, "account": line.role, "subject": line.subject,
                "product": line.product, "rule": line.rule, "currency": line.currency,
                "amount": to_text(line.amount, line.currency), "functional_currency": line.functional_currency,
                "functional_amount": to_text(line.functional_amount, line.functional_currency),
            }
            for line in entry.lines
        ],
    }  # fmt: skip


_ENTRIES = """
    select e.entry_id, c.ref as customer, d.type || ':' || d.ref as document, e.effective_on, e.occurred_on, e.posted_at,
           e.posted_by, encode(e.hash, 'hex') as hash, e.reverses, r.entry_id as reversed_by, e.customer_id
    from entry e
    join customer c using (customer_id)
    join document d on d.document_id = e.document_id and d.customer_id in (e.customer_id, 0)
    left join entry r on r.customer_id = e.customer_id and r.reverses = e.entry_id
"""


def read_entries(
    connection: Connection,
    where: str,
    parameters: Mapping[str, object],
    limit: int = ENTRIES_MAX,
    order: str = "e.entry_id",
) -> list[EntryFacts]:
    """Entries that match, with their lines. `where` is SQL over the entry `e` with named parameters."""
    rows = connection.execute(
        text(f"{_ENTRIES} where {where} order by {order} limit :limit"), {**parameters, "limit": limit}
    ).all()
    lines: dict[int, list[JournalLine]] = {}
    if rows:
        found = connection.execute(
            text(
                "select l.entry_id, l.line, l.side, l.entity, l.role, l.subject, l.product, l.currency, l.amount,"
                " l.functional_amount, n.currency as functional_currency, l.rule "
                "from journal_line l join entity n using (entity) where customer_id = any(:customers) and entry_id = any(:entries) "
                "order by entry_id, line, side desc"
            ),
            {"customers": list({row.customer_id for row in rows}), "entries": [row.entry_id for row in rows]},
        )
        for row in found:
            lines.setdefault(row.entry_id, []).append(JournalLine(*(*row[2:], row.line)))
    return [EntryFacts(*(*row[:10], tuple(lines.get(row.entry_id, ())))) for row in rows]


def read_entry(connection: Connection, entry_id: int) -> EntryFacts:
    """One entry. Raises UnknownReference."""
    found = read_entries(connection, "e.entry_id = :entry_id", {"entry_id": entry_id})
    if not found:
        raise UnknownReference("entry", entry_id, "expected the number of an entry in the books")
    return found[0]
