"""What the command line reads: months, days and moments, each with a word on what was expected."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import click

from ledger.amounts.dates import parse_month, read_moment
from ledger.errors import Refused


class _Month(click.ParamType[Any]):
    name = "month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return value if isinstance(value, date) else parse_month(value)
        except Refused as refusal:
            self.fail(f"{value}: {refusal.expected}", param, ctx)


class _Day(click.ParamType[Any]):
    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return value if isinstance(value, date) else date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value}: expected a date such as 2026-01-31", param, ctx)


class _Moment(click.ParamType[Any]):
    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            return value if isinstance(value, datetime) else read_moment(value)
        except ValueError:
            self.fail(f"{value}: expected a moment such as 2026-01-31T18:00:00+00:00", param, ctx)


MONTH, DAY, MOMENT = _Month(), _Day(), _Moment()
