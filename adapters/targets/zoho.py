"""Zoho Books: manual journals for its API (v3, POST /journals), and for its import page.

Field names are those of Zoho's OpenAPI. Ids there are the organisation's own, which a mapping file gives. The reference number
identifies a journal before a retry, since Zoho keeps no idempotency key for journals. The columns of the import page are published
nowhere: a mapping file names them as the sample file that Zoho offers for download does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from marshmallow import Schema, fields, validate

from adapters.forms import (
    Refusals,
    counted,
    filled,
    plain,
    read_json,
    read_table,
    sum_by_account,
    write_json,
)
from adapters.mapping import Mapping
from adapters.selection import Entry, Line
from adapters.targets.target import Target, account_cell, currency_id, either_side, write_lines


class _Tag(Schema):
    tag_id = fields.String(required=True)
    tag_option_id = fields.String(required=True)


class _Line(Schema):
    account_id = fields.String(required=True)
    customer_id = fields.String()
    description = fields.String(validate=validate.Length(max=500))
    amount = fields.Decimal(required=True, validate=validate.Range(min=0, min_inclusive=False))
    debit_or_credit = fields.String(required=True, validate=validate.OneOf(["debit", "credit"]))
    tags = fields.List(fields.Nested(_Tag))


class Journal(Schema):
    """A journal of the Zoho Books API."""

    journal_date = fields.Date(required=True)
    reference_number = fields.String(required=True, validate=validate.Length(max=100))
    notes = fields.String(validate=validate.Length(max=500))
    journal_type = fields.String(required=True, validate=validate.OneOf(["both", "cash"]))
    status = fields.String(required=True, validate=validate.OneOf(["draft", "published"]))
    currency_id = fields.String()
    exchange_rate = fields.Decimal(validate=validate.Range(min=0, min_inclusive=False))
    line_items = fields.List(fields.Nested(_Line), required=True, validate=validate.Length(min=2))


def _line(line: Line, entry: Entry, mapping: Mapping) -> dict[str, Any]:
    made: dict[str, Any] = {
        "account_id": line.place.account,
        "description": line.description,
        "amount": entry.amount(line),
        "debit_or_credit": "debit" if line.net > 0 else "credit",
    }
    if line.customer:
        made["customer_id"] = line.customer
    tags = [
        {"tag_id": mapping.field(f"tag.{name}"), "tag_option_id": option}
        for name, option in (("department", line.place.department), ("class", line.place.class_), ("location", line.place.location))
        if option and mapping.field(f"tag.{name}")
    ]  # fmt: skip
    return made | ({"tags": tags} if tags else {})


def journals(entries: Iterable[Entry], mapping: Mapping, refusals: Refusals) -> Iterator[dict[str, Any]]:
    """Entries as journals, drafts unless the mapping's field `status` says published; what Zoho would refuse goes to `refusals`."""

    def forms() -> Iterator[dict[str, Any]]:
        for entry in entries:
            form: dict[str, Any] = {
                "journal_date": entry.dated_on,
                "reference_number": entry.number,
                "notes": entry.memo,
                "journal_type": "both",
                "status": mapping.field("status", "draft"),
                "line_items": [_line(line, entry, mapping) for line in entry.lines],
            }
            if entry.rate is not None:
                form |= {"currency_id": currency_id(entry, mapping, refusals, "Zoho"), "exchange_rate": entry.rate}
            yield form

    return filled(Journal(), "reference_number", forms(), refusals)


def _write(path: Path, entries: Iterable[Entry], mapping: Mapping, refusals: Refusals) -> int:
    return write_json(path, journals(entries, mapping, refusals))


def _totals(path: Path, _mapping: Mapping, cent: Decimal) -> dict[str, Decimal]:
    return sum_by_account(
        (
            line["account_id"],
            counted(
                line["amount"] if line["debit_or_credit"] == "debit" else -line["amount"],
                journal.get("exchange_rate"),
                cent,
            ),
        )
        for journal in read_json(path)
        for line in journal["line_items"]
    )


# What a mapping's [columns] may name, and what it must.
_NEEDED = ("date", "number", "account", "debit", "credit")
_OFFERED = (*_NEEDED, "notes", "description", "customer", "currency", "department", "class", "location")


def _write_csv(path: Path, entries: Iterable[Entry], mapping: Mapping, refusals: Refusals) -> int:
    assert mapping.file is not None, "a file names the columns"
    columns = mapping.file.columns
    for name in columns.keys() - set(_OFFERED):
        refusals.add("mapping", f"columns.{name}", columns[name], f"expected one of {', '.join(_OFFERED)}")
    names = [name for name in _OFFERED if name in columns]
    day_form = mapping.field("date_format", "%Y-%m-%d")

    def cells(entry: Entry, line: Line, _number: int) -> list[str]:
        debit, credit = either_side(entry, line)
        found = {
            "date": entry.dated_on.strftime(day_form), "number": entry.number, "account": account_cell(entry, line, refusals),
            "debit": debit, "credit": credit, "notes": plain(entry.memo), "description": plain(line.description),
            "customer": plain(line.customer_name), "currency": entry.currency, "department": plain(line.place.department),
            "class": plain(line.place.class_), "location": plain(line.place.location),
        }  # fmt: skip
        return [found[name] for name in names]

    return write_lines(path, [columns[name] for name in names], entries, cells)


def _csv_totals(path: Path, mapping: Mapping, _cent: Decimal) -> dict[str, Decimal]:
    assert mapping.file is not None, "a file names the columns"
    account, debit, credit = (mapping.file.columns[name] for name in ("account", "debit", "credit"))
    return sum_by_account(
        (row[account], Decimal(row[debit] or 0) - Decimal(row[credit] or 0)) for row in read_table(path)
    )


BOOKS = Target("zoho.json", "journals", _write, _totals)
BOOKS_CSV = Target("zoho.csv", "journals", _write_csv, _csv_totals, own="{name}", currencies=False, columns=_NEEDED)
