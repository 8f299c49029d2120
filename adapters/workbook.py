"""The workbook: the books of one entity for an auditor, every total a live formula over the detail beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Any

import openpyxl
import xlsxwriter
from sqlalchemy import Connection, text

from adapters.sheets import TEXT_MAX, StreamedSheet
from ledger.balances import account_balances
from ledger.dates import month_end
from ledger.errors import Refused
from ledger.money import exponent, to_decimal
from ledger.reports import Filters, Report, ar_aging, last_day, wallet
from revrec.waterfall import REVENUE_ROLES, waterfall

ROWS_MAX = 1_048_576 - 1  # Excel's rows, less the heading
_SHEET_NAME_MAX = 31


def _amount_format(currency: str) -> str:
    places = "0" * exponent(currency)
    number = f"#,##0.{places}" if places else "#,##0"
    return f"{number};[Red]-{number};{number}"


@dataclass(slots=True)
class _Book:
    """A workbook under construction with the formats its sheets share."""

    file: Any
    currency: str
    formats: dict[str, Any] = field(default_factory=dict)

    def format(self, name: str) -> Any:
        if name not in self.formats:
            base: dict[str, Any] = {"font_name": "Calibri", "font_size": 10, "valign": "top"}
            styles: dict[str, dict[str, Any]] = {
                "text": {"num_format": "@"},
                "title": {"bold": True, "font_size": 16},
                "label": {"font_color": "#57606A"},
                "head": {"bold": True, "bg_color": "#E8F1EC", "bottom": 1, "text_wrap": True},
                "head_right": {"bold": True, "bg_color": "#E8F1EC", "bottom": 1, "align": "right"},
                "date": {"num_format": "yyyy-mm-dd", "align": "left"},
                "amount": {"num_format": _amount_format(self.currency)},
                "total": {"num_format": _amount_format(self.currency), "bold": True, "top": 1},
                "total_text": {"bold": True, "top": 1},
                "number": {"num_format": "0"},
                "pass": {"bold": True, "font_color": "#0B6E4F"},
                "link": {"font_color": "#0B6E4F", "underline": 1},
            }
            self.formats[name] = self.file.add_format(base | styles[name])
        return self.formats[name]


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    width: int
    kind: str = "text"


def _write_cell(book: _Book, sheet: Any, row: int, column: int, kind: str, value: Any, currency: str) -> None:
    if value is None:
        return
    if kind == "amount":
        sheet.write_number(row, column, to_decimal(value, currency), book.format("amount"))
    elif kind == "number":
        sheet.write_number(row, column, value, book.format("number"))
    elif kind == "date":
        sheet.write_datetime(row, column, value, book.format("date"))
    else:
        # write_string never makes a formula or a link of what a document says.
        sheet.write_string(row, column, str(value)[:TEXT_MAX], book.format("text"))


def _sheet(book: _Book, name: str, columns: tuple[_Column, ...], *, wide: bool = True, kind: type | None = None) -> Any:
    sheet = book.file.add_worksheet(name, kind)
    for index, column in enumerate(columns):
        sheet.set_column(index, index, column.width)
        right = column.kind in ("amount", "number")
        sheet.write_string(0, index, column.title, book.format("head_right" if right else "head"))
    sheet.freeze_panes(1, 0)
    sheet.repeat_rows(0)
    if wide:
        sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    sheet.set_paper(9)
    sheet.set_footer("&L&F, &A&RPage &P of &N")
    return sheet


_LINES = (
    _Column("Entry", 9, "number"),
    _Column("Line", 6, "number"),
    _Column("Effective", 11, "date"),
    _Column("Code", 8),
    _Column("Account", 34),
    _Column("Debit", 15, "amount"),
    _Column("Credit", 15, "amount"),
    _Column("Net", 15, "amount"),
    _Column("Customer", 18),
    _Column("Subject", 26),
    _Column("Product", 14),
    _Column("Currency", 9),
    _Column("Rule", 24),
    _Column("Document", 34),
    _Column("Occurred", 11, "date"),
    _Column("Posted at (UTC)", 19),
    _Column("Posted by", 14),
    _Column("Reverses", 9, "number"),
)

_LINES_SQL = """
    select l.entry_id, l.line, l.effective_on, coalesce(gp.code, g.code, r.code), coalesce(gp.name, g.name, r.title),
           case when l.side = 'debit' and l.functional_amount > 0 then l.functional_amount end,
           case when l.side = 'credit' and l.functional_amount > 0 then l.functional_amount end,
           case l.side when 'debit' then l.functional_amount else -l.functional_amount end,
           c.ref, l.subject, nullif(l.product, ''), l.currency, l.rule, d.type || ':' || d.ref, l.occurred_on,
           to_char(l.posted_at, 'YYYY-MM-DD HH24:MI:SS'), l.posted_by, l.reverses
    from journal_line l
    join role r on r.name = l.role
    join customer c on c.customer_id = l.customer_id
    join document d on d.document_id = l.document_id and d.customer_id in (l.customer_id, 0)
    left join gl_account g on g.entity = l.entity and g.role = l.role and g.product = ''
    left join gl_account gp on gp.entity = l.entity and gp.role = l.role and gp.product = l.product
         and l.product <> ''
    where l.entity = :entity and r.kind <> 'memorandum'
      and (cast(:since as date) is null or l.effective_on >= :since)
      and (cast(:as_of as date) is null or l.effective_on <= :as_of)
    order by l.effective_on, l.entry_id, l.line, l.side desc
"""


def _lines(connection: Connection, filters: Filters) -> Iterator[Any]:
    """The journal's lines, with the columns of `_LINES`, a few thousand at a time."""
    parameters = {"entity": filters.entity, "since": filters.since, "as_of": filters.as_of}
    yield from connection.execute(text(_LINES_SQL), parameters, execution_options={"yield_per": 5_000})


def _write_lines(book: _Book, connection: Connection, filters: Filters) -> list[tuple[str, int]]:
    """The journal, one debit or credit a row, over as many sheets as it needs; returns (sheet, rows) of each."""
    written: list[tuple[str, int]] = []
    kinds = [column.kind for column in _LINES]
    formats = [book.format(kind) for kind in kinds]
    lines = _lines(connection, filters)
    while (first := next(lines, None)) is not None:
        name = f"Journal {len(written) + 1}" if written else "Journal"
        sheet = _sheet(book, name, _LINES, kind=StreamedSheet)
        rows = sheet.stream(chain([first], islice(lines, ROWS_MAX - 1)), kinds, exponent(book.currency), formats)
        sheet.autofilter(0, 0, rows, len(_LINES) - 1)
        written.append((name, rows))
    return written


def _over_journal(written: list[tuple[str, int]], template: str) -> str:
    """A formula over every journal sheet: `{code}` and `{net}` stand for its columns."""
    parts = [
        template.format(
            debit=f"'{name}'!$F$2:$F${rows + 1}", credit=f"'{name}'!$G$2:$G${rows + 1}",
            code=f"'{name}'!$D$2:$D${rows + 1}", net=f"'{name}'!$H$2:$H${rows + 1}",
        )
        for name, rows in written
    ]  # fmt: skip
    return "+".join(parts) or "0"


_TRIAL = (
    _Column("Code", 8),
    _Column("Account", 40),
    _Column("Role", 24),
    _Column("Debit", 16, "amount"),
    _Column("Credit", 16, "amount"),
    _Column("Balance", 16, "amount"),
    _Column("Journal", 16, "amount"),
    _Column("Difference", 14, "amount"),
)


def _write_trial_balance(
    book: _Book, sheet: Any, connection: Connection, filters: Filters, written: list[tuple[str, int]]
) -> dict[str, int]:
    """The trial balance, each balance beside the sum of its journal lines; returns the row of each role's account."""
    amount = book.format("amount")
    balances = [b for b in account_balances(connection, filters) if b.net]
    rows: dict[str, int] = {}
    for row, balance in enumerate(balances, 1):
        for column, value in enumerate((balance.code, balance.title, balance.role)):
            sheet.write_string(row, column, value, book.format("text"))
        excel = row + 1
        net = to_decimal(balance.net, balance.currency)
        sheet.write_number(row, 5, net, amount)
        sheet.write_formula(row, 3, f"=MAX(F{excel},0)", amount, max(net, Decimal(0)))
        sheet.write_formula(row, 4, f"=MAX(-F{excel},0)", amount, max(-net, Decimal(0)))
        summed = _over_journal(written, f"SUMIFS({{net}},{{code}},A{excel})")
        sheet.write_formula(row, 6, f"={summed}", amount, net)
        sheet.write_formula(row, 7, f"=ROUND(F{excel}-G{excel},{exponent(book.currency)})", amount, 0)
        rows.setdefault(balance.role, row)
    last = len(balances) + 1
    sheet.write_string(last, 1, "Total", book.format("total_text"))
    debits = sum((to_decimal(b.net, b.currency) for b in balances if b.net > 0), Decimal(0))
    for column, total in ((3, debits), (4, debits), (5, Decimal(0)), (6, Decimal(0)), (7, Decimal(0))):
        letter = "ABCDEFGH"[column]
        sheet.write_formula(
            last,
            column,
            f"=ROUND(SUM({letter}2:{letter}{last}),{exponent(book.currency)})",
            book.format("total"),
            total,
        )
    sheet.autofilter(0, 0, max(last - 1, 1), len(_TRIAL) - 1)
    return rows | {"": last}


def _write_report(book: _Book, name: str, report: Report) -> tuple[str, int]:
    """A report as a sheet, amounts totalled by formulas; returns its name and number of rows."""
    columns = tuple(
        _Column(c.title, 14 if c.kind in ("amount", "date", "number") else 20, c.kind) for c in report.columns
    )
    sheet = _sheet(book, name, columns)
    for row, values in enumerate(report.rows, 1):
        for index, column in enumerate(report.columns):
            _write_cell(book, sheet, row, index, column.kind, values.get(column.key), values["currency"])
    last = len(report.rows) + 1
    if report.rows:
        sheet.autofilter(0, 0, last - 1, len(columns) - 1)
        for offset, totals in enumerate(report.totals):
            _write_totals(book, sheet, last + offset, report, totals)
    return name, len(report.rows)


def _write_totals(book: _Book, sheet: Any, row: int, report: Report, totals: Mapping[str, Any]) -> None:
    """A row of totals: formulas where it is the one sum of all rows, else what the report says."""
    last = len(report.rows) + 1
    for index, column in enumerate(report.columns):
        value = totals.get(column.key)
        if column.kind != "amount":
            text_ = value if isinstance(value, str) else ("Total" if index == 0 else "")
            sheet.write_string(row, index, text_, book.format("total_text"))
        elif value is not None:
            total = to_decimal(value, totals["currency"])
            if report.sums and len(report.totals) == 1:
                letter = chr(ord("A") + index)
                formula = f"=ROUND(SUM({letter}2:{letter}{last}),{exponent(totals['currency'])})"
                sheet.write_formula(row, index, formula, book.format("total"), total)
            else:
                sheet.write_number(row, index, total, book.format("total"))


def _sum_of(report: Report, sheet: str, key: str) -> str:
    """A formula for the total of one of a report's columns."""
    index = [column.key for column in report.columns].index(key)
    letter = chr(ord("A") + index)
    return f"SUM('{sheet}'!{letter}2:{letter}{len(report.rows) + 1})" if report.rows else "0"


def write(connection: Connection, path: Path, filters: Filters) -> str:
    """Write an entity's workbook: cover, checks, trial balance, journal, waterfall, wallets, receivables.

    Returns what was written in a few words. Raises Refused in books without postings.
    """
    entity = connection.execute(
        text("select entity, name, currency from entity where entity = :entity"), {"entity": filters.entity}
    ).one()
    with xlsxwriter.Workbook(str(path), {"constant_memory": False, "strings_to_formulas": False}) as file:
        book = _Book(file, entity.currency)
        cover, checks = file.add_worksheet("Cover"), file.add_worksheet("Checks")
        as_of = filters.as_of or month_end(last_day(connection))
        aging = ar_aging(connection, filters)
        wallets = wallet(connection, filters)
        revenue = waterfall(connection, filters)
        trial_balance = _sheet(book, "Trial balance", _TRIAL)
        written = _write_lines(book, connection, filters)
        if not written:
            raise Refused("export", "workbook", "expected postings to export; none match")
        rows = _write_trial_balance(book, trial_balance, connection, filters, written)
        _write_report(book, "Revenue waterfall", revenue)
        _write_report(book, "Wallets", wallets)
        _write_report(book, "Receivables", aging)
        ties = [
            ("Debits equal credits over the journal", _over_journal(written, "SUM({debit})-SUM({credit})")),
            ("Trial balance sums to zero", f"'Trial balance'!F{rows[''] + 1}"),
            ("Every account equals its journal lines", f"SUMPRODUCT(ABS('Trial balance'!H2:H{rows['']}))"),
            (
                "Receivables by age equal accounts receivable",
                f"{_sum_of(aging, 'Receivables', 'due')}-{_balance(rows, 'accounts_receivable')}",
            ),
            (
                "Wallets' liability equals customer credits",
                f"{_sum_of(wallets, 'Wallets', 'liability')}+{_balance(rows, 'customer_credits')}",
            ),
        ]
        if filters.since is None:
            ties.append(
                (
                    "Recognised in the waterfall equals revenue",
                    "+".join(
                        [
                            # its rows alone: totals by status stand below them
                            (
                                f"SUMIFS('Revenue waterfall'!E2:E{len(revenue.rows) + 1},"
                                f"'Revenue waterfall'!C2:C{len(revenue.rows) + 1},\"recognised\")"
                            ),
                            *(_balance(rows, role) for role in REVENUE_ROLES),
                        ]
                    ),
                )
            )
        _write_checks(book, checks, ties)
        _write_cover(book, cover, entity, filters, as_of, written, len(ties))
        cover.activate()
    lines = sum(count for _, count in written)
    return f"{lines:,} journal lines, {len(ties)} checks"


def _balance(rows: dict[str, int], role: str) -> str:
    return f"SUMIFS('Trial balance'!F:F,'Trial balance'!C:C,\"{role}\")" if role in rows else "0"


def _write_checks(book: _Book, sheet: Any, ties: list[tuple[str, str]]) -> None:
    sheet.set_column(0, 0, 52)
    sheet.set_column(1, 2, 16)
    for column, title in enumerate(("Check", "Difference", "Result")):
        sheet.write_string(0, column, title, book.format("head_right" if column == 1 else "head"))
    places = exponent(book.currency)
    for row, (sentence, formula) in enumerate(ties, 1):
        sheet.write_string(row, 0, sentence, book.format("text"))
        sheet.write_formula(row, 1, f"=ROUND({formula},{places})", book.format("amount"), 0)
        sheet.write_formula(row, 2, f'=IF(B{row + 1}=0,"PASS","FAIL")', book.format("pass"), "PASS")
    row = len(ties) + 1
    sheet.write_string(row, 0, "All", book.format("total_text"))
    sheet.write_formula(
        row, 2, f'=IF(COUNTIF(C2:C{row},"PASS")={len(ties)},"PASS","FAIL")', book.format("pass"), "PASS"
    )
    sheet.freeze_panes(1, 0)
    sheet.fit_to_pages(1, 0)


def _write_cover(
    book: _Book,
    sheet: Any,
    entity: Any,
    filters: Filters,
    as_of: date,
    written: list[tuple[str, int]],
    checks: int,
) -> None:
    sheet.hide_gridlines(2)
    sheet.set_column(0, 0, 22)
    sheet.set_column(1, 1, 60)
    sheet.write_string(0, 0, entity.name, book.format("title"))
    split = f", split over {len(written)} sheets" if len(written) > 1 else ""
    facts = (
        ("Entity", entity.entity),
        ("Currency", entity.currency),
        ("From", filters.since.isoformat() if filters.since else "the first entry"),
        ("To", as_of.isoformat()),
        ("Journal lines", f"{sum(rows for _, rows in written):,}{split}"),
        ("Source", "Tickmark: every figure is a sum over the journal lines in this file"),
    )
    for row, (label, value) in enumerate(facts, 2):
        sheet.write_string(row, 0, label, book.format("label"))
        sheet.write_string(row, 1, value, book.format("text"))
    row = len(facts) + 2
    sheet.write_string(row, 0, "Checks", book.format("label"))
    sheet.write_formula(row, 1, f"=Checks!C{checks + 2}", book.format("pass"), "PASS")
    row += 2
    sheet.write_string(row, 0, "Sheets", book.format("label"))
    for name in [s.name for s in book.file.worksheets() if s.name != "Cover"]:
        sheet.write_url(row, 1, f"internal:'{name}'!A1", book.format("link"), name)
        row += 1
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)


def write_report(report: Report, path: Path) -> None:
    """One report as a workbook of one sheet."""
    currency = next((row["currency"] for row in report.rows), "USD")
    with xlsxwriter.Workbook(str(path), {"strings_to_formulas": False}) as file:
        _write_report(_Book(file, currency), report.title[:_SHEET_NAME_MAX], report)


def totals(path: Path) -> dict[str, Decimal]:
    """Debit less credit by account code over the journal sheets, as the file says."""
    with path.open("rb") as file:  # by its content: openpyxl refuses names that do not end in .xlsx
        return _totals(openpyxl.load_workbook(file, read_only=True))


def _totals(book: Any) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    try:
        for sheet in book:
            if not sheet.title.startswith("Journal"):
                continue
            for values in sheet.iter_rows(min_row=2, min_col=4, max_col=8, values_only=True):
                code, net = values[0], values[4]
                # A cell is a binary float; its shortest decimal form is what was written.
                sums[str(code)] = sums.get(str(code), Decimal(0)) + Decimal(repr(net))
    finally:
        book.close()
    return sums
