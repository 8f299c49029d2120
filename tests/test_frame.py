"""The frame of the pages: what a page is narrowed to is kept on every way to another, narrows what says so, and can be taken off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from flask import Flask, url_for
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.routing import Rule

from tests.conftest import Cli
from tests.samples import invoice, one_time, payment, service
from tests.serving import MakeApp
from tests.test_access import key, sign_in
from tests.test_figures import _books as books_of_figures
from web.render.frame import FILTERS, frame, page_of
from web.work import reports

pytestmark = pytest.mark.usefixtures("unlimited")

KEPT = {
    "entity": "us", "customer": "globex", "product": "seats", "period": "2026-02", "as_of": "2026-02-20",
    "known_at": "2030-01-01T18:00",
}  # fmt: skip
# By which each filter is tried: at least one of them has to show other than nothing given does.
TRIED = {
    "entity": ("eu", "us"), "customer": ("initech", "globex"), "product": ("seats", "tokens"), "period": ("2026-01", "2026-02", "2025"),
    "as_of": ("2026-01-08", "2025-12-31"), "known_at": ("2020-01-01T00:00",),
}  # fmt: skip
PLACES = {
    "name": "trial-balance", "ref": "I", "entry_id": 1, "entity": "us", "month": "2026-02", "kind": "invoice",
    "role": "accounts_receivable", "account_id": 1, "number": 1, "step": "recognize",
}  # fmt: skip
REFS = {"parties.customer": "globex", "parties.contract": "C"}


@pytest.fixture
def app(make_books_app: MakeApp) -> Flask:
    return make_books_app(open_as="tester")


def _books(cli: Cli) -> None:
    books_of_figures(cli)
    cli.post(
        {"type": "customer", "id": "initech", "name": "Initech"},
        invoice("IN", "2026-01-05", service("90.00", "2026-01-05", "2026-04-04"), one_time("3.00", "2"), customer="initech"),
        payment("PIN", "20.00", "2026-02-03", ("IN", "20.00"), customer="initech"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")


def _pages(app: Flask) -> Iterator[tuple[Rule, dict[str, Any]]]:
    """Every page of the books, with what its path is given."""
    with app.app_context():
        for rule in app.url_map.iter_rules():
            if page_of(rule.endpoint) is not None:
                places = {name: PLACES[name] for name in rule.arguments}
                yield rule, places | ({"ref": REFS[rule.endpoint]} if rule.endpoint in REFS else {})


def _paths(app: Flask) -> dict[str, str]:
    """The path of every page that is looked at, by its endpoint; of reports, each."""
    found = {}
    with app.test_request_context():
        for rule, places in _pages(app):
            if "GET" not in (rule.methods or ()):
                continue
            if rule.endpoint == "pages.report":
                found |= {f"report {name}": url_for(rule.endpoint, name=name) for name in reports.REPORTS}
            else:
                found[rule.endpoint] = url_for(rule.endpoint, **places)
    return found


def _asked(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(({'role': 'revenue', 'side': 'credit'} if path == '/figure' else {}) | query)}"


def _jobs(app: Flask) -> None:
    from web.work import export_jobs

    hands = app.extensions["tickmark.jobs"]
    hands.ask(export_jobs.Asked("audit-gl", "us"), "tester")
    hands.wait()


def test_a_filter_is_kept_from_any_page_to_any_other(cli: Cli, app: Flask) -> None:
    """From every page to every other, and on to the first: nothing is lost, wherever it is used and wherever it is not."""
    _books(cli)
    pages = list(_pages(app))
    assert len(pages) >= 25
    links: dict[str, set[str]] = {}
    for rule, places in pages:
        with app.test_request_context(method="POST" if "POST" in (rule.methods or ()) else "GET"):
            start = url_for(rule.endpoint, **places)
        names = {f"kept_{name}": said for name, said in KEPT.items()} if rule.endpoint == "pages.figure" else KEPT
        with app.test_request_context(f"{start}?{urlencode(names)}"):
            app.preprocess_request()
            assert frame().kept == KEPT
            links[rule.endpoint] = {url_for(other.endpoint, **there) for other, there in pages}
    ways = {way for found in links.values() for way in found}
    for way in ways:
        with app.test_request_context(way):
            app.preprocess_request()
            assert frame().kept == KEPT, way


def test_every_link_that_a_page_shows_takes_along_what_is_kept(cli: Cli, app: Flask) -> None:
    _books(cli)
    _jobs(app)
    client = app.test_client()
    places = app.url_map.bind("localhost")
    followed = 0
    for name, path in _paths(app).items():
        if name == "report changes":
            continue
        given = {f"kept_{one}": said for one, said in KEPT.items()} if path == "/figure" else KEPT
        answer = client.get(_asked(path, given))
        assert answer.status_code == 200, (path, answer.text[-600:])
        header = answer.text.partition("<main")[0]
        for href in re.findall(r'href="(/[^"#]*)"', answer.text):
            link = urlsplit(unescape(href))
            endpoint, _ = places.match(link.path, "GET")
            with app.app_context():
                page = page_of(endpoint)
            if page is None:
                continue
            query = {one: said[0] for one, said in parse_qs(link.query).items()}
            for one, said in KEPT.items():
                aside = query.get(f"kept_{one}")
                assert aside == said or (not page.exact and one in query), (path, href, one)
                if href in header:  # what leads elsewhere on every page says nothing of its own
                    assert query.get(one) == said, (path, href, one)
            followed += 1
    assert followed > 500


def _main(text: str) -> str:
    """What a page says, without its bar and without where its links lead."""
    body = text.partition('<main id="main">')[2].partition("</main>")[0]
    body = re.sub(
        r'<form class="controls frame".*?</form>|<ul class="kept".*?</ul>|<input[^>]* name="csrf_token"[^>]*>',
        "",
        body,
        flags=re.DOTALL,
    )
    return re.sub(r"\s+", " ", re.sub(r'(href|hx-\w+|action)="[^"]*"', "", body)).strip()


# Reports that have no row in these books, and one that asks for a moment.
_EMPTY = {
    "below-zero", "stand-alone-prices", "estimates", "financing", "contract-costs", "wallet-alerts", "differences", "discounts",
    "exported", "changes",
}  # fmt: skip


def test_no_page_ignores_a_filter_that_it_says_it_uses(cli: Cli, app: Flask) -> None:
    _books(cli)
    _jobs(app)
    client = app.test_client()
    ignored = []
    for name, path in _paths(app).items():
        if name.removeprefix("report ") in _EMPTY:
            continue
        with app.test_request_context(path):
            app.preprocess_request()
            uses = frame().uses
        plain = _main(client.get(_asked(path, {})).text)
        for used in uses:
            answers = [client.get(_asked(path, {used: said})) for said in TRIED[used]]
            assert {answer.status_code for answer in answers} <= {200}, (name, used)
            if all(_main(answer.text) == plain for answer in answers):
                ignored.append((name, used))
    assert ignored == []


def test_a_page_that_does_not_use_a_filter_says_so_and_shows_the_same(cli: Cli, app: Flask) -> None:
    _books(cli)
    _jobs(app)
    client = app.test_client()
    for name, path in _paths(app).items():
        if name.removeprefix("report ") in _EMPTY:
            continue
        with app.test_request_context(path):
            app.preprocess_request()
            idle = {one: said for one, said in KEPT.items() if one not in frame().uses}
        given = {f"kept_{one}": said for one, said in idle.items()} if path == "/figure" else idle
        page = client.get(_asked(path, given)).text
        assert _main(page) == _main(client.get(_asked(path, {})).text), name
        assert page.count("(not used here)") == len(idle), name


@pytest.mark.parametrize(("field", "value", "expected"), [
    ("entity", "nobody", "expected the id of an entity in the books"), ("customer", "nobody", "expected the id of a customer in the books"),
    ("product", "nothing", "expected the id of a product in the books"), ("as_of", "2026-02-30", "expected a date such as 2026-01-31"),
    ("period", "2026-13", "expected a month, a quarter or a year such as 2026-01, 2026-Q1 or 2026"),
    ("known_at", "noon", "expected a moment such as 2026-01-31T18:00"),
])  # fmt: skip
def test_a_wrong_filter_is_named_with_what_is_expected_on_every_page(
    cli: Cli, app: Flask, field: str, value: str, expected: str
) -> None:
    _books(cli)
    client = app.test_client()
    for name, path in _paths(app).items():
        given = {**KEPT, field: value}
        if path == "/figure":
            given = {f"kept_{one}": said for one, said in given.items()}
        answer = client.get(_asked(path, given))
        assert answer.status_code == 422, name
        page = unescape(answer.text)
        assert field in page, name
        assert value in page, name
        assert expected in page, name
        # and it goes no further, but the others do
        journal = re.search(r'href="(/journal[^"]*)"', page).group(1)  # type: ignore[union-attr]
        kept = {one: said[0] for one, said in parse_qs(urlsplit(journal).query).items()}
        assert kept == {one: said for one, said in KEPT.items() if one != field}, name
        assert f'data-remove="{field}"' in page, name


def test_a_day_before_the_period_is_refused(cli: Cli, app: Flask) -> None:
    _books(cli)
    answer = app.test_client().get("/reports/summary?period=2026-02&as_of=2026-01-31")
    assert answer.status_code == 422
    assert "expected a day from 2026-02-01 on: the period is 2026-02" in answer.text


def test_a_filter_can_be_taken_off(cli: Cli, app: Flask) -> None:
    _books(cli)
    client = app.test_client()
    for path in ("/journal", "/reports/summary", "/rules", "/ledger/us/accounts_receivable"):
        page = client.get(_asked(path, KEPT | {"before": "1000"})).text
        for name in FILTERS:
            href = re.search(rf'href="(\?[^"]*)"[^>]* data-remove="{name}"', page).group(1)  # type: ignore[union-attr]
            left = {one: said[0] for one, said in parse_qs(unescape(href)[1:]).items()}
            assert left == {one: said for one, said in KEPT.items() if one != name}, (path, name)


def test_a_figure_is_the_same_whatever_is_kept_beside_it(cli: Cli, app: Flask) -> None:
    """The overview is of all customers: what its figures lead to is, too, and the customer holds again afterwards."""
    _books(cli)
    client = app.test_client()

    def revenue(query: str) -> tuple[str, str]:
        page = client.get(f"/?as_of=2026-01-31{query}").text
        href = re.search(r'<p class="figure"><a href="(/figure[^"]*)"', page).group(1)  # type: ignore[union-attr]
        shown = client.get(unescape(href)).text
        return re.search(r"<h1>(.*?)</h1>", shown).group(1), shown  # type: ignore[union-attr]

    figure, _ = revenue("")
    narrowed, page = revenue("&customer=initech&product=seats")
    assert narrowed == figure
    assert 'href="/journal?customer=initech&amp;product=seats&amp;as_of=2026-01-31"' in page


def test_a_period_says_the_days_of_the_reports_it_leads_to(cli: Cli, app: Flask) -> None:
    _books(cli)
    client = app.test_client()
    for days in ("period=2026-01", "from=2026-01-01&as_of=2026-01-31"):
        text = client.get(f"/reports/summary?{days}&format=csv").text
        assert {line.partition(",")[0] for line in text.splitlines()[1:]} == {"2026-01"}
    quarter = client.get("/reports/summary?period=2026-Q1&as_of=2026-01-31&format=csv").text
    assert quarter == client.get("/reports/summary?period=2026-01&format=csv").text
    # the month to close is the period's last
    assert "Close March 2026" in client.get("/close?period=2026-Q1").text
    assert client.get("/close?month=2026-02").text.count("Close February 2026") == 1


def test_a_period_that_is_kept_aside_does_not_narrow_what_a_page_leads_to(cli: Cli, app: Flask) -> None:
    _books(cli)
    client = app.test_client()

    def table(query: str) -> dict[str, list[str]]:
        page = unescape(client.get(f"/?{query}").text)
        return parse_qs(re.search(r'href="/reports/revenue-waterfall\?([^"]*)">table', page).group(1))  # type: ignore[union-attr]

    aside = {"entity": ["us"], "as_of": ["2026-02-28"], "kept_period": ["2026-02"]}
    # the overview is of all days up to one, and so is what its chart shows
    assert table("entity=us&as_of=2026-02-28&kept_period=2026-02") == aside
    assert table("entity=us&period=2026-02") == aside


def test_who_may_see_some_entities_keeps_no_other(cli: Cli, make_books_app: MakeApp, engine: Engine) -> None:
    _books(cli)
    client: FlaskClient = make_books_app().test_client()
    sign_in(client, key(engine, "viewer", "us"))
    for path in ("/rules", "/customers", "/journal", "/entries/1"):
        assert client.get(f"{path}?entity=us").status_code == 200
        assert client.get(f"{path}?entity=eu").status_code == 404
