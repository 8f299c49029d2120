"""Sheets of a workbook: their formats and columns, and a report as one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, Any

import xlsxwriter
from xlsxwriter.utility import xl_col_to_name

from adapters.files.streamed_sheet import TEXT_MAX
from ledger.amounts.money import exponent, to_decimal
from ledger.errors import Refused
from ledger.reports.report import Report

ROWS_MAX = 1_048_576 - 1  # Excel's rows, less the heading: a journal of more goes on in another sheet
_REPORT_ROWS_MAX = ROWS_MAX
_SHEET_NAME_MAX = 31


def _amount_format(currency: str) -> str:
    places = "0" * exponent(currency)
    number = f"#,##0.{places}" if places else "#,##0"
    return f"{number};[Red]-{number};{number}"


@dataclass(slots=True)
class Book:
    """A workbook under construction with the formats its sheets share."""

    file: Any
    currency: str
    formats: dict[tuple[str, int], Any] = field(default_factory=dict)

    def format(self, name: str, currency: str = "") -> Any:
        """A style; amounts with the places of a currency, the book's own by default."""
        currency = currency or self.currency
        key = (name, exponent(currency))
        if key not in self.formats:
            base: dict[str, Any] = {"font_name": "Calibri", "font_size": 10, "valign": "top"}
            styles: dict[str, dict[str, Any]] = {
                "text": {"num_format": "@"},
                "title": {"bold": True, "font_size": 16},
                "label": {"font_color": "#57606A"},
                "head": {"bold": True, "bg_color": "#E8F1EC", "bottom": 1, "text_wrap": True},
                "head_right": {"bold": True, "bg_color": "#E8F1EC", "bottom": 1, "align": "right"},
                "date": {"num_format": "yyyy-mm-dd", "align": "left"},
                "amount": {"num_format": _amount_format(currency)},
                "total": {"num_format": _amount_format(currency), "bold": True, "top": 1},
                "total_text": {"bold": True, "top": 1},
                "number": {"num_format": "0"},
                "decimal": {"num_format": "0.############"},
                "pass": {"bold": True, "font_color": "#0B6E4F", "align": "center"},
                "head_center": {"bold": True, "bg_color": "#E8F1EC", "bottom": 1, "align": "center"},
                "link": {"font_color": "#0B6E4F", "underline": 1},
            }
            self.formats[key] = self.file.add_format(base | styles[name])
        return self.formats[key]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a sheet: its heading, its width in letters, and what it holds."""

    title: str
    width: int
    kind: str = "text"


def _write_cell(book: Book, sheet: Any, row: int, column: int, kind: str, value: Any, currency: str) -> None:
    if value is None:
        return
    if kind == "amount":
        sheet.write_number(row, column, to_decimal(value, currency), book.format("amount", currency))
    elif kind == "number":
        _write_number(book, sheet, row, column, value)
    elif kind == "date":
        sheet.write_datetime(row, column, value, book.format("date"))
    else:
        # write_string never makes a formula or a link of what a document says.
        sheet.write_string(row, column, str(value)[:TEXT_MAX], book.format("text"))


def _write_number(book: Book, sheet: Any, row: int, column: int, value: Any) -> None:
    """A count, a share or a price, which reports give as numbers or as text."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        sheet.write_string(row, column, str(value)[:TEXT_MAX], book.format("text"))
        return
    whole = number == number.to_integral_value()
    sheet.write_number(row, column, number, book.format("number" if whole else "decimal"))


def add_sheet(
    book: Book, name: str, columns: tuple[Column, ...], *, wide: bool = True, kind: type | None = None
) -> Any:
    """A sheet with its heading, frozen and set to be printed."""
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


# The column that says what an amount counts for in the entity's currency.
COUNTS = "functional"


def add_report(book: Book, name: str, report: Report) -> tuple[str, int]:
    """A report as a sheet, amounts totalled by formulas; returns its name and number of rows. Raises Refused where a sheet can't hold it."""
    _require_fits(report)
    columns = tuple(
        Column(c.title, 14 if c.kind in ("amount", "date", "number") else 20, c.kind) for c in report.columns
    )
    sheet = add_sheet(book, name, columns)
    for row, values in enumerate(report.rows, 1):
        for index, column in enumerate(report.columns):
            currency = book.currency if column.key == COUNTS else values["currency"]
            _write_cell(book, sheet, row, index, column.kind, values.get(column.key), currency)
    last = len(report.rows) + 1
    if report.rows:
        sheet.autofilter(0, 0, last - 1, len(columns) - 1)
        for offset, totals in enumerate(report.totals):
            _write_totals(book, sheet, last + offset, report, totals)
        if any(column.key == COUNTS for column in report.columns):
            _write_counted_total(book, sheet, last + len(report.totals), report)
    return name, len(report.rows)


def _require_fits(report: Report) -> None:
    """Raise Refused where a sheet can't hold a report: what is beyond its last row would be gone without a word."""
    below = len(report.totals) + 1  # rows of totals
    if len(report.rows) + below > _REPORT_ROWS_MAX:
        raise Refused(
            "report", f"{report.name} of {len(report.rows):,} rows",
            f"expected at most {_REPORT_ROWS_MAX - below:,}, which a sheet holds: ask for less of it, or for CSV",
        )  # fmt: skip


def _write_totals(book: Book, sheet: Any, row: int, report: Report, totals: Mapping[str, Any]) -> None:
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
                letter = xl_col_to_name(index)
                formula = f"=ROUND(SUM({letter}2:{letter}{last}),{exponent(totals['currency'])})"
                sheet.write_formula(row, index, formula, book.format("total"), total)
            else:
                sheet.write_number(row, index, total, book.format("total"))


def _write_counted_total(book: Book, sheet: Any, row: int, report: Report) -> None:
    """The total of what amounts count for, whatever currencies they are in."""
    index = [column.key for column in report.columns].index(COUNTS)
    letter, last = xl_col_to_name(index), len(report.rows) + 1
    total = sum((to_decimal(values[COUNTS], book.currency) for values in report.rows), Decimal(0))
    sheet.write_string(row, 0, f"Total in {book.currency}", book.format("total_text"))
    formula = f"=ROUND(SUM({letter}2:{letter}{last}),{exponent(book.currency)})"
    sheet.write_formula(row, index, formula, book.format("total"), total)


def write_report(report: Report, output: Path | IO[bytes]) -> None:
    """One report as a workbook of one sheet, written row by row. Raises Refused where a sheet can't hold it."""
    _require_fits(report)
    if isinstance(output, Path):
        with output.open("wb") as file:
            write_report(report, file)
        return
    currency = next((row["currency"] for row in report.rows), "USD")
    with xlsxwriter.Workbook(output, {"strings_to_formulas": False, "constant_memory": True}) as book:
        add_report(Book(book, currency), report.title[:_SHEET_NAME_MAX], report)
