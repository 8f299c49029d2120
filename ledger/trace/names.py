"""What a document names, and which document made a subject."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import text

from ledger.accounts.house import BESIDE
from ledger.trace.documents import describe, document_of, document_step
from ledger.trace.money import money_behind
from ledger.trace.steps import Room, Step, Tracing


def named_by(tracing: Tracing, kind: str, ref: str, depth: int) -> list[Step]:
    """What a document itself names.

    The events behind usage, the grants, obligations and invoices it is about.
    """
    connection = tracing.connection
    row = document_of(connection, kind, ref)
    body = json.loads(row.body)
    steps = []
    if body.get("events"):
        steps.append(Step("events", body["events"], "what the usage was metered from", depth))
    for line in body.get("lines", ()):
        if line.get("grant"):
            steps.append(document_step(connection, "grant", line["grant"], depth))
        if line.get("obligation"):
            steps += makers(tracing, row.customer_id, f"obligation:{line['obligation']}", depth)
    for key in ("master", "supersedes"):
        if body.get(key):
            steps.append(document_step(connection, kind, body[key], depth))
    named = [item["invoice"] for item in body.get("applications", ())] + [
        body[key] for key in ("invoice",) if key in body
    ]
    steps += [document_step(connection, "invoice", invoice, depth) for invoice in named]
    if kind == BESIDE:
        of_type, _, of_ref = body["of"].partition(":")
        steps.append(document_step(connection, of_type, of_ref, depth))
    # a flag of such a name, as an estimate has, names nothing
    names = names_of(kind, tracing.rooms).items()
    steps += [document_step(connection, of, body[key], depth) for key, of in names if isinstance(body.get(key), str)]
    known = {(step.kind, step.ref) for step in steps}
    steps += [step for step in money_behind(connection, row, body, depth) if (step.kind, step.ref) not in known]
    standing = connection.scalar(
        text("select rule from approval_by_rule where customer_id = :customer_id and document_id = :document_id"),
        {"customer_id": row.customer_id, "document_id": row.document_id},
    )
    if standing is not None:
        told = describe(document_of(connection, "approval_rule", standing))
        steps.append(Step("approval_rule", standing, f"stood for a second person: {told}", depth))
    return steps


def names_of(kind: str, rooms: Sequence[Room] = ()) -> dict[str, str]:
    """The types of the documents that fields of a kind of document name, by field."""
    own = _NAMES_OF.get(kind, {})
    of_all = dict(_NAMES)
    for room in rooms:
        of_all |= room.names
    return own | of_all | own


# The types of the documents that these fields name; and of some types.
_NAMES_OF = {
    "customer_change": {"customer": "customer"},
    **{kind: {"receipt": "receipt_identified"} for kind in ("refund", "dispute", "payment_reversal")},
}
_NAMES = {
    "account": "money_account", "from_account": "money_account", "to_account": "money_account", "fee_account": "money_account",
    "transfer": "transfer", "receipt": "unidentified_receipt", "takes_back": "customer_credit", "parent": "customer",
    "payer": "customer", "payment": "payment", "application": "application", "refund": "refund", "opening": "dispute",
    "credit_note": "credit_note", "write_off": "write_off", "recovery": "recovery", "rule": "approval_rule",
    "from_invoice": "invoice",
}  # fmt: skip


# The types of the documents that make subjects of these kinds, one each.
_MADE_BY = {
    "invoice": "invoice",
    "account": "money_account",
    "receipt": "unidentified_receipt",
    "credit": "customer_credit",
}


def makers(tracing: Tracing, customer_id: int | None, subject: str, depth: int) -> list[Step]:
    """The documents that made a subject of a customer's.

    A grant with the invoices that bill it, an invoice.
    """
    connection = tracing.connection
    kind, _, ref = subject.partition(":")
    if kind in _MADE_BY:
        return [document_step(connection, _MADE_BY[kind], ref, depth)]
    if kind == "grant":
        invoices = connection.execute(
            text(
                "select distinct i.ref from invoice_line l join invoice i using (customer_id, invoice_id) "
                "where l.subject = :subject order by i.ref"
            ),
            {"subject": subject},
        )
        billed_by = [document_step(connection, "invoice", invoice, depth + 1) for invoice in invoices.scalars()]
        return [document_step(connection, "grant", ref, depth), *billed_by]
    for room in tracing.rooms:
        if kind in room.makers:
            return room.makers[kind](connection, customer_id, subject, depth)
    return []
