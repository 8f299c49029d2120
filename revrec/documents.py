"""The documents of revenue recognition: contracts and what changes them."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import Field, model_validator

from ledger.documents.models import (
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

ContractPattern = Literal["daily", "monthly", "monthly_prorated", "point_in_time", "progress", "milestones", "usage"]


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


class Milestone(Model):
    """A step of an obligation, and what reaching it is worth of the whole."""

    id: Ref
    amount: PositiveNumber


class ContractObligation(Model):
    """One promise of a contract: what, for how much, from when to when, recognised by which pattern.

    Its stand-alone price may lie in a range; a `residual` one, whose stand-alone price is not known, takes what the others
    leave of the price (606-10-32-34(c)). By `progress` it is earned as progress documents say, of its `quantity` or in percent; by
    `milestones` as each is reached, in proportion to their amounts, which are its price unless another is given; by `usage`
    as usage is metered, so that it has no price of its own.
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
    milestones: Annotated[list[Milestone], Field(min_length=1, max_length=1_000)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ContractObligation:
        self._check_milestones()
        if self.pattern == "point_in_time":
            if self.end is not None and self.end != self.start:
                raise ValueError(f"end = {self.end}: expected none, or start, for point_in_time")
        elif self.end is None:
            if self.pattern not in ("progress", "milestones", "usage"):
                raise ValueError(f"end: expected for pattern {self.pattern}")
        elif self.end < self.start:
            raise ValueError(f"end = {self.end}: expected start ({self.start}) or later")
        if self.residual and (self.price is not None or self.ssp is not None):
            raise ValueError(
                f"residual = true: expected no price or ssp beside it: {self.id} takes what the others leave"
            )
        if self.pattern == "usage" and (self.price or self.ssp):
            field = "price" if self.price else "ssp"
            raise ValueError(f"{field} = {getattr(self, field)}: expected none for pattern usage: usage has its prices")
        return self

    def _check_milestones(self) -> None:
        if (self.milestones is None) == (self.pattern == "milestones"):
            raise ValueError(
                f"milestones = {'missing' if self.milestones is None else len(self.milestones)}: "
                "expected with the pattern milestones, and only there"
            )
        if self.milestones is not None:
            refuse_repeats("milestones", [milestone.id for milestone in self.milestones])
            if self.quantity is not None:
                raise ValueError(f"quantity = {self.quantity}: expected none: milestones say how much is given")


_Given = TypeVar("_Given", bound=ContractObligation)


def measured(item: _Given, *, own_price: bool) -> _Given:
    """An obligation of milestones as one of progress: their amounts are its units, and its price where it has to have one."""
    if item.milestones is None:
        return item
    worth = sum((milestone.amount for milestone in item.milestones), Decimal(0))
    changed: dict[str, object] = {"pattern": "progress", "quantity": worth}
    if own_price and item.price is None and item.ssp is None and not item.residual:
        changed["price"] = worth
    return item.model_copy(update=changed)


class AgreedPayment(Model):
    """A payment as the contract agrees it."""

    date: Day
    amount: PositiveNumber


class Financing(Model):
    """A significant financing component: the payments agreed, and the rate between the two at contract inception (606-10-32-19)."""

    rate: Annotated[PositiveNumber, Field(le=1)]
    compounding: Literal["annual", "monthly"] = "annual"
    payments: Annotated[list[AgreedPayment], Field(min_length=1, max_length=1_000)]


class Contract(Party):
    """A contract with its performance obligations, priced one by one or together by stand-alone prices.

    Of one price for all, `bundles` take what they are regularly sold for; the rest is allocated to the others. `draw_order`
    is the order in which usage draws on the grants that name the contract, by kind. A `receivable` that is
    unconditional only then is recorded when it is due, not when it is invoiced (606-10-45-4). A contract that was negotiated
    together with one before is `combined_with` it: the two are accounted for as one, for the reason of 606-10-25-9 that holds.
    """

    type: Literal["contract"]
    signed_on: Day
    price: PositiveNumber | None = None
    obligations: Annotated[list[ContractObligation], Field(max_length=10_000)] = Field(default_factory=list)
    bundles: list[Bundle] = Field(default_factory=list)
    receivable: Literal["issued", "unconditional"] = "issued"
    draw_order: list[Literal["promotional", "pilot", "prepaid", "commitment"]] | None = None
    financing: Financing | None = None
    combined_with: Ref | None = None
    combined_because: Literal["one_objective", "interdependent_price", "one_obligation"] | None = None

    dated_by: ClassVar[str] = "signed_on"

    @model_validator(mode="after")
    def _consistent(self) -> Contract:
        refuse_repeats("obligations", [obligation.id for obligation in self.obligations])
        refuse_repeats("bundles", [ref for bundle in self.bundles for ref in bundle.obligations])
        if self.bundles and self.price is None:
            raise ValueError("price = missing: expected one price for the contract, of which bundles take their part")
        if sum(obligation.residual for obligation in self.obligations) > 1:
            residual = ", ".join(obligation.id for obligation in self.obligations if obligation.residual)
            raise ValueError(f"obligations = {residual}: expected at most one residual, for what is left is one amount")
        refuse_repeats("draw_order", list(self.draw_order or ()))
        if (self.combined_with is None) != (self.combined_because is None):
            raise ValueError(
                f"combined_because = {self.combined_because or 'missing'}: expected with combined_with: one_objective, "
                "interdependent_price or one_obligation (606-10-25-9)"
            )
        if not self.obligations and (self.price is not None or self.draw_order is None):
            raise ValueError("obligations: expected what was promised, or a draw_order of the contract's grants")
        return self


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

    @model_validator(mode="after")
    def _consistent(self) -> ContractTermination:
        if self.ends is not None and self.ends < self.date:
            raise ValueError(f"ends = {self.ends}: expected {self.date}, when it is agreed, or later; or none")
        return self


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

    dated_by: ClassVar[str] = "date"


class Progress(Document):
    """How far an obligation is satisfied: percent complete by a day, a quantity delivered, or a milestone reached.

    A percentage falls only where it is `reestimated`, and that says why.
    """

    type: Literal["progress"]
    contract: Ref | None = None
    obligation: Ref
    date: Day
    percent: NumberFromZero | None = None
    quantity: PositiveNumber | None = None
    milestone: Ref | None = None
    reestimated: Annotated[Text, Field(min_length=1)] | None = None

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> Progress:
        said = [field for field in ("percent", "quantity", "milestone") if getattr(self, field) is not None]
        if len(said) != 1:
            raise ValueError(
                f"{', '.join(said) or 'percent'}: expected percent or quantity or milestone, and one of them"
            )
        if self.percent is not None and self.percent > 100:
            raise ValueError(f"percent = {self.percent}: expected at most 100")
        if self.reestimated is not None and self.percent is None:
            raise ValueError(f"reestimated = {self.reestimated}: expected beside a percentage")
        return self


class ContractCost(Document):
    """A cost to obtain a contract, such as a commission, or to fulfil it: amortised from `start` (its date) to `end`, which benefit."""

    type: Literal["contract_cost"]
    contract: Ref
    kind: Literal["obtain", "fulfil"] = "obtain"
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
