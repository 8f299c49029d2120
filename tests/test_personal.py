"""Personal fields: kept, shown, erased, and history the same before and after."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from ledger.documents import personal
from tests.conftest import Cli
from tests.samples import invoice, parties, service

CONTACTS = {"billing": "jane.doe@globex.example"}
DETAILS: dict[str, Any] = {
    "type": "details", "id": "globex/2026", "customer": "globex", "date": "2026-01-01", "name": "Globex Corporation", "attention": "Jane Doe",
    "address": ["1 Main Street", "Springfield"],
}  # fmt: skip


def _books(cli: Cli) -> None:
    entity, customer, *rest = parties()
    cli.post(
        entity,
        customer | {"contacts": CONTACTS},
        *rest,
        DETAILS,
        invoice("I", "2026-01-01", service("12.00", "2026-01-01", "2026-01-31")),
    )


def _rows(owner: Connection) -> str:
    """Every text of every table, as a dump would have it."""
    names = owner.scalars(
        text(
            "select table_name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'"
        )
    )
    return "".join(str(owner.scalars(text(f'select t::text from "{name}" t')).all()) for name in list(names))


def test_they_stand_outside_what_is_hashed(cli: Cli, owner: Connection) -> None:
    _books(cli)
    body, hash_ = owner.execute(text("select body, hash from document where type = 'details'")).one()
    salt, fields, kept = owner.execute(
        text("select salt, fields, commitment from personal_fields where type = 'details'")
    ).one()
    assert json.loads(body) == {
        "type": "details", "id": "globex/2026", "customer": "globex", "date": "2026-01-01", "personal": bytes(kept).hex(),
    }  # fmt: skip
    assert bytes(hash_) == hashlib.sha256(body.encode()).digest()
    # by hand: keys in their order, no spaces
    said = '{"address":["1 Main Street","Springfield"],"attention":"Jane Doe","name":"Globex Corporation"}'
    assert fields == said
    assert bytes(kept) == hashlib.sha256(bytes(salt) + said.encode()).digest()
    assert json.loads(cli.ok("trace", "details:globex/2026", "--format", "json"))["document"]["attention"] == "Jane Doe"


def test_they_are_erased_and_every_hash_still_holds(cli: Cli, owner: Connection) -> None:
    _books(cli)
    cli.ok("seal")
    before = [
        owner.execute(text(f"select * from {name} order by 1, 2")).all() for name in ("document", "entry", "seal")
    ]
    assert "Jane Doe" in _rows(owner)
    assert (
        cli.ok("erase", "globex", "--reason", "asked on 2 February")
        == "documents whose personal fields were erased: 2\n"
    )
    owner.commit()
    everything = _rows(owner)
    assert "Jane Doe" not in everything
    assert "jane.doe@" not in everything
    assert [
        owner.execute(text(f"select * from {name} order by 1, 2")).all() for name in ("document", "entry", "seal")
    ] == before
    cli.ok("verify")
    shown = json.loads(cli.ok("trace", "details:globex/2026", "--format", "json"))["document"]
    assert shown["erased"].endswith(": asked on 2 February")
    assert personal.erasures(owner)[0]["erased_by"] == "tester"
    # posted again, it is the document that was erased: nothing comes back
    assert "posted 0 documents as 0 entries, 1 posted before" in cli.post(DETAILS)
    owner.commit()
    assert "Jane Doe" not in _rows(owner)
    assert "documents whose personal fields were erased: 0" in cli.ok("erase", "globex", "--reason", "again")


def test_the_same_document_is_known_again_and_another_refused(cli: Cli) -> None:
    _books(cli)
    assert "posted 0 documents as 0 entries, 2 posted before" in cli.post(DETAILS, DETAILS)
    assert "posted before with other content" in cli.refuse(DETAILS | {"attention": "John Doe"})
    assert "posted before with other content" in cli.refuse(DETAILS | {"date": "2026-02-01"})
    both = DETAILS | {"id": "b", "date": "2026-03-01"}
    assert "posted 1 document" in cli.post(both, both)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"customer": None}, "customer = missing: expected a customer or an entity, or a customer of an entity"),
        ({"entity": "nowhere"}, "entity = nowhere: expected the id of an entity posted before"),
        ({"entity": "us", "footer": "Thank you."}, "footer = given: expected in the details of an entity only"),
        ({"remittance": ["IBAN DE02"]}, "remittance = given: expected in the details of an entity only"),
        ({"customer": "nobody"}, "customer = nobody: expected the id of a customer posted before"),
        ({"address": []}, "address = "),
        ({"address": ["x" * 101]}, "address.0 = xxx"),
    ],
)
def test_wrong_details_are_refused(cli: Cli, fields: dict[str, Any], said: str) -> None:
    cli.post(*parties())
    document = {name: value for name, value in (DETAILS | fields).items() if value is not None}
    assert said in cli.refuse(document)


def test_they_can_be_erased_and_nothing_else(cli: Cli, engine: Engine) -> None:
    _books(cli)
    for change in (
        "fields = '{}'",
        "reason = 'x'",
        "salt = null, fields = null, erased_at = now(), erased_by = 'x', reason = 'x', ref = 'y'",
    ):
        with engine.connect() as connection, pytest.raises(DBAPIError):
            connection.execute(text(f"update personal_fields set {change}"))
    with engine.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(text("delete from personal_fields"))
    assert "reason = missing" in cli.refused("erase", "globex", "--reason", "")
    assert "customer = x: expected the id of a customer in the books" in cli.refused("erase", "x", "--reason", "y")


def test_verify_names_what_was_changed_behind_its_back(cli: Cli, owner: Connection) -> None:
    _books(cli)
    owner.execute(text("set session_replication_role = replica"))
    owner.execute(text("update personal_fields set fields = replace(fields, 'Jane', 'Joan') where type = 'details'"))
    owner.commit()
    told = cli.run("verify")
    assert told.exit_code == 1
    assert "details globex/2026" in told.output


def test_the_latest_details_by_their_day_count(cli: Cli, connection: Connection) -> None:
    from datetime import date

    _books(cli)
    cli.post(
        DETAILS | {"id": "new", "date": "2026-03-01", "name": "Globex SE"},
        {
            "type": "details",
            "id": "us",
            "entity": "us",
            "date": "2026-01-01",
            "name": "Acme AI, Inc.",
            "remittance": ["ACH 021000021"],
        },
    )
    assert personal.details(connection, date(2025, 12, 31), "us", "globex") == {}
    assert personal.details(connection, date(2026, 2, 28), "us", "globex")["name"] == "Globex Corporation"
    assert personal.details(connection, date(2026, 3, 1), "us", "globex")["name"] == "Globex SE"
    assert personal.details(connection, date(2026, 3, 1), "us")["remittance"] == ["ACH 021000021"]
    cli.ok("erase", "globex", "--reason", "asked")
    connection.rollback()
    assert personal.details(connection, date(2026, 3, 1), "us", "globex") == {}
    assert personal.details(connection, date(2026, 3, 1), "us")["name"] == "Acme AI, Inc."
