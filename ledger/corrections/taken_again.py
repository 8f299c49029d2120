"""What a recovery brought back of a refund, or of a lost dispute, goes again once that recovery comes back itself.

All of it is as it was after the refund, and can be recovered again: as far as the money lies where the recovery put it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from sqlalchemy import text

from ledger.amounts.money import allocate, share
from ledger.cash import uses
from ledger.cash.uses import Piece
from ledger.corrections import undone_postings
from ledger.corrections.taken import TakenLine, TakenTax, brought_lines, brought_taxes
from ledger.corrections.undone_values import Posted
from ledger.invoices.forms import BETWEEN, CUSTOMER
from ledger.invoices.taxes import tax_subject
from ledger.journal.books import Books
from ledger.journal.line_changes import add_change
from ledger.journal.movements import Came, Movement, Source, Undoing
from ledger.obligations import Correction, Decided, Obligations, Taking
from ledger.payments.between_customers import pass_cash
from ledger.wallets import credits_back
from ledger.wallets.session import Wallets


@dataclass(slots=True)
class _Again:
    """What goes again of one refund or lost dispute, of one who holds it: the money where it lies, with the lines and taxes of it.

    `undoes` is the document itself, `taken_by` that or what stands beside it; `brought_by` what brought it back, or stands beside that.
    """

    source: Source
    kind: str
    undoes: int
    taken_by: int
    brought_by: int
    pieces: list[Piece]
    lines: list[TakenLine] = field(default_factory=list)
    taxes: dict[int, list[TakenTax]] = field(default_factory=dict)

    @property
    def paid(self) -> int:
        """What of the money goes."""
        return sum(piece.paid for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class CameBack:
    """That a recovery came back: by which document, on which day, which one, and where its cash is.

    What it brought of a write-off itself is `apart`.
    """

    by: str
    on: date
    money_id: int
    subject: str
    rail: str
    apart: Sequence[Piece] = ()


def take_again(wallets: Wallets, source: Source, came: CameBack, obligations: Obligations) -> None:
    """Let what a recovery brought back of refunds and lost disputes go again: of lines as it was, by their own rules."""
    books = wallets.books
    found = _found(books, source, came)
    cash = books.brought_cash(source.customer.customer_id, came.money_id, came.rail, undone=True)
    decided = {
        customer_id: _decide(
            wallets,
            customer_id,
            [of for of in found if of.source.customer.customer_id == customer_id],
            came,
            obligations,
        )
        for customer_id in dict.fromkeys(of.source.customer.customer_id for of in found)
    }
    for of in found:
        _post(wallets, source, of, came, decided[of.source.customer.customer_id], cash)
    for one in decided.values():
        one.keep()


def _found(books: Books, source: Source, came: CameBack) -> list[_Again]:
    """What goes again, as far as it lies where it was put, and in the currency in which it came in."""
    books.flush()
    rows = books.connection.execute(
        text(
            "select c.ref as customer, u.document_id, u.undoes, d.type, coalesce(b.document_id, d.document_id) as taken_by,"
            " u.invoice_id, u.origin_id, u.entity, u.currency, sum(u.amount_minor)::bigint as amount, sum(u.paid_minor)::bigint as paid,"
            " u.paid_currency, min(u.on_day) as since from money_use u join customer c using (customer_id)"
            " join document d on d.customer_id = :customer_id and d.document_id = u.undoes"
            " left join document_key b on u.customer_id <> :customer_id and b.type = 'beside' and b.ref = d.type || ':' || d.ref"
            " where u.money_id = :money_id and u.undoes <> 0 and u.amount_minor > 0 and (u.document_id = :money_id"
            "  or u.document_id = (select k.document_id from document_key k where k.type = 'beside' and k.ref = :subject))"
            " group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 12 order by u.undoes desc, min(u.use_id) desc"
        ),
        {"customer_id": source.customer.customer_id, "money_id": came.money_id, "subject": came.subject},
    ).all()
    there: dict[tuple[str, int, int, str], int] = {}
    for customer in dict.fromkeys([source.customer.ref, *(row.customer for row in rows)]):
        for piece in uses.of_money(books, _holder(books, source, customer, came.on), came.money_id, came.on):
            there[customer, piece.invoice_id, piece.origin_id, piece.currency] = piece.amount
    for piece in came.apart:
        there[source.customer.ref, piece.invoice_id, piece.origin_id, piece.currency] -= piece.amount
    found: dict[tuple[int, str], _Again] = {}
    for row in rows:
        place = (row.customer, row.invoice_id, row.origin_id, row.currency)
        amount = min(row.amount, there.get(place, 0))
        if not amount or row.currency != source.currency or row.entity != source.entity:
            continue
        there[place] -= amount
        holder = _holder(books, source, row.customer, came.on)
        of = found.setdefault(
            (row.undoes, row.customer), _Again(holder, row.type, row.undoes, row.taken_by, row.document_id, [])
        )
        where = (came.money_id, row.invoice_id, row.origin_id, row.entity, row.currency)
        of.pieces.append(Piece(*where, amount, amount, row.paid_currency, row.since))
    for of in found.values():
        _read(books, of)
    return [of for of in found.values() if of.pieces]


def _holder(books: Books, source: Source, customer: str, on: date) -> Source:
    return source if customer == source.customer.ref else books.beside(source, customer, on)


def _read(books: Books, of: _Again) -> None:
    """Say what of each line and tax goes: what came back of it, as far as its invoice's money goes again."""
    customer_id = of.source.customer.customer_id
    lines = brought_lines(books, customer_id, of.taken_by, of.brought_by)
    taxes = brought_taxes(books, customer_id, of.taken_by, of.brought_by)
    # what another entity keeps, or collects, is due again
    apart = {line.invoice_id for line in lines if line.collector is not None or line.kind == BETWEEN}
    of.pieces = [piece for piece in of.pieces if piece.invoice_id not in apart]
    for place, piece in enumerate(of.pieces):
        if piece.invoice_id == uses.BALANCE:
            continue
        own = [line for line in lines if line.invoice_id == piece.invoice_id]
        its = taxes.get(piece.invoice_id, [])
        wholes = [*(line.now for line in own), *(tax.tax for tax in its)]
        of.pieces[place] = piece.part(min(piece.amount, sum(wholes)))
        parts = allocate(of.pieces[place].amount, wholes) if sum(wholes) > 0 else [0] * len(wholes)
        of.lines += [replace(line, now=part) for line, part in zip(own, parts, strict=False)]
        of.taxes[piece.invoice_id] = [replace(tax, now=part) for tax, part in zip(its, parts[len(own) :], strict=True)]


def _decide(
    wallets: Wallets, customer_id: int, parties: Sequence[_Again], came: CameBack, obligations: Obligations
) -> Decided:
    return obligations.decide(wallets, customer_id, parties[0].source.document_id, [
        Correction(of.source.document_id, came.by, of.kind, line.invoice_id, line.line, line.subject, -line.now, came.on, undoes=of.taken_by)
        for of in parties for line in of.lines if line.of_terms
    ])  # fmt: skip


def _post(wallets: Wallets, payer: Source, of: _Again, came: CameBack, decided: Decided, cash: Came) -> None:
    """Post what goes again of one who holds it, out of the cash of who paid; what was lost is disputed first."""
    books, source = wallets.books, of.source
    posted = Posted.brought(books, source, of.kind, of.brought_by)
    to = came.subject if of.kind == "dispute" else came.rail
    taking = Taking(books, source, books.days.open_day(source, came.on))
    lowered = [movement for line in of.lines for movement in _of_line(wallets, of, line, came, to, decided, taking)]
    lowered += [movement for taxes in of.taxes.values() for tax in taxes for movement in _of_tax(of, tax, to)]
    balance = sum(piece.amount for piece in of.pieces if piece.invoice_id == uses.BALANCE)
    lowered.append(Movement(f"{of.kind}.balance", balance, CUSTOMER, to))
    movements = [
        posted.valued(movement, (movement.rule, movement.debit, source.entity, source.currency))
        if movement.credit == to
        else movement
        for movement in lowered
    ]
    worth = sum(_counts(movement) for movement in movements if movement.credit == to)
    if source is not payer:
        pass_cash(books, payer, source, came.on, of.paid, came.rail, worth)
    if of.kind == "dispute":
        movements.insert(0, Movement("dispute.opened", of.paid, came.subject, came.rail, functional=worth))
    for place, movement in enumerate(movements):
        if movement.credit == came.rail:
            # the payer's own goes at what it came for; what another had it passed on at is what it goes for
            counts = cash.going(movement.amount) if source is payer else movement.functional
            movements[place] = replace(movement, worth=counts)
    books.post(source, came.on, movements, Undoing((came.money_id,), 1, (0, 1)))
    for piece in of.pieces:
        uses.add(books, source, piece, came.on, -1, undoes=of.undoes)
    _record(books, of)
    undone_postings.settle(wallets, source, of.lines, came.on)


def _counts(movement: Movement) -> int:
    return movement.amount if movement.functional is None else movement.functional


def _of_line(
    wallets: Wallets, of: _Again, line: TakenLine, came: CameBack, to: str, decided: Decided, taking: Taking
) -> list[Movement]:
    """What goes of a line again, made up as it was."""
    part = line.now
    if line.of_terms:
        shares = decided.share(line.invoice_id, line.line, line.subject, undoing=of.taken_by)
        earned = min(max(-shares.earned, 0), part)
        held, rest, release = taking.out_of(line.subject, part - earned, max(-shares.expected, 0))
        return [
            *release,
            Movement(f"{of.kind}.earned", earned, line.subject, to, rate=line.rate),
            Movement(f"{of.kind}.deferred", held, line.subject, to),
            Movement(f"{of.kind}.unbilled", rest, line.subject, to),
        ]
    if line.kind == "usage" and line.product is not None:
        # days tell what of it was used, and what is ahead of use
        return [Movement(f"{of.kind}.deferred", part, line.subject, to)]
    unused, moved = 0, list[Movement]()
    if line.kind == "prepaid":
        unused, moved = _of_credits(wallets, of, line, came, to)
    return [*moved, Movement(f"{of.kind}.earned", part - unused, line.subject, to, rate=line.rate)]


def _of_credits(wallets: Wallets, of: _Again, line: TakenLine, came: CameBack, to: str) -> tuple[int, list[Movement]]:
    """What of a line goes with unused credits that had come back, and the movements of it. Raises Refused where they were used."""
    books, customer_id = wallets.books, of.source.customer.customer_id
    taken = credits_back.taken_with(books, customer_id, of.taken_by).get(line.line, 0)
    whole = line.back + line.whole
    before, now = (share(min(taken, whole), point, whole) for point in (line.back, line.back - line.now))
    moved = credits_back.recover(
        wallets, of.source, of.taken_by, (before, now), came.on, f"{of.kind}.credits", to, f" of {of.undoes}", line.line
    )
    returned = f"{of.kind}.credits_returned"
    return before - now, [replace(item, rule=f"{of.kind}.credits") if item.rule == returned else item for item in moved]


def _of_tax(of: _Again, tax: TakenTax, to: str) -> list[Movement]:
    """What goes of a tax again, with its part of the base."""
    subject = tax_subject(tax.code)
    base = share(tax.base, tax.now, tax.tax) if tax.tax else 0
    return [Movement(f"{of.kind}.tax", tax.now, subject, to), Movement("credit.tax_base", base, subject, subject)]


def _record(books: Books, of: _Again) -> None:
    """Gather that lines have less again, and their taxes."""
    source = of.source
    for number, line in enumerate(of.lines):
        if line.now:
            more = {"undoes": of.taken_by, "part": number, "rebill": line.rebill}
            add_change(books, source, line.invoice_id, line.line, of.kind, line.now, line.product, line.subject, more)
    for invoice_id, own in of.taxes.items():
        for tax in own:
            books.add_row(
                "line_tax",
                customer_id=source.customer.customer_id, document_id=source.document_id, line=tax.line, position=tax.position,
                invoice_id=invoice_id, tax_code=tax.code, treatment=tax.treatment, included=tax.included,
                base_minor=-(share(tax.base, tax.now, tax.tax) if tax.tax else 0), tax_minor=-tax.now, undoes=of.taken_by,
            )  # fmt: skip
