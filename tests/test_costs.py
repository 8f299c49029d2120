"""Costs to obtain a contract: capitalised, amortised, impaired; figures worked out by hand."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revrec.earn.contract_costs import Cost, stand
from revrec.terms.schedules import Term
from tests.conftest import Cli
from tests.samples import contract, obligation, parties

YEAR = Term("monthly", date(2026, 1, 1), date(2026, 12, 31))


def _cost(**more: Any) -> dict[str, Any]:
    return {
        "type": "contract_cost",
        "id": "K",
        "contract": "C",
        "date": "2026-01-01",
        "amount": "120.00",
        "end": "2026-12-31",
        **more,
    }


def _impaired(day: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "contract_cost_impairment",
        "id": f"i{day}",
        "cost": "K",
        "date": day,
        "reason": "earns less",
        **more,
    }


def _post(cli: Cli, *documents: dict[str, Any]) -> None:
    cli.post(
        *parties(), contract("C", "2026-01-01", obligation("C/o", "1200.00", "2026-01-01", "2026-12-31")), *documents
    )


def _months(cli: Cli, role: str) -> dict[str, str]:
    return {month: moved[role] for month, moved in cli.summary().items() if role in moved}


def _row(cli: Cli, *options: str) -> tuple[str, ...]:
    (row,) = cli.report("contract-costs", *options)
    return tuple(row[key] for key in ("capitalised", "amortised", "impaired", "carried"))


def test_a_cost_is_amortised_month_by_month(cli: Cli) -> None:
    _post(cli, _cost(payee="Ann"))
    assert _months(cli, "commissions") == {"2026-01": "-120.00"}  # out of the expense it was
    cli.ok("recognize", "--through", "2026-03")
    assert _months(cli, "contract_costs") == {"2026-01": "110.00", "2026-02": "-10.00", "2026-03": "-10.00"}
    assert _row(cli) == ("120.00", "30.00", "0.00", "90.00")
    assert _row(cli, "--as-of", "2026-02-28") == ("120.00", "20.00", "0.00", "100.00")
    assert "nothing was due" in cli.ok("recognize", "--through", "2026-03")
    cli.ok("recognize", "--through", "2027-06")
    assert _row(cli) == ("120.00", "120.00", "0.00", "0.00")
    cli.ok("verify")


def test_a_cost_to_fulfil_is_an_asset_too(cli: Cli) -> None:
    """340-40-25-5: 120 to set up a year of service is 10 a month; a third impaired in July leaves 20 for six months."""
    _post(cli, _cost(kind="fulfil"))
    assert _months(cli, "fulfilment_costs") == {"2026-01": "-120.00"}
    cli.ok("recognize", "--through", "2026-03")
    assert _row(cli) == ("120.00", "30.00", "0.00", "90.00")
    assert cli.report("contract-costs")[0]["kind"] == "fulfil"
    cli.post(_impaired("2026-07-01", amount="40.00"))
    cli.ok("recognize", "--through", "2026-12")
    assert "nothing was due" in cli.ok("recognize", "--through", "2026-12")
    assert _row(cli) == ("120.00", "80.00", "40.00", "0.00")
    cli.ok("verify")


def test_a_part_impaired_leaves_less_to_amortise(cli: Cli) -> None:
    _post(cli, _cost(), _impaired("2026-04-01", amount="45.00"))
    cli.ok("recognize", "--through", "2026-05")
    # 30.00 to March; 120.00 - 30.00 - 45.00 = 45.00 over nine months
    assert _months(cli, "cost_impairment") == {"2026-04": "45.00"}
    assert _row(cli) == ("120.00", "40.00", "45.00", "35.00")
    assert "expected at most 35.00, what is left of K" in cli.refuse(_impaired("2026-06-01", amount="35.01"))
    assert "or later" in cli.refuse(_impaired("2026-03-01", amount="1.00"))
    cli.post(_impaired("2026-06-01"))
    assert _row(cli) == ("120.00", "40.00", "80.00", "0.00")
    cli.ok("recognize", "--through", "2026-12")
    assert _row(cli) == ("120.00", "40.00", "80.00", "0.00")
    cli.ok("verify")


def test_an_impairment_that_comes_late_takes_amortisation_back(cli: Cli) -> None:
    _post(cli, _cost())
    cli.ok("recognize", "--through", "2026-06")
    cli.post(_impaired("2026-04-01", amount="90.00"))  # all that was left then
    cli.ok("recognize", "--through", "2026-06")
    assert _row(cli) == ("120.00", "30.00", "90.00", "0.00")
    assert _row(cli, "--as-of", "2026-04-30") == ("120.00", "30.00", "90.00", "0.00")


def test_a_contract_that_ends_impairs_its_costs(cli: Cli) -> None:
    """What its customer will not pay for is not recovered: the rest is lost on the day everything is cancelled."""
    _post(cli, _cost())
    cli.ok("recognize", "--through", "2026-04")
    cli.post({"type": "contract_modification", "id": "M", "contract": "C", "date": "2026-06-01", "cancel": ["C/o"]})
    cli.ok("recognize", "--through", "2026-07")
    assert _months(cli, "cost_impairment") == {"2026-06": "70.00"}
    assert _row(cli) == ("120.00", "50.00", "70.00", "0.00")
    assert "nothing was due" in cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")


def test_a_contract_that_goes_on_in_part_keeps_its_costs(cli: Cli) -> None:
    _post(
        cli, _cost(),
        {"type": "contract_modification", "id": "A", "contract": "C", "date": "2026-02-01", "obligations": [obligation("C/p", "5.00", "2026-02-01", "2026-12-31")]},
        {"type": "contract_modification", "id": "M", "contract": "C", "date": "2026-06-01", "cancel": ["C/o"]},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-07")
    assert _row(cli) == ("120.00", "70.00", "0.00", "50.00")


def test_a_cost_told_late_catches_up_in_the_open_month(cli: Cli) -> None:
    _post(cli)
    cli.ok("recognize", "--through", "2026-02")
    cli.ok("close", "2026-01")
    cli.ok("close", "2026-02")
    cli.post(_cost())
    cli.ok("recognize", "--through", "2026-04")
    assert _months(cli, "contract_costs") == {"2026-03": "90.00", "2026-04": "-10.00"}


def test_a_cost_capitalised_after_its_period_began_catches_up(cli: Cli) -> None:
    _post(cli, _cost(date="2026-03-15", start="2026-01-01"))
    cli.ok("recognize", "--through", "2026-04")
    assert _months(cli, "contract_costs") == {"2026-03": "90.00", "2026-04": "-10.00"}


def test_a_cost_in_another_currency_stays_at_its_days_rate(cli: Cli) -> None:
    rates = [
        {"type": "fx_rate", "id": day, "date": day, "base": "EUR", "quote": "USD", "rate": rate}
        for day, rate in (("2026-01-01", "1.20"), ("2026-01-31", "1.50"))
    ]
    _post(cli, *rates, _cost(currency="EUR"))
    cli.ok("recognize", "--through", "2026-01")
    assert _row(cli) == ("120.00", "10.00", "0.00", "110.00")
    assert _months(cli, "contract_costs") == {"2026-01": "132.00"}  # 110.00 at 1.20: it is not monetary
    cli.ok("verify")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (_cost(contract="none"), "contract = none: expected the id of a contract posted before"),
        (_cost(end="2025-12-31"), "end = 2025-12-31: expected start (2026-01-01) or later"),
        (_cost(amount="0.00"), "expected more than 0"),
        (_impaired("2026-02-01", cost="none"), "cost = none: expected the id of a contract_cost posted before"),
        (_impaired("2025-12-31", cost="L"), "expected 2026-01-01, when it was capitalised, or later"),
    ],
)
def test_bad_costs_are_refused(cli: Cli, document: dict[str, Any], words: str) -> None:
    _post(cli, _cost(id="L"))
    assert words in cli.refuse(document)


@given(
    amount=st.integers(1, 10**9),
    impairments=st.lists(
        st.tuples(st.dates(date(2026, 1, 1), date(2027, 6, 30)), st.integers(1, 10**9) | st.none()), max_size=4
    ),
    pattern=st.sampled_from(["daily", "monthly", "monthly_prorated"]),
    days=st.lists(st.dates(date(2025, 12, 1), date(2027, 12, 31)), min_size=2, max_size=8),
)
def test_a_cost_never_comes_to_more_than_it_cost(
    amount: int, impairments: list[Any], pattern: str, days: list[date]
) -> None:
    term = Term(pattern, date(2026, 1, 15), date(2027, 3, 10))
    cost = Cost(amount, term, tuple(sorted(impairments, key=lambda item: item[0])))
    before = (0, 0)
    for day in sorted(days):
        now = stand(cost, day)
        assert now[0] >= before[0]
        assert now[1] >= before[1]
        assert sum(now) <= amount
        before = now
    assert sum(stand(cost, date(2030, 1, 1))) == amount


def test_an_unimpaired_cost_is_its_schedule() -> None:
    assert [stand(Cost(1000, YEAR), day)[0] for day in (date(2025, 12, 31), date(2026, 1, 1), date(2026, 6, 30), date(2026, 12, 31))] == [
        0, 83, 500, 1000,
    ]  # fmt: skip
