"""Revenue schedules: each obligation's revenue by period, posted and still to come."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date

from sqlalchemy import Connection, text

from ledger.reports.report import PERIODS, Column, Filters, Report, last_day, period_of
from revrec.reports.rows import facts_of
from revrec.reports.waterfall import scheduled
from revrec.terms.versions import versions_known


def schedule(connection: Connection, filters: Filters) -> Report:
    """Each obligation's revenue by month, quarter or year, posted and still scheduled.

    With the version of its terms at its end.
    """
    form = PERIODS[filters.period]
    until = filters.as_of or last_day(connection, filters)
    source, parameters = facts_of(replace(filters, transaction=filters.transaction is not False), "revenue")
    posted = connection.execute(
        text(
            f"select customer, contract, subject, product, currency, to_char(effective_on, '{form}') as month,"
            f" -sum(net)::bigint as amount from ({source}) f where subject like 'obligation:%' group by 1, 2, 3, 4, 5, 6"
        ),
        parameters,
    ).all()
    coming = scheduled(
        connection, filters, until,
        "select (select ref from customer k where k.customer_id = coming.customer_id) as customer, contract, subject, product,"
        f" shown_in as currency, to_char(month, '{form}') as month, sum(amount)::bigint as amount from coming group by 1, 2, 3, 4, 5, 6",
    )  # fmt: skip
    versions = _versions(connection, filters, until)
    found: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for status, rows in (("recognised", posted), ("scheduled", coming)):
        for row in rows:
            place = (
                row.customer,
                row.contract or "",
                row.subject.removeprefix("obligation:"),
                row.product,
                row.currency,
                row.month,
            )
            found[place][status] += row.amount
    lines = []
    reached: Counter[tuple[str, ...]] = Counter()
    for key in sorted(found):
        amounts = found[key]
        if not any(amounts.values()):
            continue
        customer, contract, obligation, product, currency, month = key
        reached[key[:-1]] += sum(amounts.values())
        lines.append(
            {
                "customer": customer, "contract": contract or None, "obligation": obligation, "product": product,
                "version": 1 + sum(1 for began in versions.get((customer, obligation), ()) if period_of(began, filters.period) <= month),
                "month": month, "currency": currency, "recognised": amounts["recognised"], "scheduled": amounts["scheduled"],
                "to_date": reached[key[:-1]],
            }
        )  # fmt: skip
    return Report("schedule", "Revenue schedules", _columns(filters.period), tuple(lines), notes=(f"as of {until}",))


def _columns(period: str) -> tuple[Column, ...]:
    """The columns, the month's headed by what a row adds up."""
    return (
        Column("customer", "Customer"), Column("contract", "Contract"), Column("obligation", "Obligation"), Column("product", "Product"),
        Column("version", "Version", "number"), Column("month", period.capitalize()), Column("currency", "Currency"),
        Column("recognised", "Recognised", "amount"), Column("scheduled", "Scheduled", "amount"), Column("to_date", "To date", "amount"),
    )  # fmt: skip


def _versions(connection: Connection, filters: Filters, until: date) -> dict[tuple[str, str], list[date]]:
    """The days from which later versions of obligations count.

    Of those agreed by a day, by customer and obligation.
    """
    rows = connection.execute(
        text(
            f"select c.ref as customer, substr(v.subject, 12) as obligation, v.from_day from {versions_known('known_at')} v "
            "join customer c using (customer_id) "
            "join document d on d.customer_id in (v.customer_id, 0) and d.document_id = v.document_id "
            "where d.dated_on <= :until order by v.version"
        ),
        {"known_at": filters.known_at, "until": until},
    )
    found: dict[tuple[str, str], list[date]] = {}
    for row in rows:
        found.setdefault((row.customer, row.obligation), []).append(row.from_day)
    return found
