"""Money that moves without an invoice.

Transfers, fees, taxes remitted, goodwill, receipts of nobody known.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ledger.documents.models.fields import (
    Currency,
    Day,
    Document,
    Model,
    Name,
    Party,
    PositiveNumber,
    Rail,
    Ref,
    Text,
    refuse_repeats,
    require_place,
)


class Transfer(Document):
    """Money moved between two accounts of an entity: a payout, a top-up, a reserve.

    `amount` leaves the one; `received` is what arrives where the other is in another currency. The fee is on `fee_account`.
    """

    type: Literal["transfer"]
    entity: Ref
    date: Day
    from_account: Ref
    to_account: Ref
    amount: PositiveNumber
    received: PositiveNumber | None = None
    fee: PositiveNumber | None = None
    fee_account: Ref | None = None
    kind: Literal["payout", "top_up", "transfer"] = "transfer"
    description: Text | None = None

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> Transfer:
        if self.from_account == self.to_account:
            raise ValueError(f"to_account = {self.to_account}: expected another account than from_account")
        if self.fee_account is not None and self.fee is None:
            raise ValueError(f"fee_account = {self.fee_account}: expected beside a fee")
        return self


class TransferReversal(Document):
    """A transfer that came back whole, such as a payout that failed; its fee only where it was returned too."""

    type: Literal["transfer_reversal"]
    transfer: Ref
    date: Day
    fee_returned: bool = False
    reason: Annotated[Text, Field(min_length=1)]

    dated_by: ClassVar[str] = "date"


class Fee(Document):
    """What a bank or a processor charged an account, or gave back of what it had charged (`returned`)."""

    type: Literal["fee"]
    entity: Ref
    account: Ref
    date: Day
    amount: PositiveNumber
    returned: bool = False
    description: Text | None = None

    dated_by: ClassVar[str] = "date"


class RemittedTax(Model):
    """What is remitted of a tax code; of what customers `withheld` by a code of theirs instead of money."""

    code: Ref
    amount: PositiveNumber
    withheld: Ref | None = None


class TaxRemittance(Document):
    """Collected tax paid to the authority, by code, for the days of a period; in the entity's currency."""

    type: Literal["tax_remittance"]
    entity: Ref
    date: Day
    start: Day
    end: Day
    rail: Rail | None = None
    account: Ref | None = None
    lines: Annotated[list[RemittedTax], Field(min_length=1, max_length=1_000)]

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> TaxRemittance:
        if self.end < self.start:
            raise ValueError(f"end = {self.end}: expected start ({self.start}) or later")
        refuse_repeats(
            "lines", [f"{line.code}{f' by {line.withheld}' if line.withheld else ''}" for line in self.lines]
        )
        if any(line.withheld is None for line in self.lines):
            require_place(self.account, self.rail)
        return self


class CustomerCredit(Party):
    """A balance given to a customer as goodwill; or what is left unused of one, taken back."""

    type: Literal["customer_credit"]
    date: Day
    amount: PositiveNumber
    takes_back: Ref | None = None
    reason: Annotated[Text, Field(min_length=1)]
    approved_by: Name | None = None

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _given(self) -> CustomerCredit:
        if self.takes_back is not None and self.approved_by is not None:
            raise ValueError(f"approved_by = {self.approved_by}: expected none on what takes a credit back")
        return self


class UnidentifiedReceipt(Document):
    """Money that came in of which nobody knows yet who paid it; `text` is what came with it."""

    type: Literal["unidentified_receipt"]
    entity: Ref
    currency: Currency
    date: Day
    rail: Rail | None = None
    account: Ref | None = None
    amount: PositiveNumber
    fx_rate: PositiveNumber | None = None
    text: Text | None = None

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> UnidentifiedReceipt:
        require_place(self.account, self.rail)
        return self


class ReceiptIdentified(Document):
    """Who an unidentified receipt turned out to be of, as a whole or in part: it is that customer's money from the day on."""

    type: Literal["receipt_identified"]
    receipt: Ref
    customer: Ref
    date: Day
    amount: PositiveNumber | None = None

    dated_by: ClassVar[str] = "date"


class ReceiptReturned(Document):
    """An unidentified receipt, or a part of it, sent back to where it came from."""

    type: Literal["receipt_returned"]
    receipt: Ref
    date: Day
    amount: PositiveNumber | None = None
    account: Ref | None = None
    reason: Annotated[Text, Field(min_length=1)]

    dated_by: ClassVar[str] = "date"
