"""Texts that no database keeps, and names that no header holds: told in words, or sent as they are, wherever they come in."""

from __future__ import annotations

import json

import pytest
from flask import Flask
from sqlalchemy import Engine, text
from werkzeug.http import parse_options_header

from ledger.letters import as_kept, can_be_kept
from tests.conftest import Cli
from tests.samples import billed_usage, invoice, parties
from tests.serving import MakeApp
from web.work import export_jobs

NO_TEXTS = ["ac\0me", "\0"]


@pytest.fixture
def app(make_books_app: MakeApp) -> Flask:
    made = make_books_app(open_as="Grace")
    made.config["WTF_CSRF_ENABLED"] = False
    return made


@pytest.mark.parametrize("path", ["/exports", "/close/us/2026-01/close", "/tables/xlsx", "/sign-in"])
@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data"])
@pytest.mark.parametrize("form", [{"entity": "ac\0me"}, {"na\0me": "x"}])
def test_a_form_is_looked_at_as_json_is(
    cli: Cli, app: Flask, path: str, content_type: str, form: dict[str, str]
) -> None:
    cli.post(*parties())
    answer = app.test_client().post(path, data=form, content_type=content_type)
    assert answer.status_code == 400
    assert "expected text without NUL and halves of characters" in answer.text


@pytest.mark.parametrize("path", ["/v1/keys", "/v1/recognitions", "/v1/exports", "/v1/periods/us", "/v1/erasures"])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"a":' * 100_000, "expected JSON that is less deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "expected numbers of fewer digits"),
    ],
    ids=["deep", "long"],
)
def test_json_that_cannot_be_read_is_refused_in_words(app: Flask, path: str, body: bytes, said: str) -> None:
    answer = app.test_client().post(path, data=body, content_type="application/json")
    assert answer.status_code == 400
    assert said in answer.text


@pytest.mark.parametrize("cell", ["\ud800", "a\udfffb", "\0"])
def test_a_table_with_no_text_is_refused(app: Flask, cell: str) -> None:
    answer = app.test_client().post("/tables/xlsx", data={"rows": json.dumps([["a"], [cell]])})
    assert answer.status_code == 422
    assert "expected the rows of a table, each a list of texts" in answer.text


@pytest.mark.parametrize("mapping", ['[fields]\nsubsidiary = "\\u0000"', '[codes]\n"a\\u0000" = "x"', "a\0"])
def test_a_mapping_with_no_text_is_refused_in_words(cli: Cli, app: Flask, mapping: str) -> None:
    cli.post(*parties(), invoice("i", "2026-01-05", billed_usage("1.00")))
    client = app.test_client()
    answer = client.post("/v1/exports", json={"entity": "us", "target": "zoho-csv", "mapping": mapping})
    if answer.status_code == 400:
        assert answer.json["title"] == "expected text without NUL and halves of characters"
        return
    app.extensions["tickmark.jobs"].wait()
    job = client.get(f"/v1/jobs/{answer.json['job']}").json
    assert job["state"] == "failed"
    assert "expected texts without NUL" in job["said"]


@pytest.mark.parametrize("error", [ValueError("\0"), KeyError("x"), RuntimeError("whatever it is")])
def test_whatever_goes_wrong_with_a_job_is_kept(
    cli: Cli, app: Flask, monkeypatch: pytest.MonkeyPatch, error: Exception, engine: Engine
) -> None:
    cli.post(*parties())

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(export_jobs.Jobs, "_write", fail)
    client = app.test_client()
    number = client.post("/v1/exports", json={"entity": "us", "target": "beancount"}).json["job"]
    app.extensions["tickmark.jobs"].wait()
    assert client.get(f"/v1/jobs/{number}").json["said"] == "the server failed; its log says why"
    with engine.begin() as connection:
        connection.execute(text("update export_job set state = 'running', ended_at = null"))
    app.extensions["tickmark.jobs"]._fail(number, "a\0b\ud800")
    assert client.get(f"/v1/jobs/{number}").json["said"] == "aU+0000bU+D800"


def test_what_can_be_kept() -> None:
    assert can_be_kept({"a": ["b", 1, None, "\N{GRINNING FACE}"]})
    assert not any(can_be_kept(said) for said in ("\0", ["\ud800"], {"\0": 1}, {"a": [{"b": "\udfff"}]}))
    assert can_be_kept(as_kept("a\0\ud800"))


@pytest.mark.parametrize("path", ["/health", "/sign-in", "/nope", "/", "/static/tickmark.css", "/v1/rules", "/v1/nope"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "a\u00e9b", ""])
def test_another_name_is_refused_in_words(make_books_app: MakeApp, path: str, host: str) -> None:
    answer = make_books_app().test_client().get(path, headers={"Host": host})
    assert answer.status_code == 400
    assert "expected a request by a name of this server (tickmark serve --name), and not by " in answer.text
    assert answer.headers["X-Request-Id"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.mimetype == ("application/problem+json" if path.startswith("/v1") else "text/plain")


@pytest.mark.parametrize("ref", ["Rechnung-1", "Счёт-1", "請求書-1", "Ñ-1"])
def test_a_pdf_of_any_id_is_sent(cli: Cli, app: Flask, ref: str) -> None:
    pytest.importorskip("weasyprint")
    cli.post(*parties(), invoice(ref, "2026-01-05", billed_usage("1.00")))
    answer = app.test_client().get(f"/v1/print/invoice/{ref}?format=pdf")
    assert answer.status_code == 200
    named = answer.headers["Content-Disposition"]
    assert named.isascii()
    assert parse_options_header(named) == ("inline", {"filename": f"invoice-{ref.lower()}.pdf"})
