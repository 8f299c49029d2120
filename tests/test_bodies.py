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
from web.access import keys
from web.api import bodies


@pytest.fixture
def headers(engine: Engine) -> dict[str, str]:
    with engine.begin() as connection:
        return {"Authorization": f"Bearer {keys.create(connection, 'feed', 'admin', 'tester', ())}"}


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


@pytest.mark.parametrize("path", ["/v1/documents", "/v1/drafts"])
@pytest.mark.parametrize("filled", ["[],", '"a",'])
@pytest.mark.parametrize(
    "around", [("[", "]"), ('{"type": "invoice", "id": "x", "lines": [', "]}")], ids=["list", "document"]
)
@pytest.mark.parametrize("first", ["", '{"type": "customer", "id": "c", "name": "C"},'])
def test_what_is_longer_than_a_document_is_refused_before_it_is_made(
    make_books_app: MakeApp, headers: dict[str, str], path: str, filled: str, around: tuple[str, str], first: str
) -> None:
    begin, end = around
    body = f"[{first}{begin}{filled * (9_000_000 // len(filled))}{filled[:-1]}{end}]"
    client = make_books_app().test_client()
    tracemalloc.start()
    try:
        answer = client.post(path, data=body.encode(), content_type="application/json", headers=headers)
        assert tracemalloc.get_traced_memory()[1] < 120_000_000
    finally:
        tracemalloc.stop()
    assert answer.status_code == 422
    assert answer.json is not None
    assert answer.json["title"] == f"expected document {2 if first else 1} to be of at most 1,000,000 bytes"


@pytest.mark.parametrize("path", ["/v1/documents", "/v1/drafts"])
def test_a_document_by_itself_that_is_too_long_is_refused_before_it_is_made(
    make_books_app: MakeApp, headers: dict[str, str], path: str
) -> None:
    body = b'{"type": "invoice", "id": "x", "lines": [' + b"{}," * 3_000_000 + b"{}]}"
    client = make_books_app().test_client()
    tracemalloc.start()
    try:
        answer = client.post(path, data=body, content_type="application/json", headers=headers)
        assert tracemalloc.get_traced_memory()[1] < 120_000_000
    finally:
        tracemalloc.stop()
    assert answer.status_code == 422
    assert "expected a document of at most 1,000,000 bytes" in answer.text


@pytest.mark.parametrize("length", [10, 999_990, 1_000_000 - 2])
def test_elements_are_the_same_wherever_a_part_ends(length: int) -> None:
    said = ["a" * length, 1, -2.5e10, {"b": [True, None, '\\"\u00e9']}] * 6
    assert list(bodies.elements(json.dumps(said))) == said
    assert list(bodies.elements(json.dumps(said, indent=3))) == said
    with pytest.raises(bodies.TooLong, match="in element 2"):
        list(bodies.elements(json.dumps([1, "a" * 1_000_000])))
    with pytest.raises(ValueError, match="Expecting value"):
        list(bodies.elements("[1, x" + " " * 5_000_000))
