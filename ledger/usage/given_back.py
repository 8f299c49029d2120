"""Usage that falls gives back what it drew.

To the very grants the customer's usage of that product drew on, what was posted last first. What no grant covered was posted after the
grants' credits, and goes before them. Revenue falls by what the credits had earned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import text

from ledger.accounts.rulebook import BY_NUMBER, RULES
from ledger.journal.books import Books
from ledger.journal.by_date import balance
from ledger.journal.movements import AccountKey, Movement, Source
from ledger.usage import commitments
from ledger.usage.usage_lines import NET_USAGE, is_taken, overage_accounts, usage_subject
from ledger.usage.usage_taken import settle
from ledger.wallets.breakage import break_by_days
from ledger.wallets.draw_plans import money_back
from ledger.wallets.expiry import expire_grant, unexpire
from ledger.wallets.grants import NET_GRANT, Grant, grant_accounts
from ledger.wallets.session import Wallets

# Entries are read so many at a time, more each time: most usage that falls gives back what was used lately.
_AT_ONCE = 64

_OVERAGE = ("usage.overage", "usage.billed_ahead")
_PAID = ("draw.prepaid", "draw.prepaid_unbilled")

_DRAWING = [RULES[code].number for code in (*_OVERAGE, *_PAID, "draw.promotional")]

_ENTRIES = """
    with used as materialized (
        select e.entry_id from entry e
        join document d on d.customer_id = e.customer_id and d.document_id = e.document_id
        where e.customer_id = :customer_id and e.entry_id < :before and e.reverses is null
          and case when d.type = 'usage' then d.body::jsonb ->> 'product' = :product and d.body::jsonb ->> 'entity' = :entity
                                              and d.body::jsonb ->> 'currency' = :currency
                   -- usage that was drawn again, because its credits went with their bill
                   when d.type in ('credit_note', 'refund', 'dispute', 'write_off') then exists (
                       select from posting q join account r on r.customer_id = q.customer_id and r.account_id = q.credit_account
                       where q.customer_id = e.customer_id and q.entry_id = e.entry_id and q.rule = any(:drawing)
                         and r.product = :product and r.entity = :entity and r.currency = :currency)
                   else false end
          and not exists (select from entry r where r.customer_id = e.customer_id and r.reverses = e.entry_id)
        order by e.entry_id desc limit :at_once
    )
    select p.entry_id, p.rule, p.amount, a.subject from used
    join posting p on p.customer_id = :customer_id and p.entry_id = used.entry_id
    join account a on a.customer_id = :customer_id and a.account_id = p.credit_account
    order by p.entry_id desc, p.line"""


@dataclass(frozen=True, slots=True)
class Piece:
    """What an entry of usage drew on a grant and was not given back.

    Or left to be billed; in minor units of face value.
    """

    entry_id: int
    subject: str
    face: int


def pieces_last_first(wallets: Wallets, source: Source, product: str) -> Iterator[Piece]:
    """What the customer's usage of a product drew, or left to be billed, the last first.

    Less what was given back.
    """
    books = wallets.books
    before, at_once = 2**62, _AT_ONCE
    while True:
        rows = books.connection.execute(
            text(_ENTRIES),
            {
                "customer_id": source.customer.customer_id, "before": before, "at_once": at_once, "product": product,
                "entity": source.entity, "currency": source.currency, "drawing": _DRAWING,
            },
        ).all()  # fmt: skip
        if not rows:
            return
        by_entry: dict[int, list[Any]] = {}
        for row in rows:
            by_entry.setdefault(row.entry_id, []).append(row)
        yield from _pieces(wallets, source, by_entry)
        before, at_once = min(by_entry), at_once * 4


def pieces_of(wallets: Wallets, source: Source, entries: list[tuple[int, list[tuple[int, int, str]]]]) -> list[Piece]:
    """What is left of what entries drew.

    Of each its number, and (rule, amount, subject) of its postings.
    """
    by_entry = {number: [_Posting(*posting) for posting in postings] for number, postings in entries}
    return list(_pieces(wallets, source, by_entry))


def pieces_of_entry(wallets: Wallets, source: Source, entry_id: int) -> list[Piece]:
    """What is left of what an entry in the books drew, the last first."""
    rows = wallets.books.connection.execute(
        text(
            "select p.rule, p.amount, a.subject from posting p join account a on a.customer_id = p.customer_id"
            " and a.account_id = p.credit_account where p.customer_id = :customer_id and p.entry_id = :entry_id order by p.line"
        ),
        {"customer_id": source.customer.customer_id, "entry_id": entry_id},
    )
    return pieces_of(wallets, source, [(entry_id, [(row.rule, row.amount, row.subject) for row in rows])])


def drawn_by(wallets: Wallets, source: Source, postings: list[tuple[int, int, str]]) -> int:
    """What an entry drew on grants, or left to be billed, as it was posted.

    By (rule, amount, subject) of its postings.
    """
    faces = _faces(wallets, source, [_Posting(*posting) for posting in postings])
    return sum(face for _, face in faces)


@dataclass(frozen=True, slots=True)
class _Posting:
    rule: int
    amount: int
    subject: str


def _pieces(wallets: Wallets, source: Source, by_entry: dict[int, list[Any]]) -> Iterator[Piece]:
    customer_id = source.customer.customer_id
    returned = {
        (row.entry_id, row.subject): row.face
        for row in wallets.books.connection.execute(
            text(
                "select entry_id, subject, sum(face_minor)::bigint as face from usage_returned"
                " where customer_id = :customer_id and entry_id = any(:entries) group by 1, 2"
            ),
            {"customer_id": customer_id, "entries": list(by_entry)},
        )
    }
    for number in sorted(by_entry, reverse=True):
        for subject, face in reversed(_faces(wallets, source, by_entry[number])):
            left = face - returned.get((number, subject), 0)
            if left > 0:
                yield Piece(number, subject, left)


def _faces(wallets: Wallets, source: Source, postings: Sequence[Any]) -> list[tuple[str, int]]:
    """What an entry of usage drew on which grant, and last what no grant covered.

    In minor units of face value.
    """
    faces: dict[str, int] = {}
    overage = 0
    overage_subject = ""
    for posting in postings:
        code = BY_NUMBER[posting.rule].code
        subject = posting.subject
        if code in _OVERAGE:
            overage += posting.amount
            overage_subject = subject
        elif code in ("draw.credits", "draw.commitment"):
            faces[subject] = faces.get(subject, 0) + posting.amount
            # usage under a commitment is posted as what no grant covers
            overage -= posting.amount if code == "draw.commitment" else 0
        elif code in _PAID:
            grant = wallets.grant(source.customer.customer_id, subject.removeprefix("grant:"))
            if not grant.kept_in_memorandum:
                faces[subject] = faces.get(subject, 0) + posting.amount
    return [*faces.items(), *([(overage_subject, overage)] if overage else [])]


def give_back(wallets: Wallets, source: Source, product: str, on: date, amount: int) -> None:
    """Give back so much of a customer's usage of a product.

    In minor units, what was posted last first. What was gathered is written first.
    """
    wallets.books.flush()
    taken: list[Piece] = []
    left = amount
    for piece in pieces_last_first(wallets, source, product):
        part = min(left, piece.face)
        taken.append(Piece(piece.entry_id, piece.subject, part))
        left -= part
        if left == 0:
            break
    assert left == 0, "as much is posted of usage as its meter says"
    return_pieces(wallets, source, product, on, taken)


def return_pieces(wallets: Wallets, source: Source, product: str, on: date, pieces: list[Piece]) -> None:
    """Post that pieces of usage are given back on a day, and note it."""
    books, customer_id = wallets.books, source.customer.customer_id
    by_subject: Counter[str] = Counter()
    for piece in pieces:
        by_subject[piece.subject] += piece.face
        books.add_row(
            "usage_returned",
            customer_id=customer_id, document_id=source.document_id, entry_id=piece.entry_id, subject=piece.subject,
            face_minor=piece.face,
        )  # fmt: skip
    day = books.days.open_day(source, on)
    overage = 0
    committed: list[Grant] = []
    for subject, face in by_subject.items():
        if not subject.startswith("grant:"):
            overage += face
            continue
        grant = wallets.grant(customer_id, subject.removeprefix("grant:"))
        if grant.kind == "commitment":
            overage += face
            books.post(source, on, [Movement("draw.commitment_returned", face, subject, subject)])
            grant.drawn_face -= face
            wallets.touch(grant)
            committed.append(grant)
        else:
            _return_credits(wallets, source, grant, face, product, on)
    if overage:
        _return_overage(wallets, source, product, on, overage)
    for grant in committed:
        commitments.raise_shortfall(wallets, source, grant, product, by_subject[grant.subject], day)
        commitments.settle(wallets, source, grant, day)
        break_by_days(wallets, source, grant, day)


def _return_overage(wallets: Wallets, source: Source, product: str, on: date, amount: int) -> None:
    """Less is to be billed; what was billed already is a liability."""
    books = wallets.books
    day = books.days.open_day(source, on)
    keys = overage_accounts(source, product)
    unbilled = min(amount, max(balance(books.history(source.customer.customer_id, keys[1]), day), 0))
    subject = usage_subject(product)
    books.post(
        source,
        on,
        [
            Movement("usage.overage_returned", unbilled, subject, subject, product),
            Movement("usage.ahead_returned", amount - unbilled, subject, subject, product),
        ],
    )
    if is_taken(wallets, source, product):
        settle(books, source, product)
    books.net(source, keys, NET_USAGE, day)


def _return_credits(wallets: Wallets, source: Source, grant: Grant, face: int, product: str, on: date) -> None:
    """Give credits back to a grant: they can be used again.

    Where its last day is over, they expire at once.
    """
    books, subject = wallets.books, grant.subject
    day = books.days.open_day(source, on)
    if grant.expires_on is not None and grant.expires_on < on:
        # what was left on its last day expired then, recognised already or not
        expire_grant(wallets, source, grant, grant.expires_on, on)
    elif grant.proportional and grant.expired_face:
        unexpire(wallets, source, grant, on)  # what breaks with use is told by the day of the use
    paid = grant.paid
    memo = [Movement("draw.credits_returned", face, subject, subject)] if grant.kept_in_memorandum else []
    credits_back = 0
    if paid is None:
        books.post(source, on, [Movement("draw.promotional_returned", face, subject, subject, product), *memo])
    else:
        order = paid.subject
        money = money_back(grant, face)
        unbilled_key: AccountKey = grant_accounts(source, paid.ref)[1]
        unbilled = min(money, max(balance(books.history(source.customer.customer_id, unbilled_key), day), 0))
        credits_back = money - unbilled
        books.post(
            source,
            on,
            [
                Movement("draw.unbilled_returned", unbilled, order, order, product),
                Movement("draw.prepaid_returned", credits_back, order, order, product),
                *memo,
            ],
        )
        paid.drawn -= money
        paid.returned_on = max(day, paid.returned_on or day)
        wallets.touch(paid)
    grant.drawn_face -= face
    wallets.touch(grant)
    # what was put back for the document under way expires again once it is posted
    waits = (paid or grant).grant_id in wallets.unexpired and grant.expires_on is not None and on <= grant.expires_on
    if grant.expires_on is not None and grant.expires_on < day and not waits:
        _expire_again(wallets, source, grant, paid, face, credits_back, day)
    else:
        break_by_days(wallets, source, grant, day)
    if paid is not None:
        books.net(source, grant_accounts(source, paid.ref), NET_GRANT, day)


def _expire_again(
    wallets: Wallets, source: Source, grant: Grant, paid: Grant | None, face: int, money: int, day: date
) -> None:
    memo = [Movement("expire.credits", face, grant.subject, grant.subject)] if grant.kept_in_memorandum else []
    broken = [] if paid is None else [Movement("expire.prepaid", money, paid.subject, paid.subject)]
    wallets.books.post(source, day, [*broken, *memo])
    grant.expired_face += face
    if paid is not None:
        paid.broken += money


def is_fall(books: Books, customer_id: int, document_id: int) -> bool:
    """Whether usage in the books gave back what other usage had drawn."""
    found: bool = books.connection.scalar(
        text(
            "select exists (select from usage_returned where customer_id = :customer_id and document_id = :document_id)"
        ),
        {"customer_id": customer_id, "document_id": document_id},
    )
    return found
