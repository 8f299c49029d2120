"""Contract modifications and progress: what an obligation becomes from a day on; every version before stays.

A modification is separate, prospective or a catch-up (606-10-25-12 and 25-13), obligation by obligation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from ledger.books import Books, Source
from ledger.errors import Refused, UnknownReference
from ledger.money import to_minor, to_text, within_limit
from ledger.receivables import obligation_subject
from ledger.wallets import Wallets
from revrec.contracts import NewObligation, add_obligation, new_obligation
from revrec.documents import ContractModification, ContractObligation, Progress
from revrec.recognition import price_and_earned


@dataclass(frozen=True, slots=True)
class Standing:
    """An obligation as it stands before a modification."""

    subject: str
    product: str
    pattern: str
    version: int
    last_change: date | None
    starts_on: date
    ends_on: date | None
    quantity: Decimal | None
    percent: bool
    price: int
    base: int
    done_before: Decimal
    cancelled: bool


@dataclass(frozen=True, slots=True)
class _Change:
    """What a modification makes of an obligation, and why it counts so."""

    standing: Standing
    treatment: str
    reason: str
    price: int
    base: int
    item: ContractObligation | None
    done_before: Decimal


def post_modification(wallets: Wallets, doc: ContractModification, document_id: int) -> int:
    """Take a modification in. Nothing is posted by it: the next recognition runs by the new terms."""
    books = wallets.books
    books.flush()
    contract: Any = books.connection.execute(
        text(
            "select k.customer_id, k.document_id, c.ref as customer, t.entity, t.currency, t.signed_on,"
            " t.receivable "
            "from document_key k join contract t on t.customer_id = k.customer_id and t.contract_id = k.document_id "
            "join customer c on c.customer_id = k.customer_id where k.type = 'contract' and k.ref = :ref"
        ),
        {"ref": doc.contract},
    ).first()
    if contract is None:
        raise UnknownReference("contract", doc.contract, "expected the id of a contract posted before")
    if doc.date < contract.signed_on:
        raise Refused("date", doc.date, f"expected {contract.signed_on}, when the contract was signed, or later")
    source = books.source(document_id, contract.customer, contract.entity, contract.currency, doc.date)
    changes: list[_Change] = []
    added: list[tuple[NewObligation, int]] = []
    for index, item in enumerate(doc.obligations):
        standing = standing_of(books, contract.customer_id, contract.document_id, item.id)
        price = 0 if item.price is None else to_minor(item.price, source.currency, f"obligations.{index}.price")
        within_limit(price, source.currency, f"obligations.{index}.price")
        if standing is None:
            added.append((new_obligation(books, source, index, item), price))
        else:
            changes.append(_changed(books, source, doc, index, item, standing, price))
    for ref in doc.cancel:
        standing = standing_of(books, contract.customer_id, contract.document_id, ref)
        if standing is None:
            raise UnknownReference("cancel", ref, f"expected the id of an obligation of contract {doc.contract}")
        changes.append(_cancelled(books, source, doc, standing))
    books.add_row(
        "contract_modification",
        customer_id=contract.customer_id,
        document_id=document_id,
        ref=doc.id,
        contract=doc.contract,
        effective_on=doc.date,
    )
    for new, price in added:
        add_obligation(books, source, contract.document_id, new, price, doc.date)
        books.remember("receivable", obligation_subject(new.item.id), contract.receivable)
    for change in changes:
        _add_version(books, source, doc.date, change)
    return int(contract.customer_id)


def standing_of(books: Books, customer_id: int, contract_id: int, ref: str) -> Standing | None:
    """An obligation of a contract as its last version has it, or None where the contract has none of that id."""
    row: Any = books.connection.execute(
        text(
            "select o.product, o.pattern, o.starts_on, o.ends_on, o.quantity, v.version, v.from_day,"
            " v.treatment, coalesce(v.price_minor, o.price_minor) as price, coalesce(v.base_minor, 0) as base,"
            " coalesce(v.done_before, 0) as done_before, v.pattern as v_pattern, v.starts_on as v_starts_on, v.ends_on as v_ends_on, v.quantity as v_quantity,"
            " exists (select from progress p where p.customer_id = o.customer_id and p.subject = :subject"
            "  and p.percent is not null) as percent "
            "from obligation o left join lateral (select * from obligation_version v"
            "  where v.customer_id = o.customer_id and v.subject = :subject order by version desc limit 1) v on true "
            "where o.customer_id = :customer_id and o.contract_id = :contract_id and o.ref = :ref"
        ),
        {
            "customer_id": customer_id,
            "contract_id": contract_id,
            "ref": ref,
            "subject": obligation_subject(ref),
        },
    ).first()
    if row is None:
        return None
    own = row.version is None
    return Standing(
        subject=obligation_subject(ref),
        product=row.product,
        pattern=row.pattern if own else row.v_pattern,
        version=1 if own else row.version,
        last_change=row.from_day,
        starts_on=row.starts_on if own else row.v_starts_on,
        ends_on=row.ends_on if own else row.v_ends_on,
        quantity=row.quantity if own else row.v_quantity,
        percent=row.percent,
        price=row.price,
        base=row.base,
        done_before=row.done_before,
        cancelled=row.treatment == "cancelled",
    )


def _changed(
    books: Books,
    source: Source,
    doc: ContractModification,
    index: int,
    item: ContractObligation,
    standing: Standing,
    price: int,
) -> _Change:
    """What a changed obligation becomes. Raises Refused where it can't be that."""
    field = f"obligations.{index}"
    if item.product != standing.product:
        raise Refused(f"{field}.product", item.product, f"expected {standing.product}, which {item.id} is of")
    if doc.treatment == "separate":
        raise Refused(
            "treatment", doc.treatment, f"expected only new obligations; {item.id} is one of the contract already"
        )
    require_later(doc.date, standing)
    if standing.cancelled:
        raise Refused(
            f"{field}.id",
            item.id,
            "expected an obligation that goes on; it is cancelled: promise it anew, by another id",
        )
    treatment, reason = (doc.treatment, "as the document says") if doc.treatment != "auto" else _decide(item)
    if treatment == "catch_up":
        return _Change(standing, treatment, reason, price, 0, item, Decimal(0))
    _, earned = price_and_earned(books.connection, source.customer.customer_id, standing.subject, doc.date)
    if item.end is not None and item.end < doc.date:
        raise Refused(f"{field}.end", item.end, f"expected {doc.date}, from when the change counts, or later")
    if abs(price) < abs(earned):
        raise Refused(
            f"{field}.price",
            item.price,
            f"expected at least {to_text(earned, source.currency)}, what is earned of it before {doc.date}",
        )
    done = _done(books, source, standing, doc.date - timedelta(days=1))
    return _Change(standing, treatment, reason, price, earned, item, done)


def _decide(item: ContractObligation) -> tuple[str, str]:
    """How a change of an obligation counts where the document leaves it open, and the reason in a sentence."""
    if item.pattern == "progress" and item.quantity is None:
        return "catch_up", (
            "what remains is not distinct from what was given: progress is measured on the whole (606-10-25-13(b))"
        )
    return "prospective", (
        "what remains is distinct from what was given: the rest of the price is earned over it (606-10-25-13(a))"
    )


def _cancelled(books: Books, source: Source, doc: ContractModification, standing: Standing) -> _Change:
    require_later(doc.date, standing)
    if standing.cancelled:
        raise Refused(
            "cancel", standing.subject.removeprefix("obligation:"), "expected an obligation that is not cancelled yet"
        )
    _, earned = price_and_earned(books.connection, source.customer.customer_id, standing.subject, doc.date)
    return _Change(
        standing, "cancelled", f"ends before {doc.date}: nothing more is promised", earned, earned, None, Decimal(0)
    )


def require_later(on: date, standing: Standing) -> None:
    """Raise Refused for a change dated before the obligation's last one."""
    if standing.last_change is not None and on < standing.last_change:
        ref = standing.subject.removeprefix("obligation:")
        raise Refused("date", on, f"expected {standing.last_change}, when {ref} last changed, or later")


def add_price(books: Books, source: Source, on: date, standing: Standing, change: int, reason: str) -> None:
    """Gather that an obligation's price changes from a day on and nothing else does: a change of the transaction price.

    What of it was given already is earned at once (606-10-32-43), within its last modification (32-45).
    """
    books.add_row(
        "obligation_version",
        customer_id=source.customer.customer_id,
        subject=standing.subject,
        version=standing.version + 1,
        document_id=source.document_id,
        from_day=on,
        treatment="price",
        reason=reason,
        price_minor=standing.price + change,
        base_minor=standing.base,
        pattern=standing.pattern,
        starts_on=standing.starts_on,
        ends_on=standing.ends_on,
        quantity=standing.quantity,
        done_before=standing.done_before,
    )


def _done(books: Books, source: Source, standing: Standing, through: date) -> Decimal:
    """Progress by a day: percent, or the quantity delivered."""
    if standing.pattern != "progress":
        return Decimal(0)
    row: Any = books.connection.execute(
        text(
            "select coalesce(sum(quantity), 0) as quantity, (array_agg(percent order by effective_on desc,"
            " document_id desc) filter (where percent is not null))[1] as percent from progress "
            "where customer_id = :customer_id and subject = :subject and effective_on <= :through"
        ),
        {"customer_id": source.customer.customer_id, "subject": standing.subject, "through": through},
    ).one()
    return Decimal(row.quantity if row.percent is None else row.percent)


def _add_version(books: Books, source: Source, on: date, change: _Change) -> None:
    standing, item = change.standing, change.item
    # What is earned before stays: by time, the rest is earned from the day on; by progress, with what comes after.
    starts_on = standing.starts_on if item is None else item.start
    if change.treatment == "prospective" and item is not None and item.pattern != "progress":
        starts_on = max(on, item.start)
    ends_on = standing.ends_on if item is None else item.end
    if item is not None and item.pattern == "point_in_time":
        starts_on = ends_on = item.start
    books.add_row(
        "obligation_version",
        customer_id=source.customer.customer_id,
        subject=standing.subject,
        version=standing.version + 1,
        document_id=source.document_id,
        from_day=on,
        treatment=change.treatment,
        reason=change.reason,
        price_minor=change.price,
        base_minor=change.base,
        pattern=standing.pattern if item is None else item.pattern,
        starts_on=starts_on,
        ends_on=ends_on,
        quantity=standing.quantity if item is None else item.quantity,
        done_before=change.done_before,
    )


def post_progress(wallets: Wallets, doc: Progress, document_id: int) -> int:
    """Take progress in. Raises Refused beyond an obligation's quantity, or for one that progress does not measure."""
    books = wallets.books
    books.flush()
    row: Any = books.connection.execute(
        text(
            "select o.customer_id, o.contract_id, c.ref as customer, t.entity, t.currency from obligation o "
            "join contract t using (customer_id, contract_id) join customer c using (customer_id) where o.ref = :ref"
        ),
        {"ref": doc.obligation},
    ).first()
    if row is None:
        raise UnknownReference("obligation", doc.obligation, "expected the id of an obligation of a contract")
    source = books.source(document_id, row.customer, row.entity, row.currency, doc.date)
    standing = standing_of(books, row.customer_id, row.contract_id, doc.obligation)
    assert standing is not None, "found just before"
    if standing.pattern != "progress":
        raise Refused("obligation", doc.obligation, f"expected one of pattern progress, found {standing.pattern}")
    if doc.quantity is not None:
        _require_quantity(books, source, doc, standing)
    elif standing.quantity is not None:
        raise Refused("percent", doc.percent, f"expected a quantity, of the {standing.quantity} agreed")
    if doc.percent is not None and doc.reestimated is None:
        _require_not_falling(books, source, doc, standing)
    books.add_row(
        "progress",
        customer_id=row.customer_id,
        document_id=document_id,
        subject=standing.subject,
        effective_on=doc.date,
        quantity=doc.quantity,
        percent=doc.percent,
    )
    return int(row.customer_id)


def _require_not_falling(books: Books, source: Source, doc: Progress, standing: Standing) -> None:
    """Raise Refused for less progress than was reported, of the obligation as it was last modified."""
    before: Decimal | None = books.connection.scalar(
        text(
            "select percent from progress where customer_id = :customer_id and subject = :subject and effective_on <= :on"
            " and effective_on >= coalesce(cast(:since as date), effective_on) and percent is not null "
            "order by effective_on desc, document_id desc limit 1"
        ),
        {
            "customer_id": source.customer.customer_id, "subject": standing.subject, "on": doc.date,
            "since": standing.last_change,
        },
    )  # fmt: skip
    if before is not None and doc.percent is not None and doc.percent < before:
        raise Refused(
            "percent",
            doc.percent,
            f"expected at least {before.normalize():f}, as reported before; or reestimated, with why it fell",
        )


def _require_quantity(books: Books, source: Source, doc: Progress, standing: Standing) -> None:
    assert doc.quantity is not None, "checked by the caller"
    if standing.quantity is None:
        raise Refused("quantity", doc.quantity, f"expected percent: no quantity is agreed of {doc.obligation}")
    delivered = books.connection.scalar(
        text("select coalesce(sum(quantity), 0) from progress where customer_id = :customer_id and subject = :subject"),
        {"customer_id": source.customer.customer_id, "subject": standing.subject},
    )
    left = standing.quantity - Decimal(delivered or 0)
    if doc.quantity > left:
        raise Refused("quantity", doc.quantity, f"expected at most {left.normalize():f}, what is not delivered yet")
