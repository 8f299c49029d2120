"""Entities, customers, products, and what is agreed before anything is billed.

Taxes, coupons, rates, accounts.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from ledger.documents.models.fields import (
    Code,
    Currency,
    Day,
    Document,
    Line,
    Model,
    Name,
    NumberFromZero,
    PositiveNumber,
    Ref,
    Text,
    role_of_chart,
)


class Entity(Document):
    """A legal entity that keeps books, in its functional currency; with a prefix, it numbers its invoices without gaps.

    `fiscal_year_start` is the month its fiscal years begin in. Usage is billed within `bills_within` days of its last; `arrears` says
    whether service that only an invoice tells of counts when it was billed, or when it was given. A line's amount may differ by
    `amount_tolerance` of its currency's smallest units from its quantity x unit price, as another system rounds.
    """

    type: Literal["entity"]
    name: Name
    currency: Currency
    country: Line | None = None
    time_zone: Line = "UTC"
    tax_rounding: Literal["line", "invoice"] = "line"
    fiscal_year_start: Annotated[int, Field(ge=1, le=12)] = 1
    invoice_prefix: Annotated[Line, Field(max_length=40)] | None = None
    bills_within: Annotated[int, Field(ge=0, le=3_650)] = 60
    arrears: Literal["when_billed", "when_given"] = "when_billed"
    amount_tolerance: Annotated[int, Field(ge=0, le=10_000)] = 0


class Contacts(Model):
    """Whom a reminder goes to, by role: addresses for the tool that sends it."""

    billing: Line | None = None
    account_executive: Line | None = None
    customer_success: Line | None = None


Overage = Literal["bill", "refuse"]
TaxStatus = Literal["taxable", "exempt", "reverse_charge"]
NetDays = Annotated[int, Field(ge=0, le=3_650)]


class Customer(Document):
    """Who is billed. `overage` says whether usage beyond all credits is billed or refused.

    An invoice that does not say when it is due is due `terms` days after its date. Money of the `parent` may pay its invoices.
    """

    type: Literal["customer"]
    name: Name
    country: Line | None = None
    tax_id: Line | None = None
    overage: Overage = "bill"
    tax_status: TaxStatus = "taxable"
    contacts: Contacts | None = None
    tax_codes: Annotated[list[Ref], Field(max_length=20)] | None = None
    terms: NetDays | None = None
    parent: Ref | None = None

    personal: ClassVar[frozenset[str]] = frozenset({"contacts"})


class CustomerChange(Document):
    """What a customer is from a day on, until a later change says otherwise: what is not named stays, null takes a value away.

    `contacts` and `tax_codes` are replaced whole.
    """

    type: Literal["customer_change"]
    customer: Ref
    date: Day
    name: Name | None = None
    country: Line | None = None
    tax_id: Line | None = None
    overage: Overage | None = None
    tax_status: TaxStatus | None = None
    contacts: Contacts | None = None
    tax_codes: Annotated[list[Ref], Field(max_length=20)] | None = None
    terms: NetDays | None = None
    parent: Ref | None = None

    dated_by: ClassVar[str] = "date"
    personal: ClassVar[frozenset[str]] = frozenset({"contacts"})

    @model_validator(mode="after")
    def _consistent(self) -> CustomerChange:
        if not self.changed:
            raise ValueError(
                "name = missing: expected something that changes: a name, a country, or another of the fields"
            )
        for field in ("name", "overage", "tax_status"):
            if field in self.changed and getattr(self, field) is None:
                raise ValueError(f"{field} = null: expected a value: a customer always has one")
        return self

    @property
    def changed(self) -> frozenset[str]:
        """The fields it says something of, be it that there is no more of it."""
        return frozenset(self.model_fields_set - {"type", "id", "customer", "date"})


_Lines = Annotated[list[Annotated[Line, Field(min_length=1, max_length=100)]], Field(min_length=1, max_length=10)]


class Details(Document):
    """How a customer or an entity is named and reached on what is sent, from a day on until there are later ones.

    With a customer and an entity, how the customer is named on what that entity sends. `remittance` says where an entity is paid, `registration` where it is registered, `footer` what stands under its invoices.
    """

    type: Literal["details"]
    customer: Ref | None = None
    entity: Ref | None = None
    date: Day
    name: Annotated[Line, Field(min_length=1, max_length=200)] | None = None
    attention: Annotated[Line, Field(max_length=200)] | None = None
    address: _Lines | None = None
    email: Annotated[Line, Field(max_length=200)] | None = None
    phone: Annotated[Line, Field(max_length=100)] | None = None
    tax_ids: _Lines | None = None
    registration: Annotated[Line, Field(max_length=200)] | None = None
    remittance: _Lines | None = None
    footer: Annotated[Text, Field(max_length=500)] | None = None

    dated_by: ClassVar[str] = "date"
    personal: ClassVar[frozenset[str]] = frozenset(
        {"name", "attention", "address", "email", "phone", "tax_ids", "registration", "remittance", "footer"}
    )

    @model_validator(mode="after")
    def _consistent(self) -> Details:
        if self.customer is None and self.entity is None:
            raise ValueError("customer = missing: expected a customer or an entity, or a customer of an entity")
        if not self.model_fields_set & self.personal:
            raise ValueError("name = missing: expected something to say: a name, an address, or another of the fields")
        for field in ("registration", "remittance", "footer"):
            if self.customer is not None and getattr(self, field) is not None:
                raise ValueError(f"{field} = given: expected in the details of an entity only")
        return self


class Product(Document):
    """What is sold."""

    type: Literal["product"]
    name: Name


class TaxCode(Document):
    """A tax: a rate, an amount a line, or both; on top of the price, or `inclusive`: in it.

    A `compound` tax is charged on the price and the taxes before it. Customers of its `countries` are charged it on lines that
    name no code.
    """

    type: Literal["tax_code"]
    name: Name
    rate: NumberFromZero | None = None
    fixed: NumberFromZero | None = None
    inclusive: bool = False
    compound: bool = False
    countries: list[Annotated[str, Field(min_length=2, max_length=2)]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _consistent(self) -> TaxCode:
        if self.rate is None and self.fixed is None:
            raise ValueError("rate: expected a rate such as 0.19, a fixed amount, or both")
        if self.rate is not None and self.rate > 10:
            raise ValueError(f"rate = {self.rate}: expected a share such as 0.19 for 19 %")
        return self


class Coupon(Document):
    """A discount agreed beforehand: a percentage of a line or an amount of an invoice, once, for some months, or always.

    The months of a `repeating` coupon count from the customer's first invoice that uses it.
    """

    type: Literal["coupon"]
    name: Name
    percent: PositiveNumber | None = None
    amount: PositiveNumber | None = None
    currency: Currency | None = None
    duration: Literal["once", "repeating", "forever"] = "once"
    months: Annotated[int, Field(ge=1, le=1_200)] | None = None
    products: Annotated[list[Ref], Field(min_length=1)] | None = None
    redeem_by: Day | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Coupon:
        if (self.percent is None) == (self.amount is None):
            raise ValueError("percent: expected a percentage such as 20, or an amount with its currency")
        if self.percent is not None and self.percent > 100:
            raise ValueError(f"percent = {self.percent}: expected at most 100")
        if (self.amount is None) != (self.currency is None):
            raise ValueError("currency: expected with an amount, and only there")
        if (self.duration == "repeating") != (self.months is not None):
            raise ValueError(f"months = {self.months or 'missing'}: expected with duration repeating, and only there")
        return self


class FxRate(Document):
    """An exchange rate: units of `quote` for one of `base`, from a day on until there is a later one."""

    type: Literal["fx_rate"]
    date: Day
    base: Currency
    quote: Currency
    rate: PositiveNumber

    dated_by: ClassVar[str] = "date"


class GlAccount(Document):
    """A user's own account code and name for a role, or for a role and product, of an entity."""

    type: Literal["gl_account"]
    entity: Ref
    role: Annotated[str, AfterValidator(role_of_chart)]
    product: Ref | None = None
    code: Code
    name: Name


class MoneyAccount(Document):
    """Where an entity's money lies: an account with a bank, a processor or another, in one currency.

    `code` is its own general-ledger account; it may be below zero where it may be overdrawn.
    """

    type: Literal["money_account"]
    entity: Ref
    name: Name
    kind: Literal["bank", "processor", "reserve", "other"]
    currency: Currency
    code: Code | None = None
    overdraft: bool = False
