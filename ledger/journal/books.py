"""The books under one transaction: documents taken in, entries gathered, and written in bulk.

A posting rule asks the books for balances and hands back movements; the books find or make the sub-ledger
accounts, keep what is not yet written in view, and write everything through COPY.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

from sqlalchemy import Connection, NestedTransaction, text

from ledger.accounts.chart import ROLES
from ledger.accounts.house import BESIDE, HOUSE, HOUSE_REF
from ledger.accounts.rulebook import RULES, SEPARATING
from ledger.amounts.dates import days
from ledger.database import binary_copy, locks
from ledger.database.binary_copy import chunks, moment_microseconds, packed_bytes
from ledger.database.schema.tables import TABLES
from ledger.documents.parse import content_hash
from ledger.errors import InvalidDocument
from ledger.journal import currencies, entry_rows
from ledger.journal.by_date import History, nettings
from ledger.journal.counting_days import CountingDays
from ledger.journal.entry_rows import Entry, Plain, Posting
from ledger.journal.known_parties import KnownParties
from ledger.journal.movements import (
    CLAIMED,
    MONEY_ACCOUNT,
    OWED,
    PRODUCT_ROLES,
    AccountKey,
    Came,
    Customer,
    LetGo,
    Movement,
    Source,
    Undoing,
    Way,
    place_of,
)
from ledger.journal.valuation import (
    ENTERED_AT_RATE,
    REVALUING,
    Change,
    Coming,
    Converted,
    ForeignAccounts,
    Worth,
    key_of,
)

# What is charged beside money that goes: it is undone by itself.
_FEES = [RULES[code].number for code in ("payment.fee", "fee.charged")]

# The facts that say that something happened to an obligation: to its terms, or to what bills of it.
_TOUCHING = ("line_change", "obligation_terms")

_DOCUMENT_KEY_TAIL = struct.Struct(">iqiq")
_DOCUMENT_HEAD = struct.Struct(">hiqiq")
_DOCUMENT_TAIL = struct.Struct(">iq")
_DATED = struct.Struct(">ii")
_COUNTED = struct.Struct(">ii")
_UNDATED = struct.pack(">i", -1)
_FOUR_COLUMNS = struct.pack(">h", 4)


def _write_documents(connection: Connection, keys: Sequence[bytes], rows: Sequence[bytes]) -> None:
    if rows:
        binary_copy.copy_packed(connection, "document_key", "type, ref, customer_id, document_id", chunks(keys))
        columns = "customer_id, document_id, type, ref, dated_on, body, hash, posted_at, posted_by, entry_count"
        binary_copy.copy_packed(connection, "document", columns, chunks(rows))


@dataclass(frozen=True, slots=True)
class Plainly:
    """Documents and entries that were gathered, and nothing else: the books need not see them written."""

    document_keys: list[bytes]
    documents: list[bytes]
    entries: list[Entry | Plain]
    posted_at: datetime
    posted_by: str

    def write(self, connection: Connection) -> None:
        """Write them; the connection is this call's alone meanwhile."""
        _write_documents(connection, self.document_keys, self.documents)
        entry_rows.write(connection, self.entries, self.posted_at, self.posted_by)


# What is gathered to be written: documents in two parts, entries, accounts, and rows of facts by table.
_Gathered = tuple[
    list[bytes], list[bytes], list[Entry | Plain], list[tuple[object, ...]], dict[str, list[dict[str, Any]]]
]


@dataclass(slots=True)
class _Mark:
    """How much was gathered before a document began, and the savepoint from before anything of its own was written."""

    documents: int
    entries: int
    accounts: int
    rows: dict[str, int]
    late: int
    written: tuple[int, int] = (0, 0)
    savepoint: NestedTransaction | None = None


class Books:
    """One transaction's view of the books. Not shared between threads; `flush` before the transaction ends."""

    def __init__(
        self, connection: Connection, posted_by: str, *, reading: bool = False, entities: frozenset[str] | None = None
    ) -> None:
        self.connection = connection
        self.posted_by = posted_by
        self.entities = entities  # that who posts may post for, where these are not all
        if not reading:  # who only reads waits for nobody, and keeps nobody waiting
            locks.share_books(connection)
        self.posted_at: datetime = connection.scalar(text("select now()"))
        self.late_documents = 0
        self.entries_written = 0
        self.postings_written = 0
        # of customers, the obligations that something happened to, as far as they were looked up
        self.touched: dict[int, set[str]] = {}
        self.touching: dict[int, set[str]] = {}  # and those of which that is gathered
        self.parties = KnownParties(connection)
        self.days = CountingDays(connection, self.parties)
        self._accounts: dict[int, dict[AccountKey, int]] = {}
        # of customers, what they have contract liabilities of, with how many accounts were looked at
        self._liable: dict[int, tuple[int, set[str]]] = {}
        self._histories: dict[tuple[int, int], History] = {}
        self._unwritten: dict[int, list[tuple[date, int]]] = {}
        self._entries: list[Entry | Plain] = []
        self._entry_counts: Counter[int] = Counter()  # of documents that are not gathered yet
        # of documents whose corrections were decided, what they are called and their days: they are written after those
        self.decided: dict[int, tuple[str, date]] = {}
        # of those that recover something, the day it came in, and the recovery where one comes back
        self.recovers: dict[int, tuple[date, int]] = {}
        # by a document under way, the number of the one beside it, the entity and the day
        self._besides: dict[int, tuple[int, str, date]] = {}
        self._new_accounts: list[tuple[object, ...]] = []
        # documents as rows of the two tables that keep them
        self._document_keys: list[bytes] = []
        self._documents: list[bytes] = []
        self._posted = _DOCUMENT_TAIL.pack(8, moment_microseconds(self.posted_at)) + packed_bytes(posted_by.encode())
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._unwritten_facts: dict[tuple[str, str], object] = {}
        self._spare_numbers: dict[str, list[int]] = {}
        self._rates: dict[tuple[str, str, date], Fraction] = {}
        self._foreign: dict[tuple[int, str], ForeignAccounts] = {}
        self._ways: dict[tuple[object, ...], Way] = {}
        self._mark: _Mark | None = None

    # Who and what ------------------------------------------------------------------------------------------------

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

    def beside(self, source: Source, customer: str, on: date) -> Source:
        """The source of what a document moves of another customer than its own, or of the house.

        Entries are of their document's customer or of the house's documents: so these come from a document beside it, the house's.
        """
        if any(source.document_id == number for number, _, _ in self._besides.values()):
            return replace(source, customer=self.parties.customer(customer))
        known = self._besides.get(source.document_id)
        if known is None:
            known = self._besides[source.document_id] = (self.number("document_number"), source.entity, on)
        return replace(source, document_id=known[0], customer=self.parties.customer(customer))

    # Numbers -----------------------------------------------------------------------------------------------------

    def number(self, sequence: str, at_least: int = 1) -> int:
        """The next number of a sequence, fetched a block at a time."""
        spare = self._spare_numbers.setdefault(sequence, [])
        if not spare:
            spare.extend(reversed(entry_rows.numbers(self.connection, sequence, at_least)))
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
        count, liable = self._liable.get(customer_id, (-1, set()))
        if count == len(known) - 1:
            if key.role == "deferred_revenue":
                liable.add(key.subject)
            self._liable[customer_id] = (len(known), liable)
        self._new_accounts.append(
            (customer_id, account_id, key.entity, key.role, key.currency, key.subject, key.product)
        )
        self._histories[customer_id, account_id] = {}
        foreign = self._foreign.get((customer_id, key.entity))
        if foreign is not None and key.currency != self.parties.entity(key.entity).currency:
            foreign.know(account_id, place_of(key))
        return account_id

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
        foreign = sum(map(len, self._foreign.values()))
        return sum(map(len, self._accounts.values())) + len(self._ways) + len(self._histories) + foreign

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

    # Entries -----------------------------------------------------------------------------------------------------

    def post(self, source: Source, on: date, movements: Sequence[Movement], undoing: Undoing | None = None) -> None:
        """Gather an entry: what a document moves on a day. A closed month moves it into the first open one.

        Cash in an account in another currency than the entity's is one for all customers, held by the house at one average: what a
        customer's entry moves of it passes to or from there, what is undone at what it passed for.
        """
        moved = [movement for movement in movements if movement.amount]
        if not moved:
            return
        pooled = self._pooled(source, moved)
        for key, net in pooled.items():
            if net < 0:
                self._pool(source, on, key, net, None if undoing is None else self._brought(source, moved, key))
        if undoing is not None and pooled:  # the house has what it takes back of an exchange difference
            moved = [replace(item, worth=None) if self.way(source, item).keys[1] in pooled else item for item in moved]
        self._post(source, on, moved)
        for key, net in pooled.items():
            if net > 0:
                self._pool(
                    source, on, key, net, None if undoing is None else self._returned(source, on, key, net, undoing)
                )

    def _brought(self, source: Source, moved: Sequence[Movement], key: AccountKey) -> tuple[int, int]:
        """What cash that goes counts for with the customer, and what the house had it come for: it leaves the house at that."""
        going = [movement for movement in moved if self.way(source, movement).keys[1] == key]
        counted = sum(movement.functional or 0 for movement in going)
        return counted, sum(
            (movement.functional or 0) if movement.worth is None else movement.worth for movement in going
        )

    def brought_cash(self, customer_id: int, document_id: int, subject: str, *, undone: bool) -> Came:
        """What a document brought of cash as it stands in the books, by what it was itself, or as it undid what had gone.

        Of an account that is one for all customers, what the house has of it. Fees beside it are left out.
        """
        self.flush()
        own, pooled = ("not like", "account.undone%") if undone else ("like", "account.pooled%")
        row = self.connection.execute(
            text(
                "select coalesce(sum(case when p.debit_account = a.account_id then p.amount else -p.amount end), 0)::bigint as amount,"
                " coalesce(sum(case when p.debit_account = a.account_id then p.functional_amount else -p.functional_amount end), 0)::bigint"
                " as functional from account a join posting p on p.customer_id = a.customer_id"
                " and a.account_id in (p.debit_account, p.credit_account) and p.rule <> all(:fees)"
                " join rule r on r.number = p.rule and (r.code like :pooled or r.code not like 'account.%' and r.code " + own + " 'recovery.%')"
                " join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id"
                " where a.customer_id in (:customer_id, :house) and a.role = 'cash' and a.subject = :subject and (e.document_id = :document_id"
                "  or e.document_id in (select k.document_id from document d join document_key k on k.type = :beside and k.ref = d.type || ':' || d.ref"
                "   where d.customer_id = :customer_id and d.document_id = :document_id))"
            ),
            {
                "customer_id": customer_id, "house": HOUSE, "document_id": document_id, "subject": subject, "beside": BESIDE,
                "fees": _FEES, "pooled": pooled,
            },
        ).one()  # fmt: skip
        return Came(row.amount, row.functional)

    def _returned(
        self, source: Source, on: date, key: AccountKey, net: int, undoing: Undoing
    ) -> tuple[int, int] | None:
        """What cash that comes back counts for with the customer, and what the house had let it go for; None where it didn't."""
        self.flush()
        beside = self.connection.scalars(
            text(
                "select k.document_id from document d join document_key k on k.type = :beside and k.ref = d.type || ':' || d.ref"
                " where d.document_id = any(:documents)"
            ),
            {"beside": BESIDE, "documents": list(undoing.documents)},
        ).all()
        let_go = self.left_by(HOUSE, key.entity, key.currency, beside).get(key.subject)
        if let_go is None:
            return None
        customer_id = source.customer.customer_id
        account = self.account(customer_id, key)
        day = self._ordering_day(key.entity, customer_id, on, self.days.open_day(source, on))
        held = self._foreign_accounts(customer_id, key.entity, day).left_at(account, day, net)
        return held, let_go.undone(undoing, net)

    def left_by(self, customer_id: int, entity: str, currency: str, documents: Sequence[int]) -> dict[str, LetGo]:
        """What documents let leave accounts of cash, or what is disputed, counted for in another currency than the entity's, by subject.

        Told by the day: as what came in by then makes it, whenever that came. Fees beside it are left out.
        """
        self.flush()
        rows = self.connection.execute(
            text(
                "with left_ as (select a.account_id, a.subject, case when e.effective_on > :first_open then e.effective_on else e.occurred_on end as day,"
                "  e.document_id, sum(p.amount) filter (where p.rule <> all(:fees)) as amount, sum(p.amount) as whole"
                "  from account a join posting p on p.customer_id = a.customer_id and p.credit_account = a.account_id"
                "  join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id where a.customer_id = :customer_id"
                "  and a.entity = :entity and a.currency = :currency and a.role in ('cash', 'disputed_funds') and p.amount > 0 group by 1, 2, 3, 4)"
                " select l.account_id, l.subject, l.day, coalesce(l.amount, 0)::bigint as amount, (select coalesce(sum(b.whole), 0)::bigint from left_ b"
                "  where (b.account_id, b.day) = (l.account_id, l.day) and b.document_id < l.document_id) as before"
                " from left_ l where l.document_id = any(:documents) order by l.day, l.document_id"
            ),
            {
                "customer_id": customer_id, "entity": entity, "currency": currency, "documents": list(documents),
                "fees": _FEES, "first_open": self.days.first_of(entity, customer_id),
            },
        ).all()  # fmt: skip
        found: dict[str, LetGo] = {}
        for row in rows:
            accounts = self._foreign_accounts(customer_id, entity, row.day)
            until = accounts.left_at(row.account_id, row.day, row.before + row.amount)
            before = found.get(row.subject, LetGo(0, 0))
            counted = before.functional + until - accounts.left_at(row.account_id, row.day, row.before)
            found[row.subject] = LetGo(before.amount + row.amount, counted)
        return found

    def _pooled(self, source: Source, moved: Sequence[Movement]) -> Counter[AccountKey]:
        """By how much movements of a customer change accounts of money in another currency than the entity's."""
        changed: Counter[AccountKey] = Counter()
        if source.customer.customer_id == HOUSE:
            return changed
        functional_currency = self.parties.entity(source.entity).currency
        for movement in moved:
            for subject, sign in ((movement.debit, 1), (movement.credit, -1)):
                if subject.startswith(MONEY_ACCOUNT):
                    way = self.way(source, movement)
                    key = way.keys[0 if sign > 0 else 1]
                    if key.role == "cash" and way.currency != functional_currency:
                        changed[key] += sign * movement.amount
        return changed

    def _pool(
        self, source: Source, on: date, key: AccountKey, net: int, counted: tuple[int, int] | None = None
    ) -> None:
        """Pass cash that a customer's entry brought (above 0) or needs to or from the house, both sides at one rate.

        Where it is undone, both sides at what is `counted`: with the customer, and what the house holds it at.
        """
        stated = source.rate if key.currency == source.currency else None
        rate = self.rate(key.currency, self.parties.entity(key.entity).currency, on) if stated is None else stated
        house = self.beside(source, HOUSE_REF, on)
        out, in_ = (f"account.{'pooled' if counted is None else 'undone'}_{way}" for way in ("out", "in"))
        sides = ((source, out), (house, in_)) if net > 0 else ((house, out), (source, in_))
        for party, rule in sides:
            subjects = (CLAIMED, key.subject) if rule == out else (key.subject, OWED)
            passed = Movement(rule, abs(net), *subjects, currency=key.currency, rate=rate)
            if counted is not None:
                worth = counted[1] if party is house else None
                passed = replace(passed, rate=None, functional=counted[0], worth=worth)
            self._post(party, on, [passed])

    def _post(self, source: Source, on: date, moved: Sequence[Movement]) -> None:
        effective_on = self.days.open_day(source, on)
        customer_id = source.customer.customer_id
        functional_currency = self.parties.entity(source.entity).currency
        ways = [self.way(source, movement) for movement in moved]
        later: list[Entry] = []
        if all(way.currency == functional_currency for way in ways):
            postings = [
                Posting(way.rule, way.debit, way.credit, movement.amount, movement.amount)
                for way, movement in zip(ways, moved, strict=True)
            ]
        else:
            postings, later = self._valued(source, on, effective_on, ways, moved)
        for way, movement in zip(ways, moved, strict=True):
            assert movement.amount > 0, f"{movement.rule} moves a positive amount, got {movement.amount}"
            self.see(customer_id, way, effective_on, movement.amount)
        if effective_on != on:
            self.late_documents += 1
            self.days.moves(source.entity, customer_id, on, effective_on)
        self._gather(Entry(customer_id, source.document_id, effective_on, on, tuple(postings)))
        for entry in later:
            self._gather(entry)

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

    def rate(self, base: str, quote: str, on: date) -> Fraction:
        """The exchange rate of a day. Raises UnknownReference where the books hold none."""
        known = self._rates.get((base, quote, on))
        if known is None:
            known = self._rates[base, quote, on] = currencies.require_rate(self.connection, base, quote, on)
        return known

    def forget_rates(self) -> None:
        """Look rates up again: a new one came in."""
        self._rates = {}

    def locked(self, source: Source, on: date) -> Source:
        """The source with the rate of a day as its own, where it is in another currency and states none."""
        functional_currency = self.parties.entity(source.entity).currency
        if source.currency == functional_currency or source.rate is not None:
            return source
        return replace(source, rate=self.rate(source.currency, functional_currency, on))

    def at_rate(self, source: Source, currency: str, on: date, amount: int) -> int:
        """An amount in the entity's currency, at the rate its document states or that of a day."""
        functional_currency = self.parties.entity(source.entity).currency
        if currency == functional_currency:
            return amount
        stated = source.rate if currency == source.currency else None
        rate = self.rate(currency, functional_currency, on) if stated is None else stated
        return currencies.convert(amount, currency, functional_currency, rate)

    def _foreign_accounts(self, customer_id: int, entity: str, since: date) -> ForeignAccounts:
        """A customer's accounts with an entity in other currencies than its own."""
        known = self._foreign.get((customer_id, entity))
        if known is None:
            functional = self.parties.entity(entity).currency
            places = {
                account: place_of(key)
                for key, account in self._known_accounts(customer_id).items()
                if key.entity == entity and key.currency != functional
            }

            def rate_of(currency: str, on: date) -> Converted:
                rate = self.rate(currency, functional, on)
                return lambda amount: currencies.convert(amount, currency, functional, rate)

            def locked(subject: str) -> Converted:
                currency, rate = self._locked_rate(customer_id, subject.removeprefix("invoice:"))
                return lambda amount: currencies.convert(amount, currency, functional, rate)

            first_open = self.days.first_of(entity, customer_id)
            known = self._foreign[customer_id, entity] = ForeignAccounts(
                self.connection, customer_id, functional, places, rate_of, locked, first_open, since, self.flush
            )
        return known

    def _locked_rate(self, customer_id: int, invoice: str) -> tuple[str, Fraction]:
        """An invoice's currency, and the exchange rate it was issued at."""
        known = self.recall("invoice", invoice)
        if known is not None:
            return known.currency, known.rate
        row: Any = self.connection.execute(
            text("select currency, rate from invoice where customer_id = :customer_id and ref = :ref"),
            {"customer_id": customer_id, "ref": invoice},
        ).one()
        return row.currency, Fraction(row.rate)

    def _ordering_day(self, entity: str, customer_id: int, on: date, effective_on: date) -> date:
        """The day a movement has in the order of dates: its own, unless the books it went into are later than they had to be."""
        had_to = max(on, self.days.first_of(entity, customer_id))
        return on if effective_on <= had_to else effective_on

    def _valued(
        self, source: Source, on: date, effective_on: date, ways: Sequence[Way], movements: Sequence[Movement]
    ) -> tuple[list[Posting], list[Entry]]:
        """The postings of movements of which some are in another currency, and the entries that correct later days."""
        customer_id = source.customer.customer_id
        functional_currency = self.parties.entity(source.entity).currency
        day = self._ordering_day(source.entity, customer_id, on, effective_on)
        foreign = self._foreign_accounts(customer_id, source.entity, day)
        coming: list[Coming] = []
        cleared: Counter[str] = Counter()
        for way, movement in zip(ways, movements, strict=True):
            if way.currency == functional_currency:
                for key, sign in zip(way.keys, (1, -1), strict=True):
                    if key.role == "currency_exchange":
                        cleared[key.subject] += sign * movement.amount
                continue
            key_, sign = key_of(way.rule, way.debit, way.credit)
            at_rate = self._at_rate(source, way, movement, on)
            entered = movement.rate is not None or way.rule in ENTERED_AT_RATE
            worth, functional = None, movement.functional
            if movement.worth is not None:
                worth = self._worth(customer_id, way, movement.worth)
                functional = at_rate(movement.amount) if functional is None else functional
            coming.append(Coming(key_, sign * movement.amount, at_rate, functional, entered=entered, worth=worth))
        values, changes = foreign.reckon(day, coming, cleared)
        counted = iter(values)
        postings = [
            Posting(
                way.rule,
                way.debit,
                way.credit,
                movement.amount,
                movement.amount if way.currency == functional_currency else next(counted),
            )
            for way, movement in zip(ways, movements, strict=True)
        ]
        postings += self._corrections(customer_id, changes.pop(day, Change()))
        return postings, self._correcting(source, changes)

    def _worth(self, customer_id: int, way: Way, functional: int) -> Worth:
        """What the cash that a movement brings, or takes, counts it for."""
        side = 0 if way.keys[0].role == "cash" else 1
        key = way.keys[side]
        gains, losses = (
            self.account(customer_id, AccountKey(key.entity, role, key.currency, f"currency:{key.currency}"))
            for role in ("fx_gain", "fx_loss")
        )
        return Worth((way.debit, way.credit)[side], functional, gains, losses, comes=side == 0)

    def _at_rate(self, source: Source, way: Way, movement: Movement, on: date) -> Converted:
        stated = source if movement.rate is None else replace(source, rate=movement.rate, currency=way.currency)
        return lambda amount: self.at_rate(stated, way.currency, on, amount)

    def _correcting(self, source: Source, changes: dict[date, Change]) -> list[Entry]:
        """The entries that correct what was posted on other days, each on its day or the first open one."""
        return [
            Entry(
                source.customer.customer_id,
                source.document_id,
                self.days.open_day(source, day),
                day,
                tuple(self._corrections(source.customer.customer_id, change)),
            )
            for day, change in changes.items()
        ]

    def _corrections(self, customer_id: int, change: Change) -> list[Posting]:
        """What is posted counts for more, by the rules that posted it, or for less, with debit and credit exchanged."""
        postings = []
        for (rule, *sides), functional in change.moved.items():
            if functional:
                debit, credit = sides if functional > 0 else reversed(sides)
                postings.append(Posting(rule, debit, credit, 0, abs(functional)))
        known = self._known_accounts(customer_id)
        accounts = {*change.gains, *change.losses}
        keys = {account: key for key, account in known.items() if account in accounts} if accounts else {}
        for account, key in keys.items():
            for correction, taken_back in (
                (max(change.gains.get(account, 0), 0), False),
                (min(change.gains.get(account, 0), 0), True),
                (-max(change.losses.get(account, 0), 0), False),
                (-min(change.losses.get(account, 0), 0), True),
            ):
                if correction:
                    event = -correction if taken_back else correction
                    posting = self.exchange(customer_id, "exchange", key, account, event)
                    if taken_back:
                        posting = replace(
                            posting, debit_account=posting.credit_account, credit_account=posting.debit_account
                        )
                    postings.append(posting)
        return postings

    def exchange(self, customer_id: int, event: str, key: AccountKey, account: int, correction: int) -> Posting:
        """The posting that corrects what an account counts for, by more than 0 to its debit, by less to its credit."""
        rule = RULES[f"{event}.{'gain' if correction > 0 else 'loss'}.{key.role}"]
        role = rule.credit if correction > 0 else rule.debit
        result = self.account(customer_id, AccountKey(key.entity, role, key.currency, f"currency:{key.currency}"))
        sides = (account, result) if correction > 0 else (result, account)
        return Posting(rule.number, *sides, 0, abs(correction))

    def add_entry(self, entry: Entry) -> int:
        """Write an entry whose postings are decided already, after what was gathered before it; returns its number."""
        self.flush()
        (number,) = entry_rows.write(self.connection, [entry], self.posted_at, self.posted_by)
        self.count_entries(entry.document_id, 1)
        self.entries_written += 1
        self.postings_written += len(entry.postings)
        return number

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

    def _revalued_after(self, source: Source, taken_back: Entry, keys: dict[int, AccountKey]) -> list[Entry]:
        """What taking back an entry in another currency changes of what stays: the entries that correct it."""
        functional_currency = self.parties.entity(source.entity).currency
        foreign = [
            p
            for p in taken_back.postings
            if keys[p.debit_account].currency != functional_currency and p.rule not in REVALUING
        ]
        if not foreign:
            return []
        customer_id = taken_back.customer_id
        day = self._ordering_day(source.entity, customer_id, taken_back.occurred_on, taken_back.effective_on)
        accounts = self._foreign_accounts(customer_id, source.entity, day)
        return self._correcting(source, accounts.take_back(day, foreign))

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

    @staticmethod
    def _movement_key(source: Source, role: str, currency: str, subject: str, product: str) -> AccountKey:
        if role == "cash" and subject.startswith(MONEY_ACCOUNT):
            return AccountKey(source.entity, role, currency, subject, subject)
        return AccountKey(source.entity, role, currency, subject, product if role in PRODUCT_ROLES else "")

    def add_plain(self, entry: Plain) -> None:
        """Gather an entry whose accounts are known; `see` says later what it moved."""
        self._entries.append(entry)
        self._entry_counts[entry[1]] += 1

    def _gather(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._entry_counts[entry.document_id] += 1

    def count_entries(self, document_id: int, count: int) -> None:
        """Count entries of a document that were written without the books, before it is gathered itself."""
        self._entry_counts[document_id] += count

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

    # Writing -----------------------------------------------------------------------------------------------------

    def add_document(
        self, customer_id: int, document_id: int, type_: str, ref: str, dated_on: date | None, body: str, hash_: bytes
    ) -> None:
        """Gather a document, after all it posts: what it says, as JSON, and the day it counts for, where it has one."""
        day = None if dated_on is None else days(dated_on)
        self.add_received(customer_id, document_id, type_, ref, day, body.encode(), hash_)
        if document_id in self._besides:
            number, entity, on = self._besides.pop(document_id)
            name = f"{type_}:{ref}"
            fields = {"type": BESIDE, "id": name, "entity": entity, "of": name}
            said = json.dumps(fields, ensure_ascii=False)
            self.add_received(HOUSE, number, BESIDE, name, days(on), said.encode(), content_hash(fields))

    def add_received(
        self, customer_id: int, document_id: int, type_: str, ref: str, day: int | None, body: bytes, hash_: bytes
    ) -> None:
        """Gather a document as its line came in; `day` counts from 2000-01-01."""
        name = packed_bytes(type_.encode()) + packed_bytes(ref.encode())
        self._document_keys.append(_FOUR_COLUMNS + name + _DOCUMENT_KEY_TAIL.pack(8, customer_id, 8, document_id))
        dated = _UNDATED if day is None else _DATED.pack(4, day)
        self._documents.append(
            _DOCUMENT_HEAD.pack(10, 8, customer_id, 8, document_id)
            + name
            + dated
            + packed_bytes(body)
            + packed_bytes(hash_)
            + self._posted
            + _COUNTED.pack(4, self._entry_counts.pop(document_id, 0))
        )

    def add_row(self, table: str, **values: object) -> None:
        """Gather a row of facts for one of the sub-ledgers' tables."""
        if table in _TOUCHING:
            self.touching.setdefault(cast("int", values["customer_id"]), set()).add(cast("str", values["subject"]))
        self._rows.setdefault(table, []).append(values)

    def remember(self, kind: str, ref: str, fact: object) -> None:
        """Keep in view what a sub-ledger gathered, until it is written and can be read back."""
        self._unwritten_facts[kind, ref] = fact

    def recall(self, kind: str, ref: str) -> Any:
        """What was remembered since the last flush, or None."""
        return self._unwritten_facts.get((kind, ref))

    def remembered_of(self, kind: str) -> dict[str, object]:
        """What is remembered of a kind, by its ids."""
        return {ref: fact for (of, ref), fact in self._unwritten_facts.items() if of == kind}

    def take_plain(self) -> Plainly | None:
        """What was gathered where it is documents and entries alone, to be written by itself; None, and kept, otherwise."""
        if self._rows or self._new_accounts:
            return None
        taken = Plainly(self._document_keys, self._documents, self._entries, self.posted_at, self.posted_by)
        self._gathered_is_written()
        return taken

    # Documents that may be refused -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a document that may be refused: `undo` then leaves nothing of it."""
        self.days.begin()
        self._besides = {}
        self._mark = _Mark(
            len(self._documents),
            len(self._entries),
            len(self._new_accounts),
            {table: len(rows) for table, rows in self._rows.items()},
            self.late_documents,
        )

    @property
    def begun(self) -> bool:
        """Whether a document is under way that can be undone."""
        return self._mark is not None

    def end(self) -> None:
        """What was begun is accepted."""
        for moved in self.days.end():
            self._foreign.pop(moved, None)
        mark, self._mark = self._mark, None
        if mark is not None and mark.savepoint is not None:
            mark.savepoint.commit()

    def undo(self) -> bool:
        """Take back whatever was gathered or written since `begin`; returns whether anything was."""
        mark, self._mark = self._mark, None
        assert mark is not None, "begin before undoing"
        self.late_documents = mark.late
        if mark.savepoint is not None:
            mark.savepoint.rollback()
            self.entries_written, self.postings_written = mark.written
        elif not self._gathered_since(mark):
            return False
        self._take_from(mark)
        self._entry_counts.clear()
        self._write_gathered()
        self.forget()
        return True

    def secure(self) -> None:
        """Before something of a document is written: write what came before it, and note how to come back there."""
        mark = self._mark
        if mark is None or mark.savepoint is not None:
            return
        own = self._take_from(mark)
        self._write_gathered()
        mark.written = self.entries_written, self.postings_written
        mark.savepoint = self.connection.begin_nested()
        (self._document_keys, self._documents, self._entries, self._new_accounts, self._rows) = own
        self._write_gathered()
        mark.documents = mark.entries = mark.accounts = 0
        mark.rows = {}

    def _take_from(self, mark: _Mark) -> _Gathered:
        """Part what was gathered since from what was gathered before, which stays."""
        taken = (
            self._document_keys[mark.documents :],
            self._documents[mark.documents :],
            self._entries[mark.entries :],
            self._new_accounts[mark.accounts :],
            {table: rows[mark.rows.get(table, 0) :] for table, rows in self._rows.items()},
        )
        del self._document_keys[mark.documents :], self._documents[mark.documents :]
        del self._entries[mark.entries :], self._new_accounts[mark.accounts :]
        self._rows = {table: rows[: mark.rows[table]] for table, rows in self._rows.items() if mark.rows.get(table)}
        return taken

    def _gathered_since(self, mark: _Mark) -> bool:
        return (
            len(self._documents) > mark.documents
            or len(self._entries) > mark.entries
            or len(self._new_accounts) > mark.accounts
            or any(len(rows) > mark.rows.get(table, 0) for table, rows in self._rows.items())
        )

    def flush(self) -> None:
        """Write what was gathered; the transaction stays open."""
        mark = self._mark
        if mark is not None and mark.savepoint is None:
            if self._gathered_since(mark):
                self.secure()
                return
            mark.documents = mark.entries = mark.accounts = 0
            mark.rows = {}
        self._write_gathered()

    def _write_gathered(self) -> None:
        connection = self.connection
        _write_documents(connection, self._document_keys, self._documents)
        for table in TABLES:  # what is referred to comes first
            if self._rows.get(table.name):
                connection.execute(table.insert(), self._rows[table.name])
        if self._new_accounts:
            binary_copy.copy_rows(
                connection,
                "account",
                ("customer_id", "account_id", "entity", "role", "currency", "subject", "product"),
                ("int8", "int8", "text", "text", "text", "text", "text"),
                self._new_accounts,
            )
        entry_rows.write(connection, self._entries, self.posted_at, self.posted_by)
        self._gathered_is_written()

    def _gathered_is_written(self) -> None:
        self.entries_written += len(self._entries)
        self.postings_written += sum(len(e.postings) if isinstance(e, Entry) else 1 for e in self._entries)
        self._document_keys = []
        self._documents = []
        self._rows = {}
        self._unwritten_facts = {}
        self._new_accounts = []
        self._entries = []
        self._unwritten = {}

    def forget(self) -> None:
        """Let go of what was learnt about accounts, to bound memory in a long run; call after `flush`."""
        assert not self._entries, "flush before forgetting"
        self._accounts = {}
        self._liable = {}
        self._ways = {}
        self._histories = {}
        self._foreign = {}
        self.touched = {}
        self.touching = {}
