"""The second person: somebody else than who posts, whose key may approve."""

from __future__ import annotations

import unicodedata

from sqlalchemy import text

from ledger.errors import Refused
from ledger.journal.books import Books
from ledger.letters import look_alike, unseen

# Whose keys may approve what others post (web/access/keys.py has what else they may).
APPROVING = ("controller", "admin")


def identity(name: str) -> str:
    """A name as it is compared with another.

    Whatever its case, its spacing, and how its letters are written.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join("".join(letter for letter in folded if unicodedata.category(letter) != "Cf").split())


def require_second(books: Books, approved_by: str, entity: str) -> None:
    """Raise Refused where a document's approver may not approve it.

    It is who posts it, or where keys are used, nobody who may approve for an entity.
    """
    if not identity(approved_by):
        raise Refused("approved_by", approved_by, "expected a name")
    require_other(approved_by, books.posted_by, "who posts it, ")
    if hidden := unseen(approved_by):
        raise Refused("approved_by", approved_by, f"expected a name of letters that can be seen: not {hidden}")
    rows = books.connection.execute(text("select name, role, entities, revoked_at, expires_on from api_key")).all()
    if not rows:
        return
    # whose key is for other entities alone than those of who posts is nobody to them
    named = [
        row
        for row in rows
        if identity(row.name) == identity(approved_by)
        and (books.entities is None or row.entities is None or books.entities & set(row.entities))
    ]
    today = books.posted_at.date()
    holding = [row for row in named if row.revoked_at is None and row.expires_on >= today]
    approving = [row for row in holding if row.role in APPROVING]
    if not any(row.entities is None or entity in row.entities for row in approving):
        found = (
            "no key has that name" if not named
            else "their key was revoked, or has expired" if not holding
            else f"their key is of the role {holding[0].role}" if not approving
            else "their key is for other entities"
        )  # fmt: skip
        raise Refused(
            "approved_by", approved_by, f"expected the name of a {' or '.join(APPROVING)} of {entity}: {found}"
        )


def require_other(approved_by: str, other: str, what: str) -> None:
    """Raise Refused for an approver who is somebody, or whose name can be taken for theirs."""
    expected = f"expected somebody else than {what}{other}"
    if identity(approved_by) == identity(other):
        raise Refused("approved_by", approved_by, expected)
    if look_alike(approved_by, other):
        raise Refused("approved_by", approved_by, f"{expected}: the two names look alike")
