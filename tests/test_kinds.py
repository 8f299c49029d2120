"""A document of each kind, with what it is about and what undoes it, arrives in three ways: the books are the same.

At once; month by month, each recognised; and the last first, as far as what a document names, or would compete with, allows. Which
comes first is told in `AFTER` where a document does not name it: whose money an application takes, or what is left of an invoice.
A new kind of document is told here, or it is said where else it is.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from revrec.kinds import TYPES
from tests.histories import Document, History, Told, day_of, key_of, months_on
from tests.samples import (
    PARTY,
    application,
    billed_usage,
    contract,
    credit_note,
    grant,
    invoice,
    obligation,
    one_time,
    payment,
    prepaid,
    service,
    usage,
)
from tests.shelves import Place, Shelf
from tests.test_relations import closing, difference, hold, late

BECAUSE = {"reason": "because"}
GBP = {"currency": "GBP"}
# Told of the shelf itself, whose rates all its histories share.
ELSEWHERE = {"fx_rate"}

MASTERS: list[Document] = [
    {"type": "entity", "id": "us", "name": "Acme AI Inc", "currency": "USD"},
    {"type": "customer", "id": "globex", "name": "Globex"},
    {"type": "customer", "id": "child", "name": "Globex Labs", "parent": "globex"},
    {"type": "product", "id": "seats", "name": "Seats"},
    {"type": "product", "id": "tokens", "name": "Tokens"},
    {"type": "tax_code", "id": "vat", "name": "VAT", "rate": "0.10"},
    {"type": "tax_code", "id": "tds", "name": "Withheld", "rate": "0.10"},
    {"type": "coupon", "id": "launch", "name": "Launch", "percent": "20", "duration": "once"},
    *({"type": "money_account", "id": ref, "entity": "us", "name": ref, "kind": "bank", "currency": currency}
      for ref, currency in (("till", "USD"), ("pounds", "GBP"))),
    {"type": "gl_account", "id": "gl", "entity": "us", "role": "revenue", "product": "seats", "code": "4010", "name": "Seats"},
    {"type": "stand_alone_price", "id": "ssp", "product": "seats", "currency": "USD", "date": "2026-01-01", "price": "120.00"},
    {"type": "wallet_alert", "id": "alert", **PARTY, "threshold": "10.00"},
]  # fmt: skip


def _of(kind: str, ref: str, day: str, **more: Any) -> Document:
    return {"type": kind, "id": ref, "date": day, **more}


def _sold(ref: str = "I", **more: Any) -> Document:
    """100.01 of service for four months, with taxes."""
    return invoice(ref, "2026-01-05", service("100.01", "2026-01-05", "2026-04-30", tax_codes=["vat"]), **more)


_PAID = payment("P", "120.00", "2026-01-20", ("I", "110.01"))
_LOST = _of("write_off", "W", "2026-02-10", invoice="I", amount="90.00", approved_by="ann", **BECAUSE)

KINDS: dict[str, list[Document]] = {
    "payment_reversal": [
        _sold(), payment("P", "75.00", "2026-01-20", ("I", "60.00")), application("A", "10.00", "2026-02-03", "I", payment="P"),
        _of("unapplication", "UA", "2026-02-20", application="A", amount="4.00"),
        _of("payment_reversal", "PR", "2026-03-04", payment="P", fee="4.00", **BECAUSE),
    ],
    "payment_reversal in pounds": [
        _sold(**GBP), payment("P", "75.00", "2026-01-20", ("I", "60.00"), account="pounds") | {"rail": None} | GBP,
        _of("payment_reversal", "PR", "2026-03-04", payment="P", **BECAUSE),
    ],
    "unapplication of a payment": [
        _sold(), _PAID, _of("unapplication", "UA", "2026-02-20", payment="P", invoice="I"), application("A", "50.00", "2026-03-03", "I"),
    ],
    "credit_note_void": [
        _sold(), _PAID,
        credit_note("N", "2026-02-10", "40.00") | {"lines": [{"line": "1", "amount": "40.00"}, {"product": "seats", "amount": "20.00"}]},
        _of("credit_note_void", "NV", "2026-03-10", credit_note="N", **BECAUSE),
    ],
    "credit_note of no invoice, and its void": [
        _of("credit_note", "N", "2026-02-10", **PARTY, lines=[{"product": "seats", "amount": "20.00", "tax_codes": ["vat"]}]),
        _of("credit_note_void", "NV", "2026-03-10", credit_note="N", **BECAUSE),
    ],
    "refund_reversal": [
        _sold(), _PAID, _of("refund", "R", "2026-02-10", payment="P", amount="50.00", fee="0.30"),
        _of("refund_reversal", "RR", "2026-03-10", refund="R", **BECAUSE),
    ],
    "dispute": [
        _sold(), _PAID, _of("dispute", "D1", "2026-02-05", payment="P", amount="40.00", status="opened", fee="15.00"),
        _of("dispute", "D2", "2026-02-15", payment="P", amount="40.00", status="lost", opening="D1"),
        _of("dispute", "D3", "2026-03-15", payment="P", amount="40.00", status="reinstated", opening="D1", fee_refund="15.00"),
        _of("dispute", "E1", "2026-02-06", payment="P", amount="10.00", status="opened", fee="15.00"),
        _of("dispute", "E2", "2026-04-01", payment="P", amount="10.00", status="won", opening="E1", fee_refund="15.00"),
    ],
    "recovery": [
        _sold(), _LOST, _of("recovery", "RC", "2026-03-05", write_off="W", account="till", amount="60.00", fee="1.00"),
        _of("refund", "R", "2026-03-20", recovery="RC", amount="20.00"), _of("refund_reversal", "RR", "2026-04-10", refund="R", **BECAUSE),
        _of("dispute", "D1", "2026-03-21", recovery="RC", amount="10.00", status="opened"),
        _of("dispute", "D2", "2026-04-21", recovery="RC", amount="10.00", status="lost", opening="D1"),
    ],
    "recovery that comes back": [
        _sold(), _LOST, _of("recovery", "RC", "2026-03-05", write_off="W", account="till", amount="60.00"),
        _of("recovery", "RD", "2026-03-10", write_off="W", account="till", amount="20.00"),
        _of("payment_reversal", "B", "2026-04-07", recovery="RC", fee="4.00", **BECAUSE),
        _of("recovery", "RE", "2026-05-02", write_off="W", account="till", amount="70.00"),
    ],
    "refund of the balance": [
        payment("P", "75.00", "2026-01-20"), _of("customer_credit", "G", "2026-02-01", **PARTY, amount="20.00", **BECAUSE),
        _of("refund", "R", "2026-03-03", **PARTY, account="till", amount="85.00"), _of("refund_reversal", "RR", "2026-04-04", refund="R", **BECAUSE),
        _of("refund", "S", "2026-05-05", **PARTY, account="till", amount="90.00"),
    ],
    "receipt that comes back": [
        _sold(), _of("unidentified_receipt", "X", "2026-01-10", entity="us", currency="USD", account="till", amount="100.00"),
        _of("receipt_identified", "XI", "2026-02-04", receipt="X", customer="globex", amount="60.00"), application("A", "30.00", "2026-02-08", "I"),
        _of("dispute", "D1", "2026-03-01", receipt="XI", amount="60.00", status="opened"),
        _of("dispute", "D2", "2026-03-20", receipt="XI", amount="60.00", status="won", opening="D1"),
        _of("payment_reversal", "B", "2026-04-07", receipt="XI", **BECAUSE),
    ],
    "transfer": [
        payment("P", "75.00", "2026-01-20", account="pounds") | {"rail": None} | GBP,
        _of("transfer", "T", "2026-02-05", entity="us", from_account="pounds", to_account="till", amount="50.00", received="60.00", fee="0.50"),
        _of("transfer_reversal", "TR", "2026-03-07", transfer="T", fee_returned=True, **BECAUSE),
        _of("fee", "F1", "2026-02-28", entity="us", account="till", amount="12.00"),
        _of("fee", "F2", "2026-03-31", entity="us", account="till", amount="12.00", returned=True),
    ],
    "tax_remittance": [
        _sold(), payment("P", "100.00", "2026-01-20") | {
            "applications": [{"invoice": "I", "amount": "100.00", "withheld": [{"code": "tds", "amount": "10.01"}]}]
        },
        _of("tax_remittance", "TX", "2026-02-20", entity="us", start="2026-01-01", end="2026-01-31", account="till",
            lines=[{"code": "vat", "amount": "6.00"}, {"code": "vat", "amount": "4.00", "withheld": "tds"}]),
    ],
    "customer_credit": [
        _sold(), _of("customer_credit", "G1", "2026-01-10", **PARTY, amount="20.00", **BECAUSE),
        application("A", "12.00", "2026-02-03", "I"), _of("customer_credit", "G2", "2026-03-03", **PARTY, amount="8.00", takes_back="G1", **BECAUSE),
    ],
    "unidentified_receipt": [
        _sold(), _of("unidentified_receipt", "X", "2026-01-10", entity="us", currency="USD", account="till", amount="100.00"),
        _of("receipt_identified", "XI", "2026-02-04", receipt="X", customer="globex", amount="60.00"),
        application("A", "30.00", "2026-02-08", "I"), _of("refund", "R", "2026-03-01", receipt="XI", amount="20.00"),
        _of("receipt_returned", "XR", "2026-03-20", receipt="X", amount="40.00", **BECAUSE),
    ],
    "a refund of a balance": [
        _of("customer_credit", "G1", "2026-01-10", **PARTY, amount="20.00", **BECAUSE), payment("P", "30.00", "2026-01-20"),
        _of("refund", "R", "2026-02-10", **PARTY, amount="45.00", account="till"), _of("refund_reversal", "RR", "2026-03-10", refund="R", **BECAUSE),
    ],
    "a recovery that comes back": [
        _sold(), _LOST, _of("recovery", "RC", "2026-03-05", write_off="W", account="till", amount="60.00"),
        _of("payment_reversal", "PR", "2026-03-20", recovery="RC", **BECAUSE),
    ],
    "a receipt that comes back": [
        _sold(), _of("unidentified_receipt", "X", "2026-01-10", entity="us", currency="USD", account="till", amount="60.00"),
        _of("receipt_identified", "XI", "2026-02-04", receipt="X", customer="globex"),
        _of("payment_reversal", "PR", "2026-03-20", receipt="XI", **BECAUSE),
    ],
    "a parent's payment": [
        _sold(customer="child"), _PAID, _of("refund", "R", "2026-02-10", payment="P", amount="60.00"),
        _of("refund_reversal", "RR", "2026-03-10", refund="R", **BECAUSE),
    ],
    "a payment of another payer": [_sold(), _PAID | {"payer": "child"}, _of("payment_reversal", "PR", "2026-03-04", payment="P", **BECAUSE)],
    "write_off of the rest": [_sold(), credit_note("N", "2026-02-01", "30.00"), _LOST | {"amount": "77.01"}],
    "invoices of nothing, below zero and of given taxes": [
        invoice("I", "2026-01-05", one_time("0.00")), invoice("J", "2026-02-05", one_time("-10.00") | {"tax_codes": ["vat"]}),
        invoice("K", "2026-01-06", one_time("19.99"), taxes=[{"code": "vat", "base": "19.99", "amount": "2.01"}]),
        invoice("L", "2026-01-07", one_time("8.00") | {"quantity": "1", "unit_price": "10.00", "discount": "2.00", "coupon": "launch"}),
        application("A", "11.00", "2026-03-01", "K"), _of("invoice_void", "V", "2026-03-02", invoice="L", **BECAUSE),
    ],
    "what a customer is": [
        _of("customer_change", "C1", "2026-02-01", customer="globex", terms=60, name="Globex SE"),
        _of("customer_change", "C2", "2026-03-01", customer="child", parent=None),
        _of("details", "D", "2026-01-01", customer="globex", name="Globex Corporation"), _sold(), _PAID,
    ],
    "approval": [
        _of("approval_policy", "AP", "2026-01-01", entity="us", refund_above="500.00", approved_by="ann"),
        _of("approval_rule", "AR", "2026-01-01", entity="us", kinds=["refund"], source="feed", currency="USD", limit="5.00", until="2026-12-31",
            approved_by="ann"),
        _of("approval_rule_end", "AE", "2026-07-01", rule="AR", **BECAUSE), _sold(), _PAID,
        _of("refund", "R", "2026-02-10", payment="P", amount="50.00"),
    ],
    "credits": [
        grant("G", "100.00", expires_on="2026-05-31", breakage="proportional", expected_breakage="0.10", products=["tokens"]),
        invoice("I", "2026-01-05", prepaid("100.00")), usage("U", "40.00", "2026-01-10"),
        _of("breakage_estimate", "BE", "2026-02-15", customer="globex", grant="G", expected_breakage="0.20", **BECAUSE),
        _of("grant_return", "GR", "2026-03-15", customer="globex", grant="G", amount="10.00", **BECAUSE),
        usage("V", "30.00", "2026-02-10", product="seats"), invoice("J", "2026-02-28", billed_usage("30.00") | {"product": "seats"}),
    ],
    "contracts": [
        contract("C", "2026-01-01", obligation("C/o", "1200.00", "2026-01-01", "2026-12-31", ssp="1200.00"),
                 {"id": "C/p", "product": "tokens", "price": "90.00", "ssp": "90.00", "start": "2026-01-01", "pattern": "progress"}),
        invoice("I", "2026-01-05", {"id": "1", "kind": "service", "obligation": "C/o", "amount": "600.00"}),
        _of("progress", "PG", "2026-02-28", obligation="C/p", contract="C", percent="40"),
        _of("estimate", "E", "2026-02-10", contract="C", component="bonus", amount="30.00"),
        _of("consideration_payable", "CP", "2026-02-12", contract="C", amount="10.00", **BECAUSE),
        _of("contract_modification", "M", "2026-04-01", contract="C", treatment="prospective",
            obligations=[obligation("C/o", "1100.00", "2026-01-01", "2026-12-31", ssp="1200.00")]),
        _of("contract_renewal", "RN", "2026-05-01", contract="C", obligations=[{"id": "C/r", "renews": "C/o", "end": "2027-12-31"}]),
        _of("contract_termination", "T", "2026-06-01", contract="C", **BECAUSE),
        _of("contract_cost", "CC", "2026-01-01", contract="C", amount="36.00", end="2026-12-31"),
        _of("contract_cost_impairment", "CI", "2026-03-15", cost="CC", amount="3.00", **BECAUSE),
    ],
    "manual_entry": [
        _sold(), _of("manual_entry", "ME", "2026-02-01", entity="us", currency="USD", approved_by="ann", **BECAUSE, lines=[
            {"debit": "bad_debt", "credit": "accounts_receivable", "customer": "globex", "credit_subject": "invoice:I", "amount": "3.00"}]),
    ],
}  # fmt: skip
# What has to arrive before a document that does not name it, by history.
AFTER: dict[str, dict[str, str]] = {
    "payment_reversal": {"PR": "UA"},
    "unapplication of a payment": {"A": "UA"},
    "credit_note_void": {"N": "P"},
    "dispute": {"D2": "E1", "D3": "D2", "E2": "D3"},
    "recovery": {"D1": "RR"},
    "recovery that comes back": {"RE": "B", "B": "RD"},
    "refund of the balance": {"G": "P", "R": "G", "S": "RR"},
    "receipt that comes back": {"A": "XI", "D1": "A", "B": "D2"},
    "transfer": {"T": "P", "F2": "F1"},
    "tax_remittance": {"TX": "P"},
    "customer_credit": {"A": "G1", "G2": "A"},
    "unidentified_receipt": {"A": "XI", "R": "A"},
    "write_off of the rest": {"W": "N"},
    "invoices of nothing, below zero and of given taxes": {"A": "J"},
    "what a customer is": {"I": "C1"},
    "a refund of a balance": {"P": "G1", "R": "P"},
    "approval": {"R": "AP"},
    "credits": {"U": "I", "GR": "U", "J": "V"},
    "contracts": {"I": "C", "RN": "CI", "T": "RN"},
    "manual_entry": {"ME": "I"},
}


def _plain(doc: Document) -> Document:
    return {key: value for key, value in doc.items() if value is not None or doc["type"] == "customer_change"}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def _placed(value: Any, ids: set[str]) -> Any:
    """What names a document names it at a place of its own."""
    if isinstance(value, dict):
        return {key: inner if key in ("type", "status") else _placed(inner, ids) for key, inner in value.items()}
    if isinstance(value, list):
        return [_placed(inner, ids) for inner in value]
    subject, _, ref = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if subject and ref in ids:
        return f"{subject}:@{ref}"
    return f"@{value}" if isinstance(value, str) and value in ids else value


def _history(name: str) -> History:
    documents = [_plain(doc) for doc in KINDS[name]]
    ids = {doc["id"] for doc in (*MASTERS, *documents)}
    named = {doc["id"]: key_of(doc) for doc in documents}
    told = []
    for doc in documents:
        needs = {named[text] for text in _texts(doc) if text in named and text != doc["id"]}
        needs |= {named[AFTER[name][doc["id"]]]} if doc["id"] in AFTER.get(name, {}) else set()
        told.append(Told(_placed(doc, ids), frozenset((kind, f"@{ref}") for kind, ref in needs)))
    return History(sum(map(ord, name)), tuple(_placed(MASTERS, ids)), tuple(told))


@pytest.fixture(scope="module")
def shelf(server: str) -> Iterator[Shelf]:
    made = Shelf(server, f"kinds_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    yield made
    made.end()


def _day(doc: Document) -> date:
    return date.fromisoformat(day_of(doc))


def _by_months(place: Place, documents: list[Document]) -> dict[str, str]:
    refused = {}
    for month, of_month in itertools.groupby(documents, lambda doc: _day(doc).replace(day=1)):
        refused |= place.post(list(of_month))
        place.recognize(months_on(month, 0))
    return refused


@pytest.mark.parametrize("name", KINDS)
def test_in_three_ways_the_books_are_the_same(shelf: Shelf, name: str) -> None:
    history = _history(name)
    by_date = history.in_order(_day)
    at_once, by_months, last_first = shelf.places(3)
    refused = at_once.post([*history.masters, *by_date])
    by_months.post([*history.masters])
    refused |= _by_months(by_months, by_date)
    refused |= last_first.post([*history.masters])
    for doc in history.in_order(lambda doc: -_day(doc).toordinal()):
        refused |= last_first.post([doc])
    assert refused == {}
    at_once.recognize()
    for place, way in ((by_months, "month by month"), (last_first, "the last first")):
        assert difference(at_once.moves(), place.moves(), names=("at once", way)) is None


@pytest.mark.parametrize("name", KINDS)
def test_what_is_late_in_closed_months_comes_to_the_same(shelf: Shelf, name: str) -> None:
    hold(shelf, _history(name), late)
    hold(shelf, _history(name), closing)


def test_every_kind_is_told() -> None:
    told = {doc["type"] for documents in (MASTERS, *KINDS.values()) for doc in documents}
    assert told == set(TYPES) - ELSEWHERE
