"""Forms contracts take: combined, renewed, terminated, ramped, with milestones; figures worked out beside each."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import Cli, lines
from tests.samples import PARTY, contract, invoice, obligation, parties


def _revenue(cli: Cli, through: str) -> dict[str, str]:
    cli.ok("recognize", "--through", through)
    assert "nothing was due" in cli.ok("recognize", "--through", through)
    cli.ok("verify")
    return {month: row["revenue"] for month, row in cli.summary().items() if "revenue" in row}


def _point(ref: str, day: str, product: str = "seats", **more: Any) -> dict[str, Any]:
    return {"id": ref, "product": product, "start": day, "pattern": "point_in_time", **more}


def _months(ref: str, price: str, start: str = "2026-01-01", end: str = "2026-12-31", **more: Any) -> dict[str, Any]:
    return obligation(ref, price, start, end, pattern="monthly", **more)


def _termination(day: str, **more: Any) -> dict[str, Any]:
    return {"type": "contract_termination", "id": "T", "contract": "c", "date": day, "reason": "moved away", **more}


def _renewal(*obligations: dict[str, Any], day: str = "2026-12-01", **more: Any) -> dict[str, Any]:
    return {
        "type": "contract_renewal",
        "id": "R",
        "contract": "c",
        "date": day,
        "obligations": list(obligations),
        **more,
    }


def _change(day: str, *obligations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "contract_modification",
        "id": "M",
        "contract": "c",
        "date": day,
        "obligations": list(obligations),
        **more,
    }


# Combination --------------------------------------------------------------------------------------------------------


def _two_contracts(because: str | None = "interdependent_price") -> list[dict[str, Any]]:
    """A licence for 80 that sells alone for 100, signed with two years of support for 220 that sell alone for 200."""
    support = {
        "id": "d/support",
        "product": "tokens",
        "price": "220.00",
        "ssp": "200.00",
        "start": "2026-01-01",
        "end": "2027-12-31",
        "pattern": "monthly",
    }
    combined = {} if because is None else {"combined_with": "c", "combined_because": because}
    return [
        contract("c", "2026-01-01", _point("c/licence", "2026-01-01", price="80.00", ssp="100.00")),
        contract("d", "2026-01-05", support, **combined),
    ]  # fmt: skip


def test_contracts_signed_together_are_one(cli: Cli) -> None:
    """606-10-25-9: of 300 in all, 100 / 300 is the licence's and 200 / 300 the support's: 100.00 and 200.00 over 24 months."""
    cli.post(*parties(), *_two_contracts())
    found = _revenue(cli, "2027-12")
    assert found["2026-01"] == "108.33"
    assert sum(Decimal(amount) for amount in found.values()) == 300
    shares = {row["obligation"]: (row["price"], row["share"], row["package"]) for row in cli.report("allocation")}
    assert shares == {"c/licence": ("100.00", "33.33", None), "d/support": ("200.00", "66.67", "c")}
    (row,) = cli.report("modifications")
    assert (row["treatment"], row["price_before"], row["price"]) == ("combined", "80.00", "100.00")
    assert "combined with d, signed 2026-01-05: what one costs depends on the other (606-10-25-9(b))" in row["reason"]


def test_combined_contracts_are_shown_net(cli: Cli) -> None:
    """The licence earned 100.00 and billed 80, support billed 220.00 and earned 8.33: as one, 191.67 of liability."""
    cli.post(
        *parties(), *_two_contracts(),
        invoice("I", "2026-01-05", {"id": "1", "kind": "service", "amount": "80.00", "obligation": "c/licence"}),
        invoice("J", "2026-01-05", {"id": "1", "kind": "service", "amount": "220.00", "obligation": "d/support"}),
    )  # fmt: skip
    _revenue(cli, "2026-01")
    closing = {row["balance"]: row["closing"] for row in cli.report("contract-balances", "--as-of", "2026-01-31")}
    assert closing["Contract assets"] == "0.00"
    assert closing["Contract liabilities"] == "191.67"
    assert closing["Netted within contracts"] == "0.00"  # the ledger has it so
    balances = {row["role"]: (row["debit"], row["credit"]) for row in cli.report("trial-balance")}
    assert balances["deferred_revenue"] == ("0.00", "191.67")
    assert balances.get("unbilled_receivable", ("0.00", "0.00")) == ("0.00", "0.00")


def test_a_third_contract_joins_and_a_closed_month_stays(cli: Cli) -> None:
    first, second = _two_contracts()
    cli.post(*parties(), first)
    assert _revenue(cli, "2026-01") == {"2026-01": "80.00"}
    cli.ok("close", "2026-01")
    third = contract(
        "e", "2026-01-06", _point("e/training", "2026-02-10", price="0.00", ssp="100.00"), combined_with="d",
        combined_because="one_objective",
    )  # fmt: skip
    cli.post(second, third)
    # 300 over 100, 200 and 100: 75, 150, 75; of the licence 5 too much was earned, of support two months are due
    assert _revenue(cli, "2026-02") == {"2026-01": "80.00", "2026-02": "82.50"}
    assert {row["package"] for row in cli.report("allocation")} == {None, "c"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"combined_because": None}, "combined_because = missing: expected with combined_with"),
        ({"combined_with": "x"}, "combined_with = x: expected the id of a contract posted before"),
        ({"currency": "EUR", "entity": "us"}, "combined_with = c: expected a contract of globex with us in EUR"),
        ({"signed_on": "2025-12-31"}, "signed_on = 2025-12-31: expected 2026-01-01, when c was signed, or later"),
        ({"obligations": [_point("d/o", "2026-01-01", product="tokens", price="1.00")]}, "obligations.0.ssp = missing"),
        ({"combined_with": "u"}, "combined_with = u: expected stand-alone prices to allocate by: u/o has none, nor has the catalogue for seats"),
        ({"combined_with": "m"}, "expected contracts as they were signed: m/o has changed since; modify it instead"),
        ({"financing": {"rate": "0.05", "payments": [{"date": "2026-01-01", "amount": "220.00"}]}}, "expected none on a combined contract"),
    ],
)  # fmt: skip
def test_what_cannot_be_combined(cli: Cli, more: dict[str, Any], words: str) -> None:
    first, second = _two_contracts()
    changed = contract("m", "2026-01-01", _months("m/o", "12.00", ssp="12.00"))
    cli.post(
        *parties(), {"type": "fx_rate", "id": "r", "date": "2026-01-01", "base": "EUR", "quote": "USD", "rate": "1.1"}, first,
        contract("u", "2026-01-01", _point("u/o", "2026-01-01", price="5.00")), changed,
        _change("2026-01-02", _months("m/o", "24.00", ssp="12.00")) | {"contract": "m"},
    )  # fmt: skip
    given = {key: value for key, value in (second | more).items() if value is not None}
    assert words in cli.refuse(given)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_contract_is_combined_with_one_that_changes_later(cli: Cli, order: tuple[int, int]) -> None:
    """1,200 and 600 of the same worth: 900 each, 75 a month; the first at 1,500 from July: 1,050 over six months, 175."""
    later = [
        contract("d", "2026-01-05", _months("d/o", "600.00", ssp="1200.00"), combined_with="c", combined_because="one_objective"),
        _change("2026-07-01", _months("c/o", "1500.00", ssp="1200.00")) | {"treatment": "prospective"},
    ]  # fmt: skip
    cli.post(*parties(), contract("c", "2026-01-01", _months("c/o", "1200.00", ssp="1200.00")))
    for number in order:
        cli.post(later[number])
    found = _revenue(cli, "2026-12")
    assert [found[f"2026-{month:02}"] for month in (1, 6, 7, 12)] == ["150.00", "150.00", "250.00", "250.00"]


# Renewals -----------------------------------------------------------------------------------------------------------


def test_a_renewal_is_a_term_of_its_own(cli: Cli) -> None:
    """1,200 for a year, renewed early for 1,320: 100 a month, then 110; the first year does not move."""
    cli.post(*parties(), contract("c", "2026-01-01", _months("c/o", "1200.00")))
    before = _revenue(cli, "2026-06")
    renewed = {"id": "c/o2", "renews": "c/o", "price": "1320.00", "end": "2027-12-31"}
    cli.post(_renewal(renewed, day="2026-06-15", reason="another year"))
    found = _revenue(cli, "2027-12")
    assert {month: found[month] for month in before} == before
    assert (found["2026-12"], found["2027-01"], found["2027-12"]) == ("100.00", "110.00", "110.00")
    (row,) = cli.report("modifications")
    assert (row["type"], row["obligation"], row["treatment"], row["price_before"], row["price"]) == (
        "contract_renewal", "c/o2", "separate", None, "1320.00",
    )  # fmt: skip
    assert "renews c/o" in row["reason"]


def test_a_renewal_takes_the_price_before_and_can_itself_be_renewed(cli: Cli) -> None:
    cli.post(
        *parties(), contract("c", "2026-01-01", _months("c/o", "1200.00")),
        _renewal({"id": "c/o2", "renews": "c/o", "end": "2027-12-31"}),
        _renewal({"id": "c/o3", "renews": "c/o2", "end": "2028-12-31"}, day="2027-12-01") | {"id": "R2"},
        invoice("I", "2028-01-01", {"id": "1", "kind": "service", "amount": "1200.00", "obligation": "c/o3"}),
    )  # fmt: skip
    found = _revenue(cli, "2028-12")
    assert set(found.values()) == {"100.00"}
    assert len(found) == 36


@pytest.mark.parametrize(
    ("renewal", "words"),
    [
        ({"id": "c/o2", "renews": "c/x", "end": "2027-12-31"}, "obligations.0.renews = c/x: expected the id of an obligation of contract c"),
        ({"id": "c/o2", "renews": "c/o", "start": "2026-12-31", "end": "2027-12-31"}, "expected a day after 2026-12-31, when the term before ends"),
        ({"id": "c/o2", "renews": "c/o", "end": "2026-12-31"}, "obligations.0.end = 2026-12-31: expected 2027-01-01"),
        ({"id": "c/o", "renews": "c/o", "end": "2027-12-31"}, "obligations.0.id = c/o: an obligation of globex has this id already"),
        ({"id": "c/p2", "renews": "c/p", "end": "2027-12-31"}, "expected an obligation with a term, by time or by usage"),
    ],
)  # fmt: skip
def test_what_cannot_be_renewed(cli: Cli, renewal: dict[str, Any], words: str) -> None:
    cli.post(
        *parties(), contract("c", "2026-01-01", _months("c/o", "1200.00"), _point("c/p", "2026-03-01", price="5.00"))
    )
    assert words in cli.refuse(_renewal(renewal))


# Terminations -------------------------------------------------------------------------------------------------------


def test_a_termination_without_penalty(cli: Cli) -> None:
    """1,200 for a year, left on 1 April: three months are earned, nothing after; the commission left is impaired."""
    cost = {
        "type": "contract_cost",
        "id": "K",
        "contract": "c",
        "date": "2026-01-01",
        "amount": "120.00",
        "end": "2026-12-31",
    }
    cli.post(*parties(), contract("c", "2026-01-01", _months("c/o", "1200.00")), cost, _termination("2026-04-01"))
    assert _revenue(cli, "2026-12") == dict.fromkeys(("2026-01", "2026-02", "2026-03"), "100.00")
    (row,) = cli.report("contract-costs")
    assert (row["amortised"], row["impaired"], row["carried"]) == ("30.00", "90.00", "0.00")


def test_a_termination_with_a_penalty_at_once(cli: Cli) -> None:
    """A penalty of 150 where nothing more is given is earned at once, and its invoice line bills it."""
    cli.post(
        *parties(), contract("c", "2026-01-01", _months("c/o", "1200.00")),
        _termination("2026-04-01", penalty={"id": "c/exit", "product": "seats", "amount": "150.00"}),
        invoice("I", "2026-04-10", {"id": "1", "kind": "service", "amount": "150.00", "obligation": "c/exit"}),
    )  # fmt: skip
    found = _revenue(cli, "2026-06")
    assert found == dict.fromkeys(("2026-01", "2026-02", "2026-03"), "100.00") | {"2026-04": "150.00"}
    assert cli.report("unbilled")[0]["subject"] == "obligation:c/o"


def test_a_termination_with_notice_and_penalty(cli: Cli) -> None:
    """Left on 1 April with two months' notice and a penalty of 61: it is earned over April's 30 and May's 31 days."""
    cost = {
        "type": "contract_cost",
        "id": "K",
        "contract": "c",
        "date": "2026-01-01",
        "amount": "120.00",
        "end": "2026-12-31",
    }
    cli.post(
        *parties(), contract("c", "2026-01-01", _months("c/o", "1200.00"), _point("c/late", "2026-09-01", price="70.00")), cost,
        _termination("2026-04-01", ends="2026-05-31", penalty={"id": "c/exit", "product": "seats", "amount": "61.00"}),
    )  # fmt: skip
    assert _revenue(cli, "2026-12") == dict.fromkeys(("2026-01", "2026-02", "2026-03"), "100.00") | {
        "2026-04": "130.00", "2026-05": "131.00",
    }  # fmt: skip
    treatments = {row["obligation"]: row["treatment"] for row in cli.report("modifications")}
    assert treatments == {"c/o": "terminated", "c/late": "cancelled", "c/exit": "penalty"}
    (row,) = cli.report("contract-costs")
    assert (row["amortised"], row["impaired"]) == ("50.00", "70.00")
    assert cli.report("remaining-obligations", "--as-of", "2026-04-30")[0]["total"] == "131.00"


@pytest.mark.parametrize(
    ("period", "earned", "unbilled"),
    [
        ({}, "393.33", "13.33"),  # four twelfths of 1180, of which 380 is billed
        ({"start": "2026-03-01", "end": "2026-03-31"}, "380.00", None),
    ],
)
def test_a_credit_before_the_notice_stays_as_it_was_earned(
    cli: Cli, period: dict[str, str], earned: str, unbilled: str | None
) -> None:
    """100 a month billed monthly, 20 credited in March; left with a month's notice: the year's price is lower, or March's."""
    months = [
        invoice(
            f"I{month}", f"2026-0{month}-01", {"id": "1", "kind": "service", "amount": "100.00", "obligation": "c/o"}
        )
        for month in (1, 2, 3, 4)
    ]
    cli.post(*parties(), contract("c", "2026-01-01", _months("c/o", "1200.00")), *months[:3])
    cli.post(
        {"type": "credit_note", "id": "N", "invoice": "I3", "date": "2026-03-15",
         "lines": [{"line": "1", "amount": "20.00", **period}]},
        _termination("2026-04-01", ends="2026-04-30"), months[3],
    )  # fmt: skip
    found = _revenue(cli, "2026-12")
    assert sum(Decimal(amount) for amount in found.values()) == Decimal(earned)
    standing = [row["debit"] for row in cli.report("trial-balance") if row["role"] in ("deferred_revenue", "unbilled_receivable")
                and row["debit"] != row["credit"]]  # fmt: skip
    assert standing == ([unbilled] if unbilled else [])


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (_termination("2025-12-31"), "date = 2025-12-31: expected 2026-01-01, when the contract was signed"),
        (_termination("2026-04-01", ends="2026-03-31"), "ends = 2026-03-31: expected 2026-04-01, when it is agreed, or later"),
        (_termination("2026-04-01", ends="2026-04-30"), "ends = 2026-04-30: expected none: c/build is earned by progress"),
        (_termination("2026-04-01", reason=""), "reason"),
        (_termination("2026-04-01") | {"contract": "x"}, "contract = x: expected the id of a contract posted before"),
    ],
)  # fmt: skip
def test_what_cannot_be_terminated(cli: Cli, document: dict[str, Any], words: str) -> None:
    build = {"id": "c/build", "product": "tokens", "price": "50.00", "start": "2026-01-01", "pattern": "progress"}
    cli.post(*parties(), contract("c", "2026-01-01", _months("c/o", "1200.00"), build))
    assert words in cli.refuse(document)


def test_what_has_ended_stays_ended(cli: Cli) -> None:
    cli.post(*parties(), contract("c", "2026-01-01", _months("c/o", "1200.00")), _termination("2026-04-01"))
    assert "expected one of which something goes on" in cli.refuse(_termination("2026-05-01") | {"id": "T2"})
    assert "it is cancelled" in cli.refuse(_change("2026-05-01", _months("c/o", "1200.00")))
    assert "it is cancelled" in cli.refuse(_renewal({"id": "c/o2", "renews": "c/o", "end": "2027-12-31"}))
    estimate = {
        "type": "estimate",
        "id": "e",
        "contract": "c",
        "component": "x",
        "date": "2026-05-01",
        "amount": "1.00",
    }
    assert "expected obligations with prices" in cli.refuse(estimate)


# Terms ---------------------------------------------------------------------------------------------------------------


def test_a_ramped_price_of_one_service_is_earned_evenly(cli: Cli) -> None:
    """10, 20 and 30 a month for three years of the same service: 720 over 36 months is 20, an asset the first year.

    Each year billed as agreed: 120, 240, 360. The asset is 10 x 12 = 120 after a year and after two, and 0 in the end.
    """
    bills = [
        invoice(f"I{year}", f"{year}-01-01", {"id": "1", "kind": "service", "amount": amount, "obligation": "c/o"})
        for year, amount in ((2026, "120.00"), (2027, "240.00"), (2028, "360.00"))
    ]
    cli.post(*parties(), contract("c", "2026-01-01", _months("c/o", "720.00", end="2028-12-31")), *bills)
    found = _revenue(cli, "2028-12")
    assert set(found.values()) == {"20.00"}
    for day, asset in (("2026-12-31", "120.00"), ("2027-12-31", "120.00"), ("2028-12-31", "0.00")):
        balance = {row["role"]: row["debit"] for row in cli.report("trial-balance", "--as-of", day)}
        assert balance.get("unbilled_receivable", "0.00") == asset


def test_a_ramp_for_more_service_is_earned_as_it_grows(cli: Cli) -> None:
    """Where each year's price is for more seats, each year is an obligation of its own: 10, 20, 30 a month."""
    years = [
        _months(f"c/{year}", price, f"{year}-01-01", f"{year}-12-31")
        for year, price in ((2026, "120.00"), (2027, "240.00"), (2028, "360.00"))
    ]
    cli.post(*parties(), contract("c", "2026-01-01", *years))
    found = _revenue(cli, "2028-12")
    assert [found[f"{year}-06"] for year in (2026, 2027, 2028)] == ["10.00", "20.00", "30.00"]


def test_a_free_trial_of_an_agreed_term_shares_its_price(cli: Cli) -> None:
    """A month free and twelve of 130, signed at once: 1,560 over 13 months is 120 from the free month on."""
    cli.post(*parties(), contract("c", "2026-01-01", _months("c/o", "1560.00", end="2027-01-31")))
    assert set(_revenue(cli, "2027-01").values()) == {"120.00"}


def test_a_free_trial_before_a_contract_earns_nothing(cli: Cli) -> None:
    """A trial one may leave is no contract (606-10-25-1): credits used in it are revenue and its discount, net nothing."""
    trial = {
        "type": "grant",
        "id": "G",
        **PARTY,
        "kind": "promotional",
        "amount": "50.00",
        "effective_on": "2026-01-01",
    }
    used = {
        "type": "usage",
        "id": "u",
        **PARTY,
        "product": "tokens",
        "date": "2026-01-10",
        "quantity": "50",
        "unit_price": "1",
    }
    cli.post(
        *parties(), trial, used, contract("c", "2026-02-01", _months("c/o", "1200.00", "2026-02-01", "2027-01-31"))
    )
    cli.ok("recognize", "--through", "2026-02")
    total: dict[str, Decimal] = {}
    for row in cli.report("disaggregation"):
        total[row["period"]] = total.get(row["period"], Decimal(0)) + Decimal(row["total"])
    assert total == {"2026-01": 0, "2026-02": 100}


def test_milestones_earn_what_each_is_worth(cli: Cli) -> None:
    """A price of 900 for milestones of 200, 300 and 500: 180, 270 and 450 as each is reached."""
    steps = [
        {"id": ref, "amount": amount}
        for ref, amount in (("design", "200.00"), ("build", "300.00"), ("launch", "500.00"))
    ]
    project = {
        "id": "c/p",
        "product": "seats",
        "ssp": "1000.00",
        "start": "2026-01-01",
        "pattern": "milestones",
        "milestones": steps,
    }
    reached = [
        {"type": "progress", "id": ref, "obligation": "c/p", "date": day, "milestone": ref}
        for ref, day in (("design", "2026-02-10"), ("build", "2026-03-31"), ("launch", "2026-05-02"))
    ]
    cli.post(*parties(), contract("c", "2026-01-01", project, price="900.00"), *reached)
    assert _revenue(cli, "2026-05") == {"2026-02": "180.00", "2026-03": "270.00", "2026-05": "450.00"}


def test_milestones_change_but_for_those_reached(cli: Cli) -> None:
    """Of 1,000, 200 is reached; then a step of 600 more: what is left, 800 + 600, is earned by 300, 500 and 600 of 1,400."""
    steps = [
        {"id": ref, "amount": amount}
        for ref, amount in (("design", "200.00"), ("build", "300.00"), ("launch", "500.00"))
    ]
    project = {"id": "c/p", "product": "seats", "start": "2026-01-01", "pattern": "milestones", "milestones": steps}
    cli.post(
        *parties(), contract("c", "2026-01-01", project),
        {"type": "progress", "id": "p1", "obligation": "c/p", "date": "2026-01-20", "milestone": "design"},
    )  # fmt: skip
    more = {**project, "milestones": [*steps, {"id": "care", "amount": "600.00"}]}
    assert "milestones = design: expected it among them with 200.00: it was reached" in cli.refuse(
        _change("2026-02-01", {**project, "milestones": steps[1:]})
    )
    assert "expected the milestones, as agreed before" in cli.refuse(
        _change(
            "2026-02-01",
            {"id": "c/p", "product": "seats", "price": "1.00", "start": "2026-01-01", "pattern": "progress"},
        )
    )
    cli.post(_change("2026-02-01", more))
    cli.post({"type": "progress", "id": "p2", "obligation": "c/p", "date": "2026-02-20", "milestone": "care"})
    assert _revenue(cli, "2026-03") == {"2026-01": "200.00", "2026-02": "600.00"}
    for again, words in (
        ({"milestone": "care"}, "milestone = care: expected one that is not reached yet: this was on 2026-02-20"),
        ({"milestone": "x"}, "milestone = x: expected a milestone of c/p: build, care, design, launch"),
        ({"percent": "50"}, "percent = 50: expected a milestone of c/p"),
    ):
        assert words in cli.refuse({"type": "progress", "id": "p3", "obligation": "c/p", "date": "2026-03-20", **again})


# How changes count ---------------------------------------------------------------------------------------------------


def test_a_mixed_modification_says_how_each_change_counts(cli: Cli) -> None:
    """606-10-25-13(c): a build at half catches up with its new price, a service goes on at its own.

    Build: 1,000, half done, then 1,200 at half: 100 more at once. Service: 1,200 a year, 600 more from July: 100 more a month.
    """
    build = {"id": "c/build", "product": "tokens", "price": "1000.00", "start": "2026-01-01", "pattern": "progress"}
    cli.post(
        *parties(), contract("c", "2026-01-01", build, _months("c/o", "1200.00")),
        {"type": "progress", "id": "p", "obligation": "c/build", "date": "2026-03-31", "percent": "50"},
    )  # fmt: skip
    changed = [
        {**build, "price": "1200.00", "treatment": "catch_up"},
        {**_months("c/o", "1800.00"), "treatment": "prospective"},
        {**_months("c/new", "60.00", "2026-07-01"), "product": "tokens", "treatment": "separate"},
    ]
    assert "obligations.0.treatment = missing: expected in a mixed modification" in cli.refuse(
        _change("2026-07-01", {**build, "price": "1200.00"}, treatment="mixed")
    )
    assert "obligations.0.treatment = catch_up: expected in a mixed modification, and only there" in cli.refuse(
        _change("2026-07-01", changed[0])
    )
    cli.post(_change("2026-07-01", *changed, treatment="mixed"))
    found = _revenue(cli, "2026-12")
    assert (found["2026-03"], found["2026-07"], found["2026-08"]) == ("600.00", "310.00", "210.00")
    assert [row["treatment"] for row in cli.report("modifications")] == ["catch_up", "separate", "prospective"]


def test_what_is_added_at_its_stand_alone_price_stands_for_itself(cli: Cli) -> None:
    """Within the catalogue's range of 90 to 110, 95 is a stand-alone price: a contract of its own, and the log says so."""
    price = {"type": "stand_alone_price", "id": "p", "product": "tokens", "currency": "USD", "date": "2026-01-01", "price": "100.00",
             "range": {"low": "90.00", "high": "110.00"}}  # fmt: skip
    cli.post(
        *parties(), price, contract("c", "2026-01-01", _months("c/o", "1200.00", ssp="1200.00")),
        _change("2026-07-01", _point("c/extra", "2026-08-01", product="tokens", price="95.00")),
    )  # fmt: skip
    found = _revenue(cli, "2026-12")
    assert (found["2026-07"], found["2026-08"]) == ("100.00", "195.00")
    (row,) = cli.report("modifications")
    assert (row["treatment"], row["price"]) == ("separate", "95.00")
    assert "sold at its stand-alone price, 100.00 USD (606-10-25-12)" in row["reason"]


def test_what_is_added_below_its_stand_alone_price_shares_what_is_left(cli: Cli) -> None:
    """From July 600 of 1,200 is left (worth 600 alone), and 150 is agreed for what sells for 200: 750 over 800.

    The service keeps 562.50 for six months, 93.75 each; what is added takes 187.50.
    """
    cli.post(
        *parties(), contract("c", "2026-01-01", _months("c/o", "1200.00", ssp="1200.00")),
        _change("2026-07-01", _point("c/extra", "2026-08-01", product="tokens", price="150.00", ssp="200.00")),
    )  # fmt: skip
    found = _revenue(cli, "2026-12")
    assert (found["2026-06"], found["2026-07"], found["2026-08"]) == ("100.00", "93.75", "281.25")
    assert sum(Decimal(amount) for amount in found.values()) == 1350
    rows = {row["obligation"]: row for row in cli.report("modifications")}
    assert {ref: (row["treatment"], row["price"], row["kept"]) for ref, row in rows.items()} == {
        "c/o": ("prospective", "1162.50", "600.00"), "c/extra": ("prospective", "187.50", None),
    }  # fmt: skip
    assert "750.00 USD, what is left of the price and the new, is shared by stand-alone prices" in rows["c/o"]["reason"]


def test_without_stand_alone_prices_what_is_added_keeps_the_price_agreed(cli: Cli) -> None:
    cli.post(
        *parties(), contract("c", "2026-01-01", _months("c/o", "1200.00")),
        _change("2026-07-01", _point("c/extra", "2026-08-01", product="tokens", price="150.00", ssp="200.00")),
        _change("2026-07-01", _point("c/plain", "2026-08-01", product="tokens", price="10.00")) | {"id": "M2"},
    )  # fmt: skip
    assert _revenue(cli, "2026-12")["2026-08"] == "260.00"
    reasons = {row["obligation"]: row["reason"] for row in cli.report("modifications")}
    assert "taken at the price agreed: no stand-alone price is known of c/o" in reasons["c/extra"]
    assert "no stand-alone price of it is known" in reasons["c/plain"]


def test_obligations_that_overlap_are_refused(cli: Cli) -> None:
    cli.post(*parties())
    told = cli.refuse(
        contract("c", "2026-01-01", _months("c/a", "12.00"), _months("c/b", "24.00", "2026-12-31", "2027-06-30"))
    )
    assert "obligations.1.start = 2026-12-31: expected a day after 2026-12-31: c/a promises seats until then" in told
    assert "make them one obligation, or sell what differs as a product of its own" in told
    tokens = {"product": "tokens", "start": "2026-01-01", "pattern": "usage"}
    assert "c/u promises tokens until then" in cli.refuse(
        contract("c", "2026-01-01", {"id": "c/u", **tokens}, {"id": "c/v", **tokens})
    )
    cli.post(contract("c", "2026-01-01", _months("c/a", "12.00"), _months("c/b", "24.00", "2027-01-01", "2027-06-30")))


def test_a_contract_reads_as_of_any_day(cli: Cli) -> None:
    """Signed for 1,200, at 1,800 from July, left on 1 October with a month's notice: each day has its terms, and who agreed them."""
    cli.post(
        *parties(), contract("c", "2026-01-01", _months("c/o", "1200.00")), _change("2026-07-01", _months("c/o", "1800.00"), reason="more"),
        _termination("2026-10-01", ends="2026-10-31", penalty={"id": "c/exit", "product": "tokens", "amount": "31.00"}),
    )  # fmt: skip

    def terms(*options: str) -> list[tuple[str, ...]]:
        keys = ("obligation", "version", "treatment", "price", "ends_on", "document")
        return [tuple(row[key] for key in keys) for row in cli.report("contracts", *options)]

    assert terms("--as-of", "2026-06-30") == [("c/o", 1, None, "1200.00", "2026-12-31", "contract c")]
    assert terms("--as-of", "2026-09-30") == [
        ("c/o", 2, "prospective", "1800.00", "2026-12-31", "contract_modification M")
    ]
    # ten months: 600 to June, then four of 1,200 / 6
    assert terms() == [
        ("c/exit", 1, "penalty", "31.00", "2026-10-31", "contract_termination T"),
        ("c/o", 3, "terminated", "1400.00", "2026-10-31", "contract_termination T"),
    ]
    assert terms("--as-of", "2025-12-31") == []


def test_a_refused_contract_leaves_nothing_with_keep_going(cli: Cli) -> None:
    """A stand-alone price or a milestone of a fraction of a cent is seen before anything of the contract is kept."""
    cli.post(*parties())
    good, bad = _point("c/good", "2026-01-01", price="1.00"), _point("c/bad", "2026-01-02", price="1.00", ssp="1.005")
    steps = [{"id": "a", "amount": "1.00"}, {"id": "b", "amount": "0.505"}]
    for wrong, named in (
        (bad, "obligations.1.ssp = 1.005 USD: expected at most 2 decimal places"),
        ({"id": "c/m", "product": "seats", "price": "1.00", "start": "2026-01-01", "pattern": "milestones", "milestones": steps},
         "obligations.1.milestones.1.amount = 0.505 USD: expected at most 2 decimal places"),
    ):  # fmt: skip
        result = cli.run("post", "--keep-going", "-", stdin=lines([contract("c", "2026-01-01", good, wrong)]))
        assert named in result.stderr
        assert cli.report("contracts") == []
    cli.post(contract("c", "2026-01-01", good))
    assert [row["obligation"] for row in cli.report("contracts")] == ["c/good"]


def test_contracts_of_usage_alone_combine_with_nothing_to_share(cli: Cli) -> None:
    tokens = {"product": "tokens", "start": "2026-01-01", "pattern": "usage"}
    cli.post(
        *parties(), contract("c", "2026-01-01", {"id": "c/u", **tokens}),
        contract("d", "2026-01-02", {"id": "d/u", **tokens}, combined_with="c", combined_because="one_objective"),
    )  # fmt: skip
    assert [(row["contract"], row["price"], row["package"]) for row in cli.report("allocation")] == [
        ("c", "0.00", None),
        ("d", "0.00", "c"),
    ]


def test_a_penalty_that_cannot_be_is_named_as_one(cli: Cli) -> None:
    cli.post(*parties(), contract("c", "2026-01-01", _months("c/o", "1200.00")))
    penalty = {"id": "c/exit", "product": "seats", "amount": "1.00"}
    for changed, words in (
        ({"product": "none"}, "penalty.product = none: expected the id of a product posted before"),
        ({"id": "c/o"}, "penalty.id = c/o: an obligation of globex has this id already"),
        ({"amount": "1.005"}, "penalty.amount = 1.005 USD: expected at most 2 decimal places"),
    ):
        assert words in cli.refuse(_termination("2026-04-01", penalty=penalty | changed))


@pytest.mark.parametrize("together", [True, False])
def test_what_is_earned_by_usage_is_billed_as_usage(cli: Cli, *, together: bool) -> None:
    """A charge on its obligation would stay a liability for ever beside what was used and not billed: it is refused, and nothing of it stays."""
    tokens = {"id": "C/tokens", "product": "tokens", "start": "2026-01-01", "pattern": "usage"}
    agreed = {"type": "contract", "id": "C", **PARTY, "signed_on": "2026-01-01", "obligations": [tokens]}
    bill = {"type": "invoice", "id": "I", **PARTY, "issued_on": "2026-01-31", "due_on": "2026-01-31", "lines": [
        {"id": "1", "kind": "service", "amount": "10.00", "obligation": "C/tokens"}]}  # fmt: skip
    refused = (
        "invoice I: lines.0.obligation = C/tokens: expected one that is earned by its own terms:"
        " what is earned by usage is billed by a line of kind usage"
    )
    if together:
        assert refused in cli.refuse(*parties(), agreed, bill)
        return
    cli.post(*parties(), agreed)
    assert refused in cli.refuse(bill)
    assert cli.totals() == {}
