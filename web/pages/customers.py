"""Pages of customers and contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from itertools import islice
from typing import Any

from flask import Blueprint, render_template, request
from sqlalchemy import Connection, text

from ledger.amounts.dates import TODAY_SQL
from ledger.errors import UnknownReference
from ledger.reports.report import Filters, last_day
from ledger.trace.documents import customer_changes
from ledger.wallets.forecast import WINDOW, burn_down, lot_of
from web.access.guard import engine, who
from web.access.naming import MOVES_ELSEWHERE
from web.render.chart_data import Series, chart
from web.render.frame import frame, framed
from web.work import reports

blueprint = Blueprint("parties", __name__)

CUSTOMERS_A_PAGE = 200
INVOICES_MAX = 500
WEEKS_SHOWN = 13
# What a customer's page shows of its accounts, each on its normal side.
_FIGURES = {
    "Owes": ("accounts_receivable", 1),
    "Deferred revenue": ("deferred_revenue", -1),
    "Prepaid credits": ("customer_credits", -1),
    "Unapplied money": ("customer_balance", -1),
}
_SUMS = """
    select a.customer_id, a.entity, a.currency, {columns}
    from account a join (
        select customer_id, debit_account as account_id, amount as net from posting
        union all select customer_id, credit_account, -amount from posting
    ) p on p.customer_id = a.customer_id and p.account_id = a.account_id
    where a.role = any(:roles) and {where} group by 1, 2, 3"""
# What a contract `i` costs as it stands now, and what it did when it was signed.
_PRICES = """coalesce((select sum(o.price_minor) from performance_obligation o
    where o.customer_id = i.customer_id and o.contract = i.ref), i.price_minor)::bigint as price_minor, i.price_minor as first_price_minor"""


def _allowed() -> list[str] | None:
    asked = who().entities
    return None if asked is None else list(asked)


@blueprint.get("/customers")
@framed("entity")
def customers() -> str:
    """All customers: what each owes, and what is owed to each."""
    roles = {"owes": ("accounts_receivable", 1), "deferred": ("deferred_revenue", -1), "credits": ("customer_credits", -1),
             "unbilled": ("unbilled_receivable", 1), "unapplied": ("customer_balance", -1)}  # fmt: skip
    columns = ", ".join(
        f"(sum({sign} * p.net) filter (where a.role = '{role}'))::bigint as {name}"
        for name, (role, sign) in roles.items()
    )
    with engine().connect() as connection:
        sums = _SUMS.format(
            columns=columns,
            where="(cast(:entities as text[]) is null or a.entity = any(:entities)) and a.customer_id in (select customer_id from page)",
        )
        rows = connection.execute(
            text(
                "with page as (select c.customer_id, c.ref, h.name from customer c"
                f" cross join lateral customer_on(c, {TODAY_SQL}) h where c.customer_id > 0 and c.ref > :after order by c.ref limit :limit) "
                f"select page.ref as customer, page.name, s.* from page left join ({sums}) s using (customer_id) order by page.ref, s.entity, s.currency"
            ),
            {
                "after": request.args.get("after", ""), "limit": CUSTOMERS_A_PAGE, "roles": [role for role, _ in roles.values()],
                "entities": _allowed() if (of := frame().said("entity")) is None else [of],
            },
        ).all()  # fmt: skip
    listed = [row._mapping for row in rows]
    refs = {row["customer"] for row in listed}
    return render_template("customers.html", rows=listed, more=max(refs) if len(refs) == CUSTOMERS_A_PAGE else None)


@blueprint.get("/customers/<ref:ref>")
@framed("entity")
def customer(ref: str) -> str:
    """A customer: what it owes, its credits and how long they last, its statement, invoices and contracts."""
    filters = replace(frame().filters(), customer=ref)
    with engine().connect() as connection:
        party: Any = connection.execute(
            text(
                f"select h.* from customer c cross join lateral customer_on(c, {TODAY_SQL}) h where c.ref = :ref and c.customer_id > 0"
            ),
            {"ref": ref},
        ).first()
        if party is None:
            raise UnknownReference("customer", ref, "expected the id of a customer in the books")
        wallet = reports.make(connection, "wallet", filters)
        forecast = reports.make(connection, "wallet-forecast", filters)
        place = {"id": party.customer_id, "entities": _allowed()}
        whole = f"(cast(:entities as text[]) is null or not {MOVES_ELSEWHERE.format('i.invoice_id')})"
        within = "(cast(:entities as text[]) is null or i.entity = any(:entities))"
        invoices = connection.execute(
            text(
                "select i.ref, i.entity, i.issued_on, i.due_on, i.currency, i.total_minor, coalesce((select sum(case when p.debit_account ="
                " i.receivable_account then p.amount else -p.amount end) from posting p where p.customer_id = i.customer_id"
                " and i.receivable_account in (p.debit_account, p.credit_account)), 0)::bigint as open "
                f"from invoice i where i.customer_id = :id and {within} and {whole} order by i.issued_on desc, i.invoice_id desc limit {INVOICES_MAX}"
            ),
            place,
        ).all()
        contracts = connection.execute(
            text(
                f"select i.ref, i.entity, i.signed_on, i.currency, {_PRICES} from contract i where i.customer_id = :id and {within} order by 3, 1"
            ),
            place,
        ).all()
        return render_template(
            "customer.html", party=party, filters=filters, figures=_figures(connection, party.customer_id), wallet=wallet,
            forecast=forecast, burn=_burn(wallet.rows, forecast.rows), charts=_burn_down(connection, filters, wallet.rows, forecast.rows),
            entities=sorted({row.entity for row in invoices}), statement=reports.make(connection, "statement", filters),
            aging=reports.make(connection, "ar-aging", filters), invoices=invoices, contracts=contracts,
            changes=customer_changes(connection, party.customer_id),
        )  # fmt: skip


def _figures(connection: Connection, customer_id: int) -> list[tuple[str, str, list[tuple[int, str, str]]]]:
    where = "a.customer_id = :id and (cast(:entities as text[]) is null or a.entity = any(:entities))"
    rows = connection.execute(
        text(
            _SUMS.format(columns="a.role, sum(p.net)::bigint as net", where=where)
            + ", a.role having sum(p.net) <> 0 order by 2, 3"
        ),
        {"id": customer_id, "entities": _allowed(), "roles": [role for role, _ in _FIGURES.values()]},
    ).all()
    return [
        (title, role, [(sign * row.net, row.currency, row.entity) for row in rows if row.role == role])
        for title, (role, sign) in _FIGURES.items()
    ]


def _burn_down(
    connection: Connection,
    filters: Filters,
    wallets: Sequence[Mapping[str, Any]],
    forecast: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """By currency: the credits left at the end of each of the last weeks, and at the rate of the last thirty days from now on."""
    today = last_day(connection, filters)
    weeks = [today - timedelta(days=7 * back) for back in range(WEEKS_SHOWN - 1, -1, -1)]
    left: dict[str, list[int]] = {}
    for number, day in enumerate(weeks):
        for grant in reports.make(connection, "wallet", replace(filters, as_of=day)).rows:
            if grant["kind"] != "commitment":
                left.setdefault(grant["currency"], [0] * WEEKS_SHOWN)[number] += grant["left"]
    found = {}
    for row in forecast:
        amounts = left.get(row["currency"])
        if not amounts or not any(amounts):
            continue
        own = [lot_of(grant, today) for grant in wallets if grant["currency"] == row["currency"]]
        ahead = islice(burn_down(filter(None, own), Fraction(row["used"], WINDOW), today), 7 * WEEKS_SHOWN)
        coming = [int(rest) for number, (_, rest, _) in enumerate(ahead, 1) if number % 7 == 0]
        if 0 in coming:
            coming = coming[: coming.index(0) + 1]
        days = [*weeks, *(today + timedelta(days=7 * ahead) for ahead in range(1, len(coming) + 1))]
        found[row["currency"]] = chart(
            "lines", [f"{day.day} {day:%b}" for day in days],
            [Series("left", [*amounts, *([None] * len(coming))], "left"), Series("ahead", [*([None] * (WEEKS_SHOWN - 1)), amounts[-1], *coming], "at that rate")],
            row["currency"], every=3,
        )  # fmt: skip
    return found


def _burn(wallet: Any, forecast: Any) -> list[dict[str, Any]]:
    """What is left of a currency's credits, and how long it lasts."""
    granted: dict[str, int] = {}
    for row in wallet:
        if row["kind"] != "commitment":
            granted[row["currency"]] = granted.get(row["currency"], 0) + row["granted"]
    return [row | {"granted": granted.get(row["currency"], 0)} for row in forecast]


@blueprint.get("/contracts/<ref:ref>")
@framed()
def contract(ref: str) -> str:
    """A contract: its versions side by side, how its price was allocated, and when it is earned."""
    with engine().connect() as connection:
        found: Any = connection.execute(
            text(
                f"select i.ref, i.entity, i.signed_on, i.currency, {_PRICES}, c.ref as customer, h.name as customer_name "
                f"from contract i join customer c using (customer_id) cross join lateral customer_on(c, {TODAY_SQL}) h where i.ref = :ref"
            ),
            {"ref": ref},
        ).first()
        if found is None or not who().sees(found.entity):
            raise UnknownReference("contract", ref, "expected the id of a contract in the books")
        filters = Filters(contract=ref, entity=found.entity)
        terms = _terms(connection, filters, found.signed_on)
        shown = [
            reports.make(connection, name, filters)
            for name in ("allocation", "schedule", "modifications", "estimates", "contract-costs")
        ]
    versions = sorted({version for _, version in terms})
    obligations = list(dict.fromkeys(obligation for obligation, _ in terms))
    grid = [(name, [terms.get((name, version)) for version in versions]) for name in obligations]
    return render_template(
        "contract.html",
        contract=found,
        filters=filters,
        versions=versions,
        grid=grid,
        reports=[one for one in shown if one.rows],
    )


def _terms(connection: Connection, filters: Filters, signed_on: date) -> dict[tuple[str, int], dict[str, Any]]:
    """The terms of each obligation by version: as they counted on the day of signing and on each day that changed them."""
    changes = {row["effective_on"] for row in reports.make(connection, "modifications", filters).rows}
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for day in [*sorted({signed_on, *changes}), None]:
        for row in reports.make(connection, "contracts", replace(filters, as_of=day)).rows:
            found.setdefault((row["obligation"], row["version"]), row)
    return found
