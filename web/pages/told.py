"""A refusal or an error as a page."""

from __future__ import annotations

from flask import render_template
from werkzeug.exceptions import HTTPException

from ledger.errors import Refused, UnknownReference


def refused(error: Refused) -> tuple[str, int]:
    """A refusal as a page."""
    status = 404 if isinstance(error, UnknownReference) else 422
    title = "Not in the books" if status == 404 else "That can't be shown"
    return render_template("error.html", title=title, message=str(error)), status


def http_error(error: HTTPException) -> tuple[str, int]:
    """An HTTP error as a page."""
    return render_template("error.html", title=error.name, message=error.description), error.code or 500
