"""Customers, items, invoices, credit notes and payments as other systems know them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from adapters.selected.entry import Entry, memo_of
from adapters.selected.mapping import Place
from ledger.amounts.money import to_decimal
from ledger.journal.references import Called

RECEIVABLE = "accounts_receivable"


@dataclass(frozen=True, slots=True)
class Party:
    """A customer to be made there. `key` stands for its id, `currency` is empty where it is the entity's."""

    key: str
    ref: str
    name: str
    currency: str
    tax_id: str


@dataclass(frozen=True, slots=True)
class Item:
    """What is sold, to be made there: whatever is billed by it is credited to its account. `key` stands for its id."""

    key: str
    name: str
    account: str
    account_name: str
    role: str
    product: str


@dataclass(frozen=True, slots=True)
class Head:
    """What all documents there have. `rate` is functional currency for one of the currency, where they differ."""

    number: str
    source: str
    entity: str
    dated_on: date
    customer: str
    customer_name: str
    currency: str
    functional_currency: str
    rate: Decimal | None
    called: Called = field(default_factory=dict)

    @property
    def memo(self) -> str:
        """Where it comes from."""
        return memo_of(self.source, self.called, self.entity)

    @property
    def reference(self) -> str:
        """The reference its document bears; else nothing."""
        return str(self.called.get("reference") or "")

    def amount(self, net: int) -> Decimal:
        """Minor units as an amount of its currency."""
        return to_decimal(net, self.currency)


@dataclass(frozen=True, slots=True)
class BillLine:
    """What is billed, or credited, of an item: `net` in minor units of the bill's currency, above zero where it adds to the total."""

    place: Place
    item: Item
    description: str
    net: int
    starts_on: date | None
    taxed: bool

    @property
    def is_tax(self) -> bool:
        """Whether it is owed to a tax authority."""
        return self.item.role == "tax_payable"


@dataclass(frozen=True, slots=True)
class Bill:
    """An invoice, or a credit note: whether it is `credit`."""

    head: Head
    credit: bool
    due_on: date
    lines: tuple[BillLine, ...]

    @property
    def total(self) -> int:
        """With taxes, in minor units."""
        return sum(line.net for line in self.lines)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Money that settled invoices: (its number there, minor units) each."""

    head: Head
    deposited: Place
    receivable: Place
    mode: str
    applied: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        """What was applied, in minor units."""
        return sum(net for _, net in self.applied)


@dataclass(frozen=True, slots=True)
class Applied:
    """What of a credit note settles its invoice, both by their numbers there; `net` in minor units. It moves no account."""

    head: Head
    credit: str
    invoice: str
    net: int


Made = Bill | Applied | Receipt | Entry
Thing = Party | Item | Made
