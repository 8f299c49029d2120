"""Variable amounts of a contract's price: estimates of components, and what is taken off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from fractions import Fraction
from math import lcm

from ledger.amounts.money import allocate, share
from ledger.errors import Refused, UnknownReference
from revrec.terms.changes.state import Folding, Obligation, Share
from revrec.terms.events import Estimated, Taken


def _spread(amount: int, weights: Sequence[Fraction]) -> list[int]:
    """An amount over weights, summing exactly; below zero as above."""
    scale = lcm(*(weight.denominator for weight in weights))
    whole = [int(weight * scale) for weight in weights]
    if not any(whole):
        return [0] * len(whole)
    parts = allocate(abs(amount), whole)
    return parts if amount >= 0 else [-part for part in parts]


def _weighted(folding: Folding, contract: str, subjects: Sequence[str] | None) -> list[tuple[Obligation, int]]:
    """What a change of a contract's price falls on, with the weight of each.

    Those it is about, or all that go on.
    """
    found = folding.going_on(contract)
    if subjects is not None:
        found = [folding.obligations[subject] for subject in subjects if subject in folding.obligations]
    if len(found) == 1:
        return [(found[0], 1)]
    by_ssp = all(item.ssp is not None for item in found)
    return [(item, (item.ssp or 0) if by_ssp else max(item.terms.price, 0)) for item in found]


def _require_shared(folding: Folding, event: Estimated | Taken, *, rebate: bool) -> None:
    """Raise where nothing can bear a change of a contract's price.

    It is about what does not go on then, or nothing has a price to share it by.
    """
    if event.document_id != folding.checked:
        return
    going_on = {item.promise.subject: item for item in folding.going_on(event.contract)}
    if rebate and event.subjects is not None and len(event.subjects) == 1:
        going_on |= {item.promise.subject: item for item in folding.of(event.contract) if not item.ended}
    for index, subject in enumerate(event.subjects or ()):
        if subject not in going_on:
            ref = subject.removeprefix("obligation:")
            raise UnknownReference(
                f"obligations.{index}",
                ref,
                f"expected an obligation of {event.contract} that goes on on {event.on}",
            )
    weighted = _weighted(folding, event.contract, event.subjects)
    if len(weighted) != 1 and not any(weight for _, weight in weighted):
        raise Refused(
            "contract", event.contract, "expected obligations with prices to allocate to, or the one it is about"
        )


def estimate(folding: Folding, event: Estimated) -> None:
    """Let a component be what is estimated of it, over the obligations that it is about."""
    if event.subjects is not None or (event.contract, event.component) not in folding.shares:
        _require_shared(folding, event, rebate=event.refund)
    key = (event.contract, event.component)
    shares = folding.shares.get(key)
    if shares is not None and event.subjects is not None and {s.subject for s in shares} != set(event.subjects):
        _apply(folding, key, event, 0, shares)  # it is about others now: those before give theirs back
        shares = None
    if shares is None:
        weighted = [(item, weight) for item, weight in _weighted(folding, event.contract, event.subjects) if weight]
        shares = [Share(item.promise.subject, Fraction(weight), "spread") for item, weight in weighted]
    folding.shares[key] = shares
    _apply(folding, key, event, event.included, shares)


def _apply(folding: Folding, key: tuple[str, str], event: Estimated, included: int, shares: Sequence[Share]) -> None:
    """Let a component be so much: each share of it changes by its part."""
    if not shares:
        return
    parts = _spread(included, [item.weight for item in shares])
    folding.shares[key] = [replace(item, part=part) for item, part in zip(shares, parts, strict=True)]
    changes: dict[str, list[tuple[str, int]]] = {}
    for item, now in zip(shares, parts, strict=True):
        if item.how != "dropped" and now != item.part:
            changes.setdefault(item.subject, []).append((item.how, now - item.part))
    for subject, moved in changes.items():
        obligation = folding.obligations[subject]
        price = obligation.terms.price
        for how, change in moved:
            if how == "at_once":
                obligation.terms.base += change
            else:
                obligation.terms.spread(change)
            if event.refund:
                obligation.expected_back[key[1]] -= change
        folding.keep(obligation, event, "price", event.reason, price)


def open_all(folding: Folding, obligation: Obligation) -> None:
    """All of an obligation's shares are spread again: its price counts from the start."""
    subject = obligation.promise.subject
    for key, shares in folding.shares.items():
        folding.shares[key] = [
            replace(item, how="spread") if item.subject == subject and item.how == "at_once" else item
            for item in shares
        ]


def close_given(folding: Folding, obligation: Obligation, on: date, *, dropping: bool = False) -> None:
    """Let what is given of an obligation keep its part of each component.

    What remains is spread anew, or is dropped with it.
    """
    price = obligation.terms.price
    given = Fraction(obligation.terms.earned_before(on), price) if price else Fraction(0)
    given = min(max(given, Fraction(0)), Fraction(1))
    subject = obligation.promise.subject
    for key, shares in folding.shares.items():
        found: list[Share] = []
        for item in shares:
            if item.subject != subject or item.how != "spread":
                found.append(item)
                continue
            stays = share(item.part, given.numerator, given.denominator)
            found += [
                Share(subject, item.weight * given, "at_once", stays),
                Share(subject, item.weight * (1 - given), "dropped" if dropping else "spread", item.part - stays),
            ]
        folding.shares[key] = found


def pool_components(
    folding: Folding, pooled: Sequence[str], added: Sequence[str], weights: Sequence[int], day: date
) -> None:
    """Pool the components of obligations that are pooled.

    What was given of these keeps its part of each component, the rest goes to the pool as its price does.
    """
    for subject in pooled:
        close_given(folding, folding.obligations[subject], day)
    members, whole = [*pooled, *added], sum(weights)
    for key, shares in folding.shares.items():
        into = [item for item in shares if item.subject in pooled and item.how == "spread"]
        if not into or not whole:
            continue
        weight = sum((item.weight for item in into), Fraction(0))
        parts = _spread(sum(item.part for item in into), [Fraction(w) for w in weights])
        folding.shares[key] = [item for item in shares if item not in into] + [
            Share(member, weight * Fraction(w, whole), "spread", part)
            for member, w, part in zip(members, weights, parts, strict=True)
        ]


def take(folding: Folding, event: Taken) -> None:
    """Take an amount off the price.

    What was given already bears its part at once, within its last modification (32-45).
    """
    _require_shared(folding, event, rebate=False)
    weighted = _weighted(folding, event.contract, event.subjects)
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
            folding.keep(obligation, event, "price", event.reason, before)
