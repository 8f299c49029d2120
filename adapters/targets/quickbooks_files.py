"""QuickBooks' import files: of Online's import page for journal entries, and of Desktop (IIF).

Of the page, the columns are those of its help (Journal No., Journal Date, Account Name, Description, Debits, Credits, and Currency,
Memo, Name, Class, Location); of IIF, those of its import kit: three heading rows, TRNS, SPL, ENDTRNS, signed amounts that sum to
zero. Both name accounts and customers by their exact text there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

from adapters.files.forms import Refusals, plain, read_table, sum_by_account
from adapters.files.pieces import Most
from adapters.selected.entry import Entry, EntryLine
from adapters.selected.mapping import Mapping
from adapters.targets.target import Target, account_cell, either_side, write_lines

NAME_LENGTH_MAX = 100
_IIF_ACCOUNT_MAX = 159
_IIF_MEMO_MAX = 209
_US_DAY = "%m/%d/%Y"
_COLUMNS = (
    "Journal No.", "Journal Date", "Currency", "Memo", "Account Name", "Debits", "Credits", "Description", "Name", "Class", "Location",
)  # fmt: skip


def _too_long(entry: Entry, line: EntryLine, refusals: Refusals, account_max: int, name_max: int) -> None:
    for field, value, limit in (
        ("account", line.place.account, account_max),
        ("customer", line.customer_name, name_max),
    ):
        if len(value) > limit:
            refusals.add(entry.number, field, value, f"expected a name of at most {limit} characters")


def _write_csv(path: Path, entries: Iterable[Entry], _mapping: Mapping, refusals: Refusals) -> int:
    def cells(entry: Entry, line: EntryLine, _number: int) -> list[str]:
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


def _western(entry: Entry, line: EntryLine, refusals: Refusals) -> None:
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


# Rows, the heading among them, and bytes that an import takes.
_IMPORTED_AT_ONCE = Most(_COLUMNS[0], 1_000, 2_000_000)
ONLINE_CSV = Target(
    "quickbooks.csv",
    "journal entries",
    _write_csv,
    _csv_totals,
    own="{name}",
    lines_max=_IMPORTED_AT_ONCE.rows - 1,
    currencies=False,
    most=_IMPORTED_AT_ONCE,
)
DESKTOP = Target(
    "quickbooks.iif", "journal entries", _write_iif, _iif_totals, own="{name}", number_max=11, currencies=False
)
