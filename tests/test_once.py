"""The same file or request, a hundred times at once: done once, and each is answered."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from ledger.intake.posting import post_lines
from revrec.kinds import TYPES
from tests.conftest import Cli, lines
from tests.samples import grant, invoice, parties, payment, prepaid, service, usage
from tests.serving import MakeApp
from web.work.post_file import How, Posted, post_file

TIMES = 100
DOCUMENTS = [
    grant("G"), invoice("I", "2026-01-01", prepaid("100.00"), service("12.00", "2026-01-01", "2026-01-31", "2")), usage("u1", "40.00", "2026-01-10"),
    usage("u2", "10.00", "2026-01-11"), payment("P", "112.00", "2026-01-15", ("I", "112.00")),
]  # fmt: skip


def _assert_once(cli: Cli, connection: Connection) -> None:
    assert connection.scalar(
        text("select count(*) from document where type in ('grant', 'invoice', 'usage', 'payment')")
    ) == len(DOCUMENTS)
    assert {row["role"]: row["debit"] for row in cli.report("trial-balance")}["cash"] == "112.00"
    assert "checks hold" in cli.ok("verify")


def test_a_file_that_comes_a_hundred_times_at_once_posts_once(cli: Cli, engine: Engine, connection: Connection) -> None:
    cli.post(*parties())
    raw = lines(DOCUMENTS).encode()

    def post(number: int) -> tuple[int, int]:
        outcome = post_file(engine, io.BytesIO(raw), TYPES, f"t{number}", lambda _problem, _raw: None).outcome
        return outcome.posted, outcome.repeated

    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(post, range(TIMES)))
    assert answers == {(len(DOCUMENTS), 0): 1, (0, len(DOCUMENTS)): TIMES - 1}
    _assert_once(cli, connection)


def test_a_draw_that_comes_a_hundred_times_at_once_posts_once(cli: Cli, engine: Engine, connection: Connection) -> None:
    """A plain draw is posted by one statement of the database; the same hundred times at once."""
    cli.post(*parties(), *DOCUMENTS[:2])
    raw = lines([DOCUMENTS[2]]).encode()

    def post(number: int) -> int:
        return post_file(engine, io.BytesIO(raw), TYPES, f"t{number}", lambda _problem, _raw: None).outcome.posted

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(post, range(TIMES))) == {1: 1, 0: TIMES - 1}
    assert connection.scalar(text("select drawn_face_minor from grant_balance")) == 4000


@pytest.mark.usefixtures("unlimited")
def test_a_request_that_comes_a_hundred_times_at_once_is_done_once(
    cli: Cli, make_books_app: MakeApp, connection: Connection
) -> None:
    cli.post(*parties())
    app = make_books_app(open_as="tester")

    said: list[str] = []

    def post(number: int) -> int:
        headers = {"Idempotency-Key": "once"} if number % 2 else {}
        answer = app.test_client().post("/v1/documents", json=DOCUMENTS, headers=headers)
        said.append(answer.text) if answer.status_code == 422 else None
        return answer.status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = Counter(pool.map(post, range(TIMES)))
    assert set(statuses) <= {200, 409}, said[:3]  # 409: the first with this key is still under way
    assert statuses[200] >= TIMES // 2
    _assert_once(cli, connection)


def test_only_what_the_last_attempt_refuses_is_told(cli: Cli, engine: Engine, connection: Connection) -> None:
    """Two files that overlap, into empty books at once: who comes second tries again, and what held only until then is told nobody."""
    first = [*parties(), *DOCUMENTS[:2]]
    # nobody knows the first until the others are there, and the last is wrong whatever comes
    second = [
        usage("u9", "1.00", "2026-01-12"),
        *first,
        *DOCUMENTS[2:],
        usage("wrong", "1.00", "2026-01-10", product="nothing"),
    ]
    told: list[str] = []

    def post() -> Posted:
        stream = io.BytesIO(lines(second).encode())
        return post_file(
            engine, stream, TYPES, "t", lambda problem, _raw: told.append(str(problem)), How(keep_going=True)
        )

    with _posted_meanwhile(engine, *first) as before, ThreadPoolExecutor(1) as other:
        waiting = other.submit(post)
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        before.commit()
        posted = waiting.result(60)
    assert (posted.outcome.posted, posted.outcome.repeated) == (len(DOCUMENTS) - 1, len(first))
    assert told == [f"line {len(second)}: usage wrong: product = nothing: expected the id of a product posted before"]
    assert "checks hold" in cli.ok("verify")


def test_a_request_is_answered_by_its_last_attempt(
    cli: Cli, engine: Engine, connection: Connection, make_books_app: MakeApp
) -> None:
    """What was posted in the end is not answered as refused."""
    app = make_books_app(open_as="tester")

    def post() -> tuple[int, str]:
        answer = app.test_client().post("/v1/documents", json=[usage("u9", "1.00", "2026-01-12"), *parties()])
        return answer.status_code, answer.text

    with _posted_meanwhile(engine, *parties()) as before, ThreadPoolExecutor(1) as other:
        waiting = other.submit(post)
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        before.commit()
        status, said = waiting.result(60)
    assert status == 200, said
    assert connection.scalar(text("select count(*) from document where type = 'usage'")) == 1


@contextmanager
def _posted_meanwhile(engine: Engine, *documents: dict[str, Any]) -> Iterator[Connection]:
    """A transaction that has posted documents, and is not committed yet."""
    raw = [lines([document]).encode() for document in documents]
    with engine.connect() as connection:
        post_lines(connection, raw, TYPES, "t", lambda problem, _raw: pytest.fail(str(problem)))
        yield connection
