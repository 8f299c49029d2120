from decimal import Decimal
from fractions import Fraction

import moneyed
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.amounts import money
from ledger.errors import InvalidDocument


@pytest.mark.parametrize(
    ("currency", "places"),
    # ISO 4217, list one of 2026-01-01; Babel says 0 for IQD and KWD's neighbours.
    [("USD", 2), ("JPY", 0), ("KWD", 3), ("IQD", 3), ("RSD", 2), ("ISK", 0), ("CLF", 4), ("HRK", 2)],
)
def test_exponents_are_iso_4217s(currency: str, places: int) -> None:
    assert money.exponent(currency) == places


@pytest.mark.parametrize("code", ["XAU", "XTS", "usd", "EURO", "", "ZZZ"])
def test_a_code_without_minor_unit_is_no_currency(code: str) -> None:
    with pytest.raises(InvalidDocument, match="ISO 4217"):
        money.exponent(code)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.50", "USD", 1250),
        ("12.5", "USD", 1250),
        ("1000", "JPY", 1000),
        ("1.234", "KWD", 1234),
        ("-3.01", "USD", -301),
    ],
)
def test_amounts_become_minor_units_and_back(amount: str, currency: str, minor: int) -> None:
    assert money.to_minor(Decimal(amount), currency) == minor
    assert Decimal(money.to_text(minor, currency)) == Decimal(amount)


@pytest.mark.parametrize(("amount", "currency"), [("0.001", "USD"), ("1.5", "JPY"), ("1.2345", "KWD")])
def test_more_places_than_the_currency_has_are_refused(amount: str, currency: str) -> None:
    with pytest.raises(InvalidDocument, match="decimal places"):
        money.to_minor(Decimal(amount), currency)


def test_amounts_have_a_limit() -> None:
    with pytest.raises(InvalidDocument, match="at most"):
        money.to_minor(Decimal(10) ** 14, "USD")


def test_usage_keeps_every_digit() -> None:
    # 418 tokens at 0.002 USD per 1,000
    assert money.exact_product(Decimal(418), Decimal("0.000002")) == Decimal("0.000836")
    big = money.exact_product(Decimal(123456789012345678), Decimal("0.000000000123456789"))
    assert Fraction(big) == Fraction(123456789012345678) * Fraction(123456789, 10**18)


@pytest.mark.parametrize(
    ("amount", "cents"), [("0.005", 0), ("0.015", 2), ("0.025", 2), ("0.0051", 1), ("10.005", 1000), ("10.015", 1002)]
)
def test_rounding_is_half_even(amount: str, cents: int) -> None:
    assert money.round_minor(Decimal(amount), "USD") == cents


@given(st.integers(-(10**15), 10**15), st.integers(0, 80_000), st.integers(1, 80_000))
def test_a_share_is_the_exact_one_rounded_half_even(total: int, part: int, whole: int) -> None:
    exact = Decimal(total) * part / whole
    context_free = exact.quantize(Decimal(1), rounding="ROUND_HALF_EVEN")
    assert abs(Decimal(money.share(total, part, whole)) - exact) <= Decimal("0.5")
    if abs(exact) < 10**12:  # where 28 digits leave no doubt about a tie
        assert money.share(total, part, whole) == context_free


@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**9), min_size=1).filter(any))
def test_an_allocation_sums_to_its_total(total: int, weights: list[int]) -> None:
    parts = money.allocate(total, weights)
    assert sum(parts) == total
    assert all(
        abs(part * sum(weights) - total * weight) <= sum(weights) for part, weight in zip(parts, weights, strict=True)
    )


def test_allocation_of_example_33() -> None:
    # ASC 606-10-55-256: 100 over stand-alone prices 50, 25, 75
    assert money.allocate(10_000, [5_000, 2_500, 7_500]) == [3_333, 1_667, 5_000]


def test_money_crosses_the_border_as_moneyed() -> None:
    assert money.to_money(1250, "USD") == moneyed.Money("12.50", "USD")
    assert str(money.to_money(500, "ZWG").amount) == "5.00"  # py-moneyed lacks it, ISO has it


def test_amounts_for_people() -> None:
    assert money.grouped(123450, "USD") == "1,234.50"
    assert money.grouped(-960000, "USD") == "\N{MINUS SIGN}9,600.00"
    assert money.grouped(1234567, "JPY") == "1,234,567"
