"""What others call a document: every type takes a reference and external ids, none is another's, and all are found by them."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from ledger import intake
from ledger.database import connect_engine
from ledger.errors import Problem
from ledger.intake import Outcome, post_lines
from revrec.intake import TYPES
from tests.conftest import Cli, lines
from tests.samples import grant, invoice, one_time, parties, payment, prepaid, usage
from tests.test_refusals_leave_nothing import BASE, NEXT, _contents, _tables
from web.posting import How, post_file

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
                text("select type, ref, reference from document_reference join document using (customer_id, document_id)")
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
    together = []
    for doc in ONE_OF_EACH:
        if "posted 1" in cli.run("post", "-", stdin=lines([doc | CALLED])).stdout:
            together.append(f"{doc['type']}:{doc['id']}")
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
        ({"external": {"Stripe": "ch_1"}}, "expected a system's name of small letters, digits, _, - and ., such as stripe"),
        ({"external": {"a:b": "ch_1"}}, "expected a system's name"),
        ({"external": {"": "ch_1"}}, "expected a system's name"),
        ({"external": {"s" * 41: "ch_1"}}, "at most 40 characters"),
        ({"external": {f"s{n}": "1" for n in range(11)}}, "at most 10 items"),
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
    three = [_paid("P1", "ch_1"), _paid("P2", "ch_1", customer="initech"), _paid("P3", "ch_1") | {"external": {"crm": "7", "stripe": "ch_1"}}]
    for order in permutations(three):
        for together in (True, False):
            between = [usage(f"u{n}", "1.00", "2026-01-02") for n in range(3)]
            files: list[Sequence[Document]] = (
                [[doc for pair in zip(order, between, strict=True) for doc in pair]] if together else [[doc] for doc in order]
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
    refused = [_paid("P1", "ch_0"), _paid("P2", "ch_2", customer="nobody"), _paid("P3", "ch_0") | {"external": {"crm": "3", "stripe": "ch_0"}}]
    cli.run("post", "-", "--keep-going", "--rejects", str(rejects), stdin=lines(refused))
    with engine.connect() as connection:
        after = _contents(connection, tables)
    assert [table for table in tables if before[table] != after[table]] == []
    assert [json.loads(line)["id"] for line in rejects.read_text().splitlines()] == ["P1", "P2", "P3"]
    cli.post(_paid("P4", "ch_2"), payment("P5", "1.00", "2026-01-05", external={"crm": "3"}))


def test_a_second_batch_knows_the_ids_of_the_first(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BATCH", 2)
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
    """Two customers' payments of one charge, at once: the second waits for the first, and is refused by its name or goes on."""
    cli.post(*parties(), {"type": "customer", "id": "initech", "name": "Initech"})
    problems: list[Problem] = []
    posted: list[int] = []

    def second() -> None:
        import io

        other = connect_engine(url)
        stream = io.BytesIO(lines([_paid("P2", "ch_1", customer="initech")]).encode())
        done = post_file(other, stream, TYPES, "second", lambda problem, _: problems.append(problem), How())
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
    told = ["line 1: payment P2: external.stripe = ch_1: expected an external id that no other payment has: payment P1 has stripe ch_1"]
    assert (posted, [str(problem) for problem in problems]) == (([0], told) if wins == "commits" else ([1], []))
    with engine.connect() as connection:
        assert [ref for *_, ref in _keys(connection)] == ["P1" if wins == "commits" else "P2"]
    assert "checks hold" in cli.ok("verify")
