"""A refund and the credit note that explains it give the same books, whichever comes into them first."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import billed_usage, invoice, one_time, parties, payment, service, usage

VAT = {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.10"}
TAXED = {"tax_codes": ["VAT"]}


def _note(amount: str, day: str = "2026-01-20", ref: str = "N", line: str = "1") -> dict[str, Any]:
    return {"type": "credit_note", "id": ref, "invoice": "I", "date": day, "lines": [{"line": line, "amount": amount}]}


def _refund(amount: str, day: str = "2026-01-21", **more: str) -> dict[str, Any]:
    return {"type": "refund", "id": "R", "payment": "P", "date": day, "amount": amount, **more}


def _months(cli: Cli) -> dict[str, dict[str, str]]:
    cli.ok("recognize", "--through", "2026-03")
    cli.ok("verify")
    return {
        month: {role: amount for role, amount in of.items() if not role.startswith("memo_")}
        for month, of in cli.summary().items()
    }


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("named", [{}, {"invoice": "I"}])
def test_a_sale_credited_and_paid_back(cli: Cli, order: tuple[int, ...], named: dict[str, str]) -> None:
    """100.00 and 10.00 tax, paid; 30.00 and 3.00 tax credited on the 20th and paid back on the 21st: 70.00 and 7.00 stay."""
    cli.post(
        *parties(),
        VAT,
        invoice("I", "2026-01-10", one_time("100.00") | TAXED),
        payment("P", "110.00", "2026-01-15", ("I", "110.00")),
    )
    for number in order:
        cli.post([_note("30.00"), _refund("33.00", **named)][number])
    assert _months(cli) == {"2026-01": {"cash": "77.00", "revenue": "70.00", "tax_payable": "7.00"}}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_more_is_paid_back_than_is_credited(cli: Cli, order: tuple[int, ...]) -> None:
    """90.00 for January to March, paid. Credited 30.00 on 1 February, 45.00 paid back on 2 March.

    The credit lowers the price to 60.00: 20.67 by January (31 of 90 days of 60.00), 39.33 by February. Of what goes back 30.00 is the
    customer's; 15.00 ends as much of 60.00, of which 60 of 90 days are given by 1 March: 10.00 refunds, 5.00 not given.
    The rest of the price, 60.00 - 5.00, is earned by the end: 20.67, 18.66 and 15.67.
    """
    cli.post(
        *parties(), invoice("I", "2026-01-01", service("90.00", "2026-01-01", "2026-03-31")),
        payment("P", "90.00", "2026-01-02", ("I", "90.00")),
    )  # fmt: skip
    for number in order:
        cli.post([_note("30.00", "2026-02-01"), _refund("45.00", "2026-03-02")][number])
    assert _months(cli) == {
        "2026-01": {"cash": "90.00", "deferred_revenue": "59.00", "revenue": "31.00"},
        "2026-02": {"customer_balance": "30.00", "deferred_revenue": "-38.33", "revenue": "8.33"},
        "2026-03": {"cash": "-45.00", "customer_balance": "-30.00", "deferred_revenue": "-20.67", "refunds": "10.00", "revenue": "15.67"},
    }  # fmt: skip


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_all_was_paid_back_before_a_line_is_credited(cli: Cli, order: tuple[int, ...]) -> None:
    """Two lines of 50.00: the first is credited whole, all 100.00 are paid back. 50.00 is contra revenue, of the second alone."""
    cli.post(
        *parties(), invoice("I", "2026-01-10", one_time("50.00"), one_time("50.00", line="2")),
        payment("P", "100.00", "2026-01-15", ("I", "100.00")),
    )  # fmt: skip
    for number in order:
        cli.post([_note("50.00"), _refund("100.00")][number])
    assert _months(cli) == {"2026-01": {"refunds": "50.00", "revenue": "50.00"}}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_usage_credited_and_paid_back(cli: Cli, order: tuple[int, ...]) -> None:
    cli.post(
        *parties(), usage("u", "100", "2026-01-05", unit_price="1"), invoice("I", "2026-01-10", billed_usage("100.00")),
        payment("P", "100.00", "2026-01-15", ("I", "100.00")),
    )  # fmt: skip
    for number in order:
        cli.post([_note("33.00"), _refund("33.00")][number])
    assert _months(cli) == {"2026-01": {"cash": "67.00", "revenue": "67.00"}}


def test_a_credit_note_after_the_refund_explains_nothing(cli: Cli) -> None:
    """Paid back on the 19th, credited on the 20th: 33.00 contra revenue, and 33.00 more that the customer may have."""
    cli.post(
        *parties(), VAT, invoice("I", "2026-01-10", one_time("100.00") | TAXED), payment("P", "110.00", "2026-01-15", ("I", "110.00")),
        _refund("33.00", "2026-01-19"), _note("30.00"),
    )  # fmt: skip
    assert _months(cli) == {
        "2026-01": {
            "cash": "77.00",
            "customer_balance": "33.00",
            "refunds": "30.00",
            "revenue": "70.00",
            "tax_payable": "4.00",
        }
    }


def test_no_more_is_credited_than_is_left(cli: Cli) -> None:
    cli.post(
        *parties(), invoice("I", "2026-01-10", one_time("100.00")), payment("P", "100.00", "2026-01-15", ("I", "100.00")), _refund("60.00")
    )  # fmt: skip
    told = cli.refuse(_note("100.01"))
    assert "lines.0.amount = 100.01 USD: expected at most 100.00, what is left of the line" in told
    cli.post(_note("100.00"))  # all of the refund is the customer's, and 40.00 more
    assert _months(cli) == {"2026-01": {"cash": "40.00", "customer_balance": "40.00"}}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_credit_that_leaves_the_customer_nothing_takes_nothing_of_a_refund(cli: Cli, order: tuple[int, ...]) -> None:
    """Two lines of 120.00 and 60.00, 90.00 paid; 24.00 of the second credited, which is less due, and 40.00 paid back.

    Nothing is left with the customer, whichever comes first: all of the 40.00 stays given back of the lines.
    """
    second = service("60.00", "2026-01-01", "2026-03-31", line="2")
    cli.post(
        *parties(), invoice("I", "2026-01-01", service("120.00", "2026-01-01", "2026-03-31"), second),
        payment("P", "90.00", "2026-01-02", ("I", "90.00")),
    )  # fmt: skip
    for number in order:
        cli.post([_note("24.00", "2026-02-01", line="2"), _refund("40.00", "2026-02-10")][number])
    months = _months(cli)
    assert {month: of.get("customer_balance") for month, of in months.items()} == dict.fromkeys(months)
