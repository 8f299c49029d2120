"""Who held what went back and comes back now, and what of it is theirs: lines, taxes and money."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from sqlalchemy import text

from ledger.cash import uses
from ledger.cash.uses import Piece
from ledger.corrections.taken import (
    TakenLine,
    TakenTax,
    Undone,
    back_before,
    not_back,
    taken_lines,
    taken_taxes,
    undone_now,
)
from ledger.invoices import remaining
from ledger.invoices.remaining import Voided
from ledger.journal.books import Books
from ledger.journal.movements import Source
from ledger.obligations import Decided
from ledger.wallets.session import Wallets


@dataclass(slots=True)
class UndoneParty:
    """What is undone of one who held money that went back: the lines and taxes that come back, and where the money lies again."""

    source: Source
    of: Undone
    undoes: int  # the document itself, of which `of` may be what stands beside it
    lines: list[TakenLine] = field(default_factory=list)
    taxes: dict[int, list[TakenTax]] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
    balance: list[Piece] = field(default_factory=list)
    decided: Decided | None = None
    home: int = 0  # what had been taken off what it paid of others
    older: bool = False
    rest: int = 0  # what of it was not back before, of the money
    before: int = 0  # what comes back now of those before it
    voided: dict[str, Voided] = field(default_factory=dict)

    @property
    def paid(self) -> int:
        """What of the money comes back."""
        return sum(piece.paid for piece in (*self.pieces, *self.balance))

    def read(self, books: Books) -> None:
        """Find what comes back."""
        source, of = self.source, self.of
        customer_id = source.customer.customer_id
        lines = taken_lines(books, customer_id, of.document_id)
        remaining.stand_together(books, customer_id, list(dict.fromkeys(line.invoice for line in lines)))
        self.lines, self.taxes = lines, taken_taxes(books, customer_id, of.document_id)
        gross: Counter[int] = Counter()
        for line in self.lines:
            if line.collector is None:
                gross[line.invoice_id] += line.whole
        for invoice_id in gross:
            gross[invoice_id] += sum(tax.tax for tax in self.taxes.get(invoice_id, ()))
        self.pieces, self.balance = _lay(books, source, of, gross, self.undoes)


def _voided(books: Books, party: UndoneParty) -> dict[str, Voided]:
    """The invoices that something comes back of, and were voided, with what did that."""
    refs = dict.fromkeys(line.master or line.invoice for line in party.lines if line.now)
    found = {ref: remaining.voided(books, party.source, ref) for ref in refs}
    return {ref: voided for ref, voided in found.items() if voided is not None}


def parties_of(wallets: Wallets, source: Source, of: Undone, on: date) -> list[UndoneParty]:
    """Who held what went back: who paid, and others whose invoices it was given back of."""
    books = wallets.books
    beside = _beside(books, source, of)
    parties = [UndoneParty(source, of, of.document_id, older=beside is None)]
    if beside is not None:
        of_others = replace(of, document_id=beside.document_id)
        parties += [
            UndoneParty(books.beside(source, other, on), of_others, of.document_id) for other in beside.customers
        ]
    for party in parties:
        party.read(books)
        party.rest = party.paid
    parties[0].rest = of.left
    _allot(of, parties)
    for party in parties:
        party.voided = _voided(books, party)
    home = of.now - sum(party.paid for party in parties)
    if home:
        where = (of.money_id, uses.BALANCE, 0, source.entity, source.currency)
        parties[0].balance.append(Piece(*where, home, home, source.currency, on))
        parties[0].home = home
    return parties


def _allot(of: Undone, parties: Sequence[UndoneParty]) -> None:
    """Say what of each piece of money comes back now, of what of it did not before; and so of the lines and taxes it is of.

    They come to what is undone, and none comes back twice, in whatever parts it does.
    """
    reached = 0
    for party in parties:
        totals: dict[int, int] = {}
        for pieces in (party.pieces, party.balance):
            for place, piece in enumerate(pieces):
                before, reached = reached, reached + piece.paid
                paid = of.part(reached) - of.part(before)
                same = piece.currency == piece.paid_currency and piece.amount == piece.paid
                pieces[place] = replace(piece, amount=paid if same else of.part(piece.amount), paid=paid)
                if pieces is party.pieces:
                    totals[piece.invoice_id] = totals.get(piece.invoice_id, 0) + pieces[place].amount
        party.lines, party.taxes = undone_now(of, party.lines, party.taxes, totals)


@dataclass(frozen=True, slots=True)
class _Beside:
    """What a document that gave money back moved of others than who paid: the document beside it, and of whom."""

    document_id: int
    customers: list[str]


def _beside(books: Books, source: Source, of: Undone) -> _Beside | None:
    """What a document that gave money back took of other customers; None where it took nothing, or called their money home.

    That did documents of older books: what they paid was due again.
    """
    row = books.connection.execute(
        text(
            "select k.document_id, array_agg(distinct c.ref) as customers, exists (select from entry e"
            "  join posting p using (customer_id, entry_id) join rule r on r.number = p.rule and r.code = 'customer.balance_out'"
            "  where e.document_id = k.document_id) as recalled from document d"
            " join document_key k on k.type = 'beside' and k.ref = d.type || ':' || d.ref"
            " join money_use u on u.document_id = k.document_id join customer c on c.customer_id = u.customer_id"
            " where d.customer_id = :customer_id and d.document_id = :document_id group by 1"
        ),
        {"customer_id": source.customer.customer_id, "document_id": of.document_id},
    ).first()
    return None if row is None or row.recalled else _Beside(row.document_id, row.customers)


def _lay(
    books: Books, source: Source, of: Undone, gross: Mapping[int, int], undoes: int
) -> tuple[list[Piece], list[Piece]]:
    """Where the money lies again: on invoices, as far as it was given back of them, the rest on the balance, as what they left.

    Without what came back before.
    """
    rows = books.connection.execute(
        text(
            "select money_id, invoice_id, origin_id, entity, currency, -sum(amount_minor)::bigint as amount,"
            " -sum(paid_minor)::bigint as paid, paid_currency, min(on_day) as since from money_use u"
            " where customer_id = :customer_id and document_id = :document_id"
            # what it let stay where it lay, on a later day, is told anew
            " and on_day <= (select max(coalesce(d.dated_on, u.on_day)) from document d where d.document_id = u.document_id)"
            # what no payment brought went out with it; what only changed places did not
            " and (money_id = :money_id or (select sum(g.paid_minor) from money_use g where g.customer_id = u.customer_id"
            "  and g.document_id = u.document_id and g.money_id = u.money_id) < 0)"
            " group by 1, 2, 3, 4, 5, 8 having sum(amount_minor) < 0 or sum(paid_minor) < 0 order by min(use_id)"
        ),
        {"customer_id": source.customer.customer_id, "document_id": of.document_id, "money_id": of.money_id},
    )
    pieces, balance = [], []
    for piece in not_back([Piece(*row) for row in rows], back_before(books, source, undoes), brings=bool(of.brings)):
        there = min(gross.get(piece.invoice_id, 0), piece.amount)
        # of tiny amounts, what went back may come to nothing in the invoice's currency
        on_invoice = piece.part(there) if piece.amount else piece
        left = replace(piece, amount=piece.amount - there, paid=piece.paid - on_invoice.paid)
        if on_invoice.amount or on_invoice.paid:
            pieces.append(on_invoice)
        if left.amount or left.paid:
            origin = piece.invoice_id or piece.origin_id
            balance.append(replace(left, invoice_id=uses.BALANCE, origin_id=origin))
    return pieces, balance
