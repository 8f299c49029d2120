"""Statements, paths and headers that come as values: they stay values, on every route and in every parameter.

A viewer of one entity asks; whatever it puts where a value stands, nothing of the other entity is shown, nothing is changed, no file of the
server is read, and the database does nothing it was told in a value.
"""

from __future__ import annotations

import http.client
import re
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, Engine, text

from ledger.database.schema.tables import metadata
from tests.conftest import Cli
from tests.samples import invoice, parties, service, usage
from tests.serving import MakeApp, served
from tests.test_access import _books, _routes, bearer, key
from tests.test_letters import of_any_letters

WEB = Path(__file__).parent.parent / "web"

# Each would show the other entity's figures, a marker, or move a number on, where it came to stand in a statement.
STATEMENTS = [
    "' or '1'='1", "' or 1=1 --", "us' or 'eu'='eu", "') or true --", '") or true --', "1 or 1=1", "1; select setval('entry_number', 999999)", "'; select setval('entry_number', 999999); --",
    "' || setval('entry_number', 999999) || '", "1) union select 'leak' || 'ed' --", "' union all select 'leak' || 'ed', null, null --", "$$; select 1; $$", "\\'; drop table posting; --",
    "%' or '%'='", "_%", "x' and (select count(*) from api_key) > 0 --", ":entity", "%(entity)s", "{ELSEWHERE}", "a\u02bc or 1=1", "\uff07 or 1=1",
]  # fmt: skip
PATHS = [
    "../../pyproject.toml", "..%2f..%2fpyproject.toml", "....//....//pyproject.toml", "/etc/passwd", "//etc/passwd", "..\\..\\pyproject.toml", "%2e%2e/%2e%2e/pyproject.toml",
    "tickmark.css/../../../pyproject.toml", "file:///etc/passwd", "~/.ssh/id_rsa", "con", "..", ".", "templates/base.html", "../server.py",
]  # fmt: skip
# What the other entity alone has, a marker that only a statement makes, what the files of the server say, and what a database complains of.
NEVER = (
    "other.grant",
    "other.contract",
    "other.obligation",
    "leaked",
    "root:x:",
    "[build-system]",
    "def make_app",
    "syntax error",
    "psycopg",
    "Traceback",
)


@pytest.fixture
def app(unlimited: None, cli: Cli, make_books_app: MakeApp) -> Flask:
    _books(cli)
    return make_books_app()


def _parameters() -> list[str]:
    """Every name of a query's field that a page or the API reads."""
    found: set[str] = set()
    for file in WEB.rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        found |= set(re.findall(r'request\.(?:args|values)(?:\.get\(|\[)"(\w+)"', source))
    return sorted(
        found
        | {
            "after",
            "limit",
            "entity",
            "customer",
            "product",
            "currency",
            "as_of",
            "from",
            "to",
            "known_at",
            "against",
            "q",
            "role",
            "format",
            "sort",
        }
    )


def _state(connection: Connection) -> dict[str, int]:
    """How many rows each table of the books has, and the last number an entry took."""
    tables = set(connection.execute(text("select tablename from pg_tables where schemaname = 'public'")).scalars())
    assert set(metadata.tables) <= tables
    last = connection.execute(text("select pg_sequence_last_value('entry_number')")).scalar_one()
    return {"last entry": last} | {
        name: connection.execute(text(f"select count(*) from {name}")).scalar_one()
        for name in metadata.tables
        if name not in ("api_key", "page_session")
    }


def _signed_in(app: Flask, headers: dict[str, str]) -> FlaskClient:
    """Who is shown the pages of one entity, and of no other."""
    client = app.test_client()
    form = client.get("/sign-in").text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form)
    client.post(
        "/sign-in",
        data={"key": headers["Authorization"].removeprefix("Bearer "), "csrf_token": token[1] if token else ""},
    )
    assert "books tie" in client.get("/").text
    assert client.get("/invoices/I").status_code == 200
    assert client.get("/invoices/E").status_code == 404
    return client


def _assert_harmless(said: str, asked: str, value: str) -> None:
    shown = said.replace(value, "")  # a refusal names what was found
    for never in NEVER:
        assert never not in shown, f"{asked}: {never}"


@pytest.mark.parametrize("part", range(4))
def test_a_value_stays_a_value_on_every_route(app: Flask, engine: Engine, owner: Connection, part: int) -> None:
    headers = bearer(key(engine, "viewer", "us"))
    client = _signed_in(app, headers)
    before = _state(owner)
    owner.rollback()
    asked = 0
    good_paths = {rule: path for method, rule, path in _routes(app) if method == "GET"}
    for value in [*STATEMENTS, *PATHS][part::4]:
        for rule in app.url_map.iter_rules():
            names = re.findall(r"<(?:\w+:)?(\w+)>", rule.rule) if rule.rule in good_paths else []
            for name in names:  # that one as given, the others as they should be
                parts = [
                    quote(value, safe="") if of.endswith(f"{name}>") else good
                    for of, good in zip(rule.rule.split("/"), good_paths[rule.rule].split("/"), strict=True)
                ]
                answer = client.get("/".join(parts), headers=headers)
                asked += 1
                assert answer.status_code < 500, parts
                _assert_harmless(answer.data.decode("utf-8", "replace"), "/".join(parts), value)
                answer.close()
    assert asked > 200
    assert _state(owner) == before


# One of each kind: every parameter of every route is asked with it.
@pytest.mark.parametrize("value", ["1'; select setval('entry_number', 999999); --", "%' or '%'='"])
def test_a_value_stays_a_value_in_every_parameter(app: Flask, engine: Engine, owner: Connection, value: str) -> None:
    headers = bearer(key(engine, "viewer", "us"))
    client = app.test_client()
    before = _state(owner)
    owner.rollback()
    names = _parameters()
    assert len(names) > 15
    paths = sorted(
        {path for method, rule, path in _routes(app) if method == "GET" and path.startswith(("/v1/", "/openapi"))}
    )
    signed_in = _signed_in(app, headers)
    pages = sorted(
        {
            path
            for method, rule, path in _routes(app)
            if method == "GET" and not path.startswith(("/v1/", "/openapi", "/static", "/metrics", "/print"))
        }
    )
    for who, where in ((client, paths), (signed_in, pages)):
        for path in where:
            for name in (
                names if path in ("/journal", "/v1/entries", "/figure", "/find") else names[:: len(where) % 3 + 1]
            ):
                answer = who.get(path, query_string={name: value}, headers=headers if who is client else None)
                assert answer.status_code < 500, (path, name)
                _assert_harmless(answer.data.decode("utf-8", "replace"), f"{path}?{name}", value)
                answer.close()
    assert _state(owner) == before


@pytest.mark.parametrize("path", [
    "/static/../../pyproject.toml", "/static/%2e%2e/%2e%2e/pyproject.toml", "/static/..%2f..%2fpyproject.toml", "/static//etc/passwd",
    "/static/%252e%252e/server.py", "/static/..%5c..%5cpyproject.toml", "/static/\x00tickmark.css", "/static/../server.py", "/../../etc/passwd",
    "//etc/passwd", "/v1/../../etc/passwd", "/static/tickmark.css%00.html", "/print/../../../etc/passwd", "/v1/jobs/1/../../../etc/passwd/file",
])  # fmt: skip
def test_no_path_leads_out_of_what_is_served(app: Flask, path: str) -> None:
    with served(app) as address:
        parts = urlsplit(address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=10)
        # as it stands: a client would tidy it up first
        connection.putrequest("GET", quote(path, safe="/%?"), skip_accept_encoding=True)
        connection.endheaders()
        answer = connection.getresponse()
        said = answer.read().decode("utf-8", "replace")
        connection.close()
    assert answer.status in (302, 308, 400, 401, 404), said[:200]
    _assert_harmless(said, path, path)


@pytest.mark.parametrize("ref", ['x"; filename="evil.sh', "../../x", "CON", "=cmd", "a;b", "\u202eexe.fdp"])
def test_what_is_downloaded_is_named_by_us(
    cli: Cli, app: Flask, engine: Engine, monkeypatch: pytest.MonkeyPatch, ref: str
) -> None:
    with of_any_letters(monkeypatch):
        cli.post(
            *parties(),
            invoice(ref, "2026-01-01", service("1.00", "2026-01-01", "2026-01-31")),
            usage("u9", "1.00", "2026-01-05"),
        )
    answer = app.test_client().get(
        f"/v1/print/invoice/{quote(ref, safe='')}", headers=bearer(key(engine, "viewer", "us"))
    )
    assert answer.status_code == 200, answer.text
    told = answer.headers.get("Content-Disposition", "")
    names = re.findall(r'filename="((?:[^"\\]|\\.)*)"|filename=([^;"]+)', told)
    for name in names:
        assert not re.search(r'[/\\"\n\r]', "".join(name)), told
    assert len(names) <= 1, told
    answer.close()
