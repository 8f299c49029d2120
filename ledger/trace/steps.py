"""Steps of a trace, and what rooms above the ledger tell of the things they make."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from ledger.journal.entries import EntryFacts, entry_json

STEPS_MAX = 200


@dataclass(frozen=True, slots=True)
class Step:
    """A thing on the way: `ref` can be traced in turn; `depth` says how many steps away it is."""

    kind: str
    ref: str
    text: str
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """A thing, its own entries, what it comes from and what it led to."""

    kind: str
    ref: str
    title: str
    entries: tuple[EntryFacts, ...] = ()
    sources: tuple[Step, ...] = ()
    results: tuple[Step, ...] = ()
    body: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The trace as JSON: amounts as decimal strings."""
        return {
            "kind": self.kind,
            "ref": self.ref,
            "title": self.title,
            "document": self.body,
            "entries": [entry_json(entry) for entry in self.entries],
            "comes_from": [_step_json(step) for step in self.sources],
            "led_to": [_step_json(step) for step in self.results],
        }


def _step_json(step: Step) -> dict[str, Any]:
    return {"kind": step.kind, "ref": step.ref, "text": step.text, "depth": step.depth}


@dataclass(frozen=True, slots=True)
class Room:
    """What a room above the ledger tells of the things it makes.

    `names` are the types of the documents that fields name; `things` are traced though they are no documents, by kind, among
    those of some entities where these are given; `makers` are the documents that made a customer's subject, by its kind;
    `made` the subjects that a document made; and `changed` the documents that changed these since.
    """

    names: Mapping[str, str]
    things: Mapping[str, Callable[[Tracing, str, Collection[str] | None], Trace]]
    makers: Mapping[str, Callable[[Connection, int | None, str, int], list[Step]]]
    made: Callable[[Connection, Any], list[str]]
    changed: Callable[[Connection, Any, Sequence[str]], list[Step]]


@dataclass(frozen=True, slots=True)
class Tracing:
    """Where things are traced: the books, and the rooms above the ledger that tell of theirs."""

    connection: Connection
    rooms: Sequence[Room] = ()
