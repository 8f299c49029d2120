"""Usage in bulk: read as the long way reads it, in this process or another, and posted by what was looked up before."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from ledger.amounts.dates import from_days
from ledger.documents import models, parse
from ledger.errors import Refused
from ledger.intake import batches, lines, posting
from ledger.intake.posting import post_lines
from ledger.proof.verify import verify
from ledger.usage import read_lines, reader_process
from revrec.kinds import TYPES
from revrec.watches import HELD
from tests.conftest import Cli
from tests.samples import grant, invoice, parties, prepaid, usage

GOOD = usage("u", "1.00", "2026-01-05")
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBER = st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{1,20})?", fullmatch=True)
ODD = st.one_of(
    TEXT, NUMBER, st.integers(), st.none(), st.booleans(), st.lists(TEXT, max_size=2), st.dictionaries(TEXT, TEXT, max_size=2),
    st.sampled_from(["usage", "USD", "JPY", "KWD", "XXX", "2026-02-29", "2028-02-29", "1969-12-31", "~house", " u", "-0", "1.", ".5", "١٢"]),
)  # fmt: skip
FIELDS = st.sampled_from([*GOOD, "events", "supersedes", "reference", "external", "quantiy"])


@given(
    changes=st.dictionaries(FIELDS, ODD, max_size=2),
    dropped=st.sets(st.sampled_from([*GOOD]), max_size=1),
    again=st.lists(st.tuples(FIELDS, ODD), max_size=1),
    ascii_only=st.booleans(),
    space=st.sampled_from(["", " ", "  ", "\t"]),
)
def test_a_row_is_what_the_long_way_would_read(
    changes: dict[str, Any], dropped: set[str], again: list[tuple[str, Any]], ascii_only: bool, space: str
) -> None:
    pairs = [(name, value) for name, value in (GOOD | changes).items() if name not in dropped] + again
    line = ("{" + f",{space}".join(
        f"{json.dumps(name)}{space}:{space}{json.dumps(value, ensure_ascii=ascii_only)}" for name, value in pairs
    ) + "}").encode()  # fmt: skip
    (row,) = read_lines.read([line])
    try:
        fields = parse.read_line(line)
        assert fields.get("type") == "usage"
        doc = parse.check(models.Usage, fields)
    except (Refused, AssertionError):
        assert row is None
        return
    if row is None:
        # only what is rare is left to the long way
        plain = not any(letter in line for letter in (b"\\", b"supersedes", b"null", b"reference", b"external"))
        assert not plain or max(len(fields["quantity"]), len(fields["unit_price"])) > 24
        return
    assert isinstance(doc, models.Usage)
    party, ref, day, amount, places, hash_ = row
    assert party == (doc.customer, doc.entity, doc.currency, doc.product)
    assert (ref, from_days(day), doc.supersedes) == (doc.id, doc.date, None)
    assert (
        Decimal(f"{amount}E-{places}") == Decimal(fields["quantity"]) * Decimal(fields["unit_price"]) or amount > 10**27
    )
    assert hash_ == parse.content_hash(fields)


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"usage","id":"a","id":"u","customer":"acme","entity":"us","currency":"USD","product":"tokens",'
        b'"date":"2026-01-05","quantity":"1","unit_price":"1.00"}',
        json.dumps(GOOD).encode() + b"x",
        b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
        json.dumps(GOOD | {"quantity": "9" * 25}).encode(),
        json.dumps(GOOD | {"events": "x" * 1_000_000}).encode(),
        b"",
        b"[]",
        b"{",
    ],
    ids=["given twice", "more after it", "byte order mark", "many digits", "too long", "nothing", "a list", "cut"],
)
def test_what_is_not_plainly_in_order_is_left(line: bytes) -> None:
    assert read_lines.read([line]) == [None]


def _numbered(count: int, size: int) -> list[reader_process.Lines]:
    lines = [json.dumps(usage(f"u{n}", "1.00", "2026-01-05")).encode() for n in range(count)]
    return [([*range(start, start + size)], [*lines[start : start + size], b"else"]) for start in range(0, count, size)]


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The reading processes that were started."""
    found: list[subprocess.Popen[bytes]] = []

    class Noted(reader_process._Reader):
        def __init__(self) -> None:
            super().__init__()
            found.append(self._process)

    monkeypatch.setattr(reader_process, "_Reader", Noted)
    return found


def test_another_process_reads_the_same(
    readers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = _numbered(50, 10)
    here = [read_lines.read(lines) for _, lines in batches]
    calls: list[int] = []
    read = read_lines.read
    monkeypatch.setattr(read_lines, "read", lambda lines: calls.append(len(lines)) or read(lines))
    assert list(reader_process.read_ahead(iter(batches))) == list(zip(batches, here, strict=True))
    assert len(calls) == 2  # the first two, while the process starts
    (process,) = readers
    assert process.returncode is not None


def test_where_the_other_process_is_gone_this_one_reads(readers: list[subprocess.Popen[bytes]]) -> None:
    batches = _numbered(80, 10)
    found = []
    for number, (batch, rows) in enumerate(reader_process.read_ahead(iter(batches))):
        found.append((batch, rows))
        if number == 3:
            readers[0].kill()
    assert found == [(batch, read_lines.read(batch[1])) for batch in batches]


def test_where_no_process_can_be_had_this_one_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    batches = _numbered(50, 10)
    assert [rows for _, rows in reader_process.read_ahead(iter(batches))] == [
        read_lines.read(lines) for _, lines in batches
    ]


def test_who_stops_asking_leaves_no_process(readers: list[subprocess.Popen[bytes]]) -> None:
    reading_ahead = reader_process.read_ahead(iter(_numbered(80, 10)))
    for _ in range(4):
        next(reading_ahead)
    (process,) = readers
    assert process.poll() is None
    reading_ahead.close()
    assert process.returncode is not None


def _post(engine: Engine, *docs: dict[str, Any] | bytes) -> tuple[batches.Outcome, list[str]]:
    problems: list[str] = []
    lines = [doc if isinstance(doc, bytes) else json.dumps(doc).encode() for doc in docs]
    with engine.begin() as connection:
        outcome = post_lines(
            connection, io.BytesIO(b"\n".join(lines)), TYPES, "tester", lambda problem, _: problems.append(str(problem))
        )
    return outcome, problems


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of ten, all of them read in bulk."""
    monkeypatch.setattr(lines, "BATCH", 10)
    monkeypatch.setattr(posting, "DRAWN_AT_ONCE", 0)


def _wallet(engine: Engine, billed: str = "100.00") -> None:
    _post(
        engine,
        *parties(),
        grant("G"),
        invoice("I", "2026-01-01", prepaid(billed)),
        usage("first", "0.01", "2026-01-02"),
    )


def _many(count: int, **more: str) -> list[dict[str, Any]]:
    """Usage of 0.004 each, which adds up."""
    return [usage(f"u{n}", "0", "2026-01-10") | {"quantity": "2", "unit_price": "0.002"} | more for n in range(count)]


@pytest.mark.usefixtures("small_batches")
def test_a_large_file_is_posted_once(engine: Engine) -> None:
    _wallet(engine)
    docs = _many(75)
    # a line again, in its batch and in the next: it was posted before, though it may not be written yet
    twice = [*docs[:35], docs[30], *docs[35:], docs[3], docs[74]]
    outcome, problems = _post(engine, *twice)
    assert (outcome.posted, outcome.repeated, outcome.refused, problems) == (75, 3, 0, [])
    outcome, _ = _post(engine, *docs)
    assert (outcome.posted, outcome.repeated) == (0, 75)
    with engine.connect() as connection:
        # 0.01 + 75 x 0.004 = 0.31
        assert connection.scalar(text("select sum(drawn_minor) from grant_balance")) == 31
        assert connection.scalar(text("select rated from usage_meter")) == Decimal("0.31")
        assert connection.scalar(text("select count(*) from document where type = 'usage'")) == 76
        assert [check.sentence for check in verify(connection.engine, held=HELD) if check.differences] == []


@pytest.mark.usefixtures("small_batches")
def test_other_content_of_the_batch_before_is_refused(engine: Engine) -> None:
    _wallet(engine)
    outcome, problems = _post(engine, *_many(25), usage("u13", "7.00", "2026-01-10"), *_many(30)[25:])
    assert (outcome.posted, outcome.refused) == (30, 1)
    assert "usage u13" in problems[0]
    assert "posted before with other content" in problems[0]


@pytest.mark.usefixtures("small_batches")
def test_a_grant_ends_in_the_middle_of_a_file(engine: Engine) -> None:
    _wallet(engine, billed="100.00")
    big = [usage(f"b{n}", "3.00", "2026-01-11") for n in range(40)]
    outcome, _ = _post(engine, *big)
    assert outcome.posted == 40
    with engine.connect() as connection:
        # 0.01 + 40 x 3.00 = 120.01, of which 100.00 are prepaid
        assert connection.scalar(text("select sum(drawn_minor) from grant_balance")) == 10_000
        assert (
            connection.scalar(text("select sum(amount) from journal_line where role = 'unbilled_receivable'")) == 2_001
        )
        assert [check.sentence for check in verify(connection.engine, held=HELD) if check.differences] == []


@pytest.mark.usefixtures("small_batches")
def test_what_the_database_refuses_takes_all_of_it_back(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that fails beside the next batch is raised to who posts, and nothing stays."""
    _wallet(engine)
    packed = batches.Lanes.post

    def wrong(lanes: Any, row: Any, number: int) -> int | None:
        found = packed(lanes, row, number)
        if row[1] == "u33":
            entry = lanes._books._entries[-1]
            lanes._books._entries[-1] = (*entry[:4], entry[4] + 1_000_000, *entry[5:])
        return found

    docs = _many(75, unit_price="1.00")
    with monkeypatch.context() as patch:
        patch.setattr(batches.Lanes, "post", wrong)
        with pytest.raises(Exception, match="its two accounts must exist"):
            _post(engine, *docs)
    with engine.connect() as connection:
        assert connection.scalar(text("select count(*) from document where type = 'usage'")) == 1
    assert sys.getswitchinterval() > 0.001
    assert _post(engine, *docs[:45])[0].posted == 45


def test_the_command_line_posts_a_large_file(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BATCH", 50)
    cli.post(*parties(), grant("G"), invoice("I", "2026-01-01", prepaid("100.00")))
    assert "posted 300 documents" in cli.post(*_many(300))
    assert "300 posted before" in cli.post(*_many(300))
    assert "checks hold" in cli.ok("verify")
