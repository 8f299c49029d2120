"""A table as it is shown on a page, sorted and filtered as its reader has it, as a workbook: row by row, as much as a sheet holds."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from typing import IO

import xlsxwriter
from flask import Blueprint, Response, request, send_file

from adapters.files.streamed_sheet import TEXT_MAX
from ledger.documents.parse import LINE_BYTES_MAX
from ledger.errors import Refused
from ledger.letters import can_be_kept
from web.access.guard import needs
from web.api.bodies import TooLong, elements
from web.render.wording import file_name

blueprint = Blueprint("shown", __name__)

CELLS_MAX = 1_000_000  # so that no table has more rows than a sheet
COLUMNS_MAX = 16_384  # Excel's own
_SHOWN_IN_REFUSALS = 40
_MEASURED_ROWS = 1_000
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,9})?")
_SHEET_NAME_MAX = 31  # Excel's own
_WIDTH_MAX = 60


@blueprint.post("/tables/xlsx")
@needs("viewer")
def workbook() -> Response:
    """The rows that a page sends of its table, the first of them its header, as a workbook. Raises Refused for what is no table."""
    raw = request.form.get("rows", "").strip()
    name = request.form.get("name", "")[:100] or "table"
    _require_table(raw)
    content = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the answer
    _write(content, _rows(raw), name)
    content.seek(0)
    return send_file(content, as_attachment=True, download_name=f"{file_name(name) or 'table'}.xlsx")


def _require_table(raw: str) -> None:
    """Raise Refused for what is no table, or more of it than a sheet holds: before any of it is written."""
    cells = number = 0
    try:
        for number, row in enumerate(_rows(raw), 1):
            cells += max(len(row), 1)
            if len(row) > COLUMNS_MAX:
                raise Refused("rows", f"{len(row):,} columns", f"expected at most {COLUMNS_MAX:,} in row {number:,}")
            if cells > CELLS_MAX:
                raise Refused(
                    "rows", f"more than {CELLS_MAX:,} cells in {number:,} rows",
                    f"expected at most {CELLS_MAX:,} in a table: filter it, or take the whole report as CSV",
                )  # fmt: skip
            long = next((cell for cell in row if len(cell) > TEXT_MAX), None)
            if long is not None:
                raise Refused(
                    "rows", f"{long[:_SHOWN_IN_REFUSALS]}...", f"expected at most {TEXT_MAX:,} characters in a cell of row {number:,}"
                )  # fmt: skip
    except TooLong as long_row:
        raise Refused(
            "rows", f"row {long_row.number:,}", f"expected at most {LINE_BYTES_MAX:,} characters in a row"
        ) from None
    except (ValueError, RecursionError):
        number = 0
    if not number:
        raise Refused(
            "rows", raw[:_SHOWN_IN_REFUSALS] or "missing", "expected the rows of a table, each a list of texts"
        )


def _rows(raw: str) -> Iterator[list[str]]:
    """The rows, one at a time. Raises ValueError for what is none."""
    if not raw.startswith("["):
        raise ValueError("expected an array")
    for row in elements(raw):
        if not isinstance(row, list) or not all(isinstance(cell, str) for cell in row) or not can_be_kept(row):
            raise ValueError("expected a list of texts")
        yield row


def _write(made: IO[bytes], rows: Iterator[list[str]], name: str) -> None:
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(made, options) as file:
        sheet = file.add_worksheet(re.sub(r"[\[\]:*?/\\']", " ", name)[:_SHEET_NAME_MAX].strip() or "Table")
        head, amounts = file.add_format({"bold": True, "bottom": 1}), {}
        widest: dict[int, int] = {}
        for number, row in enumerate(rows):
            for column, cell in enumerate(row):
                if number < _MEASURED_ROWS:
                    widest[column] = max(widest.get(column, 0), len(cell))
                figure = _NUMBER.fullmatch(cell) if number else None
                if figure is None:
                    sheet.write_string(number, column, cell, head if number == 0 else None)
                    continue
                places = len(cell.partition(".")[2])
                if places not in amounts:
                    amounts[places] = file.add_format({"num_format": "#,##0" + ("." + "0" * places if places else "")})
                sheet.write_number(number, column, float(cell), amounts[places])
        for column, width in widest.items():
            sheet.set_column(column, column, min(width + 3, _WIDTH_MAX))
        sheet.freeze_panes(1, 0)
