"""What accounts in another currency than their entity's hold in both, by day, and what that makes each movement count for.

An account gives up its functional amount at the average of what came in by that day, whenever it arrived: on each day first
comes what accounts take in, then what passes from one to another, then what only leaves. So the order of arrival changes
nothing: what is posted into the past of an account changes what later movements gave up, and the difference is posted on
their days, by the rules that posted them, with debit and credit exchanged where they count for less.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from ledger.accounts.chart import CLEARING, ROLES
from ledger.accounts.rulebook import RULES
from ledger.amounts.money import share
from ledger.journal import currencies
from ledger.journal.currencies import Carrying
from ledger.journal.entry_rows import Posting
from ledger.journal.undone_later import UNDONE_BY, CameBack, came_back

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
_DECIDED_LESS = frozenset(
    rule.number for rule in RULES.values() if rule.code.startswith("decided.") and "_less_" in rule.code
)
# The exchange difference of what is undone is taken back, as cash comes: before any of it leaves.
_UNDONE = frozenset(rule.number for rule in RULES.values() if "_undone." in rule.code)
# So does what comes back of what went.
_CAME_BACK = frozenset(
    rule.number for rule in RULES.values() if rule.code.startswith(("refund_reversal.", "reinstated."))
)
_GAIN_UNDONE, _LOSS_UNDONE = (RULES[f"exchange.{result}_undone.cash"].number for result in ("gain", "loss"))
_GAINS = frozenset(rule.number for rule in RULES.values() if rule.code.startswith("exchange.gain."))
_LOSSES = frozenset(rule.number for rule in RULES.values() if rule.code.startswith("exchange.loss."))
# Revaluations are taken back on the next day: no average has a part in them.
REVALUING = tuple(rule.number for rule in RULES.values() if rule.code.startswith("revalue."))
_CLEARING = "currency_exchange"
# What leaves on a day and comes back that day counts for the same on both ways after so many rounds, or nearly.
_STEADY = 20
# What was settled is due again, as it was billed: the exchange difference of the settlement is taken back.
_DUE_AGAIN = RULES["payment.unapplied"].number
_BILLING = frozenset(rule.number for rule in RULES.values() if rule.code.startswith("invoice."))

# What is undone counts for what it had counted for, on both sides, whatever else comes to its day: no average has a part in it.
_AS_IT_WAS = frozenset(
    rule.number
    for rule in RULES.values()
    if rule.code in ("payment.reversed", "account.undone_out", "account.undone_in", "balance.taken_back")
    # what a recovery brought is told of another line, or comes back, at the rate it came in at
    or rule.code.startswith("decided.recovery")
    or (rule.code.startswith("recovery.") and rule.code.endswith(("_returned", "elsewhere")))
)

# What recoveries bring is apart, in bad debt, from what was lost: neither leaves at the other's average.
_OF_RECOVERIES = frozenset(
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


@dataclass(slots=True)
class _Moved:
    amount: int = 0
    functional: int = 0


@dataclass(slots=True)
class _Day:
    """What a day's postings moved, by rule and accounts, and the exchange differences of each account."""

    moved: dict[Key, _Moved] = field(default_factory=dict)
    by_account: dict[int, set[Key]] = field(default_factory=lambda: defaultdict(set))
    gains: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    losses: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    effects: dict[Pool, Carrying] = field(default_factory=lambda: defaultdict(Carrying))

    def add(self, key: Key, amount: int, functional: int, pools: tuple[Pool, Pool]) -> None:
        moved = self.moved.get(key)
        if moved is None:
            moved = self.moved[key] = _Moved()
            for account in key[1:]:
                self.by_account[account].add(key)
        moved.amount += amount
        moved.functional += functional
        for pool, sign in zip(pools, (1, -1), strict=True):
            self.effects[pool].net += sign * amount
            self.effects[pool].functional += sign * functional

    def correct(self, account: int, gain: int, loss: int) -> None:
        self.gains[account] += gain
        self.losses[account] += loss
        self.effects[account].functional += gain - loss


@dataclass(slots=True)
class _Later:
    """What is to count for more, or less: what came back, later or on the same day, of what left for more than it did."""

    came_back: Callable[[], Mapping[tuple[date, int, int, int], list[CameBack]]]
    told: dict[tuple[date, Key], list[tuple[date, Key, int]]] = field(default_factory=dict)
    known: Mapping[tuple[date, int, int, int], list[CameBack]] | None = None

    def on(self, day: date) -> Mapping[Key, int]:
        """What counts for more on a day, by rule and accounts."""
        found: Counter[Key] = Counter()
        for told in self.told.values():
            for back_on, key, more in told:
                if back_on == day:
                    found[key] += more
        return found

    def tell(self, day: date, key: Key, amount: int, more: int) -> None:
        """Say that an amount which left on a day leaves for so much more; what was said of it before does not count."""
        if not more and (day, key) not in self.told:
            return
        if self.known is None:
            self.known = self.came_back()
        debit, credit = key[1:] if amount > 0 else key[:0:-1]
        of_amount = _signed_by(amount, more)
        told = self.told[day, key] = []
        for back in self.known.get((day, key[0], debit, credit), ()):
            of, sign = key_of(back.rule, back.debit, back.credit)
            told.append((back.day, of, sign * share(of_amount, back.amount, abs(amount))))


@dataclass(slots=True)
class _Group:
    """Movements of one rule between two accounts on one day: those that are posted, and those that come."""

    key: Key
    posted: _Moved
    coming: list[int] = field(default_factory=list)
    given: bool = False
    amount: int = 0  # with what comes


def key_of(rule: int, debit: int, credit: int) -> tuple[Key, int]:
    """The key of a movement, and the sign its amount has there."""
    return ((rule, debit, credit), 1) if debit < credit else ((rule, credit, debit), -1)


class ForeignAccounts:
    """A customer's accounts with an entity in other currencies than its own, from a day on as far as anybody asked."""

    def __init__(
        self,
        connection: Connection,
        customer_id: int,
        functional: str,
        places: Mapping[int, Place],
        rate_of: Callable[[str, date], Converted],
        locked: Callable[[str], Converted],
        first_open: date,
        since: date,
        flush: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._flush = flush
        self._customer_id = customer_id
        self._functional = functional
        self._places = dict(places)
        self._rate_of = rate_of
        self._locked = locked
        self._first_open = first_open
        self._since = since
        self._days: dict[date, _Day] = {}
        self._ends: dict[Pool, Carrying] = defaultdict(Carrying)
        self._billed: dict[int, Carrying] = defaultdict(Carrying)
        self._active: dict[int, set[date]] = defaultdict(set)
        self._read(None, since)

    def know(self, account: int, place: Place) -> None:
        """An account that was made since."""
        self._places[account] = place

    def _pools(self, key: Key) -> tuple[Pool, Pool]:
        """What the two sides of a movement take from, or bring to."""
        if key[0] not in _OF_RECOVERIES:
            return key[1:]
        first, second = (-a if self._places[a].role == "bad_debt" else a for a in key[1:])
        return first, second

    def __len__(self) -> int:
        """How much is held in memory."""
        return len(self._places) + sum(len(day.moved) for day in self._days.values())

    # What is posted ----------------------------------------------------------------------------------------------

    def _read(self, since: date | None, until: date) -> None:
        """Read what is posted: all of it, day by day from `until` on; or between two days what was not kept by day."""
        rows = self._connection.execute(
            text(
                "select day, rule, debit_account, credit_account, sum(amount)::bigint, sum(functional_amount)::bigint from ("
                # what counts in a later month than it happened counts by its own date once that month has begun
                "  select case when e.effective_on > :first_open then e.effective_on else e.occurred_on end as happened,"
                "   p.rule, p.debit_account, p.credit_account, p.amount, p.functional_amount"
                "  from posting p join entry e using (customer_id, entry_id)"
                "  where p.customer_id = :customer_id and p.debit_account = any(:accounts) and p.rule <> all(:revaluing)) p "
                "cross join lateral (select case when happened >= :since then happened end as day) d "
                "where cast(:until as date) is null or (happened >= :since and happened < :until) group by 1, 2, 3, 4"
            ),
            {
                "customer_id": self._customer_id,
                "accounts": list(self._places),
                "revaluing": list(REVALUING),
                "first_open": self._first_open,
                "since": until if since is None else since,
                "until": None if since is None else until,
            },
        )
        whole = since is None
        for day, rule, debit, credit, amount, functional in rows:
            kept = _Day() if day is None else self._days.setdefault(day, _Day())
            if day is not None:
                for account in (debit, credit):
                    self._active[account].add(day)
            if rule in _GAINS:  # debits the account, or credits it where it is taken back
                back = self._places[debit].role == "fx_gain"
                kept.correct(credit if back else debit, -functional if back else functional, 0)
            elif rule in _LOSSES:
                back = self._places[credit].role == "fx_loss"
                kept.correct(debit if back else credit, 0, -functional if back else functional)
            else:
                key, sign = key_of(rule, debit, credit)
                kept.add(key, sign * amount, sign * functional, self._pools(key))
            if day is None:
                self._add_ends(kept)
        if whole:
            for kept in self._days.values():
                self._add_ends(kept)

    def _add_ends(self, day: _Day) -> None:
        for pool, effect in day.effects.items():
            self._ends[pool].net += effect.net
            self._ends[pool].functional += effect.functional
        for key, moved in day.moved.items():
            if key[0] in _BILLING:
                for account, sign in ((key[1], 1), (key[2], -1)):
                    self._billed[account].net += sign * moved.amount
                    self._billed[account].functional += sign * moved.functional

    def _due(self, account: int, amount: int) -> int:
        """What counts, of an invoice's receivable, for an amount: as what it billed does, whose lines were each rounded."""
        billed = self._billed[account]
        if amount <= billed.net:
            return share(billed.functional, amount, billed.net)
        return self._locked(self._places[account].subject)(amount)

    def _before(self, pool: Pool, on: date) -> Carrying:
        """What an account, or a part of it, holds before a day."""
        end = self._ends[pool]
        found = Carrying(end.net, end.functional)
        for day in self._active[abs(pool)]:
            if day >= on:
                effect = self._days[day].effects[pool]
                found.net -= effect.net
                found.functional -= effect.functional
        return found

    def left_at(self, account: int, on: date, amount: int) -> int:
        """What an amount counted for that left an account on a day: at the average of what came in by then."""
        if on < self._since:
            self._read(on, self._since)
            self._since = on
        held = self._before(account, on)
        kept = self._days.get(on) or _Day()
        sign = ROLES[self._places[account].role].sign
        for key in kept.by_account.get(account, ()):
            side = 1 if account == key[1] else -1
            moved = kept.moved[key]
            if side * sign * moved.amount > 0 or key[0] in _UNDONE:
                held.net += side * moved.amount
                held.functional += side * moved.functional
        released, functional = held.released(-sign * amount)
        return functional + self._rate_of(self._places[account].currency, on)(amount - released)

    # What is to be posted ----------------------------------------------------------------------------------------

    def reckon(
        self, on: date, coming: Sequence[Coming], cleared: Mapping[str, int]
    ) -> tuple[list[int], dict[date, Change]]:
        """What movements of a day count for, and by how much what is posted counts for more or less, by day.

        `cleared` is what the entity's own currency brings to clearing accounts, by their subjects. Nothing is changed where
        a rate is missing.
        """
        if on < self._since:
            self._read(on, self._since)
            self._since = on
        values = [0] * len(coming)
        deltas: dict[Pool, Carrying] = defaultdict(Carrying)
        later = _Later(self._came_back)
        changes: dict[date, Change] = {}
        totals: dict[date, Change] = {}
        for day in sorted({on, *(day for day in self._days if day > on)}):
            first = day == on
            if not first and not later.on(day) and not self._concerned(day, deltas):
                continue
            total = self._walk(day, coming if first else (), deltas, cleared if first else {}, later)
            self._carry_on(coming if first else (), total, deltas)
            totals[day] = total
            changes[day] = self._share_out(total, coming, values, day) if first else total
        for day, total in totals.items():
            self._keep(day, coming if day == on else (), total)
        return values, {day: change for day, change in changes.items() if change}

    def _came_back(self) -> Mapping[tuple[date, int, int, int], list[CameBack]]:
        self._flush()
        return came_back(self._connection, self._customer_id, self._first_open)

    def take_back(self, on: date, postings: Sequence[Posting]) -> dict[date, Change]:
        """What taking back postings, exactly as they were, leaves to correct, by day: what counts for them now is more or less."""
        coming: list[Coming] = []
        back = Change(defaultdict(int), defaultdict(int), defaultdict(int))
        for p in postings:
            key, sign = key_of(p.rule, p.debit_account, p.credit_account)
            if p.rule in _GAINS:
                taken = self._places[p.debit_account].role == "fx_gain"
                account = p.credit_account if taken else p.debit_account
                back.gains[account] += -p.functional_amount if taken else p.functional_amount
            elif p.rule in _LOSSES:
                taken = self._places[p.credit_account].role == "fx_loss"
                account = p.debit_account if taken else p.credit_account
                back.losses[account] += -p.functional_amount if taken else p.functional_amount
            elif p.amount:
                coming.append(_taken_back(key, sign * p.amount, p.functional_amount))
            else:
                back.moved[key] += sign * p.functional_amount
        _, changes = self.reckon(on, coming, {})
        left = changes.setdefault(on, Change())
        left.moved = {key: left.moved.get(key, 0) - back.moved.get(key, 0) for key in {*left.moved, *back.moved}}
        left.gains = {a: left.gains.get(a, 0) - back.gains.get(a, 0) for a in {*left.gains, *back.gains}}
        left.losses = {a: left.losses.get(a, 0) - back.losses.get(a, 0) for a in {*left.losses, *back.losses}}
        return {day: change for day, change in changes.items() if change}

    def _concerned(self, day: date, deltas: Mapping[Pool, Carrying]) -> list[int]:
        kept = self._days.get(day) or _Day()
        return [abs(p) for p, d in deltas.items() if (d.net or d.functional) and abs(p) in kept.by_account]

    def _keep(self, day: date, coming: Sequence[Coming], total: Change) -> None:
        kept = self._days.setdefault(day, _Day())
        added = _Day()
        for item in coming:
            added.add(item.key, item.amount, 0, self._pools(item.key))
        for key, functional in total.moved.items():
            added.add(key, 0, functional, self._pools(key))
        for account in {*total.gains, *total.losses}:
            added.correct(account, total.gains.get(account, 0), total.losses.get(account, 0))
        for key, moved in added.moved.items():
            kept.add(key, moved.amount, moved.functional, self._pools(key))
        for account in added.gains:
            kept.correct(account, added.gains[account], added.losses[account])
        for pool in added.effects:
            self._active[abs(pool)].add(day)
        self._add_ends(added)

    def _share_out(self, total: Change, coming: Sequence[Coming], values: list[int], day: date) -> Change:
        """Give each movement that comes what it counts for; what is left are corrections of what is posted."""
        left = dict(total.moved)
        by_key: dict[Key, list[int]] = defaultdict(list)
        for index, item in enumerate(coming):
            by_key[item.key].append(index)
        posted = self._days.get(day, _Day()).moved
        for key, indexes in by_key.items():
            free = [index for index in indexes if coming[index].functional is None]
            for index in indexes:
                decided = coming[index].functional
                if decided is not None:
                    values[index] = decided
                    left[key] -= _signed(coming[index], decided)
            if not free:
                last = coming[indexes[-1]]
                whole = values[indexes[-1]] + _signed(last, left[key])
                if whole >= 0 and not last.reverses:
                    values[indexes[-1]], left[key] = whole, 0
                continue
            before = posted.get(key, _Moved())
            amount = before.amount + sum(coming[index].amount for index in indexes)
            functional = before.functional + total.moved[key]
            for index in free:
                item = coming[index]
                sign = 1 if item.amount > 0 else -1
                value = 0
                if amount and sign * amount > 0:
                    value = abs(share(functional, abs(item.amount), abs(amount)))
                if index == free[-1] and sign * left[key] >= 0 and abs(sign * left[key] - value) <= 1:
                    value = sign * left[key]
                values[index] = value
                left[key] -= sign * value
        return Change(left, total.gains, total.losses)

    def _walk(
        self,
        day: date,
        coming: Sequence[Coming],
        deltas: dict[Pool, Carrying],
        cleared: Mapping[str, int],
        later: _Later,
    ) -> Change:
        """A day with and without what comes or came before it (`deltas`): the differences.

        What came back counts for more or less as what it had left for does (`later`), that very day, too.
        """
        back = later.on(day)
        for _ in range(_STEADY):
            change = self._walk_once(day, coming, deltas, cleared, later, back)
            before, back = back, later.on(day)
            if back == before:
                break
        return change

    def _walk_once(
        self,
        day: date,
        coming: Sequence[Coming],
        deltas: dict[Pool, Carrying],
        cleared: Mapping[str, int],
        later: _Later,
        back: Mapping[Key, int],
    ) -> Change:
        kept = self._days.get(day) or _Day()
        groups = self._ordered(self._groups(day, coming, deltas, back))
        old = {pool: self._before(pool, day) for group in groups for pool in self._pools(group.key)}
        new = {
            pool: Carrying(held.net + deltas[pool].net, held.functional + deltas[pool].functional)
            for pool, held in old.items()
        }
        change = Change(defaultdict(int), defaultdict(int), defaultdict(int))
        clearing: dict[str, int] = defaultdict(int, cleared)
        # exchange differences of what is undone come first, as those that are posted do
        for item in coming:
            self._take_difference_back(item, new, change)
        for key, more in back.items():
            self._put_difference_back(key, more, kept, new, change)
        for group in groups:
            was, then = self._valued(group, (), old, old, day)
            items = [coming[index] for index in group.coming]
            is_, now = self._valued(group, items, new, old, day)
            functional = group.posted.functional + is_ - was
            more = 0 if group.given else back.get(group.key, 0)
            if not group.amount and not _at_rate(group.key[0], items):
                functional = 0  # all of it was taken back
            self._emptied(group.key, group.posted.amount, old, group.posted.functional, then)
            functional = self._emptied(group.key, group.amount, new, functional + more, now)
            self._move(group, old, group.posted.amount, group.posted.functional, then)
            self._move(group, new, group.amount, functional, now)
            self._let_come_back(group, functional, day, later)
            change.moved[group.key] += functional - group.posted.functional
            for account, sign in ((group.key[1], 1), (group.key[2], -1)):
                place = self._places[account]
                before, after = (_results(group.key[0], c.get(account, 0)) for c in (then, now))
                change.gains[account] += after[0] - before[0]
                change.losses[account] += after[1] - before[1]
                if place.role == _CLEARING:
                    clearing[place.subject] += sign * (functional - group.posted.functional)
        for subject, left in clearing.items():
            self._clear(subject, left, kept, change)
        return change

    @staticmethod
    def _let_come_back(group: _Group, functional: int, day: date, later: _Later) -> None:
        """Tell the days on which something came back of what leaves for more or less than it did."""
        posted = group.posted
        if group.given or not posted.amount or group.key[0] not in UNDONE_BY:
            return
        more = share(functional, posted.amount, group.amount) - posted.functional if group.amount else 0
        later.tell(day, group.key, posted.amount, more)

    def _put_difference_back(
        self, key: Key, more: int, kept: _Day, held: Mapping[Pool, Carrying], change: Change
    ) -> None:
        """Let cash that came back count for what it does: what more it came back for, the exchange difference is less by."""
        for account, sign in ((key[1], 1), (key[2], -1)):
            if not more or self._places[account].role != "cash":
                continue
            of_account = [known for known in kept.by_account[account] if known[0] in _UNDONE]
            undone = next((k for k in of_account if k[0] == _LOSS_UNDONE), next(iter(of_account), None))
            if undone is None:
                continue
            change.moved[undone] -= sign * more * (1 if undone[1] == account else -1)
            held[account].functional -= sign * more

    @staticmethod
    def _take_difference_back(item: Coming, held: Mapping[int, Carrying], change: Change) -> None:
        """Let what is undone count for what its account counts it for: the exchange difference of what it undoes is taken back."""
        if item.worth is None or not (more := _difference(item)):
            return
        worth = item.worth
        # what goes again after it came back has the difference again that was taken back of it
        loss = (more > 0) == worth.comes
        undone, sides = (
            (_LOSS_UNDONE, (worth.account, worth.losses)) if loss else (_GAIN_UNDONE, (worth.gains, worth.account))
        )
        key, sign = key_of(undone, *sides)
        change.moved[key] += sign * (abs(more) if worth.comes else -abs(more))
        held[item.worth.account].functional += more

    def _groups(
        self, day: date, coming: Sequence[Coming], deltas: Mapping[Pool, Carrying], back: Iterable[Key]
    ) -> list[_Group]:
        """The day's movements that have to do with what comes or came before it, by way of the accounts they share."""
        kept = self._days.get(day) or _Day()
        groups: dict[tuple[Key, bool], _Group] = {}
        agenda = self._concerned(day, deltas) + [account for key in back for account in key[1:]]
        for index, item in enumerate(coming):
            # what its own document decides: apart from what is posted, which is told by averages
            given = item.worth is not None or (
                item.key[0] not in ENTERED_AT_RATE
                and not item.reverses
                and (item.entered or item.functional is not None)
            )
            group = groups.get((item.key, given))
            if group is None:
                posted = _Moved() if given else kept.moved.get(item.key, _Moved())
                group = groups[item.key, given] = _Group(item.key, posted, given=given, amount=posted.amount)
            group.coming.append(index)
            group.amount += item.amount
            agenda += item.key[1:]
        seen: set[int] = set()
        while agenda:
            account = agenda.pop()
            if account in seen:
                continue
            seen.add(account)
            for key in kept.by_account.get(account, ()):
                if (key, False) not in groups:
                    groups[key, False] = _Group(key, kept.moved[key], amount=kept.moved[key].amount)
                agenda += key[1:]
        return list(groups.values())

    def _ordered(self, groups: Iterable[_Group]) -> list[_Group]:
        """What comes in, what passes from one account to another, what leaves: an order that no arrival decides."""

        def rank(group: _Group) -> tuple[Any, ...]:
            sign = group.amount or group.posted.amount
            debit, credit = group.key[1:] if sign >= 0 else group.key[:0:-1]
            roles = self._places[debit].role, self._places[credit].role
            leaving = (roles[0] not in CLEARING and ROLES[roles[0]].sign < 0) + (
                roles[1] not in CLEARING and ROLES[roles[1]].sign > 0
            )
            if group.key[0] in _UNDONE or group.key[0] in _CAME_BACK:
                leaving = 0
            return leaving, group.key[0], self._places[debit], self._places[credit], group.given

        return sorted(groups, key=rank)

    def _valued(
        self,
        group: _Group,
        items: Sequence[Coming],
        held: Mapping[Pool, Carrying],
        before: Mapping[Pool, Carrying],
        day: date,
    ) -> tuple[int, dict[int, int]]:
        """What a group counts for by what its accounts hold before it, and by how much each of them is corrected.

        With what comes (`items`), or without. `before` is what they held without.
        """
        posted = group.posted
        amount = posted.amount + sum(item.amount for item in items)
        if any(item.worth is not None for item in items):
            return sum(_signed(item, _entered(item)) for item in items), {}
        if group.key[0] in _AS_IT_WAS:
            return posted.functional + sum(_signed(item, _entered(item)) for item in items), {}
        entered = _at_rate(group.key[0], items)
        if group.given and not entered:
            return sum(_signed(item, item.functional or 0) for item in items), {}
        fixed = posted.functional + sum(_signed(item, _entered(item)) for item in items) if entered else 0
        if amount == 0:
            return fixed, {}
        sign = 1 if amount > 0 else -1
        debit, credit = group.key[1:] if sign > 0 else group.key[:0:-1]
        of_debit, of_credit = self._pools(group.key)[::sign]
        currency = self._places[debit].currency

        def at_day(part: int) -> int:
            return self._rate_of(currency, day)(part)

        def at_rate(part: int) -> int:
            if entered:
                return share(sign * fixed, part, abs(amount))
            value = posted.functional
            if posted.amount and self._leaves(posted, group.key, before):
                value = _signed_by(posted.amount, at_day(abs(posted.amount)))
            value += sum(_signed(item, item.at_rate(abs(item.amount))) for item in items)
            return share(sign * value, part, abs(amount))

        if group.key[0] == _DUE_AGAIN:
            due = self._due(debit, abs(amount))
            return fixed, {debit: due - sign * fixed}
        found = currencies.value(
            abs(amount),
            at_rate,
            (self._places[debit].role, held[of_debit]),
            (self._places[credit].role, held[of_credit]),
            at_day=at_day,
            entered=entered,
            decided=group.key[0] in _DECIDED_LESS,
        )
        return sign * found.functional, {debit: found.debit_correction, credit: found.credit_correction}

    def _leaves(self, posted: _Moved, key: Key, held: Mapping[Pool, Carrying]) -> bool:
        first, second = self._pools(key)
        return bool(held[first].released(posted.amount)[0] or held[second].released(-posted.amount)[0])

    def _emptied(
        self,
        key: Key,
        amount: int,
        held: Mapping[Pool, Carrying],
        functional: int,
        corrections: dict[int, int],
    ) -> int:
        """What a group counts for so that an account it empties holds nothing in either currency."""
        for account, other, sign in ((key[1], key[2], 1), (key[2], key[1], -1)):
            role = self._places[account].role
            if not amount or role in CLEARING or not currencies.on_balance_sheet(role):
                continue
            if held[account].net + sign * amount:
                continue
            left = held[account].functional + sign * functional + corrections.get(account, 0)
            if not left:
                continue
            if key[0] in ENTERED_AT_RATE or currencies.on_balance_sheet(self._places[other].role):
                corrections[account] = corrections.get(account, 0) - left
            else:  # income and expense take the value of what stands against them
                functional -= sign * left
        return functional

    def _move(
        self, group: _Group, held: dict[Pool, Carrying], amount: int, functional: int, corrections: Mapping[int, int]
    ) -> None:
        for pool, sign in zip(self._pools(group.key), (1, -1), strict=True):
            held[pool].net += sign * amount
            held[pool].functional += sign * functional + corrections.get(abs(pool), 0)

    def _clear(self, subject: str, left: int, kept: _Day, change: Change) -> None:
        """Realise what exchanging one currency for another leaves on the clearing accounts of a pair: they never hold anything."""
        if not left:
            return
        found = [
            account
            for account, place in self._places.items()
            if place.role == _CLEARING and place.subject == subject and place.currency != self._functional
        ]
        into, undone = currencies.read_clearing(subject)
        account = next((a for a in found if self._places[a].currency == into), found[0])
        gain, loss = kept.gains.get(account, 0), kept.losses.get(account, 0)
        realised = gain - loss - left
        # what is undone takes back the loss of the exchange, or its gain
        gained, lost = (min(realised, 0), -max(realised, 0)) if undone else (max(realised, 0), max(-realised, 0))
        change.gains[account] += gained - gain
        change.losses[account] += lost - loss

    def _carry_on(self, coming: Sequence[Coming], change: Change, deltas: dict[Pool, Carrying]) -> None:
        for item in coming:
            into, out_of = self._pools(item.key)
            deltas[into].net += item.amount
            deltas[out_of].net -= item.amount
        for key, functional in change.moved.items():
            into, out_of = self._pools(key)
            deltas[into].functional += functional
            deltas[out_of].functional -= functional
        for account, gain in change.gains.items():
            deltas[account].functional += gain
        for account, loss in change.losses.items():
            deltas[account].functional -= loss


def _taken_back(key: Key, amount: int, functional: int) -> Coming:
    return Coming(key, amount, lambda part: share(functional, part, abs(amount)), functional, reverses=True)


def _results(rule: int, correction: int) -> tuple[int, int]:
    """The gain and the loss that correct an account; where a settlement is taken back, those of it, below zero."""
    if rule == _DUE_AGAIN:
        return min(correction, 0), -max(correction, 0)
    return max(correction, 0), max(-correction, 0)


def _signed_by(amount: int, functional: int) -> int:
    return functional if amount > 0 else -functional


def _signed(item: Coming, functional: int) -> int:
    return _signed_by(item.amount, functional)


def _difference(item: Coming) -> int:
    """What the account of what is undone holds more than it is entered at; below zero for less."""
    if item.worth is None:
        return 0
    more = item.worth.functional - _entered(item)
    return more if item.worth.comes else -more


def _entered(item: Coming) -> int:
    return item.at_rate(abs(item.amount)) if item.functional is None else item.functional


def _at_rate(rule: int, items: Sequence[Coming]) -> bool:
    return rule in ENTERED_AT_RATE or any(item.entered for item in items)
