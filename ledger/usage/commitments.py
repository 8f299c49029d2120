"""Commitments: what a customer promises to use, and the shortfall due where it does not.

Together the two are never more than was promised, whatever comes first: usage that arrives after its shortfall was billed is
covered by that bill, and usage that falls after it was billed is due as shortfall.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from sqlalchemy import text

from ledger.accounts.rulebook import RULES
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.line_changes import add_change
from ledger.journal.movements import Movement, Source
from ledger.usage.usage_lines import NET_USAGE, overage_accounts, usage_subject
from ledger.wallets.breakage import break_by_days
from ledger.wallets.grants import Grant
from ledger.wallets.session import Wallets
from ledger.wallets.shortfalls import shortfalls

_SHORT = """
    select effective_on, sum(case when code in ('expire.shortfall', 'expire.shortfall_raised') then amount else -amount end)::bigint as face
    from posting p join rule r on r.number = p.rule and r.code like 'expire.shortfall%'
    where p.customer_id = :customer_id and exists (select from account a where a.customer_id = p.customer_id
        and a.account_id = p.debit_account and a.subject = :subject)
    group by 1 order by 1"""


def _billed_from(books: Books, source: Source, grant: Grant, *, ever: bool = False) -> date | None:
    """The first day from which on a shortfall of a commitment is billed.

    Or on which one `ever` was; None where none is.
    """
    books.flush()
    place = {"customer_id": source.customer.customer_id, "subject": grant.subject}
    stands, since = 0, None
    for row in books.connection.execute(text(_SHORT), place):
        stands += row.face
        if stands > 0 or not ever:
            since = None if stands <= 0 else since or row.effective_on
    return since


def products_used(books: Books, source: Source, grant: Grant) -> list[str]:
    """The products a commitment covers that the customer has used beyond all grants.

    Or was billed for.
    """
    subjects = {
        key.subject
        for role in ("unbilled_receivable", "deferred_revenue")
        for key in books.accounts_of(source.customer.customer_id, role)
        if (key.entity, key.currency) == (source.entity, source.currency) and key.subject.startswith("usage:")
    }
    products = sorted(subject.removeprefix("usage:") for subject in subjects)
    return [product for product in products if grant.products is None or product in grant.products]


def cover(wallets: Wallets, source: Source, grant: Grant, product: str, amount: int, day: date) -> None:
    """Let a shortfall's bill cover usage that arrived after it.

    So much of that bill is for it, and nothing more is due. What was credited of that bill, and not to be billed again, is of what it
    covers once nothing of its own is left.
    """
    books = wallets.books
    usage = usage_subject(product)
    first: date | None = None
    since = _billed_from(books, source, grant, ever=True)
    since = day if since is None else max(day, since)
    books.post(source, since, [Movement("expire.shortfall_used", amount, grant.subject, grant.subject)])
    for key, history in shortfalls(books, grant):
        stands = Counter(history)
        for on in sorted({since, *history}):
            part = min(amount, max(available(stands, on), 0)) if on >= since else 0
            if part:
                books.post(source, on, [Movement("shortfall.used", part, grant.subject, usage, key.product)])
                stands[on] -= part
                first = on if first is None else min(first, on)
                amount -= part
    for note in _notes(books, source, grant) if amount else ():
        part = min(amount, note.amount)
        books.post(source, note.on, [Movement("shortfall.credit_used", part, usage, usage, product)])
        of = replace(source, document_id=note.document_id)
        for place, (subject, more) in enumerate([(grant.subject, -part), (usage, part)], note.parts):
            add_change(books, of, note.invoice_id, note.line, "credit", more, product, subject, {"part": place})
        first = note.on if first is None else min(first, note.on)
        amount -= part
    if first is not None:
        books.net(source, overage_accounts(source, product), NET_USAGE, first - timedelta(days=1))


@dataclass(frozen=True, slots=True)
class _Note:
    """A credit note on a shortfall's bill, and what of it is of what was not used."""

    document_id: int
    invoice_id: int
    line: str
    on: date
    amount: int
    parts: int


def _notes(books: Books, source: Source, grant: Grant) -> list[_Note]:
    """Credit notes on bills of a commitment's shortfall, the last first.

    Those that are not to be billed again.
    """
    books.flush()
    rows = books.connection.execute(
        text(
            "select d.document_id, x.invoice_id, x.line, d.dated_on,"
            " coalesce(sum(x.amount_minor) filter (where x.subject = :subject), 0)::bigint as amount,"
            " max(x.part) filter (where x.undoes = 0) + 1 as parts from line_change x"
            # less what of a note was taken back
            " join document d on d.customer_id = x.customer_id and d.document_id = coalesce(nullif(x.undoes, 0), x.document_id)"
            " join invoice_line l on l.customer_id = x.customer_id and l.invoice_id = x.invoice_id and l.line = x.line"
            " where x.customer_id = :customer_id and x.kind = 'credit' and not x.rebill and l.subject = :subject and l.kind = 'shortfall'"
            " group by 1, 2, 3, 4 order by d.dated_on desc, d.document_id desc"
        ),
        {"customer_id": source.customer.customer_id, "subject": grant.subject},
    )
    return [_Note(*row) for row in rows if row.amount > 0]


def billed_again(wallets: Wallets, source: Source, grant: Grant) -> int:
    """What of a commitment's shortfall is still to be billed again after credit notes.

    It is not left for what was used before.
    """
    wallets.books.flush()
    place = {"customer_id": source.customer.customer_id, "subject": grant.subject}
    return max(int(wallets.books.connection.scalar(text(_AGAIN), place) or 0), 0)


_AGAIN = """
    with noted as (
        select x.amount_minor, d.dated_on from line_change x join document d using (customer_id, document_id)
        where x.customer_id = :customer_id and x.subject = :subject and x.kind = 'credit' and x.rebill
    )
    select sum(amount_minor) - coalesce((
        select sum(l.amount_minor) from invoice_line l join invoice i using (customer_id, invoice_id)
        where l.customer_id = :customer_id and l.kind = 'shortfall' and l.subject = :subject
          and i.issued_on >= (select min(dated_on) from noted)), 0)
    from noted"""


def raise_shortfall(wallets: Wallets, source: Source, grant: Grant, product: str, most: int, day: date) -> None:
    """Let usage that fell under a commitment be due as shortfall.

    As far as the shortfall's bill covers it, or other bills do.
    """
    books, customer_id = wallets.books, source.customer.customer_id
    billed, since = shortfalls(books, grant), _billed_from(books, source, grant)
    if not billed or since is None:
        return
    key, _ = billed[0]
    on = max(day, since)
    usage, subject = usage_subject(product), grant.subject
    most = min(most, grant.left)
    again = min(most, covered_by_shortfall(books, source, grant, usage))
    ahead = max(available(books.history(customer_id, overage_accounts(source, product)[0]), on), 0)
    raised = min(most - again, ahead)
    if again + raised <= 0:
        return
    books.post(
        source,
        on,
        [
            Movement("shortfall.used_returned", again, usage, subject, key.product),
            Movement("shortfall.raised", raised, usage, subject, key.product),
            Movement("expire.shortfall_raised", again + raised, subject, subject),
        ],
    )
    grant.expired_face += again + raised
    wallets.touch(grant)
    if again:
        books.net(source, overage_accounts(source, product), NET_USAGE, on - timedelta(days=1))


def unraise(wallets: Wallets, source: Source, grant: Grant, day: date) -> None:
    """Put back what bills ahead of use were due as shortfall.

    No bill of the shortfall stands any more, so they are ahead of use again.
    """
    books = wallets.books
    books.flush()
    place = {"customer_id": source.customer.customer_id, "subject": grant.subject}
    if not grant.expired_face or int(books.connection.scalar(text(_STANDING), place) or 0) > 0:
        return
    for row in books.connection.execute(text(_RAISED), place).all():
        for key, history in shortfalls(books, grant):
            part = min(row.amount, grant.expired_face, max(available(history, day), 0))
            if not part:
                continue
            books.post(source, day, [
                Movement("shortfall.unraised", part, grant.subject, row.subject, key.product),
                Movement("expire.shortfall_corrected", part, grant.subject, grant.subject),
            ])  # fmt: skip
            grant.expired_face -= part
            wallets.touch(grant)
            sides = overage_accounts(source, row.subject.removeprefix("usage:"))
            books.net(source, sides, NET_USAGE, day - timedelta(days=1))
            break


# What is billed of a commitment's shortfall, less what was taken back to be billed again.
_STANDING = """
    select sum(l.amount_minor - coalesce((select sum(x.amount_minor) from line_change x where x.customer_id = l.customer_id
        and x.invoice_id = l.invoice_id and x.line = l.line and (x.kind = 'void' or x.rebill)), 0))
    from invoice_line l where l.customer_id = :customer_id and l.kind = 'shortfall' and l.subject = :subject"""
# What usage bills are ahead of use that counts as shortfall, by usage.
_RAISED = f"""
    select u.subject, sum(case when p.rule = {RULES["shortfall.raised"].number} then p.amount else -p.amount end)::bigint as amount
    from posting p
    join account u on u.customer_id = p.customer_id and u.account_id in (p.debit_account, p.credit_account) and u.role = 'deferred_revenue'
    join account s on s.customer_id = p.customer_id and s.account_id in (p.debit_account, p.credit_account) and s.subject = :subject
    where p.customer_id = :customer_id and p.rule in ({RULES["shortfall.raised"].number}, {RULES["shortfall.unraised"].number})
    group by 1 having sum(case when p.rule = {RULES["shortfall.raised"].number} then p.amount else -p.amount end) > 0 order by 1"""


def covered_by_shortfall(books: Books, source: Source, grant: Grant, usage: str) -> int:
    """What of a product's usage the bill of a commitment's shortfall covers.

    Because it came after.
    """
    books.flush()
    covered = books.connection.scalar(
        text(
            "select coalesce(sum(case when p.rule = :used then p.amount else -p.amount end), 0) from posting p"
            " join account u on u.customer_id = p.customer_id and u.account_id in (p.debit_account, p.credit_account)"
            " join account s on s.customer_id = p.customer_id and s.account_id in (p.debit_account, p.credit_account)"
            " where p.customer_id = :customer_id and p.rule in (:used, :returned) and u.subject = :usage and s.subject = :subject"
        ),
        {
            "customer_id": source.customer.customer_id, "usage": usage, "subject": grant.subject,
            "used": RULES["shortfall.used"].number, "returned": RULES["shortfall.used_returned"].number,
        },
    )  # fmt: skip
    return max(int(covered or 0), 0)


def settle_billed(wallets: Wallets, source: Source, product: str, day: date) -> None:
    """After usage of a product was billed: settle the commitments that cover it."""
    for grant in wallets.grants(source.customer.customer_id):
        of = (grant.kind, grant.entity, grant.currency)
        covers = grant.products is None or product in grant.products
        if covers and of == ("commitment", source.entity, source.currency):
            settle(wallets, source, grant, day)


def settle(wallets: Wallets, source: Source, grant: Grant, day: date) -> None:
    """Let what is billed ahead of use be due as shortfall, once one was billed.

    As far as the commitment goes; or it covers other usage. So a liability of one product never stands beside an asset of another that
    the same commitment covers, whatever came first.
    """
    if not grant.expired_face:
        return
    raised = grant.expired_face
    products = products_used(wallets.books, source, grant)
    again = billed_again(wallets, source, grant)
    for product in products:
        raise_shortfall(wallets, source, grant, product, max(grant.left - again, 0), day)
    _cover_by_others(wallets.books, source, grant, products)
    if grant.expired_face != raised:
        break_by_days(wallets, source, grant, day)


def _cover_by_others(books: Books, source: Source, grant: Grant, products: Sequence[str]) -> None:
    """Let what is billed ahead of one product's use cover what is used of others.

    When the shortfall is billed, as far as the others are not.
    """
    customer_id = source.customer.customer_id
    billed, since = shortfalls(books, grant), _billed_from(books, source, grant)
    if not billed or since is None:
        return
    shortfall, subject = billed[0][0], grant.subject
    on = books.days.open_day(source, since)

    def stands(side: int) -> dict[str, int]:
        found = {
            product: available(books.history(customer_id, overage_accounts(source, product)[side]), on)
            for product in products
        }
        return {product: amount for product, amount in found.items() if amount > 0}

    ahead, unbilled = stands(0), stands(1)
    for product in ahead:
        for other in unbilled:
            part = min(ahead[product], unbilled[other])
            if part and other != product:
                movements = [
                    Movement("shortfall.raised", part, usage_subject(product), subject, shortfall.product),
                    Movement("shortfall.used", part, subject, usage_subject(other), shortfall.product),
                ]
                books.post(source, on, movements)
                ahead[product] -= part
                unbilled[other] -= part
                for each in (product, other):
                    books.net(source, overage_accounts(source, each), NET_USAGE, on - timedelta(days=1))
