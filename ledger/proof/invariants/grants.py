"""Grants: drawn within their face value, with the balance their postings say."""

from __future__ import annotations

from ledger.proof.invariants.question import SIDES, Question, negative_balances

DRAWN = (
    Question(
        "no grant is drawn beyond its face value, and its balance is what its postings say",
        "grants",
        "select count(*) from credit_grant",
        SIDES
        + """, moved as (
               select customer_id, subject,
                      sum(net) filter (where role in ('memo_credits_outstanding', 'memo_commitments_outstanding')
                                       and code like 'draw.%') as memo_drawn,
                      sum(net) filter (where role in ('memo_credits_outstanding', 'memo_commitments_outstanding')
                                       and code like 'expire.%') as memo_expired,
                      -sum(net) filter (where role = 'revenue') as earned,
                      -sum(net) filter (where role = 'breakage_revenue' or code like 'break.commitment%'
                                                                           and role = 'revenue') as broken,
                      sum(net) filter (where role = 'revenue' and (code like 'credit.used%' or code = 'credit_void.used')) as lowered
               from sides join rule on rule.number = sides.rule where subject like 'grant:%' group by 1, 2
           ), recomputed as (
               select g.*, c.ref as customer, b.drawn_face_minor, b.expired_face_minor, b.drawn_minor, b.broken_minor,
                      b.face_minor as balance_face, b.moved_face_minor, b.moved_minor,
                      (select sum(v.face_minor) from grant_move v where v.customer_id = g.customer_id
                                                                    and v.grant_id = g.grant_id) as moved,
                      (select sum(v.amount_minor) from grant_move v where v.customer_id = g.customer_id
                                                                      and v.grant_id = g.grant_id) as money_moved,
                      coalesce(m.memo_drawn, 0) as memo_drawn, coalesce(m.memo_expired, 0) as memo_expired,
                      case when g.free or g.kind = 'commitment' then 0 else coalesce(m.earned, 0) end as earned,
                      coalesce(m.lowered, 0) as lowered, coalesce(m.broken, 0) as broken
               from credit_grant g join customer c using (customer_id)
               left join grant_balance b using (customer_id, grant_id)
               left join moved m on m.customer_id = g.customer_id and m.subject = 'grant:' || g.ref
           )
           select format('grant %s of %s: drawn <%s|%s>, expired <%s|%s> of <%s|%s>', ref, customer, drawn_face_minor,
                         currency, expired_face_minor, currency, face_minor, currency)
           from recomputed
           where balance_face is distinct from face_minor or drawn_face_minor + expired_face_minor + moved_face_minor > face_minor
              or moved_face_minor is distinct from coalesce(moved, 0) or moved_minor is distinct from coalesce(money_moved, 0)
              or drawn_face_minor is distinct from case when in_memorandum then memo_drawn else earned + lowered end
              or (in_memorandum and expired_face_minor is distinct from memo_expired)
              or (not in_memorandum and expired_face_minor < broken)
              or drawn_minor is distinct from earned or broken_minor is distinct from broken""",
    ),
)

PREPAID = (
    Question(
        "no prepaid credits fall below zero, on any day",
        "grants",
        "select count(*) from credit_grant",
        SIDES + negative_balances("customer_credits", "grant", "grant"),
    ),
)
