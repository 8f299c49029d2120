"""Requests to an accounting system: within its rate limits, repeated with back-off, with a token that is refreshed as it goes stale."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import requests
import simplejson
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from sqlalchemy import Engine
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from adapters.clients import logins
from adapters.clients.logins import Login
from ledger.errors import Refused

TIMEOUT_SECONDS = 120.0  # Intuit's own limit on a request
ATTEMPTS_MAX = 6
BUSY_SECONDS = 60.0  # how long Intuit asks one to wait after a 429 without Retry-After
# A token this close to its end is renewed first.
_STALE_SECONDS = 60


class Uncertain(Exception):
    """No answer, or one that leaves open whether the request was done."""


class Busy(Exception):
    """Too many requests: this one was not done."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"asked to wait {seconds:g} s")
        self.seconds = seconds


def wait(seconds: float) -> None:
    """Wait; tests do not."""
    time.sleep(seconds)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    backed_off = wait_random_exponential(multiplier=1, max=60)(state)
    return max(error.seconds, backed_off) if isinstance(error, Busy) else backed_off


class Http:
    """A system's API, as one company's login may use it. Raises Refused for a login that does not hold any more."""

    def __init__(self, engine: Engine, login: Login, by: str, limits: Sequence[str]) -> None:
        self.login = login
        self._engine = engine
        self._by = by
        self._session = requests.Session()
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._limits: list[RateLimitItem] = [parse(limit) for limit in limits]

    def close(self) -> None:
        """Give its connections back."""
        self._session.close()

    def ask(
        self, method: str, path: str, params: Mapping[str, str], body: Any = None, *, repeat: bool = True
    ) -> tuple[int, Any]:
        """A request's status and answer, as JSON.

        With `repeat`, one that may not have been done is sent again; without, that raises Uncertain. What was not done for sure is
        always sent again. Raises Uncertain or Busy once it was tried often enough.
        """
        again: tuple[type[Exception], ...] = (Busy, Uncertain) if repeat else (Busy,)
        retrying = Retrying(
            stop=stop_after_attempt(ATTEMPTS_MAX),
            wait=_pause,
            retry=retry_if_exception_type(again),
            sleep=wait,
            reraise=True,
        )
        answer: tuple[int, Any] = retrying(self._once, method, path, params, body)
        return answer

    def _once(self, method: str, path: str, params: Mapping[str, str], body: Any) -> tuple[int, Any]:
        if self.login.token.get("expires_at", 0) < time.time() + _STALE_SECONDS:
            self.login = logins.refreshed(self._engine, self.login, self._by)
        response = self._send(method, path, params, body)
        if response.status_code == requests.codes.unauthorized:
            self.login = logins.refreshed(self._engine, self.login, self._by)
            response = self._send(method, path, params, body)
        if response.status_code == requests.codes.unauthorized:
            raise Refused(
                "login", self.login.target, "expected a login that may do this: it was refused with a fresh token"
            )
        if response.status_code == requests.codes.too_many_requests:
            given = response.headers.get("Retry-After", "")
            raise Busy(float(given) if given.isascii() and given.isdigit() else BUSY_SECONDS)
        if response.status_code >= requests.codes.internal_server_error:
            raise Uncertain(f"HTTP {response.status_code}")
        try:
            return response.status_code, simplejson.loads(response.content, use_decimal=True)
        except ValueError:
            raise Uncertain(f"HTTP {response.status_code} without JSON") from None

    def _send(self, method: str, path: str, params: Mapping[str, str], body: Any) -> requests.Response:
        self._hold_back()
        headers = {
            "Authorization": f"{self.login.system.scheme} {self.login.token['access_token']}", "Accept": "application/json",
        }  # fmt: skip
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            return self._session.request(
                method, self.login.api + path, params=dict(params), headers=headers, timeout=TIMEOUT_SECONDS,
                data=None if body is None else simplejson.dumps(body, use_decimal=True).encode(), allow_redirects=False,
            )  # fmt: skip
        except requests.RequestException as error:
            raise Uncertain(type(error).__name__) from None

    def _hold_back(self) -> None:
        for limit in self._limits:
            while not self._limiter.hit(limit, self.login.company):
                window = self._limiter.get_window_stats(limit, self.login.company)
                wait(max(window.reset_time - time.time(), 0.01))
