"""What is exported: journal entries as other systems take them, by entry, by document, or summed up by day or month.

Amounts come from the postings and are never worked out again. An entry goes out in the currency of what happened only where one
exchange rate, as another system would apply it line by line, gives exactly what was posted of every line; otherwise in the
entity's currency. Rows are read in the order of their entries, any number of them in bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, text

from adapters.selected.entry import NUMBER_LENGTH_MAX, Entry, EntryLine, entry_number, memo_of, one_rate, split
from adapters.selected.mapping import Kind, Mapping, Place
from ledger.accounts.chart import ROLES
from ledger.accounts.rulebook import RULES
from ledger.errors import Problem, Unbalanced
from ledger.journal.movements import MONEY_ACCOUNT
from ledger.journal.references import CALLED, Called
from ledger.reports.report import Filters, sides

# The roles whose lines accounting systems want a customer on.
CUSTOMER_ROLES = ("accounts_receivable",)
# Where invoices, credit notes and payments go out as what they are, the movements of receivables that these rules made go with them.
BILL_RULES = [
    rule.number
    for rule in RULES.values()
    if rule.code.split(".")[0] in ("invoice", "credit") and "accounts_receivable" in (rule.debit, rule.credit)
]
PAID_RULES = [
    RULES[code].number
    for code in ("payment.applied", "exchange.gain.accounts_receivable", "exchange.loss.accounts_receivable")
]
# Money received counts where it is in the invoice's currency: `d` is the document, `x` a side of its postings.
IS_PAID = "(x.rule = any(:paid_rules) and d.type = 'payment' and x.currency = d.body::jsonb ->> 'currency')"
# What leaves the books: memorandum accounts never do.
KEPT_ROLES = [role.name for role in ROLES.values() if not role.memorandum]


@dataclass(frozen=True, slots=True)
class Part:
    """Which postings are exported: `through` and `after` are entries' numbers, where not all are.

    `generation` counts the exports of the same month: beyond the first, what came late has numbers of its own. Customers are named
    as on the day the export is made, `named_on`, for one that was made before by the documents there were `named_before`.
    """

    filters: Filters
    after: int | None = None
    through: int | None = None
    generation: int = 1
    named_on: date = field(default_factory=lambda: datetime.now(UTC).date())
    named_before: int | None = None

    @property
    def naming(self) -> dict[str, object]:
        """What CUSTOMERS takes."""
        return {"named_on": self.named_on, "named_before": self.named_before}


# The customers as an export names them.
CUSTOMERS = "customers_on(:named_on, :named_before)"


@dataclass(frozen=True, slots=True)
class _Detail:
    """SQL for what becomes one entry there: what it is made of, its day, its number, and what else keeps it apart."""

    source: str
    day: str
    number: str
    apart: str = ""
    join: str = ""
    called: str = "cast(null as jsonb)"


DOCUMENT_JOIN = (
    " join entry n on n.customer_id = x.customer_id and n.entry_id = x.entry_id"
    " join document d on d.document_id = n.document_id and d.customer_id in (n.customer_id, 0)"
)
_DETAILS = {
    "entry": _Detail(
        "d.type || ' ' || d.ref || ', entry ' || x.entry_id", "x.effective_on", "'e' || x.entry_id", ", x.entry_id", DOCUMENT_JOIN,
        CALLED,
    ),
    "document": _Detail(
        "d.type || ' ' || d.ref", "x.effective_on", "'d' || d.document_id || '-' || to_char(x.effective_on, 'YYMMDD')",
        ", d.document_id", DOCUMENT_JOIN, CALLED,
    ),
    "day": _Detail(
        "to_char(x.effective_on, 'YYYY-MM-DD')", "x.effective_on", "x.entity || '-' || to_char(x.effective_on, 'YYYYMMDD')"
    ),
    "month": _Detail(
        "to_char(x.effective_on, 'YYYY-MM')", "(date_trunc('month', x.effective_on) + interval '1 month - 1 day')::date",
        "x.entity || '-' || to_char(x.effective_on, 'YYYY-MM')",
    ),
}  # fmt: skip


def sides_of(part: Part, *roles: str) -> tuple[str, dict[str, object]]:
    """SQL for the sides of what is exported, on the given roles or on all that leave the books, with its parameters."""
    return sides(part.filters, *(roles or KEPT_ROLES), after=part.after, through=part.through)


def _remaining(part: Part, mapping: Mapping, journal_only: Sequence[int]) -> tuple[str, dict[str, object]]:
    """What journal entries carry: everything, or what invoices, credit notes and payments of their own do not.

    A payment there debits cash and credits the receivable, so that what is left of ours credits cash where it credited the
    receivable. Documents that go out as journal entries only are named by their numbers.
    """
    source, parameters = sides_of(part)
    if not mapping.makes_documents:
        return source, parameters
    query = (
        "select x.customer_id, x.entity, x.currency, x.effective_on, x.entry_id, x.sign, x.amount, x.functional_amount,"
        f" case when paid.there then 'cash' else x.role end as role,"
        f" case when paid.there then coalesce('{MONEY_ACCOUNT}' || (d.body::jsonb ->> 'account'), '') else x.product end as product "
        f"from ({source}) x{DOCUMENT_JOIN} cross join lateral ("
        f"  select {IS_PAID} and x.role = 'accounts_receivable' and d.document_id <> all(:journal_only) as there) paid"
        " where not (x.rule = any(:bill_rules) and d.document_id <> all(:journal_only))"
    )
    chosen = {"bill_rules": BILL_RULES, "paid_rules": PAID_RULES, "journal_only": list(journal_only)}
    return query, parameters | chosen


def _rows(connection: Connection, part: Part, mapping: Mapping, journal_only: Sequence[int]) -> Iterator[Any]:
    """Movements by what becomes an entry there, and by what of ours is mapped; memorandum accounts are left out."""
    source, parameters = _remaining(part, mapping, journal_only)
    detail = _DETAILS[mapping.detail]
    with_customer = "true" if detail.apart or mapping.by_customer else "x.role = any(:customer_roles)"
    rows = connection.execute(
        text(
            f"select {detail.source} as source, {detail.day} as dated_on, {detail.number} as number,"
            f" x.currency, e.currency as functional_currency, x.role, x.product,"
            f" case when {with_customer} then c.ref else '' end as customer,"
            f" case when {with_customer} then c.name else '' end as customer_name, x.amount <> 0 as moves,"
            f" {detail.called} as called, sum(x.sign * x.amount)::bigint as net, sum(x.sign * x.functional_amount)::bigint as functional "
            f"from ({source}) x join entity e on e.entity = x.entity"
            f" join {CUSTOMERS} c on c.customer_id = x.customer_id{detail.join} "
            f"group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11{detail.apart} "
            f"order by 2{detail.apart}, 3, 4, 6, 7, 8, 10"
        ),
        parameters | part.naming | {"customer_roles": list(CUSTOMER_ROLES)},
        execution_options={"stream_results": True, "max_row_buffer": 5_000},
    )
    yield from rows


def entries(
    connection: Connection,
    parts: Sequence[Part],
    mapping: Mapping,
    lines_max: int | None = None,
    number_max: int = NUMBER_LENGTH_MAX,
    journal_only: Sequence[int] = (),
) -> Iterator[Entry]:
    """What is exported, entry by entry, each balanced. All that is used is mapped: `check` says whether it is.

    Entries have so many lines at most, and numbers so many characters. Where documents go out as what they are, those of
    the numbers `journal_only` do not.

    Raises Unbalanced where an entry's movements do not sum to zero, which no set of postings can do.
    """
    for part in parts:
        suffix = "" if part.generation == 1 or _DETAILS[mapping.detail].apart else f".{part.generation}"
        for (source, number, dated_on), rows in groupby(
            _rows(connection, part, mapping, journal_only), lambda row: (row.source, row.number, row.dated_on)
        ):
            said = f"{source}, what came late ({part.generation})" if suffix else source
            for whole in _made(number + suffix, mapping, said, dated_on, list(rows)):
                if sum(line.net for line in whole.lines) or sum(line.functional for line in whole.lines):
                    raise Unbalanced("entry", whole.number, "expected debits to equal credits")
                pieces = split(whole, mapping.lines_max(lines_max))
                for place, piece in enumerate(pieces, 1):
                    key = whole.number if len(pieces) == 1 else f"{whole.number}-{place}"
                    yield replace(piece, number=entry_number(key, number_max))


def _made(number: str, mapping: Mapping, source: str, dated_on: date, rows: Sequence[Any]) -> Iterator[Entry]:
    home = rows[0].functional_currency
    kept: list[Any] = []
    foreign: list[Entry] = []
    called: Called = rows[0].called or {}
    memo = memo_of(source, called, mapping.entity)
    if mapping.in_transaction_currency:
        for (currency, moves), of_currency in groupby(
            sorted(rows, key=lambda row: (row.currency, row.moves)), lambda row: (row.currency, row.moves)
        ):
            these = list(of_currency)
            if currency != home and moves:
                lines = _lines(mapping, these, functional=False)
                rate = one_rate([(line.net, line.functional) for line in lines], currency, home)
                if rate is not None:
                    foreign.append(
                        Entry(
                            f"{number}-{currency}",
                            mapping.entity,
                            dated_on,
                            currency,
                            home,
                            memo,
                            source,
                            lines,
                            rate,
                            called,
                        )
                    )
                    continue
            kept += these
    else:
        kept = list(rows)
    lines = _lines(mapping, kept, functional=True)
    if lines:
        yield Entry(number, mapping.entity, dated_on, home, home, memo, source, lines, called=called)
    yield from foreign


def _lines(mapping: Mapping, rows: Iterable[Any], *, functional: bool) -> tuple[EntryLine, ...]:
    """Rows as lines of the target's accounts, those of one account added up; in functional currency or their own."""
    sums: dict[tuple[Place, str, str, str], list[int]] = {}
    for row in rows:
        place = mapping.place(Kind(row.role, row.product, row.customer, row.currency))
        assert place is not None, "checked before anything is written"
        currency = "" if functional or row.currency == row.functional_currency else row.currency
        customer, name = mapping.customer(row.customer, row.customer_name, currency) if row.customer else ("", "")
        total = sums.setdefault((place, row.role, customer, name), [0, 0])
        total[0] += row.functional if functional else row.net
        total[1] += row.functional
    return tuple(
        EntryLine(*key, net, counted)
        for key, (net, counted) in sorted(sums.items(), key=lambda item: (item[0][0].account, *item[0][1:]))
        if net or counted
    )


def unmapped(connection: Connection, parts: Sequence[Part], mapping: Mapping) -> list[Problem]:
    """Everything that is used and the mapping has no account for."""
    missing: dict[tuple[str, str, str], tuple[int, list[str]]] = {}
    for kind, count, _ in used(connection, parts, mapping):
        if mapping.place(kind) is None:
            before, currencies = missing.get(kind[:3], (0, []))
            missing[kind[:3]] = before + count, [*currencies, kind.currency]
    return [
        Problem(
            "account", role,
            "expected an [[account]] of the mapping for it"
            + (f" (product {product})" if product else "")
            + (f" (customer {customer})" if customer else "")
            + f": used in {count:,} postings, in {', '.join(currencies)}",
        )
        for (role, product, customer), (count, currencies) in missing.items()
    ]  # fmt: skip


def months(connection: Connection, parts: Sequence[Part]) -> list[date]:
    """The months that have postings which are exported, by their first days."""
    found: set[date] = set()
    for part in parts:
        source, parameters = sides_of(part)
        found.update(
            connection.scalars(
                text(f"select distinct date_trunc('month', effective_on)::date from ({source}) x"), parameters
            )
        )
    return sorted(found)


def used(connection: Connection, parts: Sequence[Part], mapping: Mapping) -> list[tuple[Kind, int, int]]:
    """What of ours is exported: each kind with how many postings, and what it comes to in functional currency."""
    found: dict[Kind, tuple[int, int]] = {}
    for part in parts:
        source, parameters = sides_of(part)
        rows = connection.execute(
            text(
                "select x.role, x.product, case when :by_customer then c.ref else '' end as customer, x.currency, count(*) as postings,"
                f" sum(x.sign * x.functional_amount)::bigint as net from ({source}) x join customer c on c.customer_id = x.customer_id "
                "group by 1, 2, 3, 4"
            ),
            parameters | {"by_customer": mapping.by_customer},
        )
        for row in rows:
            count, net = found.get(Kind(*row[:4]), (0, 0))
            found[Kind(*row[:4])] = count + row.postings, net + row.net
    return [(kind, *found[kind]) for kind in sorted(found)]
