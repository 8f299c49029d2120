"""What an auditor takes along of an entry: its trace, the documents on it as they came in, and the proof that it is sealed."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from flask import Blueprint, Response, send_file
from sqlalchemy import Connection, text

from ledger.accounts.rulebook import RULES
from ledger.documents import personal
from ledger.errors import Refused
from ledger.proof import inclusion, seals
from ledger.trace.steps import Trace
from web.access.guard import engine, who
from web.access.scope import trace_within

blueprint = Blueprint("evidence", __name__)

_README = """Evidence of entry {entry}

trace.json       where it comes from and where it went, with its lines; amounts are decimal strings
documents.jsonl  the documents on the way, as they came in, each with the SHA-256 it is kept under
rules.json       the rules it was posted by: what they debit and credit, why, and the paragraph
{sealed}
"""
_SEALED = """proof.json       that it is under the seal: check it with docs/check_proof.py of Tickmark, which needs nothing else
seal.json        the last seal when this was downloaded; compare it with the one that you keep"""
_OPEN = "It is not sealed yet: `tickmark seal` seals what is posted."


@blueprint.get("/entries/<int:entry_id>/evidence.zip")
def download(entry_id: int) -> Response:
    """The evidence of an entry, as one file."""
    with engine().connect() as connection:
        trace = trace_within(connection, f"entry:{entry_id}", who().entities, str(entry_id))
        files = {
            "trace.json": _json(trace.as_json()),
            "documents.jsonl": _documents(connection, trace),
            "rules.json": _json(_rules(trace)),
        }
        try:
            files["proof.json"] = _json(inclusion.prove(connection, entry_id))
            head = seals.head(connection)
            assert head is not None, "what is proven is sealed"
            files["seal.json"] = _json(head.as_json())
        except Refused:
            pass
    sealed = _SEALED if "proof.json" in files else _OPEN
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", _README.format(entry=entry_id, sealed=sealed))
        for name, content in files.items():
            archive.writestr(name, content)
    made.seek(0)
    return send_file(made, as_attachment=True, download_name=f"entry-{entry_id}-evidence.zip")


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n"


def _rules(trace: Trace) -> list[dict[str, Any]]:
    codes = dict.fromkeys(line.rule for entry in trace.entries for line in entry.lines)
    return [
        {
            "rule": rule.code,
            "number": rule.number,
            "debit": rule.debit,
            "credit": rule.credit,
            "why": rule.why,
            "citation": rule.citation,
        }
        for rule in map(RULES.__getitem__, codes)
    ]


def _documents(connection: Connection, trace: Trace) -> str:
    """Each document on the way, a line: what it says, and what it is kept under."""
    named = [
        trace.entries[0].document.partition(":")[::2],
        *((step.kind, step.ref) for step in (*trace.sources, *trace.results)),
    ]
    rows = connection.execute(
        text(
            "select d.customer_id, d.document_id, d.type, d.ref, d.body, encode(d.hash, 'hex') as hash, d.posted_at, d.posted_by"
            " from unnest(cast(:types as text[]), cast(:refs as text[])) with ordinality w(type, ref, place)"
            " join document_key k on k.type = w.type and k.ref = w.ref"
            " join document d on d.customer_id = k.customer_id and d.document_id = k.document_id order by w.place"
        ),
        {"types": [kind for kind, _ in named], "refs": [ref for _, ref in named]},
    ).all()
    found = {}
    for row in rows:
        said = personal.shown(connection, row.customer_id, row.document_id, json.loads(row.body))
        found[row.document_id] = {
            "posted_at": row.posted_at.isoformat(),
            "posted_by": row.posted_by,
            "sha256": row.hash,
            "document": said,
        }
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in found.values())
