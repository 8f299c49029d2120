"""Worksheets of many rows: written to a temporary file as they come, not kept as cells in memory.

XlsxWriter makes everything else of the workbook.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import lru_cache
from typing import Any
from xml.sax.saxutils import escape

from xlsxwriter.utility import xl_col_to_name
from xlsxwriter.worksheet import Worksheet

TEXT_MAX = 32_767  # characters of a cell
_EPOCH = date(1899, 12, 30).toordinal()  # Excel's day zero
_BUFFER = 1 << 20

# What XML can't hold, and what would be read as standing for it.
_UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|_(?=x[0-9a-fA-F]{4}_)")


@lru_cache(maxsize=1 << 14)
def _text(value: str) -> str:
    """Text as the inside of an inline string: never a formula or a link."""
    cut = _UNSPEAKABLE.sub(lambda found: f"_x{ord(found[0]):04X}_", value[:TEXT_MAX])
    space = ' xml:space="preserve"' if cut != cut.strip() else ""
    return f' t="inlineStr"><is><t{space}>{escape(cut)}</t></is></c>'


@lru_cache(maxsize=1 << 12)
def _day(value: date) -> str:
    return f"><v>{value.toordinal() - _EPOCH}</v></c>"


def _number(value: int) -> str:
    return f"><v>{value}</v></c>"


def _amount(places: int) -> Callable[[int], str]:
    """Minor units as a decimal number, exactly."""
    if not places:
        return _number
    unit = 10**places

    def shown(value: int) -> str:
        whole, rest = divmod(abs(value), unit)
        return f"><v>{'-' if value < 0 else ''}{whole}.{rest:0{places}}</v></c>"

    return shown


class StreamedSheet(Worksheet):  # type: ignore[misc] # XlsxWriter has no types
    """A worksheet whose rows below those written cell by cell come from `stream`."""

    def stream(self, rows: Iterable[Sequence[Any]], kinds: Sequence[str], places: int, formats: Sequence[Any]) -> int:
        """Add rows below the heading, at most as many as are given; returns how many.

        `kinds` and `formats` are one a column: amount (minor units with so many `places`), number, date or text. None is an empty
        cell.
        """
        shown: dict[str, Callable[[Any], str]] = {
            "amount": _amount(places),
            "number": _number,
            "date": _day,
            "text": _text,
        }
        columns = [
            (f'<c r="{xl_col_to_name(index)}', f'" s="{style._get_xf_index()}"', shown[kind])
            for index, (kind, style) in enumerate(zip(kinds, formats, strict=True))
        ]
        # Closed with the sheet: what is streamed is read when the workbook is.
        self._streamed = tempfile.TemporaryFile("w+", encoding="utf-8", buffering=_BUFFER)  # noqa: SIM115
        write = self._streamed.write
        number = 1
        for number, values in enumerate(rows, 2):
            cells = [
                f"{start}{number}{style}{show(value)}"
                for (start, style, show), value in zip(columns, values, strict=True)
                if value is not None
            ]
            write(f'<row r="{number}">{"".join(cells)}</row>')
        self.dim_rowmax: int = number - 1
        return number - 1

    def _write_rows(self) -> None:
        last, self.dim_rowmax = self.dim_rowmax, 0
        super()._write_rows()
        self.dim_rowmax = last
        self._streamed.seek(0)
        shutil.copyfileobj(self._streamed, self.fh, _BUFFER)
        self._streamed.close()
