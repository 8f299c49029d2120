"""Exports: one entity's month ends as a file, proven to tie before anybody trusts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from sqlalchemy import Connection

from adapters import quickbooks, workbook, zoho
from adapters.summaries import SummaryEntry, monthly_entries
from ledger import periods
from ledger.balances import account_balances
from ledger.errors import Refused, Unbalanced
from ledger.money import to_decimal
from ledger.reports import Filters, check_filters


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written, and what is in it."""

    path: Path
    summary: str


@dataclass(frozen=True, slots=True)
class _Target:
    file: str
    write: Callable[[Path, list[SummaryEntry]], None]
    totals: Callable[[Path], dict[str, Decimal]]
    what: str


_TARGETS: Mapping[str, _Target] = {
    "quickbooks": _Target("quickbooks.json", quickbooks.write, quickbooks.totals, "journal entries"),
    "zoho": _Target("zoho.json", zoho.write, zoho.totals, "journals"),
}


def export_file(connection: Connection, target: str, filters: Filters, output: str | None) -> Exported:
    """Write one entity's export and tie it out: totals read back from the file equal the trial balance.

    Raises Refused where the entity must be named or there is nothing to write, Unbalanced where the file differs; a
    file that does not tie is removed.
    """
    filters = replace(filters, entity=filters.entity or _only_entity(connection))
    check_filters(connection, filters)
    if target == "workbook":
        path = Path(output or "tickmark.xlsx")
        summary = workbook.write(connection, path, filters)
        found = workbook.totals(path)
    else:
        kind = _TARGETS[target]
        path = Path(output or kind.file)
        entries = monthly_entries(connection, filters)
        if not entries:
            raise Refused("export", target, "expected postings to export; none match")
        kind.write(path, entries)
        summary = f"{len(entries):,} {kind.what}"
        found = kind.totals(path)
    try:
        _tie_out(connection, filters, found, path)
    except Unbalanced:
        path.unlink()
        raise
    return Exported(path, summary)


def _only_entity(connection: Connection) -> str:
    entities = periods.entities(connection)
    if len(entities) != 1:
        shown = ", ".join(entities) or "none"
        raise Refused("entity", "missing", f"expected one of the entities in the books ({shown})")
    return entities[0]


def _tie_out(connection: Connection, filters: Filters, found: Mapping[str, Decimal], path: Path) -> None:
    """Raise Unbalanced where an account's total in the file is not the trial balance's."""
    expected: dict[str, Decimal] = {}
    for balance in account_balances(connection, filters):
        expected[balance.code] = expected.get(balance.code, Decimal(0)) + to_decimal(balance.net, balance.currency)
    for code in sorted({*expected, *found}):
        wanted, got = expected.get(code, Decimal(0)), found.get(code, Decimal(0))
        if wanted != got:
            raise Unbalanced(f"{path.name} account {code}", got, f"expected {wanted}, the trial balance's")
