"""What every format says of itself: how it is written, and how its totals are read back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from adapters.files.forms import Refusals, plain, write_table
from adapters.files.pieces import Most
from adapters.selected.entry import NUMBER_LENGTH_MAX, Entry, EntryLine
from adapters.selected.mapping import Detail, Mapping, Place
from adapters.selected.objects import Thing
from ledger.errors import Problem

Write = Callable[[Path, Iterable[Entry], Mapping, Refusals], int]
# Debit less credit by account, as a file says, in the currency of the entity, whose smallest amount is given.
Totals = Callable[[Path, Mapping, Decimal], dict[str, Decimal]]


@dataclass(frozen=True, slots=True)
class Objects:
    """How a system's API takes more than journal entries: in a file of things, each under the name of its kind."""

    write: Callable[[Path, Iterable[Thing], Mapping, Refusals], int]
    totals: Totals
    # what a file holds, or one of journal entries only: kind, number and body as JSON
    items: Callable[[Path], Iterator[tuple[str, str, str]]]
    # whether receivables in another currency can have an account of their own
    receivable_by_currency: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """A format: its default file, what it holds, and what the system it is for can take."""

    file: str
    what: str
    write: Write
    totals: Totals
    detail: Detail = "month"
    # how it names an account that no mapping file names
    own: str = "{code}"
    lines_max: int | None = None
    number_max: int = NUMBER_LENGTH_MAX
    # whether its entries can be in other currencies than the entity's
    currencies: bool = True
    # what its totals name an account by
    key: Callable[[Place, str], str] = lambda place, _role: place.account
    # where it can hold more than journal entries
    objects: Objects | None = None
    # the columns a mapping file has to name, because nobody publishes them
    columns: tuple[str, ...] = ()
    # where its import page takes only so much of a table at once
    most: Most | None = None
    # what of the accounts that are used it would not take journals on
    refused: Callable[[Mapping, Sequence[tuple[str, Place]]], Iterator[Problem]] = lambda _mapping, _used: iter(())
    # what of them nothing here can tell, in words; empty where all is told
    unknown: Callable[[Mapping, Sequence[tuple[str, Place]]], str] = lambda _mapping, _used: ""


Cells = Callable[[Entry, EntryLine, int], list[str]]


def write_lines(path: Path, headings: Sequence[str], entries: Iterable[Entry], cells: Cells) -> int:
    """Write a table with a row a line; `cells` gets its entry, itself, and its number from 1. Returns how many entries."""
    written = 0

    def rows() -> Iterator[list[str]]:
        nonlocal written
        for entry in entries:
            written += 1
            for number, line in enumerate(entry.lines, 1):
                yield cells(entry, line, number)

    write_table(path, headings, rows())
    return written


def either_side(entry: Entry, line: EntryLine) -> tuple[str, str]:
    """A line's amount as a cell for debits and one for credits, one of them empty."""
    amount = str(entry.amount(line))
    return (amount, "") if line.net > 0 else ("", amount)


def currency_id(number: str, currency: str, mapping: Mapping, refusals: Refusals, system: str) -> str:
    """The id that a system has for a currency; where the mapping does not say it, that goes to `refusals`."""
    found = mapping.field(f"currency.{currency}")
    if not found:
        wanted = f'expected the id {system} has for it as "currency.{currency}" in the [fields] of the mapping'
        refusals.add(number, "currency", currency, wanted)
    return found


def account_cell(entry: Entry, line: EntryLine, refusals: Refusals) -> str:
    """A line's account as a cell of a table, as it is: one that a spreadsheet would run, or that has line breaks, is refused."""
    account = line.place.account
    if plain(account) != account:
        refusals.add(
            entry.number, "account", account, "expected a name in one line that does not begin with =, +, - or @"
        )
    return account
