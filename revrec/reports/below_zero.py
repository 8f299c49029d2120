"""Months in which revenue is below zero and no document says why.

Revenue falls below zero where a price was lowered, or less was given than was reported: by a credit note, a void, a modification, a
termination, an estimate (of breakage too), a write-off, a payment to the customer, usage corrected, progress estimated anew, a bonus that shares the
price, a manual entry. Such a document is dated in the month, or late: in a closed month, so that this is the first open one. A refund
or a dispute is one only where it came late: what it ended of an invoice's own service was given meanwhile; else it is shown beside revenue. One that
comes back is one where its invoice was voided since.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from ledger.amounts.dates import month_start
from ledger.amounts.money import to_text
from ledger.reports.report import Column, Filters, Report, sides

# How many of the newest entries are looked at where not all are.
LATELY = 10_000
_LOWERING = (
    "credit_note", "invoice_void", "contract_modification", "contract_termination", "contract_renewal", "estimate", "consideration_payable",
    "write_off", "recovery", "progress", "breakage_estimate", "grant", "grant_return", "contract", "invoice", "usage", "manual_entry",
    "refund", "refund_reversal", "dispute", "payment_reversal", "beside",
)  # fmt: skip
_REVENUE = ("revenue", "breakage_revenue")

# Of these, only some lower anything: a bill with something taken off, or in another's place; usage in another's place, or taken back.
_LOWERS = """case case d.type when 'beside' then split_part(d.ref, ':', 1) else d.type end
    when 'invoice' then d.body::jsonb ? 'supersedes'
        or jsonb_path_exists(d.body::jsonb, '$.lines[*] ? (@.amount starts with "-" || exists(@.discount))')
    when 'usage' then d.body::jsonb ? 'supersedes' or left(d.body::jsonb ->> 'amount', 1) = '-'
        or left(d.body::jsonb ->> 'quantity', 1) = '-' or left(d.body::jsonb ->> 'unit_price', 1) = '-'
    when 'contract' then d.body::jsonb ? 'combined_with'
    when 'grant' then d.body::jsonb ? 'contract'
    when 'refund' then d.dated_on < m.month
    -- of an invoice that was voided since, what comes back is taken by the void
    when 'refund_reversal' then exists (select from document v where v.customer_id = d.customer_id and v.type = 'invoice_void')
    when 'dispute' then d.dated_on < m.month or d.body::jsonb ->> 'status' = 'reinstated'
        and exists (select from document v where v.customer_id = d.customer_id and v.type = 'invoice_void')
    when 'payment_reversal' then d.body::jsonb ? 'recovery'
    when 'payment' then false when 'application' then false when 'unapplication' then false
    else true end"""

# Through when the books of a candidate's entity were closed at a moment.
_CLOSED = """(select case p.action when 'closed' then (p.month + interval '1 month')::date - 1 else p.month - 1 end
              from period_event p where p.entity = m.entity and p.at <= {moment} order by p.period_event_id desc limit 1)"""


def _counts_in(day: str, moment: str) -> str:
    """The month a document's day counts in, as the books were open at a moment."""
    return f"date_trunc('month', greatest({day}, {_CLOSED.format(moment=moment)} + 1))::date"


_FOUND = f"""
    with sides as ({{source}}), corrections as (
        -- a credit with a period of its own is of the line it credits
        select x.customer_id, x.subject, l.subject as about
        from line_change x join invoice_line l using (customer_id, invoice_id, line) where x.own_obligation
    ), monthly as (
        -- usage and the credits it draws on are one: what leaves the one may go to the other
        select s.customer_id, s.entity, s.currency, s.subject, s.product, date_trunc('month', s.effective_on)::date as month,
               case when s.subject like 'obligation:%' then coalesce(k.about, s.subject) else 'usage' end as about,
               -sum(s.sign * s.amount) as amount
        from sides s left join corrections k on k.customer_id = s.customer_id and k.subject = s.subject
        group by 1, 2, 3, 4, 5, 6, 7
    ), months as (
        select customer_id, entity, currency, about, month, sum(amount)::bigint as amount,
               (array_agg(subject order by amount, subject))[1] as subject, (array_agg(product order by amount, subject))[1] as product,
               array_agg(subject) as subjects
        -- a line and its corrections are each rounded for themselves
        from monthly group by 1, 2, 3, 4, 5 having sum(amount) < case about when 'usage' then 0 else 1 - count(distinct subject) end
    ), candidates as (
        select m.*, o.contract, o.package
        from months m left join performance_obligation o on o.customer_id = m.customer_id and o.subject = m.about
        -- what a line below zero takes off is of the same customer's other revenue of the product
        where not (exists (select from invoice_line l where l.customer_id = m.customer_id and l.subject = m.about and l.own_obligation
                           and l.amount_minor < 0)
                   and (select sum(w.amount) from monthly w where w.customer_id = m.customer_id and w.entity = m.entity
                        and w.currency = m.currency and w.product = m.product and w.month = m.month) >= 0)
    )
    select m.entity, c.ref as customer, m.contract, m.product, case m.about when 'usage' then m.subject else m.about end as subject,
           m.currency, m.month, m.amount
    from candidates m join customer c using (customer_id)
    where not exists (
        -- a document that moved an account of it in the month
        select from account a
        cross join lateral (
            select p.entry_id from posting p where p.customer_id = a.customer_id and p.debit_account = a.account_id
              and date_trunc('month', p.effective_on) = m.month
            union
            select p.entry_id from posting p where p.customer_id = a.customer_id and p.credit_account = a.account_id
              and date_trunc('month', p.effective_on) = m.month
        ) p
        join entry e on e.customer_id = a.customer_id and e.entry_id = p.entry_id
        join document d on d.document_id = e.document_id and d.customer_id in (e.customer_id, 0)
        where a.customer_id = m.customer_id and a.entity = m.entity and a.subject = any(m.subjects || m.about)
          and d.type = any(:lowering) and {_LOWERS} and (cast(:known as timestamptz) is null or d.posted_at <= :known)
    ) and not exists (
        -- one that agreed something else about it, dated in the month, or late
        select from document d
        left join lateral (
            select r.posted_at from document_key k join document r using (customer_id, document_id)
            where k.type = 'recognition' and r.document_id > d.document_id order by r.document_id limit 1
        ) r on true
        where d.customer_id in (m.customer_id, 0) and d.type = any(:lowering) and d.dated_on < m.month + interval '1 month' and {_LOWERS}
          and (cast(:known as timestamptz) is null or d.posted_at <= :known)
          and m.month in (date_trunc('month', d.dated_on)::date, {_counts_in("d.dated_on", "d.posted_at")}, {_counts_in("d.dated_on", "r.posted_at")})
          and (exists (select from contract t where t.customer_id = m.customer_id and coalesce(t.package, t.ref) = m.package
                       and t.ref in (d.body::jsonb ->> 'contract', d.body::jsonb ->> 'combined_with'))
               or 'obligation:' || (d.body::jsonb ->> 'obligation') = m.about
               or (m.about = 'usage' and d.type in ('grant', 'grant_return', 'breakage_estimate'))
               or exists (select from obligation_version v where v.customer_id = m.customer_id and v.document_id = d.document_id
                          and v.subject = m.about)
               or exists (select from line_change x where x.customer_id = m.customer_id and x.document_id = d.document_id
                          and x.subject = any(m.subjects || m.about)))
    )
    order by m.month, m.entity, c.ref, subject
"""

# The newest entries' months: the accounts whose revenue they lower, in all of that month.
_LATELY = """
    select a.customer_id, a.entity, a.currency, a.subject, a.product, s.effective_on, s.amount, s.sign from (
        select distinct a.customer_id, a.entity, date_trunc('month', p.effective_on) as month
        from posting p join account a on a.customer_id = p.customer_id and a.account_id = p.debit_account
        where p.entry_id > {after} and a.role = any(:roles) and a.entity = :entity
          and p.effective_on <= :as_of
    ) l
    join account a on a.customer_id = l.customer_id and a.entity = l.entity and a.role = any(:roles)
    cross join lateral (
        select p.effective_on, p.amount, 1 as sign from posting p
        where p.customer_id = a.customer_id and p.debit_account = a.account_id and date_trunc('month', p.effective_on) = l.month
        union all
        select p.effective_on, p.amount, -1 from posting p
        where p.customer_id = a.customer_id and p.credit_account = a.account_id and date_trunc('month', p.effective_on) = l.month
    ) s
"""


def find(connection: Connection, filters: Filters, *, lately: bool = False) -> list[dict[str, Any]]:
    """Months whose revenue is below zero without a cause.

    Of an obligation, or of a customer's usage; `lately` by the newest entries only.
    """
    since = None if filters.since is None else month_start(filters.since)
    narrow = replace(filters, since=since, product=None, contract=None)
    if lately:
        # a number that the planner sees: few entries are newer
        last = connection.scalar(text("select coalesce(pg_sequence_last_value('entry_number'), 0)")) or 0
        source = _LATELY.format(after=last - LATELY)
        parameters: dict[str, object] = {
            "roles": list(_REVENUE), "entity": filters.entity, "as_of": filters.as_of or date.max,
        }  # fmt: skip
    else:
        source, parameters = sides(narrow, *_REVENUE)
    rows = connection.execute(
        text(_FOUND.format(source=source)), parameters | {"lowering": list(_LOWERING), "known": filters.known_at}
    )
    return [
        {**row._mapping, "month": f"{row.month:%Y-%m}"}
        for row in rows
        if filters.product in (None, row.product) and filters.contract in (None, row.contract)
    ]


def below_zero(connection: Connection, filters: Filters) -> Report:
    """Months in which revenue is below zero without a document that explains it.

    None in them, or late, lowers a price or what was given.
    """
    columns = (
        Column("month", "Month"), Column("entity", "Entity"), Column("customer", "Customer"), Column("contract", "Contract"),
        Column("product", "Product"), Column("subject", "For"), Column("currency", "Currency"), Column("amount", "Revenue", "amount"),
    )  # fmt: skip
    return Report(
        "below-zero", "Months below zero without a cause", columns, tuple(find(connection, filters)), sums=False,
        empty="No month's revenue is below zero without a document that says why.",
    )  # fmt: skip


def told(connection: Connection) -> list[str]:
    """Each month below zero without a cause, in a sentence."""
    return [
        f"{row['subject']} of {row['customer']} with {row['entity']} in {row['month']}: {to_text(row['amount'], row['currency'])} {row['currency']}"
        for row in find(connection, Filters())
    ]
