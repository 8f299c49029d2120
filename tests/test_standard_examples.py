"""The standards' own illustrative examples (606-10-55, IFRS 15 IE), from their text: facts as documents, published figures.

Where the text prints whole units, the exact figures stand beside them. Examples of variable consideration (20 to 25, 35 and
6) are in test_estimates.py, 5 and 38 among the worked examples and receivables.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import PARTY, parties


def _agreed(*obligations: dict[str, Any], signed: str = "2026-01-01", **more: Any) -> dict[str, Any]:
    return {"type": "contract", "id": "C", **PARTY, "signed_on": signed, "obligations": list(obligations), **more}


def _promise(ref: str, start: str = "2026-01-01", product: str = "seats", **more: Any) -> dict[str, Any]:
    return {"id": f"C/{ref}", "product": product, "start": start, "pattern": "point_in_time", **more}


def _done(day: str, obligation: str, quantity: str) -> dict[str, Any]:
    return {
        "type": "progress",
        "id": f"{obligation}/{day}",
        "obligation": obligation,
        "date": day,
        "quantity": quantity,
    }


def _changed(day: str, *obligations: dict[str, Any], ref: str = "M", **more: Any) -> dict[str, Any]:
    return {
        "type": "contract_modification",
        "id": ref,
        "contract": "C",
        "date": day,
        "obligations": list(obligations),
        **more,
    }


def _post(cli: Cli, *documents: dict[str, Any], through: str) -> None:
    cli.post(*parties(), *documents)
    cli.ok("recognize", "--through", through)
    cli.ok("verify")


def _by_year(cli: Cli) -> dict[str, str]:
    years: dict[str, Decimal] = {}
    for month, moved in cli.summary().items():
        years[month[:4]] = years.get(month[:4], Decimal(0)) + Decimal(moved.get("revenue", "0"))
    return {year: f"{amount:.2f}" for year, amount in years.items() if amount}


def _months(cli: Cli) -> dict[str, str]:
    return {month: moved["revenue"] for month, moved in cli.summary().items() if "revenue" in moved}


def _allocated(cli: Cli) -> dict[str, str]:
    return {row["obligation"].removeprefix("C/"): row["price"] for row in cli.report("allocation")}


def test_example_7_services_extended_for_less(cli: Cli) -> None:
    """Example 7 (606-10-55-125 to 128): 100,000 a year for three; after two, 80,000 for the third and 200,000 for three more.

    What remains is distinct: 280,000 over four years is 70,000 a year.
    """
    cleaning = {
        "id": "C/o",
        "product": "seats",
        "price": "300000.00",
        "start": "2026-01-01",
        "end": "2028-12-31",
        "pattern": "monthly",
    }
    _post(
        cli, _agreed(cleaning), _changed("2028-01-01", cleaning | {"price": "480000.00", "end": "2031-12-31"}), through="2031-12",
    )  # fmt: skip
    assert _by_year(cli) == {
        "2026": "100000.00", "2027": "100000.00", "2028": "70000.00", "2029": "70000.00", "2030": "70000.00", "2031": "70000.00",
    }  # fmt: skip
    (row,) = cli.report("modifications")
    assert (row["treatment"], row["kept"]) == ("prospective", "200000.00")


def test_example_8_a_building_changed_on_the_way(cli: Cli) -> None:
    """Example 8 (606-10-55-129 to 133): 60 % of 1,000,000; then 150,000 more, 120,000 of cost more, and the bonus is let in.

    The work is one: 51.2 % of 1,350,000 less 600,000 is 91,200. Exactly, 420,000 / 820,000 of it is 691,463.41.
    """
    building = {
        "id": "C/o",
        "product": "seats",
        "price": "1000000.00",
        "start": "2026-01-01",
        "pattern": "progress",
        "quantity": "700000",
    }
    bonus = {"type": "estimate", "contract": "C", "component": "bonus", "amount": "200000.00"}
    _post(
        cli, _agreed(building), bonus | {"id": "e1", "date": "2026-01-01", "constraint": "0.00", "reason": "weather and permits"},
        _done("2026-12-31", "C/o", "420000"),
        _changed("2027-01-15", building | {"price": "1150000.00", "quantity": "820000"}, treatment="catch_up"),
        bonus | {"id": "e2", "date": "2027-01-15", "reason": "six months more to complete"}, through="2027-01",
    )  # fmt: skip
    assert _by_year(cli) == {"2026": "600000.00", "2027": "91463.41"}
    assert round(Decimal("0.512") * 1_350_000 - 600_000) == 91_200


def test_example_20_a_penalty(cli: Cli) -> None:
    """Example 20 (606-10-55-194 to 196): 1,000,000 of which 100,000 is lost if late: 900,000 is fixed, the rest is variable."""
    building = {
        "id": "C/o",
        "product": "seats",
        "price": "900000.00",
        "start": "2026-01-01",
        "pattern": "progress",
        "quantity": "100",
    }
    on_time = [{"amount": "100000.00", "probability": "0.7"}, {"amount": "0.00", "probability": "0.3"}]
    _post(
        cli, _agreed(building), {"type": "estimate", "id": "e", "contract": "C", "component": "on time", "date": "2026-01-01",
                                 "method": "most_likely", "scenarios": on_time},
        _done("2026-06-30", "C/o", "50"), through="2026-06",
    )  # fmt: skip
    assert _by_year(cli) == {"2026": "500000.00"}


def test_example_33_a_price_below_stand_alone_prices(cli: Cli) -> None:
    """Example 33 (606-10-55-256 to 258): 50, 25 and 75 alone, 100 together: 33, 17, 50; exactly 33.33, 16.67, 50.00."""
    promised = [_promise(ref, ssp=f"{ssp}.00") for ref, ssp in (("a", 50), ("b", 25), ("c", 75))]
    _post(cli, _agreed(*promised, price="100.00"), through="2026-01")
    assert _allocated(cli) == {"a": "33.33", "b": "16.67", "c": "50.00"}
    assert _by_year(cli) == {"2026": "100.00"}


THREE = [_promise(ref, ssp=f"{ssp}.00") for ref, ssp in (("a", 40), ("b", 55), ("c", 45))]
SOLD_TOGETHER = [{"obligations": ["C/b", "C/c"], "price": "60.00"}]
UNKNOWN = _promise("d", residual=True, ssp_range={"low": "15.00", "high": "45.00"})


def test_example_34_a_a_discount_of_some(cli: Cli) -> None:
    """Example 34, Case A (606-10-55-260 to 264): B and C are regularly sold for 60, so the discount of 40 is theirs: 40, 33, 27."""
    _post(cli, _agreed(*THREE, price="100.00", bundles=SOLD_TOGETHER), through="2026-01")
    assert _allocated(cli) == {"a": "40.00", "b": "33.00", "c": "27.00"}


def test_example_34_b_the_residual(cli: Cli) -> None:
    """Example 34, Case B (606-10-55-265 to 268): D is sold for 15 to 45; of 130 the others leave it 30: 40, 33, 27, 30."""
    _post(cli, _agreed(*THREE, UNKNOWN, price="130.00", bundles=SOLD_TOGETHER), through="2026-01")
    assert _allocated(cli) == {"a": "40.00", "b": "33.00", "c": "27.00", "d": "30.00"}


def test_example_34_c_a_residual_that_is_no_price(cli: Cli) -> None:
    """Example 34, Case C (606-10-55-269): of 105 they leave it 5, which D is never sold for: an estimate is needed instead."""
    cli.post(*parties())
    refused = cli.refuse(_agreed(*THREE, UNKNOWN, price="105.00", bundles=SOLD_TOGETHER))
    assert "obligations.3.residual = 5.00 USD: expected 15.00 to 45.00" in refused
    assert "give it an estimated ssp instead" in refused


def test_example_39_a_contract_asset_first(cli: Cli) -> None:
    """Example 39 (606-10-55-287 to 290): 400 for A is due only once B is given: a contract asset, then with B's 600 a receivable."""
    lines = [
        {"id": ref, "kind": "service", "amount": amount, "obligation": f"C/{ref}"}
        for ref, amount in (("a", "400.00"), ("b", "600.00"))
    ]
    _post(
        cli, _agreed(_promise("a", "2026-01-15", price="400.00"), _promise("b", "2026-02-15", price="600.00")),
        {"type": "invoice", "id": "I", **PARTY, "issued_on": "2026-02-15", "due_on": "2026-03-15", "lines": lines}, through="2026-02",
    )  # fmt: skip
    months = cli.summary()
    assert months["2026-01"] == {"unbilled_receivable": "400.00", "revenue": "400.00"}
    assert months["2026-02"] == {
        "accounts_receivable": "1000.00",
        "unbilled_receivable": "-400.00",
        "revenue": "600.00",
    }


def test_example_40_a_receivable_that_will_fall(cli: Cli) -> None:
    """Example 40 (606-10-55-291 to 294): billed 150, expected to come to 125: 25 is owed back: a refund liability."""
    line = {"id": "1", "kind": "service", "amount": "150.00", "obligation": "C/a"}
    _post(
        cli, _agreed(_promise("a", price="150.00")),
        {"type": "estimate", "id": "e", "contract": "C", "component": "rebate", "date": "2026-01-01", "amount": "-25.00", "refund": True},
        {"type": "invoice", "id": "I", **PARTY, "issued_on": "2026-01-01", "due_on": "2026-01-31", "lines": [line]}, through="2026-01",
    )  # fmt: skip
    assert cli.summary()["2026-01"] == {
        "accounts_receivable": "150.00",
        "refund_liability": "25.00",
        "revenue": "125.00",
    }


def test_example_44_a_warranty_one_buys(cli: Cli) -> None:
    """Example 44 (606-10-55-309 to 315): an assurance is no promise of its own, a service for longer is; no figures are printed.

    The product and the three years of service are two obligations; the first year's assurance is in the product.
    """
    service = {
        "id": "C/service",
        "product": "seats",
        "ssp": "30.00",
        "start": "2026-01-01",
        "end": "2028-12-31",
        "pattern": "monthly",
    }
    _post(cli, _agreed(_promise("product", ssp="120.00"), service, price="150.00"), through="2026-12")
    assert _allocated(cli) == {"product": "120.00", "service": "30.00"}
    assert _by_year(cli) == {"2026": "130.00"}


@pytest.mark.parametrize("redeemed", [True, False])
def test_example_49_a_voucher_that_is_a_material_right(cli: Cli, *, redeemed: bool) -> None:
    """Example 49 (606-10-55-336 to 340): the voucher's 30 % beyond everybody's 10 % on 50, four times in five, is worth 12.

    100 x 100 / 112 is the product's: 89, and 11 the voucher's; exactly 89.29 and 10.71. It is earned when used or over.
    """
    worth = Decimal(50) * Decimal("0.30") * Decimal("0.80")
    assert worth == 12
    voucher = _promise("voucher", "2026-01-20" if redeemed else "2026-01-31", product="tokens", ssp=f"{worth:.2f}")
    _post(cli, _agreed(_promise("product", ssp="100.00"), voucher, price="100.00"), through="2026-01")
    assert _allocated(cli) == {"product": "89.29", "voucher": "10.71"}
    assert _by_year(cli) == {"2026": "100.00"}


def test_example_51_an_option_to_renew(cli: Cli) -> None:
    """Example 51 (606-10-55-343 to 352): of 2,710 expected a customer, by expected costs 780, 877 and 1,053 a year.

    90 and 81 of 100 customers renew: costs of 600, 750 x 90 % and 1,000 x 81 % are the weights; exactly 779.856, 877.338 and
    1,052.806, which are rounded as they add up.
    """
    weights = [Decimal(600), Decimal(750) * Decimal("0.90"), Decimal(1000) * Decimal("0.81")]
    years = [
        {
            "id": f"C/{year}",
            "product": "seats",
            "ssp": f"{weight:.2f}",
            "start": f"{year}-01-01",
            "end": f"{year}-12-31",
            "pattern": "monthly",
        }
        for year, weight in zip((2026, 2027, 2028), weights, strict=True)
    ]
    _post(cli, _agreed(*years, price="2710.00"), through="2028-12")
    assert _by_year(cli) == {"2026": "779.86", "2027": "877.33", "2028": "1052.81"}
    assert [round(Decimal(amount)) for amount in _by_year(cli).values()] == [780, 877, 1053]


def test_example_52_points(cli: Cli) -> None:
    """Example 52 (606-10-55-353 to 356): 91,324 for products, 8,676 for points; 4,110 the first year, 3,493 the second.

    Points are earned as redeemed of those expected to be, first 9,500, then 9,700.
    """
    points = {
        "id": "C/points",
        "product": "tokens",
        "ssp": "9500.00",
        "start": "2026-01-01",
        "pattern": "progress",
        "quantity": "9500",
    }
    _post(
        cli, _agreed(_promise("products", ssp="100000.00"), points, price="100000.00"), _done("2026-12-31", "C/points", "4500"),
        _changed("2027-01-01", {**points, "price": "8675.80", "quantity": "9700"}, treatment="catch_up", reason="9,700 expected"),
        _done("2027-12-31", "C/points", "4000"), through="2027-12",
    )  # fmt: skip
    assert _allocated(cli) == {"products": "91324.20", "points": "8675.80"}
    years = {year: Decimal(amount) for year, amount in _by_year(cli).items()}
    # exactly 8,675.80 x 4,500 / 9,500 = 4,109.59 and 8,675.80 x 8,500 / 9,700 = 7,602.51
    assert years == {"2026": Decimal("91324.20") + Decimal("4109.59"), "2027": Decimal("3492.92")}
    assert round(years["2027"]) == 3493


def test_bundles_and_residuals_that_do_not_add_up_are_refused(cli: Cli) -> None:
    cli.post(*parties())

    def refused(*obligations: dict[str, Any], **more: Any) -> str:
        return cli.refuse(_agreed(*obligations, **more))

    assert "expected no price or ssp beside it" in refused(_promise("d", residual=True, ssp="1.00"), price="1.00")
    assert "expected at most one residual" in refused(
        _promise("d", residual=True), _promise("e", residual=True), price="1.00"
    )
    assert "expected one price for the contract" in refused(*THREE, bundles=SOLD_TOGETHER)
    assert "bundles.0.price = 101.00: expected at most 100.00, sold one by one" in refused(
        *THREE, price="150.00", bundles=[SOLD_TOGETHER[0] | {"price": "101.00"}]
    )
    assert "bundles.0.obligations.1 = C/x: expected an obligation of the contract" in refused(
        *THREE, price="100.00", bundles=[{"obligations": ["C/a", "C/x"], "price": "1.00"}]
    )
    assert "expected more than bundles take of it, 60.00" in refused(*THREE, price="60.00", bundles=SOLD_TOGETHER)
    assert "expected 60.00, what bundles sum to" in refused(*THREE[1:], price="61.00", bundles=SOLD_TOGETHER)
    assert "expected 1.00 to 2.00, its range" in refused(
        _promise("a", ssp="3.00", ssp_range={"low": "1.00", "high": "2.00"}), price="1.00"
    )
    assert "expected low (2.00) or more" in refused(
        _promise("a", ssp="3.00", ssp_range={"low": "2.00", "high": "1.00"}), price="1.00"
    )
    assert "expected none where every obligation has its price" in refused(
        _promise("a", price="1.00"),
        _promise("b", price="2.00"),
        price="3.00",
        bundles=[{"obligations": ["C/a", "C/b"], "price": "3.00"}],
    )
