"""Invoices, credit notes and statements as answers to requests: HTML that needs nothing else, or PDF."""

from __future__ import annotations

import base64
import hashlib
from datetime import date
from functools import cache

from flask import Blueprint, Response, request

from ledger.errors import Refused
from ledger.journal import periods
from ledger.reports.report import Filters, last_day
from web.access.guard import engine, limited, who
from web.access.scope import require_document
from web.render import printed
from web.render.sheet import style
from web.render.wording import disposition
from web.serving.gates import PRINTS

blueprint = Blueprint("sheets", __name__)

# Of a PDF that is made for a request: each takes some milliseconds and 90 kB.
PDF_ROWS_MAX = 1_000


@cache
def _policy() -> str:
    """The content's policy: its own style, and nothing else at all."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
    )


def sheet_answer(
    kind: str,
    ref: str,
    form: str,
    entity: str | None,
    since: date | None,
    as_of: date | None,
) -> Response:
    """A document as an answer. Raises UnknownReference for what is not there, or of an entity that is not open to who asks.

    Raises Refused for a PDF of more than is made in seconds, Busy where others are made.
    """
    with engine().connect() as connection:
        if kind == "statement":
            named = limited(Filters(entity=entity)).entity or periods.only_entity(connection)
            sheet = printed.print_statement(
                connection, ref, named, since, as_of or last_day(connection, Filters(entity=named))
            )
        else:
            expected = f"expected the id of a document of the type {kind} in the books"
            if kind in printed.KINDS:
                require_document(connection, kind, ref, who().entities, expected)
            sheet = printed.print_document(connection, kind, ref)
    if form == "pdf":
        rows = sheet.html.count("<tr")
        if rows > PDF_ROWS_MAX:
            raise Refused(
                "format", "pdf",
                f"expected at most {PDF_ROWS_MAX:,} rows for a PDF, and not {rows:,}: take it as html, or by `tickmark print`",
            )  # fmt: skip
        with PRINTS.one():
            content = sheet.pdf()
        return Response(
            content,
            mimetype="application/pdf",
            headers=disposition("inline", f"{sheet.file}.pdf"),
        )
    return Response(sheet.html, mimetype="text/html", headers={"Content-Security-Policy": _policy()})


@blueprint.get("/print/<kind>/<ref:ref>")
def sheet(kind: str, ref: str) -> Response:
    """A document as it is sent."""
    asked = request.args

    def day(name: str) -> date | None:
        try:
            return date.fromisoformat(asked[name]) if asked.get(name) else None
        except ValueError:
            raise Refused(name, asked[name], "expected a date such as 2026-01-31") from None

    form = asked.get("format") or "html"
    if form not in ("html", "pdf"):
        raise Refused("format", form, "expected html or pdf")
    return sheet_answer(kind, ref, form, asked.get("entity") or None, day("from"), day("as_of"))
