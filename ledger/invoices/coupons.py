"""Coupons: discounts agreed beforehand, checked on every invoice line that names one, and reported by who gave what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from dateutil.relativedelta import relativedelta
from sqlalchemy import Connection, text

from ledger.accounts.house import HOUSE
from ledger.amounts.money import exact_product, round_minor, to_decimal, to_minor, to_text
from ledger.documents import models
from ledger.errors import Refused, Unbalanced, UnknownReference
from ledger.journal.books import Books
from ledger.journal.movements import Source
from ledger.reports.report import Column, Filters, Report, narrowed
from ledger.wallets.session import Wallets


@dataclass(frozen=True, slots=True)
class CouponTerms:
    """A coupon as it was agreed: a percentage of a line, or an amount of an invoice."""

    ref: str
    percent: Decimal | None
    amount: int | None
    currency: str | None
    duration: str
    months: int | None
    products: tuple[str, ...] | None
    redeem_by: date | None


@dataclass(frozen=True, slots=True)
class KnownCoupon:
    """A coupon, and when the customer first used it on an invoice that still stands."""

    coupon: CouponTerms
    first_used_on: date | None


@dataclass(frozen=True, slots=True)
class Use:
    """What a coupon takes off a line: the line's price before it, and the discount, in minor units."""

    line: str
    coupon: str
    product: str | None
    base: int
    discount: int


def post_coupon(wallets: Wallets, doc: models.Coupon, _document_id: int) -> int:
    """Take a coupon in."""
    books = wallets.books
    amount = None
    if doc.amount is not None:
        assert doc.currency is not None, "an amount has a currency"
        amount = to_minor(doc.amount, doc.currency)
    for index, product in enumerate(doc.products or ()):
        books.parties.require_product(product, f"products.{index}")
    books.add_row(
        "coupon",
        coupon=doc.id,
        name=doc.name,
        percent=doc.percent,
        amount_minor=amount,
        currency=doc.currency,
        duration=doc.duration,
        months=doc.months,
        products=doc.products,
        redeem_by=doc.redeem_by,
    )
    return HOUSE


def look_up(books: Books, doc: models.Invoice) -> Mapping[str, KnownCoupon]:
    """The coupons an invoice names, with the customer's use of them. Raises UnknownReference.

    What was gathered is written first, for an invoice that names any.
    """
    named = {line.coupon: index for index, line in reversed(list(enumerate(doc.lines))) if line.coupon is not None}
    if not named:
        return {}
    books.flush()
    rows = books.connection.execute(
        text(
            "select c.coupon, c.percent, c.amount_minor, c.currency, c.duration, c.months, c.products, c.redeem_by,"
            " (select min(i.issued_on) from invoice i where i.customer_id = :customer_id"
            "  and i.ref is distinct from :supersedes and (select sum(u.discount_minor) from coupon_use u"
            "   where u.customer_id = i.customer_id and u.invoice_id = i.invoice_id and u.coupon = c.coupon) > 0) as first "
            "from coupon c where c.coupon = any(:coupons)"
        ),
        {
            "customer_id": books.parties.customer(doc.customer).customer_id,
            "supersedes": doc.supersedes,
            "coupons": list(named),
        },
    )
    found: dict[str, KnownCoupon] = {}
    for row in rows:
        products = None if row.products is None else tuple(row.products)
        coupon = CouponTerms(
            row.coupon, row.percent, row.amount_minor, row.currency, row.duration, row.months, products, row.redeem_by
        )
        found[row.coupon] = KnownCoupon(coupon, row.first)
    for ref, index in named.items():
        if ref not in found:
            raise UnknownReference(f"lines.{index}.coupon", ref, "expected the id of a coupon posted before")
    return found


def uses(doc: models.Invoice, terms: Mapping[str, KnownCoupon]) -> list[Use]:
    """What each coupon takes off which line of an invoice.

    Raises Refused where a coupon does not apply to the line or no longer to the customer, Unbalanced where the line's
    discount is not the coupon's: of a percentage, line by line; of an amount, over all lines that name it.
    """
    found: list[Use] = []
    for index, line in enumerate(doc.lines):
        if line.coupon is None:
            continue
        _require_valid(terms[line.coupon], doc, index)
        assert line.quantity is not None, "checked by the document's form"
        assert line.unit_price is not None, "checked by the document's form"
        assert line.discount is not None, "checked by the document's form"
        base = round_minor(exact_product(line.quantity, line.unit_price), doc.currency)
        use = Use(line.id, line.coupon, line.product, base, to_minor(line.discount, doc.currency, "discount"))
        percent = terms[line.coupon].coupon.percent
        if percent is not None:
            exact = exact_product(exact_product(to_decimal(base, doc.currency), percent), Decimal("0.01"))
            _require_discount(use, round_minor(exact, doc.currency), doc, index)
        found.append(use)
    for ref, known in terms.items():
        if known.coupon.amount is not None:
            _require_amount(doc, known.coupon.amount, [use for use in found if use.coupon == ref])
    return found


def _require_valid(terms: KnownCoupon, doc: models.Invoice, index: int) -> None:
    coupon, first = terms.coupon, terms.first_used_on
    line = doc.lines[index]

    def refused(expected: str) -> Refused:
        return Refused(f"lines.{index}.coupon", coupon.ref, expected)

    if coupon.currency is not None and coupon.currency != doc.currency:
        raise refused(f"expected a coupon in {doc.currency}; it takes off {coupon.currency}")
    if coupon.products is not None and line.product not in coupon.products:
        raise refused(f"expected a line of {', '.join(coupon.products)}, the products it is for")
    if first is None:
        if coupon.redeem_by is not None and doc.issued_on > coupon.redeem_by:
            raise refused(f"expected an invoice of {coupon.redeem_by} or earlier, the last day to redeem it")
    elif coupon.duration == "once":
        raise refused(f"expected a coupon {doc.customer} has not used; it is for one invoice, and was used on {first}")
    elif coupon.months is not None and doc.issued_on >= first + relativedelta(months=coupon.months):
        raise refused(
            f"expected an invoice before {first + relativedelta(months=coupon.months)}, {coupon.months} months after "
            f"{doc.customer} first used it"
        )


def _require_discount(use: Use, expected: int, doc: models.Invoice, index: int) -> None:
    if use.discount != expected:
        raise Unbalanced(
            f"lines.{index}.discount",
            f"{to_text(use.discount, doc.currency)} {doc.currency}",
            f"expected {to_text(expected, doc.currency)}, what coupon {use.coupon} takes off "
            f"{to_text(use.base, doc.currency)}",
        )


def _require_amount(doc: models.Invoice, amount: int, found: list[Use]) -> None:
    expected = min(amount, sum(use.base for use in found))
    given = sum(use.discount for use in found)
    if given != expected:
        raise Unbalanced(
            "lines",
            f"{to_text(given, doc.currency)} {doc.currency}",
            f"expected discounts of {to_text(expected, doc.currency)} together, what coupon {found[0].coupon} takes off",
        )


def record(books: Books, source: Source, found: list[Use], day: date) -> None:
    """Gather what coupons took off an invoice."""
    for use in found:
        books.add_row(
            "coupon_use",
            customer_id=source.customer.customer_id,
            document_id=source.document_id,
            line=use.line,
            invoice_id=source.document_id,
            coupon=use.coupon,
            product=use.product,
            used_on=day,
            base_minor=use.base,
            discount_minor=use.discount,
        )


def take_back(books: Books, source: Source, invoice_id: int, day: date) -> None:
    """Gather that an invoice that is voided used no coupon after all; read after everything before was written."""
    rows: Any = books.connection.execute(
        text("select * from coupon_use where customer_id = :customer_id and invoice_id = :invoice_id"),
        {"customer_id": source.customer.customer_id, "invoice_id": invoice_id},
    )
    for row in rows:
        books.add_row(
            "coupon_use",
            **{
                **row._mapping, "document_id": source.document_id, "used_on": day, "base_minor": -row.base_minor,
                "discount_minor": -row.discount_minor,
            },
        )  # fmt: skip


def discounts(connection: Connection, filters: Filters) -> Report:
    """What coupons took off: by month, coupon, customer and product, with what the price would have been."""
    clause, parameters = narrowed(
        filters, since="u.used_on", as_of="u.used_on", known_at="d.posted_at", entity="i.entity", customer="c.ref", product="u.product",
        currency="i.currency",
    )  # fmt: skip
    rows = connection.execute(
        text(
            "select to_char(u.used_on, 'YYYY-MM') as month, u.coupon, k.name, c.ref as customer, i.entity, u.product,"
            " i.currency, count(*) filter (where u.discount_minor > 0) as lines, sum(u.base_minor)::bigint as base,"
            " sum(u.discount_minor)::bigint as discount "
            "from coupon_use u join invoice i using (customer_id, invoice_id) join customer c using (customer_id) "
            "join coupon k using (coupon) "
            "join document d on d.customer_id = u.customer_id and d.document_id = u.document_id "
            f"where {clause} "
            "group by 1, 2, 3, 4, 5, 6, 7 order by 1, 2, 4, 5, 6, 7"
        ),
        parameters,
    )
    found = tuple({**row._mapping, "net": row.base - row.discount} for row in rows)
    columns = (
        Column("month", "Month"),
        Column("coupon", "Coupon"),
        Column("name", "Name"),
        Column("customer", "Customer"),
        Column("entity", "Entity"),
        Column("product", "Product"),
        Column("currency", "Currency"),
        Column("lines", "Lines", "number"),
        Column("base", "Price", "amount"),
        Column("discount", "Discount", "amount"),
        Column("net", "Net", "amount"),
    )
    totals = tuple(
        {"month": "Total", "currency": currency,
         **{key: sum(row[key] for row in found if row["currency"] == currency) for key in ("base", "discount", "net")}}
        for currency in sorted({row["currency"] for row in found})
    )  # fmt: skip
    return Report("discounts", "Discounts by coupon", columns, found, totals)
