"""What movements in other currencies count for in their entity's, and what they change of what is posted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.rulebook import RULES
from ledger.journal import currencies
from ledger.journal.accounts import Accounts
from ledger.journal.counting_days import CountingDays
from ledger.journal.entry_rows import Entry, Posting
from ledger.journal.known_parties import KnownParties
from ledger.journal.movements import (
    AccountKey,
    Movement,
    Source,
    Way,
    place_of,
)
from ledger.journal.valuation import ForeignAccounts
from ledger.journal.value_rules import ENTERED_AT_RATE, REVALUING, Change, Coming, Converted, Worth, key_of


class Valued(Accounts):
    """Movements of a transaction, each with what it counts for."""

    def __init__(self, connection: Connection, posted_by: str) -> None:
        super().__init__(connection, posted_by)
        self.parties = KnownParties(connection)
        self.days = CountingDays(connection, self.parties)
        self._rates: dict[tuple[str, str, date], Fraction] = {}
        self._foreign: dict[tuple[int, str], ForeignAccounts] = {}

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

    def _made(self, customer_id: int, account_id: int, key: AccountKey) -> None:
        foreign = self._foreign.get((customer_id, key.entity))
        if foreign is not None and key.currency != self.parties.entity(key.entity).currency:
            foreign.know(account_id, place_of(key))

    @property
    def remembered(self) -> int:
        """How many accounts, ways between them, histories and values are held in memory."""
        return super().remembered + sum(map(len, self._foreign.values()))

    def begin(self) -> None:
        """Begin a document that may be refused: `undo` then leaves nothing of it."""
        self.days.begin()
        super().begin()

    def end(self) -> None:
        """What was begun is accepted."""
        for moved in self.days.end():
            self._foreign.pop(moved, None)
        super().end()

    def forget(self) -> None:
        """Let go of what was learnt, to bound memory in a long run; call after `flush`."""
        super().forget()
        self._foreign = {}
