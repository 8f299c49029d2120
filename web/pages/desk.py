"""The month-end desk: closing as a list whose steps run, exports and where they went, and the audit log."""

from __future__ import annotations

import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from flask import Blueprint, current_app, redirect, render_template, request, send_file, url_for
from sqlalchemy import Connection, Engine, text
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from adapters.out import kept_exports
from adapters.out.export import BOOKS, TARGETS, export_file
from adapters.out.sent import exported
from ledger.amounts.dates import FIRST_DAY, LAST_DAY, month_end, month_start, month_text, parse_month
from ledger.errors import ProblemList, Refused
from ledger.journal import periods, revaluation
from ledger.proof import seals
from ledger.reports.report import Filters, last_day
from revrec.earn.recognition import recognize
from web.access.guard import engine, needs, require_all_entities, require_entities, who
from web.api.exports import job_file as answer_file
from web.render.frame import chosen, frame, framed
from web.render.wording import file_name
from web.serving.gates import CHECKS, CLOSES, WORKBOOKS, few_at_once
from web.work import export_jobs
from web.work.closing import Item
from web.work.closing import checklist as items_of
from web.work.closing import close as close_month

blueprint = Blueprint("desk", __name__)

AUDIT_DAYS = 30
_EVENTS_SHOWN = 100
# What each step of the checklist that can be run is called on its button, by its place in the list.
_BUTTONS = {"recognize": "Recognise", "revalue": "Revalue"}


def _month(given: str) -> date:
    try:
        return parse_month(given)
    except ValueError:
        raise Refused("month", given, "expected a month such as 2026-01") from None


@blueprint.get("/close")
@framed("entity", "period", of_one_entity=True, month="period")
def close() -> str:
    """A month's end: what it waits for, and the steps that do it."""
    with engine().connect() as connection:
        of = chosen(connection)
        if of is None:
            return render_template("empty.html")
        _, last = frame().days()
        first_open = periods.first_open_day(connection, of.entity)
        month = _next(connection, of.entity, first_open) if last is None else month_start(last)
        events = periods.events(connection, of.entity)[: -_EVENTS_SHOWN - 1 : -1]
        closed = periods.closed_through(connection, of.entity)
    return render_template("close.html", entity=of, month=month, last=month_end(month), closed=closed, events=events)


def _next(connection: Connection, entity: str, first_open: date) -> date:
    """The month of an entity to close next: the first open one that has something posted, else the last that has."""
    posted = month_start(last_day(connection, Filters(entity=entity)))
    first = connection.scalar(
        text(
            "select min(p.effective_on) from posting p join account a on a.customer_id = p.customer_id and a.account_id = p.debit_account"
            " where p.effective_on >= :day and a.entity = :entity"
        ),
        {"day": first_open, "entity": entity},
    )
    return month_start(first) if first is not None else posted


@blueprint.get("/close/<ref:entity>/<month>")
@framed()
def checklist(entity: str, month: str) -> str:
    """What a month waits for: each step is tried and taken back."""
    require_entities([entity])
    return _shown(entity, month)


@few_at_once(CHECKS, long=True)
def _shown(entity: str, month: str, said: str = "", wrong: str = "") -> str:
    first = _month(month)
    with engine().connect() as connection:
        closed = periods.closed_through(connection, entity)
        periods.currency(connection, entity)
    is_closed = closed is not None and first <= closed
    found = [] if is_closed else items_of(engine(), entity, first, who().name)
    items: list[tuple[Item, str | None]] = list(
        zip(found, ("recognize", "revalue", *[None] * len(found)), strict=False)
    )
    template = "_checklist.html" if request.headers.get("HX-Request") else "checklist.html"
    return render_template(
        template, entity=entity, month=month_text(first), items=items, closed=is_closed, ready=not any(item.waits for item in found), last=month_end(first),
        may=who().may("controller"), buttons=_BUTTONS, said=said or ("" if not is_closed else f"{month_text(first)} is closed."), wrong=wrong,
    )  # fmt: skip


@blueprint.post("/close/<ref:entity>/<month>/<step>")
@framed()
@needs("controller")
def run(entity: str, month: str, step: str) -> str | Response:
    """Run a step of a month's end, and show what is left."""
    require_entities([entity])
    first = _month(month)
    said = wrong = ""
    try:
        said = _run(engine(), entity, first, step)
    except ProblemList as several:
        wrong = "; ".join(map(str, several.problems))
    except Refused as refused:
        wrong = str(refused)
    if not request.headers.get("HX-Request") and not wrong:
        return redirect(url_for("desk.checklist", entity=entity, month=month_text(first)))
    return _shown(entity, month, said, wrong)


@few_at_once(CLOSES)
def _run(books: Engine, entity: str, month: date, step: str) -> str:
    by = who().name
    if step == "recognize":
        require_all_entities("recognition")
        with books.begin() as connection:
            return f"Recognised through {month_text(month)}: {recognize(connection, month, by).entries:,} entries."
    if step == "revalue":
        with books.begin() as connection:
            return f"Revalued: {revaluation.revalue(connection, entity, month, by).entries:,} entries."
    if step == "close":
        anyway, reason = bool(request.form.get("anyway")), request.form.get("reason", "")
        close_month(books, [entity], month, by, anyway=anyway, reason=reason)
        return f"{month_text(month)} is closed. {seals.seal(books, by).sentence}."
    if step == "reopen":
        with books.begin() as connection:
            periods.reopen(connection, entity, month, by, request.form.get("reason", ""))
        return f"{month_text(month)} is open again."
    raise NotFound(f"no step is called {step}")


@blueprint.get("/exports")
@framed("entity", of_one_entity=True)
def exports() -> str:
    """What went into which accounting system, and what is new."""
    with engine().connect() as connection:
        of = chosen(connection)
        if of is None:
            return render_template("empty.html")
        filters = Filters(entity=of.entity)
        last = connection.scalar(text("select coalesce(max(entry_id), 0) from entry")) or 0
        found = [kept_exports.status(connection, target, filters, last) for target in TARGETS]
        return render_template(
            "exports.html", entity=of, filters=filters, kept=[report for report in found if report.rows], targets=[*TARGETS, *BOOKS], may=who().may("controller"),
            sent=exported(connection, filters),
        )  # fmt: skip


@blueprint.post("/exports")
@framed()
@needs("controller")
def ask() -> str | Response:
    """Ask for an export; its progress takes the place of the form."""
    file = request.files.get("mapping")
    mapping = file.read(export_jobs.MAPPING_BYTES_MAX + 1) if file else b""
    try:
        asked = export_jobs.Asked(
            request.form.get("target", ""), request.form.get("entity", ""), mapping.decode(), request.form.get("detail") or None,
            new=bool(request.form.get("new")),
        )  # fmt: skip
        require_entities([asked.entity])
        number = current_app.extensions["tickmark.jobs"].ask(asked, who().name)
    except UnicodeDecodeError:
        return _wrong("mapping: expected a TOML file in UTF-8")
    except Refused as refused:
        return _wrong(str(refused))
    if not request.headers.get("HX-Request"):
        return redirect(url_for("desk.job", number=number))
    return job(number)


def _wrong(said: str) -> str:
    return render_template("_job.html", job=None, wrong=said)


@blueprint.get("/exports/jobs/<int:number>")
@framed()
def job(number: int) -> str:
    """How far an export is."""
    found = export_jobs.find(engine(), number, who().sees)
    template = "_job.html" if request.headers.get("HX-Request") else "job.html"
    return render_template(template, job=found, wrong="")


@blueprint.get("/exports/jobs/<int:number>/file")
def job_file(number: int) -> Response:
    """What an export wrote."""
    export_jobs.find(engine(), number, who().sees)
    return answer_file(number)


@blueprint.get("/exports/<ref:entity>/workbook")
@few_at_once(WORKBOOKS, long=True)
def workbook(entity: str) -> Response:
    """The workbook, written and proven to tie for this request."""
    require_entities([entity])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tickmark.xlsx"
        with engine().connect() as connection:
            export_file(connection, "workbook", Filters(entity=entity), str(path))
        file = path.open("rb")  # the folder may go: what is open stays until it is sent
    return send_file(file, as_attachment=True, download_name=f"tickmark-{file_name(entity)}.xlsx")


@blueprint.get("/audit")
@framed()
def audit() -> str:
    """Who did what in the thirty days up to one, newest first; what was posted at once is one line a type."""
    require_all_entities("the audit log")
    raw = request.args.get("to", "")
    try:
        last = date.fromisoformat(raw) if raw else datetime.now(UTC).date()
    except ValueError:
        raise Refused("to", raw, "expected a date such as 2026-01-31") from None
    if not FIRST_DAY <= last <= LAST_DAY:
        raise Refused("to", raw, f"expected a date from {FIRST_DAY} to {LAST_DAY}")
    first = last - timedelta(days=AUDIT_DAYS - 1)
    with engine().connect() as connection:
        rows = connection.execute(text(_EVENTS), {"first": first, "next": last + timedelta(days=1)}).all()
        begun = connection.scalar(
            text("select exists (select from document where posted_at < :first)"), {"first": first}
        )
    return render_template(
        "audit.html", rows=rows, first=first, last=last, earlier=first - timedelta(days=1) if begun else None
    )


_WITHIN = "{at} >= cast(:first as date)::timestamp at time zone 'UTC' and {at} < cast(:next as date)::timestamp at time zone 'UTC'"
_EVENTS = (
    "select * from ("
    "(select posted_at as at, posted_by as who, 'posted ' || case when count(*) = 1 then '' else count(*) || ' x ' end"
    "  || replace(type, '_', ' ') as what, case when count(*) = 1 then min(ref) else min(ref) || ' to ' || max(ref) end as of,"
    "  case when count(*) = 1 then type || ':' || min(ref) else '' end as ref"
    f" from document where {_WITHIN.format(at='posted_at')} group by posted_at, posted_by, type) union all "
    "(select at, by, action || ' ' || to_char(month, 'YYYY-MM'), entity || case when reason <> '' then ': ' || reason else '' end"
    "  || case when undone <> '{}' then '; undone: ' || array_to_string(undone, '; ') else '' end, ''"
    f" from period_event where {_WITHIN.format(at='at')}) union all "
    "(select sealed_at, sealed_by, 'sealed', 'entries ' || first_entry || ' to ' || last_entry, ''"
    f" from seal where {_WITHIN.format(at='sealed_at')}) union all "
    "(select created_at, created_by, 'made a key', name || ', ' || role, '' from api_key"
    f" where {_WITHIN.format(at='created_at')}) union all "
    "(select revoked_at, revoked_by, 'revoked a key', name || ', ' || role, '' from api_key"
    f" where {_WITHIN.format(at='revoked_at')}) union all "
    "(select at, by, 'exported to ' || target, 'export ' || export_id || ' of ' || entity || ', ' || file, '' from export_run"
    f" where {_WITHIN.format(at='at')})"
    ") x order by at desc, what"
)
