"""A database that is down, goes away or is full, files that can't be written, and books of nothing: one sentence each, never a traceback."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import click
import psutil
import pytest
from click.testing import CliRunner

from ledger.database.server_log import reason
from tests.conftest import Cli, lines
from tests.samples import invoice, parties, service, usage
from web.cli import main

TICKMARK = [sys.executable, "-c", "from web.cli import main; main()"]


def _commands(group: click.Group, *before: str) -> Iterator[tuple[str, ...]]:
    """Every command of the command line, with what its parameters need."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _commands(command, *before, name)
        else:
            yield (*before, name, *_needed(command))


def _needed(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if parameter.required:
            if isinstance(parameter, click.Option):
                yield max(parameter.opts, key=len)
            yield _value(parameter)


def _value(parameter: click.Parameter) -> str:
    known = {"files": "FILE", "file": "FILE", "folder": "FOLDER", "month": "2026-01", "through": "2026-01", "url": "http://127.0.0.1:9/",
             "output": "out.html", "since": "2026-01-01", "until": "2026-01-31", "quantities": "n", "number": "1"}  # fmt: skip
    if isinstance(parameter.type, click.Choice):
        return str(parameter.type.choices[0])
    assert parameter.name is not None
    return known.get(parameter.name, "1")


# What works without a database; what is asked with an option or a document.
COMMANDS = [
    (*command, "I") if command == ("invoice",) else command
    for command in _commands(main)
    if command[0] not in ("rules", "rates", "restore")
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with what commands read."""
    (tmp_path / "FILE").write_text(lines(parties()))
    (tmp_path / "FOLDER").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("TICKMARK_WEBHOOK_SECRET", "TICKMARK_CLIENT_ID", "TICKMARK_CLIENT_SECRET", "TICKMARK_SECRET_KEY"):
        monkeypatch.setenv(name, "whsec_" + "a" * 32)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_traces_where_the_server_is_down(
    place: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("TICKMARK_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/nothing")
    ran = CliRunner().invoke(main, command, input="")
    assert isinstance(ran.exception, SystemExit | None), (ran.exception, ran.output)
    assert "Traceback" not in ran.output
    assert ran.exit_code == 1, ran.output
    assert ran.stderr.startswith("refused: database: connection failed: ")
    assert ran.stderr.count("\n") == 1


# An embedded server that goes away ---------------------------------------------------------------------------------


@pytest.fixture
def books(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Embedded books of their own, with a file of many lines beside them."""
    monkeypatch.delenv("TICKMARK_DATABASE_URL", raising=False)
    monkeypatch.setenv("TICKMARK_USER", "tester")
    folder = Path(tempfile.mkdtemp())
    monkeypatch.setenv("TICKMARK_DATA", str(folder / "books"))
    (folder / "many.jsonl").write_text(
        lines([*parties(), *(usage(f"u{number}", "0.01", "2026-01-05") for number in range(40_000))])
    )
    subprocess.run([*TICKMARK, "periods"], check=True, capture_output=True)
    yield folder
    shutil.rmtree(folder)


def _cut_off(books: Path, *command: str, how: Callable[[psutil.Process], None]) -> subprocess.CompletedProcess[str]:
    """Run a command, and end the server as soon as it writes."""
    ran = subprocess.Popen([*TICKMARK, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    pid = books / "books" / "postmaster.pid"
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            server = psutil.Process(int(pid.read_text().splitlines()[0]))
            if any("COPY" in " ".join(child.cmdline()) for child in server.children()):
                break
        except (OSError, ValueError, IndexError, psutil.Error):
            pass
        time.sleep(0.01)
    how(server)
    out, err = ran.communicate(timeout=60)
    return subprocess.CompletedProcess(command, ran.returncode, out, err)


def _kill(server: psutil.Process) -> None:
    for process in (*server.children(), server):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _interrupt(server: psutil.Process) -> None:
    server.send_signal(signal.SIGINT)


@pytest.mark.parametrize("how", [_kill, _interrupt])
def test_a_server_that_goes_away_in_mid_command_is_one_sentence(
    books: Path, how: Callable[[psutil.Process], None]
) -> None:
    many = str(books / "many.jsonl")
    cut = _cut_off(books, "post", many, how=how)
    assert cut.returncode == 1
    assert cut.stdout == ""
    assert cut.stderr.startswith("refused: database: ")
    assert cut.stderr.endswith(
        ": nothing was posted that was not told as posted; the same command again posts nothing twice\n"
    )
    assert cut.stderr.count("\n") == 1
    again = subprocess.run([*TICKMARK, "post", many], check=True, capture_output=True, text=True)
    assert "posted 40,004 documents" in again.stdout


def test_why_a_server_ended_is_read_from_where_its_log_was(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("an old No space left on device\n")
    begun = log.stat().st_size
    log.write_text(
        log.read_text() + "LOG: something\nPANIC:  could not write: No space left on device\nLOG: shut down\n"
    )
    assert reason(log, begun) == "PANIC:  could not write: No space left on device"
    log.write_text("an old No space left on device\nFATAL:  terminated\nLOG:  later\n")
    assert reason(log, begun) == "FATAL:  terminated"


# Answers of nothing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [
    ("close", "2026-01"), ("close", "2026-01", "--check"), ("reopen", "2026-01", "--reason", "x"), ("revalue", "2026-01"),
])  # fmt: skip
def test_books_without_an_entity_have_nothing_to_close(cli: Cli, command: tuple[str, ...]) -> None:
    said = "refused: entity = none in the books: expected one that was posted as a document of the type entity\n"
    assert cli.refused(*command) == said


def test_rates_of_days_without_any(cli: Cli) -> None:
    none = cli.run("rates", "--from", "2026-01-31", "--to", "2026-01-31")
    assert (none.exit_code, none.stdout) == (0, "")
    assert none.stderr == "no rates: the ECB has none from 2026-01-31 to 2026-01-31, as at weekends\n"
    assert "expected 1999-01-04 or later" in cli.refused("rates", "--from", "1990-01-31", "--to", "1990-01-31")
    assert "to = 2025-01-31: expected 2026-01-31 or later" in cli.refused(
        "rates", "--from", "2026-01-31", "--to", "2025-01-31"
    )
    assert "expected another one" in cli.refused(
        "rates", "--from", "2026-01-05", "--to", "2026-01-06", "--currency", "EUR"
    )


def test_a_file_that_is_no_file_of_rates_is_told(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("nothing")
    told = cli.refused("rates", "--from", "2026-01-05", "--to", "2026-01-06", "--file", str(tmp_path / "x.zip"))
    assert "expected the ECB's eurofxref-hist.zip" in told


@pytest.mark.parametrize("command", [
    ("report", "summary", "--output", "{}"), ("report", "summary", "--format", "xlsx", "--output", "{}"),
    ("export", "workbook", "--output", "{}"), ("export", "hledger", "--output", "{}"), ("seal", "--export", "{}"),
    ("seal", "--prove", "1", "--output", "{}"), ("print", "invoice", "I", "--output", "{}.html"), ("backup", "{}"),
])  # fmt: skip
def test_a_file_that_can_not_be_written_is_told(cli: Cli, tmp_path: Path, command: tuple[str, ...]) -> None:
    cli.post(*parties(), invoice("I", "2026-01-01", service("10.00", "2026-01-01", "2026-01-31")))
    cli.ok("seal")
    (tmp_path / "file").write_text("")
    ran = cli.run(*(word.format(tmp_path / "file" / "below") for word in command))
    assert ran.exit_code in (1, 2), ran.output
    assert "Not a directory" in ran.stderr or "expected a place in a folder that exists" in ran.stderr
