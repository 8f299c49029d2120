"""Exchange rates of the European Central Bank, read by the package CurrencyConverter, as `fx_rate` documents."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import BadZipFile, ZipFile

from currency_converter import CurrencyConverter, RateNotFoundError

from ledger.errors import InvalidDocument, Refused

_EURO = "EUR"
_BYTES_MAX = 50_000_000  # the ECB's own unfolds to two million
# What reading something else as such a file may raise.
_WRONG = (
    OSError, EOFError, ValueError, LookupError, ArithmeticError, StopIteration, BadZipFile, zlib.error, RuntimeError, NotImplementedError,
)  # fmt: skip


def _converter(path: str | None) -> CurrencyConverter:
    """What reads a file of the ECB. Raises Refused for one that is none, or that unfolds to more than it could be."""
    if path is None:
        return CurrencyConverter(decimal=True)
    expected = "expected the ECB's eurofxref-hist.zip"
    try:
        content = _unfolded(path)
        if len(content) > _BYTES_MAX:
            raise Refused("file", path, f"{expected}: it has more than {_BYTES_MAX:,} bytes")
        with TemporaryDirectory() as folder:
            plain = Path(folder) / "rates.csv"
            plain.write_bytes(content)
            return CurrencyConverter(str(plain), decimal=True)
    except _WRONG as error:
        raise Refused("file", path, f"{expected}: {error}") from None


def _unfolded(path: str) -> bytes:
    """What is in a file, at most a byte more than there may be, whatever it says of its size."""
    if not path.endswith(".zip"):
        with Path(path).open("rb") as file:
            return file.read(_BYTES_MAX + 1)
    with ZipFile(path) as folded, folded.open(folded.namelist()[0]) as part:
        return part.read(_BYTES_MAX + 1)


def rate_documents(
    since: date, until: date, currencies: Collection[str], path: str | None = None
) -> Iterator[dict[str, Any]]:
    """The euro's rates from one day to another, one document a currency and banking day.

    `path` is a `eurofxref-hist.zip` of the ECB; the one that comes with the package otherwise. Raises Refused for a
    file that can't be read, or days it does not reach, InvalidDocument for a currency it does not have.
    """
    converter = _converter(path)
    unknown = sorted(set(currencies) - set(converter.currencies))
    if unknown:
        raise InvalidDocument("currency", unknown[0], f"expected one of {', '.join(sorted(converter.currencies))}")
    wanted = sorted(set(currencies or converter.currencies) - {_EURO})
    if not wanted:
        raise InvalidDocument("currency", _EURO, "expected another one: the ECB's rates are all of a euro")
    first = min(converter.bounds[currency].first_date for currency in wanted)
    if until < first:
        raise Refused("to", until, f"expected {first} or later, the first day of the file")
    if until < since:
        raise Refused("to", until, f"expected {since} or later, the first day asked for")
    last = max(converter.bounds[currency].last_date for currency in wanted)
    if until > last:
        raise Refused("to", until, f"expected {last} or earlier, the last day of the file; get the ECB's newest one")
    day = since
    while day <= until:
        for currency in wanted:
            try:
                rate = converter.convert(Decimal(1), _EURO, currency, date=day)
            except RateNotFoundError:  # a weekend, a holiday, or before there was one
                continue
            yield {
                "type": "fx_rate",
                "id": f"ECB/{day}/{_EURO}/{currency}",
                "date": day.isoformat(),
                "base": _EURO,
                "quote": currency,
                "rate": f"{Decimal(rate):f}",
            }
        day += timedelta(days=1)
