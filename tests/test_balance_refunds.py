"""Refunds of a customer's balance: whatever brought the money, each piece of it is its own."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import PARTY, application, credit_note, one_time, payment
from tests.test_receipts import credit, identified, receipt
from tests.test_reversals import bounced
from tests.test_uses import GROUP, HEAD, MUMS, THEIRS, dispute, refund, sold

Document = dict[str, Any]


def pay_out(amount: str, day: str = "2026-02-01", ref: str = "O", **more: Any) -> Document:
    return {"type": "refund", "id": ref, **PARTY, "date": day, "amount": amount, "rail": "wire", **more}


def _end(cli: Cli) -> dict[str, Decimal]:
    cli.ok("verify")
    return {role: amount for role, amount in cli.totals().items() if amount}


def test_the_oldest_money_goes_first_each_of_its_own(cli: Cli) -> None:
    """P 30.00, goodwill 20.00, Q 50.00 in that order: 60.00 out are all of P and of the goodwill, and 10.00 of Q."""
    cli.post(*HEAD, payment("P", "30.00", "2026-01-10"), credit("c", "20.00", "2026-01-11"))
    cli.post(payment("Q", "50.00", "2026-01-12"), pay_out("60.00"))
    assert _end(cli) == {"cash": 20, "customer_balance": 40, "promotional_credits": 20}
    assert "expected at most 0.00, what is left of payment P" in cli.refuse(refund("0.01"))
    assert "expected at most 40.00, what is left of payment Q" in cli.refuse(refund("40.01", of="Q"))
    assert "expected at most 0.00, what is unused of credit c" in cli.refuse(
        credit("t", "0.01", "2026-02-01", takes_back="c")
    )


def test_no_more_than_stands_from_the_day_on(cli: Cli) -> None:
    """50.00 came on the 10th, of which 30.00 pay an invoice on the 20th: on any day before, too, 20.00 can be paid out."""
    cli.post(*HEAD, sold(), payment("P", "50.00", "2026-01-10"), application("A", "30.00", "2026-01-20", "I"))
    said = cli.refuse(pay_out("20.01", "2026-01-12"))
    assert (
        "amount = 20.01 USD: expected at most 20.00, what globex has unapplied, and not disputed, on 2026-01-12" in said
    )
    assert "expected at most 0.00" in cli.refuse(pay_out("1.00", "2026-01-09"))
    cli.post(pay_out("20.00", "2026-01-12"))
    assert _end(cli) == {"accounts_receivable": 70, "cash": 30, "deferred_revenue": 100}


def test_what_is_disputed_stays(cli: Cli) -> None:
    """P 100.00 and Q 50.00; of P 70.00 are disputed: 80.00 can be paid out, 30.00 of P and 50.00 of Q."""
    cli.post(*HEAD, payment("P", "100.00", "2026-01-10"), payment("Q", "50.00", "2026-01-11"))
    cli.post(dispute("opened", "70.00", "2026-01-20"))
    assert "expected at most 80.00" in cli.refuse(pay_out("80.01"))
    cli.post(pay_out("80.00"), dispute("lost", "70.00", "2026-02-10"))
    assert _end(cli) == {}


@pytest.mark.parametrize("kind", ["goodwill", "below zero", "no invoice"])
@pytest.mark.parametrize("named", [False, True], ids=["of the balance", "naming a payment"])
@pytest.mark.parametrize("gone", ["reversed", "lost", "refunded"])
def test_money_of_no_payment_leaves_each_payment_whole(cli: Cli, kind: str, named: bool, gone: str) -> None:
    """P pays 100.00 of I; 30.00 that no payment brought are paid out: all of P can come back, be lost or be refunded."""
    given: Document = {
        "goodwill": credit("c", "30.00", "2026-01-15"),
        "below zero": {**sold("X", day="2026-01-15"), "lines": [one_time("-30.00")]},
        "no invoice": {
            "type": "credit_note", "id": "N", **PARTY, "date": "2026-01-15", "lines": [{"product": "seats", "amount": "30.00"}],
        },
    }[kind]  # fmt: skip
    cli.post(*HEAD, sold(), payment("P", "100.00", "2026-01-10", ("I", "100.00")), given)
    before = cli.totals()
    cli.post(refund("30.00", ref="O") if named else pay_out("30.00"))
    cli.ok("verify")
    assert cli.totals()["cash"] == before["cash"] - 30
    assert cli.totals().get("customer_balance", 0) == 0
    back = {
        "reversed": [bounced("2026-02-05")],
        "lost": [dispute("opened", "100.00", "2026-02-05"), dispute("lost", "100.00", "2026-02-06")],
        "refunded": [refund("100.00", "2026-02-05")],
    }[gone]
    cli.post(*back)
    end = _end(cli)
    assert end["cash"] == -30
    assert end.get("accounts_receivable", 0) == (100 if gone == "reversed" else 0)


@pytest.mark.parametrize("named", [False, True], ids=["of the balance", "naming a payment"])
def test_one_that_failed_leaves_all_as_it_was(cli: Cli, named: bool) -> None:
    """100.00 of P on I, 30.00 of goodwill: paid out and back, then the goodwill is taken back and P refunded."""
    cli.post(*HEAD, sold(), payment("P", "100.00", "2026-01-10", ("I", "100.00")), credit("c", "30.00", "2026-01-15"))
    before = cli.totals()
    cli.post(refund("30.00", ref="O") if named else pay_out("30.00"))
    failed = {"type": "refund_reversal", "id": "F", "refund": "O", "date": "2026-02-03", "reason": "closed account"}
    cli.post(failed)
    cli.ok("verify")
    assert cli.totals() == before
    assert "expected one that did not fail already: F says it did" in cli.refuse({**failed, "id": "F2"})
    cli.post(credit("t", "30.00", "2026-02-04", takes_back="c"), refund("100.00", "2026-02-05"))
    cli.ok("recognize", "--through", "2026-06")
    assert _end(cli) == {"refunds": 100, "revenue": 100}


def test_money_of_another_currency_goes_out_and_back_for_what_it_counted(cli: Cli) -> None:
    """100.00 EUR at 1.20 go out on a day of 1.30 and fail: cash and the balance are 120.00 USD again, and nothing is realised."""
    cli.post(*HEAD, payment("P", "100.00", "2026-01-10", currency="EUR"))
    before = cli.totals()
    cli.post(pay_out("40.00", "2026-03-02", currency="EUR"))
    cli.post({"type": "refund_reversal", "id": "F", "refund": "O", "date": "2026-03-05", "reason": "closed account"})
    cli.ok("verify")
    assert cli.totals() == before


def test_what_a_note_left_in_the_currency_of_its_invoice_can_be_paid_out(cli: Cli) -> None:
    """108.00 USD paid 100.00 EUR, of which 50.00 are credited: 50.00 EUR can be paid out, 54.00 USD of P, and fail."""
    paid = payment("P", "108.00", "2026-01-10", applications=[{"invoice": "I", "amount": "100.00", "paid": "108.00"}])
    cli.post(*HEAD, sold(currency="EUR"), paid, credit_note("C", "2026-01-20", "50.00"))
    before = cli.totals()
    cli.post(pay_out("50.00", currency="EUR"))
    cli.ok("verify")
    assert "expected at most 54.00, what is left of payment P" in cli.refuse(refund("54.01"))
    cli.post({"type": "refund_reversal", "id": "F", "refund": "O", "date": "2026-02-05", "reason": "closed account"})
    cli.ok("verify")
    assert cli.totals() == before
    cli.post(refund("108.00", "2026-02-06"))
    assert _end(cli).get("cash", 0) == 0


def test_an_overpaid_receipt_is_sent_back(cli: Cli) -> None:
    """130.00 of nobody known are Globex' and pay 100.00: the 30.00 left go back, and they are the receipt's own."""
    cli.post(*HEAD, sold(), receipt("X", "130.00", "2026-01-10"), identified("X/g", "X", "2026-01-12"))
    cli.post(application("A", "100.00", "2026-01-12", "I"), pay_out("30.00"))
    assert _end(cli) == {"cash": 100, "deferred_revenue": 100}
    back = {"type": "refund", "id": "R", "receipt": "X/g", "date": "2026-02-02", "amount": "100.01"}
    assert "expected at most 100.00, what is left of receipt X/g" in cli.refuse(back)


def test_it_needs_approval_as_other_refunds(cli: Cli) -> None:
    """Above 50.00 a second person: of P, and of the balance, and of both together."""
    policy = {
        "type": "approval_policy", "id": "L", "entity": "us", "date": "2026-01-01", "refund_above": "50.00", "approved_by": "ann",
    }  # fmt: skip
    cli.post(*HEAD, policy, payment("P", "200.00", "2026-01-10"), pay_out("30.00"))
    said = cli.refuse(pay_out("20.01", ref="Q"))
    assert "refunds of the balance of customer globex that nobody approved come to 50.01 USD with it" in said
    assert "refunds of payment P that nobody approved come to 50.01 USD with it" in cli.refuse(refund("20.01"))
    cli.post(refund("20.00"))
    assert "come to 50.01 USD" in cli.refuse(pay_out("0.01", ref="Q"))
    cli.post({"type": "refund_reversal", "id": "F", "refund": "O", "date": "2026-02-03", "reason": "closed account"})
    cli.post(pay_out("30.00", ref="Q"), pay_out("100.00", ref="S", approved_by="ann"))
    assert _end(cli) == {"cash": 50, "customer_balance": 50}
    assert [row["amount"] for row in cli.report("approvals")] == ["30.00", "20.00", "30.00", "100.00"]


@pytest.mark.parametrize(
    ("doc", "said"),
    [
        ({"payment": "P"}, "payment = P: expected payment or recovery or receipt or customer, and one of them only"),
        ({"entity": None}, "entity = missing: expected beside customer, and only there"),
        ({"invoice": "I"}, "invoice = I: expected none beside customer, whose balance it is of"),
        ({"rail": None}, "account = missing: expected the money_account that took it, or the rail it came by"),
        ({"customer": "nobody"}, "customer = nobody: expected the id of a customer"),
        ({"account": "nobody"}, "account = nobody: expected the id of a money_account posted before"),
    ],
)
def test_refusals(cli: Cli, doc: Document, said: str) -> None:
    cli.post(*HEAD, payment("P", "50.00", "2026-01-10"))
    told = {key: value for key, value in {**pay_out("10.00"), **doc}.items() if value is not None}
    assert said in cli.refuse(told)
    assert "rail = wire: expected beside customer only" in cli.refuse(refund("1.00", rail="wire"))


def test_it_is_traced_both_ways(cli: Cli) -> None:
    cli.post(*HEAD, payment("P", "30.00", "2026-01-10"), credit("c", "20.00", "2026-01-11"), pay_out("40.00"))
    told = cli.ok("trace", "refund:O")
    assert "payment P" in told
    assert "customer_credit c" in told
    assert "refund O" in cli.ok("trace", "payment:P")
    assert "refund O" in cli.ok("trace", "customer_credit:c")
    statement = [line["document"] for line in cli.report("statement", "--customer", "globex")]
    assert statement[-1] == "refund O"


def _cash_of(cli: Cli, customer: str) -> Decimal:
    rows = cli.report("summary", "--customer", customer)
    return sum((Decimal(row["amount"]) for row in rows if row["account"] == "cash"), Decimal(0))


def test_a_refund_of_a_parents_money_that_failed_is_the_parents_cash_again(cli: Cli) -> None:
    """A note leaves 40.00 of a parent's 100.00 with the child, which are paid out of the parent's cash, and come back into it."""
    cli.post(*HEAD, *GROUP, THEIRS, {**MUMS, "amount": "100.00"}, credit_note("C", "2026-01-25", "40.00", invoice="T"))
    cli.post({**pay_out("40.00"), "customer": "child"})
    assert (_cash_of(cli, "mum"), _cash_of(cli, "child")) == (60, 0)
    cli.post({"type": "refund_reversal", "id": "F", "refund": "O", "date": "2026-03-10", "reason": "account closed"})
    assert (_cash_of(cli, "mum"), _cash_of(cli, "child")) == (100, 0)
    cli.ok("verify")
