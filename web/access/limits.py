"""How often who may ask, counted in the books' database: all processes that serve count together, and none keeps anything.

A key is counted by its number, a customer's link by itself, a key that is wrong by itself and together with all other wrong ones.
Nothing is counted by address: behind a proxy all have one.
"""

from __future__ import annotations

import hashlib
import math
import time

from flask import current_app, g
from flask_limiter import Limiter
from limits import RateLimitItem, parse
from limits.storage import Storage
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import TooManyRequests

A_KEY = "600/minute"
_A_SIGN_IN = parse("60/minute")
_A_LINK = parse("120/minute")
_A_WRONG_KEY = parse("10/minute")
_WRONG_KEYS = parse("100/minute")
_SWEPT_AT_ONCE = 1_000

# A window begins with its first hit; a row whose window has ended begins another.
_HIT = text("""
    insert into request_count as c (name, hits, ends_at) values (:name, :amount, now() + make_interval(secs => :seconds))
    on conflict (name) do update set
        hits = case when c.ends_at > now() then c.hits else 0 end + excluded.hits,
        ends_at = case when c.ends_at > now() then c.ends_at else excluded.ends_at end
    returning hits, extract(epoch from ends_at - now())::float
""")
_FOUND = text(
    "select hits, extract(epoch from ends_at - now())::float from request_count where name = :name and ends_at > now()"
)
# Each row by itself: who counts just then is not waited for.
_SWEEP = text(f"""
    delete from request_count where name in
        (select name from request_count where ends_at < now() limit {_SWEPT_AT_ONCE} for update skip locked)
""")


class Counters(Storage):
    """A storage of the `limits` library: one statement a hit, on a table without a write-ahead log."""

    STORAGE_SCHEME = ["tickmark"]  # noqa: RUF012 - as the library declares it

    @property
    def base_exceptions(self) -> type[Exception]:
        """What may be raised where the database does not answer."""
        return SQLAlchemyError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count a hit; how many there are in its window."""
        with _books().connect() as connection:
            at_once = connection.execution_options(isolation_level="AUTOCOMMIT")
            hits, left = at_once.execute(_HIT, {"name": key, "amount": amount, "seconds": expiry}).one()
            if hits == amount:  # a window begins: time to forget those that ended
                at_once.execute(_SWEEP)
        _seen()[key] = (hits, left)
        return int(hits)

    def get(self, key: str) -> int:
        """How many hits there are in the window of now."""
        return self._window(key)[0]

    def get_expiry(self, key: str) -> float:
        """The moment at which the window of now ends."""
        return time.time() + math.ceil(self._window(key)[1])

    def _window(self, key: str) -> tuple[int, float]:
        """(hits, seconds left) as this request found them when it counted, else as they are."""
        if key not in _seen():
            with _books().connect() as connection:
                found = connection.execute(_FOUND, {"name": key}).first()
            _seen()[key] = (0, 0.0) if found is None else (found[0], found[1])
        return _seen()[key]

    def check(self) -> bool:
        """Whether the database answers."""
        try:
            with _books().connect() as connection:
                return bool(connection.scalar(text("select true")))
        except SQLAlchemyError:
            return False

    def reset(self) -> int:
        """Forget all that was counted; how many names that were."""
        return self._delete("true")

    def clear(self, key: str) -> None:
        """Forget what was counted of a name."""
        self._delete("name = :name", name=key)

    def _delete(self, which: str, **values: str) -> int:
        with _books().begin() as connection:
            return connection.execute(text(f"delete from request_count where {which}"), values).rowcount


def _books() -> Engine:
    found = current_app.extensions["tickmark"]
    assert isinstance(found, Engine), "set up by web.server.make_app"
    return found


def _seen() -> dict[str, tuple[int, float]]:
    """What this request has counted: its answer says it, and need not ask again."""
    if "counted" not in g:
        g.counted = {}
    found: dict[str, tuple[int, float]] = g.counted
    return found


def _asked_as() -> str:
    """Whose requests are counted together: a key's, on the API and on the pages."""
    return f"key {g.who.key_id}"


def _nobody_known() -> bool:
    """Whether nobody is known to ask: what is open to everybody costs next to nothing, or is counted by what it names."""
    return g.get("who") is None


limiter = Limiter(
    _asked_as, application_limits=[A_KEY], storage_uri="tickmark://", headers_enabled=True, strategy="fixed-window"
)
limiter.request_filter(_nobody_known)


def count_wrong_key(given: str) -> None:
    """Count a key that does not hold. Raises TooManyRequests where it came too often, or too many wrong ones did.

    One that holds is never counted here: nobody is kept out by what others try.
    """
    _count(_A_WRONG_KEY, "wrong key", _hashed(given))
    _count(_WRONG_KEYS, "wrong keys")


def count_sign_in(key_id: int) -> None:
    """Count a sign-in by a key that holds. Raises TooManyRequests for too many."""
    _count(_A_SIGN_IN, "sign-in", str(key_id))


def count_link(token: str) -> None:
    """Count a look at what a customer's link opens. Raises TooManyRequests for too many."""
    _count(_A_LINK, "link", _hashed(token))


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _count(limit: RateLimitItem, what: str, *names: str) -> None:
    if not limiter.enabled or limiter.limiter.hit(limit, what, *names):
        return
    ends = limiter.limiter.get_window_stats(limit, what, *names).reset_time
    raise TooManyRequests(
        f"expected at most {limit.amount} a minute of this {what}",
        retry_after=max(math.ceil(ends - time.time()), 1),
    )
