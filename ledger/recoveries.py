"""Recoveries: money that comes in after all for what a write-off gave up, in reverse order: bad debt first, then what is to come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
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
    written_off = _written_off(books, row.customer_id, row.document_id)
    back = _recovered(wallets, doc, document_id, row, written_off, amount - owed_again, obligations)
    taking = Taking(books, source, books.open_day(row.entity, doc.date))
    decided = obligations.decide(wallets, row.customer_id, document_id, [
        Correction(document_id, doc.id, "recovery", line.invoice_id, line.line, line.subject, part, doc.date, undoes=row.document_id)
        for line, part in back if line.of_terms
    ])  # fmt: skip
    movements += _recovered_credits(wallets, source, row, written_off, back, doc)
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
        elif line.subject.startswith("grant:"):
            grant = wallets.grant(source.customer.customer_id, line.subject.removeprefix("grant:"))
            break_of_billed(wallets, source, grant, taking.day)
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
    """What a write-off took of a line and was not recovered yet, net of tax."""

    invoice_id: int
    line: str
    product: str | None
    subject: str
    of_terms: bool
    left: int
    whole: int


def _written_off(books: Books, customer_id: int, document_id: int) -> list[_WrittenOff]:
    rows = books.connection.execute(
        text(
            "select x.invoice_id, x.line, max(x.product) as product, x.subject,"
            " x.subject like 'obligation:%' and bool_and(l.kind <> all(:plain)) as of_terms, sum(x.amount_minor)::bigint as amount,"
            " coalesce(sum(x.amount_minor) filter (where x.kind = 'write_off'), 0)::bigint as whole "
            "from line_change x join invoice_line l using (customer_id, invoice_id, line) where x.customer_id = :customer_id"
            " and ((x.document_id = :document_id and x.kind = 'write_off') or x.undoes = :document_id) "
            "group by 1, 2, 4 order by 1, 2"
        ),
        {"customer_id": customer_id, "document_id": document_id, "plain": list(billed.PLAIN_KINDS)},
    )
    return [_WrittenOff(*row) for row in rows]


def _recovered(
    wallets: Wallets,
    doc: documents.Recovery,
    document_id: int,
    write_off: Any,
    lines: Sequence[_WrittenOff],
    amount: int,
    obligations: Obligations,
) -> list[tuple[_WrittenOff, int]]:
    """What of an amount recovered is of which line: bad debt first, then what was to come."""
    asked = obligations.decide(wallets, write_off.customer_id, document_id, [
        Correction(document_id, doc.id, "recovery", line.invoice_id, line.line, line.subject, 0, doc.date, undoes=write_off.document_id)
        for line in lines if line.of_terms
    ])  # fmt: skip
    # of credits not used, and of what bills none, bad debt comes first too
    unused = credits_back.written_off(wallets.books, write_off.customer_id, write_off.document_id)
    plain = max(sum(line.left for line in lines if not line.of_terms) - unused, 0)
    bad_debts = []
    for line in lines:
        if line.of_terms:
            lost = asked.share(line.invoice_id, line.line, line.subject, of=write_off.document_id).earned
            bad_debts.append(min(lost, line.left))
        else:
            bad_debts.append(min(line.left, plain))
            plain -= bad_debts[-1]
    parts = Counter[int]()
    for most in (bad_debts, [line.left - bad for line, bad in zip(lines, bad_debts, strict=True)]):
        now = min(amount, sum(most))
        amount -= now
        # as each line's is of all of it
        if now:
            parts.update(dict(enumerate(allocate(now, most))))
    return [(line, parts[place]) for place, line in enumerate(lines) if parts[place]]


def _recovered_credits(
    wallets: Wallets,
    source: Source,
    write_off: Any,
    lines: Sequence[_WrittenOff],
    back: Sequence[tuple[_WrittenOff, int]],
    doc: documents.Recovery,
) -> list[Movement]:
    """What of a recovery is of lines that bill no obligation: bad debt first, then prepaid credits that were not used."""
    rail = f"rail:{doc.rail}"
    now = sum(part for line, part in back if not line.of_terms)
    whole = sum(line.whole for line in lines if not line.of_terms)
    before = whole - sum(line.left for line in lines if not line.of_terms)
    taken = credits_back.written_off(wallets.books, source.customer.customer_id, write_off.document_id)
    reached = [min(max(point - (whole - taken), 0), taken) for point in (before, before + now)]
    movements = []
    if taken:
        movements = credits_back.recover(wallets, source, write_off.document_id, reached[0], reached[1], doc.date, rail)
    credits_ = sum(movement.amount for movement in movements if movement.rule == "recovery.credits")
    return [*movements, Movement("recovery.bad_debt", now - credits_, rail, invoice_subject(write_off.invoice))]


def _deferred_again(taking: Taking, rail: str, subject: str, amount: int) -> list[Movement]:
    """What was given up and is to come again: out of the contract asset up to its balance, the rest is deferred."""
    unbilled = min(amount, earned_ahead(taking.books, taking.source, subject, taking.day))
    return [
        Movement("recovery.unbilled", unbilled, rail, subject),
        Movement("recovery.deferred", amount - unbilled, rail, subject),
    ]
