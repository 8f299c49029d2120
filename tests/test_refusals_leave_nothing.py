"""A refused document of any kind leaves nothing, in any table, with --keep-going too; what was posted beside it stays."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from ledger.errors import Problem
from ledger.intake.batches import Outcome
from ledger.intake.posting import post_lines
from ledger.proof.verify import verify
from revrec.kinds import TYPES
from revrec.watches import HELD
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
    promotion,
    service,
    usage,
)
from tests.test_currencies import EUR, rate

BROKEN = int(os.environ.get("TICKMARK_BROKEN", "500"))
Document = dict[str, Any]
OTHER = {"type": "entity", "id": "eu", "name": "Acme AI GmbH", "currency": "USD", "invoice_prefix": "EU-"}
BECAUSE = {"reason": "because"}

BASE: list[Document] = [
    *parties(), {"type": "product", "id": "calls", "name": "Calls"}, OTHER, {"type": "customer", "id": "initech", "name": "Initech"},
    {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.19"}, rate("2026-01-01", "1.10"),
    {"type": "coupon", "id": "LAUNCH", "name": "Launch", "percent": "20", "duration": "once"},
    grant("G", "100.00", price="80.00", products=["tokens"]), invoice("IG", "2026-01-05", prepaid("80.00") | {"tax_codes": ["VAT"]}),
    grant("G2", "1.00", products=["calls"]), grant("GE", "100.00", entity="eu"), grant("GX", "50.00") | EUR,
    grant("GB", "10.00", expires_on="2026-12-31", breakage="proportional", expected_breakage="0.10", products=["calls"]), promotion("F", "15.00", products=["tokens"]),
    grant("GC", "90.00", kind="commitment", expires_on="2026-01-20", products=["tokens"]),
    usage("U", "12.00", "2026-01-10"), usage("U2", "200.00", "2026-01-11", product="seats"), usage("UE", "60.00", "2026-01-10") | EUR,
    invoice("I1", "2026-01-15", service("120.00", "2026-01-01", "2026-12-31") | {"tax_codes": ["VAT"]}),
    invoice("I2", "2026-01-15", one_time("50.00")) | EUR, invoice("I3", "2026-01-15", one_time("70.00")),
    invoice("I5", "2026-01-15", one_time("71.00")), invoice("I4", "2026-01-16", billed_usage("40.00") | {"product": "seats"}),
    invoice("M", "2026-01-15", one_time("30.00"), prepaid("100.00", "GE", "2") | {"entity": "eu"},
            service("60.00", "2026-01-01", "2026-06-30", "3", entity="eu")),
    payment("P1", "500.00", "2026-01-20", ("I1", "142.80")), payment("P2", "50.00", "2026-01-21", ("I2", "30.00")) | EUR,
    payment("PM", "190.00", "2026-01-20", ("M", "190.00")),
    contract("C", "2026-01-01", obligation("C/o", "600.00", "2026-01-01", "2026-12-31", ssp="600.00"),
             obligation("C/p", "90.00", "2026-01-01", "2026-12-31", pattern="progress", product="tokens", ssp="90.00")),
    contract("CM", "2026-01-01", obligation("CM/m", "30.00", "2026-01-01", "2026-12-31", pattern="milestones",
                                            milestones=[{"id": "a", "amount": "30.00"}])),
    invoice("IC", "2026-01-15", {"id": "1", "kind": "service", "amount": "300.00", "obligation": "C/o"}),
    {"type": "contract_cost", "id": "CC", "contract": "C", "date": "2026-01-01", "amount": "30.00", "end": "2026-12-31"},
    {"type": "dispute", "id": "D", "payment": "P1", "date": "2026-01-25", "amount": "20.00", "status": "opened"},
    {"type": "dispute", "id": "DM", "payment": "PM", "date": "2026-01-25", "amount": "80.00", "status": "opened"},
    *({"type": "money_account", "id": ref, "entity": "us", "name": ref, "kind": "bank", "currency": currency, "code": code}
      for ref, currency, code in (("bank", "USD", "1010"), ("euro", "EUR", "1020"))),
    payment("PE", "40.00", "2026-01-21", account="euro") | EUR,
    {"type": "transfer", "id": "T", "entity": "us", "date": "2026-01-22", "from_account": "euro", "to_account": "bank", "amount": "30.00",
     "received": "32.00", "fee": "1.00"},
    *({"type": "unidentified_receipt", "id": f"X{currency}", "entity": "us", "currency": currency, "date": "2026-01-22", "account": account, "amount": "30.00"}
      for currency, account in (("USD", "bank"), ("EUR", "euro"))),
    {"type": "customer_credit", "id": "GW", **PARTY, "date": "2026-01-22", "amount": "9.00", **BECAUSE},
    {"type": "write_off", "id": "W", "invoice": "I3", "date": "2026-01-26", "amount": "20.00", "approved_by": "c", **BECAUSE},
    invoice("I6", "2026-01-15", one_time("72.00") | {"tax_codes": ["VAT"]}), payment("P6", "60.00", "2026-01-20"),
    application("A6", "60.00", "2026-01-21", "I6", payment="P6"), payment("PR", "15.00", "2026-01-20", ("I6", "15.00")),
    {"type": "credit_note", "id": "CN6", "invoice": "I6", "date": "2026-01-22", "lines": [{"line": "1", "amount": "30.00"}]},
    {"type": "credit_note", "id": "CNO", **PARTY, "date": "2026-01-22", "lines": [{"product": "seats", "amount": "5.00", "tax_codes": ["VAT"]}]},
    {"type": "refund", "id": "R6", "payment": "P6", "date": "2026-01-23", "amount": "20.00"},
    {"type": "dispute", "id": "D6", "payment": "P6", "date": "2026-01-24", "amount": "9.00", "status": "opened", "fee": "1.00"},
    {"type": "dispute", "id": "D6/lost", "payment": "P6", "date": "2026-01-25", "amount": "9.00", "status": "lost", "opening": "D6"},
    {"type": "recovery", "id": "RC", "write_off": "W", "date": "2026-01-27", "rail": "wire", "amount": "10.00"},
    {"type": "recovery", "id": "RCB", "write_off": "W", "date": "2026-01-29", "rail": "wire", "amount": "4.00"},
    {"type": "refund", "id": "BR", **PARTY, "date": "2026-01-29", "rail": "wire", "amount": "1.00"},
    {"type": "refund", "id": "RCR", "recovery": "RC", "date": "2026-01-28", "amount": "2.00"},
    {"type": "receipt_identified", "id": "XI", "receipt": "XUSD", "customer": "globex", "date": "2026-01-23", "amount": "6.00"},
    invoice("IE", "2026-01-15", one_time("40.00"), entity="eu"),
    {"type": "write_off", "id": "WE", "invoice": "IE", "date": "2026-01-26", "approved_by": "c", **BECAUSE},
    {"type": "recovery", "id": "RCE", "write_off": "WE", "date": "2026-01-27", "rail": "wire", "amount": "10.00"},
    {"type": "refund", "id": "RCRE", "recovery": "RCE", "date": "2026-01-28", "amount": "2.00"},
    {"type": "approval_policy", "id": "AP", "entity": "us", "date": "2026-01-01", "refund_above": "450.00", "approved_by": "c"},
    {"type": "approval_rule", "id": "AR", "entity": "us", "kinds": ["write_off"], "source": "tester", "currency": "USD", "limit": "5.00",
     "date": "2026-01-01", "until": "2199-12-31", "approved_by": "c"},
]  # fmt: skip

# Documents of every kind that the base takes.
NEXT: list[Document] = [
    {"type": "entity", "id": "n", "name": "N", "currency": "GBP", "time_zone": "Europe/London"},
    {"type": "customer", "id": "n", "name": "N", "country": "DE", "tax_codes": ["VAT"], "contacts": {"billing": "a@example.com"}},
    {"type": "details", "id": "n", "customer": "globex", "date": "2026-02-01", "name": "Globex"},
    {"type": "customer_change", "id": "n", "customer": "globex", "date": "2026-02-01", "name": "Globex SE", "country": "DE", "tax_id": "DE136695976",
     "tax_status": "reverse_charge", "tax_codes": ["VAT"], "terms": 30, "parent": "initech", "contacts": {"billing": "b@example.com"}},
    {"type": "product", "id": "n", "name": "N"},
    {"type": "tax_code", "id": "n", "name": "N", "rate": "0.10"},
    {"type": "coupon", "id": "n", "name": "N", "amount": "5.00", "currency": "USD", "products": ["seats"]},
    rate("2026-02-01", "1.30"),
    {"type": "gl_account", "id": "n", "entity": "us", "role": "revenue", "product": "seats", "code": "4100", "name": "Seats"},
    grant("n", "25.00", "2026-02-01", products=["tokens"]), promotion("n", "5.00", "2026-02-01", contract="C"),
    grant("n", "30.00", "2026-02-01", carried_from="F", kind="promotional"), grant("n", "9.00", "2026-02-01") | EUR,
    {"type": "grant_return", "id": "n", "customer": "globex", "grant": "G", "date": "2026-02-01", "amount": "5.00", **BECAUSE},
    {"type": "grant_return", "id": "n", "customer": "globex", "grant": "GE", "date": "2026-02-01", "amount": "7.00", **BECAUSE},
    {"type": "breakage_estimate", "id": "n", "customer": "globex", "grant": "GB", "date": "2026-02-01", "expected_breakage": "0.20", **BECAUSE},
    {"type": "wallet_alert", "id": "n", **PARTY, "threshold": "10.00"},
    usage("n", "7.00", "2026-02-01"), usage("n", "7.00", "2026-02-01") | EUR,
    usage("n", "7.00", "2026-01-10", supersedes="U"), usage("n", "500.00", "2026-01-12", product="seats", supersedes="U2"),
    invoice("n", "2026-02-01", one_time("10.00") | {"tax_codes": ["VAT"]}, billed_usage("5.00", "2") | {"product": "seats"}),
    invoice("n", "2026-02-01", one_time("10.00")) | EUR,
    invoice("n", "2026-02-01", one_time("8.00") | {"quantity": "1", "unit_price": "10.00", "discount": "2.00", "coupon": "LAUNCH"}),
    invoice("n", "2026-02-01", {"id": "1", "kind": "service", "amount": "-10.00", "obligation": "I1/1"}, one_time("20.00", "2")),
    invoice("n", "2026-02-01", {"id": "1", "kind": "service", "amount": "-10.00", "obligation": "I1/1"}, one_time("4.00", "2")),
    invoice("n", "2026-02-01", one_time("-10.00") | {"taxes": [{"code": "VAT", "base": "-10.00", "amount": "-1.99"}]}),
    invoice("n", "2026-02-01", one_time("19.99"), taxes=[{"code": "VAT", "base": "19.99", "amount": "4.01"}]),
    invoice("n", "2026-02-01", {"id": "1", "kind": "shortfall", "amount": "10.00", "grant": "GC"}),
    invoice("n", "2026-02-01", one_time("10.00"), service("9.00", "2026-02-01", "2026-02-28", "2", entity="eu")),
    invoice("n", "2026-02-01", one_time("10.00"), service("9.00", "2026-02-01", "2026-02-28", "2", entity="eu"), supersedes="I5"),
    invoice("n", "2026-02-01", one_time("10.00"), billed_usage("4.00", "2") | {"product": "seats"}, supersedes="I4"),
    {"type": "money_account", "id": "n", "entity": "eu", "name": "N", "kind": "processor", "currency": "USD", "code": "1030", "overdraft": True},
    {"type": "transfer", "id": "n", "entity": "us", "date": "2026-02-01", "from_account": "euro", "to_account": "bank", "amount": "5.00",
     "received": "6.00", "fee": "0.50", "fee_account": "bank"},
    {"type": "transfer_reversal", "id": "n", "transfer": "T", "date": "2026-02-01", "fee_returned": True, **BECAUSE},
    {"type": "fee", "id": "n", "entity": "us", "account": "euro", "date": "2026-02-01", "amount": "5.00"},
    {"type": "tax_remittance", "id": "n", "entity": "us", "date": "2026-02-01", "start": "2026-01-01", "end": "2026-01-31", "rail": "ach",
     "lines": [{"code": "VAT", "amount": "5.00"}]},
    {"type": "customer_credit", "id": "n", **PARTY, "date": "2026-02-01", "amount": "4.00", **BECAUSE},
    {"type": "customer_credit", "id": "n", **PARTY, "date": "2026-02-01", "amount": "4.00", "takes_back": "GW", **BECAUSE},
    {"type": "unidentified_receipt", "id": "n", "entity": "us", "currency": "EUR", "date": "2026-02-01", "account": "euro", "amount": "4.00"},
    {"type": "receipt_identified", "id": "n", "receipt": "XEUR", "customer": "globex", "date": "2026-02-01", "amount": "4.00"},
    {"type": "receipt_returned", "id": "n", "receipt": "XUSD", "date": "2026-02-01", **BECAUSE},
    payment("n", "20.00", "2026-02-01") | {"applications": [{"invoice": "IC", "amount": "10.00", "withheld": [{"code": "VAT", "amount": "2.00"}]}]},
    payment("n", "20.00", "2026-02-01", fee="1.00", account="euro") | EUR,
    {"type": "refund", "id": "n", "payment": "PE", "date": "2026-02-01", "amount": "10.00"},
    payment("n", "20.00", "2026-02-01", ("IC", "12.00"), fee="1.00"), payment("n", "20.00", "2026-02-01", ("I2", "12.00")) | EUR,
    payment("n", "20.00", "2026-02-01") | {"applications": [{"invoice": "I2", "amount": "10.00", "paid": "13.00"}]},
    application("n", "10.00", "2026-02-01", "IC"), application("n", "10.00", "2026-02-01", "I2") | EUR,
    application("n", "10.00", "2026-02-01", "IC", from_invoice="I1"),
    application("n", "10.00", "2026-02-01", "IC", from_invoice="I6", payment="P6"),
    {"type": "unapplication", "id": "n", "application": "A6", "date": "2026-02-01", "amount": "4.00"},
    {"type": "unapplication", "id": "n", "payment": "P1", "invoice": "I1", "date": "2026-02-01"},
    {"type": "payment_reversal", "id": "n", "payment": "PR", "date": "2026-02-01", "fee": "4.00", **BECAUSE},
    {"type": "payment_reversal", "id": "n", "payment": "PE", "date": "2026-02-01", **BECAUSE},
    {"type": "credit_note_void", "id": "n", "credit_note": "CN6", "date": "2026-02-01", **BECAUSE},
    {"type": "credit_note_void", "id": "n", "credit_note": "CNO", "date": "2026-02-01", **BECAUSE},
    {"type": "refund_reversal", "id": "n", "refund": "R6", "date": "2026-02-01", **BECAUSE},
    {"type": "dispute", "id": "n", "payment": "P6", "date": "2026-02-01", "amount": "5.00", "status": "reinstated", "fee_refund": "1.00"},
    {"type": "refund", "id": "n", "recovery": "RC", "date": "2026-02-01", "amount": "3.00"},
    {"type": "refund", "id": "n", "receipt": "XI", "date": "2026-02-01", "amount": "3.00"},
    {"type": "refund", "id": "n", **PARTY, "date": "2026-02-01", "rail": "wire", "amount": "3.00"},
    {"type": "refund", "id": "n", **PARTY, "date": "2026-02-01", "account": "euro", "amount": "3.00"} | EUR,
    {"type": "refund_reversal", "id": "n", "refund": "BR", "date": "2026-02-01", **BECAUSE},
    {"type": "dispute", "id": "n", "receipt": "XI", "date": "2026-02-01", "amount": "3.00", "status": "opened", "fee": "1.00"},
    {"type": "payment_reversal", "id": "n", "receipt": "XI", "date": "2026-02-01", **BECAUSE},
    {"type": "payment_reversal", "id": "n", "recovery": "RCB", "date": "2026-02-01", "fee": "4.00", **BECAUSE},
    {"type": "refund_reversal", "id": "n", "refund": "RCR", "date": "2026-02-01", **BECAUSE},
    {"type": "refund_reversal", "id": "n", "refund": "RCRE", "date": "2026-02-01", **BECAUSE},
    {"type": "dispute", "id": "n", "recovery": "RC", "date": "2026-02-01", "amount": "3.00", "status": "opened", "fee": "1.00"},
    {"type": "dispute", "id": "n", "recovery": "RCE", "date": "2026-02-01", "amount": "3.00", "status": "opened"},
    {"type": "invoice_void", "id": "n", "invoice": "I4", "date": "2026-02-01", **BECAUSE},
    {"type": "invoice_void", "id": "n", "invoice": "IG", "date": "2026-02-01", **BECAUSE},
    {"type": "credit_note", "id": "n", "invoice": "I1", "date": "2026-02-01", "lines": [{"line": "1", "amount": "10.00"}]},
    {"type": "credit_note", "id": "n", "invoice": "M", "date": "2026-02-01",
     "lines": [{"line": "1", "amount": "10.00"}, {"line": "3", "amount": "6.00"}]},
    {"type": "credit_note", "id": "n", "invoice": "I1", "date": "2026-02-01",
     "lines": [{"line": "1", "amount": "10.00"}, {"product": "seats", "amount": "500.00", "tax_codes": ["VAT"]}]},
    {"type": "credit_note", "id": "n", **PARTY, "date": "2026-02-01", "lines": [
        {"product": "seats", "amount": "5.00", "taxes": [{"code": "VAT", "base": "5.00", "amount": "1.01"}]}]},
    {"type": "credit_note", "id": "n", **PARTY, "date": "2026-02-01", "lines": [{"product": "seats", "amount": "5.00"}]} | EUR,
    {"type": "refund", "id": "n", "payment": "P1", "date": "2026-02-01", "amount": "10.00", "invoice": "I1"},
    {"type": "refund", "id": "n", "payment": "P1", "date": "2026-02-01", "amount": "400.00"},
    {"type": "refund", "id": "n", "payment": "PM", "date": "2026-02-01", "amount": "100.00", "invoice": "M"},
    {"type": "refund", "id": "n", "payment": "P2", "date": "2026-02-01", "amount": "30.00"},
    {"type": "dispute", "id": "n", "payment": "P1", "date": "2026-02-01", "amount": "20.00", "status": "opened", "fee": "1.00"},
    {"type": "dispute", "id": "n", "payment": "P1", "date": "2026-02-01", "amount": "20.00", "status": "won"},
    {"type": "dispute", "id": "n", "payment": "P1", "date": "2026-02-01", "amount": "20.00", "status": "lost"},
    {"type": "dispute", "id": "n", "payment": "PM", "date": "2026-02-01", "amount": "80.00", "status": "lost"},
    {"type": "write_off", "id": "n", "invoice": "IC", "date": "2026-02-01", "amount": "20.00", "approved_by": "c", **BECAUSE},
    {"type": "write_off", "id": "n", "invoice": "I2", "date": "2026-02-01", "approved_by": "c", **BECAUSE},
    {"type": "write_off", "id": "n", "invoice": "IC", "date": "2026-02-01", "amount": "5.00", **BECAUSE},
    {"type": "approval_policy", "id": "n", "entity": "us", "date": "2026-02-01", "credit_note_above": "50.00", "approved_by": "c"},
    {"type": "approval_rule", "id": "n", "entity": "us", "kinds": ["refund"], "source": "feed", "currency": "EUR", "limit": "50.00",
     "date": "2026-02-01", "until": "2026-12-31", "approved_by": "c"},
    {"type": "approval_rule_end", "id": "n", "rule": "AR", "date": "2026-02-01", **BECAUSE},
    {"type": "recovery", "id": "n", "write_off": "W", "date": "2026-02-01", "rail": "wire", "amount": "5.00"},
    {"type": "manual_entry", "id": "n", "entity": "us", "currency": "USD", "date": "2026-02-01", "approved_by": "ann", **BECAUSE,
     "lines": [{"debit": "bad_debt", "credit": "accounts_receivable", "customer": "globex", "credit_subject": "invoice:IC", "amount": "3.00"},
               {"debit": "opening_balances", "credit": "customer_credits", "customer": "globex", "credit_subject": "grant:G2", "amount": "0.50"}]},
    contract("n", "2026-02-01", obligation("n/o", "60.00", "2026-02-01", "2026-12-31"), draw_order=["prepaid", "promotional"]),
    {"type": "contract_modification", "id": "n", "contract": "C", "date": "2026-03-01",
     "obligations": [obligation("C/o", "700.00", "2026-01-01", "2026-12-31"), obligation("n/x", "50.00", "2026-03-01", "2026-12-31", product="calls")]},
    {"type": "contract_renewal", "id": "n", "contract": "C", "date": "2026-12-01",
     "obligations": [{"id": "n/r", "renews": "C/o", "end": "2027-12-31"}]},
    {"type": "contract_termination", "id": "n", "contract": "C", "date": "2026-06-01", **BECAUSE,
     "penalty": {"id": "n/exit", "product": "seats", "amount": "10.00"}},
    {"type": "consideration_payable", "id": "n", "contract": "C", "date": "2026-02-01", "amount": "10.00", "approved_by": "c", **BECAUSE},
    {"type": "progress", "id": "n", "obligation": "C/p", "date": "2026-02-01", "percent": "30"},
    {"type": "progress", "id": "n", "obligation": "CM/m", "date": "2026-02-01", "milestone": "a"},
    {"type": "stand_alone_price", "id": "n", "product": "seats", "currency": "USD", "date": "2026-02-01", "price": "12.00"},
    {"type": "estimate", "id": "n", "contract": "C", "component": "bonus", "date": "2026-02-01", "amount": "30.00"},
    {"type": "estimate", "id": "n", "contract": "C", "component": "back", "date": "2026-02-01", "amount": "-30.00", "refund": True},
    {"type": "contract_cost", "id": "n", "contract": "C", "date": "2026-02-01", "amount": "30.00", "end": "2026-12-31"},
    {"type": "contract_cost_impairment", "id": "n", "cost": "CC", "date": "2026-02-01", "amount": "3.00", **BECAUSE},
]  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the fields of a document are."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _places(inner, (*path, index))
    else:
        yield path


# What a field may be broken to: too much, of somebody else, of another day, unknown.
_VALUES = ("999999.00", "0.01", "-5.00", "2025-01-01", "2027-06-30", "initech", "eu", "us", "EUR", "GBP", "nothing", "I1", "M@eu",
           "GE", "G", "C/o", "1", "2", "3", "prepaid", "usage", "lost", "0.001")  # fmt: skip


def _broken(doc: Document, random: Random) -> Document:
    """A document with a field or two changed, left out, or an item of a list said twice."""
    doc = deepcopy(doc)
    for _ in range(random.choice((1, 1, 2))):
        places = [place for place in _places(doc) if place[0] not in ("type", "id")]
        if not places:
            break
        path = random.choice(places)
        holder: Any = doc
        for part in path[:-1]:
            holder = holder[part]
        how = random.random()
        if how < 0.12 and isinstance(holder, dict):
            del holder[path[-1]]
            if not holder:
                break
        elif how < 0.2 and isinstance(path[0], str) and isinstance(doc.get(path[0]), list):
            extra = deepcopy(random.choice(doc[path[0]]))
            if isinstance(extra, dict) and "id" in extra:
                extra["id"] = "9"
            doc[path[0]].append(extra)
        else:
            holder[path[-1]] = random.choice(_VALUES)
    return doc


def _tables(connection: Connection) -> list[str]:
    """Every table there is, by the catalogue."""
    return list(
        connection.scalars(
            text(
                "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace "
                "where c.relkind in ('r', 'p') and n.nspname = 'public' order by 1".replace("::", r"\:\:")
            )
        )
    )


def _contents(connection: Connection, tables: list[str]) -> dict[str, str]:
    query = " union all ".join(
        f"select '{table}', md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from {table} t"
        for table in tables
    )
    return dict(connection.execute(text(query.replace("::", r"\:\:"))).all())


def _post(connection: Connection, *documents: Document) -> tuple[Outcome, list[Problem]]:
    problems: list[Problem] = []
    lines = [json.dumps(doc).encode() for doc in documents]
    outcome = post_lines(connection, lines, TYPES, "tester", lambda problem, _raw: problems.append(problem))
    return outcome, problems


@pytest.fixture
def base(cli: Cli, engine: Engine) -> Engine:
    cli.post(*BASE)
    return engine


def test_every_kind_of_document_is_there(base: Engine) -> None:
    assert {doc["type"] for doc in NEXT} == set(TYPES)
    for doc in NEXT:
        with base.connect() as connection, connection.begin() as transaction:
            _, problems = _post(connection, doc)
            transaction.rollback()
        assert not problems, (doc, problems)


def test_broken_documents_leave_nothing_in_any_table(base: Engine) -> None:
    random = Random(17)  # noqa: S311 - a seed is what is wanted
    refused = 0
    with base.connect() as connection:
        tables = _tables(connection)
    for number in range(BROKEN * 4):
        doc = _broken(NEXT[number % len(NEXT)], random)
        with base.connect() as connection, connection.begin() as transaction:
            before = _contents(connection, tables)
            outcome, problems = _post(connection, doc)
            after = _contents(connection, tables) if outcome.refused else before
            transaction.rollback()
        assert [table for table in tables if before[table] != after[table]] == [], (doc, problems)
        refused += outcome.refused
        if refused == BROKEN:
            break
    assert refused == BROKEN


# What was gathered and not written when a document is refused: usage, a grant and its invoice, a payment.
BESIDE: list[Document] = [
    grant("b1", "40.00", "2026-02-01"), usage("b2", "3.00", "2026-02-01"), invoice("b3", "2026-02-01", prepaid("40.00", "b1")),
    usage("b4", "4.00", "2026-02-02"), payment("b5", "9.00", "2026-02-02") | EUR, usage("b6", "2.00", "2026-02-02") | EUR,
]  # fmt: skip
AFTER: list[Document] = [
    usage("a1", "5.00", "2026-02-03"),
    payment("a2", "8.00", "2026-02-03"),
    usage("a3", "1.00", "2026-02-03") | EUR,
]

_TOLD = {
    "entries": "select e.effective_on, e.occurred_on, a.role, a.currency, a.subject, d.ref, p.amount, p.functional_amount, r.code"
    " from posting p join entry e using (customer_id, entry_id) join account a on a.account_id = p.debit_account"
    " join document d on d.document_id = e.document_id join rule r on r.number = p.rule",
    "credits": "select g.ref, b.drawn_face_minor, b.drawn_minor, b.expired_face_minor, b.broken_minor, b.moved_face_minor"
    " from credit_grant g join grant_balance b using (customer_id, grant_id)",
    "meters": "select entity, product, currency, rated, posted_minor from usage_meter",
}


def _told(connection: Connection) -> dict[str, Any]:
    counts = {table: connection.scalar(text(f"select count(*) from {table}")) for table in _tables(connection)}
    return counts | {name: sorted(map(str, connection.execute(text(query)))) for name, query in _TOLD.items()}


def test_what_is_posted_beside_a_refused_document_is_what_is_posted_without_it(base: Engine) -> None:
    random = Random(18)  # noqa: S311 - a seed is what is wanted
    with base.connect() as connection, connection.begin() as transaction:
        _post(connection, *BESIDE, *AFTER)
        expected = _told(connection)
        transaction.rollback()
    tried = 0
    for number in range(len(NEXT) * 3):
        doc = _broken(NEXT[number % len(NEXT)], random)
        with base.connect() as connection, connection.begin() as transaction:
            outcome, problems = _post(connection, *BESIDE, doc, *AFTER)
            found = _told(connection) if outcome.refused else expected
            transaction.rollback()
        assert {name for name in expected if found[name] != expected[name]} == set(), (doc, problems)
        tried += outcome.refused
    assert tried > len(NEXT)


def test_credits_billed_over_entities_are_returned(cli: Cli) -> None:
    """GE's 100.00 are billed by eu's part of M, which us collects: 40.00 go back, of both."""
    cli.post(*BASE[:16], invoice("M", "2026-01-15", one_time("30.00"), prepaid("100.00", "GE", "2") | {"entity": "eu"}))
    cli.post(
        {
            "type": "grant_return",
            "id": "R",
            "customer": "globex",
            "grant": "GE",
            "date": "2026-02-01",
            "amount": "40.00",
            **BECAUSE,
        }
    )
    assert "all" in cli.ok("verify")
    eu = {row["account"]: row["amount"] for row in cli.report("summary", "--entity", "eu") if row["month"] == "2026-02"}
    us = {row["account"]: row["amount"] for row in cli.report("summary", "--entity", "us") if row["month"] == "2026-02"}
    assert eu == {"customer_credits": "-40.00", "due_from_entities": "-40.00"}
    assert us == {"accounts_receivable": "-40.00", "due_to_entities": "-40.00"}


def test_books_verify_after_refusals_were_passed_over(cli: Cli, base: Engine) -> None:
    random = Random(19)  # noqa: S311 - a seed is what is wanted
    documents = [_broken(doc, random) | {"id": f"n{number}"} for number, doc in enumerate(NEXT * 2)]
    cli.run(
        "post",
        "-",
        "--keep-going",
        "--rejects",
        "/dev/null",
        stdin="".join(json.dumps(doc) + "\n" for doc in documents),
    )
    assert [f"{check.sentence}: {told}" for check in verify(base, held=HELD) for told in check.differences] == []
