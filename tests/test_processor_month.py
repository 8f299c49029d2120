"""A month of a processor: charges in three currencies, fees, refunds, disputes, reserves, payouts, one of which failed.

Everything is worked out by hand. What the processor says it holds is what our accounts hold, what it paid out is what the banks got,
and in the entity's currency all of it comes to the cent, in whatever order the documents arrive.
"""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import invoice, one_time, parties

Document = dict[str, Any]
# Customers by the currency that they pay in.
PAYERS = {"USD": "globex", "EUR": "initech", "GBP": "umbrella"}


def _rate(day: str, base: str, value: str) -> Document:
    return {"type": "fx_rate", "id": f"{day}/{base}/USD", "date": day, "base": base, "quote": "USD", "rate": value}


def _account(ref: str, kind: str, currency: str, code: str) -> Document:
    return {
        "type": "money_account",
        "id": ref,
        "entity": "us",
        "name": ref,
        "kind": kind,
        "currency": currency,
        "code": code,
    }


def _bill(ref: str, currency: str, amount: str) -> Document:
    return invoice(ref, "2026-01-02", one_time(amount)) | {"customer": PAYERS[currency], "currency": currency}


def _charge(ref: str, day: str, currency: str, amount: str, fee: str, of: str) -> Document:
    return {
        "type": "payment", "id": ref, "customer": PAYERS[currency], "entity": "us", "currency": currency, "date": day, "rail": "card",
        "account": f"stripe-{currency.lower()}", "amount": amount, "fee": fee, "applications": [{"invoice": of, "amount": amount}],
    }  # fmt: skip


def _refund(ref: str, day: str, payment: str, amount: str, of: str) -> Document:
    return {"type": "refund", "id": ref, "payment": payment, "date": day, "amount": amount, "invoice": of}


def _dispute(ref: str, day: str, payment: str, amount: str, status: str, **more: str) -> Document:
    return {"type": "dispute", "id": ref, "payment": payment, "date": day, "amount": amount, "status": status, **more}


def _transfer(ref: str, day: str, source: str, target: str, amount: str, **more: str) -> Document:
    return {
        "type": "transfer", "id": ref, "entity": "us", "date": day, "from_account": source, "to_account": target, "amount": amount,
        **more,
    }  # fmt: skip


def _fee(ref: str, day: str, amount: str, **more: Any) -> Document:
    return {"type": "fee", "id": ref, "entity": "us", "account": "stripe-usd", "date": day, "amount": amount, **more}


BASE: list[Document] = [
    *parties(),
    *({"type": "customer", "id": who, "name": who} for who in ("initech", "umbrella")),
    *(_rate(day, base, value) for day, base, value in (
        ("2026-01-01", "EUR", "1.10"), ("2026-01-15", "EUR", "1.20"), ("2026-01-01", "GBP", "1.25"), ("2026-01-15", "GBP", "1.30"))),
    _account("stripe-usd", "processor", "USD", "1010"), _account("stripe-eur", "processor", "EUR", "1011"),
    _account("stripe-gbp", "processor", "GBP", "1012"), _account("reserve-usd", "reserve", "USD", "1015"),
    _account("bank-usd", "bank", "USD", "1020"), _account("bank-eur", "bank", "EUR", "1021"),
]  # fmt: skip

MONTH: list[Document] = [
    _bill("U1", "USD", "1000.00"), _bill("U2", "USD", "300.00"), _bill("E1", "EUR", "500.00"), _bill("G1", "GBP", "200.00"),
    _charge("ch-u1", "2026-01-05", "USD", "1000.00", "29.30", "U1"),
    _charge("ch-e1", "2026-01-06", "EUR", "500.00", "14.80", "E1"),
    _charge("ch-g1", "2026-01-07", "GBP", "200.00", "6.00", "G1"),
    _charge("ch-u2", "2026-01-08", "USD", "300.00", "9.00", "U2"),
    _refund("re-u1", "2026-01-09", "ch-u1", "100.00", "U1"),
    _dispute("du-u2", "2026-01-10", "ch-u2", "300.00", "opened", fee="15.00"),
    _transfer("reserved", "2026-01-11", "stripe-usd", "reserve-usd", "120.00"),
    _dispute("du-g1", "2026-01-12", "ch-g1", "80.00", "opened", fee="15.00"),
    _transfer("po-u1", "2026-01-13", "stripe-usd", "bank-usd", "400.00", kind="payout"),
    {"type": "transfer_reversal", "id": "po-u1/failed", "transfer": "po-u1", "date": "2026-01-14", "reason": "account closed"},
    _transfer("po-u2", "2026-01-15", "stripe-usd", "bank-usd", "726.70", kind="payout"),
    _refund("re-e1", "2026-01-16", "ch-e1", "50.00", "E1"),
    _transfer("po-e1", "2026-01-17", "stripe-eur", "bank-eur", "435.20", kind="payout"),
    _transfer("po-g1", "2026-01-18", "stripe-gbp", "bank-usd", "99.00", received="128.00", kind="payout"),
    _dispute("du-u2/won", "2026-01-20", "ch-u2", "300.00", "won"),
    _fee("du-u2/fee", "2026-01-20", "15.00", returned=True),
    _dispute("du-g1/lost", "2026-01-25", "ch-g1", "80.00", "lost"),
    _transfer("released", "2026-01-28", "reserve-usd", "stripe-usd", "50.00"),
    _transfer("topped-up", "2026-01-30", "bank-usd", "stripe-usd", "10.00", kind="top_up"),
    _fee("monthly", "2026-01-31", "2.00"),
    _transfer("po-u3", "2026-01-31", "stripe-usd", "bank-usd", "300.00", kind="payout"),
]  # fmt: skip

# The processor's own list of what moved each balance, net of fees, and the payout that took it along.
TRANSACTIONS = [
    ("stripe-usd", "ch-u1", "970.70", "po-u2"), ("stripe-eur", "ch-e1", "485.20", "po-e1"), ("stripe-gbp", "ch-g1", "194.00", "po-g1"),
    ("stripe-usd", "ch-u2", "291.00", "po-u2"), ("stripe-usd", "re-u1", "-100.00", "po-u2"), ("stripe-usd", "du-u2", "-315.00", "po-u2"),
    ("stripe-usd", "reserved", "-120.00", "po-u2"), ("stripe-gbp", "du-g1", "-95.00", "po-g1"), ("stripe-usd", "po-u1", "-400.00", ""),
    ("stripe-usd", "po-u1/failed", "400.00", ""), ("stripe-usd", "po-u2", "-726.70", ""), ("stripe-eur", "re-e1", "-50.00", "po-e1"),
    ("stripe-eur", "po-e1", "-435.20", ""), ("stripe-gbp", "po-g1", "-99.00", ""), ("stripe-usd", "du-u2/won", "300.00", "po-u3"),
    ("stripe-usd", "du-u2/fee", "15.00", "po-u3"), ("stripe-usd", "released", "50.00", ""), ("stripe-usd", "topped-up", "10.00", ""),
    ("stripe-usd", "monthly", "-2.00", ""), ("stripe-usd", "po-u3", "-300.00", ""),
]  # fmt: skip
# 726.70 + 128.00 - 10.00 + 300.00; 435.20; of 120.00 reserved 50.00 came back.
HELD = {
    "stripe-usd": "73.00", "stripe-eur": "0.00", "stripe-gbp": "0.00", "reserve-usd": "70.00", "bank-usd": "1144.70", "bank-eur": "435.20",
}  # fmt: skip
# In USD. Euros came in at 1.10: 550.00, less 16.28 of fees; 50.00 of them went back at 1.20, 60.00 for what had come in for 55.00 and
# lowered revenue by 55.00 (a gain and a loss of 5.00); the rest, 478.72, is with the bank. Pounds came in at 1.25: 99.00 for 123.75
# were converted into 128.00, a gain of 4.25. Fees: 40.30 + 16.28 + (6.00 + 15.00) x 1.25. Revenue: 1,300.00 + 550.00 + 250.00.
BALANCE = {
    "cash": "1766.42", "revenue": "-2100.00", "refunds": "155.00", "disputes": "100.00", "processing_fees": "82.83", "fx_gain": "-9.25",
    "fx_loss": "5.00",
}  # fmt: skip
CODES = {"1010": "73.00", "1015": "70.00", "1020": "1144.70", "1021": "478.72"}


def _named(doc: Document) -> set[str]:
    """What has to be in the books before a document."""
    own = {doc[key] for key in ("payment", "transfer", "invoice") if key in doc}
    before = {"du-u2/won": {"du-u2"}, "du-u2/fee": {"du-u2"}, "du-g1/lost": {"du-g1"}}.get(doc["id"], set())
    return own | before | {item["invoice"] for item in doc.get("applications", ())}


def _shuffled(seed: int) -> list[Document]:
    """The month in an order that says nothing but what has to come before what."""
    waiting = list(MONTH)
    random.Random(seed).shuffle(waiting)  # noqa: S311 - no secret
    order: list[Document] = []
    while waiting:
        there = {doc["id"] for doc in order}
        doc = next(doc for doc in waiting if _named(doc) <= there)
        waiting.remove(doc)
        order.append(doc)
    return order


def _balance(cli: Cli) -> dict[str, str]:
    found: Counter[str] = Counter()
    for row in cli.report("trial-balance"):
        found[row["role"]] += Decimal(row["debit"]) - Decimal(row["credit"])
    return {role: f"{amount:.2f}" for role, amount in found.items() if amount}


def _check(cli: Cli) -> None:
    assert {row["account"]: row["held"] for row in cli.report("money-accounts")} == HELD
    assert all(row["below_zero"] is None for row in cli.report("money-accounts"))
    told = cli.ok("verify")
    assert "WARN" not in told


def test_the_processors_own_list_comes_to_what_is_held() -> None:
    """What the figures above are: by account, and by payout."""
    held: Counter[str] = Counter()
    paid_out: Counter[str] = Counter()
    for account, _, net, payout in TRANSACTIONS:
        held[account] += Decimal(net)
        paid_out[payout] += Decimal(net)
    assert all(held[account] == Decimal(HELD[account]) for account in ("stripe-usd", "stripe-eur", "stripe-gbp"))
    payouts = {
        doc["id"]: Decimal(doc["amount"])
        for doc in MONTH
        if doc.get("kind") == "payout" and doc["id"] in ("po-u2", "po-e1", "po-g1")
    }
    assert {ref: paid_out[ref] for ref in payouts} == payouts


def test_the_month_ties(cli: Cli) -> None:
    cli.post(*BASE, *MONTH)
    cli.ok("recognize", "--through", "2026-01")
    _check(cli)
    assert _balance(cli) == BALANCE
    codes = {
        row["code"]: row["debit"]
        for row in cli.report("trial-balance")
        if row["role"] == "cash" and row["debit"] != row["credit"]
    }
    assert codes == CODES


def test_every_transaction_of_the_processor_is_in_our_account(cli: Cli) -> None:
    """Each document moves its account by what the processor says that it did."""
    cli.post(*BASE)
    before = dict.fromkeys(HELD, Decimal(0))
    expected = {ref: (account, Decimal(net)) for account, ref, net, _ in TRANSACTIONS}
    for doc in MONTH:
        cli.post(doc)
        now = {row["account"]: Decimal(row["held"]) for row in cli.report("money-accounts")}
        moved = {account: now[account] - before[account] for account in now if now[account] != before[account]}
        ours = {account: net for account, net in moved.items() if account.startswith("stripe")}
        assert ours == (dict([expected[doc["id"]]]) if doc["id"] in expected else {}), doc["id"]
        before |= now


@pytest.mark.parametrize("seed", range(4))
def test_in_any_order_the_month_ties(cli: Cli, seed: int) -> None:
    cli.post(*BASE)
    cli.post(*_shuffled(seed))
    cli.ok("recognize", "--through", "2026-01")
    _check(cli)
    assert _balance(cli) == BALANCE


def test_one_by_one_with_runs_between_the_month_ties(cli: Cli) -> None:
    cli.post(*BASE)
    for number, doc in enumerate(_shuffled(9)):
        cli.post(doc)
        if number % 8 == 7:
            cli.ok("recognize", "--through", "2026-01")
    cli.ok("recognize", "--through", "2026-01")
    _check(cli)
    assert _balance(cli) == BALANCE


def test_what_comes_late_is_held_all_the_same(cli: Cli) -> None:
    """Half of the month comes after it was closed: it counts in February, and no account is below zero of its own days."""
    cli.post(*BASE)
    order = _shuffled(5)
    cli.post(*order[:12])
    cli.ok("recognize", "--through", "2026-01")
    cli.ok("close", "2026-01", "--anyway", "--reason", "test")
    cli.post(*order[12:])
    cli.ok("recognize", "--through", "2026-02")
    _check(cli)
    held = _balance(cli)
    assert held["processing_fees"] == BALANCE["processing_fees"]
    assert sum(map(Decimal, held.values())) == 0


def test_the_month_ends_at_closing_rates(cli: Cli) -> None:
    """What the bank holds in euros is 435.20 at 1.20, 522.24: 43.52 more than it came in for."""
    cli.post(*BASE, *MONTH)
    cli.ok("recognize", "--through", "2026-01")
    assert "43.52" in cli.ok("revalue", "2026-01")
    rows = cli.report("trial-balance", "--as-of", "2026-01-31")
    assert {row["code"]: row["debit"] for row in rows if row["code"] == "1021"} == {"1021": "522.24"}
    assert _balance(cli) == BALANCE  # reversed on the next day
