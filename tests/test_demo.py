"""The demo's figures, by plain arithmetic over the traces' sums."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.conftest import Cli

# Sums of AzureLLMInferenceTrace_conv.csv and _code.csv (Azure/AzurePublicDataset, CC-BY 4.0): prompt + generated
CHAT_TOKENS = 22_361_870 + 4_088_665
CODE_TOKENS = 18_059_974 + 245_896

SHARED = Path(__file__).parents[2] / "shared"


def _minutes() -> list[dict[str, str]]:
    with (Path(__file__).parents[1] / "web/demo/minutes.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_minutes_sum_to_the_traces() -> None:
    sums = dict.fromkeys(("chat", "code"), 0)
    rows = dict.fromkeys(("chat", "code"), 0)
    for minute in _minutes():
        customer = minute["customer"]
        assert int(minute["first_row"]) == rows[customer] + 1
        rows[customer] = int(minute["last_row"])
        assert int(minute["requests"]) == int(minute["last_row"]) - int(minute["first_row"]) + 1
        sums[customer] += int(minute["prompt_tokens"]) + int(minute["generated_tokens"])
    assert sums == {"chat": CHAT_TOKENS, "code": CODE_TOKENS}
    assert rows == {"chat": 19_366, "code": 8_819}


@pytest.fixture
def demo(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return cli.ok("demo", "--no-serve")


def test_the_demo_by_month(cli: Cli, demo: str) -> None:
    # 26,450,535 tokens at 0.002 per 1,000 are 52.90; 18,305,870 are 36.61
    chat, code = (
        (Decimal(tokens) * Decimal("0.002") / 1000).quantize(Decimal("0.01")) for tokens in (CHAT_TOKENS, CODE_TOKENS)
    )
    assert (chat, code) == (Decimal("52.90"), Decimal("36.61"))
    # seats: 12,000.00 over 366 days, 30 in November, 31 in December
    assert Decimal(12000) * 30 / 366 == pytest.approx(Decimal("983.61"), abs=Decimal("0.005"))
    assert Decimal(12000) * 61 / 366 == 2000
    assert cli.summary() == {
        "2023-11": {
            "accounts_receivable": "12002.90",  # 50 + 50 + 12,000 + 2.90 billed, 100 paid
            "cash": "100.00",
            "customer_credits": "13.39",  # 50.00 - 36.61
            "deferred_revenue": "11016.39",
            "revenue": "1073.12",  # 52.90 + 36.61 + 983.61
        },
        "2023-12": {
            "accounts_receivable": "-6000.00",
            "breakage_revenue": "13.39",
            "cash": "6000.00",
            "customer_credits": "-13.39",
            "deferred_revenue": "-1016.39",
            "revenue": "1016.39",
        },
    }
    wallets = {row["customer"]: row for row in cli.report("wallet")}
    assert (wallets["chat"]["drawn"], wallets["chat"]["left"]) == ("50.00", "0.00")
    assert (wallets["code"]["drawn"], wallets["code"]["expired"]) == ("36.61", "13.39")
    assert "checks hold" in cli.ok("verify")
    assert cli.report("standing") == cli.report("below-zero") == []


def test_the_demo_prints_and_writes(cli: Cli, demo: str, tmp_path: Path) -> None:
    for words in ("Trial balance", "Monthly summary", "Wallets", "Receivables by age", "Revenue waterfall"):
        assert words in demo
    assert demo.count("ties to the trial balance") == 3
    assert sorted(path.name for path in (tmp_path / "tickmark-demo").iterdir()) == [
        "quickbooks.json", "tickmark.xlsx", "zoho.json",
    ]  # fmt: skip


def test_the_demo_twice_in_a_row(cli: Cli, demo: str) -> None:
    before = cli.summary()
    again = cli.ok("demo", "--no-serve")
    assert again.startswith("posted 0 documents as 0 entries, 119 posted before; recognised through 2023-12: 0 entries")
    assert cli.summary() == before


def test_the_demo_leaves_other_books_alone(cli: Cli) -> None:
    cli.post({"type": "entity", "id": "us", "name": "Acme", "currency": "USD"})
    assert "entity = us: the demo expected an empty database or its own" in cli.refused("demo", "--no-serve")
    assert cli.report("summary") == []


def test_every_cent_of_overage_traces_to_rows_of_the_trace(cli: Cli, demo: str) -> None:
    trace = json.loads(cli.ok("trace", "INV-chat-3", "--format", "json"))
    billed = [step for step in trace["comes_from"] if step["kind"] == "usage"]
    assert sum(Decimal(step["text"].split(", ")[1].split()[0]) for step in billed) == Decimal("2.90")
    usage = json.loads(cli.ok("trace", f"usage:{billed[-1]['ref']}", "--format", "json"))
    (events,) = [step["ref"] for step in usage["comes_from"] if step["kind"] == "events"]
    assert events == "AzureLLMInferenceTrace_conv.csv rows 19360-19366"  # the seven of 19:14, the last minute


@pytest.mark.skipif(not SHARED.exists(), reason="the traces stay with their publisher")
def test_our_script_makes_the_minutes_from_the_traces(capsys: pytest.CaptureFixture[str]) -> None:
    from web.demo.make_minutes import main

    main(SHARED / "data")
    made = capsys.readouterr().out
    assert made == (Path(__file__).parents[1] / "web/demo/minutes.csv").read_text(encoding="utf-8")
