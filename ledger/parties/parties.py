"""Who and what the books are about.

Entities, customers, products, and a user's own account codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import text

from ledger.accounts.house import HOUSE
from ledger.amounts.dates import FIRST_DAY
from ledger.documents import models
from ledger.errors import ConflictingDocument, InvalidDocument, Refused, UnknownReference
from ledger.invoices.taxes import find_codes, require_tax_id
from ledger.journal import currencies
from ledger.journal.books import Books
from ledger.journal.movements import Customer, EntityTerms
from ledger.wallets.session import Wallets


def post_entity(wallets: Wallets, doc: models.Entity, _document_id: int) -> int:
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
        amount_tolerance=doc.amount_tolerance,
    )
    terms = EntityTerms(doc.id, doc.currency, doc.tax_rounding, doc.invoice_prefix, doc.amount_tolerance)
    wallets.books.parties.know_entity(terms)
    return HOUSE


def post_customer(wallets: Wallets, doc: models.Customer, _document_id: int) -> int:
    """Take a customer in. Raises InvalidDocument where reverse charge lacks a valid tax id, and UnknownReference."""
    books = wallets.books
    codes = None if doc.tax_codes is None else tuple(doc.tax_codes)
    made = Customer(
        0, doc.id, doc.overage, doc.tax_status, doc.country, codes, doc.tax_id, doc.terms, doc.parent
    )  # fmt: skip
    require_tax_id(made)
    find_codes(books, doc.tax_codes or ())
    if doc.parent is not None:
        _require_parent(books, made, FIRST_DAY, doc.parent)
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
        terms=doc.terms,
        parent=doc.parent,
    )
    books.know_customer(replace(made, customer_id=customer_id))
    return customer_id


def post_customer_change(wallets: Wallets, doc: models.CustomerChange, _document_id: int) -> int:
    """Take in what changes of a customer from a day on; what was posted before stays as it is.

    Raises UnknownReference, InvalidDocument where the customer would be of reverse charge without a valid tax id on that day or
    a later one, and Refused where it would be its own parent over others.
    """
    books = wallets.books
    before = books.parties.customer(doc.customer)
    find_codes(books, doc.tax_codes or ())
    after = before.changing(doc.date, {name: getattr(doc, name) for name in doc.changed - doc.personal})
    for day in dict.fromkeys([doc.date, *after.days_of("tax_status", "country", "tax_id")]):
        if day >= doc.date:
            _require_tax_id_on(after, day)
    if doc.parent is not None:
        _require_parent(books, before, doc.date, doc.parent)
    books.parties.know_change(after)
    return before.customer_id


def _require_tax_id_on(customer: Customer, day: date) -> None:
    try:
        require_tax_id(customer.on(day))
    except InvalidDocument as refusal:
        raise InvalidDocument(refusal.field, refusal.value, f"{refusal.expected}, as of {day}") from None


def _require_parent(books: Books, customer: Customer, on: date, parent: str) -> None:
    """Raise UnknownReference for a parent that is no customer.

    Refused for one that the customer would be a parent of itself over. It is the parent from a day on until another is named; who belongs
    to whom is asked of each day of these.
    """
    if parent == customer.ref:
        raise Refused("parent", parent, "expected another customer")
    try:
        books.parties.customer(parent)
    except UnknownReference as refusal:
        raise refusal.renamed("parent") from None
    until = next((day for day in customer.days_of("parent") if day > on), None)
    days = [on]
    above, seen = [parent], {customer.ref}
    while above:
        one = books.parties.customer(above.pop())
        if one.ref in seen:
            continue
        seen.add(one.ref)
        days += [day for day in one.days_of("parent") if day > on and (until is None or day < until)]
        over = [one.parent, *(change.said.get("parent") for change in one.changes)]
        above += [ref for ref in over if ref is not None]
    for day in sorted(set(days)):
        way = [parent, *_ancestors(books, parent, day, customer.ref)]
        if way[-1] == customer.ref:
            told = " and ".join(f"{one} belongs to {over}" for one, over in pairwise(way))
            raise Refused("parent", parent, f"expected a customer that is not under {customer.ref}: on {day} {told}")


def _ancestors(books: Books, customer: str, on: date, last: str = "") -> Iterator[str]:
    """The customer's parent on a day, the parent's parent, and so on; none beyond `last`."""
    parent = books.parties.customer(customer, on).parent
    while parent is not None:
        yield parent
        parent = None if parent == last else books.parties.customer(parent, on).parent


def is_paid_for_by(books: Books, customer: str, payer: str, on: date) -> bool:
    """Whether a customer's money may pay another's invoices on a day.

    A parent's, and that of whom the parent belongs to. Those who have a parent in common don't pay for each other, nor do customers for
    whom they belong to. Raises UnknownReference.
    """
    return payer in _ancestors(books, customer, on)


def post_details(wallets: Wallets, doc: models.Details, _document_id: int) -> int:
    """Take in how a customer or an entity is named and reached. Raises UnknownReference."""
    if doc.entity is not None:
        wallets.books.parties.entity(doc.entity)
    return HOUSE if doc.customer is None else wallets.books.parties.customer(doc.customer).customer_id


def post_product(wallets: Wallets, doc: models.Product, _document_id: int) -> int:
    """Take a product in."""
    wallets.books.add_row("product", product=doc.id, name=doc.name)
    wallets.books.parties.know_product(doc.id)
    return HOUSE


def post_fx_rate(wallets: Wallets, doc: models.FxRate, _document_id: int) -> int:
    """Take an exchange rate in; it counts for what is posted from now on."""
    currencies.add_rate(wallets.books.connection, doc)
    wallets.books.forget_rates()
    return HOUSE


def post_gl_account(wallets: Wallets, doc: models.GlAccount, _document_id: int) -> int:
    """Lay a user's own account code over a role, or over a role and product. Raises ConflictingDocument if taken."""
    books = wallets.books
    books.parties.entity(doc.entity)
    if doc.product is not None:
        books.parties.require_product(doc.product)
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
