"""Policies and rules of approval, as they hold on a day: above what a second person is needed, and which rule stands for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from ledger.amounts.dates import LAST_DAY
from ledger.amounts.money import to_minor, to_text
from ledger.approval.approvable import Approvable, day_of
from ledger.approval.second_person import identity
from ledger.documents import models
from ledger.journal import currencies
from ledger.journal.books import Books
from ledger.journal.movements import Source


def limit_of(books: Books, entity: str, doc: Approvable) -> tuple[int, str] | None:
    """What an entity's policy lets one person do, with the policy.

    The least of the document's day and today.
    """
    currency = books.parties.entity(entity).currency
    rows = books.connection.execute(
        text(
            "select d.ref, d.dated_on, d.body::json ->> :field as above from document_key k"
            " join document d using (customer_id, document_id) where k.type = 'approval_policy'"
            " and d.body::json ->> 'entity' = :entity order by d.dated_on, d.document_id"
        ),
        {"entity": entity, "field": "refund_above" if doc.type == "refund" else "credit_note_above"},
    ).all()
    limits = []
    for day in (day_of(doc), books.posted_at.date()):
        in_force = [row for row in rows if row.dated_on <= day][-1:]
        limits += [
            (to_minor(models.decimal_of(row.above), currency), row.ref) for row in in_force if row.above is not None
        ]
    return min(limits, default=None)


@dataclass(frozen=True, slots=True)
class _Rule:
    """An approved rule.

    The first and the last day on which it stands for a person, and up to how much.
    """

    ref: str
    first: date
    last: date
    limit: int
    currency: str


def rules_of(connection: Connection, entity: str, kind: str, source: str) -> Sequence[_Rule]:
    """The approved rules for what a source posts of a kind, of an entity, by their ids."""
    rows: Sequence[Any] = connection.execute(
        text(
            "with ends as (select d.body::json ->> 'rule' as rule, min(d.dated_on) - 1 as last from document_key k"
            " join document d using (customer_id, document_id) where k.type = 'approval_rule_end' group by 1) "
            "select d.ref, d.dated_on, d.body::json as body, e.last from document_key k"
            " join document d using (customer_id, document_id) left join ends e on e.rule = d.ref"
            " where k.type = 'approval_rule' and d.body::json ->> 'entity' = :entity order by d.ref"
        ),
        {"entity": entity},
    ).all()
    return [
        _Rule(
            row.ref,
            row.dated_on,
            min(date.fromisoformat(row.body["until"]), row.last or LAST_DAY),
            to_minor(models.decimal_of(row.body["limit"]), row.body["currency"]),
            row.body["currency"],
        )
        for row in rows
        if kind in row.body["kinds"] and identity(row.body["source"]) == identity(source)
    ]


def not_standing(books: Books, rule: _Rule, source: Source, doc: Approvable, total: int) -> str | None:
    """What keeps a rule from standing for a document; None where it does.

    As words to follow that it stands.
    """
    day = day_of(doc)
    if day < rule.first:
        return f"from {rule.first} on"
    if max(day, books.posted_at.date()) > rule.last:
        return f"until {rule.last} only"
    if source.currency != rule.currency:
        rate = currencies.find_rate(books.connection, source.currency, rule.currency, day)
        if rate is None:
            return f"in {rule.currency}, of which there is no rate"
        total = currencies.convert(total, source.currency, rule.currency, rate)
    if total > rule.limit:
        return f"up to {to_text(rule.limit, rule.currency)} {rule.currency}, not for {to_text(total, rule.currency)}"
    return None
