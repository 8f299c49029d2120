"""Liabilities and assets: refunds owed, and never both sides of one position."""

from __future__ import annotations

from ledger.proof.invariants.question import SIDES, Question, negative_balances

NETTED = (
    Question(
        "no refund liability falls below zero, on any day",
        "obligations whose bills are expected back",
        "select count(*) from account where role = 'refund_liability'",
        SIDES + negative_balances("refund_liability", "obligation", "refund liability"),
    ),
    Question(
        "no obligation, grant or usage shows both a contract asset and a contract liability at any month's end",
        "obligations, grants and products used",
        "select count(*) from (select distinct customer_id, subject from account"
        " where role in ('deferred_revenue', 'refund_liability', 'customer_credits', 'unbilled_receivable')) subjects",
        SIDES
        + """, months as (
               select customer_id, entity, currency, subject, date_trunc('month', effective_on) as month,
                      sum(-net) filter (where role <> 'unbilled_receivable') as liability,
                      sum(net) filter (where role = 'unbilled_receivable') as asset
               from sides where role in ('deferred_revenue', 'refund_liability', 'customer_credits', 'unbilled_receivable')
               group by 1, 2, 3, 4, 5
           ), ends as (
               select m.*, sum(coalesce(liability, 0)) over by_month as liability_end,
                      sum(coalesce(asset, 0)) over by_month as asset_end
               from months m
               window by_month as (partition by customer_id, entity, currency, subject order by month)
           )
           select format('%s of %s in %s: liability <%s|%s>, asset <%s|%s>', subject, c.ref, to_char(month, 'YYYY-MM'),
                         liability_end, currency, asset_end, currency)
           from ends join customer c using (customer_id)
           where (liability_end <> 0 and asset_end <> 0) or liability_end < 0 or asset_end < 0
           order by subject, month""",
    ),
)
