"""Other people's files: JSON held to a marshmallow schema and written with exact amounts, and tables of text; read back."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import simplejson
from marshmallow import Schema

from ledger.errors import Problem, ProblemList

_PROBLEMS_MAX = 100
# A spreadsheet runs a cell that begins so; what came from a document never may.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Refusals:
    """What the other system would refuse, gathered over all that is to be written."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._count = 0

    def add(self, number: str, field: str, value: object, expected: str) -> None:
        """Note that a field of an entry would be refused."""
        self._count += 1
        if len(self._problems) < _PROBLEMS_MAX:
            self._problems.append(Problem(field, str(value), expected, document=number))

    def require_none(self) -> None:
        """Raise a ProblemList naming all of them, or the first hundred."""
        if self._count > len(self._problems):
            self._problems.append(Problem("", "", f"and {self._count - len(self._problems):,} more"))
        if self._problems:
            raise ProblemList(self._problems)


def checked(schema: Schema, number: str, form: dict[str, Any], refusals: Refusals) -> dict[str, Any]:
    """A form as the schema writes it; `number` says which it is. What is wrong goes to `refusals`."""
    dumped: dict[str, Any] = schema.dump(form)
    for field, messages in _flat(schema.validate(dumped)):
        refusals.add(number, field, _at(dumped, field), " ".join(messages))
    return dumped


def filled(
    schema: Schema, number: str, forms: Iterable[dict[str, Any]], refusals: Refusals
) -> Iterator[dict[str, Any]]:
    """Each form as the schema writes it; `number` is the field that identifies one. What is wrong goes to `refusals`."""
    for form in forms:
        yield checked(schema, str(form[number]), form, refusals)


def _flat(errors: Any, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """Marshmallow's nested errors by path: Line.0.Description."""
    if isinstance(errors, Mapping):
        for key, inner in errors.items():
            yield from _flat(inner, f"{path}.{key}".lstrip("."))
    else:
        yield path, [str(message) for message in errors]


def _at(form: Any, path: str) -> object:
    for part in path.split("."):
        try:
            form = form[int(part)] if isinstance(form, list) else form[part]
        except (KeyError, IndexError, ValueError, TypeError):
            return "missing"
    return form


def write_json(path: Path, forms: Iterable[Any], key: str | None = None) -> int:
    """Write a JSON array, or an object holding one, form by form; returns how many.

    Decimals are number literals with all their digits, never a float.
    """
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"{key}": [' if key else "[")
        for form in forms:
            file.write(",\n" if count else "\n")
            file.write(json_text(form, indent=1))
            count += 1
        file.write("\n]}\n" if key else "\n]\n")
    return count


def json_text(form: Any, indent: int | None = None) -> str:
    """A form as JSON, with all digits of its decimals."""
    return str(simplejson.dumps(form, use_decimal=True, indent=indent, ensure_ascii=False))


def read_json(path: Path) -> Any:
    """Read it back, number literals as exact decimals."""
    return simplejson.loads(path.read_text(encoding="utf-8"), use_decimal=True)


def plain(text: str) -> str:
    """Text for a cell of a table: no line breaks, and nothing a spreadsheet would run."""
    flat = " ".join(text.split())
    return f"'{flat}" if flat.startswith(_FORMULA) else flat


def write_table(
    path: Path,
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    delimiter: str = ",",
) -> int:
    """Write a table of text, with lines as Windows ends them; returns how many rows."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\r\n")
        writer.writerow(headings)
        for row in rows:
            writer.writerow(row)
            count += 1
    return count


def read_table(path: Path, *, delimiter: str = ",") -> Iterator[dict[str, str]]:
    """Read a table back, row by row."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter=delimiter)


def sum_by_account(lines: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    """Debit less credit by account, of (account, signed amount)."""
    sums: dict[str, Decimal] = {}
    for account, amount in lines:
        sums[account] = sums.get(account, Decimal(0)) + amount
    return sums


def counted(amount: Decimal, rate: Decimal | None, cent: Decimal) -> Decimal:
    """What an amount counts for in the entity's currency, as the other system works it out: to a minor unit `cent`."""
    return amount if rate is None else (amount * rate).quantize(cent)
