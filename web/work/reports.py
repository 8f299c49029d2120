"""Reports by name, as the command line, the API and the pages offer them, and as text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from ledger.reports.report import Filters, Report, check_filters
from web.render.terminal import table_text

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Where each is, looked up when it is asked for: a command that prints one need not import them all.
REPORTS: Mapping[str, str] = {
    "trial-balance": "ledger.reports.trial_balance:trial_balance",
    "income-statement": "ledger.reports.financial_statements:income_statement",
    "balance-sheet": "ledger.reports.financial_statements:balance_sheet",
    "summary": "ledger.reports.trial_balance:summary",
    "revenue-waterfall": "revrec.reports.waterfall:waterfall",
    "deferred-rollforward": "revrec.reports.roll_forwards:deferred_roll_forward",
    "asset-rollforward": "revrec.reports.roll_forwards:asset_roll_forward",
    "contract-balances": "revrec.reports.contract_balances:contract_balances",
    "remaining-obligations": "revrec.reports.remaining_obligations:remaining_obligations",
    "disaggregation": "revrec.reports.disaggregation:disaggregation",
    "schedule": "revrec.reports.schedule:schedule",
    "unbilled": "revrec.reports.roll_forwards:unbilled",
    "standing": "revrec.reports.standing:standing",
    "below-zero": "revrec.reports.below_zero:below_zero",
    "stand-alone-prices": "revrec.stand_alone_prices:stand_alone_prices",
    "contracts": "revrec.reports.audit_logs:contracts",
    "allocation": "revrec.reports.audit_logs:allocation",
    "modifications": "revrec.reports.audit_logs:modifications",
    "estimates": "revrec.price.estimates:estimates",
    "financing": "revrec.price.financing:financing",
    "contract-costs": "revrec.earn.contract_costs:contract_costs",
    "recognition-journal": "revrec.reports.audit_logs:recognition_journal",
    "changes": "revrec.reports.audit_logs:changes",
    "wallet": "ledger.reports.wallet:wallet",
    "wallet-forecast": "ledger.wallets.forecast:wallet_forecast",
    "wallet-alerts": "ledger.wallets.alerts:wallet_alerts",
    "ar-aging": "ledger.reports.aging:ar_aging",
    "statement": "ledger.invoices.statement:statement",
    "dunning": "ledger.invoices.statement:dunning",
    "tax": "ledger.reports.tax:tax",
    "money-accounts": "ledger.cash.money_accounts:money_accounts",
    "unidentified-receipts": "ledger.payments.unidentified_receipts:unidentified",
    "tax-payable": "ledger.payments.remittances:tax_payable",
    "between-entities": "ledger.corrections.several_entities:between_entities",
    "differences": "ledger.invoices.stated_amounts:differences",
    "discounts": "ledger.invoices.coupons:discounts",
    "approvals": "ledger.approval.approvals:approvals",
    "exported": "adapters.out.sent:exported",
}

# All of them as they are told to people: in groups, each with what it answers.
GROUPS: Sequence[tuple[str, Sequence[tuple[str, str]]]] = (
    ("Books", (
        ("trial-balance", "Every account's debits and credits."),
        ("income-statement", "What was earned and spent, by fiscal year."),
        ("balance-sheet", "What is owned and owed."),
        ("summary", "Each account's movement by month."),
        ("money-accounts", "What banks and processors hold of ours."),
        ("unidentified-receipts", "Money of which nobody knows yet whose it is."),
        ("between-entities", "What entities owe each other."),
        ("approvals", "Who posted and who approved what gives money back, or something for nothing, or is entered by hand."),
    )),
    ("Revenue", (
        ("revenue-waterfall", "Recognised and still to come, by the month it was booked in."),
        ("schedule", "What is earned when, obligation by obligation."),
        ("disaggregation", "Revenue by product, customer or contract."),
        ("recognition-journal", "Every entry that recognised revenue."),
        ("discounts", "Coupons, line by line."),
        ("unbilled", "Earned, and not invoiced yet."),
        ("standing", "What is left of what has ended: neither to be billed nor claimed."),
        ("below-zero", "Months below zero that no document explains."),
    )),
    ("Contracts", (
        ("contracts", "Obligations, version by version."),
        ("deferred-rollforward", "Opening, billed, recognised, closing."),
        ("asset-rollforward", "The same of what is not billed yet."),
        ("contract-balances", "Assets and liabilities, net by contract."),
        ("remaining-obligations", "What is agreed and not yet earned, by when."),
        ("allocation", "How prices were shared out."),
        ("modifications", "What was changed, and how it counts."),
        ("estimates", "Variable consideration, and why."),
        ("financing", "Interest of financed contracts."),
        ("stand-alone-prices", "The catalogue that allocation uses."),
        ("contract-costs", "Commissions, and what is left of them."),
    )),
    ("Customers", (
        ("ar-aging", "Who owes what for how long."),
        ("statement", "A customer's account, line by line."),
        ("dunning", "Whom to remind, and how firmly."),
        ("wallet", "Grants: granted, drawn, left."),
        ("wallet-forecast", "When credits run out."),
        ("wallet-alerts", "Thresholds that were crossed."),
        ("tax", "Taxes by month and code; they tie to tax payable."),
        ("tax-payable", "Taxes charged, remitted and set off, and what is left."),
        ("differences", "Amounts and taxes that documents state otherwise than they come to."),
        ("exported", "What was sent to accounting systems."),
    )),
)  # fmt: skip

# Those whose rows are of no entity, or of two.
OF_ALL_ENTITIES = ("stand-alone-prices", "between-entities")

# What pages narrow reports by, and of it what says nothing about a report: its rows are of no product, or as they stand now.
_FILTERS = ("entity", "customer", "product", "period", "as_of", "known_at")
_SAYS_NOTHING: Mapping[str, Sequence[str]] = {
    "estimates": ("product",), "wallet-forecast": ("product",), "tax": ("product",), "differences": ("product",), "approvals": ("product",),
    "tax-payable": ("customer", "product"), "wallet-alerts": ("product", "period", "as_of"), "exported": ("customer", "product", "period", "as_of"),
    "stand-alone-prices": ("entity", "customer"),
}  # fmt: skip

# Spreadsheets run a cell that starts with one of these as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def find(name: str) -> Callable[[Connection, Filters], Report]:
    """What makes a report."""
    made: Callable[[Connection, Filters], Report] = resolve_name(REPORTS[name])
    return made


def filters_of(name: str) -> tuple[str, ...]:
    """By which filters of a page's frame a report is narrowed."""
    return tuple(said for said in _FILTERS if said not in _SAYS_NOTHING.get(name, ()))


def make(connection: Connection, name: str, filters: Filters, against: datetime | None = None) -> Report:
    """A report by its name, or its differences against what was known at a moment.

    Raises Refused for a filter that names nothing in the books.
    """
    check_filters(connection, filters)
    if against is not None:
        from revrec.reports.against_signed import compare  # noqa: PLC0415 - few reports are compared

        return compare(connection, partial(find(name), connection), filters, against)
    return find(name)(connection, filters)


def render(report: Report, form: str) -> str:
    """A report as JSON, CSV or a text table."""
    if form == "json":
        return json.dumps(report.json_rows(), indent=2, ensure_ascii=False) + "\n"
    if form == "csv":
        return "".join(csv_lines(report))
    return table_text(report)


def csv_lines(report: Report) -> Iterator[str]:
    """A report as the lines of a CSV file, one after the other."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.key for column in report.columns])
    amounts = {column.key for column in report.columns if column.kind in ("amount", "number")}
    for row in report.rows:
        plain = report.json_row(row)
        writer.writerow([value if key in amounts else _inert(value) for key, value in plain.items()])
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


def _inert(value: object) -> object:
    """Text that a spreadsheet would run as a formula, made plain text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
