"""Alerts on wallets: a threshold, and each crossing of what is left, recorded once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from ledger.amounts.money import to_minor
from ledger.database import locks
from ledger.documents import models
from ledger.reports.report import Column, Filters, Report, narrowed
from ledger.wallets.grants import Grant
from ledger.wallets.session import Wallets


def post_wallet_alert(wallets: Wallets, doc: models.WalletAlert, document_id: int) -> int:
    """Take an alert in. It speaks at the next change of the wallet."""
    books = wallets.books
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, books.posted_at.date())
    books.add_row(
        "wallet_alert",
        customer_id=source.customer.customer_id,
        document_id=document_id,
        ref=doc.id,
        entity=doc.entity,
        currency=doc.currency,
        threshold_minor=to_minor(doc.threshold, doc.currency, "threshold"),
    )
    return source.customer.customer_id


def watch(wallets: Wallets) -> None:
    """Record the alerts that what is left of wallets has crossed since they last spoke.

    Where balances were written.
    """
    customers = list(wallets.changed_customers)
    wallets.changed_customers.clear()
    if not customers:
        return
    connection = wallets.books.connection
    alerts = connection.execute(
        text(
            "select a.customer_id, a.document_id, a.entity, a.currency, a.threshold_minor,"
            " (select crossed from wallet_alert_event e where e.customer_id = a.customer_id"
            "  and e.document_id = a.document_id order by event_id desc limit 1) as crossed "
            "from wallet_alert a where a.customer_id = any(:customers) order by a.customer_id, a.document_id"
        ),
        {"customers": customers},
    ).all()
    for alert in alerts:
        left = sum(grant.left for grant in wallets.grants(alert.customer_id) if _counts(grant, alert))
        crossed = "below" if left < alert.threshold_minor else "above"
        if crossed != (alert.crossed or "above"):
            connection.execute(
                text(
                    "insert into wallet_alert_event (customer_id, document_id, crossed, left_minor, at) "
                    "values (:customer_id, :document_id, :crossed, :left, :at)"
                ),
                {
                    "customer_id": alert.customer_id,
                    "document_id": alert.document_id,
                    "crossed": crossed,
                    "left": left,
                    "at": wallets.books.posted_at,
                },
            )


def _counts(grant: Grant, alert: Any) -> bool:
    """Whether a grant's credits are in an alert's wallet: a commitment is no credit."""
    return grant.kind != "commitment" and (grant.entity, grant.currency) == (alert.entity, alert.currency)


@dataclass(frozen=True, slots=True)
class Crossing:
    """A crossing that no webhook has taken yet."""

    key: tuple[int, int, int]
    customer: str
    alert: str
    entity: str
    currency: str
    threshold: int
    crossed: str
    left: int
    at: datetime


def next_undelivered(connection: Connection) -> Crossing | None:
    """The first crossing that is not delivered.

    Who asks holds the deliveries until the transaction ends.
    """
    locks.hold_deliveries(connection)
    row: Any = connection.execute(
        text(
            "select e.customer_id, e.document_id, e.event_id, c.ref as customer, a.ref as alert, a.entity, a.currency,"
            " a.threshold_minor, e.crossed, e.left_minor, e.at from wallet_alert_event e "
            "join wallet_alert a using (customer_id, document_id) join customer c using (customer_id) "
            "where not exists (select from wallet_alert_delivery d where d.customer_id = e.customer_id"
            " and d.document_id = e.document_id and d.event_id = e.event_id) order by e.event_id limit 1"
        )
    ).first()
    return None if row is None else Crossing((row.customer_id, row.document_id, row.event_id), *row[3:])


def delivered(connection: Connection, crossing: Crossing) -> None:
    """Record that a webhook took a crossing."""
    connection.execute(
        text(
            "insert into wallet_alert_delivery (customer_id, document_id, event_id) values (:customer, :document, :event)"
        ),
        dict(zip(("customer", "document", "event"), crossing.key, strict=True)),
    )


def wallet_alerts(connection: Connection, filters: Filters) -> Report:
    """Each crossing of a wallet's threshold: when it was seen, and what was left then."""
    clause, parameters = narrowed(filters, known_at="e.at", entity="a.entity", customer="c.ref", currency="a.currency")
    rows = connection.execute(
        text(
            "select c.ref as customer, a.ref as alert, a.entity, a.currency, a.threshold_minor as threshold, e.crossed,"
            " e.left_minor, e.at from wallet_alert_event e join wallet_alert a using (customer_id, document_id) "
            "join customer c using (customer_id) "
            f"where {clause} order by e.event_id"
        ),
        parameters,
    )
    columns = (
        Column("customer", "Customer"),
        Column("alert", "Alert"),
        Column("currency", "Currency"),
        Column("threshold", "Threshold", "amount"),
        Column("crossed", "Crossed"),
        Column("left", "Left", "amount"),
        Column("at", "Seen"),
    )
    found = tuple(
        {
            "customer": row.customer, "alert": row.alert, "currency": row.currency, "threshold": row.threshold,
            "crossed": row.crossed, "left": row.left_minor, "at": row.at.isoformat(timespec="seconds"),
        }
        for row in rows
    )  # fmt: skip
    return Report("wallet-alerts", "Wallet alerts", columns, found)
