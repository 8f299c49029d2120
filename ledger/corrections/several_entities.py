"""Invoices over several entities: one collects, and each keeps its own part as an invoice of its own.

Where it is collected, another entity's line stands as owed to that entity, taxes included; that entity bills the line as
it would on its own, and claims it from the one that collects. Parts change with the whole: by its void, its credit
notes, its refunds, disputes and write-offs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, text

from ledger.amounts.money import to_decimal
from ledger.corrections import voids
from ledger.documents import models
from ledger.documents.parse import content_hash
from ledger.errors import Refused
from ledger.invoices import coupons, forms, post, remaining
from ledger.invoices.forms import BETWEEN, CUSTOMER, InvoiceTerms, entity_subject, invoice_subject
from ledger.journal.movements import Movement
from ledger.obligations import Obligations
from ledger.reports.report import Column, Filters, Report, sides
from ledger.wallets.session import Wallets, all_or_nothing


def part_ref(ref: str, entity: str) -> str:
    """The id of an entity's part of an invoice."""
    return f"{ref}@{entity}"


def post_invoice(wallets: Wallets, doc: models.Invoice, document_id: int, obligations: Obligations) -> int:
    """Take an invoice in, with each other entity's part. Nothing is left of it where any part is refused."""
    others = list(dict.fromkeys(line.entity for line in doc.lines if line.entity not in (None, doc.entity)))
    if not others:
        return voids.post_invoice(wallets, doc, document_id, obligations)
    books = wallets.books
    books.days.together([doc.entity, *(entity for entity in others if entity is not None)])
    terms = forms.look_up(books, doc)
    discounts = coupons.uses(doc, terms.coupons)
    known = replace(terms, coupons={})
    if doc.supersedes is not None:
        superseded = remaining.find(wallets, document_id, doc.supersedes, "supersedes")
        voids.require_replaceable(superseded, doc)
    with all_or_nothing(wallets):
        if doc.supersedes is not None:
            voids.void_superseded(wallets, document_id, superseded, doc, obligations)
        gross: dict[str, int] = {}
        for entity in others:
            assert entity is not None, "only lines that name one are of others"
            gross |= _post_part(wallets, doc, document_id, entity, known, obligations)
        lines = [
            _between(line, gross[line.id], doc.currency) if line.entity in others else _own(line) for line in doc.lines
        ]
        customer_id = post.post_invoice(
            wallets, doc.model_copy(update={"lines": lines}), document_id, obligations, known
        )
        source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.issued_on, doc.fx_rate)
        coupons.record(books, source, discounts, books.days.open_day(source, terms.recorded_on))
    return customer_id


def _own(line: models.InvoiceLine) -> models.InvoiceLine:
    # a coupon may be spread over the lines of several entities, so it is checked and kept for the whole
    return line.model_copy(update={"coupon": None, "entity": None})


def _between(line: models.InvoiceLine, gross: int, currency: str) -> models.InvoiceLine:
    """What stands for another entity's line where it is collected."""
    fields: dict[str, Any] = {
        "id": line.id,
        "entity": line.entity,
        "kind": BETWEEN,
        "amount": to_decimal(gross, currency),
    }
    return models.InvoiceLine.model_construct(**fields)


def _post_part(
    wallets: Wallets, doc: models.Invoice, document_id: int, entity: str, terms: InvoiceTerms, obligations: Obligations
) -> dict[str, int]:
    """Post an entity's part of an invoice and its claim on the one that collects; what each line comes to with taxes."""
    books = wallets.books
    numbered = [(index, line) for index, line in enumerate(doc.lines) if line.entity == entity]
    part = doc.model_copy(
        update={
            "id": part_ref(doc.id, entity), "entity": entity, "supersedes": None, "fx_rate": None, "due_on": terms.due_on,
            # what it is called elsewhere, the whole is
            "reference": None, "external": None,
            "lines": [_own(line) for _, line in numbered],
        }
    )  # fmt: skip
    part_id = books.number("document_number")
    try:
        customer_id = post.post_invoice(wallets, part, part_id, obligations, terms, master=doc.id)
    except Refused as refusal:
        raise _placed(refusal, [index for index, _ in numbered]) from None
    fields = _fields(part, doc.id)
    books.add_document(
        customer_id, part_id, "invoice", part.id, part.issued_on, json.dumps(fields, ensure_ascii=False), content_hash(fields)
    )  # fmt: skip
    invoice = remaining.find_any(wallets, document_id, part.id)
    other = entity_subject(doc.entity)
    books.post(
        invoice.source, terms.recorded_on,
        [
            Movement("between.claimed", max(invoice.gross, 0), other, invoice_subject(part.id)),
            Movement("between.returned", max(-invoice.gross, 0), CUSTOMER, other),
        ],
    )  # fmt: skip
    return {line.line: line.gross for line in invoice.lines}


def _fields(part: models.Invoice, master: str) -> dict[str, Any]:
    """A part as a document: what an engineer would have posted for it, and whose part it is."""
    return part.model_dump(mode="json", exclude_none=True) | {"master": master}


def _placed(refusal: Refused, indexes: list[int]) -> Refused:
    """A refusal of a part's line, placed on the line of the whole."""
    first, _, rest = refusal.field.partition(".")
    number, _, field = rest.partition(".")
    if first == "lines" and number.isdigit():
        place = f"lines.{indexes[int(number)]}"
        return refusal.renamed(f"{place}.{field}" if field else place)
    return refusal.renamed(f"lines.{indexes[0]}.{refusal.field}" if refusal.field else f"lines.{indexes[0]}")


def between_entities(connection: Connection, filters: Filters) -> Report:
    """What entities owe each other for invoices over several of them: one's debt is the other's claim."""
    source, parameters = sides(filters, "due_to_entities", "due_from_entities")
    rows = connection.execute(
        text(
            f"select x.entity, substr(x.subject, 8) as other, c.ref as customer, x.currency,"
            f" -coalesce(sum(x.sign * x.amount) filter (where x.role = 'due_to_entities'), 0)::bigint as owes,"
            f" coalesce(sum(x.sign * x.amount) filter (where x.role = 'due_from_entities'), 0)::bigint as claims "
            f"from ({source}) x join customer c using (customer_id) where x.subject like 'entity:%' "
            f"group by 1, 2, 3, 4 having sum(x.sign * x.amount) <> 0 order by 1, 2, 3, 4"
        ),
        parameters,
    )
    columns = (
        Column("entity", "Entity"),
        Column("other", "Other entity"),
        Column("customer", "Customer"),
        Column("currency", "Currency"),
        Column("owes", "Owes", "amount"),
        Column("claims", "Claims", "amount"),
    )
    return Report("between-entities", "Between entities", columns, tuple(dict(row._mapping) for row in rows))
