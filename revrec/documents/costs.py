"""Costs of contracts, and what of them will not be recovered."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ledger.documents.models import Currency, Day, Document, PositiveNumber, Ref, Text


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
