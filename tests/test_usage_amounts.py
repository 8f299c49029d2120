"""Usage that states its amount, of any sign: a price is re-rated, and what falls gives back what was drawn last."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import PARTY, billed_usage, grant, invoice, parties, prepaid, promotion, usage


def amount(ref: str, value: str, day: str, **more: Any) -> dict[str, Any]:
    return {"type": "usage", "id": ref, **PARTY, "product": "tokens", "date": day, "amount": value, **more}


def _left(cli: Cli) -> dict[str, str]:
    return {row["grant"]: row["left"] for row in cli.report("wallet")}


def test_what_falls_gives_back_last_drawn_first(cli: Cli) -> None:
    # 30 of P, 50 of G, 20 beyond: a fall of 60 takes the 20, then 40 of G
    cli.post(
        *parties(), promotion("P", "30.00", priority=1), grant("G", "50.00"), invoice("I", "2026-01-01", prepaid("50.00")),
        usage("u", "100.00", "2026-01-10"), amount("fall", "-60.00", "2026-02-10"),
    )  # fmt: skip
    assert _left(cli) == {"P": "0.00", "G": "40.00"}
    assert cli.summary() == {
        "2026-01": {
            "accounts_receivable": "50.00", "promotional_credits": "30.00", "revenue": "100.00", "unbilled_receivable": "20.00",
        },
        "2026-02": {"customer_credits": "40.00", "revenue": "-60.00", "unbilled_receivable": "-20.00"},
    }  # fmt: skip
    cli.ok("verify")
    # 10 more of G, then the 30 of P
    cli.post(amount("all", "-40.00", "2026-02-11"))
    assert _left(cli) == {"P": "30.00", "G": "50.00"}
    assert cli.summary()["2026-02"] == {
        "customer_credits": "50.00", "promotional_credits": "-30.00", "revenue": "-100.00", "unbilled_receivable": "-20.00",
    }  # fmt: skip
    cli.ok("verify")
    assert "amount = -0.01 USD: expected a fall of at most 0 USD" in cli.refuse(amount("more", "-0.01", "2026-02-12"))


def test_no_more_falls_than_was_rated_of_the_product(cli: Cli) -> None:
    cli.post(*parties(), usage("u", "1", "2026-01-10", unit_price="12.345"))
    told = cli.refuse(amount("fall", "-12.3451", "2026-01-11"))
    assert (
        "amount = -12.3451 USD: expected a fall of at most 12.345 USD, the usage of tokens that is rated for globex"
        in told
    )
    assert "12.345" in cli.refuse(amount("other", "-12.346", "2026-01-11"))
    cli.post(amount("fall", "-12.345", "2026-01-11"))
    assert cli.summary() == {}
    cli.ok("verify")


def test_fractions_add_up_in_both_directions(cli: Cli) -> None:
    # 0.004, 0.008 (a cent), 0.0045 (none), 0.0055 (a cent)
    cli.post(*parties())
    for number, (value, posted) in enumerate((("0.004", {}), ("0.004", "0.01"), ("-0.0035", {}), ("0.001", "0.01"))):
        cli.post(amount(f"a{number}", value, "2026-01-10"))
        expected = {"2026-01": {"revenue": posted, "unbilled_receivable": posted}} if posted else {}
        assert cli.summary() == expected
        cli.ok("verify")


def test_what_was_billed_of_it_is_a_liability(cli: Cli) -> None:
    cli.post(
        *parties(), usage("u", "100.00", "2026-01-10"), invoice("I", "2026-01-31", billed_usage("100.00")),
        amount("fall", "-30.00", "2026-02-05"), usage("v", "50.00", "2026-03-01"),
    )  # fmt: skip
    # 30 are billed ahead, which later usage earns first
    assert cli.summary() == {
        "2026-01": {"accounts_receivable": "100.00", "revenue": "100.00"},
        "2026-02": {"deferred_revenue": "30.00", "revenue": "-30.00"},
        "2026-03": {"deferred_revenue": "-30.00", "revenue": "50.00", "unbilled_receivable": "20.00"},
    }
    cli.ok("verify")


def test_credits_that_come_back_after_their_last_day_expire_at_once(cli: Cli) -> None:
    cli.post(
        *parties(), grant("G", "100.00", expires_on="2026-01-31"), invoice("I", "2026-01-01", prepaid("100.00")),
        usage("u", "70.00", "2026-01-10"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    cli.post(amount("fall", "-20.00", "2026-02-10"))
    # 30 were broken in January; the 20 that come back break on the day they do
    assert cli.summary() == {
        "2026-01": {"accounts_receivable": "100.00", "breakage_revenue": "30.00", "revenue": "70.00"},
        "2026-02": {"breakage_revenue": "20.00", "revenue": "-20.00"},
    }
    assert "nothing was due" in cli.ok("recognize", "--through", "2026-02")
    cli.ok("verify")
    # late usage of January draws on what expired since
    cli.post(usage("v", "40.00", "2026-01-20"))
    cli.ok("recognize", "--through", "2026-02")
    total = {"accounts_receivable": "100.00", "breakage_revenue": "10.00", "revenue": "90.00"}
    assert _total(cli) == total
    cli.ok("verify")


def _total(cli: Cli) -> dict[str, str]:
    return {role: f"{amount:.2f}" for role, amount in cli.totals().items()}


def test_late_usage_does_not_draw_on_what_came_back_after_it(cli: Cli) -> None:
    cli.post(
        *parties(), grant("G", "100.00"), invoice("I", "2026-01-01", prepaid("100.00")), usage("u", "100.00", "2026-01-10"),
        amount("fall", "-30.00", "2026-02-10"), usage("late", "20.00", "2026-01-20"),
    )  # fmt: skip
    # in January nothing was left of the money: what the late usage draws is an asset until the 30 are back
    assert cli.summary() == {
        "2026-01": {"accounts_receivable": "100.00", "revenue": "120.00", "unbilled_receivable": "20.00"},
        "2026-02": {"customer_credits": "10.00", "revenue": "-30.00", "unbilled_receivable": "-20.00"},
    }
    cli.ok("verify")


def test_in_a_closed_month_it_counts_in_the_first_open_one(cli: Cli) -> None:
    cli.post(*parties(), grant("G"), invoice("I", "2026-01-01", prepaid("100.00")), usage("u", "80.00", "2026-01-10"))
    cli.ok("recognize", "--through", "2026-01")
    cli.ok("close", "2026-01")
    cli.post(amount("fall", "-30.00", "2026-01-15"))
    assert cli.summary()["2026-02"] == {"customer_credits": "30.00", "revenue": "-30.00"}
    cli.ok("verify")


def test_an_order_gives_back_what_each_of_its_credits_earned(cli: Cli) -> None:
    # 1,000 paid and 200 free: each credit earns 0.8333; 600 used earn 500.00, of which 120 give back 100.00
    cli.post(
        *parties(), grant("G", "1000.00", contract="order"), promotion("B", "200.00", contract="order", priority=1),
        invoice("I", "2026-01-01", prepaid("1000.00")), usage("u", "600.00", "2026-01-10"),
        amount("fall", "-120.00", "2026-02-10"),
    )  # fmt: skip
    assert cli.summary() == {
        "2026-01": {"accounts_receivable": "1000.00", "customer_credits": "500.00", "revenue": "500.00"},
        "2026-02": {"customer_credits": "100.00", "revenue": "-100.00"},
    }
    assert _left(cli) == {"G": "720.00", "B": "0.00"}
    cli.ok("verify")


def test_breakage_in_proportion_falls_with_it(cli: Cli) -> None:
    # a tenth never used: 450 of 1,000 used break 50; 90 given back break 10 less
    cli.post(
        *parties(),
        grant("G", "1000.00", expires_on="2026-12-31", breakage="proportional", expected_breakage="0.10"),
        invoice("I", "2026-01-01", prepaid("1000.00")), usage("u", "450.00", "2026-01-10"),
        amount("fall", "-90.00", "2026-02-10"),
    )  # fmt: skip
    assert cli.summary() == {
        "2026-01": {
            "accounts_receivable": "1000.00", "breakage_revenue": "50.00", "customer_credits": "500.00", "revenue": "450.00",
        },
        "2026-02": {"breakage_revenue": "-10.00", "customer_credits": "100.00", "revenue": "-90.00"},
    }  # fmt: skip
    cli.ok("verify")


def test_it_supersedes_and_is_superseded(cli: Cli) -> None:
    cli.post(
        *parties(), grant("G"), invoice("I", "2026-01-01", prepaid("100.00")), usage("u", "60.00", "2026-01-10"),
        amount("fall", "-20.00", "2026-01-12"),
    )  # fmt: skip
    assert _left(cli) == {"G": "60.00"}
    # of the 60, 40 were left; 70 less the 20 that fell are 50
    cli.post(amount("u2", "70.00", "2026-01-10", supersedes="u"))
    assert _left(cli) == {"G": "50.00"}
    cli.ok("verify")
    cli.post(amount("fall2", "-5.00", "2026-01-12", supersedes="fall"))
    assert _left(cli) == {"G": "35.00"}
    cli.ok("verify")
    assert "supersedes = u2: expected usage of tokens that did not fall since" in cli.refuse(
        usage("u3", "1.00", "2026-01-10", supersedes="u2")
    )
    assert cli.summary() == {
        "2026-01": {"accounts_receivable": "100.00", "customer_credits": "35.00", "revenue": "65.00"}
    }
    cli.ok("verify")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"quantity": "1"}, "amount = missing: expected a unit_price, or the amount it comes to"),
        ({"quantity": "1", "unit_price": "1", "amount": "1"}, "amount = 1: expected a unit_price, or the amount"),
        ({"unit_price": "1"}, "quantity = missing: expected beside unit_price"),
    ],
)
def test_a_price_or_an_amount(cli: Cli, fields: dict[str, str], words: str) -> None:
    cli.post(*parties())
    plain = {key: value for key, value in amount("u", "1", "2026-01-10").items() if key != "amount"}
    assert words in cli.refuse(plain | fields)


def test_terms_that_refuse_overage_count_what_came_back(cli: Cli) -> None:
    entity, _, *rest = parties()
    cli.post(entity, {"type": "customer", "id": "globex", "name": "Globex", "overage": "refuse"}, *rest)
    cli.post(grant("G"), usage("u", "100.00", "2026-01-10"))
    assert "amount = 1.00: expected at most 0.00 USD" in cli.refuse(amount("a", "1.00", "2026-01-11"))
    cli.post(amount("fall", "-10.00", "2026-01-11"), amount("b", "10.00", "2026-01-12"))
    cli.ok("verify")


def test_an_invoice_shows_what_is_left_of_usage(cli: Cli) -> None:
    cli.post(
        *parties(), usage("u", "60.00", "2026-01-10"), amount("v", "40.00", "2026-01-11", quantity="3"),
        amount("fall", "-30.00", "2026-01-12"), invoice("I", "2026-01-31", billed_usage("70.00")),
    )  # fmt: skip
    shown = json.loads(cli.ok("invoice", "I", "--format", "json"))
    (line,) = shown["groups"][0]["items"][0]["lines"]
    assert [(row["document"], row["amount"], row["unit_price"]) for row in line["usage"]] == [
        ("u", "60.00", "1"), ("v", "40.00", None), ("fall", "-30.00", None),
    ]  # fmt: skip
    assert "usage.overage_returned" in cli.ok("trace", "usage:fall")


@pytest.mark.parametrize("recognised", [False, True])
def test_credits_expire_on_their_last_day_whenever_that_is_posted(cli: Cli, recognised: bool) -> None:
    """40.00 of 50.00 used, 10.00 expire in February; in March 15.00 of the use fall, which expire there."""
    cli.post(
        *parties(),
        grant("G", "50.00", expires_on="2026-02-28"),
        invoice("P", "2026-01-01", prepaid("50.00")),
        usage("u", "40.00", "2026-01-20"),
    )
    if recognised:
        cli.ok("recognize", "--through", "2026-02")
    cli.post(amount("fall", "-15.00", "2026-03-05"))
    cli.ok("recognize", "--through", "2026-03")
    cli.ok("verify")
    broken = {month: moved.get("breakage_revenue") for month, moved in cli.summary().items()}
    assert (broken["2026-02"], broken["2026-03"]) == ("10.00", "15.00")
