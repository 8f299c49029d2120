"""How a revision runs: SQL that is written to be read by whoever audits the database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alembic import op


def run(*scripts: Path) -> None:
    """Run files of SQL in the revision's transaction."""
    for script in scripts:
        # Through the driver's own cursor: with no parameters, it takes a script of many statements and leaves % alone.
        op.get_bind().connection.cursor().execute(script.read_text(encoding="utf-8"))


def no_way_back() -> None:
    """What a revision does to be taken back: nothing is."""
    raise NotImplementedError("posted history has no way back: restore a backup instead")


def beside(revision: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """(upgrade, downgrade) of a revision's file: run the SQL of the same name; there is no way back."""
    return lambda: run(Path(revision).with_suffix(".sql")), no_way_back
