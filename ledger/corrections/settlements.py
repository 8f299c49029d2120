"""Money that does not come or does not stay: refunds, disputes, write-offs and recoveries.

What goes back for service already given is shown on its own beside revenue, or as bad debt; what goes back for service
not yet given leaves the contract liability. What of it was given by the day before, the terms of what was billed say
(`obligations`), never what recognition has booked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import text

from ledger.amounts.dates import LAST_DAY
from ledger.amounts.money import to_minor, to_text
from ledger.cash import uses
from ledger.cash.fees import returned_of_dispute
from ledger.cash.money_accounts import cash_named, cash_of
from ledger.cash.uses import Freed, Piece
from ledger.corrections.notes import charged, lowered_by
from ledger.corrections.undoing import Undone, undo
from ledger.documents import models
from ledger.errors import OverApplication, Refused, UnknownReference
from ledger.invoices import remaining
from ledger.invoices.post import BETWEEN, entity_subject, invoice_subject
from ledger.invoices.remaining import BilledInvoice, Line
from ledger.invoices.taxes import tax_subject
from ledger.journal.books import AccountKey, Books, Movement, Source, Undoing
from ledger.journal.by_date import available
from ledger.journal.currencies import clearing_subject
from ledger.obligations import Correction, Decided, Obligations, Taking
from ledger.parties.approval import approve
from ledger.payments.balance_refunds import post_balance_refund, undo_balance_refund
from ledger.payments.between_customers import pass_cash, received_for
from ledger.payments.payments import money_subject, read_payment
from ledger.payments.reversals import let_stay
from ledger.usage import redraws, usage_lines
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
class _Payment:
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


def _find_payment(
    wallets: Wallets, document_id: int, money: tuple[str, str], on: date, *, disputed: bool = False
) -> _Payment:
    """The payment, and where its money lies: enough for what is left of it to go back, and where `disputed` what is disputed, too."""
    books = wallets.books
    field_, ref = money
    found = read_payment(books, ref, field_)
    body = found.body
    source = books.source(document_id, found.customer, found.entity, found.currency, on, brings_in=False)
    parties = [
        source,
        *(
            replace(source, customer=books.customer(other))
            for other in uses.with_others(books, source, found.document_id)
        ),
    ]
    # once all of them are locked
    left = uses.left_of(books, source, found.document_id, money_subject(field_, ref), on)
    pieces = [uses.of_money(books, party, found.document_id, on) for party in parties]
    needed = uses.left_of(books, source, found.document_id, "", on) if disputed else left
    if sum(piece.paid for own in pieces for piece in own) < needed:
        # it is put onto an invoice on a later day: what goes back before that is of the invoice, too
        pieces = [
            uses.with_later(own, uses.of_money(books, party, found.document_id, LAST_DAY))
            for party, own in zip(parties, pieces, strict=True)
        ]
    held = [_held(books, party, own) for party, own in zip(parties, pieces, strict=True)]
    paid_on = date.fromisoformat(body["date"])
    return _Payment(source, found.document_id, field_, ref, cash_named(body), paid_on, left, tuple(held), disputed)


def _held(books: Books, party: Source, pieces: Sequence[Piece]) -> _Held:
    names = books.connection.execute(
        text("select invoice_id, ref from invoice where customer_id = :customer_id and invoice_id = any(:invoices)"),
        {
            "customer_id": party.customer.customer_id,
            "invoices": [number for piece in pieces for number in (piece.invoice_id, piece.origin_id)],
        },
    )
    return _Held(party, tuple(pieces), {row.invoice_id: row.ref for row in names})


def _posting(books: Books, payment: _Payment, held: _Held, on: date) -> Source:
    """The source of what a document moves of who holds something of a payment's money: its own, or that beside it."""
    if held is payment.held[0]:
        return payment.source
    return books.beside(payment.source, held.source.customer.ref, on)


def _with_what_stays(wallets: Wallets, payment: _Payment, amount: int, on: date) -> _Payment:
    """A payment with what stays on its invoices, of what an unapplication of a later day took off them, as that goes back before it."""
    needed = amount - sum(piece.paid for held in payment.held for piece in held.pieces)
    if needed <= 0 or not let_stay(wallets.books, payment.source, payment.document_id, needed, on):
        return payment
    return _find_payment(
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


def _by_line(books: Books, invoice: BilledInvoice, amount: int, on: date) -> dict[str, int]:
    """A gross amount of an invoice by the lines it is of: by what was left of them on a day, as far as that is there still."""
    lines = charged(invoice.lines)
    later = remaining.taken_later(books, invoice, on)
    by_then = remaining.shares(amount, [line.gross + later[line.line] for line in lines]) if later.total() else []
    if not by_then or any(part > line.gross for line, part in zip(lines, by_then, strict=True)):
        by_then = remaining.shares(amount, [line.gross for line in lines])
    return {line.line: part for line, part in zip(lines, by_then, strict=True)}


def _of_parts(
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


def _given(
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
            if remaining.is_of_terms(line) and by_line[line.line]:
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
                    for subject, part in remaining.by_obligation(line, net)
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
        day = books.open_day(part.source, on)
        movements = _give_back(wallets, part, by_line, on, kind, to, decided)
        movements.append(Movement(_BORNE[kind], sum(by_line.values()), to, entity_subject(part.collector)))
        books.post(part.source, on, movements)
        _net(wallets, [part], day)


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
    taking = Taking(books, source, books.open_day(source, on))
    for line in charged(invoice.lines):
        gross = by_line[line.line]
        if line.kind == BETWEEN:
            movements.append(Movement(f"{kind}.between{over}", gross, line.subject, to))
            remaining.record(books, source, invoice, line, kind, gross)
            continue
        net, taxes = lowered_by(gross, line)
        if remaining.is_of_terms(line):
            for subject, _ in remaining.by_obligation(line, net):
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
            movements += _of_usage(wallets, invoice, line, net, on, kind, to, taking.released)
        movements += [
            *(Movement(f"{kind}.tax{over}", part.amount, tax_subject(part.tax.code), to) for part in taxes),
            *remaining.base_movements(taxes),
        ]
        remaining.record(books, source, invoice, line, kind, net)
        remaining.record_taxes(books, source, invoice, line, taxes)
    return movements


def _of_usage(
    wallets: Wallets, invoice: BilledInvoice, line: Line, net: int, on: date, kind: str, to: str, before: Counter[str]
) -> list[Movement]:
    """What giving back, or giving up, a part of a line of prepaid credits or usage moves.

    Unused credits go with it; of usage, what was to be given back anyway, then what was billed ahead. The rest was used.
    """
    books, source = wallets.books, invoice.source
    day = books.open_day(source, on)
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
    of_usage = usage_lines.take(books, source, line.product, net, day, before)
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
_Planned = tuple[_Held, BilledInvoice, Piece]


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


def post_refund(wallets: Wallets, doc: models.Refund, document_id: int, obligations: Obligations) -> int:
    """Pay money back: for the invoice named; else from the customer's balance, then for what the payment settled.

    What the payment settled of other customers goes back of their balances and invoices, as it would had they paid it. One that
    names no money pays out of the customer's balance.
    """
    if doc.customer is not None:
        return post_balance_refund(wallets, doc, document_id)
    payment = _find_payment(wallets, document_id, doc.money, doc.date)
    books, source = wallets.books, payment.source
    amount = to_minor(doc.amount, source.currency)
    require_not_before(doc.date, payment.paid_on, f"when {payment.name} came in")
    require_at_most(amount, payment.left, source.currency, f"what is left of {payment.name} on {doc.date}")
    payment = _with_what_stays(wallets, payment, amount, doc.date)
    approve(books, source, doc, amount, money=(payment.document_id,))
    origin = None if doc.invoice is None else _settled_by(payment, doc.invoice)
    freed = _off_balances(books, payment, amount, doc.date, origin, given=True)
    left = amount - sum(item.piece.paid for _, item in freed)
    settled = [(held, piece) for held, piece in _without(payment.settled, freed) if origin in (None, piece.invoice_id)]
    if left:
        _stand_together(books, settled)
    plan = _plan(wallets, payment, settled, left, doc.date)
    going = _decide(wallets, payment, doc.id, doc.date, "refund", freed, plan, obligations)
    fee = 0 if doc.fee is None else to_minor(doc.fee, source.currency, "fee")
    cash = cash_of(books, source.entity, source.currency, doc.account, payment.cash)
    fees = [Movement("payment.fee", fee, cash, cash)]
    _go(wallets, payment, doc.date, "refund", cash, going, fees)
    return source.customer.customer_id


def _settled_by(payment: _Payment, ref: str) -> int:
    """The number of an invoice of which a payment settles something, or settled what is on its customer's balance."""
    for held in payment.held:
        for piece in held.pieces:
            for number in (piece.invoice_id, piece.origin_id):
                if held.invoices.get(number) == ref:
                    return number
    settled = ", ".join(
        f"{to_text(piece.amount, piece.currency)} of {held.invoices[piece.invoice_id]}"
        for held, piece in payment.settled
    )
    raise Refused(
        "invoice", ref,
        f"expected an invoice of which {payment.name} settles something that did not go back: it settles {settled or 'nothing'}",
    )  # fmt: skip


def _stand_together(books: Books, settled: Sequence[tuple[_Held, Piece]]) -> None:
    """Let the document under way count from the first day that is open in all entities that invoices with money on them are of."""
    refs: dict[int, list[str]] = {}
    for held, piece in settled:
        refs.setdefault(held.source.customer.customer_id, []).append(held.invoices[piece.invoice_id])
    for customer_id, of in refs.items():
        remaining.stand_together(books, customer_id, of)


def _without(settled: Sequence[tuple[_Held, Piece]], freed: Sequence[tuple[_Held, Freed]]) -> list[tuple[_Held, Piece]]:
    """What lies on invoices, less what changes places with money on the balance, in its order."""
    found = []
    for held in dict.fromkeys(id(held) for held, _ in settled):
        own = [(of, piece) for of, piece in settled if id(of) == held]
        rest = uses.without([piece for _, piece in own], [item for of, item in freed if id(of) == held])
        found += [(own[0][0], piece) for piece in rest]
    return sorted(found, key=lambda item: (item[1].since, item[1].order))


def _off_balances(
    books: Books, payment: _Payment, amount: int, on: date, origin: int | None = None, *, given: bool = False
) -> list[tuple[_Held, Freed]]:
    """What of an amount goes back off the balances of those with whom the money lies: no more than stands there.

    Where `given`, what was given to the one who paid goes out too, and stays none of the payment's.
    """
    found = []
    for held in payment.held:
        source = held.source
        there: dict[str, int] = {}
        own = source.customer.customer_id == payment.source.customer.customer_id
        for item in uses.off_balance(books, source, held.pieces, on, origin, given=given and own):
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
    return max(available(books.history(source.customer.customer_id, key), books.open_day(source, on)), 0)


def _plan(
    wallets: Wallets, payment: _Payment, settled: Sequence[tuple[_Held, Piece]], amount: int, on: date
) -> list[_Planned]:
    """How much goes back of which invoice, in the order in which the payment settled them."""
    plan = []
    left = amount
    for held, piece in settled:
        if left == 0:
            break
        invoice = _billed(wallets, payment, held, piece, on)
        part = piece.part_paid(min(left, piece.paid))
        if part.amount > invoice.gross:
            part = piece.part(invoice.gross)
        if part.paid:
            plan.append((held, invoice, part))
            left -= part.paid
    currency = payment.source.currency
    require_at_most(amount, amount - left, currency, f"what is left of what {payment.name} settled")
    return plan


def _billed(wallets: Wallets, payment: _Payment, held: _Held, piece: Piece, on: date) -> BilledInvoice:
    document_id = _posting(wallets.books, payment, held, on).document_id
    return remaining.find(wallets, document_id, held.invoices[piece.invoice_id])


def _decide(
    wallets: Wallets,
    payment: _Payment,
    by: str,
    on: date,
    kind: str,
    freed: Sequence[tuple[_Held, Freed]],
    plan: Sequence[_Planned],
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
        split = [(invoice, piece, _by_line(books, invoice, piece.amount, on)) for invoice, piece in of_invoices]
        others = [
            item for invoice, _, by_line in split for item in _of_parts(wallets, source.document_id, invoice, by_line)
        ]
        of = [*((invoice, by_line) for invoice, _, by_line in split), *others]
        decided = _given(wallets, source.document_id, by, on, kind, of, obligations)
        found.append(_Going(source, off, split, others, decided))
    return found


def _go(
    wallets: Wallets,
    payment: _Payment,
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
    day = books.open_day(source, on)
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
    uses.give_back_freed(books, source, going.freed, on)
    uses.give_back(books, source, [piece for _, piece, _ in going.split], on)
    _net(wallets, [invoice for invoice, _, _ in going.split], day)
    _post_parts(wallets, going.others, on, kind, to, going.decided)
    going.decided.keep()


def post_refund_reversal(
    wallets: Wallets, doc: models.RefundReversal, document_id: int, obligations: Obligations
) -> int:
    """A refund failed: what it took comes back, and the money lies where it was. Raises Refused where that was said already."""
    books = wallets.books
    books.flush()
    row: Any = books.connection.execute(
        text(
            "select d.customer_id, d.document_id, d.dated_on, d.body::json as body, (select r.ref from document r"
            "  where r.customer_id = d.customer_id and r.type = 'refund_reversal' and r.body::json ->> 'refund' = d.ref) as reversed_by"
            " from document_key k join document d on d.customer_id = k.customer_id and d.document_id = k.document_id"
            " where k.type = 'refund' and k.ref = :ref"
        ),
        {"ref": doc.refund},
    ).first()
    if row is None:
        raise UnknownReference("refund", doc.refund, "expected the id of a refund posted before")
    require_not_before(doc.date, row.dated_on, f"when {doc.refund} was paid")
    if row.reversed_by is not None:
        raise Refused("refund", doc.refund, f"expected one that did not fail already: {row.reversed_by} says it did")
    if row.body.get("customer"):
        return undo_balance_refund(books, document_id, row, doc.date)
    again = books.connection.scalar(
        text(
            "select min(r.ref) from money_use u join document r on r.document_id = u.money_id and r.type = 'recovery'"
            " where u.undoes = :document_id group by u.money_id having sum(u.paid_minor) > 0 limit 1"
        ),
        {"document_id": row.document_id},
    )
    if again is not None:
        raise Refused("refund", doc.refund, f"expected one of which nothing was recovered again: recovery {again} did")
    money = next((field_, row.body[field_]) for field_ in ("payment", "recovery", "receipt") if row.body.get(field_))
    payment = _find_payment(wallets, document_id, money, doc.date)
    amount = to_minor(models.decimal_of(row.body["amount"]), payment.source.currency)
    cash = cash_of(books, payment.source.entity, payment.source.currency, row.body.get("account"), payment.cash)
    of = Undone(row.document_id, "refund", payment.document_id, amount, (0, amount))
    undo(wallets, payment.source, doc.id, [of], doc.date, cash, obligations)
    return payment.source.customer.customer_id


def post_dispute(wallets: Wallets, doc: models.Dispute, document_id: int, obligations: Obligations) -> int:
    """A chargeback opened, won or lost; while it is open the money is disputed funds and the schedule runs on.

    One that was lost and is won after all puts back what the loss took.
    """
    payment = _find_payment(wallets, document_id, doc.money, doc.date, disputed=doc.status == "lost")
    books, source = wallets.books, payment.source
    amount = to_minor(doc.amount, source.currency)
    require_not_before(doc.date, payment.paid_on, f"when {payment.name} came in")
    if doc.status == "lost":
        _stand_together(books, payment.settled)
    day = books.open_day(source, doc.date)
    subject = money_subject(payment.field, payment.ref)
    rail = cash_of(books, source.entity, source.currency, doc.account, payment.cash)
    key = AccountKey(source.entity, "disputed_funds", source.currency, subject)
    disputed = max(available(books.history(source.customer.customer_id, key), day), 0)
    fee = 0 if doc.fee is None else to_minor(doc.fee, source.currency, "fee")
    movements = [Movement("payment.fee", fee, rail, rail)]
    if doc.status == "opened":
        require_at_most(amount, payment.left, source.currency, f"what is left of {payment.name} on {doc.date}")
        movements.append(Movement("dispute.opened", amount, subject, rail))
        books.post(source, doc.date, movements)
        return source.customer.customer_id
    known = _disputes_of(books, source, doc)
    if doc.opening is not None:
        disputed = min(disputed, known.open_of(doc.opening))
    if doc.status == "reinstated" or (doc.status == "won" and not disputed and known.lost(doc.opening)):
        undone = _lost_before(books, payment, doc, amount, known)
        movements += returned_of_dispute(books, source, doc, rail, fee)
        books.post(source, doc.date, movements)
        reached = 0
        for place, of in enumerate(undone):
            part = of.points[1] - of.points[0]
            undone[place] = replace(of, openings=known.returned(doc.opening, part, reached))
            reached += part
        undo(wallets, source, doc.id, undone, doc.date, rail, obligations)
        return source.customer.customer_id
    if not disputed:
        raise Refused(
            payment.field if doc.opening is None else "opening",
            payment.ref if doc.opening is None else doc.opening,
            f"expected one of which something is disputed on {day}{known.told()}",
        )
    require_at_most(amount, disputed, source.currency, f"what of {payment.name} is disputed on {day}")
    if doc.status == "won":
        movements += returned_of_dispute(books, source, doc, rail, fee)
        books.post(source, doc.date, movements)
        won = Movement("dispute.won", amount, rail, subject)
        books.post(source, doc.date, [won], known.returned(doc.opening, amount))
        return source.customer.customer_id
    payment = _with_what_stays(wallets, payment, amount, doc.date)
    # what the payment settled is lost first, then what of it was unapplied
    plan = _reached(wallets, payment, amount, doc.date)
    left = amount - sum(piece.paid for _, _, piece in plan)
    freed = _off_balances(books, payment, left, doc.date)
    there = sum(item.piece.paid for _, item in freed)
    of_it = f"what of {payment.name} lies on invoices, or unapplied with the customer, on {doc.date} and stays there"
    require_at_most(amount, amount - left + there, source.currency, of_it)
    going = _decide(wallets, payment, doc.id, doc.date, "dispute", freed, plan, obligations)
    _go(wallets, payment, doc.date, "dispute", subject, going, movements)
    return source.customer.customer_id


@dataclass(frozen=True, slots=True)
class _Disputed:
    """The disputes of a payment in the books, in the order of their dates."""

    rows: Sequence[Any]
    currency: str

    def _named(self, opening: str, *status: str) -> int:
        return sum(self._amount(row) for row in self.rows if row.opening == opening and row.outcome in status)

    def _closed(self, opening: str) -> int:
        """What of a dispute documents that name it won, or lost: what of it came back had been lost, said of it or not."""
        return self._named(opening, "won") + max(self._named(opening, "lost"), self._named(opening, "reinstated"))

    def _of(self, opening: str, *, first: bool) -> dict[int, int]:
        """What of each document that names no dispute is of one: as much as can be, or as little as must be, as others were opened by then."""
        opened = {row.ref: row for row in self.rows if row.status == "opened"}
        there = {ref: max(self._amount(row) - self._closed(ref), 0) for ref, row in opened.items()}
        # what came back of a dispute by its name, and was lost without it
        told = {ref: max(self._named(ref, "reinstated") - self._named(ref, "lost"), 0) for ref in opened}
        found: dict[int, int] = {}
        for row in self.rows:
            if row.opening is not None or row.outcome not in ("won", "lost"):
                continue
            left = self._amount(row)
            known = {ref for ref, of in opened.items() if of.dated_on <= row.dated_on}
            for ref in sorted(known, key=lambda ref: ref != opening):
                part = min(left, told[ref]) if row.outcome == "lost" else 0
                told[ref] -= part
                left -= part
                found[row.document_id] = found.get(row.document_id, 0) + part * (ref == opening)
            for ref in sorted(known, key=lambda ref: (ref == opening) != first):
                part = min(left, there[ref])
                there[ref] -= part
                left -= part
                found[row.document_id] += part * (ref == opening)
        return found

    def open_of(self, opening: str) -> int:
        """What of a dispute can be open. Raises UnknownReference for one that is none of the payment's."""
        own = next((row for row in self.rows if row.ref == opening and row.status == "opened"), None)
        if own is None:
            raise UnknownReference("opening", opening, "expected the id of a dispute of this payment that was opened")
        told = max(self._named(opening, "reinstated") - self._named(opening, "lost"), 0)
        others = max(sum(self._of(opening, first=False).values()) - told, 0)
        return max(self._amount(own) - self._closed(opening) - others, 0)

    def lost(self, opening: str | None) -> list[tuple[Any, int]]:
        """Those that were lost, with what of each is of the dispute that was opened by a document, or of any."""
        lost = [row for row in self.rows if row.outcome == "lost"]
        if opening is None:
            return [(row, self._amount(row)) for row in lost]
        most = self._of(opening, first=True)
        named = [(row, self._amount(row)) for row in lost if row.opening == opening]
        return named + [(row, most[row.document_id]) for row in lost if most.get(row.document_id)]

    def came_back(self, opening: str | None) -> int:
        """What came back of what was lost of a dispute, by documents that name it."""
        return 0 if opening is None else self._named(opening, "reinstated")

    def returned(self, opening: str | None, amount: int, before: int = 0) -> Undoing:
        """That an amount comes back of what was let go when disputes were opened; those that one is of, where it says so.

        `before` came back before by the document itself.
        """
        openings = [row for row in self.rows if row.status == "opened" and opening in (None, row.ref)]
        of = [row for row in self.rows if opening in (None, row.opening)]
        lost = sum(self._amount(row) for row in of if row.status == "lost")
        back = sum(self._amount(row) for row in of if row.status in ("won", "reinstated")) + before
        documents = tuple(row.document_id for row in openings)
        whole = max(sum(self._amount(row) for row in openings), lost, back + amount)
        return Undoing(documents, whole, (back, back + amount))

    def _amount(self, row: Any) -> int:
        return to_minor(models.decimal_of(row.amount), self.currency)

    def told(self) -> str:
        """What became of them by now, as words to follow that nothing is disputed."""
        told = ", ".join(f"{row.ref} was {row.status} on {row.dated_on}" for row in self.rows)
        return f": {told}" if told else ", opened before"


def _disputes_of(books: Books, source: Source, doc: models.Dispute) -> _Disputed:
    books.flush()
    rows = books.connection.execute(
        text(
            "select document_id, ref, dated_on, status, amount, opening,"
            # one that was won after it was lost took nothing out of disputed funds
            " case when status = 'won' and not exists (select from entry e join posting p using (customer_id, entry_id)"
            "   join rule r on r.number = p.rule and r.code = 'dispute.won' where e.customer_id = x.customer_id and e.document_id = x.document_id)"
            "  then 'reinstated' else status end as outcome from ("
            "  select customer_id, document_id, ref, dated_on, body::json ->> 'status' as status, body::json ->> 'amount' as amount,"
            "   body::json ->> 'opening' as opening from document where customer_id = :customer_id"
            "   and type = 'dispute' and body::json ->> :named = :ref) x order by dated_on, document_id"
        ),
        {"customer_id": source.customer.customer_id, "named": doc.money[0], "ref": doc.money[1]},
    ).all()
    return _Disputed(rows, source.currency)


def _lost_before(books: Books, payment: _Payment, doc: models.Dispute, amount: int, known: _Disputed) -> list[Undone]:
    """The lost disputes that are won after all: one of which just so much did not come back yet, one that is large enough, else several."""
    source = payment.source
    found = []
    lost = known.lost(doc.opening)
    for row, most in lost:
        whole = to_minor(models.decimal_of(row.amount), source.currency)
        before = uses.undone_of(books, source, row.document_id, payment.document_id)
        if row.dated_on <= doc.date and before < whole:
            points = (before, min(before + most, whole))
            found.append(Undone(row.document_id, "dispute", payment.document_id, whole, points))
    most = min(
        sum(of.points[1] - of.points[0] for of in found),
        max(sum(most for _, most in lost) - known.came_back(doc.opening), 0),
    )
    require_at_most(
        amount,
        most,
        source.currency,
        f"what of a dispute of {payment.name} was lost by {doc.date} and did not come back",
    )
    found.sort(key=lambda of: (of.points[1] - of.points[0] != amount, of.points[1] - of.points[0] < amount))
    undone = []
    for of in found:
        before, reach = of.points
        part = min(reach - before, amount)
        if part:
            undone.append(replace(of, points=(before, before + part)))
            amount -= part
    return undone


def _reached(wallets: Wallets, payment: _Payment, amount: int, on: date) -> list[_Planned]:
    """What of an amount the invoices that a payment settled can bear."""
    reach = 0
    for held, piece in payment.settled:
        if reach >= amount:
            break
        invoice = _billed(wallets, payment, held, piece, on)
        reach += piece.part(min(piece.amount, invoice.gross)).paid
    return _plan(wallets, payment, payment.settled, min(amount, reach), on)


def _net(wallets: Wallets, invoices: Sequence[BilledInvoice], day: date) -> None:
    for invoice in invoices:
        for line in charged(invoice.lines):
            if line.kind == "usage" and line.product is not None:
                usage_lines.settle_taken(wallets, invoice.source, line.product, lowers=True)
        remaining.net_sides(wallets.books, invoice.source, charged(invoice.lines), day)
    freed, wallets.freed = wallets.freed, []
    for source, item in freed:
        redraws.draw_again(wallets, source, [item])


def post_write_off(wallets: Wallets, doc: models.WriteOff, document_id: int, obligations: Obligations) -> int:
    """Give up what is due of an invoice, or a part: of what it covers first what is to come, the rest is bad debt."""
    invoice = remaining.find(wallets, document_id, doc.invoice)
    books, source = wallets.books, invoice.source
    require_not_before(doc.date, invoice.recorded_on, f"when invoice {doc.invoice} counts from")
    day = books.open_day(source, doc.date)
    due = remaining.due(books, invoice, day)
    amount = due if doc.amount is None else to_minor(doc.amount, source.currency)
    if due == 0:
        raise Refused("invoice", doc.invoice, f"expected something due of it on {day}")
    require_at_most(amount, due, source.currency, f"what is due of invoice {doc.invoice} on {day}")
    approve(books, source, doc, amount, invoice.invoice_id)
    by_line = _by_line(books, invoice, amount, doc.date)
    others = _of_parts(wallets, document_id, invoice, by_line)
    of = [(invoice, by_line), *others]
    decided = _given(wallets, document_id, doc.id, doc.date, "write_off", of, obligations)
    _write_off(wallets, invoice, by_line, doc.date, decided)
    for part, of_part in others:
        assert part.collector is not None, "a part has an entity that collects it"
        claim = entity_subject(part.collector)
        reopened = Movement("between.reopened", sum(of_part.values()), invoice_subject(part.ref), claim)
        books.post(part.source, doc.date, [reopened])
        _write_off(wallets, part, of_part, doc.date, decided)
    decided.keep()
    return source.customer.customer_id


def _write_off(
    wallets: Wallets, invoice: BilledInvoice, by_line: Mapping[str, int], on: date, decided: Decided
) -> None:
    """Give up gross amounts of an invoice's lines."""
    books, source = wallets.books, invoice.source
    day = books.open_day(source, on)
    to = invoice_subject(invoice.ref)
    movements: list[Movement] = []
    taking = Taking(books, source, day)
    for line in charged(invoice.lines):
        gross = by_line[line.line]
        if line.kind == BETWEEN:
            movements.append(Movement("write_off.between", gross, line.subject, to))
            remaining.record(books, source, invoice, line, "write_off", gross)
            continue
        net, taxes = lowered_by(gross, line)
        if remaining.is_of_terms(line):
            for subject, _ in remaining.by_obligation(line, net):
                share_ = decided.share(invoice.invoice_id, line.line, subject)
                held, rest, release = taking.out_of(subject, share_.expected + share_.rest, share_.expected)
                movements += [
                    *release,
                    Movement("write_off.deferred", held, subject, to),
                    Movement("write_off.unbilled", rest, subject, to),
                    Movement("write_off.bad_debt", share_.earned, subject, to),
                ]
        else:
            movements += _of_usage(wallets, invoice, line, net, on, "write_off", to, taking.released)
        movements += [
            *(Movement("write_off.tax", part.amount, tax_subject(part.tax.code), to) for part in taxes),
            *remaining.base_movements(taxes),
        ]
        remaining.record(books, source, invoice, line, "write_off", net)
        remaining.record_taxes(books, source, invoice, line, taxes)
    books.post(source, on, movements)
    _net(wallets, [invoice], day)
