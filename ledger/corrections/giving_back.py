"""Money that is given back of what paid invoices, or lies on a balance: of which lines, and what that leaves.

What goes back for service already given is shown on its own beside revenue, or as bad debt; what goes back for service
not yet given leaves the contract liability. What of it was given by the day before, the terms of what was billed say
(`obligations`), never what recognition has booked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from ledger.cash import changing_places, uses
from ledger.cash.changing_places import Freed
from ledger.cash.uses import Piece
from ledger.corrections.credits import charged, lowered_by
from ledger.corrections.held_money import Held, Payment, Planned, posting_of
from ledger.invoices import lowering, remaining
from ledger.invoices.forms import BETWEEN, CUSTOMER, entity_subject
from ledger.invoices.lines_left import LineLeft
from ledger.invoices.remaining import BilledInvoice
from ledger.invoices.taxes import tax_subject
from ledger.journal.books import Books
from ledger.journal.currencies import clearing_subject
from ledger.journal.movements import Movement, Source
from ledger.obligations import Correction, Decided, Obligations, Taking
from ledger.payments.between_customers import pass_cash, received_for
from ledger.usage import redraws, usage_taken
from ledger.wallets import credits_back
from ledger.wallets.expiry import expired_by
from ledger.wallets.grants import Funding
from ledger.wallets.session import Wallets


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


def decide_lines(
    wallets: Wallets,
    payment: Payment,
    by: str,
    on: date,
    kind: str,
    freed: Sequence[tuple[Held, Freed]],
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
        source = posting_of(books, payment, held, on)
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
            moved.append(Movement(f"{kind}.balance", item.piece.amount, CUSTOMER, to))
        else:
            through = clearing_subject(item.piece.currency, source.currency)
            left = Movement(
                f"{kind}.balance_exchanged", item.piece.amount, CUSTOMER, through, currency=item.piece.currency
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
