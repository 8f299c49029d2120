"""Reports by name, as the command line, the API and the pages offer them, and as text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from ledger import alerts, balances, coupons, financials, forecast, masters, reports, statements
from ledger.reports import Filters, Report, check_filters
from revrec import catalogue, costs, disclosures, estimates, financing, logs, waterfall
from revrec.comparison import compare
from web.tables import table_text

REPORTS: Mapping[str, Callable[[Connection, Filters], Report]] = {
    "trial-balance": balances.trial_balance,
    "income-statement": financials.income_statement,
    "balance-sheet": financials.balance_sheet,
    "summary": balances.summary,
    "revenue-waterfall": waterfall.waterfall,
    "deferred-rollforward": disclosures.deferred_roll_forward,
    "asset-rollforward": disclosures.asset_roll_forward,
    "contract-balances": disclosures.contract_balances,
    "remaining-obligations": disclosures.remaining_obligations,
    "disaggregation": disclosures.disaggregation,
    "schedule": disclosures.schedule,
    "unbilled": disclosures.unbilled,
    "stand-alone-prices": catalogue.stand_alone_prices,
    "contracts": logs.contracts,
    "allocation": logs.allocation,
    "modifications": logs.modifications,
    "estimates": estimates.estimates,
    "financing": financing.financing,
    "contract-costs": costs.contract_costs,
    "recognition-journal": logs.recognition_journal,
    "changes": logs.changes,
    "wallet": reports.wallet,
    "wallet-forecast": forecast.wallet_forecast,
    "wallet-alerts": alerts.wallet_alerts,
    "ar-aging": reports.ar_aging,
    "statement": statements.statement,
    "dunning": statements.dunning,
    "tax": reports.tax,
    "between-entities": masters.between_entities,
    "discounts": coupons.discounts,
}

# Spreadsheets run a cell that starts with one of these as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def make(connection: Connection, name: str, filters: Filters, against: datetime | None = None) -> Report:
    """A report by its name, or its differences against what was known at a moment.

    Raises Refused for a filter that names nothing in the books.
    """
    check_filters(connection, filters)
    if against is not None:
        return compare(connection, partial(REPORTS[name], connection), filters, against)
    return REPORTS[name](connection, filters)


def render(report: Report, form: str) -> str:
    """A report as JSON, CSV or a text table."""
    if form == "json":
        return json.dumps(report.json_rows(), indent=2, ensure_ascii=False) + "\n"
    if form == "csv":
        return _csv(report)
    return table_text(report)


def _csv(report: Report) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.key for column in report.columns])
    amounts = {column.key for column in report.columns if column.kind in ("amount", "number")}
    for row in report.json_rows():
        writer.writerow([value if key in amounts else _inert(value) for key, value in row.items()])
    return out.getvalue()


def _inert(value: object) -> object:
    """Text that a spreadsheet would run as a formula, made plain text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
