"""Usage read in bulk: a line of JSON as a bare tuple.

Checked as parse.check would, without an object of its own. Most lines of a large file are usage, and most of a usage document is the same
as of many others. What a line has in common with lines before it is checked once; whatever is not plainly usage in order is left to the
long way (ledger/documents/parse.py), which says what is wrong with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import Any

import orjson
from pydantic import ConfigDict, TypeAdapter

from ledger.amounts.dates import days
from ledger.documents.models import Model, Usage
from ledger.documents.parse import LINE_BYTES_MAX
from ledger.errors import Refused
from ledger.letters import expected_of_id

# Whose usage of what: customer, entity, currency, product.
Party = tuple[str, str, str, str]
# A usage document: its party, its id, its day (since 2000-01-01), quantity times price as an integer and its decimal
# places, and the SHA-256 of its canonical JSON.
Row = tuple[Party, str, int, int, int, bytes]

# Beyond so many digits the long way decides.
_DIGITS_MAX = 24
_REMEMBERED = 100_000

_STRICT = ConfigDict(strict=Model.model_config["strict"])
_FIELDS = {
    name: TypeAdapter(info.rebuild_annotation(), config=_STRICT).validate_python
    for name, info in Usage.model_fields.items()
}
# Each field is checked by itself: the one rule across them, a price or an amount, holds where there is a price and no field but these.

_id = _FIELDS["id"]
_quantity = _FIELDS["quantity"]
_events = _FIELDS["events"]
_checked = {name: lru_cache(_REMEMBERED)(_FIELDS[name]) for name in ("customer", "entity", "currency", "product")}


@lru_cache(_REMEMBERED)
def _day(value: str) -> int:
    day: date = _FIELDS["date"](value)
    return days(day)


@lru_cache(_REMEMBERED)
def _price(value: str) -> tuple[int, int]:
    _FIELDS["unit_price"](value)
    return _unscaled(value)


def _unscaled(value: str) -> tuple[int, int]:
    """A decimal string as an integer and its decimal places: '12.50' is 1250 with 2."""
    if len(value) > _DIGITS_MAX:
        raise ValueError(value)
    whole, _, places = value.partition(".")
    return int(whole + places), len(places)


@lru_cache(_REMEMBERED)
def _party(customer: str, entity: str, currency: str, product: str) -> Party:
    """The party, one tuple for all who ask."""
    _checked["customer"](customer)
    _checked["entity"](entity)
    _checked["currency"](currency)
    _checked["product"](product)
    return customer, entity, currency, product


def read(lines: Iterable[bytes]) -> list[Row | None]:
    """Lines as usage, or None for each that is something else, or is not plainly in order."""
    return [_read(line) for line in lines]


def _read(line: bytes) -> Row | None:
    # Without escapes, a text's bytes are what they stand for: four quotation marks a field show that all are text and none
    # is given twice.
    if len(line) > LINE_BYTES_MAX or b"\\" in line:
        return None
    try:
        fields: dict[str, Any] = orjson.loads(line)
        count = len(fields)
        if fields["type"] != "usage" or line.count(b'"') != 4 * count:
            return None
        if count != 9:
            if count != 10:
                return None
            _events(fields["events"])
        party = _party(fields["customer"], fields["entity"], fields["currency"], fields["product"])
        ref, quantity = fields["id"], fields["quantity"]
        _id(ref)
        if expected_of_id(ref):  # told the long way, or in the books already
            return None
        _quantity(quantity)
        price, price_places = _price(fields["unit_price"])
        number, places = _unscaled(quantity)
        canonical = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
        return (
            party,
            ref,
            _day(fields["date"]),
            number * price,
            places + price_places,
            hashlib.sha256(canonical).digest(),
        )
    except (Refused, ValueError, KeyError, TypeError, AttributeError):  # pydantic's and orjson's errors are ValueErrors
        return None
