"""QuickBooks: journal entries for the Online API (v3, JournalEntry), for Online's import page, and for Desktop (IIF).

Field names and limits of the API are those of Intuit's schema (Finance.xsd of its Java SDK); of the import page, those of its
help (Journal No., Journal Date, Account Name, Description, Debits, Credits, and Currency, Memo, Name, Class, Location);
of IIF, those of its import kit: three heading rows, TRNS, SPL, ENDTRNS, signed amounts that sum to zero. The API names accounts and
customers by ids of the company's own, which a mapping file gives; the others name them by their exact text there.
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
from adapters.targets.target import Target, account_cell, either_side, write_lines

NAME_LENGTH_MAX = 100
TEXT_LENGTH_MAX = 4000
AMOUNT_MAX = Decimal(99_999_999_999)
_IIF_ACCOUNT_MAX = 159
_IIF_MEMO_MAX = 209
_US_DAY = "%m/%d/%Y"


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


def _line(number: int, line: Line, entry: Entry) -> dict[str, Any]:
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


def journal_entries(entries: Iterable[Entry], refusals: Refusals) -> Iterator[dict[str, Any]]:
    """Entries as JournalEntry objects; what QuickBooks would refuse goes to `refusals`."""
    forms = (
        {
            "DocNumber": entry.number,
            "TxnDate": entry.dated_on,
            "CurrencyRef": {"value": entry.currency},
            "PrivateNote": entry.memo,
            "Line": [_line(number, line, entry) for number, line in enumerate(entry.lines, 1)],
        }
        | ({} if entry.rate is None else {"ExchangeRate": entry.rate})
        for entry in entries
    )
    return filled(JournalEntry(), "DocNumber", forms, refusals)


def _write(path: Path, entries: Iterable[Entry], _mapping: Mapping, refusals: Refusals) -> int:
    return write_json(path, journal_entries(entries, refusals))


def _totals(path: Path, _mapping: Mapping, cent: Decimal) -> dict[str, Decimal]:
    return sum_by_account(
        (
            line["JournalEntryLineDetail"]["AccountRef"]["value"],
            counted(
                line["Amount"] if line["JournalEntryLineDetail"]["PostingType"] == "Debit" else -line["Amount"],
                entry.get("ExchangeRate"),
                cent,
            ),
        )
        for entry in read_json(path)
        for line in entry["Line"]
    )


_COLUMNS = (
    "Journal No.", "Journal Date", "Currency", "Memo", "Account Name", "Debits", "Credits", "Description", "Name", "Class", "Location",
)  # fmt: skip


def _too_long(entry: Entry, line: Line, refusals: Refusals, account_max: int, name_max: int) -> None:
    for field, value, limit in (
        ("account", line.place.account, account_max),
        ("customer", line.customer_name, name_max),
    ):
        if len(value) > limit:
            refusals.add(entry.number, field, value, f"expected a name of at most {limit} characters")


def _write_csv(path: Path, entries: Iterable[Entry], _mapping: Mapping, refusals: Refusals) -> int:
    def cells(entry: Entry, line: Line, _number: int) -> list[str]:
        _too_long(entry, line, refusals, NAME_LENGTH_MAX, NAME_LENGTH_MAX)
        return [
            entry.number, entry.dated_on.strftime(_US_DAY), entry.currency, plain(entry.memo), account_cell(entry, line, refusals),
            *either_side(entry, line), plain(line.description), plain(line.customer_name), plain(line.place.class_),
            plain(line.place.location),
        ]  # fmt: skip

    return write_lines(path, _COLUMNS, entries, cells)


def _csv_totals(path: Path, _mapping: Mapping, _cent: Decimal) -> dict[str, Decimal]:
    return sum_by_account(
        (row["Account Name"], Decimal(row["Debits"] or 0) - Decimal(row["Credits"] or 0)) for row in read_table(path)
    )


def _western(entry: Entry, line: Line, refusals: Refusals) -> None:
    """Names are matched by their exact text there, so that none may lose a letter on the way."""
    place = line.place
    for field, value in (("account", place.account), ("customer", line.customer_name), ("class", place.class_)):
        try:
            value.encode(_IIF_ENCODING)
        except UnicodeEncodeError as error:
            wanted = f"expected letters that Windows' western alphabet has: {value[error.start]!r} is not one"
            refusals.add(entry.number, field, value, wanted)


_IIF_ENCODING = "cp1252"
_IIF_HEAD = ("TRNSTYPE", "DATE", "ACCNT", "NAME", "CLASS", "AMOUNT", "DOCNUM", "MEMO")


def _write_iif(path: Path, entries: Iterable[Entry], _mapping: Mapping, refusals: Refusals) -> int:
    written = 0

    def rows() -> Iterator[list[str]]:
        nonlocal written
        for entry in entries:
            written += 1
            day = entry.dated_on
            for place, line in enumerate(entry.lines):
                _too_long(entry, line, refusals, _IIF_ACCOUNT_MAX, NAME_LENGTH_MAX)
                _western(entry, line, refusals)
                amount = entry.amount(line)
                yield [
                    "SPL" if place else "TRNS", "GENERAL JOURNAL", f"{day.month}/{day.day}/{day.year}",
                    " ".join(line.place.account.split()), " ".join(line.customer_name.split()), " ".join(line.place.class_.split()),
                    str(amount if line.net > 0 else -amount), entry.number, " ".join(line.description.split())[:_IIF_MEMO_MAX],
                ]  # fmt: skip
            yield ["ENDTRNS"]

    # IIF has no quotation: the writer would quote a name with a quotation mark, so rows are joined here
    with path.open("w", encoding=_IIF_ENCODING, newline="", errors="replace") as file:
        for heading in (("!TRNS", *_IIF_HEAD), ("!SPL", *_IIF_HEAD), ("!ENDTRNS",)):
            file.write("\t".join(heading) + "\r\n")
        for row in rows():
            file.write("\t".join(row) + "\r\n")
    return written


def _iif_totals(path: Path, _mapping: Mapping, _cent: Decimal) -> dict[str, Decimal]:
    def lines() -> Iterator[tuple[str, Decimal]]:
        with path.open(encoding=_IIF_ENCODING, newline="") as file:
            for row in file:
                cells = row.rstrip("\r\n").split("\t")
                if cells[0] in ("TRNS", "SPL"):
                    yield cells[1 + _IIF_HEAD.index("ACCNT")], Decimal(cells[1 + _IIF_HEAD.index("AMOUNT")])

    return sum_by_account(lines())


ONLINE = Target("quickbooks.json", "journal entries", _write, _totals, lines_max=1_000)
ONLINE_CSV = Target(
    "quickbooks.csv", "journal entries", _write_csv, _csv_totals, own="{name}", lines_max=1_000, currencies=False
)
DESKTOP = Target(
    "quickbooks.iif", "journal entries", _write_iif, _iif_totals, own="{name}", number_max=11, currencies=False
)
