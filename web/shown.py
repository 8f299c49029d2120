"""A table as it is shown on a page, sorted and filtered as its reader has it, as a workbook."""

from __future__ import annotations

import io
import json
import re

import xlsxwriter
from flask import Blueprint, Response, request, send_file

from ledger.errors import Refused
from web.guard import needs
from web.wording import file_name

blueprint = Blueprint("shown", __name__)

BYTES_MAX = 16_000_000
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,9})?")
_SHEET_NAME_MAX = 31  # Excel's own
_WIDTH_MAX = 60


@blueprint.post("/tables/xlsx")
@needs("viewer")
def workbook() -> Response:
    """The rows that a page sends of its table, the first of them its header, as a workbook. Raises Refused for what is no table."""
    raw = request.form.get("rows", "")
    if len(raw) > BYTES_MAX:
        raise Refused("rows", "a large table", f"expected at most {BYTES_MAX:,} characters")
    name = request.form.get("name", "")[:100] or "table"
    content = _written(_rows(raw), name)
    return send_file(io.BytesIO(content), as_attachment=True, download_name=f"{file_name(name) or 'table'}.xlsx")


def _rows(raw: str) -> list[list[str]]:
    try:
        rows = json.loads(raw)
    except (ValueError, RecursionError):
        rows = None
    is_table = isinstance(rows, list) and all(
        isinstance(row, list) and all(isinstance(cell, str) for cell in row) for row in rows
    )
    if not is_table or not rows:
        raise Refused("rows", raw[:40] or "missing", "expected the rows of a table, each a list of texts")
    found: list[list[str]] = rows
    return found


def _written(rows: list[list[str]], name: str) -> bytes:
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as file:
        sheet = file.add_worksheet(re.sub(r"[\[\]:*?/\\']", " ", name)[:_SHEET_NAME_MAX].strip() or "Table")
        head, amounts = file.add_format({"bold": True, "bottom": 1}), {}
        for number, row in enumerate(rows):
            for column, cell in enumerate(row):
                figure = _NUMBER.fullmatch(cell) if number else None
                if figure is None:
                    sheet.write_string(number, column, cell, head if number == 0 else None)
                    continue
                places = len(cell.partition(".")[2])
                if places not in amounts:
                    amounts[places] = file.add_format({"num_format": "#,##0" + ("." + "0" * places if places else "")})
                sheet.write_number(number, column, float(cell), amounts[places])
        for column in range(max(len(row) for row in rows)):
            widest = max((len(row[column]) for row in rows[:1_000] if column < len(row)), default=0)
            sheet.set_column(column, column, min(widest + 3, _WIDTH_MAX))
        sheet.freeze_panes(1, 0)
    return made.getvalue()
