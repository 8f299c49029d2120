"""Money taken off invoices again: applications that were wrong, and payments that came back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import application, credit_note, invoice, one_time, payment
from tests.test_uses import HEAD, refund, sold


def bounced(day: str = "2026-01-14", of: str = "P", **more: Any) -> dict[str, Any]:
    return {"type": "payment_reversal", "id": f"B {of}", "payment": of, "date": day, "reason": "R01", **more}


def unapplied(day: str, **more: Any) -> dict[str, Any]:
    return {"type": "unapplication", "id": "U", "date": day, **more}


def _months(cli: Cli) -> dict[str, dict[str, str]]:
    return {month: moved for month, moved in cli.summary().items() if moved}


def _totals(cli: Cli) -> dict[str, str]:
    cli.ok("verify")
    return {role: f"{amount:.2f}" for role, amount in cli.totals().items()}


def test_a_payment_that_came_back_is_no_payment(cli: Cli) -> None:
    paid = payment("P", "100.00", "2026-01-10", ("I", "100.00"))
    cli.post(*HEAD, sold(), paid, bounced(fee="4.00"))
    assert _totals(cli) == {
        "accounts_receivable": "100.00", "cash": "-4.00", "deferred_revenue": "100.00", "processing_fees": "4.00",
    }  # fmt: skip
    # it is paid again, and the payment that came back can't be given back
    said = cli.refuse(refund("1.00", "2026-01-20"))
    assert "expected at most 0.00, what is left of payment P" in said
    again = {**bounced("2026-01-20"), "id": "again"}
    assert "0.00 is; payment_reversal B P took of it" in cli.refuse(again)
    cli.post(payment("Q", "100.00", "2026-01-20", ("I", "100.00")))
    assert _totals(cli)["cash"] == "96.00"


def test_nothing_of_it_may_have_gone_back(cli: Cli) -> None:
    cli.post(*HEAD, sold(), payment("P", "100.00", "2026-01-10", ("I", "100.00")), refund("30.00", "2026-01-12"))
    assert "expected one of which all is there, 100.00: 70.00 is; refund R 30.00 took of it" in cli.refuse(bounced())
    assert "expected 2026-01-10, when payment P came in, or later" in cli.refuse(bounced("2026-01-09"))


USES = [
    payment("P", "100.00", "2026-01-10"),
    application("A", "100.00", "2026-01-11", "I"),
    credit_note("C", "2026-01-16", "30.00"),
    application("X", "30.00", "2026-01-17", "J"),
    bounced(),
]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (0, 1, 4, 2), (0, 1, 2, 4)])
def test_what_was_done_with_it_later_is_undone_on_its_day(cli: Cli, order: tuple[int, ...]) -> None:
    # by the end of January I is due less what the note took, and J, 60.00, whole: however it arrived
    documents = [USES[number] for number in order]
    cli.post(*HEAD, sold(), sold("J", "60.00"), *documents)
    assert _totals(cli) == {"accounts_receivable": "130.00", "deferred_revenue": "130.00"}
    due = {row["invoice"]: row["due"] for row in cli.report("ar-aging", "--as-of", "2026-01-31") if "invoice" in row}
    assert due == {"I": "70.00", "J": "60.00"}


def test_an_application_is_taken_back_as_it_came(cli: Cli) -> None:
    cli.post(*HEAD, sold(), payment("P", "100.00", "2026-01-10"), application("A", "80.00", "2026-01-11", "I"))
    cli.post(unapplied("2026-02-05", application="A", amount="50.00"))
    assert _totals(cli) == {
        "accounts_receivable": "70.00", "cash": "100.00", "customer_balance": "70.00", "deferred_revenue": "100.00",
    }  # fmt: skip
    said = cli.refuse({**unapplied("2026-02-06", application="A", amount="31.00"), "id": "V"})
    assert "expected at most 30.00, what of application A lies on invoice I on 2026-02-06" in said
    assert "expected 2026-01-11, when the money was put there, or later" in cli.refuse(
        {**unapplied("2026-01-10", application="A"), "id": "V"}
    )
    cli.post({**unapplied("2026-02-06", application="A"), "id": "V"})
    assert _totals(cli)["accounts_receivable"] == "100.00"


def test_what_a_payment_settled_itself_is_taken_back(cli: Cli) -> None:
    cli.post(*HEAD, sold(), sold("J", "20.00"), payment("P", "100.00", "2026-01-10", ("I", "80.00"), ("J", "20.00")))
    cli.post(unapplied("2026-01-20", payment="P", invoice="I"))
    assert _totals(cli)["customer_balance"] == "80.00"
    said = cli.refuse({**unapplied("2026-01-20", payment="P", invoice="I"), "id": "V"})
    assert "amount = all: expected at most 0.00, what of payment P lies on invoice I" in said
    assert "expected an invoice that payment P was put onto" in cli.refuse(
        {**unapplied("2026-01-20", payment="P", invoice="K"), "id": "V"}
    )


@pytest.mark.parametrize(
    ("money", "of"),
    [
        (payment("P", "110.00", "2026-01-10", applications=[{"invoice": "I", "amount": "100.00", "paid": "110.00"}]), "EUR"),
        (payment("P", "100.00", "2026-01-10", ("I", "100.00"), currency="EUR", fx_rate="1.25"), "EUR"),
        (payment("P", "95.00", "2026-01-10", currency="EUR", fx_rate="1.25", applications=[{"invoice": "I", "amount": "100.00", "paid": "95.00"}]), "USD"),
    ],
    ids=["USD for EUR", "EUR for EUR", "EUR for USD"],
)  # fmt: skip
def test_undone_in_another_currency_leaves_nothing(cli: Cli, money: dict[str, Any], of: str) -> None:
    bill = invoice("I", "2026-01-05", one_time("100.00"), currency=of)
    cli.post(*HEAD, bill)
    before = cli.totals()
    cli.post(money, bounced("2026-02-10"))
    cli.ok("verify")
    assert cli.totals() == before
    cli.post({**money, "id": "Q", "date": "2026-02-11"})
    paid = cli.totals()
    cli.post(unapplied("2026-02-12", payment="Q", invoice="I"))
    cli.ok("verify")
    assert cli.totals()["accounts_receivable"] == before["accounts_receivable"]
    assert paid["cash"] == cli.totals()["cash"]
