"""Credit notes of every kind taken back: each leaves nothing but its history. Figures by hand."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from ledger.proof.verify import verify
from revrec.watches import HELD
from tests.conftest import Cli
from tests.histories import text_of
from tests.samples import PARTY, application, grant, invoice, one_time, payment, prepaid, service, usage
from tests.shelves import Shelf
from tests.test_currencies import EUR
from tests.test_relations import cents_of, difference, ends, held_by_histories
from tests.test_undoing import TAX
from tests.test_uses import HEAD, refund

Document = dict[str, Any]
_COMMITTED = [grant(kind="commitment", expires_on="2026-01-31"), usage("U", "40", "2026-01-10")]
_SHORT = {"id": "1", "kind": "shortfall", "grant": "G", "product": "tokens", "amount": "60.00"}


def _note(*lines: Document, **more: Any) -> Document:
    return {"type": "credit_note", "id": "N", "date": "2026-02-10", "lines": list(lines), **more}


def _void(day: str = "2026-03-10", **more: Any) -> Document:
    return {"type": "credit_note_void", "id": "W", "credit_note": "N", "date": day, "reason": "wrong", **more}


def _own(amount: str, **more: Any) -> Document:
    return {"product": "seats", "amount": amount, **more}


# What is there, the note, and what all of it comes to by the end of the year, as if there had been none.
NOTES: dict[str, tuple[list[Document], Document, dict[str, str]]] = {
    "of its own lines, open": (
        [TAX, invoice("I", "2026-01-05", one_time("100.00"))],
        _note(_own("20.00", tax_codes=["vat"]), invoice="I"),
        {"accounts_receivable": "100.00", "revenue": "100.00"},
    ),
    "of its own lines, more than is due": (
        [TAX, invoice("I", "2026-01-05", one_time("100.00")), payment("P", "90.00", "2026-01-20", ("I", "90.00"))],
        _note(_own("20.00", tax_codes=["vat"]), invoice="I"),
        {"accounts_receivable": "10.00", "cash": "90.00", "revenue": "100.00"},
    ),
    "of its own lines and others": (
        [TAX, invoice("I", "2026-01-05", service("100.00", "2026-01-01", "2026-04-30", tax_codes=["vat"])),
         payment("P", "60.00", "2026-01-20", ("I", "60.00"))],
        _note({"line": "1", "amount": "40.00"}, _own("20.00"), _own("5.00", tax_codes=["vat"]), invoice="I"),
        {"accounts_receivable": "50.00", "cash": "60.00", "revenue": "100.00", "tax_payable": "10.00"},
    ),
    "of no invoice": (
        [TAX, invoice("I", "2026-01-05", one_time("100.00"))],
        _note(_own("20.00", tax_codes=["vat"]), _own("7.77", product="tokens"), **PARTY),
        {"accounts_receivable": "100.00", "revenue": "100.00"},
    ),
    "of no invoice in euros": (
        [invoice("I", "2026-01-05", one_time("100.00"))],
        _note(_own("20.00"), **PARTY | EUR, fx_rate="1.20"),
        {"accounts_receivable": "100.00", "revenue": "100.00"},
    ),
    # beside 20.00 of the note's at 1.20, 20.00 that came in at 1.30 stand there: revenue is what it was, the rest is worth the average
    "of no invoice in euros, beside others": (
        [payment("P", "20.00", "2026-03-02") | EUR, invoice("I", "2026-01-05", one_time("100.00"))],
        _note(_own("20.00"), **PARTY | EUR),
        {"accounts_receivable": "100.00", "cash": "26.00", "customer_balance": "25.00", "revenue": "100.00"},
    ),
    # 40 used of 100, 60 billed as shortfall; 30 of late usage are covered by that
    "of a shortfall": (
        [*_COMMITTED, invoice("I", "2026-02-01", _SHORT)],
        _note({"line": "1", "amount": "50.00"}, invoice="I"),
        {"accounts_receivable": "60.00", "revenue": "100.00", "unbilled_receivable": "40.00"},
    ),
    "of a shortfall that covers usage": (
        [*_COMMITTED, invoice("I", "2026-02-01", _SHORT | {"amount": "100.00"})],
        _note({"line": "1", "amount": "80.00"}, invoice="I"),
        {"accounts_receivable": "100.00", "revenue": "100.00"},
    ),
    "of a shortfall, proportional": (
        [grant(kind="commitment", expires_on="2026-01-31", breakage="proportional", expected_breakage="0.50"),
         usage("U", "40", "2026-01-10"), invoice("I", "2026-02-01", _SHORT)],
        _note({"line": "1", "amount": "50.00"}, invoice="I"),
        {"accounts_receivable": "60.00", "revenue": "100.00", "unbilled_receivable": "40.00"},
    ),
    "of a shortfall, to be billed again": (
        [*_COMMITTED, invoice("I", "2026-02-01", _SHORT)],
        _note({"line": "1", "amount": "50.00"}, invoice="I", rebill=True),
        {"accounts_receivable": "60.00", "revenue": "100.00", "unbilled_receivable": "40.00"},
    ),
    "of credits, to be billed again": (
        [grant(amount="120.00", price="100.00", expires_on="2026-04-30"), invoice("I", "2026-01-01", prepaid("100.00")),
         usage("U", "40", "2026-01-10")],
        _note({"line": "1", "amount": "80.00"}, invoice="I", rebill=True),
        {"accounts_receivable": "100.00", "breakage_revenue": "66.67", "revenue": "33.33"},
    ),
    "of credits that expired, to be billed again": (
        [grant(amount="120.00", price="100.00", expires_on="2026-01-31"), invoice("I", "2026-01-01", prepaid("100.00")),
         usage("U", "40", "2026-01-10")],
        _note({"line": "1", "amount": "80.00"}, invoice="I", rebill=True),
        {"accounts_receivable": "100.00", "breakage_revenue": "66.67", "revenue": "33.33"},
    ),
    "of credits with breakage by use, to be billed again": (
        [grant(amount="120.00", price="100.00", expires_on="2026-04-30", breakage="proportional", expected_breakage="0.25"),
         invoice("I", "2026-01-01", prepaid("100.00")), usage("U", "40", "2026-01-10")],
        _note({"line": "1", "amount": "80.00"}, invoice="I", rebill=True),
        {"accounts_receivable": "100.00", "breakage_revenue": "66.67", "revenue": "33.33"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", ["at once", "month by month", "the void late"])
@pytest.mark.parametrize("name", NOTES)
def test_a_note_taken_back_leaves_nothing_but_its_history(cli: Cli, name: str, way: str) -> None:
    before, note, end = NOTES[name]
    cli.post(*HEAD, *before)
    for documents, month in (([], "2026-01"), ([note], "2026-02"), ([_void()], "2026-03")):
        if documents:
            cli.post(*documents)
        if way == "month by month" or (way == "the void late" and documents == [note]):
            cli.ok("recognize", "--through", month if way == "month by month" else "2026-12")
        cli.ok("verify")
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")
    found = {role: f"{amount:.2f}" for role, amount in cli.totals().items() if role not in ("fx_gain", "fx_loss")}
    assert found == end
    assert "W did" in cli.refuse(_void(id="X"))


def test_what_a_note_of_no_invoice_brought_is_taken_back_while_it_is_there(cli: Cli) -> None:
    """20.00 of goodwill pay a part of I: the note stays, until they are taken off it again."""
    cli.post(
        *HEAD, invoice("I", "2026-01-05", one_time("100.00")), _note(_own("20.00"), **PARTY),
        application("A", "12.00", "2026-02-12", "I"),
    )  # fmt: skip
    said = cli.refuse(_void())
    assert "credit_note = N: expected one of which 20.00 USD are the customer's still on 2026-03-10, found 8.00" in said
    assert "take off again what was applied of it, or put back what was refunded" in said
    cli.post({"type": "unapplication", "id": "U", "application": "A", "date": "2026-02-20"}, _void())
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")
    assert {role: f"{amount:.2f}" for role, amount in cli.totals().items()} == {
        "accounts_receivable": "100.00",
        "revenue": "100.00",
    }


def test_what_lines_of_its_own_brought_and_was_used_is_due_of_the_notes_invoice(cli: Cli) -> None:
    """Of 20.00 that a note on I, which is paid, left, 15.00 pay J: taken back, 5.00 of it are there, and 15.00 are due of I."""
    cli.post(
        *HEAD, invoice("I", "2026-01-05", one_time("100.00")), payment("P", "100.00", "2026-01-20", ("I", "100.00")),
        invoice("J", "2026-01-06", one_time("15.00")), _note(_own("20.00"), invoice="I"), application("A", "15.00", "2026-02-12", "J"),
        _void(),
    )  # fmt: skip
    cli.ok("verify")
    assert {row["invoice"]: row["due"] for row in cli.report("ar-aging")} == {"I": "15.00"}
    # all that came in can go back, and then nothing stands
    cli.post(refund("100.00", "2026-04-01"))
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")
    assert {role: f"{amount:.2f}" for role, amount in cli.totals().items()} == {
        "accounts_receivable": "15.00", "refunds": "100.00", "revenue": "115.00",
    }  # fmt: skip


@pytest.mark.parametrize("paid", ["0.00", "30.00", "60.00"])
@pytest.mark.parametrize("day", ["before the note", "before the void", "after the void"])
@pytest.mark.parametrize("rebill", [False, True])
def test_usage_that_comes_late_is_covered_by_a_shortfall_whose_note_was_taken_back(
    cli: Cli, day: str, paid: str, rebill: bool
) -> None:
    """40 used of 100 and billed, 60 short, of which 50 are credited and billed again; 30 more were used: they are covered."""
    late = usage("V", "30", "2026-01-20")
    note = _note({"line": "1", "amount": "50.00"}, invoice="I", rebill=rebill)
    money = [payment("P", paid, "2026-02-05", ("I", paid))] if paid != "0.00" else []
    steps = {"before the note": [late, note, _void()], "before the void": [note, late, _void()]}
    used = invoice("B", "2026-01-31", {"id": "1", "kind": "usage", "product": "tokens", "amount": "40.00"})
    cli.post(*HEAD, *_COMMITTED, used, invoice("I", "2026-02-01", _SHORT), *money)
    for document in steps.get(day, [note, _void(), late]):
        cli.post(document)
        cli.ok("verify")
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")
    due = 100 - float(paid)
    cash = {"cash": paid} if money else {}
    assert {role: f"{amount:.2f}" for role, amount in cli.totals().items()} == {
        "accounts_receivable": f"{due:.2f}", **cash, "revenue": "100.00",
    }  # fmt: skip


def test_what_was_billed_again_is_not_billed_by_taking_its_note_back(cli: Cli) -> None:
    bought = [grant(amount="100.00"), invoice("I", "2026-01-01", prepaid("100.00"))]
    note = _note({"line": "1", "amount": "80.00"}, invoice="I", rebill=True)
    cli.post(*HEAD, *bought, note, invoice("J", "2026-02-20", prepaid("80.00")))
    assert "credit_note = N: expected one of which nothing was billed again: line 1 of I was" in cli.refuse(_void())
    cli.post({"type": "invoice_void", "id": "V", "invoice": "J", "date": "2026-02-21", "reason": "twice"}, _void())
    cli.ok("verify")
    assert {role: f"{amount:.2f}" for role, amount in cli.totals().items()} == {
        "accounts_receivable": "100.00",
        "customer_credits": "100.00",
    }


def test_over_several_entities_lines_of_its_own_are_of_who_collects(cli: Cli) -> None:
    """A note credits 20.00 of the other's line and 5.00 of its own; taken back, both are due again."""
    other = {"type": "entity", "id": "eu", "name": "Acme Europe", "currency": "USD"}
    cli.post(
        *HEAD, other, invoice("I", "2026-01-05", one_time("50.00"), one_time("60.00", "2") | {"entity": "eu"}),
        payment("P", "110.00", "2026-01-20", ("I", "110.00")), _note({"line": "2", "amount": "20.00"}, _own("5.00"), invoice="I"),
        _void(),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")
    assert {role: f"{amount:.2f}" for role, amount in cli.totals().items()} == {
        "cash": "110.00", "due_from_entities": "60.00", "due_to_entities": "60.00", "revenue": "110.00",
    }  # fmt: skip


@pytest.fixture(scope="module")
def shelf(server: str) -> Iterator[Shelf]:
    made = Shelf(server, f"voids_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    yield made
    made.end()


def _credits_told(chance: random.Random, kind: str) -> tuple[list[Document], set[str]]:
    """Credits, or a commitment, with their bill, its note, and use of any day; what of it is a note and what undoes it."""
    party = {"customer": "@c", "entity": "@us", "currency": "USD"}
    more: Document = {"price": "80.00"} if kind == "prepaid" and chance.random() < 0.5 else {}
    if chance.random() < 0.4:
        more |= {"breakage": "proportional", "expected_breakage": "0.30"}
    used = [
        usage(f"@u{number}", text_of(chance.randint(1, 1500)), f"2026-01-{chance.randint(2, 28):02}") | party | {"product": "@p"}
        for number in range(chance.randint(1, 4))
    ]  # fmt: skip
    end = "2026-01-31" if kind == "commitment" or chance.random() < 0.4 else "2026-06-30"
    paid = grant("@g", "100.00", kind=kind, expires_on=end, **more) | party
    if kind == "commitment":
        drawn = sum(cents_of(doc["quantity"]) for doc in used)
        on_time = chance.randint(0, len(used))
        whole = 10_000 - (drawn if on_time else 0)
        line = {"id": "1", "kind": "shortfall", "grant": "@g", "product": "@p", "amount": text_of(whole)}
        early, late = (used, []) if on_time else ([], used)
        history = [paid, *early, invoice("@I", "2026-02-01", line) | party]
    else:
        whole = 8_000 if "price" in more else 10_000
        late = chance.sample(used, chance.randint(0, len(used)))
        early = [doc for doc in used if doc not in late]
        bill = prepaid(text_of(whole), "@g") | {"product": "@p"}
        history = [paid, *early, invoice("@I", "2026-01-03", bill) | party]
    note = {
        "type": "credit_note", "id": "@N", "invoice": "@I", "date": "2026-02-10", "rebill": chance.random() < 0.5,
        "lines": [{"line": "1", "amount": text_of(chance.choice((whole, chance.randint(1, whole))))}],
    }  # fmt: skip
    void = {
        "type": "credit_note_void",
        "id": "@V",
        "credit_note": "@N",
        "date": chance.choice(("2026-02-10", "2026-03-10")),
        "reason": "x",
    }
    rest: list[Document] = [note, void]
    for doc in late:
        # what draws on credits while some are taken back draws on what is left then
        rest.insert(chance.randint(0, len(rest)) if kind == "commitment" else chance.choice((0, len(rest))), doc)
    if chance.random() < 0.5:
        cents = text_of(
            chance.randint(1, cents_of(history[-1]["lines"][0]["amount"]) - cents_of(note["lines"][0]["amount"]) + 1)
        )
        history.append(payment("@P", cents, "2026-02-03", ("@I", cents)) | party)
    return [*history, *rest], {"@N", "@V"}


@pytest.mark.parametrize("kind", ["prepaid", "commitment"])
@held_by_histories
def test_a_note_of_credits_taken_back_leaves_nothing_whatever_comes_between(
    shelf: Shelf, kind: str, number: int
) -> None:
    """The end is that of the same documents without the note and its void, in the same order."""
    masters: list[Document] = [
        {"type": "entity", "id": "@us", "name": "Acme", "currency": "USD"}, {"type": "product", "id": "@p", "name": "Tokens"},
        {"type": "customer", "id": "@c", "name": "C"},
    ]  # fmt: skip
    told, note = _credits_told(random.Random(number), kind)  # noqa: S311
    noted, plain = shelf.places(2)
    assert noted.post(masters) == plain.post(masters) == {}
    for place in (noted, plain):
        refused: dict[str, str] = {}
        for index, doc in enumerate(told):
            if place is noted or doc["id"] not in note:
                refused |= place.post([doc])
            if random.Random(f"{number}/{index}").random() < 0.3:  # noqa: S311
                place.recognize(date(2026, 3, 1))
        assert refused == {}, json.dumps(told)
        place.recognize()
    failed = [(check.sentence, check.differences) for check in verify(noted.engine, held=HELD) if check.differing]
    assert failed == [], json.dumps(told)
    found = difference(ends(plain.moves()), ends(noted.moves()), names=("without the note", "with it taken back"))
    assert found is None, f"{found}\n{json.dumps(told)}"
