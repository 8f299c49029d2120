"""The server's connections: however many are opened, and however little they send, others are answered.

waitress takes a byte a second for a sign of life, and stops to accept where its limit is reached. Here a request has to be sent, and
its answer be taken, in time; and where connections are too many, the one that waits longest makes room.
"""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress
from typing import Any

from flask import Flask
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import MultiSocketServer, TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher
from waitress.utilities import Error

# Connections that do not wait for an answer; as many more may, each with a request whole.
CONNECTIONS_MAX = 200
# A connection with nothing asked is closed after so long.
IDLE_SECONDS = 30
# From its first byte, a request's head has so long; its body so much longer, and a second for so many bytes of it.
HEAD_SECONDS = 20
BODY_BYTES_A_SECOND = 10_000
# An answer of which nothing was taken for so long is not waited for.
TAKEN_SECONDS = 60
# What is being sent by all together, in temporary files.
BODIES_BYTES_MAX = 1 << 30
HEAD_BYTES_MAX = 1 << 16


class _TooSlow(Error):  # type: ignore[misc] # waitress has no types
    code, reason = 408, "Request Timeout"


class _TooMuchAtOnce(Error):  # type: ignore[misc] # waitress has no types
    code, reason = 503, "Service Unavailable"


class _Channel(HTTPChannel):  # type: ignore[misc] # waitress has no types
    """A connection that knows since when it waits for a request, and when the one that is being sent began."""

    request: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.waits_since = self.request_began = time.time()
        super().__init__(*args, **kwargs)

    def received(self, data: bytes) -> bool:
        """Take what was sent."""
        if self.request is None:
            self.request_began = time.time()
        return bool(super().received(data))

    def service(self) -> None:
        """Answer a request."""
        super().service()
        self.waits_since = time.time()

    @property
    def waits(self) -> bool:
        """Whether it is for the other side to go on: nothing is asked whole, and nothing to be sent."""
        return not (self.requests or self.total_outbufs_len or self.will_close or self.close_when_flushed)

    @property
    def body_bytes(self) -> int:
        """How much of a body was sent so far."""
        return 0 if self.request is None else int(self.request.body_bytes_received)

    def is_late(self, now: float) -> bool:
        """Whether the request that is being sent takes too long."""
        if self.request is None or not self.waits:
            return False
        granted = HEAD_SECONDS * (1 + self.request.headers_finished) + self.body_bytes / BODY_BYTES_A_SECOND
        return bool(now - self.request_began > granted)

    def refuse(self, error: Error) -> None:
        """Answer what is being sent as it is, and close."""
        with self.requests_lock:
            if self.request is None:
                return
            self.request.error, self.request.completed = error, True
            self.requests.append(self.request)
            self.request = None
            if len(self.requests) == 1:
                self.server.add_task(self)

    def end(self) -> None:
        """Close, also where the other side takes nothing."""
        self.will_close = True
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class _Server(TcpWSGIServer):  # type: ignore[misc] # waitress has no types
    """A listening socket with its connections."""

    channel_class = _Channel

    def handle_accept(self) -> None:
        """Accept a connection; where there are too many, let go of the one that waits longest."""
        super().handle_accept()
        waiting = [channel for channel in self.active_channels.values() if channel.waits]
        if len(waiting) > CONNECTIONS_MAX:
            min(waiting, key=lambda channel: channel.waits_since).end()

    def maintenance(self, now: float) -> None:
        """End what is idle, late or stuck: about once a second."""
        super().maintenance(now)
        channels = list(self.active_channels.values())
        for channel in channels:
            if channel.is_late(now):
                channel.refuse(_TooSlow("expected the whole request in time"))
            elif channel.total_outbufs_len and now - channel.last_activity > TAKEN_SECONDS:
                channel.end()
        sent = sum(channel.body_bytes for channel in channels)
        for channel in sorted(channels, key=lambda channel: channel.request_began, reverse=True):
            if sent <= BODIES_BYTES_MAX:
                break
            sent -= channel.body_bytes
            channel.refuse(_TooMuchAtOnce("too much is being sent at once: try again later"))


def create_server(app: Flask, host: str, port: int, threads: int) -> Any:
    """A server of an application, which listens already. Raises OSError where it can't."""
    settings = Adjustments(
        host=host, port=port, threads=threads, ident=None, connection_limit=2 * CONNECTIONS_MAX, channel_timeout=IDLE_SECONDS,
        cleanup_interval=1, asyncore_use_poll=hasattr(select, "poll"), max_request_header_size=HEAD_BYTES_MAX,
        # beyond what the application refuses in its own words
        max_request_body_size=2 * app.config["MAX_CONTENT_LENGTH"], inbuf_overflow=1 << 16,
    )  # fmt: skip
    hands, sockets = ThreadedTaskDispatcher(), {}  # type: ignore[var-annotated] # of waitress' own
    hands.set_thread_count(threads)
    servers = [_Server(app, sockets, dispatcher=hands, adj=settings, sockinfo=info) for info in settings.listen]
    if len(servers) == 1:
        return servers[0]
    listening = [(server.effective_host, server.effective_port) for server in servers]
    return MultiSocketServer(sockets, settings, listening, hands)
