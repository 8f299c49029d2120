"""Documents that may need a second person, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Protocol

# What gives a customer something that is not paid for, by one limit whichever of these does.
GIVING = ("credit_note", "customer_credit", "invoice", "grant", "consideration_payable")
# What needs a second person whatever it comes to.
ALWAYS = ("write_off", "manual_entry")
KINDS = ("refund", *ALWAYS, *GIVING)


class Approvable(Protocol):
    """A document that may name who approved it."""

    @property
    def type(self) -> str:
        """What kind of document it is."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def dated_on(self) -> date | None:
        """The day it counts for."""

    @property
    def approved_by(self) -> str | None:
        """Who approved it."""


def day_of(doc: Approvable) -> date:
    """The day a document counts for."""
    assert doc.dated_on is not None, "what is approved has a day"
    return doc.dated_on


@dataclass(frozen=True, slots=True)
class Total:
    """What a document comes to with what no person approved before, in minor units, taxes included; and of what, in words."""

    amount: int
    of: str
