"""A significant financing component.

The price is what would be paid in cash when it is given; the rest is interest. An option, as both standards allow to leave it out within
a year (606-10-32-18, IFRS 15.63). A contract with `financing` says which payments are agreed and at which rate. Each obligation's part of
each payment is taken to the days on which it is given: the sum is its price (606-10-32-15), and does not change when rates do (32-19).
What time adds is interest, income where the customer pays later and expense where it pays ahead, posted with each month's recognition
(32-20).

Years are counted in days of twelve months of thirty (30E/360), so that equal months bear equal interest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, localcontext
from typing import Any

from sqlalchemy import Connection, text

from ledger.amounts.dates import month_end, month_start, months_between
from ledger.amounts.money import allocate, to_minor
from ledger.errors import InvalidDocument
from ledger.journal.books import Books
from ledger.journal.movements import Movement, Source
from ledger.reports.report import Column, Filters, Report, narrowed, sides
from revrec.documents.contracts import Contract, ContractObligation
from revrec.terms.schedules import Term, parts

_PRECISION = 40


@dataclass(frozen=True, slots=True)
class Loan:
    """What finances an obligation.

    Its rate, payments (day, minor units), and when what part of it is given; its price.
    """

    rate: Decimal
    compounding: str
    payments: tuple[tuple[date, int], ...]
    given: tuple[tuple[date, Decimal], ...]
    price: int

    def position(self, on: date) -> Decimal:
        """What is owed for it at the end of a day, with interest.

        Above zero by the customer, below zero by us.
        """
        with localcontext(prec=_PRECISION):
            worth = Decimal(0)
            for day, part in self.given:
                if day <= on:
                    worth += self.price * part * growth(self.rate, self.compounding, day, on)
            for day, amount in self.payments:
                if day <= on:
                    worth -= amount * growth(self.rate, self.compounding, day, on)
            return worth

    def interest(self, on: date) -> int:
        """The interest to the end of a day, in minor units: income above zero, expense below it.

        All of it, to the cent, once everything is given and paid.
        """
        if on >= max(self.given[-1][0], self.payments[-1][0]):
            return sum(amount for _, amount in self.payments) - self.price
        with localcontext(prec=_PRECISION):
            given = sum((self.price * part for day, part in self.given if day <= on), Decimal(0))
            paid = sum(amount for day, amount in self.payments if day <= on)
            return round(self.position(on) - given + paid)


def years(since: date, until: date) -> Decimal:
    """The time between two days, in years of twelve months of thirty days (30E/360).

    A month's last day is its thirtieth.
    """

    def day_of(day: date) -> int:
        return 30 if day == month_end(day) else min(day.day, 30)

    days = (until.year - since.year) * 360 + (until.month - since.month) * 30 + day_of(until) - day_of(since)
    return Decimal(days) / 360


def growth(rate: Decimal, compounding: str, since: date, until: date) -> Decimal:
    """What one unit becomes from a day to another, before it or after."""
    with localcontext(prec=_PRECISION):
        time = years(since, until)
        if compounding == "monthly":
            return (1 + rate / 12) ** (12 * time)
        return (1 + rate) ** time


def _given(item: ContractObligation, index: int) -> tuple[tuple[date, Decimal], ...]:
    """When which part of an obligation is given.

    At once, or month by month on each month's last day of it.
    """
    if item.pattern == "point_in_time":
        return ((item.start, Decimal(1)),)
    if item.end is None or item.pattern in ("progress", "usage"):
        raise InvalidDocument(
            f"obligations.{index}.pattern",
            item.pattern,
            "expected one by time, or at a point in time: financing needs its days",
        )
    term = Term(item.pattern, item.start, item.end)
    found = []
    before = Decimal(0)
    with localcontext(prec=_PRECISION):
        for month in months_between(month_start(item.start), month_start(item.end)):
            day = min(month_end(month), item.end)
            passed, whole = parts(term, day)
            reached = Decimal(passed) / Decimal(whole)
            found.append((day, reached - before))
            before = reached
    return tuple(found)


def discounted(doc: Contract, shares: Sequence[int]) -> list[Loan | None]:
    """Each obligation's loan, where the contract has financing.

    Its price is what its payments are worth when it is given. Raises InvalidDocument where the payments agreed are not the contract's
    price.
    """
    if doc.financing is None:
        return [None] * len(shares)
    agreed = doc.financing
    payments = sorted(
        (payment.date, to_minor(payment.amount, doc.currency, f"financing.payments.{index}.amount"))
        for index, payment in enumerate(agreed.payments)
    )
    promised = sum(amount for _, amount in payments)
    if promised != sum(shares):
        raise InvalidDocument(
            "financing.payments", sum(payment.amount for payment in agreed.payments),
            "expected payments that sum to the contract's price",
        )  # fmt: skip
    # each payment over the obligations, so that all of an obligation's sum to its price
    rest = list(shares)
    by_obligation: list[list[tuple[date, int]]] = [[] for _ in shares]
    for day, amount in payments:
        for place, part in enumerate(allocate(amount, rest)):
            if part:
                by_obligation[place].append((day, part))
            rest[place] -= part
    loans: list[Loan | None] = []
    for index, (item, paid) in enumerate(zip(doc.obligations, by_obligation, strict=True)):
        if not paid:
            loans.append(None)
            continue
        given = _given(item, index)
        with localcontext(prec=_PRECISION):
            last = max(given[-1][0], paid[-1][0])
            worth = sum(
                (amount * growth(agreed.rate, agreed.compounding, day, last) for day, amount in paid), Decimal(0)
            )
            unit = sum((part * growth(agreed.rate, agreed.compounding, day, last) for day, part in given), Decimal(0))
            price = round(worth / unit)
        loans.append(Loan(agreed.rate, agreed.compounding, tuple(paid), given, price))
    return loans


def keep(books: Books, source: Source, subject: str, loan: Loan) -> None:
    """Gather an obligation's financing."""
    customer_id = source.customer.customer_id
    books.add_row(
        "financing",
        customer_id=customer_id,
        document_id=source.document_id,
        subject=subject,
        rate=loan.rate,
        compounding=loan.compounding,
        promised_minor=sum(amount for _, amount in loan.payments),
    )
    for position, (day, amount) in enumerate(loan.payments):
        books.add_row(
            "financed_payment",
            customer_id=customer_id,
            subject=subject,
            position=position,
            paid_on=day,
            amount_minor=amount,
        )


_LOANS = """
    select f.*, c.ref as customer, t.ref as contract, t.entity, t.currency, o.product, o.pattern, o.starts_on, o.ends_on,
           o.price_minor,
           (select min(case v.treatment when 'terminated' then v.ends_on + 1 else v.from_day end) from obligation_version v
            where v.customer_id = f.customer_id and v.subject = f.subject
              and v.treatment in ('cancelled', 'terminated')) as ended_on,
           (select array_agg(p.paid_on order by p.position) from financed_payment p
            where p.customer_id = f.customer_id and p.subject = f.subject) as paid_on,
           (select array_agg(p.amount_minor order by p.position) from financed_payment p
            where p.customer_id = f.customer_id and p.subject = f.subject) as paid
    from financing f
    join obligation o on o.customer_id = f.customer_id and 'obligation:' || o.ref = f.subject
    join contract t on t.customer_id = o.customer_id and t.contract_id = o.contract_id
    join customer c on c.customer_id = f.customer_id"""


def _loan(row: Any) -> Loan:
    item = ContractObligation.model_construct(
        id=row.subject, product=row.product, start=row.starts_on, end=row.ends_on, pattern=row.pattern
    )
    return Loan(
        row.rate, row.compounding, tuple(zip(row.paid_on, row.paid, strict=True)), _given(item, 0), row.price_minor
    )


_RULES = {
    "income": ("finance.income", "finance.income_less"),
    "expense": ("finance.expense", "finance.expense_less"),
}


def accrue(books: Books, document_id: int, through: date) -> None:
    """Post the interest that is due by a day and not yet posted, month by month.

    Nothing after what it finances has ended.
    """
    rows = books.connection.execute(
        text(f"{_LOANS} where o.starts_on <= :through or (select min(paid_on) from financed_payment p "
             "where p.customer_id = f.customer_id and p.subject = f.subject) <= :through order by c.ref, f.subject"),
        {"through": through},
    ).all()  # fmt: skip
    if not rows:
        return
    books.parties.learn_customers(row.customer for row in rows)
    posted = _posted(books.connection)
    for row in rows:
        loan = _loan(row)
        source = Source(document_id, books.parties.customer(row.customer), row.entity, row.currency)
        first_open = books.days.first_open_day(row.entity)
        begins = max(month_start(min(loan.given[0][0], loan.payments[0][0])), month_start(first_open))
        if begins > through:
            continue
        known = posted.get((row.customer_id, row.subject), ())
        run = 0
        for month in months_between(begins, month_start(through)):
            last = month_end(month)
            until = last if row.ended_on is None else min(last, row.ended_on)
            step = loan.interest(until) - run - sum(amount for day, amount in known if day <= last)
            run += step
            if step:
                _post(books, source, max(last, first_open), row.subject, step, loan.interest(until))


def _post(books: Books, source: Source, on: date, subject: str, step: int, reached: int) -> None:
    """Post a step of interest: what is taken back is of the kind it was."""
    kind = "income" if reached > 0 or (reached == 0 and step < 0) else "expense"
    forward, back = _RULES[kind]
    rule = forward if (step > 0) == (kind == "income") else back
    books.post(source, on, [Movement(rule, abs(step), subject, subject)])


def _posted(connection: Connection) -> dict[tuple[int, str], list[tuple[date, int]]]:
    """The interest posted, by customer and subject: income above zero."""
    rows = connection.execute(
        text(
            "select a.customer_id, a.subject, p.effective_on,"
            " sum(case when p.credit_account = a.account_id then p.amount else -p.amount end)::bigint as amount "
            "from account a join posting p on p.customer_id = a.customer_id and a.account_id in (p.debit_account, p.credit_account) "
            "where a.role in ('interest_income', 'interest_expense') and a.subject like 'obligation:%' group by 1, 2, 3"
        )
    )
    found: dict[tuple[int, str], list[tuple[date, int]]] = {}
    for row in rows:
        found.setdefault((row.customer_id, row.subject), []).append((row.effective_on, row.amount))
    return found


def financing(connection: Connection, filters: Filters) -> Report:
    """Each financed obligation: what was promised, its price, and the interest.

    Posted so far and to come.
    """
    source, of_sides = sides(replace(filters, product=None), "interest_income", "interest_expense")
    clause, parameters = narrowed(
        filters, as_of="d.dated_on", known_at="d.posted_at", entity="t.entity", customer="c.ref", contract="t.ref",
        currency="t.currency", product="o.product",
    )  # fmt: skip
    rows = connection.execute(
        text(
            f"with posted as (select customer_id, subject, sum(-sign * amount)::bigint as amount from ({source}) x group by 1, 2) "
            "select c.ref as customer, t.ref as contract, substr(f.subject, 12) as obligation, o.product, t.entity, t.currency,"
            " f.rate * 100 as rate, f.compounding, f.promised_minor as promised, o.price_minor as price,"
            " (f.promised_minor - o.price_minor)::bigint as interest, coalesce(x.amount, 0)::bigint as accrued,"
            " (f.promised_minor - o.price_minor - coalesce(x.amount, 0))::bigint as coming "
            "from financing f join obligation o on o.customer_id = f.customer_id and 'obligation:' || o.ref = f.subject "
            "join contract t on t.customer_id = o.customer_id and t.contract_id = o.contract_id "
            "join customer c on c.customer_id = f.customer_id "
            "join document d on d.customer_id = f.customer_id and d.document_id = f.document_id "
            "left join posted x on x.customer_id = f.customer_id and x.subject = f.subject "
            f"where {clause} order by 1, 2, 3"
        ),
        of_sides | parameters,
    )
    columns = (
        Column("customer", "Customer"), Column("contract", "Contract"), Column("obligation", "Obligation"), Column("product", "Product"),
        Column("currency", "Currency"), Column("rate", "Rate, %", "number"), Column("compounding", "Compounding"),
        Column("promised", "Promised", "amount"), Column("price", "Price", "amount"), Column("interest", "Interest", "amount"),
        Column("accrued", "Accrued", "amount"), Column("coming", "To come", "amount"),
    )  # fmt: skip
    found = tuple({**row._mapping, "rate": f"{row.rate.normalize():f}"} for row in rows)
    return Report("financing", "Significant financing components", columns, found)
