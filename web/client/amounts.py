"""Amounts at the client's border: `moneyed.Money` goes into documents and comes out of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import moneyed

from ledger.amounts.money import to_minor, to_money
from ledger.documents.models import decimal_of


def plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document as it is sent, with each `Money` as its decimal string.

    Raises ValueError for one of another currency than the document's.
    """
    currency = document.get("currency")
    return {field: _plain(value, field, currency) for field, value in document.items()}


def money(answer: Mapping[str, Any], field: str = "amount", currency: str = "currency") -> moneyed.Money:
    """An amount of an answer: a report's row, an entry's line, an invoice."""
    code = str(answer[currency])
    return to_money(to_minor(decimal_of(answer[field]), code), code)


def _plain(value: Any, field: str, currency: Any) -> Any:
    if isinstance(value, moneyed.Money):
        code = value.currency.code
        if currency is not None and code != currency:
            raise ValueError(f"{field} = {value}: expected an amount in {currency}, the document's currency")
        return f"{value.amount:f}"
    if isinstance(value, Mapping):
        inner = value.get("currency", currency)
        return {key: _plain(item, f"{field}.{key}", inner) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{field}.{place}", currency) for place, item in enumerate(value)]
    return value
