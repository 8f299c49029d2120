"""Books of all kinds of documents: every entry and every document opens in every face, and every export is made or refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from adapters.export import TARGETS
from tests.conftest import Cli
from tests.serving import MakeApp
from tests.shelves import Place
from tests.test_access import sign_in
from tests.test_kinds import KINDS, _day, _history
from web import access


@pytest.fixture
def books(unlimited: None, cli: Cli, engine: Engine) -> Engine:
    """Each history of test_kinds at a place of its own, recognised and sealed."""
    cli.post({"type": "fx_rate", "id": "gbp", "date": "2026-01-01", "base": "GBP", "quote": "USD", "rate": "1.25"})
    for number, name in enumerate(KINDS):
        history, place = _history(name), Place(engine, f"k{number}-")
        assert place.post([*history.masters, *history.in_order(_day)]) == {}
    cli.ok("recognize", "--through", "2026-06")
    cli.ok("seal")
    return engine


@pytest.fixture
def faces(books: Engine, make_books_app: MakeApp) -> tuple[FlaskClient, FlaskClient, dict[str, str]]:
    """(one who is signed in to the pages, one of the API, with its headers)."""
    with books.begin() as connection:
        key = access.create(connection, "someone", "admin", "tester", ())
    pages = make_books_app().test_client()
    sign_in(pages, key)
    return pages, make_books_app().test_client(), {"Authorization": f"Bearer {key}"}


def test_every_entry_and_document_opens(
    books: Engine, faces: tuple[FlaskClient, FlaskClient, dict[str, str]], cli: Cli
) -> None:
    pages, api, headers = faces
    with books.connect() as connection:
        entries = connection.execute(
            text(
                "select entry_id, rule from (select e.entry_id, min(p.rule) as rule from entry e join posting p using (customer_id, entry_id) group by 1) x"
            )
        ).all()
        documents = connection.execute(
            text("select type, ref from document where type <> 'beside' order by document_id")
        ).all()
    assert len(entries) > 250
    for entry_id, _ in entries:
        assert pages.get(f"/entries/{entry_id}").status_code == 200, entry_id
        for place in (f"/v1/entries/{entry_id}", f"/v1/trace/{entry_id}"):
            assert api.get(place, headers=headers).status_code == 200, place
    for kind, ref in documents:
        assert pages.get(f"/documents/{kind}/{ref}").status_code == 200, (kind, ref)
        assert api.get(f"/v1/trace/{kind}:{ref}", headers=headers).status_code == 200, (kind, ref)
    # an entry of each rule, of what is made of the same
    for entry_id in {row.rule: row.entry_id for row in entries}.values():
        assert pages.get(f"/entries/{entry_id}/evidence.zip").status_code == 200, entry_id
        cli.ok("trace", str(entry_id))


def test_every_export_is_made_or_refused_in_words(books: Engine, cli: Cli, tmp_path: Path) -> None:
    entities = [f"k{number}-us" for number in range(len(KINDS))]
    for target in TARGETS:
        for entity in entities if target == "workbook" else entities[::8]:
            ran = cli.run("export", target, "--entity", entity, "--output", str(tmp_path / f"{target}-{entity}"))
            assert ran.exit_code == 0 or (ran.exit_code == 1 and "expected" in ran.stderr), ran.output
