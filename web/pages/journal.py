"""The page of the journal."""

from __future__ import annotations

from datetime import date

from flask import render_template, request

from ledger.accounts.chart import ROLES
from ledger.errors import Refused
from ledger.journal import entries
from web.access.guard import engine, who
from web.access.scope import ELSEWHERE
from web.pages.query import parsed
from web.pages.words import blueprint
from web.render.frame import frame, framed

JOURNAL_PAGE = 100


@blueprint.get("/journal")
@framed("entity", "customer", "product", "period", "as_of", "known_at")
def journal() -> str:
    """The journal, newest first, narrowed by account, customer, product, rule, document or day."""
    raw = request.args.get("before", "")
    within = frame().filters(of_several=True)
    wanted = {name: request.args.get(name) or None for name in ("role", "rule", "document")}
    wanted |= {"entity": within.entity, "customer": within.customer, "product": within.product}
    roles = (wanted["role"] or "").split(",") if wanted["role"] else []
    for role in roles:
        if role not in ROLES:
            raise Refused("role", role, f"expected one of {', '.join(ROLES)}")
    days = {
        name: parsed(request.args, name, date.fromisoformat, "a date such as 2026-01-31") for name in ("from", "to")
    }
    narrowed = days | {"since": within.since, "as_of": within.as_of, "known_at": within.known_at}
    clauses = ["true"]
    parameters: dict[str, object] = {}
    if entries.is_number(raw):
        clauses.append("e.entry_id < :before")
        parameters["before"] = int(raw)
    if who().entities is not None:
        clauses.append(f"not {ELSEWHERE}")
        parameters["entities"] = list(who().entities or ())
    for name, clause in _JOURNAL.items():
        value = narrowed.get(name) or wanted.get(name)
        if value is not None:
            clauses.append(clause)
            parameters[f"w_{name}"] = value
    if wanted["entity"] or wanted["role"] or wanted["product"] or wanted["rule"]:
        lines = [_LINES[name] for name in ("entity", "role", "product", "rule") if wanted[name]]
        clauses.append(_ON_LINE.format(lines=" and ".join(lines)))
        parameters |= {f"w_{name}": wanted[name] for name in ("entity", "product", "rule") if wanted[name]}
        parameters |= {"w_role": roles} if roles else {}
    with engine().connect() as connection:
        found = entries.read_entries(
            connection, " and ".join(clauses), parameters, limit=JOURNAL_PAGE, order="e.entry_id desc"
        )
    older = found[-1].entry_id if len(found) == JOURNAL_PAGE else None
    query = {
        name: value
        for name, value in request.args.items()
        if value and name in ("from", "to", "role", "rule", "document")
    }
    return render_template("journal.html", entries=found, older=older, wanted=wanted | days, roles=ROLES, query=query)


_JOURNAL = {
    "from": "e.effective_on >= :w_from",
    "to": "e.effective_on <= :w_to",
    "since": "e.effective_on >= :w_since",
    "as_of": "e.effective_on <= :w_as_of",
    "known_at": "e.posted_at <= :w_known_at",
    "customer": "c.ref = :w_customer",
    "document": "d.ref = :w_document",
}
_LINES = {
    "entity": "a.entity = :w_entity",
    "role": "a.role = any(:w_role)",
    "product": "a.product = :w_product",
    "rule": "r.code = :w_rule",
}
_ON_LINE = (
    "exists (select from posting p join account a on a.customer_id = p.customer_id and a.account_id in (p.debit_account, p.credit_account)"
    " join rule r on r.number = p.rule where p.customer_id = e.customer_id and p.entry_id = e.entry_id and {lines})"
)
