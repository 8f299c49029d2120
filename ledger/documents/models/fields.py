"""Fields of documents: text, ids, days and numbers as they may be written.

And what all documents share.
"""

from __future__ import annotations

import unicodedata
from datetime import date
from datetime import date as CalendarDay  # noqa: N812 - documents have fields called `date`
from decimal import Decimal, InvalidOperation
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from ledger.accounts.chart import ROLES
from ledger.amounts.dates import FIRST_DAY, LAST_DAY
from ledger.amounts.money import exponent

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
    """Whether text is of more than one line, or of columns, in whatever reads it.

    Only some of what prints is a line break.
    """
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


def role_of_chart(value: str) -> str:
    """A role of the chart, as a document names it."""
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
    # Of what it changes a part of: the type, which is the field that names it, and the types of the documents that made its parts.
    part_of: ClassVar[tuple[str, tuple[str, ...]] | None] = None

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


def money_place(**fields: str | None) -> tuple[str, str]:
    """The money that a document is about: which of its fields names it, and its id."""
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
