"""The work of a month's end over the API: periods, checklists, recognition and seals."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from http import HTTPStatus
from typing import Any

from flask.views import MethodView
from marshmallow import RAISE, Schema, fields, validate
from sqlalchemy import text

from ledger.amounts.dates import month_text, parse_month
from ledger.errors import Refused
from ledger.journal import entries, periods
from ledger.proof import seals
from revrec.earn.recognition import recognize
from web.access.guard import engine, needs, require_all_entities, require_entities, who
from web.api.idempotency import once
from web.api.lists import NOT_FOUND, REFUSED, PageQuerySchema, blueprint
from web.serving.gates import CHECKS, CLOSES, SEALS, few_at_once
from web.serving.patience import LOCK_SECONDS
from web.work.closing import checklist, close


class PeriodSchema(Schema):
    """How far an entity's books are closed."""

    entity = fields.String()
    closed_through = fields.Date(allow_none=True)
    first_open_day = fields.Date()
    history = fields.List(fields.Dict())


class ChecklistSchema(Schema):
    """What a month still waits for before it closes."""

    name = fields.String()
    done = fields.Boolean()
    detail = fields.String()
    warning = fields.Boolean(metadata={"description": "Where it is not done, closing need not wait for it."})
    report = fields.String(metadata={"description": "The report that shows it, where one does."})
    todo = fields.String(metadata={"description": "The command that does it, where one does."})


class CloseSchema(Schema):
    """Which month to close, also `anyway` where something is undone, or why to open the last closed one again."""

    month = fields.String(
        required=True,
        validate=validate.Regexp(r"^\d{4}-(0[1-9]|1[0-2])$", error="expected a month such as 2026-01"),
        metadata={"example": "2026-01"},
    )
    reopen = fields.Boolean(load_default=False)
    anyway = fields.Boolean(
        load_default=False, metadata={"description": "Close it with something undone; the reason is kept with that."}
    )
    reason = fields.String(load_default="")


@blueprint.route("/periods/<ref:entity>")
class Periods(MethodView):
    """Months of an entity's books."""

    @blueprint.response(200, PeriodSchema)
    @blueprint.alt_response(404, response=NOT_FOUND)
    def get(self, entity: str) -> dict[str, Any]:
        """How far the books are closed, and who closed and reopened what."""
        require_entities([entity])
        with engine().connect() as connection:
            return _period(connection, entity)

    @needs("controller")
    @once
    @blueprint.arguments(CloseSchema, unknown=RAISE, example={"month": "2026-01"})
    @blueprint.response(200, PeriodSchema)
    @blueprint.alt_response(404, response=NOT_FOUND)
    @blueprint.alt_response(422, response=REFUSED)
    @few_at_once(CLOSES)
    def post(self, body: dict[str, Any], entity: str) -> dict[str, Any]:
        """Close a month of which nothing is undone, or anyway; or open the last closed one again, with a reason.

        What is posted is sealed when it closes.
        """
        require_entities([entity])
        month = parse_month(body["month"])
        if body["reopen"]:
            with engine().begin() as connection:
                periods.reopen(connection, entity, month, who().name, body["reason"])
        else:
            close(engine(), [entity], month, who().name, anyway=body["anyway"], reason=body["reason"])
            seals.seal(engine(), who().name)
        with engine().connect() as connection:
            return _period(connection, entity)


def _period(connection: Any, entity: str) -> dict[str, Any]:
    periods.currency(connection, entity)
    return {
        "entity": entity, "closed_through": periods.closed_through(connection, entity),
        "first_open_day": periods.first_open_day(connection, entity),
        "history": [
            {"month": month_text(row.month), "action": row.action, "at": row.at.isoformat(), "by": row.by, "reason": row.reason,
             "undone": row.undone}
            for row in periods.events(connection, entity)
        ],
    }  # fmt: skip


@blueprint.route("/periods/<ref:entity>/<string:month>/checklist")
class Checklist(MethodView):
    """What a month waits for."""

    @blueprint.response(200, ChecklistSchema(many=True))
    @blueprint.alt_response(404, response=NOT_FOUND)
    @blueprint.alt_response(422, response=REFUSED)
    @few_at_once(CHECKS, long=True)
    def get(self, entity: str, month: str) -> list[dict[str, Any]]:
        """What a month still waits for before it closes; nothing is posted."""
        require_entities([entity])
        return [asdict(item) for item in checklist(engine(), entity, _month(month), who().name)]


def _month(given: str) -> date:
    try:
        return parse_month(given)
    except ValueError:
        raise Refused("month", given, "expected a month such as 2026-01") from None


class RecognitionQuerySchema(Schema):
    """Through which month to recognise."""

    through = fields.String(
        required=True,
        validate=validate.Regexp(r"^\d{4}-(0[1-9]|1[0-2])$", error="expected a month such as 2026-01"),
        metadata={"example": "2026-01"},
    )


class RecognitionSchema(Schema):
    """What a run of recognition posted."""

    through = fields.String()
    entries = fields.Integer()
    expired_grants = fields.Integer()


@blueprint.route("/recognitions")
class Recognitions(MethodView):
    """Recognition of revenue."""

    @needs("controller")
    @once
    @blueprint.arguments(RecognitionQuerySchema, unknown=RAISE, example={"through": "2026-01"})
    @blueprint.response(200, RecognitionSchema)
    @blueprint.alt_response(403, response=HTTPStatus(403).name)
    @blueprint.alt_response(422, response=REFUSED)
    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """Post the revenue that is due through a month, of all entities; a second run posts nothing."""
        require_all_entities("recognition")
        with engine().begin() as connection:
            run = recognize(connection, parse_month(body["through"]), who().name)
            return {"through": body["through"], "entries": run.entries, "expired_grants": run.expired_grants}


class SealSchema(Schema):
    """A block of sealed entries."""

    seal = fields.Integer()
    first_entry = fields.Integer()
    last_entry = fields.Integer()
    entries = fields.Integer()
    root = fields.String()
    previous = fields.String()
    hash = fields.String()
    sealed_at = fields.String()
    sealed_by = fields.String()


class SealPageSchema(Schema):
    """Seals, oldest first."""

    rows = fields.List(fields.Nested(SealSchema))
    next = fields.String(allow_none=True)


@blueprint.route("/seals")
class Seals(MethodView):
    """Seals of what is posted."""

    @blueprint.arguments(PageQuerySchema(only=("after", "limit")), location="query", unknown=RAISE)
    @blueprint.response(200, SealPageSchema)
    @blueprint.alt_response(422, response=REFUSED)
    def get(self, query: dict[str, Any]) -> dict[str, Any]:
        """Seals in the order in which they were made."""
        after = query["after"] or "0"
        if not entries.is_number(after):
            raise Refused("after", after, "expected `next` of the page before")
        with engine().connect() as connection:
            rows = connection.execute(
                text(
                    "select seal_id as seal, first_entry, last_entry, entries, encode(root, 'hex') as root, encode(previous, 'hex') as previous,"
                    " encode(hash, 'hex') as hash, sealed_at, sealed_by from seal where seal_id > :after order by seal_id limit :limit"
                ),
                {"after": int(after), "limit": query["limit"]},
            ).all()
        found = [dict(row._mapping) | {"sealed_at": row.sealed_at.isoformat()} for row in rows]
        return {"rows": found, "next": str(rows[-1].seal) if len(rows) == query["limit"] else None}

    @needs("controller")
    @once
    @blueprint.response(200, Schema.from_dict({"sealed": fields.Integer(), "said": fields.String()}, name="Sealed"))
    @few_at_once(SEALS)
    def post(self) -> dict[str, Any]:
        """Seal what is posted and not sealed yet."""
        done = seals.seal(engine(), who().name, LOCK_SECONDS)
        return {"sealed": done.entries, "said": done.sentence if done.head is not None else "nothing is posted yet"}
