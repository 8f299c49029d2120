"""Money that is given back of what paid invoices, or lies on a balance: whose it is, of which lines, and what it leaves.

What goes back for service already given is shown on its own beside revenue, or as bad debt; what goes back for service
not yet given leaves the contract liability. What of it was given by the day before, the terms of what was billed say
(`obligations`), never what recognition has booked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy import text

from ledger.amounts.dates import LAST_DAY
from ledger.amounts.money import to_text
from ledger.cash import changing_places, payers, uses
from ledger.cash.changing_places import Freed
from ledger.cash.money_accounts import cash_named
from ledger.cash.uses import Piece
from ledger.corrections.credits import charged, lowered_by
from ledger.errors import OverApplication, Refused
from ledger.invoices import lowering, remaining
from ledger.invoices.forms import BETWEEN, entity_subject
from ledger.invoices.lines_left import LineLeft
from ledger.invoices.remaining import BilledInvoice
from ledger.invoices.taxes import tax_subject
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.currencies import clearing_subject
from ledger.journal.movements import AccountKey, Movement, Source
from ledger.obligations import Correction, Decided, Obligations, Taking
from ledger.payments.between_customers import pass_cash, received_for
from ledger.payments.payments import money_subject, read_payment
from ledger.payments.unapplications import let_stay
from ledger.usage import redraws, usage_taken
from ledger.wallets import credits_back
from ledger.wallets.expiry import expired_by
from ledger.wallets.grants import Funding
from ledger.wallets.session import Wallets

_CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class _Held:
    """What of a payment's money lies with a customer: who paid, or one whose invoices were paid; `source` is theirs, and its currency."""

    source: Source
    pieces: tuple[Piece, ...]
    invoices: Mapping[int, str]

    @property
    def settled(self) -> list[Piece]:
        """What of it lies on invoices."""
        return [piece for piece in self.pieces if piece.invoice_id != uses.BALANCE]


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment found by its id: what is left of it to give back from a day on, and with whom its money lies then, who paid first."""

    source: Source
    document_id: int
    field: str
    ref: str
    cash: str
    paid_on: date
    left: int
    held: tuple[_Held, ...]
    disputed: bool

    @property
    def name(self) -> str:
        """What brought it, and its id."""
        return f"{self.field} {self.ref}"

    @property
    def settled(self) -> list[tuple[_Held, Piece]]:
        """What of it lies on invoices, whoever owes them, in the order in which it was put there."""
        found = [(held, piece) for held in self.held for piece in held.settled]
        return sorted(found, key=lambda item: (item[1].since, item[1].order))


def find_payment(
    wallets: Wallets, document_id: int, money: tuple[str, str], on: date, *, disputed: bool = False
) -> Payment:
    """The payment, and where its money lies: enough for what is left of it to go back, and where `disputed` what is disputed, too."""
    books = wallets.books
    field_, ref = money
    found = read_payment(books, ref, field_)
    body = found.body
    source = books.source(document_id, found.customer, found.entity, found.currency, on, brings_in=False)
    parties = [
        source,
        *(
            replace(source, customer=books.parties.customer(other))
            for other in payers.with_others(books, source, found.document_id)
        ),
    ]
    # once all of them are locked
    left = payers.left_of(books, source, found.document_id, money_subject(field_, ref), on)
    pieces = [uses.of_money(books, party, found.document_id, on) for party in parties]
    needed = payers.left_of(books, source, found.document_id, "", on) if disputed else left
    if sum(piece.paid for own in pieces for piece in own) < needed:
        # it is put onto an invoice on a later day: what goes back before that is of the invoice, too
        pieces = [
            uses.with_later(own, uses.of_money(books, party, found.document_id, LAST_DAY))
            for party, own in zip(parties, pieces, strict=True)
        ]
    held = [_held(books, party, own) for party, own in zip(parties, pieces, strict=True)]
    paid_on = date.fromisoformat(body["date"])
    return Payment(source, found.document_id, field_, ref, cash_named(body), paid_on, left, tuple(held), disputed)


def _held(books: Books, party: Source, pieces: Sequence[Piece]) -> _Held:
    names = books.connection.execute(
        text("select invoice_id, ref from invoice where customer_id = :customer_id and invoice_id = any(:invoices)"),
        {
            "customer_id": party.customer.customer_id,
            "invoices": [number for piece in pieces for number in (piece.invoice_id, piece.origin_id)],
        },
    )
    return _Held(party, tuple(pieces), {row.invoice_id: row.ref for row in names})


def _posting(books: Books, payment: Payment, held: _Held, on: date) -> Source:
    """The source of what a document moves of who holds something of a payment's money: its own, or that beside it."""
    if held is payment.held[0]:
        return payment.source
    return books.beside(payment.source, held.source.customer.ref, on)


def with_what_stays(wallets: Wallets, payment: Payment, amount: int, on: date) -> Payment:
    """A payment with what stays on its invoices, of what an unapplication of a later day took off them, as that goes back before it."""
    needed = amount - sum(piece.paid for held in payment.held for piece in held.pieces)
    if needed <= 0 or not let_stay(wallets.books, payment.source, payment.document_id, needed, on):
        return payment
    return find_payment(
        wallets, payment.source.document_id, (payment.field, payment.ref), on, disputed=payment.disputed
    )


def require_at_most(amount: int, most: int, currency: str, what: str) -> None:
    """Raise OverApplication for an amount beyond what there is."""
    if amount > most:
        raise OverApplication(
            "amount",
            f"{to_text(amount, currency)} {currency}",
            f"expected at most {to_text(max(most, 0), currency)}, {what}",
        )


def require_not_before(on: date, earliest: date, what: str) -> None:
    """Raise Refused for a date before the first that can be."""
    if on < earliest:
        raise Refused("date", on, f"expected {earliest}, {what}, or later")


def split_by_line(books: Books, invoice: BilledInvoice, amount: int, on: date) -> dict[str, int]:
    """A gross amount of an invoice by the lines it is of: by what was left of them on a day, as far as that is there still."""
    lines = charged(invoice.lines)
    later = remaining.taken_later(books, invoice, on)
    by_then = lowering.shares(amount, [line.gross + later[line.line] for line in lines]) if later.total() else []
    if not by_then or any(part > line.gross for line, part in zip(lines, by_then, strict=True)):
        by_then = lowering.shares(amount, [line.gross for line in lines])
    return {line.line: part for line, part in zip(lines, by_then, strict=True)}


def part_by_invoice(
    wallets: Wallets, document_id: int, invoice: BilledInvoice, by_line: Mapping[str, int]
) -> list[tuple[BilledInvoice, dict[str, int]]]:
    """The parts of an invoice that other entities keep, each with what of the amounts is of its lines."""
    if not any(line.kind == BETWEEN for line in invoice.lines):
        return []
    found = []
    for part in remaining.parts(wallets, document_id, invoice):
        own = {line.line for line in part.lines}
        found.append((part, {line: amount for line, amount in by_line.items() if line in own}))
    return found


def given_by_lines(
    wallets: Wallets,
    document_id: int,
    by: str,
    on: date,
    kind: str,
    of: Sequence[tuple[BilledInvoice, Mapping[str, int]]],
    obligations: Obligations,
) -> Decided:
    """How what is given up or back of invoices' lines, gross, is made up where they bill obligations: all of a document at once."""
    corrections = []
    for invoice, by_line in of:
        for line in charged(invoice.lines):
            if lowering.is_of_terms(line) and by_line[line.line]:
                net, _ = lowered_by(by_line[line.line], line)
                corrections += [
                    # not before its receivable counts, as a credit note of it
                    Correction(
                        document_id,
                        by,
                        kind,
                        invoice.invoice_id,
                        line.line,
                        subject,
                        part,
                        max(on, invoice.recorded_on),
                    )
                    for subject, part in lowering.by_obligation(line, net)
                ]
    customer_id = of[0][0].source.customer.customer_id if of else 0
    return obligations.decide(wallets, customer_id, document_id, corrections)


def _post_parts(
    wallets: Wallets,
    parts: Sequence[tuple[BilledInvoice, dict[str, int]]],
    on: date,
    kind: str,
    to: str,
    decided: Decided,
) -> None:
    """Post what other entities bear of money given back: each claims less of the entity that collects."""
    books = wallets.books
    for part, by_line in parts:
        assert part.collector is not None, "a part has an entity that collects it"
        day = books.days.open_day(part.source, on)
        movements = _give_back(wallets, part, by_line, on, kind, to, decided)
        movements.append(Movement(_BORNE[kind], sum(by_line.values()), to, entity_subject(part.collector)))
        books.post(part.source, on, movements)
        net_invoices(wallets, [part], day)


# The rule by which what another entity bears leaves its claim on the one that collects.
_BORNE = {"refund": "between.refunded", "dispute": "between.disputed"}


def _give_back(
    wallets: Wallets,
    invoice: BilledInvoice,
    by_line: Mapping[str, int],
    on: date,
    kind: str,
    to: str,
    decided: Decided,
) -> list[Movement]:
    """What giving back gross amounts of an invoice's lines moves, by `refund` or `dispute`, to cash, disputed funds, or another currency."""
    books, source = wallets.books, invoice.source
    over = _over(to)
    movements: list[Movement] = []
    taking = Taking(books, source, books.days.open_day(source, on))
    for line in charged(invoice.lines):
        gross = by_line[line.line]
        if line.kind == BETWEEN:
            movements.append(Movement(f"{kind}.between{over}", gross, line.subject, to))
            lowering.record(books, source, invoice, line, kind, gross)
            continue
        net, taxes = lowered_by(gross, line)
        if lowering.is_of_terms(line):
            for subject, _ in lowering.by_obligation(line, net):
                share_ = decided.share(invoice.invoice_id, line.line, subject)
                held, rest, release = taking.out_of(subject, share_.expected + share_.rest, share_.expected)
                earned = Movement(f"{kind}.earned{over}", share_.earned, subject, to, rate=invoice.rate)
                movements += [
                    *release,
                    earned,  # at the invoice's rate, whatever the money was worth when it came in
                    Movement(f"{kind}.deferred{over}", held, subject, to),
                    Movement(f"{kind}.unbilled{over}", rest, subject, to),
                ]
        else:
            movements += usage_given(wallets, invoice, line, net, on, kind, to, taking.released)
        movements += [
            *(Movement(f"{kind}.tax{over}", part.amount, tax_subject(part.tax.code), to) for part in taxes),
            *lowering.base_movements(taxes),
        ]
        lowering.record(books, source, invoice, line, kind, net)
        lowering.record_taxes(books, source, invoice, line, taxes)
    return movements


def usage_given(
    wallets: Wallets,
    invoice: BilledInvoice,
    line: LineLeft,
    net: int,
    on: date,
    kind: str,
    to: str,
    before: Counter[str],
) -> list[Movement]:
    """What giving back, or giving up, a part of a line of prepaid credits or usage moves.

    Unused credits go with it; of usage, what was to be given back anyway, then what was billed ahead. The rest was used.
    """
    books, source = wallets.books, invoice.source
    day = books.days.open_day(source, on)
    over = _over(to)
    earned_rule = "write_off.bad_debt" if kind == "write_off" else f"{kind}.earned{over}"
    rate = None if kind == "write_off" else invoice.rate
    if line.kind == "prepaid":
        grant = wallets.grant(source.customer.customer_id, line.subject.removeprefix("grant:"))
        expired_by(wallets, source, grant, on)
        freed = redraws.free(wallets, source, grant, net + before[line.subject], on)
        wallets.freed += [(source, item) for item in freed]
        taken = credits_back.split(books, source, grant, net, day, before[line.subject])
        before[line.subject] += taken.unused
        # what unused credits were expected to break for goes with them
        back = taken.broken if grant.proportional else 0
        unused = taken.unused + back
        grant.broken -= back
        credits_back.take_unused(wallets, source, grant, credits_back.Taken(unused, 0, 0), day, kind, line.line)
        if unused:
            grant.fundings.append(Funding(day, -unused, on))
        return [
            Movement("break.returned", back, line.subject, line.subject),
            Movement(earned_rule, net - unused, line.subject, to, rate=rate),
            Movement(f"{kind}.credits{over}", unused, line.subject, to),
        ]
    if line.kind != "usage" or line.product is None:  # an opening, or a shortfall: what it is of was earned
        return [Movement(earned_rule, net, line.subject, to, rate=rate)]
    of_usage = usage_taken.take(books, source, line.product, net, day, before)
    movements = [
        Movement(earned_rule, of_usage.used, line.subject, to, rate=rate),
        Movement(f"{kind}.deferred{over}", of_usage.ahead, line.subject, to),
    ]
    for obligation, part in of_usage.rebates:
        movements.append(Movement("refund_liability.released", part, obligation, obligation))
        movements.append(Movement(f"{kind}.rebate{over}", part, obligation, to))
    return movements


def _over(to: str) -> str:
    """How a rule's code ends where what it gives back passes into another currency."""
    return "_exchanged" if to.startswith("currency:") else ""


# What of an invoice goes back: the invoice, the money it is of, and the amounts of its lines, gross.
_Split = tuple[BilledInvoice, Piece, dict[str, int]]
# How much goes back of which invoice, and who owes it.
Planned = tuple[_Held, BilledInvoice, Piece]


@dataclass(frozen=True, slots=True)
class _Going:
    """What goes back of one who holds something of a payment's money: off the balance, of lines, and what of these other entities bear."""

    source: Source
    freed: Sequence[Freed]
    split: Sequence[_Split]
    others: Sequence[tuple[BilledInvoice, dict[str, int]]]
    decided: Decided

    @property
    def paid(self) -> int:
        """What it comes to, of the money that came in."""
        return sum(item.piece.paid for item in self.freed) + sum(piece.paid for _, piece, _ in self.split)


def stand_together(books: Books, settled: Sequence[tuple[_Held, Piece]]) -> None:
    """Let the document under way count from the first day that is open in all entities that invoices with money on them are of."""
    refs: dict[int, list[str]] = {}
    for held, piece in settled:
        refs.setdefault(held.source.customer.customer_id, []).append(held.invoices[piece.invoice_id])
    for customer_id, of in refs.items():
        remaining.stand_together(books, customer_id, of)


def without_lines(
    settled: Sequence[tuple[_Held, Piece]], freed: Sequence[tuple[_Held, Freed]]
) -> list[tuple[_Held, Piece]]:
    """What lies on invoices, less what changes places with money on the balance, in its order."""
    found = []
    for held in dict.fromkeys(id(held) for held, _ in settled):
        own = [(of, piece) for of, piece in settled if id(of) == held]
        rest = changing_places.without([piece for _, piece in own], [item for of, item in freed if id(of) == held])
        found += [(own[0][0], piece) for piece in rest]
    return sorted(found, key=lambda item: (item[1].since, item[1].order))


def leave_balances(
    books: Books, payment: Payment, amount: int, on: date, origin: int | None = None, *, given: bool = False
) -> list[tuple[_Held, Freed]]:
    """What of an amount goes back off the balances of those with whom the money lies: no more than stands there.

    Where `given`, what was given to the one who paid goes out too, and stays none of the payment's.
    """
    found = []
    for held in payment.held:
        source = held.source
        there: dict[str, int] = {}
        own = source.customer.customer_id == payment.source.customer.customer_id
        for item in changing_places.off_balance(books, source, held.pieces, on, origin, given=given and own):
            currency = item.piece.currency
            if currency not in there:
                there[currency] = _unapplied(books, replace(source, currency=currency), on)
            part = item.part_paid(min(item.piece.paid, amount))
            if part.piece.amount > there[currency]:
                part = item.part_paid(item.piece.part(there[currency]).paid)
            if part.piece.paid:
                found.append((held, part))
                amount -= part.piece.paid
                there[currency] -= part.piece.amount
    return found


def _unapplied(books: Books, source: Source, on: date) -> int:
    key = AccountKey(source.entity, "customer_balance", source.currency, _CUSTOMER)
    return max(available(books.history(source.customer.customer_id, key), books.days.open_day(source, on)), 0)


def plan_by_invoice(
    wallets: Wallets, payment: Payment, settled: Sequence[tuple[_Held, Piece]], amount: int, on: date
) -> list[Planned]:
    """How much goes back of which invoice, in the order in which the payment settled them."""
    plan = []
    left = amount
    for held, piece in settled:
        if left == 0:
            break
        invoice = billed_for(wallets, payment, held, piece, on)
        part = piece.part_paid(min(left, piece.paid))
        if part.amount > invoice.gross:
            part = piece.part(invoice.gross)
        if part.paid:
            plan.append((held, invoice, part))
            left -= part.paid
    currency = payment.source.currency
    require_at_most(amount, amount - left, currency, f"what is left of what {payment.name} settled")
    return plan


def billed_for(wallets: Wallets, payment: Payment, held: _Held, piece: Piece, on: date) -> BilledInvoice:
    """An invoice that a payment settled, as it is billed on a day."""
    document_id = _posting(wallets.books, payment, held, on).document_id
    return remaining.find(wallets, document_id, held.invoices[piece.invoice_id])


def decide_lines(
    wallets: Wallets,
    payment: Payment,
    by: str,
    on: date,
    kind: str,
    freed: Sequence[tuple[_Held, Freed]],
    plan: Sequence[Planned],
    obligations: Obligations,
) -> list[_Going]:
    """What goes back of each who holds something of it: of which lines, what of it other entities bear, and how it is made up."""
    books = wallets.books
    found = []
    for held in payment.held:
        off = [item for of, item in freed if of is held]
        of_invoices = [(invoice, piece) for of, invoice, piece in plan if of is held]
        if not off and not of_invoices:
            continue
        source = _posting(books, payment, held, on)
        split = [(invoice, piece, split_by_line(books, invoice, piece.amount, on)) for invoice, piece in of_invoices]
        others = [
            item
            for invoice, _, by_line in split
            for item in part_by_invoice(wallets, source.document_id, invoice, by_line)
        ]
        of = [*((invoice, by_line) for invoice, _, by_line in split), *others]
        decided = given_by_lines(wallets, source.document_id, by, on, kind, of, obligations)
        found.append(_Going(source, off, split, others, decided))
    return found


def leave_invoices(
    wallets: Wallets,
    payment: Payment,
    on: date,
    kind: str,
    to: str,
    going: Sequence[_Going],
    movements: Sequence[Movement] = (),
) -> None:
    """Post that a payment's money goes back, by `refund` or `dispute`: off balances, and of invoices; out of the cash of who paid."""
    books = wallets.books
    if all(item.source is not payment.source for item in going):
        books.post(payment.source, on, movements)
    for item in going:
        if item.source is payment.source:
            _go_back(wallets, item, on, kind, to, movements)
            continue
        worth = received_for(books, payment.source, payment.document_id, item.paid)
        pass_cash(books, payment.source, item.source, on, item.paid, to, worth)
        _go_back(wallets, item, on, kind, to)


def _go_back(wallets: Wallets, going: _Going, on: date, kind: str, to: str, movements: Sequence[Movement] = ()) -> None:
    books, source = wallets.books, going.source
    day = books.days.open_day(source, on)
    moved = list(movements)
    exchanged: list[list[Movement]] = []
    for item in going.freed:
        if item.piece.currency == source.currency:
            moved.append(Movement(f"{kind}.balance", item.piece.amount, _CUSTOMER, to))
        else:
            through = clearing_subject(item.piece.currency, source.currency)
            left = Movement(
                f"{kind}.balance_exchanged", item.piece.amount, _CUSTOMER, through, currency=item.piece.currency
            )
            exchanged.append([left, Movement(f"{kind}.exchanged", item.piece.paid, through, to)])
    for invoice, piece, by_line in going.split:
        if piece.currency == source.currency:
            moved += _give_back(wallets, invoice, by_line, on, kind, to, going.decided)
        else:
            through = clearing_subject(piece.currency, source.currency)
            given = _give_back(wallets, invoice, by_line, on, kind, through, going.decided)
            of_invoice = [replace(movement, currency=piece.currency) for movement in given]
            exchanged.append([*of_invoice, Movement(f"{kind}.exchanged", piece.paid, through, to)])
    for entry in (moved, *exchanged):
        books.post(source, on, entry)
    changing_places.give_back_freed(books, source, going.freed, on)
    uses.give_back(books, source, [piece for _, piece, _ in going.split], on)
    net_invoices(wallets, [invoice for invoice, _, _ in going.split], day)
    _post_parts(wallets, going.others, on, kind, to, going.decided)
    going.decided.keep()


def net_invoices(wallets: Wallets, invoices: Sequence[BilledInvoice], day: date) -> None:
    """Let the lines of invoices show one side each, and what used credits freed be drawn again."""
    for invoice in invoices:
        for line in charged(invoice.lines):
            if line.kind == "usage" and line.product is not None:
                usage_taken.settle_taken(wallets, invoice.source, line.product, lowers=True)
        lowering.net_sides(wallets.books, invoice.source, charged(invoice.lines), day)
    freed, wallets.freed = wallets.freed, []
    for source, item in freed:
        redraws.draw_again(wallets, source, [item])
