"""Contracts as they are signed: obligations, bundles, milestones, financing."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import Field, model_validator

from ledger.documents.models import Day, Model, NumberFromZero, Party, PositiveNumber, Ref, refuse_repeats
from revrec.documents.prices import SspRange

# What changes a part of a contract, and which documents made its parts.
PART_OF_CONTRACT = (
    "contract",
    ("contract", "contract_modification", "contract_renewal", "contract_termination", "estimate"),
)

ContractPattern = Literal["daily", "monthly", "monthly_prorated", "point_in_time", "progress", "milestones", "usage"]


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
