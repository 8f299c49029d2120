"""The web application: the API and the pages, and the server that carries them."""

from __future__ import annotations

import logging

import click
from flask import Flask, Response, current_app, g, request
from flask_wtf.csrf import CSRFProtect
from sqlalchemy import Engine
from werkzeug.exceptions import HTTPException, InternalServerError, SecurityError, ServiceUnavailable

from ledger.database import connect
from ledger.errors import Busy, Refused
from web.access import guard, sign_in
from web.api import exports, health, keys, lists, month_end, problems, views
from web.pages import (
    customer_link,
    customers,
    desk,
    documents,
    evidence,
    journal,
    ledger,
    overview,
    report,
    table_to_xlsx,
    told,
)
from web.render import frame, prints
from web.serving import connections, patience, routing
from web.work import export_jobs

# Nothing is loaded from elsewhere, no script runs but our own files, nobody frames it.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self'; style-src 'self'; "
    # the chart library sizes what it draws by attributes; no style element or sheet of elsewhere is let in
    "style-src-attr 'unsafe-inline'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# How long a request waits for a lock, such as a month's close for who posts.
_PATIENCE = patience.LOCK_SECONDS
RETRY_SECONDS = 5
THREADS = 8
# The modules whose views are the API's, and the pages.
_API = (views, lists, month_end, exports, keys)
_PAGES = (
    overview, documents, ledger, journal, report, prints, table_to_xlsx, evidence, customers, desk, customer_link,
)  # fmt: skip
LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")


def make_app(
    engine: Engine, *, hosts: tuple[str, ...] = LOCAL_HOSTS, open_as: str | None = None, https: bool = False
) -> Flask:
    """The application over a database. `hosts` are the names it answers to; a page of elsewhere can't reach it.

    Who asks needs a key, unless it is `open_as` somebody to whoever reaches it. Over `https`, cookies go over nothing else.
    """
    app = Flask("web")
    app.extensions["tickmark"] = patience.of_requests(engine, _PATIENCE)  # who asks is answered
    app.extensions["tickmark.jobs"] = export_jobs.Jobs(engine)
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.config.update(
        API_TITLE="Tickmark",
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
        MAX_CONTENT_LENGTH=guard.BODY_BYTES_MAX,
        TRUSTED_HOSTS=list(hosts),
        SESSION_COOKIE_SECURE=https,
        PREFERRED_URL_SCHEME="https" if https else "http",
    )
    routing.install(app)
    guard.install(app, engine, open_as)
    frame.install(app)
    health.install(app)
    described = _describe(app)
    app.register_blueprint(sign_in.blueprint)
    for blueprint in dict.fromkeys(module.blueprint for module in _PAGES):
        app.register_blueprint(blueprint)
    _tell_errors(app, described)
    app.after_request(_headers)
    return app


def _describe(app: Flask) -> problems.ProblemApi:
    """Register the API, described as it is."""
    csrf = CSRFProtect(app)
    described = problems.ProblemApi(app)
    described.describe_documents()
    for blueprint in dict.fromkeys(module.blueprint for module in _API):
        csrf.exempt(blueprint)  # keys are sent by hand, never by a browser on its own
        described.register_blueprint(blueprint)
    app.extensions["tickmark.openapi"] = described.spec
    return described


def _tell_errors(app: Flask, described: problems.ProblemApi) -> None:
    """Have whatever goes wrong told as a problem on the API, as a page elsewhere."""
    app.register_error_handler(problems.DocumentsRefused, problems.documents_refused)
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(Busy, _busy)
    app.extensions["tickmark.problems"] = described.handle_http_exception
    app.register_error_handler(HTTPException, _told)
    app.register_error_handler(Exception, _failed)


def _headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint != "static":  # what is in the books is nobody's to keep, on a shared machine or on the way
        response.headers.setdefault("Cache-Control", "no-store")
    if current_app.config["SESSION_COOKIE_SECURE"]:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response


def _busy(error: Busy) -> Response:
    return _told(ServiceUnavailable(str(error), retry_after=RETRY_SECONDS))


def _refused(error: Refused) -> Response | tuple[str, int]:
    return problems.refused(error) if request.path.startswith("/v1") else told.refused(error)


def _failed(error: Exception) -> Response:
    """Anything else: the log has the trace, the answer has none. Of a database that does not answer there is nothing to trace."""
    path = guard.logged_path()
    gave_up = patience.told(error)
    if gave_up is not None:
        current_app.logger.warning("%s %r gave up: %s", request.method, path, gave_up)
        return _told(ServiceUnavailable(gave_up, retry_after=RETRY_SECONDS))
    failed = connect.failure(error)
    if failed is not None:
        current_app.logger.error("%s %r: %s", request.method, path, failed)
        return _told(
            ServiceUnavailable("The database can't be used just now; the log says why.", retry_after=RETRY_SECONDS)
        )
    current_app.logger.error("%s %r failed", request.method, path, exc_info=error)
    nothing = " Nothing was posted." if request.path.startswith("/v1") else ""
    return _told(InternalServerError(f"The server failed; its log says why.{nothing}"))


def _told(error: HTTPException) -> Response:
    """An HTTP error as a problem or as a page, with when to come again."""
    if request.path.startswith("/v1") or request.endpoint == "ops.metrics":
        problem: Response = current_app.extensions["tickmark.problems"](error)
        response = problem
    elif isinstance(request.routing_exception, SecurityError):  # by a name that no page can link to
        response = Response(f"{error.description}\n", error.code, mimetype="text/plain")
    else:
        response = current_app.make_response(told.http_error(error))
    again = getattr(error, "retry_after", None)
    if again is not None:
        g.retry_after = again
    return response


def _log_requests() -> None:
    """A line of JSON a request, on standard error."""
    told = logging.StreamHandler()
    told.setFormatter(logging.Formatter("%(message)s"))
    guard.log.addHandler(told)
    guard.log.setLevel(logging.INFO)
    guard.log.propagate = False


def run_server(
    engine: Engine,
    host: str,
    port: int,
    open_as: str | None = None,
    names: tuple[str, ...] = (),
    *,
    https: bool = False,
) -> None:
    """Serve until Ctrl-C: to whoever has a key, or `open_as` somebody to all on this machine; asked for by `names`, too."""
    _log_requests()
    app = make_app(engine, hosts=(*LOCAL_HOSTS, host, *names), open_as=open_as, https=https)
    try:
        server = connections.create_server(app, host, port, THREADS)
    except OSError as error:
        raise Refused("port", port, f"expected a free port: {error.strerror or error}") from error
    told = (
        f", open to everybody on this machine as {open_as}" if open_as else "; sign in with a key (tickmark key create)"
    )
    click.echo(f"Tickmark is at http://{host}:{port}{told} (Ctrl-C stops it)")
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()
        app.extensions["tickmark.jobs"].close()
        click.echo("stopped")
