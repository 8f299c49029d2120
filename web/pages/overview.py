"""The pages: an overview for the month end, and every figure on it a link to what makes it up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from flask import render_template, url_for
from sqlalchemy import Connection, text

from ledger.accounts.chart import ROLES
from ledger.amounts.dates import month_end, month_start
from ledger.amounts.money import grouped
from ledger.errors import Refused
from ledger.journal import entries, periods
from ledger.proof import seals
from ledger.reports.report import Filters, Report, last_day
from ledger.reports.trial_balance import held_by_currency
from revrec.reports.behind_a_figure import Figure
from revrec.reports.waterfall import REVENUE_ROLES
from web.access.guard import engine
from web.pages.charts import aging_bars, waterfall_chart
from web.pages.words import blueprint
from web.render.frame import chosen, frame, framed
from web.render.links import figure_link
from web.serving.gates import REPORTS, few_at_once
from web.work import reports
from web.work.attention import alerts

LATEST = 6


@blueprint.get("/")
@framed("entity", "period", "as_of", "known_at", of_one_entity=True)
@few_at_once(REPORTS)
def overview() -> str:
    """Where the books stand: this month's revenue, what is owed and owing, and what the month end waits for."""
    with engine().connect() as connection:
        of = chosen(connection)
        if of is None:
            return render_template("empty.html")
        filters = replace(frame().filters(of.entity), since=None)
        filters = replace(filters, as_of=filters.as_of or month_end(last_day(connection, filters)))
        assert filters.as_of is not None, "set above"
        this_month = month_start(filters.as_of)
        figures = _figures(connection, filters)
        before = _figures(connection, replace(filters, as_of=this_month - timedelta(days=1)))
        waterfall = _in_its_currency(connection, filters, of.currency)
        aging = reports.make(connection, "ar-aging", filters)
        receivable = held_by_currency(connection, filters, "accounts_receivable")
        attention = alerts(connection, filters, aging)
        sealed = seals.head(connection)
        verified: Any = connection.execute(
            text("select at, differing from verification order by verification_id desc limit 1")
        ).first()
        latest = entries.read_entries(
            connection,
            "e.effective_on <= :as_of and exists (select from posting p join account a on a.customer_id = p.customer_id"
            " and a.account_id = p.debit_account where p.customer_id = e.customer_id and p.entry_id = e.entry_id"
            " and a.entity = :entity)",
            {"as_of": filters.as_of, "entity": filters.entity},
            limit=LATEST,
            order="e.entry_id desc",
        )
        closed = periods.closed_through(connection, of.entity)
        recognised = connection.scalar(text("select max(dated_on) from document where type = 'recognition'"))
    moved = {key: figures[key] - before[key] for key in figures}
    of_month = replace(filters, since=this_month)
    links = {
        "revenue": figure_link(Figure(REVENUE_ROLES, True, of_month)), "breakage": figure_link(Figure(("breakage_revenue",), True, of_month)),
        "cash": figure_link(Figure(("cash",), False, of_month)),
    }  # fmt: skip
    return render_template(
        "overview.html",
        entity=of, filters=filters, links=links, month=this_month, figures=figures, moved=moved,
        previous=_revenue_of_month(waterfall, this_month - timedelta(days=1)),
        chart=waterfall_chart(waterfall, this_month, of.currency),
        aging=aging_bars(aging, of.currency), latest=latest, alerts=attention, sealed=sealed, verified=verified,
        tasks=_tasks(filters.as_of, closed, recognised, figures, _ties(aging, receivable) and figures["imbalance"] == 0, of),
        closed=closed, others=[row for row in aging.totals if row["currency"] != of.currency],
    )  # fmt: skip


def _in_its_currency(connection: Connection, filters: Filters, currency: str) -> Report:
    """The waterfall in an entity's currency; where a rate is missing, of what is in it."""
    try:
        return reports.make(connection, "revenue-waterfall", replace(filters, transaction=False))
    except Refused:
        return reports.make(connection, "revenue-waterfall", replace(filters, currency=currency))


def _ties(aging: Report, ledger: Mapping[str, int]) -> bool:
    """Whether receivables by age are those of the ledger, in each currency."""
    due: dict[str, int] = {}
    for row in aging.rows:
        due[row["currency"]] = due.get(row["currency"], 0) + row["due"]
    return all(due.get(currency, 0) == ledger.get(currency, 0) for currency in {*due, *ledger})


def _figures(connection: Connection, filters: Filters) -> dict[str, int]:
    """Each role's balance on its normal side, and revenue net of breakage and promotions, in functional currency."""
    report = reports.make(connection, "trial-balance", replace(filters, memorandum=False))
    found = dict.fromkeys(ROLES, 0)
    for row in report.rows:
        found[row["role"]] += ROLES[row["role"]].sign * (row["debit"] - row["credit"])
    found["net_revenue"] = found["revenue"] + found["breakage_revenue"] - found["promotional_credits"]
    found["imbalance"] = sum(row["debit"] - row["credit"] for row in report.rows)
    return found


def _revenue_of_month(waterfall: Report, on: date) -> int:
    name = f"{on:%Y-%m}"
    return sum(row["amount"] for row in waterfall.rows if row["month"] == name and row["status"] == "recognised")


def _tasks(
    as_of: date, closed: date | None, recognised: date | None, figures: dict[str, int], ties: bool, entity: Any
) -> list[tuple[bool, str, str | None]]:
    """The month end as a list: done or waiting, in a sentence, with the page that shows it."""
    unapplied = figures["customer_balance"]
    unbilled = figures["unbilled_receivable"]
    shown = f"{as_of:%B %Y}"
    return [
        (
            recognised is not None and recognised >= as_of,
            f"Revenue recognised through {recognised:%B %Y}" if recognised else "Revenue is not recognised yet",
            url_for("pages.report", name="revenue-waterfall", customer=None, product=None, period=None),
        ),
        (
            ties,
            "Receivables by age tie to the ledger" if ties else "Receivables by age differ from the ledger",
            url_for("pages.report", name="ar-aging", customer=None, product=None, as_of=as_of, period=None),
        ),
        (
            not unbilled,
            f"{grouped(unbilled, entity.currency)} {entity.currency} earned and not invoiced"
            if unbilled
            else "Everything earned is invoiced",
            url_for("pages.ledger_account", entity=entity.entity, role="unbilled_receivable", as_of=as_of),
        ),
        (
            not unapplied,
            f"{grouped(unapplied, entity.currency)} {entity.currency} of customers' money and goodwill not applied"
            if unapplied
            else "All of customers' money and goodwill is applied",
            url_for("pages.ledger_account", entity=entity.entity, role="customer_balance", as_of=as_of),
        ),
        (
            closed is not None and closed >= as_of,
            f"{shown} closed" if closed and closed >= as_of else f"Close {shown}",
            None,
        ),
    ]
