"""Material rights: free credits promised with a contract share its price; figures worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import PARTY, contract, invoice, obligation, parties, promotion, usage
from tests.test_disclosures import assert_disclosures_tie


def _agreed(**more: Any) -> dict[str, Any]:
    seats = {
        "id": "C/o",
        "product": "seats",
        "price": "120.00",
        "start": "2026-01-01",
        "end": "2026-12-31",
        "pattern": "monthly",
        **more,
    }
    return {"type": "contract", "id": "C", **PARTY, "signed_on": "2026-01-01", "obligations": [seats]}


def _bill(day: str = "2026-01-01", amount: str = "120.00") -> dict[str, Any]:
    return invoice(f"I{day}", day, {"id": "1", "kind": "service", "amount": amount, "obligation": "C/o"})


CREDITS = promotion("F", "40.00", contract="C", expires_on="2026-12-31")


def _months(cli: Cli, *roles: str) -> dict[str, dict[str, str]]:
    found = {month: {role: moved[role] for role in roles if role in moved} for month, moved in cli.summary().items()}
    return {month: moved for month, moved in found.items() if moved}


@pytest.mark.parametrize("billed_first", [True, False])
def test_credits_share_the_price_of_their_contract(cli: Cli, connection: Any, *, billed_first: bool) -> None:
    """40 of 160: 30.00 of the 120.00 is the credits', 90.00 the seats': 7.50 a month; each credit of 1.00 earns 0.75."""
    documents = [_bill(), CREDITS] if billed_first else [CREDITS, _bill("2026-03-15")]
    cli.post(*parties(), _agreed(), *documents, usage("u", "20.00", "2026-02-10"))
    cli.ok("recognize", "--through", "2026-04")
    assert _months(cli, "revenue") == {
        "2026-01": {"revenue": "7.50"}, "2026-02": {"revenue": "22.50"}, "2026-03": {"revenue": "7.50"}, "2026-04": {"revenue": "7.50"},
    }  # fmt: skip
    held = {row["role"]: row["credit"] for row in cli.report("trial-balance") if row["credit"] != "0.00"}
    # 90.00 less four months, and 20 credits left at 0.75
    assert (held["deferred_revenue"], held["customer_credits"], held["revenue"]) == ("60.00", "15.00", "45.00")
    cli.ok("verify")
    cli.ok("recognize", "--through", "2026-12")
    total = {row["role"]: row["credit"] for row in cli.report("trial-balance") if row["credit"] != "0.00"}
    assert total == {"revenue": "105.00", "breakage_revenue": "15.00"}
    assert "nothing was due" in cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")
    connection.rollback()
    assert_disclosures_tie(connection)


@pytest.mark.parametrize("first", ["40.00", "10.00"])
def test_credits_given_in_two_grants_leave_the_same_to_the_rest(cli: Cli, first: str) -> None:
    """80 of 200 are credits, in whatever grants: 48.00 of the 120.00, and 72.00 for the seats, 6.00 a month."""
    second = f"{80 - float(first):.2f}"
    cli.post(*parties(), _agreed(), _bill(), promotion("F", first, contract="C"), promotion("G", second, contract="C"))
    cli.ok("recognize", "--through", "2026-01")
    assert _months(cli, "customer_credits", "revenue") == {"2026-01": {"customer_credits": "48.00", "revenue": "6.00"}}
    assert "expected credits whose share of the contract's price is something" in cli.refuse(
        promotion("H", "0.01", contract="C")
    )
    cli.ok("verify")


def test_stand_alone_prices_weigh_where_the_contract_gives_them(cli: Cli) -> None:
    # worth 360 alone: credits of 40 are a tenth of 400, and of the 120.00
    cli.post(*parties(), _agreed(ssp="360.00"), _bill(), CREDITS)
    cli.ok("recognize", "--through", "2026-01")
    assert _months(cli, "customer_credits", "revenue") == {"2026-01": {"customer_credits": "12.00", "revenue": "9.00"}}
    (wallet,) = cli.report("wallet")
    assert (wallet["granted"], wallet["left"], wallet["liability"]) == ("40.00", "40.00", "12.00")
    (row,) = [row for row in cli.report("schedule") if row["month"] == "2026-12"]
    assert row["to_date"] == "108.00"


def test_credits_given_later_take_from_what_is_not_earned(cli: Cli) -> None:
    """In July the price falls to 90.00: half of it is earned, so 15.00 of the 60.00 recognised goes back."""
    cli.post(
        *parties(), _agreed(), _bill(), promotion("F", "40.00", "2026-07-01", contract="C", expires_on="2026-12-31")
    )
    cli.ok("recognize", "--through", "2026-07")
    months = _months(cli, "revenue")
    assert months["2026-06"] == {"revenue": "10.00"}
    # 90.00 x 7/12 less the 60.00 before
    assert months["2026-07"] == {"revenue": "-7.50"}
    cli.ok("verify")


def test_credits_that_come_in_after_a_later_invoice(cli: Cli) -> None:
    """Given in January, known after March's invoice: what was an asset from January on is settled by it in March."""
    cli.post(*parties(), _agreed(), _bill("2026-03-15"))
    cli.post(CREDITS)
    cli.ok("verify")
    months = _months(cli, "unbilled_receivable", "deferred_revenue", "customer_credits")
    # 30.00 of the 120.00
    assert months["2026-01"] == {"unbilled_receivable": "30.00", "customer_credits": "30.00"}
    assert months["2026-03"] == {"unbilled_receivable": "-30.00", "deferred_revenue": "90.00"}
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")


def test_credits_of_a_contract_without_a_price_are_refused(cli: Cli) -> None:
    told = (
        "expected a paid grant of the order, or a contract with obligations, posted before: the credits share its price"
    )
    cli.post(*parties())
    assert told in cli.refuse(CREDITS)
    cli.post({"type": "contract", "id": "C", **PARTY, "signed_on": "2026-01-01", "draw_order": ["promotional"]})
    assert told in cli.refuse(CREDITS)


def test_example_52_points_that_are_not_all_likely_to_be_used(cli: Cli) -> None:
    """100,000 of products and 10,000 points at 1.00, 95 % of which are likely to be used: 9,500 / 109,500 are 8,675.80.

    4,500 of 9,500 are used in the first year: 4,109.59. Then 9,700 are expected: 4,500 / 9,700 are 4,024.86, and with 4,000 more
    7,602.50.
    """
    sold = {"id": "C/o", "product": "seats", "price": "100000.00", "start": "2026-01-01", "pattern": "point_in_time"}
    cli.post(
        *parties(), {"type": "contract", "id": "C", **PARTY, "signed_on": "2026-01-01", "obligations": [sold]},
        _bill(amount="100000.00"), promotion("F", "10000.00", contract="C", expected_use="0.95"), usage("u", "4500.00", "2026-12-10"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-12")
    months = _months(cli, "revenue", "breakage_revenue")
    assert months["2026-01"] == {"revenue": "91324.20"}
    # 4,500 at 0.86758, and of what will not be used: 433.79 x 4,500 / 9,500; then 260.27 x 4,500 / 9,700 and x 8,500 / 9,700
    assert months["2026-12"] == {"revenue": "3904.11", "breakage_revenue": "205.48"}
    cli.post(
        {"type": "breakage_estimate", "id": "e", "customer": "globex", "grant": "F", "date": "2027-01-31",
         "expected_breakage": "0.03", "reason": "more were used"},
        usage("v", "4000.00", "2027-02-10"),
    )  # fmt: skip
    months = _months(cli, "revenue", "breakage_revenue")
    assert months["2027-01"] == {"breakage_revenue": "-84.73"}
    assert months["2027-02"] == {"revenue": "3470.32", "breakage_revenue": "107.33"}
    cli.ok("verify")


def test_a_likelihood_of_use_is_of_credits_that_share_a_contracts_price(cli: Cli) -> None:
    cli.post(*parties(), _agreed(), {**promotion("G", "10.00"), "kind": "prepaid", "contract": "order"})
    assert "expected_use = 0.5: expected none: every credit of an order earns the same" in cli.refuse(
        promotion("B", "1.00", contract="order", expected_use="0.5")
    )
    assert "expected_use = 0.5: expected on free credits that name a contract" in cli.refuse(
        promotion("P", "1.00", expected_use="0.5")
    )
    assert "expected_use = 1.1: expected a share of at most 1" in cli.refuse(
        promotion("P", "1.00", contract="C", expected_use="1.1")
    )


@pytest.mark.parametrize("first", [True, False])
def test_credits_share_the_price_of_their_day_whatever_came_in_before(cli: Cli, *, first: bool) -> None:
    """1,200.00 and credits of 300.00 from January on share 1,200.00, though the price is 2,400.00 from July on: 240.00 is theirs."""
    bonus = promotion("P", "300.00", contract="C")
    more = {
        "type": "contract_modification", "id": "M", "contract": "C", "date": "2026-07-01", "reason": "more",
        "obligations": [obligation("C/s", "2400.00", "2026-01-01", "2026-12-31")],
    }  # fmt: skip
    cli.post(*parties(), contract("C", "2026-01-01", obligation("C/s", "1200.00", "2026-01-01", "2026-12-31")))
    cli.post(*([bonus, more] if first else [more, bonus]))
    cli.ok("recognize", "--through", "2026-12")
    assert cli.summary()["2026-01"]["customer_credits"] == "240.00"
    assert "all" in cli.ok("verify")
