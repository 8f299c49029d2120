"""Income statement and balance sheet: fiscal years, retained earnings, and that they agree with the trial balance."""

from __future__ import annotations

from datetime import date

import pytest

from ledger.reports.financial_statements import year_start
from tests.conftest import Cli
from tests.samples import grant, invoice, parties, payment, prepaid, promotion, service, usage


@pytest.mark.parametrize(
    ("day", "month", "first"),
    [
        ("2026-03-31", 1, "2026-01-01"), ("2026-03-31", 4, "2025-04-01"), ("2026-04-01", 4, "2026-04-01"),
        ("2026-12-31", 12, "2026-12-01"), ("2024-02-29", 2, "2024-02-01"), ("2026-01-31", 10, "2025-10-01"),
    ],
)  # fmt: skip
def test_a_fiscal_year_begins_in_its_month(day: str, month: int, first: str) -> None:
    assert year_start(date.fromisoformat(day), month) == date.fromisoformat(first)


def _books(cli: Cli) -> None:
    entity, *rest = parties()
    cli.post(
        entity | {"fiscal_year_start": 4}, *rest,
        grant("G"), invoice("P", "2026-01-05", prepaid("100.00")), promotion("F", "10.00"),
        usage("u1", "30.00", "2026-03-10"),  # 10.00 promotional, 20.00 prepaid: year to March 2026
        usage("u2", "15.00", "2026-04-10"),
        invoice("A", "2026-03-01", service("60.00", "2026-03-01", "2026-04-30")),  # 31/61 in March: 30.49
        payment("M", "100.00", "2026-04-02", ("P", "100.00"), fee="3.00"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-04")


def test_an_income_statement_of_a_month_and_its_fiscal_year(cli: Cli) -> None:
    _books(cli)
    march = {
        row["account"]: (row["period"], row["year"]) for row in cli.report("income-statement", "--as-of", "2026-03-31")
    }
    assert march["Revenue"] == ("60.49", "60.49")  # 30.00 used, 30.49 of the service
    assert march["Promotional credits (contra revenue)"] == ("-10.00", "-10.00")
    assert march["Revenue, total"] == ("50.49", "50.49")
    april = {
        row["account"]: (row["period"], row["year"]) for row in cli.report("income-statement", "--as-of", "2026-04-30")
    }
    assert april["Revenue"] == ("44.51", "44.51")  # 15.00 and 29.51: the year began on 1 April
    assert april["Payment processing fees"] == ("3.00", "3.00")
    assert "Result" in cli.ok("report", "income-statement", "--as-of", "2026-04-30")
    both = cli.report("income-statement", "--from", "2026-01-01", "--as-of", "2026-04-30")
    assert {row["account"]: row["period"] for row in both}["Revenue, total"] == "95.00"


def test_a_balance_sheet_balances_and_carries_earlier_years_on(cli: Cli) -> None:
    _books(cli)
    march = {row["account"]: row["amount"] for row in cli.report("balance-sheet", "--as-of", "2026-03-31")}
    assert (march["Retained earnings"], march["Result of the year"]) == ("0.00", "50.49")
    april = {row["account"]: row["amount"] for row in cli.report("balance-sheet", "--as-of", "2026-04-30")}
    # 44.51 earned less 3.00 of fees; what March ended with is carried on
    assert (april["Retained earnings"], april["Result of the year"]) == ("50.49", "41.51")
    assert april["Cash"] == "97.00"
    assert april["Customer credits (prepaid)"] == "65.00"
    assert april["Accounts receivable"] == "60.00"
    assert april["Assets, total"] == "157.00"
    assert april["Liabilities, total"] == "65.00"
    assert april["Equity, total"] == "92.00"
    shown = cli.ok("report", "balance-sheet", "--as-of", "2026-04-30")
    assert "us from 2026-04-01" in shown
    assert "Liabilities and equity" in shown
    assert "expected the id of an entity" in cli.refused("report", "balance-sheet", "--entity", "none")
