"""The HTTP API: documents in; reports, entries and traces out. Served under /v1, described at /openapi.json.

Errors are RFC 9457 problem details that name document, field, value and what was expected.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from tempfile import SpooledTemporaryFile
from typing import Any

from flask import Response, jsonify, request
from flask.views import MethodView
from flask_smorest import Blueprint
from marshmallow import RAISE
from sqlalchemy import Engine
from werkzeug.exceptions import NotFound

from ledger.accounts.rulebook import RULES
from ledger.invoices.show import read_invoice
from ledger.journal import entries
from ledger.reports.report import Filters
from revrec.kinds import TYPES
from web.access.guard import engine, limited, require_all_entities, who
from web.access.scope import ELSEWHERE, require_document, require_entry, require_posted_within, trace_within
from web.access.within import Poster, as_seen_within
from web.api import bodies
from web.api.idempotency import once
from web.api.problems import DocumentsRefused
from web.api.schemas import (
    ENTRIES_A_PAGE_MAX,
    DraftSchema,
    EntryPageSchema,
    EntryQuerySchema,
    EntrySchema,
    FilterSchema,
    InvoiceSchema,
    PostedSchema,
    ReportSchema,
    RuleSchema,
    TraceSchema,
)
from web.serving.gates import REPORTS, few_at_once, until_sent
from web.work import reports
from web.work.drafts import preview
from web.work.post_file import How, post_file

blueprint = Blueprint("v1", __name__, url_prefix="/v1", description="Documents in; reports, entries and traces out.")


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
