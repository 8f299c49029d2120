"""Usage: rated, added up to the cent, drawn on the customer's grants; the rest is overage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from ledger.amounts.money import exact_sum, round_minor, to_text, within_limit
from ledger.documents import models
from ledger.errors import OverApplication, Overdrawn
from ledger.journal.books import Books
from ledger.journal.movements import Movement, Source
from ledger.usage import given_back
from ledger.usage.draw_postings import post_draws
from ledger.usage.usage_lines import overage_accounts
from ledger.wallets.draw_plans import plan_draws
from ledger.wallets.expiry import unexpire
from ledger.wallets.grants import Grant
from ledger.wallets.session import Meter, Wallets


def rate_and_draw(wallets: Wallets, source: Source, doc: models.Usage) -> int:
    """Rate usage of a document that supersedes none, and draw it on grants; returns whose it is."""
    customer = source.customer
    meter = wallets.meter(customer.customer_id, doc.entity, doc.product, doc.currency)
    rated = exact_sum(meter.rated, doc.rated)
    if rated < 0:
        raise _beyond(doc, meter)
    stated = "quantity" if doc.amount is None else "amount"
    amount = within_limit(round_minor(rated, doc.currency) - meter.posted, doc.currency, stated)
    if amount < 0:
        meter.rated, meter.posted, meter.changed = rated, meter.posted + amount, True
        given_back.give_back(wallets, source, doc.product, doc.date, -amount)
        return customer.customer_id
    grants = [
        grant
        for grant in wallets.grants(customer.customer_id)
        if grant.entity == doc.entity and grant.currency == doc.currency
    ]
    plain = covering(grants, doc.product, doc.date, amount)
    if plain is not None and wallets.books.days.open_day(source, doc.date) == doc.date:
        meter.rated, meter.posted, meter.changed = rated, meter.posted + amount, True
        if amount:
            _draw_plainly(wallets, source, doc, plain, amount)
        return customer.customer_id
    draws, overage = plan_draws(grants, doc.product, doc.date, amount)
    if overage and customer.overage == "refuse":
        raise Overdrawn(
            stated,
            doc.quantity if doc.amount is None else doc.amount,
            f"expected at most {to_text(amount - overage, doc.currency)} {doc.currency} of usage, what is left of the "
            f"credits of {doc.customer} for {doc.product} on {doc.date}; usage comes to "
            f"{to_text(amount, doc.currency)} and the customer's terms refuse overage",
        )
    late = [draw.grant for draw in draws if draw.grant.expired_face and _is_told_anew(draw.grant)]
    for grant in late:
        unexpire(wallets, source, grant, doc.date)
    if late:
        draws, overage = plan_draws(grants, doc.product, doc.date, amount)
    committed = sum(draw.face for draw in draws if draw.grant.kind == "commitment")
    meter.rated, meter.posted, meter.changed = rated, meter.posted + amount, True
    post_draws(wallets, source, doc.date, doc.product, draws, overage + committed)
    return customer.customer_id


def _is_told_anew(grant: Grant) -> bool:
    """Whether what expired is put back before a late draw.

    What breaks with use is told by its day, and so is what notes took since.
    """
    paid = grant.paid
    return grant.proportional or (paid is not None and (paid.moved > 0 or paid.returned_on is not None))


def _beyond(doc: models.Usage, meter: Meter) -> OverApplication:
    """What is said of usage that would fall below zero."""
    rated = meter.rated if meter.rated > 0 else Decimal(0)
    there = f"{rated.normalize():f} {doc.currency}"
    if doc.amount is None:
        assert doc.supersedes is not None, "usage with a price falls only by what it supersedes"
        return OverApplication(
            "supersedes",
            doc.supersedes,
            f"expected usage of {doc.product} that did not fall since; {there} of it is left",
        )
    return OverApplication(
        "amount",
        f"{doc.amount} {doc.currency}",
        f"expected a fall of at most {there}, the usage of {doc.product} that is rated for {doc.customer}",
    )


def covering(grants: Sequence[Grant], product: str, on: date, amount: int) -> Grant | None:
    """The one grant that usage draws on where that is plain.

    It covers all of it, and was billed for as much before. None where anything else has to be looked at: several grants, an order's bonus
    credits, a commitment, breakage, credits that expired or were moved, an invoice of a later day, a price that is not the face value.
    """
    for grant in grants:
        if grant.expired_face or grant.kind == "commitment":
            return None
        left = grant.face - grant.drawn_face - grant.moved_face
        if not left or not grant.covers(product, on):
            continue
        if left < amount or grant.price != grant.face or grant.moved_face or grant.bonuses or grant.kept_in_memorandum:
            return None
        if grant.returned_on is not None and grant.returned_on > on:
            return None
        funded = 0
        for funding in grant.fundings:
            if funding.day > on:
                return None
            funded += funding.amount
        return grant if grant.drawn == grant.drawn_face and funded - grant.drawn - grant.broken >= amount else None
    return None


def all_overage(books: Books, source: Source, grants: Sequence[Grant], product: str) -> bool:
    """Whether all usage of a product is billed later, whatever its day.

    No grant has credits, none of it was billed ahead.
    """
    return (
        source.customer.overage == "bill"
        and not any(grant.left or grant.expired_face for grant in grants)
        and not books.has_account(source.customer.customer_id, overage_accounts(source, product)[0])
    )


def _draw_plainly(wallets: Wallets, source: Source, doc: models.Usage, grant: Grant, amount: int) -> None:
    """Post a draw on one grant that covers usage and was billed for it before.

    What `post_draws` does there: credits become revenue.
    """
    subject = grant.subject
    wallets.books.post(source, doc.date, [Movement("draw.prepaid", amount, subject, subject, doc.product)])
    grant.drawn_face += amount
    grant.drawn += amount
    wallets.touch(grant)


def draw_again(wallets: Wallets, source: Source, grants: Sequence[Grant], product: str, on: date, amount: int) -> None:
    """Draw usage that was given back on what is left now.

    Whatever the customer's terms say of overage: it happened.
    """
    meter = wallets.meter(source.customer.customer_id, source.entity, product, source.currency)
    meter.posted += amount
    meter.changed = True
    draws, overage = plan_draws(grants, product, on, amount)
    committed = sum(draw.face for draw in draws if draw.grant.kind == "commitment")
    post_draws(wallets, source, on, product, draws, overage + committed)
