"""The pages: an overview for the month end, and every figure on it a link to what makes it up."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, current_app, g, redirect, render_template, request, send_file, url_for
from sqlalchemy import Connection, text
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.wrappers import Response as BaseResponse

from adapters.targets.workbook import write_report
from ledger.accounts.chart import ROLES
from ledger.accounts.rulebook import BY_NUMBER, RULES
from ledger.amounts.dates import month_end, month_start, parse_month, read_moment
from ledger.amounts.money import grouped
from ledger.errors import Refused, UnknownReference
from ledger.invoices.show import read_invoice
from ledger.journal import entries, periods, references
from ledger.proof import seals
from ledger.reports.aging import AGING_BUCKETS
from ledger.reports.report import GROUPS, PERIODS, Filters, Report, check_filters, last_day, sides
from ledger.reports.trial_balance import GlAccounts, held_by_currency
from revrec.reports.behind_a_figure import EARNED, Figure, made_of
from revrec.reports.flows import FLOWS
from revrec.reports.waterfall import REVENUE_ROLES, by_month
from revrec.trace import names_of
from web.access.guard import engine, limited, require_all_entities, require_entities, who
from web.access.naming import ENTITY_OF, MOVES_ELSEWHERE
from web.access.scope import ELSEWHERE, require_document, trace_within
from web.render.chart_data import Series, chart
from web.render.frame import chosen, frame, framed
from web.render.links import drill, figure_link, report_link
from web.render.printed import KINDS
from web.render.trace_picture import picture
from web.render.wording import day, disposition, money
from web.serving.gates import REPORTS, few_at_once
from web.work import reports
from web.work.attention import alerts

blueprint = Blueprint("pages", __name__)

LATEST = 6
JOURNAL_PAGE = 100
ACCOUNT_LINES = 2_000
CHART_MONTHS = 12
FIND_LENGTH_MAX = 300


blueprint.add_app_template_filter(day, "day")
blueprint.add_app_template_filter(money, "money")


@blueprint.app_template_filter("month")
def month(value: str | date) -> str:
    """A month as people read it: January 2026."""
    first = parse_month(value) if isinstance(value, str) else value
    return f"{first:%B %Y}"


@blueprint.app_template_filter("role_title")
def role_title(name: str) -> str:
    """A role's plain name."""
    return ROLES[name].title


@blueprint.app_template_global()
def gl_account(entity: str, role: str, product: str = "") -> str:
    """A general-ledger account as its entity calls it: code and name."""
    return " ".join(_gl_accounts().of(entity, role, product))


@blueprint.app_template_global()
def account_short(line: entries.Line) -> str:
    """What a line's account is called in a list: the entity's own code and name, else the role's plain name."""
    if _gl_accounts().is_own(line.entity, line.role, line.product):
        return gl_account(line.entity, line.role, line.product)
    return role_short(line.role)


def _gl_accounts() -> GlAccounts:
    """The accounts as entities call them, read once a request."""
    if "gl_accounts" not in g:
        with engine().connect() as connection:
            g.gl_accounts = GlAccounts(connection)
    found: GlAccounts = g.gl_accounts
    return found


@blueprint.app_template_filter("role_short")
def role_short(name: str) -> str:
    """A role's name without what stands behind it in brackets."""
    return ROLES[name].title.partition(" (")[0]


@blueprint.app_template_global()
def rule_said(code: str) -> str:
    """A rule's code in words: draw.prepaid_unbilled as "Draw, prepaid unbilled"."""
    family, _, what = code.partition(".")
    return (
        f"{family.replace('_', ' ').capitalize()}, {what.replace('_', ' ')}"
        if what
        else family.replace("_", " ").capitalize()
    )


blueprint.add_app_template_global(drill)
blueprint.add_app_template_global(report_link)


@blueprint.app_template_global()
def role_kind(name: str) -> str:
    """What kind of account a role is: asset, liability, memorandum..."""
    return ROLES[name].kind


@blueprint.app_template_global()
def link_to(ref: str) -> str | None:
    """The page of a thing named kind:ref, or None where it has none."""
    kind, _, rest = ref.partition(":")
    if kind == "entry":
        return url_for("pages.entry", entry_id=int(rest.replace(",", "")))
    if kind in ("export", "line"):
        return url_for("pages.thing", kind="export", ref=rest)
    if kind in ("more", "sealed", "stated"):
        return None
    if kind in ("exported", "sent"):
        return url_for("desk.exports")
    if kind == "ledger":
        entity, _, role = rest.rpartition("/")
        return url_for("pages.ledger_account", entity=entity, role=role)
    return None if kind == "events" else url_for("pages.thing", kind=kind, ref=rest)


@blueprint.app_template_global()
def subject_link(subject: str) -> str | None:
    """The page of what an account is about, or None where that is no document or obligation."""
    return link_to(subject) if subject.startswith(("grant:", "invoice:", "obligation:", "credit_note:")) else None


def _parsed(query: Mapping[str, str], name: str, kind: Callable[[str], Any], expected: str) -> Any:
    raw = query.get(name)
    try:
        return kind(raw) if raw else None
    except ValueError:
        raise Refused(name, raw or "", f"expected {expected}") from None


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    """A moment of a page's address, in the server's time zone where it names none."""
    moment: datetime | None = _parsed(query, name, read_moment, "a moment such as 2026-01-31T18:00")
    return moment


def _one_of(query: Mapping[str, str], name: str, known: Sequence[str]) -> str | None:
    value = query.get(name) or None
    if value is not None and value not in known:
        raise Refused(name, value, f"expected {', '.join(known)}")
    return value


def _asked(query: MultiDict[str, str]) -> dict[str, Any]:
    """What the page of a report asks beside its frame. Raises Refused for a value that is none."""
    amounts = _one_of(query, "amounts", ("transaction", "entity"))
    return {
        "since": _parsed(query, "from", date.fromisoformat, "a date such as 2026-01-31"),
        "currency": query.get("currency") or None,
        "contract": query.get("contract") or None,
        "period": _one_of(query, "by", tuple(PERIODS)) or "month",
        "group": tuple(name for name in GROUPS if name in query.getlist("group")),
        "transaction": None if amounts is None else amounts == "transaction",
    }


def _filters(query: MultiDict[str, str]) -> Filters:
    """The filters of a report's page: those of its frame, and its own, of which the later first day holds."""
    within, asked = frame().filters(), _asked(query)
    since = max((day for day in (within.since, asked["since"]) if day is not None), default=None)
    return replace(within, **asked | {"since": since})


@blueprint.get("/")
@framed("entity", "period", "as_of", "known_at", of_one_entity=True)
@few_at_once(REPORTS)
def overview() -> str:
    """Where the books stand: this month's revenue, what is owed and owing, and what the month end waits for."""
    with engine().connect() as connection:
        of = chosen(connection)
        if of is None:
            return render_template("empty.html")
        filters = replace(frame().filters(of.entity), since=None)
        filters = replace(filters, as_of=filters.as_of or month_end(last_day(connection, filters)))
        assert filters.as_of is not None, "set above"
        this_month = month_start(filters.as_of)
        figures = _figures(connection, filters)
        before = _figures(connection, replace(filters, as_of=this_month - timedelta(days=1)))
        waterfall = _in_its_currency(connection, filters, of.currency)
        aging = reports.make(connection, "ar-aging", filters)
        receivable = held_by_currency(connection, filters, "accounts_receivable")
        attention = alerts(connection, filters, aging)
        sealed = seals.head(connection)
        verified: Any = connection.execute(
            text("select at, differing from verification order by verification_id desc limit 1")
        ).first()
        latest = entries.read_entries(
            connection,
            "e.effective_on <= :as_of and exists (select from posting p join account a on a.customer_id = p.customer_id"
            " and a.account_id = p.debit_account where p.customer_id = e.customer_id and p.entry_id = e.entry_id"
            " and a.entity = :entity)",
            {"as_of": filters.as_of, "entity": filters.entity},
            limit=LATEST,
            order="e.entry_id desc",
        )
        closed = periods.closed_through(connection, of.entity)
        recognised = connection.scalar(text("select max(dated_on) from document where type = 'recognition'"))
    moved = {key: figures[key] - before[key] for key in figures}
    of_month = replace(filters, since=this_month)
    links = {
        "revenue": figure_link(Figure(REVENUE_ROLES, True, of_month)), "breakage": figure_link(Figure(("breakage_revenue",), True, of_month)),
        "cash": figure_link(Figure(("cash",), False, of_month)),
    }  # fmt: skip
    return render_template(
        "overview.html",
        entity=of, filters=filters, links=links, month=this_month, figures=figures, moved=moved,
        previous=_revenue_of_month(waterfall, this_month - timedelta(days=1)),
        chart=_waterfall_chart(waterfall, this_month, of.currency),
        aging=_aging_bars(aging, of.currency), latest=latest, alerts=attention, sealed=sealed, verified=verified,
        tasks=_tasks(filters.as_of, closed, recognised, figures, _ties(aging, receivable) and figures["imbalance"] == 0, of),
        closed=closed, others=[row for row in aging.totals if row["currency"] != of.currency],
    )  # fmt: skip


def _in_its_currency(connection: Connection, filters: Filters, currency: str) -> Report:
    """The waterfall in an entity's currency; where a rate is missing, of what is in it."""
    try:
        return reports.make(connection, "revenue-waterfall", replace(filters, transaction=False))
    except Refused:
        return reports.make(connection, "revenue-waterfall", replace(filters, currency=currency))


def _ties(aging: Report, ledger: Mapping[str, int]) -> bool:
    """Whether receivables by age are those of the ledger, in each currency."""
    due: dict[str, int] = {}
    for row in aging.rows:
        due[row["currency"]] = due.get(row["currency"], 0) + row["due"]
    return all(due.get(currency, 0) == ledger.get(currency, 0) for currency in {*due, *ledger})


def _figures(connection: Connection, filters: Filters) -> dict[str, int]:
    """Each role's balance on its normal side, and revenue net of breakage and promotions, in functional currency."""
    report = reports.make(connection, "trial-balance", replace(filters, memorandum=False))
    found = dict.fromkeys(ROLES, 0)
    for row in report.rows:
        found[row["role"]] += ROLES[row["role"]].sign * (row["debit"] - row["credit"])
    found["net_revenue"] = found["revenue"] + found["breakage_revenue"] - found["promotional_credits"]
    found["imbalance"] = sum(row["debit"] - row["credit"] for row in report.rows)
    return found


def _revenue_of_month(waterfall: Report, on: date) -> int:
    name = f"{on:%Y-%m}"
    return sum(row["amount"] for row in waterfall.rows if row["month"] == name and row["status"] == "recognised")


def _waterfall_chart(waterfall: Report, this_month: date, currency: str) -> dict[str, Any] | None:
    """The months around this one, recognised and scheduled; None where there is nothing."""
    months = by_month(waterfall)
    current = f"{this_month:%Y-%m}"
    past = [row for row in months if row[0] <= current][-CHART_MONTHS // 2 :]
    coming = [row for row in months if row[0] > current][: CHART_MONTHS - len(past)]
    shown = past + coming
    if not shown:
        return None
    return chart(
        "bars", [f"{parse_month(name):%b}" for name, *_ in shown],
        [
            Series("done", [recognised if name <= current else None for name, recognised, _ in shown], "recognised"),
            # of this month, what is not recognised yet stands on what is
            Series("coming", [scheduled if name >= current and scheduled else None for name, _, scheduled in shown], "scheduled"),
        ],
        currency, values=True,
    )  # fmt: skip


def _aging_bars(aging: Report, currency: str) -> list[dict[str, Any]]:
    total = next((row for row in aging.totals if row["currency"] == currency), {})
    highest = max((total.get(key, 0) for key, *_ in AGING_BUCKETS), default=0)
    return [
        {"key": key, "title": title, "amount": total.get(key, 0), "width": 100 * total.get(key, 0) / (highest or 1)}
        for key, title, *_ in AGING_BUCKETS
    ]


def _tasks(
    as_of: date, closed: date | None, recognised: date | None, figures: dict[str, int], ties: bool, entity: Any
) -> list[tuple[bool, str, str | None]]:
    """The month end as a list: done or waiting, in a sentence, with the page that shows it."""
    unapplied = figures["customer_balance"]
    unbilled = figures["unbilled_receivable"]
    shown = f"{as_of:%B %Y}"
    return [
        (
            recognised is not None and recognised >= as_of,
            f"Revenue recognised through {recognised:%B %Y}" if recognised else "Revenue is not recognised yet",
            url_for("pages.report", name="revenue-waterfall", customer=None, product=None, period=None),
        ),
        (
            ties,
            "Receivables by age tie to the ledger" if ties else "Receivables by age differ from the ledger",
            url_for("pages.report", name="ar-aging", customer=None, product=None, as_of=as_of, period=None),
        ),
        (
            not unbilled,
            f"{grouped(unbilled, entity.currency)} {entity.currency} earned and not invoiced"
            if unbilled
            else "Everything earned is invoiced",
            url_for("pages.ledger_account", entity=entity.entity, role="unbilled_receivable", as_of=as_of),
        ),
        (
            not unapplied,
            f"{grouped(unapplied, entity.currency)} {entity.currency} of customers' money and goodwill not applied"
            if unapplied
            else "All of customers' money and goodwill is applied",
            url_for("pages.ledger_account", entity=entity.entity, role="customer_balance", as_of=as_of),
        ),
        (
            closed is not None and closed >= as_of,
            f"{shown} closed" if closed and closed >= as_of else f"Close {shown}",
            None,
        ),
    ]


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


@blueprint.get("/receivables")
@framed("entity", "customer", "period", "as_of", "known_at")
@few_at_once(REPORTS)
def receivables() -> str:
    """Who owes what for how long, and whom to remind."""
    filters = replace(frame().filters(), since=None)
    with engine().connect() as connection:
        aging = reports.make(connection, "ar-aging", filters)
        reminders = reports.make(connection, "dunning", filters)
    bars = {row["currency"]: _aging_bars(aging, row["currency"]) for row in aging.totals}
    return render_template("receivables.html", aging=aging, reminders=reminders, bars=bars, filters=filters)


@blueprint.get("/taxes")
@framed("entity", "period", "as_of", "known_at")
@few_at_once(REPORTS)
def taxes() -> str:
    """Taxes by month and code, and what of them is payable by the ledger."""
    filters = _filters(request.args)
    with engine().connect() as connection:
        report = reports.make(connection, "tax", filters)
        figure = Figure(("tax_payable",), True, replace(filters, since=None, transaction=True))
        payable = held_by_currency(connection, replace(filters, since=None), "tax_payable")
        left = reports.make(connection, "tax-payable", filters)
    charged: dict[str, int] = {}
    for row in report.rows:
        charged[row["currency"]] = charged.get(row["currency"], 0) + row["tax"]
    owed = {currency: -net for currency, net in payable.items()}
    return render_template(
        "taxes.html", report=report, left=left, filters=filters, owed=owed, charged=charged, href=figure_link(figure)
    )


@blueprint.get("/ledger/<ref:entity>/<role>")
@framed("period", "as_of", "known_at")
def ledger_account(entity: str, role: str) -> str:
    """A general-ledger account: its sub-ledger accounts with their balances, which sum to it."""
    if role not in ROLES:
        raise NotFound(f"no account has the role {role}")
    require_entities([entity])
    filters = replace(frame().filters(), since=None, entity=entity)
    with engine().connect() as connection:
        source, parameters = sides(Filters(as_of=filters.as_of, known_at=filters.known_at, entity=entity), role)
        rows = connection.execute(
            text(
                "select x.account_id, c.ref as customer, x.subject, x.product, x.currency, sum(x.sign * x.amount)::bigint as net"
                f" from ({source}) x join customer c using (customer_id) group by 1, 2, 3, 4, 5 order by c.ref, x.subject, x.product"
            ),
            parameters,
        ).all()
    sign = ROLES[role].sign
    accounts = [{**row._mapping, "balance": sign * row.net} for row in rows]
    totals: dict[str, int] = {}
    by_account: dict[tuple[str, str], int] = {}  # where products have accounts of their own
    for account in accounts:
        account["gl"] = gl_account(entity, role, account["product"])
        totals[account["currency"]] = totals.get(account["currency"], 0) + account["balance"]
        place = (account["gl"], account["currency"])
        by_account[place] = by_account.get(place, 0) + account["balance"]
    names = sorted({name for name, _ in by_account}) or [gl_account(entity, role)]
    codes = ", ".join(sorted({_gl_accounts().of(entity, role, account["product"])[0] for account in accounts}))
    return render_template(
        "ledger.html", entity=entity, role=ROLES[role], accounts=accounts, totals=totals, filters=filters,
        by_account=sorted(by_account.items()) if len(names) > 1 else [],
        named=names[0] if len(names) == 1 else f"{codes} {role_short(role)}",
    )  # fmt: skip


@blueprint.get("/accounts/<int:account_id>")
@framed("period", "as_of", "known_at")
def account(account_id: int) -> str:
    """A sub-ledger account: its postings, the latest where they are many, with the running balance."""
    filters = replace(frame().filters(), since=None)
    with engine().connect() as connection:
        head = connection.execute(
            text(
                "select a.*, c.ref as customer from account a join customer c using (customer_id) where account_id = :id"
            ),
            {"id": account_id},
        ).first()
        if head is None or not who().sees(head.entity):
            raise UnknownReference("account", account_id, "expected the number of an account in the books")
        source, parameters = sides(filters)
        own = f"({source}{' and' if ' where ' in source else ' where'} a.customer_id = :customer_id and a.account_id = :id) x"
        parameters |= {"id": account_id, "customer_id": head.customer_id}
        total = connection.scalar(text(f"select coalesce(sum(sign * amount), 0)::bigint from {own}"), parameters) or 0
        rows = connection.execute(
            text(
                "select x.entry_id, x.effective_on, r.code as rule, x.amount, x.sign > 0 as debit, d.type, d.ref, x.sign * x.amount as net "
                f"from {own} join rule r on r.number = x.rule join entry e on e.customer_id = x.customer_id and e.entry_id = x.entry_id "
                "join document d on d.document_id = e.document_id and d.customer_id in (e.customer_id, 0) "
                f"order by x.effective_on desc, x.entry_id desc, x.rule limit {ACCOUNT_LINES}"
            ),
            parameters,
        ).all()
    sign = ROLES[head.role].sign
    before = balance = sign * (total - sum(row.net for row in rows))
    lines = []
    for row in reversed(rows):
        balance += sign * row.net
        lines.append({**row._mapping, "balance": balance})
    return render_template(
        "account.html", account=head, role=ROLES[head.role], lines=lines, balance=balance, filters=filters,
        before=before if len(rows) == ACCOUNT_LINES else None,
    )  # fmt: skip


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
        name: _parsed(request.args, name, date.fromisoformat, "a date such as 2026-01-31") for name in ("from", "to")
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


@blueprint.get("/reports")
@framed()
def report_list() -> str:
    """Every report, and what it answers."""
    return render_template("reports.html", groups=reports.GROUPS)


@blueprint.get("/reports/<name>")
@framed(by=lambda place: reports.filters_of(place["name"]))
@few_at_once(REPORTS)
def report(name: str) -> str | BaseResponse:
    """A report, as a table or a file, as of a day and as known at a moment."""
    if name not in reports.REPORTS:
        raise NotFound(f"no report is called {name}; expected one of {', '.join(reports.REPORTS)}")
    if name in reports.OF_ALL_ENTITIES:
        require_all_entities(f"the report {name}")
    filters = _filters(request.args)
    with engine().connect() as connection:
        made = reports.make(connection, name, filters, _moment(request.args, "against"))
    form = request.args.get("format", "table")
    if form == "csv":
        return Response(
            reports.csv_lines(made),
            mimetype="text/csv",
            headers=disposition("attachment", f"{name}.csv"),
        )
    if form == "xlsx":
        content = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the answer
        write_report(made, content)
        content.seek(0)
        return send_file(content, as_attachment=True, download_name=f"{name}.xlsx")
    query = [(key, value) for key, value in request.args.items(multi=True) if value and key != "format"]
    return render_template(
        "report.html",
        report=made,
        chart=_report_chart(made, filters),
        filters=filters,
        against=request.args.get("against", ""),
        periods=list(PERIODS),
        groups=GROUPS[1:],
        query=urlencode(query),
    )


def _report_chart(report: Report, filters: Filters) -> dict[str, Any] | None:
    """The months of a waterfall of one currency, around the last that is recognised."""
    currencies = {row["currency"] for row in report.rows}
    if report.name != "revenue-waterfall" or filters.period != "month" or len(currencies) != 1:
        return None
    done = [row["month"] for row in report.rows if row["status"] == "recognised"]
    last = max(done, default=min(row["month"] for row in report.rows))
    return _waterfall_chart(report, parse_month(last), currencies.pop())


@blueprint.get("/figure")
@framed(exact=True)
@few_at_once(REPORTS)
def figure() -> str:
    """The lines that add up to a figure of a report."""
    asked = request.args
    roles = tuple(asked.get("role", "").split(","))
    for role in roles:
        if role not in ROLES:
            raise Refused("role", role, f"expected one of {', '.join(ROLES)}")
    # "of no product" is another question than "of any"
    stated = Filters(
        as_of=_parsed(asked, "as_of", date.fromisoformat, "a date such as 2026-01-31"),
        known_at=_moment(asked, "known_at"),
        entity=asked.get("entity") or None,
        customer=asked.get("customer"),
        product=asked.get("product"),
    )
    filters = limited(replace(stated, **_asked(asked) | {"contract": asked.get("contract")}))
    flows = [f"{kind}.{name}" for kind, named in FLOWS.items() for name in (*named, "other")]
    wanted = Figure(
        roles, asked.get("side") == "credit", filters, asked.get("code"), _one_of(asked, "flow", flows), asked.get("subject"),
        _one_of(asked, "earned", tuple(EARNED)), asked.get("shown_in"), asked.get("booked"),
    )  # fmt: skip
    with engine().connect() as connection:
        check_filters(connection, replace(filters, product=filters.product or None, contract=filters.contract or None))
        made = made_of(connection, wanted)
    return render_template("figure.html", report=made, figure=wanted, filters=filters, roles=ROLES)


@blueprint.get("/rules")
@framed()
def rules() -> str:
    """The rulebook."""
    return render_template("rules.html", rules=BY_NUMBER.values(), roles=ROLES)


@blueprint.get("/docs")
@framed()
def docs() -> str:
    """The API, drawn from its OpenAPI description."""
    return render_template("docs.html", spec=current_app.extensions["tickmark.openapi"].to_dict())


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


def refused(error: Refused) -> tuple[str, int]:
    """A refusal as a page."""
    status = 404 if isinstance(error, UnknownReference) else 422
    title = "Not in the books" if status == 404 else "That can't be shown"
    return render_template("error.html", title=title, message=str(error)), status


def http_error(error: HTTPException) -> tuple[str, int]:
    """An HTTP error as a page."""
    return render_template("error.html", title=error.name, message=error.description), error.code or 500
