"""The API and the pages, through Flask's test client."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs

import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.conftest import Cli, lines
from tests.samples import contract, grant, invoice, obligation, parties, prepaid, promotion, service, usage
from tests.serving import MakeApp
from web.api import views
from web.server import HEADERS


@pytest.fixture
def client(make_books_app: MakeApp) -> FlaskClient:
    return make_books_app(open_as="tester").test_client()


def _books(cli: Cli) -> None:
    cli.post(
        *parties(),
        grant("G", expires_on="2026-02-28"),
        promotion("P", "5.00"),
        invoice("I", "2026-01-01", prepaid("100.00"), service("365.00", "2026-01-01", "2026-12-31", line="2")),
        usage("u1", "140.00", "2026-01-10", events="meter.csv rows 1-9"),
    )
    cli.ok("recognize", "--through", "2026-01")


def test_documents_post_all_or_none(client: FlaskClient) -> None:
    answer = client.post("/v1/documents", json=parties())
    assert answer.status_code == 200
    assert answer.json == {"posted": 4, "repeated": 0, "late": 0, "entries": 0, "postings": 0}
    assert client.post("/v1/documents", json=parties()[0]).json["repeated"] == 1
    answer = client.post("/v1/documents", json=[usage("u1", "1.00", "2026-01-01"), usage("u2", "1.00", "never")])
    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"
    assert answer.json["problems"] == [
        {
            "line": 2, "document": "usage u2", "field": "date", "value": "never",
            "expected": "expected a date such as 2026-01-31",
        }
    ]  # fmt: skip
    assert client.get("/v1/entries").json == {"entries": [], "next": None}


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("as_of=foo", {"field": "as_of", "value": "foo", "expected": "expected a date such as 2026-01-31"}),
        ("bogus=1", {"field": "bogus", "value": "1", "expected": "expected no field of this name"}),
    ],
)
def test_a_wrong_query_is_a_list_of_problems(client: FlaskClient, query: str, problem: dict[str, str]) -> None:
    answer = client.get(f"/v1/reports/trial-balance?{query}")
    assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
    assert answer.json["problems"] == [problem]


def test_a_wrong_body_is_a_list_of_problems(client: FlaskClient) -> None:
    answer = client.post("/v1/periods/us", json={"month": "2026-01", "bogus": [1]})
    assert answer.status_code == 422
    assert {"field": "bogus", "value": "[1]", "expected": "expected no field of this name"} in answer.json["problems"]
    answer = client.post("/v1/periods/us", json={})
    assert answer.json["problems"] == [{"field": "month", "value": "missing", "expected": "expected a value"}]
    answer = client.post("/v1/periods/us", json={"month": "2026-13"})
    assert answer.json["problems"] == [
        {"field": "month", "value": "2026-13", "expected": "expected a month such as 2026-01"}
    ]


def test_documents_as_ndjson(client: FlaskClient) -> None:
    answer = client.post("/v1/documents", data=lines(parties()), content_type="application/x-ndjson")
    assert answer.json["posted"] == 4


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 422),
        (b"[1, 2]", "application/json", 422),
        (b'"x"', "application/json", 422),
        (b"", "application/json", 422),
        (b'{"type": "product",\n "id": "x",\n "name": "X"}', "application/json", 200),
        (b"[" * 100_000, "application/json", 422),
        (b'[{"type": "\\ud800"}]', "application/json", 422),
        (b"{}", "text/plain", 415),
        (b"type=product", "application/x-www-form-urlencoded", 415),
    ],
)
def test_any_body_gets_a_plain_answer(client: FlaskClient, body: bytes, content_type: str, status: int) -> None:
    answer = client.post("/v1/documents", data=body, content_type=content_type)
    assert answer.status_code == status, answer.text
    assert "Traceback" not in answer.text


def test_reports_are_those_of_the_command_line(cli: Cli, client: FlaskClient) -> None:
    _books(cli)
    for name in ("trial-balance", "summary", "revenue-waterfall", "wallet", "ar-aging"):
        answer = client.get(f"/v1/reports/{name}?as_of=2026-01-31")
        assert answer.json["rows"] == cli.report(name, "--as-of", "2026-01-31")
        assert answer.json["rows"]


def test_entries_by_page(cli: Cli, client: FlaskClient) -> None:
    _books(cli)
    everything = client.get("/v1/entries").json["entries"]
    found, after = [], 0
    while after is not None:
        page = client.get(f"/v1/entries?limit=2&after={after}").json
        found += page["entries"]
        after = page["next"]
    assert found == everything
    assert client.get(f"/v1/entries/{found[0]['entry']}").json == found[0]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/entries/999999", 404),
        ("/v1/trace/nothing", 404),
        ("/v1/reports/nothing", 404),
        ("/v1/nothing", 404),
        ("/v1/reports/wallet?customer=nobody", 422),
        ("/v1/reports/wallet?as_of=yesterday", 422),
        ("/v1/reports/wallet?oops=1", 422),
        ("/v1/entries?limit=0", 422),
        ("/v1/entries?after=99999999999999999999999", 422),
    ],
)
def test_errors_are_problem_details(client: FlaskClient, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    assert answer.json["status"] == status


def test_openapi_describes_every_route(client: FlaskClient) -> None:
    spec = client.get("/openapi.json").json
    assert spec["openapi"] == "3.1.0"
    assert set(spec["paths"]) == {
        "/v1/documents", "/v1/reports/{name}", "/v1/entries", "/v1/entries/{entry_id}", "/v1/trace/{ref}", "/v1/rules",
        "/v1/invoices/{ref}", "/v1/drafts", "/v1/customers", "/v1/invoices", "/v1/grants", "/v1/contracts", "/v1/obligations",
        "/v1/accounts", "/v1/periods/{entity}", "/v1/periods/{entity}/{month}/checklist", "/v1/recognitions", "/v1/seals",
        "/v1/exports/{target}", "/v1/keys", "/v1/keys/{key_id}",
        "/v1/exports", "/v1/jobs/{number}", "/v1/jobs/{number}/file", "/v1/print/{kind}/{ref}", "/v1/erasures",
    }  # fmt: skip
    example = spec["paths"]["/v1/documents"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert client.post("/v1/documents", json=example).json["posted"] == 1


PAGES = (
    "/", "/journal", "/reports/trial-balance", "/reports/summary", "/reports/revenue-waterfall", "/reports/wallet",
    "/reports/ar-aging", "/rules", "/docs", "/find?q=I", "/find?q=%25",
)  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_pages_of_empty_books_say_what_to_do(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    if path == "/":
        assert "tickmark post documents.jsonl" in answer.text


def _assert_no_script_within(page: str) -> None:
    """Scripts are files of our own, and nothing runs from within a page."""
    assert set(re.findall(r"<script[^>]*>[^<]*", page.replace("</script>\n", "</script>"))) <= {
        f'<script src="/static/{name}.js" defer>' for name in ("htmx.min", "tickmark", "chartist.min", "charts")
    }  # fmt: skip
    assert not re.search(r"<[^>]+\s(on\w+|style)=", page)


@pytest.mark.usefixtures("unlimited")
def test_every_link_of_every_page_leads_somewhere(cli: Cli, client: FlaskClient) -> None:
    _books(cli)
    seen: set[str] = set()
    shapes: set[tuple[str, frozenset[str]]] = set()  # what a filter's value may be, test_frame asks
    waiting = list(PAGES)
    while waiting:
        path = waiting.pop()
        place, _, query = path.partition("?")
        shape = place, frozenset(parse_qs(query, keep_blank_values=True))
        if shape in shapes:
            continue
        shapes.add(shape)
        seen.add(path)
        answer = client.get(path)
        assert answer.status_code in (200, 302), f"{path}: {answer.text[:500]}"
        if answer.mimetype != "text/html":
            answer.close()
            continue
        sent = path.startswith("/print/")  # a sheet has its own style within, and nothing else
        for name, value in HEADERS.items():
            assert answer.headers[name] == value or (sent and name == "Content-Security-Policy")
        _assert_no_script_within(answer.text)
        assert 'style="' not in answer.text  # the content security policy would drop it
        base = path.partition("?")[0]
        for href in re.findall(r'(?:href|src)="([^"#]+)', answer.text):
            link = href.replace("&amp;", "&")
            waiting.append(f"{base}{link}" if link.startswith("?") else link)
            assert link.startswith(("/", "?")), f"{path} loads {link} from elsewhere"
    assert len(seen) > 60
    assert sum(len(path) > 0 for path in seen if path.startswith("/entries/")) >= 4


def test_the_overview_shows_the_books_figures(cli: Cli, client: FlaskClient) -> None:
    _books(cli)
    page = client.get("/").text
    assert "books tie" in page
    # 140 used, 5 of it promotional; 31 of 365 days of seats
    assert ">166.00</a>" in page
    assert ">334.00</a>" in page  # deferred: 365 - 31
    assert "35.00 USD earned and not invoiced" in page
    assert len(page.encode()) < 150_000


def test_an_entry_page_explains_itself(cli: Cli, client: FlaskClient) -> None:
    _books(cli)
    trace = json.loads(cli.ok("trace", "u1", "--format", "json"))
    page = client.get(f"/entries/{trace['entries'][0]['entry']}").text
    assert "using it earns the revenue" in page
    assert "ASC 606-10-55-46" in page
    assert "/documents/usage/u1" in page
    assert "/documents/grant/G" in page
    assert "meter.csv 1\N{EN DASH}9" in page
    assert "9 rows" in page


def test_what_a_document_says_is_text_on_every_page(cli: Cli, client: FlaskClient) -> None:
    evil = "<script>alert(1)</script>"
    cli.post(
        *parties(),
        {"type": "customer", "id": evil, "name": evil},
        invoice("I", "2026-01-01", service("1.00", "2026-01-01", "2026-01-31", description=evil), customer=evil),
    )
    for path in ("/", "/journal", "/reports/ar-aging", "/documents/invoice/I", f"/find?q={evil}", "/entries/1", "/customers",
                 "/customers/%3Cscript%3Ealert(1)%3C/script%3E", "/invoices/I", "/audit", "/journal?customer=%3Cscript%3Ealert(1)%3C/script%3E"):  # fmt: skip
        page = client.get(path).text
        assert evil not in page, path
        _assert_no_script_within(page)


def test_other_hosts_and_other_errors(
    client: FlaskClient, make_books_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/v1/rules", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/nothing").status_code == 404
    assert client.get("/reports/summary?as_of=x").status_code == 422

    def broken() -> Any:
        raise RuntimeError("secret of the server")

    monkeypatch.setattr(views, "engine", broken)
    app = make_books_app(open_as="tester")
    app.config["PROPAGATE_EXCEPTIONS"] = False
    answer = app.test_client().get("/v1/entries")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json["title"] == "The server failed; its log says why. Nothing was posted."


def test_schemathesis_finds_no_error_of_the_server(make_books_app: MakeApp) -> None:
    app = make_books_app(open_as="tester")
    app.config["PROPAGATE_EXCEPTIONS"] = False
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    checks = (
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    )
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=40)
        @given(case=operation.as_strategy())
        def probe(case: Any) -> None:
            case.call_and_validate(checks=checks)

        probe()


def test_accounts_are_called_as_their_entity_calls_them(cli: Cli, client: FlaskClient) -> None:
    """Revenue is 4000 by default; here 4010 is all of it but for seats, which are 4020; deferred revenue is 2210."""
    own = [
        {"type": "gl_account", "id": f"{role}/{product}", "entity": "us", "role": role, "code": code, "name": name} | ({"product": product} if product else {})
        for role, product, code, name in (
            ("revenue", "", "4010", "Revenue, usage"), ("revenue", "seats", "4020", "Revenue, seats"), ("deferred_revenue", "", "2210", "Billed ahead"),
        )
    ]  # fmt: skip
    cli.post(
        *parties(), *own, usage("u", "7.00", "2026-01-10"), invoice("I", "2026-01-01", service("365.00", "2026-01-01", "2026-12-31")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    entries = client.get("/v1/entries").json["entries"]
    pages = {line["product"]: client.get(f"/entries/{e['entry']}").text for e in entries for line in e["lines"] if line["account"] == "revenue"}  # fmt: skip
    assert ">4010 Revenue, usage</a>" in pages["tokens"]
    assert ">4020 Revenue, seats</a>" in pages["seats"]
    assert ">2210 Billed ahead</a>" in pages["seats"]
    journal = client.get("/journal").text
    assert "<td>2210 Billed ahead</td><td>4020 Revenue, seats</td>" in journal
    assert "<td>Unbilled receivable</td><td>4010 Revenue, usage</td>" in journal  # no code of its own: the plain name
    ledger = client.get("/ledger/us/revenue").text
    assert "<h1>4010, 4020 Revenue</h1>" in ledger
    # 31 of 365 days are 31.00: each account of its own adds up, and they to the role
    for name, amount in (("4010 Revenue, usage", "7.00"), ("4020 Revenue, seats", "31.00"), ("Total", "38.00")):
        assert re.search(rf'<th scope="row">{name}</th>(<td></td>)*<td class="num">{amount}</td>', ledger), name
    assert "<h1>2210 Billed ahead</h1>" in client.get("/ledger/us/deferred_revenue").text
    account = next(re.finditer(r'href="(/accounts/\d+)[^"]*">31.00<', ledger))[1]
    assert ">4020 Revenue, seats</a>, entity us" in client.get(account).text
    assert ">4000 Revenue" not in ledger
    assert "4020 Revenue, seats" in client.get("/figure?role=revenue&side=credit").text


def test_a_contracts_price_is_that_of_today(cli: Cli, client: FlaskClient) -> None:
    """1,200.00 for a year, 1,350.00 since April; and another that never changed."""
    year = obligation("C/o", "1200.00", "2026-01-01", "2026-12-31", pattern="monthly")
    cli.post(
        *parties(),
        contract("C", "2026-01-01", year),
        contract("D", "2026-01-01", year | {"id": "D/o", "product": "tokens"}),
    )
    cli.post({"type": "contract_modification", "id": "M", "contract": "C", "date": "2026-04-01", "treatment": "prospective",
              "obligations": [year | {"price": "1350.00"}]})  # fmt: skip
    assert "1,350.00 USD, first 1,200.00. " in client.get("/contracts/C").text
    versions = client.get("/contracts/C").text
    assert "<strong>1,200.00</strong>" in versions
    assert "<strong>1,350.00</strong>" in versions
    assert "1,200.00 USD. " in client.get("/contracts/D").text
    customer = client.get("/customers/globex").text
    assert "1,350.00 USD, first 1,200.00</span>" in customer
    assert "1,200.00 USD</span>" in customer
    listed = {row["id"]: (row["price"], row["first_price"]) for row in client.get("/v1/contracts").json["rows"]}
    assert listed == {"C": ("1350.00", "1200.00"), "D": ("1200.00", "1200.00")}


def test_the_front_page_has_this_months_schedule_in_this_month(cli: Cli, client: FlaskClient) -> None:
    """100.00 a month, recognised through January, something posted in February: its 100.00 stand in February, not in March."""
    cli.post(*parties(), contract("C", "2026-01-01", obligation("C/o", "1200.00", "2026-01-01", "2026-12-31", pattern="monthly")), usage("u", "1.00", "2026-02-10"))  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    page = unescape(client.get("/").text)
    assert "Feb: 1.00 USD recognised" in page
    assert "Feb: 100.00 USD scheduled" in page
    assert "Mar: 100.00 USD scheduled" in page
