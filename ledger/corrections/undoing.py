"""What gave money back is undone: a refund that failed, a dispute that was lost and is won after all.

What it took of lines comes back, made up as it was: what had been shown beside revenue is not any more, what is to come is owed
again and earned by its terms. The money lies again where it was taken from.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction

from sqlalchemy import text

from ledger.amounts.money import share
from ledger.cash import uses
from ledger.cash.uses import Piece
from ledger.corrections import refunds_explained, voids
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
from ledger.corrections.undone_values import TAX_BASE, Posted
from ledger.invoices import remaining
from ledger.invoices.forms import BETWEEN, CUSTOMER, entity_subject, invoice_subject
from ledger.invoices.remaining import Voided
from ledger.invoices.taxes import tax_subject
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.currencies import clearing_subject
from ledger.journal.line_changes import add_change
from ledger.journal.movements import AccountKey, LetGo, Movement, Source
from ledger.obligations import Correction, Decided, Obligations, earned_ahead, obligation_sides
from ledger.payments.applied import applied, unapply
from ledger.payments.between_customers import pass_back, pass_cash
from ledger.payments.settlements import Settlement, find_invoice
from ledger.payments.settlements import settle as put
from ledger.payments.unapplications import take_off_later
from ledger.usage import usage_lines, usage_taken
from ledger.wallets import credits_back
from ledger.wallets.breakage import break_of_billed
from ledger.wallets.grants import NET_GRANT, grant_accounts
from ledger.wallets.session import Wallets


def undo(
    wallets: Wallets,
    source: Source,
    by: str,
    whole: Sequence[Undone],
    on: date,
    rail: str,
    obligations: Obligations,
) -> None:
    """Post that what gave money back is undone, into cash; `source` is the payment's party and currency.

    What it took of other customers comes back to them, as it was. What came back of an invoice that was voided is not its any more.
    """
    books = wallets.books
    books.flush()
    together = [(of, _parties(wallets, source, of, on)) for of in whole]
    decided = _decide(wallets, [party for _, parties in together for party in parties], by, obligations, on)
    for of, parties in together:
        rest = of.left
        for party in parties:
            party.before = of.left - rest
            counted = _post(wallets, party, on, rail)
            if party.source is not source:
                back = _let_go(books, source, of, rest, party.paid)
                pass_cash(books, party.source, source, on, party.paid, rail, counted, back)
            rest -= party.paid
    for one in decided:
        one.keep()
    for of, parties in together:
        for party in parties:
            _explain_later(wallets, party, by, on, obligations)
        for party in parties:
            take_off_later(books, party.source, source, party.pieces, on)
        if parties[0].older:
            _pay_others_again(books, source, of, parties[0].home, on)
    _leave_voided(wallets, source, [party for _, parties in together for party in parties], on)


def _voided(books: Books, party: _Undoing) -> dict[str, Voided]:
    """The invoices that something comes back of, and were voided, with what did that."""
    refs = dict.fromkeys(line.master or line.invoice for line in party.lines if line.now)
    found = {ref: remaining.voided(books, party.source, ref) for ref in refs}
    return {ref: voided for ref, voided in found.items() if voided is not None}


def _voids(parties: Sequence[_Undoing], by: str, on: date) -> list[Correction]:
    """That what comes back of obligations' bills that were voided is taken back again, on the day of the void or later."""
    places: Counter[tuple[int, date, int, str, str]] = Counter()
    for party in parties:
        for line in party.lines:
            voided = party.voided.get(line.master or line.invoice)
            if voided is not None and line.now and line.of_terms:
                day = max(on, voided.on)
                places[party.source.document_id, day, line.invoice_id, line.line, line.subject] += line.now
    return [
        Correction(document_id, by, "void", invoice_id, line, subject, amount, day)
        for (document_id, day, invoice_id, line, subject), amount in places.items()
    ]


def _leave_voided(wallets: Wallets, payer: Source, parties: Sequence[_Undoing], on: date) -> None:
    """Take what came back of voided invoices off them: the money goes to who paid, and the void takes the rest."""
    books = wallets.books
    money = {party.of.lies for party in parties}
    found = {ref: (party, voided) for party in parties for ref, voided in party.voided.items()}
    for ref, (party, voided) in found.items():
        theirs, day = party.source, max(on, voided.on)
        invoice = find_invoice(books, theirs, ref)
        lying = [piece for piece in uses.on_invoice(books, theirs, invoice.invoice_id, day) if piece.money_id in money]
        back = unapply(books, theirs, invoice, applied(books, theirs, lying, day), day)
        if theirs is not payer:
            pass_back(books, theirs, payer, day, back)
        assert party.decided is not None, "what comes back is read before it is posted"
        voids.void_again(wallets, theirs.document_id, ref, voided.document_id, day, party.decided)


def _parties(wallets: Wallets, source: Source, of: Undone, on: date) -> list[_Undoing]:
    """Who held what went back: who paid, and others whose invoices it was given back of."""
    books = wallets.books
    beside = _beside(books, source, of)
    parties = [_Undoing(source, of, of.document_id, older=beside is None)]
    if beside is not None:
        of_others = replace(of, document_id=beside.document_id)
        parties += [_Undoing(books.beside(source, other, on), of_others, of.document_id) for other in beside.customers]
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


def _allot(of: Undone, parties: Sequence[_Undoing]) -> None:
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


def _decide(
    wallets: Wallets, parties: Sequence[_Undoing], by: str, obligations: Obligations, on: date
) -> list[Decided]:
    """Decide how what comes back is made up, all of a customer's at once, before anything is posted."""
    decided: dict[int, Decided] = {}
    for party in parties:
        customer_id = party.source.customer.customer_id
        if customer_id not in decided:
            decided[customer_id] = obligations.decide(wallets, customer_id, party.source.document_id, [
                Correction(own.source.document_id, by, own.of.event, line.invoice_id, line.line, line.subject, line.now, on,
                           undoes=own.of.document_id)
                for own in parties if own.source.customer.customer_id == customer_id for line in own.lines if line.of_terms
            ] + _voids([own for own in parties if own.source.customer.customer_id == customer_id], by, on))  # fmt: skip
        party.decided = decided[customer_id]
    return list(decided.values())


def _let_go(books: Books, source: Source, of: Undone, rest: int, amount: int) -> int | None:
    """What cash that comes back counted for as it left, or what was disputed did: of the `rest` that is not back yet.

    All parts of it, whoever they are of, come to what all of it counted for. None in the entity's own currency.
    """
    if source.currency == books.parties.entity(source.entity).currency:
        return None
    gone = books.left_by(source.customer.customer_id, source.entity, source.currency, (of.document_id,))
    left = LetGo(sum(item.amount for item in gone.values()), sum(item.functional for item in gone.values()))
    return left.between(left.amount - rest, amount) if left.amount else None


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


@dataclass(slots=True)
class _Undoing:
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


def _post(wallets: Wallets, party_: _Undoing, on: date, rail: str) -> int:
    """Post what comes back of one who held something; returns what the cash of it counts for."""
    books, source, of = wallets.books, party_.source, party_.of
    event = of.event
    lines, taxes, pieces, balance, decided = party_.lines, party_.taxes, party_.pieces, party_.balance, party_.decided
    assert decided is not None, "what comes back is read before it is posted"
    posted = Posted.of(books, source, of, party_.undoes, event)
    by_invoice: defaultdict[int, list[TakenLine]] = defaultdict(list)
    for line in lines:
        by_invoice[line.invoice_id].append(line)
    entries: list[tuple[Source, list[Movement]]] = []
    for invoice_id, own in by_invoice.items():
        first = own[0]
        party = replace(source, entity=first.entity, currency=first.currency, rate=None)
        foreign = first.collector is None and first.currency != source.currency
        to = clearing_subject(first.currency, source.currency, undone=True) if foreign else rail
        back = _Back(wallets, party, of, on, event, to, decided, posted)
        movements = [movement for line in own for movement in back.of_line(line)]
        movements += back.of_taxes(taxes.get(invoice_id, ()))
        if foreign:
            paid = sum(piece.paid for piece in pieces if piece.invoice_id == invoice_id)
            movements.append(_exchanged(source, of, event, (paid, rail, to), first.currency, posted))
        elif first.collector is not None:
            claim = sum(movement.amount for movement in movements if movement.debit == rail)
            movements.append(Movement("between.reinstated", claim, entity_subject(first.collector), rail))
        entries.append((party, movements))
    for piece in pieces:
        if (
            piece.invoice_id not in by_invoice and piece.currency != source.currency
        ):  # so little that no line had less by it
            to = clearing_subject(piece.currency, source.currency, undone=True)
            alone = _exchanged(source, of, event, (piece.paid, rail, to), piece.currency, posted)
            entries.append((replace(source, currency=piece.currency, rate=None), [alone]))
    for piece in balance:
        party = replace(source, currency=piece.currency)
        if piece.currency == source.currency:
            place = (f"{of.kind}.balance", CUSTOMER, source.entity, source.currency)
            entries.append((party, [posted.valued(Movement(f"{event}.balance", piece.amount, rail, CUSTOMER), place)]))
            continue
        to = clearing_subject(piece.currency, source.currency, undone=True)
        place = (f"{of.kind}.balance_exchanged", CUSTOMER, source.entity, piece.currency)
        entries.append((party, [
            posted.valued(Movement(f"{event}.balance_exchanged", piece.amount, to, CUSTOMER), place),
            _exchanged(source, of, event, (piece.paid, rail, to), piece.currency, posted),
        ]))  # fmt: skip
    counted = _come_back(books, party_, on, rail, entries)
    for piece in [*pieces, *balance]:
        lying = replace(piece, money_id=of.brings) if of.brings else piece
        uses.add(books, source, lying, on, undoes=party_.undoes)
    record(books, source, of, lines, taxes)
    settle(wallets, source, lines, on)
    return counted


def _come_back(
    books: Books, party_: _Undoing, on: date, rail: str, entries: Sequence[tuple[Source, list[Movement]]]
) -> int:
    """Post entries that bring cash back: it counts for what it counted for as it left, in another currency than the entity's, too.

    Returns what that is, where it is of that entity.
    """
    source, of = party_.source, party_.of
    undoing = of.openings or replace(of, document_id=party_.undoes).undoing

    def is_cash(party: Source, movement: Movement) -> bool:
        currency = movement.currency or party.currency
        return movement.debit == rail and currency == source.currency and party.entity == source.entity

    whole = sum(movement.amount for party, movements in entries for movement in movements if is_cash(party, movement))
    left = _let_go(books, source, of, party_.rest, whole) if whole else None
    reached = 0
    counted = 0
    for party, movements in entries:
        posted = []
        came = sum(movement.amount for movement in movements if is_cash(party, movement))
        part = undoing.of_part(party_.before + reached, came)
        for movement in movements:
            worth = None
            if movement.amount and is_cash(party, movement):
                if left is not None:
                    worth = share(left, reached + movement.amount, whole) - share(left, reached, whole)
                reached += movement.amount
                counted += _counts(books, party, on, movement) if worth is None else worth
            posted.append(replace(movement, worth=worth))
        books.post(party, on, posted, part)
    return counted


def _explain_later(wallets: Wallets, party: _Undoing, by: str, on: date, obligations: Obligations) -> None:
    """Take refunds of later days, that arrived before, off the balance: of what a note had left there, and is there again."""
    books, source, balance = wallets.books, party.source, party.balance
    for origin in dict.fromkeys(piece.origin_id for piece in balance if piece.origin_id):
        books.flush()
        ref = books.connection.scalar(
            text("select ref from invoice where customer_id = :customer_id and invoice_id = :invoice_id"),
            {"customer_id": source.customer.customer_id, "invoice_id": origin},
        )
        invoice = remaining.find_any(wallets, source.document_id, str(ref))
        refunds = refunds_explained.later_refunds(books, invoice, on + timedelta(days=1))
        if not refunds:
            continue
        # what of it is still there on the day of the last of them
        back = sum(piece.amount for piece in balance if piece.origin_id == origin)
        there = [piece for piece in uses.on_balance(books, invoice.source, on) if piece.origin_id == origin]
        most = min(back, sum(piece.amount for piece in there))
        explained = refunds_explained.explained(refunds_explained.restored(invoice, refunds), {}, refunds, most)
        corrected = refunds_explained.corrections(explained, invoice, source.document_id, by)
        decided = obligations.decide(wallets, source.customer.customer_id, source.document_id, corrected)
        refunds_explained.put_back(books, invoice, explained)
        refunds_explained.post(books, invoice, explained)
        decided.keep()


def _counts(books: Books, source: Source, on: date, movement: Movement) -> int:
    """What a movement counts for in the entity's currency."""
    if movement.functional is not None:
        return movement.functional
    currency = movement.currency or source.currency
    stated = source if movement.rate is None else replace(source, rate=movement.rate, currency=currency)
    return books.at_rate(stated, currency, on, movement.amount)


def _pay_others_again(books: Books, source: Source, of: Undone, amount: int, on: date) -> None:
    """Put money that documents of older books took off other customers' invoices onto them again, as far as they are due."""
    if not amount:
        return
    books.flush()
    rows = books.connection.execute(
        text(
            "select i.ref, i.currency, -sum(u.amount_minor)::bigint as amount, -sum(u.paid_minor)::bigint as paid from document d"
            " join document_key k on k.type = 'beside' and k.ref = d.type || ':' || d.ref"
            " join money_use u on u.document_id = k.document_id and u.money_id = :money_id and u.invoice_id <> 0"
            " join invoice i on i.customer_id = u.customer_id and i.invoice_id = u.invoice_id"
            " where d.customer_id = :customer_id and d.document_id = :document_id group by 1, 2 having sum(u.paid_minor) < 0 order by min(u.use_id)"
        ),
        {"customer_id": source.customer.customer_id, "document_id": of.document_id, "money_id": of.money_id},
    ).all()
    for row in rows:
        invoice = find_invoice(books, source, row.ref, paid_on=on)
        owner = replace(source, customer=books.parties.customer(invoice.customer))
        key = AccountKey(source.entity, "accounts_receivable", invoice.currency, invoice_subject(invoice.ref))
        day = books.days.open_day(source, on)
        due = max(available(books.history(owner.customer.customer_id, key), day), 0)
        paid = min(amount, row.paid)
        there = min(share(row.amount, paid, row.paid), due)
        paid = share(row.paid, there, row.amount)
        if there and paid:
            piece = Piece(of.lies, uses.BALANCE, 0, source.entity, source.currency, paid, paid, source.currency, on)
            put(books, source, Settlement(invoice, on, day, there, paid), [piece])
            amount -= paid


def _exchanged(
    source: Source,
    of: Undone,
    event: str,
    moved: tuple[int, str, str],
    currency: str,
    posted: Posted,
) -> Movement:
    """What comes in of what had been exchanged, at what it counted for then."""
    amount, rail, to = moved
    place = (f"{of.kind}.exchanged", clearing_subject(currency, source.currency), source.entity, source.currency)
    movement = Movement(f"{event}.exchanged", amount, rail, to, currency=source.currency)
    return posted.valued(movement, place)


@dataclass(slots=True)
class _Back:
    """What the lines of an invoice get back of what is undone."""

    wallets: Wallets
    source: Source
    of: Undone
    on: date
    event: str
    to: str
    decided: Decided
    posted: Posted

    @property
    def _over(self) -> str:
        return "_exchanged" if self.to.startswith("currency:") else ""

    def _movement(self, what: str, amount: int, subject: str, rate: Fraction | None = None) -> Movement:
        movement = Movement(f"{self.event}.{what}{self._over}", amount, self.to, subject, rate=rate)
        place = (f"{self.of.kind}.{what}{self._over}", subject, self.source.entity, self.source.currency)
        return self.posted.valued(movement, place)

    def of_line(self, line: TakenLine) -> list[Movement]:
        """What a line gets back."""
        part = line.now
        if line.kind == BETWEEN:
            return [self._movement("between", part, line.subject)]
        if line.of_terms:
            shares = self.decided.share(line.invoice_id, line.line, line.subject, undoing=self.of.document_id)
            rest = part - shares.earned
            day = self.wallets.books.days.open_day(self.source, self.on)
            unbilled = min(rest, earned_ahead(self.wallets.books, self.source, line.subject, day))
            return [
                self._movement("earned", shares.earned, line.subject, line.rate),
                self._movement("unbilled", unbilled, line.subject, line.rate),
                self._movement("deferred", rest - unbilled, line.subject, line.rate),
            ]
        if line.kind == "usage" and line.product is not None:
            # it is billed again; what of it was used, and what ahead of use, days tell
            return [self._movement("deferred", part, line.subject)]
        unused = 0
        movements: list[Movement] = []
        if line.kind == "prepaid":
            of_line = line.back + line.whole
            whole = min(self._taken_with().get(line.line, 0), of_line)
            before, now = (share(whole, point, of_line) for point in (line.back, line.back + part))
            unused = now - before
            movements = credits_back.recover(
                self.wallets, self.source, self.of.document_id, (before, now), self.on,
                f"{self.event}.credits{self._over}", self.to, f" of {self.of.document_id}" if self.of.brings else "", line.line,
            )  # fmt: skip
        return [*movements, self._movement("earned", part - unused, line.subject, line.rate)]

    def _taken_with(self) -> dict[str, int]:
        return credits_back.taken_with(self.wallets.books, self.source.customer.customer_id, self.of.document_id)

    def of_taxes(self, taxes: Iterable[TakenTax]) -> list[Movement]:
        """What of taxes is owed again."""
        movements = []
        for tax in taxes:
            subject = tax_subject(tax.code)
            base = Movement(f"{self.event}.tax_base", self.of.part(tax.base), subject, subject)
            place = (TAX_BASE, subject, self.source.entity, self.source.currency)
            movements += [self._movement("tax", tax.now, subject), self.posted.valued(base, place)]
        return movements


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


def record(
    books: Books, source: Source, of: Undone, lines: Sequence[TakenLine], taxes: Mapping[int, Sequence[TakenTax]]
) -> None:
    """Gather that lines have again what was taken of them, and of their taxes."""
    for number, line in enumerate(lines):
        amount = line.now
        if amount:
            more = {"undoes": of.document_id, "part": number, "rebill": line.rebill}
            add_change(books, source, line.invoice_id, line.line, of.kind, -amount, line.product, line.subject, more)
    for invoice_id, own in taxes.items():
        for tax in own:
            books.add_row(
                "line_tax",
                customer_id=source.customer.customer_id, document_id=source.document_id, line=tax.line, position=tax.position,
                invoice_id=invoice_id, tax_code=tax.code, treatment=tax.treatment, included=tax.included,
                base_minor=of.part(tax.base), tax_minor=tax.now, undoes=of.document_id,
            )  # fmt: skip


def settle(wallets: Wallets, source: Source, lines: Sequence[TakenLine], on: date) -> None:
    """Let what lines are about settle anew, from the day on which they got something back."""
    books = wallets.books
    seen: Counter[tuple[str, str, str]] = Counter()
    for line in lines:
        party = replace(source, entity=line.entity, currency=line.currency, rate=None)
        key = (line.entity, line.currency, line.subject)
        seen[key] += 1
        if seen[key] > 1:
            continue
        day = books.days.open_day(party, on)
        if line.of_terms:
            books.net(party, *obligation_sides(party, line.subject), day)
        elif line.kind == "usage" and line.product is not None:
            usage_taken.settle(books, party, line.product)
            keys = usage_lines.overage_accounts(party, line.product)
            books.net(party, keys, usage_lines.NET_USAGE, day - timedelta(days=1))
        elif line.subject.startswith("grant:") and line.kind == "prepaid":
            grant = wallets.grant(party.customer.customer_id, line.subject.removeprefix("grant:"))
            break_of_billed(wallets, party, grant, day)
            books.net(party, grant_accounts(party, grant.ref), NET_GRANT, day - timedelta(days=1))
