"""Progress: how far an obligation is satisfied.

In percent, by units delivered, or milestone by milestone.
"""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import Connection, text

from ledger.amounts.money import to_decimal, to_minor
from ledger.errors import Refused, UnknownReference
from ledger.journal.books import Books
from ledger.journal.movements import Source
from ledger.wallets.session import Wallets
from revrec.documents.contracts import ContractObligation
from revrec.documents.progress import Progress
from revrec.terms import editions, plans
from revrec.terms.versions import Standing, find_contract, standing_of


def worths(item: ContractObligation, currency: str, field: str) -> dict[str, int]:
    """What each milestone of an obligation is worth, in minor units. Raises InvalidDocument for a fraction of one."""
    return {
        milestone.id: to_minor(milestone.amount, currency, f"{field}.milestones.{index}.amount")
        for index, milestone in enumerate(item.milestones or ())
    }


def add_milestones(books: Books, source: Source, subject: str, milestones: dict[str, int]) -> None:
    """Gather the milestones of an obligation as a document agrees them."""
    for ref, amount in milestones.items():
        books.add_row(
            "milestone",
            customer_id=source.customer.customer_id,
            document_id=source.document_id,
            subject=subject,
            milestone=ref,
            amount_minor=amount,
        )


def require_reached(
    books: Books, source: Source, standing: Standing, item: ContractObligation, index: int
) -> dict[str, int]:
    """The milestones a modification leaves an obligation.

    Raises Refused where it drops or revalues one that was reached, or turns milestones into units.
    """
    agreed = _agreed(books.connection, source.customer.customer_id, standing.subject)
    given = worths(item, source.currency, f"obligations.{index}")
    if not agreed and not given:
        return given
    reached = books.connection.scalars(
        text("select milestone from progress where customer_id = :customer_id and subject = :subject "
             "and milestone is not null order by effective_on, document_id"),
        {"customer_id": source.customer.customer_id, "subject": standing.subject},
    )  # fmt: skip
    field = f"obligations.{index}.milestones"
    if bool(agreed) != bool(given):
        raise Refused(
            field, len(given), f"expected {'the' if agreed else 'no'} milestones, as agreed before: promise it anew"
        )
    for ref in reached:
        if given.get(ref) != agreed[ref]:
            worth = to_decimal(agreed[ref], source.currency)
            raise Refused(field, ref, f"expected it among them with {worth}: it was reached")
    return given


def post_progress(wallets: Wallets, doc: Progress, document_id: int) -> int:
    """Take progress in. Raises Refused beyond an obligation's quantity, or for one that progress does not measure."""
    books = wallets.books
    books.flush()
    contract = find_contract(books, _contract_of(books, doc))
    source = contract.source(books, document_id, doc.date)
    standing = standing_of(books, contract, doc.obligation)
    assert standing is not None, "found just before"
    changed = standing.subject in editions.touched(books, contract.customer_id)
    if standing.pattern != "progress":
        raise Refused("obligation", doc.obligation, f"expected one of pattern progress, found {standing.pattern}")
    quantity = doc.quantity
    milestones = _agreed(books.connection, contract.customer_id, standing.subject)
    if milestones or doc.milestone is not None:
        quantity = _require_milestone(books, source, doc, standing, milestones)
    elif doc.quantity is not None:
        _require_quantity(books, source, doc, standing)
    elif standing.quantity is not None:
        raise Refused("percent", doc.percent, f"expected a quantity, of the {standing.quantity} agreed")
    if doc.percent is not None and doc.reestimated is None:
        _require_not_falling(books, source, doc, standing)
    books.add_row(
        "progress",
        customer_id=contract.customer_id,
        document_id=document_id,
        subject=standing.subject,
        effective_on=doc.date,
        quantity=quantity,
        percent=doc.percent,
        milestone=doc.milestone,
    )
    if changed:  # what was given by the day of a change says what was left of it
        plans.refold(books, contract.party, [standing.subject], document_id)
    return contract.customer_id


def _contract_of(books: Books, doc: Progress) -> str:
    """The contract whose obligation it is, of the entities that who posts may post for. Raises where there is none, or several have it and none is named."""
    found = books.connection.scalars(
        text(
            "select t.ref from obligation o join contract t using (customer_id, contract_id)"
            " where o.ref = :ref and (cast(:contract as text) is null or t.ref = :contract)"
            " and (cast(:entities as text[]) is null or t.entity = any(:entities)) order by t.ref"
        ),
        {"ref": doc.obligation, "contract": doc.contract, "entities": books.entities and sorted(books.entities)},
    ).all()
    if not found:
        of = "a contract" if doc.contract is None else f"contract {doc.contract}"
        raise UnknownReference("obligation", doc.obligation, f"expected the id of an obligation of {of}")
    if len(found) > 1:
        raise Refused(
            "contract", "missing", f"expected one of {', '.join(found)}: each has an obligation {doc.obligation}"
        )
    return str(found[0])


def _agreed(connection: Connection, customer_id: int, subject: str) -> dict[str, int]:
    """The milestones of an obligation as last agreed, and what each is worth.

    None where it has none.
    """
    rows = connection.execute(
        text(
            "select milestone, amount_minor from milestone where customer_id = :customer_id and subject = :subject "
            "and document_id = (select max(document_id) from milestone where customer_id = :customer_id and subject = :subject)"
        ),
        {"customer_id": customer_id, "subject": subject},
    )
    return {row.milestone: row.amount_minor for row in rows}


def _require_milestone(
    books: Books, source: Source, doc: Progress, standing: Standing, milestones: dict[str, int]
) -> Decimal:
    """What reaching a milestone is worth. Raises Refused for one that is not agreed, or was reached before."""
    if doc.milestone is None:
        given = "percent" if doc.quantity is None else "quantity"
        raise Refused(given, doc.percent or doc.quantity or 0, f"expected a milestone of {doc.obligation}")
    if doc.milestone not in milestones:
        known = ", ".join(sorted(milestones)) or "none is agreed"
        raise Refused("milestone", doc.milestone, f"expected a milestone of {doc.obligation}: {known}")
    reached_on = books.connection.scalar(
        text("select effective_on from progress where customer_id = :customer_id and subject = :subject and milestone = :ref"),
        {"customer_id": source.customer.customer_id, "subject": standing.subject, "ref": doc.milestone},
    )  # fmt: skip
    if reached_on is not None:
        raise Refused("milestone", doc.milestone, f"expected one that is not reached yet: this was on {reached_on}")
    return to_decimal(milestones[doc.milestone], source.currency)


def _require_not_falling(books: Books, source: Source, doc: Progress, standing: Standing) -> None:
    """Raise Refused for less progress than was reported.

    Of the obligation as it was last modified.
    """
    before: Decimal | None = books.connection.scalar(
        text(
            "select percent from progress where customer_id = :customer_id and subject = :subject and effective_on <= :on"
            " and effective_on >= coalesce((select max(v.from_day) from obligation_version v where v.customer_id = :customer_id"
            "  and v.subject = :subject and v.from_day <= :on), effective_on) and percent is not null "
            "order by effective_on desc, document_id desc limit 1"
        ),
        {
            "customer_id": source.customer.customer_id, "subject": standing.subject, "on": doc.date,
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
