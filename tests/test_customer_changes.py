"""Customers that change from a day on: what was posted before keeps what held then, what comes after takes what holds on its day."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from ledger.errors import UnknownReference
from ledger.intake.posting import post_lines
from ledger.journal.books import Books
from ledger.parties.parties import is_paid_for_by
from revrec.kinds import TYPES
from tests.conftest import Cli, lines
from tests.samples import contract, invoice, obligation, one_time, parties, payment, usage
from tests.serving import MakeApp
from web.access import keys
from web.render import printed

Document = dict[str, Any]
CODES: list[Document] = [
    {"type": "tax_code", "id": "DE-VAT", "name": "German VAT", "rate": "0.19", "countries": ["DE"]},
    {"type": "tax_code", "id": "FR-VAT", "name": "French VAT", "rate": "0.20", "countries": ["FR"]},
]
FR, DE = "FR40303265045", "DE136695976"
EU = {"type": "entity", "id": "eu", "name": "Acme AI GmbH", "currency": "EUR"}


def change(ref: str, day: str, customer: str = "globex", **what: Any) -> Document:
    return {"type": "customer_change", "id": ref, "customer": customer, "date": day, **what}


def customer(ref: str, **more: Any) -> Document:
    return {"type": "customer", "id": ref, "name": ref.title(), **more}


def _post(cli: Cli, *more: Document, **globex: Any) -> None:
    """An entity, two taxes by country, and a customer in Germany."""
    entity, one, *rest = parties()
    cli.post(entity, one | {"country": "DE", **globex}, *rest, *CODES, *more)


def _bill(ref: str, day: str, customer: str = "globex", **more: Any) -> Document:
    """100.00 before taxes, due by the customer's terms."""
    made = invoice(ref, day, one_time("100.00"), **more) | {"customer": customer}
    return {name: value for name, value in made.items() if name != "due_on" or "due_on" in more}


def _said(cli: Cli, ref: str) -> tuple[str, str, str | None, list[tuple[str, str, str]], str]:
    """An invoice's customer by name, status and tax id, its taxes, and when it is due."""
    found = json.loads(cli.ok("invoice", ref, "--format", "json"))
    of = found["customer"]
    taxes = [(tax["code"], tax["treatment"], tax["tax"]) for tax in found["taxes"]]
    return of["name"], of["tax_status"], of["tax_id"], taxes, found["due_on"]


# It moves to France in March, takes its own number in April and is of reverse charge from May on; from June on it pays in 60 days.
MOVES = [
    change("1", "2026-03-01", country="FR"),
    change("2", "2026-04-01", tax_id=FR, name="Globex SA"),
    change("3", "2026-05-01", tax_status="reverse_charge"),
    change("4", "2026-06-01", terms=60),
]
# By hand: 19 % of 100.00, then 20 %, then the base alone; 28 February and 30 days, 1 June and 60 days.
BILLS = {
    "2026-02-28": ("Globex", "taxable", None, [("DE-VAT", "taxable", "19.00")], "2026-03-30"),
    "2026-03-01": ("Globex", "taxable", None, [("FR-VAT", "taxable", "20.00")], "2026-03-31"),
    "2026-04-30": ("Globex SA", "taxable", FR, [("FR-VAT", "taxable", "20.00")], "2026-05-30"),
    "2026-05-01": ("Globex SA", "reverse_charge", FR, [("FR-VAT", "reverse_charge", "0.00")], "2026-05-31"),
    "2026-06-01": ("Globex SA", "reverse_charge", FR, [("FR-VAT", "reverse_charge", "0.00")], "2026-07-31"),
}


def test_an_invoice_takes_what_holds_on_its_day(cli: Cli) -> None:
    _post(cli, *MOVES, *(_bill(day, day) for day in BILLS), terms=30)
    assert {day: _said(cli, day) for day in BILLS} == BILLS
    # 119.00, 120.00, 120.00 and twice 100.00
    assert cli.totals()["accounts_receivable"] == 559
    assert [(row["month"], row["code"], row["treatment"], row["base"], row["tax"]) for row in cli.report("tax")] == [
        ("2026-02", "DE-VAT", "taxable", "100.00", "19.00"),
        ("2026-03", "FR-VAT", "taxable", "100.00", "20.00"),
        ("2026-04", "FR-VAT", "taxable", "100.00", "20.00"),
        ("2026-05", "FR-VAT", "reverse_charge", "100.00", "0.00"),
        ("2026-06", "FR-VAT", "reverse_charge", "100.00", "0.00"),
    ]
    assert "checks hold" in cli.ok("verify")


def test_changes_in_any_order_come_to_the_same(cli: Cli) -> None:
    """Reverse charge needs its country and number first; a file each, or all in one; with months closed between."""
    _post(cli)
    orders = [
        order
        for order in itertools.permutations(MOVES)
        if order.index(MOVES[2]) > max(order.index(MOVES[0]), order.index(MOVES[1]))
    ]
    for number, order in enumerate(orders):
        ref = f"c{number}"
        own = [one | {"id": f"{ref}/{one['id']}", "customer": ref} for one in order]
        cli.post(customer(ref, country="DE", terms=30, name="Globex"))
        if number % 2:
            cli.post(*own)
        else:
            for one in own:
                cli.post(one)
        cli.post(*(_bill(f"{ref}/{day}", day, ref) for day in (BILLS if number % 3 else reversed(BILLS))))
        assert {day: _said(cli, f"{ref}/{day}") for day in BILLS} == BILLS, own
        assert _said(cli, f"{ref}/2026-02-28") == BILLS["2026-02-28"]
    assert len(orders) == 8
    assert "checks hold" in cli.ok("verify")


def test_among_documents_dated_elsewhere_a_change_arrives_when_it_will(cli: Cli) -> None:
    """What is dated before a change, and what is dated after and arrives after it, is the same wherever the change comes between."""
    _post(cli)
    before, moved, after = "2026-02-28", MOVES[0], "2026-03-01"
    for number, order in enumerate([(before, moved, after), (moved, before, after), (moved, after, before)]):
        ref = f"c{number}"
        cli.post(customer(ref, country="DE", terms=30, name="Globex"))
        for one in order:
            cli.post(one | {"id": ref, "customer": ref} if isinstance(one, dict) else _bill(f"{ref}/{one}", one, ref))
        assert {day: _said(cli, f"{ref}/{day}") for day in (before, after)} == {
            day: BILLS[day] for day in (before, after)
        }
    assert "checks hold" in cli.ok("verify")


def test_what_was_posted_before_keeps_what_held_then(cli: Cli) -> None:
    _post(
        cli,
        _bill("A", "2026-04-15"),
        payment("P", "19.00", "2026-04-20", ("A", "19.00")),
        terms=30,
        contacts={"billing": "a@globex.example"},
    )
    cli.ok("recognize", "--through", "2026-04")
    shown = [("trial-balance",), ("tax",), ("ar-aging",), ("statement",), ("summary",)]
    was = [cli.report(*report) for report in shown]
    cli.ok("close", "2026-04", "--entity", "us")
    # dated before the invoice, and in a month that is closed
    assert "posted 3 documents as 0 entries" in cli.post(
        change("late", "2026-03-01", country="FR", tax_id=FR, tax_status="reverse_charge", name="Globex SA"),
        change("terms", "2026-03-01", terms=0), change("overage", "2026-03-01", overage="refuse"),
    )  # fmt: skip
    assert [cli.report(*report) for report in shown] == was
    assert _said(cli, "A") == ("Globex", "taxable", None, [("DE-VAT", "taxable", "19.00")], "2026-05-15")
    # of the same day, posted now, moved to the first open month, and due at once
    cli.post(_bill("B", "2026-04-15"))
    assert _said(cli, "B") == ("Globex SA", "reverse_charge", FR, [("FR-VAT", "reverse_charge", "0.00")], "2026-04-15")
    cli.ok("recognize", "--through", "2026-05")
    assert "checks hold" in cli.ok("verify")


def test_a_change_before_or_after_in_one_file_is_before_or_after(cli: Cli) -> None:
    moved = change("m", "2026-01-01", country="FR", name="Globex SA")
    _post(cli, _bill("A", "2026-02-01"), moved, _bill("B", "2026-02-01"), terms=30)
    assert [_said(cli, ref)[0] for ref in "AB"] == ["Globex", "Globex SA"]
    assert [_said(cli, ref)[3][0][2] for ref in "AB"] == ["19.00", "20.00"]
    assert "0 documents" in cli.post(moved)
    assert "posted before with other content" in cli.refuse(moved | {"country": "DE"})
    assert "checks hold" in cli.ok("verify")


def test_of_one_day_the_later_arrival_holds(cli: Cli) -> None:
    _post(cli, change("a", "2026-03-01", terms=10, country="FR"), change("b", "2026-03-01", terms=20), terms=5)
    cli.post(
        _bill("A", "2026-03-01"),
        change("c", "2026-02-01", terms=40),
        _bill("B", "2026-03-01"),
        _bill("C", "2026-02-28"),
    )
    assert [_said(cli, ref)[4] for ref in "ABC"] == ["2026-03-21", "2026-03-21", "2026-04-09"]
    assert _said(cli, "B")[3] == [("FR-VAT", "taxable", "20.00")]


def test_null_takes_a_value_away(cli: Cli) -> None:
    cli.post({"type": "tax_code", "id": "CITY", "name": "City", "rate": "0.05"})
    _post(
        cli,
        change("m", "2026-03-01", terms=None, tax_codes=None, contacts=None), change("n", "2026-04-01", tax_codes=[]),
        change("o", "2026-05-01", tax_codes=None, country=None), _bill("A", "2026-02-28"),
        _bill("B", "2026-03-01", due_on="2026-03-01"), _bill("C", "2026-04-01", due_on="2026-04-01"), _bill("D", "2026-05-01", due_on="2026-05-01"),
        terms=0, tax_codes=["CITY"], contacts={"billing": "a@globex.example"},
    )  # fmt: skip
    assert [_said(cli, ref)[3:] for ref in "ABCD"] == [
        ([("CITY", "taxable", "5.00")], "2026-02-28"),
        ([("DE-VAT", "taxable", "19.00")], "2026-03-01"),
        ([], "2026-04-01"),
        ([], "2026-05-01"),
    ]
    assert "invoice E: due_on = missing: expected a day: customer globex has no terms on 2026-03-01" in cli.refuse(
        _bill("E", "2026-03-01")
    )
    assert "checks hold" in cli.ok("verify")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({}, "name = missing: expected something that changes"),
        ({"name": None}, "name = null: expected a value"),
        ({"overage": None}, "overage = null: expected a value"),
        ({"tax_status": None, "name": "X"}, "tax_status = null: expected a value"),
        ({"terms": -1}, "terms = -1: "),
        ({"terms": "30"}, "terms = 30: "),
        ({"currency": "EUR"}, "currency = EUR: unknown field"),
        ({"customer": "hooli", "name": "X"}, "customer = hooli: expected the id of a customer posted before"),
        ({"tax_codes": ["X"]}, "tax_codes = X: expected the id of a tax code"),
        ({"parent": "hooli"}, "parent = hooli: expected the id of a customer posted before"),
        ({"parent": "globex"}, "parent = globex: expected another customer"),
        (
            {"tax_status": "reverse_charge"},
            "tax_id = missing: expected for a customer with tax_status reverse_charge, as of 2026-03-01",
        ),
        (
            {"tax_status": "reverse_charge", "tax_id": FR},
            f"tax_id = {FR}: expected a valid VAT number of DE, as of 2026-03-01",
        ),
        (
            {"tax_status": "reverse_charge", "tax_id": DE, "country": "US"},
            "country = US: expected a country whose VAT numbers are known",
        ),
    ],
)
def test_what_can_not_be_is_refused(cli: Cli, what: Document, said: str) -> None:
    _post(cli)
    message = cli.refuse(change("m", "2026-03-01") | what)
    assert f"customer_change m: {said}" in message
    cli.post(_bill("A", "2026-03-01", due_on="2026-03-01"))
    assert _said(cli, "A") == ("Globex", "taxable", None, [("DE-VAT", "taxable", "19.00")], "2026-03-01")


def test_a_change_may_not_break_a_later_day(cli: Cli) -> None:
    _post(cli, change("r", "2026-05-01", tax_status="reverse_charge"), tax_id=DE)
    assert f"tax_id = {DE}: expected a valid VAT number of FR, as of 2026-05-01" in cli.refuse(
        change("m", "2026-03-01", country="FR")
    )
    assert "tax_id = missing: expected for a customer" in cli.refuse(change("m", "2026-06-01", tax_id=None))
    cli.post(change("m", "2026-03-01", country="FR", tax_id=FR))


def test_an_invoice_says_when_it_is_due_or_its_customer_does(cli: Cli) -> None:
    unconditional = contract(
        "K", "2026-01-01", obligation("O", "100.00", "2026-01-01", "2026-12-31"), receivable="unconditional"
    )
    line = {"id": "1", "kind": "service", "obligation": "O", "amount": "100.00"}
    _post(
        cli, EU | {"currency": "USD"}, unconditional, _bill("T", "2026-01-31"), _bill("S", "2026-01-31", due_on="2026-02-01"),
        _bill("M", "2026-01-10") | {"lines": [one_time("10.00"), one_time("5.00", "2") | {"entity": "eu"}]}, _bill("U", "2026-01-10") | {"lines": [line]},
        terms=30, tax_codes=[],
    )  # fmt: skip
    # 31 January and 30 days are 2 March, 10 January and 30 days are 9 February
    assert {ref: _said(cli, ref)[4] for ref in ("T", "S", "M", "M@eu", "U")} == {
        "T": "2026-03-02", "S": "2026-02-01", "M": "2026-02-09", "M@eu": "2026-02-09", "U": "2026-02-09",
    }  # fmt: skip
    # what is owed only once it is due is owed by the terms
    owed = {
        day: [row["invoice"] for row in cli.report("ar-aging", "--as-of", day)] for day in ("2026-02-08", "2026-02-09")
    }
    assert ("U" in owed["2026-02-08"], "U" in owed["2026-02-09"]) == (False, True)
    assert "checks hold" in cli.ok("verify")


def test_an_invoice_waits_for_a_change_that_is_under_way(cli: Cli, engine: Engine) -> None:
    """Posted at once, from two sides: what is posted second takes what the first said, once that is there."""
    _post(cli, terms=30)

    def post(connection: Connection, *documents: Document) -> None:
        problems: list[Any] = []
        post_lines(
            connection,
            [lines([one]).encode() for one in documents],
            TYPES,
            "t",
            lambda problem, _: problems.append(problem),
        )
        assert problems == []

    def bill() -> None:
        with engine.begin() as connection:
            post(connection, _bill("A", "2026-03-01"))

    with engine.connect() as connection, ThreadPoolExecutor(1) as other:
        post(connection, MOVES[0])
        waiting = other.submit(bill)
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        connection.commit()
        waiting.result(30)
    assert _said(cli, "A") == BILLS["2026-03-01"]


def test_a_reminder_that_goes_elsewhere_is_explained(cli: Cli) -> None:
    _post(cli, _bill("A", "2026-01-31", due_on="2026-01-31"), contacts={"billing": "old@globex.example"})
    then = cli.now()
    cli.post(change("m", "2026-02-01", contacts={"billing": "new@globex.example"}))
    day = ("--as-of", "2026-02-15")
    assert [row["contact"] for row in cli.report("dunning", *day, "--known-at", then)] == ["old@globex.example"]
    assert [row["contact"] for row in cli.report("dunning", *day)] == ["new@globex.example"]
    assert "customer_change m" in cli.ok("report", "dunning", *day, "--against", then)


def test_usage_beyond_credits_is_refused_from_the_day_on(cli: Cli) -> None:
    _post(cli, change("r", "2026-02-01", overage="refuse"), change("b", "2026-03-01", overage="bill"))
    rows = [usage(f"u{day}", "1.00", f"2026-01-{day:02}") for day in range(1, 30)]
    cli.post(*rows, *(row | {"id": f"m{row['id']}", "date": row["date"].replace("-01-", "-03-")} for row in rows))
    for day in ("2026-02-01", "2026-02-28"):
        assert "the customer's terms refuse overage" in cli.refuse(usage("u", "1.00", day))
    # in the middle of a file of what is alike
    message = cli.refuse(
        *(row | {"id": f"n{row['id']}"} for row in rows),
        usage("u", "1.00", "2026-02-10"),
        usage("v", "1.00", "2026-01-10"),
    )
    assert message.count("refuse overage") == 1
    assert "usage u: quantity = 1.00" in message
    assert cli.totals()["revenue"] == 58


def test_reminders_go_to_the_contacts_of_the_day(cli: Cli) -> None:
    _post(
        cli, _bill("A", "2026-01-01", due_on="2026-01-01"), change("m", "2026-03-01", contacts={"billing": "new@globex.example"}),
        change("n", "2026-05-01", name="Globex SA"), change("o", "2026-07-01", contacts={"customer_success": "cs@globex.example"}),
        change("p", "2026-09-01", contacts=None), contacts={"billing": "old@globex.example", "account_executive": "ae@globex.example"},
    )  # fmt: skip

    def told(day: str) -> tuple[str, str | None]:
        (row,) = cli.report("dunning", "--as-of", day)
        return row["escalate_to"], row["contact"]

    expected = {
        "2026-01-31": ("billing", "old@globex.example"),
        "2026-02-15": ("account_executive", "ae@globex.example"),
        # replaced whole
        "2026-03-01": ("account_executive", None),
        "2026-03-31": ("customer_success", None),
        "2026-06-01": ("account_executive", None),
    }
    assert {day: told(day) for day in expected} == expected
    cli.post(_bill("B", "2026-06-15", due_on="2026-06-15"))
    of_b = {
        day: next(row["contact"] for row in cli.report("dunning", "--as-of", day) if row["invoice"] == "B")
        for day in ("2026-06-30", "2026-07-15", "2026-08-31", "2026-09-01")
    }
    # 15 and 30 days go to billing, which the change of July leaves out; 77 and 78 to customer success, which is there until August
    assert of_b == {
        "2026-06-30": "new@globex.example",
        "2026-07-15": None,
        "2026-08-31": "cs@globex.example",
        "2026-09-01": None,
    }


def test_contacts_of_a_change_can_be_erased(cli: Cli, owner: Connection) -> None:
    moved = change("m", "2026-02-01", contacts={"billing": "jane@globex.example"})
    _post(cli, _bill("A", "2026-01-31", due_on="2026-01-31"), moved, contacts={"billing": "joan@globex.example"})
    assert "jane" not in owner.scalar(text("select body from document where type = 'customer_change'"))
    assert (
        json.loads(cli.ok("trace", "customer_change:m", "--format", "json"))["document"]["contacts"]
        == moved["contacts"]
    )
    assert "jane" not in cli.ok("trace", "customer:globex")
    cli.ok("erase", "globex", "--reason", "asked for")
    assert owner.scalar(text("select count(*) from personal_fields where fields is not null")) == 0
    assert [row["contact"] for row in cli.report("dunning", "--as-of", "2026-02-15")] == [None]
    assert "1 posted before" in cli.post(moved)
    cli.post(change("n", "2026-02-10", contacts={"billing": "jim@globex.example"}))
    assert [row["contact"] for row in cli.report("dunning", "--as-of", "2026-02-15")] == ["jim@globex.example"]
    assert "checks hold" in cli.ok("verify")


def test_what_is_sent_is_named_by_details_then_by_the_customer_of_the_day(cli: Cli, connection: Connection) -> None:
    _post(
        cli, change("m", "2026-03-01", name="Globex SA", tax_id=FR, country="FR"),
        _bill("A", "2026-02-28"), _bill("B", "2026-03-01"),
        {"type": "credit_note", "id": "N", "invoice": "A", "date": "2026-03-02", "lines": [{"line": "1", "amount": "10.00"}]},
        terms=30, tax_id=DE,
    )  # fmt: skip

    def sheets() -> list[tuple[bool, bool, bool, bool]]:
        made = [
            printed.print_document(connection, kind, ref).html
            for kind, ref in (("invoice", "A"), ("invoice", "B"), ("credit_note", "N"))
        ]
        made += [
            printed.print_statement(connection, "globex", "us", None, date(2026, month, 28)).html for month in (2, 3)
        ]
        return [(">Globex<" in html, "Globex SA" in html, DE in html, FR in html) for html in made]

    old, new = (True, False, True, False), (False, True, False, True)
    assert sheets() == [old, new, new, old, new]
    # of a day before what was sent: what was sent stays, a statement made now says what is known now
    cli.post(change("l", "2026-01-01", name="Globex AG"))
    connection.rollback()
    assert [sheets()[place] for place in (0, 1, 2)] == [old, new, new]
    assert "Globex AG" in printed.print_statement(connection, "globex", "us", None, date(2026, 2, 28)).html
    cli.post(
        {
            "type": "details",
            "id": "d",
            "customer": "globex",
            "date": "2026-01-01",
            "name": "Globex Holding",
            "tax_ids": ["X1"],
        }
    )
    connection.rollback()
    assert "Globex Holding" in printed.print_document(connection, "invoice", "B").html
    assert sheets() == [(False, False, False, False)] * 5


def _relations(cli: Cli, engine: Engine, *asked: tuple[str, str, str]) -> list[bool]:
    with engine.connect() as connection:
        books = Books(connection, "tester")
        return [is_paid_for_by(books, of, payer, date.fromisoformat(day)) for of, payer, day in asked]


def test_a_parents_money_pays_for_those_below_it_on_the_day(cli: Cli, engine: Engine) -> None:
    cli.post(
        customer("top"), customer("mid", parent="top"), customer("low", parent="mid"), customer("side", parent="top"),
        change("1", "2026-03-01", "low", parent="side"), change("2", "2026-05-01", "side", parent=None),
    )  # fmt: skip
    asked = {
        ("low", "mid", "2026-02-28"): True, ("low", "top", "2026-02-28"): True, ("low", "side", "2026-02-28"): False,
        ("low", "mid", "2026-03-01"): False, ("low", "side", "2026-03-01"): True, ("low", "top", "2026-03-01"): True,
        ("low", "side", "2026-05-01"): True, ("low", "top", "2026-05-01"): False,
        # neither the other way, nor for a sister, nor for itself, nor by one that is not there
        ("top", "low", "2026-02-28"): False, ("side", "mid", "2026-02-28"): False, ("low", "low", "2026-02-28"): False, ("low", "x", "2026-02-28"): False,
    }  # fmt: skip
    assert dict(zip(asked, _relations(cli, engine, *asked), strict=True)) == asked
    with pytest.raises(UnknownReference):
        _relations(cli, engine, ("x", "low", "2026-02-28"))
    assert "checks hold" in cli.ok("verify")


def test_nobody_is_its_own_parent_on_any_day_in_whatever_order(cli: Cli) -> None:
    """a is under b in the first quarter, b under c always, c under a from March on: together for the days of March."""
    edges = [
        [change("a", "2026-01-01", "a", parent="b"), change("a2", "2026-04-01", "a", parent=None)],
        [change("b", "1970-01-01", "b", parent="c")],
        [change("c", "2026-03-01", "c", parent="a")],
    ]
    for number, order in enumerate(itertools.permutations(edges)):
        own = [
            [
                one
                | {
                    "id": f"{number}{one['id']}",
                    "customer": f"{number}{one['customer']}",
                    "parent": one["parent"] and f"{number}{one['parent']}",
                }
                for one in edge
            ]
            for edge in order
        ]
        cli.post(*(customer(f"{number}{ref}") for ref in "abc"))
        cli.post(*own[0][::-1])
        cli.post(*own[1][::-1])
        message = cli.refuse(*own[2][::-1])
        assert "expected a customer that is not under" in message
        assert "on 2026-03-01" in message
        # from the day on that a is under nobody it may be
        if own[2][0]["customer"].endswith("c"):
            cli.post(own[2][0] | {"date": "2026-04-01"})
    assert "checks hold" in cli.ok("verify")
    cli.post(customer("x"), customer("y", parent="x"))
    assert "parent = y: expected a customer that is not under x: on 2026-01-01 y belongs to x" in cli.refuse(
        change("x", "2026-01-01", "x", parent="y")
    )
    assert "parent = z: expected another customer" in cli.refuse(customer("z", parent="z"))
    assert "parent = nobody: expected the id of a customer" in cli.refuse(customer("z", parent="nobody"))
    assert "checks hold" in cli.ok("verify")


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["A", "B", "Ünï 'q'"]), "country": st.sampled_from([None, "DE", "FR", ""]), "tax_id": st.sampled_from([None, "1", "2"]),
    "overage": st.sampled_from(["bill", "refuse"]), "tax_status": st.sampled_from(["taxable", "exempt"]),
    "tax_codes": st.sampled_from([None, [], ["DE-VAT"], ["FR-VAT", "DE-VAT"]]), "terms": st.sampled_from([None, 0, 30]),
    "parent": st.sampled_from([None, "top"]),
}  # fmt: skip


@settings(max_examples=25)
@given(
    changes=st.lists(st.tuples(st.integers(0, 5), st.fixed_dictionaries({}, optional=FIELDS).filter(bool)), max_size=6),
    data=st.data(),
)
def test_books_and_database_say_the_same_of_each_day(
    cli: Cli, engine: Engine, changes: list[tuple[int, Document]], data: st.DataObject
) -> None:
    """Both fold as one does by hand: by day, of a day as they arrived, each value in the place of the one before."""
    with engine.connect() as connection:
        number = connection.scalar(text("select count(*) from customer"))
    ref, base = f"c{number}", {"country": "DE", "terms": 10}
    if number == 1:
        cli.post(customer("top"), *CODES)
    days = [date(2026, 1, 1) + timedelta(days=day) for day, _ in changes]
    cli.post(
        customer(ref, **base),
        *(
            change(f"{ref}/{place}", str(day), ref, **what)
            for place, (day, (_, what)) in enumerate(zip(days, changes, strict=True))
        ),
    )
    plain = {
        "name": ref.title(),
        "tax_id": None,
        "overage": "bill",
        "tax_status": "taxable",
        "tax_codes": None,
        "parent": None,
        **base,
    }
    with engine.connect() as connection:
        known = Books(connection, "tester").parties.customer(ref)
        for ahead in range(-1, 7):
            on = date(2026, 1, 1) + timedelta(days=ahead)
            wanted = dict(plain)
            for day, (_, what) in sorted(zip(days, changes, strict=True), key=lambda one: one[0]):
                if day <= on:
                    wanted |= what
            row = connection.execute(
                text("select h.* from customer c cross join lateral customer_on(c, :on) h where c.ref = :ref"),
                {"on": on, "ref": ref},
            ).one()
            listed = connection.execute(
                text("select * from customers_on(:on) where ref = :ref"), {"on": on, "ref": ref}
            ).one()
            assert row == listed
            assert {name: getattr(row, name) for name in wanted} == wanted
            held = known.on(on)
            codes = wanted["tax_codes"]
            assert {name: getattr(held, name) for name in wanted if name != "name"} == {
                name: value for name, value in wanted.items() if name != "name"
            } | {"tax_codes": None if codes is None else tuple(codes)}


WHAT = st.fixed_dictionaries(
    {}, optional={"country": st.sampled_from([None, "DE", "FR"]), "terms": st.integers(0, 90), "tax_status": st.sampled_from(["taxable", "exempt"])}
).filter(bool)  # fmt: skip


@settings(max_examples=20)
@given(
    arriving=st.lists(st.tuples(st.integers(0, 9), st.one_of(st.none(), WHAT), st.booleans()), min_size=2, max_size=12)
)
def test_each_invoice_takes_what_had_arrived_of_its_day(
    cli: Cli, engine: Engine, arriving: list[tuple[int, Document | None, bool]]
) -> None:
    """Changes and invoices (None) in any order, in one file or several; each told by hand from what came before it."""
    with engine.connect() as connection:
        number = connection.scalar(text("select count(*) from customer"))
    ref = f"c{number}"
    if number == 1:
        cli.post(*parties(), *CODES)
    files: list[list[Document]] = [[customer(ref, country="DE", terms=30)]]
    known: list[tuple[date, Document]] = []
    wanted: dict[str, tuple[str, list[tuple[str, str, str]]]] = {}
    for place, (ahead, what, apart) in enumerate(arriving):
        day, name = date(2026, 1, 1) + timedelta(days=ahead), f"{ref}/{place}"
        if apart:
            files.append([])
        if what is not None:
            known.append((day, what))
            files[-1].append(change(name, str(day), ref, **what))
            continue
        files[-1].append(_bill(name, str(day), ref))
        holds: Document = {"country": "DE", "terms": 30, "tax_status": "taxable"}
        for _, said in sorted((one for one in known if one[0] <= day), key=lambda one: one[0]):
            holds |= said
        tax = {"DE": "19.00", "FR": "20.00"}.get(holds["country"])
        taxes = (
            [(f"{holds['country']}-VAT", holds["tax_status"], tax if holds["tax_status"] == "taxable" else "0.00")]
            if tax
            else []
        )
        wanted[name] = (str(day + timedelta(days=holds["terms"])), taxes)
    for file in files:
        cli.post(*file)
    found = {name: (due, taxes) for name in wanted for _, _, _, taxes, due in [_said(cli, name)]}
    assert found == wanted
    assert "checks hold" in cli.ok("verify")


def test_a_trace_and_its_page_tell_what_changed(cli: Cli, make_books_app: MakeApp) -> None:
    _post(
        cli,
        customer("hooli"),
        *MOVES,
        change(
            "5", "2026-07-01", parent="hooli", tax_codes=["DE-VAT", "FR-VAT"], contacts={"billing": "x@globex.example"}
        ),
    )
    found = json.loads(cli.ok("trace", "customer:globex", "--format", "json"))
    assert [(step["kind"], step["ref"], step["text"]) for step in found["led_to"]] == [
        ("customer_change", "1", "2026-03-01, country: FR"),
        ("customer_change", "2", f"2026-04-01, tax id: {FR}, name: Globex SA"),
        ("customer_change", "3", "2026-05-01, tax status: reverse_charge"),
        ("customer_change", "4", "2026-06-01, terms: 60"),
        ("customer_change", "5", "2026-07-01, parent: hooli, contacts, tax codes: DE-VAT, FR-VAT"),
    ]  # fmt: skip
    of_change = json.loads(cli.ok("trace", "customer_change:5", "--format", "json"))
    assert [(step["kind"], step["ref"]) for step in of_change["comes_from"]] == [
        ("customer", "globex"),
        ("customer", "hooli"),
    ]
    client = make_books_app(open_as="tester").test_client()
    page = client.get("/customers/globex").text
    assert "<h1>Globex SA</h1>" in page
    assert "net 60 days" in page
    assert "2026-05-01, tax status: reverse_charge" in page
    assert "x@globex.example" not in page
    assert "Globex SA" in client.get("/customers").text
    (row,) = [row for row in client.get("/v1/customers").json["rows"] if row["id"] == "globex"]
    assert row == {
        "id": "globex", "name": "Globex SA", "country": "FR", "tax_id": FR, "tax_status": "reverse_charge", "overage": "bill", "terms": 60,
        "parent": "hooli",
    }  # fmt: skip


def test_a_key_changes_a_customer_whom_no_other_entity_bills(cli: Cli, engine: Engine, make_books_app: MakeApp) -> None:
    _post(
        cli,
        EU,
        _bill("A", "2026-01-31"),
        contract("K", "2026-01-01", obligation("O", "1.00", "2026-01-01", "2026-01-31"))
        | {"entity": "eu", "currency": "EUR"},
        customer("new"),
        terms=30,
    )
    client = make_books_app().test_client()

    def ask(*entities: str, **doc: Any) -> tuple[int, str]:
        with engine.begin() as connection:
            key = keys.create(connection, "-".join(entities) or "all", "operator", "tester", entities)
        answer = client.post("/v1/documents", json=change(**doc), headers={"Authorization": f"Bearer {key}"})
        return answer.status_code, answer.json.get("title", "")

    status, detail = ask("us", ref="a", day="2026-02-01", terms=10)
    assert (status, detail) == (
        403,
        "customer_change a: expected a key for all entities, or for those that bill customer globex and all of them",
    )
    assert ask("eu", ref="a", day="2026-02-01", terms=10) == (status, detail)
    # whom nobody bills, and whom another alone bills, are told apart by nothing; who posted one may change it until somebody bills it
    cli.post(
        customer("theirs") | {"terms": 30},
        _bill("T", "2026-01-31") | {"customer": "theirs", "entity": "eu", "currency": "EUR"},
    )
    unbilled, theirs = (ask("us", ref="n", day="2026-02-01", customer=of, terms=10) for of in ("new", "theirs"))
    assert (unbilled[0], unbilled[1].replace("new", "theirs")) == theirs == (403, theirs[1])
    with engine.begin() as connection:
        key = keys.create(connection, "us", "operator", "tester", ("us",))
    client.post("/v1/documents", json=customer("mine"), headers={"Authorization": f"Bearer {key}"})
    assert ask("us", ref="n", day="2026-02-01", customer="mine", terms=10)[0] == 200
    cli.post(_bill("B", "2026-02-01"))
    assert _said(cli, "B")[4] == "2026-03-03"  # nothing of what was refused holds: 30 days
    assert ask("eu", "us", ref="a", day="2026-02-01", terms=10)[0] == 200
    assert ask(ref="b", day="2026-02-02", terms=20)[0] == 200


def test_exports_name_customers_as_on_their_day(cli: Cli, engine: Engine, tmp_path: Any) -> None:
    soon = date.today() + timedelta(days=30)  # noqa: DTZ011 - a day to come
    _post(
        cli,
        _bill("A", "2026-01-31"),
        change("m", "2026-03-01", name="Globex SA"),
        change("f", str(soon), name="Globex Future"),
        terms=30,
    )
    first, again = tmp_path / "1.json", tmp_path / "2.json"
    cli.ok("export", "quickbooks", "--new", "--output", str(first))
    named = {
        line["JournalEntryLineDetail"].get("Entity", {}).get("EntityRef", {}).get("name")
        for entry in json.loads(first.read_text())
        for line in entry["Line"]
    }
    assert named - {None} == {"Globex SA"}
    # what came since changes nothing of what went out
    cli.post(change("l", "2026-03-02", name="Globex AG"))
    cli.ok("export", "quickbooks", "--again", "1", "--output", str(again))
    assert again.read_text() == first.read_text()
    cli.ok("export", "revenue-data", "--output", str(tmp_path / "flat"))
    assert "Globex AG" in (tmp_path / "flat" / "invoice_lines.csv").read_text()
