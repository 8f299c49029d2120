"""How a revision runs: the SQL beside it, which is written to be read by whoever audits the database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alembic import op


def beside(revision: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """(upgrade, downgrade) of a revision's file: run the SQL of the same name; there is no way back."""

    def upgrade() -> None:
        # Through the driver's own cursor: with no parameters, it takes a script of many statements and leaves % alone.
        op.get_bind().connection.cursor().execute(Path(revision).with_suffix(".sql").read_text(encoding="utf-8"))

    def downgrade() -> None:
        raise NotImplementedError("posted history has no way back: restore a backup instead")

    return upgrade, downgrade
