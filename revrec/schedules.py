"""When a price is earned: the cumulative part of an obligation's term that has passed by a day.

A schedule is never stored. It is a pure function of (price, pattern, start, end), written twice: in Python, to be
read and tested, and as SQL, for any number of obligations at once; a test holds the two together.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date

from ledger.money import share


@dataclass(frozen=True, slots=True)
class Term:
    """How and from when to when an obligation is satisfied; `ends_on` is the last day counted."""

    pattern: str
    starts_on: date
    ends_on: date


def _months_begun(start: date, on: date) -> int:
    """Months begun by a day, the first on `start` itself; a month without that day begins on its last."""
    begins = min(start.day, monthrange(on.year, on.month)[1])
    return (on.year - start.year) * 12 + on.month - start.month + (1 if on.day >= begins else 0)


def parts(term: Term, on: date) -> tuple[int, int]:
    """(parts passed by the end of a day, parts in all): days, or months begun, or one point in time."""
    if on < term.starts_on:
        return 0, 1
    if term.pattern == "point_in_time":
        return 1, 1
    last = min(on, term.ends_on)
    if term.pattern == "daily":
        return (last - term.starts_on).days + 1, (term.ends_on - term.starts_on).days + 1
    if term.pattern == "monthly":
        return _months_begun(term.starts_on, last), _months_begun(term.starts_on, term.ends_on)
    raise ValueError(f"unknown pattern {term.pattern}")


def earned(price: int, term: Term, on: date) -> int:
    """The price earned by the end of a day, in minor units, cumulatively rounded half-even."""
    passed, whole = parts(term, on)
    return share(price, passed, whole)


def _months_begun_sql(start: str, on: str) -> str:
    return (
        f"((extract(year from {on}) - extract(year from {start})) * 12"
        f" + extract(month from {on}) - extract(month from {start})"
        f" + case when extract(day from {on}) >= least(extract(day from {start}),"
        f" extract(day from date_trunc('month', {on}) + interval '1 month - 1 day')) then 1 else 0 end)::bigint"
    )


def parts_sql(pattern: str, start: str, end: str, on: str) -> tuple[str, str]:
    """`parts` as two SQL expressions over the given column expressions."""
    last = f"least({on}, {end})"
    passed = (
        f"case when {on} < {start} then 0 when {pattern} = 'point_in_time' then 1"
        f" when {pattern} = 'daily' then ({last} - {start} + 1)::bigint"
        f" else {_months_begun_sql(start, last)} end"
    )
    whole = (
        f"case when {pattern} = 'point_in_time' then 1"
        f" when {pattern} = 'daily' then ({end} - {start} + 1)::bigint"
        f" else {_months_begun_sql(start, end)} end"
    )
    return passed, whole


def share_sql(total: str, part: str, whole: str) -> str:
    """`ledger.money.share` as an SQL expression in 64-bit integers.

    total x part would overflow; total = q x whole + r makes it q x part + r x part / whole, which does not.
    """
    quotient = f"(abs({total}) / {whole} * {part} + abs({total}) % {whole} * {part} / {whole})"
    remainder = f"(abs({total}) % {whole} * {part} % {whole})"
    half_even = (
        f"case when 2 * {remainder} > {whole} or (2 * {remainder} = {whole} and {quotient} % 2 = 1) then 1 else 0 end"
    )
    return f"(sign({total})::bigint * ({quotient} + {half_even}))"
