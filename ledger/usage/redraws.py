"""Draws told again, because the credits they took went with their bill.

Those of a later day are drawn on what is left. By their dates the credits were gone. What is given back goes to the grant, the bill is
taken back, and the usage is drawn afresh on its own day: on other grants, or it is billed later. What was used until that day stays as it
was drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import text

from ledger.accounts.rulebook import RULES
from ledger.journal.by_date import available
from ledger.journal.movements import Source
from ledger.usage import draw, given_back
from ledger.usage.given_back import Piece
from ledger.wallets.grants import Grant, grant_accounts
from ledger.wallets.session import Wallets

_DRAWS = tuple(RULES[code].number for code in ("draw.prepaid", "draw.prepaid_unbilled", "draw.credits"))

_LATER = """
    select e.entry_id, e.effective_on, e.occurred_on, max(r.product) as product
    from account a
    join posting p on p.customer_id = a.customer_id and p.credit_account = a.account_id and p.rule = any(:draws)
    join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id and e.reverses is null
    join posting q on q.customer_id = e.customer_id and q.entry_id = e.entry_id
    join account r on r.customer_id = q.customer_id and r.account_id = q.credit_account and r.role = 'revenue'
    where a.customer_id = :customer_id and a.subject = any(:subjects) and e.occurred_on > :on
      and not exists (select from entry x where x.customer_id = e.customer_id and x.reverses = e.entry_id)
    group by 1, 2, 3 order by e.occurred_on desc, e.entry_id desc"""


@dataclass(frozen=True, slots=True)
class Freed:
    """Usage that gave its credits back, to be drawn again."""

    product: str
    on: date
    face: int


def free(wallets: Wallets, source: Source, grant: Grant, amount: int, on: date) -> list[Freed]:
    """Let draws of later days give back what an amount of a grant's bill needs.

    Of unused credits; the last first. They may have come in closed months: what they give back comes in the first open one.

    What was gathered is written first, where anything is needed.
    """
    books, customer_id = wallets.books, source.customer.customer_id
    credits_key, _ = grant_accounts(source, grant.ref)
    history = books.history(customer_id, credits_key)
    needed = amount - max(available(history, books.days.open_day(source, on)), 0)
    if needed <= 0 or not grant.drawn or not any(later > on for later in history):
        return []
    books.flush()
    pool = {item.subject: item for item in (grant, *grant.bonuses)}
    rows: list[Any] = list(
        books.connection.execute(
            text(_LATER),
            {"customer_id": customer_id, "subjects": list(pool), "on": on, "draws": list(_DRAWS)},
        )
    )
    freed: list[Freed] = []
    for row in rows:
        for piece in given_back.pieces_of_entry(wallets, source, row.entry_id):
            if piece.subject not in pool or needed <= 0:
                continue
            used = sum(item.drawn_face for item in pool.values())
            # so many credits as had earned what is needed, rounded up
            face = min(piece.face, -(-needed * used // grant.drawn) if grant.drawn else piece.face)
            before = grant.drawn
            part = Piece(piece.entry_id, piece.subject, face)
            given_back.return_pieces(wallets, source, row.product, row.occurred_on, [part])
            meter = wallets.meter(customer_id, source.entity, row.product, source.currency)
            meter.posted -= face
            meter.changed = True
            needed -= before - grant.drawn
            freed.append(Freed(row.product, row.occurred_on, face))
    return freed[::-1]


def draw_again(wallets: Wallets, source: Source, freed: list[Freed]) -> None:
    """Draw usage that was freed on what is left, each on its own day.

    What no grant covers is billed later.
    """
    customer_id = source.customer.customer_id
    for item in freed:
        grants = [
            grant for grant in wallets.grants(customer_id)
            if grant.entity == source.entity and grant.currency == source.currency
        ]  # fmt: skip
        draw.draw_again(wallets, source, grants, item.product, item.on, item.face)
