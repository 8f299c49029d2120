"""What happens to what a contract promises, as data.

Promises, what changes their prices, bills, and what corrects bills.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from revrec.terms.terms import Curve

Given = Literal["credit", "void", "write_off", "refund", "dispute", "return"]


@dataclass(frozen=True, slots=True)
class Promise:
    """An obligation as a document promises it. `known_on` is the day of that document."""

    subject: str
    contract: str
    product: str
    curve: Curve
    price: int
    ssp: int | None
    known_on: date
    document_id: int
    treatment: str = ""
    reason: str = ""
    own: bool = False  # an invoice line's, whose price is its bill

    @property
    def ref(self) -> str:
        """Its id."""
        return self.subject.removeprefix("obligation:")


@dataclass(frozen=True, slots=True)
class Changed:
    """An obligation as a modification leaves it.

    Its treatment is decided; `ssp` is None where the document gives none.
    """

    subject: str
    curve: Curve
    price: int
    ssp: int | None
    treatment: Literal["prospective", "catch_up"]
    reason: str


@dataclass(frozen=True, slots=True)
class Added:
    """An obligation that a modification adds. `apart` is its stand-alone price where it is not sold at it, and shares in the pool.

    One that `renews` another has its price as it stands.
    """

    promise: Promise
    apart: int | None = None
    renews: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to a contract on a day, by a document."""

    on: date
    document_id: int
    ref: str


@dataclass(frozen=True, slots=True)
class Modified(Event):
    """A modification, or a renewal: what it changes, adds and cancels."""

    contract: str
    changed: tuple[Changed, ...] = ()
    added: tuple[Added, ...] = ()
    cancelled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Combined(Event):
    """Contracts accounted for as one: the prices their obligations get, from days on."""

    prices: Mapping[str, tuple[date, int]]
    reason: str


@dataclass(frozen=True, slots=True)
class Terminated(Event):
    """A contract ends: its last day, and what leaving costs."""

    contract: str
    ends: date
    reason: str
    penalty: Promise | None = None


@dataclass(frozen=True, slots=True)
class Estimated(Event):
    """What of a component is in the price from a day on; of all obligations, or of some."""

    contract: str
    component: str
    included: int
    subjects: tuple[str, ...] | None
    refund: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Taken(Event):
    """What a contract's document takes off its price.

    Consideration payable, or credits that share it.
    """

    contract: str
    amount: int
    subjects: tuple[str, ...] | None
    reason: str
    by_price: bool = False


@dataclass(frozen=True, slots=True)
class Bill:
    """What a line of an invoice bills of an obligation, and the period it names."""

    invoice_id: int
    line: str
    subject: str
    on: date
    amount: int
    starts_on: date | None
    ends_on: date | None
    ref: str = ""

    @property
    def key(self) -> tuple[int, str, str]:
        """Which part of which line it is."""
        return (self.invoice_id, self.line, self.subject)


@dataclass(frozen=True, slots=True)
class Corrected(Event):
    """What a document takes back, gives up or gives back of a bill.

    Of what a line bills of an obligation, net of tax.
    """

    kind: Given
    bill: tuple[int, str, str]
    amount: int
    starts_on: date | None = None
    ends_on: date | None = None
    rebill: bool = False


@dataclass(frozen=True, slots=True)
class Undone(Event):
    """What of a correction of a bill is undone.

    From its day on all is told as if that had never been.
    """

    undoes: int  # the document that corrected
    bill: tuple[int, str, str]
    amount: int
