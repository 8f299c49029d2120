"""Who and what documents name, as far as it was looked up in a transaction: customers, entities, products."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from sqlalchemy import Connection, text

from ledger.database import locks
from ledger.errors import UnknownReference
from ledger.journal.movements import Customer, EntityTerms


class KnownParties:
    """Customers, entities and products of a transaction; customers are locked once they were asked for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._customers: dict[str, Customer] = {}
        self._entities: dict[str, EntityTerms] = {}
        self._products: set[str] = set()
        self.over_entities: set[int] = set()  # customers with invoices over several entities
        # the tax codes of customers by country, as far as they were looked up
        self.country_tax_codes: dict[str, tuple[str, ...]] = {}

    def learn_customers(self, refs: Iterable[str]) -> None:
        """Fetch customers and lock them for this transaction, many at once; those unknown stay unknown."""
        missing = sorted({ref for ref in refs if ref not in self._customers})
        if not missing:
            return
        locks.hold_customers(self._connection, missing)
        rows = self._connection.execute(
            text(
                "select customer_id, ref, overage, tax_status, country, tax_codes, tax_id, terms, parent,"
                " exists (select from invoice i where i.customer_id = c.customer_id and i.master is not null) as over_entities,"
                " (select json_agg(d.body::json order by d.dated_on, d.document_id) from document d"
                "  where d.customer_id = c.customer_id and d.type = 'customer_change') as changes"
                " from customer c where ref = any(:refs)"
            ),
            {"refs": missing},
        ).all()
        self.over_entities |= {row.customer_id for row in rows if row.over_entities}
        for row in rows:
            codes = None if row.tax_codes is None else tuple(row.tax_codes)
            found = Customer(
                row.customer_id,
                row.ref,
                row.overage,
                row.tax_status,
                row.country,
                codes,
                row.tax_id,
                row.terms,
                row.parent,
            )
            for said in row.changes or ():
                found = found.changing(date.fromisoformat(said["date"]), said)
            self._customers[row.ref] = found

    def known_customers(self, refs: Iterable[str]) -> list[int]:
        """The numbers of those customers that were found."""
        return [self._customers[ref].customer_id for ref in refs if ref in self._customers]

    def customer(self, ref: str, on: date | None = None) -> Customer:
        """A customer by id, locked: as it is on a day, else as its document says. Raises UnknownReference."""
        if ref not in self._customers:
            self.learn_customers([ref])
        if ref not in self._customers:
            raise UnknownReference("customer", ref, "expected the id of a customer posted before")
        return self._customers[ref] if on is None else self._customers[ref].on(on)

    def entity(self, ref: str) -> EntityTerms:
        """An entity by id. Raises UnknownReference."""
        if ref not in self._entities:
            row = self._connection.execute(
                text(
                    "select entity, currency, tax_rounding, invoice_prefix, amount_tolerance from entity where entity = :ref"
                ),
                {"ref": ref},
            ).first()
            if row is None:
                raise UnknownReference("entity", ref, "expected the id of an entity posted before")
            self._entities[ref] = EntityTerms(*row)
        return self._entities[ref]

    def know_change(self, customer: Customer) -> None:
        """A customer with a change that was just taken in."""
        self._customers[customer.ref] = customer

    def know_entity(self, terms: EntityTerms) -> None:
        """An entity that was just taken in."""
        self._entities[terms.entity] = terms

    def know_product(self, ref: str) -> None:
        """A product that was just taken in."""
        self._products.add(ref)

    def require_product(self, ref: str, field: str = "product") -> None:
        """Raise UnknownReference unless the product is known."""
        if ref not in self._products:
            found = self._connection.scalar(text("select count(*) from product where product = :ref"), {"ref": ref})
            if not found:
                raise UnknownReference(field, ref, "expected the id of a product posted before")
            self._products.add(ref)

    def know_customer(self, customer: Customer) -> None:
        """A customer that was just taken in."""
        self._customers[customer.ref] = customer
