"""What accounts in another currency hold, by day, in both currencies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import Connection, text

from ledger.accounts.chart import ROLES
from ledger.amounts.money import share
from ledger.journal.currencies import Carrying
from ledger.journal.value_rules import (
    BILLING,
    GAINS,
    LOSSES,
    OF_RECOVERIES,
    REVALUING,
    UNDONE,
    Change,
    Coming,
    Converted,
    Key,
    Place,
    Pool,
    key_of,
)


@dataclass(slots=True)
class Moved:
    """What was moved, in both currencies."""

    amount: int = 0
    functional: int = 0


@dataclass(slots=True)
class Day:
    """What a day's postings moved, by rule and accounts, and the exchange differences of each account."""

    moved: dict[Key, Moved] = field(default_factory=dict)
    by_account: dict[int, set[Key]] = field(default_factory=lambda: defaultdict(set))
    gains: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    losses: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    effects: dict[Pool, Carrying] = field(default_factory=lambda: defaultdict(Carrying))

    def add(self, key: Key, amount: int, functional: int, pools: tuple[Pool, Pool]) -> None:
        """Add what a rule moved between two accounts."""
        moved = self.moved.get(key)
        if moved is None:
            moved = self.moved[key] = Moved()
            for account in key[1:]:
                self.by_account[account].add(key)
        moved.amount += amount
        moved.functional += functional
        for pool, sign in zip(pools, (1, -1), strict=True):
            self.effects[pool].net += sign * amount
            self.effects[pool].functional += sign * functional

    def correct(self, account: int, gain: int, loss: int) -> None:
        """Add an exchange difference of an account."""
        self.gains[account] += gain
        self.losses[account] += loss
        self.effects[account].functional += gain - loss


@dataclass(slots=True)
class Group:
    """Movements of one rule between two accounts on one day: those that are posted, and those that come."""

    key: Key
    posted: Moved
    coming: list[int] = field(default_factory=list)
    given: bool = False
    amount: int = 0  # with what comes


class ForeignDays:
    """What is posted of a customer's accounts in other currencies, day by day from a day on."""

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
        self._days: dict[date, Day] = {}
        self._ends: dict[Pool, Carrying] = defaultdict(Carrying)
        self._billed: dict[int, Carrying] = defaultdict(Carrying)
        self._active: dict[int, set[date]] = defaultdict(set)
        self._read(None, since)

    def know(self, account: int, place: Place) -> None:
        """An account that was made since."""
        self._places[account] = place

    def _pools(self, key: Key) -> tuple[Pool, Pool]:
        """What the two sides of a movement take from, or bring to."""
        if key[0] not in OF_RECOVERIES:
            return key[1:]
        first, second = (-a if self._places[a].role == "bad_debt" else a for a in key[1:])
        return first, second

    def __len__(self) -> int:
        """How much is held in memory."""
        return len(self._places) + sum(len(day.moved) for day in self._days.values())

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
            kept = Day() if day is None else self._days.setdefault(day, Day())
            if day is not None:
                for account in (debit, credit):
                    self._active[account].add(day)
            if rule in GAINS:  # debits the account, or credits it where it is taken back
                back = self._places[debit].role == "fx_gain"
                kept.correct(credit if back else debit, -functional if back else functional, 0)
            elif rule in LOSSES:
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

    def _add_ends(self, day: Day) -> None:
        for pool, effect in day.effects.items():
            self._ends[pool].net += effect.net
            self._ends[pool].functional += effect.functional
        for key, moved in day.moved.items():
            if key[0] in BILLING:
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
        kept = self._days.get(on) or Day()
        sign = ROLES[self._places[account].role].sign
        for key in kept.by_account.get(account, ()):
            side = 1 if account == key[1] else -1
            moved = kept.moved[key]
            if side * sign * moved.amount > 0 or key[0] in UNDONE:
                held.net += side * moved.amount
                held.functional += side * moved.functional
        released, functional = held.released(-sign * amount)
        return functional + self._rate_of(self._places[account].currency, on)(amount - released)

    def _concerned(self, day: date, deltas: Mapping[Pool, Carrying]) -> list[int]:
        kept = self._days.get(day) or Day()
        return [abs(p) for p, d in deltas.items() if (d.net or d.functional) and abs(p) in kept.by_account]

    def _keep(self, day: date, coming: Sequence[Coming], total: Change) -> None:
        kept = self._days.setdefault(day, Day())
        added = Day()
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
