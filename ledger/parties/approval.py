"""Who approves what another posts: a second person, or a rule that stands for one.

Write-offs and manual entries always need one; refunds and credit notes above the limit of their entity's policy. What was given back
of a payment or a balance, or credited of an invoice, without a person adds up, so that no limit is passed in parts. A limit or a rule holds on the
document's day and on the day it is posted: neither a day of its own nor coming late gets a document past it. What was posted before
a policy, a rule or its end arrived stands.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import text

from ledger.amounts.money import to_minor, to_text
from ledger.documents import models
from ledger.errors import Refused
from ledger.journal import currencies
from ledger.journal.books import Books
from ledger.journal.movements import Source
from ledger.parties.approval_rules import Approvable, limit_of, not_standing, rules_of
from ledger.parties.approvals import OWN_LINES
from ledger.parties.second_person import require_second


def approve(
    books: Books,
    source: Source,
    doc: Approvable,
    amount: int,
    invoice_id: int | None = None,
    money: Collection[int] = (),
) -> None:
    """Require the approval that a document needs.

    By what it comes to with its taxes; the rule that stands for a person is kept. `money` are the documents whose money a refund pays
    out. Raises Refused where it needs a second person and names none, and no rule stands.
    """
    if doc.approved_by is not None:
        require_second(books, doc.approved_by, source.entity)
        return
    limit = None
    if isinstance(doc, models.Refund | models.CreditNote):
        limit = limit_of(books, source.entity, doc)
        if limit is None:
            return
    total = amount + (
        _refunded(books, source, doc, money)
        if isinstance(doc, models.Refund)
        else _without_a_person(books, source, doc, invoice_id)
    )
    needed = _needed(books, source, doc, total, limit)
    if needed is None:
        return
    failing = []
    for rule in rules_of(books.connection, source.entity, doc.type, books.posted_by):
        failed = not_standing(books, rule, source, doc, total)
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


def _refunded(books: Books, source: Source, doc: models.Refund, money: Collection[int]) -> int:
    """What refunds before gave back of the same money that no person approved.

    Or of the same balance; less what came back since. What went out of a balance counts towards both: it can't be paid in two ways to
    come to more.
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


_NOT_VOIDED = (
    "not exists (select from document v where v.customer_id = d.customer_id and v.type = 'credit_note_void'"
    " and v.body::json ->> 'credit_note' = d.ref)"
)


def _without_a_person(books: Books, source: Source, doc: Approvable, invoice_id: int | None) -> int:
    """What documents before took of the same invoice that no person approved.

    With taxes, less what came back of it since. Of notes of no invoice, what they gave to the same customer.
    """
    if isinstance(doc, models.ManualEntry):
        return 0
    of = {"customer_id": source.customer.customer_id, "type": doc.type}
    if invoice_id is None:
        amounts = books.connection.scalars(
            text(
                f"select {OWN_LINES} from document d"
                " where d.customer_id = :customer_id and d.type = :type and d.body::json ->> 'invoice' is null"
                " and d.body::json ->> 'entity' = :entity and d.body::json ->> 'currency' = :currency"
                f" and d.body::json ->> 'approved_by' is null and {_NOT_VOIDED}"
            ),
            of | {"entity": source.entity, "currency": source.currency},
        )
        return sum(amounts)
    found = books.connection.scalar(
        text(
            "select sum(x.amount)::bigint from ("
            " select document_id, amount_minor as amount from line_change"
            "  where customer_id = :customer_id and invoice_id = :invoice_id and undoes = 0"
            " union all select document_id, -tax_minor from line_tax"
            "  where customer_id = :customer_id and invoice_id = :invoice_id and undoes = 0"
            " union all select l.document_id, l.amount_minor - coalesce((select sum(t.tax_minor) from line_tax t"
            "   where t.customer_id = l.customer_id and t.document_id = l.document_id and t.invoice_id = l.document_id"
            "   and t.line = l.line), 0)::bigint from credit_line l join invoice i on i.customer_id = l.customer_id and i.ref = l.invoice"
            "  where l.customer_id = :customer_id and i.invoice_id = :invoice_id"
            ") x join document d on d.customer_id = :customer_id and d.document_id = x.document_id "
            f"where d.type = :type and d.body::json ->> 'approved_by' is null and {_NOT_VOIDED}"
        ),
        of | {"invoice_id": invoice_id},
    )
    return int(found or 0)


def _needed(books: Books, source: Source, doc: Approvable, total: int, of: tuple[int, str] | None) -> str | None:
    """Why a document needs a second person, or None where it does not.

    Of refunds and notes, by the limit of a policy.
    """
    if isinstance(doc, models.WriteOff | models.ManualEntry) or of is None:
        return f"a {doc.type} needs a second person, or a rule that stands for one"
    limit, policy = of
    functional = books.parties.entity(source.entity).currency
    if source.currency != functional:
        total = currencies.convert(
            total, source.currency, functional, books.rate(source.currency, functional, doc.date)
        )
    if total <= limit:
        return None
    what = (
        f"refunds of the balance of customer {doc.customer}"
        if isinstance(doc, models.Refund) and doc.customer is not None
        else f"refunds of {' '.join(doc.money)}"
        if isinstance(doc, models.Refund)
        else f"credit notes of invoice {doc.invoice}"
        if doc.invoice is not None
        else f"credit notes of no invoice to customer {source.customer.ref}"
    )
    return (
        f"{what} that nobody approved come to {to_text(total, functional)} {functional} with it, and beyond"
        f" {to_text(limit, functional)} a second person is needed (approval_policy {policy})"
    )
