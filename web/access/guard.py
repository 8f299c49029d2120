"""What stands before every request: a number for the log, who asks, whether they may, and not too often.

The API takes keys as `Authorization: Bearer tm_...`; the pages take a session that a key was exchanged for, which ends
with the key, by signing out, and after twelve hours.
A session can't be used on the API, so nothing of elsewhere can make a browser post to it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from flask import Flask, Response, current_app, g, redirect, request, session, url_for
from sqlalchemy import Engine
from werkzeug.exceptions import BadRequest, Forbidden, RequestEntityTooLarge, SecurityError, Unauthorized
from werkzeug.wrappers import Response as BaseResponse

from ledger.errors import Refused, UnknownReference, shortened
from ledger.letters import can_be_kept
from ledger.reports.report import Filters
from web.access import keys
from web.access.keys import Who
from web.access.limits import count_wrong_key, limiter

_TOO_MANY = 429
# What anybody may ask: whether it runs, how it looks, how to sign in, how the API is called; and what a signed link opens.
PUBLIC = {
    "static", "ops.health", "ops.ready", "signing.sign_in", "api-docs.openapi_json", "pages.docs", "mine.page", "mine.usage",
}  # fmt: skip
# What says whether the server lives asks the database for nobody.
_OF_NOBODY = frozenset({"static", "ops.health", "ops.ready"})
# These read their bodies a document at a time, and say of each what is wrong.
_DOCUMENTS = frozenset({"/v1/documents", "/v1/drafts"})
BODY_BYTES_MAX = 64 * 1024 * 1024
BODY_BYTES_OF_OTHERS = 2 * 1024 * 1024
FORM_BYTES_MAX = 100_000
_BODY_BYTES = dict.fromkeys(_DOCUMENTS, BODY_BYTES_MAX) | {"/tables/xlsx": 16 * 1024 * 1024}
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_PERHAPS_NO_TEXT = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]")
_LINK = re.compile(r"/mine/.*", re.IGNORECASE | re.DOTALL)
log = logging.getLogger("tickmark.requests")

_View = TypeVar("_View", bound=Callable[..., Any])


def needs(role: str) -> Callable[[_View], _View]:
    """Let a view be for those who may do what a role may: without it, a viewer may read and an operator write."""

    def mark(view: _View) -> _View:
        view.needs = role  # type: ignore[attr-defined] # read back below
        return view

    return mark


def who() -> Who:
    """Who asks."""
    found = g.get("who")
    assert isinstance(found, Who), "asked behind the guard"
    return found


def engine() -> Engine:
    """The database of the running application."""
    found = current_app.extensions["tickmark"]
    assert isinstance(found, Engine), "set up by web.server.make_app"
    return found


def install(app: Flask, engine: Engine, open_as: str | None) -> None:
    """Guard an application. `open_as` opens it to everybody who reaches it, in somebody's name: for one's own machine only."""
    app.config.update(
        SECRET_KEY=_session_secret(),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_NAME="tickmark",
        PERMANENT_SESSION_LIFETIME=keys.SESSION_SECONDS,
    )

    @app.before_request
    def _before() -> BaseResponse | None:
        g.begun = time.perf_counter()
        given = request.headers.get("X-Request-Id", "")
        g.request_id = (
            given if given.isascii() and given.isprintable() and 0 < len(given) <= 100 else secrets.token_hex(8)
        )
        _require_host()
        _require_text([request.path, *request.args.items(multi=True)])
        _require_bounded()
        elsewhere = _admit(engine, open_as)
        if request.is_json and request.path not in _DOCUMENTS:
            _require_json(request.get_data())
        if request.mimetype in _FORMS:
            _require_text(
                [
                    *request.form.items(multi=True),
                    *((name, file.filename) for name, file in request.files.items(multi=True)),
                ]
            )
        return elsewhere

    # run in reverse: the limiter's headers are there by then
    app.after_request(_after)
    limiter.init_app(app)


def _session_secret() -> bytes:
    """What sessions are signed with: of TICKMARK_SECRET_KEY, so that they outlive a restart and hold on several servers."""
    given = os.environ.get("TICKMARK_SECRET_KEY", "").partition(",")[0].strip()
    return hashlib.sha256(b"tickmark sessions " + given.encode()).digest() if given else secrets.token_bytes(32)


def _admit(engine: Engine, open_as: str | None) -> BaseResponse | None:
    """Find out who asks. Raises Unauthorized, TooManyRequests or Forbidden; sends a page's reader to sign in."""
    g.who = None
    if request.endpoint in _OF_NOBODY:
        return None
    on_api = request.path.startswith("/v1") or request.endpoint == "ops.metrics"
    if open_as is not None:
        _require_from_here()
        g.who = Who(0, open_as, "admin")
    else:
        g.who = _by_key(engine) if on_api else _by_session(engine)
    if request.endpoint in PUBLIC or request.endpoint is None:
        return None
    if g.who is None:
        if on_api:
            raise Unauthorized("expected a key that holds, as Authorization: Bearer tm_...")
        return redirect(url_for("signing.sign_in", next=request.full_path.rstrip("?")))
    role = _needed()
    if not g.who.may(role):
        raise Forbidden(f"expected a key of the role {role}: this is one of a {g.who.role}")
    return None


def _require_bounded() -> None:
    """Raise RequestEntityTooLarge for a body that is larger than what is asked could need."""
    most = _BODY_BYTES.get(request.path, BODY_BYTES_OF_OTHERS)
    if request.mimetype == "application/x-www-form-urlencoded":
        most = FORM_BYTES_MAX  # a field may be a byte
    if (request.content_length or 0) > most:
        raise RequestEntityTooLarge(f"expected a body of at most {most:,} bytes")
    request.max_content_length = most
    request.max_form_memory_size = most


def _require_host() -> None:
    """Raise BadRequest for a request by a name that is not the server's."""
    if isinstance(request.routing_exception, SecurityError):
        raise BadRequest(
            f"expected a request by a name of this server (tickmark serve --name), and not by {shortened(request.headers.get('Host', ''))}"
        )


def _require_text(said: object) -> None:
    """Raise BadRequest for texts that the database can't keep."""
    if not can_be_kept(said):
        raise BadRequest("expected text without NUL and halves of characters")


def _require_json(body: bytes) -> None:
    """Raise BadRequest for JSON that can't be read as deep as it goes, or says something that the database can't keep."""
    try:
        said = json.loads(body)
    except RecursionError:
        raise BadRequest("expected JSON that is less deep") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        return  # told as such where it is asked for
    except ValueError:
        raise BadRequest("expected numbers of fewer digits") from None
    if _PERHAPS_NO_TEXT.search(body):
        _require_text(said)


def _require_from_here() -> None:
    """Raise Forbidden for a write that a page of elsewhere made a browser send: open to everybody, nothing else would stop it."""
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    origin = request.headers.get("Origin")
    if origin is not None and origin != request.host_url.rstrip("/"):
        raise Forbidden(f"expected a request from {request.host_url}: this one is from {origin}")
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise Forbidden(f"expected a request from {request.host_url}: this one is from another site")


def _needed() -> str:
    view: Any = current_app.view_functions[request.endpoint or ""]
    method = getattr(getattr(view, "view_class", None), request.method.lower(), None)
    found: str | None = getattr(method, "needs", None) or getattr(view, "needs", None)
    return found or ("viewer" if request.method in ("GET", "HEAD", "OPTIONS") else "operator")


def _by_key(engine: Engine) -> Who | None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    return known(engine, key.strip())


def known(engine: Engine, key: str) -> Who | None:
    """Who a key is of, or None. Raises TooManyRequests where wrong ones came too often: one that holds is let in all the same."""
    with engine.connect() as connection:
        found = keys.find(connection, key)
    if found is None:
        count_wrong_key(key)
    return found


def _by_session(engine: Engine) -> Who | None:
    given = session.get("id")
    if not isinstance(given, str):
        return None
    with engine.connect() as connection:
        return keys.in_session(connection, given)


def _after(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id", "")
    # the limiter says of every answer when its window ends; who is refused for another reason is told that one's time, or none
    if "retry_after" in g:
        response.headers["Retry-After"] = str(g.retry_after)
    elif response.status_code != _TOO_MANY:
        response.headers.pop("Retry-After", None)
    seconds = time.perf_counter() - g.get("begun", time.perf_counter())
    asked = g.get("who")
    log.info(
        json.dumps(
            {
                "request": g.get("request_id", ""), "method": request.method, "path": logged_path(), "status": response.status_code,
                "ms": round(seconds * 1000, 1), "who": asked.name if isinstance(asked, Who) else None,
            },
            ensure_ascii=False,
        )
    )  # fmt: skip
    return response


def logged_path() -> str:
    """The path of a request as a log has it: a signed link opens what it names, so it is no more for a log than a key."""
    return _LINK.sub("/mine/...", request.path)


def limited(filters: Filters) -> Filters:
    """Filters, held to the entities that are open to who asks.

    Raises UnknownReference for another entity, as for one that is not there, and Refused where one has to be named.
    """
    asked = who()
    if asked.entities is None:
        return filters
    if filters.entity is None:
        if len(asked.entities) > 1:
            raise Refused("entity", "missing", f"expected one of {', '.join(asked.entities)}, for which this key is")
        return replace(filters, entity=asked.entities[0])
    require_entities([filters.entity])
    return filters


def require_entities(entities: Sequence[str]) -> None:
    """Raise UnknownReference where an entity's books are not open to who asks: as if it were not there."""
    for entity in entities:
        if not who().sees(entity):
            raise UnknownReference("entity", entity, "expected the id of an entity in the books")


def require_all_entities(what: str) -> None:
    """Raise Forbidden for what is of all entities together, where the key is for some."""
    if who().entities is not None:
        raise Forbidden(f"expected a key for all entities: {what} is not of one")
