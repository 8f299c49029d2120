"""Random documents of every kind, one at a time, against an independent model: every balance, after each of them."""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import given, note, settings
from sqlalchemy import Connection, text

from tests.model import Model
from tests.samples import parties
from tests.test_properties import OTHER, VAT, _assert_ties, _history, _post, fresh  # noqa: F401 - a fixture

EXAMPLES = int(os.environ.get("TICKMARK_EXAMPLES", "1"))

# What the model does not know: credits at another price than their face value, and what is not one customer's and entity's.
_UNKNOWN = ("carried_from", "contract", "breakage", "expected_breakage")


def _known(doc: dict[str, Any]) -> dict[str, Any] | None:
    """A document as the model knows it, or None for one it does not."""
    if doc["type"] == "grant":
        if "contract" in doc or "carried_from" in doc:
            return None
        plain = {key: value for key, value in doc.items() if key not in _UNKNOWN}
        return plain | {"price": doc["amount"]} if "price" in doc else plain
    if doc["type"] in ("contract_cost", "consideration_payable", "breakage_estimate"):
        return None
    return None if doc["type"] in ("invoice", "credit_note") and _is_told_elsewhere(doc) else doc


def _is_told_elsewhere(doc: dict[str, Any]) -> bool:
    """Whether an invoice or a credit note is of a form that other tests hold together by hand."""
    lines = doc["lines"]
    if doc["type"] == "credit_note":
        return "invoice" not in doc or any("line" not in line or "taxes" in line for line in lines)
    # a shortfall and late usage make up one promise; what corrects other lines, taxes that are given, other entities' lines
    return "taxes" in doc or any(
        line["kind"] == "shortfall" or line.get("entity") or line["amount"].startswith("-") or "taxes" in line
        for line in lines
    )


def _assert_balances(connection: Connection, model: Model) -> None:
    rows = connection.execute(
        text(
            "select role, subject, sum(case side when 'credit' then amount else -amount end)::bigint as credit"
            " from journal_line group by 1, 2"
        )
    ).all()
    found: dict[str, dict[str, int]] = {}
    billed: dict[str, int] = {}
    for row in rows:
        found.setdefault(row.role, {})[row.subject] = row.credit
        kind = row.subject.partition(":")[0]
        if kind in ("grant", "usage", "obligation") and not row.role.startswith("memo_"):
            billed[row.subject] = billed.get(row.subject, 0) + row.credit

    def held(role: str) -> int:
        return sum(found.get(role, {}).values())

    def by_subject(role: str, kind: str) -> dict[str, int]:
        named = {
            subject.removeprefix(kind): -credit
            for subject, credit in found.get(role, {}).items()
            if subject.startswith(kind)
        }
        return {ref: amount for ref, amount in named.items() if amount}

    assert -held("cash") == model.cash
    assert -held("processing_fees") == model.fees
    assert held("customer_balance") == model.balance.total
    assert by_subject("accounts_receivable", "invoice:") == _totals(model.due)
    assert by_subject("disputed_funds", "payment:") == _totals(model.disputed)
    assert (held("tax_payable"), -held("memo_taxable_base")) == (model.tax, model.base)
    assert held("opening_balances") == model.opening
    assert {ref: -amount for ref, amount in by_subject("bad_debt", "invoice:").items()} == _nonzero(model.recovered)
    assert _nonzero(billed) == _nonzero(model.billed)
    wallet = connection.execute(
        text(
            "select g.ref, b.drawn_face_minor, b.moved_face_minor from credit_grant g join grant_balance b using (customer_id, grant_id)"
        )
    ).all()
    assert {row.ref: (row.drawn_face_minor, row.moved_face_minor) for row in wallet} == {
        ref: (grant["drawn"], grant["gone"]) for ref, grant in model.grants.items()
    }
    outstanding = {
        f"grant:{ref}": left for ref, grant in model.grants.items() if grant["free"] and (left := model._left(grant))
    }
    assert {s: c for s, c in found.get("memo_credits_outstanding", {}).items() if c} == outstanding
    assert (connection.scalar(text("select sum(posted_minor) from usage_meter")) or 0) == model.posted


def _totals(accounts: dict[str, Any]) -> dict[str, int]:
    return {ref: account.total for ref, account in accounts.items() if account.total}


def _nonzero(amounts: dict[str, int]) -> dict[str, int]:
    return {key: amount for key, amount in amounts.items() if amount}


@settings(max_examples=EXAMPLES * 12)
@given(files=_history())
def test_every_balance_after_every_document(fresh: Any, files: list[list[dict[str, Any]]]) -> None:  # noqa: F811
    documents = [known for file in files for doc in file if (known := _known(doc)) is not None]
    # what a recovery is of usage, days tell: held by hand in tests/test_late_documents.py
    of_usage = {
        doc["id"]
        for doc in documents
        if doc["type"] == "invoice" and any(line["kind"] == "usage" for line in doc["lines"])
    }
    lost = {doc["id"] for doc in documents if doc["type"] == "write_off" and doc["invoice"] in of_usage}
    documents = [doc for doc in documents if doc["type"] != "recovery" or doc["write_off"] not in lost]
    note("\n".join(map(json.dumps, documents)))
    engine = fresh()
    _post(engine, [*parties(), OTHER, VAT])
    model = Model()
    for document in documents:
        _, refused = _post(engine, [document])
        if refused:
            continue
        model.apply(document)
        with engine.connect() as connection:
            note(f"after {document['id']}")
            _assert_balances(connection, model)
            _assert_ties(connection)
