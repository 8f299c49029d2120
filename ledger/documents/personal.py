"""Personal fields of documents, kept beside history.

So that they can be erased on request while every hash still holds. Where a document has them, its hashed content holds their commitment
instead: SHA-256 over 32 random bytes and their canonical JSON. As long as they are kept, the commitment shows that nobody changed them;
once they and the random bytes are erased, it says nothing of what they were.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.house import HOUSE
from ledger.documents.models import Document
from ledger.documents.parse import canonical, content_hash
from ledger.errors import Refused, UnknownReference

COMMITMENT = "personal"  # the field of a document's content that stands for them
_SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Withheld:
    """A document's content without its personal fields, which stand apart."""

    content: dict[str, Any]
    personal: dict[str, Any]
    salt: bytes
    commitment: bytes


def withhold(fields: dict[str, Any], model: type[Document], salt: bytes | None = None) -> Withheld | None:
    """A document's fields as they are kept, or None for one that has none that are personal."""
    personal = {name: fields[name] for name in fields if name in model.personal}
    if not personal:
        return None
    salt = salt or secrets.token_bytes(_SALT_BYTES)
    made = commitment(salt, canonical(personal))
    return Withheld(_sealed(fields, model, made), personal, salt, made)


def commitment(salt: bytes, fields: str) -> bytes:
    """What stands for personal fields in canonical JSON."""
    return hashlib.sha256(salt + fields.encode()).digest()


def _sealed(fields: dict[str, Any], model: type[Document], made: bytes) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in model.personal} | {COMMITMENT: made.hex()}


def keep(connection: Connection, place: tuple[int, int], doc: Document, withheld: Withheld) -> None:
    """Keep a document's personal fields, in the transaction that posts it.

    `place` is its customer and its number.
    """
    connection.execute(
        text(
            "insert into personal_fields (customer_id, document_id, type, ref, entity, dated_on, commitment, salt, fields)"
            " values (:customer_id, :document_id, :type, :ref, :entity, :dated_on, :commitment, :salt, :fields)"
        ),
        {
            "customer_id": place[0], "document_id": place[1], "type": doc.type, "ref": doc.id,
            "entity": getattr(doc, "entity", None), "dated_on": doc.dated_on, "commitment": withheld.commitment,
            "salt": withheld.salt, "fields": canonical(withheld.personal),
        },
    )  # fmt: skip


def repeats(connection: Connection, fields: dict[str, Any], model: type[Document], before: bytes) -> bool:
    """Whether a document is the one that was posted before with this hash. What was erased of it is not brought back."""
    row = connection.execute(
        text("select salt, commitment from personal_fields where type = :type and ref = :ref"),
        {"type": fields["type"], "ref": fields["id"]},
    ).first()
    if row is None:
        return False
    if row.salt is None:
        return content_hash(_sealed(fields, model, bytes(row.commitment))) == before
    again = withhold(fields, model, bytes(row.salt))
    return again is not None and content_hash(again.content) == before


def shown(connection: Connection, customer_id: int, document_id: int, content: dict[str, Any]) -> dict[str, Any]:
    """A document's content with its personal fields, or with when and why they were erased."""
    if COMMITMENT not in content:
        return content
    row: Any = connection.execute(
        text(
            "select fields, erased_at, reason from personal_fields where customer_id = :customer and document_id = :document"
        ),
        {"customer": customer_id, "document": document_id},
    ).first()
    if row is None:
        return content
    if row.fields is None:
        return content | {"erased": f"{row.erased_at:%Y-%m-%d}: {row.reason}"}
    kept: dict[str, Any] = json.loads(row.fields)
    return {name: value for name, value in content.items() if name != COMMITMENT} | kept


def erase(connection: Connection, customer: str, reason: str, by: str) -> int:
    """Erase all personal fields of a customer's documents for good; returns of how many. Raises UnknownReference or Refused."""
    if not reason.strip():
        raise Refused("reason", reason or "missing", "expected why they are erased")
    customer_id = connection.scalar(
        text("select customer_id from customer where ref = :ref and customer_id <> :house"),
        {"ref": customer, "house": HOUSE},
    )
    if customer_id is None:
        raise UnknownReference("customer", customer, "expected the id of a customer in the books")
    return connection.execute(
        text(
            "update personal_fields set salt = null, fields = null, erased_at = now(), erased_by = :by, reason = :reason"
            " where customer_id = :customer and erased_at is null"
        ),
        {"customer": customer_id, "by": by, "reason": reason},
    ).rowcount


def erasures(connection: Connection, customers: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """What was erased, when, by whom and why: the latest first."""
    rows = connection.execute(
        text(
            "select c.ref as customer, p.type, p.ref, p.erased_at, p.erased_by, p.reason from personal_fields p"
            " join customer c using (customer_id) where p.erased_at is not null"
            " and (cast(:customers as text[]) is null or c.ref = any(:customers)) order by p.erased_at desc, p.document_id"
        ),
        {"customers": None if customers is None else list(customers)},
    )
    return [dict(row._mapping) for row in rows]


def details(connection: Connection, on: date, entity: str, customer: str | None = None) -> dict[str, Any]:
    """How an entity, or a customer of it, was named and reached on a day.

    Empty where nobody said, or it was erased. What was said of a customer for the entity's own documents stands before what was said for
    all.
    """
    row: Any = connection.execute(
        text(
            "select p.fields from personal_fields p join customer c using (customer_id) where p.type = 'details'"
            " and p.customer_id = coalesce((select customer_id from customer where ref = :customer), :house)"
            " and coalesce(p.entity, :entity) = :entity and p.dated_on <= :on and (p.entity is null or p.fields is not null)"
            " order by p.entity nulls last, p.dated_on desc, p.document_id desc limit 1"
        ),
        {"customer": customer, "entity": entity, "on": on, "house": HOUSE},
    ).first()
    found: dict[str, Any] = json.loads(row.fields) if row is not None and row.fields is not None else {}
    return found
