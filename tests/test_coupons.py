"""Coupons: what they take off is checked line by line, once or for months, and reported."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import invoice, parties, service, usage

PERCENT = {"type": "coupon", "id": "P20", "name": "20 % off", "percent": "20", "duration": "repeating", "months": 3}
ONCE = {"type": "coupon", "id": "ONCE", "name": "5 off", "amount": "5.00", "currency": "USD", "products": ["seats"]}


def _line(discount: str, coupon: str, quantity: str = "3", price: str = "10.00", line: str = "1") -> dict[str, Any]:
    amount = f"{int(quantity) * float(price) - float(discount):.2f}"
    return service(amount, "2026-01-01", "2026-01-31", line) | {
        "quantity": quantity, "unit_price": price, "discount": discount, "coupon": coupon
    }  # fmt: skip


def _discounts(cli: Cli, *options: str) -> list[tuple[str, ...]]:
    return [
        tuple(row[key] for key in ("month", "coupon", "base", "discount", "net"))
        for row in cli.report("discounts", *options)
    ]


def test_a_percentage_is_checked_and_lasts_for_its_months(cli: Cli) -> None:
    cli.post(
        *parties(),
        PERCENT,
        invoice("A", "2026-01-31", _line("6.00", "P20")),
        invoice("B", "2026-04-29", _line("6.00", "P20")),
    )
    assert "lines.0.discount = 5.00 USD: expected 6.00, what coupon P20 takes off 30.00" in cli.refuse(
        invoice("C", "2026-02-28", _line("5.00", "P20"))
    )
    # three months from 31 January end before 30 April
    assert "expected an invoice before 2026-04-30, 3 months after globex first used it" in cli.refuse(
        invoice("C", "2026-04-30", _line("6.00", "P20"))
    )
    assert _discounts(cli) == [
        ("2026-01", "P20", "30.00", "6.00", "24.00"), ("2026-04", "P20", "30.00", "6.00", "24.00"),
    ]  # fmt: skip
    assert _discounts(cli, "--as-of", "2026-01-31") == [("2026-01", "P20", "30.00", "6.00", "24.00")]
    assert _discounts(cli, "--from", "2026-04-01", "--customer", "globex") == [
        ("2026-04", "P20", "30.00", "6.00", "24.00")
    ]


def test_an_amount_is_spread_over_lines_once(cli: Cli) -> None:
    cli.post(*parties(), ONCE)
    two = (_line("3.00", "ONCE"), _line("2.00", "ONCE", line="2"))
    assert "lines = 6.00 USD: expected discounts of 5.00 together, what coupon ONCE takes off" in cli.refuse(
        invoice("A", "2026-01-31", two[0], _line("3.00", "ONCE", line="2"))
    )
    cli.post(invoice("A", "2026-01-31", *two))
    assert "expected a coupon globex has not used; it is for one invoice, and was used on 2026-01-31" in cli.refuse(
        invoice("B", "2026-02-28", *two)
    )
    # taken back with its invoice, it may be used again
    cli.post(
        {"type": "invoice_void", "id": "v", "invoice": "A", "date": "2026-02-01", "reason": "wrong"},
        invoice("B", "2026-02-28", *two),
    )
    assert _discounts(cli) == [
        ("2026-01", "ONCE", "60.00", "5.00", "55.00"),
        ("2026-02", "ONCE", "0.00", "0.00", "0.00"),
    ]
    # the next version of an invoice uses the coupon of the one it replaces
    cli.post(invoice("C", "2026-02-28", *two, supersedes="B"))
    assert "was used on 2026-02-28" in cli.refuse(invoice("D", "2026-03-31", *two))
    cli.ok("verify")


def test_a_coupon_beyond_the_price_takes_the_price(cli: Cli) -> None:
    cli.post(
        *parties(),
        ONCE | {"amount": "50.00"},
        invoice("A", "2026-01-31", _line("29.00", "ONCE"), _line("21.00", "ONCE", "3", "10.00", "2")),
    )
    assert _discounts(cli) == [("2026-01", "ONCE", "60.00", "50.00", "10.00")]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (PERCENT | {"percent": "101"}, "percent = 101: expected at most 100"),
        (PERCENT | {"duration": "once"}, "months = 3: expected with duration repeating, and only there"),
        ({k: v for k, v in PERCENT.items() if k != "percent"}, "expected a percentage such as 20, or an amount"),
        (ONCE | {"currency": None}, "currency"),
        (ONCE | {"products": ["none"]}, "products.0 = none"),
        (
            invoice("I", "2026-01-31", _line("5.00", "NONE")),
            "lines.0.coupon = NONE: expected the id of a coupon posted before",
        ),
        (
            invoice("I", "2026-01-31", _line("5.00", "SOFT") | {"product": "tokens"}),
            "expected a line of seats, the products it is for",
        ),
        (
            invoice("I", "2026-01-31", _line("5.00", "SOFT")),
            "expected an invoice of 2026-01-15 or earlier, the last day to redeem it",
        ),
        (
            invoice("I", "2026-01-31", service("1.00", "2026-01-01", "2026-01-31") | {"coupon": "SOFT"}),
            "beside the discount it gives",
        ),
    ],
)
def test_what_does_not_apply_is_refused(cli: Cli, document: dict[str, Any], words: str) -> None:
    cli.post(*parties(), ONCE | {"id": "SOFT", "redeem_by": "2026-01-15"}, usage("u", "1.00", "2026-01-01"))
    assert words in cli.refuse(document)


def test_a_coupon_in_another_currency_is_refused(cli: Cli) -> None:
    cli.post(
        *parties(),
        ONCE | {"currency": "EUR"},
        {"type": "fx_rate", "id": "r", "date": "2026-01-01", "base": "EUR", "quote": "USD", "rate": "1.1"},
    )
    assert "expected a coupon in USD; it takes off EUR" in cli.refuse(invoice("I", "2026-01-31", _line("5.00", "ONCE")))
