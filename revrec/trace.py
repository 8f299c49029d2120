"""Tracing obligations: what promised them, and what changed them since."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, text

from ledger.errors import UnknownReference
from ledger.trace import names
from ledger.trace import trace as of_ledger
from ledger.trace.documents import describe, document_step
from ledger.trace.entries import entry_step, on_subjects
from ledger.trace.steps import Room, Step, Trace, Tracing
from ledger.trace.trace import Seen


def trace(
    connection: Connection, ref: str, seen: Seen = lambda things: things, entities: Collection[str] | None = None
) -> Trace:
    """Trace anything in the books, or an obligation: obligation:C-1-seats.

    All else as `ledger.trace.trace` does.
    """
    return of_ledger.trace(connection, ref, seen, entities, ROOMS)


def names_of(kind: str) -> dict[str, str]:
    """The types of the documents that fields of a kind of document name, by field."""
    return names.names_of(kind, ROOMS)


def _trace_obligation(tracing: Tracing, ref: str, entities: Collection[str] | None) -> Trace:
    """An obligation: what promised it, what changed it, and the entries on its accounts."""
    connection, subject = tracing.connection, f"obligation:{ref}"
    row = connection.execute(
        text(
            "select * from performance_obligation where subject = :subject"
            " and (cast(:entities as text[]) is null or entity = any(:entities)) order by customer_id limit 1"
        ),
        {"subject": subject, "entities": None if entities is None else list(entities)},
    ).first()
    if row is None:
        raise UnknownReference("obligation", ref, "expected the id of an obligation in the books")
    entries = on_subjects(connection, row.customer_id, [subject])
    title = f"obligation {ref}: {row.product}, {row.pattern}, {row.starts_on} to {row.ends_on}"
    changes = _changes(connection, row.customer_id, 0, [subject])
    made = [step for step in changes if step.kind != "contract"]
    results = (*made, *(entry_step(entry, 0) for entry in entries))
    return Trace("obligation", ref, title, (), (_maker(connection, row),), results)


def _changes(connection: Connection, customer_id: int, document_id: int, subjects: Sequence[str]) -> list[Step]:
    """The documents that changed what obligations earn by when.

    Whether they post anything or not.
    """
    rows = connection.execute(
        text(
            "select distinct d.type, d.ref, d.dated_on, d.document_id, d.body from obligation_terms v"
            " join document d on d.customer_id in (v.customer_id, 0) and d.document_id = v.document_id"
            " where v.customer_id = :customer_id and v.subject = any(:subjects) and d.document_id <> :document_id"
            " order by d.dated_on, d.document_id"
        ),
        {"customer_id": customer_id, "subjects": list(subjects), "document_id": document_id},
    )
    return [Step(row.type, row.ref, describe(row), 0) for row in rows if row.type != "invoice"]


def _changed(connection: Connection, document: Any, made: Sequence[str]) -> list[Step]:
    """The documents that changed what a contract promises."""
    if document.type != "contract":
        return []
    return _changes(connection, document.customer_id, document.document_id, made)


def _made(connection: Connection, document: Any) -> list[str]:
    """The obligations that a contract or an invoice made."""
    if document.type not in ("contract", "invoice"):
        return []
    rows = connection.scalars(
        text(
            "select subject from performance_obligation where customer_id = :customer_id "
            "and (contract = :contract or invoice = :invoice)"
        ),
        {
            "customer_id": document.customer_id,
            "contract": document.ref if document.type == "contract" else None,
            "invoice": document.ref if document.type == "invoice" else None,
        },
    )
    return list(rows)


def _makers(connection: Connection, customer_id: int | None, subject: str, depth: int) -> list[Step]:
    """The contract or invoice that promises a customer's obligation."""
    rows = connection.execute(
        text(
            "select contract, invoice from performance_obligation where subject = :subject and customer_id = :customer_id"
        ),
        {"subject": subject, "customer_id": customer_id},
    )
    return [_maker(connection, row, depth) for row in rows]


def _maker(connection: Connection, obligation: Any, depth: int = 0) -> Step:
    """The contract or invoice that promises an obligation."""
    if obligation.contract is not None:
        return document_step(connection, "contract", obligation.contract, depth)
    return document_step(connection, "invoice", obligation.invoice, depth)


ROOMS = (
    Room(
        names={"cost": "contract_cost"},
        things={"obligation": _trace_obligation},
        makers={"obligation": _makers},
        made=_made,
        changed=_changed,
    ),
)
EXPECTED = of_ledger.expected(ROOMS)
