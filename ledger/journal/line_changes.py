"""What documents change of the lines of invoices, as rows: how much of which, over which period, and what they undo."""

from __future__ import annotations

from collections.abc import Mapping

from ledger.journal.books import Books
from ledger.journal.movements import Source


def add_change(
    books: Books,
    source: Source,
    invoice_id: int,
    line: str,
    kind: str,
    amount: int,
    product: str | None,
    subject: str,
    more: Mapping[str, object] | None = None,
) -> None:
    """Gather that a document lowers a line of an invoice by an amount net of tax; over which period, or what it undoes."""
    books.add_row(
        "line_change",
        **{
            "customer_id": source.customer.customer_id,
            "document_id": source.document_id,
            "invoice_id": invoice_id,
            "line": line,
            "kind": kind,
            "amount_minor": amount,
            "product": product,
            "subject": subject,
            "own_obligation": False,
            "starts_on": None,
            "ends_on": None,
            "deferred_account": None,
            "unbilled_account": None,
            "revenue_account": None,
            "rebill": False,
            "undoes": 0,
            "part": 0,
            **(more or {}),
        },
    )
