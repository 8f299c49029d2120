"""Credit notes of no invoice, and lines of their own on notes of one: revenue falls at once, the money is the customer's."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import PARTY, application, credit_note, invoice, one_time, parties, payment, service
from tests.serving import MakeApp
from tests.test_currencies import rate

VAT = {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.20"}
BILLED = invoice("I", "2026-04-01", service("30.00", "2026-04-01", "2026-04-30") | {"tax_codes": []})


def _note(*lines: dict[str, Any], ref: str = "G", day: str = "2026-05-02", **more: Any) -> dict[str, Any]:
    return {"type": "credit_note", "id": ref, **PARTY, "date": day, "lines": list(lines), "reason": "goodwill", **more}


def _of_invoice(*lines: dict[str, Any], ref: str = "G", day: str = "2026-05-02") -> dict[str, Any]:
    return {"type": "credit_note", "id": ref, "invoice": "I", "date": day, "lines": list(lines)}


def _credit(amount: str, product: str = "seats", **more: Any) -> dict[str, Any]:
    return {"product": product, "amount": amount, **more}


def _totals(cli: Cli) -> dict[str, Decimal]:
    cli.ok("recognize", "--through", "2026-12")
    assert "all" in cli.ok("verify")
    return {role: amount for role, amount in cli.totals().items() if not role.startswith("memo_")}


def test_a_note_of_no_invoice_is_the_customers_money_and_less_revenue_at_once(cli: Cli) -> None:
    cli.post(
        *parties(), VAT, BILLED, payment("P", "30.00", "2026-04-02", ("I", "30.00")),
        _note(_credit("5.00", tax_codes=["VAT"]), _credit("1.00", "tokens", description="For the outage")),
    )  # fmt: skip
    # 5.00 and its 20 %, and 1.00
    assert _totals(cli) == {
        "cash": Decimal(30), "customer_balance": Decimal(7), "revenue": Decimal(24), "tax_payable": Decimal(-1),
    }  # fmt: skip
    assert cli.summary()["2026-05"]["revenue"] == "-6.00"
    [row] = [row for row in cli.report("tax") if row["month"] == "2026-05"]
    assert (row["code"], row["base"], row["tax"]) == ("VAT", "-5.00", "-1.00")
    by_product = {
        (row["product"], row["at_a_point_in_time"])
        for row in cli.report("disaggregation")
        if row["period"] == "2026-05"
    }
    assert by_product == {("seats", "-5.00"), ("tokens", "-1.00")}
    assert cli.report("below-zero") == []
    assert cli.report("statement")[-1]["document"] == "credit_note G"
    assert cli.report("statement")[-1]["settled"] == "7.00"
    assert "credit.revenue_to_balance" in cli.ok("trace", "credit_note:G")


def test_it_pays_an_invoice_or_goes_back(cli: Cli) -> None:
    may = invoice("J", "2026-05-01", one_time("4.00"))
    cli.post(*parties(), BILLED, payment("P", "30.00", "2026-04-02", ("I", "30.00")), _note(_credit("6.00")), may)
    cli.post(application("a", "4.00", "2026-05-03", "J"))
    cli.post({"type": "refund", "id": "R", "payment": "P", "date": "2026-05-04", "amount": "2.00"})
    # 30.00 and 4.00 are earned, 6.00 of it given back: 4.00 by not paying J, 2.00 in money
    assert _totals(cli) == {"cash": Decimal(28), "revenue": Decimal(28)}


def test_a_line_of_its_own_settles_its_invoice_and_the_rest_is_the_customers(cli: Cli) -> None:
    cli.post(*parties(), BILLED, payment("P", "10.00", "2026-04-02", ("I", "10.00")))
    cli.post(_of_invoice({"line": "1", "amount": "15.00"}, _credit("8.00")))
    # 20.00 were due: 15.00 of the line and 5.00 of the 8.00 settle it
    assert _totals(cli) == {"cash": Decimal(10), "customer_balance": Decimal(3), "revenue": Decimal(7)}
    assert cli.report("ar-aging") == []
    assert "expected at most 15.00, what is left of the line" in cli.refuse(credit_note("N", "2026-05-03", "15.01"))


def test_on_an_invoice_over_several_entities_it_is_of_the_one_that_collects(cli: Cli) -> None:
    two = invoice("I", "2026-04-01", one_time("20.00"), one_time("10.00", "2") | {"entity": "eu"})
    cli.post(*parties(), {"type": "entity", "id": "eu", "name": "Acme EU", "currency": "USD"}, two)
    cli.post(_of_invoice({"line": "2", "amount": "4.00"}, _credit("1.00")))
    assert _totals(cli)["accounts_receivable"] == Decimal(25)
    by_entity = {row["entity"]: row["total"] for row in cli.report("disaggregation") if row["period"] == "2026-05"}
    assert by_entity["us"] == "-1.00"


def test_late_it_counts_in_the_first_open_month(cli: Cli) -> None:
    cli.post(*parties(), BILLED)
    cli.ok("recognize", "--through", "2026-05")
    for month in ("2026-04", "2026-05"):
        cli.ok("close", month)
    cli.post(_of_invoice(_credit("1.00"), ref="A"), _note(_credit("2.00")))
    assert _totals(cli) == {"accounts_receivable": Decimal(29), "customer_balance": Decimal(2), "revenue": Decimal(27)}
    assert cli.summary()["2026-06"] == {"accounts_receivable": "-1.00", "customer_balance": "2.00", "revenue": "-3.00"}


@pytest.mark.parametrize(("stated", "worth"), [({}, "5.50"), ({"fx_rate": "1.20"}, "6.00")])
def test_in_another_currency_at_its_own_rate_or_the_days(cli: Cli, stated: dict[str, str], worth: str) -> None:
    cli.post(*parties(), rate("2026-05-01", "1.10"), _note(_credit("5.00"), currency="EUR", **stated))
    assert _totals(cli) == {"customer_balance": Decimal(worth), "revenue": -Decimal(worth)}


def test_it_is_printed(cli: Cli, tmp_path: Path) -> None:
    sheet = tmp_path / "g.html"
    cli.post(
        *parties(),
        VAT,
        BILLED,
        _note(_credit("5.00", tax_codes=["VAT"]), _credit("1.00", description="For the outage")),
    )
    cli.ok("print", "credit_note", "G", "--output", str(sheet))
    said = sheet.read_text()
    assert "<td>Seats</td>" in said
    assert "<td>For the outage</td>" in said
    assert "For invoice" not in said
    assert "7.00 USD" in said
    cli.post(_of_invoice({"line": "1", "amount": "10.00"}, _credit("25.00", tax_codes=[]), ref="H"))
    cli.ok("print", "credit_note", "H", "--output", str(sheet))
    said = sheet.read_text()
    assert "35.00 USD" in said
    assert "Set off against invoice I" in said
    assert '<td class="num">30.00</td>' in said  # all that was due
    assert '<td class="num">5.00</td>' in said


@pytest.mark.parametrize(
    ("note", "words"),
    [
        (_note(), "lines"),
        (_note({"line": "1", "amount": "1.00"}), "lines.0.line = 1: expected a product on a note of no invoice"),
        (_note(_credit("1.00")) | {"customer": None}, "customer"),
        (
            _note(_credit("1.00")) | {"invoice": "I"},
            "customer = globex: expected on a note of no invoice, and only there",
        ),
        (
            _note(_credit("1.00", start="2026-05-01", end="2026-05-02")),
            "start = 2026-05-01: expected none beside product",
        ),
        (_note(_credit("1.00"), rebill=True), "lines.0.product = seats: expected a line to bill again"),
        (_note(_credit("1.00", "nothing")), "lines.0.product = nothing: expected the id of a product posted before"),
        (_note(_credit("1.00", tax_codes=["X"])), "lines.0.tax_codes = X: expected the id of a tax code posted before"),
        (_note(_credit("1.00") | {"line": "1"}), "expected the line that is credited, or a product, one of the two"),
        (_of_invoice({"line": "1", "amount": "1.00", "tax_codes": []}), "tax_codes = []: expected none beside line"),
    ],
)
def test_what_is_refused(cli: Cli, note: dict[str, Any], words: str) -> None:
    cli.post(*parties(), VAT, BILLED)
    assert words in cli.refuse({key: value for key, value in note.items() if value is not None})
    assert cli.report("statement")[-1]["document"] == "invoice I"


def test_its_pages_and_those_of_what_is_stated(cli: Cli, make_books_app: MakeApp) -> None:
    given = _credit("5.00", taxes=[{"code": "VAT", "base": "5.00", "amount": "1.01"}])
    cli.post(*parties(), VAT, BILLED, _note(given))
    client = make_books_app(open_as="tester").test_client()
    page = client.get("/documents/credit_note/G").text
    assert "-1.01 USD, -1.00 worked out" in page
    assert 'href="/documents/credit_note/G"' in client.get("/reports/differences").text
    assert client.get("/customers/globex").status_code == 200
