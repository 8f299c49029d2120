"""The disclosures of ASC 606-10-50 and IFRS 15.110-129, each a sum over postings or over what is still scheduled.

They can be grouped by entity, customer, contract and product, and add up by month, quarter or year; amounts are in the
entity's currency, or in the transaction's where asked. Each ties to the general ledger: its notes and tests say to what.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.chart import CONTRACT_LIABILITIES
from ledger.accounts.rulebook import BY_NUMBER
from ledger.reports.report import PERIODS, Column, Filters, Report, last_day, period_of
from revrec.reports.promised import SHORT_GRANTS, promised
from revrec.reports.rows import TITLES, columns_of, facts_of, grouped, key_of, period_sql, totals_of
from revrec.reports.waterfall import REVENUE_ROLES, left_by_progress, scheduled
from revrec.terms.versions import versions_known

# What moves a contract liability or asset, by the family of the rule: what is in none is `other` (the two settling each
# other, exchange differences, manual entries).
_LIABILITY_FLOWS = {
    "billed": ("invoice.",),
    "recognised": (
        "recognise.deferred",
        "recognise.less_deferred",
        "position.earned",
        "position.less_earned",
        "draw.",
        "expire.",
        "break.",
        "usage.billed_ahead",
        "usage.ahead_returned",
        "shortfall.",
        "order.",
    ),
    "credited": (
        "credit.",
        "refund.",
        "dispute.",
        "write_off.",
        "recovery.",
        "refund_reversal.",
        "reinstated.",
        "credit_void.",
    ),
}
_ASSET_FLOWS = {
    "earned": (
        "recognise.unbilled",
        "recognise.less_unbilled",
        "draw.",
        "usage.overage",
        "break.",
        "shortfall.",
        "order.",
    ),
    "billed": ("invoice.",),
    "credited": (
        "credit.",
        "refund.",
        "dispute.",
        "write_off.",
        "refund_reversal.",
        "reinstated.",
        "credit_void.",
        "usage.discount",
        "usage.credit",
        "usage.refund",
        "usage.dispute",
        "usage.bad_debt",
    ),
}
_SETTLING = ("invoice.settled", "invoice.unsettled")


def _flow(rule: int, flows: Mapping[str, tuple[str, ...]]) -> str:
    code = BY_NUMBER[rule].code
    if code in _SETTLING:
        return "other"
    return next((name for name, families in flows.items() if code.startswith(families)), "other")


# What was charged of a tax is all but these.
_TAX_FLOWS = {"remitted": ("tax.",), "manual": ("manual",)}
FLOWS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "liability": _LIABILITY_FLOWS,
    "asset": _ASSET_FLOWS,
    "tax": _TAX_FLOWS,
}


def rules_of(kind: str, flow: str) -> list[int]:
    """The rules whose postings a column of a roll-forward adds up: of a `liability`, an `asset` or a `tax`."""
    return [number for number in BY_NUMBER if _flow(number, FLOWS[kind]) == flow]


def _roll_forward(
    connection: Connection, filters: Filters, roles: Sequence[str], flows: Mapping[str, tuple[str, ...]], sign: int
) -> list[dict[str, Any]]:
    """Opening balance, each flow, closing balance; by period and group."""
    group = grouped(filters)
    facts, parameters = facts_of(replace(filters, since=None), *roles)
    rows = connection.execute(
        text(
            f"select {period_sql(filters)} as period, {', '.join(group)}, currency, rule, sum(net)::bigint as net,"
            f" bool_or(cast(:since_ as date) is not null and effective_on < :since_) as before"
            f" from ({facts}) f group by {', '.join(group)}, currency, rule, period,"
            f" (cast(:since_ as date) is not null and effective_on < :since_)"
        ),
        parameters | {"since_": filters.since},
    ).all()
    opening: Counter[tuple[str, ...]] = Counter()
    moved: dict[tuple[str, ...], dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for row in rows:
        key = key_of(row, group)
        if row.before:
            opening[key] += sign * row.net
        else:
            moved[key][row.period][_flow(row.rule, flows)] += sign * row.net
    periods = sorted({period for by_period in moved.values() for period in by_period})
    found = []
    for key in sorted({*moved, *opening}):
        balance = opening[key]
        for period in periods:
            flow = moved[key].get(period, Counter())
            closing = balance + sum(flow.values())
            if balance or flow:
                place = dict(zip((*group, "currency"), key, strict=True))
                found.append(
                    {"period": period, **place, "opening": balance, **{name: flow[name] for name in (*flows, "other")},
                     "closing": closing}
                )  # fmt: skip
            balance = closing
    return sorted(found, key=lambda line: (line["period"], *(line[name] for name in group), line["currency"]))


def deferred_roll_forward(connection: Connection, filters: Filters) -> Report:
    """Contract liabilities (deferred revenue and prepaid credits): opening, billed, recognised, credited, other, closing.

    The closing balance is that of the two accounts in the trial balance.
    """
    rows = _roll_forward(connection, filters, CONTRACT_LIABILITIES, _LIABILITY_FLOWS, -1)
    columns = columns_of(
        filters, *(Column(name, name.capitalize(), "amount") for name in ("opening", "billed", "recognised", "credited", "other", "closing"))
    )  # fmt: skip
    return Report("deferred-rollforward", "Deferred revenue roll-forward", columns, tuple(rows))


def asset_roll_forward(connection: Connection, filters: Filters) -> Report:
    """Contract assets (earned, not billed): opening, earned, billed, credited, other, closing."""
    rows = _roll_forward(connection, filters, ("unbilled_receivable",), _ASSET_FLOWS, 1)
    columns = columns_of(
        filters, *(Column(name, name.capitalize(), "amount") for name in ("opening", "earned", "billed", "credited", "other", "closing"))
    )  # fmt: skip
    return Report("asset-rollforward", "Contract asset roll-forward", columns, tuple(rows))


def unbilled(connection: Connection, filters: Filters) -> Report:
    """What is earned and not billed, thing by thing, or by what is to be kept apart; since when."""
    facts, parameters = facts_of(replace(filters, since=None), "unbilled_receivable")
    titles = TITLES | {"subject": "For"}
    names = grouped(filters) if filters.group else tuple(titles)
    places = ", ".join(str(number) for number in range(1, len(names) + 2))
    rows = connection.execute(
        text(
            f"select {', '.join(names)}, currency, sum(net)::bigint as amount,"
            f" max(effective_on) filter (where net > 0) as earned_on from ({facts}) f "
            f"group by {places} having sum(net) <> 0 order by {places}"
        ),
        parameters,
    )
    found = tuple(dict(row._mapping) for row in rows)
    columns = (
        *(Column(name, titles[name]) for name in names),
        Column("currency", "Currency"),
        Column("earned_on", "Last earned", "date"),
        Column("amount", "Unbilled", "amount"),
    )
    return Report("unbilled", "Earned and not billed", columns, found, totals_of(found, "amount"))


def _first_day(filters: Filters, until: date) -> date:
    return filters.since or date(until.year, 1, 1)


# What is no contract's asset or liability is shown for itself: under which name, with which sign.
_ALONE = {"accounts_receivable": ("receivables", 1), "refund_liability": ("refunds", -1)}


def contract_balances(connection: Connection, filters: Filters) -> Report:
    """Receivables, contract assets and liabilities at the start and the end of a period (606-10-50-8, IFRS 15.116).

    And the revenue of the period that was in the opening liability. The assets and liabilities of a contract, or of contracts
    accounted for as one, are shown net (606-10-45-1); `netted` is what that takes off both, so that balances and it tie to the
    ledger, which keeps them by obligation. What is expected back is no contract liability, and is shown apart. Without a first day the period is the calendar year.
    """
    until = filters.as_of or last_day(connection, filters)
    since = _first_day(filters, until)
    group = grouped(filters)
    facts, parameters = facts_of(
        replace(filters, since=None, as_of=until), "accounts_receivable", "unbilled_receivable", "refund_liability",
        *CONTRACT_LIABILITIES,
    )  # fmt: skip
    rows = connection.execute(
        text(
            f"select customer_id, subject, {', '.join(dict.fromkeys((*group, 'package')))}, currency, role,"
            f" coalesce(sum(net) filter (where effective_on < :since_), 0)::bigint as opening, sum(net)::bigint as closing,"
            f" coalesce(sum(net) filter (where effective_on >= :since_ and rule = any(:recognising)), 0)::bigint as recognised "
            f"from ({facts}) f group by customer_id, subject, {', '.join(dict.fromkeys((*group, 'package')))}, currency, role"
        ),
        parameters
        | {
            "since_": since,
            "recognising": rules_of("liability", "recognised"),
        },
    ).all()
    found: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    # by contract: its position at the start and the end, and both sides of it as the ledger has them
    contracts: dict[tuple[tuple[str, ...], int, str], Counter[str]] = defaultdict(Counter)
    liabilities: dict[tuple[tuple[str, ...], int, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        key = key_of(row, group)
        if row.role in _ALONE:
            name, sign = _ALONE[row.role]
            found[key].update({f"{name}_opening": sign * row.opening, f"{name}_closing": sign * row.closing})
            continue
        contract = contracts[key, row.customer_id, row.package or row.subject]
        for moment in ("opening", "closing"):
            contract[moment] -= getattr(row, moment)
            contract[f"gross_{moment}"] += abs(getattr(row, moment))
        if row.role in CONTRACT_LIABILITIES:
            liabilities[key, row.customer_id, row.subject].update(
                {"opening": -row.opening, "recognised": row.recognised}
            )
    for (key, _, _), position in contracts.items():
        for moment in ("opening", "closing"):
            net = position[moment]
            found[key][f"liabilities_{moment}" if net > 0 else f"assets_{moment}"] += abs(net)
            found[key][f"netted_{moment}"] += (position[f"gross_{moment}"] - abs(net)) // 2
    for (key, _, _), liability in liabilities.items():
        found[key]["released"] += max(min(liability["opening"], liability["recognised"]), 0)
    lines = [
        line
        for key in sorted(found)
        for line in _balance_lines(
            dict(zip((*group, "currency"), key, strict=True)) | {"since": since, "until": until}, found[key]
        )
    ]
    columns = columns_of(
        filters, Column("balance", "Balance"), Column("opening", "Opening", "amount"), Column("change", "Change", "amount"),
        Column("closing", "Closing", "amount"), period=False,
    )  # fmt: skip
    return Report("contract-balances", "Contract balances", columns, tuple(lines), notes=(f"{since} to {until}",))


def _balance_lines(place: dict[str, Any], amounts: Counter[str]) -> list[dict[str, Any]]:
    """The lines of a group: each balance at both ends, refund liabilities where there are any, and what was released."""
    lines = []
    for name, title in (
        ("receivables", "Receivables"), ("assets", "Contract assets"), ("liabilities", "Contract liabilities"),
        ("netted", "Netted within contracts"), ("refunds", "Refund liabilities"),
    ):  # fmt: skip
        opening, closing = amounts[f"{name}_opening"], amounts[f"{name}_closing"]
        if name != "refunds" or opening or closing:
            lines.append(
                place | {"balance": title, "opening": opening, "change": closing - opening, "closing": closing}
            )
    lines.append(place | {"balance": "Revenue that was in the opening liability", "change": amounts["released"]})
    return lines


_HORIZONS = (
    ("within_12", "Within 12 months", 12),
    ("within_24", "13\N{EN DASH}24 months", 24),
    ("later", "Later", None),
)


# Whether what an obligation is of was to last a year or less: its contract as signed, or a line's own term.
_TERMS = """left join (
    select t.customer_id, t.ref as contract,
           max(coalesce(o.ends_on, date '2199-12-31')) < min(o.starts_on) + interval '1 year' as short
    from contract t join obligation o using (customer_id, contract_id) where o.added_on is null group by 1, 2
) signed using (customer_id, contract)"""
_SHORT = "coalesce(signed.short, ends_on < starts_on + interval '1 year')"


def _horizon(day: date, until: date) -> str:
    """Which horizon a day is in, by whole months after another."""
    months = (day.year - until.year) * 12 + day.month - until.month
    return next(key for key, _, most in _HORIZONS if most is None or months <= most)


def _promised_by_grants(
    connection: Connection, filters: Filters, until: date, found: dict[tuple[str, ...], Counter[str]]
) -> dict[tuple[str, ...], Counter[str]]:
    """Count in what credits and commitments promise; returns what of each figure stands in no account, for it is not billed."""
    group = grouped(filters)
    shown = replace(filters, since=None, as_of=until, transaction=filters.transaction is not False)
    facts, parameters = facts_of(shown, "customer_credits")
    for row in connection.execute(
        text(
            f"select {', '.join(group)}, currency, -sum(net)::bigint as amount, -coalesce(sum(net) filter (where s.subject is not null), 0)::bigint as short"
            f" from ({facts}) f left join ({SHORT_GRANTS}) s using (subject) group by {', '.join(group)}, currency"
        ),
        parameters,
    ):
        found[key_of(row, group)].update({"as_used": row.amount, "short": row.short})
    ahead: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for one in promised(connection, filters, until):
        places = {"entity": one.entity, "customer": one.customer, "contract": one.contract}
        key = (*(places.get(name, "") for name in group), one.currency)
        ahead[key]["as_used"] += one.ordered
        if one.committed:
            assert one.expires_on is not None, "a commitment has a last day"
            ahead[key][_horizon(one.expires_on, until)] += one.committed
        found[key]["short"] += (one.ordered + one.committed) * one.short
    for key, amounts in ahead.items():
        found[key].update(amounts)
    return ahead


def remaining_obligations(connection: Connection, filters: Filters) -> Report:
    """What is promised and not yet given, by when it will be revenue (606-10-50-13, IFRS 15.120).

    In transaction currency, unless the entity's is asked for: then what is billed counts as it was billed, the rest at the
    day's rate. `short` is of contracts expected to last a year or less when signed, which 606-10-50-14 lets one leave out.
    Scheduled revenue by horizon, and what is committed and not used by its last day; prepaid credits, billed or ordered, as they will
    be used, and what progress will earn, have no date.
    """
    until = filters.as_of or last_day(connection, filters)
    group = grouped(filters)
    found: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    names = {"customer": "(select ref from customer k where k.customer_id = coming.customer_id)"}
    fields = ", ".join(f"{names.get(name, name)} as {name}" for name in group)
    short = f"coalesce(sum(amount) filter (where {_SHORT}), 0)::bigint as short"
    places = ", ".join(str(number) for number in range(1, len(group) + 3))
    for row in scheduled(
        connection, filters, until,
        f"select {fields}, shown_in as currency, month, sum(amount)::bigint as amount, {short} from coming {_TERMS} group by {places}",
    ):  # fmt: skip
        found[key_of(row, group)].update({_horizon(row.month, until): row.amount, "short": row.short})
    ahead = _promised_by_grants(connection, filters, until, found)
    by_progress = ", ".join(
        "(select ref from customer k where k.customer_id = open.customer_id) as customer"
        if name == "customer"
        else name
        for name in group
    )
    for row in left_by_progress(
        connection, filters, until,
        f"select {by_progress}, shown_in as currency, sum(amount)::bigint as amount from open group by {places.rpartition(',')[0]}",
    ):  # fmt: skip
        found[key_of(row, group)]["by_progress"] += row.amount
    keys = [key for key, *_ in _HORIZONS] + ["as_used", "by_progress"]
    rows: list[dict[str, Any]] = [
        dict(zip((*group, "currency"), place, strict=True))
        | {key: amounts[key] for key in (*keys, "short")}
        | {"total": sum(amounts[key] for key in keys), "ahead": ahead.get(place, {})}
        for place, amounts in sorted(found.items())
        if any(amounts.values())
    ]
    columns = columns_of(
        filters, *(Column(key, title, "amount") for key, title, _ in _HORIZONS), Column("as_used", "As credits are used", "amount"),
        Column("by_progress", "By progress", "amount"), Column("total", "Total", "amount"),
        Column("short", "Of it: a year or less", "amount"), period=False,
    )  # fmt: skip
    return Report(
        "remaining-obligations",
        "Remaining performance obligations",
        columns,
        tuple(rows),
        totals_of(rows, *keys, "total", "short"),
        (f"as of {until}",),
    )


def disaggregation(connection: Connection, filters: Filters) -> Report:
    """Revenue by period and group, and by how it is earned (606-10-50-5, IFRS 15.114); ties to the revenue accounts.

    Net of promotions, refunds and lost disputes, which are shown apart.
    """
    group = grouped(filters if filters.group else replace(filters, group=("product",)))
    facts, parameters = facts_of(filters, *REVENUE_ROLES, "refunds", "disputes")
    rows = connection.execute(
        text(
            f"select {period_sql(filters)} as period, {', '.join(group)}, currency,"
            f" case when role = 'breakage_revenue' then 'breakage' when role <> 'revenue' then 'contra'"
            f"  when subject like 'credit_note:%' then 'at_a_point_in_time'"
            f"  when subject like 'obligation:%' then 'obligation' else 'usage' end as kind,"
            f" (select case when o.pattern = 'point_in_time' then 'at a point in time' else 'over time' end"
            f"  from performance_obligation o where o.customer_id = f.customer_id and o.subject = f.subject) as timing,"
            f" -sum(net)::bigint as amount from ({facts}) f group by period, {', '.join(group)}, currency, kind, timing"
        ),
        parameters,
    ).all()
    found: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for row in rows:
        name = row.kind if row.kind != "obligation" else row.timing.replace(" ", "_")
        found[row.period, *key_of(row, group)][name] += row.amount
    names = {
        "over_time": "Over time", "at_a_point_in_time": "At a point in time", "usage": "As used", "breakage": "Breakage",
        "contra": "Promotions, refunds, disputes",
    }  # fmt: skip
    lines = [
        dict(zip(("period", *group, "currency"), key, strict=True))
        | {name: amounts[name] for name in names}
        | {"total": sum(amounts.values())}
        for key, amounts in sorted(found.items())
        if any(amounts.values())
    ]
    columns = columns_of(
        replace(filters, group=group), *(Column(name, title, "amount") for name, title in names.items()), Column("total", "Revenue", "amount"),
    )  # fmt: skip
    return Report("disaggregation", "Revenue disaggregated", columns, tuple(lines), totals_of(lines, *names, "total"))


def schedule(connection: Connection, filters: Filters) -> Report:
    """Each obligation's revenue by month, quarter or year, posted and still scheduled, with the version of its terms at its end."""
    form = PERIODS[filters.period]
    until = filters.as_of or last_day(connection, filters)
    source, parameters = facts_of(replace(filters, transaction=filters.transaction is not False), "revenue")
    posted = connection.execute(
        text(
            f"select customer, contract, subject, product, currency, to_char(effective_on, '{form}') as month,"
            f" -sum(net)::bigint as amount from ({source}) f where subject like 'obligation:%' group by 1, 2, 3, 4, 5, 6"
        ),
        parameters,
    ).all()
    coming = scheduled(
        connection, filters, until,
        "select (select ref from customer k where k.customer_id = coming.customer_id) as customer, contract, subject, product,"
        f" shown_in as currency, to_char(month, '{form}') as month, sum(amount)::bigint as amount from coming group by 1, 2, 3, 4, 5, 6",
    )  # fmt: skip
    versions = _versions(connection, filters, until)
    found: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for status, rows in (("recognised", posted), ("scheduled", coming)):
        for row in rows:
            place = (
                row.customer,
                row.contract or "",
                row.subject.removeprefix("obligation:"),
                row.product,
                row.currency,
                row.month,
            )
            found[place][status] += row.amount
    lines = []
    reached: Counter[tuple[str, ...]] = Counter()
    for key in sorted(found):
        amounts = found[key]
        if not any(amounts.values()):
            continue
        customer, contract, obligation, product, currency, month = key
        reached[key[:-1]] += sum(amounts.values())
        lines.append(
            {
                "customer": customer, "contract": contract or None, "obligation": obligation, "product": product,
                "version": 1 + sum(1 for began in versions.get((customer, obligation), ()) if period_of(began, filters.period) <= month),
                "month": month, "currency": currency, "recognised": amounts["recognised"], "scheduled": amounts["scheduled"],
                "to_date": reached[key[:-1]],
            }
        )  # fmt: skip
    columns = (
        Column("customer", "Customer"), Column("contract", "Contract"), Column("obligation", "Obligation"), Column("product", "Product"),
        Column("version", "Version", "number"), Column("month", filters.period.capitalize()), Column("currency", "Currency"),
        Column("recognised", "Recognised", "amount"), Column("scheduled", "Scheduled", "amount"), Column("to_date", "To date", "amount"),
    )  # fmt: skip
    return Report("schedule", "Revenue schedules", columns, tuple(lines), notes=(f"as of {until}",))


def _versions(connection: Connection, filters: Filters, until: date) -> dict[tuple[str, str], list[date]]:
    """The days from which later versions of obligations count, of those agreed by a day, by customer and obligation."""
    rows = connection.execute(
        text(
            f"select c.ref as customer, substr(v.subject, 12) as obligation, v.from_day from {versions_known('known_at')} v "
            "join customer c using (customer_id) "
            "join document d on d.customer_id in (v.customer_id, 0) and d.document_id = v.document_id "
            "where d.dated_on <= :until order by v.version"
        ),
        {"known_at": filters.known_at, "until": until},
    )
    found: dict[tuple[str, str], list[date]] = {}
    for row in rows:
        found.setdefault((row.customer, row.obligation), []).append(row.from_day)
    return found
