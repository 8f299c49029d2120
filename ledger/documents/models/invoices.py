"""Invoices, credit notes, and what takes them back."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ledger.documents.models.fields import (
    Currency,
    Day,
    Document,
    Line,
    Model,
    Name,
    Number,
    NumberFromZero,
    Party,
    Pattern,
    PositiveNumber,
    Ref,
    Text,
    refuse_repeats,
)


class TaxGiven(Model):
    """A tax as another system worked it out: on which base, and how much."""

    code: Ref
    base: Number
    amount: Number


_TaxesGiven = Annotated[list[TaxGiven], Field(min_length=1, max_length=20)]


def _check_taxes(taxes: Sequence[TaxGiven], of: Decimal) -> None:
    """Raise ValueError for taxes that an amount can't have.

    Each is of one code, with the sign of the amount they are of.
    """
    refuse_repeats("taxes", [tax.code for tax in taxes])
    for place, tax in enumerate(taxes):
        for name in ("base", "amount"):
            value = getattr(tax, name)
            if value * of < 0 or (value and not of):
                expected = "0, as the amount is" if not of else "the sign of the amount it is of"
                raise ValueError(f"taxes.{place}.{name} = {value}: expected {expected}")


class InvoiceLine(Model):
    """One line of an invoice: its amount is before tax and after discount; below 0 it credits what it is about, 0 is for nothing.

    `group` and `label` say how a reader sees it: lines of a group are added up under it. A line of another `entity` is that
    one's own: the invoice's entity collects it.
    """

    id: Ref
    entity: Ref | None = None
    kind: Literal["service", "one_time", "prepaid", "usage", "shortfall", "opening"]
    amount: Number
    description: Text | None = None
    group: Line | None = None
    label: Line | None = None
    quantity: NumberFromZero | None = None
    unit_price: NumberFromZero | None = None
    discount: PositiveNumber | None = None
    coupon: Ref | None = None
    obligation: Ref | None = None
    contract: Ref | None = None
    grant: Ref | None = None
    product: Ref | None = None
    start: Day | None = None
    end: Day | None = None
    pattern: Pattern | None = None
    tax_codes: Annotated[list[Ref], Field(max_length=20)] | None = None
    taxes: _TaxesGiven | None = None

    @model_validator(mode="after")
    def _taxed(self) -> InvoiceLine:
        if self.taxes is None:
            return self
        if self.tax_codes is not None:
            raise ValueError(f"tax_codes = {self.tax_codes}: expected none beside taxes, which name their codes")
        if self.kind == "opening":
            raise ValueError("taxes: expected none on a line of kind opening: what is taken over includes its taxes")
        _check_taxes(self.taxes, self.amount)
        return self

    @model_validator(mode="after")
    def _discounted(self) -> InvoiceLine:
        if self.discount is not None and (self.quantity is None or self.unit_price is None):
            raise ValueError(
                f"discount = {self.discount}: expected beside quantity and unit_price, of which it is part"
            )
        if self.coupon is not None and (self.discount is None or self.amount < 0):
            raise ValueError(f"coupon = {self.coupon}: expected on a line that charges, beside the discount it gives")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> InvoiceLine:  # noqa: C901 - a list of rules, each its own message
        if (self.start is None) != (self.end is None):
            raise ValueError("start, end: expected both or neither")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError(f"end = {self.end}: expected start ({self.start}) or later")
        needed, refused = _LINE_FIELDS[self.kind]
        if self.contract is not None:
            self._check_contract()
            return self
        if self.kind == "service" and self.obligation is None and self.start is None:
            raise ValueError("start: expected a service period or an obligation; kind one_time for a line without")
        if self.kind in ("service", "one_time") and self.obligation is None and self.product is None:
            raise ValueError("product: expected a product, or the obligation that is billed")
        if self.obligation is not None and self.pattern:
            raise ValueError(f"pattern = {self.pattern}: expected none beside obligation, which has its own")
        if self.amount < 0 and self.kind not in ("service", "one_time"):
            raise ValueError(f"amount = {self.amount}: expected 0 or more on a line of kind {self.kind}")
        if self.amount == 0 and self.kind in ("shortfall", "opening"):
            raise ValueError(f"amount = {self.amount}: expected more than 0 on a line of kind {self.kind}")
        for field in needed:
            if getattr(self, field) is None:
                raise ValueError(f"{field}: expected on a line of kind {self.kind}")
        for field in refused:
            if getattr(self, field) is not None:
                raise ValueError(f"{field} = {getattr(self, field)}: expected none on a line of kind {self.kind}")
        return self

    def _check_contract(self) -> None:
        if self.kind not in ("service", "one_time"):
            raise ValueError(f"contract = {self.contract}: expected none on a line of kind {self.kind}")
        if self.amount < 0:
            raise ValueError(
                f"amount = {self.amount}: expected more than 0 on a line that bills a contract: credit obligations"
            )
        for name in ("obligation", "product", "grant", "pattern"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name} = {getattr(self, name)}: expected none beside contract, which is billed as a whole"
                )


# What a line of each kind must have, and what it can't have.
_LINE_FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "service": ((), ("grant",)),
    "one_time": ((), ("grant", "start", "pattern")),
    "prepaid": (("grant",), ("obligation", "start", "pattern")),
    "usage": (("product",), ("obligation", "grant", "pattern")),
    "shortfall": (("grant",), ("obligation", "start", "pattern")),
    # what is open of an invoice taken over from another system, taxes included
    "opening": ((), ("obligation", "grant", "product", "start", "pattern")),
}


class Invoice(Party):
    """A finalised invoice; without `due_on` it is due by the customer's terms.

    Its `taxes` are what each code comes to over the lines that bear it, where no line says so itself.
    """

    type: Literal["invoice"]
    issued_on: Day
    due_on: Day | None = None
    lines: Annotated[list[InvoiceLine], Field(min_length=1, max_length=10_000)]
    supersedes: Ref | None = None
    fx_rate: PositiveNumber | None = None
    taxes: _TaxesGiven | None = None
    approved_by: Name | None = None

    dated_by: ClassVar[str] = "issued_on"

    @model_validator(mode="after")
    def _taxed(self) -> Invoice:
        if self.taxes is None:
            return self
        refuse_repeats("taxes", [tax.code for tax in self.taxes])
        known = {tax.code for tax in self.taxes}
        for place, line in enumerate(self.lines):
            if line.taxes is not None:
                raise ValueError(f"lines.{place}.taxes: expected none beside taxes of the invoice")
            if line.entity not in (None, self.entity):
                raise ValueError(
                    f"lines.{place}.entity = {line.entity}: expected taxes on the lines of an invoice over several entities"
                )
            for code in line.tax_codes or ():
                if code not in known:
                    raise ValueError(f"lines.{place}.tax_codes = {code}: expected one of the invoice's taxes")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Invoice:
        if self.due_on is not None and self.due_on < self.issued_on:
            raise ValueError(f"due_on = {self.due_on}: expected issued_on ({self.issued_on}) or later")
        refuse_repeats("lines", [line.id for line in self.lines])
        below = [
            place
            for place, line in enumerate(self.lines)
            if line.kind == "one_time" and line.amount < 0 and line.obligation is None
        ]
        if below and any(line.kind != "one_time" for line in self.lines):
            raise ValueError(
                f"lines.{below[0]}.amount = {self.lines[below[0]].amount}: expected only lines of kind one_time beside it, of which it takes"
                " off at once; of service name the days it takes off, and of usage and credits the discount"
            )
        return self


class InvoiceVoid(Document):
    """An unpaid invoice taken back whole."""

    type: Literal["invoice_void"]
    invoice: Ref
    date: Day
    reason: Annotated[Text, Field(min_length=1)]

    dated_by: ClassVar[str] = "date"


class CreditNoteLine(Model):
    """What is credited of a line, as the line's amount is stated; with a period of its own, over that period.

    Or of a `product`, and of no line: it lowers revenue at once.
    """

    line: Ref | None = None
    product: Ref | None = None
    amount: PositiveNumber
    description: Text | None = None
    start: Day | None = None
    end: Day | None = None
    tax_codes: Annotated[list[Ref], Field(max_length=20)] | None = None
    taxes: _TaxesGiven | None = None

    @model_validator(mode="after")
    def _of_one(self) -> CreditNoteLine:
        if (self.line is None) == (self.product is None):
            found = "missing" if self.line is None else self.line
            raise ValueError(f"line = {found}: expected the line that is credited, or a product, one of the two")
        refused = ("description", "tax_codes") if self.product is None else ("start",)
        for name in refused:
            if getattr(self, name) is not None:
                beside = "line, which has its own" if self.product is None else "product: it counts at once"
                raise ValueError(f"{name} = {getattr(self, name)}: expected none beside {beside}")
        if self.taxes is not None:
            if self.tax_codes is not None:
                raise ValueError(f"tax_codes = {self.tax_codes}: expected none beside taxes, which name their codes")
            _check_taxes(self.taxes, self.amount)
        return self

    @model_validator(mode="after")
    def _consistent(self) -> CreditNoteLine:
        if (self.start is None) != (self.end is None):
            raise ValueError("start, end: expected both or neither")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError(f"end = {self.end}: expected start ({self.start}) or later")
        return self


class CreditNote(Document):
    """A part of an invoice taken back. One to `rebill` takes only the bill back: what was agreed stays, and is billed again.

    Lines of its own credit a product; a note of no invoice has only these, and names whose it is.
    """

    type: Literal["credit_note"]
    invoice: Ref | None = None
    customer: Ref | None = None
    entity: Ref | None = None
    currency: Currency | None = None
    fx_rate: PositiveNumber | None = None
    date: Day
    rebill: bool = False
    lines: Annotated[list[CreditNoteLine], Field(min_length=1, max_length=10_000)]
    reason: Text | None = None
    approved_by: Name | None = None

    dated_by: ClassVar[str] = "date"

    @model_validator(mode="after")
    def _consistent(self) -> CreditNote:
        refuse_repeats("lines", [line.line for line in self.lines if line.line is not None])
        for name in ("customer", "entity", "currency"):
            value = getattr(self, name)
            if (value is None) == (self.invoice is None):
                found = "missing" if value is None else value
                raise ValueError(f"{name} = {found}: expected on a note of no invoice, and only there")
        if self.invoice is not None and self.fx_rate is not None:
            raise ValueError(f"fx_rate = {self.fx_rate}: expected none beside invoice, whose rate is locked")
        for place, line in enumerate(self.lines):
            if self.invoice is None and line.line is not None:
                raise ValueError(f"lines.{place}.line = {line.line}: expected a product on a note of no invoice")
            if self.rebill and line.line is None:
                raise ValueError(f"lines.{place}.product = {line.product}: expected a line to bill again")
        if self.rebill and any(line.start is not None for line in self.lines):
            raise ValueError(
                "rebill = true: expected no period on its lines, which would end what was promised over it"
            )
        return self


class CreditNoteVoid(Document):
    """A credit note taken back whole: what it credited is billed again, and its invoice due, as far as its money is not there still."""

    type: Literal["credit_note_void"]
    credit_note: Ref
    date: Day
    reason: Annotated[Text, Field(min_length=1)]

    dated_by: ClassVar[str] = "date"
