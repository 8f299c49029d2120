"""What an import page takes only so much of at once: in several files, each whole entries that balance; and accounts that take no journals."""

from __future__ import annotations

import csv
import io
import zipfile
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from adapters.files import pieces
from adapters.files.forms import write_table
from ledger.errors import Refused
from tests.conftest import Cli
from tests.samples import invoice, one_time, parties, payment
from tests.serving import MakeApp
from tests.test_export_formats import _mapping
from tests.test_jobs import _ask

LONG = {f"system{number}": "x" * 255 for number in range(10)}


def _books(cli: Cli, count: int, **more: Any) -> None:
    cli.post(*parties(), *(invoice(f"I{n:04}", "2026-01-05", one_time(f"{n}.01"), **more) for n in range(1, count + 1)))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _hold(files: list[Path]) -> dict[str, Decimal]:
    """Each file is what the page takes, of whole entries; returns what all come to by account."""
    seen: set[str] = set()
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for file in files:
        assert file.read_bytes().count(b"\r\n") <= 1_000
        assert file.stat().st_size <= 2_000_000
        entries: dict[str, Decimal] = defaultdict(Decimal)
        for row in _rows(file):
            net = Decimal(row["Debits"] or 0) - Decimal(row["Credits"] or 0)
            entries[row["Journal No."]] += net
            totals[row["Account Name"]] += net
        assert not seen & set(entries)
        assert set(entries.values()) == {Decimal(0)}
        seen |= set(entries)
    return totals


def test_more_than_an_import_takes_is_several_files(cli: Cli, tmp_path: Path) -> None:
    _books(cli, 1_100)
    path = tmp_path / "quickbooks.csv"
    path.write_text("an export before")
    options = ("export", "quickbooks-csv", "--detail", "document", "--output", str(path))
    assert "would write 1,100 journal entries by document in 3 files" in cli.ok(*options, "--check")
    folder = tmp_path / "quickbooks"
    told = cli.ok(*options)
    assert f"wrote {folder}: 1,100 journal entries in 3 files; ties to the trial balance" in told
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["quickbooks"]  # nothing of the one before
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == ["quickbooks-001.csv", "quickbooks-002.csv", "quickbooks-003.csv"]
    assert [len(_rows(file)) for file in files] == [998, 998, 204]
    assert _hold(files)["Accounts receivable"] == sum(Decimal(f"{n}.01") for n in range(1, 1_101))
    # one that fits takes their place, and leaves what is not ours
    (folder / "notes.txt").write_text("mine")
    cli.ok("export", "quickbooks-csv", "--detail", "month", "--output", str(path))
    assert [file.name for file in sorted(folder.iterdir())] == ["notes.txt"]
    assert len(_hold([path])) == 2


def test_more_bytes_than_an_import_takes_are_several_files(cli: Cli, tmp_path: Path) -> None:
    _books(cli, 380)
    cli.post(*(
        payment(f"P{n}", "0.01", "2026-01-06", (f"I{n:04}", "0.01")) | {"external": {name: f"{value[:-4]}{n:04}" for name, value in LONG.items()}}
        for n in range(1, 381)
    ))  # fmt: skip
    cli.ok("export", "quickbooks-csv", "--detail", "document", "--output", str(tmp_path / "books"))
    files = sorted((tmp_path / "books-files").iterdir())
    assert len(files) == 2
    assert min(len(_rows(file)) for file in files) < 999
    assert _hold(files)["Cash"] == Decimal("3.80")


def test_what_is_kept_is_written_again_in_the_same_files(cli: Cli, tmp_path: Path) -> None:
    _books(cli, 600)
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    options = ("export", "quickbooks-csv")
    assert "export 1, 600 journal entries in 2 files" in cli.ok(
        *options, "--new", "--detail", "document", "--output", str(one)
    )
    assert "export 1 again, 600 journal entries in 2 files" in cli.ok(*options, "--again", "1", "--output", str(two))
    first, second = (sorted((tmp_path / name).iterdir()) for name in ("one", "two"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    (tmp_path / "three").write_text("a file in the way")
    told = cli.refused(*options, "--again", "1", "--output", str(tmp_path / "three.csv"))
    assert "expected a place beside which there is no file three" in told
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one", "three", "two"]


def test_a_job_gives_them_in_one_archive(cli: Cli, make_books_app: MakeApp) -> None:
    app: Flask = make_books_app(open_as="Grace")
    _books(cli, 600)
    job = _ask(app, target="quickbooks-csv", detail="document")
    assert (job["state"], job["file"]) == ("done", "quickbooks.zip"), job
    content = app.test_client().get(f"/v1/jobs/{job['job']}/file").data
    assert zipfile.ZipFile(io.BytesIO(content)).namelist() == [
        "quickbooks/quickbooks-001.csv",
        "quickbooks/quickbooks-002.csv",
    ]


@pytest.mark.parametrize(("lines", "size", "fits"), [(3, 90, True), (4, 90, False), (3, 40, False)])
def test_an_entry_that_no_file_takes_is_refused(tmp_path: Path, lines: int, size: int, *, fits: bool) -> None:
    table = tmp_path / "table.csv"
    write_table(table, ("Journal No.", "Memo"), [("A", "x"), *([("B", "x" * 20)] * lines), ("C", "x")])
    most = pieces.Most("Journal No.", 4, size)
    if not fits:
        with pytest.raises(Refused, match=r"Journal No\. = B: expected at most 3 lines and"):
            pieces.write(table, most, "table", tmp_path)
        return
    made = pieces.write(table, most, "table", tmp_path)
    assert [[row["Journal No."] for row in _rows(file)] for file in made] == [["A"], ["B"] * 3, ["C"]]
    assert all(file.stat().st_size <= size for file in made)


def test_accounts_that_take_no_journals_in_xero_are_named(cli: Cli, tmp_path: Path) -> None:
    _books(cli, 1)
    cli.post(payment("P", "1.01", "2026-01-06", ("I0001", "1.01")))
    path = str(tmp_path / "out.json")

    def check(text: str = "", **account: str) -> str:
        file = _mapping(tmp_path, "xero", f"\n[fields]\n{text}", **account)
        told = cli.run("export", "xero", "--check", "--mapping", file)
        # what is named by --check is not written either
        assert cli.run("export", "xero", "--output", path, "--mapping", file).exit_code == told.exit_code
        return told.output

    told = check(accounts_receivable="610", cash="090", revenue="200")
    assert "account accounts_receivable = 610: expected an account of Xero that takes manual journals" in told
    assert "610 is Accounts Receivable in Xero's own chart" in told
    assert "account cash = 090: expected" in told
    assert "revenue" not in told
    # others than in its own chart: as the mapping says
    told = check('system_accounts = "1200, 1000"', accounts_receivable="1200", cash="610", revenue="200")
    assert "account accounts_receivable = 1200: expected" in told
    assert "1200 is one of its system_accounts" in told
    assert "610" not in told
    # where it does not say, those that are likely to be are named
    told = check(accounts_receivable="1210", cash="1010", revenue="200")
    assert "every account used is mapped; see that these are no bank accounts or system accounts in Xero" in told
    assert "accounts_receivable = 1210, cash = 1010 (system_accounts" in told
    for said in ("none", "610, 800"):
        told = check(f'system_accounts = "{said}"', accounts_receivable="1210", cash="1010", revenue="200")
        assert told.endswith("every account used is mapped\n")
    # these take them: historical adjustment, rounding, sales tax, retained earnings, realised currency gains
    for code in ("840", "860", "820", "960", "499"):
        assert "every account used is mapped" in check(accounts_receivable=code, cash="1010", revenue="200")
