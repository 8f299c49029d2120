"""What of what left an account was undone since, by which rule and on which day: it came back for what it had left for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from sqlalchemy import Connection, text

from ledger.accounts.house import BESIDE
from ledger.accounts.rulebook import RULES

# What gives money back, and the rule that undoes it.
UNDONE_BY = {
    RULES[f"{event}.{what}"].number: RULES[f"{undoing}.{what}"].number
    for event, undoing in (("refund", "refund_reversal"), ("dispute", "reinstated"))
    for what in (
        "deferred", "unbilled", "credits", "tax", "between", "balance",
        "deferred_exchanged", "unbilled_exchanged", "credits_exchanged", "tax_exchanged", "between_exchanged", "balance_exchanged",
    )
}  # fmt: skip


class CameBack(NamedTuple):
    """What came back on a day, by a rule: an amount of what had left."""

    day: date
    rule: int
    debit: int
    credit: int
    amount: int


_PAIRS = """
    with undone as (
        -- of a document that undid several, so much of each as of its money; what it took of others stands beside it
        select u.document_id as by_, u.undoes, sum(u.paid_minor) as own,
               sum(sum(u.paid_minor)) over (partition by u.document_id) as every
        from money_use u where u.customer_id = :customer_id and u.undoes <> 0 group by 1, 2),
    pair as (
        select by_, undoes as of_, own, every from undone where every > 0
        union select x.by_, k.document_id, x.own, x.every from undone x
        join document d on d.document_id = x.undoes join document_key k on k.type = :beside and k.ref = d.type || ':' || d.ref
        where x.every > 0),
    -- what counts in a later month than it happened counts by its own date once that month has begun
    moved as (
        select e.document_id, case when e.effective_on > :first_open then e.effective_on else e.occurred_on end as day,
               p.rule, p.debit_account, p.credit_account, sum(p.amount) as amount
        from entry e join posting p using (customer_id, entry_id)
        where e.customer_id = :customer_id and e.document_id in (select by_ from pair union select of_ from pair)
          and p.amount > 0 and p.rule = any(:rules) group by 1, 2, 3, 4, 5)
    select l.day, l.rule, l.debit_account, l.credit_account, b.day as back_on, b.rule as back_rule,
           b.debit_account as back_debit, b.credit_account as back_credit,
           sum(b.amount * x.own / x.every * l.amount / (
               select sum(o.amount) from moved o
               where (o.document_id, o.rule, o.debit_account) = (l.document_id, l.rule, l.debit_account)))::bigint as amount
    from pair x join moved l on l.document_id = x.of_
    join unnest(cast(:gone as int[]), cast(:back as int[])) as r (gone, back) on r.gone = l.rule
    join moved b on b.document_id = x.by_ and b.rule = r.back and b.credit_account = l.debit_account
    group by 1, 2, 3, 4, 5, 6, 7, 8"""


def came_back(
    connection: Connection, customer_id: int, first_open: date
) -> Mapping[tuple[date, int, int, int], list[CameBack]]:
    """What came back of what left on a day by a rule, from one account to another (debit, credit): as it is written by now."""
    rows = connection.execute(
        text(_PAIRS),
        {
            "customer_id": customer_id, "first_open": first_open, "beside": BESIDE, "rules": [*UNDONE_BY, *UNDONE_BY.values()],
            "gone": list(UNDONE_BY), "back": list(UNDONE_BY.values()),
        },
    )  # fmt: skip
    found: dict[tuple[date, int, int, int], list[CameBack]] = defaultdict(list)
    for row in rows:
        if row.amount:
            found[tuple(row[:4])].append(CameBack(*row[4:]))
    return found
