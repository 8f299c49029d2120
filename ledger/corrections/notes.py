"""Voids and credit notes: what was billed is taken back, and so falls the price of what it was billed for.

What was billed and not yet given leaves the contract liability; what was given leaves the contract asset, and the next
recognition takes the earned share out of revenue (606-10-32-43). A correction never decides anew what came after.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from sqlalchemy import text

from ledger.amounts.money import share, to_decimal, to_minor, to_text
from ledger.cash import uses
from ledger.cash.uses import Piece
from ledger.corrections import credit_lines, refunds_explained
from ledger.corrections.refunds_explained import Explained
from ledger.documents import models
from ledger.errors import OverApplication, Refused, UnknownReference
from ledger.invoices import coupons, post, remaining
from ledger.invoices.post import BETWEEN, Prorated, entity_subject, invoice_subject
from ledger.invoices.remaining import BilledInvoice, Line, TaxPart
from ledger.invoices.taxes import tax_subject
from ledger.journal.books import AccountKey, Books, Movement
from ledger.journal.by_date import available, balance
from ledger.journal.line_changes import add_change
from ledger.obligations import Correction, Decided, Obligations, Taking
from ledger.parties.approval import approve
from ledger.payments.payments import Settlement, find_invoice, settle
from ledger.usage import commitments, redraws, usage_lines
from ledger.usage.redraws import Freed
from ledger.wallets import credits_back
from ledger.wallets.expiry import expired_by
from ledger.wallets.grants import Funding, Grant, share_of_order
from ledger.wallets.session import Wallets, all_or_nothing, record_move

_CUSTOMER = "customer"


class _Credit:
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
            Movement(f"{rule}_to_balance", amount - settled, subject, _CUSTOMER, product),
        ]

    def lower(self, line: Line, amount: int, kind: str) -> None:
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
            found, moved = commitments.take_back(
                self.books, source, grant, amount, self.day, line.product or "", kind,
                invoice_subject(self.invoice.ref), self.taken,
            )  # fmt: skip
            self.movements += moved
            for rule, part, subject, product in found:
                self.add(rule, part, subject, product)
                if rule == "credit.usage" and part:
                    self.covered[line.line].append((subject, part))
            return
        if line.kind in remaining.PLAIN_KINDS:
            self.add(f"credit.{line.kind}", amount, line.subject, line.product or "")
            return
        (liability, _), _ = remaining.sides(source, line)
        held = balance(self.books.history(source.customer.customer_id, liability), self.day) - self.taken[line.subject]
        unearned = min(amount, max(held, 0))
        self.taken[line.subject] += unearned
        self.add("credit.credits" if line.kind == "prepaid" else "credit.deferred", unearned, line.subject)
        self.add("credit.unbilled", amount - unearned, line.subject)

    def take_back(self, line: Line, amount: int, decided: Decided, kind: str) -> None:
        """Take back what a line bills of obligations: out of the contract liability up to its balance, the rest out of the asset."""
        self.kind = "void" if self.rebill else kind
        for subject, part in remaining.by_obligation(line, amount):
            expected = decided.share(self.invoice.invoice_id, line.line, subject).expected
            held, rest, release = self.taking.out_of(subject, part, expected)
            self.movements += release
            self.add("credit.deferred", held, subject)
            self.add("credit.unbilled", rest, subject)

    def _lower_credits(self, line: Line, amount: int, kind: str) -> None:
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

    def _lower_usage(self, line: Line, amount: int) -> None:
        """Lower what a usage line bills: rebates that were expected, then what is billed ahead of use, the rest is revenue."""
        assert line.product is not None, "a usage line names its product"
        source, product = self.invoice.source, line.product
        taken = usage_lines.take(self.books, source, product, amount, self.day, self.taking.released)
        for obligation, part in taken.rebates:
            self.movements.append(Movement("refund_liability.released", part, obligation, obligation))
            self.add("credit.rebate", part, obligation)
        self.add("credit.usage_ahead", taken.ahead, line.subject)
        self.add("credit.usage", taken.used, line.subject, product)

    def untax(self, parts: list[TaxPart]) -> None:
        """Take back a part of a line's taxes."""
        for part in parts:
            self.add("credit.tax", part.amount, tax_subject(part.tax.code))
        self.movements += remaining.base_movements(parts)


def _finish(wallets: Wallets, credit: _Credit, on: date, lowered: list[tuple[Line, int]]) -> None:
    """Post a credit, note it on grants, and let liability and asset settle each other on later days."""
    books, source = wallets.books, credit.invoice.source
    books.post(source, on, credit.movements)
    returned = _to_balance(credit.movements)
    if credit.invoice.collector is None:
        own = 0 if credit.own_from is None else _to_balance(credit.movements[credit.own_from :])
        brought = uses.leave(books, source, credit.invoice.invoice_id, returned - own, on)
        _settle_later(books, credit.invoice, brought, on)
        uses.bring(books, source, own, on, origin_id=credit.invoice.invoice_id)
    else:
        collector = entity_subject(credit.invoice.collector)
        books.post(source, on, [Movement("between.returned", returned, _CUSTOMER, collector)])
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
            usage_lines.settle_taken(wallets, source, line.product, lowers=credit.kind == "credit")
    remaining.net_sides(books, source, [line for line, _ in lowered], credit.day)
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


def post_void(wallets: Wallets, doc: models.InvoiceVoid, document_id: int, obligations: Obligations) -> int:
    """Take a whole invoice back. Raises Refused where money was applied to it, or nothing is left of it."""
    invoice = remaining.find(wallets, document_id, doc.invoice, corrected=False)
    if not any(line.kind == BETWEEN for line in invoice.lines):
        _void(wallets, invoice, doc.id, doc.date, "invoice", obligations)
        return invoice.source.customer.customer_id
    with all_or_nothing(wallets):
        return void(wallets, document_id, doc.id, doc.invoice, doc.date, "invoice", obligations)


def post_invoice(wallets: Wallets, doc: models.Invoice, document_id: int, obligations: Obligations) -> int:
    """Take an invoice in; one that supersedes another voids that one first, on its own date.

    Both stay in the books and trace to what they bill. Raises Refused where the other can't be voided.
    """
    if doc.supersedes is None:
        customer_id = post.post_invoice(wallets, doc, document_id, obligations)
        _explain_refunds(wallets, doc, document_id, customer_id, obligations)
        return customer_id
    terms = post.look_up(wallets.books, doc)
    superseded = remaining.find(wallets, document_id, doc.supersedes, "supersedes")
    require_replaceable(superseded, doc)
    with all_or_nothing(wallets):
        void_superseded(wallets, document_id, superseded, doc, obligations)
        customer_id = post.post_invoice(wallets, doc, document_id, obligations, terms)
        _explain_refunds(wallets, doc, document_id, customer_id, obligations)
        return customer_id


def _explain_refunds(
    wallets: Wallets, doc: models.Invoice, document_id: int, customer_id: int, obligations: Obligations
) -> None:
    """Take refunds of later days, that arrived before an invoice below zero, of what it left, where its lines are of what they gave back.

    In another currency they stay what they were: its rate is not that of what was refunded.
    """
    books = wallets.books
    if doc.currency != books.entity(doc.entity).currency or not any(line.amount < 0 for line in doc.lines):
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


def require_replaceable(invoice: BilledInvoice, doc: models.Invoice) -> None:
    """Raise Refused where an invoice supersedes one of another party."""
    if (invoice.source.customer.ref, invoice.source.entity) != (doc.customer, doc.entity):
        raise Refused("supersedes", invoice.ref, f"expected an invoice of {doc.customer} with {doc.entity}")


def void_superseded(
    wallets: Wallets, document_id: int, superseded: BilledInvoice, doc: models.Invoice, obligations: Obligations
) -> None:
    """Take back the invoice another supersedes, unless a document did already. Raises Refused where another superseded it."""
    place = {"customer_id": superseded.source.customer.customer_id, "ref": superseded.ref}
    connection = wallets.books.connection
    by = connection.scalar(
        text("select ref from invoice where customer_id = :customer_id and supersedes = :ref"), place
    )
    if by is not None:
        raise Refused("supersedes", superseded.ref, f"expected an invoice that none supersedes yet: {by} does")
    voided = connection.scalar(
        text(
            "select ref from document where customer_id = :customer_id and type = 'invoice_void' "
            "and body::json ->> 'invoice' = :ref"
        ),
        place,
    )
    if voided is None:
        void(wallets, document_id, doc.id, superseded.ref, doc.issued_on, "supersedes", obligations)


def void(wallets: Wallets, document_id: int, by: str, ref: str, on: date, field: str, obligations: Obligations) -> int:
    """Take an invoice back whole by a document, the parts other entities keep of it too; returns whose it is."""
    invoice = remaining.find(wallets, document_id, ref, field, corrected=False)
    _require_standing(wallets.books, invoice, field)
    for part in remaining.parts(wallets, document_id, invoice, corrected=False):
        _void(wallets, part, by, on, field, obligations)
    _void(wallets, invoice, by, on, field, obligations)
    return invoice.source.customer.customer_id


def _void(wallets: Wallets, invoice: BilledInvoice, by: str, on: date, field: str, obligations: Obligations) -> None:
    books, source = wallets.books, invoice.source
    on = _counted(invoice, on)
    day = books.open_day(source, on)
    customer_id = source.customer.customer_id
    again = post.prorated_by(books, customer_id, invoice.invoice_id)
    invoice = _before_own_proration(invoice, again)
    left = invoice.gross
    _require_standing(books, invoice, field)
    if not any(line.net for line in invoice.lines) and any(line.first for line in invoice.lines):
        raise Refused(
            field,
            invoice.ref,
            "is credited in full already, or all that it billed went back: expected one of which something is left",
        )
    by_others = _prorated_by_others(books, invoice)
    if by_others:
        raise Refused(
            field, invoice.ref,
            f"expected an invoice whose lines no other invoice prorates, {by_others} does: credit what is left instead",
        )  # fmt: skip
    # of a part, nothing is due here: the entity that collects it says whether it is paid
    due = left if invoice.master else remaining.due(books, invoice, day)
    below = max(-left, 0)
    if below and not invoice.master:
        _require_unapplied(books, invoice, below, on, field)
    elif due != left:
        raise Refused(
            field,
            invoice.ref,
            f"expected no money applied to it; {to_text(due, source.currency)} of {to_text(left, source.currency)} "
            f"{source.currency} is due on {day}: credit it instead",
        )
    # what lines credited is billed again first, so that the rest is credited whole
    credits_ = [line for line in invoice.lines if line.net < 0]
    decided = obligations.decide(wallets, customer_id, source.document_id, [
        *(
            Correction(source.document_id, by, "proration", part.invoice_id, part.line, part.subject, part.amount, on,
                       undoes=invoice.invoice_id)
            for part in again
        ),
        *(
            Correction(source.document_id, by, "void", invoice.invoice_id, line.line, subject, part, on)
            for line in (*charged(invoice.lines), *credits_) if line.first and remaining.is_of_terms(line) and _own(line, again)
            for subject, part in remaining.by_obligation(line, line.net)
        ),
    ])  # fmt: skip
    for line in credits_:
        _bill_again(books, invoice, line, on, day)
    for part in again:
        add_change(
            books, source, part.invoice_id, part.line, "proration", -part.amount, part.product, part.subject,
            {"undoes": invoice.invoice_id},
        )  # fmt: skip
    open_amount = 0 if invoice.master else due
    credit = _Credit(wallets, invoice, day, open_amount - sum(line.gross for line in credits_), on)
    _void_lines(credit, charged(invoice.lines), decided)
    _void_free(wallets, invoice, on)
    coupons.take_back(books, source, invoice.invoice_id, day)
    to = invoice_subject(invoice.ref)
    if invoice.collector is not None:
        credit.movements.append(Movement("between.claimed", below, entity_subject(invoice.collector), to))
    else:
        credit.movements.append(Movement("invoice.from_balance", below, _CUSTOMER, to))
        uses.take_back(books, source, invoice.invoice_id, below, on)
    _finish(wallets, credit, on, [(line, line.net) for line in charged(invoice.lines)])
    decided.keep()


def void_again(wallets: Wallets, document_id: int, ref: str, void: int, on: date, decided: Decided) -> None:
    """Take back what came back of a voided invoice, and of its parts, since: the void takes that, too."""
    invoice = remaining.find(wallets, document_id, ref, corrected=False)
    for part in (*remaining.parts(wallets, document_id, invoice, corrected=False), invoice):
        _void_rest(wallets, part, void, on, decided)


def _void_rest(wallets: Wallets, invoice: BilledInvoice, void: int, on: date, decided: Decided) -> None:
    """Take back what is left of an invoice's lines: none of its money lies there."""
    on = _counted(invoice, on)
    day = wallets.books.open_day(invoice.source, on)
    lines = [line for line in charged(invoice.lines) if line.gross]
    due = 0 if invoice.master else remaining.due(wallets.books, invoice, day)
    credit = _Credit(wallets, invoice, day, min(due, sum(line.gross for line in lines)), on)
    _void_lines(credit, lines, decided, void)
    _finish(wallets, credit, on, [(line, line.net) for line in lines])


def _void_lines(credit: _Credit, lines: Sequence[Line], decided: Decided, void: int = 0) -> None:
    """Take back all that lines bill, with their taxes; or all that came back of them since a `void`."""
    books, invoice = credit.books, credit.invoice
    for line in lines:
        if remaining.is_of_terms(line):
            credit.take_back(line, line.net, decided, "void")
        else:
            credit.lower(line, line.net, "void")
        parts = remaining.tax_parts(line, 1, 1)
        credit.untax(parts)
        remaining.record(books, invoice.source, invoice, line, "void", line.net)
        remaining.record_taxes(books, invoice.source, invoice, line, parts, goes_with=void)


def _require_standing(books: Books, invoice: BilledInvoice, field: str) -> None:
    """Raise Refused where an invoice was taken back whole before."""
    voided = remaining.voided(books, invoice.source, invoice.ref)
    if voided is not None:
        raise Refused(field, invoice.ref, f"is voided already: {voided.by} took it back on {voided.on}")


def _prorated_by_others(books: Books, invoice: BilledInvoice) -> str:
    """The ids of other invoices whose lines below zero are of this one's; empty where there are none."""
    found: str | None = books.connection.scalar(
        text(
            "select string_agg(ref, ', ' order by ref) from (select n.ref from line_change x join invoice n"
            " on n.customer_id = x.customer_id and n.invoice_id = coalesce(nullif(x.undoes, 0), x.document_id) "
            "where x.customer_id = :customer_id and x.invoice_id = :invoice_id and x.kind = 'proration' and n.invoice_id <> :invoice_id "
            "group by n.ref having sum(x.amount_minor) <> 0) y"
        ),
        {"customer_id": invoice.source.customer.customer_id, "invoice_id": invoice.invoice_id},
    )
    return found or ""


def _require_unapplied(books: Books, invoice: BilledInvoice, below: int, on: date, field: str) -> None:
    """Raise Refused where what an invoice below zero made the customer's money was used since: what took it is named."""
    source = invoice.source
    key = AccountKey(source.entity, "customer_balance", source.currency, _CUSTOMER)
    own = sum(piece.amount for piece in uses.left_there(books, source, invoice.invoice_id, on))
    left = max(min(own, available(books.history(source.customer.customer_id, key), books.open_day(source, on))), 0)
    if left >= below:
        return
    currency = source.currency
    told = ", ".join(
        f"{took.document} took {to_text(took.amount, currency)} on {took.on}"
        for took in uses.taken_of(books, source, invoice.invoice_id)
    )
    raise Refused(
        field, invoice.ref,
        f"expected the {to_text(below, currency)} {currency} that it made {source.customer.ref}'s money to be unapplied on {on};"
        f" {to_text(left, currency)} is{f': {told}' if told else ''}",
    )  # fmt: skip


def _void_free(wallets: Wallets, invoice: BilledInvoice, on: date) -> None:
    """Note that lines which billed nothing are taken back; what usage they gave for nothing is to be billed."""
    books, source = wallets.books, invoice.source
    for line in invoice.lines:
        if line.first:
            continue
        day = {"starts_on": on, "ends_on": on}
        add_change(books, source, invoice.invoice_id, line.line, "void", 0, line.product, line.subject, day)
        if line.kind == "usage" and line.product is not None:
            usage_lines.settle_taken(wallets, source, line.product, lowers=False)


def _before_own_proration(invoice: BilledInvoice, again: Sequence[Prorated]) -> BilledInvoice:
    """An invoice with its lines as they were before lines of the same one credited them: both are taken back."""
    back = Counter({part.line: part.amount for part in again if part.invoice_id == invoice.invoice_id})
    lines = [replace(line, net=line.net + back[line.line]) if back[line.line] else line for line in invoice.lines]
    return replace(invoice, lines=lines)


def _own(line: Line, again: Sequence[Prorated]) -> bool:
    """Whether a line bills what it is about, and does not correct what another bills."""
    return line.net >= 0 or all(part.subject != line.subject for part in again)


def _bill_again(books: Books, invoice: BilledInvoice, line: Line, on: date, day: date) -> None:
    """Take back what a negative line of an invoice credited, with its taxes."""
    source = invoice.source
    to = invoice_subject(invoice.ref)
    if line.kind == BETWEEN:
        books.post(source, on, [Movement("invoice.between", -line.net, to, line.subject)])
        remaining.record(books, source, invoice, line, "void", line.net)
        return
    (_, unbilled), _ = remaining.sides(source, line)
    earned = balance(books.history(source.customer.customer_id, unbilled), day)
    movements = post.bill_obligation(-line.net, earned, to, line.subject)
    parts = remaining.tax_parts(line, 1, 1)
    for part in parts:
        subject = tax_subject(part.tax.code)
        movements.append(Movement("invoice.tax", -part.amount, to, subject))
        movements.append(Movement("invoice.tax_base", -part.base, subject, subject))
    books.post(source, on, movements)
    remaining.net_sides(books, source, [line], day)
    remaining.record(books, source, invoice, line, "void", line.net)
    remaining.record_taxes(books, source, invoice, line, parts)


def _counted(invoice: BilledInvoice, on: date) -> date:
    """The day a correction counts for: not before the receivable does. Raises Refused for one dated before its invoice."""
    if on < invoice.issued_on:
        raise Refused("date", on, f"expected {invoice.issued_on}, when invoice {invoice.ref} was issued, or later")
    return max(on, invoice.recorded_on)


def post_credit_note(wallets: Wallets, doc: models.CreditNote, document_id: int, obligations: Obligations) -> int:
    """Take a part of an invoice back, line by line, with its taxes in proportion.

    A line with a period of its own ends what was promised over that period. Raises OverApplication beyond what is left of a line.
    """
    if doc.invoice is None:
        return credit_lines.post_note(wallets.books, doc, document_id)
    invoice = remaining.find(wallets, document_id, doc.invoice)
    kinds = {line.line: line for line in invoice.lines}
    asked = [(index, item) for index, item in enumerate(doc.lines) if item.line is not None]
    for index, item in asked:
        assert item.line is not None, "only lines of the invoice are asked"
        if item.line not in kinds:
            raise UnknownReference(f"lines.{index}.line", item.line, f"expected a line of invoice {doc.invoice}")
    of_none = [(index, item) for index, item in enumerate(doc.lines) if item.line is None]
    if not any(kinds[item.line or ""].kind == BETWEEN for _, item in asked):
        _credit(wallets, invoice, doc, asked, obligations, of_none)
        return invoice.source.customer.customer_id
    with all_or_nothing(wallets):
        gross: dict[str, int] = {}
        for part in remaining.parts(wallets, document_id, invoice):
            own = {line.line for line in part.lines}
            of_part = [(index, item) for index, item in asked if item.line in own]
            if of_part:
                gross |= _credit(wallets, part, doc, of_part, obligations)
        wallets.books.flush()
        # where it is collected, another entity's line falls by all of that, its taxes included
        of_whole = [(index, _between(item, gross, invoice)) for index, item in asked]
        _credit(wallets, invoice, doc, of_whole, obligations, of_none)
    return invoice.source.customer.customer_id


def _between(asked: models.CreditNoteLine, gross: Mapping[str, int], invoice: BilledInvoice) -> models.CreditNoteLine:
    if asked.line is None or asked.line not in gross:
        return asked
    amount = to_decimal(gross[asked.line], invoice.source.currency)
    return models.CreditNoteLine.model_construct(line=asked.line, amount=amount)


def _credit(
    wallets: Wallets,
    invoice: BilledInvoice,
    doc: models.CreditNote,
    asked_lines: Sequence[tuple[int, models.CreditNoteLine]],
    obligations: Obligations,
    own_lines: Sequence[tuple[int, models.CreditNoteLine]] = (),
) -> dict[str, int]:
    """Post what a credit note takes back of an invoice, or of a part of one, and what lines of its own credit; with taxes, by line."""
    books, source = wallets.books, invoice.source
    on = _counted(invoice, doc.date)
    day = books.open_day(source, on)
    own = credit_lines.read(books, source, own_lines)
    refunds = refunds_explained.later_refunds(books, invoice, on)
    whole = refunds_explained.restored(invoice, refunds)
    by_id = {line.line: line for line in whole.lines}
    parts: list[tuple[models.CreditNoteLine, Line, int, list[TaxPart]]] = []
    for index, asked in asked_lines:
        field = f"lines.{index}"
        line = by_id[asked.line or ""]
        if line.first < 0:
            raise Refused(f"{field}.line", asked.line, "expected a line that charges something; this one credits")
        if asked.start is not None and line.kind != "service":
            raise Refused(f"{field}.start", asked.start, f"expected none on a line of kind {line.kind}")
        amount = to_minor(asked.amount, source.currency, f"{field}.amount")
        stated = line.net + sum(tax.tax for tax in line.taxes if tax.included)
        if amount > stated:
            raise OverApplication(
                f"{field}.amount",
                f"{asked.amount} {source.currency}",
                f"expected at most {to_text(stated, source.currency)}, what is left of the line"
                + remaining.taken_by(books, invoice, line.line),
            )
        taxes = remaining.tax_parts(line, amount, stated)
        if asked.taxes is not None:
            taxes = _given_parts(line, asked.taxes, source.currency, field, whole=amount == stated)
        net = amount - sum(part.amount for part in taxes if part.tax.included)
        parts.append((asked, line, net, taxes))
    due = remaining.due(books, invoice, day)
    credited = {line.line: net + sum(part.amount for part in taxes) for _, line, net, taxes in parts}
    if invoice.master is None:
        approve(books, source, doc, sum(credited.values()) + sum(line.gross for line in own), invoice.invoice_id)
    explained = refunds_explained.explained(whole, credited, refunds, max(sum(credited.values()) - due, 0))
    decided = obligations.decide(wallets, source.customer.customer_id, source.document_id, [
        *refunds_explained.corrections(explained, invoice, source.document_id, doc.id),
        *(
            Correction(source.document_id, doc.id, "credit", invoice.invoice_id, line.line, subject, part, on, asked.start, asked.end,
                       doc.rebill)
            for asked, line, net, _ in parts if remaining.is_of_terms(line) for subject, part in remaining.by_obligation(line, net)
        ),
    ])  # fmt: skip
    _require_left(books, invoice, credited, explained)
    _require_promised(decided, parts, [index for index, _ in asked_lines])
    refunds_explained.put_back(books, invoice, explained)
    credit = _Credit(wallets, invoice, day, due, on)
    credit.rebill = doc.rebill
    for asked, line, net, taxes in parts:
        if remaining.is_of_terms(line):
            credit.take_back(line, net, decided, "credit")
        else:
            credit.lower(line, net, "credit")
        credit.untax(taxes)
        more = {"starts_on": asked.start, "ends_on": asked.end, "rebill": doc.rebill}
        remaining.record(books, source, invoice, line, "credit", net, credit.covered[line.line], **more)
        remaining.record_taxes(books, source, invoice, line, taxes)
    credit.own_from = len(credit.movements)
    for rule, amount, subject, product in credit_lines.taken(doc.id, own):
        credit.add(rule, amount, subject, product)
    credit.movements += credit_lines.bases(own)
    credit_lines.record(books, source, invoice.ref, own)
    _finish(wallets, credit, on, [(line, net) for _, line, net, _ in parts])
    refunds_explained.post(books, invoice, explained)
    decided.keep()
    return credited


def _given_parts(
    line: Line, given: Sequence[models.TaxGiven], currency: str, field: str, *, whole: bool
) -> list[TaxPart]:
    """What a note says that it takes of a line's taxes. Raises where a tax is not the line's, or is beyond what is left of it.

    With all that is left of the line goes all that is left of its taxes.
    """
    by_code = {tax.code: (place, tax) for place, tax in enumerate(given)}
    parts = []
    for tax in line.taxes:
        place, by = by_code.pop(
            tax.code,
            (len(given), models.TaxGiven.model_construct(code=tax.code, base=Decimal(0), amount=Decimal(0))),
        )
        found = []
        for name, stated, left in (("base", by.base, tax.base), ("amount", by.amount, tax.tax)):
            minor = to_minor(stated, currency, f"{field}.taxes.{place}.{name}")
            if minor > left or (whole and minor != left):
                most = "" if whole else "at most "
                raise OverApplication(
                    f"{field}.taxes.{place}.{name}", f"{stated} {currency}",
                    f"expected {most}{to_text(left, currency)}, what is left of {tax.code} on line {line.line}",
                )  # fmt: skip
            found.append(minor)
        parts.append(TaxPart(tax, found[0], found[1]))
    for code, (place, _) in by_code.items():
        borne = ", ".join(tax.code for tax in line.taxes) or "none"
        raise Refused(f"{field}.taxes.{place}.code", code, f"expected a tax that line {line.line} bears: {borne}")
    return parts


def _require_promised(
    decided: Decided, parts: Sequence[tuple[models.CreditNoteLine, Line, int, list[TaxPart]]], places: Sequence[int]
) -> None:
    """Raise Refused where a line's period is wholly outside of what was ever promised: nothing of it can end."""
    for index, (asked, line, _, _) in zip(places, parts, strict=True):
        if asked.start is None or asked.end is None:
            continue
        terms = [decided.term(subject) for subject, _ in remaining.by_obligation(line, line.net)]
        known = [term for term in terms if term is not None]
        if (
            len(known) < len(terms)
            or not known
            or any(asked.start <= last and first <= asked.end for first, last in known)
        ):
            continue
        first, last = min(first for first, _ in known), max(last for _, last in known)
        raise Refused(
            f"lines.{index}.start", asked.start,
            f"expected a period of what line {line.line} is for, {first} to {last}; without one it is a lower price",
        )  # fmt: skip


def _require_left(
    books: Books, invoice: BilledInvoice, credited: Mapping[str, int], explained: Sequence[Explained]
) -> None:
    """Raise OverApplication where a line would be credited beyond what is left of it, and of refunds that the credit explains."""
    for line in invoice.lines:
        back = sum(item.gross for item in explained if item.line.line == line.line)
        amount = credited.get(line.line, 0)
        if amount and amount > line.gross + back:
            currency = invoice.source.currency
            raise OverApplication(
                "lines", f"{to_text(amount, currency)} {currency}",
                f"expected at most {to_text(line.gross + back, currency)}, what is left of line {line.line}"
                + remaining.taken_by(books, invoice, line.line),
            )  # fmt: skip


def post_grant_return(wallets: Wallets, doc: models.GrantReturn, document_id: int) -> int:
    """Take unused credits back, and credit what was paid for them on the invoices that billed them, taxes included.

    Raises OverApplication beyond what is left of the credits, Refused for credits nobody paid for.
    """
    books = wallets.books
    customer = books.customer(doc.customer)
    books.flush()
    wallets.flush()
    grant = wallets.grant(customer.customer_id, doc.grant)
    source = books.source(document_id, doc.customer, grant.entity, grant.currency, doc.date, brings_in=False)
    if grant.paid is not grant:
        raise Refused("grant", doc.grant, f"expected credits that were paid for, found a {grant.kind} grant")
    if doc.date < grant.effective_on:
        raise Refused("date", doc.date, f"expected {grant.effective_on}, when the credits begin, or later")
    expired_by(wallets, source, grant, doc.date)
    face = grant.left if doc.amount is None else to_minor(doc.amount, grant.currency)
    if face == 0 or face > grant.left:
        left = to_text(grant.left, grant.currency)
        over = f": it expired on {grant.expires_on}" if grant.expired_face else ""
        raise OverApplication(
            "amount", doc.amount or "all", f"expected at most {left}, what is left of {doc.grant}{over}"
        )
    money = share(grant.unused_worth, face, grant.left) if grant.proportional else share_of_order(grant, face)
    billing = _invoices_of(books, customer.customer_id, grant)
    remaining.stand_together(books, customer.customer_id, billing)
    day = books.open_day(source, doc.date)
    taken = credits_back.split(books, source, grant, money, day)
    credited = taken.unused + taken.broken
    grant.moved_face += face
    grant.moved += money
    grant.broken -= taken.broken
    wallets.touch(grant)
    record_move(wallets, source, grant, "returned", doc.date, face, money)
    movements = [Movement("break.returned", taken.broken, grant.subject, grant.subject)]
    if grant.kept_in_memorandum:
        movements.append(Movement("grant.moved_credits", face, grant.subject, grant.subject))
    books.post(source, doc.date, movements)
    _credit_return(wallets, grant, billing, credited, document_id, doc.date)
    return customer.customer_id


def _credit_return(
    wallets: Wallets, grant: Grant, billing: Sequence[str], credited: int, document_id: int, on: date
) -> None:
    """Credit what was paid for returned credits on the invoices that billed them, the last first."""
    books = wallets.books
    day = books.counting_day(grant.entity, grant.customer_id, on)
    for ref in billing:
        if credited == 0:
            break
        invoice = remaining.find_any(wallets, document_id, ref)
        line = next(line for line in invoice.lines if line.subject == grant.subject)
        net = min(credited, line.net)
        if net == 0:
            continue
        credit = _Credit(wallets, invoice, day, remaining.due(books, invoice, day))
        credit.lower(line, net, "return")
        parts = remaining.tax_parts(line, net, line.net)
        credit.untax(parts)
        remaining.record(books, invoice.source, invoice, line, "return", net)
        remaining.record_taxes(books, invoice.source, invoice, line, parts)
        _finish(wallets, credit, on, [(line, net)])
        if invoice.master is not None:
            gross = net + sum(part.amount for part in parts)
            _return_between(wallets, document_id, invoice.master, line.line, gross, on)
        credited -= net


def _return_between(wallets: Wallets, document_id: int, master: str, line_ref: str, gross: int, on: date) -> None:
    """What another entity credits of its part leaves what the one that collects owes it, and bills for it."""
    invoice = remaining.find(wallets, document_id, master)
    books, source = wallets.books, invoice.source
    day = books.open_day(source, on)
    line = next(line for line in invoice.lines if line.line == line_ref)
    credit = _Credit(wallets, invoice, day, remaining.due(books, invoice, day))
    credit.lower(line, gross, "return")
    remaining.record(books, source, invoice, line, "return", gross)
    _finish(wallets, credit, on, [(line, gross)])


def _invoices_of(books: Books, customer_id: int, grant: Grant) -> list[str]:
    """The invoices that billed a grant, the last first."""
    rows = books.connection.scalars(
        text(
            "select i.ref from invoice_line l join invoice i using (customer_id, invoice_id) "
            "where l.customer_id = :customer_id and l.subject = :subject group by i.issued_on, i.ref "
            "order by i.issued_on desc, i.ref desc"
        ),
        {"customer_id": customer_id, "subject": grant.subject},
    )
    return list(rows)


def lowered_by(amount: int, line: Line) -> tuple[int, list[TaxPart]]:
    """(net amount, taxes) of a gross amount of a line."""
    parts = remaining.tax_parts(line, amount, line.gross)
    return amount - sum(part.amount for part in parts), parts


def charged(lines: list[Line]) -> list[Line]:
    """The lines that charge something: what is given up or back of an invoice is of these."""
    return [line for line in lines if line.net >= 0 and (line.first > 0 or line.gross)]
