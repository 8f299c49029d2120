"""An invoice as its readers see it: its lines by group, its taxes, and what became of what it charged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from ledger.amounts.money import to_text


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Usage that a line bills: `amount` is the part of it on this line, in minor units. What states an amount has no price."""

    document: str
    date: date
    quantity: Decimal | None
    unit_price: Decimal | None
    amount: int
    events: str | None


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A line as the document states it, with its taxes and the usage it bills."""

    id: str
    entity: str
    kind: str
    amount: int
    title: str
    product: str | None
    quantity: Decimal | None
    unit_price: Decimal | None
    discount: str | None
    start: str | None
    end: str | None
    taxes: tuple[str, ...]
    usage: tuple[UsageRow, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """The lines of a group that share a label, as one: a quantity where all have one unit price."""

    label: str
    quantity: Decimal | None
    unit_price: Decimal | None
    amount: int
    lines: tuple[ShownLine, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Items under one heading, with their sum."""

    name: str
    items: tuple[Item, ...]

    @property
    def amount(self) -> int:
        """What its items come to, in minor units."""
        return sum(item.amount for item in self.items)


@dataclass(frozen=True, slots=True)
class TaxTotal:
    """A tax of the invoice: what it was charged on, and how much it is."""

    code: str
    name: str
    treatment: str
    included: bool
    base: int
    tax: int


@dataclass(frozen=True, slots=True)
class ShownSettlement:
    """What a document took off an invoice, as a payment, tax withheld, a credit or a write-off; less than nothing where it brought it back."""

    document: str
    date: date
    kind: str
    amount: int


@dataclass(frozen=True, slots=True)
class ShownInvoice:
    """An invoice: its parties and dates, its lines by group, its taxes, and what became of what it charged."""

    ref: str
    number: str | None
    entity: str
    entity_name: str
    customer: str
    customer_name: str
    customer_tax_id: str | None
    tax_status: str
    currency: str
    issued_on: date
    due_on: date
    rate: Decimal | None
    supersedes: str | None
    voided: bool
    groups: tuple[Group, ...]
    taxes: tuple[TaxTotal, ...]
    total: int
    settlements: tuple[ShownSettlement, ...]
    reference: str | None = None
    external: Mapping[str, str] = field(default_factory=dict)
    to_balance: int = 0  # what it is below zero, as the customer's money
    draft: bool = False

    @property
    def paid(self) -> int:
        """What payments settled, and what tax customers withheld with them, in minor units."""
        return self._settled("payment") + self._settled("withheld")

    @property
    def credited(self) -> int:
        """What credit notes and voids took back, in minor units."""
        return self._settled("credit")

    @property
    def written_off(self) -> int:
        """What was given up, in minor units."""
        return self._settled("write_off")

    def _settled(self, kind: str) -> int:
        return sum(settlement.amount for settlement in self.settlements if settlement.kind == kind)

    @property
    def due(self) -> int:
        """What is still to be paid, in minor units."""
        return self.total + self.to_balance - self.paid - self.credited - self.written_off

    @property
    def status(self) -> str:
        """One word for where it stands: draft, void, open, credit (below zero), paid or settled (by credits or a write-off too)."""
        if self.draft:
            return "draft"
        if self.voided:
            return "void"
        if self.due > 0:
            return "open"
        if self.total < 0:
            return "credit"
        return "paid" if self.paid == self.total else "settled"

    def as_json(self) -> dict[str, Any]:
        """The invoice as JSON: amounts as decimal strings of its currency."""

        def money(amount: int) -> str:
            return to_text(amount, self.currency)

        return {
            "id": self.ref, "number": self.number, "status": self.status,
            "entity": {"id": self.entity, "name": self.entity_name},
            "customer": {"id": self.customer, "name": self.customer_name, "tax_id": self.customer_tax_id,
                         "tax_status": self.tax_status},
            "currency": self.currency, "issued_on": self.issued_on.isoformat(), "due_on": self.due_on.isoformat(),
            "exchange_rate": None if self.rate is None else _plain(self.rate), "supersedes": self.supersedes,
            "reference": self.reference, "external": dict(self.external),
            "groups": [
                {"group": group.name, "amount": money(group.amount),
                 "items": [
                     {"label": item.label, "quantity": _plain(item.quantity), "unit_price": _plain(item.unit_price),
                      "amount": money(item.amount), "lines": [_line_json(line, self.currency) for line in item.lines]}
                     for item in group.items]}
                for group in self.groups],
            "taxes": [{"code": tax.code, "name": tax.name, "treatment": tax.treatment, "included": tax.included,
                       "base": money(tax.base), "tax": money(tax.tax)} for tax in self.taxes],
            "total": money(self.total), "paid": money(self.paid), "credited": money(self.credited),
            "written_off": money(self.written_off), "to_balance": money(self.to_balance), "due": money(self.due),
            "settlements": [{"document": one.document, "date": one.date.isoformat(), "kind": one.kind, "amount": money(one.amount)}
                            for one in self.settlements],
        }  # fmt: skip


def _line_json(line: ShownLine, currency: str) -> dict[str, Any]:
    return {
        "id": line.id, "entity": line.entity, "kind": line.kind, "title": line.title, "product": line.product, "quantity": _plain(line.quantity),
        "unit_price": _plain(line.unit_price), "discount": line.discount, "start": line.start, "end": line.end,
        "tax_codes": list(line.taxes), "amount": to_text(line.amount, currency),
        "usage": [
            {"document": row.document, "date": row.date.isoformat(), "quantity": _plain(row.quantity),
             "unit_price": _plain(row.unit_price), "amount": to_text(row.amount, currency), "events": row.events}
            for row in line.usage],
    }  # fmt: skip


def _plain(number: Decimal | None) -> str | None:
    return None if number is None else f"{number:f}"
