"""What became of a document: what undoes it, goes on with it, or stands on it."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.house import BESIDE
from ledger.trace.documents import describe, document_of
from ledger.trace.money import paid_out
from ledger.trace.steps import STEPS_MAX, Step, Tracing


def made_subjects(tracing: Tracing, row: Any) -> list[str]:
    """The subjects whose accounts a document opened."""
    own: list[str] = []
    if row.type == "grant":
        own = [f"grant:{row.ref}"]
    elif row.type == "invoice":  # and the grants it bills, so that the draws on them show
        body = json.loads(row.body)
        own = [f"invoice:{row.ref}", *(f"grant:{line['grant']}" for line in body["lines"] if line.get("grant"))]
    return [*own, *(subject for room in tracing.rooms for subject in room.made(tracing.connection, row))]


# Which documents undo one or go on with it, and the field in which they name it.
_ABOUT = {
    "transfer": ("transfer", ["transfer_reversal"]), "unidentified_receipt": ("receipt", ["receipt_identified", "receipt_returned"]),
    "customer_credit": ("takes_back", ["customer_credit"]), "application": ("application", ["unapplication"]),
    "payment": ("payment", ["application", "unapplication", "payment_reversal", "refund", "dispute"]),
    "dispute": ("opening", ["dispute"]), "refund": ("refund", ["refund_reversal"]), "credit_note": ("credit_note", ["credit_note_void"]),
    "write_off": ("write_off", ["recovery"]), "recovery": ("recovery", ["refund", "dispute", "payment_reversal"]),
    "receipt_identified": ("receipt", ["refund", "dispute", "payment_reversal"]),
}  # fmt: skip


def about(connection: Connection, kind: str, ref: str) -> list[Step]:
    """The documents that undo one, or go on with it, and what the house keeps beside it."""
    named, types = _ABOUT.get(kind, ("", []))
    rows = connection.execute(
        text(
            "select d.type, d.ref, d.dated_on, d.body from document_key k join document d using (customer_id, document_id)"
            " where k.type = any(:types) and d.body::json ->> :named = :ref order by d.dated_on, d.document_id"
        ),
        {"types": types, "named": named, "ref": ref},
    )
    found = [Step(row.type, row.ref, describe(row), 0) for row in rows] + paid_out(connection, kind, ref)
    beside = document_of(connection, BESIDE, f"{kind}:{ref}")
    return [*found, Step(BESIDE, beside.ref, "what it moves of others", 0)] if beside else found


def stood_for(connection: Connection, rule: str) -> list[Step]:
    """What ended an approved rule, and the documents that it stood for a second person of."""
    rows = connection.execute(
        text(
            "(select d.type, d.ref, d.dated_on, d.body from document_key k join document d using (customer_id, document_id)"
            " where k.type = 'approval_rule_end' and d.body::json ->> 'rule' = :rule order by d.document_id) union all "
            "(select d.type, d.ref, d.dated_on, d.body from approval_by_rule a join document d using (customer_id, document_id)"
            " where a.rule = :rule order by d.document_id limit :most)"
        ),
        {"rule": rule, "most": STEPS_MAX},
    )
    return [Step(row.type, row.ref, describe(row), 0) for row in rows]
