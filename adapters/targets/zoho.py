"""Zoho Books: manual journals for its API (v3, POST /journals) and its import page, and the API's other objects.

Where the mapping asks for them, these are contacts, items, invoices, credit notes and customer payments: a file has each object under
the name that the API answers with, in the order in which they can be made, and Customer:globex stands for the id that making it
gives. Field names are those of Zoho's OpenAPI. Ids there are the organisation's own, which a mapping file gives. The reference number
identifies a journal before a retry, since Zoho keeps no idempotency key for journals. The columns of the import page are published
nowhere: a mapping file names them as the sample file that Zoho offers for download does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from marshmallow import Schema, fields, validate

from adapters.files.forms import (
    Refusals,
    checked,
    counted,
    json_text,
    plain,
    read_json,
    read_table,
    sum_by_account,
    write_json,
)
from adapters.selected.entry import Entry, EntryLine
from adapters.selected.mapping import Kind, Mapping, stand_in
from adapters.selected.objects import RECEIVABLE, Applied, Bill, BillLine, Head, Item, Party, Receipt, Thing
from adapters.targets.target import Objects, Target, account_cell, currency_id, either_side, write_lines
from adapters.targets.zoho_journals import (
    REFERENCE_MAX,
    Journal,
    Tag,
    currency_of,
    journal_form,
    journal_sides,
    journal_totals,
    tags_of,
    write_journals,
)

# Before what a stand-in for a contact's id calls it.
_PARTY_NOTE = "Tickmark customer "


class _Contact(Schema):
    contact_name = fields.String(required=True, validate=validate.Length(max=200))
    contact_type = fields.String(required=True, validate=validate.OneOf(["customer"]))
    currency_id = fields.String()
    notes = fields.String()


class _MadeItem(Schema):
    name = fields.String(required=True, validate=validate.Length(max=100))
    sku = fields.String(required=True)
    rate = fields.Decimal(required=True)
    account_id = fields.String(required=True)
    product_type = fields.String(required=True, validate=validate.OneOf(["service"]))
    item_type = fields.String(required=True, validate=validate.OneOf(["sales"]))


class _Sold(Schema):
    item_id = fields.String(required=True)
    description = fields.String(validate=validate.Length(max=2000))
    rate = fields.Decimal(required=True)
    quantity = fields.Integer(required=True)
    tags = fields.List(fields.Nested(Tag))


class _Dated(Schema):
    customer_id = fields.String(required=True)
    date = fields.Date(required=True)
    exchange_rate = fields.Decimal(validate=validate.Range(min=0, min_inclusive=False))


class _Invoice(_Dated):
    currency_id = fields.String()
    reference_number = fields.String(validate=validate.Length(max=REFERENCE_MAX))
    invoice_number = fields.String(required=True, validate=validate.Length(max=100))
    due_date = fields.Date(required=True)
    notes = fields.String(validate=validate.Length(max=5000))
    line_items = fields.List(fields.Nested(_Sold), required=True, validate=validate.Length(min=1))


class _CreditNote(_Dated):
    currency_id = fields.String()
    reference_number = fields.String(validate=validate.Length(max=REFERENCE_MAX))
    creditnote_number = fields.String(required=True, validate=validate.Length(max=100))
    ignore_auto_number_generation = fields.Boolean(required=True)
    notes = fields.String(validate=validate.Length(max=5000))
    line_items = fields.List(fields.Nested(_Sold), required=True, validate=validate.Length(min=1))


class _Settled(Schema):
    invoice_id = fields.String(required=True)
    amount_applied = fields.Decimal(required=True, validate=validate.Range(min=0, min_inclusive=False))


class _Payment(_Dated):
    payment_mode = fields.String(required=True, validate=validate.Length(max=100))
    amount = fields.Decimal(required=True, validate=validate.Range(min=0, min_inclusive=False))
    reference_number = fields.String(required=True, validate=validate.Length(max=100))
    description = fields.String()
    account_id = fields.String(required=True)
    invoices = fields.List(fields.Nested(_Settled), required=True, validate=validate.Length(min=1))
    invoice_id = fields.String()
    amount_applied = fields.Decimal()


class _CreditApplied(Schema):
    """Its id is the credit note's: the rest is what that is told."""

    creditnote_id = fields.String(required=True)
    invoices = fields.List(fields.Nested(_Settled), required=True, validate=validate.Length(equal=1))


def _dated(head: Head) -> dict[str, Any]:
    made: dict[str, Any] = {"customer_id": head.customer, "date": head.dated_on}
    return made | ({} if head.rate is None else {"exchange_rate": head.rate})


def _sold(line: BillLine, head: Head, mapping: Mapping) -> dict[str, Any]:
    made: dict[str, Any] = {
        "item_id": line.item.key,
        "description": line.description[:2000],
        "rate": head.amount(line.net),
        "quantity": 1,
    }
    tags = tags_of(line.place, mapping)
    return made | ({"tags": tags} if tags else {})


def _bill(bill: Bill, mapping: Mapping, refusals: Refusals) -> dict[str, Any]:
    """Taxes are lines of their own, of an item whose account is the tax account: Zoho would work them out again."""
    head = bill.head
    currency = currency_of(head.number, head.currency, head.rate, mapping, refusals)
    lines = [_sold(line, head, mapping) for line in bill.lines]
    if bill.credit:
        # its lines have no tags there
        lines = [{name: value for name, value in line.items() if name != "tags"} for line in lines]
    made = _dated(head) | currency | {"notes": head.memo, "line_items": lines}
    if head.reference:
        made["reference_number"] = head.reference[:REFERENCE_MAX]
    if bill.credit:
        return made | {"creditnote_number": head.number, "ignore_auto_number_generation": True}
    return made | {"invoice_number": head.number, "due_date": bill.due_on}


def _settled(invoice: str, amount: Decimal) -> dict[str, Any]:
    return {"invoice_id": stand_in("Invoice", invoice), "amount_applied": amount}


def _receipt(receipt: Receipt) -> dict[str, Any]:
    head = receipt.head
    settled = [_settled(number, head.amount(net)) for number, net in receipt.applied]
    made = _dated(head) | {
        "payment_mode": receipt.mode,
        "amount": head.amount(receipt.total),
        "reference_number": head.number,
        "description": head.memo,
        "account_id": receipt.deposited.account,
        "invoices": settled,
    }
    # its documentation asks for the invoice beside the list of them, too: of several there is no such one
    return made | (settled[0] if len(settled) == 1 else {})


def _form(thing: Thing, mapping: Mapping, refusals: Refusals) -> tuple[str, str, dict[str, Any]]:
    """What a thing is called there, by which number it is known, and how it is written."""
    match thing:
        case Party():
            made: dict[str, Any] = {
                "contact_name": thing.name, "contact_type": "customer", "notes": _PARTY_NOTE + thing.key.partition(":")[2],
            }  # fmt: skip
            if thing.currency:
                made["currency_id"] = currency_id(thing.key, thing.currency, mapping, refusals, "Zoho")
            return "contact", thing.key, made
        case Item():
            made = {
                "name": thing.name, "sku": thing.key.partition(":")[2], "rate": 0, "account_id": thing.account,
                "product_type": "service", "item_type": "sales",
            }  # fmt: skip
            return "item", thing.key, made
        case Bill():
            return "creditnote" if thing.credit else "invoice", thing.head.number, _bill(thing, mapping, refusals)
        case Receipt():
            return "customerpayment", thing.head.number, _receipt(thing)
        case Applied():
            head = thing.head
            made = {
                "creditnote_id": stand_in("CreditMemo", thing.credit),
                "invoices": [_settled(thing.invoice, head.amount(thing.net))],
            }
            return "creditapplied", head.number, made
        case Entry():
            return "journal", thing.number, journal_form(thing, mapping, refusals)


_SCHEMAS = {
    "contact": _Contact(), "item": _MadeItem(), "invoice": _Invoice(), "creditnote": _CreditNote(), "customerpayment": _Payment(),
    "creditapplied": _CreditApplied(), "journal": Journal(),
}  # fmt: skip


def _write_objects(path: Path, things: Iterable[Thing], mapping: Mapping, refusals: Refusals) -> int:
    def forms() -> Iterator[dict[str, Any]]:
        for thing in things:
            kind, number, form = _form(thing, mapping, refusals)
            yield {kind: checked(_SCHEMAS[kind], number, form, refusals)}

    return write_json(path, forms())


def _sides(
    kind: str, form: dict[str, Any], receivable: str, accounts: dict[str, str], cent: Decimal
) -> Iterator[tuple[str, Decimal]]:
    """What Zoho posts for an object, as written, by account; `accounts` are those of items."""
    if kind == "journal":
        yield from journal_sides(form, cent)
        return
    rate = form.get("exchange_rate")
    if kind == "customerpayment":
        amount = counted(form["amount"], rate, cent)
        yield form["account_id"], amount
        yield receivable, -amount
        return
    side = -1 if kind == "creditnote" else 1
    for line in form["line_items"]:
        yield accounts[line["item_id"]], -side * counted(line["rate"] * line["quantity"], rate, cent)
    total = sum((line["rate"] * line["quantity"] for line in form["line_items"]), Decimal(0))
    yield receivable, side * counted(total, rate, cent)


def _object_totals(path: Path, mapping: Mapping, cent: Decimal) -> dict[str, Decimal]:
    accounts = mapping.items()
    receivable = mapping.place(Kind(RECEIVABLE, "", "", ""))
    sums: dict[str, Decimal] = {}
    for made in read_json(path):
        ((kind, form),) = made.items()
        if kind == "item":
            accounts[stand_in("Item", form["sku"])] = form["account_id"]
        elif kind not in ("contact", "creditapplied"):
            # a file without anything of theirs has no such account
            for account, amount in _sides(kind, form, receivable.account if receivable else "", accounts, cent):
                sums[account] = sums.get(account, Decimal(0)) + amount
    return sums


def _items(path: Path) -> Iterator[tuple[str, str, str]]:
    for made in read_json(path):
        kind, form = next(iter(made.items())) if len(made) == 1 else ("journal", made)
        match kind:
            case "contact":
                number = form["notes"].removeprefix(_PARTY_NOTE)
            case "item":
                number = form["sku"]
            case "creditapplied":
                number = f"{form['creditnote_id'].partition(':')[2]}-applied"
            case "invoice" | "creditnote":
                number = form[f"{kind}_number"]
            case _:
                number = form["reference_number"]
        yield kind, number, json_text(form)


# What a mapping's [columns] may name, and what it must.
_NEEDED = ("date", "number", "account", "debit", "credit")
_OFFERED = (*_NEEDED, "notes", "description", "customer", "currency", "department", "class", "location")


def _write_csv(path: Path, entries: Iterable[Entry], mapping: Mapping, refusals: Refusals) -> int:
    assert mapping.file is not None, "a file names the columns"
    columns = mapping.file.columns
    for name in columns.keys() - set(_OFFERED):
        refusals.add("mapping", f"columns.{name}", columns[name], f"expected one of {', '.join(_OFFERED)}")
    names = [name for name in _OFFERED if name in columns]
    day_form = mapping.field("date_format", "%Y-%m-%d")

    def cells(entry: Entry, line: EntryLine, _number: int) -> list[str]:
        debit, credit = either_side(entry, line)
        found = {
            "date": entry.dated_on.strftime(day_form), "number": entry.number, "account": account_cell(entry, line, refusals),
            "debit": debit, "credit": credit, "notes": plain(entry.memo), "description": plain(line.description),
            "customer": plain(line.customer_name), "currency": entry.currency, "department": plain(line.place.department),
            "class": plain(line.place.class_), "location": plain(line.place.location),
        }  # fmt: skip
        return [found[name] for name in names]

    return write_lines(path, [columns[name] for name in names], entries, cells)


def _csv_totals(path: Path, mapping: Mapping, _cent: Decimal) -> dict[str, Decimal]:
    assert mapping.file is not None, "a file names the columns"
    account, debit, credit = (mapping.file.columns[name] for name in ("account", "debit", "credit"))
    return sum_by_account(
        (row[account], Decimal(row[debit] or 0) - Decimal(row[credit] or 0)) for row in read_table(path)
    )


BOOKS = Target(
    "zoho.json",
    "journals",
    write_journals,
    journal_totals,
    number_max=50,
    objects=Objects(_write_objects, _object_totals, _items, receivable_by_currency=False),
)
BOOKS_CSV = Target("zoho.csv", "journals", _write_csv, _csv_totals, own="{name}", currencies=False, columns=_NEEDED)
