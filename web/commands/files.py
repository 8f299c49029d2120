"""Files of documents on the command line: opened to be read twice, shown with progress, refused lines kept."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import IO

import click


@contextmanager
def spooled(name: str) -> Iterator[IO[bytes]]:
    """A file opened to be read more than once; standard input goes through a temporary file."""
    if name != "-":
        with Path(name).open("rb") as stream:
            yield stream
        return
    with tempfile.TemporaryFile() as spool:
        shutil.copyfileobj(sys.stdin.buffer, spool)
        spool.seek(0)
        yield spool


@contextmanager
def rejects_file(name: str, rejects: str | None, keep_going: bool) -> Iterator[IO[bytes] | None]:
    """Where --keep-going writes refused lines; gone again where there were none."""
    if not keep_going:
        yield None
        return
    path = Path(rejects or ("rejects.jsonl" if name == "-" else f"{name}.rejects"))
    with path.open("wb") as stream:
        yield stream
    if path.stat().st_size == 0:
        if path.is_file():  # never a device such as /dev/null
            path.unlink()
    else:
        click.echo(f"{name}: refused lines are in {path}", err=True)


@contextmanager
def progress(stream: IO[bytes], name: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal once the work takes over a second; nothing elsewhere."""
    with _bar(name, os.fstat(stream.fileno()).st_size, "documents") as step:
        yield lambda count: step(count, stream.tell())


@contextmanager
def steps(name: str, total: int) -> Iterator[Callable[[], None]]:
    """The same for so many steps, told of each that is done."""
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        told(1, done)

    with _bar(name, total, f"of {total}") as told:
        yield step


@contextmanager
def _bar(name: str, total: int, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that is told how many more of a unit are done, and how far that is of the total."""
    if not sys.stderr.isatty():
        yield lambda _count, _reached: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]:,} " + unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=total or None, count=0, visible=False)
        shown = Timer(1, bar.update, (task,), {"visible": True})
        shown.start()
        done = 0

        def step(count: int, reached: int) -> None:
            nonlocal done
            done += count
            bar.update(task, completed=reached, count=done)

        try:
            yield step
        finally:
            shown.cancel()
