"""The documents of revenue recognition: contracts and what changes them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ledger.documents import (
    Currency,
    Day,
    Document,
    Model,
    Number,
    NumberFromZero,
    Party,
    PositiveNumber,
    Ref,
    Text,
    refuse_repeats,
)

ContractPattern = Literal["daily", "monthly", "monthly_prorated", "point_in_time", "progress", "usage"]


class SspRange(Model):
    """Between what a stand-alone selling price is observed to lie."""

    low: PositiveNumber
    high: PositiveNumber

    @model_validator(mode="after")
    def _consistent(self) -> SspRange:
        if self.high < self.low:
            raise ValueError(f"high = {self.high}: expected low ({self.low}) or more")
        return self


class Bundle(Model):
    """Obligations regularly sold together, and for how much: the discount in it is theirs alone (606-10-32-37)."""

    obligations: Annotated[list[Ref], Field(min_length=2)]
    price: PositiveNumber


class ContractObligation(Model):
    """One promise of a contract: what, for how much, from when to when, recognised by which pattern.

    Its stand-alone price may lie in a range; a `residual` one, whose stand-alone price is not known, takes what the others
    leave of the price (606-10-32-34(c)). By `progress` it is earned as progress documents say, of its `quantity` or in percent; by `usage` as usage is metered,
    so that it has no price of its own.
    """

    id: Ref
    product: Ref
    price: NumberFromZero | None = None
    ssp: PositiveNumber | None = None
    ssp_range: SspRange | None = None
    residual: bool = False
    start: Day
    end: Day | None = None
    pattern: ContractPattern = "daily"
    quantity: PositiveNumber | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ContractObligation:
        if self.pattern == "point_in_time":
            if self.end is not None and self.end != self.start:
                raise ValueError(f"end = {self.end}: expected none, or start, for point_in_time")
        elif self.end is None:
            if self.pattern not in ("progress", "usage"):
                raise ValueError(f"end: expected for pattern {self.pattern}")
        elif self.end < self.start:
            raise ValueError(f"end = {self.end}: expected start ({self.start}) or later")
        if self.residual and (self.price is not None or self.ssp is not None):
            raise ValueError(
                f"residual = true: expected no price or ssp beside it: {self.id} takes what the others leave"
            )
        if self.pattern == "usage" and (self.price or self.ssp):
            raise ValueError(f"price = {self.price or self.ssp}: expected none for pattern usage: usage has its prices")
        return self


class Contract(Party):
    """A contract with its performance obligations, priced one by one or together by stand-alone prices.

    Of one price for all, `bundles` take what they are regularly sold for; the rest is allocated to the others. `draw_order`
    is the order in which usage draws on the grants that name the contract, by kind. A `receivable` that is
    unconditional only then is recorded when it is due, not when it is invoiced (606-10-45-4).
    """

    type: Literal["contract"]
    signed_on: Day
    price: PositiveNumber | None = None
    obligations: Annotated[list[ContractObligation], Field(max_length=10_000)] = Field(default_factory=list)
    bundles: list[Bundle] = Field(default_factory=list)
    receivable: Literal["issued", "unconditional"] = "issued"
    draw_order: list[Literal["promotional", "pilot", "prepaid", "commitment"]] | None = None

    dated_by: ClassVar[str] = "signed_on"

    @model_validator(mode="after")
    def _consistent(self) -> Contract:
        refuse_repeats("obligations", [obligation.id for obligation in self.obligations])
        refuse_repeats("bundles", [ref for bundle in self.bundles for ref in bundle.obligations])
        if self.bundles and self.price is None:
            raise ValueError("price = missing: expected one price for the contract, of which bundles take their part")
        if sum(obligation.residual for obligation in self.obligations) > 1:
            raise ValueError("obligations: expected at most one residual, for what is left is one amount")
        refuse_repeats("draw_order", list(self.draw_order or ()))
        if not self.obligations and (self.price is not None or self.draw_order is None):
            raise ValueError("obligations: expected what was promised, or a draw_order of the contract's grants")
        return self


class ContractModification(Document):
    """A change of a contract: obligations as they stand from a day on, new ones, and those that end.

    A changed obligation is given whole, with its price and term from its start on. `auto` decides from the facts how
    each change counts, and writes why.
    """

    type: Literal["contract_modification"]
    contract: Ref
    date: Day
    treatment: Literal["auto", "separate", "prospective", "catch_up"] = "auto"
    obligations: Annotated[list[ContractObligation], Field(max_length=10_000)] = Field(default_factory=list)
    cancel: list[Ref] = Field(default_factory=list)
    reason: Text | None = None

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> ContractModification:
        refuse_repeats("obligations", [*(obligation.id for obligation in self.obligations), *self.cancel])
        if not self.obligations and not self.cancel:
            raise ValueError("obligations = missing: expected what changes, or obligations to cancel")
        for index, item in enumerate(self.obligations):
            if item.price is None and item.pattern != "usage":
                raise ValueError(f"obligations.{index}.price = missing: expected a price")
        return self


class Progress(Document):
    """How far an obligation is satisfied: percent complete by a day, or a quantity delivered.

    A percentage falls only where it is `reestimated`, and that says why.
    """

    type: Literal["progress"]
    obligation: Ref
    date: Day
    percent: NumberFromZero | None = None
    quantity: PositiveNumber | None = None
    reestimated: Annotated[Text, Field(min_length=1)] | None = None

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> Progress:
        if (self.percent is None) == (self.quantity is None):
            raise ValueError("percent = missing: expected percent or quantity")
        if self.percent is not None and self.percent > 100:
            raise ValueError(f"percent = {self.percent}: expected at most 100")
        if self.reestimated is not None and self.percent is None:
            raise ValueError(f"reestimated = {self.reestimated}: expected beside a percentage")
        return self


class ContractCost(Document):
    """A cost to obtain a contract, such as a commission: amortised from `start` (its date) to `end`, the period that benefits."""

    type: Literal["contract_cost"]
    contract: Ref
    date: Day
    amount: PositiveNumber
    currency: Currency | None = None
    payee: Text | None = None
    start: Day | None = None
    end: Day
    pattern: Literal["daily", "monthly", "monthly_prorated"] = "monthly"

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> ContractCost:
        if self.end < (self.start or self.date):
            raise ValueError(f"end = {self.end}: expected start ({self.start or self.date}) or later")
        return self


class ContractCostImpairment(Document):
    """What of a capitalised cost will not be recovered; all that is left by default."""

    type: Literal["contract_cost_impairment"]
    cost: Ref
    date: Day
    amount: PositiveNumber | None = None
    reason: Annotated[Text, Field(min_length=1)]

    dated_by: ClassVar[str] = "date"


class Scenario(Model):
    """A possible amount of a component, and how probable it is."""

    amount: Number
    probability: Annotated[NumberFromZero, Field(le=1)]


class Estimate(Document):
    """What a variable component of a contract's price (a bonus, a penalty, a rebate) is expected to be, from a day on.

    It is part of the price of every obligation, or of those it is about. By `scenarios` and a method, or as an `amount`; what is probable not to be reversed may be constrained to less. It
    replaces the component's estimate before.
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
    reason: Text | None = None

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> Estimate:
        if (self.scenarios is None) == (self.amount is None):
            raise ValueError("scenarios: expected possible amounts with their probabilities, or one amount")
        if (self.scenarios is None) != (self.method is None):
            raise ValueError(f"method = {self.method or 'missing'}: expected with scenarios, and only there")
        if self.scenarios is not None and sum(item.probability for item in self.scenarios) != 1:
            total = sum(item.probability for item in self.scenarios)
            raise ValueError(f"scenarios = {total}: expected probabilities that sum to 1")
        return self


class StandAlonePrice(Document):
    """What a unit of a product is sold for on its own, from a day on, and the range it is observed in."""

    type: Literal["stand_alone_price"]
    product: Ref
    currency: Currency
    date: Day
    price: PositiveNumber
    range: SspRange | None = None

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> StandAlonePrice:
        if self.range is not None and not self.range.low <= self.price <= self.range.high:
            raise ValueError(f"price = {self.price}: expected {self.range.low} to {self.range.high}, its range")
        return self
