"""How pages and printed documents say days and amounts."""

from __future__ import annotations

from datetime import date, datetime

from ledger.money import grouped


def day(value: date | datetime | str | None) -> str:
    """A date as people read it: 31 Jan 2026."""
    if value is None:
        return ""
    if isinstance(value, str):
        value = date.fromisoformat(value)
    return f"{value.day} {value:%b %Y}"


def money(minor: int | None, currency: str) -> str:
    """An amount as people read it; nothing at all as a dash."""
    return grouped(minor, currency) if minor else "\N{EN DASH}"
