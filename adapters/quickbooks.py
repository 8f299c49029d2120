"""QuickBooks Online: journal entries as its API takes them (v3, JournalEntry).

Field names and limits are those of Intuit's schema (Finance.xsd of its Java SDK). Account and customer references
carry our account codes and ids as `value`; the company's own QuickBooks ids are put in their place by the mapping.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from marshmallow import Schema, fields, validate

from adapters.forms import fill, read_json, sum_by_account, write_json
from adapters.summaries import SummaryEntry, SummaryLine
from ledger.money import to_decimal

NAME_LENGTH_MAX = 100
TEXT_LENGTH_MAX = 4000


class _Ref(Schema):
    value = fields.String(required=True)
    name = fields.String(validate=validate.Length(max=NAME_LENGTH_MAX))


class _Entity(Schema):
    Type = fields.String(required=True, validate=validate.OneOf(["Customer"]))
    EntityRef = fields.Nested(_Ref, required=True)


class _Detail(Schema):
    PostingType = fields.String(required=True, validate=validate.OneOf(["Debit", "Credit"]))
    AccountRef = fields.Nested(_Ref, required=True)
    Entity = fields.Nested(_Entity)


class _Line(Schema):
    Id = fields.String(required=True)
    LineNum = fields.Integer(required=True)
    Description = fields.String(validate=validate.Length(max=TEXT_LENGTH_MAX))
    Amount = fields.Decimal(required=True, validate=validate.Range(min=0, min_inclusive=False))
    DetailType = fields.String(required=True, validate=validate.Equal("JournalEntryLineDetail"))
    JournalEntryLineDetail = fields.Nested(_Detail, required=True)


class JournalEntry(Schema):
    """A JournalEntry of the QuickBooks Online API."""

    DocNumber = fields.String(required=True, validate=validate.Length(max=21))
    TxnDate = fields.Date(required=True)
    CurrencyRef = fields.Nested(_Ref, required=True)
    PrivateNote = fields.String(validate=validate.Length(max=TEXT_LENGTH_MAX))
    Line = fields.List(fields.Nested(_Line), required=True, validate=validate.Length(min=2))


def _line(number: int, line: SummaryLine, currency: str) -> dict[str, Any]:
    detail: dict[str, Any] = {
        "PostingType": "Debit" if line.net > 0 else "Credit",
        "AccountRef": {"value": line.code, "name": line.account},
    }
    if line.customer:
        detail["Entity"] = {"Type": "Customer", "EntityRef": {"value": line.customer, "name": line.customer_name}}
    return {
        "Id": str(number - 1),
        "LineNum": number,
        "Description": line.description,
        "Amount": to_decimal(abs(line.net), currency),
        "DetailType": "JournalEntryLineDetail",
        "JournalEntryLineDetail": detail,
    }


def journal_entries(entries: list[SummaryEntry]) -> list[dict[str, Any]]:
    """Summary entries as JournalEntry objects. Raises Refused, naming the entry, for what QuickBooks would refuse."""
    forms = (
        {
            "DocNumber": entry.number,
            "TxnDate": entry.dated_on,
            "CurrencyRef": {"value": entry.currency},
            "PrivateNote": entry.memo,
            "Line": [_line(number, line, entry.currency) for number, line in enumerate(entry.lines, 1)],
        }
        for entry in entries
    )
    return fill(JournalEntry(), "DocNumber", forms)


def write(path: Path, entries: list[SummaryEntry]) -> None:
    """Write journal entries as a JSON array, amounts as exact number literals."""
    write_json(path, journal_entries(entries))


def totals(path: Path) -> dict[str, Decimal]:
    """Debit less credit by account code, as the file says."""
    return sum_by_account(
        (
            line["JournalEntryLineDetail"]["AccountRef"]["value"],
            line["JournalEntryLineDetail"]["PostingType"],
            line["Amount"],
        )
        for entry in read_json(path)
        for line in entry["Line"]
    )
