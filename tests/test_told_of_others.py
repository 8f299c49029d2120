"""What a key of one entity is told of documents that name another's: the same as of what is not there, whatever is asked of it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Connection, Engine

from tests.conftest import Cli
from tests.samples import PARTY, contract, grant, invoice, obligation, one_time, parties, payment, prepaid
from tests.serving import MakeApp
from web import access, printed
from web.reports import REPORTS

Document = dict[str, Any]
EU = {"entity": "eu", "currency": "EUR"}
THEN = {"date": "2026-02-01"}
BECAUSE = {"reason": "x"}


def _of_eu() -> list[Document]:
    """Something of each kind that others name, of an entity that the key is not for."""
    return [
        *parties(), {"type": "entity", "id": "eu", "name": "Acme GmbH", "currency": "EUR"}, grant("G", **EU),
        invoice("I", "2026-01-05", one_time("7777.77"), **EU), invoice("L", "2026-01-05", one_time("55.55"), **EU),
        invoice("GI", "2026-01-05", prepaid("100.00"), **EU), payment("P", "5555.55", "2026-01-10", ("I", "4444.44"), **EU),
        {"type": "write_off", "id": "W", "invoice": "L", **THEN, "amount": "44.44", **BECAUSE, "approved_by": "ann"},
        {"type": "recovery", "id": "RC", "write_off": "W", **THEN, "amount": "33.33", "rail": "wire"},
        {"type": "refund", "id": "RF", "payment": "P", **THEN, "amount": "11.11"},
        {"type": "credit_note", "id": "N", "invoice": "I", **THEN, "lines": [{"line": "1", "amount": "22.22"}]},
        {"type": "application", "id": "A", **PARTY, **EU, **THEN, "invoice": "I", "amount": "66.66"},
        {"type": "customer_credit", "id": "CC", **PARTY, **EU, **THEN, "amount": "88.88", **BECAUSE},
        {"type": "unidentified_receipt", "id": "X", **EU, **THEN, "rail": "wire", "amount": "99.99"},
        contract("C", "2026-01-01", obligation("C/o", "1234.56", "2026-01-01", "2026-12-31"), **EU),
        {"type": "contract_cost", "id": "K", "contract": "C", "date": "2026-01-01", "amount": "305.55", "end": "2026-12-31"},
    ]  # fmt: skip


HUGE = "999999.99"
# What is posted of them, with an amount beyond whatever is left.
ASKED: list[Document] = [
    {"type": "refund", "payment": "P", **THEN, "amount": HUGE},
    {"type": "refund", "recovery": "RC", **THEN, "amount": HUGE},
    {"type": "dispute", "payment": "P", **THEN, "amount": HUGE, "status": "opened"},
    {"type": "payment_reversal", "payment": "P", **THEN, **BECAUSE},
    {"type": "unapplication", "payment": "P", "invoice": "I", **THEN, "amount": HUGE},
    {"type": "unapplication", "application": "A", **THEN, "amount": HUGE},
    {"type": "refund_reversal", "refund": "RF", **THEN, **BECAUSE},
    {"type": "credit_note", "invoice": "I", **THEN, "lines": [{"line": "1", "amount": HUGE}]},
    {"type": "credit_note_void", "credit_note": "N", **THEN, **BECAUSE},
    {"type": "invoice_void", "invoice": "I", **THEN, **BECAUSE},
    {"type": "write_off", "invoice": "I", **THEN, "amount": HUGE, **BECAUSE, "approved_by": "ann"},
    {"type": "recovery", "write_off": "W", **THEN, "amount": HUGE, "rail": "wire"},
    {"type": "grant_return", "customer": "globex", "grant": "G", **THEN, "amount": HUGE, **BECAUSE},
    {"type": "customer_credit", **PARTY, **THEN, "amount": HUGE, **BECAUSE, "takes_back": "CC"},
    {"type": "receipt_identified", "receipt": "X", "customer": "globex", **THEN, "amount": HUGE},
    {"type": "receipt_returned", "receipt": "X", **THEN, "amount": HUGE, **BECAUSE},
    {"type": "contract_cost_impairment", "cost": "K", **THEN, "amount": HUGE, **BECAUSE},
    {"type": "contract_termination", "contract": "C", **THEN, **BECAUSE},
    {"type": "progress", "obligation": "C/o", **THEN, "percent": "50"},
    payment("Q", "10.00", "2026-02-01", ("I", HUGE)),
    {"type": "application", **PARTY, **THEN, "invoice": "I", "amount": HUGE},
    invoice("Q", "2026-02-01", {"id": "1", "kind": "service", "amount": HUGE, "obligation": "C/o"}),
    invoice("Q", "2026-02-01", {"id": "1", "kind": "service", "amount": HUGE, "contract": "C"}),
    invoice("Q", "2026-02-01", {"id": "1", "kind": "prepaid", "amount": HUGE, "grant": "G"}),
]  # fmt: skip
NAMES = ("payment", "recovery", "application", "refund", "invoice", "credit_note", "write_off", "grant", "takes_back", "receipt",
         "cost", "contract", "obligation")  # fmt: skip


@pytest.fixture
def client(cli: Cli, engine: Engine, make_books_app: MakeApp) -> tuple[FlaskClient, dict[str, str]]:
    cli.post(*_of_eu())
    with engine.begin() as connection:
        key = access.create(connection, "theirs", "operator", "tester", ("us",))
    return make_books_app().test_client(), {"Authorization": f"Bearer {key}"}


def _renamed(document: Document) -> Document:
    """The same of something that is not in the books."""
    named = {name: "nothing" for name in NAMES if name in document}
    parts = {
        part: [item | {name: "nothing" for name in NAMES if name in item} for item in document[part]]
        for part in ("applications", "lines") if part in document
    }  # fmt: skip
    return document | named | parts


def test_nothing_is_told_of_what_is_anothers(client: tuple[FlaskClient, dict[str, str]]) -> None:
    app, headers = client
    for number, document in enumerate(ASKED):
        asked = {"id": f"u{number}"} | document
        told, of_nothing = (app.post("/v1/documents", json=doc, headers=headers) for doc in (asked, _renamed(asked)))
        assert (told.status_code, of_nothing.status_code) == (422, 422), document
        assert told.text.replace(f'"{_named(asked)}"', '"nothing"') == of_nothing.text, document
        assert "of something of us in the books" in told.text, told.text


def test_no_draft_tells_what_is_left_of_anothers(client: tuple[FlaskClient, dict[str, str]]) -> None:
    app, headers = client
    draft = invoice("D", "2026-02-01", {"id": "1", "kind": "service", "amount": HUGE, "obligation": "C/o"}, **EU)
    told = app.post("/v1/drafts", json=draft, headers=headers)
    nowhere = app.post("/v1/drafts", json=draft | {"entity": "nothing"}, headers=headers)
    assert told.status_code == nowhere.status_code == 404
    assert told.text.replace("eu", "nothing") == nowhere.text
    # an own draft that names what is another's
    own = draft | {"entity": "us", "currency": "USD"}
    told = app.post("/v1/drafts", json=own, headers=headers)
    assert told.status_code == 422
    assert "1234.56" not in told.text


def _named(document: Document) -> str:
    parts = [document, *document.get("applications", []), *document.get("lines", [])]
    return str(next(part[name] for part in parts for name in NAMES if name in part))


def test_no_comparison_names_documents_of_others(client: tuple[FlaskClient, dict[str, str]], cli: Cli) -> None:
    app, headers = client
    signed = cli.now()
    cli.post(
        contract("C2", "2026-01-01", obligation("C2/o", "99.00", "2026-01-01", "2026-12-31"), **EU),
        {"type": "estimate", "id": "ES", "contract": "C2", "component": "bonus", "date": "2026-01-01", "amount": "5.00"},
        {"type": "wallet_alert", "id": "WA", **PARTY, **EU, "threshold": "1.00"},
        {"type": "entity", "id": "jp", "name": "Acme KK", "currency": "JPY"},
        grant("G2", **EU), grant("OWN"),
        contract("OC", "2026-01-01", obligation("OC/o", "12.00", "2026-01-01", "2026-12-31")),
        invoice("OI", "2026-01-05", one_time("7.00")), invoice("EI", "2026-01-05", one_time("9.00"), **EU),
    )  # fmt: skip
    for name in REPORTS:
        query = {"entity": "us", "against": signed, "as_of": "2026-06-30"}
        answer = app.get(f"/v1/reports/{name}", query_string=query, headers=headers)
        assert answer.status_code in (200, 403, 422), answer.text
        because = {one for row in answer.json.get("rows", ()) for one in row.get("because", "").split(", ")}
        assert not because & {"contract C2", "estimate ES", "wallet_alert WA", "entity jp", "grant G2", "invoice EI"}, (
            name
        )
    told = app.get("/v1/reports/summary", query_string={"entity": "us", "against": signed}, headers=headers).json[
        "rows"
    ]
    assert {"invoice OI"} in [set(row["because"].split(", ")) for row in told]


def test_a_key_says_how_customers_are_named_on_what_its_own_entities_send(
    client: tuple[FlaskClient, dict[str, str]], cli: Cli, connection: Connection
) -> None:
    app, headers = client
    cli.post(invoice("U", "2026-01-05", one_time("1.00")))

    def ask(**fields: Any) -> tuple[int, str]:
        said = {"type": "details", "id": "d", "customer": "globex", "date": "2026-01-02", "name": "SOMEBODY ELSE LTD"}
        answer = app.post("/v1/documents", json=said | fields, headers=headers)
        return answer.status_code, answer.json.get("title", "")

    def buyer(ref: str) -> str:
        connection.rollback()
        return (
            "SOMEBODY ELSE LTD"
            if "SOMEBODY ELSE LTD" in printed.print_document(connection, "invoice", ref).html
            else ""
        )

    assert ask() == (
        403,
        "details d: expected a key for all entities that bill customer globex: this one is not for eu;"
        " details with an `entity` hold on what that entity sends alone",
    )
    assert ask(entity=None)[0] == 403
    assert ask(entity="eu")[0] == ask(entity="eu", customer=None)[0] == 422
    assert (buyer("I"), buyer("U")) == ("", "")
    assert ask(entity="us")[0] == 200
    assert (buyer("I"), buyer("U")) == ("", "SOMEBODY ELSE LTD")
    # what is said for all holds where nothing is said for an entity, whichever is later
    cli.post({"type": "details", "id": "all", "customer": "globex", "date": "2026-01-03", "name": "Globex SE"})
    connection.rollback()
    assert buyer("U") == "SOMEBODY ELSE LTD"
    assert "Globex SE" in printed.print_document(connection, "invoice", "I").html
    assert "Globex SE" not in printed.print_statement(connection, "globex", "us", None, date(2026, 2, 1)).html
    # erased, it is nobody's name any more
    cli.ok("erase", "globex", "--reason", "asked")
    cli.post({"type": "details", "id": "new", "customer": "globex", "date": "2026-01-04", "name": "Globex AG"})
    connection.rollback()
    assert "Globex AG" in printed.print_document(connection, "invoice", "U").html
