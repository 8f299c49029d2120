"""Grants, and the usage that draws on them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ledger.amounts.money import exact_product
from ledger.documents.models.fields import (
    Day,
    Document,
    Name,
    Number,
    NumberFromZero,
    Party,
    PositiveNumber,
    Ref,
    Text,
    decimal_of,
)


def rated_usage(quantity: Decimal | None, unit_price: Decimal | None, amount: Decimal | None) -> Decimal:
    """What usage comes to, exactly: as it is stated, or its quantity times its price."""
    if amount is not None:
        return amount
    assert quantity is not None, "checked by the document's form"
    assert unit_price is not None, "checked by the document's form"
    return exact_product(quantity, unit_price)


def rated_body(body: Mapping[str, Any]) -> Decimal:
    """What usage in the books comes to, by the document as it came in."""
    return rated_usage(
        *(None if body.get(name) is None else decimal_of(body[name]) for name in ("quantity", "unit_price", "amount"))
    )


# Credits given for nothing of their own; at most they share the price of what they come with.
FREE_KINDS = ("promotional", "pilot")


class Grant(Party):
    """Credits a customer may draw on. `amount` is their face value, `price` what the customer pays for them.

    Free credits that name the `contract` of paid ones share their price. A commitment is what the customer promises to
    use. Credits `carried_from` another grant are part of the amount.
    """

    type: Literal["grant"]
    kind: Literal["prepaid", "promotional", "pilot", "commitment"]
    amount: PositiveNumber
    effective_on: Day
    expires_on: Day | None = None
    products: Annotated[list[Ref], Field(min_length=1)] | None = None
    priority: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    price: NumberFromZero | None = None
    breakage: Literal["on_expiry", "proportional"] = "on_expiry"
    expected_breakage: NumberFromZero | None = None
    expected_use: PositiveNumber | None = None
    contract: Ref | None = None
    carried_from: Ref | None = None
    approved_by: Name | None = None

    dated_by: ClassVar[str] = "effective_on"

    @model_validator(mode="after")
    def _likely_used(self) -> Grant:
        if self.expected_use is not None:
            if self.kind not in FREE_KINDS or self.contract is None:
                raise ValueError(f"expected_use = {self.expected_use}: expected on free credits that name a contract")
            if self.expected_use > 1:
                raise ValueError(f"expected_use = {self.expected_use}: expected a share of at most 1, such as 0.60")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Grant:
        if self.expires_on is not None and self.expires_on < self.effective_on:
            raise ValueError(f"expires_on = {self.expires_on}: expected effective_on ({self.effective_on}) or later")
        if self.kind == "promotional" and self.price:
            raise ValueError(f"price = {self.price}: expected none: promotional credits are not paid for")
        if self.kind == "commitment" and self.price is not None:
            raise ValueError(f"price = {self.price}: expected none: a commitment is billed as it is used")
        if self.kind == "commitment" and self.expires_on is None:
            raise ValueError("expires_on = missing: expected the last day of a commitment")
        if self.kind == "commitment" and self.carried_from is not None:
            raise ValueError(f"carried_from = {self.carried_from}: expected none on a commitment")
        if (self.breakage == "proportional") != (self.expected_breakage is not None):
            found = "missing" if self.expected_breakage is None else self.expected_breakage
            raise ValueError(f"expected_breakage = {found}: expected with breakage proportional, and only there")
        if self.expected_breakage is not None and self.expected_breakage >= 1:
            raise ValueError(f"expected_breakage = {self.expected_breakage}: expected a share below 1, such as 0.10")
        if self.breakage == "proportional" and (self.kind not in ("prepaid", "commitment") or self.expires_on is None):
            raise ValueError("breakage = proportional: expected on a prepaid grant that expires, or a commitment")
        return self


class WalletAlert(Party):
    """A threshold on a customer's wallet: falling below it, and rising above it again, is recorded once."""

    type: Literal["wallet_alert"]
    threshold: NumberFromZero


class GrantReturn(Document):
    """Unused credits given back: what was paid for them is credited on their invoices. All that is left by default."""

    type: Literal["grant_return"]
    customer: Ref
    grant: Ref
    date: Day
    amount: PositiveNumber | None = None
    reason: Annotated[Text, Field(min_length=1)]

    dated_by: ClassVar[str] = "date"


class BreakageEstimate(Document):
    """The share of a grant never expected to be used, estimated anew; what was used before counts by it on its date."""

    type: Literal["breakage_estimate"]
    customer: Ref
    grant: Ref
    date: Day
    expected_breakage: NumberFromZero
    reason: Annotated[Text, Field(min_length=1)]

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> BreakageEstimate:
        if self.expected_breakage >= 1:
            raise ValueError(f"expected_breakage = {self.expected_breakage}: expected a share below 1, such as 0.10")
        return self


class Usage(Party):
    """Metered usage of a product on a day; `events` names what it was metered from.

    It is priced per unit, or comes to an `amount`, exact and of any sign: below zero what was rated before falls by it.
    """

    type: Literal["usage"]
    product: Ref
    date: Day
    quantity: NumberFromZero | None = None
    unit_price: NumberFromZero | None = None
    amount: Number | None = None
    events: Text | None = None
    supersedes: Ref | None = None

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> Usage:
        if (self.unit_price is None) == (self.amount is None):
            found = "missing" if self.amount is None else self.amount
            raise ValueError(f"amount = {found}: expected a unit_price, or the amount it comes to, one of the two")
        if self.quantity is None and self.amount is None:
            raise ValueError("quantity: expected beside unit_price")
        return self

    @property
    def rated(self) -> Decimal:
        """What it comes to, exactly."""
        return rated_usage(self.quantity, self.unit_price, self.amount)
