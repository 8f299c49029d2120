"""How pages and printed documents say days and amounts, and what files are called."""

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


def file_name(said: str) -> str:
    """What a file of something is called, without its ending: letters, digits, - _ and ., none of which leads elsewhere."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in said)
    return "-".join(part for part in kept.split("-") if part).lower()
