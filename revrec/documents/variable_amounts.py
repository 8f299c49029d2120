"""What changes a contract's price without a modification: estimates, and what is payable."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ledger.documents.models import Day, Document, Model, Name, Number, NumberFromZero, PositiveNumber, Ref, Text
from revrec.documents.contracts import PART_OF_CONTRACT


class ConsiderationPayable(Document):
    """What we pay, or will pay, to a customer for nothing distinct: it lowers the price of what we promised (606-10-32-25).

    It becomes the customer's money; a refund or an application pays it.
    """

    type: Literal["consideration_payable"]
    contract: Ref
    date: Day
    amount: PositiveNumber
    obligations: Annotated[list[Ref], Field(min_length=1)] | None = None
    reason: Annotated[Text, Field(min_length=1)]
    approved_by: Name | None = None

    dated_by: ClassVar[str] = "date"


class Scenario(Model):
    """A possible amount of a component, and how probable it is."""

    amount: Number
    probability: Annotated[NumberFromZero, Field(le=1)]


class Estimate(Document):
    """What a variable component of a contract's price (a bonus, a penalty, a rebate) is expected to be, from a day on.

    It is part of the price of every obligation, or of those it is about. By `scenarios` and a method, or as an `amount`; what
    is probable not to be reversed may be constrained to less. It replaces the component's estimate before. What is expected
    back of what is billed is a `refund`: it is owed (606-10-32-10).
    """

    type: Literal["estimate"]
    contract: Ref
    component: Ref
    date: Day
    method: Literal["expected_value", "most_likely"] | None = None
    scenarios: Annotated[list[Scenario], Field(min_length=1, max_length=1_000)] | None = None
    amount: Number | None = None
    constraint: Number | None = None
    obligations: Annotated[list[Ref], Field(min_length=1)] | None = None
    refund: bool = False
    reason: Text | None = None

    dated_by: ClassVar[str] = "date"
    part_of: ClassVar[tuple[str, tuple[str, ...]]] = PART_OF_CONTRACT

    @model_validator(mode="after")
    def _consistent(self) -> Estimate:
        if self.refund and self.amount is not None and self.amount > 0:
            raise ValueError(f"amount = {self.amount}: expected zero or less for a refund: it lowers the price")
        if (self.scenarios is None) == (self.amount is None):
            raise ValueError("scenarios: expected possible amounts with their probabilities, or one amount")
        if (self.scenarios is None) != (self.method is None):
            raise ValueError(f"method = {self.method or 'missing'}: expected with scenarios, and only there")
        if self.scenarios is not None and sum(item.probability for item in self.scenarios) != 1:
            total = sum(item.probability for item in self.scenarios)
            raise ValueError(f"scenarios = {total}: expected probabilities that sum to 1")
        return self
