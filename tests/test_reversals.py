"""Money taken off invoices again: applications that were wrong, and payments that came back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import application, credit_note, invoice, one_time, payment
from tests.test_uses import GROUP, HEAD, MUMS, THEIRS, dispute, refund, sold


def bounced(day: str = "2026-01-14", of: str = "P", **more: Any) -> dict[str, Any]:
    return {"type": "payment_reversal", "id": f"B {of}", "payment": of, "date": day, "reason": "R01", **more}


def unapplied(day: str, **more: Any) -> dict[str, Any]:
    return {"type": "unapplication", "id": "U", "date": day, **more}


def _months(cli: Cli) -> dict[str, dict[str, str]]:
    return {month: moved for month, moved in cli.summary().items() if moved}


def _totals(cli: Cli) -> dict[str, str]:
    cli.ok("verify")
    return {role: f"{amount:.2f}" for role, amount in cli.totals().items()}


def test_a_payment_that_came_back_is_no_payment(cli: Cli) -> None:
    paid = payment("P", "100.00", "2026-01-10", ("I", "100.00"))
    cli.post(*HEAD, sold(), paid, bounced(fee="4.00"))
    assert _totals(cli) == {
        "accounts_receivable": "100.00", "cash": "-4.00", "deferred_revenue": "100.00", "processing_fees": "4.00",
    }  # fmt: skip
    # it is paid again, and the payment that came back can't be given back
    said = cli.refuse(refund("1.00", "2026-01-20"))
    assert "expected at most 0.00, what is left of payment P" in said
    again = {**bounced("2026-01-20"), "id": "again"}
    assert "0.00 is left; see payment_reversal B P" in cli.refuse(again)
    cli.post(payment("Q", "100.00", "2026-01-20", ("I", "100.00")))
    assert _totals(cli)["cash"] == "96.00"


def test_nothing_of_it_may_have_gone_back(cli: Cli) -> None:
    cli.post(*HEAD, sold(), payment("P", "100.00", "2026-01-10", ("I", "100.00")), refund("30.00", "2026-01-12"))
    assert "expected one whose money is all there: of its 100.00, 70.00 is left; see refund R 30.00" in cli.refuse(
        bounced()
    )
    assert "expected 2026-01-10, when payment P came in, or later" in cli.refuse(bounced("2026-01-09"))


def test_all_that_gave_something_of_it_back_is_named(cli: Cli) -> None:
    """Of 130.00, child's balance paid out 10.00 of what a note had left there, mum was paid 20.00, and 5.00 are disputed."""
    out = {
        "type": "refund", "id": "B", "customer": "child", "entity": "us", "currency": "USD", "date": "2026-01-26", "rail": "wire",
        "amount": "10.00",
    }  # fmt: skip
    note = credit_note("C", "2026-01-25", "40.00", invoice="T")
    cli.post(
        *HEAD, *GROUP, THEIRS, MUMS, note, out, refund("20.00", "2026-01-27"), dispute("opened", "5.00", "2026-01-28")
    )
    told = "130.00, 95.00 is left; see refund B 10.00, refund R 20.00, dispute D opened opened 5.00"
    assert told in cli.refuse(bounced("2026-02-01"))
    # what is of another payment is not named
    mums = {**payment("Q", "50.00", "2026-01-20"), "customer": "mum"}
    cli.post(mums, refund("1.00", "2026-01-29", of="Q", ref="S"))
    assert "50.00, 49.00 is left; see refund S 1.00" in cli.refuse(bounced("2026-02-01", of="Q"))


USES = [
    payment("P", "100.00", "2026-01-10"),
    application("A", "100.00", "2026-01-11", "I"),
    credit_note("C", "2026-01-16", "30.00"),
    application("X", "30.00", "2026-01-17", "J"),
    bounced(),
]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (0, 1, 4, 2), (0, 1, 2, 4)])
def test_what_was_done_with_it_later_is_undone_on_its_day(cli: Cli, order: tuple[int, ...]) -> None:
    # by the end of January I is due less what the note took, and J, 60.00, whole: however it arrived
    documents = [USES[number] for number in order]
    cli.post(*HEAD, sold(), sold("J", "60.00"), *documents)
    assert _totals(cli) == {"accounts_receivable": "130.00", "deferred_revenue": "130.00"}
    due = {row["invoice"]: row["due"] for row in cli.report("ar-aging", "--as-of", "2026-01-31") if "invoice" in row}
    assert due == {"I": "70.00", "J": "60.00"}


def test_an_application_is_taken_back_as_it_came(cli: Cli) -> None:
    cli.post(*HEAD, sold(), payment("P", "100.00", "2026-01-10"), application("A", "80.00", "2026-01-11", "I"))
    cli.post(unapplied("2026-02-05", application="A", amount="50.00"))
    assert _totals(cli) == {
        "accounts_receivable": "70.00", "cash": "100.00", "customer_balance": "70.00", "deferred_revenue": "100.00",
    }  # fmt: skip
    said = cli.refuse({**unapplied("2026-02-06", application="A", amount="31.00"), "id": "V"})
    assert "expected at most 30.00, what of application A lies on invoice I on 2026-02-06" in said
    assert "expected 2026-01-11, when the money was put there, or later" in cli.refuse(
        {**unapplied("2026-01-10", application="A"), "id": "V"}
    )
    cli.post({**unapplied("2026-02-06", application="A"), "id": "V"})
    assert _totals(cli)["accounts_receivable"] == "100.00"


def test_what_a_payment_settled_itself_is_taken_back(cli: Cli) -> None:
    cli.post(*HEAD, sold(), sold("J", "20.00"), payment("P", "100.00", "2026-01-10", ("I", "80.00"), ("J", "20.00")))
    cli.post(unapplied("2026-01-20", payment="P", invoice="I"))
    assert _totals(cli)["customer_balance"] == "80.00"
    said = cli.refuse({**unapplied("2026-01-20", payment="P", invoice="I"), "id": "V"})
    assert "amount = all: expected at most 0.00, what of payment P lies on invoice I" in said
    assert "expected an invoice that payment P was put onto" in cli.refuse(
        {**unapplied("2026-01-20", payment="P", invoice="K"), "id": "V"}
    )


@pytest.mark.parametrize(
    ("money", "of"),
    [
        (payment("P", "110.00", "2026-01-10", applications=[{"invoice": "I", "amount": "100.00", "paid": "110.00"}]), "EUR"),
        (payment("P", "100.00", "2026-01-10", ("I", "100.00"), currency="EUR", fx_rate="1.25"), "EUR"),
        (payment("P", "95.00", "2026-01-10", currency="EUR", fx_rate="1.25", applications=[{"invoice": "I", "amount": "100.00", "paid": "95.00"}]), "USD"),
    ],
    ids=["USD for EUR", "EUR for EUR", "EUR for USD"],
)  # fmt: skip
def test_undone_in_another_currency_leaves_nothing(cli: Cli, money: dict[str, Any], of: str) -> None:
    bill = invoice("I", "2026-01-05", one_time("100.00"), currency=of)
    cli.post(*HEAD, bill)
    before = cli.totals()
    cli.post(money, bounced("2026-02-10"))
    cli.ok("verify")
    assert cli.totals() == before
    cli.post({**money, "id": "Q", "date": "2026-02-11"})
    paid = cli.totals()
    cli.post(unapplied("2026-02-12", payment="Q", invoice="I"))
    cli.ok("verify")
    assert cli.totals()["accounts_receivable"] == before["accounts_receivable"]
    assert paid["cash"] == cli.totals()["cash"]


PAID = payment("P", "100.00", "2026-01-20", ("I", "100.00"))
NOTE = credit_note("N", "2026-02-01", "40.00")


@pytest.mark.parametrize("late", [False, True], ids=["in order", "note late"])
def test_a_note_of_an_earlier_day_settles_what_is_due_again(cli: Cli, late: bool) -> None:
    back = bounced("2026-03-01")
    cli.post(*HEAD, sold(), PAID, *((back, NOTE) if late else (NOTE, back)))
    # 60 of the 100 are due again, and the payment is none
    assert _totals(cli) == {"accounts_receivable": "60.00", "deferred_revenue": "60.00"}


@pytest.mark.parametrize("late", [False, True], ids=["in order", "note late"])
def test_a_note_of_an_earlier_day_settles_what_was_taken_off(cli: Cli, late: bool) -> None:
    off = unapplied("2026-03-01", payment="P", invoice="I")
    cli.post(*HEAD, sold(), PAID, *((off, NOTE) if late else (NOTE, off)))
    # the 40 of the note and the 60 that came off are the customer's; what is left of I is due
    assert _totals(cli) == {
        "accounts_receivable": "60.00", "cash": "100.00", "customer_balance": "100.00", "deferred_revenue": "60.00",
    }  # fmt: skip


def test_a_void_below_zero_leaves_each_payment_its_own(cli: Cli) -> None:
    # X leaves 40 that pay a part of J: it is voided once they are unapplied, whatever else is there, and all of Q can come back
    cli.post(*HEAD, sold("J", "140.00"), {**sold("X"), "lines": [one_time("-40.00")]})
    cli.post(application("A", "40.00", "2026-01-12", "J"), payment("Q", "100.00", "2026-01-20"))
    void = {"type": "invoice_void", "id": "V", "invoice": "X", "date": "2026-02-05", "reason": "wrong"}
    assert "0.00 is: application A took 40.00 on 2026-01-12" in cli.refuse(void)
    cli.post(unapplied("2026-02-04", application="A"), void)
    cli.ok("verify")
    cli.post(bounced("2026-03-01", "Q"))
    assert _totals(cli) == {"accounts_receivable": "140.00", "deferred_revenue": "140.00"}


def test_an_application_is_taken_back_once(cli: Cli) -> None:
    cli.post(*HEAD, sold(), payment("P", "100.00", "2026-01-10"))
    cli.post(application("A", "40.00", "2026-01-11", "I"), application("X", "60.00", "2026-01-12", "I"))
    cli.post(unapplied("2026-02-05", application="A"))
    assert "expected at most 0.00, what of application A lies on invoice I" in cli.refuse(
        {**unapplied("2026-02-06", application="A"), "id": "V"}
    )


@pytest.mark.parametrize("off", ["A", "X"])
def test_an_application_at_its_own_rate_is_taken_back_as_if_it_had_never_been(cli: Cli, off: str) -> None:
    # the same money on the same invoice, at 50.00 EUR for 60.00 and at 22.00 EUR for 25.00
    puts = {
        ref: {**application(ref, amount, "2026-01-11", "I"), "currency": "EUR", "paid": paid, "payment": "P"}
        for ref, amount, paid in (("A", "60.00", "50.00"), ("X", "25.00", "22.00"))
    }
    rest = puts["X" if off == "A" else "A"]
    cli.post(*HEAD, sold(), payment("P", "100.00", "2026-01-10", currency="EUR", fx_rate="1.25"), rest)
    without = _totals(cli)
    cli.post(puts[off], unapplied("2026-01-20", application=off))
    assert _totals(cli) == without
    # and all that is left of P's own money can go out: 78.00 or 50.00 EUR
    cli.post(refund("78.00" if off == "A" else "50.00"))
    cli.ok("verify")


# what was done with P's 100.00 on I, in February, before the bank says that it had come back on the 1st
_OFF = {"type": "unapplication", "id": "U", "date": "2026-02-10", "payment": "P", "invoice": "I"}
_MOVED = application("M", "100.00", "2026-02-20", "J", from_invoice="I")
WAYS: dict[str, list[dict[str, Any]]] = {
    "taken off": [_OFF],
    "a part taken off": [{**_OFF, "amount": "40.00"}],
    "moved": [_MOVED],
    "a part moved": [{**_MOVED, "amount": "40.00"}],
    "moved to two": [{**_MOVED, "amount": "40.00"}, {**_MOVED, "id": "N", "date": "2026-02-21", "amount": "60.00", "invoice": "K"}],
    "moved on": [_MOVED, application("N", "100.00", "2026-02-22", "K", from_invoice="J")],
    "moved and back": [_MOVED, application("N", "100.00", "2026-02-22", "I", from_invoice="J")],
    "moved and back on a day": [_MOVED, application("N", "100.00", "2026-02-20", "I", from_invoice="J")],
    "moved and taken off": [_MOVED, {**_OFF, "date": "2026-02-25", "invoice": "J"}],
    "taken off and put elsewhere": [_OFF, application("N", "100.00", "2026-02-11", "J")],
    "taken off and put elsewhere on a day": [_OFF, application("N", "100.00", "2026-02-10", "J")],
    "taken off and a part put there again": [_OFF, application("N", "30.00", "2026-02-11", "I")],
}  # fmt: skip


_SOME = ("a part taken off", "moved and taken off", "taken off and a part put there again")
_CASES = [
    *((way, "USD", "USD", False) for way in WAYS),
    *((way, "USD", "USD", True) for way in ("taken off", "a part moved", "moved on", *_SOME)),
    *((way, *of) for way in _SOME for of in (("EUR", "USD", False), ("USD", "EUR", False), ("EUR", "EUR", True))),
]


@pytest.mark.parametrize(("way", "money", "currency", "parent"), _CASES)
def test_what_left_an_invoice_later_is_undone_on_its_day(
    cli: Cli, way: str, money: str, currency: str, *, parent: bool
) -> None:
    """P's 100.00 on I came back on 1 February: nothing came, whatever was said to be done with it since; I, J and K are due whole.

    1.20 when billed, 1.22 when paid, 1.25 when it came back, 1.28 and 1.30 later.
    """
    rates = [
        {"type": "fx_rate", "id": f"x{number}", "date": day, "base": "EUR", "quote": "USD", "rate": rate}
        for number, (day, rate) in enumerate([("2026-01-15", "1.22"), ("2026-02-01", "1.25"), ("2026-02-15", "1.28")])
    ]
    holder = {"customer": "hooli"} if parent else {}
    masters = [doc | ({"parent": "hooli"} if parent and doc["type"] == "customer" else {}) for doc in HEAD]
    hooli = {"type": "customer", "id": "hooli", "name": "Hooli"}
    cli.post(hooli, *masters, *rates, *(sold(ref, currency=currency) for ref in "IJK"))
    before = cli.totals()

    def of(amount: str) -> dict[str, Any]:
        return {} if money == currency else {"paid": f"{int(float(amount)) * 11 // 10}.00"}

    applied = {"invoice": "I", "amount": "100.00", **of("100.00")}
    cli.post(payment("P", "110.00", "2026-01-20", currency=money, applications=[applied], **holder))
    for doc in WAYS[way]:
        party = {"currency": money, **holder, **of(doc["amount"])} if doc["type"] == "application" else {}
        cli.post({**doc, **party})
    cli.post(bounced("2026-02-01"))
    cli.ok("verify")
    totals = cli.totals()
    # of a parent's in another currency: what one gained as it passed, the other lost
    assert totals.pop("fx_gain", 0) == totals.pop("fx_loss", 0) * parent
    assert totals == before
    due = {row["invoice"]: row["due"] for row in cli.report("ar-aging", "--as-of", "2026-03-31") if "invoice" in row}
    assert due == dict.fromkeys("IJK", "100.00")


def test_what_another_put_there_is_not_taken_off(cli: Cli) -> None:
    """A puts 50.00 onto I, they come off without a word of A, X puts them there again: nothing of A's lies there, all of X's does."""
    cli.post(
        *HEAD, sold("I", "50.00"), payment("P", "50.00", "2026-01-11"), application("A", "50.00", "2026-01-12", "I")
    )
    cli.post(unapplied("2026-01-13", payment="P", invoice="I"), application("X", "50.00", "2026-01-13", "I"))
    said = cli.refuse({**unapplied("2026-01-13", application="A"), "id": "V"})
    assert "amount = all: expected at most 0.00, what of application A lies on invoice I" in said
    cli.post({**unapplied("2026-01-14", application="X"), "id": "V"})
    assert _totals(cli)["accounts_receivable"] == "50.00"


def test_what_a_note_took_and_its_void_brought_back_is_the_application_s(cli: Cli) -> None:
    """A puts 50.00 onto I, a note of 20.00 takes as much off: 30.00 are left of it; once the note is void, 50.00 again."""
    cli.post(
        *HEAD, sold("I", "50.00"), payment("P", "50.00", "2026-01-11"), application("A", "50.00", "2026-01-12", "I")
    )
    cli.post(credit_note("N", "2026-01-13", "20.00"))
    said = cli.refuse({**unapplied("2026-01-14", application="A", amount="30.01"), "id": "V"})
    assert "expected at most 30.00, what of application A lies on invoice I" in said
    cli.post({"type": "credit_note_void", "id": "NV", "credit_note": "N", "date": "2026-01-15", "reason": "x"})
    cli.post({**unapplied("2026-01-16", application="A"), "id": "V"})
    assert _totals(cli)["accounts_receivable"] == "50.00"


def test_what_was_taken_off_of_two_is_of_either(cli: Cli) -> None:
    """A puts 30.00 onto I, X 20.00, and 40.00 are taken off by the payment: 10.00 of either come off yet, and no more."""
    cli.post(*HEAD, sold("I", "50.00"), payment("P", "50.00", "2026-01-11"))
    cli.post(application("A", "30.00", "2026-01-12", "I"), application("X", "20.00", "2026-01-12", "I"))
    cli.post(unapplied("2026-01-13", payment="P", invoice="I", amount="40.00"))
    for ref in ("A", "X"):
        said = cli.refuse({**unapplied("2026-01-14", application=ref, amount="10.01"), "id": "V"})
        assert f"expected at most 10.00, what of application {ref} lies on invoice I" in said
    # what is put there next is neither's
    cli.post(application("Z", "40.00", "2026-01-14", "I"))
    cli.post({**unapplied("2026-01-15", application="A", amount="10.00"), "id": "V"})
    for ref in ("A", "X"):
        assert "expected at most 0.00" in cli.refuse({**unapplied("2026-01-16", application=ref), "id": "W"})
    cli.post({**unapplied("2026-01-16", application="Z"), "id": "W"})
    assert _totals(cli)["accounts_receivable"] == "50.00"


@pytest.mark.parametrize("named", [False, True])
def test_what_a_refund_took_and_brought_back_is_the_application_s(cli: Cli, named: bool) -> None:
    cli.post(
        *HEAD, sold("I", "50.00"), payment("P", "50.00", "2026-01-11"), application("A", "50.00", "2026-01-12", "I")
    )
    cli.post(refund("30.00", "2026-01-13") | ({"invoice": "I"} if named else {}))
    said = cli.refuse({**unapplied("2026-01-14", application="A", amount="20.01"), "id": "V"})
    assert "expected at most 20.00, what of application A lies on invoice I" in said
    cli.post({"type": "refund_reversal", "id": "RR", "refund": "R", "date": "2026-01-15", "reason": "closed"})
    cli.post({**unapplied("2026-01-16", application="A"), "id": "V"})
    assert _totals(cli) == {
        "accounts_receivable": "50.00", "cash": "50.00", "customer_balance": "50.00", "deferred_revenue": "50.00",
    }  # fmt: skip
