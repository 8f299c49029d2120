"""What bills cover of the price, and what of that was given by a day."""

from __future__ import annotations

from datetime import date, timedelta

from ledger.amounts.money import share
from revrec.terms.changes.state import Billed, Folding
from revrec.terms.events import Bill
from revrec.terms.terms import Terms


def add_bill(folding: Folding, bill: Bill) -> None:
    """Take a bill in: it names an obligation, and may bill others of its contract."""
    obligation = folding.obligations[bill.subject]
    obligation.billed += bill.amount
    usage = obligation.terms.curve.pattern == "usage"
    # of one that ended, what was agreed may still be billed
    more = min(obligation.beyond, obligation.billed - obligation.agreed)
    folding.billed_as_one |= not obligation.promise.own and not usage and more > 0
    folding.bills[bill.key] = Billed(bill, bill.amount)


def for_others_of(folding: Folding, billed: Billed) -> int:
    """What of a bill is for other obligations of the contract.

    That is what it bills beyond what was agreed of its own, in the order of the bills.
    """
    subject = billed.bill.subject
    reached = 0
    for item in folding.bills.values():
        if item.bill.subject == subject:
            amount = max(item.bill.amount - item.voided, 0)
            reached += amount
            if item is billed:
                return max(min(reached - folding.obligations[subject].agreed, amount), 0)
    return 0


def covered(folding: Folding, billed: Billed) -> int:
    """What of the price a bill covers.

    Less its part of what the contract's documents took off, which is not to be earned.
    """
    obligation = folding.obligations[billed.bill.subject]
    terms = obligation.terms
    if not terms.taken or billed.covers <= 0:
        return billed.covers
    whole = sum(max(item.covers, 0) for item in folding.bills.values() if item.bill.subject == billed.bill.subject)
    return billed.covers - share(min(terms.taken, whole), billed.covers, max(whole, terms.price + terms.taken))


def _period(folding: Folding, billed: Billed, terms: Terms | None = None) -> tuple[int, int] | None:
    """What is earned before, and by the end of, the period that a bill names.

    None where that earns nothing, or it names none.
    """
    terms, bill = terms or folding.obligations[billed.bill.subject].terms, billed.bill
    if bill.starts_on is None or bill.ends_on is None:
        return None
    starts, ends = terms.by(bill.starts_on - timedelta(days=1)), terms.by(bill.ends_on)
    return (starts, ends) if ends > starts else None


def given_of(folding: Folding, billed: Billed, on: date) -> int:
    """What of what a bill covers is given before a day.

    Of the period it names, else of the price in the order of the bills.
    """
    terms = folding.obligations[billed.bill.subject].terms.known(on - timedelta(days=1))
    earned, covers = terms.by(on - timedelta(days=1)), covered(folding, billed)
    if period := _period(folding, billed, terms):
        starts, ends = period
        return share(covers, min(max(earned - starts, 0), ends - starts), ends - starts)
    free = earned
    in_order = True
    for item in folding.bills.values():
        if item.bill.subject != billed.bill.subject:
            continue
        in_order &= item is not billed
        if other := _period(folding, item, terms):
            # what was given of other bills' own periods, as far as they cover it, is not of this one
            starts, ends = other
            within = min(max(earned - starts, 0), ends - starts)
            free -= min(share(max(covered(folding, item), 0), within, ends - starts), within) if within else 0
        elif in_order:
            free -= covered(folding, item) - item.to_come
    return min(max(free, 0), covers)


def to_come_of(folding: Folding, billed: Billed, on: date) -> int:
    """What of what a bill covers is still to come on a day, and its money did not go back."""
    to_come = max(covered(folding, billed) - given_of(folding, billed, on), 0)
    covers = covered(folding, billed) - billed.gone
    if billed.refunded and covers > 0:  # money went back of it, evenly
        to_come = share(to_come, max(covers - billed.refunded, 0), covers)
    return to_come
