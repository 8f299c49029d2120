"""What grants promise beyond what is billed.

Commitments not used up, and paid orders of credits that are not invoiced in full. Free credits promise nothing of their own; what they
share of a price is in that of the credits they came with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.rulebook import RULES
from ledger.journal.currencies import convert, require_rate
from ledger.reports.report import Filters, sides
from ledger.wallets.fundings import FUNDING_RULES


@dataclass(frozen=True, slots=True)
class Promise:
    """What a grant still promises on a day, in minor units of `currency`.

    `ordered` is the part of its price that is neither billed nor earned, `committed` what is to be used or billed as a shortfall
    by its last day; `short` says that it was to last a year or less.
    """

    subject: str
    entity: str
    customer: str
    contract: str
    currency: str
    expires_on: date | None
    short: bool
    ordered: int
    committed: int


def promised(connection: Connection, filters: Filters, until: date) -> Iterator[Promise]:
    """What grants known by a day promise beyond what is billed.

    In transaction currency, unless the entity's is asked for. In the entity's currency it counts at the day's rate. Raises
    UnknownReference where the books hold none.
    """
    if filters.product:
        return  # what will be used of them nobody knows
    source, parameters = sides(
        replace(filters, since=None, as_of=until, product=None), "customer_credits", "unbilled_receivable", "memo_commitments_outstanding",
    )  # fmt: skip
    rows = connection.execute(
        text(_PROMISED.format(source=source, short=SHORT_GRANTS)),
        parameters
        | {
            "until": until, "known": filters.known_at, "in_entity": filters.entity, "of_customer": filters.customer,
            "in_currency": filters.currency, "of_contract": filters.contract,
            "funding": [RULES[code].number for code in FUNDING_RULES],
        },
    ).all()  # fmt: skip
    for row in rows:
        ordered, committed = _ordered(row, until), _committed(row)
        if not ordered and not committed:
            continue
        currency = row.currency
        if filters.transaction is False and row.functional != currency:
            rate = require_rate(connection, currency, row.functional, until, filters.known_at)
            ordered, committed = (convert(amount, currency, row.functional, rate) for amount in (ordered, committed))
            currency = row.functional
        yield Promise(
            f"grant:{row.ref}",
            row.entity,
            row.customer,
            row.contract or "",
            currency,
            row.expires_on,
            row.short,
            ordered,
            committed,
        )


# The subjects of grants that were to last a year or less: as their contract when it was signed, else by their own last day.
SHORT_GRANTS = """
    select 'grant:' || g.ref as subject from credit_grant g left join (
        select t.customer_id, t.ref as contract,
               max(coalesce(o.ends_on, date '2199-12-31')) < min(o.starts_on) + interval '1 year' as short
        from contract t join obligation o using (customer_id, contract_id) where o.added_on is null group by 1, 2
    ) signed using (customer_id, contract)
    where coalesce(signed.short, g.expires_on < g.effective_on + interval '1 year', false)
"""


def _ordered(row: Any, until: date) -> int:
    """What of a price is still to be billed and not earned already.

    Nothing, once the credits have expired.
    """
    if row.free or row.kind == "commitment" or (row.expires_on is not None and row.expires_on <= until):
        return 0
    # what left the grant later had not left it yet
    moved = row.moved_minor * row.moved_by_then // row.moved_face_minor if row.moved_face_minor else 0
    return int(max(row.price_minor - moved - row.funded - row.unbilled, 0))


def _committed(row: Any) -> int:
    """What is not used, nor billed as a shortfall; what is earned of it ahead of use is given."""
    return int(max(row.outstanding - row.unbilled, 0)) if row.kind == "commitment" else 0


_PROMISED = """
    with moved as (
        select customer_id, subject,
               sum(-sign * amount) filter (where role <> 'memo_commitments_outstanding' and rule = any(:funding)) as funded,
               sum(sign * amount) filter (where role = 'unbilled_receivable') as unbilled,
               sum(-sign * amount) filter (where role = 'memo_commitments_outstanding') as outstanding
        from ({source}) x where subject like 'grant:%' group by 1, 2
    )
    select g.ref, g.entity, c.ref as customer, g.contract, g.currency, e.currency as functional, g.kind, g.free, g.price_minor, g.expires_on,
           b.moved_minor, b.moved_face_minor, coalesce(m.funded, 0) as funded, coalesce(m.unbilled, 0) as unbilled,
           coalesce(m.outstanding, 0) as outstanding, 'grant:' || g.ref in ({short}) as short,
           (select coalesce(sum(v.face_minor), 0) from grant_move v
            join document n on n.customer_id = v.customer_id and n.document_id = v.document_id
            where v.customer_id = g.customer_id and v.grant_id = g.grant_id and v.effective_on <= :until
              and (cast(:known as timestamptz) is null or n.posted_at <= :known)) as moved_by_then
    from credit_grant g
    join grant_balance b using (customer_id, grant_id)
    join customer c using (customer_id)
    join entity e using (entity)
    join document d on d.customer_id = g.customer_id and d.document_id = g.grant_id
    left join moved m on m.customer_id = g.customer_id and m.subject = 'grant:' || g.ref
    where g.effective_on <= :until and (not g.free or g.kind = 'commitment')
      and (cast(:known as timestamptz) is null or d.posted_at <= :known)
      and (cast(:in_entity as text) is null or g.entity = :in_entity)
      and (cast(:of_customer as text) is null or c.ref = :of_customer)
      and (cast(:in_currency as text) is null or g.currency = :in_currency)
      and (cast(:of_contract as text) is null or coalesce(g.contract, '') = :of_contract)
    order by c.ref, g.ref
"""
