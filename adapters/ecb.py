"""Exchange rates of the European Central Bank, read by the package CurrencyConverter, as `fx_rate` documents."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from currency_converter import CurrencyConverter, RateNotFoundError

from ledger.errors import InvalidDocument, Refused

_EURO = "EUR"


def rate_documents(
    since: date, until: date, currencies: Collection[str], path: str | None = None
) -> Iterator[dict[str, Any]]:
    """The euro's rates from one day to another, one document a currency and banking day.

    `path` is a `eurofxref-hist.zip` of the ECB; the one that comes with the package otherwise. Raises Refused for a
    file that can't be read, or days it does not reach, InvalidDocument for a currency it does not have.
    """
    try:
        converter = CurrencyConverter(path, decimal=True) if path else CurrencyConverter(decimal=True)
    except (OSError, ValueError, KeyError) as error:
        raise Refused("file", path or "", f"expected the ECB's eurofxref-hist.zip: {error}") from None
    unknown = sorted(set(currencies) - set(converter.currencies))
    if unknown:
        raise InvalidDocument("currency", unknown[0], f"expected one of {', '.join(sorted(converter.currencies))}")
    wanted = sorted(set(currencies or converter.currencies) - {_EURO})
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
