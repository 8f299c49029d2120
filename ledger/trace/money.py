"""Whose money it is: the documents that brought money, and those that took it on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.house import BESIDE
from ledger.amounts.money import to_text
from ledger.trace.documents import describe
from ledger.trace.steps import Step


def money_behind(connection: Connection, row: Any, body: dict[str, Any], depth: int) -> list[Step]:
    """The documents whose money one took off the balance.

    To pay it out or put it onto an invoice.
    """
    if row.type == "refund" and body.get("customer"):
        return _money_of(connection, row, depth)
    return _money_put(connection, row.type, row.ref, depth) if row.type == "application" else []


def _money_of(connection: Connection, refund: Any, depth: int) -> list[Step]:
    """The documents whose money a refund of a balance paid out, with how much of each."""
    rows = connection.execute(
        text(
            "select m.type, m.ref, m.dated_on, m.body, u.currency, -sum(u.amount_minor)::bigint as amount from money_use u"
            " join document m on m.document_id = u.money_id where u.customer_id = :customer_id and u.document_id = :document_id"
            " group by m.type, m.ref, m.dated_on, m.body, m.document_id, u.currency order by min(u.use_id)"
        ),
        {"customer_id": refund.customer_id, "document_id": refund.document_id},
    )
    return [_of_it(row, depth) for row in rows]


def _money_put(connection: Connection, kind: str, ref: str, depth: int) -> list[Step]:
    """The documents whose money a document put onto invoices.

    Those of others too, with how much of each.
    """
    rows = connection.execute(
        text(
            "select m.type, m.ref, m.dated_on, m.body, u.currency, sum(u.amount_minor)::bigint as amount from document_key k"
            " join money_use u on u.customer_id = k.customer_id and u.document_id = k.document_id and u.invoice_id <> 0 and u.amount_minor > 0"
            " join document m on m.document_id = u.money_id"
            f" where (k.type, k.ref) in ((:type, :ref), ('{BESIDE}', :type || ':' || :ref))"
            " group by m.type, m.ref, m.dated_on, m.body, m.document_id, u.currency order by min(u.use_id)"
        ),
        {"type": kind, "ref": ref},
    )
    return [_of_it(row, depth) for row in rows]


def money_on(connection: Connection, invoice: Any) -> list[Step]:
    """The documents whose money lies on an invoice, with how much of each.

    Where another document put it there.
    """
    rows = connection.execute(
        text(
            "select m.type, m.ref, m.dated_on, m.body, u.currency, sum(u.amount_minor)::bigint as amount from money_use u"
            " join document m on m.document_id = u.money_id where u.customer_id = :customer_id and u.invoice_id = :invoice_id"
            " group by m.type, m.ref, m.dated_on, m.body, m.document_id, u.currency"
            " having sum(u.amount_minor) > 0 and not bool_and(u.document_id = u.money_id) order by min(u.use_id)"
        ),
        {"customer_id": invoice.customer_id, "invoice_id": invoice.document_id},
    )
    return [_of_it(row, 1) for row in rows]


def _of_it(row: Any, depth: int) -> Step:
    return Step(row.type, row.ref, f"{describe(row)}: {to_text(row.amount, row.currency)} {row.currency} of it", depth)


def paid_out(connection: Connection, kind: str, ref: str) -> list[Step]:
    """The documents that took money of a document off the balance.

    Refunds that paid it out, and applications.
    """
    rows = connection.execute(
        text(
            "select d.type, d.ref, d.dated_on, d.body, u.currency, -sum(u.amount_minor) filter (where d.type = 'refund'"
            "  or u.amount_minor < 0)::bigint as amount from document_key k"
            " join money_use u on u.money_id = k.document_id"
            " join document d on d.customer_id = u.customer_id and d.document_id = u.document_id"
            "  and (d.type = 'refund' and d.body::json ->> 'customer' is not null"
            "   or d.type = 'application' and d.body::json ->> 'payment' is null) where k.type = :type and k.ref = :ref"
            " group by d.type, d.ref, d.dated_on, d.body, d.document_id, u.currency order by d.dated_on, d.document_id"
        ),
        {"type": kind, "ref": ref},
    )
    return [_of_it(row, 0) for row in rows]
