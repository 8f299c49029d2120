"""Usage from CSV files: rows of a meter or a trace, added up by minute, hour or day into usage documents.

Each document names the file and the rows it was made of, so that a recognised cent leads back to them. Minutes and hours
are named in UTC, in which none comes twice; days are days where the entity keeps its books.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from functools import reduce
from itertools import groupby
from typing import TextIO

from ledger.amounts.money import exact_sum
from ledger.errors import VALUE_LENGTH_MAX, InvalidDocument, Refused, shortened

SPANS = ("minute", "hour", "day")


@dataclass(frozen=True, slots=True)
class Tally:
    """Consecutive rows of one span of time: which rows (the first after the header is 1) and their sums.

    `day` is the one they count on.
    """

    span: str
    day: date
    first_row: int
    last_row: int
    sums: tuple[Decimal, ...]

    @property
    def rows(self) -> int:
        """How many rows were added up."""
        return self.last_row - self.first_row + 1


# More digits, before or after the point, no meter writes and no usage document takes.
_DIGITS_MAX = 30


def _moment(value: str, row: int, field: str, zone: tzinfo) -> datetime:
    """A moment in UTC, which its day can be told of in a zone. Meters write more digits than are kept."""
    try:
        moment = datetime.fromisoformat(value.strip())
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        moment.astimezone(zone)  # whose calendar may not reach as far
    except (ValueError, OverflowError):
        raise InvalidDocument(field, value, f"row {row}: expected a time such as 2026-01-31 18:15:46") from None
    return moment


def _span(moment: datetime, per: str, zone: tzinfo) -> tuple[str, date]:
    """The name of the span of time a moment falls in, and its day.

    An hour is one of the zone's, whose days may begin within one of UTC; the one that comes twice in autumn is two.
    """
    local = moment.astimezone(zone)
    if per == "day":
        return f"{local.date()}", local.date()
    begins = moment
    if per == "hour":
        begins = local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    whole = per == "hour" and not begins.minute
    return begins.strftime("%Y-%m-%dT%H" if whole else "%Y-%m-%dT%H:%M"), local.date()


def _quantity(value: str | None, row: int, field: str) -> Decimal:
    try:
        number = Decimal(value or "")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        raise InvalidDocument(field, value, f"row {row}: expected a quantity of 0 or more")
    if number.adjusted() >= _DIGITS_MAX or int(number.as_tuple().exponent) < -_DIGITS_MAX:
        raise InvalidDocument(
            field, value, f"row {row}: expected at most {_DIGITS_MAX} digits before and after the decimal point"
        )
    return number


def _read(stream: TextIO) -> Iterator[dict[str, str | None]]:
    """The rows of a CSV file by their columns' names. Raises Refused for one that is none."""
    reader = csv.DictReader(stream)
    try:
        yield dict.fromkeys(reader.fieldnames or ())
        yield from reader
    except (csv.Error, UnicodeDecodeError) as error:
        raise Refused("file", f"line {reader.line_num + 1}", f"expected CSV in UTF-8: {error}") from None


def tally(stream: TextIO, timestamp: str, quantities: Sequence[str], per: str, zone: tzinfo = UTC) -> Iterator[Tally]:
    """Add up rows span by span, in the order of the file and with bounded memory.

    Raises InvalidDocument for a missing column or a bad value, Refused for rows that are not in the order of time and for what is no
    CSV.
    """
    read = _read(stream)
    columns = next(read)
    for column in (timestamp, *quantities):
        if column not in columns:
            found = shortened(", ".join(columns), VALUE_LENGTH_MAX) or "no header"
            raise InvalidDocument("column", column, f"expected a column of the file, which has {found}")

    def rows() -> Iterator[tuple[int, datetime, tuple[Decimal, ...]]]:
        before: datetime | None = None
        for number, row in enumerate(read, 1):
            moment = _moment(row[timestamp] or "", number, timestamp, zone)
            if before is not None and moment < before:
                raise Refused(timestamp, row[timestamp] or "", f"row {number}: expected rows in the order of time")
            before = moment
            yield number, moment, tuple(_quantity(row[column], number, column) for column in quantities)

    for (span, day), group in groupby(rows(), key=lambda row: _span(row[1], per, zone)):
        numbers, _, values = zip(*group, strict=True)
        sums = tuple(reduce(exact_sum, column) for column in zip(*values, strict=True))
        yield Tally(span, day, numbers[0], numbers[-1], sums)


def usage_documents(
    tallies: Iterable[Tally],
    file: str,
    *,
    customer: str,
    entity: str,
    product: str,
    currency: str,
    unit_price: str,
) -> Iterator[dict[str, str]]:
    """A usage document for each tally: the sum of its quantities, on the day its rows fall on."""
    for item in tallies:
        yield {
            "type": "usage",
            "id": f"{customer}/{product}/{item.span}",
            "customer": customer,
            "entity": entity,
            "currency": currency,
            "product": product,
            "date": item.day.isoformat(),
            "quantity": format(reduce(exact_sum, item.sums), "f"),
            "unit_price": unit_price,
            "events": f"{file} rows {item.first_row}-{item.last_row}",
        }
