"""Reports that the books alone answer: wallets, AR aging.

Every figure is a sum over postings. `Filters.as_of` is what was effective by a day, `known_at` what was posted by a
moment: two questions, and each report answers both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from dateutil.relativedelta import relativedelta
from sqlalchemy import Connection, text

from ledger.accounts.rulebook import RULES
from ledger.amounts.dates import FIRST_DAY, LAST_DAY, month_end
from ledger.amounts.money import to_text
from ledger.errors import Refused
from ledger.proof import seals


def period_of(day: date, period: str) -> str:
    """The period a day is in, as `PERIODS` names it in SQL: 2026-01, 2026-Q1, 2026."""
    return {"month": f"{day:%Y-%m}", "quarter": f"{day:%Y}-Q{(day.month + 2) // 3}", "year": f"{day:%Y}"}[period]


def period_start(period: str) -> date:
    """The first day of a period: of 2026-01, 2026-Q1 or 2026."""
    year, _, part = period.partition("-")
    return date(int(year), 3 * int(part[1]) - 2 if part.startswith("Q") else int(part or 1), 1)


def period_end(period: str) -> date:
    """The last day of a period: of 2026-01, 2026-Q1 or 2026."""
    first = period_start(period)
    months = 12 if "-" not in period else 3 if "Q" in period else 1
    return month_end(first + relativedelta(months=months - 1))


@dataclass(frozen=True, slots=True)
class Filters:
    """What a report is narrowed to. `since` and `as_of` are days, both counted; `known_at` a moment."""

    since: date | None = None
    as_of: date | None = None
    known_at: datetime | None = None
    entity: str | None = None
    customer: str | None = None
    product: str | None = None
    currency: str | None = None
    memorandum: bool = False
    # for the disclosures: what is added up, over which stretches of time, in which currency
    contract: str | None = None
    group: tuple[str, ...] = ()
    period: str = "month"
    transaction: bool | None = (
        None  # in the currency of transactions, or the entity's; None as the report does by itself
    )

    def __post_init__(self) -> None:
        """Raises Refused for days that no books reach."""
        for name, day in (("from", self.since), ("as_of", self.as_of)):
            if day is not None and not FIRST_DAY <= day <= LAST_DAY:
                raise Refused(name, str(day), f"expected a day from {FIRST_DAY} to {LAST_DAY}")


GROUPS = ("entity", "customer", "contract", "product")
PERIODS = {"month": "YYYY-MM", "quarter": 'YYYY"-Q"Q', "year": "YYYY"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a report: its key in JSON, its heading, and whether it holds amounts or text."""

    key: str
    title: str
    kind: str = "text"  # text, amount, date, number


@dataclass(frozen=True, slots=True)
class Report:
    """A report as rows of plain values: amounts are integers in minor units of the row's `currency`."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[dict[str, Any], ...]
    totals: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    empty: str = "Nothing to show: no postings match."  # what is said where there are no rows
    sums: bool = True  # totals are the sums of the rows; not where rows hold subtotals or balances

    def json_rows(self) -> list[dict[str, Any]]:
        """Rows as JSON gives them: amounts as decimal strings, dates ISO."""
        return [self.json_row(row) for row in self.rows]

    def json_row(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row as JSON gives it."""
        plain: dict[str, Any] = {}
        for column in self.columns:
            value = row.get(column.key)
            if column.kind == "amount" and value is not None:
                value = to_text(value, row["currency"])
            elif isinstance(value, date):
                value = value.isoformat()
            plain[column.key] = value
        return plain


# Each posting once, as two signed sides, narrowed by the filters. `net` is debit less credit in functional currency.
_SIDES = """
    select a.customer_id, a.account_id, a.entity, a.role, a.currency, a.subject, a.product, s.effective_on, s.entry_id,
           s.amount, s.functional_amount, s.sign, s.rule, s.other_account
    from (
        select p.customer_id, p.debit_account as account_id, p.effective_on, p.amount, p.functional_amount, 1 as sign,
               p.entry_id, p.rule, p.credit_account as other_account
        from posting p
        union all
        select p.customer_id, p.credit_account, p.effective_on, p.amount, p.functional_amount, -1, p.entry_id,
               p.rule, p.debit_account
        from posting p
    ) s
    join account a on a.customer_id = s.customer_id and a.account_id = s.account_id
"""


def sides(
    filters: Filters, *roles: str, after: int | None = None, through: int | None = None
) -> tuple[str, dict[str, object]]:
    """SQL for the filtered sides of postings (see `_SIDES`) on the given roles, or all, with its parameters.

    `after` leaves out entries up to that number, `through` those beyond.
    """
    clauses = []
    parameters: dict[str, object] = {}
    for clause, name, value in (
        ("s.effective_on >= :since", "since", filters.since),
        ("s.effective_on <= :as_of", "as_of", filters.as_of),
        (
            "(select e.posted_at from entry e where e.entry_id = s.entry_id and e.customer_id = s.customer_id) <= :known_at",
            "known_at",
            filters.known_at,
        ),
        ("a.entity = :entity", "entity", filters.entity),
        ("a.currency = :currency", "currency", filters.currency),
        ("a.product = :product", "product", filters.product),
        ("a.customer_id = (select customer_id from customer where ref = :customer)", "customer", filters.customer),
        ("a.role = any(:roles)", "roles", list(roles) or None),
        ("s.entry_id > :after", "after", after),
        ("s.entry_id <= :through", "through", through),
    ):
        if value is not None:
            clauses.append(clause)
            parameters[name] = value
    where = f" where {' and '.join(clauses)}" if clauses else ""
    return _SIDES + where, parameters


_COMPARED = {"since": ">=", "as_of": "<=", "known_at": "<="}


def narrowed(filters: Filters, **columns: str) -> tuple[str, dict[str, object]]:
    """SQL for the filters that are given, each on the column named for it, with its parameters; `true` where none is."""
    given = {name: getattr(filters, name) for name in columns if getattr(filters, name) is not None}
    clauses = [f"{columns[name]} {_COMPARED.get(name, '=')} :{name}" for name in given]
    return " and ".join(clauses) or "true", given


def check_filters(connection: Connection, filters: Filters) -> None:
    """Raise Refused for a filter that names nothing in the books, of the entity where one is asked for, rather than show an empty report."""
    for name, value, query in (
        ("entity", filters.entity, "select count(*) from entity where entity = :value"),
        ("customer", filters.customer, "select count(*) from customer where ref = :value"),
        ("product", filters.product, "select count(*) from product where product = :value"),
        (
            "contract",
            filters.contract,
            "select count(*) from contract where ref = :value and entity = coalesce(cast(:entity as text), entity)",
        ),
    ):
        if value is not None and not connection.scalar(text(query), {"value": value, "entity": filters.entity}):
            raise Refused(name, value, f"expected the id of {'an' if name == 'entity' else 'a'} {name} in the books")
    if filters.since and filters.as_of and filters.since > filters.as_of:
        raise Refused("from", filters.since, f"expected {filters.as_of} or earlier")


# By these rules credits leave their memorandum accounts unused; the credits a commitment's shortfall billed, too.
_CREDITS_EXPIRE = (
    "expire.credits", "expire.credits_corrected", "expire.shortfall", "expire.shortfall_corrected", "expire.shortfall_used",
    "expire.shortfall_raised",
)  # fmt: skip
# By these a lower price of credits that were used, or expired, takes back what they had earned, and gives it again.
_PRICE_FALLS = (
    "credit.used", "credit.used_to_balance", "credit.used_after_all", "break.returned", "credit_void.used", "break.again",
)  # fmt: skip


def wallet(connection: Connection, filters: Filters) -> Report:
    """Each grant: its credits, what of them was drawn, expired and is left, and the money behind it."""
    source, parameters = sides(filters)
    rows = connection.execute(
        text(
            f"""
            with moved as (
                select customer_id, subject,
                       sum(-sign * amount) filter (where role = 'customer_credits') as credits,
                       sum(sign * amount) filter (where role = 'unbilled_receivable') as unbilled,
                       sum(-sign * amount) filter (where role = 'revenue') as revenue,
                       sum(-sign * amount) filter (where role = 'breakage_revenue') as breakage,
                       sum(sign * amount) filter (where role = 'revenue' and rule = any(:lowering_rules)) as lowered,
                       sum(sign * amount) filter (where role = 'breakage_revenue' and rule = any(:lowering_rules)) as unbroken,
                       sum(-sign * amount) filter (where role in ('memo_credits_outstanding', 'memo_commitments_outstanding')) as outstanding,
                       sum(sign * amount) filter (
                           where role in ('memo_credits_outstanding', 'memo_commitments_outstanding') and rule = any(:expiry_rules)) as memo_expired
                from ({source}) x where subject like 'grant:%' group by 1, 2
            )
            select c.ref as customer, g.ref as grant_ref, g.entity, g.kind, g.currency, g.effective_on, g.expires_on,
                   g.face_minor, g.in_memorandum, coalesce(m.revenue, 0)::bigint as revenue,
                   coalesce(m.breakage, 0)::bigint as breakage, coalesce(m.credits, 0)::bigint as credits,
                   coalesce(m.unbilled, 0)::bigint as unbilled, coalesce(m.lowered, 0)::bigint as lowered,
                   coalesce(m.unbroken, 0)::bigint as unbroken,
                   coalesce(m.outstanding, 0)::bigint as outstanding,
                   coalesce(m.memo_expired, 0)::bigint as memo_expired,
                   (select coalesce(sum(v.face_minor), 0) from grant_move v
                    join document vd on vd.customer_id = v.customer_id and vd.document_id = v.document_id
                    where v.customer_id = g.customer_id and v.grant_id = g.grant_id
                      and (cast(:as_of_ as date) is null or v.effective_on <= :as_of_)
                      and (cast(:known_ as timestamptz) is null or vd.posted_at <= :known_))::bigint as moved
            from credit_grant g join customer c using (customer_id)
            left join moved m on m.customer_id = g.customer_id and m.subject = 'grant:' || g.ref
            join document d on d.customer_id = g.customer_id and d.document_id = g.grant_id
            where (cast(:as_of_ as date) is null or g.effective_on <= :as_of_)
              and (cast(:known_ as timestamptz) is null or d.posted_at <= :known_)
              and (cast(:entity_ as text) is null or g.entity = :entity_)
              and (cast(:customer_ as text) is null or c.ref = :customer_)
              and (cast(:currency_ as text) is null or g.currency = :currency_)
            order by c.ref, g.effective_on, g.ref
            """
        ),
        parameters
        | {
            "as_of_": filters.as_of, "known_": filters.known_at, "entity_": filters.entity,
            "customer_": filters.customer, "currency_": filters.currency,
            "expiry_rules": [rule.number for rule in RULES.values() if rule.code in _CREDITS_EXPIRE],
            "lowering_rules": [RULES[code].number for code in _PRICE_FALLS],
        },
    )  # fmt: skip
    found = []
    for row in rows:
        left, expired = _credits_left(row)
        found.append(
            {
                "customer": row.customer, "grant": row.grant_ref, "kind": row.kind, "currency": row.currency,
                "effective_on": row.effective_on, "expires_on": row.expires_on, "granted": row.face_minor,
                "drawn": row.face_minor - left - expired - row.moved, "expired": expired, "moved": row.moved,
                "left": left,
                "revenue": row.revenue, "breakage": row.breakage, "liability": row.credits, "unbilled": row.unbilled,
            }
        )  # fmt: skip
    columns = (
        Column("customer", "Customer"),
        Column("grant", "Grant"),
        Column("kind", "Kind"),
        Column("currency", "Currency"),
        Column("effective_on", "From", "date"),
        Column("expires_on", "To", "date"),
        Column("granted", "Granted", "amount"),
        Column("drawn", "Drawn", "amount"),
        Column("expired", "Expired", "amount"),
        Column("moved", "Moved", "amount"),
        Column("left", "Left", "amount"),
        Column("revenue", "Revenue", "amount"),
        Column("breakage", "Breakage", "amount"),
        Column("liability", "Liability", "amount"),
        Column("unbilled", "Unbilled", "amount"),
    )
    return Report("wallet", "Wallets", columns, tuple(found))


def _credits_left(row: Any) -> tuple[int, int]:
    """(left, expired) credits of a grant: by its memorandum account where it has one, else by money at face value."""
    if row.in_memorandum or row.kind == "commitment":
        return row.outstanding, row.memo_expired
    expired = row.breakage + row.unbroken
    return row.face_minor - row.revenue - row.lowered - expired - row.moved, expired


def tax(connection: Connection, filters: Filters) -> Report:
    """Tax and the base it applied to, by month, code and treatment; ties to tax payable.

    Bases of exempt and reverse-charge lines show with a tax of 0.
    """
    clause, parameters = narrowed(
        filters, since="e.effective_on", as_of="e.effective_on", known_at="e.posted_at", entity="w.entity", customer="c.ref",
        currency="w.currency",
    )  # fmt: skip
    rows = connection.execute(
        text(
            "select to_char(e.effective_on, 'YYYY-MM') as month, w.entity, t.tax_code, t.treatment, w.currency,"
            " sum(t.base_minor)::bigint as base, sum(t.tax_minor)::bigint as tax "
            "from line_tax t join (select customer_id, invoice_id, entity, currency from invoice"
            # a credit of no line is of its note
            " union select customer_id, document_id, entity, currency from credit_line) w using (customer_id, invoice_id) "
            "join customer c using (customer_id) "
            "join lateral (select min(effective_on) as effective_on, min(posted_at) as posted_at from entry"
            "  where entry.customer_id = t.customer_id and entry.document_id = t.document_id) e on true "
            f"where {clause} group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5"
        ),
        parameters,
    )
    found = tuple(
        {
            "month": row.month,
            "entity": row.entity,
            "code": row.tax_code,
            "treatment": row.treatment,
            "currency": row.currency,
            "base": row.base,
            "tax": row.tax,
        }
        for row in rows
    )
    columns = (
        Column("month", "Month"),
        Column("entity", "Entity"),
        Column("code", "Tax code"),
        Column("treatment", "Treatment"),
        Column("currency", "Currency"),
        Column("base", "Base", "amount"),
        Column("tax", "Tax", "amount"),
    )
    return Report("tax", "Taxes", columns, found)


AGING_BUCKETS = (
    ("current", "Current", None, 0),
    ("days_1_30", "1\N{EN DASH}30", 1, 30),
    ("days_31_60", "31\N{EN DASH}60", 31, 60),
    ("days_61_90", "61\N{EN DASH}90", 61, 90),
    ("over_90", "Over 90", 91, None),
)


def bucket(days_overdue: int) -> str:
    """The aging bucket of an invoice so many days past its due date (0 or less: current)."""
    for key, _, _, most in AGING_BUCKETS:
        if most is None or days_overdue <= most:
            return key
    raise AssertionError("the last bucket has no end")


_DUE = """
    select c.ref as customer, coalesce(i.ref, a.subject) as invoice, a.entity, a.currency,
           coalesce(i.issued_on, manual.first_on) as issued_on, coalesce(i.due_on, manual.first_on) as due_on, due.due
    from ({due}) due
    join account a using (customer_id, account_id)
    join customer c using (customer_id)
    left join invoice i on i.customer_id = due.customer_id and i.receivable_account = due.account_id
    -- what manual entries post to receivables without an invoice is due on their day
    left join lateral (
        select min(p.effective_on) as first_on from posting p
        where i.ref is null and p.customer_id = due.customer_id
          and (p.debit_account = due.account_id or p.credit_account = due.account_id)
    ) manual on true
    where {where}
    order by 1, 6, 2
"""


def _due(connection: Connection, filters: Filters) -> Sequence[Any]:
    """What is due of each receivable that is not settled.

    Sealed receivables are kept (ledger/proof/seals.py); a moment, a customer and a day before the last are asked of the postings.
    """
    summed = "select customer_id, account_id, sum(net)::bigint as due from ({}) x group by 1, 2 having sum(net) <> 0"

    def of_postings() -> Sequence[Any]:
        source, parameters = sides(filters, "accounts_receivable")
        due = summed.format(f"select customer_id, account_id, sign * amount as net from ({source}) y")
        return connection.execute(text(_DUE.format(due=due, where="true")), parameters).all()

    def of_sealed(sealed: int) -> Sequence[Any]:
        latest = connection.scalar(text("select max(effective_on) from daily_total where role = 'accounts_receivable'"))
        if filters.as_of is not None and latest is not None and filters.as_of < latest:
            return of_postings()
        where, narrow = narrowed(
            replace(filters, as_of=None), entity="a.entity", product="a.product", currency="a.currency"
        )
        source, parameters = sides(filters, "accounts_receivable", after=sealed)
        due = summed.format(
            "select customer_id, account_id, amount as net from open_receivable"
            f" union all select customer_id, account_id, sign * amount from ({source}) y"
        )
        return connection.execute(text(_DUE.format(due=due, where=where)), parameters | narrow).all()

    if filters.since is not None or filters.known_at is not None or filters.customer is not None:
        return of_postings()
    return seals.consistently(connection, of_sealed)


def ar_aging(connection: Connection, filters: Filters) -> Report:
    """What is due of each invoice on a day (`as_of`, else the latest day in the books), by days past its due date."""
    as_of = filters.as_of or last_day(connection, filters)
    rows = _due(connection, filters)
    found = []
    totals: dict[str, dict[str, Any]] = {}
    for row in rows:
        days = (as_of - row.due_on).days
        line: dict[str, Any] = {
            "customer": row.customer, "invoice": row.invoice, "currency": row.currency, "issued_on": row.issued_on,
            "due_on": row.due_on, "days_overdue": max(days, 0), "due": row.due,
        }  # fmt: skip
        line |= {key: row.due if key == bucket(days) else 0 for key, *_ in AGING_BUCKETS}
        found.append(line)
        total = totals.setdefault(row.currency, {"customer": "Total", "currency": row.currency})
        for key in ("due", *(key for key, *_ in AGING_BUCKETS)):
            total[key] = total.get(key, 0) + line[key]
    columns = (
        Column("customer", "Customer"),
        Column("invoice", "Invoice"),
        Column("currency", "Currency"),
        Column("issued_on", "Issued", "date"),
        Column("due_on", "Due on", "date"),
        Column("days_overdue", "Days overdue", "number"),
        *(Column(key, title, "amount") for key, title, *_ in AGING_BUCKETS),
        Column("due", "Due", "amount"),
    )
    notes = (f"as of {as_of}",)
    return Report("ar-aging", "Receivables by age", columns, tuple(found), tuple(totals.values()), notes)


def last_day(connection: Connection, filters: Filters) -> date:
    """The latest day any posting counts for, of an entity where one is asked for, as known at a moment; today where there is none."""
    query = "select max(e.effective_on) from entry e where cast(:known_at as timestamptz) is null or e.posted_at <= :known_at"
    if filters.entity is not None:
        query = _LAST_OF_ENTITY if filters.known_at is None else _LAST_OF_ENTITY_KNOWN
    found: date | None = connection.scalar(text(query), {"known_at": filters.known_at, "entity": filters.entity})
    return found or datetime.now(UTC).date()


# Of an entity's postings: what is sealed by the totals that are kept of it, so that only the rest is read.
_LAST_OF_ENTITY = """
    select max(day) from (
        select max(effective_on) as day from daily_total where entity = :entity
        union all
        select max(p.effective_on) from posting p join account a on a.customer_id = p.customer_id and a.account_id = p.debit_account
        where p.entry_id > (select coalesce(max(last_entry), 0) from seal) and a.entity = :entity
    ) of_both
"""
_LAST_OF_ENTITY_KNOWN = """
    select max(e.effective_on) from entry e where e.posted_at <= :known_at and exists (
        select from posting p join account a on a.customer_id = p.customer_id and a.account_id = p.debit_account
        where p.customer_id = e.customer_id and p.entry_id = e.entry_id and a.entity = :entity
    )
"""
