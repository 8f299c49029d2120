"""Versions of obligations: what each was agreed to be, from which day on. Nothing is overwritten: every version stays.

Whatever changes an obligation (a modification, an estimate, a renewal, a termination) reads how it stands here, and
gathers its next version here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from ledger.books import Books, Source
from ledger.errors import Refused, UnknownReference
from ledger.money import allocate

# How a version counts after which nothing of an obligation can change: it ended, or will when its notice is over; or it is what
# leaving cost.
ENDED = ("cancelled", "terminated", "penalty")


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

    def source(self, books: Books, document_id: int, on: date) -> Source:
        """What a document about it posts for."""
        return books.source(document_id, self.customer, self.entity, self.currency, on)


@dataclass(frozen=True, slots=True)
class Standing:
    """An obligation as its last version has it. `refund` is what of its bills is expected to be given back."""

    subject: str
    product: str
    pattern: str
    version: int
    last_change: date | None
    starts_on: date
    ends_on: date | None
    quantity: Decimal | None
    percent: bool
    ssp: int | None
    price: int
    base: int
    done_before: Decimal
    refund: int
    treatment: str

    @property
    def ref(self) -> str:
        """Its id."""
        return self.subject.removeprefix("obligation:")

    @property
    def ended(self) -> bool:
        """Whether nothing of it can change any more."""
        return self.treatment in ENDED


def find_contract(books: Books, ref: str, on: date | None = None, field: str = "contract") -> Agreed:
    """A contract by its id, for a document dated `on`; what was gathered is written first, so that it can be read.

    Raises UnknownReference, or Refused for a day before it was signed.
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
    if on is not None and on < row.signed_on:
        raise Refused("date", on, f"expected {row.signed_on}, when the contract was signed, or later")
    return Agreed(*row)


_STANDING = """
    select 'obligation:' || o.ref as subject, o.product, coalesce(v.pattern, o.pattern) as pattern,
           coalesce(v.version, 1) as version, v.from_day as last_change,
           coalesce(v.starts_on, o.starts_on) as starts_on,
           case when v.version is null then o.ends_on else v.ends_on end as ends_on,
           case when v.version is null then o.quantity else v.quantity end as quantity,
           exists (select from progress p where p.customer_id = o.customer_id and p.subject = 'obligation:' || o.ref
                   and p.percent is not null) as percent,
           o.ssp_minor as ssp, coalesce(v.price_minor, o.price_minor) as price, coalesce(v.base_minor, 0) as base,
           coalesce(v.done_before, 0) as done_before, coalesce(v.refund_minor, 0) as refund,
           coalesce(v.treatment, o.treatment, '') as treatment
    from obligation o
    left join lateral (
        select * from obligation_version v where v.customer_id = o.customer_id and v.subject = 'obligation:' || o.ref
        order by version desc limit 1
    ) v on true
    where o.customer_id = :customer_id and o.contract_id = :contract_id"""


def standing_of(books: Books, contract: Agreed, ref: str) -> Standing | None:
    """An obligation of a contract as its last version has it, or None where the contract has none of that id."""
    row = books.connection.execute(
        text(f"{_STANDING} and o.ref = :ref"),
        {"customer_id": contract.customer_id, "contract_id": contract.contract_id, "ref": ref},
    ).first()
    return None if row is None else Standing(*row)


def all_standing(connection: Connection, contract: Agreed) -> list[Standing]:
    """Every obligation of a contract as its last version has it, by id."""
    rows = connection.execute(
        text(f"{_STANDING} order by o.ref"),
        {"customer_id": contract.customer_id, "contract_id": contract.contract_id},
    )
    return [Standing(*row) for row in rows]


def going_on(connection: Connection, contract: Agreed) -> list[Standing]:
    """A contract's obligations that have not ended and have prices of their own, by id."""
    return [
        standing
        for standing in all_standing(connection, contract)
        if not standing.ended and standing.pattern != "usage"
    ]


def sharing(
    connection: Connection, contract: Agreed, about: Sequence[str] | None, *, rebate: bool = False
) -> list[tuple[Standing, int]]:
    """What a change of a contract's price falls on, with the weight of each: the obligations it is about, or all that go on.

    By stand-alone prices where all have one, else by prices; a `rebate` may be about one obligation of usage. Raises UnknownReference for one that does not go on, Refused
    where nothing has a price.
    """
    found = going_on(connection, contract)
    if about is not None and rebate and len(about) == 1:
        found += [
            standing
            for standing in all_standing(connection, contract)
            if standing.pattern == "usage" and standing.ref == about[0] and not standing.ended
        ]
    if about is not None:
        known = {standing.ref: standing for standing in found}
        for index, ref in enumerate(about):
            if ref not in known:
                raise UnknownReference(
                    f"obligations.{index}", ref, f"expected an obligation of {contract.ref} that goes on"
                )
        found = [known[ref] for ref in dict.fromkeys(about)]
        if len(found) == 1:
            return [(found[0], 1)]
    by_ssp = all(standing.ssp is not None for standing in found)
    weighted = [(standing, (standing.ssp or 0) if by_ssp else standing.price) for standing in found]
    if not any(weight for _, weight in weighted):
        raise Refused(
            "contract", contract.ref, "expected obligations with prices to allocate to, or the one it is about"
        )
    return weighted


def spread(amount: int, weights: Sequence[int]) -> list[int]:
    """An amount over weights, summing exactly; below zero as above."""
    parts = allocate(abs(amount), weights)
    return parts if amount >= 0 else [-part for part in parts]


def require_later(on: date, standing: Standing) -> None:
    """Raise Refused for a change dated before the obligation's last one."""
    if standing.last_change is not None and on < standing.last_change:
        raise Refused("date", on, f"expected {standing.last_change}, when {standing.ref} last changed, or later")


def add_version(
    books: Books, source: Source, on: date, standing: Standing, treatment: str, reason: str, **changed: object
) -> None:
    """Gather an obligation's next version: as it stands, but for what is `changed`, by column."""
    books.add_row(
        "obligation_version",
        **{
            "customer_id": source.customer.customer_id,
            "subject": standing.subject,
            "version": standing.version + 1,
            "document_id": source.document_id,
            "from_day": on,
            "treatment": treatment,
            "reason": reason,
            "price_minor": standing.price,
            "base_minor": standing.base,
            "pattern": standing.pattern,
            "starts_on": standing.starts_on,
            "ends_on": standing.ends_on,
            "quantity": standing.quantity,
            "done_before": standing.done_before,
            "refund_minor": standing.refund,
            **changed,
        },
    )


def add_price(
    books: Books, source: Source, on: date, standing: Standing, change: int, reason: str, refund: int = 0
) -> None:
    """Gather that an obligation's price changes from a day on and nothing else does: a change of the transaction price.

    What of it was given already is earned at once (606-10-32-43), within its last modification (32-45). `refund` is by how
    much more is expected to be given back of what is billed.
    """
    add_version(
        books, source, on, standing, "price", reason, price_minor=standing.price + change,
        refund_minor=standing.refund + refund,
    )  # fmt: skip


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
