"""Customers: as their documents say, and none above itself."""

from __future__ import annotations

from ledger.amounts.dates import FIRST_DAY
from ledger.proof.invariants.question import Question

KNOWN = (
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
)
