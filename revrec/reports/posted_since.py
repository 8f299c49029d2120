"""What a document posted since a report was signed, and whether a figure adds it up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from ledger.reports.report import period_of
from revrec.reports.behind_a_figure import Figure
from revrec.reports.figures_apart import Row
from revrec.reports.flows import rules_of

# What a row and a document have in common where both say it. A day or month is none of it: a change of terms is felt in every
# month to come.
SHARED = ("entity", "customer", "contract", "product", "role", "subject", "invoice", "grant", "obligation")


@dataclass(frozen=True, slots=True)
class Posted:
    """What a document posted since on an account by a rule.

    Debits less credits, in the amounts a figure is asked in.
    """

    document: str
    entity: str
    customer: str
    contract: str | None
    product: str | None
    role: str
    subject: str
    rule: int
    effective_on: date
    booked_on: date | None
    currency: str
    account_currency: str
    code: str
    at_once: bool
    net: int

    def is_in(self, figure: Figure) -> bool:
        """Whether a figure adds it up."""
        filters = figure.filters
        own = (
            (filters.entity, self.entity), (filters.customer, self.customer), (filters.product, self.product or ""),
            (filters.contract, self.contract or ""), (filters.currency, self.account_currency), (figure.code, self.code),
            (figure.subject, self.subject), (figure.shown_in, self.currency),
        )  # fmt: skip
        return (
            self.role in figure.roles
            and all(wanted is None or wanted == has for wanted, has in own)
            and (filters.since is None or self.effective_on >= filters.since)
            and (filters.as_of is None or self.effective_on <= filters.as_of)
            and (figure.flow is None or self.rule in rules_of(*figure.flow.split(".")))
            and (figure.earned is None or figure.earned == self._earned)
            and (figure.booked is None or figure.booked == period_of(self.booked_on or self.effective_on, filters.period))
        )  # fmt: skip

    @property
    def _earned(self) -> str | None:
        if self.role != "revenue":
            return None
        if not self.subject.startswith("obligation:"):
            return "usage"
        return "at_a_point_in_time" if self.at_once else "over_time"

    def at(self, row: Row) -> bool:
        """Whether it has all that a row says of itself, where it says it."""
        kind, _, ref = self.subject.partition(":")
        own = {"entity": self.entity, "customer": self.customer, "contract": self.contract, "product": self.product, "subject": self.subject, kind: ref}  # fmt: skip
        return all(not row.get(name) or not own[name] or row[name] == own[name] for name in SHARED if name in own)


def moving(posted: Iterator[Posted] | Sequence[Posted]) -> list[str]:
    """The documents whose postings do not cancel out."""
    sums: Counter[str] = Counter()
    for one in posted:
        sums[one.document] += one.net
    return [document for document, net in sums.items() if net]
