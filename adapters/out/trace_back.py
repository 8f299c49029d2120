"""Tracing across the border: from a number in another system to the entries behind it, and from those to where they went."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import date
from itertools import islice
from typing import Any

from sqlalchemy import Connection, text

from adapters.selected.entry import own_number
from adapters.selected.selection import Part, sides_of
from ledger.amounts.dates import month_end, month_start, month_text
from ledger.amounts.money import grouped
from ledger.errors import Refused, UnknownReference
from ledger.journal.entries import EntryFacts
from ledger.reports.report import Filters
from ledger.trace.steps import STEPS_MAX, Step, Trace
from ledger.trace.trace import Seen
from revrec import trace as tracing

# TM-us-2026-01, TM-us-20260131; of what came late .2, of another currency -EUR, of a long entry's part -3; a line of it :revenue/tokens
_SUMMARY = re.compile(
    r"(?:(?P<target>[a-z-]+):)?TM-(?P<entity>.+)-(?P<on>\d{4}-\d{2}|\d{8})(?:\.(?P<generation>\d+))?(?:-(?P<currency>[A-Z]{3}))?"
    r"(?:-(?P<part>\d+))?(?::(?P<role>[a-z_]+)(?:/(?P<product>.+))?)?"
)
_ENTRY = re.compile(r"TM-e(?P<entry>\d+)(?:-[A-Z]{3})?(?:-\d+)?")
_DOCUMENT = re.compile(r"TM-d(?P<document>\d+)-\d{6}(?:-[A-Z]{3})?(?:-\d+)?")
_LENGTHS = (21, 50)  # of the numbers that documents have in the systems they can be sent to


def trace(
    connection: Connection, ref: str, seen: Seen = lambda things: things, entities: Collection[str] | None = None
) -> Trace:
    """Trace anything in the books, or a journal entry's number in another system (TM-us-2026-01), both ways.

    Of obligations, those of some entities alone are found where these are given. Raises UnknownReference, or Refused where a name or
    number is of several things that are `seen`.
    """
    if found := _ENTRY.fullmatch(ref):
        return _with_exports(connection, tracing.trace(connection, f"entry:{found['entry']}"))
    if found := _DOCUMENT.fullmatch(ref):
        row = connection.execute(
            text("select type, ref from document where document_id = :document"), {"document": found["document"]}
        ).first()
        if row is not None:
            return _with_exports(connection, tracing.trace(connection, f"{row.type}:{row.ref}"))
    if found := _SUMMARY.fullmatch(ref):
        return _summary(connection, ref, found)
    try:
        return _with_exports(connection, tracing.trace(connection, ref, seen, entities))
    except UnknownReference:
        if "TM-" not in ref:
            raise
        raise UnknownReference(
            "ref", ref, f"{tracing.EXPECTED}; or a number such as TM-us-2026-01: where that was too long for a system, its memo says which month or day it sums up"
        ) from None  # fmt: skip


def entity_summed(ref: str) -> str | None:
    """Whose entries a number in another system sums up, as it says itself; None for what is no such number."""
    found = None if _ENTRY.fullmatch(ref) or _DOCUMENT.fullmatch(ref) else _SUMMARY.fullmatch(ref)
    return found["entity"] if found else None


def _summary(connection: Connection, ref: str, found: re.Match[str]) -> Trace:
    """A summary entry: its lines, each with the entries behind it as a step further."""
    first, last = _span(found["on"])
    entity = found["entity"]
    if not connection.scalar(text("select count(*) from entity where entity = :entity"), {"entity": entity}):
        raise UnknownReference(
            "ref", ref, f"expected the number of an entry of an entity in the books, not of {entity}"
        )
    parts = _parts(connection, ref, entity, first, found["target"], int(found["generation"] or 1))
    filters = Filters(entity=entity, since=first, as_of=last, currency=found["currency"])
    part = replace(parts, filters=filters)
    plain = ref.partition(":")[0] if found["role"] and not found["target"] else ref
    span = month_text(first) if last == month_end(first) and last != first else str(first)
    title = f"{plain}: what was posted for {entity} in {span}" + (
        f", from entry {part.after + 1:,}" if part.after else ""
    ) + (f" to {part.through:,}" if part.through else "")  # fmt: skip
    if found["role"]:
        steps = _entries_behind(connection, part, found["role"], found["product"])
        return Trace("export", ref, title, sources=tuple(steps))
    rows = list(_lines(connection, part))
    return Trace("export", ref, title, sources=tuple(
        Step("line", f"{ref}:{row.role}" + (f"/{row.product}" if row.product else ""), _line_text(row)) for row in rows
    ))  # fmt: skip


def _span(on: str) -> tuple[date, date]:
    try:
        if "-" in on:
            first = date.fromisoformat(f"{on}-01")
            return first, month_end(first)
        day = date(int(on[:4]), int(on[4:6]), int(on[6:]))
    except ValueError:
        raise Refused("ref", on, "expected a month or a day that there is") from None
    return day, day


def _parts(connection: Connection, ref: str, entity: str, first: date, target: str | None, generation: int) -> Part:
    """The entries that a generation of a month's exports covers: all there are, where none was kept."""
    rows = connection.execute(
        text(
            "select r.target, p.after_entry, r.through_entry from ("
            " select *, row_number() over (partition by target order by after_entry) as generation from export_part"
            "  where entity = :entity and month = :month) p join export_run r using (export_id) "
            "where p.generation = :generation and (cast(:target as text) is null or r.target = :target) order by 1"
        ),
        {"entity": entity, "month": month_start(first), "generation": generation, "target": target},
    ).all()
    windows = {(row.after_entry, row.through_entry) for row in rows}
    if len(windows) > 1:
        choices = ", ".join(f"{row.target}:{ref}" for row in rows)
        raise Refused("ref", ref, f"it went to several systems, not with the same entries; expected one of {choices}")
    if not windows:
        if generation > 1 or target:
            raise UnknownReference("ref", ref, "expected the number of an entry of an export that was kept")
        return Part(Filters())
    ((after, through),) = windows
    return Part(Filters(), after, through, generation)


def _lines(connection: Connection, part: Part) -> Iterator[Any]:
    source, parameters = sides_of(part)
    yield from connection.execute(
        text(
            "select x.role, x.product, coalesce(g.code, r.code) as code, coalesce(g.name, r.title) as title, e.currency,"
            " sum(x.sign * x.functional_amount)::bigint as net, count(*) as postings "
            f"from ({source}) x join role r on r.name = x.role join entity e on e.entity = x.entity "
            "left join gl_account g on g.entity = x.entity and g.role = x.role and g.product in ('', x.product)"
            " and not exists (select from gl_account n where n.entity = g.entity and n.role = g.role and n.product = x.product"
            "  and g.product = '' and x.product <> '') "
            "group by 1, 2, 3, 4, 5 order by 3, 2"
        ),
        parameters,
    )


def _line_text(row: Any) -> str:
    side = "debit" if row.net >= 0 else "credit"
    product = f", {row.product}" if row.product else ""
    postings = f"{row.postings:,} posting{'s' if row.postings != 1 else ''}"
    return f"{row.code} {row.title}{product}: {grouped(abs(row.net), row.currency)} {row.currency} {side}, {postings}"


def _entries_behind(connection: Connection, part: Part, role: str, product: str | None) -> list[Step]:
    source, parameters = sides_of(part, role)
    rows = connection.execute(
        text(
            "select x.entry_id, x.effective_on, d.type, d.ref, e.currency, sum(x.sign * x.functional_amount)::bigint as net,"
            " count(*) over () as entries "
            f"from ({source}) x join entity e on e.entity = x.entity "
            "join entry n on n.customer_id = x.customer_id and n.entry_id = x.entry_id "
            "join document d on d.document_id = n.document_id and d.customer_id in (n.customer_id, 0) "
            "where cast(:product as text) is null or x.product = :product group by 1, 2, 3, 4, 5 order by 2, 1"
        ),
        parameters | {"product": product},
    )
    steps = []
    count = 0
    for row in islice(rows, STEPS_MAX):
        side = "debit" if row.net >= 0 else "credit"
        said = f"{row.effective_on} {row.type} {row.ref}: {grouped(abs(row.net), row.currency)} {row.currency} {side}"
        steps.append(Step("entry", str(row.entry_id), said))
        count = row.entries
    if count > len(steps):
        steps.append(Step("more", "", f"{count - len(steps):,} entries: a day's number has fewer ({_by_day(part)})"))
    return steps


def _by_day(part: Part) -> str:
    return f"TM-{part.filters.entity}-{part.filters.since:%Y%m%d}" if part.filters.since else ""


def _with_exports(connection: Connection, found: Trace) -> Trace:
    """A trace, and where its entries and its document went."""
    steps = [*_runs(connection, found.entries), *_objects(connection, found)]
    return replace(found, results=(*found.results, *steps)) if steps else found


def _runs(connection: Connection, entries: Sequence[EntryFacts]) -> Iterator[Step]:
    """The kept exports that entries were in."""
    if not entries:
        return
    rows = connection.execute(
        text(
            "select distinct r.target, r.export_id, r.at, r.file, p.month, p.entity from unnest(cast(:entries as bigint[]),"
            " cast(:months as date[]), cast(:entities as text[])) w (entry_id, month, entity) "
            "join export_part p on p.month = w.month and p.entity = w.entity and p.after_entry < w.entry_id "
            "join export_run r on r.export_id = p.export_id and r.through_entry >= w.entry_id order by 2, 5"
        ),
        {
            "entries": [entry.entry_id for entry in entries for _ in entry.lines],
            "months": [month_start(entry.effective_on) for entry in entries for _ in entry.lines],
            "entities": [line.entity for entry in entries for line in entry.lines],
        },
    )
    for row in rows:
        said = f"{row.target} export {row.export_id} of {row.at:%Y-%m-%d}, {row.file}, in {month_text(row.month)} of {row.entity}"
        yield Step("exported", f"{row.target}:{row.export_id}", said)


def _objects(connection: Connection, found: Trace) -> Iterator[Step]:
    """What a document or an entry is in the systems it was sent to."""
    if found.kind == "entry":
        numbers, kinds = [f"TM-e{found.ref}"], ["JournalEntry", "journal"]
    elif found.kind in _SENT_AS:
        numbers, kinds = [own_number(found.ref, longest) for longest in _LENGTHS], list(_SENT_AS[found.kind])
    else:
        return
    rows = connection.execute(
        text(
            "select r.target, i.kind, i.number, t.company, a.their_id, a.at from export_item i join export_run r using (export_id) "
            "join export_attempt t using (export_id, place) join export_answer a using (export_id, place, attempt) "
            "where i.number = any(:numbers) and i.kind = any(:kinds) and a.outcome in ('made', 'found') order by a.at"
        ),
        {"numbers": numbers, "kinds": kinds},
    )
    for row in rows:
        said = f"{row.kind} {row.their_id} of company {row.company} in {row.target}, made there on {row.at:%Y-%m-%d}"
        yield Step("sent", f"{row.target}:{row.number}", said)


_SENT_AS = {
    "invoice": ("Invoice", "invoice"),
    "credit_note": ("CreditMemo", "creditnote"),
    "payment": ("Payment", "customerpayment"),
}
