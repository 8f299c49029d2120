"""Every report answers two questions: what was effective by a day, and what was known at a moment."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from ledger.proof.verify import clean, verify
from ledger.reports.report import Filters
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
)  # fmt: skip
from web.commands.showing import REPORT_NAMES
from web.work.reports import REPORTS as ALL_REPORTS
from web.work.reports import make

# what changed since a moment answers another question of its own
# of postings: another is of what two of these say, and one of what was sent
# and what no books should have shows nothing of these
REPORTS = [name for name in ALL_REPORTS if name not in ("changes", "exported", "below-zero")]
DAY = date(2026, 3, 31)
VAT = {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.20"}
COUPON = {"type": "coupon", "id": "P20", "name": "20 % off", "percent": "20", "duration": "forever"}
FOREIGN = {"currency": "EUR"}


def _parties() -> list[dict[str, Any]]:
    rate = {"type": "fx_rate", "id": "r", "date": "2026-01-01", "base": "EUR", "quote": "USD", "rate": "1.20"}
    other = {"type": "entity", "id": "eu", "name": "Acme AI GmbH", "currency": "EUR"}
    price = {
        "type": "stand_alone_price",
        "id": "p",
        "product": "seats",
        "currency": "USD",
        "date": "2026-01-01",
        "price": "10.00",
    }
    return [*parties(), other, VAT, COUPON, rate, price]


def _until_march() -> list[dict[str, Any]]:
    reduced = service("24.00", "2026-01-01", "2026-06-30", "2", tax_codes=["VAT"]) | {
        "quantity": "3", "unit_price": "10.00", "discount": "6.00", "coupon": "P20",
    }  # fmt: skip
    return [
        {"type": "wallet_alert", "id": "low", **PARTY, "threshold": "60.00"},
        grant("G", expires_on="2026-12-31"), promotion("P", "20.00", expires_on="2026-03-15"),
        invoice("I", "2026-01-05", prepaid("100.00"), reduced, due_on="2026-02-04"),
        usage("u1", "70.00", "2026-02-10"), usage("u2", "3.00", "2026-03-30"),
        {"type": "money_account", "id": "bank", "entity": "us", "name": "Bank", "kind": "bank", "currency": "USD"},
        payment("M", "50.00", "2026-02-20", ("I", "30.00"), fee="1.00", account="bank"),
        {"type": "unidentified_receipt", "id": "X", "entity": "us", "currency": "USD", "date": "2026-02-20", "account": "bank", "amount": "9.00"},
        invoice("E", "2026-02-01", one_time("40.00")) | FOREIGN,
        invoice("T", "2026-02-01", one_time("10.00") | {"taxes": [{"code": "VAT", "base": "10.00", "amount": "2.01"}]}),
        invoice("B", "2026-02-01", one_time("10.00"), one_time("15.00", "2") | {"entity": "eu"}),
        contract("C", "2026-01-01", obligation("C/o", "150.00", "2026-01-01", "2026-12-31")),
        {"type": "contract_cost", "id": "K", "contract": "C", "date": "2026-01-01", "amount": "60.00", "end": "2026-12-31"},
        {"type": "contract_modification", "id": "C0", "contract": "C", "date": "2026-02-01",
         "obligations": [obligation("C/o", "120.00", "2026-01-01", "2026-12-31")]},
        contract("L", "2026-01-01", obligation("L/o", "60.00", "2026-01-01", "2026-12-31"),
                 financing={"rate": "0.10", "payments": [{"date": "2027-01-31", "amount": "60.00"}]}),
        contract("S", "2026-01-01", obligation("S/o", "5.00", "2026-01-01", "2026-01-31")),
        {"type": "estimate", "id": "V0", "contract": "C", "component": "returns", "date": "2026-02-01", "amount": "-4.00", "refund": True},
        {"type": "manual_entry", "id": "M0", "entity": "us", "currency": "USD", "date": "2026-03-20", "reason": "audit", "approved_by": "ann",
         "lines": [{"debit": "bad_debt", "credit": "processing_fees", "amount": "1.00"}]},
        {"type": "estimate", "id": "V1", "contract": "C", "component": "bonus", "date": "2026-02-01", "amount": "12.00", "constraint": "6.00"},
    ]  # fmt: skip


def _afterwards(month: str) -> list[dict[str, Any]]:
    """Every kind of thing that changes what reports say, dated in a month."""
    day = f"{month}-20"
    again = service("16.00", day, "2026-09-30", "1", tax_codes=["VAT"]) | {
        "quantity": "2", "unit_price": "10.00", "discount": "4.00", "coupon": "P20",
    }  # fmt: skip
    return [
        usage("v1", "30.00", day), usage("v2", "5.00", day, supersedes="u2"), grant("H", "10.00", day),
        invoice("J", day, again, billed_usage("2.00", "2")), invoice("K", day, one_time("7.00")),
        invoice("T2", day, one_time("20.00") | {"taxes": [{"code": "VAT", "base": "20.00", "amount": "4.01"}]}),
        {"type": "invoice_void", "id": "V", "invoice": "K", "date": day, "reason": "wrong"},
        {"type": "credit_note", "id": "N", "invoice": "B", "date": day,
         "lines": [{"line": "1", "amount": "2.00"}, {"line": "2", "amount": "3.00"}]},
        application("A", "20.00", day, "I"),
        payment("F", "30.00", day, ("E", "30.00")) | FOREIGN,
        {"type": "refund", "id": "R", "payment": "M", "date": day, "amount": "5.00"},
        {"type": "write_off", "id": "W", "invoice": "I", "date": day, "amount": "4.00", "reason": "dust", "approved_by": "ann"},
        {"type": "grant_return", "id": "GR", "customer": "globex", "grant": "G", "date": day, "amount": "4.00", "reason": "left"},
        {"type": "contract_modification", "id": "CM", "contract": "C", "date": f"{month}-01",
         "obligations": [obligation("C/o", "90.00", "2026-01-01", "2026-12-31")]},
        {"type": "estimate", "id": "V2", "contract": "C", "component": "bonus", "date": day, "amount": "9.00"},
        {"type": "consideration_payable", "id": "CP", "contract": "C", "date": day, "amount": "2.00", "reason": "a fair we share"},
        {"type": "contract_termination", "id": "LT", "contract": "L", "date": day, "ends": f"{month}-25", "reason": "left",
         "penalty": {"id": "L/exit", "product": "seats", "amount": "3.00"}},
        contract("Q", day, obligation("Q/o", "60.00", "2026-04-01", "2026-09-30"),
                 financing={"rate": "0.10", "payments": [{"date": "2027-01-31", "amount": "60.00"}]}),
        {"type": "contract_renewal", "id": "QR", "contract": "Q", "date": day, "obligations": [
            {"id": "Q/o2", "renews": "Q/o", "end": "2026-12-31"}]},
        {"type": "contract_cost_impairment", "id": "KI", "cost": "K", "date": day, "amount": "5.00", "reason": "earns less"},
        {"type": "stand_alone_price", "id": "p2", "product": "seats", "currency": "USD", "date": day, "price": "11.00"},
        contract("D", day, obligation("D/o", "12.00", day, "2026-12-31")),
        {"type": "money_account", "id": "till", "entity": "us", "name": "Till", "kind": "other", "currency": "USD"},
        {"type": "transfer", "id": "T", "entity": "us", "date": day, "from_account": "bank", "to_account": "till", "amount": "6.00"},
        {"type": "receipt_identified", "id": "XI", "receipt": "X", "customer": "globex", "date": day, "amount": "2.00"},
        {"type": "tax_remittance", "id": "TR", "entity": "us", "date": day, "start": "2026-01-01", "end": "2026-01-31", "account": "bank",
         "lines": [{"code": "VAT", "amount": "1.00"}]},
        {"type": "manual_entry", "id": "ME", "entity": "us", "currency": "USD", "date": day, "reason": "audit", "approved_by": "ann",
         "lines": [{"debit": "bad_debt", "credit": "processing_fees", "amount": "1.00"}]},
    ]  # fmt: skip


def _rows(engine: Engine, name: str, **filters: Any) -> Any:
    with engine.connect() as connection:
        return make(connection, name, Filters(**filters)).rows


def _now(connection: Connection) -> datetime:
    return connection.exec_driver_sql("select clock_timestamp()").scalar() or datetime.now(UTC)


# An alert is about the wallet as it is; when it was seen is when it was known, and no day is effective for it.
EFFECTIVE = [name for name in REPORTS if name != "wallet-alerts"]


def test_every_report_has_one_name_and_stands_in_the_help(cli: Cli) -> None:
    assert set(REPORT_NAMES) == set(ALL_REPORTS)
    told = cli.ok("report", "--help").replace(",", " ").split()
    assert set(REPORT_NAMES) <= set(told)


@pytest.mark.parametrize("month", ["2026-02", "2026-04"])
def test_what_was_known_stays_as_it_was(cli: Cli, engine: Engine, month: str) -> None:
    """Whatever comes later, dated before or after: asked for what was known, every report answers as it did then."""
    cli.post(*_parties(), *_until_march())
    cli.ok("recognize", "--through", "2026-03")
    cli.ok("revalue", "2026-03")
    before = {(name, day): _rows(engine, name, as_of=day) for name in REPORTS for day in (DAY, None)}
    assert [name for name in REPORTS if not before[name, DAY]] == [], "every report has something to show"
    with engine.connect() as connection:
        moment = _now(connection)
    for document in _afterwards(month):
        cli.post(document)
    cli.ok("recognize", "--through", "2026-05")
    changed = set()
    for (name, day), rows in before.items():
        assert _rows(engine, name, as_of=day, known_at=moment) == rows, (name, day)
        if _rows(engine, name, as_of=day) != rows:
            changed.add(name)
        with engine.connect() as connection:
            compared = make(connection, name, Filters(as_of=day), against=moment).rows
        assert all(row["signed"] + row["difference"] == row["now"] and row["because"] for row in compared), (
            name,
            compared,
        )
    assert changed >= set(REPORTS) - {"wallet-alerts", "statement", "dunning", "wallet-forecast"}
    with engine.connect() as connection:
        assert clean(verify(connection.engine, held=HELD))


def test_what_was_effective_stays_as_it_was(cli: Cli, engine: Engine) -> None:
    """What is dated later changes no report of the day before: nothing posts backwards."""
    cli.post(*_parties(), *_until_march())
    cli.ok("recognize", "--through", "2026-03")
    before = {name: _rows(engine, name, as_of=DAY) for name in EFFECTIVE}
    for document in _afterwards("2026-04"):
        if "supersedes" not in document:  # corrected usage counts on the usage's own day
            cli.post(document)
    cli.ok("recognize", "--through", "2026-05")
    for name, rows in before.items():
        assert _rows(engine, name, as_of=DAY) == rows, name


def test_both_questions_meet(cli: Cli, engine: Engine) -> None:
    """Asked after everything, with no limit, or with limits beyond everything: the same."""
    cli.post(*_parties(), *_until_march(), *_afterwards("2026-04"))
    cli.ok("recognize", "--through", "2026-12")
    with engine.connect() as connection:
        moment = _now(connection)
    for name in REPORTS:
        if name in ("ar-aging", "dunning", "wallet-forecast", "income-statement", "balance-sheet",
                    "contract-balances", "remaining-obligations", "standing"):  # fmt: skip
            continue  # these are of a day
        assert _rows(engine, name) == _rows(engine, name, known_at=moment), name
        assert _rows(engine, name) == _rows(engine, name, as_of=date(2027, 1, 31)), name
