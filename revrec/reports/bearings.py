"""Which documents posted since bear on which figures of each report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

from ledger.accounts.chart import CONTRACT_LIABILITIES, ROLES
from ledger.accounts.rulebook import BY_NUMBER
from ledger.reports.report import PERIODS, period_of
from revrec.reports.figures_apart import Row
from revrec.reports.posted_since import Posted


def felt(fact: Row, key: str, row: Row, period: str) -> bool:
    """Whether terms bear on a figure.

    On a month those that count from then or before; on credits those of their own kind.
    """
    kind = fact["document"].partition(" ")[0]
    if key in ("granted", "moved"):
        return bool((kind == "grant" and fact["document"] == f"grant {row.get('grant')}") == (key == "granted"))
    if key == "as_used" or fact["subject"].startswith("grant:"):
        return bool(fact["subject"].startswith("grant:") and (key in ("as_used", "left", "total", "short")))
    month = row.get("month")
    return month is None or fact["from_day"] is None or period_of(fact["from_day"], period) <= month


# Reports whose totals are of the rows of their section, above them.
TOTALS = ("income-statement", "balance-sheet")
_REVENUE = ("revenue", "breakage_revenue")


def _prices(one: Posted) -> bool:
    """Whether it bills what an invoice sells by itself alone, whose price is its bill.

    What else changes prices leaves versions.
    """
    billed = one.contract is None and BY_NUMBER[one.rule].code.startswith("invoice.")
    return billed and one.role != "accounts_receivable"


def _month_to_come(one: Posted, key: str, row: Row, days: set[date]) -> bool:
    """Whether it bears on what is to come in a month.

    That is a price by its terms; in the report's own month less what is recognised.
    """
    if not one.subject.startswith("obligation:"):
        return False
    if one.role == "revenue":
        return key != "to_date" and any(row.get("month") == period_of(day, name) for day in days for name in PERIODS)
    return _prices(one) and any(period_of(one.effective_on, name) <= row["month"] for name in PERIODS)


def _horizon_to_come(one: Posted, key: str, _row: Row, _days: set[date]) -> bool:
    """Whether it bears on what is to come by a horizon.

    Of credits what is not used, of commitments too, of obligations a price less what is recognised.
    """
    summed = key in ("total", "short")
    if one.role == "memo_commitments_outstanding":
        return key != "as_used"
    if one.subject.startswith("grant:"):
        return one.role in _REVENUE and (summed or key == "as_used")
    if one.role == "revenue":  # of the months to come the first
        return one.subject.startswith("obligation:") and (summed or key in ("within_12", "by_progress"))
    return one.subject.startswith("obligation:") and key != "as_used" and _prices(one)


def _net_by_contract(one: Posted, key: str, row: Row, _days: set[date]) -> bool:
    """Assets and liabilities of contracts at the start and the end of the report's period."""
    opened = one.effective_on < row["since"]
    return one.role in ("unbilled_receivable", *CONTRACT_LIABILITIES) and (
        key == "closing" or opened == (key == "opening")
    )


def _receivable(one: Posted, _key: str, _row: Row, _days: set[date]) -> bool:
    return one.role == "accounts_receivable"


def _statement(one: Posted, key: str, row: Row, _days: set[date]) -> bool:
    """What a document charges or settles is its own; the balance is of all until its day."""
    if one.role not in ("accounts_receivable", "customer_balance"):
        return False
    if key in ("charged", "settled"):
        return one.document == row.get("document")
    return row.get("date") is None or one.effective_on <= row["date"]


def _journal(one: Posted, _key: str, row: Row, _days: set[date]) -> bool:
    return (one.effective_on, BY_NUMBER[one.rule].code, ROLES[one.role].title) == (row["effective_on"], row["rule"], row["account"])  # fmt: skip


_CREDITS = ("memo_credits_outstanding", "memo_commitments_outstanding", *_REVENUE)


def _wallet(one: Posted, key: str, _row: Row, _days: set[date]) -> bool:
    """Credits by what took them: their use, their expiry, their return."""
    family = BY_NUMBER[one.rule].code.partition(".")[0]
    families = {"granted": (), "drawn": ("draw",), "expired": ("expire", "break")}.get(key)
    return one.role in _CREDITS and (families is None or family in families)


BEARING: Mapping[str, Callable[[Posted, str, Row, set[date]], bool]] = {
    "schedule": _month_to_come, "revenue-waterfall": _month_to_come, "remaining-obligations": _horizon_to_come, "contract-balances": _net_by_contract,
    "ar-aging": _receivable, "dunning": _receivable, "statement": _statement, "recognition-journal": _journal, "wallet": _wallet,
}  # fmt: skip
# Those that can be kept apart finer, to tell which of what a row adds up has changed; and those that terms alone can move.
FINER = ("revenue-waterfall", "remaining-obligations", "contract-balances")
OF_TERMS: Mapping[str, tuple[str, ...]] = {
    "schedule": ("scheduled", "to_date"), "revenue-waterfall": ("amount",), "wallet": ("granted", "moved", "left"),
    "remaining-obligations": ("within_12", "within_24", "later", "as_used", "by_progress", "total", "short"),
}  # fmt: skip
