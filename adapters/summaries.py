"""Journal entries as accounting systems take them: one per entity and month, a line per account.

A summary line is the account's movement of the month in the entity's functional currency; receivable lines are kept
per customer, because accounting systems keep a customer's balance on them. The rows come from the postings of that
month, so a line traces to them by (entity, month, account).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, text

from ledger.chart import ROLES
from ledger.dates import month_end, month_text
from ledger.errors import Unbalanced
from ledger.reports import Filters, sides

# The roles whose lines accounting systems want a customer on.
CUSTOMER_ROLES = ("accounts_receivable",)

NUMBER_LENGTH_MAX = 21  # QuickBooks Online's limit on a DocNumber, the shortest of the targets'


@dataclass(frozen=True, slots=True)
class SummaryLine:
    """A movement: debit above zero, credit below, in minor units of the entry's currency."""

    code: str
    account: str
    role: str
    customer: str
    customer_name: str
    net: int

    @property
    def description(self) -> str:
        """What the line says in the other system."""
        return f"{self.account}, {self.customer_name}" if self.customer else self.account


@dataclass(frozen=True, slots=True)
class SummaryEntry:
    """A month of an entity as one journal entry, dated on the month's last day."""

    number: str
    entity: str
    dated_on: date
    currency: str
    memo: str
    lines: tuple[SummaryLine, ...]


def entry_number(entity: str, month: date) -> str:
    """A number that is stable, unique and short enough for every target: TM-acme-2023-11."""
    plain = f"TM-{entity}-{month_text(month)}"
    if len(plain) <= NUMBER_LENGTH_MAX and entity.isascii():
        return plain
    digest = hashlib.sha256(entity.encode()).hexdigest()[:8]
    return f"TM-{digest}-{month_text(month)}"


def monthly_entries(connection: Connection, filters: Filters) -> list[SummaryEntry]:
    """A summary entry for each entity and month with movement; memorandum accounts are left out.

    Raises Unbalanced where a month's movements do not sum to zero, which no set of postings can do.
    """
    source, parameters = sides(filters)
    rows = connection.execute(
        text(
            f"select x.entity, date_trunc('month', x.effective_on)::date as month, e.currency, x.role,"
            f" coalesce(gp.code, g.code, r.code) as code, coalesce(gp.name, g.name, r.title) as account,"
            f" case when x.role = any(:customer_roles) then c.ref else '' end as customer,"
            f" case when x.role = any(:customer_roles) then c.name else '' end as customer_name,"
            f" sum(x.sign * x.functional_amount)::bigint as net "
            f"from ({source}) x join entity e using (entity) join role r on r.name = x.role "
            f"join customer c on c.customer_id = x.customer_id "
            f"left join gl_account g on g.entity = x.entity and g.role = x.role and g.product = '' "
            f"left join gl_account gp on gp.entity = x.entity and gp.role = x.role and gp.product = x.product"
            f" and x.product <> '' "
            f"where not x.role = any(:memorandum) "
            f"group by 1, 2, 3, 4, 5, 6, 7, 8 having sum(x.sign * x.functional_amount) <> 0 order by 1, 2, 5, 7"
        ),
        parameters
        | {
            "customer_roles": list(CUSTOMER_ROLES),
            "memorandum": [role.name for role in ROLES.values() if role.memorandum],
        },
    )
    months: dict[tuple[str, date, str], list[SummaryLine]] = defaultdict(list)
    for row in rows:
        line = SummaryLine(row.code, row.account, row.role, row.customer, row.customer_name, row.net)
        months[row.entity, row.month, row.currency].append(line)
    entries = []
    for (entity, month, currency), lines in months.items():
        number = entry_number(entity, month)
        if sum(line.net for line in lines) != 0:
            raise Unbalanced("entry", number, "expected debits to equal credits")
        memo = f"Tickmark summary of {month_text(month)}, entity {entity}"
        entries.append(SummaryEntry(number, entity, month_end(month), currency, memo, tuple(lines)))
    return entries
