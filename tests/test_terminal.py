"""Tables on a terminal are folded to its width, and are one line a row elsewhere: nothing of them is ever cut."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.render.terminal import folded, grid

HEADER, RIGHT = ["Customer", "What happened", "Amount"], [False, False, True]
ROWS = [
    ["globex", "[bold]Seats[/bold] :smile: for the year, with support", "1,234,567.89"],
    ["\N{CJK UNIFIED IDEOGRAPH-540D}" * 3, "INV-2026-000000000000000000000000000000001", "\N{EN DASH}"],
    ["", "  line 1", "-5.00"],
]
TOTALS = [["Total", "", "1,234,562.89"]]


def test_elsewhere_a_row_is_a_line_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    assert not sys.stdout.isatty()
    # widths by hand: "Customer" is 8 letters wide, the longest text 53, the largest figure 12; a wide letter takes two places
    rule = "  ".join("\N{BOX DRAWINGS LIGHT HORIZONTAL}" * width for width in (8, 53, 12))
    name, number = ROWS[1][:2]
    assert grid(HEADER, ROWS, RIGHT, TOTALS).splitlines() == [
        f"Customer  What happened{' ' * 40}        Amount", rule,
        "globex    [bold]Seats[/bold] :smile: for the year, with support  1,234,567.89",
        f"{name}    {number}{' ' * (53 - len(number))}  {' ' * 11}" + "\N{EN DASH}",
        f"            line 1{' ' * 45}         -5.00", rule,
        f"Total     {' ' * 53}  1,234,562.89",
    ]  # fmt: skip


def test_a_terminal_that_is_wide_enough_shows_the_same() -> None:
    assert folded(HEADER, ROWS, RIGHT, TOTALS, 200) == grid(HEADER, ROWS, RIGHT, TOTALS)


def test_texts_fold_and_figures_do_not() -> None:
    lines = folded(HEADER, ROWS, RIGHT, TOTALS, 66).splitlines()
    assert max(map(len, lines)) <= 66
    assert [line[:10].strip() for line in lines if line.endswith("1,234,567.89")] == ["globex"]
    assert "with support" in " ".join(line.strip() for line in lines)
    assert lines[-1].startswith("Total")
    assert lines[-1].endswith("  1,234,562.89")


_CELLS = st.lists(st.text("abc 0123456789,.[]:-\N{CJK UNIFIED IDEOGRAPH-540D}", max_size=30), min_size=2, max_size=2)


@given(
    rows=st.lists(_CELLS, min_size=1, max_size=4),
    figures=st.lists(st.integers(-(10**12), 10**12), min_size=4, max_size=4),
    width=st.integers(1, 90),
)
def test_nothing_is_lost_at_any_width(rows: list[list[str]], figures: list[int], width: int) -> None:
    table = [[*row, f"{figure:,}"] for row, figure in zip(rows, figures, strict=False)]
    drawn = folded(HEADER, table, RIGHT, [], width)
    for *texts, figure in table:
        assert figure in drawn
        for letter in set("".join(texts)) - set(" ,-0123456789"):
            assert drawn.count(letter) >= "".join(texts).count(letter)
    for letter in "abc[]:\N{CJK UNIFIED IDEOGRAPH-540D}":
        said = "".join(cell for line in [HEADER, *table] for cell in line)
        assert drawn.count(letter) == said.count(letter)


def test_its_width_is_the_terminals() -> None:
    """A real one of 60 letters: a row is folded, and its figure whole."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    code = f"from web.render.terminal import grid; print(grid({HEADER!r}, {ROWS!r}, {RIGHT!r}, {TOTALS!r}))"
    clean = {name: said for name, said in os.environ.items() if name not in ("COLUMNS", "LINES")}
    subprocess.run([sys.executable, "-c", code], stdout=theirs, env=clean | {"PYTHONIOENCODING": "utf-8"}, check=True)
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 4096):
            shown += block
    except OSError:  # it has ended
        pass
    os.close(ours)
    lines = shown.decode().splitlines()
    assert max(map(len, lines)) <= 68  # the id of 42 letters stays whole
    assert sum(line.endswith("1,234,567.89") for line in lines) == 1
    assert "\x1b" not in shown.decode()
