"""What was sent to accounting systems, object by object."""

from __future__ import annotations

from typing import Any

import simplejson
from sqlalchemy import Connection, text

from ledger.reports.report import Column, Filters, Report, narrowed

# The last attempt at a company, and its answer.
LAST_ANSWER = """
    left join lateral (
        select t.attempt, t.request from export_attempt t
        where t.export_id = i.export_id and t.place = i.place and t.company = :company order by t.attempt desc limit 1
    ) t on true
    left join export_answer a on a.export_id = i.export_id and a.place = i.place and a.attempt = t.attempt
"""


def read_answer(body: str) -> Any:
    """JSON as it was kept, numbers as decimals."""
    return simplejson.loads(body, use_decimal=True)


def exported(connection: Connection, filters: Filters) -> Report:
    """What was sent where, with the id it has there: every object of every kept export that was sent, its last attempt."""
    narrowing, parameters = narrowed(filters, entity="r.entity")
    rows = connection.execute(
        text(
            "select r.target, r.entity, i.export_id as export, i.kind, i.number, t.company, coalesce(a.their_id, '') as their_id,"
            " coalesce(a.outcome, 'no answer') as outcome, coalesce(a.said, '') as said, t.attempt, coalesce(a.at, t.at) as at, t.by as who "
            "from export_item i join export_run r using (export_id) join lateral ("
            " select distinct on (company) * from export_attempt t where t.export_id = i.export_id and t.place = i.place"
            "  and (cast(:until as timestamptz) is null or t.at <= :until)"
            " order by company, attempt desc) t on true "
            "left join export_answer a on a.export_id = i.export_id and a.place = i.place and a.attempt = t.attempt"
            " and (cast(:until as timestamptz) is null or a.at <= :until) "
            f"where {narrowing} order by i.export_id, i.place, t.company"
        ),
        parameters | {"until": filters.known_at},
    )
    columns = (
        Column("target", "System"), Column("entity", "Entity"), Column("company", "Company"), Column("export", "Export"),
        Column("kind", "Object"), Column("number", "Number"), Column("outcome", "Became"), Column("their_id", "Id there"),
        Column("attempt", "Attempt", "number"), Column("at", "When"), Column("who", "Who"), Column("said", "It said"),
    )  # fmt: skip
    found = [
        dict(row._mapping) | {"export": str(row.export), "at": row.at.isoformat(timespec="seconds")} for row in rows
    ]
    return Report(
        "exported", "What was sent to accounting systems", columns, tuple(found), empty="Nothing was sent: `tickmark export TARGET --send EXPORT` does."
    )  # fmt: skip
