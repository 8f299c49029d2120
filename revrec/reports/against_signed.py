"""A report against itself, as it was signed: each figure that differs, and the documents that explain it.

A difference has one cause: a document posted since. What each posted, and which terms it changed, says which figures it bears on.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.chart import CONTRACT_LIABILITIES, ROLES
from ledger.accounts.rulebook import BY_NUMBER
from ledger.errors import Refused
from ledger.reports.report import GROUPS, PERIODS, Column, Filters, Report, last_day, period_of
from ledger.reports.trial_balance import gl_account_sql
from revrec.reports.behind_a_figure import Figure
from revrec.reports.cells import figure_of
from revrec.reports.disclosures import rules_of
from revrec.reports.rows import posted_since

_Key = tuple[Any, ...]
_Row = Mapping[str, Any]

# What a row and a document have in common where both say it. A day or month is none of it: a change of terms is felt in every
# month to come.
_SHARED = ("entity", "customer", "contract", "product", "role", "subject", "invoice", "grant", "obligation")


def compare(connection: Connection, make: Callable[[Filters], Report], filters: Filters, signed_at: datetime) -> Report:
    """Every figure of a report that is another now than it was known at a moment, with the documents posted since that moved it.

    Raises Refused where the report is asked for as known before that moment.
    """
    if filters.known_at is not None and filters.known_at <= signed_at:
        raise Refused(
            "against", signed_at.isoformat(), f"expected a moment before known-at, {filters.known_at.isoformat()}"
        )
    before = replace(filters, known_at=signed_at)
    pair = _Pair(make(before), make(filters))
    since = _Since(connection, filters, signed_at, make)
    lines: list[dict[str, Any]] = []
    for key, figure, row, was, is_ in pair.differences():
        because = since.explaining(pair.now.name, row, figure, lines)
        place = dict(zip(pair.names, key, strict=True))
        lines.append(
            place | {"figure": figure.title, "signed": was, "now": is_, "difference": is_ - was, "because": ", ".join(because)}
        )  # fmt: skip
    columns = (
        *(column for column in pair.now.columns if column.key in pair.names), Column("figure", "Figure"), Column("signed", "As signed", "amount"),
        Column("now", "Now", "amount"), Column("difference", "Difference", "amount"), Column("because", "Posted since"),
    )  # fmt: skip
    note = f"against what was known at {signed_at.isoformat(timespec='seconds')}"
    made = pair.now
    return Report(made.name, f"{made.title}, compared", columns, tuple(lines), notes=(*made.notes, note), sums=False)


class _Pair:
    """A report as it was signed and as it is now, row by row."""

    def __init__(self, then: Report, now: Report) -> None:
        self.now = now
        self.names = [column.key for column in now.columns if column.kind in ("text", "date")]
        self.figures = [column for column in now.columns if column.kind == "amount"]
        self._rows: dict[_Key, _Row] = {}
        self._then, self._now = self._by_key(then.rows), self._by_key(now.rows)
        if now.columns[0].key == "period" and {"opening", "closing"} <= {figure.key for figure in self.figures}:
            for found in (self._then, self._now):
                self._roll_forward(found)

    def _roll_forward(self, found: dict[_Key, Counter[str]]) -> None:
        """Give a period in which nothing moved, and that is not shown for it, the balance of the one before."""
        balances: Counter[_Key] = Counter()
        for key in sorted(self._rows, key=lambda values: str(values[0])):
            if key not in found:
                found[key] = Counter(opening=balances[key[1:]], closing=balances[key[1:]])
            balances[key[1:]] = found[key]["closing"]

    def _by_key(self, rows: Sequence[_Row]) -> dict[_Key, Counter[str]]:
        found: dict[_Key, Counter[str]] = defaultdict(Counter)
        for row in rows:
            key = tuple(row.get(name) for name in self.names)
            self._rows[key] = row
            for figure in self.figures:
                found[key][figure.key] += row.get(figure.key) or 0
        return found

    def differences(self) -> Iterator[tuple[_Key, Column, _Row, int, int]]:
        """(what tells the row, figure, row, as signed, now) of each figure that differs."""
        nothing: Counter[str] = Counter()
        for key in sorted(self._rows, key=lambda values: tuple(str(value) for value in values)):
            then, now = self._then.get(key, nothing), self._now.get(key, nothing)
            for figure in self.figures:
                if then[figure.key] != now[figure.key]:
                    yield key, figure, self._rows[key], then[figure.key], now[figure.key]


@dataclass(frozen=True, slots=True)
class _Posted:
    """What a document posted since on an account by a rule: debits less credits, in the amounts a figure is asked in."""

    document: str
    entity: str
    customer: str
    contract: str | None
    product: str | None
    role: str
    subject: str
    rule: int
    effective_on: date
    booked_on: date | None
    currency: str
    account_currency: str
    code: str
    at_once: bool
    net: int

    def is_in(self, figure: Figure) -> bool:
        """Whether a figure adds it up."""
        filters = figure.filters
        own = (
            (filters.entity, self.entity), (filters.customer, self.customer), (filters.product, self.product or ""),
            (filters.contract, self.contract or ""), (filters.currency, self.account_currency), (figure.code, self.code),
            (figure.subject, self.subject), (figure.shown_in, self.currency),
        )  # fmt: skip
        return (
            self.role in figure.roles
            and all(wanted is None or wanted == has for wanted, has in own)
            and (filters.since is None or self.effective_on >= filters.since)
            and (filters.as_of is None or self.effective_on <= filters.as_of)
            and (figure.flow is None or self.rule in rules_of(*figure.flow.split(".")))
            and (figure.earned is None or figure.earned == self._earned)
            and (figure.booked is None or figure.booked == period_of(self.booked_on or self.effective_on, filters.period))
        )  # fmt: skip

    @property
    def _earned(self) -> str | None:
        if self.role != "revenue":
            return None
        if not self.subject.startswith("obligation:"):
            return "usage"
        return "at_a_point_in_time" if self.at_once else "over_time"

    def at(self, row: _Row) -> bool:
        """Whether it has all that a row says of itself, where it says it."""
        kind, _, ref = self.subject.partition(":")
        own = {"entity": self.entity, "customer": self.customer, "contract": self.contract, "product": self.product, "subject": self.subject, kind: ref}  # fmt: skip
        return all(not row.get(name) or not own[name] or row[name] == own[name] for name in _SHARED if name in own)


class _Since:
    """What was posted since a moment, and which figures it moved."""

    def __init__(
        self, connection: Connection, filters: Filters, signed_at: datetime, make: Callable[[Filters], Report]
    ) -> None:
        self.connection, self.filters, self.signed_at, self.make = connection, filters, signed_at, make
        self._known: dict[bool, list[_Posted]] = {}

    def posted(self, transaction: bool) -> list[_Posted]:
        """What documents posted, in the transaction's amounts or the entity's."""
        if transaction not in self._known:
            narrowed = replace(self.filters, since=None, product=None, contract=None, transaction=transaction)
            source, parameters = posted_since(narrowed)
            code, _, joins = gl_account_sql("f")
            columns = (
                "f.entity, f.customer, f.contract, f.product, f.role, f.subject, f.rule, f.effective_on, f.booked_on, f.currency,"
                f" f.account_currency, {code}"
            )
            at_once = (
                "exists (select from performance_obligation o where o.customer_id = f.customer_id and o.subject = f.subject"
                " and o.pattern = 'point_in_time')"
            )
            facts, _, where = source.partition(" where n.posted_at")
            joins = joins.replace("f.product", "f.account_product")  # not by what it was used for
            rows = self.connection.execute(
                text(
                    f"select d.type || ' ' || d.ref as document, {columns} as code, {at_once} as at_once, sum(f.net)::bigint as net"
                    f" {facts} {joins} where n.posted_at{where}"
                    f" group by d.document_id, d.type, d.ref, f.customer_id, {columns} order by d.document_id"
                ),
                parameters | {"signed_at": self.signed_at},
            )
            self._known[transaction] = [_Posted(*row) for row in rows]
        return self._known[transaction]

    def explaining(self, report: str, row: _Row, figure: Column, before: Sequence[_Row]) -> list[str]:
        """The documents that moved a figure of a row; `before` are the lines that are explained already."""
        # what is ordered and billed in the meantime is no account's figure before
        made = figure_of(report, row, figure.key, self.filters) if report != "remaining-obligations" else None
        if made is not None:
            found = _moving(one for one in self.posted(bool(made.filters.transaction)) if one.is_in(made))
        elif report in _TOTALS:
            same = [line for line in before if (line["entity"], line["section"], line["figure"]) == (row["entity"], row["section"], figure.title)]  # fmt: skip
            found = list(dict.fromkeys(name for line in same for name in line["because"].split(", ")))
        elif report in _RULES:
            found = self._by_rule(report, row, figure.key)
        else:
            found = []
        return found or self._about(row)

    def _by_rule(self, report: str, row: _Row, key: str) -> list[str]:
        """Of what is at a place, the documents whose postings or terms move such a figure; by finer places where it adds them up."""
        rule = _RULES[report]
        places = self._finer(row, key) if report in _FINER else [row]
        days = self._days
        posted = [
            one
            for one in self.posted(bool(self.filters.transaction))
            if any(one.at(place) for place in places) and rule(one, key, row, days)
        ]
        found = _moving(posted)
        if key in _OF_TERMS.get(report, ()):
            named = {
                fact["document"]: fact
                for fact in self._terms
                if any(_at(fact, place) for place in places) and _felt(fact, key, row, self.filters.period)
            }
            found += [name for name in named if name not in found]
        order = {name: place for place, name in enumerate(self._order)}
        return sorted(found, key=lambda name: order.get(name, 0))

    @cached_property
    def _days(self) -> set[date]:
        """The report's own days, as signed and now."""
        if self.filters.as_of is not None:
            return {self.filters.as_of}
        return {
            last_day(self.connection, filters)
            for filters in (self.filters, replace(self.filters, known_at=self.signed_at))
        }

    @cached_property
    def _order(self) -> list[str]:
        rows = self.connection.scalars(
            text("select type || ' ' || ref from document where posted_at > :signed_at order by document_id"),
            {"signed_at": self.signed_at},
        )
        return list(rows)

    @cached_property
    def _finest(self) -> list[tuple[_Row, str]]:
        """(row, figure) of what differs where everything is kept apart."""
        apart = replace(self.filters, group=GROUPS)
        pair = _Pair(self.make(replace(apart, known_at=self.signed_at)), self.make(apart))
        return [(row, figure.key) for _, figure, row, _, _ in pair.differences()]

    def _finer(self, row: _Row, key: str) -> list[_Row]:
        same = [name for name in (*GROUPS, "currency", "balance", "month", "booked", "status") if row.get(name)]
        return [finer for finer, figure in self._finest if figure == key and all(finer.get(name) == row[name] for name in same)]  # fmt: skip

    @cached_property
    def _terms(self) -> list[dict[str, Any]]:
        """Documents that changed what is agreed, with what of whose, and from when on it counts."""
        dated = " and (cast(:as_of as date) is null or d.dated_on is null or d.dated_on <= :as_of)"
        rows = self.connection.execute(
            text(
                "select distinct d.type || ' ' || d.ref as document, d.document_id, t.entity, c.ref as customer, t.ref as contract, o.product,"
                " 'obligation:' || o.ref as subject, x.from_day "
                "from document d join (select customer_id, document_id, subject, from_day from obligation_version"
                " union all select customer_id, document_id, 'obligation:' || ref, null from obligation"
                " union all select customer_id, document_id, subject, effective_on from progress) x"
                " on d.customer_id in (x.customer_id, 0) and d.document_id = x.document_id "
                "join obligation o on o.customer_id = x.customer_id and 'obligation:' || o.ref = x.subject "
                "join contract t on t.customer_id = o.customer_id and t.contract_id = o.contract_id "
                "join customer c on c.customer_id = o.customer_id "
                f"where d.posted_at > :signed_at{dated} "
                "union all "
                "select d.type || ' ' || d.ref, d.document_id, g.entity, c.ref, g.contract, null, 'grant:' || g.ref, g.effective_on "
                "from document d join (select customer_id, grant_id as document_id, grant_id from credit_grant"
                " union all select customer_id, document_id, grant_id from grant_move) x using (customer_id, document_id) "
                "join credit_grant g on g.customer_id = x.customer_id and g.grant_id = x.grant_id "
                "join customer c on c.customer_id = d.customer_id "
                f"where d.posted_at > :signed_at{dated} order by document_id"
            ),
            {"signed_at": self.signed_at, "as_of": self.filters.as_of},
        )
        return self._of_its_entity(dict(row._mapping) | {"role": None} for row in rows)

    @cached_property
    def _plain(self) -> list[dict[str, Any]]:
        """Documents that neither post nor change a contract, and bear on what is shown all the same."""
        rows = self.connection.execute(
            text(
                f"select d.type || ' ' || d.ref as document, d.document_id, {_ENTITY} as entity, nullif(c.ref, '') as customer, null as contract,"
                " null as product, null as role, null as subject, null as from_day "
                "from document d left join customer c on c.customer_id = d.customer_id and d.customer_id <> 0 "
                "where d.posted_at > :signed_at and d.type in ('fx_rate', 'stand_alone_price', 'estimate', 'entity', 'customer',"
                " 'customer_change', 'wallet_alert')"
                " and (cast(:as_of as date) is null or d.dated_on is null or d.dated_on <= :as_of) order by d.document_id"
            ),
            {"signed_at": self.signed_at, "as_of": self.filters.as_of},
        )
        return self._of_its_entity(dict(row._mapping) for row in rows)

    def _of_its_entity(self, facts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Facts without those of other entities than the report is of: these move nothing of it."""
        entity = self.filters.entity
        return [_with_subject(fact) for fact in facts if None in (entity, fact["entity"]) or fact["entity"] == entity]

    def _about(self, row: _Row) -> list[str]:
        """The documents whose postings or terms have all that a row says of itself, where they say it."""
        period = self.filters.period
        posted = [
            _with_subject({
                "document": one.document, "entity": one.entity, "customer": one.customer, "contract": one.contract, "product": one.product,
                "role": one.role, "subject": one.subject, "from_day": one.effective_on,
            })
            for one in self.posted(bool(self.filters.transaction))
        ]  # fmt: skip
        found = [
            fact["document"]
            for fact in (*posted, *self._terms, *self._plain)
            if _at(fact, row)
            # what counts in an earlier period is in the balances of all that come after
            and (row.get("period") is None or isinstance(row["period"], int) or fact["from_day"] is None or fact["subject"] is None
                 or period_of(fact["from_day"], period) <= row["period"])
        ]  # fmt: skip
        return list(dict.fromkeys(found))


# The entity of a document `d` that posts nothing, where it is of one.
_ENTITY = (
    "case d.type when 'entity' then d.ref else coalesce(d.body::jsonb ->> 'entity',"
    " (select t.entity from contract t where t.ref = d.body::jsonb ->> 'contract')) end"
)


def _with_subject(fact: dict[str, Any]) -> dict[str, Any]:
    kind, _, ref = (fact["subject"] or "").partition(":")
    return fact | {name: ref if kind == name else None for name in ("invoice", "grant", "obligation")}


def _at(fact: _Row, row: _Row) -> bool:
    """Whether a document's fact has all that a row says of itself, where it says it."""
    return all(row.get(name) in (None, "", fact[name]) or fact[name] is None for name in _SHARED)


def _moving(posted: Iterator[_Posted] | Sequence[_Posted]) -> list[str]:
    """The documents whose postings do not cancel out."""
    sums: Counter[str] = Counter()
    for one in posted:
        sums[one.document] += one.net
    return [document for document, net in sums.items() if net]


def _felt(fact: _Row, key: str, row: _Row, period: str) -> bool:
    """Whether terms bear on a figure: on a month those that count from then or before; on credits those of their own kind."""
    kind = fact["document"].partition(" ")[0]
    if key in ("granted", "moved"):
        return bool((kind == "grant" and fact["document"] == f"grant {row.get('grant')}") == (key == "granted"))
    if key == "as_used" or fact["subject"].startswith("grant:"):
        return bool(fact["subject"].startswith("grant:") and (key in ("as_used", "left", "total", "short")))
    month = row.get("month")
    return month is None or fact["from_day"] is None or period_of(fact["from_day"], period) <= month


# Reports whose totals are of the rows of their section, above them.
_TOTALS = ("income-statement", "balance-sheet")
_REVENUE = ("revenue", "breakage_revenue")


def _prices(one: _Posted) -> bool:
    """Whether it bills what an invoice sells by itself alone, whose price is its bill; what else changes prices leaves versions."""
    billed = one.contract is None and BY_NUMBER[one.rule].code.startswith("invoice.")
    return billed and one.role != "accounts_receivable"


def _month_to_come(one: _Posted, key: str, row: _Row, days: set[date]) -> bool:
    """What is to come in a month is a price by its terms; in the report's own month less what is recognised."""
    if not one.subject.startswith("obligation:"):
        return False
    if one.role == "revenue":
        return key != "to_date" and any(row.get("month") == period_of(day, name) for day in days for name in PERIODS)
    return _prices(one) and any(period_of(one.effective_on, name) <= row["month"] for name in PERIODS)


def _horizon_to_come(one: _Posted, key: str, _row: _Row, _days: set[date]) -> bool:
    """What is to come: of credits what is not used, of commitments too, of obligations a price less what is recognised."""
    summed = key in ("total", "short")
    if one.role == "memo_commitments_outstanding":
        return key != "as_used"
    if one.subject.startswith("grant:"):
        return one.role in _REVENUE and (summed or key == "as_used")
    if one.role == "revenue":  # of the months to come the first
        return one.subject.startswith("obligation:") and (summed or key in ("within_12", "by_progress"))
    return one.subject.startswith("obligation:") and key != "as_used" and _prices(one)


def _net_by_contract(one: _Posted, key: str, row: _Row, _days: set[date]) -> bool:
    """Assets and liabilities of contracts at the start and the end of the report's period."""
    opened = one.effective_on < row["since"]
    return one.role in ("unbilled_receivable", *CONTRACT_LIABILITIES) and (
        key == "closing" or opened == (key == "opening")
    )


def _receivable(one: _Posted, _key: str, _row: _Row, _days: set[date]) -> bool:
    return one.role == "accounts_receivable"


def _statement(one: _Posted, key: str, row: _Row, _days: set[date]) -> bool:
    """What a document charges or settles is its own; the balance is of all until its day."""
    if one.role not in ("accounts_receivable", "customer_balance"):
        return False
    if key in ("charged", "settled"):
        return one.document == row.get("document")
    return row.get("date") is None or one.effective_on <= row["date"]


def _journal(one: _Posted, _key: str, row: _Row, _days: set[date]) -> bool:
    return (one.effective_on, BY_NUMBER[one.rule].code, ROLES[one.role].title) == (row["effective_on"], row["rule"], row["account"])  # fmt: skip


_CREDITS = ("memo_credits_outstanding", "memo_commitments_outstanding", *_REVENUE)


def _wallet(one: _Posted, key: str, _row: _Row, _days: set[date]) -> bool:
    """Credits by what took them: their use, their expiry, their return."""
    family = BY_NUMBER[one.rule].code.partition(".")[0]
    families = {"granted": (), "drawn": ("draw",), "expired": ("expire", "break")}.get(key)
    return one.role in _CREDITS and (families is None or family in families)


_RULES: Mapping[str, Callable[[_Posted, str, _Row, set[date]], bool]] = {
    "schedule": _month_to_come, "revenue-waterfall": _month_to_come, "remaining-obligations": _horizon_to_come, "contract-balances": _net_by_contract,
    "ar-aging": _receivable, "dunning": _receivable, "statement": _statement, "recognition-journal": _journal, "wallet": _wallet,
}  # fmt: skip
# Those that can be kept apart finer, to tell which of what a row adds up has changed; and those that terms alone can move.
_FINER = ("revenue-waterfall", "remaining-obligations", "contract-balances")
_OF_TERMS: Mapping[str, tuple[str, ...]] = {
    "schedule": ("scheduled", "to_date"), "revenue-waterfall": ("amount",), "wallet": ("granted", "moved", "left"),
    "remaining-obligations": ("within_12", "within_24", "later", "as_used", "by_progress", "total", "short"),
}  # fmt: skip
