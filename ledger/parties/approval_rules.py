"""Policies and rules of approval: taken in, and which rule stands for a person on a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.house import HOUSE
from ledger.amounts.dates import LAST_DAY
from ledger.amounts.money import to_minor, to_text
from ledger.documents import models
from ledger.errors import Refused, UnknownReference
from ledger.journal import currencies
from ledger.journal.books import Books
from ledger.journal.movements import Source
from ledger.parties.approvable import Approvable, day_of
from ledger.parties.second_person import identity, require_other, require_second
from ledger.wallets.session import Wallets


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


def post_approval_policy(wallets: Wallets, doc: models.ApprovalPolicy, _document_id: int) -> int:
    """Take in above which amounts an entity's refunds, and what its customers are given for nothing, need a second person."""
    books = wallets.books
    currency = books.parties.entity(doc.entity).currency
    for field in ("refund_above", "credit_note_above"):
        if getattr(doc, field) is not None:
            to_minor(getattr(doc, field), currency, field)
    require_second(books, doc.approved_by, doc.entity)
    return HOUSE


def post_approval_rule(wallets: Wallets, doc: models.ApprovalRule, _document_id: int) -> int:
    """Take in a rule that stands for a second person. Raises Refused where its source approved it."""
    books = wallets.books
    books.parties.entity(doc.entity)
    to_minor(doc.limit, doc.currency, "limit")
    require_second(books, doc.approved_by, doc.entity)
    require_other(doc.approved_by, doc.source, "the source it is a rule for, ")
    return HOUSE


def post_approval_rule_end(wallets: Wallets, doc: models.ApprovalRuleEnd, _document_id: int) -> int:
    """Let a rule stand for nobody from a day on. Raises UnknownReference, or Refused for a day before it began."""
    begun = wallets.books.connection.scalar(
        text(
            "select d.dated_on from document_key k join document d using (customer_id, document_id)"
            " where k.type = 'approval_rule' and k.ref = :rule"
        ),
        {"rule": doc.rule},
    )
    if begun is None:
        raise UnknownReference("rule", doc.rule, "expected the id of an approval_rule posted before")
    if doc.date < begun:
        raise Refused("date", doc.date, f"expected {begun}, when the rule begins, or later")
    return HOUSE
