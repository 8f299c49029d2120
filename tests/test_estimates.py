"""Variable consideration: the standard's own examples of it (606-10-55), and what is refused.

Each test says in a sentence why the figures are what they are.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from ledger.intake.posting import post_lines
from revrec.kinds import TYPES
from tests.conftest import Cli
from tests.samples import PARTY, contract, obligation, parties


def _agreed(*obligations: dict[str, Any], signed: str = "2026-01-01") -> dict[str, Any]:
    return {"type": "contract", "id": "C", **PARTY, "signed_on": signed, "obligations": list(obligations)}


def _obligation(ref: str, price: str, start: str = "2026-01-01", end: str | None = None, **more: Any) -> dict[str, Any]:
    made = {"id": f"C/{ref}", "product": "seats", "price": price, "start": start, "end": end, **more}
    return {key: value for key, value in made.items() if value is not None}


def _estimate(day: str, component: str = "bonus", **more: Any) -> dict[str, Any]:
    return {
        "type": "estimate",
        "id": f"{component}/{day}",
        "contract": "C",
        "component": component,
        "date": day,
        **more,
    }


def _scenarios(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"amount": amount, "probability": probability} for amount, probability in pairs]


def _progress(day: str, obligation: str = "C/o", **more: Any) -> dict[str, Any]:
    return {"type": "progress", "id": f"{obligation}/{day}", "obligation": obligation, "date": day, **more}


def _revenue(cli: Cli) -> dict[str, str]:
    return {month: moved["revenue"] for month, moved in cli.summary().items() if "revenue" in moved}


def test_example_21_a_penalty_by_days_and_an_award(cli: Cli) -> None:
    """Example 21 (606-10-55-197 to 200): 2,500,000 less or plus 10,000 a day by expected value, 150,000 award as most likely.

    The penalty has a range of outcomes, so expected value predicts it; the award has two, so the likelier does (32-8).
    """
    days = [("20000.00", "0.20"), ("0.00", "0.50"), ("-20000.00", "0.30")]
    cli.post(
        *parties(), _agreed(_obligation("o", "2500000.00", pattern="progress")),
        _estimate("2026-01-01", "delay", method="expected_value", scenarios=_scenarios(*days)),
        _estimate("2026-01-01", "award", method="most_likely", scenarios=_scenarios(("150000.00", "0.80"), ("0.00", "0.20"))),
        _progress("2026-06-30", percent="50"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-06")
    # 0.2 x 20,000 - 0.3 x 20,000 = -2,000; half of 2,500,000 - 2,000 + 150,000
    assert _revenue(cli) == {"2026-06": "1324000.00"}
    rows = [(r["component"], r["expected"], r["included"]) for r in cli.report("estimates")]
    assert rows == [("delay", "-2000.00", "-2000.00"), ("award", "150000.00", "150000.00")]


def test_example_22_returns_are_expected(cli: Cli) -> None:
    """Example 22 (606-10-55-202 to 207): 100 sold at 100, three expected back: 97 x 100 of revenue, 300 is not the seller's.

    The exact price is 9,700; the 300 billed beyond it is a refund liability.
    """
    line = {"id": "1", "kind": "service", "amount": "10000.00", "obligation": "C/o"}
    cli.post(
        *parties(), _agreed(_obligation("o", "10000.00", pattern="point_in_time")), _estimate("2026-01-01", "returns", amount="-300.00", refund=True),
        {"type": "invoice", "id": "I", **PARTY, "issued_on": "2026-01-01", "due_on": "2026-01-01", "lines": [line]},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    assert _revenue(cli) == {"2026-01": "9700.00"}
    held = {row["role"]: row["credit"] for row in cli.report("trial-balance")}
    assert (held["refund_liability"], held["deferred_revenue"]) == ("300.00", "0.00")
    # nobody returns anything: the liability becomes revenue
    cli.post(_estimate("2026-03-31", "returns", amount="0.00", refund=True, reason="the time to return is over"))
    cli.ok("recognize", "--through", "2026-03")
    assert _revenue(cli) == {"2026-01": "9700.00", "2026-03": "300.00"}


def test_what_comes_back_leaves_the_refund_liability(cli: Cli) -> None:
    """Of 100 at 100, three are expected back: one is credited, one is refunded when it was paid, the third never comes.

    9,700 is earned at once; each return takes 100 out of the liability and moves no revenue; the third's 100 is earned at last.
    """
    line = {"id": "1", "kind": "service", "amount": "10000.00", "obligation": "C/o"}
    cli.post(
        *parties(), _agreed(_obligation("o", "10000.00", pattern="point_in_time")), _estimate("2026-01-01", "returns", amount="-300.00", refund=True),
        {"type": "invoice", "id": "I", **PARTY, "issued_on": "2026-01-01", "due_on": "2026-01-01", "lines": [line]},
    )  # fmt: skip

    def owed() -> tuple[str, str, str]:
        cli.ok("recognize", "--through", "2026-04")
        assert "nothing was due" in cli.ok("recognize", "--through", "2026-04")
        cli.ok("verify")
        held = {row["role"]: row for row in cli.report("trial-balance")}
        return (
            held["refund_liability"]["credit"],
            held["revenue"]["credit"],
            held.get("refunds", {"debit": "0.00"})["debit"],
        )

    assert owed() == ("300.00", "9700.00", "0.00")
    cli.post(
        {
            "type": "credit_note",
            "id": "N",
            "invoice": "I",
            "date": "2026-02-10",
            "lines": [{"line": "1", "amount": "100.00"}],
        }
    )
    assert owed() == ("200.00", "9700.00", "0.00")
    cli.post(
        {"type": "payment", "id": "P", **PARTY, "date": "2026-02-20", "rail": "wire", "amount": "9900.00",
         "applications": [{"invoice": "I", "amount": "9900.00"}]},
        {"type": "refund", "id": "R", "payment": "P", "date": "2026-03-10", "amount": "100.00", "invoice": "I"},
    )  # fmt: skip
    assert owed() == ("100.00", "9700.00", "0.00")
    cli.post(_estimate("2026-04-10", "returns", amount="-200.00", refund=True, reason="two came back, and no more can"))
    assert owed() == ("0.00", "9800.00", "0.00")


def test_a_volume_rebate_on_usage(cli: Cli) -> None:
    """Five per cent of the year's usage comes back if there is enough of it: 50 of January's 1,000, 100 of February's 2,000.

    It is taken off revenue as it is expected, owed until an invoice gives it, and then no longer.
    """
    tokens = {"id": "C/tokens", "product": "tokens", "start": "2026-01-01", "end": "2026-12-31", "pattern": "usage"}
    rebate = {"refund": True, "obligations": ["C/tokens"]}
    used = [
        {
            "type": "usage",
            "id": day,
            **PARTY,
            "product": "tokens",
            "date": day,
            "quantity": quantity,
            "unit_price": "1.00",
        }
        for day, quantity in (("2026-01-20", "1000"), ("2026-02-20", "2000"))
    ]
    bills = [
        {"type": "invoice", "id": "I", **PARTY, "issued_on": "2026-02-28", "due_on": "2026-03-31", "lines": [
            {"id": "1", "kind": "usage", "amount": "3000.00", "product": "tokens"}]},
        {"type": "invoice", "id": "J", **PARTY, "issued_on": "2026-03-31", "due_on": "2026-04-30", "lines": [
            {"id": "1", "kind": "one_time", "amount": "400.00", "product": "seats"},
            {"id": "2", "kind": "service", "amount": "-150.00", "obligation": "C/tokens"}]},
    ]  # fmt: skip
    cli.post(
        *parties(), _agreed(tokens), *used, bills[0], _estimate("2026-01-31", "rebate", amount="-50.00", **rebate),
        _estimate("2026-02-28", "rebate", amount="-150.00", **rebate),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")
    assert _revenue(cli) == {"2026-01": "950.00", "2026-02": "1900.00"}
    assert {row["role"]: row["credit"] for row in cli.report("trial-balance")}["refund_liability"] == "150.00"
    cli.post(bills[1])
    cli.ok("recognize", "--through", "2026-03")
    cli.ok("verify")
    assert _revenue(cli) == {"2026-01": "950.00", "2026-02": "1900.00", "2026-03": "400.00"}
    held = {row["role"]: (row["debit"], row["credit"]) for row in cli.report("trial-balance")}
    assert held["accounts_receivable"] == ("3250.00", "0.00")
    assert held["refund_liability"] == ("0.00", "0.00")
    assert "expected an obligation of C that goes on" in cli.refuse(
        _estimate("2026-04-01", "bonus", amount="5.00", obligations=["C/tokens"])
    )


def test_a_refund_is_estimated_as_one_throughout(cli: Cli) -> None:
    cli.post(*parties(), _agreed(_obligation("o", "100.00", pattern="point_in_time")))
    assert "amount = 1.00: expected zero or less for a refund" in cli.refuse(
        _estimate("2026-01-02", amount="1.00", refund=True)
    )
    assert "expected zero or less for a refund" in cli.refuse(
        _estimate("2026-01-02", method="most_likely", scenarios=_scenarios(("5.00", "1")), refund=True)
    )
    cli.post(_estimate("2026-01-02", amount="-1.00", refund=True))
    assert "refund = false: expected a refund, as bonus was estimated before" in cli.refuse(
        _estimate("2026-01-03", amount="-1.00")
    )


@pytest.mark.parametrize(("constraint", "expected"), [(None, "60000.00"), ("-40000.00", "60000.00")])
def test_example_23_price_concessions(cli: Cli, constraint: str | None, expected: str) -> None:
    """Example 23 (606-10-55-208 to 215): 1,000 products at 100; 40 % price concessions are expected: 60,000 whichever way.

    Case B's wider range is held to 40 % by the constraint; an estimate below it is no more than what is probable.
    """
    more = {} if constraint is None else {"constraint": constraint}
    cli.post(
        *parties(),
        _agreed(_obligation("o", "100000.00", pattern="point_in_time")),
        _estimate("2026-01-01", "concession", amount="-40000.00", **more),
    )
    cli.ok("recognize", "--through", "2026-01")
    assert _revenue(cli) == {"2026-01": expected}


def test_example_24_a_volume_discount(cli: Cli) -> None:
    """Example 24 (606-10-55-216 to 220): 75 units at 100; then 500 at 90, for the price falls backwards over 1,000 units.

    In the second quarter 500 x 90 less 75 x 10 for the first quarter's: 44,250.
    """
    units = _obligation("units", "100000.00", pattern="progress", quantity="1000")
    cli.post(
        *parties(), _agreed(units), _progress("2026-03-31", "C/units", quantity="75"),
        _estimate("2026-04-01", "discount", amount="-10000.00", reason="more than 1,000 units expected"), _progress("2026-06-30", "C/units", quantity="500"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-06")
    months = _revenue(cli)
    assert months["2026-03"] == "7500.00"
    # the 750 are taken back when the estimate changes, in April
    assert months["2026-04"] == "-750.00"
    assert months["2026-06"] == "45000.00"
    assert float(months["2026-04"]) + float(months["2026-06"]) == 44250


def test_example_25_fees_that_depend_on_the_market(cli: Cli) -> None:
    """Example 25 (606-10-55-221 to 225): an incentive fee on a market nobody can predict is constrained to nothing until it is fixed."""
    cli.post(
        *parties(), _agreed(_obligation("o", "120.00", "2026-01-01", "2026-12-31", pattern="monthly")),
        _estimate("2026-01-01", "incentive", amount="60.00", constraint="0.00", reason="the market is outside our influence"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-06")
    assert set(_revenue(cli).values()) == {"10.00"}
    (row,) = cli.report("estimates")
    assert (row["expected"], row["constrained"], row["included"]) == ("60.00", "60.00", "0.00")
    cli.post(_estimate("2026-12-31", "incentive", amount="48.00", reason="fixed"))
    cli.ok("recognize", "--through", "2026-12")
    assert _revenue(cli)["2026-12"] == "58.00"


def test_example_35_b_variable_consideration_shared(cli: Cli) -> None:
    """Example 35, Case B (606-10-55-273 to 279): 300 fixed and 1,000 expected royalties for two licences of 800 and 1,000.

    Nothing says that the royalties are for one of them alone, so the fixed 300 is allocated by stand-alone prices:
    300 x 800 / 1,800 = 133.33 and 166.67; each royalty that comes in is shared alike.
    """
    licences = [
        {"id": f"C/{ref}", "product": "seats", "ssp": ssp, "start": day, "pattern": "point_in_time"}
        for ref, ssp, day in (("x", "800.00", "2026-01-01"), ("y", "1000.00", "2026-02-01"))
    ]
    cli.post(
        *parties(), {**_agreed(*licences), "price": "300.00"}, _estimate("2026-03-31", "royalties", amount="200.00")
    )
    cli.ok("recognize", "--through", "2026-03")
    # 200 x 800 / 1,800 = 88.89 and 111.11, both licences being given already
    assert _revenue(cli) == {"2026-01": "133.33", "2026-02": "166.67", "2026-03": "200.00"}
    schedule = {(r["obligation"], r["month"]): r["recognised"] for r in cli.report("schedule")}
    assert (schedule["C/x", "2026-03"], schedule["C/y", "2026-03"]) == ("88.89", "111.11")


def test_example_35_a_variable_consideration_of_one_licence(cli: Cli) -> None:
    """Example 35, Case A (606-10-55-271 to 272): 800 fixed is licence X's, the royalties of 1,000 are licence Y's (32-40)."""
    cli.post(
        *parties(), _agreed(_obligation("x", "800.00", "2026-02-01", pattern="point_in_time"), _obligation("y", "0.00", pattern="point_in_time")),
        _estimate("2026-03-31", "royalties", amount="200.00", obligations=["C/y"]),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-03")
    assert _revenue(cli) == {"2026-02": "800.00", "2026-03": "200.00"}


def test_example_6_a_change_of_the_price_after_a_modification(cli: Cli) -> None:
    """Example 6 (606-10-55-117 to 124): products X and Y for 1,000 fixed and 200 variable; X is given; then Z joins for 300.

    At first 1,200 is shared equally: 600 for X. The modification leaves 600 + 300 for Y and Z: 450 each. Before it the
    variable part turns out 40 more: 20 of it is X's, given already, at once; 20 is Y's. The published figures.
    """

    def product(ref: str, price: str, day: str) -> dict[str, Any]:
        return _obligation(ref, price, day, pattern="point_in_time", ssp="500.00")

    cli.post(
        *parties(), _agreed(product("x", "500.00", "2026-01-01"), product("y", "500.00", "2026-06-30")),
        _estimate("2026-01-01", "variable", amount="200.00"),
        {"type": "contract_modification", "id": "M", "contract": "C", "date": "2026-02-01",
         "obligations": [product("z", "300.00", "2026-07-31")]},
        # the 40 relate to X and Y as they were promised: X's 20 at once; Y's 20 are what Y and Z share now
        _estimate("2026-03-01", "variable", amount="240.00"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-07")
    assert _revenue(cli) == {"2026-01": "600.00", "2026-03": "20.00", "2026-06": "460.00", "2026-07": "460.00"}
    cli.ok("verify")


def test_an_estimate_anew_counts_from_its_day(cli: Cli) -> None:
    cli.post(
        *parties(), _agreed(_obligation("o", "1200.00", "2026-01-01", "2026-12-31", pattern="monthly")),
        _estimate("2026-01-01", amount="120.00"), _estimate("2026-04-01", amount="0.00"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-05")
    months = _revenue(cli)
    # 110 a month; in April 4/12 of 1,200 less the 330 before
    assert months == {
        "2026-01": "110.00",
        "2026-02": "110.00",
        "2026-03": "110.00",
        "2026-04": "70.00",
        "2026-05": "100.00",
    }
    assert "nothing was due" in cli.ok("recognize", "--through", "2026-05")
    cli.ok("verify")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            _estimate("2026-02-01", amount="1.00", contract="none"),
            "contract = none: expected the id of a contract posted before",
        ),
        (_estimate("2026-02-01"), "expected possible amounts with their probabilities, or one amount"),
        (
            _estimate("2026-02-01", scenarios=_scenarios(("1.00", "0.5")), method="expected_value"),
            "expected probabilities that sum to 1",
        ),
        (
            _estimate("2026-02-01", amount="1.00", method="most_likely"),
            "method = most_likely: expected with scenarios, and only there",
        ),
        (
            _estimate("2026-02-01", scenarios=_scenarios(("1.00", "0.5"), ("2.00", "0.5")), method="most_likely"),
            "expected one amount that is the most likely",
        ),
        (
            _estimate("2026-02-01", amount="1.00", constraint="2.00"),
            "constraint = 2.00: expected an amount between 0 and the estimate, 1.00",
        ),
        (
            _estimate("2026-02-01", amount="-1.00", constraint="1.00"),
            "expected an amount between 0 and the estimate, -1.00",
        ),
        (_estimate("2025-12-31", amount="1.00"), "date = 2025-12-31: expected 2026-01-01"),
        (_estimate("2026-02-01", amount="-200.00"), "expected no more taken off C/o than its price, 100.00"),
        (_estimate("2026-02-01", amount="1.00", obligations=["C/none"]), "expected an obligation of C that goes on"),
        (_estimate("2026-02-01", amount="1.005"), "amount = 1.005 USD: expected at most 2"),
    ],
)
def test_bad_estimates_are_refused(cli: Cli, document: dict[str, Any], words: str) -> None:
    cli.post(*parties(), _agreed(_obligation("o", "100.00", "2026-01-01", "2026-12-31")))
    assert words in cli.refuse(document)


def test_what_is_cancelled_changes_no_more(cli: Cli) -> None:
    cli.post(
        *parties(), _agreed(_obligation("o", "100.00", "2026-01-01", "2026-12-31"), _obligation("p", "50.00", "2026-01-01", "2026-12-31", product="tokens")),
        {"type": "contract_modification", "id": "M", "contract": "C", "date": "2026-03-01", "cancel": ["C/o"]},
    )  # fmt: skip
    again = {"type": "contract_modification", "id": "N", "contract": "C", "date": "2026-04-01"}
    assert "expected an obligation that goes on; it is cancelled" in cli.refuse(
        again | {"obligations": [_obligation("o", "90.00", "2026-01-01", "2026-12-31")]}
    )
    assert "cancel = C/o: expected an obligation that is not cancelled yet" in cli.refuse(again | {"cancel": ["C/o"]})
    # what is estimated later is shared by what goes on
    cli.post(_estimate("2026-04-01", amount="10.00"))
    assert "expected an obligation of C that goes on" in cli.refuse(
        _estimate("2026-04-02", "fee", amount="1.00", obligations=["C/o"])
    )
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")


def test_two_who_estimate_of_one_contract_at_once_wait_for_each_other(cli: Cli, engine: Engine) -> None:
    cli.post(*parties(), contract("c-1", "2026-01-01", obligation("seats", "1200.00", "2026-01-01", "2026-12-31")))

    def estimated(connection: Connection, component: str, amount: str) -> None:
        doc = {"type": "estimate", "id": component, "contract": "c-1", "component": component, "date": "2026-03-01"}
        raw = json.dumps({**doc, "amount": amount, "reason": "more is known"}).encode()
        outcome = post_lines(connection, [raw], TYPES, "tester", lambda problem, _: pytest.fail(str(problem)))
        assert outcome.posted == 1

    with engine.connect() as first, engine.connect() as second, ThreadPoolExecutor(1) as beside:
        estimated(first, "bonus", "240.00")
        waiting = beside.submit(estimated, second, "penalty", "-60.00")
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.5)
        first.commit()
        waiting.result(timeout=30)
        second.commit()
    (row,) = cli.report("contracts")
    assert row["price"] == "1380.00"


@pytest.mark.parametrize("way", ["write_off", "refund"])
def test_what_was_given_up_as_earned_is_not_taken_off_again(cli: Cli, way: str) -> None:
    """120.00 of four months, 30.00 of it earned by 1 February and given up with the rest: a price below 30.00 would be owed to nobody."""
    bill = {
        "type": "invoice", "id": "I", **PARTY, "issued_on": "2026-01-01", "due_on": "2026-01-31",
        "lines": [{"id": "1", "kind": "service", "obligation": "C/o", "amount": "120.00"}],
    }  # fmt: skip
    cli.post(*parties(), _agreed(_obligation("o", "120.00", end="2026-04-30", pattern="monthly")), bill)
    given_up = [
        {"type": "write_off", "id": "W", "invoice": "I", "date": "2026-01-31", "reason": "x", "approved_by": "ann"}
    ]
    if way == "refund":
        paid = {"type": "payment", "id": "P", **PARTY, "currency": "USD", "date": "2026-01-02", "rail": "wire", "amount": "120.00",
                "applications": [{"invoice": "I", "amount": "120.00"}]}  # fmt: skip
        given_up = [paid, {"type": "refund", "id": "R", "payment": "P", "date": "2026-01-31", "amount": "120.00"}]
    cli.post(*given_up)
    cli.ok("recognize", "--through", "2026-04")
    before = cli.totals()
    said = cli.refuse(_estimate("2026-02-10", amount="-100.00"))
    assert "estimate bonus/2026-02-10: amount = -100.00: expected no more taken off C/o than its price" in said
    assert "30.00 that was written off of it or given back" in said
    assert cli.totals() == before
    # told of a day before, it is of the price that was given up
    cli.post(_estimate("2026-01-10", amount="-20.00"))
    cli.ok("recognize", "--through", "2026-04")
    cli.ok("verify")
    if way == "write_off":  # a quarter of 100.00 had been earned
        assert cli.totals() == {"bad_debt": 25, "revenue": 25}


def test_two_components_take_no_more_off_than_the_price_in_either_order(cli: Cli) -> None:
    """120.00 less 100.00 in February; 50.00 of another component of January would leave -30.00."""
    cli.post(*parties(), _agreed(_obligation("o", "120.00", end="2026-04-30", pattern="monthly")))
    first, second = _estimate("2026-02-10", amount="-100.00"), _estimate("2026-01-15", "other", amount="-50.00")
    cli.post(first)
    assert "expected no more taken off C/o than its price, 20.00" in cli.refuse(second)
    cli.post({**second, "amount": "-20.00"})
    assert "revenue" not in cli.totals()


def test_what_came_and_went_again_is_given_up_in_the_end(cli: Cli) -> None:
    """30.00 of 120.00 were earned and written off; all came in and bounced: a price of 20.00 would be below what is given up."""
    bill = {
        "type": "invoice", "id": "I", **PARTY, "issued_on": "2026-01-01", "due_on": "2026-01-31",
        "lines": [{"id": "1", "kind": "service", "obligation": "C/o", "amount": "120.00"}],
    }  # fmt: skip
    cli.post(
        *parties(),
        _agreed(_obligation("o", "120.00", end="2026-04-30", pattern="monthly")),
        bill,
        {"type": "write_off", "id": "W", "invoice": "I", "date": "2026-01-31", "reason": "x", "approved_by": "ann"},
        {"type": "recovery", "id": "Y", "write_off": "W", "date": "2026-02-05", "rail": "wire", "amount": "120.00"},
        {"type": "payment_reversal", "id": "B", "recovery": "Y", "date": "2026-03-05", "reason": "R01"},
    )
    said = cli.refuse(_estimate("2026-02-10", amount="-100.00"))
    assert "30.00 that was written off of it or given back" in said
