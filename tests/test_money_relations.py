"""Histories whose money lies in accounts, of which it is paid out and charged fees: the same by whatever way they arrive."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from tests.histories import History, Told, days_on, text_of
from tests.shelves import Shelf
from tests.test_relations import arrival, cents_of, closing, day_of, held_by_histories, hold, in_pounds, late, tell

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
    day = days_on(date.fromisoformat(day_of(doc)), chance.randint(-20, 60)).isoformat()
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
