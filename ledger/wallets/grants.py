"""Grants of credits: what they are worth, and how bills and draws change them.

The credits a grant is worth (`face`) and the money paid for them (`price`) may differ: a draw moves money by the
grant's paid rate, cumulatively rounded, so that a used-up grant has earned its price to the cent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import NamedTuple

from ledger.amounts.money import share, to_text
from ledger.documents.models.wallets import FREE_KINDS
from ledger.errors import OverApplication, Refused
from ledger.journal.books import Books
from ledger.journal.by_date import balance
from ledger.journal.movements import AccountKey, Movement, Source

KIND_ORDER = {"promotional": 0, "pilot": 1, "prepaid": 2, "commitment": 3}


NEVER = date.max


class Funding(NamedTuple):
    """What a bill was for of a grant, or took back.

    By the day on which it counts, and the one on which it happened.
    """

    day: date
    amount: int
    on: date


@dataclass(slots=True)
class Grant:
    """A grant's terms and how much of it is used. `fundings` are the amounts billed for it, by day.

    `moved` is what of its price left it otherwise than by use or expiry, and `voided` what of that went with a bill that was
    voided: billed again, it comes back. `returned_on` is the last day on which usage that fell gave credits back.

    Bonus credits have a `lead`, the paid grant of their order whose price they share; it lists them as its `bonuses`.
    """

    customer_id: int
    grant_id: int
    ref: str
    entity: str
    currency: str
    kind: str
    face: int
    price: int
    effective_on: date
    expires_on: date | None
    products: frozenset[str] | None
    priority: int | None
    expected_breakage: Fraction = Fraction(0)
    contract: str | None = None
    carried_from: str | None = None
    drawn_face: int = 0
    expired_face: int = 0
    drawn: int = 0
    broken: int = 0
    moved_face: int = 0
    moved: int = 0
    returned_on: date | None = None
    fundings: list[Funding] = field(default_factory=list)
    proportional: bool = False
    voided_face: int = 0
    voided: int = 0
    estimated_on: date | None = None  # the last day of which its breakage was estimated anew
    lead: Grant | None = field(default=None, repr=False, compare=False)
    bonuses: list[Grant] = field(default_factory=list, repr=False, compare=False)

    @property
    def subject(self) -> str:
        """How its sub-ledger accounts name it."""
        return grant_subject(self.ref)

    @property
    def left(self) -> int:
        """Credits that can still be drawn, in minor units of face value."""
        return self.face - self.drawn_face - self.expired_face - self.moved_face

    @property
    def free(self) -> bool:
        """Whether no price is for it: no liability, a discount when used."""
        return self.kind in FREE_KINDS and self.price == 0

    @property
    def paid(self) -> Grant | None:
        """The grant whose liability its draws use up: itself, its order's paid one, or none."""
        return self.lead if self.free else None if self.kind == "commitment" else self

    @property
    def kept_in_memorandum(self) -> bool:
        """Whether its credits stand in the memorandum accounts.

        The money does not show how many are left.
        """
        return self.kind == "promotional" or self.price != self.face or self.proportional or self.contract is not None

    @property
    def price_left(self) -> int:
        """What of its price, or of its order's, is neither earned nor gone with credits that left."""
        return self.price - self.drawn - self.broken - self.moved

    @property
    def unused_worth(self) -> int:
        """What was paid for its credits that are left.

        Where breakage is earned with use, with what of that was earned.
        """
        if not self.proportional:
            return self.price_left
        return share(self.price - self.moved, self.left, self.face - self.moved_face) if self.left else 0

    @property
    def to_bill(self) -> int:
        """What of its price can still be billed."""
        return self.price - self.moved - self.funded()

    def give_back(self, code: str, amount: int) -> int:
        """Undo on the grant what a reversed posting by a rule had done.

        Returns the credits (face value) given back.
        """
        match code:
            case "draw.prepaid" | "draw.prepaid_unbilled":
                self.drawn -= amount
                face = 0 if self.kept_in_memorandum else amount
            case "draw.credits" | "draw.commitment":
                # usage of a commitment is posted, and given back, as overage
                self.drawn_face -= amount if code == "draw.commitment" else 0
                face = amount if code == "draw.credits" else 0
            case "expire.prepaid_corrected":
                self.broken += amount
                self.expired_face += 0 if self.kept_in_memorandum else amount
                face = 0
            case "expire.credits_corrected":
                self.expired_face += amount
                face = 0
            case "break.prepaid" | "break.commitment":
                self.broken -= amount
                face = 0
            case "break.prepaid_corrected" | "break.commitment_corrected":
                self.broken += amount
                face = 0
            case "credit.used_after_all":
                self.broken -= amount
                self.drawn += amount
                face = 0
            case "expire.shortfall_used":
                self.expired_face += amount
                face = 0
            case _:
                face = 0
        self.drawn_face -= face
        return face

    def covers(self, product: str, on: date) -> bool:
        """Whether usage of a product on a day may draw on it.

        By its own terms, whatever is left of it.
        """
        return (
            self.effective_on <= on
            and (self.expires_on is None or on <= self.expires_on)
            and (self.products is None or product in self.products)
        )

    def funded(self, through: date = NEVER) -> int:
        """Money billed for it by invoices dated up to a day."""
        return sum(funding.amount for funding in self.fundings if funding.day <= through)


def grant_subject(ref: str) -> str:
    """The subject of a grant's accounts."""
    return f"grant:{ref}"


def breakage_due(grant: Grant, drawn_face: int, drawn: int) -> int:
    """What of a grant's price should be breakage once so much is drawn.

    Or of a commitment; proportional method only, else 0. Expected breakage x drawn / expected to be drawn, cumulatively, and never more
    than what use leaves of the price.
    """
    if not grant.expected_breakage:
        return 0
    price = grant.face if grant.kind == "commitment" else grant.price - grant.moved
    drawn = drawn_face if grant.kind == "commitment" else drawn
    expected = price * grant.expected_breakage
    to_be_drawn = (grant.face - grant.moved_face) * (1 - grant.expected_breakage)
    earned = min(expected * drawn_face / to_be_drawn, expected) if to_be_drawn > 0 else expected
    return max(min(round(earned), price - drawn), 0)


# The rules by which contract liability and contract asset settle each other, and are put back.
NET_GRANT = ("grant.settled", "grant.unsettled")


def grant_accounts(source: Source, ref: str) -> tuple[AccountKey, AccountKey]:
    """A grant's contract liability and contract asset."""
    subject = grant_subject(ref)
    return (
        AccountKey(source.entity, "customer_credits", source.currency, subject),
        AccountKey(source.entity, "unbilled_receivable", source.currency, subject),
    )


def bill_grant(
    books: Books, source: Source, grant: Grant, on: date, amount: int, before: int, invoice: str
) -> list[Movement]:
    """What a prepaid line of an invoice moves.

    What was drawn before it is settled, the rest becomes credits. `before` is what earlier lines of the same invoice billed of the grant.
    Raises OverApplication where more would be billed than the grant's price.
    """
    if grant.paid is not grant:
        raise Refused("grant", grant.ref, f"expected a grant that is paid for, found a {grant.kind} one")
    # what went with a bill that was voided can be billed again
    to_bill = grant.to_bill + grant.voided - before
    if amount > to_bill:
        raise OverApplication(
            "amount",
            f"{to_text(amount, grant.currency)} {grant.currency}",
            f"expected at most {to_text(to_bill, grant.currency)}, what is not yet billed of the price of grant "
            f"{grant.ref}",
        )
    drawn_before = 0
    if grant.drawn:
        _, unbilled_key = grant_accounts(source, grant.ref)
        unbilled = balance(books.history(source.customer.customer_id, unbilled_key), on)
        drawn_before = min(amount, max(unbilled - before, 0))
    return [
        Movement("invoice.prepaid_drawn", drawn_before, invoice, grant.subject),
        Movement("invoice.prepaid", amount - drawn_before, invoice, grant.subject),
    ]
