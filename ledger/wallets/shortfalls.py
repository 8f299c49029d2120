"""What was billed of commitments' shortfalls, as revenue.

Apart from what is earned with use.
"""

from __future__ import annotations

from sqlalchemy import text

from ledger.journal.books import Books
from ledger.journal.by_date import History
from ledger.journal.movements import AccountKey
from ledger.wallets.grants import Grant


def shortfalls(books: Books, grant: Grant) -> list[tuple[AccountKey, History]]:
    """The revenue accounts of what was billed of a commitment's shortfall.

    Each with what it took by day. That of no product comes last: what is earned with use is in it, too, and not counted.
    """
    customer_id = grant.customer_id
    keys = sorted(
        books.accounts_of(customer_id, "revenue", grant.subject), key=lambda key: (not key.product, key.product)
    )
    found = []
    for key in keys:
        history = dict(books.history(customer_id, key))
        if not key.product and grant.broken:
            books.flush()
            for row in books.connection.execute(
                text(_WITH_USE), {"customer_id": customer_id, "subject": grant.subject}
            ):
                history[row.effective_on] = history.get(row.effective_on, 0) - row.amount
        if any(history.values()):
            found.append((key, history))
    return found


_WITH_USE = """
    select p.effective_on, sum(case when r.code = 'break.commitment' then p.amount else -p.amount end)::bigint as amount
    from posting p join rule r on r.number = p.rule and r.code like 'break.commitment%'
    where p.customer_id = :customer_id and exists (select from account a where a.customer_id = p.customer_id
        and a.account_id in (p.debit_account, p.credit_account) and a.subject = :subject)
    group by 1"""
