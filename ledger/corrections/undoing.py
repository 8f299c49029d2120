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

from ledger.amounts.money import allocate, share
from ledger.cash import uses
from ledger.cash.uses import Piece
from ledger.corrections import refunds_explained, voids
from ledger.invoices import remaining
from ledger.invoices.post import BETWEEN, CUSTOMER, entity_subject, invoice_subject
from ledger.invoices.remaining import Voided
from ledger.invoices.taxes import tax_subject
from ledger.journal.books import AccountKey, Books, LetGo, Movement, Source, Undoing
from ledger.journal.by_date import available
from ledger.journal.currencies import clearing_subject, read_clearing
from ledger.journal.line_changes import add_change
from ledger.obligations import Correction, Decided, Obligations, earned_ahead, obligation_sides
from ledger.payments.between_customers import pass_back, pass_cash
from ledger.payments.payments import Settlement, applied, find_invoice, unapply
from ledger.payments.payments import settle as put
from ledger.payments.reversals import take_off_later
from ledger.usage import usage_lines
from ledger.wallets import credits_back
from ledger.wallets.breakage import break_of_billed
from ledger.wallets.grants import NET_GRANT, grant_accounts
from ledger.wallets.session import Wallets

# By whose rules what gave money back is undone.
EVENTS = {"refund": "refund_reversal", "dispute": "reinstated"}


@dataclass(frozen=True, slots=True)
class Undone:
    """What is undone: a refund or a lost dispute of a payment, of an amount; `points` are what of it was undone before, and is now.

    `openings` are of a dispute what its cash left by. Where the document that undoes it brings money, it is the one that `brings` it:
    its own lies where what went back had lain, with whomever. 0 where it brings none.
    """

    document_id: int
    kind: str
    money_id: int
    amount: int
    points: tuple[int, int]
    openings: Undoing | None = None
    brings: int = 0

    @property
    def lies(self) -> int:
        """Whose money lies where what went back had lain."""
        return self.brings or self.money_id

    @property
    def event(self) -> str:
        """By whose rules it is undone."""
        return EVENTS[self.kind]

    @property
    def undoing(self) -> Undoing:
        """That what it moved is undone."""
        return Undoing((self.document_id,), self.amount, self.points)

    @property
    def now(self) -> int:
        """What of it is undone now."""
        return self.points[1] - self.points[0]

    @property
    def left(self) -> int:
        """What of it was not undone before."""
        return self.amount - self.points[0]

    def part(self, left: int) -> int:
        """What of something is undone now of which so much was not undone before: no more than that, and in the end all of it."""
        return share(left, self.now, self.left) if self.left else 0


@dataclass(frozen=True, slots=True)
class TakenLine:
    """What it took of a line, net of tax, and still has: `whole`; so much is `back` already."""

    invoice_id: int
    invoice: str
    entity: str
    currency: str
    rate: Fraction | None
    collector: str | None
    master: str | None
    line: str
    kind: str
    product: str | None
    subject: str
    whole: int
    rebill: bool
    back: int = 0
    now: int = 0

    @property
    def of_terms(self) -> bool:
        """Whether it bills an obligation, whose terms say what of it is given."""
        return self.subject.startswith("obligation:") and self.kind not in remaining.PLAIN_KINDS


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
    if source.currency == books.entity(source.entity).currency:
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
        owner = replace(source, customer=books.customer(invoice.customer))
        key = AccountKey(source.entity, "accounts_receivable", invoice.currency, invoice_subject(invoice.ref))
        day = books.open_day(source, on)
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


# The rule by which whatever gives money back takes its taxable base.
_TAX_BASE = "credit.tax_base"


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
            day = self.wallets.books.open_day(self.source, self.on)
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
            place = (_TAX_BASE, subject, self.source.entity, self.source.currency)
            movements += [self._movement("tax", tax.now, subject), self.posted.valued(base, place)]
        return movements


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
            taken = _TAX_BASE if what == ".tax_base" else f"{of.kind}{what}"
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


# What gives back to a line what a document took of it.
_UNDOING = "('credit_note', 'invoice', 'refund_reversal', 'dispute', 'recovery', 'payment_reversal', 'beside')"


def taken_lines(books: Books, customer_id: int, document_id: int) -> list[TakenLine]:
    """What a document took of lines, net of tax, less what a credit note explained of it, or came back before."""
    return [line for line in _lines(books, customer_id, document_id) if line.whole > 0]


def brought_lines(books: Books, customer_id: int, document_id: int, by: int) -> list[TakenLine]:
    """The lines of which a document took something that another brought back, with what of each it did: its `now`."""
    return [line for line in _lines(books, customer_id, document_id, by) if line.now > 0]


def _lines(books: Books, customer_id: int, document_id: int, by: int = 0) -> list[TakenLine]:
    rows = books.connection.execute(
        text(
            "select x.invoice_id, i.ref, i.entity, i.currency, i.rate, (select m.entity from invoice m where m.customer_id = i.customer_id"
            "  and m.ref = i.master) as collector, i.master, x.line, l.kind, max(x.product) as product, x.subject,"
            " sum(x.amount_minor)::bigint as whole, bool_or(x.rebill) as rebill,"
            " -coalesce(sum(x.amount_minor) filter (where x.undoes = :document_id and d.type in ('dispute', 'recovery', 'payment_reversal', 'beside')), 0)::bigint as back,"
            " -coalesce(sum(x.amount_minor) filter (where x.undoes = :document_id and x.document_id = :by), 0)::bigint as now"
            " from line_change x"
            " join invoice_line l using (customer_id, invoice_id, line) join invoice i using (customer_id, invoice_id)"
            " join document d on d.customer_id in (x.customer_id, 0) and d.document_id = x.document_id where x.customer_id = :customer_id"
            f" and ((x.document_id = :document_id and x.undoes = 0) or (x.undoes = :document_id and d.type in {_UNDOING}))"
            " group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 11 order by 1, 8, 11"
        ),
        {"customer_id": customer_id, "document_id": document_id, "by": by},
    )
    return [
        TakenLine(
            row.invoice_id, row.ref, row.entity, row.currency, None if row.rate is None else Fraction(row.rate), row.collector,
            row.master, row.line, row.kind, row.product, row.subject, row.whole, row.rebill, row.back, row.now,
        )
        for row in rows
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class TakenTax:
    """What it took of a line's tax, and still has."""

    line: str
    position: int
    code: str
    treatment: str
    included: bool
    base: int
    tax: int
    now: int = 0


def undone_now(
    of: Undone,
    lines: Sequence[TakenLine],
    taxes: Mapping[int, Sequence[TakenTax]],
    totals: Mapping[int, int] | None = None,
) -> tuple[list[TakenLine], dict[int, list[TakenTax]]]:
    """What of each line and tax comes back now, so that of each invoice it is what is in `totals`, else what of all it took does.

    Of an invoice's part that another entity keeps each line comes to what the line does that stands for it.
    """
    found: list[TakenLine] = []
    found_taxes: dict[int, list[TakenTax]] = {}
    standing: dict[tuple[str, str], int] = {}
    for invoice_id in sorted({line.invoice_id for line in lines}, key=lambda number: _is_part(lines, number)):
        own = [line for line in lines if line.invoice_id == invoice_id]
        of_taxes = taxes.get(invoice_id, ())
        groups: list[tuple[int | None, list[TakenLine], list[TakenTax]]] = []
        if own[0].master is not None and any((own[0].master, line.line) in standing for line in own):
            groups += [
                (standing.get((own[0].master, name)), [line for line in own if line.line == name], [tax for tax in of_taxes if tax.line == name])
                for name in dict.fromkeys(line.line for line in own)
            ]  # fmt: skip
        else:
            groups.append(((totals or {}).get(invoice_id), own, list(of_taxes)))
        for total, of_lines, its_taxes in groups:
            wholes = [*(line.whole for line in of_lines), *(tax.tax for tax in its_taxes)]
            most = sum(wholes)
            asked = of.part(most) if total is None else min(total, most)
            parts = allocate(asked, wholes) if most > 0 else [0] * len(wholes)
            now = [replace(line, now=part) for line, part in zip(of_lines, parts, strict=False)]
            found += now
            found_taxes.setdefault(invoice_id, []).extend(
                replace(tax, now=part) for tax, part in zip(its_taxes, parts[len(of_lines) :], strict=True)
            )
            for line in now:
                if line.kind == BETWEEN:
                    standing[line.invoice, line.line] = standing.get((line.invoice, line.line), 0) + line.now
    return found, found_taxes


def _is_part(lines: Sequence[TakenLine], invoice_id: int) -> tuple[bool, int]:
    """An order in which what another entity keeps of an invoice comes after it."""
    return any(line.master is not None for line in lines if line.invoice_id == invoice_id), invoice_id


def taken_taxes(books: Books, customer_id: int, document_id: int) -> dict[int, list[TakenTax]]:
    """What a document took of lines' taxes, by invoice, less what a credit note explained of it, or came back before."""
    return _taxes(
        books, customer_id, document_id,
        f"(t.document_id = :document_id and t.undoes = 0) or (t.undoes = :document_id and d.type in {_UNDOING})",
    )  # fmt: skip


def brought_taxes(books: Books, customer_id: int, document_id: int, by: int) -> dict[int, list[TakenTax]]:
    """What of lines' taxes that a document took another brought back, by invoice."""
    brought = _taxes(books, customer_id, document_id, "t.undoes = :document_id and t.document_id = :by", by)
    return {
        invoice_id: [replace(tax, base=-tax.base, tax=-tax.tax) for tax in taxes]
        for invoice_id, taxes in brought.items()
    }


def _taxes(books: Books, customer_id: int, document_id: int, where: str, by: int = 0) -> dict[int, list[TakenTax]]:
    rows = books.connection.execute(
        text(
            "select t.invoice_id, t.line, t.position, t.tax_code, t.treatment, t.included, -sum(t.base_minor)::bigint as base,"
            " -sum(t.tax_minor)::bigint as tax from line_tax t join document d on d.customer_id in (t.customer_id, 0) and d.document_id = t.document_id"
            " where t.customer_id = :customer_id"
            f" and ({where})"
            " group by 1, 2, 3, 4, 5, 6 order by 1, 2, 3"
        ),
        {"customer_id": customer_id, "document_id": document_id, "by": by},
    )
    found: dict[int, list[TakenTax]] = {}
    for row in rows:
        found.setdefault(row.invoice_id, []).append(TakenTax(*row[1:]))
    return found


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
    for piece in _not_back([Piece(*row) for row in rows], _back_before(books, source, undoes), brings=bool(of.brings)):
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


def _back_before(books: Books, source: Source, undoes: int) -> list[Piece]:
    """Where what came back before, of what a document gave back, was put."""
    rows = books.connection.execute(
        text(
            "select money_id, invoice_id, origin_id, entity, currency, sum(amount_minor)::bigint as amount,"
            " sum(paid_minor)::bigint as paid, paid_currency, min(on_day) as since from money_use"
            " where customer_id = :customer_id and undoes = :undoes group by 1, 2, 3, 4, 5, 8 order by invoice_id = 0, min(use_id)"
        ),
        {"customer_id": source.customer.customer_id, "undoes": undoes},
    )
    return [Piece(*row) for row in rows]


def _not_back(given: Sequence[Piece], back: Sequence[Piece], *, brings: bool) -> list[Piece]:
    """What was given back, without what came back before: onto the invoice, or as what it left; by the documents that `bring` it, theirs."""
    found = list(given)
    for came in back:
        left = came
        # as it was given back first, then what was of an invoice and is what that left
        for as_it_was in (True, False):
            for place, piece in enumerate(found):
                if not brings and piece.money_id != came.money_id:
                    continue
                where = (piece.invoice_id, piece.origin_id) if as_it_was else (uses.BALANCE, piece.invoice_id)
                if where != (left.invoice_id, left.origin_id) or piece.currency != left.currency:
                    continue
                paid, amount = min(piece.paid, left.paid), min(piece.amount, left.amount)
                found[place] = replace(piece, amount=piece.amount - amount, paid=piece.paid - paid)
                left = replace(left, amount=left.amount - amount, paid=left.paid - paid)
    return [piece for piece in found if piece.amount or piece.paid]


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
        day = books.open_day(party, on)
        if line.of_terms:
            books.net(party, *obligation_sides(party, line.subject), day)
        elif line.kind == "usage" and line.product is not None:
            usage_lines.settle(books, party, line.product)
            keys = usage_lines.overage_accounts(party, line.product)
            books.net(party, keys, usage_lines.NET_USAGE, day - timedelta(days=1))
        elif line.subject.startswith("grant:") and line.kind == "prepaid":
            grant = wallets.grant(party.customer.customer_id, line.subject.removeprefix("grant:"))
            break_of_billed(wallets, party, grant, day)
            books.net(party, grant_accounts(party, grant.ref), NET_GRANT, day - timedelta(days=1))
