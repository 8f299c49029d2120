"""How pages and printed documents say days and amounts, and what files are called."""

from __future__ import annotations

import unicodedata
from datetime import date, datetime
from urllib.parse import quote

from werkzeug.http import dump_options_header

from ledger.amounts.money import grouped


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


def disposition(how: str, name: str) -> dict[str, str]:
    """The header that names a file which is sent, `inline` or as an `attachment`: of any letters (RFC 6266)."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    names = {"filename": plain} | ({} if plain == name else {"filename*": f"UTF-8''{quote(name, safe='')}"})
    return {"Content-Disposition": dump_options_header(how, names)}


def file_name(said: str) -> str:
    """What a file of something is called, without its ending: letters, digits, - _ and ., none of which leads elsewhere."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in said)
    return "-".join(part for part in kept.split("-") if part).lower()
