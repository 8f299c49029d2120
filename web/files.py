"""Files of documents on the command line: opened to be read twice, shown with progress, refused lines kept."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
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
    if not sys.stderr.isatty():
        yield lambda _count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    size = os.fstat(stream.fileno()).st_size
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]:,} documents"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=size or None, count=0, visible=False)
        started = monotonic()
        done = 0

        def step(count: int) -> None:
            nonlocal done
            done += count
            visible = monotonic() - started > 1
            bar.update(task, completed=stream.tell(), count=done, visible=visible)

        yield step
