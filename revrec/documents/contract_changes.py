"""What changes a contract: modifications, renewals, terminations."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ledger.documents.models import Day, Document, Model, NumberFromZero, PositiveNumber, Ref, Text, refuse_repeats
from revrec.documents.contracts import PART_OF_CONTRACT, ContractObligation


class ModifiedObligation(ContractObligation):
    """An obligation as a modification leaves it; of a `mixed` one it says how its own change counts."""

    treatment: Literal["separate", "prospective", "catch_up"] | None = None


class ContractModification(Document):
    """A change of a contract: obligations as they stand from a day on, new ones, and those that end.

    A changed obligation is given whole, with its price and term from its start on. `auto` decides from the facts how
    each change counts, and writes why; of a `mixed` one each obligation says it (606-10-25-13(c)).
    """

    type: Literal["contract_modification"]
    contract: Ref
    date: Day
    treatment: Literal["auto", "separate", "prospective", "catch_up", "mixed"] = "auto"
    obligations: Annotated[list[ModifiedObligation], Field(max_length=10_000)] = Field(default_factory=list)
    cancel: list[Ref] = Field(default_factory=list)
    reason: Text | None = None

    dated_by: ClassVar[str] = "date"
    part_of: ClassVar[tuple[str, tuple[str, ...]]] = PART_OF_CONTRACT

    @model_validator(mode="after")
    def _consistent(self) -> ContractModification:
        refuse_repeats("obligations", [*(obligation.id for obligation in self.obligations), *self.cancel])
        if not self.obligations and not self.cancel:
            raise ValueError("obligations: expected what changes, or obligations to cancel")
        for index, item in enumerate(self.obligations):
            if item.price is None and item.pattern not in ("usage", "milestones"):
                raise ValueError(f"obligations.{index}.price = missing: expected a price")
            if (item.treatment is None) == (self.treatment == "mixed"):
                raise ValueError(
                    f"obligations.{index}.treatment = {item.treatment or 'missing'}: expected in a mixed modification, "
                    "and only there"
                )
        return self


class Renewal(Model):
    """An obligation for another term: what it renews, at which price, from when to when.

    The price is the one before, unless another is given; it starts on the day after the term before.
    """

    id: Ref
    renews: Ref
    price: NumberFromZero | None = None
    ssp: PositiveNumber | None = None
    start: Day | None = None
    end: Day


class ContractRenewal(Document):
    """A contract goes on for another term, which stands for itself: what was promised before is not changed by it."""

    type: Literal["contract_renewal"]
    contract: Ref
    date: Day
    obligations: Annotated[list[Renewal], Field(min_length=1, max_length=10_000)]
    reason: Text | None = None

    dated_by: ClassVar[str] = "date"
    part_of: ClassVar[tuple[str, tuple[str, ...]]] = PART_OF_CONTRACT

    @model_validator(mode="after")
    def _consistent(self) -> ContractRenewal:
        refuse_repeats("obligations", [item.id for item in self.obligations])
        refuse_repeats("obligations", [item.renews for item in self.obligations])
        return self


class Penalty(Model):
    """What a customer pays to leave a contract: an obligation of its own, which an invoice line bills by its id."""

    id: Ref
    product: Ref
    amount: PositiveNumber


class ContractTermination(Document):
    """A contract ends, at once or after a notice period: `ends` is the last day of service, the day before `date` by default.

    A `penalty` is earned over the notice period, or at once where there is none.
    """

    type: Literal["contract_termination"]
    contract: Ref
    date: Day
    ends: Day | None = None
    penalty: Penalty | None = None
    reason: Annotated[Text, Field(min_length=1)]

    dated_by: ClassVar[str] = "date"
    part_of: ClassVar[tuple[str, tuple[str, ...]]] = PART_OF_CONTRACT

    @model_validator(mode="after")
    def _consistent(self) -> ContractTermination:
        if self.ends is not None and self.ends < self.date:
            raise ValueError(f"ends = {self.ends}: expected {self.date}, when it is agreed, or later; or none")
        return self
