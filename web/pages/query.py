"""What the address of a page asks for beside its frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from werkzeug.datastructures import MultiDict

from ledger.amounts.dates import read_moment
from ledger.errors import Refused
from ledger.reports.report import GROUPS, PERIODS, Filters
from web.render.frame import frame


def parsed(query: Mapping[str, str], name: str, kind: Callable[[str], Any], expected: str) -> Any:
    """A value of an address as it is read; None where it is not there. Raises Refused for one that can't be."""
    raw = query.get(name)
    try:
        return kind(raw) if raw else None
    except ValueError:
        raise Refused(name, raw or "", f"expected {expected}") from None


def moment(query: Mapping[str, str], name: str) -> datetime | None:
    """A moment of a page's address, in the server's time zone where it names none."""
    moment: datetime | None = parsed(query, name, read_moment, "a moment such as 2026-01-31T18:00")
    return moment


def one_of(query: Mapping[str, str], name: str, known: Sequence[str]) -> str | None:
    """A value of an address that is one of a few; None where it is not there. Raises Refused for another."""
    value = query.get(name) or None
    if value is not None and value not in known:
        raise Refused(name, value, f"expected {', '.join(known)}")
    return value


def asked_beside(query: MultiDict[str, str]) -> dict[str, Any]:
    """What the page of a report asks beside its frame. Raises Refused for a value that is none."""
    amounts = one_of(query, "amounts", ("transaction", "entity"))
    return {
        "since": parsed(query, "from", date.fromisoformat, "a date such as 2026-01-31"),
        "currency": query.get("currency") or None,
        "contract": query.get("contract") or None,
        "period": one_of(query, "by", tuple(PERIODS)) or "month",
        "group": tuple(name for name in GROUPS if name in query.getlist("group")),
        "transaction": None if amounts is None else amounts == "transaction",
    }


def report_filters(query: MultiDict[str, str]) -> Filters:
    """The filters of a report's page: those of its frame, and its own, of which the later first day holds."""
    within, asked = frame().filters(), asked_beside(query)
    since = max((day for day in (within.since, asked["since"]) if day is not None), default=None)
    return replace(within, **asked | {"since": since})
