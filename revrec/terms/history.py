"""The history of what was promised, read from the books.

Of contracts, with those they are accounted for as one with, or of invoice lines that made obligations for themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from sqlalchemy import text

from ledger.journal.books import Books
from ledger.obligations import Correction
from revrec.terms import happened
from revrec.terms.changes.folded import Folded
from revrec.terms.changes.folding import fold
from revrec.terms.events import Bill, Combined, Corrected, Event, Modified, Promise, Taken, Terminated, Undone
from revrec.terms.terms import Curve, Progress
from revrec.terms.versions import Party


@dataclass(slots=True)
class History:
    """All that was promised by contracts or a line, and all that happened to it, as the books have it."""

    party: Party
    promises: list[Promise]
    events: list[Event] = field(default_factory=list)
    bills: list[Bill] = field(default_factory=list)
    progress: dict[str, list[Progress]] = field(default_factory=dict)
    # at what price each stands in the books, before its terms changed
    first_prices: dict[str, int] = field(default_factory=dict)
    contracts: dict[str, str] = field(default_factory=dict)
    # where events of a document under way are, that are not told by its day yet, with that
    under_way: list[tuple[int, date]] = field(default_factory=list)

    @property
    def subjects(self) -> list[str]:
        """Which obligations there are."""
        return [promise.subject for promise in self.promises] + [
            added.promise.subject for event in self.events if isinstance(event, Modified) for added in event.added
        ] + [event.penalty.subject for event in self.events if isinstance(event, Terminated) and event.penalty]  # fmt: skip

    def contract_of(self, subject: str) -> str:
        """Which contract an obligation is of."""
        return self.contracts.get(subject, "")

    def tell_days(self) -> None:
        """Tell what a document under way did by its day."""
        for place, day in self.under_way:
            event = self.events[place]
            assert isinstance(event, Corrected | Undone), "only these are of documents under way"
            self.events[place] = replace(event, on=day)
        self.under_way = []

    def folded(self, checked: int | None = None) -> Folded:
        """What became of it; of the document that is `checked`, what it can't be is refused."""
        return fold(self.promises, self.events, self.bills, self.progress, checked, self.party.currency)


_PARTY = """
    select o.customer_id, c.ref as customer, t.entity, t.currency, coalesce(t.package, t.ref) as package
    from obligation o join contract t using (customer_id, contract_id) join customer c on c.customer_id = o.customer_id
    where o.customer_id = :customer_id and o.ref = any(:refs)
    union
    select l.customer_id, c.ref, i.entity, i.currency, null
    from invoice_line l join invoice i using (customer_id, invoice_id) join customer c on c.customer_id = l.customer_id
    where l.customer_id = :customer_id and l.own_obligation and l.subject = any(:subjects)"""


def parties_of(books: Books, customer_id: int, subjects: Iterable[str]) -> dict[Party, list[str]]:
    """Obligations by what they are folded with: contracts of a package, or a line alone."""
    found: dict[Party, list[str]] = {}
    for subject in dict.fromkeys(subjects):
        ref = subject.removeprefix("obligation:")
        row = books.connection.execute(
            text(_PARTY), {"customer_id": customer_id, "refs": [ref], "subjects": [subject]}
        ).first()
        if row is not None:
            found.setdefault(Party(*row), []).append(subject)
    return found


def read(books: Books, party: Party, subjects: Sequence[str]) -> History:
    """The history of contracts, or of invoice lines: what was gathered is written first, so that it can be read."""
    books.flush()
    history = _of_contracts(books, party) if party.package is not None else _of_lines(books, party, subjects)
    _read_bills(books, history)
    return history


_PROMISED = """
    select 'obligation:' || o.ref as subject, t.ref as contract, o.product, o.pattern, o.starts_on, o.ends_on, o.quantity,
           o.price_minor, o.ssp_minor, coalesce(o.added_on, t.signed_on) as known_on, o.document_id, o.treatment, o.reason,
           o.renews, t.contract_id
    from obligation o join contract t using (customer_id, contract_id)
    where o.customer_id = :customer_id and coalesce(t.package, t.ref) = :package order by o.document_id, o.ref"""
_DOCUMENTS = """
    select d.document_id, d.type, d.ref, d.dated_on, d.body, x.contract
    from (select customer_id, document_id, contract from contract_modification
          union select customer_id, document_id, contract from variable_estimate) x
    join contract t on t.customer_id = x.customer_id and t.ref = x.contract
    join document d on d.customer_id = x.customer_id and d.document_id = x.document_id
    where x.customer_id = :customer_id and coalesce(t.package, t.ref) = :package order by d.document_id"""
# what a contract that was combined with others made of their prices stands in the first edition that says so
_COMBINED = """
    select distinct on (v.document_id, v.subject) v.document_id, v.subject, v.from_day, v.price_minor, v.reason, d.ref, d.dated_on
    from obligation_terms v join document d using (customer_id, document_id)
    where v.customer_id = :customer_id and v.subject = any(:subjects) and v.treatment = 'combined'
    order by v.document_id, v.subject, v.edition, v.segment"""
_RIGHTS = """
    select g.grant_id, g.ref, g.effective_on, g.contract, g.price_minor from credit_grant g
    join contract t on t.customer_id = g.customer_id and t.ref = g.contract
    where g.customer_id = :customer_id and coalesce(t.package, t.ref) = :package and g.kind in ('promotional', 'pilot')
      and g.price_minor > 0 and g.carried_from is null
      and exists (select from entry e join posting p using (customer_id, entry_id) join rule r on r.number = p.rule
                  where e.customer_id = g.customer_id and e.document_id = g.grant_id and r.code like 'grant.right%')"""
_PROGRESS = """
    select subject, effective_on, quantity, percent from progress
    where customer_id = :customer_id and subject = any(:subjects) order by document_id"""


def _of_contracts(books: Books, party: Party) -> History:
    place: dict[str, Any] = {"customer_id": party.customer_id, "package": party.package}
    history = History(party, [])
    added: dict[int, list[tuple[Promise, str | None]]] = defaultdict(list)
    for row in books.connection.execute(text(_PROMISED), place):
        promise = Promise(
            row.subject, row.contract, row.product, Curve(row.pattern, row.starts_on, row.ends_on, row.quantity),
            row.price_minor, row.ssp_minor, row.known_on, row.document_id, row.treatment or "", row.reason or "",
        )  # fmt: skip
        history.first_prices[row.subject] = row.price_minor
        history.contracts[row.subject] = row.contract
        if row.document_id == row.contract_id:
            history.promises.append(promise)
        else:
            added[row.document_id].append((promise, row.renews))
    subjects = [p.subject for p in history.promises] + [p.subject for items in added.values() for p, _ in items]
    place["subjects"] = subjects
    for row in books.connection.execute(text(_DOCUMENTS), place):
        history.events.append(happened.read(books, party.currency, row, added.get(row.document_id, [])))
    prices: dict[tuple[int, str, date, str], dict[str, tuple[date, int]]] = defaultdict(dict)
    for row in books.connection.execute(text(_COMBINED), place):
        prices[row.document_id, row.ref, row.dated_on, row.reason][row.subject] = (row.from_day, row.price_minor)
    for (document_id, ref, on, reason), of in prices.items():
        history.events.append(Combined(on, document_id, ref, of, reason))
    for row in books.connection.execute(text(_RIGHTS), place):
        history.events.append(right(row.effective_on, row.grant_id, row.ref, row.contract, row.price_minor))
    for row in books.connection.execute(text(_PROGRESS), place):
        history.progress.setdefault(row.subject, []).append(Progress(row.effective_on, row.quantity, row.percent))
    return history


def right(on: date, document_id: int, ref: str, contract: str, amount: int) -> Taken:
    """What free credits take of a contract's price."""
    reason = f"credits {ref} share the price, as a material right"
    return Taken(on, document_id, ref, contract, amount, None, reason, by_price=True)


_LINES = """
    select l.subject, coalesce(l.product, '') as product, l.pattern, l.starts_on, l.ends_on, l.amount_minor, i.issued_on, i.invoice_id
    from invoice_line l join invoice i using (customer_id, invoice_id)
    where l.customer_id = :customer_id and l.own_obligation and l.subject = any(:subjects)"""


def _of_lines(books: Books, party: Party, subjects: Sequence[str]) -> History:
    rows = books.connection.execute(text(_LINES), {"customer_id": party.customer_id, "subjects": list(subjects)})
    return History(party, [
        Promise(row.subject, "", row.product, Curve(row.pattern, row.starts_on, row.ends_on), row.amount_minor, None, row.issued_on,
                row.invoice_id, own=True)
        for row in rows
    ])  # fmt: skip


_BILLS = """
    select b.invoice_id, b.line, b.subject, coalesce(i.recorded_on, i.issued_on), b.amount_minor, b.starts_on, b.ends_on, i.ref
    from obligation_bill b join invoice i using (customer_id, invoice_id)
    where b.customer_id = :customer_id and b.subject = any(:subjects) order by b.invoice_id, b.line"""
_CORRECTIONS = """
    select x.document_id, coalesce(case d.type when 'beside' then substr(d.ref, strpos(d.ref, ':') + 1) else d.ref end, n.ref) as ref,
           greatest(coalesce(d.dated_on, n.issued_on), n.recorded_on, i.recorded_on, i.issued_on,
                    -- what a document undoes of one of a later day it undoes on that day
                    (select u.dated_on from document u where u.customer_id in (x.customer_id, 0) and u.document_id = x.undoes),
                    (select u.recorded_on from invoice u where u.customer_id = x.customer_id and u.invoice_id = x.undoes),
                    -- what came back of a bill that was voided on a later day is voided on that
                    case when x.kind = 'void' then (select coalesce(w.dated_on, s.issued_on) from line_change y
                         left join document w on w.customer_id = y.customer_id and w.document_id = y.document_id
                         left join invoice s on s.customer_id = y.customer_id and s.invoice_id = y.document_id
                         where y.customer_id = x.customer_id and y.invoice_id = x.invoice_id and y.kind = 'void'
                         order by y.document_id limit 1) end) as on_day, x.kind, x.invoice_id, x.line, x.subject,
           x.amount_minor, x.starts_on, x.ends_on, x.rebill, x.undoes
    -- what another customer paid goes back by a document of the house's, beside that of who paid
    from line_change x left join document d on d.customer_id in (x.customer_id, 0) and d.document_id = x.document_id
    -- an invoice that is posted now, of which the document is written after
    left join invoice n on n.customer_id = x.customer_id and n.invoice_id = x.document_id
    join invoice i on i.customer_id = x.customer_id and i.invoice_id = x.invoice_id
    where x.customer_id = :customer_id and x.subject = any(:subjects) and not x.own_obligation
    order by x.document_id, x.invoice_id, x.line"""


def _read_bills(books: Books, history: History) -> None:
    place = {"customer_id": history.party.customer_id, "subjects": history.subjects}
    history.bills = [Bill(*row) for row in books.connection.execute(text(_BILLS), place)]
    for row in books.connection.execute(text(_CORRECTIONS), place):
        ref, day = (
            books.decided.get(row.document_id, (row.ref, row.on_day)) if row.ref is None else (row.ref, row.on_day)
        )
        if (
            day > row.on_day
        ):  # of the document under way, which is written after what it does: its day counts once all is decided
            history.under_way.append((len(history.events), day))
        correction = Correction(
            row.document_id, str(ref), row.kind, row.invoice_id, row.line, row.subject,
            -row.amount_minor if row.undoes else row.amount_minor, row.on_day, row.starts_on, row.ends_on, row.rebill, row.undoes,
        )  # fmt: skip
        history.events.append(event_of(correction))


def event_of(item: Correction) -> Event:
    """A correction of a bill as it happened to what it bills."""
    bill = (item.invoice_id, item.line, item.subject)
    if item.undoes:
        return Undone(item.on, item.document_id, item.ref, item.undoes, bill, item.amount)
    kind: Any = "credit" if item.kind == "proration" else item.kind
    if item.rebill:
        kind = "void"  # it takes the bill back, and not the price
    return Corrected(
        item.on, item.document_id, item.ref, kind, bill, item.amount, item.starts_on, item.ends_on, item.rebill
    )
