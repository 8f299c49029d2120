"""Money taken off invoices again: an application that was wrong, and a payment that came back and so was none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from sqlalchemy import text

from ledger.amounts.dates import LAST_DAY
from ledger.amounts.money import share, to_minor, to_text
from ledger.cash import uses
from ledger.cash.money_accounts import cash_named
from ledger.cash.uses import Piece
from ledger.documents import models
from ledger.errors import OverApplication, Refused, UnknownReference
from ledger.invoices.forms import CUSTOMER, Receivable
from ledger.journal.books import Books
from ledger.journal.currencies import clearing_subject
from ledger.journal.movements import Movement, Source, Undoing
from ledger.payments.between_customers import pass_back, pass_on, passed_for
from ledger.payments.payments import (
    PaymentFound,
    Settlement,
    applied,
    due_of,
    find_invoice,
    money_subject,
    read_payment,
    settle,
    unapply,
)
from ledger.payments.withholding import reopened
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
    found = books.connection.execute(
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
            "invoice": invoice, "document_id": row.document_id, "of_payment": kind == "payment", "beside": f"{kind}:{ref}",
        },
    ).all()  # fmt: skip
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


def post_payment_reversal(wallets: Wallets, doc: models.PaymentReversal, document_id: int) -> int:
    """A payment came back (a return, a bounced cheque, a failed charge): it is no payment, and what it settled is due again.

    So did a receipt that turned out to be the customer's. Told by days: what was done with the money on later days is undone on them.
    Raises Refused where something of it went back already, or is disputed.
    """
    found, source = find_whole(wallets.books, doc, document_id)
    take_back(wallets.books, doc, found, source)
    return source.customer.customer_id


def find_whole(books: Books, doc: models.PaymentReversal, document_id: int) -> tuple[PaymentFound, Source]:
    """The money that came back, and whose. Raises Refused where something of it went back already, or is disputed."""
    field, ref = doc.money
    found = read_payment(books, ref, field)
    body, amount = found.body, found.amount
    source = books.source(document_id, found.customer, found.entity, found.currency, doc.date, brings_in=False)
    paid_on = date.fromisoformat(body["date"])
    if doc.date < paid_on:
        raise Refused("date", doc.date, f"expected {paid_on}, when {field} {ref} came in, or later")
    uses.with_others(books, source, found.document_id)  # are locked before it is asked what is left
    left = uses.left_of(books, source, found.document_id, money_subject(field, ref), doc.date)
    if left < amount:
        raise Refused(
            field, ref,
            f"expected one whose money is all there: of its {to_text(amount, source.currency)}, {to_text(left, source.currency)} is left"
            + _gone(books, source, field, ref, found.document_id),
        )  # fmt: skip
    return found, source


def take_back(books: Books, doc: models.PaymentReversal, found: PaymentFound, source: Source) -> None:
    """Undo, day by day, what was done with money that came back, and let it go as it came in."""
    body = found.body
    rail = cash_named(body)
    fee = 0 if doc.fee is None else to_minor(doc.fee, source.currency, "fee")
    beside = books.connection.scalar(
        text("select document_id from document_key where type = 'beside' and ref = :ref"),
        {"ref": money_subject(*doc.money)},
    )
    for other in uses.with_others(books, source, found.document_id):
        _bring_home(books, source, other, found.document_id, doc.date)
        theirs = books.beside(source, other, doc.date)
        _reopen_withheld(books, theirs, beside or 0, doc.date)
    for on, pieces in uses.steps_of(books, source, found.document_id, doc.date):
        _undo(books, source, pieces, on)
    _return(books, source, found.document_id, rail, doc.date)
    _reopen_withheld(books, source, found.document_id, doc.date)
    books.post(source, doc.date, [Movement("payment.fee", fee, rail, rail)])


def _reopen_withheld(books: Books, source: Source, document_id: int, on: date) -> None:
    """Make due again what a payment's document settled by withheld tax; what its invoices left of it with the customer settles them."""
    movements = reopened(books, source.customer.customer_id, document_id)
    books.post(source, on, movements)
    for movement in movements:
        invoice = find_invoice(books, source, movement.debit.removeprefix("invoice:"))
        of_invoice = replace(source, currency=invoice.currency)

        def there(day: date, of: Source = of_invoice, origin: int = invoice.invoice_id) -> list[Piece]:
            return [piece for piece in uses.on_balance(books, of, day) if piece.origin_id == origin]

        pieces = uses.standing_first(there, movement.amount, on, last=True)
        amount = sum(piece.amount for piece in pieces)
        if amount:
            settle(
                books, of_invoice, Settlement(invoice, on, books.days.open_day(of_invoice, on), amount, amount), pieces
            )


def _return(books: Books, source: Source, money_id: int, rail: str, on: date) -> None:
    """Let money that lies on the balance again go back as it came in."""
    pieces = uses.of_money(books, source, money_id, LAST_DAY)
    same = sum(piece.amount for piece in pieces if piece.currency == source.currency)
    worth = _received(books, source, money_id, same)
    books.post(
        source,
        on,
        # what others paid, and what of theirs is on the balance, stays what it is
        [Movement("payment.reversed", same, CUSTOMER, rail, functional=worth, worth=worth)],
        Undoing((money_id,), 1, (0, 1)),
    )
    for piece in pieces:
        if piece.currency != source.currency:
            # its exchange never was: the gain or loss of it is taken back
            through = clearing_subject(source.currency, piece.currency, undone=True)
            books.post(source, on, [
                Movement("payment.reversed_exchanged", piece.amount, CUSTOMER, through, currency=piece.currency),
                Movement("payment.reversed_paid", piece.paid, through, rail, functional=_received(books, source, money_id, piece.paid)),
            ], Undoing((money_id,), 1, (0, 1)))  # fmt: skip
    uses.give_back(books, source, pieces, on)


def _received(books: Books, source: Source, money_id: int, amount: int) -> int:
    """What an amount of a payment, or of a receipt that became the customer's, counted for when it came in."""
    row = books.connection.execute(
        text(
            "select coalesce(sum(p.amount), 0)::bigint as amount, coalesce(sum(p.functional_amount), 0)::bigint as functional from entry e"
            " join document d on d.customer_id in (e.customer_id, 0) and d.document_id = e.document_id join posting p on p.customer_id = e.customer_id and p.entry_id = e.entry_id"
            " join rule r on r.number = p.rule and case d.type when 'payment' then r.code = 'payment.received'"
            "  when 'recovery' then r.code like 'recovery.%' and r.debit = 'cash' else r.code = 'customer.balance_in' end"
            " where e.customer_id = :customer_id and e.document_id = :money_id"
        ),
        {"customer_id": source.customer.customer_id, "money_id": money_id},
    ).one()
    return share(row.functional, amount, row.amount) if row.amount else amount


def _gone(books: Books, source: Source, field: str, ref: str, money_id: int) -> str:
    """Which documents gave something of a payment back, dispute it or won that, as words to follow what is left of it."""
    rows = books.connection.execute(
        text(
            "select x.type, x.ref, x.body::json ->> 'amount' as amount, coalesce(x.body::json ->> 'status', '') as status from ("
            " select d.* from document d where d.customer_id = :customer_id and d.type = any(:types) and d.body::json ->> :field = :ref"
            # what gave it back of others by another name
            " union select d.* from money_use u join document d using (customer_id, document_id)"
            "  where u.money_id = :money_id and d.type = any(:types)) x order by x.dated_on, x.document_id"
        ),
        {
            "customer_id": source.customer.customer_id, "field": field, "ref": ref, "money_id": money_id,
            "types": ["refund", "dispute", "payment_reversal"],
        },
    )  # fmt: skip
    told = [" ".join(filter(None, (row.type, row.ref, row.status, row.amount))) for row in rows]
    return f"; see {', '.join(told)}" if told else ""


def _invoice_of(books: Books, source: Source, invoice_id: int) -> Receivable:
    ref = books.connection.scalar(
        text("select ref from invoice where customer_id = :customer_id and invoice_id = :invoice_id"),
        {"customer_id": source.customer.customer_id, "invoice_id": invoice_id},
    )
    return find_invoice(books, source, str(ref))


def _bring_home(books: Books, source: Source, other: str, money_id: int, since: date) -> None:
    """Undo what was done with money at another customer, day by day, and let what came there on each go back."""
    theirs = books.beside(source, other, since)
    for on, moved in uses.steps_of(books, theirs, money_id, since):
        pieces = moved
        came = sum(piece.paid for piece in pieces)
        if came < 0:
            lying = Piece(money_id, uses.BALANCE, 0, source.entity, source.currency, -came, -came, source.currency, on)
            pieces = [*moved, *pass_on(books, source, theirs, on, [lying], passed_for(books, theirs, money_id, -came))]
        back = _undo(books, theirs, _by_place(pieces), on)
        for piece in uses.first_paid(back, came) if came > 0 else ():
            pass_back(books, theirs, source, on, [_as_it_came(books, theirs, piece, on)])


def _by_place(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces of one document's money, those at one place as one."""
    found: dict[tuple[int, int, str], Piece] = {}
    for piece in pieces:
        place = piece.invoice_id, piece.origin_id, piece.currency
        known = found.get(place)
        found[place] = (
            piece if known is None else replace(known, amount=known.amount + piece.amount, paid=known.paid + piece.paid)
        )
    return list(found.values())


def _as_it_came(books: Books, source: Source, piece: Piece, on: date) -> Piece:
    """Exchange money on the balance back into the currency in which it came in."""
    if piece.currency == piece.paid_currency:
        return piece
    through = clearing_subject(piece.paid_currency, piece.currency, undone=True)
    books.post(source, on, [
        Movement("payment.reversed_exchanged", piece.amount, CUSTOMER, through, currency=piece.currency),
        Movement(
            "payment.put_back", piece.paid, through, CUSTOMER, currency=piece.paid_currency,
            functional=passed_for(books, replace(source, currency=piece.paid_currency), piece.money_id, piece.paid),
        ),
    ])  # fmt: skip
    uses.add(books, source, piece, on, -1)
    there = replace(piece, currency=piece.paid_currency, amount=piece.paid)
    uses.add(books, source, there, on)
    return there


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
            invoice, day = _invoice_of(books, source, piece.invoice_id), later[0].on_day
            back = unapply(books, source, invoice, applied(books, source, [piece], day), day)
            if source is not payer:
                pass_back(books, source, payer, day, back)


def let_stay(books: Books, source: Source, money_id: int, paid: int, on: date) -> int:
    """Put so much of a document's money onto invoices again, of what unapplications of later days took off: all that lay there then.

    They take off what is left once it went back. As much as is still with who paid, and due of the invoice, whoever owes that; returns
    how much that is.
    """
    put = 0
    for party in (None, *uses.with_others(books, source, money_id)):
        theirs = source if party is None else books.beside(source, party, on)
        for row in _taken_off_later(books, theirs, money_id, on):
            invoice = _invoice_of(books, theirs, row.invoice_id)
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


def _undo(books: Books, source: Source, pieces: Sequence[Piece], on: date) -> list[Piece]:
    """Undo what was done on a day with money that did not come: what was put onto invoices comes off, what came off goes back.

    Returns what is on the balance again and was not there before.
    """
    # what was put onto invoices on the day came off the balance, some of it as what an invoice had left there
    came = [
        replace(piece, amount=-piece.amount, paid=-piece.paid)
        for piece in pieces
        if piece.invoice_id == uses.BALANCE and piece.amount < 0
    ]
    back = [piece for piece in pieces if piece.invoice_id == uses.BALANCE and piece.amount > 0]
    of_invoices = [piece for piece in pieces if piece.invoice_id != uses.BALANCE]
    for piece in of_invoices:
        if piece.amount <= 0:
            continue
        invoice = _invoice_of(books, source, piece.invoice_id)
        for item in applied(books, source, [piece], on):
            left = item.amount
            for place, there in enumerate(came):
                part = min(left, there.amount) if there.currency == item.currency else 0
                if part:
                    of_origin = replace(item.part(part), origin_id=there.origin_id)
                    unapply(books, source, invoice, [of_origin], on)
                    came[place] = there.part(there.amount - part)
                    left -= part
            back += unapply(books, source, invoice, [item.part(left)] if left else [], on)
    for piece in of_invoices:
        if piece.amount < 0:
            _put_again(books, source, replace(piece, amount=-piece.amount, paid=-piece.paid), back, on)
    return [piece for piece in back if piece.amount or piece.paid]


def _put_again(books: Books, source: Source, gone: Piece, there: list[Piece], on: date) -> None:
    """Put money onto an invoice again that it left on a day: from where it lies then, which is `there` and becomes less.

    What the invoice left on the balance comes first, then what was taken off it, or moved from it to another.
    """
    invoice = _invoice_of(books, source, gone.invoice_id)
    left = gone
    for place in sorted(range(len(there)), key=lambda place: there[place].origin_id != gone.invoice_id):
        lying = there[place]
        if lying.currency == left.currency:
            put = left.part(min(left.amount, lying.amount))
            own = replace(lying, amount=put.amount, paid=put.paid)
        else:
            own = lying.part_paid(min(left.paid, lying.paid))
            put = left.part_paid(own.paid)
        if not own.amount or not put.amount:
            continue
        _settle_again(books, source, invoice, put.amount, own, on)
        there[place] = replace(lying, amount=lying.amount - own.amount, paid=lying.paid - own.paid)
        left = replace(left, amount=left.amount - put.amount, paid=left.paid - put.paid)
        if not left.amount:
            return
    _settle_again(
        books, source, invoice, left.amount, replace(left, invoice_id=uses.BALANCE, origin_id=gone.invoice_id), on
    )


def _settle_again(books: Books, source: Source, invoice: Receivable, amount: int, own: Piece, on: date) -> None:
    settle(books, replace(source, currency=own.currency), Settlement(invoice, on, on, amount, own.amount), [own])
