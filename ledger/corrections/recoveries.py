"""Recoveries: money that comes in after all for what a write-off gave up, in reverse order: bad debt first, then what is to come.

One that comes back (a cheque that bounced) is the same, of less: what was recovered last is given up again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from sqlalchemy import text

from ledger.amounts.money import allocate, share, to_minor
from ledger.cash import payers, uses
from ledger.cash.fees import require_part_of
from ledger.cash.money_accounts import cash_named, cash_of
from ledger.corrections.giving_back import require_at_most, require_not_before
from ledger.corrections.taken import Undone
from ledger.corrections.taken_again import CameBack, take_again
from ledger.corrections.undoing import undo
from ledger.documents import models
from ledger.errors import Refused, UnknownReference
from ledger.invoices import lowering
from ledger.invoices.forms import invoice_subject
from ledger.invoices.taxes import tax_subject
from ledger.journal.books import Books
from ledger.journal.line_changes import add_change
from ledger.journal.movements import Came, Movement, Source, Undoing
from ledger.obligations import Correction, Decided, Obligations, Taking, earned_ahead, obligation_sides
from ledger.payments import reversals
from ledger.payments.between_customers import rate_of
from ledger.payments.payments import money_subject
from ledger.usage import usage_lines, usage_taken
from ledger.wallets import credits_back
from ledger.wallets.breakage import break_of_billed
from ledger.wallets.grants import NET_GRANT, grant_accounts
from ledger.wallets.session import Wallets, all_or_nothing


def post_recovery(wallets: Wallets, doc: models.Recovery, document_id: int, obligations: Obligations) -> int:
    """Take in money for what had been written off: first bad debt is less by it, then what was given up is to come again.

    Its tax is owed again in proportion. What is more is of what recoveries before brought and was paid back since, or lost in a dispute.
    """
    books = wallets.books
    row = _find(books, doc.write_off, doc.date)
    source = books.source(document_id, row.customer, row.entity, row.currency, doc.date)
    amount = to_minor(doc.amount, row.currency)
    reached = _reached(books, row)
    left = max(reached.left(doc.date), 0)
    gone = _gone(books, source, doc)
    most = left + sum(item.amount - item.points[0] for item in gone)
    require_at_most(amount, most, row.currency, f"what of write-off {doc.write_off} is not recovered")
    rail = cash_of(books, row.entity, row.currency, doc.account, doc.rail)
    require_part_of(doc.fee, doc.amount, "recovery")
    fee = 0 if doc.fee is None else to_minor(doc.fee, row.currency, "fee")
    fees = [Movement("payment.fee", fee, rail, rail)]
    first = min(amount, left)
    if first:
        _recover(wallets, source, row, _Change(doc.id, doc.date, first, rail, reached, doc.date), obligations)
        uses.bring(books, source, first, doc.date, row.invoice_id)
    books.post(source, doc.date, fees)
    rest = amount - first
    again: list[Undone] = []
    for item in gone:
        before, _ = item.points
        part = min(rest, item.amount - before)
        if part:
            again.append(replace(item, points=(before, before + part)))
            rest -= part
    if again:
        undo(wallets, source, doc.id, again, doc.date, rail, obligations)
    return source.customer.customer_id


def _gone(books: Books, source: Source, doc: models.Recovery) -> list[Undone]:
    """What was paid back of recoveries of a write-off, or lost, by a day and did not come back, the first first."""
    rows = books.connection.execute(
        text(
            "select d.document_id, d.type, r.document_id as money_id, d.body::json ->> 'amount' as amount from document r"
            " join document d on d.customer_id = r.customer_id and d.type in ('refund', 'dispute') and d.body::json ->> 'recovery' = r.ref"
            "  and coalesce(d.body::json ->> 'status', 'lost') = 'lost'"
            " where r.customer_id = :customer_id and r.type = 'recovery' and r.body::json ->> 'write_off' = :write_off and d.dated_on <= :on"
            " order by d.dated_on, d.document_id"
        ),
        {"customer_id": source.customer.customer_id, "write_off": doc.write_off, "on": doc.date},
    )
    found = []
    for row in rows:
        amount = to_minor(models.decimal_of(row.amount), source.currency)
        before = payers.undone_of(books, source, row.document_id, row.money_id)
        if before < amount:
            found.append(
                Undone(row.document_id, row.type, row.money_id, amount, (before, before), brings=source.document_id)
            )
    return found


def post_payment_reversal(
    wallets: Wallets, doc: models.PaymentReversal, document_id: int, obligations: Obligations
) -> int:
    """A payment came back, or a recovery: what was written off is so again, as far as the money lies where it was recovered.

    So is what it brought back of refunds and lost disputes.

    Where it was put elsewhere since, it is undone as a payment's. Raises Refused where something of it went back already, is disputed,
    or prepaid credits that came back with it were used.
    """
    if doc.recovery is None:
        return reversals.post_payment_reversal(wallets, doc, document_id)
    books = wallets.books
    found, source = reversals.find_whole(books, doc, document_id)
    row = _find(books, found.body["write_off"], doc.date)
    lying = [
        piece
        for piece in uses.of_money(books, source, found.document_id, doc.date)
        if piece.invoice_id == row.invoice_id
    ]
    reached = _reached(books, row)
    # what of it had been paid back of others was no bad debt: it is due again
    amount = min(sum(piece.amount for piece in lying), reached.of(found.document_id))
    own = uses.first(lying, amount)
    came = CameBack(doc.id, doc.date, found.document_id, money_subject(*doc.money), cash_named(found.body), own)
    with all_or_nothing(wallets):
        # what was written off is told by its own day, so that this does not change it
        take_again(wallets, source, came, obligations)
        if amount:
            came_on = date.fromisoformat(found.body["date"])
            change = _Change(
                doc.id, doc.date, -amount, cash_named(found.body), reached, came_on, found.document_id,
                rate_of(books, source, came_on),
                books.brought_cash(source.customer.customer_id, found.document_id, cash_named(found.body), undone=False),
            )  # fmt: skip
            _recover(wallets, source, row, change, obligations)
            uses.give_back(books, source, own, doc.date)
        reversals.take_back(books, doc, found, source)
    return source.customer.customer_id


class Recovered(NamedTuple):
    """What a recovery is of bad debt, and what that counts for: below zero where one came back.

    `of_others` is how much of other recoveries is of something else then, which came in at other rates.
    """

    bad_debt: int
    counts: int
    of_others: int = 0

    def less(self, other: Recovered) -> Recovered:
        """What it is more of than another, without what is of others."""
        return Recovered(self.bad_debt - other.bad_debt, self.counts - other.counts)


def counted_for(
    books: Books, source: Source, parts: Sequence[tuple[date, int, int, int]]
) -> dict[date, list[Recovered]]:
    """What recoveries of a bill, and such that came back, are of bad debt, by their days: in order, each at the rate it came in at.

    A part is its day, its document, its amount and what of that is bad debt. What is of neither is left out.
    """
    books.flush()
    rows = books.connection.execute(
        text(
            "select d.document_id, coalesce(r.dated_on, d.dated_on) as came_on, r.document_id as came_back from document d"
            " left join document r on r.customer_id = d.customer_id and r.type = 'recovery' and r.ref = d.body::json ->> 'recovery'"
            " where d.customer_id = :customer_id and d.document_id = any(:documents) and (d.type = 'recovery' or r.type is not null)"
        ),
        {"customer_id": source.customer.customer_id, "documents": sorted({document for _, document, _, _ in parts})},
    )
    of = {row.document_id: (row.came_on, row.came_back) for row in rows} | books.recovers
    found: dict[date, list[Recovered]] = {}
    standing: dict[int, _Piece] = {}
    for on, document, amount, bad_debt in sorted(parts):
        if document not in of:
            continue
        came_on, came_back = of[document]
        rate = rate_of(books, source, came_on)
        moved = _bad_debt_of(standing, document, came_back, amount, bad_debt, rate)
        counts = sum(
            (1 if part > 0 else -1) * books.at_rate(replace(source, rate=at), source.currency, on, abs(part))
            for at, part in moved.items()
        )
        others = sum(abs(part) for at, part in moved.items() if at != rate)
        found.setdefault(on, []).append(Recovered(bad_debt, counts, others))
    return found


@dataclass(slots=True)
class _Piece:
    """What a recovery brought of a bill, and what of that is bad debt."""

    amount: int
    bad_debt: int
    rate: Fraction | None


def _bad_debt_of(
    standing: dict[int, _Piece],
    document_id: int,
    came_back: int | None,
    amount: int,
    bad_debt: int,
    rate: Fraction | None,
) -> Counter[Fraction | None]:
    """What a recovery is of bad debt, or one that came back, by rate: one after another, in order."""
    if came_back and came_back in standing:
        return _comes_back(standing, came_back, -amount, -bad_debt)
    if not came_back:
        standing[document_id] = _Piece(amount, bad_debt, rate)
    return Counter({rate: bad_debt})


def _comes_back(standing: dict[int, _Piece], of: int, amount: int, bad_debt: int) -> Counter[Fraction | None]:
    """Take out what a recovery brought that comes back: what later ones brought is bad debt in its place, each at its own rate."""
    own = standing[of]
    moved: Counter[Fraction | None] = Counter()
    gone = own.bad_debt if amount >= own.amount else share(own.bad_debt, amount, own.amount)
    own.amount -= amount
    own.bad_debt -= gone
    moved[own.rate] -= gone
    instead = gone - bad_debt
    for piece in list(standing.values())[:: 1 if instead > 0 else -1]:
        part = min(max(piece.amount - piece.bad_debt, 0), instead) if instead > 0 else max(-piece.bad_debt, instead)
        if piece is own or not part:
            continue
        piece.bad_debt += part
        moved[piece.rate] += part
        instead -= part
    moved[own.rate] += instead
    return moved


@dataclass(frozen=True, slots=True)
class _Reached:
    """What was written off, gross, and what recoveries brought of it, by day and document, in their order: less where one came back."""

    written: int
    in_order: Sequence[tuple[date, int, int]]

    @property
    def recovered(self) -> int:
        """What stands of all recoveries."""
        return sum(amount for _, _, amount in self.in_order)

    def of(self, document_id: int) -> int:
        """What a recovery brought."""
        return sum(amount for _, document, amount in self.in_order if document == document_id)

    def left(self, on: date) -> int:
        """What can be recovered on a day so that it is never more than was written off, then or later, however short."""
        most = sum(amount for day, _, amount in self.in_order if day <= on)
        reached = most
        for day, _, amount in self.in_order:
            if day > on:
                reached += amount
                most = max(most, reached)
        return self.written - most


@dataclass(frozen=True, slots=True)
class _Change:
    """What a document makes of what was recovered of a write-off: more of it, or less (below zero) where the recovery `of` came back."""

    by: str
    on: date
    amount: int
    rail: str
    reached: _Reached
    came_on: date
    of: int = 0
    rate: Fraction | None = None
    came: Came | None = None

    def moved(self, what: str, amount: int, subject: str) -> Movement:
        """What that moves between cash and what was written off, at the rate at which it came in."""
        if amount >= 0:
            return Movement(f"recovery.{what}", amount, self.rail, subject, rate=self.rate)
        return Movement(f"recovery.{what}_returned", -amount, subject, self.rail, rate=self.rate)

    def post(self, books: Books, source: Source, movements: Sequence[Movement]) -> None:
        """Post what the document itself moves: cash of a recovery that came back goes at what it came for."""
        if self.came is None:
            books.post(source, self.on, movements)
        else:
            books.post(source, self.on, [self._as_it_came(item) for item in movements], Undoing((self.of,), 1, (0, 1)))

    def _as_it_came(self, movement: Movement) -> Movement:
        assert self.came is not None, "asked of what came"
        counts = self.came.going(movement.amount) if movement.credit == self.rail else None
        return movement if counts is None else replace(movement, rate=None, functional=counts, worth=counts)


def _recover(
    wallets: Wallets,
    source: Source,
    row: Any,
    change: _Change,
    obligations: Obligations,
) -> None:
    """Post what a document makes of what was recovered: of all recoveries in the order of their days, bad debt first."""
    books, document_id = wallets.books, source.document_id
    books.recovers[document_id] = (change.came_on, change.of)
    movements, of_tax = _taxes(books, source, row, change)
    lines = _written_off(books, row.customer_id, row.document_id)
    recoveries = [
        *_recoveries(books, source, row, lines),
        _Recovery(
            document_id, change.on, change.rail, change.amount - of_tax, [0] * len(lines), change.rate, change.of
        ),
    ]
    lost = _split(wallets, source, change, row, lines, recoveries, obligations)
    _recover_usage(wallets, source, change, lines, recoveries)
    _recover_plain(wallets, source, row, change, lines, lost, recoveries)
    (recovery,) = (item for item in recoveries if item.document_id == document_id)
    back = [(line, part) for line, part in zip(lines, recovery.parts, strict=True) if part]
    later = [item for item in recoveries if item is not recovery]
    moved = _move_later(books, source, row.document_id, lines, later)
    taking = Taking(books, source, books.days.open_day(source, change.on))
    decided = obligations.decide(wallets, row.customer_id, document_id, [
        Correction(document_id, change.by, "recovery", line.invoice_id, line.line, line.subject, part, change.on, undoes=row.document_id)
        # all of its lines: a recovery of a later day may be of others now
        for line, part in zip(lines, recovery.parts, strict=True) if line.of_terms
    ])  # fmt: skip
    for number, (line, part) in enumerate(back):
        if line.of_terms:
            share_ = decided.share(line.invoice_id, line.line, line.subject, undoing=row.document_id)
            movements.append(change.moved("bad_debt", share_.earned, line.subject))
            movements += _deferred_again(taking, change, line.subject, part - share_.earned)
        more = {"undoes": row.document_id, "part": number}
        add_change(books, source, line.invoice_id, line.line, "recovery", -part, line.product, line.subject, more)
    change.post(books, source, movements)
    for line, _ in back:
        if line.of_terms:
            books.net(source, *obligation_sides(source, line.subject), taking.day)
    for line in lines:
        if line.subject.startswith("grant:"):
            grant = wallets.grant(source.customer.customer_id, line.subject.removeprefix("grant:"))
            break_of_billed(wallets, source, grant, taking.day)
            # what was used of a bill that was voided since is to be billed: the money is for it first
            books.net(source, grant_accounts(source, grant.ref), NET_GRANT, taking.day - timedelta(days=1))
    for subject, on in moved:
        books.net(source, *obligation_sides(source, subject), books.days.open_day(source, on))
    decided.keep()


def _find(books: Books, write_off: str, on: date) -> Any:
    """The write-off a recovery of a day is of, with its invoice. Raises UnknownReference, or Refused for what can't be recovered so."""
    books.flush()
    row: Any = books.connection.execute(
        text(
            "select d.customer_id, d.document_id, d.ref as write_off, d.dated_on, c.ref as customer, i.entity, i.currency, i.ref as invoice,"
            " i.invoice_id, exists (select from invoice p where p.customer_id = i.customer_id and p.master = i.ref)"
            " as over_entities from document_key k "
            "join document d on d.customer_id = k.customer_id and d.document_id = k.document_id "
            "join customer c on c.customer_id = d.customer_id "
            "join document_key ik on ik.type = 'invoice' and ik.ref = d.body::json ->> 'invoice' "
            "join invoice i on i.customer_id = ik.customer_id and i.invoice_id = ik.document_id "
            "where k.type = 'write_off' and k.ref = :ref"
        ),
        {"ref": write_off},
    ).first()
    if row is None:
        raise UnknownReference("write_off", write_off, "expected the id of a write-off posted before")
    require_not_before(on, row.dated_on, f"when {write_off} was written off")
    if row.over_entities:
        raise Refused("write_off", write_off, "expected one of a single entity: each enters its share by manual entry")
    return row


def _reached(books: Books, row: Any) -> _Reached:
    """What was written off, gross, and what stands of its recoveries in the books."""
    place = {"customer_id": row.customer_id, "document_id": row.document_id}
    written = books.connection.scalar(
        text(
            "select coalesce(sum(p.amount), 0)::bigint from entry e join posting p using (customer_id, entry_id) "
            "join rule r on r.number = p.rule where e.customer_id = :customer_id and e.document_id = :document_id "
            "and r.credit = 'accounts_receivable'"
        ),
        place,
    )
    rows = books.connection.execute(
        text(
            # some are of so little that all of it is tax
            "with of as (select d.document_id from document d where d.customer_id = :customer_id and (d.type = 'recovery'"
            "   and d.body::json ->> 'write_off' = :write_off or d.type = 'payment_reversal' and d.body::json ->> 'recovery' in (select r.ref"
            "    from document r where r.customer_id = :customer_id and r.type = 'recovery' and r.body::json ->> 'write_off' = :write_off))) "
            "select d.document_id, d.dated_on, sum(x.amount)::bigint as amount from ("
            " select document_id, -amount_minor as amount from line_change where customer_id = :customer_id and kind = 'recovery'"
            "  and undoes = :document_id union all"
            " select t.document_id, t.tax_minor from line_tax t join of using (document_id) where t.customer_id = :customer_id"
            "  and (t.undoes = 0 or t.undoes in (select document_id from of))"
            ") x join document d on d.customer_id = :customer_id and d.document_id = x.document_id group by 1, 2 order by 2, 1"
        ),
        place | {"write_off": row.write_off},
    ).all()
    return _Reached(int(written or 0), [(row.dated_on, row.document_id, row.amount) for row in rows])


def _taxes(books: Books, source: Source, row: Any, change: _Change) -> tuple[list[Movement], int]:
    """What of the taxes that the write-off claimed back is owed again; below zero what is not, as the money came back."""
    before, written = change.reached.recovered, change.reached.written
    now = before + change.amount
    taxes = books.connection.execute(
        text(
            "select tax_code, line, position, treatment, included, -base_minor as base, -tax_minor as tax from line_tax "
            "where customer_id = :customer_id and document_id = :document_id order by line, position"
        ),
        {"customer_id": row.customer_id, "document_id": row.document_id},
    ).all()
    movements: list[Movement] = []
    owed_again = 0
    for tax in taxes:
        part = share(tax.tax, now, written) - share(tax.tax, before, written)
        base = share(tax.base, now, written) - share(tax.base, before, written)
        owed_again += part
        subject = tax_subject(tax.tax_code)
        movements += [
            change.moved("tax", part, subject),
            Movement(
                f"recovery.tax_base{'' if base >= 0 else '_returned'}", abs(base), subject, subject, rate=change.rate
            ),
        ]
        books.add_row(
            "line_tax",
            customer_id=row.customer_id, document_id=source.document_id, line=tax.line, position=tax.position,
            invoice_id=row.invoice_id, tax_code=tax.tax_code, treatment=tax.treatment, included=tax.included,
            base_minor=base, tax_minor=part, undoes=change.of,
        )  # fmt: skip
    return movements, owed_again


@dataclass(frozen=True, slots=True)
class _WrittenOff:
    """What a write-off took of a line, net of tax."""

    invoice_id: int
    line: str
    product: str | None
    subject: str
    of_terms: bool
    is_usage: bool
    whole: int


def _written_off(books: Books, customer_id: int, document_id: int) -> list[_WrittenOff]:
    rows = books.connection.execute(
        text(
            "select x.invoice_id, x.line, max(x.product) as product, x.subject,"
            " x.subject like 'obligation:%' and bool_and(l.kind <> all(:plain)) as of_terms,"
            " bool_and(l.kind = 'usage') as is_usage, sum(x.amount_minor)::bigint as whole "
            "from line_change x join invoice_line l using (customer_id, invoice_id, line) where x.customer_id = :customer_id"
            " and x.document_id = :document_id and x.kind = 'write_off' group by 1, 2, 4 order by 1, 2"
        ),
        {"customer_id": customer_id, "document_id": document_id, "plain": list(lowering.PLAIN_KINDS)},
    )
    return [_WrittenOff(*row) for row in rows]


@dataclass(slots=True)
class _Recovery:
    """What a recovery of a write-off brought in net of tax: by line as it stands in the books, and as all of them make it.

    Below zero where one came back.
    """

    document_id: int
    on: date
    rail: str
    amount: int
    stands: list[int] = field(default_factory=list)
    rate: Fraction | None = None
    came_back: int | None = None
    parts: list[int] = field(default_factory=list)
    rows: int = 0

    def instead(self, what: str, amounts: Mapping[Fraction | None, int], subject: str) -> list[Movement]:
        """What moves where that much more came in at each rate, and less at others, than stood in the books."""
        return [
            Movement(f"recovery.{what}", amount, self.rail, subject, rate=rate)
            if amount > 0
            else Movement(f"recovery.{what}_returned", -amount, subject, self.rail, rate=rate)
            for rate, amount in amounts.items()
            if amount
        ]

    def moved(self, more: str, less: str, amount: int, subject: str) -> list[Movement]:
        """What moves where more of it, or less, is of something than stood in the books: at the rate at which it came in."""
        return [
            Movement(f"recovery.{more}", max(amount, 0), self.rail, subject, rate=self.rate),
            Movement(f"recovery.{less}", max(-amount, 0), subject, self.rail, rate=self.rate),
        ]


def _recoveries(books: Books, source: Source, write_off: Any, lines: Sequence[_WrittenOff]) -> list[_Recovery]:
    """The recoveries of a write-off that are in the books, in the order of their dates."""
    rows = books.connection.execute(
        text(
            # one that came back has the cash of the recovery that did
            "select x.document_id, d.dated_on, coalesce(r.dated_on, d.dated_on) as came_on, coalesce(r.body, d.body)::json ->> 'rail' as rail,"
            " coalesce(r.body, d.body)::json ->> 'account' as account, r.document_id as came_back, x.invoice_id, x.line, x.subject,"
            " -sum(x.amount_minor)::bigint as amount, max(x.part) as last from line_change x"
            " join document d using (customer_id, document_id)"
            " left join document r on r.customer_id = d.customer_id and r.type = 'recovery' and r.ref = d.body::json ->> 'recovery'"
            " where x.customer_id = :customer_id and x.kind = 'recovery' and x.undoes = :document_id"
            " group by 1, 2, 3, 4, 5, 6, 7, 8, 9 order by d.dated_on, x.document_id"
        ),
        {"customer_id": write_off.customer_id, "document_id": write_off.document_id},
    ).all()
    places = {(line.invoice_id, line.line, line.subject): place for place, line in enumerate(lines)}
    found: dict[int, _Recovery] = {}
    for row in rows:
        rail = cash_named({"account": row.account, "rail": row.rail})
        item = found.get(row.document_id)
        if item is None:
            item = found[row.document_id] = _Recovery(
                row.document_id,
                row.dated_on,
                rail,
                0,
                [0] * len(lines),
                rate_of(books, source, row.came_on),
                row.came_back,
            )
        item.stands[places[row.invoice_id, row.line, row.subject]] += row.amount
        item.amount += row.amount
        item.rows = max(item.rows, row.last + 1)
    return list(found.values())


def _split(
    wallets: Wallets,
    source: Source,
    change: _Change,
    write_off: Any,
    lines: Sequence[_WrittenOff],
    recoveries: list[_Recovery],
    obligations: Obligations,
) -> list[int]:
    """Say what of each recovery is of which line, in the order of their dates: bad debt first, then what was to come.

    Returns what of each line is bad debt.
    """
    document_id = source.document_id
    recoveries.sort(key=lambda item: (item.on, item.document_id))
    asked = obligations.decide(wallets, write_off.customer_id, document_id, [
        Correction(document_id, change.by, "recovery", line.invoice_id, line.line, line.subject, 0, change.on, undoes=write_off.document_id)
        for line in lines if line.of_terms
    ])  # fmt: skip
    lost = _lost(wallets.books, source, asked, write_off, lines, recoveries)
    whole = [list(lost), [line.whole - bad for line, bad in zip(lines, lost, strict=True)]]
    left = [list(most) for most in whole]
    for item in recoveries:
        item.parts = [0] * len(lines)
        amount = -item.amount
        for most, first in zip(left[::-1], whole[::-1], strict=True) if amount > 0 else ():
            # what came back is of what was recovered last
            reached = [all_ - rest for all_, rest in zip(first, most, strict=True)]
            now = min(amount, sum(reached))
            amount -= now
            for place, part in enumerate(allocate(now, reached) if now else []):
                item.parts[place] -= part
                most[place] += part
        amount = item.amount
        for most in left if amount > 0 else ():
            now = min(amount, sum(most))
            amount -= now
            # as each line's is of all of it
            for place, part in enumerate(allocate(now, most) if now else []):
                item.parts[place] += part
                most[place] -= part
        assert amount <= 0, "no more is recovered than was written off, on any day"
    return lost


def _lost(
    books: Books,
    source: Source,
    asked: Decided,
    write_off: Any,
    lines: Sequence[_WrittenOff],
    recoveries: Sequence[_Recovery],
) -> list[int]:
    """What of each line that was written off is bad debt: what was given, or used, by then."""
    customer_id, number = write_off.customer_id, write_off.document_id
    unused = credits_back.taken_with(books, customer_id, number)
    on = books.connection.scalar(
        text("select dated_on from document where customer_id = :customer_id and document_id = :document_id"),
        {"customer_id": customer_id, "document_id": number},
    )
    used: dict[str, int] = {}
    lost = []
    for line in lines:
        bill = (line.invoice_id, line.line, line.subject)
        if line.of_terms:
            bad = asked.share(*bill, of=number).earned
            bad += sum(asked.share(*bill, of=item.document_id, undoing=number).earned for item in recoveries)
        elif line.is_usage:
            assert line.product is not None, "a usage line names its product"
            if line.product not in used:
                used[line.product] = usage_taken.lost_on(books, source, line.product, on)
            bad = used[line.product]
        else:
            bad = line.whole - unused.get(line.line, 0)
        lost.append(max(min(bad, line.whole), 0))
        if line.is_usage and line.product is not None:
            used[line.product] -= lost[-1]
    return lost


def _move_later(
    books: Books, source: Source, write_off: int, lines: Sequence[_WrittenOff], recoveries: Sequence[_Recovery]
) -> list[tuple[str, date]]:
    """Take later recoveries over to other lines, where an earlier one came after them; returns which obligations moved, and when."""
    moved = []
    for item in recoveries:
        movements = []
        of = replace(source, document_id=item.document_id)
        for line, stood, part in zip(lines, item.stands, item.parts, strict=True):
            more = part - stood
            if not more:
                continue
            if line.of_terms:
                movements += item.moved("deferred", "elsewhere", more, line.subject)
                moved.append((line.subject, item.on))
            change = {"undoes": write_off, "part": item.rows}
            add_change(books, of, line.invoice_id, line.line, "recovery", -more, line.product, line.subject, change)
            item.rows += 1
        books.post(source, item.on, movements)
    return moved


def _recover_usage(
    wallets: Wallets, source: Source, change: _Change, lines: Sequence[_WrittenOff], recoveries: Sequence[_Recovery]
) -> None:
    """Post what recoveries are of usage: it is billed again, and days tell what of it is less bad debt, and what is to come."""
    books = wallets.books
    products: set[str] = set()
    for item in recoveries:
        movements = []
        for line, stood, part in zip(lines, item.stands, item.parts, strict=True):
            if line.is_usage and line.product is not None and part != stood:
                products.add(line.product)
                if item.document_id == source.document_id:
                    movements.append(change.moved("deferred", part, line.subject))
                    continue
                movements += item.moved("deferred", "elsewhere", part - stood, line.subject)
        if item.document_id == source.document_id:
            change.post(books, source, movements)
        else:
            books.post(source, item.on, movements)
    for product in sorted(products):
        usage_taken.settle(books, source, product)
        first = min(books.days.open_day(source, item.on) for item in recoveries)
        keys = usage_lines.overage_accounts(source, product)
        books.net(source, keys, usage_lines.NET_USAGE, first - timedelta(days=1))


def _recover_plain(
    wallets: Wallets,
    source: Source,
    write_off: Any,
    change: _Change,
    lines: Sequence[_WrittenOff],
    lost: Sequence[int],
    recoveries: Sequence[_Recovery],
) -> None:
    """Post what recoveries are of other lines that bill no obligation: bad debt first, then prepaid credits that were not used."""
    places = [place for place, line in enumerate(lines) if not line.of_terms and not line.is_usage]
    invoice = invoice_subject(write_off.invoice)
    reached = sum(max(sum(item.stands[place] for item in recoveries) - lost[place], 0) for place in places)
    stood = _of_credits(places, lost, recoveries, [item.stands for item in recoveries])
    now = _of_credits(places, lost, recoveries, [item.parts for item in recoveries])
    changes = [
        (item, after - before, {rate: others[rate] - others_before[rate] for rate in {*others, *others_before}})
        for item, (before, others_before), (after, others) in zip(recoveries, stood, now, strict=True)
    ]
    # what comes back first, so that it is there to go again
    for item, more, instead in sorted(changes, key=lambda change: change[1] < 0):
        movements = []
        if more:
            own = item.document_id == source.document_id
            after = reached + more
            movements += credits_back.recover(
                wallets, source, write_off.document_id, (reached, after), item.on, "recovery.credits", item.rail,
                "" if own else f" of {item.document_id}", rate=item.rate,
            )  # fmt: skip
            reached = after
        bad_debt = sum(item.parts[place] - item.stands[place] for place in places) - more
        if item.document_id == source.document_id:
            movements.append(change.moved("bad_debt", bad_debt, invoice))
        else:
            movements += item.moved("bad_debt", "bad_debt_elsewhere", bad_debt, invoice)
        if any(instead.values()):
            lead = credits_back.subject_taken(wallets.books, source, write_off.document_id)
            wallets.books.post(source, item.on, [
                *item.instead("bad_debt", instead, invoice),
                *item.instead("credits", {rate: -amount for rate, amount in instead.items()}, lead),
            ])  # fmt: skip
        if item.document_id == source.document_id:
            change.post(wallets.books, source, movements)
        else:
            wallets.books.post(source, item.on, movements)


def _of_credits(
    places: Sequence[int], lost: Sequence[int], recoveries: Sequence[_Recovery], parts: Sequence[Sequence[int]]
) -> list[tuple[int, Counter[Fraction | None]]]:
    """What each of recoveries, by their `parts` of lines, is of credits; and what bad debt gets of others then, and gives, by rate."""
    found = []
    reached = Counter[int]()
    of_credits = 0
    standing: dict[int, _Piece] = {}
    for item, of_lines in zip(recoveries, parts, strict=True):
        before, amount = of_credits, sum(of_lines[place] for place in places)
        for place in places:
            reached[place] += of_lines[place]
        of_credits = sum(max(reached[place] - lost[place], 0) for place in places)
        bad_debt = amount - (of_credits - before)
        others = _bad_debt_of(standing, item.document_id, item.came_back, amount, bad_debt, item.rate)
        others[item.rate] -= bad_debt
        found.append((of_credits - before, others))
    return found


def _deferred_again(taking: Taking, change: _Change, subject: str, amount: int) -> list[Movement]:
    """What was given up and is to come again: out of the contract asset up to its balance, the rest is deferred; or is given up again."""
    if amount < 0:
        held, rest, release = taking.out_of(subject, -amount, 0)
        return [*release, change.moved("deferred", -held, subject), change.moved("unbilled", -rest, subject)]
    unbilled = min(amount, earned_ahead(taking.books, taking.source, subject, taking.day))
    return [change.moved("unbilled", unbilled, subject), change.moved("deferred", amount - unbilled, subject)]
