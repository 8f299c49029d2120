"""The catalogue of stand-alone prices: dated, with ranges, used where a contract gives none."""

from __future__ import annotations

from typing import Any

from tests.conftest import Cli
from tests.samples import PARTY, contract, obligation, parties


def _price(product: str, day: str, price: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "stand_alone_price",
        "id": f"{product}/{day}",
        "product": product,
        "currency": "USD",
        "date": day,
        "price": price,
        **more,
    }


def _signed(ref: str, day: str, *obligations: dict[str, Any], price: str) -> dict[str, Any]:
    return {"type": "contract", "id": ref, **PARTY, "signed_on": day, "price": price, "obligations": list(obligations)}


def _promise(ref: str, product: str, **more: Any) -> dict[str, Any]:
    return {"id": ref, "product": product, "start": "2026-06-01", "pattern": "point_in_time", **more}


def test_a_contract_takes_the_prices_of_the_day_it_is_signed(cli: Cli) -> None:
    cli.post(
        *parties(), _price("seats", "2026-01-01", "30.00"), _price("tokens", "2026-01-01", "0.01"), _price("seats", "2026-03-01", "60.00"),
        _signed("A", "2026-02-28", _promise("A/s", "seats", quantity="2"), _promise("A/t", "tokens", quantity="4000"), price="50.00"),
    )  # fmt: skip
    cli.post(
        _signed(
            "B",
            "2026-03-01",
            _promise("B/s", "seats", quantity="2"),
            _promise("B/t", "tokens", quantity="4000"),
            price="80.00",
        ),
        _signed("C", "2026-03-01", _promise("C/s", "seats"), _promise("C/t", "tokens", ssp="20.00"), price="40.00"),
    )
    rows = {row["obligation"]: (row["ssp"], row["price"]) for row in cli.report("allocation")}
    assert rows == {
        "A/s": ("60.00", "30.00"), "A/t": ("40.00", "20.00"), "B/s": ("120.00", "60.00"), "B/t": ("40.00", "20.00"),
        "C/s": ("60.00", "30.00"), "C/t": ("20.00", "10.00"),
    }  # fmt: skip
    listed = [
        (r["product"], r["from_day"], r["to_day"], r["price"])
        for r in cli.report("stand-alone-prices", "--product", "seats")
    ]
    assert listed == [("seats", "2026-01-01", "2026-02-28", "30.00"), ("seats", "2026-03-01", None, "60.00")]


def test_what_the_catalogue_does_not_bear_is_refused(cli: Cli) -> None:
    ranged = _price("seats", "2026-01-01", "30.00", range={"low": "25.00", "high": "35.00"})
    cli.post(*parties(), ranged)
    plain = _promise("A/s", "seats"), _promise("A/t", "tokens")
    assert (
        "obligations.1.ssp = missing: expected a stand-alone selling price to allocate the price by, here or in the catalogue for tokens"
        in cli.refuse(_signed("A", "2026-01-01", *plain, price="50.00"))
    )
    assert "obligations.0.ssp" in cli.refuse(_signed("A", "2025-12-31", *plain, price="50.00"))  # no entry yet
    given = _promise("A/s", "seats", ssp="36.00"), _promise("A/t", "tokens", ssp="1.00")
    assert "obligations.0.ssp = 36.00: expected 25.00 to 35.00, its range" in cli.refuse(
        _signed("A", "2026-01-01", *given, price="30.00")
    )
    # what the others leave is checked against the range too
    left = _promise("A/s", "seats", residual=True), _promise("A/t", "tokens", ssp="10.00")
    assert "obligations.0.residual = 40.00 USD: expected 25.00 to 35.00" in cli.refuse(
        _signed("A", "2026-01-01", *left, price="50.00")
    )
    cli.post(_signed("A", "2026-01-01", *left, price="45.00"))
    assert {row["obligation"]: row["price"] for row in cli.report("allocation")} == {"A/s": "35.00", "A/t": "10.00"}
    assert "expected 2.00 to 3.00, its range" in cli.refuse(
        _price("tokens", "2026-01-01", "1.00", range={"low": "2.00", "high": "3.00"})
    )
    assert "product = none" in cli.refuse(_price("none", "2026-01-01", "1.00"))


def test_what_a_modification_was_told_stays_whatever_the_catalogue_says_later(cli: Cli) -> None:
    """Added at 300.00 where 400.00 was known: it shares. That 300.00 was right in May is known too late, and changes no contract."""
    cli.post(
        *parties(), _price("tokens", "2026-01-01", "400.00"),
        contract("C", "2026-01-01", obligation("C/s", "1200.00", "2026-01-01", "2026-12-31", ssp="900.00")),
        {"type": "contract_modification", "id": "M", "contract": "C", "date": "2026-06-01", "reason": "more",
         "obligations": [obligation("C/t", "300.00", "2026-06-01", "2026-12-31", product="tokens")]},
    )  # fmt: skip
    before = cli.report("modifications")
    cli.post(_price("tokens", "2026-05-01", "300.00"))
    # what has nothing to do with it has the terms folded anew
    cli.post(
        {
            "type": "estimate",
            "id": "E",
            "contract": "C",
            "component": "b",
            "date": "2026-07-01",
            "amount": "12.00",
            "reason": "b",
        }
    )
    kept = [row for row in cli.report("modifications") if row in before]
    assert kept == before
    assert "all" in cli.ok("verify")
