"""Usage that is billed: its accounts, and what an invoice line of it moves."""

from __future__ import annotations

from datetime import date

from ledger.journal.books import Books
from ledger.journal.by_date import balance
from ledger.journal.movements import AccountKey, Movement, Source
from ledger.wallets.session import Wallets

NET_USAGE = ("usage.settled", "usage.unsettled")


def usage_subject(product: str) -> str:
    """The subject of a product's usage that no grant covered."""
    return f"usage:{product}"


def overage_accounts(source: Source, product: str) -> tuple[AccountKey, AccountKey]:
    """The contract liability and contract asset of a product's usage beyond all grants."""
    subject = usage_subject(product)
    return (
        AccountKey(source.entity, "deferred_revenue", source.currency, subject),
        AccountKey(source.entity, "unbilled_receivable", source.currency, subject),
    )


def bill_usage(
    books: Books, source: Source, product: str, on: date, amount: int, before: int, invoice: str, discount: int = 0
) -> list[Movement]:
    """What a usage line of an invoice moves.

    Out of the contract asset up to its balance, the rest is billed ahead. `before` is what earlier lines of the same invoice billed of
    the product. A discount on what was used before lowers its revenue; one on what is billed ahead waits for the use.
    """
    _, unbilled_key = overage_accounts(source, product)
    unbilled = balance(books.history(source.customer.customer_id, unbilled_key), on) - before
    reported = min(amount, max(unbilled, 0))
    subject = usage_subject(product)
    return [
        Movement("invoice.usage", reported, invoice, subject),
        Movement("invoice.usage_ahead", amount - reported, invoice, subject),
        Movement("usage.discounted", discount if unbilled >= amount + discount else 0, subject, subject, product),
    ]


def ahead(books: Books, source: Source, product: str, day: date) -> int:
    """What of a product's usage is billed ahead of use on a day."""
    liability, _ = overage_accounts(source, product)
    return max(balance(books.history(source.customer.customer_id, liability), day), 0)


def note(wallets: Wallets, source: Source, product: str) -> None:
    """Note that something of a product's usage was taken back, or given at a discount."""
    key = (source.entity, source.currency, usage_subject(product))
    wallets.usage_taken(source.customer.customer_id).add(key)


def is_taken(wallets: Wallets, source: Source, product: str) -> bool:
    """Whether something of a product's usage was taken back, or given at a discount."""
    key = (source.entity, source.currency, usage_subject(product))
    return key in wallets.usage_taken(source.customer.customer_id)
