"""Usage: rated as its documents say, and posted as rated."""

from __future__ import annotations

from ledger.proof.invariants.question import SIDES, Question

RATED = (
    Question(
        "usage rated so far is what its documents say, and what is posted is that, rounded once",
        "meters",
        "select count(*) from usage_meter",
        SIDES
        + """, documents as (
               select d.customer_id, x.entity, x.product, x.currency, sum(coalesce(x.amount, x.quantity * x.unit_price)) as rated
               from document d
               cross join lateral json_to_record(body::json)
                    x (entity text, product text, currency text, quantity numeric, unit_price numeric, amount numeric)
               where d.type = 'usage'
                 and not exists (select from superseded_usage s
                                 where s.customer_id = d.customer_id and s.document_id = d.document_id)
               group by 1, 2, 3, 4
           ), credited as (
               -- a reversal moves by the same rule, the other way round: what is left on the rule's credit side is posted
               select s.customer_id, s.entity, s.product, s.currency, s.subject, r.code, -s.net as face
               from sides s join rule r on r.number = s.rule and r.credit = s.role
               union all
               -- what usage that fell gave back, by rules of its own that debit what the others credit
               select s.customer_id, s.entity, s.product, s.currency, s.subject, r.code, -s.net
               from sides s join rule r on r.number = s.rule and r.debit = s.role and right(r.code, 9) = '_returned'
           ), postings as (
               select customer_id, entity, product, currency, sum(face) as face from credited
               where code in ('usage.overage', 'usage.billed_ahead', 'usage.overage_returned', 'usage.ahead_returned') group by 1, 2, 3, 4
           ), drawn as (
               select s.customer_id, s.entity, s.product, s.currency, sum(face) as face
               from credited s
               join credit_grant g on g.customer_id = s.customer_id and s.subject = 'grant:' || g.ref
                    and (g.free or g.price_minor = g.face_minor)
               where s.code in ('draw.prepaid', 'draw.prepaid_unbilled', 'draw.promotional', 'draw.prepaid_returned',
                                'draw.unbilled_returned', 'draw.promotional_returned')
               group by 1, 2, 3, 4
           ), at_another_price as (
               select distinct customer_id, entity, currency from credit_grant
               where (not free and price_minor <> face_minor and kind <> 'commitment') or contract is not null
                  or carried_from is not null
           )
           select format('%s of %s: rated %s, documents say %s; posted <%s|%s>', coalesce(m.product, d.product),
                         c.ref, m.rated, d.rated, m.posted_minor, m.currency)
           from usage_meter m
           full join documents d using (customer_id, entity, product, currency)
           left join postings p using (customer_id, entity, product, currency)
           left join drawn w using (customer_id, entity, product, currency)
           left join at_another_price x using (customer_id, entity, currency)
           join customer c using (customer_id)
           where coalesce(m.rated, 0) <> coalesce(d.rated, 0) or m.rated is null
              or (x.customer_id is null and m.posted_minor <> coalesce(p.face, 0) + coalesce(w.face, 0))""",
    ),
)
