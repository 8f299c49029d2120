"""Which grants usage draws on, in which order, and what each draw earns of a price."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from ledger.amounts.money import share
from ledger.journal.movements import Movement
from ledger.wallets.grants import KIND_ORDER, NEVER, Grant

_LAST = 2**31


def draw_order(grant: Grant) -> tuple[int, date, int, date, str]:
    """Sorts grants as usage draws on them: priority, soonest expiry, kind, first effective, id."""
    return (
        _LAST if grant.priority is None else grant.priority,
        grant.expires_on or NEVER,
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
    """What so many credits of an order are worth.

    What is left of its price, over all its credits that are left. `expired` counts what expired in, with what was broken of the price:
    late usage draws on both. So does what expired of an order of which nothing broke, as nobody was billed for it: its part of the price
    is still there.
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


def money_back(grant: Grant, face: int) -> int:
    """What so many credits that usage gives back had earned.

    Of the grant's price, or of its order's.
    """
    paid = grant.paid
    if paid is None:
        return 0
    if paid.proportional or (not paid.bonuses and not paid.moved_face and not paid.moved):
        price, faces = paid.price - paid.moved, paid.face - paid.moved_face
        return paid.drawn - min(share(price, paid.drawn_face - face, faces), paid.drawn)
    used = sum(item.drawn_face for item in (paid, *paid.bonuses))
    return share(paid.drawn, face, used)


def unbroken(grant: Grant, draw: Draw, returned: int) -> int:
    """How much of a paid grant's breakage a late draw shows to be wrong.

    A draw with so many expired credits.
    """
    money = draw.money
    if grant.bonuses:  # what of the order did not expire keeps its share of the price
        return min(share(money, returned, draw.face), grant.broken)
    covered = min(money, max(grant.funded() - grant.drawn, 0))
    left = max(grant.funded() - grant.drawn - grant.broken, 0)
    return min(max(covered - left, 0), grant.broken)


def draw_movements(draw: Draw, billed: int, product: str) -> list[Movement]:
    """What a draw moves on the day of the usage.

    `billed` is how much of its money had been invoiced by then.
    """
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
