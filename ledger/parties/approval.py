"""Who approves what another posts: a second person who is known, or a rule that was approved and stands for one.

Write-offs and manual entries always need one; refunds and credit notes above the limit of their entity's policy. What was given back
of a payment or a balance, or credited of an invoice, without a person adds up, so that no limit is passed in parts. A limit or a rule holds on the
document's day and on the day it is posted: neither a day of its own nor coming late gets a document past it. What was posted before
a policy, a rule or its end arrived stands.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.house import HOUSE, HOUSE_REF
from ledger.amounts.dates import LAST_DAY
from ledger.amounts.money import to_minor, to_text
from ledger.documents import models
from ledger.errors import Refused, UnknownReference
from ledger.journal import currencies
from ledger.journal.books import Books
from ledger.journal.movements import Source
from ledger.letters import look_alike, unseen
from ledger.reports.report import Column, Filters, Report, narrowed
from ledger.wallets.session import Wallets

KINDS = ("refund", "credit_note", "write_off", "manual_entry")
Approvable = models.Refund | models.CreditNote | models.WriteOff | models.ManualEntry

# Whose keys may approve what others post (web/access/keys.py has what else they may).
APPROVING = ("controller", "admin")


def identity(name: str) -> str:
    """A name as it is compared with another: whatever its case, its spacing, and how its letters are written."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join("".join(letter for letter in folded if unicodedata.category(letter) != "Cf").split())


def require_second(books: Books, approved_by: str, entity: str) -> None:
    """Raise Refused where a document's approver is who posts it, or where keys are used, nobody who may approve for an entity."""
    if not identity(approved_by):
        raise Refused("approved_by", approved_by, "expected a name")
    _require_other(approved_by, books.posted_by, "who posts it, ")
    if hidden := unseen(approved_by):
        raise Refused("approved_by", approved_by, f"expected a name of letters that can be seen: not {hidden}")
    rows = books.connection.execute(text("select name, role, entities, revoked_at, expires_on from api_key")).all()
    if not rows:
        return
    # whose key is for other entities alone than those of who posts is nobody to them
    named = [
        row
        for row in rows
        if identity(row.name) == identity(approved_by)
        and (books.entities is None or row.entities is None or books.entities & set(row.entities))
    ]
    today = books.posted_at.date()
    holding = [row for row in named if row.revoked_at is None and row.expires_on >= today]
    approving = [row for row in holding if row.role in APPROVING]
    if not any(row.entities is None or entity in row.entities for row in approving):
        found = (
            "no key has that name" if not named
            else "their key was revoked, or has expired" if not holding
            else f"their key is of the role {holding[0].role}" if not approving
            else "their key is for other entities"
        )  # fmt: skip
        raise Refused(
            "approved_by", approved_by, f"expected the name of a {' or '.join(APPROVING)} of {entity}: {found}"
        )


def _require_other(approved_by: str, other: str, what: str) -> None:
    """Raise Refused for an approver who is somebody, or whose name can be taken for theirs."""
    expected = f"expected somebody else than {what}{other}"
    if identity(approved_by) == identity(other):
        raise Refused("approved_by", approved_by, expected)
    if look_alike(approved_by, other):
        raise Refused("approved_by", approved_by, f"{expected}: the two names look alike")


def approve(
    books: Books,
    source: Source,
    doc: Approvable,
    amount: int,
    invoice_id: int | None = None,
    money: Collection[int] = (),
) -> None:
    """Require what a document needs of approval that comes to an amount with its taxes, and keep the rule that stands for a person.

    `money` are the documents whose money a refund pays out. Raises Refused where it needs a second person and names none, and no rule stands.
    """
    if doc.approved_by is not None:
        require_second(books, doc.approved_by, source.entity)
        return
    limit = None
    if isinstance(doc, models.Refund | models.CreditNote):
        limit = _limit(books, source.entity, doc)
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
    for rule in _rules_of(books.connection, source.entity, doc.type, books.posted_by):
        failed = _not_standing(books, rule, source, doc, total)
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


# What a note's own lines, of no line of an invoice, come to with their taxes; and that it was not taken back.
_OWN_LINES = (
    "coalesce((select sum(l.amount_minor) from credit_line l where l.customer_id = d.customer_id and l.document_id = d.document_id), 0)::bigint"
    " - coalesce((select sum(t.tax_minor) from line_tax t where t.customer_id = d.customer_id and t.document_id = d.document_id"
    "  and t.invoice_id = d.document_id), 0)::bigint"
)
_NOT_VOIDED = (
    "not exists (select from document v where v.customer_id = d.customer_id and v.type = 'credit_note_void'"
    " and v.body::json ->> 'credit_note' = d.ref)"
)


def _without_a_person(books: Books, source: Source, doc: Approvable, invoice_id: int | None) -> int:
    """What documents before took of the same invoice, with taxes, that no person approved, less what came back of it since.

    Of notes of no invoice, what they gave to the same customer.
    """
    if isinstance(doc, models.ManualEntry):
        return 0
    of = {"customer_id": source.customer.customer_id, "type": doc.type}
    if invoice_id is None:
        amounts = books.connection.scalars(
            text(
                f"select {_OWN_LINES} from document d"
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
    """Why a document needs a second person, or None where it does not: of refunds and notes, by the limit of a policy."""
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


def _limit(books: Books, entity: str, doc: models.Refund | models.CreditNote) -> tuple[int, str] | None:
    """What an entity's policy lets one person do, with the policy: the least of the document's day and today."""
    currency = books.parties.entity(entity).currency
    rows = books.connection.execute(
        text(
            "select d.ref, d.dated_on, d.body::json ->> :field as above from document_key k"
            " join document d using (customer_id, document_id) where k.type = 'approval_policy'"
            " and d.body::json ->> 'entity' = :entity order by d.dated_on, d.document_id"
        ),
        {"entity": entity, "field": f"{doc.type}_above"},
    ).all()
    limits = []
    for day in (doc.date, books.posted_at.date()):
        in_force = [row for row in rows if row.dated_on <= day][-1:]
        limits += [
            (to_minor(models.decimal_of(row.above), currency), row.ref) for row in in_force if row.above is not None
        ]
    return min(limits, default=None)


@dataclass(frozen=True, slots=True)
class _Rule:
    """An approved rule: the first and the last day on which it stands for a person, and up to how much."""

    ref: str
    first: date
    last: date
    limit: int
    currency: str


def _rules_of(connection: Connection, entity: str, kind: str, source: str) -> Sequence[_Rule]:
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


def _not_standing(books: Books, rule: _Rule, source: Source, doc: Approvable, total: int) -> str | None:
    """What keeps a rule from standing for a document, as words to follow that it stands; None where it does."""
    if doc.date < rule.first:
        return f"from {rule.first} on"
    if max(doc.date, books.posted_at.date()) > rule.last:
        return f"until {rule.last} only"
    if source.currency != rule.currency:
        rate = currencies.find_rate(books.connection, source.currency, rule.currency, doc.date)
        if rate is None:
            return f"in {rule.currency}, of which there is no rate"
        total = currencies.convert(total, source.currency, rule.currency, rate)
    if total > rule.limit:
        return f"up to {to_text(rule.limit, rule.currency)} {rule.currency}, not for {to_text(total, rule.currency)}"
    return None


def post_approval_policy(wallets: Wallets, doc: models.ApprovalPolicy, _document_id: int) -> int:
    """Take in above which amounts an entity's refunds and credit notes need a second person."""
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
    _require_other(doc.approved_by, doc.source, "the source it is a rule for, ")
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


# What documents of these kinds come to: an invoice's are told by what they took of its lines and taxes, notes by lines of their own, too.
_APPROVALS = f"""
    select d.type, d.ref, d.dated_on, nullif(c.ref, :house) as customer, x.entity, x.currency, d.body::json as body,
           x.amount, d.posted_by, d.posted_at, d.body::json ->> 'approved_by' as approved_by, a.rule,
           r.body::json ->> 'approved_by' as rule_by
    from document_key k join document d using (customer_id, document_id) join customer c using (customer_id)
    join lateral (
        select d.body::json ->> 'entity' as entity, d.body::json ->> 'currency' as currency, null::bigint as amount
        where d.type = 'manual_entry'
        union all
        select d.body::json ->> 'entity', d.body::json ->> 'currency', {_OWN_LINES}
        where d.type = 'credit_note' and d.body::json ->> 'invoice' is null
        union all
        (select u.entity, coalesce(d.body::json ->> 'currency', u.paid_currency), null::bigint from money_use u
         -- what it gave back of another customer's invoices, the document beside it says
         where d.type = 'refund' and u.document_id in (d.document_id, (
             select b.document_id from document_key b where b.type = 'beside' and b.ref = 'refund:' || d.ref)) limit 1)
        union all
        select i.entity, i.currency, coalesce((
            select sum(l.amount_minor) from line_change l where l.customer_id = d.customer_id and l.document_id = d.document_id
             and l.invoice_id = i.invoice_id and l.undoes = 0), 0)::bigint - coalesce((
            select sum(t.tax_minor) from line_tax t where t.customer_id = d.customer_id and t.document_id = d.document_id
             and t.invoice_id = i.invoice_id and t.undoes = 0), 0)::bigint + {_OWN_LINES}
        from invoice i where d.type in ('credit_note', 'write_off') and i.customer_id = d.customer_id
         and i.ref = d.body::json ->> 'invoice'
    ) x on true
    left join approval_by_rule a on a.customer_id = d.customer_id and a.document_id = d.document_id
    left join document_key rk on rk.type = 'approval_rule' and rk.ref = a.rule
    left join document r on r.customer_id = rk.customer_id and r.document_id = rk.document_id
    where k.type = any(:kinds) and {{where}} order by d.dated_on, d.document_id"""


def approvals(connection: Connection, filters: Filters) -> Report:
    """Each refund, credit note, write-off and manual entry: who posted it, and who approved it, or which rule stood for them."""
    where, parameters = narrowed(
        filters, since="d.dated_on", as_of="d.dated_on", known_at="d.posted_at", entity="x.entity", customer="c.ref",
        currency="x.currency",
    )  # fmt: skip
    rows = connection.execute(
        text(_APPROVALS.replace("{where}", where)), parameters | {"kinds": list(KINDS), "house": HOUSE_REF}
    )
    columns = (
        Column("date", "Date", "date"), Column("document", "Document"), Column("entity", "Entity"), Column("customer", "Customer"),
        Column("currency", "Currency"), Column("amount", "With taxes", "number"), Column("posted_by", "Posted by"),
        Column("posted_at", "At"), Column("approved_by", "Approved by"), Column("rule", "By rule"),
    )  # fmt: skip
    found = tuple(
        {
            "date": row.dated_on, "document": f"{row.type} {row.ref}", "entity": row.entity, "customer": row.customer or "",
            "currency": row.currency, "amount": to_text(_comes_to(row), row.currency), "posted_by": row.posted_by,
            "posted_at": row.posted_at.isoformat(timespec="seconds"), "approved_by": row.approved_by or row.rule_by or "",
            "rule": row.rule or "",
        }
        for row in rows
    )  # fmt: skip
    return Report("approvals", "Approvals", columns, found, empty="Nothing to show: no documents match.")


def _comes_to(row: Any) -> int:
    """What a document of the report comes to, in minor units."""
    if row.amount is not None:
        return int(row.amount)
    amounts = [line["amount"] for line in row.body["lines"]] if row.type == "manual_entry" else [row.body["amount"]]
    return sum(to_minor(models.decimal_of(amount), row.currency) for amount in amounts)
