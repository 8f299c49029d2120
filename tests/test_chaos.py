"""A short run of the fault test, and that it sees what it looks for; `make chaos` runs longer ones (docs/reliability.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from tests import chaos
from tests.conftest import Cli


def test_everything_holds_after_faults() -> None:
    assert chaos.run(seed=7, seconds=8) == 0


def _payment(ref: str, amount: str) -> dict[str, Any]:
    return {"type": "payment", "id": ref, "customer": "c0", "entity": "us", "currency": "USD", "date": "2026-02-10", "rail": "wire",
            "amount": amount, "applications": [{"invoice": "s0", "amount": amount}]}  # fmt: skip


@pytest.mark.parametrize(
    ("said", "statement", "named"),
    [
        ({"did": "acknowledged", "refs": ["lost"]}, "", "lost was acknowledged, and is there 0 times"),
        ({"did": "refused", "refs": ["p1"]}, "", "p1 was refused, and is there 1 times"),
        ({}, "update document set ref = 'other' where ref = 'p1'", "other is there, and nobody sent it"),
        ({}, "update posting set amount = amount + 1 where debit_account in (select account_id from account where role = 'cash')",
         "cash of c0: 1001, by the model 1000"),
    ],
)  # fmt: skip
def test_it_sees_what_it_looks_for(
    cli: Cli, engine: Engine, owner: Connection, tmp_path: Path, said: dict[str, Any], statement: str, named: str
) -> None:
    setup = chaos._setup()
    cli.post(*setup)
    documents = [_payment("p1", "10.00")]
    cli.post(*documents)
    sent = {"did": "sent", "documents": [*documents, _payment("lost", "1.00")]}
    (tmp_path / "client-1.log").write_text(json.dumps(sent) + "\n" + (json.dumps(said) + "\n" if said else ""))
    if statement:
        owner.execute(text("set session_replication_role = replica"))
        owner.execute(text(statement))
        owner.commit()
    wrong, _ = chaos._differences(engine, tmp_path, setup)
    assert any(named in difference for difference in wrong), wrong
    if not statement and not said:
        assert wrong == []
