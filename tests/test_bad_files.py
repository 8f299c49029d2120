"""Files that nobody should give an importer: always a clear refusal, never a trace, memory and words bounded."""

from __future__ import annotations

import io
import json
import os
import resource
import zipfile
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.into.usage_csv import tally
from ledger.errors import Refused
from tests.conftest import Cli
from tests.samples import parties, usage

EXAMPLES = int(os.environ.get("TICKMARK_EXAMPLES", "1"))
USAGE = (
    "--timestamp",
    "t",
    "--quantity",
    "q",
    "--customer",
    "c",
    "--entity",
    "e",
    "--product",
    "p",
    "--currency",
    "USD",
    "--unit-price",
    "1",
)
DAYS = ("--from", "2024-01-01", "--to", "2024-01-05")

# Values that meters do not write, kept: what broke something once among them.
CELLS = [
    "", " ", "1e999999999", "1E-999999999", "-0", "NaN", "sNaN", "Infinity", "9" * 200_000, "\u0661", "1,5", "0x10", "=1+1", "\x00", "'", '"', "1_000",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0001-01-01", "9999-12-31", "10000-01-01", "2026-02-30", "2026-01-01T24:00", "noon", "\u202e",
    "2026-01-01 00:00:00.", "2026-01-01 00:00:00.zzz", "2026-W01-1", "20260101", "2026-01-01", "12", "1.5",
]  # fmt: skip


def _refused_in_words(cli: Cli, *arguments: str) -> None:
    done = cli.run(*arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in (0, 1), done.output
    if done.exit_code:
        assert done.stderr.startswith("refused: ")
        assert "expected" in done.stderr
        assert "Traceback" not in done.output
        assert len(done.stderr) < 1_000


@settings(max_examples=200 * EXAMPLES)
@given(st.one_of(
    st.binary(max_size=300),
    st.lists(st.lists(st.sampled_from(CELLS), max_size=4).map(",".join), max_size=6).map(lambda rows: "\n".join(["t,q", *rows]).encode()),
    st.text(max_size=200).map(lambda s: b"t,q\n" + s.encode("utf-8", "surrogatepass")),
))  # fmt: skip
def test_what_is_no_file_of_usage(cli: Cli, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "usage.csv"
    file.write_bytes(content)
    _refused_in_words(cli, "usage", str(file), *USAGE)


@pytest.mark.parametrize("moment", [cell for cell in CELLS if len(cell) < 100])
@pytest.mark.parametrize("quantity", CELLS)
def test_every_cell_beside_every_other(quantity: str, moment: str) -> None:
    content = io.StringIO(f'"{moment}","{quantity}"\n' if '"' not in moment + quantity else f"{moment},{quantity}\n")
    rows = io.StringIO("t,q\n" + content.getvalue())
    with suppress(Refused):
        for one in tally(rows, "t", ["q"], "day"):
            assert one.sums[0] >= 0


def test_quantities_of_many_digits_add_up_exactly() -> None:
    rows = "t,q\n2026-01-01,123456789012345678901234567890\n2026-01-01,0.000000000000000000000000000001\n"
    (found,) = tally(io.StringIO(rows), "t", ["q"], "day")
    assert found.sums == (Decimal("123456789012345678901234567890.000000000000000000000000000001"),)


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as folded:
        for name, content in files.items():
            folded.writestr(name, content)
    return out.getvalue()


GOOD = b"Date,USD,JPY,\n2024-01-03,1.0919,156.16,\n2024-01-02,1.0956,155.96,\n"


def test_a_file_of_the_ecb(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "eurofxref-hist.zip"
    file.write_bytes(_zip({"eurofxref-hist.csv": GOOD}))
    made = cli.ok("rates", "--from", "2024-01-01", "--to", "2024-01-03", "--currency", "USD", "--file", str(file))
    assert [json.loads(line)["rate"] for line in made.splitlines()] == ["1.0956", "1.0919"]


def test_a_file_that_unfolds_without_end_is_not_unfolded(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "bomb.zip"
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as folded,
        folded.open("eurofxref-hist.csv", "w", force_zip64=True) as out,
    ):
        for _ in range(300):
            out.write(b"\0" * 1_000_000)
    assert file.stat().st_size < 1_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "it has more than 50,000,000 bytes" in cli.refused("rates", *DAYS, "--file", str(file))
    # nor is one that says it is small
    content = bytearray(file.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    file.write_bytes(content)
    assert "expected the ECB's eurofxref-hist.zip" in cli.refused("rates", *DAYS, "--file", str(file))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@settings(max_examples=100 * EXAMPLES)
@given(st.data())
def test_what_is_no_file_of_the_ecb(cli: Cli, tmp_path: Path, data: st.DataObject) -> None:
    whole = _zip({"eurofxref-hist.csv": GOOD})
    kind = data.draw(st.sampled_from(["bytes", "cut", "changed", "inside", "plain"]))
    content: bytes
    if kind == "bytes":
        content = data.draw(st.binary(max_size=200))
    elif kind == "cut":
        content = whole[: data.draw(st.integers(0, len(whole)))]
    elif kind == "changed":
        changed = bytearray(whole)
        changed[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        content = bytes(changed)
    else:
        content = data.draw(
            st.one_of(
                st.binary(max_size=200),
                st.text(max_size=200).map(lambda s: b"Date,USD,\n" + s.encode("utf-8", "replace")),
            )
        )
        content = _zip({"eurofxref-hist.csv": content}) if kind == "inside" else content
    file = tmp_path / ("rates.csv" if kind == "plain" else "rates.zip")
    file.write_bytes(content)
    _refused_in_words(cli, "rates", *DAYS, "--file", str(file))


# Kept: what broke something once, or what would break one that believes what it reads.
MAPPINGS = [
    b"a = " + b"[" * 5_000, b"a = " + b"{a=" * 3_000, b"a." * 5_000 + b"b = 1", b"[" + b"a." * 20_000 + b"b]", b"\xff", b"\xef\xbb\xbftarget = 'zoho'",
    b"target = 1", b"target = 'zoho'\nentity = []", b"target = 'zoho'\nentity = 'us'\naccounts = 1", b"target = 'nothing'", b"target = 'zoho'\ntarget = 'zoho'",
    b"[accounts]\ncash = 9" + b"9" * 5_000, b"[accounts]\ncash = nan", b"[accounts]\ncash = 1979-05-27T07:32:00Z", b"a = '" + b"x" * 900_000 + b"'", b"\x00",
]  # fmt: skip


@settings(max_examples=50 * EXAMPLES)
@given(
    st.one_of(
        st.sampled_from(MAPPINGS),
        st.binary(max_size=200),
        st.text(max_size=100).map(lambda s: s.encode("utf-8", "surrogatepass")),
    )
)
@example(MAPPINGS[0])
@example(MAPPINGS[1])
def test_what_is_no_mapping(cli: Cli, tmp_path: Path, content: bytes) -> None:
    cli.run("post", "-", stdin="\n".join(map(json.dumps, parties())))
    file = tmp_path / "zoho.toml"
    file.write_bytes(content)
    done = cli.run("export", "zoho", "--entity", "us", "--mapping", str(file), "--output", str(tmp_path / "out.json"))
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 1
    assert "expected" in done.stderr
    assert len(done.stderr) < 5_000


@settings(max_examples=50 * EXAMPLES)
@given(st.one_of(
    st.binary(max_size=200),
    st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
                 lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["seal_id", "hash", "root"]), inner, max_size=3)),
                 max_leaves=6).map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b"[" * 9_000, b'{"seal_id": "' + b"9" * 5_000 + b'", "hash": ""}', b'{"seal_id": "99999999999999999999", "hash": "x"}',
                     '{"seal_id": "\u0661", "hash": "x"}'.encode(), '{"seal_id": "\u00b2", "hash": "x"}'.encode(), b'{"seal_id": -1, "hash": "x"}']),
))  # fmt: skip
def test_what_is_no_seal(cli: Cli, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "head.json"
    file.write_bytes(content)
    done = cli.run("verify", "--head", str(file))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 1
    assert "expected a seal" in done.stderr or "was kept elsewhere" in done.stderr
    assert len(done.stderr) < 1_000


@pytest.mark.parametrize("name", ["about.json", "seal.json"])
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"[" * 100_000, b"\xff", b'{"sha256": 1}', b"null", b'{"seal_id": {}, "hash": 1}']
)
def test_what_is_no_backup(cli: Cli, tmp_path: Path, name: str, content: bytes) -> None:
    cli.post(*parties(), usage("u", "1.00", "2026-01-05"))
    cli.ok("seal")
    folder = tmp_path / "backup"
    cli.ok("backup", str(folder))
    assert (folder / name).is_file()
    (folder / name).write_bytes(content)
    done: Any = cli.run("restore", str(folder))
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 1
    assert (
        "expected a backup that" in done.stderr
        or "expected the dump that was written" in done.stderr
        or "expected a seal that" in done.stderr
    )
