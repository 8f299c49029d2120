"""Tables as files: what a sheet can't hold is refused by name before anything is made, and memory stays bounded."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path

import openpyxl
import pytest
from flask.testing import FlaskClient

from adapters.targets import sheets
from ledger.errors import Refused
from ledger.reports.report import Column, Report
from tests.serving import MakeApp
from web.pages import table_to_xlsx
from web.work import reports


@pytest.fixture
def client(make_books_app: MakeApp) -> FlaskClient:
    app = make_books_app(open_as="me")
    app.config["WTF_CSRF_ENABLED"] = False
    return app.test_client()


def _ask(client: FlaskClient, rows: object, name: str = "Ageing") -> tuple[int, bytes]:
    raw = rows if isinstance(rows, str) else json.dumps(rows)
    parts = (
        f'--x\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{said}\r\n'
        for key, said in {"name": name, "rows": raw}.items()
    )
    answer = client.post("/tables/xlsx", data="".join(parts) + "--x--", content_type="multipart/form-data; boundary=x")
    content = answer.status_code, answer.data
    answer.close()
    return content


def test_a_table_is_a_workbook_as_it_is_shown(client: FlaskClient) -> None:
    status, content = _ask(client, [["Customer", "Amount"], ["=1+1", "12.50"], ["globex", "-3"]], "a/b [c]")
    assert status == 200
    sheet = openpyxl.load_workbook(io.BytesIO(content)).active
    assert sheet.title == "a b  c"
    assert [[cell.value for cell in row] for row in sheet.rows] == [
        ["Customer", "Amount"],
        ["=1+1", 12.5],
        ["globex", -3],
    ]
    assert sheet["A2"].data_type == "s"
    assert sheet["B2"].number_format == "#,##0.00"
    assert sheet.column_dimensions["A"].width > 10


@pytest.mark.parametrize(("rows", "said"), [
    ("", "rows = missing: expected the rows of a table, each a list of texts"),
    ("[]", "expected the rows of a table"), ("{}", "expected the rows of a table"), ("[[1]]", "expected the rows of a table"),
    ('[["a"]', "expected the rows of a table"), ("[" * 100_000, "expected the rows of a table"),
    ('[["a"]] x', "expected the rows of a table"),
    ([["a"], ["x" * 32_768]], "expected at most 32,767 characters in a cell of row 2"),
    ([["a"] * 16_385], "rows = 16,385 columns: expected at most 16,384 in row 1"),
    ("[" + ",".join(["[]"] * 1_000_001) + "]",
     "rows = more than 1,000,000 cells in 1,000,001 rows: expected at most 1,000,000 in a table: filter it, or take the whole report as CSV"),
])  # fmt: skip
def test_what_is_no_table_or_too_much_is_refused(client: FlaskClient, rows: object, said: str) -> None:
    status, content = _ask(client, rows)
    assert status == 422
    assert said in content.decode()


def test_a_large_table_takes_a_few_times_its_bytes(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_to_xlsx, "CELLS_MAX", 60_000)
    raw = json.dumps([["Customer", "Amount"], *([f"customer {n}", f"{n}.25"] for n in range(29_999))])
    tracemalloc.start()
    try:
        status, _ = _ask(client, raw)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert status == 200
    assert most < 12 * len(raw)  # of which the test's own client has some


def test_forms_and_requests_of_no_documents_are_small(client: FlaskClient) -> None:
    many = client.post("/sign-in", data="a&" * 60_000, content_type="application/x-www-form-urlencoded")
    assert many.status_code == 413
    assert "expected a body of at most 100,000 bytes" in many.text
    large = client.post("/v1/keys", data=b'"' + b"x" * 2_200_000 + b'"', content_type="application/json")
    assert (large.status_code, large.mimetype) == (413, "application/problem+json")
    assert large.json["title"] == "expected a body of at most 2,097,152 bytes"


def _report(rows: int) -> Report:
    columns = (Column("customer", "Customer"), Column("amount", "Amount", "amount"))
    row = {"customer": "globex", "amount": 100, "currency": "USD"}
    return Report("made", "Made", columns, (row,) * rows)


def test_a_report_of_more_rows_than_a_sheet_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="made of 1,048,575 rows: expected at most 1,048,574, which a sheet holds"):
        sheets.write_report(_report(1_048_575), tmp_path / "made.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_a_report_is_written_as_csv_line_by_line() -> None:
    lines = reports.csv_lines(_report(3))
    assert next(lines) == "customer,amount\nglobex,1.00\n"
    assert list(lines) == ["globex,1.00\n"] * 2 + [""]
    assert reports.render(_report(0), "csv") == "customer,amount\n"
