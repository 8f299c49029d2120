"""What a key of one entity is told of documents that name another's: the same as of what is not there, whatever is asked of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import date
from pkgutil import resolve_name
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydantic import BaseModel
from sqlalchemy import Connection, Engine, text
from werkzeug.test import TestResponse

from ledger.documents import parse
from ledger.intake.posting import DRAWN_AT_ONCE
from revrec.kinds import TYPES
from tests.conftest import Cli, lines
from tests.samples import PARTY, contract, grant, invoice, obligation, one_time, parties, payment, prepaid, usage
from tests.serving import MakeApp
from tests.test_access import sign_in
from tests.test_refusals_leave_nothing import BASE, NEXT
from web.access import keys
from web.access.naming import NAMING, Name, Thing, entities_of, entities_said, named
from web.render import printed
from web.work.reports import REPORTS

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
        key = keys.create(connection, "theirs", "operator", "tester", ("us",))
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


def _post(client: FlaskClient, headers: Mapping[str, str], *docs: Document) -> list[dict[str, Any]]:
    """What is told of documents that are refused, each by itself."""
    answer = client.post("/v1/documents", data=lines(docs), headers=headers, mimetype="application/x-ndjson")
    assert answer.status_code == 422, (docs, answer.text)
    assert len(answer.json.get("problems", ())) + answer.json.get("more", 0) == len(docs), (docs, answer.text)
    return list(answer.json["problems"])


def _told(client: FlaskClient, headers: Mapping[str, str], doc: Document) -> dict[str, Any]:
    """What is told of a document that is refused, but for what it is called itself."""
    (problem,) = _post(client, headers, doc)
    return problem | {"document": doc["type"]}


def _with(doc: Document, values: Mapping[str, str]) -> Document:
    """A document with other values in some of its fields, by their places."""
    changed = deepcopy(doc)
    for place, value in values.items():
        *path, last = place.split(".")
        holder: Any = changed
        for step in path:
            holder = holder[int(step)] if isinstance(holder, list) else holder[step]
        holder[last] = value
    return changed


def _read(doc: Document) -> Any:
    return parse.check(TYPES[doc["type"]].model, parse.read_line(json.dumps(doc).encode()))


@pytest.fixture
def of_eu(cli: Cli, engine: Engine, make_books_app: MakeApp) -> tuple[FlaskClient, dict[str, str]]:
    """Books of everything there is, and a key for an entity that has little of it."""
    cli.post(*BASE)
    with engine.begin() as connection:
        key = keys.create(connection, "theirs", "operator", "tester", ("eu",))
    return make_books_app().test_client(), {"Authorization": f"Bearer {key}"}


def test_whatever_names_anothers_is_told_as_what_names_nothing(
    of_eu: tuple[FlaskClient, dict[str, str]], connection: Connection
) -> None:
    """Every kind of document, by every field by which it names others."""
    seen = set()
    cash = {"debit": "cash", "debit_subject": "account:bank", "credit": "opening_balances", "amount": "1.00"}
    more = [
        {"type": "dispute", "id": "n", "payment": "P6", "date": "2026-02-01", "amount": "9.00", "status": "lost", "opening": "D6"},
        contract("n", "2026-02-01", obligation("n/o", "60.00", "2026-02-01", "2026-12-31"), combined_with="C", combined_because="one_objective"),
        {"type": "manual_entry", "id": "n", "entity": "us", "currency": "USD", "date": "2026-02-01", "approved_by": "ann", **BECAUSE, "lines": [cash]},
    ]  # fmt: skip
    for number, doc in enumerate([*NEXT, *more]):
        asked = doc if doc["type"] == "fx_rate" else doc | {"id": f"u{number}"}
        own = _with(asked, {place: value.replace("us", "eu") for place, value, _ in entities_said(_read(asked))})
        names = {name.field: name for name in named(_read(own)) if not _is_open(connection, name, "eu")}
        if not names:
            continue
        nothing = _with(own, {place: name.value.replace(name.ref, f"nothing/{place}") for place, name in names.items()})
        told, of_nothing = _told(*of_eu, own), _told(*of_eu, nothing)
        assert told["value"] == names[told["field"]].value, doc
        assert told | {"value": ""} == of_nothing | {"value": ""}, doc
        assert told["expected"] == "expected the id of something of eu in the books"
        seen |= {place.rpartition(".")[2] for place in names}
    assert seen == {*NAMING, "debit_subject", "credit_subject", "supersedes"}


def _is_open(connection: Connection, name: Name, entity: str) -> bool:
    return name.is_open(entities_of(connection, name.things), [entity])


def test_whatever_says_another_entity_is_told_as_what_says_none(of_eu: tuple[FlaskClient, dict[str, str]]) -> None:
    """Every kind of document, by every field by which it does, its lines too; and another entity itself."""
    seen = set()
    line = {
        "debit": "cash",
        "debit_subject": "rail:wire",
        "credit": "due_to_entities",
        "customer": "globex",
        "amount": "1.00",
    }
    more = [
        {"type": "manual_entry", "id": "n", "entity": "eu", "currency": "USD", "date": "2026-02-01", "approved_by": "ann", **BECAUSE,
         "lines": [line | {"credit_subject": "entity:us"}]},
        *(invoice("n", "2026-02-01", one_time("10.00") | {"entity": "us"}, entity="eu", **more) for more in ({}, {"supersedes": "I1"})),
        {"type": "details", "id": "n", "entity": "us", "date": "2026-02-01", "name": "X"},
    ]  # fmt: skip
    for number, doc in enumerate([*NEXT, *more]):
        asked = doc if doc["type"] == "fx_rate" else doc | {"id": f"u{number}"}
        said = {place: value for place, value, entity in entities_said(_read(asked)) if entity == "us"}
        if not said:
            continue
        nowhere = _with(asked, {place: value.replace("us", "nothing") for place, value in said.items()})
        told, of_nowhere = _told(*of_eu, asked), _told(*of_eu, nowhere)
        assert told | {"value": ""} == of_nowhere | {"value": ""}, doc
        assert told["value"] == said[told["field"]], doc
        seen |= {place.rpartition(".")[2] for place in said}
    assert seen == {"entity", "credit_subject"}
    ours = {"type": "entity", "id": "us", "name": "Acme AI", "currency": "USD"}
    assert _told(*of_eu, ours | {"id": "us"}) | {"value": ""} == _told(*of_eu, ours | {"id": "nothing"}) | {"value": ""}


def test_what_is_in_the_books_of_another_is_told_alike_whatever_it_says(
    of_eu: tuple[FlaskClient, dict[str, str]], connection: Connection
) -> None:
    """Every kind: with the same content, with other content, and where nothing has its id."""
    app, headers = of_eu
    theirs = [doc for doc in BASE if not _is_shared(connection, doc)]
    assert {doc["type"] for doc in theirs} >= {
        "entity",
        "credit_note",
        "unidentified_receipt",
        "usage",
        "grant",
        "contract",
    }
    for doc in theirs:
        same, other, free = _post(app, headers, doc, doc | {"reference": "PO-1"}, doc | {"id": "free"})
        assert same | {"line": 0} == other | {"line": 0}, doc
        if doc["type"] != "entity":
            assert same | {"line": 0, "document": ""} == free | {"line": 0, "document": ""}, doc
    # with own content, no more is told than that the id is taken: it is one document's of all entities'
    own = [payment("n", "1.00", "2026-02-01", entity="eu"), usage("n", "1.00", "2026-02-01", entity="eu")]
    for doc, taken in zip(own, ("P1", "U"), strict=True):
        assert (
            _told(app, headers, doc | {"id": taken})["expected"]
            == f"expected an id that no other {doc['type']} has: this one is taken"
        )
    # nothing is kept, of what came with it neither
    before = connection.scalar(text("select count(*) from document"))
    _post(app, headers, BASE[-1])
    assert app.post("/v1/documents", json=[own[0], BASE[-1]], headers=headers).status_code == 422
    connection.rollback()
    assert connection.scalar(text("select count(*) from document")) == before


def _is_shared(connection: Connection, doc: Document) -> bool:
    """Whether it is of all entities, or of the key's."""
    if doc["type"] == "entity":
        return doc["id"] == "eu"
    thing = Thing(doc["type"], doc["id"])
    return entities_of(connection, [thing]).get(thing, {"eu"}) == {"eu"}


def test_no_count_of_problems_tells_what_is_left_of_anothers(of_eu: tuple[FlaskClient, dict[str, str]]) -> None:
    """Many at once, with amounts that could be, and that could not: each is refused by itself, before anything of it is decided."""
    amounts = [f"{whole}.00" for whole in (1, 10, 70, 71, 72, 500)]
    for doc in (
        {"type": "write_off", "invoice": "I5", **THEN, "approved_by": "c", **BECAUSE},
        {"type": "refund", "payment": "P6", **THEN},
        usage("n", "1.00", "2026-02-01", product="tokens"),
        payment("n", "1.00", "2026-02-01"),
    ):
        told = _post(
            *of_eu,
            *(
                doc
                | {"id": amount, "amount": amount}
                | ({"unit_price": None, "quantity": None} if doc["type"] == "usage" else {})
                for amount in amounts
            ),
        )
        assert len({(problem["field"], problem["value"], problem["expected"]) for problem in told}) == 1, doc


def test_usage_in_bulk_is_held_to_the_entities_of_a_key(of_eu: tuple[FlaskClient, dict[str, str]], cli: Cli) -> None:
    """Also where it is read as rows: its own is posted, and told again as posted before; what is another's, or has its id, is refused line by line."""
    app, headers = of_eu
    own = [usage(f"eu/{number}", "0.01", "2026-02-01", entity="eu") for number in range(DRAWN_AT_ONCE + 1)]
    theirs = [
        usage("U", "12.00", "2026-01-10"),
        usage("u", "12.00", "2026-01-10"),
        usage("U", "12.00", "2026-01-10", entity="eu"),
    ]

    def ask(*docs: Document) -> Any:
        return app.post("/v1/documents", data=lines(docs), headers=headers, mimetype="application/x-ndjson").json

    told = ask(*own, *theirs)["problems"]
    assert [(problem["line"], problem["field"]) for problem in told] == [
        (len(own) + 1, "entity"), (len(own) + 2, "entity"), (len(own) + 3, "id"),
    ]  # fmt: skip
    assert ask(*own)["posted"] == len(own)
    again = ask(*own)
    assert (again["posted"], again["repeated"]) == (0, len(own))
    # a few are posted by one statement
    assert [problem["field"] for problem in ask(theirs[0])["problems"]] == ["entity"]
    assert [problem["field"] for problem in ask(theirs[2])["problems"]] == ["id"]
    assert ask(own[0])["repeated"] == 1
    cli.post(
        grant("PLAIN", "100.00") | {"customer": "initech"},
        invoice("PLAIN", "2026-01-05", prepaid("100.00", "PLAIN"), customer="initech", due_on="2026-02-05"),
        usage("first", "0.01", "2026-01-06") | {"customer": "initech"},
    )
    drawn = [
        usage("plain", "1.00", "2026-02-01") | {"customer": "initech", "entity": entity} for entity in ("us", "nothing")
    ]
    told, of_nothing = (ask(doc)["problems"] for doc in drawn)
    assert told == [of_nothing[0] | {"value": "us"}]


def test_what_came_with_what_names_it_is_told_as_it_was_sent(of_eu: tuple[FlaskClient, dict[str, str]]) -> None:
    """What is wrong with a document is told where what it names is in the same request, and refused or taken back with it."""
    app, headers = of_eu
    own = invoice("mine", "2026-02-01", one_time("10.00"), entity="eu")
    over = {"type": "write_off", "id": "w", "invoice": "mine", **THEN, "amount": HUGE, **BECAUSE, "approved_by": "ann"}
    told = app.post("/v1/documents", json=[own, over], headers=headers).json["problems"]
    assert [(problem["line"], problem["field"]) for problem in told] == [(2, "amount")]
    told = app.post("/v1/documents", json=[own | {"currency": "GBP"}, over], headers=headers).json["problems"]
    assert "it was refused on line 1" in told[1]["expected"]


def test_an_external_id_of_anothers_is_no_more_than_taken(of_eu: tuple[FlaskClient, dict[str, str]], cli: Cli) -> None:
    cli.post(invoice("SECRET", "2026-02-01", one_time("1.00"), external={"stripe": "in_secret"}))
    own = invoice("n", "2026-02-01", one_time("1.00"), entity="eu", external={"stripe": "in_secret"})
    told = _told(*of_eu, own)
    assert told["expected"] == "expected an external id that no other invoice has: this one is taken"
    assert "SECRET" not in json.dumps(told)


def test_an_obligation_of_anothers_id_disturbs_nobody(
    client: tuple[FlaskClient, dict[str, str]], engine: Engine, cli: Cli
) -> None:
    """Ids of obligations are a customer's own: another entity's contract with one of the same takes it from nobody, and is not named."""
    app, headers = client
    by_progress = {"pattern": "progress"}
    cli.post(
        {"type": "customer", "id": "initech", "name": "Initech"},
        contract("EU", "2026-01-01", obligation("o", "100.00", "2026-01-01", "2026-12-31") | by_progress, **EU),
    )
    own = contract("US", "2026-01-01", obligation("o", "200.00", "2026-01-01", "2026-12-31") | by_progress) | {
        "customer": "initech"
    }
    assert app.post("/v1/documents", json=own, headers=headers).status_code == 200
    with engine.begin() as connection:
        key = keys.create(connection, "eu", "operator", "tester", ("eu",))
    for asking, entity, of in ((headers, "us", "US"), ({"Authorization": f"Bearer {key}"}, "eu", "EU")):
        found = app.get("/v1/trace/obligation:o", headers=asking)
        assert [(step["kind"], step["ref"]) for step in found.json["comes_from"]] == [("contract", of)]
        progress = {"type": "progress", "id": entity, "obligation": "o", **THEN, "percent": "50"}
        assert app.post("/v1/documents", json=progress, headers=asking).status_code == 200
        assert "200.00" not in found.text or entity == "us"
        entries = app.get(f"/v1/trace/progress:{entity}", headers=asking)
        assert entries.status_code == 200, entries.text
    # a line of a customer of both names its own alone
    bill = invoice("B", "2026-02-01", {"id": "1", "kind": "service", "amount": "1.00", "obligation": "o"})
    assert _told(app, headers, bill) == _told(app, headers, _with(bill, {"lines.0.obligation": "nothing"})) | {
        "value": "o"
    }
    # who may see both is asked which
    both = {"type": "progress", "id": "b", "obligation": "o", **THEN, "percent": "60"}
    assert "expected one of EU, US" in cli.refused("post", "-", stdin=lines([both]))


def test_the_contract_of_a_grant_is_a_name_and_tells_of_nobody(client: tuple[FlaskClient, dict[str, str]]) -> None:
    """Of an order of the entity's own: that another entity's contract is called so changes nothing, whosever customer it is with."""
    app, headers = client
    free = grant("F", "10.00", kind="promotional", price=None, contract="C")
    del free["price"]
    told, of_nothing = _told(app, headers, free), _told(app, headers, free | {"contract": "nothing"})
    assert told == of_nothing | {"value": "C"}
    customer = {"type": "customer", "id": "initech", "name": "Initech"}
    posted = [
        customer,
        *(
            grant(f"{whose}/{name}", contract=name) | {"customer": whose}
            for name in ("C", "nothing")
            for whose in ("globex", "initech")
        ),
    ]
    assert app.post("/v1/documents", json=posted, headers=headers).status_code == 200
    # the free credits share the price of the own order
    assert app.post("/v1/documents", json=free, headers=headers).status_code == 200


def _plain(answer: TestResponse) -> str:
    """An answer without what is of its moment: the token of a page."""
    return re.sub(r"[\w-]+\.[\w-]{6}\.[\w-]{27}", "", answer.text)


def _as(engine: Engine, role: str, *entities: str) -> dict[str, str]:
    """The header of a new key."""
    with engine.begin() as connection:
        return {"Authorization": f"Bearer {keys.create(connection, role, role, 'tester', entities)}"}


def test_anothers_exports_are_as_those_that_nobody_asked_for(
    client: tuple[FlaskClient, dict[str, str]], engine: Engine
) -> None:
    app, headers = client
    asked = app.post(
        "/v1/exports", json={"target": "workbook", "entity": "eu"}, headers=_as(engine, "controller", "eu")
    )
    number = asked.json["job"]
    app.application.extensions["tickmark.jobs"].wait()
    pages = app.application.test_client()
    sign_in(pages, headers["Authorization"].removeprefix("Bearer "))
    for path in (
        f"/v1/jobs/{number}",
        f"/v1/jobs/{number}/file",
        f"/exports/jobs/{number}",
        f"/exports/jobs/{number}/file",
    ):
        told, of_none = (pages.get(at, headers=headers) for at in (path, path.replace(f"/{number}", "/999")))
        assert (told.status_code, _plain(told).replace(str(number), "999")) == (
            404,
            _plain(of_none).replace(str(number), "999"),
        )
    assert app.get(f"/v1/jobs/{number}", headers=_as(engine, "viewer", "eu")).status_code == 200


def test_whatever_anothers_is_traced_by_it_is_as_what_is_not_there(
    client: tuple[FlaskClient, dict[str, str]], connection: Connection
) -> None:
    """By its id, its number, what others call it, and its numbers in other systems; on the API and on pages."""
    app, headers = client
    pages = app.application.test_client()
    sign_in(pages, headers["Authorization"].removeprefix("Bearer "))
    number = connection.scalar(text("select min(entry_id) from entry"))
    document = connection.scalar(text("select document_id from document where ref = 'I'"))
    for ref, nowhere in (
        (f"{number}", "999999"), (f"entry:{number}", "entry:999999"), (f"TM-e{number}", "TM-e999999"),
        (f"TM-d{document}-202601", "TM-d999999-202601"), ("TM-eu-2026-01", "TM-nothing-2026-01"),
        ("TM-eu-20260105:revenue/seats", "TM-nothing-20260105:revenue/seats"), ("quickbooks:TM-eu-2026-01.2", "quickbooks:TM-nothing-2026-01.2"),
        ("obligation:C/o", "obligation:nothing"), ("invoice:I", "invoice:nothing"), ("I", "nothing"),
    ):  # fmt: skip
        kind, _, name = ref.rpartition(":")
        for path in ("/v1/trace/{}", "/documents/export/{}", f"/documents/{kind or 'invoice'}/{{}}"):
            here, there = (ref, nowhere) if "trace" in path or "export" in path else (name, nowhere.rpartition(":")[2])
            told, of_none = (pages.get(path.format(one), headers=headers) for one in (here, there))
            assert told.status_code == of_none.status_code == 404, (path, ref, told.text)
            assert _plain(told) == _plain(of_none).replace(there, here), (path, ref)
    for path in ("/v1/entries/{}", "/entries/{}", "/entries/{}/evidence.zip"):
        told, of_none = (pages.get(one, headers=headers) for one in (path.format(number), path.format(999999)))
        assert told.status_code == of_none.status_code == 404, path
        assert _plain(told) == _plain(of_none).replace("999999", f"{number}"), path


def test_a_report_of_anothers_contract_is_as_of_one_that_is_not_there(
    client: tuple[FlaskClient, dict[str, str]], engine: Engine
) -> None:
    """Of every report; and of what a figure is made of."""
    app, headers = client
    pages = app.application.test_client()
    sign_in(pages, headers["Authorization"].removeprefix("Bearer "))
    for path in (*(f"/v1/reports/{name}?contract=" for name in REPORTS), "/figure?role=revenue&contract="):
        told, of_none = (pages.get(path + ref, headers=headers) for ref in ("C", "nothing"))
        assert told.status_code == of_none.status_code, path
        assert _plain(told).replace('"C"', '"nothing"').replace("contract = C", "contract = nothing") == _plain(
            of_none
        ), path
    assert app.get("/v1/reports/schedule?contract=C", headers=_as(engine, "viewer", "eu")).status_code == 200


def test_what_is_counted_of_the_server_is_for_a_key_of_all_entities(
    client: tuple[FlaskClient, dict[str, str]], engine: Engine
) -> None:
    app, headers = client
    assert app.get("/metrics", headers=headers).status_code == 403
    assert "tickmark_last_entry" in app.get("/metrics", headers=_as(engine, "viewer")).text


def test_no_default_day_tells_when_another_posted_last(client: tuple[FlaskClient, dict[str, str]], cli: Cli) -> None:
    """Of every report, page and statement; sealed, not sealed, and as known at a moment."""
    app, headers = client
    cli.post(invoice("U", "2026-01-05", one_time("1.00")))
    pages = app.application.test_client()
    sign_in(pages, headers["Authorization"].removeprefix("Bearer "))
    known = "known_at=2999-01-01T00:00:00Z"
    paths = [
        *(f"/v1/reports/{name}?{query}" for name in REPORTS for query in ("", known)), "/", "/close", "/customers/globex",
        "/print/statement/globex", "/receivables",
    ]  # fmt: skip

    def told() -> list[str]:
        cli.ok("report", "trial-balance")  # another connection
        return [_plain(pages.get(path, headers=headers)) for path in paths]

    before = told()
    cli.post(invoice("LATE", "2031-07-08", one_time("1.00"), **EU))
    assert [
        path for path, now, then in zip(paths, told(), before, strict=True) if "2031" in now and "2031" not in then
    ] == []
    cli.ok("seal")
    assert [
        path for path, now, then in zip(paths, told(), before, strict=True) if "2031" in now and "2031" not in then
    ] == []
    # its own does
    cli.post(invoice("OWN", "2031-07-08", one_time("1.00")))
    for seal in (False, True):
        if seal:
            cli.ok("seal")
        for query in ("", known):
            aging = app.get(f"/v1/reports/ar-aging?{query}", headers=headers).json
            assert aging["notes"] == ["as of 2031-07-08"]


# The fields by which documents name what all entities share, or parts of a thing that they name too.
SHARED = {
    "customer", "payer", "parent", "product", "products", "code", "tax_codes", "coupon", "withheld",
    "line", "milestone", "component", "renews", "obligations", "cancel",
}  # fmt: skip


def _ids(model: type[BaseModel], kind: str) -> Iterator[tuple[str, str]]:
    """The fields of a form that hold ids, its parts' too, as pydantic describes them."""
    for name, field in model.model_fields.items():
        said = repr(field.annotation) + repr(field.metadata)
        if "_ref at" in said:
            yield kind, name
        for inner in re.findall(r"(?:ledger\.documents\.models\.\w+|revrec\.documents)\.\w+", said):
            part = resolve_name(inner)
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _ids(part, kind)


def test_every_field_that_holds_an_id_is_looked_at_or_of_what_all_share() -> None:
    """So a new one can't be left out."""
    found = {one for kind in TYPES for one in _ids(TYPES[kind].model, kind)}
    assert {
        ("progress", "obligation"),
        ("invoice", "entity"),
        ("payment", "invoice"),
        ("transfer", "fee_account"),
    } <= found
    known = {*NAMING, *SHARED, "id", "entity", "debit_subject", "credit_subject", "supersedes"}
    assert not {(kind, name) for kind, name in found if name not in known}


def test_no_draft_tells_what_is_left_of_anothers(client: tuple[FlaskClient, dict[str, str]]) -> None:
    app, headers = client
    draft = invoice("D", "2026-02-01", {"id": "1", "kind": "service", "amount": HUGE, "obligation": "C/o"}, **EU)
    told = app.post("/v1/drafts", json=draft, headers=headers)
    nowhere = app.post("/v1/drafts", json=draft | {"entity": "nothing"}, headers=headers)
    assert told.status_code == nowhere.status_code == 422
    assert told.text.replace('"eu"', '"nothing"') == nowhere.text
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
        "details d: expected a key for all entities, or for those that bill customer globex and all of them;"
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
