"""Databases that many histories share, each at a place of its own: entities, customers and products by a prefix."""

from __future__ import annotations

import io
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from ledger.amounts.dates import months_between
from ledger.database import embedded
from ledger.database.connect import connect_engine
from ledger.journal import periods
from revrec.earn.recognition import recognize
from revrec.kinds import TYPES
from tests.histories import END, FIRST, Document, at
from web.work.post_file import How, post_file

# Rates of 1, so that another currency changes no figure.
_RATE = {
    "type": "fx_rate",
    "id": "2020-01-01/EUR/USD",
    "date": "2020-01-01",
    "base": "EUR",
    "quote": "USD",
    "rate": "1",
}
# Pounds at a rate of their own each month.
_MOVING = [
    {
        "type": "fx_rate",
        "id": f"{year}-{month:02}-01/GBP/USD",
        "date": f"{year}-{month:02}-01",
        "base": "GBP",
        "quote": "USD",
        "rate": f"1.{(month * 37 + year) % 60 + 1:02}",
    }
    for year in (2025, 2026, 2027)
    for month in range(1, 13)
]
# Recognition looks at all that stands in a database: after so many histories another one is begun.
_PLACES = 40
# What stands in one of these is one net position of a contract, whichever of its obligations holds it.
POSITIONS = ("deferred_revenue", "unbilled_receivable", "refund_liability", "customer_credits")

# By (role, customer, what it is about): how much it moved in each month, credits less debits.
Moves = dict[tuple[str, str, str], Counter[str]]


def post(engine: Engine, documents: list[Document]) -> dict[str, str]:
    """Post documents as one file that keeps going; what was refused of them, and why."""
    stream = io.BytesIO("".join(json.dumps(doc) + "\n" for doc in documents).encode())
    refused: dict[str, str] = {}

    def report(problem: Any, _raw: bytes) -> None:
        refused[str(problem.document)] = str(problem)

    post_file(engine, stream, TYPES, "tester", report, How(keep_going=True))
    return refused


@dataclass
class Place:
    """Where one history stands in a shared database."""

    engine: Engine
    prefix: str

    def post(self, documents: list[Document]) -> dict[str, str]:
        found = post(self.engine, at(documents, self.prefix))
        return {name.replace(self.prefix, ""): why.replace(self.prefix, "") for name, why in found.items()}

    def recognize(self, month: date = END) -> None:
        with self.engine.begin() as connection:
            recognize(connection, month, "tester")

    def close(self, month: date) -> None:
        """Close a month and all before it."""
        with self.engine.begin() as connection:
            for entity in periods.entities(connection):
                if entity.startswith(self.prefix):
                    closed = periods.closed_through(connection, entity)
                    for earlier in months_between(FIRST, month):
                        if closed is None or earlier > closed:
                            periods.close(connection, entity, earlier, "tester")

    def reopen(self, month: date) -> None:
        """Open a month again, and all after it."""
        with self.engine.begin() as connection:
            for entity in periods.entities(connection):
                if entity.startswith(self.prefix):
                    closed = periods.closed_through(connection, entity)
                    while closed is not None and closed >= month:
                        periods.reopen(connection, entity, closed.replace(day=1), "tester", "late")
                        closed = periods.closed_through(connection, entity)

    def open(self, month: date) -> bool:
        with self.engine.connect() as connection:
            closed = [
                periods.closed_through(connection, entity)
                for entity in periods.entities(connection)
                if entity.startswith(self.prefix)
            ]
        return all(until is None or until < month for until in closed)

    def moves(self, *, by: str = "subject") -> Moves:
        """What moved by month: by subject (positions by customer alone), or by `product`, or by `role` alone."""
        about = {
            "subject": f"case when l.role in {POSITIONS} then '' else coalesce(l.subject, '') end",
            "product": "case when l.role = 'revenue' then coalesce(l.product, '') else '' end",
            "role": "''",
        }[by]
        with self.engine.connect() as connection:
            rows = connection.execute(
                text(
                    f"select l.role, c.ref as customer, {about} as about, to_char(l.effective_on, 'YYYY-MM') as month,"
                    " sum(case l.side when 'credit' then l.functional_amount else -l.functional_amount end)\\:\\:bigint as net"
                    " from journal_line l join customer c using (customer_id)"
                    " where l.entity like :prefix || '%' group by 1, 2, 3, 4"
                ),
                {"prefix": self.prefix},
            ).all()
        found: Moves = {}
        for row in rows:
            key = (row.role, row.customer.replace(self.prefix, ""), row.about.replace(self.prefix, ""))
            found.setdefault(key, Counter())[row.month] = row.net
        return found


@dataclass
class Shelf:
    """Places for histories, in few databases."""

    server: str
    name: str
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _engine: Engine | None = None
    _left: int = 0

    def place(self) -> Place:
        if self._left == 0:
            self._begin()
        self._left -= 1
        assert self._engine is not None
        return Place(self._engine, f"h{next(self._numbers)}-")

    def places(self, count: int) -> list[Place]:
        """Places in one database."""
        if self._left < count:
            self._left = 0
        return [self.place() for _ in range(count)]

    def _begin(self) -> None:
        self.end()
        with self._administrator() as connection:
            connection.exec_driver_sql(f"create database {self.name} template {embedded.DATABASE} strategy file_copy")
        self._engine = connect_engine(
            make_url(self.server).set(database=self.name).render_as_string(hide_password=False)
        )
        self._left = _PLACES
        post(self._engine, [_RATE, *_MOVING])

    def end(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
        with self._administrator() as connection:
            connection.exec_driver_sql(f"drop database if exists {self.name} with (force)")

    @property
    def engine(self) -> Engine:
        assert self._engine is not None
        return self._engine

    @contextmanager
    def _administrator(self) -> Iterator[Any]:
        engine = create_engine(
            make_url(self.server).set(database="postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            yield connection
