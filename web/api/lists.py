"""The API's lists and the work of a month's end: parties, invoices, grants, contracts, obligations, accounts, documents, periods, seals, keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from http import HTTPStatus
from typing import Any

from flask import Response, current_app
from flask.views import MethodView
from flask_smorest import Blueprint
from marshmallow import RAISE, Schema, fields, validate
from sqlalchemy import text

from adapters.out import kept_exports
from adapters.out.export import TARGETS
from ledger.amounts.dates import TODAY_SQL, month_text, parse_month
from ledger.amounts.money import to_text
from ledger.documents import personal
from ledger.errors import Refused, UnknownReference
from ledger.journal import entries, periods, references
from ledger.proof import seals
from ledger.reports.report import Filters
from revrec.earn.recognition import recognize
from web.access import keys
from web.access.guard import engine, limited, needs, require_all_entities, require_entities, who
from web.access.naming import ENTITY_OF, MOVES_ELSEWHERE
from web.api.idempotency import once
from web.api.views import ENTRIES_A_PAGE_MAX
from web.render.prints import sheet_answer
from web.render.wording import disposition
from web.serving.gates import CHECKS, CLOSES, SEALS, few_at_once
from web.serving.patience import LOCK_SECONDS
from web.work import export_jobs
from web.work.closing import checklist, close

blueprint = Blueprint("resources", __name__, url_prefix="/v1", description="Lists, and the work of a month's end.")

_NOT_FOUND = HTTPStatus(404).name
_REFUSED = HTTPStatus(422).name


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
        @blueprint.alt_response(422, response=_REFUSED)
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


class PeriodSchema(Schema):
    """How far an entity's books are closed."""

    entity = fields.String()
    closed_through = fields.Date(allow_none=True)
    first_open_day = fields.Date()
    history = fields.List(fields.Dict())


class ChecklistSchema(Schema):
    """What a month still waits for before it closes."""

    name = fields.String()
    done = fields.Boolean()
    detail = fields.String()
    warning = fields.Boolean(metadata={"description": "Where it is not done, closing need not wait for it."})
    report = fields.String(metadata={"description": "The report that shows it, where one does."})
    todo = fields.String(metadata={"description": "The command that does it, where one does."})


class CloseSchema(Schema):
    """Which month to close, also `anyway` where something is undone, or why to open the last closed one again."""

    month = fields.String(
        required=True,
        validate=validate.Regexp(r"^\d{4}-(0[1-9]|1[0-2])$", error="expected a month such as 2026-01"),
        metadata={"example": "2026-01"},
    )
    reopen = fields.Boolean(load_default=False)
    anyway = fields.Boolean(
        load_default=False, metadata={"description": "Close it with something undone; the reason is kept with that."}
    )
    reason = fields.String(load_default="")


@blueprint.route("/periods/<ref:entity>")
class Periods(MethodView):
    """Months of an entity's books."""

    @blueprint.response(200, PeriodSchema)
    @blueprint.alt_response(404, response=_NOT_FOUND)
    def get(self, entity: str) -> dict[str, Any]:
        """How far the books are closed, and who closed and reopened what."""
        require_entities([entity])
        with engine().connect() as connection:
            return _period(connection, entity)

    @needs("controller")
    @once
    @blueprint.arguments(CloseSchema, unknown=RAISE, example={"month": "2026-01"})
    @blueprint.response(200, PeriodSchema)
    @blueprint.alt_response(404, response=_NOT_FOUND)
    @blueprint.alt_response(422, response=_REFUSED)
    @few_at_once(CLOSES)
    def post(self, body: dict[str, Any], entity: str) -> dict[str, Any]:
        """Close a month of which nothing is undone, or anyway; or open the last closed one again, with a reason.

        What is posted is sealed when it closes.
        """
        require_entities([entity])
        month = parse_month(body["month"])
        if body["reopen"]:
            with engine().begin() as connection:
                periods.reopen(connection, entity, month, who().name, body["reason"])
        else:
            close(engine(), [entity], month, who().name, anyway=body["anyway"], reason=body["reason"])
            seals.seal(engine(), who().name)
        with engine().connect() as connection:
            return _period(connection, entity)


def _period(connection: Any, entity: str) -> dict[str, Any]:
    periods.currency(connection, entity)
    return {
        "entity": entity, "closed_through": periods.closed_through(connection, entity),
        "first_open_day": periods.first_open_day(connection, entity),
        "history": [
            {"month": month_text(row.month), "action": row.action, "at": row.at.isoformat(), "by": row.by, "reason": row.reason,
             "undone": row.undone}
            for row in periods.events(connection, entity)
        ],
    }  # fmt: skip


@blueprint.route("/periods/<ref:entity>/<string:month>/checklist")
class Checklist(MethodView):
    """What a month waits for."""

    @blueprint.response(200, ChecklistSchema(many=True))
    @blueprint.alt_response(404, response=_NOT_FOUND)
    @blueprint.alt_response(422, response=_REFUSED)
    @few_at_once(CHECKS, long=True)
    def get(self, entity: str, month: str) -> list[dict[str, Any]]:
        """What a month still waits for before it closes; nothing is posted."""
        require_entities([entity])
        return [asdict(item) for item in checklist(engine(), entity, _month(month), who().name)]


def _month(given: str) -> date:
    try:
        return parse_month(given)
    except ValueError:
        raise Refused("month", given, "expected a month such as 2026-01") from None


class RecognitionQuerySchema(Schema):
    """Through which month to recognise."""

    through = fields.String(
        required=True,
        validate=validate.Regexp(r"^\d{4}-(0[1-9]|1[0-2])$", error="expected a month such as 2026-01"),
        metadata={"example": "2026-01"},
    )


class RecognitionSchema(Schema):
    """What a run of recognition posted."""

    through = fields.String()
    entries = fields.Integer()
    expired_grants = fields.Integer()


@blueprint.route("/recognitions")
class Recognitions(MethodView):
    """Recognition of revenue."""

    @needs("controller")
    @once
    @blueprint.arguments(RecognitionQuerySchema, unknown=RAISE, example={"through": "2026-01"})
    @blueprint.response(200, RecognitionSchema)
    @blueprint.alt_response(403, response=HTTPStatus(403).name)
    @blueprint.alt_response(422, response=_REFUSED)
    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """Post the revenue that is due through a month, of all entities; a second run posts nothing."""
        require_all_entities("recognition")
        with engine().begin() as connection:
            run = recognize(connection, parse_month(body["through"]), who().name)
            return {"through": body["through"], "entries": run.entries, "expired_grants": run.expired_grants}


class SealSchema(Schema):
    """A block of sealed entries."""

    seal = fields.Integer()
    first_entry = fields.Integer()
    last_entry = fields.Integer()
    entries = fields.Integer()
    root = fields.String()
    previous = fields.String()
    hash = fields.String()
    sealed_at = fields.String()
    sealed_by = fields.String()


class SealPageSchema(Schema):
    """Seals, oldest first."""

    rows = fields.List(fields.Nested(SealSchema))
    next = fields.String(allow_none=True)


@blueprint.route("/seals")
class Seals(MethodView):
    """Seals of what is posted."""

    @blueprint.arguments(PageQuerySchema(only=("after", "limit")), location="query", unknown=RAISE)
    @blueprint.response(200, SealPageSchema)
    @blueprint.alt_response(422, response=_REFUSED)
    def get(self, query: dict[str, Any]) -> dict[str, Any]:
        """Seals in the order in which they were made."""
        after = query["after"] or "0"
        if not entries.is_number(after):
            raise Refused("after", after, "expected `next` of the page before")
        with engine().connect() as connection:
            rows = connection.execute(
                text(
                    "select seal_id as seal, first_entry, last_entry, entries, encode(root, 'hex') as root, encode(previous, 'hex') as previous,"
                    " encode(hash, 'hex') as hash, sealed_at, sealed_by from seal where seal_id > :after order by seal_id limit :limit"
                ),
                {"after": int(after), "limit": query["limit"]},
            ).all()
        found = [dict(row._mapping) | {"sealed_at": row.sealed_at.isoformat()} for row in rows]
        return {"rows": found, "next": str(rows[-1].seal) if len(rows) == query["limit"] else None}

    @needs("controller")
    @once
    @blueprint.response(200, Schema.from_dict({"sealed": fields.Integer(), "said": fields.String()}, name="Sealed"))
    @few_at_once(SEALS)
    def post(self) -> dict[str, Any]:
        """Seal what is posted and not sealed yet."""
        done = seals.seal(engine(), who().name, LOCK_SECONDS)
        return {"sealed": done.entries, "said": done.sentence if done.head is not None else "nothing is posted yet"}


class ExportQuerySchema(Schema):
    """Whose exports."""

    entity = fields.String(load_default=None)


class ExportStatusSchema(Schema):
    """What went out for a system, and what is new."""

    rows = fields.List(fields.Dict())
    notes = fields.List(fields.String())


class AskedSchema(Schema):
    """An export to be written."""

    target = fields.String(required=True, metadata={"description": "As on the command line: quickbooks, workbook ..."})
    entity = fields.String(required=True)
    mapping = fields.String(load_default="", metadata={"description": "The mapping file's text (docs/exports.md)"})
    detail = fields.String(
        load_default=None, allow_none=True, validate=validate.OneOf(["entry", "document", "day", "month"])
    )
    since = fields.Date(data_key="from", load_default=None, allow_none=True)
    as_of = fields.Date(data_key="to", load_default=None, allow_none=True)
    new = fields.Boolean(
        load_default=False, metadata={"description": "Only what did not go out yet; keeps what goes out"}
    )


class JobSchema(Schema):
    """An export in the background."""

    job = fields.Integer()
    target = fields.String()
    entity = fields.String()
    state = fields.String(metadata={"description": "waiting, running, done, failed"})
    done = fields.Integer(metadata={"description": "Entries or objects written so far"})
    said = fields.String(metadata={"description": "What was written, or what was wrong"})
    file = fields.String(allow_none=True)
    at = fields.String()
    by = fields.String()


@blueprint.route("/exports")
class Asking(MethodView):
    """Exports in the background."""

    @needs("controller")
    @once
    @blueprint.arguments(AskedSchema, unknown=RAISE, example={"target": "workbook", "entity": "us"})
    @blueprint.response(202, JobSchema)
    @blueprint.alt_response(404, response=_NOT_FOUND)
    @blueprint.alt_response(422, response=_REFUSED)
    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """Ask for an export: it is written and proven to tie in the background."""
        require_entities([body["entity"]])
        number = current_app.extensions["tickmark.jobs"].ask(export_jobs.Asked(**body), who().name)
        return export_jobs.find(engine(), number).as_json()


@blueprint.route("/jobs/<int:number>")
class Job(MethodView):
    """One of them."""

    @blueprint.response(200, JobSchema)
    @blueprint.alt_response(404, response=_NOT_FOUND)
    def get(self, number: int) -> dict[str, Any]:
        """How far an export is."""
        return export_jobs.find(engine(), number, who().sees).as_json()


@blueprint.route("/jobs/<int:number>/file")
class JobFile(MethodView):
    """What it wrote."""

    @blueprint.response(200, {"type": "string", "format": "binary"}, content_type="application/octet-stream")
    @blueprint.alt_response(404, response=_NOT_FOUND)
    def get(self, number: int) -> Response:
        """The file that an export wrote; it is kept for a day."""
        export_jobs.find(engine(), number, who().sees)
        return job_file(number)


def job_file(number: int) -> Response:
    """A job's file as an answer."""
    name, content = export_jobs.content(engine(), number)
    return Response(content, mimetype="application/octet-stream", headers=disposition("attachment", name))


class SheetQuerySchema(Schema):
    """How a document is to be shown; for a statement, of which account and which days."""

    format = fields.String(load_default="html", validate=validate.OneOf(["html", "pdf"]))
    entity = fields.String(load_default=None)
    since = fields.Date(load_default=None, data_key="from")
    as_of = fields.Date(load_default=None)


@blueprint.route("/print/<string:kind>/<ref:ref>")
class Print(MethodView):
    """Invoices, credit notes and statements as they are sent."""

    @blueprint.arguments(SheetQuerySchema, location="query", unknown=RAISE)
    @blueprint.response(200, {"type": "string"}, content_type="text/html")
    @blueprint.alt_response(404, response=_NOT_FOUND)
    @blueprint.alt_response(422, response=_REFUSED)
    def get(self, query: dict[str, Any], kind: str, ref: str) -> Response:
        """An invoice, credit_note, invoice_void, credit_note_void or payment_reversal, or the statement of a customer: HTML, or with format=pdf a PDF."""
        return sheet_answer(kind, ref, query["format"], query["entity"], query["since"], query["as_of"])


class EraseSchema(Schema):
    """Whose personal fields are erased, and why."""

    customer = fields.String(required=True)
    reason = fields.String(required=True)


class ErasedSchema(Schema):
    """A document whose personal fields were erased."""

    customer = fields.String()
    type = fields.String()
    ref = fields.String()
    erased_at = fields.DateTime()
    erased_by = fields.String()
    reason = fields.String()


@blueprint.route("/erasures")
class Erasures(MethodView):
    """Personal fields that were erased."""

    @blueprint.response(200, ErasedSchema(many=True))
    def get(self) -> list[dict[str, Any]]:
        """What was erased, when, by whom and why: the latest first."""
        require_all_entities("the list of erasures")
        with engine().connect() as connection:
            return personal.erasures(connection)

    @needs("admin")
    @once
    @blueprint.arguments(EraseSchema, unknown=RAISE, example={"customer": "globex", "reason": "asked for"})
    @blueprint.response(200, Schema.from_dict({"documents": fields.Integer()}, name="Erasure"))
    @blueprint.alt_response(404, response=_NOT_FOUND)
    @blueprint.alt_response(422, response=_REFUSED)
    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """Erase for good what documents say of a customer's persons. History and its seals stay as they are."""
        require_all_entities("an erasure")
        with engine().begin() as connection:
            return {"documents": personal.erase(connection, body["customer"], body["reason"], who().name)}


@blueprint.route("/exports/<string:target>")
class Exports(MethodView):
    """Exports that were kept."""

    @blueprint.arguments(ExportQuerySchema, location="query", unknown=RAISE)
    @blueprint.response(200, ExportStatusSchema)
    @blueprint.alt_response(404, response=_NOT_FOUND)
    @blueprint.alt_response(422, response=_REFUSED)
    def get(self, query: dict[str, Any], target: str) -> dict[str, Any]:
        """What went out for a system, export by export, and the months in which something is still to go."""
        if target not in TARGETS:
            raise UnknownReference("target", target, f"expected one of {', '.join(TARGETS)}")
        with engine().connect() as connection:
            filters = limited(Filters(entity=query["entity"]))
            if filters.entity is None:
                known = periods.entities(connection)
                if len(known) != 1:
                    raise Refused(
                        "entity", "missing", f"expected one of the entities in the books ({', '.join(known) or 'none'})"
                    )
                filters = Filters(entity=known[0])
            assert filters.entity is not None, "chosen above"
            periods.currency(connection, filters.entity)
            report = kept_exports.status(
                connection,
                target,
                filters,
                connection.scalar(text("select coalesce(max(entry_id), 0) from entry")) or 0,
            )
        return {"rows": report.json_rows(), "notes": list(report.notes)}


class NewKeySchema(Schema):
    """A key to be made."""

    name = fields.String(required=True, validate=validate.Length(min=1, max=100), metadata={"example": "meter-feed"})
    role = fields.String(required=True, validate=validate.OneOf(keys.ROLES))
    entities = fields.List(
        fields.String(), load_default=list, metadata={"description": "The entities it is for; all where there are none"}
    )
    expires_on = fields.Date(load_default=None, metadata={"description": "Its last day; a year from now by default"})


class MadeKeySchema(Schema):
    """A key that was made: it is not shown again."""

    key = fields.String()


class KeySchema(Schema):
    """A key, without what it is made of."""

    key = fields.String()
    name = fields.String()
    role = fields.String()
    entities = fields.String()
    state = fields.String()
    expires_on = fields.String()
    created_at = fields.String()
    created_by = fields.String()


@blueprint.route("/keys")
class Keys(MethodView):
    """Keys of persons and systems."""

    @needs("admin")
    @blueprint.response(200, KeySchema(many=True))
    def get(self) -> list[dict[str, Any]]:
        """All keys there are and were."""
        require_all_entities("the list of keys")
        with engine().connect() as connection:
            return keys.keys(connection).json_rows()

    @needs("admin")
    @blueprint.arguments(NewKeySchema, unknown=RAISE, example={"name": "meter-feed", "role": "operator"})
    @blueprint.response(201, MadeKeySchema)
    @blueprint.alt_response(404, response=_NOT_FOUND)
    @blueprint.alt_response(422, response=_REFUSED)
    def post(self, body: dict[str, Any]) -> dict[str, str]:
        """Make a key. It is answered once, and kept nowhere."""
        require_all_entities("a key")
        with engine().begin() as connection:
            made = keys.create(connection, body["name"], body["role"], who().name, body["entities"], body["expires_on"])
        return {"key": made}


@blueprint.route("/keys/<int:key_id>")
class Key(MethodView):
    """One key."""

    @needs("admin")
    @blueprint.response(204)
    @blueprint.alt_response(404, response=_NOT_FOUND)
    @blueprint.alt_response(422, response=_REFUSED)
    def delete(self, key_id: int) -> None:
        """Let a key hold no more, from now on."""
        require_all_entities("a key")
        with engine().begin() as connection:
            keys.revoke(connection, key_id, who().name)
