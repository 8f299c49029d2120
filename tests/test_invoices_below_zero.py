"""Invoices whose total is below zero: what they credit beyond what they charge is the customer's money."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import (
    PARTY,
    application,
    contract,
    credit_note,
    invoice,
    obligation,
    one_time,
    parties,
    payment,
    service,
)
from tests.serving import MakeApp
from tests.test_currencies import EUR, rate
from tests.test_export_objects import exported

APRIL = ("2026-04-01", "2026-04-30")
REST = ("2026-04-16", "2026-04-30")
# 100.00 for April, paid; from the 16th on the plan is 40.00 a month: 50.00 are credited and 20.00 charged.
BILLED = invoice("A", "2026-04-01", service("100.00", *APRIL))
PAID = payment("P", "100.00", "2026-04-01", ("A", "100.00"))
DOWNGRADE = invoice("B", "2026-04-16", service("-50.00", *REST), service("20.00", *REST, line="2"))


def _void(ref: str, day: str, **more: Any) -> dict[str, Any]:
    return {"type": "invoice_void", "id": f"v/{ref}", "invoice": ref, "date": day, "reason": "wrong", **more}


def _refund(amount: str, day: str, **more: Any) -> dict[str, Any]:
    return {"type": "refund", "id": "R", "payment": "P", "date": day, "amount": amount, **more}


def _seen(cli: Cli, ref: str) -> dict[str, Any]:
    return json.loads(cli.ok("invoice", ref, "--format", "json"))


def _totals(cli: Cli, through: str = "2026-12") -> dict[str, Decimal]:
    cli.ok("recognize", "--through", through)
    assert "all" in cli.ok("verify")
    return {role: amount for role, amount in cli.totals().items() if not role.startswith("memo_")}


def test_what_a_total_is_below_zero_is_the_customers_money(cli: Cli) -> None:
    cli.post(*parties(), BILLED, PAID, DOWNGRADE)
    # 15 of 30 days of 100.00 are given, and 20.00 for the other 15
    assert _totals(cli) == {"cash": Decimal(100), "customer_balance": Decimal(30), "revenue": Decimal(70)}
    assert cli.report("ar-aging") == []
    seen = _seen(cli, "B")
    assert {key: seen[key] for key in ("total", "to_balance", "credited", "due", "status")} == {
        "total": "-30.00", "to_balance": "30.00", "credited": "0.00", "due": "0.00", "status": "credit",
    }  # fmt: skip
    assert "To the customer's balance" in cli.ok("invoice", "B")
    assert "30.00 USD" in cli.ok("trace", "invoice:B")
    statement = [(row["document"], row["charged"], row["settled"], row["balance"]) for row in cli.report("statement")]
    assert statement[-1] == ("invoice B", "0.00", "30.00", "-30.00")


def test_the_money_pays_another_invoice_or_goes_back(cli: Cli) -> None:
    may = invoice("C", "2026-05-01", service("25.00", "2026-05-01", "2026-05-31"))
    cli.post(*parties(), BILLED, PAID, DOWNGRADE, may, application("a", "25.00", "2026-05-02", "C"))
    # it settles May's bill by 25.00 now
    message = cli.refuse(_refund("26.00", "2026-05-03", invoice="C"))
    assert "expected at most 25.00, what is left of what payment P settled" in message
    # no more than 5.00 is left of it: what goes back beyond that is of what the payment settled
    cli.post(_refund("5.00", "2026-05-03"))
    assert _totals(cli) == {"cash": Decimal(95), "revenue": Decimal(95)}


def test_a_refund_that_names_the_invoice_takes_what_the_lines_of_it_left(cli: Cli) -> None:
    cli.post(*parties(), BILLED, PAID, DOWNGRADE, _refund("40.00", "2026-05-03", invoice="A"))
    # 30.00 of it are what the downgrade left; the other 10.00 are given back of April, which was given
    assert _totals(cli) == {"cash": Decimal(60), "revenue": Decimal(70), "refunds": Decimal(10)}


@pytest.mark.parametrize("of", [{}, {"invoice": "A"}])
@pytest.mark.parametrize(
    ("amount", "day", "expected"),
    [
        # the balance is 30.00: what is more is given back of April, which was given
        ("12.00", "2026-05-02", {"cash": "88.00", "customer_balance": "18.00", "revenue": "70.00"}),
        ("45.00", "2026-05-02", {"cash": "55.00", "revenue": "70.00", "refunds": "15.00"}),
        ("30.00", "2026-04-20", {"cash": "70.00", "revenue": "70.00"}),
    ],
)
def test_a_refund_is_of_what_was_left_whichever_arrived_first(
    cli: Cli, amount: str, day: str, of: dict[str, str], expected: dict[str, str]
) -> None:
    cli.post(*parties(), BILLED, PAID, _refund(amount, day, **of))
    cli.ok("recognize", "--through", "2026-05")
    cli.post(DOWNGRADE)
    assert _totals(cli) == {role: Decimal(total) for role, total in expected.items()}


def test_a_void_takes_the_money_back_while_it_is_there(cli: Cli) -> None:
    cli.post(*parties(), BILLED, PAID, DOWNGRADE)
    before = cli.summary()
    cli.post(_void("B", "2026-04-20"))
    assert _totals(cli) == {"cash": Decimal(100), "revenue": Decimal(100)}
    assert {key: _seen(cli, "B")[key] for key in ("status", "due", "to_balance")} == {
        "status": "void", "due": "0.00", "to_balance": "0.00",
    }  # fmt: skip
    assert before["2026-04"]["customer_balance"] == "30.00"
    assert "is voided already" in cli.refuse(_void("B", "2026-04-21", id="v2"))


def test_a_void_says_what_took_the_money(cli: Cli) -> None:
    cli.post(*parties(), BILLED, PAID, DOWNGRADE, _refund("12.50", "2026-04-18"))
    message = cli.refuse(_void("B", "2026-04-20"))
    assert "expected the 30.00 USD that it made globex's money to be unapplied on 2026-04-20" in message
    assert "17.50 is: refund R took 12.50 on 2026-04-18" in message
    # a later day's use stands in the way of an earlier day's void, too
    assert "refund R took 12.50" in cli.refuse(_void("B", "2026-04-17"))


@pytest.mark.parametrize(
    ("used", "said"),
    [
        ({"type": "refund", "id": "R", **PARTY, "rail": "wire", "date": "2026-02-06", "amount": "10.00"}, "refund R"),
        (application("R", "10.00", "2026-02-06", "I"), "application R"),
    ],
)
@pytest.mark.parametrize("corrects", [False, True])
def test_a_void_takes_no_other_money(cli: Cli, used: dict[str, Any], said: str, corrects: bool) -> None:
    """Of the 30.00 that N made theirs 10.00 were used; the 50.00 of U on the same balance are U's, and can come back whole.

    It is so where the 30.00 are of what a payment had settled of an invoice that N corrects, too.
    """
    cli.post(*parties(), invoice("I", "2026-02-03", one_time("10.00")))
    if corrects:
        whole = service("100.00", "2026-02-01", "2026-02-28")
        cli.post(invoice("A", "2026-02-01", whole), payment("P", "100.00", "2026-02-01", ("A", "100.00")))
        cli.post(invoice("N", "2026-02-04", service("-30.00", "2026-02-04", "2026-02-28")))
    else:
        cli.post(invoice("N", "2026-02-04", one_time("-30.00")))
    # N's money lies there first: the 10.00 are of it
    cli.post(payment("U", "50.00", "2026-02-05"), used)
    message = cli.refuse(_void("N", "2026-02-10"))
    assert "expected the 30.00 USD that it made globex's money to be unapplied on 2026-02-10" in message
    assert f"20.00 is: {said} took 10.00 on 2026-02-06" in message
    cli.post({"type": "payment_reversal", "id": "X", "payment": "U", "date": "2026-02-15", "reason": "bounced"})
    cash = {True: 100, False: 0}[corrects] - (10 if used["type"] == "refund" else 0)
    held = _totals(cli)
    assert held.get("cash", 0) == Decimal(cash)
    assert held["customer_balance"] == Decimal(20)


@pytest.mark.parametrize("corrects", [False, True])
def test_a_void_leaves_other_money_where_it_lies(cli: Cli, corrects: bool) -> None:
    """U's 50.00 came first and lie on the same balance; after the void of N they are all there, and come back."""
    cli.post(*parties())
    if corrects:
        whole = service("100.00", "2026-02-01", "2026-02-28")
        cli.post(invoice("A", "2026-02-01", whole), payment("P", "100.00", "2026-02-01", ("A", "100.00")))
        cli.post(
            payment("U", "50.00", "2026-02-02"),
            invoice("N", "2026-02-04", service("-30.00", "2026-02-04", "2026-02-28")),
        )
    else:
        cli.post(payment("U", "50.00", "2026-02-02"), invoice("N", "2026-02-04", one_time("-30.00")))
    cli.post(_void("N", "2026-02-10"))
    cli.post({"type": "payment_reversal", "id": "X", "payment": "U", "date": "2026-02-15", "reason": "bounced"})
    left = {"cash": Decimal(100), "revenue": Decimal(100)} if corrects else {}
    assert _totals(cli) == left


def test_one_that_is_replaced_is_voided_so(cli: Cli) -> None:
    again = invoice("C", "2026-04-20", service("-40.00", *REST), service("20.00", *REST, line="2"), supersedes="B")
    cli.post(*parties(), BILLED, PAID, DOWNGRADE, again)
    assert _totals(cli) == {"cash": Decimal(100), "customer_balance": Decimal(20), "revenue": Decimal(80)}


def test_what_it_corrects_cannot_be_voided_and_it_cannot_be_written_off(cli: Cli) -> None:
    cli.post(*parties(), BILLED, DOWNGRADE)
    assert "expected an invoice whose lines no other invoice prorates, B does" in cli.refuse(_void("A", "2026-05-01"))
    off = {"type": "write_off", "id": "w", "invoice": "B", "date": "2026-05-01", "reason": "?", "approved_by": "c"}
    assert "expected something due of it" in cli.refuse(off)
    assert "this one credits" in cli.refuse(credit_note("n", "2026-05-01", "5.00", invoice="B"))


def test_what_it_charges_can_be_credited_and_then_all_of_it_voided(cli: Cli) -> None:
    cli.post(*parties(), BILLED, PAID, DOWNGRADE, credit_note("n", "2026-05-01", "20.00", invoice="B", line="2"))
    assert _totals(cli, "2026-05") == {"cash": Decimal(100), "customer_balance": Decimal(50), "revenue": Decimal(50)}
    cli.post(_void("B", "2026-05-02"))
    assert _totals(cli) == {"cash": Decimal(100), "revenue": Decimal(100)}
    # all of P's 100.00 lie on A, which is due again without them, and nothing else does
    cli.post({"type": "payment_reversal", "id": "X", "payment": "P", "date": "2026-05-03", "reason": "bounced"})
    assert _totals(cli) == {"accounts_receivable": Decimal(100), "revenue": Decimal(100)}


@pytest.mark.parametrize("lines", [("-50.00", "20.00"), ("-50.00", "50.00"), ("-50.00",)])
def test_lines_of_a_moment_below_zero(cli: Cli, lines: tuple[str, ...]) -> None:
    total = sum(map(Decimal, lines))
    cli.post(*parties(), invoice("A", "2026-04-01", *(one_time(amount, str(n)) for n, amount in enumerate(lines))))
    expected = {"customer_balance": -total, "revenue": total} if total else {}
    assert _totals(cli) == expected
    cli.post(_void("A", "2026-04-02"))
    assert _totals(cli) == {}


def test_taxes_of_lines_below_zero_go_to_the_customer_with_them(cli: Cli) -> None:
    vat = {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.19"}

    def taxed(document: dict[str, Any]) -> dict[str, Any]:
        return document | {"lines": [line | {"tax_codes": ["VAT"]} for line in document["lines"]]}

    cli.post(*parties(), vat, taxed(BILLED), payment("P", "119.00", "2026-04-01", ("A", "119.00")), taxed(DOWNGRADE))
    # 30.00 and its 19 %
    assert _totals(cli) == {
        "cash": Decimal(119), "customer_balance": Decimal("35.70"), "revenue": Decimal(70), "tax_payable": Decimal("13.30"),
    }  # fmt: skip
    [row] = cli.report("tax")
    assert (row["base"], row["tax"]) == ("70.00", "13.30")
    cli.post(_void("B", "2026-04-20"))
    assert _totals(cli)["tax_payable"] == Decimal(19)


def test_in_another_currency_it_counts_at_the_invoices_own_rate(cli: Cli) -> None:
    cli.post(
        *parties(), rate("2026-04-01", "1.10"), rate("2026-04-16", "1.20"), rate("2026-05-01", "1.50"),
        *(document | EUR for document in (BILLED, PAID, DOWNGRADE)),
    )  # fmt: skip
    # 30.00 EUR at 1.20, the rate of its day
    assert _totals(cli, "2026-04")["customer_balance"] == Decimal(36)
    cli.post(_refund("30.00", "2026-05-02"))
    # the cash came in at 1.10 and goes out so; what the money was worth more is a gain
    totals = _totals(cli)
    assert "customer_balance" not in totals
    assert totals["cash"] == Decimal(77)


def test_a_late_one_counts_in_the_first_open_month(cli: Cli) -> None:
    cli.post(*parties(), BILLED, PAID)
    cli.ok("recognize", "--through", "2026-04")
    cli.ok("close", "2026-04")
    cli.post(DOWNGRADE, _refund("30.00", "2026-04-20"))
    assert _totals(cli) == {"cash": Decimal(70), "revenue": Decimal(70)}
    assert cli.summary()["2026-05"] == {"cash": "-30.00", "revenue": "-30.00"}


@pytest.mark.parametrize("own", ["1", "2"])
def test_over_several_entities_each_part_may_be_below_zero(cli: Cli, own: str) -> None:
    """What is below zero of a part lowers its claim on the one that collects, which owes the customer."""

    def of(document: dict[str, Any]) -> dict[str, Any]:
        lines = [line if line["id"] == own else line | {"entity": "eu"} for line in document["lines"]]
        return document | {"lines": lines}

    cli.post(*parties(), {"type": "entity", "id": "eu", "name": "Acme EU", "currency": "USD"}, of(BILLED), PAID)
    cli.post(of(DOWNGRADE))
    claimed = {"1": Decimal(20), "2": Decimal(50)}[own]
    expected = {
        "cash": Decimal(100), "customer_balance": Decimal(30), "revenue": Decimal(70), "due_from_entities": claimed, "due_to_entities": claimed,
    }  # fmt: skip
    assert _totals(cli) == expected
    cli.post(_void("B", "2026-05-02"))
    claimed = {"1": Decimal(0), "2": Decimal(100)}[own]
    between = {"due_from_entities": claimed, "due_to_entities": claimed} if claimed else {}
    assert _totals(cli) == {"cash": Decimal(100), "revenue": Decimal(100), **between}


def test_a_contract_cut_is_paid_back_whatever_came_first(cli: Cli) -> None:
    """90.00 billed and paid, cut to 70.00: an invoice of -30.00 and 10.00, for different customers in each order."""
    cli.post(*parties())
    expected = None
    for number, order in enumerate(permutations(range(3))):
        customer = f"c{number}"
        mine = {"customer": customer}
        april = obligation(f"{customer}/april", "90.00", *APRIL)
        agreed = contract(f"{customer}/C", "2026-04-01", april, **mine)
        bill = {"id": "1", "kind": "service", "obligation": april["id"], "amount": "90.00"}
        cli.post(
            {"type": "customer", "id": customer, "name": customer}, agreed, invoice(f"{customer}/A", "2026-04-01", bill, **mine)
        )  # fmt: skip
        documents = [
            payment(f"{customer}/P", "90.00", "2026-04-02", (f"{customer}/A", "90.00"), **mine),
            {"type": "contract_modification", "id": f"{customer}/M", "contract": f"{customer}/C", "date": "2026-04-21",
             "treatment": "prospective", "obligations": [april | {"price": "70.00"}]},
            invoice(f"{customer}/B", "2026-05-01", bill | {"amount": "-30.00"}, bill | {"id": "2", "amount": "10.00"}, **mine),
        ]  # fmt: skip
        for place in order:
            cli.post(documents[place])
        cli.ok("recognize", "--through", "2026-05")
        found = [(row["month"], row["account"], row["amount"]) for row in cli.report("summary", "--customer", customer)]
        expected = expected or found
        assert found == expected
    assert expected is not None
    assert ("2026-05", "customer_balance", "20.00") in expected
    assert ("2026-04", "revenue", "70.00") in expected
    assert "all" in cli.ok("verify")


def test_a_bill_below_zero_that_counts_when_it_is_due_is_voided_as_if_it_had_never_been(cli: Cli) -> None:
    """The void is of a day before the receivable counts: so is what it undoes."""
    agreed = contract(
        "C", "2026-04-01", obligation("C/1", "100.00", "2026-04-01", "2026-06-30"), receivable="unconditional"
    )

    def line(amount: str, ref: str = "1") -> dict[str, Any]:
        return {"id": ref, "kind": "service", "obligation": "C/1", "amount": amount}

    cli.post(
        *parties(), agreed, invoice("A", "2026-04-01", line("100.00"), due_on="2026-04-20"),
        payment("P", "100.00", "2026-04-20", ("A", "100.00")),
    )  # fmt: skip
    cli.post(
        invoice("B", "2026-05-01", line("-60.00"), line("20.00", "2"), due_on="2026-05-15"), _void("B", "2026-05-02")
    )
    assert _totals(cli) == {"cash": Decimal(100), "revenue": Decimal(100)}


def test_it_is_printed_as_a_credit(cli: Cli, tmp_path: Path) -> None:
    cli.post(*parties(), BILLED, PAID, DOWNGRADE)
    sheet = tmp_path / "b.html"
    cli.ok("print", "invoice", "B", "--output", str(sheet))
    said = sheet.read_text()
    assert "<h1>Credit</h1>" in said
    assert "30.00 USD" in said
    assert "Put to your balance" in said
    assert "Due on" not in said
    assert "Payment</h2>" not in said


def test_it_goes_to_other_systems_as_a_bill_of_nothing_with_what_is_the_customers(cli: Cli, tmp_path: Path) -> None:
    """None takes an invoice below zero: what becomes the customer's money is a line of it, so that nothing is left open."""
    cli.post(*parties(), BILLED, PAID, DOWNGRADE, _void("B", "2026-04-20"))
    quickbooks = [
        (kind, form["DocNumber"], sorted(line["Amount"] for line in form["Line"]))
        for kind, form in exported(cli, tmp_path, "quickbooks") if form.get("DocNumber", "").startswith("B")
    ]  # fmt: skip
    amounts = [Decimal(-50), Decimal(20), Decimal(30)]
    assert quickbooks == [("Invoice", "B", amounts), ("CreditMemo", "B-void", amounts)]
    zoho = [
        (kind, sorted(line["rate"] for line in form["line_items"]))
        for kind, form in exported(cli, tmp_path, "zoho") if "B" in (form.get("invoice_number"), form.get("creditnote_number"))
    ]  # fmt: skip
    assert zoho == [("invoice", amounts)]


def test_over_http_and_on_its_page(cli: Cli, make_books_app: MakeApp) -> None:
    cli.post(*parties(), BILLED, PAID)
    client = make_books_app(open_as="tester").test_client()
    draft = client.post("/v1/drafts", json=DOWNGRADE).json["invoice"]
    assert (draft["status"], draft["total"], draft["to_balance"], draft["due"]) == ("draft", "-30.00", "30.00", "0.00")
    assert client.post("/v1/documents", json=DOWNGRADE).status_code == 200
    assert client.get("/v1/invoices/B").json["status"] == "credit"
    assert "To the customer" in client.get("/invoices/B").text
    assert client.get("/documents/invoice/B").status_code == 200
