"""Where a figure of a report leads: to the lines that add up to it, or to the document, contract or report that it is of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flask import url_for

from ledger.chart import CONTRACT_LIABILITIES, ROLES
from ledger.dates import month_end, parse_month
from ledger.financials import RESULT, RETAINED
from ledger.reports import Filters, period_end, period_start
from revrec.figures import Figure
from revrec.waterfall import REVENUE_ROLES

# The page of what a column names, and what the page calls it.
_PAGES = {
    "customer": ("parties.customer", "ref"),
    "contract": ("parties.contract", "ref"),
    "invoice": ("pages.invoice", "ref"),
    "entry_id": ("pages.entry", "entry_id"),
}
_THINGS = ("grant", "obligation")
# Subjects that are no documents.
_NO_PAGES = ("usage", "tax", "entity")
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
    made = _FIGURES[report](row, key, filters) if report in _FIGURES else None
    if isinstance(made, Figure):
        return figure_link(made)
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
    return {"from": filters.since, "as_of": filters.as_of}


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


def _within(row: _Row, filters: Filters, period: str | None = None) -> Filters:
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
        _within({}, replace(filters, transaction=None, group=()), row["month"]),
        shown_in=row["currency"],
    )


def _waterfall(row: _Row, _key: str, filters: Filters) -> Figure | str | None:
    if row.get("month") is None:
        return None
    if row["status"] != "recognised":
        return _schedule_of(row, filters)
    place = replace(_within(row, filters, row["month"]), transaction=filters.transaction is not False)
    return Figure(REVENUE_ROLES, True, place, shown_in=row["currency"], booked=row["booked"])


def _schedule_of(row: _Row, filters: Filters) -> str:
    """The schedules behind what is still to come."""
    place = _within(row, filters)
    return url_for(
        "pages.report", name="schedule", entity=place.entity, customer=place.customer, product=place.product or None,
        contract=place.contract or None, as_of=place.as_of, known_at=place.known_at and place.known_at.isoformat(),
    )  # fmt: skip


def _roll_forward(kind: str, roles: tuple[str, ...]) -> Callable[[_Row, str, Filters], Figure]:
    def figure(row: _Row, key: str, filters: Filters) -> Figure:
        place = _within(row, filters, row["period"])
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


def _contract_balance(row: _Row, key: str, filters: Filters) -> Figure | str | None:
    """Receivables and refunds are an account's; the others are net by contract, which the same report by contract shows."""
    opened, until = row["since"] - timedelta(days=1), row["until"]
    since, as_of = {"opening": (None, opened), "change": (row["since"], until)}.get(key, (None, until))
    place = replace(_within(row, filters), since=since, as_of=as_of)
    if row["balance"] in _POSITIONS:
        role, is_credit = _POSITIONS[row["balance"]]
        return Figure((role,), is_credit, place, shown_in=row["currency"])
    if row["balance"].startswith("Revenue"):
        return Figure(CONTRACT_LIABILITIES, False, place, flow="liability.recognised", shown_in=row["currency"])
    if row.get("contract"):
        roles = ("unbilled_receivable", *CONTRACT_LIABILITIES)
        return Figure(roles, row["balance"] == "Contract liabilities", place, shown_in=row["currency"])
    return url_for(
        "pages.report", name="contract-balances", entity=row["entity"], customer=row.get("customer"), group=[*filters.group, "contract"],
        **_days(filters),
    )  # fmt: skip


def _remaining(row: _Row, key: str, filters: Filters) -> Figure | str:
    if key == "as_used":
        place = replace(_within(row, filters), since=None, transaction=filters.transaction is not False)
        return Figure(("customer_credits",), True, place, shown_in=row["currency"])
    if key == "by_progress":
        return url_for("pages.report", name="contracts", entity=row["entity"], as_of=filters.as_of)
    return _schedule_of(row, filters)


_CONTRA = ("promotional_credits", "refunds", "disputes")


def _disaggregated(row: _Row, key: str, filters: Filters) -> Figure | None:
    if row.get("period") is None:
        return None
    place = _within(row, filters, row["period"])
    if key == "total":
        return Figure((*REVENUE_ROLES, *_CONTRA[1:]), True, place, shown_in=row["currency"])
    roles = {"breakage": ("breakage_revenue",), "contra": _CONTRA}.get(key, ("revenue",))
    earned = key if key not in ("breakage", "contra") else None
    return Figure(roles, True, place, earned=earned, shown_in=row["currency"])


def _scheduled(row: _Row, key: str, filters: Filters) -> Figure | None:
    if key != "recognised":
        return None
    place = replace(
        _within({"customer": row["customer"]}, replace(filters, group=()), row["month"]),
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
    place = replace(_within(row, filters), since=None)
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
    return Figure((role,), is_credit, place, subject=f"tax:{row['code']}")


def _statement(row: _Row, _key: str, filters: Filters) -> str | None:
    """What was brought forward: the statement until then."""
    if row.get("document") != "brought forward" or filters.since is None:
        return None
    return url_for(
        "pages.report",
        name="statement",
        customer=row["customer"],
        entity=row["entity"],
        as_of=filters.since - timedelta(days=1),
    )


def _between(row: _Row, key: str, filters: Filters) -> Figure:
    role = "due_to_entities" if key == "owes" else "due_from_entities"
    place = replace(filters, entity=row["entity"], customer=row["customer"], currency=row["currency"], transaction=True)
    return Figure((role,), key == "owes", place, subject=f"entity:{row['other']}")


_FIGURES: Mapping[str, Callable[[_Row, str, Filters], Figure | str | None]] = {
    "trial-balance": _account, "income-statement": _income, "balance-sheet": _balance, "summary": _summary,
    "revenue-waterfall": _waterfall, "deferred-rollforward": _roll_forward("liability", CONTRACT_LIABILITIES),
    "asset-rollforward": _roll_forward("asset", ("unbilled_receivable",)), "contract-balances": _contract_balance,
    "remaining-obligations": _remaining, "disaggregation": _disaggregated, "schedule": _scheduled, "wallet": _wallet,
    "unbilled": _unbilled, "tax": _tax, "statement": _statement, "between-entities": _between,
}  # fmt: skip
