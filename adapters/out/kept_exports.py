"""Exports that are kept: which entries of which months went into which system, so that the next takes only what is new.

A kept export covers, of each month, the entries after the number the one before reached, up to the last that was settled when it
began. Entries never change, so what comes late into a month that went out already is the difference, and goes alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from sqlalchemy import Connection, text

from adapters.selected.mapping import Mapping
from adapters.selected.selection import KEPT_ROLES, Part
from ledger.amounts.dates import month_end, month_start, month_text
from ledger.errors import Refused, UnknownReference
from ledger.reports.report import Column, Filters, Report, sides

_ITEMS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Month:
    """A month of an export: its entries after a number; the first export of a month is generation 1."""

    month: date
    after: int
    generation: int

    def part(self, filters: Filters, through: int) -> Part:
        """The postings it covers."""
        narrowed = replace(filters, since=self.month, as_of=month_end(self.month))
        return Part(narrowed, self.after, through, self.generation)


def require_whole_months(filters: Filters) -> None:
    """Raise Refused where part of a month is asked for: what is kept is kept by month."""
    if filters.since is not None and filters.since != month_start(filters.since):
        raise Refused("from", filters.since, "expected the first day of a month: what is new is kept by month")
    if filters.as_of is not None and filters.as_of != month_end(filters.as_of):
        raise Refused("to", filters.as_of, "expected the last day of a month: what is new is kept by month")


def new_months(connection: Connection, target: str, filters: Filters, through: int) -> list[Month]:
    """The months with entries up to a number that no kept export of a target covers, each with where it begins."""
    source, parameters = sides(filters, *KEPT_ROLES, through=through)
    rows = connection.execute(
        text(
            "with kept as ("
            " select p.month, max(r.through_entry) as after, count(*) as times from export_part p join export_run r using (export_id)"
            " where p.target = :target and p.entity = :entity group by 1"
            f"), posted as (select date_trunc('month', effective_on)::date as month, max(entry_id) as last from ({source}) x group by 1) "
            "select month, coalesce(after, 0) as after, coalesce(times, 0) + 1 as generation from posted left join kept using (month) "
            "where last > coalesce(after, 0) order by month"
        ),
        parameters | {"target": target},
    )
    return [Month(*row) for row in rows]


def keep(
    connection: Connection,
    mapping: Mapping,
    months: list[Month],
    through: int,
    count: int,
    totals: MappingOf[str, Decimal],
    file: str,
    by: str,
    items: Iterable[tuple[str, str, str]] = (),
) -> int:
    """Record an export that was written and tied, with what it holds to be sent (kind, number, body); returns its number."""
    export_id = connection.execute(
        text(
            "insert into export_run (target, entity, detail, mapping, through_entry, entries, totals, file, by)"
            " values (:target, :entity, :detail, :mapping, :through, :count, :totals, :file, :by) returning export_id"
        ),
        {
            "target": mapping.target, "entity": mapping.entity, "detail": mapping.detail, "mapping": mapping.fingerprint,
            "through": through, "count": count, "totals": json.dumps({name: str(net) for name, net in sorted(totals.items())}),
            "file": file, "by": by,
        },
    ).scalar_one()  # fmt: skip
    connection.execute(
        text(
            "insert into export_part (target, entity, month, after_entry, export_id) values (:target, :entity, :month, :after, :export)"
        ),
        [
            {
                "target": mapping.target,
                "entity": mapping.entity,
                "month": month.month,
                "after": month.after,
                "export": export_id,
            }
            for month in months
        ],
    )
    numbered = enumerate(items, 1)
    while some := list(islice(numbered, _ITEMS_AT_ONCE)):
        connection.execute(
            text("insert into export_item (export_id, place, kind, number, body) values (:export, :place, :kind, :number, :body)"),
            [
                {"export": export_id, "place": place, "kind": kind, "number": number, "body": body}
                for place, (kind, number, body) in some
            ],
        )  # fmt: skip
    return int(export_id)


@dataclass(frozen=True, slots=True)
class Kept:
    """An export that was kept."""

    export_id: int
    target: str
    entity: str
    detail: str
    mapping: str
    through: int
    entries: int
    totals: str
    file: str
    at: datetime
    by: str
    months: list[Month]

    def naming(self, connection: Connection) -> dict[str, Any]:
        """As on which day, and by which documents, its customers were named."""
        last = connection.scalar(text("select max(document_id) from document where posted_at <= :at"), {"at": self.at})
        return {"named_on": self.at.astimezone(UTC).date(), "named_before": (last or 0) + 1}


def find(connection: Connection, target: str, export_id: int, option: str = "again") -> Kept:
    """A kept export of a target, that an option names. Raises UnknownReference."""
    row: Any = connection.execute(
        text(
            "select export_id, target, entity, detail, mapping, through_entry as through, entries, totals, file, at, by"
            " from export_run where export_id = :export and target = :target"
        ),
        {"export": export_id, "target": target},
    ).first()
    if row is None:
        raise UnknownReference(option, export_id, f"expected the number of a kept export for {target}: see --status")
    return Kept(**row._mapping, months=list(_months(connection, export_id)))


def _months(connection: Connection, export_id: int) -> Iterator[Month]:
    rows = connection.execute(
        text(
            "select p.month, p.after_entry, (select count(*) from export_part o where (o.target, o.entity, o.month)"
            " = (p.target, p.entity, p.month) and o.after_entry <= p.after_entry) as generation "
            "from export_part p where p.export_id = :export order by p.month"
        ),
        {"export": export_id},
    )
    for row in rows:
        yield Month(*row)


# What became of an item when it was last sent, wherever that was.
_OUTCOME = (
    "(select a.outcome from export_attempt t left join export_answer a using (export_id, place, attempt)"
    " where t.export_id = i.export_id and t.place = i.place order by t.attempt desc limit 1)"
)


def status(connection: Connection, target: str, filters: Filters, through: int) -> Report:
    """What went out for a target, export by export, and the months in which something is still to go."""
    found = connection.execute(
        text(
            "select r.export_id, r.at, r.by, r.detail, r.entries, r.file, min(p.month) as first, max(p.month) as last,"
            " bool_or(p.after_entry > 0) as later,"
            " (select count(*) from export_item i where i.export_id = r.export_id) as items,"
            f" (select count(*) from export_item i where i.export_id = r.export_id and {_OUTCOME} in ('made', 'found', 'left')) as sent,"
            f" (select count(*) from export_item i where i.export_id = r.export_id and {_OUTCOME} = 'refused') as refused "
            "from export_run r join export_part p using (export_id) where r.target = :target and r.entity = :entity group by 1 order by 1"
        ),
        {"target": target, "entity": filters.entity},
    ).all()
    columns = (
        Column("export", "Export"), Column("months", "Months"), Column("detail", "By"), Column("entries", "Entries", "number"),
        Column("file", "File"), Column("sent", "Sent"), Column("at", "When"), Column("who", "Who"), Column("what", "What"),
    )  # fmt: skip
    rows = [
        {
            "export": str(run.export_id), "months": _span(run.first, run.last), "detail": run.detail, "entries": run.entries,
            "file": run.file, "sent": f"{run.sent:,} of {run.items:,}" if run.items else "", "at": run.at.isoformat(timespec="seconds"), "who": run.by,
            "what": "what came late, too" if run.later else "",
        }
        for run in found
    ]  # fmt: skip
    new = new_months(connection, target, filters, through)
    notes = [
        f"{month_text(month.month)}: {'nothing went out yet' if month.after == 0 else f'entries after {month.after} are new'}"
        for month in new
    ] or ["nothing is new: every entry went out"]
    notes += [
        f"export {run.export_id}: {run.refused:,} refused; `tickmark report exported` says why, --send {run.export_id} tries again"
        for run in found
        if run.refused
    ]
    return Report(
        "exports",
        f"Exports of {filters.entity} for {target}",
        columns,
        tuple(rows),
        notes=tuple(notes),
        empty="No export was kept: --new keeps what it writes.",
    )


def _span(first: date, last: date) -> str:
    return month_text(first) if first == last else f"{month_text(first)} to {month_text(last)}"
