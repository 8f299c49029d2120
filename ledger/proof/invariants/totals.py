"""Totals: sub-ledgers add up to ledger accounts, and kept totals to postings."""

from __future__ import annotations

from ledger.proof.invariants.question import SEALED, SIDES, Question

SUB_LEDGERS = (
    Question(
        "receivables, credits, deferred revenue and every other ledger account equal the sum of their sub-ledgers",
        "ledger accounts",
        "select count(*) from (select distinct entity, role from account) roles",
        SIDES
        + """select format('%s of %s', sides.role, sides.entity) from sides
           left join invoice i on i.customer_id = sides.customer_id and i.receivable_account = sides.account_id
           left join credit_grant g on g.customer_id = sides.customer_id and sides.subject = 'grant:' || g.ref
           left join performance_obligation o on o.customer_id = sides.customer_id and o.subject = sides.subject
           left join product u on sides.subject = 'usage:' || u.product
           left join (select distinct customer_id, 'credit_note:' || k.ref as subject from credit_line
                      join document_key k using (customer_id, document_id)) n
               on n.customer_id = sides.customer_id and n.subject = sides.subject
           group by sides.role, sides.entity
           having (role = 'accounts_receivable' and sum(net) <> coalesce(sum(net) filter (where i.ref is not null
                                                                                           or sides.subject = 'manual'), 0))
               or (role in ('customer_credits', 'breakage_revenue')
                   and sum(net) <> coalesce(sum(net) filter (where g.ref is not null or sides.subject = 'manual'), 0))
               or (role in ('deferred_revenue', 'refund_liability', 'unbilled_receivable', 'revenue') and sum(net) <> coalesce(sum(net)
                   filter (where o.subject is not null or u.product is not null or g.ref is not null or n.subject is not null
                                 or sides.subject = 'manual'), 0))""",
    ),
)

SEALED_TOTALS = (
    Question(
        "what trial balances are read from equals the sealed postings, day by day",
        "ledger accounts and days",
        "select count(*) from daily_total",
        f"""with recomputed as (
               select a.entity, a.role, a.product, a.currency, s.effective_on, sum(s.debit) as debit, sum(s.credit) as credit,
                      sum(s.functional_debit) as functional_debit, sum(s.functional_credit) as functional_credit
               from ({SEALED}) s
               join account a using (customer_id, account_id)
               group by a.entity, a.role, a.product, a.currency, s.effective_on
               having sum(s.debit) <> 0 or sum(s.credit) <> 0 or sum(s.functional_debit) <> 0 or sum(s.functional_credit) <> 0)
           select format('%s of %s on %s: <%s|%s> debit, <%s|%s> credit; postings say <%s|%s> and <%s|%s>', role, entity,
                         effective_on, t.debit, currency, t.credit, currency, r.debit, currency, r.credit, currency)
           from daily_total t full join recomputed r using (entity, role, product, currency, effective_on)
           where (t.debit, t.credit, t.functional_debit, t.functional_credit)
                 is distinct from (r.debit, r.credit, r.functional_debit, r.functional_credit)""",
    ),
    Question(
        "what receivables are aged from is what sealed postings leave due",
        "open receivables",
        "select count(*) from open_receivable",
        f"""with recomputed as (
               select customer_id, account_id, sum(s.debit - s.credit) as amount
               from ({SEALED}) s
               join account a using (customer_id, account_id)
               where a.role = 'accounts_receivable'
               group by customer_id, account_id having sum(s.debit) <> sum(s.credit))
           select format('%s of %s: <%s|%s>, postings say <%s|%s>', a.subject, c.ref, coalesce(t.amount, 0),
                         a.currency, coalesce(r.amount, 0), a.currency)
           from open_receivable t full join recomputed r using (customer_id, account_id)
           join account a using (customer_id, account_id)
           join customer c using (customer_id)
           where t.amount is distinct from r.amount""",
    ),
)
