"""A customer's own page: what its link shows, and that it shows nothing else, to nobody else, no longer."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta

import pytest
from cryptography.fernet import Fernet
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine

from tests.conftest import Cli
from tests.samples import grant, invoice, parties, prepaid, usage
from tests.serving import MakeApp
from web.pages import customer_link


@pytest.fixture
def app(make_books_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> Flask:
    monkeypatch.setenv("TICKMARK_SECRET_KEY", Fernet.generate_key().decode())
    return make_books_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def _books(cli: Cli) -> None:
    cli.post(
        *parties(), {"type": "customer", "id": "initech", "name": "Initech"},
        {"type": "entity", "id": "eu", "name": "Acme AI GmbH", "currency": "EUR"},
        grant("G", expires_on="2026-12-31"), invoice("I", "2026-01-01", prepaid("100.00")),
        usage("u1", "10.50", "2026-01-10", events="=meter.csv rows 1-9"), usage("u2", "4.25", "2026-01-10"), usage("u3", "30.00", "2026-01-11"),
        usage("u4", "7.00", "2026-02-01"), usage("u1b", "8.00", "2026-01-10", supersedes="u1"),
        usage("theirs", "666.00", "2026-01-10", customer="initech"),
        usage("euro", "777.00", "2026-01-10") | {"entity": "eu", "currency": "EUR"},
    )  # fmt: skip


def _path(cli: Cli, *options: str) -> str:
    url = cli.ok("link", "globex", "--entity", "us", *options).strip()
    assert url.startswith("http://127.0.0.1:8000/mine/")
    return url.removeprefix("http://127.0.0.1:8000")


def test_it_shows_what_was_used_and_what_is_left(cli: Cli, client: FlaskClient) -> None:
    _books(cli)
    page = client.get(f"{_path(cli)}?month=2026-01").text
    # 8.00 in place of 10.50, and 4.25; 30.00 on the next day; 49.25 of the 100.00 are drawn with February's 7.00
    assert "12.25" in page
    assert "42.25" in page
    assert "<strong>50.75</strong> USD left" in page
    assert "49.25 of 100.00 used" in page
    for hidden in ("666", "777", "Initech", "GmbH"):
        assert hidden not in page
    assert "7.00" in client.get(f"{_path(cli)}?month=2026-02").text
    rows = list(csv.reader(io.StringIO(client.get(f"{_path(cli)}/usage.csv?month=2026-01").text)))
    assert [row[1:5] for row in rows[1:]] == [
        ["u2", "tokens", "4.25", "1"],
        ["u1b", "tokens", "8.00", "1"],
        ["u3", "tokens", "30.00", "1"],
    ]
    assert client.get(f"{_path(cli)}?month=never").status_code == 422


def test_what_a_spreadsheet_would_run_is_text(cli: Cli, client: FlaskClient) -> None:
    cli.post(*parties(), usage("=1+1", "1.00", "2026-01-10", events="=cmd"))
    rows = list(csv.reader(io.StringIO(client.get(f"{_path(cli)}/usage.csv?month=2026-01").text)))
    assert (rows[1][1], rows[1][6]) == ("'=1+1", "'=cmd")


def test_a_link_opens_nothing_else(cli: Cli, client: FlaskClient, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    _books(cli)
    path = _path(cli)
    assert client.get(path).status_code == 200
    for other in ("/", "/customers/globex", "/v1/customers"):
        assert client.get(other).status_code in (302, 401)
    for wrong in (path[:-1], path + "x", "/mine/x", "/mine/" + path.removeprefix("/mine/").swapcase()):
        answer = client.get(wrong)
        assert answer.status_code == 404
        assert "This link is not valid" in answer.text
    monkeypatch.setenv("TICKMARK_SECRET_KEY", Fernet.generate_key().decode())
    assert client.get(path).status_code == 404
    monkeypatch.delenv("TICKMARK_SECRET_KEY")
    assert client.get(path).status_code == 404
    assert "TICKMARK_SECRET_KEY = missing" in cli.refused("link", "globex", "--entity", "us")


def test_a_link_is_in_no_log(
    cli: Cli, client: FlaskClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.post(*parties())
    caplog.set_level("INFO", logger="tickmark.requests")
    path = _path(cli)
    assert client.get(path).status_code == 200
    assert '"path": "/mine/..."' in caplog.text
    # there is no such page
    for wrong in (f"/x{path}", f"{path}/", f"{path}/elsewhere", path.replace("/mine", "/MINE")):
        assert client.get(wrong).status_code in (301, 308, 404)
    assert client.post(path).status_code == 405
    # nor where the server fails
    monkeypatch.setattr(customer_link, "_month", None)
    assert client.get(path).status_code == 500
    assert "GET '/mine/...' failed" in caplog.text
    assert path.removeprefix("/mine/") not in caplog.text


def test_a_link_ends_on_its_day(cli: Cli, client: FlaskClient, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    _books(cli)
    today = datetime.now(UTC).date()
    with engine.connect() as connection:
        path = customer_link.link(connection, "globex", "us", today + timedelta(days=1))

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # noqa: ARG003
            return datetime(today.year, today.month, today.day, 12, tzinfo=UTC) + timedelta(days=2)

    assert client.get(path).status_code == 200
    monkeypatch.setattr(customer_link, "datetime", Later)
    answer = client.get(path)
    assert answer.status_code == 404
    assert f"This link was valid until {today + timedelta(days=1)}." in answer.text


def test_a_link_is_of_somebody_and_not_for_ever(cli: Cli, app: Flask, engine: Engine) -> None:
    _books(cli)
    assert "customer = nobody: expected the id of a customer" in cli.refused("link", "nobody", "--entity", "us")
    assert "mars" in cli.refused("link", "globex", "--entity", "mars")
    with engine.connect() as connection, pytest.raises(customer_link.Refused, match="at most 366 days away"):
        customer_link.link(connection, "globex", "us", date(2099, 1, 1))
