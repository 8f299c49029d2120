"""Draws on grants as they are posted, with what of their money was billed by then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date

from ledger.amounts.money import share
from ledger.journal.books import Books
from ledger.journal.by_date import balance
from ledger.journal.movements import Movement, Source
from ledger.usage import commitments
from ledger.usage.usage_lines import NET_USAGE, is_taken, overage_accounts, usage_subject
from ledger.usage.usage_taken import settle
from ledger.wallets.breakage import break_by_days, is_late
from ledger.wallets.draw_plans import Draw, draw_movements, unbroken
from ledger.wallets.expiry import broken_by_expiry
from ledger.wallets.grants import NET_GRANT, Grant, breakage_due, grant_accounts
from ledger.wallets.session import Wallets


def post_draws(wallets: Wallets, source: Source, on: date, product: str, draws: Sequence[Draw], overage: int) -> None:
    """Post what usage draws on grants, and what no grant covers."""
    books = wallets.books
    customer_id = source.customer.customer_id
    day = books.days.open_day(source, on)  # late usage counts from the first open day on
    for draw in draws:
        _give_breakage_back(wallets, source, draw, on)
        _return_expired(wallets, source, draw)
    billed = _billed_by(books, source, draws, day)
    movements = [m for draw, part in zip(draws, billed, strict=True) for m in draw_movements(draw, part, product)]
    covered = [(draw.grant, _covered(wallets, source, draw)) for draw in draws if draw.grant.kind == "commitment"]
    for grant, part in covered:
        grant.expired_face -= part
    keys = overage_accounts(source, product)
    billed_ahead = overage > 0 and books.has_account(customer_id, keys[0])
    ahead = 0
    if billed_ahead:
        ahead = min(overage, max(balance(books.history(customer_id, keys[0]), day), 0))
    subject = usage_subject(product)
    movements += [
        Movement("usage.billed_ahead", ahead, subject, subject, product),
        Movement("usage.overage", overage - ahead, subject, subject, product),
    ]
    books.post(source, on, movements)
    for draw in draws:
        _record_draw(wallets, source, draw, on)
    if billed_ahead:
        if is_taken(wallets, source, product):
            settle(books, source, product)
        books.net(source, keys, NET_USAGE, day)
    for grant, part in covered:
        if part:
            commitments.cover(wallets, source, grant, product, part, day)
        commitments.settle(wallets, source, grant, day)


def _covered(wallets: Wallets, source: Source, draw: Draw) -> int:
    """What of a draw on a commitment its shortfall's bill covers.

    What is to be billed again is not left for it either.
    """
    grant = draw.grant
    if not grant.expired_face:
        return 0
    left = max(grant.left - commitments.billed_again(wallets, source, grant), 0)
    return min(max(draw.face - left, 0), grant.expired_face)


def _in_order(grant: Grant, money: int, on: date) -> bool:
    """Whether what was billed of a grant by a day covers so much more money.

    And nothing was billed or given back later, so that no date needs a look.
    """
    if grant.returned_on is not None and grant.returned_on > on:
        return False
    return all(funding.day <= on for funding in grant.fundings) and grant.funded() - grant.drawn - grant.broken >= money


def _billed_by(books: Books, source: Source, draws: Sequence[Draw], on: date) -> list[int]:
    """How much of each draw's money had been invoiced by the day of the usage.

    And not yet earned.
    """
    taken: Counter[str] = Counter()
    found = []
    for draw in draws:
        grant = draw.grant.paid
        if grant is None or not grant.fundings:
            found.append(0)
            continue
        before = taken[grant.ref]
        if _in_order(grant, draw.money + before, on):
            held = draw.money + before
        else:
            credits_key, _ = grant_accounts(source, grant.ref)
            held = balance(books.history(source.customer.customer_id, credits_key), on)
        found.append(min(draw.money, max(held - before, 0)))
        taken[grant.ref] += found[-1]
    return found


def _return_expired(wallets: Wallets, source: Source, draw: Draw) -> None:
    """Return the credits that expired since the usage of a draw happened.

    Before the draw, with what was broken of their price.
    """
    grant, paid = draw.grant, draw.grant.paid
    returned = max(draw.face - grant.left, 0)
    if not returned or grant.kind == "commitment":
        return
    assert grant.expires_on is not None, "only credits that expired are returned"
    books = wallets.books
    if paid is not None:
        # what a void took back of a later day had not broken either
        # what a void took back of a later day had not broken either
        money = unbroken(paid, draw, returned) if paid.broken > 0 else share(draw.money, returned, draw.face)
        stood = stands = 0
        for day, amount in broken_by_expiry(books, source, paid).items():
            stood += amount
            step = max(stood - money, 0) - stands
            stands += step
            rule = "expire.prepaid" if step > amount else "expire.prepaid_corrected"
            books.post(source, day, [Movement(rule, abs(step - amount), paid.subject, paid.subject)])
        paid.broken -= stood - stands
        wallets.touch(paid)
    if grant.kept_in_memorandum:
        movement = Movement("expire.credits_corrected", returned, grant.subject, grant.subject)
        books.post(source, grant.expires_on, [movement])
    grant.expired_face -= returned


def _record_draw(wallets: Wallets, source: Source, draw: Draw, on: date) -> None:
    """Note a draw on its grant, and settle it against other days' invoices."""
    grant, paid = draw.grant, draw.grant.paid
    day = wallets.books.days.open_day(source, on)
    ordered = paid is None or not paid.fundings or _in_order(paid, draw.money, day)
    grant.drawn_face += draw.face
    if paid is not None:
        paid.drawn += draw.money
        wallets.touch(paid)
    late = break_by_days(wallets, source, grant, day)
    wallets.touch(grant)
    if (late or not ordered) and paid is not None:
        wallets.books.net(source, grant_accounts(source, paid.ref), NET_GRANT, day)


def _give_breakage_back(wallets: Wallets, source: Source, draw: Draw, on: date) -> None:
    """Put back breakage that a draw shows not to be any, before it.

    Where it comes late that is told by days, after it.
    """
    grant = draw.grant
    if (
        not grant.expected_breakage
        or grant.expired_face
        or grant.kind == "commitment"
        or is_late(wallets, source, grant, wallets.books.days.open_day(source, on))
    ):
        return
    excess = grant.broken - breakage_due(grant, grant.drawn_face + draw.face, grant.drawn + draw.money)
    if excess > 0:
        wallets.books.post(source, on, [Movement("break.prepaid_corrected", excess, grant.subject, grant.subject)])
        grant.broken -= excess
