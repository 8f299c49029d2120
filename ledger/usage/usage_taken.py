"""Bills of usage that are taken back: what of them was ahead of use, and what was used.

What is taken back of a usage line was billed ahead of its use as far as that goes, on its day, and the rest was used: revenue is
less by it. That is told by days alone. Whatever comes late, `settle` finds it anew and posts the difference.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import text

from ledger.journal.books import Books
from ledger.journal.movements import Movement, Source
from ledger.usage.usage_days import CORRECTED, TAKINGS, borne_by_day, shown_within, tell
from ledger.usage.usage_lines import NET_USAGE, ahead, is_taken, note, overage_accounts, usage_subject
from ledger.usage.usage_rebates import find_rebates, rebates
from ledger.wallets.session import Wallets


@dataclass(frozen=True, slots=True)
class Taken:
    """How an amount taken back of a usage line splits.

    Rebates by obligation, what was billed ahead, what was used.
    """

    rebates: tuple[tuple[str, int], ...]
    ahead: int
    used: int


def take(books: Books, source: Source, product: str, amount: int, day: date, before: Counter[str]) -> Taken:
    """Split what is taken back of a usage line on a day.

    By what is in the books; `before` is added to. It holds what earlier lines of the same document took, by subject.
    """
    given: list[tuple[str, int]] = []
    left = amount
    for subject, expected in rebates(books, source, product, day):
        part = min(left, max(expected - before[subject], 0))
        if part:
            before[subject] += part
            given.append((subject, part))
            left -= part
    subject = usage_subject(product)
    unearned = min(left, max(ahead(books, source, product, day) - before[subject], 0))
    before[subject] += unearned
    return Taken(tuple(given), unearned, left - unearned)


def settle_taken(wallets: Wallets, source: Source, product: str, *, lowers: bool) -> None:
    """Settle usage after a bill of it was taken back.

    Where that, or what was taken back before, `lowers` what was billed: no void does.
    """
    if lowers:
        note(wallets, source, product)
    if is_taken(wallets, source, product):
        settle(wallets.books, source, product)


def settle(books: Books, source: Source, product: str) -> None:
    """Post what days tell of everything taken back of a product's usage.

    As far as it is not posted so. What was gathered is written first.
    """
    _write(books)
    changed = find_rebates(books, source, product)
    _write(books)
    told = tell(books, source, product)
    subject = usage_subject(product)
    first_open = books.days.first_counting_day(source)
    target, posted = Counter[str](), Counter[str]()
    used = 0
    targets = borne_by_day(told.days)
    for day in sorted({*targets, *told.posted, *told.used, first_open}):
        target = targets.get(day, target)
        used += told.used[day]
        posted.update(told.posted.get(day, {}))
        if day < first_open:
            continue
        borne = shown_within(target, used)
        movements = []
        for kind, (earned, unearned) in CORRECTED.items():
            step = borne[kind] - posted[kind]
            posted[kind] += step
            movements.append(Movement(earned if step > 0 else unearned, abs(step), subject, subject, product))
        if any(movement.amount for movement in movements):
            changed = min(changed or day, day)
            books.post(source, day, movements)
    if changed is not None:
        books.net(source, overage_accounts(source, product), NET_USAGE, changed - timedelta(days=1))


def settle_rebates(books: Books, source: Source, product: str) -> None:
    """Settle usage of which something was taken back.

    It may have been expected to be.
    """
    taken = books.connection.scalar(
        text(
            "select exists (select from line_change x join invoice i using (customer_id, invoice_id)"
            " where x.customer_id = :customer_id and x.subject = :subject and x.kind = any(:kinds)"
            " and i.entity = :entity and i.currency = :currency)"
        ),
        {
            "customer_id": source.customer.customer_id, "subject": usage_subject(product), "kinds": list(TAKINGS),
            "entity": source.entity, "currency": source.currency,
        },
    )  # fmt: skip
    if taken:
        settle(books, source, product)


def _write(books: Books) -> None:
    """Write what was gathered.

    An invoice under way is found by what is remembered of it until its document is written.
    """
    invoices = books.remembered_of("invoice")
    books.flush()
    for ref, fact in invoices.items():
        books.remember("invoice", ref, fact)


def lost_on(books: Books, source: Source, product: str, day: date) -> int:
    """What of usage written off on a day is bad debt.

    That is what was used by then.
    """
    _write(books)
    days = tell(books, source, product).days
    found = borne_by_day(days)
    if day not in found:
        return 0

    def lost(on: date) -> int:
        return shown_within(found[on], sum(moved.used for other, moved in days.items() if other <= on))["write_off"]

    return lost(day) - max(((on, lost(on)) for on in found if on < day), default=(day, 0))[1]
