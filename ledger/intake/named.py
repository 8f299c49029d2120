"""What documents of a batch name, and which of them are in the books."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from ledger.accounts.house import HOUSE_REF
from ledger.documents import models
from ledger.documents.models import Document


@dataclass(slots=True)
class Named:
    """The customers that documents of a batch name, and the documents, by type and id."""

    customers: set[str] = field(default_factory=set)
    documents: set[tuple[str, str]] = field(default_factory=set)

    def add(self, doc: Document) -> None:
        """Add what a document names."""
        self.customers |= {ref for name in ("customer", "payer") if isinstance(ref := getattr(doc, name, None), str)}
        for name, kinds in models.NAMED.items():
            if isinstance(ref := getattr(doc, name, None), str):
                self.documents.update((kind, ref) for kind in kinds)
        if any(getattr(doc, name, None) for name in models.RETURNING_FEES):
            self.customers.add(HOUSE_REF)
        if isinstance(doc, models.Payment):
            self.documents.update(("invoice", item.invoice) for item in doc.applications)
        if isinstance(doc, models.Application) and doc.from_invoice is not None:
            self.documents.add(("invoice", doc.from_invoice))


def whose(connection: Connection, named: Collection[tuple[str, str]]) -> set[str]:
    """The customers of documents, by type and id, as far as they are in the books."""
    if not named:
        return set()
    kinds, refs = zip(*sorted(named), strict=True)
    rows = connection.scalars(
        text(
            "select distinct c.ref from unnest(cast(:kinds as text[]), cast(:refs as text[])) as n(type, ref)"
            " join document_key k on k.type = n.type and k.ref = n.ref join customer c using (customer_id)"
        ),
        {"kinds": list(kinds), "refs": list(refs)},
    )
    return set(rows)


def known_hashes(connection: Connection, refs: Mapping[str, list[str]]) -> dict[tuple[str, str], bytes]:
    """The content hashes of those documents of each type that are in the books already."""
    known: dict[tuple[str, str], bytes] = {}
    for type_, wanted in refs.items():
        rows = connection.execute(
            text(
                "select k.ref, d.hash from document_key k"
                " join document d on d.customer_id = k.customer_id and d.document_id = k.document_id"
                " where k.type = :type and k.ref = any(:refs)"
            ),
            {"type": type_, "refs": wanted},
        )
        for ref, hash_ in rows:
            known[type_, ref] = bytes(hash_)
    return known
