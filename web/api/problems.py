"""What is wrong with a request, as RFC 9457 problem details."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from http import HTTPStatus
from typing import Any

from apispec import BasePlugin
from flask import Flask, Response, current_app, jsonify, request
from flask_smorest import Api
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from ledger.errors import Problem, ProblemList, Refused, UnknownReference
from ledger.journal import entries
from revrec.kinds import TYPES
from web.api.schemas import ProblemDetailsSchema

PROBLEM = "application/problem+json"


class DocumentsRefused(Exception):
    """Some documents of a request were refused, so none was posted."""

    def __init__(self, problems: Sequence[Problem], more: int = 0) -> None:
        self.problems = problems
        self.more = more
        super().__init__(f"{len(problems) + more} problems")


def problem_response(status: int, title: str, **more: Any) -> Response:
    """An error as RFC 9457 problem details."""
    response = jsonify({"type": "about:blank", "title": title, "status": status, **more})
    response.status_code = status
    response.mimetype = PROBLEM
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _problem_row(problem: Problem) -> dict[str, Any]:
    return {
        "line": problem.line, "document": problem.document, "field": problem.field, "value": problem.value,
        "expected": problem.expected,
    }  # fmt: skip


def parameter_problems(messages: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a schema found wrong of the parameters of a request, by where they came from, as problems."""
    found: list[dict[str, Any]] = []
    for place, wrong in messages.items():
        asked: Any = request.get_json(silent=True) if place == "json" else request.args
        found += _wrong(wrong, asked, "")
    return found


def _wrong(wrong: Any, asked: Any, field: str) -> Iterator[dict[str, Any]]:
    if isinstance(wrong, Mapping):
        for name, inner in wrong.items():
            key = int(name) if isinstance(asked, list) and entries.is_number(str(name)) else name
            try:
                value = asked[key]
            except (KeyError, IndexError, TypeError):
                value = None
            within = "" if name == "_schema" else f"{field}.{name}".strip(".")
            yield from _wrong(inner, asked if name == "_schema" else value, within or field)
        return
    for said in wrong if isinstance(wrong, list) else [wrong]:
        shown = "missing" if asked is None else asked if isinstance(asked, str) else json.dumps(asked)
        yield {"field": field, "value": shown, "expected": _expected(str(said))}


def _expected(said: str) -> str:
    """What a schema says is wrong, as what was expected."""
    known = {
        "Not a valid date.": "expected a date such as 2026-01-31",
        "Not a valid datetime.": "expected a moment such as 2026-01-31T12:00:00Z",
        "Unknown field.": "expected no field of this name",
        "Missing data for required field.": "expected a value",
        "Field may not be null.": "expected a value",
        "Invalid input type.": "expected an object",
    }
    if said in known:
        return known[said]
    if said.startswith("expected "):
        return said
    for begins in ("Not a valid ", "Must be "):
        if said.startswith(begins):
            return f"expected {'a valid ' if begins == 'Not a valid ' else ''}{said.removeprefix(begins).rstrip('.')}"
    return f"expected otherwise: {said}"


def documents_refused(error: DocumentsRefused) -> Response:
    """422 with the first problems, and how many more there are."""
    return problem_response(
        422,
        "Refused; nothing was posted",
        problems=[_problem_row(problem) for problem in error.problems],
        **({"more": error.more} if error.more else {}),
    )


def refused(error: Refused) -> Response:
    """A refusal: 404 for what is not in the books, 422 for everything else."""
    if isinstance(error, ProblemList):
        return problem_response(422, "Refused", problems=[_problem_row(problem) for problem in error.problems])
    status = 404 if isinstance(error, UnknownReference) else 422
    return problem_response(status, str(error), field=error.field, value=error.value, expected=error.expected)


# What the guard answers to who has no key, may not, or asks too often.
_GUARDED = {
    401: "No key that holds was given",
    403: "The key is of a role that may not, or not for all entities",
    429: "Too many requests of this key: Retry-After says when to go on",
}


class _Guarded(BasePlugin):
    """What the guard may answer, described for every operation."""

    def operation_helper(  # type: ignore[override] # apispec passes a path, too: in `_more`
        self, *, operations: dict[str, Any] | None = None, **_more: Any
    ) -> None:
        """Add the guard's answers to each operation of a path."""
        problem = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
        for operation in (operations or {}).values():
            if isinstance(operation, dict) and "responses" in operation:
                for status, said in _GUARDED.items():
                    operation["responses"].setdefault(str(status), {"description": said, "content": {PROBLEM: problem}})


class ProblemApi(Api):  # type: ignore[misc] # flask-smorest is untyped
    """flask-smorest's API, answering errors as problem details, and describing them so."""

    ERROR_SCHEMA = ProblemDetailsSchema

    def _register_responses(self) -> None:
        usual = Api.DEFAULT_RESPONSE_CONTENT_TYPE
        self.DEFAULT_RESPONSE_CONTENT_TYPE = PROBLEM
        super()._register_responses()
        self.DEFAULT_RESPONSE_CONTENT_TYPE = usual

    def __init__(self, app: Flask) -> None:
        super().__init__(app, spec_kwargs={"extra_plugins": [_Guarded()]})
        self.spec.components.security_scheme(
            "key", {"type": "http", "scheme": "bearer", "description": "A key, as `tickmark key create` makes it"}
        )
        self.spec.options["security"] = [{"key": []}]

    @cached_property
    def written(self) -> str:
        """The description as it is served: anybody may ask for it, so it is made once."""
        return current_app.json.dumps(self.spec.to_dict(), sort_keys=False)

    def _openapi_json(self) -> Response:
        return Response(self.written, mimetype="application/json")

    def describe_documents(self) -> None:
        """Describe every type of document by the model that checks it."""
        for name, kind in TYPES.items():
            schema = kind.model.model_json_schema(ref_template="#/components/schemas/{model}")
            for inner, definition in schema.pop("$defs", {}).items():
                if inner not in self.spec.components.schemas:
                    self.spec.components.schema(inner, definition)
            self.spec.components.schema(f"Document.{name}", schema)
        choices = [{"$ref": f"#/components/schemas/Document.{name}"} for name in TYPES]
        self.spec.components.schema("Document", {"oneOf": choices})

    def handle_http_exception(self, error: HTTPException) -> Response:
        """An HTTP error, with what a schema found wrong."""
        data = getattr(error, "data", None) or {}
        more: dict[str, Any] = {}
        exception = getattr(error, "exc", None)
        if isinstance(exception, ValidationError):
            more["problems"] = parameter_problems(data.get("messages", exception.messages))
        title = error.description or error.name
        response = problem_response(error.code or 500, title, **more)
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = ", ".join(error.valid_methods)
        return response
