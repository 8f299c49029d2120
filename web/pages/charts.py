"""What the overview and the reports draw: the months around one, and receivables by age."""

from __future__ import annotations

from datetime import date
from typing import Any

from ledger.amounts.dates import parse_month
from ledger.reports.aging import AGING_BUCKETS
from ledger.reports.report import Report
from revrec.reports.waterfall import by_month
from web.render.chart_data import Series, chart

CHART_MONTHS = 12


def waterfall_chart(waterfall: Report, this_month: date, currency: str) -> dict[str, Any] | None:
    """The months around this one, recognised and scheduled; None where there is nothing."""
    months = by_month(waterfall)
    current = f"{this_month:%Y-%m}"
    past = [row for row in months if row[0] <= current][-CHART_MONTHS // 2 :]
    coming = [row for row in months if row[0] > current][: CHART_MONTHS - len(past)]
    shown = past + coming
    if not shown:
        return None
    return chart(
        "bars", [f"{parse_month(name):%b}" for name, *_ in shown],
        [
            Series("done", [recognised if name <= current else None for name, recognised, _ in shown], "recognised"),
            # of this month, what is not recognised yet stands on what is
            Series("coming", [scheduled if name >= current and scheduled else None for name, _, scheduled in shown], "scheduled"),
        ],
        currency, values=True,
    )  # fmt: skip


def aging_bars(aging: Report, currency: str) -> list[dict[str, Any]]:
    """What is due by age in a currency, and how long each bar is, in hundredths of the longest."""
    total = next((row for row in aging.totals if row["currency"] == currency), {})
    highest = max((total.get(key, 0) for key, *_ in AGING_BUCKETS), default=0)
    return [
        {"key": key, "title": title, "amount": total.get(key, 0), "width": 100 * total.get(key, 0) / (highest or 1)}
        for key, title, *_ in AGING_BUCKETS
    ]
