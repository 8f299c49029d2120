"""Manual entries, and opening balances taken over from another system."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import contract, grant, invoice, obligation, one_time, parties, payment, usage


def entry(ref: str, *lines: dict[str, Any], day: str = "2026-01-31", **more: Any) -> dict[str, Any]:
    return {
        "type": "manual_entry", "id": ref, "entity": "us", "date": day, "currency": "USD", "lines": list(lines),
        "reason": "audit adjustment", "approved_by": "ann", **more,
    }  # fmt: skip


def line(debit: str, credit: str, amount: str, **more: str) -> dict[str, Any]:
    return {"debit": debit, "credit": credit, "amount": amount, **more}


def test_an_entry_as_given(cli: Cli) -> None:
    cli.post(
        *parties(),
        entry("m", line("bad_debt", "accounts_receivable", "5.00"), line("cash", "revenue", "7.00", debit_subject="rail:wire", product="seats")),
    )  # fmt: skip
    assert cli.summary() == {
        "2026-01": {"accounts_receivable": "-5.00", "bad_debt": "5.00", "cash": "7.00", "revenue": "7.00"}
    }
    (aged,) = cli.report("ar-aging")
    assert (aged["invoice"], aged["due"]) == ("manual", "-5.00")
    assert "all" in cli.ok("verify")
    assert "manual_entry m" in cli.ok("trace", "manual_entry:m")


def test_opening_balances_carry_on(cli: Cli) -> None:
    """A half-used grant, a running subscription and unapplied money, taken over on New Year's Eve."""
    of = {"customer": "globex"}
    cli.post(
        *parties(),
        grant("OLD", "40.00", "2025-06-01", expires_on="2026-06-30"),
        contract("old", "2025-12-31", obligation("old/seats", "90.00", "2026-01-01", "2026-03-31")),
        entry(
            "open",
            line("opening_balances", "customer_credits", "40.00", credit_subject="grant:OLD", **of),
            line("opening_balances", "deferred_revenue", "90.00", credit_subject="obligation:old/seats", **of),
            line("opening_balances", "customer_balance", "15.00", **of),
            day="2025-12-31",
        ),
        entry("cash", line("cash", "opening_balances", "500.00", debit_subject="rail:wire"), day="2025-12-31"),
        usage("u", "25.00", "2026-01-10"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-06")
    found = cli.summary()
    assert found["2025-12"] == {
        "cash": "500.00", "customer_balance": "15.00", "customer_credits": "40.00", "deferred_revenue": "90.00",
        "opening_balances": "355.00",
    }  # fmt: skip
    assert found["2026-01"] == {"customer_credits": "-25.00", "deferred_revenue": "-31.00", "revenue": "56.00"}
    assert found["2026-06"] == {"breakage_revenue": "15.00", "customer_credits": "-15.00"}
    assert "all" in cli.ok("verify")


def test_an_open_invoice_is_taken_over_paid_and_written_off(cli: Cli) -> None:
    old = {"id": "1", "kind": "opening", "amount": "120.00"}
    cli.post(
        *parties(),
        invoice("OLD-1", "2025-11-30", old, due_on="2025-12-30"),
        payment("P", "50.00", "2026-01-05", ("OLD-1", "50.00")),
    )
    (aged,) = cli.report("ar-aging", "--as-of", "2026-01-31")
    assert (aged["invoice"], aged["due"], aged["days_overdue"]) == ("OLD-1", "70.00", 32)
    credited = {
        "type": "credit_note",
        "id": "N",
        "invoice": "OLD-1",
        "date": "2026-01-10",
        "lines": [{"line": "1", "amount": "20.00"}],
    }
    gone = {
        "type": "write_off",
        "id": "W",
        "invoice": "OLD-1",
        "date": "2026-02-01",
        "reason": "bankrupt",
        "approved_by": "ann",
    }
    cli.post(credited, gone)
    cli.ok("recognize", "--through", "2026-02")
    assert cli.summary() == {
        "2025-11": {"accounts_receivable": "120.00", "opening_balances": "120.00"},
        "2026-01": {"accounts_receivable": "-70.00", "cash": "50.00", "opening_balances": "-20.00"},
        "2026-02": {"accounts_receivable": "-50.00", "bad_debt": "50.00"},
    }
    assert "all" in cli.ok("verify")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (entry("m", line("cash", "revenue", "1.00"), approved_by="Tester"), "expected somebody else than who posts it, tester"),
        (entry("m", line("cash", "revenue", "1.00"), reason=""), "reason"),
        (entry("m", line("cash", "money", "1.00")), "lines.0.credit = money: expected one of"),
        (entry("m", line("cash", "memo_credits_issued", "1.00")), "lines.0.credit = memo_credits_issued: expected an account off"),
        (entry("m", line("cash", "cash", "1.00")), "lines.0.credit = cash: expected another account"),
        (entry("m", line("cash", "customer_balance", "1.00")), "lines.0.customer = missing"),
        (entry("m", line("customer_balance", "cash", "1.00", customer="globex")), "expected at most 0.00, what customer_balance holds"),
        (entry("m", line("bad_debt", "accounts_receivable", "11.00", customer="globex", credit_subject="invoice:I")),
         "expected at most 10.00, what accounts_receivable holds of it"),
        (entry("m", line("bad_debt", "accounts_receivable", "6.00", customer="globex", credit_subject="invoice:I"),
               line("bad_debt", "accounts_receivable", "5.00", customer="globex", credit_subject="invoice:I")),
         "lines.1.credit_subject = invoice:I 11.00 USD: expected at most 10.00"),
        (entry("m", line("cash", "accounts_receivable", "1.00", customer="globex", credit_subject="invoice:X")), "expected the id of an invoice"),
        (entry("m", line("cash", "revenue", "1.00", credit_subject="grant:G")), "expected none on revenue"),
        (entry("m", line("cash", "revenue", "1.00", debit_subject="rail:gold")), "expected rail: and one of card"),
        (entry("m", line("customer_credits", "revenue", "1.00", customer="globex", debit_subject="grant:G")), "by a grant_return"),
        (entry("m", line("cash", "customer_credits", "41.00", customer="globex", credit_subject="grant:G")), "at most what is not yet billed"),
        (entry("m", line("cash", "deferred_revenue", "1.00", customer="globex", credit_subject="obligation:x")), "expected the id of an obligation"),
    ],
)  # fmt: skip
def test_what_is_refused(cli: Cli, document: dict[str, Any], words: str) -> None:
    cli.post(*parties(), invoice("I", "2026-01-01", one_time("10.00")), grant("G", "40.00"))
    before = cli.summary()
    assert words in cli.refuse(document)
    assert cli.summary() == before


def test_what_is_taken_over_late_settles_what_was_earned_before(cli: Cli) -> None:
    """10.00 of the grant were used unbilled before its money is taken over: no asset is left beside the liability."""
    cli.post(
        *parties(), grant("OLD", "40.00"), usage("u", "10.00", "2026-01-10"),
        entry("open", line("opening_balances", "customer_credits", "40.00", credit_subject="grant:OLD", customer="globex"),
              day="2026-01-20"),
    )  # fmt: skip
    assert cli.summary()["2026-01"] == {"customer_credits": "30.00", "opening_balances": "-40.00", "revenue": "10.00"}
    assert "all" in cli.ok("verify")
