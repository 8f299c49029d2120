"""What went out is kept: nothing goes twice, what comes late goes alone, and a file can be written again."""

from __future__ import annotations

import io
import json
import threading
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import simplejson
from sqlalchemy import Connection, Engine, text

from adapters.out import export
from adapters.out.export import How, export_new
from ledger.errors import Refused, Unbalanced
from ledger.intake.posting import post_lines
from ledger.reports.report import Filters
from revrec.kinds import TYPES
from tests.conftest import Cli
from tests.samples import grant, invoice, parties, prepaid, service, usage


def _books(cli: Cli) -> None:
    cli.post(
        *parties(), grant("G"), invoice("I", "2026-01-01", prepaid("100.00"), service("120.00", "2026-01-01", "2026-12-31", line="2")),
        usage("u1", "40.00", "2026-01-10"), usage("u2", "10.00", "2026-02-10"),
    )  # fmt: skip


def _entries(path: Path) -> list[Any]:
    return simplejson.loads(path.read_text(), use_decimal=True)


def _sums(*paths: Path) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for path in paths:
        for entry in _entries(path):
            for line in entry["Line"]:
                detail = line["JournalEntryLineDetail"]
                sums[detail["AccountRef"]["value"]] += line["Amount"] * (1 if detail["PostingType"] == "Debit" else -1)
    return {code: net for code, net in sums.items() if net}


def _trial_balance(cli: Cli) -> dict[str, Decimal]:
    rows = cli.report("trial-balance")
    return {row["code"]: net for row in rows if (net := Decimal(row["debit"]) - Decimal(row["credit"]))}


def test_what_went_out_does_not_go_again_and_what_comes_late_goes_alone(cli: Cli, tmp_path: Path) -> None:
    _books(cli)
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    shown = cli.ok("export", "quickbooks", "--status")
    assert "2026-01: nothing went out yet" in shown
    assert "No export was kept: --new keeps what it writes." in shown
    told = cli.ok("export", "quickbooks", "--new", "--output", str(first), "--to", "2026-01-31")
    assert "export 1, 1 journal entries; ties to the trial balance" in told
    assert "2026-02: nothing went out yet" in cli.ok("export", "quickbooks", "--status")
    assert "nothing is new" in cli.refused(
        "export", "quickbooks", "--new", "--output", str(second), "--to", "2026-01-31"
    )
    assert not second.exists()
    cli.post(usage("late", "7.00", "2026-01-20"))
    cli.ok("recognize", "--through", "2026-02")
    assert "2026-01: entries after" in cli.ok("export", "quickbooks", "--status")
    cli.ok("export", "quickbooks", "--new", "--output", str(second))
    assert [entry["DocNumber"] for entry in _entries(first)] == ["TM-us-2026-01"]
    assert [entry["DocNumber"] for entry in _entries(second)] == ["TM-us-2026-01.2", "TM-us-2026-02"]
    late = {
        line["JournalEntryLineDetail"]["AccountRef"]["value"]: line["Amount"] for line in _entries(second)[0]["Line"]
    }
    # 7.00 of usage, and January's twelfth of 120.00 by days: 120 x 31 / 365 = 10.19
    assert late == {"2150": Decimal("7.00"), "2200": Decimal("10.19"), "4000": Decimal("17.19")}
    assert _sums(first, second) == _trial_balance(cli)
    shown = cli.ok("export", "quickbooks", "--status")
    assert "nothing is new: every entry went out" in shown
    assert "what came late, too" in shown
    # each target has its own
    assert "2026-01: nothing went out yet" in cli.ok("export", "zoho", "--status")


@pytest.mark.parametrize("detail", ["entry", "document"])
def test_entries_by_themselves_go_once_under_their_own_numbers(cli: Cli, tmp_path: Path, detail: str) -> None:
    _books(cli)
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    cli.ok("export", "quickbooks", "--new", "--detail", detail, "--output", str(first))
    cli.post(usage("late", "7.00", "2026-01-20"))
    cli.ok("export", "quickbooks", "--new", "--detail", detail, "--output", str(second))
    numbers = [entry["DocNumber"] for path in (first, second) for entry in _entries(path)]
    assert len(numbers) == len(set(numbers)) == 4  # the invoice, and each usage
    assert len(_entries(second)) == 1
    assert "usage late" in _entries(second)[0]["PrivateNote"]
    assert _sums(first, second) == _trial_balance(cli)


def test_a_kept_export_is_written_again_as_it_was(cli: Cli, tmp_path: Path) -> None:
    _books(cli)
    first, again = tmp_path / "1.json", tmp_path / "again.json"
    mapping = tmp_path / "m.toml"
    mapping.write_text(
        'target = "quickbooks"\nentity = "us"\ndetail = "day"\n'
        + "".join(
            f'[[account]]\nrole = "{role}"\naccount = "{code}"\n'
            for role, code in (
                ("accounts_receivable", "1"),
                ("customer_credits", "2"),
                ("deferred_revenue", "3"),
                ("revenue", "4"),
            )
        )
    )
    cli.ok("export", "quickbooks", "--new", "--output", str(first), "--mapping", str(mapping))
    cli.post(usage("late", "7.00", "2026-01-20"))
    again_told = ("export", "quickbooks", "--again", "1", "--output", str(again))
    assert "export 1 again, 3 journal entries" in cli.ok(*again_told, "--mapping", str(mapping))
    assert again.read_bytes() == first.read_bytes()
    assert "mapping = missing: expected the mapping file whose SHA-256 is" in cli.refused(*again_told)
    mapping.write_text(mapping.read_text().replace('"4"', '"5"'))
    assert "with which export 1 was written" in cli.refused(*again_told, "--mapping", str(mapping))
    assert "again = 7: expected the number of a kept export for zoho" in cli.refused("export", "zoho", "--again", "7")


def test_parts_of_a_month_and_choices_that_contradict_are_refused(cli: Cli) -> None:
    _books(cli)
    assert "from = 2026-01-02: expected the first day of a month" in cli.refused(
        "export", "zoho", "--new", "--from", "2026-01-02"
    )
    assert "to = 2026-01-30: expected the last day of a month" in cli.refused(
        "export", "zoho", "--new", "--to", "2026-01-30"
    )
    assert (
        "expected one of --check, --new, --again, --send and --status"
        in cli.run("export", "zoho", "--new", "--check").output
    )
    told = cli.run("export", "zoho", "--again", "1", "--to", "2026-01-31").output
    assert "--again writes what the kept export held" in " ".join(told.split())
    assert "nothing to" not in cli.ok("export", "zoho", "--status")


def test_what_does_not_tie_is_not_kept(
    cli: Cli, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _books(cli)
    path = tmp_path / "1.json"
    monkeypatch.setattr(export, "expected_totals", lambda *_: {"1200": Decimal("220.01")})
    with pytest.raises(Unbalanced):
        export_new(connection, "quickbooks", Filters(), str(path), How(), "tester")
    connection.rollback()
    assert not path.exists()
    assert connection.scalar(text("select count(*) from export_run")) == 0


def test_two_who_export_at_once_send_each_entry_once(cli: Cli, engine: Engine, tmp_path: Path) -> None:
    """While a third posts: every entry is in one file, whoever was first."""
    _books(cli)
    paths: list[Path] = []
    failed: list[Exception] = []

    def exporting(name: str) -> None:
        for number in range(8):
            path = tmp_path / f"{name}{number}.json"
            try:
                with engine.connect() as connection:
                    export_new(connection, "quickbooks", Filters(), str(path), How(detail="entry"), name)
                paths.append(path)
            except Refused as nothing:
                if "nothing is new" not in str(nothing):
                    failed.append(nothing)

    def posting() -> None:
        for number in range(40):
            line = json.dumps(usage(f"p{number}", "0.10", "2026-01-15")).encode()
            with engine.begin() as connection:
                post_lines(
                    connection, io.BytesIO(line), TYPES, "tester", lambda problem, _: failed.append(Exception(problem))
                )

    threads = [threading.Thread(target=exporting, args=("a",)), threading.Thread(target=exporting, args=("b",)),
               threading.Thread(target=posting)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    exporting("last")
    assert failed == []
    numbers = [entry["DocNumber"] for path in paths for entry in _entries(path)]
    assert len(numbers) == len(set(numbers)) == 43  # the invoice, two uses before and forty meanwhile
    assert _sums(*paths) == _trial_balance(cli)


def test_what_was_kept_is_not_changed(cli: Cli, owner: Connection, tmp_path: Path) -> None:
    _books(cli)
    cli.ok("export", "quickbooks", "--new", "--output", str(tmp_path / "1.json"))
    for statement in ("update export_run set entries = 2", "delete from export_part", "truncate export_run cascade"):
        with pytest.raises(Exception, match="never changed"):
            owner.exec_driver_sql(statement)
        owner.rollback()
