"""How often who may ask: counted by key and by link in the database, over all processes; nobody is kept out by what others try."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, Engine, event, make_url, text

from ledger.database.connect import connect_engine
from tests.conftest import Cli
from tests.samples import parties
from tests.serving import MakeApp
from tests.test_access import bearer, key, sign_in
from web.access import limits
from web.pages import customer_link
from web.server import make_app


@pytest.fixture
def app(make_books_app: MakeApp) -> Flask:
    return make_books_app()


@pytest.fixture
def other_app(url: str) -> Iterator[Flask]:
    """The same books, served by another process as far as anything is kept."""
    engine = connect_engine(url)
    made = make_app(engine)
    yield made
    made.extensions["tickmark.jobs"].close()
    engine.dispose()


def _wrong(number: int = 1) -> str:
    return f"tm_{number}_{secrets.token_urlsafe(32)}"


def _ask(client: FlaskClient, given: str) -> Any:
    return client.get("/v1/rules", headers=bearer(given))


def _used(connection: Connection, name: str, hits: int) -> None:
    """Have a name counted so often already, within a minute."""
    connection.execute(
        text("insert into request_count values (:name, :hits, now() + interval '50 seconds')"),
        {"name": name, "hits": hits},
    )
    connection.commit()


# Keys that hold ---------------------------------------------------------------------------------------------------


def test_processes_count_a_key_together_on_pages_and_the_api(app: Flask, other_app: Flask, engine: Engine) -> None:
    given = key(engine)
    pages = other_app.test_client()
    sign_in(pages, given)
    for number in range(1, 5):
        asked = _ask(app.test_client(), given) if number % 2 else pages.get("/rules")
        assert asked.status_code == 200
        assert asked.headers["X-RateLimit-Remaining"] == str(600 - number)
    with engine.connect() as connection:
        assert connection.scalar(text("select hits from request_count where name like '%key 1%'")) == 4


def test_a_key_that_asked_too_often_is_told_when_to_go_on(app: Flask, engine: Engine, owner: Connection) -> None:
    busy, other = key(engine), key(engine)
    _ask(app.test_client(), busy)
    owner.execute(text("update request_count set hits = 600"))
    owner.commit()
    refused = _ask(app.test_client(), busy)
    assert (refused.status_code, refused.mimetype) == (429, "application/problem+json")
    assert 0 < int(refused.headers["Retry-After"]) <= 61
    assert _ask(app.test_client(), other).status_code == 200
    # a minute later
    owner.execute(text("update request_count set ends_at = now() - interval '1 second'"))
    owner.commit()
    assert _ask(app.test_client(), busy).headers["X-RateLimit-Remaining"] == "599"


def test_a_hit_is_one_statement(app: Flask, engine: Engine) -> None:
    given = key(engine)
    _ask(app.test_client(), given)
    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: sent.append(statement))
    assert _ask(app.test_client(), given).status_code == 200
    assert len([statement for statement in sent if "request_count" in statement]) == 1
    assert len(sent) == 2  # and who it is of


def test_hits_at_once_are_all_counted(app: Flask, engine: Engine) -> None:
    given = key(engine)
    with ThreadPoolExecutor(8) as pool:
        statuses = Counter(pool.map(lambda _: _ask(app.test_client(), given).status_code, range(60)))
    assert statuses == {200: 60}
    with engine.connect() as connection:
        assert connection.scalar(text("select sum(hits) from request_count")) == 60


def test_what_ended_is_forgotten(app: Flask, engine: Engine, owner: Connection) -> None:
    owner.execute(
        text("insert into request_count select 'n' || n, 1, now() - interval '1 second' from generate_series(1, 500) n")
    )
    owner.commit()
    _ask(app.test_client(), key(engine))
    assert owner.scalar(text("select count(*) from request_count")) == 1


def test_the_table_is_not_written_ahead(connection: Connection) -> None:
    assert connection.scalar(text("select relpersistence from pg_class where relname = 'request_count'")) == "u"


def test_the_storage_is_what_the_library_expects(app: Flask) -> None:
    with app.app_context():
        storage = limits.limiter.storage
        assert storage.check()
        assert [storage.incr("a", 60), storage.incr("a", 60, 3), storage.incr("b", 60)] == [1, 4, 1]
        assert storage.get("a") == 4
    with app.app_context():
        assert (storage.get("a"), storage.get("c")) == (4, 0)
        assert 50 < storage.get_expiry("a") - datetime.now(UTC).timestamp() <= 61
        storage.clear("a")
        assert storage.reset() == 1


# Keys that do not -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["of one that is there", "of none", "tm_1_short", "something else"])
def test_the_same_wrong_key_is_answered_ten_times_a_minute(app: Flask, engine: Engine, given: str) -> None:
    key(engine)
    given = {"of one that is there": _wrong(), "of none": _wrong(999)}.get(given, given)
    answers = [_ask(app.test_client(), given) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert answers[-1].mimetype == "application/problem+json"
    assert "expected at most 10 a minute of this wrong key" in answers[-1].json["title"]


def test_keys_that_are_guessed_are_limited_and_one_that_holds_is_let_in(
    app: Flask, other_app: Flask, engine: Engine
) -> None:
    good = key(engine)
    client = app.test_client()
    assert {_ask(client, _wrong()).status_code for _ in range(100)} == {401}
    for guessing in (app, other_app):
        refused = _ask(guessing.test_client(), _wrong())
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        # from the same address, by the API and by the pages
        assert _ask(guessing.test_client(), good).status_code == 200
        assert sign_in(guessing.test_client(), good).status_code == 302
    assert sign_in(client, _wrong()).status_code == 429


def test_who_guesses_beyond_the_limit_costs_three_small_statements(
    app: Flask, engine: Engine, owner: Connection
) -> None:
    _ask(app.test_client(), _wrong())
    owner.execute(text("update request_count set hits = 100 where name like '%wrong keys%'"))
    owner.commit()
    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: sent.append(statement))
    assert _ask(app.test_client(), "tm_x").status_code == 429
    assert [statement for statement in sent if "api_key" in statement] == []
    assert _ask(app.test_client(), _wrong()).status_code == 429
    assert len([statement for statement in sent if "api_key" in statement]) == 1


def test_a_wrong_key_on_the_pages_is_told_nothing_and_when_to_try_again(app: Flask, engine: Engine) -> None:
    client, wrong = app.test_client(), _wrong()
    for _ in range(10):
        answer = sign_in(client, wrong)
        assert answer.status_code == 401
        assert "This is no key that holds." in answer.text
    refused = sign_in(client, wrong)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert "expected at most 10 a minute of this wrong key" in refused.text
    assert sign_in(client, key(engine)).status_code == 302


def test_what_is_tried_is_kept_as_a_hash(app: Flask, engine: Engine) -> None:
    wrong = _wrong()
    _ask(app.test_client(), wrong)
    with engine.connect() as connection:
        names = connection.scalars(text("select name from request_count")).all()
    assert len(names) == 2
    assert not [name for name in names if wrong in name]


def test_without_a_key_nothing_is_counted(app: Flask, engine: Engine) -> None:
    client = app.test_client()
    for path in (
        "/health",
        "/ready",
        "/sign-in",
        "/openapi.json",
        "/static/tickmark.css",
        "/v1/rules",
        "/",
        "/nowhere",
    ):
        client.get(path).close()
    with engine.connect() as connection:
        assert connection.scalar(text("select count(*) from request_count")) == 0


def test_sign_ins_of_a_key_that_holds_are_counted_by_it(app: Flask, engine: Engine, owner: Connection) -> None:
    busy, other = key(engine), key(engine)
    assert sign_in(app.test_client(), busy).status_code == 302
    owner.execute(text("update request_count set hits = 60"))
    owner.commit()
    assert sign_in(app.test_client(), busy).status_code == 429
    assert sign_in(app.test_client(), other).status_code == 302


def test_a_customers_link_is_counted_by_itself(
    cli: Cli, app: Flask, engine: Engine, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKMARK_SECRET_KEY", "k" * 44)
    cli.post(*parties())
    today = datetime.now(UTC).date()
    with engine.connect() as connection:
        one, two = (customer_link.link(connection, "globex", "us", today + timedelta(days=days)) for days in (1, 2))
    client = app.test_client()
    assert client.get(one).status_code == 200
    owner.execute(text("update request_count set hits = 120"))
    owner.commit()
    assert client.get(one).status_code == 429
    assert client.get(two).status_code == 200
    before = owner.scalar(text("select count(*) from request_count"))
    assert client.get("/mine/guessed").status_code == 404
    assert owner.scalar(text("select count(*) from request_count")) == before


# A database that does not answer ----------------------------------------------------------------------------------


@pytest.fixture
def lost(url: str) -> Iterator[FlaskClient]:
    """An application whose database is gone."""
    engine = connect_engine(make_url(url).set(database="nowhere").render_as_string(hide_password=False))
    made = make_app(engine)
    yield made.test_client()
    made.extensions["tickmark.jobs"].close()
    engine.dispose()


@pytest.mark.parametrize("path", ["/v1/rules", "/v1/documents", "/metrics"])
def test_a_database_that_does_not_answer_is_told_in_words(
    lost: FlaskClient, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = lost.get(path, headers=bearer(_wrong()))
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert answer.json["title"] == "The database can't be used just now; the log says why."
    assert 'database "nowhere" does not exist' in caplog.text
    assert answer.headers["Retry-After"] == "5"
    assert "Traceback" not in caplog.text


def test_pages_of_a_database_that_does_not_answer_say_so(lost: FlaskClient, app: Flask, engine: Engine) -> None:
    assert lost.get("/health").status_code == 200
    assert lost.get("/ready").status_code == 503
    answer = sign_in(lost, _wrong())
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "The database can&#39;t be used just now" in answer.text
