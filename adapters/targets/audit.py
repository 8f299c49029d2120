"""The general ledger for auditors, as the AICPA's Audit Data Standard names its fields (GL_Detail, July 2015).

The field names are those that implementers of the standard use; where they differ from the standard's own text, which its licence
keeps from being shipped, the text holds. One line a side of a posting, fields separated by a bar, amounts signed: debit above zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from adapters.files.forms import plain, read_table, sum_by_account, write_table
from ledger.amounts.money import to_decimal
from ledger.approval.approvable import KINDS
from ledger.errors import Refused
from ledger.journal.references import CALLED, said
from ledger.reports.report import Filters, narrowed
from ledger.reports.trial_balance import gl_account_sql

_FIELDS = (
    "Journal_ID", "Journal_ID_Line_Number", "JE_Header_Description", "JE_Line_Description", "Source", "Business_Unit_Code",
    "Effective_Date", "Entered_Date", "Entered_Time", "Fiscal_Year", "Accounting_Period", "GL_Account_Number", "Amount",
    "Amount_Credit_Debit_Indicator", "Amount_Currency", "Functional_Amount", "Entered_By", "Approved_By", "Segment01", "Segment02",
)  # fmt: skip
_SOURCE_MAX = 25
_CODE, _TITLE, _GL_JOINS = gl_account_sql("l")
_LINES = f"""
    with approver as materialized (
        select customer_id, document_id, body::json ->> 'approved_by' as name from document
        where type = any(:approved) and body like '%"approved_by"%'
    )
    select l.entry_id, l.line, l.side, l.effective_on, l.posted_at, l.posted_by, l.rule, l.entity, l.role, l.currency, l.subject, l.product,
           l.amount, l.functional_amount, n.currency as functional_currency, n.fiscal_year_start, c.ref as customer,
           {_CODE} as code, {_TITLE} as account, d.type, d.ref,
           o.rule as approval_rule, p.name as approved_by, {CALLED} as called
    from journal_line l
    join entity n using (entity)
    join customer c using (customer_id)
    {_GL_JOINS}
    join document d on d.document_id = l.document_id and d.customer_id in (l.customer_id, 0)
    left join approval_by_rule o on o.customer_id = d.customer_id and o.document_id = d.document_id
    left join approver p on p.customer_id = d.customer_id and p.document_id = d.document_id
    where r.kind <> 'memorandum' and {{where}}
    order by l.entry_id, l.line, l.side desc"""


def write(connection: Connection, path: Path, filters: Filters) -> str:
    """Write the general ledger's detail; returns what was written. Raises Refused where nothing is posted."""
    where, parameters = narrowed(filters, since="l.effective_on", as_of="l.effective_on", entity="l.entity")
    rows = connection.execute(
        text(_LINES.replace("{where}", where)),
        parameters | {"approved": list(KINDS)},
        execution_options={"stream_results": True, "max_row_buffer": 5_000},
    )
    count = write_table(path, _FIELDS, _cells(rows), delimiter="|")
    if not count:
        raise Refused("export", "audit-gl", "expected postings to export; none match")
    return f"{count:,} journal lines"


def _cells(rows: Any) -> Iterator[list[str]]:
    entry = number = 0
    for row in rows:
        number = number + 1 if row.entry_id == entry else 1
        entry = row.entry_id
        sign = 1 if row.side == "debit" else -1
        year, period = _fiscal(row.effective_on, row.fiscal_year_start)
        rule = f"approval_rule {row.approval_rule}" if row.approval_rule else ""
        approved = rule or row.approved_by or ""
        about = f"{row.account}, {row.subject}" if row.subject else row.account
        yield [
            str(row.entry_id), str(number), plain(", ".join([f"{row.type} {row.ref}", *said(row.called or {})])), plain(about), plain(row.rule)[:_SOURCE_MAX], plain(row.entity),
            row.effective_on.isoformat(), row.posted_at.strftime("%Y-%m-%d"), row.posted_at.strftime("%H:%M:%S"), str(year), str(period),
            plain(row.code), str(sign * to_decimal(row.amount, row.currency)), "D" if sign > 0 else "C", row.currency,
            str(sign * to_decimal(row.functional_amount, row.functional_currency)), plain(row.posted_by), plain(approved),
            plain(row.customer), plain(row.product),
        ]  # fmt: skip


def _fiscal(day: date, start: int) -> tuple[int, int]:
    """(fiscal year, its month) of a day: a year is named after the one it ends in."""
    begun = day.month >= start
    year = day.year + (1 if start > 1 and begun else 0)
    return year, (day.month - start) % 12 + 1


def totals(path: Path) -> dict[str, Decimal]:
    """Debit less credit by account code in the entity's currency, as the file says."""
    return sum_by_account(
        (row["GL_Account_Number"], Decimal(row["Functional_Amount"])) for row in read_table(path, delimiter="|")
    )
