"""The embedded server: for its owner alone, on any path, and no longer than somebody uses it."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ledger.database import embedded, folder_access, server
from ledger.database.server_log import reason
from tests.conftest import lines
from tests.samples import parties

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="sockets and owners are POSIX's")


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="embedded-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def _tickmark(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "TICKMARK_DATABASE_URL"}
    environment["TICKMARK_DATA"] = str(folder)
    return subprocess.run(
        [sys.executable, "-c", "from web.cli import main; main()", *arguments],
        check=False, capture_output=True, text=True, input=stdin, env=environment, timeout=120, cwd=folder.parent,
    )  # fmt: skip


_NAMES = [
    "b$(touch pwned)",
    "`touch pwned`",
    "it's",
    'a "name"',
    "a;touch pwned",
    "back\\slash",
    "a, b",
    "Bücher",
    "%41",
    "~x",
    "-x",
    "n" * 200,
]


@POSIX
@pytest.mark.parametrize("name", _NAMES)
def test_a_folder_of_any_name_is_served_and_runs_nothing(folder: Path, name: str) -> None:
    posted = _tickmark(folder / name, "post", "-", stdin=lines(parties()))
    assert (posted.returncode, posted.stderr) == (0, "")
    assert not (folder / name / "postmaster.pid").exists()
    assert [found.name for found in folder.rglob("pwned")] == []


@POSIX
def test_a_folder_that_can_not_be_named_in_postgresqls_files_is_refused(folder: Path) -> None:
    refused = _tickmark(folder / "two\nlines", "report", "summary")
    assert refused.returncode == 1
    assert "expected PostgreSQL to start there: a folder whose name has no line breaks" in refused.stderr
    assert "Traceback" not in refused.stderr


@POSIX
@pytest.mark.parametrize("name", ["books", "my books", "b" * 150])
def test_nobody_else_reaches_it(folder: Path, name: str) -> None:
    """The folder of the socket is its owner's, as is the socket; and who comes all the same is not who they say."""
    data = folder / name
    url = embedded.start(data)
    try:
        host = Path(
            url.rpartition("host=")[2].partition("&")[0].replace("%2F", "/").replace("+", " ").replace("%20", " ")
        )
        place = host.stat()
        assert stat.S_IMODE(place.st_mode) & 0o077 == 0, host
        assert stat.S_IMODE((host / ".s.PGSQL.5432").stat().st_mode) & 0o077 == 0
        told = [line for line in (data / "pg_hba.conf").read_text().splitlines() if not line.startswith("#")]
        assert told == ["local all postgres peer map=tickmark", "local all all scram-sha-256"]
        if os.geteuid() == 0:
            come = (
                "import sys, os, psycopg; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
                "try: psycopg.connect(host=sys.argv[1], user='postgres', dbname='postgres'); print('let in')\n"
                "except psycopg.OperationalError as error: print(error)"
            )
            assert "Permission denied" in _python(come, host)
            # with the folder open to all, and the socket, the server itself asks who it is
            for place in (host.parent, host):
                place.chmod(0o777)
            (host / ".s.PGSQL.5432").chmod(0o777)
            assert "Peer authentication failed" in _python(come, host)
    finally:
        embedded.stop(data)


_ROOT = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root hands a folder over")
# As another user, but of the folder's group: whether it gets at what is in there.
_ENTERS = (
    "import sys, os; os.setgroups([]); os.setgid(os.stat(sys.argv[1]).st_gid); os.setuid(65534)\n"
    "try: os.stat(sys.argv[1] + '/private'); print('entered')\n"
    "except PermissionError: print('kept out')"
)


@_ROOT
def test_root_opens_private_folders_to_nobody(folder: Path) -> None:
    """Books below a folder that only root enters are served all the same; nobody else enters it then."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    (home / "private").write_text("secret")
    data = home / "books"
    assert _python(_ENTERS, home) == "kept out\n"
    for _ in range(2):
        posted = _tickmark(data, "post", "-", stdin=lines(parties()))
        assert (posted.returncode, posted.stderr) == (0, "")
        assert stat.S_IMODE(home.stat().st_mode) & 0o007 == 0
        assert _python(_ENTERS, home) == "kept out\n"
        entries = folder_access._entries(home)
        assert [may for whom, may, _ in entries if whom in (folder_access._GROUP_OWNER, folder_access._OTHERS)] == [
            0,
            0,
        ]
        assert [may for whom, may, _ in entries if whom == folder_access._USER] == [1]


@_ROOT
def test_where_it_can_not_be_opened_to_one_alone_it_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that keeps no lists of users: the folder is named, and what to do, and stays as it is."""
    home = folder / "home"
    home.mkdir(mode=0o700)

    def unsupported(*_arguments: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "setxattr", unsupported)
    with pytest.raises(embedded.NotStarted, match=f"may not pass {home}, .*such as TICKMARK_DATA=/var/lib/tickmark"):
        embedded.start(home / "books")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def _python(program: str, *arguments: object) -> str:
    told = [sys.executable, "-c", program, *(str(argument) for argument in arguments)]
    return subprocess.run(told, check=False, capture_output=True, text=True, timeout=60).stdout


@POSIX
def test_books_that_let_everybody_in_do_no_more(folder: Path) -> None:
    """Folders that were made before let in whoever reached the socket: they don't from the next start on."""
    data = folder / "books"
    assert _tickmark(data, "post", "-", stdin=lines(parties())).returncode == 0
    (data / "pg_hba.conf").write_text("local all all trust\n")
    assert _tickmark(data, "report", "summary").returncode == 0
    assert "trust" not in (data / "pg_hba.conf").read_text()


_USES = "import sys, time; from pathlib import Path; from ledger.database import embedded; embedded.start(Path(sys.argv[1])); print('on', flush=True); time.sleep(600)"


@POSIX
def test_a_command_that_was_killed_leaves_no_server_to_those_after_it(folder: Path) -> None:
    data = folder / "books"
    with subprocess.Popen([sys.executable, "-c", _USES, str(data)], stdout=subprocess.PIPE, text=True) as used:
        assert used.stdout is not None
        assert used.stdout.readline() == "on\n"
        used.kill()
    assert (data / "postmaster.pid").exists()  # nobody was there to stop it
    assert _tickmark(data, "db", "upgrade").returncode == 0
    assert not (data / "postmaster.pid").exists()


@POSIX
def test_a_server_that_another_uses_goes_on(folder: Path) -> None:
    data = folder / "books"
    with subprocess.Popen([sys.executable, "-c", _USES, str(data)], stdout=subprocess.PIPE, text=True) as used:
        assert used.stdout is not None
        assert used.stdout.readline() == "on\n"
        assert _tickmark(data, "post", "-", stdin=lines(parties())).returncode == 0
        assert (data / "postmaster.pid").exists()
        used.terminate()
    time.sleep(0.1)
    assert _tickmark(data, "report", "summary").returncode == 0
    assert not (data / "postmaster.pid").exists()


_FULL = """2026-11-28 10:00:01 UTC [7] PANIC:  could not write to file "pg_wal/xlogtemp.7": No space left on device
2026-11-28 10:00:02 UTC [1] LOG:  startup process (PID 7) was terminated by signal 6: Aborted
2026-11-28 10:00:02 UTC [1] LOG:  aborting startup due to startup process failure
2026-11-28 10:00:02 UTC [1] LOG:  database system is shut down
"""


def test_why_it_does_not_start_is_told_not_that_it_does_not(folder: Path) -> None:
    log = folder / "log"
    log.write_text(_FULL)
    assert reason(log).endswith("No space left on device")
    log.write_text(
        _FULL.replace(
            'PANIC:  could not write to file "pg_wal/xlogtemp.7": No space left on device', "FATAL:  lock file is empty"
        )
    )
    assert reason(log).endswith("FATAL:  lock file is empty")
    log.write_text("")
    assert reason(log) == ""


def test_a_clock_that_is_set_makes_nobody_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a process began is told by the time since the machine started: psutil's moment moves with the clock."""
    began = server.began(psutil.Process())
    monkeypatch.setattr(psutil.Process, "create_time", lambda _self: 0.0)
    assert server.began(psutil.Process()) == began
    assert server._lives(float(os.getpid()), began)
    assert not server._lives(float(os.getpid()), began - 5)
