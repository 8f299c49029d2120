"""Ids that a document makes: of letters by which others can be told from them.

Those that are in the books stay what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import BaseModel
from sqlalchemy import Connection, text

from ledger.documents.models import Document
from ledger.errors import InvalidDocument
from ledger.letters import expected_of_id

# A line of JSON without any of these makes no id that is not plain: other than ASCII, an escape, a part that begins with a dot.
_PERHAPS = re.compile(rb'[^\t\n\r\x20-\x7e]|\\|["/]\.')


def require_plain(connection: Connection, doc: Document, line: bytes) -> None:
    """Raise InvalidDocument for an id of a new document that others can't be told from."""
    if not _PERHAPS.search(line):
        return
    for field, made in _made(doc):
        expected = expected_of_id(made)
        if expected and (field == "id" or not _is_there(connection, doc, made)):
            raise InvalidDocument(field, made, expected)


def _made(part: BaseModel, path: str = "") -> Iterator[tuple[str, str]]:
    """The ids that a document makes, its own and those of its parts, each with its field."""
    for name in type(part).model_fields:
        value = getattr(part, name)
        if name in ("id", "component") and isinstance(value, str):
            yield f"{path}{name}", value
        elif isinstance(value, BaseModel):
            yield from _made(value, f"{path}{name}.")
        for index, inner in enumerate(value if isinstance(value, list) else ()):
            if isinstance(inner, BaseModel):
                yield from _made(inner, f"{path}{name}.{index}.")


def _is_there(connection: Connection, doc: Document, made: str) -> bool:
    """Whether a document changes something that has a part of such an id in the books."""
    if doc.part_of is None:
        return False
    whole, made_by = doc.part_of
    found = connection.scalar(
        text(
            "select exists (select from document_key k join document d using (customer_id) where k.type = :whole and k.ref = :ref"
            " and d.type = any(:made_by)"
            " and jsonb_path_exists(d.body::jsonb, '$.** ? (@ == $made)', jsonb_build_object('made', cast(:made as text))))"
        ),
        {"whole": whole, "ref": getattr(doc, whole), "made_by": list(made_by), "made": made},
    )
    return bool(found)
