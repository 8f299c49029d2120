"""Zoho Books: manual journals as its API takes them (v3, POST /journals).

Field names are those of Zoho's OpenAPI. Ids in Zoho are its own; account and customer ids carry our account codes and
customer ids until a mapping puts the organisation's in their place. The reference number identifies a journal before
a retry, since Zoho keeps no idempotency key for journals.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from marshmallow import Schema, fields, validate

from adapters.forms import fill, read_json, sum_by_account, write_json
from adapters.summaries import SummaryEntry, SummaryLine
from ledger.money import to_decimal


class _Line(Schema):
    account_id = fields.String(required=True)
    customer_id = fields.String()
    description = fields.String(validate=validate.Length(max=500))
    amount = fields.Decimal(required=True, validate=validate.Range(min=0, min_inclusive=False))
    debit_or_credit = fields.String(required=True, validate=validate.OneOf(["debit", "credit"]))


class Journal(Schema):
    """A journal of the Zoho Books API."""

    journal_date = fields.Date(required=True)
    reference_number = fields.String(required=True, validate=validate.Length(max=100))
    notes = fields.String(validate=validate.Length(max=500))
    journal_type = fields.String(required=True, validate=validate.OneOf(["both", "cash"]))
    status = fields.String(required=True, validate=validate.OneOf(["draft", "published"]))
    line_items = fields.List(fields.Nested(_Line), required=True, validate=validate.Length(min=2))


def _line(line: SummaryLine, currency: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "account_id": line.code,
        "description": line.description,
        "amount": to_decimal(abs(line.net), currency),
        "debit_or_credit": "debit" if line.net > 0 else "credit",
    }
    return made | ({"customer_id": line.customer} if line.customer else {})


def journals(entries: list[SummaryEntry]) -> list[dict[str, Any]]:
    """Summary entries as journals, as drafts. Raises Refused, naming the entry, for what Zoho would refuse."""
    forms = (
        {
            "journal_date": entry.dated_on,
            "reference_number": entry.number,
            "notes": entry.memo,
            "journal_type": "both",
            "status": "draft",
            "line_items": [_line(line, entry.currency) for line in entry.lines],
        }
        for entry in entries
    )
    return fill(Journal(), "reference_number", forms)


def write(path: Path, entries: list[SummaryEntry]) -> None:
    """Write journals as a JSON array, amounts as exact number literals."""
    write_json(path, journals(entries))


def totals(path: Path) -> dict[str, Decimal]:
    """Debit less credit by account code, as the file says."""
    return sum_by_account(
        (line["account_id"], line["debit_or_credit"], line["amount"])
        for journal in read_json(path)
        for line in journal["line_items"]
    )
