"""Money as integers in a currency's minor unit.

And the only places where anything is rounded. Inside the books an amount is an `int` of minor units (cents for USD, yen for JPY,
thousandths for KWD); at the border it is a decimal string or a `moneyed.Money`. Exponents are ISO 4217's, from the package `iso4217`:
Babel's differ for 13 currencies.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache

import moneyed
from iso4217 import Currency as IsoCurrency

from ledger.errors import InvalidDocument

# Codes the ISO table has dropped; old postings keep them. (code -> exponent)
WITHDRAWN = {"BGN": 2, "HRK": 2}

# The largest amount one posting may carry, in minor units: a schedule multiplies it by days in 64 bits.
AMOUNT_MINOR_MAX = 10**15

# 28 digits, the default, would round 18-digit quantities times 18-digit prices.
EXACT_DIGITS = 60
_EXACT = Context(prec=EXACT_DIGITS, rounding=ROUND_HALF_EVEN)


@lru_cache(maxsize=512)
def exponent(currency: str) -> int:
    """Decimal places of a currency by ISO 4217: 2 for USD, 0 for JPY, 3 for KWD.

    Raises InvalidDocument for a code that is no currency, or one without a minor unit (gold, test codes).
    """
    if currency in WITHDRAWN:
        return WITHDRAWN[currency]
    try:
        places = IsoCurrency(currency).exponent
    except ValueError:
        places = None
    if places is None:
        raise InvalidDocument("currency", currency, "expected an ISO 4217 code such as USD")
    return int(places)


def to_minor(amount: Decimal, currency: str, field: str = "amount") -> int:
    """An exact decimal amount in minor units; refuses more places than the currency has."""
    places = exponent(currency)
    if not amount.is_finite():
        raise InvalidDocument(field, amount, "expected a finite amount")
    scaled = amount.scaleb(places, _EXACT)
    whole = scaled.to_integral_value(context=_EXACT)
    if scaled != whole:
        raise InvalidDocument(field, f"{amount} {currency}", f"expected at most {places} decimal places")
    return within_limit(int(whole), currency, field)


def within_limit(minor: int, currency: str, field: str) -> int:
    """The amount itself; refuses one that no posting may carry."""
    if abs(minor) > AMOUNT_MINOR_MAX:
        limit = to_text(AMOUNT_MINOR_MAX, currency)
        raise InvalidDocument(field, f"{to_text(minor, currency)} {currency}", f"expected at most {limit}")
    return minor


def to_decimal(minor: int, currency: str) -> Decimal:
    """Minor units as an exact decimal with the currency's places: 1400 USD is Decimal('14.00')."""
    return Decimal(minor).scaleb(-exponent(currency))


def to_text(minor: int, currency: str) -> str:
    """Minor units as a decimal string with the currency's places, as in JSON: '14.00'."""
    places = exponent(currency)
    if places == 0:
        return str(minor)
    digits = str(abs(minor)).rjust(places + 1, "0")
    return f"{'-' if minor < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def grouped(minor: int, currency: str) -> str:
    """Minor units for people to read: '1,234.50', negatives with a true minus sign."""
    text = f"{to_decimal(abs(minor), currency):,f}"
    return f"\N{MINUS SIGN}{text}" if minor < 0 else text


def to_money(minor: int, currency: str) -> moneyed.Money:
    """Minor units as a `moneyed.Money`, for callers outside the books."""
    known = moneyed.CURRENCIES.get(currency)
    if known is None:  # py-moneyed 3.0 lacks codes that ISO added since (ZWG, XCG)
        known = moneyed.add_currency(currency, None, 10 ** exponent(currency), IsoCurrency(currency).currency_name)
    return moneyed.Money(to_decimal(minor, currency), known)


def exact_product(quantity: Decimal, unit_price: Decimal) -> Decimal:
    """Quantity times price with every digit kept: 418 x 0.000002 is 0.000836."""
    return _EXACT.multiply(quantity, unit_price)


def exact_sum(one: Decimal, other: Decimal) -> Decimal:
    """One amount and another with every digit kept."""
    return _EXACT.add(one, other)


def round_minor(amount: Decimal, currency: str) -> int:
    """An exact amount in whole minor units, ties to even: the one rounding of rated usage.

    Call it on a running total and subtract what was posted before, never on each event.
    """
    return int(amount.scaleb(exponent(currency), _EXACT).to_integral_value(ROUND_HALF_EVEN, _EXACT))


def unscaled(amount: Decimal, places: int) -> int:
    """An exact amount as an integer of units of 10 ** -places.

    It has no more places: 12.5 with 2 is 1250.
    """
    return int(amount.scaleb(places, _EXACT))


def share(total: int, part: int, whole: int) -> int:
    """round(total x part / whole), ties to even, in integers.

    The cumulative share of `total` reached at `part`. What is posted for a step is share(now) - share(before), so steps always sum to the
    total.
    """
    if whole <= 0:
        raise ValueError(f"whole must be positive, got {whole}")
    sign = -1 if (total < 0) != (part < 0) else 1
    quotient, remainder = divmod(abs(total) * abs(part), whole)
    if 2 * remainder > whole or (2 * remainder == whole and quotient % 2):
        quotient += 1
    return sign * quotient


def allocate(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` by weights so that the parts sum to it exactly.

    Each part is the step between two cumulative shares, the same rule as every schedule, so a part is within
    one minor unit of its exact share. Raises ValueError without a positive weight.
    """
    if any(weight < 0 for weight in weights):
        raise ValueError("weights must not be negative")
    whole = sum(weights)
    parts: list[int] = []
    reached = before = 0
    for weight in weights:
        reached += weight
        now = share(total, reached, whole)
        parts.append(now - before)
        before = now
    return parts
