"""What a customer owes and has paid: statements of account, and who is to be reminded of what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.house import BESIDE, HOUSE
from ledger.reports.aging import AGING_BUCKETS, ar_aging, bucket
from ledger.reports.report import Column, Filters, Report, last_day, sides

# A reminder's level follows the age of what is due, and goes to a contact of the customer by role.
ESCALATION = {
    AGING_BUCKETS[1][0]: (1, "billing"),
    AGING_BUCKETS[2][0]: (2, "account_executive"),
    AGING_BUCKETS[3][0]: (3, "customer_success"),
    AGING_BUCKETS[4][0]: (4, "account_executive"),
}


def statement(connection: Connection, filters: Filters) -> Report:
    """Each customer's account: what invoices charge, what payments and credits settle, and the balance after each.

    The balance is receivables less the customer's unapplied money; money moved between the two does not show. What went back of what
    an invoice was paid with, or came in for what was written off, is both charged and settled: nothing is due for it.
    """
    source, parameters = sides(replace(filters, since=None), "accounts_receivable", "customer_balance")
    rows = connection.execute(
        text(
            f"select c.ref as customer, x.entity, x.currency, x.effective_on, d.type, d.ref, d.document_id,"
            f" sum(x.sign * x.amount)::bigint as net "
            f"from ({source}) x join customer c using (customer_id) join entry e using (customer_id, entry_id) "
            # a run's document, such as a revaluation, is the house's
            f"join document d on d.customer_id in (e.customer_id, {HOUSE}) and d.document_id = e.document_id "
            f"group by 1, 2, 3, 4, 5, 6, d.document_id having sum(x.sign * x.amount) <> 0 "
            f"order by 1, 2, 3, 4, sum(x.sign * x.amount) < 0, d.document_id"
        ),
        parameters,
    ).all()
    both = _both_ways(connection, filters)
    found, balances = _balanced(_with_both(rows, both), filters.since)
    columns = (
        Column("customer", "Customer"),
        Column("entity", "Entity"),
        Column("currency", "Currency"),
        Column("date", "Date", "date"),
        Column("document", "Document"),
        Column("charged", "Charged", "amount"),
        Column("settled", "Settled", "amount"),
        Column("balance", "Balance", "amount"),
    )
    totals = tuple(
        {"customer": customer, "entity": entity, "currency": currency, "document": "Balance", "balance": balance}
        for (customer, entity, currency), balance in sorted(balances.items())
    )
    return Report("statement", "Statements of account", columns, tuple(found), totals, sums=False)


def _balanced(
    rows: Iterable[_Moved], since: date | None
) -> tuple[list[dict[str, Any]], dict[tuple[str, str, str], int]]:
    """The lines of statements from a day on, each with the balance after it, what was brought forward before them; and the last balances."""
    found: list[dict[str, Any]] = []
    balances: dict[tuple[str, str, str], int] = {}
    opened: set[tuple[str, str, str]] = set()
    for row in rows:
        place = (row.customer, row.entity, row.currency)
        before = balances.get(place, 0)
        balances[place] = before + row.net
        if since is not None and row.effective_on < since:
            continue
        line = {"customer": row.customer, "entity": row.entity, "currency": row.currency}
        if before and place not in opened:
            found.append(line | {"date": since, "document": "brought forward", "balance": before})
        opened.add(place)
        found.append(
            line
            | {
                "date": row.effective_on,
                "document": row.ref.replace(":", " ", 1) if row.type == BESIDE else f"{row.type} {row.ref}",
                "charged": max(row.net, 0) + row.both,
                "settled": max(-row.net, 0) + row.both,
                "balance": balances[place],
            }
        )
    for place, balance in balances.items():
        if balance and place not in opened:
            found.append(
                {"customer": place[0], "entity": place[1], "currency": place[2], "date": since,
                 "document": "brought forward", "balance": balance}
            )  # fmt: skip
    return found, balances


@dataclass(frozen=True, slots=True)
class _Moved:
    """What a document made of what a customer owes on a day, and what it both charged and settled beside."""

    customer: str
    entity: str
    currency: str
    effective_on: date
    type: str
    ref: str
    document_id: int
    net: int
    both: int = 0

    @property
    def of(self) -> tuple[str, str, str, int]:
        """Whose it is, where, and of which document."""
        return (self.customer, self.entity, self.currency, self.document_id)


# What moves money of invoices that stay paid, or were written off.
_BOTH_WAYS = ["refund", "refund_reversal", "dispute", "recovery", "payment_reversal", BESIDE]


def _both_ways(connection: Connection, filters: Filters) -> list[_Moved]:
    """What documents gave back of money that lay on invoices, or brought for them, while what is due of these stayed: on their first day."""
    narrowed = "".join(
        f" and {clause}"
        for clause, value in (
            ("c.ref = :customer", filters.customer), ("u.entity = :entity", filters.entity), ("u.currency = :currency", filters.currency),
        ) if value is not None
    )  # fmt: skip
    rows: Sequence[Any] = connection.execute(
        text(
            "with moved as ("
            " select u.customer_id, c.ref as customer, u.entity, u.currency, d.type, d.ref, d.document_id, -sum(u.amount_minor)::bigint as went"
            " from money_use u join customer c using (customer_id) join document d using (customer_id, document_id)"
            f" where d.type = any(:types){narrowed} group by 1, 2, 3, 4, 5, 6, 7 having sum(u.amount_minor) <> 0)"
            " select m.customer, m.entity, m.currency, x.effective_on, m.type, m.ref, m.document_id, m.went, x.net from moved m"
            " join lateral (select min(e.effective_on) as effective_on, coalesce(sum(case when a.account_id = p.debit_account then p.amount"
            "   when a.account_id = p.credit_account then -p.amount end), 0)::bigint as net"
            "  from entry e join posting p using (customer_id, entry_id) left join account a on a.customer_id = p.customer_id"
            "   and a.account_id in (p.debit_account, p.credit_account) and a.role in ('accounts_receivable', 'customer_balance')"
            "   and a.entity = m.entity and a.currency = m.currency"
            "  where e.customer_id = m.customer_id and e.document_id = m.document_id"
            "   and (cast(:known_at as timestamptz) is null or e.posted_at <= :known_at)) x on x.effective_on is not null"
        ),
        {
            "types": _BOTH_WAYS, "customer": filters.customer, "entity": filters.entity, "currency": filters.currency,
            "known_at": filters.known_at,
        },
    ).all()  # fmt: skip
    found = []
    for row in rows:
        rest = row.net - row.went  # what it charged, or settled below zero, beside the money
        both = min(abs(row.went), abs(rest)) if (row.went < 0) != (rest < 0) else 0
        if both and (filters.as_of is None or row.effective_on <= filters.as_of):
            place = (row.customer, row.entity, row.currency, row.effective_on)
            found.append(_Moved(*place, row.type, row.ref, row.document_id, 0, both))
    return found


def _with_both(rows: Sequence[Any], both: Sequence[_Moved]) -> list[_Moved]:
    """The lines of statements, each with what its document both charged and settled; in the order of their days."""
    left = {(*one.of, one.effective_on): one for one in both}
    found = []
    for row in rows:
        line = _Moved(*row)
        beside = left.pop((*line.of, line.effective_on), None)
        found.append(line if beside is None else replace(line, both=beside.both))
    found += left.values()
    # of a day what charges first, as it came
    return sorted(
        found, key=lambda one: (one.customer, one.entity, one.currency, one.effective_on, one.net < 0, one.document_id)
    )


def dunning(connection: Connection, filters: Filters) -> Report:
    """Who is owed a reminder of which overdue invoice, at which level, and to which contact it goes.

    Levels follow the aging buckets; contacts are named by role, as the customer has them on the day. Data for the tool that sends.
    """
    aging = ar_aging(connection, filters)
    contacts = _contacts(connection, filters)
    found = []
    for row in aging.rows:
        if row["days_overdue"] <= 0 or row["due"] <= 0:
            continue
        level, role = ESCALATION[bucket(row["days_overdue"])]
        found.append(
            {
                "customer": row["customer"], "invoice": row["invoice"], "currency": row["currency"],
                "due_on": row["due_on"], "days_overdue": row["days_overdue"], "due": row["due"], "level": level,
                "escalate_to": role, "contact": contacts.get(row["customer"], {}).get(role),
            }
        )  # fmt: skip
    found.sort(key=lambda line: (-line["level"], line["customer"], line["due_on"], line["invoice"]))
    columns = (
        Column("customer", "Customer"),
        Column("invoice", "Invoice"),
        Column("currency", "Currency"),
        Column("due_on", "Due on", "date"),
        Column("days_overdue", "Days overdue", "number"),
        Column("due", "Due", "amount"),
        Column("level", "Level", "number"),
        Column("escalate_to", "Escalate to"),
        Column("contact", "Contact"),
    )
    return Report("dunning", "Reminders due", columns, tuple(found), (), aging.notes)


def _contacts(connection: Connection, filters: Filters) -> dict[str, dict[str, str]]:
    """The contacts of each customer on a day, by role: of its document, or the latest change that says something of them."""
    rows = connection.execute(
        text(
            # before there were personal fields, they stood in the document
            "select c.ref, (case when h.document_id is null then coalesce(p.fields, d.body) else h.fields end)::json -> 'contacts' as contacts "
            "from customer c join document_key k on k.type = 'customer' and k.ref = c.ref "
            "join document d on d.customer_id = k.customer_id and d.document_id = k.document_id "
            "left join personal_fields p on p.customer_id = d.customer_id and p.document_id = d.document_id "
            "left join lateral (select n.document_id, n.fields from personal_fields n join document w using (customer_id, document_id)"
            "  where n.customer_id = c.customer_id and n.type = 'customer_change' and n.dated_on <= :on"
            "   and (cast(:known_at as timestamptz) is null or w.posted_at <= :known_at)"
            "  order by n.dated_on desc, n.document_id desc limit 1) h on true"
        ),
        {"on": filters.as_of or last_day(connection, filters), "known_at": filters.known_at},
    )
    return {row.ref: row.contacts or {} for row in rows}
