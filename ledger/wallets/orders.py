"""Orders: paid credits and bonus credits that share their price (606-10-32-28).

Each of them earns the same. Which credits a draw took is decided when it arrives. What they earn is told by the order's terms, whenever
these arrive: where bonus credits come after usage, what was drawn before earned less.
"""

from __future__ import annotations

from datetime import date, timedelta

from ledger.amounts.money import share
from ledger.journal.books import Books
from ledger.journal.movements import Movement, Source
from ledger.wallets.grants import NET_GRANT, Grant, grant_accounts


def share_anew(books: Books, source: Source, paid: Grant) -> None:
    """Post what an order's used or expired credits earn of its price.

    By all its credits that are known now.
    """
    pool = (paid, *paid.bonuses)
    price = paid.price - paid.moved
    faces = sum(item.face - item.moved_face for item in pool)
    used = sum(item.drawn_face for item in pool)
    expired = sum(item.expired_face for item in pool)
    if not faces or not (paid.drawn or paid.broken):
        return
    earned = share(price, used, faces)
    _earn_by_day(books, source, paid, earned)
    broken = min(share(price, used + expired, faces) - earned, paid.broken)
    if broken < paid.broken:
        assert paid.expires_on is not None or any(item.expires_on for item in paid.bonuses), "what broke had expired"
        day = max(item.expires_on for item in pool if item.expires_on is not None and item.expired_face)
        day = max([day, *(funding.day for funding in paid.fundings)])
        books.post(
            source, day, [Movement("expire.prepaid_corrected", paid.broken - broken, paid.subject, paid.subject)]
        )
        paid.broken = broken


def _earn_by_day(books: Books, source: Source, paid: Grant, earned: int) -> None:
    """Correct what an order's draws earned, each on its own day.

    So that together they earned so much.
    """
    customer_id, subject = source.customer.customer_id, paid.subject
    by_day = sorted(
        (day, key.product, amount)
        for key in books.accounts_of(customer_id, "revenue", subject)
        for day, amount in books.history(customer_id, key).items()
        if amount
    )
    whole = sum(amount for _, _, amount in by_day)
    first: date | None = None
    reached = before = 0
    for day, product, amount in by_day if whole > 0 else ():
        reached += amount
        now = share(earned, reached, whole)
        step, before = now - before - amount, now
        if step:
            rule = "order.earned_more" if step > 0 else "order.earned_less"
            books.post(source, day, [Movement(rule, abs(step), subject, subject, product)])
            first = first or day
    paid.drawn += earned - whole if whole > 0 else 0
    if first is not None:
        books.net(source, grant_accounts(source, paid.ref), NET_GRANT, first - timedelta(days=1))
