"""Parquet for warehouses: documents, entries and postings of an entity, a file each, typed so that nothing is rounded on the way.

Amounts are decimals in whole units of their currency; a posting names both its accounts in full, so that no join is needed to
add up. Needs pyarrow, which comes with `pip install tickmark[parquet]`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, text

from adapters.files.forms import sum_by_account
from ledger.accounts.chart import ROLES
from ledger.amounts.money import exponent
from ledger.errors import Refused
from ledger.journal.references import CALLED
from ledger.reports.report import Filters, narrowed

_BATCH = 50_000
# What a column holds, by the name it has in every file.
_AMOUNTS = ("amount", "functional_amount")
_DAYS = ("effective_on", "occurred_on", "dated_on")
_MOMENTS = ("posted_at",)
_NUMBERS = ("entry", "reverses", "line", "postings")
_BYTES = ("hash",)

_SIDE = ", ".join(
    f"{side}.role as {side}_role, coalesce({side}_p.code, {side}_g.code, {side}_r.code) as {side}_code,"
    f" {side}.subject as {side}_subject, {side}.product as {side}_product"
    for side in ("debit", "credit")
)
_JOINS = " ".join(
    f"join account {side} on {side}.customer_id = p.customer_id and {side}.account_id = p.{side}_account"
    f" join role {side}_r on {side}_r.name = {side}.role"
    f" left join gl_account {side}_g on {side}_g.entity = {side}.entity and {side}_g.role = {side}.role and {side}_g.product = ''"
    f" left join gl_account {side}_p on {side}_p.entity = {side}.entity and {side}_p.role = {side}.role"
    f" and {side}_p.product = {side}.product and {side}.product <> ''"
    for side in ("debit", "credit")
)
# An entry is an entity's where its postings are.
_OF_ENTITY = (
    "exists (select from posting p join account a on a.customer_id = p.customer_id and a.account_id = p.debit_account"
    " where p.customer_id = e.customer_id and p.entry_id = e.entry_id and a.entity = :entity)"
)
_TABLES = {
    "postings": (
        f"select p.entry_id as entry, p.line, p.effective_on, c.ref as customer, r.code as rule, debit.entity, debit.currency,"
        f" n.currency as functional_currency, {_SIDE}, p.amount, p.functional_amount "
        f"from posting p join customer c using (customer_id) join rule r on r.number = p.rule {_JOINS}"
        " join entity n on n.entity = debit.entity where debit.entity = :entity and {days} order by p.entry_id, p.line"
    ),
    "entries": (
        "select e.entry_id as entry, c.ref as customer, d.type as document_type, d.ref as document, e.effective_on, e.occurred_on,"
        " e.posted_at, e.posted_by, e.reverses, e.posting_count as postings, e.hash "
        "from entry e join customer c using (customer_id)"
        " join document d on d.document_id = e.document_id and d.customer_id in (e.customer_id, 0)"
        f" where {_OF_ENTITY} and {{days}} order by e.entry_id"
    ),
    "documents": (
        f"select d.type, d.ref as document, c.ref as customer, d.dated_on, {CALLED} ->> 'reference' as reference,"
        f" {CALLED} ->> 'external' as external, d.body, d.posted_at, d.posted_by, d.hash "
        "from document d join customer c using (customer_id) where d.document_id in"
        f" (select e.document_id from entry e where {_OF_ENTITY} and {{days}}) order by d.document_id"
    ),
}


def _arrow() -> tuple[ModuleType, ModuleType]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise Refused(
            "export", "parquet", "expected pyarrow to be installed: pip install 'tickmark[parquet]'"
        ) from None


def write(connection: Connection, folder: Path, filters: Filters) -> str:
    """Write the three files into a folder; returns what was written. Raises Refused without pyarrow, or where nothing is posted."""
    arrow, parquet = _arrow()
    counts = {}
    for name, query in _TABLES.items():
        days, parameters = narrowed(filters, since="effective_on", as_of="effective_on")
        result = connection.execute(
            text(query.replace("{days}", days)), parameters | {"entity": filters.entity},
            execution_options={"stream_results": True, "max_row_buffer": 5_000},
        )  # fmt: skip
        columns = list(result.keys())
        schema = arrow.schema([(column, _type(arrow, column)) for column in columns])
        counts[name] = 0
        with parquet.ParquetWriter(folder / f"{name}.parquet", schema, compression="zstd") as file:
            for batch in _batches(result):
                counts[name] += len(batch)
                cells = [[_cell(row, column) for row in batch] for column in columns]
                arrays = [arrow.array(values, type=kind.type) for values, kind in zip(cells, schema, strict=True)]
                file.write_batch(arrow.record_batch(arrays, schema=schema))
        if not counts[name]:
            raise Refused("export", "parquet", "expected postings to export; none match")
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    coming = iter(rows)
    while batch := list(islice(coming, _BATCH)):
        yield batch


def _type(arrow: ModuleType, column: str) -> Any:
    if column in _AMOUNTS:
        return arrow.decimal128(38, 4)
    if column in _DAYS:
        return arrow.date32()
    if column in _MOMENTS:
        return arrow.timestamp("us", tz="UTC")
    if column in _NUMBERS:
        return arrow.int64()
    return arrow.binary() if column in _BYTES else arrow.string()


def _cell(row: Any, column: str) -> Any:
    value = getattr(row, column)
    if column == "amount":
        return Decimal(value).scaleb(-exponent(row.currency))
    if column == "functional_amount":
        return Decimal(value).scaleb(-exponent(row.functional_currency))
    return bytes(value) if column in _BYTES else value


def totals(folder: Path) -> dict[str, Decimal]:
    """Debit less credit by account code, memorandum accounts left out, as the file of postings says."""
    _, parquet = _arrow()
    sums: dict[str, Decimal] = {}
    names = ["debit_role", "debit_code", "credit_role", "credit_code", "functional_amount"]
    for batch in parquet.ParquetFile(folder / "postings.parquet").iter_batches(columns=names):
        columns = batch.to_pydict()
        for sign, side in ((1, "debit"), (-1, "credit")):
            sides = zip(columns[f"{side}_role"], columns[f"{side}_code"], columns["functional_amount"], strict=True)
            found = sum_by_account((code, sign * amount) for role, code, amount in sides if not ROLES[role].memorandum)
            for code, net in found.items():
                sums[code] = sums.get(code, Decimal(0)) + net
    return sums
