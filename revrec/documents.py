"""The documents of revenue recognition: contracts and what changes them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ledger.documents import Day, Model, NumberFromZero, Party, Pattern, PositiveNumber, Ref, refuse_repeats


class ContractObligation(Model):
    """One promise of a contract: what, for how much, from when to when, recognised by which pattern."""

    id: Ref
    product: Ref
    price: NumberFromZero | None = None
    ssp: PositiveNumber | None = None
    start: Day
    end: Day | None = None
    pattern: Pattern = "daily"

    @model_validator(mode="after")
    def _consistent(self) -> ContractObligation:
        if self.pattern == "point_in_time":
            if self.end is not None and self.end != self.start:
                raise ValueError(f"end = {self.end}: expected none, or start, for point_in_time")
        elif self.end is None:
            raise ValueError(f"end: expected for pattern {self.pattern}")
        elif self.end < self.start:
            raise ValueError(f"end = {self.end}: expected start ({self.start}) or later")
        return self


class Contract(Party):
    """A contract with its performance obligations, priced one by one or together by stand-alone prices.

    `draw_order` is the order in which usage draws on the grants that name the contract, by kind.
    """

    type: Literal["contract"]
    signed_on: Day
    price: PositiveNumber | None = None
    obligations: Annotated[list[ContractObligation], Field(max_length=10_000)] = Field(default_factory=list)
    draw_order: list[Literal["promotional", "pilot", "prepaid", "commitment"]] | None = None

    dated_by: ClassVar[str] = "signed_on"

    @model_validator(mode="after")
    def _consistent(self) -> Contract:
        refuse_repeats("obligations", [obligation.id for obligation in self.obligations])
        refuse_repeats("draw_order", list(self.draw_order or ()))
        if not self.obligations and (self.price is not None or self.draw_order is None):
            raise ValueError("obligations: expected what was promised, or a draw_order of the contract's grants")
        return self
