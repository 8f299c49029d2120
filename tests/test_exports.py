"""Exports: read back, tied out, and judged by what we did not write."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import simplejson
from sqlalchemy import Connection, text

from adapters.out import export
from adapters.selected.entry import entry_number
from ledger.errors import Unbalanced
from tests.conftest import Cli
from tests.samples import grant, invoice, parties, payment, prepaid, promotion, service, usage
from tests.test_currencies import EUR, rate

SHARED = Path(__file__).parents[2] / "shared"
SOFFICE = shutil.which("soffice")
SHEETS_AS_CSV = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1"

# LibreOffice trusts the values in a file by default; this makes it compute every formula on loading.
RECALCULATE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry"><item oor:path="/org.openoffice.Office.Calc/Formula/Load">
<prop oor:name="OOXMLRecalcMode" oor:op="fuse"><value>0</value></prop></item></oor:items>"""


def _books(cli: Cli) -> None:
    cli.post(
        *parties(),
        {"type": "customer", "id": "evil", "name": '=HYPERLINK("http://evil")'},
        {"type": "gl_account", "id": "x", "entity": "us", "role": "revenue", "product": "tokens", "code": "4010",
         "name": "Revenue, usage"},
        grant("G", expires_on="2026-02-28"),
        promotion("P", "5.00"),
        invoice("I", "2026-01-01", prepaid("100.00"), service("365.00", "2026-01-01", "2026-12-31", line="2")),
        invoice("E", "2026-01-05", service("1.00", "2026-01-05", "2026-01-05"), customer="evil"),
        usage("u1", "40.00", "2026-01-10"),
        usage("u2", "100.00", "2026-01-20"),
        payment("PAY", "465.00", "2026-01-15", ("I", "465.00"), fee="1.00"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-03")


def _expected(cli: Cli, *options: str) -> dict[str, Decimal]:
    rows = cli.report("trial-balance", *options)
    found = {row["code"]: Decimal(row["debit"]) - Decimal(row["credit"]) for row in rows}
    return {code: net for code, net in found.items() if net}


def _nonzero(totals: dict[str, Any]) -> dict[str, Decimal]:
    return {code: Decimal(net) for code, net in totals.items() if net}


def test_quickbooks_totals_are_the_trial_balances(cli: Cli, tmp_path: Path) -> None:
    _books(cli)
    path = tmp_path / "qb.json"
    told = cli.ok("export", "quickbooks", "--output", str(path))
    assert "3 journal entries; ties to the trial balance" in told
    sums: dict[str, Decimal] = {}
    for entry in simplejson.loads(path.read_text(), use_decimal=True):
        debit = credit = Decimal(0)
        assert len(entry["DocNumber"]) <= 21
        for line in entry["Line"]:
            detail = line["JournalEntryLineDetail"]
            amount = line["Amount"]
            assert amount > 0
            assert amount == round(amount, 2)
            if detail["AccountRef"]["name"] == "Accounts receivable":
                assert detail["Entity"]["Type"] == "Customer"
            debit += amount if detail["PostingType"] == "Debit" else 0
            credit += amount if detail["PostingType"] == "Credit" else 0
            code = detail["AccountRef"]["value"]
            sums[code] = sums.get(code, Decimal(0)) + (amount if detail["PostingType"] == "Debit" else -amount)
        assert debit == credit
    assert _nonzero(sums) == _expected(cli)
    assert sums["4010"] == Decimal("-140.00")  # usage, under the user's own account code


def test_amounts_are_written_with_their_digits(cli: Cli, tmp_path: Path) -> None:
    _books(cli)
    path = tmp_path / "qb.json"
    cli.ok("export", "quickbooks", "--output", str(path))
    assert re.findall(r'"Amount": ([0-9.]+)', path.read_text())[0] == "464.00"


def test_zoho_totals_are_the_trial_balances(cli: Cli, tmp_path: Path) -> None:
    _books(cli)
    path = tmp_path / "zoho.json"
    cli.ok("export", "zoho", "--output", str(path))
    sums: dict[str, Decimal] = {}
    for journal in simplejson.loads(path.read_text(), use_decimal=True):
        assert (
            sum(line["amount"] * (1 if line["debit_or_credit"] == "debit" else -1) for line in journal["line_items"])
            == 0
        )
        for line in journal["line_items"]:
            sign = 1 if line["debit_or_credit"] == "debit" else -1
            sums[line["account_id"]] = sums.get(line["account_id"], Decimal(0)) + sign * line["amount"]
    assert _nonzero(sums) == _expected(cli)


def test_the_workbook_read_back(cli: Cli, tmp_path: Path) -> None:
    _books(cli)
    path = tmp_path / "books.xlsx"
    assert "10 checks; ties to the trial balance" in cli.ok("export", "workbook", "--output", str(path))
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == [
        "Cover", "Checks", "Trial balance", "Journal", "Revenue waterfall", "Deferred roll-forward", "Contract balances", "Receivables",
        "Wallets", "Tax", "Tax payable", "Contracts",
    ]  # fmt: skip
    journal = list(book["Journal"].iter_rows(min_row=2, values_only=True))
    sums: dict[str, Decimal] = {}
    for row in journal:
        sums[row[3]] = sums.get(row[3], Decimal(0)) + Decimal(str(row[7]))
        assert row[7] == (row[5] or 0) - (row[6] or 0)
    assert _nonzero(sums) == _expected(cli)
    assert book["Journal"].freeze_panes == "A2"
    assert journal[0][2].year == 2026  # a real date
    customers = {cell.value for cell in book["Receivables"]["A"]}
    assert "evil" in customers
    # an account's code leads to its first line, and the cover says by which seal the file can be held to the books
    link = next(cell.hyperlink.location for cell in book["Trial balance"]["A"] if cell.value == "4010")
    assert book["Journal"][link.split("!")[1]].value == "4010"
    said = {row[0]: row[1] for row in book["Cover"].iter_rows(values_only=True) if row[0]}
    assert said["Sealed"] == "nothing is sealed yet"
    now = cli.now()
    sealed = cli.ok("seal").split("is ")[-1].strip()
    cli.post(usage("later", "1.00", "2026-01-21"))
    cli.ok("export", "workbook", "--output", str(path), "--known-at", now)
    again = openpyxl.load_workbook(path)
    assert len(list(again["Journal"].iter_rows(min_row=2))) == len(journal)
    assert sealed in {
        row[1].split(": ")[-1] for row in again["Cover"].iter_rows(values_only=True) if row[0] == "Sealed"
    }
    assert "--known-at" in cli.run("export", "zoho", "--known-at", now).output


def test_nothing_from_a_document_runs_as_a_formula(cli: Cli, tmp_path: Path) -> None:
    evil = "=cmd|' /C calc'!A0"
    cli.post(
        *parties(),
        {"type": "customer", "id": evil, "name": "@SUM(1)"},
        invoice("+1", "2026-01-05", service("1.00", "2026-01-05", "2026-01-05"), customer=evil),
    )
    path = tmp_path / "books.xlsx"
    cli.ok("export", "workbook", "--output", str(path))
    with zipfile.ZipFile(path) as archive:
        formulas = [
            found
            for name in archive.namelist()
            if name.startswith("xl/worksheets/")
            for found in re.findall(r"<f>(.*?)</f>", archive.read(name).decode())
        ]
    assert formulas
    assert not [formula for formula in formulas if "cmd" in formula or "SUM(1)" in formula]
    csv = cli.ok("report", "ar-aging", "--format", "csv")
    assert f"'{evil}" in csv.replace('"', "")
    assert "'+1" in csv
    single = tmp_path / "aging.xlsx"
    cli.ok("report", "ar-aging", "--format", "xlsx", "--output", str(single))
    assert openpyxl.load_workbook(single).active["A2"].data_type == "s"


def _books_in_two_currencies(cli: Cli) -> None:
    """Claims, credits, deferred revenue and tax in EUR beside those in USD, in books in USD."""
    euro = {"customer": "initech", **EUR}
    cli.post(
        *parties(), rate("2026-01-01", "1.0837"), rate("2026-02-10", "1.1001"), rate("2026-01-01", "0.0071", base="JPY"),
        {"type": "customer", "id": "initech", "name": "Initech"}, {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.19"},
        grant("G", expires_on="2026-02-28"), promotion("P", "5.00"), grant("GE", "80.00") | euro, grant("GY", "1000") | euro | {"currency": "JPY"},
        invoice("I", "2026-01-01", prepaid("100.00"), service("365.00", "2026-01-01", "2026-12-31", line="2", tax_codes=["VAT"])),
        invoice("E", "2026-01-05", service("250.10", "2026-01-05", "2026-03-31", tax_codes=["VAT"]), prepaid("80.00", "GE", "2")) | euro,
        invoice("Y", "2026-01-05", prepaid("1000", "GY")) | euro | {"currency": "JPY"},
        usage("u1", "40.00", "2026-01-10"), usage("e1", "7.77", "2026-01-12") | euro,
        payment("PAY", "100.00", "2026-01-15", ("I", "100.00")), payment("PAE", "50.00", "2026-02-10", ("E", "50.00")) | euro,
        {"type": "contract", "id": "K", "customer": "globex", "entity": "us", "currency": "USD", "signed_on": "2026-02-01",
         "obligations": [{"id": "K/o", "product": "seats", "price": "28.00", "start": "2026-02-01", "end": "2026-02-28"}]},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")


@pytest.mark.skipif(SOFFICE is None, reason="LibreOffice is not installed")
@pytest.mark.parametrize(
    "options", [[], ["--from", "2026-02-01"], ["--to", "2026-01-31"]], ids=["all", "february", "january"]
)
def test_libreoffice_computes_checks_over_several_currencies(cli: Cli, tmp_path: Path, options: list[str]) -> None:
    _books_in_two_currencies(cli)
    path = tmp_path / "books.xlsx"
    cli.ok("export", "workbook", "--output", str(path), *options)
    checks = _recalculated(path, tmp_path / "good")
    assert checks[-1] == "All,,PASS", checks
    assert len(checks) == (12 if not options else 11 if "--from" in options else 12)
    # what it says of months before is said of balances, too
    rows = list(csv.reader((tmp_path / "good" / "books-Trial balance.csv").read_text().splitlines()))
    opening, movement, closing = (float(rows[-1][index]) for index in (3, 4, 5))
    assert (opening, movement, closing) == (0, 0, 0)
    assert any(float(row[3]) for row in rows[1:-1]) == ("--from" in options)


@pytest.mark.skipif(SOFFICE is None, reason="LibreOffice is not installed")
def test_libreoffice_computes_every_check_to_zero(cli: Cli, tmp_path: Path) -> None:
    _books(cli)
    path = tmp_path / "books.xlsx"
    cli.ok("export", "workbook", "--output", str(path))
    assert _recalculated(path, tmp_path / "good")[-1] == "All,,PASS"
    # and a cent changed in the journal fails it, or the formulas prove nothing
    book = openpyxl.load_workbook(path)
    book["Journal"]["F2"] = (book["Journal"]["F2"].value or 0) + 0.01
    book["Journal"]["H2"] = book["Journal"]["H2"].value + 0.01
    broken = tmp_path / "broken.xlsx"
    book.save(broken)
    rows = _recalculated(broken, tmp_path / "bad")
    assert rows[-1] == "All,,FAIL"
    assert "Debits equal credits over the journal,0.01,FAIL" in rows


def _recalculated(path: Path, folder: Path) -> list[str]:
    profile = folder / "profile"
    (profile / "user").mkdir(parents=True)
    (profile / "user" / "registrymodifications.xcu").write_text(RECALCULATE)
    assert SOFFICE is not None
    subprocess.run(
        [SOFFICE, "--headless", f"-env:UserInstallation=file://{profile}", "--convert-to", SHEETS_AS_CSV, "--outdir",
         str(folder), str(path)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return (folder / f"{path.stem}-Checks.csv").read_text().splitlines()


def test_an_export_of_a_month(cli: Cli, tmp_path: Path) -> None:
    _books(cli)
    path = tmp_path / "qb.json"
    cli.ok("export", "quickbooks", "--output", str(path), "--from", "2026-02-01", "--to", "2026-02-28")
    (entry,) = json.loads(path.read_text())
    assert (entry["DocNumber"], entry["TxnDate"]) == ("TM-us-2026-02", "2026-02-28")


def test_an_export_that_does_not_tie_is_not_left_behind(
    cli: Cli, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _books(cli)
    path = tmp_path / "qb.json"
    target = export.TARGETS["quickbooks"]

    def wrong(file: Path, *rest: Any) -> int:
        count = target.write(file, *rest)
        file.write_text(file.read_text().replace("464.00", "464.01"))
        return count

    monkeypatch.setitem(export.TARGETS, "quickbooks", replace(target, write=wrong))  # type: ignore[arg-type]
    path.write_text("an older export")
    with pytest.raises(Unbalanced, match=r"account 1000 = 464.01: expected 464.00, the trial balance's"):
        export.export_file(connection, "quickbooks", export.Filters(), str(path))
    assert path.read_text() == "an older export"
    assert [file.name for file in tmp_path.iterdir()] == ["qb.json"]


def test_several_entities_must_be_told_apart(cli: Cli) -> None:
    assert "entity = missing: expected one of the entities in the books (none)" in cli.refused("export", "zoho")
    cli.post(*parties(), {"type": "entity", "id": "eu", "name": "Acme GmbH", "currency": "EUR"})
    assert "expected one of the entities in the books (eu, us)" in cli.refused("export", "zoho")
    assert "expected postings to export; none match" in cli.refused("export", "zoho", "--entity", "eu")


@pytest.mark.parametrize("key", ["us-2026-01", "a-legal-entity-with-a-long-name-2026-01", "müller-2026-01"])
@pytest.mark.parametrize("longest", [21, 11])
def test_entry_numbers_are_stable_and_short(key: str, longest: int) -> None:
    first, second = entry_number(key, longest), entry_number(key.replace("-01", "-02"), longest)
    assert first != second
    assert first == entry_number(key, longest)
    assert len(first) <= longest
    assert first.isascii()


def test_the_journal_splits_where_a_sheet_is_full(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Connection
) -> None:
    _books(cli)
    monkeypatch.setattr("adapters.targets.sheets.ROWS_MAX", 10)
    path = tmp_path / "books.xlsx"
    told = cli.ok("export", "workbook", "--output", str(path))
    lines = owner.scalar(
        text("select count(*) from journal_line l join role r on r.name = l.role where r.kind <> 'memorandum'")
    )
    assert f"{lines} journal lines" in told
    book = openpyxl.load_workbook(path)
    sheets = [name for name in book.sheetnames if name.startswith("Journal")]
    assert sheets[:2] == ["Journal", "Journal 2"]
    assert sum(book[name].max_row - 1 for name in sheets) == lines
    if SOFFICE:
        assert _recalculated(path, tmp_path / "split")[-1] == "All,,PASS"
