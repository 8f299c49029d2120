"""Documents in the body of a request, as lines, one at a time: many small ones take a few times the memory of the body, and not some hundred.

What is longer than a document can be is refused before it is made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

from flask import request
from werkzeug.exceptions import UnsupportedMediaType

from ledger.documents.parse import LINE_BYTES_MAX
from ledger.errors import InvalidDocument, Problem

NDJSON = "application/x-ndjson"
DOCUMENTS_MAX = 500_000
PROBLEMS_MAX = 100

# Of JSON, aside from texts and numbers: -Infinity, or an escape of two halves.
_LONGEST_TOKEN = 16
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
    try:
        written = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        yield _as_line(raw)  # refused as a line, with its place
        return
    if not written.startswith("[", _after_space(written, 0)):
        yield _as_line(raw)
        return
    try:
        for number, _ in enumerate(elements(written), 1):  # whole before any of it counts
            if number > DOCUMENTS_MAX:
                break  # which is refused, whatever comes after it
    except TooLong as error:
        raise InvalidDocument(
            "",
            f"document {error.number:,}",
            f"expected document {error.number:,} to be of at most {LINE_BYTES_MAX:,} bytes",
        ) from None
    except (ValueError, RecursionError):
        yield _as_line(raw)
        return
    for element in elements(written):
        yield json.dumps(element, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def _as_line(raw: bytes) -> bytes:
    return raw.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"


class TooLong(ValueError):
    """An element of an array is longer than it may be: which one, counted from 1."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"expected at most {LINE_BYTES_MAX:,} characters in element {number:,}")


def elements(written: str) -> Iterator[object]:
    """The elements of an array, each read when it is asked for. Raises ValueError, or RecursionError, where it is none.

    Raises TooLong for one of more than LINE_BYTES_MAX characters, which is not made.
    """
    decode = _Decoder(written)
    place = _after_space(written, written.index("[") + 1)
    if written[place : place + 1] == "]":
        _require_end(written, place + 1)
        return
    for number in count(1):
        try:
            element, place = decode(place)
        except _Cut:
            raise TooLong(number) from None
        yield element
        place = _after_space(written, place)
        if written[place : place + 1] == "]":
            _require_end(written, place + 1)
            return
        if written[place : place + 1] != ",":
            raise ValueError("expected a comma")
        place = _after_space(written, place + 1)


class _Cut(Exception):
    """What is decoded goes on after the part that it is decoded from."""


class _Decoder:
    """Decodes values of a text from a part of it that begins at or before them: so that none is longer than the part."""

    def __init__(self, written: str) -> None:
        self._written = written
        self._start, self._part = 0, ""
        self._decode = json.JSONDecoder().raw_decode

    def __call__(self, place: int) -> tuple[object, int]:
        """The value that begins at a place, and where it ends. Raises ValueError where there is none, _Cut for one that is too long."""
        if place < self._start + len(self._part):
            with suppress(ValueError, _Cut):  # it may go on
                return self._decoded(place)
        self._start, self._part = place, self._written[place : place + 2 * LINE_BYTES_MAX]
        return self._decoded(place)

    def _decoded(self, place: int) -> tuple[object, int]:
        goes_on = self._start + len(self._part) < len(self._written)
        try:
            element, end = self._decode(self._part, place - self._start)
        except json.JSONDecodeError as error:
            if goes_on and (error.msg.startswith("Unterminated") or error.pos > len(self._part) - _LONGEST_TOKEN):
                raise _Cut from None
            raise
        if end > place - self._start + LINE_BYTES_MAX or (goes_on and end == len(self._part)):
            raise _Cut
        return element, end + self._start


def _after_space(written: str, place: int) -> int:
    found = _SPACES.match(written, place)
    assert found is not None, "nothing is matched, too"
    return found.end()


def _require_end(written: str, place: int) -> None:
    if _after_space(written, place) < len(written):
        raise ValueError("expected nothing after the array")
