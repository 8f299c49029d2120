"""Entries and postings: whole, balanced, by their rules, of documents in the books."""

from __future__ import annotations

from ledger.accounts.house import HOUSE
from ledger.journal.entry_rows import ENTRY_HASH_SQL, HEAD_BYTES_SQL, POSTING_BYTES_SQL
from ledger.proof.invariants.question import ENTRIES, MOVEMENT, POSTINGS, SIDES, Question

POSTED = (
    Question(
        "every entry has all its postings, and their hash is the one written with them",
        "entries",
        ENTRIES,
        # Most entries have one posting, which needs no sorting. Lines beyond an entry's own are looked for by the next question.
        f"""select format('entry %s', e.entry_id) from entry e
            left join posting p on p.customer_id = e.customer_id and p.entry_id = e.entry_id and p.line = 1
            where e.posting_count = 1
              and (p.line is null or e.hash <> sha256({HEAD_BYTES_SQL} || {POSTING_BYTES_SQL}))
            union all
            select format('entry %s', e.entry_id) from entry e
            left join posting p using (customer_id, entry_id)
            where e.posting_count <> 1
            group by e.customer_id, e.entry_id
            having count(p.line) <> e.posting_count or e.hash <> {ENTRY_HASH_SQL}""",
    ),
    Question(
        "no posting stands outside an entry, beyond those it came with, or on another date",
        "postings",
        POSTINGS,
        """select format('posting %s of entry %s', p.line, p.entry_id) from posting p
           left join entry e using (customer_id, entry_id)
           where e.entry_id is null or e.effective_on <> p.effective_on or p.line not between 1 and e.posting_count""",
    ),
    Question(
        "both accounts of every posting exist and are of one customer, entity and currency",
        "postings",
        POSTINGS,
        """select format('posting %s of entry %s', p.line, p.entry_id) from posting p
           left join account d on d.customer_id = p.customer_id and d.account_id = p.debit_account
           left join account c on c.customer_id = p.customer_id and c.account_id = p.credit_account
           where (d.entity, d.currency) is distinct from (c.entity, c.currency) or d.account_id is null
              or p.debit_account = p.credit_account or p.amount < 0 or p.functional_amount < 0
              or p.amount + p.functional_amount = 0""",
    ),
    Question(
        "every posting debits and credits what its rule says, or the reverse where its entry reverses another",
        "postings",
        POSTINGS,
        """select format('posting %s of entry %s: %s to %s by rule %s', p.line, p.entry_id, d.role, c.role,
                         coalesce(r.code, p.rule::text))
           from posting p
           left join (select customer_id, entry_id from entry where reverses is not null) e using (customer_id, entry_id)
           join account d on d.customer_id = p.customer_id and d.account_id = p.debit_account
           join account c on c.customer_id = p.customer_id and c.account_id = p.credit_account
           left join rule r on r.number = p.rule
           where (d.role, c.role) is distinct from
                 (case when e.entry_id is null then coalesce(r.debit, d.role) else coalesce(r.credit, d.role) end,
                  case when e.entry_id is null then coalesce(r.credit, c.role) else coalesce(r.debit, c.role) end)
                 -- what counts for less than was posted, in the entity's currency alone
                 and not (p.amount = 0 and ((c.role, d.role) = (r.debit, r.credit) or (d.role, c.role) = (r.debit, r.credit)))
              or r.number is null
              or (r.debit is null and not exists (
                      -- itself, or what it counts for otherwise, in the entity's currency alone
                      select from posting q join entry x using (customer_id, entry_id) join document m using (document_id)
                      where m.type = 'manual_entry' and q.customer_id = p.customer_id and q.rule = p.rule
                        and (q.entry_id = p.entry_id or (p.amount = 0 and q.debit_account in (p.debit_account, p.credit_account)
                             and q.credit_account in (p.debit_account, p.credit_account)))))""",
    ),
    Question(
        "where the entity's own currency is posted, functional amounts equal amounts",
        "postings",
        POSTINGS,
        """select format('posting %s of entry %s', p.line, p.entry_id) from posting p
           join account a on a.customer_id = p.customer_id and a.account_id = p.debit_account
           join entity e using (entity)
           where a.currency = e.currency and p.amount <> p.functional_amount""",
    ),
    Question(
        "an account emptied in its own currency holds nothing in its entity's, and currency clearing never does",
        "accounts",
        "select count(*) from account join entity using (entity) where account.currency <> entity.currency",
        """with sides as (
               select a.*, n.currency as home, e.entry_id, s.net, s.functional
               from account a join entity n using (entity)
               join (select customer_id, entry_id, debit_account as account_id, amount as net,
                            functional_amount as functional, rule from posting
                     union all
                     select customer_id, entry_id, credit_account, -amount, -functional_amount, rule from posting) s
                    using (customer_id, account_id)
               join entry e using (customer_id, entry_id)
               where a.role = 'currency_exchange'
                  or (a.currency <> n.currency
                      and s.rule not in (select number from rule where code like 'revalue.%'))
           )
           select format('%s %s of %s: no %s, and <%s|%s>', role, subject, c.ref, currency, sum(functional), home) from sides
           join customer c using (customer_id)
           where role in (select name from role where kind in ('asset', 'liability'))
           group by customer_id, account_id, role, subject, c.ref, currency, home
           having sum(net) = 0 and sum(functional) <> 0
           union all
           select format('currency_exchange in entry %s: <%s|%s>', entry_id, sum(functional), home) from sides
           where role = 'currency_exchange' group by entry_id, home having sum(functional) <> 0""",
    ),
    Question(
        "an account that holds nothing in its own currency at a day's end holds nothing in its entity's either",
        "accounts",
        "select count(*) from account join entity using (entity) where account.currency <> entity.currency",
        # what a month's end revalues is taken back on the next day
        f"""with days as (
               select s.customer_id, s.account_id, s.effective_on, sum(s.debit - s.credit) as net,
                      sum(s.functional_debit - s.functional_credit) as functional
               from {MOVEMENT} s join account a using (customer_id, account_id) join entity n using (entity)
               where a.currency <> n.currency and a.role <> 'currency_exchange'
                 and a.role in (select name from role where kind in ('asset', 'liability'))
                 and s.rule not in (select number from rule where code like 'revalue.%')
               group by 1, 2, 3
           ), ends as (
               select customer_id, account_id, effective_on, sum(net) over by_day as net, sum(functional) over by_day as functional
               from days window by_day as (partition by customer_id, account_id order by effective_on)
           )
           select format('%s %s of %s: no %s, and <%s|%s> on %s', a.role, a.subject, c.ref, a.currency, e.functional, n.currency,
                         e.effective_on)
           from ends e join account a using (customer_id, account_id) join entity n using (entity)
           join customer c using (customer_id)
           where e.net = 0 and e.functional <> 0""",
    ),
    Question(
        "every entry names a document in the books, which was posted when it was and by the same",
        "entries",
        ENTRIES,
        f"""select format('entry %s', e.entry_id) from entry e
            where not exists (select from document d where d.document_id = e.document_id and d.posted_at = e.posted_at
                              and d.posted_by = e.posted_by and d.customer_id in (e.customer_id, {HOUSE}))""",
    ),
    Question(
        "every document has the entries it posted, no less and no more",
        "documents",
        "select count(*) from document where entry_count is not null",
        # by number alone: a document and its entries are of one customer, but for those of the house
        """select format('%s %s posted %s entries, there are %s', d.type, d.ref, d.entry_count, coalesce(e.there, 0))
           from document d
           left join (select document_id, count(*) as there from entry group by document_id) e using (document_id)
           where d.entry_count <> coalesce(e.there, 0)""",
    ),
)

REVERSED = (
    Question(
        "a reversal takes back exactly what it reverses",
        "reversals",
        "select count(*) from entry where reverses is not null",
        """select format('entry %s', e.entry_id) from entry e
           where e.reverses is not null and exists (
               select from (select line, rule, debit_account, credit_account, amount, functional_amount from posting
                            where customer_id = e.customer_id and entry_id = e.entry_id) n
               full join (select line, rule, debit_account, credit_account, amount, functional_amount from posting
                          where customer_id = e.customer_id and entry_id = e.reverses) o using (line)
               where (n.debit_account, n.credit_account, n.amount, n.functional_amount, n.rule) is distinct from
                     (o.credit_account, o.debit_account, o.amount, o.functional_amount, o.rule))""",
    ),
    Question(
        "debits equal credits in every entity",
        "entities",
        "select count(*) from entity",
        SIDES
        + """select format('%s: <%s|%s>', sides.entity, sum(functional), e.currency) from sides
                    join entity e using (entity) group by sides.entity, e.currency having sum(functional) <> 0""",
    ),
)
