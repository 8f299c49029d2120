"""What those who run it ask: is it alive, can it work, how busy is it."""

from __future__ import annotations

import time

from flask import Blueprint, Flask, Response, g, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from ledger.database import connect
from ledger.errors import Refused
from web.access.guard import engine, require_all_entities
from web.access.limits import limiter

blueprint = Blueprint("ops", __name__)


@blueprint.get("/health")
@limiter.exempt
def health() -> Response:
    """Whether it runs."""
    return jsonify({"status": "alive"})


@blueprint.get("/ready")
@limiter.exempt
def ready() -> tuple[Response, int]:
    """Whether it can work: the database answers, with the schema that this release expects."""
    try:
        with engine().connect() as connection:
            found = connect.require_schema(connection)
    except SQLAlchemyError:
        return jsonify({"status": "waiting", "expected": "a database that answers"}), 503
    except Refused as refused:
        return jsonify({"status": "waiting", "expected": str(refused)}), 503
    return jsonify({"status": "ready", "schema": found}), 200


@blueprint.get("/metrics")
@limiter.exempt
def metrics() -> Response:
    """Figures for Prometheus, of all entities together; asked for with a key for all."""
    require_all_entities("what is counted of the server")
    measures: Measures = request.environ["tickmark.measures"]
    return Response(measures.shown(engine()), mimetype=CONTENT_TYPE_LATEST)


class Measures:
    """What is counted of an application's requests and of its books."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ("method", "endpoint", "status")
        self._requests = Counter("tickmark_requests", "Requests answered.", labels, registry=self._registry)
        self._seconds = Histogram(
            "tickmark_request_seconds", "How long requests took.", ("method", "endpoint"), registry=self._registry
        )
        self._gauges = {
            name: Gauge(f"tickmark_{name}", said, registry=self._registry) for name, (said, _) in _FIGURES.items()
        }

    def count(self, response: Response) -> Response:
        """Count a request that is answered."""
        endpoint = request.endpoint or "none"
        self._requests.labels(request.method, endpoint, str(response.status_code)).inc()
        self._seconds.labels(request.method, endpoint).observe(
            time.perf_counter() - g.get("begun", time.perf_counter())
        )
        return response

    def shown(self, books: Engine) -> bytes:
        """All of it, as Prometheus reads it."""
        with books.connect() as connection:
            for name, (_, query) in _FIGURES.items():
                self._gauges[name].set(connection.scalar(text(query)) or 0)
        return generate_latest(self._registry)


# Each by an index: the number of the last entry, not a count.
_UNDELIVERED = (
    "select count(*) from wallet_alert_event left join wallet_alert_delivery using (customer_id, document_id, event_id)"
    " where delivered_at is null"
)
_FIGURES = {
    "last_entry": ("Number of the last entry.", "select max(entry_id) from entry"),
    "last_sealed_entry": ("Number of the last sealed entry.", "select max(last_entry) from seal"),
    "undelivered_alerts": ("Wallet alerts that no webhook has taken yet.", _UNDELIVERED),
}


def install(app: Flask) -> None:
    """Count an application's requests, and show them."""
    measures = Measures()

    @app.before_request
    def _measured() -> None:
        request.environ["tickmark.measures"] = measures

    app.after_request(measures.count)
    app.register_blueprint(blueprint)
