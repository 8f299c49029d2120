"""Histories whose money lies in accounts, or is a parent's: the same by whatever way they arrive, and whoever paid."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from tests.histories import FIRST, History, Told, days_on, text_of
from tests.shelves import Moves, Place, Shelf
from tests.test_money_back import Money
from tests.test_relations import (
    accepted,
    along_the_way,
    arrival,
    arrived,
    cents_of,
    closing,
    day_of,
    difference,
    ends,
    held_by_histories,
    hold,
    in_pounds,
    late,
    tell,
)
from tests.test_relations import told as told_of

Document = dict[str, Any]


@pytest.fixture(scope="module")
def shelf(server: str) -> Iterator[Shelf]:
    made = Shelf(server, f"money_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    yield made
    made.end()


def _account(currency: str) -> str:
    return f"@money-{currency}"


def in_accounts(history: History) -> History:
    """A history whose payments and recoveries go into an account a currency, some of it out again on another day, before or after."""
    chance = random.Random(history.seed)  # noqa: S311
    bills = {item.doc["id"]: item.doc for item in history.told if item.doc["type"] in ("invoice", "write_off")}
    found: list[Told] = []
    currencies: set[str] = set()
    for item in history.told:
        doc = item.doc
        if doc["type"] not in ("payment", "recovery"):
            found.append(item)
            continue
        of = doc if doc["type"] == "payment" else bills[bills[doc["write_off"]]["invoice"]]
        currencies.add(of["currency"])
        found.append(
            replace(
                item,
                doc={key: value for key, value in doc.items() if key != "rail"} | {"account": _account(of["currency"])},
            )
        )
        if chance.random() < 0.6:
            found.append(Told(_out(doc, of["currency"], chance), frozenset()))
    masters = [
        {
            "type": "money_account", "id": _account(currency), "entity": "@us", "name": currency, "kind": "processor",
            "currency": currency, "overdraft": True,
        }
        for currency in sorted(currencies | {"USD"})
    ]  # fmt: skip
    masters.append(masters[0] | {"id": "@bank", "currency": "USD", "kind": "bank"})
    return replace(history, masters=(*history.masters, *masters), told=tuple(found))


def _out(doc: Document, currency: str, chance: random.Random) -> Document:
    """A payout of some money, or a fee on it, near the day it came in; converted it comes to a little more or less than it was worth."""
    cents = max(cents_of(doc["amount"]) * chance.randint(20, 130) // 100, 1)
    day = max(days_on(date.fromisoformat(day_of(doc)), chance.randint(-20, 60)), FIRST).isoformat()
    common: Document = {"entity": "@us", "date": day}
    if chance.random() < 0.3:
        return {
            "type": "fee",
            "id": f"{doc['id']}-fee",
            **common,
            "account": _account(currency),
            "amount": text_of(max(cents // 30, 1)),
        }
    received = {} if currency == "USD" else {"received": text_of(max(cents * chance.randint(100, 140) // 100, 1))}
    return {
        "type": "transfer", "id": f"{doc['id']}-out", **common, "from_account": _account(currency), "to_account": "@bank",
        "amount": text_of(cents), **received,
    }  # fmt: skip


@held_by_histories
def test_the_order_of_arrival_does_not_matter(shelf: Shelf, number: int) -> None:
    hold(shelf, in_accounts(tell(number)), arrival)


@held_by_histories
def test_nor_at_rates_that_move(shelf: Shelf, number: int) -> None:
    told = in_accounts(in_pounds(tell(number, "contract", "invoices", whole=0.0)))
    hold(shelf, told, lambda shelf, history: arrival(shelf, history, within=2))


@held_by_histories
def test_what_comes_late_in_closed_months_comes_to_the_same(shelf: Shelf, number: int) -> None:
    hold(shelf, in_accounts(tell(number)), late if number % 2 else closing)


_PARENT = "-parent"


def paid_by_parents(history: History) -> History:
    """A history in which each customer's payments are its parent's, and what is put onto invoices of money that waited, too."""

    def parents(doc: Document) -> Document:
        # what waited is of the payment that was told before it, in whichever order it is applied
        if doc["type"] == "payment" or (doc["type"] == "application" and "payment" in doc):
            return doc | {"customer": doc["customer"] + _PARENT}
        return doc

    masters: list[Document] = []
    for master in history.masters:
        if master["type"] == "customer":
            masters.append({"type": "customer", "id": master["id"] + _PARENT, "name": "Parent"})
            masters.append(master | {"parent": master["id"] + _PARENT})
        else:
            masters.append(master)
    return replace(history, masters=tuple(masters)).swapped(parents)


def of_named_payments(history: History) -> History:
    """A history in which each application of money that waited names the payment that it waited for."""
    payments = {
        item.doc["id"] for item in history.told if item.doc["type"] == "payment" and not item.doc["applications"]
    }
    found = []
    for item in history.told:
        waited = [ref for kind, ref in item.needs if kind == "payment" and ref in payments]
        named = item.doc["type"] == "application" and waited and "from_invoice" not in item.doc
        found.append(replace(item, doc=item.doc | {"payment": waited[0]}) if named else item)
    return replace(history, told=tuple(found))


def _as_own(moves: Moves, without: frozenset[str]) -> Moves:
    """What moved, a parent's as its customer's own; what passes between them is nothing."""
    found: Moves = {}
    for (role, customer, about), by_month in moves.items():
        if role not in without:
            found.setdefault((role, customer.removesuffix(_PARENT), about), Counter()).update(by_month)
    return found


def who_paid(shelf: Shelf, history: History, *, without: frozenset[str] = frozenset()) -> str | None:
    """Whether a customer's books are the same where its parent paid: in the same order of arrival, or, with all of them, in another."""
    chance = random.Random(history.seed)  # noqa: S311
    own, parents = shelf.places(2)
    history = accepted(own, of_named_payments(history))
    paid = paid_by_parents(history)
    documents = paid.in_order() if without or chance.random() < 0.5 else paid.shuffled(str(history.seed))
    refused = parents.post([*paid.masters, *documents])
    if refused:
        return f"refused where a parent paid: {told_of(refused)}\n\narrived: {arrived(documents)}"
    own.recognize()
    one, other = (_as_own(place.moves(), without | {"customer_clearing"}) for place in (own, parents))
    found = difference(one, other, names=("own money", "a parent's"))
    return found and f"{found}\n\narrived: {arrived(documents)}"


@held_by_histories
def test_who_paid_makes_no_difference(shelf: Shelf, number: int) -> None:
    hold(shelf, tell(number), who_paid)


# What money counts for where rates move is told by what else its holder has of that currency: a parent has less than all.
_MONEY = frozenset({"cash", "customer_balance", "disputed_funds", "fx_gain", "fx_loss", "processing_fees"})


@held_by_histories
def test_nor_does_it_where_rates_move(shelf: Shelf, number: int) -> None:
    told = tell(number, "contract", "invoices", whole=0.0)
    told = told.swapped(lambda doc: doc | {"currency": "GBP"} if "currency" in doc else doc)
    hold(shelf, told, lambda shelf, history: who_paid(shelf, history, without=_MONEY))


# What passes through these is nothing, however much did.
_THROUGH = frozenset({"customer_clearing", "currency_exchange"})


def _standing(place: Place) -> Moves:
    return {key: by_month for key, by_month in ends(place.moves()).items() if key[0] not in _THROUGH}


def _undone(money: Money, chance: random.Random, since: date) -> list[Document]:
    """Documents of which the last ones undo the first, of whatever money there is, on days after all others: fifty from a day on."""
    days = [{"date": (since + timedelta(days=step * 16 + chance.randint(0, 15))).isoformat()} for step in range(3)]
    days.append(days[-1])
    amount = {"amount": text_of(chance.choice((1, 777, 1000, chance.randint(1, 5000))))}
    ref, of = f"@u{chance.randint(0, 10**9)}", {"payment": chance.choice(money.ids["payment"])}
    why = {"reason": "x"}
    of_bills = ("payment", "application") if money.ids.get("invoice") else ()
    match chance.choice(("refund", "won", "lost", "transfer", *of_bills)):
        case "refund":
            back = {"type": "refund", "id": ref, **of, **days[0], **amount}
            return [back, {"type": "refund_reversal", "id": f"{ref}-b", "refund": ref, **days[1], **why}]
        case "won" | "lost" as status:
            told = [{"type": "dispute", "id": ref, **of, **days[0], **amount, "status": "opened"}]
            told.append({**told[0], "id": f"{ref}-b", **days[1], "status": status, "opening": ref})
            if status == "won":
                return told
            cents = cents_of(amount["amount"])
            parts = [part for part in (cents // 3, cents - cents // 3) if part]
            return told + [
                {**told[1], "id": f"{ref}-{place}", **days[2 + place], "status": "reinstated", "amount": text_of(part)}
                for place, part in enumerate(parts)
            ]
        case "payment":
            bill = chance.choice(money.ids["invoice"])
            party = {"customer": money.customers[bill], "entity": "@us", "currency": chance.choice(("USD", "GBP"))}
            applied = [{"invoice": bill, "amount": text_of(chance.randint(1, 3000))}]
            if party["currency"] != money.currencies[bill]:
                applied[0]["paid"] = text_of(chance.randint(1, 3000))
            paid = {
                "type": "payment",
                "id": ref,
                **party,
                **days[0],
                "rail": "wire",
                "amount": "50.00",
                "applications": applied,
            }
            return [paid, {"type": "payment_reversal", "id": f"{ref}-b", "payment": ref, **days[1], **why}]
        case "application":
            bill = chance.choice(money.ids["invoice"])
            party = {"customer": money.customers[bill], "entity": "@us", "currency": money.currencies[bill]}
            put = {"type": "application", "id": ref, **party, **days[0], "invoice": bill, **amount}
            return [put, {"type": "unapplication", "id": f"{ref}-b", "application": ref, **days[1]}]
        case _:
            moved = {"type": "transfer", "id": ref, "entity": "@us", **days[0], "from_account": "@gbp", "to_account": "@usd",
                     **amount, "received": text_of(chance.randint(1, 5000))}  # fmt: skip
            return [moved, {"type": "transfer_reversal", "id": f"{ref}-b", "transfer": ref, **days[1], **why}]


def _billed_and_taken_back(chance: random.Random, since: date) -> list[Document]:
    """An invoice and its void, or a credit of no line and its void, of taxes, on days after all others."""
    kind, ref = chance.choice(("invoice", "credit_note")), f"@u{chance.randint(0, 10**9)}"
    day, later = (days_on(since, chance.randint(first, first + 20)).isoformat() for first in (0, 21))
    # what a credit of no line left on the balance leaves it as any money there does, at its average
    party = {
        "customer": "@a",
        "entity": "@us",
        "currency": chance.choice(("USD", "GBP")) if kind == "invoice" else "USD",
    }
    line = {"product": "@p", "amount": text_of(chance.randint(1, 5000)), "tax_codes": ["@vat"]}
    dated, more = ("issued_on", {"id": "1", "kind": "one_time"}) if kind == "invoice" else ("date", {})
    due = {"due_on": day} if kind == "invoice" else {}
    made = {"type": kind, "id": ref, **party, dated: day, **due, "lines": [line | more]}
    return [made, {"type": f"{kind}_void", "id": f"{ref}-b", kind: ref, "date": later, "reason": "x"}]


@held_by_histories
def test_what_is_billed_and_taken_back_leaves_nothing_at_rates_that_move(shelf: Shelf, number: int) -> None:
    """The taxes of other invoices stay what they are, too, whatever the rate was then."""
    chance = random.Random(number)  # noqa: S311
    place = shelf.place()
    money = Money(number, place)
    money.tell(10)
    for number_ in range(4):
        documents = _billed_and_taken_back(chance, date(2026, 5, 1) + timedelta(days=50 * number_))
        before = _standing(place)
        assert place.post(documents) == {}
        found = difference(before, _standing(place), names=("before", "after"))
        assert found is None, f"history {number}: {found}\n\n" + "\n".join(
            json.dumps(doc) for doc in [*money.told, *documents]
        )


@held_by_histories
def test_what_undoes_itself_leaves_nothing_at_rates_that_move(shelf: Shelf, number: int) -> None:
    """Pounds at another rate each month: cash, balances and exchange differences are what they were, to the cent."""
    chance = random.Random(number)  # noqa: S311
    place = shelf.place()
    money = Money(number, place)
    money.tell(10)
    accounts: list[Document] = [
        {
            "type": "money_account", "id": f"@{currency.lower()}", "entity": "@us", "name": currency, "kind": "bank", "currency": currency,
            "overdraft": True,
        }
        for currency in ("GBP", "USD")
    ]  # fmt: skip
    held = {
        "type": "payment", "id": "@held", "customer": "@a", "entity": "@us", "currency": "GBP", "date": "2026-02-01", "account": "@gbp",
        "amount": "60.00", "applications": [],
    }  # fmt: skip
    assert place.post([*accounts, held]) == {}
    money.ids.setdefault("payment", []).append("@held")
    for number_ in range(4):
        documents = _undone(money, chance, date(2026, 5, 1) + timedelta(days=50 * number_))
        before = _standing(place)
        if place.post(documents[:1]):
            continue
        refused = place.post(documents[1:])
        found = (
            f"refused: {told_of(refused)}"
            if refused
            else difference(before, _standing(place), names=("before", "after"))
        )
        assert found is None, f"history {number}: {found}\n\n" + "\n".join(
            json.dumps(doc) for doc in [*money.told, *accounts, held, *documents]
        )


def _moved_about(chance: random.Random, customer: str, currency: str) -> list[Document]:
    """What is done by chance, from February to May, with a payment's money that lies on bills: moved, taken off, put there again."""
    found: list[Document] = []
    for number in range(chance.randint(1, 5)):
        day = {"date": days_on(date(2026, 2, 1), chance.randint(0, 100)).isoformat()}
        one, other = chance.sample(range(3), 2)
        part = {} if chance.random() < 0.4 else {"amount": text_of(chance.randint(1, 9000))}
        if chance.random() < 0.4:
            off = {"type": "unapplication", "id": f"@u{number}", "payment": "@p", "invoice": f"@i{one}"}
            found.append({**off, **day, **part})
            continue
        put = {"type": "application", "id": f"@a{number}", "customer": customer, "entity": "@us", "currency": currency, **day,
               "invoice": f"@i{one}", "amount": text_of(chance.randint(1, 9000))}  # fmt: skip
        found.append(put | ({"from_invoice": f"@i{other}"} if chance.random() < 0.6 else {}))
    return found


@held_by_histories
def test_money_that_came_back_before_it_was_moved_leaves_nothing(shelf: Shelf, number: int) -> None:
    """A payment is put onto bills, taken off and moved; last of all it is told to have come back, on a day before, between or after."""
    chance = random.Random(number)  # noqa: S311
    place = shelf.place()
    billed, money = (chance.choice(("USD", "GBP")) for _ in range(2))
    payer = chance.choice(("@c", "@parent"))
    parents = {"parent": "@parent"} if payer == "@parent" else {}
    party = {"entity": "@us", "currency": money}
    told: list[Document] = [
        {"type": "entity", "id": "@us", "name": "Acme", "currency": "USD"},
        {"type": "product", "id": "@x", "name": "Plan"},
        {"type": "customer", "id": "@parent", "name": "Parent"},
        {"type": "customer", "id": "@c", "name": "Customer", **parents},
        *(
            {"type": "invoice", "id": f"@i{bill}", "customer": "@c", "entity": "@us", "currency": billed, "issued_on": "2026-01-05",
             "due_on": "2026-01-05", "lines": [{"id": "1", "kind": "one_time", "product": "@x", "amount": "100.00"}]}
            for bill in range(3)
        ),
    ]  # fmt: skip
    refused = place.post(told)
    assert refused == {}
    before = _standing(place)
    applied = {"invoice": "@i0", "amount": "100.00"} | ({} if billed == money else {"paid": "90.00"})
    told = [
        {"type": "payment", "id": "@p", "customer": payer, **party, "date": "2026-01-20", "rail": "wire", "amount": "120.00",
         "applications": [applied]},
        *_moved_about(chance, payer, money),
        {"type": "payment_reversal", "id": "@b", "payment": "@p", "reason": "x",
         "date": days_on(date(2026, 1, 20), chance.randint(0, 130)).isoformat()},
    ]  # fmt: skip
    refused = place.post(told)
    after = _standing(place)
    # what was gained as money passed, or was exchanged, was lost again
    exchanged = [after.pop(key) for key in list(after) if key[0] in ("fx_gain", "fx_loss")]
    assert not sum(sum(by_month.values()) for by_month in exchanged)
    found = refused.get("@b") or difference(before, after, names=("before", "after"))
    assert found is None, f"history {number}: {found}\n\n" + "\n".join(json.dumps(doc) for doc in told)


def foreign_money(number: int) -> History:
    """Bills in three currencies, each of a customer: what pays them, is taken off again, goes back, fails or is won, on days of chance.

    A bill is paid by one payment, and what goes back names its bill: whose money it is, and out of what, no arrival decides.
    """
    chance = random.Random(number)  # noqa: S311
    masters: list[Document] = [
        {"type": "entity", "id": "@us", "name": "Acme", "currency": "USD"},
        {"type": "product", "id": "@p", "name": "Plan"},
    ]
    told: list[Told] = []
    for bill in range(3):
        customer, ref, paid = f"@c{bill}", f"@i{bill}", f"@p{bill}"
        masters.append({"type": "customer", "id": customer, "name": "Customer"})
        billed, money = (chance.choice(("GBP", "GBP", "EUR", "USD")) for _ in range(2))
        first = date(2026, 1, 1) + timedelta(days=chance.randint(0, 40))
        whole = chance.randint(10_000, 30_000)
        party = {"customer": customer, "entity": "@us"}
        line = {"id": "1", "kind": "service", "product": "@p", "amount": text_of(whole), "start": first.isoformat(),
                "end": days_on(first, chance.randint(20, 120)).isoformat()}  # fmt: skip
        told.append(
            Told(
                {"type": "invoice", "id": ref, **party, "currency": billed, "issued_on": first.isoformat(), "due_on": first.isoformat(), "lines": [line]},
                frozenset(),
            )
        )  # fmt: skip
        came = days_on(first, chance.randint(0, 30))
        into = {"invoice": ref, "amount": text_of(whole)}
        amount = whole if billed == money else chance.randint(10_000, 30_000)
        if billed != money:
            into["paid"] = text_of(amount)
        payment = {"type": "payment", "id": paid, **party, "currency": money, "date": came.isoformat(), "rail": "wire",
                   "amount": text_of(amount), "applications": [into]}  # fmt: skip
        told.append(Told(payment, frozenset([("invoice", ref)])))
        told += _goes_back(chance, paid, ref, came, amount)
    return History(number, tuple(masters), tuple(told))


def _goes_back(chance: random.Random, paid: str, bill: str, came: date, amount: int) -> list[Told]:
    """What goes back of a payment, some of it undone; in the end what is left may be taken off its bill."""
    found: list[Told] = []
    day = came
    for number in range(chance.randint(1, 3)):
        day = days_on(day, chance.randint(1, 40))
        part = text_of(chance.randint(1, amount // 4))
        ref, undone = f"{paid}-{number}", chance.random() < 0.4
        later = days_on(day, chance.randint(1, 30))
        if chance.random() < 0.5:
            back = {
                "type": "refund",
                "id": ref,
                "payment": paid,
                "invoice": bill,
                "date": day.isoformat(),
                "amount": part,
            }
            found.append(Told(back, frozenset([("payment", paid)])))
            if undone:
                failed = {
                    "type": "refund_reversal",
                    "id": f"{ref}-b",
                    "refund": ref,
                    "date": later.isoformat(),
                    "reason": "x",
                }
                found.append(Told(failed, frozenset([("refund", ref)])))
            continue
        of = {"payment": paid, "amount": part}
        opened = {"type": "dispute", "id": ref, **of, "date": day.isoformat(), "status": "opened"}
        over = {
            **opened,
            "id": f"{ref}-b",
            "date": later.isoformat(),
            "opening": ref,
            "status": chance.choice(("won", "lost")),
        }
        found.append(Told(opened, frozenset([("payment", paid)])))
        found.append(Told(over, frozenset([("dispute", ref)])))
        if over["status"] == "lost" and undone:
            won = {
                **over,
                "id": f"{ref}-c",
                "date": days_on(later, chance.randint(1, 30)).isoformat(),
                "status": "reinstated",
            }
            found.append(Told(won, frozenset([("dispute", over["id"])])))
    if chance.random() < 0.5:
        last = max(day_of(item.doc) for item in found)
        off = {"type": "unapplication", "id": f"{paid}-off", "payment": paid, "invoice": bill,
               "date": days_on(date.fromisoformat(last), chance.randint(1, 20)).isoformat()}  # fmt: skip
        found.append(Told(off, frozenset([("payment", paid)])))
    return found


@held_by_histories
def test_money_of_other_currencies_by_whatever_way_it_arrives(shelf: Shelf, number: int) -> None:
    """At once, in another order, or month by month: the same, but for a cent or two where a rate is rounded otherwise."""
    relation = arrival if number % 2 else along_the_way
    hold(shelf, foreign_money(number), lambda shelf, history: relation(shelf, history, within=2))
