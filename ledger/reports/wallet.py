"""The report of wallets: each grant, what of its credits was drawn, expired and is left."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.rulebook import RULES
from ledger.reports.report import Column, Filters, Report, sides

# By these rules credits leave their memorandum accounts unused; the credits a commitment's shortfall billed, too.
_CREDITS_EXPIRE = (
    "expire.credits", "expire.credits_corrected", "expire.shortfall", "expire.shortfall_corrected", "expire.shortfall_used",
    "expire.shortfall_raised",
)  # fmt: skip
# By these a lower price of credits that were used, or expired, takes back what they had earned, and gives it again.
_PRICE_FALLS = (
    "credit.used", "credit.used_to_balance", "credit.used_after_all", "break.returned", "credit_void.used", "break.again",
)  # fmt: skip


# Each grant with what its accounts moved; `source` are the sides of postings.
_GRANTS = """
    with moved as (
        select customer_id, subject,
               sum(-sign * amount) filter (where role = 'customer_credits') as credits,
               sum(sign * amount) filter (where role = 'unbilled_receivable') as unbilled,
               sum(-sign * amount) filter (where role = 'revenue') as revenue,
               sum(-sign * amount) filter (where role = 'breakage_revenue') as breakage,
               sum(sign * amount) filter (where role = 'revenue' and rule = any(:lowering_rules)) as lowered,
               sum(sign * amount) filter (where role = 'breakage_revenue' and rule = any(:lowering_rules)) as unbroken,
               sum(-sign * amount) filter (where role in ('memo_credits_outstanding', 'memo_commitments_outstanding')) as outstanding,
               sum(sign * amount) filter (
                   where role in ('memo_credits_outstanding', 'memo_commitments_outstanding') and rule = any(:expiry_rules)) as memo_expired
        from ({source}) x where subject like 'grant:%' group by 1, 2
    )
    select c.ref as customer, g.ref as grant_ref, g.entity, g.kind, g.currency, g.effective_on, g.expires_on,
           g.face_minor, g.in_memorandum, coalesce(m.revenue, 0)::bigint as revenue,
           coalesce(m.breakage, 0)::bigint as breakage, coalesce(m.credits, 0)::bigint as credits,
           coalesce(m.unbilled, 0)::bigint as unbilled, coalesce(m.lowered, 0)::bigint as lowered,
           coalesce(m.unbroken, 0)::bigint as unbroken,
           coalesce(m.outstanding, 0)::bigint as outstanding,
           coalesce(m.memo_expired, 0)::bigint as memo_expired,
           (select coalesce(sum(v.face_minor), 0) from grant_move v
            join document vd on vd.customer_id = v.customer_id and vd.document_id = v.document_id
            where v.customer_id = g.customer_id and v.grant_id = g.grant_id
              and (cast(:as_of_ as date) is null or v.effective_on <= :as_of_)
              and (cast(:known_ as timestamptz) is null or vd.posted_at <= :known_))::bigint as moved
    from credit_grant g join customer c using (customer_id)
    left join moved m on m.customer_id = g.customer_id and m.subject = 'grant:' || g.ref
    join document d on d.customer_id = g.customer_id and d.document_id = g.grant_id
    where (cast(:as_of_ as date) is null or g.effective_on <= :as_of_)
      and (cast(:known_ as timestamptz) is null or d.posted_at <= :known_)
      and (cast(:entity_ as text) is null or g.entity = :entity_)
      and (cast(:customer_ as text) is null or c.ref = :customer_)
      and (cast(:currency_ as text) is null or g.currency = :currency_)
    order by c.ref, g.effective_on, g.ref
"""
_COLUMNS = (
    Column("customer", "Customer"),
    Column("grant", "Grant"),
    Column("kind", "Kind"),
    Column("currency", "Currency"),
    Column("effective_on", "From", "date"),
    Column("expires_on", "To", "date"),
    Column("granted", "Granted", "amount"),
    Column("drawn", "Drawn", "amount"),
    Column("expired", "Expired", "amount"),
    Column("moved", "Moved", "amount"),
    Column("left", "Left", "amount"),
    Column("revenue", "Revenue", "amount"),
    Column("breakage", "Breakage", "amount"),
    Column("liability", "Liability", "amount"),
    Column("unbilled", "Unbilled", "amount"),
)


def wallet(connection: Connection, filters: Filters) -> Report:
    """Each grant: its credits, what is left of them, and the money behind it.

    What of them was drawn, expired and is left.
    """
    source, parameters = sides(filters)
    rows = connection.execute(
        text(_GRANTS.format(source=source)),
        parameters
        | {
            "as_of_": filters.as_of, "known_": filters.known_at, "entity_": filters.entity,
            "customer_": filters.customer, "currency_": filters.currency,
            "expiry_rules": [rule.number for rule in RULES.values() if rule.code in _CREDITS_EXPIRE],
            "lowering_rules": [RULES[code].number for code in _PRICE_FALLS],
        },
    )  # fmt: skip
    found = []
    for row in rows:
        left, expired = _credits_left(row)
        found.append(
            {
                "customer": row.customer, "grant": row.grant_ref, "kind": row.kind, "currency": row.currency,
                "effective_on": row.effective_on, "expires_on": row.expires_on, "granted": row.face_minor,
                "drawn": row.face_minor - left - expired - row.moved, "expired": expired, "moved": row.moved,
                "left": left,
                "revenue": row.revenue, "breakage": row.breakage, "liability": row.credits, "unbilled": row.unbilled,
            }
        )  # fmt: skip
    return Report("wallet", "Wallets", _COLUMNS, tuple(found))


def _credits_left(row: Any) -> tuple[int, int]:
    """(left, expired) credits of a grant.

    By its memorandum account where it has one, else by money at face value.
    """
    if row.in_memorandum or row.kind == "commitment":
        return row.outstanding, row.memo_expired
    expired = row.breakage + row.unbroken
    return row.face_minor - row.revenue - row.lowered - expired - row.moved, expired
