"""Every figure of every report leads somewhere, and where it leads to lines of postings, these add up to it."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Connection

from ledger.amounts.money import grouped
from ledger.reports.report import Filters
from tests.conftest import Cli
from tests.samples import (
    PARTY,
    billed_usage,
    contract,
    grant,
    invoice,
    obligation,
    one_time,
    parties,
    payment,
    prepaid,
    promotion,
    service,
    usage,
)
from tests.serving import MakeApp
from web.render.links import drill
from web.work import reports

VAT = {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.20"}
EU = {"type": "entity", "id": "eu", "name": "Acme AI GmbH", "currency": "EUR"}
RATE = {"type": "fx_rate", "id": "r", "date": "2026-01-01", "base": "USD", "quote": "EUR", "rate": "0.9"}


@pytest.fixture
def app(make_books_app: MakeApp) -> Flask:
    return make_books_app(open_as="tester")


def _books(cli: Cli) -> None:
    cli.post(
        *parties(), EU, VAT, RATE, grant("G", expires_on="2026-03-31"), promotion("P", "5.00"), grant("H", effective_on="2026-02-01"),
        {"type": "gl_account", "id": "own", "entity": "us", "role": "revenue", "product": "seats", "code": "4010", "name": "Seats"},
        invoice("I", "2026-01-01", prepaid("100.00"), service("365.00", "2026-01-01", "2026-12-31", "2", tax_codes=["VAT"])),
        usage("u1", "40.00", "2026-01-10"), usage("u2", "90.00", "2026-01-20"),
        invoice("J", "2026-01-31", billed_usage("20.00"), one_time("30.00", "2")),
        payment("PAY", "200.00", "2026-01-15", ("I", "200.00")), payment("MORE", "7.00", "2026-02-15"),
        contract("C", "2026-01-01", obligation("C-1", "500.00", "2026-01-01", "2026-06-30"), obligation("C-2", "60.00", "2026-02-01", "2026-02-28", product="tokens")),
        {"type": "contract_modification", "id": "M", "contract": "C", "date": "2026-02-01", "treatment": "prospective",
         "obligations": [obligation("C-1", "550.00", "2026-01-01", "2026-06-30")], "reason": "more seats"},
        {"type": "credit_note", "id": "CN", "invoice": "I", "date": "2026-02-10", "lines": [{"line": "2", "amount": "65.00"}]},
        invoice("E", "2026-02-01", service("120.00", "2026-02-01", "2026-05-31", tax_codes=["VAT"]), entity="eu"),
        invoice("B", "2026-02-03", one_time("10.00"), one_time("12.00", "2") | {"entity": "eu"}),
        invoice("K", "2026-02-01", prepaid("100.00", "H")),
        {"type": "wallet_alert", "id": "low", **PARTY, "threshold": "60.00"},
        {"type": "money_account", "id": "euro", "entity": "us", "name": "Euro", "kind": "bank", "currency": "EUR"},
        payment("PE", "50.00", "2026-02-15", account="euro") | {"currency": "EUR"},
        {"type": "fee", "id": "f", "entity": "us", "account": "euro", "date": "2026-02-16", "amount": "2.00"},
        {"type": "unidentified_receipt", "id": "X", "entity": "us", "currency": "EUR", "date": "2026-02-17", "account": "euro", "amount": "30.00"},
        {"type": "receipt_identified", "id": "X/1", "receipt": "X", "customer": "globex", "date": "2026-02-18", "amount": "12.00"},
        {"type": "customer_credit", "id": "GW", **PARTY, "date": "2026-02-19", "amount": "5.00", "reason": "outage"},
        {"type": "tax_remittance", "id": "R", "entity": "us", "date": "2026-02-20", "start": "2026-01-01", "end": "2026-01-31", "rail": "wire",
         "lines": [{"code": "VAT", "amount": "60.00"}]},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")


# Figures that the lines of postings alone don't make: what is scheduled, net by contract, or a thing's own.
_NOT_POSTED = {
    "revenue-waterfall": lambda row, _: row["status"] != "recognised",
    "contract-balances": lambda row, _: row["balance"] not in ("Receivables", "Refund liabilities"),
    "remaining-obligations": lambda _, key: key != "as_used",
    "schedule": lambda _, key: key != "recognised",
    "wallet": lambda _, key: key in ("granted", "drawn", "expired", "moved", "left"),
    "balance-sheet": lambda row, _: (
        "role" not in row and row["account"] not in ("Retained earnings", "Result of the year")
    ),
    "income-statement": lambda row, _: "role" not in row,
    "tax-payable": lambda _, key: key not in ("charged", "manual"),
    "money-accounts": lambda _, key: key not in ("held", "opening"),
    "unidentified-receipts": lambda _, key: key != "left_over",
}
# Reports whose figures are of one document, contract or customer, which they lead to.
_OF_THINGS = {
    "contracts", "allocation", "modifications", "estimates", "financing", "contract-costs", "recognition-journal", "changes", "wallet-forecast",
    "wallet-alerts", "ar-aging", "statement", "dunning", "discounts", "exported", "stand-alone-prices",
    "standing", "below-zero",
}  # fmt: skip
_FILTERS = {
    "everything": {}, "one entity": {"entity": "us"}, "a stretch": {"since": "2026-02-01", "as_of": "2026-02-20"},
    "by customer and product": {"group": ("customer", "product")}, "by contract": {"group": ("contract",)},
    "quarters, as of a day": {"period": "quarter", "as_of": "2026-02-10"}, "in transactions' currency": {"transaction": True},
    "in the entity's": {"transaction": False}, "a product": {"product": "seats"},
}  # fmt: skip


def _filters(given: dict[str, Any]) -> Filters:
    from datetime import date

    days = {name: date.fromisoformat(given[name]) for name in ("since", "as_of") if name in given}
    return Filters(**(given | days))


@pytest.mark.parametrize("given", _FILTERS.values(), ids=_FILTERS.keys())
def test_every_figure_leads_to_what_makes_it_up(
    cli: Cli, app: Flask, connection: Connection, given: dict[str, Any]
) -> None:
    _books(cli)
    filters = _filters(given)
    links: dict[str, tuple[int, str, str]] = {}
    followed = set()
    with app.test_request_context("/"):
        for name in reports.REPORTS:
            if name == "changes":
                continue
            report = reports.make(connection, name, filters)
            for row in report.rows:
                for column in report.columns:
                    value = row.get(column.key)
                    if column.kind != "amount" or not value:
                        continue
                    href = drill(row, column.key, filters, name)
                    if name in _OF_THINGS or _NOT_POSTED.get(name, lambda *_: False)(row, column.key):
                        total = name in ("balance-sheet", "income-statement") or column.key == "range"
                        assert href is not None or total or name in ("stand-alone-prices", "wallet-forecast"), (
                            name,
                            column.key,
                            row,
                        )
                        continue
                    assert href is not None, (name, column.key, row)
                    assert "/figure?" in href, (name, column.key, row)
                    links[href] = (value, row["currency"], f"{name} {column.key} {row}")
                    followed.add(name)
    client = app.test_client()
    for href, (value, currency, where) in links.items():
        answer = client.get(href)
        assert answer.status_code == 200, where
        shown = unescape(re.search(r"<h1>(.*?)</h1>", answer.text).group(1))  # type: ignore[union-attr]
        assert shown == f"{grouped(value, currency)} {currency}", (where, href)
    if not given:
        assert followed == {
            "trial-balance", "income-statement", "balance-sheet", "summary", "revenue-waterfall", "deferred-rollforward", "asset-rollforward",
            "contract-balances", "remaining-obligations", "disaggregation", "schedule", "unbilled", "wallet", "tax", "between-entities",
            "tax-payable", "money-accounts", "unidentified-receipts",
        }  # fmt: skip


def test_a_figures_lines_are_entries_with_their_documents(cli: Cli, app: Flask) -> None:
    _books(cli)
    page = (
        app.test_client()
        .get(
            "/figure?role=deferred_revenue,customer_credits&side=credit&flow=liability.billed&from=2026-01-01&as_of=2026-01-31"
        )
        .text
    )
    # 100.00 of credits, 365.00 of service and 30.00 sold once were billed
    assert "<h1>495.00 USD</h1>" in page
    assert "/documents/invoice/I" in page
    assert "invoice.prepaid" in page


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("role=nothing", "expected one of cash"), ("", "expected one of cash"), ("role=cash&flow=x", "expected liability.billed"),
        ("role=cash&earned=x", "expected usage"), ("role=cash&customer=x", "expected the id of a customer"),
        ("role=cash&as_of=x", "expected a date"),
    ],
)  # fmt: skip
def test_a_figure_that_is_none_is_refused(cli: Cli, app: Flask, query: str, said: str) -> None:
    cli.post(*parties())
    answer = app.test_client().get(f"/figure?{query}")
    assert answer.status_code == 422
    assert said in answer.text
