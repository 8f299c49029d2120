"""Receivables: what is invoiced, what is paid of it, and money that is not applied to anything yet."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction

from sqlalchemy import text

from ledger import currencies, documents
from ledger.books import AccountKey, Books, Movement, Source
from ledger.errors import InvalidDocument, OverApplication, Refused, UnknownReference, WrongCurrency, WrongParty
from ledger.grants import NET_GRANT, bill_grant, grant_accounts
from ledger.money import to_minor, to_text, within_limit
from ledger.positions import available, balance
from ledger.taxes import Rounding, Tax, find_codes, line_taxes, tax_movements
from ledger.usage import NET_USAGE, bill_usage, overage_accounts, usage_subject
from ledger.wallets import Wallets

OPENING = "opening"  # the subject of what was taken over of invoices from another system
_CUSTOMER = "customer"  # the subject of a customer's balance
NET_OBLIGATION = ("invoice.settled", "invoice.unsettled")


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice as payments need it."""

    customer: str
    ref: str
    entity: str
    currency: str
    issued_on: date


@dataclass(frozen=True, slots=True)
class OwnObligation:
    """The obligation an invoice line makes for itself: its accounts' subject, pattern and term."""

    subject: str
    pattern: str
    starts_on: date
    ends_on: date


@dataclass(frozen=True, slots=True)
class BilledLine:
    """An invoice line as it is posted: what it is about, its amount net of taxes, and its taxes."""

    line: documents.InvoiceLine
    subject: str
    net: int
    taxes: tuple[Tax, ...]


def invoice_subject(ref: str) -> str:
    """The subject of an invoice's receivable account."""
    return f"invoice:{ref}"


def obligation_subject(ref: str) -> str:
    """The subject of an obligation's accounts."""
    return f"obligation:{ref}"


def obligation_keys(
    entity: str, currency: str, subject: str, product: str
) -> tuple[AccountKey, AccountKey, AccountKey]:
    """An obligation's three accounts: contract liability, contract asset, revenue."""
    return (
        AccountKey(entity, "deferred_revenue", currency, subject),
        AccountKey(entity, "unbilled_receivable", currency, subject),
        AccountKey(entity, "revenue", currency, subject, product),
    )


def own_obligation(invoice: documents.Invoice, line: documents.InvoiceLine) -> OwnObligation | None:
    """The obligation a line makes for itself, or None: a line without a service period counts on the invoice's date."""
    if line.kind not in ("service", "one_time") or line.obligation is not None:
        return None
    subject = obligation_subject(f"{invoice.id}/{line.id}")
    if line.start is None or line.end is None:
        return OwnObligation(subject, "point_in_time", invoice.issued_on, invoice.issued_on)
    if line.pattern == "point_in_time":
        return OwnObligation(subject, "point_in_time", line.start, line.start)
    return OwnObligation(subject, line.pattern or "daily", line.start, line.end)


def bill_obligation(amount: int, unbilled: int, invoice: str, subject: str) -> list[Movement]:
    """What a line of an obligation moves: out of the contract asset up to its balance, the rest is deferred."""
    earned = min(amount, max(unbilled, 0))
    return [
        Movement("invoice.obligation_earned", earned, invoice, subject),
        Movement("invoice.obligation", amount - earned, invoice, subject),
    ]


def post_invoice(wallets: Wallets, doc: documents.Invoice, document_id: int) -> int:
    """Take a finalised invoice in: every line is billed to what it is for."""
    books = wallets.books
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.issued_on, doc.fx_rate)
    customer_id = source.customer.customer_id
    day = books.open_day(doc.entity, doc.issued_on)  # a late invoice counts from the first open day on
    source = books.locked(source, day)
    rounding = Rounding(books.entity(doc.entity).tax_rounding == "invoice")
    movements: list[Movement] = []
    lines: list[BilledLine] = []
    billed: Counter[str] = Counter()
    for index, line in enumerate(doc.lines):
        try:
            amount = to_minor(line.amount, doc.currency)
            codes = find_codes(books, line.tax_codes)
            net, taxes = line_taxes(amount, codes, source.customer.tax_status, doc.currency, rounding)
            subject, moved = _bill_line(wallets, source, doc, line, net, billed, day)
        except Refused as refusal:
            raise refusal.within(f"lines.{index}") from None
        lines.append(BilledLine(line, subject, net, tuple(taxes)))
        movements += [*moved, *tax_movements(taxes, invoice_subject(doc.id))]
        billed[subject] += net
    total = billed.total() + sum(tax.tax for line in lines for tax in line.taxes)
    within_limit(total, doc.currency, "lines")

    # Everything is decided; from here on nothing is refused.
    for billed_line in lines:
        if billed_line.line.kind == "prepaid" and billed_line.line.grant is not None:
            grant = wallets.grant(customer_id, billed_line.line.grant)
            grant.fundings.append((day, billed_line.net))
        _add_line(books, source, doc, billed_line)
    receivable = AccountKey(doc.entity, "accounts_receivable", doc.currency, invoice_subject(doc.id))
    books.add_row(
        "invoice",
        customer_id=customer_id,
        invoice_id=document_id,
        ref=doc.id,
        entity=doc.entity,
        currency=doc.currency,
        issued_on=doc.issued_on,
        due_on=doc.due_on,
        total_minor=total,
        receivable_account=books.account(customer_id, receivable),
        supersedes=doc.supersedes,
        rate=None if source.rate is None else currencies.as_decimal(source.rate),
    )
    books.remember("invoice", doc.id, Invoice(source.customer.ref, doc.id, doc.entity, doc.currency, doc.issued_on))
    books.post(source, doc.issued_on, movements)
    for line in doc.lines:
        if line.kind == "usage" and line.product:
            books.net(source, overage_accounts(source, line.product), NET_USAGE, day)
        elif line.grant is not None and wallets.grant(customer_id, line.grant).drawn:
            books.net(source, grant_accounts(source, line.grant), NET_GRANT, day)
        elif line.obligation is not None:
            deferred, unbilled, _ = obligation_keys(doc.entity, doc.currency, obligation_subject(line.obligation), "")
            books.net(source, (deferred, unbilled), NET_OBLIGATION, day)
    return customer_id


def _bill_line(
    wallets: Wallets,
    source: Source,
    doc: documents.Invoice,
    line: documents.InvoiceLine,
    amount: int,
    billed: Counter[str],
    day: date,
) -> tuple[str, list[Movement]]:
    """What a line is about, and what its net amount moves; `billed` is what earlier lines billed, by subject."""
    books = wallets.books
    customer_id = source.customer.customer_id
    invoice = invoice_subject(doc.id)
    if line.product is not None:
        books.require_product(line.product)
    if line.kind == "prepaid":
        assert line.grant is not None, "a prepaid line names its grant"
        grant = wallets.grant(customer_id, line.grant)
        _same_party("grant", grant.ref, (grant.entity, grant.currency), (doc.entity, doc.currency))
        moved = bill_grant(books, source, grant, day, amount, billed[grant.subject], invoice)
        return grant.subject, moved
    if line.kind == "usage":
        assert line.product is not None, "a usage line names its product"
        subject = usage_subject(line.product)
        return subject, bill_usage(books, source, line.product, day, amount, billed[subject], invoice)
    if line.kind == "opening":
        if line.tax_codes:
            raise Refused("tax_codes", line.tax_codes[0], "expected none: what is taken over includes its taxes")
        return OPENING, [Movement("invoice.opening", amount, invoice, OPENING)]
    own = own_obligation(doc, line)
    if own is not None:
        return own.subject, bill_obligation(amount, 0, invoice, own.subject)
    assert line.obligation is not None, "a line without an obligation of its own names one"
    subject = obligation_subject(line.obligation)
    deferred, unbilled, _ = obligation_keys(doc.entity, doc.currency, subject, "")
    if not books.has_account(customer_id, deferred):
        raise UnknownReference(
            "obligation",
            line.obligation,
            f"expected the id of an obligation of a contract of {doc.customer} with {doc.entity} in {doc.currency}",
        )
    left = balance(books.history(customer_id, unbilled), day) - billed[subject]
    return subject, bill_obligation(amount, left, invoice, subject)


def _add_line(books: Books, source: Source, doc: documents.Invoice, billed: BilledLine) -> None:
    """Gather a line's facts and taxes; an obligation of its own gets its accounts."""
    line = billed.line
    customer_id = source.customer.customer_id
    own = own_obligation(doc, line)
    accounts: tuple[int | None, ...] = (None, None, None)
    if own is not None:
        assert line.product is not None, "a line with an obligation of its own names its product"
        keys = obligation_keys(doc.entity, doc.currency, own.subject, line.product)
        accounts = tuple(books.account(customer_id, key) for key in keys)
    books.add_row(
        "invoice_line",
        customer_id=customer_id,
        invoice_id=source.document_id,
        line=line.id,
        kind=line.kind,
        amount_minor=billed.net,
        product=line.product,
        subject=billed.subject,
        own_obligation=own is not None,
        pattern=own.pattern if own else None,
        starts_on=own.starts_on if own else line.start,
        ends_on=own.ends_on if own else line.end,
        deferred_account=accounts[0],
        unbilled_account=accounts[1],
        revenue_account=accounts[2],
    )
    for position, tax in enumerate(billed.taxes, 1):
        books.add_row(
            "line_tax",
            customer_id=customer_id,
            document_id=source.document_id,
            line=line.id,
            position=position,
            invoice_id=source.document_id,
            tax_code=tax.code,
            treatment=tax.treatment,
            included=tax.included,
            base_minor=tax.base,
            tax_minor=tax.tax,
        )


def _same_party(field: str, ref: str, found: tuple[str, str], expected: tuple[str, str]) -> None:
    if found[0] != expected[0]:
        raise WrongParty(field, ref, f"is of entity {found[0]}, expected one of entity {expected[0]}")
    if found[1] != expected[1]:
        raise WrongCurrency(field, ref, f"is in {found[1]}, expected {expected[1]}")


def find_invoice(books: Books, source: Source, ref: str, field: str = "invoice") -> Invoice:
    """An invoice of the source's customer and entity. Raises where it is not known or not theirs."""
    found: Invoice | None = books.recall("invoice", ref)
    if found is None:
        row = books.connection.execute(
            text(
                "select c.ref as customer, i.ref, i.entity, i.currency, i.issued_on from document_key k "
                "join invoice i on i.customer_id = k.customer_id and i.invoice_id = k.document_id "
                "join customer c on c.customer_id = i.customer_id where k.type = 'invoice' and k.ref = :ref"
            ),
            {"ref": ref},
        ).first()
        if row is None:
            raise UnknownReference(field, ref, "expected the id of an invoice posted before")
        found = Invoice(*row)
    if found.customer != source.customer.ref:
        raise WrongParty(field, ref, f"is an invoice of {found.customer}, expected one of {source.customer.ref}")
    if found.entity != source.entity:
        raise WrongParty(field, ref, f"is of entity {found.entity}, expected one of entity {source.entity}")
    return found


@dataclass(frozen=True, slots=True)
class Settlement:
    """Money put onto an invoice: `amount` in the invoice's currency, `paid` in the money's own, on an open day."""

    invoice: Invoice
    day: date
    amount: int
    paid: int


def _receivable_key(invoice: Invoice) -> AccountKey:
    return AccountKey(invoice.entity, "accounts_receivable", invoice.currency, invoice_subject(invoice.ref))


def _settlement(
    books: Books, source: Source, item: documents.PaymentApplication | documents.Application, on: date
) -> Settlement:
    """What putting money onto an invoice settles of it, from the invoice's date on.

    Raises OverApplication beyond what is due.
    """
    invoice = find_invoice(books, source, item.invoice)
    amount = to_minor(item.amount, invoice.currency)
    day = books.open_day(source.entity, max(on, invoice.issued_on))
    due = max(available(books.history(source.customer.customer_id, _receivable_key(invoice)), day), 0)
    if amount > due:
        raise OverApplication(
            "amount",
            f"{to_text(amount, invoice.currency)} {invoice.currency}",
            f"expected at most {to_text(due, invoice.currency)}, what is due of invoice {invoice.ref} on {day}",
        )
    if invoice.currency == source.currency:
        if item.paid is not None:
            raise InvalidDocument("paid", item.paid, f"expected none: the invoice and the money are {source.currency}")
        return Settlement(invoice, day, amount, amount)
    if item.paid is not None:
        return Settlement(invoice, day, amount, to_minor(item.paid, source.currency, "paid"))
    functional = books.entity(source.entity).currency
    in_functional = books.at_rate(source, source.currency, day, 10**12)
    if functional == invoice.currency and source.rate is not None:
        # the payment's own rate says what its money is worth
        paid = round(Fraction(amount * 10**12, in_functional))
    else:
        rate = books.rate(invoice.currency, source.currency, day)
        paid = currencies.convert(amount, invoice.currency, source.currency, rate)
    return Settlement(invoice, day, amount, paid)


def _settle(books: Books, source: Source, settlement: Settlement) -> None:
    """Post a settlement; across currencies it passes the clearing account, and what rates leave over is realised."""
    invoice = settlement.invoice
    to = invoice_subject(invoice.ref)
    if invoice.currency == source.currency:
        movements = [Movement("payment.applied", settlement.amount, _CUSTOMER, to)]
    else:
        through = f"currency:{source.currency}>{invoice.currency}"
        movements = [
            Movement("payment.exchanged", settlement.paid, _CUSTOMER, through),
            Movement("payment.applied_exchanged", settlement.amount, through, to, currency=invoice.currency),
        ]
    books.post(source, settlement.day, movements)


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
    movements = [Movement("payment.received", amount, rail, _CUSTOMER), Movement("payment.fee", fee, rail, rail)]
    books.post(source, doc.date, movements)
    for settlement in settlements:
        _settle(books, source, settlement)
    return source.customer.customer_id


def post_application(wallets: Wallets, doc: documents.Application, document_id: int) -> int:
    """Put money the customer has unapplied onto an invoice, or move what was applied to another one there.

    Raises OverApplication beyond that money, beyond what was applied, or beyond what is due.
    """
    books = wallets.books
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.date)
    customer_id = source.customer.customer_id
    settlement = _settlement(books, source, doc, doc.date)
    if doc.from_invoice is not None:
        left = find_invoice(books, source, doc.from_invoice, "from_invoice")
        if left.ref == settlement.invoice.ref:
            raise Refused("from_invoice", doc.from_invoice, "expected another invoice than `invoice`")
        if left.currency != source.currency:
            raise WrongCurrency("from_invoice", left.ref, f"is in {left.currency}, expected {source.currency}")
        day = max(settlement.day, books.open_day(source.entity, left.issued_on))
        applied = _applied(books, customer_id, left, day)
        _require_enough(settlement.paid, applied, doc, f"what was applied to invoice {left.ref} by {day}")
        moved = Movement("payment.unapplied", settlement.paid, invoice_subject(left.ref), _CUSTOMER)
        books.post(source, day, [moved])
        _settle(books, source, replace(settlement, day=day))
        return customer_id
    key = AccountKey(source.entity, "customer_balance", source.currency, _CUSTOMER)
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
