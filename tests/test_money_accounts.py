"""Where money lies: accounts of banks and processors, what moves between them, and what they charge."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import invoice, one_time, parties, payment
from tests.test_currencies import EUR, rate
from tests.test_export_objects import ALL, FIELDS, mapping

Document = dict[str, Any]


def account(ref: str, currency: str = "USD", **more: Any) -> Document:
    return {
        "type": "money_account", "id": ref, "entity": "us", "name": ref.title(), "kind": "processor", "currency": currency, **more,
    }  # fmt: skip


def transfer(ref: str, day: str, source: str, target: str, amount: str, **more: Any) -> Document:
    return {
        "type": "transfer", "id": ref, "entity": "us", "date": day, "from_account": source, "to_account": target, "amount": amount,
        **more,
    }  # fmt: skip


def came_back(ref: str, of: str, day: str, **more: Any) -> Document:
    return {"type": "transfer_reversal", "id": ref, "transfer": of, "date": day, "reason": "account closed", **more}


def fee(ref: str, day: str, of: str, amount: str, **more: Any) -> Document:
    return {"type": "fee", "id": ref, "entity": "us", "account": of, "date": day, "amount": amount, **more}


def paid(ref: str, amount: str, day: str, into: str, *applied: tuple[str, str], **more: Any) -> Document:
    doc = payment(ref, amount, day, *applied, **more)
    return {key: value for key, value in doc.items() if key != "rail"} | {"account": into}


def held(cli: Cli, *options: str) -> dict[str, str]:
    return {row["account"]: row["held"] for row in cli.report("money-accounts", *options)}


BASE = [
    *parties(),
    account("stripe", code="1010"),
    account("bank", kind="bank", code="1020"),
    invoice("I", "2026-01-05", one_time("100.00")),
]


def test_each_account_has_its_own_code_and_balance(cli: Cli) -> None:
    """100.00 less a fee of 3.20, 60.00 paid out, 10.00 refunded: 26.80 and 60.00."""
    cli.post(
        *BASE,
        paid("p", "100.00", "2026-01-10", "stripe", ("I", "100.00"), fee="3.20"),
        transfer("po", "2026-01-12", "stripe", "bank", "60.00", kind="payout"),
        {"type": "refund", "id": "r", "payment": "p", "date": "2026-01-15", "amount": "10.00"},
    )
    assert held(cli) == {"bank": "60.00", "stripe": "26.80"}
    balance = {(row["code"], row["account"]): (row["debit"], row["credit"]) for row in cli.report("trial-balance")}
    assert balance["1010", "Stripe"] == ("26.80", "0.00")
    assert balance["1020", "Bank"] == ("60.00", "0.00")
    assert ("1000", "Cash") not in balance
    assert "all" in cli.ok("verify")
    told = cli.ok("trace", "money_account:stripe")
    assert "payment:p" in told
    assert "transfer:po" in told
    assert "money_account stripe" in cli.ok("trace", "transfer:po")
    assert "money_account stripe" in cli.ok("trace", "payment:p")


def test_a_rail_beside_an_account_says_how_money_came(cli: Cli) -> None:
    cli.post(
        *BASE, payment("p", "100.00", "2026-01-10", rail="card", account="stripe"), payment("q", "5.00", "2026-01-11")
    )
    assert held(cli) == {"stripe": "100.00"}
    assert cli.totals()["cash"] == 105


@pytest.mark.parametrize(
    ("doc", "said"),
    [
        ({"account": "nobody"}, "account = nobody: expected the id of a money_account posted before"),
        ({"account": "euro"}, "account = euro: is in EUR, expected one in USD"),
        ({"account": "other"}, "account = other: is of entity eu, expected one of entity us"),
        ({}, "account = missing: expected the money_account that took it, or the rail it came by"),
    ],
)
def test_an_account_that_does_not_fit_is_refused_by_name(cli: Cli, doc: Document, said: str) -> None:
    other = {"type": "entity", "id": "eu", "name": "Acme GmbH", "currency": "EUR"}
    cli.post(*BASE, other, account("euro", "EUR"), account("other", "EUR", entity="eu"))
    bare = {key: value for key, value in payment("p", "5.00", "2026-01-10").items() if key != "rail"}
    assert said in cli.refuse(bare | doc)
    recovery = {"type": "recovery", "id": "rc", "write_off": "w", "date": "2026-01-20", "amount": "5.00"}
    cli.post(
        {"type": "write_off", "id": "w", "invoice": "I", "date": "2026-01-10", "reason": "gone", "approved_by": "c"}
    )
    assert said in cli.refuse(recovery | doc)


@pytest.mark.parametrize(
    ("doc", "said"),
    [
        (transfer("t", "2026-01-10", "stripe", "stripe", "1.00"), "to_account = stripe: expected another account than from_account"),
        (transfer("t", "2026-01-10", "stripe", "euro", "1.00"), "received = missing: expected what arrived in EUR"),
        (transfer("t", "2026-01-10", "stripe", "bank", "1.00", received="1.00"), "received = 1.00: expected none: both accounts are in USD"),
        (transfer("t", "2026-01-10", "stripe", "bank", "1.00", fee_account="bank"), "fee_account = bank: expected beside a fee"),
        (transfer("t", "2026-01-10", "stripe", "nobody", "1.00"), "to_account = nobody: expected the id of a money_account posted before"),
        (transfer("t", "2026-01-10", "stripe", "bank", "1.005"), "amount = 1.005"),
        (fee("f", "2026-01-10", "other", "1.00"), "account = other: is of entity eu, expected one of entity us"),
        (came_back("b", "nothing", "2026-01-10"), "transfer = nothing: expected the id of a transfer posted before"),
        (came_back("b", "po", "2026-01-11"), "date = 2026-01-11: expected 2026-01-12, when transfer po was made, or later"),
        (came_back("b", "po", "2026-01-12", fee_returned=True), "fee_returned = true: expected a transfer that had a fee: po had none"),
    ],
)  # fmt: skip
def test_refusals(cli: Cli, doc: Document, said: str) -> None:
    other = {"type": "entity", "id": "eu", "name": "Acme GmbH", "currency": "EUR"}
    cli.post(
        *BASE,
        other,
        account("euro", "EUR"),
        account("other", "EUR", entity="eu"),
        transfer("po", "2026-01-12", "stripe", "bank", "60.00"),
    )
    assert said in cli.refuse(doc)


def test_a_transfer_comes_back_once_and_leaves_nothing(cli: Cli) -> None:
    cli.post(*BASE, paid("p", "100.00", "2026-01-10", "stripe"))
    before = cli.report("trial-balance")
    cli.post(
        transfer("po", "2026-01-12", "stripe", "bank", "60.00", fee="0.25", fee_account="bank"),
        came_back("back", "po", "2026-01-14", fee_returned=True),
    )
    assert held(cli) == {"bank": "0.00", "stripe": "100.00"}
    zero = [row for row in cli.report("trial-balance") if (row["debit"], row["credit"]) != ("0.00", "0.00")]
    assert zero == before
    assert "transfer = po: was reversed by back already" in cli.refuse(came_back("again", "po", "2026-01-15"))
    assert "transfer po" in cli.ok("trace", "transfer_reversal:back")


def test_fees_come_back(cli: Cli) -> None:
    cli.post(*BASE, fee("f", "2026-01-10", "bank", "12.00"), fee("g", "2026-01-20", "bank", "4.00", returned=True))
    assert cli.summary()["2026-01"]["processing_fees"] == "8.00"
    assert held(cli) == {"bank": "-8.00"}


def test_no_more_of_fees_comes_back_than_was_charged(cli: Cli) -> None:
    """The bank takes 12.00 on the 10th and keeps 3.00 of a payment on the 15th: 12.00 can come back on the 14th, 15.00 on the 15th."""
    paid = payment("p", "100.00", "2026-01-15", account="bank", fee="3.00")
    cli.post(*BASE, fee("f", "2026-01-10", "bank", "12.00"), paid)
    over = "expected at most 12.00, what fees took of account bank by 2026-01-14 and did not come back"
    assert f"amount = 12.01 USD: {over}" in cli.refuse(fee("g", "2026-01-14", "bank", "12.01", returned=True))
    cli.post(fee("g", "2026-01-14", "bank", "5.00", returned=True))
    assert "expected at most 10.00" in cli.refuse(fee("h", "2026-01-15", "bank", "10.01", returned=True))
    assert "expected at most 0.00" in cli.refuse(fee("h", "2026-01-09", "bank", "0.01", returned=True))
    assert "expected at most 0.00" in cli.refuse(fee("h", "2026-01-15", "stripe", "0.01", returned=True))
    cli.post(fee("h", "2026-01-15", "bank", "10.00", returned=True))
    assert held(cli) == {"bank": "100.00"}
    assert "processing_fees" not in cli.totals()


def disputed(ref: str, status: str, day: str, amount: str, **more: Any) -> Document:
    return {"type": "dispute", "id": ref, "payment": "p", "status": status, "date": day, "amount": amount, **more}


OPENED = [
    paid("p", "100.00", "2026-01-10", "stripe"),
    disputed("D", "opened", "2026-01-15", "40.00", account="stripe", fee="15.00"),
]


def test_a_fee_that_came_back_by_itself_does_not_come_back_with_a_dispute(cli: Cli) -> None:
    cli.post(*BASE, *OPENED, fee("g", "2026-01-20", "stripe", "5.00", returned=True))
    won = disputed("W", "won", "2026-01-25", "40.00", account="stripe")
    over = "expected at most 10.00, what fees took of account stripe by 2026-01-25 and did not come back"
    assert f"dispute W: fee_refund = 10.01 USD: {over}" in cli.refuse({**won, "fee_refund": "10.01"})
    cli.post({**won, "fee_refund": "10.00"})
    assert held(cli) == {"stripe": "100.00"}
    assert "processing_fees" not in cli.totals()
    cli.ok("verify")


def test_what_a_dispute_is_charged_as_it_is_won_comes_back_with_it(cli: Cli) -> None:
    """15.00 came back by itself: of the 2.00 that it is charged as it is won, 2.00 can."""
    cli.post(*BASE, *OPENED, fee("g", "2026-01-20", "stripe", "15.00", returned=True))
    won = disputed("W", "won", "2026-01-25", "40.00", account="stripe", fee="2.00")
    assert "expected at most 2.00" in cli.refuse({**won, "fee_refund": "2.01"})
    cli.post({**won, "fee_refund": "2.00"})
    assert "processing_fees" not in cli.totals()


def test_a_fee_that_came_back_by_itself_does_not_come_back_with_a_transfer(cli: Cli) -> None:
    moved = transfer("po", "2026-01-12", "stripe", "bank", "60.00", fee="0.25")
    cli.post(*BASE, paid("p", "100.00", "2026-01-10", "stripe"), moved)
    cli.post(fee("g", "2026-01-13", "stripe", "0.01", returned=True))
    over = "expected at most 0.24, what fees took of account stripe by 2026-01-14 and did not come back"
    back = came_back("b", "po", "2026-01-14")
    assert f"transfer_reversal b: fee_returned = 0.25 USD: {over}" in cli.refuse({**back, "fee_returned": True})
    cli.post(back)
    assert held(cli) == {"bank": "0.00", "stripe": "99.76"}
    assert cli.totals()["processing_fees"] == Decimal("0.24")
    cli.ok("verify")


def test_a_disputes_fee_comes_back_of_the_account_that_took_it(cli: Cli) -> None:
    """D cost 15.00 of stripe, E 10.00 of the bank, which come to stripe: of the bank's fees nothing is left, of stripe's 15.00."""
    more = disputed("E", "opened", "2026-01-16", "30.00", account="bank", fee="10.00")
    cli.post(*BASE, *OPENED, more)
    cli.post(disputed("W", "won", "2026-01-25", "30.00", opening="E", account="stripe", fee_refund="10.00"))
    assert held(cli) == {"bank": "-40.00", "stripe": "85.00"}
    assert "expected at most 0.00" in cli.refuse(fee("g", "2026-01-26", "bank", "0.01", returned=True))
    cli.post(disputed("X", "won", "2026-01-26", "40.00", opening="D", account="bank", fee_refund="15.00"))
    over = "expected at most 0.00, what fees took of account stripe by 2026-01-27 and did not come back"
    assert f"fee g: amount = 15.00 USD: {over}" in cli.refuse(fee("g", "2026-01-27", "stripe", "15.00", returned=True))
    assert held(cli) == {"bank": "15.00", "stripe": "85.00"}
    assert "processing_fees" not in cli.totals()
    cli.ok("verify")


def test_a_recoverys_fee_is_at_most_what_it_brings(cli: Cli) -> None:
    off = {"type": "write_off", "id": "w", "invoice": "J", "date": "2026-02-01", "reason": "gone", "approved_by": "ann"}
    cli.post(*BASE, invoice("J", "2026-01-02", one_time("50.00")), off)
    got = {"type": "recovery", "id": "r", "write_off": "w", "date": "2026-02-10", "account": "bank", "amount": "40.00"}
    assert "fee = 41.00: expected at most the recovery's amount, 40.00" in cli.refuse({**got, "fee": "41.00"})
    cli.post({**got, "fee": "40.00"})
    assert held(cli) == {"bank": "0.00"}


def test_an_account_below_zero_is_watched(cli: Cli) -> None:
    """A payout of 99,999.00 from an account that holds nothing is seen; an overdraft is none; what comes late heals it."""
    cli.post(*BASE, account("loan", overdraft=True), transfer("t", "2026-01-09", "loan", "bank", "50.00"))
    assert "WARN" not in cli.ok("verify")
    cli.post(transfer("po", "2026-01-12", "stripe", "bank", "100.00"))
    told = cli.run("verify")
    assert "WARN no account of money is below zero on any day" in told.stdout
    assert "stripe of us: -100.00 USD on 2026-01-12" in told.stderr
    below = {row["account"]: row["below_zero"] for row in cli.report("money-accounts")}
    assert below == {"bank": None, "loan": None, "stripe": "2026-01-12"}
    assert (
        "WARN us: no account of money is below zero: stripe of us: -100.00 USD on 2026-01-12"
        in cli.run("close", "2026-01", "--check").output
    )
    cli.ok("close", "2026-01", "--anyway", "--reason", "test")
    cli.post(paid("p", "100.00", "2026-01-12", "stripe"))  # counts in February, of its own day all the same
    assert "WARN" not in cli.ok("verify")


CONVERSION = [
    rate("2026-01-01", "1.10"), rate("2026-01-20", "1.20"), account("euro", "EUR", code="1030"),
    {"type": "customer", "id": "initech", "name": "Initech"},
    paid("p1", "100.00", "2026-01-10", "euro") | EUR,
    paid("p2", "50.00", "2026-01-21", "euro") | EUR | {"customer": "initech"},
    transfer("po", "2026-01-25", "euro", "bank", "150.00", received="171.00", fee="1.00", fee_account="bank"),
]  # fmt: skip


def test_from_a_day_on_an_account_holds_what_it_held_before(cli: Cli) -> None:
    """100.00 of December, a fee of 10.00 in January: 90.00 are held, and it was never below zero."""
    cli.post(
        *parties(),
        account("bank", kind="bank"),
        paid("P", "100.00", "2025-12-20", "bank"),
        fee("F", "2026-01-05", "bank", "10.00"),
    )
    (row,) = cli.report("money-accounts", "--from", "2026-01-01", "--as-of", "2026-01-31")
    assert (row["opening"], row["came"], row["went"], row["held"]) == ("100.00", "0.00", "10.00", "90.00")
    assert row["below_zero"] is None
    (row,) = cli.report("money-accounts", "--as-of", "2025-12-31")
    assert (row["opening"], row["came"], row["went"], row["held"]) == ("0.00", "100.00", "0.00", "100.00")


def test_conversion_realises_what_rates_leave_over(cli: Cli) -> None:
    """100.00 EUR at 1.10 and 50.00 at 1.20 are 170.00 USD, of two customers; 171.00 arrive: a gain of 1.00, and nothing is left."""
    cli.post(*BASE, *CONVERSION)
    assert held(cli) == {"bank": "170.00", "euro": "0.00"}
    totals = {row["role"]: row for row in cli.report("trial-balance") if row["debit"] != row["credit"]}
    assert totals["fx_gain"]["credit"] == "1.00"
    assert "fx_loss" not in totals
    balance = {row["code"]: row["debit"] for row in cli.report("trial-balance")}
    assert (balance["1020"], balance.get("1030", "0.00")) == ("170.00", "0.00")
    assert "all" in cli.ok("verify")
    cli.post(came_back("back", "po", "2026-01-26", fee_returned=True))
    assert held(cli) == {"bank": "0.00", "euro": "150.00"}
    assert "all" in cli.ok("verify")


def test_conversion_in_any_order_is_the_same(cli: Cli) -> None:
    """Nothing is handed over in the middle: the pool's average is told by dates. 40.00 go back at 1.20, of 150.00 at 170.00."""
    later = [
        *CONVERSION[-3:],
        {"type": "refund", "id": "r", "payment": "p1", "date": "2026-01-22", "amount": "40.00"},
    ]
    found = []
    for number, order in enumerate(permutations(later)):
        if [doc["id"] for doc in order].index("r") < [doc["id"] for doc in order].index("p1"):
            continue
        place = f"x{number}-"
        entity = {"type": "entity", "id": f"{place}us", "name": "A", "currency": "USD"}
        own = [
            account(f"{place}{ref}", currency, entity=f"{place}us")
            for ref, currency in (("euro", "EUR"), ("bank", "USD"))
        ]
        named = [
            {
                key: f"{place}{value}"
                if key
                in ("id", "entity", "customer", "payment", "account", "from_account", "to_account", "fee_account")
                else value
                for key, value in doc.items()
            }
            for doc in order
        ]
        people = [{"type": "customer", "id": f"{place}{who}", "name": who} for who in ("globex", "initech")]
        rates = [] if number else CONVERSION[:2]
        cli.post(*rates, entity, *own, *people, *named)
        balance = cli.report("trial-balance", "--entity", f"{place}us")
        found.append(
            sorted((row["role"], row["account"].replace(place.title(), ""), row["debit"], row["credit"]) for row in balance
                   if row["debit"] != row["credit"])
        )  # fmt: skip
    assert len(found) == 12
    for one in found:
        assert one == found[0]
    assert "all" in cli.ok("verify")


def test_exports_tie_account_by_account(cli: Cli, tmp_path: Path) -> None:
    """100.00 into Stripe for an invoice, 60.00 paid out, and what was converted: each target ties to the trial balance."""
    cli.post(
        *BASE, *CONVERSION, paid("p", "100.00", "2026-01-10", "stripe", ("I", "100.00")),
        transfer("po2", "2026-01-12", "stripe", "bank", "60.00", kind="payout"),
    )  # fmt: skip
    for target in ("beancount", "netsuite", "xero", "workbook", "audit-gl", "revenue-data"):
        assert "ties to the trial balance" in cli.ok("export", target, "--output", str(tmp_path / target)), target
    narrow = '[[account]]\nrole = "cash"\nproduct = "account:stripe"\naccount = "1010"\n'
    chosen = mapping(tmp_path, "quickbooks", ALL, f"{narrow}{FIELDS}")
    file = tmp_path / "objects.json"
    assert "ties to the trial balance" in cli.ok("export", "quickbooks", "--mapping", chosen, "--output", str(file))
    (received,) = [made["Payment"] for made in json.loads(file.read_text()) if "Payment" in made]
    assert received["DepositToAccountRef"]["value"] == "1010"


def test_a_manual_entry_names_an_account(cli: Cli) -> None:
    def entry(ref: str, subject: str, role: str = "opening_balances") -> Document:
        return {
            "type": "manual_entry", "id": ref, "entity": "us", "date": "2026-01-01", "currency": "USD", "reason": "taken over",
            "approved_by": "ann", "lines": [{"debit": "cash", "credit": role, "amount": "70.00", "debit_subject": subject}],
        }  # fmt: skip

    cli.post(*BASE, account("euro", "EUR"), entry("m", "account:bank"))
    assert held(cli)["bank"] == "70.00"
    assert "is in EUR, expected one in USD" in cli.refuse(entry("n", "account:euro"))
    assert "cleared by documents" in cli.refuse(entry("n", "account:bank", "customer_clearing"))


def test_disputes_take_the_payments_account(cli: Cli) -> None:
    cli.post(
        *BASE, paid("p", "100.00", "2026-01-10", "stripe", ("I", "100.00")),
        {"type": "dispute", "id": "d", "payment": "p", "date": "2026-01-11", "amount": "40.00", "status": "opened", "fee": "15.00"},
        {"type": "dispute", "id": "d/won", "payment": "p", "date": "2026-01-20", "amount": "40.00", "status": "won", "account": "bank"},
    )  # fmt: skip
    assert held(cli) == {"bank": "40.00", "stripe": "45.00"}
