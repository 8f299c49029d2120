"""Money of nobody known, and who it turns out to be of; balances given as goodwill."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, text

from tests.conftest import Cli
from tests.samples import PARTY, application, invoice, one_time, parties, payment
from tests.test_currencies import EUR, rate
from web.access.scope import ENTITY_OF

Document = dict[str, Any]
BECAUSE = {"reason": "because"}


def receipt(ref: str, amount: str, day: str, currency: str = "USD", **more: Any) -> Document:
    return {
        "type": "unidentified_receipt", "id": ref, "entity": "us", "currency": currency, "date": day, "rail": "wire", "amount": amount,
        "text": "ref 4711", **more,
    }  # fmt: skip


def identified(ref: str, of: str, day: str, customer: str = "globex", **more: Any) -> Document:
    return {"type": "receipt_identified", "id": ref, "receipt": of, "customer": customer, "date": day, **more}


def returned(ref: str, of: str, day: str, **more: Any) -> Document:
    return {"type": "receipt_returned", "id": ref, "receipt": of, "date": day, **BECAUSE, **more}


BASE = [
    *parties(), {"type": "customer", "id": "initech", "name": "Initech"}, invoice("I", "2026-01-05", one_time("60.00")),
]  # fmt: skip


def test_a_receipt_is_identified_in_parts_and_the_rest_goes_back(cli: Cli) -> None:
    """100.00: 60.00 are Globex', which pay its invoice, 25.00 Initech's, 15.00 go back."""
    cli.post(*BASE, receipt("X", "100.00", "2026-01-10"))
    (row,) = cli.report("unidentified-receipts")
    assert (row["receipt"], row["text"], row["came"], row["left_over"]) == ("X", "ref 4711", "100.00", "100.00")
    cli.post(
        identified("X/g", "X", "2026-01-12", amount="60.00"), application("a", "60.00", "2026-01-12", "I"),
        identified("X/i", "X", "2026-01-13", "initech", amount="25.00"), returned("X/r", "X", "2026-01-20"),
    )  # fmt: skip
    totals = cli.totals()
    assert {role: amount for role, amount in totals.items() if amount} == {
        "cash": 85,
        "customer_balance": 25,
        "deferred_revenue": 60,
    }
    assert cli.report("unidentified-receipts") == []
    assert "all" in cli.ok("verify")
    told = cli.ok("trace", "unidentified_receipt:X")
    assert all(ref in told for ref in ("receipt_identified X/g", "receipt_identified X/i", "receipt_returned X/r"))
    assert "unidentified_receipt X" in cli.ok("trace", "receipt_identified:X/i")
    assert [line["document"] for line in cli.report("statement", "--customer", "initech")] == ["receipt_identified X/i"]


@pytest.mark.parametrize(
    ("doc", "said"),
    [
        (identified("n", "Y", "2026-01-12"), "receipt = Y: expected the id of an unidentified_receipt posted before"),
        (
            identified("n", "X", "2026-01-12", "nobody"),
            "customer = nobody: expected the id of a customer posted before",
        ),
        (
            identified("n", "X", "2026-01-09"),
            "date = 2026-01-09: expected 2026-01-10, when receipt X came in, or later",
        ),
        (
            identified("n", "X", "2026-01-12", amount="70.01"),
            "amount = 70.01 USD: expected at most 70.00, what is left of receipt X",
        ),
        (
            returned("n", "X", "2026-01-12", amount="70.01"),
            "amount = 70.01 USD: expected at most 70.00, what is left of receipt X",
        ),
        (
            receipt("n", "1.00", "2026-01-10", account="nobody"),
            "account = nobody: expected the id of a money_account posted before",
        ),
    ],
)
def test_refusals(cli: Cli, doc: Document, said: str) -> None:
    cli.post(*BASE, receipt("X", "100.00", "2026-01-10"), identified("X/1", "X", "2026-01-11", amount="30.00"))
    assert said in cli.refuse(doc)


def test_in_another_currency_it_counts_as_it_came(cli: Cli) -> None:
    """100.00 EUR at 1.10; a part is known, and a part goes back, when the euro is at 1.20: 60.00 EUR are 66.00 USD, and nothing is lost."""
    account = {"type": "money_account", "id": "euro", "entity": "us", "name": "Euro", "kind": "bank", "currency": "EUR"}
    cli.post(
        *BASE, rate("2026-01-01", "1.10"), rate("2026-01-11", "1.20"), account, receipt("X", "100.00", "2026-01-10", "EUR", account="euro"),
        identified("X/g", "X", "2026-01-12", amount="60.00"), returned("X/r", "X", "2026-01-20"),
    )  # fmt: skip
    balance = {row["role"]: (row["debit"], row["credit"]) for row in cli.report("trial-balance")}
    assert balance["customer_balance"] == ("0.00", "66.00")
    assert balance["cash"] == ("66.00", "0.00")
    assert not {"fx_gain", "fx_loss"} & {role for role, (debit, credit) in balance.items() if debit != credit}
    assert "all" in cli.ok("verify")
    cli.post(invoice("E", "2026-01-15", one_time("60.00")) | EUR, application("a", "60.00", "2026-01-15", "E") | EUR)
    assert "all" in cli.ok("verify")


def test_each_document_is_of_an_entity(cli: Cli, connection: Connection) -> None:
    """A key for some entities posts and finds what is of these: also what only names what is."""
    accounts = [
        {"type": "money_account", "id": ref, "entity": "us", "name": ref, "kind": "bank", "currency": "USD"}
        for ref in ("a", "b")
    ]
    cli.post(
        *BASE, *accounts, receipt("X", "100.00", "2026-01-10"), identified("X/1", "X", "2026-01-11", amount="30.00"),
        returned("X/2", "X", "2026-01-11"),
        {"type": "transfer", "id": "T", "entity": "us", "date": "2026-01-10", "from_account": "a", "to_account": "b", "amount": "1.00"},
        {"type": "transfer_reversal", "id": "TR", "transfer": "T", "date": "2026-01-10", **BECAUSE},
    )  # fmt: skip
    query = f"select d.type, {ENTITY_OF} from document d where d.type ~ 'receipt|transfer'"
    found = {(type_, entity) for type_, entity in connection.execute(text(query))}
    types = ("unidentified_receipt", "receipt_identified", "receipt_returned", "transfer", "transfer_reversal")
    assert found == {(type_, "us") for type_ in types}


def credit(ref: str, amount: str, day: str, **more: Any) -> Document:
    return {"type": "customer_credit", "id": ref, **PARTY, "date": day, "amount": amount, **BECAUSE, **more}


def test_goodwill_pays_invoices(cli: Cli) -> None:
    """20.00 given, 12.00 of them pay; of the 8.00 left 5.00 are taken back."""
    cli.post(*BASE, credit("c", "20.00", "2026-01-10"), application("a", "12.00", "2026-01-11", "I"))
    assert "expected at most 8.00, what is unused of credit c on 2026-01-12" in cli.refuse(
        credit("t", "8.01", "2026-01-12", takes_back="c")
    )
    cli.post(credit("t", "5.00", "2026-01-12", takes_back="c"))
    assert cli.summary()["2026-01"]["promotional_credits"] == "15.00"
    assert (cli.totals()["customer_balance"], cli.totals()["accounts_receivable"]) == (3, 48)
    assert "customer_credit c" in cli.ok("trace", "customer_credit:t")
    assert "customer_credit t" in cli.ok("trace", "customer_credit:c")
    assert "all" in cli.ok("verify")
    assert "takes_back = d: expected the id of a customer_credit of globex" in cli.refuse(
        credit("u", "1.00", "2026-01-12", takes_back="d")
    )


def test_goodwill_alone_is_revenue_below_zero_that_a_document_explains(cli: Cli) -> None:
    cli.post(*parties(), credit("c", "20.00", "2026-03-10"))
    assert cli.report("below-zero") == []
    assert "WARN" not in cli.ok("verify")


def test_money_of_the_customers_own_is_not_taken_back(cli: Cli) -> None:
    cli.post(*BASE, credit("c", "20.00", "2026-01-10"), payment("p", "50.00", "2026-01-10"))
    assert "expected at most 20.00" in cli.refuse(credit("t", "20.01", "2026-01-12", takes_back="c"))
    before = cli.totals()
    cli.post(credit("t", "20.00", "2026-01-12", takes_back="c"))
    assert cli.totals() == {k: v for k, v in before.items() if k != "promotional_credits"} | {
        "customer_balance": before["customer_balance"] - 20
    }
