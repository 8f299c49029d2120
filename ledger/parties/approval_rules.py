"""Policies and rules of approval: taken in, and ended."""

from __future__ import annotations

from sqlalchemy import text

from ledger.accounts.house import HOUSE
from ledger.amounts.money import to_minor
from ledger.approval.second_person import require_other, require_second
from ledger.documents import models
from ledger.errors import Refused, UnknownReference
from ledger.wallets.session import Wallets


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
