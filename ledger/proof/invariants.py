"""What must always hold of the books, each as one SQL statement that returns what differs and a sentence an auditor understands.

An amount stands in a text as its minor units and its currency, <-5000|USD>, which `told` writes as -50.00 USD.
None trusts a balance, a hash or a total that it does not recompute. `ledger/proof/verify.py` asks them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ledger.accounts.chart import ROLES
from ledger.accounts.house import HOUSE
from ledger.amounts.dates import FIRST_DAY
from ledger.amounts.money import to_text
from ledger.database.schema import INVOICE_POSTED_AS
from ledger.errors import Refused
from ledger.journal.entry_rows import ENTRY_HASH_SQL, HEAD_BYTES_SQL, POSTING_BYTES_SQL
from ledger.journal.references import EXTERNAL, may_say


@dataclass(frozen=True, slots=True)
class Question:
    """`counted` counts what is checked; `differing` returns one text a difference."""

    sentence: str
    what: str
    counted: str
    differing: str


def _negative_balances(role: str, subject: str, label: str) -> str:
    """Accounts of a role whose balance falls below zero on some day, by its normal side."""
    sign = ROLES[role].sign
    return f"""
        select format('%s of %s: <%s|%s> on %s', concat_ws(' ', '{label}', nullif(substr(a.subject, {len(subject) + 2}), '')), c.ref,
                      low.balance, a.currency, low.effective_on)
        from (
            select distinct on (customer_id, account_id) customer_id, account_id, effective_on, balance
            from (select customer_id, account_id, effective_on,
                         sum(sum({sign} * net)) over (partition by customer_id, account_id order by effective_on)
                             as balance
                  from sides where role = '{role}' and subject like '{subject}%'
                  group by customer_id, account_id, effective_on) daily
            where balance < 0 order by customer_id, account_id, effective_on
        ) low
        join account a using (customer_id, account_id)
        join customer c using (customer_id)"""


_AMOUNT = re.compile(r"<(-?[0-9]+)?\|([A-Z0-9]*)>")


def told(difference: str) -> str:
    """What differs as people read it: amounts as they write them."""
    return _AMOUNT.sub(_written, difference)


def _written(found: re.Match[str]) -> str:
    minor, currency = found.groups()
    if minor is None:
        return "nothing"
    try:
        return f"{to_text(int(minor), currency)} {currency}"
    except Refused:  # a currency there is none of: what is verified may say anything
        return f"{minor} minor units of {currency}"


# What each sub-ledger account took and gave by each rule on each day: most questions are of that, and not of every posting.
# Each pair of accounts once, then its two accounts: a busy wallet's thousand draw-downs are two rows a day.
MOVEMENT = "account_movement"
MOVEMENT_SQL = """with pairs as materialized (
    select customer_id, debit_account, credit_account, effective_on, rule, sum(amount) as amount,
           sum(functional_amount) as functional
    from posting group by customer_id, debit_account, credit_account, effective_on, rule
)
select customer_id, account_id, effective_on, rule, sum(debit) as debit, sum(credit) as credit,
       sum(functional_debit) as functional_debit, sum(functional_credit) as functional_credit
from (select customer_id, debit_account as account_id, effective_on, rule, amount as debit, 0 as credit,
             functional as functional_debit, 0 as functional_credit from pairs
      union all
      select customer_id, credit_account, effective_on, rule, 0, amount, 0, functional from pairs) s
group by customer_id, account_id, effective_on, rule"""

_SIDES = f"""with sides as (
    select a.customer_id, a.account_id, a.entity, a.role, a.currency, a.subject, a.product, s.effective_on,
           s.debit - s.credit as net, s.functional_debit - s.functional_credit as functional, s.rule
    from {MOVEMENT} s join account a using (customer_id, account_id)
) """

# What nobody has sealed yet, of an account: taken from what it moved, what is sealed of it is left.
_UNSEALED = """select customer_id, debit_account as account_id, effective_on, amount as debit, 0 as credit,
                      functional_amount as functional_debit, 0 as functional_credit from posting
               where entry_id > (select coalesce(max(last_entry), 0) from seal)
               union all
               select customer_id, credit_account, effective_on, 0, amount, 0, functional_amount from posting
               where entry_id > (select coalesce(max(last_entry), 0) from seal)"""
_SEALED = f"""select customer_id, account_id, effective_on, debit, credit, functional_debit, functional_credit from {MOVEMENT}
              union all
              select customer_id, account_id, effective_on, -debit, -credit, -functional_debit, -functional_credit
              from ({_UNSEALED}) u"""

# The accounts of an obligation that say what was billed and earned of it, and the rules that lower its price.
_OF_OBLIGATIONS = (
    "'deferred_revenue', 'refund_liability', 'unbilled_receivable', 'revenue', 'refunds', 'disputes', 'bad_debt'"
)

_POSTINGS = "select count(*) from posting"
_ENTRIES = "select count(*) from entry"

QUESTIONS = (
    Question(
        "every entry has all its postings, and their hash is the one written with them",
        "entries",
        _ENTRIES,
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
        _POSTINGS,
        """select format('posting %s of entry %s', p.line, p.entry_id) from posting p
           left join entry e using (customer_id, entry_id)
           where e.entry_id is null or e.effective_on <> p.effective_on or p.line not between 1 and e.posting_count""",
    ),
    Question(
        "both accounts of every posting exist and are of one customer, entity and currency",
        "postings",
        _POSTINGS,
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
        _POSTINGS,
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
        _POSTINGS,
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
        _ENTRIES,
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
    Question(
        "what documents say of persons is what was posted, or was erased",
        "documents with personal fields",
        "select count(*) from document where position('\"personal\":\"' in body) > 0 and type in ('customer', 'customer_change', 'details')",
        """select format('%s %s', coalesce(d.type, p.type), coalesce(d.ref, p.ref))
           from (select * from document where position('"personal":"' in body) > 0 and type in ('customer', 'customer_change', 'details')) d
           full join personal_fields p using (customer_id, document_id)
           where d.document_id is null or p.document_id is null or (p.type, p.ref) <> (d.type, d.ref)
              or d.body::jsonb ->> 'personal' <> encode(p.commitment, 'hex')
              or p.commitment <> sha256(p.salt || convert_to(p.fields, 'UTF8'))""",
    ),
    Question(
        "every document is found by its id, and no id stands for two",
        "documents",
        "select count(*) from document",
        """select format('%s %s', coalesce(d.type, k.type), coalesce(d.ref, k.ref)) from document d
           full join document_key k using (customer_id, document_id)
           where (d.type, d.ref) is distinct from (k.type, k.ref)""",
    ),
    Question(
        "every document is found by its external ids, and none stands for two of a type and status",
        "external ids",
        "select count(*) from external_key",
        f"""select format('%s %s: %s %s', type, coalesce(s.ref, 'of number ' || document_id), system, external_id)
           from (select d.customer_id, d.document_id, d.type, d.ref, coalesce(d.body::jsonb ->> 'status', '') as status,
                        e.key as system, e.value as external_id
                 from document d cross join jsonb_each_text({EXTERNAL}) e
                 where {may_say("external")}) s
           full join (select *, true as kept from external_key) k
               using (customer_id, document_id, type, status, system, external_id)
           where s.ref is null or k.kept is null""",
    ),
    Question(
        "every document is found by its reference",
        "references",
        "select count(*) from document_reference",
        f"""select format('%s: reference %s', coalesce(s.type || ' ' || s.ref, 'document ' || document_id), reference)
           from (select d.customer_id, d.document_id, d.type, d.ref, d.body::jsonb ->> 'reference' as reference from document d
                 where {may_say("reference")} and d.body::jsonb ->> 'reference' is not null) s
           full join (select *, true as kept from document_reference) k using (customer_id, document_id, reference)
           where s.ref is null or k.kept is null""",
    ),
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
        _SIDES
        + """select format('%s: <%s|%s>', sides.entity, sum(functional), e.currency) from sides
                    join entity e using (entity) group by sides.entity, e.currency having sum(functional) <> 0""",
    ),
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
    Question(
        "no grant is drawn beyond its face value, and its balance is what its postings say",
        "grants",
        "select count(*) from credit_grant",
        _SIDES
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
                      b.face_minor as balance_face, b.moved_face_minor,
                      (select sum(v.face_minor) from grant_move v where v.customer_id = g.customer_id
                                                                    and v.grant_id = g.grant_id) as moved,
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
              or moved_face_minor is distinct from coalesce(moved, 0)
              or drawn_face_minor is distinct from case when in_memorandum then memo_drawn else earned + lowered end
              or (in_memorandum and expired_face_minor is distinct from memo_expired)
              or (not in_memorandum and expired_face_minor < broken)
              or drawn_minor is distinct from earned or broken_minor is distinct from broken""",
    ),
    Question(
        "no invoice is settled beyond what it bills, on any day",
        "invoices",
        "select count(*) from invoice",
        _SIDES + _negative_balances("accounts_receivable", "invoice", "invoice"),
    ),
    Question(
        "every invoice's receivable was posted with the total of its lines",
        "invoices",
        "select count(*) from invoice",
        """select format('invoice %s', i.ref) from invoice i
           where i.total_minor <> (select sum(amount_minor) from invoice_line l
                                   where l.customer_id = i.customer_id and l.invoice_id = i.invoice_id)
                                + (select coalesce(sum(tax_minor), 0) from line_tax t
                                   where t.customer_id = i.customer_id and t.document_id = i.invoice_id
                                     and t.invoice_id = i.invoice_id)
              or i.total_minor <> (select coalesce(sum(case when p.debit_account = i.receivable_account then p.amount
                                                            else -p.amount end), 0) from entry e
                                   join posting p using (customer_id, entry_id)
                                   where e.customer_id = i.customer_id and e.document_id = i.invoice_id
                                     and p.rule <> (select number from rule where code = 'invoice.to_balance')
                                     and i.receivable_account in (p.debit_account, p.credit_account))""",
    ),
    Question(
        "every invoice is due when its document says, else by the terms its customer had on its day, as far as they had arrived",
        "invoices",
        "select count(*) from invoice",
        f"""select format('invoice %s: due on %s, expected %s', ref, due_on, coalesce(expected::text, 'a day')) from (
               select i.ref, i.due_on, coalesce((d.body::json ->> 'due_on')::date,
                      i.issued_on + (select h.terms from customer_on(c, i.issued_on, {INVOICE_POSTED_AS}) h)) as expected
               from invoice i join customer c using (customer_id)
               join document d on d.customer_id = i.customer_id and d.document_id = i.invoice_id) due
           where due_on is distinct from expected""",
    ),
    Question(
        "every invoice bears taxes as the status of its customer on its day says, as far as that had arrived",
        "invoices with taxes",
        "select count(distinct (customer_id, invoice_id)) from line_tax where document_id = invoice_id",
        f"""select format('invoice %s: %s, expected %s', ref, treatment, expected) from (
               select i.ref, t.treatment, case when h.customer_id is null then c.tax_status
                      else (select o.tax_status from customer_on(c, i.issued_on, {INVOICE_POSTED_AS}) o) end as expected
               from (select distinct customer_id, invoice_id, treatment from line_tax where document_id = invoice_id) t
               join invoice i using (customer_id, invoice_id)
               join customer c using (customer_id)
               left join (select distinct customer_id from document where type = 'customer_change') h using (customer_id)) taxed
           where treatment <> expected""",
    ),
    Question(
        "every customer is what its document says",
        "customers",
        "select count(*) from customer where customer_id > 0",
        """select format('customer %s', c.ref) from customer c
           left join document_key k on k.type = 'customer' and k.ref = c.ref
           left join document d on d.customer_id = k.customer_id and d.document_id = k.document_id
           left join lateral (select d.body::jsonb as said) b on true
           where c.customer_id > 0
             and (c.name, c.country, c.tax_id, c.overage, c.tax_status, to_jsonb(c.tax_codes), c.terms, c.parent) is distinct from
                 (said ->> 'name', said ->> 'country', said ->> 'tax_id', coalesce(said ->> 'overage', 'bill'),
                  coalesce(said ->> 'tax_status', 'taxable'), nullif(said -> 'tax_codes', 'null'), (said ->> 'terms')::integer,
                  said ->> 'parent')""",
    ),
    Question(
        "no customer belongs to itself over others, on any day",
        "customers with a parent",
        "select count(*) from customer where parent is not null",
        f"""with recursive days as (
               select date '{FIRST_DAY}' as day
               union select dated_on from document where type = 'customer_change' and body::jsonb ? 'parent'
           ), below as (
               select c from customer c where parent is not null or exists (select from document d
                   where d.customer_id = c.customer_id and d.type = 'customer_change' and d.body::jsonb ? 'parent')
           ), above as (
               select day, h.ref, h.parent from days cross join below cross join lateral customer_on(below.c, day) h
               where h.parent is not null
           ), way as (
               select day, ref, parent from above
               union select way.day, way.ref, above.parent from way
               join above on above.day = way.day and above.ref = way.parent
           )
           select format('%s on %s', ref, day) from way where parent = ref""",
    ),
    Question(
        "what an invoice's total is below zero became the customer's money, and nothing else did",
        "invoices",
        "select count(*) from invoice",
        """with given as (
               select e.customer_id, e.document_id as invoice_id, sum(p.amount) as amount from entry e
               join posting p using (customer_id, entry_id)
               where p.rule = (select number from rule where code = 'invoice.to_balance') and e.reverses is null group by 1, 2
           )
           select format('invoice %s of <%s|%s>: <%s|%s>', i.ref, i.total_minor, i.currency, coalesce(g.amount, 0), i.currency)
           from invoice i left join given g using (customer_id, invoice_id)
           where coalesce(g.amount, 0) <> greatest(-i.total_minor, 0)""",
    ),
    Question(
        "every credit of no line of an invoice lowered revenue by what it says, or by nothing where its note was taken back",
        "credits of no line",
        "select count(*) from credit_line",
        _SIDES
        + """, taken_back as (
               select v.customer_id, v.body::json ->> 'credit_note' as ref from document_key k join document v using (customer_id, document_id)
               where k.type = 'credit_note_void'
           ), lowered as (
               select customer_id, entity, currency, subject, product, sum(net) as amount from sides
               where role = 'revenue' and subject like 'credit_note:%' group by 1, 2, 3, 4, 5
           ), stated as (
               select l.customer_id, l.entity, l.currency, 'credit_note:' || k.ref as subject, l.product,
                      sum(case when v.ref is null then l.amount_minor else 0 end) as amount
               from credit_line l join document_key k using (customer_id, document_id)
               left join taken_back v on v.customer_id = k.customer_id and v.ref = k.ref group by 1, 2, 3, 4, 5
           )
           select format('%s, %s: <%s|%s> of <%s|%s>', subject, product, l.amount, currency, s.amount, currency)
           from stated s full join lowered l using (customer_id, entity, currency, subject, product)
           where s.amount is distinct from l.amount""",
    ),
    Question(
        "every entity that numbers its invoices leaves no number out",
        "numbered invoices",
        "select count(*) from invoice where number is not null",
        """select format('%s: %s invoices numbered %s to %s, the last number taken is %s', entity, count(i.number),
                         min(i.number), max(i.number), coalesce(n.last_number::text, 'none'))
           from (select entity, number from invoice where number is not null) i full join invoice_counter n using (entity)
           group by entity, n.last_number
           having count(i.number) <> coalesce(n.last_number, 0) or min(i.number) <> 1 or max(i.number) <> n.last_number""",
    ),
    Question(
        "what an entity owes another for invoices over several entities is what that one claims",
        "parts of invoices",
        "select count(*) from invoice where master is not null",
        _SIDES
        + """, owed as (
               select customer_id, currency, case role when 'due_to_entities' then entity else substr(subject, 8) end as owes,
                      case role when 'due_to_entities' then substr(subject, 8) else entity end as claims, sum(net) as net
               from sides where role in ('due_to_entities', 'due_from_entities') and subject like 'entity:%'
                 and rule <> (select number from rule where code = 'manual')
               group by 1, 2, 3, 4
           )
           select format('%s owes %s for %s: <%s|%s>', owes, claims, c.ref, net, currency) from owed
           join customer c using (customer_id) where net <> 0""",
    ),
    Question(
        "what passes between customers leaves one and enters another, with every document",
        "documents that pass money between customers",
        "select count(distinct document_id) from entry join posting using (customer_id, entry_id) join account a using (customer_id)"
        " where a.role = 'customer_clearing' and a.account_id in (debit_account, credit_account)",
        """with passed as (
               select p.customer_id, p.entry_id, a.entity, a.currency, n.currency as home, x.sign * p.amount as net,
                      x.sign * p.functional_amount as functional
               from account a join entity n using (entity)
               join posting p on p.customer_id = a.customer_id and a.account_id in (p.debit_account, p.credit_account)
               cross join lateral (select case a.account_id when p.debit_account then 1 else -1 end as sign) x
               where a.role = 'customer_clearing'
           )
           select format('%s: <%s|%s>, <%s|%s>', x.of, sum(net), t.currency, sum(functional), t.home)
           from passed t join entry e using (customer_id, entry_id) join document d using (document_id)
           cross join lateral (select case d.type when 'beside' then d.ref else d.type || ':' || d.ref end as of) x
           group by x.of, t.entity, t.currency, t.home having sum(net) <> 0 or sum(functional) <> 0""",
    ),
    Question(
        "no capitalised cost is amortised or impaired beyond what it cost, on any day",
        "costs",
        "select count(*) from contract_cost",
        _SIDES + _negative_balances("contract_costs", "cost", "cost"),
    ),
    Question(
        "no customer's unapplied money is used twice, on any day",
        "customers",
        "select count(*) from customer where customer_id <> 0",
        _SIDES + _negative_balances("customer_balance", "customer", "balance"),
    ),
    Question(
        "what is known of whose money lies on the customer's balance is what the postings say",
        "customers",
        "select count(*) from customer where customer_id <> 0",
        _SIDES
        + """, known as (
               select customer_id, entity, currency, sum(amount_minor) as net from money_use where invoice_id = 0 group by 1, 2, 3
           ), posted as (
               select customer_id, entity, currency, -sum(net) as net from sides where role = 'customer_balance' group by 1, 2, 3
           )
           select format('%s with %s: <%s|%s> by postings, <%s|%s> by uses', c.ref, entity, coalesce(p.net, 0), currency,
                         coalesce(k.net, 0), currency)
           from posted p full join known k using (customer_id, entity, currency) join customer c using (customer_id)
           where coalesce(p.net, 0) <> coalesce(k.net, 0)""",
    ),
    Question(
        "what is known of whose money lies on invoices is what documents put there and did not give back",
        "invoices that no line of another corrects",
        "select count(*) from invoice where master is null",
        # money put there, by its rules and by hand, and recovered; less what was left with the customer or given back of lines
        _SIDES
        + """, posted as (
               select s.customer_id, substr(s.subject, 9) as ref, -sum(s.net) as net from sides s join rule r on r.number = s.rule
               where s.role = 'accounts_receivable' and s.subject like 'invoice:%'
                 and (r.code = 'manual' or r.code like 'payment.%') group by 1, 2
           ), changed as (
               select x.customer_id, x.invoice_id, sum(case when x.kind in ('refund', 'dispute', 'recovery') then -x.amount end) as net
               from (select customer_id, document_id, invoice_id, kind, amount_minor as amount from line_change
                     union all
                     select t.customer_id, t.document_id, t.invoice_id,
                            -- of what another customer paid, the document beside that of who paid
                            case d.type when 'beside' then split_part(d.ref, ':', 1) else d.type end, -t.tax_minor
                     from line_tax t join document d on d.customer_id in (t.customer_id, 0)
                          and d.document_id = case when t.undoes <> 0 then t.undoes else t.document_id end
                     where t.document_id <> t.invoice_id) x group by 1, 2
           ), left_there as (
               select u.customer_id, u.origin_id as invoice_id, sum(u.amount_minor) as net
               from money_use u join document d using (customer_id, document_id)
               where u.origin_id <> 0 and u.amount_minor > 0 and u.money_id <> u.document_id and d.type in ('credit_note', 'invoice_void', 'invoice', 'grant_return')
               group by 1, 2
           ), known as (
               select customer_id, invoice_id, sum(amount_minor) as net from money_use where invoice_id <> 0 group by 1, 2
           )
           select format('invoice %s of %s: <%s|%s> by postings, <%s|%s> by uses', i.ref, c.ref,
                         coalesce(p.net, 0) + coalesce(x.net, 0) - coalesce(l.net, 0), i.currency, coalesce(k.net, 0), i.currency)
           from invoice i join customer c using (customer_id)
           left join posted p on p.customer_id = i.customer_id and p.ref = i.ref
           left join changed x on x.customer_id = i.customer_id and x.invoice_id = i.invoice_id
           left join left_there l on l.customer_id = i.customer_id and l.invoice_id = i.invoice_id
           left join known k on k.customer_id = i.customer_id and k.invoice_id = i.invoice_id
           where i.master is null and not exists (select from line_change z where z.customer_id = i.customer_id
                                                  and z.invoice_id = i.invoice_id and z.kind = 'proration')
             and coalesce(p.net, 0) + coalesce(x.net, 0) - coalesce(l.net, 0) <> coalesce(k.net, 0)""",
    ),
    Question(
        "no money lies anywhere below zero",
        "pieces of money",
        "select count(*) from (select distinct customer_id, money_id, invoice_id, origin_id from money_use) x",
        """select format('%s %s of %s: <%s|%s>', d.type, d.ref, c.ref, sum(u.amount_minor), u.currency) from money_use u
           join document d on d.customer_id = u.customer_id and d.document_id = u.money_id join customer c on c.customer_id = u.customer_id
           group by u.customer_id, u.money_id, u.invoice_id, u.origin_id, u.currency, d.type, d.ref, c.ref
           having sum(u.amount_minor) < 0 or sum(u.paid_minor) < 0""",
    ),
    Question(
        "every piece of money is of the document that brought it, and of none that the house keeps beside one",
        "documents that brought money",
        "select count(distinct money_id) from money_use",
        """select format('money of %s: %s', c.ref, coalesce(d.type || ' ' || d.ref, 'no document')) from money_use u
           join customer c on c.customer_id = u.customer_id left join document d on d.document_id = u.money_id
           where d.document_id is null or d.type = 'beside' group by c.ref, d.type, d.ref""",
    ),
    Question(
        "no prepaid credits fall below zero, on any day",
        "grants",
        "select count(*) from credit_grant",
        _SIDES + _negative_balances("customer_credits", "grant", "grant"),
    ),
    Question(
        "no refund liability falls below zero, on any day",
        "obligations whose bills are expected back",
        "select count(*) from account where role = 'refund_liability'",
        _SIDES + _negative_balances("refund_liability", "obligation", "refund liability"),
    ),
    Question(
        "no obligation, grant or usage shows both a contract asset and a contract liability at any month's end",
        "obligations, grants and products used",
        "select count(*) from (select distinct customer_id, subject from account"
        " where role in ('deferred_revenue', 'refund_liability', 'customer_credits', 'unbilled_receivable')) subjects",
        _SIDES
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
    Question(
        "no obligation earned more than its price: agreed or billed, less what was credited or given up",
        "obligations",
        "select count(*) from performance_obligation",
        # What lowered a price counts once a recognition run has come after it, as far as revenue was recognised before: until
        # then revenue is ahead of it, which the next run puts right.
        _SIDES
        + """, runs as (
               -- what is of a month that was closed then counts in the first open one
               select d.document_id, e.entity, ((d.body::json ->> 'through') || '-01')::date + interval '1 month' as before,
                      (select case p.action when 'closed' then p.month + interval '1 month' else p.month end from period_event p
                       where p.entity = e.entity and p.at <= d.posted_at order by p.period_event_id desc limit 1) as first_open
               from document d cross join entity e where d.type = 'recognition'
           ), earned as (
               select customer_id, subject, sum(-net) as amount, max(effective_on) as recognised_on
               from sides where subject like 'obligation:%' and role = 'revenue' group by 1, 2
           ), versions as (
               select customer_id, subject, edition, version, max(price_minor) as price, min(edition_by) as edition_by,
                      min(from_day) as from_day
               from obligation_terms group by 1, 2, 3, 4
           ), editions as (
               select customer_id, subject, edition, min(min(edition_by)) over (
                          partition by customer_id, subject order by edition rows between 1 following and unbounded following) as by
               from versions group by 1, 2, 3
           ), replaced as (
               select v.*, lead(from_day) over (partition by customer_id, subject, edition order by version) as until, n.by
               from versions v join editions n using (customer_id, subject, edition)
           ), reachable as (
               select r.customer_id, r.subject, max(r.price) as most, min(r.price) as least
               from replaced r join performance_obligation o using (customer_id, subject) left join earned e using (customer_id, subject)
               where (r.by is null or not exists (select from runs where entity = o.entity and document_id > r.by
                                                  and before > greatest(e.recognised_on, r.from_day, first_open)))
                 and (r.until is null or not exists (select from runs where entity = o.entity
                                                     and document_id >= coalesce(r.by, r.edition_by)
                                                     and before > greatest(e.recognised_on, r.until, first_open)))
               group by 1, 2
           ), priced as (
               select o.subject, o.currency, e.amount, greatest(r.most, o.price_minor, case when r.subject is not null and x.first
                          then o.first_price_minor end) as most, least(r.least, o.price_minor, case when r.subject is not null
                          and x.first then o.first_price_minor end) as least
               from performance_obligation o join earned e using (customer_id, subject)
               left join reachable r using (customer_id, subject)
               left join (select customer_id, subject, min(edition_by) as by from versions group by 1, 2) f using (customer_id, subject)
               cross join lateral (
                   -- before its terms were first changed it stood at its first price
                   select not exists (select from runs where entity = o.entity and document_id > f.by
                                      and before > greatest(e.recognised_on, first_open)) as first
               ) x
               where o.price_minor is not null
           )
           select format('%s: <%s|%s> of <%s|%s>', subject, amount, currency, most, currency) from priced
           where amount > greatest(most, 0) or amount < least(least, 0)""",
    ),
    Question(
        "usage rated so far is what its documents say, and what is posted is that, rounded once",
        "meters",
        "select count(*) from usage_meter",
        _SIDES
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
    Question(
        "tax payable and the taxable base of every tax code are what invoices charged and credited of it, less what was remitted or set off",
        "tax codes",
        "select count(*) from tax_code",
        _SIDES
        + """, owed as (
               select entity, currency, subject,
                      sum(-net) filter (where role = 'tax_payable') as tax,
                      coalesce(sum(-net) filter (where role = 'tax_payable' and code = 'manual'), 0) as manual,
                      coalesce(sum(net) filter (where role = 'tax_payable' and code in ('tax.remitted', 'tax.offset')), 0) as remitted,
                      sum(net) filter (where role = 'memo_taxable_base' and code <> 'manual') as base
               from sides join rule on rule.number = sides.rule
               where role in ('tax_payable', 'memo_taxable_base') group by 1, 2, 3
           ), charged as (
               select i.entity, i.currency, 'tax:' || tax_code as subject, sum(tax_minor) as tax, sum(base_minor) as base
               from line_tax t join (select customer_id, invoice_id, entity, currency from invoice
                                     union select customer_id, document_id, entity, currency from credit_line) i
                   using (customer_id, invoice_id) group by 1, 2, 3
           )
           select format('%s of %s: payable <%s|%s>, charged <%s|%s>, by manual entries <%s|%s>, remitted <%s|%s>; base <%s|%s>, charged on <%s|%s>',
                         subject, entity, coalesce(o.tax, 0), currency, coalesce(c.tax, 0), currency, coalesce(o.manual, 0), currency,
                         coalesce(o.remitted, 0), currency, coalesce(o.base, 0), currency, coalesce(c.base, 0), currency)
           from owed o full join charged c using (entity, currency, subject)
           where coalesce(o.tax, 0) <> coalesce(c.tax, 0) + coalesce(o.manual, 0) - coalesce(o.remitted, 0)
              or coalesce(o.base, 0) <> coalesce(c.base, 0)""",
    ),
    Question(
        "receivables, credits, deferred revenue and every other ledger account equal the sum of their sub-ledgers",
        "ledger accounts",
        "select count(*) from (select distinct entity, role from account) roles",
        _SIDES
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
    Question(
        "write-offs and manual entries name who approved them, or have a rule that stood for one; and rules stand for what they are for",
        "documents",
        "select count(*) from document_key where type in ('write_off', 'manual_entry')",
        """select format('%s %s: nobody approved it', d.type, d.ref)
           from document_key k join document d using (customer_id, document_id)
           left join approval_by_rule a using (customer_id, document_id)
           where k.type in ('write_off', 'manual_entry') and a.rule is null and d.body::json ->> 'approved_by' is null
           union all
           select format('%s %s: approval_rule %s is not for it', d.type, d.ref, a.rule)
           from approval_by_rule a
           left join document d using (customer_id, document_id)
           left join document_key k on k.type = 'approval_rule' and k.ref = a.rule
           left join document r on r.customer_id = k.customer_id and r.document_id = k.document_id
           where r.ref is null or d.ref is null or d.body::json ->> 'approved_by' is not null
              or not (r.body::jsonb -> 'kinds') ? d.type
              or d.dated_on not between r.dated_on and (r.body::json ->> 'until')::date""",
    ),
    Question(
        "what trial balances are read from equals the sealed postings, day by day",
        "ledger accounts and days",
        "select count(*) from daily_total",
        f"""with recomputed as (
               select a.entity, a.role, a.product, a.currency, s.effective_on, sum(s.debit) as debit, sum(s.credit) as credit,
                      sum(s.functional_debit) as functional_debit, sum(s.functional_credit) as functional_credit
               from ({_SEALED}) s
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
               from ({_SEALED}) s
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
