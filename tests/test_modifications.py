"""Contract modifications and progress, against the examples of the standards and arithmetic shown beside each."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import PARTY, contract, invoice, obligation, parties


def modification(ref: str, day: str, *obligations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "contract_modification",
        "id": ref,
        "contract": "c",
        "date": day,
        "obligations": list(obligations),
        **more,
    }


def progress(ref: str, day: str, of: str = "c/o", **how: str) -> dict[str, Any]:
    return {"type": "progress", "id": ref, "obligation": of, "date": day, **how}


def units(ref: str, price: str, quantity: str, start: str = "2026-01-01") -> dict[str, Any]:
    return {"id": ref, "product": "seats", "price": price, "start": start, "pattern": "progress", "quantity": quantity}


def _revenue(cli: Cli, through: str) -> dict[str, str]:
    cli.ok("recognize", "--through", through)
    assert "nothing was due" in cli.ok("recognize", "--through", through)
    assert "all" in cli.ok("verify")
    return {month: row["revenue"] for month, row in cli.summary().items() if "revenue" in row}


def test_example_5_case_b_the_rest_at_a_blended_price(cli: Cli) -> None:
    """PUB-021: 120 products at 100, 60 delivered; 30 more at 80 not their stand-alone price: 90 left earn 93.33 each."""
    cli.post(
        *parties(), contract("c", "2026-01-01", units("c/o", "12000.00", "120")), progress("p1", "2026-01-31", quantity="60"),
        modification("m", "2026-02-01", units("c/o", "14400.00", "150")), progress("p2", "2026-02-28", quantity="30"),
        progress("p3", "2026-03-31", quantity="60"),
    )  # fmt: skip
    assert _revenue(cli, "2026-03") == {"2026-01": "6000.00", "2026-02": "2800.00", "2026-03": "5600.00"}


def test_example_8_a_cumulative_catch_up(cli: Cli) -> None:
    """606-10-55-129 to 55-135, Example 8: 1,000 to build, 60 % done; then 1,200 and 51.2 % done: 614.40 in all."""
    build = {"id": "c/o", "product": "seats", "price": "1000000.00", "start": "2026-01-01", "pattern": "progress"}
    cli.post(*parties(), contract("c", "2026-01-01", build), progress("p1", "2026-01-31", percent="60"))
    assert _revenue(cli, "2026-01") == {"2026-01": "600000.00"}
    cli.post(
        modification("m", "2026-02-10", build | {"price": "1200000.00"}), progress("p2", "2026-02-10", percent="51.2")
    )
    assert _revenue(cli, "2026-02") == {"2026-01": "600000.00", "2026-02": "14400.00"}


def test_a_catch_up_over_time_and_a_prospective_change(cli: Cli) -> None:
    """1,200 a year by months, 600 more from July: prospective adds 100 a month, a catch-up 300 in July and 50 a month."""

    def year(price: str) -> dict[str, Any]:
        return obligation("c/o", price, "2026-01-01", "2026-12-31", pattern="monthly")

    cli.post(*parties(), contract("c", "2026-01-01", year("1200.00")), modification("m", "2026-07-01", year("1800.00")))
    found = _revenue(cli, "2026-12")
    assert [found[f"2026-{month:02}"] for month in (1, 6, 7, 12)] == ["100.00", "100.00", "200.00", "200.00"]
    cli.post(
        contract("d", "2026-01-01", year("1200.00") | {"id": "d/o"}),
        modification("n", "2026-07-01", year("1800.00") | {"id": "d/o"}, treatment="catch_up", contract="d"),
    )
    both = _revenue(cli, "2026-12")
    own = {month: Decimal(both[month]) - Decimal(found[month]) for month in both}
    assert [str(own[f"2026-{month:02}"]) for month in (1, 6, 7, 8, 12)] == [
        "100.00",
        "100.00",
        "450.00",
        "150.00",
        "150.00",
    ]


def test_a_change_in_mid_month_after_the_month_was_recognised(cli: Cli) -> None:
    """365 a year by days; from 16 July on 169 days are worth 338.00: 16 days of July fall into the next run."""

    def year(price: str) -> dict[str, Any]:
        return obligation("c/o", price, "2026-01-01", "2026-12-31")

    cli.post(*parties(), contract("c", "2026-01-01", year("365.00")))
    assert _revenue(cli, "2026-07")["2026-07"] == "31.00"
    cli.post(modification("m", "2026-07-16", year("534.00")))  # 196 days earned 196.00; 338.00 are left for 169 days
    found = _revenue(cli, "2026-08")
    assert (found["2026-07"], found["2026-08"]) == ("47.00", "62.00")


def test_a_late_change_catches_up_in_the_open_month(cli: Cli) -> None:
    def year(price: str) -> dict[str, Any]:
        return obligation("c/o", price, "2026-01-01", "2026-12-31", pattern="monthly")

    cli.post(*parties(), contract("c", "2026-01-01", year("1200.00")))
    cli.ok("recognize", "--through", "2026-02")
    for month in ("2026-01", "2026-02"):
        cli.ok("close", month)
    cli.post(modification("m", "2026-02-01", year("2300.00")))  # 200 a month from February on
    assert _revenue(cli, "2026-04") == {
        "2026-01": "100.00",
        "2026-02": "100.00",
        "2026-03": "300.00",
        "2026-04": "200.00",
    }


def test_an_obligation_that_ends_and_one_that_is_added(cli: Cli) -> None:
    """1,200 a year, billed ahead, cancelled on 1 April: 300 is earned, 900 stays deferred until it is credited."""
    cli.post(
        *parties(), contract("c", "2026-01-01", obligation("c/o", "1200.00", "2026-01-01", "2026-12-31", pattern="monthly")),
        invoice("I", "2026-01-01", {"id": "1", "kind": "service", "amount": "1200.00", "obligation": "c/o"}),
        modification("m", "2026-04-01", obligation("c/new", "90.00", "2026-04-01", "2026-06-30", pattern="monthly"), cancel=["c/o"]),
    )  # fmt: skip
    assert _revenue(cli, "2026-12") == {
        "2026-01": "100.00", "2026-02": "100.00", "2026-03": "100.00", "2026-04": "30.00", "2026-05": "30.00", "2026-06": "30.00",
    }  # fmt: skip
    balances = {row["role"]: row["credit"] for row in cli.report("trial-balance")}
    assert balances["deferred_revenue"] == "900.00"
    note = {
        "type": "credit_note",
        "id": "N",
        "invoice": "I",
        "date": "2026-04-01",
        "lines": [{"line": "1", "amount": "900.00"}],
    }
    cli.post(note)
    found = _revenue(cli, "2026-12")
    assert sum(Decimal(amount) for amount in found.values()) == 390


def test_versions_of_versions(cli: Cli) -> None:
    """12 months at 10, from March 10 more a month, from May back: 10 10 20 20 10 ... by months left."""

    def year(price: str) -> dict[str, Any]:
        return obligation("c/o", price, "2026-01-01", "2026-12-31", pattern="monthly")

    cli.post(
        *parties(), contract("c", "2026-01-01", year("120.00")), modification("m", "2026-03-01", year("220.00")),
        modification("n", "2026-05-01", year("140.00")),
    )  # fmt: skip
    assert list(_revenue(cli, "2026-12").values()) == ["10.00", "10.00", "20.00", "20.00", *["10.00"] * 8]
    # documents count by their dates: one that comes late changes what it would have changed. On 30 April four months have begun,
    # 60.00 is earned, and the other 80.00 are eight months of 10.00; May's modification then agrees what is agreed already
    cli.post(modification("x", "2026-04-30", year("140.00")))
    assert list(_revenue(cli, "2026-12").values()) == ["10.00", "10.00", "20.00", "20.00", *["10.00"] * 8]


def test_a_usage_obligation_has_no_schedule(cli: Cli) -> None:
    tokens = {"id": "c/u", "product": "tokens", "start": "2026-01-01", "pattern": "usage"}
    cli.post(
        *parties(),
        contract("c", "2026-01-01", tokens, {"id": "c/o", "product": "seats", "ssp": "5.00", "start": "2026-01-01", "end": "2026-01-31"}, price="4.00"),
    )  # fmt: skip
    assert _revenue(cli, "2026-02") == {"2026-01": "4.00"}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (modification("m", "2026-02-01", units("c/o", "1.00", "10"), contract="x"), "contract = x: expected the id of a contract"),
        (modification("m", "2025-12-31", units("c/o", "99.00", "10")), "date = 2025-12-31: expected 2026-01-01"),
        (modification("m", "2026-02-01", units("c/o", "99.00", "10"), treatment="separate"), "treatment = separate: expected only new"),
        (modification("m", "2026-02-01", units("c/o", "49.99", "10")), "obligations.0.price = 49.99: expected at least 50.00"),
        (modification("m", "2026-02-01", units("c/o", "99.00", "10") | {"product": "tokens"}), "product = tokens: expected seats"),
        (modification("m", "2026-02-01", cancel=["c/x"]), "cancel = c/x: expected the id of an obligation of contract c"),
        (modification("m", "2026-02-01"), "obligations = missing: expected what changes"),
        (modification("m", "2026-02-01", units("c/o", "99.00", "10"), cancel=["c/o"]), "found c/o twice"),
        (modification("m", "2026-03-01", obligation("c/t", "99.00", "2026-01-01", "2026-02-28")), "end = 2026-02-28: expected 2026-03-01"),
        (progress("q", "2026-02-01", quantity="5.01"), "quantity = 5.01: expected at most 5, what is not delivered"),
        (progress("q", "2026-02-01", percent="50"), "percent = 50: expected a quantity, of the 10 agreed"),
        (progress("q", "2026-02-01", "c/t", percent="50"), "obligation = c/t: expected one of pattern progress, found daily"),
        (progress("q", "2026-02-01", "none", percent="50"), "obligation = none: expected the id"),
        (progress("q", "2026-02-01"), "percent = missing: expected percent or quantity"),
        (progress("q", "2026-02-01", percent="100.1"), "percent = 100.1: expected at most 100"),
    ],
)  # fmt: skip
def test_what_is_refused(cli: Cli, document: dict[str, Any], words: str) -> None:
    cli.post(
        *parties(), contract("c", "2026-01-01", units("c/o", "100.00", "10"), obligation("c/t", "12.00", "2026-01-01", "2026-12-31")),
        progress("p", "2026-01-15", quantity="5"),
    )  # fmt: skip
    before = _revenue(cli, "2026-03")
    assert words in cli.refuse(document)
    assert _revenue(cli, "2026-03") == before


def test_progress_falls_only_where_it_is_estimated_anew(cli: Cli) -> None:
    def percent(ref: str, day: str, value: str, **more: str) -> dict[str, object]:
        return {"type": "progress", "id": ref, "obligation": "C/o", "date": day, "percent": value, **more}

    promised = {"id": "C/o", "product": "seats", "price": "100.00", "start": "2026-01-01", "pattern": "progress"}
    cli.post(
        *parties(),
        {"type": "contract", "id": "C", **PARTY, "signed_on": "2026-01-01", "obligations": [promised]},
        percent("a", "2026-01-31", "40"),
    )
    refused = cli.refuse(percent("b", "2026-02-28", "30"))
    assert "percent = 30: expected at least 40, as reported before; or reestimated, with why it fell" in refused
    assert "expected beside a percentage" in cli.refuse(
        {
            "type": "progress",
            "id": "q",
            "obligation": "C/o",
            "date": "2026-02-28",
            "quantity": "1",
            "reestimated": "why",
        }
    )
    cli.post(
        percent("b", "2026-02-28", "30", reestimated="more work than was thought"), percent("early", "2026-01-15", "20")
    )
    cli.ok("recognize", "--through", "2026-02")
    assert {month: moved["revenue"] for month, moved in cli.summary().items()} == {
        "2026-01": "40.00",
        "2026-02": "-10.00",
    }
