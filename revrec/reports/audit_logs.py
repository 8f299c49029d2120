"""The logs an auditor reads.

What contracts agree, how prices were allocated, what changed contracts, what was recognised, what was posted since.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, text

from ledger.accounts.chart import ROLES
from ledger.accounts.rulebook import BY_NUMBER
from ledger.errors import Refused
from ledger.reports.report import PERIODS, Column, Filters, Report, narrowed
from revrec.reports.rows import facts_of, of_contracts, posted_since, totals_of
from revrec.terms.versions import versions_known


def contracts(connection: Connection, filters: Filters) -> Report:
    """Every contract's obligations by the version of their terms that counts on a day.

    What was agreed, which document says so, why. `as_of` is the day, `known_at` what was known by then; without them, the terms as last
    agreed.
    """
    clause, parameters = narrowed(
        filters, as_of="a.dated_on", known_at="a.posted_at", entity="t.entity", customer="c.ref", contract="t.ref",
        currency="t.currency", product="o.product",
    )  # fmt: skip
    rows = connection.execute(
        text(
            f"select c.ref as customer, t.ref as contract, nullif(coalesce(t.package, t.ref), t.ref) as package, t.entity, t.signed_on,"
            f" o.ref as obligation, o.product, coalesce(v.version, 1) as version, coalesce(v.treatment, o.treatment) as treatment,"
            f" coalesce(v.from_day, o.added_on, t.signed_on) as from_day, coalesce(v.pattern, o.pattern) as pattern,"
            f" coalesce(v.starts_on, o.starts_on) as starts_on, case when v.version is null then o.ends_on else v.ends_on end as ends_on,"
            f" case when v.version is null then o.quantity else v.quantity end as quantity, t.currency,"
            f" coalesce(v.price_minor, o.price_minor) as price, coalesce(v.base_minor, 0) as kept, coalesce(v.refund_minor, 0) as refund,"
            f" coalesce(v.reason, o.reason) as reason, coalesce(v.document, a.type || ' ' || a.ref) as document "
            f"from obligation o join contract t using (customer_id, contract_id) join customer c using (customer_id) "
            f"join document a on a.customer_id = o.customer_id and a.document_id = o.document_id "
            f"left join lateral (select ov.*, d.type || ' ' || d.ref as document from {versions_known('known_at_')} ov"
            f"  join document d on d.customer_id in (ov.customer_id, 0) and d.document_id = ov.document_id where ov.customer_id = o.customer_id and ov.subject = 'obligation:' || o.ref"
            f"  and (cast(:as_of_ as date) is null or greatest(d.dated_on, ov.from_day) <= :as_of_)"
            f"  order by ov.version desc limit 1) v on true where {clause} order by 1, 2, 6"
        ),
        parameters | {"as_of_": filters.as_of, "known_at_": filters.known_at},
    )
    found = tuple(
        {**row._mapping, "quantity": None if row.quantity is None else f"{row.quantity.normalize():f}"} for row in rows
    )
    columns = (
        Column("customer", "Customer"), Column("contract", "Contract"), Column("package", "Together with"), Column("entity", "Entity"),
        Column("signed_on", "Signed", "date"), Column("obligation", "Obligation"), Column("product", "Product"),
        Column("version", "Version", "number"), Column("from_day", "Counts from", "date"), Column("treatment", "Treatment"),
        Column("pattern", "Pattern"), Column("starts_on", "From", "date"), Column("ends_on", "To", "date"),
        Column("quantity", "Quantity", "number"), Column("currency", "Currency"), Column("price", "Price", "amount"),
        Column("kept", "Kept as earned", "amount"), Column("refund", "Expected back", "amount"), Column("reason", "Why"),
        Column("document", "Agreed by"),
    )  # fmt: skip
    return Report("contracts", "Contracts as agreed", columns, found)


def allocation(connection: Connection, filters: Filters) -> Report:
    """How each contract's price was allocated to its obligations (606-10-32-31).

    Stand-alone prices, shares, amounts. Contracts that are accounted for as one were allocated together.
    """
    clause, parameters = of_contracts(filters, "t.signed_on")
    rows = connection.execute(
        text(
            f"select c.ref as customer, t.ref as contract, nullif(coalesce(t.package, t.ref), t.ref) as package, t.entity, t.signed_on,"
            f" o.ref as obligation, o.product, o.pattern, t.currency,"
            f" o.ssp_minor as ssp, case when sum(o.ssp_minor) over whole > 0"
            f"  then to_char(100.0 * o.ssp_minor / sum(o.ssp_minor) over whole, 'FM990.00') end as share,"
            f" coalesce(v.price_minor, o.price_minor) as price, (o.ssp_minor - coalesce(v.price_minor, o.price_minor))::bigint as discount "
            f"from obligation o join contract t using (customer_id, contract_id) join customer c using (customer_id) "
            f"join document d on d.customer_id = t.customer_id and d.document_id = t.contract_id "
            f"left join lateral (select price_minor from {versions_known('known_at_')} v join document w using (customer_id, document_id)"
            f"  where v.customer_id = o.customer_id and v.subject = 'obligation:' || o.ref and v.treatment = 'combined'"
            f"  and w.dated_on <= coalesce(cast(:as_of_ as date), w.dated_on) order by v.version desc limit 1) v on true "
            f"where o.added_on is null and {clause} "
            f"window whole as (partition by o.customer_id, coalesce(t.package, t.ref)) order by 1, 2, 6"
        ),
        parameters | {"as_of_": filters.as_of, "known_at_": filters.known_at},
    )
    columns = (
        Column("customer", "Customer"), Column("contract", "Contract"), Column("package", "Together with"), Column("entity", "Entity"),
        Column("signed_on", "Signed", "date"), Column("obligation", "Obligation"), Column("product", "Product"),
        Column("pattern", "Pattern"), Column("currency", "Currency"), Column("ssp", "Stand-alone price", "amount"),
        Column("share", "Share, %", "number"), Column("price", "Allocated", "amount"), Column("discount", "Discount", "amount"),
    )  # fmt: skip
    found = tuple(dict(row._mapping) for row in rows)
    return Report("allocation", "Allocation of transaction prices", columns, found, totals_of(found, "price"))


# Each document that changed a contract, with what it made of obligations, and the obligations it added.
_VERSIONS = versions_known("known_at_")
_CHANGES = f"""
    select v.customer_id, v.document_id, v.subject, v.version, v.treatment, v.from_day, v.price_minor as price,
           v.base_minor as kept, v.reason,
           coalesce((select w.price_minor from {_VERSIONS} w where w.customer_id = v.customer_id and w.subject = v.subject
                     and w.version < v.version order by w.version desc limit 1),
                    (select o.price_minor from obligation o where o.customer_id = v.customer_id
                     and v.subject = 'obligation:' || o.ref)) as price_before
    from {_VERSIONS} v
    union all
    select o.customer_id, o.document_id, 'obligation:' || o.ref, 1, o.treatment, o.added_on, o.price_minor, null, o.reason, null
    from obligation o where o.added_on is not null"""


def modifications(connection: Connection, filters: Filters) -> Report:
    """Everything that changed a contract, obligation by obligation.

    How it counts and why, what the price was and is. Modifications, renewals, terminations, combinations, estimates, rights to credits,
    and what is paid to customers.
    """
    clause, parameters = of_contracts(filters, "v.from_day")
    rows = connection.execute(
        text(
            f"select v.from_day as effective_on, d.ref as modification, d.type, c.ref as customer, t.ref as contract, t.entity,"
            f" o.ref as obligation, o.product, v.version, v.treatment, t.currency, v.price_before, v.price, v.kept, v.reason,"
            f" d.posted_at, d.posted_by "
            f"from ({_CHANGES}) v join document d on d.customer_id in (v.customer_id, 0) and d.document_id = v.document_id "
            f"join obligation o on o.customer_id = v.customer_id and v.subject = 'obligation:' || o.ref "
            f"join contract t on t.customer_id = o.customer_id and t.contract_id = o.contract_id "
            f"join customer c on c.customer_id = o.customer_id "
            f"where {clause} order by v.from_day, d.document_id, o.ref"
        ),
        parameters | {"known_at_": filters.known_at},
    )
    columns = (
        Column("effective_on", "From", "date"), Column("type", "Document"), Column("modification", "Id"), Column("customer", "Customer"),
        Column("contract", "Contract"), Column("obligation", "Obligation"), Column("product", "Product"), Column("version", "Version", "number"),
        Column("treatment", "Treatment"), Column("currency", "Currency"), Column("price_before", "Price before", "amount"),
        Column("price", "Price", "amount"), Column("kept", "Kept as earned", "amount"), Column("reason", "Why"),
        Column("posted_at", "Posted"), Column("posted_by", "By"),
    )  # fmt: skip
    found = tuple({**row._mapping, "posted_at": row.posted_at.isoformat(timespec="seconds")} for row in rows)
    return Report("modifications", "Contract modifications", columns, found)


def recognition_journal(connection: Connection, filters: Filters) -> Report:
    """Every posting by which revenue was recognised, with the obligation it is of."""
    facts, parameters = facts_of(filters, "revenue", "breakage_revenue", "promotional_credits")
    rows = connection.execute(
        text(
            f"select effective_on, entry_id, entity, customer, contract, subject, product, currency, rule, role,"
            f" -sum(net)::bigint as amount from ({facts}) f group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 order by 1, 2, 6, 9"
        ),
        parameters,
    )
    found = tuple({**row._mapping, "rule": BY_NUMBER[row.rule].code, "account": ROLES[row.role].title} for row in rows)
    columns = (
        Column("effective_on", "Date", "date"), Column("entry_id", "Entry", "number"), Column("entity", "Entity"),
        Column("customer", "Customer"), Column("contract", "Contract"), Column("subject", "For"), Column("product", "Product"),
        Column("rule", "Rule"), Column("account", "Account"), Column("currency", "Currency"), Column("amount", "Revenue", "amount"),
    )  # fmt: skip
    return Report("recognition-journal", "Journal of recognition", columns, found, totals_of(found, "amount"))


def changes(connection: Connection, filters: Filters) -> Report:
    """Why a report of a day says something else than it did when it was signed.

    What was posted since, document by document. `known_at` is when it was signed, `as_of` its day. By month and account the amounts are
    the difference between the two.
    """
    if filters.known_at is None:
        raise Refused("known_at", "missing", "expected the moment the earlier report was made")
    since, parameters = posted_since(replace(filters, known_at=None))
    rows = connection.execute(
        text(
            f"select to_char(f.effective_on, '{PERIODS[filters.period]}') as period, f.entity, f.role, f.currency, d.type, d.ref,"
            f" d.dated_on, d.posted_at, d.posted_by, sum(net)::bigint as net {since} group by 1, 2, 3, 4, 5, 6, 7, 8, 9 having sum(net) <> 0 order by 1, 2, 3, 8, 5, 6"
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
