"""QuickBooks Online's API (v3): JournalEntry, and Customer, Item, Invoice, CreditMemo and Payment where the mapping asks for them.

Field names and limits are those of Intuit's schema (Finance.xsd of its Java SDK). Accounts are named by ids of the company's own,
which a mapping file gives; so are customers and items, unless they are made. A file with more than journal entries has each object
under the name of its kind, in the order in which they can be made; Customer:globex stands for the id that making it gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from marshmallow import Schema, fields, validate

from adapters.files.forms import Refusals, checked, counted, json_text, read_json, write_json
from adapters.selected.entry import Entry
from adapters.selected.mapping import Kind, Mapping, stand_in
from adapters.selected.objects import RECEIVABLE, Applied, Bill, BillLine, Head, Item, Party, Receipt, Thing
from adapters.targets.quickbooks_entries import (
    AMOUNT_MAX,
    NAME_LENGTH_MAX,
    TEXT_LENGTH_MAX,
    JournalEntry,
    Ref,
    entry_form,
    entry_sides,
    entry_totals,
    write_entries,
)
from adapters.targets.target import Objects, Target

_PARTY_NAME_LENGTH_MAX = 500
# Before what a stand-in for a customer's id calls it.
_PARTY_NOTE = "Tickmark customer "


class _MadeCustomer(Schema):
    DisplayName = fields.String(required=True, validate=validate.Length(max=_PARTY_NAME_LENGTH_MAX))
    CompanyName = fields.String(required=True, validate=validate.Length(max=NAME_LENGTH_MAX))
    CurrencyRef = fields.Nested(Ref)
    Notes = fields.String(required=True, validate=validate.Length(max=1024))


class _MadeItem(Schema):
    Name = fields.String(required=True, validate=validate.Length(max=NAME_LENGTH_MAX))
    Sku = fields.String(required=True, validate=validate.Length(max=NAME_LENGTH_MAX))
    Type = fields.String(required=True, validate=validate.OneOf(["Service"]))
    IncomeAccountRef = fields.Nested(Ref, required=True)


class _SalesDetail(Schema):
    ItemRef = fields.Nested(Ref, required=True)
    ClassRef = fields.Nested(Ref)
    UnitPrice = fields.Decimal(required=True)
    Qty = fields.Integer(required=True)
    TaxCodeRef = fields.Nested(Ref, required=True)
    ServiceDate = fields.Date()


class _SalesLine(Schema):
    Id = fields.String(required=True)
    LineNum = fields.Integer(required=True)
    Description = fields.String(validate=validate.Length(max=TEXT_LENGTH_MAX))
    Amount = fields.Decimal(required=True, validate=validate.Range(min=-AMOUNT_MAX, max=AMOUNT_MAX))
    DetailType = fields.String(required=True, validate=validate.Equal("SalesItemLineDetail"))
    SalesItemLineDetail = fields.Nested(_SalesDetail, required=True)


class _Tax(Schema):
    TxnTaxCodeRef = fields.Nested(Ref)
    TotalTax = fields.Decimal(required=True)


class _Transaction(Schema):
    TxnDate = fields.Date(required=True)
    CurrencyRef = fields.Nested(Ref, required=True)
    ExchangeRate = fields.Decimal(validate=validate.Range(min=0, min_inclusive=False))
    PrivateNote = fields.String(validate=validate.Length(max=TEXT_LENGTH_MAX))
    CustomerRef = fields.Nested(Ref, required=True)


class _Message(Schema):
    value = fields.String(required=True, validate=validate.Length(max=1000))


class _CreditMemo(_Transaction):
    DocNumber = fields.String(required=True, validate=validate.Length(max=21))
    CustomerMemo = fields.Nested(_Message)
    Line = fields.List(fields.Nested(_SalesLine), required=True)
    TxnTaxDetail = fields.Nested(_Tax)


class _Invoice(_CreditMemo):
    DueDate = fields.Date(required=True)


class _Linked(Schema):
    TxnId = fields.String(required=True)
    TxnType = fields.String(required=True, validate=validate.OneOf(["Invoice", "CreditMemo"]))


class _PaymentLine(Schema):
    Amount = fields.Decimal(required=True, validate=validate.Range(min=0, min_inclusive=False, max=AMOUNT_MAX))
    LinkedTxn = fields.List(fields.Nested(_Linked), required=True, validate=validate.Length(equal=1))


class _Payment(_Transaction):
    PaymentRefNum = fields.String(required=True, validate=validate.Length(max=21))
    TotalAmt = fields.Decimal(required=True, validate=validate.Range(min=0, max=AMOUNT_MAX))
    ARAccountRef = fields.Nested(Ref)
    DepositToAccountRef = fields.Nested(Ref)
    Line = fields.List(fields.Nested(_PaymentLine), required=True, validate=validate.Length(min=1))


def _party(party: Party) -> dict[str, Any]:
    # a colon stands between a customer and its jobs there
    name = party.name.replace(":", ",")
    made: dict[str, Any] = {
        "DisplayName": name,
        "CompanyName": name[:NAME_LENGTH_MAX],
        "Notes": _PARTY_NOTE + party.key.partition(":")[2],
    }
    return made | ({"CurrencyRef": {"value": party.currency}} if party.currency else {})


def _item(item: Item) -> dict[str, Any]:
    return {
        "Name": item.name,
        "Sku": item.key.partition(":")[2],
        "Type": "Service",
        "IncomeAccountRef": {"value": item.account, "name": item.account_name},
    }


def _transaction(head: Head) -> dict[str, Any]:
    made: dict[str, Any] = {
        "TxnDate": head.dated_on,
        "CurrencyRef": {"value": head.currency},
        "PrivateNote": head.memo,
        "CustomerRef": {"value": head.customer, "name": head.customer_name[:NAME_LENGTH_MAX]},
    }
    return made | ({} if head.rate is None else {"ExchangeRate": head.rate})


def _sales_line(number: int, line: BillLine, bill: Bill) -> dict[str, Any]:
    amount = bill.head.amount(line.net)
    detail: dict[str, Any] = {
        "ItemRef": {"value": line.item.key, "name": line.item.name},
        "UnitPrice": amount,
        "Qty": 1,
        "TaxCodeRef": {"value": "TAX" if line.taxed else "NON"},
    }
    if line.place.class_:
        detail["ClassRef"] = {"value": line.place.class_}
    if line.starts_on is not None:
        detail["ServiceDate"] = line.starts_on
    return {
        "Id": str(number),
        "LineNum": number,
        "Description": line.description[:TEXT_LENGTH_MAX],
        "Amount": amount,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": detail,
    }


def _bill(bill: Bill, mapping: Mapping) -> dict[str, Any]:
    """An invoice or a credit memo: taxes are told beside its lines, as the system takes them."""
    taxes = [line for line in bill.lines if line.is_tax]
    sold = [line for line in bill.lines if not line.is_tax]
    made = _transaction(bill.head) | {
        "DocNumber": bill.head.number,
        "Line": [_sales_line(number, line, bill) for number, line in enumerate(sold, 1)],
    }
    if bill.head.reference:
        made["CustomerMemo"] = {"value": f"Reference {bill.head.reference}"}
    if taxes:
        code = mapping.field("tax_code")
        made["TxnTaxDetail"] = ({"TxnTaxCodeRef": {"value": code}} if code else {}) | {
            "TotalTax": bill.head.amount(sum(line.net for line in taxes))
        }
    return made if bill.credit else made | {"DueDate": bill.due_on}


def _linked(kind: str, number: str, amount: Decimal) -> dict[str, Any]:
    return {"Amount": amount, "LinkedTxn": [{"TxnId": stand_in(kind, number), "TxnType": kind}]}


def _receipt(receipt: Receipt) -> dict[str, Any]:
    head = receipt.head
    return _transaction(head) | {
        "PaymentRefNum": head.number,
        "TotalAmt": head.amount(receipt.total),
        "ARAccountRef": {"value": receipt.receivable.account},
        "DepositToAccountRef": {"value": receipt.deposited.account},
        "Line": [_linked("Invoice", number, head.amount(net)) for number, net in receipt.applied],
    }


def _applied(applied: Applied) -> dict[str, Any]:
    """A payment of nothing, which is how a credit memo is put onto an invoice there."""
    head = applied.head
    amount = head.amount(applied.net)
    return _transaction(head) | {
        "PaymentRefNum": head.number,
        "TotalAmt": Decimal(0),
        "Line": [_linked("Invoice", applied.invoice, amount), _linked("CreditMemo", applied.credit, amount)],
    }


def _form(thing: Thing, mapping: Mapping) -> tuple[str, str, Schema, dict[str, Any]]:
    """What a thing is called there, by which number it is known, and how it is written."""
    match thing:
        case Party():
            return "Customer", thing.key, _SCHEMAS["Customer"], _party(thing)
        case Item():
            return "Item", thing.key, _SCHEMAS["Item"], _item(thing)
        case Bill():
            kind = "CreditMemo" if thing.credit else "Invoice"
            return kind, thing.head.number, _SCHEMAS[kind], _bill(thing, mapping)
        case Receipt():
            return "Payment", thing.head.number, _SCHEMAS["Payment"], _receipt(thing)
        case Applied():
            return "Payment", thing.head.number, _SCHEMAS["Payment"], _applied(thing)
        case Entry():
            return "JournalEntry", thing.number, _SCHEMAS["JournalEntry"], entry_form(thing)


_SCHEMAS = {
    "Customer": _MadeCustomer(), "Item": _MadeItem(), "Invoice": _Invoice(), "CreditMemo": _CreditMemo(), "Payment": _Payment(),
    "JournalEntry": JournalEntry(),
}  # fmt: skip


def _write_objects(path: Path, things: Iterable[Thing], mapping: Mapping, refusals: Refusals) -> int:
    def forms() -> Iterator[dict[str, Any]]:
        for thing in things:
            # taxes are told beside an invoice's lines there, not as items
            if isinstance(thing, Item) and thing.role == "tax_payable":
                continue
            kind, number, schema, form = _form(thing, mapping)
            yield {kind: checked(schema, number, form, refusals)}

    return write_json(path, forms())


def _account(mapping: Mapping, role: str, currency: str) -> str:
    """The account of what the system posts by itself."""
    place = mapping.place(Kind(role, "", "", currency))
    assert place is not None, "checked before anything is written"
    return place.account


def _sides(
    kind: str, form: dict[str, Any], mapping: Mapping, accounts: dict[str, str], cent: Decimal
) -> Iterator[tuple[str, Decimal]]:
    """What the system posts for an object, as written, by account; `accounts` are those of items."""
    if kind == "JournalEntry":
        yield from entry_sides(form, cent)
        return
    rate, currency = form.get("ExchangeRate"), form["CurrencyRef"]["value"]
    receivable = _account(mapping, RECEIVABLE, currency)
    if kind == "Payment":
        amount = counted(form["TotalAmt"], rate, cent)
        if amount:
            yield form["DepositToAccountRef"]["value"], amount
            yield receivable, -amount
        return
    side = -1 if kind == "CreditMemo" else 1
    total = Decimal(0)
    for line in form["Line"]:
        total += line["Amount"]
        yield accounts[line["SalesItemLineDetail"]["ItemRef"]["value"]], -side * counted(line["Amount"], rate, cent)
    if "TxnTaxDetail" in form:
        tax = form["TxnTaxDetail"]["TotalTax"]
        total += tax
        yield _account(mapping, "tax_payable", currency), -side * counted(tax, rate, cent)
    yield receivable, side * counted(total, rate, cent)


def _object_totals(path: Path, mapping: Mapping, cent: Decimal) -> dict[str, Decimal]:
    accounts = mapping.items()
    sums: dict[str, Decimal] = {}
    for made in read_json(path):
        ((kind, form),) = made.items()
        if kind == "Item":
            accounts[stand_in("Item", form["Sku"])] = form["IncomeAccountRef"]["value"]
        elif kind != "Customer":
            for account, amount in _sides(kind, form, mapping, accounts, cent):
                sums[account] = sums.get(account, Decimal(0)) + amount
    return sums


def _items(path: Path) -> Iterator[tuple[str, str, str]]:
    for made in read_json(path):
        kind, form = next(iter(made.items())) if len(made) == 1 else ("JournalEntry", made)
        match kind:
            case "Customer":
                number = form["Notes"].removeprefix(_PARTY_NOTE)
            case "Item":
                number = form["Sku"]
            case "Payment":
                number = form["PaymentRefNum"]
            case _:
                number = form["DocNumber"]
        yield kind, number, json_text(form)


ONLINE = Target(
    "quickbooks.json",
    "journal entries",
    write_entries,
    entry_totals,
    lines_max=1_000,
    objects=Objects(_write_objects, _object_totals, _items),
)
