"""Documents as steps: found by type and id, and described in a few words."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, text

from ledger.documents import personal
from ledger.journal import references
from ledger.trace.steps import Step


def document_of(connection: Connection, kind: str, ref: str) -> Any:
    """The row of a document in the books, or None."""
    return connection.execute(
        text(
            "select d.customer_id, d.document_id, d.type, d.ref, d.dated_on, d.body, d.posted_at, d.posted_by "
            "from document_key k join document d on d.customer_id = k.customer_id and d.document_id = k.document_id "
            "where k.type = :type and k.ref = :ref"
        ),
        {"type": kind, "ref": ref},
    ).first()


def customer_changes(connection: Connection, customer_id: int) -> list[Step]:
    """The documents that changed a customer, by their dates, and of one day as they arrived."""
    rows = connection.execute(
        text(
            "select type, ref, dated_on, body from document where customer_id = :customer_id and type = 'customer_change'"
            " order by dated_on, document_id"
        ),
        {"customer_id": customer_id},
    )
    return [Step(row.type, row.ref, describe(row)) for row in rows]


def document_step(connection: Connection, kind: str, ref: str, depth: int) -> Step:
    """A document in the books as a step."""
    row = document_of(connection, kind, ref)
    return Step(kind, ref, describe(row), depth)


def describe(row: Any) -> str:
    """A document in a few words: its day, its amount or quantity, who approved it."""
    body = json.loads(row.body)
    words = [str(row.dated_on)] if row.dated_on else []
    if row.type == "usage" and body.get("amount") is not None:
        words.append(f"{body['product']} for {body['amount']} {body['currency']}")
    elif row.type == "usage":
        words.append(f"{body['quantity']} {body['product']} at {body['unit_price']} {body['currency']}")
    elif row.type == "customer_change":
        words += [_changed(field, value) for field, value in body.items() if field not in _OF_CHANGE]
    elif "amount" in body:
        words.append(" ".join(filter(None, [body["amount"], body.get("currency")])))
    elif row.type == "invoice":
        lines = body["lines"]
        due = f", due {body['due_on']}" if body.get("due_on") else ""
        words.append(f"{len(lines)} line{'s' if len(lines) > 1 else ''}{due}")
    elif "name" in body:
        words.append(str(body["name"]))
    if body.get("approved_by"):
        words.append(f"approved by {body['approved_by']}")
    words += references.said(body)
    return ", ".join(words)


# What of a change of a customer says which one it is of whom.
_OF_CHANGE = ("type", "id", "customer", "date")


def _changed(field: str, value: object) -> str:
    """What a change says of a field; of contacts only that they did, as they may be erased."""
    if field == personal.COMMITMENT:
        return "contacts"
    shown = ", ".join(map(str, value)) if isinstance(value, list) else value
    return f"{field.replace('_', ' ')}: {'none' if shown in (None, '') else shown}"
