"""Sub-ledger accounts: found or made, and what each holds by day, with what is not written yet in view."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from sqlalchemy import Connection, text

from ledger.accounts.chart import ROLES
from ledger.accounts.rulebook import RULES, SEPARATING
from ledger.journal.by_date import History
from ledger.journal.movements import (
    MONEY_ACCOUNT,
    PRODUCT_ROLES,
    AccountKey,
    Movement,
    Source,
    Way,
)
from ledger.journal.writer import Writer


class Accounts(Writer):
    """The sub-ledger accounts that a transaction works with."""

    def __init__(self, connection: Connection, posted_by: str) -> None:
        super().__init__(connection, posted_by)
        self._accounts: dict[int, dict[AccountKey, int]] = {}
        # of customers, what they have contract liabilities of, with how many accounts were looked at
        self._liable: dict[int, tuple[int, set[str]]] = {}
        self._histories: dict[tuple[int, int], History] = {}
        self._unwritten: dict[int, list[tuple[date, int]]] = {}
        self._ways: dict[tuple[object, ...], Way] = {}

    def account(self, customer_id: int, key: AccountKey) -> int:
        """The number of a sub-ledger account, made where it is new."""
        known = self._known_accounts(customer_id)
        found = known.get(key)
        if found is not None:
            return found
        account_id = self.number("account_number", at_least=len(self._entries) // 4 + 4)
        known[key] = account_id
        count, liable = self._liable.get(customer_id, (-1, set()))
        if count == len(known) - 1:
            if key.role == "deferred_revenue":
                liable.add(key.subject)
            self._liable[customer_id] = (len(known), liable)
        self._new_accounts.append(
            (customer_id, account_id, key.entity, key.role, key.currency, key.subject, key.product)
        )
        self._histories[customer_id, account_id] = {}
        self._made(customer_id, account_id, key)
        return account_id

    def _made(self, customer_id: int, account_id: int, key: AccountKey) -> None:
        """An account was made: for whoever keeps more of accounts than their history."""

    def has_account(self, customer_id: int, key: AccountKey) -> bool:
        """Whether the customer has that sub-ledger account."""
        return key in self._known_accounts(customer_id)

    def is_promised(self, customer_id: int, subject: str) -> bool:
        """Whether the customer has a contract liability of a subject, with whatever entity and in whatever currency."""
        known = self._known_accounts(customer_id)
        count, liable = self._liable.get(customer_id, (-1, set()))
        if count != len(known):
            liable = {key.subject for key in known if key.role == "deferred_revenue"}
            self._liable[customer_id] = (len(known), liable)
        return subject in liable

    def product_of(self, customer_id: int, entity: str, currency: str, subject: str) -> str | None:
        """The product that what a subject is about is sold as, by its revenue account."""
        named = (entity, "revenue", currency, subject)
        return next((key.product for key in self._known_accounts(customer_id) if key[:4] == named), None)

    def accounts_of(self, customer_id: int, role: str, subject: str | None = None) -> list[AccountKey]:
        """The customer's accounts of a role, or those of a subject."""
        return [
            key for key in self._known_accounts(customer_id)
            if key.role == role and (subject is None or key.subject == subject)
        ]  # fmt: skip

    def learn_accounts(self, customers: Iterable[int]) -> None:
        """Read the accounts of customers, many at once."""
        missing = [customer_id for customer_id in customers if customer_id not in self._accounts]
        if not missing:
            return
        self._accounts |= {customer_id: {} for customer_id in missing}
        rows = self.connection.execute(
            text(
                "select entity, role, currency, subject, product, account_id, customer_id from account "
                "where customer_id = any(:customers)"
            ),
            {"customers": missing},
        )
        for row in rows:
            self._accounts[row[6]][AccountKey(*row[:5])] = row[5]

    def _known_accounts(self, customer_id: int) -> dict[AccountKey, int]:
        if customer_id not in self._accounts:
            self.learn_accounts([customer_id])
        return self._accounts[customer_id]

    def keys(self, customer_id: int) -> dict[int, AccountKey]:
        """What identifies each of a customer's sub-ledger accounts."""
        return {account: key for key, account in self._known_accounts(customer_id).items()}

    @property
    def remembered(self) -> int:
        """How many accounts, ways between them and histories are held in memory."""
        return sum(map(len, self._accounts.values())) + len(self._ways) + len(self._histories)

    def history(self, customer_id: int, key: AccountKey) -> History:
        """An account's net increase by day, on its role's normal side, unwritten entries included.

        What deferred revenue keeps apart as a refund liability is still billed and not earned: its history holds both.
        """
        account_id = self._known_accounts(customer_id).get(key)
        if account_id is None:
            return {}
        known = self._histories.get((customer_id, account_id))
        if known is None:
            rows = self.connection.execute(
                text(
                    "select effective_on, sum(net) from ("
                    " select effective_on, amount as net, rule from posting"
                    " where customer_id = :customer_id and debit_account = :account_id"
                    " union all"
                    " select effective_on, -amount, rule from posting"
                    " where customer_id = :customer_id and credit_account = :account_id) both_sides "
                    "where rule <> all(:apart) group by effective_on"
                ),
                {
                    "customer_id": customer_id,
                    "account_id": account_id,
                    "apart": list(SEPARATING) if key.role == "deferred_revenue" else [],
                },
            )
            sign = ROLES[key.role].sign
            known = {day: sign * int(net) for day, net in rows}
            for day, net in self._unwritten.get(account_id, ()):
                known[day] = known.get(day, 0) + sign * net
            self._histories[customer_id, account_id] = known
        return known

    def way(self, source: Source, movement: Movement) -> Way:
        """Between which accounts a movement goes: found once for all that go the same way."""
        currency = movement.currency or source.currency
        kind = (
            source.customer.customer_id, source.entity, currency, movement.rule, movement.debit, movement.credit, movement.product,
            movement.roles,
        )  # fmt: skip
        known = self._ways.get(kind)
        if known is not None:
            return known
        rule = RULES[movement.rule]
        roles = movement.roles or (rule.debit, rule.credit)
        keys = (
            self._movement_key(source, roles[0], currency, movement.debit, movement.product),
            self._movement_key(source, roles[1], currency, movement.credit, movement.product),
        )
        debit, credit = (self.account(source.customer.customer_id, key) for key in keys)
        # what only keeps a refund liability apart from deferred revenue is not seen there: its history holds both
        signs = [0 if role == "deferred_revenue" and rule.number in SEPARATING else ROLES[role].sign for role in roles]
        found = self._ways[kind] = Way(rule.number, currency, keys, debit, credit, signs[0], signs[1])
        return found

    @staticmethod
    def _movement_key(source: Source, role: str, currency: str, subject: str, product: str) -> AccountKey:
        if role == "cash" and subject.startswith(MONEY_ACCOUNT):
            return AccountKey(source.entity, role, currency, subject, subject)
        return AccountKey(source.entity, role, currency, subject, product if role in PRODUCT_ROLES else "")

    def see(self, customer_id: int, way: Way, day: date, amount: int) -> None:
        """Keep in view what was gathered for two accounts."""
        if way.debit_sign:
            self._see(customer_id, way.debit, way.debit_sign, day, amount)
        if way.credit_sign:
            self._see(customer_id, way.credit, way.credit_sign, day, -amount)

    def _see(self, customer_id: int, account_id: int, sign: int, day: date, net: int) -> None:
        self._unwritten.setdefault(account_id, []).append((day, net))
        known = self._histories.get((customer_id, account_id))
        if known is not None:
            known[day] = known.get(day, 0) + sign * net

    def _gathered_is_written(self) -> None:
        super()._gathered_is_written()
        self._unwritten = {}

    def forget(self) -> None:
        """Let go of what was learnt, to bound memory in a long run; call after `flush`."""
        super().forget()
        self._accounts = {}
        self._liable = {}
        self._ways = {}
        self._histories = {}
