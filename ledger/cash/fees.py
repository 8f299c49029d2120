"""Fees of banks and processors: how much of them can come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from sqlalchemy import text

from ledger.accounts.house import HOUSE, HOUSE_REF
from ledger.amounts.money import to_minor, to_text
from ledger.cash.money_accounts import MoneyAccount, find
from ledger.documents import models
from ledger.errors import OverApplication, Refused
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.movements import MONEY_ACCOUNT, Movement, Source


def require_part_of(fee: Decimal | None, amount: Decimal, what: str) -> None:
    """Raise Refused for a fee beyond the amount that it is kept of."""
    if fee is not None and fee > amount:
        raise Refused("fee", fee, f"expected at most the {what}'s amount, {amount}")


def require_charged_of_account(
    books: Books,
    account: MoneyAccount,
    amount: int,
    on: date,
    field: str = "amount",
    customer_id: int = HOUSE,
    now: int = 0,
) -> None:
    """Raise OverApplication for more than fees of whatever documents took of an account by a day and did not come back.

    With what the document under way, of a customer or the house, is charged `now` itself. Whoever gives back of the same is done before.
    """
    books.parties.customer(HOUSE_REF)
    books.flush()
    # of no customer more came back than was charged: so what its own documents and the house's leave is enough mostly, and found at once
    for customers in ((HOUSE, customer_id), None):
        left = _left_of_account(books, account, on, now, customers)
        if amount <= left:
            return
    _refuse(field, amount, left, account.currency, f"what fees took of account {account.account} by {on}")


def _left_of_account(books: Books, account: MoneyAccount, on: date, now: int, customers: tuple[int, ...] | None) -> int:
    rows = books.connection.execute(
        text(
            "select e.occurred_on, sum(case when p.debit_account = a.account_id then p.amount else -p.amount end)::bigint as net"
            " from account a join posting p on p.customer_id = a.customer_id and a.account_id in (p.debit_account, p.credit_account)"
            " join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id"
            " where a.role = 'processing_fees' and a.entity = :entity and a.currency = :currency and a.subject = :subject"
            + ("" if customers is None else " and a.customer_id = any(:customers)")
            + " group by 1"
        ),
        {
            "entity": account.entity, "currency": account.currency, "subject": account.subject,
            **({} if customers is None else {"customers": list(customers)}),
        },
    )  # fmt: skip
    net = Counter({row.occurred_on: row.net for row in rows})
    net[on] += now
    return max(available(net, on), 0)


def returned_of_dispute(books: Books, source: Source, doc: models.Dispute, cash: str, fee: int) -> list[Movement]:
    """What comes back of fees of disputes, to an account of cash, from the fees of those accounts that had taken them.

    Raises OverApplication for a `fee_refund` beyond what was charged of disputes of that money, with the `fee` of this one, or of the
    opening that it names, or beyond what fees took of those accounts.
    """
    if doc.fee_refund is None:
        return []
    amount = to_minor(doc.fee_refund, source.currency, "fee_refund")
    parts = _by_subject([*_charges(books, source, doc), _Charge(cash, doc.date, fee, fee)], amount, doc.date, cash)
    if amount > sum(parts.values()):
        what = f"{doc.money[0]} {doc.money[1]}" if doc.opening is None else f"dispute {doc.opening}"
        charged = f"what fees were charged of {what} by {doc.date}"
        _refuse("fee_refund", amount, sum(parts.values()), source.currency, charged)
    for subject, part in parts.items():
        if part and subject.startswith(MONEY_ACCOUNT):
            account = find(books, subject.removeprefix(MONEY_ACCOUNT))
            now = fee if subject == cash else 0
            require_charged_of_account(books, account, part, doc.date, "fee_refund", source.customer.customer_id, now)
    return [Movement("dispute.fee_returned", part, cash, subject) for subject, part in parts.items()]


@dataclass(frozen=True, slots=True)
class _Charge:
    """What disputes of some money were charged on a day of an account or a rail, less what came back: of all, and of one opening."""

    subject: str
    on: date
    whole: int
    own: int


def _by_subject(charges: Sequence[_Charge], amount: int, on: date, cash: str) -> dict[str, int]:
    """So much as is left of an amount of charges on a day, by what took them: what took the opening's comes first, then the `cash` given."""
    rest = min(amount, _left_of(charges, on))
    of = {charge.subject: [other for other in charges if other.subject == charge.subject] for charge in charges}
    parts = {}
    for subject in sorted(of, key=lambda subject: (not _left_of(of[subject], on), subject != cash)):
        parts[subject] = min(rest, _left_of([replace(charge, own=charge.whole) for charge in of[subject]], on))
        rest -= parts[subject]
    return parts


def _left_of(charges: Sequence[_Charge], on: date) -> int:
    whole: Counter[date] = Counter()
    own: Counter[date] = Counter()
    for charge in charges:
        whole[charge.on] += charge.whole
        own[charge.on] += charge.own
    return max(min(available(net, on) for net in (whole, own)), 0)


def _charges(books: Books, source: Source, doc: models.Dispute) -> list[_Charge]:
    """What disputes of the same money in the books were charged, and gave back."""
    books.flush()
    rows = books.connection.execute(
        text(
            "select a.subject, e.occurred_on, case when d.body::json ->> 'status' = 'opened' then d.ref else d.body::json ->> 'opening' end as opening,"
            " coalesce(sum(p.amount) filter (where p.debit_account = a.account_id), 0)::bigint as charged,"
            " coalesce(sum(p.amount) filter (where p.credit_account = a.account_id), 0)::bigint as back"
            " from document d join entry e using (customer_id, document_id) join posting p using (customer_id, entry_id)"
            " join account a on a.customer_id = p.customer_id and a.role = 'processing_fees' and a.account_id in (p.debit_account, p.credit_account)"
            " where d.customer_id = :customer_id and d.type = 'dispute' and d.body::json ->> :named = :ref group by 1, 2, 3 order by 2, 1"
        ),
        {"customer_id": source.customer.customer_id, "named": doc.money[0], "ref": doc.money[1]},
    )
    found = []
    for row in rows:
        own = whole = row.charged - row.back
        if doc.opening is not None:
            # what names no opening may be of any
            own = row.charged - (row.back if row.opening else 0) if row.opening in (None, doc.opening) else 0
        found.append(_Charge(row.subject, row.occurred_on, whole, own))
    return found


def _refuse(field: str, amount: int, left: int, currency: str, what: str) -> None:
    raise OverApplication(
        field,
        f"{to_text(amount, currency)} {currency}",
        f"expected at most {to_text(left, currency)}, {what} and did not come back",
    )
