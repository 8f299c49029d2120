"""Exports over the API: asked for, written, and what of them is new; and documents as they are printed."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app
from flask.views import MethodView
from marshmallow import RAISE, Schema, fields, validate
from sqlalchemy import text

from adapters.out import kept_exports
from adapters.out.export import TARGETS
from ledger.errors import Refused, UnknownReference
from ledger.journal import periods
from ledger.reports.report import Filters
from web.access.guard import engine, limited, needs, require_entities, who
from web.api.idempotency import once
from web.api.lists import NOT_FOUND, REFUSED, blueprint
from web.render.prints import sheet_answer
from web.render.wording import disposition
from web.work import export_jobs


class ExportQuerySchema(Schema):
    """Whose exports."""

    entity = fields.String(load_default=None)


class ExportStatusSchema(Schema):
    """What went out for a system, and what is new."""

    rows = fields.List(fields.Dict())
    notes = fields.List(fields.String())


class AskedSchema(Schema):
    """An export to be written."""

    target = fields.String(required=True, metadata={"description": "As on the command line: quickbooks, workbook ..."})
    entity = fields.String(required=True)
    mapping = fields.String(load_default="", metadata={"description": "The mapping file's text (docs/exports.md)"})
    detail = fields.String(
        load_default=None, allow_none=True, validate=validate.OneOf(["entry", "document", "day", "month"])
    )
    since = fields.Date(data_key="from", load_default=None, allow_none=True)
    as_of = fields.Date(data_key="to", load_default=None, allow_none=True)
    new = fields.Boolean(
        load_default=False, metadata={"description": "Only what did not go out yet; keeps what goes out"}
    )


class JobSchema(Schema):
    """An export in the background."""

    job = fields.Integer()
    target = fields.String()
    entity = fields.String()
    state = fields.String(metadata={"description": "waiting, running, done, failed"})
    done = fields.Integer(metadata={"description": "Entries or objects written so far"})
    said = fields.String(metadata={"description": "What was written, or what was wrong"})
    file = fields.String(allow_none=True)
    at = fields.String()
    by = fields.String()


@blueprint.route("/exports")
class Asking(MethodView):
    """Exports in the background."""

    @needs("controller")
    @once
    @blueprint.arguments(AskedSchema, unknown=RAISE, example={"target": "workbook", "entity": "us"})
    @blueprint.response(202, JobSchema)
    @blueprint.alt_response(404, response=NOT_FOUND)
    @blueprint.alt_response(422, response=REFUSED)
    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """Ask for an export: it is written and proven to tie in the background."""
        require_entities([body["entity"]])
        number = current_app.extensions["tickmark.jobs"].ask(export_jobs.Asked(**body), who().name)
        return export_jobs.find(engine(), number).as_json()


@blueprint.route("/jobs/<int:number>")
class Job(MethodView):
    """One of them."""

    @blueprint.response(200, JobSchema)
    @blueprint.alt_response(404, response=NOT_FOUND)
    def get(self, number: int) -> dict[str, Any]:
        """How far an export is."""
        return export_jobs.find(engine(), number, who().sees).as_json()


@blueprint.route("/jobs/<int:number>/file")
class JobFile(MethodView):
    """What it wrote."""

    @blueprint.response(200, {"type": "string", "format": "binary"}, content_type="application/octet-stream")
    @blueprint.alt_response(404, response=NOT_FOUND)
    def get(self, number: int) -> Response:
        """The file that an export wrote; it is kept for a day."""
        export_jobs.find(engine(), number, who().sees)
        return job_file(number)


def job_file(number: int) -> Response:
    """A job's file as an answer."""
    name, content = export_jobs.content(engine(), number)
    return Response(content, mimetype="application/octet-stream", headers=disposition("attachment", name))


class SheetQuerySchema(Schema):
    """How a document is to be shown; for a statement, of which account and which days."""

    format = fields.String(load_default="html", validate=validate.OneOf(["html", "pdf"]))
    entity = fields.String(load_default=None)
    since = fields.Date(load_default=None, data_key="from")
    as_of = fields.Date(load_default=None)


@blueprint.route("/print/<string:kind>/<ref:ref>")
class Print(MethodView):
    """Invoices, credit notes and statements as they are sent."""

    @blueprint.arguments(SheetQuerySchema, location="query", unknown=RAISE)
    @blueprint.response(200, {"type": "string"}, content_type="text/html")
    @blueprint.alt_response(404, response=NOT_FOUND)
    @blueprint.alt_response(422, response=REFUSED)
    def get(self, query: dict[str, Any], kind: str, ref: str) -> Response:
        """An invoice, credit_note, invoice_void, credit_note_void or payment_reversal, or the statement of a customer: HTML, or with format=pdf a PDF."""
        return sheet_answer(kind, ref, query["format"], query["entity"], query["since"], query["as_of"])


@blueprint.route("/exports/<string:target>")
class Exports(MethodView):
    """Exports that were kept."""

    @blueprint.arguments(ExportQuerySchema, location="query", unknown=RAISE)
    @blueprint.response(200, ExportStatusSchema)
    @blueprint.alt_response(404, response=NOT_FOUND)
    @blueprint.alt_response(422, response=REFUSED)
    def get(self, query: dict[str, Any], target: str) -> dict[str, Any]:
        """What went out for a system, export by export, and the months in which something is still to go."""
        if target not in TARGETS:
            raise UnknownReference("target", target, f"expected one of {', '.join(TARGETS)}")
        with engine().connect() as connection:
            filters = limited(Filters(entity=query["entity"]))
            if filters.entity is None:
                known = periods.entities(connection)
                if len(known) != 1:
                    raise Refused(
                        "entity", "missing", f"expected one of the entities in the books ({', '.join(known) or 'none'})"
                    )
                filters = Filters(entity=known[0])
            assert filters.entity is not None, "chosen above"
            periods.currency(connection, filters.entity)
            report = kept_exports.status(
                connection,
                target,
                filters,
                connection.scalar(text("select coalesce(max(entry_id), 0) from entry")) or 0,
            )
        return {"rows": report.json_rows(), "notes": list(report.notes)}
