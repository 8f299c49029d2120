"""The meter was wrong: usage is replaced, and gives back to the very grants it drew on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import billed_usage, grant, invoice, parties, prepaid, promotion, usage


def _left(cli: Cli) -> dict[str, str]:
    return {row["grant"]: row["left"] for row in cli.report("wallet")}


def test_it_gives_back_what_it_drew_and_leaves_later_usage_alone(cli: Cli) -> None:
    cli.post(
        *parties(),
        promotion("P", "30.00", expires_on="2026-01-31"),
        grant("G", "50.00"),
        invoice("I", "2026-01-01", prepaid("50.00")),
        usage("u1", "60.00", "2026-01-10"),  # 30 of P, 30 of G
        usage("u2", "15.00", "2026-01-20"),  # 15 of G
    )
    assert _left(cli) == {"P": "0.00", "G": "5.00"}
    cli.post(usage("u1-corrected", "20.00", "2026-01-10", supersedes="u1"))
    # the 60 are given back; of the 20 all come from P, as of 10 January; u2 keeps what it drew
    assert _left(cli) == {"P": "10.00", "G": "35.00"}
    assert cli.summary() == {
        "2026-01": {
            "accounts_receivable": "50.00",
            "customer_credits": "35.00",
            "promotional_credits": "20.00",
            "revenue": "35.00",
        }
    }
    trace = json.loads(cli.ok("trace", "u1-corrected", "--format", "json"))
    assert [(step["kind"], step["ref"]) for step in trace["comes_from"]] == [("usage", "u1")]
    first = json.loads(cli.ok("trace", "u1", "--format", "json"))["entries"][0]
    assert first["reversed_by"] == trace["entries"][0]["entry"]
    cli.ok("verify")


def test_overage_is_corrected_with_its_invoice(cli: Cli) -> None:
    cli.post(
        *parties(),
        grant("G", "50.00"),
        invoice("I", "2026-01-01", prepaid("50.00")),
        usage("u1", "70.00", "2026-01-10", events="meter.csv rows 1-7"),
        invoice("O-1", "2026-01-31", billed_usage("20.00")),
    )
    cli.ok("close", "2026-01")
    cli.post(
        usage("u1-b", "64.00", "2026-01-10", supersedes="u1", events="meter.csv rows 1-6"),
        invoice("O-2", "2026-02-05", billed_usage("14.00"), supersedes="O-1"),
    )
    assert cli.summary() == {
        "2026-01": {"accounts_receivable": "70.00", "revenue": "70.00"},
        "2026-02": {"accounts_receivable": "-6.00", "revenue": "-6.00"},
    }
    told = cli.ok("trace", "u1-b")
    assert "usage u1:" in told
    assert "meter.csv rows 1-6" in told
    assert "meter.csv rows 1-7" in cli.ok("trace", "usage:u1")
    cli.ok("verify")


def test_after_the_grant_expired(cli: Cli) -> None:
    cli.post(
        *parties(),
        grant("G", "100.00", expires_on="2026-01-31"),
        invoice("I", "2026-01-01", prepaid("100.00")),
        usage("u1", "40.00", "2026-01-10"),
    )
    cli.ok("recognize", "--through", "2026-01")
    for number, (quantity, breakage) in enumerate((("55.00", "45.00"), ("10.00", "90.00"), ("100.00", None)), 1):
        cli.post(usage(f"u1.{number}", quantity, "2026-01-10", supersedes="u1" if number == 1 else f"u1.{number - 1}"))
        cli.ok("recognize", "--through", "2026-01")
        january = cli.summary()["2026-01"]
        assert (january["revenue"], january.get("breakage_revenue")) == (quantity, breakage)
        assert "customer_credits" not in january
        cli.ok("verify")


def test_a_correction_of_fractions(cli: Cli) -> None:
    cli.post(*parties(), *(usage(f"u{n}", "418", "2026-01-05", unit_price="0.000002") for n in range(6)))
    assert cli.summary() == {"2026-01": {"revenue": "0.01", "unbilled_receivable": "0.01"}}
    cli.post(usage("v", "0", "2026-01-05", supersedes="u5"))  # 0.00418 are left: nothing
    assert cli.summary() == {}
    cli.ok("verify")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            usage("v", "1.00", "2026-01-10", supersedes="none"),
            "supersedes = none: expected the id of usage posted before",
        ),
        (usage("v", "1.00", "2026-01-10", supersedes="u0"), "supersedes = u0: usage 12 supersedes it already"),
        (usage("v", "1.00", "2026-01-10", supersedes="u1", customer="initech"), "expected usage of the same customer"),
    ],
)
def test_what_can_not_be_replaced(cli: Cli, document: dict[str, Any], words: str) -> None:
    cli.post(
        *parties(), {"type": "customer", "id": "initech", "name": "Initech"},
        usage("u0", "5.00", "2026-01-10"), usage("u1", "6.00", "2026-01-10", supersedes="u0"),
    )  # fmt: skip
    assert words.replace("usage 12", "usage u1") in cli.refuse(document)
    assert cli.summary() == {"2026-01": {"revenue": "6.00", "unbilled_receivable": "6.00"}}


def test_a_replacement_that_is_refused_changes_nothing(cli: Cli) -> None:
    entity, _, *rest = parties()
    cli.post(entity, {"type": "customer", "id": "globex", "name": "Globex", "overage": "refuse"}, *rest)
    cli.post(grant("G"), usage("u1", "40.00", "2026-01-10"), usage("u2", "50.00", "2026-01-11"))
    assert "expected at most 50.00 USD" in cli.refuse(usage("v", "60.00", "2026-01-10", supersedes="u1"))
    assert _left(cli) == {"G": "10.00"}
    cli.post(usage("w", "50.00", "2026-01-10", supersedes="u1"))
    assert _left(cli) == {"G": "0.00"}
    cli.ok("verify")
