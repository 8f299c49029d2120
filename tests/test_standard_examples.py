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


# A software licence, its installation, updates and support, as Example 11 has them: no prices are printed.
SOFTWARE = (("licence", "100.00"), ("installation", "20.00"), ("updates", "30.00"), ("support", "50.00"))


def test_example_11_a_goods_and_services_that_are_distinct(cli: Cli) -> None:
    """Example 11, Case A (606-10-55-141 to 145): installation others can do, updates and support the software works without.

    Each is an obligation of its own: the licence and the installation when they are given, the rest as the year passes.
    """
    year = {"end": "2026-12-31", "pattern": "monthly"}
    promised = [
        _promise("licence", ssp="100.00"), _promise("installation", "2026-02-10", "installation", ssp="20.00"),
        _promise("updates", product="updates", ssp="30.00") | year, _promise("support", product="support", ssp="50.00") | year,
    ]  # fmt: skip
    products = [{"type": "product", "id": ref, "name": ref} for ref, _ in SOFTWARE]
    _post(cli, *products, _agreed(*promised, price="200.00"), through="2026-12")
    assert _allocated(cli) == dict(SOFTWARE)
    # 80 a year is 6.67, 6.66, 6.67 a month; the licence's 100 in January, the installation's 20 in February
    months = _months(cli)
    assert (months["2026-01"], months["2026-02"], months["2026-03"]) == ("106.67", "26.66", "6.67")


def test_example_11_b_what_is_customised_is_one(cli: Cli) -> None:
    """Example 11, Case B (606-10-55-146 to 150): installation that customises the software is one promise with it, by progress.

    Three obligations: of 120 for the customised software 40 % is earned at 40 % of the work; updates and support by time.
    """
    year = {"end": "2026-12-31", "pattern": "monthly"}
    promised = [
        _promise("software", ssp="120.00") | {"pattern": "progress"},
        _promise("updates", product="updates", ssp="30.00") | year, _promise("support", product="support", ssp="50.00") | year,
    ]  # fmt: skip
    products = [{"type": "product", "id": ref, "name": ref} for ref, _ in SOFTWARE]
    done = {"type": "progress", "id": "p", "obligation": "C/software", "date": "2026-03-31", "percent": "40"}
    _post(cli, *products, _agreed(*promised, price="200.00"), done, through="2026-03")
    assert _by_year(cli) == {"2026": "68.00"}  # 48.00, and a quarter of 80.00


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
    """Example 49 (606-10-55-336 to 339): the voucher's 30 % beyond everybody's 10 % on 50, four times in five, is worth 12.

    100 x 100 / 112 is the product's: 89, and 11 the voucher's; exactly 89.29 and 10.71. It is earned when used or over.
    """
    worth = Decimal(50) * Decimal("0.30") * Decimal("0.80")
    assert worth == 12
    voucher = _promise("voucher", "2026-01-20" if redeemed else "2026-01-31", product="tokens", ssp=f"{worth:.2f}")
    _post(cli, _agreed(_promise("product", ssp="100.00"), voucher, price="100.00"), through="2026-01")
    assert _allocated(cli) == {"product": "89.29", "voucher": "10.71"}
    assert _by_year(cli) == {"2026": "100.00"}


def test_example_50_an_option_that_is_no_material_right(cli: Cli) -> None:
    """Example 50 (606-10-55-340 to 342): minutes beyond the plan at everybody's price are no right: earned when they are used.

    No figures are printed: a plan of 30 a month for two years, 100 minutes more at 0.05 in March.
    """
    plan = {
        "id": "C/plan",
        "product": "seats",
        "price": "720.00",
        "start": "2026-01-01",
        "end": "2027-12-31",
        "pattern": "monthly",
    }
    minutes = {"id": "C/minutes", "product": "tokens", "start": "2026-01-01", "end": "2027-12-31", "pattern": "usage"}
    used = {
        "type": "usage",
        "id": "u",
        **PARTY,
        "product": "tokens",
        "date": "2026-03-10",
        "quantity": "100",
        "unit_price": "0.05",
    }
    _post(cli, _agreed(plan, minutes), used, through="2026-04")
    assert _months(cli) == {"2026-01": "30.00", "2026-02": "30.00", "2026-03": "35.00", "2026-04": "30.00"}


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


def _royalty(day: str, sales: str) -> dict[str, Any]:
    """Five per cent of what the customer sold."""
    return {
        "type": "usage",
        "id": f"sales/{day}",
        **PARTY,
        "product": "tokens",
        "date": day,
        "quantity": sales,
        "unit_price": "0.05",
    }


def test_example_56_a_licence_that_is_not_distinct_or_is(cli: Cli) -> None:
    """Example 56 (606-10-55-367 to 374): a patent and a drug only its owner can make are one; where others can, they are two.

    No figures are printed. Case A: both as the drug is made, here over a year of 120. Case B: the licence when it is given, 80,
    and the making of the drug over the year, 40.
    """
    one = {
        "id": "C/both",
        "product": "seats",
        "price": "120.00",
        "start": "2026-01-01",
        "end": "2026-12-31",
        "pattern": "monthly",
    }
    making = {
        "id": "D/making",
        "product": "tokens",
        "ssp": "50.00",
        "start": "2026-01-01",
        "end": "2026-12-31",
        "pattern": "monthly",
    }
    _post(
        cli, _agreed(one), _agreed(_promise("licence", ssp="100.00") | {"id": "D/licence"}, making, price="120.00") | {"id": "D"},
        through="2026-12",
    )  # fmt: skip
    months = _months(cli)
    assert (months["2026-01"], months["2026-02"]) == ("93.33", "13.34")  # 10.00, 80.00 and 3.33; 10.00 and 3.34
    assert _by_year(cli) == {"2026": "240.00"}


def test_example_57_a_franchise(cli: Cli) -> None:
    """Example 57 (606-10-55-375 to 382): equipment for 150,000 when it is given, 1,000,000 over ten years of access, 5 % of sales.

    The royalty is the franchise's alone, and earned as the customer sells (55-65): 50,000 sold in March, 2,500.
    """
    access = {
        "id": "C/access",
        "product": "seats",
        "price": "1000000.00",
        "start": "2026-01-01",
        "end": "2035-12-31",
        "pattern": "monthly",
    }
    royalties = {"id": "C/royalty", "product": "tokens", "start": "2026-01-01", "end": "2035-12-31", "pattern": "usage"}
    equipment = _promise("equipment", "2026-02-15", "equipment", price="150000.00")
    _post(
        cli, {"type": "product", "id": "equipment", "name": "Equipment"}, _agreed(access, royalties, equipment),
        _royalty("2026-03-20", "50000"), through="2026-12",
    )  # fmt: skip
    months = _months(cli)
    assert (months["2026-01"], months["2026-02"], months["2026-03"]) == ("8333.33", "158333.34", "10833.33")
    assert _by_year(cli) == {"2026": "252500.00"}  # 100,000 of access, 150,000, and 2,500


def test_example_58_a_right_to_access(cli: Cli) -> None:
    """Example 58 (606-10-55-383 to 388): comic characters that go on changing for four years, 1,000,000 a year: as time passes."""
    strips = {
        "id": "C/o",
        "product": "seats",
        "price": "4000000.00",
        "start": "2026-01-01",
        "end": "2029-12-31",
        "pattern": "monthly",
    }
    _post(cli, _agreed(strips), through="2029-12")
    assert _by_year(cli) == dict.fromkeys(("2026", "2027", "2028", "2029"), "1000000.00")


def test_example_59_a_right_to_use(cli: Cli) -> None:
    """Example 59 (606-10-55-389 to 392): a recording as it is, 10,000 a month for two years that can't be cancelled: 240,000 at once.

    What is not billed yet is a contract asset, which each month's invoice lowers.
    """
    bill = {"type": "invoice", "id": "I", **PARTY, "issued_on": "2026-01-31", "due_on": "2026-02-28",
            "lines": [{"id": "1", "kind": "service", "amount": "10000.00", "obligation": "C/o"}]}  # fmt: skip
    _post(cli, _agreed(_promise("o", price="240000.00")), bill, through="2026-06")
    assert _by_year(cli) == {"2026": "240000.00"}
    assert cli.report("unbilled")[0]["amount"] == "230000.00"


def test_example_60_royalties_of_a_film(cli: Cli) -> None:
    """Example 60 (606-10-55-393 and 394): a film for a share of ticket sales: earned as tickets are sold, nothing before."""
    film = {"id": "C/film", "product": "tokens", "start": "2026-01-01", "end": "2026-02-11", "pattern": "usage"}
    _post(cli, _agreed(film), _royalty("2026-01-31", "80000"), _royalty("2026-02-11", "20000"), through="2026-02")
    assert _months(cli) == {"2026-01": "4000.00", "2026-02": "1000.00"}


def test_example_61_a_clubs_name_with_royalties(cli: Cli) -> None:
    """Example 61 (606-10-55-395 to 399): a team's name and logo for a year: 2,000,000 evenly, and 5 % of the customer's sales.

    It is a right to access: 166,666.67 a month; 300,000 sold in December bring 15,000 then.
    """
    name = {
        "id": "C/name",
        "product": "seats",
        "price": "2000000.00",
        "start": "2026-01-01",
        "end": "2026-12-31",
        "pattern": "monthly",
    }
    sold = {"id": "C/sold", "product": "tokens", "start": "2026-01-01", "end": "2026-12-31", "pattern": "usage"}
    _post(cli, _agreed(name, sold), _royalty("2026-12-31", "300000"), through="2026-12")
    months = _months(cli)
    assert (months["2026-01"], months["2026-12"]) == ("166666.67", "181666.67")
    assert _by_year(cli) == {"2026": "2015000.00"}


def test_example_32_consideration_payable_to_a_customer(cli: Cli) -> None:
    """Example 32 (606-10-55-251 to 254, IE159 to IE162): 1,500,000 paid for shelves, of 15,000,000 to be bought: 10 % off each sale.

    The first month's goods of 2,000,000 are 1,800,000 of revenue; what is paid is an asset against them until then.
    """
    goods = _promise("goods", price="15000000.00") | {"pattern": "progress", "quantity": "15000000"}
    shelves = {"type": "consideration_payable", "id": "S", "contract": "C", "date": "2026-01-01", "amount": "1500000.00",
               "reason": "shelves to show the goods on"}  # fmt: skip
    line = {"id": "1", "kind": "service", "amount": "2000000.00", "obligation": "C/goods"}
    _post(
        cli, _agreed(goods), shelves, _done("2026-01-31", "C/goods", "2000000"),
        {"type": "invoice", "id": "I", **PARTY, "issued_on": "2026-01-31", "due_on": "2026-02-28", "lines": [line]}, through="2026-01",
    )  # fmt: skip
    assert _by_year(cli) == {"2026": "1800000.00"}
    balances = {row["role"]: (row["debit"], row["credit"]) for row in cli.report("trial-balance")}
    assert balances["customer_balance"] == ("0.00", "1500000.00")
    assert balances["unbilled_receivable"] == ("1300000.00", "0.00")


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
