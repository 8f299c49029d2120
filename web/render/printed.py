"""Invoices, credit notes, notices and statements as people send them: HTML that prints, and PDF.

They say what the postings say; how parties are named and reached is what `details` documents said on the day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, partial
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from sqlalchemy import Connection, text

from ledger.amounts.money import grouped
from ledger.documents import personal
from ledger.errors import Refused, UnknownReference
from ledger.invoices.show import Invoice, read_invoice
from ledger.invoices.statement import statement
from ledger.reports.aging import AGING_BUCKETS, ar_aging
from ledger.reports.report import Filters
from ledger.reports.wallet import wallet
from revrec.trace import names_of
from web.access.naming import ENTITY_OF
from web.render.wording import day, file_name, money

# What a supply under reverse charge has to say: Directive 2006/112/EC, article 226 (11a).
REVERSE_CHARGE = "Reverse charge: the recipient of the supply is liable for the tax."
EXEMPT = "Exempt from tax."


@dataclass(frozen=True, slots=True)
class Sheet:
    """A document to be sent: what it is called, and its HTML."""

    title: str
    html: str
    entity: str = ""  # whose it is

    @property
    def file(self) -> str:
        """A name for a file of it."""
        return file_name(self.title) or "document"

    def pdf(self) -> bytes:
        """As PDF. Raises Refused where WeasyPrint is not installed."""
        try:
            from weasyprint import HTML
        except (ImportError, OSError) as error:
            raise Refused(
                "pdf", "not available", f"expected WeasyPrint: pip install 'tickmark[pdf]', and Pango ({error})"
            ) from error
        made: bytes = HTML(string=self.html, url_fetcher=_nothing_from_outside).write_pdf(pdf_variant="pdf/ua-1")
        return made


def _nothing_from_outside(url: str, *_: object, **__: object) -> Any:
    raise ValueError(f"{url}: a printed document needs nothing from outside")


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("web", "templates/print"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"money": money, "day": day}
    made.globals["grouped_zero"] = grouped  # where nothing has to be said as 0.00
    return made


@cache
def style() -> str:
    """The style in every sheet."""
    return files("web").joinpath("static/print.css").read_text(encoding="utf-8")


def _made(template: str, title: str, invoice: Invoice | None = None, **facts: Any) -> Sheet:
    html = _templates().get_template(template).render(title=title, css=style(), invoice=invoice, **facts)
    return Sheet(title, html, facts["seller"].entity)


def print_document(connection: Connection, kind: str, ref: str) -> Sheet:
    """A document of one of `KINDS`. Raises UnknownReference, or Refused for another kind."""
    if kind not in _MAKERS:
        raise Refused("kind", kind, f"expected one of {', '.join(KINDS)}")
    return _MAKERS[kind](connection, ref)


@dataclass(frozen=True, slots=True)
class _Party:
    """A party as it is named and reached."""

    name: str
    details: Mapping[str, Any]
    tax_id: str | None
    entity: str = ""

    @property
    def lines(self) -> list[str]:
        """The address, with whom it is for."""
        attention = self.details.get("attention")
        return [*([f"Attn. {attention}"] if attention else []), *self.details.get("address", ())]

    @property
    def tax_ids(self) -> list[str]:
        """Its tax ids: those it gave itself, else the one it is posted with."""
        given: list[str] = self.details.get("tax_ids") or ([self.tax_id] if self.tax_id else [])
        return given


def _seller(connection: Connection, entity: str, on: date) -> _Party:
    name = connection.scalar(text("select name from entity where entity = :entity"), {"entity": entity})
    details = personal.details(connection, on, entity)
    return _Party(details.get("name") or name or entity, details, None, entity)


def _buyer(connection: Connection, entity: str, customer: str, on: date, before: int | None = None) -> _Party:
    """Who an entity's sheet of a day is for: as `details` say, else as the customer was by the documents before one of them, or all."""
    row: Any = connection.execute(
        text(
            "select h.name, h.tax_id from customer c cross join lateral customer_on(c, :on, :before) h"
            " where c.ref = :ref and c.customer_id > 0"
        ),
        {"ref": customer, "on": on, "before": before},
    ).first()
    if row is None:
        raise UnknownReference("customer", customer, "expected the id of a customer in the books")
    return _named(connection, entity, customer, on, row.name, row.tax_id)


def _named(connection: Connection, entity: str, customer: str, on: date, name: str, tax_id: str | None) -> _Party:
    """A customer as its details of a day name it, else by the name and tax id it has."""
    details = personal.details(connection, on, entity, customer)
    return _Party(details.get("name") or name, details, tax_id)


def print_invoice(connection: Connection, ref: str) -> Sheet:
    """An invoice as it is sent. Raises UnknownReference."""
    found = read_invoice(connection, ref)
    lines = [line for group in found.groups for item in group.items for line in item.lines]
    entities = dict.fromkeys([found.entity, *(line.entity for line in lines)])
    starts = [line.start for line in lines if line.start]
    ends = [line.end for line in lines if line.end]
    return _made(
        "invoice.html",
        f"{'Credit' if found.total < 0 else 'Invoice'} {found.number or found.ref}",
        invoice=found, seller=_seller(connection, found.entity, found.issued_on),
        suppliers={entity: _seller(connection, entity, found.issued_on) for entity in entities if entity != found.entity},
        buyer=_named(connection, found.entity, found.customer, found.issued_on, found.customer_name, found.customer_tax_id),
        from_day=min(starts, default=None), to_day=max(ends, default=None), taxes=_taxes(connection, found),
        subtotal=sum(group.amount for group in found.groups), notes=_notes(found), quantity=_quantity,
        settlements=_settlements(found), base=_in_books(connection, found), credits=_credits(connection, found),
    )  # fmt: skip


def _quantity(number: Any) -> str:
    return "" if number is None else f"{number:,f}"


def _taxes(connection: Connection, found: Invoice) -> list[dict[str, Any]]:
    """The invoice's taxes with their rates."""
    rates: dict[str, Any] = {
        row.tax_code: row
        for row in connection.execute(
            text("select tax_code, rate, fixed from tax_code where tax_code = any(:codes)"),
            {"codes": [tax.code for tax in found.taxes]},
        )
    }
    return [
        {"tax": tax, "rate": f"{rates[tax.code].rate * 100:f}".rstrip("0").rstrip(".") if rates[tax.code].rate else ""}
        for tax in found.taxes
    ]


def _notes(found: Invoice) -> list[str]:
    """What the law wants said where no tax is charged."""
    treatments = {tax.treatment for tax in found.taxes}
    return [
        said for treatment, said in (("reverse_charge", REVERSE_CHARGE), ("exempt", EXEMPT)) if treatment in treatments
    ]


_SETTLED = {"payment": "Payment", "application": "From your balance", "credit_note": "Credit note", "invoice_void": "Void",
            "write_off": "Written off", "grant_return": "Credits returned", "refund": "Refund", "dispute": "Disputed",
            "recovery": "Payment", "contract_modification": "Contract changed", "unapplication": "Taken off again",
            "payment_reversal": "Payment returned", "credit_note_void": "Credit note taken back", "refund_reversal": "Refund returned",
            "receipt_identified": "Payment", "customer_credit": "Goodwill"}  # fmt: skip


def _settlements(found: Invoice) -> list[dict[str, Any]]:
    """What was taken off, as the reader of the invoice knows it."""
    said = []
    for one in found.settlements:
        kind, _, ref = one.document.partition(":")
        what = "Tax withheld," if one.kind == "withheld" else _SETTLED.get(kind, kind.replace("_", " ").capitalize())
        said.append(
            {
                "what": f"{what} {ref}",
                "date": one.date,
                "amount": one.amount,
            }
        )
    return said


def _in_books(connection: Connection, found: Invoice) -> dict[str, Any] | None:
    """What an invoice in another currency comes to in its entity's, at the rate it was posted with."""
    if found.draft:
        return None
    row: Any = connection.execute(
        text(
            "select n.currency, coalesce(sum(case when p.debit_account = i.receivable_account then p.functional_amount"
            " else -p.functional_amount end), 0)::bigint as total,"
            " coalesce(sum(case when p.debit_account = i.receivable_account then p.functional_amount else -p.functional_amount end)"
            "  filter (where a.role = 'tax_payable'), 0)::bigint as tax "
            "from invoice i join entity n using (entity) join entry e on e.customer_id = i.customer_id and e.document_id = i.invoice_id"
            " and e.reverses is null "
            "join posting p on p.customer_id = e.customer_id and p.entry_id = e.entry_id"
            " and i.receivable_account in (p.debit_account, p.credit_account)"
            " and p.rule <> (select number from rule where code = 'invoice.to_balance') "
            "join account a on a.customer_id = p.customer_id"
            " and a.account_id = case when p.debit_account = i.receivable_account then p.credit_account else p.debit_account end "
            "where i.ref = :ref and n.currency <> i.currency group by n.currency"
        ),
        {"ref": found.ref},
    ).first()
    return None if row is None else dict(row._mapping)


def _credits(connection: Connection, found: Invoice) -> dict[str, Any] | None:
    """Each of the customer's credits that were used since the invoice before, or are left; None where there are none."""
    before: date | None = connection.scalar(
        text(
            "select max(i.issued_on) from invoice i join customer c using (customer_id) where c.ref = :customer"
            " and i.entity = :entity and i.currency = :currency and i.issued_on < :issued_on"
        ),
        {"customer": found.customer, "entity": found.entity, "currency": found.currency, "issued_on": found.issued_on},
    )
    filters = Filters(customer=found.customer, entity=found.entity, currency=found.currency, as_of=found.issued_on)
    drawn: dict[str, int] = {}
    if before is not None:
        earlier = Filters(customer=found.customer, entity=found.entity, currency=found.currency, as_of=before)
        drawn = {row["grant"]: row["drawn"] for row in wallet(connection, earlier).rows}
    rows = [
        row | {"used": row["drawn"] - drawn.get(row["grant"], 0)}
        for row in wallet(connection, filters).rows
        if row["kind"] != "commitment"
    ]
    rows = [row for row in rows if row["used"] or row["left"]]
    return {"rows": rows, "since": before} if rows else None


def _credit(kind: str, connection: Connection, ref: str) -> Sheet:
    """A credit note, the void of an invoice, or of a note, as it is sent: what it takes back, or bills again, line by line."""
    head = _head(connection, kind, ref)
    reason = json.loads(head.body).get("reason")
    again = kind == "credit_note_void"
    note = _head(connection, "credit_note", json.loads(head.body)["credit_note"]) if again else head
    body = json.loads(note.body)
    found = read_invoice(connection, body["invoice"]) if body.get("invoice") else None
    place = {
        "customer": head.customer_id, "document": head.document_id, "note": note.document_id, "invoice": body.get("invoice"),
        "undoes": note.document_id if again else 0, "sign": -1 if again else 1,
    }  # fmt: skip
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
    # by line of the invoice, or of the note itself
    amounts: dict[tuple[str, bool], int] = {(row.line, False): row.amount for row in changed}
    own = connection.execute(
        text(
            "select l.line, l.amount_minor, p.name from credit_line l join product p using (product)"
            " where l.customer_id = :customer and l.document_id = :note order by length(l.line), l.line"
        ),
        place,
    ).all()
    amounts |= {(row.line, True): row.amount_minor for row in own}
    taxes = connection.execute(
        text(
            "select t.line, t.invoice_id = :note as own, t.tax_code, c.name, t.treatment, t.included,"
            " -:sign * sum(t.base_minor)::bigint as base, -:sign * sum(t.tax_minor)::bigint as tax"
            " from line_tax t join tax_code c using (tax_code) where t.customer_id = :customer and t.document_id = :document"
            " and t.undoes = :undoes group by t.line, own, t.tax_code, c.name, t.treatment, t.included order by min(t.position), 3"
        ),
        place,
    ).all()
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
    return _made(
        "credit.html",
        f"{'Credit note' if kind == 'credit_note' else 'Cancellation'} {ref}",
        found,
        kind=kind, ref=ref, date=head.dated_on, reason=reason, note=note if again else None, currency=body["currency"] if found is None else found.currency,
        seller=_seller(connection, entity, head.dated_on), buyer=_buyer(connection, entity, customer, head.dated_on, head.document_id),
        lines=lines, taxes=[(*key, *sums) for key, sums in totals.items()], total=total,
        set_off=place["sign"] * settled, notes=[said for treatment, said in (("reverse_charge", REVERSE_CHARGE), ("exempt", EXEMPT)) if treatment in shown],
    )  # fmt: skip


def _head(connection: Connection, kind: str, ref: str) -> Any:
    """A document as it is in the books. Raises UnknownReference."""
    head: Any = connection.execute(
        text(
            "select d.customer_id, d.document_id, d.ref, d.dated_on, d.body, c.ref as customer from document_key k"
            " join document d using (customer_id, document_id) join customer c using (customer_id) where k.type = :kind and k.ref = :ref"
        ),
        {"kind": kind, "ref": ref},
    ).first()
    if head is None:
        raise UnknownReference(kind, ref, f"expected the id of a document of the type {kind} in the books")
    return head


def _returned(connection: Connection, ref: str) -> Sheet:
    """The notice that money came back: which invoices are due again, and what of it had paid none."""
    head = _head(connection, "payment_reversal", ref)
    body = json.loads(head.body)
    names = names_of("payment_reversal")
    money = next(
        _head(connection, names[field], body[field]) for field in ("payment", "recovery", "receipt") if body.get(field)
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
    return _made(
        "returned.html", f"Returned payment {ref}", ref=ref, date=head.dated_on, reason=body["reason"], payment=money,
        reference=json.loads(money.body).get("reference"), amount=whole.amount, due=due, unapplied=unapplied, currency=whole.currency,
        seller=_seller(connection, entity, head.dated_on), buyer=_buyer(connection, entity, head.customer, head.dated_on, head.document_id),
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
    buyer = _buyer(connection, entity, customer, until)
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
    return _made(
        "statement.html", f"Statement {customer} {until}", seller=_seller(connection, entity, until), buyer=buyer, customer=customer,
        since=since, until=until, sections=sections, document=_document, numbers=_numbers(connection, customer),
    )  # fmt: skip


def _numbers(connection: Connection, customer: str) -> dict[str, str]:
    """A customer's invoices that were numbered, by their ids."""
    rows = connection.execute(
        text(
            "select i.ref, coalesce(e.invoice_prefix, '') || i.number as number from invoice i join entity e using (entity)"
            " join customer c using (customer_id) where c.ref = :customer and i.number is not null"
        ),
        {"customer": customer},
    )
    return {row.ref: row.number for row in rows}


def _document(named: str, numbers: Mapping[str, str]) -> str:
    """A document of a statement as its reader knows it."""
    kind, _, ref = named.partition(" ")
    ref = numbers.get(ref, ref) if kind == "invoice" else ref
    if named == "brought forward":
        return "Brought forward"
    return f"{'Invoice' if kind == 'invoice' else _SETTLED.get(kind, kind.replace('_', ' ').capitalize())} {ref}"
