"""One line of JSON as a checked document, or as everything that is wrong with it, in words."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from ledger.documents.models import NUMBER_DIGITS_MAX, Document
from ledger.errors import InvalidDocument, Problem, ProblemList, shortened

LINE_BYTES_MAX = 1_000_000

_Checked = TypeVar("_Checked", bound=BaseModel)


def _no_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InvalidDocument(key, "given twice", "expected each field once")
            seen.add(key)
    return fields


class _Bare(str):
    """A number that stands in a document without quotation marks."""

    __slots__ = ()


def _no_number(text: str) -> NoReturn:
    raise _BareNumberError(text[:NUMBER_DIGITS_MAX])


class _BareNumberError(Exception):
    """A number was read that is not a string."""


def _place(value: Any, path: str = "") -> str | None:
    """Where in a document the first bare number stands: its path of fields."""
    if isinstance(value, _Bare):
        return path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next(
        (found for name, part in inner if (found := _place(part, f"{path}.{name}".lstrip("."))) is not None), None
    )


def _first_bare(text: str) -> str:
    """The field of the first bare number of a document.

    None where the rest of it is no JSON that can be read.
    """
    try:
        return _place(_FINDING.decode(text)) or ""
    except (ValueError, RecursionError):
        return ""


_FINDING = json.JSONDecoder(parse_float=_Bare, parse_constant=_Bare)
_DECODER = json.JSONDecoder(object_pairs_hook=_no_repeated_keys, parse_float=_no_number, parse_constant=_no_number)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def read_line(line: str | bytes) -> dict[str, Any]:
    """One line of JSON as a dictionary. Raises InvalidDocument for anything but one JSON object."""
    raw = line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass")
    if len(raw) > LINE_BYTES_MAX:
        raise InvalidDocument("", f"{len(raw):,} bytes", f"expected a document of at most {LINE_BYTES_MAX:,} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidDocument(
            "", repr(raw[error.start]), f"expected UTF-8, found byte {error.start + 1} invalid"
        ) from None
    if "\x00" in text or "\\u0000" in text:
        raise InvalidDocument("", "NUL", "expected text without NUL characters")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidDocument("", text[:60], f"expected JSON: {error.msg} at character {error.pos + 1}") from None
    except _BareNumberError as error:
        raise InvalidDocument(
            _first_bare(text), str(error), f'expected numbers as strings, such as "{error}"'
        ) from None
    except RecursionError:
        raise InvalidDocument("", "nested too deeply", "expected JSON nested a few levels deep") from None
    except ValueError as error:  # integers of thousands of digits
        raise InvalidDocument("", text[:60], f"expected JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidDocument("", text[:60], "expected a JSON object")
    return value


def named_in(raw: bytes) -> tuple[str, str]:
    """The type and id of a document that can't be read as one; empty where it doesn't say them."""
    try:
        said = _FINDING.decode(raw.decode()) if len(raw) <= LINE_BYTES_MAX else None
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(said, dict):
        return "", ""
    kind, ref = (shortened(said[key]) if isinstance(said.get(key), str) else "" for key in ("type", "id"))
    return kind, ref


# Of one document so many things are told that are wrong, and how many more there are: a megabyte has room for a hundred thousand.
PROBLEMS_MAX = 100


def check(model: type[_Checked], fields: dict[str, Any]) -> _Checked:
    """A dictionary as the given model has it. Raises a ProblemList naming the fields that are wrong, the first hundred."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        found = [_explain(model, detail) for detail in error.errors(include_url=False)[:PROBLEMS_MAX]]
        if (more := error.error_count() - len(found)) > 0:
            found.append(
                Problem("", "", f"{more:,} more things are wrong: expected a document of the form of its type")
            )
        raise ProblemList(found) from None


_KEY = "[key]"  # what pydantic puts behind the place of a key that is wrong


def _explain(model: type[BaseModel], detail: Any) -> Problem:
    """A pydantic error in our words: the field's path, the value found, what was expected."""
    field = ".".join(shortened(str(part)) for part in detail["loc"] if part != _KEY)
    if detail["type"] == "missing":
        return Problem(field, "missing", "expected a value")
    value = detail["input"]
    shown = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    if detail["type"] == "extra_forbidden":
        return Problem(field, shortened(shown), f"unknown field; expected only {_field_names(model, detail['loc'])}")
    if detail["type"] == "value_error":
        message = str(detail["ctx"]["error"])
        if isinstance(detail["ctx"]["error"], InvalidDocument):
            message = detail["ctx"]["error"].expected
        if isinstance(value, dict | BaseModel) and ": " in message:  # a rule across fields names its field itself
            named, _, expected = message.partition(": ")
            name, _, found = named.partition(" = ")
            return Problem(f"{field}.{name}".lstrip("."), found or _found(value, name), expected)
        return Problem(field, shortened(shown), message)
    return Problem(field, shortened(shown), _in_words(detail))


_IN_WORDS = {
    "string_type": "expected text",
    "model_type": "expected an object of fields",
    "dict_type": "expected an object of fields",
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
}


def _in_words(detail: Any) -> str:
    """What pydantic expected of a value, in our words."""
    if detail["type"] in ("too_short", "string_too_short") and detail["ctx"]["min_length"] == 1:
        return f"expected {'some text' if isinstance(detail['input'], str) else 'at least one'}"
    if detail["type"] in _IN_WORDS:
        return _IN_WORDS[detail["type"]]
    message = str(detail["msg"].replace("Input should be", "expected").replace("String should have", "expected"))
    return message[0].lower() + message[1:]


def _found(value: Any, names: str) -> str:
    """What was given in the fields that a rule names: 'start, end' may be '2026-01-01, missing'."""
    given = value if isinstance(value, dict) else value.model_dump(mode="json")
    found = [given.get(name) for name in names.split(", ")]
    if not any(found):
        return "missing"
    shown = [
        "missing"
        if part is None
        else part
        if isinstance(part, str)
        else json.dumps(part, default=str, ensure_ascii=False)
        for part in found
    ]
    return shortened(", ".join(shown))


def _field_names(model: type[BaseModel], location: tuple[str | int, ...]) -> str:
    """The fields allowed where an unknown one stood.

    The document's, or those of one of its lines.
    """
    here: Any = model
    for part in location[:-1]:
        if isinstance(part, str):
            inner = _inner_model(here.model_fields[part].annotation)
            if inner is None:
                break
            here = inner
    return ", ".join(sorted(here.model_fields, key=_OF_ANY.__contains__))  # those of its own first


# The fields that any document may have.
_OF_ANY = frozenset(name for name, field in Document.model_fields.items() if not field.is_required())


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _inner_model(argument)
        if found is not None:
            return found
    return None


def canonical(fields: dict[str, Any]) -> str:
    """JSON that is equal for equal content, whatever the order and spacing it came in."""
    return _ENCODER.encode(fields)


def content_hash(fields: dict[str, Any]) -> bytes:
    """SHA-256 over a document's canonical JSON."""
    return hashlib.sha256(canonical(fields).encode()).digest()
