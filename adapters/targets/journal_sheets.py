"""The journal and the trial balance over it, as sheets of a workbook."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from itertools import chain, islice
from typing import Any

from sqlalchemy import Connection, text

from adapters.files.streamed_sheet import StreamedSheet
from adapters.targets import sheets
from adapters.targets.sheets import Book, Column, add_sheet
from ledger.amounts.money import exponent, to_decimal
from ledger.journal.references import CALLED, external_said
from ledger.reports.report import Filters
from ledger.reports.trial_balance import account_balances, gl_account_sql

LINES = (
    Column("Entry", 9, "number"),
    Column("Line", 6, "number"),
    Column("Effective", 11, "date"),
    Column("Code", 8),
    Column("Account", 34),
    Column("Debit", 15, "amount"),
    Column("Credit", 15, "amount"),
    Column("Net", 15, "amount"),
    Column("Customer", 18),
    Column("Subject", 26),
    Column("Product", 14),
    Column("Currency", 9),
    Column("Rule", 24),
    Column("Document", 34),
    Column("Occurred", 11, "date"),
    Column("Posted at (UTC)", 19),
    Column("Posted by", 14),
    Column("Reverses", 9, "number"),
    Column("Reference", 18),
    Column("External ids", 24),
)

_CODE, _TITLE, _GL_JOINS = gl_account_sql("l")
_LINES_SQL = f"""
    select l.entry_id, l.line, l.effective_on, {_CODE}, {_TITLE},
           case when l.side = 'debit' and l.functional_amount > 0 then l.functional_amount end,
           case when l.side = 'credit' and l.functional_amount > 0 then l.functional_amount end,
           case l.side when 'debit' then l.functional_amount else -l.functional_amount end,
           c.ref, l.subject, nullif(l.product, ''), l.currency, l.rule, d.type || ':' || d.ref, l.occurred_on,
           to_char(l.posted_at, 'YYYY-MM-DD HH24:MI:SS'), l.posted_by, l.reverses, {CALLED} as called
    from journal_line l
    {_GL_JOINS}
    join customer c on c.customer_id = l.customer_id
    join document d on d.document_id = l.document_id and d.customer_id in (l.customer_id, 0)
    where l.entity = :entity and r.kind <> 'memorandum'
      and (cast(:since as date) is null or l.effective_on >= :since)
      and (cast(:as_of as date) is null or l.effective_on <= :as_of)
      and (cast(:known_at as timestamptz) is null or l.posted_at <= :known_at)
    order by l.effective_on, l.entry_id, l.line, l.side desc
"""


def lines_of(connection: Connection, filters: Filters) -> Iterator[Any]:
    """The journal's lines, with the columns of `LINES`, a few thousand at a time."""
    parameters = {
        "entity": filters.entity,
        "since": filters.since,
        "as_of": filters.as_of,
        "known_at": filters.known_at,
    }
    for *line, called in connection.execute(text(_LINES_SQL), parameters, execution_options={"yield_per": 5_000}):
        yield *line, (called or {}).get("reference"), ", ".join(external_said(called or {})) or None


@dataclass(slots=True)
class Journal:
    """The journal's sheets as written: (sheet, rows) of each, and where each account's first line is."""

    sheets: list[tuple[str, int]] = field(default_factory=list)
    first: dict[str, tuple[str, int]] = field(default_factory=dict)

    def noting(self, sheet: str, lines: Iterator[Any]) -> Iterator[Any]:
        """Lines as they pass into a sheet."""
        for row, line in enumerate(lines, 2):
            if line[3] not in self.first:
                self.first[line[3]] = sheet, row
            yield line


def write_lines(book: Book, connection: Connection, filters: Filters) -> Journal:
    """The journal, one debit or credit a row, over as many sheets as it needs."""
    journal = Journal()
    written = journal.sheets
    kinds = [column.kind for column in LINES]
    formats = [book.format(kind) for kind in kinds]
    lines = lines_of(connection, filters)
    while (first := next(lines, None)) is not None:
        name = f"Journal {len(written) + 1}" if written else "Journal"
        sheet = add_sheet(book, name, LINES, kind=StreamedSheet)
        rows = sheet.stream(
            journal.noting(name, chain([first], islice(lines, sheets.ROWS_MAX - 1))),
            kinds,
            exponent(book.currency),
            formats,
        )
        sheet.autofilter(0, 0, rows, len(LINES) - 1)
        written.append((name, rows))
    return journal


def over_journal(written: list[tuple[str, int]], template: str) -> str:
    """A formula over every journal sheet: `{code}` and `{net}` stand for its columns."""
    parts = [
        template.format(
            debit=f"'{name}'!$F$2:$F${rows + 1}", credit=f"'{name}'!$G$2:$G${rows + 1}",
            code=f"'{name}'!$D$2:$D${rows + 1}", net=f"'{name}'!$H$2:$H${rows + 1}",
        )
        for name, rows in written
    ]  # fmt: skip
    return "+".join(parts) or "0"


TRIAL = (
    Column("Code", 8),
    Column("Account", 40),
    Column("Role", 22),
    Column("Opening", 15, "amount"),
    Column("Movement", 15, "amount"),
    Column("Closing", 15, "amount"),
    Column("Debit", 15, "amount"),
    Column("Credit", 15, "amount"),
    Column("Journal", 15, "amount"),
    Column("Difference", 13, "amount"),
)


def write_trial_balance(
    book: Book, sheet: Any, connection: Connection, filters: Filters, journal: Journal
) -> dict[str, int]:
    """Each account's opening, movement and closing balance, the movement beside the sum of its journal lines.

    Codes lead to an account's first line. Returns the row of each role's account, and under "" the last one.
    """
    amount = book.format("amount")
    opening = {}
    if filters.since is not None:
        before = replace(filters, since=None, as_of=filters.since - timedelta(days=1))
        opening = {(b.code, b.role): b.net for b in account_balances(connection, before)}
    balances = account_balances(connection, replace(filters, since=None))
    balances = [b for b in balances if b.net or opening.get((b.code, b.role)) or b.code in journal.first]
    rows: dict[str, int] = {}
    for row, balance in enumerate(balances, 1):
        excel = row + 1
        if balance.code in journal.first:
            name, line = journal.first[balance.code]
            sheet.write_url(row, 0, f"internal:'{name}'!D{line}", book.format("link"), balance.code)
        else:
            sheet.write_string(row, 0, balance.code, book.format("text"))
        for column, value in ((1, balance.title), (2, balance.role)):
            sheet.write_string(row, column, value, book.format("text"))
        was = to_decimal(opening.get((balance.code, balance.role), 0), balance.currency)
        net = to_decimal(balance.net, balance.currency)
        sheet.write_number(row, 3, was, amount)
        sheet.write_number(row, 4, net - was, amount)
        sheet.write_formula(row, 5, f"=D{excel}+E{excel}", amount, net)
        sheet.write_formula(row, 6, f"=MAX(F{excel},0)", amount, max(net, Decimal(0)))
        sheet.write_formula(row, 7, f"=MAX(-F{excel},0)", amount, max(-net, Decimal(0)))
        summed = over_journal(journal.sheets, f"SUMIFS({{net}},{{code}},A{excel})")
        sheet.write_formula(row, 8, f"={summed}", amount, net - was)
        sheet.write_formula(row, 9, f"=ROUND(E{excel}-I{excel},{exponent(book.currency)})", amount, 0)
        rows.setdefault(balance.role, row)
    last = len(balances) + 1
    sheet.write_string(last, 1, "Total", book.format("total_text"))
    debits = sum((to_decimal(b.net, b.currency) for b in balances if b.net > 0), Decimal(0))
    for column in range(3, len(TRIAL)):
        letter = "ABCDEFGHIJ"[column]
        formula = f"=ROUND(SUM({letter}2:{letter}{last}),{exponent(book.currency)})"
        sheet.write_formula(last, column, formula, book.format("total"), debits if column in (6, 7) else Decimal(0))
    sheet.autofilter(0, 0, max(last - 1, 1), len(TRIAL) - 1)
    return rows | {"": last}
