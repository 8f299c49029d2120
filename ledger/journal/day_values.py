"""A day of accounts in another currency, with and without what comes: what each movement counts for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ledger.accounts.chart import CLEARING, ROLES
from ledger.amounts.money import share
from ledger.journal import currencies
from ledger.journal.currencies import Carrying
from ledger.journal.foreign_days import Day, ForeignDays, Group, Moved
from ledger.journal.undone_later import UNDONE_BY, CameBack
from ledger.journal.value_rules import (
    AS_IT_WAS,
    CAME_BACK,
    DECIDED_LESS,
    DUE_AGAIN,
    ENTERED_AT_RATE,
    EXCHANGE,
    GAIN_UNDONE,
    LOSS_UNDONE,
    STEADY,
    UNDONE,
    Change,
    Coming,
    Key,
    Pool,
    counted,
    difference,
    is_at_rate,
    key_of,
    results,
    signed,
    signed_by,
)


@dataclass(slots=True)
class Later:
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
        of_amount = signed_by(amount, more)
        told = self.told[day, key] = []
        for back in self.known.get((day, key[0], debit, credit), ()):
            of, sign = key_of(back.rule, back.debit, back.credit)
            told.append((back.day, of, sign * share(of_amount, back.amount, abs(amount))))


class DayValues(ForeignDays):
    """What a day's movements count for."""

    def _walk(
        self,
        day: date,
        coming: Sequence[Coming],
        deltas: dict[Pool, Carrying],
        cleared: Mapping[str, int],
        later: Later,
    ) -> Change:
        """A day with and without what comes or came before it (`deltas`): the differences.

        What came back counts for more or less as what it had left for does (`later`), that very day, too.
        """
        back = later.on(day)
        for _ in range(STEADY):
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
        later: Later,
        back: Mapping[Key, int],
    ) -> Change:
        kept = self._days.get(day) or Day()
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
            _take_difference_back(item, new, change)
        for key, more in back.items():
            self._put_difference_back(key, more, kept, new, change)
        for group in groups:
            was, then = self._valued(group, (), old, old, day)
            items = [coming[index] for index in group.coming]
            is_, now = self._valued(group, items, new, old, day)
            functional = group.posted.functional + is_ - was
            more = 0 if group.given else back.get(group.key, 0)
            if not group.amount and not is_at_rate(group.key[0], items):
                functional = 0  # all of it was taken back
            self._emptied(group.key, group.posted.amount, old, group.posted.functional, then)
            functional = self._emptied(group.key, group.amount, new, functional + more, now)
            self._move(group, old, group.posted.amount, group.posted.functional, then)
            self._move(group, new, group.amount, functional, now)
            _let_come_back(group, functional, day, later)
            change.moved[group.key] += functional - group.posted.functional
            for account, sign in ((group.key[1], 1), (group.key[2], -1)):
                place = self._places[account]
                before, after = (results(group.key[0], c.get(account, 0)) for c in (then, now))
                change.gains[account] += after[0] - before[0]
                change.losses[account] += after[1] - before[1]
                if place.role == EXCHANGE:
                    clearing[place.subject] += sign * (functional - group.posted.functional)
        for subject, left in clearing.items():
            self._clear(subject, left, kept, change)
        return change

    def _put_difference_back(
        self, key: Key, more: int, kept: Day, held: Mapping[Pool, Carrying], change: Change
    ) -> None:
        """Let cash that came back count for what it does: what more it came back for, the exchange difference is less by."""
        for account, sign in ((key[1], 1), (key[2], -1)):
            if not more or self._places[account].role != "cash":
                continue
            of_account = [known for known in kept.by_account[account] if known[0] in UNDONE]
            undone = next((k for k in of_account if k[0] == LOSS_UNDONE), next(iter(of_account), None))
            if undone is not None:
                change.moved[undone] -= sign * more * (1 if undone[1] == account else -1)
            elif sign * more > 0:  # there was no difference: what leaves for more gained, and gives that back
                change.gains[account] -= sign * more
            else:
                change.losses[account] += sign * more
            held[account].functional -= sign * more

    def _groups(
        self, day: date, coming: Sequence[Coming], deltas: Mapping[Pool, Carrying], back: Iterable[Key]
    ) -> list[Group]:
        """The day's movements that have to do with what comes or came before it, by way of the accounts they share."""
        kept = self._days.get(day) or Day()
        groups: dict[tuple[Key, bool], Group] = {}
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
                posted = Moved() if given else kept.moved.get(item.key, Moved())
                group = groups[item.key, given] = Group(item.key, posted, given=given, amount=posted.amount)
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
                    groups[key, False] = Group(key, kept.moved[key], amount=kept.moved[key].amount)
                agenda += key[1:]
        return list(groups.values())

    def _ordered(self, groups: Iterable[Group]) -> list[Group]:
        """What comes in, what passes from one account to another, what leaves: an order that no arrival decides."""

        def rank(group: Group) -> tuple[Any, ...]:
            sign = group.amount or group.posted.amount
            debit, credit = group.key[1:] if sign >= 0 else group.key[:0:-1]
            roles = self._places[debit].role, self._places[credit].role
            leaving = (roles[0] not in CLEARING and ROLES[roles[0]].sign < 0) + (
                roles[1] not in CLEARING and ROLES[roles[1]].sign > 0
            )
            if group.key[0] in UNDONE or group.key[0] in CAME_BACK:
                leaving = 0
            return leaving, group.key[0], self._places[debit], self._places[credit], group.given

        return sorted(groups, key=rank)

    def _valued(
        self,
        group: Group,
        items: Sequence[Coming],
        held: Mapping[Pool, Carrying],
        before: Mapping[Pool, Carrying],
        day: date,
    ) -> tuple[int, dict[int, int]]:
        """What a group counts for by what its accounts hold before it, and by how much each of them is corrected.

        With what comes (`items`), or without. `before` is what they held without.
        """
        decided, posted = _decided(group, items), group.posted
        amount = posted.amount + sum(item.amount for item in items)
        if decided is not None:
            return decided, {}
        entered = is_at_rate(group.key[0], items)
        fixed = posted.functional + sum(signed(item, counted(item)) for item in items) if entered else 0
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
                value = signed_by(posted.amount, at_day(abs(posted.amount)))
            value += sum(signed(item, item.at_rate(abs(item.amount))) for item in items)
            return share(sign * value, part, abs(amount))

        if group.key[0] == DUE_AGAIN:
            due = self._due(debit, abs(amount))
            return fixed, {debit: due - sign * fixed}
        found = currencies.value(
            abs(amount),
            at_rate,
            (self._places[debit].role, held[of_debit]),
            (self._places[credit].role, held[of_credit]),
            at_day=at_day,
            entered=entered,
            decided=group.key[0] in DECIDED_LESS,
        )
        return sign * found.functional, {debit: found.debit_correction, credit: found.credit_correction}

    def _leaves(self, posted: Moved, key: Key, held: Mapping[Pool, Carrying]) -> bool:
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
        self, group: Group, held: dict[Pool, Carrying], amount: int, functional: int, corrections: Mapping[int, int]
    ) -> None:
        for pool, sign in zip(self._pools(group.key), (1, -1), strict=True):
            held[pool].net += sign * amount
            held[pool].functional += sign * functional + corrections.get(abs(pool), 0)

    def _clear(self, subject: str, left: int, kept: Day, change: Change) -> None:
        """Realise what exchanging one currency for another leaves on the clearing accounts of a pair: they never hold anything."""
        if not left:
            return
        found = [
            account
            for account, place in self._places.items()
            if place.role == EXCHANGE and place.subject == subject and place.currency != self._functional
        ]
        into, undone = currencies.read_clearing(subject)
        account = next((a for a in found if self._places[a].currency == into), found[0])
        gain, loss = kept.gains.get(account, 0), kept.losses.get(account, 0)
        realised = gain - loss - left
        # what is undone takes back the loss of the exchange, or its gain
        gained, lost = (min(realised, 0), -max(realised, 0)) if undone else (max(realised, 0), max(-realised, 0))
        change.gains[account] += gained - gain
        change.losses[account] += lost - loss


def _decided(group: Group, items: Sequence[Coming]) -> int | None:
    """What a group counts for whatever its accounts hold; None where they tell it."""
    if any(item.worth is not None for item in items):
        return sum(signed(item, counted(item)) for item in items)
    if group.key[0] in AS_IT_WAS:
        return group.posted.functional + sum(signed(item, counted(item)) for item in items)
    if group.given and not is_at_rate(group.key[0], items):
        return sum(signed(item, item.functional or 0) for item in items)
    return None


def _let_come_back(group: Group, functional: int, day: date, later: Later) -> None:
    """Tell the days on which something came back of what leaves for more or less than it did."""
    posted = group.posted
    if group.given or not posted.amount or group.key[0] not in UNDONE_BY:
        return
    sign = 1 if group.amount > 0 else -1
    now = share(sign * functional, posted.amount, sign * group.amount) if group.amount else posted.functional
    more = now - posted.functional
    later.tell(day, group.key, posted.amount, more)


def _take_difference_back(item: Coming, held: Mapping[int, Carrying], change: Change) -> None:
    """Let what is undone count for what its account counts it for: the exchange difference of what it undoes is taken back."""
    if item.worth is None or not (more := difference(item)):
        return
    worth = item.worth
    # what goes again after it came back has the difference again that was taken back of it
    loss = (more > 0) == worth.comes
    undone, sides = (
        (LOSS_UNDONE, (worth.account, worth.losses)) if loss else (GAIN_UNDONE, (worth.gains, worth.account))
    )
    key, sign = key_of(undone, *sides)
    change.moved[key] += sign * (abs(more) if worth.comes else -abs(more))
    held[item.worth.account].functional += more
