"""JournalEntry of QuickBooks Online's API, and what its other objects share with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from marshmallow import Schema, fields, validate

from adapters.files.forms import Refusals, checked, counted, read_json, sum_by_account, write_json
from adapters.selected.entry import Entry, EntryLine
from adapters.selected.mapping import Mapping

NAME_LENGTH_MAX = 100
TEXT_LENGTH_MAX = 4000
AMOUNT_MAX = Decimal(99_999_999_999)


class Ref(Schema):
    """Something of the company's own, by its id there."""

    value = fields.String(required=True)
    name = fields.String(validate=validate.Length(max=NAME_LENGTH_MAX))


class _Entity(Schema):
    Type = fields.String(required=True, validate=validate.OneOf(["Customer"]))
    EntityRef = fields.Nested(Ref, required=True)


class _Detail(Schema):
    PostingType = fields.String(required=True, validate=validate.OneOf(["Debit", "Credit"]))
    AccountRef = fields.Nested(Ref, required=True)
    Entity = fields.Nested(_Entity)
    ClassRef = fields.Nested(Ref)
    DepartmentRef = fields.Nested(Ref)


class _Line(Schema):
    Id = fields.String(required=True)
    LineNum = fields.Integer(required=True)
    Description = fields.String(validate=validate.Length(max=TEXT_LENGTH_MAX))
    Amount = fields.Decimal(required=True, validate=validate.Range(min=0, min_inclusive=False, max=AMOUNT_MAX))
    DetailType = fields.String(required=True, validate=validate.Equal("JournalEntryLineDetail"))
    JournalEntryLineDetail = fields.Nested(_Detail, required=True)


class JournalEntry(Schema):
    """A JournalEntry of the QuickBooks Online API."""

    DocNumber = fields.String(required=True, validate=validate.Length(max=21))
    TxnDate = fields.Date(required=True)
    CurrencyRef = fields.Nested(Ref, required=True)
    ExchangeRate = fields.Decimal(validate=validate.Range(min=0, min_inclusive=False))
    PrivateNote = fields.String(validate=validate.Length(max=TEXT_LENGTH_MAX))
    Line = fields.List(fields.Nested(_Line), required=True, validate=validate.Length(min=2))


def _line(number: int, line: EntryLine, entry: Entry) -> dict[str, Any]:
    place = line.place
    detail: dict[str, Any] = {
        "PostingType": "Debit" if line.net > 0 else "Credit",
        "AccountRef": {"value": place.account, "name": place.name},
    }
    if line.customer:
        detail["Entity"] = {"Type": "Customer", "EntityRef": {"value": line.customer, "name": line.customer_name}}
    if place.class_:
        detail["ClassRef"] = {"value": place.class_}
    if place.department:
        detail["DepartmentRef"] = {"value": place.department}
    return {
        "Id": str(number - 1),
        "LineNum": number,
        "Description": line.description,
        "Amount": entry.amount(line),
        "DetailType": "JournalEntryLineDetail",
        "JournalEntryLineDetail": detail,
    }


def entry_form(entry: Entry) -> dict[str, Any]:
    """An entry as a JournalEntry."""
    made: dict[str, Any] = {
        "DocNumber": entry.number,
        "TxnDate": entry.dated_on,
        "CurrencyRef": {"value": entry.currency},
        "PrivateNote": entry.memo,
        "Line": [_line(number, line, entry) for number, line in enumerate(entry.lines, 1)],
    }
    return made | ({} if entry.rate is None else {"ExchangeRate": entry.rate})


def write_entries(path: Path, entries: Iterable[Entry], _mapping: Mapping, refusals: Refusals) -> int:
    """Write entries as JSON; gives how many."""
    schema = JournalEntry()
    return write_json(path, (checked(schema, entry.number, entry_form(entry), refusals) for entry in entries))


def entry_sides(entry: dict[str, Any], cent: Decimal) -> Iterator[tuple[str, Decimal]]:
    """What a journal entry, as written, comes to by account."""
    for line in entry["Line"]:
        detail = line["JournalEntryLineDetail"]
        amount = line["Amount"] if detail["PostingType"] == "Debit" else -line["Amount"]
        yield detail["AccountRef"]["value"], counted(amount, entry.get("ExchangeRate"), cent)


def entry_totals(path: Path, _mapping: Mapping, cent: Decimal) -> dict[str, Decimal]:
    """What a file of entries comes to by account."""
    return sum_by_account(side for entry in read_json(path) for side in entry_sides(entry, cent))
