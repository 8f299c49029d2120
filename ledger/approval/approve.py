"""Who approves what another posts: a second person, or a rule that stands for one.

Write-offs and manual entries always need one; refunds, and whatever gives a customer something without being paid for, above the limit
of their entity's policy. What was given back of a payment or a balance, credited of an invoice, or given to a customer without a person
adds up (ledger/approval/given_away.py), so that no limit is passed in parts. A limit or a rule holds on the
document's day and on the day it is posted: neither a day of its own nor coming late gets a document past it. What was posted before
a policy, a rule or its end arrived stands.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from sqlalchemy import text

from ledger.amounts.money import to_minor, to_text
from ledger.approval import given_away
from ledger.approval.approvable import ALWAYS, Approvable, Total, day_of
from ledger.approval.rules import limit_of, not_standing, rules_of
from ledger.approval.second_person import require_second
from ledger.documents import models
from ledger.errors import Refused, UnknownReference
from ledger.journal import currencies
from ledger.journal.books import Books
from ledger.journal.movements import Source


def approve(
    books: Books,
    source: Source,
    doc: Approvable,
    amount: int,
    invoice_id: int | None = None,
    money: Collection[int] = (),
) -> None:
    """Require the approval that a document needs.

    By what it comes to with its taxes; the rule that stands for a person is kept. `money` are the documents whose money a refund pays out, `invoice_id` the invoice that a note or a write-off is of. Raises Refused
    where it needs a second person and names none, and no rule stands.
    """
    if isinstance(doc, models.Refund):
        _approve(books, source, doc, lambda: [_refunds(books, source, doc, amount, money)])
    elif isinstance(doc, models.ManualEntry):
        _approve(books, source, doc, lambda: [Total(amount, "")])
    elif invoice_id is None:
        _approve(books, source, doc, lambda: [given_to_customer(books, source, amount)])
    else:
        ref = doc.invoice if isinstance(doc, models.CreditNote | models.WriteOff) else ""
        _approve(
            books, source, doc, lambda: [credited_of_invoice(books, source, doc.type, invoice_id, str(ref), amount)]
        )


@dataclass(frozen=True, slots=True)
class Below:
    """What an invoice's lines below zero come to, taxes included.

    What they take of other invoices, by these, and beside. `left` is what the whole invoice leaves to the customer beside.
    """

    of_others: Mapping[int, int]
    beside: int
    left: int


def approve_invoice(books: Books, source: Source, doc: Approvable, below: Callable[[], Below]) -> None:
    """Require the approval that an invoice with lines below zero needs.

    The most of what they come to decides. Raises Refused as `approve` does.
    """

    def totals() -> list[Total]:
        found = below()
        refs = {
            row.invoice_id: row.ref
            for row in books.connection.execute(
                text("select invoice_id, ref from invoice where customer_id = :customer_id and invoice_id = any(:ids)"),
                {"customer_id": source.customer.customer_id, "ids": list(found.of_others)},
            )
        }
        of_others = [
            credited_of_invoice(books, source, "credit_note", of, refs[of], amount)
            for of, amount in found.of_others.items()
        ]
        left = [given_to_customer(books, source, found.left)] if found.left else []
        return [Total(found.beside, f"lines below zero of invoice {doc.id}"), *of_others, *left]

    _approve(books, source, doc, totals)


def given_to_customer(books: Books, source: Source, amount: int) -> Total:
    """An amount with what the customer was given before of no invoice."""
    return Total(
        amount + given_away.to_customer(books, source), f"credits of no invoice to customer {source.customer.ref}"
    )


def credited_of_invoice(books: Books, source: Source, kind: str, invoice_id: int, ref: str, amount: int) -> Total:
    """An amount with what was credited of an invoice before, or written off."""
    return Total(amount + given_away.of_invoice(books, source, invoice_id, kind), f"credits of invoice {ref}")


def _approve(books: Books, source: Source, doc: Approvable, totals: Callable[[], list[Total]]) -> None:
    if doc.approved_by is not None:
        require_second(books, doc.approved_by, source.entity)
        return
    limit = None
    if doc.type not in ALWAYS:
        limit = limit_of(books, source.entity, doc)
        if limit is None:
            return
    books.flush()  # what the same file gave before counts
    total = max(totals(), key=lambda total: total.amount)
    needed = _needed(books, source, doc, total, limit)
    if needed is None:
        return
    failing = []
    for rule in rules_of(books.connection, source.entity, doc.type, books.posted_by):
        failed = not_standing(books, rule, source, doc, total.amount)
        if failed is None:
            books.add_row(
                "approval_by_rule",
                customer_id=source.customer.customer_id,
                document_id=source.document_id,
                rule=rule.ref,
            )
            return
        failing.append(f"; approval_rule {rule.ref} stands {failed}")
    raise Refused("approved_by", "missing", f"expected who approved it: {needed}{''.join(failing)}")


def _refunds(books: Books, source: Source, doc: models.Refund, amount: int, money: Collection[int]) -> Total:
    """An amount with what refunds before gave back of the same money, or of the same balance."""
    of = f"the balance of customer {doc.customer}" if doc.customer is not None else " ".join(doc.money)
    return Total(amount + _refunded(books, source, doc, money), f"refunds of {of}")


def _refunded(books: Books, source: Source, doc: models.Refund, money: Collection[int]) -> int:
    """What refunds before gave back of the same money, or of the same balance, that no person approved, less what came back since.

    What went out of a balance counts towards both: it can't be paid in two ways to come to more.
    """
    of_same = ("customer", doc.customer) if doc.customer is not None else doc.money
    rows = books.connection.execute(
        text(
            "select d.document_id, d.body::json ->> 'amount' as amount from document d where d.customer_id = :customer_id and d.type = 'refund'"
            " and d.body::json ->> :named = :ref and d.body::json ->> 'approved_by' is null"
            " and coalesce(d.body::json ->> 'entity', :entity) = :entity and coalesce(d.body::json ->> 'currency', :currency) = :currency"
            " and not exists (select from document r where r.customer_id = d.customer_id and r.type = 'refund_reversal'"
            "  and r.body::json ->> 'refund' = d.ref)"
        ),
        {
            "customer_id": source.customer.customer_id, "named": of_same[0], "ref": of_same[1], "entity": source.entity,
            "currency": source.currency,
        },
    ).all()  # fmt: skip
    others = books.connection.scalar(
        text(
            "select coalesce(-sum(u.paid_minor), 0)::bigint from money_use u"
            # its own customer's document, the house's, or, where it is undone with another, of who paid
            " cross join lateral (select u.customer_id union select 0 union select b.customer_id from money_use b"
            "  where b.money_id = u.money_id and b.document_id = b.money_id) w"
            " join document x on x.customer_id = w.customer_id and x.document_id = case when u.undoes <> 0 then u.undoes else u.document_id end"
            # of another customer's balance or invoices, the document beside the refund
            " left join document_key k on x.type = 'beside' and k.type = 'refund' and 'refund:' || k.ref = x.ref"
            " join document d on d.customer_id = coalesce(k.customer_id, x.customer_id) and d.document_id = coalesce(k.document_id, x.document_id)"
            "  and d.type = 'refund'"
            " where u.money_id = any(:money) and u.paid_currency = :currency and (d.body::json ->> 'customer' is null) = :of_balance"
            " and d.body::json ->> 'approved_by' is null"
        ),
        {"money": list(money), "currency": source.currency, "of_balance": doc.customer is not None},
    )  # fmt: skip
    named = sum(to_minor(models.decimal_of(row.amount), source.currency) for row in rows)
    return named + max(int(others or 0), 0)


def _needed(books: Books, source: Source, doc: Approvable, total: Total, of: tuple[int, str] | None) -> str | None:
    """Why a document needs a second person, or None where it does not: but for what always does, by the limit of a policy."""
    if of is None:
        return f"a {doc.type} needs a second person, or a rule that stands for one"
    limit, policy = of
    functional = books.parties.entity(source.entity).currency
    amount = total.amount
    if source.currency != functional:
        amount = currencies.convert(amount, source.currency, functional, _rate(books, source, functional, day_of(doc)))
    if amount <= limit:
        return None
    return (
        f"{total.of} that nobody approved come to {to_text(amount, functional)} {functional} with it, and beyond"
        f" {to_text(limit, functional)} a second person is needed (approval_policy {policy})"
    )


def _rate(books: Books, source: Source, functional: str, day: date) -> Fraction:
    """The rate of a day, else the one that the document states. Raises UnknownReference where there is neither."""
    try:
        return books.rate(source.currency, functional, day)
    except UnknownReference:
        if source.rate is None:
            raise
        return source.rate
