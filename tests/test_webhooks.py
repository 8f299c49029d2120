"""Alerts told to a webhook over real HTTP: signed, in order, each until it is taken."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlalchemy import Engine
from standardwebhooks import Webhook, WebhookVerificationError

from adapters.out.webhooks import deliver
from tests.conftest import Cli
from tests.samples import PARTY, grant, invoice, parties, prepaid, usage

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - the one of standardwebhooks.com, for tests


@dataclass
class Hook:
    url: str = ""
    answers: list[int] = field(default_factory=list)  # the first ones; 204 after them
    taken: list[dict[str, object]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)


@pytest.fixture
def hook() -> Iterator[Hook]:
    state = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = state.answers.pop(0) if state.answers else 204
            if status == 204:
                state.taken.append(Webhook(SECRET).verify(body, dict(self.headers)))
                state.ids.append(self.headers["webhook-id"])
            self.send_response(status)
            self.send_header("content-length", "0")
            if status == 302:
                self.send_header("location", "http://localhost:9/")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/hook"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def _two_crossings(cli: Cli) -> None:
    alert = {"type": "wallet_alert", "id": "low", **PARTY, "threshold": "25.00"}
    cli.post(*parties(), alert, grant("G"), invoice("I", "2026-01-01", prepaid("100.00")))
    cli.post(usage("u1", "80.00", "2026-01-05"))
    cli.post(grant("H", "50.00"))


def test_crossings_are_told_in_order_once(cli: Cli, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKMARK_WEBHOOK_SECRET", SECRET)
    _two_crossings(cli)
    hook.answers = [503]  # passing: tried again
    assert cli.ok("notify", "--url", hook.url) == "alerts delivered: 2\n"
    assert [event["type"] for event in hook.taken] == ["wallet.below_threshold", "wallet.above_threshold"]
    assert hook.taken[0]["data"] == {
        "customer": "globex", "alert": "low", "entity": "us", "currency": "USD", "threshold": "25.00", "left": "20.00",
    }  # fmt: skip
    assert len(set(hook.ids)) == 2
    assert cli.ok("notify", "--url", hook.url) == "alerts delivered: 0\n"


def test_a_hundred_who_tell_at_once_tell_each_once(cli: Cli, hook: Hook, engine: Engine) -> None:
    _two_crossings(cli)
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: deliver(engine, hook.url, SECRET), range(100)))
    assert sum(told) == 2
    assert [event["type"] for event in hook.taken] == ["wallet.below_threshold", "wallet.above_threshold"]


@pytest.mark.parametrize("status", [400, 302])
def test_what_is_not_taken_is_told_again(cli: Cli, hook: Hook, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setenv("TICKMARK_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("TICKMARK_WEBHOOK_URL", hook.url)
    _two_crossings(cli)
    hook.answers = [204, status]
    hook.taken.clear()
    assert f"expected 2xx, got {status}" in cli.refused("notify")
    assert cli.ok("notify") == "alerts delivered: 1\n"
    assert json.dumps(hook.taken).count("wallet.") == 2


def test_a_forged_alert_does_not_verify(cli: Cli, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify("{}", {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"})
    _two_crossings(cli)
    monkeypatch.setenv("TICKMARK_WEBHOOK_SECRET", "whsec_")
    assert "expected whsec_ and base64" in cli.refused("notify", "--url", hook.url)
    monkeypatch.delenv("TICKMARK_WEBHOOK_SECRET")
    assert cli.run("notify", "--url", hook.url).exit_code == 2
    monkeypatch.setenv("TICKMARK_WEBHOOK_SECRET", SECRET)
    assert "expected an answer" in cli.refused("notify", "--url", "http://127.0.0.1:9/")
