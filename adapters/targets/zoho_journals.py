"""Manual journals of Zoho Books."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from marshmallow import Schema, fields, validate

from adapters.files.forms import Refusals, checked, counted, read_json, sum_by_account, write_json
from adapters.selected.entry import Entry, EntryLine
from adapters.selected.mapping import Mapping, Place
from adapters.targets.target import currency_id

_NOTES_MAX = 500  # of a journal
REFERENCE_MAX = 100


class Tag(Schema):
    """A reporting tag, and which of its options."""

    tag_id = fields.String(required=True)
    tag_option_id = fields.String(required=True)


class _Line(Schema):
    account_id = fields.String(required=True)
    customer_id = fields.String()
    description = fields.String(validate=validate.Length(max=500))
    amount = fields.Decimal(required=True, validate=validate.Range(min=0, min_inclusive=False))
    debit_or_credit = fields.String(required=True, validate=validate.OneOf(["debit", "credit"]))
    tags = fields.List(fields.Nested(Tag))


class Journal(Schema):
    """A journal of the Zoho Books API."""

    journal_date = fields.Date(required=True)
    reference_number = fields.String(required=True, validate=validate.Length(max=100))
    notes = fields.String(validate=validate.Length(max=_NOTES_MAX))
    journal_type = fields.String(required=True, validate=validate.OneOf(["both", "cash"]))
    status = fields.String(required=True, validate=validate.OneOf(["draft", "published"]))
    currency_id = fields.String()
    exchange_rate = fields.Decimal(validate=validate.Range(min=0, min_inclusive=False))
    line_items = fields.List(fields.Nested(_Line), required=True, validate=validate.Length(min=2))


def _line(line: EntryLine, entry: Entry, mapping: Mapping) -> dict[str, Any]:
    made: dict[str, Any] = {
        "account_id": line.place.account,
        "description": line.description,
        "amount": entry.amount(line),
        "debit_or_credit": "debit" if line.net > 0 else "credit",
    }
    if line.customer:
        made["customer_id"] = line.customer
    tags = tags_of(line.place, mapping)
    return made | ({"tags": tags} if tags else {})


def tags_of(place: Place, mapping: Mapping) -> list[dict[str, str]]:
    """The tags of a place, as the mapping names them."""
    return [
        {"tag_id": mapping.field(f"tag.{name}"), "tag_option_id": option}
        for name, option in (("department", place.department), ("class", place.class_), ("location", place.location))
        if option and mapping.field(f"tag.{name}")
    ]


def journal_form(entry: Entry, mapping: Mapping, refusals: Refusals) -> dict[str, Any]:
    """An entry as a journal, a draft unless the mapping's field `status` says published."""
    made: dict[str, Any] = {
        "journal_date": entry.dated_on,
        "reference_number": entry.number,
        "notes": entry.memo[:_NOTES_MAX],
        "journal_type": "both",
        "status": mapping.field("status", "draft"),
        "line_items": [_line(line, entry, mapping) for line in entry.lines],
    }
    return made | currency_of(entry.number, entry.currency, entry.rate, mapping, refusals)


def currency_of(
    number: str, currency: str, rate: Decimal | None, mapping: Mapping, refusals: Refusals
) -> dict[str, Any]:
    """The currency and the rate, where it is not the entity's own."""
    if rate is None:
        return {}
    return {"currency_id": currency_id(number, currency, mapping, refusals, "Zoho"), "exchange_rate": rate}


def write_journals(path: Path, entries: Iterable[Entry], mapping: Mapping, refusals: Refusals) -> int:
    """Write entries as JSON; gives how many."""
    schema = Journal()
    return write_json(
        path, (checked(schema, entry.number, journal_form(entry, mapping, refusals), refusals) for entry in entries)
    )


def journal_sides(journal: dict[str, Any], cent: Decimal) -> Iterator[tuple[str, Decimal]]:
    """What a journal, as written, comes to by account."""
    for line in journal["line_items"]:
        amount = line["amount"] if line["debit_or_credit"] == "debit" else -line["amount"]
        yield line["account_id"], counted(amount, journal.get("exchange_rate"), cent)


def journal_totals(path: Path, _mapping: Mapping, cent: Decimal) -> dict[str, Decimal]:
    """What a file of journals comes to by account."""
    return sum_by_account(side for journal in read_json(path) for side in journal_sides(journal, cent))
