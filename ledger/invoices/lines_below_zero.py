"""Invoice lines below zero: what they take back of what others billed, and whose money they leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text

from ledger.cash import left_on_balance, uses
from ledger.documents import models
from ledger.invoices.forms import Billing
from ledger.journal.books import Books
from ledger.journal.line_changes import add_change
from ledger.journal.movements import Movement
from ledger.obligations import Correction, Obligations, Taking, obligation_sides


def leave_below(billing: Billing, amount: int) -> None:
    """Gather whose money it is that an invoice below zero leaves: what lies on the invoices that its lines correct, else its own."""
    books, source = billing.wallets.books, billing.source
    books.flush()
    on = billing.terms.recorded_on
    corrected = books.connection.execute(
        text(
            "select x.invoice_id, sum(x.amount)::bigint as amount from ("
            " select invoice_id, amount_minor as amount from line_change where customer_id = :customer_id"
            "  and document_id = :document_id and kind = 'proration' and undoes = 0"
            " union all select invoice_id, -tax_minor from line_tax where customer_id = :customer_id and document_id = :document_id"
            ") x where x.invoice_id <> :document_id group by 1 having sum(x.amount) > 0 order by 1 desc"
        ),
        {"customer_id": source.customer.customer_id, "document_id": source.document_id},
    ).all()
    left = amount
    for row in corrected:
        left -= left_on_balance.leave_of(books, source, row.invoice_id, min(left, row.amount), on)
    uses.bring(books, source, left, on, origin_id=corrected[0].invoice_id if corrected else 0)


def correct_lines(billing: Billing, obligations: Obligations) -> None:
    """Post what lines below zero take back of what was billed, by this invoice's other lines too."""
    if not billing.below:
        return
    books, source, customer_id = billing.wallets.books, billing.source, billing.source.customer.customer_id
    of: list[tuple[Prorated, models.InvoiceLine]] = []
    left: Counter[str] = Counter()
    before: Counter[tuple[int, str]] = Counter()
    for line, subject, amount in billing.below:
        parts = prorated(books, customer_id, subject, amount, source.document_id, before)
        of += [(part, line) for part in parts]
        left[subject] += amount - sum(part.amount for part in parts)
        before.update({(part.invoice_id, part.line): part.amount for part in parts})
    on = billing.terms.recorded_on
    decided = obligations.decide(
        billing.wallets, customer_id, source.document_id,
        [
            Correction(source.document_id, billing.doc.id, "proration", part.invoice_id, part.line, part.subject, part.amount, on,
                       line.start, line.end)
            for part, line in of
        ],
    )  # fmt: skip
    taking = Taking(books, source, billing.day)
    movements: list[Movement] = []
    whole: Counter[tuple[int, str, str]] = Counter()
    for number, (part, line) in enumerate(of):
        whole[part.invoice_id, part.line, part.subject] += part.amount
        period = {"starts_on": line.start, "ends_on": line.end, "part": number}
        add_change(
            books, source, part.invoice_id, part.line, "proration", part.amount, part.product, part.subject, period
        )
    for key, amount in whole.items():
        movements += _taken_back(billing, taking, key[2], amount, decided.share(*key).expected)
    for subject, amount in left.items():  # what is expected back of usage, which no line of an obligation billed
        movements += _taken_back(billing, taking, subject, amount, amount)
    books.post(source, on, movements)
    for subject in dict.fromkeys(subject for _, subject, _ in billing.below):
        books.net(source, *obligation_sides(source, subject), billing.day)
    decided.keep()


def _taken_back(billing: Billing, taking: Taking, subject: str, amount: int, expected: int) -> list[Movement]:
    """What taking an amount back of an obligation moves, against this invoice's receivable."""
    held, rest, release = taking.out_of(subject, amount, expected)
    return [
        *release,
        Movement("credit.deferred", held, subject, billing.subject),
        Movement("credit.unbilled", rest, subject, billing.subject),
    ]


@dataclass(frozen=True, slots=True)
class Prorated:
    """What an invoice credits of a line of another one that billed an obligation."""

    invoice_id: int
    line: str
    product: str | None
    subject: str
    amount: int


def prorated(
    books: Books, customer_id: int, subject: str, amount: int, last: int, before: Mapping[tuple[int, str], int]
) -> list[Prorated]:
    """Which lines of invoices an amount credited of an obligation is of: the latest first, those of the invoice that credits `last`.

    `before` is what of lines was credited just before.
    """
    books.flush()
    rows = books.connection.execute(
        text(
            "select l.invoice_id, l.line, l.product, l.amount_minor - coalesce((select sum(x.amount_minor)"
            " from line_change x where x.customer_id = l.customer_id and x.invoice_id = l.invoice_id"
            "  and x.line = l.line and x.subject = l.subject), 0)::bigint as left_minor"
            " from obligation_bill l left join invoice i using (customer_id, invoice_id) "
            "where l.customer_id = :customer_id and l.subject = :subject and l.amount_minor > 0 "
            "order by l.invoice_id = :last, i.issued_on desc, i.ref desc, l.line"
        ),
        {"customer_id": customer_id, "subject": subject, "last": last},
    ).all()
    found = []
    for row in rows:
        part = min(amount, row.left_minor - before.get((row.invoice_id, row.line), 0))
        if part > 0:
            found.append(Prorated(row.invoice_id, row.line, row.product, subject, part))
            amount -= part
    return found


def prorated_by(books: Books, customer_id: int, document_id: int) -> list[Prorated]:
    """What an invoice credited of lines of others, as far as it was not taken back."""
    rows = books.connection.execute(
        text(
            "select x.invoice_id, x.line, max(x.product) as product, x.subject, sum(x.amount_minor)::bigint as amount from line_change x "
            "where x.customer_id = :customer_id and x.kind = 'proration' and :document_id in (x.document_id, x.undoes) "
            "group by 1, 2, 4 having sum(x.amount_minor) > 0 order by 1, 2"
        ),
        {"customer_id": customer_id, "document_id": document_id},
    )
    return [Prorated(*row) for row in rows]
