"""Contracts modified or combined: prices changed, obligations added and cancelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from math import lcm

from ledger.amounts.money import allocate, to_text
from ledger.errors import Refused
from revrec.terms.changes.components import close_given, open_all, pool_components
from revrec.terms.changes.endings import end_one
from revrec.terms.changes.folded import TooLittle
from revrec.terms.changes.state import Folding, Obligation
from revrec.terms.events import Added, Changed, Combined, Event, Modified
from revrec.terms.terms import plain


def _taken_as_agreed(added: Added, unknown: Sequence[str]) -> str:
    """Why an obligation that is not sold at its stand-alone price is taken at the price agreed."""
    why = (
        f"no stand-alone price is known of {', '.join(unknown)}" if unknown else "nothing else of the contract remains"
    )
    return f"{added.promise.reason}; taken at the price agreed: {why} (606-10-25-13(a))"


def combine(folding: Folding, event: Combined) -> None:
    """Give obligations of combined contracts the prices they have as one contract."""
    for subject, (since, price) in event.prices.items():
        obligation = folding.obligations[subject]
        before = obligation.terms.price
        obligation.stated = obligation.agreed = price
        obligation.terms = plain(obligation.promise.curve, price, obligation.terms.progress)
        folding.keep(obligation, event, "combined", event.reason, before, since)


def modify(folding: Folding, events: Sequence[Modified]) -> None:
    """Modify a contract by all its modifications of one day together.

    Changes come before what is added.
    """
    day, last = events[0].on, events[-1]
    changed = {item.subject: (item, event) for event in events for item in event.changed}
    cancelled = {subject: event for event in events for subject in event.cancelled}
    for subject, event in [*((subject, event) for subject, (_, event) in changed.items()), *cancelled.items()]:
        _require_going_on(folding, subject, event)
    changed = {subject: item for subject, item in changed.items() if not folding.obligations[subject].ended}
    cancelled = {subject: event for subject, event in cancelled.items() if not folding.obligations[subject].ended}
    apart = [(item, event) for event in events for item in event.added if item.apart is not None]
    for subject, event in cancelled.items():
        changed.pop(subject, None)
        end_one(
            folding, folding.obligations[subject], event, "cancelled", f"ends before {day}: nothing more is promised"
        )
    pooled, unknown = _pooled(folding, day, events[0].contract, changed, apart, set(cancelled))
    for subject, (item, event) in changed.items():
        if subject not in pooled:
            _modify_one(folding, folding.obligations[subject], item, event)
    for event in events:
        for added in event.added:
            if added.apart is None or not pooled:
                price = added.promise.price if added.renews is None else folding.obligations[added.renews].stated
                reason = added.promise.reason if added.apart is None else _taken_as_agreed(added, unknown)
                folding.promise(replace(added.promise, price=price, reason=reason))
    if pooled:
        _pool(folding, day, last, pooled, changed, apart)


def _require_going_on(folding: Folding, subject: str, event: Modified) -> None:
    """Raise Refused where an obligation that is changed or cancelled has ended by then."""
    obligation = folding.obligations.get(subject)
    ref = subject.removeprefix("obligation:")
    if obligation is None or obligation.promise.known_on > event.on:
        if folding.checked is not None:
            since = "is not promised" if obligation is None else f"is promised on {obligation.promise.known_on}"
            raise Refused("date", event.on, f"expected a day on which {ref} is promised: it {since}")
        return
    if not obligation.ended or folding.checked is None:
        return
    if event.document_id != folding.checked:
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


def _new_price(folding: Folding, obligation: Obligation, item: Changed) -> int:
    return item.price + folding.on_top(obligation)


def _modify_one(folding: Folding, obligation: Obligation, item: Changed, event: Event) -> None:
    terms, before = obligation.terms, obligation.terms.price
    price = _new_price(folding, obligation, item)
    same = terms.curve == item.curve and obligation.stated == item.price
    obligation.stated = item.price
    obligation.ssp = obligation.ssp if item.ssp is None else item.ssp
    if same:
        return  # agreed as it was: nothing changes
    obligation.agreed = item.price
    if item.treatment == "catch_up":
        open_all(folding, obligation)
        # of one day they are one modification
        replaced = terms.known(event.on - timedelta(days=1))
        obligation.terms = replace(
            terms, curve=item.curve, base=0, pieces=[], paid=obligation.paid, earlier=None, since=None,
            replaced=replaced, caught_up=event.on,
        )  # fmt: skip
        fresh = plain(item.curve, price, terms.progress)
        obligation.terms.pieces = fresh.pieces
    else:
        _require_at_least(folding, obligation, event, price)
        close_given(folding, obligation, event.on)
        terms.settle(event.on)
        terms.go_on(event.on, item.curve, price - terms.base)
    folding.keep(obligation, event, item.treatment, item.reason, before)


def _require_at_least(folding: Folding, obligation: Obligation, event: Event, price: int) -> None:
    earned = obligation.terms.earned_before(event.on)
    if price < earned and event.document_id == folding.checked:
        raise TooLittle(obligation.promise.subject, earned, folding.on_top(obligation))


def _pooled(
    folding: Folding,
    day: date,
    contract: str,
    changed: Mapping[str, tuple[Changed, Modified]],
    apart: Sequence[tuple[Added, Modified]],
    cancelled: set[str],
) -> tuple[dict[str, tuple[int, Fraction]], list[str]]:
    """What is left of the obligations that share with what is added.

    Of each the price that is left, and what that is worth alone. None where nothing is added that does, or a stand-alone price is not
    known: of which.
    """
    if not apart:
        return {}, []
    found: dict[str, tuple[int, Fraction]] = {}
    unknown: list[str] = []
    for obligation in folding.going_on(contract):
        subject = obligation.promise.subject
        item = changed[subject][0] if subject in changed else None
        if subject in cancelled or (item is not None and item.treatment == "catch_up"):
            continue
        curve = obligation.terms.curve if item is None else item.curve
        if curve.pattern == "progress" and curve.quantity is None:
            continue
        price = obligation.terms.price if item is None else _new_price(folding, obligation, item)
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
    folding: Folding,
    day: date,
    last: Modified,
    pooled: Mapping[str, tuple[int, Fraction]],
    changed: Mapping[str, tuple[Changed, Modified]],
    apart: Sequence[tuple[Added, Modified]],
) -> None:
    """Share what is left of the price, and the new prices, over all that remains.

    By stand-alone prices (25-13(a)).
    """
    pool = sum(left for left, _ in pooled.values()) + sum(item.promise.price for item, _ in apart)
    worths = [worth for _, worth in pooled.values()] + [Fraction(item.apart or 0) for item, _ in apart]
    scale = lcm(*(worth.denominator for worth in worths))
    weights = [int(worth * scale) for worth in worths]
    parts = allocate(max(pool, 0), weights)
    amount = f"{to_text(pool, folding.currency)} {folding.currency}" if folding.currency else f"{pool} in minor units"
    reason = (
        f"not sold at stand-alone prices: {amount}, what is left of the price and the new, is shared by stand-alone prices over "
        "what remains (606-10-25-13(a))"
    )
    pool_components(folding, list(pooled), [item.promise.subject for item, _ in apart], weights, day)
    for (subject, _), part in zip(pooled.items(), parts, strict=False):
        obligation = folding.obligations[subject]
        terms, before = obligation.terms, obligation.terms.price
        event: Event = last
        curve = terms.curve
        if subject in changed:
            item, event = changed[subject]
            curve, obligation.stated = item.curve, item.price
            obligation.ssp = obligation.ssp if item.ssp is None else item.ssp
        terms.settle(day)
        terms.go_on(day, curve, part)
        obligation.agreed = terms.price - folding.on_top(obligation)
        folding.keep(obligation, event, "prospective", reason, before)
    for (new, _), part in zip(apart, parts[len(pooled) :], strict=True):
        made = folding.promise(replace(new.promise, price=part, treatment="prospective", reason=reason))
        made.stated = new.promise.price
