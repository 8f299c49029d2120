"""Grants of credits: what they are worth, which usage may draw on them, in which order, and what a draw earns.

The credits a grant is worth (`face`) and the money paid for them (`price`) may differ: a draw moves money by the
grant's paid rate, cumulatively rounded, so that a used-up grant has earned its price to the cent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import NamedTuple

from ledger.amounts.money import share, to_text
from ledger.errors import OverApplication, Refused
from ledger.journal.books import Books
from ledger.journal.by_date import balance
from ledger.journal.movements import AccountKey, Movement, Source

# Credits given for nothing of their own; at most they share the price of what they come with.
FREE_KINDS = ("promotional", "pilot")
KIND_ORDER = {"promotional": 0, "pilot": 1, "prepaid": 2, "commitment": 3}


_NEVER = date.max
_LAST = 2**31


class Funding(NamedTuple):
    """What a bill was for of a grant, or took back: by the day on which it counts, and the one on which it happened."""

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
        """Whether its credits stand in the memorandum accounts, the money not showing how many are left."""
        return self.kind == "promotional" or self.price != self.face or self.proportional or self.contract is not None

    @property
    def price_left(self) -> int:
        """What of its price, or of its order's, is neither earned nor gone with credits that left."""
        return self.price - self.drawn - self.broken - self.moved

    @property
    def unused_worth(self) -> int:
        """What was paid for its credits that are left; where breakage is earned with use, with what of that was earned."""
        if not self.proportional:
            return self.price_left
        return share(self.price - self.moved, self.left, self.face - self.moved_face) if self.left else 0

    @property
    def to_bill(self) -> int:
        """What of its price can still be billed."""
        return self.price - self.moved - self.funded()

    def give_back(self, code: str, amount: int) -> int:
        """Undo on the grant what a reversed posting by a rule had done; returns the credits (face value) given back."""
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
        """Whether usage of a product on a day may draw on it: by its own terms, whatever is left of it."""
        return (
            self.effective_on <= on
            and (self.expires_on is None or on <= self.expires_on)
            and (self.products is None or product in self.products)
        )

    def funded(self, through: date = _NEVER) -> int:
        """Money billed for it by invoices dated up to a day."""
        return sum(funding.amount for funding in self.fundings if funding.day <= through)


def grant_subject(ref: str) -> str:
    """The subject of a grant's accounts."""
    return f"grant:{ref}"


def draw_order(grant: Grant) -> tuple[int, date, int, date, str]:
    """Sorts grants as usage draws on them: priority, soonest expiry, kind, first effective, id."""
    return (
        _LAST if grant.priority is None else grant.priority,
        grant.expires_on or _NEVER,
        KIND_ORDER[grant.kind],
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
    draws: list[Draw] = []
    for grant in grants:
        if amount == 0:
            break
        # late usage counts against a commitment's shortfall that was billed, too
        face = min(amount, grant.left + grant.expired_face)
        if face == 0 or not grant.covers(product, on):
            continue
        draws.append(Draw(grant, face, _money(grant, face, draws)))
        amount -= face
    return draws, amount


def _money(grant: Grant, face: int, before: Iterable[Draw]) -> int:
    """What a draw earns of its grant's price, or of its order's, where bonus credits share it."""
    paid = grant.paid
    if paid is None:
        return 0
    if paid.proportional or (not paid.bonuses and not paid.moved_face and not paid.moved):
        price, faces = paid.price - paid.moved, paid.face - paid.moved_face
        return max(share(price, paid.drawn_face + face, faces) - paid.drawn, 0)
    # credits that expired were worth their price, whatever was credited of them since
    if face > grant.left and not paid.bonuses:
        gone = paid.face - paid.left - paid.expired_face
        return share(paid.price, gone + face, paid.face) - share(paid.price, gone, paid.face)
    earlier = [draw for draw in before if draw.grant.paid is paid]
    return share_of_order(paid, face, earlier, expired=face > grant.left)


def share_of_order(paid: Grant, face: int, earlier: Sequence[Draw] = (), *, expired: bool = False) -> int:
    """What so many credits of an order are worth: what is left of its price, over all its credits that are left.

    `expired` counts what expired in, with what was broken of the price: late usage draws on both. So does what expired of an
    order of which nothing broke, as nobody was billed for it: its part of the price is still there.
    """
    pool = (paid, *paid.bonuses)
    money = paid.price_left - sum(draw.money for draw in earlier)
    left = sum(item.left for item in pool) - sum(draw.face for draw in earlier)
    if expired or not paid.broken:
        money += paid.broken
        left += sum(item.expired_face for item in pool)
    return min(share(money, face, left), money) if left > 0 else 0


def arrange(grants: Iterable[Grant], own_orders: Mapping[str, Sequence[str]]) -> list[Grant]:
    """Grants in drawing order, and bonus credits joined to the paid grant of their order.

    The grants of a contract with an order of its own (kinds, first to last) come in that one, in the places where they
    would come by default.
    """
    arranged = sorted(grants, key=draw_order)
    for contract, kinds in own_orders.items():
        places = [index for index, grant in enumerate(arranged) if grant.contract == contract]
        # a stable sort: the default order holds within a kind
        own = sorted((arranged[index] for index in places), key=lambda grant: kinds.index(grant.kind))
        for index, grant in zip(places, own, strict=True):
            arranged[index] = grant
    leads: dict[tuple[str, str, str], Grant] = {}
    for grant in sorted(arranged, key=lambda grant: grant.grant_id):
        grant.lead, grant.bonuses = None, []
        if grant.contract is not None and not grant.free and grant.kind != "commitment":
            leads.setdefault((grant.contract, grant.entity, grant.currency), grant)
    for grant in arranged:
        if grant.free and grant.contract is not None:
            grant.lead = leads.get((grant.contract, grant.entity, grant.currency))
            if grant.lead is not None:
                grant.lead.bonuses.append(grant)
    return arranged


def breakage_due(grant: Grant, drawn_face: int, drawn: int) -> int:
    """What of a grant's price, or of a commitment, should be breakage once so much is drawn; proportional method only, else 0.

    Expected breakage x drawn / expected to be drawn, cumulatively, and never more than what use leaves of the price.
    """
    if not grant.expected_breakage:
        return 0
    price = grant.face if grant.kind == "commitment" else grant.price - grant.moved
    drawn = drawn_face if grant.kind == "commitment" else drawn
    expected = price * grant.expected_breakage
    to_be_drawn = (grant.face - grant.moved_face) * (1 - grant.expected_breakage)
    earned = min(expected * drawn_face / to_be_drawn, expected) if to_be_drawn > 0 else expected
    return max(min(round(earned), price - drawn), 0)


def money_back(grant: Grant, face: int) -> int:
    """What so many credits that usage gives back had earned of the grant's price, or of its order's."""
    paid = grant.paid
    if paid is None:
        return 0
    if paid.proportional or (not paid.bonuses and not paid.moved_face and not paid.moved):
        price, faces = paid.price - paid.moved, paid.face - paid.moved_face
        return paid.drawn - min(share(price, paid.drawn_face - face, faces), paid.drawn)
    used = sum(item.drawn_face for item in (paid, *paid.bonuses))
    return share(paid.drawn, face, used)


def unbroken(grant: Grant, draw: Draw, returned: int) -> int:
    """How much of the breakage posted for a paid grant a late draw, with so many expired credits, shows to be wrong."""
    money = draw.money
    if grant.bonuses:  # what of the order did not expire keeps its share of the price
        return min(share(money, returned, draw.face), grant.broken)
    covered = min(money, max(grant.funded() - grant.drawn, 0))
    left = max(grant.funded() - grant.drawn - grant.broken, 0)
    return min(max(covered - left, 0), grant.broken)


def draw_movements(draw: Draw, billed: int, product: str) -> list[Movement]:
    """What a draw moves on the day of the usage; `billed` is how much of its money had been invoiced by then."""
    grant, subject = draw.grant, draw.grant.subject
    if grant.kind == "commitment":
        return [Movement("draw.commitment", draw.face, subject, subject)]
    memo = [Movement("draw.credits", draw.face, subject, subject)] if grant.kept_in_memorandum else []
    if grant.paid is None:
        return [Movement("draw.promotional", draw.face, subject, subject, product), *memo]
    order = grant.paid.subject
    return [
        Movement("draw.prepaid", billed, order, order, product),
        Movement("draw.prepaid_unbilled", draw.money - billed, order, order, product),
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
