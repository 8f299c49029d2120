"""Closing a month: what is undone is refused by name, or kept with the reason for which it was closed anyway."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Connection, Engine, text

from ledger.journal import periods
from tests.conftest import Cli
from tests.samples import billed_usage, invoice, one_time, parties, usage
from tests.serving import MakeApp
from tests.test_access import bearer, key
from web.work import closing

EU = {"type": "entity", "id": "eu", "name": "Acme AI GmbH", "currency": "EUR"}
RATES = [
    {"type": "fx_rate", "id": day, "date": day, "base": "EUR", "quote": "USD", "rate": rate}
    for day, rate in (("2026-01-01", "1.10"), ("2026-01-31", "1.20"))
]
# One entry of revenue is due, and two of what its receivable is worth at the month's end and on the next day.
UNDONE = ["revenue is recognised: entries due: 1", "money in other currencies is revalued: entries due: 2"]


@pytest.fixture
def app(make_books_app: MakeApp) -> Flask:
    return make_books_app()


def _books(cli: Cli) -> None:
    cli.post(*parties(), EU, *RATES, invoice("I", "2026-01-05", one_time("10.00")) | {"currency": "EUR"})


def _events(cli: Cli) -> list[tuple[str, ...]]:
    told = json.loads(cli.ok("periods", "--format", "json"))
    return [tuple(row[name] for name in ("entity", "month", "action", "by", "reason", "undone")) for row in told]


def _state(connection: Connection) -> list[Any]:
    counted = ("period_event", "closed_books", "seal", "entry", "document")
    found = [connection.scalar(text(f"select count(*) from {table}")) for table in counted]
    connection.rollback()
    return found


def test_what_is_undone_is_refused_by_name_and_nothing_is_closed(cli: Cli, connection: Connection) -> None:
    _books(cli)
    before = _state(connection)
    told = cli.refused("close", "2026-01").splitlines()
    assert told == [
        "something is undone: do it, or close with --anyway --reason TEXT",
        f"refused: month = 2026-01: expected for us that {UNDONE[0]} (tickmark recognize --through 2026-01)",
        f"refused: month = 2026-01: expected for us that {UNDONE[1]} (tickmark revalue 2026-01)",
    ]
    assert "reason = missing: expected why it is closed with something undone" in cli.refused(
        "close", "2026-01", "--anyway", "--reason", " "
    )
    assert _state(connection) == before  # eu, of which nothing is undone, is open too


def test_once_all_is_done_it_closes(cli: Cli) -> None:
    _books(cli)
    cli.ok("recognize", "--through", "2026-01")
    assert UNDONE[0] not in cli.refused("close", "2026-01", "--entity", "us")
    cli.ok("revalue", "2026-01")
    assert cli.ok("close", "2026-01").startswith("2026-01 is closed for eu\n2026-01 is closed for us\n")
    assert _events(cli) == [
        ("eu", "2026-01", "closed", "tester", "", ""),
        ("us", "2026-01", "closed", "tester", "", ""),
    ]


def test_an_entity_waits_for_its_own_alone(cli: Cli) -> None:
    _books(cli)
    assert cli.ok("close", "2026-01", "--entity", "eu").startswith("2026-01 is closed for eu\n")
    assert "expected for us that" in cli.refused("close", "2026-01", "--entity", "us")


def test_closed_anyway_the_reason_is_kept_with_what_was_undone(cli: Cli, connection: Connection) -> None:
    _books(cli)
    before = cli.summary()
    said = cli.ok("close", "2026-01", "--anyway", "--reason", "the auditors are here ")
    assert f"2026-01 is closed for us, undone: {'; '.join(UNDONE)}" in said
    assert _events(cli) == [
        ("eu", "2026-01", "closed", "tester", "the auditors are here", ""),
        ("us", "2026-01", "closed", "tester", "the auditors are here", "; ".join(UNDONE)),
    ]
    assert cli.summary() == before  # nothing is done by closing
    cli.ok("reopen", "2026-01", "--entity", "us", "--reason", "done after all")
    cli.ok("recognize", "--through", "2026-01")
    cli.ok("revalue", "2026-01", "--entity", "us")
    cli.ok("close", "2026-01", "--entity", "us")
    assert _events(cli)[1:] == [
        ("us", "2026-01", "closed", "tester", "the auditors are here", "; ".join(UNDONE)),
        ("us", "2026-01", "reopened", "tester", "done after all", ""),
        ("us", "2026-01", "closed", "tester", "", ""),
    ]
    assert "all" in cli.ok("verify")
    assert "entity = x: expected the id of an entity" in cli.refused("periods", "--entity", "x")


def test_nothing_of_what_is_kept_can_be_changed(cli: Cli, owner: Connection) -> None:
    from sqlalchemy.exc import DBAPIError

    _books(cli)
    cli.ok("close", "2026-01", "--anyway", "--reason", "x")
    with pytest.raises(DBAPIError, match="period_event"):
        owner.execute(text("update period_event set undone = '{}'"))


def test_books_that_do_not_verify_are_undone(cli: Cli, owner: Connection) -> None:
    cli.post(*parties(), usage("u", "5.00", "2026-01-05"))
    owner.execute(text("set session_replication_role = replica"))
    owner.execute(text("update usage_meter set posted_minor = posted_minor + 1, rated = rated + 0.01"))
    owner.commit()
    told = cli.refused("close", "2026-01")
    assert "expected for us that the books verify: usage rated so far" in told
    assert "(tickmark verify)" in told
    cli.ok("close", "2026-01", "--anyway", "--reason", "the meter is looked into")
    assert _events(cli)[0][-1].startswith("the books verify: usage rated so far")


def test_what_is_only_warned_of_keeps_nothing_from_closing(cli: Cli) -> None:
    """A year after it was billed, the usage has not come: the bill is left standing."""
    cli.post(*parties(), invoice("I", "2025-01-05", billed_usage("10.00")))
    cli.ok("close", "2025-01")
    assert "WARN us: nothing is left standing" in cli.ok("close", "2026-01", "--check")
    cli.ok("close", "2026-01")


def test_what_comes_in_after_the_books_were_verified_is_seen(
    cli: Cli, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.post(*parties())
    verified = closing._verified

    def meanwhile(books: Engine) -> closing.Item:
        found = verified(books)
        cli.post(invoice("I", "2026-01-05", one_time("10.00")))
        return found

    monkeypatch.setattr(closing, "_verified", meanwhile)
    assert "expected for us that revenue is recognised: entries due: 1" in cli.refused("close", "2026-01")
    with engine.connect() as connection:
        assert periods.closed_through(connection, "us") is None


def test_the_api_refuses_what_is_undone_and_closes_anyway_for_a_reason(cli: Cli, app: Flask, engine: Engine) -> None:
    _books(cli)
    headers = bearer(key(engine, "controller", name="Grace"))
    client = app.test_client()
    refused = client.post("/v1/periods/us", json={"month": "2026-01"}, headers=headers)
    assert refused.status_code == 422
    assert [problem["expected"] for problem in refused.json["problems"]] == [
        f"expected for us that {UNDONE[0]} (tickmark recognize --through 2026-01)",
        f"expected for us that {UNDONE[1]} (tickmark revalue 2026-01)",
    ]
    asked = {"month": "2026-01", "anyway": True}
    assert client.post("/v1/periods/us", json=asked, headers=headers).json["field"] == "reason"
    assert client.get("/v1/periods/us", headers=headers).json["closed_through"] is None
    operator = bearer(key(engine, "operator"))
    assert client.post("/v1/periods/us", json=asked | {"reason": "x"}, headers=operator).status_code == 403
    closed = client.post("/v1/periods/us", json=asked | {"reason": "in a hurry"}, headers=headers).json
    (event,) = closed["history"]
    assert (event["by"], event["reason"], event["undone"]) == ("Grace", "in a hurry", UNDONE)
    assert closed["closed_through"] == "2026-01-31"


def test_the_page_asks_for_a_reason_where_something_is_undone(cli: Cli, make_books_app: MakeApp) -> None:
    _books(cli)
    client = make_books_app(open_as="ann").test_client()
    path = "/close/us/2026-01/close"
    page = client.get("/close/us/2026-01").text
    assert 'name="anyway"' in page
    assert 'name="reason" required' in page
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    plain = client.post(path, data={"csrf_token": token}).text
    assert "entries due: 1 (tickmark recognize --through 2026-01); month = 2026-01: expected for us that money" in plain
    assert (
        "expected why it is closed" in client.post(path, data={"csrf_token": token, "anyway": "1", "reason": " "}).text
    )
    assert client.post(path, data={"csrf_token": token, "anyway": "1", "reason": "in a hurry"}).status_code == 302
    shown = client.get("/close?entity=us&month=2026-01").text
    assert "in a hurry" in shown
    assert "; ".join(UNDONE) in shown
    assert f"us: in a hurry; undone: {'; '.join(UNDONE)}" in client.get("/audit").text


def test_the_page_asks_for_none_where_all_is_done(cli: Cli, make_books_app: MakeApp) -> None:
    cli.post(*parties(), usage("u", "5.00", "2026-01-05"))
    page = make_books_app(open_as="ann").test_client().get("/close/us/2026-01").text
    assert "Close and seal 2026-01</button>" in page
    assert "anyway" not in page
