"""Recoveries: money that comes in after all for what a write-off gave up, in reverse order: bad debt first, then what is to come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy import text

from ledger import billed, credits_back, documents, usage_lines, uses
from ledger.books import Books, Movement, Source
from ledger.breakage import break_of_billed
from ledger.errors import Refused, UnknownReference
from ledger.grants import NET_GRANT, grant_accounts
from ledger.line_changes import add_change
from ledger.money import allocate, share, to_minor
from ledger.money_accounts import cash_named, cash_of
from ledger.obligations import Correction, Decided, Obligations, Taking, earned_ahead, obligation_sides
from ledger.receivables import invoice_subject
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
    rail = cash_of(books, row.entity, row.currency, doc.account, doc.rail)
    movements, owed_again = _taxes(books, row, document_id, rail, (before, before + amount, written))
    lines = _written_off(books, row.customer_id, row.document_id)
    recoveries = [
        *_recoveries(books, row, lines),
        _Recovery(document_id, doc.date, rail, amount - owed_again, [0] * len(lines)),
    ]
    lost = _split(wallets, source, doc, row, lines, recoveries, obligations)
    _recover_usage(wallets, source, lines, recoveries)
    _recover_plain(wallets, source, row, lines, lost, recoveries)
    (recovery,) = (item for item in recoveries if item.document_id == document_id)
    back = [(line, part) for line, part in zip(lines, recovery.parts, strict=True) if part]
    later = [item for item in recoveries if item is not recovery]
    moved = _move_later(books, source, row.document_id, lines, later)
    taking = Taking(books, source, books.open_day(source, doc.date))
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
    fee = 0 if doc.fee is None else to_minor(doc.fee, row.currency, "fee")
    books.post(source, doc.date, [*movements, Movement("payment.fee", fee, rail, rail)])
    uses.bring(books, source, amount, doc.date, row.invoice_id)
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
        books.net(source, *obligation_sides(source, subject), books.open_day(source, on))
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
            "select x.document_id, d.dated_on, d.body::json ->> 'rail' as rail, d.body::json ->> 'account' as account, x.invoice_id, x.line, x.subject,"
            " -sum(x.amount_minor)::bigint as amount, max(x.part) as last from line_change x"
            " join document d using (customer_id, document_id)"
            " where x.customer_id = :customer_id and x.kind = 'recovery' and x.undoes = :document_id"
            " group by 1, 2, 3, 4, 5, 6, 7 order by d.dated_on, x.document_id"
        ),
        {"customer_id": write_off.customer_id, "document_id": write_off.document_id},
    ).all()
    places = {(line.invoice_id, line.line, line.subject): place for place, line in enumerate(lines)}
    found: dict[int, _Recovery] = {}
    for row in rows:
        rail = cash_named({"account": row.account, "rail": row.rail})
        item = found.setdefault(row.document_id, _Recovery(row.document_id, row.dated_on, rail, 0, [0] * len(lines)))
        item.stands[places[row.invoice_id, row.line, row.subject]] += row.amount
        item.amount += row.amount
        item.rows = max(item.rows, row.last + 1)
    return list(found.values())


def _split(
    wallets: Wallets,
    source: Source,
    doc: documents.Recovery,
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
        Correction(document_id, doc.id, "recovery", line.invoice_id, line.line, line.subject, 0, doc.date, undoes=write_off.document_id)
        for line in lines if line.of_terms
    ])  # fmt: skip
    lost = _lost(wallets.books, source, asked, write_off, lines, recoveries)
    left = [list(lost), [line.whole - bad for line, bad in zip(lines, lost, strict=True)]]
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
                used[line.product] = usage_lines.lost_on(books, source, line.product, on)
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


def _recover_usage(
    wallets: Wallets, source: Source, lines: Sequence[_WrittenOff], recoveries: Sequence[_Recovery]
) -> None:
    """Post what recoveries are of usage: it is billed again, and days tell what of it is less bad debt, and what is to come."""
    books = wallets.books
    products: set[str] = set()
    for item in recoveries:
        movements = []
        for line, stood, part in zip(lines, item.stands, item.parts, strict=True):
            if line.is_usage and line.product is not None and part != stood:
                products.add(line.product)
                movements += [
                    Movement("recovery.deferred", max(part - stood, 0), item.rail, line.subject),
                    Movement("recovery.elsewhere", max(stood - part, 0), line.subject, item.rail),
                ]
        books.post(source, item.on, movements)
    for product in sorted(products):
        usage_lines.settle(books, source, product)
        first = min(books.open_day(source, item.on) for item in recoveries)
        keys = usage_lines.overage_accounts(source, product)
        books.net(source, keys, usage_lines.NET_USAGE, first - timedelta(days=1))


def _recover_plain(
    wallets: Wallets,
    source: Source,
    write_off: Any,
    lines: Sequence[_WrittenOff],
    lost: Sequence[int],
    recoveries: Sequence[_Recovery],
) -> None:
    """Post what recoveries are of other lines that bill no obligation: bad debt first, then prepaid credits that were not used."""
    places = [place for place, line in enumerate(lines) if not line.of_terms and not line.is_usage]
    invoice = invoice_subject(write_off.invoice)
    stood, now = Counter[int](), Counter[int]()

    def credits_of(parts: Counter[int]) -> int:
        return sum(max(parts[place] - lost[place], 0) for place in places)

    reached = sum(max(sum(item.stands[place] for item in recoveries) - lost[place], 0) for place in places)
    for item in recoveries:
        before = (credits_of(stood), credits_of(now))
        for place in places:
            stood[place] += item.stands[place]
            now[place] += item.parts[place]
        more = max((credits_of(now) - before[1]) - (credits_of(stood) - before[0]), 0)
        movements = []
        if more:
            of = "" if item.document_id == source.document_id else f" of {item.document_id}"
            after = reached + more
            movements += credits_back.recover(
                wallets, source, write_off.document_id, (reached, after), item.on, "recovery.credits", item.rail, of
            )
            reached = after
        bad_debt = sum(item.parts[place] - item.stands[place] for place in places) - more
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
