"""Whose each document is: of an entity's key is all that is of it, and nothing else, whatever kinds of documents there are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from ledger.errors import Problem, Refused
from ledger.intake.posting import post_lines
from revrec.kinds import TYPES
from revrec.trace import names_of
from tests.conftest import Cli, lines
from tests.serving import MakeApp
from tests.test_access import sign_in
from tests.test_refusals_leave_nothing import BASE, NEXT
from web.access import keys
from web.access.scope import ENTITY_OF, require_posted_within

Document = dict[str, Any]

# What is of no one entity: facts about parties, and prices, taxes and rates that all of them share.
SHARED = {
    "entity", "customer", "customer_change", "details", "product", "tax_code", "coupon", "fx_rate", "stand_alone_price",
}  # fmt: skip
# What is of `eu`, by how documents name it that name no entity.
_NAMES_EU = (("grant", "GE"), ("invoice", "IE"), ("write_off", "WE"), ("refund", "RCRE"), ("recovery", "RCE"))


def _whose(doc: Document) -> str | None:
    if doc["type"] in SHARED:
        return None
    return "eu" if doc.get("entity") == "eu" or any(doc.get(field) == ref for field, ref in _NAMES_EU) else "us"


def _posted(connection: Connection, doc: Document) -> list[Problem]:
    problems: list[Problem] = []
    post_lines(connection, [json.dumps(doc).encode()], TYPES, "tester", lambda problem, _raw: problems.append(problem))
    return problems


def _over_both(doc: Document) -> bool:
    """Whether it moves what is of both: the invoice that it is about, or is, has lines of the other."""
    of_lines = any(line.get("entity") == "eu" for line in doc.get("lines", ()))
    return of_lines or bool({"M", "PM", "GE"} & {doc.get(field) for field in ("invoice", "payment", "grant")})


def _within(connection: Connection, of: str) -> bool:
    try:
        require_posted_within(connection, "tester", (of,))
    except Refused:
        return False
    return True


def test_each_document_is_of_the_entity_that_it_or_what_it_names_is_of(cli: Cli, engine: Engine) -> None:
    """So a key for that entity may post it, and one for another may not."""
    cli.post(*BASE)
    query = text(f"select {ENTITY_OF} from document d where (d.type, d.ref) = (:type, :id)")
    for doc in NEXT:
        whose = _whose(doc)
        with engine.connect() as connection, connection.begin() as transaction:
            assert not _posted(connection, doc), doc
            assert connection.scalar(query, {"type": doc["type"], "id": doc["id"]}) == whose, doc
            if whose:
                within = {of for of in ("us", "eu") if _within(connection, of)}
                assert within == (set() if _over_both(doc) else {whose}), doc
            transaction.rollback()
    assert {doc["type"] for doc in NEXT if _whose(doc)} == set(TYPES) - SHARED


@pytest.mark.parametrize("of", ["us", "eu"])
def test_a_key_lists_what_is_of_its_entity(cli: Cli, engine: Engine, make_books_app: MakeApp, of: str) -> None:
    cli.post(*BASE)
    with engine.begin() as connection:
        key = keys.create(connection, "someone", "viewer", "tester", (of,))
    client, headers = make_books_app().test_client(), {"Authorization": f"Bearer {key}"}
    found: set[tuple[str, str]] = set()
    after: str | None = "0"
    while after is not None:
        page = client.get(f"/v1/documents?after={after}", headers=headers).json
        found |= {(row["type"], row["id"]) for row in page["rows"] if row["type"] != "beside"}
        after = page["next"]
    parts = {("invoice", "M@eu")} if of == "eu" else set()
    # a dispute that is opened moves nothing but of whom was paid
    own = [doc for doc in BASE if _whose(doc) == of and (not _over_both(doc) or doc.get("status") == "opened")]
    assert found == {(doc["type"], doc["id"]) for doc in own} | parts
    invoices = client.get("/v1/invoices?limit=500", headers=headers).json["rows"]
    assert {("invoice", row["id"]) for row in invoices} == {one for one in found if one[0] == "invoice"}
    of_customer = client.get("/v1/documents?customer=globex&limit=500", headers=headers).json["rows"]
    refunds = {row["id"] for row in of_customer if row["type"] == "refund"}
    assert refunds == {doc["id"] for doc in own if doc["type"] == "refund"}


def test_a_document_of_several_entities_is_there_for_who_sees_all_of_them(
    cli: Cli, engine: Engine, make_books_app: MakeApp
) -> None:
    """On every face of it: an invoice with a line of another entity is its customer's, and no one entity's alone."""
    cli.post(*BASE)
    client, pages = make_books_app().test_client(), make_books_app().test_client()
    for entities, status in (((), 200), (("us",), 404), (("eu",), 404), (("eu", "us"), 200)):
        with engine.begin() as connection:
            key = keys.create(connection, "someone", "viewer", "tester", entities)
        headers = {"Authorization": f"Bearer {key}"}
        sign_in(pages, key)
        for path in ("/v1/invoices/M", "/v1/print/invoice/M", "/v1/trace/invoice:M", "/v1/trace/M"):
            told, of_nothing = (client.get(path.replace("M", ref), headers=headers) for ref in ("M", "nothing"))
            assert told.status_code == status, (entities, path)
            assert status == 200 or told.text.replace("M", "nothing") == of_nothing.text, (entities, path)
        for path in ("/invoices/M", "/print/invoice/M", "/documents/invoice/M"):
            assert pages.get(path).status_code == status, (entities, path)
        assert ("/invoices/M" in pages.get(f"/customers/globex?entity={(*entities, 'us')[-1]}").text) == (status == 200)
        if entities:
            listed = client.get(f"/v1/invoices?limit=500&entity={entities[-1]}", headers=headers).json["rows"]
            assert ("M" in {row["id"] for row in listed}) == (status == 200)
            found = pages.get("/find?q=M")
            assert ("/invoice/M" in (found.text + found.headers.get("Location", ""))) == (
                status == 200 or entities == ("eu",)
            ), found.text


@pytest.mark.parametrize("of", ["us", "eu"])
def test_a_key_sees_the_page_of_what_is_of_its_entity(
    cli: Cli, engine: Engine, make_books_app: MakeApp, of: str
) -> None:
    """Of each kind: with what it names and what undoes it, and a link to what it names; what is of another is not there."""
    numbered = [doc if doc["type"] == "fx_rate" else doc | {"id": f"n{number}"} for number, doc in enumerate(NEXT)]
    cli.post(*BASE)
    refused = cli.run("post", "--keep-going", "-", stdin=lines(numbered)).stderr
    with engine.begin() as connection:
        key = keys.create(connection, "someone", "viewer", "tester", (of,))
    client, headers = make_books_app().test_client(), {"Authorization": f"Bearer {key}"}
    pages = make_books_app().test_client()
    sign_in(pages, key)
    known = {(doc["type"], doc["id"]) for doc in BASE}
    seen = set()
    for doc in numbered:
        if _whose(doc) is None or f"{doc['type']} {doc['id']}:" in refused:
            continue
        place = f"{doc['type']}:{doc['id']}"
        answer = client.get(f"/v1/trace/{place}", headers=headers)
        page = pages.get(f"/documents/{place.replace(':', '/', 1)}")
        assert page.status_code == answer.status_code, doc
        whole = of == _whose(doc) and not _over_both(doc)
        if not whole:
            assert answer.status_code == 404, doc
            continue
        assert answer.status_code == 200, (doc, answer.text)
        seen.add(doc["type"])
        assert all(
            f'/{kind}/{doc[field]}"' in page.text
            for field, kind in names_of(doc["type"]).items()
            if isinstance(doc.get(field), str)
        ), doc
        named = {(kind, doc[field]) for field, kind in names_of(doc["type"]).items() if isinstance(doc.get(field), str)}
        assert {(step["kind"], step["ref"]) for step in answer.json["comes_from"]} >= named & known, doc
    assert seen == {doc["type"] for doc in NEXT if _whose(doc) == of and not _over_both(doc)}
