"""Pages of entries, documents and invoices, and what finds them."""

from __future__ import annotations

import json

from flask import redirect, render_template, request, url_for
from sqlalchemy import text
from werkzeug.wrappers import Response as BaseResponse

from ledger.accounts.chart import ROLES
from ledger.accounts.rulebook import RULES
from ledger.invoices.show import read_invoice
from ledger.journal import entries, references
from ledger.trace.names import names_of
from web.access.guard import engine, who
from web.access.naming import ENTITY_OF, MOVES_ELSEWHERE
from web.access.scope import ELSEWHERE, require_document, trace_within
from web.pages.words import blueprint
from web.render.frame import framed
from web.render.printed import KINDS
from web.render.trace_picture import picture

FIND_LENGTH_MAX = 300


@blueprint.get("/entries/<int:entry_id>")
@framed()
def entry(entry_id: int) -> str:
    """An entry: why it was posted, its lines, its document, where it comes from and where it went."""
    with engine().connect() as connection:
        trace = trace_within(connection, f"entry:{entry_id}", who().entities, str(entry_id))
    found = trace.entries[0]
    codes = list(dict.fromkeys(line.rule for line in found.lines))
    totals: dict[str, int] = {}
    for line in found.lines:
        if line.side == "debit":
            for currency, amount in {
                line.currency: line.amount,
                line.functional_currency: line.functional_amount,
            }.items():
                totals[currency] = totals.get(currency, 0) + amount
    return render_template(
        "entry.html", trace=trace, entry=found, rules=[RULES[code] for code in codes], totals=totals,
        picture=picture(trace), roles=ROLES,
    )  # fmt: skip


@blueprint.get("/documents/<kind>/<ref:ref>")
@framed()
def thing(kind: str, ref: str) -> str:
    """A document (or an obligation): what it says, its entries, what it comes from and what it led to."""
    with engine().connect() as connection:
        wanted = ref if kind == "export" else f"{kind}:{ref}"
        trace = trace_within(connection, wanted, who().entities, ref)
    return render_template("document.html", trace=trace, names=_OF_ALL | names_of(kind), printed=kind in KINDS)


# What every document may name.
_OF_ALL = {field: field for field in ("customer", "entity", "product", "invoice", "grant", "contract")}


@blueprint.get("/invoices/<ref:ref>")
@framed()
def invoice(ref: str) -> str:
    """An invoice as its reader sees it; each line unfolds to the usage behind it."""
    with engine().connect() as connection:
        require_document(connection, "invoice", ref, who().entities, "expected the id of an invoice in the books")
        found = read_invoice(connection, ref)
    return render_template("invoice.html", invoice=found)


# Documents that have a text in their id, or in what they are called elsewhere: those first of which it is all.
_FOUND = f"""
    select d.type, d.ref, d.body, k.place < 2 as exact from document d join (
        select customer_id, document_id, min(place) as place from (
            select customer_id, document_id, case ref when :exact then 0 else 2 end as place from document_key where ref ilike :like
            union all
            select customer_id, document_id, case when :exact in (external_id, system || ':' || external_id) then 1 else 2 end
            from external_key where system || ':' || external_id ilike :like
            union all
            select customer_id, document_id, case reference when :exact then 1 else 2 end
            from document_reference where reference ilike :like
        ) named group by 1, 2
    ) k using (customer_id, document_id)
    where cast(:entities as text[]) is null or ({ENTITY_OF} = any(:entities) and not {MOVES_ELSEWHERE.format("d.document_id")})
    order by k.place, d.type, d.ref limit 51"""


@blueprint.get("/find")
@framed()
def find() -> str | BaseResponse:
    """What the search box names: an entry's number, a document's id, its reference or its id in another system, a customer."""
    wanted = request.args.get("q", "").strip()[:FIND_LENGTH_MAX]
    with engine().connect() as connection:
        entry = None
        plain = wanted.replace(",", "")
        if entries.is_number(plain):
            entry = connection.scalar(
                text(f"select entry_id from entry e where entry_id = :id and (:all or not {ELSEWHERE})"),
                {"id": int(plain), "all": who().entities is None, "entities": list(who().entities or ())},
            )
        pattern = wanted.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        rows = connection.execute(
            text(_FOUND),
            {
                "like": f"%{pattern}%",
                "exact": wanted,
                "entities": None if who().entities is None else list(who().entities or ()),
            },
        ).all()
    if entry and not any(row.exact for row in rows):
        return redirect(url_for("pages.entry", entry_id=entry))
    if len(rows) == 1 and not entry:
        return redirect(url_for("pages.thing", kind=rows[0].type, ref=rows[0].ref))
    found = [(row.type, row.ref, ", ".join(references.said(json.loads(row.body)))) for row in rows[:50]]
    return render_template("find.html", wanted=wanted, entry=entry, rows=found, more=len(rows) > 50)
