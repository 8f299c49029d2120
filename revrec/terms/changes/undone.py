"""What undoes a correction: from its day on all is told as if that had never been."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from revrec.terms.changes.folded import Folded, Split
from revrec.terms.events import Corrected, Event, Undone


def as_known(events: Sequence[Event], step: tuple[date, int] | None) -> list[Event]:
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


def join(whole: Folded, found: Folded, since: date | None, until: date | None, undone: Sequence[Undone]) -> None:
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
