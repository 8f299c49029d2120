"""Money taken off invoices again, as an application of it was wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from sqlalchemy import text

from ledger.amounts.money import share, to_minor, to_text
from ledger.cash import payers, uses
from ledger.cash.uses import Piece
from ledger.documents import models
from ledger.errors import OverApplication, Refused, UnknownReference
from ledger.journal.books import Books
from ledger.journal.movements import Source
from ledger.payments.applied import applied, unapply
from ledger.payments.between_customers import pass_back, pass_on, passed_for
from ledger.payments.settlements import Settlement, due_of, find_invoice, invoice_of, settle
from ledger.wallets.session import Wallets


def post_unapplication(wallets: Wallets, doc: models.Unapplication, document_id: int) -> int:
    """Take money off an invoice and give it back to the customer's balance, as it came in: the invoice is due again.

    Raises OverApplication beyond what of it still lies there.
    """
    books = wallets.books
    put = _put_by(books, doc)
    source = books.source(document_id, put.customer, put.entity, put.currency, doc.date, brings_in=False)
    if doc.date < put.on:
        raise Refused("date", doc.date, f"expected {put.on}, when the money was put there, or later")
    theirs = source if put.holder == put.customer else books.beside(source, put.holder, doc.date)
    invoice = find_invoice(books, theirs, put.invoice)
    lying = {piece.money_id: piece for piece in uses.on_invoice(books, theirs, invoice.invoice_id, doc.date)}
    pieces = [
        _standing(lying[money_id], amount, paid)
        for money_id, (amount, paid) in put.amounts.items()
        if money_id in lying
    ]
    most = sum(piece.amount for piece in pieces)
    amount = most if doc.amount is None else to_minor(doc.amount, invoice.currency)
    if amount > most or not most:
        raise OverApplication(
            "amount",
            f"{to_text(amount, invoice.currency)} {invoice.currency}" if doc.amount else "all",
            f"expected at most {to_text(most, invoice.currency)}, what of {put.name} lies on invoice {invoice.ref} on {doc.date}",
        )
    of = applied(books, theirs, uses.first(pieces[::-1], amount), doc.date, put.documents)
    back = unapply(books, theirs, invoice, of, doc.date)
    if theirs is not source:
        pass_back(books, theirs, source, doc.date, back)
    return source.customer.customer_id


def _standing(lying: Piece, amount: int, paid: int) -> Piece:
    """What a document put onto an invoice of money, as far as that lies there: at what it was put there for."""
    if amount >= lying.amount:
        return lying
    return replace(lying, amount=amount, paid=min(paid, lying.paid))


@dataclass(frozen=True, slots=True)
class _Put:
    """What a document put onto an invoice: whose it is, who owes that, since when, and how much of which money, and of what came in."""

    name: str
    customer: str
    holder: str
    entity: str
    currency: str
    invoice: str
    on: date
    amounts: dict[int, tuple[int, int]]
    documents: frozenset[int]


def _put_by(books: Books, doc: models.Unapplication) -> _Put:
    """What an unapplication is of. Raises UnknownReference."""
    books.flush()
    kind = "application" if doc.application is not None else "payment"
    ref = doc.application if doc.application is not None else doc.payment
    row: Any = books.connection.execute(
        text(
            "select d.customer_id, d.document_id, c.ref as customer, d.body::json as body from document_key k "
            "join document d on d.customer_id = k.customer_id and d.document_id = k.document_id "
            "join customer c on c.customer_id = d.customer_id where k.type = :kind and k.ref = :ref"
        ),
        {"kind": kind, "ref": ref},
    ).first()
    if row is None:
        raise UnknownReference(kind, ref, f"expected the id of {'an' * (kind[0] == 'a') or 'a'} {kind} posted before")
    invoice = row.body["invoice"] if kind == "application" else doc.invoice
    found = _put_onto(books, invoice, row.document_id, kind, ref)
    if not found:
        raise Refused("invoice", invoice, f"expected an invoice that {kind} {ref} was put onto")
    first = min(item.on_day for item in found)
    amounts = {item.money_id: (item.amount, item.paid) for item in found}
    if kind == "application":
        amounts = _still_there(books, str(invoice), {n for item in found for n in item.documents})
    return _Put(
        f"{kind} {ref}",
        row.customer,
        found[0].holder,
        row.body["entity"],
        row.body["currency"],
        str(invoice),
        first,
        amounts,
        # of a payment all that lies there, what was put there last comes first
        frozenset(number for item in found for number in item.documents) if kind == "application" else frozenset(),
    )


def _put_onto(books: Books, invoice: str | None, document_id: int, kind: str, ref: str | None) -> Sequence[Any]:
    """What an application put onto an invoice, or all that lies there of a payment, by its money."""
    return books.connection.execute(
        text(
            "select u.money_id, c.ref as holder, sum(u.amount_minor)::bigint as amount, sum(u.paid_minor)::bigint as paid,"
            " max(u.on_day) as on_day, array_agg(distinct u.document_id) as documents from document_key k"
            " join invoice i on i.customer_id = k.customer_id and i.invoice_id = k.document_id"
            " join money_use u on u.customer_id = i.customer_id and u.invoice_id = i.invoice_id"
            " join customer c on c.customer_id = i.customer_id"
            # of an invoice of another customer, the document beside it
            " left join document_key b on b.type = 'beside' and b.ref = :beside"
            " where k.type = 'invoice' and k.ref = :invoice and u.amount_minor > 0"
            " and (u.document_id in (:document_id, b.document_id) or (:of_payment and u.money_id = :document_id))"
            " group by 1, 2 order by min(u.use_id)"
        ),
        {
            "invoice": invoice, "document_id": document_id, "of_payment": kind == "payment", "beside": f"{kind}:{ref}",
        },
    ).all()  # fmt: skip


@dataclass(slots=True)
class _There:
    """What of one money lies on an invoice: what an application put there, of what came in, and what others did.

    `went` is what of it other documents than unapplications took, and may put there again.
    """

    own: int = 0
    paid: int = 0
    others: int = 0
    went: list[tuple[int, int]] = field(default_factory=list)

    def put(self, amount: int, paid: int) -> None:
        """The application puts money there: what no unapplication of it takes off."""
        self.own += amount
        self.paid += paid

    def take(self, amount: int, *, comes_back: bool) -> None:
        """Another document takes money off: what others put there first, and of the application's what is more."""
        more = min(max(amount - max(self.others, 0), 0), self.own)
        self.others -= amount - more
        if more:
            paid = share(self.paid, more, self.own)
            self.own -= more
            self.paid -= paid
            if comes_back:
                self.went.append((more, paid))

    def come(self, amount: int, *, again: bool) -> None:
        """Another document puts money there: what had gone lies there again."""
        lacking = min(max(-self.others, 0), amount)
        self.others += lacking
        amount -= lacking
        while again and self.went and amount:
            gone, paid = self.went.pop()
            part = min(gone, amount)
            own = share(paid, part, gone)
            self.put(part, own)
            amount -= part
            if part < gone:
                self.went.append((gone - part, paid - own))
        self.others += amount


def _still_there(books: Books, invoice: str, own: Collection[int]) -> dict[int, tuple[int, int]]:
    """What of an application's money may lie on its invoice yet, by money: less what was taken off that no other put there.

    Whichever document took it off, by its name or not.
    """
    rows = books.connection.execute(
        text(
            "select u.money_id, u.document_id, u.amount_minor as amount, u.paid_minor as paid, coalesce(o.type, d.type) as type, coalesce(o.ref, d.ref) as ref,"
            " coalesce(o.body, d.body)::json ->> 'application' as application from document_key k"
            " join money_use u on u.customer_id = k.customer_id and u.invoice_id = k.document_id"
            " left join document d on d.customer_id in (u.customer_id, 0) and d.document_id = u.document_id"
            # of money of another customer's, the document that it stands beside
            " left join document_key b on d.type = 'beside' and b.type = split_part(d.ref, ':', 1)"
            "  and b.ref = substr(d.ref, strpos(d.ref, ':') + 1)"
            " left join document o on o.customer_id = b.customer_id and o.document_id = b.document_id"
            " where k.type = 'invoice' and k.ref = :invoice order by u.on_day, u.use_id"
        ),
        {"invoice": invoice},
    )
    found = rows.all()
    # what is taken off by an application's name is what that put there
    named: defaultdict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in found:
        if row.application is not None and row.type == "unapplication":
            taken = named[row.money_id, row.application]
            taken[0] -= row.amount
            taken[1] -= row.paid
    there: defaultdict[int, _There] = defaultdict(_There)
    for row in found:
        of = there[row.money_id]
        amount, paid = row.amount, row.paid
        if amount > 0 or paid > 0:
            if row.type == "application":
                taken = named[row.money_id, row.ref]
                gone = min(max(taken[0], 0), amount), min(max(taken[1], 0), paid)
                amount, paid = amount - gone[0], paid - gone[1]
                named[row.money_id, row.ref] = [taken[0] - gone[0], taken[1] - gone[1]]
            if row.document_id in own:
                of.put(amount, paid)
            else:
                of.come(amount, again=row.type not in ("application", "payment"))
        elif row.application is None or row.type != "unapplication":
            of.take(-amount, comes_back=row.type != "unapplication")
    return {money_id: (of.own, of.paid) for money_id, of in there.items() if of.own or of.paid}


def _taken_off_later(books: Books, source: Source, money_id: int, on: date) -> Sequence[Any]:
    """What unapplications of later days took off of a document's money, that name no amount: all that lies on an invoice."""
    books.flush()
    return books.connection.execute(
        text(
            "select u.on_day, u.invoice_id, u.currency, -sum(u.amount_minor)::bigint as amount, -sum(u.paid_minor)::bigint as paid from money_use u"
            " join document d on d.customer_id in (u.customer_id, 0) and d.document_id = u.document_id"
            # of an invoice that another paid, the document that it stands beside
            " left join document_key b on d.type = 'beside' and b.type = split_part(d.ref, ':', 1)"
            "  and b.ref = substr(d.ref, strpos(d.ref, ':') + 1)"
            " left join document o on o.customer_id = b.customer_id and o.document_id = b.document_id"
            " where u.customer_id = :customer_id and u.money_id = :money_id and u.invoice_id <> 0 and u.amount_minor < 0 and u.on_day > :on"
            " and coalesce(o.type, d.type) = 'unapplication' and coalesce(o.body, d.body)::json ->> 'amount' is null"
            " group by u.document_id, 1, 2, 3 order by 1, min(u.use_id)"
        ),
        {"customer_id": source.customer.customer_id, "money_id": money_id, "on": on},
    ).all()


def take_off_later(books: Books, source: Source, payer: Source, pieces: Sequence[Piece], on: date) -> None:
    """Take money that lies on invoices again off them, on the later day on which all of it there was taken off, as came before.

    It goes back to who paid.
    """
    for piece in pieces:
        if piece.invoice_id == uses.BALANCE or not piece.amount:
            continue
        later = [
            row for row in _taken_off_later(books, source, piece.money_id, on) if row.invoice_id == piece.invoice_id
        ]
        if later:
            invoice, day = invoice_of(books, source, piece.invoice_id), later[0].on_day
            back = unapply(books, source, invoice, applied(books, source, [piece], day), day)
            if source is not payer:
                pass_back(books, source, payer, day, back)


def let_stay(books: Books, source: Source, money_id: int, paid: int, on: date) -> int:
    """Put so much of a document's money onto invoices again, of what unapplications of later days took off: all that lay there then.

    They take off what is left once it went back. As much as is still with who paid, and due of the invoice, whoever owes that; returns
    how much that is.
    """
    put = 0
    for party in (None, *payers.with_others(books, source, money_id)):
        theirs = source if party is None else books.beside(source, party, on)
        for row in _taken_off_later(books, theirs, money_id, on):
            invoice = invoice_of(books, theirs, row.invoice_id)
            lying = [
                piece
                for piece in uses.of_money(books, source, money_id, row.on_day)
                if piece.invoice_id == uses.BALANCE
            ]
            for piece in lying:
                day = books.days.open_day(theirs, row.on_day)
                due = due_of(books, theirs.customer.customer_id, invoice, day)
                part = piece.part_paid(min(piece.paid, row.paid, paid - put))
                amount = share(row.amount, part.paid, row.paid)
                if amount > due:
                    amount, part = due, part.part_paid(min(share(row.paid, due, row.amount), part.paid))
                if not part.paid or not amount:
                    continue
                there = [part]
                if theirs is not source:
                    worth = passed_for(books, theirs, money_id, part.paid)
                    there = pass_on(books, source, theirs, row.on_day, there, worth)
                settlement = Settlement(invoice, row.on_day, day, amount, part.amount)
                settle(books, replace(theirs, currency=part.currency), settlement, there)
                put += part.paid
    return put
