"""What a key for some entities may post, trace and find: only what is of these, as if nothing else were there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, text
from werkzeug.exceptions import Forbidden

from adapters.out import trace_back as tracing
from ledger.errors import Refused, UnknownReference
from ledger.journal.entries import EntryFacts
from ledger.trace.steps import Step, Trace
from revrec.trace import EXPECTED
from web.access.naming import ENTITY_OF, Thing, entities_of, is_open
from web.access.within import MAY_CHANGE, OF_CUSTOMERS

# Facts about parties that every entity shares; what else is of no entity needs a key for all. Who bills a customer may change it,
# and say how it is named.
_SHARED = ("customer", "customer_change", "product")

# Whether an entry `e` moves anything of other entities.
ELSEWHERE = (
    "exists (select from posting p join account a on a.customer_id = p.customer_id"
    " and a.account_id in (p.debit_account, p.credit_account)"
    " where p.customer_id = e.customer_id and p.entry_id = e.entry_id and a.entity <> all(cast(:entities as text[])))"
)


def require_posted_within(connection: Connection, by: str, entities: Sequence[str]) -> None:
    """Hold what this transaction posted to some entities: raises Refused, naming the first document that is of another, or of all.

    What names something of others was refused before (`web.access.within`). Raises Forbidden for a change of a customer that other entities
    bill, too, or details of it for all.
    """
    _require_bills_of_changed(connection, by, entities)
    row: Any = connection.execute(
        text(
            f"select d.type, d.ref from document d where d.posted_at = now() and d.posted_by = :by"
            f" and not (d.type = any(:shared) or (d.type = 'details' and d.body::jsonb ->> 'entity' is null)) and coalesce({ENTITY_OF}, '') <> all(cast(:entities as text[])) "
            "union all "
            "select d.type, d.ref from entry e join document d on d.document_id = e.document_id and d.customer_id in (e.customer_id, 0)"
            " join posting p on p.customer_id = e.customer_id and p.entry_id = e.entry_id"
            " join account a on a.customer_id = p.customer_id and a.account_id in (p.debit_account, p.credit_account)"
            " where e.posted_at = now() and e.posted_by = :by and a.entity <> all(cast(:entities as text[])) limit 1"
        ),
        {"by": by, "entities": list(entities), "shared": list(_SHARED)},
    ).first()
    if row is not None:
        shown = " or ".join(entities)
        raise Refused("entity", f"{row.type} {row.ref}", f"expected documents of {shown}, for which this key is")


def _require_bills_of_changed(connection: Connection, by: str, entities: Sequence[str]) -> None:
    """Hold changes of customers, and details of them for all entities, to those whom these alone bill, or who are the key's own and billed by nobody."""
    row: Any = connection.execute(
        text(
            "select d.type, d.ref, d.body::jsonb ->> 'customer' as customer from document d"
            " where d.type = any(:types) and d.body::jsonb ->> 'entity' is null and d.posted_at = now() and d.posted_by = :by"
            f" and not {MAY_CHANGE.format('d.customer_id')} order by d.document_id limit 1"
        ),
        {"by": by, "entities": list(entities), "types": list(OF_CUSTOMERS)},
    ).first()
    if row is not None:
        raise Forbidden(
            f"{row.type} {row.ref}: expected a key for all entities, or for those that bill customer {row.customer} and all of them"
            + ("; details with an `entity` hold on what that entity sends alone" if row.type == "details" else "")
        )


def seen_within(
    connection: Connection, entities: Sequence[str] | None, things: Sequence[tuple[str, str]]
) -> Sequence[tuple[str, str]]:
    """Those of several things of a name, each by its kind and id, that are of some entities alone."""
    if entities is None:
        return things
    return [thing for thing in things if is_open(thing[0], _entities_of(connection, *thing), entities)]


def require_document(
    connection: Connection, kind: str, ref: str, entities: Sequence[str] | None, expected: str
) -> None:
    """Raise UnknownReference for a document that is of other entities, or of others too: as one of several entities, on every face of it."""
    if entities is not None and not is_open(kind, _entities_of(connection, kind, ref), entities):
        raise UnknownReference(kind, ref, expected)


def trace_within(connection: Connection, wanted: str, entities: Sequence[str] | None, ref: str | None = None) -> Trace:
    """A trace (`adapters.out.trace_back`) without what is of other entities; `ref` is what was asked for, where that is told otherwise.

    Raises UnknownReference for a thing that is of another itself, and with the same words for what is not there.
    """
    if entities is None:
        return tracing.trace(connection, wanted)
    unknown = UnknownReference("ref", wanted if ref is None else ref, EXPECTED)
    if (of := tracing.entity_summed(wanted)) is not None and of not in entities:
        raise unknown  # before it is asked where that went
    try:
        found = tracing.trace(connection, wanted, partial(seen_within, connection, entities), entities)
    except UnknownReference:
        raise unknown from None
    if not is_open(found.kind, _entities_of(connection, found.kind, found.ref), entities):
        raise unknown
    seen = set(entities)
    return replace(
        found,
        sources=_within(connection, found.sources, seen),
        results=_within(connection, found.results, seen),
    )


def _within(connection: Connection, steps: Sequence[Step], wanted: set[str]) -> tuple[Step, ...]:
    return tuple(
        step
        for step in steps
        if step.kind in _WITH_THE_REST or is_open(step.kind, _entities_of(connection, step.kind, step.ref), wanted)
    )


# Steps that go with what they were found at.
_WITH_THE_REST = ("events", "more", "sealed", "stated", "exported", "sent")


def _entities_of(connection: Connection, kind: str, ref: str) -> set[str]:
    """The entities that a traced thing is of."""
    if kind == "entry":
        rows = connection.scalars(
            text(
                "select distinct a.entity from posting p join account a on a.customer_id = p.customer_id"
                " and a.account_id in (p.debit_account, p.credit_account) where p.entry_id = :entry"
            ),
            {"entry": int(ref.replace(",", ""))},
        )
    elif kind in ("export", "line"):
        rows = connection.scalars(
            text(
                "select entity from entity where :ref like '%TM-' || entity || '-%' order by length(entity) desc limit 1"
            ),
            {"ref": ref},
        )
    else:
        return entities_of(connection, [Thing(kind, ref)]).get(Thing(kind, ref), set())
    return {entity for entity in rows if entity is not None}


def require_entry(entry: EntryFacts, entities: Sequence[str] | None) -> None:
    """Raise UnknownReference for an entry that moves anything of other entities."""
    if entities is not None and not {line.entity for line in entry.lines} <= set(entities):
        raise UnknownReference("entry", entry.entry_id, "expected the number of an entry in the books")
