"""Documents in the body of a request, as lines, one at a time: many small ones take a few times the memory of the body, and not some hundred."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from flask import request
from werkzeug.exceptions import UnsupportedMediaType

from ledger.errors import InvalidDocument, Problem

NDJSON = "application/x-ndjson"
DOCUMENTS_MAX = 500_000
PROBLEMS_MAX = 100

_SPACE = " \t\n\r"
_SPACES = re.compile("[ \t\n\r]*")


class FirstProblems:
    """The first things that are wrong, and how many more there are."""

    def __init__(self) -> None:
        self.kept: list[Problem] = []
        self.lines: list[bytes] = []
        self.more = 0

    def __call__(self, problem: Problem, raw: bytes) -> None:
        """Keep it with its line, or count it."""
        if len(self.kept) < PROBLEMS_MAX:
            self.kept.append(problem)
            self.lines.append(raw)
        else:
            self.more += 1


def lines() -> Iterator[bytes]:
    """The documents of the request's body, a line each.

    Raises InvalidDocument for none or too many, UnsupportedMediaType for what is no JSON.
    """
    if request.mimetype not in (NDJSON, "application/json"):
        raise UnsupportedMediaType(f"expected application/json or {NDJSON}")
    raw = request.get_data()
    if request.mimetype == NDJSON:
        found = _of_lines(raw)
    elif raw.strip():
        found = _of_json(raw)
    else:
        raise InvalidDocument("", "an empty body", "expected a document, or an array of them")
    what = "lines" if request.mimetype == NDJSON else "documents"
    for number, line in enumerate(found, 1):
        if number > DOCUMENTS_MAX:
            raise InvalidDocument(
                "", f"more than {DOCUMENTS_MAX:,} {what}",
                f"expected at most {DOCUMENTS_MAX:,} in a request: nothing was posted (`tickmark post` takes files of any length)",
            )  # fmt: skip
        yield line


def _of_lines(raw: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(raw):
        end = raw.find(b"\n", start) + 1 or len(raw)
        yield raw[start:end].rstrip(b"\r\n") + b"\n"
        start = end


def _of_json(raw: bytes) -> Iterator[bytes]:
    as_line = raw.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"
    try:
        written = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        yield as_line  # refused as a line, with its place
        return
    if not written.lstrip(_SPACE).startswith("["):
        yield as_line
        return
    try:
        for number, _ in enumerate(elements(written), 1):  # whole before any of it counts
            if number > DOCUMENTS_MAX:
                break  # which is refused, whatever comes after it
    except (ValueError, RecursionError):
        yield as_line
        return
    for element in elements(written):
        yield json.dumps(element, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def elements(written: str) -> Iterator[object]:
    """The elements of an array, each read when it is asked for. Raises ValueError, or RecursionError, where it is none."""
    decode = json.JSONDecoder().raw_decode
    place = _after_space(written, written.index("[") + 1)
    if written[place : place + 1] == "]":
        _require_end(written, place + 1)
        return
    while True:
        element, place = decode(written, place)
        yield element
        place = _after_space(written, place)
        if written[place : place + 1] == "]":
            _require_end(written, place + 1)
            return
        if written[place : place + 1] != ",":
            raise ValueError("expected a comma")
        place = _after_space(written, place + 1)


def _after_space(written: str, place: int) -> int:
    found = _SPACES.match(written, place)
    assert found is not None, "nothing is matched, too"
    return found.end()


def _require_end(written: str, place: int) -> None:
    if _after_space(written, place) < len(written):
        raise ValueError("expected nothing after the array")
