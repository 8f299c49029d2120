"""The conformance page says what the cases say: each exists, and asserts the figures the page prints as ours."""

from __future__ import annotations

import importlib
import inspect
import json
import re

import pytest

from tests.conformance import PAGE, STEPS, Requirement, render
from tests.test_worked_examples import CASES

ROWS = [row for rows in STEPS.values() for row in rows]
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:-\d\d-\d\d)?")


def test_the_page_is_that_of_the_list_with_nothing_differing() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(set()), "run `make conformance`"


@pytest.mark.parametrize("row", [row for row in ROWS if not row.gap], ids=lambda row: row.case)
def test_a_figure_of_ours_is_one_the_case_asserts(row: Requirement) -> None:
    module = importlib.import_module(f"tests.{row.module}")
    name, _, told_case = row.case.rstrip("]").partition("[")
    told = inspect.getsource(getattr(module, name))
    if told_case:
        told += json.dumps(next(case for case in module.CASES if case["id"] == told_case))
    for helper in re.findall(
        r"\b(_books|_post|_by_days|THREE|UNKNOWN|SOLD_TOGETHER|UNITS|MONTH|QUARTER|_master|GIVEN)\b", told
    ):
        found = getattr(module, helper)
        told += inspect.getsource(found) if callable(found) else json.dumps(found)
    number = re.match(r"test_pub_(\d+)", row.case)
    if number:
        told += json.dumps(CASES[f"PUB-{number[1]}"])
    plain = told.replace(",", "").replace("_", "")
    for figure in _NUMBER.findall(row.ours):
        assert re.search(rf"(?<![\d.]){re.escape(figure.replace(',', ''))}(?!\d)", plain), (row.case, figure)


def test_a_gap_says_why_and_every_other_row_names_a_case() -> None:
    for row in ROWS:
        assert bool(row.gap) != bool(row.case), row
        assert row.us, row
        assert row.ifrs, row
