"""Accounts of money: where an entity's money lies, with a bank, a processor or another, each in one currency.

Cash that a document moves is about the account it names, else about the rail it came by. What an account holds is the sum over
customers; on a day it may be below zero for a while, as documents come in any order: that is watched, and refuses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.house import HOUSE
from ledger.accounts.rulebook import RULES
from ledger.amounts.money import to_text
from ledger.documents import models
from ledger.errors import UnknownReference, WrongCurrency, WrongParty
from ledger.journal.books import Books
from ledger.journal.movements import MONEY_ACCOUNT
from ledger.proof.verify import Watch
from ledger.reports.report import Column, Filters, Report, sides
from ledger.wallets.session import Wallets

# What passes between customers and the house within an account: neither comes in nor goes out.
_POOLING = [
    rule.number
    for code, rule in RULES.items()
    if code.startswith(("account.pooled_", "account.undone_")) or code in ("customer.cash_out", "customer.cash_in")
]


@dataclass(frozen=True, slots=True)
class MoneyAccount:
    """An account of money as posting rules need it."""

    account: str
    entity: str
    currency: str

    @property
    def subject(self) -> str:
        """The subject of its cash."""
        return account_subject(self.account)


def account_subject(account: str) -> str:
    """The subject of an account's cash."""
    return MONEY_ACCOUNT + account


def post_money_account(wallets: Wallets, doc: models.MoneyAccount, _document_id: int) -> int:
    """Take an account of money in, with its general-ledger account."""
    books = wallets.books
    books.parties.entity(doc.entity)
    if doc.code is not None:
        row = {"entity": doc.entity, "role": "cash", "product": account_subject(doc.id)}
        books.add_row("gl_account", **row, code=doc.code, name=doc.name)
    books.add_row(
        "money_account", account=doc.id, entity=doc.entity, name=doc.name, kind=doc.kind, currency=doc.currency,
        overdraft=doc.overdraft,
    )  # fmt: skip
    books.remember("money_account", doc.id, MoneyAccount(doc.id, doc.entity, doc.currency))
    return HOUSE


def find(books: Books, account: str, field: str = "account") -> MoneyAccount:
    """An account of money. Raises UnknownReference."""
    found: MoneyAccount | None = books.recall("money_account", account)
    if found is None:
        row: Any = books.connection.execute(
            text("select account, entity, currency from money_account where account = :account"), {"account": account}
        ).first()
        if row is None:
            raise UnknownReference(field, account, "expected the id of a money_account posted before")
        found = MoneyAccount(*row)
    return found


def find_of(
    books: Books, account: str, entity: str, currency: str | None = None, field: str = "account"
) -> MoneyAccount:
    """An account of an entity, in a currency where one is asked for. Raises UnknownReference, WrongParty, WrongCurrency."""
    found = find(books, account, field)
    if found.entity != entity:
        raise WrongParty(field, account, f"is of entity {found.entity}, expected one of entity {entity}")
    if currency is not None and found.currency != currency:
        raise WrongCurrency(field, account, f"is in {found.currency}, expected one in {currency}")
    return found


def cash_of(books: Books, entity: str, currency: str, account: str | None, otherwise: str | None) -> str:
    """The subject of the cash that a document moves: of the account it names, which must fit, else of a rail, or as given.

    `otherwise` is a rail, or the subject of the cash that money came in by.
    """
    if account is not None:
        return find_of(books, account, entity, currency).subject
    assert otherwise is not None, "a document names its account, or its rail"
    return otherwise if ":" in otherwise else f"rail:{otherwise}"


def cash_named(body: Mapping[Any, Any]) -> str:
    """The subject of the cash that a document in the books moved."""
    account = body.get("account")
    return f"rail:{body['rail']}" if account is None else account_subject(account)


# What each account held at the end of each day on which it was moved; what came late counts by its own day.
_HELD = (
    "select m.account, m.name, m.entity, m.currency, m.kind, m.overdraft, x.day, x.net,"
    " sum(x.net) over (partition by m.account order by x.day)::bigint as held"
    " from money_account m join ("
    "  select s.subject, s.entity, coalesce(e.occurred_on, s.effective_on) as day, sum(s.sign * s.amount)::bigint as net"
    "  from ({source}) s join entry e on e.customer_id = s.customer_id and e.entry_id = s.entry_id group by 1, 2, 3"
    " ) x on x.subject = '" + MONEY_ACCOUNT + "' || m.account and x.entity = m.entity"
)


def _below_zero(connection: Connection, filters: Filters) -> Sequence[Any]:
    """The accounts that may not be overdrawn and were, each with the first such day of those that are asked for."""
    source, parameters = sides(replace(filters, since=None), "cash")
    return connection.execute(
        text(
            f"select distinct on (account) * from ({_HELD.format(source=source)}) h"
            " where held < 0 and not overdraft and day >= :first order by account, day"
        ),
        {**parameters, "first": filters.since or date.min},
    ).all()


def told(connection: Connection, filters: Filters | None = None) -> list[str]:
    """Accounts of money that were below zero, in a sentence each."""
    return [
        f"{row.account} of {row.entity}: {to_text(row.held, row.currency)} {row.currency} on {row.day}"
        for row in _below_zero(connection, filters or Filters())
    ]


WATCH = Watch(
    "no account of money is below zero on any day, but for those that may be overdrawn", "money-accounts", told
)


def money_accounts(connection: Connection, filters: Filters) -> Report:
    """What each account of money held before, took in, let go and holds, and the first day on which it was below zero though it may not be.

    From a day on, where that is asked for: what it held before is all that moved until then.
    """
    source, parameters = sides(replace(filters, since=None), "cash")
    rows = connection.execute(
        text(
            "select m.account, m.name, m.entity, m.kind, m.currency, sum(s.sign * s.amount)::bigint as held,"
            " coalesce(sum(s.sign * s.amount) filter (where s.effective_on < :first), 0)::bigint as opening,"
            " coalesce(sum(s.amount) filter (where s.sign > 0 and s.rule <> all(:pooling) and s.effective_on >= :first), 0)::bigint as came,"
            " coalesce(sum(s.amount) filter (where s.sign < 0 and s.rule <> all(:pooling) and s.effective_on >= :first), 0)::bigint as went"
            f" from money_account m join ({source}) s on s.subject = '{MONEY_ACCOUNT}' || m.account and s.entity = m.entity"
            " group by 1, 2, 3, 4, 5 order by m.entity, m.account"
        ),
        {**parameters, "pooling": _POOLING, "first": filters.since or date.min},
    ).all()
    below = {row.account: row.day for row in _below_zero(connection, filters)}
    columns = (
        Column("account", "Account"), Column("name", "Name"), Column("entity", "Entity"), Column("kind", "Kind"),
        Column("currency", "Currency"), Column("opening", "Held before", "amount"), Column("came", "Came in", "amount"), Column("went", "Went out", "amount"),
        Column("held", "Held", "amount"), Column("below_zero", "Below zero from", "date"),
    )  # fmt: skip
    found = tuple(
        {
            key: getattr(row, key)
            for key in ("account", "name", "entity", "kind", "currency", "opening", "came", "went", "held")
        }
        | {"below_zero": below.get(row.account)}
        for row in rows
    )
    return Report(
        "money-accounts",
        "Accounts of money",
        columns,
        found,
        empty="Nothing to show: no money_account was named by what moves money.",
    )
