"""What others call a document: the id it has in each of their systems, and its reference.

An external id is one document's of a type: a second of that type is refused, but for one of another `status`, as a dispute that is
opened and one that is lost are of one chargeback. A reference is only looked for: several documents may bear the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from ledger.documents.models import Document
from ledger.errors import ConflictingDocument
from ledger.journal.books import Books

# What a document says it is called elsewhere: the fields `reference` and `external` of it.
Called = Mapping[str, Any]


class ExternalKey(NamedTuple):
    """What one document alone may be: an id in a system, of a type, with a status where the type has one."""

    system: str
    external_id: str
    type: str
    status: str


def external_keys(doc: Document) -> list[ExternalKey]:
    """The keys of a document, by system."""
    status = getattr(doc, "status", "")
    return [ExternalKey(*item, doc.type, status) for item in sorted((doc.external or {}).items())]


def taken(connection: Connection, keys: Iterable[ExternalKey]) -> dict[ExternalKey, str]:
    """Of keys, those that documents in the books have, with the documents' ids."""
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return {}
    systems, ids, types, statuses = (list(column) for column in zip(*wanted, strict=True))
    rows = connection.execute(
        text(
            "select k.system, k.external_id, k.type, k.status, d.ref from"
            " unnest(cast(:systems as text[]), cast(:ids as text[]), cast(:types as text[]), cast(:statuses as text[]))"
            " w (system, external_id, type, status)"
            " join external_key k using (system, external_id, type, status) join document d using (customer_id, document_id)"
        ),
        {"systems": systems, "ids": ids, "types": types, "statuses": statuses},
    )
    return {ExternalKey(*row[:4]): row.ref for row in rows}


def require_own(doc: Document, known: Mapping[ExternalKey, str], hidden: Callable[[str, str], bool]) -> None:
    """Raise ConflictingDocument where another document of the type has one of the external ids: which one, unless it is `hidden`."""
    for key in external_keys(doc):
        other = known.get(key)
        if other is not None:
            which = (
                "this one is taken"
                if hidden(key.type, other)
                else f"{key.type} {other} has {key.system} {key.external_id}"
            )
            kind = f"{key.type} of status {key.status}" if key.status else key.type
            raise ConflictingDocument(
                f"external.{key.system}",
                key.external_id,
                f"expected an external id that no other {kind} has: {which}",
            )


def keep(books: Books, customer_id: int, document_id: int, doc: Document) -> None:
    """Gather what a document is called elsewhere, to be found by."""
    of = {"customer_id": customer_id, "document_id": document_id}
    for key in external_keys(doc):
        books.add_row("external_key", **of, **key._asdict())
    if doc.reference is not None:
        books.add_row("document_reference", **of, reference=doc.reference)


# The documents of an external id, with its system before it or without, and those of a reference.
OF_EXTERNAL = """select customer_id, document_id from external_key where external_id = :external
    union select customer_id, document_id from external_key where system = split_part(:external, ':', 1)
        and external_id = substr(:external, position(':' in :external) + 1)"""
OF_REFERENCE = "select customer_id, document_id from document_reference where reference = :reference"


def called(connection: Connection, name: str) -> list[tuple[str, str]]:
    """The documents that are called so elsewhere, by type and id: ch_1, stripe:ch_1, or what a reference says (reference:PO-17)."""
    rows = connection.execute(
        text(
            f"select type, ref from document join ({OF_EXTERNAL} union {OF_REFERENCE}) k using (customer_id, document_id)"
            " order by type, ref"
        ),
        {"external": name, "reference": name.removeprefix("reference:")},
    )
    return [(row.type, row.ref) for row in rows]


def may_say(field: str) -> str:
    """SQL for whether a document `d` may have a field, told before its JSON is read: JSON may write any letter by its number."""
    return f"(position('\"{field}\"' in d.body) > 0 or position('\\u' in d.body) > 0)"


# The external ids of a document `d` as it says them; null where it says none.
EXTERNAL = "case jsonb_typeof(d.body::jsonb -> 'external') when 'object' then d.body::jsonb -> 'external' end"
# What of a document `d` `said` puts into words; null where it says nothing of it.
CALLED = (
    f"(case when {may_say('reference')} or {may_say('external')} then"
    f" jsonb_strip_nulls(jsonb_build_object('reference', d.body::jsonb -> 'reference', 'external', {EXTERNAL})) end)"
)


def said(body: Called) -> list[str]:
    """What a document says it is called elsewhere, in words."""
    return [*([f"reference {body['reference']}"] if body.get("reference") else []), *external_said(body)]


def external_said(body: Called) -> list[str]:
    """The ids it says other systems have for it, in words."""
    return [f"{system} {external}" for system, external in sorted((body.get("external") or {}).items())]
