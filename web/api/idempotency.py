"""Requests that are sent again: with an Idempotency-Key, a write is done once and answered the same for a day."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response, current_app, request
from sqlalchemy import Engine, text
from werkzeug.exceptions import Conflict, UnprocessableEntity

from web.access.guard import who

KEY_LENGTH_MAX = 255
# A request that was begun so long ago and has no answer was cut off: documents posted twice post once, so it may be done again.
_CUT_OFF = "5 minutes"
_KEPT = "1 day"

_View = TypeVar("_View", bound=Callable[..., Any])


def once(view: _View) -> _View:
    """Let a view answer a repeated Idempotency-Key with its first answer; without one it is as it was.

    Answers with 5xx are not kept: such a request may be tried again. Raises Conflict while the first is under way, and
    UnprocessableEntity where a key comes back with another request.
    """

    @functools.wraps(view)
    def answered(*args: Any, **kwargs: Any) -> Any:
        given = request.headers.get("Idempotency-Key")
        if given is None:
            return view(*args, **kwargs)
        if not 0 < len(given) <= KEY_LENGTH_MAX or not given.isprintable():
            raise UnprocessableEntity(f"Idempotency-Key: expected 1 to {KEY_LENGTH_MAX} printable characters")
        engine: Engine = current_app.extensions["tickmark"]
        before = _begin(engine, given)
        if before is not None:
            return before
        try:
            answer = current_app.ensure_sync(view)(*args, **kwargs)
            response = current_app.make_response(answer)
        except Exception as error:  # noqa: BLE001 - answered as without a key
            response = current_app.make_response(current_app.handle_user_exception(error))
        _end(engine, given, response)
        return response

    return answered  # type: ignore[return-value] # the same parameters


def _content() -> bytes:
    body = hashlib.sha256(request.get_data(cache=True)).digest()
    return hashlib.sha256(f"{request.method} {request.full_path}\n".encode() + body).digest()


def _begin(engine: Engine, given: str) -> Response | None:
    """Note that a request is under way; the answer it had before, if it had one."""
    place = {"key": who().key_id, "given": given}
    content = _content()
    with engine.begin() as connection:
        connection.execute(
            text(
                f"delete from api_request where begun_at < now() - interval '{_KEPT}'"
                f" or (key_id = :key and idempotency_key = :given and status is null and begun_at < now() - interval '{_CUT_OFF}')"
            ),
            place,
        )
        begun = connection.execute(
            text(
                "insert into api_request (key_id, idempotency_key, content) values (:key, :given, :content)"
                " on conflict do nothing returning 1"
            ),
            place | {"content": content},
        ).first()
        if begun is not None:
            return None
        row: Any = connection.execute(
            text("select content, status, answer from api_request where key_id = :key and idempotency_key = :given"),
            place,
        ).one()
    if bytes(row.content) != content:
        raise UnprocessableEntity("Idempotency-Key: expected a new one: it came with another request before")
    if row.status is None:
        raise Conflict("Idempotency-Key: expected the first request of this key to be answered; it is under way")
    kind = "application/json" if row.status < 400 else "application/problem+json"
    return Response(row.answer, row.status, mimetype=kind, headers={"Idempotent-Replayed": "true"})


def _end(engine: Engine, given: str, response: Response) -> None:
    place = {"key": who().key_id, "given": given}
    with engine.begin() as connection:
        if response.status_code >= 500:
            connection.execute(text("delete from api_request where key_id = :key and idempotency_key = :given"), place)
            return
        connection.execute(
            text(
                "update api_request set status = :status, answer = :answer where key_id = :key and idempotency_key = :given"
            ),
            place | {"status": response.status_code, "answer": response.get_data(as_text=True)},
        )
