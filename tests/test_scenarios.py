"""Published worked examples (tests/scenarios.json names their sources), posted as a user would post them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, lines

CASES = json.loads(Path(__file__).with_name("scenarios.json").read_text(encoding="utf-8"))["cases"]

# What these need is refused, by name, until it is built: a document type, a pattern, another currency.
NOT_YET = {
    "asc606-ex5a": "contract_modification",
    "asc606-ex7": "contract_modification",
}


@pytest.mark.parametrize("case", [c for c in CASES if c["id"] not in NOT_YET], ids=lambda case: case["id"])
def test_a_published_example_gives_its_published_figures(cli: Cli, case: dict[str, Any]) -> None:
    cli.post(*case["documents"])
    cli.ok("recognize", "--through", case["recognize_through"])
    assert cli.summary() == case["expected_summary"]
    assert "nothing was due" in cli.ok("recognize", "--through", case["recognize_through"])
    assert "posted 0 documents as 0 entries" in cli.post(*case["documents"])
    assert "all" in cli.ok("verify")


@pytest.mark.parametrize("case", [c for c in CASES if c["id"] in NOT_YET], ids=lambda case: case["id"])
def test_what_is_not_built_is_refused_and_nothing_posted(cli: Cli, case: dict[str, Any]) -> None:
    assert NOT_YET[case["id"]] in cli.refused("post", "-", stdin=lines(case["documents"]))
    assert cli.report("summary") == []
