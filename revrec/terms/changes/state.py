"""A contract while its events are folded: obligations, bills, and shares of components."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Literal

from revrec.terms.changes.folded import ENDED, Folded, Version
from revrec.terms.events import Bill, Event, Promise
from revrec.terms.terms import Progress, Terms, plain


@dataclass(slots=True)
class Obligation:
    """An obligation while events are folded."""

    promise: Promise
    terms: Terms
    ssp: int | None
    treatment: str
    stated: int  # the price its documents state, without components
    agreed: int  # what of it is its own, once what is not sold at stand-alone prices is shared
    expected_back: Counter[str] = field(default_factory=Counter)  # by component that is a refund
    given_back: int = 0
    billed: int = 0
    paid: int = 0  # consideration payable to the customer that its price is spread less

    @property
    def ended(self) -> bool:
        """Whether nothing of it can change any more."""
        return self.treatment in ENDED

    @property
    def still_expected(self) -> int:
        """What of its bills is expected to be given back, and was not."""
        return max(sum(self.expected_back.values()) - self.given_back, 0)

    @property
    def beyond(self) -> int:
        """What is billed of it beyond its price, and not expected to be given back.

        Below zero what is not billed of it. What lowered both the price and the bill is in neither; what the contract's documents took
        off the price took its part of what is billed with it: it is the customer's, or credits'.
        """
        return self.billed - self.terms.price - self.terms.taken - self.still_expected


@dataclass(slots=True)
class Billed:
    """A bill while events are folded.

    What of it still covers something, and what of that was given up or back as earned. Of a contract's bill, `refunded` money went back
    and the price stays: evenly of what it covers, of which `to_come` was not given.
    """

    bill: Bill
    covers: int
    voided: int = 0
    gone: int = 0
    refunded: int = 0
    to_come: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """A part in a component: whose, its weight, how much it is now.

    A change of it counts at once where it was given, is spread over what remains, or is nobody's where that was cancelled.
    """

    subject: str
    weight: Fraction
    how: Literal["at_once", "spread", "dropped"]
    part: int = 0


class Folding:
    """Obligations, bills and shares of components as they are after the events so far."""

    def __init__(
        self,
        promises: Sequence[Promise],
        progress: Mapping[str, Sequence[Progress]],
        checked: int | None,
        currency: str,
    ) -> None:
        self.progress = progress
        self.checked = checked
        self.currency = currency
        self.obligations: dict[str, Obligation] = {}
        self.bills: dict[tuple[int, str, str], Billed] = {}
        self.shares: dict[tuple[str, str], list[Share]] = {}
        self.billed_as_one = False
        self.folded = Folded()
        for promise in promises:
            self.promise(promise)

    def promise(self, promise: Promise) -> Obligation:
        """Add an obligation as it is promised, with its first version."""
        terms = plain(promise.curve, promise.price, self.progress.get(promise.subject, ()))
        made = Obligation(promise, terms, promise.ssp, promise.treatment, promise.price, promise.price)
        self.obligations[promise.subject] = made
        first = min(promise.known_on, promise.curve.starts_on)
        self.folded.versions[promise.subject] = [
            Version(promise.subject, first, promise.document_id, promise.treatment, promise.reason, promise.price, 0, terms.copy())
        ]  # fmt: skip
        return made

    def keep(
        self,
        obligation: Obligation,
        event: Event,
        treatment: str,
        reason: str,
        before: int,
        from_day: date | None = None,
    ) -> None:
        """Keep an obligation's terms as they are now as its next version."""
        obligation.treatment = treatment if treatment != "price" or not obligation.ended else obligation.treatment
        self.folded.versions[obligation.promise.subject].append(
            Version(
                obligation.promise.subject, from_day or event.on, event.document_id, treatment, reason,
                obligation.terms.price - before, obligation.still_expected, obligation.terms.copy(),
            )
        )  # fmt: skip

    def of(self, contract: str) -> list[Obligation]:
        """A contract's obligations, by id."""
        found = [item for item in self.obligations.values() if item.promise.contract == contract]
        return sorted(found, key=lambda item: item.promise.ref)

    def going_on(self, contract: str) -> list[Obligation]:
        """A contract's obligations that have not ended and have prices of their own, by id."""
        return [item for item in self.of(contract) if not item.ended and item.terms.curve.pattern != "usage"]

    def on_top(self, obligation: Obligation) -> int:
        """What lies on top of the price that an obligation's documents state.

        Its parts of components, less what was taken off.
        """
        subject = obligation.promise.subject
        parts = (
            item.part
            for shares in self.shares.values()
            for item in shares
            if item.subject == subject and item.how != "dropped"
        )
        return sum(parts) - obligation.terms.lowered - obligation.terms.taken
