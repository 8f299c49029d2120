from __future__ import annotations

import json
from typing import Any

from tests.conftest import Cli
from tests.samples import (
    PARTY,
    application,
    billed_usage,
    contract,
    grant,
    invoice,
    obligation,
    one_time,
    parties,
    payment,
    prepaid,
    usage,
)


def _books(cli: Cli) -> None:
    cli.post(
        *parties(),
        grant("G"),
        invoice("I1", "2026-01-01", prepaid("100.00")),
        usage("u1", "130.00", "2026-01-10", events="meter.csv rows 1-9"),
        contract("C", "2026-01-01", obligation("C/seats", "310.00", "2026-01-01", "2026-01-31")),
        invoice("I2", "2026-01-31", billed_usage("30.00"), {"id": "2", "kind": "service", "amount": "310.00", "obligation": "C/seats"}),
        payment("P", "340.00", "2026-02-10", ("I2", "340.00")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")


def _trace(cli: Cli, ref: str) -> dict[str, Any]:
    return json.loads(cli.ok("trace", ref, "--format", "json"))


def _refs(steps: list[dict[str, Any]]) -> list[str]:
    return [f"{step['kind']} {step['ref']}" for step in steps]


def test_from_an_entry_to_the_events_and_the_invoice_that_paid_for_it(cli: Cli) -> None:
    _books(cli)
    (entry,) = _trace(cli, "usage:u1")["entries"]
    found = _trace(cli, str(entry["entry"]))
    assert _refs(found["comes_from"]) == ["usage u1", "events meter.csv rows 1-9", "grant G", "invoice I1"]
    assert found["led_to"][0]["text"] == "2026-01-31 invoice:I2: 30.00 USD invoice.usage, 310.00 USD invoice.obligation"
    assert found["title"].endswith("100.00 USD draw.prepaid, 30.00 USD usage.overage")


def test_from_an_invoice_to_its_usage_contract_and_payment(cli: Cli) -> None:
    _books(cli)
    found = _trace(cli, "invoice:I2")
    assert set(_refs(found["comes_from"])) == {"contract C", "usage u1"}
    assert any("payment:P: 340.00 USD payment.applied" in step["text"] for step in found["led_to"])


def test_from_a_contract_to_its_revenue(cli: Cli) -> None:
    _books(cli)
    assert any("310.00 USD recognise.deferred" in step["text"] for step in _trace(cli, "C")["led_to"])
    found = _trace(cli, "obligation:C/seats")
    assert _refs(found["comes_from"]) == ["contract C"]
    assert len(found["led_to"]) == 2  # billed, recognised


def test_from_a_grant_to_what_was_drawn(cli: Cli) -> None:
    _books(cli)
    texts = [step["text"] for step in _trace(cli, "G")["led_to"]]
    assert texts == [
        "2026-01-01 invoice:I1: 100.00 USD invoice.prepaid",
        "2026-01-10 usage:u1: 100.00 USD draw.prepaid, 30.00 USD usage.overage",
    ]


def test_every_line_of_an_entry_is_there(cli: Cli) -> None:
    _books(cli)
    (entry,) = _trace(cli, "u1")["entries"]
    lines = [(line["side"], line["account"], line["subject"], line["amount"]) for line in entry["lines"]]
    assert lines == [
        ("debit", "customer_credits", "grant:G", "100.00"),
        ("credit", "revenue", "grant:G", "100.00"),
        ("debit", "unbilled_receivable", "usage:tokens", "30.00"),
        ("credit", "revenue", "usage:tokens", "30.00"),
    ]
    assert entry["posted_by"] == "tester"


def test_an_id_of_several_types_must_be_told(cli: Cli) -> None:
    cli.post(*parties(), {"type": "product", "id": "globex", "name": "Globe"})
    message = cli.refused("trace", "globex")
    assert "ref = globex: several documents have this id; expected one of customer:globex, product:globex" in message
    assert "customer globex" in cli.ok("trace", "customer:globex")


def test_a_document_whose_id_is_a_number(cli: Cli) -> None:
    cli.post(*parties(), {"type": "product", "id": "1", "name": "One"}, usage("u", "1.00", "2026-01-01"))
    assert cli.ok("trace", "1").startswith("product 1")
    assert cli.ok("trace", "entry:1").startswith("entry 1 of 2026-01-01")


def test_what_is_not_there(cli: Cli) -> None:
    for ref in ("nothing", "invoice:X", "999", "obligation:x", "entry:x"):
        assert "refused" in cli.refused("trace", ref)


def test_from_a_contract_to_what_changed_it(cli: Cli) -> None:
    """A termination posts nothing, and says what of the contract is earned: it is in the chain, by its date."""
    cli.post(
        *parties(), contract("K", "2026-01-01", obligation("K/seats", "1200.00", "2026-01-01", "2026-12-31")),
        {"type": "consideration_payable", "id": "P", "contract": "K", "date": "2026-02-01", "amount": "12.00", "reason": "shelf"},
        {"type": "contract_termination", "id": "T", "contract": "K", "date": "2026-07-01", "reason": "moved"},
    )  # fmt: skip
    of_contract = _refs(_trace(cli, "contract:K")["led_to"])
    assert [ref for ref in of_contract if not ref.startswith("entry ")] == [
        "consideration_payable P",
        "contract_termination T",
    ]
    of_obligation = _refs(_trace(cli, "obligation:K/seats")["led_to"])
    assert [ref for ref in of_obligation if not ref.startswith("entry ")] == [
        "consideration_payable P",
        "contract_termination T",
    ]


def test_an_application_and_its_invoice_lead_to_the_money(cli: Cli) -> None:
    """A receipt that nobody could place, 50.00, and goodwill of 5.00 pay 52.00 of I: all of the first, 2.00 of the second."""
    cli.post(
        *parties(),
        invoice("I", "2026-02-02", one_time("60.00")),
        {"type": "unidentified_receipt", "id": "X", "entity": "us", "currency": "USD", "date": "2026-02-03", "rail": "wire", "amount": "50.00"},
        {"type": "receipt_identified", "id": "X/g", "receipt": "X", "customer": "globex", "date": "2026-02-04"},
        {"type": "customer_credit", "id": "GW", **PARTY, "date": "2026-02-05", "amount": "5.00", "reason": "sorry"},
        application("A", "52.00", "2026-02-06", "I"),
    )  # fmt: skip

    def steps(ref: str, way: str) -> dict[str, str]:
        found = json.loads(cli.ok("trace", ref, "--format", "json"))[way]
        return {f"{step['kind']} {step['ref']}": step["text"] for step in found}

    of_application = steps("application:A", "comes_from")
    assert of_application["receipt_identified X/g"].endswith("50.00 USD of it")
    assert of_application["customer_credit GW"].endswith(": 2.00 USD of it")
    of_invoice = steps("invoice:I", "led_to")
    assert of_invoice["receipt_identified X/g"].endswith("50.00 USD of it")
    assert of_invoice["customer_credit GW"].endswith(": 2.00 USD of it")
    assert steps("receipt_identified:X/g", "led_to")["application A"].endswith(": 50.00 USD of it")
    assert steps("customer_credit:GW", "led_to")["application A"].endswith(": 2.00 USD of it")
    (entry,) = json.loads(cli.ok("trace", "application:A", "--format", "json"))["entries"]
    assert "receipt_identified X/g" in steps(f"entry:{entry['entry']}", "comes_from")
