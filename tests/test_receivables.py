from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import PARTY, application, invoice, one_time, parties, payment


def _books(cli: Cli) -> None:
    cli.post(
        *parties(),
        {"type": "customer", "id": "initech", "name": "Initech"},
        {"type": "entity", "id": "eu", "name": "Acme AI GmbH", "currency": "EUR"},
        invoice("I1", "2026-01-10", one_time("250.00")),
        invoice("I2", "2026-01-20", one_time("100.00")),
    )


def test_one_payment_for_many_invoices_and_more(cli: Cli) -> None:
    _books(cli)
    cli.post(payment("P", "400.00", "2026-02-01", ("I1", "250.00"), ("I2", "60.00"), fee="11.90"))
    assert cli.summary()["2026-02"] == {
        "accounts_receivable": "-310.00",
        "cash": "388.10",
        "customer_balance": "90.00",
        "processing_fees": "11.90",
    }
    cli.post(application("A", "40.00", "2026-02-03", "I2"))
    assert cli.report("ar-aging") == []
    cli.ok("verify")


def test_money_before_the_invoice_waits_for_it(cli: Cli) -> None:
    _books(cli)
    cli.post(payment("P", "100.00", "2026-01-05", ("I2", "100.00")))
    assert [row["due"] for row in cli.report("ar-aging", "--as-of", "2026-01-19")] == ["250.00"]
    rows = cli.report("trial-balance", "--as-of", "2026-01-19")
    assert {row["role"]: row["credit"] for row in rows}["customer_balance"] == "100.00"
    assert [row["invoice"] for row in cli.report("ar-aging", "--as-of", "2026-01-20")] == ["I1"]
    cli.ok("verify")


@pytest.mark.parametrize(
    ("day", "column"),
    [
        ("2026-01-10", "current"),
        ("2026-01-11", "days_1_30"),
        ("2026-02-09", "days_1_30"),
        ("2026-02-10", "days_31_60"),
        ("2026-03-11", "days_31_60"),
        ("2026-03-12", "days_61_90"),
        ("2026-04-10", "days_61_90"),
        ("2026-04-11", "over_90"),
    ],
)
def test_aging_by_due_date(cli: Cli, day: str, column: str) -> None:
    cli.post(*parties(), invoice("I1", "2026-01-10", one_time("250.00")))
    (row,) = cli.report("ar-aging", "--as-of", day)
    amounts = {key: row[key] for key in ("current", "days_1_30", "days_31_60", "days_61_90", "over_90")}
    assert amounts == dict.fromkeys(amounts, "0.00") | {column: "250.00"}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            payment("P", "300.00", "2026-02-01", ("I1", "250.01")),
            "applications.0.amount = 250.01 USD: expected at most 250.00, what is due of invoice I1 on 2026-02-01",
        ),
        (
            payment("P", "300.00", "2026-02-01", ("I1", "250.00"), ("I2", "60.00")),
            "applications = 310.00 USD: expected at most the payment's amount, 300.00",
        ),
        (
            payment("P", "10.00", "2026-02-01", ("I9", "10.00")),
            "invoice = I9: expected the id of an invoice posted before",
        ),
        (payment("P", "10.00", "2026-02-01", ("I1", "5.00"), ("I1", "5.00")), "expected each id once, found I1 twice"),
        (payment("P", "10.00", "2026-02-01", fee="10.01"), "fee = 10.01: expected at most the payment's amount"),
        (
            payment("P", "10.00", "2026-02-01", rail="gold"),
            "rail = gold: expected 'card', 'ach', 'wire', 'check' or 'external'",
        ),
        (
            payment("P", "10.00", "2026-02-01", ("I1", "5.00"), customer="initech"),
            "is an invoice of globex, expected one of initech",
        ),
        (
            payment("P", "10.00", "2026-02-01", ("I1", "5.00"), entity="eu", currency="EUR"),
            "is of entity us, expected one of entity eu",
        ),
        (
            application("A", "0.01", "2026-02-01", "I1"),
            "amount = 0.01 USD: expected at most 0.00, what globex has unapplied",
        ),
    ],
)
def test_what_a_payment_can_not_do(cli: Cli, document: dict[str, Any], words: str) -> None:
    _books(cli)
    before = cli.summary()
    assert words in cli.refuse(document)
    assert cli.summary() == before


def test_an_application_can_not_use_money_that_came_later(cli: Cli) -> None:
    _books(cli)
    cli.post(payment("P", "50.00", "2026-02-01"))
    assert "what globex has unapplied on 2026-01-31" in cli.refuse(application("A", "50.00", "2026-01-31", "I1"))
    cli.post(application("A2", "50.00", "2026-02-01", "I1"))


def test_money_promised_to_a_later_application_is_not_there_before_it(cli: Cli) -> None:
    _books(cli)
    cli.post(payment("P", "50.00", "2026-02-01"), application("A1", "50.00", "2026-02-20", "I1"))
    assert "expected at most 0.00" in cli.refuse(application("A2", "0.01", "2026-02-10", "I1"))


def test_an_unconditional_receivable_counts_from_its_due_date(cli: Cli) -> None:
    """IFRS 15 Example 38, Case B (606-10-55-285 to 286): payable in advance on 31 January, paid 1 March, given 31 March.

    The contract can be cancelled until then: the receivable and the liability arise on 31 January, not with the invoice.
    """
    promised = {"id": "c/o", "product": "seats", "price": "1000.00", "start": "2019-03-31", "pattern": "point_in_time"}
    line = {"id": "1", "kind": "service", "amount": "1000.00", "obligation": "c/o"}
    agreed = {
        "type": "contract", "id": "c", **PARTY, "signed_on": "2019-01-01", "receivable": "unconditional", "obligations": [promised],
    }  # fmt: skip
    bill = invoice("I", "2019-01-01", line) | {"due_on": "2019-01-31"}
    cli.post(*parties(), agreed, bill, payment("P", "1000.00", "2019-03-01", ("I", "1000.00")))
    cli.ok("recognize", "--through", "2019-03")
    assert cli.report("trial-balance", "--as-of", "2019-01-30") == []
    held = {row["role"]: (row["debit"], row["credit"]) for row in cli.report("trial-balance", "--as-of", "2019-01-31")}
    assert held == {"accounts_receivable": ("1000.00", "0.00"), "deferred_revenue": ("0.00", "1000.00")}
    held = {row["role"]: (row["debit"], row["credit"]) for row in cli.report("trial-balance", "--as-of", "2019-03-31")}
    held = {role: sides for role, sides in held.items() if sides != ("0.00", "0.00")}
    assert held == {"cash": ("1000.00", "0.00"), "revenue": ("0.00", "1000.00")}
    cli.ok("verify")


def test_what_comes_before_an_unconditional_receivable_waits_for_it(cli: Cli) -> None:
    """Money and corrections dated before the due date count from it; by default an invoice counts from its own date."""
    promised = {"id": "c/o", "product": "seats", "price": "100.00", "start": "2026-03-01", "end": "2026-03-31"}
    agreed = {
        "type": "contract", "id": "c", **PARTY, "signed_on": "2026-01-01", "receivable": "unconditional", "obligations": [promised],
    }  # fmt: skip

    def line(ref: str, amount: str) -> dict[str, object]:
        return {"id": ref, "kind": "service", "amount": amount, "obligation": "c/o"}

    cli.post(*parties(), agreed, invoice("I", "2026-01-01", line("1", "60.00")) | {"due_on": "2026-02-15"})
    mixed = invoice("J", "2026-01-01", line("1", "40.00"), one_time("1.00", "2"))
    assert "expected a line of a contract with receivable unconditional" in cli.refuse(mixed)
    cli.post(
        payment("P", "50.00", "2026-01-20", ("I", "50.00")),
        {"type": "credit_note", "id": "N", "invoice": "I", "date": "2026-01-25", "lines": [{"line": "1", "amount": "5.00"}]},
        invoice("K", "2026-01-01", line("1", "40.00")) | {"due_on": "2026-02-15"},
        {"type": "invoice_void", "id": "V", "invoice": "K", "date": "2026-01-10", "reason": "not yet"},
    )  # fmt: skip
    assert {row["role"] for row in cli.report("trial-balance", "--as-of", "2026-02-14")} == {"cash", "customer_balance"}
    assert [(row["invoice"], row["due"]) for row in cli.report("ar-aging")] == [("I", "5.00")]
    cli.ok("verify")
