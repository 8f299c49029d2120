"""Invoice lines of obligations: their own, a contract's, or those of a contract as a whole; and which of them one below zero is of."""

from __future__ import annotations

from sqlalchemy import text

from ledger.amounts.money import to_minor, to_text
from ledger.documents import models
from ledger.errors import OverApplication, Refused, UnknownReference
from ledger.invoices.forms import Billing, OwnObligation, bill_obligation, billed_of, contract_subject, own_obligation
from ledger.journal.movements import Movement
from ledger.obligations import earned_ahead, expected_back, obligation_sides, obligation_subject, promised, require_free

# What a line is about, and what its net amount moves.
Moved = tuple[str, list[Movement]]


def _bill_whole(billing: Billing, line: models.InvoiceLine, amount: int) -> Moved:
    """A line that bills a contract as a whole: its obligations, by the prices allocated to them."""
    assert line.contract is not None, "checked by the caller"
    parts = billing.obligations.of_contract(
        billing.wallets, billing.source, line.contract, billing.doc.issued_on, amount
    )
    movements: list[Movement] = []
    for subject, part in parts:
        left = earned_ahead(billing.wallets.books, billing.source, subject, billing.day) - billing.billed[subject]
        movements += bill_obligation(part, left, billing.subject, subject)
        billing.billed[subject] += part
    billing.parts[line.id] = parts
    return contract_subject(line.contract), movements


def bill_service(billing: Billing, line: models.InvoiceLine, amount: int) -> Moved:
    """A line of a service: it bills an obligation of its own, one that stands already, or a contract as a whole."""
    if line.contract is not None:
        return _bill_whole(billing, line, amount) if amount else (contract_subject(line.contract), [])
    own = own_obligation(billing.doc, line)
    if own is None:
        return _bill_contract(billing, line, amount)
    require_free(billing.wallets.books, billing.source.customer, "id", own.subject.removeprefix("obligation:"))
    if amount < 0:
        return _credit_line(billing, line, own, -amount)
    return own.subject, bill_obligation(amount, 0, billing.subject, own.subject)


def _credit_line(billing: Billing, line: models.InvoiceLine, own: OwnObligation, amount: int) -> Moved:
    """A line below zero corrects the line whose period covers its own; where there is none it is an obligation of its own."""
    subject = _covering(billing, line, amount)
    if subject is None:
        return own.subject, [Movement("credit.unbilled", amount, own.subject, billing.subject)]
    billing.credit(line, subject, amount)
    return subject, []


_COVERING = """
    select l.subject, l.amount_minor - coalesce((select sum(x.amount_minor) from line_change x where x.customer_id = l.customer_id
                                                 and x.invoice_id = l.invoice_id and x.line = l.line), 0)::bigint as left_minor
    from invoice_line l join invoice i using (customer_id, invoice_id)
    where l.customer_id = :customer_id and l.own_obligation and l.amount_minor > 0 and l.product = :product and i.entity = :entity
      and i.currency = :currency and l.starts_on <= :starts_on and l.ends_on >= :ends_on and i.issued_on <= :issued_on
    order by l.starts_on desc, i.issued_on desc, i.ref desc, l.line desc"""


def _covering(billing: Billing, line: models.InvoiceLine, amount: int) -> str | None:
    """The line that one below zero corrects: the latest of the product whose period covers its own, of earlier invoices first."""
    place = (line.product, line.start, line.end)
    if place not in billing.covering:
        billing.covering[place] = _left_of_others(billing, line) | _left_of_own(billing, line)
    candidates = billing.covering[place]
    for subject, left in candidates.items():
        if left - billing.credited[subject] >= amount:
            return subject
    return None


def _left_of_others(billing: Billing, line: models.InvoiceLine) -> dict[str, int]:
    books, source = billing.wallets.books, billing.source
    books.flush()
    rows = books.connection.execute(
        text(_COVERING),
        {
            "customer_id": source.customer.customer_id, "product": line.product, "entity": source.entity,
            "currency": source.currency, "starts_on": line.start, "ends_on": line.end, "issued_on": billing.doc.issued_on,
        },
    )  # fmt: skip
    return {row.subject: row.left_minor for row in rows}


def _left_of_own(billing: Billing, line: models.InvoiceLine) -> dict[str, int]:
    return {
        obligation_subject(f"{billing.doc.id}/{other.id}"): to_minor(other.amount, billing.source.currency)
        for other in billing.doc.lines
        if other.kind == "service" and other.amount > 0 and other.product == line.product and other.entity == line.entity
        and other.start is not None and other.end is not None and line.start is not None and line.end is not None
        and other.start <= line.start and other.end >= line.end
    }  # fmt: skip


def _bill_contract(billing: Billing, line: models.InvoiceLine, amount: int) -> Moved:
    """A line of an obligation that stands already: a contract's, or where it credits, another invoice's."""
    assert line.obligation is not None, "a line without an obligation of its own names one"
    books, source = billing.wallets.books, billing.source
    subject = obligation_subject(line.obligation)
    (deferred, _), _ = obligation_sides(source, subject)
    if not books.has_account(source.customer.customer_id, deferred):
        raise UnknownReference(
            "obligation",
            line.obligation,
            f"expected the id of an obligation of {source.customer.ref} with {source.entity} in {source.currency}",
        )
    product = books.product_of(source.customer.customer_id, source.entity, source.currency, subject)
    if line.product not in (None, product):
        raise Refused(
            "product", line.product, f"expected {product}, what obligation {line.obligation} promises, or none"
        )
    if amount < 0:
        _require_billed(billing, subject, -amount)
        billing.credit(line, subject, -amount)
        return subject, []
    if amount and promised(books, source.customer.customer_id, subject).pattern == "usage":
        raise Refused(
            "obligation",
            line.obligation,
            "expected one that is earned by its own terms: what is earned by usage is billed by a line of kind usage",
        )
    left = earned_ahead(books, source, subject, billing.day) - billing.billed[subject]
    return subject, bill_obligation(amount, left, billing.subject, subject)


def _require_billed(billing: Billing, subject: str, amount: int) -> None:
    """Raise OverApplication for more taken back than was billed of an obligation, or is expected back of its usage."""
    books, source = billing.wallets.books, billing.source
    expected = expected_back(books, source, subject, billing.day)
    here = sum(
        to_minor(other.amount, source.currency)
        for other in billing.doc.lines
        if other.obligation is not None and other.amount > 0 and obligation_subject(other.obligation) == subject
    )
    before = billing.credited[subject]
    used = _billed_of_usage(billing, subject) if billed_of(books, source.customer.customer_id, subject) == 0 else 0
    most = max(billed_of(books, source.customer.customer_id, subject) + here - before, expected, used - before)
    if amount > most:
        raise OverApplication(
            "amount",
            f"-{to_text(amount, source.currency)} {source.currency}",
            f"expected at most {to_text(most, source.currency)} taken back, what was billed of {subject}",
        )


def _billed_of_usage(billing: Billing, subject: str) -> int:
    """What is billed of the usage an obligation is about, in earlier invoices and this one: a rebate gives back of it."""
    source = billing.source
    billed = billing.wallets.books.connection.execute(
        text(
            "select o.product, coalesce((select sum(l.amount_minor - coalesce((select sum(x.amount_minor) from line_change x"
            "  where x.customer_id = l.customer_id and x.invoice_id = l.invoice_id and x.line = l.line), 0))"
            " from invoice_line l join invoice i using (customer_id, invoice_id) where l.customer_id = o.customer_id"
            " and l.subject = 'usage:' || o.product and i.entity = o.entity and i.currency = o.currency), 0)::bigint"
            " + coalesce((select sum(l.amount_minor) from invoice_line l where l.customer_id = o.customer_id"
            "  and l.subject = o.subject and l.amount_minor < 0), 0)::bigint as amount"
            " from performance_obligation o where o.customer_id = :customer_id and o.subject = :subject and o.pattern = 'usage'"
        ),
        {"customer_id": source.customer.customer_id, "subject": subject},
    ).first()
    if billed is None:
        return 0
    here = [line.amount for line in billing.doc.lines if line.kind == "usage" and line.product == billed.product]
    return int(billed.amount) + sum(to_minor(amount, source.currency) for amount in here)
