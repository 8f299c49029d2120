"""What waits long, or costs much, is done for few at once: others are answered all the while, and told when to come again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests
from flask import Flask, jsonify
from sqlalchemy import Connection, Engine, text

from ledger.database import locks, places
from ledger.database.places import Places
from ledger.errors import Busy
from tests.conftest import Cli
from tests.samples import billed_usage, invoice, parties, usage
from tests.serving import MakeApp, served
from web.render import prints
from web.serving import gates, patience

MOMENT = 0.2


@pytest.fixture
def app(make_books_app: MakeApp) -> Flask:
    return make_books_app(open_as="tester")


@contextmanager
def _file_for(engine: Engine, *customers: str) -> Iterator[None]:
    """A long file is posted for these customers."""
    with engine.begin() as connection:
        locks.share_books(connection)
        locks.hold_customers(connection, customers)
        yield


def _post(address: str, number: int, customer: str = "globex", **how: str) -> requests.Response:
    return requests.post(
        f"{address}/v1/documents", json=usage(f"u{number}", "1.00", "2026-01-05", customer=customer, **how), timeout=30
    )


@pytest.mark.parametrize("how", [{}, {"reference": "r"}], ids=["by one statement", "the long way"])
def test_who_waits_for_a_long_file_leaves_threads_to_others(
    cli: Cli, engine: Engine, make_books_app: MakeApp, monkeypatch: pytest.MonkeyPatch, how: dict[str, str]
) -> None:
    monkeypatch.setattr("web.server._PATIENCE", 6)
    cli.post(*parties(), {"type": "customer", "id": "other", "name": "Other"})
    with served(make_books_app(open_as="t"), threads=8) as address, ThreadPoolExecutor(10) as many:
        with _file_for(engine, "globex"):
            waiting = [many.submit(_post, address, number, **how) for number in range(10)]
            time.sleep(4)
            told = [post.result() for post in waiting if post.done()]
            assert len(told) == 10 - patience.WAITING_MAX, "the others were told at once"
            began = time.monotonic()
            assert _post(address, 100, customer="other").status_code == 200
            assert requests.get(f"{address}/health", timeout=5).status_code == 200
            assert requests.get(f"{address}/v1/entries", timeout=5).status_code == 200
            assert time.monotonic() - began < 2
            told = [post.result() for post in waiting]
        assert {(answer.status_code, answer.headers["Retry-After"]) for answer in told} == {(503, "5")}
        assert _post(address, 0, **how).json()["posted"] == 1


def test_who_waits_for_less_than_that_is_answered(cli: Cli, engine: Engine, app: Flask) -> None:
    cli.post(*parties())
    with served(app, threads=8) as address, ThreadPoolExecutor(4) as many:
        with _file_for(engine, "globex"):
            waiting = [many.submit(_post, address, number) for number in range(4)]
            time.sleep(2)
            assert not any(post.done() for post in waiting)
        assert [post.result().status_code for post in waiting] == [200] * 4


def test_places_are_waited_for_as_long_as_they_come_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "LONG_SECONDS", 1.0)
    room = Places(1, "do this")
    free = threading.Event()

    def work() -> None:
        with room.one():
            free.wait(10)

    with ThreadPoolExecutor(2) as others:
        first: Future[None] = others.submit(work)
        time.sleep(MOMENT)
        second = others.submit(work)
        time.sleep(MOMENT)
        assert not second.done()
        free.set()
        first.result(5)
        second.result(5)
        free.clear()
        first = others.submit(work)
        time.sleep(1.5)
        with pytest.raises(Busy, match="expected no more than 1 at once to do this: try again later"), room.one():
            pass
        free.set()


def test_what_reads_for_too_long_is_told_so(
    engine: Engine, make_books_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "READ_SECONDS", MOMENT)
    app = make_books_app(open_as="t")

    def slow() -> object:
        with app.extensions["tickmark"].connect() as connection:
            return jsonify(_sleep(connection))

    app.add_url_rule("/v1/slow", view_func=app.extensions["csrf"].exempt(slow), methods=["GET", "POST"])
    answer = app.test_client().get("/v1/slow")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json["title"] == ("This takes longer than the 0.2 seconds that there are for it: ask for less of it.")
    assert app.test_client().post("/v1/slow").status_code == 200


def _sleep(connection: Connection) -> str:
    return str(connection.scalar(text(f"select pg_sleep({3 * MOMENT})::text")))


@pytest.mark.parametrize(
    ("room", "path"),
    [
        (gates.CHECKS, "/v1/periods/us/2026-01/checklist"),
        (gates.CHECKS, "/close/us/2026-01"),
        (gates.WORKBOOKS, "/exports/us/workbook"),
        (gates.REPORTS, "/v1/reports/trial-balance"),
        (gates.REPORTS, "/reports/trial-balance?format=csv"),
        (gates.REPORTS, "/"),
    ],
)
def test_what_costs_much_is_done_for_few_at_once(
    cli: Cli, app: Flask, monkeypatch: pytest.MonkeyPatch, room: Places, path: str
) -> None:
    monkeypatch.setattr(places, "LONG_SECONDS", MOMENT)
    cli.post(*parties(), usage("u", "1.00", "2026-01-05"))
    client = app.test_client()
    assert client.get(path, buffered=True).status_code == 200
    monkeypatch.setattr(room, "_count", 1)
    with room.one():
        time.sleep(2 * MOMENT)
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "expected no more than 1 at once to " in answer.text
    assert client.get(path, buffered=True).status_code == 200


def test_all_entries_are_sent_to_few_at_once(cli: Cli, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "LONG_SECONDS", MOMENT)
    monkeypatch.setattr(gates.REPORTS, "_count", 1)
    cli.post(*parties(), usage("u", "1.00", "2026-01-05"))
    client, lines = app.test_client(), {"Accept": "application/x-ndjson"}
    with client.get("/v1/entries", headers=lines, buffered=False) as under_way:
        time.sleep(2 * MOMENT)
        assert client.get("/v1/entries", headers=lines).status_code == 503
        assert under_way.status_code == 200
    assert client.get("/v1/entries", headers=lines).status_code == 200


def test_a_pdf_of_more_rows_than_are_made_in_seconds_is_refused(
    cli: Cli, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.post(*parties(), invoice("i", "2026-01-05", *(billed_usage("1.00", str(number)) for number in range(5))))
    monkeypatch.setattr(prints, "PDF_ROWS_MAX", 4)
    client = app.test_client()
    answer = client.get("/v1/print/invoice/i?format=pdf")
    assert answer.status_code == 422
    assert answer.json["title"].endswith("take it as html, or by `tickmark print`")
    assert client.get("/v1/print/invoice/i").status_code == 200


def test_what_changes_the_books_what_reads_them_and_health_have_their_own_threads(make_books_app: MakeApp) -> None:
    app = make_books_app(open_as="t")
    free = threading.Event()

    def slow() -> str:
        free.wait(20)
        return "done"

    app.add_url_rule("/v1/slow", view_func=app.extensions["csrf"].exempt(slow), methods=["GET", "POST"])
    with served(app, threads=1) as address, ThreadPoolExecutor(2) as others:
        try:
            others.submit(requests.post, f"{address}/v1/slow", timeout=30)
            time.sleep(MOMENT)
            assert requests.get(f"{address}/ready", timeout=5).status_code == 200
            others.submit(requests.get, f"{address}/v1/slow", timeout=30)
            time.sleep(MOMENT)
            assert requests.get(f"{address}/health", timeout=5).status_code == 200
        finally:
            free.set()
