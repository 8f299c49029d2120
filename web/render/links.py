"""Where a figure of a report leads: to the lines that add up to it, or to the document, contract or report that it is of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flask import url_for

from ledger.reports.report import Filters
from revrec.reports.behind_a_figure import Figure
from revrec.reports.cells import figure_of, within

# The page of what a column names, and what the page calls it.
_PAGES = {
    "customer": ("parties.customer", "ref"),
    "contract": ("parties.contract", "ref"),
    "invoice": ("pages.invoice", "ref"),
    "entry_id": ("pages.entry", "entry_id"),
}
_THINGS = ("grant", "obligation")
# Subjects that are no documents.
_NO_PAGES = ("usage", "tax", "entity", "account", "receipt", "credit", "currency")
_Row = Mapping[str, Any]


def drill(row: _Row, key: str, filters: Filters, report: str = "") -> str | None:
    """The page behind a cell of a report, or None where there is none."""
    value = row.get(key)
    if value is None or value in ("", "Total"):
        return None
    named = _named(key, value)
    if named is not None:
        return named
    if not isinstance(value, int) or value == 0 or key in ("version", "level", "days_overdue", "age_days"):
        return None
    figure = figure_of(report, row, key, filters)
    if figure is not None:
        return figure_link(figure)
    made = _LINKS[report](row, key, filters) if report in _LINKS else None
    return made or _of_row(row)


def _named(key: str, value: object) -> str | None:
    """The page of what a column names: a customer, a document, what an account is about."""
    if key in _PAGES:
        endpoint, name = _PAGES[key]
        return url_for(endpoint, **dict[str, Any]({name: value}))
    if key in _THINGS:
        return url_for("pages.thing", kind=key, ref=value)
    kind, _, ref = str(value).replace(" ", ":", 1).partition(":")
    is_page = (
        ref
        and value != "brought forward"
        and kind.replace("_", "").isalpha()
        and (key == "document" or kind not in _NO_PAGES)
    )
    return url_for("pages.thing", kind=kind, ref=ref) if key in ("document", "subject") and is_page else None


def _of_row(row: _Row) -> str | None:
    """The page of what a row is about, where its figures are that thing's."""
    for key in ("entry_id", "invoice", "document", "obligation", "grant", "contract", "customer"):
        if row.get(key):
            return drill(row, key, Filters())
    return None


def _days(filters: Filters) -> dict[str, Any]:
    return {"from": filters.since, "as_of": filters.as_of, "period": None}


def report_link(name: str, filters: Filters) -> str:
    """The page of a report with all that it was narrowed to."""
    return url_for(
        "pages.report", name=name, entity=filters.entity, customer=filters.customer, product=filters.product or None,
        contract=filters.contract or None, **_days(filters), known_at=filters.known_at and filters.known_at.isoformat(),
    )  # fmt: skip


def figure_link(figure: Figure) -> str:
    """The page with the lines of a figure."""
    filters = figure.filters
    return url_for(
        "pages.figure", role=",".join(figure.roles), side="credit" if figure.credits else "debit", entity=filters.entity,
        customer=filters.customer, product=filters.product, contract=filters.contract, currency=filters.currency,
        **_days(filters), known_at=filters.known_at and filters.known_at.isoformat(),
        amounts=None if filters.transaction is None else "transaction" if filters.transaction else "entity",
        by=None if filters.period == "month" else filters.period, code=figure.code, flow=figure.flow, subject=figure.subject,
        earned=figure.earned, shown_in=figure.shown_in, booked=figure.booked,
    )  # fmt: skip


def _waterfall(row: _Row, _key: str, filters: Filters) -> str | None:
    return None if row.get("month") is None else _schedule_of(row, filters)


def _schedule_of(row: _Row, filters: Filters) -> str:
    """The schedules behind what is still to come."""
    return report_link("schedule", replace(within(row, filters), since=None))


def _contract_balance(row: _Row, _key: str, filters: Filters) -> str:
    """What is net by contract: the same report by contract."""
    return url_for(
        "pages.report", name="contract-balances", entity=row["entity"], customer=row.get("customer"), product=None,
        group=[*filters.group, "contract"], **_days(filters),
    )  # fmt: skip


def _remaining(row: _Row, key: str, filters: Filters) -> str:
    if row.get("ahead", {}).get(key):  # ordered or committed, not billed: wallets show what is left
        place = within(row, filters)
        return report_link("wallet", replace(place, since=None, product=None, contract=None))
    if key == "by_progress":
        return report_link("contracts", Filters(entity=row["entity"], as_of=filters.as_of))
    return _schedule_of(row, filters)


def _statement(row: _Row, _key: str, filters: Filters) -> str | None:
    """What was brought forward: the statement until then."""
    if row.get("document") != "brought forward" or filters.since is None:
        return None
    until = filters.since - timedelta(days=1)
    return report_link("statement", Filters(customer=row["customer"], entity=row["entity"], as_of=until))


def _tax_payable(row: _Row, _key: str, filters: Filters) -> str:
    """What is remitted, and left: the account with all that moved it."""
    return url_for("pages.ledger_account", entity=row["entity"], role="tax_payable", as_of=filters.as_of)


def _money_account(row: _Row, _key: str, _filters: Filters) -> str:
    return url_for("pages.thing", kind="money_account", ref=row["account"])


def _receipt(row: _Row, _key: str, _filters: Filters) -> str:
    return url_for("pages.thing", kind="unidentified_receipt", ref=row["receipt"])


_LINKS: Mapping[str, Callable[[_Row, str, Filters], str | None]] = {
    "revenue-waterfall": _waterfall, "contract-balances": _contract_balance, "remaining-obligations": _remaining, "statement": _statement,
    "tax-payable": _tax_payable, "money-accounts": _money_account, "unidentified-receipts": _receipt,
}  # fmt: skip
