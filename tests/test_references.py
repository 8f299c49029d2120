"""What others call a document: every type takes a reference and external ids, none is another's, and all are found by them."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from ledger.database.connect import connect_engine
from ledger.errors import Problem
from ledger.intake import lines as lines_module
from ledger.intake.batches import Outcome
from ledger.intake.posting import post_lines
from revrec.kinds import TYPES
from tests.conftest import Cli, lines
from tests.samples import grant, invoice, one_time, parties, payment, prepaid, usage
from tests.serving import MakeApp
from tests.test_access import bearer, key
from tests.test_refusals_leave_nothing import BASE, NEXT, _contents, _tables
from web.work.drafts import Draft, preview
from web.work.post_file import How, post_file

Document = dict[str, Any]
CALLED: Document = {"reference": "PO-17", "external": {"stripe": "x_1", "crm": "06:Ünïcode 1"}}
ONE_OF_EACH = list({doc["type"]: doc for doc in NEXT}.values())


def _post(connection: Connection, *documents: Document) -> tuple[Outcome, list[Problem]]:
    problems: list[Problem] = []
    outcome = post_lines(
        connection, [lines([doc]).encode() for doc in documents], TYPES, "tester", lambda problem, _: problems.append(problem)
    )  # fmt: skip
    return outcome, problems


def _keys(connection: Connection) -> set[tuple[str, ...]]:
    rows = connection.execute(
        text(
            "select k.system, k.external_id, k.type, k.status, d.ref from external_key k join document d using (customer_id, document_id)"
        )
    )
    return {tuple(row) for row in rows}


def test_every_type_of_document_takes_them(cli: Cli, engine: Engine) -> None:
    """Each type once, with the same ids: they are other documents' of other types, and a second of the same type is refused."""
    cli.post(*BASE)
    assert {doc["type"] for doc in ONE_OF_EACH} == set(TYPES)
    for doc in ONE_OF_EACH:
        with engine.connect() as connection:
            outcome, problems = _post(connection, doc | CALLED)
            assert (outcome.posted, problems) == (1, []), doc
            status = doc.get("status", "")
            expected = {
                (system, called, doc["type"], status, doc["id"]) for system, called in CALLED["external"].items()
            }
            assert _keys(connection) == expected
            rows = connection.execute(
                text(
                    "select type, ref, reference from document_reference join document using (customer_id, document_id)"
                )
            )
            assert [tuple(row) for row in rows] == [(doc["type"], doc["id"], "PO-17")]
            assert _post(connection, doc | CALLED)[0].repeated == 1
            kind = f"{doc['type']} of status {status}" if status else doc["type"]
            _, problems = _post(connection, doc | CALLED | {"id": "second"})
            assert [str(problem) for problem in problems] == [
                f"line 1: {doc['type']} second: external.crm = 06:Ünïcode 1: expected an external id that no other {kind} has:"
                f" {doc['type']} {doc['id']} has crm 06:Ünïcode 1"
            ]
            connection.rollback()


def test_all_types_at_once_are_found_and_verify(cli: Cli) -> None:
    """All that the base takes beside each other, each with the same external ids and reference."""
    cli.post(*BASE)
    together = [
        f"{doc['type']}:{doc['id']}"
        for doc in ONE_OF_EACH
        if "posted 1" in cli.run("post", "-", stdin=lines([doc | CALLED])).stdout
    ]
    assert len(together) > 20  # some exclude each other: two change one contract, or one bill
    for name in ("x_1", "stripe:x_1", "06:Ünïcode 1", "crm:06:Ünïcode 1", "PO-17", "reference:PO-17"):
        said = cli.refused("trace", name)
        assert f"several things are called so; expected one of {', '.join(sorted(together))}" in said, name
    assert "checks hold" in cli.ok("verify")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"reference": ""}, "reference"),
        ({"reference": " PO-17"}, "reference =  PO-17: expected text without spaces around it, line breaks or tabs"),
        ({"reference": "a\nb"}, "expected text without spaces around it, line breaks or tabs"),
        ({"reference": "x" * 256}, "at most 255 characters"),
        ({"reference": 17}, "reference"),
        ({"external": "ch_1"}, "external"),
        ({"external": {"stripe": ""}}, "external.stripe"),
        ({"external": {"stripe": "ch_1 "}}, "external.stripe = ch_1 : expected text without spaces"),
        ({"external": {"stripe": "x" * 256}}, "at most 255 characters"),
        ({"external": {"stripe": 1}}, "external.stripe = 1"),
        ({"external": {"stripe": ["ch_1", "ch_2"]}}, "external.stripe"),
        ({"external": {"Stripe": "ch_1"}}, "external.Stripe = Stripe: expected a system's name of small letters, digits, _, - and ., such as stripe"),
        ({"external": {"a:b": "ch_1"}}, "expected a system's name"),
        ({"external": {"": "ch_1"}}, "expected a system's name"),
        ({"external": {"s" * 41: "ch_1"}}, "at most 40 characters"),
        ({"external": {f"s{n}": "1" for n in range(11)}}, "expected at most 10 systems"),
    ],
)  # fmt: skip
def test_what_is_none_is_refused(cli: Cli, said: Document, expected: str) -> None:
    cli.post(*parties())
    assert expected in cli.refuse(payment("P", "1.00", "2026-01-01") | said)


def test_an_id_twice_of_one_system_is_refused(cli: Cli) -> None:
    cli.post(*parties())
    raw = json.dumps(payment("P", "1.00", "2026-01-01") | {"external": {"stripe": "a"}})
    twice = raw.replace('{"stripe": "a"}', '{"stripe": "a", "stripe": "b"}')
    assert "stripe = given twice: expected each field once" in cli.refused("post", "-", stdin=twice)


def _paid(ref: str, external: str, **more: Any) -> Document:
    return payment(ref, "10.00", "2026-01-05", external={"stripe": external}, **more)


def test_a_chargeback_is_opened_and_lost_under_one_id(cli: Cli) -> None:
    """Of documents with a status the id is one's of each: opened and lost are of one chargeback, lost twice are not."""
    of = {"type": "dispute", "payment": "P", "date": "2026-01-10", "amount": "5.00", "external": {"stripe": "dp_1"}}
    cli.post(*parties(), _paid("P", "dp_1"))  # a payment's is another type's
    cli.post(of | {"id": "D1", "status": "opened"}, of | {"id": "D2", "status": "lost"})
    said = cli.refuse(of | {"id": "D3", "status": "lost"})
    assert "expected an external id that no other dispute of status lost has: dispute D2 has stripe dp_1" in said
    cli.post({**of, "id": "D4", "status": "opened", "external": {"adyen": "dp_1"}})
    assert "checks hold" in cli.ok("verify")


def test_of_documents_in_any_order_the_first_has_it(cli: Cli, engine: Engine) -> None:
    """Three of one id in every order, in one file and one by one, with usage in bulk between: the first is posted, the others name it."""
    cli.post(*parties(), {"type": "customer", "id": "initech", "name": "Initech"})
    three = [
        _paid("P1", "ch_1"),
        _paid("P2", "ch_1", customer="initech"),
        _paid("P3", "ch_1") | {"external": {"crm": "7", "stripe": "ch_1"}},
    ]
    for order in permutations(three):
        for together in (True, False):
            between = [usage(f"u{n}", "1.00", "2026-01-02") for n in range(3)]
            files: list[Sequence[Document]] = (
                [[doc for pair in zip(order, between, strict=True) for doc in pair]]
                if together
                else [[doc] for doc in order]
            )
            with engine.connect() as connection:
                told = [problem for file in files for problem in _post(connection, *file)[1]]
                first = order[0]["id"]
                assert {(system, called, ref) for system, called, _, _, ref in _keys(connection)} == {
                    (system, called, first) for system, called in order[0]["external"].items()
                }
                assert [(problem.document, problem.field) for problem in told] == [
                    (f"payment {doc['id']}", "external.stripe") for doc in order[1:]
                ]
                assert all(f"payment {first} has stripe ch_1" in problem.expected for problem in told)
                connection.rollback()


def test_a_refused_document_leaves_its_ids_to_others(cli: Cli, engine: Engine, tmp_path: Path) -> None:
    """With --keep-going, nothing stands of what was refused, for its ids or for another reason: the next of these ids is posted."""
    cli.post(*parties(), _paid("P0", "ch_0"))
    with engine.connect() as connection:
        tables = _tables(connection)
        before = _contents(connection, tables)
    rejects = tmp_path / "rejects.jsonl"
    refused = [
        _paid("P1", "ch_0"),
        _paid("P2", "ch_2", customer="nobody"),
        _paid("P3", "ch_0") | {"external": {"crm": "3", "stripe": "ch_0"}},
    ]
    cli.run("post", "-", "--keep-going", "--rejects", str(rejects), stdin=lines(refused))
    with engine.connect() as connection:
        after = _contents(connection, tables)
    assert [table for table in tables if before[table] != after[table]] == []
    assert [json.loads(line)["id"] for line in rejects.read_text().splitlines()] == ["P1", "P2", "P3"]
    cli.post(_paid("P4", "ch_2"), payment("P5", "1.00", "2026-01-05", external={"crm": "3"}))


def test_a_second_batch_knows_the_ids_of_the_first(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "BATCH", 2)
    cli.post(*parties())
    said = cli.refuse(*(_paid(f"P{n}", f"ch_{n % 4}") for n in range(5)))
    assert "line 5: payment P4: external.stripe = ch_0" in said


def test_usage_of_all_ways_keeps_them(cli: Cli, connection: Connection) -> None:
    """Plain draws, usage in bulk, and usage one by one: what has a name elsewhere keeps it, and posts what it would without."""
    cli.post(*parties(), grant("G"), invoice("I", "2026-01-01", prepaid("100.00")), usage("u0", "1.00", "2026-01-02"))
    cli.post(usage("u1", "2.00", "2026-01-03", external={"meter": "e1"}))
    cli.post(usage("u2", "3.00", "2026-01-03", reference="batch 7"))
    bulk = [usage(f"b{n}", "1.00", "2026-01-04") for n in range(40)]
    bulk[20] |= {"external": {"meter": "e20"}}
    bulk[30] |= {"reference": "batch 7"}
    bulk[35] |= {"reference": "batch 7", "events": "file 1"}
    cli.post(*bulk)
    assert _keys(connection) == {("meter", "e1", "usage", "", "u1"), ("meter", "e20", "usage", "", "b20")}
    assert "usage b20" in cli.ok("trace", "meter:e20")
    said = cli.refused("trace", "batch 7")
    assert "expected one of usage:b30, usage:b35, usage:u2" in said
    assert "payment" not in said
    (row,) = cli.report("wallet")
    assert (row["drawn"], row["left"]) == ("46.00", "54.00")  # 1 + 2 + 3 + 40 times 1
    assert "expected an external id that no other usage has: usage u1 has meter e1" in cli.refuse(
        usage("u3", "1.00", "2026-01-05", external={"meter": "e1"})
    )
    assert "checks hold" in cli.ok("verify")


def test_the_parts_of_an_invoice_leave_them_to_the_whole(cli: Cli, connection: Connection) -> None:
    eu = parties()[0] | {"id": "eu"}
    line = one_time("60.00", "2") | {"entity": "eu"}
    cli.post(*parties(), eu, invoice("M", "2026-01-31", one_time("100.00"), line) | CALLED)
    assert {ref for *_, ref in _keys(connection)} == {"M"}
    assert connection.scalar(text("select count(*) from document where ref = 'M@eu'")) == 1
    assert cli.ok("trace", "PO-17").startswith("invoice M of 2026-01-31, reference PO-17")
    assert "checks hold" in cli.ok("verify")


def test_documents_without_them_hash_as_they_did(cli: Cli, connection: Connection) -> None:
    """By hand: SHA-256 of the canonical JSON, as it was before documents could say what others call them."""
    cli.post({"type": "product", "id": "p", "name": "P"})
    # printf '{"id":"p","name":"P","type":"product"}' | sha256sum
    found = connection.scalar(text("select encode(hash, 'hex') from document where ref = 'p'"))
    assert found == "9922ec06191a0720732556e223987f0b0d7cf6e9c595525deea19b27e1a09a43"


@pytest.mark.parametrize("wins", ["commits", "rolls back"])
def test_of_two_at_once_one_is_refused(cli: Cli, engine: Engine, url: str, wins: str) -> None:
    """Two customers' payments of one charge, at once: the second waits for the first, and is refused by its name or goes on.

    What else is refused of its file is told once, before or after it.
    """
    cli.post(*parties(), {"type": "customer", "id": "initech", "name": "Initech"})
    problems: list[Problem] = []
    posted: list[int] = []

    def second() -> None:
        other = connect_engine(url)
        file = [
            _paid("P2", "ch_1", customer="initech"),
            {"type": "payment", "id": "P3"},
            _paid("P4", "ch_4", customer="initech"),
        ]
        done = post_file(
            other, io.BytesIO(lines(file).encode()), TYPES, "second", lambda problem, _: problems.append(problem), How(keep_going=True)
        )  # fmt: skip
        posted.append(done.outcome.posted)
        other.dispose()

    with engine.connect() as first:
        _post(first, _paid("P1", "ch_1"))
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(1)
        assert thread.is_alive(), "it waits for who has the id"
        first.commit() if wins == "commits" else first.rollback()
    thread.join(20)
    told = [
        "line 1: payment P2: external.stripe = ch_1: expected an external id that no other payment has: payment P1 has stripe ch_1"
    ]
    assert (posted, [str(problem) for problem in problems if problem.line == 1]) == (
        ([1], told) if wins == "commits" else ([2], [])
    )
    missing = [problem.field for problem in problems if problem.line == 2]
    assert len(missing) == len(set(missing)) >= 5
    with engine.connect() as connection:
        assert {ref for *_, ref in _keys(connection)} == {"P1" if wins == "commits" else "P2", "P4"}
    assert "checks hold" in cli.ok("verify")


def test_a_draft_waits_for_who_has_its_id(cli: Cli, engine: Engine) -> None:
    """An invoice is drafted while another of its id elsewhere is being posted: it is told who has it."""
    cli.post(*parties(), {"type": "customer", "id": "initech", "name": "Initech"})
    drafts: list[Draft] = []
    draft = invoice("J", "2026-01-07", one_time("7.00"), customer="initech", external={"stripe": "in_1"})
    with engine.connect() as first:
        _post(first, invoice("I", "2026-01-07", one_time("7.00"), external={"stripe": "in_1"}))
        thread = threading.Thread(target=lambda: drafts.append(preview(engine, json.dumps(draft).encode(), "second")))
        thread.start()
        thread.join(1)
        assert thread.is_alive(), "it waits for who has the id"
        first.commit()
    thread.join(20)
    assert [str(problem) for problem in drafts[0].problems] == [
        "line 1: invoice J: external.stripe = in_1: expected an external id that no other invoice has: invoice I has stripe in_1"
    ]


def _books(cli: Cli) -> None:
    """Two entities: us has a payment P with its refund, eu an invoice; one reference is of both, ch_1 of two systems."""
    eu = {"type": "entity", "id": "eu", "name": "Acme AI GmbH", "currency": "USD"}
    cli.post(
        *parties(), eu, payment("P", "10.00", "2026-01-05", reference="PO-17", external={"stripe": "ch_1"}),
        {"type": "refund", "id": "R", "payment": "P", "date": "2026-01-06", "amount": "4.00", "external": {"stripe": "re_1"}, "reference": "1"},
        invoice("E", "2026-01-07", one_time("7.00"), entity="eu", reference="PO-17", external={"netsuite": "ch_1", "crm": "a:b"}),
        invoice("PO-9", "2026-01-07", one_time("7.00")), payment("Q", "1.00", "2026-01-07", reference="PO-9"),
    )  # fmt: skip


def test_a_trace_finds_and_tells_them(cli: Cli) -> None:
    _books(cli)
    assert cli.ok("trace", "stripe:ch_1").startswith("payment P of 2026-01-05, reference PO-17, stripe ch_1, posted ")
    assert cli.ok("trace", "re_1").startswith("refund R of 2026-01-06, reference 1, stripe re_1, posted ")
    assert cli.ok("trace", "a:b").startswith("invoice E")
    assert cli.ok("trace", "crm:a:b").startswith("invoice E")
    assert "several things are called so; expected one of invoice:E, payment:P" in cli.refused("trace", "PO-17")
    assert "several things are called so; expected one of invoice:E, payment:P" in cli.refused("trace", "ch_1")
    assert cli.ok("trace", "netsuite:ch_1").startswith("invoice E")
    # an id here comes before what others call so, a number may be an entry's too
    assert cli.ok("trace", "PO-9").startswith("invoice PO-9")
    assert cli.ok("trace", "reference:PO-9").startswith("payment Q")
    assert "several things are called so; expected one of entry:1, refund:R" in cli.refused("trace", "1")
    assert cli.ok("trace", "entry:1").startswith("entry 1 of 2026-01-05")
    assert cli.ok("trace", "reference:1").startswith("refund R")
    for nobodys in ("ch_2", "stripe:re_2", "adyen:ch_1", "po-17", "PO-1", "stripe:", ":ch_1"):
        assert "or what a document is called elsewhere: stripe:ch_1 or its reference" in cli.refused("trace", nobodys)
    entry = json.loads(cli.ok("trace", "entry:1", "--format", "json"))
    assert entry["comes_from"][0] == {
        "kind": "payment", "ref": "P", "text": "2026-01-05, 10.00 USD, reference PO-17, stripe ch_1", "depth": 0,
    }  # fmt: skip
    found = json.loads(cli.ok("trace", "payment:P", "--format", "json"))
    assert (found["document"]["reference"], found["document"]["external"]) == ("PO-17", {"stripe": "ch_1"})


def test_the_api_lists_what_is_called_so(cli: Cli, make_books_app: MakeApp, engine: Engine) -> None:
    _books(cli)
    client = make_books_app().test_client()

    def listed(query: str, *entities: str) -> list[str]:
        answer = client.get(f"/v1/documents?{query}", headers=bearer(key(engine, "viewer", *entities)))
        assert answer.status_code == 200, answer.text
        return [row["id"] for row in answer.json["rows"]]

    assert listed("external=stripe:ch_1") == ["P"]
    assert listed("external=ch_1") == ["P", "E"]
    assert listed("reference=PO-17") == ["P", "E"]
    assert listed("reference=PO-17&external=ch_1&entity=eu") == ["E"]
    assert listed("reference=PO-17&external=re_1") == []
    assert listed("external=re_1&entity=us") == ["R"]  # of its payment's entity
    assert listed("reference=PO-17&customer=globex&limit=1") == ["P"]
    # a key of one entity finds what is of it alone
    assert listed("external=ch_1", "eu") == ["E"]
    assert listed("external=re_1", "us") == ["R"]
    assert listed("external=re_1", "eu") == []
    (row,) = client.get("/v1/documents?external=crm:a:b", headers=bearer(key(engine, "viewer"))).json["rows"]
    assert (row["type"], row["entity"], row["reference"]) == ("invoice", "eu", "PO-17")
    assert row["external"] == {"netsuite": "ch_1", "crm": "a:b"}
    assert client.get("/v1/invoices?external=ch_1", headers=bearer(key(engine, "viewer"))).status_code == 422
    described = client.get("/openapi.json").json
    query = {parameter["name"] for parameter in described["paths"]["/v1/documents"]["get"]["parameters"]}
    assert {"external", "reference"} <= query
    assert {"external", "reference"} <= described["components"]["schemas"]["Document.dispute"]["properties"].keys()


def test_a_key_of_one_entity_traces_what_is_of_it(cli: Cli, make_books_app: MakeApp, engine: Engine) -> None:
    """What others call so in the books of another entity is not there: neither found, nor named among several."""
    _books(cli)
    client = make_books_app().test_client()
    of_us, of_eu = (bearer(key(engine, "viewer", entity)) for entity in ("us", "eu"))
    assert client.get("/v1/trace/PO-17", headers=of_us).json["ref"] == "P"
    assert client.get("/v1/trace/ch_1", headers=of_eu).json["ref"] == "E"
    assert client.get("/v1/trace/1", headers=of_eu).status_code == 404
    assert client.get("/v1/trace/stripe:ch_1", headers=of_eu).status_code == 404


def test_the_pages_find_and_show_them(cli: Cli, make_books_app: MakeApp) -> None:
    _books(cli)
    client = make_books_app(open_as="tester").test_client()

    def found(wanted: str) -> str:
        answer = client.get("/find", query_string={"q": wanted})
        return answer.headers["Location"] if answer.status_code == 302 else answer.text

    assert found("stripe:ch_1") == "/documents/payment/P"
    assert found("re_") == "/documents/refund/R"
    assert found("CRM:A") == "/documents/invoice/E"
    both = found("PO-17")
    assert "reference PO-17, crm a:b, netsuite ch_1" in both
    assert "reference PO-17, stripe ch_1" in both
    # entry 1 and the refund whose reference is 1, entry 2 by its number alone
    assert "/entries/1" in found("1")
    assert "/documents/refund/R" in found("1")
    assert found("2") == "/entries/2"
    assert "Nothing in the books has this" in found("ch_3")
    page = client.get("/documents/payment/P").text
    assert "payment P of 2026-01-05, reference PO-17, stripe ch_1, posted" in page
    assert "<dt>external</dt>" in page
    assert "reference PO-17, stripe ch_1" in client.get("/entries/1").text


def test_an_invoice_shows_them(cli: Cli, make_books_app: MakeApp, tmp_path: Path) -> None:
    """As its reader sees it, here; what is sent bears its reference, and no ids of systems that its reader does not know."""
    cli.post(
        *parties(),
        invoice("I", "2026-01-07", one_time("7.00"), reference="PO-17", external={"stripe": "in_1", "crm": "5"}),
    )
    assert "reference PO-17, crm 5, stripe in_1\n" in cli.ok("invoice", "I")
    client = make_books_app(open_as="tester").test_client()
    shown = client.get("/v1/invoices/I").json
    assert (shown["reference"], shown["external"]) == ("PO-17", {"stripe": "in_1", "crm": "5"})
    assert "reference PO-17, crm 5, stripe in_1." in client.get("/invoices/I").text
    cli.ok("print", "invoice", "I", "--output", str(tmp_path / "i.html"))
    sent = (tmp_path / "i.html").read_text()
    assert '<th scope="row">Reference</th><td>PO-17</td>' in sent
    assert "in_1" not in sent


def test_what_others_call_documents_changes_no_figure(cli: Cli, engine: Engine) -> None:
    """The same documents with names elsewhere and without, usage by all its ways: the same entries in the same order."""

    def told(connection: Connection, *documents: Document) -> list[str]:
        _, problems = _post(connection, *documents)
        assert problems == []
        rows = connection.execute(
            text(
                "select e.effective_on, d.ref, p.rule, p.amount, p.functional_amount, a.subject, b.subject from posting p"
                " join entry e using (customer_id, entry_id) join document d on d.document_id = e.document_id"
                " join account a on a.account_id = p.debit_account join account b on b.account_id = p.credit_account order by p.entry_id, p.line"
            )
        )
        found = [str(tuple(row)) for row in rows]
        connection.rollback()
        return found

    many = [usage(f"many{n}", "0.333", "2026-01-12") for n in range(30)]
    plain = [*BASE, *many]
    named = [doc | {"reference": f"of {doc['id']}", "external": {"crm": doc["id"]}} for doc in plain]
    some = [doc if place % 3 else other for place, (doc, other) in enumerate(zip(plain, named, strict=True))]
    with engine.connect() as connection:
        expected = told(connection, *plain)
        assert len(expected) > 40
        assert told(connection, *named) == expected
        assert told(connection, *some) == expected
