"""What each kind of invoice line bills: credits, usage, a commitment's shortfall, what was taken over, another entity's."""

from __future__ import annotations

from ledger.amounts.money import share, to_minor
from ledger.documents import models
from ledger.errors import Refused
from ledger.invoices.forms import BETWEEN, OPENING, Billing, entity_subject, same_party
from ledger.invoices.obligation_lines import Moved, bill_service
from ledger.journal.movements import Movement
from ledger.usage import shortfall_bills
from ledger.usage.usage_lines import bill_usage, note, overage_accounts, usage_subject
from ledger.wallets.grants import bill_grant


def _bill_prepaid(billing: Billing, line: models.InvoiceLine, amount: int) -> Moved:
    assert line.grant is not None, "a prepaid line names its grant"
    source = billing.source
    grant = billing.wallets.grant(source.customer.customer_id, line.grant)
    same_party("grant", grant.ref, (grant.entity, grant.currency), (source.entity, source.currency))
    before = billing.billed[grant.subject]
    books = billing.wallets.books
    return grant.subject, bill_grant(books, source, grant, billing.day, amount, before, billing.subject)


def _bill_usage(billing: Billing, line: models.InvoiceLine, amount: int) -> Moved:
    assert line.product is not None, "a usage line names its product"
    subject = usage_subject(line.product)
    before = billing.billed[subject]
    books = billing.wallets.books
    discount = usage_discount(line, amount, billing.source.currency)
    for key in overage_accounts(billing.source, line.product) if discount else ():
        books.account(billing.source.customer.customer_id, key)  # usage that comes later looks there
    moved = bill_usage(books, billing.source, line.product, billing.day, amount, before, billing.subject, discount)
    if sum(movement.amount for movement in moved) != amount + discount:
        note(billing.wallets, billing.source, line.product)  # a part waits for the use
    billing.billed[subject] += discount
    return subject, moved


def usage_discount(line: models.InvoiceLine, net: int, currency: str) -> int:
    """What a usage line's discount takes off the price of what was used, net of the taxes that are in it."""
    if line.kind != "usage" or line.discount is None:
        return 0
    discount = to_minor(line.discount, currency, "discount")
    amount = to_minor(line.amount, currency)
    return share(discount, net, amount) if amount else discount


def _bill_opening(billing: Billing, line: models.InvoiceLine, amount: int) -> Moved:
    if line.tax_codes:
        raise Refused("tax_codes", line.tax_codes[0], "expected none: what is taken over includes its taxes")
    return OPENING, [Movement("invoice.opening", amount, billing.subject, OPENING)]


def _bill_between(billing: Billing, line: models.InvoiceLine, amount: int) -> Moved:
    """A line of another entity's: what it bills there, taxes included, is owed to that entity."""
    assert line.entity is not None, "a line of another entity's names it"
    subject = entity_subject(line.entity)
    if amount < 0:
        return subject, [Movement("credit.between", -amount, subject, billing.subject)]
    return subject, [Movement("invoice.between", amount, billing.subject, subject)]


def _bill_shortfall(billing: Billing, line: models.InvoiceLine, amount: int) -> Moved:
    """A shortfall is revenue, for nothing more is owed, and the commitment is met by it.

    Raises Refused before the commitment's last day, OverApplication beyond what is left of it.
    """
    assert line.grant is not None, "a shortfall line names its commitment"
    source = billing.source
    grant = billing.wallets.grant(source.customer.customer_id, line.grant)
    same_party("grant", grant.ref, (grant.entity, grant.currency), (source.entity, source.currency))
    if grant.expires_on is not None and billing.doc.issued_on < grant.expires_on and grant.kind == "commitment":
        raise Refused("grant", grant.ref, f"expected the commitment's last day, {grant.expires_on}, to be over")
    return grant.subject, shortfall_bills.bill_shortfall(
        billing.wallets.books, source, grant, billing.day, amount, billing.billed[grant.subject], billing.subject,
        line.product or "",
    )  # fmt: skip


# How a line of each kind is billed.
BILL = {
    "prepaid": _bill_prepaid,
    "usage": _bill_usage,
    "shortfall": _bill_shortfall,
    "opening": _bill_opening,
    "service": bill_service,
    "one_time": bill_service,
    BETWEEN: _bill_between,
}
