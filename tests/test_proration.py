"""Lines that credit: an upgrade, a downgrade and seats in mid-period; quantities, prices and discounts that must agree."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import invoice, one_time, parties, payment, prepaid, service


def credited(amount: str, of: str, line: str = "9", **more: Any) -> dict[str, Any]:
    return {"id": line, "kind": "service", "amount": amount, "obligation": of, **more}


def _verified(cli: Cli) -> dict[str, dict[str, str]]:
    assert "all" in cli.ok("verify")
    return cli.summary()


def test_an_upgrade_in_mid_month(cli: Cli) -> None:
    """PUB-011 with the proration invoiced when it happens: 90 a month, 120 from 21 April on; -30 and 40 for ten days."""
    cli.post(
        *parties(), invoice("A", "2026-04-01", service("90.00", "2026-04-01", "2026-04-30")),
        invoice("B", "2026-04-21", credited("-30.00", "A/1"), service("40.00", "2026-04-21", "2026-04-30", line="2")),
        invoice("M", "2026-05-01", service("120.00", "2026-05-01", "2026-05-31")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-05")
    assert _verified(cli) == {
        "2026-04": {"accounts_receivable": "100.00", "revenue": "100.00"},
        "2026-05": {"accounts_receivable": "120.00", "revenue": "120.00"},
    }
    assert {row["invoice"]: row["due"] for row in cli.report("ar-aging")} == {"A": "90.00", "B": "10.00", "M": "120.00"}


def test_prorations_on_the_next_invoice(cli: Cli) -> None:
    """PUB-011 as Stripe invoices it: both on 1 May, as negative and positive obligations of April's last ten days."""
    cli.post(
        *parties(), invoice("A", "2026-04-01", service("90.00", "2026-04-01", "2026-04-30")),
        invoice(
            "M", "2026-05-01", service("-30.00", "2026-04-21", "2026-04-30", line="1"),
            service("40.00", "2026-04-21", "2026-04-30", line="2"), service("120.00", "2026-05-01", "2026-05-31", line="3"),
        ),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-05")
    found = _verified(cli)
    assert found["2026-05"]["accounts_receivable"] == "130.00"
    assert sum(float(month["revenue"]) for month in found.values()) == 220


def test_a_negative_line_can_be_voided_with_its_invoice(cli: Cli) -> None:
    cli.post(
        *parties(), {"type": "tax_code", "id": "T", "name": "T", "rate": "0.10"},
        invoice("A", "2026-04-01", service("90.00", "2026-04-01", "2026-04-30") | {"tax_codes": ["T"]}),
        invoice("B", "2026-04-21", credited("-30.00", "A/1", tax_codes=["T"]),
                service("40.00", "2026-04-21", "2026-04-30", line="2", tax_codes=["T"])),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-04")
    assert _verified(cli)["2026-04"] == {"accounts_receivable": "110.00", "revenue": "100.00", "tax_payable": "10.00"}
    told = cli.refuse({"type": "invoice_void", "id": "VA", "invoice": "A", "date": "2026-04-30", "reason": "x"})
    assert "whose lines no other invoice prorates" in told
    note = {
        "type": "credit_note",
        "id": "N",
        "invoice": "B",
        "date": "2026-04-30",
        "lines": [{"line": "9", "amount": "1.00"}],
    }
    assert "lines.0.line = 9: expected a line that charges something" in cli.refuse(note)
    cli.post({"type": "invoice_void", "id": "VB", "invoice": "B", "date": "2026-04-30", "reason": "x"})
    cli.ok("recognize", "--through", "2026-04")
    assert _verified(cli)["2026-04"] == {"accounts_receivable": "99.00", "revenue": "90.00", "tax_payable": "9.00"}
    cli.post({"type": "invoice_void", "id": "VA", "invoice": "A", "date": "2026-04-30", "reason": "x"})
    cli.ok("recognize", "--through", "2026-04")
    assert _verified(cli) == {}


def test_refunds_and_write_offs_are_of_the_lines_that_charge(cli: Cli) -> None:
    cli.post(
        *parties(), invoice("A", "2026-04-01", service("90.00", "2026-04-01", "2026-04-30")),
        invoice("B", "2026-04-21", credited("-30.00", "A/1"), service("40.00", "2026-04-21", "2026-04-30", line="2")),
        payment("P", "6.00", "2026-05-01", ("B", "6.00")),
        {"type": "refund", "id": "R", "payment": "P", "date": "2026-05-02", "amount": "2.00"},
        {"type": "write_off", "id": "W", "invoice": "B", "date": "2026-05-03", "reason": "gone", "approved_by": "ann"},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-05")
    found = _verified(cli)["2026-05"]
    assert (found["refunds"], found["bad_debt"], found["accounts_receivable"]) == ("2.00", "4.00", "-10.00")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            [credited("-90.01", "A/1"), one_time("100.00", line="2")],
            "lines.0.amount = -90.01 USD: expected at most 90.00 taken back",
        ),
        (
            [credited("-30.00", "A/2"), one_time("100.00", line="2")],
            "expected the id of an obligation of globex with us",
        ),
        (
            [credited("-80.00", "A/1"), credited("-10.01", "A/1", "8"), one_time("99.00", line="2")],
            "lines.1.amount = -10.01 USD: expected at most 10.00 taken back",
        ),
        ([prepaid("-1.00")], "amount = -1.00: expected 0 or more on a line of kind prepaid"),
        ([one_time("9.00") | {"discount": "1.00"}], "discount = 1.00: expected beside quantity and unit_price"),
        (
            [one_time("9.00") | {"quantity": "10", "unit_price": "1", "discount": "2.00"}],
            "expected 8.00: 10 x 1 less 2.00",
        ),
        (
            [one_time("9.00") | {"quantity": "10", "unit_price": "0.91"}],
            "lines.0.amount = 9.00 USD: expected 9.10: 10 x 0.91",
        ),
    ],
)
def test_what_is_refused(cli: Cli, lines: list[dict[str, Any]], words: str) -> None:
    cli.post(*parties(), invoice("A", "2026-04-01", service("90.00", "2026-04-01", "2026-04-30")))
    before = cli.summary()
    assert words in cli.refuse(invoice("B", "2026-04-21", *lines))
    assert cli.summary() == before


def test_amounts_after_discount(cli: Cli) -> None:
    line = one_time("7.50") | {
        "quantity": "2.5",
        "unit_price": "4",
        "discount": "2.50",
        "group": "Support",
        "label": "Calls",
    }
    cli.post(*parties(), invoice("A", "2026-04-01", line))
    assert cli.summary()["2026-04"] == {"accounts_receivable": "7.50", "deferred_revenue": "7.50"}
