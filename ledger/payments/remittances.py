"""Tax that was collected, paid to the authority: by code and period, of an entity as a whole.

Tax counts by its day, a remittance by the period it is for. What customers withheld may be set off against it.
"""

from __future__ import annotations

from collections import Counter
from datetime import date

from sqlalchemy import Connection, text

from ledger.accounts.house import HOUSE, HOUSE_REF
from ledger.accounts.rulebook import RULES
from ledger.amounts.money import to_minor, to_text
from ledger.cash.money_accounts import cash_of
from ledger.documents import models
from ledger.errors import OverApplication, Refused
from ledger.invoices.taxes import require_code, tax_subject
from ledger.journal.books import Books
from ledger.journal.by_date import History, available, balance
from ledger.journal.movements import Movement
from ledger.reports.report import Column, Filters, Report, sides
from ledger.wallets.session import Wallets

REMITTING = tuple(RULES[code].number for code in ("tax.remitted", "tax.offset"))
_MANUAL = RULES["manual"].number


def post_tax_remittance(wallets: Wallets, doc: models.TaxRemittance, document_id: int) -> int:
    """Remit tax, each line at most what is left of what was charged by the period's end. Raises OverApplication beyond that."""
    books = wallets.books
    currency = books.parties.entity(doc.entity).currency
    source = books.source(document_id, HOUSE_REF, doc.entity, currency, doc.date)
    if doc.date < doc.start:
        raise Refused("date", doc.date, f"expected {doc.start}, the first day it is for, or later")
    books.flush()
    cash = None
    if doc.account is not None or doc.rail is not None:
        cash = cash_of(books, doc.entity, currency, doc.account, doc.rail)
    taken: Counter[str] = Counter()
    movements = []
    for index, line in enumerate(doc.lines):
        try:
            amount = to_minor(line.amount, currency)
            require_code(books, line.code, "code")
            left = _left(books, doc, currency, line.code) - taken[line.code]
            _require(amount, left, currency, f"what is left of {line.code} charged by {doc.end}")
            taken[line.code] += amount
            if line.withheld is None:
                assert cash is not None, "checked by the document's form"
                movements.append(Movement("tax.remitted", amount, tax_subject(line.code), cash))
            else:
                require_code(books, line.withheld, "withheld")
                claim = _claimed(books, doc.entity, currency, line.withheld, books.days.open_day(source, doc.date))
                _require(
                    amount, claim - taken[f"-{line.withheld}"], currency, f"what customers withheld by {line.withheld}"
                )
                taken[f"-{line.withheld}"] += amount
                movements.append(Movement("tax.offset", amount, tax_subject(line.code), tax_subject(line.withheld)))
        except Refused as refusal:
            raise refusal.within(f"lines.{index}") from None
    books.post(source, doc.date, movements)
    return HOUSE


def _require(amount: int, most: int, currency: str, what: str) -> None:
    if amount > most:
        raise OverApplication(
            "amount",
            f"{to_text(amount, currency)} {currency}",
            f"expected at most {to_text(max(most, 0), currency)}, {what}",
        )


def _history(books: Books, entity: str, currency: str, role: str, code: str) -> dict[bool, History]:
    """What a code's accounts of a role took in by day, debits less credits, over all customers: by whether remittances say it.

    Of tax payable these count by the end of their period.
    """
    rows = books.connection.execute(
        text(
            "select s.rule = any(:remitting) as remitting,"
            " case when s.rule = any(:remitting) and a.role = 'tax_payable' then (d.body::json ->> 'end')::date else s.effective_on end as day,"
            " sum(s.net)::bigint as net from account a join lateral ("
            "  select entry_id, effective_on, rule, amount as net from posting"
            "  where customer_id = a.customer_id and debit_account = a.account_id"
            "  union all select entry_id, effective_on, rule, -amount from posting"
            "  where customer_id = a.customer_id and credit_account = a.account_id) s on true"
            " join entry e on e.customer_id = a.customer_id and e.entry_id = s.entry_id"
            " left join document d on d.customer_id = e.customer_id and d.document_id = e.document_id and d.type = 'tax_remittance'"
            " where a.role = :role and a.entity = :entity and a.currency = :currency and a.subject = :subject group by 1, 2"
        ),
        {
            "role": role,
            "entity": entity,
            "currency": currency,
            "subject": tax_subject(code),
            "remitting": list(REMITTING),
        },
    )
    found: dict[bool, History] = {False: {}, True: {}}
    for row in rows:
        found[row.remitting][row.day] = row.net
    return found


def _left(books: Books, doc: models.TaxRemittance, currency: str, code: str) -> int:
    """What is left of a code to remit for a period: nothing is remitted for it that was charged after it, or remitted by a later one."""
    history = _history(books, doc.entity, currency, "tax_payable", code)
    charged, remitted = history[False], history[True]
    ends = {doc.end, *(day for day in remitted if day > doc.end)}
    return min(-balance(charged, day) - balance(remitted, day) for day in ends)


def _claimed(books: Books, entity: str, currency: str, code: str, on: date) -> int:
    """What customers withheld by a code and was not set off, on a day and later."""
    history = _history(books, entity, currency, "tax_withheld", code)
    return available(history[False] | {day: net + history[False].get(day, 0) for day, net in history[True].items()}, on)


def tax_payable(connection: Connection, filters: Filters) -> Report:
    """Tax by code and month: charged, remitted for it, set off against what was withheld, and what is left by its end."""
    source, parameters = sides(
        Filters(as_of=filters.as_of, known_at=filters.known_at, entity=filters.entity, currency=filters.currency),
        "tax_payable",
    )
    rows = connection.execute(
        text(
            "select m.*, sum(charged + manual - remitted - withheld) over ("
            "  partition by entity, currency, code order by month)::bigint as left_over from ("
            " select x.entity, x.currency, case when x.subject like 'tax:%' then substr(x.subject, 5) else '' end as code,"
            "  to_char(case when d.type = 'tax_remittance' then (d.body::json ->> 'end')::date else x.effective_on end, 'YYYY-MM') as month,"
            "  coalesce(sum(-x.sign * x.amount) filter (where x.rule <> all(:told)), 0)::bigint as charged,"
            "  coalesce(sum(-x.sign * x.amount) filter (where x.rule = :manual), 0)::bigint as manual,"
            "  coalesce(sum(x.sign * x.amount) filter (where x.rule = :remitted), 0)::bigint as remitted,"
            "  coalesce(sum(x.sign * x.amount) filter (where x.rule = :offset), 0)::bigint as withheld"
            f"  from ({source}) x join entry e on e.customer_id = x.customer_id and e.entry_id = x.entry_id"
            "  join document d on d.customer_id in (e.customer_id, 0) and d.document_id = e.document_id"
            "  group by 1, 2, 3, 4) m order by entity, code, currency, month"
        ),
        {
            **parameters,
            "told": [*REMITTING, _MANUAL],
            "manual": _MANUAL,
            "remitted": REMITTING[0],
            "offset": REMITTING[1],
        },
    )
    columns = (
        Column("month", "Month"), Column("entity", "Entity"), Column("code", "Tax code"), Column("currency", "Currency"),
        Column("charged", "Charged", "amount"), Column("manual", "By manual entries", "amount"), Column("remitted", "Remitted", "amount"),
        Column("withheld", "Set off", "amount"), Column("left_over", "Left", "amount"),
    )  # fmt: skip
    found = tuple({column.key: getattr(row, column.key) for column in columns} for row in rows)
    return Report(
        "tax-payable", "Tax payable", columns, found, sums=False, empty="Nothing to show: no tax was charged."
    )
