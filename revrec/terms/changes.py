"""What changes the prices of a contract's obligations, folded in the order of its dates into the terms that hold from day to day.

A contract's documents, and the bills and corrections of what it promised, are events. They are taken day by day: on one day
modifications as one, then endings, estimates, what the contract's documents take off the price, bills, credit notes, and last what
gives money up or back. So what came first into the books does not matter. Each event that changes a price leaves a version; each
that gives up or gives back leaves how much of its amount was earned. Nothing here asks what was booked (606-10-25-13, 32-42 to 32-45).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction
from math import lcm
from typing import Literal

from ledger.amounts.money import allocate, share, to_text
from ledger.errors import Refused, UnknownReference
from revrec.terms.events import (
    Added,
    Bill,
    Changed,
    Combined,
    Corrected,
    Estimated,
    Event,
    Modified,
    Promise,
    Taken,
    Terminated,
    Undone,
)
from revrec.terms.terms import Progress, Terms, plain

# How a version counts after which nothing of an obligation can change: it ended, or will when its notice is over; or it is what
# leaving cost.
ENDED = ("cancelled", "terminated", "penalty")

GIVING = ("write_off", "refund", "dispute")


@dataclass(frozen=True, slots=True)
class Beside:
    """What of a bill that is given up or back was earned: shown beside revenue from a day on, by a document."""

    on: date
    document_id: int
    subject: str
    kind: str
    bill: tuple[int, str, str]
    amount: int


@dataclass(frozen=True, slots=True)
class Split:
    """How an amount of a line is made up: expected back before, earned and shown beside revenue, the rest not given."""

    expected: int = 0
    earned: int = 0
    rest: int = 0


@dataclass(frozen=True, slots=True)
class Version:
    """An obligation's terms from a day on, by a document: how much that changed its price, how it counts and why."""

    subject: str
    from_day: date
    document_id: int
    treatment: str
    reason: str
    change: int
    refund: int
    terms: Terms

    def same(self, other: Version) -> bool:
        """Whether another has the same terms, and as much is expected to be given back."""
        return self.terms.same(other.terms) and self.refund == other.refund


@dataclass(slots=True)
class _Obligation:
    """An obligation while events are folded."""

    promise: Promise
    terms: Terms
    ssp: int | None
    treatment: str
    stated: int  # the price its documents state, without components
    agreed: int  # what of it is its own, once what is not sold at stand-alone prices is shared
    expected_back: Counter[str] = field(default_factory=Counter)  # by component that is a refund
    given_back: int = 0
    billed: int = 0
    paid: int = 0  # consideration payable to the customer that its price is spread less

    @property
    def ended(self) -> bool:
        return self.treatment in ENDED

    @property
    def still_expected(self) -> int:
        """What of its bills is expected to be given back, and was not."""
        return max(sum(self.expected_back.values()) - self.given_back, 0)

    @property
    def beyond(self) -> int:
        """What is billed of it beyond its price, and not expected to be given back; below zero what is not billed of it.

        What lowered both the price and the bill is in neither; what the contract's documents took off the price took its part of what is
        billed with it: it is the customer's, or credits'.
        """
        return self.billed - self.terms.price - self.terms.taken - self.still_expected


@dataclass(slots=True)
class _Billed:
    """A bill while events are folded: what of it still covers something, and what of that was given up or back as earned.

    Of a contract's bill, `refunded` money went back and the price stays: evenly of what it covers, of which `to_come` was not given.
    """

    bill: Bill
    covers: int
    voided: int = 0
    gone: int = 0
    refunded: int = 0
    to_come: int = 0


@dataclass(slots=True)
class _Part:
    """A part of a correction: of its amount what is expected back, what else leaves the bill, and what of that lowers the price."""

    event: Corrected
    billed: _Billed
    obligation: _Obligation
    expected: int = 0
    rest: int = 0
    lower: int = 0
    others: list[tuple[_Obligation, int]] = field(default_factory=list)  # whose prices it lowers too


@dataclass(frozen=True, slots=True)
class _Share:
    """A part in a component: whose, its weight, how much it is now.

    A change of it counts at once where it was given, is spread over what remains, or is nobody's where that was cancelled.
    """

    subject: str
    weight: Fraction
    how: Literal["at_once", "spread", "dropped"]
    part: int = 0


@dataclass(slots=True)
class Folded:
    """What became of all events: versions by obligation in order, and how each document's amounts of bills are made up."""

    versions: dict[str, list[Version]] = field(default_factory=dict)
    splits: dict[tuple[int, tuple[int, str, str]], Split] = field(default_factory=dict)
    undone: dict[tuple[int, int, tuple[int, str, str]], Split] = field(default_factory=dict)
    beside: list[Beside] = field(default_factory=list)

    def terms(self, subject: str, on: date) -> Terms:
        """An obligation's terms on a day."""
        found = self.versions[subject]
        return next((version.terms for version in reversed(found) if version.from_day <= on), found[0].terms)

    def last(self, subject: str) -> Version:
        """An obligation as it stands after all."""
        return self.versions[subject][-1]


_RANKS: Mapping[type, int] = {Combined: 0, Modified: 1, Terminated: 2, Estimated: 3, Taken: 4, Undone: 9}
_CORRECTING = {"void": 6, "credit": 7, "return": 7, "refund": 8, "dispute": 8, "write_off": 8}


def _rank(event: Event | Bill) -> tuple[date, int, str, int]:
    """Where an event comes: by its day; on one day by what it is, then bills and their corrections by their names, others as they came in."""
    if isinstance(event, Bill):
        return (event.on, 5, event.ref, event.invoice_id)
    if isinstance(event, Corrected):
        return (event.on, _CORRECTING[event.kind], f"{event.kind} {event.ref}", event.document_id)
    return (event.on, _RANKS[type(event)], "", event.document_id)


def _together(event: Corrected, other: Event | Bill) -> bool:
    """Whether another is a part of the same correction: of the same document, kind and day."""
    return isinstance(other, Corrected) and (
        (other.kind, other.document_id, other.on) == (event.kind, event.document_id, event.on)
    )


def fold(
    promises: Iterable[Promise],
    events: Iterable[Event],
    bills: Iterable[Bill] = (),
    progress: Mapping[str, Sequence[Progress]] | None = None,
    checked: int | None = None,
    currency: str = "",
) -> Folded:
    """The terms that events make of promises, from day to day.

    What is undone counts no more from the day on which it is: from there all is told as if it never had been. Of what is undone on
    one day each document is told after the other, as they came. Raises Refused
    where an event can't be what it is, TooLittle for a price below what is earned of it by the document that is `checked`; where
    that came by others, the difference is taken off at once.
    """
    promises = list(promises)
    events, bills = _once_promised(list(events), list(bills))
    undone = [event for event in events if isinstance(event, Undone)]
    steps = sorted({(event.on, event.document_id) for event in undone})
    whole = Folded()
    for step, then in zip([None, *steps], [*steps, None], strict=True):
        since, until = step and step[0], then and then[0]
        found = _Fold(promises, progress or {}, checked, currency).run(_as_known(events, step), bills, until)
        _join(whole, found, since, until, [event for event in undone if (event.on, event.document_id) == step])
    return whole


def _once_promised(events: list[Event], bills: list[Bill]) -> tuple[list[Event], list[Bill]]:
    """Bills of what is promised on a later day, with what corrects them: they count from that day on."""
    since = {
        promise.subject: event.on
        for event in events
        for promise in (
            [added.promise for added in event.added]
            if isinstance(event, Modified)
            else [event.penalty]
            if isinstance(event, Terminated) and event.penalty is not None
            else ()
        )
    }
    early = {bill.key: since[bill.subject] for bill in bills if bill.on < since.get(bill.subject, bill.on)}
    return (
        [
            replace(event, on=max(event.on, early[event.bill]))
            if isinstance(event, Corrected) and event.bill in early
            else event
            for event in events
        ],
        [replace(bill, on=early.get(bill.key, bill.on)) for bill in bills],
    )


def _as_known(events: Sequence[Event], step: tuple[date, int] | None) -> list[Event]:
    """Events less what was undone of them by a day and a document of it."""
    back: Counter[tuple[int, tuple[int, str, str]]] = Counter()
    for event in events:
        if isinstance(event, Undone) and step is not None and (event.on, event.document_id) <= step:
            back[event.undoes, event.bill] += event.amount
    return [
        replace(event, amount=event.amount - back[event.document_id, event.bill])
        if isinstance(event, Corrected)
        else event
        for event in events
        if not isinstance(event, Undone)
    ]


def _join(whole: Folded, found: Folded, since: date | None, until: date | None, undone: Sequence[Undone]) -> None:
    """Take over of a run what holds after a day, on which something was undone, to another."""

    def later(on: date) -> bool:
        return (since is None or on > since) and (until is None or on <= until)

    for subject, versions in found.versions.items():
        kept = whole.versions.setdefault(subject, [])
        standing = [version for version in versions if since is None or version.from_day <= since]
        if since is not None and standing and kept and not standing[-1].same(kept[-1]):
            change = standing[-1].terms.price - kept[-1].terms.price
            document_id = undone[0].document_id
            reason = f"{undone[0].ref} undoes what changed it"
            kept.append(
                replace(standing[-1], from_day=since, document_id=document_id, treatment="price", reason=reason, change=change)
            )  # fmt: skip
        first = versions[:1] if not kept else []
        kept += [*first, *(version for version in versions[1:] if later(version.from_day))]
    was = Counter[tuple[int, tuple[int, str, str]]]()
    for item in whole.beside:
        was[item.document_id, item.bill] += item.amount
    now = {(item.document_id, item.bill): item for item in found.beside if since is not None and item.on <= since}
    for key in [] if since is None else [*was, *(key for key in now if key not in was)]:
        assert since is not None, "nothing is undone before"
        reached = now[key].amount if key in now else 0
        if reached != was[key]:
            like = now.get(key) or next(item for item in whole.beside if (item.document_id, item.bill) == key)
            whole.beside.append(replace(like, on=since, amount=reached - was[key]))
    _join_undone(whole, found, undone)
    whole.beside += [item for item in found.beside if later(item.on)]
    for place, split in found.splits.items():
        whole.splits.setdefault(place, split)


def _join_undone(whole: Folded, found: Folded, undone: Sequence[Undone]) -> None:
    """Say how what a document undid is made up, and what is left of it."""
    for event in undone:
        place = (event.undoes, event.bill)
        before, after = whole.splits.get(place, Split()), found.splits.get(place, Split())
        key = (event.document_id, *place)
        part = whole.undone.get(key, Split())
        whole.undone[key] = Split(
            part.expected + before.expected - after.expected,
            part.earned + before.earned - after.earned,
            part.rest + before.rest - after.rest,
        )
        whole.splits[place] = after


class _Fold:
    """One run through the events, in the order of their days."""

    def __init__(
        self,
        promises: Sequence[Promise],
        progress: Mapping[str, Sequence[Progress]],
        checked: int | None,
        currency: str,
    ) -> None:
        self.progress = progress
        self.checked = checked
        self.currency = currency
        self.obligations: dict[str, _Obligation] = {}
        self.bills: dict[tuple[int, str, str], _Billed] = {}
        self.shares: dict[tuple[str, str], list[_Share]] = {}
        self.billed_as_one = False
        self.folded = Folded()
        for promise in promises:
            self._promise(promise)

    def run(self, events: Sequence[Event], bills: Sequence[Bill], until: date | None) -> Folded:
        """Take all events to a day."""
        happening: list[Event | Bill] = [*events, *bills]
        coming = sorted(happening, key=_rank)
        while coming:
            event = coming.pop(0)
            if until is not None and event.on > until:
                break
            if isinstance(event, Bill):
                self._bill(event)
            elif isinstance(event, Modified):
                same: list[Modified] = [event]
                while coming and isinstance(coming[0], Modified) and coming[0].on == event.on:
                    following = coming.pop(0)
                    assert isinstance(following, Modified), "looked at just before"
                    same.append(following)
                for contract in dict.fromkeys(item.contract for item in same):
                    self._modify([item for item in same if item.contract == contract])
            elif isinstance(event, Corrected):
                together = [event]
                while coming and _together(event, coming[0]):
                    part = coming.pop(0)
                    assert isinstance(part, Corrected), "looked at just before"
                    together.append(part)
                self._correct_together(together)
            else:
                self._change(event)
        return self.folded

    def _change(self, event: Event) -> None:
        if isinstance(event, Combined):
            self._combine(event)
        elif isinstance(event, Terminated):
            self._terminate(event)
        elif isinstance(event, Estimated):
            self._estimate(event)
        elif isinstance(event, Taken):
            self._take(event)

    # Promises -----------------------------------------------------------------------------------------------------

    def _promise(self, promise: Promise) -> _Obligation:
        terms = plain(promise.curve, promise.price, self.progress.get(promise.subject, ()))
        made = _Obligation(promise, terms, promise.ssp, promise.treatment, promise.price, promise.price)
        self.obligations[promise.subject] = made
        first = min(promise.known_on, promise.curve.starts_on)
        self.folded.versions[promise.subject] = [
            Version(promise.subject, first, promise.document_id, promise.treatment, promise.reason, promise.price, 0, terms.copy())
        ]  # fmt: skip
        return made

    def _keep(
        self,
        obligation: _Obligation,
        event: Event,
        treatment: str,
        reason: str,
        before: int,
        from_day: date | None = None,
    ) -> None:
        """Keep an obligation's terms as they are now as its next version."""
        obligation.treatment = treatment if treatment != "price" or not obligation.ended else obligation.treatment
        self.folded.versions[obligation.promise.subject].append(
            Version(
                obligation.promise.subject, from_day or event.on, event.document_id, treatment, reason,
                obligation.terms.price - before, obligation.still_expected, obligation.terms.copy(),
            )
        )  # fmt: skip

    def _of(self, contract: str) -> list[_Obligation]:
        found = [item for item in self.obligations.values() if item.promise.contract == contract]
        return sorted(found, key=lambda item: item.promise.ref)

    def going_on(self, contract: str) -> list[_Obligation]:
        """A contract's obligations that have not ended and have prices of their own, by id."""
        return [item for item in self._of(contract) if not item.ended and item.terms.curve.pattern != "usage"]

    # What a contract's documents do ---------------------------------------------------------------------------------

    def _combine(self, event: Combined) -> None:
        for subject, (since, price) in event.prices.items():
            obligation = self.obligations[subject]
            before = obligation.terms.price
            obligation.stated = obligation.agreed = price
            obligation.terms = plain(obligation.promise.curve, price, obligation.terms.progress)
            self._keep(obligation, event, "combined", event.reason, before, since)

    def _modify(self, events: Sequence[Modified]) -> None:
        """What modifications of one contract on one day make of it together: changes before what is added."""
        day, last = events[0].on, events[-1]
        changed = {item.subject: (item, event) for event in events for item in event.changed}
        cancelled = {subject: event for event in events for subject in event.cancelled}
        for subject, event in [*((subject, event) for subject, (_, event) in changed.items()), *cancelled.items()]:
            self._require_going_on(subject, event)
        changed = {subject: item for subject, item in changed.items() if not self.obligations[subject].ended}
        cancelled = {subject: event for subject, event in cancelled.items() if not self.obligations[subject].ended}
        apart = [(item, event) for event in events for item in event.added if item.apart is not None]
        for subject, event in cancelled.items():
            changed.pop(subject, None)
            self._end(self.obligations[subject], event, "cancelled", f"ends before {day}: nothing more is promised")
        pooled, unknown = self._pooled(day, events[0].contract, changed, apart, set(cancelled))
        for subject, (item, event) in changed.items():
            if subject not in pooled:
                self._modify_one(self.obligations[subject], item, event)
        for event in events:
            for added in event.added:
                if added.apart is None or not pooled:
                    price = added.promise.price if added.renews is None else self.obligations[added.renews].stated
                    reason = added.promise.reason if added.apart is None else _taken_as_agreed(added, unknown)
                    self._promise(replace(added.promise, price=price, reason=reason))
        if pooled:
            self._pool(day, last, pooled, changed, apart)

    def _require_going_on(self, subject: str, event: Modified) -> None:
        """Raise Refused where an obligation that is changed or cancelled has ended by then."""
        obligation = self.obligations.get(subject)
        ref = subject.removeprefix("obligation:")
        if obligation is None or obligation.promise.known_on > event.on:
            if self.checked is not None:
                since = "is not promised" if obligation is None else f"is promised on {obligation.promise.known_on}"
                raise Refused("date", event.on, f"expected a day on which {ref} is promised: it {since}")
            return
        if not obligation.ended or self.checked is None:
            return
        if event.document_id != self.checked:
            raise Refused(
                "date", event.on, f"expected a change that leaves {ref} going on: {event.ref} changes it on {event.on}"
            )
        if subject in event.cancelled:
            raise Refused("cancel", ref, "expected an obligation that is not cancelled yet")
        index = [item.subject for item in event.changed].index(subject)
        raise Refused(
            f"obligations.{index}.id", ref,
            "expected an obligation that goes on; it is cancelled: promise it anew, by another id",
        )  # fmt: skip

    def _on_top(self, obligation: _Obligation) -> int:
        """What lies on top of the price that its documents state: its parts of components, less what was taken off."""
        subject = obligation.promise.subject
        parts = (
            item.part
            for shares in self.shares.values()
            for item in shares
            if item.subject == subject and item.how != "dropped"
        )
        return sum(parts) - obligation.terms.lowered - obligation.terms.taken

    def _new_price(self, obligation: _Obligation, item: Changed) -> int:
        return item.price + self._on_top(obligation)

    def _modify_one(self, obligation: _Obligation, item: Changed, event: Event) -> None:
        terms, before = obligation.terms, obligation.terms.price
        price = self._new_price(obligation, item)
        same = terms.curve == item.curve and obligation.stated == item.price
        obligation.stated = item.price
        obligation.ssp = obligation.ssp if item.ssp is None else item.ssp
        if same:
            return  # agreed as it was: nothing changes
        obligation.agreed = item.price
        if item.treatment == "catch_up":
            self._open_all(obligation)
            # of one day they are one modification
            replaced = terms.known(event.on - timedelta(days=1))
            obligation.terms = replace(
                terms, curve=item.curve, base=0, pieces=[], paid=obligation.paid, earlier=None, since=None,
                replaced=replaced, caught_up=event.on,
            )  # fmt: skip
            fresh = plain(item.curve, price, terms.progress)
            obligation.terms.pieces = fresh.pieces
        else:
            self._require_at_least(obligation, event, price)
            self._close_given(obligation, event.on)
            terms.settle(event.on)
            terms.go_on(event.on, item.curve, price - terms.base)
        self._keep(obligation, event, item.treatment, item.reason, before)

    def _require_at_least(self, obligation: _Obligation, event: Event, price: int) -> None:
        earned = obligation.terms.earned_before(event.on)
        if price < earned and event.document_id == self.checked:
            raise TooLittle(obligation.promise.subject, earned, self._on_top(obligation))

    def _pooled(
        self,
        day: date,
        contract: str,
        changed: Mapping[str, tuple[Changed, Modified]],
        apart: Sequence[tuple[Added, Modified]],
        cancelled: set[str],
    ) -> tuple[dict[str, tuple[int, Fraction]], list[str]]:
        """What is left of each obligation, and what that is worth alone, that shares with what is added.

        None where nothing is added that does, or a stand-alone price is not known: of which.
        """
        if not apart:
            return {}, []
        found: dict[str, tuple[int, Fraction]] = {}
        unknown: list[str] = []
        for obligation in self.going_on(contract):
            subject = obligation.promise.subject
            item = changed[subject][0] if subject in changed else None
            if subject in cancelled or (item is not None and item.treatment == "catch_up"):
                continue
            curve = obligation.terms.curve if item is None else item.curve
            if curve.pattern == "progress" and curve.quantity is None:
                continue
            price = obligation.terms.price if item is None else self._new_price(obligation, item)
            left = price - obligation.terms.earned_before(day)
            coming = replace(obligation.terms, curve=curve, pieces=[]).left(day)
            if left <= 0 and item is None:
                continue
            ssp = obligation.ssp if item is None or item.ssp is None else item.ssp
            if ssp is None:
                unknown.append(obligation.promise.ref)
                continue
            found[subject] = (left, ssp * coming)
        return ({}, unknown) if unknown else (found, [])

    def _pool(
        self,
        day: date,
        last: Modified,
        pooled: Mapping[str, tuple[int, Fraction]],
        changed: Mapping[str, tuple[Changed, Modified]],
        apart: Sequence[tuple[Added, Modified]],
    ) -> None:
        """Share what is left of the price, and the new prices, by stand-alone prices over all that remains (25-13(a))."""
        pool = sum(left for left, _ in pooled.values()) + sum(item.promise.price for item, _ in apart)
        worths = [worth for _, worth in pooled.values()] + [Fraction(item.apart or 0) for item, _ in apart]
        scale = lcm(*(worth.denominator for worth in worths))
        weights = [int(worth * scale) for worth in worths]
        parts = allocate(max(pool, 0), weights)
        amount = f"{to_text(pool, self.currency)} {self.currency}" if self.currency else f"{pool} in minor units"
        reason = (
            f"not sold at stand-alone prices: {amount}, what is left of the price and the new, is shared by stand-alone prices over "
            "what remains (606-10-25-13(a))"
        )
        self._pool_components(list(pooled), [item.promise.subject for item, _ in apart], weights, day)
        for (subject, _), part in zip(pooled.items(), parts, strict=False):
            obligation = self.obligations[subject]
            terms, before = obligation.terms, obligation.terms.price
            event: Event = last
            curve = terms.curve
            if subject in changed:
                item, event = changed[subject]
                curve, obligation.stated = item.curve, item.price
                obligation.ssp = obligation.ssp if item.ssp is None else item.ssp
            terms.settle(day)
            terms.go_on(day, curve, part)
            obligation.agreed = terms.price - self._on_top(obligation)
            self._keep(obligation, event, "prospective", reason, before)
        for (new, _), part in zip(apart, parts[len(pooled) :], strict=True):
            made = self._promise(replace(new.promise, price=part, treatment="prospective", reason=reason))
            made.stated = new.promise.price

    def _end(self, obligation: _Obligation, event: Event, treatment: str, reason: str) -> None:
        """Nothing more of an obligation is promised: what is earned of it stays, and what a component gave it of that."""
        before = obligation.terms.price
        self._close_given(obligation, event.on, dropping=True)
        obligation.terms.end_all(event.on)
        self._keep(obligation, event, treatment, reason, before)

    def _terminate(self, event: Terminated) -> None:
        for obligation in self._of(event.contract):
            ends_on = obligation.terms.curve.ends_on
            in_notice = obligation.treatment == "terminated" and ends_on is not None and ends_on > event.ends
            if obligation.ended and not in_notice:
                continue
            reason = f"terminated, {event.ends} is the last day: {event.reason}"
            terms, before = obligation.terms, obligation.terms.price
            given_by_then = terms.curve.ends_on is not None and terms.curve.ends_on <= event.ends
            if terms.curve.pattern == "usage" or given_by_then:
                if terms.curve.pattern == "usage":
                    last = min(terms.curve.ends_on or event.ends, event.ends)
                    terms.curve = replace(terms.curve, ends_on=last)
                self._keep(obligation, event, "terminated", reason, before)
            elif event.ends < event.on or terms.curve.starts_on > event.ends:
                self._end(obligation, event, "cancelled", reason)
            elif terms.curve.pattern == "progress":
                raise Refused(
                    "ends", event.ends, f"expected none: {obligation.promise.ref} is earned by progress, and nobody knows how far it "
                    "will be; cancel it by a contract_modification once it is done, then terminate the rest"
                )  # fmt: skip
            else:
                self._close_given(obligation, event.ends + timedelta(days=1), dropping=True)
                terms.cut(event.on, event.ends)
                self._keep(obligation, event, "terminated", reason, before)
        if event.penalty is not None:
            self._promise(event.penalty)

    # Components -----------------------------------------------------------------------------------------------------

    def weighted(self, contract: str, subjects: Sequence[str] | None) -> list[tuple[_Obligation, int]]:
        """What a change of a contract's price falls on, with the weight of each: those it is about, or all that go on."""
        found = self.going_on(contract)
        if subjects is not None:
            found = [self.obligations[subject] for subject in subjects if subject in self.obligations]
        if len(found) == 1:
            return [(found[0], 1)]
        by_ssp = all(item.ssp is not None for item in found)
        return [(item, (item.ssp or 0) if by_ssp else max(item.terms.price, 0)) for item in found]

    def _require_shared(self, event: Estimated | Taken, *, rebate: bool) -> None:
        """Raise where a change of a contract's price is about what does not go on then, or nothing has a price to share it by."""
        if event.document_id != self.checked:
            return
        going_on = {item.promise.subject: item for item in self.going_on(event.contract)}
        if rebate and event.subjects is not None and len(event.subjects) == 1:
            going_on |= {item.promise.subject: item for item in self._of(event.contract) if not item.ended}
        for index, subject in enumerate(event.subjects or ()):
            if subject not in going_on:
                ref = subject.removeprefix("obligation:")
                raise UnknownReference(
                    f"obligations.{index}",
                    ref,
                    f"expected an obligation of {event.contract} that goes on on {event.on}",
                )
        weighted = self.weighted(event.contract, event.subjects)
        if len(weighted) != 1 and not any(weight for _, weight in weighted):
            raise Refused(
                "contract", event.contract, "expected obligations with prices to allocate to, or the one it is about"
            )

    def _estimate(self, event: Estimated) -> None:
        if event.subjects is not None or (event.contract, event.component) not in self.shares:
            self._require_shared(event, rebate=event.refund)
        key = (event.contract, event.component)
        shares = self.shares.get(key)
        if shares is not None and event.subjects is not None and {s.subject for s in shares} != set(event.subjects):
            self._apply(key, event, 0, shares)  # it is about others now: those before give theirs back
            shares = None
        if shares is None:
            weighted = [(item, weight) for item, weight in self.weighted(event.contract, event.subjects) if weight]
            shares = [_Share(item.promise.subject, Fraction(weight), "spread") for item, weight in weighted]
        self.shares[key] = shares
        self._apply(key, event, event.included, shares)

    def _apply(self, key: tuple[str, str], event: Estimated, included: int, shares: Sequence[_Share]) -> None:
        """Let a component be so much: each share of it changes by its part."""
        if not shares:
            return
        parts = _spread(included, [item.weight for item in shares])
        self.shares[key] = [replace(item, part=part) for item, part in zip(shares, parts, strict=True)]
        changes: dict[str, list[tuple[str, int]]] = {}
        for item, now in zip(shares, parts, strict=True):
            if item.how != "dropped" and now != item.part:
                changes.setdefault(item.subject, []).append((item.how, now - item.part))
        for subject, moved in changes.items():
            obligation = self.obligations[subject]
            price = obligation.terms.price
            for how, change in moved:
                if how == "at_once":
                    obligation.terms.base += change
                else:
                    obligation.terms.spread(change)
                if event.refund:
                    obligation.expected_back[key[1]] -= change
            self._keep(obligation, event, "price", event.reason, price)

    def _open_all(self, obligation: _Obligation) -> None:
        """All of an obligation's shares are spread again: its price counts from the start."""
        subject = obligation.promise.subject
        for key, shares in self.shares.items():
            self.shares[key] = [
                replace(item, how="spread") if item.subject == subject and item.how == "at_once" else item
                for item in shares
            ]

    def _close_given(self, obligation: _Obligation, on: date, *, dropping: bool = False) -> None:
        """What is given of an obligation keeps its part of each component; what remains is spread anew, or is dropped with it."""
        price = obligation.terms.price
        given = Fraction(obligation.terms.earned_before(on), price) if price else Fraction(0)
        given = min(max(given, Fraction(0)), Fraction(1))
        subject = obligation.promise.subject
        for key, shares in self.shares.items():
            found: list[_Share] = []
            for item in shares:
                if item.subject != subject or item.how != "spread":
                    found.append(item)
                    continue
                stays = share(item.part, given.numerator, given.denominator)
                found += [
                    _Share(subject, item.weight * given, "at_once", stays),
                    _Share(subject, item.weight * (1 - given), "dropped" if dropping else "spread", item.part - stays),
                ]
            self.shares[key] = found

    def _pool_components(self, pooled: Sequence[str], added: Sequence[str], weights: Sequence[int], day: date) -> None:
        """What was given of pooled obligations keeps its part of each component, the rest goes to the pool as its price does."""
        for subject in pooled:
            self._close_given(self.obligations[subject], day)
        members, whole = [*pooled, *added], sum(weights)
        for key, shares in self.shares.items():
            into = [item for item in shares if item.subject in pooled and item.how == "spread"]
            if not into or not whole:
                continue
            weight = sum((item.weight for item in into), Fraction(0))
            parts = _spread(sum(item.part for item in into), [Fraction(w) for w in weights])
            self.shares[key] = [item for item in shares if item not in into] + [
                _Share(member, weight * Fraction(w, whole), "spread", part)
                for member, w, part in zip(members, weights, parts, strict=True)
            ]

    def _take(self, event: Taken) -> None:
        """Take an amount off the price: of what was given already at once, within its last modification (32-45)."""
        self._require_shared(event, rebate=False)
        weighted = self.weighted(event.contract, event.subjects)
        weights = [max(item.terms.price, 0) if event.by_price else weight for item, weight in weighted]
        if not any(weights):
            return
        for (obligation, _), part in zip(weighted, allocate(event.amount, weights), strict=True):
            if part:
                before = obligation.terms.price
                obligation.terms.spread(-part)
                if not event.by_price and obligation.terms.pieces:  # a right is a part of the price, earned as it is
                    obligation.terms.paid += part
                    obligation.paid += part
                obligation.terms.taken += part
                self._keep(obligation, event, "price", event.reason, before)

    # Bills and what corrects them -----------------------------------------------------------------------------------

    def _bill(self, bill: Bill) -> None:
        obligation = self.obligations[bill.subject]
        obligation.billed += bill.amount
        usage = obligation.terms.curve.pattern == "usage"
        # of one that ended, what was agreed may still be billed
        more = min(obligation.beyond, obligation.billed - obligation.agreed)
        self.billed_as_one |= not obligation.promise.own and not usage and more > 0
        self.bills[bill.key] = _Billed(bill, bill.amount)

    def _for_others(self, billed: _Billed) -> int:
        """What of a bill is for others of the contract: what it bills beyond what was agreed of its obligation, in the order of the bills."""
        subject = billed.bill.subject
        reached = 0
        for item in self.bills.values():
            if item.bill.subject == subject:
                amount = max(item.bill.amount - item.voided, 0)
                reached += amount
                if item is billed:
                    return max(min(reached - self.obligations[subject].agreed, amount), 0)
        return 0

    def _covers(self, billed: _Billed) -> int:
        """What of the price a bill covers: less its part of what the contract's documents took off, which is not to be earned."""
        obligation = self.obligations[billed.bill.subject]
        terms = obligation.terms
        if not terms.taken or billed.covers <= 0:
            return billed.covers
        whole = sum(max(item.covers, 0) for item in self.bills.values() if item.bill.subject == billed.bill.subject)
        return billed.covers - share(min(terms.taken, whole), billed.covers, max(whole, terms.price + terms.taken))

    def _period(self, billed: _Billed, terms: Terms | None = None) -> tuple[int, int] | None:
        """What is earned before and by the end of the period that a bill names; None where that earns nothing, or it names none."""
        terms, bill = terms or self.obligations[billed.bill.subject].terms, billed.bill
        if bill.starts_on is None or bill.ends_on is None:
            return None
        starts, ends = terms.by(bill.starts_on - timedelta(days=1)), terms.by(bill.ends_on)
        return (starts, ends) if ends > starts else None

    def _given(self, billed: _Billed, on: date) -> int:
        """What of what a bill covers is given before a day: of the period it names, else of the price in the order of the bills."""
        terms = self.obligations[billed.bill.subject].terms.known(on - timedelta(days=1))
        earned, covers = terms.by(on - timedelta(days=1)), self._covers(billed)
        if period := self._period(billed, terms):
            starts, ends = period
            return share(covers, min(max(earned - starts, 0), ends - starts), ends - starts)
        free = earned
        in_order = True
        for item in self.bills.values():
            if item.bill.subject != billed.bill.subject:
                continue
            in_order &= item is not billed
            if other := self._period(item, terms):
                # what was given of other bills' own periods, as far as they cover it, is not of this one
                starts, ends = other
                within = min(max(earned - starts, 0), ends - starts)
                free -= min(share(max(self._covers(item), 0), within, ends - starts), within) if within else 0
            elif in_order:
                free -= self._covers(item) - item.to_come
        return min(max(free, 0), covers)

    def _correct_together(self, events: Sequence[Corrected]) -> None:
        """The parts of a correction, of lines and obligations: what is billed beyond the price of all goes back before any price falls."""
        parts = [
            _Part(event, billed, self.obligations[billed.bill.subject])
            for event in events
            if event.amount and (billed := self.bills.get(event.bill)) is not None
        ]  # the others are of a bill of a later day, or undone whole
        places = {key: number for number, key in enumerate(dict.fromkeys(part.event.bill[:2] for part in parts))}
        parts.sort(key=lambda part: (places[part.event.bill[:2]], part.obligation.promise.ref))
        alike: dict[tuple[str, ...], list[_Part]] = {}
        for part in parts:
            alike.setdefault(self._alike(part.obligation, part.billed), []).append(part)
        for subjects, together in alike.items():
            if together[0].event.kind in ("credit", "return", "write_off"):
                self._lowering(subjects, together)
        for part in parts:
            self._correct(part)

    def _lowering(self, subjects: Sequence[str], parts: Sequence[_Part]) -> None:
        """Decide what of each part lowers its price: what is more than is billed beyond the prices of those that count together.

        A part takes what is billed beyond its own price first; what of a write-off has nothing to come there goes to the others.
        """
        alike = [self.obligations[subject] for subject in subjects]
        beyond = {item.promise.subject: 0 if item.promise.own else item.beyond for item in alike}
        left = max(sum(beyond.values()), 0)
        expected = {item.promise.subject: item.still_expected for item in alike}
        most: dict[str, int] = {}
        for part in parts:
            event, terms, subject = part.event, part.obligation.terms, part.billed.bill.subject
            if event.kind == "write_off":
                to_come = self._to_come(part.billed, event.on)
                part.expected = min(event.amount, expected[subject], to_come)
                expected[subject] -= part.expected
                part.rest = min(event.amount, to_come) - part.expected
                most[subject] = max(terms.price - terms.earned_before(event.on), 0)
            else:
                part.expected = min(event.amount, expected[subject])
                expected[subject] -= part.expected
                part.rest = event.amount - part.expected
                most[subject] = most.get(subject, 0) + part.rest
            own = min(part.rest, max(beyond[subject], 0), left)
            beyond[subject] -= own
            left -= own
            part.lower = part.rest - own
        over = min(left, sum(part.lower for part in parts))  # of what the others are billed beyond
        if over:
            for part, less in zip(parts, allocate(over, [part.lower for part in parts]), strict=True):
                part.lower -= less
        unplaced = 0
        for part in parts:
            wanted, subject = part.lower, part.billed.bill.subject
            part.lower = min(wanted, most[subject])
            most[subject] -= part.lower
            unplaced += wanted - part.lower
        for part in parts:
            more = min(unplaced, most[part.billed.bill.subject])
            most[part.billed.bill.subject] -= more
            part.lower += more
            unplaced -= more
        if parts[0].obligation.promise.own:
            return
        if parts[0].event.kind != "write_off":
            self._lower_elsewhere(alike, parts)
        elif unplaced:
            self._give_up_elsewhere(alike, parts, most, unplaced)

    def _lower_elsewhere(self, alike: Sequence[_Obligation], parts: Sequence[_Part]) -> None:
        """Lower the prices of others that bills were for too, as they were for them; and no price below nothing before theirs are."""
        left = {item.promise.subject: max(item.terms.price, 0) for item in alike}
        for part in parts:
            bill, subject = part.billed.bill, part.billed.bill.subject
            if part.event.starts_on is not None:
                continue
            for_others = self._for_others(part.billed)
            theirs = share(part.lower, for_others, bill.amount - part.billed.voided) if for_others else 0
            own = min(part.lower - theirs, left[subject])
            others = sorted(
                (item for item in alike if item.promise.subject != subject), key=lambda item: item.promise.ref
            )
            there = [left[item.promise.subject] for item in others]
            elsewhere = min(part.lower - own, sum(there))
            part.lower -= elsewhere
            left[subject] -= own
            for item, amount in zip(others, allocate(elsewhere, there) if elsewhere else there, strict=True):
                if elsewhere and amount:
                    left[item.promise.subject] -= amount
                    part.others.append((item, amount))

    def _give_up_elsewhere(
        self, alike: Sequence[_Obligation], parts: Sequence[_Part], most: Mapping[str, int], amount: int
    ) -> None:
        """Give up what is to come of others that a bill was for too; where nothing is to come of any, it was given."""
        on = parts[0].event.on
        for item in sorted(alike, key=lambda item: item.promise.ref):
            there = max(item.terms.price - item.terms.earned_before(on), 0)
            more = min(amount, most.get(item.promise.subject, there))
            if more:
                parts[-1].others.append((item, more))
            amount -= more
        for part in reversed(parts):
            given = min(amount, part.rest)
            part.rest -= given
            amount -= given

    def _correct(self, part: _Part) -> None:
        """What a part of a correction makes of the obligation, and how its amount is made up."""
        event, billed, obligation = part.event, part.billed, part.obligation
        before = obligation.terms.price
        split = _CORRECT[event.kind](self, part)
        before_it = self.folded.splits.get((event.document_id, event.bill), Split())
        self.folded.splits[event.document_id, event.bill] = Split(
            before_it.expected + split.expected, before_it.earned + split.earned, before_it.rest + split.rest
        )
        if event.kind in ("refund", "dispute") and not obligation.promise.own:
            billed.covers -= split.expected
            billed.refunded += split.earned + split.rest
            billed.to_come += split.rest
        else:
            billed.covers -= split.expected + split.rest
            billed.gone += split.earned
        obligation.billed -= split.expected + split.rest
        obligation.given_back += split.expected
        if split.earned and event.kind in GIVING:
            self.folded.beside.append(
                Beside(event.on, event.document_id, billed.bill.subject, event.kind, event.bill, split.earned)
            )
        if obligation.terms.price != before or split.expected:
            self._keep(obligation, event, "price", _REASONS[event.kind].format(event.ref), before)

    def _void(self, part: _Part) -> Split:
        """A bill is no price; but an obligation that an invoice made for itself has no other, and loses it from the start.

        Not where it is to be billed again.
        """
        part.billed.voided += part.event.amount
        if part.obligation.promise.own and not part.event.rebill:
            terms = part.obligation.terms
            terms.base, terms.pieces = terms.price - part.event.amount, []
        return Split(rest=part.event.amount)

    def _alike(self, obligation: _Obligation, billed: _Billed) -> tuple[str, ...]:
        """Whose bills and prices count together: one obligation's, or all that a line is spread over.

        Once a bill named one obligation for more than was agreed of it, it was for the others of the contract too: then all count as one.
        """
        bill = billed.bill
        if obligation.promise.own:
            return (bill.subject,)
        if self.billed_as_one:
            return tuple(
                subject
                for subject, item in self.obligations.items()
                if not item.promise.own and item.terms.curve.pattern != "usage"
            )
        of_line = tuple(key[2] for key in self.bills if key[:2] == (bill.invoice_id, bill.line))
        return of_line if len(of_line) > 1 else (bill.subject,)

    def _credit(self, part: _Part) -> Split:
        """What is expected back first, then what was promised over its period, what is billed beyond the price, and the price."""
        event, rest = part.event, part.rest
        lower = part.lower
        terms = part.obligation.terms
        if lower and event.starts_on is not None and terms.curve.pattern == "progress":
            terms.base -= lower  # no day of it is promised: it is for what was given
        elif event.starts_on is not None and event.ends_on is not None:
            ended = terms.end(event.starts_on, event.ends_on, rest)
            over = max(part.lower - ended, 0)
            lower = ended + over
            if over:
                at = terms.reached(event.ends_on)
                terms.spread(-over, [place for place, piece in enumerate(terms.pieces) if piece.begins < at] or None)
        elif lower:
            terms.spread(-lower)
        terms.lowered += lower
        for other, amount in part.others:
            before = other.terms.price
            other.terms.spread(-amount)
            other.terms.lowered += amount
            self._keep(other, event, "price", _REASONS["credit"].format(event.ref), before)
        return Split(expected=part.expected, rest=rest)

    def _to_come(self, billed: _Billed, on: date) -> int:
        """What of what a bill covers is still to come on a day, and its money did not go back."""
        to_come = max(self._covers(billed) - self._given(billed, on), 0)
        covers = self._covers(billed) - billed.gone
        if billed.refunded and covers > 0:  # money went back of it, evenly
            to_come = share(to_come, max(covers - billed.refunded, 0), covers)
        return to_come

    def _write_off(self, part: _Part) -> Split:
        """What is expected back first; then, of what the bill covers, what is to come, which leaves the price; what was earned is bad debt."""
        event, terms = part.event, part.obligation.terms
        terms.give_up(event.on, part.lower)
        terms.lowered += part.lower
        for other, amount in part.others:
            before = other.terms.price
            other.terms.give_up(event.on, amount)
            other.terms.lowered += amount
            self._keep(other, event, "price", _REASONS["write_off"].format(event.ref), before)
        return Split(part.expected, event.amount - part.expected - part.rest, part.rest)

    def _give_back(self, part: _Part) -> Split:
        """What is expected back first; of the rest, what of the bill is given is shown beside revenue, in proportion.

        What was not given ends where the bill was its only price; a contract's price stays.
        """
        obligation, billed, event = part.obligation, part.billed, part.event
        expected = min(event.amount, obligation.still_expected)
        amount = event.amount - expected
        covers = self._covers(billed) - billed.gone - expected
        given = self._given(billed, event.on) - billed.gone
        earned = share(amount, min(max(given, 0), covers), covers) if covers > 0 else amount
        if obligation.promise.own:
            terms = obligation.terms
            ends = min(amount - earned, max(terms.price - terms.earned_before(event.on), 0))
            terms.give_up(event.on, ends)
            terms.lowered += ends
        return Split(expected, earned, amount - earned)


_CORRECT: Mapping[str, Callable[[_Fold, _Part], Split]] = {
    "void": _Fold._void,
    "credit": _Fold._credit,
    "return": _Fold._credit,
    "write_off": _Fold._write_off,
    "refund": _Fold._give_back,
    "dispute": _Fold._give_back,
}
_REASONS = {
    "void": "{} takes its bill back",
    "credit": "credited by {} (606-10-32-43)",
    "return": "returned by {}",
    "write_off": "{} gives up what is to come",
    "refund": "{} gives back what is to come",
    "dispute": "{} loses what is to come",
}


class TooLittle(Exception):
    """A modification's price is below what is earned of the obligation already, in minor units.

    What lies on top of the price that it states, below zero where bills' corrections or the contract's documents took it off, counts.
    """

    def __init__(self, subject: str, earned: int, on_top: int) -> None:
        super().__init__(f"{subject}: at least {earned - on_top}")
        self.subject = subject
        self.earned = earned
        self.on_top = on_top


def _taken_as_agreed(added: Added, unknown: Sequence[str]) -> str:
    """Why an obligation that is not sold at its stand-alone price is taken at the price agreed."""
    why = (
        f"no stand-alone price is known of {', '.join(unknown)}" if unknown else "nothing else of the contract remains"
    )
    return f"{added.promise.reason}; taken at the price agreed: {why} (606-10-25-13(a))"


def _spread(amount: int, weights: Sequence[Fraction]) -> list[int]:
    """An amount over weights, summing exactly; below zero as above."""
    scale = lcm(*(weight.denominator for weight in weights))
    whole = [int(weight * scale) for weight in weights]
    if not any(whole):
        return [0] * len(whole)
    parts = allocate(abs(amount), whole)
    return parts if amount >= 0 else [-part for part in parts]
