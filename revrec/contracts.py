"""Contracts: identified, their price allocated to their obligations, each obligation given its accounts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ledger import documents, settlements
from ledger.errors import ConflictingDocument, InvalidDocument, Unbalanced
from ledger.intake import TYPES as LEDGER_TYPES
from ledger.intake import DocumentType
from ledger.money import allocate, to_minor, to_text, within_limit
from ledger.receivables import obligation_keys, obligation_subject
from ledger.wallets import Wallets
from revrec.documents import Contract, ContractObligation
from revrec.recognition import price_and_earned


def prices(doc: Contract) -> list[int]:
    """Each obligation's share of the transaction price, in minor units.

    Prices given one by one stand as given; one price for the contract is allocated by relative stand-alone selling
    price (606-10-32-31). Raises where they contradict each other, or a stand-alone price is missing.
    """
    own = [item.price for item in doc.obligations]
    if doc.price is None:
        for index, item in enumerate(doc.obligations):
            if item.price is None:
                raise InvalidDocument(
                    f"obligations.{index}.price", "missing", "expected a price here, or one price for the contract"
                )
        return [to_minor(price, doc.currency, "price") for price in own if price is not None]
    total = to_minor(doc.price, doc.currency, "price")
    if all(price is not None for price in own):
        given = [to_minor(price, doc.currency, "price") for price in own if price is not None]
        if sum(given) != total:
            raise Unbalanced(
                "price", doc.price, f"expected {to_text(sum(given), doc.currency)}, what obligations sum to"
            )
        return given
    return allocate(total, _stand_alone_prices(doc.obligations, doc.currency))


def _stand_alone_prices(obligations: Sequence[ContractObligation], currency: str) -> list[int]:
    found = []
    for index, item in enumerate(obligations):
        if item.price is not None:
            raise InvalidDocument(
                f"obligations.{index}.price", item.price, "expected a price on each obligation, or on none"
            )
        if item.ssp is None:
            raise InvalidDocument(
                f"obligations.{index}.ssp", "missing", "expected a stand-alone selling price to allocate the price by"
            )
        found.append(to_minor(item.ssp, currency, f"obligations.{index}.ssp"))
    return found


def post_contract(wallets: Wallets, doc: Contract, document_id: int) -> int:
    """Take a contract in. Nothing is posted by it: revenue is, as its obligations are satisfied."""
    books = wallets.books
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.signed_on)
    customer_id = source.customer.customer_id
    shares = prices(doc)
    within_limit(sum(shares), doc.currency, "obligations")
    keys = []
    for index, item in enumerate(doc.obligations):
        books.require_product(item.product, f"obligations.{index}.product")
        keys.append(obligation_keys(doc.entity, doc.currency, obligation_subject(item.id), item.product))
        if books.has_account(customer_id, keys[-1][0]):
            raise ConflictingDocument(
                f"obligations.{index}.id", item.id, f"an obligation of {doc.customer} has this id already"
            )
    books.add_row(
        "contract",
        customer_id=customer_id,
        contract_id=document_id,
        ref=doc.id,
        entity=doc.entity,
        currency=doc.currency,
        signed_on=doc.signed_on,
        price_minor=sum(shares),
    )
    if doc.draw_order is not None:
        wallets.set_draw_order(customer_id, doc.id, doc.draw_order)
    for item, price, own_keys in zip(doc.obligations, shares, keys, strict=True):
        deferred, unbilled, revenue = (books.account(customer_id, key) for key in own_keys)
        books.add_row(
            "obligation",
            customer_id=customer_id,
            contract_id=document_id,
            ref=item.id,
            product=item.product,
            price_minor=price,
            ssp_minor=None if item.ssp is None else to_minor(item.ssp, doc.currency, "ssp"),
            pattern=item.pattern,
            starts_on=item.start,
            ends_on=item.start if item.end is None else item.end,
            deferred_account=deferred,
            unbilled_account=unbilled,
            revenue_account=revenue,
        )
    return customer_id


# What splits by how much is earned is posted by the ledger, which asks recognition for it.
TYPES = {
    **LEDGER_TYPES,
    "contract": DocumentType(Contract, post_contract),
    "refund": DocumentType(documents.Refund, partial(settlements.post_refund, earned_by=price_and_earned)),
    "dispute": DocumentType(documents.Dispute, partial(settlements.post_dispute, earned_by=price_and_earned)),
    "write_off": DocumentType(documents.WriteOff, partial(settlements.post_write_off, earned_by=price_and_earned)),
}
