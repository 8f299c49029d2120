"""The days on which what documents say counts: the day itself, or the first that is open to its entity and customer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from sqlalchemy import Connection

from ledger.amounts.dates import FIRST_DAY
from ledger.journal import periods
from ledger.journal.known_parties import KnownParties
from ledger.journal.movements import Source


class CountingDays:
    """The open days of entities, and of customers of whom something counts later than its month asks for."""

    def __init__(self, connection: Connection, parties: KnownParties) -> None:
        self._connection = connection
        self._parties = parties
        self._first_open: dict[str, date] = {}
        self._together_from = FIRST_DAY
        # by customer and entity, the last day that something was moved to, where it is later than the first open one
        self._moved_to: dict[int, dict[str, date]] = {}
        self._moving: dict[int, dict[str, date]] = {}  # the same, of the document under way
        self._reopened: bool | None = None

    def begin(self) -> None:
        """Begin a document: what the one before was about, and moved without being accepted, is none of its."""
        self._together_from = FIRST_DAY
        self._moving = {}

    def moves(self, entity: str, customer_id: int, on: date, effective_on: date) -> None:
        """Note where the document under way moves what happened on a day."""
        if effective_on > max(on, self.first_open_day(entity)):
            moving = self._moving.setdefault(customer_id, {})
            moving[entity] = max(effective_on, moving.get(entity, effective_on))

    def end(self) -> list[tuple[int, str]]:
        """Keep what the document under way moved; the customers, with entities, of which something counts later now."""
        moved = [(customer_id, entity) for customer_id, by_entity in self._moving.items() for entity in by_entity]
        for customer_id, entity in moved:
            last = self._moving[customer_id][entity]
            known = self._moved_to.setdefault(customer_id, {})
            known[entity] = max(last, known.get(entity, last))
        self._moving = {}
        return moved

    def open_day(self, source: Source, on: date) -> date:
        """The day itself where its month is open, else the first open day: of all entities that its document is about."""
        return self.counting_day(source.entity, source.customer.customer_id, on)

    def counting_day(self, entity: str, customer_id: int, on: date = date.min) -> date:
        """The day on which what happened on a day counts in an entity's books of a customer; by itself, the first that may.

        Where something of the customer counts later than its month asks for, as it came while that was closed, or with another
        entity's, no day before that is open to the customer.
        """
        return max(on, self._together_from, self.first_of(entity, customer_id))

    def first_of(self, entity: str, customer_id: int) -> date:
        """The first day of an entity that is open to a customer, whatever else the document under way is about."""
        return max(self.first_open_day(entity), self._counted_from(entity, customer_id))

    def together(self, entities: Iterable[str]) -> None:
        """Say that the document under way is about several entities: all of it counts from the first day open in each."""
        self._together_from = max([self._together_from, *(self.first_open_day(entity) for entity in entities)])

    def first_counting_day(self, source: Source) -> date:
        """The first day on which what the document under way moves may count."""
        return self.open_day(source, date.min)

    def first_open_day(self, entity: str) -> date:
        """The first day of an entity that takes entries."""
        known = self._first_open.get(entity)
        if known is None:
            known = self._first_open[entity] = periods.first_open_day(self._connection, entity)
        return known

    def _counted_from(self, entity: str, customer_id: int) -> date:
        """The last day that something of a customer was moved to, and that is later than the first open one."""
        known = self._moved_to.get(customer_id)
        if known is None:
            if self._reopened is None:
                self._reopened = periods.ever_reopened(self._connection)
            asked = self._reopened or customer_id in self._parties.over_entities
            known = self._moved_to[customer_id] = periods.moved_to(self._connection, customer_id) if asked else {}
        return known.get(entity, FIRST_DAY) if known else FIRST_DAY
