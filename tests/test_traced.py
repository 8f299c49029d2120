"""From a number in another system to what is behind it, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from tests.conftest import Cli
from tests.samples import invoice, service
from tests.serving import MakeApp
from tests.test_export_objects import ALL, FIELDS, books, mapping
from web.access import keys


def _trace(cli: Cli, ref: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli.ok("trace", ref, "--format", "json"))
    return found


def test_a_summary_leads_to_its_lines_and_these_to_their_entries(cli: Cli) -> None:
    books(cli)
    found = _trace(cli, "TM-us-2026-01")
    lines = {step["ref"]: step["text"] for step in found["comes_from"]}
    # by hand: 40.00 of usage and 100.00; of the year's 365.00, 31 days; of E 250.10 EUR over 86 days, 27 days at 1.0837; of V 90.00
    # over 85 days, 26 days
    assert lines["TM-us-2026-01:revenue/tokens"] == "4000 Revenue, tokens: 140.00 USD credit, 4 postings"
    assert lines["TM-us-2026-01:revenue/seats"] == "4000 Revenue, seats: 143.62 USD credit, 3 postings"
    behind = _trace(cli, "TM-us-2026-01:revenue/seats")["comes_from"]
    amounts = sorted(step["text"].rpartition(": ")[2] for step in behind)
    assert amounts == ["27.53 USD credit", "31.00 USD credit", "85.09 USD credit"]
    first = next(step["ref"] for step in behind if "31.00" in step["text"])
    entry = _trace(cli, first)
    assert entry["kind"] == "entry"
    assert "invoice:I" in {f"{step['kind']}:{step['ref']}" for step in entry["comes_from"]}


def test_an_entry_says_where_it_went(cli: Cli, tmp_path: Path) -> None:
    books(cli)
    file = mapping(tmp_path, "quickbooks", ALL, FIELDS)
    cli.ok("export", "quickbooks", "--new", "--mapping", file, "--output", str(tmp_path / "new.json"))
    gone = [step["text"] for step in _trace(cli, "invoice:I")["led_to"] if step["kind"] == "exported"]
    assert len(gone) == 1
    assert gone[0].startswith("quickbooks export 1 of ")
    assert gone[0].endswith("new.json, in 2026-01 of us")
    cli.post(invoice("L", "2026-01-20", service("12.00", "2026-01-20", "2026-01-20")))
    assert not [step for step in _trace(cli, "invoice:L")["led_to"] if step["kind"] == "exported"]
    # what was exported of January does not hold it, and what comes late will be its own
    assert "376.00" not in json.dumps(_trace(cli, "TM-us-2026-01"))
    cli.ok("export", "quickbooks", "--new", "--mapping", file, "--output", str(tmp_path / "late.json"))
    late = _trace(cli, "TM-us-2026-01.2")
    assert [step["text"] for step in late["comes_from"]] == [
        "1200 Accounts receivable: 12.00 USD debit, 1 posting", "2200 Deferred revenue: 12.00 USD credit, 1 posting",
    ]  # fmt: skip


def test_an_entry_says_which_seal_it_is_under(cli: Cli) -> None:
    books(cli)
    assert not [step for step in _trace(cli, "1")["led_to"] if step["kind"] == "sealed"]
    cli.ok("seal")
    sealed = [step for step in _trace(cli, "1")["led_to"] if step["kind"] == "sealed"]
    assert [step["ref"] for step in sealed] == ["block 1"]


def test_numbers_of_entries_and_documents_lead_to_them(cli: Cli) -> None:
    books(cli)
    assert _trace(cli, "TM-e1")["ref"] == "1"
    invoiced = _trace(cli, "invoice:I")
    entry = invoiced["entries"][0]["entry"] if "entry" in invoiced["entries"][0] else invoiced["entries"][0]["id"]
    assert _trace(cli, f"TM-e{entry}-2")["ref"] == str(entry)


def test_a_number_of_nothing_is_refused(cli: Cli, tmp_path: Path) -> None:
    books(cli)
    assert "expected the number of an entry of an entity in the books, not of mars" in cli.refused(
        "trace", "TM-mars-2026-01"
    )
    assert "expected the number of an entry of an export that was kept" in cli.refused("trace", "TM-us-2026-01.2")
    assert "2026-13: expected a month or a day that there is" in cli.refused("trace", "TM-us-2026-13")
    assert "its memo says which month or day" in cli.refused("trace", "TM-abcdefgh")
    file = mapping(tmp_path, "quickbooks", ALL, FIELDS)
    cli.ok("export", "quickbooks", "--new", "--mapping", file, "--output", str(tmp_path / "new.json"))
    cli.post(invoice("L", "2026-01-20", service("12.00", "2026-01-20", "2026-01-20")))
    file = mapping(tmp_path, "zoho", ALL, FIELDS)
    cli.ok("export", "zoho", "--new", "--mapping", file, "--output", str(tmp_path / "new.json"))
    said = cli.refused("trace", "TM-us-2026-01")
    assert "expected one of quickbooks:TM-us-2026-01, zoho:TM-us-2026-01" in said
    assert "12.00" in json.dumps(_trace(cli, "zoho:TM-us-2026-01:deferred_revenue"))


def test_where_anothers_entries_went_is_told_to_nobody(
    cli: Cli, engine: Engine, make_books_app: MakeApp, tmp_path: Path
) -> None:
    books(cli)
    cli.post({"type": "entity", "id": "eu", "name": "Acme GmbH", "currency": "EUR"})
    for target in ("quickbooks", "zoho"):
        file = mapping(tmp_path, target, ALL, FIELDS)
        cli.ok(
            "export", target, "--new", "--entity", "us", "--mapping", file, "--output", str(tmp_path / f"{target}.json")
        )
        cli.post(invoice(target, "2026-01-20", service("12.00", "2026-01-20", "2026-01-20")))
    assert "expected one of quickbooks:TM-us-2026-01" in cli.refused("trace", "TM-us-2026-01")
    with engine.begin() as connection:
        key = keys.create(connection, "theirs", "viewer", "tester", ("eu",))
    client, headers = make_books_app().test_client(), {"Authorization": f"Bearer {key}"}
    told, of_none = (client.get(f"/v1/trace/TM-{entity}-2026-01", headers=headers) for entity in ("us", "mars"))
    assert told.status_code == 404
    assert told.text.replace("TM-us-", "TM-mars-") == of_none.text
