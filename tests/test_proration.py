"""Lines that credit: an upgrade, a downgrade and seats in mid-period; quantities, prices and discounts that must agree."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, event

from tests.conftest import Cli
from tests.samples import credit_note, invoice, one_time, parties, payment, prepaid, service


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


def _taxed(*items: dict[str, Any]) -> list[dict[str, Any]]:
    return [item | {"tax_codes": ["VAT"]} for item in items]


APRIL = ("2026-04-01", "2026-04-30")
VAT = {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.20"}
# 100.00 less a discount line of 20.00, and 20 %: 96.00
DISCOUNTED = invoice("D", "2026-04-01", *_taxed(service("100.00", *APRIL), service("-20.00", *APRIL, line="2")))


@pytest.mark.parametrize("parts", [("80.00",), ("30.00", "50.00"), ("0.01", "79.99")])
def test_a_line_and_its_discount_are_credited_with_the_tax_of_both(cli: Cli, parts: tuple[str, ...]) -> None:
    cli.post(*parties(), VAT, DISCOUNTED)
    for number, amount in enumerate(parts):
        cli.post(credit_note(f"n{number}", f"2026-04-1{number}", amount, invoice="D"))
    cli.ok("recognize", "--through", "2026-05")
    assert _verified(cli) == {}
    [row] = cli.report("tax")
    assert (row["base"], row["tax"]) == ("0.00", "0.00")


def test_all_that_was_paid_of_a_discounted_line_goes_back(cli: Cli) -> None:
    """Half of April is given when 96.00 go back: 40.00 of the 80.00 that it costs, and all of its tax."""
    cli.post(*parties(), VAT, DISCOUNTED, payment("P", "96.00", "2026-04-02", ("D", "96.00")))
    refund = {"type": "refund", "id": "R", "payment": "P", "date": "2026-04-16", "amount": "96.01"}
    assert "expected at most 96.00, what is left of payment P" in cli.refuse(refund)
    cli.post(refund | {"amount": "96.00"})
    cli.ok("recognize", "--through", "2026-05")
    assert _verified(cli) == {"2026-04": {"refunds": "40.00", "revenue": "40.00"}}


def test_a_discount_that_another_invoice_gave_takes_its_tax_with_it(cli: Cli) -> None:
    """50.00 and its tax of an unpaid 120.00 are credited by another invoice: what is left to credit is 50.00 and 10.00."""
    second = invoice(
        "E", "2026-04-16", *_taxed(service("-50.00", "2026-04-16", "2026-04-30"), service("60.00", *APRIL, line="2"))
    )
    cli.post(*parties(), VAT, invoice("D", "2026-04-01", *_taxed(service("100.00", *APRIL))), second)
    cli.post(credit_note("n", "2026-04-20", "50.00", invoice="D"))
    cli.ok("recognize", "--through", "2026-05")
    # what D still has open is what E credited: 60.00; E charges 60.00 and 12.00 less that
    assert _verified(cli) == {"2026-04": {"accounts_receivable": "72.00", "revenue": "60.00", "tax_payable": "12.00"}}


def test_a_part_of_another_entity_claims_what_its_lines_come_to(cli: Cli) -> None:
    own = [item | {"entity": "eu"} for item in (service("100.00", *APRIL), service("-20.00", *APRIL, line="2"))]
    cli.post(*parties(), {"type": "entity", "id": "eu", "name": "Acme EU", "currency": "USD"})
    cli.post(invoice("D", "2026-04-01", *own, one_time("10.00", line="3")))
    cli.ok("recognize", "--through", "2026-05")
    assert _verified(cli)["2026-04"] == {
        "accounts_receivable": "90.00", "due_from_entities": "80.00", "due_to_entities": "80.00", "revenue": "90.00",
    }  # fmt: skip
    cli.post({"type": "invoice_void", "id": "v", "invoice": "D", "date": "2026-04-20", "reason": "wrong"})
    cli.ok("recognize", "--through", "2026-05")
    assert _verified(cli) == {}


def test_many_lines_below_zero_are_looked_for_once(cli: Cli, engine: Engine) -> None:
    """Not each among all lines of the same days: an invoice of ten thousand lines would take minutes."""
    asked = []

    @event.listens_for(Engine, "before_cursor_execute")
    def _count(_c: object, _cursor: object, statement: str, *_more: object) -> None:
        asked.append(statement)

    month = ("2026-01-01", "2026-01-31")
    cli.post(*parties())
    try:
        cli.post(
            invoice(
                "I", "2026-01-31", *(service("2.00", *month, f"a{n}") for n in range(20)),
                *(service("-1.50", *month, f"b{n}") for n in range(20)),
            )
        )  # fmt: skip
    finally:
        event.remove(Engine, "before_cursor_execute", _count)
    assert len([statement for statement in asked if "l.ends_on >= " in statement]) == 1
    # each took of another line, as each has room for one of them: 20 x 0.50
    assert cli.summary()["2026-01"]["accounts_receivable"] == "10.00"
    assert "all" in cli.ok("verify")
