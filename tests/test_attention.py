"""What the overview says needs attention: each where it is so, with its figure, and nothing where it is not."""

from __future__ import annotations

import re
from datetime import date
from html import unescape

from sqlalchemy import Connection, text

from ledger.reports.report import Filters
from revrec.reports import standing
from tests.conftest import Cli
from tests.samples import (
    PARTY,
    billed_usage,
    contract,
    grant,
    invoice,
    obligation,
    one_time,
    parties,
    prepaid,
    service,
    usage,
)
from tests.serving import MakeApp


def _alerts(make_books_app: MakeApp, query: str) -> list[str]:
    page = make_books_app(open_as="tester").test_client().get(f"/?{query}").text
    listed = page[page.index("Needs attention") :]
    return [unescape(said) for said in re.findall(r"<li[^>]*>.*?<a [^>]*>(.*?)</a>", listed)]


def test_what_needs_attention_is_named_with_its_figure(cli: Cli, make_books_app: MakeApp) -> None:
    cli.post(
        *parties(), grant("G", expires_on="2026-02-20"), {"type": "wallet_alert", "id": "low", **PARTY, "threshold": "80.00"},
        invoice("I", "2026-01-01", prepaid("100.00")), usage("u1", "40.00", "2026-01-10"), invoice("J", "2026-01-20", one_time("30.00")),
    )  # fmt: skip
    # 60.00 of 100.00 left, below 80.00; on 5 February I (100.00) is 35 days overdue and J (30.00) 16
    assert _alerts(make_books_app, "as_of=2026-02-05") == [
        "100.00 USD overdue more than 30 days", "60.00 USD of credits expire within 30 days", "1 wallet below a threshold",
    ]  # fmt: skip
    assert _alerts(make_books_app, "as_of=2026-01-15") == ["1 wallet below a threshold"]


def test_where_nothing_does_it_says_so(cli: Cli, make_books_app: MakeApp) -> None:
    cli.post(*parties())
    page = make_books_app(open_as="tester").test_client().get("/").text
    assert re.search(r"Needs attention</h2>\s*<p class=\"none\">Nothing\.</p>", page)


def test_receivables_tie_in_each_currency(cli: Cli, make_books_app: MakeApp) -> None:
    """Sealed or not, and with an invoice in another currency than the entity's, of which one part is paid."""
    rate = {"type": "fx_rate", "id": "r", "date": "2026-01-01", "base": "EUR", "quote": "USD", "rate": "1.2"}
    cli.post(
        *parties(),
        rate,
        invoice("I", "2026-01-05", one_time("30.00")),
        invoice("E", "2026-01-06", one_time("50.00"), currency="EUR"),
    )
    client = make_books_app(open_as="tester").test_client()
    for _ in range(2):
        page = client.get("/").text
        assert "books tie" in page
        assert "books do not tie" not in page
        assert re.search(r">and</th><td class=\"num\">50\.00</td><td class=\"muted\">EUR", page)
        cli.ok("seal")
        cli.post({"type": "payment", "id": "P", "customer": "globex", "entity": "us", "currency": "USD", "date": "2026-01-07", "rail": "wire",
                  "amount": "10.00", "applications": [{"invoice": "I", "amount": "10.00"}]})  # fmt: skip


def test_what_is_left_standing_and_below_zero_needs_attention(
    cli: Cli, make_books_app: MakeApp, owner: Connection
) -> None:
    cli.post(
        *parties(),
        contract("C", "2026-01-01", obligation("C/o", "120.00", "2026-01-01", "2026-01-31")),
        usage("u", "1.00", "2026-01-10"),
    )
    cli.ok("recognize", "--through", "2026-01")
    # the contract ended 28 days before, the usage's last is 49 days ago and 60 are given to bill it
    assert _alerts(make_books_app, "as_of=2026-02-28") == ["1 amount left standing, the oldest for 28 days"]
    assert _alerts(make_books_app, "as_of=2026-03-31") == ["2 amounts left standing, the oldest for 80 days"]
    page = make_books_app(open_as="tester").test_client()
    assert "120.00" in page.get("/reports/standing?entity=us&as_of=2026-02-28").text
    owner.execute(text("set session_replication_role = replica"))
    owner.execute(
        text("update posting set debit_account = credit_account, credit_account = debit_account where rule = 502")
    )
    owner.commit()
    said = "1 month with revenue below zero and no cause"
    assert said in _alerts(make_books_app, "as_of=2026-02-28")
    assert "obligation:C/o" in page.get("/reports/below-zero?entity=us").text


def test_what_has_ended_is_looked_at_lately_as_in_all(cli: Cli, connection: Connection) -> None:
    """What the overview looks at gives what the report gives, where not more has ended than it looks at."""
    cli.post(
        *parties(), contract("C", "2026-01-01", obligation("C/o", "120.00", "2026-01-01", "2026-01-31")), grant("G", "30.00", expires_on="2026-02-28"),
        usage("u", "40.00", "2026-01-10"), grant("H", "30.00"), invoice("UI", "2026-03-01", billed_usage("4.00")),
        invoice("HI", "2026-01-11", prepaid("30.00", "H")), usage("v", "30.00", "2026-01-12"),
        invoice("I", "2026-01-05", service("24.00", "2026-01-01", "2026-06-30")),
        contract("D", "2026-01-01", obligation("D/o", "60.00", "2026-01-01", "2026-12-31")),
        {"type": "contract_termination", "id": "T", "contract": "D", "date": "2026-02-01", "reason": "left"},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-06")
    for day in (date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31), date(2026, 6, 30), date(2026, 12, 31)):
        filters = Filters(entity="us", as_of=day)
        assert standing.find(connection, filters, lately=True) == standing.find(connection, filters)
    assert len(standing.find(connection, Filters(entity="us", as_of=date(2026, 12, 31)))) == 4
