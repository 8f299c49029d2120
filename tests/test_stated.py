"""What another system worked out is taken as it says: taxes to the cent, amounts within a tolerance, and the difference shown."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import credit_note, invoice, one_time, parties, payment, service

# 8.875 % of 19.99 is 1.774: 1.77 here, 1.78 by an engine that rounds city and state each for itself
NY = {"type": "tax_code", "id": "NY", "name": "New York", "rate": "0.08875"}
VAT = {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.20", "inclusive": True}


def _given(line: dict[str, Any], amount: str, base: str | None = None, code: str = "NY") -> dict[str, Any]:
    return line | {"taxes": [{"code": code, "base": base or line["amount"], "amount": amount}]}


BILLED = invoice("I", "2026-04-01", _given(service("19.99", "2026-04-01", "2026-04-30"), "1.78"))


def _void(ref: str = "I") -> dict[str, Any]:
    return {"type": "invoice_void", "id": "v", "invoice": ref, "date": "2026-05-20", "reason": "wrong"}


def _totals(cli: Cli) -> dict[str, Decimal]:
    cli.ok("recognize", "--through", "2026-12")
    assert "all" in cli.ok("verify")
    return {role: amount for role, amount in cli.totals().items() if not role.startswith("memo_")}


def _taxed(cli: Cli) -> tuple[Decimal, Decimal]:
    """What `report tax` has in all: base and tax."""
    rows = cli.report("tax")
    return sum((Decimal(row["base"]) for row in rows), Decimal(0)), sum(
        (Decimal(row["tax"]) for row in rows), Decimal(0)
    )


def test_a_tax_is_kept_as_it_is_given_and_the_difference_shown(cli: Cli) -> None:
    cli.post(*parties(), NY, BILLED, payment("P", "21.77", "2026-04-02", ("I", "21.77")))
    assert _totals(cli) == {"cash": Decimal("21.77"), "revenue": Decimal("19.99"), "tax_payable": Decimal("1.78")}
    assert _taxed(cli) == (Decimal("19.99"), Decimal("1.78"))
    [row] = cli.report("differences")
    assert row == {
        "date": "2026-04-01", "document": "invoice I", "customer": "globex", "entity": "us", "line": "1", "what": "NY",
        "currency": "USD", "stated": "1.78", "computed": "1.77", "difference": "0.01",
    }  # fmt: skip
    assert "line 1: NY 1.78 USD, 1.77 worked out" in cli.ok("trace", "invoice:I")


def test_a_tax_that_is_what_it_comes_to_differs_in_nothing(cli: Cli) -> None:
    cli.post(*parties(), NY, invoice("I", "2026-04-01", _given(one_time("19.99"), "1.77")))
    assert cli.report("differences") == []


@pytest.mark.parametrize("order", [*list(permutations(("6.66", "6.66", "6.67")))[:3], ("19.99",), ("0.01", "19.98")])
def test_credited_in_parts_nothing_is_left_of_a_given_tax(cli: Cli, order: tuple[str, ...]) -> None:
    cli.post(*parties(), NY, BILLED)
    for number, amount in enumerate(order):
        cli.post(credit_note(f"n{number}", f"2026-05-0{number + 1}", amount))
    assert _totals(cli) == {}
    assert _taxed(cli) == (0, 0)


def test_a_void_leaves_nothing_of_it(cli: Cli) -> None:
    cli.post(*parties(), NY, BILLED, _void())
    assert _totals(cli) == {}
    assert _taxed(cli) == (0, 0)


def test_a_credit_note_may_say_what_of_the_tax_it_takes(cli: Cli) -> None:
    cli.post(*parties(), NY, BILLED)
    line = {"line": "1", "amount": "10.00"}
    note = {"type": "credit_note", "id": "n", "invoice": "I", "date": "2026-05-01", "lines": [_given(line, "0.90")]}
    cli.post(note)
    assert _totals(cli) == {
        "accounts_receivable": Decimal("10.87"), "revenue": Decimal("9.99"), "tax_payable": Decimal("0.88"),
    }  # fmt: skip

    def refused(amount: str, tax: str, base: str | None = None, code: str = "NY") -> str:
        return cli.refuse(note | {"id": "m", "lines": [_given({"line": "1", "amount": amount}, tax, base, code)]})

    assert "lines.0.taxes.0.amount = 0.89 USD: expected at most 0.88, what is left of NY on line 1" in refused(
        "5.00", "0.89"
    )
    assert "lines.0.taxes.0.base = 10.00 USD: expected at most 9.99" in refused("5.00", "0.10", "10.00")
    # with all that is left of the line goes all that is left of its tax
    assert "lines.0.taxes.0.amount = 0.87 USD: expected 0.88, what is left of NY" in refused("9.99", "0.87")
    cli.post(VAT)
    assert "lines.0.taxes.0.code = VAT: expected a tax that line 1 bears: NY" in refused("5.00", "0.10", code="VAT")
    cli.post(note | {"id": "m", "lines": [_given({"line": "1", "amount": "9.99"}, "0.88")]})
    assert _totals(cli) == {}


def test_a_tax_in_the_price_as_given(cli: Cli) -> None:
    # 20 % in 100.00 is 16.67; the engine says 16.66
    cli.post(*parties(), VAT, invoice("I", "2026-04-01", _given(one_time("100.00"), "16.66", "83.34", "VAT")))
    assert _totals(cli) == {
        "accounts_receivable": Decimal(100), "revenue": Decimal("83.34"), "tax_payable": Decimal("16.66"),
    }  # fmt: skip
    cli.post(
        *(credit_note(f"n{part}", "2026-05-01", amount) for part, amount in enumerate(("33.33", "33.33", "33.34")))
    )
    assert _totals(cli) == {}


def test_taxes_of_lines_below_zero_are_below_zero(cli: Cli) -> None:
    lines = [_given(one_time("-5.00"), "-0.45"), _given(one_time("19.99", "2"), "1.78")]
    cli.post(*parties(), NY, invoice("I", "2026-04-01", *lines))
    assert _totals(cli) == {
        "accounts_receivable": Decimal("16.32"), "revenue": Decimal("14.99"), "tax_payable": Decimal("1.33"),
    }  # fmt: skip
    cli.post(_void())
    assert _totals(cli) == {}


@pytest.mark.parametrize("status", ["exempt", "reverse_charge"])
def test_who_bears_none_has_the_base_as_it_is_given(cli: Cli, status: str) -> None:
    entity, customer, *rest = parties()
    untaxed = customer | {"tax_status": status, "country": "DE", "tax_id": "DE136695976"}
    cli.post(entity, untaxed, *rest, NY, invoice("I", "2026-04-01", _given(one_time("19.99"), "0", "12.00")))
    [row] = cli.report("tax")
    assert (row["treatment"], row["base"], row["tax"]) == (status, "12.00", "0.00")
    message = cli.refuse(invoice("J", "2026-04-01", _given(one_time("19.99"), "0.01")))
    assert (
        f"lines.0.taxes.0.amount = 0.01: expected 0: the customer's tax_status is {status}, and bears none" in message
    )


def _of_all(*lines: dict[str, Any], **taxes: tuple[str, str]) -> dict[str, Any]:
    given = [{"code": code, "base": base, "amount": amount} for code, (base, amount) in taxes.items()]
    return invoice("I", "2026-04-01", *lines, taxes=given)


def test_taxes_of_a_whole_invoice_are_of_its_lines(cli: Cli) -> None:
    """By the lines' amounts, cumulatively: 2.67 of 30.00 over three lines of 10.00 is 0.89 each; over 19.99 and 10.01, 1.78 and 0.89."""
    cli.post(
        *parties(),
        NY,
        _of_all(
            one_time("19.99", "a"),
            one_time("10.01", "b"),
            one_time("7.00", "c") | {"tax_codes": []},
            NY=("30.00", "2.67"),
        ),
    )
    assert _totals(cli)["tax_payable"] == Decimal("2.67")
    assert _taxed(cli) == (Decimal("30.00"), Decimal("2.67"))
    cli.post(credit_note("n", "2026-05-01", "10.01", line="b"))
    assert _totals(cli)["tax_payable"] == Decimal("1.78")
    assert _taxed(cli) == (Decimal("19.99"), Decimal("1.78"))
    cli.post(credit_note("m", "2026-05-02", "19.99", line="a"), credit_note("o", "2026-05-02", "7.00", line="c"))
    assert _totals(cli) == {}


def test_taxes_of_a_whole_invoice_below_zero(cli: Cli) -> None:
    cli.post(*parties(), NY, _of_all(one_time("-30.00", "a"), one_time("10.00", "b"), NY=("-20.00", "-1.78")))
    assert _totals(cli) == {
        "customer_balance": Decimal("21.78"),
        "revenue": Decimal(-20),
        "tax_payable": Decimal("-1.78"),
    }


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (invoice("I", "2026-04-01", _given(one_time("1.00"), "0.10", code="NO")), "lines.0.taxes = NO: expected the id of a tax code"),
        (invoice("I", "2026-04-01", _given(one_time("1.00"), "-0.10")), "taxes.0.amount = -0.10: expected the sign of the amount it is of"),
        (invoice("I", "2026-04-01", _given(one_time("1.00"), "0.10", "-1.00")), "taxes.0.base = -1.00: expected the sign"),
        (invoice("I", "2026-04-01", _given(one_time("0.00"), "0.10")), "taxes.0.amount = 0.10: expected 0, as the amount is"),
        (invoice("I", "2026-04-01", _given(one_time("1.00"), "0.101")), "lines.0.taxes.0.amount = 0.101"),
        (invoice("I", "2026-04-01", _given(one_time("1.00"), "0.10") | {"tax_codes": ["NY"]}), "expected none beside taxes"),
        (invoice("I", "2026-04-01", _given({"id": "1", "kind": "opening", "amount": "1.00"}, "0.10")), "kind opening"),
        (_of_all(_given(one_time("1.00"), "0.10"), NY=("1.00", "0.10")), "expected none beside taxes of the invoice"),
        (_of_all(one_time("1.00") | {"tax_codes": ["VAT"]}, NY=("1.00", "0.10")), "lines.0.tax_codes = VAT: expected one of the invoice's taxes"),
        (_of_all(one_time("1.00") | {"tax_codes": []}, NY=("1.00", "0.10")), "taxes.0.base = 1.00: expected 0: the lines that bear it come to 0"),
        (_of_all(one_time("1.00"), NY=("1.00", "-0.10")), "taxes.0.amount = -0.10: expected the sign of the lines that bear it"),
        (_of_all(one_time("1.00") | {"entity": "eu"}, NY=("1.00", "0.10")), "lines.0.entity = eu: expected taxes on the lines"),
    ],
)  # fmt: skip
def test_what_a_given_tax_can_not_be(cli: Cli, document: dict[str, Any], words: str) -> None:
    cli.post(*parties(), NY, VAT)
    assert words in cli.refuse(document)
    assert cli.report("statement") == []


def test_an_amount_within_the_tolerance_is_kept_as_another_system_rounds_it(cli: Cli) -> None:
    # 3 x 0.335 is 1.005: 1.00 to the even cent here, 1.01 half up elsewhere
    entity, *rest = parties()
    cli.post(entity | {"amount_tolerance": 1}, *rest)
    line = one_time("1.01") | {"quantity": "3", "unit_price": "0.335"}
    cli.post(
        invoice("I", "2026-04-01", line, line | {"id": "2", "amount": "-1.01"}, line | {"id": "3", "amount": "1.00"})
    )
    assert _totals(cli) == {"accounts_receivable": Decimal("1.00"), "revenue": Decimal("1.00")}
    shown = [
        (row["line"], row["what"], row["stated"], row["computed"], row["difference"])
        for row in cli.report("differences")
    ]
    assert shown == [("1", "amount", "1.01", "1.00", "0.01"), ("2", "amount", "-1.01", "-1.00", "-0.01")]
    assert "line 1: amount 1.01 USD, 1.00 worked out" in cli.ok("trace", "invoice:I")
    message = cli.refuse(invoice("J", "2026-04-01", line | {"amount": "1.02"}))
    assert "lines.0.amount = 1.02 USD: expected 1.00: 3 x 0.335, or within 0.01 of it" in message


def test_without_a_tolerance_an_amount_is_what_it_comes_to(cli: Cli) -> None:
    cli.post(*parties())
    message = cli.refuse(invoice("I", "2026-04-01", one_time("1.01") | {"quantity": "3", "unit_price": "0.335"}))
    assert "lines.0.amount = 1.01 USD: expected 1.00: 3 x 0.335" in message
    assert "within" not in message


def test_an_amount_and_its_inclusive_tax_are_shown_as_they_are_stated(cli: Cli) -> None:
    entity, *rest = parties()
    cli.post(entity | {"amount_tolerance": 1}, *rest, VAT)
    line = one_time("12.01") | {"quantity": "1", "unit_price": "12.00", "tax_codes": ["VAT"]}
    cli.post(invoice("I", "2026-04-01", line))
    [row] = cli.report("differences")
    assert (row["what"], row["stated"], row["computed"]) == ("amount", "12.01", "12.00")
    assert _totals(cli)["accounts_receivable"] == Decimal("12.01")
