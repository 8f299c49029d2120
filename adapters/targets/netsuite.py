"""NetSuite: journal entries for its CSV import, and for its REST record service (POST /record/v1/journalEntry, 2026.1).

The CSV's columns are those Oracle's help gives for journal entries; rows of one entry share its External ID. Accounts are by number
and name ("1200 Accounts receivable"), which a mapping file gives as the company has them. With several subsidiaries the mapping's
field `subsidiary` names one (its name for the CSV, its id for REST). At most 200 lines an entry, ten digits before the point.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from marshmallow import Schema, fields, validate

from adapters.files.forms import Refusals, counted, filled, plain, read_json, read_table, sum_by_account, write_json
from adapters.selected.entry import Entry, EntryLine
from adapters.selected.mapping import Mapping
from adapters.targets.target import Target, account_cell, currency_id, either_side, write_lines

LINES_MAX = 200
AMOUNT_MAX = Decimal("9999999999.99")
_US_DAY = "%m/%d/%Y"


def _columns(mapping: Mapping) -> list[str]:
    return [
        "External ID", "Date", *(["Subsidiary"] if mapping.field("subsidiary") else []), "Currency", "Exchange Rate", "Memo",
        "Journal Entry - Line: Account", "Journal Entry - Line: Debit", "Journal Entry - Line: Credit", "Journal Entry - Line: Memo",
        "Journal Entry - Line: Name",
    ]  # fmt: skip


def _write_csv(path: Path, entries: Iterable[Entry], mapping: Mapping, refusals: Refusals) -> int:
    subsidiary = mapping.field("subsidiary")

    def cells(entry: Entry, line: EntryLine, _number: int) -> list[str]:
        if entry.amount(line) > AMOUNT_MAX:
            refusals.add(entry.number, "amount", entry.amount(line), f"expected at most {AMOUNT_MAX}")
        return [
            entry.number, entry.dated_on.strftime(mapping.field("date_format", _US_DAY)), *([plain(subsidiary)] if subsidiary else []),
            entry.currency, str(entry.rate or 1), plain(entry.memo), account_cell(entry, line, refusals), *either_side(entry, line),
            plain(line.description), plain(line.customer_name),
        ]  # fmt: skip

    return write_lines(path, _columns(mapping), entries, cells)


def _csv_totals(path: Path, _mapping: Mapping, cent: Decimal) -> dict[str, Decimal]:
    def lines() -> Iterator[tuple[str, Decimal]]:
        for row in read_table(path):
            debit, credit = (Decimal(row[f"Journal Entry - Line: {side}"] or 0) for side in ("Debit", "Credit"))
            yield row["Journal Entry - Line: Account"], counted(debit - credit, Decimal(row["Exchange Rate"]), cent)

    return sum_by_account(lines())


class _Ref(Schema):
    id = fields.String()
    externalId = fields.String()  # noqa: N815 - NetSuite's name


class _Line(Schema):
    account = fields.Nested(_Ref, required=True)
    debit = fields.Decimal(validate=validate.Range(min=0, min_inclusive=False, max=AMOUNT_MAX))
    credit = fields.Decimal(validate=validate.Range(min=0, min_inclusive=False, max=AMOUNT_MAX))
    memo = fields.String()
    entity = fields.Nested(_Ref)
    department = fields.Nested(_Ref)
    klass = fields.Nested(_Ref, data_key="class")
    location = fields.Nested(_Ref)


class _Lines(Schema):
    items = fields.List(fields.Nested(_Line), required=True, validate=validate.Length(min=2, max=LINES_MAX))


class JournalEntry(Schema):
    """A journalEntry of NetSuite's REST record service."""

    externalId = fields.String(required=True)  # noqa: N815 - NetSuite's name
    tranDate = fields.Date(required=True)  # noqa: N815 - NetSuite's name
    subsidiary = fields.Nested(_Ref)
    currency = fields.Nested(_Ref)
    exchangeRate = fields.Decimal(validate=validate.Range(min=0, min_inclusive=False))  # noqa: N815 - NetSuite's name
    memo = fields.String()
    line = fields.Nested(_Lines, required=True)


def _line(line: EntryLine, entry: Entry, mapping: Mapping) -> dict[str, Any]:
    place = line.place
    made: dict[str, Any] = {
        "account": {mapping.field("account_by", "externalId"): place.account},
        "debit" if line.net > 0 else "credit": entry.amount(line),
        "memo": line.description,
    }
    if line.customer:
        made["entity"] = {mapping.field("customer_by", "externalId"): line.customer}
    for name, value in (("department", place.department), ("klass", place.class_), ("location", place.location)):
        if value:
            made[name] = {"id": value}
    return made


def _journal_entries(entries: Iterable[Entry], mapping: Mapping, refusals: Refusals) -> Iterator[dict[str, Any]]:
    def forms() -> Iterator[dict[str, Any]]:
        for entry in entries:
            form: dict[str, Any] = {
                "externalId": entry.number,
                "tranDate": entry.dated_on,
                "memo": entry.memo,
                "line": {"items": [_line(line, entry, mapping) for line in entry.lines]},
            }
            if mapping.field("subsidiary"):
                form["subsidiary"] = {"id": mapping.field("subsidiary")}
            if entry.rate is not None:
                form |= {
                    "currency": {"id": currency_id(entry.number, entry.currency, mapping, refusals, "NetSuite")},
                    "exchangeRate": entry.rate,
                }
            yield form

    return filled(JournalEntry(), "externalId", forms(), refusals)


def _write(path: Path, entries: Iterable[Entry], mapping: Mapping, refusals: Refusals) -> int:
    for name in ("account_by", "customer_by"):
        if mapping.field(name, "id") not in ("id", "externalId"):
            refusals.add("mapping", f"fields.{name}", mapping.field(name), "expected id or externalId")
            return 0
    return write_json(path, _journal_entries(entries, mapping, refusals))


def _totals(path: Path, mapping: Mapping, cent: Decimal) -> dict[str, Decimal]:
    return sum_by_account(
        (
            line["account"][mapping.field("account_by", "externalId")],
            counted(line.get("debit", Decimal(0)) - line.get("credit", Decimal(0)), entry.get("exchangeRate"), cent),
        )
        for entry in read_json(path)
        for line in entry["line"]["items"]
    )


CSV = Target("netsuite.csv", "journal entries", _write_csv, _csv_totals, own="{code} {name}", lines_max=LINES_MAX)
REST = Target("netsuite.json", "journal entries", _write, _totals, lines_max=LINES_MAX)
