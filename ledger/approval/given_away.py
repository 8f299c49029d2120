"""What customers were given that they did not pay for, and no second person approved: it adds up, so that no limit is passed in parts.

Of an invoice, what credit notes and lines below zero of other invoices took of it; of no invoice, what went to the customer's balance
or wallet for nothing. What was taken back since does not count.
"""

from __future__ import annotations

from sqlalchemy import text

from ledger.amounts.money import to_minor
from ledger.documents import models
from ledger.documents.models.wallets import FREE_KINDS
from ledger.journal.books import Books
from ledger.journal.movements import Source

_BY_NOBODY = "d.body::json ->> 'approved_by' is null"
_NOT_VOIDED = (
    "not exists (select from document v where v.customer_id = d.customer_id and v.type = 'credit_note_void'"
    " and v.body::json ->> 'credit_note' = d.ref)"
)
_STANDING = (
    "not exists (select from document v where v.customer_id = d.customer_id and (v.type = 'invoice_void'"
    " and v.body::json ->> 'invoice' = d.ref or v.type = 'invoice' and v.body::json ->> 'supersedes' = d.ref))"
)

# What a note's own lines, of no line of an invoice, come to with their taxes.
OWN_LINES = (
    "coalesce((select sum(l.amount_minor) from credit_line l where l.customer_id = d.customer_id and l.document_id = d.document_id), 0)::bigint"
    " - coalesce((select sum(t.tax_minor) from line_tax t where t.customer_id = d.customer_id and t.document_id = d.document_id"
    "  and t.invoice_id = d.document_id), 0)::bigint"
)
_GROSS = """
    l.amount_minor + coalesce((select sum(t.tax_minor) from line_tax t where t.customer_id = l.customer_id
     and t.document_id = l.invoice_id and t.invoice_id = l.invoice_id and t.line = l.line), 0)"""
# What an invoice's lines below zero come to with their taxes.
LINES_BELOW = f"""
    coalesce((select -sum({_GROSS}) from invoice_line l
     where l.customer_id = d.customer_id and l.invoice_id = d.document_id and l.amount_minor < 0), 0)::bigint"""
# What an invoice's lines below zero took of lines of others, with its share of their taxes.
_OF_OTHERS = f"""
    select x.document_id, x.invoice_id, round(x.amount_minor * n.gross / n.net)::bigint as amount
    from line_change x cross join lateral (
        select sum(l.amount_minor) as net, sum({_GROSS}) as gross from invoice_line l
        where l.customer_id = x.customer_id and l.invoice_id = x.document_id and l.subject = x.subject and l.amount_minor < 0
    ) n where x.customer_id = :customer_id and x.kind = 'proration' and x.undoes = 0 and x.invoice_id <> x.document_id"""
# What of a grant's credits is for nothing: what no price is for, but for what it carries on of another.
FOR_NOTHING = f"""
    greatest(g.face_minor - carried.face - case when g.kind in ({", ".join(f"'{kind}'" for kind in FREE_KINDS)})
        and d.body::json ->> 'price' is null then 0 else g.price_minor - carried.price end, 0)::bigint"""
CARRIED = """
    cross join lateral (select coalesce(sum(m.face_minor), 0) as face, coalesce(sum(m.amount_minor), 0) as price from grant_move m
        where m.customer_id = g.customer_id and m.document_id = g.grant_id and m.kind = 'carried') carried"""
_TO_CUSTOMER = f"""
    select coalesce(sum(amount), 0)::bigint from (
        select {OWN_LINES} as amount from document d
        where d.customer_id = :customer_id and d.type = 'credit_note' and d.body::json ->> 'invoice' is null
          and d.body::json ->> 'entity' = :entity and d.body::json ->> 'currency' = :currency and {_BY_NOBODY} and {_NOT_VOIDED}
        union all
        select {FOR_NOTHING} from credit_grant g join document d on d.customer_id = g.customer_id and d.document_id = g.grant_id {CARRIED}
        where g.customer_id = :customer_id and g.kind <> 'commitment' and g.entity = :entity and g.currency = :currency and {_BY_NOBODY}
        union all
        select greatest(-i.total_minor - coalesce((select sum(o.amount) from ({_OF_OTHERS}) o where o.document_id = i.invoice_id), 0), 0)::bigint
        from invoice i join document d on d.customer_id = i.customer_id and d.document_id = i.invoice_id
        where i.customer_id = :customer_id and i.total_minor < 0 and i.entity = :entity and i.currency = :currency and i.master is null
          and {_BY_NOBODY} and {_STANDING}
    ) given"""
_SAID = f"""
    select d.body::json ->> 'amount' as amount, 1 as sign from document d
    where d.customer_id = :customer_id and d.type = 'customer_credit' and d.body::json ->> 'takes_back' is null
      and d.body::json ->> 'entity' = :entity and d.body::json ->> 'currency' = :currency and {_BY_NOBODY}
    union all
    select b.body::json ->> 'amount', -1 from document b
    join document d on d.customer_id = b.customer_id and d.type = 'customer_credit' and d.ref = b.body::json ->> 'takes_back'
    where b.customer_id = :customer_id and b.type = 'customer_credit'
      and b.body::json ->> 'entity' = :entity and b.body::json ->> 'currency' = :currency and {_BY_NOBODY}
    union all
    select d.body::json ->> 'amount', 1 from document d
    join contract t on t.customer_id = d.customer_id and t.ref = d.body::json ->> 'contract'
    where d.customer_id = :customer_id and d.type = 'consideration_payable' and t.entity = :entity and t.currency = :currency and {_BY_NOBODY}"""
_OF_INVOICE = f"""
    select coalesce(sum(x.amount), 0)::bigint from (
        select document_id, amount_minor as amount from line_change
        where customer_id = :customer_id and invoice_id = :invoice_id and undoes = 0
        union all
        select document_id, -tax_minor from line_tax where customer_id = :customer_id and invoice_id = :invoice_id and undoes = 0
        union all
        select l.document_id, l.amount_minor - coalesce((select sum(t.tax_minor) from line_tax t where t.customer_id = l.customer_id
         and t.document_id = l.document_id and t.invoice_id = l.document_id and t.line = l.line), 0)::bigint
        from credit_line l join invoice i on i.customer_id = l.customer_id and i.ref = l.invoice
        where l.customer_id = :customer_id and i.invoice_id = :invoice_id
    ) x join document d on d.customer_id = :customer_id and d.document_id = x.document_id
    where d.type = :type and {_BY_NOBODY} and {_NOT_VOIDED}"""
_BY_LINES_BELOW = f"""
    select coalesce(sum(o.amount), 0)::bigint from ({_OF_OTHERS} and x.invoice_id = :invoice_id) o
    join document d on d.customer_id = :customer_id and d.document_id = o.document_id
    where d.type = 'invoice' and {_BY_NOBODY} and {_STANDING}"""


def to_customer(books: Books, source: Source) -> int:
    """What a document's customer was given of no invoice by its entity, in its currency: in minor units, taxes included."""
    of = {"customer_id": source.customer.customer_id, "entity": source.entity, "currency": source.currency}
    said = books.connection.execute(text(_SAID), of)
    in_words = sum(int(row.sign) * to_minor(models.decimal_of(row.amount), source.currency) for row in said)
    return in_words + int(books.connection.scalar(text(_TO_CUSTOMER), of) or 0)


def of_invoice(books: Books, source: Source, invoice_id: int, kind: str) -> int:
    """What write-offs, or credit notes and lines below zero, took of an invoice before: in minor units, taxes included."""
    of = {"customer_id": source.customer.customer_id, "invoice_id": invoice_id, "type": kind}
    taken = int(books.connection.scalar(text(_OF_INVOICE), of) or 0)
    if kind == "write_off":
        return taken
    return taken + int(books.connection.scalar(text(_BY_LINES_BELOW), of) or 0)
