"""Published worked examples (tests/scenarios.json names their sources), posted as a user would post them."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli

_SETTLED_ROLES = ("unbilled_receivable", "deferred_revenue", "customer_credits", "refund_liability")
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
    # what is billed, given and settled leaves nothing standing, and no month is below zero without a cause
    held: Counter[str] = Counter()
    for moved in cli.summary().values():
        held.update({role: Decimal(moved.get(role, "0")) for role in _SETTLED_ROLES})
    if not any(held.values()):
        assert cli.report("standing", "--as-of", "2099-12-31") == []
    assert cli.report("below-zero") == []


def _revenue_by_year(cli: Cli) -> dict[str, str]:
    years: dict[str, Decimal] = {}
    for month, moved in cli.summary().items():
        years[month[:4]] = years.get(month[:4], Decimal(0)) + Decimal(moved.get("revenue", "0"))
    return {year: f"{amount:.2f}" for year, amount in years.items() if amount}
