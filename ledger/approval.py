"""What needs a second person: who posts it can't have approved it."""

from __future__ import annotations

from ledger.books import Books
from ledger.errors import Refused


def require_second(books: Books, approved_by: str) -> None:
    """Raise Refused where a document names who posts it as the one who approved it."""
    if approved_by.strip().casefold() == books.posted_by.strip().casefold():
        raise Refused("approved_by", approved_by, f"expected somebody else than who posts it, {books.posted_by}")
