"""What a controller's attention is needed for, as an entity's overview lists it.

Wallets run low, money is late, credits are about to end, something was refused elsewhere, is left standing after it has ended, or is
below zero without a cause. What was posted in all must not slow it: each looks at balances that are kept, or at what ended or came last.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from flask import url_for
from sqlalchemy import Connection, text

from ledger.amounts.money import grouped
from ledger.reports.aging import AGING_BUCKETS
from ledger.reports.report import Filters, Report
from revrec.reports import below_zero, standing
from web.render.links import report_link

ENDS_SOON_DAYS = 30
_LATE = [key for key, *_ in AGING_BUCKETS[2:]]  # over thirty days


@dataclass(frozen=True, slots=True)
class Alert:
    """Something to look at, with the page that shows it; `urgent` where money is at stake."""

    said: str
    href: str
    urgent: bool = False


def alerts(connection: Connection, filters: Filters, aging: Report) -> list[Alert]:
    """What an entity's books need looking at on a day, the urgent first; wallets as they stand now."""
    assert filters.as_of is not None, "an overview is of a day"
    found = [*_late(aging, filters), *_ending(connection, filters, filters.as_of)]
    low = connection.scalar(text(_LOW), {"entity": filters.entity}) or 0
    if low:
        found.append(
            Alert(
                f"{_count(low, 'wallet')} below a threshold",
                report_link("wallet-alerts", Filters(entity=filters.entity)),
            )
        )
    refused = connection.scalar(text(_REFUSED), {"entity": filters.entity}) or 0
    if refused:
        said = f"{_count(refused, 'object')} refused by an accounting system"
        found.append(Alert(said, url_for("desk.exports", entity=filters.entity), urgent=True))
    found += _ended(connection, filters, filters.as_of)
    return sorted(found, key=lambda alert: not alert.urgent)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _late(aging: Report, filters: Filters) -> list[Alert]:
    return [
        Alert(
            f"{grouped(late, row['currency'])} {row['currency']} overdue more than 30 days",
            url_for("pages.receivables", entity=filters.entity, customer=None, as_of=filters.as_of, period=None), urgent=True,
        )
        for row in aging.totals
        if (late := sum(row[key] or 0 for key in _LATE)) > 0
    ]  # fmt: skip


def _ending(connection: Connection, filters: Filters, on: date) -> list[Alert]:
    rows = connection.execute(
        text(_ENDING), {"entity": filters.entity, "first": on, "last": on + timedelta(days=ENDS_SOON_DAYS)}
    )
    return [
        Alert(
            f"{grouped(row.left_minor, row.currency)} {row.currency} of credits expire within {ENDS_SOON_DAYS} days",
            report_link("wallet", Filters(entity=filters.entity, as_of=on)),
        )
        for row in rows
    ]


def _ended(connection: Connection, filters: Filters, on: date) -> list[Alert]:
    """What is left of what ended lately, and revenue below zero of late: the reports say it of all."""
    lately = filters.known_at is None  # what was known at a moment is asked of all
    left = standing.find(connection, filters, lately=lately)
    below = below_zero.find(connection, filters, lately=lately)
    found = []
    if left:
        oldest = (on - left[0].ended_on).days
        said = f"{_count(len(left), 'amount')} left standing, the oldest for {_count(oldest, 'day')}"
        found.append(Alert(said, report_link("standing", Filters(entity=filters.entity, as_of=on))))
    if below:
        said = f"{_count(len(below), 'month')} with revenue below zero and no cause"
        found.append(Alert(said, report_link("below-zero", Filters(entity=filters.entity, as_of=on))))
    return found


# By the balances that are kept, so that it costs what ends, not what was ever drawn.
_ENDING = (
    "select g.currency, sum(b.face_minor - b.drawn_face_minor - b.expired_face_minor - b.moved_face_minor)::bigint as left_minor"
    " from credit_grant g join grant_balance b using (customer_id, grant_id)"
    " where g.entity = :entity and g.kind <> 'commitment' and g.expires_on between :first and :last"
    " group by 1 having sum(b.face_minor - b.drawn_face_minor - b.expired_face_minor - b.moved_face_minor) > 0 order by 1"
)
_LOW = (
    "select count(*) from wallet_alert a join customer c using (customer_id)"
    " where a.entity = :entity and (select e.crossed from wallet_alert_event e where e.customer_id = a.customer_id"
    " and e.document_id = a.document_id order by e.event_id desc limit 1) = 'below'"
)
_REFUSED = (
    "select count(*) from export_item i join export_run r using (export_id) where r.entity = :entity and (select w.outcome"
    " from export_answer w where w.export_id = i.export_id and w.place = i.place order by w.attempt desc limit 1) = 'refused'"
)
