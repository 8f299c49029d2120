"""Sage Intacct: journal entries for its general-ledger import.

The columns are those its help names (JOURNAL, DATE, DESCRIPTION, LINE_NO, ACCT_NO, DEBIT, CREDIT, MEMO), the first three on an
entry's first line only. Others differ from company to company, as its template is made for each: a mapping file names those it has
under [columns] (reference, customer, department, class, location), and the journal's symbol in the field `journal`.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

from adapters.files.forms import Refusals, plain, read_table, sum_by_account
from adapters.selected.entry import Entry, EntryLine
from adapters.selected.mapping import Mapping
from adapters.targets.target import Target, account_cell, either_side, write_lines

_US_DAY = "%m/%d/%Y"
_DESCRIPTION_MAX = 30
_CUSTOMER_MAX = 20
_COLUMNS = ("JOURNAL", "DATE", "DESCRIPTION", "LINE_NO", "ACCT_NO", "DEBIT", "CREDIT", "MEMO")
_OFFERED = ("reference", "customer", "department", "class", "location")


def _write(path: Path, entries: Iterable[Entry], mapping: Mapping, refusals: Refusals) -> int:
    columns = mapping.file.columns if mapping.file else {}
    for name in columns.keys() - set(_OFFERED):
        refusals.add("mapping", f"columns.{name}", columns[name], f"expected one of {', '.join(_OFFERED)}")
    own = [name for name in _OFFERED if name in columns]

    def cells(entry: Entry, line: EntryLine, number: int) -> list[str]:
        if "customer" in columns and len(line.customer) > _CUSTOMER_MAX:
            refusals.add(
                entry.number, "customer", line.customer, f"expected an id of at most {_CUSTOMER_MAX} characters"
            )
        # what identifies it has to stand in thirty characters: its number, and its month or document as far as there is room
        about = plain(f"{entry.number} {entry.source}")[:_DESCRIPTION_MAX]
        head = (
            [mapping.field("journal", "GJ"), entry.dated_on.strftime(_US_DAY), about] if number == 1 else ["", "", ""]
        )
        more = {
            "reference": entry.number, "customer": plain(line.customer), "department": plain(line.place.department),
            "class": plain(line.place.class_), "location": plain(line.place.location),
        }  # fmt: skip
        return [
            *head, str(number), account_cell(entry, line, refusals), *either_side(entry, line), plain(line.description),
            *(more[name] for name in own),
        ]  # fmt: skip

    return write_lines(path, [*_COLUMNS, *(columns[name] for name in own)], entries, cells)


def _totals(path: Path, _mapping: Mapping, _cent: Decimal) -> dict[str, Decimal]:
    return sum_by_account(
        (row["ACCT_NO"], Decimal(row["DEBIT"] or 0) - Decimal(row["CREDIT"] or 0)) for row in read_table(path)
    )


CSV = Target("intacct.csv", "journal entries", _write, _totals, lines_max=1_000, currencies=False)
