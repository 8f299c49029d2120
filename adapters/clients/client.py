"""What every client of an accounting system does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Body = dict[str, Any]
Outcome = Literal["made", "found", "left", "refused"]


@dataclass(frozen=True, slots=True)
class Sending:
    """Something to be made there. `again` says that it may have been made before, without an answer."""

    place: int
    kind: str
    number: str
    body: Body
    again: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of it: its id there, or what was said."""

    place: int
    outcome: Outcome
    their_id: str = ""
    said: str = ""


class Client(Protocol):
    """An accounting system's API. All may raise Uncertain, Busy, or Refused where nothing more can be sent."""

    size: int  # how many things one request makes at most

    def send(self, request: str, things: Sequence[Sending]) -> Iterator[Answer]:
        """Make things there, each once however often the request is repeated. What gets no answer stays unanswered."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """How what an export holds refers to the rest: by fields that hold ids, which stand-ins take until these are known."""

    # what a stand-in calls a kind, where it can be referred to
    stands: Mapping[str, str]
    # whose ids a field holds
    references: frozenset[str]
    # a thing without the references that lead nowhere; None where nothing is left of it
    without: Callable[[str, Body, frozenset[str]], Body | None]


def references(body: Any, fields: frozenset[str], stands: frozenset[str]) -> Iterator[str]:
    """The stand-ins that a body refers to."""
    if isinstance(body, dict):
        for name, value in body.items():
            if name in fields and isinstance(value, str) and value.partition(":")[0] in stands:
                yield value
            else:
                yield from references(value, fields, stands)
    elif isinstance(body, list):
        for value in body:
            yield from references(value, fields, stands)


def resolved(body: Any, fields: frozenset[str], ids: Mapping[str, str]) -> Any:
    """A body with the ids that its stand-ins stood for."""
    if isinstance(body, dict):
        return {
            name: ids.get(value, value) if name in fields and isinstance(value, str) else resolved(value, fields, ids)
            for name, value in body.items()
        }
    if isinstance(body, list):
        return [resolved(value, fields, ids) for value in body]
    return body
