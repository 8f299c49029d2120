"""What the command line reads: months, days and moments, each with a word on what was expected."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import click

from ledger.dates import parse_month
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
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value}: expected a moment such as 2026-01-31T18:00:00+00:00", param, ctx)
        return moment if moment.tzinfo else moment.astimezone()


MONTH, DAY, MOMENT = _Month(), _Day(), _Moment()
