"""What undoes something, posted twice at once: who comes second waits for the first, and is refused as if it had come after."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from ledger.intake import post_lines
from revrec.intake import TYPES
from tests.conftest import Cli, lines
from tests.samples import PARTY, application, credit_note, invoice, one_time, parties, payment
from tests.test_money_accounts import account, came_back, transfer

Document = dict[str, Any]

HISTORY: list[Document] = [
    *parties(),
    account("bank", kind="bank"),
    account("stripe"),
    invoice("I", "2026-01-05", one_time("50.00")),
    invoice("J", "2026-01-05", one_time("30.00")),
    payment("P", "190.00", "2026-01-10", ("I", "50.00")),
    application("A", "30.00", "2026-01-11", "J"),
    {"type": "refund", "id": "R", "payment": "P", "date": "2026-01-12", "amount": "20.00"},
    {"type": "refund", "id": "B", **PARTY, "date": "2026-01-12", "rail": "wire", "amount": "10.00"},
    credit_note("C", "2026-01-13", "10.00"),
    {"type": "payment", "id": "Q", **PARTY, "date": "2026-01-10", "account": "bank", "amount": "40.00"},
    transfer("T", "2026-01-14", "bank", "stripe", "10.00"),
    {"type": "dispute", "id": "D", "payment": "P", "date": "2026-01-14", "amount": "5.00", "status": "opened"},
    {"type": "dispute", "id": "D/lost", "payment": "P", "date": "2026-01-15", "amount": "5.00", "status": "lost"},
    {"type": "unidentified_receipt", "id": "X", "entity": "us", "currency": "USD", "date": "2026-01-10", "rail": "wire", "amount": "9.00"},
]  # fmt: skip

_THEN = {"date": "2026-01-20", "reason": "so it was"}
UNDOING: list[Document] = [
    {"type": "refund_reversal", "refund": "R", **_THEN},
    {"type": "refund_reversal", "refund": "B", **_THEN},
    {"type": "credit_note_void", "credit_note": "C", **_THEN},
    {"type": "unapplication", "application": "A", "date": "2026-01-20"},
    {"type": "payment_reversal", "payment": "Q", **_THEN},
    came_back("", "T", "2026-01-20"),
    {"type": "dispute", "payment": "P", "date": "2026-01-20", "amount": "5.00", "status": "reinstated"},
    {"type": "receipt_returned", "receipt": "X", "amount": "9.00", **_THEN},
    {"type": "receipt_identified", "receipt": "X", "customer": "globex", "date": "2026-01-20", "amount": "9.00"},
    {"type": "refund", "payment": "Q", "date": "2026-01-20", "amount": "40.00"},
    {"type": "invoice_void", "invoice": "K", **_THEN},
]


def _post(connection: Connection, *posted: Document) -> list[str]:
    problems: list[str] = []
    raw = [lines([one]).encode() for one in posted]
    post_lines(connection, raw, TYPES, "t", lambda problem, _: problems.append(str(problem)))
    return problems


@pytest.mark.parametrize("undoing", UNDOING, ids=lambda doc: f"{doc['type']}-{list(doc.values())[1]}")
def test_who_comes_second_finds_it_undone(cli: Cli, engine: Engine, undoing: Document) -> None:
    cli.post(*HISTORY, invoice("K", "2026-01-06", one_time("7.00")))

    def second() -> list[str]:
        with engine.begin() as connection:
            return _post(connection, undoing | {"id": "second"})

    with engine.connect() as connection, ThreadPoolExecutor(1) as other:
        assert _post(connection, undoing | {"id": "first"}) == []
        waiting = other.submit(second)
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        connection.commit()
        (problem,) = waiting.result(30)
    assert undoing["type"] in problem
    cli.ok("verify")
