"""Disputes: money that is held back, lost, or won after all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import text

from ledger.amounts.money import to_minor
from ledger.cash import payers
from ledger.cash.fees import returned_of_dispute
from ledger.cash.money_accounts import cash_of
from ledger.corrections.giving_back import decide_lines, leave_invoices
from ledger.corrections.held_money import (
    Payment,
    find_payment,
    leave_balances,
    require_at_most,
    require_not_before,
    stand_together,
    with_what_stays,
)
from ledger.corrections.taken import Undone
from ledger.corrections.undoing import undo
from ledger.corrections.write_offs import within_reach
from ledger.documents import models
from ledger.errors import Refused, UnknownReference
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.movements import AccountKey, Movement, Source, Undoing
from ledger.obligations import Obligations
from ledger.payments.payments import money_subject
from ledger.wallets.session import Wallets


def post_dispute(wallets: Wallets, doc: models.Dispute, document_id: int, obligations: Obligations) -> int:
    """A chargeback opened, won or lost; while it is open the money is disputed funds and the schedule runs on.

    One that was lost and is won after all puts back what the loss took.
    """
    payment = find_payment(wallets, document_id, doc.money, doc.date, disputed=doc.status == "lost")
    books, source = wallets.books, payment.source
    amount = to_minor(doc.amount, source.currency)
    require_not_before(doc.date, payment.paid_on, f"when {payment.name} came in")
    if doc.status == "lost":
        stand_together(books, payment.settled)
    day = books.days.open_day(source, doc.date)
    subject = money_subject(payment.field, payment.ref)
    rail = cash_of(books, source.entity, source.currency, doc.account, payment.cash)
    key = AccountKey(source.entity, "disputed_funds", source.currency, subject)
    disputed = max(available(books.history(source.customer.customer_id, key), day), 0)
    fee = 0 if doc.fee is None else to_minor(doc.fee, source.currency, "fee")
    movements = [Movement("payment.fee", fee, rail, rail)]
    if doc.status == "opened":
        require_at_most(amount, payment.left, source.currency, f"what is left of {payment.name} on {doc.date}")
        movements.append(Movement("dispute.opened", amount, subject, rail))
        books.post(source, doc.date, movements)
        return source.customer.customer_id
    known = _disputes_of(books, source, doc)
    if doc.opening is not None:
        disputed = min(disputed, known.open_of(doc.opening))
    if doc.status == "reinstated" or (doc.status == "won" and not disputed and known.lost(doc.opening)):
        undone = _lost_before(books, payment, doc, amount, known)
        movements += returned_of_dispute(books, source, doc, rail, fee)
        books.post(source, doc.date, movements)
        _reinstate(wallets, source, doc, known, undone, rail, obligations)
        return source.customer.customer_id
    if not disputed:
        raise Refused(
            payment.field if doc.opening is None else "opening",
            payment.ref if doc.opening is None else doc.opening,
            f"expected one of which something is disputed on {day}{known.told()}",
        )
    require_at_most(amount, disputed, source.currency, f"what of {payment.name} is disputed on {day}")
    if doc.status == "won":
        movements += returned_of_dispute(books, source, doc, rail, fee)
        books.post(source, doc.date, movements)
        won = Movement("dispute.won", amount, rail, subject)
        books.post(source, doc.date, [won], known.returned(doc.opening, amount))
        return source.customer.customer_id
    _lose(wallets, payment, doc, amount, movements, obligations)
    return source.customer.customer_id


def _reinstate(
    wallets: Wallets,
    source: Source,
    doc: models.Dispute,
    known: _Disputed,
    undone: list[Undone],
    rail: str,
    obligations: Obligations,
) -> None:
    """Put back what losses took, of the disputes that each part of it was opened by."""
    reached = 0
    for place, of in enumerate(undone):
        part = of.points[1] - of.points[0]
        undone[place] = replace(of, openings=known.returned(doc.opening, part, reached))
        reached += part
    undo(wallets, source, doc.id, undone, doc.date, rail, obligations)


def _lose(
    wallets: Wallets,
    payment: Payment,
    doc: models.Dispute,
    amount: int,
    movements: Sequence[Movement],
    obligations: Obligations,
) -> None:
    """Take what is lost off the invoices that the payment settled, and off what of it was unapplied."""
    payment = with_what_stays(wallets, payment, amount, doc.date)
    # what the payment settled is lost first, then what of it was unapplied
    plan = within_reach(wallets, payment, amount, doc.date)
    left = amount - sum(piece.paid for _, _, piece in plan)
    freed = leave_balances(wallets.books, payment, left, doc.date)
    there = sum(item.piece.paid for _, item in freed)
    of_it = f"what of {payment.name} lies on invoices, or unapplied with the customer, on {doc.date} and stays there"
    require_at_most(amount, amount - left + there, payment.source.currency, of_it)
    going = decide_lines(wallets, payment, doc.id, doc.date, "dispute", freed, plan, obligations)
    leave_invoices(wallets, payment, doc.date, "dispute", money_subject(payment.field, payment.ref), going, movements)


@dataclass(frozen=True, slots=True)
class _Disputed:
    """The disputes of a payment in the books, in the order of their dates."""

    rows: Sequence[Any]
    currency: str

    def _named(self, opening: str, *status: str) -> int:
        return sum(self._amount(row) for row in self.rows if row.opening == opening and row.outcome in status)

    def _closed(self, opening: str) -> int:
        """What of a dispute documents that name it won, or lost: what of it came back had been lost, said of it or not."""
        return self._named(opening, "won") + max(self._named(opening, "lost"), self._named(opening, "reinstated"))

    def _of(self, opening: str, *, first: bool) -> dict[int, int]:
        """What of each document that names no dispute is of one: as much as can be, or as little as must be, as others were opened by then."""
        opened = {row.ref: row for row in self.rows if row.status == "opened"}
        there = {ref: max(self._amount(row) - self._closed(ref), 0) for ref, row in opened.items()}
        # what came back of a dispute by its name, and was lost without it
        told = {ref: max(self._named(ref, "reinstated") - self._named(ref, "lost"), 0) for ref in opened}
        found: dict[int, int] = {}
        for row in self.rows:
            if row.opening is not None or row.outcome not in ("won", "lost"):
                continue
            left = self._amount(row)
            known = {ref for ref, of in opened.items() if of.dated_on <= row.dated_on}
            for ref in sorted(known, key=lambda ref: ref != opening):
                part = min(left, told[ref]) if row.outcome == "lost" else 0
                told[ref] -= part
                left -= part
                found[row.document_id] = found.get(row.document_id, 0) + part * (ref == opening)
            for ref in sorted(known, key=lambda ref: (ref == opening) != first):
                part = min(left, there[ref])
                there[ref] -= part
                left -= part
                found[row.document_id] += part * (ref == opening)
        return found

    def open_of(self, opening: str) -> int:
        """What of a dispute can be open. Raises UnknownReference for one that is none of the payment's."""
        own = next((row for row in self.rows if row.ref == opening and row.status == "opened"), None)
        if own is None:
            raise UnknownReference("opening", opening, "expected the id of a dispute of this payment that was opened")
        told = max(self._named(opening, "reinstated") - self._named(opening, "lost"), 0)
        others = max(sum(self._of(opening, first=False).values()) - told, 0)
        return max(self._amount(own) - self._closed(opening) - others, 0)

    def lost(self, opening: str | None) -> list[tuple[Any, int]]:
        """Those that were lost, with what of each is of the dispute that was opened by a document, or of any."""
        lost = [row for row in self.rows if row.outcome == "lost"]
        if opening is None:
            return [(row, self._amount(row)) for row in lost]
        most = self._of(opening, first=True)
        named = [(row, self._amount(row)) for row in lost if row.opening == opening]
        return named + [(row, most[row.document_id]) for row in lost if most.get(row.document_id)]

    def came_back(self, opening: str | None) -> int:
        """What came back of what was lost of a dispute, by documents that name it."""
        return 0 if opening is None else self._named(opening, "reinstated")

    def returned(self, opening: str | None, amount: int, before: int = 0) -> Undoing:
        """That an amount comes back of what was let go when disputes were opened; those that one is of, where it says so.

        `before` came back before by the document itself.
        """
        openings = [row for row in self.rows if row.status == "opened" and opening in (None, row.ref)]
        of = [row for row in self.rows if opening in (None, row.opening)]
        lost = sum(self._amount(row) for row in of if row.status == "lost")
        back = sum(self._amount(row) for row in of if row.status in ("won", "reinstated")) + before
        documents = tuple(row.document_id for row in openings)
        whole = max(sum(self._amount(row) for row in openings), lost, back + amount)
        return Undoing(documents, whole, (back, back + amount))

    def _amount(self, row: Any) -> int:
        return to_minor(models.decimal_of(row.amount), self.currency)

    def told(self) -> str:
        """What became of them by now, as words to follow that nothing is disputed."""
        told = ", ".join(f"{row.ref} was {row.status} on {row.dated_on}" for row in self.rows)
        return f": {told}" if told else ", opened before"


def _disputes_of(books: Books, source: Source, doc: models.Dispute) -> _Disputed:
    books.flush()
    rows = books.connection.execute(
        text(
            "select document_id, ref, dated_on, status, amount, opening,"
            # one that was won after it was lost took nothing out of disputed funds
            " case when status = 'won' and not exists (select from entry e join posting p using (customer_id, entry_id)"
            "   join rule r on r.number = p.rule and r.code = 'dispute.won' where e.customer_id = x.customer_id and e.document_id = x.document_id)"
            "  then 'reinstated' else status end as outcome from ("
            "  select customer_id, document_id, ref, dated_on, body::json ->> 'status' as status, body::json ->> 'amount' as amount,"
            "   body::json ->> 'opening' as opening from document where customer_id = :customer_id"
            "   and type = 'dispute' and body::json ->> :named = :ref) x order by dated_on, document_id"
        ),
        {"customer_id": source.customer.customer_id, "named": doc.money[0], "ref": doc.money[1]},
    ).all()
    return _Disputed(rows, source.currency)


def _lost_before(books: Books, payment: Payment, doc: models.Dispute, amount: int, known: _Disputed) -> list[Undone]:
    """The lost disputes that are won after all: one of which just so much did not come back yet, one that is large enough, else several."""
    source = payment.source
    found = []
    lost = known.lost(doc.opening)
    for row, most in lost:
        whole = to_minor(models.decimal_of(row.amount), source.currency)
        before = payers.undone_of(books, source, row.document_id, payment.document_id)
        if row.dated_on <= doc.date and before < whole:
            points = (before, min(before + most, whole))
            found.append(Undone(row.document_id, "dispute", payment.document_id, whole, points))
    most = min(
        sum(of.points[1] - of.points[0] for of in found),
        max(sum(most for _, most in lost) - known.came_back(doc.opening), 0),
    )
    require_at_most(
        amount,
        most,
        source.currency,
        f"what of a dispute of {payment.name} was lost by {doc.date} and did not come back",
    )
    found.sort(key=lambda of: (of.points[1] - of.points[0] != amount, of.points[1] - of.points[0] < amount))
    undone = []
    for of in found:
        before, reach = of.points
        part = min(reach - before, amount)
        if part:
            undone.append(replace(of, points=(before, before + part)))
            amount -= part
    return undone
