"""Grants of credits: what they are worth, which usage may draw on them, in which order, and what a draw earns.

The credits a grant is worth (`face`) and the money paid for them (`price`) may differ: a draw moves money by the
grant's paid rate, cumulatively rounded, so that a used-up grant has earned its price to the cent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from ledger.books import AccountKey, Books, Movement, Source
from ledger.errors import OverApplication, Refused
from ledger.money import share, to_text
from ledger.positions import balance

_KIND_ORDER = {"promotional": 0, "pilot": 1, "prepaid": 2, "commitment": 3}


_NEVER = date.max
_LAST = 2**31

Funding = tuple[date, int]


@dataclass(slots=True)
class Grant:
    """A grant's terms and how much of it is used. `fundings` are the amounts billed for it, by day."""

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
    drawn_face: int = 0
    expired_face: int = 0
    drawn: int = 0
    broken: int = 0
    fundings: list[Funding] = field(default_factory=list)

    @property
    def subject(self) -> str:
        """How its sub-ledger accounts name it."""
        return grant_subject(self.ref)

    @property
    def left(self) -> int:
        """Credits that can still be drawn, in minor units of face value."""
        return self.face - self.drawn_face - self.expired_face

    @property
    def kept_in_memorandum(self) -> bool:
        """Whether its credits stand in the memorandum accounts, the money not showing how many are left."""
        return self.kind == "promotional" or self.price != self.face or self.expected_breakage > 0

    def give_back(self, code: str, amount: int) -> int:
        """Undo on the grant what a reversed posting by a rule had done; returns the credits (face value) given back."""
        match code:
            case "draw.prepaid" | "draw.prepaid_unbilled":
                self.drawn -= amount
                face = 0 if self.kept_in_memorandum else amount
            case "draw.credits":
                face = amount
            case "expire.prepaid_corrected":
                self.broken += amount
                self.expired_face += 0 if self.kept_in_memorandum else amount
                face = 0
            case "expire.credits_corrected":
                self.expired_face += amount
                face = 0
            case "break.prepaid":
                self.broken -= amount
                face = 0
            case "break.prepaid_corrected":
                self.broken += amount
                face = 0
            case _:
                face = 0
        self.drawn_face -= face
        return face

    def covers(self, product: str, on: date) -> bool:
        """Whether usage of a product on a day may draw on it: by its own terms, whatever is left of it."""
        return (
            self.effective_on <= on
            and (self.expires_on is None or on <= self.expires_on)
            and (self.products is None or product in self.products)
        )

    def funded(self, through: date = _NEVER) -> int:
        """Money billed for it by invoices dated up to a day."""
        return sum(amount for day, amount in self.fundings if day <= through)


def grant_subject(ref: str) -> str:
    """The subject of a grant's accounts."""
    return f"grant:{ref}"


def draw_order(grant: Grant) -> tuple[int, date, int, date, str]:
    """Sorts grants as usage draws on them: priority, soonest expiry, kind, first effective, id."""
    return (
        _LAST if grant.priority is None else grant.priority,
        grant.expires_on or _NEVER,
        _KIND_ORDER[grant.kind],
        grant.effective_on,
        grant.ref,
    )


@dataclass(frozen=True, slots=True)
class Draw:
    """What one grant gives to one usage: credits (`face`) and the money they earn."""

    grant: Grant
    face: int
    money: int


def plan_draws(grants: Iterable[Grant], product: str, on: date, amount: int) -> tuple[list[Draw], int]:
    """Which grants give how much to usage of a product on a day, and what no grant covers.

    `grants` come in drawing order. Late usage may draw on credits that expired since: they were valid then.
    """
    draws = []
    for grant in grants:
        if amount == 0:
            break
        face = min(amount, grant.left + grant.expired_face)
        if face == 0 or not grant.covers(product, on):
            continue
        money = share(grant.price, grant.drawn_face + face, grant.face) - grant.drawn
        draws.append(Draw(grant, face, money))
        amount -= face
    return draws, amount


def breakage_due(grant: Grant, drawn_face: int, drawn: int) -> int:
    """What of a grant's price should be breakage revenue once so much is drawn; proportional method only, else 0.

    Expected breakage x drawn / expected to be drawn, cumulatively, and never more than what use leaves of the price.
    """
    if not grant.expected_breakage:
        return 0
    expected = grant.price * grant.expected_breakage
    to_be_drawn = grant.face * (1 - grant.expected_breakage)
    earned = min(expected * drawn_face / to_be_drawn, expected)
    return min(round(earned), grant.price - drawn)


def unbroken(grant: Grant, money: int) -> int:
    """How much of the breakage posted for a grant a late draw of so much money shows to be wrong."""
    covered = min(money, max(grant.funded() - grant.drawn, 0))
    left = max(grant.funded() - grant.drawn - grant.broken, 0)
    return min(max(covered - left, 0), grant.broken)


def draw_movements(draw: Draw, billed: int, product: str) -> list[Movement]:
    """What a draw moves on the day of the usage; `billed` is how much of its money had been invoiced by then."""
    grant, subject = draw.grant, draw.grant.subject
    memo = [Movement("draw.credits", draw.face, subject, subject)] if grant.kept_in_memorandum else []
    if grant.kind == "promotional":
        return [Movement("draw.promotional", draw.face, subject, subject, product), *memo]
    return [
        Movement("draw.prepaid", billed, subject, subject, product),
        Movement("draw.prepaid_unbilled", draw.money - billed, subject, subject, product),
        *memo,
    ]


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
    """What a prepaid line of an invoice moves: what was drawn before it is settled, the rest becomes credits.

    `before` is what earlier lines of the same invoice billed of the grant. Raises OverApplication where more would be
    billed than the grant's price.
    """
    if grant.kind != "prepaid":
        raise Refused("grant", grant.ref, f"expected a prepaid grant, found a {grant.kind} one")
    to_bill = grant.price - grant.funded() - before
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
