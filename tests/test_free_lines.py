"""Lines and invoices of 0.00, and lines that take something off at once. Figures by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.conftest import Cli
from tests.samples import (
    billed_usage,
    contract,
    credit_note,
    invoice,
    obligation,
    one_time,
    parties,
    payment,
    service,
    usage,
)
from web.render import printed

ONCE = {"type": "coupon", "id": "FREE", "name": "Free month", "percent": "100", "duration": "once"}
NUMBERED = {"type": "entity", "id": "us", "name": "Acme AI Inc", "currency": "USD", "invoice_prefix": "US-"}
VAT = {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.20"}
FIXED = {"type": "tax_code", "id": "FIXED", "name": "Levy", "fixed": "1.00"}
WITHIN = {"type": "tax_code", "id": "IN", "name": "VAT", "rate": "0.20", "inclusive": True}


def _free(line: str = "1", **more: Any) -> dict[str, Any]:
    return service("0.00", "2026-01-01", "2026-01-31", line) | {
        "quantity": "1", "unit_price": "20.00", "discount": "20.00", **more
    }  # fmt: skip


def _void(ref: str, of: str) -> dict[str, Any]:
    return {"type": "invoice_void", "id": ref, "invoice": of, "date": "2026-01-20", "reason": "not free"}


def test_an_invoice_of_nothing_is_an_invoice(cli: Cli, connection: Connection) -> None:
    documents = [doc for doc in parties() if doc["type"] != "entity"]
    cli.post(NUMBERED, *documents, VAT, ONCE, invoice("I", "2026-01-01", _free(coupon="FREE", tax_codes=["VAT"])))
    cli.post(invoice("J", "2026-01-02", service("20.00", "2026-02-01", "2026-02-28")))
    cli.ok("recognize", "--through", "2026-03")
    cli.ok("verify")
    assert cli.totals() == {"accounts_receivable": 20, "revenue": 20}
    seen = json.loads(cli.ok("invoice", "I", "--format", "json"))
    assert (seen["number"], seen["total"], seen["due"]) == ("US-1", "0.00", "0.00")
    assert json.loads(cli.ok("invoice", "J", "--format", "json"))["number"] == "US-2"
    sheet = printed.print_document(connection, "invoice", "I").html
    assert "US-1" in sheet
    assert sheet.count("0.00") >= 4  # of the line, the subtotal, the total and what is due
    assert [(row["coupon"], row["base"], row["discount"], row["net"]) for row in cli.report("discounts")] == [
        ("FREE", "20.00", "20.00", "0.00")
    ]
    cli.ok("trace", "invoice:I")
    # it was used
    assert "expected a coupon globex has not used" in cli.refuse(invoice("K", "2026-01-03", _free(coupon="FREE")))
    # and nothing is due of it
    assert "expected at most 0.00" in cli.refuse(payment("P", "1.00", "2026-01-05", ("I", "1.00")))
    assert "expected at most 0.00" in cli.refuse(credit_note("N", "2026-01-05", "1.00"))
    for report in ("ar-aging", "dunning"):
        assert all(row["invoice"] != "I" for row in cli.report(report))


@pytest.mark.parametrize("superseded", [False, True])
@pytest.mark.parametrize("codes", [[], ["VAT"], ["FIXED"]], ids="".join)
def test_it_is_voided_once_and_gives_its_coupon_back(cli: Cli, codes: list[str], superseded: bool) -> None:
    cli.post(*parties(), VAT, FIXED, ONCE, invoice("I", "2026-01-01", _free(coupon="FREE", tax_codes=codes)))
    if superseded:
        cli.post(invoice("K", "2026-01-20", one_time("5.00"), supersedes="I"))
    else:
        cli.post(_void("V", "I"))
    assert "is voided already" in cli.refuse(_void("W", "I"))
    cli.post(invoice("J", "2026-01-21", _free(coupon="FREE")))
    cli.ok("verify")
    assert "tax_payable" not in cli.totals()


def test_a_free_line_beside_others_bills_nothing(cli: Cli) -> None:
    """30.00 of a contract's 120.00, and a free month of the same; written off, credited and refunded are the others'."""
    cli.post(
        *parties(), contract("K", "2026-01-01", obligation("O", "120.00", "2026-01-01", "2026-04-30", pattern="monthly")),
        invoice(
            "I", "2026-01-01", {"id": "1", "kind": "service", "obligation": "O", "amount": "30.00"},
            {"id": "2", "kind": "service", "obligation": "O", "amount": "0.00"}, {"id": "3", "kind": "service", "contract": "K", "amount": "0.00"},
            one_time("10.00", "4"), _free("5"),
        ),
        payment("P", "20.00", "2026-01-05", ("I", "20.00")),
        credit_note("N", "2026-01-06", "5.00", line="4"),
        {"type": "refund", "id": "R", "payment": "P", "invoice": "I", "date": "2026-01-07", "amount": "7.00"},
        {"type": "write_off", "id": "W", "invoice": "I", "date": "2026-01-08", "amount": "15.00", "reason": "gone", "approved_by": "ann"},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-05")
    cli.ok("verify")
    total = cli.totals()
    assert (total["cash"], total.get("accounts_receivable", 0)) == (13, 0)
    assert total["revenue"] == 125


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("codes", [[], ["VAT"]], ids="".join)
def test_usage_that_is_free_lowers_what_it_earned(cli: Cli, codes: list[str], first: bool) -> None:
    """20.00 used and all of it discounted: nothing is earned, and nothing is to be billed."""
    line = billed_usage("0.00") | {"quantity": "20", "unit_price": "1.00", "discount": "20.00", "tax_codes": codes}
    documents = [usage("u", "20.00", "2026-01-10"), invoice("I", "2026-01-31", line)]
    cli.post(*parties(), VAT, *(documents if first else reversed(documents)))
    cli.ok("recognize", "--through", "2026-02")
    cli.ok("verify")
    assert cli.totals() == {}
    cli.post(_void("V", "I") | {"date": "2026-02-01"})
    cli.ok("verify")
    assert cli.totals() == {"revenue": 20, "unbilled_receivable": 20}


def test_a_discount_of_a_moment_and_one_over_its_days(cli: Cli) -> None:
    """100.00 and -40.00 at once, 60.00 and -20.00 over two months: 60.00 + 20.00 in January, 20.00 in February; not on one bill."""
    over = ("2026-01-01", "2026-02-28")
    cli.post(
        *parties(), VAT,
        invoice("I", "2026-01-31", one_time("100.00", "1"), one_time("-40.00", "2")),
        invoice("J", "2026-01-31", service("60.00", *over, "3", pattern="monthly"), service("-20.00", *over, "4", pattern="monthly")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-03")
    cli.ok("verify")
    assert {month: moved["revenue"] for month, moved in cli.summary().items()} == {
        "2026-01": "80.00",
        "2026-02": "20.00",
    }
    assert "lines.1.amount = -10.00: expected only lines of kind one_time beside it" in cli.refuse(
        invoice("K", "2026-01-31", service("60.00", *over, "1"), one_time("-10.00", "2"))
    )
    cli.post(_void("V", "I") | {"date": "2026-02-01"}, _void("W", "J") | {"date": "2026-02-01"})
    cli.ok("recognize", "--through", "2026-03")
    cli.ok("verify")
    assert cli.totals() == {}


@pytest.mark.parametrize(("line", "words"), [
    (billed_usage("0.00") | {"quantity": "1", "unit_price": "2.00", "discount": "2.00", "tax_codes": ["IN"]},
     "expected taxes on top of usage of which all is discounted"),
    ({"id": "1", "kind": "opening", "amount": "0.00"}, "amount = 0.00: expected more than 0 on a line of kind opening"),
    (billed_usage("-1.00"), "amount = -1.00: expected 0 or more on a line of kind usage"),
])  # fmt: skip
def test_what_is_for_nothing_and_can_not_be(cli: Cli, line: dict[str, Any], words: str) -> None:
    cli.post(*parties(), WITHIN)
    assert words in cli.refuse(invoice("I", "2026-01-01", line))
