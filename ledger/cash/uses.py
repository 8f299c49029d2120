"""Whose money lies where: of what came in, how much is on which invoice, or on the customer's balance, by rows that documents write.

Money is named by the document that brought it: a payment, a recovery, a manual entry, a document that owes it. Where it lies it
has that place's currency; beside it stands what it is of the money that came in. A document takes it from one place and puts it
onto another, or gives it back, each a row; what stands of a piece on a day is the least its rows leave of it from that day on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from ledger.amounts.dates import LAST_DAY
from ledger.amounts.money import share
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.movements import Source

# The place of money that lies on no invoice: the customer's balance.
BALANCE = 0
_NUMBERS = 64  # so many are fetched at once


@dataclass(frozen=True, slots=True)
class Piece:
    """Money of one document at one place: `amount` in the place's currency, `paid` what it is of the money that came in.

    `origin_id` is the invoice that left it on the balance, by a credit note or the like; 0 where none did.
    """

    money_id: int
    invoice_id: int
    origin_id: int
    entity: str
    currency: str
    amount: int
    paid: int
    paid_currency: str
    since: date
    order: int = 0  # the number of the row that put it there

    def part(self, amount: int) -> Piece:
        """So much of it, in the place's currency."""
        return replace(self, amount=amount, paid=share(self.paid, amount, self.amount))

    def part_paid(self, paid: int) -> Piece:
        """So much of it, of the money that came in."""
        return replace(self, amount=share(self.amount, paid, self.paid), paid=paid)


@dataclass(frozen=True, slots=True)
class Freed:
    """Money that can leave the balance: as it lies there, or what changes places with it: `lying` on an invoice, `other` here."""

    piece: Piece
    lying: Piece | None = None
    other: Piece | None = None

    def part_paid(self, paid: int) -> Freed:
        """So much of it, of the money that came in."""
        piece = self.piece.part_paid(paid)
        if self.lying is None or self.other is None:
            return Freed(piece)
        lying = replace(self.lying, amount=piece.amount, paid=paid)
        return Freed(piece, lying, self.other.part(piece.amount))


def add(books: Books, source: Source, piece: Piece, on: date, sign: int = 1, undoes: int = 0) -> None:
    """Gather that a document puts money at a place, or with a sign of -1 takes it from there; `undoes` what gave it back."""
    if not piece.amount and not piece.paid:
        return
    books.add_row(
        "money_use",
        customer_id=source.customer.customer_id,
        use_id=books.number("money_use_number", at_least=_NUMBERS),
        document_id=source.document_id,
        money_id=piece.money_id,
        invoice_id=piece.invoice_id,
        origin_id=piece.origin_id,
        entity=piece.entity,
        currency=piece.currency,
        on_day=on,
        amount_minor=sign * piece.amount,
        paid_minor=sign * piece.paid,
        paid_currency=piece.paid_currency,
        undoes=undoes,
    )


def bring(books: Books, source: Source, amount: int, on: date, invoice_id: int = BALANCE, origin_id: int = 0) -> Piece:
    """Gather that the source's document brings money, and where it lies."""
    piece = Piece(
        source.document_id, invoice_id, origin_id, source.entity, source.currency, amount, amount, source.currency, on
    )
    add(books, source, piece, on)
    return piece


def move(books: Books, source: Source, pieces: Iterable[Piece], on: date, invoice_id: int, origin_id: int = 0) -> None:
    """Gather that a document takes money from where it lies and puts it onto an invoice, or the balance, in the same currency."""
    for piece in pieces:
        add(books, source, piece, on, -1)
        add(books, source, replace(piece, invoice_id=invoice_id, origin_id=origin_id), on)


def exchange(
    books: Books, source: Source, pieces: Sequence[Piece], on: date, invoice_id: int, currency: str, amount: int
) -> None:
    """Gather that a document puts money onto an invoice of another currency, where it comes to an amount altogether."""
    whole = sum(piece.amount for piece in pieces)
    reached = before = 0
    for piece in pieces:
        reached += piece.amount
        now = share(amount, reached, whole)
        add(books, source, piece, on, -1)
        there = replace(piece, invoice_id=invoice_id, origin_id=0, currency=currency, amount=now - before)
        add(books, source, there, on)
        before = now


def give_back(books: Books, source: Source, pieces: Iterable[Piece], on: date) -> None:
    """Gather that a document gives money back."""
    for piece in pieces:
        add(books, source, piece, on, -1)


def first(pieces: Sequence[Piece], amount: int) -> list[Piece]:
    """Of pieces, in their order, so much as comes to an amount in their places' currency; less where there is less."""
    found = []
    for piece in pieces:
        part = min(piece.amount, amount)
        if part > 0:
            found.append(piece.part(part))
            amount -= part
    return found


def first_paid(pieces: Sequence[Piece], paid: int) -> list[Piece]:
    """Of pieces, in their order, so much as comes to an amount of the money that came in; less where there is less."""
    found = []
    for piece in pieces:
        part = min(piece.paid, paid)
        if part > 0:
            found.append(piece.part_paid(part))
            paid -= part
    return found


def on_balance(books: Books, source: Source, on: date) -> list[Piece]:
    """What lies on the customer's balance in the source's currency on a day and stays there, the oldest money first."""
    return _standing(
        books, source, "invoice_id = 0 and entity = :entity and currency = :currency", on,
        entity=source.entity, currency=source.currency,
    )  # fmt: skip


def on_invoice(books: Books, source: Source, invoice_id: int, on: date) -> list[Piece]:
    """What lies on an invoice on a day and stays there, in the order in which it was put there."""
    return _standing(books, source, "invoice_id = :invoice_id", on, invoice_id=invoice_id)


def of_money(books: Books, source: Source, money_id: int, on: date) -> list[Piece]:
    """Where the money of a document lies on a day and stays, in the order in which it was put there."""
    return _standing(books, source, "money_id = :money_id", on, money_id=money_id)


def _standing(books: Books, source: Source, where: str, on: date, **parameters: Any) -> list[Piece]:
    books.flush()
    rows = books.connection.execute(
        text(
            "select u.money_id, u.invoice_id, u.origin_id, u.entity, u.currency, u.paid_currency, min(u.on_day) as since, min(u.use_id) as first,"
            " array_agg(u.on_day) as days, array_agg(u.amount_minor) as amounts, array_agg(u.paid_minor) as paid"
            f" from money_use u where u.customer_id = :customer_id and {where}"
            " group by 1, 2, 3, 4, 5, 6 having sum(u.amount_minor) > 0 or sum(u.paid_minor) > 0 order by min(u.use_id)"
        ),
        {"customer_id": source.customer.customer_id, **parameters},
    ).all()
    found = []
    for row in rows:
        amount = available(_by_day(row.days, row.amounts), on)
        paid = available(_by_day(row.days, row.paid), on)
        if amount > 0 or paid > 0:
            where_ = (row.money_id, row.invoice_id, row.origin_id, row.entity, row.currency)
            found.append(Piece(*where_, amount, paid, row.paid_currency, row.since, row.first))
    return sorted(found, key=lambda piece: piece.since)


def _by_day(days: Sequence[date], amounts: Sequence[int]) -> dict[date, int]:
    net: dict[date, int] = {}
    for day, amount in zip(days, amounts, strict=True):
        net[day] = net.get(day, 0) + amount
    return net


def standing_first(
    pieces: Callable[[date], Sequence[Piece]], amount: int, on: date, *, last: bool = False
) -> list[Piece]:
    """So much as comes to an amount of what stands somewhere on a day, or where its days leave less, of what stands there now."""
    for day in (on, LAST_DAY):
        found = pieces(day)
        taken = first(found[::-1] if last else found, amount)
        if sum(piece.amount for piece in taken) == amount:
            return taken
    return taken


def leave(books: Books, source: Source, invoice_id: int, amount: int, on: date) -> Piece | None:
    """Gather that a document leaves an amount of what lies on an invoice with the customer: what was put there last.

    Returns what no document brought that is known here: that it brings itself.
    """
    short = amount - leave_of(books, source, invoice_id, amount, on)
    return bring(books, source, short, on, origin_id=invoice_id) if short else None


def leave_of(books: Books, source: Source, invoice_id: int, amount: int, on: date) -> int:
    """Gather that a document leaves an amount of what lies on an invoice with the customer, as far as it is there; how much that is."""
    if not amount:
        return 0
    pieces = standing_first(lambda day: on_invoice(books, source, invoice_id, day), amount, on, last=True)
    move(books, source, pieces, on, BALANCE, invoice_id)
    return sum(piece.amount for piece in pieces)


def left_there(books: Books, source: Source, document_id: int, on: date) -> list[Piece]:
    """What is on the balance on a day of what a document left there: what it brought itself, and what invoices left by it.

    Of an invoice with what credits of it left since.
    """
    origins = {document_id, *_origins(books, source, document_id)}
    lying = on_balance(books, source, on)
    own = [piece for piece in lying if piece.money_id == document_id]
    return own + [piece for piece in lying if piece.money_id != document_id and piece.origin_id in origins]


def _origins(books: Books, source: Source, document_id: int) -> set[int]:
    """The invoices of whose money a document left something on the balance."""
    books.flush()
    found = books.connection.scalars(
        text(
            "select distinct origin_id from money_use where customer_id = :customer_id and document_id = :document_id"
            " and invoice_id = 0 and origin_id <> 0 and amount_minor > 0"
        ),
        {"customer_id": source.customer.customer_id, "document_id": document_id},
    )
    return set(found)


@dataclass(frozen=True, slots=True)
class Took:
    """That a document took an amount off the balance on a day."""

    document: str
    on: date
    amount: int


def taken_of(books: Books, source: Source, document_id: int, most: int = 3) -> list[Took]:
    """The last documents that took something off the balance of what a document left there."""
    rows = books.connection.execute(
        text(
            "select d.type, d.ref, u.on_day, -sum(u.amount_minor)::bigint as amount from money_use u"
            " join document d using (customer_id, document_id) where u.customer_id = :customer_id and u.invoice_id = 0"
            " and u.entity = :entity and u.currency = :currency and (u.money_id = :document_id or u.origin_id = any(:origins))"
            " group by 1, 2, 3 having sum(u.amount_minor) < 0 order by 3 desc, 2 limit :most"
        ),
        {
            "customer_id": source.customer.customer_id, "document_id": document_id, "entity": source.entity,
            "currency": source.currency, "origins": [document_id, *_origins(books, source, document_id)], "most": most,
        },
    )  # fmt: skip
    return [Took(f"{row.type} {row.ref}", row.on_day, row.amount) for row in rows]


def take_back(books: Books, source: Source, document_id: int, amount: int, on: date) -> None:
    """Gather that what a document left on the balance lies again where that came from; what it brought itself, or credits of it, is gone."""
    for piece in first(left_there(books, source, document_id, on), amount):
        if document_id in {piece.money_id, piece.origin_id}:
            give_back(books, source, [piece], on)
        else:
            move(books, source, [piece], on, piece.origin_id)


def off_balance(
    books: Books, source: Source, own: Sequence[Piece], on: date, origin: int | None = None, *, given: bool = False
) -> list[Freed]:
    """What of a document's money can leave the balance: what lies there, then what others' does that it can change places with.

    Money of others that an invoice left changes places with money that lies on that invoice; what no money that came in brought, with
    any. Where `given`, what of that lowered no line, such as goodwill, goes out as it is instead, and nothing of the document's own for it.
    `own` is where the money lies; of an `origin` only what that invoice left.
    """
    found = [Freed(piece) for piece in own if piece.invoice_id == BALANCE and origin in (None, piece.origin_id)]
    on_invoices = [piece for piece in own if piece.invoice_id != BALANCE and origin in (None, piece.invoice_id)]
    if not on_invoices:
        return found
    mine = {piece.money_id for piece in own}
    apart: list[Piece] = []
    for currency in dict.fromkeys(piece.currency for piece in on_invoices):
        others = [
            piece for piece in on_balance(books, replace(source, currency=currency), on) if piece.money_id not in mine
        ]
        of_lines, free = _brought_by_no_payment(books, source, others) if origin is None else (set[int](), set[int]())
        any_place = of_lines if given else of_lines | free
        for place, lying in enumerate(on_invoices):
            left = lying
            for index, other in enumerate(others):
                if lying.currency == currency and (other.origin_id == lying.invoice_id or other.money_id in any_place):
                    most = min(left.amount, other.amount)
                    if most > 0:
                        found.append(
                            Freed(replace(left.part(most), invoice_id=BALANCE), left.part(most), other.part(most))
                        )
                        left = replace(left, amount=left.amount - most, paid=left.paid - left.part(most).paid)
                        others[index] = replace(
                            other, amount=other.amount - most, paid=other.paid - other.part(most).paid
                        )
            on_invoices[place] = left
        if given and currency == source.currency:
            apart = [
                piece for piece in others if piece.money_id in free and piece.amount and piece.paid_currency == currency
            ]
    return [*found, *(Freed(piece) for piece in apart)]


def _brought_by_no_payment(books: Books, source: Source, pieces: Sequence[Piece]) -> tuple[set[int], set[int]]:
    """(what invoices and notes brought that lowered lines of invoices, what else no money that came in brought)."""
    rows = books.connection.execute(
        text(
            "select d.document_id, (select u.origin_id from money_use u where u.customer_id = d.customer_id and u.money_id = d.document_id"
            "  and u.document_id = d.document_id order by u.use_id limit 1) as origin_id from document d"
            " where d.customer_id = :customer_id and d.document_id = any(:documents) and d.type not in ('payment', 'recovery', 'receipt_identified')"
        ),
        {"customer_id": source.customer.customer_id, "documents": [piece.money_id for piece in pieces]},
    ).all()
    return {row.document_id for row in rows if row.origin_id}, {row.document_id for row in rows if not row.origin_id}


def give_back_freed(books: Books, source: Source, freed: Iterable[Freed], on: date) -> None:
    """Gather that a document gives money back off the balance, and what changes places for it."""
    for item in freed:
        if item.lying is None or item.other is None:
            add(books, source, item.piece, on, -1)
            continue
        add(books, source, item.lying, on, -1)
        move(books, source, [item.other], on, item.lying.invoice_id)


def without(pieces: Sequence[Piece], freed: Iterable[Freed]) -> list[Piece]:
    """What lies on invoices, less what changes places with money on the balance."""
    taken = {item.lying.invoice_id: item.lying for item in freed if item.lying is not None}
    for item in freed:
        if item.lying is not None and item.lying is not taken[item.lying.invoice_id]:
            of = taken[item.lying.invoice_id]
            taken[of.invoice_id] = replace(of, amount=of.amount + item.lying.amount, paid=of.paid + item.lying.paid)
    found = []
    for piece in pieces:
        gone = taken.pop(piece.invoice_id, None)
        rest = piece if gone is None else replace(piece, amount=piece.amount - gone.amount, paid=piece.paid - gone.paid)
        if rest.paid:
            found.append(rest)
    return found


def left_of(books: Books, source: Source, money_id: int, disputed: str, on: date) -> int:
    """What can go back of a document's money from a day on, in its own currency: what did not, and is not disputed."""
    return _left_of(books, source.customer.customer_id, money_id, disputed, on)


def _left_of(books: Books, customer_id: int, money_id: int, disputed: str, on: date) -> int:
    rows = books.connection.execute(
        text(
            "select day, sum(net)::bigint from ("
            " select on_day as day, paid_minor as net from money_use where money_id = :money_id"
            " union all select e.occurred_on, case when p.debit_account = a.account_id then -p.amount else p.amount end from account a"
            " join posting p on p.customer_id = a.customer_id and a.account_id in (p.debit_account, p.credit_account)"
            " join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id"
            " where a.customer_id = :customer_id and a.role = 'disputed_funds' and a.subject = :disputed) x group by 1"
        ),
        {"customer_id": customer_id, "money_id": money_id, "disputed": disputed},
    )
    return max(available({row[0]: row[1] for row in rows}, on), 0)


@dataclass(frozen=True, slots=True)
class Payer:
    """Who brought money that came in: `subject` is what of it is disputed, where anything ever was."""

    customer_id: int
    customer: str
    subject: str
    disputed: bool


def payers(books: Books, pieces: Sequence[Piece]) -> dict[int, Payer]:
    """Who brought money that came in as such, by its document: of a receipt, whose it turned out to be."""
    rows = books.connection.execute(
        text(
            "select distinct u.money_id, u.customer_id, c.ref, d.type || ':' || d.ref as subject, exists (select from account a"
            "  where a.customer_id = u.customer_id and a.entity = u.entity and a.role = 'disputed_funds' and a.currency = u.paid_currency"
            "  and a.subject = d.type || ':' || d.ref) as disputed"
            " from money_use u join customer c using (customer_id)"
            # a receipt's document is the house's
            " cross join lateral (values (u.customer_id), (0)) w(customer_id)"
            " join document d on d.customer_id = w.customer_id and d.document_id = u.money_id"
            " where u.money_id = any(:documents) and u.document_id = u.money_id and d.type in ('payment', 'recovery', 'receipt_identified')"
        ),
        {"documents": list({piece.money_id for piece in pieces})},
    )
    return {row.money_id: Payer(row.customer_id, row.ref, row.subject, row.disputed) for row in rows}


def not_disputed(books: Books, pieces: Sequence[Piece], on: date) -> list[Piece]:
    """Pieces of money on a day, less what can't go back as it is disputed."""
    left = {
        money_id: _left_of(books, payer.customer_id, money_id, payer.subject, on)
        for money_id, payer in payers(books, pieces).items()
        if payer.disputed
    }
    found = []
    for piece in pieces:
        part = piece.part_paid(min(piece.paid, left.get(piece.money_id, piece.paid)))
        if piece.money_id in left:
            left[piece.money_id] -= part.paid
        if part.amount:
            found.append(part)
    return found


def given_back_of(books: Books, source: Source, document_id: int, invoice_id: int, amount: int) -> list[Piece]:
    """What a document gave back of what lay on an invoice, so much as comes to an amount, as it lay there before."""
    books.flush()
    rows = books.connection.execute(
        text(
            "select money_id, invoice_id, 0 as origin_id, entity, currency, -sum(amount_minor)::bigint as amount,"
            " -sum(paid_minor)::bigint as paid, paid_currency, min(on_day) as since from money_use"
            " where customer_id = :customer_id and document_id = :document_id and invoice_id = :invoice_id and money_id <> document_id"
            " and amount_minor <= 0 and paid_minor <= 0"
            " group by 1, 2, 3, 4, 5, 8 having sum(amount_minor) < 0 order by min(use_id)"
        ),
        {"customer_id": source.customer.customer_id, "document_id": document_id, "invoice_id": invoice_id},
    )
    return first([Piece(*row) for row in rows], amount)


def with_later(pieces: Sequence[Piece], now: Sequence[Piece]) -> list[Piece]:
    """Pieces of a day, with what lies on invoices now beyond what lay there then: of each place as one."""
    found = list(pieces)
    for piece in now:
        if piece.invoice_id == BALANCE:
            continue
        places = [place for place, known in enumerate(found) if known.invoice_id == piece.invoice_id]
        more = piece.paid - sum(found[place].paid for place in places)
        if more <= 0:
            continue
        rest = piece.part_paid(more)
        if places:
            known = found[places[0]]
            found[places[0]] = replace(known, amount=known.amount + rest.amount, paid=known.paid + rest.paid)
        else:
            found.append(rest)
    return found


def steps_of(books: Books, source: Source, money_id: int, on: date) -> list[tuple[date, list[Piece]]]:
    """Where a document's money lies on a day, and what each later day moves of it: what leaves a place is below zero."""
    books.flush()
    rows = books.connection.execute(
        text(
            "select greatest(on_day, :on) as day, invoice_id, origin_id, entity, currency, sum(amount_minor)::bigint as amount,"
            " sum(paid_minor)::bigint as paid, paid_currency from money_use where customer_id = :customer_id and money_id = :money_id"
            " group by 1, 2, 3, 4, 5, 8 order by 1, min(use_id)"
        ),
        {"customer_id": source.customer.customer_id, "money_id": money_id, "on": on},
    )
    found: dict[date, list[Piece]] = {}
    for row in rows:
        of = found.setdefault(row.day, [])
        if row.amount or row.paid:
            where_ = (money_id, row.invoice_id, row.origin_id, row.entity, row.currency)
            of.append(Piece(*where_, row.amount, row.paid, row.paid_currency, row.day))
    return list(found.items())


def undone_of(books: Books, source: Source, document_id: int, money_id: int) -> int:
    """What of the money that a document gave back came back since, as it came in: of a document's money, with whomever it lay."""
    others = [books.parties.customer(other).customer_id for other in with_others(books, source, money_id)]
    books.flush()
    found = books.connection.scalar(
        text(
            "select coalesce(sum(paid_minor), 0)::bigint from money_use where customer_id = any(:customers) and undoes = :document_id"
        ),
        {"customers": [source.customer.customer_id, *others], "document_id": document_id},
    )
    return int(found or 0)


def left_by(books: Books, source: Source, document_id: int) -> int:
    """What a document left on the customer's balance of what lay on invoices, in the source's currency."""
    found = books.connection.scalar(
        text(
            "select coalesce(sum(amount_minor), 0)::bigint from money_use where customer_id = :customer_id"
            " and document_id = :document_id and invoice_id = 0 and origin_id <> 0 and amount_minor > 0"
            " and entity = :entity and currency = :currency"
        ),
        {
            "customer_id": source.customer.customer_id, "document_id": document_id, "entity": source.entity,
            "currency": source.currency,
        },
    )  # fmt: skip
    return int(found or 0)


def of_customer(books: Books, source: Source, invoice_id: int, on: date, customer_id: int) -> list[Piece]:
    """What lies on an invoice of the source's customer of money that a customer brought: its own, where it is the same, of whoever."""
    pieces = on_invoice(books, source, invoice_id, on)
    if source.customer.customer_id == customer_id:
        return pieces
    brought = set(
        books.connection.scalars(
            text("select document_id from document where customer_id = :customer_id and document_id = any(:documents)"),
            {"customer_id": customer_id, "documents": [piece.money_id for piece in pieces]},
        )
    )
    return [piece for piece in pieces if piece.money_id in brought]


def with_others(books: Books, source: Source, money_id: int) -> list[str]:
    """The customers, other than the source's, with whom something of a document's money lies: locked, so that it stays theirs."""
    if not books.accounts_of(source.customer.customer_id, "customer_clearing"):
        return []  # nothing ever passed from or to another
    books.flush()
    held: list[str] = []
    while (now := _others(books, source, money_id)) != held:
        books.parties.learn_customers(now)
        held = now
    return held


def _others(books: Books, source: Source, money_id: int) -> list[str]:
    found = books.connection.scalars(
        text(
            "select c.ref from money_use u join customer c using (customer_id) where u.money_id = :money_id"
            " and u.customer_id <> :customer_id group by c.ref order by c.ref"
        ),
        {"customer_id": source.customer.customer_id, "money_id": money_id},
    )
    return list(found)


def sharing(connection: Connection, customers: Collection[str], brought_by: Collection[tuple[str, str]]) -> set[str]:
    """The customers with whom money lies, or lay, that passed from or to one of some customers, or that documents brought, by type and id."""
    if not customers and not brought_by:
        return set()
    kinds, refs = [kind for kind, _ in brought_by], [ref for _, ref in brought_by]
    found = connection.scalars(
        text(
            # money passes by a clearing account of each of the two: far fewer entries than what they ever paid
            "with clearing as materialized (select a.customer_id, a.account_id from entity e cross join customer c"
            "  join account a on a.entity = e.entity and a.role = 'customer_clearing' and a.customer_id = c.customer_id"
            "  where c.ref = any(:customers)), "
            "passed as materialized (select a.customer_id, p.entry_id from clearing a join posting p"
            "  on p.customer_id = a.customer_id and p.debit_account = a.account_id union"
            "  select a.customer_id, p.entry_id from clearing a join posting p"
            "  on p.customer_id = a.customer_id and p.credit_account = a.account_id), "
            "moved as (select u.money_id from passed join entry e using (customer_id, entry_id)"
            "  join money_use u on u.document_id = e.document_id and u.customer_id = e.customer_id"
            " union select k.document_id from unnest(cast(:kinds as text[]), cast(:refs as text[])) as n(type, ref)"
            "  join document_key k on k.type = n.type and k.ref = n.ref) "
            "select distinct c.ref from moved join money_use u using (money_id) join customer c using (customer_id)"
        ),
        {"customers": list(customers), "kinds": kinds, "refs": refs},
    )
    return set(found)
