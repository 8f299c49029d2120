"""Expected breakage: credits expected not to be used (606-10-55-48).

They are earned with what is used, and estimated anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from typing import Any

from sqlalchemy import text

from ledger.documents import models
from ledger.errors import Refused
from ledger.journal.by_date import available
from ledger.journal.movements import AccountKey, Movement, Source
from ledger.wallets.expiry import expire_again, unexpire
from ledger.wallets.grants import Grant, breakage_due
from ledger.wallets.session import Wallets
from ledger.wallets.shortfalls import shortfalls

# Of credits that are paid for, and of a commitment, whose shortfall will be billed: what earns, and what takes it back.
_RULES = {False: ("break.prepaid", "break.prepaid_corrected"), True: ("break.commitment", "break.commitment_corrected")}


def break_in_proportion(wallets: Wallets, source: Source, grant: Grant, on: date) -> None:
    """Earn expected breakage of a grant by a day, or put back what is too much.

    As far as use, and what is billed of the grant, goes.
    """
    if not grant.proportional or grant.expired_face:
        return
    committed = grant.kind == "commitment"
    day = wallets.books.days.open_day(source, on)
    step = breakage_due(grant, grant.drawn_face, grant.drawn) - grant.broken
    if step > 0 and not committed:
        step = min(step, max(grant.funded(day) - grant.drawn - grant.broken, 0))
    if step < 0 and committed:
        account = AccountKey(source.entity, "unbilled_receivable", source.currency, grant.subject)
        step = -min(-step, max(available(wallets.books.history(grant.customer_id, account), day), 0))
    if step:
        earn, correct = _RULES[committed]
        rule = earn if step > 0 else correct
        wallets.books.post(source, on, [Movement(rule, abs(step), grant.subject, grant.subject)])
        grant.broken += step
        wallets.touch(grant)


def is_late(wallets: Wallets, source: Source, grant: Grant, on: date) -> bool:
    """Whether anything of a grant earned in proportion to use is of a later day.

    Draws, estimates, or what took credits away.
    """
    if not grant.proportional:
        return False
    if grant.estimated_on is not None and grant.estimated_on > on:
        return True
    role = "unbilled_receivable" if grant.kind == "commitment" else "customer_credits"
    account = AccountKey(source.entity, role, source.currency, grant.subject)
    return any(day > on and net for day, net in wallets.books.history(grant.customer_id, account).items())


def break_by_days(wallets: Wallets, source: Source, grant: Grant, day: date) -> bool:
    """Earn expected breakage of what is used on a day.

    Where it comes late, what later days earned is told anew, and True returned.
    """
    # credits that expired are over; the bill of a commitment's shortfall covers what was earned by its day
    billed = grant.expired_face > 0
    if billed and grant.kind != "commitment":
        return False
    late = is_late(wallets, source, grant, day) or (billed and grant.proportional)
    if late:
        _catch_up(wallets, source, grant, day)
    else:
        break_in_proportion(wallets, source, grant, day)
    return late


def break_of_billed(wallets: Wallets, source: Source, grant: Grant, day: date) -> None:
    """Earn expected breakage of what is billed of a grant on a day, once it was used.

    Or comes in after all: on each later day.
    """
    if not grant.proportional or grant.kind == "commitment" or not grant.drawn:
        return
    unexpire(wallets, source, grant, day)
    if not grant.expired_face:
        _catch_up(wallets, source, grant, day)


def tell_again(wallets: Wallets) -> None:
    """Tell anew what was put back for a document, once it is posted.

    Breakage of later days and what had expired.
    """
    late, wallets.late = wallets.late, {}
    for source, grant, day in late.values():
        if not grant.expired_face:
            _catch_up(wallets, source, grant, day)
    expire_again(wallets)


def post_breakage_estimate(wallets: Wallets, doc: models.BreakageEstimate, document_id: int) -> int:
    """Take a new estimate of a grant's breakage in; what was used before counts by it at once.

    Raises Refused for a grant whose breakage is not earned in proportion, or that is over.
    """
    books = wallets.books
    customer = books.parties.customer(doc.customer)
    grant = wallets.grant(customer.customer_id, doc.grant)
    source = books.source(document_id, doc.customer, grant.entity, grant.currency, doc.date)
    if not grant.proportional:
        raise Refused("grant", doc.grant, "expected a grant with breakage proportional and a first estimate above 0")
    if doc.date < grant.effective_on or (grant.expires_on is not None and doc.date > grant.expires_on):
        until = f" to {grant.expires_on}" if grant.expires_on is not None else " on"
        raise Refused("date", doc.date, f"expected a day from {grant.effective_on}{until}, while it is used")
    books.add_row(
        "breakage_estimate",
        customer_id=customer.customer_id, document_id=document_id, ref=doc.id, grant_id=grant.grant_id,
        effective_on=doc.date, expected_breakage=doc.expected_breakage, reason=doc.reason,
    )  # fmt: skip
    if grant.estimated_on is None or grant.estimated_on <= doc.date:
        grant.expected_breakage = Fraction(doc.expected_breakage)
        grant.estimated_on = doc.date
    unexpire(wallets, source, grant, doc.date)
    _catch_up(wallets, source, grant, books.days.open_day(source, doc.date))
    return customer.customer_id


# What was drawn of a grant by a day, in credits and in money, what left it otherwise, what broke with use; and of a commitment what
# was billed as shortfall, and what that counts of what broke.
_BY_DAY = """
    select day, sum(face)::bigint as face, sum(drawn)::bigint as drawn, sum(moved_face)::bigint as moved_face,
           sum(moved)::bigint as moved, sum(broken)::bigint as broken, sum(short)::bigint as short, sum(counted)::bigint as counted
    from (
        select p.effective_on as day,
               case when r.code in ('draw.credits', 'draw.commitment') then p.amount
                    when r.code in ('draw.credits_returned', 'draw.commitment_returned') then -p.amount else 0 end as face,
               case when k.role = 'revenue' then p.amount when d.role = 'revenue' then -p.amount else 0 end as drawn,
               0 as moved_face, 0 as moved,
               case when k.role = 'breakage_revenue' or r.code = 'break.commitment' then p.amount
                    when d.role = 'breakage_revenue' or r.code = 'break.commitment_corrected' then -p.amount else 0 end as broken,
               case when r.code in ('expire.shortfall', 'expire.shortfall_raised') then p.amount
                    when r.code like 'expire.shortfall%' then -p.amount else 0 end as short,
               case when r.code like 'break.%' then 0 when k.role = 'unbilled_receivable' and k.subject = :subject then p.amount
                    when d.role = 'unbilled_receivable' and d.subject = :subject then -p.amount else 0 end as counted
        from posting p join rule r on r.number = p.rule
        join account d on d.customer_id = p.customer_id and d.account_id = p.debit_account
        join account k on k.customer_id = p.customer_id and k.account_id = p.credit_account
        where p.customer_id = :customer_id and :subject in (d.subject, k.subject)
        union all
        select effective_on, 0, 0, face_minor, amount_minor, 0, 0, 0 from grant_move where customer_id = :customer_id and grant_id = :grant_id
    ) x group by 1 order by 1"""


def _catch_up(wallets: Wallets, source: Source, grant: Grant, day: date) -> None:
    """Tell what was earned anew from a day on.

    What was used by each day counts by the estimate of that day.
    """
    told = _told(wallets, grant, day)
    posted = Counter[date]()
    if grant.kind == "commitment":
        _cover(wallets, source, grant, told, posted, lower=True)
    grant.broken += _break(wallets, source, grant, told)
    if grant.kind == "commitment":
        _cover(wallets, source, grant, told, posted, lower=False)
    wallets.touch(grant)


@dataclass(frozen=True, slots=True)
class _Told:
    """What of a grant should be earned as breakage by a day, and what is.

    And how much of it a shortfall's bill covers.
    """

    on: date
    due: int
    broken: int
    due_covered: int
    covered: int


def _told(wallets: Wallets, grant: Grant, day: date) -> list[_Told]:
    """What should be earned of a grant by a day, and by each later one.

    Those on which anything of it changes.
    """
    books = wallets.books
    books.flush()
    place = {"customer_id": grant.customer_id, "subject": grant.subject, "grant_id": grant.grant_id}
    rows: Sequence[Any] = books.connection.execute(text(_BY_DAY), place).all()
    estimates: Sequence[Any] = books.connection.execute(text(_ESTIMATES), place).all()
    first_open = books.days.counting_day(grant.entity, grant.customer_id)
    estimated = [max(row.effective_on, first_open) for row in estimates]
    billed = [funding.day for funding in grant.fundings]
    told = []
    # what is left after the last day of prepaid credits breaks then
    last = date.max if grant.kind == "commitment" or grant.expires_on is None else grant.expires_on
    for on in sorted(
        {day, *(later for later in (*(row.day for row in rows), *estimated, *billed) if day < later <= last)}
    ):
        by_then = [row for row in rows if row.day <= on]
        face, drawn, moved_face, moved, broken, short, covered = (
            sum(row[place] for row in by_then) for place in range(1, 8)
        )
        # usage may fall before the credits begin
        (*_, rate) = [row for row in estimates if row.effective_on <= on] or estimates[:1]
        then = replace(grant, moved_face=moved_face, moved=moved, expected_breakage=Fraction(rate.expected_breakage))
        due = breakage_due(then, face, drawn)
        if grant.kind != "commitment":
            due = min(due, max(grant.funded(on) - drawn, 0))
        told.append(_Told(on, due, broken, min(due, max(short, 0)), covered))
    return told


def _break(wallets: Wallets, source: Source, grant: Grant, told: Sequence[_Told]) -> int:
    """Earn what is due by each day, or put back what is too much; returns what that comes to."""
    books = wallets.books
    account = AccountKey(source.entity, "unbilled_receivable", source.currency, grant.subject)
    committed = grant.kind == "commitment"
    earn, correct = _RULES[committed]
    before = 0
    for day in told:
        step = day.due - day.broken - before
        if step < 0 and committed:
            step = -min(-step, max(available(books.history(grant.customer_id, account), day.on), 0))
        if step:
            movement = Movement(earn if step > 0 else correct, abs(step), grant.subject, grant.subject)
            books.post(source, day.on, [movement])
            before += step
    return before


def _cover(
    wallets: Wallets, source: Source, grant: Grant, told: Sequence[_Told], posted: Counter[date], *, lower: bool
) -> None:
    """Let a shortfall's bill cover what was earned by each day.

    As far as there is of its revenue; at first only `lower` it.
    """
    books = wallets.books
    for day in told:
        step = day.due_covered - day.covered - sum(amount for on, amount in posted.items() if on <= day.on)
        if not step or (lower and step > 0):
            continue
        billed = [(key.product, history) for key, history in shortfalls(books, grant)]
        for product, history in billed if step > 0 else billed[:1] or [("", {})]:
            part = min(step, max(available(history, day.on), 0))
            if part:
                rule = "shortfall.earned_returned" if part < 0 else "shortfall.earned"
                books.post(source, day.on, [Movement(rule, abs(part), grant.subject, grant.subject, product)])
                posted[day.on] += part
                break


# The first estimate of a grant's breakage, and those that came after: of one day the last to arrive holds.
_ESTIMATES = """
    select effective_on, expected_breakage, 0::bigint as number from credit_grant where customer_id = :customer_id and grant_id = :grant_id
    union all
    select effective_on, expected_breakage, document_id from breakage_estimate where customer_id = :customer_id and grant_id = :grant_id
    order by effective_on, number"""
