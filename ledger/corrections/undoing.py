"""What gave money back is undone: a refund that failed, a dispute that was lost and is won after all.

What it took of lines comes back, made up as it was: what had been shown beside revenue is not any more, what is to come is owed
again and earned by its terms. The money lies again where it was taken from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from sqlalchemy import text

from ledger.amounts.money import share
from ledger.cash import uses
from ledger.cash.uses import Piece
from ledger.corrections import refunds_explained, voids
from ledger.corrections.taken import Undone
from ledger.corrections.undone_parties import UndoneParty, parties_of
from ledger.corrections.undone_postings import let_go, post_back
from ledger.invoices import remaining
from ledger.invoices.forms import invoice_subject
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.movements import AccountKey, Source
from ledger.obligations import Correction, Decided, Obligations
from ledger.payments.applied import applied, unapply
from ledger.payments.between_customers import pass_back, pass_cash
from ledger.payments.settlements import Settlement, find_invoice
from ledger.payments.settlements import settle as put
from ledger.payments.unapplications import take_off_later
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
    together = [(of, parties_of(wallets, source, of, on)) for of in whole]
    decided = _decide(wallets, [party for _, parties in together for party in parties], by, obligations, on)
    for of, parties in together:
        rest = of.left
        for party in parties:
            party.before = of.left - rest
            counted = post_back(wallets, party, on, rail)
            if party.source is not source:
                back = let_go(books, source, of, rest, party.paid)
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


def _voids(parties: Sequence[UndoneParty], by: str, on: date) -> list[Correction]:
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


def _leave_voided(wallets: Wallets, payer: Source, parties: Sequence[UndoneParty], on: date) -> None:
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


def _decide(
    wallets: Wallets, parties: Sequence[UndoneParty], by: str, obligations: Obligations, on: date
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


def _explain_later(wallets: Wallets, party: UndoneParty, by: str, on: date, obligations: Obligations) -> None:
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
