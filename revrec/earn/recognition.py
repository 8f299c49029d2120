"""Recognition: what is earned by a month's end and not yet posted is posted.

In one statement over all obligations. For each obligation and open month: target to date - recognised to date. So it heals itself: a
voided invoice, a late one or a corrected term changes the target, and the next run posts the difference. A run that finds nothing to do
posts nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, text

from ledger.accounts.house import HOUSE
from ledger.accounts.rulebook import EXCHANGE, NETTING, RECOGNISING, RULES
from ledger.amounts.dates import month_end, month_text
from ledger.database import locks
from ledger.documents import parse
from ledger.errors import ClosedPeriod
from ledger.journal import periods
from ledger.journal.books import Books
from ledger.obligations import NET_OBLIGATION
from ledger.reports.report import Column, Report
from ledger.wallets import alerts, expiry
from ledger.wallets.session import Wallets
from revrec.earn import contract_costs, net_positions, other_currencies
from revrec.earn.step_postings import POST
from revrec.earn.steps import NEEDED_FOREIGN
from revrec.price import financing, refund_liabilities
from revrec.terms import plans


@dataclass(frozen=True, slots=True)
class Run:
    """What a recognition run posted: entries of obligations, and grants that expired."""

    through: date
    entries: int
    postings: int
    expired_grants: int
    document_id: int


def _require_any_open(connection: Connection, through: date) -> None:
    """Raise ClosedPeriod where every entity's books are closed through a month."""
    entities = periods.entities(connection)
    first_open = [periods.first_open_day(connection, entity) for entity in entities]
    if first_open and min(first_open) > month_end(through):
        raise ClosedPeriod("through", month_text(through), "the books are closed through this month already")


def recognize(connection: Connection, through: date, posted_by: str) -> Run:
    """Post the revenue that is due by the end of a month, and the expiry of credits.

    In the caller's transaction. Raises ClosedPeriod where no entity's books are open in that month.
    """
    last_day = month_end(through)
    locks.hold_books(connection)
    _require_any_open(connection, through)
    books = Books(connection, posted_by)
    document_id = books.number("document_number")
    plans.fold_old(books, document_id)
    expired = expiry.expire(wallets := Wallets(books), document_id, last_day)
    books.flush()
    wallets.flush()
    alerts.watch(wallets)
    contract_costs.amortise(books, document_id, last_day)
    financing.accrue(books, document_id, last_day)
    books.flush()
    parameters: dict[str, object] = {
        "through": last_day,
        "netting": list(NETTING),
        "recognising": list(RECOGNISING),
        "exchange": list(EXCHANGE),
        "earning_ahead": [RULES[code].number for code in ("recognise.unbilled", "recognise.less_unbilled")],
        "by_documents": [RULES[code].number for code in NET_OBLIGATION],
    }
    other_currencies.recognise(books, document_id, connection.execute(text(NEEDED_FOREIGN), parameters).all())
    books.flush()
    connection.execute(text("set local work_mem = '64MB'"))  # an obligation's months are sorted several times
    posted = connection.execute(
        text(POST),
        parameters | {"document_id": document_id, "posted_at": books.posted_at, "posted_by": posted_by},
    ).all()
    books.count_entries(document_id, posted[0].entries)
    books.forget()
    net_positions.net(books, document_id, [row for row in posted if row.unit is not None])
    refund_liabilities.separate(books, document_id, last_day)
    books.flush()
    run = Run(
        through,
        posted[0].entries + books.entries_written,
        posted[0].postings + books.postings_written,
        expired,
        document_id,
    )
    if run.entries:
        _keep_document(books, document_id, run)
    return run


def postings_of(connection: Connection, run: Run) -> Report:
    """What a run posted, posting by posting.

    For a run that is tried and taken back, what it would post.
    """
    rows = connection.execute(
        text(
            "select e.effective_on, c.ref as customer, d.subject, d.entity, d.currency, r.code as rule, d.role as debit, k.role as credit,"
            " p.amount from entry e join posting p using (customer_id, entry_id) join rule r on r.number = p.rule "
            "join account d on d.customer_id = p.customer_id and d.account_id = p.debit_account "
            "join account k on k.customer_id = p.customer_id and k.account_id = p.credit_account "
            "join customer c on c.customer_id = p.customer_id where e.document_id = :document_id "
            "order by e.effective_on, c.ref, d.subject, p.line"
        ),
        {"document_id": run.document_id},
    )
    columns = (
        Column("effective_on", "Date", "date"), Column("entity", "Entity"), Column("customer", "Customer"), Column("subject", "For"),
        Column("rule", "Rule"), Column("debit", "Debit"), Column("credit", "Credit"), Column("currency", "Currency"),
        Column("amount", "Amount", "amount"),
    )  # fmt: skip
    return Report(
        "recognition",
        f"Recognition through {month_text(run.through)}",
        columns,
        tuple(dict(row._mapping) for row in rows),
    )


def _keep_document(books: Books, document_id: int, run: Run) -> None:
    """Keep the run itself as the document its entries come from."""
    month = month_text(run.through)
    before = books.connection.scalar(
        text("select count(*) from document_key where type = 'recognition' and ref like :month || '/%'"),
        {"month": month},
    )
    fields = {"type": "recognition", "id": f"{month}/{(before or 0) + 1}", "through": month}
    body = json.dumps(fields)
    books.add_document(
        HOUSE, document_id, "recognition", fields["id"], month_end(run.through), body, parse.content_hash(fields)
    )
    books.flush()
