"""Positions whose parts have ended, and what of them still stands.

Positions are by contract, or by what contracts account for as one: an asset of one obligation and a liability of another settle
each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.rulebook import RULES
from ledger.reports.report import Filters, sides

# Revenue of a month is recognised within the next: what ended after the last recognised month waits for that so long.
RECOGNISED_WITHIN_DAYS = 31
_POSITIONS = ("unbilled_receivable", "deferred_revenue", "customer_credits", "refund_liability")


def rules_in(*families: str) -> list[int]:
    """The numbers of all rules of some families."""
    return [rule.number for rule in RULES.values() if rule.code.startswith(families)]


# What says how far usage was used and billed, when credits were billed, and what puts an asset back until the next recognition.
_USED = rules_in("usage.overage", "usage.billed_ahead")
_BILLED = rules_in("invoice.usage", "invoice.prepaid")
_DRAWN = rules_in("draw.", "expire.", "break.")
_CORRECTED = rules_in("credit.unbilled", "payable.unbilled")


@dataclass(frozen=True, slots=True)
class Standing:
    """A balance that stands though what it is of has ended; `contract` where it is of one."""

    entity: str
    customer_id: int
    customer: str
    contract: str | None
    product: str | None
    subject: str
    role: str
    currency: str
    amount: int
    ended_on: date


# What is known by the moment that is asked for, of a document's row `{0}`.
_KNOWN = "(cast(:known as timestamptz) is null or exists (select from document d where d.customer_id in ({0}.customer_id, 0) and d.document_id = {0}.{1} and d.posted_at <= :known))"

# Credits that a grant still has, and when they were last used, from its postings.
_CREDITS_LEFT = """(
    select h.face_minor - coalesce(sum(s.net) filter (where a.role in ('revenue', 'breakage_revenue')), 0)
               - (select coalesce(sum(v.face_minor), 0) from grant_move v where v.customer_id = h.customer_id
                  and v.grant_id = h.grant_id and v.effective_on <= :until) as by_money,
           coalesce(sum(s.net) filter (where a.role in ('memo_credits_outstanding', 'memo_commitments_outstanding')), 0) as by_memo,
           max(s.effective_on) filter (where s.rule = any(:drawn)) as drawn_on
    from account a
    cross join lateral (
        select p.effective_on, p.rule, p.entry_id, -p.amount as net from posting p
        where p.customer_id = a.customer_id and p.debit_account = a.account_id
        union all
        select p.effective_on, p.rule, p.entry_id, p.amount from posting p
        where p.customer_id = a.customer_id and p.credit_account = a.account_id
    ) s
    where a.customer_id = h.customer_id and a.entity = h.entity and a.currency = h.currency and a.subject = 'grant:' || h.ref
      and a.role in ('revenue', 'breakage_revenue', 'memo_credits_outstanding', 'memo_commitments_outstanding')
      and s.effective_on <= :until
      and (cast(:known as timestamptz) is null or (select e.posted_at from entry e
               where e.customer_id = a.customer_id and e.entry_id = s.entry_id) <= :known)
)"""

# Balances by what they are of; what each of these is and when it ended; and those of a position of which something has.
_BALANCES = f"""
    with moved as (
        select customer_id, entity, currency, subject,
               coalesce(sum(sign * amount) filter (where role = 'unbilled_receivable'), 0)::bigint as asset,
               coalesce(-sum(sign * amount) filter (where role = 'deferred_revenue'), 0)::bigint as deferred,
               coalesce(-sum(sign * amount) filter (where role = 'customer_credits'), 0)::bigint as credits,
               coalesce(-sum(sign * amount) filter (where role = 'refund_liability'), 0)::bigint as refund,
               max(effective_on) filter (where role = 'unbilled_receivable' and sign = 1 and rule = any(:corrected)) as corrected_on,
               max(effective_on) filter (where rule = any(:used)) as used_on,
               max(effective_on) filter (where rule = any(:billed)) as billed_on
        from ({{source}}) x group by 1, 2, 3, 4
        having sum(sign * amount) filter (where role = 'unbilled_receivable') <> 0
            or sum(sign * amount) filter (where role = 'deferred_revenue') <> 0
            or sum(sign * amount) filter (where role = 'customer_credits') <> 0
            or sum(sign * amount) filter (where role = 'refund_liability') <> 0
    ), corrections as (
        -- a credit with a period of its own stands with the line it credits
        select x.customer_id, x.subject, coalesce('contract:' || o.package, l.subject) as position
        from line_change x join invoice_line l using (customer_id, invoice_id, line)
        left join performance_obligation o on o.customer_id = l.customer_id and o.subject = l.subject
        where x.own_obligation {{of_x}}
    ), obligations as (
        select m.*, o.contract, o.product, coalesce('contract:' || o.package, k.position, m.subject) as position,
               greatest(case when cut.ended_on is not null then least(cut.ended_on, v.ends_on)
                    when coalesce(v.pattern, o.pattern) = 'point_in_time' then coalesce(v.starts_on, o.starts_on)
                    when coalesce(v.pattern, o.pattern) = 'progress' then done.done_on
                    else coalesce(case when v.version is null then coalesce(b.ends_on, case when b.ref is null then o.ends_on end)
                                       else v.ends_on end, date '2199-12-31') end, paid.paid_on) as ended_on,
               greatest(o.known_on, case when asset <> 0 then m.corrected_on end) as settled_on,
               coalesce(v.refund_minor, 0) as expected
        from moved m join performance_obligation o on o.customer_id = m.customer_id and o.subject = m.subject {{of_o}}
        left join obligation b on b.customer_id = m.customer_id and b.ref = substr(m.subject, 12) and o.contract is not null
        left join corrections k on k.customer_id = m.customer_id and k.subject = m.subject
        left join lateral (
            select * from obligation_version v where v.customer_id = m.customer_id and v.subject = m.subject
              and v.from_day <= :until and {_KNOWN.format("v", "document_id")} order by v.version desc limit 1
        ) v on true
        left join lateral (
            -- what is credited of it afterwards is a version too, and ends nothing later
            select min(case w.treatment when 'cancelled' then w.from_day - 1 else w.ends_on end) as ended_on
            from obligation_version w where w.customer_id = m.customer_id and w.subject = m.subject and w.treatment in ('cancelled', 'terminated')
              and w.from_day <= :until and {_KNOWN.format("w", "document_id")}
        ) cut on true
        left join lateral (
            -- all of it is done: a percentage says so, or the quantities delivered
            select max(p.effective_on) as done_on from progress p
            where p.customer_id = m.customer_id and p.subject = m.subject and p.effective_on <= :until
              and {_KNOWN.format("p", "document_id")}
            having coalesce((array_agg(p.percent order by p.effective_on desc, p.document_id desc))[1] >= 100,
                            sum(p.quantity) >= coalesce(v.quantity, b.quantity))
        ) done on true
        left join lateral (
            -- what is financed is paid when that was agreed
            select max(f.paid_on) as paid_on from financed_payment f where f.customer_id = m.customer_id and f.subject = m.subject
        ) paid on true
    ), grants as (
        select m.*, g.grant_id, g.ref, g.contract as ordered, t.ref as contract, null::text as product,
               case when t.ref is not null then 'contract:' || coalesce(t.package, t.ref)
                    when g.contract is not null then 'order:' || g.contract else m.subject end as position
        from moved m join credit_grant g on g.customer_id = m.customer_id and m.subject = 'grant:' || g.ref {{of_g}}
        left join contract t on t.customer_id = g.customer_id and t.ref = g.contract
    ), ended_grants as (
        -- the credits of an order are one: it ends with the last of them
        select g.customer_id, g.grant_id, max(x.ended_on) as ended_on
        from grants g
        join credit_grant h on h.customer_id = g.customer_id and h.entity = g.entity and h.currency = g.currency
             and (h.grant_id = g.grant_id or (g.contract is null and h.contract = g.ordered))
             and h.effective_on <= :until and {_KNOWN.format("h", "grant_id")} {{of_h}}
        join grant_balance b on b.customer_id = h.customer_id and b.grant_id = h.grant_id {{of_b}}
        cross join lateral (
            select case when h.expires_on <= :until then h.expires_on
                        when cast(:known as timestamptz) is null
                             and b.face_minor > b.drawn_face_minor + b.expired_face_minor + b.moved_face_minor then null
                        else (select case when (case when h.in_memorandum or h.kind = 'commitment' then u.by_memo else u.by_money end) = 0
                                          then coalesce(u.drawn_on, h.effective_on) end from {_CREDITS_LEFT} u) end as ended_on
        ) x
        group by 1, 2 having bool_and(x.ended_on is not null)
    ), usage as (
        select m.*, greatest(m.used_on, case when m.asset = 0 then m.billed_on end) as quiet_since, n.bills_within
        from moved m join entity n using (entity) where m.subject like 'usage:%'
    ), things as (
        select customer_id, entity, currency, subject, position, contract, product, asset, deferred, credits, refund, expected,
               ended_on, greatest(ended_on, settled_on) as settled_on
        from obligations
        union all
        select customer_id, entity, currency, subject, position, contract, product, asset, deferred, credits, refund, 0,
               e.ended_on, case when credits <> 0 then greatest(e.ended_on, billed_on) end
        from grants left join ended_grants e using (customer_id, grant_id)
        union all
        select customer_id, entity, currency, subject, subject, null, substr(subject, 7), asset, deferred, credits, refund, 0,
               case when cast(:until as date) - quiet_since > bills_within then quiet_since end, null
        from usage
    ), standing as (
        select *, ended_on <= :until and coalesce(settled_on <= :recognised or cast(:until as date) - settled_on > :waits, true) as ended
        from things
    ), open_bills as (
        -- a bill that is not due yet is no receivable yet, and clears the asset once it is
        select l.customer_id, i.entity, i.currency, l.subject, sum(l.amount_minor)::bigint as billed
        from invoice i join invoice_line l using (customer_id, invoice_id)
        where i.recorded_on > :until and i.issued_on <= :until {{of_i}} and {_KNOWN.format("i", "invoice_id")}
        group by 1, 2, 3, 4
    )
    select s.*, c.ref as customer, greatest(s.asset - greatest(coalesce(o.billed, 0), 0), 0) as unbilled
    from (select *, bool_or(ended) over (partition by customer_id, entity, currency, position) as any_ended from standing) s
    join customer c on c.customer_id = s.customer_id {{of_c}}
    left join open_bills o on o.customer_id = s.customer_id and o.entity = s.entity and o.currency = s.currency and o.subject = s.subject
    where s.any_ended
    order by s.entity, c.ref, s.currency, s.position, s.ended_on desc, s.subject
"""

# The same sides as `sides` gives, from the accounts of some customers: of obligations, of credits that ended and whose bills are not
# what they earned, of usage unless the customer's newest entries have some. A busy wallet's thousand draws are not added up.
_OF_CUSTOMERS = """
    select a.customer_id, a.entity, a.role, a.currency, a.subject, s.* from account a
    cross join lateral (
        select p.effective_on, p.entry_id, p.rule, p.amount, 1 as sign from posting p
        where p.customer_id = a.customer_id and p.debit_account = a.account_id
        union all
        select p.effective_on, p.entry_id, p.rule, p.amount, -1 from posting p
        where p.customer_id = a.customer_id and p.credit_account = a.account_id
    ) s
    where a.customer_id = any(:customers) and a.entity = :entity and a.role = any(:roles) and s.effective_on <= :as_of
      and case when a.subject like 'grant:%' then exists (
                   select from credit_grant g join grant_balance b using (customer_id, grant_id)
                   where g.customer_id = a.customer_id and 'grant:' || g.ref = a.subject
                     and (g.contract is not null or g.expires_on <= :as_of
                          or b.face_minor = b.drawn_face_minor + b.expired_face_minor + b.moved_face_minor)
                     and b.drawn_minor + b.broken_minor <> (
                         select coalesce(sum(l.amount_minor), 0) from invoice_line l where l.customer_id = a.customer_id and l.subject = a.subject
                     ) - (select coalesce(sum(x.amount_minor), 0) from line_change x where x.customer_id = a.customer_id and x.subject = a.subject))
               when a.subject like 'usage:%' then not exists (
                   select from (select q.debit_account, q.rule, q.effective_on from posting q
                                where q.customer_id = a.customer_id order by q.entry_id desc limit 50) q
                   where q.debit_account = a.account_id and q.rule = any(:used)
                     and q.effective_on >= cast(:as_of as date) - (select n.bills_within from entity n where n.entity = a.entity))
               else true end
"""


def sides_of(filters: Filters, customers: Sequence[int] | None, *roles: str) -> tuple[str, dict[str, object]]:
    """SQL for the sides of postings on some roles, with its parameters.

    Of some customers or of all.
    """
    if customers is None:
        return sides(filters, *roles)
    place: dict[str, object] = {
        "customers": customers,
        "entity": filters.entity,
        "roles": list(roles),
        "as_of": filters.as_of,
        "used": _USED,
    }
    return _OF_CUSTOMERS, place


def of_positions(
    connection: Connection, filters: Filters, until: date, recognised: date, customers: Sequence[int] | None
) -> list[Standing]:
    """What stands of positions of which something has ended."""
    source, parameters = sides_of(filters, customers, *_POSITIONS)
    # said of each table, so that nothing of other customers is read
    of = {f"of_{row}": "" if customers is None else f"and {row}.customer_id = any(:customers)" for row in "xoighbc"}
    # few rows are expected of what is narrowed so, and joined to each by reading all
    connection.execute(text("set local enable_nestloop = off"))
    rows = connection.execute(
        text(_BALANCES.format(source=source, **of)),
        parameters
        | {
            "until": until, "known": filters.known_at, "recognised": recognised, "waits": RECOGNISED_WITHIN_DAYS,
            "used": _USED, "billed": _BILLED, "drawn": _DRAWN, "corrected": _CORRECTED,
        },
    ).all()  # fmt: skip
    connection.execute(text("set local enable_nestloop to default"))
    positions: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for row in rows:
        positions[row.customer_id, row.entity, row.currency, row.position].append(row)
    found = []
    for position in positions.values():
        found += _left(position)
    return found


def _left(position: Sequence[Any]) -> list[Standing]:
    """What is left of a position's ended parts.

    Once assets and liabilities of all its parts settle each other. What settles takes the oldest first, so the rest is of what ended
    last.
    """
    ended = [row for row in position if row.ended]
    of_ended = sum(_net(row) for row in ended)
    whole = sum(_net(row) for row in position)
    left = min(abs(of_ended), abs(whole)) if of_ended * whole > 0 else 0
    found = []
    for row in ended:
        net = _net(row)
        if left and net * of_ended > 0:
            amount = min(abs(net), left)
            left -= amount
            liability = "customer_credits" if row.credits > row.deferred else "deferred_revenue"
            found.append(standing_of(row, "unbilled_receivable" if net > 0 else liability, amount))
        if row.refund > row.expected:
            found.append(standing_of(row, "refund_liability", row.refund - row.expected))
    return found


def _net(row: Any) -> int:
    return int(row.unbilled - row.deferred - row.credits)


def standing_of(row: Any, role: str, amount: int) -> Standing:
    """A row of what has ended as what stands of it."""
    return Standing(
        row.entity, row.customer_id, row.customer, row.contract, row.product, row.subject, role, row.currency, amount, row.ended_on
    )  # fmt: skip
