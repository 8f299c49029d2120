"""What undoes something, posted twice at once: who comes second waits for the first, and is refused as if it had come after."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from ledger.accounts.house import HOUSE_REF
from ledger.database import locks
from ledger.intake.posting import post_lines
from revrec.kinds import TYPES
from tests.conftest import Cli, lines
from tests.samples import PARTY, application, credit_note, invoice, one_time, parties, payment
from tests.test_money_accounts import account, came_back, fee, transfer
from tests.test_uses import GROUP, HEAD, MUMS, THEIRS, _due, dispute, refund, sold

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


def _second(engine: Engine, first: Document, second: Document) -> list[str]:
    """Post a document while another is not committed yet; what is wrong with it, once that is."""

    def post() -> list[str]:
        with engine.begin() as connection:
            return _post(connection, second)

    with engine.connect() as connection, ThreadPoolExecutor(1) as other:
        assert _post(connection, first) == []
        waiting = other.submit(post)
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        connection.commit()
        return waiting.result(30)


@pytest.mark.parametrize("undoing", UNDOING, ids=lambda doc: f"{doc['type']}-{list(doc.values())[1]}")
def test_who_comes_second_finds_it_undone(cli: Cli, engine: Engine, undoing: Document) -> None:
    cli.post(*HISTORY, invoice("K", "2026-01-06", one_time("7.00")))
    (problem,) = _second(engine, undoing | {"id": "first"}, undoing | {"id": "second"})
    assert undoing["type"] in problem
    cli.ok("verify")


# mum pays 100.00 of what child was billed, of which a note leaves 40.00 on child's balance
FAMILY: list[Document] = [
    *HEAD,
    *GROUP,
    {"type": "customer", "id": "grand", "name": "Grandchild", "parent": "child"},
    {**sold("G", "40.00"), "customer": "grand"},
    THEIRS,
    {**MUMS, "amount": "100.00"},
    credit_note("C", "2026-01-25", "40.00", invoice="T"),
]
PASSED_ON = {**application("A", "40.00", "2026-01-26", "G"), "customer": "child"}
BOUNCED = {"type": "payment_reversal", "id": "B", "payment": "P", "date": "2026-02-20", "reason": "R01"}


def test_money_that_comes_back_is_found_where_it_was_moved_to_meanwhile(cli: Cli, engine: Engine) -> None:
    """Of T 60.00 are due again, and the 40.00 of G that child paid of it: nothing is left that could be refunded."""
    cli.post(*FAMILY)
    assert _second(engine, PASSED_ON, BOUNCED) == []
    assert cli.totals() == {"accounts_receivable": 100, "deferred_revenue": 100}
    assert _due(cli) == {"T": "60.00", "G": "40.00"}
    cli.ok("verify")
    assert "expected at most 0.00" in cli.refuse(refund("0.01", "2026-02-21"))


def test_money_that_came_back_meanwhile_is_not_moved(cli: Cli, engine: Engine) -> None:
    cli.post(*FAMILY)
    (problem,) = _second(engine, BOUNCED, PASSED_ON)
    assert "expected at most 0.00, what child has unapplied" in problem
    cli.ok("verify")


def test_no_more_is_disputed_than_was_left_meanwhile(cli: Cli, engine: Engine) -> None:
    """120.00 USD pay 100.00 EUR of child's, of which a note leaves 40.00 EUR: once these are paid out, 72.00 USD are left."""
    paid = payment("P", "120.00", "2026-01-20", applications=[{"invoice": "T", "amount": "100.00", "paid": "120.00"}])
    note = credit_note("C", "2026-01-25", "40.00", invoice="T")
    cli.post(
        *HEAD, *GROUP, {**sold("T", "100.00", currency="EUR"), "customer": "child"}, {**paid, "customer": "mum"}, note
    )
    out = {
        "type": "refund",
        "id": "R",
        **PARTY,
        "customer": "child",
        "currency": "EUR",
        "date": "2026-01-26",
        "rail": "wire",
        "amount": "40.00",
    }
    (problem,) = _second(engine, out, dispute("opened", "120.00", "2026-01-27"))
    assert "amount = 120.00 USD: expected at most 72.00, what is left of payment P on 2026-01-27" in problem
    cli.post(dispute("opened", "72.00", "2026-01-27"))
    assert "expected at most 0.00" in cli.refuse(dispute("opened", "0.01", "2026-01-27", id="E"))
    cli.ok("verify")


def test_with_whom_money_came_to_lie_meanwhile_is_held_too(cli: Cli, engine: Engine) -> None:
    """That something of mum's lies with child is known only once what put it there is committed: then mum is held as well."""
    *before, paid, note = FAMILY
    out = {
        "type": "refund",
        "id": "R",
        **PARTY,
        "customer": "child",
        "date": "2026-01-26",
        "rail": "wire",
        "amount": "40.00",
    }
    cli.post(*before)
    with engine.connect() as first, engine.connect() as second, ThreadPoolExecutor(1) as other:
        assert _post(first, paid, note) == []
        waiting = other.submit(_post, second, out)
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        first.commit()
        assert waiting.result(30) == []
        held = "select ref from customer where ref in ('mum', 'child', 'grand') for no key update skip locked"
        assert first.scalars(text(held)).all() == ["grand"]
        second.commit()
    cli.ok("verify")


@pytest.mark.parametrize(
    "second",
    [
        fee("second", "2026-01-20", "stripe", "12.00", returned=True),
        {**dispute("won", "40.00", "2026-01-20", account="stripe", fee_refund="15.00"), "id": "second"},
        came_back("second", "M", "2026-01-20", fee_returned=True),
    ],
    ids=lambda doc: str(doc["type"]),
)
def test_no_more_of_fees_comes_back_at_once_than_was_charged(cli: Cli, engine: Engine, second: Document) -> None:
    """15.00 of a dispute and 0.25 of a transfer were charged: once 15.10 came back, 0.15 are left."""
    opened = dispute("opened", "40.00", "2026-01-12", account="stripe", fee="15.00")
    moved = transfer("M", "2026-01-13", "stripe", "bank", "10.00", fee="0.25")
    cli.post(
        *parties(), account("bank", kind="bank"), account("stripe"), payment("P", "100.00", "2026-01-10"), opened, moved
    )
    (problem,) = _second(engine, fee("first", "2026-01-20", "stripe", "15.10", returned=True), second)
    assert f"{second['type']} second: " in problem
    assert "expected at most 0.15, what fees took of account stripe by 2026-01-20 and did not come back" in problem
    cli.ok("verify")


def test_the_house_is_held_after_the_customers(cli: Cli, engine: Engine) -> None:
    """Who moves money in another currency asks for the house as it holds the customer: in the other order two would wait for each other."""
    cli.post(*parties())

    def hold_both() -> None:
        with engine.begin() as connection:
            locks.hold_customers(connection, [HOUSE_REF, "globex"])

    with engine.connect() as connection, ThreadPoolExecutor(1) as other:
        locks.hold_customers(connection, [HOUSE_REF])
        waiting = other.submit(hold_both)
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        with pytest.raises(OperationalError, match="could not obtain lock"):
            connection.execute(text("select from customer where ref = 'globex' for no key update nowait"))
        connection.rollback()
        waiting.result(30)
