"""Published worked examples (tests/scenarios.json names their sources), posted as a user would post them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli

CASES = json.loads(Path(__file__).with_name("scenarios.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_published_example_gives_its_published_figures(cli: Cli, case: dict[str, Any]) -> None:
    cli.post(*case["documents"])
    cli.ok("recognize", "--through", case["recognize_through"])
    if case["expected_summary"] is not None:
        assert cli.summary() == case["expected_summary"]
    if "expected_revenue_by_year" in case:
        assert _revenue_by_year(cli) == case["expected_revenue_by_year"]
    assert "nothing was due" in cli.ok("recognize", "--through", case["recognize_through"])
    assert "posted 0 documents as 0 entries" in cli.post(*case["documents"])
    assert "all" in cli.ok("verify")


def _revenue_by_year(cli: Cli) -> dict[str, str]:
    years: dict[str, Decimal] = {}
    for month, moved in cli.summary().items():
        years[month[:4]] = years.get(month[:4], Decimal(0)) + Decimal(moved.get("revenue", "0"))
    return {year: f"{amount:.2f}" for year, amount in years.items() if amount}
