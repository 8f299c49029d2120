"""What was billed for grants, by way of the documents that bill."""

from __future__ import annotations

# The rules by which a grant is billed, and by which what was billed for it is taken back.
FUNDING_RULES = (
    "invoice.prepaid", "invoice.prepaid_drawn", "credit.credits", "credit.credits_to_balance", "credit.unbilled",
    "credit.unbilled_to_balance", "refund.credits", "dispute.credits", "write_off.credits", "manual",
    "grant.carried", "grant.right", "grant.right_unbilled", "credit.used", "credit.used_to_balance", "recovery.credits", "recovery.credits_returned",
    "refund.credits_exchanged", "dispute.credits_exchanged", "refund_reversal.credits", "refund_reversal.credits_exchanged",
    "reinstated.credits", "reinstated.credits_exchanged", "credit_void.credits", "credit_void.used", "credit_void.unbilled",
)  # fmt: skip


# What was billed for customers' grants: by way of the documents that bill, not of the grants' accounts, which hold every draw.
# One step after the other, whatever the planner knows of tables that were small when it last looked: each finds its few rows
# by an index, and none reads all entries, documents or accounts of a customer.
FUNDINGS = """
    with billing as materialized (
        select customer_id, invoice_id as document_id from invoice_line
            where customer_id = any(:customers) and subject like :grants
        union select customer_id, document_id from line_change where customer_id = any(:customers) and subject like :grants
        union select customer_id, document_id from grant_move where customer_id = any(:customers)
        -- free credits that share a contract's price got it with their own document
        union select customer_id, grant_id from credit_grant
            where customer_id = any(:customers) and kind = any(:free_kinds) and price_minor > 0
        union select customer_id, document_id from document where customer_id = any(:customers) and type = 'manual_entry'
    ), billed as materialized (
        select p.customer_id, p.debit_account, p.credit_account, p.amount, p.effective_on, e.occurred_on
        from billing
        join lateral (
            select customer_id, entry_id, occurred_on from entry
            where document_id = billing.document_id and customer_id + 0 = billing.customer_id
            offset 0
        ) e on true
        join posting p on p.customer_id = e.customer_id and p.entry_id = e.entry_id
        where p.rule = any(:rules)
    )
    select b.customer_id, a.subject, b.effective_on, b.amount, b.occurred_on from billed b
    join account a on a.customer_id = b.customer_id and a.account_id = b.credit_account where a.subject like :grants
    union all
    select b.customer_id, a.subject, b.effective_on, -b.amount, b.occurred_on from billed b
    join account a on a.customer_id = b.customer_id and a.account_id = b.debit_account where a.subject like :grants"""
