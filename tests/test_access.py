"""Who may do what: every route, with every role, without a key, and with one that is wrong, expired, revoked or for other books."""

from __future__ import annotations

import io
import json
import logging
import re
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from tests.conftest import Cli
from tests.samples import contract, grant, invoice, obligation, parties, payment, prepaid, service, usage
from tests.serving import MakeApp
from web.access import keys
from web.work import export_jobs

ROLES = keys.ROLES
# What each method of a route needs; all else is to be seen by a viewer.
NEEDS = {
    ("POST", "/v1/documents"): "operator",
    ("POST", "/v1/drafts"): "operator",
    ("POST", "/v1/periods/<ref:entity>"): "controller",
    ("POST", "/v1/recognitions"): "controller",
    ("POST", "/v1/seals"): "controller",
    ("POST", "/v1/exports"): "controller",
    ("POST", "/v1/erasures"): "admin",
    ("GET", "/v1/keys"): "admin",
    ("POST", "/v1/keys"): "admin",
    ("DELETE", "/v1/keys/<int:key_id>"): "admin",
}
OPEN = {
    "/mine/<token>",
    "/mine/<token>/usage.csv",
    "/health",
    "/ready",
    "/sign-in",
    "/docs",
    "/openapi.json",
    "/static/<path:filename>",
}
EU = {"type": "entity", "id": "eu", "name": "Acme AI GmbH", "currency": "EUR"}


@pytest.fixture
def app(make_books_app: MakeApp) -> Flask:
    return make_books_app()


def key(engine: Engine, role: str = "admin", *entities: str, name: str = "someone") -> str:
    with engine.begin() as connection:
        return keys.create(connection, name, role, "tester", entities)


def bearer(given: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {given}"}


def _books(cli: Cli) -> None:
    """Books of two entities with one customer."""
    cli.post(
        *parties(), EU,
        {"type": "product", "id": "secret", "name": "Secret"},
        grant("G"), invoice("I", "2026-01-01", prepaid("100.00"), service("365.00", "2026-01-01", "2026-12-31", line="2")),
        usage("u1", "40.00", "2026-01-10"), payment("P", "100.00", "2026-01-12", ("I", "100.00")),
        contract("C", "2026-01-01", obligation("C-1", "500.00", "2026-01-01", "2026-06-30")),
        invoice("E", "2026-01-05", service("250.10", "2026-01-05", "2026-03-31")) | {"entity": "eu", "currency": "EUR"},
        grant("other.grant") | {"entity": "eu", "currency": "EUR"},
        contract("other.contract", "2026-01-01", obligation("other.obligation", "700.00", "2026-01-01", "2026-06-30")) | {"entity": "eu", "currency": "EUR"},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    cli.ok("seal")


def _jobs(app: Flask) -> None:
    """An export of each entity's, written."""
    hands = app.extensions["tickmark.jobs"]
    hands.ask(export_jobs.Asked("audit-gl", "us"), "tester")
    hands.ask(export_jobs.Asked("audit-gl", "eu"), "tester")
    hands.wait()


def _routes(app: Flask) -> list[tuple[str, str, str]]:
    """Every method of every route, with a path that leads somewhere."""
    values = {
        "name": "trial-balance", "ref": "invoice:I", "entry_id": "1", "entity": "us", "month": "2026-01", "target": "quickbooks",
        "key_id": "999", "kind": "invoice", "role": "cash", "account_id": "1", "step": "recognize", "number": "1", "token": "x", "filename": "tickmark.css",
    }  # fmt: skip
    found = []
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: values[match[1]], rule.rule)
        for folder, ref in (
            ("/invoices/", "I"),
            ("/print/invoice/", "I"),
            ("/customers/", "globex"),
            ("/contracts/", "C"),
        ):
            if path.startswith((folder, f"/v1{folder}")):
                path = path.replace("invoice:I", ref)
        if path.startswith("/documents/invoice/"):
            path = "/documents/invoice/I"
        found += [(method, rule.rule, path) for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})]
    return found


def _unzipped(content: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return "".join(archive.read(name).decode() for name in archive.namelist())


def _ask(client: FlaskClient, method: str, path: str, **more: Any) -> Any:
    return client.open(path, method=method, json={} if method == "POST" and path.startswith("/v1") else None, **more)


@pytest.mark.usefixtures("unlimited")
def test_without_a_key_nothing_is_shown(cli: Cli, app: Flask, engine: Engine) -> None:
    _books(cli)
    good = key(engine)
    wrong = [
        {}, bearer(""), bearer("tm_1_" + "x" * 43), bearer(good[:-1]), bearer(good + "x"), {"Authorization": f"Basic {good}"},
        bearer("tm_999999999999999999_" + good.rpartition("_")[2]), bearer("' or 1=1 --"),
    ]  # fmt: skip
    for method, rule, path in _routes(app):
        if rule in OPEN:
            continue
        for headers in wrong:
            answer = _ask(app.test_client(), method, path, headers=headers)
            if rule.startswith("/v1") or rule == "/metrics":
                assert answer.status_code == 401, (method, path, headers)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                if rule.startswith("/v1"):
                    assert answer.mimetype == "application/problem+json"
            elif method == "GET":
                assert answer.status_code == 302, (method, path)
                assert answer.headers["Location"].startswith("/sign-in?next=")
            else:  # a form of elsewhere
                assert answer.status_code in (302, 400), (method, path)
            assert "Globex" not in answer.text


@pytest.mark.parametrize("role", ROLES)
def test_every_route_asks_for_its_role(cli: Cli, app: Flask, engine: Engine, role: str) -> None:
    _books(cli)
    headers = bearer(key(engine, role))
    for method, rule, path in _routes(app):
        if not rule.startswith("/v1"):
            continue
        needed = NEEDS.get((method, rule), "viewer" if method == "GET" else None)
        assert needed is not None, f"{method} {rule} needs a role that is written down here"
        answer = _ask(app.test_client(), method, path, headers=headers)
        if ROLES.index(role) < ROLES.index(needed):
            assert answer.status_code == 403, (method, path)
            assert f"expected a key of the role {needed}: this is one of a {role}" in answer.json["title"]
        else:
            assert answer.status_code not in (401, 403), (method, path, answer.text)
            assert answer.status_code < 500


def test_a_key_ends_on_its_day_and_when_it_is_revoked(app: Flask, engine: Engine, owner: Connection) -> None:
    good = key(engine)
    client = app.test_client()
    assert client.get("/v1/rules", headers=bearer(good)).status_code == 200
    owner.execute(text("set session_replication_role = replica"))
    owner.execute(text("update api_key set expires_on = current_date - 1"))
    owner.commit()
    assert client.get("/v1/rules", headers=bearer(good)).status_code == 401
    other = key(engine)
    with engine.begin() as connection:
        keys.revoke(connection, int(other.split("_")[1]), "tester")
    assert client.get("/v1/rules", headers=bearer(other)).status_code == 401


def test_keys_are_kept_as_hashes_and_can_only_be_revoked(cli: Cli, engine: Engine) -> None:
    good = key(engine)
    with engine.connect() as connection:
        assert good.split("_", 2)[2] not in str(connection.execute(text("select * from api_key")).all())
    for change in ("role = 'admin'", "expires_on = '2099-01-01'", "name = 'x'", "revoked_at = null, revoked_by = null"):
        with pytest.raises(DBAPIError, match="a key can only be revoked"), engine.begin() as connection:
            connection.execute(text(f"update api_key set {change}"))
    listed = cli.ok("key", "list")
    assert "someone" in listed
    assert good not in listed
    assert cli.ok("key", "revoke", "1") == "key 1 is revoked\n"
    assert "key = 1: expected a key that holds: it was revoked on" in cli.refused("key", "revoke", "1")
    assert "key = 7: expected the number of a key" in cli.refused("key", "revoke", "7")
    assert "entity = mars: expected the id of an entity in the books" in cli.refused(
        "key", "create", "n", "--role", "viewer", "--entity", "mars"
    )
    told = cli.refused("key", "create", "Gra\u200bce", "--role", "viewer")
    assert "name = GraU+200Bce: expected a name of letters that can be seen: not U+200B ZERO WIDTH SPACE" in told
    assert "expires = 2020-01-01: expected today or later" in cli.refused(
        "key", "create", "n", "--role", "viewer", "--expires", "2020-01-01"
    )
    made = cli.run("key", "create", "meter feed", "--role", "operator")
    assert re.fullmatch(r"tm_\d+_[\w-]{43}", made.stdout.strip())


OTHERS = ("GmbH", "250.10", "other.contract", "invoice:E", '"E"', "other.grant", "700.00")


def test_a_key_for_one_entity_sees_nothing_of_another(cli: Cli, app: Flask, engine: Engine) -> None:
    _books(cli)
    _jobs(app)
    headers = bearer(key(engine, "viewer", "us"))
    client = app.test_client()
    for _, rule, path in _routes(app):
        if not rule.startswith("/v1") or ("GET", rule) in NEEDS or rule == "/v1/rules":
            continue
        answer = client.get(path, headers=headers)
        if rule == "/v1/erasures":
            assert answer.status_code == 403
            continue
        if answer.status_code == 405:
            continue
        assert answer.status_code == 200, (path, answer.text)
        assert not [word for word in OTHERS if word in answer.text], path
    for path in ("/v1/invoices/E", "/v1/trace/invoice:E", "/v1/trace/obligation:other.obligation", "/v1/periods/eu", "/v1/reports/summary?entity=eu",
                 "/v1/trace/TM-eu-2026-01", "/v1/exports/quickbooks?entity=eu", "/v1/invoices?entity=eu", "/v1/jobs/2", "/v1/jobs/2/file"):  # fmt: skip
        answer = client.get(path, headers=headers)
        assert answer.status_code == 404, (path, answer.text)
    with engine.connect() as connection:
        theirs = connection.scalars(
            text(
                "select distinct entry_id from posting join account using (customer_id) where entity = 'eu' and account_id = debit_account"
            )
        ).all()
    assert theirs
    for entry in theirs:
        assert client.get(f"/v1/entries/{entry}", headers=headers).status_code == 404
        assert client.get(f"/v1/trace/{entry}", headers=headers).status_code == 404
    listed = client.get("/v1/entries?limit=500", headers=headers).json["entries"]
    assert listed
    assert not {entry["entry"] for entry in listed} & set(theirs)
    assert client.get("/v1/reports/between-entities", headers=headers).status_code == 403
    two = bearer(key(engine, "viewer", "us", "eu"))
    assert "expected one of eu, us" in client.get("/v1/reports/summary", headers=two).json["title"]


def test_every_report_shows_a_key_only_its_entity(cli: Cli, app: Flask, engine: Engine) -> None:
    from web.work.reports import OF_ALL_ENTITIES, REPORTS

    _books(cli)
    headers = bearer(key(engine, "viewer", "us"))
    for name in REPORTS:
        if name in OF_ALL_ENTITIES:
            continue
        query = "?known_at=2026-01-01T00:00:00Z" if name == "changes" else ""
        answer = app.test_client().get(f"/v1/reports/{name}{query}", headers=headers)
        assert answer.status_code == 200, (name, answer.text)
        assert not [word for word in (*OTHERS, '"eu"', "EUR") if word in answer.text], (name, answer.text)


@pytest.mark.parametrize(
    "document",
    [
        invoice("X", "2026-01-05", service("1.00", "2026-01-05", "2026-01-05")) | {"entity": "eu", "currency": "EUR"},
        {"type": "invoice_void", "id": "X", "invoice": "E", "date": "2026-01-20", "reason": "x"},
        {"type": "credit_note", "id": "X", "invoice": "E", "date": "2026-01-20", "lines": [{"line": "1", "amount": "1.00"}]},
        {"type": "entity", "id": "mars", "name": "Mars", "currency": "USD"},
        {"type": "fx_rate", "id": "r", "date": "2026-01-01", "base": "EUR", "quote": "USD", "rate": "1.1"},
        {"type": "tax_code", "id": "t", "name": "T", "rate": "0.1"},
        {"type": "contract_modification", "id": "X", "contract": "other.contract", "date": "2026-01-15", "treatment": "prospective",
         "obligations": [obligation("other.obligation", "800.00", "2026-01-01", "2026-06-30")]},
        {"type": "gl_account", "id": "x", "entity": "eu", "role": "revenue", "code": "1", "name": "x"},
    ],
    ids=lambda document: document["type"],
)  # fmt: skip
def test_a_key_for_one_entity_posts_nothing_into_another(
    cli: Cli, app: Flask, engine: Engine, document: dict[str, Any]
) -> None:
    _books(cli)
    headers = bearer(key(engine, "operator", "us", name="feed"))
    before = cli.report("trial-balance")
    answer = app.test_client().post("/v1/documents", json=document, headers=headers)
    assert answer.status_code == 422, answer.text
    # what names another's, and what is another's, is told as what names nothing
    names, entity = {"invoice", "contract"} & document.keys(), "entity" in document
    told = (
        "id of an entity posted before"
        if entity
        else "of something of us in the books"
        if names
        else "for which this key is"
    )
    assert told in answer.text
    with engine.connect() as connection:
        assert not connection.scalar(text("select count(*) from document where posted_by = 'feed'"))
    assert cli.report("trial-balance") == before
    # it was that key, not the document
    assert app.test_client().post("/v1/documents", json=document, headers=bearer(key(engine))).status_code == 200
    good = app.test_client().post("/v1/documents", json=usage("mine", "1.00", "2026-01-20"), headers=headers)
    assert good.status_code == 200, good.text
    with engine.connect() as connection:
        assert connection.scalar(text("select count(*) from document where posted_by = 'feed'")) == 1


def test_every_write_names_who_did_it(cli: Cli, app: Flask, engine: Engine) -> None:
    _books(cli)
    client = app.test_client()
    controller = bearer(key(engine, "controller", name="Grace"))
    assert client.post("/v1/recognitions", json={"through": "2026-02"}, headers=controller).json["entries"] > 0
    assert client.post("/v1/seals", headers=controller).json["sealed"] > 0
    closed = client.post("/v1/periods/us", json={"month": "2026-01"}, headers=controller).json
    assert closed["closed_through"] == "2026-01-31"
    assert [(event["action"], event["by"]) for event in closed["history"]] == [("closed", "Grace")]
    again = client.post(
        "/v1/periods/us", json={"month": "2026-01", "reopen": True, "reason": "a late bill"}, headers=controller
    ).json
    assert (again["closed_through"], again["history"][-1]["reason"]) == ("2025-12-31", "a late bill")
    assert client.get("/v1/seals", headers=controller).json["rows"][-1]["sealed_by"] == "Grace"
    assert {entry["posted_by"] for entry in client.get("/v1/entries?after=5", headers=controller).json["entries"]} >= {
        "Grace"
    }
    admin = bearer(key(engine, "admin", name="Ada"))
    made = client.post("/v1/keys", json={"name": "auditor", "role": "viewer", "entities": ["us"]}, headers=admin)
    assert made.status_code == 201
    listed = client.get("/v1/keys", headers=admin).json
    assert [(row["name"], row["created_by"]) for row in listed][-1] == ("auditor", "Ada")
    assert made.json["key"] not in json.dumps(listed)
    number = listed[-1]["key"]
    assert client.delete(f"/v1/keys/{number}", headers=admin).status_code == 204
    assert client.get("/v1/rules", headers=bearer(made.json["key"])).status_code == 401


# Signing in ------------------------------------------------------------------------------------------------------


def _token(page: str) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert found
    return found[1]


def sign_in(client: FlaskClient, given: str, next: str = "") -> Any:  # noqa: A002 - the parameter's name
    page = client.get(f"/sign-in?next={next}")
    return client.post("/sign-in", data={"key": given, "next": next, "csrf_token": _token(page.text)})


def test_a_key_opens_the_pages_until_it_is_revoked(cli: Cli, app: Flask, engine: Engine) -> None:
    _books(cli)
    good = key(engine, "viewer", name="Auditor")
    client = app.test_client()
    answer = client.get("/reports/trial-balance?as_of=2026-01-31")
    assert answer.headers["Location"] == "/sign-in?next=/reports/trial-balance?as_of%3D2026-01-31"
    answer = sign_in(client, good, "/reports/trial-balance")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/reports/trial-balance")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert good not in cookie
    page = client.get("/")
    assert page.status_code == 200
    assert "Auditor, viewer" in page.text
    # a session is for pages: the API takes keys alone
    assert client.get("/v1/rules").status_code == 401
    with engine.begin() as connection:
        keys.revoke(connection, 1, "tester")
    assert client.get("/").status_code == 302


@pytest.mark.parametrize(
    "next_",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "\\\\evil", "/%0d%0aX: y"],
)
def test_signing_in_leads_nowhere_else(app: Flask, engine: Engine, next_: str) -> None:
    answer = sign_in(app.test_client(), key(engine), next_)
    assert answer.status_code == 302
    assert answer.headers["Location"] in ("/", "/%250d%250aX:%20y", "/%0d%0aX:%20y")
    assert "evil" not in answer.headers["Location"]


def test_over_https_cookies_go_over_nothing_else(make_books_app: MakeApp) -> None:
    client = make_books_app(https=True).test_client()
    page = client.get("/sign-in", base_url="https://localhost")
    assert "Secure" in page.headers["Set-Cookie"]
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_a_form_of_elsewhere_is_refused(app: Flask, engine: Engine) -> None:
    client = app.test_client()
    assert client.post("/sign-in", data={"key": key(engine)}).status_code == 400
    sign_in(client, key(engine))
    assert client.get("/").status_code == 200
    assert client.post("/sign-out").status_code == 400
    assert client.get("/").status_code == 200
    page = client.get("/rules")
    assert client.post("/sign-out", data={"csrf_token": _token(page.text)}).status_code == 302
    assert client.get("/").status_code == 302


def test_a_session_ends_wherever_its_cookie_is(app: Flask, engine: Engine) -> None:
    client, other, elsewhere = app.test_client(), app.test_client(), app.test_client()
    made = key(engine)
    sign_in(client, made)
    sign_in(other, made)
    kept = client.get_cookie("tickmark")
    assert kept
    elsewhere.set_cookie("tickmark", kept.value)
    assert elsewhere.get("/").status_code == 200
    assert client.post("/sign-out", data={"csrf_token": _token(client.get("/rules").text)}).status_code == 302
    assert elsewhere.get("/").status_code == 302
    assert other.get("/").status_code == 200  # a session of its own
    # the one before ends with the next sign-in, too
    before = other.get_cookie("tickmark")
    assert before
    sign_in(other, made)
    elsewhere.set_cookie("tickmark", before.value)
    assert (elsewhere.get("/").status_code, other.get("/").status_code) == (302, 200)


def test_a_session_ends_by_its_hour_and_is_cleared_away(app: Flask, engine: Engine, owner: Connection) -> None:
    client = app.test_client()
    made = key(engine)
    sign_in(client, made)
    ends = owner.scalar(text("select ends_at - now() from page_session"))
    assert timedelta(hours=11, minutes=59) < ends <= timedelta(hours=12)
    owner.execute(text("update page_session set ends_at = now() - interval '1 second'"))
    owner.commit()
    assert client.get("/").status_code == 302
    sign_in(client, made)
    assert owner.scalar(text("select count(*) from page_session")) == 1
    assert client.get("/").status_code == 200


def test_pages_of_a_key_for_one_entity_show_nothing_of_another(cli: Cli, app: Flask, engine: Engine) -> None:
    _books(cli)
    _jobs(app)
    client = app.test_client()
    sign_in(client, key(engine, "viewer", "us"))
    for method, rule, path in _routes(app):
        if rule.startswith("/v1") or rule in OPEN or method != "GET" or rule == "/metrics":
            continue
        if rule == "/audit":
            assert client.get(path).status_code == 403
            continue
        if rule.endswith("/workbook"):
            continue
        answer = client.get(f"{path}?role=cash" if rule == "/figure" else path)
        assert answer.status_code == 200, path
        said = _unzipped(answer.data) if rule.endswith(".zip") else answer.text
        assert not [word for word in OTHERS if word in said], path
    for path in ("/documents/invoice/E", "/invoices/E", "/ledger/eu/cash", "/reports/summary?entity=eu", "/?entity=eu", "/contracts/other.contract",
                 "/close?entity=eu", "/close/eu/2026-01", "/exports?entity=eu", "/exports/eu/workbook", "/journal?entity=eu", "/exports/jobs/2", "/exports/jobs/2/file"):  # fmt: skip
        assert client.get(path).status_code == 404, path
    assert "250.10" not in client.get("/find?q=E").text


# Limits, repetitions, what is logged -----------------------------------------------------------------------------


def test_a_key_may_not_ask_too_often(app: Flask, engine: Engine) -> None:
    first, second = bearer(key(engine)), bearer(key(engine))
    client = app.test_client()
    statuses = {client.get("/v1/rules", headers=first).status_code for _ in range(600)}
    assert statuses == {200}
    refused = client.get("/v1/rules", headers=first)
    assert refused.status_code == 429
    assert refused.mimetype == "application/problem+json"
    assert int(refused.headers["Retry-After"]) > 0
    assert "Retry-After" not in client.get("/v1/entries/99", headers=second).headers
    assert client.get("/v1/rules", headers=second).status_code == 200
    assert client.get("/health").status_code == 200


def test_a_repeated_request_is_answered_the_same_and_done_once(cli: Cli, app: Flask, engine: Engine) -> None:
    _books(cli)
    client = app.test_client()
    headers = bearer(key(engine)) | {"Idempotency-Key": "abc"}
    first = client.post("/v1/documents", json=usage("k1", "1.00", "2026-01-20"), headers=headers)
    again = client.post("/v1/documents", json=usage("k1", "1.00", "2026-01-20"), headers=headers)
    assert first.json["posted"] == again.json["posted"] == 1
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    other = client.post("/v1/documents", json=usage("k2", "1.00", "2026-01-20"), headers=headers)
    assert other.status_code == 422
    assert "it came with another request before" in other.json["title"]
    refused = bearer(key(engine)) | {"Idempotency-Key": "abc"}
    first = client.post("/v1/documents", json=usage("k3", "1.00", "never"), headers=refused)
    again = client.post("/v1/documents", json=usage("k3", "1.00", "never"), headers=refused)
    assert (first.status_code, first.json, first.mimetype) == (again.status_code, again.json, again.mimetype)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert client.post("/v1/seals", headers=headers | {"Idempotency-Key": "x" * 256}).status_code == 422


def test_a_request_under_way_is_not_begun_again(app: Flask, engine: Engine) -> None:
    given = key(engine)
    client = app.test_client()
    headers = bearer(given) | {"Idempotency-Key": "slow"}
    with engine.begin() as connection:
        assert client.post("/v1/seals", headers=headers).status_code == 200
        connection.execute(text("update api_request set status = null, answer = null"))
    assert client.post("/v1/seals", headers=headers).status_code == 409
    with engine.begin() as connection:
        connection.execute(text("update api_request set begun_at = now() - interval '6 minutes'"))
    assert client.post("/v1/seals", headers=headers).status_code == 200


def test_a_report_that_says_the_same_is_not_sent_again(cli: Cli, app: Flask, engine: Engine) -> None:
    _books(cli)
    client = app.test_client()
    headers = bearer(key(engine))
    first = client.get("/v1/reports/summary?entity=us", headers=headers)
    assert first.headers["ETag"]
    again = client.get("/v1/reports/summary?entity=us", headers=headers | {"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.text) == (304, "")
    cli.post(usage("k1", "1.00", "2026-01-20"))
    later = client.get("/v1/reports/summary?entity=us", headers=headers | {"If-None-Match": first.headers["ETag"]})
    assert later.status_code == 200


def test_lists_come_in_pages(cli: Cli, app: Flask, engine: Engine) -> None:
    _books(cli)
    cli.post(*(invoice(f"J{n:02}", "2026-01-03", service("1.00", "2026-01-03", "2026-01-03")) for n in range(25)))
    client = app.test_client()
    headers = bearer(key(engine))
    found: list[str] = []
    after = ""
    while True:
        page = client.get(f"/v1/invoices?limit=10{after}", headers=headers).json
        found += [row["id"] for row in page["rows"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert found == ["E", "I", *(f"J{n:02}" for n in range(25))]
    assert client.get("/v1/invoices?entity=eu", headers=headers).json["rows"] == [
        {"id": "E", "entity": "eu", "customer": "globex", "number": None, "currency": "EUR", "issued_on": "2026-01-05",
         "due_on": "2026-01-05", "total": "250.10", "master": None, "supersedes": None},
    ]  # fmt: skip
    for name in ("customers", "grants", "contracts", "obligations", "accounts", "documents"):
        rows = client.get(f"/v1/{name}", headers=headers).json["rows"]
        assert rows, name
    assert client.get("/v1/accounts?after=x", headers=headers).status_code == 422
    lines = client.get("/v1/entries", headers=headers | {"Accept": "application/x-ndjson"}).text.splitlines()
    with engine.connect() as connection:
        assert len(lines) == connection.scalar(text("select count(*) from entry"))
    assert [json.loads(line)["entry"] for line in lines] == sorted(json.loads(line)["entry"] for line in lines)


def test_the_examples_of_the_api_work(cli: Cli, app: Flask, engine: Engine) -> None:
    _books(cli)
    client = app.test_client()
    headers = bearer(key(engine))
    spec = client.get("/openapi.json").json
    assert spec["security"] == [{"key": []}]
    tried = []
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            if method == "parameters":
                continue
            assert {"401", "403", "429"} <= operation["responses"].keys(), path
            example = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
            if example is not None and path != "/v1/drafts":
                answer = client.open(
                    path.replace("{entity}", "us"), method=method.upper(), json=example, headers=headers
                )
                assert answer.status_code in (200, 201, 202), (path, answer.text)
                tried.append(path)
    assert sorted(tried) == [
        "/v1/documents",
        "/v1/erasures",
        "/v1/exports",
        "/v1/keys",
        "/v1/periods/{entity}",
        "/v1/recognitions",
    ]


def test_it_says_whether_it_lives_can_work_and_how_busy_it_is(
    cli: Cli, app: Flask, engine: Engine, owner: Connection
) -> None:
    _books(cli)
    client = app.test_client()
    assert client.get("/health").json == {"status": "alive"}
    assert client.get("/ready").json["status"] == "ready"
    headers = bearer(key(engine, "viewer"))
    client.get("/v1/rules", headers=headers)
    shown = client.get("/metrics", headers=headers).text
    assert 'tickmark_requests_total{endpoint="v1.Rules",method="GET",status="200"} 1.0' in shown
    assert re.search(r"^tickmark_last_entry [1-9]", shown, re.MULTILINE)
    owner.execute(text("update alembic_version set version_num = '0001'"))
    owner.commit()
    waiting = client.get("/ready")
    assert waiting.status_code == 503
    assert "run `tickmark db upgrade`" in waiting.json["expected"]


def test_each_request_is_logged_with_its_number_and_no_secret(
    app: Flask, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="tickmark.requests")
    good = key(engine, name="Grace")
    answer = app.test_client().get("/v1/rules", headers=bearer(good) | {"X-Request-Id": "my-7"})
    assert answer.headers["X-Request-Id"] == "my-7"
    said = json.loads(caplog.records[-1].getMessage())
    assert said | {"ms": 0} == {
        "request": "my-7",
        "method": "GET",
        "path": "/v1/rules",
        "status": 200,
        "ms": 0,
        "who": "Grace",
    }
    assert good not in caplog.text
    odd = app.test_client().get("/health", headers={"X-Request-Id": "x" * 101})
    assert len(odd.headers["X-Request-Id"]) == 16


def test_open_is_for_this_machine_alone(cli: Cli) -> None:
    assert "--open is for this machine alone" in cli.run("serve", "--open", "--host", "192.0.2.1").output
