"""What a figure of a report is made of.

The sides of postings that add up to it, each with its entry and document.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.rulebook import BY_NUMBER
from ledger.reports.report import PERIODS, Column, Filters, Report
from ledger.reports.trial_balance import gl_account_sql
from revrec.reports.flows import FLOWS, rules_of
from revrec.reports.rows import facts_of

LINES_MAX = 2_000
_OF_OBLIGATION = "f.role = 'revenue' and f.subject like 'obligation:%'"
_AT_ONCE = (
    "exists (select from performance_obligation o where o.customer_id = f.customer_id and o.subject = f.subject"
    " and o.pattern = 'point_in_time')"
)
_OF_NO_LINE = "f.subject like 'credit_note:%'"  # credits of no line of an invoice
# How revenue is earned, as the disaggregation tells it apart.
EARNED = {
    "usage": f"f.role = 'revenue' and f.subject not like 'obligation:%' and not {_OF_NO_LINE}",
    "over_time": f"{_OF_OBLIGATION} and not {_AT_ONCE}",
    "at_a_point_in_time": f"({_OF_OBLIGATION} and {_AT_ONCE} or f.role = 'revenue' and {_OF_NO_LINE})",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """Sides of postings on accounts of some roles that a figure adds up.

    Debits less credits, or the other way. `code` is the general-ledger account as its entity calls it, `flow` a column of a roll-forward
    such as `liability.billed`, `shown_in` the currency shown, `booked` and `by` the period in which what is recognised was booked.
    """

    roles: tuple[str, ...]
    credits: bool = False
    filters: Filters = field(default_factory=Filters)
    code: str | None = None
    flow: str | None = None
    subject: str | None = None
    earned: str | None = None
    shown_in: str | None = None
    booked: str | None = None


def made_of(connection: Connection, figure: Figure) -> Report:
    """The lines a figure adds up, the first 2,000 of them, with the sum of all."""
    facts, parameters = facts_of(figure.filters, *figure.roles)
    code, name, joins = gl_account_sql("f")
    clauses, more = _narrowed(figure, code)
    source = (
        f"(select f.*, f.account_product as product from (select customer_id, entity, role, subject, effective_on, entry_id, rule, net, currency,"
        f" customer, booked_on, account_product from ({facts}) facts) f) f {joins} where {clauses}"
    )
    parameters |= more
    sums = connection.execute(
        text(f"select f.currency, count(*) as lines, sum(f.net)::bigint as amount from {source} group by 1 order by 1"),
        parameters,
    ).all()
    sign = -1 if figure.credits else 1
    rows = connection.execute(
        text(
            f"select f.entry_id, f.effective_on, f.customer, {code} as code, {name} as name, f.subject, f.rule, f.currency, {sign} * f.net as amount,"
            f" d.type || ' ' || d.ref as document from {source.replace(joins, joins + _DOCUMENTS)}"
            f" order by f.effective_on, f.entry_id, f.role, f.subject limit {LINES_MAX}"
        ),
        parameters,
    )
    found = tuple(_line(row) for row in rows)
    totals = tuple({"entry_id": "Total", "currency": row.currency, "amount": sign * row.amount} for row in sums)
    lines = sum(row.lines for row in sums)
    notes = (f"the first {LINES_MAX:,} of {lines:,} lines",) if lines > LINES_MAX else ()
    columns = (
        Column("entry_id", "Entry"), Column("effective_on", "Date", "date"), Column("document", "Document"), Column("customer", "Customer"),
        Column("account", "Account"), Column("subject", "For"), Column("rule", "Rule"), Column("currency", "Currency"),
        Column("amount", "Amount", "amount"),
    )  # fmt: skip
    return Report("figure", "What makes up the figure", columns, found, totals, notes)


_DOCUMENTS = (
    " join entry n on n.customer_id = f.customer_id and n.entry_id = f.entry_id"
    " join document d on d.document_id = n.document_id and d.customer_id in (n.customer_id, 0)"
)


def _line(row: Any) -> dict[str, Any]:
    return {
        **row._mapping, "account": f"{row.code} {row.name}", "rule": BY_NUMBER[row.rule].code,
        "customer": None if row.customer.startswith("~") else row.customer,
    }  # fmt: skip


def _narrowed(figure: Figure, code: str) -> tuple[str, dict[str, object]]:
    clauses = ["true"]
    given: dict[str, object] = {}
    if figure.flow is not None:
        kind, _, name = figure.flow.partition(".")
        clauses.append("f.rule = any(:flow_rules)")
        given["flow_rules"] = rules_of(kind, name) if kind in FLOWS else []
    if figure.earned is not None:
        clauses.append(EARNED[figure.earned])
    for value, clause, name in (
        (figure.subject, "f.subject = :subject_", "subject_"),
        (figure.code, f"{code} = :code_", "code_"),
        (figure.shown_in, "f.currency = :shown_in", "shown_in"),
        (
            figure.booked,
            f"to_char(coalesce(f.booked_on, f.effective_on), '{PERIODS[figure.filters.period]}') = :booked",
            "booked",
        ),
    ):
        if value is not None:
            clauses.append(clause)
            given[name] = value
    return " and ".join(clauses), given
