"""Obligations as the ledger knows them: subjects with accounts.

What of them is given, it asks of who knows their terms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from sqlalchemy import text

from ledger.accounts.rulebook import RECOGNISING
from ledger.errors import ConflictingDocument
from ledger.journal.books import Books
from ledger.journal.by_date import available, balance
from ledger.journal.movements import AccountKey, Customer, Movement, Source
from ledger.wallets.session import Wallets

NET_OBLIGATION = ("invoice.settled", "invoice.unsettled")


def obligation_subject(ref: str) -> str:
    """The subject of an obligation's accounts."""
    return f"obligation:{ref}"


@dataclass(frozen=True, slots=True)
class Promised:
    """What a bill asks of what it bills: when its contract's bills are receivable, and how it is earned; None of a line's own."""

    receivable: str
    pattern: str | None


def promised(books: Books, customer_id: int, subject: str) -> Promised:
    """What was promised, as bills ask for it."""
    known: Promised | None = books.recall("obligation", subject)
    if known is None:
        row = books.connection.execute(
            text(
                "select t.receivable, o.pattern from performance_obligation o join contract t"
                " on t.customer_id = o.customer_id and t.ref = o.contract "
                "where o.customer_id = :customer_id and o.subject = :subject"
            ),
            {"customer_id": customer_id, "subject": subject},
        ).first()
        known = Promised("issued", None) if row is None else Promised(row.receivable, row.pattern)
        books.remember("obligation", subject, known)
    return known


def require_free(books: Books, customer: Customer, field_name: str, ref: str) -> None:
    """Raise ConflictingDocument for an obligation's id that the customer has already.

    Of a contract or of an invoice's line.
    """
    if books.is_promised(customer.customer_id, obligation_subject(ref)):
        raise ConflictingDocument(field_name, ref, f"an obligation of {customer.ref} has this id already")


def obligation_keys(
    entity: str, currency: str, subject: str, product: str
) -> tuple[AccountKey, AccountKey, AccountKey]:
    """An obligation's three accounts: contract liability, contract asset, revenue."""
    return (
        AccountKey(entity, "deferred_revenue", currency, subject),
        AccountKey(entity, "unbilled_receivable", currency, subject),
        AccountKey(entity, "revenue", currency, subject, product),
    )


def obligation_sides(source: Source, subject: str) -> tuple[tuple[AccountKey, AccountKey], tuple[str, str]]:
    """An obligation's contract liability and asset, and the rules that net the two.

    They settle each other by these.
    """
    deferred, unbilled, _ = obligation_keys(source.entity, source.currency, subject, "")
    return (deferred, unbilled), NET_OBLIGATION


def refund_key(entity: str, currency: str, subject: str) -> AccountKey:
    """The account of what is expected to be given back of an obligation's bills."""
    return AccountKey(entity, "refund_liability", currency, subject)


def expected_back(books: Books, source: Source, subject: str, day: date) -> int:
    """What stands as a refund liability of an obligation on a day and on every later one."""
    history = books.history(source.customer.customer_id, refund_key(source.entity, source.currency, subject))
    return max(available(history, day), 0)


@dataclass(frozen=True, slots=True)
class Correction:
    """What a document takes back, gives up or gives back of a bill of an obligation.

    Of what a line bills, net of tax, from a day on. `undoes` is the document whose correction it takes back, 0 where it is one itself.
    """

    document_id: int
    ref: str
    kind: str
    invoice_id: int
    line: str
    subject: str
    amount: int
    on: date
    starts_on: date | None = None
    ends_on: date | None = None
    rebill: bool = False
    undoes: int = 0


@dataclass(frozen=True, slots=True)
class Shares:
    """How an amount of a line is made up.

    What was expected to be given back, what was earned and so is shown beside revenue, what was not given.
    """

    expected: int = 0
    earned: int = 0
    rest: int = 0


class Decided(Protocol):
    """How the corrections of a document are made up, by the terms of what they are of."""

    def share(self, invoice_id: int, line: str, subject: str, *, of: int | None = None, undoing: int = 0) -> Shares:
        """How a line's amount is made up.

        Of the document's own correction, of what it undoes of another, or of one in the books.
        """

    def term(self, subject: str) -> tuple[date, date] | None:
        """The first and last day on which what a bill is for was ever promised.

        None where it is not earned over days.
        """

    def keep(self) -> None:
        """Keep what becomes of the terms, once the corrections are posted."""


@dataclass(frozen=True, slots=True)
class Obligations:
    """What the ledger asks about obligations, whose terms it does not know.

    Who does, hands this in. `decide` says how a customer's document's corrections of bills are made up; `billed` hears that obligations
    were billed; `of_contract` says what of an amount billed of a whole contract on a day is of which obligation, by their prices.
    """

    decide: Callable[[Wallets, int, int, Sequence[Correction]], Decided]
    billed: Callable[[Wallets, int, int, Sequence[str]], None]
    of_contract: Callable[[Wallets, Source, str, date, int], list[tuple[str, int]]]


def earned_ahead(books: Books, source: Source, subject: str, day: date) -> int:
    """What stands as a contract asset of an obligation on a day.

    A bill of it settles that at once. In another currency than the entity's the bill itself settles nothing: netting tells that on its
    day, and recognition anew.
    """
    (_, asset), _ = obligation_sides(source, subject)
    if source.currency != books.parties.entity(source.entity).currency:
        return 0
    return max(balance(books.history(source.customer.customer_id, asset), day), 0)


def _told(books: Books, customer_id: int, key: AccountKey, day: date) -> int:
    """What recognition made of a contract liability by a day, where that counts.

    In another currency than the entity's. There a correction counts for what the bill did, whether what it bills was recognised by then
    or not: recognition tells the rest. In the entity's own each amount is one.
    """
    if key.currency == books.parties.entity(key.entity).currency or not books.has_account(customer_id, key):
        return 0
    books.flush()
    net = books.connection.scalar(
        text(
            "select sum(case when credit_account = :account then amount else -amount end)::bigint from posting "
            "where customer_id = :customer_id and :account in (debit_account, credit_account) "
            "and rule = any(:rules) and effective_on <= :day"
        ),
        {
            "customer_id": customer_id,
            "account": books.account(customer_id, key),
            "rules": list(RECOGNISING),
            "day": day,
        },
    )
    return net or 0


def billed_ahead(books: Books, source: Source, subject: str, day: date) -> int:
    """What stands as a contract liability of an obligation on a day.

    A correction of its bills takes that first.
    """
    (liability, _), _ = obligation_sides(source, subject)
    customer_id = source.customer.customer_id
    stands = balance(books.history(customer_id, liability), day)
    return max(stands - _told(books, customer_id, liability, day), 0)


@dataclass(slots=True)
class Taking:
    """What a document takes out of obligations' positions on a day.

    What lines before took is not there any more.
    """

    books: Books
    source: Source
    day: date
    taken: Counter[str] = field(default_factory=Counter)
    released: Counter[str] = field(default_factory=Counter)

    def out_of(self, subject: str, amount: int, expected: int) -> tuple[int, int, list[Movement]]:
        """How an amount of an obligation leaves its positions.

        (out of the contract liability, out of the asset, what leaves the refund liability before). Of the amount, `expected` was expected
        to be given back.
        """
        held = max(billed_ahead(self.books, self.source, subject, self.day) - self.taken[subject], 0)
        apart = max(expected_back(self.books, self.source, subject, self.day) - self.released[subject], 0)
        unearned = min(amount, held)
        # what is kept apart of the liability leaves it where it is given back, or where the rest is too little
        release = min(max(min(expected, apart), unearned - (held - apart), 0), apart)
        self.taken[subject] += unearned
        self.released[subject] += release
        return unearned, amount - unearned, [Movement("refund_liability.released", release, subject, subject)]
