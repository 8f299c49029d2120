"""The evidence of an entry: whole, tied to its seal, and of an entity that is open to who asks."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from tests.conftest import Cli
from tests.samples import grant, invoice, parties, prepaid, usage
from tests.serving import MakeApp
from web.access import keys

CHECKER = Path(__file__).parent.parent / "docs" / "check_proof.py"


def _files(content: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_the_evidence_of_an_entry_is_whole(cli: Cli, make_books_app: MakeApp, tmp_path: Path) -> None:
    cli.post(
        *parties(),
        grant("G"),
        invoice("I", "2026-01-01", prepaid("100.00")),
        usage("u1", "40.00", "2026-01-10", events="meter.csv rows 1-9"),
    )
    client = make_books_app(open_as="tester").test_client()
    files = _files(client.get("/entries/2/evidence.zip").data)
    assert set(files) == {"README.txt", "trace.json", "documents.jsonl", "rules.json"}
    assert "It is not sealed yet" in files["README.txt"]
    cli.ok("seal")
    files = _files(client.get("/entries/2/evidence.zip").data)
    assert set(files) == {"README.txt", "trace.json", "documents.jsonl", "rules.json", "proof.json", "seal.json"}
    documents: list[dict[str, Any]] = [json.loads(line) for line in files["documents.jsonl"].splitlines()]
    assert next((d["document"]["type"], d["document"]["id"]) for d in documents) == ("usage", "u1")
    assert {d["document"]["type"] for d in documents} >= {"usage", "grant"}
    assert json.loads(files["rules.json"])[0]["rule"] == "draw.prepaid"
    assert json.loads(files["trace.json"])["entries"][0]["entry"] == 2
    for name in ("proof.json", "seal.json"):
        (tmp_path / name).write_text(files[name])
    told = subprocess.run([sys.executable, "-I", str(CHECKER), str(tmp_path / "proof.json"), str(tmp_path / "seal.json")],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert told.returncode == 0, told.stdout
    assert client.get("/entries/99/evidence.zip").status_code == 404


def test_the_evidence_of_another_entitys_entry_is_not_given(cli: Cli, engine: Engine, make_books_app: MakeApp) -> None:
    cli.post(
        *parties(),
        {"type": "entity", "id": "eu", "name": "EU", "currency": "EUR"},
        grant("G"),
        invoice("I", "2026-01-01", prepaid("100.00")),
    )
    app = make_books_app()
    client = app.test_client()
    with engine.begin() as connection:
        made = keys.create(connection, "someone", "viewer", "tester", ("eu",))
    app.config["WTF_CSRF_ENABLED"] = False
    client.post("/sign-in", data={"key": made})
    assert client.get("/entries/1/evidence.zip").status_code == 404
