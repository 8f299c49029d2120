"""The server's connections: however many are opened, and however little they send or take, others are answered.

waitress takes a byte a second for a sign of life, answers ahead what was sent ahead, and stops to accept where its limit is reached.
Here a request has to be sent, and its answer be taken, in time; the next is looked at once the answer before it was taken; and
where connections are too many, the one that waits longest, or takes slowest, makes room.
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
from waitress.utilities import Error

from web.serving.hands import Hands

# Connections that do not wait for an answer; as many more may, or take one.
CONNECTIONS_MAX = 200
# Room for newcomers while others are let go of.
_NEWCOMERS = 100
# A connection with nothing asked is closed after so long.
IDLE_SECONDS = 30
# From its first byte, a request's head has so long; its body so much longer, and a second for so many bytes of it.
HEAD_SECONDS = 20
BODY_BYTES_A_SECOND = 10_000
# Of an answer so much is taken within so long, or what is left of it: else it is not waited for.
TAKEN_SECONDS = 60
TAKEN_BYTES = 600_000
# What is not taken of an answer is kept in a temporary file: of more, who makes it waits for who takes it.
ANSWER_BYTES_MAX = 1 << 28
# What is to be taken from all together.
ANSWERS_BYTES_MAX = 1 << 30
# What is being sent by all together, in temporary files.
BODIES_BYTES_MAX = 1 << 30
HEAD_BYTES_MAX = 1 << 16
# Of a body in chunks, so much may be what separates them, and more where there is more between.
FRAMING_BYTES_MAX = 1 << 16


class _TooSlow(Error):  # type: ignore[misc] # waitress has no types
    code, reason = 408, "Request Timeout"


class _Unreadable(Error):  # type: ignore[misc] # waitress has no types
    code, reason = 400, "Bad Request"


class _TooManyChunks(Error):  # type: ignore[misc] # waitress has no types
    code, reason = 400, "Bad Request"


class _TooMuchAtOnce(Error):  # type: ignore[misc] # waitress has no types
    code, reason = 503, "Service Unavailable"


class _Channel(HTTPChannel):  # type: ignore[misc] # waitress has no types
    """A connection that answers one request at a time, and knows how long it waits for one, and how fast an answer is taken."""

    request: Any = None
    sent_continue: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.waits_since = self.request_began = self.taken_since = time.time()
        self.taken = 0
        self._ahead = b""
        super().__init__(*args, **kwargs)

    def readable(self) -> bool:
        """Whether to read on: first what was sent ahead, once the answer before it was taken."""
        if self._ahead and super().readable():
            self.received(b"")
        return bool(super().readable())

    def received(self, data: bytes) -> bool:
        """Take what was sent, up to the end of a request."""
        with self.requests_lock:
            data, self._ahead = self._ahead + data, b""
            while data and not self.requests:
                if self.will_close or self.close_when_flushed:
                    return False
                data = data[self._parsed(data) :]
            self._ahead = data
        return True

    def _parsed(self, data: bytes) -> int:
        """How much of what was sent is of a request, which is answered if it is whole."""
        if self.request is None:
            self.request, self.request_began = self.parser_class(self.adj), time.time()
        request = self.request
        try:
            length = int(request.received(data))
        except Exception:  # noqa: BLE001 - whatever waitress fails at: a length that is no int, an address that is none
            length = len(data)
            request.error, request.completed = _Unreadable("expected a request that can be read"), True
        if request.expect_continue and request.headers_finished and not self.sent_continue:
            self.send_continue()
        if not request.completed and _is_mostly_framing(request):
            request.error, request.completed = _TooManyChunks("expected larger chunks"), True
        if request.completed:
            self.request, self.sent_continue = None, False
            if not request.empty:
                self._answer(request)
        return length

    def _answer(self, request: Any) -> None:
        self.requests.append(request)
        self.server.add_task(self)

    def service(self) -> None:
        """Answer a request."""
        super().service()
        self.waits_since = time.time()

    def send(self, data: bytes, **how: bool) -> int:
        """Send what the other side takes; how much that was."""
        sent = int(super().send(data, **how))
        self.taken += sent
        return sent

    @property
    def takes(self) -> bool:
        """Whether it is only for the other side to take its answer."""
        return bool(self.total_outbufs_len) and not (self.requests or self.will_close)

    def taken_a_second(self, now: float) -> float:
        """How fast its answer is taken."""
        return self.taken / max(now - self.taken_since, 1)

    def is_stuck(self, now: float) -> bool:
        """Whether its answer is taken too slowly."""
        if not self.total_outbufs_len or self.taken >= TAKEN_BYTES:
            self.taken, self.taken_since = 0, now
        return now - self.taken_since > TAKEN_SECONDS

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
            request, self.request = self.request, None
            request.error, request.completed = error, True
            self._answer(request)

    def close(self) -> None:
        """Close with the server, and what is not taken of an answer."""
        with self.outbuf_lock:
            for kept in self.outbufs:
                kept.close()
        super().close()

    def end(self) -> None:
        """Close, also where the other side takes nothing."""
        self.will_close = True
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class _Server(TcpWSGIServer):  # type: ignore[misc] # waitress has no types
    """A listening socket with its connections."""

    channel_class = _Channel

    def handle_accept(self) -> None:
        """Accept a connection; where there are too many, let go of the one that waits longest, or takes slowest."""
        super().handle_accept()
        there = [channel for channel in self.active_channels.values() if not channel.will_close]
        waiting = [channel for channel in there if channel.waits]
        taking = [channel for channel in there if channel.takes]
        if len(waiting) > CONNECTIONS_MAX:
            min(waiting, key=lambda channel: channel.waits_since).end()
        elif len(there) > 2 * CONNECTIONS_MAX and taking:
            now = time.time()
            min(taking, key=lambda channel: channel.taken_a_second(now)).end()

    def maintenance(self, now: float) -> None:
        """End what is idle, late or stuck: about once a second."""
        super().maintenance(now)
        channels = list(self.active_channels.values())
        for channel in channels:
            if channel.is_late(now):
                channel.refuse(_TooSlow("expected the whole request in time"))
            elif channel.is_stuck(now):
                channel.end()
        _bound_answers(channels, now)
        sent = sum(channel.body_bytes for channel in channels)
        for channel in sorted(channels, key=lambda channel: channel.request_began, reverse=True):
            if sent <= BODIES_BYTES_MAX:
                break
            sent -= channel.body_bytes
            channel.refuse(_TooMuchAtOnce("too much is being sent at once: try again later"))


def _is_mostly_framing(request: Any) -> bool:
    """Whether a body comes in chunks so small, or lines between them so long, that reading them is most of the work."""
    if not getattr(request, "chunked", False):
        return False
    held = len(request.body_rcv)
    return int(request.body_bytes_received) - held > max(FRAMING_BYTES_MAX, held)


def _bound_answers(channels: list[_Channel], now: float) -> None:
    """Let go of who takes slowest where too much is to be taken from all together."""
    left = sum(channel.total_outbufs_len for channel in channels)
    for channel in sorted(channels, key=lambda channel: channel.taken_a_second(now)):
        if left <= ANSWERS_BYTES_MAX:
            break
        if channel.total_outbufs_len:
            left -= channel.total_outbufs_len
            channel.end()


def create_server(app: Flask, host: str, port: int, threads: int) -> Any:
    """A server of an application, which listens already. Raises OSError where it can't."""
    settings = Adjustments(
        host=host, port=port, threads=threads, ident=None, connection_limit=2 * CONNECTIONS_MAX + _NEWCOMERS, channel_timeout=IDLE_SECONDS,
        cleanup_interval=1, asyncore_use_poll=hasattr(select, "poll"), max_request_header_size=HEAD_BYTES_MAX,
        # beyond what the application refuses in its own words
        max_request_body_size=2 * app.config["MAX_CONTENT_LENGTH"], inbuf_overflow=1 << 16,
        outbuf_overflow=1 << 19, outbuf_high_watermark=ANSWER_BYTES_MAX,
    )  # fmt: skip
    hands, sockets = Hands(threads), {}  # type: ignore[var-annotated] # of waitress' own
    servers = [_Server(app, sockets, dispatcher=hands, adj=settings, sockinfo=info) for info in settings.listen]
    if len(servers) == 1:
        return servers[0]
    listening = [(server.effective_host, server.effective_port) for server in servers]
    return MultiSocketServer(sockets, settings, listening, hands)
