"""The catalogue of stand-alone selling prices (606-10-32-32 to 32-34).

Dated, with the ranges they are observed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.house import HOUSE
from ledger.amounts.money import exact_product, round_minor, to_minor
from ledger.journal.books import Books
from ledger.reports.report import Column, Filters, Report, narrowed
from ledger.wallets.session import Wallets
from revrec.documents.contracts import ContractObligation
from revrec.documents.prices import StandAlonePrice

# What is remembered of the catalogue between flushes: none, some, or unwritten entries.
_STATE = ("catalogue", "stand-alone prices")


@dataclass(frozen=True, slots=True)
class Entry:
    """A product's stand-alone price for some quantity, and its range, in minor units."""

    price: int
    range: tuple[int, int] | None


class Catalogue:
    """The stand-alone prices that count on a day, in a currency.

    By what was known when a document came in, where one is named.
    """

    def __init__(self, books: Books, currency: str, on: date, known_by: int | None = None) -> None:
        self._books = books
        self._currency = currency
        self._on = on
        self._known_by = known_by

    def find(self, product: str, quantity: Decimal | None) -> Entry | None:
        """The last entry of a product by the day, for a quantity.

        One, if none is given; None where there is none.
        """
        if not self._any():
            return None
        row: Any = self._books.connection.execute(
            text(
                "select price, low, high from stand_alone_price where product = :product and currency = :currency "
                "and from_day <= :on and document_id < coalesce(cast(:known_by as bigint), document_id + 1) "
                "order by from_day desc, document_id desc limit 1"
            ),
            {"product": product, "currency": self._currency, "on": self._on, "known_by": self._known_by},
        ).first()
        if row is None:
            return None
        bounds = None if row.low is None else (self._times(row.low, quantity), self._times(row.high, quantity))
        return Entry(self._times(row.price, quantity), bounds)

    def _any(self) -> bool:
        """Whether the catalogue has entries.

        Most books keep none, and then no contract asks for one.
        """
        known: str | None = self._books.recall(*_STATE)
        if known == "unwritten":
            self._books.flush()
            known = None
        if known is None:
            found = self._books.connection.scalar(text("select exists (select from stand_alone_price)"))
            known = "some" if found else "none"
            self._books.remember(*_STATE, known)
        return known == "some"

    def _times(self, price: Decimal, quantity: Decimal | None) -> int:
        return round_minor(exact_product(price, quantity or Decimal(1)), self._currency)


def stand_alone_price(item: ContractObligation, index: int, currency: str, catalogue: Catalogue) -> Entry | None:
    """An obligation's stand-alone price with its range.

    Its own, else the catalogue's; None where neither is known.
    """
    known = catalogue.find(item.product, item.quantity)
    if item.ssp is None:
        return known
    return Entry(to_minor(item.ssp, currency, f"obligations.{index}.ssp"), range_of(index, item, currency, catalogue))


def range_of(index: int, item: ContractObligation, currency: str, catalogue: Catalogue) -> tuple[int, int] | None:
    """The range of an obligation's stand-alone price: its own, else the catalogue's."""
    if item.ssp_range is not None:
        field = f"obligations.{index}.ssp_range"
        return to_minor(item.ssp_range.low, currency, f"{field}.low"), to_minor(
            item.ssp_range.high, currency, f"{field}.high"
        )
    known = catalogue.find(item.product, item.quantity)
    return None if known is None else known.range


def post_stand_alone_price(wallets: Wallets, doc: StandAlonePrice, document_id: int) -> int:
    """Take an entry of the catalogue in; it counts for contracts signed from its day on."""
    books = wallets.books
    books.parties.require_product(doc.product)
    books.add_row(
        "stand_alone_price",
        document_id=document_id,
        ref=doc.id,
        product=doc.product,
        currency=doc.currency,
        from_day=doc.date,
        price=doc.price,
        low=None if doc.range is None else doc.range.low,
        high=None if doc.range is None else doc.range.high,
    )
    books.remember(*_STATE, "unwritten")
    return HOUSE


def stand_alone_prices(connection: Connection, filters: Filters) -> Report:
    """The catalogue: each product's stand-alone prices, from which day to which they count."""
    clause, parameters = narrowed(
        filters, as_of="p.from_day", known_at="d.posted_at", product="p.product", currency="p.currency"
    )
    rows = connection.execute(
        text(
            "select p.product, p.currency, p.from_day, (lead(p.from_day) over (partition by p.product, p.currency"
            " order by p.from_day, p.document_id) - 1) as to_day, p.ref, p.price, p.low, p.high "
            "from stand_alone_price p join document d on d.document_id = p.document_id "
            f"where {clause} order by 1, 2, 3, p.document_id"
        ),
        parameters,
    )
    found = tuple(
        {
            **row._mapping,
            **{
                name: None if getattr(row, name) is None else f"{getattr(row, name):f}"
                for name in ("price", "low", "high")
            },
        }
        for row in rows
    )
    columns = (
        Column("product", "Product"), Column("currency", "Currency"), Column("from_day", "From", "date"), Column("to_day", "To", "date"),
        Column("price", "Price", "number"), Column("low", "Low", "number"), Column("high", "High", "number"), Column("ref", "Document"),
    )  # fmt: skip
    return Report("stand-alone-prices", "Stand-alone selling prices", columns, found)
