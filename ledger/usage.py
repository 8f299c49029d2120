"""Usage: rated, added up to the cent, drawn on the customer's grants; what none covers is overage, billed later."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from ledger import documents
from ledger.books import AccountKey, Books, Movement, Source
from ledger.errors import Overdrawn
from ledger.grants import NET_GRANT, Draw, Grant, draw_movements, grant_accounts, plan_draws, unbroken
from ledger.money import exact_product, round_minor, to_text, within_limit
from ledger.positions import balance
from ledger.wallets import Wallets


def usage_subject(product: str) -> str:
    """The subject of a product's usage that no grant covered."""
    return f"usage:{product}"


def post_usage(wallets: Wallets, doc: documents.Usage, document_id: int) -> int:
    """Draw usage on the customer's grants; bill later what none covers.

    Fractions of a minor unit add up by customer, product and currency: posted now = round(all rated so far) -
    posted before. Raises Overdrawn where the customer's terms refuse overage.
    """
    books = wallets.books
    source = books.source(document_id, doc.customer, doc.entity, doc.currency)
    books.require_product(doc.product)
    customer = source.customer
    meter = wallets.meter(customer.customer_id, doc.entity, doc.product, doc.currency)
    rated = meter.rated + exact_product(doc.quantity, doc.unit_price)
    amount = within_limit(round_minor(rated, doc.currency) - meter.posted, doc.currency, "quantity")
    grants = [
        grant
        for grant in wallets.grants(customer.customer_id)
        if grant.entity == doc.entity and grant.currency == doc.currency
    ]
    draws, overage = plan_draws(grants, doc.product, doc.date, amount)
    if overage and customer.overage == "refuse":
        raise Overdrawn(
            "quantity",
            doc.quantity,
            f"expected at most {to_text(amount - overage, doc.currency)} {doc.currency} of usage, what is left of the "
            f"credits of {doc.customer} for {doc.product} on {doc.date}; usage comes to "
            f"{to_text(amount, doc.currency)} and the customer's terms refuse overage",
        )
    meter.rated, meter.posted, meter.changed = rated, meter.posted + amount, True
    _post_draws(wallets, source, doc.date, doc.product, draws, overage)
    return customer.customer_id


def _post_draws(wallets: Wallets, source: Source, on: date, product: str, draws: Sequence[Draw], overage: int) -> None:
    books = wallets.books
    customer_id = source.customer.customer_id
    day = books.open_day(source.entity, on)  # late usage counts from the first open day on
    billed = [_billed_by(books, source, draw, day) for draw in draws]
    movements = [m for draw, part in zip(draws, billed, strict=True) for m in draw_movements(draw, part, product)]
    keys = overage_accounts(source, product)
    billed_ahead = overage > 0 and books.has_account(customer_id, keys[0])
    ahead = 0
    if billed_ahead:
        ahead = min(overage, max(balance(books.history(customer_id, keys[0]), day), 0))
    subject = usage_subject(product)
    movements += [
        Movement("usage.billed_ahead", ahead, subject, subject, product),
        Movement("usage.overage", overage - ahead, subject, subject, product),
    ]
    books.post(source, on, movements)
    for draw in draws:
        _record_draw(wallets, source, draw, day)
    if billed_ahead:
        books.net(source, keys, NET_USAGE, day)


def _in_order(grant: Grant, money: int, on: date) -> bool:
    """Whether every invoice of a grant is dated by a day and covers so much more money: no date needs a look."""
    return all(day <= on for day, _ in grant.fundings) and grant.funded() - grant.drawn - grant.broken >= money


def _billed_by(books: Books, source: Source, draw: Draw, on: date) -> int:
    """How much of a draw's money had been invoiced, and not yet earned, by the day of the usage."""
    grant = draw.grant
    if grant.kind == "promotional" or not grant.fundings:
        return 0
    if _in_order(grant, draw.money, on):
        return draw.money
    credits_key, _ = grant_accounts(source, grant.ref)
    return min(draw.money, max(balance(books.history(source.customer.customer_id, credits_key), on), 0))


def _record_draw(wallets: Wallets, source: Source, draw: Draw, on: date) -> None:
    """Note a draw on its grant, correct breakage it proves wrong, and settle it against other days' invoices."""
    grant = draw.grant
    returned = max(draw.face - grant.left, 0)
    ordered = grant.kind == "promotional" or not grant.fundings or _in_order(grant, draw.money, on)
    if returned:
        assert grant.expires_on is not None, "only credits that expired are returned"
        day = max([grant.expires_on, *(day for day, _ in grant.fundings)])
        money = unbroken(grant, draw.money)
        corrections = [Movement("expire.prepaid_corrected", money, grant.subject, grant.subject)]
        if grant.kept_in_memorandum:
            corrections.append(Movement("expire.credits_corrected", returned, grant.subject, grant.subject))
        wallets.books.post(source, day, corrections)
        grant.expired_face -= returned
        grant.broken -= money
    grant.drawn_face += draw.face
    grant.drawn += draw.money
    wallets.touch(grant)
    if not ordered:
        wallets.books.net(source, grant_accounts(source, grant.ref), NET_GRANT, on)


NET_USAGE = ("usage.settled", "usage.unsettled")


def overage_accounts(source: Source, product: str) -> tuple[AccountKey, AccountKey]:
    """The contract liability and contract asset of a product's usage beyond all grants."""
    subject = usage_subject(product)
    return (
        AccountKey(source.entity, "deferred_revenue", source.currency, subject),
        AccountKey(source.entity, "unbilled_receivable", source.currency, subject),
    )


def bill_usage(
    books: Books, source: Source, product: str, on: date, amount: int, before: int, invoice: str
) -> list[Movement]:
    """What a usage line of an invoice moves: out of the contract asset up to its balance, the rest is billed ahead.

    `before` is what earlier lines of the same invoice billed of the product.
    """
    _, unbilled_key = overage_accounts(source, product)
    unbilled = balance(books.history(source.customer.customer_id, unbilled_key), on)
    reported = min(amount, max(unbilled - before, 0))
    return [
        Movement("invoice.usage", reported, invoice, usage_subject(product)),
        Movement("invoice.usage_ahead", amount - reported, invoice, usage_subject(product)),
    ]
