"""Documents dated in a closed month, for those who want them refused: whose month it is, the document says or what it names."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import text

from ledger.documents import models
from ledger.documents.models import Document
from ledger.errors import ClosedPeriod
from ledger.journal.books import Books


def _said(type_: str, field: str) -> str:
    """A query for what a document of a type says in a field."""
    return (
        f"select d.body::json ->> '{field}' from document_key k"
        " join document d on d.customer_id = k.customer_id and d.document_id = k.document_id"
        f" where k.type = '{type_}' and k.ref = :ref"
    )


_OF_CONTRACT = "select entity from contract where ref = {ref}"
_OF_INVOICE = "select entity from invoice where ref = {ref}"
# The entity of what a document names, by the field that names it.
_NAMED = {
    "contract": _OF_CONTRACT.format(ref=":ref"),
    "obligation": "select t.entity from obligation o join contract t using (customer_id, contract_id) where o.ref = :ref",
    "cost": _OF_CONTRACT.format(ref=f"({_said('contract_cost', 'contract')})"),
    "payment": _said("payment", "entity"),
    "invoice": _OF_INVOICE.format(ref=":ref"),
    "write_off": _OF_INVOICE.format(ref=f"({_said('write_off', 'invoice')})"),
    "rule": _said("approval_rule", "entity"),
    "grant": "select g.entity from credit_grant g join customer c using (customer_id) where g.ref = :ref and c.ref = :customer",
}


def require_open(books: Books, doc: Document) -> None:
    """Raise ClosedPeriod for a document dated in a closed month of its entity, or of the entity of what it names."""
    if doc.dated_on is None:
        return
    for entity in dict.fromkeys(_entities(books, doc)):
        first_open = books.days.first_open_day(entity)
        if doc.dated_on < first_open:
            closed = first_open - timedelta(days=1)
            raise ClosedPeriod(doc.dated_by, doc.dated_on, f"the books of {entity} are closed through {closed}")


def _entities(books: Books, doc: Any) -> list[str]:
    own = getattr(doc, "entity", None)
    if own is not None:
        lines = doc.lines if isinstance(doc, models.Invoice) else ()
        return [own, *(line.entity for line in lines if line.entity is not None)]
    for field, query in _NAMED.items():
        ref = getattr(doc, field, None)
        if ref is not None:
            books.flush()  # what it names may have come just before
            place = {"ref": ref, "customer": getattr(doc, "customer", None)}
            return list(books.connection.scalars(text(query), place))
    return []
