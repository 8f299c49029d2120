"""What nobody should send: always a clear refusal or a document that is kept whole; never a trace, and nothing posted of what is refused."""

from __future__ import annotations

import copy
import io
import json
import os
from typing import Any

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from ledger.database.connect import connect_engine
from ledger.errors import Problem, Refused
from revrec.kinds import TYPES
from tests.conftest import Cli
from tests.samples import contract, grant, invoice, obligation, parties, payment, prepaid, promotion, service, usage
from tests.serving import MakeApp
from tests.test_letters import of_any_letters
from tests.test_properties import fresh  # noqa: F401 - a fixture
from web.work.post_file import How, post_file

EXAMPLES = int(os.environ.get("TICKMARK_EXAMPLES", "1"))
GOOD: list[dict[str, Any]] = [
    *parties(), grant("G"), promotion("P", "5.00"), invoice("I", "2026-01-01", prepaid("100.00"), service("12.00", "2026-01-01", "2026-01-31", "2")),
    usage("u", "1.00", "2026-01-05"), payment("M", "10.00", "2026-01-05", ("I", "10.00")),
    contract("C", "2026-01-01", obligation("C-1", "500.00", "2026-01-01", "2026-06-30")),
    {"type": "details", "id": "d", "customer": "globex", "date": "2026-01-01", "name": "Globex", "address": ["1 Main Street"]},
    {"type": "credit_note", "id": "N", "invoice": "I", "date": "2026-01-10", "lines": [{"line": "2", "amount": "1.00"}]},
]  # fmt: skip

# Kept: what broke something once, or would break one that reads numbers, texts and dates as they come.
CORPUS: list[Any] = [
    "1e5", "1E+2", "-0", "-0.00", "+1", "01.5", "1.", ".5", "1,000.00", "0x10", "NaN", "Infinity", "-Infinity", "nan", "\u0661\u0662\u0663", "\uff11\uff12",
    "1_000", "9" * 39, "9" * 41, "0." + "0" * 38 + "1", "1" + "0" * 60, "", " ", " 1.00", "1.00 ", "1.00\n", "1\x00", "\x00", "\u202e1.00", "\ufeff1.00",
    "2026-02-30", "2026-13-01", "0000-01-01", "9999-12-31", "10000-01-01", "1899-12-31", "2026-1-1", "20260101", "2026-01-01T00:00:00", "2026-W01-1",
    "=1+1", "@SUM(A1)", "-2+3", "\tx", "../../etc/passwd", "'; drop table posting; --", "%s%n", "{{7*7}}", "<script>alert(1)</script>", "a" * 2_001, "a" * 100_000,
    "\ud800", "e\u0301", "\u00e9", "\u200b", "~house", None, True, False, 0, 1, -1, 1.5, 10**400, [], {}, [[]], [None], {"a": 1}, [{}], "CON", "globex/../x",
]  # fmt: skip


def _places(document: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a document in which something stands."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    found = [] if not at else [at]
    for key, value in inner:
        found += _places(value, (*at, key))
    return found


def _put(document: dict[str, Any], at: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    place: Any = changed
    for key in at[:-1]:
        place = place[key]
    place[at[-1]] = value
    return changed


def _post(connection_url: str, raw: bytes) -> tuple[list[Problem], int]:
    """Post what there is, past refusals: what was wrong, and how much was posted."""
    engine = connect_engine(connection_url)
    problems: list[Problem] = []
    try:
        posted = post_file(
            engine, io.BytesIO(raw), TYPES, "fuzz", lambda problem, _raw: problems.append(problem), How(keep_going=True)
        )
    except Refused as refused:
        return [refused.problem("", 0)], 0
    else:
        return problems, posted.outcome.posted
    finally:
        engine.dispose()


PLACES = [(number, at) for number, document in enumerate(GOOD) for at in _places(document)]


@settings(max_examples=25 * EXAMPLES)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.integers(0, len(CORPUS) - 1)), min_size=20, max_size=60))
def test_what_stands_where_something_else_should_is_refused_in_words(
    url: str, changes: list[tuple[tuple[int, tuple[Any, ...]], int]]
) -> None:
    documents = [_put(GOOD[number], at, CORPUS[which]) for (number, at), which in changes]
    raw = b"".join(json.dumps(document).encode("utf-8", "surrogatepass") + b"\n" for document in documents)
    problems, posted = _post(url, raw)
    for problem in problems:
        assert problem.expected, problem
        said = str(problem)
        assert "Traceback" not in said
        assert "psycopg" not in said
        assert len(said) < 2_000
    assert posted + len({problem.line for problem in problems}) <= len(documents)


@settings(max_examples=25 * EXAMPLES)
@given(st.lists(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda s: s.encode("utf-8", "surrogatepass")),
       st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
                    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=10), inner, max_size=3)), max_leaves=8)
       .map(lambda value: json.dumps(value).encode())), min_size=1, max_size=30))  # fmt: skip
def test_bytes_that_are_no_documents_are_refused_in_words(url: str, parts: list[bytes]) -> None:
    problems, posted = _post(url, b"\n".join(parts))
    assert posted == 0
    assert all(problem.expected for problem in problems)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"type": "product", "id": "p", "name": "' + b"x" * 10_000_000 + b'"}', "1,000,000 bytes"),
        (b"[" * 100_000, "expected"), (b'{"a":' * 50_000, "expected"), (b'{"type": "product", "id": "p", "id": "q", "name": "x"}', "expected each field once"),
        (b'{"type": "product", "id": "\xff\xfe", "name": "x"}', "UTF-8"), (b'{"type": "product", "id": "p", "name": "x"} {}', "expected"),
        (b'{"type": "product", "id": "p", "name": 1' + b"0" * 5_000 + b"}", "expected"), (b"\x1f\x8b\x08\x00" + b"\x00" * 50, "expected"),
        (b"PK\x03\x04" + b"\x00" * 50, "expected"),
    ],
    ids=["10 MB field", "deep list", "deep object", "repeated key", "no UTF-8", "two objects", "huge number", "gzip", "zip"],
)  # fmt: skip
def test_lines_that_are_too_much_are_refused(cli: Cli, raw: bytes, said: str) -> None:
    told = cli.refused("post", "-", stdin=raw)
    assert said in told
    assert len(told) < 5_000
    assert cli.report("trial-balance") == []


def test_names_that_look_alike_stay_two(cli: Cli, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Composed and decomposed letters are two ids where both are in the books: nothing is joined by normalising it."""
    with of_any_letters(monkeypatch):
        cli.post(*({"type": "product", "id": name, "name": name} for name in ("caf\u00e9", "cafe\u0301", "CAF\u00c9")))
    assert connection.scalar(text("select count(*) from product")) == 3


@pytest.fixture
def app(make_books_app: MakeApp) -> Flask:
    return make_books_app(open_as="tester")


@pytest.mark.parametrize("value", CORPUS, ids=range(len(CORPUS)))
def test_the_api_answers_in_words(cli: Cli, app: Flask, value: Any) -> None:
    cli.post(*GOOD)
    client = app.test_client()
    asked = str(value).encode("utf-8", "replace").decode()
    for path in (
        "/v1/entries",
        "/v1/reports/trial-balance",
        "/v1/customers",
        "/journal",
        "/receivables",
        "/figure",
        "/find",
        "/audit",
    ):
        for name in ("after", "as_of", "customer", "q", "role", "to"):
            answer = client.get(path, query_string={name: asked})
            assert answer.status_code < 500, (path, name)
    for path in (
        "/v1/invoices/",
        "/v1/trace/",
        "/invoices/",
        "/customers/",
        "/documents/invoice/",
        "/print/invoice/",
        "/static/",
        "/mine/",
    ):
        answer = client.get(path + asked)
        assert answer.status_code < 500, path
        assert "Traceback" not in answer.text
        assert "root:" not in answer.text
    for content in (value, {"type": "product", "id": value, "name": "x"}, [value]):
        raw = json.dumps(content).encode("utf-8", "surrogatepass")
        answer = client.post("/v1/documents", data=raw, content_type="application/json")
        assert answer.status_code < 500, content
        assert answer.status_code == 200 or answer.mimetype == "application/problem+json"


def test_a_file_of_bad_lines_keeps_memory_and_words_bounded(cli: Cli, tmp_path: Any) -> None:
    file = tmp_path / "bad.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for number in range(20_000):
            out.write(f'{{"type": "usage", "id": {number}}}\n')
    told = cli.run("post", str(file))
    assert told.exit_code == 1
    assert "20,000 documents refused; nothing was posted" in told.output
    assert all(len(line) < 500 for line in told.output.splitlines())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"type": "customer_credit", "id": "g", "customer": "globex", "entity": "us", "currency": "USD", "date": "2026-01-05",
          "amount": "1.00", "reason": ""}, "customer_credit g: reason = : expected some text"),
        ({**invoice("I", "2026-01-01"), "lines": []}, "invoice I: lines = []: expected at least one"),
        ({"type": "refund_reversal", "id": "r", "refund": None, "date": "2026-01-01", "reason": "x"},
         "refund_reversal r: refund = null: expected text"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_in_words(cli: Cli, wrong: dict[str, Any], said: str) -> None:
    assert said in cli.refuse(wrong)


def test_of_one_document_the_first_hundred_things_that_are_wrong_are_told(cli: Cli) -> None:
    """A megabyte has room for 60,000 fields that nobody knows: to say each took minutes."""
    document = {"type": "payment", "id": "P", **{f"a{number}": "1" for number in range(60_000)}}
    told = cli.refused("post", "-", stdin=json.dumps(document)).splitlines()
    problems = [line for line in told if "payment P: " in line]
    assert len(problems) == 101
    # 60,000 of them, and customer, entity, currency, date and amount are missing: 60,005
    assert problems[-1].endswith("payment P: 59,905 more things are wrong: expected a document of the form of its type")
