"""What moves and between what: accounts by what they are, customers and entities as they stand, movements and whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from typing import Any, NamedTuple

from ledger.amounts.money import share
from ledger.journal.value_rules import Place

# Roles whose accounts are kept per product, so that revenue can be read (and mapped to accounts) by product.
PRODUCT_ROLES = frozenset({"revenue"})
# How subjects of cash begin that lies in an account of money; such an account has a code of its own where others have a product's.
MONEY_ACCOUNT = "account:"
# The two sides of what passes between customers: each only grows, so none is valued by what passed before.
CLAIMED, OWED = "claimed", "owed"
# What of a customer may change that posting rules need.
_CHANGING = ("overage", "tax_status", "country", "tax_codes", "tax_id", "terms", "parent")


class AccountKey(NamedTuple):
    """What identifies a sub-ledger account within a customer."""

    entity: str
    role: str
    currency: str
    subject: str
    product: str = ""


def place_of(key: AccountKey) -> Place:
    """An account as valuation knows it."""
    return Place(key.role, key.currency, key.subject, key.product)


class Changed(NamedTuple):
    """What a customer is from a day on: values by field, None where there is no more of it."""

    on: date
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as posting rules need it: as its document says, with what changed since by day, of a day as it arrived."""

    customer_id: int
    ref: str
    overage: str
    tax_status: str
    country: str | None = None
    tax_codes: tuple[str, ...] | None = None
    tax_id: str | None = None
    terms: int | None = None
    parent: str | None = None
    changes: tuple[Changed, ...] = field(default=(), compare=False)

    def on(self, day: date) -> Customer:
        """The customer as it is on a day."""
        said: dict[str, Any] = {}
        for change in self.changes:
            if change.on <= day:
                said |= change.said
        return replace(self, **said) if said else self

    def changing(self, day: date, said: Mapping[str, Any]) -> Customer:
        """The customer with one more change, the last that arrived of its day; fields that no rule needs are left out."""
        kept = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in said.items()
            if name in _CHANGING
        }
        return replace(self, changes=tuple(sorted([*self.changes, Changed(day, kept)], key=lambda change: change.on)))

    def days_of(self, *fields: str) -> list[date]:
        """The days from which changes say something of some fields, in their order."""
        return sorted({change.on for change in self.changes if not change.said.keys().isdisjoint(fields)})


@dataclass(frozen=True, slots=True)
class EntityTerms:
    """An entity as posting rules need it."""

    entity: str
    currency: str
    tax_rounding: str
    invoice_prefix: str | None = None
    amount_tolerance: int = 0


@dataclass(frozen=True, slots=True)
class Movement:
    """An amount a rule moves: from its credit account to its debit account, each named by what it is about.

    In the source's currency, or its own. `rate` is an exchange rate it enters at whatever the source's is, `functional`
    what it counts for in the entity's currency where that is decided already, `roles` its accounts' where its rule names
    none. `worth` is what the account that it debits counts it for, where that is what it undoes had left it at.
    """

    rule: str
    amount: int
    debit: str
    credit: str
    product: str = ""
    currency: str = ""
    rate: Fraction | None = None
    functional: int | None = None
    roles: tuple[str, str] | None = None
    worth: int | None = None


@dataclass(slots=True)
class Came:
    """Cash that came, and what it counts for in the entity's currency; it goes part by part, and all of it at all of that."""

    amount: int
    functional: int
    gone: int = 0

    def going(self, amount: int) -> int | None:
        """What a part that goes next counts for; None where nothing came."""
        if self.amount <= 0 or not amount:
            return None
        before, self.gone = self.gone, self.gone + amount
        return share(self.functional, self.gone, self.amount) - share(self.functional, before, self.amount)


@dataclass(frozen=True, slots=True)
class Undoing:
    """That what documents moved is undone: `points` are what of a whole amount of theirs was undone before, and is now."""

    documents: tuple[int, ...]
    whole: int
    points: tuple[int, int]

    def part(self, of: int) -> int:
        """What of something of theirs is undone now."""
        return share(of, self.points[1], self.whole) - share(of, self.points[0], self.whole)

    def of_part(self, before: int, amount: int) -> Undoing:
        """A part of what is undone now, of which so much is before it."""
        since = self.points[0] + before
        return replace(self, points=(since, since + amount))


class LetGo(NamedTuple):
    """What documents let leave an account, and what that counted for."""

    amount: int
    functional: int

    def between(self, before: int, amount: int) -> int:
        """What an amount of it counted for that comes back, where so much did before: so that parts come to all of it."""
        if not self.amount:
            return 0
        return share(self.functional, before + amount, self.amount) - share(self.functional, before, self.amount)

    def undone(self, undoing: Undoing, amount: int) -> int:
        """What an amount of it counted for that comes back: so that parts come to all of it."""
        if amount == undoing.part(self.amount):
            return undoing.part(self.functional)
        return share(self.functional, amount, self.amount) if self.amount else 0


@dataclass(frozen=True, slots=True)
class Source:
    """The document that entries come from, with the party it concerns; `rate` is the exchange rate it states."""

    document_id: int
    customer: Customer
    entity: str
    currency: str
    rate: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """Between which accounts movements of one kind go; a sign of 0 is of an account whose history does not see them."""

    rule: int
    currency: str
    keys: tuple[AccountKey, AccountKey]
    debit: int
    credit: int
    debit_sign: int
    credit_sign: int
