"""Exports: an entity's books as another system's file, checked before it is written and proven to tie after it is read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar, cast

from sqlalchemy import Connection, text

from adapters.files import pieces
from adapters.files.forms import Refusals
from adapters.out import kept_exports
from adapters.out.ties import accounts_of, check, compare, expected_totals
from adapters.selected import invoices_and_payments, selection
from adapters.selected import mapping as mappings
from adapters.selected.mapping import Detail, Mapping
from adapters.selected.selection import Part
from adapters.targets import (
    audit,
    flat,
    intacct,
    journals,
    netsuite,
    quickbooks,
    quickbooks_files,
    warehouse,
    workbook,
    xero,
    zoho,
)
from adapters.targets.target import Target
from ledger.amounts.money import to_decimal
from ledger.database import locks
from ledger.errors import Refused
from ledger.journal import periods
from ledger.proof import settled_numbers
from ledger.reports.report import Filters, Report, check_filters
from ledger.reports.trial_balance import account_balances

TARGETS: MappingOf[str, Target] = {
    "quickbooks": quickbooks.ONLINE,
    "quickbooks-csv": quickbooks_files.ONLINE_CSV,
    "quickbooks-iif": quickbooks_files.DESKTOP,
    "zoho": zoho.BOOKS,
    "zoho-csv": zoho.BOOKS_CSV,
    "netsuite": netsuite.CSV,
    "netsuite-rest": netsuite.REST,
    "intacct": intacct.CSV,
    "xero": xero.JOURNALS,
    "beancount": journals.BEANCOUNT,
    "hledger": journals.HLEDGER,
}


@dataclass(frozen=True, slots=True)
class _Books:
    """A format that shows the books as they are, in a file or a folder of them; its totals are by our own account codes."""

    place: str
    write: Callable[[Connection, Path, Filters], str]
    totals: Callable[[Path], dict[str, Decimal]]
    folder: bool = False


BOOKS: MappingOf[str, _Books] = {
    "workbook": _Books("tickmark.xlsx", workbook.write, workbook.totals),
    "parquet": _Books("books-parquet", warehouse.write, warehouse.totals, folder=True),
    "audit-gl": _Books("GL_Detail.txt", audit.write, audit.totals),
    "revenue-data": _Books("revenue-data", flat.write, flat.totals, folder=True),
}

_Thing = TypeVar("_Thing")
_TOLD_EVERY = 500


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written, and what is in it."""

    path: Path
    summary: str


@dataclass(frozen=True, slots=True)
class How:
    """How an export is written: by which mapping file, and in which detail where the file's is not wanted.

    `progress` is told, now and then, how many entries or objects were written.
    """

    mapping: str | None = None
    detail: Detail | None = None
    progress: Callable[[int], None] | None = None


def export_file(
    connection: Connection, target: str, filters: Filters, output: str | None, how: How = How()
) -> Exported:
    """Write one entity's export and tie it out: totals read back from the file equal the trial balance.

    Nothing is written where anything is refused: raises Refused where the entity must be named, something is not mapped or the
    other system would not take it, or there is nothing to write; Unbalanced where the file differs from the books.
    """
    filters = replace(filters, entity=filters.entity or periods.only_entity(connection))
    check_filters(connection, filters)
    if target in BOOKS:
        return _export_books(connection, BOOKS[target], filters, output)
    kind, mapping = TARGETS[target], read_mapping(connection, target, filters, how)
    path = _place(output or kind.file)
    with _proven(connection, kind, [Part(filters)], mapping, path, how.progress) as done:
        pass
    return Exported(done.place, done.summary)


def export_new(
    connection: Connection, target: str, filters: Filters, output: str | None, how: How, by: str
) -> Exported:
    """Write what no kept export of the target has, and keep the export, in a transaction of its own.

    Raises what `export_file` does, and Refused where nothing is new, or part of a month is asked for.
    """
    filters = replace(filters, entity=filters.entity or periods.only_entity(connection))
    check_filters(connection, filters)
    kept_exports.require_whole_months(filters)
    kind, mapping = TARGETS[target], read_mapping(connection, target, filters, how)
    path = _place(output or kind.file)
    through = settled_numbers.settled_number(connection)
    locks.hold_exports(connection)
    months = kept_exports.new_months(connection, target, filters, through)
    if not months:
        raise Refused(
            "export", target, "expected entries that did not go out yet: nothing is new (--status says what went out)"
        )
    parts = [month.part(filters, through) for month in months]
    with _proven(connection, kind, parts, mapping, path, how.progress) as done:
        items = kind.objects.items(path.with_name(f".{path.name}.part")) if kind.objects else ()
        export_id = kept_exports.keep(
            connection, mapping, months, through, done.count, done.totals, done.place.name, by, items
        )
        connection.commit()
    return Exported(done.place, f"export {export_id}, {done.summary}")


def export_again(connection: Connection, target: str, export_id: int, output: str | None, how: How) -> Exported:
    """Write the file of a kept export once more: entries never change, so it says the same.

    Raises UnknownReference for an export of that number, Refused where the mapping is another one by now.
    """
    was = kept_exports.find(connection, target, export_id)
    filters = Filters(entity=was.entity)
    kind = TARGETS[target]
    mapping = read_mapping(connection, target, filters, replace(how, detail=cast("Detail", was.detail)))
    if mapping.fingerprint != was.mapping:
        wanted = f"the mapping file whose SHA-256 is {was.mapping}" if was.mapping else "no mapping file"
        raise Refused(
            "mapping", mapping.fingerprint or "missing", f"expected {wanted}, with which export {export_id} was written"
        )
    path = _place(output or kind.file)
    named = was.naming(connection)
    parts = [replace(month.part(filters, was.through), **named) for month in was.months]
    with _proven(connection, kind, parts, mapping, path) as done:
        compare(path, {name: Decimal(net) for name, net in json.loads(was.totals).items()}, done.totals)
    return Exported(done.place, f"export {export_id} again, {done.summary}")


def export_status(connection: Connection, target: str, filters: Filters) -> Report:
    """What went out for a target, and what is new. Raises Refused where the entity must be named."""
    filters = replace(filters, entity=filters.entity or periods.only_entity(connection))
    check_filters(connection, filters)
    last = connection.scalar(text("select coalesce(max(entry_id), 0) from entry"))
    return kept_exports.status(connection, target, filters, last or 0)


@dataclass(slots=True)
class _Done:
    """A file as written and read back, or several, and where they go."""

    count: int
    totals: dict[str, Decimal]
    what: str
    place: Path
    files: int

    @property
    def summary(self) -> str:
        """How much of what."""
        return f"{self.count:,} {self.what}" + (f" in {self.files:,} files" if self.files > 1 else "")


@contextmanager
def _proven(
    connection: Connection,
    kind: Target,
    parts: Sequence[Part],
    mapping: Mapping,
    path: Path,
    progress: Callable[[int], None] | None = None,
) -> Iterator[_Done]:
    """Write a file beside its place and tie it out; it takes its place once the caller's block ends well.

    Where the other system takes only so much of it at once, it is several files in a folder.
    """
    check(connection, kind, parts, mapping)
    unproven = path.with_name(f".{path.name}.part")
    beside = TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent)
    try:
        count = _write(connection, kind, parts, mapping, unproven, progress)
        if not count:
            raise Refused("export", mapping.target, "expected postings to export; none match")
        read_back = kind.objects.totals if kind.objects is not None and mapping.makes_customers else kind.totals
        totals = read_back(unproven, mapping, to_decimal(1, periods.currency(connection, mapping.entity)))
        compare(path, expected_totals(connection, kind, parts, mapping), totals)
        made = _in_pieces(kind, mapping, unproven, path, Path(beside.name), totals)
        place = pieces.folder_of(path) if made else path
        yield _Done(count, totals, _what(kind, mapping), place, max(len(made), 1))
        pieces.put(unproven, made, path) if kind.most else unproven.replace(path)
    finally:
        beside.cleanup()
        unproven.unlink(missing_ok=True)


def _in_pieces(
    kind: Target, mapping: Mapping, whole: Path, path: Path, folder: Path, totals: MappingOf[str, Decimal]
) -> list[Path]:
    """The files that a system takes a table in, where it would not take it in one: each balances, and all come to the whole."""
    if kind.most is None:
        return []
    place = pieces.folder_of(path)
    if place.exists() and not place.is_dir():
        raise Refused("output", str(path), f"expected a place beside which there is no file {place.name}")
    made = pieces.write(whole, kind.most, place.name, folder)
    sums: dict[str, Decimal] = {}
    for file in made:
        found = kind.totals(file, mapping, Decimal(0))
        compare(file, {"in all": Decimal(0)}, {"in all": sum(found.values(), Decimal(0))})
        for account, amount in found.items():
            sums[account] = sums.get(account, Decimal(0)) + amount
    if made:
        compare(place, totals, sums)
    return made


def check_export(connection: Connection, target: str, filters: Filters, how: How = How()) -> str:
    """What would be exported, in a sentence; nothing is written. Raises Refused where it could not be."""
    filters = replace(filters, entity=filters.entity or periods.only_entity(connection))
    check_filters(connection, filters)
    kind = TARGETS[target]
    mapping = read_mapping(connection, target, filters, how)
    parts = [Part(filters)]
    check(connection, kind, parts, mapping)
    with TemporaryDirectory() as folder:
        path = Path(folder) / kind.file
        count = _write(connection, kind, parts, mapping, path)
        made = pieces.write(path, kind.most, path.stem, Path(folder)) if kind.most else []
    files = f" in {len(made):,} files" if made else ""
    told = f"{count:,} {_what(kind, mapping)} by {mapping.detail}{files}; every account used is mapped"
    return told + kind.unknown(mapping, accounts_of(connection, parts, mapping))


def read_mapping(connection: Connection, target: str, filters: Filters, how: How) -> Mapping:
    """The mapping of a target for the entity exported. Raises Refused for one that says nothing, or too much."""
    assert filters.entity is not None, "chosen by the caller"
    kind = TARGETS[target]
    defaults = mappings.Defaults(
        kind.detail, kind.own, kind.currencies, kind.objects is not None,
        kind.objects is None or kind.objects.receivable_by_currency, kind.columns, how.detail,
    )  # fmt: skip
    return mappings.read(connection, target, filters.entity, Path(how.mapping) if how.mapping else None, defaults)


def _what(kind: Target, mapping: Mapping) -> str:
    """What a file holds."""
    return "objects" if kind.objects is not None and mapping.makes_customers else kind.what


def _told(things: Iterable[_Thing], progress: Callable[[int], None] | None) -> Iterator[_Thing]:
    """The same things; every so many, how many there were is told."""
    count = 0
    for count, thing in enumerate(things, 1):
        if progress is not None and count % _TOLD_EVERY == 0:
            progress(count)
        yield thing
    if progress is not None:
        progress(count)


def _write(
    connection: Connection,
    kind: Target,
    parts: Sequence[Part],
    mapping: Mapping,
    path: Path,
    progress: Callable[[int], None] | None = None,
) -> int:
    refusals = Refusals()
    if kind.objects is not None and mapping.makes_customers:
        things = invoices_and_payments.everything(connection, parts, mapping, kind.lines_max, kind.number_max)
        count = kind.objects.write(path, _told(things, progress), mapping, refusals)
    else:
        found = selection.entries(connection, parts, mapping, kind.lines_max, kind.number_max)
        count = kind.write(path, _told(found, progress), mapping, refusals)
    refusals.require_none()
    return count


def _export_books(connection: Connection, kind: _Books, filters: Filters, output: str | None) -> Exported:
    path = _place(output or kind.place, folder=kind.folder)
    expected: dict[str, Decimal] = {}
    for balance in account_balances(connection, filters):
        expected[balance.code] = expected.get(balance.code, Decimal(0)) + to_decimal(balance.net, balance.currency)
    with TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as beside:
        unproven = Path(beside) if kind.folder else Path(beside) / path.name
        summary = kind.write(connection, unproven, filters)
        compare(path, expected, kind.totals(unproven))
        if kind.folder:
            path.mkdir(exist_ok=True)
            for file in sorted(unproven.iterdir()):
                file.replace(path / file.name)
        else:
            unproven.replace(path)
    return Exported(path, summary)


def _place(output: str, *, folder: bool = False) -> Path:
    """Where to write. Raises Refused where a folder stands in the way of a file, a file in a folder's, or there is no place."""
    path = Path(output)
    if path.exists() and path.is_dir() != folder:
        found, wanted = ("file", "folder") if folder else ("folder", "file")
        raise Refused("output", output, f"expected a {wanted}: there is a {found} of that name")
    if not path.absolute().parent.is_dir():
        raise Refused("output", output, "expected a place in a folder that exists")
    return path
