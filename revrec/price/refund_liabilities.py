"""Refund liabilities: what of a bill is expected to be given back.

It is owed, not deferred (606-10-32-10, IFRS 15.55). An estimate that is a `refund` says how much. As far as it is billed and neither
earned nor given back yet, each recognition run keeps it apart from deferred revenue: the two together are what is billed and not earned.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import text

from ledger.accounts.rulebook import GIVING_BACK
from ledger.amounts.dates import month_end, month_start, months_between
from ledger.journal.books import Books
from ledger.journal.by_date import balance
from ledger.journal.movements import AccountKey, Movement, Source
from ledger.obligations import obligation_keys, refund_key
from ledger.usage import usage_taken

_EXPECTED = """
    select o.customer_id, c.ref as customer, o.subject, o.entity, o.currency, o.product, o.pattern, v.from_day, v.refund_minor, x.first_day
    from performance_obligation o
    join customer c using (customer_id)
    join obligation_version v using (customer_id, subject)
    join (select customer_id, subject, min(from_day) as first_day from obligation_terms where refund_minor <> 0
          group by 1, 2) x using (customer_id, subject)
    where x.first_day <= :through
    order by c.ref, o.subject, v.version"""


def separate(books: Books, document_id: int, through: date) -> None:
    """Post what moves between deferred revenue and refund liabilities.

    Month end by month end to a day.
    """
    rows = books.connection.execute(text(_EXPECTED), {"through": through}).all()
    books.parties.learn_customers(row.customer for row in rows)
    by_subject: dict[tuple[int, str], list[Any]] = {}
    for row in rows:
        by_subject.setdefault((row.customer_id, row.subject), []).append(row)
    for (customer_id, subject), versions in by_subject.items():
        first = versions[0]
        source = Source(document_id, books.parties.customer(first.customer), first.entity, first.currency)
        first_open = books.days.first_open_day(first.entity)
        begins = max(month_start(first.first_day), month_start(first_open))
        if begins > through:
            continue
        if first.pattern == "usage":
            usage_taken.settle_rebates(books, source, first.product)
        reduced = _reduced(books, customer_id, subject) if first.pattern == "usage" else []
        deferred, _, _ = obligation_keys(first.entity, first.currency, subject, "")
        kept: AccountKey = refund_key(first.entity, first.currency, subject)
        ends = {month_end(month) for month in months_between(begins, month_start(through))}
        given = {day for day in books.history(customer_id, kept) if begins <= day <= max(ends)}
        for last in sorted(ends | given):
            if last not in ends:  # between month ends only what was given back by then is made good
                short = -balance(books.history(customer_id, kept), last)
                if short > 0:
                    day = max(last, first_open)
                    books.post(source, day, [Movement("refund_liability.expected", short, subject, subject)])
                continue
            expected = next((row.refund_minor for row in reversed(versions) if row.from_day <= last), 0)
            given_back = sum(amount for day, amount in reduced if day <= last)
            billed_ahead = balance(books.history(customer_id, deferred), last)
            owed = max(min(expected - max(given_back, 0), billed_ahead), 0)
            step = owed - balance(books.history(customer_id, kept), last)
            if step:
                rule = "refund_liability.expected" if step > 0 else "refund_liability.released"
                books.post(source, max(last, first_open), [Movement(rule, abs(step), subject, subject)])


def _reduced(books: Books, customer_id: int, subject: str) -> list[tuple[date, int]]:
    """What of usage was taken back that had been expected to be, by day.

    Credited, refunded or written off: others' versions say so.
    """
    rows = books.connection.execute(
        text(
            "select p.effective_on, sum(case when p.debit_account = a.account_id then p.amount else -p.amount end)::bigint as amount "
            "from account a join posting p on p.customer_id = a.customer_id and a.account_id in (p.debit_account, p.credit_account) "
            "where a.customer_id = :customer_id and a.subject = :subject and p.rule = any(:giving_back)"
            " and a.role in ('deferred_revenue', 'unbilled_receivable', 'refunds', 'disputes', 'bad_debt') group by 1"
        ),
        {"customer_id": customer_id, "subject": subject, "giving_back": list(GIVING_BACK)},
    )
    return [(row.effective_on, row.amount) for row in rows]
