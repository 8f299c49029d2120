"""Which sides of postings a cell of a report adds up.

The same for a link from it and for what explains a change of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ledger.accounts.chart import CONTRACT_LIABILITIES, ROLES
from ledger.amounts.dates import month_end, parse_month
from ledger.reports.financial_statements import RESULT, RETAINED
from ledger.reports.report import Filters, period_end, period_start
from revrec.reports.behind_a_figure import Figure
from revrec.reports.waterfall import REVENUE_ROLES

_Row = Mapping[str, Any]


def figure_of(report: str, row: _Row, key: str, filters: Filters) -> Figure | None:
    """The figure that a cell of a report is.

    None where it is not a sum of postings, or of a single thing.
    """
    return _FIGURES[report](row, key, filters) if report in _FIGURES else None


def within(row: _Row, filters: Filters, period: str | None = None) -> Filters:
    """A report's filters, narrowed to what a row is kept apart by, and to a period."""
    same: dict[str, Any] = {
        name: row[name] for name in ("entity", "customer", "product", "contract") if row.get(name) is not None
    }
    none: dict[str, Any] = {name: "" for name in ("product", "contract") if name in filters.group and name not in same}
    narrowed = replace(filters, **same, **none)
    if period is None:
        return narrowed
    first, last = period_start(period), period_end(period)
    return replace(
        narrowed,
        since=first if filters.since is None else max(first, filters.since),
        as_of=last if filters.as_of is None else min(last, filters.as_of),
    )


def _of_accounts(row: _Row, filters: Filters) -> Filters:
    """What a general-ledger account's figure counts: in the entity's currency always."""
    return replace(filters, entity=row["entity"], transaction=None)


def _account(row: _Row, key: str, filters: Filters) -> Figure | None:
    """A trial balance's debit or credit."""
    if "role" not in row:
        return None
    return Figure((row["role"],), key == "credit", _of_accounts(row, filters), row["code"])


def _income(row: _Row, key: str, filters: Filters) -> Figure | None:
    if "role" not in row:
        return None
    since = row["since"] if key == "period" else row["year_start"]
    place = replace(_of_accounts(row, filters), since=since, as_of=row["until"])
    return Figure((row["role"],), ROLES[row["role"]].kind != "expense", place, row["code"])


_INCOME_ROLES = tuple(role.name for role in ROLES.values() if role.kind in ("revenue", "income", "expense"))


def _balance(row: _Row, _key: str, filters: Filters) -> Figure | None:
    if "role" in row:
        place = replace(_of_accounts(row, filters), since=None, as_of=row["until"])
        return Figure((row["role"],), ROLES[row["role"]].kind != "asset", place, row["code"])
    if row["account"] in (RETAINED, RESULT):  # what all income accounts came to, before the year and in it
        place = replace(_of_accounts(row, filters), since=row.get("since"), as_of=row["until"])
        return Figure(_INCOME_ROLES, True, place)
    return None


def _summary(row: _Row, _key: str, filters: Filters) -> Figure:
    role = ROLES[row["account"]]
    return Figure(
        (role.name,),
        role.sign < 0,
        within({}, replace(filters, transaction=None, group=()), row["month"]),
        shown_in=row["currency"],
    )


def _waterfall(row: _Row, _key: str, filters: Filters) -> Figure | None:
    if row.get("month") is None or row["status"] != "recognised":
        return None
    place = replace(within(row, filters, row["month"]), transaction=filters.transaction is not False)
    return Figure(REVENUE_ROLES, True, place, shown_in=row["currency"], booked=row["booked"])


def _roll_forward(kind: str, roles: tuple[str, ...]) -> Callable[[_Row, str, Filters], Figure]:
    def figure(row: _Row, key: str, filters: Filters) -> Figure:
        place = within(row, filters, row["period"])
        flow = None
        if key in ("opening", "closing"):
            assert place.since is not None, "a period has a first day"
            place = replace(
                place, since=None, as_of=place.since - timedelta(days=1) if key == "opening" else place.as_of
            )
        else:
            flow = f"{kind}.{key}"
        return Figure(roles, kind == "liability", place, flow=flow, shown_in=row["currency"])

    return figure


_POSITIONS = {"Receivables": ("accounts_receivable", False), "Refund liabilities": ("refund_liability", True)}


def _contract_balance(row: _Row, key: str, filters: Filters) -> Figure | None:
    """A cell of contract balances.

    Receivables and refunds are an account's; the others are net by contract, and figures of one contract only.
    """
    opened, until = row["since"] - timedelta(days=1), row["until"]
    since, as_of = {"opening": (None, opened), "change": (row["since"], until)}.get(key, (None, until))
    place = replace(within(row, filters), since=since, as_of=as_of)
    if row["balance"] in _POSITIONS:
        role, is_credit = _POSITIONS[row["balance"]]
        return Figure((role,), is_credit, place, shown_in=row["currency"])
    if row["balance"].startswith("Revenue"):
        return Figure(CONTRACT_LIABILITIES, False, place, flow="liability.recognised", shown_in=row["currency"])
    if row.get("contract"):
        roles = ("unbilled_receivable", *CONTRACT_LIABILITIES)
        return Figure(roles, row["balance"] == "Contract liabilities", place, shown_in=row["currency"])
    return None


def _remaining(row: _Row, key: str, filters: Filters) -> Figure | None:
    if key != "as_used" or row.get("ahead", {}).get(key):  # what is ordered and not billed is in no account
        return None
    place = replace(within(row, filters), since=None, transaction=filters.transaction is not False)
    return Figure(("customer_credits",), True, place, shown_in=row["currency"])


_CONTRA = ("promotional_credits", "refunds", "disputes")


def _disaggregated(row: _Row, key: str, filters: Filters) -> Figure | None:
    if row.get("period") is None:
        return None
    place = within(row, filters, row["period"])
    if key == "total":
        return Figure((*REVENUE_ROLES, *_CONTRA[1:]), True, place, shown_in=row["currency"])
    roles = {"breakage": ("breakage_revenue",), "contra": _CONTRA}.get(key, ("revenue",))
    earned = key if key not in ("breakage", "contra") else None
    return Figure(roles, True, place, earned=earned, shown_in=row["currency"])


def _scheduled(row: _Row, key: str, filters: Filters) -> Figure | None:
    if key != "recognised":
        return None
    place = replace(
        within({"customer": row["customer"]}, replace(filters, group=()), row["month"]),
        transaction=filters.transaction is not False,
    )
    return Figure(("revenue",), True, place, subject=f"obligation:{row['obligation']}", shown_in=row["currency"])


_WALLET = {"revenue": ("revenue", True), "breakage": ("breakage_revenue", True), "liability": ("customer_credits", True),
           "unbilled": ("unbilled_receivable", False)}  # fmt: skip


def _wallet(row: _Row, key: str, filters: Filters) -> Figure | None:
    if key not in _WALLET:
        return None
    role, is_credit = _WALLET[key]
    place = replace(filters, customer=row["customer"], transaction=True)
    return Figure((role,), is_credit, place, subject=f"grant:{row['grant']}")


def _unbilled(row: _Row, _key: str, filters: Filters) -> Figure:
    place = replace(within(row, filters), since=None)
    return Figure(("unbilled_receivable",), False, place, subject=row.get("subject"), shown_in=row["currency"])


def _tax(row: _Row, key: str, filters: Filters) -> Figure:
    """A tax; or what it applied to, of all treatments of the code."""
    first = parse_month(row["month"])
    place = replace(
        filters,
        since=first,
        as_of=month_end(first),
        entity=row["entity"],
        product=None,
        contract=None,
        transaction=True,
        currency=row["currency"],
    )
    role, is_credit = ("tax_payable", True) if key == "tax" else ("memo_taxable_base", False)
    return Figure((role,), is_credit, place, flow="tax.other", subject=f"tax:{row['code']}")


def _between(row: _Row, key: str, filters: Filters) -> Figure:
    role = "due_to_entities" if key == "owes" else "due_from_entities"
    place = replace(filters, entity=row["entity"], customer=row["customer"], currency=row["currency"], transaction=True)
    return Figure((role,), key == "owes", place, subject=f"entity:{row['other']}")


def _tax_left(row: _Row, key: str, filters: Filters) -> Figure | None:
    """What was charged of a tax, or told by manual entries.

    A remittance is of the period it is for, whatever its day.
    """
    if key not in ("charged", "manual"):
        return None
    first = parse_month(row["month"])
    last = month_end(first)
    place = Filters(
        since=first, as_of=last if filters.as_of is None else min(last, filters.as_of), known_at=filters.known_at, entity=row["entity"],
        currency=row["currency"], transaction=True,
    )  # fmt: skip
    subject = f"tax:{row['code']}" if row["code"] else "manual"
    return Figure(("tax_payable",), True, place, flow="tax.manual" if key == "manual" else "tax.other", subject=subject)


def _held(row: _Row, key: str, filters: Filters) -> Figure | None:
    """What lies there: of all days until then, also where the report is from a day on."""
    if key == "held":
        until = filters.as_of
    elif key == "opening" and filters.since is not None:
        until = filters.since - timedelta(days=1)
    else:
        return None
    place = replace(
        filters, since=None, as_of=until, entity=row["entity"], currency=row["currency"], contract=None, transaction=True
    )  # fmt: skip
    return Figure(("cash",), False, place, subject=f"account:{row['account']}")


def _unidentified(row: _Row, key: str, filters: Filters) -> Figure | None:
    if key != "left_over":
        return None
    place = replace(filters, entity=row["entity"], currency=row["currency"], contract=None, transaction=True)
    return Figure(("unidentified_receipts",), True, place, subject=f"receipt:{row['receipt']}")


_FIGURES: Mapping[str, Callable[[_Row, str, Filters], Figure | None]] = {
    "trial-balance": _account, "income-statement": _income, "balance-sheet": _balance, "summary": _summary,
    "revenue-waterfall": _waterfall, "deferred-rollforward": _roll_forward("liability", CONTRACT_LIABILITIES),
    "asset-rollforward": _roll_forward("asset", ("unbilled_receivable",)), "contract-balances": _contract_balance,
    "remaining-obligations": _remaining, "disaggregation": _disaggregated, "schedule": _scheduled, "wallet": _wallet,
    "unbilled": _unbilled, "tax": _tax, "between-entities": _between,
    "tax-payable": _tax_left, "money-accounts": _held, "unidentified-receipts": _unidentified,
}  # fmt: skip
