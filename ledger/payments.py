"""Payments: money taken in, put onto invoices at once or later, moved between them, in any currency."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction

from sqlalchemy import text

from ledger import currencies, documents
from ledger.books import AccountKey, Books, Movement, Source
from ledger.errors import InvalidDocument, OverApplication, Refused, UnknownReference, WrongCurrency, WrongParty
from ledger.money import share, to_minor, to_text
from ledger.positions import available
from ledger.receivables import CUSTOMER, Invoice, invoice_subject
from ledger.wallets import Wallets


def find_invoice(books: Books, source: Source, ref: str, field: str = "invoice") -> Invoice:
    """An invoice of the source's customer and entity. Raises where it is not known or not theirs."""
    found: Invoice | None = books.recall("invoice", ref)
    if found is None:
        row = books.connection.execute(
            text(
                "select c.ref as customer, i.ref, i.entity, i.currency, coalesce(i.recorded_on, i.issued_on)"
                " as recorded_on, i.rate "
                "from document_key k "
                "join invoice i on i.customer_id = k.customer_id and i.invoice_id = k.document_id "
                "join customer c on c.customer_id = i.customer_id where k.type = 'invoice' and k.ref = :ref"
            ),
            {"ref": ref},
        ).first()
        if row is None:
            raise UnknownReference(field, ref, "expected the id of an invoice posted before")
        rate = None if row.rate is None else Fraction(row.rate)
        found = Invoice(row.customer, row.ref, row.entity, row.currency, row.recorded_on, rate)
    if found.customer != source.customer.ref:
        raise WrongParty(field, ref, f"is an invoice of {found.customer}, expected one of {source.customer.ref}")
    if found.entity != source.entity:
        raise WrongParty(field, ref, f"is of entity {found.entity}, expected one of entity {source.entity}")
    return found


@dataclass(frozen=True, slots=True)
class Settlement:
    """Money put onto an invoice: `amount` in the invoice's currency, `paid` in the money's own, from `on`.

    `day` is that or the first open one.
    """

    invoice: Invoice
    on: date
    day: date
    amount: int
    paid: int


def _receivable_key(invoice: Invoice) -> AccountKey:
    return AccountKey(invoice.entity, "accounts_receivable", invoice.currency, invoice_subject(invoice.ref))


def _taken_later(books: Books, customer_id: int, invoice: Invoice, day: date) -> str:
    """Which documents of later days in the books settle a part of an invoice, as words to follow what is due of it."""
    books.flush()
    rows = books.connection.execute(
        text(
            "select d.type, d.ref, min(e.effective_on) as on_day, sum(p.amount)::bigint as amount from account a"
            " join posting p on p.customer_id = a.customer_id and p.credit_account = a.account_id"
            " join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id"
            " join document d on d.customer_id = e.customer_id and d.document_id = e.document_id"
            " where a.customer_id = :customer_id and a.role = 'accounts_receivable' and a.subject = :subject and e.effective_on > :day"
            " group by 1, 2 order by 3, 2 limit 3"
        ),
        {"customer_id": customer_id, "subject": invoice_subject(invoice.ref), "day": day},
    ).all()
    told = [f"{row.type} {row.ref} takes {to_text(row.amount, invoice.currency)} on {row.on_day}" for row in rows]
    return f", as {', '.join(told)}" if told else ""


def _settlement(
    books: Books, source: Source, item: documents.PaymentApplication | documents.Application, on: date
) -> Settlement:
    """What putting money onto an invoice settles of it, from the invoice's date on.

    Raises OverApplication beyond what is due.
    """
    invoice = find_invoice(books, source, item.invoice)
    amount = to_minor(item.amount, invoice.currency)
    on = max(on, invoice.recorded_on)
    day = books.open_day(source, on)
    due = max(available(books.history(source.customer.customer_id, _receivable_key(invoice)), day), 0)
    if amount > due:
        raise OverApplication(
            "amount",
            f"{to_text(amount, invoice.currency)} {invoice.currency}",
            f"expected at most {to_text(due, invoice.currency)}, what is due of invoice {invoice.ref} on {day}"
            + _taken_later(books, source.customer.customer_id, invoice, day),
        )
    if invoice.currency == source.currency:
        if item.paid is not None:
            raise InvalidDocument("paid", item.paid, f"expected none: the invoice and the money are {source.currency}")
        return Settlement(invoice, on, day, amount, amount)
    if item.paid is not None:
        return Settlement(invoice, on, day, amount, to_minor(item.paid, source.currency, "paid"))
    functional = books.entity(source.entity).currency
    if functional == invoice.currency and source.rate is not None:
        # the payment's own rate says what its money is worth
        in_functional = books.at_rate(source, source.currency, on, 10**12)
        paid = round(Fraction(amount * 10**12, in_functional))
    else:
        rate = books.rate(invoice.currency, source.currency, on)
        paid = currencies.convert(amount, invoice.currency, source.currency, rate)
    return Settlement(invoice, on, day, amount, paid)


def _settle(books: Books, source: Source, settlement: Settlement) -> None:
    """Post a settlement; across currencies it passes the clearing account, and what rates leave over is realised."""
    invoice = settlement.invoice
    to = invoice_subject(invoice.ref)
    if invoice.currency == source.currency:
        movements = [Movement("payment.applied", settlement.amount, CUSTOMER, to)]
    else:
        through = f"currency:{source.currency}>{invoice.currency}"
        movements = [
            Movement("payment.exchanged", settlement.paid, CUSTOMER, through),
            Movement("payment.applied_exchanged", settlement.amount, through, to, currency=invoice.currency),
        ]
    books.post(source, settlement.on, movements)


def post_payment(wallets: Wallets, doc: documents.Payment, document_id: int) -> int:
    """Take money in, and settle the invoices it names; the rest stays the customer's."""
    books = wallets.books
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.date, doc.fx_rate)
    amount = to_minor(doc.amount, doc.currency)
    fee = 0 if doc.fee is None else to_minor(doc.fee, doc.currency, "fee")
    if fee > amount:
        raise Refused("fee", doc.fee, f"expected at most the payment's amount, {doc.amount}")
    settlements: list[Settlement] = []
    for index, item in enumerate(doc.applications):
        try:
            settlements.append(_settlement(books, source, item, doc.date))
        except Refused as refusal:
            raise refusal.within(f"applications.{index}") from None
    applied = sum(settlement.paid for settlement in settlements)
    if applied > amount:
        raise OverApplication(
            "applications",
            f"{to_text(applied, doc.currency)} {doc.currency}",
            f"expected at most the payment's amount, {to_text(amount, doc.currency)}",
        )
    rail = f"rail:{doc.rail}"
    movements = [Movement("payment.received", amount, rail, CUSTOMER), Movement("payment.fee", fee, rail, rail)]
    books.post(source, doc.date, movements)
    for settlement in settlements:
        _settle(books, source, settlement)
    return source.customer.customer_id


def post_application(wallets: Wallets, doc: documents.Application, document_id: int) -> int:
    """Put money the customer has unapplied onto an invoice, or move what was applied to another one there.

    Raises OverApplication beyond that money, beyond what was applied, or beyond what is due.
    """
    books = wallets.books
    # money that is there already: what it counts for needs no rate
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.date, brings_in=False)
    customer_id = source.customer.customer_id
    settlement = _settlement(books, source, doc, doc.date)
    if doc.from_invoice is not None:
        left = find_invoice(books, source, doc.from_invoice, "from_invoice")
        if left.ref == settlement.invoice.ref:
            raise Refused("from_invoice", doc.from_invoice, "expected another invoice than `invoice`")
        if left.currency != source.currency:
            raise WrongCurrency("from_invoice", left.ref, f"is in {left.currency}, expected {source.currency}")
        on = max(settlement.on, left.recorded_on)
        day = books.open_day(source, on)
        applied = _applied(books, customer_id, left, day)
        _require_enough(settlement.paid, applied, doc, f"what was applied to invoice {left.ref} by {day}")
        money = _money_of(books, customer_id, left, settlement.paid)
        moved = Movement("payment.unapplied", settlement.paid, invoice_subject(left.ref), CUSTOMER, functional=money)
        books.post(source, on, [moved])
        _settle(books, source, replace(settlement, on=on, day=day))
        return customer_id
    key = AccountKey(source.entity, "customer_balance", source.currency, CUSTOMER)
    unapplied = max(available(books.history(customer_id, key), settlement.day), 0)
    _require_enough(settlement.paid, unapplied, doc, f"what {doc.customer} has unapplied on {settlement.day}")
    _settle(books, source, settlement)
    return customer_id


def _require_enough(amount: int, most: int, doc: documents.Application, what: str) -> None:
    if amount > most:
        raise OverApplication(
            "amount",
            f"{to_text(amount, doc.currency)} {doc.currency}",
            f"expected at most {to_text(max(most, 0), doc.currency)}, {what}",
        )


def _money_of(books: Books, customer_id: int, invoice: Invoice, amount: int) -> int:
    """What money that stands applied to an invoice counts for in the entity's currency: it goes back as it came."""
    row = books.connection.execute(
        text(
            "select sum(sign * p.amount)::bigint as amount, sum(sign * p.functional_amount)::bigint as functional "
            "from posting p join rule r on r.number = p.rule cross join lateral (select case"
            "  when (r.code = 'payment.applied') = (p.credit_account = :account) then 1 else -1 end as sign) s "
            "where p.customer_id = :customer_id and :account in (p.debit_account, p.credit_account) "
            "and r.code in ('payment.applied', 'payment.unapplied')"
        ),
        {"customer_id": customer_id, "account": books.account(customer_id, _receivable_key(invoice))},
    ).one()
    return share(row.functional, amount, row.amount)


def _applied(books: Books, customer_id: int, invoice: Invoice, on: date) -> int:
    """How much money stands applied to an invoice by a day, and stays so."""
    books.flush()
    rows = books.connection.execute(
        text(
            "select p.effective_on, sum(case when r.code = 'payment.applied' then p.amount else -p.amount end) as net "
            "from posting p join rule r on r.number = p.rule "
            "where p.customer_id = :customer_id and :account in (p.debit_account, p.credit_account) "
            "and r.code in ('payment.applied', 'payment.unapplied') group by 1"
        ),
        {"customer_id": customer_id, "account": books.account(customer_id, _receivable_key(invoice))},
    )
    return available({row.effective_on: int(row.net) for row in rows}, on)
