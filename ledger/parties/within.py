"""Who posts for some entities alone.

What intake asks about what is of others, which the ledger does not know itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from sqlalchemy import Connection

from ledger.documents.models import Document


class Within(Protocol):
    """Some entities, as who posts for these alone is told of the rest.

    What is of another is not there, and its id is taken.
    """

    @property
    def entities(self) -> frozenset[str]:
        """The entities that it posts for."""

    def learn(self, connection: Connection, docs: Sequence[Document], known: Collection[tuple[str, str]]) -> None:
        """Find out whose that is which documents name.

        And whose documents are in the books by type and id.
        """

    def is_taken(self, kind: str, ref: str) -> bool:
        """Whether a document that was `known` is of others."""

    def require(self, doc: Document) -> None:
        """Raise Refused for a document of others, before anything of it is decided.

        Or that names what is of others, or has the id of one.
        """
