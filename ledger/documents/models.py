"""The documents that come in, as pydantic models.

The format is docs/documents.md. Every model forbids unknown fields and keeps amounts as exact decimals;
whether an amount fits its currency, and whether what a document names exists, is for the posting code to say.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date
from datetime import date as CalendarDay  # noqa: N812 - documents have fields called `date`
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from ledger.accounts.chart import ROLES
from ledger.amounts.dates import FIRST_DAY, LAST_DAY
from ledger.amounts.money import exact_product, exponent

REF_LENGTH_MAX = 200
TEXT_LENGTH_MAX = 2_000
LABEL_LENGTH_MAX = 255  # as long as Stripe's ids may be
SYSTEM_LENGTH_MAX = 40
SYSTEMS_MAX = 10
# Quantities and prices may have any precision a meter gives; beyond this a number is a mistake or an attack.
NUMBER_DIGITS_MAX = 40


def _decimal(value: object) -> Decimal:
    if not isinstance(value, str):
        raise ValueError('expected a decimal string such as "12.50"')  # noqa: TRY004 - pydantic wants ValueError
    if len(value) > NUMBER_DIGITS_MAX:
        raise ValueError(f"expected at most {NUMBER_DIGITS_MAX} digits")
    body = value.removeprefix("-")
    if not body.replace(".", "", 1).isdigit() or not body.isascii() or not body[0].isdigit() or body[-1] == ".":
        raise ValueError('expected a decimal string such as "12.50"')
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError('expected a decimal string such as "12.50"') from None
    if number.is_zero() and number.is_signed():
        raise ValueError("expected 0 without a minus sign")
    return number


def decimal_of(value: str) -> Decimal:
    """An amount of a document in the books, which was checked when it came in."""
    return _decimal(value)


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


def _day(value: object) -> date:
    if not isinstance(value, str) or len(value) != len("2026-01-31"):
        raise ValueError("expected a date such as 2026-01-31")
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise ValueError("expected a date such as 2026-01-31") from None
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f"expected a date from {FIRST_DAY} to {LAST_DAY}")
    return day


def _printable(value: str) -> str:
    # most text is printable throughout, which is quickly seen
    if not value.isprintable() and any(
        unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\n\t" for letter in value
    ):
        raise ValueError("expected text without control characters")
    return value


def _ref(value: str) -> str:
    # which letters an id may have is asked of documents that are new: ledger/letters.py
    if value != value.strip() or value.startswith("~") or "\n" in value or "\t" in value:
        raise ValueError("expected an id without spaces around it, line breaks, tabs or a leading ~")
    return value


def _label(value: str) -> str:
    if value != value.strip() or _breaks(value):
        raise ValueError("expected text without spaces around it, line breaks or tabs")
    return value


def _breaks(value: str) -> bool:
    """Whether text is of more than one line, or of columns, in whatever reads it: only some of what prints is a line break."""
    return not value.isprintable() and any(
        letter in "\n\t" or unicodedata.category(letter) in ("Zl", "Zp") for letter in value
    )


def _one_line(value: str) -> str:
    if _breaks(value):
        raise ValueError("expected text without line breaks or tabs")
    return value


def _code(value: str) -> str:
    if value != value.strip() or value.startswith(_FORMULA_STARTS) or _breaks(value):
        raise ValueError(
            "expected a code without spaces around it, line breaks, tabs or a leading =, +, - or @, which a spreadsheet would take for a formula"
        )
    return value


def _system(value: str) -> str:
    # a colon stands between a system and an id in it; small letters, so that no system has two names
    if not value or not value.isascii() or set(value) - _SYSTEM_LETTERS:
        raise ValueError("expected a system's name of small letters, digits, _, - and ., such as stripe")
    return value


def _some(value: dict[str, str]) -> dict[str, str]:
    if len(value) > SYSTEMS_MAX:
        raise ValueError(f"expected at most {SYSTEMS_MAX} systems")
    return value


_FORMULA_STARTS = ("=", "+", "-", "@")
_SYSTEM_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-.")


def _currency(value: str) -> str:
    exponent(value)
    return value


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError("expected more than 0")
    return value


def _not_negative(value: Decimal) -> Decimal:
    if value < 0:
        raise ValueError("expected 0 or more")
    return value


def _role(value: str) -> str:
    if value not in ROLES:
        raise ValueError(f"expected one of {', '.join(ROLES)}")
    return value


Text = Annotated[str, Field(max_length=TEXT_LENGTH_MAX), AfterValidator(_printable)]
# What stands in one line, or one cell, of what is printed and exported.
Line = Annotated[Text, AfterValidator(_one_line)]
Name = Annotated[Line, Field(min_length=1)]
# What an accounting system finds an account by.
Code = Annotated[Text, Field(min_length=1), AfterValidator(_code)]
Ref = Annotated[str, Field(min_length=1, max_length=REF_LENGTH_MAX), AfterValidator(_printable), AfterValidator(_ref)]
# What another system, or the other party, calls a document.
Label = Annotated[
    str, Field(min_length=1, max_length=LABEL_LENGTH_MAX), AfterValidator(_printable), AfterValidator(_label)
]
System = Annotated[str, Field(max_length=SYSTEM_LENGTH_MAX), AfterValidator(_system)]
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
Currency = Annotated[str, AfterValidator(_currency)]
Number = Annotated[
    Decimal, BeforeValidator(_decimal), WithJsonSchema({"type": "string", "format": "decimal", "examples": ["12.50"]})
]
PositiveNumber = Annotated[Number, AfterValidator(_positive)]
NumberFromZero = Annotated[Number, AfterValidator(_not_negative)]
Rail = Literal["card", "ach", "wire", "check", "external"]
Pattern = Literal["daily", "monthly", "monthly_prorated", "point_in_time"]


class Model(BaseModel):
    """A form with no unknown fields and no silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Document(Model):
    """What every document has: its type and an id that is unique within the type.

    It may have a `reference`, such as the number of a cheque or an order, and `external` ids, by the system that has it under each.
    """

    type: str
    id: Ref
    reference: Label | None = None
    external: Annotated[dict[System, Label], AfterValidator(_some)] | None = None

    # The field that says which day it counts for, where it has one.
    dated_by: ClassVar[str] = ""
    # The fields that may say something of persons: kept apart, so that they can be erased (ledger/documents/personal.py).
    personal: ClassVar[frozenset[str]] = frozenset()

    @property
    def dated_on(self) -> CalendarDay | None:
        """The day it counts for, where it has one."""
        return getattr(self, self.dated_by) if self.dated_by else None


# The documents that others name, by the field in which they do: of what types they can be.
NAMED = {
    "payment": ("payment",), "recovery": ("recovery",), "receipt": ("unidentified_receipt", "receipt_identified"),
    "write_off": ("write_off",), "refund": ("refund",), "credit_note": ("credit_note",), "application": ("application",),
    "invoice": ("invoice",), "contract": ("contract",), "grant": ("grant",), "cost": ("contract_cost",),
    "transfer": ("transfer",), "rule": ("approval_rule",), "takes_back": ("customer_credit",),
}  # fmt: skip
# The fields by which documents say that a fee came back, whoever was charged it: of an account, no more than was taken.
RETURNING_FEES = ("fee_refund", "fee_returned", "returned")
# The types of documents that move money which came in before, or give it back: it may lie with others than who paid.
MOVING = frozenset(
    {"application", "unapplication", "refund", "refund_reversal", "dispute", "payment_reversal", "recovery"}
)


class Party(Document):
    """A document that concerns one customer, one entity and one currency."""

    customer: Ref
    entity: Ref
    currency: Currency


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
    role: Annotated[str, AfterValidator(_role)]
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

    dated_by: ClassVar[str] = "effective_on"

    @model_validator(mode="after")
    def _likely_used(self) -> Grant:
        if self.expected_use is not None:
            if self.kind not in ("promotional", "pilot") or self.contract is None:
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


class TaxGiven(Model):
    """A tax as another system worked it out: on which base, and how much."""

    code: Ref
    base: Number
    amount: Number


_TaxesGiven = Annotated[list[TaxGiven], Field(min_length=1, max_length=20)]


def _check_taxes(taxes: Sequence[TaxGiven], of: Decimal) -> None:
    """Raise ValueError for taxes that are not each of one code, with the sign of the amount they are of."""
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
        return _money(payment=self.payment, recovery=self.recovery, receipt=self.receipt)


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
        return _money(payment=self.payment, recovery=self.recovery, receipt=self.receipt)


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
        return _money(payment=self.payment, recovery=self.recovery, receipt=self.receipt)


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

    dated_by: ClassVar[str] = "date"


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


class ManualLine(Model):
    """One debit and credit of a manual entry, by roles; the subjects say what of the customer's they are about."""

    debit: Annotated[str, AfterValidator(_role)]
    credit: Annotated[str, AfterValidator(_role)]
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
    """Above how much refunds and credit notes of an entity need a second person, from a day on until there is a later one.

    In its functional currency, taxes included; 0 is each of them, and what is not named none.
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
    kinds: Annotated[list[Literal["refund", "credit_note", "write_off", "manual_entry"]], Field(min_length=1)]
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


def _money(**fields: str | None) -> tuple[str, str]:
    return next((name, ref) for name, ref in fields.items() if ref is not None)


def require_one(**fields: str | None) -> None:
    """Raise ValueError unless one of some fields is given, and one only."""
    given = [name for name, value in fields.items() if value is not None]
    if len(given) != 1:
        first = given[0] if given else next(iter(fields))
        expected = " or ".join(fields)
        raise ValueError(f"{first} = {fields[first] or 'missing'}: expected {expected}, and one of them only")


def require_place(account: str | None, rail: str | None) -> None:
    """Raise ValueError where money names neither an account nor a rail."""
    if account is None and rail is None:
        raise ValueError("account = missing: expected the money_account that took it, or the rail it came by")


def refuse_repeats(field: str, ids: list[str]) -> None:
    """Raise ValueError where two parts of a document have the same id."""
    seen: set[str] = set()
    for ref in ids:
        if ref in seen:
            raise ValueError(f"{field} = {ref}: expected each id once, found {ref} twice")
        seen.add(ref)
