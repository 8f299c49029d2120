"""Exports in the background: written by a server's thread, proven, fetched, and told apart from those whose server stopped."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from tests.conftest import Cli
from tests.samples import invoice, parties, payment, service
from tests.serving import MakeApp
from tests.test_export_objects import mapping
from web.work import export_jobs


@pytest.fixture
def app(make_books_app: MakeApp) -> Flask:
    return make_books_app(open_as="Grace")


def _books(cli: Cli) -> None:
    cli.post(
        *parties(), invoice("I", "2026-01-01", service("365.00", "2026-01-01", "2026-12-31")), payment("P", "65.00", "2026-01-05", ("I", "65.00")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")


def _ask(app: Flask, **body: Any) -> dict[str, Any]:
    answer = app.test_client().post("/v1/exports", json={"entity": "us", **body})
    assert answer.status_code == 202, answer.text
    app.extensions["tickmark.jobs"].wait()
    found: dict[str, Any] = app.test_client().get(f"/v1/jobs/{answer.json['job']}").json
    return found


def test_an_export_is_written_and_fetched(cli: Cli, app: Flask, tmp_path: Path) -> None:
    _books(cli)
    text_ = Path(mapping(tmp_path, "quickbooks", 'objects = "all"')).read_text()
    job = _ask(app, target="quickbooks", mapping=text_, new=True)
    assert (job["state"], job["file"], job["by"]) == ("done", "quickbooks.json", "Grace")
    assert job["said"] == "export 1, 5 objects; ties to the trial balance"
    assert job["done"] == 5
    file = app.test_client().get(f"/v1/jobs/{job['job']}/file")
    assert '"Invoice"' in file.text
    assert file.headers["Content-Disposition"] == "attachment; filename=quickbooks.json"
    again = tmp_path / "again.json"
    cli.ok(
        "export", "quickbooks", "--again", "1", "--mapping", str(tmp_path / "quickbooks.toml"), "--output", str(again)
    )
    assert again.read_text() == file.text
    nothing = _ask(app, target="quickbooks", mapping=text_, new=True)
    assert nothing["state"] == "failed"
    assert "nothing is new" in nothing["said"]


def test_a_folder_comes_as_one_file(cli: Cli, app: Flask) -> None:
    _books(cli)
    job = _ask(app, target="revenue-data")
    assert (job["state"], job["file"]) == ("done", "revenue-data.zip")
    content = app.test_client().get(f"/v1/jobs/{job['job']}/file").data
    assert zipfile.ZipFile(io.BytesIO(content)).namelist() == [
        "revenue-data/invoice_lines.csv",
        "revenue-data/journal_lines.csv",
    ]


def test_what_is_wrong_is_told_all_at_once(cli: Cli, app: Flask) -> None:
    _books(cli)
    job = _ask(app, target="zoho", mapping='target = "zoho"\nentity = "us"\n')
    assert job["state"] == "failed"
    assert "account = accounts_receivable: expected an [[account]]" in job["said"]
    assert "account = revenue: expected an [[account]]" in job["said"]
    assert app.test_client().get(f"/v1/jobs/{job['job']}/file").status_code == 404
    refused = app.test_client().post("/v1/exports", json={"entity": "us", "target": "abacus"})
    assert refused.status_code == 422
    assert refused.json["problems"][0]["field"] == "target"
    assert (
        app.test_client().post("/v1/exports", json={"entity": "us", "target": "workbook", "new": True}).status_code
        == 422
    )
    assert app.test_client().post("/v1/exports", json={"entity": "mars", "target": "workbook"}).status_code == 422
    long = app.test_client().post("/v1/exports", json={"entity": "us", "target": "zoho", "mapping": "#" * 1_000_001})
    assert "expected at most 1,000,000 bytes" in long.text


def test_a_job_whose_server_stopped_is_said_to_have_failed(cli: Cli, app: Flask, engine: Engine) -> None:
    _books(cli)
    job = _ask(app, target="audit-gl")
    with engine.begin() as connection:
        connection.execute(text("update export_job set state = 'running', ended_at = null, content = null"))
    with engine.connect() as runner:
        export_jobs.locks.hold_job(runner, job["job"])
        assert export_jobs.find(engine, job["job"]).state == "running"
    found = export_jobs.find(engine, job["job"])
    assert (found.state, found.said) == ("failed", "the server that wrote it stopped; ask for it again")


def test_files_are_kept_for_a_day(cli: Cli, app: Flask, engine: Engine) -> None:
    _books(cli)
    job = _ask(app, target="audit-gl")
    with engine.begin() as connection:
        connection.execute(text("update export_job set ended_at = now() - interval '25 hours'"))
    _ask(app, target="audit-gl")
    gone = app.test_client().get(f"/v1/jobs/{job['job']}/file")
    assert gone.status_code == 404
    assert "expected an export that was written in the last day" in gone.json["title"]
