"""A report as it was signed and as it is now: the figures that differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ledger.reports.report import Column, Report

_Key = tuple[Any, ...]
Row = Mapping[str, Any]


class Pair:
    """A report as it was signed and as it is now, row by row."""

    def __init__(self, then: Report, now: Report) -> None:
        self.now = now
        self.names = [column.key for column in now.columns if column.kind in ("text", "date")]
        self.figures = [column for column in now.columns if column.kind == "amount"]
        self._rows: dict[_Key, Row] = {}
        self._then, self._now = self._by_key(then.rows), self._by_key(now.rows)
        if now.columns[0].key == "period" and {"opening", "closing"} <= {figure.key for figure in self.figures}:
            for found in (self._then, self._now):
                self._roll_forward(found)

    def _roll_forward(self, found: dict[_Key, Counter[str]]) -> None:
        """Give a period in which nothing moved the balance of the one before.

        Where it is not shown for that.
        """
        balances: Counter[_Key] = Counter()
        for key in sorted(self._rows, key=lambda values: str(values[0])):
            if key not in found:
                found[key] = Counter(opening=balances[key[1:]], closing=balances[key[1:]])
            balances[key[1:]] = found[key]["closing"]

    def _by_key(self, rows: Sequence[Row]) -> dict[_Key, Counter[str]]:
        found: dict[_Key, Counter[str]] = defaultdict(Counter)
        for row in rows:
            key = tuple(row.get(name) for name in self.names)
            self._rows[key] = row
            for figure in self.figures:
                found[key][figure.key] += row.get(figure.key) or 0
        return found

    def differences(self) -> Iterator[tuple[_Key, Column, Row, int, int]]:
        """(what tells the row, figure, row, as signed, now) of each figure that differs."""
        nothing: Counter[str] = Counter()
        for key in sorted(self._rows, key=lambda values: tuple(str(value) for value in values)):
            then, now = self._then.get(key, nothing), self._now.get(key, nothing)
            for figure in self.figures:
                if then[figure.key] != now[figure.key]:
                    yield key, figure, self._rows[key], then[figure.key], now[figure.key]
