"""The typed client, against the API itself and its description."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from datetime import date

import pytest
from flask import Flask, request
from moneyed import Money
from sqlalchemy import Engine, text

from tests.conftest import Cli
from tests.samples import grant, invoice, parties, prepaid, service, usage
from tests.serving import MakeApp, served
from web import client
from web.access import keys
from web.client import Refused, Tickmark, money


@pytest.fixture
def app(make_books_app: MakeApp) -> Flask:
    return make_books_app()


@pytest.fixture
def books(app: Flask, engine: Engine) -> Iterator[Tickmark]:
    """A client with an admin's key, at a server."""
    with engine.begin() as connection:
        key = keys.create(connection, "Ada", "admin", "tester")
    with served(app) as address, Tickmark(f"{address}/", key) as found:
        yield found


def test_a_month_from_documents_to_its_seal(books: Tickmark) -> None:
    posted = books.post([
        *parties(), grant("G"), invoice("I", "2026-01-01", prepaid("100.00"), service("365.00", "2026-01-01", "2026-12-31", line="2")),
        usage("u1", "40.00", "2026-01-10"),
    ])  # fmt: skip
    assert (posted["posted"], posted["entries"]) == (7, 2)
    draft = books.draft(invoice("D", "2026-01-20", service("12.00", "2026-01-20", "2026-01-20")))
    assert draft["invoice"]["total"] == "12.00"
    assert books.recognize("2026-01")["entries"] == 1
    assert [item["done"] for item in books.checklist("us", "2026-01")] == [True] * 6
    assert books.close_month("us", "2026-01")["closed_through"] == "2026-01-31"
    assert books.reopen_month("us", "2026-01", "a late bill")["history"][-1]["reason"] == "a late bill"
    assert books.seal()["sealed"] == 0  # closing did
    with pytest.raises(Refused, match="reason"):
        books.close_month("us", "2026-01", anyway_because="")
    closed = books.close_month("us", "2026-01", anyway_because="nothing is undone")["history"][-1]
    assert (closed["reason"], closed["undone"]) == ("nothing is undone", [])
    books.reopen_month("us", "2026-01", "a late bill")
    # 40.00 of usage and 31 of 365 days of 365.00
    rows = books.report("income-statement", entity="us", as_of=date(2026, 1, 31))["rows"]
    assert "71.00" in str(rows)
    assert books.report("summary", since="2026-02-01")["rows"] == []
    assert books.invoice("I")["due"] == "465.00"
    assert [step["ref"] for step in books.trace("usage:u1")["led_to"]]
    entries = list(books.entries())
    assert [entry["entry"] for entry in entries] == sorted(entry["entry"] for entry in entries)
    assert books.entry(entries[0]["entry"]) == entries[0]
    assert [row["id"] for row in books.all("customers")] == ["globex"]
    assert [row["id"] for row in books.all("invoices", entity="us", customer="globex")] == ["I"]
    assert books.period("us")["entity"] == "us"
    assert books.exports("quickbooks", "us")["rows"] == []
    assert len(books.rules()) > 100
    assert b"Invoice" in books.printed("invoice", "I", "html")
    assert b"465.00 USD" in books.printed("statement", "globex", "html", entity="us", since="2026-01-01")
    books.post(
        [{"type": "details", "id": "d", "customer": "globex", "date": "2026-01-01", "name": "Globex Corporation"}]
    )
    assert b"Globex Corporation" in books.printed("invoice", "I", "html")
    assert books.erase("globex", "asked") == 1
    assert b"Globex Corporation" not in books.printed("invoice", "I", "html")
    assert [row["reason"] for row in books.erasures()] == ["asked"]


def test_lists_go_on_to_their_end(books: Tickmark, cli: Cli) -> None:
    cli.post(*parties(), *({"type": "customer", "id": f"c{n:04}", "name": "C"} for n in range(1_100)))
    assert len([row["id"] for row in books.all("customers")]) == 1_101


def test_a_refusal_says_what_was_wrong(books: Tickmark) -> None:
    with pytest.raises(Refused) as several:
        books.post([*parties(), usage("u1", "1.00", "never")])
    assert several.value.status == 422
    assert several.value.problems[0] | {"line": 0} == {
        "line": 0, "document": "usage u1", "field": "date", "value": "never", "expected": "expected a date such as 2026-01-31",
    }  # fmt: skip
    assert "usage u1: date = never: expected a date" in str(several.value)
    with pytest.raises(Refused, match="404 entry = 7") as one:
        books.entry(7)
    assert one.value.problems == [
        {"field": "entry", "value": "7", "expected": "expected the number of an entry in the books"}
    ]
    with pytest.raises(Refused, match=r"422 .*: as_of = yesterday: "):
        books.report("summary", as_of="yesterday")
    books._session.headers["Authorization"] = "Bearer nothing"
    with pytest.raises(Refused, match="401 expected a key that holds"):
        books.rules()


def test_a_write_that_got_no_answer_is_done_once(books: Tickmark, app: Flask, engine: Engine) -> None:
    failures = 0

    @app.after_request
    def lose(response):  # type: ignore[no-untyped-def]
        nonlocal failures
        if request.method == "POST" and failures < 2:
            failures += 1
            response.status_code = 503
        return response

    # the guard's hooks run after this one in Flask's reversed order: the write was done, its answer lost
    with pytest.raises(Refused, match="503"):
        books.make_key("feed", "operator")  # nobody knows its key: it is not asked for twice
    assert failures == 1
    failures = 0
    posted = books.post(parties())
    assert failures == 2
    assert posted["posted"] == 4
    with engine.connect() as connection:
        assert connection.scalar(text("select count(*) from document where type = 'customer'")) == 1
    assert [row["name"] for row in books.list_keys()] == ["Ada", "feed"]
    books.revoke_key(2)
    assert books.list_keys()[-1]["state"] == "revoked"


def test_ids_with_letters_that_addresses_use(books: Tickmark) -> None:
    name = "I #1/2? 100%"
    books.post([*parties(), invoice(name, "2026-01-01", service("12.00", "2026-01-01", "2026-01-31"))])
    assert books.invoice(name)["id"] == name
    assert books.trace(f"invoice:{name}")["ref"] == name
    assert b"12.00" in books.printed("invoice", name, "html")


def test_the_client_knows_every_path(app: Flask) -> None:
    described = app.test_client().get("/openapi.json").json["paths"]
    source = inspect.getsource(client)
    for path in described:
        plain = re.sub(r"\{\w+\}", "", path.removeprefix("/v1/")).strip("/").split("/")[0]
        assert plain in source, path


def test_money_goes_in_and_comes_out(books: Tickmark) -> None:
    """Whoever counts in `moneyed.Money` needs no strings, and can't bill dollars in euros."""
    line = {"id": "1", "kind": "one_time", "product": "seats", "amount": Money("100.00", "USD")}
    bill = invoice("I", "2026-01-01") | {"lines": [line]}
    books.post([*parties(), bill])
    (entry,) = books.entries()
    assert [money(row) for row in entry["lines"]] == [Money("100.00", "USD")] * 2
    assert money(entry["lines"][0], "functional_amount", "functional_currency") == Money(100, "USD")
    with pytest.raises(ValueError, match=r"lines.0.amount = .*: expected an amount in USD, the document's currency"):
        books.post([bill | {"id": "J", "lines": [line | {"amount": Money("100.00", "EUR")}]}])
    with pytest.raises(Refused, match=r"lines.0.amount = 0.001 USD: expected at most 2 decimal places"):
        books.draft(bill | {"id": "J", "lines": [line | {"amount": Money("0.001", "USD")}]})
