"""Money in other currencies that goes and comes back: what undoes itself leaves nothing in the entity's currency either."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import application, credit_note, parties, payment
from tests.test_currencies import rate
from tests.test_money_accounts import account, came_back, paid, transfer
from tests.test_money_late import MUM
from tests.test_receipts import credit, identified, receipt, returned
from tests.test_uses import dispute, refund, sold

Document = dict[str, Any]
EUR = {"currency": "EUR"}
# 1.20 when it is billed, 1.30 when it is paid, 1.40 when it comes back
RATES = [rate("2026-01-01", "1.20"), rate("2026-01-15", "1.30"), rate("2026-03-01", "1.40")]
FAILED = {"type": "refund_reversal", "id": "F", "refund": "R", "date": "2026-03-10", "reason": "account closed"}
BOUNCED = {"type": "payment_reversal", "id": "B", "payment": "P", "date": "2026-03-10", "reason": "R01"}


def _functional(cli: Cli) -> dict[str, str]:
    cli.ok("verify")
    return {role: f"{amount:.2f}" for role, amount in cli.totals().items()}


def _by_rail(*more: Document) -> list[Document]:
    return [*parties(), *RATES, sold(**EUR), payment("P", "100.00", "2026-01-20", ("I", "100.00"), **EUR), *more]


def _by_account(*more: Document) -> list[Document]:
    return [
        *parties(), *RATES, account("stripe", "EUR"), sold(**EUR), paid("P", "100.00", "2026-01-20", "stripe", ("I", "100.00"), **EUR), *more,
    ]  # fmt: skip


UNDONE: dict[str, list[Document]] = {
    "refund that failed": [refund("100.00", "2026-02-05"), FAILED],
    "part refunded that failed": [refund("40.00", "2026-02-05"), FAILED],
    "refund at a third rate that failed": [refund("100.00", "2026-03-05"), FAILED],
    "dispute won": [dispute("opened", "70.00", "2026-02-05"), dispute("won", "70.00", "2026-03-10")],
    "dispute won in parts": [
        dispute("opened", "70.00", "2026-02-05"),
        *({**dispute("won", amount, "2026-03-10"), "id": f"won {amount}"} for amount in ("0.01", "33.32", "36.67")),
    ],
    "dispute lost and won after all": [
        dispute("opened", "70.00", "2026-02-05"), dispute("lost", "70.00", "2026-02-10"), dispute("reinstated", "70.00", "2026-03-10"),
    ],
    "disputes lost by parts and won at once": [
        dispute("opened", "100.00", "2026-02-05"),
        *({**dispute("lost", amount, "2026-02-10"), "id": f"lost {amount}"} for amount in ("60.00", "40.00")),
        dispute("reinstated", "100.00", "2026-03-10"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("way", [_by_rail, _by_account])
@pytest.mark.parametrize("kind", UNDONE)
def test_what_undoes_itself_leaves_nothing(cli: Cli, kind: str, way: Any) -> None:
    """Billed at 120.00, paid at 130.00: 10.00 are gained. Cash counts for 130.00 again, whatever the rates were between."""
    cli.post(*way())
    before = _functional(cli)
    assert before == {"cash": "130.00", "deferred_revenue": "120.00", "fx_gain": "10.00"}
    cli.post(*UNDONE[kind])
    assert _functional(cli) == before


@pytest.mark.parametrize("way", [_by_rail, _by_account])
def test_a_payment_that_came_back_leaves_what_others_paid(cli: Cli, way: Any) -> None:
    """Another payment of 100.00 EUR at 1.40 stays 140.00, and not an average."""
    other = payment("Q", "100.00", "2026-03-05", **EUR)
    if way is _by_account:
        other = paid("Q", "100.00", "2026-03-05", "stripe", **EUR)
    cli.post(*way(), other, BOUNCED)
    assert _functional(cli) == {
        "accounts_receivable": "120.00", "cash": "140.00", "customer_balance": "140.00", "deferred_revenue": "120.00",
    }  # fmt: skip


def _refund_of(ref: str, amount: str, day: str) -> Document:
    return {"type": "refund", "id": f"back {ref}", "receipt": ref, "date": day, "amount": amount}


def test_cash_of_a_receipt_is_its_customers_once_it_is_known(cli: Cli) -> None:
    """100.00 EUR at 1.30 and 50.00 EUR at 1.40; each part that is known, and what goes back, counts as it came in: nothing is left."""
    customer = {"type": "customer", "id": "initech", "name": "Initech"}
    cli.post(
        *parties(), customer, *RATES, receipt("X", "100.00", "2026-01-20", "EUR"), receipt("Y", "50.00", "2026-03-02", "EUR"),
        identified("X/g", "X", "2026-03-03", amount="70.01"), identified("X/i", "X", "2026-03-04", "initech"),
    )  # fmt: skip
    cash = {"cash": "200.00", "customer_balance": "130.00", "unidentified_receipts": "70.00"}
    assert _functional(cli) == cash
    cli.post(returned("Y/r", "Y", "2026-03-10"), _refund_of("X/g", "70.01", "2026-03-11"))
    cli.post(_refund_of("X/i", "29.99", "2026-03-12"))
    assert _functional(cli) == {}


PAID_OUT = {"type": "refund", "id": "R", "customer": "globex", "entity": "us", "currency": "EUR", "date": "2026-03-05"}


@pytest.mark.parametrize("into", [{"rail": "wire"}, {"account": "stripe"}])
@pytest.mark.parametrize("amount", ["100.00", "33.33", "150.00"])
def test_a_refund_of_the_balance_that_failed_leaves_nothing(cli: Cli, amount: str, into: Document) -> None:
    """100.00 EUR at 1.30 by a payment and 50.00 at 1.30 by a receipt; the day's 1.40 when they are paid out, 1.40 when that fails."""
    came = payment("P", "100.00", "2026-01-20", **EUR)
    known = [receipt("X", "50.00", "2026-01-21", "EUR", **into), identified("X/g", "X", "2026-01-22")]
    cli.post(*parties(), *RATES, account("stripe", "EUR"), {**came, **into}, *known)
    before = _functional(cli)
    assert before == {"cash": "195.00", "customer_balance": "195.00"}
    cli.post({**PAID_OUT, **into, "amount": amount})
    out = _functional(cli)
    left = {"33.33": "151.67", "100.00": "65.00"}  # 116.67 and 50.00 EUR at 1.30
    assert (out.get("cash"), out.get("customer_balance")) == (left.get(amount),) * 2
    assert out.get("fx_gain") == out.get("fx_loss")
    cli.post(FAILED)
    assert _functional(cli) == before


@pytest.mark.parametrize("into", [{"rail": "wire"}, {"account": "stripe"}])
def test_money_of_two_payers_that_is_paid_out_and_fails_is_theirs_as_it_came(cli: Cli, into: Document) -> None:
    """A parent's 100.00 EUR at 1.30 and 50.00 of its own at 1.40: the refund failed, so each bounces for what it came in for."""
    parent = [
        {"type": "customer", "id": "mum", "name": "Mum"},
        {"type": "customer", "id": "globex", "name": "Globex", "parent": "mum"},
    ]
    money = {**payment("P", "100.00", "2026-01-20", ("I", "100.00"), **EUR), "customer": "mum", **into}
    own = {**payment("Q", "50.00", "2026-03-02", **EUR), **into}
    note = credit_note("C", "2026-03-03", "100.00")
    named = [doc for doc in parties() if doc["id"] != "globex"]
    cli.post(*named, *parent, *RATES, account("stripe", "EUR"), sold(**EUR), money, own, note)
    before = _functional(cli)
    cli.post({**PAID_OUT, **into, "amount": "120.00"}, FAILED)
    assert _functional(cli) == before
    cli.post({**BOUNCED, "id": "B2", "payment": "Q", "date": "2026-03-11"})
    assert _functional(cli)["cash"] == "130.00"
    cli.post({**BOUNCED, "date": "2026-03-12"})
    assert {role for role, amount in _functional(cli).items() if amount != "0.00"} <= {"fx_gain", "fx_loss"}
    assert _functional(cli).get("fx_gain") == _functional(cli).get("fx_loss")


TRANSFERS: dict[str, tuple[list[Document], Document]] = {
    "to the entity's currency": ([], transfer("t", "2026-02-01", "stripe", "bank", "60.00", received="70.00", fee="1.00")),
    "of one currency": (
        [paid("Q", "100.00", "2026-03-02", "euro", **EUR)], transfer("t", "2026-03-03", "stripe", "euro", "60.00", fee="1.00"),
    ),
    "from the entity's currency": (
        [paid("Q", "100.00", "2026-01-02", "bank")], transfer("t", "2026-02-01", "bank", "stripe", "60.00", received="41.00"),
    ),
    "between two others": ([], transfer("t", "2026-02-01", "stripe", "pound", "60.00", received="50.00")),
}  # fmt: skip


@pytest.mark.parametrize("kind", TRANSFERS)
def test_a_transfer_that_came_back_leaves_nothing(cli: Cli, kind: str) -> None:
    before, moved = TRANSFERS[kind]
    pound = {**rate("2026-01-01", "1.50"), "id": "gbp", "base": "GBP"}
    accounts = [account("bank"), account("euro", "EUR"), account("pound", "GBP")]
    cli.post(*_by_account(), pound, *accounts, *before)
    was = _functional(cli), cli.report("money-accounts")
    cli.post(moved, came_back("b", "t", "2026-03-05", **({"fee_returned": True} if "fee" in moved else {})))
    held = {row["account"]: row["held"] for row in was[1]}
    assert _functional(cli) == was[0]
    now = {row["account"]: row["held"] for row in cli.report("money-accounts")}
    assert {name: amount for name, amount in now.items() if amount not in ("0.00", "0")} == held


WON = rate("2026-01-01", "0.00075") | {"base": "KRW", "id": "won"}
WON_LATER = rate("2026-03-01", "0.0009") | {"base": "KRW", "id": "won later"}
KRW = {"currency": "KRW"}
# 13 won are a cent: billed and paid so, or one in the other
TINY: dict[str, list[Document]] = {
    "won": [sold("I", "13", **KRW), payment("P", "13", "2026-01-20", ("I", "13"), **KRW)],
    "cents pay won": [
        sold("I", "13", **KRW), payment("P", "0.02", "2026-01-20", applications=[{"invoice": "I", "amount": "13", "paid": "0.02"}]),
    ],
    "won pay cents": [
        sold("I", "0.02"), payment("P", "13", "2026-01-20", **KRW, applications=[{"invoice": "I", "amount": "0.02", "paid": "13"}]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("how", ["refund", "dispute"])
def test_parts_of_tiny_amounts_leave_nothing(cli: Cli, kind: str, how: str) -> None:
    cli.post(*parties(), WON, WON_LATER, *TINY[kind])
    before = _functional(cli)
    parts = ["0.01", "0.01"] if kind == "cents pay won" else ["1"] * 13
    whole = "0.02" if kind == "cents pay won" else "13"
    if how == "refund":
        cli.post(*(refund(part, f"2026-02-{place:02}", ref=f"R{place}") for place, part in enumerate(parts, 1)))
        assert _functional(cli).get("cash") is None
        cli.post(*({**FAILED, "id": f"F{place}", "refund": f"R{place}"} for place in range(1, len(parts) + 1)))
    else:
        cli.post(dispute("opened", whole, "2026-02-01"), dispute("lost", whole, "2026-02-10"))
        cli.post(
            *({**dispute("reinstated", part, "2026-03-10"), "id": f"D{place}"} for place, part in enumerate(parts))
        )
    assert _functional(cli) == before


def test_money_of_two_places_goes_back_to_each(cli: Cli) -> None:
    """50.00 EUR pay 60.00 of I; 25.00 EUR paid 30.00 of E, which is credited, so these 30.00 USD pay I, too.

    Taken off, 60.00 are 50.00 EUR again, and 30.00 what the note left; the application alone is of these.
    """
    applied = [
        {"invoice": "I", "amount": "60.00", "paid": "50.00"},
        {"invoice": "E", "amount": "30.00", "paid": "25.00"},
    ]
    cli.post(
        *parties(), *RATES, sold(), sold("E", "30.00"), payment("P", "100.00", "2026-01-20", **EUR, applications=applied),
        credit_note("N", "2026-01-25", "30.00", invoice="E"), application("A", "30.00", "2026-01-27", "I"),
    )  # fmt: skip
    of_a: Document = {"type": "unapplication", "id": "U", "application": "A", "date": "2026-03-01", "amount": "10.00"}
    cli.post(of_a)
    cli.ok("verify")
    # 25.00 EUR at 1.30, which nothing was done with, and 10.00 USD
    assert cli.totals()["customer_balance"] == Decimal("42.50")
    cli.post({"type": "unapplication", "id": "V", "payment": "P", "invoice": "I", "date": "2026-03-02"})
    cli.ok("verify")
    assert cli.totals()["accounts_receivable"] == 100
    cli.post(refund("100.00", "2026-03-05"))
    end = _functional(cli)
    assert end["accounts_receivable"] == "100.00"
    assert {"cash", "customer_balance"}.isdisjoint(end)


def test_withheld_tax_of_a_credited_invoice_is_settled_by_what_the_note_left(cli: Cli) -> None:
    """90.00 paid and 10.00 withheld, all credited: the customer's 100.00. The payment came back: neither owes the other anything."""
    tax = {"type": "tax_code", "id": "tds", "name": "TDS", "rate": "0.10"}
    applied = [{"invoice": "I", "amount": "90.00", "withheld": [{"code": "tds", "amount": "10.00"}]}]
    cli.post(*parties(), tax, sold(), payment("P", "90.00", "2026-01-20", applications=applied))
    cli.post(credit_note("N", "2026-02-01", "100.00"), BOUNCED)
    assert _functional(cli) == {}


EXCHANGED = payment(
    "P", "99.00", "2026-01-05", **EUR, applications=[{"invoice": "I", "amount": "110.00", "paid": "99.00"}]
)


@pytest.mark.parametrize("into", [{"rail": "wire"}, {"account": "stripe"}])
@pytest.mark.parametrize("paid_out", [False, True])
@pytest.mark.parametrize(("euro", "result"), [("1.10", {"fx_loss": "1.10"}), ("1.20", {"fx_gain": "8.80"})])
def test_what_was_exchanged_and_credited_leaves_nothing_once_it_came_back(
    cli: Cli, euro: str, result: Document, into: Document, paid_out: bool
) -> None:
    """99.00 EUR pay 110.00 USD: 108.90 at 1.10, so 1.10 are lost; 118.80 at 1.20, 8.80 gained. 40.00 are credited, and the money bounces.

    It was no payment: 70.00 are due of 70.00, whatever a euro is then, and of the exchange nothing was gained or lost. So it is where
    60.00 EUR had been refunded before, which failed.
    """
    rates = [rate("2026-01-01", euro), rate("2026-02-01", "1.50")]
    bill, note = sold("I", "110.00", "2026-01-02"), credit_note("C", "2026-01-20", "40.00")
    cli.post(*parties(), *rates, account("stripe", "EUR"), bill, {**EXCHANGED, **into}, note)
    before = _functional(cli)
    assert before == {
        "cash": f"{99 * Decimal(euro):.2f}", "customer_balance": "40.00", "deferred_revenue": "70.00", **result,
    }  # fmt: skip
    if paid_out:
        cli.post(refund("60.00", "2026-02-05"), {**FAILED, "date": "2026-02-06"})
        assert _functional(cli) == before
    cli.post(BOUNCED)
    assert _functional(cli) == {"accounts_receivable": "70.00", "deferred_revenue": "70.00"}


@pytest.mark.parametrize("into", [None, "stripe"])
@pytest.mark.parametrize("order", [("P", "Q"), ("Q", "P")])
def test_two_payments_that_come_back_on_one_day_leave_nothing(
    cli: Cli, order: tuple[str, str], into: str | None
) -> None:
    """100 EUR at 1.10 and 50 EUR at 1.30, both returned on one day: each for what it had come in at, 110.00 and 65.00."""
    cli.post(
        *parties(),
        rate("2026-01-01", "1.10"),
        rate("2026-02-01", "1.30"),
        account("stripe", "EUR"),
        *(
            payment(ref, amount, day, **EUR) if into is None else paid(ref, amount, day, into, **EUR)
            for ref, amount, day in (("P", "100.00", "2026-01-05"), ("Q", "50.00", "2026-02-05"))
        ),
    )
    for ref in order:
        cli.post({"type": "payment_reversal", "id": ref, "payment": ref, "date": "2026-02-12", "reason": "R01"})
    assert cli.totals() == {}
    assert "checks hold" in cli.ok("verify")


UP = [rate("2026-01-01", "1.20"), rate("2026-02-01", "1.30"), rate("2026-03-01", "1.40")]
BACK_P = {**BOUNCED, "id": "B P", "payment": "P", "date": "2026-03-10"}
BACK_Q = {**BOUNCED, "id": "B Q", "payment": "Q", "date": "2026-03-10"}
# 50.00 at 1.20 and 50.00 at 1.30, some of which goes back, and some comes back, before Q bounces: in the end nobody has anything
NOTHING_LEFT: dict[str, list[Document]] = {
    "another payment and its refund": [
        refund("50.00", "2026-02-20"), payment("S", "10.00", "2026-03-02", **EUR), refund("10.00", "2026-03-04", ref="T", of="S"), BACK_Q,
    ],
    "a refund that failed": [
        refund("50.00", "2026-02-20"), {**FAILED, "date": "2026-03-05"}, BACK_Q, BACK_P,
    ],
    "a dispute that was lost": [dispute("opened", "50.00", "2026-02-20"), dispute("lost", "50.00", "2026-02-25"), BACK_Q],
    "one that was reinstated": [
        dispute("opened", "50.00", "2026-02-20"), dispute("lost", "50.00", "2026-02-25"), dispute("reinstated", "50.00", "2026-03-05"),
        BACK_P, BACK_Q,
    ],
}  # fmt: skip


def _orders(told: list[Document]) -> list[list[int]]:
    """The order of days; with each that can be as the last one; and with two that follow each other, and are of two payments, the other way."""
    days = list(range(len(told)))
    bounced = any(doc["id"] == "B P" for doc in told)  # nothing goes back of what came back
    last = [place for place in days if not bounced or told[place]["type"].startswith("payment")]
    of_q = [doc["id"] == "Q" or doc.get("payment") == "Q" for doc in told]
    swapped = [place for place in days[1:] if of_q[place] != of_q[place - 1]]
    return [
        days,
        *([*days[:place], *days[place + 1 :], place] for place in last),
        *([*days[: place - 1], place, place - 1, *days[place + 1 :]] for place in swapped),
    ]


@pytest.mark.parametrize("into", [{"rail": "wire"}, {"account": "stripe"}])
@pytest.mark.parametrize("kind", NOTHING_LEFT)
def test_what_comes_before_a_payment_that_bounced_leaves_nothing(cli: Cli, kind: str, into: Document) -> None:
    """Whatever comes last, or first: at 0.00 EUR cash and balances are at 0.00 USD, and what was gained was lost."""
    came = [payment("P", "50.00", "2026-01-10", **EUR), payment("Q", "50.00", "2026-02-10", **EUR)]
    told = [{**doc, **into} if doc["type"] == "payment" else doc for doc in [*came, *NOTHING_LEFT[kind]]]
    cli.post(*parties(), *UP, account("stripe", "EUR"))
    for number, order in enumerate(_orders(told)):
        names = {ref: f"{ref}/{number}" for ref in ("globex", *(doc["id"] for doc in told))}
        own = [{key: names.get(str(value), value) for key, value in told[place].items()} for place in order]
        cli.post({"type": "customer", "id": names["globex"], "name": "Globex"})
        # what can't come before what it is of comes after it
        for doc in [doc for doc in own if cli.run("post", "-", stdin=json.dumps(doc)).exit_code]:
            cli.post(doc)
        totals = cli.totals()
        assert not {role for role in totals if role not in ("fx_gain", "fx_loss")}, (order, totals)
        assert totals.get("fx_gain") == totals.get("fx_loss"), (order, totals)
    cli.ok("verify")


@pytest.mark.parametrize("late", [False, True])
def test_goodwill_that_is_taken_back_leaves_nothing(cli: Cli, late: bool) -> None:
    """100.00 EUR given at 1.20, 50.00 at 1.40: these go in two parts, for 70.00. 20.00 given at 1.30 between them stay, for 26.00."""
    first, second = (
        credit(ref, amount, day, **EUR)
        for ref, amount, day in (("g", "100.00", "2026-01-05"), ("h", "50.00", "2026-03-05"))
    )
    back = [credit(f"t{part}", part, "2026-03-20", takes_back="h", **EUR) for part in ("16.67", "33.33")]
    between = credit("b", "20.00", "2026-02-20", **EUR)
    cli.post(*parties(), *UP, first)
    for document in [second, *back, between] if late else [between, second, *back]:
        cli.post(document)
    assert _functional(cli) == {"customer_balance": "146.00", "promotional_credits": "146.00"}


PARTS = {"refund": [], "dispute": ["75.00"], "dispute in parts": ["10.01", "40.33", "24.66"]}


@pytest.mark.parametrize("into", [{"rail": "wire"}, {"account": "stripe"}])
@pytest.mark.parametrize("kind", PARTS)
def test_what_three_customers_were_paid_comes_back_to_the_cent(cli: Cli, kind: str, into: Document) -> None:
    """A parent's 75.00 EUR pay three bills, its own and two subsidiaries': all of it goes back at one average, and comes back at that."""
    rates = [
        rate("2026-01-01", "1.1357"),
        rate("2026-01-21", "1.2113"),
        rate("2026-02-03", "1.0891"),
        rate("2026-03-01", "1.3177"),
    ]
    named = [MUM, *({"type": "customer", "id": ref, "name": ref, "parent": "mum"} for ref in ("child", "grand"))]
    bills = {"A": ("mum", "33.37"), "B": ("child", "21.11"), "C": ("grand", "17.53")}
    cli.post(*parties(), *named, *rates, account("stripe", "EUR"))
    cli.post(*({**sold(ref, amount, **EUR), "customer": whose} for ref, (whose, amount) in bills.items()))
    other = payment("O", "50.00", "2026-01-15", **EUR)
    paid_ = payment("P", "75.00", "2026-01-22", *((ref, amount) for ref, (_, amount) in bills.items()), **EUR)
    cli.post(*({**doc, "customer": "mum", **into} for doc in (other, paid_)))
    before = _functional(cli)
    if kind == "refund":
        cli.post(refund("75.00", "2026-02-05"), FAILED)
    else:
        cli.post(dispute("opened", "75.00", "2026-02-04"), dispute("lost", "75.00", "2026-02-05"))
        cli.post(*({**dispute("reinstated", part, "2026-03-10"), "id": f"D{part}"} for part in PARTS[kind]))
    after = _functional(cli)
    exchanged = {"fx_gain", "fx_loss"}
    assert {role: amount for role, amount in after.items() if role not in exchanged} == {
        role: amount for role, amount in before.items() if role not in exchanged
    }
