"""Tax that customers withhold of what they owe: it settles their invoice, and is a claim on the authority they paid it to."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text

from ledger.amounts.money import to_minor
from ledger.documents import models
from ledger.invoices.forms import Receivable, invoice_subject
from ledger.invoices.taxes import require_code, tax_subject
from ledger.journal.books import Books
from ledger.journal.movements import Movement


def withheld(books: Books, parts: Sequence[models.Withheld] | None, invoice: Receivable) -> list[Movement]:
    """What the withheld parts of an invoice move, in its currency. Raises UnknownReference for an unknown code."""
    movements = []
    for index, part in enumerate(parts or ()):
        require_code(books, part.code, f"withheld.{index}.code")
        amount = to_minor(part.amount, invoice.currency)
        subjects = tax_subject(part.code), invoice_subject(invoice.ref)
        movements.append(Movement("tax.withheld", amount, *subjects, currency=invoice.currency))
    return movements


def reopened(books: Books, customer_id: int, document_id: int) -> list[Movement]:
    """What makes due again what a payment's document settled by withheld tax, where that payment came back."""
    books.flush()
    rows = books.connection.execute(
        text(
            "select r.subject as receivable, w.subject as code, w.currency, sum(p.amount)::bigint as amount,"
            " sum(p.functional_amount)::bigint as functional"
            " from entry e join posting p using (customer_id, entry_id) join rule on rule.number = p.rule"
            " join account w on w.customer_id = p.customer_id and w.account_id = p.debit_account"
            " join account r on r.customer_id = p.customer_id and r.account_id = p.credit_account"
            " where e.customer_id = :customer_id and e.document_id = :document_id and rule.code = 'tax.withheld' and p.amount > 0"
            " group by 1, 2, 3 order by 1, 2"
        ),
        {"customer_id": customer_id, "document_id": document_id},
    )
    return [
        Movement(
            "tax.withheld_reopened",
            row.amount,
            row.receivable,
            row.code,
            currency=row.currency,
            functional=row.functional,
        )
        for row in rows
    ]
