"""What a client, a browser or a page of elsewhere may ask that nothing in order would: an answer in words each, and nothing done."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from tests.conftest import Cli
from tests.samples import parties, usage
from tests.serving import MakeApp
from web.access import keys


@pytest.fixture
def books(cli: Cli) -> None:
    cli.post(*parties(), usage("u", "5.00", "2026-01-05"))


@pytest.fixture
def opened(books: None, make_books_app: MakeApp) -> FlaskClient:
    """One who is let in as on one's own machine."""
    return make_books_app(open_as="me").test_client()


@pytest.fixture
def headers(books: None, engine: Engine) -> dict[str, str]:
    with engine.begin() as connection:
        return {"Authorization": f"Bearer {keys.create(connection, 'someone', 'admin', 'tester', ())}"}


@pytest.mark.parametrize(
    "elsewhere", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_page_of_elsewhere_writes_nothing(opened: FlaskClient, engine: Engine, elsewhere: dict[str, str]) -> None:
    refused = opened.post("/v1/seals", headers={"Content-Type": "text/plain", **elsewhere})
    assert refused.status_code == 403
    with engine.connect() as connection:
        assert connection.scalar(text("select count(*) from seal")) == 0
    assert opened.post("/v1/seals", headers={"Origin": "http://localhost"}).status_code == 200
    # to read is nobody's harm: what comes back is not shown to the other page
    assert opened.get("/v1/reports/summary", headers=elsewhere).status_code == 200


@pytest.mark.parametrize("path", ["/", "/reports/summary", "/v1/reports/summary", "/find?q=globex"])
def test_nobody_keeps_what_is_in_the_books(opened: FlaskClient, path: str) -> None:
    assert opened.get(path).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/v1/seals?after=\N{SUPERSCRIPT TWO}", "/v1/accounts?after=\N{SUPERSCRIPT TWO}",
                                  "/v1/accounts?after=\N{ARABIC-INDIC DIGIT ONE}"])  # fmt: skip
def test_digits_that_are_none_of_ours_are_refused(opened: FlaskClient, path: str) -> None:
    answer = opened.get(path)
    assert answer.status_code == 422
    assert "expected `next` of the page before" in answer.text


@pytest.mark.parametrize("path", ["/find?q=\N{SUPERSCRIPT TWO}", "/journal?before=\N{SUPERSCRIPT TWO}"])
def test_nothing_is_found_by_them(opened: FlaskClient, path: str) -> None:
    assert opened.get(path).status_code == 200


@pytest.mark.parametrize("path", [
    "/v1/reports/schedule?as_of=9999-12-31", "/v1/reports/remaining-obligations?as_of=9999-12-31", "/?as_of=9999-12-31", "/?as_of=0001-01-01",
    "/reports/summary?against=0001-01-01", "/ledger/us/revenue?as_of=9999-12-31&known_at=0001-01-01", "/ledger/us/revenue?known_at=0001-01-01",
])  # fmt: skip
def test_days_that_no_books_reach_are_refused(opened: FlaskClient, path: str) -> None:
    answer = opened.get(path)
    assert 400 <= answer.status_code < 500
    assert "expected a day from 1970-01-01 to 2199-12-31" in answer.text or "expected a moment such as" in answer.text


@pytest.mark.parametrize("said", ["a\\u0000b", "a\\ud800b"])
@pytest.mark.parametrize(("path", "body"), [
    ("/v1/keys", '{"name": "SAID", "role": "viewer"}'), ("/v1/erasures", '{"customer": "globex", "reason": "SAID"}'),
    ("/v1/erasures", '{"customer": "SAID", "reason": "x"}'), ("/v1/exports/json", '{"entity": "SAID"}'),
])  # fmt: skip
def test_what_is_no_text_is_refused(
    make_books_app: MakeApp, headers: dict[str, str], path: str, body: str, said: str
) -> None:
    answer = make_books_app().test_client().post(
        path, data=body.replace("SAID", said), headers=headers, content_type="application/json"
    )  # fmt: skip
    assert answer.status_code == 400
    assert "expected text without NUL" in answer.text


def test_a_statement_that_fails_is_logged_without_what_it_said(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(DBAPIError) as failed:
        connection.execute(text("select cast(:secret as integer)"), {"secret": "tm_secret"})
    assert "[SQL parameters hidden" in str(failed.value)
