"""The books under one transaction: documents taken in, entries gathered, and written in bulk.

A posting rule asks the books for balances and hands back movements; the books find or make the sub-ledger
accounts, keep what is not yet written in view, and write everything through COPY.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from ledger import journal, locks, periods
from ledger.chart import ROLES
from ledger.errors import NotSupported, UnknownReference
from ledger.journal import Entry, Posting
from ledger.positions import History, nettings
from ledger.rulebook import RULES
from ledger.schema import metadata

HOUSE = 0  # the customer of documents and entries that concern none

# Roles whose accounts are kept per product, so that revenue can be read (and mapped to accounts) by product.
PRODUCT_ROLES = frozenset({"revenue"})


class AccountKey(NamedTuple):
    """What identifies a sub-ledger account within a customer."""

    entity: str
    role: str
    currency: str
    subject: str
    product: str = ""


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as posting rules need it."""

    customer_id: int
    ref: str
    overage: str
    tax_status: str


@dataclass(frozen=True, slots=True)
class EntityTerms:
    """An entity as posting rules need it."""

    entity: str
    currency: str
    tax_rounding: str


@dataclass(frozen=True, slots=True)
class Movement:
    """An amount a rule moves: from its credit account to its debit account, each named by what it is about."""

    rule: str
    amount: int
    debit: str
    credit: str
    product: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """The document that entries come from, with the party it concerns."""

    document_id: int
    customer: Customer
    entity: str
    currency: str


@dataclass(slots=True)
class _Documents:
    keys: list[tuple[str, str, int, int]] = field(default_factory=list)
    rows: list[tuple[object, ...]] = field(default_factory=list)


class Books:
    """One transaction's view of the books. Not shared between threads; `flush` before the transaction ends."""

    def __init__(self, connection: Connection, posted_by: str) -> None:
        self.connection = connection
        self.posted_by = posted_by
        locks.share_books(connection)
        self.posted_at: datetime = connection.scalar(text("select now()"))
        self.late_documents = 0
        self.entries_written = 0
        self.postings_written = 0
        self._customers: dict[str, Customer] = {}
        self._entities: dict[str, EntityTerms] = {}
        self._products: set[str] = set()
        self._first_open: dict[str, date] = {}
        self._accounts: dict[int, dict[AccountKey, int]] = {}
        self._histories: dict[tuple[int, int], History] = {}
        self._unwritten: dict[int, list[tuple[date, int]]] = {}
        self._entries: list[Entry] = []
        self._new_accounts: list[tuple[object, ...]] = []
        self._documents = _Documents()
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._unwritten_facts: dict[tuple[str, str], object] = {}
        self._spare_numbers: dict[str, list[int]] = {}

    # Who and what ------------------------------------------------------------------------------------------------

    def learn_customers(self, refs: Iterable[str]) -> None:
        """Fetch customers and lock them for this transaction, many at once; those unknown stay unknown."""
        missing = sorted({ref for ref in refs if ref not in self._customers})
        if not missing:
            return
        rows = self.connection.execute(
            text("select customer_id, ref, overage, tax_status from customer where ref = any(:refs)"), {"refs": missing}
        ).all()
        locks.hold_customers(self.connection, (row.customer_id for row in rows))
        for row in rows:
            self._customers[row.ref] = Customer(*row)

    def customer(self, ref: str) -> Customer:
        """A customer by id, locked. Raises UnknownReference."""
        if ref not in self._customers:
            self.learn_customers([ref])
        if ref not in self._customers:
            raise UnknownReference("customer", ref, "expected the id of a customer posted before")
        return self._customers[ref]

    def entity(self, ref: str) -> EntityTerms:
        """An entity by id. Raises UnknownReference."""
        if ref not in self._entities:
            row = self.connection.execute(
                text("select entity, currency, tax_rounding from entity where entity = :ref"), {"ref": ref}
            ).first()
            if row is None:
                raise UnknownReference("entity", ref, "expected the id of an entity posted before")
            self._entities[ref] = EntityTerms(*row)
        return self._entities[ref]

    def know_customer(self, customer: Customer) -> None:
        """A customer that was just taken in."""
        self._customers[customer.ref] = customer
        self._accounts[customer.customer_id] = {}

    def know_entity(self, terms: EntityTerms) -> None:
        """An entity that was just taken in."""
        self._entities[terms.entity] = terms

    def know_product(self, ref: str) -> None:
        """A product that was just taken in."""
        self._products.add(ref)

    def require_product(self, ref: str, field: str = "product") -> None:
        """Raise UnknownReference unless the product is known."""
        if ref not in self._products:
            found = self.connection.scalar(text("select count(*) from product where product = :ref"), {"ref": ref})
            if not found:
                raise UnknownReference(field, ref, "expected the id of a product posted before")
            self._products.add(ref)

    def source(self, document_id: int, customer: str, entity: str, currency: str) -> Source:
        """The party a document concerns, each of it known. Raises UnknownReference."""
        terms = self.entity(entity)
        if currency != terms.currency:
            raise NotSupported(
                "currency", currency, f"expected {terms.currency}, the functional currency of entity {entity}"
            )
        return Source(document_id, self.customer(customer), entity, currency)

    # Numbers -----------------------------------------------------------------------------------------------------

    def number(self, sequence: str, at_least: int = 1) -> int:
        """The next number of a sequence, fetched a block at a time."""
        spare = self._spare_numbers.setdefault(sequence, [])
        if not spare:
            spare.extend(reversed(journal.numbers(self.connection, sequence, at_least)))
        return spare.pop()

    # Accounts ----------------------------------------------------------------------------------------------------

    def account(self, customer_id: int, key: AccountKey) -> int:
        """The number of a sub-ledger account, made where it is new."""
        known = self._known_accounts(customer_id)
        found = known.get(key)
        if found is not None:
            return found
        account_id = self.number("account_number", at_least=len(self._entries) // 4 + 4)
        known[key] = account_id
        self._new_accounts.append(
            (customer_id, account_id, key.entity, key.role, key.currency, key.subject, key.product)
        )
        self._histories[customer_id, account_id] = {}
        return account_id

    def has_account(self, customer_id: int, key: AccountKey) -> bool:
        """Whether the customer has that sub-ledger account."""
        return key in self._known_accounts(customer_id)

    def _known_accounts(self, customer_id: int) -> dict[AccountKey, int]:
        known = self._accounts.get(customer_id)
        if known is None:
            rows = self.connection.execute(
                text(
                    "select entity, role, currency, subject, product, account_id from account where customer_id = :id"
                ),
                {"id": customer_id},
            )
            known = self._accounts[customer_id] = {AccountKey(*row[:5]): row[5] for row in rows}
        return known

    def history(self, customer_id: int, key: AccountKey) -> History:
        """An account's net increase by day, on its role's normal side, unwritten entries included."""
        account_id = self._known_accounts(customer_id).get(key)
        if account_id is None:
            return {}
        known = self._histories.get((customer_id, account_id))
        if known is None:
            rows = self.connection.execute(
                text(
                    "select effective_on, sum(net) from ("
                    " select effective_on, amount as net from posting"
                    " where customer_id = :customer_id and debit_account = :account_id"
                    " union all"
                    " select effective_on, -amount from posting"
                    " where customer_id = :customer_id and credit_account = :account_id) both_sides "
                    "group by effective_on"
                ),
                {"customer_id": customer_id, "account_id": account_id},
            )
            sign = ROLES[key.role].sign
            known = {day: sign * int(net) for day, net in rows}
            for day, net in self._unwritten.get(account_id, ()):
                known[day] = known.get(day, 0) + sign * net
            self._histories[customer_id, account_id] = known
        return known

    # Entries -----------------------------------------------------------------------------------------------------

    def open_day(self, entity: str, on: date) -> date:
        """The day itself where its month is open, else the first open day."""
        return max(on, self.first_open_day(entity))

    def first_open_day(self, entity: str) -> date:
        """The first day of an entity that takes entries."""
        known = self._first_open.get(entity)
        if known is None:
            known = self._first_open[entity] = periods.first_open_day(self.connection, entity)
        return known

    def post(self, source: Source, on: date, movements: Sequence[Movement]) -> None:
        """Gather an entry: what a document moves on a day. A closed month moves it into the first open one."""
        moved = [movement for movement in movements if movement.amount]
        if not moved:
            return
        effective_on = self.open_day(source.entity, on)
        if effective_on != on:
            self.late_documents += 1
        customer_id = source.customer.customer_id
        postings = []
        for movement in moved:
            assert movement.amount > 0, f"{movement.rule} moves a positive amount, got {movement.amount}"
            rule = RULES[movement.rule]
            debit = self._movement_account(source, rule.debit, movement.debit, movement.product)
            credit = self._movement_account(source, rule.credit, movement.credit, movement.product)
            postings.append(Posting(rule.number, debit, credit, movement.amount, movement.amount))
            self._see(customer_id, debit, ROLES[rule.debit].sign, effective_on, movement.amount)
            self._see(customer_id, credit, ROLES[rule.credit].sign, effective_on, -movement.amount)
        self._entries.append(Entry(customer_id, source.document_id, effective_on, on, tuple(postings)))

    def reverse(self, source: Source, entry_id: int, entry: Entry, keys: dict[int, AccountKey]) -> None:
        """Gather the entry that takes back another: on its day where that is open, else on the first open one.

        `keys` are the accounts its postings touch.
        """
        day = self.open_day(source.entity, entry.effective_on)
        taken_back = journal.reversal(entry, entry_id, source.document_id, day, entry.occurred_on)
        for p in taken_back.postings:
            for account_id, net in ((p.debit_account, p.amount), (p.credit_account, -p.amount)):
                self._see(entry.customer_id, account_id, ROLES[keys[account_id].role].sign, day, net)
        self._entries.append(taken_back)

    def net(self, source: Source, keys: tuple[AccountKey, AccountKey], rules: tuple[str, str], after: date) -> None:
        """Let a contract liability and a contract asset of one subject settle each other on every later day.

        `keys` are the liability's account and the asset's, `rules` the one that settles and the one that puts back.
        """
        customer_id = source.customer.customer_id
        liability, asset = (self.history(customer_id, key) for key in keys)
        subject = keys[0].subject
        for day, amount in nettings(liability, asset, after):
            rule = rules[0] if amount > 0 else rules[1]
            self.post(source, day, [Movement(rule, abs(amount), subject, subject)])

    def _movement_account(self, source: Source, role: str, subject: str, product: str) -> int:
        kept_product = product if role in PRODUCT_ROLES else ""
        key = AccountKey(source.entity, role, source.currency, subject, kept_product)
        return self.account(source.customer.customer_id, key)

    def _see(self, customer_id: int, account_id: int, sign: int, day: date, net: int) -> None:
        self._unwritten.setdefault(account_id, []).append((day, net))
        known = self._histories.get((customer_id, account_id))
        if known is not None:
            known[day] = known.get(day, 0) + sign * net

    # Writing -----------------------------------------------------------------------------------------------------

    def add_document(
        self, customer_id: int, document_id: int, type_: str, ref: str, dated_on: date | None, body: str, hash_: bytes
    ) -> None:
        """Gather a document as received."""
        self._documents.keys.append((type_, ref, customer_id, document_id))
        self._documents.rows.append(
            (customer_id, document_id, type_, ref, dated_on, body, hash_, self.posted_at, self.posted_by)
        )

    def add_row(self, table: str, **values: object) -> None:
        """Gather a row of facts for one of the sub-ledgers' tables."""
        self._rows.setdefault(table, []).append(values)

    def remember(self, kind: str, ref: str, fact: object) -> None:
        """Keep in view what a sub-ledger gathered, until it is written and can be read back."""
        self._unwritten_facts[kind, ref] = fact

    def recall(self, kind: str, ref: str) -> Any:
        """What was remembered since the last flush, or None."""
        return self._unwritten_facts.get((kind, ref))

    def flush(self) -> None:
        """Write what was gathered; the transaction stays open."""
        connection = self.connection
        journal.copy_rows(
            connection,
            "document_key",
            ("type", "ref", "customer_id", "document_id"),
            ("text", "text", "int8", "int8"),
            self._documents.keys,
        )
        journal.copy_rows(
            connection,
            "document",
            ("customer_id", "document_id", "type", "ref", "dated_on", "body", "hash", "posted_at", "posted_by"),
            ("int8", "int8", "text", "text", "date", "text", "bytea", "timestamptz", "text"),
            self._documents.rows,
        )
        for table in metadata.sorted_tables:  # what is referred to comes first
            if table.name in self._rows:
                connection.execute(table.insert(), self._rows[table.name])
        journal.copy_rows(
            connection,
            "account",
            ("customer_id", "account_id", "entity", "role", "currency", "subject", "product"),
            ("int8", "int8", "text", "text", "text", "text", "text"),
            self._new_accounts,
        )
        journal.write(connection, self._entries, self.posted_at, self.posted_by)
        self.entries_written += len(self._entries)
        self.postings_written += sum(len(entry.postings) for entry in self._entries)
        self._documents = _Documents()
        self._rows = {}
        self._unwritten_facts = {}
        self._new_accounts = []
        self._entries = []
        self._unwritten = {}

    def discard(self) -> None:
        """Drop what was gathered since the last flush, of a document that is refused after all."""
        self._rows = {}
        self._unwritten_facts = {}
        self._new_accounts = []
        self._entries = []
        self._unwritten = {}
        self.forget()

    def forget(self) -> None:
        """Let go of what was learnt about accounts, to bound memory in a long run; call after `flush`."""
        assert not self._entries, "flush before forgetting"
        self._accounts = {}
        self._histories = {}
