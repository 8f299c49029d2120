"""Money documents that come late: whatever came first, the books are those of the order of their days."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import application, contract, credit_note, invoice, obligation, one_time, parties, payment, service
from tests.test_carrying_by_date import rate
from tests.test_uses import dispute, refund

Document = dict[str, Any]
# 120.00 for January to April, paid
BASE = [
    *parties(),
    invoice("I", "2026-01-01", service("120.00", "2026-01-01", "2026-04-30")),
    payment("P", "120.00", "2026-01-02", ("I", "120.00")),
]
MUM = {"type": "customer", "id": "mum", "name": "Mum"}
# who paid makes no difference: the customer who owes, or its parent
PAID_BY = {
    "own": BASE,
    "parent": [MUM, *(
        {**doc, **({"globex": {"parent": "mum"}, "P": {"customer": "mum"}}.get(str(doc["id"]), {}))} for doc in BASE
    )],
}  # fmt: skip
FAILED = {"type": "refund_reversal", "id": "F", "refund": "R", "date": "2026-02-10", "reason": "account closed"}
TAKEN_OFF = {"type": "unapplication", "id": "U", "payment": "P", "invoice": "I", "date": "2026-03-01"}


def _months(cli: Cli, *documents: Document) -> dict[str, dict[str, str]]:
    for document in documents:
        cli.post(document)
    cli.ok("recognize", "--through", "2026-05")
    cli.ok("verify")
    return {
        month: {role: amount for role, amount in of.items() if not role.startswith("memo_") and amount != "0.00"}
        for month, of in cli.summary().items()
    }


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1)])
def test_a_refund_that_failed_before_another_one(cli: Cli, order: tuple[int, ...]) -> None:
    """40.00 credited and refunded, which failed: the 40.00 are the customer's again. 50.00 are refunded on 1 March: 40.00 are those.

    10.00 are of the bill, of 80.00 left of it: 39.33 were given by February, so 4.92 are shown beside revenue.
    """
    money = [refund("40.00", "2026-02-01"), FAILED, refund("50.00", "2026-03-01", ref="S")]
    cli.post(*BASE, credit_note("N", "2026-01-20", "40.00"))
    months = _months(cli, *(money[place] for place in order))
    assert months["2026-03"] == {
        "cash": "-50.00", "customer_balance": "-40.00", "deferred_revenue": "-23.17", "refunds": "4.92", "revenue": "18.09",
    }  # fmt: skip
    # and that one fails, too
    cli.post({**FAILED, "id": "G", "refund": "S", "date": "2026-03-10"})
    cli.ok("recognize", "--through", "2026-05")
    cli.ok("verify")
    totals = {role: f"{amount:.2f}" for role, amount in cli.totals().items()}
    assert totals == {"cash": "120.00", "customer_balance": "40.00", "revenue": "80.00"}


GONE = {
    "refund": [refund("40.00", "2026-02-01")],
    "dispute": [dispute("opened", "40.00", "2026-01-25"), dispute("lost", "40.00", "2026-02-01")],
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("payer", PAID_BY)
@pytest.mark.parametrize("kind", GONE)
def test_what_went_back_before_it_was_taken_off(cli: Cli, kind: str, payer: str, late: bool) -> None:
    """40.00 of 120.00 go back on 1 February, of which 31 of 120 days were given: 10.33. On 1 March the 80.00 left are taken off."""
    cli.post(*PAID_BY[payer])
    documents = [*GONE[kind], TAKEN_OFF]
    months = _months(cli, *([documents[-1], *documents[:-1]] if late else documents))
    assert months["2026-03"] == {
        "accounts_receivable": "80.00", "customer_balance": "80.00", "deferred_revenue": "-20.66", "revenue": "20.66",
    }  # fmt: skip
    totals = {role: f"{amount:.2f}" for role, amount in cli.totals().items()}
    assert totals == {
        "accounts_receivable": "80.00", "cash": "80.00", "customer_balance": "80.00", f"{kind}s": "10.33", "revenue": "90.33",
    }  # fmt: skip


def test_what_was_taken_off_by_its_amount_stays_off(cli: Cli) -> None:
    """All 120.00 were taken off by their amount: a refund of a day before would leave less than that, and is refused."""
    cli.post(*BASE, {**TAKEN_OFF, "amount": "120.00"})
    assert "expected at most 0.00" in cli.refuse(refund("40.00", "2026-02-01"))
    cli.post(refund("40.00", "2026-03-05"))
    cli.ok("verify")


@pytest.mark.parametrize("order", list(permutations(range(2))))
@pytest.mark.parametrize("price", ["900.00", "1500.00", "500.00"])
@pytest.mark.parametrize("kind", ["dispute", "write_off"])
def test_what_was_given_before_a_catch_up_of_the_day(cli: Cli, kind: str, price: str, order: tuple[int, ...]) -> None:
    """1,200.00 for the year, of which 600.00 are billed; caught up on 1 April to another price. On that day 300.00 are lost.

    By 31 March 90 of 365 days of 1,200.00 were earned, 295.89: the difference to the new price counts on the 1st. So of the bill
    295.89 were given, of the 300.00 half of that, 147.95 (a cent less as rounded by then). Written off, 300.00 are of what is to come.
    """
    year = {"start": "2026-01-01", "end": "2026-12-31"}
    changed = {"id": "s", "product": "seats", "price": price, **year}
    caught_up = {
        "type": "contract_modification", "id": "M", "contract": "C", "date": "2026-04-01", "treatment": "catch_up", "obligations": [changed],
    }  # fmt: skip
    bill = {"id": "1", "kind": "service", "obligation": "s", "amount": "600.00"}
    cli.post(
        *parties(), contract("C", "2026-01-01", obligation("s", "1200.00", **year)), invoice("I", "2026-01-05", bill),
    )  # fmt: skip
    gone: Document = {
        "type": "write_off", "id": "W", "invoice": "I", "date": "2026-04-01", "amount": "300.00", "reason": "gone", "approved_by": "ann",
    }  # fmt: skip
    if kind == "dispute":
        cli.post(payment("P", "600.00", "2026-01-10", ("I", "600.00")), dispute("opened", "300.00", "2026-02-01"))
        gone = dispute("lost", "300.00", "2026-04-01")
    cli.post(*([caught_up, gone][place] for place in order))
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")
    totals = {role: f"{amount:.2f}" for role, amount in cli.totals().items()}
    if kind == "dispute":
        assert (totals["disputes"], totals["revenue"]) == ("147.94", price)
    else:
        assert "bad_debt" not in totals


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("payer", PAID_BY)
def test_what_failed_before_it_was_taken_off(cli: Cli, payer: str, late: bool) -> None:
    """40.00 went back on 1 February, failed on the 10th, and lay on the bill again: all 120.00 are taken off on 1 March."""
    documents = [refund("40.00", "2026-02-01", invoice="I"), FAILED, TAKEN_OFF]
    cli.post(*PAID_BY[payer])
    months = _months(cli, *([documents[-1], *documents[:-1]] if late else documents))
    assert months["2026-03"] == {
        "accounts_receivable": "120.00", "customer_balance": "120.00", "deferred_revenue": "-31.00", "revenue": "31.00",
    }  # fmt: skip


EUR = {"currency": "EUR"}
WENT = {
    "refund": [refund("40.00", "2026-02-10")],
    "failed": [refund("40.00", "2026-02-10"), {**FAILED, "date": "2026-02-20"}],
    "dispute": [dispute("opened", "40.00", "2026-01-25"), dispute("lost", "40.00", "2026-02-10")],
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("payer", ["globex", "mum"])
@pytest.mark.parametrize("kind", WENT)
def test_euros_that_went_back_before_they_were_taken_off(cli: Cli, kind: str, payer: str, late: bool) -> None:
    """100.00 EUR at 1.30. 40.00 go back in February, at 1.40, the rest is taken off in March, at 1.50: all counts at 1.30."""
    rates = [
        {**rate(f"2026-0{month}-01", value), "id": f"r{month}"}
        for month, value in ((1, "1.30"), (2, "1.40"), (3, "1.50"))
    ]
    paid = {**payment("P", "100.00", "2026-01-20", ("I", "100.00"), **EUR), "customer": payer}
    named = [{**doc, **({"parent": "mum"} if doc["id"] == "globex" else {})} for doc in parties()]
    cli.post(MUM, *named, *rates, invoice("I", "2026-01-10", one_time("100.00"), **EUR), paid)
    went = WENT[kind]
    for document in [TAKEN_OFF, *went] if late else [*went, TAKEN_OFF]:
        cli.post(document)
    cli.ok("recognize", "--through", "2026-03")
    cli.ok("verify")
    # 60.00 EUR are 78.00, and 40.00 are 52.00
    there, gone = ("130.00", {}) if kind == "failed" else ("78.00", {f"{kind}s": "52.00"})
    totals = {role: f"{amount:.2f}" for role, amount in cli.totals().items()}
    assert totals == {
        "cash": there,
        "accounts_receivable": there,
        "customer_balance": there,
        "revenue": "130.00",
        **gone,
    }


MOVED = application("M", "120.00", "2026-03-01", "J", from_invoice="I")


@pytest.mark.parametrize("amount", ["120.00", "40.00"])
@pytest.mark.parametrize("kind", ["refund", "dispute"])
def test_what_went_back_before_it_was_moved(cli: Cli, kind: str, amount: str) -> None:
    """All that was paid was moved from I to J on 1 March. What went back on 1 February, told late, is of J: earned, so it is shown whole."""
    cli.post(*BASE, invoice("J", "2026-01-10", one_time("120.00")), MOVED)
    went = {
        "refund": [refund(amount, "2026-02-01")],
        "dispute": [dispute("opened", amount, "2026-01-25"), dispute("lost", amount, "2026-02-01")],
    }[kind]
    undone = {"refund": FAILED, "dispute": dispute("reinstated", amount, "2026-02-10")}[kind]
    moved = _months(cli, *went)
    assert moved["2026-02"].get(f"{kind}s") == amount
    totals = {role: f"{paid:.2f}" for role, paid in cli.totals().items()}
    left = {"40.00": {"cash": "80.00"}, "120.00": {}}[amount]
    # I is due again, J is not
    assert totals == {"accounts_receivable": "120.00", f"{kind}s": amount, "revenue": "240.00", **left}
    cli.post(undone)
    cli.ok("recognize", "--through", "2026-05")
    cli.ok("verify")
    totals = {role: f"{paid:.2f}" for role, paid in cli.totals().items()}
    assert totals == {"accounts_receivable": "120.00", "cash": "120.00", "revenue": "240.00"}


@pytest.mark.parametrize("amount", ["30.00", "40.00"])
@pytest.mark.parametrize("kind", ["refund", "of the bill", "dispute"])
def test_what_went_back_before_more_of_it_was_applied(cli: Cli, kind: str, amount: str) -> None:
    """P 40.00 pays 10.00 of the bill, and 20.00 more on 1 March. 30.00 or 40.00 went back on 10 February, told last.

    10.00 lie on no bill and go first, unless the refund is of the bill, or money is lost: 30.00 lay there by then, or do since.
    """
    cli.post(
        *parties(), invoice("I", "2026-01-10", one_time("100.00")), payment("P", "40.00", "2026-01-20", ("I", "10.00"))
    )
    cli.post(application("A", "20.00", "2026-03-01", "I", payment="P"))
    if kind == "of the bill":
        if amount == "40.00":
            assert "expected at most 30.00" in cli.refuse(refund(amount, "2026-02-10", invoice="I"))
            return
        cli.post(refund(amount, "2026-02-10", invoice="I"))
    elif kind == "refund":
        cli.post(refund(amount, "2026-02-10"))
    else:
        cli.post(dispute("opened", amount, "2026-02-01"), dispute("lost", amount, "2026-02-10"))
    cli.ok("recognize", "--through", "2026-05")
    cli.ok("verify")
    of_bill = {("refund", "30.00"): "20.00"}.get((kind, amount), "30.00")
    left = {} if amount == "40.00" else {"cash": "10.00"}
    on_balance = {} if amount == "40.00" or kind == "refund" else {"customer_balance": "10.00"}
    totals = {role: f"{paid:.2f}" for role, paid in cli.totals().items()}
    gone = "disputes" if kind == "dispute" else "refunds"
    assert totals == {"accounts_receivable": "70.00", gone: of_bill, "revenue": "100.00", **left, **on_balance}
