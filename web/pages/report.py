"""Pages of reports, of what makes up their figures, of receivables and taxes, and of the rulebook."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

from flask import Response, current_app, render_template, request, send_file
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from adapters.targets.sheets import write_report
from ledger.accounts.chart import ROLES
from ledger.accounts.rulebook import BY_NUMBER
from ledger.amounts.dates import parse_month
from ledger.errors import Refused
from ledger.reports.report import GROUPS, PERIODS, Filters, Report, check_filters
from ledger.reports.trial_balance import held_by_currency
from revrec.reports.behind_a_figure import EARNED, Figure, made_of
from revrec.reports.flows import FLOWS
from web.access.guard import engine, limited, require_all_entities
from web.pages.charts import aging_bars, waterfall_chart
from web.pages.query import asked_beside, moment, one_of, parsed, report_filters
from web.pages.words import blueprint
from web.render.frame import frame, framed
from web.render.links import figure_link
from web.render.wording import disposition
from web.serving.gates import REPORTS, few_at_once
from web.work import reports


@blueprint.get("/receivables")
@framed("entity", "customer", "period", "as_of", "known_at")
@few_at_once(REPORTS)
def receivables() -> str:
    """Who owes what for how long, and whom to remind."""
    filters = replace(frame().filters(), since=None)
    with engine().connect() as connection:
        aging = reports.make(connection, "ar-aging", filters)
        reminders = reports.make(connection, "dunning", filters)
    bars = {row["currency"]: aging_bars(aging, row["currency"]) for row in aging.totals}
    return render_template("receivables.html", aging=aging, reminders=reminders, bars=bars, filters=filters)


@blueprint.get("/taxes")
@framed("entity", "period", "as_of", "known_at")
@few_at_once(REPORTS)
def taxes() -> str:
    """Taxes by month and code, and what of them is payable by the ledger."""
    filters = report_filters(request.args)
    with engine().connect() as connection:
        report = reports.make(connection, "tax", filters)
        figure = Figure(("tax_payable",), True, replace(filters, since=None, transaction=True))
        payable = held_by_currency(connection, replace(filters, since=None), "tax_payable")
        left = reports.make(connection, "tax-payable", filters)
    charged: dict[str, int] = {}
    for row in report.rows:
        charged[row["currency"]] = charged.get(row["currency"], 0) + row["tax"]
    owed = {currency: -net for currency, net in payable.items()}
    return render_template(
        "taxes.html", report=report, left=left, filters=filters, owed=owed, charged=charged, href=figure_link(figure)
    )


@blueprint.get("/reports")
@framed()
def report_list() -> str:
    """Every report, and what it answers."""
    return render_template("reports.html", groups=reports.GROUPS)


@blueprint.get("/reports/<name>")
@framed(by=lambda place: reports.filters_of(place["name"]))
@few_at_once(REPORTS)
def report(name: str) -> str | BaseResponse:
    """A report, as a table or a file, as of a day and as known at a moment."""
    if name not in reports.REPORTS:
        raise NotFound(f"no report is called {name}; expected one of {', '.join(reports.REPORTS)}")
    if name in reports.OF_ALL_ENTITIES:
        require_all_entities(f"the report {name}")
    filters = report_filters(request.args)
    with engine().connect() as connection:
        made = reports.make(connection, name, filters, moment(request.args, "against"))
    form = request.args.get("format", "table")
    if form == "csv":
        return Response(
            reports.csv_lines(made),
            mimetype="text/csv",
            headers=disposition("attachment", f"{name}.csv"),
        )
    if form == "xlsx":
        content = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the answer
        write_report(made, content)
        content.seek(0)
        return send_file(content, as_attachment=True, download_name=f"{name}.xlsx")
    query = [(key, value) for key, value in request.args.items(multi=True) if value and key != "format"]
    return render_template(
        "report.html",
        report=made,
        chart=_report_chart(made, filters),
        filters=filters,
        against=request.args.get("against", ""),
        periods=list(PERIODS),
        groups=GROUPS[1:],
        query=urlencode(query),
    )


def _report_chart(report: Report, filters: Filters) -> dict[str, Any] | None:
    """The months of a waterfall of one currency, around the last that is recognised."""
    currencies = {row["currency"] for row in report.rows}
    if report.name != "revenue-waterfall" or filters.period != "month" or len(currencies) != 1:
        return None
    done = [row["month"] for row in report.rows if row["status"] == "recognised"]
    last = max(done, default=min(row["month"] for row in report.rows))
    return waterfall_chart(report, parse_month(last), currencies.pop())


@blueprint.get("/figure")
@framed(exact=True)
@few_at_once(REPORTS)
def figure() -> str:
    """The lines that add up to a figure of a report."""
    asked = request.args
    roles = tuple(asked.get("role", "").split(","))
    for role in roles:
        if role not in ROLES:
            raise Refused("role", role, f"expected one of {', '.join(ROLES)}")
    # "of no product" is another question than "of any"
    stated = Filters(
        as_of=parsed(asked, "as_of", date.fromisoformat, "a date such as 2026-01-31"),
        known_at=moment(asked, "known_at"),
        entity=asked.get("entity") or None,
        customer=asked.get("customer"),
        product=asked.get("product"),
    )
    filters = limited(replace(stated, **asked_beside(asked) | {"contract": asked.get("contract")}))
    flows = [f"{kind}.{name}" for kind, named in FLOWS.items() for name in (*named, "other")]
    wanted = Figure(
        roles, asked.get("side") == "credit", filters, asked.get("code"), one_of(asked, "flow", flows), asked.get("subject"),
        one_of(asked, "earned", tuple(EARNED)), asked.get("shown_in"), asked.get("booked"),
    )  # fmt: skip
    with engine().connect() as connection:
        check_filters(connection, replace(filters, product=filters.product or None, contract=filters.contract or None))
        made = made_of(connection, wanted)
    return render_template("figure.html", report=made, figure=wanted, filters=filters, roles=ROLES)


@blueprint.get("/rules")
@framed()
def rules() -> str:
    """The rulebook."""
    return render_template("rules.html", rules=BY_NUMBER.values(), roles=ROLES)


@blueprint.get("/docs")
@framed()
def docs() -> str:
    """The API, drawn from its OpenAPI description."""
    return render_template("docs.html", spec=current_app.extensions["tickmark.openapi"].to_dict())
