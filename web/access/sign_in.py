"""Signing in to the pages by a key, and out."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import HiddenField, PasswordField
from wtforms.validators import Length

from web.access import guard, keys
from web.access.guard import engine
from web.access.limits import count_sign_in

blueprint = Blueprint("signing", __name__)


class SignIn(FlaskForm):  # type: ignore[misc] # Flask-WTF is untyped
    """A key, and where to go on."""

    key = PasswordField("Key", [Length(max=200)])
    next = HiddenField()


def _within(address: str) -> str:
    """An address of these pages; the overview in place of any other."""
    parts = urlsplit(address)
    local = not parts.scheme and not parts.netloc and address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if local and address.isprintable() else url_for("pages.overview")


@blueprint.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> str | Response | tuple[str, int]:
    """Exchange a key for a session, which ends with the key; the one before ends."""
    form = SignIn(next=request.args.get("next", ""))
    if not form.validate_on_submit():
        status = 400 if request.method == "POST" else 200
        wrong = "The page was open for too long. Try again." if status == 400 else ""
        return render_template("sign_in.html", form=form, wrong=wrong), status
    found = guard.known(engine(), (form.key.data or "").strip())
    if found is None:
        return render_template("sign_in.html", form=form, wrong="This is no key that holds."), 401
    count_sign_in(found.key_id)
    with engine().begin() as connection:
        begun = keys.begin_session(connection, found.key_id)
    _end()
    session.permanent = True
    session["id"] = begun
    return redirect(_within(form.next.data or ""))


@blueprint.post("/sign-out")
def sign_out() -> Response:
    """End the session, wherever its cookie is."""
    _end()
    return redirect(url_for("signing.sign_in"))


def _end() -> None:
    """End the session that a request came with, if it came with one."""
    given = session.get("id")
    session.clear()
    if isinstance(given, str):
        with engine().begin() as connection:
            keys.end_session(connection, given)


sign_out.needs = "viewer"  # type: ignore[attr-defined] # whoever is in may go
