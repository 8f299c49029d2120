"""Grants as they are issued: paid for, free, or carrying on what is left of another."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from ledger.amounts.money import to_minor, to_text
from ledger.approval.approve import approve
from ledger.documents import models
from ledger.documents.models.wallets import FREE_KINDS
from ledger.errors import Refused, UnknownReference
from ledger.journal.books import Books
from ledger.journal.movements import Movement, Source
from ledger.wallets import orders
from ledger.wallets.expiry import unexpire
from ledger.wallets.grants import Funding, Grant
from ledger.wallets.session import Wallets, record_move


def post_grant(wallets: Wallets, doc: models.Grant, document_id: int, right: int = 0) -> int:
    """Take a grant in. Paid credits are posted by their invoice; credits not paid at face value go to memorandum.

    `right` is what free credits share of a contract's price, in minor units; the caller moves it to them.

    Raises Refused for bonus credits whose order has no paid grant, or credits that can't be carried on.
    """
    books = wallets.books
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.effective_on)
    for product in doc.products or ():
        books.parties.require_product(product, "products")
    face = to_minor(doc.amount, doc.currency)
    customer_id = source.customer.customer_id
    carried = None if doc.carried_from is None else _carried(wallets, source, doc, face)
    # free credits of a contract earn their share of its price with those that are used
    unlikely = 1 - doc.expected_use if right and doc.expected_use is not None else 0
    expected_breakage = Fraction(doc.expected_breakage or unlikely)
    grant = Grant(
        customer_id, document_id, doc.id, doc.entity, doc.currency, doc.kind, face, right or _price(doc, face, carried),
        doc.effective_on, doc.expires_on, frozenset(doc.products) if doc.products else None, doc.priority,
        expected_breakage, doc.contract, doc.carried_from, proportional=expected_breakage > 0,
    )  # fmt: skip
    if carried is not None and carried.grant.free != grant.free:
        raise Refused(
            "carried_from",
            doc.carried_from,
            f"expected a grant that is {'free' if grant.free else 'paid for'}, as {doc.id} is",
        )
    for_nothing = _for_nothing(grant, doc, carried)
    if for_nothing or doc.approved_by is not None:
        approve(books, source, doc, for_nothing)
    if grant.free and doc.contract is not None:
        _require_lead(wallets, grant, doc.contract)
        if doc.expected_use is not None:
            raise Refused("expected_use", doc.expected_use, "expected none: every credit of an order earns the same")
    wallets.add(grant)
    _keep(books, grant, doc, doc.expected_breakage or unlikely)
    if grant.kind == "commitment":
        books.post(source, doc.effective_on, [Movement("commitment.made", face, grant.subject, grant.subject)])
    elif grant.kept_in_memorandum:
        books.post(source, doc.effective_on, [Movement("grant.issued", face, grant.subject, grant.subject)])
    if carried is not None:
        _carry(wallets, source, carried, grant)
    if grant.lead is not None:
        orders.share_anew(books, source, grant.lead)
        wallets.touch(grant.lead)
    return customer_id


def _keep(books: Books, grant: Grant, doc: models.Grant, expected_breakage: Decimal | int) -> None:
    """Keep a grant as its document states it."""
    books.add_row(
        "credit_grant",
        customer_id=grant.customer_id,
        grant_id=grant.grant_id,
        ref=doc.id,
        entity=doc.entity,
        currency=doc.currency,
        kind=doc.kind,
        face_minor=grant.face,
        price_minor=grant.price,
        effective_on=doc.effective_on,
        expires_on=doc.expires_on,
        products=doc.products,
        priority=doc.priority,
        expected_breakage=expected_breakage,
        expected_use=doc.expected_use or 1,
        contract=doc.contract,
        carried_from=doc.carried_from,
    )


@dataclass(frozen=True, slots=True)
class _Carried:
    """What is left of a grant, credits and money, on the day it is carried on."""

    grant: Grant
    face: int
    money: int


def _for_nothing(grant: Grant, doc: models.Grant, carried: _Carried | None) -> int:
    """Which of a grant's credits no price is for, but for what it carries on: a part of a contract's price is for what was sold with them."""
    if doc.kind == "commitment":
        return 0
    credits_before, paid_before = (0, 0) if carried is None else (carried.face, carried.money)
    paid = 0 if doc.kind in FREE_KINDS and doc.price is None else grant.price - paid_before
    return max(grant.face - credits_before - paid, 0)


def _price(doc: models.Grant, face: int, carried: _Carried | None) -> int:
    """What is paid for a grant.

    As stated, else its face value, less nothing for what it carries on.
    """
    if doc.kind in ("promotional", "commitment"):
        return 0
    if doc.price is not None:
        price = to_minor(doc.price, doc.currency, "price")
        if carried is not None and price < carried.money:
            raise Refused(
                "price", doc.price, f"expected at least {to_text(carried.money, doc.currency)}, what was paid already"
            )
        return price
    if doc.kind == "pilot":
        return carried.money if carried is not None else 0
    return face if carried is None else face - carried.face + carried.money


def _require_lead(wallets: Wallets, grant: Grant, contract: str) -> None:
    """Raise Refused unless bonus credits come with paid ones, whose price they can share."""
    for other in wallets.grants(grant.customer_id):
        same = (other.contract, other.entity, other.currency) == (contract, grant.entity, grant.currency)
        if same and other.paid is other:
            if other.proportional:
                raise Refused("contract", contract, f"expected paid credits that break on expiry; {other.ref} does not")
            return
    raise Refused(
        "contract",
        contract,
        "expected a paid grant of the order, or a contract with obligations, posted before: the credits share its price",
    )


def _carried(wallets: Wallets, source: Source, doc: models.Grant, face: int) -> _Carried:
    """What a grant carries on, whether that is known to have expired since or not.

    Raises Refused where nothing is left, or it is not all paid for.
    """
    assert doc.carried_from is not None, "checked by the caller"
    try:
        old = wallets.grant(source.customer.customer_id, doc.carried_from)
    except UnknownReference as refusal:
        raise refusal.renamed("carried_from") from None
    if (old.entity, old.currency) == (doc.entity, doc.currency):
        unexpire(wallets, source, old, doc.effective_on)
    refused = None
    if (old.entity, old.currency) != (doc.entity, doc.currency):
        refused = f"expected a grant of {doc.entity} in {doc.currency}"
    elif old.kind == "commitment" or old.lead is not None or old.bonuses:
        refused = "expected credits of their own, not a commitment or part of an order"
    elif doc.effective_on < old.effective_on or old.left == 0:
        refused = f"expected a grant with credits left on {doc.effective_on}"
    elif old.expires_on is not None and old.expires_on < doc.effective_on:
        refused = f"expected a grant that is valid on {doc.effective_on}"
    elif old.to_bill:
        refused = "expected a grant that is invoiced in full"
    elif face < old.left:
        refused = f"expected at most {doc.amount} {doc.currency} left of it, which the new grant is worth"
    if refused:
        raise Refused("carried_from", doc.carried_from, refused)
    return _Carried(old, old.left, old.price_left)


def _carry(wallets: Wallets, source: Source, carried: _Carried, grant: Grant) -> None:
    old = carried.grant
    books = wallets.books
    day = books.days.open_day(source, grant.effective_on)
    money = [] if old.free else [Movement("grant.carried", carried.money, old.subject, grant.subject)]
    memo = [Movement("grant.moved_credits", carried.face, old.subject, old.subject)] if old.kept_in_memorandum else []
    books.post(source, grant.effective_on, [*money, *memo])
    old.moved_face += carried.face
    old.moved += carried.money
    old.fundings.append(Funding(day, -carried.money, grant.effective_on))
    grant.fundings.append(Funding(day, carried.money, grant.effective_on))
    wallets.touch(old)
    record_move(wallets, source, old, "carried", grant.effective_on, carried.face, carried.money)
