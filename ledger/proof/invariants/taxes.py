"""Taxes: payable as invoices charged and credited them, less what was remitted."""

from __future__ import annotations

from ledger.proof.invariants.question import SIDES, Question

PAYABLE = (
    Question(
        "tax payable and the taxable base of every tax code are what invoices charged and credited of it, less what was remitted or set off",
        "tax codes",
        "select count(*) from tax_code",
        SIDES
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
)
