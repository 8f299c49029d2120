"""What a customer owes and has paid: statements of account, and who is to be reminded of what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, text

from ledger.books import BESIDE, HOUSE
from ledger.reports import AGING_BUCKETS, Column, Filters, Report, ar_aging, bucket, last_day, sides

# A reminder's level follows the age of what is due, and goes to a contact of the customer by role.
ESCALATION = {
    AGING_BUCKETS[1][0]: (1, "billing"),
    AGING_BUCKETS[2][0]: (2, "account_executive"),
    AGING_BUCKETS[3][0]: (3, "customer_success"),
    AGING_BUCKETS[4][0]: (4, "account_executive"),
}


def statement(connection: Connection, filters: Filters) -> Report:
    """Each customer's account: what invoices charge, what payments and credits settle, and the balance after each.

    The balance is receivables less the customer's unapplied money; money moved between the two does not show.
    """
    source, parameters = sides(replace(filters, since=None), "accounts_receivable", "customer_balance")
    rows = connection.execute(
        text(
            f"select c.ref as customer, x.entity, x.currency, x.effective_on, d.type, d.ref,"
            f" sum(x.sign * x.amount)::bigint as net "
            f"from ({source}) x join customer c using (customer_id) join entry e using (customer_id, entry_id) "
            # a run's document, such as a revaluation, is the house's
            f"join document d on d.customer_id in (e.customer_id, {HOUSE}) and d.document_id = e.document_id "
            f"group by 1, 2, 3, 4, 5, 6, d.document_id having sum(x.sign * x.amount) <> 0 "
            f"order by 1, 2, 3, 4, sum(x.sign * x.amount) < 0, d.document_id"
        ),
        parameters,
    )
    found: list[dict[str, Any]] = []
    balances: dict[tuple[str, str, str], int] = {}
    opened: set[tuple[str, str, str]] = set()
    for row in rows:
        place = (row.customer, row.entity, row.currency)
        before = balances.get(place, 0)
        balances[place] = before + row.net
        if filters.since is not None and row.effective_on < filters.since:
            continue
        line = {"customer": row.customer, "entity": row.entity, "currency": row.currency}
        if before and place not in opened:
            found.append(line | {"date": filters.since, "document": "brought forward", "balance": before})
        opened.add(place)
        found.append(
            line
            | {
                "date": row.effective_on,
                "document": row.ref.replace(":", " ", 1) if row.type == BESIDE else f"{row.type} {row.ref}",
                "charged": max(row.net, 0),
                "settled": max(-row.net, 0),
                "balance": balances[place],
            }
        )
    for place, balance in balances.items():
        if balance and place not in opened:
            found.append(
                {"customer": place[0], "entity": place[1], "currency": place[2], "date": filters.since,
                 "document": "brought forward", "balance": balance}
            )  # fmt: skip
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
        {"on": filters.as_of or last_day(connection, filters.known_at), "known_at": filters.known_at},
    )
    return {row.ref: row.contacts or {} for row in rows}
