from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from adapters.into.usage_csv import tally
from ledger.errors import Refused
from tests.conftest import Cli
from tests.samples import parties

ROWS = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:16:01.2224670,879,55
2023-11-16 23:59:59.9999999,1,2
2023-11-17 00:00:00.0000000,3,4
"""


def test_rows_add_up_by_minute_and_keep_their_numbers() -> None:
    found = [
        (t.span, t.first_row, t.last_row, t.sums)
        for t in tally(io.StringIO(ROWS), "TIMESTAMP", ["ContextTokens"], "minute")
    ]
    assert found == [
        ("2023-11-16T18:15", 1, 2, (Decimal(770),)),
        ("2023-11-16T18:16", 3, 3, (Decimal(879),)),
        ("2023-11-16T23:59", 4, 4, (Decimal(1),)),
        ("2023-11-17T00:00", 5, 5, (Decimal(3),)),
    ]


def test_a_day_is_a_day_in_the_entitys_time_zone() -> None:
    spans = [t.span for t in tally(io.StringIO(ROWS), "TIMESTAMP", ["ContextTokens"], "day", ZoneInfo("Europe/Berlin"))]
    assert spans == ["2023-11-16", "2023-11-17"]
    (first, second) = tally(io.StringIO(ROWS), "TIMESTAMP", ["ContextTokens"], "day", ZoneInfo("Europe/Berlin"))
    assert (first.last_row, second.first_row) == (3, 4)  # 23:59 UTC is the next day in Berlin


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("ContextTokens", "Tokens"),
            "column = ContextTokens: expected a column of the file, which has TIMESTAMP, Tokens",
        ),
        (("879", "many"), "ContextTokens = many: row 3: expected a quantity of 0 or more"),
        (("879", "-1"), "row 3: expected a quantity of 0 or more"),
        (("879", "NaN"), "row 3: expected a quantity of 0 or more"),
        (("2023-11-16 18:16", "noon"), "row 3: expected a time such as"),
        (("2023-11-17", "2023-11-15"), "row 5: expected rows in the order of time"),
    ],
)
def test_a_bad_row_is_named(change: tuple[str, str], words: str) -> None:
    with pytest.raises(Refused) as refused:
        list(tally(io.StringIO(ROWS.replace(*change)), "TIMESTAMP", ["ContextTokens"], "minute"))
    assert words in str(refused.value)


def _days(cell: str, zone: str) -> list[str]:
    (found,) = tally(io.StringIO(f"t,q\n{cell},1\n"), "t", ["q"], "minute", ZoneInfo(zone))
    return [f"{found.day}", found.span]


@pytest.mark.parametrize(
    ("cell", "zone", "expected"),
    [
        # what datetime.isoformat() writes: 07:30 on the next day in UTC
        ("2026-01-31T23:30:00.123456-08:00", "UTC", ["2026-02-01", "2026-02-01T07:30"]),
        ("2026-01-31T23:30:00.123456-08:00", "America/Los_Angeles", ["2026-01-31", "2026-02-01T07:30"]),
        ("2026-01-31T23:30:00.12+05:30", "UTC", ["2026-01-31", "2026-01-31T18:00"]),
        ("2026-01-31T23:30:00.1234567Z", "Asia/Tokyo", ["2026-02-01", "2026-01-31T23:30"]),
    ],
)
def test_a_moment_keeps_its_offset(cell: str, zone: str, expected: list[str]) -> None:
    assert _days(cell, zone) == expected


@pytest.mark.parametrize(
    ("per", "spans"),
    [
        ("minute", ["2026-11-01T05:30", "2026-11-01T05:59", "2026-11-01T06:10", "2026-11-01T06:30"]),
        ("hour", ["2026-11-01T05", "2026-11-01T06"]),
        ("day", ["2026-11-01"]),
    ],
)
def test_the_hour_that_comes_twice_is_two(per: str, spans: list[str]) -> None:
    """01:30 and 01:59 of summer, then 01:10 and 01:30 of winter in New York."""
    rows = "t,q\n2026-11-01T05:30Z,1\n2026-11-01T05:59Z,2\n2026-11-01T06:10Z,3\n2026-11-01T06:30Z,4\n"
    found = list(tally(io.StringIO(rows), "t", ["q"], per, ZoneInfo("America/New_York")))
    assert [item.span for item in found] == spans
    assert sum(item.sums[0] for item in found) == 10


def test_days_that_begin_within_an_hour_of_utc_part_it() -> None:
    """Midnight in India is 18:30 in UTC."""
    rows = "t,q\n2026-01-31T18:10Z,1\n2026-01-31T18:40Z,2\n2026-01-31T19:40Z,3\n"
    found = list(tally(io.StringIO(rows), "t", ["q"], "hour", ZoneInfo("Asia/Kolkata")))
    assert [(item.span, f"{item.day}") for item in found] == [
        ("2026-01-31T17:30", "2026-01-31"), ("2026-01-31T18:30", "2026-02-01"), ("2026-01-31T19:30", "2026-02-01"),
    ]  # fmt: skip


TERMS = ("--timestamp", "t", "--quantity", "q", "--customer", "globex", "--entity", "us", "--product", "tokens",
         "--currency", "USD", "--unit-price", "0.01")  # fmt: skip


def test_days_are_the_entity_s(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("t,q\n2026-01-31T23:30:00Z,1\n")
    known, *others = parties()
    cli.post(known | {"time_zone": "Europe/Berlin"}, *others)
    assert json.loads(cli.ok("usage", str(path), *TERMS))["date"] == "2026-02-01"
    assert json.loads(cli.ok("usage", str(path), *TERMS, "--time-zone", "Europe/Berlin"))["date"] == "2026-02-01"
    told = cli.refused("usage", str(path), *TERMS, "--time-zone", "UTC")
    assert "--time-zone = UTC: expected Europe/Berlin, the time zone of entity us" in told
    elsewhere = [*TERMS, "--entity", "eu", "--time-zone", "Asia/Tokyo"]
    assert json.loads(cli.ok("usage", str(path), *elsewhere))["date"] == "2026-02-01"


def test_of_a_file_with_a_bad_row_nothing_is_printed(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("t,q\n2026-01-31T23:30:00Z,1\n2026-01-31T23:31:00Z,2\n2026-01-31T23:32:00Z,many\n")
    cli.post(*parties())
    result = cli.run("usage", str(path), *TERMS)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "row 3: expected a quantity" in result.stderr


def test_from_file_to_books(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(ROWS)
    cli.post(*parties())
    made = cli.ok(
        "usage", str(path), "--timestamp", "TIMESTAMP", "--quantity", "ContextTokens", "--quantity", "GeneratedTokens",
        "--customer", "globex", "--entity", "us", "--product", "tokens", "--currency", "USD", "--unit-price", "0.01",
        "--per", "day",
    )  # fmt: skip
    documents = [json.loads(line) for line in made.splitlines()]
    assert documents[0]["events"] == "trace.csv rows 1-4"
    cli.post(*documents)
    # (374+44 + 396+109 + 879+55 + 1+2 + 3+4) x 0.01
    assert cli.summary() == {"2023-11": {"revenue": "18.67", "unbilled_receivable": "18.67"}}
