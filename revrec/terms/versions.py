"""Contracts and their obligations as they stand in the books.

Documents that change them are checked against that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from ledger.errors import Refused, UnknownReference
from ledger.journal.books import Books
from ledger.journal.movements import Source
from revrec.terms.changes.folded import ENDED


@dataclass(frozen=True, slots=True)
class Party:
    """Whose obligations are folded together, and in which currency."""

    customer_id: int
    customer: str
    entity: str
    currency: str
    package: str | None  # of contracts; None for an invoice line

    def source(self, books: Books, document_id: int) -> Source:
        """What is posted for them."""
        return Source(document_id, books.parties.customer(self.customer), self.entity, self.currency)


@dataclass(frozen=True, slots=True)
class Agreed:
    """A contract found by its id: whose it is, and its row's key."""

    customer_id: int
    contract_id: int
    ref: str
    customer: str
    entity: str
    currency: str
    signed_on: date
    receivable: str
    package: str

    @property
    def party(self) -> Party:
        """Whose it is, with the contracts that are accounted for as one with it."""
        return Party(self.customer_id, self.customer, self.entity, self.currency, self.package)

    def source(self, books: Books, document_id: int, on: date) -> Source:
        """What a document about it posts for."""
        return books.source(document_id, self.customer, self.entity, self.currency, on)


@dataclass(frozen=True, slots=True)
class Standing:
    """An obligation as its last version has it."""

    subject: str
    product: str
    pattern: str
    version: int
    starts_on: date
    ends_on: date | None
    quantity: Decimal | None
    percent: bool
    ssp: int | None
    price: int
    treatment: str

    @property
    def ref(self) -> str:
        """Its id."""
        return self.subject.removeprefix("obligation:")

    @property
    def ended(self) -> bool:
        """Whether nothing of it can change any more."""
        return self.treatment in ENDED

    def goes_on_after(self, day: date) -> bool:
        """Whether a termination that ends it on a day changes anything.

        It has not ended, or its notice runs longer.
        """
        return not self.ended or (self.treatment == "terminated" and self.ends_on is not None and self.ends_on > day)


def find_contract(books: Books, ref: str, on: date | None = None, field: str = "contract") -> Agreed:
    """A contract by its id, for a document dated `on`.

    Its customer is locked; what was gathered is written first, so that it can be read. Raises UnknownReference, or Refused for a day
    before it was signed.
    """
    books.flush()
    row: Any = books.connection.execute(
        text(
            "select t.customer_id, t.contract_id, t.ref, c.ref as customer, t.entity, t.currency, t.signed_on,"
            " t.receivable, coalesce(t.package, t.ref) as package "
            "from document_key k join contract t on t.customer_id = k.customer_id and t.contract_id = k.document_id "
            "join customer c on c.customer_id = k.customer_id where k.type = 'contract' and k.ref = :ref"
        ),
        {"ref": ref},
    ).first()
    if row is None:
        raise UnknownReference(field, ref, "expected the id of a contract posted before")
    books.parties.customer(row.customer)  # whoever changes the same terms is done before they are read
    if on is not None and on < row.signed_on:
        raise Refused("date", on, f"expected {row.signed_on}, when the contract was signed, or later")
    return Agreed(*row)


_STANDING = """
    select 'obligation:' || o.ref as subject, o.product, coalesce(v.pattern, o.pattern) as pattern,
           coalesce(v.version, 1) as version, coalesce(v.starts_on, o.starts_on) as starts_on,
           case when v.version is null then o.ends_on else v.ends_on end as ends_on,
           case when v.version is null then o.quantity else v.quantity end as quantity,
           exists (select from progress p where p.customer_id = o.customer_id and p.subject = 'obligation:' || o.ref
                   and p.percent is not null) as percent,
           o.ssp_minor as ssp, coalesce(v.price_minor, o.price_minor) as price,
           coalesce((select t.treatment from obligation_terms t where t.customer_id = o.customer_id and t.edition = v.edition
                     and t.subject = 'obligation:' || o.ref and t.treatment = any(:ended)
                     and (cast(:on as date) is null or t.from_day <= :on) order by t.version desc limit 1),
                    v.treatment, o.treatment, '') as treatment
    from obligation o
    left join lateral (
        select * from obligation_terms v where v.customer_id = o.customer_id and v.subject = 'obligation:' || o.ref
          and v.edition = (select max(l.edition) from obligation_terms l where l.customer_id = v.customer_id and l.subject = v.subject)
          and (cast(:on as date) is null or v.from_day <= :on)
        order by version desc, segment desc limit 1
    ) v on true
    where o.customer_id = :customer_id and o.contract_id = :contract_id"""


def standing_of(books: Books, contract: Agreed, ref: str, on: date | None = None) -> Standing | None:
    """An obligation of a contract as its last version has it, or as it is on a day.

    None where the contract has none of that id.
    """
    row = books.connection.execute(
        text(f"{_STANDING} and o.ref = :ref"),
        {
            "customer_id": contract.customer_id,
            "contract_id": contract.contract_id,
            "ref": ref,
            "ended": list(ENDED),
            "on": on,
        },
    ).first()
    return None if row is None else Standing(*row)


def all_standing(connection: Connection, contract: Agreed, on: date | None = None) -> list[Standing]:
    """Every obligation of a contract as its last version has it, or as it is on a day, by id."""
    rows = connection.execute(
        text(f"{_STANDING} order by o.ref"),
        {"customer_id": contract.customer_id, "contract_id": contract.contract_id, "ended": list(ENDED), "on": on},
    )
    return [Standing(*row) for row in rows]


def add_change(books: Books, contract: Agreed, document_id: int, ref: str, on: date) -> None:
    """Gather that a document changes a contract: the log of modifications lists it."""
    books.add_row(
        "contract_modification",
        customer_id=contract.customer_id,
        document_id=document_id,
        ref=ref,
        contract=contract.ref,
        effective_on=on,
    )


def versions_known(moment: str) -> str:
    """The changes of obligations as they were known at a moment, as a table of a query.

    Those of the latest edition by then. `moment` is a parameter of the query, null for now. Its columns are those of
    `obligation_version`.
    """
    return f"""(
        select t.* from obligation_terms t
        where t.segment = 1 and t.version > 1 and t.edition = (
            select max(l.edition) from obligation_terms l join document e on e.customer_id in (l.customer_id, 0) and e.document_id = l.edition_by
            where l.customer_id = t.customer_id and l.subject = t.subject
              and (cast(:{moment} as timestamptz) is null or e.posted_at <= :{moment})))"""
