"""Payments and where they are put; refunds, disputes, write-offs and recoveries."""

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
    money_place,
    refuse_repeats,
    require_one,
    require_place,
)


class Withheld(Model):
    """Tax that a customer withheld of what it owes, to pay it to an authority in our name."""

    code: Ref
    amount: PositiveNumber


class PaymentApplication(Model):
    """A part of a payment that settles an invoice; `paid` is what it takes of the money where that is another currency.

    What the customer withheld settles the invoice beside the amount.
    """

    invoice: Ref
    amount: PositiveNumber
    paid: PositiveNumber | None = None
    withheld: Annotated[list[Withheld], Field(min_length=1, max_length=20)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> PaymentApplication:
        refuse_repeats("withheld", [part.code for part in self.withheld or ()])
        return self


class Payment(Party):
    """Money received; what is not applied to invoices stays the customer's. Its `customer` owes; a `payer` is another who paid for it."""

    type: Literal["payment"]
    date: Day
    rail: Rail | None = None
    account: Ref | None = None
    amount: PositiveNumber
    fee: PositiveNumber | None = None
    fx_rate: PositiveNumber | None = None
    payer: Ref | None = None
    applications: list[PaymentApplication] = Field(default_factory=list)

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> Payment:
        require_place(self.account, self.rail)
        refuse_repeats("applications", [application.invoice for application in self.applications])
        return self


class Application(Party):
    """Money of the customer that was not applied yet, put onto an invoice, or moved `from_invoice` to another.

    `payment` says whose it is; by default the oldest, or of an invoice what was put there last.
    """

    type: Literal["application"]
    date: Day
    invoice: Ref
    amount: PositiveNumber
    paid: PositiveNumber | None = None
    from_invoice: Ref | None = None
    payment: Ref | None = None

    dated_by: ClassVar[str] = "date"


class Unapplication(Document):
    """Money taken off an invoice again, that an `application` or a `payment` put there: it is the customer's, the invoice is due."""

    type: Literal["unapplication"]
    application: Ref | None = None
    payment: Ref | None = None
    invoice: Ref | None = None
    date: Day
    amount: PositiveNumber | None = None
    reason: Text | None = None

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> Unapplication:
        if (self.application is None) == (self.payment is None):
            raise ValueError(
                f"application = {self.application or 'missing'}: expected an application, or a payment and the invoice it was put onto"
            )
        if (self.payment is None) != (self.invoice is None):
            raise ValueError(f"invoice = {self.invoice or 'missing'}: expected beside payment, and only there")
        return self


class PaymentReversal(Document):
    """A payment that came back, by an ACH or SEPA return, a bounced cheque or a charge that failed after all: it is no payment.

    What it settled is due again; `fee` is what the bank takes for it. Or a `recovery`, and what was written off is so again; or an
    unidentified receipt that turned out to be the customer's (`receipt`: the document that said so).
    """

    type: Literal["payment_reversal"]
    payment: Ref | None = None
    recovery: Ref | None = None
    receipt: Ref | None = None
    date: Day
    reason: Annotated[Text, Field(min_length=1)]
    fee: PositiveNumber | None = None

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _of_one(self) -> PaymentReversal:
        require_one(payment=self.payment, recovery=self.recovery, receipt=self.receipt)
        return self

    @property
    def money(self) -> tuple[str, str]:
        """Which document brought the money: the field that names it, and its id."""
        return money_place(payment=self.payment, recovery=self.recovery, receipt=self.receipt)


class Refund(Document):
    """Money of a payment paid back: from the customer's balance, or for an invoice it had settled.

    Or of a `recovery`, or of an unidentified receipt that turned out to be the customer's (`receipt`: the document that said so).
    One that names a `customer` instead, an `entity` and a `currency`, pays out what is on the balance, the oldest money first.
    """

    type: Literal["refund"]
    payment: Ref | None = None
    recovery: Ref | None = None
    receipt: Ref | None = None
    customer: Ref | None = None
    entity: Ref | None = None
    currency: Currency | None = None
    date: Day
    amount: PositiveNumber
    fee: PositiveNumber | None = None
    rail: Rail | None = None
    account: Ref | None = None
    invoice: Ref | None = None
    reason: Text | None = None
    approved_by: Name | None = None

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _of_one(self) -> Refund:
        require_one(payment=self.payment, recovery=self.recovery, receipt=self.receipt, customer=self.customer)
        for name in ("entity", "currency"):
            value = getattr(self, name)
            if (value is None) == (self.customer is not None):
                raise ValueError(f"{name} = {value or 'missing'}: expected beside customer, and only there")
        if self.customer is None:
            if self.rail is not None:
                raise ValueError(
                    f"rail = {self.rail}: expected beside customer only: what a document brought leaves as it came"
                )
            return self
        require_place(self.account, self.rail)
        if self.invoice is not None:
            raise ValueError(f"invoice = {self.invoice}: expected none beside customer, whose balance it is of")
        return self

    @property
    def money(self) -> tuple[str, str]:
        """Which document brought the money: the field that names it, and its id."""
        return money_place(payment=self.payment, recovery=self.recovery, receipt=self.receipt)


class RefundReversal(Document):
    """A refund that failed or was canceled: the money is there again, and lies where it was taken from."""

    type: Literal["refund_reversal"]
    refund: Ref
    date: Day
    reason: Annotated[Text, Field(min_length=1)]

    dated_by: ClassVar[str] = "date"


class Dispute(Document):
    """A chargeback: opened, then won or lost, each a document of its own; one that was lost is `reinstated` where it is won after all.

    Of a payment, a `recovery`, or an unidentified receipt that turned out to be the customer's (`receipt`: the document that said so).
    `opening` is the document that opened it, where a payment has several. `fee_refund` is what comes back of its fee.
    """

    type: Literal["dispute"]
    payment: Ref | None = None
    recovery: Ref | None = None
    receipt: Ref | None = None
    date: Day
    amount: PositiveNumber
    status: Literal["opened", "won", "lost", "reinstated"]
    opening: Ref | None = None
    fee: PositiveNumber | None = None
    fee_refund: PositiveNumber | None = None
    account: Ref | None = None

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> Dispute:
        require_one(payment=self.payment, recovery=self.recovery, receipt=self.receipt)
        if self.status == "opened" and self.opening is not None:
            raise ValueError(f"opening = {self.opening}: expected none on the dispute that is opened")
        if self.status in ("opened", "lost") and self.fee_refund is not None:
            raise ValueError(f"fee_refund = {self.fee_refund}: expected where the dispute is won or reinstated")
        return self

    @property
    def money(self) -> tuple[str, str]:
        """Which document brought the money: the field that names it, and its id."""
        return money_place(payment=self.payment, recovery=self.recovery, receipt=self.receipt)


class WriteOff(Document):
    """What is due of an invoice, or a part of it, given up as uncollectible."""

    type: Literal["write_off"]
    invoice: Ref
    date: Day
    amount: PositiveNumber | None = None
    reason: Annotated[Text, Field(min_length=1)]
    approved_by: Name | None = None

    dated_by: ClassVar[str] = "date"


class Recovery(Document):
    """Money that came in for what had been written off."""

    type: Literal["recovery"]
    write_off: Ref
    date: Day
    rail: Rail | None = None
    account: Ref | None = None
    amount: PositiveNumber
    fee: PositiveNumber | None = None

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> Recovery:
        require_place(self.account, self.rail)
        return self
