"""Significant financing components, against the standards' examples 26, 28 and 29 and annuities worked out beside them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from revrec.price.financing import growth, years
from tests.conftest import Cli
from tests.samples import contract, invoice, obligation, parties, payment, promotion


def _given(day: str, price: str, **more: Any) -> dict[str, Any]:
    return {"id": "c/o", "product": "seats", "price": price, "start": day, "pattern": "point_in_time", **more}


def _financing(rate: str, *payments: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"rate": rate, "payments": [{"date": day, "amount": amount} for day, amount in payments], **more}


def _by_account(cli: Cli, role: str) -> dict[str, str]:
    return {month: row[role] for month, row in cli.summary().items() if role in row}


def _recognize(cli: Cli, through: str) -> None:
    cli.ok("recognize", "--through", through)
    assert "nothing was due" in cli.ok("recognize", "--through", through)
    cli.ok("verify")


def test_years_are_of_twelve_equal_months() -> None:
    assert years(date(2026, 1, 1), date(2028, 1, 1)) == 2
    assert years(date(2026, 1, 31), date(2026, 2, 28)) * 12 == 1
    assert years(date(2026, 3, 31), date(2026, 1, 31)) * 12 == -2
    assert growth(Decimal("0.06"), "annual", date(2026, 1, 1), date(2028, 1, 1)) == Decimal("1.1236")
    assert growth(Decimal("0.12"), "monthly", date(2026, 1, 31), date(2026, 3, 31)) == Decimal("1.0201")


def test_example_29_paid_two_years_ahead(cli: Cli) -> None:
    """Example 29 (606-10-55-240 to 243, IE148 to IE151): 4,000 now for what is given in two years, at 6 %: 494 of interest, 4,494 of revenue.

    Exactly 4,000 x 1.1236 = 4,494.40: 240.00 the first year and 254.40 the second.
    """
    line = {"id": "1", "kind": "service", "amount": "4000.00", "obligation": "c/o"}
    cli.post(
        *parties(), contract("c", "2026-01-01", _given("2028-01-01", "4000.00"), financing=_financing("0.06", ("2026-01-01", "4000.00"))),
        invoice("I", "2026-01-01", line), payment("P", "4000.00", "2026-01-01", ("I", "4000.00")),
    )  # fmt: skip
    _recognize(cli, "2027-12")
    held = {row["role"]: row["credit"] for row in cli.report("trial-balance", "--as-of", "2026-12-31")}
    assert held["deferred_revenue"] == "4239.31"  # 4,000 x 1.06 ** (359 / 360): a day of thirty is left
    _recognize(cli, "2028-01")
    assert _by_account(cli, "revenue") == {"2028-01": "4494.40"}
    assert sum(Decimal(amount) for amount in _by_account(cli, "interest_expense").values()) == Decimal("494.40")
    assert round(Decimal("494.40")) == 494
    assert "deferred_revenue" not in {row["role"] for row in cli.report("trial-balance") if row["credit"] != "0.00"}
    (row,) = cli.report("financing")
    assert (row["promised"], row["price"], row["interest"], row["accrued"], row["coming"]) == (
        "4000.00", "4494.40", "-494.40", "-494.40", "0.00",
    )  # fmt: skip


def test_example_26_paid_two_years_after(cli: Cli) -> None:
    """Example 26 (606-10-55-227 to 232, IE135 to IE140): a product for 121 payable in two years, worth 100 in cash: 10 % a year, 21 of interest."""
    line = {"id": "1", "kind": "service", "amount": "121.00", "obligation": "c/o"}
    cli.post(
        *parties(), contract("c", "2026-01-31", _given("2026-01-31", "121.00"), financing=_financing("0.10", ("2028-01-31", "121.00"))),
        invoice("I", "2028-01-31", line),
    )  # fmt: skip
    _recognize(cli, "2028-01")
    assert _by_account(cli, "revenue") == {"2026-01": "100.00"}
    assets = {
        day: {row["role"]: row["debit"] for row in cli.report("trial-balance", "--as-of", day)}["unbilled_receivable"]
        for day in ("2026-01-31", "2027-01-31")
    }
    assert assets == {"2026-01-31": "100.00", "2027-01-31": "110.00"}
    assert sum(Decimal(amount) for amount in _by_account(cli, "interest_income").values()) == 21
    end = {row["role"]: row["debit"] for row in cli.report("trial-balance")}
    assert (end["accounts_receivable"], end.get("unbilled_receivable", "0.00")) == ("121.00", "0.00")


@pytest.mark.parametrize(
    ("rate", "published", "exact"), [("0.05", 1_000_000, "999999.81"), ("0.12", 848_357, "848356.87")]
)
def test_example_28_a_loan_by_monthly_payments(cli: Cli, rate: str, published: int, exact: str) -> None:
    """Example 28 (606-10-55-235 to 239, IE143 to IE147): 60 payments of 18,871 for equipment; at 5 % a year worth 1,000,000, at 12 % 848,357.

    The payment that makes 1,000,000 exactly is 18,871.23: at a twelfth a month of each rate the prices are 999,999.81 and
    848,356.87 by the annuity's formula, payment x (1 - (1 + r) ** -60) / r.
    """
    payments = [(f"{2026 + month // 12}-{month % 12 + 1:02}-01", "18871.23") for month in range(1, 61)]
    total = str(Decimal("18871.23") * 60)
    cli.post(
        *parties(), contract("c", "2026-01-01", _given("2026-01-01", total), financing=_financing(rate, *payments, compounding="monthly")),
    )  # fmt: skip
    monthly = Decimal(rate) / 12
    annuity = Decimal("18871.23") * (1 - (1 + monthly) ** -60) / monthly
    (row,) = cli.report("financing")
    assert row["price"] == f"{annuity:.2f}" == exact
    assert abs(Decimal(row["price"]) - published) < 1
    assert Decimal(row["interest"]) == Decimal(total) - Decimal(row["price"])


def test_interest_of_a_service_paid_a_year_after_it_began(cli: Cli) -> None:
    """1,200 for a year by months, all paid at its end, at 12 % a month's twelfth: its price makes the payments' worth.

    Each month's twelfth p counts at its end: p x (1.01 ** 11 + ... + 1) = 1,200, so p = 1,200 x 0.01 / (1.01 ** 12 - 1) = 94.6185,
    and the price 1,135.42; interest is the rest, 64.58.
    """
    year = obligation("c/o", "1200.00", "2026-01-01", "2026-12-31", pattern="monthly")
    cli.post(
        *parties(),
        contract(
            "c", "2026-01-01", year, financing=_financing("0.12", ("2026-12-31", "1200.00"), compounding="monthly")
        ),
    )
    _recognize(cli, "2027-02")
    price = 12 * Decimal(1200) * Decimal("0.01") / (Decimal("1.01") ** 12 - 1)
    assert f"{price:.2f}" == "1135.42"
    assert sum(Decimal(amount) for amount in _by_account(cli, "revenue").values()) == Decimal("1135.42")
    interest = _by_account(cli, "interest_income")
    assert sum(Decimal(amount) for amount in interest.values()) == Decimal("64.58")
    # after February two twelfths stand, with a month's interest on the first of them
    assert interest["2026-02"] == f"{price / 12 * Decimal('0.01'):.2f}"
    balance = {row["role"]: row["debit"] for row in cli.report("trial-balance")}
    assert balance["unbilled_receivable"] == "1200.00"


def test_interest_stops_when_what_it_finances_ends(cli: Cli) -> None:
    year = obligation("c/o", "1200.00", "2026-01-01", "2026-12-31", pattern="monthly")
    terms = _financing("0.12", ("2026-12-31", "1200.00"), compounding="monthly")
    end = {"type": "contract_termination", "id": "T", "contract": "c", "date": "2026-04-01", "reason": "moved away"}
    cli.post(*parties(), contract("c", "2026-01-01", year, financing=terms), end)
    _recognize(cli, "2026-12")
    assert max(_by_account(cli, "interest_income")) <= "2026-04"


def test_payments_are_shared_by_obligations(cli: Cli) -> None:
    """A good of 100 and a year of service of 100, paid at the start: the good is worth what is paid, the service more."""
    service = {
        "id": "c/s",
        "product": "tokens",
        "price": "100.00",
        "start": "2026-01-01",
        "end": "2026-12-31",
        "pattern": "monthly",
    }
    terms = _financing("0.10", ("2026-01-01", "50.00"), ("2026-01-01", "150.00"))
    cli.post(*parties(), contract("c", "2026-01-01", _given("2026-01-01", "100.00"), service, financing=terms))
    rows = {row["obligation"]: row for row in cli.report("financing")}
    assert rows["c/o"]["price"] == "100.00"
    assert rows["c/s"]["promised"] == "100.00"
    assert Decimal("105.00") < Decimal(rows["c/s"]["price"]) < Decimal("106.00")


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        (_financing("0.06", ("2026-01-01", "3999.99")), "financing.payments = 3999.99: expected payments that sum to the contract's price"),
        (_financing("6", ("2026-01-01", "4000.00")), "financing.rate = 6"),
        (_financing("0.06"), "financing.payments"),
    ],
)  # fmt: skip
def test_what_is_refused(cli: Cli, terms: dict[str, Any], words: str) -> None:
    cli.post(*parties())
    assert words in cli.refuse(contract("c", "2026-01-01", _given("2028-01-01", "4000.00"), financing=terms))


def test_financing_needs_days(cli: Cli) -> None:
    cli.post(*parties())
    build = {"id": "c/o", "product": "seats", "price": "10.00", "start": "2026-01-01", "pattern": "progress"}
    told = cli.refuse(contract("c", "2026-01-01", build, financing=_financing("0.06", ("2026-01-01", "10.00"))))
    assert "obligations.0.pattern = progress: expected one by time, or at a point in time" in told


def test_interest_before_the_contract_is_signed_settles_what_its_credits_took(cli: Cli) -> None:
    """Paid in January, signed in June; free credits of February share the price. Interest of a closed month leaves no two sides open."""
    cli.post(
        *parties(),
        contract(
            "c", "2026-06-01", _given("2026-06-01", "44.00"), financing=_financing("0.12", ("2026-01-20", "44.00"))
        ),
        promotion("F", "100.00", "2026-02-18", contract="c"),
    )
    for month in ("2026-01", "2026-02"):
        cli.ok("recognize", "--through", month)
        cli.ok("close", month)
        cli.ok("verify")
    cli.ok("recognize", "--through", "2026-08")
    cli.ok("verify")
