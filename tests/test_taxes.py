from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ledger.invoices.taxes import Rounding, TaxCode, line_taxes
from tests.conftest import Cli
from tests.samples import PARTY, invoice, one_time, parties, payment, service


def _code(rate: str, code: str = "T", *, inclusive: bool = False, compound: bool = False, fixed: str = "0") -> TaxCode:
    return TaxCode(code, Decimal(rate), Decimal(fixed), inclusive, compound)


def _tax_code(ref: str, **more: Any) -> dict[str, Any]:
    return {"type": "tax_code", "id": ref, "name": ref, **more}


def _taxes(amount: int, *codes: TaxCode, rounding: Rounding | None = None) -> tuple[int, list[int]]:
    net, taxes = line_taxes(amount, codes, "taxable", "USD", rounding or Rounding(by_invoice=False))
    return net, [tax.tax for tax in taxes]


def test_on_top_of_the_price() -> None:
    assert _taxes(3100, _code("0.10")) == (3100, [310])
    assert _taxes(1050, _code("0.10")) == (1050, [105])
    assert _taxes(105, _code("0.10")) == (105, [11])  # 10.5 cents: half up


def test_in_the_price() -> None:
    # 34.10 with 10 % in it is 31.00 and 3.10; 31.00 is 28.18 and 2.82
    assert _taxes(3410, _code("0.10", inclusive=True)) == (3100, [310])
    assert _taxes(3100, _code("0.10", inclusive=True)) == (2818, [282])
    # two in the price: 100.00 / 1.15 = 86.96, of it 8.70 and 4.35 (86.9565 x 10 % and x 5 %)
    assert _taxes(10000, _code("0.10", "A", inclusive=True), _code("0.05", "B", inclusive=True)) == (8695, [870, 435])


def test_compound_taxes_are_charged_on_taxes() -> None:
    # Quebec before 2013: GST 5 %, QST 9.5 % on price and GST: 100.00, 5.00, 9.975
    assert _taxes(10000, _code("0.05", "GST"), _code("0.095", "QST", compound=True)) == (10000, [500, 998])
    assert _taxes(10000, _code("0.05", "GST"), _code("0.095", "QST")) == (10000, [500, 950])


def test_a_fixed_amount() -> None:
    assert _taxes(10000, _code("0", fixed="5.00")) == (10000, [500])
    assert _taxes(10500, _code("0", fixed="5.00", inclusive=True)) == (10000, [500])


def test_rounded_by_line_or_by_invoice() -> None:
    # Xero: 25.06 + 25.61 + 25.63 with 15 % is 87.74 by line, 87.75 by document
    amounts = [2506, 2561, 2563]
    for by_invoice, total in ((False, 8774), (True, 8775)):
        rounding = Rounding(by_invoice)
        taxes = [_taxes(amount, _code("0.15"), rounding=rounding)[1][0] for amount in amounts]
        assert sum(amounts) + sum(taxes) == total


def test_an_invoice_with_tax(cli: Cli) -> None:
    # Stripe: 31.00 with 10 % on top, invoiced and paid on 1 January
    line = service("31.00", "2026-01-01", "2026-01-31") | {"tax_codes": ["VAT"]}
    cli.post(
        *parties(),
        _tax_code("VAT", rate="0.10"),
        invoice("I", "2026-01-01", line),
        payment("P", "34.10", "2026-01-01", ("I", "34.10")),
    )
    cli.ok("recognize", "--through", "2026-01")
    assert cli.summary() == {"2026-01": {"cash": "34.10", "revenue": "31.00", "tax_payable": "3.10"}}
    assert cli.report("tax") == [
        {"month": "2026-01", "entity": "us", "code": "VAT", "treatment": "taxable", "currency": "USD", "base": "31.00", "tax": "3.10"}
    ]  # fmt: skip
    cli.ok("verify")


def test_reverse_charge_posts_the_base_alone(cli: Cli) -> None:
    # a VAT-registered business elsewhere: 31.00, no tax, the base reported
    entity, _, *rest = parties()
    customer = {
        "type": "customer", "id": "globex", "name": "Globex", "country": "DE", "tax_id": "DE136695976",
        "tax_status": "reverse_charge",
    }  # fmt: skip
    line = service("31.00", "2026-01-01", "2026-01-31") | {"tax_codes": ["VAT"]}
    cli.post(entity, customer, *rest, _tax_code("VAT", rate="0.19"), invoice("I", "2026-01-01", line))
    cli.ok("recognize", "--through", "2026-01")
    assert cli.summary() == {"2026-01": {"accounts_receivable": "31.00", "revenue": "31.00"}}
    (row,) = cli.report("tax")
    assert (row["treatment"], row["base"], row["tax"]) == ("reverse_charge", "31.00", "0.00")
    memo = {row["role"]: row["debit"] for row in cli.report("trial-balance", "--memorandum")}
    assert memo["memo_taxable_base"] == "31.00"
    cli.ok("verify")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (_tax_code("X"), "rate = missing: expected a rate such as 0.19"),
        (_tax_code("X", rate="19"), "rate = 19: expected a share such as 0.19 for 19 %"),
        (_tax_code("X", rate="-0.1"), "rate = -0.1: expected 0 or more"),
        (invoice("I", "2026-01-01", one_time("1.00") | {"tax_codes": ["NO"]}), "lines.0.tax_codes = NO: expected the id of a tax code"),
        (
            invoice("I", "2026-01-01", one_time("1.00") | {"tax_codes": ["FIX"]}),
            "expected taxes below the amount they are in",
        ),
        (
            {"type": "customer", "id": "x", "name": "X", "country": "DE", "tax_id": "DE136695977", "tax_status": "reverse_charge"},
            "tax_id = DE136695977: expected a valid VAT number of DE",
        ),
        ({"type": "customer", "id": "x", "name": "X", "country": "DE", "tax_status": "reverse_charge"}, "tax_id = missing"),
        ({"type": "customer", "id": "x", "name": "X", "tax_status": "reverse_charge"}, "country = missing"),
    ],
)  # fmt: skip
def test_what_a_tax_can_not_be(cli: Cli, document: dict[str, Any], words: str) -> None:
    cli.post(*parties(), _tax_code("FIX", fixed="5.00", inclusive=True))
    assert words in cli.refuse(document)


def test_prepaid_credits_are_net_of_their_tax(cli: Cli) -> None:
    cli.post(
        *parties(),
        _tax_code("VAT", rate="0.20", inclusive=True),
        {"type": "grant", "id": "G", **PARTY, "kind": "prepaid", "amount": "100.00", "effective_on": "2026-01-01"},
        invoice(
            "I", "2026-01-01", {"id": "1", "kind": "prepaid", "amount": "120.00", "grant": "G", "tax_codes": ["VAT"]}
        ),
    )
    assert cli.summary() == {
        "2026-01": {"accounts_receivable": "120.00", "customer_credits": "100.00", "tax_payable": "20.00"}
    }
    cli.ok("verify")
