"""A customer's own page, by a signed link: what was used, what is left of what was bought, and when it runs out at that rate.

A link names its customer and its entity, is signed with TICKMARK_SECRET_KEY, and ends on its day; it opens nothing else and changes
nothing. To end all links before their day, replace the key.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from flask import Blueprint, Response, render_template, request
from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy import Connection, text
from werkzeug.exceptions import NotFound

from adapters.files.forms import plain
from ledger.amounts.dates import month_end, month_start, parse_month
from ledger.amounts.money import grouped, round_minor, to_decimal
from ledger.errors import Refused, UnknownReference
from ledger.journal import periods
from ledger.reports.report import Filters, last_day
from ledger.reports.wallet import wallet
from ledger.wallets.forecast import wallet_forecast
from web.access.guard import engine
from web.access.limits import count_link
from web.render.chart_data import Series, chart
from web.render.wording import disposition

blueprint = Blueprint("mine", __name__, url_prefix="/mine")

DAYS_MAX = 366
PRODUCT_STYLES = 5  # in the style sheet
_SALT = "tickmark customer link"


def _signer() -> URLSafeSerializer:
    key = os.environ.get("TICKMARK_SECRET_KEY", "").partition(",")[0].strip()
    if not key:
        raise Refused("TICKMARK_SECRET_KEY", "missing", "expected the key that links are signed with")
    return URLSafeSerializer(key, salt=_SALT, signer_kwargs={"digest_method": hashlib.sha256})


def link(connection: Connection, customer: str, entity: str, last: date) -> str:
    """The path of a customer's page for an entity, up to a day. Raises UnknownReference, or Refused for a day too far."""
    if not connection.scalar(
        text("select count(*) from customer where ref = :ref and customer_id > 0"), {"ref": customer}
    ):
        raise UnknownReference("customer", customer, "expected the id of a customer in the books")
    periods.currency(connection, entity)
    today = datetime.now(UTC).date()
    if not today <= last <= today + timedelta(days=DAYS_MAX):
        raise Refused("expires", last, f"expected a day from today on, at most {DAYS_MAX} days away")
    return f"/mine/{_signer().dumps([customer, entity, last.isoformat()])}"


def _opened(token: str) -> tuple[str, str]:
    """The customer and the entity of a link. Raises NotFound for one that is not, or not any longer, TooManyRequests for too many looks."""
    try:
        customer, entity, last = _signer().loads(token)
    except (BadSignature, Refused, ValueError, TypeError):
        raise NotFound("This link is not valid. Ask whoever sent it for a new one.") from None
    if date.fromisoformat(last) < datetime.now(UTC).date():
        raise NotFound(f"This link was valid until {last}. Ask whoever sent it for a new one.")
    count_link(token)
    return customer, entity


def _month(connection: Connection, entity: str) -> date:
    raw = request.args.get("month")
    try:
        return parse_month(raw) if raw else month_start(last_day(connection, Filters(entity=entity)))
    except ValueError:
        raise Refused("month", raw or "", "expected a month such as 2026-01") from None


@blueprint.get("/<token>")
def page(token: str) -> str:
    """What the customer used in a month, by product and day, and what is left of its grants and commitments."""
    customer, entity = _opened(token)
    with engine().connect() as connection:
        month = _month(connection, entity)
        filters = Filters(customer=customer, entity=entity)
        grants = [
            row for row in wallet(connection, filters).rows if row["expires_on"] is None or row["expires_on"] >= month
        ]
        used = _used(connection, customer, entity, month)
        names = connection.execute(
            text(
                "select h.name as customer, e.name as entity from customer c cross join lateral customer_on(c, :on) h, entity e"
                " where c.ref = :customer and e.entity = :entity"
            ),
            {"customer": customer, "entity": entity, "on": datetime.now(UTC).date()},
        ).one()
        rates = {row["currency"]: row for row in wallet_forecast(connection, filters).rows}
        today = last_day(connection, filters)
    days = sorted({row["day"] for row in used})
    products = sorted({(row["product"], row["currency"]) for row in used})
    cells = {(row["day"], row["product"], row["currency"]): row for row in used}
    return render_template(
        "mine.html", token=token, names=names, month=month, grants=[_grant(row, rates, today) for row in grants], days=days,
        products=products, cells=cells, totals={place: _total(used, place) for place in products},
        charts=_charts(used), before=month_start(month - timedelta(days=1)), after=month_end(month) + timedelta(days=1),
    )  # fmt: skip


def _charts(used: list[dict[str, Any]]) -> dict[str, Any]:
    """By currency: what was used each day, product upon product, to the cent."""
    found = {}
    for currency in sorted({row["currency"] for row in used}):
        own = [row for row in used if row["currency"] == currency]
        days = sorted({row["day"] for row in own})
        products = sorted({row["product"] for row in own})
        amounts = {(row["day"], row["product"]): round_minor(row["amount"], currency) for row in own}
        series = [
            Series(f"product{number % PRODUCT_STYLES}", [amounts.get((day, product)) for day in days], product)
            for number, product in enumerate(products)
        ]
        found[currency] = chart("bars", [f"{day.day} {day:%b}" for day in days], series, currency) | {"names": products}
    return found


def _total(used: list[dict[str, Any]], place: tuple[str, str]) -> dict[str, Decimal]:
    own = [row for row in used if (row["product"], row["currency"]) == place]
    return {name: sum((row[name] for row in own), Decimal(0)) for name in ("quantity", "amount")}


def _grant(row: dict[str, Any], rates: dict[str, dict[str, Any]], today: date) -> dict[str, Any]:
    """A grant or a commitment with what becomes of it at the rate of the last thirty days."""
    rate = rates.get(row["currency"])
    a_day = 0 if rate is None else rate["a_day"]
    money = f"{to_decimal(a_day, row['currency']):,} {row['currency']} a day"
    last = row["expires_on"]
    coming = a_day * max((last - today).days, 0) if last is not None else 0
    said = ""
    if row["left"] == 0:
        said = "used up"
    elif last is not None and a_day:
        beyond = coming - row["left"]
        amount = f"{grouped(abs(beyond), row['currency'])} {row['currency']}"
        if beyond > 0:
            said = f"at {money}, {amount} beyond it by {last}, which is billed as it is used"
        elif row["kind"] == "commitment":
            said = f"at {money}, {amount} of it is not used by {last}, which is billed then"
        else:
            said = f"at {money}, {amount} of it is left on {last}"
    elif row["kind"] == "commitment":
        said = "what is not used by then is billed"
    if rate is not None and rate["runs_out_on"] is not None and row["kind"] != "commitment" and row["left"]:
        said = f"{said or f'at {money}'}; all credits are used up on {rate['runs_out_on']}"
    return row | {"said": said}


def _used(connection: Connection, customer: str, entity: str, month: date) -> list[dict[str, Any]]:
    """What was used by day and product: quantities, and what they come to as they are priced, unrounded."""
    rows = connection.execute(
        text(
            "select d.dated_on as day, d.body::jsonb ->> 'product' as product, d.body::jsonb ->> 'currency' as currency,"
            " coalesce(sum((d.body::jsonb ->> 'quantity')::numeric), 0) as quantity,"
            " sum(coalesce((d.body::jsonb ->> 'amount')::numeric, (d.body::jsonb ->> 'quantity')::numeric"
            " * (d.body::jsonb ->> 'unit_price')::numeric)) as amount "
            "from document d where d.customer_id = (select customer_id from customer where ref = :customer) and d.type = 'usage'"
            " and d.dated_on between :first and :last and d.body::jsonb ->> 'entity' = :entity"
            " and not exists (select from superseded_usage s where s.customer_id = d.customer_id and s.document_id = d.document_id) "
            "group by 1, 2, 3 order by 1, 2, 3"
        ),
        {"customer": customer, "entity": entity, "first": month, "last": month_end(month)},
    )
    return [dict(row._mapping) for row in rows]


@blueprint.get("/<token>/usage.csv")
def usage(token: str) -> Response:
    """A month's usage, document by document."""
    customer, entity = _opened(token)
    with engine().connect() as connection:
        month = _month(connection, entity)
        rows = connection.execute(
            text(
                "select d.dated_on, d.ref, d.body::jsonb ->> 'product' as product, d.body::jsonb ->> 'quantity' as quantity,"
                " d.body::jsonb ->> 'unit_price' as unit_price, d.body::jsonb ->> 'currency' as currency, d.body::jsonb ->> 'events' as events,"
                " d.body::jsonb ->> 'amount' as amount "
                "from document d where d.customer_id = (select customer_id from customer where ref = :customer) and d.type = 'usage'"
                " and d.dated_on between :first and :last and d.body::jsonb ->> 'entity' = :entity"
                " and not exists (select from superseded_usage s where s.customer_id = d.customer_id and s.document_id = d.document_id) "
                "order by d.dated_on, d.document_id"
            ),
            {"customer": customer, "entity": entity, "first": month, "last": month_end(month)},
        ).all()
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["date", "id", "product", "quantity", "unit price", "currency", "metered from", "amount"])
    for row in rows:
        writer.writerow([row.dated_on.isoformat(), *(plain(value or "") for value in row[1:])])
    return Response(
        out.getvalue(),
        mimetype="text/csv",
        headers=disposition("attachment", f"usage-{month:%Y-%m}.csv"),
    )
