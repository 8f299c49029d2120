"""Events of a contract, folded by date into the terms of each day.

A contract's documents, and the bills and corrections of what it promised, are events. They are taken day by day: on one day
modifications as one, then endings, estimates, what the contract's documents take off the price, bills, credit notes, and last what
gives money up or back. So what came first into the books does not matter. Each event that changes a price leaves a version; each
that gives up or gives back leaves how much of its amount was earned. Nothing here asks what was booked (606-10-25-13, 32-42 to 32-45).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from revrec.terms.changes.bills import add_bill
from revrec.terms.changes.components import estimate, take
from revrec.terms.changes.corrections import correct
from revrec.terms.changes.endings import terminate
from revrec.terms.changes.folded import Folded
from revrec.terms.changes.modifications import combine, modify
from revrec.terms.changes.state import Folding
from revrec.terms.changes.undone import as_known, join
from revrec.terms.events import (
    Bill,
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
from revrec.terms.terms import Progress

_RANKS: Mapping[type, int] = {Combined: 0, Modified: 1, Terminated: 2, Estimated: 3, Taken: 4, Undone: 9}

_CORRECTING = {"void": 6, "credit": 7, "return": 7, "refund": 8, "dispute": 8, "write_off": 8}


def _rank(event: Event | Bill) -> tuple[date, int, str, int]:
    """Where an event comes among others.

    By its day; on one day by what it is, then bills and their corrections by their names, others as they came in.
    """
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
        folding = Folding(promises, progress or {}, checked, currency)
        found = _run(folding, as_known(events, step), bills, until)
        join(whole, found, since, until, [event for event in undone if (event.on, event.document_id) == step])
    return whole


def _once_promised(events: list[Event], bills: list[Bill]) -> tuple[list[Event], list[Bill]]:
    """Let bills of what is promised on a later day count from that day on.

    With what corrects them.
    """
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


def _run(folding: Folding, events: Sequence[Event], bills: Sequence[Bill], until: date | None) -> Folded:
    """Take all events to a day."""
    happening: list[Event | Bill] = [*events, *bills]
    coming = sorted(happening, key=_rank)
    while coming:
        event = coming.pop(0)
        if until is not None and event.on > until:
            break
        if isinstance(event, Bill):
            add_bill(folding, event)
        elif isinstance(event, Modified):
            same: list[Modified] = [event]
            while coming and isinstance(coming[0], Modified) and coming[0].on == event.on:
                following = coming.pop(0)
                assert isinstance(following, Modified), "looked at just before"
                same.append(following)
            for contract in dict.fromkeys(item.contract for item in same):
                modify(folding, [item for item in same if item.contract == contract])
        elif isinstance(event, Corrected):
            together = [event]
            while coming and _together(event, coming[0]):
                part = coming.pop(0)
                assert isinstance(part, Corrected), "looked at just before"
                together.append(part)
            correct(folding, together)
        else:
            _change(folding, event)
    return folding.folded


def _change(folding: Folding, event: Event) -> None:
    if isinstance(event, Combined):
        combine(folding, event)
    elif isinstance(event, Terminated):
        terminate(folding, event)
    elif isinstance(event, Estimated):
        estimate(folding, event)
    elif isinstance(event, Taken):
        take(folding, event)
