"""A journal entry as other systems take it: its lines, its number, the one rate it counts at, and the pieces of one that is too long."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

from adapters.selected.mapping import Place
from ledger.amounts.money import to_decimal
from ledger.journal.references import Called, said

NUMBER_LENGTH_MAX = 21  # QuickBooks Online's limit on a DocNumber, the shortest of the targets'
_RATE_PLACES_MAX = 9


@dataclass(frozen=True, slots=True)
class EntryLine:
    """A movement on an account of the target: debit above zero, credit below.

    `net` is in minor units of the entry's currency, `functional` in the entity's.
    """

    place: Place
    role: str
    customer: str
    customer_name: str
    net: int
    functional: int

    @property
    def description(self) -> str:
        """What the line says in the other system."""
        return f"{self.place.name}, {self.customer_name}" if self.customer else self.place.name


@dataclass(frozen=True, slots=True)
class Entry:
    """A journal entry for another system. `rate` is functional currency for one of the currency, where they differ."""

    number: str
    entity: str
    dated_on: date
    currency: str
    functional_currency: str
    memo: str
    source: str
    lines: tuple[EntryLine, ...]
    rate: Decimal | None = None
    # what its document is called elsewhere, where it is of one
    called: Called = field(default_factory=dict)

    def amount(self, line: EntryLine) -> Decimal:
        """A line's amount without its side, in the entry's currency."""
        return to_decimal(abs(line.net), self.currency)


def entry_number(key: str, longest: int = NUMBER_LENGTH_MAX) -> str:
    """A number that is stable, unique and short enough for a target: TM-acme-2023-11."""
    plain = f"TM-{key}"
    if len(plain) <= longest and plain.isascii():
        return plain
    # five bits a character: of a hundred thousand numbers of eight, hardly two are the same
    digest = base64.b32encode(hashlib.sha256(key.encode()).digest()).decode().lower()
    return f"TM-{digest[: longest - 3]}"


def own_number(ref: str, longest: int = NUMBER_LENGTH_MAX) -> str:
    """A document's number for a target: its own where that fits, else one made of it."""
    return ref if len(ref) <= longest and ref.isascii() else entry_number(ref, longest)


def memo_of(source: str, called: Called, entity: str) -> str:
    """Where something that goes out comes from, with what that is called elsewhere."""
    return ", ".join([f"Tickmark {source}", *said(called), f"entity {entity}"])


def one_rate(amounts: Sequence[tuple[int, int]], currency: str, home: str) -> Decimal | None:
    """The shortest exchange rate by which each amount counts for exactly what was posted, however its halves are rounded.

    Amounts are pairs in minor units: in the currency, and in functional currency.
    """
    if not amounts or any(net == 0 for net, _ in amounts):
        return None
    net, counted = max(amounts, key=lambda pair: abs(pair[0]))
    exact = to_decimal(counted, home) / to_decimal(net, currency)
    cent = to_decimal(1, home)
    for places in range(1, _RATE_PLACES_MAX + 1):
        rate = round(exact, places)
        if rate > 0 and all(
            (to_decimal(net, currency) * rate).quantize(cent, rounding) == to_decimal(counted, home)
            for net, counted in amounts
            for rounding in (ROUND_HALF_UP, ROUND_HALF_EVEN)
        ):
            return rate
    return None


def split(entry: Entry, lines_max: int | None) -> list[Entry]:
    """An entry as several that each balance and have so many lines at most: a line at a boundary is cut in two.

    Entries in another currency are left whole: their parts would round apart.
    """
    if lines_max is None or len(entry.lines) <= lines_max or entry.rate is not None:
        return [entry]
    debits = [(line, line.net) for line in entry.lines if line.net > 0]
    credits_ = [(line, -line.net) for line in entry.lines if line.net < 0]
    parts: list[dict[EntryLine, int]] = [{}]
    while debits and credits_:
        (debit, owed), (credit, owing) = debits.pop(), credits_.pop()
        amount = min(owed, owing)
        if len({*parts[-1], debit, credit}) > lines_max:
            parts.append({})
        part = parts[-1]
        part[debit] = part.get(debit, 0) + amount
        part[credit] = part.get(credit, 0) - amount
        if owed > amount:
            debits.append((debit, owed - amount))
        if owing > amount:
            credits_.append((credit, owing - amount))
    return [
        replace(
            entry,
            memo=f"{entry.memo}, part {place} of {len(parts)}",
            lines=tuple(replace(line, net=net, functional=net) for line, net in part.items()),
        )
        for place, part in enumerate(parts, 1)
    ]
