"""Books of all kinds of documents: every entry and every document opens in every face, and every export is made or refused in words."""

from __future__ import annotations

import io
from pathlib import Path

import openpyxl
import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from revrec.kinds import TYPES
from tests.conftest import Cli
from tests.samples import contract
from tests.serving import MakeApp
from tests.shelves import Place
from tests.test_access import sign_in
from tests.test_kinds import KINDS, _day, _history
from web.access import keys
from web.commands.exports import AS_THEY_ARE, EXPORT_TARGETS
from web.commands.showing import REPORT_NAMES
from web.work.reports import REPORTS

OF_FIRST = {"customer": "k0-globex", "entity": "k0-us"}
# What a history of one kind does not tell: progress by milestones, and prices that are no whole numbers.
BESIDE = [
    contract("steps", "2026-01-01", {"id": "steps.o", "product": "k0-seats", "start": "2026-01-01", "pattern": "milestones", "milestones": [
        {"id": "design", "amount": "40.00"}, {"id": "build", "amount": "60.00"}]}) | OF_FIRST,
    {"type": "progress", "id": "steps.p", "obligation": "steps.o", "date": "2026-02-10", "milestone": "design"},
    contract("units", "2026-01-01", {"id": "units.o", "product": "k0-seats", "start": "2026-01-01", "pattern": "progress", "quantity": "7.5",
                                     "price": "75.00"}) | OF_FIRST,
    {"type": "stand_alone_price", "id": "sap", "product": "k0-seats", "currency": "USD", "date": "2026-01-01", "price": "0.125"},
]  # fmt: skip


@pytest.fixture
def books(unlimited: None, cli: Cli, engine: Engine) -> Engine:
    """Each history of test_kinds at a place of its own, milestones beside them, recognised, revalued, closed and sealed."""
    cli.post({"type": "fx_rate", "id": "gbp", "date": "2026-01-01", "base": "GBP", "quote": "USD", "rate": "1.25"})
    for number, name in enumerate(KINDS):
        history, place = _history(name), Place(engine, f"k{number}-")
        assert place.post([*history.masters, *history.in_order(_day)]) == {}
    cli.post(*BESIDE)
    cli.ok("recognize", "--through", "2026-06")
    cli.ok("revalue", "2026-06")
    cli.ok("close", "2026-01", "--anyway", "--reason", "to look at it closed")
    cli.ok("seal")
    return engine


@pytest.fixture
def faces(books: Engine, make_books_app: MakeApp) -> tuple[FlaskClient, FlaskClient, dict[str, str]]:
    """(one who is signed in to the pages, one of the API, with its headers)."""
    with books.begin() as connection:
        key = keys.create(connection, "someone", "admin", "tester", ())
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
    assert {row.type for row in documents} >= set(TYPES)  # none of which is left out
    for entry_id, _ in entries:
        assert pages.get(f"/entries/{entry_id}").status_code == 200, entry_id
        for place in (f"/v1/entries/{entry_id}", f"/v1/trace/{entry_id}"):
            assert api.get(place, headers=headers).status_code == 200, place
        assert pages.get(f"/entries/{entry_id}/evidence.zip").status_code == 200, entry_id
    for kind, ref in documents:
        assert pages.get(f"/documents/{kind}/{ref}").status_code == 200, (kind, ref)
        assert api.get(f"/v1/trace/{kind}:{ref}", headers=headers).status_code == 200, (kind, ref)
    # by command, an entry of each rule and a document of each type, of what is made of the same
    for entry_id in {row.rule: row.entry_id for row in entries}.values():
        cli.ok("trace", str(entry_id))
    for kind, ref in {row.type: row.ref for row in documents}.items():
        cli.ok("trace", f"{kind}:{ref}")
        cli.ok("trace", f"{kind}:{ref}", "--format", "json")


def test_every_report_is_shown_and_written(
    books: Engine, faces: tuple[FlaskClient, FlaskClient, dict[str, str]], cli: Cli, tmp_path: Path
) -> None:
    pages, api, headers = faces
    for name in REPORTS:
        asked = "?known_at=2026-01-01T00:00:00Z" if name == "changes" else "?customer=k0-globex&entity=k0-us"
        for place in (
            f"/reports/{name}{asked}",
            f"/reports/{name}{asked}&format=csv",
            f"/reports/{name}{asked}&format=xlsx",
        ):
            answer = pages.get(place)
            assert answer.status_code == 200, (place, answer.text)
            answer.close()
        assert api.get(f"/v1/reports/{name}{asked}", headers=headers).status_code == 200, name
    for name in REPORT_NAMES:
        options = (
            ("--known-at", "2026-01-01T00:00:00Z")
            if name == "changes"
            else ("--customer", "k0-globex", "--entity", "k0-us")
        )
        for form in ("table", "json", "csv", "xlsx"):
            cli.ok("report", name, *options, "--format", form, "--output", str(tmp_path / f"{name}.{form}"))


def test_every_export_is_made_or_refused_in_words(books: Engine, cli: Cli, tmp_path: Path) -> None:
    entities = [f"k{number}-us" for number in range(len(KINDS))]
    for target in EXPORT_TARGETS:
        # of all kinds where it holds all there is of a document, and what is beside them
        of_all = target in AS_THEY_ARE
        for entity in entities if target == "workbook" else entities[:: 4 if of_all else 8]:
            ran = cli.run("export", target, "--entity", entity, "--output", str(tmp_path / f"{target}-{entity}"))
            assert ran.exit_code == 0 or (ran.exit_code == 1 and "expected" in ran.stderr), ran.output
            assert ran.exit_code == 0 or not of_all, ran.output
            assert "trial balance" not in ran.stderr, ran.output
    sheet = openpyxl.load_workbook(io.BytesIO((tmp_path / "workbook-k0-us").read_bytes()))["Contracts"]
    head = [cell.value for cell in next(sheet.rows)]
    figures = {row[head.index("Contract")].value: row[head.index("Quantity")].value for row in sheet.rows}
    assert (figures["steps"], figures["units"]) == (100, 7.5)
