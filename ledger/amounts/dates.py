"""Days and months as the books count them.

A month is written 2026-01; an end date is the last day counted.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date, datetime, timedelta

from ledger.errors import InvalidDocument

_MONTH = re.compile(r"^(\d{4})-(\d{2})$")

# Schedules multiply amounts by days in 64 bits, and nobody signs contracts outside these years.
FIRST_DAY = date(1970, 1, 1)
LAST_DAY = date(2199, 12, 31)

TODAY_SQL = "(now() at time zone 'utc')::date"

_EPOCH_ORDINAL = date(2000, 1, 1).toordinal()


def read_moment(written: str) -> datetime:
    """A moment as people write it, in the machine's time zone where it names none. Raises ValueError, also where no books reach."""
    moment = datetime.fromisoformat(written)
    if not FIRST_DAY <= moment.date() <= LAST_DAY:
        raise ValueError(written)
    return moment if moment.tzinfo else moment.astimezone()


def days(day: date) -> int:
    """A date as PostgreSQL keeps it: days since 2000-01-01."""
    return day.toordinal() - _EPOCH_ORDINAL


def from_days(number: int) -> date:
    """The date that is so many days after 2000-01-01."""
    return date.fromordinal(number + _EPOCH_ORDINAL)


def parse_month(text: str, field: str = "month") -> date:
    """'2026-01' as the first day of that month."""
    match = _MONTH.match(text)
    if not match or not 1 <= int(match[2]) <= 12 or not FIRST_DAY.year <= int(match[1]) <= LAST_DAY.year:
        raise InvalidDocument(field, text, "expected a month such as 2026-01")
    return date(int(match[1]), int(match[2]), 1)


def month_text(day: date) -> str:
    """The month a day falls in, as 2026-01."""
    return f"{day.year:04d}-{day.month:02d}"


def month_start(day: date) -> date:
    """The first day of the day's month."""
    return day.replace(day=1)


def month_end(day: date) -> date:
    """The last day of the day's month."""
    return day.replace(day=monthrange(day.year, day.month)[1])


def next_month(day: date) -> date:
    """The first day of the month after the day's."""
    return month_end(day) + timedelta(days=1)


def months_between(first: date, last: date) -> list[date]:
    """First days of every month from `first`'s to `last`'s, both included.

    Empty when last is before first.
    """
    months = []
    month = month_start(first)
    while month <= last:
        months.append(month)
        month = next_month(month)
    return months
