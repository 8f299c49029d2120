"""Stand-alone prices, and the range in which they are observed."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from ledger.documents.models import Currency, Day, Document, Model, PositiveNumber, Ref


class SspRange(Model):
    """Between what a stand-alone selling price is observed to lie."""

    low: PositiveNumber
    high: PositiveNumber

    @model_validator(mode="after")
    def _consistent(self) -> SspRange:
        if self.high < self.low:
            raise ValueError(f"high = {self.high}: expected low ({self.low}) or more")
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
