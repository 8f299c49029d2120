"""Money: used once, below zero nowhere, and of the document that brought it."""

from __future__ import annotations

from ledger.proof.invariants.question import SIDES, Question, negative_balances

PASSED = (
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
)

UNAPPLIED = (
    Question(
        "no customer's unapplied money is used twice, on any day",
        "customers",
        "select count(*) from customer where customer_id <> 0",
        SIDES + negative_balances("customer_balance", "customer", "balance"),
    ),
    Question(
        "what is known of whose money lies on the customer's balance is what the postings say",
        "customers",
        "select count(*) from customer where customer_id <> 0",
        SIDES
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
        SIDES
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
)
