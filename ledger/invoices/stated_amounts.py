"""What documents state otherwise than it comes to here: amounts as another system rounds them, taxes as it works them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from ledger.reports.report import Column, Filters, Report, narrowed

_STATED = """
    select l.customer_id, l.invoice_id as document_id, i.entity, i.currency, l.line, 'amount' as what, l.computed_minor as computed,
           l.amount_minor + coalesce((select sum(t.tax_minor) from line_tax t where t.customer_id = l.customer_id and t.line = l.line
                                      and t.document_id = l.invoice_id and t.invoice_id = l.invoice_id and t.included), 0)::bigint as stated
    from invoice_line l join invoice i using (customer_id, invoice_id) where l.computed_minor is not null
    union all
    select t.customer_id, t.document_id, w.entity, w.currency, t.line, t.tax_code, t.computed_minor, t.tax_minor
    from line_tax t join (select customer_id, invoice_id, entity, currency from invoice
                          union select customer_id, document_id, entity, currency from credit_line) w using (customer_id, invoice_id)
    where t.computed_minor is not null and t.document_id = t.invoice_id and t.undoes = 0"""


def of_document(connection: Connection, customer_id: int, document_id: int) -> Sequence[Any]:
    """What a document states of its lines that comes to something else here: line, what, stated, computed, currency."""
    return connection.execute(
        text(
            f"select line, what, stated, computed, currency from ({_STATED}) s where customer_id = :customer_id"
            " and document_id = :document_id and stated <> computed order by line, what <> 'amount', what"
        ),
        {"customer_id": customer_id, "document_id": document_id},
    ).all()


def differences(connection: Connection, filters: Filters) -> Report:
    """Each line of a document whose amount, or a tax of it, is stated otherwise than it comes to here, with both figures."""
    clause, parameters = narrowed(
        filters,
        since="d.dated_on",
        as_of="d.dated_on",
        known_at="d.posted_at",
        entity="s.entity",
        customer="c.ref",
        currency="s.currency",
    )
    rows = connection.execute(
        text(
            f"select d.dated_on as date, d.type || ' ' || d.ref as document, c.ref as customer, s.entity, s.line, s.what, s.currency,"
            f" s.stated, s.computed, s.stated - s.computed as difference from ({_STATED}) s"
            f" join document d using (customer_id, document_id) join customer c using (customer_id)"
            f" where s.stated <> s.computed and {clause} order by d.dated_on, d.document_id, s.line, s.what <> 'amount', s.what"
        ),
        parameters,
    )
    found = tuple(dict(row._mapping) for row in rows)
    columns = (
        Column("date", "Date", "date"),
        Column("document", "Document"),
        Column("customer", "Customer"),
        Column("entity", "Entity"),
        Column("line", "Line"),
        Column("what", "Amount or tax"),
        Column("currency", "Currency"),
        Column("stated", "Stated", "amount"),
        Column("computed", "Worked out", "amount"),
        Column("difference", "Difference", "amount"),
    )
    totals = tuple(
        {"document": "Total", "currency": currency, "difference": sum(row["difference"] for row in found if row["currency"] == currency)}
        for currency in sorted({row["currency"] for row in found})
    )  # fmt: skip
    return Report(
        "differences", "Stated otherwise than worked out", columns, found, totals, sums=False,
        empty="Every amount and tax that a document states is what it comes to here.",
    )  # fmt: skip
