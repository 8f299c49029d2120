"""Consideration payable to a customer (606-10-32-25 to 32-27).

What it gets from us for nothing distinct lowers the price. It is the customer's money from the day it is promised: a refund pays it out,
an application settles an invoice with it. What of the promise was given already falls at once, the rest with what remains.
"""

from __future__ import annotations

from ledger.amounts.money import to_minor, to_text, within_limit
from ledger.approval.approve import approve
from ledger.cash import uses
from ledger.errors import Refused
from ledger.journal.movements import Movement
from ledger.obligations import billed_ahead, obligation_sides
from ledger.wallets.session import Wallets
from revrec.documents.variable_amounts import ConsiderationPayable
from revrec.terms.happened import payable
from revrec.terms.plans import Plan
from revrec.terms.versions import add_change, find_contract


def post_consideration(wallets: Wallets, doc: ConsiderationPayable, document_id: int) -> int:
    """Owe a customer an amount that lowers the price of a contract. Raises Refused beyond what that price is."""
    books = wallets.books
    contract = find_contract(books, doc.contract, doc.date)
    source = contract.source(books, document_id, doc.date)
    amount = to_minor(doc.amount, contract.currency)
    within_limit(amount, contract.currency, "amount")
    approve(books, source, doc, amount)
    plan = Plan.of(books, contract.party, document_id, payable(doc, document_id, contract.currency))
    taken = plan.taken()
    for version, _ in taken:
        if version.terms.price < 0:
            raise Refused(
                "amount", doc.amount, f"expected no more taken off {version.subject.removeprefix('obligation:')} than its price, "
                f"{to_text(version.terms.price - version.change, contract.currency)}; what is paid for something distinct is a purchase, not this"
            )  # fmt: skip
    add_change(books, contract, document_id, doc.id, doc.date)
    day = books.days.open_day(source, doc.date)
    movements = []
    for version, part in taken:
        held = min(part, billed_ahead(books, source, version.subject, day))
        movements += [
            Movement("payable.deferred", held, version.subject, "customer"),
            Movement("payable.unbilled", part - held, version.subject, "customer"),
        ]
    books.post(source, doc.date, movements)
    for version, _ in taken:  # a bill of a later day is there already
        books.net(source, *obligation_sides(source, version.subject), day)
    uses.bring(books, source, sum(part for _, part in taken), doc.date)
    plan.keep()
    return contract.customer_id
