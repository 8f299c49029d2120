"""What the overview says needs attention: each where it is so, with its figure, and nothing where it is not."""

from __future__ import annotations

import re
from html import unescape

from tests.conftest import Cli
from tests.samples import PARTY, grant, invoice, one_time, parties, prepaid, usage
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
