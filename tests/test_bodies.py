"""Bodies of many documents: bounded in what they take, and in what is answered."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from ledger.errors import InvalidDocument
from tests.samples import parties
from tests.serving import MakeApp
from web import access, bodies


@pytest.fixture
def headers(engine: Engine) -> dict[str, str]:
    with engine.begin() as connection:
        return {"Authorization": f"Bearer {access.create(connection, 'feed', 'admin', 'tester', ())}"}


def test_the_first_hundred_things_are_told_and_how_many_more(
    engine: Engine, make_books_app: MakeApp, headers: dict[str, str]
) -> None:
    wrong = [{"type": "x", "id": str(number)} for number in range(250)]
    answer = make_books_app().test_client().post("/v1/documents", json=[*parties(), *wrong], headers=headers)
    assert answer.status_code == 422
    assert answer.json is not None
    assert (len(answer.json["problems"]), answer.json["more"]) == (100, 150)
    with engine.connect() as connection:
        assert connection.scalar(text("select count(*) from document")) == 0


@pytest.mark.parametrize(
    "broken", ['{"type": "customer"', "1,,2", '{"type": "customer", "id": "c"}] [', '{"a": 1} {"b": 2}']
)
def test_an_array_that_is_none_is_refused_whole(make_books_app: MakeApp, headers: dict[str, str], broken: str) -> None:
    """Also where what comes first of it could be posted."""
    body = "[" + json.dumps(parties()[0]) + ",\n" + broken
    answer = make_books_app().test_client().post(
        "/v1/documents", data=body, content_type="application/json", headers=headers
    )  # fmt: skip
    assert answer.status_code == 422
    assert answer.json is not None
    assert [problem["line"] for problem in answer.json["problems"]] == [1]


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        " [ ] ",
        '[{"type": "customer", "id": "c", "name": "C"} ]',
        '\ufeff[{"type":"customer","id":"c","name":"C"}]',
    ],
)
def test_what_is_an_array(make_books_app: MakeApp, headers: dict[str, str], body: str) -> None:
    answer = make_books_app().test_client().post(
        "/v1/documents", data=body.encode(), content_type="application/json", headers=headers
    )  # fmt: skip
    assert (answer.status_code, answer.json and answer.json["posted"]) == (200, body.count("customer"))


@pytest.mark.parametrize("mimetype", ["application/json", bodies.NDJSON])
def test_too_many_are_refused(
    make_books_app: MakeApp, headers: dict[str, str], mimetype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "DOCUMENTS_MAX", 3)
    four = [{"type": "customer", "id": str(number), "name": "C"} for number in range(4)]
    body = json.dumps(four) if mimetype == "application/json" else "".join(json.dumps(doc) + "\n" for doc in four)
    answer = make_books_app().test_client().post("/v1/documents", data=body, content_type=mimetype, headers=headers)
    assert answer.status_code == 422
    assert answer.json is not None
    assert answer.json["expected"].startswith("expected at most 3 in a request: nothing was posted")


@pytest.mark.parametrize("mimetype", ["application/json", bodies.NDJSON])
def test_many_small_documents_take_no_more_than_the_body_does(mimetype: str) -> None:
    small = '{"type":"x","id":"1"}'
    body = f"[{','.join([small] * 100_000)}]" if mimetype == "application/json" else f"{small}\n" * 100_000
    with Flask(__name__).test_request_context(method="POST", data=body, content_type=mimetype):
        tracemalloc.start()
        count = sum(1 for _ in bodies.lines())
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert count == 100_000
    assert most < 5 * len(body)


def test_an_empty_body_is_refused() -> None:
    with (
        Flask(__name__).test_request_context(method="POST", data=" ", content_type="application/json"),
        pytest.raises(InvalidDocument, match="expected a document, or an array of them"),
    ):
        list(bodies.lines())
