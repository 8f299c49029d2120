"""Usage from CSV files: rows of a meter or a trace, added up by minute, hour or day into usage documents.

Each document names the file and the rows it was made of, so that a recognised cent leads back to them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from functools import reduce
from itertools import groupby
from typing import TextIO

from ledger.errors import VALUE_LENGTH_MAX, InvalidDocument, Refused, shortened
from ledger.money import exact_sum

SPANS = {"minute": "%Y-%m-%dT%H:%M", "hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d"}


@dataclass(frozen=True, slots=True)
class Tally:
    """Consecutive rows of one span of time: which rows (the first after the header is 1) and their sums."""

    span: str
    moment: datetime
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
    # Meters write more digits than Python's six; a span of a minute or more does not need them.
    head, dot, fraction = value.strip().partition(".")
    try:
        moment = datetime.fromisoformat(head if not dot else f"{head}.{fraction.rstrip('Z')[:6]:0<6}")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(zone)
    except (ValueError, OverflowError):
        raise InvalidDocument(field, value, f"row {row}: expected a time such as 2026-01-31 18:15:46") from None


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

    for span, group in groupby(rows(), key=lambda row: row[1].strftime(SPANS[per])):
        numbers, moments, values = zip(*group, strict=True)
        sums = tuple(reduce(exact_sum, column) for column in zip(*values, strict=True))
        yield Tally(span, moments[0], numbers[0], numbers[-1], sums)


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
            "date": item.moment.date().isoformat(),
            "quantity": format(reduce(exact_sum, item.sums), "f"),
            "unit_price": unit_price,
            "events": f"{file} rows {item.first_row}-{item.last_row}",
        }
