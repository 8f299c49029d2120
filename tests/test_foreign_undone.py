"""What a document and what undoes it leave of the rest, where rates move: other invoices' tax, other cash, what had gone before.

In dollars, of euros: 1.20 in January, 1.30 from the 15th, 1.40 in March, 1.10 in April.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import credit_note, invoice, one_time, parties, payment
from tests.test_currencies import rate
from tests.test_foreign_money import EUR, RATES, _functional
from tests.test_money_accounts import account, paid
from tests.test_uses import refund

Document = dict[str, Any]
BECAUSE = {"reason": "x"}
HEAD = [
    *parties(), *RATES, rate("2026-04-01", "1.10"), account("stripe", "EUR"),
    {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.19"}, {"type": "tax_code", "id": "TDS", "name": "TDS", "rate": "0.10"},
]  # fmt: skip


def _bill(ref: str, day: str, amount: str = "100.00") -> Document:
    return invoice(ref, day, one_time(amount) | {"tax_codes": ["VAT"]}, **EUR)


def _of(kind: str, ref: str, day: str, **more: Any) -> Document:
    return {"type": kind, "id": ref, "date": day, **more}


def _lost(ref: str, bill: str, day: str) -> Document:
    return _of("write_off", ref, day, invoice=bill, approved_by="ann", **BECAUSE)


def _recovered(ref: str, of: str, day: str, amount: str, **into: str) -> Document:
    return _of("recovery", ref, day, write_off=of, amount=amount, **into)


def _withheld(ref: str, bill: str, day: str) -> Document:
    part = {"invoice": bill, "amount": "109.00", "withheld": [{"code": "TDS", "amount": "10.00"}]}
    return payment(ref, "109.00", day, **EUR) | {"applications": [part]}


# What stands, with figures by hand of some; what is done, and undone. An invoice of 119.00 of January has tax of 22.80, of March 26.60.
LEAVES: dict[str, tuple[list[Document], dict[str, str], list[Document]]] = {
    "another invoice, voided": (
        [_bill("I", "2026-01-10")], {"tax_payable": "22.80"}, [_bill("J", "2026-03-10"), _of("invoice_void", "V", "2026-03-11", invoice="J", **BECAUSE)]),
    "an invoice below zero, voided": (
        [_bill("I", "2026-01-10")], {"tax_payable": "22.80"},
        [_bill("J", "2026-03-10", "-50.00"), _of("invoice_void", "V", "2026-03-11", invoice="J", **BECAUSE)]),
    "a note of another invoice, and its void": (
        [_bill("I", "2026-01-10"), _bill("J", "2026-03-10")], {"tax_payable": "49.40", "accounts_receivable": "309.40"},
        [credit_note("N", "2026-03-11", "100.00", invoice="J"), _of("credit_note_void", "NV", "2026-04-12", credit_note="N", **BECAUSE)]),
    "a recovery that comes back": (
        [_bill("I", "2026-01-10"), _bill("J", "2026-03-10"), _lost("W", "J", "2026-03-12"), payment("Q", "70.00", "2026-01-20", **EUR)],
        {"cash": "91.00"},
        [_recovered("A", "W", "2026-04-10", "119.00", rail="card"), _of("payment_reversal", "B", "2026-04-20", recovery="A", **BECAUSE)]),
    "a recovery into an account, that comes back": (
        [_bill("J", "2026-03-10"), _lost("W", "J", "2026-03-12"), paid("Q", "70.00", "2026-01-20", "stripe", **EUR)], {"cash": "91.00"},
        [_recovered("A", "W", "2026-04-10", "20.00", account="stripe"), _of("payment_reversal", "B", "2026-04-20", recovery="A", **BECAUSE)]),
    "a payment with withheld tax that comes back": (
        [_bill("I", "2026-01-10"), _bill("J", "2026-03-10"), _withheld("P", "I", "2026-01-20")],
        {"tax_withheld": "12.00", "accounts_receivable": "166.60"},
        [_withheld("Q", "J", "2026-03-20"), _of("payment_reversal", "B", "2026-04-03", payment="Q", **BECAUSE)]),
    "a recovery that put a refund of one back, and comes back": (
        # 100.00 billed at 1.20, recovered at 1.30, 70.00 refunded: cash 39.00 for 30.00, 7.00 gained less what the refund had counted for
        [invoice("I", "2026-01-10", one_time("100.00"), **EUR), _lost("W", "I", "2026-01-12"), _recovered("A", "W", "2026-01-20", "100.00", rail="wire"),
         refund("70.00", "2026-02-10", recovery="A", payment=None)], {"cash": "39.00"},
        [_recovered("C", "W", "2026-03-10", "30.00", rail="wire"), _of("payment_reversal", "B", "2026-04-20", recovery="C", **BECAUSE)]),
    "a refund of the balance by a rail that holds nothing, that failed": (
        [payment("P", "100.00", "2026-01-20", **EUR)], {"cash": "130.00", "customer_balance": "130.00"},
        [_of("refund", "R", "2026-03-05", customer="globex", entity="us", currency="EUR", rail="card", amount="100.00"),
         _of("refund_reversal", "F", "2026-04-10", refund="R", **BECAUSE)]),
}  # fmt: skip


def _plain(document: Document) -> Document:
    return {key: value for key, value in document.items() if value is not None}


@pytest.mark.parametrize("kind", LEAVES)
def test_what_undoes_itself_leaves_the_rest(cli: Cli, kind: str) -> None:
    stands, by_hand, undone = LEAVES[kind]
    cli.post(*HEAD, *map(_plain, stands))
    before = _functional(cli)
    assert {role: before[role] for role in by_hand} == by_hand
    cli.post(*undone)
    assert _functional(cli) == before


BEFORE: dict[str, list[Document]] = {
    "refund": [
        {"type": "refund", "id": "R", "payment": "P", "date": "2026-03-20", "amount": "5000.00"},
        {"type": "refund_reversal", "id": "RR", "refund": "R", "date": "2026-03-25", **BECAUSE},
    ],
    "dispute in parts": [
        {"type": "dispute", "id": "D", "payment": "P", "date": "2026-03-19", "status": "opened", "amount": "5000.00"},
        {"type": "dispute", "id": "E", "payment": "P", "date": "2026-03-20", "status": "lost", "opening": "D", "amount": "5000.00"},
        {"type": "dispute", "id": "F", "payment": "P", "date": "2026-03-25", "status": "won", "opening": "D", "amount": "1234.56"},
        {"type": "dispute", "id": "G", "payment": "P", "date": "2026-04-02", "status": "won", "opening": "D", "amount": "3765.44"},
    ],
    "on one day": [
        {"type": "refund", "id": "R", "payment": "P", "date": "2026-03-20", "amount": "5000.00"},
        {"type": "refund_reversal", "id": "RR", "refund": "R", "date": "2026-03-20", **BECAUSE},
    ],
    "two refunds": [
        {"type": "refund", "id": "R", "payment": "P", "date": "2026-03-20", "amount": "2000.00"},
        {"type": "refund", "id": "S", "payment": "P", "date": "2026-03-20", "amount": "3000.00"},
        {"type": "refund_reversal", "id": "RR", "refund": "R", "date": "2026-03-23", **BECAUSE},
        {"type": "refund_reversal", "id": "SS", "refund": "S", "date": "2026-03-25", **BECAUSE},
    ],
    "dispute": [
        {"type": "dispute", "id": "D", "payment": "P", "date": "2026-03-19", "status": "opened", "amount": "5000.00"},
        {"type": "dispute", "id": "E", "payment": "P", "date": "2026-03-20", "status": "lost", "opening": "D", "amount": "5000.00"},
        {"type": "dispute", "id": "F", "payment": "P", "date": "2026-03-25", "status": "won", "opening": "D", "amount": "5000.00"},
    ],
}  # fmt: skip


@pytest.mark.parametrize("what", BEFORE)
@pytest.mark.parametrize("when", ["before it", "after all"])
@pytest.mark.parametrize("cash", ["rail", "account"])
def test_what_failed_comes_back_for_what_it_left_for(cli: Cli, what: str, when: str, cash: str) -> None:
    """Whether the month in which money went and came again was recognised before it or after: revenue is what was billed.

    6,000.00 EUR billed at 1.20 and 4,000.00 at 1.2713: 7,200.00 and 5,085.20.
    """
    rates = (("2026-03-10", "1.2713"), ("2026-03-18", "1.1907"), ("2026-04-01", "1.3391"), ("2026-05-01", "1.5"))
    into: Document = {"rail": "wire"}
    bank: list[Document] = []
    if cash == "account":
        into = {"account": "bank"}
        bank = [account("bank", "EUR")]
    seats = {
        "id": "O",
        "product": "seats",
        "price": "10000.00",
        "start": "2026-01-05",
        "end": "2026-06-10",
        "pattern": "daily",
    }
    cli.post(
        *parties(),
        {"type": "fx_rate", "id": "x", "date": "2026-01-01", "base": "EUR", "quote": "USD", "rate": "1.2"},
        *({"type": "fx_rate", "id": f"x{day}", "date": day, "base": "EUR", "quote": "USD", "rate": rate} for day, rate in rates),
        *bank,
        {
            "type": "contract", "id": "C", "customer": "globex", "entity": "us", "currency": "EUR", "signed_on": "2026-01-05",
            "obligations": [seats],
        },
        invoice("I", "2026-01-05", {"id": "1", "kind": "service", "obligation": "O", "amount": "6000.00"}, currency="EUR"),
        invoice("J", "2026-03-12", {"id": "1", "kind": "service", "obligation": "O", "amount": "4000.00"}, currency="EUR"),
        {
            "type": "payment", "id": "P", "customer": "globex", "entity": "us", "currency": "EUR", "date": "2026-03-11", "amount": "6000.00",
            "applications": [{"invoice": "I", "amount": "6000.00"}], **into,
        },
    )  # fmt: skip
    if when == "before it":
        cli.ok("recognize", "--through", "2026-03")
    cli.post(*BEFORE[what])
    cli.ok("recognize", "--through", "2026-07")
    cli.ok("verify")
    totals = {role: amount for role, amount in cli.totals().items() if amount}
    assert abs(totals["revenue"] - Decimal("12285.20")) <= Decimal("0.01"), totals
    assert totals["cash"] == Decimal("7627.80")
    assert totals["fx_gain"] + totals.get("fx_loss", 0) == Decimal("427.80") + Decimal("12285.20") - totals["revenue"]


@pytest.mark.parametrize("late", ["", "J"])
@pytest.mark.parametrize("cash", ["rail", "account"])
def test_what_failed_comes_back_for_what_it_left_for_by_late_bills(cli: Cli, late: str, cash: str) -> None:
    """A bill at another rate that arrives after a refund failed changes what the refund let go, and so what came back.

    6,000.00 EUR billed and paid at 1.20, 4,000.00 billed at 1.40: 7,200.00 of cash, 12,800.00 of revenue.
    """
    seats = {
        "id": "O",
        "product": "seats",
        "price": "10000.00",
        "start": "2026-01-05",
        "end": "2026-06-10",
        "pattern": "daily",
    }
    line = {"id": "1", "kind": "service", "obligation": "O"}
    bills = {
        "I": invoice("I", "2026-01-05", line | {"amount": "6000.00"}, currency="EUR"),
        "J": invoice("J", "2026-01-10", line | {"amount": "4000.00"}, currency="EUR", fx_rate="1.4"),
    }
    came = payment("P", "6000.00", "2026-01-08", ("I", "6000.00"), currency="EUR") | (
        {"rail": "wire"} if cash == "rail" else {"account": "bank"}
    )
    if cash == "account":
        del came["rail"]
    cli.post(
        *parties(),
        {"type": "fx_rate", "id": "x", "date": "2026-01-01", "base": "EUR", "quote": "USD", "rate": "1.2"},
        account("bank", "EUR"),
        {"type": "contract", "id": "C", "customer": "globex", "entity": "us", "currency": "EUR", "signed_on": "2026-01-05",
         "obligations": [seats]},
    )  # fmt: skip
    cli.post(*(bill for ref, bill in bills.items() if ref != late), came)
    cli.post(refund("5000.00", "2026-03-20"), _of("refund_reversal", "RR", "2026-03-25", refund="R", **BECAUSE))
    if late:
        cli.post(bills[late])
    cli.ok("recognize", "--through", "2026-07")
    cli.ok("verify")
    totals = {role: amount for role, amount in cli.totals().items() if amount}
    assert totals == {
        "cash": Decimal("7200.00"), "accounts_receivable": Decimal("5600.00"), "revenue": Decimal("12800.00")
    }  # fmt: skip
