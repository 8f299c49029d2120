"""Recoveries: money that comes in after all for what a write-off gave up, in reverse order: bad debt first, then what is to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from sqlalchemy import text

from ledger import billed, credits_back, documents
from ledger.books import Books, Movement, Source
from ledger.breakage import break_of_billed
from ledger.errors import Refused, UnknownReference
from ledger.money import allocate, share, to_minor
from ledger.obligations import Correction, Obligations, Taking, earned_ahead, obligation_sides
from ledger.receivables import add_change, invoice_subject
from ledger.settlements import require_at_most, require_not_before
from ledger.taxes import tax_subject
from ledger.wallets import Wallets


def post_recovery(wallets: Wallets, doc: documents.Recovery, document_id: int, obligations: Obligations) -> int:
    """Take in money for what had been written off: first bad debt is less by it, then what was given up is to come again.

    Its tax is owed again in proportion.
    """
    books = wallets.books
    books.flush()
    row = _find(books, doc)
    source = books.source(document_id, row.customer, row.entity, row.currency, doc.date)
    amount = to_minor(doc.amount, row.currency)
    written, before = _reached(books, row, doc)
    require_at_most(amount, written - before, row.currency, f"what of write-off {doc.write_off} is not recovered")
    rail = f"rail:{doc.rail}"
    movements, owed_again = _taxes(books, row, document_id, rail, (before, before + amount, written))
    lines = _written_off(books, row.customer_id, row.document_id)
    recoveries = [
        *_recoveries(books, row, lines),
        _Recovery(document_id, doc.date, rail, amount - owed_again, [0] * len(lines)),
    ]
    _split(wallets, doc, document_id, row, lines, recoveries, obligations)
    _recover_plain(wallets, source, row, lines, recoveries)
    (recovery,) = (item for item in recoveries if item.document_id == document_id)
    back = [(line, part) for line, part in zip(lines, recovery.parts, strict=True) if part]
    later = [item for item in recoveries if item is not recovery]
    moved = _move_later(books, source, row.document_id, lines, later)
    taking = Taking(books, source, books.open_day(row.entity, doc.date))
    decided = obligations.decide(wallets, row.customer_id, document_id, [
        Correction(document_id, doc.id, "recovery", line.invoice_id, line.line, line.subject, part, doc.date, undoes=row.document_id)
        for line, part in back if line.of_terms
    ])  # fmt: skip
    for number, (line, part) in enumerate(back):
        if line.of_terms:
            share_ = decided.share(line.invoice_id, line.line, line.subject, undoing=row.document_id)
            movements.append(Movement("recovery.bad_debt", share_.earned, rail, line.subject))
            movements += _deferred_again(taking, rail, line.subject, part - share_.earned)
        more = {"undoes": row.document_id, "part": number}
        add_change(books, source, line.invoice_id, line.line, "recovery", -part, line.product, line.subject, more)
    books.post(source, doc.date, movements)
    for line, _ in back:
        if line.of_terms:
            books.net(source, *obligation_sides(source, line.subject), taking.day)
    for line in lines:
        if line.subject.startswith("grant:"):
            grant = wallets.grant(source.customer.customer_id, line.subject.removeprefix("grant:"))
            break_of_billed(wallets, source, grant, taking.day)
    for subject, on in moved:
        books.net(source, *obligation_sides(source, subject), books.open_day(row.entity, on))
    decided.keep()
    return source.customer.customer_id


def _find(books: Books, doc: documents.Recovery) -> Any:
    """The write-off a recovery is of, with its invoice. Raises UnknownReference, or Refused for what can't be recovered so."""
    row: Any = books.connection.execute(
        text(
            "select d.customer_id, d.document_id, d.dated_on, c.ref as customer, i.entity, i.currency, i.ref as invoice,"
            " i.invoice_id, exists (select from invoice p where p.customer_id = i.customer_id and p.master = i.ref)"
            " as over_entities from document_key k "
            "join document d on d.customer_id = k.customer_id and d.document_id = k.document_id "
            "join customer c on c.customer_id = d.customer_id "
            "join document_key ik on ik.type = 'invoice' and ik.ref = d.body::json ->> 'invoice' "
            "join invoice i on i.customer_id = ik.customer_id and i.invoice_id = ik.document_id "
            "where k.type = 'write_off' and k.ref = :ref"
        ),
        {"ref": doc.write_off},
    ).first()
    if row is None:
        raise UnknownReference("write_off", doc.write_off, "expected the id of a write-off posted before")
    require_not_before(doc.date, row.dated_on, f"when {doc.write_off} was written off")
    if row.over_entities:
        raise Refused(
            "write_off", doc.write_off, "expected one of a single entity: each enters its share by manual entry"
        )
    return row


def _reached(books: Books, row: Any, doc: documents.Recovery) -> tuple[int, int]:
    """(what was written off, what of it earlier recoveries brought in), gross."""
    place = {"customer_id": row.customer_id, "document_id": row.document_id, "ref": doc.write_off}
    written = books.connection.scalar(
        text(
            "select coalesce(sum(p.amount), 0)::bigint from entry e join posting p using (customer_id, entry_id) "
            "join rule r on r.number = p.rule where e.customer_id = :customer_id and e.document_id = :document_id "
            "and r.credit = 'accounts_receivable'"
        ),
        place,
    )
    earlier = books.connection.scalars(
        text(
            "select body::json ->> 'amount' from document where customer_id = :customer_id and type = 'recovery' "
            "and body::json ->> 'write_off' = :ref"
        ),
        place,
    )
    return int(written or 0), sum(to_minor(documents.decimal_of(value), row.currency) for value in earlier)


def _taxes(
    books: Books, row: Any, document_id: int, rail: str, points: tuple[int, int, int]
) -> tuple[list[Movement], int]:
    """What of the taxes that the write-off claimed back is owed again; `points` are (recovered before, now, written off)."""
    before, now, written = points
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
            Movement("recovery.tax", part, rail, subject),
            Movement("recovery.tax_base", base, subject, subject),
        ]
        books.add_row(
            "line_tax",
            customer_id=row.customer_id, document_id=document_id, line=tax.line, position=tax.position,
            invoice_id=row.invoice_id, tax_code=tax.tax_code, treatment=tax.treatment, included=tax.included,
            base_minor=base, tax_minor=part, undoes=0,
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
    whole: int


def _written_off(books: Books, customer_id: int, document_id: int) -> list[_WrittenOff]:
    rows = books.connection.execute(
        text(
            "select x.invoice_id, x.line, max(x.product) as product, x.subject,"
            " x.subject like 'obligation:%' and bool_and(l.kind <> all(:plain)) as of_terms, sum(x.amount_minor)::bigint as whole "
            "from line_change x join invoice_line l using (customer_id, invoice_id, line) where x.customer_id = :customer_id"
            " and x.document_id = :document_id and x.kind = 'write_off' group by 1, 2, 4 order by 1, 2"
        ),
        {"customer_id": customer_id, "document_id": document_id, "plain": list(billed.PLAIN_KINDS)},
    )
    return [_WrittenOff(*row) for row in rows]


@dataclass(slots=True)
class _Recovery:
    """What a recovery of a write-off brought in net of tax: by line as it stands in the books, and as all of them make it."""

    document_id: int
    on: date
    rail: str
    amount: int
    stands: list[int] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    rows: int = 0


def _recoveries(books: Books, write_off: Any, lines: Sequence[_WrittenOff]) -> list[_Recovery]:
    """The recoveries of a write-off that are in the books, in the order of their dates."""
    rows = books.connection.execute(
        text(
            "select x.document_id, d.dated_on, d.body::json ->> 'rail' as rail, x.invoice_id, x.line, x.subject,"
            " -sum(x.amount_minor)::bigint as amount, max(x.part) as last from line_change x"
            " join document d using (customer_id, document_id)"
            " where x.customer_id = :customer_id and x.kind = 'recovery' and x.undoes = :document_id"
            " group by 1, 2, 3, 4, 5, 6 order by d.dated_on, x.document_id"
        ),
        {"customer_id": write_off.customer_id, "document_id": write_off.document_id},
    ).all()
    places = {(line.invoice_id, line.line, line.subject): place for place, line in enumerate(lines)}
    found: dict[int, _Recovery] = {}
    for row in rows:
        rail = f"rail:{row.rail}"
        item = found.setdefault(row.document_id, _Recovery(row.document_id, row.dated_on, rail, 0, [0] * len(lines)))
        item.stands[places[row.invoice_id, row.line, row.subject]] += row.amount
        item.amount += row.amount
        item.rows = max(item.rows, row.last + 1)
    return list(found.values())


def _split(
    wallets: Wallets,
    doc: documents.Recovery,
    document_id: int,
    write_off: Any,
    lines: Sequence[_WrittenOff],
    recoveries: list[_Recovery],
    obligations: Obligations,
) -> None:
    """Say what of each recovery is of which line, in the order of their dates: bad debt first, then what was to come."""
    recoveries.sort(key=lambda item: (item.on, item.document_id))
    asked = obligations.decide(wallets, write_off.customer_id, document_id, [
        Correction(document_id, doc.id, "recovery", line.invoice_id, line.line, line.subject, 0, doc.date, undoes=write_off.document_id)
        for line in lines if line.of_terms
    ])  # fmt: skip
    # of credits not used, and of what bills none, bad debt comes first too
    unused = credits_back.written_off(wallets.books, write_off.customer_id, write_off.document_id)
    plain = max(sum(line.whole for line in lines if not line.of_terms) - unused, 0)
    lost = []
    for line in lines:
        if line.of_terms:
            bill = (line.invoice_id, line.line, line.subject)
            bad = asked.share(*bill, of=write_off.document_id).earned
            bad += sum(
                asked.share(*bill, of=item.document_id, undoing=write_off.document_id).earned for item in recoveries
            )
            lost.append(min(bad, line.whole))
        else:
            lost.append(min(line.whole, plain))
            plain -= lost[-1]
    left = [lost, [line.whole - bad for line, bad in zip(lines, lost, strict=True)]]
    for item in recoveries:
        item.parts = [0] * len(lines)
        amount = item.amount
        for most in left:
            now = min(amount, sum(most))
            amount -= now
            # as each line's is of all of it
            for place, part in enumerate(allocate(now, most) if now else []):
                item.parts[place] += part
                most[place] -= part


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
                movements += [
                    Movement("recovery.deferred", max(more, 0), item.rail, line.subject),
                    Movement("recovery.elsewhere", max(-more, 0), line.subject, item.rail),
                ]
                moved.append((line.subject, item.on))
            change = {"undoes": write_off, "part": item.rows}
            add_change(books, of, line.invoice_id, line.line, "recovery", -more, line.product, line.subject, change)
            item.rows += 1
        books.post(source, item.on, movements)
    return moved


def _recover_plain(
    wallets: Wallets, source: Source, write_off: Any, lines: Sequence[_WrittenOff], recoveries: Sequence[_Recovery]
) -> None:
    """Post what recoveries are of lines that bill no obligation: bad debt first, then prepaid credits that were not used."""
    places = [place for place, line in enumerate(lines) if not line.of_terms]
    whole = sum(lines[place].whole for place in places)
    taken = credits_back.written_off(wallets.books, source.customer.customer_id, write_off.document_id)
    invoice = invoice_subject(write_off.invoice)

    def credits_of(plain: int) -> int:
        return min(max(plain - (whole - taken), 0), taken)

    stands = [sum(item.stands[place] for place in places) for item in recoveries]
    parts = [sum(item.parts[place] for place in places) for item in recoveries]
    reached = credits_of(sum(stands))
    for place, item in enumerate(recoveries):
        steps = [
            credits_of(sum(amounts[: place + 1])) - credits_of(sum(amounts[:place])) for amounts in (stands, parts)
        ]
        more = max(steps[1] - steps[0], 0)
        movements = []
        if more:
            after = reached + more
            of = "" if item.document_id == source.document_id else f" of {item.document_id}"
            movements += credits_back.recover(
                wallets, source, write_off.document_id, reached, after, item.on, item.rail, of
            )
            reached = after
        bad_debt = parts[place] - stands[place] - more
        movements += [
            Movement("recovery.bad_debt", max(bad_debt, 0), item.rail, invoice),
            Movement("recovery.bad_debt_elsewhere", max(-bad_debt, 0), invoice, item.rail),
        ]
        wallets.books.post(source, item.on, movements)


def _deferred_again(taking: Taking, rail: str, subject: str, amount: int) -> list[Movement]:
    """What was given up and is to come again: out of the contract asset up to its balance, the rest is deferred."""
    unbilled = min(amount, earned_ahead(taking.books, taking.source, subject, taking.day))
    return [
        Movement("recovery.unbilled", unbilled, rail, subject),
        Movement("recovery.deferred", amount - unbilled, rail, subject),
    ]
