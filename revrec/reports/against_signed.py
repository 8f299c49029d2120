"""A report against itself, as it was signed.

Each figure that differs, and the documents that explain it. A difference has one cause: a document posted since. What each posted, and
which terms it changed, says which figures it bears on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, text

from ledger.errors import Refused
from ledger.reports.report import GROUPS, Column, Filters, Report, last_day, period_of
from ledger.reports.trial_balance import gl_account_sql
from revrec.reports.bearings import BEARING, FINER, OF_TERMS, TOTALS, felt
from revrec.reports.cells import figure_of
from revrec.reports.figures_apart import Pair, Row
from revrec.reports.posted_since import SHARED, Posted, moving
from revrec.reports.rows import posted_since


def compare(connection: Connection, make: Callable[[Filters], Report], filters: Filters, signed_at: datetime) -> Report:
    """Every figure of a report that is another now than it was known at a moment.

    With the documents posted since that moved it. Raises Refused where the report is asked for as known before that moment.
    """
    if filters.known_at is not None and filters.known_at <= signed_at:
        raise Refused(
            "against", signed_at.isoformat(), f"expected a moment before known-at, {filters.known_at.isoformat()}"
        )
    before = replace(filters, known_at=signed_at)
    pair = Pair(make(before), make(filters))
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


class _Since:
    """What was posted since a moment, and which figures it moved."""

    def __init__(
        self, connection: Connection, filters: Filters, signed_at: datetime, make: Callable[[Filters], Report]
    ) -> None:
        self.connection, self.filters, self.signed_at, self.make = connection, filters, signed_at, make
        self._known: dict[bool, list[Posted]] = {}

    def posted(self, transaction: bool) -> list[Posted]:
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
            self._known[transaction] = [Posted(*row) for row in rows]
        return self._known[transaction]

    def explaining(self, report: str, row: Row, figure: Column, before: Sequence[Row]) -> list[str]:
        """The documents that moved a figure of a row.

        `before` are the lines that are explained already.
        """
        # what is ordered and billed in the meantime is no account's figure before
        made = figure_of(report, row, figure.key, self.filters) if report != "remaining-obligations" else None
        if made is not None:
            found = moving(one for one in self.posted(bool(made.filters.transaction)) if one.is_in(made))
        elif report in TOTALS:
            same = [line for line in before if (line["entity"], line["section"], line["figure"]) == (row["entity"], row["section"], figure.title)]  # fmt: skip
            found = list(dict.fromkeys(name for line in same for name in line["because"].split(", ")))
        elif report in BEARING:
            found = self._by_rule(report, row, figure.key)
        else:
            found = []
        return found or self._about(row)

    def _by_rule(self, report: str, row: Row, key: str) -> list[str]:
        """Of what is at a place, the documents that move such a figure.

        By their postings or terms; by finer places where the figure adds them up.
        """
        rule = BEARING[report]
        places = self._finer(row, key) if report in FINER else [row]
        days = self._days
        posted = [
            one
            for one in self.posted(bool(self.filters.transaction))
            if any(one.at(place) for place in places) and rule(one, key, row, days)
        ]
        found = moving(posted)
        if key in OF_TERMS.get(report, ()):
            named = {
                fact["document"]: fact
                for fact in self._terms
                if any(_at(fact, place) for place in places) and felt(fact, key, row, self.filters.period)
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
    def _finest(self) -> list[tuple[Row, str]]:
        """(row, figure) of what differs where everything is kept apart."""
        apart = replace(self.filters, group=GROUPS)
        pair = Pair(self.make(replace(apart, known_at=self.signed_at)), self.make(apart))
        return [(row, figure.key) for _, figure, row, _, _ in pair.differences()]

    def _finer(self, row: Row, key: str) -> list[Row]:
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

    def _about(self, row: Row) -> list[str]:
        """The documents that have all that a row says of itself, where they say it.

        By their postings or terms.
        """
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


def _at(fact: Row, row: Row) -> bool:
    """Whether a document's fact has all that a row says of itself, where it says it."""
    return all(row.get(name) in (None, "", fact[name]) or fact[name] is None for name in SHARED)
