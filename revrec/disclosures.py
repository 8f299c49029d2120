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

from ledger.chart import CONTRACT_LIABILITIES, ROLES
from ledger.errors import Refused
from ledger.reports import PERIODS, Column, Filters, Report, last_day, narrowed, sides
from ledger.rulebook import BY_NUMBER
from revrec.waterfall import REVENUE_ROLES, left_by_progress, scheduled

_TITLES = {"entity": "Entity", "customer": "Customer", "contract": "Contract", "product": "Product"}

# What moves a contract liability or asset, by the family of the rule: what is in none is `other` (the two settling each
# other, exchange differences, manual entries).
_LIABILITY_FLOWS = {
    "billed": ("invoice.",),
    "recognised": ("recognise.deferred", "recognise.less_deferred", "draw.", "expire.", "break.", "usage.billed_ahead"),
    "credited": ("credit.", "refund.", "dispute.", "write_off."),
}
_ASSET_FLOWS = {
    "earned": ("recognise.unbilled", "recognise.less_unbilled", "draw.", "usage.overage"),
    "billed": ("invoice.",),
    "credited": ("credit.", "refund.", "dispute.", "write_off."),
}
_SETTLING = ("invoice.settled", "invoice.unsettled")


def _flow(rule: int, flows: Mapping[str, tuple[str, ...]]) -> str:
    code = BY_NUMBER[rule].code
    if code in _SETTLING:
        return "other"
    return next((name for name, families in flows.items() if code.startswith(families)), "other")


def _facts(filters: Filters, *roles: str) -> tuple[str, dict[str, object]]:
    """SQL for the filtered sides on roles, with what groups them: customer, contract, product, and the amount asked for."""
    source, parameters = sides(replace(filters, product=None), *roles)
    amount, currency = ("amount", "x.currency") if filters.transaction else ("functional_amount", "e.currency")
    narrowed = ""
    for name in ("product", "contract"):
        value = getattr(filters, name)
        if value is not None:
            narrowed += f" and coalesce({name}, '') = :{name}_"
            parameters[f"{name}_"] = value
    return (
        f"select * from (select x.customer_id, x.entity, x.role, x.subject, x.effective_on, x.rule, x.sign,"
        f" x.sign * x.{amount} as net, {currency} as currency, c.ref as customer, coalesce(o.contract, g.contract) as contract,"
        f" coalesce(nullif(x.product, ''), o.product, case when x.subject like 'usage:%' then substr(x.subject, 7) end) as product"
        f" from ({source}) x join customer c using (customer_id) join entity e on e.entity = x.entity"
        f" left join performance_obligation o on o.customer_id = x.customer_id and o.subject = x.subject"
        f" left join credit_grant g on g.customer_id = x.customer_id and x.subject = 'grant:' || g.ref"
        f") facts where true{narrowed}"
    ), parameters


def _grouped(filters: Filters) -> tuple[str, ...]:
    """What rows are kept apart by: entity always, then what was asked for."""
    return ("entity", *(name for name in _TITLES if name in filters.group and name != "entity"))


def _columns(filters: Filters, *more: Column, period: bool = True) -> tuple[Column, ...]:
    first = (Column("period", filters.period.capitalize()),) if period else ()
    return (*first, *(Column(name, _TITLES[name]) for name in _grouped(filters)), Column("currency", "Currency"), *more)


def _period(filters: Filters) -> str:
    return f"to_char(effective_on, '{PERIODS[filters.period]}')"


def _key(row: Any, group: Sequence[str]) -> tuple[str, ...]:
    return (*(getattr(row, name) or "" for name in group), row.currency)


def _roll_forward(
    connection: Connection, filters: Filters, roles: Sequence[str], flows: Mapping[str, tuple[str, ...]], sign: int
) -> list[dict[str, Any]]:
    """Opening balance, each flow, closing balance; by period and group."""
    group = _grouped(filters)
    facts, parameters = _facts(replace(filters, since=None), *roles)
    rows = connection.execute(
        text(
            f"select {_period(filters)} as period, {', '.join(group)}, currency, rule, sum(net)::bigint as net,"
            f" bool_or(cast(:since_ as date) is not null and effective_on < :since_) as before"
            f" from ({facts}) f group by {', '.join(group)}, currency, rule, period,"
            f" (cast(:since_ as date) is not null and effective_on < :since_)"
        ),
        parameters | {"since_": filters.since},
    ).all()
    opening: Counter[tuple[str, ...]] = Counter()
    moved: dict[tuple[str, ...], dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for row in rows:
        key = _key(row, group)
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
    columns = _columns(
        filters, *(Column(name, name.capitalize(), "amount") for name in ("opening", "billed", "recognised", "credited", "other", "closing"))
    )  # fmt: skip
    return Report("deferred-rollforward", "Deferred revenue roll-forward", columns, tuple(rows))


def asset_roll_forward(connection: Connection, filters: Filters) -> Report:
    """Contract assets (earned, not billed): opening, earned, billed, credited, other, closing."""
    rows = _roll_forward(connection, filters, ("unbilled_receivable",), _ASSET_FLOWS, 1)
    columns = _columns(
        filters, *(Column(name, name.capitalize(), "amount") for name in ("opening", "earned", "billed", "credited", "other", "closing"))
    )  # fmt: skip
    return Report("asset-rollforward", "Contract asset roll-forward", columns, tuple(rows))


def unbilled(connection: Connection, filters: Filters) -> Report:
    """What is earned and not billed, thing by thing, since when."""
    facts, parameters = _facts(replace(filters, since=None), "unbilled_receivable")
    rows = connection.execute(
        text(
            f"select entity, customer, contract, subject, product, currency, sum(net)::bigint as amount,"
            f" max(effective_on) filter (where net > 0) as earned_on from ({facts}) f "
            f"group by 1, 2, 3, 4, 5, 6 having sum(net) <> 0 order by 1, 2, 3, 4, 5, 6"
        ),
        parameters,
    )
    found = tuple(dict(row._mapping) for row in rows)
    columns = (
        *(Column(name, title) for name, title in _TITLES.items()),
        Column("subject", "For"),
        Column("currency", "Currency"),
        Column("earned_on", "Last earned", "date"),
        Column("amount", "Unbilled", "amount"),
    )
    return Report("unbilled", "Earned and not billed", columns, found, _totals(found, "amount"))


def _totals(rows: Sequence[Mapping[str, Any]], *names: str) -> tuple[dict[str, Any], ...]:
    totals: dict[str, Counter[str]] = {}
    for row in rows:
        totals.setdefault(row["currency"], Counter()).update({name: row[name] or 0 for name in names})
    return tuple({"entity": "Total", "currency": currency, **sums} for currency, sums in sorted(totals.items()))


def _first_day(filters: Filters, until: date) -> date:
    return filters.since or date(until.year, 1, 1)


def contract_balances(connection: Connection, filters: Filters) -> Report:
    """Receivables, contract assets and liabilities at the start and the end of a period (606-10-50-8, IFRS 15.116).

    And the revenue of the period that was in the opening liability. A contract's assets and liabilities are shown net, as one (606-10-45-1); `netted` is what that takes off both, so that
    balances and it tie to the ledger, which keeps them by obligation. Without a first day the period is the calendar year.
    """
    until = filters.as_of or last_day(connection, filters.known_at)
    since = _first_day(filters, until)
    group = _grouped(filters)
    facts, parameters = _facts(
        replace(filters, since=None, as_of=until), "accounts_receivable", "unbilled_receivable", *CONTRACT_LIABILITIES
    )
    rows = connection.execute(
        text(
            f"select customer_id, subject, {', '.join(dict.fromkeys((*group, 'contract')))}, currency, role,"
            f" coalesce(sum(net) filter (where effective_on < :since_), 0)::bigint as opening, sum(net)::bigint as closing,"
            f" coalesce(sum(net) filter (where effective_on >= :since_ and rule = any(:recognising)), 0)::bigint as recognised "
            f"from ({facts}) f group by customer_id, subject, {', '.join(dict.fromkeys((*group, 'contract')))}, currency, role"
        ),
        parameters
        | {
            "since_": since,
            "recognising": [
                number for number in BY_NUMBER if _flow(number, _LIABILITY_FLOWS) == "recognised"
            ],
        },
    ).all()  # fmt: skip
    found: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    # by contract: its position at the start and the end, and both sides of it as the ledger has them
    contracts: dict[tuple[tuple[str, ...], int, str], Counter[str]] = defaultdict(Counter)
    liabilities: dict[tuple[tuple[str, ...], int, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        key = _key(row, group)
        if row.role == "accounts_receivable":
            found[key].update({"receivables_opening": row.opening, "receivables_closing": row.closing})
            continue
        contract = contracts[key, row.customer_id, row.contract or row.subject]
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
    lines = []
    for key in sorted(found):
        place = dict(zip((*group, "currency"), key, strict=True))
        for name, title in (
            ("receivables", "Receivables"), ("assets", "Contract assets"), ("liabilities", "Contract liabilities"),
            ("netted", "Netted within contracts"),
        ):  # fmt: skip
            opening, closing = found[key][f"{name}_opening"], found[key][f"{name}_closing"]
            lines.append(
                place | {"balance": title, "opening": opening, "change": closing - opening, "closing": closing}
            )
        lines.append(place | {"balance": "Revenue that was in the opening liability", "change": found[key]["released"]})
    columns = _columns(
        filters, Column("balance", "Balance"), Column("opening", "Opening", "amount"), Column("change", "Change", "amount"),
        Column("closing", "Closing", "amount"), period=False,
    )  # fmt: skip
    return Report("contract-balances", "Contract balances", columns, tuple(lines), notes=(f"{since} to {until}",))


_HORIZONS = (
    ("within_12", "Within 12 months", 12),
    ("within_24", "13\N{EN DASH}24 months", 24),
    ("later", "Later", None),
)


def remaining_obligations(connection: Connection, filters: Filters) -> Report:
    """What is promised and not yet given, by when it will be revenue (606-10-50-13, IFRS 15.120), in transaction currency.

    Scheduled revenue by horizon; prepaid credits as they will be used, and what progress will earn, have no date.
    """
    until = filters.as_of or last_day(connection, filters.known_at)
    group = _grouped(filters)
    found: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    names = {"customer": "(select ref from customer k where k.customer_id = coming.customer_id)"}
    fields = ", ".join(f"{names.get(name, name)} as {name}" for name in group)
    places = ", ".join(str(number) for number in range(1, len(group) + 3))
    for row in scheduled(
        connection, filters, until,
        f"select {fields}, currency, month, sum(earned - before)::bigint as amount from coming group by {places}",
    ):  # fmt: skip
        months = (row.month.year - until.year) * 12 + row.month.month - until.month
        horizon = next(key for key, _, most in _HORIZONS if most is None or months <= most)
        found[_key(row, group)][horizon] += row.amount
    in_transaction = replace(filters, since=None, as_of=until, transaction=True)
    facts, parameters = _facts(in_transaction, "customer_credits")
    for row in connection.execute(
        text(
            f"select {', '.join(group)}, currency, -sum(net)::bigint as amount from ({facts}) f group by {places.rpartition(',')[0]}"
        ),
        parameters,
    ):
        found[_key(row, group)]["as_used"] += row.amount
    by_progress = ", ".join(
        "(select ref from customer k where k.customer_id = open.customer_id) as customer"
        if name == "customer"
        else name
        for name in group
    )
    for row in left_by_progress(
        connection, filters, until,
        f"select {by_progress}, currency, sum(left_over)::bigint as amount from open group by {places.rpartition(',')[0]}",
    ):  # fmt: skip
        found[_key(row, group)]["by_progress"] += row.amount
    keys = [key for key, *_ in _HORIZONS] + ["as_used", "by_progress"]
    rows = [
        dict(zip((*group, "currency"), place, strict=True))
        | {key: amounts[key] for key in keys}
        | {"total": sum(amounts.values())}
        for place, amounts in sorted(found.items())
        if any(amounts.values())
    ]
    columns = _columns(
        filters, *(Column(key, title, "amount") for key, title, _ in _HORIZONS), Column("as_used", "As credits are used", "amount"),
        Column("by_progress", "By progress", "amount"), Column("total", "Total", "amount"), period=False,
    )  # fmt: skip
    return Report(
        "remaining-obligations",
        "Remaining performance obligations",
        columns,
        tuple(rows),
        _totals(rows, *keys, "total"),
        (f"as of {until}",),
    )


def disaggregation(connection: Connection, filters: Filters) -> Report:
    """Revenue by period and group, and by how it is earned (606-10-50-5, IFRS 15.114); ties to the revenue accounts.

    Net of promotions, refunds and lost disputes, which are shown apart.
    """
    group = _grouped(filters if filters.group else replace(filters, group=("product",)))
    facts, parameters = _facts(filters, *REVENUE_ROLES, "refunds", "disputes")
    rows = connection.execute(
        text(
            f"select {_period(filters)} as period, {', '.join(group)}, currency,"
            f" case when role = 'breakage_revenue' then 'breakage' when role <> 'revenue' then 'contra'"
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
        found[row.period, *_key(row, group)][name] += row.amount
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
    columns = _columns(
        replace(filters, group=group), *(Column(name, title, "amount") for name, title in names.items()), Column("total", "Revenue", "amount"),
    )  # fmt: skip
    return Report("disaggregation", "Revenue disaggregated", columns, tuple(lines), _totals(lines, *names, "total"))


def schedule(connection: Connection, filters: Filters) -> Report:
    """Each obligation's revenue month by month, posted and still scheduled, with the version of its terms that counts."""
    until = filters.as_of or last_day(connection, filters.known_at)
    source, parameters = _facts(replace(filters, transaction=True), "revenue")
    posted = connection.execute(
        text(
            f"select customer, contract, subject, product, currency, to_char(effective_on, 'YYYY-MM') as month,"
            f" -sum(net)::bigint as amount from ({source}) f where subject like 'obligation:%' group by 1, 2, 3, 4, 5, 6"
        ),
        parameters,
    ).all()
    coming = scheduled(
        connection, filters, until,
        "select (select ref from customer k where k.customer_id = coming.customer_id) as customer, contract, subject, product,"
        " currency, to_char(month, 'YYYY-MM') as month, sum(earned - before)::bigint as amount from coming group by 1, 2, 3, 4, 5, 6",
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
                "version": 1 + sum(1 for began in versions.get((customer, obligation), ()) if f"{began:%Y-%m}" <= month),
                "month": month, "currency": currency, "recognised": amounts["recognised"], "scheduled": amounts["scheduled"],
                "to_date": reached[key[:-1]],
            }
        )  # fmt: skip
    columns = (
        Column("customer", "Customer"), Column("contract", "Contract"), Column("obligation", "Obligation"), Column("product", "Product"),
        Column("version", "Version", "number"), Column("month", "Month"), Column("currency", "Currency"),
        Column("recognised", "Recognised", "amount"), Column("scheduled", "Scheduled", "amount"), Column("to_date", "To date", "amount"),
    )  # fmt: skip
    return Report("schedule", "Revenue schedules", columns, tuple(lines), notes=(f"as of {until}",))


def _versions(connection: Connection, filters: Filters, until: date) -> dict[tuple[str, str], list[date]]:
    """The days from which later versions of obligations count, of those agreed by a day, by customer and obligation."""
    rows = connection.execute(
        text(
            "select c.ref as customer, substr(v.subject, 12) as obligation, v.from_day from obligation_version v "
            "join customer c using (customer_id) "
            "join document d on d.customer_id = v.customer_id and d.document_id = v.document_id "
            "where d.dated_on <= :until and (cast(:known_at as timestamptz) is null or d.posted_at <= :known_at) "
            "order by v.version"
        ),
        {"known_at": filters.known_at, "until": until},
    )
    found: dict[tuple[str, str], list[date]] = {}
    for row in rows:
        found.setdefault((row.customer, row.obligation), []).append(row.from_day)
    return found


def _of_contracts(filters: Filters, on: str) -> tuple[str, dict[str, object]]:
    """Which contracts a report of their terms covers, by a day of each."""
    return narrowed(
        filters, since=on, as_of=on, known_at="d.posted_at", entity="t.entity", customer="c.ref", contract="t.ref", currency="t.currency",
        product="o.product",
    )  # fmt: skip


def allocation(connection: Connection, filters: Filters) -> Report:
    """How each contract's price was allocated to its obligations: stand-alone prices, shares, amounts (606-10-32-31)."""
    clause, parameters = _of_contracts(filters, "t.signed_on")
    rows = connection.execute(
        text(
            f"select c.ref as customer, t.ref as contract, t.entity, t.signed_on, o.ref as obligation, o.product, o.pattern, t.currency,"
            f" o.ssp_minor as ssp, case when sum(o.ssp_minor) over whole > 0"
            f"  then to_char(100.0 * o.ssp_minor / sum(o.ssp_minor) over whole, 'FM990.00') end as share,"
            f" o.price_minor as price, (o.ssp_minor - o.price_minor)::bigint as discount "
            f"from obligation o join contract t using (customer_id, contract_id) join customer c using (customer_id) "
            f"join document d on d.customer_id = t.customer_id and d.document_id = t.contract_id "
            f"where o.added_on is null and {clause} "
            f"window whole as (partition by o.customer_id, o.contract_id) order by 1, 2, 5"
        ),
        parameters,
    )
    columns = (
        Column("customer", "Customer"), Column("contract", "Contract"), Column("entity", "Entity"), Column("signed_on", "Signed", "date"),
        Column("obligation", "Obligation"), Column("product", "Product"), Column("pattern", "Pattern"), Column("currency", "Currency"),
        Column("ssp", "Stand-alone price", "amount"), Column("share", "Share, %", "number"), Column("price", "Allocated", "amount"),
        Column("discount", "Discount", "amount"),
    )  # fmt: skip
    found = tuple(dict(row._mapping) for row in rows)
    return Report("allocation", "Allocation of transaction prices", columns, found, _totals(found, "price"))


def modifications(connection: Connection, filters: Filters) -> Report:
    """Every modification of a contract, obligation by obligation: how it counts and why, what the price was and is."""
    clause, parameters = _of_contracts(filters, "m.effective_on")
    rows = connection.execute(
        text(
            f"select m.effective_on, m.ref as modification, c.ref as customer, t.ref as contract, t.entity, o.ref as obligation,"
            f" o.product, v.version, v.treatment, t.currency,"
            f" coalesce((select w.price_minor from obligation_version w where w.customer_id = v.customer_id and w.subject = v.subject"
            f"  and w.version < v.version order by w.version desc limit 1), o.price_minor) as price_before,"
            f" v.price_minor as price, v.base_minor as kept, v.reason, d.posted_at, d.posted_by "
            f"from contract_modification m join contract t on t.customer_id = m.customer_id and t.ref = m.contract "
            f"join customer c on c.customer_id = m.customer_id "
            f"join document d on d.customer_id = m.customer_id and d.document_id = m.document_id "
            f"join obligation_version v on v.customer_id = m.customer_id and v.document_id = m.document_id "
            f"join obligation o on o.customer_id = v.customer_id and o.contract_id = t.contract_id and v.subject = 'obligation:' || o.ref "
            f"where {clause} order by m.effective_on, m.ref, o.ref"
        ),
        parameters,
    )
    columns = (
        Column("effective_on", "From", "date"), Column("modification", "Modification"), Column("customer", "Customer"),
        Column("contract", "Contract"), Column("obligation", "Obligation"), Column("product", "Product"), Column("version", "Version", "number"),
        Column("treatment", "Treatment"), Column("currency", "Currency"), Column("price_before", "Price before", "amount"),
        Column("price", "Price", "amount"), Column("kept", "Kept as earned", "amount"), Column("reason", "Why"),
        Column("posted_at", "Posted"), Column("posted_by", "By"),
    )  # fmt: skip
    found = tuple({**row._mapping, "posted_at": row.posted_at.isoformat(timespec="seconds")} for row in rows)
    return Report("modifications", "Contract modifications", columns, found)


def recognition_journal(connection: Connection, filters: Filters) -> Report:
    """Every posting by which revenue was recognised, with the obligation it is of."""
    facts, parameters = _facts(filters, "revenue", "breakage_revenue", "promotional_credits")
    with_entries = facts.replace("x.effective_on,", "x.effective_on, x.entry_id,", 1)
    rows = connection.execute(
        text(
            f"select effective_on, entry_id, entity, customer, contract, subject, product, currency, rule, role,"
            f" -sum(net)::bigint as amount from ({with_entries}) f group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 order by 1, 2, 6, 9"
        ),
        parameters,
    )
    found = tuple({**row._mapping, "rule": BY_NUMBER[row.rule].code, "account": ROLES[row.role].title} for row in rows)
    columns = (
        Column("effective_on", "Date", "date"), Column("entry_id", "Entry", "number"), Column("entity", "Entity"),
        Column("customer", "Customer"), Column("contract", "Contract"), Column("subject", "For"), Column("product", "Product"),
        Column("rule", "Rule"), Column("account", "Account"), Column("currency", "Currency"), Column("amount", "Revenue", "amount"),
    )  # fmt: skip
    return Report("recognition-journal", "Journal of recognition", columns, found, _totals(found, "amount"))


def changes(connection: Connection, filters: Filters) -> Report:
    """Why a report of a day says something else than it did when it was signed: what was posted since, document by document.

    `known_at` is when it was signed, `as_of` its day. By month and account the amounts are the difference between the two.
    """
    if filters.known_at is None:
        raise Refused("known_at", "missing", "expected the moment the earlier report was made")
    facts, parameters = _facts(replace(filters, known_at=None))
    with_entries = facts.replace("x.effective_on,", "x.effective_on, x.entry_id,", 1)
    rows = connection.execute(
        text(
            f"select to_char(f.effective_on, '{PERIODS[filters.period]}') as period, f.entity, f.role, f.currency, d.type, d.ref,"
            f" d.dated_on, d.posted_at, d.posted_by, sum(net)::bigint as net from ({with_entries}) f "
            f"join entry n on n.customer_id = f.customer_id and n.entry_id = f.entry_id "
            f"join document d on d.document_id = n.document_id and d.customer_id in (n.customer_id, 0) "
            f"where n.posted_at > :signed_at group by 1, 2, 3, 4, 5, 6, 7, 8, 9 having sum(net) <> 0 order by 1, 2, 3, 8, 5, 6"
        ),
        parameters | {"signed_at": filters.known_at},
    )
    found = tuple(
        {
            "period": row.period, "entity": row.entity, "account": ROLES[row.role].title, "role": row.role, "currency": row.currency,
            "amount": ROLES[row.role].sign * row.net, "document": f"{row.type} {row.ref}", "dated_on": row.dated_on,
            "posted_at": row.posted_at.isoformat(timespec="seconds"), "posted_by": row.posted_by,
        }
        for row in rows
        if filters.memorandum or not ROLES[row.role].memorandum
    )  # fmt: skip
    columns = (
        Column("period", filters.period.capitalize()), Column("entity", "Entity"), Column("account", "Account"), Column("currency", "Currency"),
        Column("amount", "Difference", "amount"), Column("document", "Document"), Column("dated_on", "Dated", "date"),
        Column("posted_at", "Posted"), Column("posted_by", "By"),
    )  # fmt: skip
    until = f"of {filters.as_of}" if filters.as_of else "of every day"
    return Report(
        "changes",
        "Changes since",
        columns,
        found,
        notes=(f"{until}, since {filters.known_at.isoformat(timespec='seconds')}",),
    )
