"""Bonus credits that arrive after usage of their order: each credit earns the same, whatever came first (C31)."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import grant, invoice, parties, prepaid, promotion, usage
from tests.test_usage_amounts import _total

# 1,000 credits paid and 200 free: each earns 0.8333
LEAD = grant("G", "1000.00", contract="order", expires_on="2026-06-30")
DOCUMENTS: list[dict[str, Any]] = [
    promotion("B", "200.00", contract="order", expires_on="2026-06-30", priority=1),
    invoice("I", "2026-02-05", prepaid("1000.00")),
    usage("u", "300.00", "2026-01-20"),
    usage("v", "900.00", "2026-02-20", product="seats"),
]


@pytest.mark.parametrize("order", [order for order in permutations(range(4)) if order.index(0) < order.index(3)])
def test_whatever_comes_first(cli: Cli, order: tuple[int, ...]) -> None:
    cli.post(*parties(), LEAD)
    for index in order:
        cli.post(DOCUMENTS[index])
        cli.ok("verify")
    assert cli.summary() == {
        "2026-01": {"revenue": "250.00", "unbilled_receivable": "250.00"},
        "2026-02": {"accounts_receivable": "1000.00", "revenue": "750.00", "unbilled_receivable": "-250.00"},
    }


def test_after_the_month_was_closed_it_counts_in_the_first_open_one(cli: Cli) -> None:
    cli.post(*parties(), LEAD, invoice("I", "2026-01-01", prepaid("1000.00")), usage("u", "300.00", "2026-01-20"))
    cli.ok("recognize", "--through", "2026-01")
    cli.ok("close", "2026-01")
    cli.post(DOCUMENTS[0])
    assert cli.summary() == {
        "2026-01": {"accounts_receivable": "1000.00", "customer_credits": "700.00", "revenue": "300.00"},
        "2026-02": {"customer_credits": "50.00", "revenue": "-50.00"},
    }
    cli.ok("verify")


def test_after_paid_credits_expired(cli: Cli) -> None:
    """300 used, 700 expired; then 200 free ones of a later last day: 250.00 and 583.33 are earned, 166.67 are theirs."""
    cli.post(*parties(), LEAD, invoice("I", "2026-01-01", prepaid("1000.00")), usage("u", "300.00", "2026-01-20"))
    cli.ok("recognize", "--through", "2026-06")
    cli.post(promotion("B", "200.00", contract="order", expires_on="2026-12-31"))
    assert _total(cli) == {
        "accounts_receivable": "1000.00", "breakage_revenue": "583.33", "customer_credits": "166.67", "revenue": "250.00",
    }  # fmt: skip
    cli.ok("verify")
    cli.post(usage("v", "200.00", "2026-07-20"))
    assert _total(cli) == {"accounts_receivable": "1000.00", "breakage_revenue": "583.33", "revenue": "416.67"}
    cli.ok("verify")


def test_corrected_usage_gives_back_what_it_earns_by_now(cli: Cli) -> None:
    cli.post(*parties(), LEAD, usage("u", "300.00", "2026-01-20"), DOCUMENTS[0], DOCUMENTS[1])
    cli.post(usage("w", "240.00", "2026-01-20", supersedes="u"))
    assert _total(cli)["revenue"] == "200.00"
    cli.ok("verify")
    cli.post(usage("x", "0.00", "2026-01-20", supersedes="w"))
    assert _total(cli) == {"accounts_receivable": "1000.00", "customer_credits": "1000.00"}
    cli.ok("verify")


@pytest.mark.parametrize("recognised", [0, 1, 2, 3])
def test_what_expired_unbilled_has_its_part_of_the_price(cli: Cli, recognised: int) -> None:
    """832.00 for 832 and 208 credits: 501.56 of them earn 401.25 (501.56 x 832 / 1040), whenever it is recognised that they expired."""
    order = {"products": ["tokens"], "contract": "order", "expires_on": "2026-12-31"}
    documents = [
        grant("paid", "832.00", "2026-05-06", **order),
        promotion("bonus", "208.00", "2026-05-06", priority=1, **order),
        usage("U", "501.56", "2026-10-26"),
    ]
    cli.post(*parties())
    for number, document in enumerate(documents):
        if number == recognised:
            cli.ok("recognize", "--through", "2027-01")
        cli.post(document)
    cli.ok("recognize", "--through", "2027-01")
    cli.ok("verify")
    assert _total(cli) == {"revenue": "401.25", "unbilled_receivable": "401.25"}
