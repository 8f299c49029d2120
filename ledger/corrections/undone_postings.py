"""What comes back of lines, taxes and money as it is posted, for what it counted for as it left."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction

from ledger.amounts.money import share
from ledger.cash import uses
from ledger.corrections.taken import TakenLine, TakenTax, Undone
from ledger.corrections.undone_parties import UndoneParty
from ledger.corrections.undone_values import TAX_BASE, Posted
from ledger.invoices.forms import BETWEEN, CUSTOMER, entity_subject
from ledger.invoices.taxes import tax_subject
from ledger.journal.books import Books
from ledger.journal.currencies import clearing_subject
from ledger.journal.line_changes import add_change
from ledger.journal.movements import LetGo, Movement, Source
from ledger.obligations import Decided, earned_ahead, obligation_sides
from ledger.usage import usage_lines, usage_taken
from ledger.wallets import credits_back
from ledger.wallets.breakage import break_of_billed
from ledger.wallets.grants import NET_GRANT, grant_accounts
from ledger.wallets.session import Wallets


def let_go(books: Books, source: Source, of: Undone, rest: int, amount: int) -> int | None:
    """What cash that comes back counted for as it left, or what was disputed did: of the `rest` that is not back yet.

    All parts of it, whoever they are of, come to what all of it counted for. None in the entity's own currency.
    """
    if source.currency == books.parties.entity(source.entity).currency:
        return None
    gone = books.left_by(source.customer.customer_id, source.entity, source.currency, (of.document_id,))
    left = LetGo(sum(item.amount for item in gone.values()), sum(item.functional for item in gone.values()))
    return left.between(left.amount - rest, amount) if left.amount else None


def post_back(wallets: Wallets, party_: UndoneParty, on: date, rail: str) -> int:
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
    entries += _of_balance(party_, rail, posted)
    counted = _come_back(books, party_, on, rail, entries)
    for piece in [*pieces, *balance]:
        lying = replace(piece, money_id=of.brings) if of.brings else piece
        uses.add(books, source, lying, on, undoes=party_.undoes)
    record(books, source, of, lines, taxes)
    settle(wallets, source, lines, on)
    return counted


def _of_balance(party_: UndoneParty, rail: str, posted: Posted) -> list[tuple[Source, list[Movement]]]:
    """What comes back onto the balance: an entry a piece, exchanged again where that lay in another currency."""
    source, of = party_.source, party_.of
    event = of.event
    entries: list[tuple[Source, list[Movement]]] = []
    for piece in party_.balance:
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
    return entries


def _come_back(
    books: Books, party_: UndoneParty, on: date, rail: str, entries: Sequence[tuple[Source, list[Movement]]]
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
    left = let_go(books, source, of, party_.rest, whole) if whole else None
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


def _counts(books: Books, source: Source, on: date, movement: Movement) -> int:
    """What a movement counts for in the entity's currency."""
    if movement.functional is not None:
        return movement.functional
    currency = movement.currency or source.currency
    stated = source if movement.rate is None else replace(source, rate=movement.rate, currency=currency)
    return books.at_rate(stated, currency, on, movement.amount)


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
