"""Whose money lies where: each payment's money is its own, whatever was done with it since."""

from __future__ import annotations

import json
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


WRITTEN_OFF = [
    sold(),
    {"type": "write_off", "id": "W", "invoice": "I", "date": "2026-02-01", "reason": "gone", "approved_by": "ann"},
    {
        "type": "recovery",
        "id": "Y",
        "write_off": "W",
        "date": "2026-03-01",
        "rail": "wire",
        "amount": "40.00",
        "fee": "1.00",
    },
]


def test_what_was_recovered_can_be_paid_back(cli: Cli) -> None:
    back = {"type": "refund", "id": "R", "recovery": "Y", "date": "2026-03-10", "amount": "40.00", "fee": "0.50"}
    end = _recognised(cli, *WRITTEN_OFF, back)
    assert end == {
        "bad_debt": "60.00",
        "cash": "-1.50",
        "processing_fees": "1.50",
        "refunds": "40.00",
        "revenue": "100.00",
    }
    assert "expected at most 0.00, what is left of recovery Y on 2026-03-11" in cli.refuse(
        {**back, "id": "S", "date": "2026-03-11"}
    )
    assert "payment = Y: expected the id of a payment posted before" in cli.refuse(refund("1.00", of="Y", ref="S"))
    assert "expected payment or recovery or receipt or customer, and one of them only" in cli.refuse(
        {**back, "id": "S", "payment": "P"}
    )


def test_what_was_recovered_can_be_lost_and_won_after_all(cli: Cli) -> None:
    of = {"recovery": "Y", "payment": None}
    gone = [
        dispute("opened", "40.00", "2026-03-05"),
        dispute("lost", "40.00", "2026-03-10"),
        dispute("reinstated", "40.00", "2026-03-20"),
    ]
    documents = [{key: value for key, value in {**doc, **of}.items() if value is not None} for doc in gone]
    end = _recognised(cli, *WRITTEN_OFF, *documents[:2])
    assert end == {
        "bad_debt": "60.00",
        "cash": "-1.00",
        "disputes": "40.00",
        "processing_fees": "1.00",
        "revenue": "100.00",
    }
    cli.post(documents[2])
    cli.ok("recognize", "--through", "2026-06")
    cli.ok("verify")
    totals = {role: f"{amount:.2f}" for role, amount in cli.totals().items()}
    assert totals == {"bad_debt": "60.00", "cash": "39.00", "processing_fees": "1.00", "revenue": "100.00"}


def test_what_a_receipt_turned_out_to_be_can_go_back(cli: Cli) -> None:
    came = {
        "type": "unidentified_receipt",
        "id": "X",
        "entity": "us",
        "currency": "USD",
        "date": "2026-01-10",
        "rail": "wire",
        "amount": "70.00",
    }
    known = {"type": "receipt_identified", "id": "X/globex", "receipt": "X", "customer": "globex", "date": "2026-01-12"}
    put = application("A", "50.00", "2026-01-13", "I")
    back = {"type": "refund", "id": "R", "receipt": "X/globex", "date": "2026-02-01", "amount": "70.00"}
    assert _recognised(cli, sold(), came, known, put, back) == {
        "accounts_receivable": "50.00", "refunds": "50.00", "revenue": "100.00",
    }  # fmt: skip


GROUP = [
    {"type": "customer", "id": "mum", "name": "Parent"},
    {"type": "customer", "id": "child", "name": "Child", "parent": "mum"},
]
THEIRS = {**sold("T", "100.00"), "customer": "child"}
MUMS = {**payment("P", "130.00", "2026-01-20", ("T", "100.00")), "customer": "mum"}


def _due(cli: Cli) -> dict[str, str]:
    return {row["invoice"]: row["due"] for row in cli.report("ar-aging", "--as-of", "2026-06-30") if "invoice" in row}


def test_a_parent_pays_its_subsidiary(cli: Cli) -> None:
    assert _recognised(cli, *GROUP, THEIRS, MUMS) == {
        "cash": "130.00",
        "customer_balance": "30.00",
        "revenue": "100.00",
    }
    # a subsidiary doesn't pay for its parent, and globex for nobody
    own = {**sold("M", "10.00"), "customer": "mum"}
    cli.post(own, {**payment("C", "10.00", "2026-02-01"), "customer": "child"}, payment("G", "10.00", "2026-02-01"))
    for who in ("child", "globex"):
        said = cli.refuse({**application("A", "10.00", "2026-02-02", "M"), "customer": who})
        assert f"is an invoice of mum, expected one of {who}, or of a customer that belongs to it" in said
    # it is named as who paid
    cli.post({**payment("N", "10.00", "2026-02-03", ("M", "10.00")), "customer": "mum", "payer": "globex"})
    cli.ok("verify")
    assert "payer = nobody: expected the id of a customer" in cli.refuse(
        {**payment("O", "1.00", "2026-02-03"), "payer": "nobody"}
    )
    assert "expected another customer than `customer`" in cli.refuse(
        {**payment("O", "1.00", "2026-02-03"), "payer": "globex"}
    )


BACK: dict[str, list[dict[str, Any]]] = {
    "refund": [refund("130.00")],
    "lost": [dispute("opened", "130.00", "2026-02-01"), dispute("lost", "130.00", "2026-02-10")],
    "reversal": [{"type": "payment_reversal", "id": "B", "payment": "P", "date": "2026-02-01", "reason": "R01"}],
    "late reversal": [{"type": "payment_reversal", "id": "B", "payment": "P", "date": "2026-01-20", "reason": "R01"}],
    "unapplication": [{"type": "unapplication", "id": "U", "payment": "P", "invoice": "T", "date": "2026-02-01"}, refund("130.00", "2026-02-02")],
}  # fmt: skip


# Of 130 the parent paid, 100 are on its subsidiary's invoice: what goes back is given back of that, as of its own money, and shown
# beside revenue; what never was paid, or is taken off, is due again.
GONE: dict[str, dict[str, str]] = {
    "refund": {"refunds": "100.00", "revenue": "100.00"},
    "lost": {"disputes": "100.00", "revenue": "100.00"},
    "reversal": {"accounts_receivable": "100.00", "revenue": "100.00"},
    "late reversal": {"accounts_receivable": "100.00", "revenue": "100.00"},
    "unapplication": {"accounts_receivable": "100.00", "revenue": "100.00"},
}


@pytest.mark.parametrize("how", BACK)
@pytest.mark.parametrize("later", [False, True], ids=["at once", "applied later"])
def test_what_a_parent_paid_goes_back_as_what_its_customer_paid(cli: Cli, how: str, later: bool) -> None:
    money = [MUMS]
    if later:
        put = {**application("A", "100.00", "2026-01-21", "T"), "customer": "mum"}
        money = [{**MUMS, "applications": []}, put]
    back = list(BACK[how])
    if later and how == "unapplication":
        back[0] = {"type": "unapplication", "id": "U", "application": "A", "date": "2026-02-01"}
    end = _recognised(cli, *GROUP, THEIRS, *money, *back)
    assert end == GONE[how]
    assert _due(cli) == ({"T": "100.00"} if "accounts_receivable" in GONE[how] else {})


@pytest.mark.parametrize("how", ["refund", "reversal", "late reversal", "lost"])
def test_of_what_a_note_left_with_a_subsidiary_the_parent_gets_its_money(cli: Cli, how: str) -> None:
    # of 100 a note took 40, which its subsidiary has, and 60 are on the invoice
    note = credit_note("C", "2026-01-25", "40.00", invoice="T")
    end = _recognised(cli, *GROUP, THEIRS, MUMS, note, *BACK[how])
    assert end == dict.fromkeys(GONE[how], "60.00")


@pytest.mark.parametrize("first", ["note", "refund"])
def test_a_refund_of_a_parents_money_is_what_a_note_left_of_it(cli: Cli, first: str) -> None:
    # 100 of hers paid its invoice, 40 of it credited and paid back to her: nobody owes or has anything, in whichever order
    told = [credit_note("C", "2026-01-25", "40.00", invoice="T"), refund("40.00", invoice="T")]
    mums = {**MUMS, "amount": "100.00"}
    end = _recognised(cli, *GROUP, THEIRS, mums, *(told if first == "note" else told[::-1]))
    assert end == {"cash": "60.00", "revenue": "60.00"}


def test_a_refund_of_a_parents_money_names_the_invoice(cli: Cli) -> None:
    # 30 are hers still, and stay hers where an invoice is named
    cli.post(*HEAD, *GROUP, THEIRS, MUMS)
    assert "what payment P settled" in cli.refuse(refund("100.01", invoice="T"))
    said = cli.refuse(refund("1.00", invoice="U"))
    assert (
        "expected an invoice of which payment P settles something that did not go back: it settles 100.00 of T" in said
    )
    cli.post(refund("100.00", invoice="T"))
    cli.ok("recognize", "--through", "2026-06")
    cli.ok("verify")
    totals = {role: f"{amount:.2f}" for role, amount in cli.totals().items()}
    assert totals == {"cash": "30.00", "customer_balance": "30.00", "refunds": "100.00", "revenue": "100.00"}
    shown = [(row["document"], row["amount"]) for row in cli.report("approvals")]
    assert shown == [("refund R", "100.00")]


def test_a_refund_of_a_parents_money_that_fails_late_explains_one_that_came_after(cli: Cli) -> None:
    # the 40 that a note left were paid back to her, then 30 of the invoice; the 40 are there again before that: it was of them
    note = credit_note("C", "2026-01-25", "40.00", invoice="T")
    back = [refund("40.00", "2026-02-10"), refund("30.00", "2026-02-20", ref="S")]
    failed = {"type": "refund_reversal", "id": "F", "refund": "R", "date": "2026-02-15", "reason": "closed"}
    end = _recognised(cli, *GROUP, THEIRS, {**MUMS, "amount": "100.00"}, note, *back, failed)
    assert end == {"cash": "70.00", "customer_balance": "10.00", "revenue": "60.00"}


def _of_balance(amount: str, day: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "refund", "id": "S", "customer": "child", "entity": "us", "currency": "USD", "rail": "wire", "date": day,
        "amount": amount, **more,
    }  # fmt: skip


def test_a_limit_counts_what_a_parents_money_comes_to_in_two_ways(cli: Cli) -> None:
    # 30 that are hers still and 5 of 40 that a note left with the subsidiary go back to her, 15 to it: 50 of one payment
    policy = {
        "type": "approval_policy", "id": "L", "entity": "us", "date": "2026-01-01", "refund_above": "50.00", "approved_by": "ann",
    }  # fmt: skip
    note = credit_note("C", "2026-01-25", "40.00", invoice="T")
    cli.post(*HEAD, *GROUP, THEIRS, MUMS, note, policy, refund("35.00"))
    assert "that nobody approved come to 50.01 USD" in cli.refuse(_of_balance("15.01", "2026-02-02"))
    cli.post(_of_balance("15.00", "2026-02-02"))
    assert "that nobody approved come to 50.01 USD" in cli.refuse(refund("0.01", "2026-02-03", ref="V", invoice="T"))
    cli.ok("verify")


@pytest.mark.parametrize("failed", [False, True], ids=["paid", "failed"])
def test_a_balance_that_a_parent_paid_is_paid_out_of_her_cash(cli: Cli, failed: bool) -> None:
    # 40 of her 100 EUR, at 1.20, are its balance by a note, and paid out to it when a euro is 1.30
    note = credit_note("C", "2026-01-25", "40.00", invoice="T")
    back = [_of_balance("40.00", "2026-03-05", currency="EUR")]
    if failed:
        back.append({"type": "refund_reversal", "id": "F", "refund": "S", "date": "2026-03-20", "reason": "closed"})
    end = _recognised(cli, *GROUP, {**THEIRS, "currency": "EUR"}, MUMS | _EUROS, note, *back)
    assert end == (
        {"cash": "120.00", "customer_balance": "48.00", "revenue": "72.00"}
        if failed
        else {"cash": "72.00", "revenue": "72.00"}
    )
    rows = cli.report("trial-balance", "--as-of", "2026-12-31", "--customer", "child")
    assert not [row for row in rows if row["account"] == "cash" and float(row["balance"])]


def test_refunds_of_a_parents_money_add_up_to_a_limit_of_one_person(cli: Cli) -> None:
    policy = {
        "type": "approval_policy",
        "id": "L",
        "entity": "us",
        "date": "2026-01-01",
        "refund_above": "50.00",
        "approved_by": "ann",
    }
    cli.post(*HEAD, *GROUP, THEIRS, MUMS, policy, refund("50.00", invoice="T"))
    said = cli.refuse(refund("0.01", ref="S", invoice="T"))
    assert "refunds of payment P that nobody approved come to 50.01 USD with it" in said
    # what failed does not count
    cli.post({"type": "refund_reversal", "id": "F", "refund": "R", "date": "2026-02-10", "reason": "closed"})
    cli.post(refund("50.00", "2026-02-11", ref="S", invoice="T"))
    cli.ok("verify")


def test_papers_of_a_subsidiary_name_what_its_parent_paid(cli: Cli) -> None:
    cli.post(*HEAD, *GROUP, THEIRS, MUMS)
    told = {row["document"]: row["settled"] for row in cli.report("statement", "--customer", "child")}
    assert told["payment P"] == "100.00"
    shown = json.loads(cli.ok("invoice", "T", "--format", "json"))
    assert [(one["document"], one["kind"], one["amount"]) for one in shown["settlements"]] == [
        ("payment:P", "payment", "100.00")
    ]
    assert "payment:P" in cli.ok("trace", "beside:payment:P")


IN_EUROS = {
    **MUMS, "amount": "90.00", "currency": "EUR", "applications": [{"invoice": "T", "amount": "100.00", "paid": "90.00"}],
}  # fmt: skip
BACK_IN_EUROS: dict[str, list[dict[str, Any]]] = {
    "refund": [refund("90.00")],
    "lost": [dispute("opened", "90.00", "2026-02-01"), dispute("lost", "90.00", "2026-02-10")],
    "reversal": BACK["reversal"],
}


@pytest.mark.parametrize("how", BACK_IN_EUROS)
def test_it_goes_back_in_the_parents_currency(cli: Cli, how: str) -> None:
    note = credit_note("C", "2026-01-25", "40.00", invoice="T")
    end = _recognised(cli, *GROUP, THEIRS, IN_EUROS, note, *BACK_IN_EUROS[how])
    # what the rate brought when it was paid is taken back: nothing is left of the payment
    assert end.pop("fx_gain", "0.00") == end.pop("fx_loss", "0.00")
    assert end == dict.fromkeys(GONE[how], "60.00")


_EUROS = {"currency": "EUR", "amount": "100.00", "applications": [{"invoice": "T", "amount": "100.00"}]}
_TAKEN_OFF = {"type": "unapplication", "id": "U", "payment": "P", "invoice": "T", "date": "2026-03-10"}
# 100 EUR of hers at 1.20 on an invoice of 100 EUR at 1.20 go back when a euro is 1.30: they count for 120 as they came.
AS_IT_CAME: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "unapplication": (
        _TAKEN_OFF,
        {"accounts_receivable": "120.00", "cash": "120.00", "customer_balance": "120.00", "revenue": "120.00"},
    ),
    "reversal": (BACK["reversal"][0] | {"date": "2026-03-10"}, {"accounts_receivable": "120.00", "revenue": "120.00"}),
    "refund": (refund("100.00", "2026-03-10"), {"refunds": "120.00", "revenue": "120.00"}),
    "refund of a part": (
        refund("25.00", "2026-03-10", invoice="T"), {"cash": "90.00", "refunds": "30.00", "revenue": "120.00"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", AS_IT_CAME)
def test_money_between_customers_goes_back_at_what_it_came_for(cli: Cli, how: str) -> None:
    document, end = AS_IT_CAME[how]
    assert _recognised(cli, *GROUP, {**THEIRS, "currency": "EUR"}, MUMS | _EUROS, document) == end


@pytest.mark.parametrize("named", [False, True], ids=["a rail", "an account"])
def test_a_failed_refund_across_currencies_is_as_if_it_never_was(cli: Cli, named: bool) -> None:
    # 90 EUR at 1.20 for 100 USD: 8.00 gained
    account = {
        "type": "money_account", "id": "bank", "entity": "us", "name": "Bank", "kind": "bank", "currency": "EUR", "overdraft": True,
    }  # fmt: skip
    money = (
        {key: value for key, value in IN_EUROS.items() if key != "rail"} | {"account": "bank"} if named else IN_EUROS
    )
    failed = {"type": "refund_reversal", "id": "F", "refund": "R", "date": "2026-02-20", "reason": "closed"}
    end = _recognised(cli, *GROUP, THEIRS, account, money, refund("45.00"), failed)
    fx = float(end.pop("fx_gain", "0")) - float(end.pop("fx_loss", "0"))
    assert end == {"cash": "108.00", "revenue": "100.00"}
    assert fx == 8.0


def test_it_goes_back_on_a_day_before_it_was_put_there(cli: Cli) -> None:
    put = {**application("A", "100.00", "2026-02-10", "T"), "customer": "mum"}
    end = _recognised(cli, *GROUP, THEIRS, {**MUMS, "applications": []}, put, refund("130.00", "2026-02-01"))
    assert end == GONE["refund"]


def test_after_it_came_back_the_subsidiarys_money_is_its_own(cli: Cli) -> None:
    note, back = credit_note("C", "2026-01-25", "40.00", invoice="T"), BACK["reversal"][0]
    own = {**payment("Q", "40.00", "2026-03-05"), "customer": "child"}
    put = {**application("A", "40.00", "2026-03-06", "T"), "customer": "child"}
    end = _recognised(cli, *GROUP, THEIRS, MUMS, note, back, own, put, refund("40.00", "2026-03-10", of="Q"))
    assert end == {"accounts_receivable": "20.00", "refunds": "40.00", "revenue": "60.00"}


def test_tax_that_was_withheld_with_it_is_due_again(cli: Cli) -> None:
    tax = {"type": "tax_code", "id": "tds", "name": "TDS", "rate": "0.10"}
    withheld = [{"invoice": "T", "amount": "90.00", "withheld": [{"code": "tds", "amount": "10.00"}]}]
    money = {**MUMS, "amount": "90.00", "applications": withheld}
    assert _recognised(cli, *GROUP, tax, THEIRS, money) == {
        "cash": "90.00",
        "revenue": "100.00",
        "tax_withheld": "10.00",
    }
    cli.post(*BACK["reversal"])
    cli.ok("verify")
    assert {role: f"{amount:.2f}" for role, amount in cli.totals().items()} == {
        "accounts_receivable": "100.00",
        "revenue": "100.00",
    }
