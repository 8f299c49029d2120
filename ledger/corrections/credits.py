"""What voids, credit notes and returns take of lines: of prices, of credits, of usage, of what was paid.

What was billed and not yet given leaves the contract liability; what was given leaves the contract asset, and the next
recognition takes the earned share out of revenue (606-10-32-43). A correction never decides anew what came after.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from sqlalchemy import text

from ledger.cash import left_on_balance, uses
from ledger.cash.uses import Piece
from ledger.corrections import refunds_explained
from ledger.documents import models
from ledger.invoices import lowering, remaining
from ledger.invoices.forms import entity_subject, invoice_subject
from ledger.invoices.lines_left import LineLeft
from ledger.invoices.lowering import TaxPart
from ledger.invoices.remaining import BilledInvoice
from ledger.invoices.taxes import tax_subject
from ledger.journal.books import Books
from ledger.journal.by_date import available, balance
from ledger.journal.movements import Movement
from ledger.obligations import Decided, Obligations, Taking
from ledger.payments.settlements import Settlement, find_invoice, settle
from ledger.usage import commitments, redraws, shortfall_bills, usage_taken
from ledger.usage.redraws import Freed
from ledger.wallets import credits_back
from ledger.wallets.expiry import expired_by
from ledger.wallets.grants import Funding
from ledger.wallets.session import Wallets

CUSTOMER = "customer"


class Credit:
    """A credit under way: it settles the receivable while that is open, then becomes the customer's money."""

    def __init__(
        self, wallets: Wallets, invoice: BilledInvoice, day: date, open_amount: int, on: date | None = None
    ) -> None:
        self.wallets = wallets
        self.books = wallets.books
        self.invoice = invoice
        self.day = day
        self.on = on or day
        self.open_amount = open_amount
        self.kind = "return"
        self.rebill = False
        self.own_from: int | None = None  # where movements of the note's own lines begin
        self.movements: list[Movement] = []
        self.freed: list[Freed] = []
        self.taken: Counter[str] = Counter()
        self.covered: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
        self.taking = Taking(self.books, invoice.source, day)

    def add(self, rule: str, amount: int, subject: str, product: str = "") -> None:
        """Take an amount out of an account: first against the receivable, the rest to the customer's balance."""
        settled = min(amount, self.open_amount)
        self.open_amount -= settled
        self.movements += [
            Movement(rule, settled, subject, invoice_subject(self.invoice.ref), product),
            Movement(f"{rule}_to_balance", amount - settled, subject, CUSTOMER, product),
        ]

    def lower(self, line: LineLeft, amount: int, kind: str) -> None:
        """Lower what a line bills, by a `void`, a `credit` or a `return` of credits.

        Out of the contract liability up to its balance, the rest out of the asset. A credit to `rebill` takes the bill back
        as a void does: the price of what was used stays.
        """
        source = self.invoice.source
        if self.rebill:
            kind = "void"
        self.kind = kind
        if line.kind == "prepaid" and kind != "return":
            self._lower_credits(line, amount, kind)
            return
        if line.kind == "usage" and kind == "credit":
            self._lower_usage(line, amount)
            return
        if line.kind == "shortfall":
            grant = self.wallets.grant(source.customer.customer_id, line.subject.removeprefix("grant:"))
            found, moved = shortfall_bills.take_back(
                self.books, source, grant, amount, self.day, line.product or "", kind,
                invoice_subject(self.invoice.ref), self.taken,
            )  # fmt: skip
            self.movements += moved
            for rule, part, subject, product in found:
                self.add(rule, part, subject, product)
                if rule == "credit.usage" and part:
                    self.covered[line.line].append((subject, part))
            return
        if line.kind in lowering.PLAIN_KINDS:
            self.add(f"credit.{line.kind}", amount, line.subject, line.product or "")
            return
        (liability, _), _ = lowering.sides(source, line)
        held = balance(self.books.history(source.customer.customer_id, liability), self.day) - self.taken[line.subject]
        unearned = min(amount, max(held, 0))
        self.taken[line.subject] += unearned
        self.add("credit.credits" if line.kind == "prepaid" else "credit.deferred", unearned, line.subject)
        self.add("credit.unbilled", amount - unearned, line.subject)

    def take_back(self, line: LineLeft, amount: int, decided: Decided, kind: str) -> None:
        """Take back what a line bills of obligations: out of the contract liability up to its balance, the rest out of the asset."""
        self.kind = "void" if self.rebill else kind
        for subject, part in lowering.by_obligation(line, amount):
            expected = decided.share(self.invoice.invoice_id, line.line, subject).expected
            held, rest, release = self.taking.out_of(subject, part, expected)
            self.movements += release
            self.add("credit.deferred", held, subject)
            self.add("credit.unbilled", rest, subject)

    def _lower_credits(self, line: LineLeft, amount: int, kind: str) -> None:
        """Lower what a line of prepaid credits bills: unused ones go with it, of used ones a credit lowers the price."""
        source, subject = self.invoice.source, line.subject
        grant = self.wallets.grant(source.customer.customer_id, subject.removeprefix("grant:"))
        expired_by(self.wallets, source, grant, self.on)
        if kind != "void":
            self.freed += redraws.free(self.wallets, source, grant, amount + self.taken[subject], self.on)
        taken = credits_back.split(self.books, source, grant, amount, self.day, self.taken[subject])
        self.taken[subject] += taken.unused
        credits_back.take_unused(self.wallets, source, grant, taken, self.day, kind, line.line)
        self.add("credit.credits", taken.unused + taken.broken, subject)
        if kind == "void":
            self.movements.append(Movement("expire.prepaid_corrected", taken.broken, subject, subject))
            if taken.broken:
                # billed again, it breaks again, on that day or later
                grant.broken -= taken.broken
                grant.returned_on = max(self.day, grant.returned_on or self.day)
                self.wallets.touch(grant)
            self.add("credit.unbilled", taken.used, subject)
            return
        for product, part in credits_back.revenue_by_product(self.books, source, grant, taken.used):
            self.add("credit.used", part, subject, product)
        self.movements += credits_back.lower_used(self.wallets, source, grant, taken, self.day, line.line)

    def _lower_usage(self, line: LineLeft, amount: int) -> None:
        """Lower what a usage line bills: rebates that were expected, then what is billed ahead of use, the rest is revenue."""
        assert line.product is not None, "a usage line names its product"
        source, product = self.invoice.source, line.product
        taken = usage_taken.take(self.books, source, product, amount, self.day, self.taking.released)
        for obligation, part in taken.rebates:
            self.movements.append(Movement("refund_liability.released", part, obligation, obligation))
            self.add("credit.rebate", part, obligation)
        self.add("credit.usage_ahead", taken.ahead, line.subject)
        self.add("credit.usage", taken.used, line.subject, product)

    def untax(self, parts: list[TaxPart]) -> None:
        """Take back a part of a line's taxes."""
        for part in parts:
            self.add("credit.tax", part.amount, tax_subject(part.tax.code))
        self.movements += lowering.base_movements(parts)


def finish(wallets: Wallets, credit: Credit, on: date, lowered: list[tuple[LineLeft, int]]) -> None:
    """Post a credit, note it on grants, and let liability and asset settle each other on later days."""
    books, source = wallets.books, credit.invoice.source
    books.post(source, on, credit.movements)
    returned = _to_balance(credit.movements)
    if credit.invoice.collector is None:
        own = 0 if credit.own_from is None else _to_balance(credit.movements[credit.own_from :])
        brought = left_on_balance.leave(books, source, credit.invoice.invoice_id, returned - own, on)
        _settle_later(books, credit.invoice, brought, on)
        uses.bring(books, source, own, on, origin_id=credit.invoice.invoice_id)
    else:
        collector = entity_subject(credit.invoice.collector)
        books.post(source, on, [Movement("between.returned", returned, CUSTOMER, collector)])
    for line, amount in lowered:
        if line.kind == "prepaid" and amount:
            grant = wallets.grant(source.customer.customer_id, line.subject.removeprefix("grant:"))
            grant.fundings.append(Funding(credit.day, -amount, on))
        if line.kind == "shortfall" and amount and credit.kind == "void":  # else it is a lower price
            commitment = wallets.grant(source.customer.customer_id, line.subject.removeprefix("grant:"))
            unused = min(amount, commitment.expired_face)
            commitment.expired_face -= unused
            wallets.touch(commitment)
            corrected = Movement("expire.shortfall_corrected", unused, line.subject, line.subject)
            books.post(source, on, [corrected])
            commitments.unraise(wallets, source, commitment, credit.day)
        if line.kind == "usage" and amount and line.product is not None:
            usage_taken.settle_taken(wallets, source, line.product, lowers=credit.kind == "credit")
    lowering.net_sides(books, source, [line for line, _ in lowered], credit.day)
    redraws.draw_again(wallets, source, credit.freed)


def _settle_later(books: Books, invoice: BilledInvoice, brought: Piece | None, on: date) -> None:
    """Put what a credit leaves without money that lay on its invoice onto that again, on the day it is due again: its money came off."""
    if brought is None:
        return
    source = invoice.source
    history = books.history(source.customer.customer_id, invoice.receivable())
    left = brought
    for day in sorted(day for day in history if day > on):
        part = min(max(available(history, day), 0), left.amount)
        if part:
            known = find_invoice(books, source, invoice.ref)
            settle(books, replace(source, rate=None), Settlement(known, day, day, part, part), [left.part(part)])
            left = left.part(left.amount - part)


def _to_balance(movements: Sequence[Movement]) -> int:
    return sum(movement.amount for movement in movements if movement.rule.endswith("_to_balance"))


def explain_refunds(
    wallets: Wallets, doc: models.Invoice, document_id: int, customer_id: int, obligations: Obligations
) -> None:
    """Take refunds of later days, that arrived before an invoice below zero, of what it left, where its lines are of what they gave back.

    In another currency they stay what they were: its rate is not that of what was refunded.
    """
    books = wallets.books
    if doc.currency != books.parties.entity(doc.entity).currency or not any(line.amount < 0 for line in doc.lines):
        return
    # the invoice is found by its document, which is written after what it posts
    invoices = books.remembered_of("invoice")
    books.flush()
    place = {"customer_id": customer_id, "invoice_id": document_id}
    left = -books.connection.scalar(
        text("select total_minor from invoice where customer_id = :customer_id and invoice_id = :invoice_id"), place
    )
    corrected = books.connection.scalars(
        text(
            "select distinct i.ref from line_change x join invoice i using (customer_id, invoice_id) where x.customer_id = :customer_id"
            " and x.document_id = :invoice_id and x.invoice_id <> :invoice_id and x.kind = 'proration' and x.undoes = 0 order by 1"
        ),
        place,
    ).all()
    for ref in corrected if left > 0 else ():
        invoice = remaining.find_any(wallets, document_id, ref)
        refunds = refunds_explained.later_refunds(books, invoice, doc.issued_on)
        explained = refunds_explained.explained(refunds_explained.restored(invoice, refunds), {}, refunds, max(left, 0))
        left -= sum(item.gross for item in explained)
        decided = obligations.decide(
            wallets, customer_id, document_id, refunds_explained.corrections(explained, invoice, document_id, doc.id)
        )
        refunds_explained.put_back(books, invoice, explained)
        refunds_explained.post(books, invoice, explained)
        decided.keep()
    for ref, fact in invoices.items():
        books.remember("invoice", ref, fact)


def lowered_by(amount: int, line: LineLeft) -> tuple[int, list[TaxPart]]:
    """(net amount, taxes) of a gross amount of a line."""
    parts = lowering.tax_parts(line, amount, line.gross)
    return amount - sum(part.amount for part in parts), parts


def charged(lines: list[LineLeft]) -> list[LineLeft]:
    """The lines that charge something: what is given up or back of an invoice is of these."""
    return [line for line in lines if line.net >= 0 and (line.first > 0 or line.gross)]
