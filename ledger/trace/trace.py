"""Tracing: from any number to the documents it comes from, and to what became of it.

A thing is linked to others by its document (which made entries) and by subject (an entry touches the account of a
grant or an invoice; some document made that grant or invoice). Rooms above the ledger hand in what they know of theirs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence

from sqlalchemy import Connection, text

from ledger.amounts.money import to_text
from ledger.documents import personal
from ledger.errors import Refused, UnknownReference
from ledger.invoices import stated_amounts
from ledger.journal import references
from ledger.journal.entries import is_number, read_entries
from ledger.trace.documents import customer_changes, document_of, document_step
from ledger.trace.entries import entry_step, later_entries, on_cash, trace_entry
from ledger.trace.money import money_on
from ledger.trace.names import named_by
from ledger.trace.sequels import about, made_subjects, stood_for
from ledger.trace.steps import STEPS_MAX, Room, Step, Trace, Tracing
from ledger.trace.usage import superseding, usage_steps
from ledger.usage.allotment import billed_by_invoice, bills_of_usage

# What things a name may be of, each by its kind and id, are all that who asks may see.
Seen = Callable[[Sequence[tuple[str, str]]], Sequence[tuple[str, str]]]
_EXPECTED = (
    "expected an entry's number, a document such as invoice:INV-1{things}, or what a document is called"
    " elsewhere: stripe:ch_1 or its reference"
)


def expected(rooms: Sequence[Room]) -> str:
    """What can be traced, in words."""
    return _EXPECTED.format(things="".join(f", an {kind}" for room in rooms for kind in room.things))


def trace(
    connection: Connection,
    ref: str,
    seen: Seen = lambda things: things,
    entities: Collection[str] | None = None,
    rooms: Sequence[Room] = (),
) -> Trace:
    """Trace an entry, a document, a thing of a room, or what a document is called elsewhere.

    An entry is named by its number (48218), a document by its type and id, or its id alone (invoice:INV-1, or INV-1). What is nobody's id here is looked for among external ids (stripe:ch_1, or ch_1) and references (reference:PO-17, or PO-17).
    Of things whose ids are a customer's own, those of some entities alone are found where these are given. Raises UnknownReference,
    or Refused where it is of several things that are `seen`.
    """
    tracing = Tracing(connection, rooms)
    kind, _, rest = ref.partition(":")
    for room in rooms if rest else ():
        if kind in room.things:
            return room.things[kind](tracing, rest, entities)
    number = _number(rest)
    if kind == "entry" and number is not None:
        return trace_entry(tracing, number)
    if rest and connection.scalar(
        text("select count(*) from document_key where type = :type and ref = :ref"), {"type": kind, "ref": rest}
    ):
        return _trace_document(tracing, kind, rest)
    of_id = seen([(type_, ref) for type_ in _types_of(connection, ref)])
    found = of_id or seen(_called(connection, ref))
    if not found:
        raise UnknownReference("ref", ref, expected(rooms))
    if len(found) > 1:
        choices = ", ".join(f"{kind}:{name}" for kind, name in found[:STEPS_MAX])
        said = "documents have this id" if of_id else "things are called so"
        raise Refused("ref", ref, f"several {said}; expected one of {choices}")
    ((kind, name),) = found
    return trace_entry(tracing, int(name)) if kind == "entry" else _trace_document(tracing, kind, name)


def _types_of(connection: Connection, ref: str) -> list[str]:
    rows = connection.execute(text("select type from document_key where ref = :ref order by type"), {"ref": ref})
    return list(rows.scalars())


def _called(connection: Connection, ref: str) -> list[tuple[str, str]]:
    """The entry of a number, and the documents that are called so elsewhere."""
    entries = connection.scalars(text("select entry_id from entry where entry_id = :number"), {"number": _number(ref)})
    return [*(("entry", str(entry)) for entry in entries), *references.called(connection, ref)]


def _number(written: str) -> int | None:
    """The number of an entry as people write it, 48,218; None for what is none."""
    plain = written.replace(",", "")
    return int(plain) if is_number(plain) else None


def _trace_document(tracing: Tracing, kind: str, ref: str) -> Trace:
    """A document with its entries, what it names, and what became of it."""
    connection = tracing.connection
    row = document_of(connection, kind, ref)
    body = personal.shown(connection, row.customer_id, row.document_id, json.loads(row.body))
    entries = read_entries(connection, "e.document_id = :document_id", {"document_id": row.document_id})
    made = made_subjects(tracing, row)
    dated = f" of {row.dated_on}" if row.dated_on else ""
    called = "".join(f", {words}" for words in references.said(body))
    title = f"{kind} {ref}{dated}{called}, posted {row.posted_at:%Y-%m-%d %H:%M:%S} UTC by {row.posted_by}"
    results = [entry_step(entry, 0) for entry in entries]
    if kind == "invoice":
        parts = connection.scalars(
            text("select ref from invoice where customer_id = :customer_id and master = :ref order by invoice_id"),
            {"customer_id": row.customer_id, "ref": ref},
        )
        results += [document_step(connection, "invoice", part, 0) for part in list(parts)]
    for room in tracing.rooms:
        results += room.changed(connection, row, made)
    if kind == "customer":
        results += customer_changes(connection, row.customer_id)
    results += later_entries(connection, row.customer_id, row.document_id, made)
    if kind == "invoice":
        results += money_on(connection, row)
    if kind == "money_account":
        results += [
            Step("entry", str(e.entry_id), f"{e.effective_on} {e.document}: {e.amounts()}", 1)
            for e in on_cash(connection, ref)
        ]
    results += about(connection, kind, ref)
    sources = named_by(tracing, kind, ref, depth=0)
    if kind == "invoice":
        sources += usage_steps(billed_by_invoice(connection, row.customer_id, row.document_id), "usage")
    if kind in ("invoice", "credit_note"):
        sources += [
            Step(
                "stated", f"line {one.line}",
                f"{one.what} {to_text(one.stated, one.currency)} {one.currency}, {to_text(one.computed, one.currency)} worked out", 0,
            )
            for one in stated_amounts.of_document(connection, row.customer_id, row.document_id)
        ]  # fmt: skip
    if kind == "usage":
        results += usage_steps(bills_of_usage(connection, row.customer_id, row.document_id), "invoice")
        results += [Step("usage", one, "supersedes it") for one in superseding(connection, row)]
    if kind == "approval_rule":
        results += stood_for(connection, ref)
    return Trace(kind, ref, title, tuple(entries), tuple(sources), tuple(results), body)
