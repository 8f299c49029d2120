"""Whose money lies where: each payment's money is its own, whatever was done with it since."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import application, credit_note, invoice, one_time, parties, payment, service

HEAD = [
    *parties(),
    {"type": "fx_rate", "id": "r1", "date": "2026-01-01", "base": "EUR", "quote": "USD", "rate": "1.20"},
    {"type": "fx_rate", "id": "r2", "date": "2026-03-01", "base": "EUR", "quote": "USD", "rate": "1.30"},
]


def refund(amount: str, day: str = "2026-02-01", of: str = "P", ref: str = "R", **more: Any) -> dict[str, Any]:
    return {"type": "refund", "id": ref, "payment": of, "date": day, "amount": amount, **more}


def dispute(status: str, amount: str, day: str, of: str = "P", **more: Any) -> dict[str, Any]:
    return {
        "type": "dispute",
        "id": f"D {status}",
        "payment": of,
        "date": day,
        "amount": amount,
        "status": status,
        **more,
    }


def sold(ref: str = "I", amount: str = "100.00", day: str = "2026-01-10", **more: Any) -> dict[str, Any]:
    return invoice(ref, day, one_time(amount), **more)


def _end(cli: Cli, *documents: dict[str, Any]) -> dict[str, str]:
    cli.post(*HEAD, *documents)
    cli.ok("verify")
    return {role: f"{amount:.2f}" for role, amount in cli.totals().items()}


def _recognised(cli: Cli, *documents: dict[str, Any]) -> dict[str, str]:
    cli.post(*HEAD, *documents)
    cli.ok("recognize", "--through", "2026-06")
    cli.ok("verify")
    return {role: f"{amount:.2f}" for role, amount in cli.totals().items()}


LATER = [payment("P", "100.00", "2026-01-20"), application("A", "100.00", "2026-01-23", "I")]


def test_money_applied_later_can_be_refunded(cli: Cli) -> None:
    assert _recognised(cli, sold(), *LATER, refund("100.00")) == {"refunds": "100.00", "revenue": "100.00"}


def test_money_applied_later_can_be_lost(cli: Cli) -> None:
    gone = [dispute("opened", "100.00", "2026-02-01"), dispute("lost", "100.00", "2026-02-10")]
    assert _recognised(cli, sold(), *LATER, *gone) == {"disputes": "100.00", "revenue": "100.00"}


def test_each_payment_moves_what_is_its_own(cli: Cli) -> None:
    # 50 and 50 on I, 40 of what came last moved to J: all of P, and all of Q, can be refunded
    paid = [payment("P", "50.00", "2026-01-10", ("I", "50.00")), payment("Q", "50.00", "2026-01-11", ("I", "50.00"))]
    moved = application("A", "40.00", "2026-01-12", "J", from_invoice="I")
    back = [refund("50.00"), refund("50.00", of="Q", ref="S")]
    end = _recognised(cli, sold(), sold("J", "40.00"), *paid, moved, *back)
    # 140 billed, 100 came and went: 40 of I are due, as these were moved to J; of I went back 60, of J 40
    assert end == {"accounts_receivable": "40.00", "refunds": "100.00", "revenue": "140.00"}


def test_a_named_payment_is_moved(cli: Cli) -> None:
    paid = [payment("P", "50.00", "2026-01-10", ("I", "50.00")), payment("Q", "50.00", "2026-01-11", ("I", "50.00"))]
    moved = application("A", "40.00", "2026-01-12", "J", from_invoice="I", payment="P")
    cli.post(*HEAD, sold(), sold("J", "40.00"), *paid, moved)
    said = cli.refuse(refund("41.00", invoice="J"))
    assert "expected at most 40.00, what is left of what payment P settled" in said
    assert "expected an invoice of which payment Q settles something" in cli.refuse(refund("1.00", of="Q", invoice="J"))
    cli.post(refund("40.00", invoice="J"))
    cli.ok("verify")


def test_a_move_in_another_currency_is_no_money_of_a_payment(cli: Cli) -> None:
    moved = [
        sold("I", "50.25"), sold("J", "50.25"), payment("P", "50.25", "2026-01-10", ("I", "50.25")),
        application("A", "50.25", "2026-01-12", "J", from_invoice="I"),
        {"type": "fx_rate", "id": "y", "date": "2026-01-01", "base": "USD", "quote": "JPY", "rate": "150"},
        payment("Y", "15000", "2026-01-12", currency="JPY"),
    ]  # fmt: skip
    assert _end(cli, *moved, refund("15000", of="Y")) == {
        "accounts_receivable": "50.25", "cash": "50.25", "deferred_revenue": "100.50",
    }  # fmt: skip


def test_what_is_disputed_is_not_refunded(cli: Cli) -> None:
    cli.post(*HEAD, sold(), *LATER, dispute("opened", "70.00", "2026-02-01"))
    said = cli.refuse(refund("30.01", "2026-02-02"))
    assert "amount = 30.01 USD: expected at most 30.00, what is left of payment P on 2026-02-02" in said
    # one of an earlier day that comes late can't take what is disputed later either
    assert "expected at most 30.00" in cli.refuse(refund("30.01", "2026-01-25"))
    cli.post(refund("30.00", "2026-02-02"), dispute("lost", "70.00", "2026-02-10"))
    cli.ok("verify")
    assert "expected at most 0.00" in cli.refuse(refund("0.01", "2026-02-02", ref="S"))


def test_a_refund_leaves_what_another_payment_has_unapplied(cli: Cli) -> None:
    paid = [payment("P", "100.00", "2026-01-20", ("I", "100.00")), payment("Q", "50.00", "2026-01-21")]
    assert _recognised(cli, sold(), *paid, refund("50.00"), refund("50.00", of="Q", ref="S")) == {
        "cash": "50.00", "refunds": "50.00", "revenue": "100.00",
    }  # fmt: skip


@pytest.mark.parametrize("payment_of_note", ["P", "Q"])
def test_what_a_note_left_goes_back_of_either_payment(cli: Cli, payment_of_note: str) -> None:
    # 50 and 50 paid I; 30 of it credited: whoever asks for it gets it from the balance, and revenue falls once
    paid = [payment("P", "50.00", "2026-01-10", ("I", "50.00")), payment("Q", "50.00", "2026-01-11", ("I", "50.00"))]
    note = credit_note("C", "2026-01-20", "30.00")
    end = _recognised(cli, sold(), *paid, note, refund("30.00", of=payment_of_note))
    assert end == {"cash": "70.00", "revenue": "70.00"}
    cli.post(
        refund("50.00", of="P" if payment_of_note == "Q" else "Q", ref="S"),
        refund("20.00", of=payment_of_note, ref="T"),
    )
    cli.ok("verify")
    totals = {role: f"{amount:.2f}" for role, amount in cli.totals().items()}
    assert totals == {"refunds": "70.00", "revenue": "70.00"}


@pytest.mark.parametrize("named", [False, True])
def test_money_of_another_currency_goes_back_as_it_came(cli: Cli, named: bool) -> None:
    # 108 USD for 100 EUR at 1.20, so 12 lost; 54 back are 50 EUR, revenue 60 less; the 6 between are lost before
    paid = payment("P", "108.00", "2026-01-10", applications=[{"invoice": "I", "amount": "100.00", "paid": "108.00"}])
    back = refund("54.00", "2026-02-01", **({"invoice": "I"} if named else {}))
    end = _recognised(cli, sold(currency="EUR"), paid, back)
    assert end == {"cash": "54.00", "fx_gain": "6.00", "fx_loss": "12.00", "refunds": "60.00", "revenue": "120.00"}


def test_money_of_another_currency_can_be_lost(cli: Cli) -> None:
    paid = payment("P", "108.00", "2026-01-10", applications=[{"invoice": "I", "amount": "100.00", "paid": "108.00"}])
    gone = [dispute("opened", "108.00", "2026-02-01"), dispute("lost", "108.00", "2026-02-10")]
    end = _recognised(cli, sold(currency="EUR"), paid, *gone)
    # all that was sold went back: 120 less 120, and what the rate took came back
    assert end == {"disputes": "120.00", "fx_gain": "12.00", "fx_loss": "12.00", "revenue": "120.00"}


def test_a_note_in_another_currency_and_its_refund(cli: Cli) -> None:
    paid = payment("P", "108.00", "2026-01-10", applications=[{"invoice": "I", "amount": "100.00", "paid": "108.00"}])
    note = credit_note("C", "2026-01-20", "50.00")
    end = _recognised(cli, sold(currency="EUR"), paid, note, refund("54.00", "2026-02-01"))
    # the 50 EUR of the note, 60 USD of revenue, go back as the 54 USD they came as
    assert end == {"cash": "54.00", "fx_gain": "6.00", "fx_loss": "12.00", "revenue": "60.00"}


def test_the_money_of_what_was_promised_is_paid_out_by_any_refund(cli: Cli) -> None:
    contract = {
        "type": "contract", "id": "K", "customer": "globex", "entity": "us", "currency": "USD", "signed_on": "2026-01-01",
        "obligations": [{"id": "K/s", "product": "seats", "price": "100.00", "start": "2026-01-01", "end": "2026-01-31"}],
    }  # fmt: skip
    bill = invoice("I", "2026-01-10", {"id": "1", "kind": "service", "obligation": "K/s", "amount": "100.00"})
    owed = {
        "type": "consideration_payable",
        "id": "O",
        "contract": "K",
        "date": "2026-01-20",
        "amount": "30.00",
        "reason": "x",
    }
    end = _recognised(cli, contract, bill, payment("P", "100.00", "2026-01-12", ("I", "100.00")), owed, refund("30.00"))
    assert end == {"cash": "70.00", "revenue": "70.00"}


def test_service_is_split_by_what_the_money_lies_on(cli: Cli) -> None:
    # applied later to January's service: 31.00, refunded on the 11th, so ten days of it were given
    bill = invoice("I", "2026-01-01", service("31.00", "2026-01-01", "2026-01-31"))
    paid = [payment("P", "31.00", "2026-01-02"), application("A", "31.00", "2026-01-03", "I")]
    assert _recognised(cli, bill, *paid, refund("31.00", "2026-01-11")) == {"refunds": "10.00", "revenue": "10.00"}
