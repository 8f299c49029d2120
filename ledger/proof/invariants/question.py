"""What an invariant is: a sentence, and a statement that returns what differs.

An amount stands in a text as its minor units and its currency, <-5000|USD>, which `told` writes as -50.00 USD.
None trusts a balance, a hash or a total that it does not recompute. `ledger/proof/verify.py` asks them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ledger.accounts.chart import ROLES
from ledger.amounts.money import to_text
from ledger.errors import Refused


@dataclass(frozen=True, slots=True)
class Question:
    """`counted` counts what is checked; `differing` returns one text a difference."""

    sentence: str
    what: str
    counted: str
    differing: str


def negative_balances(role: str, subject: str, label: str) -> str:
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


SIDES = f"""with sides as (
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


SEALED = f"""select customer_id, account_id, effective_on, debit, credit, functional_debit, functional_credit from {MOVEMENT}
              union all
              select customer_id, account_id, effective_on, -debit, -credit, -functional_debit, -functional_credit
              from ({_UNSEALED}) u"""


POSTINGS = "select count(*) from posting"


ENTRIES = "select count(*) from entry"
