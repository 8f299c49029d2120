"""Who and what the books are about: entities, customers, products, and a user's own account codes."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import text

from ledger import currencies, documents
from ledger.books import HOUSE, Customer, EntityTerms
from ledger.errors import ConflictingDocument, InvalidDocument
from ledger.taxes import find_codes, require_tax_id
from ledger.wallets import Wallets


def post_entity(wallets: Wallets, doc: documents.Entity, _document_id: int) -> int:
    """Take an entity in. Raises InvalidDocument for a time zone that does not exist."""
    try:
        ZoneInfo(doc.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidDocument("time_zone", doc.time_zone, "expected a time zone such as Europe/Berlin") from None
    wallets.books.add_row(
        "entity",
        entity=doc.id,
        name=doc.name,
        currency=doc.currency,
        country=doc.country,
        time_zone=doc.time_zone,
        tax_rounding=doc.tax_rounding,
        invoice_prefix=doc.invoice_prefix,
        fiscal_year_start=doc.fiscal_year_start,
        bills_within=doc.bills_within,
        arrears=doc.arrears,
    )
    wallets.books.know_entity(EntityTerms(doc.id, doc.currency, doc.tax_rounding, doc.invoice_prefix))
    return HOUSE


def post_customer(wallets: Wallets, doc: documents.Customer, _document_id: int) -> int:
    """Take a customer in. Raises InvalidDocument where reverse charge lacks a valid tax id."""
    require_tax_id(doc)
    books = wallets.books
    find_codes(books, doc.tax_codes or ())
    customer_id = books.number("customer_number")
    books.add_row(
        "customer",
        customer_id=customer_id,
        ref=doc.id,
        name=doc.name,
        country=doc.country,
        tax_id=doc.tax_id,
        overage=doc.overage,
        tax_status=doc.tax_status,
        tax_codes=doc.tax_codes,
    )
    codes = None if doc.tax_codes is None else tuple(doc.tax_codes)
    books.know_customer(Customer(customer_id, doc.id, doc.overage, doc.tax_status, doc.country, codes))
    return customer_id


def post_details(wallets: Wallets, doc: documents.Details, _document_id: int) -> int:
    """Take in how a customer or an entity is named and reached. Raises UnknownReference."""
    if doc.customer is not None:
        return wallets.books.customer(doc.customer).customer_id
    assert doc.entity is not None, "one of the two"
    wallets.books.entity(doc.entity)
    return HOUSE


def post_product(wallets: Wallets, doc: documents.Product, _document_id: int) -> int:
    """Take a product in."""
    wallets.books.add_row("product", product=doc.id, name=doc.name)
    wallets.books.know_product(doc.id)
    return HOUSE


def post_fx_rate(wallets: Wallets, doc: documents.FxRate, _document_id: int) -> int:
    """Take an exchange rate in; it counts for what is posted from now on."""
    currencies.add_rate(wallets.books.connection, doc)
    wallets.books.forget_rates()
    return HOUSE


def post_gl_account(wallets: Wallets, doc: documents.GlAccount, _document_id: int) -> int:
    """Lay a user's own account code over a role, or over a role and product. Raises ConflictingDocument if taken."""
    books = wallets.books
    books.entity(doc.entity)
    if doc.product is not None:
        books.require_product(doc.product)
    place = {"entity": doc.entity, "role": doc.role, "product": doc.product or ""}
    name = "/".join(part for part in place.values() if part)
    taken = books.recall("gl_account", name) or books.connection.scalar(
        text("select code from gl_account where entity = :entity and role = :role and product = :product"), place
    )
    if taken:
        raise ConflictingDocument("code", doc.code, f"{name} has the account code {taken} already")
    books.add_row("gl_account", **place, code=doc.code, name=doc.name)
    books.remember("gl_account", name, doc.code)
    return HOUSE
