"""A report against itself, as it was signed: each figure that differs, and the documents that explain it.

A difference has one cause: a document posted since. What each posted, and which terms it changed, says which rows it bears on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from ledger.errors import Refused
from ledger.reports import PERIODS, Column, Filters, Report
from revrec.facts import posted_since

_Key = tuple[Any, ...]

# What a row and a document have in common where both say it. A day or month is none of it: a change of terms is felt in every
# month to come.
_SHARED = ("entity", "customer", "contract", "product", "role", "subject", "invoice", "grant", "obligation")


def compare(connection: Connection, make: Callable[[Filters], Report], filters: Filters, signed_at: datetime) -> Report:
    """Every figure of a report that is another now than it was known at a moment, with the documents posted since that bear on it.

    Raises Refused where the report is asked for as known before that moment.
    """
    if filters.known_at is not None and filters.known_at <= signed_at:
        raise Refused(
            "against", signed_at.isoformat(), f"expected a moment before known-at, {filters.known_at.isoformat()}"
        )
    after = make(filters)
    before = make(replace(filters, known_at=signed_at))
    names = [column.key for column in after.columns if column.kind in ("text", "date")]
    figures = [column for column in after.columns if column.kind == "amount"]
    then, now = _by_key(before.rows, names, figures), _by_key(after.rows, names, figures)
    since = _since(connection, filters, signed_at)
    lines = []
    for key in sorted({*then, *now}, key=lambda values: tuple(str(value) for value in values)):
        place = dict(zip(names, key, strict=True))
        explained = None
        for figure in figures:
            was, is_ = then.get(key, {}).get(figure.key, 0), now.get(key, {}).get(figure.key, 0)
            if was != is_:
                explained = _explaining(place, since) if explained is None else explained
                lines.append(
                    place
                    | {"figure": figure.title, "signed": was, "now": is_, "difference": is_ - was, "because": explained}
                )
    columns = (
        *(column for column in after.columns if column.key in names), Column("figure", "Figure"), Column("signed", "As signed", "amount"),
        Column("now", "Now", "amount"), Column("difference", "Difference", "amount"), Column("because", "Posted since"),
    )  # fmt: skip
    note = f"against what was known at {signed_at.isoformat(timespec='seconds')}"
    return Report(after.name, f"{after.title}, compared", columns, tuple(lines), notes=(*after.notes, note), sums=False)


def _by_key(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], figures: Sequence[Column]
) -> dict[_Key, dict[str, int]]:
    found: dict[_Key, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        for figure in figures:
            found[tuple(row.get(name) for name in names)][figure.key] += row.get(figure.key) or 0
    return found


def _explaining(place: Mapping[str, Any], since: Sequence[dict[str, Any]]) -> str:
    """The documents whose postings or terms have all that a row says of itself, where they say it."""
    return ", ".join(
        dict.fromkeys(
            fact["document"]
            for fact in since
            if all(place.get(name) in (None, "", fact[name]) or fact[name] is None for name in _SHARED)
            # what counts in an earlier period is in the balances of all that come after
            and (place.get("period") is None or fact["period"] is None or fact["period"] <= place["period"])
        )
    )


def _since(connection: Connection, filters: Filters, signed_at: datetime) -> list[dict[str, Any]]:
    """What was posted since a moment: which document, and what of whose it moved or changed the terms of."""
    since, parameters = posted_since(replace(filters, since=None, product=None, contract=None))
    posted = connection.execute(
        text(
            f"select distinct d.type || ' ' || d.ref as document, d.document_id, f.entity, f.customer, f.contract, f.product, f.role,"
            f" f.subject, to_char(f.effective_on, '{PERIODS[filters.period]}') as period {since} order by d.document_id"
        ),
        parameters | {"signed_at": signed_at},
    )
    # what is dated after the report's day is not in it
    of = {"signed_at": signed_at, "as_of": filters.as_of}
    dated = " and (cast(:as_of as date) is null or d.dated_on is null or d.dated_on <= :as_of)"
    terms = connection.execute(
        text(
            "select distinct d.type || ' ' || d.ref as document, d.document_id, t.entity, c.ref as customer, t.ref as contract, o.product,"
            " null as role, 'obligation:' || o.ref as subject, null as period "
            "from document d join (select customer_id, document_id, subject from obligation_version"
            " union all select customer_id, document_id, 'obligation:' || ref from obligation"
            " union all select customer_id, document_id, subject from progress) x using (customer_id, document_id) "
            "join obligation o on o.customer_id = x.customer_id and 'obligation:' || o.ref = x.subject "
            "join contract t on t.customer_id = o.customer_id and t.contract_id = o.contract_id "
            "join customer c on c.customer_id = d.customer_id "
            f"where d.posted_at > :signed_at{dated} order by d.document_id"
        ),
        of,
    )
    plain = connection.execute(
        text(
            "select d.type || ' ' || d.ref as document, d.document_id, null as entity, nullif(c.ref, '') as customer, null as contract,"
            " null as product, null as role, null as subject, null as period "
            "from document d left join customer c on c.customer_id = d.customer_id and d.customer_id <> 0 "
            "where d.posted_at > :signed_at and d.type in ('fx_rate', 'stand_alone_price', 'estimate', 'entity', 'customer', 'wallet_alert')"
            f"{dated}"
        ),
        of,
    )
    found = []
    for row in (*posted, *terms, *plain):
        kind, _, ref = (row.subject or "").partition(":")
        about = {name: ref if kind == name else None for name in ("invoice", "grant", "obligation")}
        found.append({**row._mapping, **about})
    return found
