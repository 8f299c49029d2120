"""Usage from CSV files: rows of a meter or a trace, added up by minute, hour or day into usage documents.

Each document names the file and the rows it was made of, so that a recognised cent leads back to them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from itertools import groupby
from typing import TextIO

from ledger.errors import InvalidDocument, Refused

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


def _moment(value: str, row: int, field: str) -> datetime:
    # Meters write more digits than Python's six; a span of a minute or more does not need them.
    head, dot, fraction = value.strip().partition(".")
    try:
        moment = datetime.fromisoformat(head if not dot else f"{head}.{fraction.rstrip('Z')[:6]:0<6}")
    except ValueError:
        raise InvalidDocument(field, value, f"row {row}: expected a time such as 2026-01-31 18:15:46") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _quantity(value: str | None, row: int, field: str) -> Decimal:
    try:
        number = Decimal(value or "")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        raise InvalidDocument(field, value, f"row {row}: expected a quantity of 0 or more")
    return number


def tally(stream: TextIO, timestamp: str, quantities: Sequence[str], per: str, zone: tzinfo = UTC) -> Iterator[Tally]:
    """Add up rows span by span, in the order of the file and with bounded memory.

    Raises InvalidDocument for a missing column or a bad value, Refused for rows that are not in the order of time.
    """
    reader = csv.DictReader(stream)
    for column in (timestamp, *quantities):
        if column not in (reader.fieldnames or ()):
            found = ", ".join(reader.fieldnames or ()) or "no header"
            raise InvalidDocument("column", column, f"expected a column of the file, which has {found}")

    def rows() -> Iterator[tuple[int, datetime, tuple[Decimal, ...]]]:
        before: datetime | None = None
        for number, row in enumerate(reader, 1):
            moment = _moment(row[timestamp] or "", number, timestamp).astimezone(zone)
            if before is not None and moment < before:
                raise Refused(timestamp, row[timestamp], f"row {number}: expected rows in the order of time")
            before = moment
            yield number, moment, tuple(_quantity(row[column], number, column) for column in quantities)

    for span, group in groupby(rows(), key=lambda row: row[1].strftime(SPANS[per])):
        numbers, moments, values = zip(*group, strict=True)
        sums = tuple(sum(column, Decimal(0)) for column in zip(*values, strict=True))
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
            "quantity": format(sum(item.sums, Decimal(0)), "f"),
            "unit_price": unit_price,
            "events": f"{file} rows {item.first_row}-{item.last_row}",
        }
