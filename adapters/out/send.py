"""Kept exports, sent to the systems they are for: what an export holds is made there, each object once.

That something is about to be sent is written down before, and what became of it after, so that a run that is cut off goes on where it
stopped: what got no answer is sent again as the same request, or looked for first. What refers to something else waits for its id;
customers and items that an earlier export made there are not made again. Nothing is ever changed or deleted there.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import simplejson
from sqlalchemy import Connection, Engine, text

from adapters.clients import logins, quickbooks, zoho
from adapters.clients.client import Answer, Client, Format, Sending, references, resolved
from adapters.clients.http import Busy, Http, Uncertain
from adapters.out import kept_exports
from adapters.out.sent import LAST_ANSWER, read_answer
from adapters.selected.mapping import stand_in
from ledger.database import locks
from ledger.errors import Refused

_PAGE = 500


class _System(NamedTuple):
    """How a system is sent to."""

    client: Callable[[Http], Client]
    limits: Sequence[str]
    format: Format


SYSTEMS: Mapping[str, _System] = {
    "quickbooks": _System(quickbooks.QuickBooks, quickbooks.LIMITS, quickbooks.FORMAT),
    "zoho": _System(zoho.Zoho, zoho.LIMITS, zoho.FORMAT),
}


@dataclass(slots=True)
class Delivered:
    """What became of what an export holds."""

    made: int = 0
    found: int = 0
    left: int = 0
    refused: int = 0
    unanswered: int = 0
    before: int = 0

    def add(self, outcome: str) -> None:
        """Count one."""
        setattr(self, outcome, getattr(self, outcome) + 1)

    def __str__(self) -> str:
        said = [
            f"{self.made:,} made",
            *(f"{count:,} {what}" for count, what in (
                (self.found, "there already"), (self.before, "sent before"), (self.left, "left out"), (self.refused, "refused"),
                (self.unanswered, "without an answer"),
            ) if count),
        ]  # fmt: skip
        return ", ".join(said)


def deliver(engine: Engine, target: str, export_id: int, by: str) -> Delivered:
    """Send what a kept export holds and was not sent yet. Raises Refused where nobody is logged in, or somebody else is sending.

    What the system refuses is recorded, and sent anew by the next run; the rest goes on.
    """
    with engine.connect() as connection:
        export = kept_exports.find(connection, target, export_id, "send")
        items = connection.scalar(
            text("select count(*) from export_item where export_id = :export"), {"export": export_id}
        )
    if not items:
        raise Refused("send", export_id, "expected an export that was kept with what it holds")
    login = logins.find(engine, target, export.entity)
    system = SYSTEMS[target]
    http = Http(engine, login, by, system.limits)
    with _alone(engine, target):
        run = _Run(engine, system.format, export, login.company, by, system.client(http))
        try:
            return run.all()
        except (Uncertain, Busy) as error:
            raise Refused(
                "send", export_id,
                f"expected {target} to answer: {error}; {run.delivered}. What got no answer is asked for by the next --send {export_id}",
            ) from None  # fmt: skip
        finally:
            http.close()


@contextmanager
def _alone(engine: Engine, target: str) -> Iterator[None]:
    with engine.connect() as connection:
        if not locks.hold_sending(connection):
            raise Refused("send", target, "expected nobody else to be sending: another `tickmark export --send` runs")
        yield


class _Item(NamedTuple):
    place: int
    kind: str
    number: str
    body: str
    attempt: int  # how many there were, at any company
    last: int  # the number of the last at this one
    request: str  # of that, where it got no answer


class _Run:
    """One run of sending an export to a company."""

    def __init__(
        self, engine: Engine, form: Format, export: kept_exports.Kept, company: str, by: str, client: Client
    ) -> None:
        self.delivered = Delivered()
        self._engine = engine
        self._form = form
        self._export = export
        self._company = company
        self._by = by
        self._client = client
        self._ids: dict[str, str] = {}
        self._attempts: dict[int, int] = {}  # the number of the attempt under way, by place

    def all(self) -> Delivered:
        """Send all that was not made yet: first again what got no answer, then in the order in which it can be made."""
        unanswered = list(self._items("t.request <> '' and a.outcome is null", after=0, most=None))
        for request, items in groupby(unanswered, lambda item: item.request):
            self._send(request, [self._ready(item) for item in items])
        self.delivered.before = self._count_done() - self.delivered.made - self.delivered.found - self.delivered.left
        after = 0
        while page := list(self._items("a.outcome is null or a.outcome = 'refused'", after, _PAGE)):
            after = page[-1].place
            self._page([item for item in page if not item.request])
        return self.delivered

    def _page(self, page: Sequence[_Item]) -> None:
        """Send items in requests as large as may be: none holds what another of its items refers to."""
        waiting: list[tuple[_Item, Sending]] = []
        for item in page:
            if len(waiting) == self._client.size or self._refers(item) & {self._stand(other) for other, _ in waiting}:
                self._send_new(waiting)
                waiting = []
            thing = self._prepared(item)
            if thing is not None:
                waiting.append((item, thing))
        self._send_new(waiting)

    def _stand(self, item: _Item) -> str:
        kind = self._form.stands.get(item.kind)
        return stand_in(kind, item.number) if kind else ""

    def _refers(self, item: _Item) -> set[str]:
        return set(references(read_answer(item.body), self._form.references, frozenset(self._form.stands.values())))

    def _prepared(self, item: _Item) -> Sending | None:
        """An item with the ids it refers to; None where that is settled without sending it."""
        there = self._find({self._stand(item)} - {""})
        if there:
            self._settle(item, Answer(item.place, "found", there[self._stand(item)], "made by an earlier export"))
            return None
        wanted = self._refers(item)
        found = self._find(wanted)
        missing = wanted - found.keys()
        body: Any = read_answer(item.body)
        if missing:
            expected = self._expected(missing)
            if expected:
                self._settle(item, Answer(item.place, "refused", said=f"expected {expected} there first"))
                return None
            body = self._form.without(item.kind, body, frozenset(missing))
            if body is None:
                shown = ", ".join(sorted(missing))
                self._settle(item, Answer(item.place, "left", said=f"{shown} went out in a journal entry"))
                return None
        return Sending(item.place, item.kind, item.number, resolved(body, self._form.references, found))

    def _ready(self, item: _Item) -> Sending:
        """An item as it was sent before, without an answer: what it refers to was settled then."""
        body: Any = read_answer(item.body)
        wanted = self._refers(item)
        found = self._find(wanted)
        if wanted - found.keys():
            body = self._form.without(item.kind, body, frozenset(wanted - found.keys()))
        self._attempts[item.place] = item.last
        return Sending(item.place, item.kind, item.number, resolved(body, self._form.references, found), again=True)

    def _send_new(self, waiting: Sequence[tuple[_Item, Sending]]) -> None:
        if not waiting:
            return
        request = self._request([(item.attempt + 1, thing) for item, thing in waiting])
        with self._engine.begin() as connection:
            self._attempt(connection, [item for item, _ in waiting], request)
        self._send(request, [thing for _, thing in waiting])

    def _request(self, things: Sequence[tuple[int, Sending]]) -> str:
        """An id that says what is sent where: the same things are the same request, even from books that were restored."""
        said = simplejson.dumps(
            [self._company, *([attempt, thing.kind, thing.number, thing.body] for attempt, thing in things)],
            use_decimal=True,
            sort_keys=True,
        )
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"tickmark:{self._export.target}:{said}"))

    def _send(self, request: str, things: Sequence[Sending]) -> None:
        """Send things and record what becomes of each."""
        unanswered = {thing.place: thing for thing in things}
        try:
            for answer in self._client.send(request, things):
                self._record(answer)
                thing = unanswered.pop(answer.place)
                if answer.their_id and thing.kind in self._form.stands:
                    self._ids[stand_in(self._form.stands[thing.kind], thing.number)] = answer.their_id
        finally:
            self.delivered.unanswered += len(unanswered)

    def _settle(self, item: _Item, answer: Answer) -> None:
        with self._engine.begin() as connection:
            self._attempt(connection, [item], "")
        self._record(answer)

    def _attempt(self, connection: Connection, items: Sequence[_Item], request: str) -> None:
        self._attempts.update((item.place, item.attempt + 1) for item in items)
        connection.execute(
            text(
                "insert into export_attempt (export_id, place, attempt, company, request, by)"
                " values (:export, :place, :attempt, :company, :request, :by)"
            ),
            [
                {
                    "export": self._export.export_id, "place": item.place, "attempt": item.attempt + 1, "company": self._company,
                    "request": request, "by": self._by,
                }
                for item in items
            ],
        )  # fmt: skip

    def _record(self, answer: Answer) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                text(
                    "insert into export_answer (export_id, place, attempt, outcome, their_id, said)"
                    " values (:export, :place, :attempt, :outcome, :their_id, :said)"
                ),
                {
                    "export": self._export.export_id, "place": answer.place, "attempt": self._attempts[answer.place],
                    "outcome": answer.outcome, "their_id": answer.their_id, "said": answer.said,
                },
            )  # fmt: skip
        self.delivered.add(answer.outcome)

    def _items(self, condition: str, after: int, most: int | None) -> Iterator[_Item]:
        """What is to be sent, in its order, of a condition on its last attempt `t` at this company, and `a`, the answer to that."""
        with self._engine.connect() as connection:
            rows = connection.execute(
                text(
                    "select i.place, i.kind, i.number, i.body,"
                    " coalesce((select max(attempt) from export_attempt m where m.export_id = i.export_id and m.place = i.place), 0) as attempt,"
                    " coalesce(t.attempt, 0) as last, case when a.outcome is null then coalesce(t.request, '') else '' end as request "
                    f"from export_item i {LAST_ANSWER} where i.export_id = :export and i.place > :after and ({condition}) "
                    "order by i.place limit :most"
                ),
                {"export": self._export.export_id, "after": after, "most": most, "company": self._company},
            )
            yield from (_Item(*row) for row in rows.all())

    def _count_done(self) -> int:
        with self._engine.connect() as connection:
            done = connection.scalar(
                text(
                    f"select count(*) from export_item i {LAST_ANSWER} where i.export_id = :export and a.outcome in ('made', 'found', 'left')"
                ),
                {"export": self._export.export_id, "company": self._company},
            )
        return int(done or 0)

    def _find(self, stands: set[str]) -> dict[str, str]:
        """The ids of what stand-ins stand for, of those that are known there."""
        unknown = {stand for stand in stands if stand not in self._ids}
        if unknown:
            kinds = {stand: kind for kind, stand in self._form.stands.items()}
            named = [(kinds[kind], number, stand) for stand in unknown for kind, _, number in [stand.partition(":")]]
            with self._engine.connect() as connection:
                rows = connection.execute(
                    text(
                        "select w.stand, a.their_id from unnest(cast(:kinds as text[]), cast(:numbers as text[]), cast(:stands as text[]))"
                        " w (kind, number, stand) join export_item i using (kind, number) "
                        "join export_run r on r.export_id = i.export_id and r.target = :target and r.entity = :entity "
                        "join export_attempt t on t.export_id = i.export_id and t.place = i.place and t.company = :company "
                        "join export_answer a on a.export_id = t.export_id and a.place = t.place and a.attempt = t.attempt"
                        " and a.outcome in ('made', 'found')"
                    ),
                    self._place() | {"kinds": [name[0] for name in named], "numbers": [name[1] for name in named], "stands": [name[2] for name in named]},
                )  # fmt: skip
                self._ids.update((row.stand, row.their_id) for row in rows)
        return {stand: self._ids[stand] for stand in stands if stand in self._ids}

    def _expected(self, missing: set[str]) -> str:
        """Which of what is missing there an export holds, in words; nothing where none does."""
        kinds = {stand: kind for kind, stand in self._form.stands.items()}
        for stand in sorted(missing):
            kind, _, number = stand.partition(":")
            with self._engine.connect() as connection:
                holder = connection.scalar(
                    text(
                        "select min(i.export_id) from export_item i join export_run r using (export_id)"
                        " where r.target = :target and r.entity = :entity and i.kind = :kind and i.number = :number"
                    ),
                    self._place() | {"kind": kinds[kind], "number": number},
                )
            if holder is not None:
                return f"{stand} of export {holder}"
        return ""

    def _place(self) -> dict[str, object]:
        return {"target": self._export.target, "entity": self._export.entity, "company": self._company}
