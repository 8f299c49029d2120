"""Currencies: exchange rates, and what an amount in another currency counts for in the entity's own.

Amounts enter an account at the document's rate and leave it at the average at which they came in, so that an emptied
account holds nothing in either currency; what is then left over is an exchange gain or loss (ASC 830-20-35-1).
Contract liabilities therefore leave at the rate of the invoice that brought them (IFRIC 22, ASC 830-10-45-18).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext
from fractions import Fraction

from sqlalchemy import Connection, text

from ledger.accounts.chart import ROLES
from ledger.amounts.money import EXACT_DIGITS, exponent, share
from ledger.documents import models
from ledger.errors import ConflictingDocument, Refused, UnknownReference

# What a currency without a rate of its own is converted through: the ECB quotes every currency against the euro.
_BRIDGE = "EUR"


def find_rate(
    connection: Connection, base: str, quote: str, on: date, known_at: datetime | None = None
) -> Fraction | None:
    """Units of `quote` for one of `base` by the latest rate on or before a day, or None where there is none.

    A rate of the pair itself is taken first, in either direction, then one through the euro; only those posted by
    `known_at`, where that is given.
    """
    direct = _latest(connection, base, quote, on, known_at)
    if direct is not None:
        return direct
    if _BRIDGE in (base, quote):
        return None
    legs = _latest(connection, base, _BRIDGE, on, known_at), _latest(connection, _BRIDGE, quote, on, known_at)
    return None if legs[0] is None or legs[1] is None else legs[0] * legs[1]


_KNOWN = """ and exists (select from document d where d.customer_id = 0 and d.type = 'fx_rate' and d.dated_on = r.date
    and d.posted_at <= :known_at and d.body::json ->> 'base' = r.base and d.body::json ->> 'quote' = r.quote)"""


def _latest(connection: Connection, base: str, quote: str, on: date, known_at: datetime | None) -> Fraction | None:
    row = connection.execute(
        text(
            "select r.base, r.rate from fx_rate r where (r.base, r.quote) in ((:base, :quote), (:quote, :base))"
            f" and r.date <= :on{_KNOWN if known_at else ''} order by r.date desc, r.base = :base desc limit 1"
        ),
        {"base": base, "quote": quote, "on": on} | ({"known_at": known_at} if known_at else {}),
    ).first()
    if row is None:
        return None
    return Fraction(row.rate) if row.base == base else 1 / Fraction(row.rate)


def require_rate(connection: Connection, base: str, quote: str, on: date, known_at: datetime | None = None) -> Fraction:
    """The rate of a pair on a day. Raises UnknownReference where the books hold none."""
    rate = find_rate(connection, base, quote, on, known_at)
    if rate is None:
        raise UnknownReference(
            "currency", base, f"expected an fx_rate of {base}/{quote} on or before {on} to be posted before"
        )
    return rate


def convert(amount: int, base: str, quote: str, rate: Fraction) -> int:
    """An amount in minor units of one currency in minor units of another, ties to even."""
    exact = amount * rate * Fraction(10) ** (exponent(quote) - exponent(base))
    return round(exact)


@dataclass(slots=True)
class Carrying:
    """What an account holds, debits less credits: in its currency, and in the entity's."""

    net: int = 0
    functional: int = 0

    def released(self, change: int) -> tuple[int, int]:
        """(amount, functional amount) of what a change takes out of the account, both 0 or more; at the average."""
        if not self.net or (change > 0) == (self.net > 0):
            return 0, 0
        amount = min(abs(change), abs(self.net))
        return amount, abs(share(self.functional, amount, abs(self.net)))


@dataclass(frozen=True, slots=True)
class Valued:
    """A posting's functional amount, and by how much each side must still be corrected for the exchange rate.

    A correction above zero debits the account, one below zero credits it.
    """

    functional: int
    debit_correction: int = 0
    credit_correction: int = 0


def on_balance_sheet(role: str) -> bool:
    """Whether what a role holds has a value of its own; income and expense take the value of what stands against them."""
    return ROLES[role].kind in ("asset", "liability")


def value(
    amount: int,
    at_rate: Callable[[int], int],
    debit: tuple[str, Carrying],
    credit: tuple[str, Carrying],
    *,
    at_day: Callable[[int], int],
    entered: bool,
    decided: bool = False,
) -> Valued:
    """What moving an amount between two accounts, each a role and what it holds, counts for.

    `at_rate` converts at the document's rate. `entered` says that the amount enters at that rate whatever it leaves
    (an invoice, money coming in); otherwise it enters at what it leaves for. Money that is not there leaves `at_day`, at
    the rate of the day. Where it is `decided` otherwise, what stood beside revenue leaves as it came. Tax that is taken back at its
    own rate leaves at that, so that the tax of other invoices stays what it is.
    """
    leaves: dict[str, int] = {}
    for side, (role, carrying), change in (("debit", debit, amount), ("credit", credit, -amount)):
        if entered and role == "tax_payable":  # what is owed of an invoice is, whatever becomes of others
            continue
        released, functional = carrying.released(change)
        if (role, side) == ("cash", "credit"):
            leaves[side] = functional + (at_day(amount - released) if released < amount else 0)
        elif released:
            leaves[side] = functional + (at_rate(amount - released) if released < amount else 0)
    # Income and expense take the value of what stands against them.
    if len(leaves) == 2:
        for side, (role, _) in (("debit", debit), ("credit", credit)):
            if on_balance_sheet(role) == decided and len(leaves) == 2:
                del leaves[side]
    if entered or not leaves:
        functional = at_rate(amount)
    else:
        functional = leaves["debit"] if "debit" in leaves else leaves["credit"]
    corrections = {
        side: leaves.get(side, functional) - functional
        for side, (role, _) in (("debit", debit), ("credit", credit))
        if on_balance_sheet(role)
    }
    return Valued(functional, corrections.get("debit", 0), -corrections.get("credit", 0))


_UNDONE = "/undone"


def clearing_subject(from_currency: str, into: str, *, undone: bool = False) -> str:
    """What a clearing account is about through which one currency is exchanged for another; or what was so exchanged is `undone`."""
    return f"currency:{from_currency}>{into}{_UNDONE * undone}"


def read_clearing(subject: str) -> tuple[str, bool]:
    """(the currency exchanged into, whether an exchange is undone) of what a clearing account is about."""
    into = subject.rpartition(">")[2]
    return into.removesuffix(_UNDONE), into.endswith(_UNDONE)


def as_decimal(rate: Fraction) -> Decimal:
    """A rate as the database keeps it."""
    with localcontext() as context:
        context.prec = EXACT_DIGITS
        return Decimal(rate.numerator) / Decimal(rate.denominator)


def add_rate(connection: Connection, doc: models.FxRate) -> None:
    """Keep a rate. Raises Refused for a currency against itself, ConflictingDocument where the day has another."""
    if doc.base == doc.quote:
        raise Refused("quote", doc.quote, f"expected another currency than base ({doc.base})")
    found = connection.execute(
        text(
            "select base, rate from fx_rate where date = :date and (base, quote) in ((:base, :quote), (:quote, :base))"
        ),
        {"date": doc.date, "base": doc.base, "quote": doc.quote},
    ).first()
    if found is not None:
        raise ConflictingDocument(
            "rate", doc.rate, f"the rate of {doc.base}/{doc.quote} on {doc.date} is in the books already"
        )
    connection.execute(
        text("insert into fx_rate (base, quote, date, rate) values (:base, :quote, :date, :rate)"),
        {"base": doc.base, "quote": doc.quote, "date": doc.date, "rate": doc.rate},
    )
