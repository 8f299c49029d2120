"""Rebates on usage: what was expected to be given back of it, and what of that was."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from sqlalchemy import text

from ledger.accounts.rulebook import BY_NUMBER
from ledger.amounts.dates import month_end
from ledger.journal.books import Books
from ledger.journal.by_date import available, balance
from ledger.journal.movements import Movement, Source
from ledger.obligations import obligation_sides, refund_key
from ledger.usage.usage_days import TAKINGS, Day, tell
from ledger.usage.usage_lines import usage_subject


def rebates(books: Books, source: Source, product: str, day: date) -> list[tuple[str, int]]:
    """What stands as a refund liability for a product's usage, by obligation.

    On a day and on every later one.
    """
    customer_id = source.customer.customer_id
    if not books.accounts_of(customer_id, "refund_liability"):
        return []
    found = [
        (subject, available(books.history(customer_id, refund_key(source.entity, source.currency, subject)), day))
        for subject in _with_rebates(books, source, product)
    ]
    return [(subject, amount) for subject, amount in found if amount > 0]


def find_rebates(books: Books, source: Source, product: str) -> date | None:
    """Let usage taken back be of what was expected to be given back, day by day.

    That counts whatever came first, and however much was recognised. A refund liability of the month counts from its end. Where less is expected later than was given, the rest is of what was used.
    Returns the first day on which that moved anything.
    """
    usage = usage_subject(product)
    days: dict[date, Day] | None = None
    changed: date | None = None
    first_open = books.days.first_counting_day(source)
    for obligation in _with_rebates(books, source, product):
        days = tell(books, source, product).days if days is None else days
        found = _rebates_found(books, source, obligation)
        for on, kinds in found.happened.items():  # taken back of usage is all of it, whatever was found to be expected
            days.setdefault(on, Day()).taken.update(kinds)
        targets = _given_of(days, _expected(books, source, obligation, found.recognised))
        known, target = Counter[str](), Counter[str]()
        recognised = 0
        for on in sorted({*targets, *found.posted, *found.recognised, first_open}):
            known.update(found.posted.get(on, {}))
            target.update(targets.get(on, {}))
            recognised += found.recognised[on]
            if on < first_open:
                continue
            movements = _found_by(books, source, (obligation, usage), on, _up_to(target, recognised), known, recognised)
            if movements:
                changed = min(changed or on, on)
                books.post(source, on, movements)
                keys, rules = obligation_sides(source, obligation)
                books.net(source, keys, rules, on - timedelta(days=1))
        for on, kinds in targets.items():  # the next obligation's are of the rest
            days.setdefault(on, Day()).taken.subtract(kinds)
    return changed


def _found_by(
    books: Books,
    source: Source,
    subjects: tuple[str, str],
    on: date,
    should: Counter[str],
    known: Counter[str],
    recognised: int,
) -> list[Movement]:
    """What makes of what is `known` to be of an obligation what `should` be.

    By a day; `known` follows. `subjects` are the obligation's and its usage's.
    """
    obligation, usage = subjects
    kept = refund_key(source.entity, source.currency, obligation)
    movements: list[Movement] = []
    for kind in TAKINGS:
        step = should[kind] - known[kind]
        known[kind] += step
        if step > 0:
            movements += [
                Movement("refund_liability.released", step, obligation, obligation),
                Movement(f"{kind}.rebate_found", step, obligation, usage),
            ]
        elif step < 0:
            # owed again as far as it is still expected
            short = max(recognised - sum(should.values()), 0)
            short -= balance(books.history(source.customer.customer_id, kept), on)
            movements += [
                Movement(f"{kind}.rebate_returned", -step, usage, obligation),
                Movement("refund_liability.expected", min(-step, max(short, 0)), obligation, obligation),
            ]
    return movements


def _with_rebates(books: Books, source: Source, product: str) -> list[str]:
    """The obligations of a product's usage with anything ever expected back."""
    place = {
        "customer_id": source.customer.customer_id, "product": product, "entity": source.entity, "currency": source.currency,
    }  # fmt: skip
    return list(books.connection.scalars(text(_REBATING), place))


_REBATING = """
    select subject from performance_obligation o
    where customer_id = :customer_id and product = :product and entity = :entity and currency = :currency and pattern = 'usage'
      and exists (select from obligation_terms t where t.customer_id = o.customer_id and t.subject = o.subject and t.refund_minor <> 0)
    order by subject"""


@dataclass(slots=True)
class _Found:
    """What was expected back of an obligation, and what was found to be of it.

    By day: as recognised, and of all that was given. What was given is told by the days on which it happened, and by those on which it
    counts.
    """

    recognised: Counter[date] = field(default_factory=Counter)
    happened: dict[date, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    posted: dict[date, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


def _rebates_found(books: Books, source: Source, obligation: str) -> _Found:
    rows = books.connection.execute(
        text(
            "select e.occurred_on, e.effective_on, p.rule,"
            " sum(case when p.credit_account = a.account_id then p.amount else -p.amount end)::bigint as owed"
            " from account a join posting p on p.customer_id = a.customer_id and a.account_id in (p.debit_account, p.credit_account)"
            " join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id"
            " where a.customer_id = :customer_id and a.subject = :subject and a.entity = :entity and a.currency = :currency"
            " and a.role in ('deferred_revenue', 'unbilled_receivable', 'refund_liability') group by 1, 2, 3"
        ),
        {
            "customer_id": source.customer.customer_id, "subject": obligation, "entity": source.entity, "currency": source.currency,
        },
    )  # fmt: skip
    found = _Found()
    for row in rows:
        kind, _, what = BY_NUMBER[row.rule].code.partition(".")
        if kind in TAKINGS and what.startswith("rebate"):
            found.happened[row.occurred_on][kind] -= row.owed
            found.posted[row.effective_on][kind] -= row.owed
        else:
            found.recognised[row.effective_on] += row.owed
    return found


def _expected(books: Books, source: Source, obligation: str, recognised: Mapping[date, int]) -> dict[date, int]:
    """By day, by how much what is expected back of an obligation moved.

    By its terms, as far as it was ever recognised. What came late in a closed month is recognised in the first open one, and expected
    from its own day.
    """
    rows = books.connection.execute(
        text(
            "select from_day, starts_on, price_minor from obligation_version"
            " where customer_id = :customer_id and subject = :subject order by version"
        ),
        {"customer_id": source.customer.customer_id, "subject": obligation},
    )
    by_terms = {month_end(max(row.from_day, row.starts_on)): -row.price_minor for row in rows}
    reached: dict[date, int] = {}
    most = None
    for day in sorted({*by_terms, *recognised}, reverse=True):
        stands = sum(amount for on, amount in recognised.items() if on <= day)
        most = stands if most is None else max(most, stands)
        expected = max(((on, amount) for on, amount in by_terms.items() if on <= day), default=(day, 0))[1]
        reached[day] = min(expected, most)
    moved: dict[date, int] = {}
    before = 0
    for day in sorted(reached):
        moved[day] = reached[day] - before
        before = reached[day]
    return moved


def _up_to(given: Counter[str], limit: int) -> Counter[str]:
    """What was given, the first kinds first, up to a limit."""
    left = max(limit, 0)
    found: Counter[str] = Counter()
    for kind in TAKINGS:
        found[kind] = min(given[kind], left)
        left -= found[kind]
    return found


def _given_of(days: Mapping[date, Day], expected: Mapping[date, int]) -> dict[date, Counter[str]]:
    """What of usage taken back is of what was expected to be, by day and kind.

    In the order of the days. What is recovered of a write-off is of what was lost first.
    """
    given: defaultdict[date, Counter[str]] = defaultdict(Counter)
    reached, taken = Counter[str](), Counter[str]()
    order: list[str] = []
    for day in sorted({*days, *expected}):
        stands = sum(amount for on, amount in expected.items() if on <= day)
        over = sum(reached.values()) - max(stands, 0)
        for kind in reversed(order):
            part = min(max(over, 0), reached[kind])
            if part:
                given[day][kind] -= part
                reached[kind] -= part
                over -= part
        for kind in TAKINGS if day in days else ():
            amount = days[day].taken[kind]
            taken[kind] += amount
            if amount < 0:
                part = -min(max(-amount - (taken[kind] - amount - reached[kind]), 0), reached[kind])
                on = day
            else:
                on = day if stands > sum(reached.values()) else month_end(day)
                by_then = sum(more for other, more in expected.items() if other <= on)
                part = min(amount, max(by_then - sum(reached.values()), 0))
            if part:
                given[on][kind] += part
                reached[kind] += part
                order.append(kind)
    return dict(given)
