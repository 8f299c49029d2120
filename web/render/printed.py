"""Invoices, credit notes, notices and statements as people send them: HTML that prints, and PDF.

They say what the postings say; how parties are named and reached is what `details` documents said on the day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any

from sqlalchemy import Connection, text

from ledger.errors import Refused, UnknownReference
from ledger.invoices.show import read_invoice
from ledger.invoices.statement import statement
from ledger.reports.aging import AGING_BUCKETS, ar_aging
from ledger.reports.report import Filters
from ledger.trace.names import names_of
from web.access.naming import ENTITY_OF
from web.render.printed_invoice import print_invoice
from web.render.sheet import (
    EXEMPT,
    REVERSE_CHARGE,
    Sheet,
    buyer_of,
    document_of,
    head_of,
    made_of,
    numbers_of,
    seller_of,
)


def print_document(connection: Connection, kind: str, ref: str) -> Sheet:
    """A document of one of `KINDS`. Raises UnknownReference, or Refused for another kind."""
    if kind not in _MAKERS:
        raise Refused("kind", kind, f"expected one of {', '.join(KINDS)}")
    return _MAKERS[kind](connection, ref)


def _changed(connection: Connection, place: dict[str, Any]) -> dict[tuple[str, bool], int]:
    """What a document takes back, or bills again, by line of the invoice: these are no lines of its own."""
    changed = connection.execute(
        text(
            "select l.line, :sign * sum(l.amount_minor)::bigint as amount from line_change l"
            " join invoice_line i on i.customer_id = l.customer_id and i.invoice_id = l.invoice_id and i.line = l.line"
            # what it says of refunds, and of what lines below zero corrected elsewhere, is not what it takes back
            " join invoice n on n.customer_id = l.customer_id and n.invoice_id = l.invoice_id and :invoice in (n.ref, n.master)"
            " where l.customer_id = :customer and l.document_id = :document and i.kind <> 'between' and l.kind in ('credit', 'void')"
            " group by 1"
        ),
        place,
    )
    return {(row.line, False): row.amount for row in changed}


def _own_lines(connection: Connection, place: dict[str, Any]) -> Sequence[Any]:
    """The lines of a credit note of no invoice."""
    return connection.execute(
        text(
            "select l.line, l.amount_minor, p.name from credit_line l join product p using (product)"
            " where l.customer_id = :customer and l.document_id = :note order by length(l.line), l.line"
        ),
        place,
    ).all()


def _taxes_back(connection: Connection, place: dict[str, Any]) -> Sequence[Any]:
    """What a document takes back of taxes, or charges again, by line and code."""
    return connection.execute(
        text(
            "select t.line, t.invoice_id = :note as own, t.tax_code, c.name, t.treatment, t.included,"
            " -:sign * sum(t.base_minor)::bigint as base, -:sign * sum(t.tax_minor)::bigint as tax"
            " from line_tax t join tax_code c using (tax_code) where t.customer_id = :customer and t.document_id = :document"
            " and t.undoes = :undoes group by t.line, own, t.tax_code, c.name, t.treatment, t.included order by min(t.position), 3"
        ),
        place,
    ).all()


def _credit(kind: str, connection: Connection, ref: str) -> Sheet:
    """A credit note, the void of an invoice, or of a note, as it is sent: what it takes back, or bills again, line by line."""
    head = head_of(connection, kind, ref)
    reason = json.loads(head.body).get("reason")
    again = kind == "credit_note_void"
    note = head_of(connection, "credit_note", json.loads(head.body)["credit_note"]) if again else head
    body = json.loads(note.body)
    found = read_invoice(connection, body["invoice"]) if body.get("invoice") else None
    place = {
        "customer": head.customer_id, "document": head.document_id, "note": note.document_id, "invoice": body.get("invoice"),
        "undoes": note.document_id if again else 0, "sign": -1 if again else 1,
    }  # fmt: skip
    # by line of the invoice, or of the note itself
    amounts = _changed(connection, place)
    own = _own_lines(connection, place)
    amounts |= {(row.line, True): row.amount_minor for row in own}
    taxes = _taxes_back(connection, place)
    totals: dict[tuple[str, str, str, bool], list[int]] = {}
    for tax in taxes:
        if tax.included:
            amounts[tax.line, tax.own] = amounts.get((tax.line, tax.own), 0) + tax.tax
        of_code = totals.setdefault((tax.tax_code, tax.name, tax.treatment, tax.included), [0, 0])
        of_code[0] += tax.base
        of_code[1] += tax.tax
    billed = [] if found is None else [line for group in found.groups for item in group.items for line in item.lines]
    lines = [
        {"title": line.title, "start": line.start, "end": line.end, "taxes": line.taxes, "amount": amounts[line.id, False]}
        for line in billed if (line.id, False) in amounts
    ] + [
        {"title": body["lines"][int(row.line) - 1].get("description") or row.name, "start": None, "end": None,
         "taxes": [tax.tax_code for tax in taxes if tax.own and tax.line == row.line], "amount": amounts[row.line, True]}
        for row in own
    ]  # fmt: skip
    shown = {treatment for _, _, treatment, _ in totals}
    total = sum(amounts.values()) + sum(tax for (_, _, _, included), (_, tax) in totals.items() if not included)
    settled = 0 if found is None else sum(one.amount for one in found.settlements if one.document == f"{kind}:{ref}")
    entity, customer = (body["entity"], body["customer"]) if found is None else (found.entity, found.customer)
    return made_of(
        "credit.html",
        f"{'Credit note' if kind == 'credit_note' else 'Cancellation'} {ref}",
        found,
        kind=kind, ref=ref, date=head.dated_on, reason=reason, note=note if again else None, currency=body["currency"] if found is None else found.currency,
        seller=seller_of(connection, entity, head.dated_on), buyer=buyer_of(connection, entity, customer, head.dated_on, head.document_id),
        lines=lines, taxes=[(*key, *sums) for key, sums in totals.items()], total=total,
        set_off=place["sign"] * settled, notes=[said for treatment, said in (("reverse_charge", REVERSE_CHARGE), ("exempt", EXEMPT)) if treatment in shown],
    )  # fmt: skip


def _returned(connection: Connection, ref: str) -> Sheet:
    """The notice that money came back: which invoices are due again, and what of it had paid none."""
    head = head_of(connection, "payment_reversal", ref)
    body = json.loads(head.body)
    names = names_of("payment_reversal")
    money = next(
        head_of(connection, names[field], body[field])
        for field in ("payment", "recovery", "receipt")
        if body.get(field)
    )
    place = {"ref": ref, "money": money.document_id, "customer": head.customer_id, "document": head.document_id}
    # of others' invoices, the document beside it
    of = (
        " from document_key k join money_use u on u.document_id = k.document_id and u.money_id = :money"
        " where (k.type, k.ref) in (('payment_reversal', :ref), ('beside', 'payment_reversal:' || :ref))"
    )
    whole: Any = connection.execute(
        text(f"select u.paid_currency as currency, -sum(u.paid_minor)::bigint as amount{of} group by 1"), place
    ).one()
    invoices = connection.scalars(
        text(
            f"select i.ref from (select u.customer_id, u.invoice_id{of} group by 1, 2 having sum(u.amount_minor) < 0) x"
            " join invoice i using (customer_id, invoice_id) order by i.issued_on, i.ref"
        ),
        place,
    ).all()
    due = []
    for one in invoices:
        found = read_invoice(connection, one)
        again = -sum(item.amount for item in found.settlements if item.document == f"payment_reversal:{ref}")
        if again > 0:
            due.append(
                {
                    "invoice": found,
                    "again": again,
                    "of": None if found.customer == head.customer else found.customer_name,
                }
            )
    unapplied: int = connection.scalar(
        text(f"select -coalesce(sum(u.paid_minor), 0)::bigint{of} and u.invoice_id = 0"), place
    )
    entity = connection.scalar(
        text(f"select {ENTITY_OF} from document d where customer_id = :customer and document_id = :document"), place
    )
    return made_of(
        "returned.html", f"Returned payment {ref}", ref=ref, date=head.dated_on, reason=body["reason"], payment=money,
        reference=json.loads(money.body).get("reference"), amount=whole.amount, due=due, unapplied=unapplied, currency=whole.currency,
        seller=seller_of(connection, entity, head.dated_on), buyer=buyer_of(connection, entity, head.customer, head.dated_on, head.document_id),
    )  # fmt: skip


# What is printed of a document, by its kind.
_MAKERS: Mapping[str, Callable[[Connection, str], Sheet]] = {
    "invoice": print_invoice, "credit_note": partial(_credit, "credit_note"), "invoice_void": partial(_credit, "invoice_void"),
    "credit_note_void": partial(_credit, "credit_note_void"), "payment_reversal": _returned,
}  # fmt: skip
KINDS = tuple(_MAKERS)


def print_statement(connection: Connection, customer: str, entity: str, since: date | None, until: date) -> Sheet:
    """A customer's statement of account with an entity up to a day, by currency, with what is due by age. Raises UnknownReference."""
    if not connection.scalar(text("select count(*) from entity where entity = :entity"), {"entity": entity}):
        raise UnknownReference("entity", entity, "expected the id of an entity in the books")
    if since is not None and since > until:
        raise Refused("from", since, f"expected {until} or before")
    buyer = buyer_of(connection, entity, customer, until)
    filters = Filters(customer=customer, entity=entity, since=since, as_of=until)
    rows = statement(connection, filters).rows
    # what is open is open, whenever it was billed
    aging = ar_aging(connection, replace(filters, since=None))
    sections = []
    for currency in sorted({row["currency"] for row in rows}):
        own = [row for row in rows if row["currency"] == currency]
        due = next((row for row in aging.totals if row["currency"] == currency), {})
        sections.append(
            {
                "currency": currency, "rows": own, "balance": own[-1]["balance"],
                "charged": sum(row.get("charged", 0) for row in own), "settled": sum(row.get("settled", 0) for row in own),
                "ages": [(title, due.get(key) or 0) for key, title, *_ in AGING_BUCKETS],
                "open": [row for row in aging.rows if row["currency"] == currency],
            }
        )  # fmt: skip
    return made_of(
        "statement.html", f"Statement {customer} {until}", seller=seller_of(connection, entity, until), buyer=buyer, customer=customer,
        since=since, until=until, sections=sections, document=document_of, numbers=numbers_of(connection, customer),
    )  # fmt: skip
