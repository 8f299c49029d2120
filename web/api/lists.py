"""The API's lists and the work of a month's end: parties, invoices, grants, contracts, obligations, accounts, documents, periods, seals, keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from http import HTTPStatus
from typing import Any

from flask.views import MethodView
from flask_smorest import Blueprint
from marshmallow import RAISE, Schema, fields, validate
from sqlalchemy import text

from ledger.amounts.dates import TODAY_SQL
from ledger.amounts.money import to_text
from ledger.errors import Refused
from ledger.journal import entries, references
from ledger.reports.report import Filters
from web.access.guard import engine, limited, who
from web.access.naming import ENTITY_OF, MOVES_ELSEWHERE
from web.api.schemas import ENTRIES_A_PAGE_MAX

blueprint = Blueprint("resources", __name__, url_prefix="/v1", description="Lists, and the work of a month's end.")

NOT_FOUND = HTTPStatus(404).name
REFUSED = HTTPStatus(422).name


class PageQuerySchema(Schema):
    """A page of a list: what comes after the cursor that the page before gave as `next`."""

    after = fields.String(load_default=None, metadata={"description": "`next` of the page before"})
    limit = fields.Integer(load_default=100, validate=validate.Range(min=1, max=ENTRIES_A_PAGE_MAX))
    entity = fields.String(load_default=None)
    customer = fields.String(load_default=None)


class DocumentQuerySchema(PageQuerySchema):
    """A page of the list of documents, or of those that are called so elsewhere."""

    external = fields.String(
        load_default=None, metadata={"description": "An id that another system has for it: stripe:ch_1, or ch_1"}
    )
    reference = fields.String(load_default=None, metadata={"description": "The reference it bears"})


class PageSchema(Schema):
    """A page of a list; `next` is null on the last one. Amounts are decimal strings of the row's currency."""

    rows = fields.List(fields.Dict())
    next = fields.String(allow_none=True)


@dataclass(frozen=True, slots=True)
class _List:
    """A list: its SQL with the columns `cursor`, `entity` and `customer` beside those shown, and which of these are amounts."""

    query: str
    amounts: tuple[str, ...] = ()
    numbered: bool = False  # whether the cursor is a number
    of_all: bool = False  # whether its rows are of no entity
    document: str = ""  # what is the number of a row's document, where one may be of several entities


_DOCUMENTS = (
    "select d.document_id as cursor, {entity} as entity, coalesce(d.body::jsonb ->> 'customer', c.ref) as customer, d.document_id as number,"
    " d.type, d.ref as id, d.dated_on, d.body::jsonb ->> 'reference' as reference, d.body::jsonb -> 'external' as external,"
    " d.posted_at, d.posted_by from document d"
    " left join customer c on c.customer_id = d.customer_id and c.customer_id > 0"
)
_LISTS: Mapping[str, _List] = {
    "customers": _List(
        "select c.ref as cursor, null as entity, c.ref as customer, c.ref as id, h.name, h.country, h.tax_id, h.tax_status, h.overage,"
        f" h.terms, h.parent from customer c cross join lateral customer_on(c, {TODAY_SQL}) h where c.customer_id > 0",
        of_all=True,
    ),
    "invoices": _List(
        "select i.ref as cursor, i.entity, c.ref as customer, i.ref as id, i.number, i.currency, i.issued_on, i.due_on,"
        " i.total_minor as total, i.master, i.supersedes from invoice i join customer c using (customer_id)",
        amounts=("total",),
        document="(select invoice_id from invoice where ref = cursor)",
    ),
    "grants": _List(
        "select g.ref as cursor, g.entity, c.ref as customer, g.ref as id, g.kind, g.currency, g.face_minor as face, g.price_minor as price,"
        " g.effective_on, g.expires_on, g.products, g.priority, g.contract from credit_grant g join customer c using (customer_id)",
        amounts=("face", "price"),
    ),
    "contracts": _List(
        "select k.ref as cursor, k.entity, c.ref as customer, k.ref as id, k.currency, k.signed_on,"
        " coalesce((select sum(o.price_minor) from performance_obligation o where o.customer_id = k.customer_id and o.contract = k.ref),"
        "  k.price_minor)::bigint as price, k.price_minor as first_price from contract k join customer c using (customer_id)",
        amounts=("price", "first_price"),
    ),
    "obligations": _List(
        "select substr(o.subject, 12) as cursor, o.entity, c.ref as customer, substr(o.subject, 12) as id, o.contract, o.invoice, o.product,"
        " o.pattern, o.starts_on, o.ends_on, o.currency, o.price_minor as price"
        " from performance_obligation o join customer c using (customer_id)",
        amounts=("price",),
    ),
    "accounts": _List(
        "select a.account_id as cursor, a.entity, c.ref as customer, a.account_id as id, a.role, a.subject, a.product, a.currency"
        " from account a join customer c using (customer_id)",
        numbered=True,
    ),
    "documents": _List(_DOCUMENTS.format(entity=ENTITY_OF), numbered=True, document="cursor"),
}  # fmt: skip


def _chosen(name: str, query: Mapping[str, Any]) -> _List:
    """A list, or of documents those that are called so elsewhere."""
    named = [
        f"(d.customer_id, d.document_id) in ({of})"
        for of, wanted in (
            (references.OF_EXTERNAL, query.get("external")),
            (references.OF_REFERENCE, query.get("reference")),
        )
        if wanted is not None
    ]
    if not named:
        return _LISTS[name]
    return _List(f"{_DOCUMENTS.format(entity=ENTITY_OF)} where {' and '.join(named)}", numbered=True, document="cursor")


def _page(name: str, query: Mapping[str, Any]) -> dict[str, Any]:
    kind = _chosen(name, query)
    entity = None if kind.of_all else limited(Filters(entity=query["entity"])).entity
    after = query["after"]
    if kind.numbered and after is not None and not entries.is_number(after):
        raise Refused("after", after, "expected `next` of the page before")
    seen = who().entities
    whole = f" and not {MOVES_ELSEWHERE.format(kind.document)}" if kind.document and seen is not None else ""
    with engine().connect() as connection:
        rows = connection.execute(
            text(
                f"select * from ({kind.query}) x where (cast(:after as {'bigint' if kind.numbered else 'text'}) is null"
                f" or cursor > cast(:after as {'bigint' if kind.numbered else 'text'}))"
                " and (cast(:entity as text) is null or entity = :entity) and (cast(:customer as text) is null or customer = :customer)"
                f"{whole} "
                "order by cursor limit :limit"
            ),
            dict(query) | {"after": after, "entity": entity, "entities": seen and list(seen)},
        ).all()
    found = [_shown(row._mapping, kind) for row in rows]
    return {"rows": found, "next": str(rows[-1].cursor) if len(rows) == query["limit"] else None}


def _shown(row: Mapping[Any, Any], kind: _List) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in row.items():
        if name == "cursor" or (kind.of_all and name in ("entity", "customer")):
            continue
        if name in kind.amounts and value is not None:
            shown[name] = to_text(value, row["currency"])
        else:
            shown[name] = value.isoformat() if isinstance(value, date | datetime) else value
    return shown


def _listed(name: str, title: str) -> type[MethodView]:
    """The view of a list."""

    class Listed(MethodView):
        @blueprint.arguments(
            DocumentQuerySchema if name == "documents" else PageQuerySchema, location="query", unknown=RAISE
        )
        @blueprint.response(200, PageSchema)
        @blueprint.alt_response(422, response=REFUSED)
        def get(self, query: dict[str, Any]) -> dict[str, Any]:
            return _page(name, query)

    Listed.__name__ = f"List{name.title()}"
    Listed.__doc__ = title
    Listed.get.__doc__ = f"{title}, a page at a time."
    return Listed


for _name, _title in {
    "customers": "Customers", "invoices": "Invoices", "grants": "Grants of credits", "contracts": "Contracts",
    "obligations": "Performance obligations", "accounts": "Sub-ledger accounts", "documents": "Documents as they came in",
}.items():  # fmt: skip
    blueprint.route(f"/{_name}")(_listed(_name, _title))
