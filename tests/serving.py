"""Applications on a test's database, and servers for them: both are done with all they were asked before the database goes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from flask import Flask
from sqlalchemy import Engine

from web.server import make_app
from web.serving.connections import create_server

MakeApp = Callable[..., Flask]


@contextmanager
def applications(engine: Engine) -> Iterator[MakeApp]:
    """What makes applications (with the options of `make_app`)."""
    made: list[Flask] = []

    def make(**options: object) -> Flask:
        made.append(make_app(engine, **options))
        return made[-1]

    yield make
    for app in made:
        app.extensions["tickmark.jobs"].close()


@contextmanager
def served(app: Flask, threads: int = 2) -> Iterator[str]:
    """The address of a server of an application."""
    server = create_server(app, "127.0.0.1", 0, threads)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.task_dispatcher.shutdown()  # once requests under way are answered
    # in its own thread, which ends when nothing is left to look at; what an answer woke may be told before it is woken for this
    with suppress(OSError):
        server.trigger.pull_trigger(lambda: server.asyncore.close_all(server._map, ignore_all=True))
    thread.join(10)
    assert not thread.is_alive()
