"""Flat revenue and invoice data for dedicated revenue tools: a row a journal line and a row an invoice line, nothing to join.

`journal_lines.csv` says of every side of a posting what it is (the rule), when it counts and when it happened, whose, of which contract,
product and obligation it is, and its account, side and amounts; `invoice_lines.csv` what was billed, over which term, with its tax.
The columns are our own, in the terms such tools use: an import maps them.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from adapters.files.forms import plain, read_table, sum_by_account, write_table
from ledger.amounts.dates import TODAY_SQL
from ledger.amounts.money import to_text
from ledger.errors import Refused
from ledger.journal.references import CALLED, external_said
from ledger.reports.report import Filters, narrowed
from ledger.reports.trial_balance import gl_account_sql

_JOURNAL = (
    "id", "data_type", "date", "document_date", "document_type", "document", "customer", "customer_name", "contract", "product",
    "subject", "currency", "account", "account_name", "side", "amount", "functional_currency", "functional_amount", "reference", "external",
)  # fmt: skip
_CODE, _TITLE, _GL_JOINS = gl_account_sql("l")
_JOURNAL_ROWS = f"""
    select l.entry_id, l.line, l.side, l.rule, l.effective_on, l.occurred_on, d.type, d.ref as document, c.ref as customer, c.name,
           coalesce(o.contract, t.contract, '') as contract, coalesce(nullif(l.product, ''), o.product, '') as product, l.subject,
           l.currency, {_CODE} as code, {_TITLE} as account, l.amount,
           n.currency as functional_currency, l.functional_amount, {CALLED} as called
    from journal_line l
    join entity n using (entity)
    join customers_on({TODAY_SQL}) c using (customer_id)
    {_GL_JOINS}
    join document d on d.document_id = l.document_id and d.customer_id in (l.customer_id, 0)
    left join performance_obligation o on o.customer_id = l.customer_id and o.subject = l.subject
    left join credit_grant t on t.customer_id = l.customer_id and l.subject = 'grant:' || t.ref
    where r.kind <> 'memorandum' and {{where}}
    order by l.entry_id, l.line, l.side desc"""

_INVOICES = (
    "invoice", "line", "issued_on", "due_on", "customer", "customer_name", "contract", "kind", "product", "subject", "pattern", "start",
    "end", "currency", "amount", "tax", "voided", "reference", "external",
)  # fmt: skip
_INVOICE_ROWS = f"""
    select i.ref as invoice, l.line, i.issued_on, i.due_on, c.ref as customer, c.name, coalesce(o.contract, g.contract, '') as contract,
           l.kind, coalesce(l.product, '') as product, l.subject, coalesce(l.pattern, '') as pattern, l.starts_on, l.ends_on, i.currency,
           l.amount_minor, coalesce((select sum(t.tax_minor) from line_tax t where t.customer_id = l.customer_id
               and t.invoice_id = l.invoice_id and t.document_id = l.invoice_id and t.line = l.line), 0)::bigint as tax,
           exists (select from line_change h where h.customer_id = l.customer_id and h.invoice_id = l.invoice_id
               and h.kind = 'void') as voided, {CALLED} as called
    from invoice i
    join invoice_line l using (customer_id, invoice_id)
    join customers_on({TODAY_SQL}) c using (customer_id)
    join document d on d.customer_id = i.customer_id and d.document_id = i.invoice_id
    left join performance_obligation o on o.customer_id = l.customer_id and o.subject = l.subject
    left join credit_grant g on g.customer_id = l.customer_id and l.subject = 'grant:' || g.ref
    where {{where}}
    order by i.issued_on, i.ref, l.line"""


def write(connection: Connection, folder: Path, filters: Filters) -> str:
    """Write both files into a folder; returns what was written. Raises Refused where nothing is posted."""
    lines = _written(
        connection, folder / "journal_lines.csv", _JOURNAL, _JOURNAL_ROWS, filters, "l.effective_on", "l.entity"
    )
    if not lines:
        raise Refused("export", "revenue-data", "expected postings to export; none match")
    billed = _written(
        connection, folder / "invoice_lines.csv", _INVOICES, _INVOICE_ROWS, filters, "i.issued_on", "i.entity"
    )
    return f"{lines:,} journal lines, {billed:,} invoice lines"


def _written(
    connection: Connection, path: Path, columns: tuple[str, ...], query: str, filters: Filters, day: str, entity: str
) -> int:
    where, parameters = narrowed(filters, since=day, as_of=day, entity=entity)
    rows = connection.execute(
        text(query.replace("{where}", where)),
        parameters,
        execution_options={"stream_results": True, "max_row_buffer": 5_000},
    )
    return write_table(path, columns, _journal_cells(rows) if columns is _JOURNAL else _invoice_cells(rows))


def _journal_cells(rows: Any) -> Iterator[list[str]]:
    for row in rows:
        yield [
            f"{row.entry_id}-{row.line}-{row.side}", row.rule, row.effective_on.isoformat(), row.occurred_on.isoformat(), row.type,
            *(plain(part) for part in (row.document, row.customer, row.name, row.contract, row.product, row.subject)), row.currency,
            plain(row.code), plain(row.account), row.side, to_text(row.amount, row.currency), row.functional_currency,
            to_text(row.functional_amount, row.functional_currency), *_called(row),
        ]  # fmt: skip


def _called(row: Any) -> list[str]:
    """The reference of a row's document, and its ids in other systems."""
    called = row.called or {}
    return [plain(called.get("reference") or ""), plain(", ".join(external_said(called)))]


def _invoice_cells(rows: Any) -> Iterator[list[str]]:
    for row in rows:
        yield [
            plain(row.invoice), plain(row.line), row.issued_on.isoformat(), row.due_on.isoformat(),
            *(plain(part) for part in (row.customer, row.name, row.contract, row.kind, row.product, row.subject)), row.pattern,
            *("" if day is None else day.isoformat() for day in (row.starts_on, row.ends_on)), row.currency,
            to_text(row.amount_minor, row.currency), to_text(row.tax, row.currency), "yes" if row.voided else "no",
            *_called(row),
        ]  # fmt: skip


def totals(folder: Path) -> dict[str, Decimal]:
    """Debit less credit by account code in the entity's currency, as the file of journal lines says."""
    return sum_by_account(
        (row["account"], Decimal(row["functional_amount"]) * (1 if row["side"] == "debit" else -1))
        for row in read_table(folder / "journal_lines.csv")
    )
