"""Revenue disaggregated: by period, group, and how it is earned."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

from sqlalchemy import Connection, text

from ledger.reports.report import Column, Filters, Report
from revrec.reports.rows import columns_of, facts_of, grouped, key_of, period_sql, totals_of
from revrec.reports.waterfall import REVENUE_ROLES


def disaggregation(connection: Connection, filters: Filters) -> Report:
    """Revenue by period and group, and by how it is earned (606-10-50-5, IFRS 15.114).

    Ties to the revenue accounts. Net of promotions, refunds and lost disputes, which are shown apart.
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
