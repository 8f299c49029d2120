"""Usage that is billed: what an invoice line of it moves, what takes its bill back, and which part of that was used already.

What is taken back of a usage line was billed ahead of its use as far as that goes, on its day, and the rest was used: revenue is
less by it. That is told by days alone. Whatever comes late, `settle` finds it anew and posts the difference.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from sqlalchemy import text

from ledger.accounts.rulebook import BY_NUMBER
from ledger.amounts.dates import month_end
from ledger.amounts.money import share
from ledger.journal.books import Books
from ledger.journal.by_date import available, balance
from ledger.journal.movements import AccountKey, Movement, Source
from ledger.obligations import obligation_sides, refund_key
from ledger.wallets.session import Wallets

NET_USAGE = ("usage.settled", "usage.unsettled")

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
_CORRECTED = {
    "discount": ("usage.discounted", "usage.discount_returned"),
    "credit": ("usage.credit_earned", "usage.credit_ahead"),
    "refund": ("usage.refund_earned", "usage.refund_ahead"),
    "dispute": ("usage.dispute_earned", "usage.dispute_ahead"),
    "write_off": ("usage.bad_debt", "usage.bad_debt_ahead"),
}


def usage_subject(product: str) -> str:
    """The subject of a product's usage that no grant covered."""
    return f"usage:{product}"


def overage_accounts(source: Source, product: str) -> tuple[AccountKey, AccountKey]:
    """The contract liability and contract asset of a product's usage beyond all grants."""
    subject = usage_subject(product)
    return (
        AccountKey(source.entity, "deferred_revenue", source.currency, subject),
        AccountKey(source.entity, "unbilled_receivable", source.currency, subject),
    )


def bill_usage(
    books: Books, source: Source, product: str, on: date, amount: int, before: int, invoice: str, discount: int = 0
) -> list[Movement]:
    """What a usage line of an invoice moves: out of the contract asset up to its balance, the rest is billed ahead.

    `before` is what earlier lines of the same invoice billed of the product. A discount on what was used before lowers its
    revenue; one on what is billed ahead waits for the use.
    """
    _, unbilled_key = overage_accounts(source, product)
    unbilled = balance(books.history(source.customer.customer_id, unbilled_key), on) - before
    reported = min(amount, max(unbilled, 0))
    subject = usage_subject(product)
    return [
        Movement("invoice.usage", reported, invoice, subject),
        Movement("invoice.usage_ahead", amount - reported, invoice, subject),
        Movement("usage.discounted", discount if unbilled >= amount + discount else 0, subject, subject, product),
    ]


def ahead(books: Books, source: Source, product: str, day: date) -> int:
    """What of a product's usage is billed ahead of use on a day."""
    liability, _ = overage_accounts(source, product)
    return max(balance(books.history(source.customer.customer_id, liability), day), 0)


def rebates(books: Books, source: Source, product: str, day: date) -> list[tuple[str, int]]:
    """What stands as a refund liability for a product's usage on a day and on every later one, by obligation."""
    customer_id = source.customer.customer_id
    if not books.accounts_of(customer_id, "refund_liability"):
        return []
    found = [
        (subject, available(books.history(customer_id, refund_key(source.entity, source.currency, subject)), day))
        for subject in _with_rebates(books, source, product)
    ]
    return [(subject, amount) for subject, amount in found if amount > 0]


@dataclass(frozen=True, slots=True)
class Taken:
    """How an amount taken back of a usage line splits: rebates by obligation, what was billed ahead, what was used."""

    rebates: tuple[tuple[str, int], ...]
    ahead: int
    used: int


def take(books: Books, source: Source, product: str, amount: int, day: date, before: Counter[str]) -> Taken:
    """Split what is taken back of a usage line on a day, by what is in the books; `before` is added to.

    It holds what earlier lines of the same document took, by subject.
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
    """After a bill of usage was taken back: settle, where that, or what was taken back before, `lowers` what was billed: no void does."""
    if lowers:
        note(wallets, source, product)
    if is_taken(wallets, source, product):
        settle(wallets.books, source, product)


def note(wallets: Wallets, source: Source, product: str) -> None:
    """Note that something of a product's usage was taken back, or given at a discount."""
    key = (source.entity, source.currency, usage_subject(product))
    wallets.usage_taken(source.customer.customer_id).add(key)


def is_taken(wallets: Wallets, source: Source, product: str) -> bool:
    """Whether something of a product's usage was taken back, or given at a discount."""
    key = (source.entity, source.currency, usage_subject(product))
    return key in wallets.usage_taken(source.customer.customer_id)


@dataclass(slots=True)
class _Day:
    """What a day moved of a product's usage, in minor units."""

    used: int = 0
    billed: int = 0  # and whatever else moves the position of billed less used
    discount: int = 0
    taken: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Told:
    """A product's usage by the days on which it happened; and what is posted, by the days on which it counts.

    The two differ where something came late in a closed month: what happened is told as if no month were closed, and what
    that changes counts in the first open one.
    """

    days: dict[date, _Day] = field(default_factory=lambda: defaultdict(_Day))
    posted: dict[date, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # less revenue, or a loss
    used: Counter[date] = field(default_factory=Counter)  # by the days on which it counts


def settle(books: Books, source: Source, product: str) -> None:
    """Post what days tell of everything taken back of a product's usage, as far as it is not posted so.

    What was gathered is written first.
    """
    _write(books)
    changed = _find_rebates(books, source, product)
    _write(books)
    told = _tell(books, source, product)
    subject = usage_subject(product)
    first_open = books.days.first_counting_day(source)
    target, posted = Counter[str](), Counter[str]()
    used = 0
    targets = _borne(told.days)
    for day in sorted({*targets, *told.posted, *told.used, first_open}):
        target = targets.get(day, target)
        used += told.used[day]
        posted.update(told.posted.get(day, {}))
        if day < first_open:
            continue
        borne = _within(target, used)
        movements = []
        for kind, (earned, unearned) in _CORRECTED.items():
            step = borne[kind] - posted[kind]
            posted[kind] += step
            movements.append(Movement(earned if step > 0 else unearned, abs(step), subject, subject, product))
        if any(movement.amount for movement in movements):
            changed = min(changed or day, day)
            books.post(source, day, movements)
    if changed is not None:
        books.net(source, overage_accounts(source, product), NET_USAGE, changed - timedelta(days=1))


def settle_rebates(books: Books, source: Source, product: str) -> None:
    """Settle where something of a product's usage was taken back that may have been expected to be."""
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
    """Write what was gathered; an invoice under way is found by what is remembered of it until its document is written."""
    invoices = books.remembered_of("invoice")
    books.flush()
    for ref, fact in invoices.items():
        books.remember("invoice", ref, fact)


def _borne(days: Mapping[date, _Day]) -> dict[date, Counter[str]]:
    """By day, what of all taken back until then was of what was used: revenue is less by it, or it is lost.

    A discount lowers the price of what was used. Of what is taken back, what was billed ahead goes first, by days.
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


def _within(borne: Counter[str], used: int) -> Counter[str]:
    """What of it shows: never more than is used, whatever of it comes later."""
    beyond = max(sum(borne.values()) - max(used, 0), 0)
    within = Counter(borne)
    for kind in ("discount", *TAKINGS):
        part = min(beyond, borne[kind])
        within[kind] -= part
        beyond -= part
    return within


def lost_on(books: Books, source: Source, product: str, day: date) -> int:
    """What bills of a product's usage that were written off on a day are of bad debt: of what was used by then."""
    _write(books)
    days = _tell(books, source, product).days
    found = _borne(days)
    if day not in found:
        return 0

    def lost(on: date) -> int:
        return _within(found[on], sum(moved.used for other, moved in days.items() if other <= on))["write_off"]

    return lost(day) - max(((on, lost(on)) for on in found if on < day), default=(day, 0))[1]


def _find_rebates(books: Books, source: Source, product: str) -> date | None:
    """Let what is taken back of usage be of what was expected to be, by days: whatever came first, and however much was recognised.

    A refund liability of the month counts from its end. Where less is expected later than was given, the rest is of what was used.
    Returns the first day on which that moved anything.
    """
    usage = usage_subject(product)
    days: dict[date, _Day] | None = None
    changed: date | None = None
    first_open = books.days.first_counting_day(source)
    for obligation in _with_rebates(books, source, product):
        days = _tell(books, source, product).days if days is None else days
        found = _rebates_found(books, source, obligation)
        for on, kinds in found.happened.items():  # taken back of usage is all of it, whatever was found to be expected
            days.setdefault(on, _Day()).taken.update(kinds)
        targets = _given_of(days, _expected(books, source, obligation, found.recognised))
        kept = refund_key(source.entity, source.currency, obligation)
        known, target = Counter[str](), Counter[str]()
        recognised = 0
        for on in sorted({*targets, *found.posted, *found.recognised, first_open}):
            known.update(found.posted.get(on, {}))
            target.update(targets.get(on, {}))
            recognised += found.recognised[on]
            if on < first_open:
                continue
            should = _up_to(target, recognised)
            movements = []
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
            if movements:
                changed = min(changed or on, on)
                books.post(source, on, movements)
                keys, rules = obligation_sides(source, obligation)
                books.net(source, keys, rules, on - timedelta(days=1))
        for on, kinds in targets.items():  # the next obligation's are of the rest
            days.setdefault(on, _Day()).taken.subtract(kinds)
    return changed


def _with_rebates(books: Books, source: Source, product: str) -> list[str]:
    """The obligations of a product's usage of which something was ever expected to be given back."""
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
    """What was recognised as expected to be given back of an obligation, and what of all given was found to be of it, by day.

    What was given is told by the days on which it happened, and by those on which it counts.
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
    """By day, by how much what is expected to be given back of an obligation moved: by its terms, as far as it was ever recognised.

    What came late in a closed month is recognised in the first open one, and expected from its own day.
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


def _given_of(days: Mapping[date, _Day], expected: Mapping[date, int]) -> dict[date, Counter[str]]:
    """What of all that was taken back of usage is of what was expected to be, by day and kind, in the order of the days.

    What is recovered of a write-off is of what was lost first.
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


def _tell(books: Books, source: Source, product: str) -> _Told:
    """What happened to a product's usage: what its accounts moved, and bills that gave a discount."""
    customer_id, subject = source.customer.customer_id, usage_subject(product)
    place = {"customer_id": customer_id, "entity": source.entity, "currency": source.currency, "subject": subject}
    rows = books.connection.execute(
        text(
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
        ),
        place,
    )
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
            corrected = next((kind for kind, rules in _CORRECTED.items() if code in rules), None)
            if corrected is None:
                day.billed += row.position
            else:
                posted[corrected] += row.position
    for given_on, amount in _discounts(books, place):
        told.days[given_on].discount += amount
    return told


def _discounts(books: Books, place: Mapping[str, object]) -> list[tuple[date, int]]:
    """What was taken off usage lines, by the day of their bill, and put back where that was taken back, to be billed again."""
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
