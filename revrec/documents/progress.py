"""Progress: how far an obligation is satisfied."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ledger.documents.models import Day, Document, NumberFromZero, PositiveNumber, Ref, Text


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
