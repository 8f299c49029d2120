"""Collected tax: remitted by code and period, set off against what customers withheld; and tax that customers withhold."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import invoice, one_time, parties, payment

Document = dict[str, Any]
TAXED = {"tax_codes": ["VAT"]}
BASE: list[Document] = [
    *parties(),
    {"type": "customer", "id": "initech", "name": "Initech"},
    {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.10"},
    {"type": "tax_code", "id": "TDS", "name": "Tax deducted at source", "rate": "0.10"},
    {"type": "money_account", "id": "bank", "entity": "us", "name": "Bank", "kind": "bank", "currency": "USD"},
    invoice("A", "2026-01-10", one_time("300.00") | TAXED),
    invoice("B", "2026-01-20", one_time("200.00") | TAXED, customer="initech"),
]
CREDITED = {
    "type": "credit_note",
    "id": "CN",
    "invoice": "A",
    "date": "2026-02-15",
    "lines": [{"line": "1", "amount": "100.00"}],
}


def remitted(
    ref: str, amount: str, day: str = "2026-02-20", start: str = "2026-01-01", end: str = "2026-01-31", **more: Any
) -> Document:
    return {
        "type": "tax_remittance", "id": ref, "entity": "us", "date": day, "start": start, "end": end, "account": "bank",
        "lines": [{"code": "VAT", "amount": amount}], **more,
    }  # fmt: skip


def left(cli: Cli) -> list[tuple[str, ...]]:
    return [
        (row["month"], row["code"], row["charged"], row["remitted"], row["withheld"], row["left_over"])
        for row in cli.report("tax-payable")
    ]


def test_tax_is_remitted_by_code_and_period(cli: Cli) -> None:
    """10 % of 300.00 and 200.00 is 50.00 of January; the note takes 10.00 back in February, after what is remitted for January."""
    cli.post(*BASE, CREDITED, remitted("R1", "20.00"), remitted("R2", "30.00"))
    assert left(cli) == [
        ("2026-01", "VAT", "50.00", "50.00", "0.00", "0.00"),
        ("2026-02", "VAT", "-10.00", "0.00", "0.00", "-10.00"),
    ]
    assert cli.totals()["tax_payable"] == -10
    assert {row["tax"] for row in cli.report("tax")} == {"50.00", "-10.00"}
    assert "all" in cli.ok("verify")
    assert "money_account bank" in cli.ok("trace", "tax_remittance:R1")
    said = "lines.0.amount = 0.01 USD: expected at most 0.00, what is left of VAT charged by 2026-01-31"
    assert said in cli.refuse(remitted("R3", "0.01"))


def test_what_a_longer_period_remitted_is_not_remitted_again(cli: Cli) -> None:
    cli.post(
        *BASE,
        invoice("C", "2026-03-05", one_time("70.00") | TAXED),
        remitted("Q", "57.00", "2026-04-20", end="2026-03-31"),
    )
    assert "expected at most 0.00, what is left of VAT charged by 2026-01-31" in cli.refuse(remitted("R", "50.00"))
    assert left(cli) == [
        ("2026-01", "VAT", "50.00", "0.00", "0.00", "50.00"),
        ("2026-03", "VAT", "7.00", "57.00", "0.00", "0.00"),
    ]


@pytest.mark.parametrize(
    ("doc", "said"),
    [
        (remitted("R", "50.01"), "lines.0.amount = 50.01 USD: expected at most 50.00, what is left of VAT charged by 2026-01-31"),
        (remitted("R", "1.00", lines=[{"code": "VAT", "amount": "49.00"}, {"code": "GST", "amount": "2.00"}]), "lines.1.code = GST"),
        (remitted("R", "1.00", end="2025-12-31"), "end = 2025-12-31: expected start (2026-01-01) or later"),
        (remitted("R", "1.00", "2025-12-31"), "date = 2025-12-31: expected 2026-01-01, the first day it is for, or later"),
        (remitted("R", "1.00", account=None), "account = missing: expected the money_account"),
        (remitted("R", "1.00", lines=[{"code": "VAT", "amount": "1.00"}] * 2), "lines = VAT: expected each id once"),
        (
            remitted("R", "1.00", lines=[{"code": "VAT", "amount": "1.00", "withheld": "TDS"}]),
            "lines.0.amount = 1.00 USD: expected at most 0.00, what customers withheld by TDS",
        ),
    ],
)  # fmt: skip
def test_refusals(cli: Cli, doc: Document, said: str) -> None:
    cli.post(*BASE)
    assert said in cli.refuse({key: value for key, value in doc.items() if value is not None})


def test_manual_entries_count(cli: Cli) -> None:
    """An assessment of 4.00 more, and 9.00 remitted by a manual entry: 45.00 are left."""

    def entry(ref: str, amount: str, **line: str) -> Document:
        return {
            "type": "manual_entry", "id": ref, "entity": "us", "date": "2026-01-31", "currency": "USD", "reason": "assessed",
            "approved_by": "ann", "lines": [{"amount": amount, **line}],
        }  # fmt: skip

    cli.post(
        *BASE,
        entry("m", "4.00", debit="bad_debt", credit="tax_payable", credit_subject="tax:VAT"),
        entry("n", "9.00", debit="tax_payable", debit_subject="tax:VAT", credit="cash", credit_subject="account:bank"),
        entry("o", "1.00", debit="tax_payable", credit="cash"),
    )
    assert "all" in cli.ok("verify")
    assert "expected at most 45.00, what is left of VAT" in cli.refuse(remitted("R", "45.01"))
    cli.post(remitted("R", "45.00"))
    assert "debit_subject = GST: expected the id of a tax code" in cli.refuse(
        entry("p", "1.00", debit="tax_payable", debit_subject="tax:GST", credit="cash")
    )
    assert "all" in cli.ok("verify")


def withholding(ref: str, day: str, of: str, amount: str, kept: str, **more: Any) -> Document:
    doc = payment(ref, amount, day, account="bank", **more)
    return doc | {"applications": [{"invoice": of, "amount": amount, "withheld": [{"code": "TDS", "amount": kept}]}]}


def test_a_customer_withholds_tax(cli: Cli) -> None:
    """330.00 are due: 297.00 come, 33.00 are withheld; of these 20.00 are set off against January's 50.00, 30.00 paid."""
    cli.post(*BASE, withholding("P", "2026-02-10", "A", "297.00", "33.00"))
    totals = cli.totals()
    assert (totals["tax_withheld"], totals["cash"], totals["accounts_receivable"]) == (33, 297, 220)
    assert {row["invoice"]: row["due"] for row in cli.report("ar-aging")} == {"B": "220.00"}
    shown = json.loads(cli.ok("invoice", "A", "--format", "json"))
    assert (shown["paid"], [(one["kind"], one["amount"]) for one in shown["settlements"]]) == (
        "330.00", [("payment", "297.00"), ("withheld", "33.00")],
    )  # fmt: skip
    both = [{"code": "VAT", "amount": "30.00"}, {"code": "VAT", "amount": "20.00", "withheld": "TDS"}]
    cli.post(remitted("R", "", lines=both))
    assert left(cli) == [("2026-01", "VAT", "50.00", "30.00", "20.00", "0.00")]
    assert cli.totals()["tax_withheld"] == 13
    assert "all" in cli.ok("verify")
    assert "payment:P" in cli.ok("trace", "invoice:A")


def test_no_more_is_withheld_than_is_due(cli: Cli) -> None:
    cli.post(*BASE)
    said = "applications.0.amount = 330.01 USD: expected at most 330.00, what is due of invoice A"
    assert said in cli.refuse(withholding("P", "2026-02-10", "A", "297.00", "33.01"))
    unknown = withholding("P", "2026-02-10", "A", "297.00", "33.00")
    unknown["applications"][0]["withheld"][0]["code"] = "GST"
    assert "applications.0.withheld.0.code = GST: expected the id of a tax code" in cli.refuse(unknown)


def test_any_order_comes_to_the_same(cli: Cli) -> None:
    """What was charged comes before what is remitted of it; everything else in any order."""
    cli.post(*BASE[:7])
    seen = set()
    docs = [*BASE[8:], withholding("P", "2026-02-10", "A", "297.00", "33.00"), remitted("R", "30.00"), CREDITED]
    for number, order in enumerate(permutations(docs)):
        refs = [doc["id"] for doc in order]
        if refs.index("A") > min(refs.index("P"), refs.index("CN"), refs.index("R")) or refs.index("B") > refs.index(
            "R"
        ):
            continue
        if refs.index("P") > refs.index("CN"):
            continue  # the note lowers what is due: no more than that is withheld and paid
        entity = f"e{number}"
        parties_ = [
            {"type": "entity", "id": entity, "name": "E", "currency": "USD"},
            BASE[7] | {"id": f"bank{number}", "entity": entity},
        ]
        cli.post(*parties_, *(_at(doc, number, entity) for doc in order))
        rows = cli.report("trial-balance", "--entity", entity)
        seen.add(tuple(sorted((row["role"], row["debit"], row["credit"]) for row in rows)))
    assert len(seen) == 1
    assert "all" in cli.ok("verify")


def _at(doc: Document, number: int, entity: str) -> Document:
    moved = doc | {"id": f"{doc['id']}{number}"}
    for key in ("invoice",):
        if key in doc:
            moved[key] = f"{doc[key]}{number}"
    if "entity" in doc:
        moved["entity"] = entity
    if "account" in doc:
        moved["account"] = f"bank{number}"
    if "applications" in doc:
        moved["applications"] = [item | {"invoice": f"{item['invoice']}{number}"} for item in doc["applications"]]
    return moved


def test_a_remittance_that_came_back_is_owed_again_by_a_manual_entry_of_its_period(cli: Cli) -> None:
    """50.00 of January are remitted, and come back: by an entry of January they are owed for it again, and remitted once more."""
    back = {
        "type": "manual_entry", "id": "M", "entity": "us", "date": "2026-01-31", "currency": "USD", "reason": "R1 came back", "approved_by": "ann",
        "lines": [{"debit": "cash", "credit": "tax_payable", "debit_subject": "account:bank", "credit_subject": "tax:VAT", "amount": "50.00"}],
    }  # fmt: skip
    cli.post(*BASE, remitted("R1", "50.00"), back)
    assert left(cli) == [("2026-01", "VAT", "50.00", "50.00", "0.00", "50.00")]
    assert cli.totals()["tax_payable"] == 50
    cli.post(remitted("R2", "50.00", "2026-03-02"))
    assert "all" in cli.ok("verify")
    assert (cli.totals().get("tax_payable", 0), cli.totals()["cash"]) == (0, -50)
