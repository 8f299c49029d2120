"""Closed books: no entry came after they closed."""

from __future__ import annotations

from ledger.amounts.dates import FIRST_DAY
from ledger.proof.invariants.question import Question

CLOSED = (
    Question(
        "closed books took no entry after they closed",
        "closed entities",
        "select count(*) from closed_books",
        # By the numbers of entries, whatever the clocks said. A month is closed since it was, or a later one with it, and was not
        # opened again: opening one leaves those before it closed.
        f"""with closings as materialized (
               select c.entity, least((c.month + interval '1 month')::date - 1, min(r.month) - 1) as through,
                      coalesce(c.last_entry, (select coalesce(max(e.entry_id), 0) from entry e where e.posted_at <= c.at)) as last_entry
               from period_event c
               left join period_event r on r.entity = c.entity and r.action = 'reopened' and r.period_event_id > c.period_event_id
               where c.action = 'closed' group by c.period_event_id
           ), bounds as materialized (
               select m::date as month, min(c.last_entry) as last_entry
               from generate_series(date '{FIRST_DAY}', (select max(through) from closings), interval '1 month') m
               join closings c on c.through >= m::date group by m
           ), late as materialized (
               select e.customer_id, e.entry_id, e.effective_on from entry e
               join bounds b on b.month = date_trunc('month', e.effective_on)::date and e.entry_id > b.last_entry
           )
           select format('entry %s of %s', l.entry_id, l.effective_on) from late l
           join posting p using (customer_id, entry_id)
           join account a on a.customer_id = p.customer_id and a.account_id = p.debit_account
           join closings c on c.entity = a.entity and l.effective_on <= c.through and l.entry_id > c.last_entry
           group by l.entry_id, l.effective_on
           union all
           select format('%s: closed through %s, by the last closing or opening %s', b.entity, b.closed_through, x.through)
           from closed_books b
           left join lateral (
               select case action when 'closed' then (month + interval '1 month')::date - 1 else month - 1 end as through
               from period_event where entity = b.entity order by period_event_id desc limit 1) x on true
           where b.closed_through is distinct from x.through""",
    ),
)
