"""What costs much is done for few at once; who comes while they are at it for long is told to come again, and others are answered."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

from flask import Response

from ledger.database.places import Places
from web.serving.patience import give_long

# What tries and verifies a month's end looks at all books; who closes one does not wait for who looks.
CHECKS = Places(1, "look at what a month waits for")
CLOSES = Places(1, "close a month")
SEALS = Places(1, "seal")
PRINTS = Places(2, "print PDF")
WORKBOOKS = Places(1, "write a workbook")
# Whatever reads more than a page of the books: fewer than there are threads that read.
REPORTS = Places(5, "make reports")

_View = TypeVar("_View", bound=Callable[..., Any])


def until_sent(places: Places, response: Response) -> Response:
    """An answer that is made while it is sent, with one of these places for as long. Raises Busy."""
    kept = ExitStack()
    kept.enter_context(places.one())
    response.call_on_close(kept.close)
    return response


def few_at_once(places: Places, *, long: bool = False) -> Callable[[_View], _View]:
    """Let a view have one of these places while it works; a `long` one's statements have the time of those that write."""

    def gated(view: _View) -> _View:
        @functools.wraps(view)
        def answered(*args: Any, **kwargs: Any) -> Any:
            if long:
                give_long()
            with places.one():
                return view(*args, **kwargs)

        return answered  # type: ignore[return-value] # the same parameters

    return gated
