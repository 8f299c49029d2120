"""Corrections of bills: what they lower of prices, and what was earned already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ledger.amounts.money import allocate, share
from revrec.terms.changes.bills import covered, for_others_of, given_of, to_come_of
from revrec.terms.changes.folded import GIVING, Beside, Split
from revrec.terms.changes.state import Billed, Folding, Obligation
from revrec.terms.events import Corrected


@dataclass(slots=True)
class _Part:
    """A part of a correction, of one line and obligation.

    Of its amount: what is expected back, what else leaves the bill, and what of that lowers the price.
    """

    event: Corrected
    billed: Billed
    obligation: Obligation
    expected: int = 0
    rest: int = 0
    lower: int = 0
    others: list[tuple[Obligation, int]] = field(default_factory=list)  # whose prices it lowers too


def correct(folding: Folding, events: Sequence[Corrected]) -> None:
    """Apply a correction of bills, all its lines and obligations together.

    What is billed beyond the price of all goes back before any price falls.
    """
    parts = [
        _Part(event, billed, folding.obligations[billed.bill.subject])
        for event in events
        if event.amount and (billed := folding.bills.get(event.bill)) is not None
    ]  # the others are of a bill of a later day, or undone whole
    places = {key: number for number, key in enumerate(dict.fromkeys(part.event.bill[:2] for part in parts))}
    parts.sort(key=lambda part: (places[part.event.bill[:2]], part.obligation.promise.ref))
    alike: dict[tuple[str, ...], list[_Part]] = {}
    for part in parts:
        alike.setdefault(_counting_together(folding, part.obligation, part.billed), []).append(part)
    for subjects, together in alike.items():
        if together[0].event.kind in ("credit", "return", "write_off"):
            _lowering(folding, subjects, together)
    for part in parts:
        _correct_part(folding, part)


def _counting_together(folding: Folding, obligation: Obligation, billed: Billed) -> tuple[str, ...]:
    """Whose bills and prices count together.

    One obligation's, or those of all that a line is spread over. Once a bill named one obligation for more than was agreed of it, it was
    for the others of the contract too: then all count as one.
    """
    bill = billed.bill
    if obligation.promise.own:
        return (bill.subject,)
    if folding.billed_as_one:
        return tuple(
            subject
            for subject, item in folding.obligations.items()
            if not item.promise.own and item.terms.curve.pattern != "usage"
        )
    of_line = tuple(key[2] for key in folding.bills if key[:2] == (bill.invoice_id, bill.line))
    return of_line if len(of_line) > 1 else (bill.subject,)


def _lowering(folding: Folding, subjects: Sequence[str], parts: Sequence[_Part]) -> None:
    """Decide what of each part lowers its price.

    That is what is more than is billed beyond the prices of those that count together. A part takes what is billed beyond its own price
    first; what of a write-off has nothing to come there goes to the others.
    """
    alike = [folding.obligations[subject] for subject in subjects]
    beyond = {item.promise.subject: 0 if item.promise.own else item.beyond for item in alike}
    left = max(sum(beyond.values()), 0)
    expected = {item.promise.subject: item.still_expected for item in alike}
    most: dict[str, int] = {}
    for part in parts:
        event, terms, subject = part.event, part.obligation.terms, part.billed.bill.subject
        if event.kind == "write_off":
            to_come = to_come_of(folding, part.billed, event.on)
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
    unplaced = _place(parts, most)
    if parts[0].obligation.promise.own:
        return
    if parts[0].event.kind != "write_off":
        _lower_elsewhere(folding, alike, parts)
    elif unplaced:
        _give_up_elsewhere(alike, parts, most, unplaced)


def _place(parts: Sequence[_Part], most: dict[str, int]) -> int:
    """Lower no price by more than it bears; the rest goes to the other parts. Returns what finds no place."""
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
    return unplaced


def _lower_elsewhere(folding: Folding, alike: Sequence[Obligation], parts: Sequence[_Part]) -> None:
    """Lower the prices of other obligations that bills were for too.

    As the bills were for them; and no price goes below nothing before theirs do.
    """
    left = {item.promise.subject: max(item.terms.price, 0) for item in alike}
    for part in parts:
        bill, subject = part.billed.bill, part.billed.bill.subject
        if part.event.starts_on is not None:
            continue
        for_others = for_others_of(folding, part.billed)
        theirs = share(part.lower, for_others, bill.amount - part.billed.voided) if for_others else 0
        own = min(part.lower - theirs, left[subject])
        others = sorted((item for item in alike if item.promise.subject != subject), key=lambda item: item.promise.ref)
        there = [left[item.promise.subject] for item in others]
        elsewhere = min(part.lower - own, sum(there))
        part.lower -= elsewhere
        left[subject] -= own
        for item, amount in zip(others, allocate(elsewhere, there) if elsewhere else there, strict=True):
            if elsewhere and amount:
                left[item.promise.subject] -= amount
                part.others.append((item, amount))


def _give_up_elsewhere(
    alike: Sequence[Obligation], parts: Sequence[_Part], most: Mapping[str, int], amount: int
) -> None:
    """Give up what is to come of other obligations that a bill was for too.

    Where nothing is to come of any, it was given.
    """
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


def _correct_part(folding: Folding, part: _Part) -> None:
    """What a part of a correction makes of the obligation, and how its amount is made up."""
    event, billed, obligation = part.event, part.billed, part.obligation
    before = obligation.terms.price
    split = _CORRECT[event.kind](folding, part)
    before_it = folding.folded.splits.get((event.document_id, event.bill), Split())
    folding.folded.splits[event.document_id, event.bill] = Split(
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
        folding.folded.beside.append(
            Beside(event.on, event.document_id, billed.bill.subject, event.kind, event.bill, split.earned)
        )
    if obligation.terms.price != before or split.expected:
        folding.keep(obligation, event, "price", _REASONS[event.kind].format(event.ref), before)


def _void(_folding: Folding, part: _Part) -> Split:
    """Take a bill back; that changes no price.

    An obligation that an invoice made for itself has no other price, and loses it from the start. Not where it is to be billed again.
    """
    part.billed.voided += part.event.amount
    if part.obligation.promise.own and not part.event.rebill:
        terms = part.obligation.terms
        terms.base, terms.pieces = terms.price - part.event.amount, []
    return Split(rest=part.event.amount)


def _credit(folding: Folding, part: _Part) -> Split:
    """Credit a bill: what is expected back goes first.

    Then what was promised over its period, what is billed beyond the price, and the price.
    """
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
        folding.keep(other, event, "price", _REASONS["credit"].format(event.ref), before)
    return Split(expected=part.expected, rest=rest)


def _write_off(folding: Folding, part: _Part) -> Split:
    """Write a bill off: what is expected back goes first.

    Then, of what the bill covers, what is to come, which leaves the price; what was earned is bad debt.
    """
    event, terms = part.event, part.obligation.terms
    terms.give_up(event.on, part.lower)
    terms.lowered += part.lower
    for other, amount in part.others:
        before = other.terms.price
        other.terms.give_up(event.on, amount)
        other.terms.lowered += amount
        folding.keep(other, event, "price", _REASONS["write_off"].format(event.ref), before)
    return Split(part.expected, event.amount - part.expected - part.rest, part.rest)


def _give_back(folding: Folding, part: _Part) -> Split:
    """Give money of a bill back: what is expected back goes first.

    Of the rest, what of the bill is given is shown beside revenue, in proportion. What was not given ends where the bill was its only
    price; a contract's price stays.
    """
    obligation, billed, event = part.obligation, part.billed, part.event
    expected = min(event.amount, obligation.still_expected)
    amount = event.amount - expected
    covers = covered(folding, billed) - billed.gone - expected
    given = given_of(folding, billed, event.on) - billed.gone
    earned = share(amount, min(max(given, 0), covers), covers) if covers > 0 else amount
    if obligation.promise.own:
        terms = obligation.terms
        ends = min(amount - earned, max(terms.price - terms.earned_before(event.on), 0))
        terms.give_up(event.on, ends)
        terms.lowered += ends
    return Split(expected, earned, amount - earned)


_CORRECT: Mapping[str, Callable[[Folding, _Part], Split]] = {
    "void": _void,
    "credit": _credit,
    "return": _credit,
    "write_off": _write_off,
    "refund": _give_back,
    "dispute": _give_back,
}

_REASONS = {
    "void": "{} takes its bill back",
    "credit": "credited by {} (606-10-32-43)",
    "return": "returned by {}",
    "write_off": "{} gives up what is to come",
    "refund": "{} gives back what is to come",
    "dispute": "{} loses what is to come",
}
