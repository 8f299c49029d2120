"""The books under one transaction: documents taken in, entries gathered, and written in bulk.

A posting rule asks the books for balances and hands back movements; the books find or make the sub-ledger
accounts, keep what is not yet written in view, and write everything through COPY.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from sqlalchemy import Connection, text

from ledger.accounts.chart import ROLES
from ledger.accounts.rulebook import RULES
from ledger.database import locks
from ledger.errors import InvalidDocument
from ledger.journal import entry_rows
from ledger.journal.by_date import nettings
from ledger.journal.entry_rows import Entry
from ledger.journal.movements import (
    AccountKey,
    Customer,
    Movement,
    Source,
)
from ledger.journal.pooled_cash import Pooled


class Books(Pooled):
    """One transaction's view of the books. Not shared between threads; `flush` before the transaction ends."""

    def __init__(
        self, connection: Connection, posted_by: str, *, reading: bool = False, entities: frozenset[str] | None = None
    ) -> None:
        if not reading:  # who only reads waits for nobody, and keeps nobody waiting
            locks.share_books(connection)
        super().__init__(connection, posted_by)
        self.entities = entities  # that who posts may post for, where these are not all
        # of customers, the obligations that something happened to, as far as they were looked up
        self.touched: dict[int, set[str]] = {}
        # of documents whose corrections were decided, what they are called and their days: they are written after those
        self.decided: dict[int, tuple[str, date]] = {}
        # of those that recover something, the day it came in, and the recovery where one comes back
        self.recovers: dict[int, tuple[date, int]] = {}

    def know_customer(self, customer: Customer) -> None:
        """A customer that was just taken in."""
        self.parties.know_customer(customer)
        self._accounts[customer.customer_id] = {}
        self.touched[customer.customer_id] = set()

    def source(
        self,
        document_id: int,
        customer: str,
        entity: str,
        currency: str,
        on: date,
        rate: Decimal | None = None,
        *,
        brings_in: bool = True,
    ) -> Source:
        """The party a document of a day concerns, each of it known, and the exchange rate it states.

        Raises UnknownReference, also where an exchange rate is needed for what it brings in and the books hold none, and
        InvalidDocument for a rate of the entity's own currency.
        """
        terms = self.parties.entity(entity)
        if currency == terms.currency:
            if rate is not None:
                raise InvalidDocument("fx_rate", rate, f"expected none: {currency} is the currency of entity {entity}")
        elif rate is None and brings_in:
            self.rate(currency, terms.currency, on)
        return Source(
            document_id, self.parties.customer(customer, on), entity, currency, None if rate is None else Fraction(rate)
        )

    def reverse(
        self, source: Source, entry_id: int, entry: Entry, keys: dict[int, AccountKey], on: date | None = None
    ) -> None:
        """Gather the entry that takes back another: on a day, else on its own, or the first open one after it.

        `keys` are the accounts its postings touch.
        """
        day = self.days.open_day(source, entry.effective_on if on is None else on)
        occurred_on = entry.occurred_on if on is None else on
        taken_back = entry_rows.reversal(entry, entry_id, source.document_id, day, occurred_on)
        for p in taken_back.postings:
            for account_id, sign in ((p.debit_account, 1), (p.credit_account, -1)):
                self._see(entry.customer_id, account_id, ROLES[keys[account_id].role].sign, day, sign * p.amount)
        self._gather(taken_back)
        for correction in self._revalued_after(source, taken_back, keys):
            self._gather(correction)

    def net(self, source: Source, keys: tuple[AccountKey, AccountKey], rules: tuple[str, str], after: date) -> None:
        """Let a contract liability and a contract asset of one subject settle each other on every later day.

        An obligation's in another currency on the day, too. `keys` are the liability's account and the asset's, `rules` the one that settles and the one that puts back.
        """
        subject = keys[0].subject
        # grants' and usage's settle as they are drawn and billed
        foreign = subject.startswith("obligation:") and source.currency != self.parties.entity(source.entity).currency
        if foreign:
            after -= timedelta(days=1)  # what a bill of a day settles is told here, and not by the bill
        if foreign and self._nettings(source, keys, after):
            # each settles at what the accounts hold: told anew together
            self._take_back_nettings(source, keys, rules, after)
        for day, amount in self._nettings(source, keys, after):
            rule = rules[0] if amount > 0 else rules[1]
            self.post(source, day, [Movement(rule, abs(amount), subject, subject)])

    def _nettings(self, source: Source, keys: tuple[AccountKey, AccountKey], after: date) -> list[tuple[date, int]]:
        liability, asset = (self.history(source.customer.customer_id, key) for key in keys)
        return nettings(liability, asset, after)

    def _take_back_nettings(
        self, source: Source, keys: tuple[AccountKey, AccountKey], rules: tuple[str, str], after: date
    ) -> None:
        """Take back how a liability and an asset settled each other after a day, the last first."""
        self.flush()
        customer_id = source.customer.customer_id
        standing = self.connection.scalars(
            text(
                "select e.entry_id from entry e join posting p using (customer_id, entry_id) where p.customer_id = :customer_id "
                "and p.rule = any(:rules) and p.debit_account = any(:accounts) and p.credit_account = any(:accounts) "
                "and p.amount > 0 and e.effective_on > :after and e.reverses is null and not exists (select from entry r "
                "where r.customer_id = e.customer_id and r.reverses = e.entry_id) order by e.effective_on desc, e.entry_id desc"
            ),
            {
                "customer_id": customer_id,
                "rules": [RULES[rule].number for rule in rules],
                "accounts": [self.account(customer_id, key) for key in keys],
                "after": after,
            },
        ).all()
        of = self.keys(customer_id)
        for number in standing:
            self.reverse(source, number, entry_rows.read(self.connection, number), of)

    def forget(self) -> None:
        """Let go of what was learnt, to bound memory in a long run; call after `flush`."""
        super().forget()
        self.touched = {}
