"""What is left standing after its life has ended.

Assets no bill can clear, liabilities nobody can claim. Only what has ended counts: an obligation whose term is over or that was
cancelled, credits that expired or are used up, usage whose last is older than the entity bills within. It is a warning with an age, and
every figure is a balance of the ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from sqlalchemy import Connection, text

from ledger.amounts.money import to_text
from ledger.reports.report import Column, Filters, Report, last_day, sides
from revrec.reports.ended_positions import Standing, of_positions, rules_in, sides_of, standing_of

# How much of what ended last is looked at where not all is.
LATELY = 500
_DOCUMENTS_NAMED = 3
_DISPUTED = rules_in("dispute.", "between.disputed", "customer.disputed")

# Whose contracts, lines and credits ended last, and whose usage may have: so many of each, by index.
_ENDED_LATELY = """
    select distinct customer_id from (
        (select customer_id from obligation where ends_on <= :until order by ends_on desc limit :lately)
        union all
        (select customer_id from obligation_version where from_day <= :until order by from_day desc limit :lately)
        union all
        (select customer_id from invoice_line where own_obligation and ends_on <= :until order by ends_on desc limit :lately)
        union all
        (select customer_id from credit_grant where expires_on <= :until order by expires_on desc limit :lately)
        union all
        (select customer_id from account where role = 'unbilled_receivable' and entity = :entity order by customer_id limit :lately)
        union all
        (select customer_id from account where role = 'disputed_funds' and entity = :entity order by customer_id desc limit :lately)
    ) x
"""


def recognised_through(connection: Connection, filters: Filters) -> date:
    """The last day of the last month whose revenue was recognised, as known at a moment."""
    found: date | None = connection.scalar(
        text(
            "select max(d.dated_on) from document_key k join document d using (customer_id, document_id)"
            " where k.type = 'recognition' and (cast(:known as timestamptz) is null or d.posted_at <= :known)"
        ),
        {"known": filters.known_at},
    )
    return found or date.min


def find(
    connection: Connection, filters: Filters, *, recognised: date | None = None, lately: bool = False
) -> list[Standing]:
    """What stands on a day though it has ended, the longest first.

    The day is `as_of`, else the latest in the books. `recognised` is through when revenue is, where that is known; `lately` looks at what
    ended last of an entity only.
    """
    until = filters.as_of or last_day(connection, filters)
    narrow = replace(filters, since=None, as_of=until, product=None, contract=None)
    if recognised is None:
        recognised = recognised_through(connection, filters)
    customers = None
    if lately:
        customers = list(
            connection.scalars(text(_ENDED_LATELY), {"until": until, "entity": filters.entity, "lately": LATELY})
        )
    found = [
        *of_positions(connection, narrow, until, recognised, customers),
        *_of_disputes(connection, narrow, customers),
        *([] if lately else _between(connection, narrow)),
    ]
    kept = [row for row in found if filters.product in (None, row.product) and filters.contract in (None, row.contract)]
    return sorted(kept, key=lambda row: (row.ended_on, row.entity, row.customer, row.subject, row.role))


def _of_disputes(connection: Connection, filters: Filters, customers: Sequence[int] | None) -> list[Standing]:
    """Disputed funds of payments that no dispute is open about."""
    source, parameters = sides_of(filters, customers, "disputed_funds")
    rows = connection.execute(
        text(
            "select x.customer_id, x.entity, x.currency, x.subject, c.ref as customer, null as contract, null as product,"
            f" sum(x.sign * x.amount)::bigint as amount, max(x.effective_on) as ended_on from ({source}) x"
            " join customer c using (customer_id) group by 1, 2, 3, 4, 5 having sum(x.sign * x.amount) <> 0"
            " and coalesce(sum(x.sign * x.amount) filter (where x.rule = any(:disputed)), 0) = 0"
        ),
        parameters | {"disputed": _DISPUTED},
    )
    return [standing_of(row, "disputed_funds", row.amount) for row in rows]


def _between(connection: Connection, filters: Filters) -> list[Standing]:
    """What entities owe each other for a customer, where only one of the two says so.

    What one owes and the other does not claim, or claims and is not owed.
    """
    source, parameters = sides(replace(filters, entity=None), "due_to_entities", "due_from_entities")
    rows = connection.execute(
        text(
            "select y.customer_id, c.ref as customer, owes, claims, currency, sum(net)::bigint as net, max(effective_on) as ended_on from ("
            "select customer_id, case role when 'due_to_entities' then entity else substr(subject, 8) end as owes,"
            " case role when 'due_to_entities' then substr(subject, 8) else entity end as claims, currency,"
            f" sign * amount as net, effective_on from ({source}) x where subject like 'entity:%'"
            ") y join customer c using (customer_id) group by 1, 2, 3, 4, 5 having sum(net) <> 0"
        ),
        parameters,
    )
    found = []
    for row in rows:
        # below zero it is owed and not claimed
        role, entity, other = (
            ("due_to_entities", row.owes, row.claims) if row.net < 0 else ("due_from_entities", row.claims, row.owes)
        )
        if filters.entity in (None, entity, other):
            place = (entity, row.customer_id, row.customer, None, None)
            found.append(Standing(*place, f"entity:{other}", role, row.currency, abs(row.net), row.ended_on))
    return found


def standing(connection: Connection, filters: Filters) -> Report:
    """What is left standing on a day though it has ended.

    Each with its age and the documents behind it.
    """
    until = filters.as_of or last_day(connection, filters)
    found = find(connection, filters)
    documents = _documents(connection, filters, until, found)
    rows = tuple(
        {
            "entity": row.entity, "customer": row.customer, "contract": row.contract, "product": row.product, "subject": row.subject,
            "role": row.role, "currency": row.currency, "ended_on": row.ended_on, "age_days": (until - row.ended_on).days,
            "amount": row.amount, "documents": behind,
        }
        for row, behind in zip(found, documents, strict=True)
    )  # fmt: skip
    columns = (
        Column("entity", "Entity"), Column("customer", "Customer"), Column("contract", "Contract"), Column("product", "Product"),
        Column("subject", "For"), Column("role", "Role"), Column("currency", "Currency"), Column("ended_on", "Ended on", "date"),
        Column("age_days", "Days since", "number"), Column("amount", "Amount", "amount"), Column("documents", "Documents"),
    )  # fmt: skip
    return Report(
        "standing", "Left standing", columns, rows, notes=(f"as of {until}",), sums=False,
        empty="Nothing is left standing of what has ended.",
    )  # fmt: skip


# Documents that moved an account of a thing or agreed it, by kind: of each kind the first few.
_BEHIND = f"""
    select n, type, (array_agg(ref order by document_id))[1:{_DOCUMENTS_NAMED}] as refs, count(*) as documents
    from (
        select distinct t.n, d.type, d.ref, d.document_id
        from unnest(cast(:customers as bigint[]), cast(:entities as text[]), cast(:subjects as text[])) with ordinality t (customer_id, entity, subject, n)
        join account a on a.customer_id = t.customer_id and a.entity = t.entity and a.subject = t.subject
        cross join lateral (
            select p.entry_id from posting p where p.customer_id = a.customer_id and p.debit_account = a.account_id and p.effective_on <= :until
            union all
            select p.entry_id from posting p where p.customer_id = a.customer_id and p.credit_account = a.account_id and p.effective_on <= :until
        ) p
        join entry e on e.customer_id = a.customer_id and e.entry_id = p.entry_id
        join document d on d.document_id = e.document_id and d.customer_id in (e.customer_id, 0)
        where d.type <> 'recognition' and (cast(:known as timestamptz) is null or d.posted_at <= :known)
        union
        select t.n, d.type, d.ref, d.document_id
        from unnest(cast(:customers as bigint[]), cast(:subjects as text[])) with ordinality t (customer_id, subject, n)
        join (select customer_id, subject, known_by as document_id from performance_obligation
              union all
              select customer_id, subject, document_id from obligation_version) o
             on o.customer_id = t.customer_id and o.subject = t.subject
        join document d on d.customer_id in (o.customer_id, 0) and d.document_id = o.document_id
        where (d.dated_on is null or d.dated_on <= :until) and (cast(:known as timestamptz) is null or d.posted_at <= :known)
    ) x
    group by 1, 2 order by 1, min(document_id)
"""


def _documents(connection: Connection, filters: Filters, until: date, found: Sequence[Standing]) -> list[str]:
    """The documents behind each, in words."""
    behind: dict[int, list[str]] = defaultdict(list)
    if found:
        rows = connection.execute(
            text(_BEHIND),
            {
                "customers": [row.customer_id for row in found], "entities": [row.entity for row in found],
                "subjects": [row.subject for row in found], "until": until, "known": filters.known_at,
            },
        )  # fmt: skip
        for row in rows:
            more = row.documents - len(row.refs)
            named = f"{row.type.replace('_', ' ')} {', '.join(row.refs)}"
            behind[row.n].append(f"{named} and {more:,} more" if more else named)
    return ["; ".join(behind[number]) for number in range(1, len(found) + 1)]


def told(connection: Connection) -> list[str]:
    """What is left standing, each in a sentence with its age and its documents."""
    return [
        f"{row['role']} {row['subject']} of {row['customer']} with {row['entity']}:"
        f" {to_text(row['amount'], row['currency'])} {row['currency']}, ended {row['ended_on']}, {row['age_days']:,} days ago"
        f"{' (' + row['documents'] + ')' if row['documents'] else ''}"
        for row in standing(connection, Filters()).rows
    ]
