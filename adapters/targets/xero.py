"""Xero: manual journals for its accounting API (POST /ManualJournals, Xero-OpenAPI 16.1).

A manual journal has neither a number nor a currency: its narration begins with the entry's number, and its amounts are the entity's.
A mapping's field `url` becomes the link back to the entry ("https://books.example/journal?number={number}"), `status` POSTED posts
at once; `tracking.department` and the like name the tracking categories that dimensions go to, two at most.

Bank accounts and some system accounts take no manual journals (help.xero.com/uk/Chart-LockedSystem, help.xero.com/nz/Q_JournalBankAcc);
the others do: historical adjustments, realised currency gains, retained earnings, rounding, sales tax. A mapping's field
`system_accounts` names the codes of those that don't, where they are others than in Xero's own chart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from marshmallow import Schema, fields, validate

from adapters.files.forms import Refusals, filled, read_json, sum_by_account, write_json
from adapters.selected.entry import Entry, EntryLine
from adapters.selected.mapping import Mapping, Place
from adapters.targets.target import Target
from ledger.errors import Problem


class _Tracking(Schema):
    Name = fields.String(required=True, validate=validate.Length(max=100))
    Option = fields.String(required=True, validate=validate.Length(max=100))


class _Line(Schema):
    LineAmount = fields.Decimal(required=True)
    AccountCode = fields.String(required=True, validate=validate.Length(max=10))
    Description = fields.String(validate=validate.Length(max=4000))
    TaxType = fields.String(required=True)
    Tracking = fields.List(fields.Nested(_Tracking), validate=validate.Length(max=2))


class ManualJournal(Schema):
    """A manual journal of Xero's accounting API."""

    Narration = fields.String(required=True)
    Date = fields.Date(required=True)
    Status = fields.String(required=True, validate=validate.OneOf(["DRAFT", "POSTED"]))
    LineAmountTypes = fields.String(required=True, validate=validate.Equal("NoTax"))
    Url = fields.Url()
    JournalLines = fields.List(fields.Nested(_Line), required=True, validate=validate.Length(min=2))


def _line(line: EntryLine, entry: Entry, mapping: Mapping) -> dict[str, Any]:
    amount = entry.amount(line)
    made: dict[str, Any] = {
        "LineAmount": amount if line.net > 0 else -amount,
        "AccountCode": line.place.account,
        "Description": line.description,
        "TaxType": "NONE",
    }
    tracking = [
        {"Name": mapping.field(f"tracking.{name}"), "Option": option}
        for name, option in (("department", line.place.department), ("class", line.place.class_), ("location", line.place.location))
        if option and mapping.field(f"tracking.{name}")
    ]  # fmt: skip
    return made | ({"Tracking": tracking} if tracking else {})


def _write(path: Path, entries: Iterable[Entry], mapping: Mapping, refusals: Refusals) -> int:
    def forms() -> Iterator[dict[str, Any]]:
        for entry in entries:
            form: dict[str, Any] = {
                "Narration": f"{entry.number}: {entry.memo}",
                "Date": entry.dated_on,
                "Status": mapping.field("status", "DRAFT"),
                "LineAmountTypes": "NoTax",
                "JournalLines": [_line(line, entry, mapping) for line in entry.lines],
            }
            if mapping.field("url"):
                form["Url"] = mapping.field("url").replace("{number}", entry.number)
            yield form

    return write_json(path, filled(ManualJournal(), "Narration", forms(), refusals), key="ManualJournals")


def _totals(path: Path, _mapping: Mapping, _cent: Decimal) -> dict[str, Decimal]:
    return sum_by_account(
        (line["AccountCode"], line["LineAmount"])
        for journal in read_json(path)["ManualJournals"]
        for line in journal["JournalLines"]
    )


# What takes no manual journals, by its code in the chart that Xero begins an organisation with.
_SYSTEM_ACCOUNTS = {
    "090": "a bank account", "497": "Bank Revaluations", "498": "Unrealised Currency Gains", "610": "Accounts Receivable", "800": "Accounts Payable",
    "801": "Unpaid Expense Claims", "803": "Wages Payable", "877": "Tracking Transfers",
}  # fmt: skip
# The roles that have an account of the system's own there.
_LIKE_SYSTEM_ACCOUNTS = ("accounts_receivable", "cash")


def _refused(mapping: Mapping, used: Sequence[tuple[str, Place]]) -> Iterator[Problem]:
    own = mapping.field("system_accounts")
    named = {code.strip(): "one of its system_accounts" for code in own.split(",")} if own else _SYSTEM_ACCOUNTS
    for role, place in used:
        if place.account in named:
            yield Problem(
                f"account {role}", place.account,
                f"expected an account of Xero that takes manual journals, such as a second one of its type: {place.account} is {named[place.account]}"
                + ("" if own else " in Xero's own chart (system_accounts of the [fields] names yours, or none)"),
            )  # fmt: skip


def _unknown(mapping: Mapping, used: Sequence[tuple[str, Place]]) -> str:
    """The accounts that are likely to be Xero's own, where the mapping does not say which these are."""
    likely = sorted({f"{role} = {place.account}" for role, place in used if role in _LIKE_SYSTEM_ACCOUNTS})
    if mapping.field("system_accounts") or not likely:
        return ""
    return (
        f"; see that these are no bank accounts or system accounts in Xero, which takes no manual journals on them: {', '.join(likely)}"
        " (system_accounts of the [fields] says which those are, or none)"
    )


JOURNALS = Target("xero.json", "manual journals", _write, _totals, currencies=False, refused=_refused, unknown=_unknown)
