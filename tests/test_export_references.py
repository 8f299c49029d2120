"""What others call a document goes out with it: in a memo, a field of its own, a column, wherever a format has a place."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import simplejson

from tests.conftest import Cli
from tests.samples import grant, invoice, one_time, parties, payment, prepaid, usage
from tests.test_export_objects import FIELDS, exported, mapping

CALLED = "reference PO-17, crm 5, stripe in_1"
PAID = "reference =cheque 7, stripe ch_1"


def books(cli: Cli) -> None:
    """An invoice and its payment that are called so elsewhere, a credit note of a long reference, and usage without a name."""
    cli.post(
        *parties(), grant("G"),
        invoice("I", "2026-01-05", prepaid("100.00"), one_time("7.00", "2"), reference="PO-17", external={"stripe": "in_1", "crm": "5"}),
        payment("P", "107.00", "2026-01-06", ("I", "50.00"), reference="=cheque 7", external={"stripe": "ch_1"}),
        {"type": "credit_note", "id": "N", "invoice": "I", "date": "2026-01-07", "lines": [{"line": "2", "amount": "7.00"}],
         "reference": "R" * 255, "external": {f"system-{n}": "x" * 255 for n in range(10)}},
        usage("u", "3.00", "2026-01-08"),
    )  # fmt: skip


def _by_number(made: list[tuple[str, dict[str, Any]]], *names: str) -> dict[str, dict[str, Any]]:
    return {next(form[name] for name in names if name in form): form for _, form in made if set(names) & set(form)}


def _table(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def test_quickbooks_shows_the_reference_to_the_customer(cli: Cli, tmp_path: Path) -> None:
    books(cli)
    made = _by_number(exported(cli, tmp_path, "quickbooks"), "DocNumber", "PaymentRefNum")
    assert made["I"]["CustomerMemo"] == {"value": "Reference PO-17"}
    assert made["I"]["PrivateNote"] == f"Tickmark invoice I, {CALLED}, entity us"
    assert made["P"]["PrivateNote"] == f"Tickmark payment P, {PAID}, entity us"
    assert made["N"]["CustomerMemo"] == {"value": f"Reference {'R' * 255}"}
    assert len(made["N"]["PrivateNote"]) > 2_500
    (drawn,) = (form for form in made.values() if form["PrivateNote"].startswith("Tickmark usage"))
    assert drawn["PrivateNote"] == "Tickmark usage u, entity us"


def test_zoho_has_a_field_for_the_reference(cli: Cli, tmp_path: Path) -> None:
    books(cli)
    made = exported(cli, tmp_path, "zoho")
    bills = _by_number(made, "invoice_number", "creditnote_number")
    assert bills["I"]["reference_number"] == "PO-17"
    assert bills["I"]["notes"] == f"Tickmark invoice I, {CALLED}, entity us"
    assert bills["N"]["reference_number"] == "R" * 100  # as long as it may be there
    (receipt,) = (form for kind, form in made if kind == "customerpayment")
    assert receipt["description"] == f"Tickmark payment P, {PAID}, entity us"
    assert receipt["reference_number"] == "P"  # what it is found by there


@pytest.mark.parametrize(
    ("target", "notes_of"),
    [
        ("quickbooks", lambda path: [form["PrivateNote"] for form in simplejson.loads(path.read_text())]),
        ("quickbooks-csv", lambda path: [row["Memo"] for row in _table(path)]),
        ("zoho", lambda path: [form["notes"] for form in simplejson.loads(path.read_text())]),
        ("netsuite", lambda path: [row["Memo"] for row in _table(path)]),
        ("netsuite-rest", lambda path: [form["memo"] for form in simplejson.loads(path.read_text())]),
        ("xero", lambda path: [form["Narration"].partition(": ")[2] for form in simplejson.loads(path.read_text())["ManualJournals"]]),
    ],
    ids=["quickbooks", "quickbooks-csv", "zoho", "netsuite", "netsuite-rest", "xero"],
)  # fmt: skip
@pytest.mark.parametrize("detail", ["document", "entry", "day", "month"])
def test_the_memo_of_an_entry_says_them(cli: Cli, tmp_path: Path, target: str, notes_of: Any, detail: str) -> None:
    """Of a document, or an entry of one, alone: of what is summed up nobody is called so."""
    books(cli)
    path = tmp_path / "out"
    cli.ok(
        "export", target, "--mapping", mapping(tmp_path, target, f'detail = "{detail}"', FIELDS), "--output", str(path)
    )
    notes = list(dict.fromkeys(notes_of(path)))
    named = {words for words in (CALLED, PAID, "R" * 100) if any(words in note for note in notes)}
    assert named == ({CALLED, PAID, "R" * 100} if detail in ("document", "entry") else set())
    assert max(map(len, notes)) <= (500 if target == "zoho" else 4_000)
    if detail == "document":
        assert notes[0] == f"Tickmark invoice I, {CALLED}, entity us"


def test_plain_text_journals_say_them_under_keys(cli: Cli, tmp_path: Path) -> None:
    books(cli)
    path = tmp_path / "out"
    cli.ok("export", "beancount", "--output", str(path))
    text = path.read_text()
    assert '  reference: "PO-17"\n  external-crm: "5"\n  external-stripe: "in_1"\n' in text
    assert '  source: "invoice I, entry 1"\n' in text
    assert text.count("external-stripe:") == text.count('source: "invoice I') + text.count('source: "payment P') > 1
    cli.ok("export", "hledger", "--output", str(path))
    assert "; source:invoice I  entry 1, reference:PO-17, external-crm:5, external-stripe:in_1\n" in path.read_text()


def test_files_of_rows_have_columns_of_them(cli: Cli, tmp_path: Path) -> None:
    """A reference that a spreadsheet would run as a formula stands as text."""
    books(cli)
    cli.ok("export", "revenue-data", "--output", str(tmp_path / "data"))
    rows = _table(tmp_path / "data" / "journal_lines.csv")
    lines = {(row["document"], row["reference"], row["external"]) for row in rows}
    assert {("I", "PO-17", "crm 5, stripe in_1"), ("P", "'=cheque 7", "stripe ch_1"), ("u", "", "")} <= lines
    billed = _table(tmp_path / "data" / "invoice_lines.csv")
    assert {(row["reference"], row["external"]) for row in billed} == {("PO-17", "crm 5, stripe in_1")}
    cli.ok("export", "audit-gl", "--output", str(tmp_path / "gl.txt"))
    heads = {row["JE_Header_Description"] for row in _table(tmp_path / "gl.txt", "|")}
    assert {f"invoice I, {CALLED}", f"payment P, {PAID}", "usage u"} <= heads
    cli.ok("export", "workbook", "--output", str(tmp_path / "book.xlsx"))
    head, *cells = openpyxl.load_workbook(tmp_path / "book.xlsx")["Journal"].iter_rows(values_only=True)
    places = [head.index(name) for name in ("Document", "Reference", "External ids")]
    shown = {tuple(row[index] for index in places) for row in cells}
    assert {
        ("invoice:I", "PO-17", "crm 5, stripe in_1"),
        ("payment:P", "=cheque 7", "stripe ch_1"),
        ("usage:u", None, None),
    } <= shown


def test_parquet_has_columns_of_them(cli: Cli, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    books(cli)
    cli.ok("export", "parquet", "--output", str(tmp_path / "books"))
    rows = parquet.read_table(tmp_path / "books" / "documents.parquet").to_pylist()
    found = {row["document"]: (row["reference"], row["external"] and json.loads(row["external"])) for row in rows}
    assert found["I"] == ("PO-17", {"stripe": "in_1", "crm": "5"})
    assert found["u"] == (None, None)
