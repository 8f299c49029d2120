"""Consideration payable to a customer: what it gets from us for nothing distinct lowers the price (606-10-32-25 to 32-27).

It is the customer's money from the day it is promised: a refund pays it out, an application settles an invoice with it. What of
the promise was given already falls at once, the rest with what remains.
"""

from __future__ import annotations

from ledger.books import Movement
from ledger.errors import Refused
from ledger.money import to_minor, to_text, within_limit
from ledger.positions import available
from ledger.receivables import obligation_keys
from ledger.wallets import Wallets
from revrec.documents import ConsiderationPayable
from revrec.versions import add_change, add_price, find_contract, require_later, sharing, spread


def post_consideration(wallets: Wallets, doc: ConsiderationPayable, document_id: int) -> int:
    """Owe a customer an amount that lowers the price of a contract. Raises Refused beyond what that price is."""
    books = wallets.books
    contract = find_contract(books, doc.contract, doc.date)
    source = contract.source(books, document_id, doc.date)
    amount = within_limit(to_minor(doc.amount, contract.currency), contract.currency, "amount")
    weighted = sharing(books.connection, contract, doc.obligations)
    parts = spread(amount, [weight for _, weight in weighted])
    for (standing, _), part in zip(weighted, parts, strict=True):
        require_later(doc.date, standing)
        if part > standing.price:
            raise Refused(
                "amount", doc.amount, f"expected no more taken off {standing.ref} than its price, "
                f"{to_text(standing.price, contract.currency)}; what is paid for something distinct is a purchase, not this"
            )  # fmt: skip
    add_change(books, contract, document_id, doc.id, doc.date)
    day = books.open_day(contract.entity, doc.date)
    movements = []
    for (standing, _), part in zip(weighted, parts, strict=True):
        add_price(books, source, doc.date, standing, -part, f"paid or payable to the customer: {doc.reason}")
        key = obligation_keys(source.entity, source.currency, standing.subject, standing.product)[0]
        held = min(part, max(available(books.history(contract.customer_id, key), day), 0))
        movements += [
            Movement("payable.deferred", held, standing.subject, "customer"),
            Movement("payable.unbilled", part - held, standing.subject, "customer"),
        ]
    books.post(source, doc.date, movements)
    return contract.customer_id
