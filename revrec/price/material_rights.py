"""Material rights: free credits promised with a contract (606-10-55-42).

They share its price, and are a liability until used. Their part of the price is taken off the contract's obligations, in proportion to
what these are worth, and is earned as the credits are used, or when they expire: in whatever order they are drawn, revenue does not move.
Credits that are not all likely to be used take less of it, and earn it with those that are (606-10-55-44, 55-48).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from typing import Any

from sqlalchemy import text

from ledger.amounts.money import to_minor
from ledger.documents import models
from ledger.documents.models.wallets import FREE_KINDS
from ledger.errors import Refused
from ledger.journal.books import Books
from ledger.journal.movements import Movement, Source
from ledger.obligations import billed_ahead, obligation_sides
from ledger.wallets.grants import Funding, grant_subject
from ledger.wallets.issue import post_grant as post_ledger_grant
from ledger.wallets.session import Wallets
from revrec.terms.changes.folded import ENDED
from revrec.terms.history import read
from revrec.terms.history import right as right_event
from revrec.terms.plans import Plan
from revrec.terms.versions import Agreed, all_standing, find_contract


def post_grant(wallets: Wallets, doc: models.Grant, document_id: int) -> int:
    """Take a grant in; free credits of a contract take their part of its price.

    Where the contract they name has obligations.
    """
    free = doc.kind == "promotional" or (doc.kind == "pilot" and doc.price is None and doc.carried_from is None)
    if not free or doc.contract is None or _has_paid_grant(wallets, doc):
        return post_ledger_grant(wallets, doc, document_id)
    books = wallets.books
    books.flush()
    known = books.connection.scalar(
        text(
            "select true from contract t join customer c using (customer_id) "
            "where t.ref = :ref and c.ref = :customer and t.entity = :entity and t.currency = :currency"
        ),
        {"ref": doc.contract, "customer": doc.customer, "entity": doc.entity, "currency": doc.currency},
    )
    contract = find_contract(books, doc.contract) if known else None
    obligations = [] if contract is None else _standing(books, contract, doc.effective_on)
    if contract is None or not any(price for price, _ in obligations):
        return post_ledger_grant(wallets, doc, document_id)  # which says what a bonus needs
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.effective_on)
    right = _right(books, doc, contract, obligations)
    if right <= 0:
        raise Refused("amount", doc.amount, "expected credits whose share of the contract's price is something")
    event = right_event(doc.effective_on, document_id, doc.id, contract.ref, right)
    plan = Plan.of(books, contract.party, document_id, event)
    customer_id = post_ledger_grant(wallets, doc, document_id, right=right)
    day = books.days.open_day(source, doc.effective_on)
    movements: list[Movement] = []
    for version, part in plan.taken():
        movements += _moved(books, source, version.subject, part, doc, day)
    books.post(source, doc.effective_on, movements)
    for version, _ in plan.taken():
        # an invoice of a later day may be in the books already
        books.net(source, *obligation_sides(source, version.subject), day)
    plan.keep()
    wallets.grant(customer_id, doc.id).fundings.append(Funding(day, right, doc.effective_on))
    return customer_id


def _right(books: Books, doc: models.Grant, contract: Agreed, obligations: Sequence[tuple[int, int | None]]) -> int:
    """What free credits take of a contract's price.

    As if all its credits had been promised at once, less what those before took.
    """
    by_ssp = all(ssp is not None for _, ssp in obligations)
    earlier = books.connection.execute(
        text(
            "select coalesce(sum(face_minor * expected_use), 0) as worth, coalesce(sum(price_minor), 0)::bigint as price from credit_grant "
            "where customer_id = :customer_id and contract = :contract and entity = :entity and currency = :currency"
            " and kind = any(:kinds) and effective_on <= :on"
        ),
        {
            "customer_id": contract.customer_id,
            "contract": doc.contract,
            "entity": doc.entity,
            "currency": doc.currency,
            "kinds": list(FREE_KINDS),
            "on": doc.effective_on,
        },
    ).one()
    total = sum(price for price, _ in obligations) + earlier.price
    worth = sum(ssp or 0 for _, ssp in obligations) if by_ssp else total
    # each at its face value, as far as it is likely to be used (606-10-55-44)
    likely = Fraction(earlier.worth) + to_minor(doc.amount, doc.currency) * Fraction(doc.expected_use or 1)
    return int(round(total * likely / (worth + likely)) - earlier.price)


def _standing(books: Books, contract: Agreed, on: date) -> list[tuple[int, int | None]]:
    """(price, stand-alone price) of a contract's obligations that go on on a day.

    As they stand then, whatever came in before.
    """
    day = max(on, contract.signed_on)
    history = read(books, contract.party, [])
    alone = {standing.subject: standing.ssp for standing in all_standing(books.connection, contract)}
    found = []
    for subject, versions in history.folded().versions.items():
        by_then = [version for version in versions if version.from_day <= day]
        if subject in alone and by_then:
            last = by_then[-1]
            if last.treatment not in ENDED and last.terms.curve.pattern != "usage":
                found.append((last.terms.price, alone[subject]))
    return found


def _has_paid_grant(wallets: Wallets, doc: models.Grant) -> bool:
    """Whether the order has paid credits, whose price free ones share instead."""
    customer_id = wallets.books.parties.customer(doc.customer).customer_id
    return any(
        (other.contract, other.entity, other.currency) == (doc.contract, doc.entity, doc.currency) and other.paid is other
        and other.kind != "promotional"
        for other in wallets.grants(customer_id)
    )  # fmt: skip


def _moved(books: Books, source: Source, obligation: str, part: int, doc: models.Grant, day: Any) -> list[Movement]:
    """What makes a part of what is billed of an obligation the credits'.

    What is not billed yet is an asset against them.
    """
    held = min(part, billed_ahead(books, source, obligation, day))
    subject = grant_subject(doc.id)
    return [
        Movement("grant.right", held, obligation, subject),
        Movement("grant.right_unbilled", part - held, obligation, subject),
    ]
