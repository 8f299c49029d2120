"""What happened to a product's usage, day by day: used, billed, discounted, taken back."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import text

from ledger.accounts.rulebook import BY_NUMBER
from ledger.amounts.money import share
from ledger.journal.books import Books
from ledger.journal.movements import Source
from ledger.usage.usage_lines import usage_subject

# What takes a bill back, in the order in which those of one day count.
TAKINGS = ("credit", "refund", "dispute", "write_off")

_USED = ("usage.overage", "usage.billed_ahead", "usage.overage_returned", "usage.ahead_returned")
_FROM_LIABILITY = {
    "credit": ("credit.usage_ahead", "credit.usage_ahead_to_balance", "credit_void.usage"),
    "refund": (
        "refund.deferred", "refund.deferred_exchanged", "refund.explained_deferred", "refund_reversal.deferred",
        "refund_reversal.deferred_exchanged",
    ),
    "dispute": ("dispute.deferred", "dispute.deferred_exchanged", "reinstated.deferred", "reinstated.deferred_exchanged"),
    "write_off": ("write_off.deferred", "recovery.deferred", "recovery.deferred_returned", "recovery.elsewhere"),
}  # fmt: skip
_DIRECTLY = {
    "credit": ("credit.usage", "credit.usage_to_balance"),
    "refund": ("refund.earned", "refund.earned_exchanged", "refund.explained_earned"),
    "dispute": ("dispute.earned", "dispute.earned_exchanged"),
    "write_off": ("write_off.bad_debt",),
}
# What was used, and what turned out to be billed ahead: the rules that move an amount from the one to the other, and back.
CORRECTED = {
    "discount": ("usage.discounted", "usage.discount_returned"),
    "credit": ("usage.credit_earned", "usage.credit_ahead"),
    "refund": ("usage.refund_earned", "usage.refund_ahead"),
    "dispute": ("usage.dispute_earned", "usage.dispute_ahead"),
    "write_off": ("usage.bad_debt", "usage.bad_debt_ahead"),
}


@dataclass(slots=True)
class Day:
    """What a day moved of a product's usage, in minor units."""

    used: int = 0
    billed: int = 0  # and whatever else moves the position of billed less used
    discount: int = 0
    taken: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Told:
    """A product's usage by day, and what is posted of it.

    Usage by the days on which it happened, what is posted by those on which it counts. The two differ where something came late in a
    closed month: what happened is told as if no month were closed, and what that changes counts in the first open one.
    """

    days: dict[date, Day] = field(default_factory=lambda: defaultdict(Day))
    posted: dict[date, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # less revenue, or a loss
    used: Counter[date] = field(default_factory=Counter)  # by the days on which it counts


def borne_by_day(days: Mapping[date, Day]) -> dict[date, Counter[str]]:
    """By day, what of all taken back until then was of what was used.

    Revenue is less by it, or it is lost. A discount lowers the price of what was used. Of what is taken back, what was billed ahead goes
    first, by days.
    """
    used = billed = discount = taken = 0
    borne: Counter[str] = Counter()
    found: dict[date, Counter[str]] = {}
    for day in sorted(days):
        moved = days[day]
        used += moved.used
        billed += moved.billed
        discount += moved.discount
        borne["discount"] = min(discount, max(used, 0))
        for kind in TAKINGS:
            amount = moved.taken[kind]
            ahead_of_use = max(billed - used + sum(borne.values()) - taken, 0)
            taken += amount
            borne[kind] += max(amount - ahead_of_use, 0) if amount >= 0 else -min(-amount, borne[kind])
        found[day] = Counter(borne)
    return found


def shown_within(borne: Counter[str], used: int) -> Counter[str]:
    """What of it shows: never more than is used, whatever of it comes later."""
    beyond = max(sum(borne.values()) - max(used, 0), 0)
    within = Counter(borne)
    for kind in ("discount", *TAKINGS):
        part = min(beyond, borne[kind])
        within[kind] -= part
        beyond -= part
    return within


# What a product's usage moved, by both days and rule: of its position, and beside it.
_MOVED = (
    "with own as materialized (select account_id, role in ('deferred_revenue', 'unbilled_receivable') as of_position"
    "  from account where customer_id = :customer_id and entity = :entity and currency = :currency"
    "  and subject = :subject), moved as ("
    " select p.entry_id, p.rule, -p.amount as position, p.amount, o.of_position, 1 as side from own o"
    "  join posting p on p.customer_id = :customer_id and p.debit_account = o.account_id"
    " union all"
    " select p.entry_id, p.rule, p.amount, p.amount, o.of_position, -1 from own o"
    "  join posting p on p.customer_id = :customer_id and p.credit_account = o.account_id) "
    "select e.occurred_on, e.effective_on, rule, coalesce(sum(position) filter (where of_position), 0)::bigint as position,"
    " coalesce(sum(side * amount) filter (where not of_position), 0)::bigint as debited"
    " from moved join entry e on e.customer_id = :customer_id and e.entry_id = moved.entry_id group by 1, 2, 3"
)


def tell(books: Books, source: Source, product: str) -> _Told:
    """What happened to a product's usage.

    What its accounts moved, and bills that gave a discount.
    """
    customer_id, subject = source.customer.customer_id, usage_subject(product)
    place = {"customer_id": customer_id, "entity": source.entity, "currency": source.currency, "subject": subject}
    rows = books.connection.execute(text(_MOVED), place)
    told = _Told()
    for row in rows:
        day = told.days[row.occurred_on]
        posted = told.posted[row.effective_on]
        code = BY_NUMBER[row.rule].code
        if code in _USED:
            day.used -= row.position
            told.used[row.effective_on] -= row.position
            continue
        for kind in TAKINGS:
            if code in _FROM_LIABILITY[kind]:
                day.taken[kind] -= row.position
                break
            if code in _DIRECTLY[kind]:
                day.taken[kind] += row.debited
                posted[kind] += row.debited
                break
            if code in (f"{kind}.rebate_found", f"{kind}.rebate_returned"):
                day.taken[kind] -= row.position
                break
        else:
            corrected = next((kind for kind, rules in CORRECTED.items() if code in rules), None)
            if corrected is None:
                day.billed += row.position
            else:
                posted[corrected] += row.position
    for given_on, amount in _discounts(books, place):
        told.days[given_on].discount += amount
    return told


def _discounts(books: Books, place: Mapping[str, object]) -> list[tuple[date, int]]:
    """What was taken off usage lines, by the day of their bill.

    And put back where that was taken back, to be billed again.
    """
    given = (
        "given as (select l.customer_id, l.invoice_id, l.line, l.amount_minor, l.discount_minor from invoice_line l"
        " join invoice i using (customer_id, invoice_id) where l.customer_id = :customer_id and l.subject = :subject"
        " and l.discount_minor > 0 and i.entity = :entity and i.currency = :currency)"
    )
    billed = books.connection.execute(
        text(
            f"with {given} select coalesce(e.given_on, i.issued_on) as given_on, g.discount_minor from given g"
            " join invoice i using (customer_id, invoice_id)"
            " join lateral (select min(occurred_on) as given_on from entry e where e.customer_id = g.customer_id"
            "  and e.document_id = g.invoice_id) e on true"
        ),
        place,
    )
    back = books.connection.execute(
        text(
            f"with {given} select coalesce(e.given_on, x.starts_on) as given_on, g.invoice_id, g.line, g.discount_minor, g.amount_minor as whole,"
            " x.kind = 'void' as voided, x.amount_minor as amount from given g"
            " join line_change x on x.customer_id = g.customer_id and x.invoice_id = g.invoice_id and x.line = g.line"
            "  and (x.kind = 'void' or x.rebill)"
            " join lateral (select max(occurred_on) as given_on from entry e where e.customer_id = x.customer_id"
            "  and e.document_id = x.document_id) e on true order by x.document_id"
        ),
        place,
    )
    found = [(row.given_on, row.discount_minor) for row in billed]
    rebilled, put_back = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
    for row in back:
        line = (row.invoice_id, row.line)
        rebilled[line] += row.amount
        reached = row.discount_minor if row.voided else share(row.discount_minor, rebilled[line], row.whole)
        found.append((row.given_on, put_back[line] - reached))
        put_back[line] = reached
    return found
