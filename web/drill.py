"""Where a figure of a report leads: to the account, the document or the entries that make it up."""

from __future__ import annotations

from typing import Any

from flask import url_for

from ledger.chart import ROLES
from ledger.dates import month_end, parse_month
from ledger.reports import Filters
from revrec.waterfall import REVENUE_ROLES

# The page of what a column names, and what the page calls it.
_PAGES = {
    "customer": ("parties.customer", "ref"),
    "contract": ("parties.contract", "ref"),
    "invoice": ("pages.invoice", "ref"),
    "entry_id": ("pages.entry", "entry_id"),
}
_THINGS = ("grant", "obligation")
# Columns that lead to an account, where their row is of one.
_OF_ACCOUNT = ("account", "code", "debit", "credit", "amount", "balance")


def drill(row: dict[str, Any], key: str, filters: Filters) -> str | None:
    """The page behind a cell of a report, or None where there is none."""
    value = row.get(key)
    if value is None or value in ("", "Total"):
        return None
    if key in _PAGES:
        endpoint, name = _PAGES[key]
        return url_for(endpoint, **{name: value})
    if key in _THINGS:
        return url_for("pages.thing", kind=key, ref=value)
    return _document(str(value)) if key == "document" else _figure(row, key, filters)


def _document(value: str) -> str | None:
    """A document named as type and id."""
    kind, _, ref = value.replace(" ", ":", 1).partition(":")
    named = ref and kind.replace("_", "").isalpha() and value != "brought forward"
    return url_for("pages.thing", kind=kind, ref=ref) if named else None


def _figure(row: dict[str, Any], key: str, filters: Filters) -> str | None:
    """The entries, or the account, behind an amount."""
    role = row.get("role") or (row.get("account") if row.get("account") in ROLES else None)
    if isinstance(row.get(key), int) and row.get("month") and (role or row.get("status") == "recognised"):
        first = parse_month(row["month"])
        query: dict[str, Any] = {
            "role": role or ",".join(REVENUE_ROLES), "customer": row.get("customer"), "product": row.get("product"),
            "entity": row.get("entity") or filters.entity, "from": first.isoformat(), "to": month_end(first).isoformat(),
        }  # fmt: skip
        return url_for("pages.journal", **query)
    if role and row.get("entity") and key in _OF_ACCOUNT:
        return url_for("pages.ledger_account", entity=row["entity"], role=role, as_of=filters.as_of)
    return None
