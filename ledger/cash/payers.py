"""Who brought money, with whom of others it lies, and what of it can go back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, text

from ledger.cash.uses import Piece, on_invoice
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.movements import Source


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
