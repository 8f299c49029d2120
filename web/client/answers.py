"""What the API answers with, as a client is given it."""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class Posted(TypedDict):
    """What became of posted documents."""

    posted: int
    repeated: int
    late: int
    entries: int
    postings: int


class Problem(TypedDict, total=False):
    """What was wrong with a document or a parameter."""

    line: int
    document: str
    field: str
    value: str
    expected: str


class Line(TypedDict):
    """A debit or credit; amounts are decimal strings."""

    side: Literal["debit", "credit"]
    entity: str
    account: str
    subject: str
    product: str
    rule: str
    currency: str
    amount: str
    functional_currency: str
    functional_amount: str


class Entry(TypedDict):
    """A journal entry."""

    entry: int
    customer: str
    document: str
    effective_on: str
    occurred_on: str
    posted_at: str
    posted_by: str
    hash: str
    reverses: int | None
    reversed_by: int | None
    lines: list[Line]


class Step(TypedDict):
    """A thing on the way to or from what is traced."""

    kind: str
    ref: str
    text: str
    depth: int


class Trace(TypedDict):
    """A thing, its entries, what it comes from and what it led to."""

    kind: str
    ref: str
    title: str
    document: dict[str, Any]
    entries: list[Entry]
    comes_from: list[Step]
    led_to: list[Step]


class Report(TypedDict):
    """A report's rows."""

    name: str
    title: str
    notes: list[str]
    rows: list[dict[str, Any]]


class Period(TypedDict):
    """How far an entity's books are closed."""

    entity: str
    closed_through: str | None
    first_open_day: str
    history: list[dict[str, Any]]


class Item(TypedDict):
    """What a month waits for."""

    name: str
    done: bool
    detail: str
    warning: bool
    report: str
    todo: str


class Job(TypedDict):
    """An export in the background."""

    job: int
    target: str
    entity: str
    state: Literal["waiting", "running", "done", "failed"]
    done: int
    said: str
    file: str | None
    at: str
    by: str
