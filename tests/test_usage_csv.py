from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from adapters.usage_csv import tally
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
