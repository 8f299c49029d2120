"""The workbook of 200,000 journal lines, against openpyxl writing the same cells and nothing else; and the memory it takes."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import openpyxl
from openpyxl.cell import WriteOnlyCell

from adapters.targets import journal_sheets, workbook
from benchmarks.measure import Result, Scale, Server, in_turn, seconds, unchecked, vacuum
from benchmarks.posting import CUSTOMERS, accounts, entries, write_entries
from ledger.database.connect import connect_engine
from ledger.reports.report import Filters


def exporting(server: Server, scale: Scale) -> Iterator[Result]:
    """The workbook, journal and all, against openpyxl's write-only mode with the journal's cells."""
    count = scale.rows(200_000, 25)
    url = server.fresh()
    with unchecked(url) as owner:
        accounts(owner, CUSTOMERS)
        owner.exec_driver_sql(
            "insert into document (customer_id, document_id, type, ref, body, hash, posted_at, posted_by)"
            f" select c, 1, 'usage', 'u' || c, '{{}}', sha256(''), now(), 'bench' from generate_series(1, {CUSTOMERS}) c"
        )
        write_entries(owner, entries(count // 4), datetime(2026, 11, 1, tzinfo=UTC))  # two postings, so four lines
        vacuum(owner)
    engine = connect_engine(url)
    with tempfile.TemporaryDirectory() as folder, engine.connect() as connection:
        path = Path(folder) / "book.xlsx"
        lines = list(journal_sheets.lines_of(connection, Filters(entity="us")))

        def bare() -> None:
            book = openpyxl.Workbook(write_only=True)
            sheet = book.create_sheet()
            for line in lines:
                cells = []
                for value, column in zip(line, journal_sheets.LINES, strict=True):
                    cell = WriteOnlyCell(sheet, value / 100 if column.kind == "amount" and value is not None else value)
                    if column.kind in ("amount", "date"):
                        cell.number_format = "#,##0.00" if column.kind == "amount" else "yyyy-mm-dd"
                    cells.append(cell)
                sheet.append(cells)
            book.save(path)

        took, least, ratio = in_turn(
            scale,
            lambda: seconds(lambda: workbook.write(connection, path, Filters(entity="us"))),
            lambda: seconds(bare),
        )
    yield Result("workbook", took, least, 1 / ratio, "s", count, "<= 0.5")
    idle, peak = _peak(), _peak(url)
    yield Result("memory_workbook", (peak - idle) / 1024, None, None, "MB", count, "<= 100")
    engine.dispose()
    server.drop(url)


def _peak(*arguments: str) -> int:
    """The peak resident memory of a process that writes a workbook, or none, in KiB."""
    ran = subprocess.run(  # noqa: S603 - this module itself
        [sys.executable, "-m", "benchmarks.exporting", *arguments], capture_output=True, text=True, check=True
    )
    return int(ran.stdout)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as folder, connect_engine(sys.argv[1]).connect() as connection:
            workbook.write(connection, Path(folder) / "book.xlsx", Filters(entity="us"))
    status = Path("/proc/self/status").read_text(encoding="ascii")
    sys.stdout.write(re.search(r"VmHWM:\s*(\d+)", status)[1])  # type: ignore[index] # Linux has it
