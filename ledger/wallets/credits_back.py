"""Prepaid credits go with their bill.

What is taken back of it takes unused credits first, then concerns used ones. It is the same as a return of credits, at what was paid for
them. Credits of an order go in proportion to what is left of each, for all of them share its price. A bill that is voided and billed
again, and money that comes in after all for one written off, bring them back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from sqlalchemy import text

from ledger.amounts.money import allocate, share
from ledger.errors import Refused
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.movements import Movement, Source
from ledger.wallets.grants import Funding, Grant, grant_accounts, grant_subject
from ledger.wallets.session import Wallets, record_move


@dataclass(frozen=True, slots=True)
class Taken:
    """What taking back a part of a grant's bill concerns.

    Unused credits, credits that expired, and used ones.
    """

    unused: int
    broken: int
    used: int


def split(books: Books, source: Source, grant: Grant, amount: int, day: date, before: int = 0) -> Taken:
    """How an amount taken back of a grant's bill splits.

    What is billed of unused credits first, then of those that expired. `before` is what earlier lines of the same document took of unused
    ones.
    """
    credits_key, _ = grant_accounts(source, grant.ref)
    held = max(available(books.history(source.customer.customer_id, credits_key), day) - before, 0)
    unused = min(amount, held, max(grant.price_left, 0))
    # of what is earned in proportion to use, what unused credits were expected to break for
    most = max(grant.unused_worth - unused, 0) if grant.proportional and not grant.expired_face else amount
    broken = min(amount - unused, max(grant.broken, 0), most)
    return Taken(unused, broken, amount - unused - broken)


def take_unused(wallets: Wallets, source: Source, grant: Grant, taken: Taken, on: date, kind: str, line: str) -> None:
    """Take unused credits worth so much of a grant's price away.

    So that they can't be drawn any more.
    """
    money = taken.unused
    worth = money + (taken.broken if grant.proportional else 0)
    if not worth:
        return
    books = wallets.books
    pool = (grant, *grant.bonuses)
    left = [item.left for item in pool]
    whole = grant.unused_worth
    faces = share(sum(left), worth, whole) if whole > worth else sum(left)
    parts = allocate(faces, left) if faces else [0] * len(pool)
    for index, (item, face) in enumerate(zip(pool, parts, strict=True)):
        if not face and index:
            continue
        if face and item.kept_in_memorandum:
            books.post(source, on, [Movement("grant.moved_credits", face, item.subject, item.subject)])
        item.moved_face += face
        price = 0 if index else money
        item.moved += price
        if kind == "void":
            item.voided_face += face
            item.voided += price
        record_move(wallets, source, item, kind, on, face, price, line)
        wallets.touch(item)


def lower_used(wallets: Wallets, source: Source, grant: Grant, taken: Taken, on: date, line: str) -> list[Movement]:
    """A lower price of credits that were used or expired: what they had earned of it is less.

    Returns what puts the earned breakage back; the revenue of used ones is the caller's to move, by product.
    """
    money = taken.used + taken.broken
    if not money:
        return []
    grant.moved += money
    grant.broken -= taken.broken
    grant.drawn -= taken.used
    record_move(wallets, source, grant, "credit", on, 0, money, f"{line}/used")
    wallets.touch(grant)
    return [Movement("break.returned", taken.broken, grant.subject, grant.subject)]


def revenue_by_product(books: Books, source: Source, grant: Grant, amount: int) -> list[tuple[str, int]]:
    """An amount of what a grant earned, split by product as its revenue is."""
    customer_id = source.customer.customer_id
    keys = sorted(books.accounts_of(customer_id, "revenue", grant.subject), key=lambda key: key.product)
    earned = [max(sum(books.history(customer_id, key).values()), 0) for key in keys]
    if not sum(earned):
        return [("", amount)] if amount else []
    return [(key.product, part) for key, part in zip(keys, allocate(amount, earned), strict=True) if part]


def bill_again(wallets: Wallets, source: Source, grant: Grant, amount: int, on: date, line: str) -> None:
    """Bring credits back whose bill was voided, as they are billed again.

    As far as the new bill covers them. What was used and not billed comes first.
    """
    used = max(grant.drawn + grant.broken - grant.funded(), 0)
    money = min(grant.voided, max(amount - used, 0))
    if money:
        _restore(wallets, source, grant, money, grant.voided, "billed_again", on, line)


def _restore(
    wallets: Wallets, source: Source, grant: Grant, money: int, of: int, kind: str, on: date, line: str
) -> None:
    """Bring back credits that went with a voided bill."""
    pool = (grant, *grant.bonuses)
    faces = [item.voided_face if money == of else share(item.voided_face, money, of) for item in pool]
    _bring_back(wallets, source, list(zip(pool, faces, strict=True)), money, kind, on, line)
    for item, face in zip(pool, faces, strict=True):
        item.voided_face -= face
    grant.voided -= money


def _bring_back(
    wallets: Wallets, source: Source, faces: Sequence[tuple[Grant, int]], money: int, kind: str, on: date, line: str
) -> None:
    for index, (item, face) in enumerate(faces):
        if not face and index:
            continue
        if face and item.kept_in_memorandum:
            rule = "grant.restored_credits" if face > 0 else "grant.moved_credits"
            wallets.books.post(source, on, [Movement(rule, abs(face), item.subject, item.subject)])
        item.moved_face -= face
        price = 0 if index else money
        item.moved -= price
        record_move(wallets, source, item, kind, on, -face, -price, line)
        wallets.touch(item)


def recover(
    wallets: Wallets,
    source: Source,
    taken_by: int,
    points: tuple[int, int],
    on: date,
    rule: str,
    to: str,
    of: str = "",
    line: str | None = None,
    rate: Fraction | None = None,
) -> list[Movement]:
    """Let prepaid credits be used again, as money comes in for them.

    For what of them was written off, or given back. `points` are how much of what the document `taken_by` took of unused credits came
    back until now, and now: less where the money did not stay, and Refused where they were used. What it had taken goes back in the order
    of the grants, or what it had taken with one `line`. `of` tells the recoveries apart that one document changes.
    """
    books = wallets.books
    customer_id = source.customer.customer_id
    by_lead = _taken_by(wallets, customer_id, taken_by, line)
    whole = sum(money for _, money, _ in by_lead)
    movements: list[Movement] = []
    reached = 0
    for of_line, money, items in by_lead:
        first, reached = reached, reached + money
        upto = [min(max(point - first, 0), money) for point in points]
        part = upto[1] - upto[0]
        if not part:
            continue
        faces = [(item, share(face, upto[1], money) - share(face, upto[0], money)) for item, face in items]
        lead = items[0][0]
        if part < 0:
            _require_unused(books, source, faces, -part, on)
            movements.append(Movement(f"{rule}_returned", -part, lead.subject, to, rate=rate))
        _bring_back(wallets, source, faces, part, "recovered", on, f"{of_line}{of}")
        if part > 0:
            movements.append(Movement(rule, part, to, lead.subject, rate=rate))
        lead.fundings.append(Funding(books.days.open_day(source, on), part, on))
    assert points[1] <= whole, "no more is recovered of credits than was taken"
    return movements


def _taken_by(
    wallets: Wallets, customer_id: int, taken_by: int, line: str | None
) -> list[tuple[str, int, list[tuple[Grant, int]]]]:
    """What a document took of unused credits, paid grant by paid grant.

    The line, the money, and each grant's credits.
    """
    rows = wallets.books.connection.execute(
        text(
            "select g.ref, m.line, m.face_minor, m.amount_minor from grant_move m join credit_grant g using (customer_id, grant_id)"
            " where m.customer_id = :customer_id and m.document_id = :taken_by and m.kind in ('write_off', 'refund', 'dispute')"
            " and (cast(:line as text) is null or m.line = :line) order by m.line, m.amount_minor desc, g.grant_id"
        ),
        {"customer_id": customer_id, "taken_by": taken_by, "line": line},
    ).all()
    found: list[tuple[str, int, list[tuple[Grant, int]]]] = []
    for row in rows:
        grant = wallets.grant(customer_id, row.ref)
        if row.amount_minor:
            found.append((row.line, row.amount_minor, []))
        found[-1][2].append((grant, row.face_minor))
    return found


def subject_taken(books: Books, source: Source, taken_by: int) -> str:
    """What the first unused credits that a document took are held as.

    Nothing where it took none.
    """
    ref = books.connection.scalar(
        text(
            "select g.ref from grant_move m join credit_grant g using (customer_id, grant_id) where m.customer_id = :customer_id"
            " and m.document_id = :taken_by and m.kind = 'write_off' order by m.line, m.amount_minor desc, g.grant_id limit 1"
        ),
        {"customer_id": source.customer.customer_id, "taken_by": taken_by},
    )
    return "" if ref is None else grant_subject(ref)


def _require_unused(books: Books, source: Source, faces: Sequence[tuple[Grant, int]], money: int, on: date) -> None:
    """Raise Refused where credits that are to go again were used since they came back.

    They would fall below zero.
    """
    lead = faces[0][0]
    credits_key, _ = grant_accounts(source, lead.ref)
    held = available(books.history(source.customer.customer_id, credits_key), books.days.open_day(source, on))
    short = next((item for item, face in faces if item.left < -face), None)
    if short is not None or held < money:
        raise Refused(
            "recovery", (short or lead).ref, "expected credits that came back with it, and are unused: write off what was used instead"
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Raised:
    """What a credit note had taken of a grant's bill, as it comes back.

    Unused, broken, and used credits, these by product.
    """

    unused: int
    broken: int
    used: int
    by_product: tuple[tuple[str, int], ...]


def raise_again(wallets: Wallets, source: Source, grant: Grant, note: int, on: date, line: str) -> Raised:
    """Take a credit note on a bill of credits back.

    Unused ones that went with it can be used again, used ones cost what they did.
    """
    books, customer_id = wallets.books, source.customer.customer_id
    rows = books.connection.execute(
        text(
            "select g.ref, m.line, m.face_minor, m.amount_minor from grant_move m join credit_grant g using (customer_id, grant_id)"
            " where m.customer_id = :customer_id and m.document_id = :note and m.kind = 'credit'"
            " and m.line in (:line, :used) order by m.amount_minor desc, g.grant_id"
        ),
        {"customer_id": customer_id, "note": note, "line": line, "used": f"{line}/used"},
    ).all()
    faces = [(wallets.grant(customer_id, row.ref), row.face_minor) for row in rows if row.line == line]
    unused = sum(row.amount_minor for row in rows if row.line == line)
    earned = books.connection.execute(
        text(
            "select r.code, a.product, sum(p.amount)::bigint as amount from entry e join posting p using (customer_id, entry_id)"
            " join rule r on r.number = p.rule join account a on a.customer_id = p.customer_id and a.account_id = p.debit_account"
            " where e.customer_id = :customer_id and a.subject = :subject and e.reverses is null and ((e.document_id = :note"
            "  and r.code in ('credit.used', 'credit.used_to_balance', 'break.returned'))"
            # usage that came later was of what the note took: so much had not broken
            "  or (r.code = 'credit.used_after_all' and e.occurred_on in (select n.occurred_on from entry n"
            "   where n.customer_id = :customer_id and n.document_id = :note))) group by 1, 2"
        ),
        {"customer_id": customer_id, "note": note, "subject": grant.subject},
    ).all()
    products = Counter({row.product: 0 for row in earned})
    for row in earned:
        products[row.product] += row.amount if row.code.startswith("credit.") else 0
    by_product = tuple((product, amount) for product, amount in products.items() if amount)
    used = sum(amount for _, amount in by_product)
    after_all = sum(row.amount for row in earned if row.code == "credit.used_after_all")
    broken = sum(row.amount for row in earned if row.code == "break.returned") - after_all
    if unused or any(face for _, face in faces):
        _bring_back(wallets, source, faces, unused, "recovered", on, line)
    if used or broken:
        grant.moved -= used + broken
        grant.drawn += used
        grant.broken += broken
        record_move(wallets, source, grant, "recovered", on, 0, -(used + broken), f"{line}/used")
        wallets.touch(grant)
    return Raised(unused, broken, used, by_product)


def taken_with(books: Books, customer_id: int, document_id: int) -> dict[str, int]:
    """What a document took of unused credits, in money, by line of the bill.

    A write-off, refund or lost dispute.
    """
    rows = books.connection.execute(
        text(
            "select line, sum(amount_minor)::bigint as amount from grant_move where customer_id = :customer_id"
            " and document_id = :document_id and kind in ('write_off', 'refund', 'dispute') group by 1"
        ),
        {"customer_id": customer_id, "document_id": document_id},
    )
    return {row.line: row.amount for row in rows}
