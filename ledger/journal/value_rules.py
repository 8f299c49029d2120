"""How rules value what they move in another currency, and what is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.accounts.rulebook import RULES
from ledger.amounts.money import share

# What these rules move counts at the rate of its own document, whatever it settles: an invoice's rate is locked.
ENTERED_AT_RATE = frozenset(
    rule.number
    for rule in RULES.values()
    if rule.code.startswith(("invoice.", "recovery.", "receipt.", "credit_void.", "refund_reversal.", "reinstated."))
    or "customer_clearing" in (rule.debit, rule.credit)
    or "_undone." in rule.code
    or rule.code.startswith("decided.recovery")
    or rule.code
    in (
        "payment.received",
        "payment.unapplied",
        "payment.unapplied_exchanged",
        "payment.put_back",
        "payment.reversed",
        "payment.reversed_paid",
        "refund.earned",
        "refund.earned_exchanged",
        "refund.unbilled",
        "refund.unbilled_exchanged",
        "dispute.unbilled",
        "dispute.unbilled_exchanged",
        "dispute.earned_exchanged",
        "refund.explained_earned",
        "dispute.earned",
        "credit.deferred",
        "credit.unbilled",
        "credit.tax",
        "credit.tax_to_balance",
        "credit.tax_base",
        "credit.deferred_to_balance",
        "credit.unbilled_to_balance",
        "credit.revenue",
        "credit.revenue_to_balance",
        "shortfall.used",
        "shortfall.earned",
    )
)
DECIDED_LESS = frozenset(
    rule.number for rule in RULES.values() if rule.code.startswith("decided.") and "_less_" in rule.code
)
# The exchange difference of what is undone is taken back, as cash comes: before any of it leaves.
UNDONE = frozenset(rule.number for rule in RULES.values() if "_undone." in rule.code)
# So does what comes back of what went.
CAME_BACK = frozenset(
    rule.number for rule in RULES.values() if rule.code.startswith(("refund_reversal.", "reinstated."))
)
GAIN_UNDONE, LOSS_UNDONE = (RULES[f"exchange.{result}_undone.cash"].number for result in ("gain", "loss"))
GAINS = frozenset(rule.number for rule in RULES.values() if rule.code.startswith("exchange.gain."))
LOSSES = frozenset(rule.number for rule in RULES.values() if rule.code.startswith("exchange.loss."))
# Revaluations are taken back on the next day: no average has a part in them.
REVALUING = tuple(rule.number for rule in RULES.values() if rule.code.startswith("revalue."))
EXCHANGE = "currency_exchange"
# What leaves on a day and comes back that day counts for the same on both ways after so many rounds, or nearly.
STEADY = 20
# What was settled is due again, as it was billed: the exchange difference of the settlement is taken back.
DUE_AGAIN = RULES["payment.unapplied"].number
BILLING = frozenset(rule.number for rule in RULES.values() if rule.code.startswith("invoice."))

# What is undone counts for what it had counted for, on both sides, whatever else comes to its day: no average has a part in it.
AS_IT_WAS = frozenset(
    rule.number
    for rule in RULES.values()
    if rule.code in ("payment.reversed", "account.undone_out", "account.undone_in", "balance.taken_back")
    # what a recovery brought is told of another line, or comes back, at the rate it came in at
    or rule.code.startswith("decided.recovery")
    or (rule.code.startswith("recovery.") and rule.code.endswith(("_returned", "elsewhere")))
)

# What recoveries bring is apart, in bad debt, from what was lost: neither leaves at the other's average.
OF_RECOVERIES = frozenset(
    rule.number for rule in RULES.values() if rule.code.startswith(("recovery.", "decided.recovery"))
)

# A rule and two accounts, the smaller number first: an amount above 0 debits that one.
Key = tuple[int, int, int]
# What an average is of: an account by its number, or below zero what recoveries brought of it.
Pool = int
# An amount of one currency in the entity's.
Converted = Callable[[int], int]


class Place(NamedTuple):
    """What the history needs of an account: whose it is and what it is about, in an order that no arrival decides."""

    role: str
    currency: str
    subject: str
    product: str


@dataclass(frozen=True, slots=True)
class Coming:
    """A movement that is to be posted: its amount is signed as `Key` says.

    `at_rate` converts at its document's rate. `functional` is what it counts for where that is decided already; a
    reversal counts for what it takes back (`reverses`), and what is then too much or too little is a correction.
    Of what is undone `worth` is what the account it is of counts it for; what that is more or less takes a difference back.
    """

    key: Key
    amount: int
    at_rate: Converted
    functional: int | None = None
    entered: bool = False
    reverses: bool = False
    worth: Worth | None = None


class Worth(NamedTuple):
    """What an account counts what comes to it for, or goes from it, and the accounts of gains and losses of its currency."""

    account: int
    functional: int
    gains: int
    losses: int
    comes: bool


@dataclass(slots=True)
class Change:
    """What postings of a day count for more or less: by rule and accounts, and as gains and losses by account."""

    moved: dict[Key, int] = field(default_factory=dict)
    gains: dict[int, int] = field(default_factory=dict)
    losses: dict[int, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self.moved.values()) or any(self.gains.values()) or any(self.losses.values())


def key_of(rule: int, debit: int, credit: int) -> tuple[Key, int]:
    """The key of a movement, and the sign its amount has there."""
    return ((rule, debit, credit), 1) if debit < credit else ((rule, credit, debit), -1)


def signed_by(amount: int, functional: int) -> int:
    """What an amount counts for, below zero where it is."""
    return functional if amount > 0 else -functional


def signed(item: Coming, functional: int) -> int:
    """What a movement counts for, signed as its key says."""
    return signed_by(item.amount, functional)


def counted(item: Coming) -> int:
    """What a movement is entered at: what was decided, else by its document's rate."""
    return item.at_rate(abs(item.amount)) if item.functional is None else item.functional


def difference(item: Coming) -> int:
    """What the account of what is undone holds more than it is entered at; below zero for less."""
    if item.worth is None:
        return 0
    more = item.worth.functional - counted(item)
    return more if item.worth.comes else -more


def is_at_rate(rule: int, items: Sequence[Coming]) -> bool:
    """Whether what is moved enters at its document's rate, whatever it leaves for."""
    return rule in ENTERED_AT_RATE or any(item.entered for item in items)


def results(rule: int, correction: int) -> tuple[int, int]:
    """The gain and the loss that correct an account; where a settlement is taken back, those of it, below zero."""
    if rule == DUE_AGAIN:
        return min(correction, 0), -max(correction, 0)
    return max(correction, 0), max(-correction, 0)


def taken_back(key: Key, amount: int, functional: int) -> Coming:
    """The movement that takes back another, as it counted."""
    return Coming(key, amount, lambda part: share(functional, part, abs(amount)), functional, reverses=True)
