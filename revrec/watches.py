"""What verification asks of revenue, and what it watches beside.

Of accounts of money too. What is found by watching is a warning, with its age and documents, and never a failure.
"""

from __future__ import annotations

from ledger.cash import money_accounts
from ledger.proof.verify import Watch
from revrec.invariants import QUESTIONS
from revrec.reports import below_zero, standing
from revrec.terms.kept_terms import TERMS

STANDING = Watch(
    "nothing is left standing once what it is of has ended: no asset that no open bill can clear, no liability that nobody can claim",
    "standing",
    standing.told,
)
BELOW_ZERO = Watch(
    "no month's revenue is below zero without a document that lowers a price or what was given",
    "below-zero",
    below_zero.told,
)
HELD = (*QUESTIONS, TERMS)
WATCHES = (STANDING, BELOW_ZERO, money_accounts.WATCH)
