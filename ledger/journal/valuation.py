"""What accounts in another currency than their entity's hold in both, by day, and what that makes each movement count for.

An account gives up its functional amount at the average of what came in by that day, whenever it arrived: on each day first
comes what accounts take in, then what passes from one to another, then what only leaves. So the order of arrival changes
nothing: what is posted into the past of an account changes what later movements gave up, and the difference is posted on
their days, by the rules that posted them, with debit and credit exchanged where they count for less.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date

from ledger.amounts.money import share
from ledger.journal.currencies import Carrying
from ledger.journal.day_values import DayValues, Later
from ledger.journal.entry_rows import Posting
from ledger.journal.foreign_days import Day, Moved
from ledger.journal.undone_later import CameBack, came_back
from ledger.journal.value_rules import GAINS, LOSSES, Change, Coming, Key, Pool, key_of, signed, taken_back


class ForeignAccounts(DayValues):
    """A customer's accounts with an entity in other currencies than its own, from a day on as far as anybody asked."""

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
        later = Later(self._came_back)
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
            if p.rule in GAINS:
                taken = self._places[p.debit_account].role == "fx_gain"
                account = p.credit_account if taken else p.debit_account
                back.gains[account] += -p.functional_amount if taken else p.functional_amount
            elif p.rule in LOSSES:
                taken = self._places[p.credit_account].role == "fx_loss"
                account = p.debit_account if taken else p.credit_account
                back.losses[account] += -p.functional_amount if taken else p.functional_amount
            elif p.amount:
                coming.append(taken_back(key, sign * p.amount, p.functional_amount))
            else:
                back.moved[key] += sign * p.functional_amount
        _, changes = self.reckon(on, coming, {})
        left = changes.setdefault(on, Change())
        left.moved = {key: left.moved.get(key, 0) - back.moved.get(key, 0) for key in {*left.moved, *back.moved}}
        left.gains = {a: left.gains.get(a, 0) - back.gains.get(a, 0) for a in {*left.gains, *back.gains}}
        left.losses = {a: left.losses.get(a, 0) - back.losses.get(a, 0) for a in {*left.losses, *back.losses}}
        return {day: change for day, change in changes.items() if change}

    def _share_out(self, total: Change, coming: Sequence[Coming], values: list[int], day: date) -> Change:
        """Give each movement that comes what it counts for; what is left are corrections of what is posted."""
        left = dict(total.moved)
        by_key: dict[Key, list[int]] = defaultdict(list)
        for index, item in enumerate(coming):
            by_key[item.key].append(index)
        posted = self._days.get(day, Day()).moved
        for key, indexes in by_key.items():
            free = [index for index in indexes if coming[index].functional is None]
            for index in indexes:
                decided = coming[index].functional
                if decided is not None:
                    values[index] = decided
                    left[key] -= signed(coming[index], decided)
            if not free:
                last = coming[indexes[-1]]
                whole = values[indexes[-1]] + signed(last, left[key])
                if whole >= 0 and not last.reverses:
                    values[indexes[-1]], left[key] = whole, 0
                continue
            before = posted.get(key, Moved())
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
