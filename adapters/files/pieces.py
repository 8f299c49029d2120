"""A table of which a system's import page takes only so much at once: in several files then, no entry cut apart between them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from adapters.files.forms import read_table, write_table
from ledger.errors import Refused


@dataclass(frozen=True, slots=True)
class Most:
    """How much an import page takes: rows with the heading, and bytes. The rows of an entry say the same in the column `key`."""

    key: str
    rows: int
    size: int


def folder_of(path: Path) -> Path:
    """Where the files of a table go that is too long for one: a folder of its name without the ending."""
    return path.with_suffix("") if path.suffix else path.with_name(f"{path.name}-files")


def write(table: Path, most: Most, name: str, folder: Path) -> list[Path]:
    """Write a table as numbered files into a folder; returns none where all of it fits into one.

    Raises Refused for an entry that none would take.
    """
    with table.open(encoding="utf-8", newline="") as file:
        heading = next(csv.reader(file))
    made: list[Path] = []
    for number, rows in enumerate(_pieces(table, most, _size(heading)), 1):
        made.append(folder / f"{name}-{number:03}.csv")
        write_table(made[-1], heading, rows)
    return made if len(made) > 1 else []


def _pieces(table: Path, most: Most, heading: int) -> Iterator[list[list[str]]]:
    rows: list[list[str]] = []
    size = heading
    for number, lines in groupby(read_table(table), key=itemgetter(most.key)):
        entry = [list(line.values()) for line in lines]
        more = sum(map(_size, entry))
        if len(entry) >= most.rows or heading + more > most.size:
            raise Refused(
                most.key,
                number,
                f"expected at most {most.rows - 1:,} lines and {most.size:,} bytes, which the import page takes at once:"
                f" it has {len(entry):,} lines of {more:,} bytes (a smaller lines_max of the mapping makes several entries of it)",
            )
        if rows and (len(rows) + len(entry) >= most.rows or size + more > most.size):
            yield rows
            rows, size = [], heading
        rows += entry
        size += more
    if rows:
        yield rows


def _size(cells: Sequence[str]) -> int:
    """How many bytes a row has."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return len(line.getvalue().encode())


def put(table: Path, made: Sequence[Path], path: Path) -> Path:
    """Put a table, or the files that were made of it, in its place; what an earlier export left there goes, so that none is taken twice."""
    folder = folder_of(path)
    for file in folder.iterdir() if folder.is_dir() else ():
        if re.fullmatch(rf"{re.escape(folder.name)}-\d{{3,}}\.csv", file.name):
            file.unlink()
    if not made:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        table.replace(path)
        return path
    path.unlink(missing_ok=True)
    folder.mkdir(exist_ok=True)
    for file in made:
        file.replace(folder / file.name)
    return folder
