"""The report of taxes: tax and its base by month, code and treatment."""

from __future__ import annotations

from sqlalchemy import Connection, text

from ledger.reports.report import Column, Filters, Report, narrowed


def tax(connection: Connection, filters: Filters) -> Report:
    """Tax and the base it applied to, by month, code and treatment; ties to tax payable.

    Bases of exempt and reverse-charge lines show with a tax of 0.
    """
    clause, parameters = narrowed(
        filters, since="e.effective_on", as_of="e.effective_on", known_at="e.posted_at", entity="w.entity", customer="c.ref",
        currency="w.currency",
    )  # fmt: skip
    rows = connection.execute(
        text(
            "select to_char(e.effective_on, 'YYYY-MM') as month, w.entity, t.tax_code, t.treatment, w.currency,"
            " sum(t.base_minor)::bigint as base, sum(t.tax_minor)::bigint as tax "
            "from line_tax t join (select customer_id, invoice_id, entity, currency from invoice"
            # a credit of no line is of its note
            " union select customer_id, document_id, entity, currency from credit_line) w using (customer_id, invoice_id) "
            "join customer c using (customer_id) "
            "join lateral (select min(effective_on) as effective_on, min(posted_at) as posted_at from entry"
            "  where entry.customer_id = t.customer_id and entry.document_id = t.document_id) e on true "
            f"where {clause} group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5"
        ),
        parameters,
    )
    found = tuple(
        {
            "month": row.month,
            "entity": row.entity,
            "code": row.tax_code,
            "treatment": row.treatment,
            "currency": row.currency,
            "base": row.base,
            "tax": row.tax,
        }
        for row in rows
    )
    columns = (
        Column("month", "Month"),
        Column("entity", "Entity"),
        Column("code", "Tax code"),
        Column("treatment", "Treatment"),
        Column("currency", "Currency"),
        Column("base", "Base", "amount"),
        Column("tax", "Tax", "amount"),
    )
    return Report("tax", "Taxes", columns, found)
