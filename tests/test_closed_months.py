"""What comes late, once its month is closed, counts in the first open one and comes to the same as without closing. Figures by hand."""

from __future__ import annotations

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
    one_time,
    parties,
    payment,
    prepaid,
    usage,
)

Document = dict[str, Any]


def _post(cli: Cli, documents: list[Document], late: list[str], closed: int) -> None:
    """Post documents, the late ones last, after so many months of the year were closed."""
    cli.post(*(document for document in documents if document["id"] not in late))
    cli.ok("recognize", "--through", "2026-08")
    for month in range(1, closed + 1):
        cli.ok("close", f"2026-{month:02}")
    for ref in late:
        cli.post(*(document for document in documents if document["id"] == ref))
        cli.ok("recognize", "--through", "2026-08")
    cli.ok("verify")


def _amounts(**amounts: str) -> dict[str, Decimal]:
    return {role: Decimal(amount) for role, amount in amounts.items()}


_USED = contract(
    "K", "2026-01-01", {"id": "O", "product": "tokens", "start": "2026-01-01", "end": "2026-12-31", "pattern": "usage"}
)
_REBATE = {
    "type": "estimate", "id": "E", "contract": "K", "component": "rebate", "date": "2026-01-31", "amount": "-10.00", "refund": True,
    "reason": "volume", "obligations": ["O"],
}  # fmt: skip
_CREDITED = [
    usage("U", "100.00", "2026-01-10"), invoice("I", "2026-01-31", billed_usage("100.00")),
    credit_note("N", "2026-02-20", "15.00"), credit_note("M", "2026-03-20", "15.00"),
]  # fmt: skip


@pytest.mark.parametrize("closed", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("late", [["U"], ["I"], ["N"], ["M", "U"], ["U", "N"]], ids="-".join)
@pytest.mark.parametrize("rebate", [False, True])
def test_notes_on_usage_lower_what_was_used_before_them(cli: Cli, late: list[str], closed: int, rebate: bool) -> None:
    """100.00 used in January and billed, 30.00 credited in February and March: 70.00, whether 10.00 of it was expected or not."""
    if "I" in late:
        late = [*late, "N", "M"]
    _post(cli, [*parties(), *([_USED, _REBATE] if rebate else []), *_CREDITED], late, closed)
    assert cli.totals() == _amounts(accounts_receivable="70.00", revenue="70.00")


@pytest.mark.parametrize("closed", [0, 2, 4])
@pytest.mark.parametrize("kind", ["note", "refund", "write_off"])
def test_what_was_given_back_of_usage_is_of_a_rebate_that_is_estimated_late(cli: Cli, kind: str, closed: int) -> None:
    """25.00 of 100.00 used are given back in February; 10.00 of them had been expected in January: 15.00 were not."""
    given: dict[str, Document] = {
        "note": credit_note("N", "2026-02-20", "25.00"),
        "refund": {"type": "refund", "id": "F", "payment": "P", "invoice": "I", "date": "2026-02-20", "amount": "25.00"},
        "write_off": {"type": "write_off", "id": "W", "invoice": "I", "date": "2026-02-20", "amount": "25.00", "reason": "gone",
                      "approved_by": "ann"},
    }  # fmt: skip
    documents = [*parties(), _USED, _CREDITED[0], _CREDITED[1], _REBATE, given[kind]]
    if kind == "refund":
        documents.insert(-1, payment("P", "100.00", "2026-02-10", ("I", "100.00")))
    _post(cli, documents, ["E"], closed)
    expected = {
        "note": _amounts(accounts_receivable="75.00", revenue="75.00"),
        "refund": _amounts(cash="75.00", revenue="90.00", refunds="15.00"),
        "write_off": _amounts(accounts_receivable="75.00", revenue="90.00", bad_debt="15.00"),
    }
    assert cli.totals() == expected[kind]


@pytest.mark.parametrize("closed", [0, 2, 4])
@pytest.mark.parametrize("late", ["U", "W"])
def test_a_write_off_of_usage_is_of_what_was_used_before_it(cli: Cli, late: str, closed: int) -> None:
    """100.00 used and billed in January, 40.00 given up in February: a loss of 40.00, and nothing to be billed."""
    written_off = {
        "type": "write_off", "id": "W", "invoice": "I", "date": "2026-02-20", "amount": "40.00", "reason": "gone",
        "approved_by": "ann",
    }  # fmt: skip
    _post(cli, [*parties(), _CREDITED[0], _CREDITED[1], written_off], [late], closed)
    assert cli.totals() == _amounts(accounts_receivable="60.00", revenue="100.00", bad_debt="40.00")


@pytest.mark.parametrize("closed", [0, 2, 3, 5])
@pytest.mark.parametrize("refunded", [False, True])
def test_credits_that_went_with_their_bill_were_not_there_for_later_usage(
    cli: Cli, refunded: bool, closed: int
) -> None:
    """60.00 of 100.00 used; of the 40.00 left 30.00 go in February, so that of 25.00 in March 15.00 are still to be billed."""
    back = (
        {"type": "refund", "id": "N", "payment": "P", "invoice": "I", "date": "2026-02-15", "amount": "30.00"}
        if refunded
        else credit_note("N", "2026-02-15", "30.00")
    )
    documents = [
        *parties(), grant("G", "100.00", expires_on="2026-03-31"), invoice("I", "2026-01-01", prepaid("100.00")),
        payment("P", "100.00", "2026-01-05", ("I", "100.00")), usage("u", "40.00", "2026-01-10"), usage("v", "20.00", "2026-02-10"),
        usage("w", "25.00", "2026-03-05"), back,
    ]  # fmt: skip
    _post(cli, documents, ["N"], closed)
    kept = _amounts(cash="70.00") if refunded else _amounts(cash="100.00", customer_balance="30.00")
    assert cli.totals() == _amounts(revenue="85.00", unbilled_receivable="15.00") | kept


@pytest.mark.parametrize("closed", [0, 2, 3, 5])
@pytest.mark.parametrize("late", [["v"], ["e"], ["v", "e"], ["e", "v"]], ids="-".join)
@pytest.mark.parametrize("voided", [False, True])
def test_what_a_note_or_a_void_takes_of_expired_credits_knows_late_usage(
    cli: Cli, voided: bool, late: list[str], closed: int
) -> None:
    """40.00 and 20.00 of 100.00 used, 40.00 expired: a note of 70.00 takes those first, 30.00 stay earned; of a void 60.00 are unbilled."""
    back = (
        {"type": "invoice_void", "id": "N", "invoice": "I", "date": "2026-05-01", "reason": "wrong"}
        if voided
        else credit_note("N", "2026-05-01", "70.00")
    )
    documents = [
        *parties(), grant("G", "100.00", expires_on="2026-03-31", breakage="proportional", expected_breakage="0.2"),
        invoice("I", "2026-01-01", prepaid("100.00")), usage("u", "40.00", "2026-01-10"), back, usage("v", "20.00", "2026-02-20"),
        {"type": "breakage_estimate", "id": "e", "customer": "globex", "grant": "G", "date": "2026-02-25", "expected_breakage": "0.1",
         "reason": "use"},
    ]  # fmt: skip
    _post(cli, documents, late, closed)
    assert cli.totals() == (
        _amounts(revenue="60.00", unbilled_receivable="60.00")
        if voided
        else _amounts(accounts_receivable="30.00", revenue="30.00")
    )


def test_a_note_from_before_an_expiry_takes_unused_credits(cli: Cli) -> None:
    """60.00 of 100.00 used; 30.00 of the rest go with a note of February that comes in June, beside one of April for the others."""
    documents = [
        *parties(), grant("G", "100.00", expires_on="2026-03-31"), invoice("I", "2026-01-01", prepaid("100.00")),
        usage("u", "60.00", "2026-01-10"), credit_note("N", "2026-04-10", "40.00"), credit_note("M", "2026-02-10", "30.00"),
    ]  # fmt: skip
    _post(cli, documents, ["M"], 5)
    # 30.00 of the 40.00 that broke were gone, so 30.00 of the note of April were of what was used
    assert cli.totals() == _amounts(accounts_receivable="30.00", revenue="30.00")


def test_what_comes_after_something_late_does_not_count_before_it(cli: Cli) -> None:
    """A bill of 10 March comes in April; March is opened again for a note, a payment and a write-off of later days.

    All count in April; what was given on 10 March for 120.00 less 12.00 is earned in March, which is open, and billed in April.
    """
    cli.post(*parties(), invoice("J", "2026-01-05", one_time("10.00")))
    cli.ok("recognize", "--through", "2026-03")
    for month in range(1, 4):
        cli.ok("close", f"2026-{month:02}")
    cli.post(invoice("I", "2026-03-10", one_time("120.00")))
    cli.ok("reopen", "2026-03", "--reason", "late")
    cli.post(
        credit_note("N", "2026-03-20", "12.00"), payment("P", "50.00", "2026-03-21", ("I", "50.00")),
        {"type": "write_off", "id": "W", "invoice": "I", "date": "2026-03-25", "amount": "8.00", "reason": "gone", "approved_by": "ann"},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-04")
    cli.ok("verify")
    assert cli.totals() == _amounts(accounts_receivable="60.00", revenue="118.00", bad_debt="8.00", cash="50.00")
    assert cli.summary()["2026-03"] == {"revenue": "108.00", "unbilled_receivable": "108.00"}
    assert cli.summary()["2026-04"]["accounts_receivable"] == "50.00"


def test_money_a_note_over_entities_left_goes_back_where_one_of_them_is_closed(cli: Cli) -> None:
    """120.00 and 240.00 of two entities paid; 12.00 and 24.00 credited in February, which is closed in one, and refunded after."""
    term = {"start": "2026-01-01", "end": "2026-12-31", "pattern": "monthly", "kind": "service", "product": "seats"}
    note = {"lines": [{"line": "1", "amount": "12.00"}, {"line": "2", "amount": "24.00"}]}
    cli.post(
        *parties(), {"type": "entity", "id": "eu", "name": "Acme EU", "currency": "USD"},
        invoice("I", "2026-01-01", term | {"id": "1", "amount": "120.00"}, term | {"id": "2", "amount": "240.00", "entity": "eu"}),
        payment("P", "360.00", "2026-01-10", ("I", "360.00")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")
    for month in ("2026-01", "2026-02"):
        cli.ok("close", month, "--entity", "eu")
    cli.post(credit_note("N", "2026-02-15", "0.01") | note)
    cli.post({"type": "refund", "id": "R", "payment": "P", "date": "2026-02-20", "amount": "36.00"})
    cli.ok("recognize", "--through", "2026-03")
    cli.ok("verify")

    def stands(entity: str) -> dict[str, str]:
        rows = cli.report("trial-balance", "--entity", entity, "--as-of", "2026-03-31")
        return {row["role"]: amount for row in rows for amount in (row["debit"], row["credit"]) if Decimal(amount or 0)}

    assert stands("us") == {
        "cash": "324.00",
        "deferred_revenue": "81.00",
        "due_to_entities": "216.00",
        "revenue": "27.00",
    }
    assert stands("eu") == {"deferred_revenue": "162.00", "due_from_entities": "216.00", "revenue": "54.00"}


def test_what_came_late_to_a_closed_month_is_not_scheduled_in_it(cli: Cli) -> None:
    """90.00 of three months, March closed; 33.00 of 30 March count in April: on 31 March 59.00 are held and to come, on 30 April 29.00.

    Of the 90 days from 1 March to 29 May, 31 are March's and 30 April's.
    """
    service = {"id": "1", "kind": "service", "amount": "90.00", "product": "seats", "start": "2026-03-01", "end": "2026-05-29"}  # fmt: skip
    cli.post(*parties(), invoice("I", "2026-03-01", service))
    cli.ok("recognize", "--through", "2026-03")
    cli.ok("close", "2026-03")
    cli.post(invoice("J", "2026-03-30", one_time("33.00")))
    for month, there in (("2026-03-31", "59.00"), ("2026-04-30", "29.00")):
        if month > "2026-04":
            cli.ok("recognize", "--through", "2026-04")
        (left,) = cli.report("remaining-obligations", "--as-of", month)
        assert left["total"] == there
        scheduled = [row for row in cli.report("revenue-waterfall", "--as-of", month) if row["status"] == "scheduled"]
        assert sum(Decimal(row["amount"]) for row in scheduled) == Decimal(there)
        (held,) = (row for row in cli.report("trial-balance", "--as-of", month) if row["role"] == "deferred_revenue")
        assert held["credit"] == there
