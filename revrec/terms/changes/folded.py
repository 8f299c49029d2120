"""The terms that events give, and how amounts of bills are made up."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from revrec.terms.terms import Terms

# How a version counts after which nothing of an obligation can change: it ended, or will when its notice is over; or it is what
# leaving cost.
ENDED = ("cancelled", "terminated", "penalty")

GIVING = ("write_off", "refund", "dispute")


@dataclass(frozen=True, slots=True)
class Beside:
    """What was earned of a bill that is given up or back.

    It is shown beside revenue from a day on, by a document.
    """

    on: date
    document_id: int
    subject: str
    kind: str
    bill: tuple[int, str, str]
    amount: int


@dataclass(frozen=True, slots=True)
class Split:
    """How an amount of a line is made up.

    What was expected back before, what was earned and is shown beside revenue, and the rest, which was not given.
    """

    expected: int = 0
    earned: int = 0
    rest: int = 0


@dataclass(frozen=True, slots=True)
class Version:
    """An obligation's terms from a day on, by a document.

    How much that changed its price, how it counts and why.
    """

    subject: str
    from_day: date
    document_id: int
    treatment: str
    reason: str
    change: int
    refund: int
    terms: Terms

    def same(self, other: Version) -> bool:
        """Whether another has the same terms, and as much is expected to be given back."""
        return self.terms.same(other.terms) and self.refund == other.refund


@dataclass(slots=True)
class Folded:
    """What became of all events.

    Versions by obligation in order, and how each document's amounts of bills are made up.
    """

    versions: dict[str, list[Version]] = field(default_factory=dict)
    splits: dict[tuple[int, tuple[int, str, str]], Split] = field(default_factory=dict)
    undone: dict[tuple[int, int, tuple[int, str, str]], Split] = field(default_factory=dict)
    beside: list[Beside] = field(default_factory=list)

    def terms(self, subject: str, on: date) -> Terms:
        """An obligation's terms on a day."""
        found = self.versions[subject]
        return next((version.terms for version in reversed(found) if version.from_day <= on), found[0].terms)

    def last(self, subject: str) -> Version:
        """An obligation as it stands after all."""
        return self.versions[subject][-1]


class TooLittle(Exception):
    """A modification's price is below what is earned of the obligation already, in minor units.

    What lies on top of the price that it states, below zero where bills' corrections or the contract's documents took it off, counts.
    """

    def __init__(self, subject: str, earned: int, on_top: int) -> None:
        super().__init__(f"{subject}: at least {earned - on_top}")
        self.subject = subject
        self.earned = earned
        self.on_top = on_top
