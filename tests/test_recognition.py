from __future__ import annotations

import json

from tests.conftest import Cli
from tests.samples import contract, grant, invoice, obligation, one_time, parties, payment, prepaid, service


def test_an_invoice_after_service_began_catches_up_in_its_month(cli: Cli) -> None:
    # Stripe's example "invoice finalised after service started", catch-up on: 92 USD for October to December,
    # billed 1 November: 61 and 31
    cli.post(*parties(), invoice("I", "2024-11-01", service("92.00", "2024-10-01", "2024-12-31")))
    cli.ok("recognize", "--through", "2024-12")
    assert cli.summary() == {
        "2024-11": {"accounts_receivable": "92.00", "deferred_revenue": "31.00", "revenue": "61.00"},
        "2024-12": {"deferred_revenue": "-31.00", "revenue": "31.00"},
    }


def test_a_contract_billed_in_arrears_the_same_whichever_comes_first(cli: Cli) -> None:
    # the same facts as a contract: Stripe's figures with catch-up off. October is earned before it is billed.
    terms = contract("c", "2024-10-01", obligation("c/s", "92.00", "2024-10-01", "2024-12-31"))
    bill = invoice("I", "2024-11-01", {"id": "1", "kind": "service", "amount": "92.00", "obligation": "c/s"})
    expected = {
        "2024-10": {"revenue": "31.00", "unbilled_receivable": "31.00"},
        "2024-11": {
            "accounts_receivable": "92.00",
            "deferred_revenue": "31.00",
            "revenue": "30.00",
            "unbilled_receivable": "-31.00",
        },
        "2024-12": {"deferred_revenue": "-31.00", "revenue": "31.00"},
    }
    cli.post(*parties(), terms, bill)
    cli.ok("recognize", "--through", "2024-12")
    assert cli.summary() == expected
    cli.ok("verify")


def test_a_contract_recognised_first_and_billed_after(cli: Cli) -> None:
    terms = contract("c", "2024-10-01", obligation("c/s", "92.00", "2024-10-01", "2024-12-31"))
    cli.post(*parties(), terms)
    cli.ok("recognize", "--through", "2024-12")
    assert cli.summary()["2024-11"] == {"revenue": "30.00", "unbilled_receivable": "30.00"}
    cli.post(invoice("I", "2024-11-01", {"id": "1", "kind": "service", "amount": "92.00", "obligation": "c/s"}))
    cli.ok("recognize", "--through", "2024-12")
    summary = cli.summary()
    assert summary["2024-10"] == {"revenue": "31.00", "unbilled_receivable": "31.00"}
    assert summary["2024-11"] == {
        "accounts_receivable": "92.00",
        "deferred_revenue": "31.00",
        "revenue": "30.00",
        "unbilled_receivable": "-31.00",
    }
    assert summary["2024-12"] == {"deferred_revenue": "-31.00", "revenue": "31.00"}
    assert "nothing was due" in cli.ok("recognize", "--through", "2024-12")
    cli.ok("verify")


def test_a_line_without_period_counts_on_the_invoices_date(cli: Cli) -> None:
    # 9 a month and a one-off 50 in January: 59, 9, 9
    months = [("2026-01-01", "2026-01-31"), ("2026-02-01", "2026-02-28"), ("2026-03-01", "2026-03-31")]
    bills = [invoice(f"I{n}", start, service("9.00", start, end)) for n, (start, end) in enumerate(months)]
    cli.post(*parties(), *bills, invoice("setup", "2026-01-15", one_time("50.00")))
    cli.ok("recognize", "--through", "2026-03")
    revenue = {month: row["revenue"] for month, row in cli.summary().items()}
    assert revenue == {"2026-01": "59.00", "2026-02": "9.00", "2026-03": "9.00"}
    assert {row["effective_on"] for row in _entries(cli, "setup/1")} == {"2026-01-15"}


def _entries(cli: Cli, ref: str) -> list[dict[str, str]]:
    import json

    trace = json.loads(cli.ok("trace", f"obligation:{ref}", "--format", "json"))
    found = [json.loads(cli.ok("trace", step["ref"], "--format", "json")) for step in trace["led_to"]]
    return [entry for item in found for entry in item["entries"]]


def test_months_recognised_one_by_one_or_at_once_are_the_same(cli: Cli) -> None:
    cli.post(*parties(), invoice("I", "2026-01-15", service("100.00", "2026-01-15", "2026-04-14")))
    for month in ("2026-01", "2026-02", "2026-03", "2026-04", "2026-05"):
        cli.ok("recognize", "--through", month)
    one_by_one = cli.summary()
    # 90 days: 17, 28, 31, 14 of them; cumulatively 18.888 50.000 84.444 100
    revenue = {month: row["revenue"] for month, row in one_by_one.items()}
    assert revenue == {"2026-01": "18.89", "2026-02": "31.11", "2026-03": "34.44", "2026-04": "15.56"}


def test_recognition_into_closed_books(cli: Cli) -> None:
    cli.post(*parties(), invoice("I1", "2026-01-01", service("90.00", "2026-01-01", "2026-03-31")))
    cli.ok("recognize", "--through", "2026-01")
    cli.ok("close", "2026-01")
    assert "closed through this month" in cli.refused("recognize", "--through", "2026-01")
    # January's invoice arrives late: February takes it, and January's revenue with it
    cli.post(invoice("I2", "2026-01-01", service("90.00", "2026-01-01", "2026-03-31")))
    cli.ok("recognize", "--through", "2026-03")
    assert cli.summary() == {
        "2026-01": {"accounts_receivable": "90.00", "deferred_revenue": "59.00", "revenue": "31.00"},
        "2026-02": {"accounts_receivable": "90.00", "deferred_revenue": "3.00", "revenue": "87.00"},
        "2026-03": {"deferred_revenue": "-62.00", "revenue": "62.00"},
    }
    cli.ok("verify")


def test_payment_does_not_move_revenue(cli: Cli) -> None:
    cli.post(
        *parties(),
        invoice("I", "2026-01-01", service("31.00", "2026-01-01", "2026-01-31")),
        payment("P", "31.00", "2026-03-01", ("I", "31.00")),
    )
    cli.ok("recognize", "--through", "2026-03")
    assert cli.summary()["2026-01"]["revenue"] == "31.00"
    assert "revenue" not in cli.summary()["2026-03"]


def test_the_waterfall_ties(cli: Cli) -> None:
    cli.post(
        *parties(),
        invoice("I1", "2026-01-10", service("365.00", "2026-01-01", "2026-12-31")),
        contract("c", "2026-02-01", obligation("c/s", "120.00", "2026-02-01", "2026-05-31", pattern="monthly")),
    )
    cli.ok("recognize", "--through", "2026-03")
    rows = cli.report("revenue-waterfall", "--as-of", "2026-03-31")
    found = {(row["booked"], row["month"], row["status"]): row["amount"] for row in rows}
    assert found["2026-01", "2026-01", "recognised"] == "31.00"
    assert found["2026-02", "2026-03", "recognised"] == "30.00"
    assert found["2026-01", "2026-04", "scheduled"] == "30.00"
    assert found["2026-02", "2026-05", "scheduled"] == "30.00"
    assert ("2026-02", "2026-06", "scheduled") not in found
    scheduled = sum(float(row["amount"]) for row in rows if row["status"] == "scheduled")
    # 275 of the invoice are deferred; of the contract 60 are neither billed nor earned
    assert scheduled == 275 + 60
    assert {row["role"]: row["credit"] for row in cli.report("trial-balance")}["deferred_revenue"] == "275.00"


def test_a_dry_run_shows_what_would_post_and_posts_nothing(cli: Cli) -> None:
    cli.post(*parties(), invoice("I", "2026-01-01", service("59.00", "2026-01-01", "2026-02-28")), grant("G", expires_on="2026-01-31"),
             invoice("P", "2026-01-01", prepaid("100.00")))  # fmt: skip
    before = cli.report("trial-balance")
    tried = json.loads(cli.ok("recognize", "--through", "2026-01", "--dry-run", "--format", "json"))
    assert [(row["effective_on"], row["subject"], row["rule"], row["amount"]) for row in tried] == [
        ("2026-01-31", "grant:G", "expire.prepaid", "100.00"), ("2026-01-31", "obligation:I/1", "recognise.deferred", "31.00"),
    ]  # fmt: skip
    assert cli.report("trial-balance") == before
    assert "expire.prepaid" in cli.ok("recognize", "--through", "2026-01", "--dry-run")
    assert "2 entries" in cli.ok("recognize", "--through", "2026-01")
    assert json.loads(cli.ok("recognize", "--through", "2026-01", "--dry-run", "--format", "json")) == []
