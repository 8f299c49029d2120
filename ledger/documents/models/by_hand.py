"""Entries by hand, and who approves."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from ledger.documents.models.fields import (
    Currency,
    Day,
    Document,
    Model,
    Name,
    NumberFromZero,
    PositiveNumber,
    Ref,
    Text,
    refuse_repeats,
    role_of_chart,
)


class ManualLine(Model):
    """One debit and credit of a manual entry, by roles; the subjects say what of the customer's they are about."""

    debit: Annotated[str, AfterValidator(role_of_chart)]
    credit: Annotated[str, AfterValidator(role_of_chart)]
    amount: PositiveNumber
    customer: Ref | None = None
    product: Ref | None = None
    debit_subject: Ref | None = None
    credit_subject: Ref | None = None
    description: Text | None = None


class ManualEntry(Document):
    """An entry as given, with a reason and a second person's approval, or under a rule that stands for it."""

    type: Literal["manual_entry"]
    entity: Ref
    date: Day
    currency: Currency
    lines: Annotated[list[ManualLine], Field(min_length=1, max_length=10_000)]
    reason: Annotated[Text, Field(min_length=1)]
    approved_by: Name | None = None

    dated_by: ClassVar[str] = "date"


class ApprovalPolicy(Document):
    """Above how much refunds of an entity, and what customers are given for nothing, need a second person, until there is a later one.

    In its functional currency, taxes included; 0 is each of them, and what is not named none. `credit_note_above` is for credit notes,
    customer credits, lines of invoices below zero, credits of grants that are not paid for, and consideration payable to customers.
    """

    type: Literal["approval_policy"]
    entity: Ref
    date: Day
    refund_above: NumberFromZero | None = None
    credit_note_above: NumberFromZero | None = None
    approved_by: Name

    dated_by: ClassVar[str] = "date"


class ApprovalRule(Document):
    """A rule that stands for a second person: what a source posts of some kinds, up to a limit, from a day on, until a last one."""

    type: Literal["approval_rule"]
    entity: Ref
    kinds: Annotated[
        list[
            Literal[
                "refund", "credit_note", "write_off", "manual_entry", "customer_credit", "invoice", "grant", "consideration_payable"
            ]
        ],
        Field(min_length=1),
    ]  # fmt: skip
    source: Name
    currency: Currency
    limit: PositiveNumber
    date: Day
    until: Day
    approved_by: Name

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> ApprovalRule:
        if self.until < self.date:
            raise ValueError(f"until = {self.until}: expected date ({self.date}) or later")
        refuse_repeats("kinds", list(self.kinds))
        return self


class ApprovalRuleEnd(Document):
    """A rule that stands for nobody any more, from a day on."""

    type: Literal["approval_rule_end"]
    rule: Ref
    date: Day
    reason: Annotated[Text, Field(min_length=1)]

    dated_by: ClassVar[str] = "date"
