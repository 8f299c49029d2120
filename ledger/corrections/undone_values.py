"""What a document posted, and what what undoes it counts for then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import text

from ledger.amounts.money import share
from ledger.corrections.taken import EVENTS, Undone
from ledger.journal.books import Books
from ledger.journal.currencies import clearing_subject, read_clearing
from ledger.journal.movements import Movement, Source

# The rule by which whatever gives money back takes its taxable base.
TAX_BASE = "credit.tax_base"


def worth_as(movement: Movement, posted: tuple[int, int] | None) -> Movement:
    """A movement that counts for what the posting it undoes counted for, where that is known."""
    if posted is None or not posted[0] or not movement.amount:
        return movement
    amount, functional = posted
    return replace(movement, functional=share(functional, movement.amount, amount))


@dataclass(slots=True)
class Posted:
    """What a document posted by each rule, as `posted_by` says it, and what of it was not taken back yet."""

    whole: Mapping[tuple[str, ...], tuple[int, int]]
    left: dict[tuple[str, ...], tuple[int, int]]

    @classmethod
    def of(cls, books: Books, source: Source, of: Undone, undoes: int, event: str) -> Posted:
        """What is undone had posted, less what documents took back by the rules of an event that undid some of it before."""
        customer_id = source.customer.customer_id
        whole = posted_by(books, customer_id, of.document_id)
        left = dict(whole)
        before = books.connection.execute(
            text(
                # of a document that undid several, so much of each as of its money
                "with by_ as (select document_id, sum(paid_minor) filter (where undoes = :undoes) as own, sum(paid_minor) as every from money_use"
                "  where customer_id = :customer_id and undoes <> 0 and document_id in (select u.document_id from money_use u"
                "   where u.customer_id = :customer_id and u.undoes = :undoes) group by 1)"
                " select r.code, a.subject, a.entity, a.currency, sum(p.amount * by_.own / by_.every)::bigint as amount,"
                " sum(p.functional_amount * by_.own / by_.every)::bigint as functional from by_"
                " join entry e on e.customer_id = :customer_id and e.document_id = by_.document_id"
                " join posting p on p.customer_id = e.customer_id and p.entry_id = e.entry_id join rule r on r.number = p.rule"
                " join account a on a.customer_id = p.customer_id and a.account_id = p.credit_account"
                " where p.amount > 0 and by_.every > 0 and r.code like :rules group by 1, 2, 3, 4"
            ),
            {"customer_id": customer_id, "undoes": undoes, "rules": f"{event}.%"},
        )
        for code, subject, entity, currency, amount, functional in before:
            what = code.removeprefix(event)
            of_exchange = clearing_subject(*_exchanged_between(subject)) if what == ".exchanged" else subject
            taken = TAX_BASE if what == ".tax_base" else f"{of.kind}{what}"
            place = (taken, of_exchange, entity, currency)
            if place in left:
                left[place] = left[place][0] - amount, left[place][1] - functional
        return cls(whole, left)

    @classmethod
    def brought(cls, books: Books, source: Source, kind: str, by: int) -> Posted:
        """What a document posted as it undid refunds, or lost disputes, by their own rules."""
        event = EVENTS[kind]
        rows = books.connection.execute(
            text(
                "select r.code, a.subject, a.entity, a.currency, sum(p.amount)::bigint as amount, sum(p.functional_amount)::bigint as functional"
                " from entry e join posting p using (customer_id, entry_id) join rule r on r.number = p.rule and r.code like :rules"
                " join account a on a.customer_id = p.customer_id and a.account_id = p.credit_account"
                " where e.customer_id = :customer_id and e.document_id = :by and p.amount > 0 group by 1, 2, 3, 4"
            ),
            {"customer_id": source.customer.customer_id, "by": by, "rules": f"{event}.%"},
        )
        whole: dict[tuple[str, ...], tuple[int, int]] = {
            (row.code.replace(event, kind, 1), row.subject, row.entity, row.currency): (row.amount, row.functional)
            for row in rows
        }
        return cls(whole, dict(whole))

    def valued(self, movement: Movement, place: tuple[str, ...]) -> Movement:
        """A movement that counts for what of the posting it undoes is left, so that all of it comes to all that counted for.

        What is made up otherwise by now than it was, of what else was posted of the same: what was given by then, and what is to come.
        """
        code, *where = place
        kind, what = code.split(".", 1)
        over = "_exchanged" * what.endswith("_exchanged")
        alike = [f"{kind}.{other}{over}" for other in _OF_TERMS] if what.removesuffix(over) in _OF_TERMS else []
        places = [of for of in dict.fromkeys([place, *((other, *where) for other in alike)]) if of in self.whole]
        if not places or not movement.amount:
            return movement
        counted, rest = 0, movement.amount
        for of in places:
            amount, functional = self.left[of]
            part = min(amount, rest)
            if part > 0:
                whole, counts = self.whole[of]
                # cumulatively, as the cash is that it is the other side of
                of_part = share(counts, whole - amount + part, whole) - (counts - functional)
                self.left[of] = amount - part, functional - of_part
                counted, rest = counted + of_part, rest - part
        amount, functional = self.whole[places[0]]
        if rest and amount:
            counted += share(functional, rest, amount)
        return replace(movement, functional=counted)


# How what is given back of an obligation is made up: of what was given by then, and what is to come.
_OF_TERMS = ("earned", "unbilled", "deferred")


def _exchanged_between(subject: str) -> tuple[str, str]:
    """The two currencies that a clearing account is about."""
    into, _ = read_clearing(subject)
    return subject.rpartition(">")[0].removeprefix("currency:"), into


def posted_by(books: Books, customer_id: int, document_id: int) -> dict[tuple[str, ...], tuple[int, int]]:
    """What a document moved by each rule into accounts of each subject, by entity and currency; and what it counted for."""
    rows = books.connection.execute(
        text(
            "select r.code, a.subject, a.entity, a.currency, sum(p.amount)::bigint as amount, sum(p.functional_amount)::bigint as functional from entry e"
            " join posting p using (customer_id, entry_id) join rule r on r.number = p.rule"
            " join account a on a.customer_id = p.customer_id and a.account_id = p.debit_account"
            " where e.customer_id = :customer_id and e.document_id = :document_id and p.amount > 0 group by 1, 2, 3, 4"
        ),
        {"customer_id": customer_id, "document_id": document_id},
    )
    return {tuple(row[:4]): (row.amount, row.functional) for row in rows}
