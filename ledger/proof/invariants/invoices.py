"""Invoices: settled, due and taxed as they say, and what they leave between parties."""

from __future__ import annotations

from ledger.database.schema.invoices import INVOICE_POSTED_AS
from ledger.proof.invariants.question import SIDES, Question, negative_balances

BILLED = (
    Question(
        "no invoice is settled beyond what it bills, on any day",
        "invoices",
        "select count(*) from invoice",
        SIDES + negative_balances("accounts_receivable", "invoice", "invoice"),
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
)

TOTALLED = (
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
        SIDES
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
        SIDES
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
)
