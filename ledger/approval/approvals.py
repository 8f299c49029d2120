"""The report of approvals: who posted each document, and who approved it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.house import HOUSE_REF
from ledger.amounts.money import to_minor, to_text
from ledger.approval import given_away
from ledger.approval.approvable import KINDS
from ledger.documents import models
from ledger.reports.report import Column, Filters, Report, narrowed

# What documents of these kinds come to: of an invoice's corrections what they took of its lines and taxes, of notes lines of their own, too,
# of invoices their lines below zero, of grants what is not paid for.
_APPROVALS = f"""
    select d.type, d.ref, d.dated_on, nullif(c.ref, :house) as customer, x.entity, x.currency, d.body::json as body,
           x.amount, d.posted_by, d.posted_at, d.body::json ->> 'approved_by' as approved_by, a.rule,
           r.body::json ->> 'approved_by' as rule_by
    from document_key k join document d using (customer_id, document_id) join customer c using (customer_id)
    join lateral (
        select d.body::json ->> 'entity' as entity, d.body::json ->> 'currency' as currency, null::bigint as amount
        where d.type = 'manual_entry' or d.type = 'customer_credit' and d.body::json ->> 'takes_back' is null
        union all
        select i.entity, i.currency, {given_away.LINES_BELOW} from invoice i
        where d.type = 'invoice' and i.customer_id = d.customer_id and i.invoice_id = d.document_id and i.master is null
          and exists (select from invoice_line l where l.customer_id = i.customer_id and l.invoice_id = i.invoice_id and l.amount_minor < 0)
        union all
        select g.entity, g.currency, {given_away.FOR_NOTHING} from credit_grant g {given_away.CARRIED}
        where d.type = 'grant' and g.customer_id = d.customer_id and g.grant_id = d.document_id and g.kind <> 'commitment'
          and {given_away.FOR_NOTHING} > 0
        union all
        select t.entity, t.currency, null::bigint from contract t
        where d.type = 'consideration_payable' and t.customer_id = d.customer_id and t.ref = d.body::json ->> 'contract'
        union all
        select d.body::json ->> 'entity', d.body::json ->> 'currency', {given_away.OWN_LINES}
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
             and t.invoice_id = i.invoice_id and t.undoes = 0), 0)::bigint + {given_away.OWN_LINES}
        from invoice i where d.type in ('credit_note', 'write_off') and i.customer_id = d.customer_id
         and i.ref = d.body::json ->> 'invoice'
    ) x on true
    left join approval_by_rule a on a.customer_id = d.customer_id and a.document_id = d.document_id
    left join document_key rk on rk.type = 'approval_rule' and rk.ref = a.rule
    left join document r on r.customer_id = rk.customer_id and r.document_id = rk.document_id
    where k.type = any(:kinds) and {{where}} order by d.dated_on, d.document_id"""


def approvals(connection: Connection, filters: Filters) -> Report:
    """Each document that needs approval: who posted it, and who approved it.

    Refunds, write-offs, manual entries, and what gave a customer something for nothing; or which rule stood for a person.
    """
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
