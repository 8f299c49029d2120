"""What a page says of a chart: labels, series and what each point is called; web/static/charts.js has Chartist draw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ledger.amounts.money import grouped, to_decimal


@dataclass(frozen=True, slots=True)
class Series:
    """Amounts in minor units, one a label, None for a gap; its style is a class of the style sheet."""

    style: str
    amounts: Sequence[int | None]
    said: str = ""


def chart(
    kind: str, labels: Sequence[str], series: Sequence[Series], currency: str, *, values: bool = False, every: int = 1
) -> dict[str, Any]:
    """A chart of `bars`, one upon the other, or of `lines`. `values` stand over bars; every so manieth label is shown."""
    return {
        "kind": kind, "labels": list(labels), "values": values, "every": every,
        "series": [
            {"className": one.style, "data": [None if amount is None else float(to_decimal(amount, currency)) for amount in one.amounts]}
            for one in series
        ],
        "titles": [
            [
                "" if amount is None else f"{label}: {grouped(amount, currency)} {currency} {one.said}".strip()
                for label, amount in zip(labels, one.amounts, strict=True)
            ]
            for one in series
        ],
    }  # fmt: skip
