"""With whom a payment's money lies, and how much of it goes back off which balance or invoice."""

from __future__ import annotations

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
from ledger.errors import OverApplication, Refused
from ledger.invoices import remaining
from ledger.invoices.forms import CUSTOMER
from ledger.invoices.remaining import BilledInvoice
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.movements import AccountKey, Source
from ledger.payments.payments import money_subject, read_payment
from ledger.payments.unapplications import let_stay
from ledger.wallets.session import Wallets


@dataclass(frozen=True, slots=True)
class Held:
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
    held: tuple[Held, ...]
    disputed: bool

    @property
    def name(self) -> str:
        """What brought it, and its id."""
        return f"{self.field} {self.ref}"

    @property
    def settled(self) -> list[tuple[Held, Piece]]:
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


def _held(books: Books, party: Source, pieces: Sequence[Piece]) -> Held:
    names = books.connection.execute(
        text("select invoice_id, ref from invoice where customer_id = :customer_id and invoice_id = any(:invoices)"),
        {
            "customer_id": party.customer.customer_id,
            "invoices": [number for piece in pieces for number in (piece.invoice_id, piece.origin_id)],
        },
    )
    return Held(party, tuple(pieces), {row.invoice_id: row.ref for row in names})


def posting_of(books: Books, payment: Payment, held: Held, on: date) -> Source:
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


# How much goes back of which invoice, and who owes it.
Planned = tuple[Held, BilledInvoice, Piece]


def stand_together(books: Books, settled: Sequence[tuple[Held, Piece]]) -> None:
    """Let the document under way count from the first day that is open in all entities that invoices with money on them are of."""
    refs: dict[int, list[str]] = {}
    for held, piece in settled:
        refs.setdefault(held.source.customer.customer_id, []).append(held.invoices[piece.invoice_id])
    for customer_id, of in refs.items():
        remaining.stand_together(books, customer_id, of)


def without_lines(
    settled: Sequence[tuple[Held, Piece]], freed: Sequence[tuple[Held, Freed]]
) -> list[tuple[Held, Piece]]:
    """What lies on invoices, less what changes places with money on the balance, in its order."""
    found = []
    for held in dict.fromkeys(id(held) for held, _ in settled):
        own = [(of, piece) for of, piece in settled if id(of) == held]
        rest = changing_places.without([piece for _, piece in own], [item for of, item in freed if id(of) == held])
        found += [(own[0][0], piece) for piece in rest]
    return sorted(found, key=lambda item: (item[1].since, item[1].order))


def leave_balances(
    books: Books, payment: Payment, amount: int, on: date, origin: int | None = None, *, given: bool = False
) -> list[tuple[Held, Freed]]:
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
    key = AccountKey(source.entity, "customer_balance", source.currency, CUSTOMER)
    return max(available(books.history(source.customer.customer_id, key), books.days.open_day(source, on)), 0)


def plan_by_invoice(
    wallets: Wallets, payment: Payment, settled: Sequence[tuple[Held, Piece]], amount: int, on: date
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


def billed_for(wallets: Wallets, payment: Payment, held: Held, piece: Piece, on: date) -> BilledInvoice:
    """An invoice that a payment settled, as it is billed on a day."""
    document_id = posting_of(wallets.books, payment, held, on).document_id
    return remaining.find(wallets, document_id, held.invoices[piece.invoice_id])
