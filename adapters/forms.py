"""Other people's JSON: filled by a marshmallow schema, held to its limits, written with exact amounts, read back."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import simplejson
from marshmallow import Schema

from ledger.errors import Refused


def fill(schema: Schema, number: str, forms: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each form as the schema writes it; `number` is the field that identifies one.

    Raises Refused, naming the form and field, for what the other system would refuse.
    """
    made = []
    for form in forms:
        dumped = schema.dump(form)
        wrong = schema.validate(dumped)
        if wrong:
            raise Refused(number, form[number], f"{type(schema).__name__} would be refused: {wrong}")
        made.append(dumped)
    return made


def write_json(path: Path, forms: list[dict[str, Any]]) -> None:
    """Write a JSON array, decimals as number literals with all their digits, never through a float."""
    text = simplejson.dumps(forms, use_decimal=True, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read it back, number literals as exact decimals."""
    return simplejson.loads(path.read_text(encoding="utf-8"), use_decimal=True)


def sum_by_account(lines: Iterable[tuple[str, str, Decimal]]) -> dict[str, Decimal]:
    """Debit less credit by account code, of (code, side, amount)."""
    sums: dict[str, Decimal] = {}
    for code, side, amount in lines:
        sums[code] = sums.get(code, Decimal(0)) + (amount if side.lower() == "debit" else -amount)
    return sums
