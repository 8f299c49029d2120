"""A printed document's parts: the sheet, who sells and who buys, and what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from sqlalchemy import Connection, text

from ledger.amounts.money import grouped
from ledger.documents import personal
from ledger.errors import Refused, UnknownReference
from ledger.invoices.shown import ShownInvoice
from web.render.wording import day, file_name, money

# What a supply under reverse charge has to say: Directive 2006/112/EC, article 226 (11a).
REVERSE_CHARGE = "Reverse charge: the recipient of the supply is liable for the tax."
EXEMPT = "Exempt from tax."
# What settles an invoice, in words.
SETTLED = {"payment": "Payment", "application": "From your balance", "credit_note": "Credit note", "invoice_void": "Void",
            "write_off": "Written off", "grant_return": "Credits returned", "refund": "Refund", "dispute": "Disputed",
            "recovery": "Payment", "contract_modification": "Contract changed", "unapplication": "Taken off again",
            "payment_reversal": "Payment returned", "credit_note_void": "Credit note taken back", "refund_reversal": "Refund returned",
            "receipt_identified": "Payment", "customer_credit": "Goodwill"}  # fmt: skip


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


def made_of(template: str, title: str, invoice: ShownInvoice | None = None, **facts: Any) -> Sheet:
    """A sheet of a template and what it says; `seller` is among the facts."""
    html = _templates().get_template(template).render(title=title, css=style(), invoice=invoice, **facts)
    return Sheet(title, html, facts["seller"].entity)


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


def seller_of(connection: Connection, entity: str, on: date) -> _Party:
    """An entity as it names itself on a day."""
    name = connection.scalar(text("select name from entity where entity = :entity"), {"entity": entity})
    details = personal.details(connection, on, entity)
    return _Party(details.get("name") or name or entity, details, None, entity)


def buyer_of(connection: Connection, entity: str, customer: str, on: date, before: int | None = None) -> _Party:
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
    return named_of(connection, entity, customer, on, row.name, row.tax_id)


def named_of(connection: Connection, entity: str, customer: str, on: date, name: str, tax_id: str | None) -> _Party:
    """A customer as its details of a day name it, else by the name and tax id it has."""
    details = personal.details(connection, on, entity, customer)
    return _Party(details.get("name") or name, details, tax_id)


def head_of(connection: Connection, kind: str, ref: str) -> Any:
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


def numbers_of(connection: Connection, customer: str) -> dict[str, str]:
    """A customer's invoices that were numbered, by their ids."""
    rows = connection.execute(
        text(
            "select i.ref, coalesce(e.invoice_prefix, '') || i.number as number from invoice i join entity e using (entity)"
            " join customer c using (customer_id) where c.ref = :customer and i.number is not null"
        ),
        {"customer": customer},
    )
    return {row.ref: row.number for row in rows}


def document_of(named: str, numbers: Mapping[str, str]) -> str:
    """A document of a statement as its reader knows it."""
    kind, _, ref = named.partition(" ")
    ref = numbers.get(ref, ref) if kind == "invoice" else ref
    if named == "brought forward":
        return "Brought forward"
    return f"{'Invoice' if kind == 'invoice' else SETTLED.get(kind, kind.replace('_', ' ').capitalize())} {ref}"
