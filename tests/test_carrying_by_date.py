"""Accounts in another currency give up what came in by the day, whatever arrived first; at 0 they hold nothing in either."""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import date
from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from ledger.journal import periods
from ledger.proof.verify import verify
from ledger.reports.report import Filters
from ledger.reports.trial_balance import summary
from revrec.earn.recognition import recognize
from revrec.watches import HELD
from tests.conftest import Cli
from tests.samples import application, grant, invoice, one_time, parties, payment, service, usage
from tests.test_currencies import EUR, rate
from tests.test_properties import _post, fresh  # noqa: F401 - a fixture

EXAMPLES = int(os.environ.get("TICKMARK_EXAMPLES", "1"))
Document = dict[str, Any]


def _summary(cli: Cli) -> dict[str, dict[str, str]]:
    told = cli.ok("verify")
    assert "all" in told
    return cli.summary()


def _by_month(cli: Cli) -> dict[str, dict[str, str]]:
    return {month: {k: v for k, v in row.items() if not k.startswith("memo_")} for month, row in _summary(cli).items()}


RATES = [rate("2026-01-01", "1.10"), rate("2026-01-02", "1.20"), rate("2026-01-03", "1.30"), rate("2026-02-01", "1.40")]


def test_money_applied_after_later_money_arrived_leaves_at_what_came_in_by_its_day(cli: Cli) -> None:
    """20 EUR at 1.10 (22.00) pay an invoice of 2 January at 1.20 (24.00): a loss of 2.00, and nothing is left of them.

    20 EUR of 3 January at 1.30 (26.00) were in the books before, and stay as they are.
    """
    cli.post(
        *parties(), *RATES,
        payment("P", "20.00", "2026-01-01") | EUR, payment("Q", "20.00", "2026-01-03") | EUR,
        invoice("I", "2026-01-02", one_time("20.00")) | EUR, application("A", "20.00", "2026-01-02", "I") | EUR,
    )  # fmt: skip
    assert _summary(cli)["2026-01"] == {
        "cash": "48.00", "customer_balance": "26.00", "deferred_revenue": "24.00", "fx_loss": "2.00",
    }  # fmt: skip


def test_money_that_came_late_changes_what_left_before_it_arrived(cli: Cli) -> None:
    """20 EUR at 1.10, an invoice of 20 at 1.20 paid with it on the 2nd: a loss of 2.00.

    Then 20 EUR of the 1st at 1.50 arrive: 40 EUR had come in for 52.00, so the 20 that left gave up 26.00 for a receivable
    of 24.00. The loss is taken back, and there is a gain of 2.00.
    """
    cli.post(
        *parties(), *RATES,
        payment("P", "20.00", "2026-01-01") | EUR,
        invoice("I", "2026-01-02", one_time("20.00")) | EUR, application("A", "20.00", "2026-01-02", "I") | EUR,
    )  # fmt: skip
    assert _summary(cli)["2026-01"]["fx_loss"] == "2.00"
    cli.post(payment("Q", "20.00", "2026-01-01", fx_rate="1.50") | EUR)
    assert _summary(cli)["2026-01"] == {
        "cash": "52.00", "customer_balance": "26.00", "deferred_revenue": "24.00", "fx_gain": "2.00",
    }  # fmt: skip


DAYS = st.integers(0, 89).map(lambda days: date.fromordinal(date(2026, 1, 1).toordinal() + days).isoformat())
FEW_DAYS = st.sampled_from(["2026-01-05", "2026-01-20", "2026-02-03"])
CENTS = st.integers(1, 9_999)
OWN_RATES = st.one_of(st.none(), st.integers(80, 190).map(lambda hundredths: f"{hundredths / 100:.2f}"))
CHANGING = [rate(f"2026-0{1 + n // 4}-{1 + 7 * (n % 4):02}", f"1.{(n * 37) % 60 + 10}") for n in range(12)]


def _decimal(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


@st.composite
def _money(draw: st.DrawFn) -> list[Document]:
    """Payments, invoices, applications and refunds of what is unapplied, in the order of their dates: all can be accepted."""
    days = draw(st.sampled_from([DAYS, FEW_DAYS]))
    documents: list[Document] = []
    for number in range(draw(st.integers(1, 5))):
        own = draw(OWN_RATES)
        more = {} if own is None else {"fx_rate": own}
        documents.append(payment(f"P{number}", _decimal(draw(CENTS)), draw(days), **more) | EUR)
    for number in range(draw(st.integers(1, 5))):
        day, own, amount = draw(days), draw(OWN_RATES), _decimal(draw(CENTS))
        line = draw(st.sampled_from([one_time(amount), service(amount, day, "2026-04-30")]))
        documents.append(invoice(f"I{number}", day, line, **({} if own is None else {"fx_rate": own})) | EUR)
    bills = [doc for doc in documents if doc["type"] == "invoice"]
    # what is left at the end is enough for everything, whatever comes first
    left = Counter({doc["id"]: int(doc["lines"][0]["amount"].replace(".", "")) for doc in bills})
    money = [(doc["date"], int(doc["amount"].replace(".", ""))) for doc in documents if doc["type"] == "payment"]
    for number in range(draw(st.integers(1, 8))):
        day = draw(days)
        least = min(sum(amount for on, amount in money if on <= d) for d in {day, *(on for on, _ in money if on > day)})
        if draw(st.integers(0, 5)) == 0:
            payments = [doc for doc in documents if doc["type"] == "payment" and doc["date"] <= day]
            if payments and least > 0:
                paid = draw(st.sampled_from(payments))
                amount = draw(st.integers(1, min(least, int(paid["amount"].replace(".", "")))))
                documents.append(
                    {
                        "type": "refund",
                        "id": f"R{number}",
                        "payment": paid["id"],
                        "date": day,
                        "amount": _decimal(amount),
                    }
                )
                money.append((day, -amount))
            continue
        bill = draw(st.sampled_from(bills))
        on = max(day, bill["issued_on"])
        least = min(sum(amount for d, amount in money if d <= x) for x in {on, *(d for d, _ in money if d > on)})
        most = min(least, left[bill["id"]])
        if most > 0:
            amount = draw(st.integers(1, most))
            left[bill["id"]] -= amount
            money.append((on, -amount))
            documents.append(application(f"A{number}", _decimal(amount), on, bill["id"]) | EUR)
    return sorted(documents, key=lambda doc: doc.get("date") or doc["issued_on"])


def _post_each(engine: Engine, documents: list[Document]) -> list[Document]:
    """Post documents one by one, again and again; returns those that wait for others."""
    waiting = list(documents)
    while waiting:
        still = [doc for doc in waiting if _post(engine, [doc])[1]]
        if len(still) == len(waiting):
            break
        waiting = still
    return waiting


def _months(engine: Engine) -> dict[tuple[str, str], int]:
    with engine.begin() as connection:
        recognize(connection, date(2026, 5, 1), "tester")
    differences = [f"{check.sentence}: {told}" for check in verify(engine, held=HELD) for told in check.differences]
    assert differences == []
    with engine.connect() as connection:
        return {(row["month"], row["account"]): row["amount"] for row in summary(connection, Filters()).rows}


@settings(max_examples=EXAMPLES * 16)
@given(documents=_money(), data=st.data())
def test_the_order_of_arrival_changes_nothing(fresh: Any, documents: list[Document], data: st.DataObject) -> None:  # noqa: F811
    note("\n".join(json.dumps(doc) for doc in documents))
    engine = fresh()
    _post(engine, [*parties(), *CHANGING])
    assert _post_each(engine, documents) == []
    expected = _months(engine)
    # money paid back is taken from what is unapplied, as far as that is there: it comes once all money has
    refunds = [doc for doc in documents if doc["type"] == "refund"]
    others = data.draw(st.permutations([doc for doc in documents if doc["type"] != "refund"]))
    arriving = [*others, *refunds]
    note("arriving: " + " ".join(doc["id"] for doc in arriving))
    engine = fresh()
    _post(engine, [*parties(), *CHANGING])
    close_after = data.draw(st.sampled_from([None, len(arriving) // 2, 0]))
    waiting = _post_each(engine, arriving[:close_after])
    if close_after is not None:
        with engine.begin() as connection:
            recognize(connection, date(2026, 1, 1), "tester")
            periods.close(connection, "us", date(2026, 1, 1), "tester")
        waiting = _post_each(engine, [*waiting, *arriving[close_after:]])
    assert waiting == []
    found = _months(engine)
    if close_after is None:
        assert _differing(found, expected) == {}
    else:  # what is late in a closed month counts in the first open one, and only that differs
        assert _differing(_from_february(found), _from_february(expected)) == {}


def _differing(
    found: dict[tuple[str, str], int], expected: dict[tuple[str, str], int]
) -> dict[tuple[str, str], tuple[int, int]]:
    places = sorted({*found, *expected})
    return {at: (found.get(at, 0), expected.get(at, 0)) for at in places if found.get(at, 0) != expected.get(at, 0)}


def _from_february(months: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Movements by month, January's counted in February."""
    found: Counter[tuple[str, str]] = Counter()
    for (month, account), amount in months.items():
        found[max(month, "2026-02"), account] += amount
    return {place: amount for place, amount in found.items() if amount}


def test_credits_taken_over_after_they_expired_break_at_what_they_came_in_at(cli: Cli) -> None:
    """Of 15.80 EUR taken over 1.63 were used; 14.17 of June expire on their day, at its rate of 1.22: 17.29.

    That settles what the manual entry of that day counts for, in the entity's currency alone.
    """
    taken_over = {
        "type": "manual_entry", "entity": "us", "currency": "EUR", "reason": "taken over", "approved_by": "ann",
    }  # fmt: skip
    line = {
        "debit": "opening_balances",
        "credit": "customer_credits",
        "customer": "globex",
        "credit_subject": "grant:G",
    }
    cli.post(
        *parties(), rate("2026-01-01", "1.37"), rate("2026-03-01", "1.11"), rate("2026-06-01", "1.22"),
        grant("G", "102.90", "2026-01-15", expires_on="2026-04-26") | EUR,
        taken_over | {"id": "M", "date": "2026-03-23", "lines": [line | {"amount": "0.83"}]},
        usage("u", "1.63", "2026-03-15") | EUR,
        taken_over | {"id": "N", "date": "2026-06-20", "lines": [line | {"amount": "14.97"}]},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-05")
    for month in range(1, 6):
        cli.ok("close", f"2026-{month:02}")
    cli.ok("recognize", "--through", "2026-12")
    months = _by_month(cli)
    assert months["2026-06"]["breakage_revenue"] == "17.29"
    assert sum(round(100 * float(moved.get("customer_credits", 0))) for moved in months.values()) == 0
