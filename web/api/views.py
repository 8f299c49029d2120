"""The HTTP API: documents in; reports, entries and traces out. Served under /v1, described at /openapi.json.

Errors are RFC 9457 problem details that name document, field, value and what was expected.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from http import HTTPStatus
from tempfile import SpooledTemporaryFile
from typing import Any

from apispec import BasePlugin
from flask import Flask, Response, current_app, jsonify, request
from flask.views import MethodView
from flask_smorest import Api, Blueprint
from marshmallow import RAISE, Schema, ValidationError, fields, validate
from sqlalchemy import Engine
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from ledger.accounts.rulebook import RULES
from ledger.errors import Problem, ProblemList, Refused, UnknownReference
from ledger.invoices.show import read_invoice
from ledger.journal import entries
from ledger.reports.report import GROUPS, PERIODS, Filters
from revrec.kinds import TYPES
from web.access.guard import engine, limited, require_all_entities, who
from web.access.scope import ELSEWHERE, require_document, require_entry, require_posted_within, trace_within
from web.access.within import Poster, as_seen_within
from web.api import bodies
from web.api.idempotency import once
from web.serving.gates import REPORTS, few_at_once, until_sent
from web.work import reports
from web.work.drafts import preview
from web.work.post_file import How, post_file

ENTRIES_A_PAGE_MAX = 500
PROBLEM = "application/problem+json"

blueprint = Blueprint("v1", __name__, url_prefix="/v1", description="Documents in; reports, entries and traces out.")


class PostedSchema(Schema):
    """What became of posted documents."""

    posted = fields.Integer(metadata={"description": "Documents posted now"})
    repeated = fields.Integer(metadata={"description": "Documents that were posted before with the same content"})
    late = fields.Integer(metadata={"description": "Entries moved out of closed months into the first open one"})
    entries = fields.Integer()
    postings = fields.Integer()


class ProblemDetailsSchema(Schema):
    """An error as RFC 9457 problem details; `problems` where several things are wrong."""

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    field = fields.String(metadata={"description": "Where it stands"})
    value = fields.String(metadata={"description": "What was found"})
    expected = fields.String(metadata={"description": "What was expected"})
    more = fields.Integer(
        metadata={"description": "How many more things are wrong than `problems` has: it has the first 100"}
    )
    problems = fields.Raw(
        metadata={
            "description": "Each thing wrong: its field, the value found, and what was expected; of documents its line and document, too"
        }
    )


class FilterSchema(Schema):
    """What a report is narrowed to, named as on the command line, or compared against."""

    against = fields.AwareDateTime(metadata={"description": "Show what differs from the report as known then, and why"})
    since = fields.Date(data_key="from", metadata={"description": "First day counted"})
    as_of = fields.Date(metadata={"description": "Last day counted: what was effective by then"})
    known_at = fields.AwareDateTime(metadata={"description": "What was posted by this moment"})
    entity = fields.String()
    customer = fields.String()
    product = fields.String()
    currency = fields.String(validate=validate.Regexp("^[A-Z]{3}$", error="expected a currency such as USD"))
    memorandum = fields.Boolean()
    contract = fields.String()
    period = fields.String(
        data_key="by", validate=validate.OneOf(list(PERIODS)), metadata={"description": "What disclosures add up over"}
    )
    group = fields.List(
        fields.String(validate=validate.OneOf(GROUPS)), metadata={"description": "What disclosures keep apart"}
    )
    transaction = fields.Boolean(
        metadata={"description": "Disclosures in the currencies of transactions, or (false) of entities"}
    )


class ReportSchema(Schema):
    """A report: amounts are decimal strings in the row's currency."""

    name = fields.String()
    title = fields.String()
    notes = fields.List(fields.String())
    rows = fields.List(fields.Dict())


class LineSchema(Schema):
    """A debit or credit of an entry."""

    side = fields.String()
    entity = fields.String()
    account = fields.String(metadata={"description": "The account's role in the chart"})
    subject = fields.String()
    product = fields.String()
    rule = fields.String()
    currency = fields.String()
    amount = fields.String(metadata={"description": "Decimal string"})
    functional_currency = fields.String(metadata={"description": "The entity's own"})
    functional_amount = fields.String(metadata={"description": "Decimal string in the entity's own currency"})


class EntrySchema(Schema):
    """A journal entry with its lines."""

    entry = fields.Integer()
    customer = fields.String()
    document = fields.String()
    effective_on = fields.String()
    occurred_on = fields.String()
    posted_at = fields.String()
    posted_by = fields.String()
    hash = fields.String()
    reverses = fields.Integer(allow_none=True)
    reversed_by = fields.Integer(allow_none=True)
    lines = fields.List(fields.Nested(LineSchema))


class EntryPageSchema(Schema):
    """A page of entries, newest last; `after` of the next page is `next`."""

    entries = fields.List(fields.Nested(EntrySchema))
    next = fields.Integer(allow_none=True)


class EntryQuerySchema(Schema):
    """Which entries to list."""

    after = fields.Integer(load_default=0, validate=validate.Range(min=0, max=2**63 - 1))
    limit = fields.Integer(load_default=100, validate=validate.Range(min=1, max=ENTRIES_A_PAGE_MAX))
    customer = fields.String()


class StepSchema(Schema):
    """A thing on the way to or from what is traced; `depth` says how many steps away."""

    kind = fields.String()
    ref = fields.String()
    text = fields.String()
    depth = fields.Integer()


class TraceSchema(Schema):
    """A thing, its entries, what it comes from and what it led to."""

    kind = fields.String()
    ref = fields.String()
    title = fields.String()
    document = fields.Dict()
    entries = fields.List(fields.Nested(EntrySchema))
    comes_from = fields.List(fields.Nested(StepSchema))
    led_to = fields.List(fields.Nested(StepSchema))


class InvoiceSchema(Schema):
    """An invoice as its reader sees it; amounts are decimal strings of its currency."""

    id = fields.String()
    number = fields.String(allow_none=True)
    status = fields.String(metadata={"description": "draft, open, paid, settled, credit (below zero) or void"})
    entity = fields.Dict()
    customer = fields.Dict()
    currency = fields.String()
    issued_on = fields.String()
    due_on = fields.String()
    exchange_rate = fields.String(allow_none=True)
    supersedes = fields.String(allow_none=True)
    reference = fields.String(allow_none=True)
    external = fields.Dict(metadata={"description": "Its ids in other systems, by system"})
    groups = fields.List(
        fields.Dict(), metadata={"description": "Items by group, their lines, and the usage these bill"}
    )
    taxes = fields.List(fields.Dict())
    total = fields.String()
    paid = fields.String()
    credited = fields.String()
    written_off = fields.String()
    to_balance = fields.String(metadata={"description": "What it is below zero, as the customer's money"})
    due = fields.String()


class DraftSchema(Schema):
    """An invoice that is not posted, and the entries it would post."""

    invoice = fields.Nested(InvoiceSchema)
    entries = fields.List(fields.Nested(EntrySchema))


class RuleSchema(Schema):
    """A rule of the rulebook."""

    number = fields.Integer()
    code = fields.String()
    debit = fields.String()
    credit = fields.String()
    why = fields.String()
    citation = fields.String()


class DocumentsRefused(Exception):
    """Some documents of a request were refused, so none was posted."""

    def __init__(self, problems: Sequence[Problem], more: int = 0) -> None:
        self.problems = problems
        self.more = more
        super().__init__(f"{len(problems) + more} problems")


_DOCUMENT = {"$ref": "#/components/schemas/Document"}
_BODY = {
    "description": "A document, an array of them, or one a line as application/x-ndjson (see docs/documents.md)",
    "required": True,
    "content": {
        "application/json": {
            "schema": {"anyOf": [_DOCUMENT, {"type": "array", "items": _DOCUMENT}]},
            "example": {"type": "customer", "id": "umbrella", "name": "Umbrella", "country": "DE"},
        },
        "application/x-ndjson": {"schema": {"type": "string"}},
    },
}


@blueprint.route("/documents")
class Documents(MethodView):
    """Documents as they come in."""

    @once
    @blueprint.doc(requestBody=_BODY)
    @blueprint.response(200, PostedSchema)
    @blueprint.alt_response(415, response=HTTPStatus(415).name)
    @blueprint.alt_response(422, response=HTTPStatus(422).name)
    def post(self) -> dict[str, int]:
        """Post documents, all or none of them; posting the same again posts nothing."""
        problems = bodies.FirstProblems()
        asked = who()
        how = How()
        if asked.entities is not None:
            check = partial(require_posted_within, by=asked.name, entities=asked.entities)
            how = How(within=Poster(asked.entities, asked.name), check=check)
        with SpooledTemporaryFile(max_size=_IN_MEMORY_MAX) as stream:
            stream.writelines(bodies.lines())
            stream.seek(0)
            result = post_file(engine(), stream, TYPES, asked.name, problems, how)
            if problems.kept:
                stream.seek(0)
                with engine().connect() as connection:
                    told = as_seen_within(connection, asked.entities, problems.kept, problems.lines, stream)
                raise DocumentsRefused(told, problems.more)
        outcome = result.outcome
        return {
            "posted": outcome.posted, "repeated": outcome.repeated, "late": outcome.late, "entries": outcome.entries,
            "postings": outcome.postings,
        }  # fmt: skip


@blueprint.route("/reports/<string:name>")
class Reports(MethodView):
    """Reports, each a sum over postings."""

    @blueprint.arguments(FilterSchema, location="query", unknown=RAISE)
    @blueprint.response(200, ReportSchema)
    @blueprint.alt_response(404, response=HTTPStatus(404).name)
    @blueprint.alt_response(422, response=HTTPStatus(422).name)
    @few_at_once(REPORTS)
    def get(self, query: dict[str, Any], name: str) -> Response:
        """A report, by the name it has on the command line. With If-None-Match, 304 where it says the same still."""
        if name not in reports.REPORTS:
            raise NotFound(f"report {name}: expected one of {', '.join(reports.REPORTS)}")
        against = query.pop("against", None)
        if name in reports.OF_ALL_ENTITIES:
            require_all_entities(f"the report {name}")
        with engine().connect() as connection:
            report = reports.make(connection, name, limited(Filters(**query)), against)
        made = jsonify({"name": report.name, "title": report.title, "notes": report.notes, "rows": report.json_rows()})
        made.add_etag()
        made.make_conditional(request)
        return made


_IN_MEMORY_MAX = 1024 * 1024


def _all_entries(books: Engine, where: str, parameters: dict[str, Any]) -> Iterator[str]:
    """Entries, a line each, read a page at a time."""
    after = parameters["after"]
    while True:
        with books.connect() as connection:
            found = entries.read_entries(connection, where, parameters | {"after": after}, limit=ENTRIES_A_PAGE_MAX)
        for entry in found:
            yield json.dumps(entries.entry_json(entry), ensure_ascii=False) + "\n"
        if len(found) < ENTRIES_A_PAGE_MAX:
            return
        after = found[-1].entry_id


@blueprint.route("/entries")
class Entries(MethodView):
    """The journal."""

    @blueprint.arguments(EntryQuerySchema, location="query", unknown=RAISE)
    @blueprint.response(200, EntryPageSchema)
    def get(self, query: dict[str, Any]) -> dict[str, Any] | Response:
        """Entries in the order of their numbers, a page at a time; all of them after one, a line each, for application/x-ndjson."""
        where, parameters = "e.entry_id > :after", {"after": query["after"]}
        if "customer" in query:
            where += " and c.ref = :customer"
            parameters["customer"] = query["customer"]
        if who().entities is not None:
            where += f" and not {ELSEWHERE}"
            parameters["entities"] = list(who().entities or ())
        if request.accept_mimetypes.best == bodies.NDJSON:
            all_of_them = Response(_all_entries(engine(), where, parameters), mimetype=bodies.NDJSON)
            return until_sent(REPORTS, all_of_them)
        with engine().connect() as connection:
            found = entries.read_entries(connection, where, parameters, limit=query["limit"])
        last = found[-1].entry_id if len(found) == query["limit"] else None
        return {"entries": [entries.entry_json(entry) for entry in found], "next": last}


@blueprint.route("/entries/<int:entry_id>")
class Entry(MethodView):
    """One entry."""

    @blueprint.response(200, EntrySchema)
    @blueprint.alt_response(404, response=HTTPStatus(404).name)
    def get(self, entry_id: int) -> dict[str, Any]:
        """An entry with its lines."""
        with engine().connect() as connection:
            found = entries.read_entry(connection, entry_id)
        require_entry(found, who().entities)
        return entries.entry_json(found)


@blueprint.route("/trace/<ref:ref>")
class Traces(MethodView):
    """Where things come from and what they led to."""

    @blueprint.response(200, TraceSchema)
    @blueprint.alt_response(404, response=HTTPStatus(404).name)
    def get(self, ref: str) -> dict[str, Any]:
        """The chain of an entry's number, or of a document such as invoice:INV-1 or what it is called elsewhere (stripe:ch_1), both ways."""
        with engine().connect() as connection:
            return trace_within(connection, ref, who().entities).as_json()


@blueprint.route("/invoices/<ref:ref>")
class Invoices(MethodView):
    """Invoices as their readers see them."""

    @blueprint.response(200, InvoiceSchema)
    @blueprint.alt_response(404, response=HTTPStatus(404).name)
    def get(self, ref: str) -> dict[str, Any]:
        """An invoice: items by group and label, the lines and usage behind them, taxes, and what became of it."""
        with engine().connect() as connection:
            require_document(connection, "invoice", ref, who().entities, "expected the id of an invoice in the books")
            return read_invoice(connection, ref).as_json()


@blueprint.route("/drafts")
class Drafts(MethodView):
    """Invoices that are not posted."""

    @blueprint.doc(requestBody=_BODY)
    @blueprint.response(200, DraftSchema)
    @blueprint.alt_response(415, response=HTTPStatus(415).name)
    @blueprint.alt_response(422, response=HTTPStatus(422).name)
    def post(self) -> dict[str, Any]:
        """An invoice document as it would be, and the entries it would post, were it finalised now. Posts nothing."""
        body = b"".join(line.strip() for line in bodies.lines())
        asked = who()
        within = None if asked.entities is None else Poster(asked.entities, asked.name)
        draft = preview(engine(), body, asked.name, within)
        if draft.invoice is None:
            with engine().connect() as connection:
                problems = list(draft.problems)
                raise DocumentsRefused(
                    as_seen_within(connection, asked.entities, problems, [body] * len(problems), [body])
                )
        return {"invoice": draft.invoice.as_json(), "entries": [entries.entry_json(entry) for entry in draft.entries]}


@blueprint.route("/rules")
class Rules(MethodView):
    """The rulebook."""

    @blueprint.response(200, RuleSchema(many=True))
    def get(self) -> list[dict[str, Any]]:
        """Every event that posts: what it debits and credits, why, and the paragraph."""
        return [
            {"number": r.number, "code": r.code, "debit": r.debit, "credit": r.credit, "why": r.why, "citation": r.citation}
            for r in RULES.values()
        ]  # fmt: skip


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
