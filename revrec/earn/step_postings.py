"""The postings of what recognition needs, with the journal's hashes, as SQL."""

from __future__ import annotations

import re

from ledger.accounts.rulebook import RULES
from ledger.journal import entry_rows
from revrec.earn.steps import MIXED, NEEDED_HOME, SELECT

# The three things a step moves: by a rule, or by its opposite where the amount is below zero.
_MOVES = (
    ("from_deferred", "recognise.deferred", "recognise.less_deferred"),
    ("from_unbilled", "recognise.unbilled", "recognise.less_unbilled"),
    ("settled", "recognise.settled", "recognise.unsettled"),
)


def _line_sql(place: int, row: str) -> dict[str, str]:
    """The columns of the posting of one of a step's moves, as SQL over the step's row.

    Its line counts the moves before it.
    """
    accounts = {
        "deferred_revenue": f"{row}.deferred_account",
        "unbilled_receivable": f"{row}.unbilled_account",
        "revenue": f"{row}.revenue_account",
    }
    column, forward, back = _MOVES[place]
    rules = RULES[forward], RULES[back]
    back_is_opposite = (rules[0].debit, rules[0].credit) == (rules[1].credit, rules[1].debit)
    assert back_is_opposite, f"{back} takes back what {forward} posts"
    forth, opposite = f"{row}.{column} > 0", (accounts[rules[0].debit], accounts[rules[0].credit])
    before = "".join(f" + case when {row}.{earlier} <> 0 then 1 else 0 end" for earlier, *_ in _MOVES[:place])
    return {
        "line": f"(1{before})::smallint",
        "rule": f"(case when {forth} then {rules[0].number} else {rules[1].number} end)::smallint",
        "debit_account": f"case when {forth} then {opposite[0]} else {opposite[1]} end",
        "credit_account": f"case when {forth} then {opposite[1]} else {opposite[0]} end",
        "amount": f"abs({row}.{column})",
        "functional_amount": f"abs({row}.{column})",
    }


def _bytes_sql(row: str) -> str:
    """The bytes of a step's postings, as the journal hashes them, one after the other."""
    found = []
    for place, (column, *_) in enumerate(_MOVES):
        bytes_of = entry_rows.POSTING_BYTES_SQL
        for name, value in _line_sql(place, row).items():
            bytes_of = re.sub(rf"\bp\.{name}\b", f"({value})", bytes_of)
        found.append(f"case when {row}.{column} <> 0 then {bytes_of} else ''::bytea end")
    return " || ".join(found)


def _postings_sql(row: str) -> str:
    """Steps' postings as rows, move by move: few steps have more than one."""
    return " union all ".join(
        f"select {row}.customer_id, {row}.entry_id, {row}.effective_on,"
        f" {', '.join(f'{value} as {name}' for name, value in _line_sql(place, row).items())} from {row} where {row}.{column} <> 0"
        for place, (column, *_) in enumerate(_MOVES)
    )


# Needed steps, numbered, with their postings and the hash the journal keeps, as entries and postings; and what is mixed.
POST = f"""
    {NEEDED_HOME}, needed as materialized ({SELECT}),
    e as materialized (
        select n.*, nextval('entry_number') as entry_id, cast(:document_id as bigint) as document_id,
               cast(:posted_at as timestamptz) as posted_at, cast(:posted_by as text) as posted_by,
               null::bigint as reverses, n.dated_on as effective_on, n.dated_on as occurred_on,
               (case when from_deferred <> 0 then 1 else 0 end + case when from_unbilled <> 0 then 1 else 0 end
                + case when settled <> 0 then 1 else 0 end) as posting_count
        from (select * from needed order by month, customer_id, revenue_account) n
        where from_deferred <> 0 or from_unbilled <> 0 or settled <> 0
    ), entries as (
        insert into entry (customer_id, entry_id, document_id, posted_at, reverses, effective_on, occurred_on,
                           posting_count, posted_by, hash)
        select e.customer_id, e.entry_id, e.document_id, e.posted_at, e.reverses, e.effective_on, e.occurred_on,
               e.posting_count, e.posted_by, sha256({entry_rows.HEAD_BYTES_SQL} || {_bytes_sql("e")})
        from e
        returning 1
    ), postings as (
        insert into posting (customer_id, entry_id, debit_account, credit_account, amount, functional_amount,
                             effective_on, line, rule)
        select customer_id, entry_id, debit_account, credit_account, amount, functional_amount, effective_on, line, rule
        from ({_postings_sql("e")}) l
        returning 1
    )
    select n.entries, n.postings, m.*
    from (select (select count(*) from entries) as entries, (select count(*) from postings) as postings) n
    left join ({MIXED}) m on true
    order by m.customer_id, m.unit, m.month, m.subject
"""
