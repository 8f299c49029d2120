"""What always holds, over documents nobody chose: the books balance and tie, and a second run posts nothing.

Beside them, a small independent model of the wallets in plain dictionaries, written from what `tickmark rules` says.
"""

from __future__ import annotations

import io
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby, zip_longest
from typing import Any

import pytest
import simplejson
from hypothesis import given, note, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from adapters.out.export import How as ExportHow
from adapters.out.export import export_file
from ledger.amounts.dates import months_between
from ledger.database import embedded
from ledger.database.connect import connect_engine
from ledger.errors import ClosedPeriod
from ledger.intake import lines as lines_module
from ledger.intake import posting
from ledger.journal import periods
from ledger.journal.revaluation import revalue
from ledger.proof.verify import verify
from ledger.reports.report import Filters
from ledger.reports.trial_balance import summary, trial_balance
from ledger.usage import draw as usage_module
from ledger.usage import read_lines as bulk_module
from ledger.usage import reader_process as beside_module
from revrec.earn import recognition as recognition_module
from revrec.earn.recognition import recognize
from revrec.kinds import TYPES
from revrec.reports.waterfall import waterfall
from revrec.watches import HELD
from tests.samples import (
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
from tests.test_disclosures import assert_disclosures_tie, assert_groups_add_up
from tests.test_export_objects import mapping, receivables
from web.work.post_file import How, post_file

# `TICKMARK_EXAMPLES=20 pytest tests/test_properties.py` looks twenty times as long, each time elsewhere.
EXAMPLES = int(os.environ.get("TICKMARK_EXAMPLES", "1"))

DAYS = st.dates(date(2026, 1, 1), date(2026, 6, 30)).map(date.isoformat)
CENTS = st.integers(1, 20_000).map(lambda cents: f"{Decimal(cents) / 100:.2f}")
PATTERNS = st.sampled_from(["daily", "monthly", "monthly_prorated", "point_in_time"])


Context = dict[str, list[dict[str, Any]]]


def _known(draw: st.DrawFn, context: Context, kind: str) -> dict[str, Any]:
    """A document of a kind drawn before, if there is one; one that does not exist otherwise."""
    return draw(
        st.sampled_from(context.get(kind) or [{"id": "none", "amount": "1.00", "lines": [], "obligations": []}])
    )


def _total(doc: dict[str, Any]) -> str:
    return f"{sum(Decimal(line['amount']) for line in doc['lines']) or Decimal(1):.2f}"


def _part(draw: st.DrawFn, amount: str) -> str:
    """The whole amount, about a half or a third of it, or a cent."""
    cents = _cents(amount)
    return f"{Decimal(max(draw(st.sampled_from([cents, cents // 2, cents // 3, 1])), 1)) / 100:.2f}"


@st.composite
def _document(draw: st.DrawFn, ref: str, context: Context) -> dict[str, Any]:
    """A document of any kind that may or may not be acceptable; what it refers to may not exist."""
    day, amount = draw(DAYS), draw(CENTS)
    end = (date.fromisoformat(day) + timedelta(days=draw(st.integers(0, 200)))).isoformat()
    pattern = draw(PATTERNS)
    maybe_end = draw(st.sampled_from([None, end]))
    price = draw(st.sampled_from([amount, draw(CENTS)]))
    bill = _known(draw, context, "invoice")
    paid = _known(draw, context, "payment")
    promised = (_known(draw, context, "contract")["obligations"] or [{"id": "none", "price": "1.00"}])[0]
    credit_of = _known(draw, context, "grant")
    taxed = {"tax_codes": ["VAT"]} if draw(st.booleans()) else {}
    until = day if pattern == "point_in_time" else end
    owed = _part(draw, _total(bill))
    settled = next((item["invoice"] for item in paid.get("applications", ())), _known(draw, context, "invoice")["id"])
    opened = _known(draw, context, "dispute")
    kinds: dict[str, dict[str, Any]] = {
        "prepaid": grant(ref, amount, day, price=price, expires_on=maybe_end),
        "breaking": grant(
            ref, amount, day, price=price, expires_on=end, breakage="proportional",
            expected_breakage=draw(st.sampled_from(["0.15", "0.5", "0.01"])),
        ),
        "promotion": promotion(ref, amount, day, expires_on=maybe_end),
        "pilot": grant(ref, amount, day, kind="pilot", price=draw(st.sampled_from([None, price])), expires_on=maybe_end),
        "commitment": grant(
            ref, amount, day, kind="commitment", expires_on=end,
            **draw(st.sampled_from([{}, {"breakage": "proportional", "expected_breakage": "0.2"}])),
        ),
        "estimate_breakage": {
            "type": "breakage_estimate", "id": ref, "customer": "globex", "grant": credit_of["id"], "date": day,
            "expected_breakage": draw(st.sampled_from(["0", "0.1", "0.4"])), "reason": "because",
        },
        "rate": {key: value for key, value in usage(ref, "1", day).items() if key not in ("quantity", "unit_price")}
        | {"amount": draw(st.sampled_from(["-0.004", "0.0037", f"-{_part(draw, amount)}", f"-{amount}", amount]))},
        "order": grant(ref, amount, day, price=price, contract="order", expires_on=maybe_end),
        "bonus": promotion(ref, amount, day, contract="order", expires_on=maybe_end),
        "right": promotion(
            ref, amount, day, contract=_known(draw, context, "contract")["id"], expires_on=maybe_end,
            expected_use=draw(st.sampled_from([None, "0.6"])),
        ),
        "carry": grant(ref, "500.00", day, carried_from=credit_of["id"], kind=credit_of.get("kind", "prepaid"), expires_on=end),
        "return": {
            "type": "grant_return", "id": ref, "customer": "globex", "grant": credit_of["id"], "date": day, "reason": "left",
            "amount": draw(st.sampled_from([None, _part(draw, credit_of.get("amount", "1.00"))])),
        },
        "shortfall": invoice(
            ref, day, {"id": "1", "kind": "shortfall", "amount": _part(draw, credit_of.get("amount", "1.00")),
                       "grant": credit_of["id"], "product": "tokens"} | taxed, due_on=end,
        ),
        "manual": {
            "type": "manual_entry", "id": ref, "entity": "us", "currency": "USD", "date": day, "reason": "because",
            "approved_by": "ann", "lines": [{"debit": "opening_balances", "credit": "customer_credits", "customer": "globex",
                                             "credit_subject": f"grant:{credit_of['id']}", "amount": amount}],
        },
        "move": application(ref, _part(draw, owed), day, bill["id"], from_invoice=settled),
        "usage": usage(ref, str(draw(st.integers(0, 90_000))), day, unit_price=draw(st.sampled_from(["0.001", "0.0037", "1"]))),
        "correct": usage(
            ref, str(draw(st.integers(0, 90_000))), day, unit_price="0.001", supersedes=_known(draw, context, "usage")["id"]
        ),
        "bill_grant": invoice(ref, day, prepaid(_part(draw, credit_of.get("price", "1.00")), credit_of["id"]) | taxed, due_on=end),
        "bill_usage": invoice(ref, day, billed_usage(amount) | taxed, one_time(price, line="2"), due_on=end),
        "discount_usage": invoice(
            ref, day, billed_usage(amount) | taxed | {"quantity": f"{Decimal(amount) * 2}", "unit_price": "1", "discount": amount},
            due_on=end,
        ),
        "service": invoice(ref, day, service(amount, day, end, pattern=pattern) | taxed, due_on=end),
        "one_time": invoice(ref, day, one_time(amount) | taxed, due_on=end),
        "below_zero": invoice(
            ref, day, service(f"-{amount}", day, end, pattern=pattern) | taxed, service(price, day, end, "2") | taxed, due_on=end,
        ),
        "given": invoice(
            ref, day, service(amount, day, end, pattern=pattern)
            | {"taxes": [{"code": "VAT", "base": amount, "amount": draw(st.sampled_from(["0.00", "0.01", price]))}]}, due_on=end,
        ),
        "goodwill": {
            "type": "credit_note", "id": ref, "customer": "globex", "entity": "us", "currency": "USD", "date": day,
            "lines": [{"product": "seats", "amount": amount, **taxed}],
        },
        "over_entities": invoice(
            ref, day, one_time(amount) | taxed, service(price, day, end, "2", pattern=pattern, entity="eu") | taxed, due_on=end,
        ),
        "replace": invoice(
            ref, max(day, bill.get("issued_on", day)), one_time(amount) | taxed, billed_usage(price, line="2"), due_on=end,
            supersedes=bill["id"],
        ) | {"due_on": max(end, bill.get("issued_on", end))},
        "payment": payment(ref, amount, day, fee=draw(st.sampled_from([None, "0.01"]))),
        "deposit": payment(ref, "500.00", "2026-01-01"),
        "pay": payment(ref, owed, day, (bill["id"], owed)),
        "application": application(ref, owed, day, bill["id"]),
        "contract": contract(
            ref, day, obligation(f"{ref}/o", amount, day, until, pattern=pattern, **draw(st.sampled_from([{}, {"ssp": price}])))
        ),
        "modify": {
            "type": "contract_modification", "id": ref, "contract": _known(draw, context, "contract")["id"], "date": day,
            "treatment": draw(st.sampled_from(["auto", "prospective", "catch_up"])),
            "obligations": [obligation(promised["id"], amount, day, until, pattern=pattern)],
        },
        "estimate": {
            "type": "estimate", "id": ref, "contract": _known(draw, context, "contract")["id"], "component": draw(st.sampled_from("ab")),
            "date": day, "amount": draw(st.sampled_from(["0.00", "0.07", "-0.05", amount])),
        },
        "expected_back": {
            "type": "estimate", "id": ref, "contract": _known(draw, context, "contract")["id"], "component": "returns", "refund": True,
            "date": day, "amount": f"-{_part(draw, promised['price'])}",
        },
        "renew": {
            "type": "contract_renewal", "id": ref, "contract": _known(draw, context, "contract")["id"], "date": day,
            "obligations": [{"id": f"{ref}/o", "renews": promised["id"], "end": draw(st.sampled_from(["2026-12-31", "2027-01-31"]))}],
        },
        "terminate": {
            "type": "contract_termination", "id": ref, "contract": _known(draw, context, "contract")["id"], "date": day, "reason": "left",
            **draw(st.sampled_from([{}, {"ends": end}])),
            **draw(st.sampled_from([{}, {"penalty": {"id": f"{ref}/exit", "product": "seats", "amount": amount}}])),
        },
        "payable": {
            "type": "consideration_payable", "id": ref, "contract": _known(draw, context, "contract")["id"], "date": day,
            "amount": _part(draw, promised["price"]), "reason": "a fair we share",
        },
        "financed": contract(
            ref, day, obligation(f"{ref}/o", amount, day, until, pattern=pattern),
            financing={"rate": "0.12", "payments": [{"date": draw(DAYS), "amount": amount}]},
        ),
        "combined": contract(
            ref, day, obligation(f"{ref}/o", amount, day, until, pattern=pattern, ssp=price),
            combined_with=_known(draw, context, "contract")["id"], combined_because="one_objective",
        ),
        "contract_cost": {
            "type": "contract_cost", "id": ref, "contract": _known(draw, context, "contract")["id"], "date": day, "amount": amount, "end": end,
        },
        "bill_obligation": invoice(
            ref, day, {"id": "1", "kind": "service", "amount": _part(draw, promised["price"]), "obligation": promised["id"]} | taxed,
            due_on=end,
        ),
    }  # fmt: skip
    # corrections mostly come after what they correct
    early = draw(st.integers(0, 9)) == 0
    billed_on = day if early else max(day, bill.get("issued_on", day))
    paid_on = day if early else max(day, paid.get("date", day))
    lost = _known(draw, context, "write_off")
    named = {"date": billed_on, "reason": "because"}
    corrections: dict[str, dict[str, Any]] = {
        "void": {"type": "invoice_void", "id": ref, "invoice": bill["id"], **named},
        "credit": {
            "type": "credit_note", "id": ref, "invoice": bill["id"], **named,
            "lines": [{"line": "1", "amount": owed} | ({"start": day, "end": end} if draw(st.integers(0, 3)) == 0 else {})],
        },
        "credit_beside": {
            "type": "credit_note", "id": ref, "invoice": bill["id"], **named,
            "lines": [{"line": "1", "amount": owed}, {"product": "seats", "amount": price, **taxed}],
        },
        "refund": {"type": "refund", "id": ref, "payment": paid["id"], "amount": _part(draw, paid["amount"]), "date": paid_on},
        "dispute": {
            "type": "dispute", "id": ref, "payment": paid["id"], "amount": _part(draw, paid["amount"]), "date": paid_on,
            "status": draw(st.sampled_from(["opened", "opened", "won", "lost"])),
        },
        "resolve": {
            "type": "dispute", "id": ref, "payment": opened.get("payment", "none"), "amount": _part(draw, opened["amount"]),
            "date": max(day, opened.get("date", day)), "status": draw(st.sampled_from(["won", "lost"])),
        },
        "write_off": {
            "type": "write_off", "id": ref, "invoice": bill["id"], "approved_by": "c", **named,
            "amount": draw(st.sampled_from([None, owed])),
        },
        "recovery": {
            "type": "recovery", "id": ref, "write_off": lost["id"], "rail": "wire",
            "date": max(day, lost.get("date", day)), "amount": draw(st.sampled_from(["0.01", "0.50", amount])),
        },
    }  # fmt: skip
    weighted = [*kinds, "usage", "usage", "rate", "service", "pay", *(corrections if context.get("invoice") else ())]
    if context.get("payment"):
        weighted += ["move", "move", "application", "application"]
    if any(doc["kind"] == "commitment" for doc in context.get("grant", ())):
        weighted += ["shortfall"]
    made = (kinds | corrections)[draw(st.sampled_from(weighted))]
    return {key: value for key, value in made.items() if value is not None}


@st.composite
def _history(draw: st.DrawFn) -> list[list[dict[str, Any]]]:
    """Files of documents, one after the other."""
    count = draw(st.integers(5, 40))
    documents: list[dict[str, Any]] = []
    context: Context = {}
    for number in range(count):
        documents.append(draw(_document(f"d{number}", context)))
        context.setdefault(documents[-1]["type"], []).append(documents[-1])
    cuts = sorted(draw(st.lists(st.integers(0, count), max_size=3)))
    return [documents[a:b] for a, b in zip([0, *cuts], [*cuts, count], strict=True) if a < b]


@st.composite
def _history_in_any_currency(draw: st.DrawFn) -> list[list[dict[str, Any]]]:
    """Files of documents in the entity's currency or another, whose rate keeps changing."""
    currency = draw(st.sampled_from(["USD", "EUR"]))
    files = draw(_history())
    return [[doc | {"currency": currency} if "currency" in doc else doc for doc in file] for file in files]


RATES = [
    {"type": "fx_rate", "id": f"{month}", "date": f"2026-{month:02}-01", "base": "EUR", "quote": "USD",
     "rate": f"{Decimal(100 + month * 37 % 50) / 100}"}
    for month in range(1, 13)
]  # fmt: skip

OTHER = {"type": "entity", "id": "eu", "name": "Acme AI GmbH", "currency": "EUR"}
VAT = {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.19"}


@pytest.fixture(scope="module")
def fresh(server: str) -> Any:
    """Makes fresh databases, one an example."""
    admin = create_engine(make_url(server).set(database="postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    made: list[Engine] = []

    def make() -> Engine:
        while made:
            made.pop().dispose()
        with admin.connect() as connection:
            connection.exec_driver_sql("drop database if exists property with (force)")
            connection.exec_driver_sql(f"create database property template {embedded.DATABASE} strategy file_copy")
        made.append(connect_engine(make_url(server).set(database="property").render_as_string(hide_password=False)))
        return made[0]

    yield make
    while made:
        made.pop().dispose()


def _post(engine: Engine, documents: list[dict[str, Any]], how: How = How(keep_going=True)) -> Any:  # noqa: B008 - frozen
    stream = io.BytesIO("".join(json.dumps(doc) + "\n" for doc in documents).encode())
    refused: list[str] = []
    outcome = post_file(
        engine, stream, TYPES, "tester", lambda problem, _raw: refused.append(problem.document), how
    ).outcome
    return outcome, refused


def _differences(connection: Connection) -> list[str]:
    return [
        f"{check.sentence}: {difference}"
        for check in verify(connection.engine, held=HELD)
        for difference in check.differences
    ]


def _assert_ties(connection: Connection) -> None:
    balances = trial_balance(connection, Filters(memorandum=True)).rows
    assert sum(row["debit"] - row["credit"] for row in balances) == 0
    assert _differences(connection) == []


@settings(max_examples=EXAMPLES * 12)
@given(
    files=_history_in_any_currency(),
    months=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    closes=st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_any_documents_balance_tie_and_post_once(
    fresh: Any, files: list[list[dict[str, Any]]], months: list[int], closes: list[bool]
) -> None:
    note("\n".join(json.dumps(doc) for file in files for doc in file))
    note(f"files of {[len(file) for file in files]}, months {months}, closed {closes}")
    engine = fresh()
    _post(engine, [*parties(), OTHER, VAT, *RATES])
    accepted: list[dict[str, Any]] = []
    for number, file in enumerate(files):
        _, refused = _post(engine, file)
        accepted += [doc for doc in file if f"{doc['type']} {doc['id']}" not in refused]
        if number < len(months):
            _recognize_and_close(engine, date(2026, months[number], 1), close=closes[number])
        with engine.connect() as connection:
            _assert_ties(connection)
            assert_disclosures_tie(connection)
            assert_groups_add_up(connection)
    with engine.begin() as connection:
        recognize(connection, date(2027, 2, 1), "tester")
    with engine.begin() as connection:
        _assert_ties(connection)
        assert_disclosures_tie(connection)
        before = summary(connection, Filters(memorandum=True)).rows
        assert recognize(connection, date(2027, 2, 1), "tester").entries == 0
    outcome, refused = _post(engine, [*parties(), OTHER, VAT, *RATES, *accepted], How())
    assert (outcome.posted, outcome.entries, refused) == (0, 0, [])
    with engine.connect() as connection:
        assert summary(connection, Filters(memorandum=True)).rows == before
        _assert_model_agrees(connection, accepted)


def _recognize_and_close(engine: Engine, month: date, *, close: bool) -> None:
    with engine.begin() as connection:
        closed = periods.closed_through(connection, "us")
        if closed is not None and closed >= month:
            return
        recognize(connection, month, "tester")
        revalue(connection, "us", month, "tester")
        if close:
            for earlier in months_between(date(2026, 1, 1), month):
                if closed is None or earlier > closed:
                    periods.close(connection, "us", earlier, "tester")


def _tax(line: dict[str, Any]) -> int:
    """As it is given, or 19 %, half up, a line."""
    if "taxes" in line:
        return sum(_cents(tax["amount"]) for tax in line["taxes"])
    net = _cents(line["amount"]) if "tax_codes" in line else 0
    return (1 if net > 0 else -1) * ((abs(net) * 19 * 2 + 100) // 200)


def _assert_model_agrees(connection: Connection, accepted: list[dict[str, Any]]) -> None:
    """Cash, receivables and usage against plain arithmetic over the documents, after everything is recognised."""
    replaced = {doc["supersedes"] for doc in accepted if "supersedes" in doc}
    cash = received = invoiced = applied = 0
    corrected = False
    rated = Decimal(0)
    for doc in accepted:
        kind = doc["type"]
        if kind == "usage" and doc["id"] not in replaced:
            rated += (
                Decimal(doc["amount"]) if "amount" in doc else Decimal(doc["quantity"]) * Decimal(doc["unit_price"])
            )
        elif kind == "invoice":
            corrected |= "supersedes" in doc
            # what it is below zero is the customer's money
            invoiced += max(sum(_cents(line["amount"]) + _tax(line) for line in doc["lines"]), 0)
        elif kind == "payment":
            received += _cents(doc["amount"])
            cash -= _cents(doc.get("fee", "0"))
            applied += sum(_cents(item["amount"]) for item in doc["applications"])
        elif kind == "application":
            applied += 0 if "from_invoice" in doc else _cents(doc["amount"])
        elif kind == "refund":
            cash -= _cents(doc["amount"])
        elif kind == "dispute":
            cash += _cents(doc["amount"]) * {"opened": -1, "won": 1, "lost": 0}[doc["status"]]
        elif kind == "recovery":
            cash += _cents(doc["amount"])
        corrected |= kind in (
            "invoice_void", "credit_note", "write_off", "refund", "dispute", "grant_return", "consideration_payable",
        )  # fmt: skip
    net_of: dict[str, int] = dict(
        connection.execute(
            text(
                "select role, sum(case side when 'debit' then amount else -amount end)::bigint"
                " from journal_line group by role".replace("::", r"\:\:")
            )
        ).all()
    )
    assert net_of.get("cash", 0) == received + cash
    if not corrected:
        assert net_of.get("accounts_receivable", 0) == invoiced - applied
        assert -net_of.get("customer_balance", 0) == received - applied
    posted = connection.scalar(text("select coalesce(sum(posted_minor), 0) from usage_meter"))
    assert abs(Decimal(posted) - rated * 100) <= Decimal("0.5")
    _assert_obligations_agree(connection, accepted)


def _assert_obligations_agree(connection: Connection, accepted: list[dict[str, Any]]) -> None:
    """Every obligation earned exactly its price: agreed or billed, less what documents took back of it."""
    rows = connection.execute(
        text(
            "select o.subject, o.price_minor, coalesce(sum(case when p.credit_account = a.account_id then p.amount"
            " else -p.amount end), 0) as earned, coalesce((select sum(x.amount_minor) from line_change x"
            " where x.customer_id = o.customer_id and x.subject = o.subject and not x.own_obligation"
            # a void of what corrects another line lowers nothing of its own: the other is not corrected any more
            " and not exists (select from invoice_line n where n.customer_id = x.customer_id and n.invoice_id = x.invoice_id"
            "  and n.line = x.line and n.amount_minor < 0 and not n.own_obligation)), 0) as lowered,"
            " coalesce((select sum(x.amount_minor) from line_change x where x.subject = o.subject"
            " and x.own_obligation), 0) as negative,"
            " coalesce((select sum(x.amount_minor) from line_change x where x.customer_id = o.customer_id and x.subject = o.subject"
            " and x.kind = 'void'), 0) as voided,"
            # one below zero that corrects another is what lowers it
            " (select sum(l.amount_minor) from invoice_line l where l.subject = o.subject and (l.amount_minor > 0 or l.own_obligation)) as billed,"
            " coalesce(sum(case when p.credit_account = a.account_id then p.amount else -p.amount end)"
            "  filter (where a.role = 'revenue'), 0) as revenue,"
            " (select count(distinct l.invoice_id) from invoice_line l where l.subject = o.subject) as bills,"
            " exists (select from line_change x where x.customer_id = o.customer_id and x.subject = o.subject"
            "  and x.kind = 'write_off') as written_off"
            " from performance_obligation o left join account a on a.customer_id = o.customer_id"
            " and a.subject = o.subject and a.role in ('revenue', 'refunds', 'disputes', 'bad_debt')"
            " left join posting p on a.account_id in (p.debit_account, p.credit_account)"
            " group by o.customer_id, o.subject, o.price_minor"
        )
    ).all()
    # the last version of an obligation that was accepted says its price
    contracts = {
        item["id"]: _cents(item["price"])
        for doc in accepted
        if doc["type"] in ("contract", "contract_modification")
        for item in doc["obligations"]
    }
    promised = {doc["id"] for doc in accepted if doc["type"] == "contract"}
    # what else than these two changes prices is held to its own arithmetic elsewhere: here, that all of the price is earned
    other = any(
        doc["type"] in ("estimate", "contract_renewal", "contract_termination", "consideration_payable")
        or (doc["type"] == "contract" and ("financing" in doc or "combined_with" in doc))
        or (doc.get("contract") in promised and doc["type"] == "grant")
        for doc in accepted
    )
    financed = {item["id"] for doc in accepted if "financing" in doc for item in doc["obligations"]}
    for row in rows:
        if row.lowered and row.subject.removeprefix("obligation:") in financed:
            continue  # its price has interest in it that no bill has
        assert row.revenue == row.price_minor, row.subject
        agreed = contracts.get(row.subject.removeprefix("obligation:"))
        # what of a bill leaves the price where not all is billed, or one is billed after another was written off, is held elsewhere
        if other or (row.written_off and row.bills > 1):
            continue
        price = agreed if agreed is not None else (row.billed or 0)
        # what takes back a bill beyond the agreed price does not lower the price
        beyond = 0 if agreed is None else max((row.billed or 0) - row.voided - agreed, 0)
        lowered = (
            row.lowered if agreed is None else row.lowered - row.voided
        )  # a void of a contract's bill lowers no price
        assert row.earned == price - max(lowered - beyond, 0) - row.negative, row.subject


def _cents(amount: str) -> int:
    return int(Decimal(amount) * 100)


@settings(max_examples=EXAMPLES * 9)
@given(files=_history())
def test_plain_draws_post_what_planned_ones_would(fresh: Any, files: list[list[dict[str, Any]]]) -> None:
    """Usage that one grant covers takes a short way: the journal is the same, line by line, as the long way writes."""
    documents = [doc for file in files for doc in file]
    note("\n".join(map(json.dumps, documents)))
    found = []
    for covering in (usage_module.covering, lambda *_: None):
        engine = fresh()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(usage_module, "covering", covering)
            _post(
                engine,
                [
                    *parties(),
                    OTHER,
                    VAT,
                    *RATES,
                    grant("always", "100000.00"),
                    invoice("A", "2026-01-01", prepaid("90000.00", "always")),
                ],
            )
            _post(engine, documents)
        with engine.connect() as connection:
            found.append(
                connection.execute(
                    text("select entry_id, effective_on, role, subject, product, side, amount, functional_amount from journal_line"
                         " order by 1, 2, 3, 4, 5, 6, 7")
                ).all()
            )  # fmt: skip
    assert found[0] == found[1]


def _requests(documents: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Documents as requests bring them: usage in a row together, everything else by itself."""
    for is_usage, run in groupby(documents, lambda doc: doc["type"] == "usage"):
        if is_usage:
            yield list(run)
        else:
            yield from ([doc] for doc in run)


@settings(max_examples=EXAMPLES * 9)
@given(files=_history(), granted=st.booleans())
def test_draws_by_one_statement_post_what_the_long_way_would(
    fresh: Any, files: list[list[dict[str, Any]]], granted: bool
) -> None:
    """A few draws at once are posted by the database itself where they are plain: line by line what ledger/usage/draw.py writes."""
    # with more grants than one, few draws are plain
    documents = [doc for file in files for doc in file if granted or doc["type"] not in ("grant", "wallet_alert")]
    note("\n".join(map(json.dumps, documents)))
    found = []
    for at_once in (posting.DRAWN_AT_ONCE, 0):
        engine = fresh()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(posting, "DRAWN_AT_ONCE", at_once)
            _post(engine, [*parties(), OTHER, VAT, *RATES, grant("always", "100000.00")])
            _post(
                engine,
                [invoice("A", "2026-01-01", prepaid("90000.00", "always")), usage("first", "1.00", "2026-01-01")],
            )
            for request in _requests(documents):
                _post(engine, request)
        with engine.connect() as connection:
            found.append(_all_posted(connection))
            assert not [check for check in verify(connection.engine, held=HELD) if check.differences]
    assert found[0] == found[1]


def _all_posted(connection: Connection) -> list[Any]:
    """Everything usage leaves in the books, in words that two databases share."""
    questions = (
        "select d.type, d.ref, l.line, l.effective_on, l.occurred_on, l.role, l.subject, l.product, l.side, l.amount,"
        " l.functional_amount, l.rule, l.posted_by from journal_line l join document d using (customer_id, document_id)"
        " order by 1, 2, l.entry_id, 3, l.side",
        "select type, ref, dated_on, body, hash, posted_by from document order by 1, 2",
        "select g.ref, b.drawn_face_minor, b.drawn_minor, b.broken_minor from grant_balance b"
        " join credit_grant g using (customer_id, grant_id) order by 1",
        "select entity, product, currency, rated, posted_minor from usage_meter order by customer_id, 1, 2, 3",
        "select d.ref, e.crossed, e.left_minor from wallet_alert_event e join document d using (customer_id, document_id)"
        " order by 1, e.event_id",
    )
    return [connection.execute(text(question)).all() for question in questions]


@settings(max_examples=EXAMPLES * 8)
@given(
    files=_history(),
    runs=st.lists(
        st.lists(
            st.tuples(st.integers(0, 60), DAYS, st.sampled_from(["globex", "covered", "bare"])), min_size=2, max_size=6
        ),
        min_size=2,
        max_size=8,
    ),
    batch=st.integers(1, 9),
)
def test_usage_in_bulk_posts_what_the_long_way_would(
    fresh: Any, files: list[list[dict[str, Any]]], runs: list[list[tuple[int, str, str]]], batch: int
) -> None:
    """Usage read and posted in bulk among any other documents, batch by batch: line by line what ledger/usage/draw.py writes."""
    small = [
        [
            usage(f"s{run}-{n}", "0", day)
            | {"customer": customer, "quantity": "1", "unit_price": f"{mills / 1000:.3f}"}
            for n, (mills, day, customer) in enumerate(parts)
        ]
        for run, parts in enumerate(runs)
    ]
    mixed = [doc for file in files for doc in file]
    # what refuses a line depends on what came before it: one order, with runs of small usage in between
    documents = [doc for one, run in zip_longest(mixed, small) for doc in ([one] if one else []) + (run or [])]
    note("\n".join(map(json.dumps, documents)))
    found = []
    for in_bulk in (True, False):
        engine = fresh()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(posting, "DRAWN_AT_ONCE", 0)
            patch.setattr(lines_module, "BATCH", batch)
            patch.setattr(beside_module, "_started", lambda: None)
            if not in_bulk:
                patch.setattr(bulk_module, "read", lambda lines: [None] * len(lines))
            _post(
                engine,
                [
                    *parties(), OTHER, VAT, *RATES, grant("always", "100000.00"),
                    invoice("A", "2026-01-01", prepaid("90000.00", "always")), usage("first", "1.00", "2026-01-01"),
                    *({"type": "customer", "id": name, "name": name} for name in ("covered", "bare")),
                    grant("small", "0.50", customer="covered"), grant("later", "5.00", customer="covered", effective_on="2026-02-01"),
                    invoice("B", "2026-01-01", prepaid("0.50", "small"), customer="covered"),
                    invoice("C", "2026-01-01", prepaid("5.00", "later"), customer="covered"),
                    *documents,
                ],
            )  # fmt: skip
        with engine.connect() as connection:
            found.append(_all_posted(connection))
            assert not [check for check in verify(connection.engine, held=HELD) if check.differences]
    assert found[0] == found[1]


_OF_CONTRACTS = (
    "contract", "contract_modification", "contract_renewal", "contract_termination", "estimate", "consideration_payable", "invoice",
    "credit_note", "contract_cost",
)  # fmt: skip


@settings(max_examples=EXAMPLES * 9)
@given(files=_history(), months=st.lists(st.integers(1, 12), min_size=2, max_size=4))
def test_catching_up_equals_a_fresh_computation(
    fresh: Any, files: list[list[dict[str, Any]]], months: list[int]
) -> None:
    """Whatever comes late, after months were recognised: the books end as if all had been known from the start."""
    files = [[doc for doc in file if doc["type"] in _OF_CONTRACTS] for file in files]
    note("\n".join(json.dumps(doc) for file in files for doc in file))
    found = []
    for late in (False, True):
        engine = fresh()
        _post(engine, [*parties(), OTHER, VAT, *RATES])
        for number, file in enumerate(files):
            _post(engine, file)
            if late and number < len(months):
                with engine.begin() as connection:
                    recognize(connection, date(2026, months[number], 1), "tester")
        with engine.begin() as connection:
            recognize(connection, date(2027, 2, 1), "tester")
            assert _differences(connection) == []
            found.append(summary(connection, Filters()).rows)
    assert found[0] == found[1]


@settings(max_examples=EXAMPLES * 12)
@given(
    files=_history(),
    split=st.integers(1, 5),
    months=st.lists(st.integers(1, 12), unique=True, min_size=1, max_size=4).map(sorted),
)
def test_recognising_often_or_once_gives_the_same_books(
    fresh: Any, files: list[list[dict[str, Any]]], split: int, months: list[int]
) -> None:
    documents = [doc for file in files for doc in file]
    note("\n".join(map(json.dumps, documents)))
    found = []
    for often in (False, True):
        engine = fresh()
        _post(engine, [*parties(), OTHER, VAT, *RATES])
        _post(engine, documents)
        for month in months if often else ():
            with engine.begin() as connection:
                recognize(connection, date(2026, month, 1), "tester")
        with engine.begin() as connection:
            recognize(connection, date(2027, 2, 1), "tester")
            found.append(summary(connection, Filters(memorandum=True)).rows)
    assert found[0] == found[1]


@settings(max_examples=EXAMPLES * 8)
@given(files=_history(), closed=st.lists(st.booleans(), min_size=4, max_size=4))
def test_obligations_of_one_month_are_recognised_as_any_other(
    fresh: Any, files: list[list[dict[str, Any]]], closed: list[bool]
) -> None:
    """Where the months before are closed, one row says what the month-by-month way finds: the journal is the same."""
    files = [[doc for doc in file if doc["type"] in (*_OF_CONTRACTS, *_LOWERING)] for file in files]
    note("\n".join(json.dumps(doc) for file in files for doc in file))
    found = []
    for quick in (True, False):
        engine = fresh()
        with pytest.MonkeyPatch.context() as patch:
            if not quick:
                long_way = recognition_module.POST.replace("true and not p.modified", "false")
                assert long_way != recognition_module.POST
                patch.setattr(recognition_module, "POST", long_way)
            _post(engine, [*parties(), OTHER, VAT, *RATES])
            for number, close in enumerate(closed):
                _post(engine, files[number] if number < len(files) else [])
                with engine.begin() as connection:
                    recognize(connection, date(2026, number + 1, 1), "tester")
                    for month in range(1, number + 2) if close else ():
                        with suppress(ClosedPeriod):
                            periods.close(connection, "us", date(2026, month, 1), "tester")
            with engine.begin() as connection:
                recognize(connection, date(2026, 8, 1), "tester")
        with engine.connect() as connection:
            found.append((_all_posted(connection), _differences(connection)))
    assert found[0] == found[1]
    assert found[0][1] == []


_LOWERING = ("payment", "invoice_void", "write_off", "dispute", "refund", "grant", "usage")


@settings(max_examples=EXAMPLES * 9)
@given(files=_history_in_any_currency())
def test_what_is_scheduled_is_what_recognition_posts(fresh: Any, files: list[list[dict[str, Any]]]) -> None:
    """The waterfall's coming months, of whatever was agreed, billed, credited and modified, are what becomes revenue."""
    documents = [doc for file in files for doc in file]
    note("\n".join(map(json.dumps, documents)))
    engine = fresh()
    _post(engine, [*parties(), OTHER, VAT, *RATES])
    _post(engine, documents)
    with engine.begin() as connection:
        recognize(connection, date(2026, 7, 1), "tester")
    with engine.begin() as connection:
        scheduled: Counter[tuple[str, str]] = Counter()
        for row in waterfall(connection, Filters(as_of=date(2026, 7, 31))).rows:
            if row["status"] == "scheduled":
                scheduled[row["month"], row["currency"]] += row["amount"]
        recognize(connection, date(2027, 2, 1), "tester")
        posted = connection.execute(
            text(
                "select to_char(effective_on, 'YYYY-MM') as month, currency,"
                " sum(case side when 'credit' then amount else -amount end)::bigint as amount from journal_line "
                r"where role = 'revenue' and subject like 'obligation\:%' and effective_on > '2026-07-31' group by 1, 2"
            )
        ).all()
    assert {key: amount for key, amount in scheduled.items() if amount} == {
        (row.month, row.currency): row.amount for row in posted if row.amount
    }


@settings(max_examples=EXAMPLES * 9)
@given(
    files=_history_in_any_currency(),
    form=st.sampled_from(
        [("functional", "day"), ("functional", "month"), ("transaction", "entry"), ("transaction", "document")]
    ),
)
def test_any_documents_go_out_as_what_they_are_and_tie(
    fresh: Any, files: list[list[dict[str, Any]]], form: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """To QuickBooks and Zoho, as invoices, credit notes, payments and journal entries: in all the trial balance, customer by customer."""
    note("\n".join(json.dumps(doc) for file in files for doc in file))
    engine = fresh()
    _post(engine, [*parties(), OTHER, VAT, *RATES])
    for file in files:
        _post(engine, file)
    folder = tmp_path_factory.mktemp("objects")
    head = f'objects = "all"\namounts = "{form[0]}"\ndetail = "{form[1]}"\n'
    with engine.begin() as connection:
        recognize(connection, date(2026, 12, 1), "tester")
        if not trial_balance(connection, Filters(entity="us")).rows:
            return
        for target in ("quickbooks", "zoho"):
            how = ExportHow(mapping(folder, target, head, '[fields]\n"currency.EUR" = "4"\n'))
            export_file(connection, target, Filters(entity="us"), str(folder / f"{target}.json"), how)
        owed = connection.execute(
            text(
                "select c.ref, sum(case side when 'debit' then functional_amount else -functional_amount end)::bigint as cents "
                "from journal_line join customer c using (customer_id) where role = 'accounts_receivable' and entity = 'us' group by 1"
            )
        ).all()
    made = [
        next(iter(found.items()))
        for found in simplejson.loads((folder / "quickbooks.json").read_text(), use_decimal=True)
    ]
    assert receivables(made) == {f"Customer:{ref}": Decimal(cents) / 100 for ref, cents in owed if cents}


WALLET = st.lists(
    st.tuples(
        st.sampled_from(["prepaid", "promotional"]),
        st.integers(1, 300),  # face, in cents
        st.integers(0, 20),  # first day
        st.integers(0, 40) | st.none(),  # days it lasts
        st.integers(0, 2) | st.none(),  # priority
    ),
    max_size=5,
)


@settings(max_examples=EXAMPLES * 12)
@given(wallet=WALLET, used=st.lists(st.tuples(st.integers(0, 45), st.integers(1, 200)), max_size=12))
def test_draws_agree_with_a_model_in_dictionaries(fresh: Any, wallet: list[Any], used: list[Any]) -> None:
    start = date(2026, 1, 1)
    documents = parties()
    model: list[dict[str, Any]] = []
    for number, (kind, face, first, lasts, priority) in enumerate(wallet):
        begins = start + timedelta(days=first)
        ends = None if lasts is None else begins + timedelta(days=lasts)
        amount = f"{Decimal(face) / 100:.2f}"
        more = {"expires_on": ends and ends.isoformat(), "priority": priority}
        document = grant(f"g{number}", amount, begins.isoformat(), kind=kind, **more)
        documents.append({key: value for key, value in document.items() if value is not None})
        model.append(
            {"ref": f"g{number}", "kind": kind, "left": face, "from": begins, "to": ends, "priority": priority}
        )
    order = sorted(
        model,
        key=lambda g: (
            g["priority"] is None, g["priority"], g["to"] is None, g["to"] or start, g["kind"] != "promotional", g["from"], g["ref"],
        ),
    )  # fmt: skip
    overage = 0
    for number, (day, amount) in enumerate(used):
        on = start + timedelta(days=day)
        documents.append(usage(f"u{number}", f"{Decimal(amount) / 100:.2f}", on.isoformat()))
        wanted = amount
        for credit in order:
            if credit["from"] <= on and (credit["to"] is None or on <= credit["to"]):
                taken = min(wanted, credit["left"])
                credit["left"] -= taken
                wanted -= taken
        overage += wanted
    engine = fresh()
    _, refused = _post(engine, documents, How())
    assert refused == []
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "select g.ref, b.face_minor - b.drawn_face_minor as left from credit_grant g join grant_balance b using (grant_id)"
            )
        )
        assert {row.ref: row.left for row in rows} == {credit["ref"]: credit["left"] for credit in model}
        net = {row["role"]: row["debit"] - row["credit"] for row in trial_balance(connection, Filters()).rows}
        assert -net.get("revenue", 0) == sum(amount for _, amount in used)
        promotional = sum(_cents(doc["amount"]) for doc in documents if doc.get("kind") == "promotional")
        left = sum(credit["left"] for credit in model if credit["kind"] == "promotional")
        assert net.get("promotional_credits", 0) == promotional - left
        _assert_ties(connection)


def test_no_interleaving_of_two_connections_overdraws_a_grant(engine: Engine) -> None:
    """Many small files from two threads at once: every acknowledged draw is there, and never one too many."""
    _post(engine, [*parties(), grant("G", "50.00"), invoice("I", "2026-01-01", prepaid("50.00"))], How())
    failures: list[BaseException] = []
    barrier = threading.Barrier(2)

    def draw(name: str) -> None:
        try:
            barrier.wait()
            for number in range(40):
                outcome, refused = _post(engine, [usage(f"{name}{number}", "1.00", "2026-01-05")], How())
                assert (outcome.posted, refused) == (1, [])
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=draw, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with engine.connect() as connection:
        net = {row["role"]: row["debit"] - row["credit"] for row in trial_balance(connection, Filters()).rows}
        assert (net["revenue"], net["unbilled_receivable"], net["customer_credits"]) == (-8000, 3000, 0)
        _assert_ties(connection)


@settings(max_examples=EXAMPLES * 10)
@given(files=_history_in_any_currency(), runs=st.lists(st.integers(1, 12), max_size=3))
def test_any_operations_of_two_connections_interleave(
    fresh: Any, files: list[list[dict[str, Any]]], runs: list[int]
) -> None:
    """Every document a transaction of its own, from two threads that race, recognition among them: nobody fails or waits
    for ever, nothing is drawn or applied twice, and posting all of it again posts nothing.
    """
    documents = [doc for file in files for doc in file]
    note("\n".join(map(json.dumps, documents)) + f"\nrecognised {runs}")
    engine = fresh()
    _post(engine, [*parties(), OTHER, VAT, *RATES])
    work: list[Any] = [*documents, *runs]
    accepted: list[dict[str, Any]] = []
    failures: list[BaseException] = []
    barrier = threading.Barrier(2)

    def run(own: list[Any]) -> None:
        try:
            barrier.wait()
            for item in own:
                if isinstance(item, int):
                    with engine.begin() as connection:
                        recognize(connection, date(2026, item, 1), "tester")
                elif not _post(engine, [item])[1]:
                    accepted.append(item)
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(part,)) for part in (work[::2], work[1::2])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads), "a thread waits for ever"
    assert failures == []
    with engine.begin() as connection:
        recognize(connection, date(2027, 2, 1), "tester")
    with engine.connect() as connection:
        _assert_ties(connection)
        _assert_model_agrees(connection, accepted)
    outcome, refused = _post(engine, accepted, How())
    assert (outcome.posted, outcome.entries, refused) == (0, 0, [])


@pytest.mark.parametrize("round_", range(5))
def test_the_same_document_from_two_connections_posts_once(engine: Engine, round_: int) -> None:
    _post(engine, parties(), How())
    documents = [usage(f"u{number}", "1.00", "2026-01-05") for number in range(20)]
    outcomes: list[Any] = []
    barrier = threading.Barrier(2)

    def send() -> None:
        barrier.wait()
        outcomes.append(_post(engine, documents, How())[0])

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((outcome.posted, outcome.repeated) for outcome in outcomes) == [(0, 20), (20, 0)]
    with engine.connect() as connection:
        assert connection.scalar(text("select sum(amount) from posting")) == 2000


def test_payments_from_two_connections_never_settle_an_invoice_twice(engine: Engine) -> None:
    _post(engine, [*parties(), invoice("I", "2026-01-01", one_time("30.00"))], How())
    accepted: list[int] = []
    barrier = threading.Barrier(2)

    def pay(name: str) -> None:
        barrier.wait()
        for number in range(10):
            outcome, _ = _post(engine, [payment(f"{name}{number}", "2.00", "2026-01-05", ("I", "2.00"))], How())
            accepted.append(outcome.posted if not outcome.refused else 0)

    threads = [threading.Thread(target=pay, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(accepted) == 15
    with engine.connect() as connection:
        _assert_ties(connection)
        net = {row["role"]: row["debit"] - row["credit"] for row in trial_balance(connection, Filters()).rows}
        assert net["accounts_receivable"] == 0


def test_closing_waits_for_who_is_posting(engine: Engine) -> None:
    """A month closes between transactions, never within one: what was under way is in it, what comes after is not."""
    _post(engine, parties(), How())
    stop = threading.Event()
    problems: list[BaseException] = []

    def post_on() -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                _post(engine, [usage(f"u{number}", "1.00", "2026-01-05")], How())
        except BaseException as error:  # noqa: BLE001 - told below
            problems.append(error)

    thread = threading.Thread(target=post_on)
    thread.start()
    try:
        while True:
            with engine.connect() as connection:
                if connection.scalar(text("select count(*) from entry")) >= 10:
                    break
        with engine.begin() as connection:
            periods.close(connection, "us", date(2026, 1, 1), "tester")
        with engine.connect() as connection:
            in_january = connection.scalar(text("select count(*) from entry where effective_on < '2026-02-01'"))
        while True:
            with engine.connect() as connection:
                if connection.scalar(text("select count(*) from entry where effective_on >= '2026-02-01'")) >= 5:
                    break
    finally:
        stop.set()
        thread.join()
    assert problems == []
    with engine.connect() as connection:
        assert connection.scalar(text("select count(*) from entry where effective_on < '2026-02-01'")) == in_january
        _assert_ties(connection)
