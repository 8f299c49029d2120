"""Pages of general-ledger accounts and of the accounts below them."""

from __future__ import annotations

from dataclasses import replace

from flask import render_template
from sqlalchemy import text
from werkzeug.exceptions import NotFound

from ledger.accounts.chart import ROLES
from ledger.errors import UnknownReference
from ledger.reports.report import Filters, sides
from web.access.guard import engine, require_entities, who
from web.pages.words import blueprint, gl_account, gl_accounts, role_short
from web.render.frame import frame, framed

ACCOUNT_LINES = 2_000


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
    codes = ", ".join(sorted({gl_accounts().of(entity, role, account["product"])[0] for account in accounts}))
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
