"""Closing a month waits for who posts, and nobody waits behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date

import pytest
from sqlalchemy import Engine, text

from ledger.database import locks
from ledger.errors import Refused
from ledger.intake.posting import post_lines
from revrec.kinds import TYPES
from tests.conftest import Cli, lines
from tests.samples import parties, usage
from tests.serving import MakeApp
from web.work import closing

MOMENT = 0.5
JANUARY = date(2026, 1, 1)


@contextmanager
def _posting(engine: Engine) -> Iterator[None]:
    """Somebody posts, and is not done."""
    with engine.begin() as connection:
        locks.share_books(connection)
        yield


def _post(engine: Engine, number: int) -> float:
    """Post a document; how long that took."""
    began = time.monotonic()
    with engine.begin() as connection:
        raw = lines([{"type": "customer", "id": f"n{number}", "name": "N"}]).encode()
        post_lines(connection, [raw], TYPES, "t", lambda problem, _: pytest.fail(str(problem)))
    return time.monotonic() - began


def _held(engine: Engine, order: list[str]) -> None:
    with engine.begin() as connection:
        locks.hold_books(connection)
        order.append("held")


def test_who_comes_after_it_does_not_wait(cli: Cli, engine: Engine) -> None:
    """A long file is posted, a close waits: ten documents are posted meanwhile, and none waits longer than the close stood in line."""
    cli.post(*parties())
    order: list[str] = []
    with ThreadPoolExecutor(1) as other:
        with _posting(engine):
            waiting = other.submit(_held, engine, order)
            time.sleep(2 * MOMENT)  # by now it waits beside the line
            took = [_post(engine, number) for number in range(10)]
            order.append("posted")
            assert not waiting.done()
            assert max(took) < locks._IN_LINE[1], "nobody stood in line before them"
        waiting.result(10)
    assert order == ["posted", "held"]


def test_short_ones_without_end_do_not_keep_it_out(cli: Cli, engine: Engine) -> None:
    """Two who post all the time, one of them always: in line for a moment, it comes in."""
    cli.post(*parties())
    done = threading.Event()

    def always() -> None:
        while not done.is_set():
            with _posting(engine):
                time.sleep(0.05)

    with ThreadPoolExecutor(5) as others:
        for _ in range(4):
            others.submit(always)
        try:
            others.submit(_held, engine, []).result(30)
        finally:
            done.set()


def test_it_says_who_it_waits_for(
    cli: Cli, engine: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_SAID", 0.2)
    cli.post(*parties())
    with ThreadPoolExecutor(1) as other:
        with _posting(engine):
            waiting = other.submit(_held, engine, [])
            time.sleep(2 * MOMENT)
        waiting.result(10)
    assert "waiting for who works on the books, for 0 s by now: process " in caplog.text


def test_who_may_not_wait_for_ever_is_told(cli: Cli, engine: Engine) -> None:
    """The server's requests wait a minute at most; what they were to do is not done, and can be asked again."""
    cli.post(*parties(), usage("u", "1.00", "2026-01-05"))
    hasty = engine.execution_options(patience=MOMENT)
    with _posting(engine), pytest.raises(Refused, match="books = busy: expected nobody else at work on them: process "):
        closing.close(hasty, ["us"], JANUARY, "t", anyway=True, reason="x")
    assert closing.close(hasty, ["us"], JANUARY, "t", anyway=True, reason="x")


def test_what_it_asked_in_line_is_asked_of_nothing_else(cli: Cli, engine: Engine) -> None:
    """The time limit of standing in line ends with it: later locks of the transaction are waited for as ever."""
    cli.post(*parties())
    with engine.begin() as connection:
        connection.execute(text("set local lock_timeout = '7s'"))
        with _posting(engine):
            assert not locks._try_books(connection, 0.05)
        assert connection.scalar(text("show lock_timeout")) == "7s"
        assert locks._try_books(connection, 0.05)
        assert connection.scalar(text("show lock_timeout")) == "7s"


def test_who_asks_again_with_the_same_key_is_asked_anew(
    cli: Cli, engine: Engine, make_books_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that could not be done for who posts is answered 503, and is no answer to keep for its Idempotency-Key."""
    monkeypatch.setattr("web.server._PATIENCE", MOMENT)
    cli.post(*parties())
    client = make_books_app(open_as="t").test_client()
    asked = {"json": {"month": "2026-01", "anyway": True, "reason": "x"}, "headers": {"Idempotency-Key": "k"}}
    with _posting(engine):
        answer = client.post("/v1/periods/us", **asked)
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert "expected nobody else at work on them: process " in answer.json["title"]
    assert answer.headers["Retry-After"] == "5"
    assert client.post("/v1/periods/us", **asked).status_code == 200
