"""Money put onto invoices, in any currency: what is due of them, and what it settles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from sqlalchemy import text

from ledger.amounts.money import to_minor, to_text
from ledger.cash import uses
from ledger.cash.uses import Piece
from ledger.documents import models
from ledger.errors import InvalidDocument, OverApplication, UnknownReference, WrongParty
from ledger.invoices.forms import CUSTOMER, Receivable, invoice_subject
from ledger.journal import currencies
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.currencies import clearing_subject
from ledger.journal.movements import AccountKey, Movement, Source
from ledger.parties.parties import is_paid_for_by
from ledger.payments.between_customers import pass_on
from ledger.payments.withholding import withheld


def find_invoice(
    books: Books, source: Source, ref: str, field: str = "invoice", paid_on: date | None = None
) -> Receivable:
    """An invoice of the source's customer and entity, or one that the customer may pay on a day. Raises where it is not known or not theirs."""
    found: Receivable | None = books.recall("invoice", ref)
    if found is None:
        row = books.connection.execute(
            text(
                "select c.ref as customer, i.ref, i.entity, i.currency, coalesce(i.recorded_on, i.issued_on)"
                " as recorded_on, i.invoice_id, i.rate "
                "from document_key k "
                "join invoice i on i.customer_id = k.customer_id and i.invoice_id = k.document_id "
                "join customer c on c.customer_id = i.customer_id where k.type = 'invoice' and k.ref = :ref"
            ),
            {"ref": ref},
        ).first()
        if row is None:
            raise UnknownReference(field, ref, "expected the id of an invoice posted before")
        rate = None if row.rate is None else Fraction(row.rate)
        found = Receivable(row.customer, row.ref, row.entity, row.currency, row.recorded_on, row.invoice_id, rate)
    if found.customer != source.customer.ref and (
        paid_on is None or not is_paid_for_by(books, found.customer, source.customer.ref, paid_on)
    ):
        more = (
            ""
            if paid_on is None
            else ", or of a customer that belongs to it: name it as `payer` of a payment of theirs"
        )
        raise WrongParty(field, ref, f"is an invoice of {found.customer}, expected one of {source.customer.ref}{more}")
    if found.entity != source.entity:
        raise WrongParty(field, ref, f"is of entity {found.entity}, expected one of entity {source.entity}")
    return found


def invoice_of(books: Books, source: Source, invoice_id: int) -> Receivable:
    """An invoice of the source's customer by its number."""
    ref = books.connection.scalar(
        text("select ref from invoice where customer_id = :customer_id and invoice_id = :invoice_id"),
        {"customer_id": source.customer.customer_id, "invoice_id": invoice_id},
    )
    return find_invoice(books, source, str(ref))


@dataclass(frozen=True, slots=True)
class Settlement:
    """Money put onto an invoice: `amount` in the invoice's currency, `paid` in the money's own, from `on`.

    `day` is that or the first open one. What the customer withheld settles it beside the money.
    """

    invoice: Receivable
    on: date
    day: date
    amount: int
    paid: int
    withheld: tuple[Movement, ...] = ()


def receivable_key(invoice: Receivable) -> AccountKey:
    """The account on which what is due of an invoice stands."""
    return AccountKey(invoice.entity, "accounts_receivable", invoice.currency, invoice_subject(invoice.ref))


def due_of(books: Books, customer_id: int, invoice: Receivable, day: date) -> int:
    """What is due of an invoice from a day on."""
    return max(available(books.history(customer_id, receivable_key(invoice)), day), 0)


def _taken_later(books: Books, customer_id: int, invoice: Receivable, day: date) -> str:
    """Which documents of later days in the books settle a part of an invoice, as words to follow what is due of it."""
    books.flush()
    rows = books.connection.execute(
        text(
            "select d.type, d.ref, min(e.effective_on) as on_day, sum(p.amount)::bigint as amount from account a"
            " join posting p on p.customer_id = a.customer_id and p.credit_account = a.account_id"
            " join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id"
            " join document d on d.customer_id = e.customer_id and d.document_id = e.document_id"
            " where a.customer_id = :customer_id and a.role = 'accounts_receivable' and a.subject = :subject and e.effective_on > :day"
            " group by 1, 2 having sum(p.amount) > 0 order by 3, 2 limit 3"
        ),
        {"customer_id": customer_id, "subject": invoice_subject(invoice.ref), "day": day},
    ).all()
    told = [f"{row.type} {row.ref} takes {to_text(row.amount, invoice.currency)} on {row.on_day}" for row in rows]
    return f", as {', '.join(told)}" if told else ""


def settlement_of(
    books: Books, source: Source, item: models.PaymentApplication | models.Application, on: date
) -> Settlement:
    """What putting money onto an invoice settles of it, from the invoice's date on.

    Raises OverApplication beyond what is due.
    """
    invoice = find_invoice(books, source, item.invoice, paid_on=on)
    owner = books.parties.customer(invoice.customer)
    amount = to_minor(item.amount, invoice.currency)
    kept = () if isinstance(item, models.Application) else tuple(withheld(books, item.withheld, invoice))
    settled = amount + sum(part.amount for part in kept)
    on = max(on, invoice.recorded_on)
    day = books.days.open_day(source, on)
    due = due_of(books, owner.customer_id, invoice, day)
    if settled > due:
        raise OverApplication(
            "amount",
            f"{to_text(settled, invoice.currency)} {invoice.currency}",
            f"expected at most {to_text(due, invoice.currency)}, what is due of invoice {invoice.ref} on {day}"
            + _taken_later(books, owner.customer_id, invoice, day),
        )
    if invoice.currency == source.currency:
        if item.paid is not None:
            raise InvalidDocument("paid", item.paid, f"expected none: the invoice and the money are {source.currency}")
        return Settlement(invoice, on, day, amount, amount, kept)
    if item.paid is not None:
        return Settlement(invoice, on, day, amount, to_minor(item.paid, source.currency, "paid"), kept)
    functional = books.parties.entity(source.entity).currency
    if functional == invoice.currency and source.rate is not None:
        # the payment's own rate says what its money is worth
        in_functional = books.at_rate(source, source.currency, on, 10**12)
        paid = round(Fraction(amount * 10**12, in_functional))
    else:
        rate = books.rate(invoice.currency, source.currency, on)
        paid = currencies.convert(amount, invoice.currency, source.currency, rate)
    return Settlement(invoice, on, day, amount, paid, kept)


def settle(books: Books, source: Source, settlement: Settlement, pieces: Sequence[Piece]) -> None:
    """Post a settlement by pieces of money; across currencies it passes the clearing account, and what rates leave over is realised."""
    invoice = settlement.invoice
    to = invoice_subject(invoice.ref)
    if invoice.customer != source.customer.ref:
        theirs = books.beside(source, invoice.customer, settlement.on)
        pieces = pass_on(books, source, theirs, settlement.on, pieces)
        source = theirs
    if invoice.currency == source.currency:
        movements = [Movement("payment.applied", settlement.amount, CUSTOMER, to)]
    else:
        through = clearing_subject(source.currency, invoice.currency)
        movements = [
            Movement("payment.exchanged", settlement.paid, CUSTOMER, through),
            Movement("payment.applied_exchanged", settlement.amount, through, to, currency=invoice.currency),
        ]
    books.post(source, settlement.on, [*movements, *settlement.withheld])
    uses.exchange(books, source, pieces, settlement.on, invoice.invoice_id, invoice.currency, settlement.amount)
