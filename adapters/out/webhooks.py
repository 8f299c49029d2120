"""Alerts to a webhook, signed as https://www.standardwebhooks.com asks: in order, each until it was taken."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from sqlalchemy import Engine
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError
from urllib3.util import Retry

from ledger.amounts.money import to_text
from ledger.errors import Refused
from ledger.wallets import alerts
from ledger.wallets.alerts import Crossing

TIMEOUT_SECONDS = 10
_PASSING_STATUSES = (429, 502, 503, 504)


def event(crossing: Crossing) -> dict[str, Any]:
    """A crossing as a webhook is told it."""
    return {
        "type": f"wallet.{crossing.crossed}_threshold",
        "timestamp": crossing.at.isoformat(),
        "data": {
            "customer": crossing.customer,
            "alert": crossing.alert,
            "entity": crossing.entity,
            "currency": crossing.currency,
            "threshold": to_text(crossing.threshold, crossing.currency),
            "left": to_text(crossing.left, crossing.currency),
        },
    }


def deliver(engine: Engine, url: str, secret: str) -> int:
    """Tell a webhook every crossing it has not taken yet, the first one first; how many it took.

    Each is recorded as it is taken, so a run that is cut off goes on where it stopped; a receiver that sees a
    `webhook-id` twice has been told the same twice. Raises Refused where the webhook does not take one.
    """
    signer = _signer(secret)
    session = requests.Session()
    # a POST may be repeated: its id says that it is the same
    retry = Retry(total=4, backoff_factor=0.5, status_forcelist=_PASSING_STATUSES, allowed_methods=None)
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    taken = 0
    with session:
        while True:
            with engine.begin() as connection:
                crossing = alerts.next_undelivered(connection)
                if crossing is None:
                    return taken
                _send(session, url, signer, crossing)
                alerts.delivered(connection, crossing)
            taken += 1


def _signer(secret: str) -> Webhook:
    try:
        return Webhook(secret)
    except (ValueError, EmptyWebhookSecretError):
        raise Refused("TICKMARK_WEBHOOK_SECRET", "(hidden)", "expected whsec_ and base64") from None


def _send(session: requests.Session, url: str, signer: Webhook, crossing: Crossing) -> None:
    body = json.dumps(event(crossing), ensure_ascii=False)
    ref = f"wallet_alert_{crossing.key[2]}"
    now = datetime.now(UTC)
    headers = {
        "content-type": "application/json",
        "webhook-id": ref,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signer.sign(ref, now, body),
    }
    try:
        # a redirect would carry the body to where nobody configured it to go
        answer = session.post(url, data=body.encode(), headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        raise Refused("webhook", url, f"expected an answer: {type(error).__name__}") from error
    if not 200 <= answer.status_code < 300:
        raise Refused("webhook", url, f"expected 2xx, got {answer.status_code}")
