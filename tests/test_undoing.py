"""Refunds that fail and disputes that are won after all: what undoes itself leaves nothing but its history."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import (
    billed_usage,
    contract,
    credit_note,
    grant,
    invoice,
    obligation,
    one_time,
    parties,
    payment,
    prepaid,
    service,
    usage,
)
from tests.test_uses import GROUP, HEAD, MUMS, THEIRS, dispute, refund

TAX = {"type": "tax_code", "id": "vat", "name": "VAT", "rate": "0.10"}
EU = {"type": "entity", "id": "eu", "name": "Acme Europe", "currency": "USD"}
_YEAR = {"start": "2026-01-01", "end": "2026-12-31"}

# A bill of each kind, and what it comes to with taxes.
BILLS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "one time": ([invoice("I", "2026-01-05", one_time("120.00"))], "120.00"),
    "service": ([invoice("I", "2026-01-01", service("120.00", "2026-01-01", "2026-04-30"))], "120.00"),
    "taxed": (
        [TAX, invoice("I", "2026-01-01", service("100.01", "2026-01-01", "2026-04-30", tax_codes=["vat"]))],
        "110.01",
    ),
    "contract": (
        [
            contract("C", "2026-01-01", obligation("C/s", "1200.00", "2026-01-01", "2026-12-31")),
            invoice("I", "2026-01-01", {"id": "1", "kind": "service", "obligation": "C/s", "amount": "300.00"}),
        ],
        "300.00",
    ),
    "prepaid": (
        [
            grant(amount="120.00", price="100.00", expires_on="2026-04-30"),
            invoice("I", "2026-01-01", prepaid("100.00")),
            usage("U", "40", "2026-01-10"),
        ],
        "100.00",
    ),
    "prepaid, proportional": (
        [
            grant(amount="120.00", price="100.00", expires_on="2026-04-30", breakage="proportional", expected_breakage="0.25"),
            invoice("I", "2026-01-01", prepaid("100.00")),
            usage("U", "40", "2026-01-10"),
        ],
        "100.00",
    ),
    "usage": ([usage("U", "80", "2026-01-10"), invoice("I", "2026-01-31", billed_usage("80.00"))], "80.00"),
    "usage ahead": (
        [usage("U", "50", "2026-01-10"), invoice("I", "2026-01-31", billed_usage("80.00")), usage("V", "30", "2026-03-20")],
        "80.00",
    ),
    "several lines": (
        [TAX, invoice("I", "2026-01-01", one_time("33.33"), service("66.67", "2026-01-15", "2026-03-14", "2", tax_codes=["vat"]))],
        "106.67",
    ),
    "over entities": (
        [EU, invoice("I", "2026-01-01", one_time("50.00"), {**service("60.00", "2026-01-01", "2026-02-28", "2"), "entity": "eu"})],
        "110.00",
    ),
    "in euros": (
        [invoice("I", "2026-01-01", service("100.00", "2026-01-01", "2026-04-30"), currency="EUR")],
        "100.00",
    ),
}  # fmt: skip


def _paid(name: str, amount: str) -> dict[str, Any]:
    more = {"currency": "EUR"} if name == "in euros" else {}
    return payment("P", amount, "2026-02-01", ("I", amount), **more)


def _undone(kind: str, amount: str) -> list[dict[str, Any]]:
    if kind == "refund":
        failed = {"type": "refund_reversal", "id": "F", "refund": "R", "date": "2026-03-10", "reason": "account closed"}
        return [refund(amount, "2026-02-10"), failed]
    return [
        dispute("opened", amount, "2026-02-05"), dispute("lost", amount, "2026-02-10"),
        dispute("reinstated", amount, "2026-03-10"),
    ]  # fmt: skip


def _books(cli: Cli, steps: list[list[dict[str, Any]]], months: list[str]) -> dict[str, dict[str, str]]:
    for documents, month in zip(steps, months, strict=True):
        cli.post(*documents)
        if month:
            cli.ok("recognize", "--through", month)
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")
    return {month: moved for month, moved in cli.summary().items() if month not in {"2026-02", "2026-03"}}


@pytest.mark.parametrize(("part", "monthly"), [("1", False), ("0.4", True)], ids=["all at once", "a part monthly"])
@pytest.mark.parametrize("kind", ["refund", "dispute"])
@pytest.mark.parametrize("name", BILLS)
def test_what_is_undone_leaves_nothing(cli: Cli, name: str, kind: str, part: str, monthly: bool) -> None:
    documents, whole = BILLS[name]
    amount = f"{float(whole) * float(part):.2f}"
    *before, last = _undone(kind, amount)
    steps = [[*HEAD, *documents, _paid(name, whole)], before, [last]]
    _books(cli, steps, ["2026-01", "2026-02", "2026-03"] if monthly else ["", "", ""])
    undone = cli.totals()
    cash = {"cash": undone.pop("cash"), **{role: undone.pop(role) for role in ("fx_gain", "fx_loss") if role in undone}}
    assert sum(cash.values()) == cash["cash"] or name == "in euros"
    # what was sold is earned as if nothing had been given back
    plain = dict(_PLAIN[name])
    assert {role: f"{value:.2f}" for role, value in undone.items()} == plain


# What all comes to by the end of the year where nothing was given back, worked out by hand: what was billed is earned, or waits.
_PLAIN: dict[str, dict[str, str]] = {
    "one time": {"revenue": "120.00"},
    "service": {"revenue": "120.00"},
    "taxed": {"revenue": "100.01", "tax_payable": "10.00"},
    # 1,200 are earned, 300 billed
    "contract": {"revenue": "1200.00", "unbilled_receivable": "900.00"},
    # 40 of 120 credits used at 100 / 120: 33.33; the rest breaks
    "prepaid": {"breakage_revenue": "66.67", "revenue": "33.33"},
    "prepaid, proportional": {"breakage_revenue": "66.67", "revenue": "33.33"},
    "usage": {"revenue": "80.00"},
    "usage ahead": {"revenue": "80.00"},
    "several lines": {"revenue": "100.00", "tax_payable": "6.67"},
    "over entities": {"due_from_entities": "60.00", "due_to_entities": "60.00", "revenue": "110.00"},
    "in euros": {"revenue": "120.00"},
}  # fmt: skip


# What a note credits of each bill's lines, as these are stated.
NOTES: dict[str, dict[str, str]] = {
    "one time": {"1": "50.00"},
    "service": {"1": "60.00"},
    "taxed": {"1": "33.33"},
    "contract": {"1": "100.00"},
    "prepaid": {"1": "80.00"},
    "prepaid, proportional": {"1": "80.00"},
    "usage": {"1": "30.00"},
    "usage ahead": {"1": "45.00"},
    "several lines": {"1": "11.11", "2": "22.22"},
    "over entities": {"1": "20.00", "2": "30.00"},
    "in euros": {"1": "40.00"},
}


@pytest.mark.parametrize(("paid", "monthly"), [(False, False), (True, True)], ids=["open", "paid, monthly"])
@pytest.mark.parametrize("name", BILLS)
def test_a_note_taken_back_leaves_nothing(cli: Cli, name: str, monthly: bool, paid: bool) -> None:
    documents, whole = BILLS[name]
    lines = [{"line": line, "amount": amount} for line, amount in NOTES[name].items()]
    note = {"type": "credit_note", "id": "N", "invoice": "I", "date": "2026-02-10", "lines": lines}
    void = {"type": "credit_note_void", "id": "W", "credit_note": "N", "date": "2026-03-10", "reason": "wrong customer"}
    money = _paid(name, whole)
    steps = [[*HEAD, *documents, *([money] if paid else [])], [note], [void]]
    _books(cli, steps, ["2026-01", "2026-02", "2026-03"] if monthly else ["", "", ""])
    if not paid:  # all of it is due again
        cli.post({**money, "date": "2026-03-11"})
        cli.ok("verify")
    end = cli.totals()
    end = {role: amount for role, amount in end.items() if role not in ("cash", "fx_gain", "fx_loss")}
    assert {role: f"{value:.2f}" for role, value in end.items()} == _PLAIN[name]
    assert "W did" in cli.refuse({**void, "id": "X"})


def test_what_a_note_left_and_was_paid_back_is_due(cli: Cli) -> None:
    cli.post(
        *HEAD, invoice("I", "2026-01-05", one_time("100.00")), payment("P", "100.00", "2026-01-10", ("I", "100.00"))
    )
    cli.post(credit_note("N", "2026-01-15", "30.00"), refund("20.00", "2026-01-20"))
    cli.post({"type": "credit_note_void", "id": "W", "credit_note": "N", "date": "2026-02-10", "reason": "wrong"})
    cli.ok("verify")
    # 10 of the 30 are there still and settle I again; the 20 that went back are due
    assert {role: f"{amount:.2f}" for role, amount in cli.totals().items()} == {
        "accounts_receivable": "20.00", "cash": "80.00", "deferred_revenue": "100.00",
    }  # fmt: skip


def test_a_note_of_an_invoice_that_was_taken_back_stays(cli: Cli) -> None:
    cli.post(*HEAD, invoice("I", "2026-01-05", one_time("100.00")), credit_note("N", "2026-01-15", "30.00"))
    cli.post({"type": "invoice_void", "id": "V", "invoice": "I", "date": "2026-01-16", "reason": "wrong"})
    void = {"type": "credit_note_void", "id": "W", "credit_note": "N", "date": "2026-02-10", "reason": "wrong"}
    assert "expected one of an invoice that stands: invoice_void V took I back" in cli.refuse(void)
    assert "expected 2026-01-15, when N was given, or later" in cli.refuse({**void, "date": "2026-01-14"})
    assert "expected the id of a credit note posted before" in cli.refuse({**void, "credit_note": "M"})


def test_a_refund_of_the_balance_that_fails(cli: Cli) -> None:
    cli.post(
        *HEAD, invoice("I", "2026-01-05", one_time("100.00")), payment("P", "100.00", "2026-01-10", ("I", "100.00"))
    )
    cli.post(credit_note("N", "2026-01-15", "30.00"))
    before = cli.totals()
    cli.post(refund("30.00", "2026-01-20"))
    failed = {"type": "refund_reversal", "id": "F", "refund": "R", "date": "2026-02-10", "reason": "account closed"}
    assert "expected 2026-01-20, when R was paid, or later" in cli.refuse({**failed, "date": "2026-01-19"})
    cli.post(failed)
    cli.ok("verify")
    assert cli.totals() == before
    assert "expected one that did not fail already: F says it did" in cli.refuse({**failed, "id": "G"})
    # it can be paid back again
    cli.post(refund("30.00", "2026-02-20", ref="S"))
    cli.ok("verify")


def test_disputes_of_one_payment_are_told_apart(cli: Cli) -> None:
    cli.post(
        *HEAD, invoice("I", "2026-01-05", one_time("100.00")), payment("P", "100.00", "2026-01-10", ("I", "100.00"))
    )
    opened = (
        {**dispute("opened", "30.00", "2026-01-20"), "id": "D1"},
        {**dispute("opened", "50.00", "2026-01-21"), "id": "D2", "fee": "30.00"},
    )
    cli.post(*opened)
    lost = {**dispute("lost", "50.00", "2026-02-01", opening="D2"), "id": "L"}
    assert "expected at most 30.00" in cli.refuse({**lost, "opening": "D1"})
    assert "opening = D3: expected the id of a dispute of this payment that was opened" in cli.refuse(
        {**lost, "opening": "D3"}
    )
    cli.post(lost)
    back = {**dispute("reinstated", "20.00", "2026-02-10", opening="D2", fee_refund="15.00"), "id": "W"}
    assert "what of a dispute of payment P was lost by 2026-02-10" in cli.refuse({**back, "opening": "D1"})
    cli.post(back)
    # the rest of it, said to be won after it was lost; D1 is open and won apart
    assert "expected at most 30.00" in cli.refuse({**back, "id": "X", "amount": "31.00"})
    cli.post({**back, "id": "X", "amount": "30.00"}, {**dispute("won", "30.00", "2026-02-12", opening="D1"), "id": "Y"})
    cli.ok("verify")
    totals = {role: f"{amount:.2f}" for role, amount in cli.totals().items()}
    assert totals == {"cash": "100.00", "deferred_revenue": "100.00"}


def test_no_more_of_a_fee_comes_back_than_was_charged(cli: Cli) -> None:
    """D1 is charged 15.00 and, lost, 5.00; D2 nothing: of D1's 20.00 come back 12.00 and then 8.00, of D2's none."""
    cli.post(
        *HEAD, invoice("I", "2026-01-05", one_time("100.00")), payment("P", "100.00", "2026-01-10", ("I", "100.00")),
        {**dispute("opened", "30.00", "2026-01-20"), "id": "D1", "fee": "15.00"},
        {**dispute("opened", "50.00", "2026-01-21"), "id": "D2"},
        {**dispute("lost", "30.00", "2026-02-01", opening="D1"), "id": "L", "fee": "5.00"},
    )  # fmt: skip
    back = {**dispute("reinstated", "10.00", "2026-02-10", opening="D1"), "id": "B"}
    said = "fee_refund = 20.01 USD: expected at most 20.00, what fees were charged of dispute D1 by 2026-02-10 and did not come back"
    assert said in cli.refuse({**back, "fee_refund": "20.01"})
    won = {**dispute("won", "50.00", "2026-02-11"), "id": "W"}
    assert "expected at most 0.00, what fees were charged of dispute D2" in cli.refuse(
        {**won, "opening": "D2", "fee_refund": "0.01"}
    )
    cli.post({**back, "fee_refund": "12.00"})
    # one that names no opening is of whichever
    assert "expected at most 8.00, what fees were charged of payment P by 2026-02-11" in cli.refuse(
        {**won, "fee_refund": "8.01"}
    )
    cli.post({**won, "fee_refund": "8.00"})
    assert "expected at most 0.00" in cli.refuse({**back, "id": "C", "date": "2026-02-09", "fee_refund": "0.01"})
    cli.ok("verify")
    totals = {role: f"{amount:.2f}" for role, amount in cli.totals().items()}
    assert totals == {"cash": "80.00", "deferred_revenue": "100.00", "disputes": "20.00"}


def test_a_part_that_is_won_back_is_what_it_says(cli: Cli) -> None:
    lines = [one_time(amount, str(number)) for number, amount in enumerate(("0.33", "0.33", "0.34"))]
    cli.post(*HEAD, invoice("I", "2026-01-05", *lines), payment("P", "1.00", "2026-01-10", ("I", "1.00")))
    cli.post(
        dispute("opened", "1.00", "2026-01-20"),
        dispute("lost", "1.00", "2026-01-25"),
        dispute("reinstated", "0.50", "2026-02-01"),
    )
    cli.ok("verify")
    assert {role: f"{amount:.2f}" for role, amount in cli.totals().items()} == {
        "cash": "0.50", "deferred_revenue": "1.00", "disputes": "0.50",
    }  # fmt: skip
    cli.post({**dispute("reinstated", "0.50", "2026-02-02"), "id": "again"})
    cli.ok("verify")
    assert {role: f"{amount:.2f}" for role, amount in cli.totals().items()} == {
        "cash": "1.00",
        "deferred_revenue": "1.00",
    }


@pytest.mark.parametrize("kind", ["refund", "dispute"])
@pytest.mark.parametrize("amount", ["100.00", "40.00"])
def test_what_a_parent_paid_is_paid_again(cli: Cli, kind: str, amount: str) -> None:
    cli.post(*HEAD, *GROUP, THEIRS, {**MUMS, "amount": "100.00"})
    before = cli.totals()
    cli.post(*_undone(kind, amount))
    cli.ok("verify")
    assert cli.totals() == before


def test_each_currency_comes_back_as_it_went(cli: Cli) -> None:
    # 110 EUR at 1.20 and 11,000 JPY at 0.0067, of which a tenth each is tax, paid by 205.70 USD, refunded whole and failed
    yen = {"type": "fx_rate", "id": "y", "date": "2026-01-01", "base": "JPY", "quote": "USD", "rate": "0.0067"}
    bills = [
        invoice("E", "2026-01-05", {**one_time("100.00"), "tax_codes": ["vat"]}, currency="EUR"),
        invoice("Y", "2026-01-05", {**one_time("10000"), "tax_codes": ["vat"]}, currency="JPY"),
    ]
    applied = [
        {"invoice": "E", "amount": "110.00", "paid": "132.00"},
        {"invoice": "Y", "amount": "11000", "paid": "73.70"},
    ]
    cli.post(*HEAD, TAX, yen, *bills, payment("P", "205.70", "2026-01-10", applications=applied))
    before = cli.report("trial-balance")
    cli.post(*_undone("refund", "205.70"))
    cli.ok("verify")
    after = {(row["account"], row["currency"]): row for row in cli.report("trial-balance")}
    assert all(after[row["account"], row["currency"]] == row for row in before if row["account"] == "tax_payable")
    assert "fx_gain" not in cli.totals()


def test_an_invoice_below_zero_that_explained_a_refund_which_failed(cli: Cli) -> None:
    bill = invoice("I", "2026-01-01", service("120.00", "2026-01-01", "2026-04-30"))
    less = invoice("X", "2026-02-01", service("-40.00", "2026-02-01", "2026-04-30"))
    back, failed = _undone("refund", "40.00")
    cli.post(*HEAD, bill, payment("P", "120.00", "2026-01-02", ("I", "120.00")), back, less, failed)
    cli.ok("verify")
    assert {role: f"{amount:.2f}" for role, amount in cli.totals().items()} == {
        "cash": "120.00", "customer_balance": "40.00", "deferred_revenue": "80.00",
    }  # fmt: skip


def test_parts_that_were_lost_are_told_apart_by_their_amounts(cli: Cli) -> None:
    cli.post(
        *HEAD, invoice("I", "2026-01-05", one_time("100.00")), payment("P", "100.00", "2026-01-10", ("I", "100.00"))
    )
    lost = [{**dispute("lost", amount, "2026-01-25"), "id": amount} for amount in ("60.00", "40.00")]
    back = [{**dispute("reinstated", amount, "2026-02-25"), "id": f"back {amount}"} for amount in ("40.00", "60.00")]
    cli.post(dispute("opened", "100.00", "2026-01-20"), *lost, *back)
    cli.ok("verify")
    assert {role: f"{amount:.2f}" for role, amount in cli.totals().items()} == {
        "cash": "100.00",
        "deferred_revenue": "100.00",
    }


VAT = {"tax_codes": ["vat"]}
HARD: dict[str, tuple[list[dict[str, Any]], list[tuple[str, str]]]] = {
    "three invoices": (
        [invoice("I", "2026-01-05", one_time("0.15")), invoice("J", "2026-01-05", one_time("0.35")), invoice("K", "2026-01-05", one_time("0.50"))],
        [("I", "0.15"), ("J", "0.35"), ("K", "0.50")],
    ),
    "cents and their taxes": (
        [TAX, *(invoice(ref, "2026-01-05", *({**one_time("0.03", str(n)), **VAT} for n in range(4))) for ref in ("I", "J"))],
        [("I", "0.12"), ("J", "0.12")],
    ),
    "entities": (
        [EU, invoice("I", "2026-01-05", one_time("0.15"), {**one_time("0.35", "2"), "entity": "eu"}, {**one_time("0.05", "3"), "entity": "eu"}), invoice("J", "2026-01-05", one_time("0.45"))],
        [("I", "0.55"), ("J", "0.45")],
    ),
    "euros": (
        [
            invoice("I", "2026-01-05", *(one_time("0.07", str(n)) for n in range(7)), currency="EUR"),
            invoice("J", "2026-01-05", one_time("0.51"), currency="EUR"),
        ],
        [("I", "0.49"), ("J", "0.51")],
    ),
    "unused credits": (
        [grant(amount="100", price="0.15"), invoice("I", "2026-01-05", prepaid("0.15")), usage("U", "40", "2026-01-10"), invoice("J", "2026-01-05", one_time("0.35"))],
        [("I", "0.15"), ("J", "0.35")],
    ),
    "some of it unapplied": (
        [invoice("I", "2026-01-05", one_time("0.15")), invoice("J", "2026-01-05", one_time("0.35"))], [("I", "0.15"), ("J", "0.35"), ("", "0.15")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", HARD)
def test_parts_that_come_back_come_to_what_they_say(cli: Cli, kind: str, seed: int) -> None:
    """All is lost, and comes back in parts of chance, often a cent: cash is more by just so much, and in the end nothing is left of it.

    Half of 0.15, 0.35 and 0.50 rounds to 0.08, 0.18 and 0.25, which would be 0.51.
    """
    bills, paid = HARD[kind]
    whole = round(sum(float(amount) for _, amount in paid) * 100)
    currency = bills[-1]["currency"]
    money = payment(
        "P",
        f"0.{whole:02}" if whole < 100 else "1.00",
        "2026-01-06",
        *(put for put in paid if put[0]),
        currency=currency,
    )
    cli.post(*HEAD, *bills, money)
    before = cli.totals()
    cli.post(*(dispute(status, money["amount"], "2026-02-10") for status in ("opened", "lost")))
    chance = random.Random(seed)  # noqa: S311
    left = whole
    while left:
        part = whole // 2 if left == whole and not seed else min(chance.choice((1, 1, 2, 7, 13)), left)
        came = cli.totals().get("cash", Decimal(0))
        back = dispute("reinstated", f"{part // 100}.{part % 100:02}", "2026-02-20")
        cli.post({**back, "id": f"back {left}"})
        left -= part
        if currency == "USD":
            assert cli.totals()["cash"] == came + Decimal(part) / 100
    cli.ok("verify")
    assert _results_together(cli.totals()) == _results_together(before)


def _results_together(totals: dict[str, Decimal]) -> dict[str, Decimal]:
    """Gains less losses: of parts of a cent each rounds its own way, and takes back a gain or a loss."""
    result = totals.get("fx_gain", Decimal(0)) - totals.get("fx_loss", Decimal(0))
    return {role: amount for role, amount in totals.items() if not role.startswith("fx_")} | {"result": result}


@pytest.mark.parametrize("last", ["bounce", "unapplication"])
@pytest.mark.parametrize("amount", ["90.00", "45.00"])
@pytest.mark.parametrize("kind", ["refund", "dispute"])
def test_across_currencies_undone_twice_leaves_nothing(cli: Cli, kind: str, amount: str, last: str) -> None:
    # 90 EUR at 1.20 for 100 USD: 8.00 gained, which the bounce takes back; at one rate nothing else is gained or lost
    money = payment(
        "P", "90.00", "2026-01-10", currency="EUR", applications=[{"invoice": "I", "amount": "100.00", "paid": "90.00"}]
    )
    rate = {"type": "fx_rate", "id": "only", "date": "2026-01-01", "base": "EUR", "quote": "USD", "rate": "1.20"}
    end = {
        "bounce": {"type": "payment_reversal", "id": "B", "payment": "P", "date": "2026-04-10", "reason": "R01"},
        "unapplication": {"type": "unapplication", "id": "B", "payment": "P", "invoice": "I", "date": "2026-04-10"},
    }[last]
    cli.post(*parties(), rate, invoice("I", "2026-01-05", one_time("100.00")), money, *_undone(kind, amount), end)
    cli.ok("verify")
    left = {"cash": "108.00", "customer_balance": "108.00"} if last == "unapplication" else {}
    totals = {role: f"{amount:.2f}" for role, amount in cli.totals().items()}
    assert totals == {"accounts_receivable": "100.00", **left, "deferred_revenue": "100.00"}


def _of(ref: str, status: str, amount: str, day: str, opening: str | None = None) -> dict[str, Any]:
    return dispute(status, amount, day) | {"id": ref} | ({} if opening is None else {"opening": opening})


def test_a_dispute_that_was_lost_without_its_name_is_not_lost_again(cli: Cli) -> None:
    """D1 of 40.00 is lost, unnamed, before D2 of 50.00 is opened: it is D1's, which is not open, and D2's 50.00 are there."""
    cli.post(
        *HEAD, invoice("I", "2026-01-05", one_time("100.00")), payment("P", "100.00", "2026-01-10", ("I", "100.00"))
    )
    cli.post(_of("D1", "opened", "40.00", "2026-02-01"), _of("L1", "lost", "40.00", "2026-02-02"))
    cli.post(_of("D2", "opened", "50.00", "2026-02-03"))
    for status in ("lost", "won"):
        said = cli.refuse(_of("X", status, "40.01", "2026-02-04", "D1"))
        assert (
            "opening = D1: expected one of which something is disputed" if status == "lost" else "at most 40.00"
        ) in said
    cli.post(_of("W1", "reinstated", "40.00", "2026-02-05", "D1"))
    assert "expected at most 0.00" in cli.refuse(_of("X", "reinstated", "0.01", "2026-02-06", "D1"))
    cli.post(_of("L2", "lost", "50.00", "2026-02-06", "D2"))
    totals = cli.totals()
    assert (totals["cash"], totals.get("disputed_funds"), totals["disputes"]) == (50, None, 50)
    cli.post(_of("W2", "won", "50.00", "2026-02-07", "D2"))
    cli.ok("verify")
    assert cli.totals() == {"cash": 100, "revenue": 100} or cli.totals() == {"cash": 100, "deferred_revenue": 100}


def test_what_names_no_dispute_is_of_those_that_may_be_its(cli: Cli) -> None:
    """Of D1 and D2 of 40.00 each one is lost, unnamed: as D1 is lost by its name next, it was D2. Won, it was nothing that is open."""
    cli.post(
        *HEAD, invoice("I", "2026-01-05", one_time("100.00")), payment("P", "100.00", "2026-01-10", ("I", "100.00"))
    )
    cli.post(_of("D1", "opened", "40.00", "2026-02-01"), _of("D2", "opened", "40.00", "2026-02-01"))
    cli.post(_of("L", "lost", "40.00", "2026-02-02"), _of("L1", "lost", "40.00", "2026-02-03", "D1"))
    assert "opening = D2: expected one of which something is disputed" in cli.refuse(
        _of("X", "lost", "40.00", "2026-02-04", "D2")
    )
    cli.post(_of("W2", "reinstated", "40.00", "2026-02-05", "D2"), _of("W", "won", "40.00", "2026-02-05"))
    cli.post(_of("D3", "opened", "50.00", "2026-02-06"), _of("L3", "lost", "50.00", "2026-02-07", "D3"))
    cli.post(_of("W3", "reinstated", "50.00", "2026-02-08", "D3"))
    cli.ok("verify")
    assert cli.totals()["cash"] == 100
    assert "disputes" not in cli.totals()


def test_one_that_was_opened_again_by_name_is_what_was_lost_without(cli: Cli) -> None:
    """D1 of 40.00 and D2 of 50.00: 50.00 are lost unnamed, 40.00 come back of D1, so these were D1's: 10.00 were D2's, 40.00 are open of it."""
    cli.post(
        *HEAD, invoice("I", "2026-01-05", one_time("100.00")), payment("P", "100.00", "2026-01-10", ("I", "100.00"))
    )
    cli.post(_of("D1", "opened", "40.00", "2026-02-01"), _of("D2", "opened", "50.00", "2026-02-01"))
    cli.post(_of("L", "lost", "50.00", "2026-02-02"))
    assert "expected at most 40.00" in cli.refuse(_of("X", "reinstated", "40.01", "2026-02-03", "D1"))
    cli.post(_of("W1", "reinstated", "40.00", "2026-02-03", "D1"))
    assert "opening = D1: expected one of which something is disputed" in cli.refuse(
        _of("X", "lost", "0.01", "2026-02-04", "D1")
    )
    cli.post(_of("L2", "lost", "40.00", "2026-02-04", "D2"), _of("W2", "reinstated", "50.00", "2026-02-05", "D2"))
    cli.ok("verify")
    assert (cli.totals()["cash"], cli.totals().get("disputes")) == (100, None)


_VOID = {"type": "invoice_void", "id": "V", "invoice": "I", "date": "2026-04-02", "reason": "wrong"}
_BACK = {"type": "payment_reversal", "id": "X", "payment": "P", "date": "2026-06-02", "reason": "R01"}
_TAKEN_OFF = {"type": "unapplication", "id": "U", "payment": "P", "invoice": "I", "date": "2026-03-05"}
# What is given by June though nothing bills it any more; 40.00 used of credits of 120.00 for 100.00 are 33.33.
_GIVEN = {
    "contract": {"revenue": "595.07", "unbilled_receivable": "595.07"},
    "prepaid": {"revenue": "33.33", "unbilled_receivable": "33.33"},
    "prepaid, proportional": {"revenue": "33.33", "unbilled_receivable": "33.33"},
    "usage": {"revenue": "80.00", "unbilled_receivable": "80.00"},
    "usage ahead": {"revenue": "80.00", "unbilled_receivable": "80.00"},
}


@pytest.mark.parametrize("number", range(len(BILLS)), ids=list(BILLS))
@pytest.mark.parametrize("late", [False, True], ids=["after", "before, late"])
def test_what_comes_back_of_a_voided_invoice_is_no_part_of_it(cli: Cli, number: int, late: bool) -> None:
    """40.00 of what paid I go back, the rest is taken off, and I is voided: once the 40.00 come back, all is the customer's.

    Whether they came before the void, and are told late, or after it.
    """
    kind, ((documents, whole), lost) = list(BILLS)[number], (list(BILLS.values())[number], number % 2 == late)
    paid = payment("P", whole, "2026-01-10", ("I", whole), currency="EUR" if kind == "in euros" else "USD")
    gone = [refund("40.00", "2026-02-05")]
    if lost:
        gone = [dispute(status, "40.00", f"2026-02-0{day}") for status, day in (("opened", 4), ("lost", 5))]
    cli.post(*HEAD, *documents, paid, *gone, _TAKEN_OFF, _VOID)
    cli.ok("recognize", "--through", "2026-04")
    on = "2026-03-20" if late else "2026-05-02"
    failed = {"type": "refund_reversal", "id": "F", "refund": "R", "date": on, "reason": "account closed"}
    cli.post(dispute("reinstated", "40.00", on) if lost else failed)

    def told() -> dict[str, str]:
        cli.ok("verify")
        cli.ok("recognize", "--through", "2026-06")
        cli.ok("verify")
        # a cent of the rates of months is revenue on the one side, and an exchange loss on the other
        return {role: f"{amount:.2f}" for role, amount in cli.totals().items() if abs(amount) > Decimal("0.01")}

    money = "120.00" if kind == "in euros" else whole
    assert told() == {"cash": money, "customer_balance": money, **_GIVEN.get(kind, {})}
    cli.post(_BACK)
    assert told() == _GIVEN.get(kind, {})
    said = cli.refuse(_VOID | {"id": "W", "date": "2026-07-01"})
    assert "invoice = I: is voided already: invoice_void V took it back on 2026-04-02" in said


@pytest.mark.parametrize("superseded", [False, True])
def test_what_comes_back_of_a_voided_invoice_is_who_paids(cli: Cli, superseded: bool) -> None:
    """Mum paid the child's 100.00, of which 40.00 were refunded; T is voided, or billed again as U: the 40.00 that come back are mum's."""
    void = _VOID | {"invoice": "T"}
    if superseded:
        void = invoice("U", "2026-04-02", one_time("90.00"), customer="child", supersedes="T")
    failed = {"type": "refund_reversal", "id": "F", "refund": "R", "date": "2026-05-02", "reason": "account closed"}
    cli.post(
        *HEAD,
        *GROUP,
        THEIRS,
        MUMS,
        refund("40.00", "2026-02-05", invoice="T"),
        _TAKEN_OFF | {"invoice": "T"},
        void,
        failed,
    )
    cli.ok("recognize", "--through", "2026-06")
    cli.ok("verify")
    again = {"accounts_receivable": "90.00", "revenue": "90.00"} if superseded else {}
    assert {role: f"{amount:.2f}" for role, amount in cli.totals().items() if amount} == {
        "cash": "130.00", "customer_balance": "130.00", **again,
    }  # fmt: skip
    cli.post(refund("130.00", "2026-05-03", ref="S"))
    cli.ok("verify")


@pytest.mark.parametrize("parts", [["11.00"], ["3.33", "7.67"], None], ids=["reinstated", "in two", "refund failed"])
def test_the_taxable_base_comes_back_as_it_left(cli: Cli, parts: list[str] | None) -> None:
    """10.00 EUR of 110.00 with a tenth of tax leave the base at 1.30 and come back at 1.40: for what they left, 13.00."""
    rates = {"type": "fx_rate", "id": "r3", "date": "2026-05-01", "base": "EUR", "quote": "USD", "rate": "1.40"}
    bill = invoice("I", "2026-01-10", {**one_time("100.00"), "tax_codes": ["vat"]}, currency="EUR")
    cli.post(*HEAD, rates, TAX, bill, payment("P", "110.00", "2026-02-01", ("I", "110.00"), currency="EUR"))
    before = cli.totals("--memorandum")
    if parts is None:
        cli.post(refund("11.00", "2026-03-25"))
        back = [{"type": "refund_reversal", "id": "B", "date": "2026-05-10", "refund": "R", "reason": "closed"}]
    else:
        cli.post(dispute("opened", "11.00", "2026-03-10"), dispute("lost", "11.00", "2026-03-25"))
        back = [
            {**dispute("reinstated", part, "2026-05-10"), "id": f"B{part}", "opening": "D opened"} for part in parts
        ]
    assert cli.totals("--memorandum")["memo_taxable_base"] == before["memo_taxable_base"] - 13
    cli.post(*back)
    assert cli.totals("--memorandum") == before
    cli.ok("verify")
