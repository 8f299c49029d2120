"""Obligations that end: cancelled, or terminated with their contract."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ledger.errors import Refused
from revrec.terms.changes.components import close_given
from revrec.terms.changes.state import Folding, Obligation
from revrec.terms.events import Event, Terminated


def end_one(folding: Folding, obligation: Obligation, event: Event, treatment: str, reason: str) -> None:
    """End an obligation: nothing more of it is promised.

    What is earned of it stays, and what a component gave it of that.
    """
    before = obligation.terms.price
    close_given(folding, obligation, event.on, dropping=True)
    obligation.terms.end_all(event.on)
    folding.keep(obligation, event, treatment, reason, before)


def terminate(folding: Folding, event: Terminated) -> None:
    """End what goes on of a contract with its last day; what leaving costs is promised."""
    for obligation in folding.of(event.contract):
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
            folding.keep(obligation, event, "terminated", reason, before)
        elif event.ends < event.on or terms.curve.starts_on > event.ends:
            end_one(folding, obligation, event, "cancelled", reason)
        elif terms.curve.pattern == "progress":
            raise Refused(
                "ends", event.ends, f"expected none: {obligation.promise.ref} is earned by progress, and nobody knows how far it "
                "will be; cancel it by a contract_modification once it is done, then terminate the rest"
            )  # fmt: skip
        else:
            close_given(folding, obligation, event.ends + timedelta(days=1), dropping=True)
            terms.cut(event.on, event.ends)
            folding.keep(obligation, event, "terminated", reason, before)
    if event.penalty is not None:
        folding.promise(event.penalty)
